"""Measuring the schedules of a step's sums of products on the user's device.

The model that chooses a schedule only estimates. `tune(step, *examples)` builds what else there is
for each different sum of products of a step, times the variants in turn on buffers of their own,
and keeps in the cache what is clearly faster than the default; later plans use it. A variant
computes the same equation, so tuning changes the order of sums (or a transform) and nothing else.
"""

from __future__ import annotations

import logging
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradproof.runtime.device import Device
from gradproof.runtime.errors import ArgumentError, BuildError, DeviceError
from gradproof.runtime.layout import Layout, addresses
from gradproof.runtime.plan import PRECISIONS, tuning_trials
from gradproof.runtime.tensor import Tensor, upload
from gradproof.runtime.tuned import keep

log = logging.getLogger(__name__)

ROUNDS = 9
GAIN = 0.97  # of the default's time: what takes more is no clear gain
SAMPLE = 2e-3  # seconds that one sample takes at least, by repetition
MOST_RUNS = 200  # in one sample


@dataclass(frozen=True)
class Tuned:
    """What was found for one kind of work, which a step does once for each of `what`.

    `choice`: "" for the default; `seconds`: of the default; `ratio`: of the choice to the default;
    `candidates`: how many were timed besides the default.
    """

    key: str
    what: tuple[str, ...]
    choice: str
    seconds: float
    ratio: float
    candidates: int


@dataclass(frozen=True)
class Variant:
    """Kernels with their buffers, ready to run; `runs`: how often for one sample."""

    choice: str
    device: Device
    launches: tuple[tuple[Any, tuple[int], tuple[int]], ...]
    runs: int = 1

    def run(self) -> None:
        """Run as often as one sample does, and wait."""
        for _ in range(self.runs):
            self.device.launch_all(self.launches)
        self.device.synchronize()


Clock = Callable[[Variant], float]


def seconds(v: Variant) -> float:
    """The time of one run."""
    start = time.perf_counter()
    v.run()
    return (time.perf_counter() - start) / v.runs


def tune(
    step: Callable[..., Any],
    *examples: Tensor,
    precision: str = "fast",
    rounds: int = ROUNDS,
    clock: Clock = seconds,
    report: Callable[[int, int, Tuned], None] | None = None,
) -> tuple[Tuned, ...]:
    """Measure the candidates of a step, and keep what is faster than the default.

    step, examples, precision: as for `gradproof.plan`; the step is recorded, not run. rounds: in
    each of which every variant is timed once; clock: gives the time of one run of a variant;
    report: called after each kind of work with its number, how many there are, and what was found.
    Errors: ArgumentError for another precision or no rounds; GradproofError where the step reads a
    value or the cache cannot be written. What was found before stays.

    >>> import gradproof as gp
    >>> layer = gp.nn.Linear(8, 16)
    >>> found = tune(lambda x: layer(x), gp.tensor([[0.0] * 8] * 16), rounds=1)
    >>> [f.what for f in found]
    [('linear z',)]
    """
    if precision not in PRECISIONS:
        raise ArgumentError(f"tune: precision={precision!r}, expected one of {PRECISIONS}")
    if rounds < 1:
        raise ArgumentError(f"tune: rounds={rounds}, expected 1 or more")
    trials, device, dtype = tuning_trials(step, *examples, precision=precision)
    results = []
    for number, trial in enumerate(trials, 1):
        found = measure(trial, device, dtype, rounds, clock)
        entry = {"choice": found.choice, "seconds": found.seconds, "ratio": found.ratio}
        keep(device.info, {found.key: entry})
        results.append(found)
        if report is not None:
            report(number, len(trials), found)
    return tuple(results)


def measure(
    trial: Mapping[str, Any], device: Device, dtype: str, rounds: int, clock: Clock
) -> Tuned:
    """The best variant of one kind of work. The winner is timed a second time against the default:
    the luckiest of several equal ones must not win."""
    default, *others = _Bench(trial, device, dtype).variants()
    times, ratios = _ratios([default, *others], rounds, clock)
    best = min(others, key=lambda v: ratios[v.choice], default=default)
    if ratios[best.choice] < GAIN:
        _, again = _ratios([default, best], rounds, clock)
        ratios[best.choice] = max(ratios[best.choice], again[best.choice])
    if ratios[best.choice] >= GAIN:
        best = default
    return Tuned(
        trial["key"], tuple(trial["what"]), best.choice, times, ratios[best.choice], len(others)
    )


