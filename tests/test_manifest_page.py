"""docs/manifest.md: its C program compiles and runs, and its tables name the fields there are."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pyopencl as cl
import pytest

from gradproof.codegen.generate import generated_folder
from gradproof.codegen.program import build_program
from gradproof.derive.registry import operators

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "manifest.md").read_text("utf-8")


def c_program() -> str:
    (text,) = re.findall(r"```c\n(.*?)```", PAGE, re.S)
    return text


def drivers() -> list[str]:
    """The CPU driver that pyopencl may bring, for a loader that finds none on the system."""
    return [str(path) for path in (Path(cl.__file__).parent / ".libs").glob("libpocl*.so")]


def test_the_c_program_compiles_and_runs(tmp_path: Path) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not Path("/usr/include/CL/cl.h").exists():
        pytest.skip("no C compiler, or no OpenCL headers")
    (tmp_path / "linear.c").write_text(c_program())
    binary = tmp_path / "linear"
    build = [compiler, "-Wall", "-Wextra", "-Werror", "-Wno-deprecated-declarations"]
    subprocess.run([*build, str(tmp_path / "linear.c"), "-lOpenCL", "-o", str(binary)], check=True)
    source = generated_folder() / "linear.cl"
    for more in ({}, *({"OCL_ICD_VENDORS": path} for path in drivers())):
        env = {**os.environ, **more}
        ran = subprocess.run([binary, source], env=env, capture_output=True, text=True)
        if "clGetPlatformIDs" not in ran.stderr:
            break
    assert (ran.stdout, ran.returncode) == ("8 32\n8 50\n", 0), ran.stderr


def test_its_steps_hold_through_another_host() -> None:
    """The same launch from the manifest alone, by pyopencl."""
    entry = build_program(operators()["linear"]).entry
    assert entry["sizes"] == ["K", "N", "O"]
    kernel = entry["kernels"]["linear_z"]
    assert [a["name"] for a in kernel["arguments"]] == ["Y", "w", "b", "z", "sizes"]
    context = cl.Context([cl.get_platforms()[0].get_devices()[0]])
    queue = cl.CommandQueue(context)
    source = (generated_folder() / entry["file"]).read_text("utf-8")
    options = [f"-DSIZE_{s}=sizes[{k}]" for k, s in enumerate(entry["sizes"])]
    program = cl.Program(context, source).build(["-DREAL=float", *options])
    flags = cl.mem_flags.READ_WRITE | cl.mem_flags.COPY_HOST_PTR
    hosts = [
        np.arange(1, 7, dtype=np.float32),
        np.array([1, 0, -1, 2, 2, 2], np.float32),
        np.array([10, 20], np.float32),
        np.zeros(4, np.float32),
        np.array([3, 2, 2], np.int32),
    ]
    buffers = [cl.Buffer(context, flags, hostbuf=h) for h in hosts]
    cl.Kernel(program, "linear_z")(queue, (4,), None, *buffers)
    cl.enqueue_copy(queue, hosts[3], buffers[3])
    assert hosts[3].tolist() == [8, 32, 8, 50]


def test_the_page_names_every_field() -> None:
    manifest = json.loads((generated_folder() / "manifest.json").read_text("utf-8"))
    for entry in manifest["operators"].values():
        fields = set(entry) | {f for k in entry["kernels"].values() for f in k}
        fields |= {f for v in entry["variants"].values() for f in v}
        assert not [f for f in sorted(fields) if f"`{f}`" not in PAGE]
