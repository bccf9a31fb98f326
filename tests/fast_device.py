"""Fast kernels on the CPU device: buffers in their layouts, outputs poisoned before a run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyopencl as cl
from numpy.typing import NDArray

from gradproof.codegen.fast.kernel import FastKernel
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.program import fast_options, fast_program

Array = NDArray[Any]


def cpu() -> cl.Context:
    """The CPU device that pip brings."""
    for platform in cl.get_platforms():
        for device in platform.get_devices():
            if "Portable" in platform.name and device.type & cl.device_type.CPU:
                return cl.Context([device])
    raise RuntimeError("no PoCL")


class Job:
    """Kernels in order on buffers by tensor name.

    Memory outside the elements (borders, filled-up blocks) is zero before the first run, as the
    runtime promises; elements that a kernel writes are poisoned with NaN.
    """

    def __init__(
        self,
        kernels: Iterable[FastKernel],
        layouts: Mapping[str, Layout],
        scalars: Mapping[str, float] | None = None,
        dtype: str = "float32",
        whole: frozenset[str] = frozenset(),
        context: cl.Context | None = None,
    ) -> None:
        self.kernels, self.layouts, self.dtype, self.whole = tuple(kernels), layouts, dtype, whole
        self.context = context or cpu()
        self.queue = cl.CommandQueue(self.context)
        vectors = all(k.local == 1 for k in self.kernels)
        self.source = fast_program(self.kernels, vectors)
        self.program = cl.Program(self.context, self.source).build(list(fast_options(dtype)))
        sizes = {t: layouts[t].size for k in self.kernels for t, _ in k.tensors if t in layouts}
        sizes |= {t: n for k in self.kernels for t, n in k.scratch}
        self.buffers = {t: self._zeros(t, n) for t, n in sizes.items()}
        self.launches = []
        for k in self.kernels:
            kernel = cl.Kernel(self.program, k.name)
            values = [np.dtype(dtype).type((scalars or {})[n]) for n, _ in k.scalars]
            kernel.set_args(*[self.buffers[t] for t, _ in k.tensors], *values)
            self.launches.append((kernel, k.groups, k.local))
        for t in {t for k in self.kernels for t, written in k.tensors if written}:
            if t in layouts:
                bad = -99 if t in whole else np.nan
                self.put(t, np.full(layouts[t].shape, bad))

    def _type(self, tensor: str) -> str:
        return "int32" if tensor in self.whole else self.dtype

    def _zeros(self, tensor: str, n: int) -> cl.Buffer:
        host = np.zeros(n, self._type(tensor))
        flags = cl.mem_flags.READ_WRITE | cl.mem_flags.COPY_HOST_PTR
        return cl.Buffer(self.context, flags, hostbuf=host)

    def put(self, tensor: str, array: Array) -> None:
        """Copy an array in."""
        layout = self.layouts[tensor]
        host = np.zeros(layout.size, self._type(tensor))
        host[layout.indices()] = np.asarray(array).reshape(-1)
        cl.enqueue_copy(self.queue, self.buffers[tensor], host)

    def run(self) -> None:
        """Launch every kernel and wait."""
        for kernel, groups, local in self.launches:
            cl.enqueue_nd_range_kernel(self.queue, kernel, (groups * local,), (local,))
        self.queue.finish()

    def get(self, tensor: str) -> Array:
        """Copy an array out; AssertionError where a border is no longer zero."""
        layout = self.layouts[tensor]
        host = np.empty(layout.size, self._type(tensor))
        cl.enqueue_copy(self.queue, host, self.buffers[tensor])
        places = layout.indices()
        if layout.has_border:
            rest = host.copy()
            rest[places] = 0
            filled = any(n % layout.block(d) for d, n in enumerate(layout.shape))
            assert filled or not rest.any(), f"{tensor}: the border was written"
        return host[places].reshape(layout.shape)
