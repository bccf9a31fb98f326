"""Nests of known sizes say what the derived equation says, for awkward sizes of every operator."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.nest import Nest
from gradproof.codegen.fast.specialise import specialise
from gradproof.derive.errors import DefinitionError
from gradproof.derive.expr import Philox, Reduce
from gradproof.derive.language import Definition, Equation
from gradproof.derive.machine import Machine
from gradproof.derive.registry import find, operators
from gradproof.derive.system import derive
from tests.nests import evaluate
from tests.steps import Wide

LIMIT = 20_000  # index tuples of an equation
UNIT = np.finfo(np.float64).eps
# their places are read from memory, or their values come from a generator
WITHOUT_NESTS = {"dropout", "embedding", "embedding_padding"}
CONV = {
    "N": 2,
    "G": 1,
    "CG": 2,
    "OG": 3,
    "H": 6,
    "W": 7,
    "KH": 3,
    "KW": 3,
    "SH": 1,
    "SW": 1,
    "DH": 1,
    "DW": 1,
}
CONV |= {"PT": 1, "PB": 1, "PL": 1, "PR": 1}
POOL = {k: v for k, v in CONV.items() if k not in ("G", "CG", "OG")} | {"C": 3}
TURNED = CONV | {"EH": 0, "EW": 0}
AWKWARD: list[tuple[str, dict[str, int]]] = [
    ("conv2d", CONV | {"SH": 2, "SW": 3}),
    ("conv2d", CONV | {"SH": 2, "DH": 2, "SW": 4, "DW": 6, "W": 14, "PL": 3}),  # gcd(S, D) > 1
    ("conv2d", CONV | {"SH": 5, "SW": 4, "KH": 2, "KW": 1}),  # S > K: elements nobody reads
    ("conv2d", CONV | {"KH": 1, "KW": 2, "PT": 3, "PB": 2, "PL": 4, "PR": 0}),  # P > K
    ("conv2d", CONV | {"G": 3, "CG": 1, "OG": 2, "SH": 2}),
    ("conv2d", CONV | {"G": 2, "CG": 3, "OG": 1, "DW": 2, "SW": 2}),
    ("conv2d", CONV | {"H": 1, "W": 1, "SH": 2, "SW": 3}),
    ("conv2d", CONV | {"N": 1, "CG": 1, "OG": 1, "KH": 1, "KW": 1, "SH": 2, "PT": 0, "PB": 0}),
    ("conv_transpose2d", TURNED | {"SH": 2, "SW": 3, "EH": 1, "EW": 2}),
    ("conv_transpose2d", TURNED | {"SH": 4, "DH": 6, "SW": 2, "DW": 4, "EH": 3}),
    ("conv_transpose2d", TURNED | {"SH": 5, "SW": 4, "KH": 2, "KW": 1, "PT": 0, "PB": 0}),
    ("conv_transpose2d", TURNED | {"G": 3, "CG": 2, "OG": 1, "SH": 2, "H": 1}),
    ("max_pool2d", POOL | {"SH": 2, "SW": 3, "PT": 1, "PL": 1}),
    ("max_pool2d", POOL | {"SH": 2, "DH": 2, "SW": 4, "DW": 2, "KW": 2}),
    ("max_pool2d", POOL | {"SH": 4, "KH": 2, "SW": 1, "H": 7, "W": 1, "PL": 1, "PR": 1}),
    ("slice_axis", {"A": 2, "H": 11, "B": 3, "F": 2, "S": 3, "X": 3}),
    ("slice_axis", {"A": 1, "H": 7, "B": 1, "F": 0, "S": 2, "X": 3}),
    ("upsample_nearest", {"C": 2, "H": 3, "W": 4, "OH": 6, "OW": 6}),
    ("pad_reflect", {"A": 2, "H": 4, "B": 2, "PT": 3, "PB": 2}),
    ("cat", {"A": 2, "H": 3, "K": 1, "B": 2}),
]


def shapes_of(part: Definition, sizes: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    return dict(Machine.sized(part, sizes).shapes)


def arrays_of(
    part: Definition, shapes: Mapping[str, tuple[int, ...]], machine: Machine, seed: int
) -> dict[str, Any]:
    """Whole numbers, a few zeros; positive where roots and quotients are taken; labels in range."""
    rng = np.random.default_rng(seed)
    found = {}
    for t in part.tensors:
        if t.dtype == "int":
            end = 3 if t.values is None else machine.extent(t.values)
            found[t.name] = rng.integers(0, end, shapes[t.name])
        else:
            low = 1 if t.name in ("var", "v", "s", "count", "divisor") else -4
            found[t.name] = rng.integers(low, 5, shapes[t.name]).astype(np.longdouble)
    return found


def expected(part: Definition, target: str, sizes: Mapping[str, int], arrays: Any) -> Any:
    """The equation as its definition says it, for every index tuple."""
    machine = Machine.sized(part, sizes)
    machine.numbers = Wide()
    machine.numbers.dtype = np.longdouble
    machine.scalars = scalars_of(part)
    machine.tensors = {n: a for n, a in arrays.items() if n != target}
    with np.errstate(all="ignore"):
        return machine.equation(target)


def scalars_of(part: Definition) -> dict[str, Any]:
    return {n: 3 if kind == "uint" else np.longdouble(0.5) for n, kind in part.scalars}


def all_sizes(part: Definition, sizes: Mapping[str, int]) -> dict[str, int]:
    return {str(s): n for s, n in Machine.sized(part, sizes).sizes.items()}


def check(
    nests: tuple[Nest, ...], part: Definition, e: Equation, sizes: Mapping[str, int], seed: int = 0
) -> None:
    """Every element once, and equal to what the equation says: exactly where it only adds and
    multiplies, within a unit of float64 in wider floats elsewhere."""
    machine = Machine.sized(part, sizes)
    shapes = shapes_of(part, sizes)
    arrays = arrays_of(part, shapes, machine, seed)
    count = np.zeros(shapes[e.target], np.int64)
    found = np.zeros(shapes[e.target], np.longdouble)
    for n in nests:
        with np.errstate(all="ignore"):
            places, value = evaluate(n, arrays, scalars_of(part))
        np.add.at(count, places, np.ones(value.shape, np.int64))
        found[places] = value
    assert (count == 1).all(), f"{e.target}: written {np.unique(count)} times"
    want = expected(part, e.target, sizes, arrays)
    if is_exact(e.body):
        assert np.array_equal(found, want), e.target
    else:
        finite = np.isfinite(want.astype(np.float64))
        assert np.array_equal(finite, np.isfinite(found)), e.target
        scale = np.abs(want[finite]).max(initial=1)
        assert (np.abs(found[finite] - want[finite]) <= UNIT * scale).all(), e.target


def is_exact(e: sp.Basic) -> bool:
    """Whether whole numbers give whole numbers or halves: no roots, quotients, functions."""
    return not e.atoms(sp.Pow, sp.exp, sp.log, sp.tanh, sp.erf) and all(
        k.q in (1, 2) for k in e.atoms(sp.Rational)
    )


def equations(name: str) -> list[tuple[Definition, Equation]]:
    system = derive(find(name))
    parts = [p for p in (system.forward, system.backward) if p is not None]
    return [(p, e) for p in parts for e in p.equations]


def draw(d: Definition, rng: np.random.Generator) -> dict[str, int] | None:
    """Small sizes that the operator takes, or None."""
    lower = dict(d.lower)
    for _ in range(400):
        sizes = {}
        for s in d.sizes:
            low = lower.get(s, -1 if str(s)[0] in "PE" else 0)
            sizes[str(s)] = int(rng.integers(low, max(low, 1) + 4))
        try:
            shapes = shapes_of(d, sizes)
        except (DefinitionError, KeyError):
            continue
        if all(0 < np.prod(n) <= 300 for n in map(np.array, shapes.values())):
            return sizes
    return None


def tuples(e: Equation, part: Definition, sizes: Mapping[str, int]) -> int:
    machine = Machine.sized(part, sizes)
    inner = [int(np.prod([machine.extent(n) for _, n in r.indices])) for r in e.body.atoms(Reduce)]
    return int(np.prod(machine.shapes[e.target])) * max(inner, default=1)


@pytest.mark.parametrize("name", sorted(operators()))
def test_random_sizes(name: str) -> None:
    rng = np.random.default_rng(sum(map(ord, name)))
    d = find(name)
    for seed in range(3):
        sizes = draw(d, rng)
        assert sizes is not None, "no sizes were found"
        for part, e in equations(name):
            if tuples(e, part, sizes) > LIMIT or e.body.has(sp.erf):
                continue
            nests = specialise(part, e, all_sizes(part, sizes))
            if nests is None:
                assert name in WITHOUT_NESTS or name in SOMETIMES, (e.target, sizes)
            else:
                check(nests, part, e, sizes, seed)


# Some equations or sizes have no nest: labels are places, a quotient stays where a loop is no
# multiple of its divisor, padding beyond the last window hides that a window is inside.
SOMETIMES = {"upsample_nearest", "upsample_linear", "max_pool2d", "conv_transpose3d"}
SOMETIMES |= {"adaptive_avg_pool2d", "softmax_cross_entropy", "cross_entropy", "nll"}


@pytest.mark.parametrize(("name", "sizes"), AWKWARD)
def test_awkward_sizes(name: str, sizes: dict[str, int]) -> None:
    for part, e in equations(name):
        nests = specialise(part, e, all_sizes(part, sizes))
        assert nests is not None, e.target
        check(nests, part, e, sizes)


@pytest.mark.parametrize("name", sorted(WITHOUT_NESTS))
def test_no_nest_where_places_are_not_affine(name: str) -> None:
    sizes = {"T": 5, "N": 3, "K": 4, "V": 5, "padding": 1}
    part, e = equations(name)[0]
    assert specialise(part, e, {str(s): sizes[str(s)] for s in part.sizes}) is None
    assert name != "dropout" or e.body.atoms(Philox)


def _shifted(n: Nest, k: int) -> Nest:
    """One read at a neighbouring element."""
    reads = list(n.reads)
    at = reads[k]
    moved = (*at.subscripts[:-1], at.subscripts[-1] + Affine(1))
    reads[k] = replace(at, subscripts=moved, outside="zero")
    return replace(n, reads=tuple(reads))


def test_mistakes_are_caught() -> None:
    sizes = CONV | {"SH": 2, "SW": 2}
    (part, e) = next((p, e) for p, e in equations("conv2d") if e.target == "grad_Y")
    nests = specialise(part, e, all_sizes(part, sizes))
    assert nests is not None and len(nests) == 4
    check(nests, part, e, sizes)
    with pytest.raises(AssertionError, match="written"):
        check(nests[1:], part, e, sizes)  # a phase is missing
    with pytest.raises(AssertionError, match="written"):
        check((*nests, nests[0]), part, e, sizes)  # one comes twice
    first, *others = nests
    for k in range(len(first.reads)):
        with pytest.raises(AssertionError):
            check((_shifted(first, k), *others), part, e, sizes)
    (r,) = first.reductions
    for wrong in (
        replace(r, guards=(Affine(-1),)),
        replace(r, loops=tuple((v, max(1, n - 1)) for v, n in r.loops)),
        replace(r, term=r.term * 2),
    ):
        with pytest.raises(AssertionError):
            check((replace(first, reductions=(wrong,)), *others), part, e, sizes)
    late = replace(first, out=replace(first.out, subscripts=nests[1].out.subscripts))
    with pytest.raises((AssertionError, IndexError)):
        check((late, *others), part, e, sizes)  # a residue twice, another not at all
