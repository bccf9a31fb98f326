"""Convolution, pooling, normalisation, resizing, padding: values one sees at once, and errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradproof as gp
from gradproof.runtime.errors import DTypeError, GradproofError, ShapeError
from gradproof.runtime.tensor import Tensor

F, nn = gp.functional, gp.nn


def ramp(*shape: int, requires_grad: bool = False) -> Tensor:
    """0, 1, 2, … in this shape."""
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    return gp.tensor(values, requires_grad=requires_grad)


def pulled(function: Callable[[Tensor], Tensor], x: Tensor) -> list[Any]:
    """The gradient of the sum of function(x): how often each element is used."""
    out = function(x)
    out.backward(gp.tensor(np.ones(out.shape, np.float32)))
    assert x.grad is not None
    found: list[Any] = x.grad.numpy().tolist()
    return found


# -- values --------------------------------------------------------------------------------------
def test_transposed_convolution_is_the_transpose() -> None:
    """<conv(x), y> = <x, conv_transpose(y)>, with the extents that output_padding chooses."""
    rng = np.random.default_rng(0)
    x, w = (rng.integers(-3, 4, s).astype(np.float32) for s in ((2, 4, 8, 7), (6, 2, 3, 2)))
    options = {"stride": (3, 2), "padding": ((1, 0), (2, 1)), "dilation": (1, 2), "groups": 2}
    out = F.conv2d(gp.tensor(x), gp.tensor(w), **options)
    y = rng.integers(-3, 4, out.shape).astype(np.float32)
    back = F.conv_transpose2d(gp.tensor(y), gp.tensor(w), output_padding=(0, 1), **options)
    assert back.shape == x.shape
    assert (out.numpy() * y).sum() == (x * back.numpy()).sum()


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_a_kernel_of_one_tap_scales_each_channel(axes: int) -> None:
    x = ramp(2, 3, *range(2, 2 + axes))
    w = gp.tensor(np.array([2.0, 3.0, 5.0], np.float32).reshape(3, 1, *[1] * axes))
    scaled = x.numpy() * w.numpy().reshape(1, 3, *[1] * axes)
    for name in (f"conv{axes}d", f"conv_transpose{axes}d"):
        np.testing.assert_array_equal(getattr(F, name)(x, w, groups=3).numpy(), scaled)


def test_a_signal_is_pooled_like_an_image_of_height_1() -> None:
    x = ramp(1, 1, 7)
    assert F.max_pool1d(x, 3, 2, 1).numpy().ravel().tolist() == [1, 3, 5, 6]
    assert F.avg_pool1d(x, 2, 2).numpy().ravel().tolist() == [0.5, 2.5, 4.5]
    assert F.avg_pool1d(x, 2, 2, ceil_mode=True).numpy().ravel().tolist() == [0.5, 2.5, 4.5, 6]
    assert F.adaptive_avg_pool1d(x, 1).numpy().ravel().tolist() == [3]


def test_a_mean_counts_the_padding_or_not() -> None:
    x = gp.tensor(np.full((1, 1, 2, 2, 2), 8.0, np.float32))
    counted = F.avg_pool3d(x, 2, 2, 1).numpy().ravel().tolist()
    assert counted == [1.0] * 8
    assert F.avg_pool3d(x, 2, 2, 1, count_include_pad=False).numpy().ravel().tolist() == [8.0] * 8


def test_the_first_maximum_of_a_volume_gets_the_gradient() -> None:
    x = gp.tensor(np.zeros((1, 1, 2, 2, 2), np.float32), requires_grad=True)
    first = np.array(pulled(lambda t: F.max_pool3d(t, 2), x)).ravel()
    assert first.tolist() == [1, 0, 0, 0, 0, 0, 0, 0]


def test_running_statistics_of_instances() -> None:
    """Means 1, 5 and unbiased variances 2, 8 of the samples; half-way from 0 and 1."""
    layer = nn.InstanceNorm1d(1, momentum=0.5, track_running_stats=True)
    x = gp.tensor([[[0.0, 2.0]], [[3.0, 7.0]]])
    layer(x)
    state = layer.state_dict()
    assert state["running_mean"].tolist() == [1.5] and state["running_var"].tolist() == [3.0]
    assert state["num_batches_tracked"] == 0
    plain = F.batch_norm(x, layer.running_mean, layer.running_var)
    np.testing.assert_array_equal(layer.eval()(x).numpy(), plain.numpy())


def test_group_norm_of_all_and_of_single_channels() -> None:
    x = ramp(2, 4, 3, 2)
    one_each = F.instance_norm(x).numpy()
    np.testing.assert_allclose(F.group_norm(x, 4).numpy(), one_each, rtol=0, atol=2.0**-22)
    whole = F.layer_norm(x, (4, 3, 2)).numpy()
    np.testing.assert_allclose(F.group_norm(x, 1).numpy(), whole, rtol=0, atol=2.0**-22)


@pytest.mark.parametrize(("size", "counts"), [(1, [1] * 4), (2, [1, 2, 2, 2]), (3, [2, 3, 3, 2])])
def test_the_window_of_local_response_norm(size: int, counts: list[int]) -> None:
    """With ones: 1 / (size/size * neighbours)**1; size 2 sees the channel before."""
    x = gp.tensor(np.ones((1, 4, 1), np.float32))
    found = F.local_response_norm(x, size, alpha=float(size), beta=1.0, k=0.0).numpy().ravel()
    np.testing.assert_allclose(1 / found, counts, rtol=2.0**-20)


def test_nearest_repeats_and_drops() -> None:
    x = ramp(1, 1, 1, 3, requires_grad=True)
    assert F.interpolate(x, (2, 6)).numpy()[0, 0].tolist() == [[0, 0, 1, 1, 2, 2]] * 2
    assert F.interpolate(x, (1, 2)).numpy().ravel().tolist() == [0, 1]
    assert pulled(lambda t: F.interpolate(t, (2, 6)), x) == [[[[4, 4, 4]]]]


def test_linear_at_corners_and_centres() -> None:
    x = gp.tensor([[[0.0, 4.0, 8.0]]])
    corners = F.interpolate(x, 5, mode="linear", align_corners=True)
    assert corners.numpy().ravel().tolist() == [0, 2, 4, 6, 8]
    centres = F.interpolate(x, 6, mode="linear")
    assert centres.numpy().ravel().tolist() == [0, 1, 3, 5, 7, 8]
    assert F.interpolate(x, 1, mode="linear").numpy().item() == 4  # the middle
    assert F.interpolate(x, 1, mode="linear", align_corners=True).numpy().item() == 0
    one = gp.tensor([[[3.0]]])
    for align_corners in (False, True):
        spread = F.interpolate(one, 3, mode="linear", align_corners=align_corners)
        assert spread.numpy().ravel().tolist() == [3, 3, 3]


def test_what_changes_nothing_copies_nothing() -> None:
    x = ramp(1, 1, 2, 3)
    assert F.interpolate(x, (2, 3), mode="bilinear") is x and F.interpolate(x, (2, 3)) is x
    assert F.pad(x, (0, 0, 0, 0)) is x and F.pad(x, ()) is x


def test_padding_names_the_last_axis_first() -> None:
    x = ramp(2, 2, requires_grad=True)
    padded = F.pad(x, (1, 0, 0, 1), value=7.0)
    assert padded.numpy().tolist() == [[7, 0, 1], [7, 2, 3], [7, 7, 7]]
    assert F.pad(x, (-1, 0, 0, -1)).numpy().tolist() == [[1]]
    assert pulled(lambda t: F.pad(t, (-1, 2, 0, -1)), x) == [[0, 1], [0, 0]]


def test_reflection_and_replication() -> None:
    x = ramp(1, 3, requires_grad=True)
    assert F.pad(x, (2, 1), "reflect").numpy().tolist() == [[2, 1, 0, 1, 2, 1]]
    assert F.pad(x, (2, 1), "replicate").numpy().tolist() == [[0, 0, 0, 1, 2, 2]]
    assert pulled(lambda t: F.pad(t, (2, 1), "replicate"), x) == [[3, 1, 2]]


def test_padding_a_signal_with_infinity_leaves_the_rest_finite() -> None:
    found = F.pad(ramp(1, 2), (1, 1), value=float("-inf")).numpy().tolist()
    assert found == [[-np.inf, 0, 1, -np.inf]]


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (nn.Conv1d(2, 4, 3, stride=2, padding=((2, 1),)), (1, 2, 8), (1, 4, 5)),
        (nn.Conv3d(2, 4, 3, padding="same"), (1, 2, 4, 5, 6), (1, 4, 4, 5, 6)),
        (nn.ConvTranspose2d(2, 4, 4, 2, 1), (1, 2, 3, 5), (1, 4, 6, 10)),
        (nn.ConvTranspose1d(2, 4, 3, padding=((2, 0),)), (1, 2, 3), (1, 4, 3)),
        (nn.MaxPool3d(2), (1, 2, 5, 4, 3), (1, 2, 2, 2, 1)),
        (nn.AdaptiveAvgPool3d((1, 2, 3)), (1, 2, 5, 4, 3), (1, 2, 1, 2, 3)),
        (nn.Upsample(scale_factor=(1, 2.5)), (1, 2, 3, 4), (1, 2, 3, 10)),
        (nn.ReflectionPad2d((1, 0, 2, 1)), (2, 3, 3), (2, 6, 4)),
    ],
)
def test_shapes_of_layers(
    layer: nn.Module, shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    assert layer(ramp(*shape)).shape == expected


# -- errors --------------------------------------------------------------------------------------
ERRORS: list[tuple[Callable[[], Any], str]] = [
    (lambda: F.conv1d(ramp(1, 2, 3, 4), ramp(1, 2, 3)), r"conv1d: input has shape .*expected 3 d"),
    (lambda: F.conv1d(ramp(1, 2, 3), ramp(1, 3, 1)), "conv1d: input has 2 channels, expected 3"),
    (lambda: F.conv1d(ramp(1, 1, 3), ramp(1, 1, 5)), "kernel is longer than the padded input"),
    (lambda: F.conv3d(ramp(1, 1, 1, 2, 2), ramp(1, 1, 2, 1, 1)), "kernel is deeper than the padd"),
    (lambda: F.conv1d(ramp(1, 1, 3), ramp(1, 1, 1), stride=(1, 2)), r"or one \(length,\)"),
    (lambda: F.conv3d(ramp(1, 1, 3, 3, 3), ramp(1, 1, 1, 1, 1), padding=(1, 2)), "or three"),
    (lambda: F.conv1d(ramp(1, 1, 3), ramp(1, 1, 1), padding=(1, 2)), "padding=.* or one"),
    (lambda: F.conv1d(ramp(1, 1, 3), ramp(1, 1, 1), padding=((1, 2), (1, 2))), "two sides for ea"),
    (lambda: F.conv1d(ramp(1, 1, 3), ramp(1, 1, 2), gp.tensor([1.0, 2.0])), "bias has shape"),
    (lambda: F.conv1d(ramp(1, 2, 3), ramp(3, 1, 1), groups=2), "does not divide 3 out_channels"),
    (lambda: F.conv_transpose1d(ramp(1, 2, 3), ramp(3, 1, 1)), "input has 2 channels, expected 3"),
    (lambda: F.conv_transpose1d(ramp(1, 3, 3), ramp(3, 1, 1), groups=2), "groups=2 does not divid"),
    (lambda: F.conv_transpose1d(ramp(1, 1, 3), ramp(1, 1, 1), padding="same"), "expected integers"),
    (lambda: F.conv_transpose1d(ramp(1, 1, 3), ramp(1, 1, 1), padding=-1), "integer from 0"),
    (lambda: F.conv_transpose1d(ramp(1, 1, 1), ramp(1, 1, 1), padding=1), "would be 0 wide"),
    (
        lambda: F.conv_transpose2d(
            ramp(1, 1, 2, 2), ramp(1, 1, 2, 2), stride=(3, 2), output_padding=2
        ),
        "output_padding=2, expected less than stride 2 or dilation 1",
    ),
    (lambda: nn.ConvTranspose2d(1, 1, 2, output_padding=-1), "output_padding=-1, expected an int"),
    (lambda: nn.ConvTranspose2d(1, 1, 2, padding="same"), "ConvTranspose2d: padding='same'"),
    (lambda: nn.ConvTranspose2d(2, 3, 2, groups=2), "groups=2 does not divide out_channels=3"),
    (
        lambda: nn.ConvTranspose1d(1, 1, 3, 2)(ramp(1, 1, 3), output_size=9),
        r"ConvTranspose1d: output_size=9, expected 7 to 8 along axis 2 \(input \(1, 1, 3\)\)",
    ),
    (lambda: nn.Conv1d(1, 1, 2, padding=-1), "Conv1d: padding=-1, expected an integer from 0"),
    (lambda: nn.Conv3d(1, 1, 2, 2, "same"), "Conv3d: padding='same' needs stride 1"),
    (lambda: nn.Conv1d(1, 1, (2, 2)), r"Conv1d: kernel_size=\(2, 2\), .* one \(length,\)"),
    (lambda: F.max_pool1d(ramp(1, 3), 2), "max_pool1d: input has shape .* expected 3 dimensions"),
    (lambda: F.max_pool3d(ramp(1, 1, 1, 4, 4), 2), "longer than the padded depth, 1"),
    (lambda: F.max_pool1d(ramp(1, 1, 3), 1, padding=2), "wholly in the padding"),
    (lambda: F.avg_pool1d(ramp(1, 1, 3), 2, padding=2), "padding=2 is more than half of kernel_si"),
    (lambda: F.avg_pool1d(ramp(1, 1, 5), 2, padding=-1), "or negative"),
    (lambda: F.adaptive_avg_pool1d(ramp(1, 1, 3), 0), "output_size=0, expected an integer from 1"),
    (lambda: nn.MaxPool1d((2, 2)), "MaxPool1d: kernel_size="),
    (lambda: nn.AvgPool3d(2, padding=-1), "AvgPool3d: padding=-1"),
    (lambda: F.layer_norm(ramp(2, 3), 2), r"its last axes to be normalized_shape=\(2,\)"),
    (lambda: F.layer_norm(ramp(3), (2, 3)), r"its last axes to be normalized_shape=\(2, 3\)"),
    (lambda: F.layer_norm(ramp(2, 3), ()), "one axis or more"),
    (lambda: F.layer_norm(ramp(2, 3), 3, ramp(2)), r"weight has shape \(2,\), expected \(3,\)"),
    (lambda: F.layer_norm(ramp(2, 3), 3, eps=-1.0), "eps=-1.0, expected at least 0"),
    (lambda: F.group_norm(ramp(2, 3), 2), "num_groups=2 does not divide 3 channels"),
    (lambda: F.group_norm(ramp(3), 1), r"group_norm: input has shape \(3,\)"),
    (lambda: F.group_norm(ramp(2, 4), 2, bias=ramp(2)), r"bias has shape \(2,\), expected \(4,\)"),
    (lambda: nn.GroupNorm(2, 3), "num_groups=2 does not divide num_channels=3"),
    (lambda: nn.GroupNorm(2, 4)(ramp(2, 6, 3)), r"GroupNorm: input .*expected \(N, 4, …\)"),
    (lambda: F.instance_norm(ramp(2, 3, 1)), "more than one element"),
    (lambda: F.instance_norm(ramp(2, 3)), "expected 3, 4 or 5 dimensions"),
    (lambda: F.instance_norm(ramp(2, 3, 2), ramp(3)), "come together or not at all"),
    (lambda: F.instance_norm(ramp(2, 3, 2), use_input_stats=False), "needs running_mean"),
    (lambda: F.instance_norm(ramp(2, 3, 2), weight=ramp(2)), "3 channels, but weight has"),
    (lambda: nn.InstanceNorm2d(3)(ramp(2, 3, 4)), r"InstanceNorm2d: .*expected \(N, C, H, W\)"),
    (lambda: nn.InstanceNorm1d(3)(ramp(2, 4, 4)), "expected num_features=3"),
    (lambda: nn.InstanceNorm1d(3, momentum=2.0), "InstanceNorm1d: momentum=2.0"),
    (lambda: F.batch_norm(ramp(3), None, None), r"has shape \(3,\), expected 2 to 5 dimensions"),
    (lambda: nn.BatchNorm3d(3)(ramp(2, 3, 4, 4)), r"BatchNorm3d: .*expected \(N, C, D, H, W\)"),
    (lambda: F.local_response_norm(ramp(2, 3), 2), r"expected \(N, C, L, …\)"),
    (lambda: F.local_response_norm(ramp(2, 3, 1), 0), "size=0, expected an integer from 1"),
    (lambda: nn.LocalResponseNorm(2, alpha=-1.0), "LocalResponseNorm: alpha=-1.0"),
    (lambda: F.interpolate(ramp(2, 3), 2), "expected 3, 4 or 5 dimensions"),
    (lambda: F.interpolate(ramp(1, 2, 3)), "size=None, scale_factor=None, expected one of them"),
    (lambda: F.interpolate(ramp(1, 2, 3), 2, 2.0), "expected one of them"),
    (lambda: F.interpolate(ramp(1, 2, 3), (2, 3)), r"or one \(length,\)"),
    (lambda: F.interpolate(ramp(1, 2, 3), 0), "size=0, expected an integer from 1"),
    (lambda: F.interpolate(ramp(1, 2, 3), 2, mode="cubic"), "mode='cubic', expected 'nearest', "),
    (lambda: F.interpolate(ramp(1, 2, 3), 2, mode="bilinear"), "takes input of 4 dimensions"),
    (lambda: F.interpolate(ramp(1, 2, 3), 2, align_corners=True), "align_corners goes with"),
    (lambda: F.interpolate(ramp(1, 2, 3), scale_factor=0.5), "is 1.5; give size, or recompute"),
    (lambda: F.interpolate(ramp(1, 2, 100), scale_factor=0.29), "is 28.99"),
    (lambda: F.interpolate(ramp(1, 2, 3), scale_factor=0.1), "leaves none"),
    (lambda: F.interpolate(ramp(1, 2, 3), scale_factor=(1, 2)), "expected a number or 1"),
    (lambda: F.interpolate(ramp(1, 2, 3), 2, recompute_scale_factor=True), "not with size"),
    (lambda: nn.Upsample(2, mode="cubic"), "Upsample: mode='cubic'"),
    (lambda: nn.Upsample(), "Upsample: size=None, scale_factor=None"),
    (lambda: F.pad(ramp(2, 3), (1,)), r"pad=\(1,\), expected two integers for each axis"),
    (lambda: F.pad(ramp(2), (1, 1, 1, 1)), "expected two integers for each axis"),
    (lambda: F.pad(ramp(2), (1, 1.5)), "expected two integers for each axis"),  # type: ignore[arg-type]
    (lambda: F.pad(ramp(2), 1), "pad=1, expected two integers"),  # type: ignore[arg-type]
    (lambda: F.pad(ramp(2), (1, 1), "circular"), "mode='circular', expected one of 'constant'"),
    (lambda: F.pad(ramp(2), (-1, -1)), "pad, axis 0: nothing is left"),
    (lambda: F.pad(ramp(1, 2), (2, 0), "reflect"), "padding before is not shorter than the input"),
    (lambda: F.pad(ramp(1, 2), (-1, 0), "reflect"), "takes no negative padding"),
    (lambda: F.pad(ramp(1, 2), (1, 0), "reflect", 1.0), "which takes no value"),
    (lambda: F.pad(ramp(2), (1, 1), value=float("nan")), "value=nan, expected a number"),
    (lambda: nn.ReflectionPad1d(-1), "ReflectionPad1d: padding=-1, expected an integer from 0"),
    (lambda: nn.ConstantPad2d((1, 2), 0.0), r"expected an integer or \(left, right, top, bottom\)"),
    (lambda: nn.ReplicationPad3d((1, 2)), r"expected an integer from 0 or \(left, .*, back\)"),
    (lambda: nn.Unflatten(1, (2, -1, -1)), "Unflatten: dim=1, .*one of which may be -1"),
    (lambda: nn.Unflatten(1, ()), r"Unflatten: dim=1, unflattened_size=\(\), expected"),
    (lambda: nn.Unflatten(1.5, (2, 2)), "Unflatten: dim=1.5, .*expected an integer"),
    (
        lambda: nn.Unflatten(2, (2, 2))(ramp(2, 2)),
        r"Unflatten: dim=2, but input has shape \(2, 2\)",
    ),
    (lambda: nn.Unflatten(1, (3, -1))(ramp(2, 4)), r"has 4 elements, which do not make \(3, -1\)"),
    (lambda: nn.Unflatten(1, (2, 3))(ramp(2, 4)), r"has 4 elements, which do not make \(2, 3\)"),
    (lambda: nn.ZeroPad2d(1)(ramp(2, 2)), r"ZeroPad2d: input .*expected \(N, C, H, W\) or"),
]


@pytest.mark.parametrize(("action", "words"), ERRORS, ids=[words for _, words in ERRORS])
def test_each_mistake_is_one_clear_error(action: Callable[[], Any], words: str) -> None:
    with pytest.raises(GradproofError, match=words) as caught:
        action()
    assert isinstance(caught.value, ShapeError) or "momentum" in words


@pytest.mark.parametrize(
    "action",
    [
        lambda x: F.conv1d(x, x),
        lambda x: F.max_pool1d(x, 1),
        lambda x: F.layer_norm(x, 1),
        lambda x: F.interpolate(x, 2),
        lambda x: F.pad(x, (1, 1)),
        lambda x: F.local_response_norm(x, 1),
    ],
)
def test_integers_are_refused(action: Callable[[Tensor], Any]) -> None:
    with pytest.raises(DTypeError):
        action(gp.tensor(np.ones((1, 1, 1), np.int32)))
    with pytest.raises(DTypeError, match="expected a Tensor"):
        action(np.ones((1, 1, 1), np.float32))  # type: ignore[arg-type]


def test_a_layer_in_a_network_names_its_place() -> None:
    net = nn.Sequential(nn.Conv1d(2, 3, 3), nn.GroupNorm(3, 3), nn.ReflectionPad1d(4))
    with pytest.raises(ShapeError, match=r"^2 \(ReflectionPad1d\), axis 2: the padding before"):
        net(ramp(1, 2, 5))
