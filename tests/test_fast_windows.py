"""Reductions over windows in the kernel of the elements: equal to two kernels, exactly."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp
from numpy.typing import NDArray

import gradproof as gp
from gradproof.codegen.fast import fusion_selected, fusion_windows
from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.choices import Work, cpu_candidates, cpu_kernels
from gradproof.codegen.fast.contraction import _ranked, contraction_kernel
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.machine import AVX2
from gradproof.codegen.fast.nest import Access, Nest, Reduction
from gradproof.codegen.fast.windows import windowed
from tests.fast_device import Job
from tests.nests import run
from tests.programs import in_place
from tests.test_fast_contraction import Equation, batch_lanes, conv, data

F = gp.functional
Array = NDArray[Any]
R0, A0 = sp.symbols("r0 a0", real=True)
POSITIVE = sp.Piecewise((0, R0 <= 0), (R0, True))


# -- kernels --------------------------------------------------------------------------------------
def pool(
    e: Equation, out: str, kind: str, size: tuple[int, int], step: tuple[int, int], count: Any = 1
) -> tuple[Nest, tuple[int, ...]]:
    """A reduction of relu(target) over windows of its last two dimensions, and its shape."""
    n, c, h, w = e.shapes[e.target]
    shape = (n, c, (h - size[0]) // step[0] + 1, (w - size[1]) // step[1] + 1)
    loops = tuple(zip("pqxy", shape, strict=True))
    p, q, x, y, i, j = map(Affine.of, "pqxyij")
    read = Access(e.target, (p, q, x * step[0] + i, y * step[1] + j), "skip")
    place = i * size[1] + j if kind == "argmax" else None
    points = (("i", size[0]), ("j", size[1]))
    terms = Reduction(kind, points, POSITIVE, place=place)
    return Nest(Access(out, (p, q, x, y)), loops, (read,), (terms,), A0 / count), shape


def pools(
    e: Equation, size: tuple[int, int], step: tuple[int, int]
) -> dict[str, tuple[Nest, tuple[int, ...]]]:
    kinds = {"most": ("max", 1), "place": ("argmax", 1), "mean": ("sum", 1)}
    return {t: pool(e, t, kind, size, step, n) for t, (kind, n) in kinds.items()}


def built(
    e: Equation, layouts: dict[str, Layout], names: Sequence[str], found: Any, **how: Any
) -> Any:
    order = Layout(e.shapes[e.target], layouts[e.target].axes, *_border(layouts[e.target]))
    for t in names:
        shape = found[t][1]
        lanes = next((d for d in range(4) if order.block(d) > 1), None)
        layouts[t] = Layout.row_major(shape) if lanes is None else Layout.blocked(shape, lanes)
    also = tuple(found[t][0] for t in names)
    return contraction_kernel("k", e.nests, layouts, also, **how)


def _border(x: Layout) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return x.low, x.high


def check(e: Equation, layouts: dict[str, Layout], names: Sequence[str], **how: Any) -> None:
    """The kernel gives what one nest after the other gives."""
    size, step = how.pop("size"), how.pop("step")
    dtype, arrays = how.pop("dtype", "float32"), data(e)
    found = pools(e, size, step)
    k = built(e, layouts, names, found, **how)
    assert k is not None
    assert ((e.target, True) in k.tensors) == how.get("store", True)
    job = Job([k], layouts, dtype=dtype, whole=frozenset({"place"}))
    for t, x in arrays.items():
        job.put(t, x)
    job.run()
    whole = run(e.nests, e.shapes[e.target], arrays)
    if how.get("store", True):
        assert np.array_equal(job.get(e.target), whole)
    for t in names:
        nest, shape = found[t]
        kind: Any = np.int32 if t == "place" else np.float64
        want = run((nest,), shape, {e.target: whole}, dtype=kind)
        assert np.array_equal(job.get(t), want), t


SIZES: list[tuple[dict[str, int], tuple[int, int], tuple[int, int]]] = [
    ({"H": 8, "W": 8}, (2, 2), (2, 2)),
    ({"H": 7, "W": 9, "CG": 3}, (2, 2), (2, 2)),  # a row and a column in no window
    ({"H": 9, "W": 7, "CG": 3, "OG": 16, "S": 2, "K": 5, "P": 2}, (2, 2), (2, 2)),
    ({"H": 8, "W": 11, "CG": 3}, (2, 3), (3, 4)),  # and between windows
    ({"H": 9, "W": 9, "OG": 20}, (3, 3), (3, 3)),  # more points than registers; filled-up lanes
    ({"H": 4, "W": 9, "CG": 1}, (1, 3), (1, 3)),
    ({"H": 5, "W": 3, "CG": 2}, (5, 3), (1, 1)),  # the whole image
]


@pytest.mark.parametrize("names", [("most",), ("most", "place"), ("place",), ("mean", "most")])
@pytest.mark.parametrize(("sizes", "size", "step"), SIZES)
def test_windows(
    sizes: dict[str, int], size: tuple[int, int], step: tuple[int, int], names: tuple[str, ...]
) -> None:
    e = conv(**sizes)["z"]
    check(e, e.layouts(), names, size=size, step=step, store=False)


def test_the_target_is_stored_where_windows_cover_it() -> None:
    e = conv(H=6, W=8, CG=3)["z"]
    check(e, e.layouts(), ("most", "place"), size=(2, 2), step=(2, 2), store=True)


def test_the_batch_as_lane() -> None:
    e = conv(N=32, CG=1, OG=6, H=7, W=8)["z"]
    check(e, e.layouts(), ("most", "place"), size=(2, 2), step=(2, 2), store=False)
    e = conv(N=32, CG=6, OG=16, H=7, W=8)["z"]
    check(e, batch_lanes(e), ("most",), size=(2, 2), step=(2, 2), store=False)


def test_double_precision() -> None:
    e = conv(H=7, W=8, CG=3)["z"]
    check(e, e.layouts(), ("most", "place"), size=(2, 2), step=(2, 2), store=False, dtype="float64")


@pytest.mark.parametrize("names", [("most", "place"), ("place", "most"), ("place",), ("most",)])
def test_a_maximum_keeps_a_nan_and_its_first_place(names: tuple[str, ...]) -> None:
    e = conv(H=8, W=10, CG=2)["z"]
    arrays = data(e)
    spots = np.random.default_rng(1).choice(arrays["Y"].size, 12, replace=False)
    arrays["Y"].reshape(-1)[spots] = [np.nan] * 6 + [np.inf, -np.inf] * 3
    layouts, found = e.layouts(), pools(e, (2, 2), (2, 2))
    job = Job([built(e, layouts, names, found, store=False)], layouts, whole=frozenset({"place"}))
    for t, x in arrays.items():
        job.put(t, x)
    job.run()
    with np.errstate(invalid="ignore"):
        z = run(e.nests, e.shapes[e.target], arrays)
    z = np.where(z <= 0, 0, z).reshape(2, 32, 4, 2, 5, 2).swapaxes(3, 4).reshape(2, 32, 4, 5, 4)
    assert np.isnan(z).any(-1).sum() > np.isnan(z[..., 0]).sum() > 0
    want = {"most": z.max(-1), "place": z.argmax(-1)}  # NumPy's first NaN wins, too
    for t in names:
        assert np.array_equal(job.get(t), want[t], equal_nan=True)


def test_all_tiles_are_exact() -> None:
    """Tiles that cover a window, a part of it, several windows, and none."""
    e = conv(H=6, W=10, CG=2, OG=16)["z"]
    names, size = ("most", "place"), (2, 2)
    layouts = e.layouts()
    found = pools(e, size, size)
    built(e, layouts, names, found, store=False)  # adds the layouts
    also = tuple(found[t][0] for t in names)
    ranked = _ranked(e.nests[0], layouts, also, False, AVX2)
    covered = {len({"i_w", "j_w"} & set(dict(t.tile))) for _, t in ranked}
    assert covered == {0, 1, 2}
    for _, tiling in ranked[:40]:
        check(e, e.layouts(), names, size=size, step=size, store=False, force=str(tiling))


@pytest.mark.parametrize(
    ("size", "step", "store"),
    [
        ((3, 3), (2, 2), False),  # windows overlap
        ((2, 2), (2, 1), False),
        ((2, 2), (2, 2), True),  # the last row is in none, and would not be stored
        ((7, 9), (1, 1), False),  # too many points
        ((1, 1), (1, 1), False),
    ],
)
def test_what_is_left_to_a_kernel_of_its_own(
    size: tuple[int, int], step: tuple[int, int], store: bool
) -> None:
    e = conv(H=7, W=9, CG=3)["z"]
    found = pools(e, size, step)
    assert built(e, e.layouts(), ("most",), found, store=store) is None


def test_other_reductions_are_refused() -> None:
    e = conv(H=8, W=8, CG=3)["z"]
    (n,) = e.nests
    most, _ = pool(e, "most", "max", (2, 2), (2, 2))
    (r,) = most.reductions
    outside = [s + Affine(1) if d == 2 else s for d, s in enumerate(most.reads[0].subscripts)]
    wrong: list[Nest] = [
        _with(most, reads=(Access(e.target, tuple(outside), "skip"),)),
        _with(most, reductions=(_with(r, guards=(Affine.of("i"),)),)),
        _with(most, value=A0 * sp.Symbol("x", integer=True)),
        _with(most, out=Access("w", most.out.subscripts)),
        _with(most, value=A0 + R0),
    ]
    assert windowed(n, (most,)) is not None
    for other in wrong:
        assert windowed(n, (other,)) is None


def test_pools_of_one_producer_share_windows_and_folds() -> None:
    e = conv(H=8, W=8, CG=3)["z"]
    (n,) = e.nests
    most, _ = pool(e, "most", "max", (2, 2), (2, 2))
    place, _ = pool(e, "place", "argmax", (2, 2), (2, 2))
    gain = Access("gain", (Affine.of("q"),))
    scaled = _with(most, reads=(*most.reads, gain), value=A0 * sp.Symbol("r1", real=True))
    found = windowed(n, (scaled, _with(scaled, out=Access("again", most.out.subscripts)), place))
    assert found is not None
    assert [f.kind for f in found.folds] == ["max", "argmax"]
    assert [a.tensor for a in found.producer.reads].count("gain") == 1
    assert found.results[0][1] == found.results[1][1]
    fewer = _with(
        most, loops=(*most.loops[:-1], ("y", 3)), out=Access("fewer", most.out.subscripts)
    )
    assert windowed(n, (most, fewer)) is None
    assert windowed(n, (most, _with(most, reductions=()))) is None
    assert windowed(n, (_with(place, value=2 * A0),)) is None  # a position is a whole number


def test_a_tuner_gets_tiles_over_windows() -> None:
    e = conv(H=8, W=8, CG=3)["z"]
    layouts, found = e.layouts(), pools(e, (2, 2), (2, 2))
    default = built(e, layouts, ("most",), found, store=False)
    work = Work(e.nests, layouts, (found["most"][0],), store=False)
    choices = cpu_candidates(work, 4, AVX2)
    assert f"direct {default.note}" in choices
    assert len({cpu_kernels("k", work, x, 4, AVX2)[0].text for x in choices}) == len(choices)


def _with(x: Any, **changes: Any) -> Any:
    return replace(x, **changes)


# -- steps ----------------------------------------------------------------------------------------
@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans are made here, not taken from an earlier run."""
    monkeypatch.setenv("GRADPROOF_CACHE_DIR", str(tmp_path))


