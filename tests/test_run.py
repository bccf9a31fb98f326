"""Run folders: nothing is overwritten, what is written is read back, damage is one error."""

from __future__ import annotations

import csv
import dataclasses
import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import gradproof as gp
from gradproof.runtime.config import Config
from gradproof.runtime.errors import DataError, RunError, ShapeError
from gradproof.runtime.folders import in_turn, locked, new_folder
from gradproof.runtime.models import build_model
from gradproof.runtime.plots import plot_confusion, plot_curves, plot_filters
from gradproof.runtime.progress import EpochResult, GradientNorms
from gradproof.runtime.run import (
    CONFIG,
    GRADIENTS,
    METRICS,
    MODEL,
    RunConfig,
    RunFolder,
    versions,
)

ROOT = Path(__file__).resolve().parent.parent
CLASSES = ("zero", "one", "two")
CONFIGURATION = RunConfig(
    config=Config().changed("train", epochs=3).changed("optimizer", lr=0.01),
    image_shape=(1, 8, 8),
    classes=CLASSES,
    device="cpu",
    versions=versions(),
)
FIRST = EpochResult(1, 0.01, 1.5, 0.25, 0.75, 1.25, 0.5, 1.0, 2.0, 100.0)
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "run", CONFIGURATION)


def state(seed: int = 0) -> dict[str, Any]:
    gp.manual_seed(seed)
    return build_model("demo", (1, 8, 8), 3).state_dict()


def test_a_run_is_read_back(run: RunFolder) -> None:
    second = dataclasses.replace(FIRST, epoch=2, train_loss=0.1)
    run.add(FIRST, state(1))
    run.add(second, state(2))
    again = RunFolder.open(run.path)
    assert again.config == CONFIGURATION
    assert again.history() == [FIRST, second]
    loaded, expected = again.load_model().state_dict(), state(2)
    assert loaded.keys() == expected.keys()
    assert all(np.array_equal(loaded[name], expected[name]) for name in expected)


def test_metrics_are_written_as_training_goes(run: RunFolder) -> None:
    assert run.history() == []
    run.add(FIRST, state())
    with (run.path / METRICS).open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row == {name: str(value) for name, value in dataclasses.asdict(FIRST).items()}


def test_norms_are_read_back_and_go_on_with_the_epochs(run: RunFolder) -> None:
    rows = [GradientNorms(k, 3 * k - 2, {"0.weight": 0.1 * k, "0.bias": 2.0}) for k in (1, 2, 3)]
    for row in rows:
        run.add_norms(row)
    assert run.norms() == rows
    assert (run.path / GRADIENTS).read_text().splitlines()[0] == "epoch,step,0.weight,0.bias"
    run.go_on([FIRST], rows[:2])  # a checkpoint within the second epoch
    assert run.norms() == rows[:1]
    run.go_on([])
    assert not (run.path / GRADIENTS).exists()


def test_the_config_is_json_for_people_with_the_versions(run: RunFolder) -> None:
    values = json.loads((run.path / CONFIG).read_text())
    assert values["config"]["train"]["epochs"] == 3
    assert values["versions"]["numpy"] == np.__version__


def test_a_folder_with_content_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="is not empty; nothing was changed"):
        RunFolder.create(tmp_path, CONFIGURATION)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.write_text("mine")
    with pytest.raises(RunError, match="is a file"):
        RunFolder.create(path, CONFIGURATION)
    with pytest.raises(RunError, match="cannot be written"):
        RunFolder.create(path / "below", CONFIGURATION)
    assert path.read_text() == "mine"


def test_a_path_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="cannot be read"):
        RunFolder.create(tmp_path / ("n" * 300), CONFIGURATION)


