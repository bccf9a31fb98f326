"""Elementwise equations in the operands of sums of products: equal, refused at borders, weighed."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import sympy as sp

import gradproof as gp
from gradproof.codegen.fast import planner
from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.contraction import contraction_kernel, contraction_layouts
from gradproof.codegen.fast.fusion_operands import served, with_operands
from gradproof.codegen.fast.inline import renamed
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.nest import Access, Nest, Reduction
from gradproof.codegen.fast.placement import Wish
from gradproof.codegen.fast.tasks import Step, Task
from gradproof.codegen.fast.validate import check_nests
from gradproof.runtime.build import CACHE_VARIABLE
from tests.fast_device import Job
from tests.nests import run

A = Affine.of
R = sp.symbols("r0:5", real=True)
LINEAR = R[1] * (R[0] - R[2]) / sp.sqrt(R[3] + sp.Symbol("s0", real=True)) + R[4]
POSITIVE = sp.Piecewise((0, LINEAR <= 0), (LINEAR, True))


def step(samples: int, channels: int, outputs: int, side: int, taps: int = 1) -> Step:
    """y = max(g*(x - m)/sqrt(q + s0) + b, 0), then z = sum over channels (and taps) of y*w."""
    loops = (("n", samples), ("c", channels), ("x", side))
    small = [Access(t, (A("c"),)) for t in "gmqb"]
    x = Access("x", tuple(map(A, "ncx")))
    out = Access("y", x.subscripts)
    y = Nest(out, loops, (x, *small), (), POSITIVE, (("s0", "real"),))
    place = A("x") + A("i") + Affine(-(taps // 2)) if taps > 1 else A("x")
    read = Access("y", (A("n"), A("c"), place), "zero" if taps > 1 else "never")
    tap = (("i", taps),) if taps > 1 else ()
    terms = Reduction("sum", (("c", channels), *tap), R[0] * R[1])
    z = Nest(
        Access("z", tuple(map(A, "nox"))), (("n", samples), ("o", outputs), ("x", side)),
        (read, Access("w", (A("o"), A("c"), A("i") if tap else Affine()))), (terms,),
        sp.Symbol("a0", real=True),
    )  # fmt: skip
    shapes: dict[str, tuple[int, ...]] = dict.fromkeys("gmqb", (channels,))
    shapes |= dict.fromkeys("xy", (samples, channels, side))
    shapes |= {"w": (outputs, channels, taps), "z": (samples, outputs, side)}
    tasks = (Task("vector", 0, "y", (y,)), Task("contract", 1, "z", (z,)))
    return Step(tasks, shapes, frozenset(shapes) - {"y"})


def integers(s: Step) -> dict[str, np.ndarray]:
    """q + s0 is 4 everywhere and g even, so nothing rounds."""
    rng = np.random.default_rng(0)
    data = {t: rng.integers(-2, 3, s.shapes[t]).astype(np.float64) for t in "xmbw"}
    data["g"] = 2.0 * rng.integers(-2, 3, s.shapes["g"])
    return data | {"q": np.full(s.shapes["q"], 3.0)}


@pytest.mark.parametrize("sizes", [(3, 48, 32, 30), (16, 20, 8, 16), (32, 16, 3, 9)])
def test_equal_to_the_last_bit(sizes: tuple[int, int, int, int]) -> None:
    """The operand in broadcasts and in lanes, with its invariants in a small tensor."""
    s = step(*sizes)
    found = with_operands(s, always=True)
    first, last = found.tasks
    assert [t.kind for t in found.tasks] == ["vector", "contract"] and "y" not in last.reads
    assert found.shapes[first.out] == (sizes[1],), "g/sqrt(q + s0), once for each channel"
    for t in found.tasks:
        check_nests(t.nests, found.shapes)
    data = integers(s)
    y = run(s.tasks[0].nests, s.shapes["y"], data, {"s0": 1.0})
    z = run(s.tasks[1].nests, s.shapes["z"], {**data, "y": y})
    data["h"] = run(first.nests, found.shapes[first.out], data, {"s0": 1.0})
    nests = tuple(renamed(n, {first.out: "h"}) for n in last.nests)
    layouts = contraction_layouts(nests, {**s.shapes, "h": (sizes[1],)})
    assert layouts is not None
    kernel = contraction_kernel("k", nests, layouts)
    assert kernel is not None
    job = Job([kernel], layouts)
    for t, _ in kernel.tensors:
        if t != "z":
            job.put(t, data[t])
    job.run()
    assert (job.get("z") == z).all()


def test_a_border_is_not_computed() -> None:
    """Beyond the tensor the sum has a zero, f(0) is none: the read stays as it is."""
    s = step(4, 32, 32, 64, taps=3)
    assert with_operands(s, always=True) is s


def test_what_is_written_between_is_not_read_later() -> None:
    s = step(3, 48, 32, 30)
    one = Nest(Access("m", (A("c"),)), (("c", 48),), (), (), sp.Integer(1))
    between = replace(s, tasks=(s.tasks[0], Task("vector", 2, "m", (one,)), s.tasks[1]))
    assert with_operands(between, always=True) is between


def test_every_reader_computes_it() -> None:
    """Two sums of products: both take it, or none does."""
    s = step(3, 48, 32, 30)
    again = replace(s.tasks[1], out="u", nests=(renamed(s.tasks[1].nests[0], {"z": "u"}),))
    both = replace(
        s, tasks=(*s.tasks, again), shapes={**s.shapes, "u": s.shapes["z"]},
        external=s.external | {"u"},
    )  # fmt: skip
    found = with_operands(both, always=True)
    assert not any("y" in t.reads for t in found.tasks)
    copy = Nest(Access("u", tuple(map(A, "ncx"))), s.tasks[0].nests[0].loops,
                (Access("y", tuple(map(A, "ncx"))),), (), R[0])  # fmt: skip
    mixed = replace(both, tasks=(*s.tasks, Task("vector", 2, "u", (copy,))))
    assert with_operands(mixed, always=True) is mixed


@pytest.mark.parametrize(("outputs", "pays"), [(1, False), (8, True), (12, True), (64, False)])
def test_the_rule(outputs: int, pays: bool) -> None:
    s = step(16, 64, outputs, 784)
    assert (with_operands(s) is not s) == pays


def test_only_lanes_are_served() -> None:
    s = with_operands(step(16, 64, 8, 784), always=True)
    task, shapes = s.tasks[-1], s.shapes
    along = Layout.blocked(shapes["x"], 0)
    wish = Wish(task, {"x": along}, 1)
    assert served([wish], {"x": along})
    assert not served([wish], {"x": Layout.blocked(shapes["x"], 1)})
    flat = Layout.row_major(shapes["x"])
    assert not served([Wish(task, {"x": flat}, 1)], {"x": flat})


def test_a_plan_with_operands_is_the_plan_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Forced: two convolutions of one tap each, with a norm between them."""
    gp.manual_seed(0)
    nn = gp.nn
    net = nn.Sequential(nn.Conv2d(4, 32, 1), nn.BatchNorm2d(32), nn.ReLU(), nn.Conv2d(32, 24, 1))
    x = gp.tensor(np.random.default_rng(0).normal(size=(4, 4, 12, 12)).astype(np.float32))

    def planned() -> tuple[str, np.ndarray]:
        with gp.no_grad():
            found = gp.plan(lambda x: net(x), x)
        return found.plan["source"], found(x).numpy()

    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "apart"))
    apart, expected = planned()
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "within"))
    monkeypatch.setattr(planner, "with_operands", partial(with_operands, always=True))
    monkeypatch.setattr(planner, "served", lambda wishes, home: True)
    within, found = planned()
    assert " f_0 = " in within and " f_0 = " not in apart
    assert (np.abs(found - expected) <= 1e-5 * np.abs(expected).max()).all()
