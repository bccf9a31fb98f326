"""The direct schedule: exact on integers, refused where the layouts do not allow it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from math import prod
from typing import Any

import numpy as np
import pytest
import sympy as sp

from gradproof.codegen.fast import contraction_schedule
from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.contraction import (
    contraction_cost,
    contraction_kernel,
    contraction_layouts,
    contraction_tiles,
)
from gradproof.codegen.fast.contraction_phases import phases
from gradproof.codegen.fast.contraction_values import MANY
from gradproof.codegen.fast.inline import renamed
from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.machine import AVX512
from gradproof.codegen.fast.nest import Access, Nest
from gradproof.codegen.fast.specialise import specialise
from gradproof.codegen.fast.tiles import balanced
from gradproof.derive.language import Definition, operator
from gradproof.derive.registry import find
from gradproof.derive.system import derive
from tests.fast_device import Job
from tests.nests import run

Array = np.ndarray[Any, Any]
Layouts = dict[str, Layout]
UNIT = 2.0**-24  # float32's unit roundoff


@dataclass(frozen=True)
class Equation:
    """The phases of one equation and the shapes of its tensors."""

    nests: tuple[Nest, ...]
    shapes: dict[str, tuple[int, ...]]

    @property
    def target(self) -> str:
        return self.nests[0].out.tensor

    def layouts(self) -> Layouts:
        found = contraction_layouts(self.nests, self.shapes)
        assert found is not None
        return found

    def prefixed(self, prefix: str) -> Equation:
        """Tensors of its own, to share a program with others."""
        names = {t: f"{prefix}_{t}" for t in self.shapes}
        nests = tuple(renamed(n, names) for n in self.nests)
        return Equation(nests, {names[t]: s for t, s in self.shapes.items()})


@cache
def system(name: str) -> Any:
    return derive(USERS[name] if name in USERS else find(name))


def equations(name: str, **sizes: int) -> dict[str, Equation]:
    """The sums of products of an operator and of its gradients, by target."""
    found = {}
    s = system(name)
    for part in (s.forward, s.backward):
        known = all_sizes(part, sizes)
        symbols = {sp.Symbol(k, integer=True): v for k, v in known.items()}
        shapes = {
            t.name: tuple(int(sp.sympify(n).xreplace(symbols)) for n in t.shape)
            for t in part.tensors
        }
        for e in part.equations:
            nests = specialise(part, e, known)
            if nests is not None and contraction_layouts(nests, shapes) is not None:
                used = {a.tensor for n in nests for a in (n.out, *n.reads)}
                found[e.target] = Equation(nests, {t: shapes[t] for t in used})
    return found


def all_sizes(d: Definition, sizes: Mapping[str, int]) -> dict[str, int]:
    known = {sp.Symbol(k, integer=True): sp.Integer(v) for k, v in sizes.items()}
    for s, value in d.derived:
        known[s] = value.xreplace(known)
    return {str(k): int(v) for k, v in known.items()}


def conv(
    *, H: int = 7, W: int = 9, K: int = 3, S: int = 1, D: int = 1, P: int = 1, **more: int
) -> dict[str, Equation]:
    given = {"N": 2, "G": 1, "CG": 16, "OG": 32, "H": H, "W": W, "KH": K, "KW": K}
    given |= {f"{k}{axis}": v for k, v in (("S", S), ("D", D)) for axis in "HW"}
    return equations("conv2d", **(given | dict.fromkeys(("PT", "PB", "PL", "PR"), P) | more))


USERS = {
    "product": operator("product", "Z[i,j] = sum[k](A[i,k] * B[k,j])", {"A": "I, K", "B": "K, J"}),
    "depthwise": operator(
        "depthwise",
        "z[n,c,x,y] = sum[i:K, j:K](w[c,i,j] * Y[n, c, x + i - 1, y + j - 1])",
        {"Y": "N, C, H, W", "w": "C, K, K", "z": "N, C, H, W"},
        outside={"Y": "zero"},
    ),
    "columns": operator(
        "columns", "z[i,j] = sum[k](A[i,k] * B[i,k])", {"A": "I, K", "B": "I, K", "z": "I, J"}
    ),
    "odd": operator(
        "odd",
        "Z[a,q,p] = sum[k,r](A[a, k, 2*p + 3*r - 1] * B[k,r,q,a])",
        {"A": "I, K, L", "B": "K, R, Q, I", "Z": "I, Q, P"},
        outside={"A": "zero"},
    ),
}


# -- running --------------------------------------------------------------------------------------
def data(e: Equation, seed: int = 0) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    reads = sorted({a.tensor for n in e.nests for a in n.reads})
    return {t: rng.integers(-3, 4, e.shapes[t]).astype(float) for t in reads}


def built(name: str, e: Equation, layouts: Layouts, **how: Any) -> FastKernel:
    k = contraction_kernel(name, e.nests, layouts, **how)
    assert k is not None
    return k


def exact(cases: Mapping[str, tuple[Equation, Layouts | None]], **how: Any) -> None:
    """All cases in one program, each compared with its nests."""
    own = {name: e.prefixed(name) for name, (e, _) in cases.items()}
    layouts: Layouts = {}
    kernels = []
    for name, (_, given) in cases.items():
        wanted = {f"{name}_{t}": x for t, x in (given or {}).items()} or own[name].layouts()
        kernels.append(built(f"k_{name}", own[name], wanted, **how))
        layouts |= wanted
    job = Job(kernels, layouts)
    arrays = {name: data(e) for name, e in own.items()}
    for found in arrays.values():
        for t, x in found.items():
            job.put(t, x)
    job.run()
    for name, e in own.items():
        want = run(e.nests, e.shapes[e.target], arrays[name])
        assert np.array_equal(job.get(e.target), want), name


def wished(found: Mapping[str, Equation]) -> dict[str, tuple[Equation, None]]:
    return {t: (e, None) for t, e in found.items()}


# -- exact ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "sizes",
    [
        {"S": 2, "H": 9},
        {"S": 3, "D": 2, "P": 2, "H": 8},
        {"K": 1, "P": 0, "S": 2},
        {"K": 7, "S": 2, "P": 3, "CG": 3, "H": 9},
        {"G": 2, "OG": 32, "CG": 32, "H": 5, "W": 6},
        {"G": 2, "OG": 16, "CG": 16, "H": 5, "W": 6},
        {"N": 16, "K": 5, "CG": 1, "OG": 6, "P": 2, "W": 7},
        {"N": 16, "CG": 3, "OG": 10, "H": 5, "W": 6},
        {"G": 16, "CG": 1, "OG": 1, "P": 1},
    ],
    ids=str,
)
def test_convolutions_are_exact(sizes: dict[str, int]) -> None:
    found = conv(**sizes)
    assert set(found) == {"z", "grad_Y", "grad_w"}
    exact(wished(found))


def test_other_sums_of_products_are_exact() -> None:
    cases: dict[str, tuple[Equation, None]] = {}
    given = {
        "conv1d": {"N": 3, "G": 1, "CG": 16, "OG": 32, "L": 21, "K": 5, "S": 2, "D": 3}
        | {"PL": 4, "PR": 4},
        "linear": {"N": 5, "K": 33, "O": 32},
        "product": {"I": 16, "K": 7, "J": 32},
        "depthwise": {"N": 2, "C": 16, "H": 7, "W": 9, "K": 3},
        "odd": {"I": 3, "K": 6, "L": 20, "R": 4, "Q": 32, "P": 9},
    }
    for name, sizes in given.items():
        found = equations(name, **sizes)
        assert found, name
        cases |= {f"{name}_{t}": (e, None) for t, e in found.items()}
    exact(cases)


def test_three_axes() -> None:
    sizes = {"N": 2, "G": 1, "CG": 16, "OG": 16, "T": 3, "H": 4, "W": 5}
    sizes |= {f"{k}{axis}": 1 for k in "SD" for axis in "THW"}
    sizes |= {"KT": 2, "KH": 2, "KW": 3, **dict.fromkeys(("PF", "PK", "PT", "PB", "PL", "PR"), 1)}
    exact(wished({"z": equations("conv3d", **sizes)["z"]}))


def batch_lanes(e: Equation) -> Layouts:
    """The batch innermost wherever there is one, weights row-major."""
    found = e.layouts()
    for t, s in e.shapes.items():
        x = found[t]
        if len(s) == 4 and t.removeprefix("grad_") in ("Y", "z"):
            found[t] = Layout.blocked(s, 0, low=x.low, high=x.high)
        else:
            found[t] = Layout.row_major(s)
    return found


def test_the_batch_as_lane_where_others_ask_for_it() -> None:
    """The gradient of the weights then sums over the lane."""
    found = conv(N=32, CG=2, OG=16, H=5, W=6, P=0)
    exact({t: (e, batch_lanes(e)) for t, e in found.items()})
    e = found["grad_w"]
    assert "lane n_i" in built("k", e, batch_lanes(e)).note


def test_larger_borders_and_unaligned_lanes() -> None:
    e = conv(W=16)["z"]
    y = Layout.blocked(e.shapes["Y"], 1, low=(0, 0, 2, 3), high=(0, 0, 4, 1))
    z = Layout.blocked(e.shapes["z"], 1, low=(0, 0, 1, 1), high=(0, 0, 1, 1))
    rows = {t: Layout.row_major(s) for t, s in e.shapes.items()}
    rows["Y"] = Layout.row_major(e.shapes["Y"], (0, 0, 1, 1), (0, 0, 1, 1))
    exact({"wide": (e, e.layouts() | {"Y": y, "z": z}), "rows": (e, rows)})
    assert "lane y" in built("k", e, rows).note


def test_pieces_of_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hoisted sums keep their parts in the target; long ones add partial sums."""
    monkeypatch.setattr(contraction_schedule, "CACHE", 2048)
    monkeypatch.setattr(contraction_schedule, "CACHE_2", 4096)
    monkeypatch.setattr(contraction_schedule, "PART", 8)
    found = conv(N=8, CG=32, H=4, W=7)
    assert "c_o_h" in built("k", found["z"], found["z"].layouts()).text
    assert "total_" in built("k", found["z"], found["z"].layouts()).text
    exact(wished(found))


