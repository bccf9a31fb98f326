"""Functions and Tensor's operators: exact on integers, one clear error for what does not fit."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import pytest

import gradproof as gp
from gradproof.runtime import functional as F
from gradproof.runtime import nn
from gradproof.runtime.errors import (
    ArgumentError,
    DataError,
    DTypeError,
    GradproofError,
    ShapeError,
)
from gradproof.runtime.functional.rearrange import _blocks
from gradproof.runtime.step import TrainingStep


def whole(*shape: int, seed: int = 0) -> np.ndarray:
    """Small integers as float32, without 0: every result below is exact."""
    values = np.random.default_rng((seed, *shape)).integers(1, 9, shape)
    return values.astype(np.float32)


def gradient(call: Callable[[gp.Tensor], gp.Tensor], x: np.ndarray) -> np.ndarray:
    """Of the sum of what `call` computes, elements weighted by 1, 2, 3, ..."""
    t = gp.tensor(x, requires_grad=True)
    out = call(t)
    out.backward(gp.tensor(np.arange(1.0, out.size + 1).reshape(out.shape), out.dtype))
    assert t.grad is not None
    return t.grad.numpy()


# -- arithmetic ----------------------------------------------------------------------------------
def test_operators_are_those_of_numpy() -> None:
    a, b = whole(3, 4), whole(3, 4, seed=1)
    x, y = gp.tensor(a), gp.tensor(b)
    pairs: list[tuple[gp.Tensor, Any]] = [
        (x + y, a + b),
        (x - y, a - b),
        (x * y, a * b),
        (x / (y * 0 + 4), a / 4),
        (-x, -a),
        (x + 2, a + 2),
        (2 + x, a + 2),
        (x - 2, a - 2),
        (2 - x, 2 - a),
        (x * 3, a * 3),
        (np.float64(3) * x, a * 3),
        (np.float32(3) * x, a * 3),
        (np.int64(3) * x, a * 3),
        (x - np.uint8(3), a - 3),
        (x / 4, a / 4),
        (16 / (x * 0 + 4), a * 0 + 4),
        (x @ y.transpose(0, 1), a @ b.T),
    ]
    for found, expected in pairs:
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found.numpy(), expected)


def test_gradients_of_arithmetic() -> None:
    x = whole(2, 3)
    g = np.arange(1.0, 7.0).reshape(2, 3)
    np.testing.assert_array_equal(gradient(lambda t: t + t, x), 2 * g)
    np.testing.assert_array_equal(gradient(lambda t: t - t * 3, x), -2 * g)
    np.testing.assert_array_equal(gradient(lambda t: t * t, x), 2 * g * x)
    np.testing.assert_array_equal(gradient(lambda t: (1 - t) / 4, x), -g / 4)
    np.testing.assert_array_equal(gradient(lambda t: 4 / t, np.full_like(x, 2)), -g)


def test_in_place_operators_make_new_tensors() -> None:
    t = before = gp.tensor([1.0, 2.0])
    t += 1
    t *= t
    assert before.numpy().tolist() == [1.0, 2.0] and t.numpy().tolist() == [4.0, 9.0]


def test_zeros_keep_their_sign() -> None:
    zero = gp.tensor([0.0])
    assert math.copysign(1, (-zero).item()) == -1 == math.copysign(1, (-zero * 2 / 3).item())


def test_arrays_stay_out_of_tensor_arithmetic() -> None:
    """NumPy would else compute outside of the graph, without a word."""
    t, a = gp.tensor([1.0, 2.0]), np.ones(2)
    for call in (lambda: a + t, lambda: t * a, lambda: a @ t, lambda: a / t):
        with pytest.raises(TypeError):
            call()
    np.testing.assert_array_equal(np.asarray(t), [1.0, 2.0])
    assert np.asarray(t).dtype == np.float32 and np.asarray(t, np.float64).dtype == np.float64
    with pytest.raises(ValueError, match="copied"):
        t.__array__(copy=False)


class Samples:
    """Tensors for the tests below, made when a test asks for them."""

    @cached_property
    def x(self) -> gp.Tensor:
        return gp.tensor(whole(2, 3))

    @cached_property
    def y(self) -> gp.Tensor:
        return gp.tensor(whole(3, 2))

    @cached_property
    def cube(self) -> gp.Tensor:
        return gp.tensor(whole(2, 3, 4))

    @cached_property
    def ints(self) -> gp.Tensor:
        return gp.tensor([[1, 2], [3, 4]])

    @cached_property
    def double(self) -> gp.Tensor:
        return gp.tensor(np.ones((2, 3)))

    @cached_property
    def logits(self) -> gp.Tensor:
        return gp.tensor(np.zeros((3, 4), np.float32))


S = Samples()
ERRORS: list[tuple[Callable[[], Any], type[GradproofError], str]] = [
    (
        lambda: S.x + S.y,
        ShapeError,
        r"add: shapes \(2, 3\) and \(3, 2\) differ; nothing is broadcast",
    ),
    (lambda: S.x * gp.tensor([1.0, 1.0, 1.0]), ShapeError, "mul: .* nothing is broadcast"),
    (lambda: S.x - gp.tensor(1.0), ShapeError, r"sub: shapes \(2, 3\) and \(\) differ"),
    (lambda: S.x + S.double, DTypeError, "add: input has dtype float32, but other has float64"),
    (lambda: S.x / gp.tensor([[1, 1, 1]] * 2), DTypeError, "div: other has dtype int32"),
    (
        lambda: S.ints + S.ints,
        DTypeError,
        "add: input has dtype int32, expected float32, float64 or float16",
    ),
    (lambda: S.ints * 2, DTypeError, "mul: input has dtype int32"),
    (lambda: S.x + "a", DTypeError, "add: other is str, expected a Tensor .* or a number"),
    (lambda: "a" + S.x, DTypeError, "add: other is str"),
    (lambda: S.x * True, DTypeError, "mul: other is bool"),
    (lambda: None / S.x, DTypeError, "div: other is NoneType"),
    (lambda: S.x * math.nan, ShapeError, "mul: other=nan, expected a number"),
    (lambda: S.x @ S.x, ShapeError, r"do not multiply, expected \(3, 3\) for the second"),
    (lambda: S.x @ S.cube, ShapeError, "expected the same number of dimensions"),
    (lambda: S.x @ 2, DTypeError, "matmul: other is int"),
    (lambda: F.bmm(S.x, S.y), ShapeError, r"bmm: input has shape \(2, 3\), expected 3 dimensions"),
    (lambda: F.bmm(S.cube, gp.tensor(whole(1, 4, 2))), ShapeError, r"expected \(2, 4, 2\)"),
    (lambda: F.linear(S.cube, S.x), ShapeError, r"input of shape \(2, 3, 4\) has 4 features"),
    (lambda: F.linear(gp.tensor(1.0), S.x), ShapeError, "linear: input has no dimensions"),
    (lambda: F.linear(S.x, S.x, S.y), ShapeError, r"bias has shape \(3, 2\), expected 1 dim"),
    (lambda: S.x.sum(2), ShapeError, r"sum: dim=2, expected an integer from -2 to 1"),
    (lambda: S.x.mean((0, 0)), ShapeError, "mean: .* expected different dimensions"),
    (lambda: S.x.amax(()), ShapeError, r"amax: dim=\(\)"),
    (lambda: S.x.max(True), ShapeError, "max: dim=True"),
    (lambda: gp.tensor(1.0).sum(0), ShapeError, "the tensor has no dimensions"),
    (lambda: S.ints.sum(), DTypeError, "sum: input has dtype int32"),
    (lambda: S.ints.reshape(1, 4).max(0), DTypeError, "max: input has dtype int32"),
    (lambda: F.softmax(S.x, 5), ShapeError, "softmax: dim=5"),
    (lambda: F.log_softmax(S.ints, 1), DTypeError, "log_softmax: input has dtype int32"),
    (lambda: F.gelu(S.x, "erf"), ShapeError, "gelu: approximate='erf'"),
    (lambda: nn.GELU("erf"), ShapeError, "GELU: approximate='erf'"),
    (lambda: F.softplus(S.x, 0), ShapeError, "softplus: beta=0"),
    (lambda: nn.Softplus(threshold="1"), ShapeError, "Softplus: threshold='1'"),  # type: ignore[arg-type]
    (lambda: nn.LeakyReLU(math.nan), ShapeError, "LeakyReLU: negative_slope=nan"),
    (lambda: F.relu(S.ints), DTypeError, "relu: input has dtype int32"),
    (lambda: F.tanh([1.0]), DTypeError, "tanh: input is list, expected a Tensor"),  # type: ignore[arg-type]
    (lambda: S.x.transpose(0, 2), ShapeError, "transpose: dim1=2"),
    (lambda: S.x.permute(0), ShapeError, r"permute: dims=\(0,\), expected each dimension"),
    (lambda: S.x.permute(0, 0), ShapeError, r"permute: dims=\(0, 0\)"),
    (lambda: S.ints.transpose(0, 1), DTypeError, "transpose: input has dtype int32"),
    (lambda: F.cat([]), ShapeError, "cat: tensors is empty"),
    (lambda: F.cat(S.x), DTypeError, "cat: tensors is Tensor, expected a list"),  # type: ignore[arg-type]
    (lambda: F.cat([S.x, S.y]), ShapeError, r"cat: tensor 1 has shape \(3, 2\), which does not go"),
    (lambda: F.cat([S.x, S.cube]), ShapeError, "cat: tensor 1 has shape"),
    (
        lambda: F.cat([S.x, S.double]),
        DTypeError,
        "cat: input has dtype float32, but other has float64",
    ),
    (lambda: F.cat([S.x, 1.0]), DTypeError, "cat: tensor 1 is float"),  # type: ignore[list-item]
    (
        lambda: F.stack([S.x, S.y]),
        ShapeError,
        r"stack: tensor 1 has shape \(3, 2\), expected \(2, 3\)",
    ),
    (lambda: F.stack([S.x], 3), ShapeError, "stack: dim=3"),
    (lambda: S.x[2], ShapeError, r"index 2 is out of range for dimension 0 of shape \(2, 3\)"),
    (lambda: S.x[0, -4], ShapeError, "index -4 is out of range for dimension 1"),
    (lambda: S.x[0, 0, 0], ShapeError, "3 indices and 0 '...'"),
    (lambda: S.x[..., ...], ShapeError, "2 '...'"),  # type: ignore[index]
    (lambda: S.x[2:], ShapeError, r"slice\(2, None, None\) of dimension 0 .* is empty"),
    (lambda: S.x[:, ::-1], ShapeError, "has a step below 1"),
    (lambda: S.x[::0], ArgumentError, "slice step cannot be zero"),
    (lambda: S.x["a":], ArgumentError, "slice"),  # type: ignore[misc]
    (lambda: S.x[True], ArgumentError, "bool as an index"),
    (lambda: S.x[[0, 1]], ArgumentError, "list as an index"),  # type: ignore[index]
    (lambda: S.x[S.ints], ArgumentError, "Tensor as an index"),  # type: ignore[index]
    (lambda: S.x[0.5], ArgumentError, "float as an index"),  # type: ignore[index]
    (lambda: S.ints[0], DTypeError, "index: input has dtype int32"),
    (lambda: F.reshape(S.x, (4,)), ShapeError, "reshape: .* does not fit"),
    (lambda: S.x.unsqueeze(3), ShapeError, "unsqueeze: dim=3"),
    (lambda: S.x.squeeze(2), ShapeError, "squeeze: dim=2"),
    (lambda: F.embedding(S.ints, S.cube), ShapeError, "weight has shape .* expected 2 dimensions"),
    (
        lambda: F.embedding(S.x, S.y),
        DTypeError,
        "embedding: input has dtype float32, expected int32",
    ),
    (
        lambda: F.embedding(S.ints, S.y),
        DataError,
        "embedding: label 4 is out of range, expected 0 to 2",
    ),
    (
        lambda: F.embedding(S.ints, S.y, 3),
        ShapeError,
        "padding_idx=3, expected an integer from -3 to 2",
    ),
    (lambda: nn.Embedding(3, 2, -4), ShapeError, "Embedding: padding_idx=-4"),
    (lambda: nn.Embedding(3, 2)(gp.tensor([3])), DataError, "Embedding: label 3 is out of range"),
    (lambda: F.l1_loss(S.x, S.y), ShapeError, "l1_loss: .* differ; nothing is broadcast"),
    (lambda: F.l1_loss(S.x, S.x, reduction="none"), ShapeError, "l1_loss: reduction='none'"),
    (lambda: F.mse_loss(S.x, S.double), DTypeError, "mse_loss: input has dtype float32"),
    (lambda: F.dropout(S.x, 1.0), ShapeError, "dropout: p=1.0, expected 0 <= p < 1"),
    (lambda: nn.Softplus(0.0), ShapeError, "Softplus: beta=0.0, expected another number than 0"),
]


@pytest.mark.parametrize(("call", "error", "words"), ERRORS, ids=[w for _, _, w in ERRORS])
def test_what_does_not_fit_is_one_clear_error(
    call: Callable[[], Any], error: type[GradproofError], words: str
) -> None:
    with pytest.raises(error, match=words):
        call()


# -- parts, order, reductions --------------------------------------------------------------------
def test_iteration_is_along_the_first_dimension() -> None:
    assert [t.numpy().tolist() for t in gp.tensor([[1.0], [2.0]])] == [[1.0], [2.0]]
    with pytest.raises(ShapeError):
        iter(gp.tensor(1.0))


def test_a_part_is_a_copy_and_the_whole_a_view() -> None:
    t = gp.tensor([1.0, 2.0])
    part, whole, alone = t[:1], t[:], F.cat([t])
    t.copy_(np.array([3.0, 4.0], np.float32))
    assert (part.item(), whole.numpy().tolist()) == (1.0, [3.0, 4.0])
    assert alone.numpy().tolist() == [1.0, 2.0]


def test_gradients_of_parts_go_where_they_came_from() -> None:
    found = gradient(lambda t: t[1:, ::2], whole(3, 4))
    assert found.tolist() == [[0, 0, 0, 0], [1, 0, 2, 0], [3, 0, 4, 0]]
    found = gradient(lambda t: F.cat([t[1], t[0]]), whole(2, 2))
    assert found.tolist() == [[3, 4], [1, 2]]


@pytest.mark.parametrize(
    ("order", "blocks"),
    [
        ((0, 1, 2, 3), [[0, 1, 2, 3]]),
        ((0, 2, 3, 1), [[0], [2, 3], [1]]),
        ((3, 1, 2, 0), [[3], [1, 2], [0]]),
        ((), []),
    ],
)
def test_dimensions_that_stay_together_move_as_one(
    order: tuple[int, ...], blocks: list[list[int]]
) -> None:
    assert _blocks(order) == blocks


def test_a_permutation_takes_as_few_kernels_as_exchanges() -> None:
    x = gp.tensor(whole(2, 3, 4, 5))
    for dims, kernels in (
        ((0, 2, 3, 1), 1),
        ((3, 1, 2, 0), 1),
        ((0, 1, 2, 3), 0),
        ((2, 0, 1, 3), 1),
    ):
        with gp.record() as tape:
            found = x.permute(dims)
        assert len(tape) == kernels
        np.testing.assert_array_equal(found.numpy(), x.numpy().transpose(dims))


def test_reductions_of_integers_are_exact() -> None:
    a = whole(2, 4, 8)
    x = gp.tensor(a)
    for dim in (None, 0, 1, 2, (0, 2), (1, 2)):
        np.testing.assert_array_equal(x.sum(dim).numpy(), a.sum(dim))
        np.testing.assert_array_equal(x.mean(dim).numpy(), a.mean(dim))  # of 2, 4 and 8
        np.testing.assert_array_equal(x.amax(dim, True).numpy(), a.max(dim, keepdims=True))


def test_the_first_of_equal_maxima_gets_the_gradient() -> None:
    x = np.array([[1, 3, 3], [3, 3, 0]], np.float32)
    assert gradient(lambda t: t.amax(), x).tolist() == [[0, 1, 0], [0, 0, 0]]
    assert gradient(lambda t: t.amax(1), x).tolist() == [[0, 1, 0], [2, 0, 0]]
    assert gradient(lambda t: t.amax(0), x).tolist() == [[0, 2, 3], [1, 0, 0]]
    values, indices = gp.tensor(x).max(1)  # type: ignore[misc]
    assert (values.numpy().tolist(), indices.numpy().tolist()) == ([3, 3], [1, 0])
    assert gp.tensor(x).argmax().item() == 1


def test_nan_is_the_largest() -> None:
    x = gp.tensor([1.0, math.nan, 2.0])
    assert math.isnan(x.amax().item()) and x.argmax().item() == 1


def test_indices_are_labels_within_their_range() -> None:
    found = gp.tensor(whole(4, 3)).argmax(1)
    F.embedding(found, gp.tensor(whole(3, 2)))
    with pytest.raises(DataError, match="label 2 is out of range, expected 0 to 1"):
        F.embedding(found, gp.tensor(whole(2, 2)))


# -- losses and labels ---------------------------------------------------------------------------
def test_only_other_options_take_the_general_operator() -> None:
    def launches(t: gp.Tensor, **options: Any) -> int:
        with gp.record() as tape:
            F.cross_entropy(S.logits, t, **options)
        return len(tape)

    plain = launches(gp.tensor([0, 1, 3]))
    for options in ({"ignore_index": 7}, {"label_smoothing": 0.1}, {"weight": S.logits[0]}):
        assert launches(gp.tensor([0, 1, 3]), **options) > plain
    assert launches(gp.tensor([0, -100, 3])) > plain


def test_the_mean_of_no_labels_is_nan_and_their_sum_0() -> None:
    t = gp.tensor([-100, -100, -100])
    assert math.isnan(F.cross_entropy(S.logits, t).item())
    assert F.cross_entropy(S.logits, t, reduction="sum").item() == 0.0
    assert math.isnan(F.nll_loss(S.logits, t).item())


@pytest.mark.parametrize("loss", [F.cross_entropy, F.nll_loss])
@pytest.mark.parametrize(
    ("values", "options", "words"),
    [
        ([0, 4, 1], {}, "label 4 is out of range, expected 0 to 3"),
        ([0, -1, 1], {}, "label -1 is out of range"),
        ([-200, -100, 1], {}, "label -200 is out of range"),
        ([-100, 4, -100], {}, "label 4 is out of range, expected 0 to 3, or -100"),
        ([-100, -99, 1], {}, "label -99 is out of range"),
        ([-100, 1, 1], {"ignore_index": 9}, "label -100 .* expected 0 to 3, or 9 .ignore_index."),
        ([9, 8, 1], {"ignore_index": 9}, "label 8 is out of range"),
    ],
)
def test_other_labels_than_the_ignored_are_refused(
    loss: Callable[..., Any], values: list[int], options: dict[str, int], words: str
) -> None:
    with pytest.raises(DataError, match=words):
        loss(S.logits, gp.tensor(values), **options)


def test_a_refused_use_leaves_no_limit() -> None:
    t = gp.tensor([9, 0, 0])
    with pytest.raises(DataError):
        F.cross_entropy(S.logits, t)
    t.copy_(np.array([8, 8, 8]))


def test_labels_that_are_copied_to_obey_every_use() -> None:
    t = gp.tensor([0, 9, 2])
    F.cross_entropy(S.logits, t, ignore_index=9)
    t.copy_(np.array([9, 9, 3]))
    with pytest.raises(DataError, match="label 8 is out of range, expected 0 to 3, or 9"):
        t.copy_(np.array([0, 9, 8]))
    assert t.numpy().tolist() == [9, 9, 3]
    t.copy_(np.array([0, 1, 2]))
    F.cross_entropy(S.logits, t)  # from here on none is ignored
    with pytest.raises(DataError, match=r"label 9 is out of range, expected 0 to 3$"):
        t.copy_(np.array([0, 9, 2]))


def test_a_replay_ignores_other_labels_than_the_recording() -> None:
    """The mean's divisor is computed on the device, so it follows the labels."""
    x = gp.tensor(whole(3, 4), requires_grad=True)
    t = gp.tensor([0, -100, 2])
    with gp.record() as tape:
        x.grad = None
        loss = F.cross_entropy(x, t)
        loss.backward()
        assert x.grad is not None
        found = x.grad
    t.copy_(np.array([-100, -100, 1]))
    tape.replay()
    fresh = gp.tensor(x.numpy(), requires_grad=True)
    expected = F.cross_entropy(fresh, gp.tensor([-100, -100, 1]))
    expected.backward()
    assert fresh.grad is not None and loss.item() == expected.item()
    np.testing.assert_array_equal(found.numpy(), fresh.grad.numpy())


