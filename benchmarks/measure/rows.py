"""A contest becomes a row: both sides are checked, then timed in turn with a probe beside them."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from benchmarks.measure.contest import Arrays, Contest, Job, MeasuresMemory, Side, Unavailable
from benchmarks.measure.interleave import fastest, interleave, median_ratio
from benchmarks.measure.probe import REAL_SECOND_CORE, Probe, Probes
from gradproof.cli.steps import time_limit

OURS, PROBE = "gradproof", "probe"
DRAWS = 3  # a maximum or a ReLU may fall otherwise in float32 for some data, but not for all
READY_SECONDS = 300


@dataclass
class Row:
    """One contest's result; times are medians in ms, None where a side was not timed.

    ratio: the best of PyTorch to ours, the median of pairs. fraction, torch_fraction: of the
    `roof` (peak or bandwidth), which was measured in the same rounds. errors: by side, relative
    to the largest magnitude of each output, against float64. peak_mib: memory of a step, by side.
    """

    name: str
    ours_ms: float | None = None
    torch_ms: dict[str, float] = field(default_factory=dict)
    best: str | None = None
    ratio: float | None = None
    floor: float | None = None
    target: float | None = None
    flops: float = 0.0
    bytes: float = 0.0
    roof: str | None = None
    fraction: float | None = None
    torch_fraction: float | None = None
    errors: dict[str, float] = field(default_factory=dict)
    peak_mib: dict[str, float] = field(default_factory=dict)
    rounds: int = 0
    cores: float | None = None
    notes: list[str] = field(default_factory=list)
    failed: bool = False  # wrong or broken, as the notes say

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


class WrongResult(ArithmeticError):
    """A side's result is not the reference's, so it is not timed."""


def measure(
    contest: Contest, rounds: int, probes: Probes | None, rng: np.random.Generator, threads: int = 1
) -> Row:
    """Check every side, time them in turn. Errors: WrongResult names the side."""
    row = Row(contest.name, floor=contest.floor, target=contest.target, rounds=rounds)
    row.flops, row.bytes = contest.flops, contest.bytes
    jobs = verified(contest, rng, row)
    if OURS not in jobs:
        return row
    for name, job in jobs.items():
        if isinstance(job, MeasuresMemory):
            row.peak_mib[name] = job.peak_bytes() / 2**20
    sides = {name: job.run for name, job in jobs.items()}
    roof: Probe | None = None
    if probes and (contest.flops or contest.bytes):
        row.roof, roof = roof_of(contest, probes)
        sides[PROBE] = roof.run
    before = probes.cores() if probes and threads > 1 else 0.0
    seconds = interleave(sides, rounds)
    if probes and threads > 1:
        row.cores = min(before, probes.cores())
        if row.cores < REAL_SECOND_CORE:
            row.notes.append(f"not quoted: two threads had the time of {row.cores:.2f} cores")
            return row
    fill(row, seconds, roof)
    return row


def fill(row: Row, seconds: Mapping[str, Sequence[float]], roof: Probe | None = None) -> None:
    """The statistics of a row from the seconds of each side, round by round.

    roof: what the probe's time was spent on; the row's work at that rate is its ideal time.
    """
    torch = {n: s for n, s in seconds.items() if n not in (OURS, PROBE)}
    row.ours_ms = 1e3 * statistics.median(seconds[OURS])
    row.torch_ms = {n: 1e3 * statistics.median(s) for n, s in torch.items()}
    if torch:
        row.best = fastest(torch)
        row.ratio = median_ratio(torch[row.best], seconds[OURS])
    if roof:
        work = row.flops if row.roof == "fma" else row.bytes
        ideal = [work / roof.work * s for s in seconds[PROBE]]
        row.fraction = median_ratio(ideal, seconds[OURS])
        row.torch_fraction = median_ratio(ideal, torch[row.best]) if row.best else None


def roof_of(contest: Contest, probes: Probes) -> tuple[str, Probe]:
    """What bounds a contest: the rate at which its work takes longer."""
    name, memory = probes.near(contest.bytes)
    computing = contest.flops / probes.rates["fma"]
    moving = contest.bytes / probes.rates[name]
    return (name, memory) if moving > computing else ("fma", probes.fma)


def verified(contest: Contest, rng: np.random.Generator, row: Row) -> dict[str, Job]:
    """The sides whose results are right, ours first; why another is missing goes into the notes."""
    found: dict[str, Job] = {}
    for attempt in range(DRAWS):
        first, second = contest.draw(rng), contest.draw(rng)
        expected = results(contest.reference(first), second)
        found, wrong = {}, {}
        for name, make in {OURS: contest.ours, **contest.theirs}.items():
            job = _made(name, make, first, row)
            if job is None:
                continue
            row.errors[name] = error = largest_error(results(job, second), expected)
            if error <= contest.allowed:
                found[name] = job
            else:
                wrong[name] = error
        if not wrong:
            return found
        if attempt + 1 == DRAWS:
            text = ", ".join(f"{name}: error {error:.3g}" for name, error in wrong.items())
            raise WrongResult(f"{text}, above {contest.allowed:g}")
    return found


def results(job: Job, arrays: Arrays) -> dict[str, Any]:
    """What a job gives for data that it has not seen, after its outputs were poisoned."""
    job.run()
    job.put(arrays)
    job.poison()
    job.run()
    return job.get()


def largest_error(found: Arrays, expected: Arrays) -> float:
    """The largest difference, relative to each output's largest magnitude; NaN counts as infinite.

    >>> largest_error({"z": np.array([1.0, 2.0])}, {"z": np.array([1.0, 4.0])})
    0.5
    >>> largest_error({"z": np.array([1.0, np.nan])}, {"z": np.array([1.0, 4.0])})
    inf
    """
    if set(found) != set(expected):
        raise WrongResult(f"outputs {sorted(found)}, expected {sorted(expected)}")
    worst = 0.0
    for name, right in expected.items():
        if found[name].shape != right.shape:
            raise WrongResult(f"{name}: shape {found[name].shape}, expected {right.shape}")
        scale = float(np.abs(right).max()) or 1.0
        error = float(np.abs(np.asarray(found[name], np.float64) - right).max()) / scale
        worst = max(worst, error if np.isfinite(error) else float("inf"))
    return worst


def _made(name: str, make: Side, arrays: Arrays, row: Row) -> Job | None:
    """A side, or None where it cannot take part: PyTorch's compiler may lack one of its own."""
    try:
        with time_limit(READY_SECONDS):
            return make(arrays)
    except Unavailable as error:
        note = f"{name} was left out: {error}"
    except (RuntimeError, TimeoutError) as error:
        if "compile" not in name:
            raise
        note = f"{name} was left out: {str(error).splitlines()[0]}"
    if note not in row.notes:
        row.notes.append(note)
    return None
