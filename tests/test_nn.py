"""Modules: registration, names, modes, state, error labels; values and text against PyTorch."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from gradproof.runtime import functional as F
from gradproof.runtime import nn
from gradproof.runtime.dispatch import record
from gradproof.runtime.errors import DataError, DTypeError, GradproofError, ShapeError
from gradproof.runtime.nn.state import as_array
from gradproof.runtime.optim import SGD
from gradproof.runtime.random import manual_seed
from gradproof.runtime.tensor import Parameter, Tensor, tensor


def lenet() -> nn.Sequential:
    return nn.Sequential(
        OrderedDict(
            features=nn.Sequential(
                nn.Conv2d(1, 6, 5, padding=2), nn.BatchNorm2d(6), nn.ReLU(), nn.AvgPool2d(2)
            ),
            flatten=nn.Flatten(),
            fc=nn.Linear(6 * 4 * 4, 10),
        )
    )


def image(*shape: int) -> Tensor:
    return tensor(np.random.default_rng(0).normal(size=shape).astype(np.float32))


class Residual(nn.Module):
    """A user's module: the child is called directly, and one layer twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.relu = nn.ReLU()
        self.scale = 2.0

    def forward(self, input: Tensor) -> Tensor:
        first: Tensor = self.relu(self.conv(input))
        output: Tensor = self.relu(self.conv(first) + input)
        return output


# -- registration and traversal ---------------------------------------------------------------


def test_state_dict_names_and_types_are_those_of_pytorch() -> None:
    state = lenet().state_dict()
    assert list(state) == [
        "features.0.weight",
        "features.0.bias",
        "features.1.weight",
        "features.1.bias",
        "features.1.running_mean",
        "features.1.running_var",
        "features.1.num_batches_tracked",
        "fc.weight",
        "fc.bias",
    ]
    count = state["features.1.num_batches_tracked"]
    assert count.dtype == np.int64 and count.shape == ()
    assert all(isinstance(array, np.ndarray) for array in state.values())


def test_state_dict_holds_copies() -> None:
    net = lenet()
    for array in net.state_dict().values():
        array[...] = 7
    assert not any((array == 7).any() for array in net.state_dict().values())


def test_traversal() -> None:
    net = lenet()
    assert [name for name, _ in net.named_children()] == ["features", "flatten", "fc"]
    assert [name for name, _ in net.named_modules()][:3] == ["", "features", "features.0"]
    assert [name for name, _ in net.named_parameters()] == [
        name for name in net.state_dict() if name.endswith(("weight", "bias"))
    ]
    assert [name for name, _ in net.named_buffers()] == list(net.state_dict())[4:7]
    assert list(net.named_parameters(recurse=False)) == []
    assert len(list(net.modules())) == 8 and len(list(net.buffers())) == 3
    assert list(net.children()) == list(net)
    order: list[str] = []
    net.apply(lambda module: order.append(type(module).__name__))
    assert order[0] == "Conv2d" and order[-1] == "Sequential" and len(order) == 8


