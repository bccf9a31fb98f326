"""The networks: shapes, sizes, initial values, the images that they refuse, and the summary."""

from __future__ import annotations

import math

import numpy as np
import pytest

import gradproof as gp
from gradproof.runtime import nn
from gradproof.runtime.errors import RunError, ShapeError
from gradproof.runtime.models import (
    MODELS,
    VGG,
    build_model,
    first_filters,
    resnet18,
    resnet20,
    vgg11,
)
from gradproof.runtime.models.vgg import VGG11
from gradproof.runtime.summary import summarize

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (2, 9, 13)]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_model_adapts_to_the_images(name: str, shape: tuple[int, int, int]) -> None:
    model = build_model(name, shape, 7).eval()
    images = gp.tensor(np.zeros((2, *shape), np.float32))
    assert model(images).shape == (2, 7)


@pytest.mark.parametrize(("name", "smallest"), [("demo", 2), ("lenet", 4)])
def test_the_smallest_images(name: str, smallest: int) -> None:
    images = gp.tensor(np.zeros((1, 1, smallest, smallest), np.float32))
    assert build_model(name, (1, smallest, smallest), 3).eval()(images).shape == (1, 3)
    for small in ((1, smallest - 1, 9), (1, 9, smallest - 1)):
        with pytest.raises(ShapeError, match=f"model {name}: images are .* at least {smallest} x"):
            build_model(name, small, 3)


def test_lenet_has_the_classic_sizes() -> None:
    rows = summarize(build_model("lenet", (1, 28, 28), 10), (1, 1, 28, 28))
    assert [row.output_shape[1:] for row in rows if row.kind in ("Conv2d", "MaxPool2d")] == [
        (6, 28, 28),
        (6, 14, 14),
        (16, 10, 10),
        (16, 5, 5),
    ]
    assert [row.parameters for row in rows if row.parameters] == [156, 2416, 48120, 10164, 850]


def test_the_seed_decides_the_parameters() -> None:
    states = []
    for seed in (1, 1, 2):
        gp.manual_seed(seed)
        states.append(build_model("demo", (1, 8, 8), 10).state_dict()["0.weight"])
    assert np.array_equal(states[0], states[1])
    assert not np.array_equal(states[0], states[2])


Shapes = dict[str, tuple[int, ...]]


def norm(name: str, channels: int) -> Shapes:
    vectors = ("weight", "bias", "running_mean", "running_var")
    shapes: Shapes = {f"{name}.{v}": (channels,) for v in vectors}
    return shapes | {f"{name}.num_batches_tracked": ()}


def block(name: str, before: int, planes: int) -> Shapes:
    shapes: Shapes = {f"{name}.conv1.weight": (planes, before, 3, 3)}
    shapes |= norm(f"{name}.bn1", planes)
    shapes |= {f"{name}.conv2.weight": (planes, planes, 3, 3)} | norm(f"{name}.bn2", planes)
    if before != planes:
        shapes |= {f"{name}.downsample.0.weight": (planes, before, 1, 1)}
        shapes |= norm(f"{name}.downsample.1", planes)
    return shapes


def residual(filters: tuple[int, ...], planes: list[int], blocks: int) -> Shapes:
    shapes = {"conv1.weight": filters} | norm("bn1", planes[0])
    before = planes[0]
    for stage, width in enumerate(planes, start=1):
        for k in range(blocks):
            shapes |= block(f"layer{stage}.{k}", before, width)
            before = width
    return shapes | {"fc.weight": (10, planes[-1]), "fc.bias": (10,)}


def shapes_of(model: nn.Module) -> Shapes:
    return {name: np.shape(value) for name, value in model.state_dict().items()}


def test_residual_networks_have_torchvisions_names_and_shapes() -> None:
    small = residual((16, 3, 3, 3), [16, 32, 64], 3)
    large = residual((64, 3, 7, 7), [64, 128, 256, 512], 2)
    assert list(shapes_of(resnet20()).items()) == list(small.items())
    assert list(shapes_of(resnet18(10)).items()) == list(large.items())
    assert sum(p.size for p in resnet18(1000).parameters()) == 11_689_512  # torchvision's table


CONVOLUTIONS = {"0": 64, "3": 128, "6": 256, "8": 256, "11": 512, "13": 512, "16": 512, "18": 512}
WITH_NORM = {"0": 64, "4": 128, "8": 256, "11": 256, "15": 512, "18": 512, "22": 512, "25": 512}


