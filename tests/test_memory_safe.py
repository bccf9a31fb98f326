"""Oclgrind finds no memory error in the kernels, and finds those that are planted in copies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from benchmarks.portability.memory import Watch, environment
from gradproof.runtime.device import list_devices

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.oclgrind

SETUP = """
import json, os
from pathlib import Path
from benchmarks.portability import memory as m
from gradproof.derive.registry import find
from gradproof.runtime.device import use_device
from gradproof.runtime.manifest import operators
use_device("simulator")
watch = m.Watch(Path(os.environ[m.LOG]))
def kinds(found):
    return sorted({f.kind for f in found})
def operator(name, old="", new=""):
    op = m.faulty(operators()[name], old, new) if old else operators()[name]
    return kinds(f for _, fs in m.check_operator(find(name), op, watch, few=True) for f in fs)
def step(name, machine, old="", new=""):
    if not old:
        return kinds(m.check_step(name, machine, watch)[1])
    def change(text):
        assert old in text, old
        return text.replace(old, new)
    return kinds(m.check_step(name, machine, watch, change)[1])
with m.keep_buffers():
    found = {}
"""
RIGHT = """
    for name in ("relu", "conv2d", "batch_norm", "max_pool2d", "embedding"):
        found[name] = operator(name)
    for machine in m.MACHINES:
        found[machine] = step("small", machine)
    found["transformer"] = step("transformer", "avx2")  # sums over blocks that are not full
    print(json.dumps(found))
"""
WRONG = """
    found["read outside"] = operator("relu", "= (Y[i]", "= (Y[i + 1]")
    found["write outside"] = operator("relu", "z[id] =", "z[id + 1] =")
    found["uninitialised"] = operator("linear", "REAL sum0 = 0;", "REAL sum0;")
    found["race"] = operator("add", "z[id] =", "z[0] =")
    barrier = "barrier(CLK_LOCAL_MEM_FENCE);"
    found["barrier"] = step("small", "gpu 16", barrier)
    found["temporary"] = step("small", "avx2", "t0[", "t0[1 + ")
    print(json.dumps(found))
"""


@cache
def said(script: str) -> dict[str, list[str]]:
    """What a process under Oclgrind prints."""
    if not any(info.kind == "simulator" for info in list_devices()):
        pytest.skip("Oclgrind is not installed")
    with TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", SETUP + script],
            env={**os.environ, **environment(Path(folder) / "log")},
            cwd=ROOT, capture_output=True, text=True, timeout=900, check=False,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_sample_of_kernels_is_clean() -> None:
    assert not {name: kinds for name, kinds in said(RIGHT).items() if kinds}


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("read outside", "Invalid read of size 4 at global memory"),
        ("write outside", "Invalid write of size 4 at global memory"),
        ("uninitialised", "Uninitialized value written to global memory"),
        ("race", "Write-write data race at global memory"),
        ("barrier", "Read-write data race at local memory"),
        ("temporary", "Invalid write of size 4 at global memory"),
    ],
)
def test_a_planted_fault_is_found(fault: str, kind: str) -> None:
    assert kind in said(WRONG)[fault]


def test_a_check_that_broke_off_is_a_finding(tmp_path: Path) -> None:
    log = tmp_path / "log"
    watch = Watch(log)
    assert watch.new("nothing") == []
    text = """
    OCLGRIND FATAL ERROR (Uninitialized.cpp:1805)
    Unsupported instruction: freeze
    Kernel: linear_z
    """
    log.write_text(textwrap.dedent(text))
    (finding,) = watch.new("linear")
    assert (finding.what, finding.kernel) == ("linear", "linear_z")
    assert "FATAL" in finding.kind
    assert watch.new("linear") == []


@pytest.mark.slow
def test_every_kernel_is_clean(tmp_path: Path) -> None:
    script = "import sys; sys.argv.append('--few')\n"
    script += "import runpy; runpy.run_module('benchmarks.portability.memory', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, **environment(tmp_path / "log")},
        cwd=ROOT, capture_output=True, text=True, timeout=1800, check=False,
    )  # fmt: skip
    result = json.loads(done.stdout)
    assert result["passed"], result["failures"]
    assert result["cases"] > 100