def test_all_tiles_are_exact() -> None:
    e = conv(H=5, W=7)["z"]
    tiles = contraction_tiles(e.nests, e.layouts(), 3)
    assert len(set(tiles)) == 3
    for k, tile in enumerate(tiles):
        assert built("k", e, e.layouts(), force=tile).note == tile
        exact({f"t{k}": (e, None)}, force=tile)
    exact(wished(conv(S=2, H=9, W=14)), machine=AVX512)


def test_double_precision() -> None:
    e = conv()["z"]
    layouts = e.layouts()
    job = Job([built("k", e, layouts)], layouts, dtype="float64")
    arrays = data(e)
    for t, x in arrays.items():
        job.put(t, x)
    job.run()
    assert np.array_equal(job.get("z"), run(e.nests, e.shapes["z"], arrays))


def test_long_sums_stay_within_the_bound_of_partial_sums() -> None:
    """The error of sums in parts of p is (p + n/p) units at most, times the sum of |a||b|."""
    e = equations("linear", N=4, K=8192, O=16)["z"]
    layouts = e.layouts()
    job = Job([built("k", e, layouts)], layouts)
    rng = np.random.default_rng(3)
    arrays = {t: rng.standard_normal(e.shapes[t]).astype(np.float32) for t in data(e)}
    for t, x in arrays.items():
        job.put(t, x)
    job.run()
    exactly = {t: x.astype(float) for t, x in arrays.items()}
    size = np.abs(exactly["Y"]) @ np.abs(exactly["w"]).T + np.abs(exactly["b"])
    terms = contraction_schedule.PART + 8192 / contraction_schedule.PART + 2
    error = np.abs(job.get("z") - run(e.nests, e.shapes["z"], exactly))
    assert (error <= terms * UNIT / (1 - terms * UNIT) * size).all()


