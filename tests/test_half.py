"""float16 in memory, float32 in every sum: exact on integers, within derived bounds elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import gradproof as gp
from gradproof.cli import main
from gradproof.runtime import autograd, dispatch, models
from gradproof.runtime.errors import ArgumentError, DTypeError, GradproofError
from gradproof.runtime.half import stored_as_half
from gradproof.runtime.manifest import operators
from gradproof.runtime.schedule import schedule
from gradproof.runtime.step import TrainingStep
from gradproof.runtime.tensor import Tensor

F, nn = gp.functional, gp.nn
Array = np.ndarray[Any, Any]
U = 2.0**-11  # of a stored element
V = 2.0**-24  # of an operation in float32


def small(rng: np.random.Generator, *shape: int, most: int = 2) -> Array:
    return rng.integers(-most, most + 1, shape).astype(np.float32)


def gradients(
    function: Callable[..., Tensor], arrays: list[Array], cotangent: Array, dtype: str
) -> list[Array]:
    """The result and the gradient of every operand."""
    tensors = [gp.tensor(a, dtype, requires_grad=True) for a in arrays]
    out = function(*tensors)
    out.backward(gp.tensor(cotangent.reshape(out.shape), dtype))
    found = [out, *(t.grad for t in tensors)]
    assert all(t is not None and str(t.dtype) == dtype for t in found)
    return [t.numpy().astype(np.float64) for t in found if t is not None]


# Forward and backward of what LeNet and the residual networks for small images are made of.
LAYERS: dict[str, tuple[Callable[..., Tensor], list[tuple[int, ...]], tuple[int, ...]]] = {
    "conv2d": (
        lambda x, w, b: F.conv2d(x, w, b, stride=2, padding=1),
        [(2, 3, 7, 6), (4, 3, 3, 3), (4,)],
        (2, 4, 4, 3),
    ),
    "linear": (F.linear, [(5, 33), (4, 33), (4,)], (5, 4)),
    "max_pool2d": (lambda x: F.max_pool2d(x, 2), [(2, 3, 6, 8)], (2, 3, 3, 4)),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, 2), [(2, 3, 6, 8)], (2, 3, 3, 4)),
    "relu": (F.relu, [(7, 9)], (7, 9)),
    "add": (F.add, [(7, 9), (7, 9)], (7, 9)),
    "sum": (lambda x: F.sum(x, 1), [(7, 9)], (7,)),
}


def compared(name: str) -> None:
    function, shapes, out = LAYERS[name]
    rng = np.random.default_rng(0)
    arrays, cotangent = [small(rng, *s) for s in shapes], 4 * small(rng, *out)
    ours = gradients(function, arrays, cotangent, "float16")
    theirs = gradients(function, arrays, cotangent, "float64")
    for a, b in zip(ours, theirs, strict=True):
        assert np.abs(b).max() <= 2048  # else it could not be exact
        assert np.array_equal(a, b), name


@pytest.mark.parametrize("name", LAYERS)
def test_integers_are_exact(name: str) -> None:
    compared(name)


def normal(rng: np.random.Generator, *shape: int) -> Array:
    """What float16 holds exactly."""
    return rng.normal(size=shape).astype(np.float16).astype(np.float32)


def bounded(most: float = 1.0) -> None:
    """A result of n terms is off by one rounding to 11 bits and n + 2 in float32."""
    rng = np.random.default_rng(1)
    x, w, b = normal(rng, 64, 300), normal(rng, 20, 300), normal(rng, 20)
    g = normal(rng, 64, 20)
    z, dx, dw, db = gradients(F.linear, [x, w, b], g, "float16")
    x, w, b, g = (a.astype(np.float64) for a in (x, w, b, g))
    cases = [
        (z, x @ w.T + b, abs(x) @ abs(w).T + abs(b), 301),
        (dx, g @ w, abs(g) @ abs(w), 20),
        (dw, g.T @ x, abs(g).T @ abs(x), 64),
        (db, g.sum(0), abs(g).sum(0), 64),
    ]
    for found, exact, total, terms in cases:
        sum_error = (terms + 2) * V * total
        assert (abs(found - exact) <= sum_error + U * most * (abs(exact) + sum_error)).all()


def test_other_numbers_are_within_one_rounding() -> None:
    bounded()
    with pytest.raises(AssertionError):
        bounded(0.5)


def test_sums_are_in_float32() -> None:
    """4,096 ones: in half precision the sum would stay at 2,048."""
    ones = gp.tensor(np.ones((1, 4096), np.float32), "float16")
    assert F.sum(ones).item() == 4096
    assert F.linear(ones, ones).item() == 4096


@pytest.fixture
def fresh() -> Any:
    dispatch._reference.cache_clear()
    yield
    dispatch._reference.cache_clear()


# Faults in the rewriting, each found by one of the checks above.
FAULTS = {
    "rounds towards zero": ("vstore_half_rte", "vstore_half_rtz", bounded),
    "rounds every term": (r"(sum0\w* \+= )(.*?);", r"\1as_half(\2);", test_sums_are_in_float32),
    "reads a neighbour": (r", w\)", r" ^ 1, w)", lambda: compared("linear")),
}  # fmt: skip
ROUNDED = """
float as_half(float x)
{
    ushort h;
    vstore_half_rte(x, 0, (half *)&h);
    return vload_half(0, (half *)&h);
}
"""


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.usefixtures("fresh")
def test_a_fault_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pattern, replacement, check = FAULTS[name]

    def wrong(source: str, halves: Collection[str]) -> str:
        text = re.sub(pattern, replacement, stored_as_half(source, halves))
        if name == "rounds every term":  # the accumulator too
            text = re.sub(r"(sum0\w*) \+= as_half\((.*?)\);", r"\1 = as_half(\1 + (\2));", text)
            text = ROUNDED.replace("as_half", "half_of") + text.replace("as_half", "half_of")
        return text

    monkeypatch.setattr(dispatch, "stored_as_half", wrong)
    with pytest.raises(AssertionError):
        check()


def test_every_reference_kernel_has_a_form_in_half() -> None:
    """No access is left as it was, and nothing else has changed."""
    for op in operators().values():
        before, after = op.source, stored_as_half(op.source)
        assert "REAL *" not in re.sub(r"//.*", "", after)
        assert after.count("__global half") == before.count("__global REAL")
        assert after.count("vstore_half_rte") == len(re.findall(r"__global REAL", before))
        back = undone(re.sub(r"\bhalf \*", "REAL *", after))
        assert back == before, op.name


def undone(text: str) -> str:
    """The accesses as they were, by counting brackets."""
    while (at := text.rfind("vload_half(")) >= 0:  # the innermost first
        depth, end = 1, at + len("vload_half(")
        while depth:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        index, _, name = text[at + len("vload_half(") : end - 1].rpartition(", ")
        text = f"{text[:at]}{name}[{index}]{text[end:]}"
    store = r"vstore_half_rte\((.*?), id, (\w+)\);"
    return re.sub(store, r"\2[id] = \1;", text, flags=re.DOTALL)


def test_a_text_outside_of_the_subset_is_refused() -> None:
    head = "__kernel void k(\n    __global REAL *restrict z)\n{\n"
    with pytest.raises(GradproofError, match="k cannot be rewritten"):
        stored_as_half(head + "    z [id] = 1;\n}\n")
    with pytest.raises(GradproofError, match="outside of the subset"):
        stored_as_half(head + "    z[id] = 1; }\n")


# -- networks ------------------------------------------------------------------------------------
@pytest.fixture
def compared_kernels(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every kernel on float16 that is launched is compared with the kernel on float32 that it is
    derived from, on the same elements: the results, rounded once, are the same bits."""
    seen: list[str] = []

    def up(t: Tensor) -> Tensor:
        return gp.tensor(t.numpy(), "float32") if t.dtype == np.float16 else t

    def execute(
        binding: Any, kernels: Any, operands: Any, scalars: Any, **how: Any
    ) -> dict[str, Tensor]:
        specs = tuple(kernels)
        known = {n: up(t) for n, t in operands.items()}
        out = dispatch.execute(binding, specs, operands, scalars, **how)
        halves = any(t.dtype == np.float16 for t in (*operands.values(), *out.values()))
        for spec in specs if halves else ():
            reads = {n: known[n] for n in spec.reads}
            with schedule("phases"):
                plain = dispatch.execute(binding, (spec,), reads, scalars, label="float32")
            with np.errstate(over="ignore"):
                want = plain[spec.target].numpy().astype(out[spec.target].dtype)
            assert np.array_equal(out[spec.target].numpy(), want), spec.name
            known[spec.target] = up(out[spec.target])
            seen.append(spec.name)
        return out

    monkeypatch.setattr(autograd, "execute", execute)
    return seen


