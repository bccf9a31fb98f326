"""A ResNet-20 training step, scheduled for GPUs and compiled for them, with what its kernels need.

    python benchmarks/gpu_offline.py [--json FILE]

No GPU is needed: clang compiles the kernels' OpenCL C to NVIDIA's PTX, which `ptxas` turns into
machine code, and to AMD's assembly. Both say how many registers a work-item has, how many bytes
spill out of them, and how much local memory a work-group takes. Nothing is run or timed.

Needed: clang-15 and libclc-15 (Debian: clang-15 libclc-15 libclc-15-dev); ptxas (of the CUDA
toolkit) for NVIDIA, without which that half is left out.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import gradproof as gp
from gradproof.runtime.models import resnet20
from gradproof.runtime.plan import planned_data
from gradproof.runtime.step import TrainingStep
from gradproof.runtime.tensor import tensor

CLANG = "clang-15"
LIBRARY = Path("/usr/lib/clc")
PTX, SASS, AMD = "sm_75", ("sm_75", "sm_90"), "gfx1030"
COMMON = ("-x", "cl", "-cl-std=CL1.2", "-Werror", "-Wno-linker-warnings", "-O3", "-S")
HEADER = ("-Xclang", "-finclude-default-header", "-Xclang", "-mlink-builtin-bitcode", "-Xclang")
BATCH = 32
Report = dict[str, dict[str, int]]  # kernel -> what it needs


def missing() -> str:
    """What must be installed, empty where nothing is."""
    if shutil.which(CLANG) is None:
        return f"{CLANG} is not installed (Debian: clang-15 libclc-15 libclc-15-dev)"
    names = ("nvptx64--nvidiacl.bc", "amdgcn--amdhsa.bc")
    absent = [n for n in names if not (LIBRARY / n).is_file()]
    return f"{LIBRARY}: no {', '.join(absent)} (Debian: libclc-15)" if absent else ""


def reports(source: str, options: Sequence[str]) -> dict[str, Report]:
    """What each kernel of a program needs, by target. Errors: CalledProcessError."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "k.cl").write_text(source, "utf-8")
        _clang(
            folder,
            options,
            "k.ptx",
            "nvptx64--nvidiacl",
            ("-Xclang", "-target-cpu", "-Xclang", PTX),
        )
        _clang(folder, options, "k.s", "amdgcn--amdhsa", (f"-mcpu={AMD}", "-nogpulib"))
        found = {AMD: dict(amd_report((folder / "k.s").read_text("utf-8")))}
        for arch in SASS if shutil.which("ptxas") else ():
            command = ["ptxas", f"-arch={arch}", "-v", str(folder / "k.ptx"), "-o", "/dev/null"]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found[arch] = dict(nvidia_report(done.stderr))
    return found


def _clang(
    folder: Path, options: Sequence[str], out: str, library: str, target: Sequence[str]
) -> None:
    triple = "amdgcn-amd-amdhsa" if library.startswith("amd") else library
    files = (str(LIBRARY / f"{library}.bc"), "-o", str(folder / out), str(folder / "k.cl"))
    command = [CLANG, *COMMON, *options, "-target", triple, *target, *HEADER, *files]
    subprocess.run(command, check=True)


def nvidia_report(text: str) -> Iterator[tuple[str, dict[str, int]]]:
    """Out of what `ptxas -v` says.

    >>> text = '''Compiling entry function 'k' for 'sm_75'
    ... 0 bytes stack frame, 4 bytes spill stores, 8 bytes spill loads
    ... Used 96 registers, used 1 barriers, 9216 bytes smem'''
    >>> dict(nvidia_report(text))
    {'k': {'registers': 96, 'spilled': 12, 'local': 9216}}
    """
    for part in text.split("Compiling entry function '")[1:]:
        numbers = {
            "registers": _first(r"Used (\d+) registers", part),
            "spilled": _first(r"(\d+) bytes spill stores", part)
            + _first(r"(\d+) bytes spill loads", part),
            "local": _first(r"(\d+) bytes smem", part),
        }
        yield part.split("'")[0], numbers