def test_a_run_folder_that_cannot_be_made(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.write_text("mine")
    with pytest.raises(RunError, match="run: is a file"):
        new_folder(tmp_path, "a", out=path)
    with pytest.raises(RunError, match=r"below: cannot be written: .*Not a directory"):
        new_folder(tmp_path, "a", out=path / "below")
    assert path.read_text() == "mine"


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    assert RunFolder.create(tmp_path, CONFIGURATION).path == tmp_path


def test_the_next_free_name(tmp_path: Path) -> None:
    (tmp_path / "a-1").mkdir()
    (tmp_path / "a-2").write_text("")
    assert new_folder(tmp_path, "a") == tmp_path / "a-3"


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such folder"):
        RunFolder.open(tmp_path / "nothing")
    with pytest.raises(RunError, match=r"has no config\.json"):
        RunFolder.open(tmp_path)


def changed(**changes: Any) -> str:
    values = json.loads(CONFIGURATION.to_json()) | changes
    return json.dumps({name: value for name, value in values.items() if value is not ...})


def trained(**changes: Any) -> str:
    config = json.loads(CONFIGURATION.to_json())["config"]
    return changed(config=config | {"train": config["train"] | changes})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "Input data was truncated"),
        ("[1]", "Expected `object`, got `array`"),
        (changed(device=...), "missing required field `device`"),
        (changed(sed=1), "unknown field `sed`"),
        (trained(epochs="3"), r"Expected `int`, got `str` - at `\$.config.train.epochs`"),
        (trained(epochs=True), "Expected `int`, got `bool`"),
        (trained(epochs=0), "Expected `int` >= 1"),
        (trained(dtype="int32"), "Invalid enum value 'int32'"),
        (changed(image_shape=[8, 8]), "Expected `array` of length 3"),
        (changed(image_shape=[1, 0, 8]), r"image_shape is \[1, 0, 8\]"),
        (changed(classes=[1, 2]), r"Expected `str`, got `int` - at `\$.classes\[0\]`"),
        (changed(versions={"python": 3}), "Expected `str`, got `int`"),
        (changed(mean=[float("nan")]), "JSON is malformed"),
    ],
)
def test_a_damaged_config_is_named(run: RunFolder, text: str, message: str) -> None:
    (run.path / CONFIG).write_text(text)
    with pytest.raises(RunError, match=rf"config\.json: .*{message}"):
        RunFolder.open(run.path)


def test_a_config_that_is_no_text(run: RunFolder) -> None:
    (run.path / CONFIG).write_bytes(b"\xff\xfe")
    with pytest.raises(RunError, match=r"config\.json: "):
        RunFolder.open(run.path)


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_number_that_is_not_finite_is_refused(value: float) -> None:
    with pytest.raises(RunError, match="optimizer"):
        Config().changed("optimizer", lr=value)


def test_no_epoch_was_completed(run: RunFolder) -> None:
    with pytest.raises(RunError, match="no epoch was completed"):
        run.load_model()


def test_a_damaged_model_is_named(run: RunFolder) -> None:
    run.add(FIRST, state())
    file = run.path / MODEL
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"model\.safetensors"):
        run.load_model()


def test_a_model_of_another_run_is_named(run: RunFolder) -> None:
    run.add(FIRST, build_model("demo", (1, 8, 8), 4).state_dict())
    with pytest.raises(RunError, match=r"model\.safetensors: does not fit config\.json.*\n.*wrong"):
        run.load_model()


@pytest.mark.parametrize(
    "text", ["", "epoch,loss\n", f"{','.join(dataclasses.asdict(FIRST))}\n1,2\n"]
)
def test_damaged_metrics_are_named(run: RunFolder, text: str) -> None:
    (run.path / METRICS).write_text(text)
    with pytest.raises(RunError, match=r"metrics\.csv: cannot be read"):
        run.history()