# -- what follows the sum -------------------------------------------------------------------------
def elementwise(e: Equation, out: str, reads: tuple[str, ...], value: sp.Expr) -> Nest:
    """out[...] = value(r0, r1, ...) over all elements of the target, with loops of its own."""
    shape = e.shapes[e.target]
    loops = tuple((f"q{d}", n) for d, n in enumerate(shape))
    place = tuple(Affine.of(v) for v, _ in loops)
    return Nest(Access(out, place), loops, tuple(Access(t, place) for t in reads), (), value)


@pytest.mark.parametrize("store", [True, False])
@pytest.mark.parametrize(
    ("target", "sizes"),
    [("z", {}), ("grad_Y", {"S": 2}), ("z", {"N": 16, "OG": 3}), ("grad_Y", {"CG": 3, "OG": 64})],
)
def test_epilogues(target: str, sizes: dict[str, int], store: bool) -> None:
    """relu(target) and relu(target) + residual, stored beside the target or instead of it."""
    e = conv(H=6, W=7, **sizes)[target]
    r0, r1 = sp.symbols("r0 r1", real=True)
    relu = elementwise(e, "positive", (target,), sp.Piecewise((0, r0 <= 0), (r0, True)))
    added = elementwise(e, "added", ("positive", "rest"), r0 + 2 * r1)
    layouts = e.layouts()
    for t in ("positive", "added", "rest"):
        layouts[t] = layouts[target]
    k = built("k", e, layouts, epilogue=(relu, added), store=store)
    assert ((target, True) in k.tensors) == store
    job = Job([k], layouts)
    arrays = data(e)
    rest = np.random.default_rng(1).integers(-3, 4, e.shapes[target]).astype(float)
    for t, x in {**arrays, "rest": rest}.items():
        job.put(t, x)
    job.run()
    want = run(e.nests, e.shapes[target], arrays)
    positive = np.maximum(want, 0)
    assert np.array_equal(job.get("positive"), positive)
    assert np.array_equal(job.get("added"), positive + 2 * rest)
    if store:
        assert np.array_equal(job.get(target), want)