@pytest.mark.parametrize("batch_norm", [False, True])
def test_vgg_has_torchvisions_names_and_shapes(batch_norm: bool) -> None:
    expected: Shapes = {}
    channels = 3
    for place, width in (WITH_NORM if batch_norm else CONVOLUTIONS).items():
        expected |= {f"features.{place}.weight": (width, channels, 3, 3)}
        expected |= {f"features.{place}.bias": (width,)}
        expected |= norm(f"features.{int(place) + 1}", width) if batch_norm else {}
        channels = width
    for place, width, inputs in (("0", 8, 512 * 49), ("3", 8, 8), ("6", 5, 8)):
        expected |= {f"classifier.{place}.weight": (width, inputs)}
        expected |= {f"classifier.{place}.bias": (width,)}
    model = VGG(VGG11, batch_norm, num_classes=5, dropout=0.5, hidden=8)
    assert list(shapes_of(model).items()) == list(expected.items())


@pytest.mark.slow
def test_vgg11_has_torchvisions_size() -> None:
    assert sum(p.size for p in vgg11().parameters()) == 132_863_336  # torchvision's table


def test_initial_values_have_torchvisions_deviations() -> None:
    """The mean square of n values of N(0, s²) is s² within 6 s² sqrt(2/n)."""
    gp.manual_seed(4)
    plain = VGG(VGG11, False, num_classes=5, dropout=0.5, hidden=64)
    variances = {n: 2 / (p.shape[0] * 9) for n, p in plain.named_parameters() if p.ndim == 4}
    variances |= {n: 1e-4 for n, p in plain.named_parameters() if p.ndim == 2}
    residual = resnet20()
    downsample = {"layer2.0.downsample.0.weight": 2 / 32, "layer2.0.conv1.weight": 2 / (32 * 9)}
    for model, expected in ((plain, variances), (residual, downsample)):
        for name, p in model.named_parameters():
            if name in expected:
                found = float(np.mean(p.numpy().astype(np.float64) ** 2)) / expected[name]
                assert abs(found - 1) < 6 * math.sqrt(2 / p.size), name
            elif model is plain:
                assert not p.numpy().any(), name


@pytest.mark.parametrize("size", [112, pytest.param(32, marks=pytest.mark.slow)])
def test_vgg_takes_images_of_other_sizes(size: int) -> None:
    model = VGG(VGG11, False, num_classes=5, dropout=0.5, hidden=8).eval()
    images = gp.tensor(np.zeros((1, 3, size, size), np.float32))
    assert model(images).shape == (1, 5)


def test_errors_in_a_block_say_where() -> None:
    model = resnet20()
    with pytest.raises(ShapeError, match=r"conv1 \(Conv2d\)"):
        model(gp.tensor(np.zeros((1, 4, 32, 32), np.float32)))
    model.layer2[0].downsample = nn.Identity()
    with pytest.raises(ShapeError, match=r"\(2, 16, 32, 32\)|\(2, 32, 16, 16\)"):
        model(gp.tensor(np.zeros((2, 3, 32, 32), np.float32)))


@pytest.mark.parametrize("make", [resnet20, resnet18])
def test_no_classes_in_a_residual_network_is_an_error(make) -> None:
    with pytest.raises(ShapeError, match="num_classes=0, expected an integer from 1"):
        make(num_classes=0)


def test_an_unknown_model_is_an_error() -> None:
    with pytest.raises(RunError, match="model 'vgg': expected one of demo, lenet"):
        build_model("vgg", (1, 8, 8), 10)


def test_no_classes_is_an_error() -> None:
    with pytest.raises(ShapeError, match="0 classes"):
        build_model("demo", (1, 8, 8), 0)


def test_first_filters_need_a_convolution() -> None:
    with pytest.raises(RunError, match="no convolution"):
        first_filters(nn.Sequential(nn.Linear(2, 2)))


def test_a_summary_changes_nothing() -> None:
    model = build_model("demo", (1, 8, 8), 10)
    before = model.state_dict()
    rows = summarize(model, (4, 1, 8, 8))
    after = model.state_dict()
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert model.training
    assert sum(row.parameters for row in rows) == sum(p.size for p in model.parameters())


def test_a_summary_lists_nested_and_shared_layers() -> None:
    relu = nn.ReLU()
    model = nn.Sequential(nn.Sequential(nn.Linear(3, 2), relu), relu)
    assert [(row.name, row.output_shape) for row in summarize(model, (5, 3))] == [
        ("0.0", (5, 2)),
        ("0.1", (5, 2)),
        ("1", (5, 2)),
    ]


def test_a_summary_keeps_the_mode_after_an_error() -> None:
    model = build_model("demo", (1, 8, 8), 10)
    with pytest.raises(ShapeError):
        summarize(model, (4, 2, 8, 8))
    assert model.training
