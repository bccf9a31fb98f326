"""Arithmetic, element by element: of two tensors of equal shapes, or of a tensor and a number."""

from __future__ import annotations

from numbers import Real
from typing import TypeGuard

from gradproof.runtime.arguments import check_tensor, number
from gradproof.runtime.autograd import apply
from gradproof.runtime.errors import DTypeError, ShapeError
from gradproof.runtime.manifest import operators
from gradproof.runtime.tensor import Tensor


def add(input: Tensor, other: Tensor | float, *, label: str = "add") -> Tensor:
    """input + other, of equal shapes, or a number. As torch.add, without `alpha`.

    Errors: ShapeError where the shapes differ: nothing is broadcast; DTypeError for integer
    tensors, different dtypes and what is neither a tensor nor a number.

    >>> import gradproof as gp
    >>> (gp.tensor([1.0]) + gp.tensor([2.0])).numpy().tolist()
    [3.0]
    """
    if _is_number(other):
        return affine(input, shift=other, label=label)
    return _of_two("add", input, other, label)


def sub(input: Tensor, other: Tensor | float, *, label: str = "sub") -> Tensor:
    """input - other, of equal shapes, or a number. As torch.sub, without `alpha`.

    Errors: as `add`.

    >>> import gradproof as gp
    >>> (gp.tensor([1.0]) - 3).numpy().tolist()
    [-2.0]
    """
    if _is_number(other):
        return affine(input, shift=-float(other), label=label)
    return _of_two("sub", input, other, label)


def mul(input: Tensor, other: Tensor | float, *, label: str = "mul") -> Tensor:
    """input * other, element by element, of equal shapes, or a number. As torch.mul.

    Errors: as `add`.

    >>> import gradproof as gp
    >>> (gp.tensor([2.0, 3.0]) * gp.tensor([4.0, 5.0])).numpy().tolist()
    [8.0, 15.0]
    """
    if _is_number(other):
        return affine(input, other, label=label)
    return _of_two("mul", input, other, label)


def div(input: Tensor, other: Tensor | float, *, label: str = "div") -> Tensor:
    """input / other, of equal shapes, or a number. As torch.div, without `rounding_mode`.

    Division by 0 gives infinities and NaN. Errors: as `add`.

    >>> import gradproof as gp
    >>> (gp.tensor([3.0]) / 2).numpy().tolist(), (3 / gp.tensor([2.0])).numpy().tolist()
    ([1.5], [1.5])
    """
    if _is_number(other):
        return affine(input, divisor=other, label=label)
    return _of_two("div", input, other, label)


def neg(input: Tensor, *, label: str = "neg") -> Tensor:
    """-input, for any shape. As torch.neg. Errors: DTypeError for an integer tensor.

    >>> import gradproof as gp
    >>> (-gp.tensor([3.0])).numpy().tolist()
    [-3.0]
    """
    return affine(input, -1.0, label=label)


def affine(
    input: Tensor,
    factor: float = 1.0,
    shift: float = -0.0,  # adding -0.0 changes nothing, not even the sign of a zero
    divisor: float = 1.0,
    *,
    label: str = "affine",
) -> Tensor:
    """(factor * input + shift) / divisor, for any shape and three numbers.

    Errors: DTypeError for an integer tensor; ShapeError for NaN.

    >>> import gradproof as gp
    >>> affine(gp.tensor([3.0]), 2.0, 1.0).numpy().tolist()
    [7.0]
    """
    numbers = {"factor": factor, "shift": shift, "divisor": divisor}
    return _with_numbers("affine", input, numbers, label)


def reciprocal(input: Tensor, factor: float = 1.0, *, label: str = "reciprocal") -> Tensor:
    """factor / input, for any shape and a number.

    Errors: DTypeError for an integer tensor and where `factor` is no number; ShapeError for NaN.

    >>> import gradproof as gp
    >>> reciprocal(gp.tensor([4.0])).numpy().tolist()
    [0.25]
    """
    return _with_numbers("reciprocal", input, {"factor": factor}, label)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, Real) and not isinstance(value, bool)


def _with_numbers(operator: str, input: Tensor, numbers: dict[str, float], label: str) -> Tensor:
    check_tensor(input, "input", label)
    for value in numbers.values():
        if not _is_number(value):
            raise _no_operand(value, label)
    scalars = {n: number(value, "other", label) for n, value in numbers.items()}
    operands = {"Y": input.reshape(-1)}
    out = apply(operators()[operator], operands, {}, scalars, label=label)["z"]
    return out.reshape(input.shape)


def _of_two(operator: str, input: Tensor, other: object, label: str) -> Tensor:
    check_tensor(input, "input", label)
    if not isinstance(other, Tensor):
        raise _no_operand(other, label)
    if input.shape != other.shape:
        raise ShapeError(
            f"{label}: shapes {input.shape} and {other.shape} differ; nothing is broadcast"
        )
    operands = {"Y": input.reshape(-1), "R": other.reshape(-1)}
    return apply(operators()[operator], operands, label=label)["z"].reshape(input.shape)


def _no_operand(value: object, label: str) -> DTypeError:
    kind = type(value).__name__
    return DTypeError(f"{label}: other is {kind}, expected a Tensor (gp.tensor) or a number")
