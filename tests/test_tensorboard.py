"""Metrics for TensorBoard. The library is optional: here a writer that keeps what it is given."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gradproof.runtime.errors import RunError
from gradproof.runtime.progress import EpochResult
from gradproof.runtime.tensorboard import EventWriter, event_writer

RESULT = EpochResult(3, 0.1, 0.5, 0.75, 0.9, 0.25, 0.875, 1.0, 1.5, 64.0)


class Writer:
    """As tensorboardX's SummaryWriter, on a disk that may be full."""

    full = False

    def __init__(self, folder: str) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        self.folder, self.scalars, self.flushed = folder, dict[Any, float](), 0

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        self.scalars[tag, step] = value

    def flush(self) -> None:
        if self.full:
            raise OSError(28, "No space left on device")
        self.flushed += 1


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch) -> type[Writer]:
    kind = type("Kept", (Writer,), {})
    monkeypatch.setitem(sys.modules, "tensorboardX", SimpleNamespace(SummaryWriter=kind))
    return kind


@pytest.mark.usefixtures("writer")
def test_every_field_of_an_epoch_is_a_scalar(tmp_path: Path) -> None:
    events = EventWriter(tmp_path)
    events.add(RESULT)
    made = events._writer
    assert made.folder == str(tmp_path) and made.flushed == 1
    assert {step for _, step in made.scalars} == {3}
    found = {tag: value for (tag, _), value in made.scalars.items()}
    fields = {n: getattr(RESULT, n) for n in RESULT.__dataclass_fields__ if n != "epoch"}
    assert sorted(found.values()) == sorted(fields.values())
    assert {"train/loss", "train/accuracy", "test/loss", "test/accuracy"} < found.keys()
    assert found["test/accuracy"] == RESULT.test_accuracy


def test_a_disk_that_is_full_is_one_error(writer: type[Writer], tmp_path: Path) -> None:
    message = r"run folder .*: TensorBoard's file cannot be written: .*No space left"
    events = EventWriter(tmp_path)
    writer.full = True
    with pytest.raises(RunError, match=message):
        events.add(RESULT)
    with pytest.raises(RunError, match=message):
        EventWriter(tmp_path)


def test_without_the_library_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(RunError, match="tensorboardX is missing; pip install tensorboardX"):
        event_writer()
