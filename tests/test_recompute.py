"""Activations that are computed again: the same bits with less memory."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import gradproof as gp
from gradproof.codegen.fast import early as early_module
from gradproof.codegen.fast import flow as flow_module
from gradproof.codegen.fast import recompute
from gradproof.codegen.fast.early import early
from gradproof.codegen.fast.emission import Launch
from gradproof.codegen.fast.flow import Flow
from gradproof.codegen.fast.recompute import BUDGET, recomputed
from gradproof.runtime.errors import ArgumentError, DeviceError
from gradproof.runtime.models.vgg import VGG
from gradproof.runtime.plan import planned_data
from gradproof.runtime.planned_step import PlannedStep

nn = gp.nn
UNIT = flow_module.LEAST


# -- lists of launches, run on symbols ----------------------------------------------------------
def launch(kernel: str, writes: Sequence[str], reads: Sequence[str], flops: int = 0) -> Launch:
    return Launch(kernel, (*writes, *reads), writes=tuple(writes), flops=flops)


NUMBERS: dict[Any, int] = {}  # of values, by how they were made


def values(launches: Sequence[Launch], outside: Sequence[str]) -> dict[str, int]:
    """What the buffers from outside hold at the end. A kernel called half... keeps a part of what
    it writes; what a temporary holds before it is written is another value for each."""
    held: dict[str, int] = {}
    for x in launches:
        reads = x.buffers if x.kernel.startswith("half") else x.buffers[len(x.writes) :]
        given = tuple(held.get(b, b) for b in reads)
        for k, b in enumerate(x.writes):
            held[b] = NUMBERS.setdefault((x.kernel, k, given), len(NUMBERS))
    return {b: held.get(b, -1) for b in outside}


def needed(launches: Sequence[Launch], sizes: dict[str, int]) -> int:
    """Elements of temporaries at the fullest moment."""
    spans: dict[str, list[int]] = {}
    for k, x in enumerate(launches):
        for b in x.buffers:
            if b.split("^")[0] in sizes:
                spans.setdefault(b, []).append(k)
    return max(
        sum(sizes[b.split("^")[0]] for b, s in spans.items() if s[0] <= k <= s[-1])
        for k in range(len(launches))
    )


def network(seed: int) -> tuple[list[Launch], dict[str, int], list[str]]:
    """A forward and a backward pass of random launches: some write two buffers, some buffers are
    made by two launches, some layers read two; parameters change early, late or in between."""
    draw = random.Random(seed)
    depth = draw.randint(4, 14)
    outside = ["x", "out", *(f"w{k}" for k in range(depth))]
    sizes = {f"a{k}": UNIT * draw.choice([1, 2, 4]) for k in range(depth)}
    found: list[Launch] = []
    for k in range(depth):
        before = ["x"] if k == 0 else [f"a{k - 1}", *([f"a{k - 2}"] if k > 1 else [])]
        reads = [*draw.sample(before, draw.randint(1, len(before))), f"w{k}"]
        kind = draw.random()
        if kind < 0.1:  # two halves, the second by way of a scratch buffer
            sizes[f"s{k}"] = UNIT
            found.append(launch(f"f{k}", [f"a{k}"], reads, 10**7))
            found.append(launch(f"t{k}", [f"s{k}"], [f"w{k}"], 10**6))
            found.append(launch(f"half{k}", [f"a{k}"], [f"s{k}"], 10**7))
        elif kind < 0.2:  # two halves
            found.append(launch(f"f{k}", [f"a{k}"], reads, 10**7))
            found.append(launch(f"half{k}", [f"a{k}"], reads, 10**7))
        elif kind < 0.4:  # by way of a scratch buffer
            sizes[f"s{k}"] = UNIT
            found.append(launch(f"t{k}", [f"s{k}"], [f"w{k}"], 10**6))
            found.append(launch(f"f{k}", [f"a{k}"], [*reads, f"s{k}"], 10**7))
        elif kind < 0.6:  # with statistics
            sizes[f"m{k}"] = 8
            found.append(launch(f"f{k}", [f"a{k}", f"m{k}"], reads, 10**7))
        else:
            found.append(launch(f"f{k}", [f"a{k}"], reads, 10**7))
        if draw.random() < 0.1:
            found.append(launch(f"change{k}", [f"w{draw.randrange(depth)}"], [f"a{k}"]))
    updates = []
    for k in reversed(range(depth)):
        sizes |= {f"g{k}": sizes[f"a{k}"], f"v{k}": UNIT}
        after = [f"g{k + 1}"] if k + 1 < depth else []
        found.append(launch(f"b{k}", [f"g{k}"], [*after, f"a{k}", f"w{k}"], 10**7))
        read = f"a{k - 1}" if k else "x"
        found.append(launch(f"d{k}", [f"v{k}"], [f"g{k}", read], 10**7))
        update = launch(f"u{k}", [f"w{k}"], [f"v{k}"])
        if draw.random() < 0.2:
            found.append(update)
        else:
            updates.append(update)
    found.append(launch("last", ["out"], ["g0"]))
    return [*found, *updates], sizes, outside


def differs(seed: int) -> bool:
    """Whether a step is another one when it is done early and computes again."""
    launches, sizes, outside = network(seed)
    first = early(launches, outside)
    again, _ = recomputed(first, sizes, lambda b: sizes.get(b, UNIT))
    return values(again, outside) != values(launches, outside)


SEEDS = range(60)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_same_values_in_no_more_memory_within_the_budget(seed: int) -> None:
    launches, sizes, outside = network(seed)
    assert not differs(seed)
    first = early(launches, outside)
    assert sorted(x.kernel for x in first) == sorted(x.kernel for x in launches)
    again, copies = recomputed(first, sizes, lambda b: sizes.get(b, UNIT))
    assert needed(again, sizes) <= needed(first, sizes) <= needed(launches, sizes)
    costs = Flow(first, sizes, lambda b: sizes.get(b, UNIT)).cost
    by_kernel = {x.kernel: c for x, c in zip(first, costs, strict=True)}
    assert sum(by_kernel[x.kernel] for x in again) <= (1 + BUDGET) * sum(costs)
    used = {b for x in again for b in x.buffers}
    assert set(copies) == {b for b in used if "^" in b}
    assert all(b.split("^")[0] == of for b, of in copies.items())


def test_a_chain_takes_much_less() -> None:
    depth = 32
    sizes = {f"{b}{k}": UNIT for b in "ag" for k in range(depth)}
    steps = [launch(f"f{k}", [f"a{k}"], [f"a{k - 1}" if k else "x"], 10**9) for k in range(depth)]
    for k in reversed(range(depth)):
        after = [f"g{k + 1}"] if k + 1 < depth else []
        before = [f"a{k - 1}"] if k else []
        steps.append(launch(f"b{k}", [f"g{k}"], [*after, *before, f"a{k}"], 2 * 10**9))
    found, _ = recomputed([*steps, launch("y", ["y"], ["g0"])], sizes, lambda b: UNIT)
    assert needed(steps, sizes) == (depth + 1) * UNIT
    assert needed(found, sizes) <= (2 * depth**0.5 + 3) * UNIT


def fails(monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether some seed shows that something is wrong."""
    try:
        return any(differs(seed) for seed in SEEDS)
    except (AssertionError, KeyError, RecursionError):
        return True
    finally:
        monkeypatch.undo()


