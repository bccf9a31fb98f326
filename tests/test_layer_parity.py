"""Layers in small networks against PyTorch, with the data and the bounds of test_parity.py.

Each network is one layer, Flatten and Linear, trained for two steps from PyTorch's state dict.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradproof as gp
from gradproof.runtime.device import current_device
from gradproof.runtime.schedule import schedule

torch = pytest.importorskip("torch")

from tests.test_parity import (  # noqa: E402  # it needs torch
    Case,
    Spec,
    build,
    error,
    failures,
    one_thread,
    run_ours,
    run_torch,
)

__all__ = ["one_thread"]  # a fixture


class OneLayer(Case):
    """Not drawn at random, except for the head, the loss, the parameters and the data."""

    def __init__(self, spec: Spec, shape: tuple[int, ...], training: bool = True) -> None:
        self.rng = np.random.default_rng(len(repr(spec)))
        self.training, self.input_shape, self.specs = training, shape, [spec]
        with torch.no_grad():
            self.shape = tuple(build(torch.nn, self.specs)(torch.ones(shape)).shape)
        self._append(lambda: [("Flatten", {})])
        self._append(self._linear)
        self.loss, self.reduction = self.choice("CrossEntropyLoss", "MSELoss"), self._reduction()
        self.sgd = self._sgd()
        self._state()
        self._data()


def channels(**options: Any) -> dict[str, Any]:
    return {"in_channels": 4, "out_channels": 6, **options}


SIGNAL, IMAGE, VOLUME = (3, 4, 7), (3, 4, 5, 6), (2, 4, 3, 4, 5)
CASES: list[tuple[Spec, tuple[int, ...]]] = [
    (("Conv1d", channels(kernel_size=3, stride=2, padding=1, dilation=2)), SIGNAL),
    (("Conv1d", channels(kernel_size=4, padding="same", groups=2, bias=False)), SIGNAL),
    (("Conv3d", channels(kernel_size=2, stride=(1, 2, 1), padding=(1, 0, 1))), VOLUME),
    (("Conv3d", channels(kernel_size=(1, 2, 3), padding="valid", groups=2)), VOLUME),
    (("ConvTranspose1d", channels(kernel_size=3, stride=2, output_padding=1)), SIGNAL),
    (("ConvTranspose2d", channels(kernel_size=3, stride=2, padding=1, groups=2)), IMAGE),
    (("ConvTranspose2d", channels(kernel_size=(2, 3), dilation=2, bias=False)), IMAGE),
    (("ConvTranspose3d", channels(kernel_size=2, stride=2, padding=1)), VOLUME),
    (("AvgPool1d", {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}), SIGNAL),
    (("AvgPool2d", {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}), IMAGE),
    (("AvgPool3d", {"kernel_size": 2, "stride": 1, "count_include_pad": False}), VOLUME),
    (("AdaptiveAvgPool1d", {"output_size": 3}), SIGNAL),
    (("AdaptiveAvgPool3d", {"output_size": (1, 2, 3)}), VOLUME),
    (("LayerNorm", {"normalized_shape": 7}), SIGNAL),
    (("LayerNorm", {"normalized_shape": [5, 6], "eps": 1e-3, "bias": False}), IMAGE),
    (("LayerNorm", {"normalized_shape": (4, 5, 6), "elementwise_affine": False}), IMAGE),
    (("GroupNorm", {"num_groups": 2, "num_channels": 4}), IMAGE),
    (("GroupNorm", {"num_groups": 1, "num_channels": 4, "affine": False}), SIGNAL),
    (("GroupNorm", {"num_groups": 4, "num_channels": 4, "eps": 1e-3}), VOLUME),
    (("InstanceNorm1d", {"num_features": 4}), SIGNAL),
    (("InstanceNorm2d", {"num_features": 4, "affine": True}), IMAGE),
    (("InstanceNorm2d", {"num_features": 4, "track_running_stats": True}), IMAGE),
    (("InstanceNorm3d", {"num_features": 4, "affine": True, "momentum": 0.4}), VOLUME),
    (("BatchNorm3d", {"num_features": 4, "momentum": None}), VOLUME),
    (("LocalResponseNorm", {"size": 3, "alpha": 0.5, "beta": 0.75, "k": 2.0}), IMAGE),
    (("LocalResponseNorm", {"size": 2, "alpha": 1.0}), SIGNAL),
    (("Upsample", {"size": (7, 4), "mode": "bilinear"}), IMAGE),
    (("UpsamplingNearest2d", {"scale_factor": 2}), IMAGE),
    (("UpsamplingBilinear2d", {"scale_factor": 2}), IMAGE),
    (("ZeroPad2d", {"padding": (1, 0, 2, 1)}), IMAGE),
    (("ConstantPad1d", {"padding": 1, "value": 0.5}), SIGNAL),
    (("ConstantPad2d", {"padding": (1, -1, 0, 1), "value": -0.5}), IMAGE),
    (("ReflectionPad1d", {"padding": (2, 1)}), SIGNAL),
    (("ReflectionPad2d", {"padding": 2}), IMAGE),
    (("ReplicationPad1d", {"padding": 2}), SIGNAL),
    (("ReplicationPad2d", {"padding": (0, 1, 2, 0)}), IMAGE),
    (("ZeroPad1d", {"padding": (2, 0)}), SIGNAL),
    (("ZeroPad3d", {"padding": (1, 0, 2, 1, 0, 1)}), VOLUME),
    (("ConstantPad3d", {"padding": (1, -1, 0, 1, 2, 0), "value": 0.5}), VOLUME),
    (("ReflectionPad3d", {"padding": 1}), VOLUME),
    (("ReplicationPad3d", {"padding": (0, 1, 2, 0, 1, 1)}), VOLUME),
    (("Unflatten", {"dim": 1, "unflattened_size": (2, -1)}), SIGNAL),
]
EVALUATED = [
    (("InstanceNorm2d", {"num_features": 4, "track_running_stats": True, "affine": True}), IMAGE),
    (("BatchNorm3d", {"num_features": 4}), VOLUME),
]


def check(case: Case) -> None:
    exact = run_torch(case, "float64")
    dtypes = ("float32", "float64") if current_device().info.fp64 else ("float32",)
    for dtype in dtypes:
        with schedule("reference"):
            found = run_ours(case, dtype)
        assert list(found) == list(exact)
        wrong = list(failures(case, dtype, found, exact))
        assert not wrong, f"{dtype}, {case}\n" + "\n".join(wrong)


@pytest.mark.parametrize(("spec", "shape"), CASES, ids=lambda value: str(value))
def test_a_layer_trains_as_in_pytorch(spec: Spec, shape: tuple[int, ...]) -> None:
    check(OneLayer(spec, shape))


@pytest.mark.parametrize(("spec", "shape"), EVALUATED, ids=lambda value: str(value))
def test_a_layer_evaluates_as_in_pytorch(spec: Spec, shape: tuple[int, ...]) -> None:
    check(OneLayer(spec, shape, training=False))


WRONG: list[tuple[Spec, Spec, tuple[int, ...]]] = [
    (
        ("LayerNorm", {"normalized_shape": 7}),
        ("LayerNorm", {"normalized_shape": 7, "eps": 2e-4}),
        SIGNAL,
    ),
    (
        ("GroupNorm", {"num_groups": 2, "num_channels": 4}),
        ("GroupNorm", {"num_groups": 1, "num_channels": 4}),
        IMAGE,
    ),
    (
        ("InstanceNorm1d", {"num_features": 4}),
        ("InstanceNorm1d", {"num_features": 4, "eps": 2e-4}),
        SIGNAL,
    ),
    (
        ("LocalResponseNorm", {"size": 2, "alpha": 1.0}),
        ("LocalResponseNorm", {"size": 2, "alpha": 1.0002}),
        SIGNAL,
    ),
    (
        ("Upsample", {"size": (7, 4), "mode": "bilinear"}),
        ("Upsample", {"size": (7, 4), "mode": "bilinear", "align_corners": True}),
        IMAGE,
    ),
]


@pytest.mark.parametrize(("spec", "wrong", "shape"), WRONG, ids=lambda value: str(value))
def test_another_formula_is_found(spec: Spec, wrong: Spec, shape: tuple[int, ...]) -> None:
    """The bounds tell PyTorch's own layer from one with another option."""
    case = OneLayer(spec, shape)
    exact = run_torch(case, "float64")
    case.specs[0] = wrong
    found = run_ours(case, "float32")
    case.specs[0] = spec
    assert list(failures(case, "float32", found, exact))


