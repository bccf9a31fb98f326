"""The networks of `gradproof.models` against the same in PyTorch: one step, and a few with Adam."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradproof as gp

torch = pytest.importorskip("torch")

from tests import torch_twins  # noqa: E402  (needs torch)

RELATIVE = 1e-9  # of a tensor's largest element; float64 has 1e-16, and layers add up


def pair(name: str, classes: int, **options: Any) -> tuple[Any, Any]:
    """Ours and PyTorch's, in float64 with the same parameters."""
    gp.manual_seed(0)
    ours = getattr(gp.models, name)(classes, **options).to("float64")
    theirs = torch_twins.twin(name, classes, **options).double()
    torch_twins.load(theirs, ours.state_dict())
    return ours, theirs


def data(batch: int, size: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.normal(size=(batch, 3, size, size)), rng.integers(0, classes, batch)


def backward(ours: Any, theirs: Any, x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """Logits and loss of both, as pairs; gradients are left in the parameters."""
    logits, expected = ours(gp.tensor(x)), theirs(torch.tensor(x))
    loss = gp.nn.CrossEntropyLoss()(logits, gp.tensor(y))
    loss_expected = torch.nn.functional.cross_entropy(expected, torch.tensor(y))
    loss.backward()
    loss_expected.backward()
    return {
        "logits": (logits.numpy(), expected.detach().numpy()),
        "loss": (loss.numpy(), loss_expected.detach().numpy()),
    }


def gradients(ours: Any, theirs: Any) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    expected = dict(theirs.named_parameters())
    return {n: (p.grad.numpy(), expected[n].grad.numpy()) for n, p in ours.named_parameters()}


def apart(pairs: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, float]:
    """The relative differences that are too large."""
    found = {}
    for name, (a, b) in pairs.items():
        scale = abs(b).max()
        if name.startswith("features") and name.endswith("bias"):
            # batch norm takes the bias away again: its gradient is 0 but for rounding
            scale = max(scale, abs(pairs[name.replace("bias", "weight")][1]).max())
        if not abs(a - b).max() <= RELATIVE * scale:
            found[name] = float(abs(a - b).max() / scale)
    return found


def check(name: str, batch: int, size: int, classes: int, **options: Any) -> None:
    ours, theirs = pair(name, classes, **options)
    results = backward(ours, theirs, *data(batch, size, classes))
    assert apart(results | gradients(ours, theirs)) == {}
    state = {n: (v, theirs.state_dict()[n].numpy()) for n, v in ours.state_dict().items()}
    assert apart({n: pair for n, pair in state.items() if "running" in n}) == {}


def test_a_step_of_resnet20() -> None:
    check("resnet20", 4, 32, 10)


@pytest.mark.slow
def test_a_step_of_resnet18() -> None:
    check("resnet18", 2, 64, 7)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["vgg11", "vgg11_bn"])
def test_a_step_of_vgg11(name: str) -> None:
    check(name, 2, 64, 7, dropout=0.0)


@pytest.mark.slow
def test_vgg11_at_half_the_usual_size() -> None:
    check("vgg11", 1, 112, 7, dropout=0.0)


def test_a_difference_is_seen() -> None:
    ours, theirs = pair("resnet20", 10)
    weight = ours.layer2[0].downsample[1].weight
    weight.copy_(weight.numpy() * (1 + 1e-7))
    results = backward(ours, theirs, *data(4, 32, 10))
    assert {"logits", "layer1.0.conv1.weight"} <= apart(results | gradients(ours, theirs)).keys()


def test_the_names_are_those_of_the_twins() -> None:
    for name in ("resnet20", "resnet18"):
        ours, theirs = pair(name, 3)
        shapes = {n: tuple(v.shape) for n, v in theirs.state_dict().items()}
        assert {n: np.shape(v) for n, v in ours.state_dict().items()} == shapes
        ours.load_state_dict(theirs.state_dict())


def test_steps_of_resnet20_with_adam() -> None:
    """Recorded and replayed; the second and third step see what the first made."""
    ours, theirs = pair("resnet20", 10)
    x, y = data(4, 32, 10)
    optimizer = gp.optim.Adam(ours.parameters(), lr=1e-3, eps=1e-3)
    expected = torch.optim.Adam(theirs.parameters(), lr=1e-3, eps=1e-3)
    with gp.record() as tape:
        optimizer.zero_grad()
        loss = gp.nn.CrossEntropyLoss()(ours(gp.tensor(x)), gp.tensor(y))
        loss.backward()
        optimizer.step()
    for k in range(3):
        if k:
            tape.replay()
        expected.zero_grad()
        value = torch.nn.functional.cross_entropy(theirs(torch.tensor(x)), torch.tensor(y))
        value.backward()
        expected.step()
        assert abs(loss.item() - value.item()) <= RELATIVE * value.item(), k
    state = theirs.state_dict()
    assert apart({n: (v, state[n].numpy()) for n, v in ours.state_dict().items()}) == {}
