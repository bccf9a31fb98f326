"""A buffer in its canonical shape holds the same elements for all who see it in another one."""

from __future__ import annotations

from itertools import pairwise
from math import prod

import numpy as np
import pytest
import sympy as sp

from gradproof.codegen.fast import views
from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.graph import Node
from gradproof.codegen.fast.nest import Access, Nest
from gradproof.codegen.fast.specialise import specialise
from gradproof.codegen.fast.views import canonical, groups, on_canonical, reshaping
from gradproof.derive.registry import find
from tests.nests import run
from tests.test_fast_specialise import CONV, POOL, all_sizes, equations, shapes_of

Shape = tuple[int, ...]


def factored(size: int, rng: np.random.Generator) -> Shape:
    """A random shape of some size, with ones."""
    out: list[int] = []
    while size > 1:
        divisors = [k for k in range(2, size + 1) if size % k == 0]
        out.append(int(rng.choice(divisors)))
        size //= out[-1]
        if rng.random() < 0.3:
            out.append(1)
    return tuple(out)


def merged(shape: Shape, rng: np.random.Generator) -> Shape:
    """A shape that joins neighbouring dimensions of another one."""
    cuts = sorted({0, len(shape), *(int(k) for k in rng.integers(0, len(shape) + 1, 2))})
    return tuple(prod(shape[a:b]) for a, b in pairwise(cuts))


@pytest.mark.parametrize("seed", range(100))
def test_groups_cover_both_shapes_in_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = factored(24, rng), factored(24, rng)
    found = groups(a, b)
    if found is None:
        return
    assert [d for left, _ in found for d in left] == [*range(len(a))]
    assert [d for _, right in found for d in right] == [*range(len(b))]
    for left, right in found:
        assert prod(a[d] for d in left) == prod(b[d] for d in right)
        assert len(left) <= 1 or len(right) <= 1


def test_shapes_that_cut_across_have_no_groups() -> None:
    assert groups((4, 3), (3, 4)) is None
    assert groups((2, 6), (3, 4)) is None
    assert groups((12,), (3, 4)) == [((0,), (0, 1))]


@pytest.mark.parametrize("seed", range(40))
def test_reshaping_copies_every_element(seed: int) -> None:
    rng = np.random.default_rng(seed)
    finer = factored(24, rng)
    coarser = merged(finer, rng)
    source = np.arange(24.0)
    there = reshaping("s", "t", finer, coarser, to_coarser=True)
    back = reshaping("s", "t", finer, coarser, to_coarser=False)
    assert (run((there,), coarser, {"s": source.reshape(finer)}) == source.reshape(coarser)).all()
    assert (run((back,), finer, {"s": source.reshape(coarser)}) == source.reshape(finer)).all()


CASES = [
    ("relu", {"T": 24}),
    ("add", {"T": 24}),
    ("linear", {"N": 4, "K": 12, "O": 6}),
    ("bmm", {"N": 2, "I": 4, "K": 6, "J": 3}),
    ("sum_axis", {"A": 4, "R": 6, "B": 2}),
    ("max_axis", {"A": 4, "R": 6, "B": 2}),
    ("transpose", {"I": 2, "A": 4, "J": 1, "B": 6, "K": 1}),
    ("slice_axis", {"A": 4, "H": 6, "B": 2, "F": 1, "S": 2, "X": 3}),
    ("conv2d", CONV | {"H": 1, "W": 8, "SW": 2}),
    ("max_pool2d", POOL | {"H": 1, "W": 6}),
    ("cat", {"A": 2, "H": 3, "K": 1, "B": 4}),
    ("batch_norm", {"N": 2, "C": 3, "L": 4}),
]


@pytest.mark.parametrize(("name", "sizes"), CASES)
def test_nests_on_canonical_shapes_are_equal(name: str, sizes: dict[str, int]) -> None:
    """Every tensor of every equation in finer, coarser and flat shapes."""
    rng = np.random.default_rng(0)
    done = 0
    for part, e in equations(name):
        nests = specialise(part, e, all_sizes(part, sizes))
        assert nests is not None
        seen = shapes_of(part, sizes)
        tensors = {e.target, *(r.tensor for n in nests for r in n.reads)}
        node = Node(0, e.target, frozenset(tensors), nests, {t: seen[t] for t in tensors})
        arrays = {t: rng.integers(1, 5, seen[t]).astype(float) for t in tensors}
        scalars = {n: 0.5 for n, _ in part.scalars}
        want = run(nests, seen[e.target], arrays, scalars)
        for trial in range(6):
            shapes = {
                t: (prod(s),) if trial == 0 else merged(s, rng) if trial % 2 else _finer(s, rng)
                for t, s in seen.items()
            }
            if trial == 5:  # the first two as one, which no window goes over
                shapes = {t: (prod(s[:2]), *s[2:]) for t, s in seen.items()}
            moved = on_canonical(node, shapes)
            if moved is None:
                continue
            done += 1
            placed = {t: a.reshape(shapes[t]) for t, a in arrays.items()}
            found = run(moved, shapes[e.target], placed, scalars)
            assert np.array_equal(found.reshape(-1), want.reshape(-1)), (e.target, shapes)
    assert done >= 1


def _finer(shape: Shape, rng: np.random.Generator) -> Shape:
    return tuple(k for n in shape for k in (factored(n, rng) or (1,)))


def _padded_column() -> tuple[Node, dict[str, Shape]]:
    """out[i, j] = a[i, j - 1] with zeros outside, where a has one column."""
    i, j = Affine.of("i"), Affine.of("j")
    read = Access("a", (i, j - Affine(1)), "zero")
    nest = Nest(
        Access("out", (i, j)), (("i", 3), ("j", 3)), (read,), (), sp.Symbol("r0", real=True)
    )
    node = Node(0, "out", frozenset("a"), (nest,), {"a": (3, 1), "out": (3, 3)})
    return node, {"a": (3,), "out": (3, 3)}


def test_what_lies_outside_stays_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """A dimension of one element that the canonical shape lacks still has an outside."""
    node, shapes = _padded_column()
    assert on_canonical(node, shapes) is None
    monkeypatch.setattr(views, "_inside", lambda *_: True)
    moved = on_canonical(node, shapes)
    assert moved is not None and node.nests is not None
    a = np.array([1.0, 2.0, 3.0])
    wrong = run(moved, (3, 3), {"a": a})
    assert not np.array_equal(wrong, run(node.nests, (3, 3), {"a": a.reshape(3, 1)}))


def test_canonical_shapes() -> None:
    (nest,) = specialise(find("relu"), find("relu").equations[0], {"T": 24}) or ()
    flat = Node(0, "z", frozenset("Y"), (nest,), {"Y": (24,), "z": (24,)})
    assert canonical([flat], {"Y": (2, 3, 4), "z": (24,)}) == {"Y": (2, 3, 4), "z": (2, 3, 4)}
    assert canonical([flat], {"Y": (2, 12), "z": (8, 3)}) == {"Y": (24,), "z": (24,)}
    assert canonical([], {"Y": (2, 12)}) == {"Y": (2, 12)}
