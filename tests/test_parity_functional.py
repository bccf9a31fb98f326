"""Single functions against PyTorch: values and gradients, for its combinations of options.

Each function is run in float32 and float64 here, and by PyTorch in float32, in float64, and in
float64 with noise. The bounds are those of test_parity.py: the noise multiplies every element of
the inputs, of the cotangent and of what comes out by 1 + u or 1 - u, u = 2^-24; rounding may change
a tensor by sqrt(n) * noise + 8 u * (its largest magnitude), n the longest sum, here at most the
number of elements of an input. A gradient such as g y (1 - y) is of order g before it cancels, so
for activations and softmax the magnitude is at least the cotangent's. The error of float32 may be
that, or twice that of PyTorch's own float32; of float64, 1e-9 of the largest magnitude, plus twice
the same with float64's u.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradproof as gp
from gradproof.runtime.device import current_device

torch = pytest.importorskip("torch")

U32, U64 = 2.0**-24, 2.0**-53
LAST_STEPS, RELATIVE, NOISE_RUNS = 8, 1e-9, 4

Call = Callable[..., Any]
Results = list[np.ndarray]


class Theirs:
    """PyTorch's functions in one place, as `gp.functional` has them."""

    def __getattr__(self, name: str) -> Any:
        here = name in ("sum", "mean", "max", "amax", "cat", "stack", "bmm", "matmul")
        return getattr(torch if here else torch.nn.functional, name, None) or getattr(torch, name)


def run_torch(call: Call, inputs: Results, cotangent: np.ndarray | None, dtype: str) -> Results:
    kind = getattr(torch, dtype)
    real = [a.dtype.kind == "f" for a in inputs]
    tensors = [
        torch.tensor(a, dtype=kind if r else torch.int64, requires_grad=r)
        for a, r in zip(inputs, real, strict=True)
    ]
    out = call(Theirs(), *tensors)
    out.backward(torch.ones_like(out) if cotangent is None else torch.tensor(cotangent, dtype=kind))
    return [t.detach().numpy() for t in (out, *gradients(tensors, real))]


def run_ours(call: Call, inputs: Results, cotangent: np.ndarray, dtype: str) -> Results:
    real = [a.dtype.kind == "f" for a in inputs]
    tensors = [
        gp.tensor(a, dtype if r else "int32", requires_grad=r)
        for a, r in zip(inputs, real, strict=True)
    ]
    out = call(gp.functional, *tensors)
    out.backward(gp.tensor(cotangent, dtype))
    return [t.numpy() for t in (out, *gradients(tensors, real))]


def gradients(tensors: list[Any], real: list[bool]) -> list[Any]:
    return [t.grad for t, r in zip(tensors, real, strict=True) if r and t.grad is not None]


