"""gp.compile: a user's definition as a differentiable function, compiled once and cached."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradproof as gp
from gradproof.derive.errors import DefinitionError
from gradproof.runtime import compile as compiling
from gradproof.runtime.build import CACHE_VARIABLE
from gradproof.runtime.errors import ArgumentError, DTypeError, GradproofError, ShapeError
from gradproof.runtime.manifest import operators
from gradproof.runtime.sizes import size_expression

PAIR = """
s[n] = sum(x[n,i]*A[i,j]*y[n,j]) + b
t[n] = a*sum(x[n,i]**2)
"""


def pair() -> gp.Definition:
    return gp.operator(
        "pair",
        PAIR,
        {"x": "N, K", "A": "K, M", "y": "N, M", "b": ""},
        outputs=("s", "t"),
        scalars={"a": "real"},
        optional={"b": 0},
        names={"A": "weight", "s": "score"},
        doc="Two outputs.",
    )


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.setattr(compiling, "_compiled", {})
    return tmp_path / "cache" / "operators"


@pytest.fixture
def operands() -> list[gp.Tensor]:
    rng = np.random.default_rng(0)
    shapes = ((4, 3), (3, 2), (4, 2))
    return [gp.tensor(rng.integers(-3, 4, s).astype(float), requires_grad=True) for s in shapes]


# -- what it computes ---------------------------------------------------------------------------
def test_outputs_and_gradients_are_exact(operands: list[gp.Tensor]) -> None:
    x, weight, y = operands
    out = gp.compile(pair())(x, weight, y, gp.tensor(np.array(5.0)), a=2)
    assert out._fields == ("score", "t")
    X, A, Y = (t.numpy() for t in operands)
    assert (out.score.numpy() == ((X @ A) * Y).sum(1) + 5).all()
    assert (out.t.numpy() == 2 * (X**2).sum(1)).all()
    (out.score + out.t).backward(gp.tensor(np.ones(4)))
    assert x.grad is not None and weight.grad is not None and y.grad is not None
    assert (x.grad.numpy() == Y @ A.T + 4 * X).all()
    assert (weight.grad.numpy() == X.T @ Y).all()
    assert (y.grad.numpy() == X @ A).all()


def test_operands_come_by_position_by_letter_or_by_the_users_name(
    operands: list[gp.Tensor],
) -> None:
    fn, (x, weight, y) = gp.compile(pair()), operands
    expected = fn(x, weight, y, a=1).score.numpy()
    for other in (
        fn(x, A=weight, y=y, a=1),
        fn(x, weight=weight, y=y, a=1, b=None),
        fn(y=y, x=x, weight=weight, a=np.float32(1), K=3),
    ):
        assert (other.score.numpy() == expected).all()


def test_sizes_that_no_shape_tells_come_by_keyword() -> None:
    d = gp.operator(
        "strided",
        "z[i] = sum[j:K](x[S*i + j - P])",
        {"x": "N", "z": "M"},
        sizes={"M": "(N + 2*P - K)//S + 1"},
        integers="P",
        requires={"N + 2*P - K >= 0": "the window is longer than the input"},
        outside={"x": "zero"},
    )
    fn, x = gp.compile(d), gp.tensor(np.arange(5.0))
    assert fn(x, S=2, K=3, P=1).numpy().tolist() == [1.0, 6.0, 7.0]
    assert repr(fn) == "<gradproof function strided(x, *, K, P, S) -> z>"
    with pytest.raises(ShapeError, match=r"no operand's shape tells K, P alone; give K=.*, P="):
        fn(x, S=2)
    with pytest.raises(ShapeError, match="the window is longer than the input"):
        fn(x, S=1, K=9, P=0)
    with pytest.raises(ShapeError, match="size S is 0, it must be at least 1"):
        fn(x, S=0, K=1, P=0)
    with pytest.raises(ArgumentError, match=r"size M follows from the others \(= "):
        fn(x, S=1, K=1, P=0, M=5)


def test_it_composes_with_layers_and_parameters() -> None:
    scale = gp.compile(gp.operator("scale", "y[n,k] = g[k]*x[n,k]", {"x": "N, K", "g": "K"}))

    class Scale(gp.nn.Module):
        def __init__(self, width: int) -> None:
            super().__init__()
            self.gain = gp.nn.Parameter(np.ones(width, np.float32))

        def forward(self, x: gp.Tensor) -> gp.Tensor:
            return scale(x, self.gain, label="Scale")

    gp.manual_seed(0)
    net = gp.nn.Sequential(gp.nn.Linear(3, 4), Scale(4), gp.nn.Linear(4, 1))
    assert len(list(net.parameters())) == 5
    assert "1.gain" in net.state_dict()
    x = gp.tensor(np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32))
    target = gp.tensor(np.ones((8, 1), np.float32))
    optimizer = gp.optim.SGD(net.parameters(), lr=0.05)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = gp.functional.mse_loss(net(x), target)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2
    with pytest.raises(ShapeError, match="Scale: "):
        Scale(5)(gp.tensor(np.ones((2, 4), np.float32)))


def test_a_shipped_definition_is_the_shipped_operator() -> None:
    from gradproof.derive.registry import find
    from gradproof.runtime.manifest import operators

    fn = gp.compile(find("linear"))
    shipped = operators()["linear"]
    assert fn.operator.kernels.keys() == shipped.kernels.keys()
    x, w = gp.tensor([[1.0, 2.0]]), gp.tensor([[3.0, 4.0]])
    assert fn(input=x, weight=w).numpy().tolist() == [[11.0]]


# -- wrong calls: one clear error each ----------------------------------------------------------
Call = Callable[[Any, gp.Tensor, gp.Tensor, gp.Tensor], Any]
WRONG: list[tuple[Call, type[GradproofError], str]] = [
    (lambda f, x, A, y: f(x, A, y), ArgumentError, "pair: give the scalar a, as a=..."),
    (lambda f, x, A, y: f(x, A, y, a="q"), ShapeError, "pair: a='q', expected a number"),
    (lambda f, x, A, y: f(x, A, y, a=True), ShapeError, "pair: a=True, expected a number"),
    (lambda f, x, A, y: f(x, A, a=1), ArgumentError, "pair: operand y is missing"),
    (lambda f, x, A, y: f(x, y=y, a=1), ArgumentError, "pair: operand A (weight) is missing"),
    (lambda f, x, A, y: f(x, None, y, a=1), ArgumentError, "operand A (weight) is None"),
    (lambda f, x, A, y: f(x, A, y, A=A, a=1), ArgumentError, "A (weight) was given twice"),
    (lambda f, x, A, y: f(x, y=y, A=A, weight=A, a=1), ArgumentError, "was given twice"),
    (lambda f, x, A, y: f(x, A, y, None, None, a=1), ArgumentError, "5 operands were given"),
    (
        lambda f, x, A, y: f(x, A, y, a=1, eps=2),
        ArgumentError,
        "pair: unknown argument 'eps'; known: operands x, A (weight), y, b; sizes K, M, N; "
        "scalars a; label",
    ),
    (lambda f, x, A, y: f(x, A, y.numpy(), a=1), DTypeError, "pair: y is ndarray, expected a"),
    (lambda f, x, A, y: f(x, A, x, a=1), ShapeError, "y has shape (4, 3): dimension 1 is 3"),
    (lambda f, x, A, y: f(x, A, y, a=1, K=7), ShapeError, "expected 7 (= K)"),
    (lambda f, x, A, y: f(x, A, y, a=1, K=3.0), ShapeError, "pair: K=3.0, expected an integer"),
    (lambda f, x, A, y: f(x, A, y, label="third"), ArgumentError, "third: give the scalar a"),
]


@pytest.mark.parametrize(("call", "kind", "message"), WRONG)
def test_wrong_calls(
    call: Call, kind: type[GradproofError], message: str, operands: list[gp.Tensor]
) -> None:
    with pytest.raises(kind) as error:
        call(gp.compile(pair()), *operands)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_an_unsigned_scalar_has_its_range() -> None:
    d = gp.operator("u", "y[i] = x[i]*philox(k, 0, i, 0)", {"x": "N"}, scalars={"k": "uint"})
    fn = gp.compile(d)
    for wrong in (-1, 2**32, 0.5):
        with pytest.raises(ArgumentError, match=r"expected an integer from 0 to 2\^32-1"):
            fn(gp.tensor([1.0]), k=wrong)
    x = gp.tensor(np.ones(4))
    one, two, again = (fn(x, k=k).numpy().tolist() for k in (7, 2**32 - 1, 7))
    assert one == again and len({*one, *two}) == 8
    assert all(0 <= v < 2**32 and v == int(v) for v in one + two)


def test_a_scalar_may_come_of_a_function() -> None:
    fn = gp.compile(gp.operator("s", "y[i] = a * x[i]", {"x": "N"}, scalars={"a": "real"}))
    assert fn(gp.tensor([1.0, 2.0]), a=lambda: 3.0).numpy().tolist() == [3.0, 6.0]


SIZES: dict[str, tuple[Callable[[], Any], type[GradproofError], str]] = {
    "a result without an element": (
        lambda: gp.compile(
            gp.operator(
                "win",
                "z[i] = sum[k:K](Y[i + k]*w[k])",
                {"Y": "N", "w": "K", "z": "M"},
                sizes={"M": "N - K + 1"},
            )
        )(gp.tensor([1.0]), gp.tensor([1.0, 2.0, 3.0])),
        ShapeError,
        r"size M = N \+ 1 - K is -1, expected at least 1 \(K=3, N=1\)",
    ),
    "an odd extent": (
        lambda: gp.compile(gp.operator("pairs", "z[i,j] = Y[2*i+j]", {"Y": "2*H", "z": "H, 2"}))(
            gp.tensor([1.0, 2.0, 3.0])
        ),
        ShapeError,
        r"Y has shape \(3,\): dimension 0 is 3, which no H gives \(= 2 \* H\)",
    ),
    "no operand": (
        lambda: gp.compile(gp.operator("ramp", "z[i] = 1.0*i", {"z": "H"}))(H=3),
        DTypeError,
        "ramp: there is no real operand",
    ),
}


@pytest.mark.parametrize("case", SIZES)
def test_operands_that_tell_no_sizes(case: str) -> None:
    call, error, message = SIZES[case]
    with pytest.raises(error, match=message):
        call()


def test_what_a_manifest_does_not_have() -> None:
    with pytest.raises(GradproofError, match="linear: w cannot be left out"):
        operators()["linear"].without("w")
    unknown = dataclasses.replace(operators()["relu"], name="unknown")
    with pytest.raises(GradproofError, match="unknown: its definition is not known"):
        compiling._definition(unknown)


@pytest.mark.parametrize("text", ["N**2", "f(N)", "N > 2", "1 if N else 2", "N < 2 < 3"])
def test_a_size_is_no_other_expression(text: str) -> None:
    with pytest.raises(ValueError, match=f"no size expression: {re.escape(repr(text))}"):
        size_expression(text)


def test_a_definition_that_uses_the_name_label() -> None:
    d = gp.operator("named", "y[i] = label*x[i]", {"x": "N"}, scalars={"label": "real"})
    with pytest.raises(ArgumentError, match="'label' names the call itself"):
        gp.compile(d)


def test_a_definition_made_by_hand_is_not_trusted() -> None:
    bad = dataclasses.replace(pair(), name="x){}//")
    with pytest.raises(DefinitionError, match="an operator's name is letters"):
        gp.compile(bad)


# -- what a user reads --------------------------------------------------------------------------
def test_the_description_has_equations_and_shapes() -> None:
    fn = gp.compile(pair())
    assert repr(fn) == "<gradproof function pair(x, A, y, b=None, *, a) -> s, t>"
    text = fn.__doc__ or ""
    assert "s[n] = b + Σ_{i<K,j<M} A[i, j]*x[n, i]*y[n, j]" in text
    assert "A (K, M), called weight" in text and text.endswith("Two outputs.")
    assert fn.definition == pair() and fn.__name__ == "pair"


# -- the cache ----------------------------------------------------------------------------------
def forbid_deriving(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("derived again")

    monkeypatch.setattr(compiling, "_derive", fail)


def test_it_is_derived_once(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = gp.compile(pair())
    (file,) = own_cache.iterdir()
    assert file.name == f"{compiling.definition_key(pair())}.json"
    forbid_deriving(monkeypatch)
    assert gp.compile(pair()).operator is first.operator  # from memory
    compiling._compiled.clear()
    again = gp.compile(pair()).operator  # from the file
    assert again.source == first.operator.source and again is not first.operator
    assert [p.name for p in own_cache.iterdir()] == [file.name]


@pytest.mark.parametrize(
    "change",
    [
        {"name": "other"},
        {"names": ()},
        {"constant": ("A",)},
        {"doc": "Another."},
        {"outputs": ("s",)},
        {"requires": ()},
    ],
)
def test_every_part_of_a_definition_decides(change: dict[str, Any]) -> None:
    d = dataclasses.replace(
        pair(), requires=gp.operator(
            "r", "y[i] = x[i]", {"x": "N"}, requires={"N >= 2": "short"}
        ).requires
    )  # fmt: skip
    changed = dataclasses.replace(d, **change)
    assert compiling.definition_key(changed) != compiling.definition_key(d)


def test_new_sources_and_libraries_derive_again(monkeypatch: pytest.MonkeyPatch) -> None:
    before = compiling.definition_key(pair())
    monkeypatch.setattr(compiling, "_sources", lambda: "other sources")
    after = compiling.definition_key(pair())
    monkeypatch.setattr(compiling, "_versions", lambda: (("sympy", "0.0"),))
    assert len({before, after, compiling.definition_key(pair())}) == 3


@pytest.mark.parametrize("damage", ["cut", "kernel", "json", "other"])
def test_a_damaged_file_is_derived_again_with_a_warning(
    damage: str, own_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = gp.compile(pair()).operator.source
    (file,) = own_cache.iterdir()
    good = file.read_bytes()
    stored = json.loads(good)
    stored["operator"]["files"]["pair.cl"] += "// changed\n"
    other = json.loads(good) | {"key": "0" * 64}
    file.write_bytes(
        {
            "cut": good[:100],
            "kernel": json.dumps(stored).encode(),
            "json": b"[]",
            "other": json.dumps(other).encode(),
        }[damage]
    )
    compiling._compiled.clear()
    with caplog.at_level(logging.WARNING):
        assert gp.compile(pair()).operator.source == source
    assert "is damaged" in caplog.text and file.name in caplog.text
    assert file.read_bytes() == good


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_cache_that_cannot_be_written_is_a_warning(
    own_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own_cache.parent.mkdir()
    own_cache.parent.chmod(0o500)
    with caplog.at_level(logging.WARNING):
        assert gp.compile(pair()).operator.name == "pair"
    assert "cannot be kept" in caplog.text
