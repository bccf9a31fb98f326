"""Networks as ONNX files: their numbers, their form, and what cannot be exported."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import gradproof as gp
from gradproof.cli import main
from gradproof.runtime.config import Config
from gradproof.runtime.errors import (
    ArgumentError,
    DataError,
    DTypeError,
    GradproofError,
    ShapeError,
)
from gradproof.runtime.meta import meta
from gradproof.runtime.models import MODELS, VGG, AlexNet, build_model
from gradproof.runtime.models.residual import BasicBlock, Bottleneck
from gradproof.runtime.models.resnet import ResNet
from gradproof.runtime.models.vgg import VGG11
from gradproof.runtime.onnx.export import BUILDERS
from gradproof.runtime.onnx.passes import Example
from gradproof.runtime.onnx.record import record_forward
from gradproof.runtime.progress import EpochResult
from gradproof.runtime.run import RunConfig, RunFolder, versions
from gradproof.runtime.step import TrainingStep
from tests.onnx_check import U, agree, error, onnx, ours, runtime, unchecked

nn, F = gp.nn, gp.functional

FAMILIES: dict[str, Any] = {
    "demo": (lambda: build_model("demo", (1, 8, 8), 10), (1, 1, 8, 8)),
    "lenet": (lambda: build_model("lenet", (1, 28, 28), 10), (1, 1, 28, 28)),
    "alexnet": (lambda: AlexNet(5, 0.5, hidden=32), (1, 3, 63, 63)),
    "vgg11": (lambda: VGG(VGG11, False, 5, 0.5, hidden=16), (1, 3, 32, 32)),
    "vgg11_bn": (lambda: VGG(VGG11, True, 5, 0.5, hidden=16), (1, 3, 32, 32)),
    "resnet of basic blocks": (
        lambda: ResNet(BasicBlock, (1, 2), (8, 16), "7x7", 5),
        (1, 3, 33, 40),
    ),
    "resnet of bottlenecks": (
        lambda: ResNet(Bottleneck, (1, 2), (8, 16), "7x7", 5),
        (1, 3, 33, 40),
    ),
    "resnet20": (lambda: gp.models.resnet20(), (1, 3, 32, 32)),
}


SLOW = {"alexnet", "vgg11"}  # their kernels take long to build


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW)) for n in FAMILIES]
)
def test_a_family_of_networks(name: str, tmp_path: Path) -> None:
    build, shape = FAMILIES[name]
    small = name in ("demo", "lenet")
    options = {} if small else {"exactly": unchecked}  # the interpreter takes seconds for these
    agree(build(), [shape], tmp_path, batches=(1, 3), **options)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50", "alexnet"])
def test_a_network_of_the_usual_size(name: str, tmp_path: Path) -> None:
    agree(
        build_model(name, (3, 224, 224), 1000),
        [(1, 3, 224, 224)],
        tmp_path,
        batches=(1,),
        exactly=unchecked,
    )


@pytest.mark.parametrize("name", MODELS)
def test_every_network_of_the_zoo_has_a_form(name: str) -> None:
    """Each at its real size, without memory: all that is left to do is to write the weights."""
    entry = MODELS[name]
    with meta():
        model = build_model(name, entry.image_shape, entry.num_classes)
    example = Example((1, *entry.image_shape), np.dtype(np.float32))
    recorded = record_forward(model, [example], dynamic_batch=True)
    assert {o.operator.name for o in recorded.operations} <= BUILDERS.keys()
    used = {c.name for c in recorded.constants.values()}
    assert used == {n for n, _ in model._state() if not n.endswith("num_batches_tracked")}
    assert recorded.outputs[0].shape == ((11, 13), (entry.num_classes,) * 2)


def small() -> gp.nn.Sequential:
    gp.manual_seed(0)
    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten())


X = np.random.default_rng(0).normal(size=(2, 2, 5, 5)).astype(np.float32)


def test_a_wrong_weight_is_seen(tmp_path: Path) -> None:
    """The bound is not so wide that a change of a millionth would pass."""
    model = small()
    gp.onnx.export(model, X, tmp_path / "m.onnx")
    model.double()
    exact = ours(model, [X.astype(np.float64)])[0]
    proto = onnx.load(tmp_path / "m.onnx")
    for w in proto.graph.initializer:
        if w.name == "0.weight":
            array = onnx.numpy_helper.to_array(w)
            w.CopyFrom(onnx.numpy_helper.from_array(array * np.float32(1 + 2e-5), w.name))
    right = error(runtime(tmp_path / "m.onnx", [X])[0], exact)
    onnx.save(proto, tmp_path / "m.onnx")
    assert error(runtime(tmp_path / "m.onnx", [X])[0], exact) > 1e-6 * abs(exact).max() > 2 * right
    assert right <= 64 * U * abs(exact).max()


# -- the form of the file -------------------------------------------------------------------------
def test_the_file_has_the_names_of_the_state_dict(tmp_path: Path) -> None:
    model = small()
    gp.onnx.export(model, (1, 2, 5, 5), tmp_path / "m.onnx")
    proto = onnx.load(tmp_path / "m.onnx")
    arrays = {w.name: onnx.numpy_helper.to_array(w) for w in proto.graph.initializer}
    state = model.state_dict()
    state.pop("1.num_batches_tracked")
    assert arrays.keys() == state.keys()
    assert all(np.array_equal(arrays[n], state[n]) for n in state)
    assert [n.op_type for n in proto.graph.node] == [
        "Conv",
        "BatchNormalization",
        "Relu",
        "Flatten",
    ]
    assert proto.graph.node[0].name == "0/Conv"
    assert proto.producer_name == "gradproof" and proto.opset_import[0].version == 17


def extents(end: Any) -> list[Any]:
    return [d.dim_param or d.dim_value for d in end.type.tensor_type.shape.dim]


def test_names_and_a_fixed_batch(tmp_path: Path) -> None:
    gp.onnx.export(
        small(), X, tmp_path / "m.onnx", input_names=["images"], output_names=["features"]
    )
    graph = onnx.load(tmp_path / "m.onnx").graph
    assert (graph.input[0].name, extents(graph.input[0])) == ("images", ["batch", 2, 5, 5])
    assert (graph.output[0].name, extents(graph.output[0])) == ("features", ["batch", 27])
    gp.onnx.export(small(), X, tmp_path / "m.onnx", dynamic_batch=False)
    graph = onnx.load(tmp_path / "m.onnx").graph
    assert (extents(graph.input[0]), extents(graph.output[0])) == ([2, 2, 5, 5], [2, 27])
    assert runtime(tmp_path / "m.onnx", [X])[0].shape == (2, 27)


def test_a_shared_weight_is_there_once(tmp_path: Path) -> None:
    layer = nn.Linear(4, 4)
    gp.onnx.export(nn.Sequential(layer, nn.Tanh(), layer), (1, 4), tmp_path / "m.onnx")
    names = [w.name for w in onnx.load(tmp_path / "m.onnx").graph.initializer]
    assert names == ["0.weight", "0.bias"]


def test_the_model_is_as_before(tmp_path: Path) -> None:
    model = nn.Sequential(small(), nn.Dropout())
    model[0][1].eval()
    before, modes = model.state_dict(), [m.training for m in model.modules()]
    gp.onnx.export(model, X, tmp_path / "m.onnx")
    assert [m.training for m in model.modules()] == modes and not all(modes)
    assert all(np.array_equal(before[n], v) for n, v in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_a_constant_of_the_forward_pass(tmp_path: Path) -> None:
    class Shift(nn.Module):
        def forward(self, x: gp.Tensor) -> gp.Tensor:
            return F.linear(x, gp.tensor(np.diag([1.0, 2.0, 3.0]).astype(np.float32)))

    gp.onnx.export(Shift(), (1, 3), tmp_path / "m.onnx")
    out = runtime(tmp_path / "m.onnx", [np.ones((2, 3), np.float32)])[0]
    assert out.tolist() == [[1, 2, 3]] * 2


# -- what cannot be -------------------------------------------------------------------------------
class Calls(nn.Module):
    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: gp.Tensor) -> Any:
        return self.function(x)


@pytest.mark.parametrize("name", ["cube", "relu"])
def test_a_users_operator_has_no_form(name: str, tmp_path: Path) -> None:
    """Also one with the name of a shipped operator, whose form would be wrong."""
    cube = gp.compile(gp.operator(name, "z[i] = Y[i]**3", {"Y": "T"}))
    act = Calls(lambda x: cube(x.reshape(-1)).reshape(x.shape))
    model = nn.Sequential(nn.Linear(3, 3), nn.Sequential(act))
    with pytest.raises(GradproofError, match=rf"1\.0 \(Calls\).*: operator '{name}' has no ONNX"):
        gp.onnx.export(model, (1, 3), tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: x / x.shape[0], r"0 \(Calls\), div: the number divisor depends on the batch"),
        (lambda x: x[-1], r"0 \(Calls\), index: size F depends on the batch"),
        (lambda x: x if x.shape[0] > 11 else -x, "the number of operators depends"),
        (lambda x: F.tanh(x) if x.shape[0] > 11 else -x, "the operator at 0 .* depends"),
        (lambda x: x + gp.tensor(np.zeros(x.shape, np.float32)), "depends on the size"),
        (lambda x: F.cat([F.relu(x)] * 2, 0).reshape(2, x.shape[0], 1, 4), None),
        (
            lambda x: F.softmax((x @ F.transpose(x, 0, 1)).reshape(-1), 0).reshape([len(x)] * 2),
            "has more than one extent that depends on the batch",
        ),
        (lambda x: F.dropout(x, 0.5), "operator 'dropout' has no ONNX form"),
        (lambda x: F.batch_norm(x, *MOVED, training=True), "writes to a tensor of the model"),
        (lambda x: [x], "result 0 of Sequential is list"),
        (lambda x: x.numpy(), "not known while a step|made without memory|cannot be read"),
    ],
)
def test_what_a_graph_cannot_say_is_refused(
    function: Any, words: str | None, tmp_path: Path
) -> None:
    model, path = nn.Sequential(Calls(function)), tmp_path / "m.onnx"
    if words is None:
        gp.onnx.export(model, (1, 4), path)
        return
    with pytest.raises(GradproofError, match=words):
        gp.onnx.export(model, (1, 4), path)
    assert not path.exists()


MOVED = [gp.tensor(np.zeros(4, np.float32)) for _ in range(2)]


@pytest.mark.parametrize(
    ("args", "options", "kind", "words"),
    [
        ((), {}, ArgumentError, r"args=\(\), expected a tensor"),
        ("x", {}, ArgumentError, "args='x'"),
        ((1, 0, 5, 5), {}, ArgumentError, "args="),
        (X.astype(np.float16), {}, DTypeError, r"0 \(Conv2d\): operands are float16"),
        (np.float32(1) * X[0, 0, 0, 0], {}, ArgumentError, "args="),
        ((2, 5, 5), {}, ShapeError, r"0 \(Conv2d\)"),
        (X, {"opset_version": 16}, ArgumentError, "opset_version=16, expected an integer from 17"),
        (X, {"opset_version": 10**6}, ArgumentError, "opset_version"),
        (X, {"input_names": "images"}, ArgumentError, "input_names='images', expected 1 name"),
        (X, {"output_names": ["a", "b"]}, ArgumentError, "output_names"),
        (X, {"input_names": ["0.bias"]}, GradproofError, "the name '0.bias' is taken"),
        (X, {"input_names": ["a"], "output_names": ["a"]}, GradproofError, "'a' is taken"),
    ],
)
def test_wrong_arguments(
    args: Any, options: Any, kind: type[Exception], words: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=words):
        gp.onnx.export(small(), args, tmp_path / "m.onnx", **options)
    assert not (tmp_path / "m.onnx").exists()


def test_an_input_without_a_batch(tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="input 0 has no dimensions, so no batch"):
        gp.onnx.export(nn.ReLU(), gp.tensor(1.0), tmp_path / "m.onnx")
    gp.onnx.export(nn.ReLU(), gp.tensor(1.0), tmp_path / "m.onnx", dynamic_batch=False)
    assert runtime(tmp_path / "m.onnx", [np.array(-1, np.float32)]) == [0]


def test_without_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(GradproofError, match="pip install onnx"):
        gp.onnx.export(small(), X, tmp_path / "m.onnx")


def test_a_model_larger_than_a_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    onnx_export = import_module("gradproof.runtime.onnx.export")
    model = small()
    size = sum(p.numpy().nbytes for p in model.parameters())
    monkeypatch.setattr(onnx_export, "LARGEST", size)
    gp.onnx.export(model, X, tmp_path / "m.onnx")
    monkeypatch.setattr(onnx_export, "LARGEST", size - 1)
    with pytest.raises(GradproofError, match=r"an ONNX file holds less than .*; export the model"):
        gp.onnx.export(model, X, tmp_path / "larger.onnx")
    assert not (tmp_path / "larger.onnx").exists()


def test_what_protobuf_refuses_is_one_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ValueError("Message onnx.ModelProto exceeds maximum protobuf size of 2GB")

    monkeypatch.setattr("onnx.checker.check_model", refuse)
    with pytest.raises(GradproofError, match=r"onnx does not take the model: .*2GB"):
        gp.onnx.export(small(), X, tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none/m\.onnx: cannot be written"):
        gp.onnx.export(small(), X, tmp_path / "none" / "m.onnx")


# -- the command ----------------------------------------------------------------------------------
@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run folder after one epoch."""
    path = tmp_path / "run"
    config = RunConfig(
        config=Config(),
        image_shape=(1, 8, 8),
        classes=("a", "b", "c"),
        device="cpu",
        versions=versions(),
    )
    model = build_model("demo", (1, 8, 8), 3)
    RunFolder.create(path, config).add(EpochResult(1, *[0.5] * 9), model.state_dict())
    return path