def test_a_training_step_takes_batches_with_and_without_ignored_labels() -> None:
    def train(recorded: bool) -> np.ndarray:
        gp.manual_seed(0)
        model = nn.Linear(3, 4)
        step = TrainingStep(model, gp.optim.SGD(model.parameters(), lr=0.5), nn.CrossEntropyLoss())
        for labels in ([0, 1], [-100, 2], [3, 1], [1, -100]):
            if not recorded:
                step._whole._known.clear()
            step(whole(2, 3), np.array(labels))
        assert len(step._whole._known) == 1 + recorded
        return model.weight.numpy()

    np.testing.assert_array_equal(train(True), train(False))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda t: F.cross_entropy(S.logits, t, "sum"), DTypeError, "weight is str"),
        (
            lambda t: F.cross_entropy(S.logits, t, label_smoothing=1.5),
            ShapeError,
            "expected 0 to 1",
        ),
        (lambda t: F.cross_entropy(S.logits, t, ignore_index=1.0), ShapeError, "ignore_index=1.0"),
        (lambda t: F.cross_entropy(S.logits, t, reduction="none"), ShapeError, "reduction='none'"),
        (lambda t: F.nll_loss(S.logits, t, reduction="none"), ShapeError, "reduction='none'"),
        (lambda t: F.cross_entropy(S.logits, t, S.logits), ShapeError, "weight has shape"),
        (lambda t: F.cross_entropy(S.logits, t, S.x[0]), ShapeError, r"weight has shape \(3,\)"),
        (lambda t: F.cross_entropy(S.logits, S.logits), DTypeError, "target has dtype float32"),
        (lambda t: F.cross_entropy(S.cube, t), ShapeError, r"expected \(2, 4\) labels"),
        (lambda t: F.cross_entropy(gp.tensor(1.0), t), ShapeError, "input has no dimensions"),
        (lambda t: nn.CrossEntropyLoss([1.0]), DTypeError, "CrossEntropyLoss: weight is list"),
        (lambda t: nn.CrossEntropyLoss(label_smoothing=-1), ShapeError, "label_smoothing=-1"),
    ],
)
def test_wrong_arguments_of_losses(
    call: Callable[[gp.Tensor], Any], error: type[GradproofError], words: str
) -> None:
    with pytest.raises(error, match=words):
        call(gp.tensor([0, 1, 2]))


