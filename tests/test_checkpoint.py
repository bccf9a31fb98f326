"""Checkpoints: a run goes on bit for bit, and what is damaged or of another run is one error."""

from __future__ import annotations

import math
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradproof as gp
from gradproof.runtime import nn
from gradproof.runtime.checkpoint import (
    BEST,
    Checkpoint,
    CheckpointFolder,
    read_checkpoint,
    write_checkpoint,
)
from gradproof.runtime.data import Dataset, transforms
from gradproof.runtime.errors import DataError, RunError
from gradproof.runtime.optim import lr_scheduler
from gradproof.runtime.trainer import Trainer
from gradproof.runtime.training_state import capture, restore

ROOT = Path(__file__).resolve().parent.parent
SMALL = Checkpoint({"model/w": np.arange(6.0), "optimizer/0/v": np.ones(2)}, {"step": 3, "x": [1]})


# -- files ------------------------------------------------------------------------------------
def test_a_checkpoint_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_checkpoint(SMALL, path)
    found = read_checkpoint(path)
    assert found.state == SMALL.state and found.arrays.keys() == SMALL.arrays.keys()
    assert np.array_equal(found.part("model")["w"], np.arange(6.0))


def test_every_changed_byte_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_checkpoint(SMALL, path)
    content = path.read_bytes()
    for place in range(len(content)):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        try:
            found = read_checkpoint(path)
        except DataError as error:
            assert str(path) in str(error)
        else:  # a byte of the header that means nothing, as padding
            assert found.state == SMALL.state
            assert all(np.array_equal(found.arrays[n], a) for n, a in SMALL.arrays.items())


@pytest.mark.parametrize("length", [0, 1, 7, 8, 100, -1])
def test_a_truncated_file_is_an_error(tmp_path: Path, length: int) -> None:
    path = tmp_path / "a.safetensors"
    write_checkpoint(SMALL, path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DataError, match=r"a\.safetensors"):
        read_checkpoint(path)


def test_another_safetensors_file_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    gp.save({"w": np.ones(2)}, path)
    with pytest.raises(DataError, match="no checkpoint, expected a gradproof checkpoint 1"):
        read_checkpoint(path)


def test_the_last_and_the_best_are_kept(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path / "checkpoints", keep=2)
    for step in (1, 5, 20, 100_000_000):
        folder.add(Checkpoint({"model/w": np.full(1, step)}, {}), step, best=step == 5)
    assert [p.name for p in folder.steps()] == [
        "step-00000020.safetensors",
        "step-100000000.safetensors",
    ]
    assert folder.last().part("model")["w"] == 100_000_000
    assert read_checkpoint(folder.path / BEST).part("model")["w"] == 5


def test_a_full_disk_leaves_the_earlier_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = CheckpointFolder(tmp_path, keep=1)
    folder.add(SMALL, 1)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DataError, match="No space left on device"):
        folder.add(SMALL, 2)
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["step-00000001.safetensors"]
    assert folder.last().state == SMALL.state


def test_a_folder_of_checkpoints_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="checkpoints: keep=0, expected at least 1"):
        CheckpointFolder(tmp_path, keep=0)
    folder = CheckpointFolder(tmp_path / "none" / "checkpoints")
    assert folder.steps() == []
    with pytest.raises(DataError, match=r"checkpoints: cannot be made: .*No such file"):
        folder.add(SMALL, 1)


def test_a_damaged_last_one_names_the_one_before(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    with pytest.raises(RunError, match="has no checkpoint"):
        folder.last()
    for step in (1, 2):
        path = folder.add(SMALL, step)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match=r"remove it to go on from step-00000001.safetensors"):
        folder.last()
    path.unlink()
    assert folder.last().state == SMALL.state


# -- trainings --------------------------------------------------------------------------------
def few(count: int = 30) -> Dataset:
    d = gp.data.load_digits()
    return Dataset(
        "few", d.x_train[:count], d.y_train[:count], d.x_test[:9], d.y_test[:9], d.classes
    )


