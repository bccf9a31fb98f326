"""The vector schedule: every shipped operator's affine nests against NumPy, on several layouts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.kernel import FastKernel
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
    "conv3d": {"T": 3},
    "conv_transpose3d": {"T": 3},
}
POOLS = ["max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "upsample_nearest"]
CHANNELS = ["batch_norm", "batch_norm_inference", "instance_norm", *POOLS, "relu", "adam"]
STRIDED = {"SH": 2, "SW": 2, "S": 2, "DH": 2, "H": 9, "W": 8, "L": 20, "PT": 0}
SCALARS = {"eps": 2.0, "threshold": 3.0, "weight_decay": 0.25}


def sizes(d: Definition, more: Mapping[str, int]) -> dict[str, int]:
    """All sizes of an operator."""
    few = {"CG": 2, "OG": 3, "N": 1, "H": 4, "W": 4} if "conv" in d.name else {}
    chosen = {**AWKWARD, **few, **OWN.get(d.name, {}), **more}
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


def parts(name: str) -> list[Definition]:
    """An operator's forward and backward systems."""
    system = derive(find(name))
    return [p for p in (system.forward, system.backward) if p is not None]


@cache
def cases_of(name: str, strides: bool) -> tuple[Case, ...]:
    """One operator at awkward sizes; strides: at stride and dilation 2."""
    found = []
    for part in parts(name):
        for e in part.equations:
            known = sizes(part, STRIDED if strides else {})
            nests = specialise(part, e, known)
            if nests:
                found.append(Case(part, e.target, known, nests))
    return tuple(found)


def cases(names: Iterable[str], strides: bool = False) -> tuple[Case, ...]:
    """All of these operators'."""
    return tuple(c for name in names for c in cases_of(name, strides))


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
    kernels: list[FastKernel] = []
    tables: dict[str, Layout] = {}
    whole: set[str] = set()
    done = []
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
    assert list(run_all(cases(operators()), rows, "float64")) == []


def test_strides() -> None:
    windows = [n for n, d in operators().items() if {"SH", "SW", "S"} & {str(s) for s in d.sizes}]
    assert list(run_all(cases(windows, strides=True), rows, "float32")) == []


def test_blocked() -> None:
    assert list(run_all(cases(CHANNELS), blocked, "float32")) == []


def test_borders() -> None:
    pools = cases(["max_pool2d", "avg_pool2d"])
    assert list(run_all(pools, bordered, "float32")) == []


def _nests(name: str, known: dict[str, int]) -> dict[str, Nest]:
    """The first nest of each equation, by target."""
    found = {}
    for part in parts(name):
        for e in part.equations:
            nests = specialise(part, e, known)
            assert nests
            found[e.target] = nests[0]
    return found


def _norm() -> dict[str, Nest]:
    return _nests("batch_norm", {"N": 3, "C": 20, "L": 33})


def test_a_group_is_one_pass() -> None:
    """Four sums of batch norm's backward: each tensor is loaded once per element."""
    nests = _norm()
    group = [nests[t] for t in ("grad_var", "grad_mean", "grad_gamma", "grad_beta")]
    layouts = {t: blocked((20,)) for n in group for t in (n.out.tensor, "mean", "var", "gamma")}
    layouts |= {t: blocked((3, 20, 33)) for t in ("X", "grad_y")}
    kernel = vector_kernel("sums", group, layouts)
    assert kernel.text.count("for (int n =") == 1
    assert [t for t, written in kernel.tensors if written] == [n.out.tensor for n in group]
    assert kernel.scalars == (("eps", "real"),) and kernel.text.count("sqrt_lanes") <= 3
    job = Job([kernel], layouts, {"eps": 1.0})
    rng = np.random.default_rng(2)
    arrays = {t: rng.integers(1, 4, x.shape) for t, x in layouts.items()}
    for t, written in kernel.tensors:
        if not written:
            job.put(t, arrays[t])
    job.run()
    for n in group:
        expected = run((n,), (20,), {t: x.astype(float) for t, x in arrays.items()}, {"eps": 1.0})
        found = job.get(n.out.tensor)
        assert np.abs(found - expected).max() <= 256 * 2.0**-24 * np.abs(expected).max()


def test_a_target_is_used_where_it_is_computed() -> None:
    """Adam in place: p, m and v are read and written once, by one kernel."""
    nests = list(_nests("adam", {"T": 100}).values())
    home = {"m_new": "m", "v_new": "v", "p_new": "p"}
    moved = [_renamed(n, {t: home.get(t, t) for t in [*home, *"pgmv"]}) for n in nests]
    flat = Layout.row_major((100,))
    kernel = vector_kernel("adam", moved, dict.fromkeys("pgmv", flat))
    assert dict(kernel.tensors) == {"p": True, "g": False, "m": True, "v": True}
    scalars = {s: 0.5 for s, _ in kernel.scalars}
    job = Job([kernel], dict.fromkeys("pgmv", flat), scalars)
    rng = np.random.default_rng(4)
    data = {t: rng.integers(1, 5, 100).astype(float) for t in "pgmv"}
    for t, x in data.items():
        job.put(t, x)
    job.run()
    for n in nests:
        data[n.out.tensor] = run((n,), (100,), data, scalars)
    for new, old in home.items():
        assert np.abs(job.get(old) - data[new]).max() <= 16 * 2.0**-24 * np.abs(data[new]).max()


def test_refusals() -> None:
    nests = _norm()
    layouts = {t: blocked((20,)) for t in ("mean", "var", "gamma", "beta")}
    layouts |= {t: blocked((3, 20, 33)) for t in ("X", "y")}
    with pytest.raises(ValueError, match=r"y.*has the loops.*but mean"):
        vector_kernel("k", [nests["mean"], nests["y"]], layouts)
    with pytest.raises(ValueError, match="needs a nest"):
        vector_kernel("k", [], layouts)
    with pytest.raises(ValueError, match="no affine addresses"):
        vector_kernel("k", [nests["mean"]], layouts | {"mean": rows((20,))})
    shifted = Access("X", tuple(s + Affine(1) for s in nests["y"].out.subscripts), "zero")
    y = nests["y"]
    again = Nest(Access("X", y.out.subscripts), y.loops, (shifted,), (), sp.Symbol("r0", real=True))
    with pytest.raises(ValueError, match="which the same kernel computes"):
        vector_kernel("k", [again], layouts)