@pytest.mark.parametrize(
    ("target", "sizes"), [("z", {}), ("grad_Y", {"S": 2}), ("grad_Y", {"OG": 64})]
)
def test_values_of_many_reads_are_loops_over_the_places_of_a_tile(
    target: str, sizes: dict[str, int]
) -> None:
    e = conv(H=6, W=7, **sizes)[target]
    names = tuple(f"rest{k}" for k in range(MANY))
    r = sp.symbols(f"r0:{MANY + 1}", real=True)
    many = elementwise(
        e, "many", (target, *names), sum(((k + 2) * x for k, x in enumerate(r)), r[0])
    )
    few = elementwise(e, "many", (target, *names[1:-1]), r[0] + r[1])
    layouts = e.layouts()
    layouts |= dict.fromkeys(("many", *names), layouts[target])
    assert "accs" not in built("k", e, layouts, epilogue=(few,)).text
    k = built("k", e, layouts, epilogue=(many,))
    assert "accs[" in k.text and k.text.count("STORED(m_many") + k.text.count("PLACED(m_many") <= 8
    job = Job([k], layouts)
    arrays = data(e)
    rng = np.random.default_rng(1)
    rest = {n: rng.integers(-3, 4, e.shapes[target]).astype(float) for n in names}
    for t, x in {**arrays, **rest}.items():
        job.put(t, x)
    job.run()
    want = run(e.nests, e.shapes[target], arrays)
    added = sum((j + 3) * x for j, x in enumerate(rest.values()))
    assert np.array_equal(job.get("many"), 3 * want + added)


def test_the_value_of_the_nest_is_applied() -> None:
    e = conv(H=5, W=6)["z"]
    a0, r2 = (next(s for s in e.nests[0].value.free_symbols if s.name == n) for n in ("a0", "r2"))
    value = sp.Piecewise((0, a0 + 3 * r2 <= 0), (a0 + 3 * r2, True))
    exact({"v": (replace(e, nests=(replace(e.nests[0], value=value),)), None)})


# -- refused --------------------------------------------------------------------------------------
def test_what_is_no_sum_of_products_is_refused() -> None:
    e = conv(H=5, W=6)["z"]
    (n,) = e.nests
    (r,) = n.reductions
    r0 = sp.Symbol("r0", real=True)
    for other in (replace(r, kind="max"), replace(r, term=r0**2), replace(r, guards=(Affine(),))):
        mutant = (replace(n, reductions=(other,)),)
        assert contraction_layouts(mutant, e.shapes) is None
        assert contraction_kernel("k", mutant, e.layouts()) is None


def test_wrong_layouts_are_refused() -> None:
    e = conv(H=5, W=6)["z"]
    good = e.layouts()
    shape, w = e.shapes["Y"], e.shapes["w"]
    rows = Layout.row_major(shape, (0, 0, 1, 1), (0, 0, 1, 1))
    wrong = {
        "no border": {"Y": Layout.blocked(shape, 1)},
        "a small border": {"Y": Layout.blocked(shape, 1, low=(0, 0, 1, 1), high=(0, 0, 1, 0))},
        "the target row-major": {"z": Layout.row_major(e.shapes["z"])},
        "rows that the weights do not have": {"w": Layout.blocked(w, 1), "Y": rows},
        "the batch filled up": {t: Layout.blocked(e.shapes[t], 0) for t in ("Y", "z")},
    }
    for why, layouts in wrong.items():
        assert contraction_kernel("k", e.nests, good | layouts) is None, why