def tensor(*shape: int, seed: int, grad: bool = False) -> gp.Tensor:
    x = np.random.default_rng(seed).integers(-2, 3, shape).astype(np.float32)
    return gp.tensor(x, requires_grad=grad)


def step(
    pooled: Callable[[gp.Tensor], gp.Tensor], channels: int, side: tuple[int, int], keep: bool
) -> Callable[[], tuple[gp.Tensor, ...]]:
    """A convolution with ReLU and pool, its results and gradients; keep: the sums are a result."""
    x = tensor(3, channels, *side, seed=0, grad=True)
    w, b = tensor(16, channels, 3, 3, seed=1, grad=True), tensor(16, seed=2, grad=True)

    def one() -> tuple[gp.Tensor, ...]:
        z = F.conv2d(x, w, b, padding=1)
        y = pooled(z)
        loss = (y * y).sum()
        return (y, *gp.grad(loss, [x, w, b]), *([z] if keep else []))

    return one


POOLS: dict[str, Callable[[gp.Tensor], gp.Tensor]] = {
    "max": lambda z: F.max_pool2d(F.relu(z), 2),
    "max, then relu": lambda z: F.relu(F.max_pool2d(z, 2)),
    "average": lambda z: F.avg_pool2d(F.relu(z), 2),
    "overlapping": lambda z: F.max_pool2d(F.relu(z), 3, 2),
    "padded": lambda z: F.max_pool2d(F.relu(z), 2, 2, padding=1),
    "gaps": lambda z: F.max_pool2d(F.relu(z), 2, 3),
}


