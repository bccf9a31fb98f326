"""Times training steps, ours and PyTorch's in turn; runs in a process of its own for `bench`.

    python -m gradproof.cli.steps startup|speed JSON-OPTIONS

`bench` sets the environment before this process starts: the caches, one thread, malloc. The last
line of standard output is JSON.
"""

from __future__ import annotations

import json
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

BATCH = 32
SGD: dict[str, Any] = {"lr": 0.05, "momentum": 0.9}
CHECKED_STEPS = 3
ALLOWED = 1e-4  # of a tensor's largest magnitude, after CHECKED_STEPS: some thousand roundings
COMPILE_SECONDS = 90
Batch = tuple[Any, Any]  # images (N, 1, 8, 8) float32, labels (N,) int32, both NumPy


@dataclass
class Side:
    """One way to train: a step on a batch, waiting for the device, the parameters on the host."""

    name: str
    step: Callable[[Batch], Any]
    wait: Callable[[], None]
    parameters: Callable[[], dict[str, Any]]


def startup(device: str | None) -> dict[str, Any]:
    """From the start of the process to the end of the first training step; see `bench`."""
    _, batches = _digits()
    side = ours(device, initial=None)
    side.step(batches[0])
    side.wait()
    return {"end": time.time()}


def speed(device: str | None, rounds: int, threads: int) -> dict[str, Any]:
    """Times of all sides in turn, in seconds, after each was checked against float64."""
    data, batches = _digits()
    initial = _initial_state()
    sides: list[Callable[[], Side]] = [
        lambda: ours(device, initial),
        lambda: ours(device, initial, recorded=True),
    ]
    notes: list[str] = []
    if find_spec("torch"):
        import_module("torch").set_num_threads(threads)
        sides += [lambda: theirs(initial), lambda: theirs(initial, channels_last=True)]
        sides += [lambda: theirs(initial, compiled=True)]
        reference = theirs(initial, dtype="float64")
    else:
        notes.append("PyTorch is not installed: only gradproof was measured")
        reference = ours(device, initial, dtype="float64")
    expected = _after(reference, batches)
    ready: list[Side] = []
    errors: dict[str, float] = {}
    for make in sides:
        try:
            with time_limit(COMPILE_SECONDS):
                side = make()
                errors[side.name] = _error(_after(side, batches), expected)
        except (RuntimeError, TimeoutError) as error:
            if len(ready) < 2:  # only torch.compile may be unavailable
                raise
            notes.append(f"torch.compile was left out: {str(error).splitlines()[0]}")
            continue
        if not errors[side.name] <= ALLOWED:
            raise ArithmeticError(f"{side.name}: error {errors[side.name]:.3g}, above {ALLOWED}")
        ready.append(side)
    seconds = _interleave(ready, batches, rounds)
    return {
        "images": len(data.x_train),
        "batch": BATCH,
        "steps_per_round": len(batches) - 1,
        "seconds": seconds,
        "errors": errors,
        "reference": reference.name + ", float64",
        "notes": notes,
    }


def _interleave(sides: list[Side], batches: list[Batch], rounds: int) -> dict[str, Any]:
    """A B A B …: in each round every side makes one epoch; step and epoch times, round by round."""
    found: dict[str, Any] = {s.name: {"step": [], "epoch": []} for s in sides}
    for number in range(rounds + 1):
        for side in sides:
            start = time.perf_counter()
            for batch in batches[:-1]:
                side.step(batch)
            side.wait()
            full = time.perf_counter()
            side.step(batches[-1])
            side.wait()
            if number:  # the first round builds kernels for the last, smaller batch
                found[side.name]["step"].append((full - start) / (len(batches) - 1))
                found[side.name]["epoch"].append(time.perf_counter() - start)
    return found