def test_a_sum_over_a_filled_up_block_is_refused() -> None:
    e = conv(H=5, W=6, CG=24)["z"]
    y = e.layouts()["Y"]
    filled = Layout.blocked(e.shapes["Y"], 1, low=y.low, high=y.high)
    assert contraction_kernel("k", e.nests, e.layouts() | {"Y": filled}) is None


def test_an_epilogue_that_writes_what_the_sum_reads_is_refused() -> None:
    e = conv(OG=16, H=5, W=6)["z"]
    layouts = e.layouts()
    layouts["z"] = layouts["Y"]
    r0 = sp.Symbol("r0", real=True)
    assert contraction_kernel("k", e.nests, layouts, (elementwise(e, "Y", ("z",), r0),)) is None


def test_an_epilogue_that_is_no_function_of_the_sum_is_refused() -> None:
    e = conv(OG=16, H=5, W=6)["z"]
    layouts = e.layouts() | dict.fromkeys(("t", "u"), e.layouts()["z"])
    r0 = sp.Symbol("r0", real=True)
    good = elementwise(e, "t", ("z",), 2 * r0)
    (place,) = {a.subscripts for a in good.reads}
    first = place[1].terms[0][0]
    wrong = {
        "it reads another tensor": elementwise(e, "t", ("u",), r0),
        "it reads one row": replace(good, reads=(Access("z", (Affine(), *place[1:])),)),
        "its value depends on the place": replace(good, value=r0 * sp.Symbol(first, integer=True)),
    }
    assert contraction_kernel("k", e.nests, layouts, (good,)) is not None
    for why, other in wrong.items():
        assert contraction_kernel("k", e.nests, layouts, (other,)) is None, why


def test_a_value_that_is_no_function_of_one_sum_is_refused() -> None:
    e = conv(H=5, W=6)["z"]
    (n,) = e.nests
    (r,) = n.reductions
    a0, a1 = sp.symbols("a0 a1", real=True)
    loop = sp.Symbol(n.loops[-1][0], integer=True)
    wrong = {
        "the place": replace(n, value=a0 * loop),
        "a product of sums": replace(n, value=a0 * a1, reductions=(r, r)),
        "a sum under a guard": replace(n, reductions=(replace(r, guards=(Affine(),)),)),
    }
    assert list(phases(n, e.layouts(), (), True))
    assert list(phases(replace(n, value=a0 + a1, reductions=(r, r)), e.layouts(), (), True))
    for why, other in wrong.items():
        assert not list(phases(other, e.layouts(), (), True)), why


def test_a_lane_that_no_factor_has_is_refused() -> None:
    e = equations("columns", I=4, J=16, K=8)["z"]
    rows = {t: Layout.row_major(s) for t, s in e.shapes.items()}
    assert contraction_kernel("k", e.nests, rows) is None
    assert contraction_tiles(e.nests, rows) == ()
    assert contraction_cost(e.nests, rows) is None


def test_what_is_no_sum_of_products_has_no_cost() -> None:
    e = conv(H=5, W=6)["z"]
    cost = contraction_cost(e.nests, e.layouts())
    assert cost is not None and cost > 0
    r0 = sp.Symbol("r0", real=True)
    assert contraction_cost((elementwise(e, "t", ("z",), r0),), e.layouts()) is None


def test_a_stale_tile_is_refused_loudly() -> None:
    e = conv(H=5, W=6)["z"]
    with pytest.raises(ValueError, match="no tile 'lane o_i tile y=99"):
        built("k", e, e.layouts(), force="lane o_i tile y=99 unroll c_i=4")
    with pytest.raises(ValueError, match="for 2 phases, there are 1"):
        built("k", e, e.layouts(), force="a; b")


# -- choices --------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("sizes", "target", "lane"),
    [
        ({}, "z", "o"),
        ({}, "grad_Y", "k"),
        ({}, "grad_w", "o"),
        ({"K": 1, "P": 0}, "grad_w", "o"),
        ({"N": 16, "OG": 6, "CG": 1}, "z", "n"),
        ({"N": 16, "OG": 6, "CG": 1}, "grad_w", "n"),
        ({"N": 16, "OG": 10}, "z", "n"),
        ({"G": 16, "CG": 1, "OG": 1}, "z", "o"),
        ({"K": 7, "S": 2, "P": 3, "CG": 3, "OG": 64, "H": 9}, "z", "o"),
    ],
)
def test_the_lane_by_access_pattern(sizes: dict[str, int], target: str, lane: str) -> None:
    e = conv(**sizes)[target]
    assert built("k", e, e.layouts()).note.startswith(f"lane {lane}_i ")