def compare(one: Callable[[], tuple[gp.Tensor, ...]]) -> Any:
    planned = gp.plan(one)
    for a, b in zip(planned(), one(), strict=True):
        assert np.array_equal(a.numpy(), b.numpy())
    return planned


@pytest.mark.parametrize("keep", [False, True])
@pytest.mark.parametrize("side", [(8, 6), (7, 9)])
@pytest.mark.parametrize("name", POOLS)
def test_planned_steps_are_eager_steps(name: str, side: tuple[int, int], keep: bool) -> None:
    compare(step(POOLS[name], 3, side, keep))


def launches(planned: Any) -> list[str]:
    return [x["what"] for x in planned.plan["launches"]]


def test_a_convolution_with_its_pool_is_one_kernel() -> None:
    """And its backward pass reads neither the sums nor their activation, in one kernel."""
    planned = compare(step(POOLS["max"], 3, (18, 20), keep=False))
    assert not {"max_pool2d z", "relu z", "relu grad_Y"} & set(launches(planned))
    assert launches(planned).count("max_pool2d grad_Y") == 1
    overlapping = compare(step(POOLS["overlapping"], 3, (8, 6), keep=False))
    assert "max_pool2d z" in launches(overlapping)


def test_winograd_keeps_its_own_end() -> None:
    """More is won there than by the pool."""
    planned = gp.plan(step(POOLS["max"], 16, (8, 8), keep=False))
    assert "max_pool2d z" in launches(planned)