def trained(name: str, shape: tuple[int, ...]) -> None:
    """Forward and backward of a network in float16."""
    gp.manual_seed(0)
    model = models.build_model(name, shape, 10).half()
    rng = np.random.default_rng(0)
    x, y = normal(rng, 2, *shape), rng.integers(0, 10, 2).astype(np.int32)
    nn.CrossEntropyLoss()(model(gp.tensor(x, "float16")), gp.tensor(y)).backward()
    for p in model.parameters():
        assert p.grad is not None
        assert p.grad.dtype == np.float16
        assert np.isfinite(p.grad.numpy()).all()


@pytest.mark.parametrize(
    ("name", "shape", "kernels"), [("lenet", (1, 28, 28), 20), ("resnet20", (3, 8, 8), 150)]
)
def test_every_kernel_of_a_network_is_that_of_float32(
    name: str, shape: tuple[int, ...], kernels: int, compared_kernels: list[str]
) -> None:
    trained(name, shape)
    assert len(compared_kernels) > kernels


def mixed(images: str, storage: str | None = "float16") -> tuple[list[float], list[Array], Any]:
    """Losses and parameters after three steps of a network in float32, and the last logits."""
    gp.manual_seed(0)
    model = models.build_model("lenet", (1, 12, 12), 10)
    optimizer = gp.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    step = TrainingStep(model, optimizer, nn.CrossEntropyLoss(), planned=False, storage=storage)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(8, 1, 12, 12)).astype(images), rng.integers(0, 10, 8).astype(np.int32)
    losses, logits = zip(*[step(x, y) for _ in range(3)], strict=True)
    for p in model.parameters():
        assert p.dtype == np.float32
    return list(losses), [p.numpy() for p in model.parameters()], logits[-1]


