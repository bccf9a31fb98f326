"""The soak: its rule finds a leak and nothing else; a few seconds of it; models side by side."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import soak
from benchmarks.endurance import together, work
from benchmarks.endurance.flatness import BLOCKS, trend
from benchmarks.endurance.probes import Launches

ROOT = Path(__file__).resolve().parents[1]
LAUNCHES = range(1000, 401_000, 1000)
SMALL = ("demo", "demo")
EXACT = {"device_in_use", "buffers", "files", "python_threads"}
RECORDS = ROOT / "benchmarks" / "records"


# --- the rule ---


def test_what_stays_is_flat() -> None:
    found = trend(LAUNCHES, [7] * len(LAUNCHES))
    assert (found.slope, found.low, found.high, found.grows) == (0, 0, 0, False)


def test_the_smallest_leak_is_found() -> None:
    """One buffer of 4 KiB in 100 steps of 10 launches."""
    found = trend(LAUNCHES, [n // 1000 * 4096 for n in LAUNCHES])
    assert found.slope == found.low == found.high == 40_960 and found.grows


def test_a_leak_is_found_under_what_comes_and_goes() -> None:
    noise = random.Random(0)
    values = [n / 100 + noise.random() * 500 + noise.choice([0, 1e6]) for n in LAUNCHES]
    found = trend(LAUNCHES, values)
    assert found.grows and found.low < 100 < found.high


def test_noise_is_no_leak() -> None:
    """At 99 % on both sides, about one of 200 grows by chance."""
    noise = random.Random(1)
    grew = sum(trend(LAUNCHES, [noise.random() for _ in LAUNCHES]).grows for _ in range(200))
    assert grew <= 5


@pytest.mark.parametrize("at", [0.1, 0.3, 0.5, 0.7, 0.95])
def test_a_step_that_happens_once_is_no_leak(at: float) -> None:
    assert not trend(LAUNCHES, [1e9 + 5e6 * (n > at * 4e5) for n in LAUNCHES]).grows


def test_the_warm_up_does_not_count() -> None:
    assert not trend(LAUNCHES, [min(n, 100_000) for n in LAUNCHES]).grows


def test_too_few_samples_are_an_error() -> None:
    with pytest.raises(ValueError, match=f"expected at least {BLOCKS}"):
        trend([10, 20, 30], [1, 1, 1])
    with pytest.raises(ValueError, match="0 samples"):
        trend([], [])


# --- the run ---


def test_launches_are_counted_while_it_runs() -> None:
    import gradproof as gp

    count, x = Launches(), gp.tensor([1.0])
    with count.counted():
        gp.functional.relu(x)
    gp.functional.relu(x)
    assert count.count == 1


@pytest.fixture(scope="module")
def runs() -> dict[int, dict[str, object]]:
    """Without a leak, and with a buffer that is kept every fourth step."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(work, "SHAPES", work.SHAPES[::9])
        return {leak: soak.soak(0, 0, 48, leak, SMALL, say=lambda text: None) for leak in (0, 4)}


def test_memory_stays_flat(runs: dict[int, dict[str, object]]) -> None:
    found = runs[0]
    assert not EXACT & set(found["grows"]), found["trends"]  # type: ignore[call-overload]
    assert found["launches"] > 20 * found["cycles"] > 0  # type: ignore[operator]


def test_a_planted_leak_is_found(runs: dict[int, dict[str, object]]) -> None:
    assert {"device_in_use", "buffers"} <= set(runs[4]["grows"])  # type: ignore[call-overload]


def test_the_command_fails_where_something_grows(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    runs: dict[int, dict[str, object]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "soak.json"
    for leak, found in runs.items():
        judged = found | {"grows": ["buffers"] if leak else []}
        monkeypatch.setattr(soak, "soak", lambda *a, judged=judged, **k: judged)
        monkeypatch.setattr(sys, "argv", ["soak.py", "memory", "--json", str(out)])
        assert soak.main() == bool(leak)
        assert ("buffers grows" in capsys.readouterr().out) == bool(leak)
        assert json.loads(out.read_text("utf-8"))["kind"] == "memory"


# --- side by side ---


def test_models_in_threads_give_the_bits_of_each_alone() -> None:
    """Those that need little compiling: planned, recorded and eager, of both real types."""
    tasks, steps = [1, 3, 4, 5, 6, 7], 4
    alone = together.finished(together.start("alone", steps, tasks))
    assert len(set(alone)) == len(tasks)
    assert together.finished(together.start("threads", steps, tasks)) == alone


def test_a_process_that_fails_is_an_error() -> None:
    failing = [sys.executable, "-c", "raise SystemExit('no device')"]
    process = subprocess.Popen(failing, stdout=-1, stderr=-1, text=True)
    with pytest.raises(RuntimeError, match="ended with 1: no device"):
        together.finished(process)


def test_other_bits_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    same = [str(k) for k in range(len(together.TASKS))]
    found = {"alone": [same], "processes": [same], "threads": [["x", *same[1:]]]}
    monkeypatch.setattr(together, "compared", lambda steps, rounds: found)
    monkeypatch.setattr(sys, "argv", ["soak.py", "together"])
    assert soak.main() == 1
    assert "other bits in threads, round 1: task 0" in capsys.readouterr().out


# --- the records ---


def test_a_record_keeps_one_of_ten_samples_and_says_so() -> None:
    kept = soak.thinned({"cycles": 25, "samples": list(range(25))})
    assert kept["samples"] == [0, 10, 20] and kept["cycles"] == 25
    assert kept["samples_kept"].startswith("one of 10;")


def test_the_records_are_of_an_hour_and_of_eight_models() -> None:
    """The hour found growth of host memory, of 2 KB for 10,000 launches, and of nothing else."""
    (memory,) = RECORDS.glob("*-soak-memory.json")
    found = json.loads(memory.read_text("utf-8"))
    assert found["seconds"] >= 3600 and found["launches"] >= 1_000_000
    assert found["trends"].keys() >= EXACT | {"objects", "threads"}
    assert set(found["grows"]) <= {"resident", "blocks", "allocated"}
    assert found["trends"]["resident"]["high"] < 2200 and found["trends"]["blocks"]["high"] < 2.5
    (beside,) = RECORDS.glob("*-soak-together.json")
    found = json.loads(beside.read_text("utf-8"))
    assert len(found["alone"]) == 8 and found["rounds"] and not found["differing"]
