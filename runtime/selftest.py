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
from gradproof.runtime.dispatch import execute, whole_programs
from gradproof.runtime.manifest import Operator, Variant
from gradproof.runtime.schedule import choose_phases, plan_tiles, schedule
from gradproof.runtime.tensor import Tensor, tensor
from gradproof.runtime.trace import Scalar

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

    operands: the variant's inputs. cotangents: one for each output, by output; none needed, and
    none used, where no gradient depends on it. sizes: those that no shape determines. dtype:
    float32 or float64. form: "reference"; "phases" or "tiled" for these kernels wherever there are
    any. Errors: ShapeError, DTypeError, DeviceError, BuildError as for any operator.

    >>> from gradproof.runtime.manifest import operators
    >>> relu, data = operators()["relu"], np.array([-1.0, 2.0])
    >>> for result in run_kernels(relu, relu.without(), {"Y": data}, {"z": data + 4}, {}):
    ...     print(result.kernel, result.values)
    relu_z [0. 2.]
    relu_grad_Y [0. 6.]
    """
    known, setting = _set_up(operator, variant, operands, sizes, scalars, dtype, device, form)
    yield from _each(setting, variant.forward, known)
    device = setting.device
    used = {n: a for n, a in cotangents.items() if PREFIX + n in variant.tensors}
    known |= {PREFIX + n: tensor(a, dtype, device=device) for n, a in used.items()}
    yield from _each(setting, variant.backward, known)


def run_forward(
    operator: Operator,
    variant: Variant,
    operands: Mapping[str, Array],
    sizes: Mapping[str, int],
    scalars: Mapping[str, Scalar] | None = None,
    *,
    dtype: str = "float32",
    device: Device | None = None,
    form: str = "reference",
) -> dict[str, Array]:
    """What the forward kernels compute, by tensor. Arguments and errors: as `run_kernels`.

    >>> from gradproof.runtime.manifest import operators
    >>> relu = operators()["relu"]
    >>> run_forward(relu, relu.without(), {"Y": np.array([-1.0, 2.0])}, {})["z"].tolist()
    [0.0, 2.0]
    """
    known, setting = _set_up(operator, variant, operands, sizes, scalars, dtype, device, form)
    return {r.target: r.values for r in _each(setting, variant.forward, known)}


def _set_up(
    operator: Operator,
    variant: Variant,
    operands: Mapping[str, Array],
    sizes: Mapping[str, int],
    scalars: Mapping[str, Scalar] | None,
    dtype: str,
    device: Device | None,
    form: str,
) -> tuple[dict[str, Tensor], _Setting]:
    """The operands on the device, and all sizes."""
    device = device or current_device()
    given = {
        n: tensor(a, "int32" if variant.tensors[n].dtype == "int" else dtype, device=device)
        for n, a in operands.items()
    }
    shapes = {n: t.shape for n, t in given.items()}
    binding = bind(operator, variant, shapes, sizes, f"selftest of {variant.name}")
    return given, _Setting(binding, scalars or {}, dtype, device, form)


def poisoned(shape: tuple[int, ...], kind: str, dtype: str, device: Device) -> Tensor:
    """A tensor full of NaN, or of the largest integer."""
    values = np.full(shape, POISON[kind], np.int32 if kind == "int" else dtype)
    return tensor(values, values.dtype, device=device)


def _each(s: _Setting, names: Iterable[str], known: dict[str, Tensor]) -> Iterator[Result]:
    """Run some kernels, built as one program, and give what each computed; `known` grows."""
    binding = s.binding
    specs = [binding.operator.kernels[name] for name in names]
    into = {
        t: poisoned(binding.shape(t), binding.variant.tensors[t].dtype, s.dtype, s.device)
        for t in (spec.target for spec in specs)
    }
    with schedule(s.form), whole_programs():
        plans = [plan_tiles(binding, spec, s.dtype, s.device) for spec in specs]
        forms = [choose_phases(binding, spec) for spec in specs]
        label = binding.variant.name
        known |= execute(binding, specs, known, s.scalars, into=into, label=label) if specs else {}
    for spec, plan, form in zip(specs, plans, forms, strict=True):
        yield Result(
            plan.spec.kernel if plan else form.name, spec.target, into[spec.target].numpy()
        )
