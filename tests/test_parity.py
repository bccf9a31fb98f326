"""Random networks against PyTorch: outputs, gradients, running statistics and trained parameters.

Each network is run by five: PyTorch and this library in float64 and float32, and PyTorch in
float64 with noise, which measures how rounding errors come through this network.

The noise: every parameter, running statistic and input, every layer's output, every gradient
between layers, and every step inside batch norm and the losses is multiplied, element by element,
by 1 + u or 1 - u, at random, with the unit roundoff u = 2^-24 of float32. What changes by it in
float64 is the effect of one rounding in every element, whether or not terms cancel: a bias before a
batch norm has gradient 0, and the noise of the terms that cancel. A sum of n terms has, in all
likelihood, no more than sqrt(n) times that error (N. J. Higham, T. Mary, "A new approach to
probabilistic rounding error analysis", SIAM J. Sci. Comput. 41 (2019)). With n the longest sum in
the network, rounding may change a tensor by sqrt(n) * noise + 8 u * (its largest magnitude): the
second term is for the formula that computes it last. The largest error of a tensor, against PyTorch
in float64, may be

- float32: the larger of that and twice the error of PyTorch's own float32;
- float64: 1e-9 of the tensor's largest magnitude, plus twice that with float64's u, which decides
  only where all terms cancel; twice, since PyTorch's result is rounded as well.

A maximum or a ReLU that rounding decides has no such bound: inputs are drawn again until no two
candidates for a maximum, and no argument of a ReLU and 0, lie closer than MARGIN (equal ones do
not matter, the first wins).
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import gradproof as gp
from gradproof.runtime.device import current_device
from gradproof.runtime.schedule import schedule

torch = pytest.importorskip("torch")

U32, U64 = 2.0**-24, 2.0**-53
LAST_STEPS = 8  # roundings of the last formula itself: the most an update of a parameter takes
RELATIVE = 1e-9  # of the largest magnitude of a tensor
MARGIN = 2.0**-15  # of the largest magnitude of a tensor
NOISE_RUNS = 4
NETWORKS = 100
NORMALISATIONS = (torch.nn.modules.batchnorm._NormBase, torch.nn.LayerNorm, torch.nn.GroupNorm)
TILED = {3, 26}  # every contraction of these is compiled for its sizes, which takes time

LAYERS = {
    *("Conv2d", "BatchNorm1d", "BatchNorm2d", "MaxPool2d", "AvgPool2d", "AdaptiveAvgPool2d"),
    *("ReLU", "Dropout", "Flatten", "Linear", "CrossEntropyLoss", "MSELoss"),
}

Spec = tuple[str, Any]
Results = dict[str, np.ndarray]


class TorchConv2d(torch.nn.Conv2d):
    """PyTorch's convolution with the padding of all four sides."""

    def __init__(self, *args: Any, padding: Any = 0, **options: Any) -> None:
        self.sides = padding if isinstance(padding, tuple) and np.ndim(padding) == 2 else None
        super().__init__(*args, padding=0 if self.sides else padding, **options)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.sides:
            (top, bottom), (left, right) = self.sides
            x = torch.nn.functional.pad(x, (left, right, top, bottom))
        return super().forward(x)


def build(library: Any, specs: list[Spec]) -> Any:
    """The same network from torch.nn and from gp.nn: layers have the same names and arguments."""

    class Residual(library.Module):
        def __init__(self, body: Any) -> None:
            super().__init__()
            self.body = body

        def forward(self, x: Any) -> Any:
            return self.body(x) + x

    def layer(name: str, options: Any) -> Any:
        if name == "Residual":
            return Residual(build(library, options))
        if name == "Conv2d" and library is torch.nn:
            return TorchConv2d(**options)
        return getattr(library, name)(**options)

    return library.Sequential(*[layer(*spec) for spec in specs])


