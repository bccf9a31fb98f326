"""Fused tasks do what the recorded calls do: networks, random programs, updates in place."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType

import numpy as np
import pytest
import sympy as sp

import gradproof as gp
from gradproof.codegen.fast import (
    fusion,
    fusion_ends,
    fusion_inline,
    fusion_passes,
    fusion_safety,
    views,
)
from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.fusion import fused
from gradproof.codegen.fast.nest import Access, Nest
from gradproof.codegen.fast.tasks import Step, Task
from gradproof.runtime.models import build_model
from gradproof.runtime.tensor import Tensor
from tests.programs import Program, in_place
from tests.steps import Arrays, Race, Recorded, rounding, run

F, nn = gp.functional, gp.nn
StepFunction = Callable[[], list[Tensor]]
WIDE = np.longdouble
SGD = {"lr": 0.5, "weight_decay": 0.0}


def values(*shape: int, seed: int = 0, grad: bool = False) -> Tensor:
    rng = np.random.default_rng(seed)
    return gp.tensor(rng.integers(-3, 4, shape).astype(np.float64), requires_grad=grad)


def reals(*shape: int, seed: int = 0, grad: bool = False) -> Tensor:
    return gp.tensor(np.random.default_rng(seed).normal(size=shape), requires_grad=grad)


def same(a: Arrays, b: Arrays) -> bool:
    return all(np.array_equal(a[k], b[k], equal_nan=True) for k in a)


def check(step: StepFunction) -> tuple[Recorded, Step, Arrays]:
    """Definitions, one task per call, and fused tasks agree: where they round differently, by less
    in wider floats than what float64 rounds. Returns the fused step and its results."""
    recorded = Recorded.of(step)
    unfused = recorded.unfused
    plan = fused(unfused)
    single, together = run(unfused, recorded, WIDE), run(plan, recorded, WIDE)
    bound = rounding(single, recorded, unfused)
    defined = recorded.interpreted(WIDE)
    for b, a in single.items():
        assert not np.isnan(a).any(), b
        assert (np.abs(defined[b] - a) <= bound[b]).all(), b
        assert (np.abs(together[b] - a) <= bound[b]).all(), b
    return recorded, plan, together


# -- networks -----------------------------------------------------------------------------------
def training(
    model: nn.Module, x: Tensor, y: Tensor, loss: nn.Module, make: Callable[..., gp.optim.SGD]
) -> tuple[StepFunction, list[Tensor]]:
    """A training step, and what it changes."""
    optimizer = make(model.parameters())

    def step() -> list[Tensor]:
        optimizer.zero_grad()
        out = model(x)
        value = loss(out, y)
        value.backward()
        optimizer.step()
        return [value, out]

    buffers = [b for _, b in model.named_buffers() if isinstance(b, Tensor)]
    return step, [*model.parameters(), *buffers]


def residual() -> nn.Module:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.norm1 = nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4)
            self.two, self.norm2 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
            self.short, self.last = nn.Conv2d(2, 4, 1, stride=2), nn.Linear(36, 3)

        def forward(self, x: Tensor) -> Tensor:
            y = F.relu(self.norm1(self.one(x)))
            y = F.relu(self.norm2(self.two(y)) + self.short(x))
            return self.last(y.reshape(y.shape[0], -1))

    return Block()


def attention() -> nn.Module:
    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.q, self.k, self.v = (nn.Linear(4, 4) for _ in range(3))
            self.norm, self.last = nn.LayerNorm(4), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            q, k, v = self.q(x), self.k(x), self.v(x)
            weights = F.softmax(F.bmm(q, k.transpose(1, 2)) * 0.5, -1)
            return self.last(self.norm(x + F.bmm(weights, v)).mean(1))

    return Attention()


def tied() -> nn.Module:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one, self.last = nn.Linear(5, 5), nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(F.tanh(self.one(F.tanh(self.one(x)))))

    return Tied()


def pooled() -> nn.Module:
    layers = [nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25)]
    more = [nn.Conv2d(3, 2, 3, padding=2, dilation=2), nn.GELU("tanh"), nn.AvgPool2d(2)]
    return nn.Sequential(*layers, *more, nn.Flatten(), nn.Linear(8, 3))


def words() -> nn.Module:
    class Words(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table, self.last = nn.Embedding(7, 4), nn.Linear(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.last(self.table(x).sum(1))

    return Words()


def _built(name: str, side: int) -> nn.Module:
    return build_model(name, (1, side, side), 10)


def _sgd(p: object) -> gp.optim.SGD:
    return gp.optim.SGD(p, lr=0.125, momentum=0.5, weight_decay=0.25)


def _nesterov(p: object) -> gp.optim.SGD:
    return gp.optim.SGD(p, lr=0.125, momentum=0.5, nesterov=True)


def _adam(p: object) -> gp.optim.Adam:
    return gp.optim.Adam(p, lr=0.125, weight_decay=0.25)


NETWORKS = {
    "demo": (lambda: _built("demo", 8), (2, 1, 8, 8), _sgd),
    "lenet": (lambda: _built("lenet", 28), (1, 1, 28, 28), _nesterov),
    "residual": (residual, (2, 2, 6, 6), _adam),
    "attention": (attention, (2, 3, 4), _sgd),
    "tied": (tied, (4, 5), _nesterov),
    "pooled": (pooled, (2, 1, 8, 8), _adam),
    "words": (words, (2, 3), _sgd),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name: str) -> None:
    """Also against the kernels: a second model does the same step at once, in float64."""
    build, shape, optimizer = NETWORKS[name]
    found: list[list[np.ndarray]] = []
    bounds: list[float] = []
    for planned in (True, False):
        gp.manual_seed(0)
        model = build().to("float64")
        x = reals(*shape)
        if name == "words":
            x = gp.tensor(np.arange(6, dtype=np.int32).reshape(2, 3))
        y = gp.tensor((np.arange(shape[0]) % 3).astype(np.int32))
        step, changed = training(model, x, y, nn.CrossEntropyLoss(), optimizer)
        if planned:
            recorded, _, after = check(step)
            bound = rounding(after, recorded, recorded.unfused)
            names = [recorded.names(t) for t in changed]
            shapes = [t.shape for t in changed]
            found.append([after[b].reshape(s) for b, s in zip(names, shapes, strict=True)])
            bounds = [bound[b] for b in names]
        else:
            step()
            found.append([t.numpy() for t in changed])
    for a, b, bound in zip(*found, bounds, strict=True):
        assert (np.abs(a - b) <= 16 * bound).all()  # both round on their own way


def test_linear_networks_and_accumulated_gradients() -> None:
    w, v, x, y = values(4, 3, grad=True), values(2, 4, grad=True), values(5, 3), values(5, 2)
    optimizer = gp.optim.SGD([w, v], lr=0.5)

    def step() -> list[Tensor]:
        optimizer.zero_grad()
        hidden = F.linear(x, w)
        F.mse_loss(F.linear(hidden, v), y).backward()
        F.mse_loss(F.linear(F.linear(y, v.transpose(0, 1)), w.transpose(0, 1)), x).backward()
        grad = w.grad
        optimizer.step()
        assert grad is not None
        return [hidden, grad, hidden.sum()]

    check(step)


# -- what an update in place must not change -----------------------------------------------------
def gram() -> StepFunction:
    w, x = values(16, 16, grad=True), values(16, 16, seed=1)

    def step() -> list[Tensor]:  # the product reads all of w
        in_place("sgd", w, F.matmul(w.detach(), x), SGD)
        return [x.sum()]

    return step


def symmetric() -> StepFunction:
    w = values(4, 4, grad=True)
    optimizer = gp.optim.SGD([w], lr=0.5)

    def step() -> list[Tensor]:  # the gradient reads w transposed
        optimizer.zero_grad()
        (w * w.transpose(0, 1)).sum().backward()
        optimizer.step()
        return []

    return lambda: [*step(), w.detach().sum()]


def changed_temporary() -> StepFunction:
    x = values(8, 8)

    def step() -> list[Tensor]:
        a = x * 2.0
        b = a + 1.0
        in_place("sgd", a, b, SGD)
        return [a * 3.0, b.sum()]

    return step


def changed_copy() -> StepFunction:
    x = values(4, 6)

    def step() -> list[Tensor]:
        y = F.relu(x)
        z = y[0:4]
        in_place("sgd", z, x, SGD)
        return [z.sum(), y.sum()]

    return step


def read_before_update() -> StepFunction:
    w, x = values(16, 16, grad=True), values(16, 16, seed=1)

    def step() -> list[Tensor]:  # the product may not move behind the update
        a = F.matmul(x, w.detach())
        in_place("sgd", w, x, SGD)
        return [a + w.detach(), F.relu(w.detach())]

    return step


def source_changed() -> StepFunction:
    w, x = values(4, 6, grad=True), values(4, 6, seed=1)

    def step() -> list[Tensor]:
        a = w.detach() * 2.0
        in_place("sgd", w, x, SGD)
        return [a.sum(0), (w.detach() + a).sum(1)]

    return step


def sums_around_update() -> StepFunction:
    w, x = values(4, 6, grad=True), values(4, 6, seed=1)

    def step() -> list[Tensor]:
        before = w.detach().sum(0)
        in_place("sgd", w, x, SGD)
        return [before, w.detach().sum(0)]

    return step


def beside_update() -> StepFunction:
    w, x = values(8, 8, grad=True), values(8, 8, seed=1)

    def step() -> list[Tensor]:  # both read x, but the first reads w transposed
        a = w.detach().transpose(0, 1) * x
        in_place("sgd", w, x, SGD)
        return [a]

    return step


HAZARDS = [gram, symmetric, changed_temporary, changed_copy, read_before_update]
HAZARDS += [source_changed, sums_around_update, beside_update]


@pytest.mark.parametrize("hazard", HAZARDS)
def test_updates_in_place(hazard: Callable[[], StepFunction]) -> None:
    check(hazard())


MERGING = (fusion_inline, fusion_ends)  # both ask whether a nest made of two is sound
MISTAKES: dict[str, tuple[tuple[ModuleType, ...], object, Callable[[], StepFunction]]] = {
    "sound": (MERGING, lambda nest: True, gram),
    "overwritten": (MERGING, lambda *_: False, source_changed),
    "_share": ((fusion_passes,), lambda tasks, k, t: True, sums_around_update),
    "_fits": ((fusion_passes,), lambda first, nest: True, beside_update),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_planner_that_moves_a_read_across_a_write_is_caught(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules, wrong, hazard = MISTAKES[name]
    for module in modules:
        monkeypatch.setattr(module, name, wrong)
    with pytest.raises(AssertionError):
        check(hazard())


def test_a_planner_that_forgets_second_writes_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    all_temporaries = property(lambda step: frozenset(step.shapes) - step.external)
    monkeypatch.setattr(Step, "passing", all_temporaries)
    for hazard in (changed_temporary, changed_copy):
        with pytest.raises(AssertionError):
            check(hazard())


def test_the_oracle_refuses_a_race(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in MERGING:
        monkeypatch.setattr(module, "sound", lambda nest: True)
    recorded = Recorded.of(symmetric())
    with pytest.raises(Race, match="which the same task writes"):
        run(fused(recorded.unfused), recorded)


# -- random programs ----------------------------------------------------------------------------
@pytest.mark.parametrize("first", range(0, 60, 10))
def test_random_programs_are_equal(first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole numbers and halves: no rounding, so `==`."""
    exact = 0
    for seed in range(first, first + 10):
        for module in MERGING:
            monkeypatch.setattr(module, "SMALL", (0, 4096)[seed % 2])
        monkeypatch.setattr(fusion_ends, "LANES", (2, 16)[seed // 2 % 2])
        recorded = Recorded.of(Program(seed, 10 + seed % 16))
        defined = recorded.interpreted(WIDE)
        if not same(defined, recorded.interpreted(np.float64)):
            continue  # numbers of more than 53 bits
        exact += 1
        unfused = recorded.unfused
        assert same(defined, run(unfused, recorded, WIDE)), f"seed {seed}, unfused"
        assert same(defined, run(fused(unfused), recorded, WIDE)), f"seed {seed}, fused"
    assert exact >= 8


# -- forms --------------------------------------------------------------------------------------
def test_elementwise_tasks_become_one() -> None:
    x = values(4, 6)
    recorded = Recorded.of(lambda: [F.relu(x * 2.0 + 1.0)])
    assert len(recorded.unfused.tasks) == 3
    assert len(fused(recorded.unfused).tasks) == 1


def test_elementwise_tasks_that_read_the_same_are_one() -> None:
    p, g = values(6, 4, grad=True), values(6, 4, seed=1)
    p.grad = g
    optimizer = gp.optim.Adam([p])
    recorded = Recorded.of(lambda: [optimizer.step(), p][1:])
    kinds = [t.kind for t in recorded.unfused.tasks]
    assert kinds.count("vector") == 3
    (task,) = (t for t in fused(recorded.unfused).tasks if t.kind == "vector")
    assert len(task.writes) == 3


def test_long_chains_do_not_double_forever() -> None:
    x = gp.tensor(np.full((4, 4), 0.5))

    def step() -> list[Tensor]:
        y = x
        for _ in range(40):
            y = y * y - y
        return [y]

    _, plan, _ = check(step)
    nests = [n for t in plan.tasks for n in (*t.nests, *t.also)]
    longest = max(sum(1 for _ in sp.preorder_traversal(n.value)) for n in nests)
    assert longest <= fusion_safety.LONGEST


def test_a_copy_of_whole_numbers_is_not_the_same_buffer() -> None:
    """A temporary of integers read as reals is converted, not renamed."""
    i, r0 = Affine.of("i"), sp.Symbol("r0", real=True)

    def nest(out: str, source: str, value: sp.Expr) -> Nest:
        return Nest(Access(out, (i,)), (("i", 4),), (Access(source, (i,)),), (), value)

    nests = [nest("a", "x", r0 + 1), nest("b", "a", r0), nest("y", "b", r0 * 2)]
    tasks = tuple(Task("vector", k, n.out.tensor, (n,)) for k, n in enumerate(nests))
    step = Step(tasks, dict.fromkeys("xaby", (4,)), frozenset("xy"))
    assert [t.out for t in fusion.without_copies(step).tasks] == ["a", "y"]
    assert fusion.without_copies(replace(step, whole=frozenset("xa"))).tasks == tasks


def test_a_matrix_times_itself_reshaped() -> None:
    x = values(3, 4)
    recorded, plan, _ = check(lambda: [F.matmul(x.reshape(3, 4), x.reshape(4, 3))])
    assert [t.kind for t in plan.tasks] == ["opaque"]  # one buffer under two shapes
    assert views.groups((3, 4), (4, 3)) is None and len(recorded.graph.calls) == 1


def test_sums_of_one_pass_read_what_a_mask_reads() -> None:
    """The norm's sums are one pass: the gradient of ReLU in front is worth none of its own."""
    x, gamma, beta = reals(8, 4, 16, 16, grad=True), reals(4, grad=True), reals(4, grad=True)
    y = F.relu(F.batch_norm(x, None, None, gamma, beta, training=True))
    cotangent = reals(8, 4, 16, 16, seed=1)

    def step() -> list[Tensor]:
        return [g for g in gp.grad(y, [x, gamma, beta], cotangent) if g is not None]

    _, plan, _ = check(step)
    sums, whole = plan.tasks
    assert sums.nests[0].reductions
    assert not whole.nests[0].reductions
