"""What a tensor can be made of, and its methods beside the functions they stand for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradproof as gp
from gradproof.runtime import functional as F
from gradproof.runtime.errors import DTypeError, GradproofError, ShapeError
from gradproof.runtime.layout import row_major

RAGGED = [[1.0], [2.0, 3.0]]

WRONG: list[tuple[Callable[[], Any], type[GradproofError], str]] = [
    (lambda: gp.tensor(RAGGED), ShapeError, r"^tensor: .* inhomogeneous shape"),
    (lambda: gp.tensor([1j]), DTypeError, r"dtype complex128 to float32; expected one of \('floa"),
    (lambda: gp.tensor(["a"]), DTypeError, r"dtype <U1 to float32"),
    (lambda: gp.tensor([1.0], "uint8"), DTypeError, "dtype float64 to uint8"),
    (lambda: gp.tensor([1.5], "int32"), DTypeError, "float64 values would lose their fractions"),
    (lambda: gp.tensor([1], requires_grad=True), GradproofError, "integer tensor has no gradient"),
    (lambda: gp.tensor([1.0, 2.0]).item(), ShapeError, r"one element, not of shape \(2,\)"),
    (lambda: gp.tensor([1.0]).copy_(RAGGED), ShapeError, r"^copy_: .* inhomogeneous shape"),
    (lambda: gp.tensor([1.0]).copy_([1.0, 2.0]), ShapeError, r"source has shape \(2,\), expected"),
    (lambda: gp.tensor([1.0]).copy_([1]), DTypeError, "source has dtype int64, expected float32"),
]


@pytest.mark.parametrize(("make", "error", "words"), WRONG, ids=[w for _, _, w in WRONG])
def test_what_no_tensor_can_hold_is_one_error(
    make: Callable[[], Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        make()


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_a_tensor_may_be_empty(dtype: type) -> None:
    empty = gp.tensor(np.zeros((0, 3), dtype))
    empty.copy_(np.zeros((0, 3), dtype))
    assert empty.numpy().shape == (0, 3) and empty.numpy().dtype == dtype


def test_a_tensor_lies_row_by_row_until_a_plan_moves_it() -> None:
    assert gp.tensor([[1.0, 2.0]]).layout == row_major((1, 2))


METHODS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "relu": (lambda x: x.relu(), F.relu),
    "sigmoid": (lambda x: x.sigmoid(), F.sigmoid),
    "tanh": (lambda x: x.tanh(), F.tanh),
    "softmax": (lambda x: x.softmax(0), lambda x: F.softmax(x, 0)),
    "log_softmax": (lambda x: x.log_softmax(0), lambda x: F.log_softmax(x, 0)),
    "matmul": (lambda x: x.matmul(x), lambda x: F.matmul(x, x)),
    "bmm": (
        lambda x: x.reshape(1, 2, 2).bmm(x.reshape(1, 2, 2)),
        lambda x: F.bmm(x.reshape(1, 2, 2), x.reshape(1, 2, 2)),
    ),
}


@pytest.mark.parametrize("name", METHODS)
def test_a_method_is_the_function_of_its_name(name: str) -> None:
    method, function = METHODS[name]
    x = gp.tensor([[1.0, -2.0], [3.0, 0.5]])
    found = method(x).numpy()
    assert np.array_equal(found, function(x).numpy())
    assert not np.array_equal(found.reshape(-1), x.numpy().reshape(-1))
