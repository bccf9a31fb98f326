"""Updates that share a launch: every part as if it were alone, whatever its size."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pyopencl as cl
import pytest
import sympy as sp

import gradproof as gp
from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.nest import Access, Nest
from gradproof.codegen.fast.program import fast_options, fast_program
from gradproof.codegen.fast.sinks import runs, sinks, without
from gradproof.codegen.fast.sweep import part_count, sweep_groups, sweep_kernel
from gradproof.codegen.fast.tasks import Step, Task
from gradproof.runtime.plan import planned_data
from tests.fast_device import cpu

r0, r1 = sp.symbols("r0 r1", real=True)
u0 = sp.Symbol("u0", real=True)
AT = (Affine.of("i"),)
SIZES = (100, 33, 32, 17, 16, 15, 1, 0)


def update(n: int = 0) -> tuple[Nest, ...]:
    """t0 = t0 + u0*t1, then t2 = t2 - t0."""
    t0, t1, t2 = (Access(f"t{k}", AT) for k in range(3))
    first = Nest(t0, (("i", n),), (t0, t1), (), r0 + u0 * r1, (("u0", "real"),))
    second = Nest(t2, (("i", n),), (t2, t0), (), r0 - r1)
    return first, second


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("each", [1, 3])
def test_every_part_is_updated_and_nothing_else(dtype: str, each: int) -> None:
    parts = part_count(update(), 40)
    kernel = sweep_kernel("sweep", update(), parts)
    sizes = [SIZES[k % len(SIZES)] for k in range(parts)]
    context = cpu()
    queue = cl.CommandQueue(context)
    program = cl.Program(context, fast_program([kernel])).build(list(fast_options(dtype)))
    rng = np.random.default_rng(0)
    data = {t: rng.integers(-9, 9, 128).astype(dtype) for t, _ in kernel.tensors}
    flags = cl.mem_flags.READ_WRITE | cl.mem_flags.COPY_HOST_PTR
    buffers = {t: cl.Buffer(context, flags, hostbuf=a) for t, a in data.items()}
    factors = [np.dtype(dtype).type(k + 1) for k in range(parts)]
    assert [s for s, _ in kernel.scalars] == [f"u0.{k}" for k in range(parts)]
    kernel_object = cl.Kernel(program, "sweep")
    kernel_object.set_args(
        *[buffers[t] for t, _ in kernel.tensors], *factors, *map(np.int32, sizes)
    )
    cl.enqueue_nd_range_kernel(queue, kernel_object, (parts * each,), (1,))
    for k, n in enumerate(sizes):
        expected = {t: data[f"{t}.{k}"].copy() for t in ("t0", "t1", "t2")}
        expected["t0"][:n] += factors[k] * expected["t1"][:n]
        expected["t2"][:n] -= expected["t0"][:n]
        for t, array in expected.items():
            found = np.empty(128, dtype)
            cl.enqueue_copy(queue, found, buffers[f"{t}.{k}"])
            assert (found == array).all(), (t, k)


def test_arguments_fit_every_device() -> None:
    count = part_count(update(), 100)
    kernel = sweep_kernel("sweep", update(), count)
    assert 8 * (len(kernel.tensors) + len(kernel.scalars)) + 4 * count <= 1024
    assert 1 < count <= 16
    assert sweep_groups(10) == 1 < sweep_groups(10**6) <= 64


@pytest.mark.parametrize("updates", range(1, 60))
def test_launches_are_few_and_even(updates: int) -> None:
    count = part_count(update(), updates)
    launches = -(-updates // count)
    assert launches == -(-updates // part_count(update(), 1600))
    assert launches * count - updates < launches  # padded by less than one part each


def step_of(*tasks: Task, shape: tuple[int, ...] = (4, 16)) -> Step:
    buffers = {b for t in tasks for b in (*t.reads, *t.writes)}
    inside = {b for b in buffers if b.startswith("x")}
    return Step(tasks, dict.fromkeys(buffers, shape), frozenset(buffers - inside))


def task(out: str, read: str, transposed: bool = False) -> Task:
    """out = out + read, over rows and columns."""
    at = (Affine.of("a"), Affine.of("b"))
    loops = (("a", 4), ("b", 16))
    other = Access(read, at[::-1] if transposed else at)
    nest = Nest(Access(out, at), loops, (Access(out, at), other), (), r0 + r1)
    return Task("vector", 0, out, (nest,))


def places(step: Step) -> dict[str, Layout]:
    return {b: Layout.row_major(shape) for b, shape in step.shapes.items()}


def test_updates_of_equal_form_wait_for_the_end() -> None:
    step = step_of(task("p", "x1"), task("x2", "x1"), task("q", "x2"))
    ((one, two),) = found = sinks(step, places(step))
    assert [one.task.out, two.task.out] == ["p", "q"]
    assert one.size == 64
    assert [t.out for t in without(step.tasks, found)] == ["x2"]


@pytest.mark.parametrize(
    "later",
    [task("x3", "p"), task("p", "x4"), task("x1", "x4")],
    ids=["read", "written", "its operand is written"],
)
def test_no_update_moves_across_what_it_touches(later: Task) -> None:
    step = step_of(task("p", "x1"), task("q", "x2"), task("r", "x2"), later)
    (group,) = sinks(step, places(step))
    assert len(group) >= 2
    assert all(x.task is not step.tasks[0] for x in group)


def test_other_layouts_borders_and_subscripts_are_no_flat_pass() -> None:
    step = step_of(task("p", "x1"), task("q", "x2"), shape=(16, 16))
    step = Step(step.tasks, dict.fromkeys(step.shapes, (4, 16)), step.external)
    home = places(step)
    assert sinks(step, home)
    assert not sinks(step, home | {"x1": Layout.blocked((4, 16), 0)})
    bordered = Layout.row_major((4, 16), (0, 1), (0, 1))
    assert not sinks(step, home | dict.fromkeys(["p", "x1"], bordered))
    turned = step_of(task("p", "x1", transposed=True), task("q", "x2", transposed=True))
    assert not sinks(turned, places(turned))
    part = replace(step, shapes=dict.fromkeys(step.shapes, (5, 16)))
    assert not sinks(part, places(part))
    whole = replace(step, whole=frozenset({"x1"}))
    assert not sinks(whole, home)


def test_runs_are_equal_only_for_equal_places() -> None:
    shape = (4, 32)
    layouts = [
        Layout.row_major(shape),
        Layout.blocked(shape, 1),
        Layout.blocked(shape, 1, order=(1, 0)),
        Layout.blocked(shape, 0, lanes=2),
        Layout(shape, ((0, 1, 4), (1, 8, 4), (1, 1, 8))),
    ]
    for a in layouts:
        for b in layouts:
            assert (runs(a) == runs(b)) == (a.indices() == b.indices()).all()


def test_one_launch_updates_all_parameters_of_a_network() -> None:
    gp.manual_seed(0)
    model = gp.nn.Sequential(
        gp.nn.Conv2d(3, 16, 3, padding=1), gp.nn.BatchNorm2d(16), gp.nn.ReLU(),
        gp.nn.Conv2d(16, 16, 3, padding=1), gp.nn.BatchNorm2d(16), gp.nn.ReLU(),
    )  # fmt: skip
    optimizer = gp.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)

    def step(x: gp.Tensor) -> gp.Tensor:
        optimizer.zero_grad()
        y = model(x)
        loss = gp.functional.mse_loss(y, gp.functional.relu(y.detach()), reduction="sum")
        loss.backward()
        optimizer.step()
        return loss

    plan, _ = planned_data(step, gp.tensor(np.ones((2, 3, 8, 8), np.float32)))
    updates = [x for x in plan["launches"] if "sgd_momentum" in x["what"]]
    assert len(updates) == 1
    assert sorted(updates[0]["sizes"]) == [16] * 6 + [432, 2304]
    averages = [x for x in plan["launches"] if "running_average" in x["what"]]
    assert len(averages) == 1
    assert updates[0]["kernel"] != averages[0]["kernel"]


PLAN = """
import hashlib, json, numpy as np, gradproof as gp
from gradproof.runtime.plan import planned_data
net = gp.nn.Sequential(gp.nn.Conv2d(16, 16, 3, padding=1), gp.nn.BatchNorm2d(16), gp.nn.ReLU())
def step(x):
    y = net(x)
    gp.functional.mse_loss(y, x, reduction="sum").backward()
    return y
plan, _ = planned_data(step, gp.tensor(np.ones((2, 16, 6, 6), np.float32)))
print(hashlib.sha256(json.dumps(plan).encode()).hexdigest())
from gradproof.runtime.models import build_model
from gradproof.runtime.step import TrainingStep
net = build_model("lenet", (1, 28, 28), 10)  # some of its sums of products copy two operands
step = TrainingStep(net, gp.optim.SGD(net.parameters(), lr=0.1), gp.nn.CrossEntropyLoss())
x, y = np.zeros((8, 1, 28, 28), np.float32), np.zeros(8, np.int32)
plan, _ = planned_data(step.run, gp.tensor(x), gp.tensor(y))
print(hashlib.sha256(json.dumps(plan).encode()).hexdigest())
"""


def test_a_plan_does_not_depend_on_the_order_of_sets(tmp_path) -> None:
    found = set()
    for seed in "12":
        env = {**os.environ, "PYTHONHASHSEED": seed, "GRADPROOF_CACHE_DIR": str(tmp_path / seed)}
        done = subprocess.run(
            [sys.executable, "-c", PLAN], env=env, capture_output=True, text=True, check=True
        )
        found.add(done.stdout)
    assert len(found) == 1
