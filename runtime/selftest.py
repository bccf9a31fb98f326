"""Runs all kernels of one operator on given data, so that each result can be compared.

Every output is filled beforehand with what no kernel computes, so that an element that a kernel
leaves out shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from gradproof.runtime.autograd import PREFIX
from gradproof.runtime.binding import Binding, bind
from gradproof.runtime.device import Device, current_device
from gradproof.runtime.dispatch import Scalar, execute
from gradproof.runtime.manifest import KernelSpec, Operator, Variant
from gradproof.runtime.tensor import Tensor, tensor

Array = np.ndarray[Any, Any]

POISON = {"real": np.nan, "int": 2**31 - 1}


def run_kernels(
    operator: Operator,
    variant: Variant,
    operands: Mapping[str, Array],
    cotangents: Mapping[str, Array],
    sizes: Mapping[str, int],
    scalars: Mapping[str, Scalar] | None = None,
    *,
    dtype: str = "float32",
    device: Device | None = None,
) -> Iterator[tuple[KernelSpec, Array]]:
    """Every forward kernel in order, then every backward kernel, each with what it computed.

    operands: the variant's inputs. cotangents: one for each output, by output; none needed where
    nothing is differentiable. sizes: those that no shape determines. dtype: float32 or float64.
    Errors: ShapeError, DTypeError, DeviceError, BuildError as for any operator.

    >>> from gradproof.runtime.manifest import operators
    >>> relu, data = operators()["relu"], np.array([-1.0, 2.0])
    >>> for kernel, result in run_kernels(relu, relu.without(), {"Y": data}, {"z": data + 4}, {}):
    ...     print(kernel.name, result)
    relu_z [0. 2.]
    relu_grad_Y [0. 6.]
    """
    device = device or current_device()
    given = {
        n: tensor(a, "int32" if variant.tensors[n].dtype == "int" else dtype, device=device)
        for n, a in operands.items()
    }
    shapes = {n: t.shape for n, t in given.items()}
    binding = bind(operator, variant, shapes, sizes, f"selftest of {variant.name}")
    known = dict(given)
    yield from _each(binding, variant.forward, known, scalars or {}, dtype, device)
    known |= {PREFIX + n: tensor(a, dtype, device=device) for n, a in cotangents.items()}
    yield from _each(binding, variant.backward, known, scalars or {}, dtype, device)


def poisoned(shape: tuple[int, ...], kind: str, dtype: str, device: Device) -> Tensor:
    """A tensor full of NaN, or of the largest integer."""
    values = np.full(shape, POISON[kind], np.int32 if kind == "int" else dtype)
    return tensor(values, values.dtype, device=device)


def _each(
    binding: Binding,
    names: Iterable[str],
    known: dict[str, Tensor],
    scalars: Mapping[str, Scalar],
    dtype: str,
    device: Device,
) -> Iterator[tuple[KernelSpec, Array]]:
    for name in names:
        spec = binding.operator.kernels[name]
        kind = binding.variant.tensors[spec.target].dtype
        into = {spec.target: poisoned(binding.shape(spec.target), kind, dtype, device)}
        read = {n: known[n] for n in spec.reads}
        # A kernel without real operands takes the dtype of any of the operator's tensors.
        operands = read if any(t.dtype.kind == "f" for t in read.values()) else known
        known |= execute(binding, [spec], operands, scalars, into=into, label=name)
        yield spec, known[spec.target].numpy()