def test_a_step_with_activations_in_float16(compared_kernels: list[str]) -> None:
    losses, parameters, logits = mixed("float32")
    count = len(compared_kernels)
    assert count > 20
    assert logits.dtype == np.float16
    assert losses[-1] < losses[0]
    plain_losses, plain, plain_logits = mixed("float32", None)
    assert plain_logits.dtype == np.float32
    assert len(compared_kernels) == count
    assert np.abs(np.subtract(losses, plain_losses)).max() < 0.05
    changed = [np.abs(a - b).max() for a, b in zip(parameters, plain, strict=True)]
    assert 0 < max(changed) < 0.05
    # Parameters and their gradients have more than 11 bits.
    assert any((p != p.astype(np.float16)).any() for p in parameters)


def test_inner_values_and_gradients_have_their_own_type() -> None:
    """Batch norm of float16 with float32 parameters: at mean 3000 the deviations survive."""
    layer = nn.BatchNorm2d(3)
    rng = np.random.default_rng(0)
    x = (3000 + 4 * rng.integers(-8, 9, (8, 3, 5, 5))).astype(np.float32)
    half_x = gp.tensor(x, "float16", requires_grad=True)
    assert np.array_equal(half_x.numpy(), x)
    out = layer(half_x)
    assert out.dtype == np.float16
    exact = (x - x.mean((0, 2, 3), keepdims=True)) / x.std((0, 2, 3), keepdims=True)
    assert np.abs(out.numpy() - exact).max() <= 2 * U * np.abs(exact).max()
    out.backward(gp.tensor(np.ones(x.shape, np.float32), "float16"))
    assert half_x.grad is not None and half_x.grad.dtype == np.float16
    assert layer.weight.grad is not None and layer.weight.grad.dtype == np.float32
    assert layer.bias.grad.numpy().tolist() == [200.0] * 3