def rounded(a: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One rounding of float32 in each element."""
    return a * (1 + U32 * rng.choice((-1, 1), a.shape)) if a.dtype.kind == "f" else a


def noise(call: Call, inputs: Results, cotangent: np.ndarray, exact: Results) -> list[float]:
    """The largest change of each tensor by one rounding in every element."""
    largest = [0.0] * len(exact)
    for seed in range(NOISE_RUNS):
        rng = np.random.default_rng(seed)
        noisy = [rounded(a, rng) for a in inputs]
        found = run_torch(call, noisy, rounded(cotangent, rng), "float64")
        for k, (a, b) in enumerate(zip(found, exact, strict=True)):
            largest[k] = max(largest[k], error(rounded(a, rng), b))
    return largest


def error(a: np.ndarray, exact: np.ndarray) -> float:
    assert a.shape == exact.shape
    assert np.array_equal(np.isfinite(a), np.isfinite(exact))
    difference = np.abs(a.astype(np.float64) - exact)
    return float(difference.max(initial=0.0, where=np.isfinite(exact)))


def check(call: Call, inputs: Results, cancels: bool = False) -> None:
    """The values and gradients of `call` are PyTorch's, in both dtypes.

    cancels: terms of the cotangent's magnitude cancel in the gradient.
    """
    rng = np.random.default_rng(0)
    inputs = [a.astype(np.float32).astype(np.float64) if a.dtype.kind == "f" else a for a in inputs]
    shape = run_torch(call, inputs, None, "float64")[0].shape
    cotangent = rng.normal(0, 1, shape).astype(np.float32).astype(np.float64)
    exact = run_torch(call, inputs, cotangent, "float64")
    longest = max(a.size for a in inputs)
    units = noise(call, inputs, cotangent, exact)
    own = [
        error(a, b)
        for a, b in zip(run_torch(call, inputs, cotangent, "float32"), exact, strict=True)
    ]
    for dtype in ("float32", "float64") if current_device().info.fp64 else ("float32",):
        found = run_ours(call, inputs, cotangent, dtype)
        assert len(found) == len(exact)
        for k, (a, b) in enumerate(zip(found, exact, strict=True)):
            terms = np.abs(cotangent).max() if cancels else 0.0
            largest = float(np.abs(b).max(initial=terms, where=np.isfinite(b)))
            bound = math.sqrt(longest) * units[k] + LAST_STEPS * U32 * largest
            if dtype == "float32":
                bound = max(bound, 2 * own[k])
            else:
                bound = RELATIVE * largest + 2 * bound * (U64 / U32)
            what = "the result" if k == 0 else f"gradient {k}"
            assert error(a, b) <= bound, f"{dtype}, {what}: {error(a, b):.3g} > {bound:.3g}"


def normal(*shape: int, scale: float = 1.0, seed: int = 1) -> np.ndarray:
    return np.random.default_rng((seed, *shape)).normal(0, scale, shape)


# -- activations ---------------------------------------------------------------------------------
ACTIVATIONS: dict[str, Call] = {
    "relu": lambda F, x: F.relu(x),
    "leaky_relu": lambda F, x: F.leaky_relu(x),
    "leaky_relu 0.3": lambda F, x: F.leaky_relu(x, negative_slope=0.3),
    "leaky_relu -2": lambda F, x: F.leaky_relu(x, -2.0),
    "gelu": lambda F, x: F.gelu(x),
    "gelu tanh": lambda F, x: F.gelu(x, approximate="tanh"),
    "silu": lambda F, x: F.silu(x),
    "sigmoid": lambda F, x: F.sigmoid(x),
    "tanh": lambda F, x: F.tanh(x),
    "softplus": lambda F, x: F.softplus(x),
    "softplus 2 1": lambda F, x: F.softplus(x, beta=2, threshold=1),
    "softplus 0.5": lambda F, x: F.softplus(x, 0.5),
}


@pytest.mark.parametrize("shape", [(), (7,), (2, 3, 5)], ids=str)
@pytest.mark.parametrize("scale", [1.0, 30.0])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str, scale: float, shape: tuple[int, ...]) -> None:
    check(ACTIVATIONS[name], [normal(*shape, scale=scale)], cancels=True)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_do_not_overflow(name: str) -> None:
    """Where PyTorch's value and gradient are finite, ours are."""
    x = np.array([-1e4, -200.0, -90.0, 0.5, 90.0, 200.0, 1e4])
    check(ACTIVATIONS[name], [x], cancels=True)


@pytest.mark.parametrize(
    ("shape", "dim"), [((5,), 0), ((2, 5, 3), 0), ((2, 5, 3), 1), ((2, 5), -1)]
)
@pytest.mark.parametrize("scale", [1.0, 100.0])
@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
def test_softmax(name: str, scale: float, shape: tuple[int, ...], dim: int) -> None:
    check(lambda F, x: getattr(F, name)(x, dim=dim), [normal(*shape, scale=scale)], cancels=True)


# -- losses --------------------------------------------------------------------------------------
IGNORED = {"none": -100, "default": -100, "a class": 1, "positive": 255}
SAMPLES = {"(C,)": ((5,), ()), "(N, C)": ((7, 5), (7,)), "(N, C, d, e)": ((2, 5, 3, 2), (2, 3, 2))}


def labels(shape: tuple[int, ...], ignored: int, some: bool) -> np.ndarray:
    rng = np.random.default_rng(3)
    t = np.asarray(rng.integers(0, 5, shape))
    return np.where(rng.random(shape) < 0.4, ignored, t) if some and shape else t


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignore", IGNORED)
def test_cross_entropy(ignore: str, weighted: bool, smoothing: float, reduction: str) -> None:
    weight = np.random.default_rng(0).uniform(0.5, 2.0, 5) if weighted else None
    index = IGNORED[ignore]

    def call(F: Any, x: Any, t: Any) -> Any:
        w = constant(F, weight, x)
        options = {"reduction": reduction, "label_smoothing": smoothing, "ignore_index": index}
        return F.cross_entropy(x, t, w, **options)

    for shape, samples in SAMPLES.values():
        check(call, [normal(*shape, scale=3.0), labels(samples, index, ignore != "none")])


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ignore", IGNORED)
def test_nll_loss(ignore: str, weighted: bool, reduction: str) -> None:
    weight = np.random.default_rng(0).uniform(0.5, 2.0, 5) if weighted else None
    index = IGNORED[ignore]

    def call(F: Any, x: Any, t: Any) -> Any:
        w = constant(F, weight, x)
        return F.nll_loss(x, t, w, ignore_index=index, reduction=reduction)

    for shape, samples in SAMPLES.values():
        check(call, [normal(*shape), labels(samples, index, ignore != "none")])


def constant(F: Any, value: np.ndarray | None, like: Any) -> Any:
    """A tensor without gradient, of the library and dtype of `like`."""
    if value is None:
        return None
    if isinstance(F, Theirs):
        return torch.tensor(value.astype(np.float32), dtype=like.dtype)
    return gp.tensor(value.astype(np.float32), like.dtype)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("name", ["l1_loss", "mse_loss"])
@pytest.mark.parametrize("shape", [(), (7,), (3, 4, 2)], ids=str)
def test_elementwise_losses(shape: tuple[int, ...], name: str, reduction: str) -> None:
    call = lambda F, x, y: getattr(F, name)(x, y, reduction=reduction)  # noqa: E731
    check(call, [normal(*shape), normal(*shape, seed=2)])


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("positive", [None, "one", "each"])
@pytest.mark.parametrize("shape", [(7,), (3, 4), (2, 3, 4)], ids=str)
def test_binary_cross_entropy(
    shape: tuple[int, ...], positive: str | None, weighted: bool, reduction: str
) -> None:
    rng = np.random.default_rng(0)
    weight = rng.uniform(0.5, 2.0, shape) if weighted else None
    each = rng.uniform(0.5, 2.0, {"one": 1, "each": shape[-1], None: 0}[positive])

    def call(F: Any, x: Any, t: Any) -> Any:
        v = constant(F, each if positive else None, x)
        w = constant(F, weight, x)
        options = {"reduction": reduction, "pos_weight": v}
        return F.binary_cross_entropy_with_logits(x, t, w, **options)

    check(call, [normal(*shape, scale=4.0), rng.uniform(0, 1, shape)])


# -- products and reductions ---------------------------------------------------------------------
@pytest.mark.parametrize(
    ("a", "b"),
    [((3, 5), (5, 2)), ((1, 1), (1, 1)), ((2, 3, 5), (2, 5, 4)), ((2, 3, 4, 1), (2, 3, 1, 6))],
    ids=str,
)
def test_matmul(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    check(lambda F, x, y: x @ y, [normal(*a), normal(*b)])
    check(lambda F, x, y: F.matmul(x, y), [normal(*a), normal(*b)])
    if len(a) == 3:
        check(lambda F, x, y: F.bmm(x, y), [normal(*a), normal(*b)])


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("shape", [(5,), (3, 5), (2, 3, 5), (2, 1, 3, 5)], ids=str)
def test_linear(shape: tuple[int, ...], biased: bool) -> None:
    inputs = [normal(*shape), normal(4, 5), *([normal(4)] if biased else [])]
    check(lambda F, *given: F.linear(*given), inputs)


DIMS = [None, 0, -1, (0,), (1, 3), (0, -1), (2, 0, 1, 3)]


@pytest.mark.parametrize("keepdim", [False, True])
@pytest.mark.parametrize("dim", DIMS, ids=str)
@pytest.mark.parametrize("name", ["sum", "mean", "amax"])
def test_reductions(name: str, dim: Any, keepdim: bool) -> None:
    def call(F: Any, x: Any) -> Any:
        if name == "amax" and dim is None:  # PyTorch's default is an empty tuple
            return F.amax(x, (0, 1, 2, 3), keepdim=keepdim)
        return getattr(F, name)(x, dim, keepdim=keepdim)

    check(call, [normal(2, 3, 1, 5)])


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_max_along_a_dimension(dim: int) -> None:
    x = normal(3, 4, 5).astype(np.float32)
    check(lambda F, x: F.max(x, dim)[0], [x])
    check(lambda F, x: x.max(dim, keepdim=True).values, [x])
    check(lambda F, x: x.max(), [x])
    ours, theirs = gp.tensor(x), torch.tensor(x)
    for ours_at, theirs_at in (
        (ours.max(dim).indices, theirs.max(dim).indices),
        (ours.argmax(dim, keepdim=True), theirs.argmax(dim, keepdim=True)),
        (ours.argmax(), theirs.argmax()),
        (ours.argmax(keepdim=True), theirs.argmax(keepdim=True)),
    ):
        assert ours_at.dtype == np.int32 and ours_at.requires_grad is False
        np.testing.assert_array_equal(ours_at.numpy(), theirs_at.numpy())


# -- arithmetic, which rounds once, and rearrangement, which does not round ------------------------
ARITHMETIC: dict[str, Call] = {
    "x + y": lambda F, x, y: x + y,
    "x - y": lambda F, x, y: x - y,
    "x * y": lambda F, x, y: x * y,
    "x / y": lambda F, x, y: x / y,
    "-x": lambda F, x, y: -x * y,
    "numbers": lambda F, x, y: (2 * x + 1) / 4 - (3 - y) * 0.5 + 1 / y - 2,
    "used twice": lambda F, x, y: x * x + y * x / (x - 5),
}


@pytest.mark.parametrize("shape", [(), (7,), (2, 3)], ids=str)
@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic(name: str, shape: tuple[int, ...]) -> None:
    check(ARITHMETIC[name], [normal(*shape), 2 + np.abs(normal(*shape))])


def same(call: Call, *shapes: tuple[int, ...]) -> None:
    """Values and gradients are equal: elements only move. The cotangents are small integers."""
    inputs = [np.arange(1.0, 1 + math.prod(s)).reshape(s) + 1000 * k for k, s in enumerate(shapes)]
    shape = run_torch(call, inputs, None, "float32")[0].shape
    cotangent = np.random.default_rng(0).integers(-8, 9, shape).astype(np.float64)
    expected = run_torch(call, inputs, cotangent, "float32")
    for a, b in zip(run_ours(call, inputs, cotangent, "float32"), expected, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 1, 4, 3)], ids=str)