def test_binary_cross_entropy_is_exact_where_it_can_be() -> None:
    """At 0 the loss is log 2, times the weights; far away it is |x|."""
    zero, big = gp.tensor([[0.0, 0.0]]), gp.tensor([[1e4, -1e4]])
    t = gp.tensor([[1.0, 0.0]])
    loss = F.binary_cross_entropy_with_logits
    assert loss(big, t, reduction="sum").item() == 0.0
    assert loss(-big, t, reduction="sum").item() == 2e4
    v = gp.tensor([3.0, 100.0])  # only positive targets count it
    assert loss(-big, t, reduction="sum", pos_weight=v).item() == 4e4
    assert loss(-big, t, t, reduction="sum").item() == 1e4
    assert loss(zero, t).item() == pytest.approx(math.log(2), rel=1e-6)
    with pytest.raises(ShapeError, match=r"pos_weight has shape \(3,\), expected \(2,\)"):
        loss(zero, t, pos_weight=gp.tensor([1.0, 1.0, 1.0]))
    with pytest.raises(ShapeError, match=r"\(2,\) \(weight\) differ"):
        loss(zero, t, v)


# -- layers --------------------------------------------------------------------------------------
def test_layers_pass_their_options_on() -> None:
    x = gp.tensor(whole(2, 3) - 4)
    layers: list[tuple[nn.Module, gp.Tensor]] = [
        (nn.LeakyReLU(0.5), F.leaky_relu(x, 0.5)),
        (nn.GELU(), F.gelu(x)),
        (nn.GELU("tanh"), F.gelu(x, "tanh")),
        (nn.SiLU(), F.silu(x)),
        (nn.Sigmoid(), F.sigmoid(x)),
        (nn.Tanh(), F.tanh(x)),
        (nn.Softplus(2.0, 1.0), F.softplus(x, 2.0, 1.0)),
        (nn.Softmax(0), F.softmax(x, 0)),
        (nn.LogSoftmax(-1), F.log_softmax(x, 1)),
        (nn.Identity(3), x),
    ]
    for layer, expected in layers:
        np.testing.assert_array_equal(layer(x).numpy(), expected.numpy())


