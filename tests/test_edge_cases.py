"""Cases that once went wrong, or that a planted fault showed to be untested."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

import gradproof as gp
from gradproof.codegen.contraction import contraction
from gradproof.codegen.program import build_program
from gradproof.derive.bounds import Scope, nonneg
from gradproof.derive.expr import Quo, integer
from gradproof.derive.interpret import evaluate, gradients
from gradproof.derive.language import Definition, operator
from gradproof.derive.system import derive
from gradproof.runtime.autograd import apply
from gradproof.runtime.errors import DataError, GradproofError, ShapeError
from gradproof.runtime.manifest import parse_operator
from gradproof.runtime.schedule import schedule
from gradproof.runtime.tensor import Tensor, tensor

F = gp.functional


def run(
    d: Definition, arrays: dict[str, np.ndarray], sizes: dict[str, int], output: str, **scalars
) -> tuple[np.ndarray, dict[str, np.ndarray | None]]:
    """Value and gradients (of the sum of the output) by compiled kernels, tiled where possible."""
    program = build_program(d)
    op = parse_operator(program.name, program.entry, program.files)
    operands: dict[str, Tensor] = {n: tensor(a, requires_grad=True) for n, a in arrays.items()}
    with schedule("tiled"):
        z = apply(op, operands, sizes, scalars, label=d.name)[output]
        z.backward(tensor(np.ones(z.shape)))
    return z.numpy(), {
        n: t.grad.numpy() if t.grad is not None else None for n, t in operands.items()
    }


# -- simplification ------------------------------------------------------------------------------
def test_a_known_sum_over_fewer_rows_is_not_taken() -> None:
    """e has M rows and grad_B has M + K: e[i] would be read out of bounds."""
    d = operator(
        "fewer",
        """
        e[n] = sum[c](exp(A[n,c]))
        y[i] = sum[c](B[i] * exp(A[i,c]))
        z = sum[n](e[n] * e[n]) + sum[i](y[i])
        """,
        {"A": "M + K, C", "B": "M + K", "e": "M", "y": "M + K"},
    )
    arrays = {"A": np.zeros((5, 2)), "B": np.ones(5)}
    assert run(d, arrays, {"M": 2}, "z")[1]["B"].tolist() == [2.0] * 5


def test_a_known_sum_times_a_scalar_is_not_divided_by_it() -> None:
    d = operator(
        "scaled",
        "p = sum[n](A[n]) * lam\nz = p * p + sum[n](A[n] * B)",
        {"A": "N", "B": ""},
        scalars={"lam": "real"},
    )
    arrays = {"A": np.ones(3), "B": np.ones(())}
    assert run(d, arrays, {}, "z", lam=0.0)[1]["B"] == 3.0


def test_a_known_sum_may_be_all_that_reads_a_tensor() -> None:
    d = operator(
        "folded", "p = sum[n](A[n]) * 2\nq = sum[n](A[n] * B)\nz = p + q", {"A": "N", "B": ""}
    )
    assert run(d, {"A": np.ones(3), "B": np.ones(())}, {}, "z")[1]["B"] == 3.0


@pytest.mark.parametrize("guard", ["c <= n", "c >= 1"])
def test_a_guarded_sum_is_not_taken_for_the_whole(guard: str) -> None:
    d = operator(
        "guarded",
        f"s[n] = sum[c](A[n,c])\nz = sum[n](s[n]*s[n]) + sum[n,c](A[n,c]*B[n], {guard})",
        {"A": "N, C", "B": "N"},
    )
    arrays = {"A": np.arange(6.0).reshape(2, 3), "B": np.ones(2)}
    expected = gradients(d, {"N": 2, "C": 3}, arrays, {"z": np.ones(())})["B"]
    assert run(d, arrays, {}, "z")[1]["B"].tolist() == expected.tolist()


# -- elimination, bounds, schedules --------------------------------------------------------------
def test_bounds_of_a_quotient_are_sharp() -> None:
    """i // 2 <= 1 for i < 4, and not for i < 5."""
    i = integer("i")
    assert nonneg(1 - Quo(i, 2), Scope({i: sp.Integer(4)}, {}))
    assert not nonneg(1 - Quo(i, 2), Scope({i: sp.Integer(5)}, {}))
    assert not nonneg(3 - 2 * Quo(i, 2), Scope({i: sp.Integer(5)}, {}))