def amd_report(text: str) -> Iterator[tuple[str, dict[str, int]]]:
    """Out of the notes at the end of the assembly. spilled: registers, of vectors and scalars."""
    for part in text.split(".amdhsa_kernel")[-1].split("  - .args:")[1:]:
        numbers = {
            "registers": _first(r"\.vgpr_count:\s+(\d+)", part),
            "scalars": _first(r"\.sgpr_count:\s+(\d+)", part),
            "spilled": _first(r"\.vgpr_spill_count:\s+(\d+)", part)
            + _first(r"\.sgpr_spill_count:\s+(\d+)", part),
            "local": _first(r"\.group_segment_fixed_size:\s+(\d+)", part),
        }
        yield re.search(r"\.name:\s+(\w+)", part)[1], numbers  # type: ignore[index]


def _first(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    return int(found[1]) if found else 0


def resnet20_plan() -> Mapping[str, Any]:
    """The plan for a GPU; it is made on any device."""
    model = resnet20()
    optimizer = gp.optim.Adam(model.parameters())
    step = TrainingStep(model, optimizer, gp.nn.CrossEntropyLoss())
    images = tensor(np.zeros((BATCH, 3, 32, 32), np.float32))
    found, _ = planned_data(step.run, images, tensor(np.zeros(BATCH, np.int32)), machine="gpu")
    return found


def rows(plan: Mapping[str, Any], found: Mapping[str, Report]) -> list[dict[str, Any]]:
    """One for each kernel, with its launches."""
    launches = Counter(x["kernel"] for x in plan["launches"])
    first = {x["kernel"]: x for x in reversed(plan["launches"])}
    listed: list[dict[str, Any]] = []
    for k in plan["kernels"]:
        x = first[k]
        row = {"kernel": k, "of": x["what"], "launches": launches[k], "groups": x["groups"]}
        needs = {target: report[k] for target, report in found.items()}
        listed.append(row | {"items": x["local"], "tile": x["note"]} | needs)
    return listed


def table(found: Sequence[Mapping[str, Any]], targets: Sequence[str]) -> str:
    """Registers, spills and local memory, a line for each kernel."""
    head = f"{'kernel':12}{'of':24}{'groups':>8}  {'tile':30}"
    lines = [head + "".join(f"{t + ' regs/spill/local':>26}" for t in targets)]
    for r in found:
        cells = [f"{r[t]['registers']} / {r[t]['spilled']} / {r[t]['local']}" for t in targets]
        line = f"{r['kernel']:12}{r['of']:24}{r['groups']:>8}  {r['tile']:30}"
        lines.append(line + "".join(f"{c:>26}" for c in cells))
    return "\n".join(lines)


def main() -> int:
    """Compile, print, and write the record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the record to this file")
    arguments = parser.parse_args()
    if reason := missing():
        print(reason, file=sys.stderr)
        return 1
    plan = resnet20_plan()
    found = reports(plan["source"], plan["options"]["float32"])
    listed = rows(plan, found)
    print(table(listed, sorted(found)))
    spilled = {t: sum(r[t]["spilled"] > 0 for r in listed) for t in found}
    print(f"kernels that spill: {spilled}; without ptxas: {not shutil.which('ptxas')}")
    if arguments.json:
        record: dict[str, Any] = {
            "work": f"ResNet-20, batch {BATCH}, training step, float32",
            "kernels": listed,
        }
        record |= {"compilers": _versions(), "kernels_that_spill": spilled}
        arguments.json.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    return 0


def _versions() -> dict[str, str]:
    tools = [t for t in (CLANG, "ptxas") if shutil.which(t)]
    said = {t: subprocess.run([t, "--version"], capture_output=True, text=True, check=True).stdout
            for t in tools}  # fmt: skip
    return {t: next(x for x in text.splitlines() if "ersion" in x or "release" in x)
            for t, text in said.items()}  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