def _ratios(variants: list[Variant], rounds: int, clock: Clock) -> tuple[float, dict[str, float]]:
    """Seconds of the first variant, and the median ratio of each to it, timed in turn."""
    times = [[clock(v) for v in variants] for _ in range(rounds)]
    ratios = {
        v.choice: statistics.median(row[k] / row[0] for row in times)
        for k, v in enumerate(variants)
    }
    return statistics.median(row[0] for row in times), ratios


class _Bench:
    """The buffers that all variants of one trial share. Borders are zero, inputs small integers;
    what is written is poisoned first, so that a variant that leaves out elements shows."""

    def __init__(self, trial: Mapping[str, Any], device: Device, dtype: str) -> None:
        self._trial, self._device, self._type = trial, device, np.dtype(dtype)
        self._options = tuple(trial["options"][dtype])
        self._layouts = {
            t: Layout(tuple(x["shape"]), tuple(map(tuple, x["axes"])), tuple(x["low"]))
            for t, x in trial["tensors"].items()
        }
        values = np.random.default_rng(0)
        self._buffers = {
            t: upload(self._filled(x, values.integers(-2, 3, math.prod(x.shape))), device)
            for t, x in self._layouts.items()
        }
        self._runs = 1
        self._missing: dict[str, NDArray[Any]] = {}

    def variants(self) -> Iterator[Variant]:
        """The default and each candidate that builds, runs, and writes what the default writes."""
        variants = self._trial["variants"]
        default = self._built("", variants[""])
        self._missing = self._unwritten(default, variants[""])
        taken = seconds(default)
        self._runs = min(MOST_RUNS, max(1, math.ceil(SAMPLE / taken)))
        yield self._built("", variants[""])
        for choice, data in variants.items():
            if choice and (ready := self._checked(choice, data)) is not None:
                yield ready

    def _checked(self, choice: str, data: Mapping[str, Any]) -> Variant | None:
        try:
            ready = self._built(choice, data)
            missing = self._unwritten(ready, data)
        except (BuildError, DeviceError) as error:
            log.warning("tuning: %s is left out: %s", choice, error)
            return None
        if any((missing[t] & ~self._missing[t]).any() for t in self._missing):
            log.warning("tuning: %s is left out: it leaves elements unwritten", choice)
            return None
        return ready

    def _built(self, choice: str, data: Mapping[str, Any]) -> Variant:
        kernels, device = data["kernels"], self._device
        names = [k["name"] for k in kernels]
        label = f"tuning: {choice}"
        built = device.build(data["source"], self._options, names, label=label, large=True)
        scratch = {
            name: upload(np.zeros(size, self._type), device)
            for k in kernels
            for name, size in k["scratch"]
        }
        launches = []
        for k in kernels:
            kernel = built[k["name"]]
            buffers = [(self._buffers | scratch)[t] for t, _ in k["tensors"]]
            numbers = [self._scalar(kind) for _, kind in k["scalars"]]
            for position, value in enumerate([*buffers, *numbers]):
                kernel.set_arg(position, value)
            launches.append((kernel, (k["groups"] * k["local"],), (k["local"],)))
        return Variant(choice, device, tuple(launches), self._runs)

    def _scalar(self, kind: str) -> Any:
        return np.uint32(1) if kind == "uint" else self._type.type(1)

    def _unwritten(self, v: Variant, data: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
        """Which elements of each target are still poison after a run."""
        written = {t for k in data["kernels"] for t, w in k["tensors"] if w} & set(self._layouts)
        for t in written:
            poison = self._filled(self._layouts[t], np.nan)
            self._device.copy(self._buffers[t], poison, "tuning")
        v.run()
        found = {}
        for t in sorted(written):
            layout = self._layouts[t]
            host = np.empty(layout.size, self._type)
            self._device.copy(host, self._buffers[t], "tuning")
            found[t] = np.isnan(host[addresses(layout)])
        return found

    def _filled(self, layout: Layout, elements: Any) -> NDArray[Any]:
        host = np.zeros(layout.size, self._type)
        host[addresses(layout)] = elements
        return host
