"""A network from PyTorch and back: its weights in files that both read and write."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradproof as gp
from gradproof.runtime.errors import DataError

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from safetensors import torch as safetensors_torch  # noqa: E402  (needs torch)

from tests import torch_twins  # noqa: E402  (needs torch)

RELATIVE = 1e-9  # of the largest magnitude; float64 has 1e-16, and layers add up
CLASSES = 7


def logits(ours: Any, theirs: Any, x: np.ndarray[Any, Any]) -> float:
    """How far the logits in evaluation mode lie apart, relative to the largest."""
    with torch.no_grad():
        expected = theirs.eval()(torch.tensor(x)).numpy()
    with gp.no_grad():
        found = ours.eval()(gp.tensor(x)).numpy()
    return float(abs(found - expected).max() / abs(expected).max())


def step(model: Any, x: np.ndarray[Any, Any], y: np.ndarray[Any, Any]) -> None:
    optimizer = gp.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    gp.nn.CrossEntropyLoss()(model.train()(gp.tensor(x)), gp.tensor(y)).backward()
    optimizer.step()


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet20", 16),
        pytest.param("resnet18", 33, marks=pytest.mark.slow),
        pytest.param("alexnet", 63, marks=pytest.mark.slow),
    ],
)
def test_there_and_back(name: str, size: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(4, 3, size, size)), rng.integers(0, CLASSES, 4)
    theirs = torch_twins.twin(name, CLASSES).double()
    theirs(torch.tensor(x))  # running statistics, and a count of batches, that are not the first
    safetensors_torch.save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    ours = getattr(gp.models, name)(num_classes=CLASSES).to("float64")
    ours.load_state_dict(gp.load(tmp_path / "theirs.safetensors"))
    assert logits(ours, theirs, x) <= RELATIVE

    step(ours, x, y)
    assert logits(ours, theirs, x) > 1e-3
    gp.save(ours.state_dict(), tmp_path / "ours.safetensors")
    state = safetensors_torch.load_file(tmp_path / "ours.safetensors")
    assert {n: v.dtype for n, v in state.items()} == {
        n: v.dtype for n, v in theirs.state_dict().items()
    }
    theirs.load_state_dict(state, strict=True)
    assert logits(ours, theirs, x) <= RELATIVE


def test_the_pages_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Path(__file__).resolve().parents[1] / "docs" / "in-and-out.md"
    block = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), flags=re.S)[0]
    monkeypatch.chdir(tmp_path)
    exec(block, {})  # noqa: S102
    assert {p.name for p in tmp_path.iterdir()} == {"theirs.safetensors", "ours.safetensors"}


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_file_in_half_precision(dtype: str, tmp_path: Path) -> None:
    """Read as float32: the same logits as PyTorch's, of the same numbers widened there."""
    torch.manual_seed(0)
    theirs = torch_twins.twin("resnet20", CLASSES).to(getattr(torch, dtype))
    safetensors_torch.save_file(theirs.state_dict(), tmp_path / "half.safetensors")
    ours = gp.models.resnet20(num_classes=CLASSES)
    ours.load_state_dict(gp.load(tmp_path / "half.safetensors"))
    for key, value in theirs.float().state_dict().items():
        assert np.array_equal(ours.state_dict()[key], value.numpy()), key


def test_a_file_of_torch_save_is_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(2)}, tmp_path / "model.pth")
    with pytest.raises(DataError, match=r"safetensors\.torch\.save_file"):
        gp.load(tmp_path / "model.pth")
