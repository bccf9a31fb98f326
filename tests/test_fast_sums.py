"""Sums over a target taken by the kernel that computes it: exact, stable, refused where unsafe."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import sympy as sp

import gradproof as gp
from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.contraction import contraction_kernels, contraction_layouts
from gradproof.codegen.fast.fusion_sums import sums_of_products
from gradproof.codegen.fast.invariants import hoisted
from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.nest import Access, Nest, Reduction
from gradproof.codegen.fast.schedules import schedules
from gradproof.codegen.fast.tasks import Task
from gradproof.codegen.fast.tile_sums import summed
from gradproof.codegen.fast.winograd import winograd_kernels, winograd_layouts
from tests.fast_device import Job
from tests.nests import run

U = 2.0**-24
A = Affine.of
R = sp.symbols("r0:5", real=True)
A0 = sp.Symbol("a0", real=True)
Kernels = tuple[FastKernel, ...]


class Case:
    """z[n, o, x] = sum_c,i y[n, c, x + i - 1] w[o, c, i] + b[o], and nests over z."""

    def __init__(self, samples: int, channels: int, side: int, taps: int, stride: int = 1) -> None:
        self.channels, place = channels, A("x") * stride + A("i") + Affine(-(taps // 2))
        columns = A("v") * stride + A("j") + Affine(-(taps // 2))
        out = (side - 1) // stride + 1
        self.over = (("n", samples), ("x", out), ("v", out))
        y = Access("y", (A("n"), A("c"), place, columns), "zero" if taps > 1 else "never")
        reads = (y, Access("w", (A("o"), A("c"), A("i"), A("j"))), Access("b", (A("o"),)))
        loops = (("n", samples), ("o", channels), ("x", out), ("v", out))
        terms = Reduction("sum", (("c", 16), ("i", taps), ("j", taps)), R[0] * R[1])
        z = Access("z", tuple(map(A, "noxv")))
        self.nest = Nest(z, loops, reads, (terms,), A0 + R[2])
        self.shapes = {
            "y": (samples, 16, side, side), "w": (channels, 16, taps, taps), "b": (channels,),
            "z": (samples, channels, out, out), "x": (samples, channels, out, out),
        }  # fmt: skip
        self.vectors = ("mean", "var", "sum", "dot", "g")
        self.shapes |= dict.fromkeys(self.vectors, (channels,))

    def sum_of(self, name: str, term: sp.Expr, *more: Access, value: sp.Expr = A0) -> Nest:
        """name[c] = value of the sum of a term over z (r0) and other reads (r1, ...)."""
        reads, loops = (self.z, *more), (("c", self.channels),)
        total = Reduction("sum", self.over, term)
        return Nest(Access(name, (A("c"),)), loops, reads, (total,), value)

    @property
    def z(self) -> Access:
        return Access("z", (A("n"), A("c"), A("x"), A("v")))

    @property
    def moments(self) -> tuple[Nest, Nest]:
        """Mean and variance of z."""
        count = int(np.prod([n for _, n in self.over]))
        mean = self.sum_of("mean", R[0], value=A0 / count)
        center = Access("mean", (A("c"),))
        return mean, self.sum_of("var", (R[0] - R[1]) ** 2, center, value=A0 / count)

    @property
    def dots(self) -> tuple[Nest, Nest]:
        """The sum of z, and g times that of z*x where x > 0."""
        x = Access("x", self.z.subscripts)
        masked = R[0] * sp.Piecewise((0, R[1] <= 0), (R[1], True))
        first = self.sum_of("sum", R[0])
        second = self.sum_of("dot", masked, x, Access("g", (A("c"),)), value=A0 * R[2])
        return first, second

    def winograd(self, also: tuple[Nest, ...], m: int) -> tuple[Kernels | None, dict[str, Layout]]:
        found = winograd_layouts(self.nest, self.shapes, m)
        assert found is not None
        layouts = self.complete(found)
        return winograd_kernels("k", self.nest, layouts, m, also), layouts

    def direct(self, also: tuple[Nest, ...], _: int) -> tuple[Kernels | None, dict[str, Layout]]:
        found = contraction_layouts((self.nest,), self.shapes)
        assert found is not None
        layouts = self.complete(found)
        return contraction_kernels("k", (self.nest,), layouts, also), layouts

    def complete(self, found: dict[str, Layout]) -> dict[str, Layout]:
        plain = Layout.blocked(self.shapes["x"], 1)
        own = {t: Layout.row_major(s) for t, s in self.shapes.items()}
        return own | {"x": plain} | found

    def integers(self, seed: int = 0) -> dict[str, np.ndarray]:
        rng = np.random.default_rng(seed)
        return {
            t: rng.integers(-2, 3, self.shapes[t]).astype(np.float64)
            for t in ("y", "w", "b", "x", "g")
        }


def measured(
    kernels: Kernels | None, layouts: dict[str, Layout], data: dict[str, np.ndarray]
) -> Job:
    assert kernels is not None
    job = Job(kernels, layouts)
    for t, a in data.items():
        if t in job.buffers:
            job.put(t, a)
    job.run()
    return job


CASES = {
    "even": (Case(2, 16, 16, 3), Case.winograd),
    "ragged": (Case(3, 32, 10, 3), Case.winograd),
    "many": (Case(1, 64, 14, 3), Case.winograd),
    "direct": (Case(3, 48, 11, 3), Case.direct),
    "points": (Case(2, 64, 9, 1), Case.direct),
    "stride": (Case(9, 16, 14, 3, stride=2), Case.direct),
}


@pytest.mark.parametrize("name", CASES)
def test_integers_are_exact(name: str) -> None:
    """F(2, 3) and sums of small integers round nothing; all kernels write what they should."""
    (case, make), data = CASES[name], CASES[name][0].integers()
    job = measured(*make(case, case.dots, 2), data)
    z = run((case.nest,), case.shapes["z"], data)
    assert (job.get("z") == z).all()
    for n in case.dots:
        assert (job.get(n.out.tensor) == run((n,), (case.channels,), {**data, "z": z})).all()
    assert [k.name for k in job.kernels][-2:] == ["k", "k_sums"]


@pytest.mark.parametrize("level", [0.0, 3000.0, -1e5])
@pytest.mark.parametrize("name", CASES)
def test_moments_keep_a_large_mean(name: str, level: float) -> None:
    """Against float64 over what the kernel itself has stored, within the derived bound, which sums
    of z and z^2 themselves do not keep."""
    (case, make), rng = CASES[name], np.random.default_rng(1)
    data = {t: rng.normal(size=case.shapes[t]) / 7 for t in ("y", "w")}
    data["b"] = rng.normal(level, 1, case.channels)
    kernels, layouts = make(case, case.moments, 4)
    assert within_bounds(measured(kernels, layouts, data), level)
    if level:
        assert not within_bounds(measured(without_base(kernels), layouts, data), level)


def within_bounds(job: Job, level: float) -> bool:
    """Let D be the range of a channel's values, s the number of shares, n <= 4096 of values in one.
    A share takes d = z - b, |d| <= D, with one rounding, in a chain of at most c = min(n, 64 + n/4)
    additions: S = sum d is off by (c + 1)*u*nD, Q = sum d^2 by (c + 3)*u*nD^2, so Q - S^2/n by
    (3c + 7)*u*nD^2. Its at most r = n/32 runs round the mean by 4r*u*D, the squares by 8r*u*nD^2.
    Merging adds shares in chains of p = 16 + s/16: the mean is off by (p + 4)*u*D, the squares by
    (p + 9)*u*N*D^2. At last the mean is added to the first b."""
    z = job.get("z").astype(np.float64)
    height = 4
    size = next(n for k in job.kernels for t, n in k.scratch if t.endswith("_shares"))
    slots = size // (height * 16 * -(-z.shape[1] // 16))
    values = z[:, 0].size / slots
    chain, runs, merged = 64 + values / 4 + 16, values / 32, 16 + slots / 16
    wide = z.max((0, 2, 3)) - z.min((0, 2, 3))
    mean = U * ((chain + 4 * runs + merged + 4) * wide + 2 * abs(level) + 10)
    var = U * (3 * chain + 7 + 8 * runs + merged + 9) * wide**2
    near = np.abs(job.get("mean") - z.mean((0, 2, 3))) <= mean
    return bool(near.all() and (np.abs(job.get("var") - z.var((0, 2, 3))) <= var).all())


def without_base(kernels: Kernels | None) -> Kernels:
    """Sums of z and z^2 themselves."""
    assert kernels is not None
    first = re.compile(r"^.*if \((t|tiles_.*) == 0.*\) .*$", re.MULTILINE)
    cut = tuple(replace(k, text=first.sub("", k.text)) for k in kernels)
    assert cut != kernels
    return cut


def test_a_constant_has_no_variance() -> None:
    case, make = CASES["ragged"]
    data = {"y": np.zeros(case.shapes["y"]), "w": np.zeros(case.shapes["w"])}
    data["b"] = np.full(case.channels, 3000.1)
    job = measured(*make(case, case.moments, 4), data)
    assert (job.get("mean") == np.float32(3000.1)).all() and (job.get("var") == 0).all()


def test_nan_stays_in_its_channel() -> None:
    case, make = CASES["direct"]
    data = case.integers()
    data["b"][5] = np.nan
    job = measured(*make(case, case.moments, 4), data)
    for t in ("mean", "var"):
        assert np.isnan(job.get(t)[5]) and np.isfinite(np.delete(job.get(t), 5)).all()


# -- what may join ------------------------------------------------------------------------------
def test_other_nests_are_refused() -> None:
    """Sums over a part of the target, over another element, under a condition, or with places."""
    case, _ = CASES["even"]
    mean, var = case.moments
    total, dot = case.dots
    (r,) = total.reductions
    x = sp.Symbol("x", integer=True)
    part = replace(total, reductions=(replace(r, loops=(*r.loops[:2], ("v", 5))),))
    wrong = [
        replace(total, reductions=(replace(r, loops=r.loops[:2]),)),
        replace(total, reductions=(replace(r, kind="max"),)),
        replace(total, reductions=(replace(r, guards=(A("x"),)),)),
        replace(total, reductions=(replace(r, term=R[0] * x),)),
        replace(total, loops=(("c", 8),)),
        replace(total, reads=(Access("x", case.z.subscripts),)),
        replace(total, reads=(Access("z", (A("n"), A("c"), A("x"), A("x"))),)),
    ]
    assert summed("z", (total, dot, mean, var), shape=case.shapes["z"]) is not None
    for n in (part, *wrong):
        assert summed("z", (n,), shape=case.shapes["z"]) is None, n
    cubed = replace(var, reductions=(replace(r, term=(R[0] - R[1]) ** 3),))
    assert summed("z", (mean, cubed), shape=case.shapes["z"]) is None


def test_sums_join_only_where_nobody_minds() -> None:
    case, _ = CASES["even"]
    total, dot = case.dots
    product = Task("contract", 0, "z", (case.nest,))
    sums = Task("vector", 1, "sum", (total,), (dot,))
    one = Nest(Access("x", case.z.subscripts), case.nest.loops, (), (), sp.Integer(1))
    between = Task("vector", 2, "x", (one,))
    reader = Nest(Access("mean", (A("c"),)), (("c", 16),), (Access("sum", (A("c"),)),), (), R[0])
    early = Task("vector", 3, "mean", (reader,))
    shapes = case.shapes
    assert sums_of_products(shapes, [product, sums]) == [(product, sums)]
    for other in (between, early):
        alone = [(product, None), (other, None), (sums, None)]
        assert sums_of_products(shapes, [product, other, sums]) == alone
    again = Task("contract", 4, "z", (case.nest,))
    assert (product, sums) not in sums_of_products(shapes, [product, again, sums])


def test_a_gpu_keeps_its_passes() -> None:
    assert schedules("fast", "avx2").sums and not schedules("fast", "gpu").sums


def test_invariants_are_the_same_function() -> None:
    a, b, x, y = sp.symbols("a b x y", real=True)
    e = sp.Piecewise((0, a * x / sp.sqrt(b) + y <= a * b), (a * x / sp.sqrt(b) + a + b * y, True))
    found: dict[sp.Expr, sp.Symbol] = {}
    short = hoisted(e, {"a", "b"}, found)
    assert set(found) == {a / sp.sqrt(b), a * b}
    assert short.xreplace({name: part for part, name in found.items()}) == e
    assert not hoisted(e, {"x"}, {}).free_symbols - e.free_symbols


# -- in a step ----------------------------------------------------------------------------------
def test_a_step_sums_beside_its_products() -> None:
    """Statistics and the sums of their gradients are shares of convolutions; the step is what the
    recorded operators compute, up to the transforms' rounding."""

    def step(x: gp.Tensor, g: gp.Tensor) -> tuple[gp.Tensor, ...]:
        for p in net.parameters():
            p.grad = None
        y = net(x)
        (y * g).sum().backward()
        return (y, *(p.grad for p in net.parameters() if p.grad is not None))

    gp.manual_seed(0)
    nn = gp.nn
    net = nn.Sequential(
        nn.Conv2d(16, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Conv2d(32, 16, 3, padding=1),
    )  # fmt: skip
    rng = np.random.default_rng(0)
    x, g = (gp.tensor(rng.normal(size=(4, 16, 12, 12)).astype(np.float32)) for _ in range(2))
    start = net.state_dict()
    planned = gp.plan(step, x, g, precision="accurate")
    net.load_state_dict(start)
    found = [t.numpy() for t in planned(x, g)]
    after = net.state_dict()
    net.load_state_dict(start)
    expected = [t.numpy() for t in step(x, g)]
    kernels = [launch["kernel"] for launch in planned.plan["launches"]]
    assert sum(k.endswith("_moments0") for k in kernels) == 2
    assert any(k.endswith("_sums") for k in kernels)
    for a, b in zip(found, expected, strict=True):
        assert np.abs(a - b).max() <= 2e-4 * max(1.0, np.abs(b).max())
    for name, value in net.state_dict().items():
        assert np.abs(after[name] - value).max() <= 1e-5 * max(1.0, np.abs(value).max()), name