class Case:
    """A random network with its mode, loss, optimizer, parameters and data, all from one seed."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.training = bool(self.rng.random() < 0.75)
        self.specs: list[Spec] = []
        self.input_shape = tuple(int(n) for n in self.rng.integers((2, 1, 5, 5), (6, 5, 11, 11)))
        self.shape = self.input_shape
        for _ in range(self.rng.integers(2, 5)):
            self._append(self.choice(self._conv, self._pool, self._norm, self._relu, self._block))
        self._head()
        self.loss, self.reduction = self.choice("CrossEntropyLoss", "MSELoss"), self._reduction()
        self.sgd = self._sgd()
        self._state()
        self._data()

    def choice(self, *values: Any) -> Any:
        return values[self.rng.integers(len(values))]

    def _append(self, draw: Callable[[], list[Spec]]) -> None:
        """Layers that PyTorch takes for this shape, and where every window has an element."""
        while True:
            specs = draw()
            try:
                out = build(torch.nn, specs)(torch.ones(self.shape))
            except (RuntimeError, ValueError):
                continue
            if out.numel() and out.isfinite().all() and math.prod(out.shape[2:]) < 200:
                break
        self.specs += specs
        self.shape = tuple(out.shape)

    def _pair(self, low: int, high: int) -> Any:
        one, two = self.rng.integers(low, high + 1, 2).tolist()
        return self.choice(one, (one, two))

    def _conv(self) -> list[Spec]:
        c = self.shape[1]
        groups = self.choice(1, self.choice(*[g for g in range(1, c + 1) if c % g == 0]))
        sides = tuple(map(tuple, self.rng.integers(0, 3, (2, 2)).tolist()))
        options = {
            "in_channels": c,
            "out_channels": groups * int(self.rng.integers(1, 4)),
            "kernel_size": self._pair(1, 3),
            "stride": self.choice(1, self._pair(1, 3)),
            "padding": self.choice(self._pair(0, 2), sides, "same", "valid"),
            "dilation": self.choice(1, self._pair(1, 3)),
            "groups": groups,
            "bias": self.choice(True, True, False),
        }
        return [("Conv2d", options)]

    def _norm(self, name: str = "BatchNorm2d") -> list[Spec]:
        options = {
            "num_features": self.shape[1],
            "eps": self.choice(1e-5, 1e-3),
            "momentum": self.choice(0.1, 0.3, None),
            "affine": self.choice(True, True, False),
            "track_running_stats": self.choice(True, True, False),
        }
        return [(name, options)]

    def _pool(self) -> list[Spec]:
        options = {"kernel_size": self._pair(1, 3), "stride": self.choice(None, self._pair(1, 3))}
        options["padding"] = self.choice(0, self._pair(0, 1))
        average = options | {"count_include_pad": self.choice(True, False)}
        largest = options | {"dilation": self._pair(1, 2), "ceil_mode": self.choice(True, False)}
        adaptive = {"output_size": self._pair(1, 6)}
        return [
            self.choice(
                ("MaxPool2d", largest), ("AvgPool2d", average), ("AdaptiveAvgPool2d", adaptive)
            )
        ]

    def _relu(self) -> list[Spec]:
        return [("ReLU", {})]

    def _block(self) -> list[Spec]:
        c = self.shape[1]
        conv = {"in_channels": c, "out_channels": c, "kernel_size": 3, "padding": 1, "bias": False}
        return [("Residual", [("Conv2d", conv), *self._norm(), ("ReLU", {})])]

    def _dropout(self) -> list[Spec]:
        return [("Dropout", {"p": 0.0 if self.training else 0.4})]

    def _linear(self) -> list[Spec]:
        options = {"in_features": self.shape[1], "out_features": int(self.rng.integers(2, 9))}
        return [("Linear", options | {"bias": self.choice(True, False)})]

    def _head(self) -> None:
        if self.rng.random() < 0.2:  # a batch norm of (N, C, L)
            self._append(lambda: [("Flatten", {"start_dim": 2})])
            self._append(lambda: self._norm("BatchNorm1d"))
        self._append(lambda: [("Flatten", {})])
        if self.rng.random() < 0.4:
            for draw in (self._linear, lambda: self._norm("BatchNorm1d"), self._relu):
                self._append(draw)
        self._append(self._dropout)
        self._append(self._linear)

    def _reduction(self) -> str:
        return str(self.choice("mean", "sum"))

    def _sgd(self) -> dict[str, Any]:
        momentum = self.choice(0.0, 0.9)
        nesterov = bool(momentum) and self.choice(True, False)
        return {
            "lr": self.choice(0.01, 0.05),
            "momentum": momentum,
            "weight_decay": self.choice(0.0, 0.01),
            "nesterov": nesterov,
            "dampening": 0.0 if nesterov else self.choice(0.0, 0.3),
        }

    def _state(self) -> None:
        """Values that float32 holds exactly, so that all five start from the same."""
        self.state = {}
        for name, value in build(torch.nn, self.specs).state_dict().items():
            if name.endswith("num_batches_tracked"):
                self.state[name] = np.array(self.rng.integers(3))
                continue
            array = self.rng.normal(0, 0.5, tuple(value.shape))
            if name.endswith("running_var") or (name.endswith("weight") and value.ndim == 1):
                array = self.rng.uniform(0.5, 2.0, tuple(value.shape))
            elif value.ndim > 1:
                array /= math.sqrt(math.prod(value.shape[1:])) / 2
            self.state[name] = array.astype(np.float32).astype(np.float64)

    def _data(self) -> None:
        n, classes = self.shape
        labels, reals = self.rng.integers(0, classes, n), self.rng.normal(0, 1, self.shape)
        cross = self.loss == "CrossEntropyLoss"
        self.target = labels if cross else reals.astype(np.float32).astype(np.float64)
        for _ in range(60):
            x = self.rng.normal(0, 1, self.input_shape).astype(np.float32)
            self.x = x.astype(np.float64)
            margin, self.longest_sum = measure(self)
            if margin > MARGIN:
                return
        pytest.fail(f"no input of {self.specs} keeps clear of ties")

    def __repr__(self) -> str:
        mode = "train" if self.training else "eval"
        what = f"{self.loss}({self.reduction}) SGD({self.sgd}) input {self.input_shape} {mode}"
        return "\n  ".join([what, *map(str, self.specs)])


case_of = functools.cache(Case)


def two_steps(model: Any, x: Any, target: Any, loss: Any, optimizer: Any) -> Results:
    """What is compared. The statements are the same for PyTorch's objects and for ours."""
    found: Results = {}
    for step in (1, 2):
        optimizer.zero_grad()
        logits = model(x)
        value = loss(logits, target)
        value.backward()
        if step == 1:
            tensors = {"logits": logits, "loss": value, "gradient of the input": x.grad}
            tensors |= {f"gradient of {n}": p.grad for n, p in model.named_parameters()}
            found |= {n: array(t) for n, t in tensors.items()}
            buffers = {n: array(b) for n, b in model.state_dict().items() if "running" in n}
            found |= {f"{n} after one step": b for n, b in buffers.items()}
        optimizer.step()
    state = {n: array(v) for n, v in model.state_dict().items()}
    return found | {f"{n} after two steps": v for n, v in state.items()}