def command(*args: object, code: int) -> str:
    found = CliRunner().invoke(main.app, ["export", *map(str, args)], prog_name="gradproof")
    assert found.exit_code == code, found.output
    return found.output


def test_the_command_writes_the_runs_network(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "run.onnx"
    assert str(path) in command(run, "--onnx", path, "--json", code=0)
    x = np.random.default_rng(0).normal(size=(5, 1, 8, 8)).astype(np.float32)
    model = RunFolder.open(run).load_model().double()
    exact = ours(model, [x.astype(np.float64)])[0]
    assert error(runtime(path, [x])[0], exact) <= 1e-5 * abs(exact).max()


def test_the_command_without_an_option_or_a_run(run: Path, tmp_path: Path) -> None:
    assert "nothing to write: give --onnx FILE" in command(run, code=2)
    assert "no such folder" in command(tmp_path / "none", "--onnx", tmp_path / "a", code=2)


def test_the_pages_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(__file__).resolve().parents[1] / "docs" / "in-and-out.md"
    block = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), flags=re.S)[1]
    monkeypatch.chdir(tmp_path)
    exec(block, {})  # noqa: S102
    assert onnx.load(tmp_path / "network.onnx").graph.input[0].name == "images"


def test_a_network_after_planned_steps(tmp_path: Path) -> None:
    """Whose parameters lie in blocked layouts; the training goes on as if nothing had been."""
    gp.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)
    )
    step = TrainingStep(model, gp.optim.SGD(model.parameters(), lr=0.1), nn.CrossEntropyLoss())
    y = np.array([0, 1], np.int32)
    losses = [step(X, y)[0] for _ in range(3)]
    gp.onnx.export(model, X, tmp_path / "m.onnx")
    losses.append(step(X, y)[0])
    found = runtime(tmp_path / "m.onnx", [X])[0]
    again = nn.Sequential(*model)
    state = {w.name: onnx.numpy_helper.to_array(w) for w in graph_of(tmp_path).initializer}
    again.load_state_dict(state, strict=False)
    exact = ours(again.double(), [X.astype(np.float64)])[0]
    assert error(found, exact) <= 1e-5 * abs(exact).max()
    assert losses == sorted(losses, reverse=True) and len(set(losses)) == 4


def graph_of(folder: Path) -> Any:
    return onnx.load(folder / "m.onnx").graph
