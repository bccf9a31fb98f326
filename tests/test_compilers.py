"""Helpers that compile: what they leave behind, when they start, and that nobody misses them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyopencl as cl
import pytest

import gradproof as gp
from gradproof.runtime import compilers, planned_step
from gradproof.runtime.build import keeps_kernels
from gradproof.runtime.compilers import compile_kernels, helpers, start_compilers, stop_compilers
from gradproof.runtime.device import Device, open_device

SOURCE = """
__kernel void k0_(__global float *x, float a) { x[get_group_id(0)] = a; }
__kernel void k1_(__global float *x, int n) { x[0] = 1000 % (get_num_groups(0) / 4) + n; }
"""
LAUNCHES = [
    {"kernel": "k0_", "buffers": ["b"], "scalars": [["s", "real"]], "sizes": [], "groups": 900},
    {"kernel": "", "buffers": ["b"], "scalars": [], "sizes": [], "groups": 0},
    {"kernel": "k1_", "buffers": ["b"], "scalars": [], "sizes": [5], "groups": 8},
    {"kernel": "k0_", "buffers": ["b"], "scalars": [["s", "real"]], "sizes": [], "groups": 900},
]
for launch in LAUNCHES:
    launch["local"] = 1


@pytest.fixture(scope="module")
def device() -> cl.Device:
    return open_device("cpu").context.devices[0]


@pytest.fixture
def started(monkeypatch, tmp_path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    monkeypatch.setattr(compilers, "_start", found.append)
    monkeypatch.setattr(compilers, "LARGE", 1)
    monkeypatch.setattr(compilers, "cache_folder", lambda: tmp_path)
    monkeypatch.setenv(compilers.VARIABLE, "2")
    return found


def start(device: cl.Device) -> int:
    return start_compilers(SOURCE, (), LAUNCHES, 1 << 12, "float32", device)


def test_each_helper_has_every_kernel_once_from_the_end(device, started) -> None:
    assert start(device) == 2
    orders = [[x["kernel"] for x in work["kernels"]] for work in started]
    assert orders == [["k1_", "k0_"], ["k1_", "k0_"]]
    assert all(json.loads(json.dumps(work)) == work for work in started)


def test_nobody_is_started_for_little_or_known_work(device, started, monkeypatch) -> None:
    assert start(device) == 2
    Path(started[0]["mark"]).touch()
    assert start(device) == 0
    Path(started[0]["mark"]).unlink()
    monkeypatch.setattr(compilers, "LARGE", len(SOURCE) + 1)
    assert start(device) == 0
    monkeypatch.setattr(compilers, "LARGE", 1)
    monkeypatch.setattr(compilers, "keeps_kernels", lambda device: False)
    assert start(device) == 0
    monkeypatch.setattr(compilers, "keeps_kernels", keeps_kernels)
    monkeypatch.setenv(compilers.VARIABLE, "0")
    assert start(device) == 0


def test_a_helper_that_cannot_start_is_not_missed(device, started, monkeypatch) -> None:
    def fail(work: Any) -> None:
        raise OSError("no more processes")

    monkeypatch.setattr(compilers, "_start", fail)
    start(device)


def test_one_helper_for_each_other_core(monkeypatch) -> None:
    monkeypatch.delenv(compilers.VARIABLE, raising=False)
    for cores, expected in ((1, 0), (2, 1), (4, 3), (64, 3)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, n=cores: set(range(n)), False)
        assert helpers() == expected


def test_a_helper_compiles_for_all_processes(device, tmp_path, monkeypatch) -> None:
    """The real thing: a process of its own leaves kernels in the driver's files, and its mark."""
    monkeypatch.setattr(compilers, "LARGE", 1)
    monkeypatch.setattr(compilers, "cache_folder", lambda: tmp_path / "kernels")
    monkeypatch.setenv("POCL_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv(compilers.VARIABLE, "1")
    assert start(device) == 1
    (process,) = compilers._running
    assert process.wait(60) == 0
    assert start(device) == 0
    stop_compilers()
    compiled = {path.stem for path in tmp_path.rglob("*.so")}
    assert compiled == {"k0_", "k1_"}


def test_helpers_end_with_the_process_that_started_them(tmp_path) -> None:
    code = (
        "from gradproof.runtime import compilers as c\n"
        "c._START = 'import time; time.sleep(100)'\n"
        "c._start({})\n"
        "print(c._running[0].pid)\n"
    )
    begin = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert time.monotonic() - begin < 60
    assert not Path(f"/proc/{int(done.stdout)}").exists()


def test_sizes_that_are_arguments_are_nothing_on_all_groups(device) -> None:
    """One group of the second kernel would divide by zero."""
    names = [device.platform.name, device.name, device.version]
    work = {"device": names, "source": SOURCE, "options": [], "nbytes": 4096, "dtype": "float32"}
    compile_kernels(work | {"kernels": [x for x in LAUNCHES if x["kernel"]]})


def test_helpers_start_when_the_program_is_built(monkeypatch) -> None:
    done = []

    def build(self: Device, *given: Any, **named: Any) -> Any:
        result = plainly(self, *given, **named)
        done.append("built")
        return result

    plainly = Device.build
    monkeypatch.setattr(Device, "build", build)
    monkeypatch.setattr(planned_step, "start_compilers", lambda *given: done.append("started"))
    x = gp.tensor([1.0, 2.0])
    gp.plan(lambda t: gp.functional.relu(t), x)
    assert done == ["built", "started"]