def training(classes: int = 10, optimizer: str = "sgd", plateau: bool = False) -> Trainer:
    """With everything that has a state: batch norm, dropout, momentum, a schedule, augmentation."""
    gp.manual_seed(7)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(0.25),
        nn.Flatten(),
        nn.Linear(4 * 64, classes),
    )
    params = list(model.parameters())
    groups = [{"params": params[:2], "lr": 0.05}, {"params": params[2:], "weight_decay": 0.01}]
    made: Any = {
        "sgd": lambda: gp.optim.SGD(groups, lr=0.1, momentum=0.9, dampening=0.1),
        "adam": lambda: gp.optim.Adam(groups, lr=0.01),
    }[optimizer]()
    scheduler: Any = (
        lr_scheduler.ReduceLROnPlateau(made, patience=0)
        if plateau
        else lr_scheduler.CosineAnnealingLR(made, 40)
    )
    transform = transforms.Compose([transforms.RandomCrop(8, 1), transforms.RandomHorizontalFlip()])
    return Trainer(
        model,
        made,
        nn.CrossEntropyLoss(),
        few(),
        batch_size=8,
        seed=3,
        scheduler=scheduler,
        transform=transform,
        clip_grad_norm=1.0,
    )


def decided(c: Checkpoint) -> tuple[Any, ...]:
    """All of a state but the times that were measured."""
    rows = [{n: v for n, v in row.items() if "second" not in n} for row in c.state["history"]]
    arrays = {n: a.tobytes() for n, a in c.arrays.items()}
    return arrays, {n: v for n, v in c.state.items() if n != "history"}, rows


def fitted(trainer: Trainer, epochs: int) -> tuple[Any, ...]:
    """The state after training; the generators are those of the process, so it is taken at once."""
    trainer.fit(epochs)
    return decided(capture(trainer))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("plateau", [False, True])
@pytest.mark.parametrize("stop", [1, 3, 4, 6])
def test_a_training_goes_on_bit_for_bit(
    tmp_path: Path, optimizer: str, plateau: bool, stop: int
) -> None:
    """Stopped after some steps, 4 of which are an epoch; written, read, and gone on with."""
    expected = fitted(training(10, optimizer, plateau), 3)
    first = training(10, optimizer, plateau)

    def at(trainer: Trainer) -> None:
        if trainer.progress.step == stop:
            trainer.stop()

    first.on_step = at
    first.fit(3)
    assert first.progress.step == stop
    write_checkpoint(capture(first), tmp_path / "a.safetensors")
    gp.manual_seed(99)  # what else ran meanwhile does not matter
    second = training(10, optimizer, plateau)
    restore(second, read_checkpoint(tmp_path / "a.safetensors"))
    assert decided(capture(second)) != expected
    assert fitted(second, 3 - len(second.history)) == expected


@pytest.mark.parametrize("left_out", ["generators", "batch", "mean"])
def test_what_is_left_out_shows(left_out: str) -> None:
    """Every part of the state decides something."""
    expected = fitted(training(), 2)
    first = training()
    first.on_step = lambda t: t.stop() if t.progress.step == 2 else None
    first.fit(2)
    checkpoint, fresh = capture(first), capture(training())
    state = dict(checkpoint.state) | {left_out: fresh.state[left_out]}
    second = training()
    restore(second, Checkpoint(checkpoint.arrays, state))
    assert fitted(second, 2) != expected


def test_another_model_is_refused() -> None:
    checkpoint = capture(training())
    with pytest.raises(DataError, match=r"(?s)does not fit.*wrong shape: 5.weight"):
        restore(training(classes=7), checkpoint)
    with pytest.raises(DataError, match=r"groups|parameter|betas"):
        restore(training(optimizer="adam"), checkpoint)
    with pytest.raises(DataError, match="not a state of a training: KeyError"):
        restore(training(), Checkpoint(checkpoint.arrays, {}))
    plain = training()
    plain.scheduler = None
    with pytest.raises(DataError, match=r"does not fit.*a schedule is there on one side only"):
        restore(plain, checkpoint)
    later = Checkpoint(checkpoint.arrays, dict(checkpoint.state) | {"batch": 5})
    with pytest.raises(DataError, match="does not fit this training: batch 5 of an epoch of 4"):
        restore(training(), later)