def test_quotients_round_down_below_zero() -> None:
    d = operator(
        "down",
        "z[i] = A[(i - 5)//3 + 2] * B[(i - 5) % 3]",
        {"A": "T + 2", "B": "T + 3", "z": "T"},
        outside={"A": "zero"},
    )
    arrays = {"A": np.arange(1.0, 10.0), "B": np.arange(1.0, 11.0)}
    value, grads = run(d, arrays, {"T": 7}, "z")
    sizes = {"T": 7}
    assert value.tolist() == evaluate(d, sizes, arrays)["z"].tolist()
    expected = gradients(d, sizes, arrays, {"z": np.ones(value.shape)})
    assert all(grads[n].tolist() == expected[n].tolist() for n in arrays)


def test_a_triangle_keeps_its_guard() -> None:
    """k <= i is no range of a read: the tiled form must not drop it."""
    d = operator("tri", "z[i,j] = sum[k](A[i,k] * B[k,j], k <= i)", {"A": "N, N", "B": "N, M"})
    system = derive(d)
    assert contraction(system.forward, system.forward.equation("z")) is None
    arrays = {"A": np.arange(9.0).reshape(3, 3), "B": np.arange(12.0).reshape(3, 4)}
    value, grads = run(d, arrays, {}, "z")
    assert value.tolist() == (np.tril(arrays["A"]) @ arrays["B"]).tolist()
    expected = gradients(d, {"N": 3, "M": 4}, arrays, {"z": np.ones((3, 4))})
    assert all(grads[n].tolist() == expected[n].tolist() for n in arrays)


def test_a_padded_read_beside_a_product_has_no_tiled_form() -> None:
    d = operator(
        "beside",
        "z[o,x] = sum[k](w[o,k] * Y[k]) + R[x - 1]",
        {"w": "O, K", "Y": "K", "R": "X", "z": "O, X"},
        outside={"R": "zero"},
    )
    assert contraction(derive(d).forward, derive(d).forward.equation("z")) is None
    arrays = {"w": np.ones((2, 3)), "Y": np.ones(3), "R": np.array([5.0, 7.0])}
    assert run(d, arrays, {}, "z")[0].tolist() == [[3.0, 8.0], [3.0, 8.0]]


def test_an_operand_that_only_decides_has_gradient_0() -> None:
    d = operator("decides", "z[i] = A[i] + where(B[i] < 0, 1, 2)", {"A": "N", "B": "N"})
    _, grads = run(d, {"A": np.ones(3), "B": np.ones(3)}, {}, "z")
    assert grads["A"].tolist() == [1.0] * 3 and grads["B"].tolist() == [0.0] * 3


def test_an_output_that_nothing_was_made_of_counts_as_zero() -> None:
    d = operator("two", "a[i] = Y[i]*Y[i]\nb[i] = 3*Y[i]", {"Y": "N"}, outputs=("a", "b"))
    assert run(d, {"Y": np.array([1.0, 2.0])}, {}, "a")[1]["Y"].tolist() == [2.0, 4.0]


def test_absolute_values_and_e() -> None:
    d = operator("absolute", "z[i] = sqrt(A[i]**2) * exp(1)", {"A": "N"})
    value, grads = run(d, {"A": np.array([-2.0, 3.0])}, {}, "z")
    assert np.abs(value - np.e * np.array([2.0, 3.0])).max() < 1e-14
    assert np.abs(grads["A"] - np.e * np.array([-1.0, 1.0])).max() < 1e-14