def test_weights_of_losses_are_buffers() -> None:
    w = gp.tensor(whole(4))
    loss = nn.CrossEntropyLoss(w, ignore_index=1, reduction="sum", label_smoothing=0.5)
    t = gp.tensor([0, 1, 2])
    expected = F.cross_entropy(S.logits, t, w, ignore_index=1, reduction="sum", label_smoothing=0.5)
    assert loss(S.logits, t).item() == expected.item()
    assert list(loss.state_dict()) == ["weight"] and not list(nn.MSELoss().state_dict())
    nll = nn.NLLLoss(w, ignore_index=1, reduction="sum")
    assert nll(-S.logits + 1, t).item() == -float(w.numpy()[[0, 2]].sum())
    binary = nn.BCEWithLogitsLoss(S.logits, pos_weight=w, reduction="sum")
    assert list(binary.state_dict()) == ["weight", "pos_weight"]
    assert binary(S.logits, S.logits).item() == 0.0
    assert nn.L1Loss(reduction="sum")(S.x, S.x * 2).item() == S.x.numpy().sum()
    with pytest.raises(DTypeError, match="CrossEntropyLoss: input has dtype float32"):
        nn.CrossEntropyLoss(gp.tensor(np.ones(4)))(S.logits, t)


def test_the_row_of_padding_starts_at_0_and_stays() -> None:
    gp.manual_seed(0)
    layer = nn.Embedding(5, 3, padding_idx=-2)
    assert layer.padding_idx == 3
    assert layer.weight.numpy()[3].tolist() == [0, 0, 0] and layer.weight.numpy()[2].all()
    layer(gp.tensor([[3, 1], [1, 0]])).sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.numpy()[:, 0].tolist() == [1, 2, 0, 0, 0]


def test_embeddings_are_drawn_from_the_normal_distribution() -> None:
    gp.manual_seed(1)
    values = nn.Embedding(200, 100, dtype="float64").weight.numpy()
    n = values.size  # four standard errors of the mean and of the variance
    assert abs(values.mean()) < 4 / math.sqrt(n) and abs(values.var() - 1) < 4 * math.sqrt(2 / n)
    assert values.dtype == np.float64
