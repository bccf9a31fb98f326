"""The roofs of a roofline: the most operations and the most memory traffic that a device was seen
to do in a second.

Williams, Waterman, Patterson, "Roofline: an insightful visual performance model", CACM 52(4), 2009.
The traffic is that of the triad of McCalpin's STREAM.
"""

from __future__ import annotations

from importlib import resources
from typing import Any

import numpy as np

from gradproof.report.parts import Missing, Roofs
from gradproof.runtime.device import Device
from gradproof.runtime.errors import GradproofError
from gradproof.runtime.profiling import profiling

CHAINS = (4, 8, 12)  # too few do not hide a sum's latency, too many do not fit the registers
ROUNDS, RUNS = 20_000, 5
FAR = 2**27  # bytes of an array, more than most caches hold
SMALLEST = 2**12  # bytes of an array


def roofs(device: Device, dtype: str, step_bytes: int) -> Roofs | Missing:
    """Measure them, for elements of `dtype`; step_bytes: what a step takes. A second or two."""
    bench = _Bench(device, np.dtype(dtype))
    info = device.info
    far = min(FAR, info.max_alloc // 2, info.global_mem // 8)
    near = max(SMALLEST, min(far, step_bytes // 3))
    try:
        flops = max(bench.operations(chains) for chains in CHAINS)
        return Roofs(flops, bench.triad(far), 3 * far, bench.triad(near), 3 * near)
    except GradproofError as error:
        return Missing(f"The device's limits could not be measured: {error}.")


class _Bench:
    """On a CPU one work-item of many lanes does a group's work; on a GPU many of few lanes."""

    def __init__(self, device: Device, dtype: np.dtype[Any]) -> None:
        self._device, self._dtype = device, dtype
        on_cpu = device.info.kind == "cpu"
        self._lanes, self._local = (16, 1) if on_cpu else (4, min(256, device.info.max_work_group))
        self._groups = device.info.compute_units * (4 if on_cpu else 16)
        self._source = (resources.files("gradproof.report") / "roofs.cl").read_text("utf-8")

    def operations(self, chains: int) -> float:
        """Operations a second."""
        kernel = self._kernel("operations", chains)
        items = self._groups * self._local
        out = self._array(items * self._lanes * self._dtype.itemsize)
        seconds = self._seconds(kernel, [out, self._dtype.type(0.5), np.int32(ROUNDS)])
        return 2.0 * chains * self._lanes * ROUNDS * items / seconds

    def triad(self, nbytes: int) -> float:
        """Bytes a second, on three arrays of so many bytes."""
        vectors = nbytes // (self._lanes * self._dtype.itemsize)
        arrays = [self._array(nbytes) for _ in range(3)]
        given = [*arrays, self._dtype.type(0.5), np.int32(vectors)]
        seconds = self._seconds(self._kernel("triad", 1), given)
        return 3.0 * vectors * self._lanes * self._dtype.itemsize / seconds

    def _kernel(self, name: str, chains: int) -> Any:
        real = {"float32": "float", "float64": "double"}[str(self._dtype)]
        options = [f"-DREAL={real}", f"-DLANES={self._lanes}", f"-DCHAINS={chains}"]
        if "Portable Computing Language" in self._device.info.platform:
            options.append("-DUNROLLED")  # not every compiler of OpenCL C 1.2 takes the hint
        return self._device.build(self._source, options, [name], label="roofs")[name]

    def _array(self, nbytes: int) -> Any:
        return self._device.pool.zeros(nbytes, "roofs")

    def _seconds(self, kernel: Any, arguments: list[Any]) -> float:
        """The shortest of some runs: a limit is what nothing disturbs."""
        for position, value in enumerate(arguments):
            kernel.set_arg(position, value)
        launch = kernel, (self._groups * self._local,), (self._local,)
        self._device.launch_all([launch])
        with profiling(self._device) as profile:
            self._device.launch_all([launch] * RUNS)
        return min(s.seconds for s in profile.spans())