# -- autograd without PyTorch --------------------------------------------------------------------
def test_cotangents_add_where_a_tensor_is_used_twice() -> None:
    x = gp.tensor([3.0, -1.0], requires_grad=True)
    y = F.relu(x)
    (y + y + x).backward(gp.tensor([1.0, 10.0]))
    assert x.grad.numpy().tolist() == [3.0, 10.0]


def test_gradients_accumulate_over_backward_calls() -> None:
    x = gp.tensor([1.0], requires_grad=True)
    for _ in range(3):
        F.mse_loss(x, gp.tensor([0.0])).backward()
    assert x.grad.item() == 6.0


def test_writing_to_a_gradient_spoils_no_other_backward() -> None:
    p = gp.tensor([1.0], requires_grad=True)
    p.backward()
    p.grad.copy_(np.zeros(1, np.float32))
    q = gp.tensor([1.0], requires_grad=True)
    q.backward()
    assert q.grad.item() == 1.0


# -- numbers and arguments -----------------------------------------------------------------------
@pytest.mark.parametrize("shift", [0.0, 1e4, 1e6, 1e8])
def test_large_equal_logits_do_not_cancel(shift: float) -> None:
    logits = gp.tensor(np.full((2, 3), shift, np.float32))
    assert F.cross_entropy(logits, gp.tensor([0, 1])).item() == pytest.approx(np.log(3), rel=1e-6)


def test_labels_obey_the_strictest_use() -> None:
    labels = gp.tensor([0, 1, 2])
    F.cross_entropy(gp.tensor(np.zeros((3, 3))), labels)
    F.cross_entropy(gp.tensor(np.zeros((3, 10))), labels)
    with pytest.raises(DataError, match="label 9 is out of range"):
        labels.copy_(np.array([9, 9, 9], np.int32))


def test_numpy_integers_are_integers() -> None:
    x, w = gp.tensor(np.ones((1, 1, 5, 5))), gp.tensor(np.ones((1, 1, 3, 3)))
    assert F.conv2d(x, w, stride=np.int64(2), padding=np.int32(1)).shape == (1, 1, 3, 3)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x, w: F.conv2d(x, w, stride=True), "stride=True"),
        (lambda x, w: F.conv2d(x, w, stride=1.5), "stride=1.5"),
        (lambda x, w: F.conv2d(x, w, padding=None), "padding=None"),
        (lambda x, w: F.conv2d(x, w, padding=((1, 2), 3)), "two sides for each axis"),
        (lambda x, w: F.conv2d(x, w, groups="1"), "groups='1'"),
        (lambda x, w: F.max_pool2d(x, 2, stride=2**40), "32-bit"),
        (lambda x, w: F.dropout(x, "0.5"), "p='0.5'"),
        (lambda x, w: F.batch_norm(x, None, None, training=True, eps=-1.0), "eps=-1.0"),
        (lambda x, w: F.batch_norm(x, None, None, training=True, momentum=None), "momentum=None"),
    ],
)
def test_wrong_arguments_are_one_clear_error(call, words) -> None:
    x, w = gp.tensor(np.ones((1, 1, 5, 5))), gp.tensor(np.ones((1, 1, 3, 3)))
    with pytest.raises(ShapeError) as error:
        call(x, w)
    assert words in str(error.value)


@pytest.mark.parametrize("params", [3, [3], [gp.tensor([1.0])]])
def test_sgd_takes_tensors_that_require_gradients(params) -> None:
    with pytest.raises(GradproofError, match="SGD"):
        gp.optim.SGD(params, lr=0.1)


def test_a_huge_window_costs_no_memory() -> None:
    x = gp.tensor(np.arange(4.0).reshape(1, 1, 2, 2))
    assert F.max_pool2d(x, 46340, padding=23170).numpy().max() == 3.0
    with pytest.raises(ShapeError, match=r"KH\*KW - 1 is 999999999999; the kernels count up"):
        F.max_pool2d(x, 10**6, padding=5 * 10**5)  # its positions do not fit 32 bits