def test_shared_modules_are_listed_once_and_saved_under_each_name() -> None:
    layer = nn.Linear(2, 2)
    net = nn.Sequential(layer, nn.ReLU(), layer)
    assert len(net) == 3 and len(list(net.parameters())) == 2
    assert list(net.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    assert [name for name, _ in net.named_modules()] == ["", "0", "1"]


def test_attributes_register_themselves() -> None:
    module = Residual()
    assert module.scale == 2.0 and module.conv.weight is next(module.parameters())
    module.conv = nn.Conv2d(2, 2, 1)
    assert [p.shape for p in module.parameters()] == [(2, 2, 1, 1), (2,)]
    module.conv.bias = None
    assert list(module.state_dict()) == ["conv.weight"]
    module.plain = 1
    module.plain = nn.ReLU()
    assert [name for name, _ in module.named_children()] == ["conv", "relu", "plain"]
    del module.plain
    with pytest.raises(AttributeError, match="'Residual' object has no attribute 'plain'"):
        _ = module.plain
    del module.scale
    assert not hasattr(module, "scale")


def test_buffers_register() -> None:
    module = nn.Module()
    module.register_buffer("seen", np.zeros((), np.int64))
    module.register_buffer("mask", tensor([1.0]), persistent=False)
    module.register_buffer("none", None)
    assert [name for name, _ in module.named_buffers()] == ["seen", "mask"]
    assert list(module.state_dict()) == ["seen"] and module.none is None
    module.mask = tensor([2.0])
    assert module.mask.item() == 2.0
    del module.mask
    assert [name for name, _ in module.named_buffers()] == ["seen"]


def assign_before_init() -> None:
    class Hasty(nn.Module):
        def __init__(self) -> None:
            self.fc = nn.Linear(1, 1)

    Hasty()


@pytest.mark.parametrize(
    ("action", "error", "words"),
    [
        (assign_before_init, AttributeError, "before Module.__init__"),
        (lambda: setattr(nn.Linear(1, 1), "weight", tensor([[1.0]])), TypeError, "weight is Tenso"),
        (lambda: setattr(Residual(), "conv", 3), TypeError, "conv is int, expected Module"),
        (lambda: nn.Module().add_module("a.b", nn.ReLU()), KeyError, "text without a dot"),
        (lambda: nn.Module().add_module("", nn.ReLU()), KeyError, "text without a dot"),
        (lambda: nn.Module().add_module("forward", nn.ReLU()), KeyError, "already in use"),
        (lambda: nn.Module().register_buffer("b", 3), TypeError, "b is int, exp"),  # type: ignore[arg-type]
        (lambda: nn.Module()(1), NotImplementedError, "Module does not define forward"),
        (lambda: nn.Sequential(nn.ReLU)(1), TypeError, "0 is type, expected a Module"),  # type: ignore[call-overload]
        (lambda: nn.ReLU().train(1), TypeError, r"train\(1\)"),  # type: ignore[arg-type]
    ],
)
def test_misuse_of_modules(action: Callable[[], Any], error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        action()


def test_sequential() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    assert net[-1] is net[2] and list(net) == [net[0], net[1], net[2]]
    tail = net[1:]
    assert [name for name, _ in tail.named_children()] == ["1", "2"] and tail[1] is net[2]
    net[1] = nn.Dropout()
    assert list(net.named_children())[1] == ("1", net[1])
    assert net.append(nn.ReLU()) is net and len(net) == 4
    assert nn.Sequential(OrderedDict(a=net[0])).a is net[0]
    for index in (4, -5):
        with pytest.raises(IndexError, match=f"index {index}, expected one of 4 modules"):
            net[index]
    with pytest.raises(TypeError, match="1 is str, expected a Module"):
        net[1] = "relu"  # type: ignore[assignment]
    x = image(2, 2)
    np.testing.assert_array_equal(nn.Sequential()(x).numpy(), x.numpy())


def test_train_and_eval_reach_every_module() -> None:
    net = lenet()
    assert all(not module.training for module in net.eval().modules())
    assert all(module.training for module in net.train().modules())


# -- initial values -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "fan"),
    [
        (lambda dtype: nn.Linear(100, 50, dtype=dtype), 100),
        (lambda dtype: nn.Conv2d(8, 16, (3, 5), groups=2, dtype=dtype), 4 * 3 * 5),
    ],
)
def test_default_initialisation(make: Callable[[str], Any], fan: int) -> None:
    manual_seed(1)
    single = make("float32")
    bound = fan**-0.5
    for param in single.parameters():
        values = param.numpy()
        assert abs(values).max() <= np.float32(bound)
        assert abs(values).max() > 0.8 * bound and abs(values.mean()) < 0.3 * bound
    manual_seed(1)
    double = make("float64")
    assert double.weight.dtype == np.float64
    for ours, theirs in zip(single.parameters(), double.parameters(), strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy().astype(np.float32))
    assert not np.array_equal(make("float32").weight.numpy(), single.weight.numpy())


# -- types --------------------------------------------------------------------------------------


def test_to_converts_in_place_and_an_optimizer_keeps_its_parameters() -> None:
    net = lenet()
    params = list(net.parameters())
    optimizer = SGD(params, lr=0.1)
    state = net.state_dict()
    assert net.double() is net
    assert all(a is b for a, b in zip(net.parameters(), params, strict=True))
    for name, array in net.state_dict().items():
        expected = np.int64 if name.endswith("tracked") else np.float64
        np.testing.assert_array_equal(array, state[name].astype(expected), strict=True)
    x = tensor(np.ones((2, 1, 8, 8)))
    nn.CrossEntropyLoss()(net(x), tensor([1, 2])).backward()
    assert all(p.grad is not None and p.grad.dtype == np.float64 for p in params)
    optimizer.step()
    assert not np.array_equal(net.state_dict()["fc.bias"], state["fc.bias"])
    net.float()
    assert all(p.grad is not None and p.grad.dtype == p.dtype == np.float32 for p in params)
    net.zero_grad()
    assert all(p.grad is None for p in params)


def test_converting_between_the_passes_is_an_error() -> None:
    net = nn.Linear(2, 1)
    weight = tensor([[1.0, 2.0]], requires_grad=True)
    loss = nn.MSELoss()(net(weight), tensor([[1.0]]))
    net.double()
    with pytest.raises(GradproofError, match=r"Linear: w(eight)? was changed in place"):
        loss.backward()


@pytest.mark.parametrize("dtype", ["float16", "int32", "cuda", None, int])
def test_other_types_are_refused(dtype: Any) -> None:
    with pytest.raises(DTypeError, match=r"Linear: dtype .*expected 'float32' or 'float64'"):
        nn.Linear(1, 1, dtype=dtype)
    if dtype != "float16":
        with pytest.raises(DTypeError, match=r"Linear.to: dtype"):
            nn.Linear(1, 1).to(dtype)


# -- loading ------------------------------------------------------------------------------------


def test_a_state_dict_loads_into_another_network_in_place() -> None:
    source, target = lenet(), lenet()
    source(image(3, 1, 8, 8))
    params = list(target.parameters())
    assert target.load_state_dict(source.state_dict()) == ([], [])
    assert all(a is b for a, b in zip(target.parameters(), params, strict=True))
    for name, array in source.state_dict().items():
        np.testing.assert_array_equal(target.state_dict()[name], array, strict=True)
    x = image(2, 1, 8, 8)
    np.testing.assert_array_equal(target.eval()(x).numpy(), source.eval()(x).numpy())


def test_one_error_lists_everything_and_nothing_is_loaded() -> None:
    net = lenet()
    before = net.state_dict()
    state: dict[str, Any] = {name: array + 1 for name, array in before.items()}
    del state["features.0.bias"], state["features.1.running_var"]
    state["classifier.weight"] = np.zeros(3, np.float32)
    state["fc.weight"] = state["fc.weight"].T
    state["fc.bias"] = state["fc.bias"].astype(np.float64)
    state["features.1.bias"] = "text"
    state["features.1.num_batches_tracked"] = np.zeros((), np.float32)
    with pytest.raises(DataError) as caught:
        net.load_state_dict(state)
    assert str(caught.value).split("\n    ") == [
        "Sequential.load_state_dict: nothing was loaded:",
        "missing: features.0.bias, features.1.running_var",
        "unexpected: classifier.weight",
        "not an array: features.1.bias: str, expected an array",
        "wrong dtype: features.1.num_batches_tracked is float32, expected int64",
        "wrong shape: fc.weight has shape (96, 10), expected (10, 96)",
        "wrong dtype: fc.bias is float64, expected float32"
        " (or convert the module first with .to('float64'))",
    ]
    for name, array in net.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


def test_without_strict_names_may_differ_but_shapes_may_not() -> None:
    net = nn.Linear(2, 1)
    report = net.load_state_dict({"bias": np.ones(1, np.float32), "x": np.ones(1)}, strict=False)
    assert report.missing_keys == ["weight"] and report.unexpected_keys == ["x"]
    assert net.bias is not None and net.bias.item() == 1.0
    with pytest.raises(DataError, match="wrong shape: bias"):
        net.load_state_dict({"bias": np.zeros(2, np.float32)}, strict=False)
    with pytest.raises(DataError, match="list, expected a mapping"):
        net.load_state_dict([("bias", np.zeros(1))])  # type: ignore[arg-type]


def test_arrays_with_a_numpy_method_load_and_single_precision_widens() -> None:
    net = nn.Linear(1, 1, dtype="float64")
    values = {"weight": tensor([[2.0]]), "bias": Parameter(np.array([3.0], np.float32))}
    net.load_state_dict(values)
    assert net(tensor(np.array([[10.0]]))).item() == 23.0
    foreign = SimpleNamespace(numpy=lambda: np.array([[0.5]]))
    assert as_array(foreign).item() == 0.5


# -- errors in calls ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "start"),
    [
        (lambda: lenet()(image(1, 3, 8, 8)), "features.0 (Conv2d): "),
        (lambda: lenet()[0](image(1, 3, 8, 8)), "0 (Conv2d): "),
        (lambda: nn.Conv2d(1, 6, 3)(image(1, 3, 8, 8)), "Conv2d: "),
        (lambda: nn.Conv2d(1, 6, 3).forward(image(1, 3, 8, 8)), "Conv2d: "),
        (lambda: nn.Sequential(Residual())(image(1, 3, 8, 8)), "0.conv (Conv2d): "),
        (lambda: nn.Sequential(nn.Linear(3, 2))(image(1, 4)), "0 (Linear): "),
        (lambda: nn.Sequential(nn.ReLU(), nn.Flatten(3))(image(1, 4)), "1 (Flatten): "),
        (lambda: nn.Sequential(nn.MaxPool2d(9))(image(1, 1, 4, 4)), "0 (MaxPool2d): "),
        (lambda: nn.Sequential(nn.AvgPool2d(9))(image(1, 1, 4, 4)), "0 (AvgPool2d): "),
        (lambda: nn.Sequential(nn.AdaptiveAvgPool2d(2))(image(4, 4)), "0 (AdaptiveAvgPool2d): "),
        (lambda: nn.Sequential(nn.ReLU())(tensor([1])), "0 (ReLU): "),
        (lambda: nn.Sequential(nn.Dropout())(tensor([1])), "0 (Dropout): "),
        (lambda: nn.Sequential(nn.BatchNorm1d(4))(image(1, 4)), "0 (BatchNorm1d): "),
        (lambda: nn.CrossEntropyLoss()(image(2, 3), tensor([0, 3])), "CrossEntropyLoss: "),
        (lambda: nn.MSELoss()(image(2, 3), image(3, 2)), "MSELoss: "),
    ],
)
def test_errors_begin_with_the_layers_place_and_kind(call: Callable[[], Any], start: str) -> None:
    with pytest.raises(GradproofError) as caught:
        call()
    assert str(caught.value).startswith(start)
    assert nn.ReLU().error_label() == "ReLU"  # the failed call left nothing behind