def ours(
    device: str | None,
    initial: dict[str, Any] | None,
    *,
    recorded: bool = False,
    dtype: str = "float32",
) -> Side:
    """This library; `recorded`: full batches replay the launches of the first step."""
    import gradproof as gp
    from gradproof.runtime.models import build_model

    chosen = gp.use_device(device)
    model = build_model("demo", (1, 8, 8), 10).to(dtype)
    if initial is not None:
        model.load_state_dict(initial)
    optimizer = gp.optim.SGD(model.parameters(), **SGD)
    loss = gp.nn.CrossEntropyLoss()

    def train(x: Any, y: Any) -> None:
        optimizer.zero_grad()
        loss(model(x), y).backward()
        optimizer.step()

    tape: list[Any] = []

    def step(batch: Batch) -> None:
        images, labels = batch
        if not recorded or len(images) != BATCH:
            train(gp.tensor(images, dtype), gp.tensor(labels))
        elif not tape:
            x, y = gp.tensor(images, dtype), gp.tensor(labels)
            with gp.record() as recording:
                train(x, y)
            tape.extend((recording, x, y))
        else:
            recording, x, y = tape
            x.copy_(images)
            y.copy_(labels)
            recording.replay()

    def parameters() -> dict[str, Any]:
        return {n: p.numpy() for n, p in model.named_parameters()}

    name = "gradproof, recorded" if recorded else "gradproof, eager"
    return Side(name, step, chosen.synchronize, parameters)


def theirs(
    initial: dict[str, Any],
    *,
    dtype: str = "float32",
    channels_last: bool = False,
    compiled: bool = False,
) -> Side:
    """The same network, optimizer and batches in PyTorch, on the CPU."""
    torch = import_module("torch")
    nn = torch.nn
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 4 * 4, 10),
    )
    model.load_state_dict({n: torch.from_numpy(v.copy()) for n, v in initial.items()})
    layout = torch.channels_last if channels_last else torch.contiguous_format
    model = model.to(dtype=getattr(torch, dtype), memory_format=layout)
    optimizer = torch.optim.SGD(model.parameters(), **SGD)
    loss = nn.CrossEntropyLoss()
    network = torch.compile(model) if compiled else model

    def step(batch: Batch) -> None:
        x = torch.from_numpy(batch[0]).to(dtype=getattr(torch, dtype), memory_format=layout)
        y = torch.from_numpy(batch[1]).long()
        optimizer.zero_grad()
        loss(network(x), y).backward()
        optimizer.step()

    def parameters() -> dict[str, Any]:
        return {n: p.detach().numpy().copy() for n, p in model.named_parameters()}

    kind = "torch.compile" if compiled else "channels_last" if channels_last else "NCHW"
    return Side(f"PyTorch, {kind}", step, lambda: None, parameters)


def _digits() -> tuple[Any, list[Batch]]:
    """The digits and their batches in the order of the file; the last one is smaller."""
    from gradproof.runtime.data import load_digits

    data = load_digits()
    cuts = range(0, len(data.x_train), BATCH)
    x, y = data.x_train[:].copy(), data.y_train.copy()  # PyTorch takes writable arrays
    return data, [(x[k : k + BATCH], y[k : k + BATCH]) for k in cuts]


def _initial_state() -> dict[str, Any]:
    import gradproof as gp
    from gradproof.runtime.models import build_model

    gp.manual_seed(0)
    return build_model("demo", (1, 8, 8), 10).state_dict()


def _after(side: Side, batches: list[Batch]) -> dict[str, Any]:
    for batch in batches[:CHECKED_STEPS]:
        side.step(batch)
    side.wait()
    return side.parameters()


def _error(found: dict[str, Any], expected: dict[str, Any]) -> float:
    """The largest error of a parameter, relative to its tensor's largest magnitude."""
    return max(float(abs(found[n] - v).max() / abs(v).max()) for n, v in expected.items())


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """TimeoutError after so many seconds, where the system has such a timer."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"not ready after {seconds} s")

    if not hasattr(signal, "SIGALRM"):
        yield
        return
    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def ratios(theirs: list[float], ours: list[float]) -> float:
    """The median of the pairs' ratios: one slow round changes neither.

    >>> ratios([2.0, 6.0, 50.0], [1.0, 2.0, 10.0])
    3.0
    """
    return statistics.median(a / b for a, b in zip(theirs, ours, strict=True))


def main() -> None:
    """Measure what the arguments say."""
    task, options = sys.argv[1], json.loads(sys.argv[2])
    core = options.pop("cores")
    if core and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, core)  # before the libraries count the cores
    result = startup(**options) if task == "startup" else speed(**options)
    sys.stdout.write("\n" + json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