def test_a_save_that_fails_keeps_the_epoch_before(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.add(FIRST, state(1))

    def full(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(RunError, match="no space left"):
        run.add(dataclasses.replace(FIRST, epoch=2), state(2))
    assert run.history() == [FIRST]
    assert np.array_equal(run.load_state()["0.weight"], state(1)["0.weight"])


def test_the_curves_are_drawn(tmp_path: Path) -> None:
    path = tmp_path / "curves.png"
    plot_curves([FIRST, dataclasses.replace(FIRST, epoch=2, train_loss=0.0)], path, "demo")
    assert path.read_bytes().startswith(PNG)
    with pytest.raises(RunError, match="no complete epoch"):
        plot_curves([], path)
    with pytest.raises(RunError, match="cannot be written"):
        plot_curves([FIRST], tmp_path / "nothing" / "curves.png")


@pytest.mark.parametrize("shape", [(6, 1, 5, 5), (16, 3, 3, 3), (2, 2, 3, 3), (1, 1, 1, 1)])
@pytest.mark.parametrize("scale", [0.0, 3.0])
def test_the_filters_are_drawn(tmp_path: Path, shape: tuple[int, ...], scale: float) -> None:
    path = tmp_path / "filters.png"
    weight = np.random.default_rng(0).normal(size=shape).astype(np.float32) * scale
    plot_filters(weight, -weight, path)
    assert path.read_bytes().startswith(PNG)


def test_filters_of_two_shapes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ShapeError, match="expected one shape"):
        plot_filters(np.zeros((1, 1, 3, 3)), np.zeros((2, 1, 3, 3)), tmp_path / "filters.png")


# -- one process at a time, and what a killed one leaves --------------------------------------
def test_a_folder_is_held_by_one_process(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from gradproof.runtime.folders import locked\n"
        "from gradproof.runtime.errors import RunError\n"
        "try:\n  with locked(Path(sys.argv[1])): print('free')\n"
        "except RunError as error: print(error)"
    )

    def other() -> str:
        command = [sys.executable, "-c", code, str(tmp_path)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True).stdout

    with locked(tmp_path):
        assert "in use by another process; nothing was changed" in other()
    assert other() == "free\n"


def test_a_folder_that_is_not_there_is_not_held(tmp_path: Path) -> None:
    with (
        pytest.raises(RunError, match=r"run folder .*none: cannot be opened"),
        locked(tmp_path / "none"),
    ):
        pytest.fail("it was entered")


@pytest.mark.parametrize("how", ["no module", "no locks"])
def test_without_locks_nothing_is_held(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on Windows, and on a network drive."""

    def refused(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    if how == "no module":
        monkeypatch.setitem(sys.modules, "fcntl", None)
    else:
        monkeypatch.setattr("fcntl.flock", refused)
    entered = []
    with locked(tmp_path), locked(tmp_path):
        entered.append("locked")
    with in_turn(tmp_path), in_turn(tmp_path):
        entered.append("in turn")
    assert entered == ["locked", "in turn"]


def test_what_a_killed_process_left_is_removed(run: RunFolder) -> None:
    (run.path / "checkpoints").mkdir()
    for left in (".model.safetensors-a1b2c3d4", "checkpoints/.step-00000001.safetensors-x_y_z_1_"):
        (run.path / left).mkdir()
        (run.path / left / "part").write_bytes(b"half")
    (run.path / ".mine").mkdir()
    run.go_on([FIRST])
    assert not [p for p in run.path.rglob(".*") if p.name != ".mine"]
    assert run.history() == [FIRST]


def test_a_full_disk_leaves_config_and_metrics(
    run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.go_on([FIRST])
    before = {p.name: p.read_bytes() for p in run.path.iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="No space left"):
        run.go_on([])
    monkeypatch.undo()
    assert before == {p.name: p.read_bytes() for p in run.path.iterdir()}


def test_a_matrix_of_other_classes_is_refused(tmp_path: Path) -> None:
    message = r"matrix of shape \(2, 3\) for 2 classes, expected \(2, 2\)"
    with pytest.raises(ShapeError, match=message):
        plot_confusion(np.zeros((2, 3), np.int64), ("a", "b"), tmp_path / "c.png")
    assert not (tmp_path / "c.png").exists()


def test_a_rare_mistake_can_be_seen(tmp_path: Path) -> None:
    """1 of 100 is darker than none, by more than the least that a screen shows."""
    matrix = np.diag([100] * 21)
    plot_confusion(matrix, [str(k) for k in range(21)], tmp_path / "none.png")
    matrix[0, :2] = 99, 1
    plot_confusion(matrix, [str(k) for k in range(21)], tmp_path / "one.png")
    none, one = (
        np.asarray(Image.open(tmp_path / f"{name}.png").convert("L"), np.int16)
        for name in ("none", "one")
    )
    assert none.shape == one.shape
    side = none.shape[0] // 30  # less than a cell
    darker = (none - one) > 4
    assert darker.sum() > side * side / 2
