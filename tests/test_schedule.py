"""Tiled kernels against reference kernels. On small integers all sums are exact, so they agree."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pytest

import gradproof as gp
from gradproof.runtime.device import current_device
from gradproof.runtime.dispatch import Launch
from gradproof.runtime.errors import GradproofError
from gradproof.runtime.schedule import schedule

Shapes = tuple[tuple[int, ...], tuple[int, ...]]

# input, weight, options of conv2d
CONVS: dict[str, tuple[Shapes, dict[str, Any]]] = {
    "one element": (((1, 1, 1, 1), (1, 1, 1, 1)), {}),
    "one lane used": (((2, 1, 5, 5), (1, 1, 3, 3)), {}),
    "lanes exact": (((1, 16, 4, 6), (16, 16, 3, 3)), {"padding": 1}),
    "lanes and one": (((2, 17, 4, 5), (17, 17, 1, 1)), {}),
    "lanes less one": (((2, 15, 3, 4), (15, 15, 3, 3)), {"padding": 1}),
    "33 to 20 channels": (((1, 33, 3, 3), (20, 33, 2, 2)), {"padding": 1}),
    "prime extents": (((1, 3, 11, 13), (5, 3, 3, 3)), {"padding": 1}),
    "extents below a tile": (((3, 2, 2, 3), (4, 2, 2, 2)), {}),
    "halo wider than image": (((1, 2, 2, 2), (3, 2, 5, 5)), {"padding": 2}),
    "dilation": (((1, 3, 9, 8), (4, 3, 3, 2)), {"dilation": (2, 3), "padding": (2, 1)}),
    "asymmetric": (((2, 3, 5, 6), (6, 3, 3, 3)), {"padding": ((0, 2), (1, 3))}),
    "cropping": (((1, 3, 8, 9), (4, 3, 3, 3)), {"padding": ((-1, 1), (2, -2))}),
    "cropping all sides": (((1, 2, 9, 9), (3, 2, 2, 2)), {"padding": ((-2, -1), (-1, -3))}),
    "stride 2": (((2, 3, 9, 8), (8, 3, 3, 3)), {"stride": 2, "padding": 1}),
    "stride 3, 1": (((1, 3, 10, 5), (5, 3, 2, 3)), {"stride": (3, 1)}),
    "stride and dilation": (((1, 4, 11, 11), (6, 4, 3, 3)), {"stride": 2, "dilation": 2}),
    "groups": (((2, 6, 5, 5), (9, 2, 3, 3)), {"groups": 3, "padding": 1}),
    "depthwise": (((1, 8, 6, 6), (8, 1, 3, 3)), {"groups": 8, "padding": 1}),
    "without bias": (((2, 3, 6, 6), (10, 3, 3, 3)), {"bias": False, "padding": 1}),
    "long sums": (((2, 40, 5, 5), (4, 40, 5, 5)), {"padding": 2}),
}
LINEARS = [(1, 1, 1), (1, 16, 16), (3, 17, 5), (7, 33, 15), (16, 600, 31), (5, 2, 130)]
# Three kernels are compiled for each case and type, a second each: some run always, all when slow.
ALWAYS = {
    ("lanes and one", "float32"),
    ("prime extents", "float32"),
    ("dilation", "float32"),
    ("asymmetric", "float64"),
    ("cropping", "float32"),
    ("stride 2", "float32"),
    ("groups", "float32"),
    ("without bias", "float64"),
    ((7, 33, 15), "float32"),
    ((5, 2, 130), "float64"),
}


def integers(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Small ones without 0, of either sign."""
    rng = np.random.default_rng(seed)
    return rng.integers(1, 4, shape) * rng.choice((-1, 1), shape)