@pytest.mark.parametrize("pool", ["MaxPool1d", "MaxPool3d"])
def test_maxima_are_pytorchs_in_every_bit(pool: str) -> None:
    shape = {"MaxPool1d": (2, 3, 9), "MaxPool3d": (2, 3, 5, 6, 7)}[pool]
    x = np.random.default_rng(0).permutation(np.prod(shape)).reshape(shape).astype(np.float32)
    options = {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}
    theirs = torch.tensor(x, requires_grad=True)
    ours = gp.tensor(x, requires_grad=True)
    expected = getattr(torch.nn, pool)(**options)(theirs)
    found = getattr(gp.nn, pool)(**options)(ours)
    expected.backward(torch.ones_like(expected))
    found.backward(gp.tensor(np.ones(found.shape)))
    assert error(found.numpy(), expected.detach().numpy()) == 0
    assert error(ours.grad.numpy(), theirs.grad.numpy()) == 0


@pytest.mark.parametrize("size", [(9, 14), (10, 15), (10, 14)])
def test_a_call_names_the_output_size(size: tuple[int, int]) -> None:
    options = {"kernel_size": (3, 2), "stride": 2, "padding": (1, 0), "bias": False}
    theirs = torch.nn.ConvTranspose2d(2, 2, **options)
    ours = gp.nn.ConvTranspose2d(2, 2, **options)
    w = np.random.default_rng(0).integers(-3, 4, ours.weight.shape).astype(np.float32)
    theirs.load_state_dict({"weight": torch.tensor(w)})
    ours.load_state_dict({"weight": w})
    x = np.random.default_rng(1).integers(-3, 4, (1, 2, 5, 7)).astype(np.float32)
    expected = theirs(torch.tensor(x), output_size=size).detach().numpy()
    np.testing.assert_array_equal(ours(gp.tensor(x), output_size=size).numpy(), expected)