def hazard() -> tuple[gp.Tensor, ...]:
    """The filters change between the sums and their pool."""
    x, w = tensor(2, 3, 6, 6, seed=0), tensor(16, 3, 3, 3, seed=1)
    z = F.conv2d(x, w, padding=1)
    in_place("sgd", w, w * 1.0, {"lr": 0.5, "weight_decay": 0.0})
    return F.max_pool2d(z, 2), w


@pytest.mark.parametrize("mistake", [False, True])
def test_a_sum_is_not_moved_across_a_write(mistake: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    want = [t.numpy() for t in hazard()]
    if mistake:
        monkeypatch.setattr(fusion_windows, "overwritten", lambda *_: False)
    same = [np.array_equal(a.numpy(), b) for a, b in zip(gp.plan(hazard)(), want, strict=True)]
    assert all(same) != mistake


# -- what was selected ----------------------------------------------------------------------------
def test_tests_of_a_term_stand_for_tests_of_what_it_reads() -> None:
    m = sp.Symbol("r1", real=True)
    value = sp.Piecewise((0, R0 <= 0), (A0, True))
    on = fusion_selected._on_maximum
    assert on(value, POSITIVE, m) == sp.Piecewise((0, m <= 0), (A0, True))
    assert on(value, R0, m) == sp.Piecewise((0, m <= 0), (A0, True))
    folded = sp.Piecewise((-R0, R0 <= 0), (R0, True))
    assert on(sp.Piecewise((-A0, R0 <= 0), (A0, True)), folded, m) is None
    assert on(sp.Piecewise((0, R0 <= 1), (A0, True)), folded, m) is None
    assert on(A0 * R0, POSITIVE, m) is None


@pytest.mark.parametrize("size", list(product((1, 2, 3), repeat=2))[1:])
def test_a_gradient_goes_where_the_maximum_was(size: tuple[int, int]) -> None:
    """All kernels of the gradient, for each place of a window."""
    x = tensor(2, 3, 7, 8, seed=5, grad=True)

    def one() -> tuple[gp.Tensor, ...]:
        y = F.max_pool2d(F.relu(x * 3), size)
        return y, *gp.grad((y * y).sum(), [x])

    compare(one)


distance = gp.compile(
    gp.operator(
        "distance",
        "y[n,c,u,v] = where(x[n,c,u,v] < 0, -x[n,c,u,v], x[n,c,u,v])",
        {"x": "N, C, H, W"},
    )
)


@pytest.mark.parametrize("mistake", [False, True])
def test_a_test_that_is_another_one(mistake: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """d|z| is 1 or -1 by the sign of z, not of |z|: an error, were it taken for the same."""
    one = step(lambda z: F.max_pool2d(distance(z), 2), 3, (18, 20), keep=False)
    if not mistake:
        compare(one)
        return
    monkeypatch.setattr(fusion_selected, "_agree", lambda *_: True)
    with pytest.raises(AssertionError):
        compare(one)