def test_a_short_sum_over_the_lane_costs_more() -> None:
    e = conv(K=1, P=0)["z"]
    good = e.layouts()
    across = good | {"w": Layout.blocked(e.shapes["w"], 1)}
    assert "lane c_i" in built("k", e, across).note
    one, other = contraction_cost(e.nests, good), contraction_cost(e.nests, across)
    assert one is not None and other is not None and one < 2 < other
    exact({"across": (e, across)})


def test_weights_are_blocked_twice() -> None:
    e = conv()["z"]
    assert e.layouts()["w"].axes[-2:] == ((1, 1, 16), (0, 1, 16))


@pytest.mark.parametrize("target", ["z", "grad_w"])
def test_scalars_that_unrolled_steps_share_need_registers(target: str) -> None:
    """Neighbouring columns times neighbouring taps: the compiler loads what they share once, and
    holds it. No tile may count on registers that are not there."""
    e = conv(H=36, W=36, CG=3, OG=16, N=4)[target]
    tiles = contraction_tiles(e.nests, e.layouts(), 1000)
    assert len(tiles) > 5
    refused = {"z": "tile y=6 unroll j=3", "grad_w": "tile i=2 j=3 unroll y=4"}[target]
    assert not any(refused in t for t in tiles)
    far = {"z": "tile x=6 unroll j=3", "grad_w": "tile i=2 c=3 unroll y=4"}[target]
    assert any(far in t for t in tiles)


@pytest.mark.parametrize(
    ("sizes", "paired"), [({"S": 2}, True), ({"S": 1}, False), ({"S": 2, "N": 8}, False)]
)
def test_strided_tiles_take_columns_of_two_images(sizes: dict[str, int], paired: bool) -> None:
    """Where enough pairs of images are left for all cores."""
    e = conv(**({"N": 16, "H": 28, "W": 28} | sizes))["z"]
    assert (" n=2 " in built("k", e, e.layouts()).note) == paired
    back = conv(**({"N": 16, "H": 28, "W": 28} | sizes))["grad_Y"]
    assert (" n=2 " in built("k", back, back.layouts()).note) == paired
    if paired:
        exact({"z": (e, None), "grad_Y": (back, None)})


def test_phases_of_equal_size_take_turns() -> None:
    even, odd = conv(S=2, H=8, W=8)["grad_Y"], conv(S=2, H=9, W=9, N=1, CG=48)["grad_Y"]
    assert len(even.nests) == len(odd.nests) == 4
    text = built("k", even, even.layouts()).text
    assert all(f"(group_ % 4 == {k})" in text for k in range(4))
    assert "group_ %" not in built("k", odd, odd.layouts()).text
    exact({"even": (even, None), "odd": (odd, None)})


def test_work_groups_do_not_read_a_large_factor_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Four groups, one for each block of channels, instead of one for each row of taps too; then
    the tiles of a group share what they read, piece by piece of the sum."""
    e = conv(S=2, H=12, W=12, N=4, CG=64, OG=16)["grad_w"]
    many = built("k", e, e.layouts())
    monkeypatch.setattr(contraction_schedule, "CACHE", 2048)
    monkeypatch.setattr(contraction_schedule, "CACHE_2", 4096)
    few = built("k", e, e.layouts())
    assert (many.groups, few.groups) == (12, 4)
    assert "n_h" in few.text
    exact({"few": (e, None)})


def test_tiles_are_balanced_and_cover() -> None:
    for extent in range(1, 40):
        for steps in range(1, extent + 1):
            regions = balanced(extent, steps)
            covered = [first + n * k for first, count, n in regions for k in range(count)]
            assert sum(count * n for _, count, n in regions) == extent
            assert covered == sorted(covered) and covered[0] == 0
            assert {n for _, _, n in regions} <= {
                -(-extent // len(covered)),
                extent // len(covered),
            }


def test_operations_are_counted() -> None:
    e = conv()["z"]
    assert built("k", e, e.layouts()).flops == 2 * prod(e.nests[0].extents.values())
