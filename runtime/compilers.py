"""Other processes that compile the kernels of a large program while this one runs its first step.

PoCL compiles a kernel at its first launch, one at a time in a process, and keeps the result in
files that all processes share. So helpers go through the kernels of a planned step from its end,
while the step goes through them from its beginning; where they meet, the rest is there. They start
when the program is built, and so need not read its text again. Nothing waits for a helper, and one
that fails is not missed.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyopencl as cl

from gradproof.runtime.build import cache_folder, keeps_kernels, program_key

VARIABLE = "GRADPROOF_COMPILERS"
MOST = 3  # helpers
LARGE = 100_000  # characters of a program that takes some seconds
_START = (
    "import sys; sys.path[:] = sys.argv[1:]; from gradproof.runtime.compilers import main; main()"
)
_running: list[subprocess.Popen[bytes]] = []
_starting = threading.Lock()


def helpers() -> int:
    """How many processes help: GRADPROOF_COMPILERS, or one for each other core, at most three."""
    given = os.environ.get(VARIABLE, "")
    if given.isdecimal():
        return int(given)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(MOST, (cores or 1) - 1)


def start_compilers(
    source: str,
    options: Sequence[str],
    launches: Iterable[Mapping[str, Any]],
    nbytes: int,
    dtype: str,
    device: cl.Device,
) -> int:
    """Start helpers for a program that was built, if it is large and its kernels have not been
    compiled before; how many.

    launches: those of a plan, in order; nbytes: the size of the largest buffer.
    """
    mark = cache_folder() / f"{program_key(source, options, device)}.compiled"
    if len(source) < LARGE or not keeps_kernels(device) or mark.exists() or not sys.executable:
        return 0
    kernels = {x["kernel"]: dict(x) for x in launches if x["kernel"]}
    work: dict[str, Any] = {
        "device": [device.platform.name, device.name, device.version],
        "source": source,
        "options": list(options),
        "kernels": list(kernels.values())[::-1],
        "nbytes": nbytes,
        "dtype": dtype,
        "mark": str(mark),
    }
    count = helpers()
    for k in range(count):
        first = k * len(kernels) // (count + 1)
        order = work["kernels"][first:] + work["kernels"][:first]
        with contextlib.suppress(OSError):
            _start(work | {"kernels": order})
    return count


def _start(work: Mapping[str, Any]) -> None:
    with _starting:
        _running[:] = [p for p in _running if p.poll() is None]
    with tempfile.TemporaryFile() as file:  # a pipe would wait for the helper to read
        file.write(json.dumps(work).encode())
        file.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-c", _START, *sys.path],
            stdin=file,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        with _starting:
            _running.append(process)


@atexit.register
def stop_compilers() -> None:
    """End the helpers that still run."""
    for process in _running:
        process.kill()
        process.wait()
    _running.clear()


# -- in the helper ------------------------------------------------------------------------------
def main() -> None:
    """Compile what comes on the standard input."""
    work = json.load(sys.stdin)
    compile_kernels(work)
    mark = Path(work["mark"])
    mark.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    mark.touch()


def compile_kernels(work: Mapping[str, Any]) -> None:
    """Launch each kernel once on memory of no meaning: one group of it, or, where its sizes are
    arguments, all groups on nothing."""
    device = next(
        d
        for p in cl.get_platforms()
        for d in p.get_devices()
        if [p.name, d.name, d.version] == work["device"]
    )
    context = cl.Context([device])
    queue = cl.CommandQueue(context)
    program = cl.Program(context, work["source"])
    program.build(work["options"], cache_dir=False)  # type: ignore[arg-type]
    nbytes = min(work["nbytes"], device.max_mem_alloc_size)
    memory = cl.Buffer(context, cl.mem_flags.READ_WRITE, nbytes)
    for x in work["kernels"]:
        kernel = cl.Kernel(program, x["kernel"])
        real = np.dtype(work["dtype"]).type
        scalars = [np.uint32(0) if kind == "uint" else real(0) for _, kind in x["scalars"]]
        kernel.set_args(*[memory] * len(x["buffers"]), *scalars, *[np.int32(0)] * len(x["sizes"]))
        groups, local = (x["groups"] if x["sizes"] else 1), x["local"]
        cl.enqueue_nd_range_kernel(queue, kernel, (groups * local,), (local,)).wait()