def results(policy: str, op: str, shapes: list[Any], options: dict[str, Any], dtype: str) -> Any:
    """Output and all gradients of an operator on integers, by one policy."""
    operands = [
        gp.tensor(integers(s, k).astype(dtype), requires_grad=True) if s else None
        for k, s in enumerate(shapes)
    ]
    with schedule(policy):
        out = getattr(gp.functional, op)(*operands, **options)
        out.backward(gp.tensor(integers(out.shape, 9).astype(dtype)))
    return [out.numpy()] + [t.grad.numpy() for t in operands if t is not None and t.grad]


def with_types(cases: Iterable[Any]) -> list[Any]:
    """Every case in every real type, marked slow unless it runs always."""
    return [
        pytest.param(c, t, marks=() if (c, t) in ALWAYS else pytest.mark.slow, id=f"{c}-{t}")
        for c in cases
        for t in ("float32", "float64")
    ]


def compare(op: str, shapes: list[Any], options: dict[str, Any], dtype: str) -> None:
    if dtype == "float64" and not current_device().info.fp64:
        pytest.skip("the device has no float64")
    expected = results("reference", op, shapes, options, dtype)
    for tiled, reference in zip(
        results("tiled", op, shapes, options, dtype), expected, strict=True
    ):
        np.testing.assert_array_equal(tiled, reference)
    assert np.abs(expected[0]).max() > 0


@pytest.mark.parametrize(("case", "dtype"), with_types(CONVS))
def test_conv2d_and_its_gradients_are_equal(case: str, dtype: str) -> None:
    shapes, options = CONVS[case]
    options = dict(options)
    bias = (shapes[1][0],) if options.pop("bias", True) else None
    compare("conv2d", [*shapes, bias], options, dtype)


@pytest.mark.parametrize(("sizes", "dtype"), with_types(LINEARS))
def test_linear_and_its_gradients_are_equal(sizes: tuple[int, int, int], dtype: str) -> None:
    n, i, o = sizes
    for bias in ((o,), None):
        compare("linear", [(n, i), (o, i), bias], {}, dtype)


def kernels(monkeypatch: pytest.MonkeyPatch, policy: str, shapes: Shapes, **options: Any) -> str:
    """The names of the kernels that a convolution launches."""
    names: list[str] = []
    call = Launch.__call__

    def note(launch: Launch) -> None:
        names.append(launch.kernel.function_name)
        call(launch)

    with schedule(policy), monkeypatch.context() as patch:
        patch.setattr(Launch, "__call__", note)
        x, w = (gp.tensor(integers(s, 0).astype("float32")) for s in shapes)
        gp.functional.conv2d(x, w, **options)
    return " ".join(names)


SMALL: Shapes = ((1, 2, 4, 4), (4, 2, 3, 3))
LARGE: Shapes = ((2, 8, 12, 12), (16, 8, 3, 3))


@pytest.mark.parametrize(
    ("policy", "shapes", "tiled"),
    [
        ("tiled", SMALL, True),
        ("reference", LARGE, False),
        ("auto", SMALL, False),
        ("auto", LARGE, True),
    ],
)
def test_the_policy_decides_which_kernel_runs(
    monkeypatch: pytest.MonkeyPatch, policy: str, shapes: Shapes, tiled: bool
) -> None:
    if policy == "auto" and current_device().info.kind != "cpu":
        tiled = False
    names = kernels(monkeypatch, policy, shapes)
    assert ("tiled" in names) == tiled, names


def test_a_policy_holds_inside_its_block(monkeypatch: pytest.MonkeyPatch) -> None:
    with schedule("tiled"):
        with pytest.raises(ZeroDivisionError), schedule("reference"):
            raise ZeroDivisionError
        with schedule("reference"):
            inner = gp.functional.conv2d(*(gp.tensor(integers(s, 0).astype("f4")) for s in SMALL))
    assert inner.shape == (1, 4, 2, 2)
    expected = current_device().info.kind == "cpu"
    assert ("tiled" in kernels(monkeypatch, "auto", LARGE)) == expected


def test_another_policy_is_refused() -> None:
    refused = pytest.raises(GradproofError, match=r"'fast', expected one of .*reference")
    with refused, schedule("fast"):
        pass
