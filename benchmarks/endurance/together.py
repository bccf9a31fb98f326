"""Eight models of different kinds, trained alone, in processes at once, and in threads at once.

    python -m benchmarks.endurance.together WAY [--only K ...] [--steps N]

Each gives the SHA-256 of all its losses, logits and parameters. WAY is "threads" or "alone"; what a
process finds is one line of JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import gradproof as gp
from gradproof.runtime.evaluation import Inference
from gradproof.runtime.models import build_model
from gradproof.runtime.random import fork_rng
from gradproof.runtime.schedule import schedule
from gradproof.runtime.step import TrainingStep

ROOT = Path(__file__).resolve().parents[2]
SWITCH = 1e-5  # seconds after which Python goes to another thread: 500 times as often as usual


@dataclass(frozen=True)
class Task:
    """A training: how a step runs ("planned", "recorded", "eager", "trainer"), the network (one
    of the catalogue, or of this file), its type, the images of a batch, the optimizer; form: of
    eager kernels, see `schedule`."""

    way: str
    network: str
    dtype: str
    batch: int
    optimizer: str
    form: str = "auto"


def perceptron() -> gp.nn.Module:
    """Dropout between linear layers."""
    nn = gp.nn
    hidden = (nn.Linear(64, 48), nn.ReLU(), nn.Dropout(0.3), nn.Linear(48, 24), nn.GELU())
    return nn.Sequential(nn.Flatten(), *hidden, nn.Dropout(0.1), nn.Linear(24, 10))


def dropping() -> gp.nn.Module:
    """Convolutions with batch norm and dropout."""
    nn = gp.nn
    body = (nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout(), nn.MaxPool2d(2))
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(54, 10))


class Repeating(gp.nn.Module):
    """Its body runs again in the backward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = dropping(), gp.nn.Linear(10, 10)

    def forward(self, x: gp.Tensor) -> gp.Tensor:
        """x (N, 1, 8, 8) to logits (N, 10)."""
        y: gp.Tensor = gp.utils.checkpoint.checkpoint(self.body, x)
        return self.head(y)  # type: ignore[no-any-return]


OWN: dict[str, Callable[[], gp.nn.Module]] = {
    "perceptron": perceptron,
    "dropping": dropping,
    "repeating": Repeating,
}
TASKS = (
    Task("planned", "lenet", "float32", 16, "Adam"),
    Task("planned", "perceptron", "float64", 8, "SGD"),
    Task("trainer", "resnet20", "float32", 24, "SGD"),
    Task("recorded", "perceptron", "float32", 12, "AdamW"),
    Task("recorded", "dropping", "float32", 20, "SGD"),
    Task("eager", "dropping", "float64", 10, "Adam"),
    Task("eager", "repeating", "float32", 14, "SGD", form="reference"),
    Task("eager", "demo", "float32", 18, "SGD", form="tiled"),
)


def digest(k: int, steps: int) -> str:
    """Train task `k` for so many steps: the SHA-256 of losses, logits and parameters."""
    task, digits = TASKS[k], gp.data.load_digits()
    found = hashlib.sha256()
    with fork_rng(), schedule(task.form):
        gp.manual_seed(k)
        own = OWN.get(task.network)
        model = build_model(task.network, (1, 8, 8), 10) if own is None else own()
        model.to(task.dtype)
        optimizer = getattr(gp.optim, task.optimizer)(model.parameters(), lr=0.01)
        loss = gp.nn.CrossEntropyLoss()
        if task.way == "trainer":
            n = steps * task.batch - 5  # the last batch is smaller
            part = (digits.x_train[:n], digits.y_train[:n], digits.x_test[:30], digits.y_test[:30])
            data = gp.data.Dataset("digits", *part, digits.classes)
            trainer = gp.Trainer(model, optimizer, loss, data, batch_size=task.batch, seed=k)
            found.update(repr([(r.train_loss, r.test_loss) for r in trainer.fit(2)]).encode())
        else:
            step = TrainingStep(model, optimizer, loss, planned=task.way == "planned")
            inference = Inference(model)
            for s in range(steps):
                size = task.batch - (s % 3 == 2)
                x = digits.x_train[s * 8 : s * 8 + size].astype(task.dtype)
                y = digits.y_train[s * 8 : s * 8 + size]
                if task.way == "eager":
                    value, logits = step.run(gp.tensor(x), gp.tensor(y))
                    found.update(value.numpy().tobytes() + logits.numpy().tobytes())
                else:
                    number, array = step(x, y)
                    found.update(repr(number).encode() + array.tobytes())
                if s % 4 == 3:  # evaluation, without gradients
                    model.eval()
                    found.update(inference(x).numpy().tobytes())
                    model.train()
        for name, value in sorted(model.state_dict().items()):
            found.update(name.encode() + value.tobytes())
    return found.hexdigest()


def in_threads(tasks: Sequence[int], steps: int) -> list[str]:
    """The digests of tasks that begin together, each in a thread; it switches very often."""
    begin, before = threading.Barrier(len(tasks)), sys.getswitchinterval()

    def run(k: int) -> str:
        begin.wait()
        return digest(k, steps)

    sys.setswitchinterval(SWITCH)
    try:
        with ThreadPoolExecutor(len(tasks)) as pool:
            return list(pool.map(run, tasks))
    finally:
        sys.setswitchinterval(before)


def start(way: str, steps: int, only: Sequence[int]) -> subprocess.Popen[str]:
    """A process that runs some tasks, "threads": at once, or "alone": one after the other."""
    command = [sys.executable, "-m", "benchmarks.endurance.together", way, "--steps", str(steps)]
    return subprocess.Popen(
        [*command, "--only", *map(str, only)],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def finished(process: subprocess.Popen[str]) -> list[str]:
    """The digests of a process. Errors: RuntimeError, with its words, where it fails."""
    out, said = process.communicate()
    if process.returncode:
        raise RuntimeError(f"a process of the models ended with {process.returncode}: {said}")
    digests: list[str] = json.loads(out.splitlines()[-1])
    return digests


def compared(
    steps: int, rounds: int, tasks: Sequence[int] = range(len(TASKS))
) -> dict[str, list[list[str]]]:
    """Way -> the digests of the tasks, for each round; "alone": each in its own process."""
    found: dict[str, list[list[str]]] = {"alone": [], "processes": [], "threads": []}
    found["alone"].append([finished(start("alone", steps, [k]))[0] for k in tasks])
    for _ in range(rounds):
        processes = [start("alone", steps, [k]) for k in tasks]
        found["processes"].append([finished(p)[0] for p in processes])
        found["threads"].append(finished(start("threads", steps, tasks)))
    return found


def differing(found: dict[str, list[list[str]]]) -> list[str]:
    """Which ways gave other bits than each alone, by task and round.

    >>> differing({"alone": [["a", "b"]], "threads": [["a", "b"], ["a", "c"]]})
    ['threads, round 2: task 1']
    """
    (alone,) = found["alone"]
    return [
        f"{way}, round {r}: task {k}"
        for way, rounds in found.items()
        for r, digests in enumerate(rounds, 1)
        for k, (one, other) in enumerate(zip(alone, digests, strict=True))
        if one != other
    ]


def main() -> None:
    """One process of the comparison."""
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=("alone", "threads"))
    parser.add_argument("--only", type=int, nargs="+", default=list(range(len(TASKS))))
    parser.add_argument("--steps", type=int, default=12)
    given = parser.parse_args()
    if given.way == "threads":
        print(json.dumps(in_threads(given.only, given.steps)))
    else:
        print(json.dumps([digest(k, given.steps) for k in given.only]))


if __name__ == "__main__":
    main()
