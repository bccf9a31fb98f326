"""What `gradproof bench` says, writes and refuses; the times themselves are not tested."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradproof.cli import bench, record, steps
from gradproof.runtime.device import choose
from gradproof.runtime.errors import GradproofError, RunError


def test_a_record_is_never_overwritten(tmp_path: Path) -> None:
    written = [record.write({"date": "2030-01-02", "k": k}, tmp_path, choose()) for k in range(3)]
    assert [json.loads(p.read_text("utf-8"))["k"] for p in written] == [0, 1, 2]
    assert all(p.name.startswith("2030-01-02-") for p in written)


def test_more_threads_than_cores_are_refused() -> None:
    if not record.usable_cores(1):
        pytest.skip("the system cannot pin a process")
    with pytest.raises(GradproofError, match="10000 threads, but"):
        record.usable_cores(10_000)


def test_a_failed_measurement_says_why() -> None:
    with pytest.raises(RunError, match=r"startup failed:\n(.|\n)*no device matches 'nothing'"):
        bench._child("startup", {"device": "nothing", "cores": []}, {})


def test_recorded_steps_are_checked_like_eager_ones() -> None:
    _, batches = steps._digits()
    initial = steps._initial_state()
    expected = steps._after(steps.ours(None, initial), batches)
    assert (
        steps._error(steps._after(steps.ours(None, initial, recorded=True), batches), expected) == 0
    )
    wrong = expected | {"8.bias": expected["8.bias"] * np.float32(1.001)}
    assert steps._error(wrong, expected) > steps.ALLOWED


def test_a_wrong_side_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    right = steps.ours

    def wrong(*args: Any, recorded: bool = False, **options: Any) -> steps.Side:
        side = right(*args, recorded=recorded, **options)
        if recorded:
            side.parameters = lambda p=side.parameters: {n: 2 * v for n, v in p().items()}
        return side

    monkeypatch.setattr(steps, "ours", wrong)
    monkeypatch.setattr(steps, "find_spec", lambda name: None)
    with pytest.raises(ArithmeticError, match="gradproof, recorded: error"):
        steps.speed(None, rounds=1, threads=1)


def test_without_pytorch_only_ours_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steps, "find_spec", lambda name: None)
    digits = steps._digits()
    monkeypatch.setattr(steps, "_digits", lambda: (digits[0], [*digits[1][:4], digits[1][-1]]))
    measured = steps.speed(None, rounds=2, threads=1)
    assert set(measured["seconds"]) == {"gradproof, eager", "gradproof, recorded"}
    assert measured["notes"] == ["PyTorch is not installed: only gradproof was measured"]
    summary = bench.summarise(measured)
    assert summary["faster_than_pytorch"] == {}
    assert all(side["images_per_second"] > 0 for side in summary["sides"].values())