def test_a_layer_below_an_unlisted_parent_and_an_unregistered_one() -> None:
    class Skips(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(3, 1))

        def forward(self, input: Tensor) -> Any:
            return self.inner[0](input)

    with pytest.raises(ShapeError, match=r"^inner\.0 \(Linear\): "):
        Skips()(image(1, 4))
    stranger = nn.Sequential(nn.Linear(3, 1))
    stranger.append(nn.ReLU())

    class Borrows(nn.Module):
        def forward(self, input: Tensor) -> Any:
            return stranger(input)

    with pytest.raises(ShapeError, match=r"^0 \(Linear\): "):
        nn.Sequential(Borrows())(image(1, 4))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(1, 1, 1),
        nn.Linear(1, 1),
        nn.BatchNorm1d(1),
        nn.ReLU(),
        nn.MaxPool2d(1),
        nn.AvgPool2d(1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(),
    ],
)
@pytest.mark.parametrize("value", [np.zeros((2, 1), np.float32), [[1.0]], None])
def test_an_input_that_is_no_tensor_is_named(layer: nn.Module, value: Any) -> None:
    kind, found = type(layer).__name__, type(value).__name__
    with pytest.raises(DTypeError) as caught:
        nn.Sequential(layer)(value)
    assert str(caught.value) == f"0 ({kind}): input is {found}, expected a Tensor (gp.tensor)"