@pytest.mark.parametrize("dims", list(itertools.permutations(range(4))), ids=str)
def test_permute(dims: tuple[int, ...], shape: tuple[int, ...]) -> None:
    same(lambda F, x: F.permute(x, dims), shape)
    same(lambda F, x: x.permute(*(d - 4 for d in dims)), shape)


@pytest.mark.parametrize("dims", list(itertools.product(range(3), repeat=2)), ids=str)
def test_transpose(dims: tuple[int, int]) -> None:
    same(lambda F, x: x.transpose(*dims), (2, 3, 4))
    same(lambda F, x: F.transpose(x, dims[0], dims[1] - 3), (2, 3, 4))


KEYS: list[Any] = [
    1,
    -1,
    ...,
    slice(None),
    None,
    slice(1, None),
    slice(-2, None, 2),
    slice(0, 100),
    (0, 1, 2),
    (..., 0),
    (0, ..., slice(1, 3)),
    (slice(None), -1),
    (slice(0, 2), slice(None, None, 2), slice(1, 2)),
    (slice(None), None, 1),
    (None, ..., None, slice(0, 1)),
    np.int64(1),
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_indexing(key: Any) -> None:
    same(lambda F, x: x[key], (3, 4, 5))


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_cat_and_stack(count: int, dim: int) -> None:
    shapes = [[2, 3, 4] for _ in range(count)]
    same(lambda F, *t: F.stack(t, dim=dim), *map(tuple, shapes))
    for k, shape in enumerate(shapes):
        shape[dim] = k + 1
    same(lambda F, *t: F.cat(t, dim=dim), *map(tuple, shapes))


def test_views() -> None:
    same(lambda F, x: F.reshape(x, (4, -1)), (2, 3, 4))
    same(lambda F, x: x.unsqueeze(-1).unsqueeze(0).unsqueeze(2), (2, 3))
    same(lambda F, x: x.squeeze(), (1, 2, 1, 3))
    same(lambda F, x: x.squeeze(0).squeeze(-1), (1, 2, 1, 3))
    same(lambda F, x: F.squeeze(x, (0, 2)), (1, 2, 1, 3))


@pytest.mark.parametrize("padding", [None, 2, -1])
def test_embedding(padding: int | None) -> None:
    t = np.array([[0, 2, 5], [5, 2, 2]])
    check(lambda F, t, w: F.embedding(t, w, padding), [t, normal(6, 3)])


def test_the_bounds_are_narrow() -> None:
    """A gradient that is wrong by 1e-8 fails in float64, and by 1e-4 in float32."""
    x = normal(7)
    right: Call = lambda F, x: F.tanh(x)  # noqa: E731
    check(right, [x])
    for factor in (1 + 1e-8, 1 + 1e-4):
        wrong: Call = lambda F, x, s=factor: F.tanh(x) * (1.0 if isinstance(F, Theirs) else s)  # noqa: E731
        with pytest.raises(AssertionError, match="float64" if factor < 1 + 1e-6 else "float32"):
            check(wrong, [x])
