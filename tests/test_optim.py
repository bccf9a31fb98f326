"""Adam and AdamW: exact where the arithmetic is, within a derived bound elsewhere; their state."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import gradproof as gp
from gradproof.runtime.errors import ArgumentError, DataError, GradproofError, ShapeError
from gradproof.runtime.optim import SGD, Adam, AdamW, Optimizer

KINDS = [Adam, AdamW]
OPTIONS = {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}
ROUNDING = {"float32": 2.0**-24, "float64": 2.0**-53}


# -- exact ------------------------------------------------------------------------------------
def paper_step(
    kind: type, p: Fraction, g: Fraction, m: Fraction, v: Fraction, o: dict[str, Any]
) -> tuple[Fraction, Fraction, Fraction]:
    """The first step from averages m and v, as the papers write it; the root has to be rational."""
    decay = Fraction(o["weight_decay"])
    d = g + decay * p if kind is Adam else g
    beta1, beta2 = map(Fraction, o["betas"])
    m = beta1 * m + (1 - beta1) * d
    v = beta2 * v + (1 - beta2) * d**2
    corrected = v / (1 - beta2)
    root = Fraction(math.isqrt(corrected.numerator), math.isqrt(corrected.denominator))
    assert root**2 == corrected
    shrunk = p if kind is Adam else p - o["lr"] * decay * p
    return m, v, shrunk - o["lr"] * (m / (1 - beta1)) / (root + Fraction(o["eps"]))


@pytest.mark.parametrize("kind", KINDS)
def test_a_step_is_exact_on_numbers_without_rounding(kind: type[Adam]) -> None:
    """With beta2 = 3/4, eps = 1 and v = ((2^k - 1)² - d²)/3 the root is rational, and the
    denominator 2^k: nothing is rounded."""
    options = {"lr": 8.0, "betas": (0.5, 0.75), "eps": 1.0, "weight_decay": 0.5}
    rng = np.random.default_rng(0)
    rows = []
    for k in (3, 5, 7):  # 2^k - 1 = 1 mod 3
        for d in (d for d in range(1 - 2**k, 2**k) if d % 3):
            p, m = int(rng.integers(-40, 40)) * 4, int(rng.integers(-40, 40))
            g = d - p // 2 if kind is Adam else d
            rows.append((p, g, m, ((2**k - 1) ** 2 - d * d) // 3))
    p, g, m, v = np.array(rows, np.float64).T
    parameter = gp.tensor(p, requires_grad=True)
    optimizer = kind([parameter], **options)
    state = optimizer.state_dict()
    state["state"] = {0: {"step": np.array(0.0), "exp_avg": m, "exp_avg_sq": v}}
    optimizer.load_state_dict(state)
    parameter.grad = gp.tensor(g)
    optimizer.step()
    expected = [paper_step(kind, *map(Fraction, row), options) for row in rows]
    kept = optimizer.state_dict()["state"][0]
    found = zip(kept["exp_avg"], kept["exp_avg_sq"], parameter.numpy(), strict=True)
    assert [tuple(map(Fraction, row)) for row in found] == expected
    assert kept["step"] == 1


# -- within a bound ---------------------------------------------------------------------------
class Reference:
    """The update in float64 and a bound of what an update with roundings of `u` may differ.

    To first order in u, with 3 roundings in a scalar from the host's pow, 6 in a root and 5 in a
    quotient (OpenCL's 3 and 2.5 ulp); the factor 1.1 is for the other orders.
    """

    def __init__(self, kind: type, p: np.ndarray, u: float, **options: Any) -> None:
        self.kind, self.u, self.o = kind, u, {**OPTIONS, **options}
        self.p, self.m, self.v = p.astype(np.float64), np.zeros(p.shape), np.zeros(p.shape)
        self.ep, self.em, self.ev = (np.zeros(p.shape) for _ in range(3))
        self.t = 0

    def step(self, g: np.ndarray) -> None:
        u, lr, decay, (beta1, beta2) = self.u, *(self.o[n] for n in ("lr", "weight_decay", "betas"))
        self.t += 1
        inside = decay if self.kind is Adam else 0.0
        d = g + inside * self.p
        ed = inside * self.ep + 3 * u * (abs(g) + inside * abs(self.p))
        m, v = beta1 * self.m + (1 - beta1) * d, beta2 * self.v + (1 - beta2) * d * d
        self.em = beta1 * self.em + (1 - beta1) * ed
        self.em += 3 * u * (beta1 * abs(self.m) + (1 - beta1) * abs(d))
        self.ev = beta2 * self.ev + (1 - beta2) * 2 * abs(d) * ed + 4 * u * v
        rate = lr / (1 - beta1**self.t)
        denominator = np.sqrt(v / (1 - beta2**self.t)) + self.o["eps"]
        taken = rate * m / denominator
        error = rate * self.em / denominator + abs(taken) * (self.ev / (2 * v) + 22 * u)
        outside = lr * decay if self.kind is AdamW else 0.0
        self.ep = (1 + outside) * self.ep + error
        self.ep += 2 * u * (abs(self.p) * (1 + 2 * outside) + abs(taken))
        self.p, self.m, self.v = self.p - outside * self.p - taken, m, v

    def excess(self, p: np.ndarray) -> float:
        """The error of p in units of the bound."""
        return float((abs(p - self.p) / (1.1 * self.ep)).max())


def data(dtype: str) -> tuple[np.ndarray, list[np.ndarray]]:
    rng = np.random.default_rng(1)
    signs = rng.choice([-1.0, 1.0], (6, 5, 7))
    gradients = signs * np.exp(rng.uniform(-3, 3, (6, 5, 7)))
    return rng.normal(size=(5, 7)).astype(dtype), list(gradients.astype(dtype))


def run(optimizer: Optimizer, gradients: list[np.ndarray]) -> np.ndarray:
    for g in gradients:
        optimizer.params[0].grad = gp.tensor(g)
        optimizer.step()
    return optimizer.params[0].numpy()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_steps_are_within_the_bound(kind: type[Adam], dtype: str) -> None:
    p, gradients = data(dtype)
    reference = Reference(kind, p, ROUNDING[dtype])
    other = [
        Reference(kind, p, ROUNDING[dtype], eps=1.1e-3),
        Reference(kind, p, ROUNDING[dtype], betas=(0.8, 0.951)),
        Reference(AdamW if kind is Adam else Adam, p, ROUNDING[dtype]),
    ]
    for g in gradients:
        for r in (reference, *other):
            r.step(g.astype(np.float64))
    found = run(kind([gp.tensor(p, requires_grad=True)], **OPTIONS), gradients)
    # the reference in float64 has roundings of its own
    assert reference.excess(found) <= (1 if dtype == "float32" else 2)
    assert min(r.excess(found) for r in other) > 2  # the bound tells these apart


@pytest.mark.parametrize("kind", KINDS)
def test_steps_equal_pytorchs_within_the_bound(kind: type[Adam]) -> None:
    torch = pytest.importorskip("torch")
    p, gradients = data("float64")
    theirs = torch.nn.Parameter(torch.tensor(p))
    optimizer = getattr(torch.optim, kind.__name__)([theirs], **OPTIONS)
    reference = Reference(kind, p, ROUNDING["float64"])
    for g in gradients:
        theirs.grad = torch.tensor(g)
        optimizer.step()
        reference.step(g)
    found = run(kind([gp.tensor(p, requires_grad=True)], **OPTIONS), gradients)
    difference = abs(found - theirs.detach().numpy())
    assert (difference <= 2 * 1.1 * reference.ep).all()


def test_defaults_are_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    for kind in KINDS:
        p = torch.nn.Parameter(torch.zeros(1))
        theirs = getattr(torch.optim, kind.__name__)([p]).state_dict()["param_groups"][0]
        ours = kind([gp.tensor([0.0], requires_grad=True)]).state_dict()["param_groups"][0]
        assert {n: theirs[n] for n in ours} == ours


# -- replay -----------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
def test_replays_equal_eager_steps(kind: type[Adam]) -> None:
    """Bias corrections and the learning rate change from step to step, also in a replay."""
    rng = np.random.default_rng(2)
    batches = rng.normal(size=(4, 6, 3)).astype(np.float32)
    start = rng.normal(size=(2, 3)).astype(np.float32)

    def train(record: bool) -> list[np.ndarray]:
        model = gp.nn.Linear(3, 2, bias=False)
        model.weight.copy_(start)
        optimizer, x, tape = kind(model.parameters()), gp.tensor(batches[0]), None
        weights = []
        for k, batch in enumerate(batches):
            x.copy_(batch)
            optimizer.lr = 0.1 / (k + 1)
            if tape is not None:
                tape.replay()
            else:
                with gp.record() as tape:
                    optimizer.zero_grad()
                    gp.nn.MSELoss()(model(x), gp.tensor(np.ones((6, 2), np.float32))).backward()
                    optimizer.step()
                tape = tape if record else None
            weights.append(model.weight.numpy())
        assert optimizer.state_dict()["state"][0]["step"] == 4
        return weights

    np.testing.assert_array_equal(train(True), train(False))


def test_a_parameter_without_gradient_stays_and_does_not_count() -> None:
    used, unused = (gp.tensor([1.0], requires_grad=True) for _ in range(2))
    optimizer = AdamW([used, unused])
    used.grad = gp.tensor([1.0])
    optimizer.step()
    assert unused.item() == 1.0
    assert [*optimizer.state_dict()["state"]] == [0]


# -- state ------------------------------------------------------------------------------------
def stepped(kind: type[Optimizer], steps: int, **options: Any) -> Optimizer:
    p, gradients = data("float32")
    optimizer = kind([gp.tensor(p, requires_grad=True)], **options)
    run(optimizer, gradients[:steps])
    return optimizer


@pytest.mark.parametrize(
    ("kind", "options"),
    [(Adam, OPTIONS), (AdamW, OPTIONS), (SGD, {"lr": 0.1, "momentum": 0.9, "dampening": 0.5})],
)
def test_a_restored_run_goes_on(kind: type[Optimizer], options: dict[str, Any]) -> None:
    _, gradients = data("float32")
    first = stepped(kind, 3, **options)
    again = kind([gp.tensor(first.params[0].numpy(), requires_grad=True)], lr=9.0)
    again.load_state_dict(first.state_dict())
    np.testing.assert_array_equal(run(again, gradients[3:]), run(first, gradients[3:]))


@pytest.mark.parametrize("kind", [*KINDS, SGD])
def test_pytorchs_state_loads(kind: type[Optimizer]) -> None:
    torch = pytest.importorskip("torch")
    options = {"lr": 0.1, "momentum": 0.9} if kind is SGD else OPTIONS
    p, gradients = data("float32")
    theirs = torch.nn.Parameter(torch.tensor(p))
    made = getattr(torch.optim, kind.__name__)([theirs], **options)
    ours = kind([gp.tensor(p, requires_grad=True)], lr=9.0)
    for g in gradients[:3]:
        ours.load_state_dict(made.state_dict())
        theirs.grad = torch.tensor(g)
        made.step()
    ours.load_state_dict(made.state_dict())
    expected, found = made.state_dict(), ours.state_dict()
    assert found["state"][0].keys() == expected["state"][0].keys()
    for name, value in found["state"][0].items():
        np.testing.assert_array_equal(value, expected["state"][0][name].numpy())
    group = found["param_groups"][0]
    assert group == {n: expected["param_groups"][0][n] for n in group}


def zeros(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


def entry(**changed: Any) -> dict[str, Any]:
    kept = {"step": np.array(1.0), "exp_avg": zeros(5, 7), "exp_avg_sq": zeros(5, 7)} | changed
    return {"state": {0: {n: v for n, v in kept.items() if v is not None}}}


def grouped(**changed: Any) -> dict[str, Any]:
    group = {"lr": 0.1, "betas": (0.5, 0.5), "eps": 0.1, "weight_decay": 0.0, "params": [0]}
    return {"param_groups": [group | changed]}


def two_groups() -> dict[str, Any]:
    return {"param_groups": grouped()["param_groups"] * 2}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (entry(exp_avg=zeros(7, 5)), ShapeError, r"exp_avg of parameter 0 .*\(7, 5\).*\(5, 7\)"),
        (entry(step=zeros(2)), ShapeError, "step of parameter 0"),
        (entry(exp_avg=None), DataError, "parameter 0 has step, exp_avg_sq, expected step"),
        (entry(other=zeros(1)), DataError, "parameter 0 has step, exp_avg, exp_avg_sq, other"),
        ({"state": {1: entry()["state"][0]}}, DataError, "parameters 0 to 0"),
        (grouped(amsgrad=True), ArgumentError, "amsgrad=True is not supported"),
        (grouped(decoupled_weight_decay=True), ArgumentError, "decoupled_weight_decay=True"),
        (grouped(params=[0, 1]), DataError, r"groups of \[2\] parameters, expected \[1\]"),
        (grouped(lr=-1.0), GradproofError, "lr=-1.0, expected a number of at least 0"),
        ({"param_groups": [{}]}, DataError, "KeyError: 'lr'"),
        (two_groups(), DataError, r"groups of \[1, 1\] parameters, expected \[1\]"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(
    change: dict[str, Any], error: type[Exception], message: str
) -> None:
    optimizer = stepped(Adam, 2)
    before = optimizer.state_dict()
    with pytest.raises(error, match=message):
        optimizer.load_state_dict({**before, **change})
    after = optimizer.state_dict()
    assert after["param_groups"] == before["param_groups"]
    for name, value in before["state"][0].items():
        np.testing.assert_array_equal(after["state"][0][name], value)


# -- options ----------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"lr": -0.1}, GradproofError, "lr=-0.1, expected a number of at least 0"),
        ({"eps": math.nan}, GradproofError, "eps=nan"),
        ({"weight_decay": "much"}, GradproofError, "weight_decay='much'"),
        ({"betas": (0.9, 1.0)}, GradproofError, "expected numbers below 1"),
        ({"betas": (-0.1, 0.9)}, GradproofError, r"betas\[0\]=-0.1"),
        ({"betas": 0.9}, GradproofError, "expected two numbers"),
        ({"amsgrad": True}, ArgumentError, "amsgrad=True is not supported, expected False"),
        ({"maximize": True}, ArgumentError, "maximize=True is not supported"),
        ({"fused": True}, ArgumentError, "fused=True is not supported, expected None"),
        ({"momentum": 0.9}, ArgumentError, "there is no option 'momentum'"),
    ],
)
def test_wrong_options_are_refused(
    kind: type[Adam], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"{kind.__name__}: .*{message}|{kind.__name__}: {message}"):
        kind([gp.tensor([0.0], requires_grad=True)], **options)


@pytest.mark.parametrize("options", [{}, {"momentum": 0.9, "dampening": 0.1}])
def test_nesterov_has_momentum_and_no_dampening(options: dict[str, float]) -> None:
    with pytest.raises(GradproofError, match="nesterov needs momentum above 0 and no dampening"):
        SGD([gp.tensor([0.0], requires_grad=True)], lr=0.1, nesterov=True, **options)


@pytest.mark.parametrize("kind", [*KINDS, SGD])
def test_what_is_no_list_of_parameters_is_refused(kind: type[Any]) -> None:
    for params in ([], [gp.tensor([0.0])], ["weight"], gp.nn.Linear(1, 1)):
        with pytest.raises(GradproofError, match=kind.__name__):
            kind(params, lr=0.1)


def test_defaults_of_pytorch_may_be_written_out() -> None:
    p = gp.tensor([0.0], requires_grad=True)
    Adam([p], amsgrad=False, foreach=None, maximize=False, capturable=False, fused=None)


# -- groups -----------------------------------------------------------------------------------
@pytest.mark.parametrize("kind", [SGD, Adam, AdamW])
def test_groups_have_options_of_their_own(kind: type[Optimizer]) -> None:
    """Two groups in one optimizer do what two optimizers do, eager and planned."""
    values, gradients = np.linspace(-2, 2, 8, dtype=np.float32), np.ones(8, np.float32)
    options = [{"lr": 0.5, "weight_decay": 0.25}, {"lr": 0.125, "weight_decay": 0.0}]
    apart = [gp.tensor(values, requires_grad=True) for _ in options]
    together = [gp.tensor(values, requires_grad=True) for _ in options]
    planned = [gp.tensor(values, requires_grad=True) for _ in options]
    optimizers = [kind([p], **o) for p, o in zip(apart, options, strict=True)]
    groups = [{"params": [p]} | o for p, o in zip(together, options, strict=True)]
    optimizers.append(kind(groups, lr=1.0))
    groups = [{"params": [p]} | o for p, o in zip(planned, options, strict=True)]
    last = kind(groups, lr=1.0)

    def step() -> gp.Tensor:
        last.zero_grad()
        loss = gp.functional.sum(planned[0] + planned[1])
        loss.backward()
        last.step()
        return loss

    run = gp.plan(step)
    for _ in range(2):
        for p in (*apart, *together):
            p.grad = gp.tensor(gradients)
        for optimizer in optimizers:
            optimizer.step()
        run.run()
    for a, b, c in zip(apart, together, planned, strict=True):
        assert a.numpy().tolist() == b.numpy().tolist()
        assert c.numpy() == pytest.approx(a.numpy(), rel=1e-6)
    assert apart[0].numpy().tolist() != apart[1].numpy().tolist()


def test_a_state_of_groups_is_pytorchs() -> None:
    torch = pytest.importorskip("torch")
    made = []
    for tensor, sgd in ((gp.tensor, SGD), (torch.tensor, torch.optim.SGD)):
        a, b = (tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
        groups = [{"params": [a], "momentum": 0.9}, {"params": [b], "lr": 0.5}]
        made.append(sgd(groups, lr=0.1, momentum=0.5))
    ours, theirs = (o.state_dict()["param_groups"] for o in made)
    for own, group in zip(ours, theirs, strict=True):
        assert own == {n: group[n] for n in own}
    made[0].load_state_dict(made[1].state_dict())


def test_an_option_that_is_set_on_the_optimizer_is_set_in_all_groups() -> None:
    a, b = (gp.tensor([1.0], requires_grad=True) for _ in range(2))
    optimizer = SGD([{"params": a, "lr": 0.5}, {"params": b}], lr=0.1)
    optimizer.lr = 0.25
    assert [group["lr"] for group in optimizer.param_groups] == [0.25, 0.25]
    with pytest.raises(GradproofError, match="lr=-1"):
        optimizer.lr = -1
    assert optimizer.lr == 0.25


@pytest.mark.parametrize(
    ("groups", "error", "message"),
    [
        ([{"lr": 0.1}], GradproofError, "no 'params'"),
        ([{"params": "p", "rate": 0.1}], ArgumentError, "a group has rate, expected lr, momentum"),
        ([{"params": "p"}, {"params": "p"}], GradproofError, "parameter 1 is there twice"),
        ([{"params": "pp"}], GradproofError, "parameter 1 is there twice"),
        ([{"params": "p", "lr": -1.0}], GradproofError, "lr=-1.0"),
        ([{"params": ""}], GradproofError, "no parameters to train"),
    ],
)
def test_a_wrong_group_is_an_error(
    groups: list[dict[str, Any]], error: type[Exception], message: str
) -> None:
    p = gp.tensor([1.0], requires_grad=True)
    given = [g | {"params": [p for _ in g["params"]]} if "params" in g else g for g in groups]
    with pytest.raises(error, match=message):
        SGD(given, lr=0.1)