def test_a_step_in_float16_is_of_a_model_in_float32() -> None:
    model = nn.Linear(2, 2, dtype="float64")
    optimizer = gp.optim.SGD(model.parameters(), lr=0.1)
    for storage, message in (("float16", "of a model in float64"), ("int8", "expected 'float16'")):
        with pytest.raises(ArgumentError, match=message):
            TrainingStep(model, optimizer, nn.CrossEntropyLoss(), storage=storage)
    other = nn.Linear(2, 2)
    optimizer = gp.optim.SGD(other.parameters(), lr=0.1)
    with pytest.raises(ArgumentError, match="needs a planned step"):
        TrainingStep(other, optimizer, nn.CrossEntropyLoss(), storage="float16", checkpoint=True)


@pytest.mark.usefixtures("fresh", "compared_kernels")
def test_another_rounding_is_seen_in_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(source: str, halves: Collection[str]) -> str:
        return stored_as_half(source, halves).replace("vstore_half_rte", "vstore_half_rtz")

    monkeypatch.setattr(dispatch, "stored_as_half", wrong)
    with pytest.raises(AssertionError, match="conv2d_z"):
        trained("lenet", (1, 28, 28))


def test_the_memory_is_half() -> None:
    layer = nn.Linear(512, 512)
    before = layer.weight.buffer.size
    assert layer.half().weight.buffer.size <= 0.51 * before


def test_what_float16_cannot_do_is_said() -> None:
    layer = nn.Linear(4, 2).half()
    x = gp.tensor(np.ones((3, 4), np.float32))
    with pytest.raises(DTypeError, match="Linear: input has dtype float64, but weight has float16"):
        layer(gp.tensor(np.ones((3, 4))))
    with pytest.raises(DTypeError, match="Linear: operands are float16, expected float32 or"):
        gp.plan(layer, gp.tensor(x.numpy(), "float16"))
    with pytest.raises(DTypeError, match="SGD: parameter 0 is float16"):
        gp.optim.SGD(layer.parameters(), lr=0.1)
    with pytest.raises(DTypeError, match="'float32', 'float64' or 'float16'"):
        layer.to("bfloat16")


def test_commands(tmp_path: Path) -> None:
    def run(*arguments: str, code: int = 0) -> str:
        result = CliRunner().invoke(main.app, list(arguments), prog_name="gradproof")
        assert result.exit_code == code, result.output
        return result.output

    path = str(tmp_path / "run")
    rng, y = np.random.default_rng(0), np.arange(24) % 3
    x = rng.uniform(0, 0.2, (24, 8, 8)).astype(np.float32)
    x[np.arange(24), y * 3] = 1.0
    np.savez(tmp_path / "bars.npz", x_train=x, y_train=y, x_test=x[:9], y_test=y[:9])
    run("train", str(tmp_path / "bars.npz"), "--epochs", "2", "--dtype", "float16", "--out", path)
    own = re.search(r"Held-out accuracy (\S+)%", run("evaluate", path))
    other = re.search(r"Held-out accuracy (\S+)%", run("evaluate", path, "--dtype", "float16"))
    assert own and other
    assert abs(float(own[1]) - float(other[1])) <= 1.0
    np.save(tmp_path / "x.npy", x[:3])
    run("predict", path, str(tmp_path / "x.npy"), "--dtype", "float16")
    assert "dtype 'int8'" in run(
        "predict", path, str(tmp_path / "x.npy"), "--dtype", "int8", code=2
    )
