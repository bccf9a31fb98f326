"""What the device can do at most, measured in the run itself: multiply-adds, and memory."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.measure.interleave import interleave
from benchmarks.measure.ours import Device

# Independent chains, lanes of each: enough chains to hide the latency of two units, few enough for
# the registers. Which is best depends on the vectors that the driver's compiler uses.
FORMS = ((12, 16), (6, 16), (10, 8), (12, 4))
TURNS = 200_000
LANES = 16
# a[i] = b[i] + s * c[i]: three tensors, counted once each
TRIAD_TENSORS, CHUNK = 3, 1024
SIZES = (2**21, 2**23, 2**25, 2**27)  # bytes in all: from what a cache holds to what none does
REAL_SECOND_CORE = 1.9  # times the figure of one core

SOURCE = """
#pragma OPENCL FP_CONTRACT ON
kernel void fma_peak(global VECTOR *out, float a, float b, int turns) {
    VECTOR x = a, y = b;
    DECLARE
    for (int i = 0; i < turns; i++) { ADVANCE }
    out[get_global_id(0)] = TOTAL;
}
kernel void triad(global float16 *a, global const float16 *b, global const float16 *c, float s) {
    int first = get_global_id(0) * CHUNK;
    for (int i = first; i < first + CHUNK; i++) a[i] = b[i] + s * c[i];
}
"""


@dataclass
class Probe:
    """One thing to run, and how much work it is: floating-point operations, or bytes."""

    run: Callable[[], None]
    work: float


@dataclass
class Probes:
    """Those of one device; `bandwidth` by working set in bytes. Rates are per second."""

    fma: Probe
    fma_one_core: Probe
    bandwidth: dict[int, Probe]
    rates: dict[str, float] = field(default_factory=dict)

    def near(self, size: float) -> tuple[str, Probe]:
        """The bandwidth probe whose working set is the nearest, by ratio."""
        nearest = nearest_size(size, list(self.bandwidth))
        return bandwidth_name(nearest), self.bandwidth[nearest]

    def measure(self, rounds: int) -> None:
        """Every rate, the median of interleaved rounds."""
        named = {"fma": self.fma, "fma_one_core": self.fma_one_core}
        named |= {bandwidth_name(size): p for size, p in self.bandwidth.items()}
        seconds = interleave({n: p.run for n, p in named.items()}, rounds)
        self.rates = {n: p.work / statistics.median(seconds[n]) for n, p in named.items()}

    def cores(self, rounds: int = 5) -> float:
        """How many times the one-core figure all threads reach together, now."""
        pair = {"one": self.fma_one_core, "all": self.fma}
        seconds = interleave({n: p.run for n, p in pair.items()}, rounds)
        rates = {n: p.work / statistics.median(seconds[n]) for n, p in pair.items()}
        return rates["all"] / rates["one"]


def nearest_size(size: float, sizes: list[int]) -> int:
    """The one that differs by the smallest factor.

    >>> nearest_size(3e6, [2**21, 2**23])
    2097152
    """
    return min(sizes, key=lambda s: abs(math.log(s / max(size, 1.0))))


def bandwidth_name(size: int) -> str:
    """The name of a bandwidth in a record.

    >>> bandwidth_name(2**21)
    'bandwidth at 2 MiB'
    """
    return f"bandwidth at {size // 2**20} MiB"


def make_probes(device: Device, threads: int) -> Probes:
    """The probes of a device. A group runs on one core of a CPU; a GPU gets many."""
    units = device.info.compute_units
    groups, group = (threads, 1) if device.info.kind == "cpu" else (32 * units, 64)
    one = 1 if device.info.kind == "cpu" else groups
    form = _best_form(device, group)
    return Probes(
        _fma(device, groups, group, *form),
        _fma(device, one, group, *form),
        {size: _triad(device, size) for size in SIZES},
    )


def _kernel(device: Device, name: str, chains: int = 1, lanes: int = LANES) -> Any:
    parts = {
        "VECTOR": f"float{lanes}",
        "DECLARE": " ".join(f"float{lanes} r{k} = {k};" for k in range(chains)),
        "ADVANCE": " ".join(f"r{k} = r{k} * x + y;" for k in range(chains)),
        "TOTAL": " + ".join(f"r{k}" for k in range(chains)),
        "CHUNK": str(CHUNK),
    }
    source = SOURCE
    for word, text in parts.items():
        source = source.replace(word, text)
    return device.build(source, ("-cl-std=CL1.2", "-cl-mad-enable"), (name,), label="probe")[name]


def _fma(device: Device, groups: int, group: int, chains: int, lanes: int) -> Probe:
    items = groups * group
    turns = TURNS if device.info.kind == "cpu" else TURNS // 50
    out = device.pool.allocate(items * lanes * 4, "probe")
    kernel = _kernel(device, "fma_peak", chains, lanes)
    kernel.set_args(out, np.float32(1.0), np.float32(1e-9), np.int32(turns))

    def run(keep: Any = out) -> None:
        device.launch(kernel, (items,), (group,))
        device.synchronize()

    return Probe(run, 2.0 * items * turns * chains * lanes)


def _best_form(device: Device, group: int) -> tuple[int, int]:
    """The form that reaches the highest rate, on one group."""
    tried = {form: _fma(device, 1, group, *form) for form in FORMS}
    seconds = interleave({str(form): probe.run for form, probe in tried.items()}, rounds=5)
    return max(FORMS, key=lambda form: tried[form].work / min(seconds[str(form)]))


def _triad(device: Device, size: int) -> Probe:
    chunk = CHUNK * LANES * 4
    items = max(1, size // (TRIAD_TENSORS * chunk))
    buffers = [device.pool.allocate(items * chunk, "probe") for _ in range(TRIAD_TENSORS)]
    kernel = _kernel(device, "triad")
    for first in range(TRIAD_TENSORS):  # written once each: memory that was never touched is slow
        order = buffers[first:] + buffers[:first]
        kernel.set_args(*order, np.float32(0.0))
        device.launch(kernel, (items,), (1,))
    kernel.set_args(*buffers, np.float32(0.5))

    def run(keep: Any = buffers) -> None:
        device.launch(kernel, (items,), (1,))
        device.synchronize()

    return Probe(run, float(TRIAD_TENSORS * items * chunk))
