"""From a config to what trains: tables, their errors, groups, schedules and transforms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradproof as gp
from gradproof.runtime import config, recipe
from gradproof.runtime.config import Config, load_config
from gradproof.runtime.data import Dataset, load_digits
from gradproof.runtime.data.draws import Draws
from gradproof.runtime.errors import DataError, RunError
from gradproof.runtime.meta import meta
from gradproof.runtime.metrics import Mean, among_largest, confusion_matrix
from gradproof.runtime.models import MODELS
from gradproof.runtime.optim import SGD, Adam, AdamW
from gradproof.runtime.optim.lr_scheduler import ReduceLROnPlateau


def rates(schedule: config.Schedule, epochs: int, batches: int) -> list[float]:
    model = recipe.make_model(config.Model(), load_digits(), "float32")
    optimizer = recipe.make_optimizer(model, config.Optimizer(), 1.0)
    made: Any = recipe.make_schedule(optimizer, schedule, epochs, batches)
    found = []
    for _ in range(epochs * batches):
        found.append(round(optimizer.lr, 6))
        if made is not None:
            made.step()
    return found


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({}, [1.0] * 8),
        ({"name": "step", "step_size": 2, "gamma": 0.5}, [1.0] * 4 + [0.5] * 4),
        ({"name": "multi-step", "milestones": (1, 3), "gamma": 0.5}, [1, 1, 0.5, 0.5, 0.5, 0.5]),
        ({"warmup": 1}, [0.1, 0.55, 1.0, 1.0]),
        ({"name": "multi-step", "milestones": (3,), "warmup": 1}, [0.1, 0.55, 1, 1, 1, 1, 0.1]),
        ({"name": "cosine", "warmup": 2}, [0.1, 0.325, 0.55, 0.775, 1.0]),
    ],
)
def test_a_schedule_counts_epochs_from_the_start(
    table: dict[str, Any], expected: list[float]
) -> None:
    assert rates(config.Schedule(**table), 4, 2)[: len(expected)] == expected


def test_a_cosine_ends_at_its_minimum() -> None:
    found = rates(config.Schedule(name="cosine", minimum=0.25), 5, 3)
    assert found == sorted(found, reverse=True)
    assert found[0] == 1.0 and 0.25 < found[-1] < 0.27


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"name": "plateau", "warmup": 1}, "plateau has no warm-up"),
        ({"warmup": 4}, "schedule.warmup = 4: expected fewer than 4 epochs"),
    ],
)
def test_a_wrong_schedule_is_an_error(table: dict[str, Any], message: str) -> None:
    with pytest.raises(RunError, match=message):
        rates(config.Schedule(**table), 4, 2)


def test_weight_decay_has_exclusions() -> None:
    model = recipe.make_model(config.Model(), load_digits(), "float32")
    table = config.Optimizer(weight_decay=0.5, no_decay=("bias", "norm"))
    groups = recipe.make_optimizer(model, table, 0.1).param_groups
    assert [g["weight_decay"] for g in groups] == [0.5, 0.0]
    assert all(p.ndim > 1 for p in groups[0]["params"])
    assert all(p.ndim == 1 for p in groups[1]["params"])
    assert sum(len(g["params"]) for g in groups) == len(list(model.parameters()))
    plain = recipe.make_optimizer(model, config.Optimizer(no_decay=("bias",)), 0.1)
    assert len(plain.param_groups) == 1


@pytest.mark.parametrize(("name", "kind"), [("sgd", SGD), ("adam", Adam), ("adamw", AdamW)])
def test_the_optimizer_is_the_one_named(name: Any, kind: type) -> None:
    model = recipe.make_model(config.Model(), load_digits(), "float32")
    assert type(recipe.make_optimizer(model, config.Optimizer(name=name), 0.1)) is kind


def test_a_plateau_lowers_the_rate_by_gamma() -> None:
    model = recipe.make_model(config.Model(), load_digits(), "float32")
    optimizer = recipe.make_optimizer(model, config.Optimizer(), 1.0)
    table = config.Schedule(name="plateau", gamma=0.25, patience=0, minimum=0.1)
    schedule = recipe.make_schedule(optimizer, table, 4, 2)
    assert isinstance(schedule, ReduceLROnPlateau)
    found = []
    for loss in (1.0, 1.0, 1.0, 1.0):
        schedule.step(loss)
        found.append(optimizer.lr)
    assert found == [1.0, 0.25, 0.1, 0.1]


def test_crops_are_of_squares() -> None:
    x, y = np.zeros((1, 1, 4, 6), np.float32), np.zeros(1, np.int32)
    with pytest.raises(RunError, match="images are 4 x 6, expected squares"):
        recipe.make_transforms(
            config.Data(crop_padding=1), Dataset("toy", x, y, x, y, ("a",)), None
        )


def test_every_model_has_a_usual_rate() -> None:
    assert all(0 < recipe.usual_rate(name) < 1 for name in MODELS)
    with pytest.raises(RunError, match="model 'vgg'"):
        recipe.usual_rate("vgg")


def test_dropout_is_set_where_there_is_some() -> None:
    x, y = np.zeros((1, 3, 32, 32), np.float32), np.zeros(1, np.int32)
    with meta():
        model = recipe.make_model(
            config.Model(name="vgg11", dropout=0.25), Dataset("toy", x, y, x, y, ("a",)), "float32"
        )
    found = [m.p for m in model.modules() if isinstance(m, gp.nn.Dropout)]
    assert found and set(found) == {0.25}
    with pytest.raises(RunError, match=r"model.dropout = 0.5: demo has no dropout"):
        recipe.make_model(config.Model(dropout=0.5), load_digits(), "float32")


def test_held_out_images_are_normalised_and_not_augmented() -> None:
    table = config.Data(crop_padding=1, flip=True, normalize=True)
    data = load_digits()
    normal = recipe.statistics(table, data)
    train, test = recipe.make_transforms(table, data, normal)
    assert train is not None and test is not None and normal is not None
    x = np.asarray(data.x_test[:5])
    mean, std = (np.float32(v)[None, :, None, None] for v in normal)
    assert np.array_equal(test(x, Draws(5, [0])), (x - mean) / std)
    assert train(x, Draws(5, [0])).shape == x.shape
    assert recipe.make_transforms(config.Data(), data, None) == (None, None)


# -- the tables -------------------------------------------------------------------------------
def test_a_file_changes_what_it_names(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text("tensorboard = true\n[train]\nepochs = 3\n[optimizer]\nlr = 1\n")
    found = load_config(path)
    assert (found.train.epochs, found.optimizer.lr, found.tensorboard) == (3, 1.0, True)
    assert found.model == config.Model()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[train", "no TOML"),
        ("[train]\nepoch = 3", r"unknown field `epoch` - at `\$.train`"),
        ("[train]\nepochs = '3'", r"Expected `int`, got `str` - at `\$.train.epochs`"),
        ("[optimizer]\nlr = nan", "optimizer.lr|lr is nan"),
        ("[optimizer]\nname = 'lion'", "Invalid enum value 'lion'"),
        ("[schedule]\nmilestones = [0]", r"milestones\[0\]"),
    ],
)
def test_a_wrong_file_is_one_error(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "run.toml"
    path.write_text(text)
    with pytest.raises(RunError, match=rf"run.toml: .*({message})"):
        load_config(path)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot be read"):
        load_config(tmp_path / "no.toml")


def test_a_config_is_changed_table_by_table() -> None:
    assert Config().changed("optimizer", lr=0.5, momentum=None).optimizer.momentum == 0.9


# -- metrics ----------------------------------------------------------------------------------
def test_top_5_counts_labels_among_the_five_largest() -> None:
    logits = np.arange(20.0).reshape(2, 10)
    labels = np.array([5, 4])
    assert among_largest(logits, labels, 5).tolist() == [True, False]
    assert not among_largest(np.full((1, 3), np.nan), np.array([0]), 5).any()
    mean = Mean()
    mean.add(1.0, logits, labels)
    again = Mean()
    again.load_state_dict(mean.state_dict())
    assert (again.top5, again.accuracy, again.loss) == (0.5, 0.0, 1.0)


def test_a_confusion_matrix_has_labels_by_rows() -> None:
    found = confusion_matrix(np.array([0, 0, 2]), np.array([1, 0, 2]), 4)
    assert found.tolist() == [[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]


# -- what a file may hold ---------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[optimizer]\nname = 'lion'",
            r"at `\$.optimizer.name`; expected adam, adamw, sgd",
        ),
        ("[optimizer]\nno_decay = ['bia']", r"no_decay\[0\]`; expected bias, norm"),
        ("[schedule]\nname = 'cosin'", "expected constant, cosine, multi-step, plateau, step"),
        ("[trian]\nepochs = 1", "`trian`; expected checkpoints, data, model, optimizer, schedule"),
        ("[train]\nepoch = 1", "`epoch` .*; expected accumulate, batch_size"),
        ("[optimizer]\nname = 'adam'\nmomentum = 0.5", "momentum has no effect .* only with 'sgd'"),
        ("[optimizer]\neps = 1e-3", "eps has no effect .* only with 'adam' and 'adamw'"),
        ("[schedule]\nname = 'cosine'\npatience = 3", "patience has no effect"),
        ("[schedule]\nname = 'multi-step'", "milestones are missing"),
        ("[model]\nnew = ['fc']", "new has no effect without weights"),
        ("[optimizer]\nlr = nan", ">= 0.0"),
        ("[train]\nclip_grad_norm = inf", "clip_grad_norm is inf, expected a finite number"),
        ("[train]\nepochs = -1", ">= 1"),
        ("train = 3", "Expected `object`, got `int`"),
        ("a = " + "[" * 100_000, "nested too deeply"),
        ("\0", "no TOML"),
    ],
)
def test_a_wrong_config_is_one_error_that_lists_what_may_be(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "run.toml"
    path.write_text(text)
    with pytest.raises(RunError, match=rf"run\.toml: (.|\n)*{message}"):
        load_config(path)


@pytest.mark.parametrize("text", ["", "# " + "x" * 10_000_000, "\ufeff[train]\nepochs = 10\n"])
def test_nothing_a_long_comment_or_a_byte_order_mark_are_the_defaults(
    tmp_path: Path, text: str
) -> None:
    path = tmp_path / "run.toml"
    path.write_text(text, "utf-8")
    assert load_config(path) == Config()


def test_training_begins_with_the_weights_of_a_file(tmp_path: Path) -> None:
    gp.manual_seed(1)
    theirs = recipe.make_model(config.Model(), load_digits(), "float32").state_dict()
    for name in ("a.npz", "a.safetensors"):
        gp.save(theirs, tmp_path / name)
        table = config.Model(weights=str(tmp_path / name), new=("8",))
        model = recipe.make_model(table, load_digits(), "float32")
        before = model.state_dict()
        recipe.load_weights(model, table)
        for key, value in model.state_dict().items():
            expected = before[key] if key.startswith("8.") else theirs[key]
            assert np.array_equal(value, expected)
    lenet = recipe.make_model(config.Model(name="resnet20"), load_digits(), "float32")
    with pytest.raises(DataError, match=r"(?s)a\.npz: does not fit resnet20.*model\.new"):
        recipe.load_weights(lenet, config.Model(name="resnet20", weights=str(tmp_path / "a.npz")))
    with pytest.raises(RunError, match="'9' is no layer or parameter of demo"):
        recipe.load_weights(model, config.Model(weights=str(tmp_path / "a.npz"), new=("9",)))