def test_planted_mistakes_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not fails(monkeypatch)
    units = Flow._units

    def forever(self: Flow) -> dict[str, Any]:  # as if nothing from outside were ever changed
        all_of_them = self.writers
        self.writers = {b: w for b, w in all_of_them.items() if b in self.sizes}
        found = units(self)
        self.writers = all_of_them
        return found

    monkeypatch.setattr(Flow, "_units", forever)
    assert fails(monkeypatch)
    groups = Flow._groups

    def single(self: Flow) -> list[list[int]]:  # only the last of two halves
        return [[k] for g in groups(self) for k in g]

    monkeypatch.setattr(Flow, "_groups", single)
    assert fails(monkeypatch)
    written = recompute._written

    def same_names(flow: Flow, schedule: Any) -> tuple[list[Launch], dict[str, str]]:
        found, copies = written(flow, schedule)  # a repeat for those that read the first one
        first = {c: c for c in copies} | {of: c for c, of in copies.items()}
        turned = [
            x if k < flow.turn else replace(x, buffers=tuple(first.get(b, b) for b in x.buffers))
            for k, x in enumerate(found)
        ]
        return turned, copies

    monkeypatch.setattr(recompute, "_written", same_names)
    assert fails(monkeypatch)


def test_an_update_waits_for_those_that_read_what_it_changes() -> None:
    steps = [launch("g", ["a"], []), launch("h", ["b"], ["w"]), launch("i", ["w"], ["a"])]
    assert [x.kernel for x in early_module.early(steps, {"w"})] == ["g", "h", "i"]


# -- networks -----------------------------------------------------------------------------------
def resnet20() -> nn.Module:
    return gp.models.resnet20(num_classes=10)


def small_vgg() -> nn.Module:
    """A VGG with the usual dropout, on small images, with a small classifier."""
    layers: list[nn.Module] = []
    before = 3
    for width in (16, "M", 32, "M", 32, 32, "M"):
        if width == "M":
            layers.append(nn.MaxPool2d(2))
            continue
        layers += [nn.Conv2d(before, width, 3, padding=1), nn.ReLU()]
        before = width
    layers += [nn.Flatten(), nn.Linear(32 * 16, 64), nn.ReLU(), nn.Dropout()]
    layers += [nn.Linear(64, 64), nn.ReLU(), nn.Dropout(), nn.Linear(64, 10)]
    return nn.Sequential(*layers)


