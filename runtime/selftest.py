"""Runs all kernels of one operator on given data, so that each result can be compared.

Every output is filled beforehand with what no kernel computes, so that an element that a kernel
leaves out shows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradproof.runtime.autograd import PREFIX
from gradproof.runtime.binding import Binding, bind
from gradproof.runtime.device import Device, current_device
from gradproof.runtime.dispatch import Scalar, execute
from gradproof.runtime.manifest import Operator, Variant
from gradproof.runtime.schedule import choose_phases, plan_tiles, schedule
from gradproof.runtime.tensor import Tensor, tensor

Array = np.ndarray[Any, Any]

POISON = {"real": np.nan, "int": 2**31 - 1}


@dataclass(frozen=True)
class Result:
    """What a kernel computed: its name, the tensor it computes, and the values."""

    kernel: str
    target: str
    values: Array


@dataclass(frozen=True)
class _Setting:
    binding: Binding
    scalars: Mapping[str, Scalar]
    dtype: str
    device: Device
    form: str


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
    form: str = "reference",
) -> Iterator[Result]:
    """Every forward kernel in order, then every backward kernel.

    operands: the variant's inputs. cotangents: one for each output, by output; none needed where
    nothing is differentiable. sizes: those that no shape determines. dtype: float32 or float64.
    form: "reference"; "phases" or "tiled" for these kernels wherever there are any.
    Errors: ShapeError, DTypeError, DeviceError, BuildError as for any operator.

    >>> from gradproof.runtime.manifest import operators
    >>> relu, data = operators()["relu"], np.array([-1.0, 2.0])
    >>> for result in run_kernels(relu, relu.without(), {"Y": data}, {"z": data + 4}, {}):
    ...     print(result.kernel, result.values)
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
    setting = _Setting(binding, scalars or {}, dtype, device, form)
    known = dict(given)
    yield from _each(setting, variant.forward, known)
    known |= {PREFIX + n: tensor(a, dtype, device=device) for n, a in cotangents.items()}
    yield from _each(setting, variant.backward, known)


def poisoned(shape: tuple[int, ...], kind: str, dtype: str, device: Device) -> Tensor:
    """A tensor full of NaN, or of the largest integer."""
    values = np.full(shape, POISON[kind], np.int32 if kind == "int" else dtype)
    return tensor(values, values.dtype, device=device)


def _each(s: _Setting, names: Iterable[str], known: dict[str, Tensor]) -> Iterator[Result]:
    for name in names:
        spec = s.binding.operator.kernels[name]
        kind = s.binding.variant.tensors[spec.target].dtype
        target = poisoned(s.binding.shape(spec.target), kind, s.dtype, s.device)
        read = {n: known[n] for n in spec.reads}
        # A kernel without real operands takes the dtype of any of the operator's tensors.
        operands = read if any(t.dtype.kind == "f" for t in read.values()) else known
        with schedule(s.form):
            tiled = plan_tiles(s.binding, spec, s.dtype, s.device)
            into = {spec.target: target}
            known |= execute(s.binding, [spec], operands, s.scalars, into=into, label=name)
            ran = tiled.spec.kernel if tiled else choose_phases(s.binding, spec).name
        yield Result(ran, spec.target, target.numpy())
