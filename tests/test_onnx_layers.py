"""Every layer and function that has an ONNX form, alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradproof as gp
from gradproof.runtime.onnx.export import BUILDERS
from gradproof.runtime.onnx.record import record_forward
from tests.onnx_check import agree, interpreted, onnx, runtime, unchecked

nn, F = gp.nn, gp.functional


class Function(nn.Module):
    """A function as a layer."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *args: gp.Tensor) -> Any:
        return self.function(*args)


class Cropping(nn.Module):
    """A convolution with negative paddings, which only the function takes."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(np.zeros((2, 4, 3, 3), np.float32))

    def forward(self, x: gp.Tensor) -> gp.Tensor:
        return F.conv2d(x, self.weight, padding=((-1, 2), (1, -2)))


IMAGE, VOLUME, SIGNAL, ROW = (2, 4, 7, 6), (2, 4, 5, 4, 6), (2, 4, 9), (2, 6)

LAYERS: dict[str, tuple[nn.Module, Any]] = {
    "conv1d": (nn.Conv1d(4, 3, 3, stride=2, padding=1), SIGNAL),
    "conv2d": (nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(2, 1), dilation=(1, 2)), IMAGE),
    "conv2d groups": (nn.Conv2d(4, 6, 3, groups=2, bias=False, padding="same"), IMAGE),
    "conv2d sides": (nn.Conv2d(4, 2, 3, padding=((0, 2), (1, 0))), IMAGE),
    "conv2d crop": (Cropping(), IMAGE),
    "conv3d": (nn.Conv3d(4, 2, (2, 3, 1), stride=(2, 1, 1), padding=(1, 0, 1)), VOLUME),
    "transposed 1d": (nn.ConvTranspose1d(4, 3, 3, stride=2, padding=1), SIGNAL),
    "transposed 2d": (nn.ConvTranspose2d(4, 6, 3, (2, 3), (1, 0), (1, 2)), IMAGE),
    "transposed groups": (nn.ConvTranspose2d(4, 6, 3, 2, groups=2, dilation=(1, 2)), IMAGE),
    "transposed 3d": (nn.ConvTranspose3d(4, 2, 2, stride=2, bias=False), VOLUME),
    "linear": (nn.Linear(6, 5), ROW),
    "linear of many": (nn.Linear(6, 5, bias=False), IMAGE),
    "max pool 1d": (nn.MaxPool1d(3, 2, padding=1), SIGNAL),
    "max pool 2d": (nn.MaxPool2d((3, 2), (2, 3), padding=1, dilation=(1, 2)), IMAGE),
    "max pool up": (nn.MaxPool2d(3, 2, ceil_mode=True), IMAGE),
    "max pool far": (nn.MaxPool2d(2, 4, dilation=3, ceil_mode=True), (2, 4, 9, 9)),
    "max pool 3d": (nn.MaxPool3d(2, 2), VOLUME),
    "mean pool 1d": (nn.AvgPool1d(3, 2, padding=1), SIGNAL),
    "mean pool 2d": (nn.AvgPool2d(3, 2, padding=1), IMAGE),
    "mean pool up": (nn.AvgPool2d(3, 2, padding=1, ceil_mode=True), (2, 4, 8, 8)),
    "mean pool valid": (nn.AvgPool2d(3, (2, 1), padding=1, count_include_pad=False), IMAGE),
    "mean pool 3d": (nn.AvgPool3d(2), VOLUME),
    "adaptive 1": (nn.AdaptiveAvgPool2d((1, 1)), IMAGE),
    "adaptive even": (nn.AdaptiveAvgPool2d((7, 3)), IMAGE),
    "adaptive same": (nn.AdaptiveAvgPool2d((7, 6)), IMAGE),
    "adaptive uneven": (nn.AdaptiveAvgPool2d((3, 9)), IMAGE),
    "adaptive 1d": (nn.AdaptiveAvgPool1d(4), SIGNAL),
    "adaptive 3d": (nn.AdaptiveAvgPool3d((2, 3, 4)), VOLUME),
    "batch norm": (nn.BatchNorm2d(4), IMAGE),
    "batch norm plain": (nn.BatchNorm2d(4, affine=False, eps=0.25), IMAGE),
    "batch norm of rows": (nn.BatchNorm1d(6), ROW),
    "batch norm of signals": (nn.BatchNorm1d(4), SIGNAL),
    "batch norm 3d": (nn.BatchNorm3d(4), VOLUME),
    "batch norm by the batch": (nn.BatchNorm2d(4, track_running_stats=False), IMAGE),
    "instance norm": (nn.InstanceNorm2d(4, affine=True), IMAGE),
    "instance norm plain": (nn.InstanceNorm1d(4), SIGNAL),
    "instance norm tracked": (nn.InstanceNorm2d(4, track_running_stats=True), IMAGE),
    "group norm": (nn.GroupNorm(2, 4), IMAGE),
    "group norm plain": (nn.GroupNorm(2, 4, affine=False), IMAGE),
    "layer norm": (nn.LayerNorm((7, 6)), IMAGE),
    "layer norm of rows": (nn.LayerNorm(6), ROW),
    "layer norm plain": (nn.LayerNorm(6, elementwise_affine=False), IMAGE),
    "response norm": (nn.LocalResponseNorm(3, alpha=0.5, k=2.0), IMAGE),
    "response norm of signals": (nn.LocalResponseNorm(3, alpha=0.5, k=2.0), SIGNAL),
    "response norm even": (nn.LocalResponseNorm(2, alpha=0.5, k=2.0), IMAGE),
    "relu": (nn.ReLU(), IMAGE),
    "leaky relu": (nn.LeakyReLU(0.125), IMAGE),
    "gelu": (nn.GELU(), IMAGE),
    "gelu tanh": (nn.GELU("tanh"), IMAGE),
    "silu": (nn.SiLU(), IMAGE),
    "sigmoid": (nn.Sigmoid(), IMAGE),
    "tanh": (nn.Tanh(), IMAGE),
    "softplus": (nn.Softplus(2.0, 1.0), IMAGE),
    "softmax": (nn.Softmax(1), IMAGE),
    "softmax last": (nn.Softmax(-1), IMAGE),
    "log softmax": (nn.LogSoftmax(1), ROW),
    "dropout": (nn.Dropout(0.5), IMAGE),
    "flatten": (nn.Flatten(), IMAGE),
    "flatten 2": (nn.Flatten(2), IMAGE),
    "identity": (nn.Identity(), IMAGE),
    "zero pad": (nn.ZeroPad2d((1, 2, -1, 3)), IMAGE),
    "constant pad": (nn.ConstantPad1d((2, 1), 1.5), SIGNAL),
    "reflection pad": (nn.ReflectionPad2d((1, 2, 3, 0)), IMAGE),
    "replication pad": (nn.ReplicationPad2d((1, 2, 3, 0)), IMAGE),
    "nearest": (nn.Upsample(scale_factor=2), IMAGE),
    "nearest odd": (nn.Upsample(size=(9, 4)), IMAGE),
    "nearest 1d": (nn.Upsample(size=14), SIGNAL),
    "nearest 3d": (nn.Upsample(size=(7, 8, 3)), VOLUME),
    "linear 1d": (nn.Upsample(size=14, mode="linear"), SIGNAL),
    "bilinear": (nn.Upsample(scale_factor=2, mode="bilinear"), IMAGE),
    "bilinear corners": (nn.Upsample(size=(5, 11), mode="bilinear", align_corners=True), IMAGE),
    "embedding": (nn.Embedding(10, 3), ("rows", 10, (2, 5))),
    "embedding padded": (nn.Embedding(10, 3, padding_idx=2), ("rows", 10, (2, 5))),
}

FUNCTIONS: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "add": (lambda a, b: a + b, [IMAGE, IMAGE]),
    "add another view": (
        lambda a, b: F.relu(a).reshape(-1, 28, 6) + F.relu(b),
        [IMAGE, (2, 28, 6)],
    ),
    "sub": (lambda a, b: a - b, [IMAGE, IMAGE]),
    "mul": (lambda a, b: a * b, [IMAGE, IMAGE]),
    "div": (lambda a, b: a / (b * b + 1), [IMAGE, IMAGE]),
    "numbers": (lambda a: (2 - a * 3) / 4 + 1, [IMAGE]),
    "a number by it": (lambda a: 3 / (a * a + 1), [IMAGE]),
    "negative": (lambda a: -a, [IMAGE]),
    "times two": (lambda a: a * 2, [IMAGE]),
    "the same twice": (lambda a: F.avg_pool2d(a, 2) + F.avg_pool2d(a, 2), [IMAGE]),
    "two of one label": (
        lambda a, b: (F.amax(a, 1, label="m"), F.argmax(b, 1, label="m")),
        [(2, 5), (2, 5)],
    ),
    "two free extents": (lambda a: F.unsqueeze(a @ F.transpose(a, 0, 1), 2), [ROW]),
    "times one": (lambda a: a * 1, [IMAGE]),
    "matmul": (lambda a, b: a @ b, [(2, 3, 4, 5), (2, 3, 5, 2)]),
    "transpose": (lambda a: F.transpose(a, 1, 3), [IMAGE]),
    "transpose batch": (lambda a: F.transpose(a, 0, 1), [IMAGE]),
    "permute": (lambda a: F.permute(a, 0, 2, 3, 1), [IMAGE]),
    "attention": (
        lambda a: F.softmax(a @ F.transpose(a, 1, 2) / 2, -1) @ a,
        [(2, 5, 4)],
    ),
    "slice": (lambda a: a[:, 1:3, ::2, -1], [IMAGE]),
    "first sample": (lambda a: a[:1], [IMAGE]),
    "cat": (lambda a, b: F.cat([a, b, a], 1), [(2, 3, 4), (2, 2, 4)]),
    "cat of the batch": (lambda a, b: F.cat([a, b], 0), [(2, 3, 4), (2, 3, 4)]),
    "stack": (lambda a, b: F.stack([a, b], -1), [ROW, ROW]),
    "sum": (lambda a: a.sum(dim=1), [IMAGE]),
    "mean": (lambda a: a.mean(dim=(2, 3)), [IMAGE]),
    "mean kept": (lambda a: F.mean(a, (1, 2), keepdim=True), [IMAGE]),
    "mean of all": (lambda a: F.mean(a), [IMAGE]),
    "maximum": (lambda a: F.amax(a, (1, 3)), [IMAGE]),
    "maximum and place": (lambda a: tuple(F.max(a, 2)), [IMAGE]),
    "argmax": (lambda a: F.argmax(a, 1), [ROW]),
    "reshape": (lambda a: F.relu(a).reshape(a.shape[0], 2, -1), [IMAGE]),
    "merge the batch": (lambda a: F.relu(a).reshape(-1, 6), [IMAGE]),
    "unsqueeze": (lambda a: F.unsqueeze(F.tanh(a), 1), [ROW]),
    "two results": (lambda a: (F.relu(a), a), [ROW]),
    "one result twice": (lambda a: (b := F.relu(a), b), [ROW]),
}


# What the interpreter lacks: groups of a transposed convolution, a float64 layer norm, which
# onnxruntime has. Its Erf is float32, and its LRN takes as many channels as there are samples.
EXACTLY = {
    "transposed groups": unchecked,
    "gelu": unchecked,
    **dict.fromkeys(["response norm", "response norm of signals"], unchecked),
    **dict.fromkeys(["layer norm", "layer norm of rows", "layer norm plain"], runtime),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer(name: str, tmp_path: Path) -> None:
    layer, shape = LAYERS[name]
    agree(nn.Sequential(layer), [shape], tmp_path, exactly=EXACTLY.get(name, interpreted))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function(name: str, tmp_path: Path) -> None:
    function, shapes = FUNCTIONS[name]
    agree(Function(function), shapes, tmp_path)


def test_every_form_is_tested() -> None:
    from gradproof.runtime.onnx.passes import Example

    used = set()
    cases = [(layer, [shape]) for layer, shape in LAYERS.values()]
    cases += [(Function(f), shapes) for f, shapes in FUNCTIONS.values()]
    for model, shapes in cases:
        kinds = [np.dtype(np.int32 if s[0] == "rows" else np.float32) for s in shapes]
        extents = [s[2] if s[0] == "rows" else s for s in shapes]
        examples = [Example(e, k) for e, k in zip(extents, kinds, strict=True)]
        recorded = record_forward(model.float(), examples, True)
        used |= {o.operator.name for o in recorded.operations}
    assert used == set(BUILDERS)


@pytest.mark.parametrize("opset", [18, 21, onnx.defs.onnx_opset_version()])
def test_other_opsets(opset: int, tmp_path: Path) -> None:
    """Reductions and pads have another form from 18 on; what is newest must still be read."""
    layers = nn.Sequential(
        nn.ZeroPad2d(1),
        nn.Conv2d(4, 4, 3),
        nn.AvgPool2d(2),
        Function(lambda a: F.mean(a, 3)),
        Function(lambda a: F.amax(a, 2)),
        Function(lambda a: a[:, :2]),
    )
    agree(layers, [IMAGE], tmp_path, opset_version=opset)