def array(t: Any) -> np.ndarray:
    """A copy: PyTorch's arrays share their tensor's memory."""
    return np.array(t if isinstance(t, np.ndarray) else t.detach().numpy())


def torch_model(case: Case, dtype: str) -> Any:
    model = build(torch.nn, case.specs).to(getattr(torch, dtype))
    model.load_state_dict({n: torch.from_numpy(np.array(v)) for n, v in case.state.items()})
    return model.train(case.training)


def run_torch(
    case: Case, dtype: str, model: Any = None, x: np.ndarray | None = None, loss: Any = None
) -> Results:
    model = model or torch_model(case, dtype)
    kind = getattr(torch, dtype)
    images = torch.tensor(case.x if x is None else x, dtype=kind, requires_grad=True)
    target = torch.tensor(case.target)
    target = target if target.dtype == torch.int64 else target.to(kind)
    loss = loss or getattr(torch.nn, case.loss)(reduction=case.reduction)
    return two_steps(model, images, target, loss, torch.optim.SGD(model.parameters(), **case.sgd))


def run_ours(case: Case, dtype: str) -> Results:
    model = build(gp.nn, case.specs).to(dtype)
    model.load_state_dict(torch_model(case, dtype).state_dict())  # PyTorch's own state dict
    model.train(case.training)
    whole = case.target.dtype.kind == "i"
    target = gp.tensor(case.target, "int32" if whole else dtype)
    loss = getattr(gp.nn, case.loss)(reduction=case.reduction)
    optimizer = gp.optim.SGD(model.parameters(), **case.sgd)
    return two_steps(model, gp.tensor(case.x, dtype, requires_grad=True), target, loss, optimizer)


