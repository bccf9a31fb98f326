"""What an operator's targets will be, before anything runs: how they are stored, and how large."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from gradproof.runtime.anomaly import GRADIENT, shown
from gradproof.runtime.binding import Binding
from gradproof.runtime.manifest import KernelSpec

if TYPE_CHECKING:
    from gradproof.runtime.device import Device
    from gradproof.runtime.tensor import Tensor


def stored_kinds(
    binding: Binding, specs: tuple[KernelSpec, ...], dtype: str, known: Mapping[str, Tensor]
) -> tuple[str, ...]:
    """The dtypes of the targets. Beside float16 results are stored as the first operand is,
    gradients as what they are of, and whatever else, numbers and inner values, in float32."""
    variant, found = binding.variant, []
    first = next((n for n in variant.inputs if variant.tensors[n].dtype == "real"), "")
    for spec in specs:
        target = spec.target
        if variant.tensors[target].dtype == "int":
            found.append("int32")
        elif dtype != "float16":
            found.append(dtype)
        else:
            of = first if target in variant.outputs and binding.shape(target) else ""
            of = target.removeprefix(GRADIENT) if target.startswith(GRADIENT) else of
            found.append(str(known[of].dtype) if of in known else "float32")
    return tuple(found)


def stored_halves(tensors: Mapping[str, Tensor], kinds: Mapping[str, str]) -> frozenset[str]:
    """The tensors, by name, whose elements are stored in float16."""
    stored = {n: kind for n, kind in kinds.items() if n not in tensors}
    stored |= {n: str(t.dtype) for n, t in tensors.items()}
    return frozenset(n for n, kind in stored.items() if kind == "float16")


@lru_cache(maxsize=4096)
def too_large_target(
    binding: Binding, specs: tuple[KernelSpec, ...], kinds: tuple[str, ...], device: Device
) -> tuple[str, int] | None:
    """The first target, as its users call it, that exceeds an allocation, and its bytes: nothing
    is launched then. Operands are there already."""
    for spec, kind in zip(specs, kinds, strict=True):
        shape = binding.shape(spec.target)
        nbytes = math.prod(shape) * np.dtype(kind).itemsize
        if nbytes > device.info.max_alloc:
            return f"{shown(binding, spec.target)} of shape {shape}", nbytes
    return None