def test_early_stopping_and_its_state() -> None:
    trainer = training()
    trainer.early_stopping = 1
    trainer.progress.best = -math.inf  # nothing is better
    assert len(trainer.fit(5)) == 1
    assert trainer.stopped_early


def test_a_stop_before_fit_ends_it_at_once() -> None:
    trainer = training()
    trainer.stop()
    assert trainer.fit(2) == [] and trainer.progress.step == 0
    assert len(trainer.fit(1)) == 1  # it counted once


def test_a_stop_while_held_out_images_are_evaluated(tmp_path: Path) -> None:
    """The epoch's batches are not lost: going on begins with the evaluation."""
    expected = fitted(training(), 2)
    first, calls = training(), []

    def evaluated() -> None:
        calls.append(1)
        if len(calls) == 2:  # the second of two batches
            first.stop()
        first._check_stop()

    first._inference.before = evaluated
    first.fit(2)
    assert first.history == [] and (first.progress.batch, first.progress.step) == (4, 4)
    write_checkpoint(capture(first), tmp_path / "a.safetensors")
    second = training()
    restore(second, read_checkpoint(tmp_path / "a.safetensors"))
    assert fitted(second, 2) == expected


# -- processes --------------------------------------------------------------------------------
def bars(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (40, 8, 8), np.uint8), np.arange(40) % 3
    np.savez(folder / "bars.npz", x_train=x, y_train=y, x_test=x[:9], y_test=y[:9])
    return folder / "bars.npz"


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "gradproof", "train", *map(str, arguments), "--device", "cpu"]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def killed_until_done(first: tuple[object, ...], out: Path, seconds: float, most: int) -> int:
    """Start a run again and again, killed at most so often after up to `seconds`, until it ends;
    how often it was killed. SIGKILL and SIGTERM in turn."""
    kills = 0
    while True:
        resumable = any((out / "checkpoints").glob("step-*.safetensors"))
        if not resumable and out.exists():
            shutil.rmtree(out)  # killed before training began: nothing is lost
        process = start(*(("--resume", out) if resumable else first))
        if kills < most:
            try:
                process.wait(timeout=random.uniform(0, seconds))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGTERM if kills % 2 else signal.SIGKILL)
                kills += 1
        printed, _ = process.communicate(timeout=300)
        if process.returncode == 0:
            return kills
        assert process.returncode in (-signal.SIGKILL, -signal.SIGTERM, 130), printed


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_run_that_is_killed_at_20_moments_ends_as_if_it_was_not(tmp_path: Path) -> None:
    """The moments are drawn anew each time; there is a checkpoint after every step."""
    config = tmp_path / "run.toml"
    config.write_text(
        "[train]\nepochs = 120\nbatch_size = 8\n[checkpoints]\nevery = 1\n"
        "[data]\ncrop_padding = 1\nflip = true\n[schedule]\nname = 'cosine'\nwarmup = 2\n"
    )
    data, whole = bars(tmp_path), tmp_path / "whole"
    begin = time.monotonic()
    assert start(data, "--config", config, "--out", whole).wait(timeout=300) == 0
    seconds, kills, runs = (time.monotonic() - begin) / 2, 0, 0
    while kills < 20:
        out = tmp_path / f"killed-{runs}"
        first = (data, "--config", config, "--out", out)
        kills += killed_until_done(first, out, seconds, 20 - kills)
        runs += 1
        weights = [(path / "model.safetensors").read_bytes() for path in (whole, out)]
        assert weights[0] == weights[1]
        rows = [(path / "metrics.csv").read_text().splitlines() for path in (whole, out)]
        assert [r.split(",")[:8] for r in rows[0]] == [r.split(",")[:8] for r in rows[1]]