def test_a_target_that_is_no_tensor_is_named() -> None:
    for loss in (nn.CrossEntropyLoss(), nn.MSELoss()):
        with pytest.raises(DTypeError, match="Loss: target is list, expected a Tensor"):
            loss(image(1, 2), [1])


@pytest.mark.parametrize(
    ("layer", "shape", "message"),
    [
        (
            nn.BatchNorm2d(3),
            (2, 6, 4, 4),
            "0 (BatchNorm2d): input of shape (2, 6, 4, 4) has 6 channels, expected num_features=3",
        ),
        (
            nn.BatchNorm2d(3),
            (2, 3),
            "0 (BatchNorm2d): input has 2 dimensions (shape (2, 3)), expected (N, C, H, W)",
        ),
        (
            nn.BatchNorm1d(3),
            (2, 3, 4, 4),
            "0 (BatchNorm1d): input has 4 dimensions (shape (2, 3, 4, 4)),"
            " expected (N, C) or (N, C, L)",
        ),
    ],
)
def test_batch_norm_names_both_numbers(
    layer: nn.Module, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ShapeError) as caught:
        nn.Sequential(layer)(image(*shape))
    assert str(caught.value) == message
    assert layer.num_batches_tracked == 0


# -- arguments ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: nn.Conv2d(0, 1, 3), "in_channels=0"),
        (lambda: nn.Conv2d(1, 2.5, 3), "out_channels=2.5"),  # type: ignore[arg-type]
        (lambda: nn.Conv2d(1, True, 3), "out_channels=True"),
        (lambda: nn.Conv2d(1, 1, 0), "kernel_size=0"),
        (lambda: nn.Conv2d(1, 1, (3, 3, 3)), "kernel_size=(3, 3, 3)"),  # type: ignore[arg-type]
        (lambda: nn.Conv2d(1, 1, 3, stride="2"), "stride='2'"),  # type: ignore[arg-type]
        (lambda: nn.Conv2d(1, 1, 3, dilation=-1), "dilation=-1"),
        (lambda: nn.Conv2d(1, 1, 3, padding=-1), "padding=-1"),
        (lambda: nn.Conv2d(1, 1, 3, padding="full"), "padding='full'"),  # type: ignore[arg-type]
        (lambda: nn.Conv2d(1, 1, 3, padding=((1, 2), 3)), "((1, 2), 3)"),  # type: ignore[arg-type]
        (lambda: nn.Conv2d(1, 1, 3, 2, "same"), "needs stride 1, not (2, 2)"),
        (lambda: nn.Conv2d(4, 6, 3, groups=4), "groups=4 does not divide out_channels=6"),
        (lambda: nn.Linear(3, 0), "out_features=0"),
        (lambda: nn.MaxPool2d(0), "kernel_size=0"),
        (lambda: nn.MaxPool2d(2, (1, 0)), "stride=(1, 0)"),
        (lambda: nn.AvgPool2d(2, padding=-1), "padding=-1"),
        (lambda: nn.AdaptiveAvgPool2d((None, 1)), "output_size=(None, 1)"),  # type: ignore[arg-type]
        (lambda: nn.BatchNorm1d(0), "num_features=0"),
        (lambda: nn.BatchNorm1d(2, eps=float("nan")), "eps=nan"),
        (lambda: nn.BatchNorm1d(2, momentum=1.5), "momentum=1.5"),
        (lambda: nn.Dropout(1.0), "p=1.0"),
        (lambda: nn.Dropout(float("nan")), "p=nan"),
        (lambda: nn.MSELoss(reduction="none"), "reduction='none'"),  # type: ignore[arg-type]
        (lambda: nn.Conv2d(1, 1, 3, padding_mode="reflect"), "padding_mode='reflect', expected"),
    ],
)
def test_wrong_arguments_are_refused_when_the_layer_is_made(
    make: Callable[[], nn.Module], words: str
) -> None:
    with pytest.raises(GradproofError) as caught:
        make()
    kind, _, message = str(caught.value).partition(": ")
    assert hasattr(nn, kind) and words in message


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.ReLU(inplace=True),  # type: ignore[call-arg]
        lambda: nn.MaxPool2d(2, 2, 0, 1, True),  # type: ignore[call-arg]
        lambda: nn.CrossEntropyLoss(None, False),  # type: ignore[misc]
        lambda: nn.LeakyReLU(0.1, True),  # type: ignore[call-arg]
        lambda: nn.Embedding(3, 2, max_norm=1.0),  # type: ignore[call-arg]
    ],
)
def test_unsupported_options_of_pytorch_are_no_parameters(make: Callable[[], Any]) -> None:
    with pytest.raises(TypeError, match=r"__init__|takes no arguments|unexpected keyword"):
        make()