SHOWN = [
    ("Conv1d", (2, 3, 3), {"padding": 1, "bias": False}),
    ("Conv3d", (2, 4, 3), {"stride": 2, "dilation": 2, "groups": 2}),
    ("ConvTranspose1d", (2, 3, 3), {}),
    ("ConvTranspose2d", (2, 4, 3, 2, 1, 1, 2, False, 2), {}),
    ("ConvTranspose3d", (2, 3, (1, 2, 3)), {"stride": 2, "output_padding": (1, 0, 1)}),
    ("MaxPool1d", (3, 2, 1), {"ceil_mode": True}),
    ("MaxPool3d", (2,), {}),
    ("AvgPool3d", (2, 1), {}),
    ("AdaptiveAvgPool1d", (3,), {}),
    ("LocalResponseNorm", (5, 1e-3), {}),
    ("Upsample", ((3, 4),), {"mode": "bilinear"}),
    ("ZeroPad2d", (2,), {}),
    ("ConstantPad1d", (1, 2.0), {}),
    ("ConstantPad2d", ((1, 2, 3, 4), 2.0), {}),
    ("ReflectionPad1d", ((1, 2),), {}),
    ("ReplicationPad2d", (1,), {}),
    ("ZeroPad1d", (2,), {}),
    ("ZeroPad3d", ((1, 2, 3, 4, 5, 6),), {}),
    ("ConstantPad3d", (1, 2.0), {}),
    ("ReflectionPad3d", (1,), {}),
    ("ReplicationPad3d", (1,), {}),
    ("Unflatten", (1, (2, 3)), {}),
]


@pytest.mark.parametrize(("name", "arguments", "options"), SHOWN)
def test_layers_take_and_show_what_pytorchs_do(
    name: str, arguments: tuple[Any, ...], options: dict[str, Any]
) -> None:
    theirs = getattr(torch.nn, name)(*arguments, **options)
    assert repr(getattr(gp.nn, name)(*arguments, **options)) == repr(theirs)


@pytest.mark.parametrize("name", ["Conv1d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d"])
def test_initial_values_have_pytorchs_range(name: str) -> None:
    """Weight and bias are uniform within the same bound, which a largest of many comes close to."""
    options = {"in_channels": 16, "out_channels": 32, "kernel_size": 3, "groups": 2}
    torch.manual_seed(0)
    gp.manual_seed(0)
    theirs, ours = getattr(torch.nn, name)(**options), getattr(gp.nn, name)(**options)
    for key, value in theirs.state_dict().items():
        mine = ours.state_dict()[key]
        assert mine.shape == tuple(value.shape)
        many = 32 if key == "bias" else 500
        largest = float(value.abs().max())
        assert abs(np.abs(mine).max() - largest) < largest * (6 / many)
