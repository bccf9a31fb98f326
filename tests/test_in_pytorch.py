"""examples/in_pytorch.py: a derived operator is a part of PyTorch's graph."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gradproof as gp
from gradproof.runtime.errors import ShapeError

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

TOLERANCES: dict[str, Any] = {"atol": 1e-8, "rtol": 1e-6}  # of differences, at steps of 1e-6
EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield importlib.import_module("in_pytorch")
    sys.modules.pop("in_pytorch", None)


def parts(*wanted: bool) -> list[Any]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(4, 3), (2, 3), (2,)]
    drawn = [torch.randn(s, generator=generator, dtype=torch.float64) for s in shapes]
    return [t.requires_grad_(w) for t, w in zip(drawn, wanted, strict=True)]


@pytest.mark.parametrize(
    "wanted", [(True, True, True), (True, False, False), (False, True, False), (False, False, True)]
)
def test_gradcheck(wanted: tuple[bool, ...], example: Any) -> None:
    """PyTorch's own check by differences, for all operands and for each alone."""
    function = gp.compile(example.centres)
    assert torch.autograd.gradcheck(
        lambda *t: example.Derived.apply(function, *t), parts(*wanted), **TOLERANCES
    )


def test_gradcheck_refuses_a_wrong_gradient(example: Any) -> None:
    class Wrong(example.Derived):  # type: ignore[name-defined, misc]
        @staticmethod
        def backward(ctx: Any, gradient: Any) -> Any:
            none, *rest = example.Derived.backward(ctx, gradient)
            return none, *(1.001 * g for g in rest)

    function = gp.compile(example.centres)
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        torch.autograd.gradcheck(
            lambda *t: Wrong.apply(function, *t), parts(True, True, True), **TOLERANCES
        )


def test_it_is_what_pytorch_computes(example: Any) -> None:
    """Inside a graph: what is before and behind it gets its gradient, and it may be used twice."""
    function, seen = gp.compile(example.centres), []

    def theirs(y: Any, w: Any, s: Any) -> Any:
        return -s * ((y[:, None] - w) ** 2).sum(2)

    def ours(y: Any, w: Any, s: Any) -> Any:
        return example.Derived.apply(function, y, w, s)

    for layer in (ours, theirs):
        y, w, s = leaves = parts(True, True, True)
        out = layer(torch.tanh(y).T.contiguous().T, w, s.exp()) + layer(y, w, s)
        out.logsumexp(1).sum().backward()
        seen.append([out.detach(), *(t.grad for t in leaves)])
    for a, b in zip(*seen, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_a_wrong_shape_is_named(example: Any) -> None:
    with pytest.raises(ShapeError, match="centre has shape"):
        example.Centres(3, 2)(torch.zeros(4, 5))


def test_a_network_with_it_learns(example: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert example.main() > 0.93
    assert "held-out digits" in capsys.readouterr().out
