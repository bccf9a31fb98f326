"""The two networks: their shapes, their sizes, the images that they refuse, and the summary."""

from __future__ import annotations

import numpy as np
import pytest

import gradproof as gp
from gradproof.runtime import nn
from gradproof.runtime.errors import RunError, ShapeError
from gradproof.runtime.models import MODELS, build_model, first_filters
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