# -- values -------------------------------------------------------------------------------------


def test_cumulative_average_counts_also_when_a_recorded_step_is_replayed() -> None:
    norm = nn.BatchNorm1d(1, momentum=None)
    x = tensor([[1.0], [3.0]])
    with record() as tape:
        norm(x)
    x.copy_(np.array([[5.0], [7.0]], np.float32))
    tape.replay()
    assert norm.num_batches_tracked == 2
    assert norm.running_mean is not None and norm.running_mean.item() == 4.0  # of 2 and 6
    norm.eval()(x)
    assert norm.num_batches_tracked == 2


def test_dropout_follows_mode_and_seed() -> None:
    x = tensor(np.ones(1000, np.float32))
    drop = nn.Dropout(0.25)
    manual_seed(0)
    first = drop(x).numpy()
    manual_seed(0)
    np.testing.assert_array_equal(drop(x).numpy(), first)
    assert set(np.unique(first)) == {np.float32(0), np.float32(1 / 0.75)}
    assert 0.2 < (first == 0).mean() < 0.3
    np.testing.assert_array_equal(drop.eval()(x).numpy(), x.numpy())


TEXTS = [
    "Conv2d(1, 6, 5)",
    "Conv2d(4, 6, (3, 5), (2, 1), (1, 2), (1, 2), 2, False)",
    "Conv2d(1, 1, 3, padding='same')",
    "Linear(4, 2)",
    "Linear(4, 2, bias=False)",
    "Identity()",
    "Embedding(10, 3)",
    "Embedding(10, 3, -1)",
    "LeakyReLU()",
    "GELU()",
    "GELU('tanh')",
    "SiLU()",
    "Sigmoid()",
    "Tanh()",
    "Softplus()",
    "Softmax(1)",
    "LogSoftmax(dim=-1)",
    "NLLLoss()",
    "L1Loss()",
    "BCEWithLogitsLoss()",
    "BatchNorm1d(3)",
    "BatchNorm2d(3, 0.001, None, False, False)",
    "ReLU()",
    "MaxPool2d(2)",
    "MaxPool2d((2, 3), 1, (1, 0), 2, ceil_mode=True)",
    "AvgPool2d(3, 2, 1)",
    "AdaptiveAvgPool2d((2, 3))",
    "Flatten()",
    "CrossEntropyLoss()",
    "Sequential()",
    "Sequential(Conv2d(1, 2, 3), Sequential(ReLU(), Linear(1, 1)))",
]
# name -> text of the layer, input shape
LAYERS = {
    "conv2d": ("Conv2d(4, 6, (3, 2), (2, 1), (1, 2), (1, 2), 2)", (2, 4, 7, 6)),
    "conv2d same": ("Conv2d(2, 3, (3, 4), padding='same', bias=False)", (2, 2, 5, 5)),
    "linear": ("Linear(5, 3)", (4, 5)),
    "batch_norm 1d": ("BatchNorm1d(3)", (4, 3)),
    "batch_norm 1d length": ("BatchNorm1d(3, momentum=None)", (2, 3, 4)),
    "batch_norm 2d": ("BatchNorm2d(3, eps=0.01, momentum=0.3)", (2, 3, 4, 5)),
    "batch_norm plain": ("BatchNorm2d(3, affine=False, track_running_stats=False)", (2, 3, 4, 5)),
    "max_pool2d": ("MaxPool2d((3, 2), 2, (1, 0), ceil_mode=True)", (2, 3, 6, 7)),
    "avg_pool2d": ("AvgPool2d(3, 2, 1, count_include_pad=False)", (2, 3, 6, 7)),
    "adaptive_avg_pool2d": ("AdaptiveAvgPool2d((2, 3))", (2, 3, 5, 7)),
    "flatten": ("Flatten(1, 2)", (2, 3, 4, 5)),
    "nested": (
        "Sequential(Conv2d(1, 4, 3), BatchNorm2d(4), ReLU(), MaxPool2d(2), Flatten(),"
        " Linear(36, 5))",
        (3, 1, 8, 8),
    ),
}


