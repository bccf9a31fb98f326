"""Small random programs of shipped operators on whole numbers, whose results are exact."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

import gradproof as gp
from gradproof.runtime.binding import bind
from gradproof.runtime.dispatch import execute
from gradproof.runtime.errors import GradproofError
from gradproof.runtime.manifest import operators
from gradproof.runtime.tensor import Tensor

F = gp.functional
EXTENTS = (1, 2, 3, 4, 16)
SQUARES = ((4, 4), (16,), (1, 4, 4), (4, 1, 4), (2, 2, 4), (4, 4), (4, 4))


def in_place(operator: str, target: Tensor, other: Tensor, scalars: dict[str, float]) -> None:
    """sgd or running_average on the memory of `target`, which may be part of the step."""
    new, old, given = {"sgd": ("p_new", "p", "g"), "running_average": ("new", "old", "batch")}[
        operator
    ]
    flat = {old: target.detach().reshape(-1), given: other.detach().reshape(-1)}
    op = operators()[operator]
    binding = bind(op, op.without(), {n: t.shape for n, t in flat.items()}, {}, operator)
    kernels = binding.forward(frozenset({new}))
    execute(binding, kernels, flat, scalars, into={new: flat[old]}, label=operator)


@dataclass
class Program:
    """A step that draws its operations from `rng`; every run draws the same ones."""

    seed: int
    length: int
    leaves: list[Tensor] = field(default_factory=list)
    labels: Tensor | None = None

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        for k in range(4):
            shape = tuple(int(rng.choice(EXTENTS)) for _ in range(int(rng.integers(1, 5))))
            while prod(shape) > 300:
                shape = shape[1:]
            if self.seed % 3:  # equal sizes: products and updates of anything by anything
                shape = SQUARES[int(rng.integers(len(SQUARES)))]
            self.leaves.append(self._tensor(rng, shape, k < 3))
        self.labels = gp.tensor(rng.integers(0, 3, 4).astype(np.int32))

    def _tensor(self, rng: np.random.Generator, shape: tuple[int, ...], leaf: bool) -> Tensor:
        values = rng.choice([-2, -1, 0, 0, 1, 1, 2], size=shape).astype(np.float64)
        return gp.tensor(values, requires_grad=leaf)

    def __call__(self) -> list[Tensor]:
        rng = np.random.default_rng(self.seed + 1)
        for leaf in self.leaves:
            leaf.grad = None
        pool = list(self.leaves)
        moves = list(MOVES)
        for _ in range(self.length):
            move = MOVES[moves[int(rng.integers(len(moves)))]]
            try:
                found = move(self, rng, pool)
            except GradproofError:
                continue  # shapes that do not fit, or a graph whose tensors have changed since
            if found is not None and 0 < found.size <= 2000:
                pool.append(found)
        new = [t for t in pool[len(self.leaves) :] if t.storage not in self._outside]
        picked = [t for t in new[:-1] if rng.random() < 0.15]
        grads = [p.grad for p in self.leaves if p.grad is not None and rng.random() < 0.3]
        return [*picked, *new[-1:], *grads, F.sum(self.leaves[0])]

    @property
    def _outside(self) -> list[Any]:
        return [t.storage for t in self.leaves]


Move = Callable[[Program, np.random.Generator, list[Tensor]], Tensor | None]
MOVES: dict[str, Move] = {}


def _move(weight: int = 1) -> Callable[[Move], Move]:
    def add(f: Move) -> Move:
        for k in range(weight):
            MOVES[f"{f.__name__}{k}"] = f
        return f

    return add


def _any(rng: np.random.Generator, pool: list[Tensor]) -> Tensor:
    """A tensor, rather one of the last, with a dimension at least."""
    found = pool[-1 - min(int(rng.geometric(0.25)) - 1, len(pool) - 1)]
    return found if found.ndim else found.reshape(1)


def _of_size(rng: np.random.Generator, pool: list[Tensor], size: int) -> Tensor:
    fitting = [t for t in pool if t.size == size]
    return fitting[int(rng.integers(len(fitting)))]


@_move(3)
def two(p: Program, rng: np.random.Generator, pool: list[Tensor]) -> Tensor:
    a = _any(rng, pool)
    b = _of_size(rng, pool, a.size).reshape(a.shape)
    return [F.add, F.sub, F.mul][int(rng.integers(3))](a, b)


@_move(3)
def one(p: Program, rng: np.random.Generator, pool: list[Tensor]) -> Tensor:
    a = _any(rng, pool)
    forms: list[Callable[[Tensor], Tensor]] = [
        F.relu,
        F.neg,
        lambda t: t * 0.5,
        lambda t: t + 1.0,
        lambda t: F.leaky_relu(t, 0.5),
        lambda t: F.dropout(t, 0.5, True),
    ]
    return forms[int(rng.integers(len(forms)))](a)


@_move(2)
def reshaped(p: Program, rng: np.random.Generator, pool: list[Tensor]) -> Tensor:
    a = _any(rng, pool)
    divisors = [k for k in range(1, a.size + 1) if a.size % k == 0]
    k = int(rng.choice(divisors))
    rest = [j for j in divisors if (a.size // k) % j == 0]
    j = int(rng.choice(rest))
    shapes = [(k, a.size // k), (k, j, a.size // k // j), (a.size,), (1, k, a.size // k, 1)]
    return a.reshape(shapes[int(rng.integers(4))])


@_move(2)
def permuted(p: Program, rng: np.random.Generator, pool: list[Tensor]) -> Tensor:
    a = _any(rng, pool)
    return a.permute(*map(int, rng.permutation(a.ndim)))


@_move()
def copied(p: Program, rng: np.random.Generator, pool: list[Tensor]) -> Tensor:
    a = _any(rng, pool)
    return a[0 : a.shape[0]]


@_move()
def cut(p: Program, rng: np.random.Generator, pool: list[Tensor]) -> Tensor:
    a = _any(rng, pool)
    first = int(rng.integers(a.shape[0]))
    return a[first :: int(rng.integers(1, 3))]


@_move()
def joined(p: Program, rng: np.random.Generator, pool: list[Tensor]) -> Tensor:
    a = _any(rng, pool)
    return F.cat([a, _of_size(rng, pool, a.size).reshape(a.shape)], int(rng.integers(a.ndim)))


@_move()
def padded(p: Program, rng: np.random.Generator, pool: list[Tensor]) -> Tensor:
    return F.pad(_any(rng, pool), (int(rng.integers(0, 3)), int(rng.integers(0, 2))))


@_move(2)
def reduced(p: Program, rng: np.random.Generator, pool: list[Tensor]) -> Tensor:
    a = _any(rng, pool)
    return [F.sum, F.sum, F.amax][int(rng.integers(3))](a, int(rng.integers(a.ndim)))


@_move(3)
def product(p: Program, rng: np.random.Generator, pool: list[Tensor]) -> Tensor:
    a = _any(rng, pool)
    rows = a.reshape(-1, a.shape[-1])
    fitting = [a, *(t for t in pool if t.size % a.shape[-1] == 0 and t.size <= 400)]
    b = fitting[int(rng.integers(len(fitting)))]
    if rng.random() < 0.5:
        return F.linear(rows, b.reshape(-1, a.shape[-1]))
    return F.matmul(rows, b.reshape(a.shape[-1], -1))


@_move()
def windows(p: Program, rng: np.random.Generator, pool: list[Tensor]) -> Tensor:
    a = _any(rng, pool)
    image = a.reshape(1, -1, *a.shape[-2:]) if a.ndim > 1 else a.reshape(1, 1, 1, -1)
    kind, pad = int(rng.integers(3)), int(rng.integers(2))
    if kind == 0:
        return F.max_pool2d(image, (1, 2), (1, int(rng.integers(1, 3))), (0, pad))
    if kind == 1:
        return F.avg_pool2d(image, 2, int(rng.integers(1, 3)), pad)
    fitting = [t for t in pool if t.size % (image.shape[1] * 2) == 0 and t.size < 200]
    if not fitting:
        return image
    w = fitting[int(rng.integers(len(fitting)))].reshape(-1, image.shape[1], 1, 2)
    return F.conv2d(image, w, stride=int(rng.integers(1, 3)), padding=pad)


@_move()
def looked_up(p: Program, rng: np.random.Generator, pool: list[Tensor]) -> Tensor:
    a = _any(rng, pool)
    assert p.labels is not None
    return F.embedding(p.labels, F.pad(a.reshape(-1, a.shape[-1]), (0, 0, 0, 3)))


@_move(2)
def square(p: Program, rng: np.random.Generator, pool: list[Tensor]) -> Tensor | None:
    a = _any(rng, pool)
    if a.size != 16:
        return None
    form = [F.matmul, F.linear][int(rng.integers(2))]
    found = form(a.reshape(4, 4), _of_size(rng, pool, 16).reshape(4, 4))
    if rng.random() < 0.3:  # an update with a product that may read what is updated
        in_place("sgd", a, found, {"lr": 0.5, "weight_decay": 0.0})
        return None
    return found


@_move(2)
def gradients(p: Program, rng: np.random.Generator, pool: list[Tensor]) -> None:
    F.sum(_any(rng, pool)).backward()


@_move(5)
def changed(p: Program, rng: np.random.Generator, pool: list[Tensor]) -> None:
    among = p.leaves if rng.random() < 0.3 else pool
    target = _any(rng, among)
    others = [*pool[-3:], *pool, *(leaf.grad for leaf in p.leaves if leaf.grad is not None)]
    other = _of_size(rng, others, target.size)
    if rng.random() < 0.7:
        in_place("sgd", target, other, {"lr": 0.5, "weight_decay": 0.0})
    else:
        in_place("running_average", target, other, {"momentum": 0.5, "unbias": 1.0})