NETWORKS: dict[str, Callable[[], nn.Module]] = {"resnet20": resnet20, "vgg": small_vgg}


def trained(
    make: Callable[[], nn.Module], dtype: str, checkpoint: bool, steps: int = 2
) -> tuple[PlannedStep, dict[str, NDArray[Any]]]:
    """Losses, the last gradients, and the whole state after some steps."""
    gp.manual_seed(2)
    model = make().to(dtype)
    optimizer = gp.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    rng = np.random.default_rng(2)
    x = gp.tensor(rng.standard_normal((8, 3, 32, 32)), dtype)
    y = gp.tensor(np.arange(8, dtype=np.int32) % 10)

    def step(x: gp.Tensor, y: gp.Tensor) -> tuple[gp.Tensor, ...]:
        optimizer.zero_grad()
        loss = nn.CrossEntropyLoss()(model(x), y)
        loss.backward()
        optimizer.step()
        return (loss, *(p.grad for p in model.parameters() if p.grad is not None))

    planned = gp.plan(step, x, y, checkpoint=checkpoint)
    gp.manual_seed(3)
    losses = []
    for _ in range(steps):
        loss, *grads = planned(x, y)
        losses.append(loss.numpy())
    found = {f"loss {k}": v for k, v in enumerate(losses)}
    found |= {f"gradient {k}": g.numpy() for k, g in enumerate(grads)}
    return planned, found | {n: np.asarray(v) for n, v in model.state_dict().items()}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_losses_and_states_are_equal_to_the_bit(name: str, dtype: str) -> None:
    plain, expected = trained(NETWORKS[name], dtype, checkpoint=False)
    less, found = trained(NETWORKS[name], dtype, checkpoint=True)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert np.array_equal(found[key], value), key
    repeated = [x["what"] for x in less.plan["launches"] if x["what"].endswith(", again")]
    repeated = [what for what in repeated if not what.startswith("border")]
    assert any("conv2d z" in what for what in repeated), repeated
    assert less.memory.recomputed == len(repeated)
    limit = {"resnet20": 0.6, "vgg": 0.9}[name]
    assert less.memory.temporaries < limit * plain.memory.temporaries
    assert less.bytes_planned == less.memory.temporaries


def test_a_vgg_of_the_zoo_is_planned_with_less_memory_and_takes_none_for_it() -> None:
    """Nothing is allocated: with real memory its parameters alone would take 500 MB."""
    from gradproof.runtime.meta import meta
    from gradproof.runtime.step import TrainingStep
    from gradproof.runtime.summary import shape_only

    with meta():
        model = gp.models.vgg11(num_classes=1000)
        assert isinstance(model, VGG)
        optimizer = gp.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        step = TrainingStep(model, optimizer, nn.CrossEntropyLoss())
    x = shape_only((4, 3, 224, 224), np.dtype(np.float32))
    y = shape_only((4,), np.dtype(np.int32))
    _, plain = planned_data(step.run, x, y, machine="avx2")
    _, less = planned_data(step.run, x, y, machine="avx2", checkpoint=True)
    assert less.temporaries < 0.8 * plain.temporaries
    assert less.outside == plain.outside


# -- too little memory --------------------------------------------------------------------------
def one_step(layer: gp.nn.Linear, x: gp.Tensor, **options: Any) -> PlannedStep:
    return gp.plan(lambda t: gp.functional.relu(layer(t)), x, **options)


@pytest.mark.parametrize("field", ["global_mem", "max_alloc"])
def test_a_device_with_too_little_memory(field: str, monkeypatch: pytest.MonkeyPatch) -> None:
    device = gp.use_device(None)
    given = nn.Linear(512, 512), gp.tensor(np.ones((64, 512), np.float32))
    used = one_step(*given).memory
    total = {"global_mem": used.temporaries + used.outside, "max_alloc": used.largest}[field]
    monkeypatch.setattr(device, "info", replace(device.info, **{field: total}))
    one_step(*given)  # just enough
    monkeypatch.setattr(device, "info", replace(device.info, **{field: total - 1}))
    if field == "global_mem":
        sizes = rf"needs {total / 2**20:.1f} MiB.*{(total - 1) / 2**20:.1f} MiB; a smaller batch"
    else:
        sizes = (
            rf"weight of shape \(512, 512\) needs {total} bytes.* {total - 1} bytes .*; a smaller"
        )
    with pytest.raises(DeviceError, match=sizes + r".*checkpoint=True"):
        one_step(*given)
    with pytest.raises(DeviceError, match=sizes + ".* takes less$"):
        one_step(*given, checkpoint=True)


def test_a_step_that_is_not_planned_cannot_recompute() -> None:
    from gradproof.runtime.step import TrainingStep

    model = nn.Linear(2, 2)
    optimizer = gp.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(ArgumentError, match="needs a planned step"):
        TrainingStep(model, optimizer, nn.CrossEntropyLoss(), planned=False, checkpoint=True)
