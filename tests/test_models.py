"""The networks: shapes, sizes, initial values, the images that they refuse, and the summary."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest

import gradproof as gp
from gradproof.runtime import nn
from gradproof.runtime.cost import cost
from gradproof.runtime.errors import GradproofError, RunError, ShapeError
from gradproof.runtime.meta import meta
from gradproof.runtime.models import (
    MODELS,
    VGG,
    build_model,
    first_filters,
    resnet18,
    resnet20,
)
from gradproof.runtime.models.vgg import VGG11
from gradproof.runtime.summary import summarize

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (2, 9, 13)]


@pytest.mark.parametrize("name", ["demo", "lenet"])
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


TORCHVISION = json.loads((Path(__file__).parent / "torchvision.json").read_text())["models"]


def digest(model: nn.Module) -> str:
    lines = (f"{name} {list(value.shape)}" for name, value in model._state())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


@pytest.mark.parametrize("name", TORCHVISION)
def test_names_and_shapes_are_torchvisions(name: str) -> None:
    with meta():
        model = getattr(gp.models, name)()
    found = {
        "parameters": sum(p.size for p in model.parameters()),
        "entries": len(list(model._state())),
        "sha256": digest(model),
    }
    assert found == TORCHVISION[name]


def test_another_shape_or_order_has_another_digest() -> None:
    with meta():
        models = [gp.models.resnet18(), gp.models.resnet18(in_channels=1), gp.models.resnet34()]
    assert len({digest(m) for m in models}) == 3


@pytest.mark.parametrize("blocks", [3, 5, 7, 9, 18])
def test_small_residual_networks_have_the_papers_layers(blocks: int) -> None:
    """6n + 2 layers: convolutions but for the shortcuts', and one linear layer."""
    with meta():
        model = getattr(gp.models, f"resnet{6 * blocks + 2}")()
    weights = [n for n, p in model.named_parameters() if p.ndim > 1 and "downsample" not in n]
    assert len(weights) == 6 * blocks + 2
    assert model.fc.weight.shape == (10, 64)


def test_every_network_takes_its_images_and_others() -> None:
    for name, entry in MODELS.items():
        channels = entry.image_shape[0]
        side = max(entry.smallest, 5)
        for shape in (entry.image_shape, (channels + 1, side, side + 3)):
            with meta():
                model = build_model(name, shape, 3)
            assert summarize(model, (2, *shape))[-1].output_shape == (2, 3), (name, shape)


def test_too_small_images_are_refused_with_the_smallest() -> None:
    for name, entry in MODELS.items():
        channels, side = entry.image_shape[0], entry.smallest
        if side > 1:
            with pytest.raises(ShapeError, match=f"model {name}: images are .* {side} x {side}"):
                build_model(name, (channels, side, side - 1), 3)


def test_a_model_without_memory_cannot_run() -> None:
    with meta():
        layer = nn.Linear(2, 2)
    with pytest.raises(GradproofError, match="made without memory"):
        layer(gp.tensor([[1.0, 2.0]])).numpy()
    with pytest.raises(GradproofError, match="made without memory"):
        layer.state_dict()


# multiply-adds of one image in billions, from torchvision's table; it leaves out all but products
BILLIONS = {"alexnet": 0.71, "vgg16": 15.47, "resnet18": 1.81, "resnet50": 4.09, "resnet152": 11.51}


@pytest.mark.parametrize("name", BILLIONS)
def test_operations_are_those_of_torchvisions_table(name: str) -> None:
    with meta():
        model = getattr(gp.models, name)()
    assert cost(model, (1, 3, 224, 224)).flops / 2e9 == pytest.approx(BILLIONS[name], rel=0.02)


def test_activations_are_counted_once_each() -> None:
    """Kept are what ReLU takes, and what it gives, which both layers after it read."""

    class Fork(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.left, self.right = (nn.Linear(4, 4) for _ in range(3))

        def forward(self, input: gp.Tensor) -> gp.Tensor:
            hidden = gp.functional.relu(self.first(input))
            return self.left(hidden) + self.right(hidden)

    model = Fork()
    assert cost(model, (2, 4)).activation_bytes == 2 * 2 * 4 * 4
    assert cost(model, (6, 4)).activation_bytes == 3 * cost(model, (2, 4)).activation_bytes
    assert cost(model.to("float64"), (2, 4)).activation_bytes == 2 * 2 * 4 * 8


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
    with pytest.raises(RunError, match="model 'vgg': expected one of demo, lenet, alexnet, vgg11"):
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
