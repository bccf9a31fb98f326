"""Builds every program on the current device with warnings as errors; a process of its own."""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Sequence
from typing import Any

import pyopencl as cl

from benchmarks.portability.programs import Program, programs
from gradproof.runtime.device import Device, current_device

STRICT = ("-cl-std=CL1.2", "-Werror")
WARNS = "#warning a compiler says this\nkernel void k(global int *x) { x[0] = 1; }\n"
SHOWN = 2_000  # characters of a compiler's words


def build(device: Device, source: str, options: Sequence[str], kernels: Sequence[str]) -> str:
    """Why a program does not build, lacks a kernel or gives a warning; empty where it is right.

    Built anew, whatever was built before. Each kernel's object is made, where some drivers first
    compile it.
    """
    program = cl.Program(device.context, source)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", cl.CompilerWarning)
            program.build([*STRICT, *options], cache_dir=False)  # type: ignore[arg-type]
        for name in kernels:
            cl.Kernel(program, name)
    except cl.Error as error:
        return str(error).strip()[-SHOWN:]
    said = program.get_build_info(device.context.devices[0], cl.program_build_info.LOG) or ""
    return str(said).strip()[-SHOWN:] if "warning:" in said else ""


def build_all(device: Device, machine: str = "") -> dict[str, Any]:
    """The result for the record; `failures` are empty where all is right."""
    start, counts, failures = time.perf_counter(), {"programs": 0, "kernels": 0}, []
    if not build(device, WARNS, (), ()):
        failures.append({"program": "a warning", "log": "the driver says nothing of a warning"})
    for p in programs(device, machine):
        counts["programs"] += 1
        counts["kernels"] += len(p.kernels)
        log = build(device, p.source, p.options, p.kernels)
        failures += [failure(p, log)] if log else []
    seconds = round(time.perf_counter() - start, 1)
    return {"passed": not failures, **counts, "failures": failures, "seconds": seconds}


def failure(p: Program, log: str) -> dict[str, str]:
    """A program that is not right, and what the compiler says of it."""
    return {"program": f"{p.label} ({p.of}, {p.dtype})", "log": log}


if __name__ == "__main__":
    json.dump(build_all(current_device(), *sys.argv[1:]), sys.stdout)