class Noise(torch.autograd.Function):
    """One rounding of float32 in each element, forward and backward."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return rounded(x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        return rounded(gradient)


def rounded(x: torch.Tensor) -> torch.Tensor:
    return x * (1 + U32 * (2 * torch.randint(2, x.shape) - 1))


class NoisyNorm(torch.autograd.Function):
    """x̂ = (x - mean) s with s = 1/sqrt(variance + eps); dx = s (g - mean(g) - x̂ mean(g x̂)).

    The formula of the gradient relies on mean(x̂) = 0, which rounded statistics do not give.
    """

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, eps: float) -> torch.Tensor:
        ctx.dims = [d for d in range(x.ndim) if d != 1]
        centred = rounded(x - rounded(x.mean(ctx.dims, keepdim=True)))
        variance = rounded((centred * centred).mean(ctx.dims, keepdim=True))
        scale = rounded((variance + eps) ** -0.5)
        out = rounded(centred * scale)
        ctx.save_for_backward(out, scale)
        return out

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor, None]:
        out, scale = ctx.saved_tensors
        along = rounded(out * rounded((g * out).mean(ctx.dims, keepdim=True)))
        mean = rounded(g.mean(ctx.dims, keepdim=True))
        return rounded(scale * rounded(rounded(g - mean) - along)), None


def noisy(module: Any, args: Any, out: torch.Tensor) -> torch.Tensor:
    """The output of a layer with noise; terms cancel inside a normalisation: it is taken apart."""
    if not isinstance(module, NORMALISATIONS):
        return Noise.apply(out)
    (x,) = args
    each = (1, -1, *[1] * (x.ndim - 2))
    if isinstance(module, torch.nn.LayerNorm):
        each = (1, *module.normalized_shape)
    if module.training or getattr(module, "running_mean", None) is None:
        y = NoisyNorm.apply(sets(module, x), module.eps).reshape(x.shape)
    else:
        scale = Noise.apply((module.running_var.view(each) + module.eps) ** -0.5)
        y = Noise.apply(Noise.apply(x - module.running_mean.view(each)) * scale)
    if module.weight is None:
        return y
    bias = 0 if module.bias is None else module.bias.view(each)
    return Noise.apply(y * module.weight.view(each) + bias)


def sets(module: Any, x: torch.Tensor) -> torch.Tensor:
    """The input of a normalisation, with axis 1 for what has one mean."""
    if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
        return x
    if isinstance(module, torch.nn.LayerNorm):
        return x.reshape(1, -1, math.prod(module.normalized_shape))
    groups = module.num_groups if isinstance(module, torch.nn.GroupNorm) else x.shape[1]
    return x.reshape(1, x.shape[0] * groups, -1)


def noisy_loss(case: Case) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    def each(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if case.loss == "MSELoss":
            return Noise.apply(logits - target) ** 2
        logarithms = Noise.apply(torch.log_softmax(logits, 1))
        return torch.nn.functional.nll_loss(logarithms, target, reduction="none")

    reduce = torch.sum if case.reduction == "sum" else torch.mean
    return lambda logits, target: Noise.apply(reduce(Noise.apply(each(logits, target))))


def noise(case: Case, exact: Results) -> dict[str, float]:
    """The largest change of each tensor by one rounding in every element of every tensor."""
    largest = dict.fromkeys(exact, 0.0)
    for seed in range(NOISE_RUNS):
        torch.manual_seed(seed)
        model = torch_model(case, "float64")
        with torch.no_grad():
            for t in (*model.parameters(), *model.buffers()):
                if t.is_floating_point():
                    t.copy_(rounded(t))
        for module in model.modules():
            module.register_forward_hook(noisy)
        x = rounded(torch.tensor(case.x)).numpy()
        for name, value in run_torch(case, "float64", model, x, noisy_loss(case)).items():
            largest[name] = max(largest[name], error(value, exact[name]))
    return largest


def measure(case: Case) -> tuple[float, int]:
    """The closest call of a ReLU or a maximum in two steps, and the longest sum."""
    model = torch_model(case, "float64")
    margins, lengths = [1.0], [math.prod(case.shape)]

    def look(module: Any, args: Any, out: torch.Tensor) -> None:
        (x,) = args
        lengths.append(out.numel() // out.shape[1])
        if hasattr(module, "weight") and module.weight is not None and module.weight.ndim > 1:
            lengths.extend((module.weight[0].numel(), module.weight[:, 0].numel()))
        if isinstance(module, torch.nn.ReLU):
            margins.append(closest(x.abs(), x))
        if isinstance(module, torch.nn.MaxPool2d):
            margins.append(closest(gaps(module, x), x))

    for module in model.modules():
        if not list(module.children()):
            module.register_forward_hook(look)
    run_torch(case, "float64", model)
    return min(margins), max(lengths)


def closest(distances: torch.Tensor, x: torch.Tensor) -> float:
    distances, x = distances.detach(), x.detach()
    distances = distances[distances > 0]
    scale = float(x.abs().max())
    return float(distances.min()) / scale if distances.numel() and scale else 1.0


def gaps(pool: Any, x: torch.Tensor) -> torch.Tensor:
    """Largest minus second largest element of every window."""
    sizes = [(n, n) if isinstance(n, int) else n for n in (pool.kernel_size, pool.padding)]
    (kh, kw), (ph, pw) = sizes
    more = (kh * 4, kw * 4) if pool.ceil_mode else (0, 0)  # windows of padding alone do no harm
    lowest = -1e300
    padded = torch.nn.functional.pad(x, (pw, pw + more[1], ph, ph + more[0]), value=lowest)
    windows = torch.nn.functional.unfold(padded, (kh, kw), pool.dilation, 0, pool.stride)
    windows = windows.reshape(x.shape[0], x.shape[1], kh * kw, -1)
    if kh * kw == 1:
        return torch.zeros(())
    top = windows.topk(2, dim=2).values
    return (top[:, :, 0] - top[:, :, 1]).detach()


def error(a: np.ndarray, exact: np.ndarray) -> float:
    assert a.shape == exact.shape
    assert np.isfinite(a).all()
    return float(np.abs(a.astype(np.float64) - exact).max())


def failures(case: Case, dtype: str, found: Results, exact: Results) -> Iterator[str]:
    """Each tensor whose error is beyond its bound, in words."""
    own = run_torch(case, "float32") if dtype == "float32" else {}
    for name, unit in noise(case, exact).items():
        largest = float(np.abs(exact[name]).max())
        rounding = math.sqrt(case.longest_sum) * unit + LAST_STEPS * U32 * largest
        if name.endswith("num_batches_tracked after two steps"):
            bound = 0.0
        elif dtype == "float32":
            bound = max(rounding, 2 * error(own[name], exact[name]))
        else:
            bound = RELATIVE * largest + 2 * rounding * (U64 / U32)
        wrong = error(found[name], exact[name])
        if not wrong <= bound:
            yield f"{name}: error {wrong:.3g}, allowed {bound:.3g}"


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("seed", range(NETWORKS))
def test_a_random_network_trains_as_in_pytorch(seed: int) -> None:
    case = case_of(seed)
    exact = run_torch(case, "float64")
    dtypes = ("float32", "float64") if current_device().info.fp64 else ("float32",)
    for dtype in dtypes:
        with schedule("tiled" if seed in TILED else "reference"):
            found = run_ours(case, dtype)
        assert list(found) == list(exact)
        wrong = list(failures(case, dtype, found, exact))
        assert not wrong, f"{dtype}, {case}\n" + "\n".join(wrong)


EXAMPLE: list[Spec] = [
    (
        "Conv2d",
        {"in_channels": 1, "out_channels": 8, "kernel_size": 3, "stride": 2, "padding": 1},
    ),
    ("BatchNorm2d", {"num_features": 8}),
    ("ReLU", {}),
    ("Flatten", {}),
    ("Linear", {"in_features": 8 * 4 * 4, "out_features": 10}),
]


def test_the_example_of_a_training_step_agrees_with_pytorch() -> None:
    """A step of a small classifier as a user writes it, and logits in evaluation after it."""
    torch.manual_seed(0)
    theirs = build(torch.nn, EXAMPLE)
    ours = gp.nn.Sequential(
        gp.nn.Conv2d(1, 8, 3, stride=2, padding=1),
        gp.nn.BatchNorm2d(8),
        gp.nn.ReLU(),
        gp.nn.Flatten(),
        gp.nn.Linear(8 * 4 * 4, 10),
    )
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    images = torch.rand(32, 1, 8, 8)
    labels = torch.randint(10, (32,))
    optimizer = gp.optim.SGD(ours.parameters(), lr=0.1, momentum=0.9)
    loss = gp.nn.CrossEntropyLoss()(
        ours(gp.tensor(images.numpy())), gp.tensor(labels.numpy(), dtype="int32")
    )
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    gradients = {name: p.grad.numpy() for name, p in ours.named_parameters()}
    logits = ours.eval()(gp.tensor(images.numpy())).numpy()

    descent = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9)
    expected = torch.nn.CrossEntropyLoss()(theirs(images), labels)
    expected.backward()
    descent.step()
    near = {"rtol": 0.0, "atol": 128 * 2 * U32}  # sums of 32 * 4 * 4 values of order 1 or below
    assert loss.item() == pytest.approx(expected.item(), abs=near["atol"])
    for name, p in theirs.named_parameters():
        np.testing.assert_allclose(gradients[name], p.grad.numpy(), **near, err_msg=name)
    with torch.no_grad():
        np.testing.assert_allclose(logits, theirs.eval()(images).numpy(), **near)
    assert ours.state_dict().keys() == theirs.state_dict().keys()


def test_the_networks_have_every_layer_and_options_vary() -> None:
    cases = [case_of(seed) for seed in range(NETWORKS)]
    values: dict[tuple[str, str], set[str]] = {}
    for name, options in (spec for case in cases for spec in case.specs if spec[0] != "Residual"):
        for option, value in options.items() or [("", "")]:
            values.setdefault((name, option), set()).add(repr(value))
    assert {name for name, _ in values} | {case.loss for case in cases} == LAYERS
    constant = {key for key, found in values.items() if len(found) < 2}
    assert constant == {("ReLU", ""), ("Flatten", ""), ("Flatten", "start_dim")}
    assert {(c.loss, c.reduction, c.training) for c in cases} == set(
        itertools.product(("CrossEntropyLoss", "MSELoss"), ("mean", "sum"), (True, False))
    )
    assert all(len({c.sgd[name] for c in cases}) == 2 for name in cases[0].sgd)
    assert any(name == "Residual" for c in cases for name, _ in c.specs)


def test_a_wrong_gradient_is_found() -> None:
    """The bounds are narrow: 1e-8 of a gradient is seen in float64, 1e-4 in float32."""
    case = case_of(1)
    exact = run_torch(case, "float64")
    for dtype, factor in (("float64", 1 + 1e-8), ("float32", 1 + 1e-4)):
        found = run_torch(case, dtype)
        assert not list(failures(case, dtype, found, exact))
        for name in exact:
            if name.startswith("gradient") and np.abs(exact[name]).max() > 1e-3:
                wrong = found | {name: found[name] * factor}
                assert len(list(failures(case, dtype, wrong, exact))) == 1, name


@pytest.mark.parametrize(
    ("extent", "kernel", "stride"), [(1, 2, 2), (2, 3, 2), (5, 3, 2), (4, 3, 3)]
)
def test_ceil_mode_has_pytorchs_windows(extent: int, kernel: int, stride: int) -> None:
    """With ceil_mode a window may be wider than the image: its last part lies outside."""
    x = np.arange(float(extent**2), dtype=np.float32).reshape(1, 1, extent, extent)
    expected = torch.nn.MaxPool2d(kernel, stride, ceil_mode=True)(torch.tensor(x)).numpy()
    found = gp.nn.MaxPool2d(kernel, stride, ceil_mode=True)(gp.tensor(x)).numpy()
    np.testing.assert_array_equal(found, expected)