def build(namespace: Any, text: str) -> Any:
    return eval(text, dict(vars(namespace)))  # noqa: S307, the texts are above


@pytest.mark.parametrize("text", TEXTS)
def test_text_is_that_of_pytorch(text: str) -> None:
    torch = pytest.importorskip("torch")
    expected = repr(build(torch.nn, text))
    if "BatchNorm" in text:  # newer versions can leave out the bias alone, and say so
        expected = re.sub(", bias=(True|False)", "", expected)
    assert repr(build(nn, text)) == expected


@pytest.mark.parametrize("name", LAYERS)
def test_values_gradients_and_state_are_those_of_pytorch(name: str) -> None:
    torch = pytest.importorskip("torch")
    text, shape = LAYERS[name]
    ours, theirs = build(nn, text).double(), build(torch.nn, text).double()
    ours.load_state_dict(theirs.state_dict())
    rng = np.random.default_rng(0)
    for mode in (True, True, False):
        array = rng.normal(size=shape)
        x, y = tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
        out, expected = ours.train(mode)(x), theirs.train(mode)(y)
        np.testing.assert_allclose(out.numpy(), expected.detach().numpy(), rtol=1e-9, atol=1e-12)
        weights = rng.normal(size=out.shape)
        F.mse_loss(out, tensor(weights)).backward()
        torch.nn.functional.mse_loss(expected, torch.tensor(weights)).backward()
        assert x.grad is not None
        np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-8, atol=1e-12)
        for ours_p, theirs_p in zip(ours.parameters(), theirs.parameters(), strict=True):
            np.testing.assert_allclose(ours_p.grad.numpy(), theirs_p.grad.numpy(), 1e-8, 1e-12)
        state = theirs.state_dict()
        assert list(ours.state_dict()) == list(state)
        for key, value in ours.state_dict().items():
            assert str(value.dtype) == str(state[key].dtype).removeprefix("torch.")
            np.testing.assert_allclose(value, state[key].numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_losses_are_those_of_pytorch(reduction: Any) -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    array, other, labels = rng.normal(size=(4, 5)), rng.normal(size=(4, 5)), np.array([0, 4, 2, 2])
    for kind, target in (("MSELoss", other), ("CrossEntropyLoss", labels)):
        x, y = tensor(array, requires_grad=True), torch.tensor(array, requires_grad=True)
        loss = getattr(nn, kind)(reduction=reduction)(x, tensor(target))
        expected = getattr(torch.nn, kind)(reduction=reduction)(y, torch.tensor(target))
        loss.backward()
        expected.backward()
        assert loss.shape == () and x.grad is not None
        assert loss.item() == pytest.approx(expected.item(), rel=1e-12)
        np.testing.assert_allclose(x.grad.numpy(), y.grad.numpy(), rtol=1e-9, atol=1e-14)


def test_pytorch_accepts_our_state() -> None:
    torch = pytest.importorskip("torch")
    text = "Sequential(Conv2d(1, 4, 3), BatchNorm2d(4))"
    state = {k: torch.from_numpy(v) for k, v in build(nn, text).state_dict().items()}
    build(torch.nn, text).load_state_dict(state)


def test_initial_values_have_the_distribution_of_pytorch() -> None:
    torch = pytest.importorskip("torch")
    manual_seed(0)
    torch.manual_seed(0)
    for text in ("Conv2d(16, 4000, 3, groups=2)", "Linear(50, 4000)"):
        ours, theirs = build(nn, text).state_dict(), build(torch.nn, text).state_dict()
        for name, array in ours.items():
            quantiles = np.linspace(0, 1, 11)
            expected = np.quantile(theirs[name].numpy(), quantiles)
            scale = expected[-1]
            np.testing.assert_allclose(np.quantile(array, quantiles), expected, 0, 0.06 * scale)


@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
@pytest.mark.parametrize("shape", [(400, 60), (64, 32, 3, 3)])
def test_kaiming_normal_has_the_deviation_of_pytorch(mode: str, shape: tuple[int, ...]) -> None:
    torch = pytest.importorskip("torch")
    manual_seed(0)
    torch.manual_seed(0)
    weight = Parameter(np.zeros(shape, np.float32))
    assert nn.init.kaiming_normal_(weight, a=0.5, mode=mode) is weight
    theirs = torch.nn.init.kaiming_normal_(torch.zeros(shape), a=0.5, mode=mode)
    # the deviation of n numbers is known to 1/sqrt(2 n), that of two such to sqrt(2) times as much
    bound = 6 / np.sqrt(weight.size)
    assert weight.numpy().std() == pytest.approx(theirs.std().item(), rel=bound)


def test_kaiming_normal_refuses_what_has_no_fan() -> None:
    with pytest.raises(ShapeError, match=r"tensor has shape \(3,\)"):
        nn.init.kaiming_normal_(Parameter(np.zeros(3, np.float32)))
    with pytest.raises(GradproofError, match="mode='fan'"):
        nn.init.kaiming_normal_(Parameter(np.zeros((3, 2), np.float32)), mode="fan")
