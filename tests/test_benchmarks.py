"""Statistics, order of runs, checks and records of `benchmarks`; no time is judged."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.measure import contest as contests
from benchmarks.measure import environment, picture, report, rows, scaling
from benchmarks.measure.interleave import fastest, interleave, median_ratio
from benchmarks.measure.layers import Conv, three
from benchmarks.measure.probe import Probe, Probes

ROOT = Path(__file__).resolve().parent.parent


class Clock:
    """Time that passes only where a side spends it."""

    def __init__(self) -> None:
        self.now, self.log = 0.0, ""

    def __call__(self) -> float:
        return self.now

    def side(self, name: str, *seconds: float) -> Callable[[], None]:
        """A run that takes each of these times in turn, the last one from then on."""
        left = list(seconds)

        def run() -> None:
            self.log += name
            self.now += left.pop(0) if len(left) > 1 else left[0]

        return run


def test_sides_take_turns_after_an_untimed_run() -> None:
    clock = Clock()
    sides = {"a": clock.side("a", 9.0, 1.0), "b": clock.side("b", 9.0, 2.0)}
    found = interleave(sides, rounds=3, slice_seconds=2.0, clock=clock)
    calibration, one_round = "aabb", "aaa" + "bb"  # one untimed, then as many as fill the slice
    assert clock.log == calibration + 3 * one_round
    assert found == {"a": [1.0] * 3, "b": [2.0] * 3}


def test_the_first_run_of_a_turn_is_not_timed() -> None:
    clock = Clock()
    cold = clock.side("a", 5.0, 1.0, 5.0, 1.0, 5.0, 1.0)
    assert interleave({"a": cold}, 2, slice_seconds=1.0, clock=clock) == {"a": [1.0, 1.0]}


def test_a_ratio_is_the_median_of_pairs_not_the_ratio_of_medians() -> None:
    theirs, ours = [4.0, 4.0, 40.0], [1.0, 8.0, 20.0]
    assert median_ratio(theirs, ours) == 2.0 != 4.0 / 8.0
    with pytest.raises(ValueError, match="shorter"):
        median_ratio(theirs, ours[:2])
    assert fastest({"slow once": [1.0, 1.0, 99.0], "even": [2.0, 2.0, 2.0]}) == "slow once"


def test_a_row_takes_the_best_of_pytorch_and_the_roof_of_the_same_rounds() -> None:
    row = rows.Row("z", flops=6.0, bytes=8.0, roof="fma")
    seconds = {
        rows.OURS: [1.0, 2.0, 2.0],
        "NCHW": [9.0, 9.0, 9.0],
        "channels_last": [3.0, 4.0, 8.0],
        rows.PROBE: [1.0, 1.0, 2.0],
    }
    rows.fill(row, seconds, Probe(lambda: None, work=12.0))
    assert (row.ours_ms, row.best, row.ratio) == (2000.0, "channels_last", 3.0)
    assert row.torch_ms == {"NCHW": 9000.0, "channels_last": 4000.0}
    # ideal: 6 of 12 operations in [1, 1, 2] s, that is [0.5, 0.5, 1]
    assert (row.fraction, row.torch_fraction) == (0.5, 0.125)
    memory = rows.Row("z", flops=6.0, bytes=8.0, roof="bandwidth at 2 MiB")
    rows.fill(memory, seconds, Probe(lambda: None, work=16.0))
    assert memory.fraction == 0.5


def test_without_pytorch_a_row_has_no_ratio() -> None:
    row = rows.Row("z")
    rows.fill(row, {rows.OURS: [1.0]})
    assert (row.ours_ms, row.ratio, row.best, row.torch_ms) == (1000.0, None, None, {})


def probes(fma: float = 100.0, bandwidth: float = 10.0) -> Probes:
    idle = Probe(lambda: None, work=1.0)
    found = Probes(idle, idle, {2**21: idle})
    found.rates = {"fma": fma, "bandwidth at 2 MiB": bandwidth}
    return found


def test_the_roof_is_what_takes_longer() -> None:
    assert rows.roof_of(contest(flops=1000.0, bytes=10.0), probes())[0] == "fma"
    assert rows.roof_of(contest(flops=10.0, bytes=10.0), probes())[0] == "bandwidth at 2 MiB"


class Doubles:
    """A job that doubles x. Wrong ones scale otherwise, or leave what was there."""

    def __init__(self, arrays: contests.Arrays, factor: float = 2.0, idle: bool = False) -> None:
        self.x, self.factor, self.idle = arrays["x"], factor, idle
        self.z = 2.0 * self.x

    def put(self, arrays: contests.Arrays) -> None:
        self.x = arrays["x"]
        if self.idle:
            self.z = 2.0 * self.x  # what a run would have written: only the poison shows it

    def poison(self) -> None:
        self.z = np.full_like(self.x, np.nan)

    def run(self) -> None:
        if not self.idle:
            self.z = self.factor * self.x

    def get(self) -> dict[str, Any]:
        return {"output": self.z}


def contest(
    ours: contests.Side = Doubles,
    theirs: contests.Side = Doubles,
    flops: float = 1.0,
    bytes: float = 0.0,
    name: str = "NCHW",
) -> contests.Contest:
    def draw(rng: np.random.Generator) -> dict[str, Any]:
        return {"x": rng.standard_normal(5)}

    return contests.Contest("double", draw, ours, {name: theirs}, Doubles, flops, bytes)


RNG = np.random.default_rng(0)


def test_right_sides_are_timed() -> None:
    row = rows.measure(contest(), 2, None, RNG)
    assert set(row.errors) == {rows.OURS, "NCHW"} and set(row.errors.values()) == {0.0}
    assert row.ours_ms and row.ratio and row.rounds == 2 and not row.notes


@pytest.mark.parametrize("wrong", [{"factor": 2.001}, {"idle": True}])
def test_a_wrong_side_is_not_timed(wrong: dict[str, Any]) -> None:
    with pytest.raises(rows.WrongResult, match=r"gradproof: error (0.0005|inf), above"):
        rows.measure(contest(ours=lambda a: Doubles(a, **wrong)), 1, None, RNG)
    with pytest.raises(rows.WrongResult, match="NCHW: error"):
        rows.measure(contest(theirs=lambda a: Doubles(a, **wrong)), 1, None, RNG)


def test_data_on_an_edge_are_drawn_again() -> None:
    made = []

    def once_wrong(arrays: contests.Arrays) -> contests.Job:
        made.append(1)
        return Doubles(arrays, factor=3.0 if len(made) == 1 else 2.0)

    assert rows.measure(contest(ours=once_wrong), 1, None, RNG).errors[rows.OURS] == 0.0


def test_only_the_compiler_may_be_missing_and_the_row_says_so() -> None:
    def fails(arrays: contests.Arrays) -> contests.Job:
        raise RuntimeError("no C++ compiler\nmore")

    row = rows.measure(contest(theirs=fails, name="torch.compile"), 1, None, RNG)
    assert row.notes == ["torch.compile was left out: no C++ compiler"] and row.ratio is None
    with pytest.raises(RuntimeError, match="no C"):
        rows.measure(contest(theirs=fails), 1, None, RNG)

    def unavailable(arrays: contests.Arrays) -> contests.Job:
        raise contests.Unavailable("no such network")

    row = rows.measure(contest(ours=unavailable), 1, None, RNG)
    assert row.notes == ["gradproof was left out: no such network"] and row.ours_ms is None


@pytest.mark.parametrize(("real", "quoted"), [(1.4, False), (1.95, True)])
def test_two_threads_are_quoted_only_on_two_cores(
    real: float, quoted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Probes, "cores", lambda self: real)
    row = rows.measure(contest(), 1, probes(), RNG, threads=2)
    assert (row.ratio is not None) == quoted and row.cores == real
    assert bool(row.notes) != quoted


def test_outputs_of_other_names_or_shapes_are_wrong() -> None:
    one = {"z": np.ones(2)}
    with pytest.raises(rows.WrongResult, match="outputs"):
        rows.largest_error({}, one)
    with pytest.raises(rows.WrongResult, match="shape"):
        rows.largest_error({"z": np.ones((1, 2))}, one)


def test_gradients_cost_what_the_forward_pass_costs() -> None:
    forward, dx, dw = three(Conv(2, 3, 8, 4, 3, 2, 1), 0.9, 1.1)
    assert forward.flops == dx.flops == dw.flops == 2.0 * (2 * 4 * 4 * 4) * (3 * 3 * 3)
    assert forward.bytes == 4.0 * (2 * 3 * 64 + 4 * 27 + 2 * 4 * 16)
    assert set(forward.draw(RNG)) == {"x", "w"} and set(dx.draw(RNG)) == {"x", "w", "cotangent"}
    assert dx.draw(RNG)["cotangent"].shape == (2, 4, 4, 4)


def record(names: list[str]) -> dict[str, Any]:
    found = []
    for k, name in enumerate(names, 1):
        row = rows.Row(name, flops=1e6 * k, bytes=1e5, floor=1.0, target=2.0)
        rows.fill(row, {rows.OURS: [1e-3 * k], "NCHW": [2e-3 * k]})
        found.append(row.as_dict())
    probe = {"fma": 1e11, "fma_one_core": 1e11, "bandwidth at 2 MiB": 5e10}
    return {"device": {"name": "cpu"}, "probe": probe, "rows": found}


def test_a_record_is_plain_json_with_every_promised_value() -> None:
    (row,) = record(["z"])["rows"]
    assert json.loads(json.dumps(row, allow_nan=False)) == row
    promised = {"name", "ours_ms", "torch_ms", "ratio", "fraction", "errors", "floor", "target"}
    assert promised <= set(row) and row["ratio"] == 2.0
    assert report.cells(row, ["NCHW"])[:5] == ["z", "1.000", "2.000", "2.00", "1.00–2.00"]
    unmeasured = rows.Row("z").as_dict()
    assert set(report.cells(unmeasured, ["NCHW"])[1:]) == {""} and not report.style(unmeasured)


def test_pictures_are_drawn(tmp_path: Path) -> None:
    picture.roofline(record(["a", "b"]), tmp_path / "roof.png")
    grown = record([f"{axis} {k}: z" for axis in (scaling.BATCH, scaling.SIZE) for k in (1, 2, 4)])
    picture.growth(grown, tmp_path / "growth.svg")
    assert (tmp_path / "roof.png").stat().st_size > 5000
    assert (tmp_path / "growth.svg").stat().st_size > 5000


def test_the_process_starts_again_where_its_environment_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pinned: list[list[int]] = []
    system = SimpleNamespace(
        environ={"OMP_NUM_THREADS": "7", "KEPT": "1"},
        sched_setaffinity=lambda pid, cores: pinned.append(cores),
    )

    def execve(path: str, command: list[str], variables: dict[str, str]) -> None:
        system.environ = variables
        system.started = command

    system.execve = execve
    monkeypatch.setattr(environment, "os", system)
    monkeypatch.setattr(environment, "usable_cores", lambda threads: list(range(threads)))
    assert environment.prepare(["layers"]) == [0]
    assert system.environ["OMP_NUM_THREADS"] == "1" and system.environ["KEPT"] == "1"
    assert system.environ["MALLOC_TRIM_THRESHOLD_"] == "4294967296"
    assert system.started[0] == sys.executable
    del system.execve  # now everything is as it must be: no second start
    assert environment.prepare(["layers"]) == [0]
    system.execve = execve
    assert environment.prepare(["layers", "--two-cores"]) == [0, 1]
    assert pinned == [[0], [0], [0, 1]] and system.environ["OMP_NUM_THREADS"] == "2"


@pytest.mark.slow
@pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")
def test_linear_layers_are_timed_beside_pytorch(tmp_path: Path) -> None:
    path = tmp_path / "record.json"
    command = [sys.executable, str(ROOT / "benchmarks" / "vs_torch.py"), "ops"]
    command += ["--only", "linear", "--rounds", "1", "--json", str(path)]
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(path.read_text("utf-8"))
    assert len(found["rows"]) == 3 and path.with_suffix(".png").is_file()
    assert found["machine"]["cpu"] and found["versions"]["torch"] and found["probe"]["fma"] > 0
    for row in found["rows"]:
        assert row["ratio"] > 0 and row["fraction"] > 0 and not row["notes"]
        assert set(row["errors"]) == {"gradproof", "contiguous"}
