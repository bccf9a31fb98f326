"""Copies between layouts: every element arrives, borders stay zero, and odd shapes are left."""

from __future__ import annotations

import numpy as np
import pytest

from gradproof.codegen.fast.copies import tiled_copy
from gradproof.codegen.fast.emission import Program
from gradproof.codegen.fast.emitter import Emitter
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.schedules import schedules
from gradproof.codegen.fast.tasks import Step, Task
from tests.fast_device import Job

SHAPE = (32, 48, 5, 6)
BORDER = {"low": (0, 0, 1, 1), "high": (0, 0, 1, 2)}
LAYOUTS = {
    "channels": Layout.blocked(SHAPE, 1, **BORDER),
    "batch": Layout.blocked(SHAPE, 0),
    "both": Layout.blocked(SHAPE, 0, second=1),
    "other": Layout.blocked(SHAPE, 1, second=0, order=(1, 0, 2, 3)),
}


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32"])
def test_every_element_arrives(dtype: str) -> None:
    whole = dtype == "int32"
    pairs = [(a, b) for a in LAYOUTS for b in LAYOUTS if a != b]
    made = {f"{a}_{b}": tiled_copy(f"{a}_{b}", LAYOUTS[b], LAYOUTS[a], whole) for a, b in pairs}
    assert {name for name, k in made.items() if k} >= {"channels_batch", "batch_channels"}
    values = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    ints = frozenset(["t0", "t1"]) if whole else frozenset()
    for name, kernel in made.items():
        if kernel is None:
            continue
        a, b = name.split("_")
        kind = "float32" if whole else dtype
        job = Job([kernel], {"t0": LAYOUTS[b], "t1": LAYOUTS[a]}, dtype=kind, whole=ints)
        job.put("t1", values)
        job.run()
        assert (job.get("t0") == values).all(), name


def test_rows_without_whole_tiles_are_left_to_others() -> None:
    shape = (20, 48)
    assert tiled_copy("k", Layout.blocked(shape, 0), Layout.row_major(shape)) is None
    same = Layout.row_major(shape)
    assert tiled_copy("k", same, same) is None


def test_integers_are_copied_as_integers_for_a_reference_kernel() -> None:
    """In float64 a copy as REAL would take two labels for one number."""
    shape = (32, 32)
    task = Task("opaque", 0, "b1", opaque_reads=frozenset({"b0"}))
    step = Step((task,), {"b0": shape, "b1": shape}, frozenset())
    home = {"b0": Layout.blocked(shape, 0), "b1": Layout.row_major(shape)}
    for whole, kind in ((frozenset({"b0"}), "int"), (frozenset[str](), "REAL")):
        program = Program()
        own = schedules("fast", "avx2")
        Emitter(own, {}, lambda w: "", program, step, home, whole).emit(task, None)
        (kernel,) = program.kernels.values()
        assert f"__global const {kind} *restrict t1" in kernel.text
