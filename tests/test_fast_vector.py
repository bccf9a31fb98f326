"""The vector schedule: every shipped operator's affine nests against NumPy, on several layouts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
import sympy as sp
from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.nest import Access, Nest, Reduction
from gradproof.codegen.fast.specialise import specialise
from gradproof.codegen.fast.vector import vector_kernel
from gradproof.derive.language import Definition
from gradproof.derive.registry import find, operators
from gradproof.derive.system import derive
from tests.fast_device import Array, Job
from tests.nests import run

ONE = dict.fromkeys(("S", "SH", "SW", "ST", "DH", "DW", "DT", "D", "F"), 1)
SMALL = dict.fromkeys(("K", "KH", "KW", "KT"), 3) | dict.fromkeys(("G", "P", "EW", "EH"), 1)
EDGES = dict.fromkeys(("PT", "PB", "PL", "PR", "PF", "PK", "ET"), 1)
DATA = {"N": 2, "C": 19, "CG": 5, "OG": 18, "H": 5, "W": 7, "T": 37, "L": 21, "M": 4, "R": 6}
AWKWARD = {**DATA, **ONE, **SMALL, **EDGES, "A": 3, "B": 17, "I": 3, "J": 4, "O": 18, "V": 7}
AWKWARD |= {"OH": 5, "OW": 7, "X": 4, "ignore": 1, "padding": 1}
OWN = {
    "linear": {"K": 33},
    "embedding": {"K": 18},
    "transpose": {"K": 5},
    "cat": {"K": 4},
    "conv3d": {"CG": 2, "OG": 3, "T": 3, "H": 4, "W": 4},
    "conv_transpose3d": {"CG": 2, "OG": 3, "T": 3, "H": 3, "W": 4},
}
STRIDED = {"SH": 2, "SW": 2, "S": 2, "DH": 2, "H": 9, "W": 8, "L": 20, "PT": 0}
SCALARS = {"eps": 2.0, "threshold": 3.0, "weight_decay": 0.25}


def sizes(d: Definition, more: Mapping[str, int] = {}) -> dict[str, int]:  # noqa: B006
    """All sizes of an operator."""
    chosen = {**AWKWARD, **OWN.get(d.name, {}), **more}
    known = {s: chosen[str(s)] for s in d.sizes}
    for s, e in d.derived:
        known[s] = int(e.xreplace(known))
    return {str(s): int(n) for s, n in known.items()}


class Case:
    """The nests of one equation, data, and what NumPy makes of it."""

    def __init__(self, part: Definition, target: str, known: dict[str, int], nests: Any) -> None:
        self.name, self.target, self.nests = f"{part.name}_{target}", target, nests
        values = {s: known[str(s)] for s in [*part.sizes, *(x for x, _ in part.derived)]}
        self.shapes = {t.name: tuple(int(n.xreplace(values)) for n in t.shape)
                       for t in part.tensors}  # fmt: skip
        self.whole = frozenset(t.name for t in part.tensors if t.dtype == "int")
        self.used = sorted({a.tensor for n in nests for a in n.reads})
        self.scalars = {s: SCALARS.get(s, 3.0) for n in nests for s, _ in n.scalars}
        self.exact = all(map(_polynomial, nests))
        rng = np.random.default_rng(len(self.name))
        for low in (-3, 1):  # positive where a logarithm or a root needs it
            self.arrays = {t: rng.integers(low, 4, self.shapes[t]) for t in self.used}
            for t in self.whole & set(self.used):
                self.arrays[t] = np.abs(self.arrays[t])
            with np.errstate(all="ignore"):
                kind = np.int64 if target in self.whole else np.float64
                data = {t: x.astype(np.int64 if t in self.whole else np.float64)
                        for t, x in self.arrays.items()}  # fmt: skip
                self.expected = run(nests, self.shapes[target], data, self.scalars, kind)
            if np.isfinite(self.expected).all():
                break

    def check(self, found: Array, dtype: str) -> None:
        """Equal, or as near as sums of that many terms and builtins allow."""
        if self.exact:
            assert np.array_equal(found, self.expected, equal_nan=True), self.name
            return
        terms = max(sum(e for _, e in r.loops) for n in self.nests for r in (*n.reductions, _NONE))
        bound = (64 + terms) * np.finfo(dtype).eps * np.maximum(1, np.abs(self.expected).max())
        assert (np.abs(found - self.expected) <= bound).all(), self.name


_NONE = Reduction("sum", (), sp.Integer(0))


def _polynomial(n: Nest) -> bool:
    """Whether integers stay integers."""
    es = [n.value, *(r.term for r in n.reductions)]
    return all(
        not e.atoms(sp.exp, sp.log, sp.tanh, sp.erf)
        and all(p.exp.is_Integer and p.exp > 0 for p in e.atoms(sp.Pow))
        and all(x.q & (x.q - 1) == 0 for x in e.atoms(sp.Rational))
        for e in es
    )


@cache
def cases(strides: bool) -> tuple[Case, ...]:
    """All operators at awkward sizes; strides: those with windows, at stride and dilation 2."""
    found = []
    for name, d in operators().items():
        if strides and not {"SH", "SW", "S"} & {str(s) for s in d.sizes}:
            continue
        system = derive(d)
        for part in (system.forward, system.backward):
            for e in part.equations if part else ():
                known = sizes(part, STRIDED if strides else {})
                nests = specialise(part, e, known)
                if nests:
                    found.append(Case(part, e.target, known, nests))
        assert name
    return tuple(found)


def rows(shape: tuple[int, ...]) -> Layout:
    """Row-major."""
    return Layout.row_major(shape)


def blocked(shape: tuple[int, ...]) -> Layout:
    """16 channels together; vectors too; no border."""
    return Layout.blocked(shape, min(1, len(shape) - 1)) if shape else Layout.row_major(shape)


def bordered(shape: tuple[int, ...]) -> Layout:
    """16 channels together, a border of one in the other dimensions."""
    if len(shape) < 3:
        return blocked(shape)
    ends = tuple(int(d > 1) for d in range(len(shape)))
    return Layout.blocked(shape, 1, low=ends, high=ends)


def run_all(which: tuple[Case, ...], layout: Any, dtype: str) -> Iterator[str]:
    """Runs each case; gives the names of those that these layouts do not take."""
    kernels, tables, whole, done = [], {}, set(), []
    for number, c in enumerate(which):
        own = {t: f"{t}_{number}" for t in (*c.used, c.target)}
        nests = [_renamed(n, own) for n in c.nests]
        layouts = {own[t]: layout(c.shapes[t]) for t in own}
        ints = frozenset(own[t] for t in own if t in c.whole)
        try:
            made = [
                vector_kernel(f"k{number}_{p}", [n], layouts, ints) for p, n in enumerate(nests)
            ]
        except ValueError:
            yield c.name
            continue
        kernels += made
        tables |= layouts
        whole |= ints
        done.append((number, c, own))
    scalars = {s: v for c in which for s, v in c.scalars.items()}
    job = Job(kernels, tables, scalars, dtype, frozenset(whole))
    for _, c, own in done:
        for t in c.used:
            job.put(own[t], c.arrays[t])
    job.run()
    for _, c, own in done:
        c.check(job.get(own[c.target]), dtype)


def _renamed(n: Nest, own: Mapping[str, str]) -> Nest:
    def access(a: Access) -> Access:
        return Access(own[a.tensor], a.subscripts, a.outside)

    return Nest(
        access(n.out), n.loops, tuple(map(access, n.reads)), n.reductions, n.value, n.scalars
    )


def test_row_major() -> None:
    assert list(run_all(cases(False), rows, "float64")) == []


def test_strides_row_major() -> None:
    assert list(run_all(cases(True), rows, "float32")) == []


def test_blocked() -> None:
    print(list(run_all(cases(False), blocked, "float32")))


def test_bordered() -> None:
    print(list(run_all(cases(True), bordered, "float64")))
