"""Compilers for GPUs that are not there: OpenCL C to machine code, and what a kernel needs of it.

clang makes NVIDIA's PTX, which `ptxas` turns into machine code, and AMD's assembly. Both say how
many registers a work-item has, what spills out of them, and a work-group's local memory.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

CLANG = "clang-15"
LIBRARY = Path("/usr/lib/clc")
COMMON = ("-x", "cl", "-cl-std=CL1.2", "-Werror", "-Wno-linker-warnings", "-O3", "-S")
HEADER = ("-Xclang", "-finclude-default-header", "-Xclang", "-mlink-builtin-bitcode", "-Xclang")
PTX = "sm_75"  # the oldest that is asked for; `ptxas` makes code for newer ones from it
HOW = "Debian: apt-get install clang-15 libclc-15 libclc-15-dev"
Report = dict[str, dict[str, int]]  # kernel -> what it needs


@dataclass(frozen=True)
class Target:
    """A kind of GPU, as its compiler calls it. `library`: what clang links."""

    name: str
    vendor: str
    library: str

    def missing(self) -> str:
        """What must be installed, empty where nothing is."""
        if shutil.which(CLANG) is None:
            return f"{CLANG} is not installed ({HOW})"
        if not (LIBRARY / self.library).is_file():
            return f"{LIBRARY / self.library} is missing ({HOW})"
        if self.vendor == "NVIDIA" and shutil.which("ptxas") is None:
            return "ptxas is not installed (it is part of NVIDIA's CUDA toolkit)"
        return ""


AMD, NVIDIA = ("AMD", "amdgcn--amdhsa.bc"), ("NVIDIA", "nvptx64--nvidiacl.bc")
TARGETS = (
    Target("gfx1030", *AMD),
    Target("gfx90a", *AMD),
    Target("sm_75", *NVIDIA),
    Target("sm_90", *NVIDIA),
)


class CompileError(Exception):
    """A program that does not compile without a warning; the text is the compiler's."""


def compiled(source: str, options: Sequence[str], targets: Sequence[Target]) -> dict[str, Report]:
    """What each kernel of a program needs, by target. Errors: CompileError."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "k.cl").write_text(source, "utf-8")
        found = {t.name: amd(folder, options, t) for t in targets if t.vendor == "AMD"}
        nvidia = [t for t in targets if t.vendor == "NVIDIA"]
        if nvidia:
            more = ("-Xclang", "-target-cpu", "-Xclang", PTX)
            _clang(folder, options, "k.ptx", "nvptx64--nvidiacl", nvidia[0].library, more)
        for t in nvidia:
            command = ["ptxas", f"-arch={t.name}", "-v", str(folder / "k.ptx"), "-o", "/dev/null"]
            found[t.name] = dict(nvidia_report(_run(command)))
    return found


def amd(folder: Path, options: Sequence[str], target: Target) -> Report:
    """One of AMD's targets."""
    more = (f"-mcpu={target.name}", "-nogpulib")
    _clang(folder, options, "k.s", "amdgcn-amd-amdhsa", target.library, more)
    return dict(amd_report((folder / "k.s").read_text("utf-8")))


def _clang(
    folder: Path, options: Sequence[str], out: str, triple: str, library: str, more: Sequence[str]
) -> None:
    files = (str(LIBRARY / library), "-o", str(folder / out), str(folder / "k.cl"))
    _run([CLANG, *COMMON, *options, "-target", triple, *more, *HEADER, *files])


def _run(command: Sequence[str]) -> str:
    """What a command says of itself."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CompileError(done.stderr.strip() or f"{command[0]}: exit code {done.returncode}")
    return done.stderr


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
    for part in text.split("amdhsa.kernels:")[-1].split("\n  - ")[1:]:
        name = re.search(r"^    \.name:\s+(\w+)", part, re.MULTILINE)
        if name is None:
            continue  # the version of the notes
        numbers = {
            "registers": _first(r"\.vgpr_count:\s+(\d+)", part),
            "scalars": _first(r"\.sgpr_count:\s+(\d+)", part),
            "spilled": _first(r"\.vgpr_spill_count:\s+(\d+)", part)
            + _first(r"\.sgpr_spill_count:\s+(\d+)", part),
            "local": _first(r"\.group_segment_fixed_size:\s+(\d+)", part),
        }
        yield name[1], numbers


def _first(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    return int(found[1]) if found else 0


@cache
def versions() -> dict[str, str]:
    """Of the compilers that are installed."""
    tools = [t for t in (CLANG, "ptxas") if shutil.which(t)]
    said = {t: subprocess.run([t, "--version"], capture_output=True, text=True, check=True).stdout
            for t in tools}  # fmt: skip
    return {t: next(x for x in text.splitlines() if "ersion" in x or "release" in x)
            for t, text in said.items()}  # fmt: skip
