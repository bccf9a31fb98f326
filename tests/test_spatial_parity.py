"""Convolution, pooling, padding and resizing against PyTorch, value and gradients, in float64.

The data and the cotangents are small integers. Where every result is an integer, or one division of
integers, both libraries must agree in every bit. Elsewhere each case states its bound.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import gradproof as gp
from gradproof.runtime.device import current_device
from gradproof.runtime.errors import ShapeError
from gradproof.runtime.schedule import schedule

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.skipif(not current_device().info.fp64, reason="needs float64")

U = 2.0**-53
Arrays = dict[str, np.ndarray]


def integers(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.integers(-4, 5, shape).astype(np.float64)


def theirs(name: str, arrays: Arrays, options: dict[str, Any]) -> tuple[np.ndarray, Arrays]:
    tensors = {n: torch.tensor(a, requires_grad=True) for n, a in arrays.items()}
    out = getattr(torch.nn.functional, name)(**tensors, **options)
    out.backward(torch.tensor(cotangent(out.shape)))
    return out.detach().numpy(), {n: t.grad.numpy() for n, t in tensors.items()}


def ours(name: str, arrays: Arrays, options: dict[str, Any]) -> tuple[np.ndarray, Arrays]:
    tensors = {n: gp.tensor(a, "float64", requires_grad=True) for n, a in arrays.items()}
    out = getattr(gp.functional, name)(**tensors, **options)
    out.backward(gp.tensor(cotangent(out.shape), "float64"))
    return out.numpy(), {n: t.grad.numpy() for n, t in tensors.items()}


def cotangent(shape: tuple[int, ...]) -> np.ndarray:
    return integers(np.random.default_rng(1), *shape)


def compare(
    name: str, arrays: Arrays, options: dict[str, Any], forward: float = 0.0, backward: float = 0.0
) -> None:
    """Equal shapes, and errors of the output and the gradients below the bounds; 0: equal bits."""
    value, gradients = ours(name, arrays, options)
    expected, wanted = theirs(name, arrays, options)
    shown = f"{name} { ({n: a.shape for n, a in arrays.items()}) } {options}"
    assert value.shape == expected.shape, shown
    assert np.abs(value - expected).max() <= forward, shown
    for n, g in gradients.items():
        assert np.abs(g - wanted[n]).max() <= backward, f"gradient of {n}: {shown}"


def accepted(name: str, arrays: Arrays, options: dict[str, Any]) -> bool:
    try:
        return bool(
            getattr(torch.nn.functional, name)(
                **{n: torch.tensor(a) for n, a in arrays.items()}, **options
            ).numel()
        )
    except RuntimeError:
        return False


class Draw:
    """Random options, and data with PyTorch's consent."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def number(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def numbers(self, axes: int, low: int, high: int) -> Any:
        """One integer for all axes, or one for each."""
        one_each = tuple(self.rng.integers(low, high + 1, axes).tolist())
        return self.choice(one_each[0], one_each)

    def choice(self, *values: Any) -> Any:
        return values[self.rng.integers(len(values))]


def each(value: Any, axes: int) -> tuple[int, ...]:
    return value if isinstance(value, tuple) else (value,) * axes


# -- convolution ---------------------------------------------------------------------------------
def conv_case(axes: int, draw: Draw) -> tuple[Arrays, dict[str, Any]]:
    name = f"conv{axes}d"
    while True:
        groups, cg, og = draw.number(1, 3), draw.number(1, 2), draw.number(1, 2)
        stride = draw.choice(1, draw.numbers(axes, 1, 3))
        same = ("same",) if each(stride, axes) == (1,) * axes else ()
        options = {
            "stride": stride,
            "padding": draw.choice(draw.numbers(axes, 0, 2), "valid", *same),
            "dilation": draw.numbers(axes, 1, 2),
            "groups": groups,
        }
        largest = {1: 9, 2: 7, 3: 5}[axes]
        arrays = {
            "input": integers(draw.rng, 2, groups * cg, *draw.rng.integers(1, largest + 1, axes)),
            "weight": integers(draw.rng, groups * og, cg, *draw.rng.integers(1, 4, axes)),
        }
        if draw.choice(True, False):
            arrays["bias"] = integers(draw.rng, groups * og)
        if accepted(name, arrays, options):
            return arrays, options


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_convolution_is_pytorchs(axes: int) -> None:
    draw = Draw(axes)
    for _ in range(15):
        arrays, options = conv_case(axes, draw)
        with schedule("reference"):
            compare(f"conv{axes}d", arrays, options)


def transposed_case(axes: int, draw: Draw) -> tuple[Arrays, dict[str, Any]]:
    name = f"conv_transpose{axes}d"
    while True:
        groups, cg, og = draw.number(1, 3), draw.number(1, 2), draw.number(1, 2)
        options = {
            "stride": draw.numbers(axes, 1, 3),
            "padding": draw.numbers(axes, 0, 2),
            "output_padding": draw.numbers(axes, 0, 2),
            "groups": groups,
            "dilation": draw.numbers(axes, 1, 3),
        }
        arrays = {
            "input": integers(draw.rng, 2, groups * cg, *draw.rng.integers(1, 5, axes)),
            "weight": integers(draw.rng, groups * cg, og, *draw.rng.integers(1, 4, axes)),
        }
        if draw.choice(True, False):
            arrays["bias"] = integers(draw.rng, groups * og)
        if accepted(name, arrays, options):
            return arrays, options


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_transposed_convolution_is_pytorchs(axes: int) -> None:
    draw, seen = Draw(10 + axes), set()
    for _ in range(15):
        arrays, options = transposed_case(axes, draw)
        seen |= set(each(options["output_padding"], axes))
        with schedule("reference"):
            compare(f"conv_transpose{axes}d", arrays, options)
    assert seen >= {0, 1}


@pytest.mark.parametrize("name", [f"conv{n}d" for n in (1, 3)] + ["conv_transpose2d"])
def test_tiled_kernels_are_pytorchs_too(name: str) -> None:
    axes, draw = int(name[-2]), Draw(5)
    arrays, options = (transposed_case if "transpose" in name else conv_case)(axes, draw)
    with schedule("tiled"):
        compare(name, arrays, options)


def test_padding_of_each_side_is_that_of_a_padded_input() -> None:
    rng = np.random.default_rng(3)
    x, w = integers(rng, 1, 2, 3, 4, 5), integers(rng, 2, 2, 2, 2, 2)
    around = ((1, 0), (2, 1), (0, 3))
    padded = torch.nn.functional.pad(torch.tensor(x), (0, 3, 2, 1, 1, 0))
    expected = torch.nn.functional.conv3d(padded, torch.tensor(w)).numpy()
    found = gp.functional.conv3d(gp.tensor(x), gp.tensor(w), padding=around).numpy()
    np.testing.assert_array_equal(found, expected)
    whole = torch.nn.functional.conv_transpose3d(torch.tensor(x), torch.tensor(w)).numpy()
    cropped = gp.functional.conv_transpose3d(gp.tensor(x), gp.tensor(w), padding=around).numpy()
    np.testing.assert_array_equal(cropped, whole[:, :, 1:, 2:-1, :-3])


# -- pooling -------------------------------------------------------------------------------------
def pool_case(name: str, axes: int, draw: Draw) -> tuple[Arrays, dict[str, Any]]:
    while True:
        kernel = draw.numbers(axes, 1, 3)
        padding = tuple(draw.number(0, k // 2) for k in each(kernel, axes))
        options = {
            "kernel_size": kernel,
            "stride": draw.choice(None, draw.numbers(axes, 1, 3)),
            "padding": padding,
            "ceil_mode": draw.choice(True, False),
        }
        if name.startswith("max"):
            options["dilation"] = draw.numbers(axes, 1, 2)
        else:
            options["count_include_pad"] = draw.choice(True, False)
        arrays = {"input": integers(draw.rng, 2, 2, *draw.rng.integers(2, 8, axes))}
        if accepted(name, arrays, options):
            return arrays, options


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_maximum_is_pytorchs(axes: int) -> None:
    """Integers have many equal maxima: the first gets the gradient."""
    draw = Draw(20 + axes)
    for _ in range(25):
        arrays, options = pool_case(f"max_pool{axes}d", axes, draw)
        if not lonely(arrays["input"].shape[2:], options, axes):
            compare(f"max_pool{axes}d", arrays, options)


def lonely(shape: tuple[int, ...], options: dict[str, Any], axes: int) -> bool:
    """Whether a window holds padding alone, which with dilation PyTorch takes for -inf."""
    ones = torch.ones((1, 1, *shape))
    return not bool(
        getattr(torch.nn.functional, f"max_pool{axes}d")(ones, **options).isfinite().all()
    )


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_mean_is_pytorchs(axes: int) -> None:
    """A mean of k integers up to 4: 3 divisions and a product round; of the gradient, each of at
    most 3**axes shares of a cotangent up to 4 does, and their sums."""
    draw, seen = Draw(30 + axes), set()
    shares = 3**axes
    for _ in range(25):
        arrays, options = pool_case(f"avg_pool{axes}d", axes, draw)
        seen.add((options["ceil_mode"], options["count_include_pad"]))
        compare(f"avg_pool{axes}d", arrays, options, 4 * 8 * U, 4 * shares * (shares + 8) * U)
    assert len(seen) == 4


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_adaptive_mean_is_pytorchs(axes: int) -> None:
    """Errors as above; a window has at most 8**axes elements, and so many windows meet at one."""
    draw = Draw(40 + axes)
    shares = 8**axes
    for _ in range(12):
        arrays = {"input": integers(draw.rng, 2, 2, *draw.rng.integers(1, 8, axes))}
        options = {"output_size": draw.choice(1, draw.numbers(axes, 1, 8))}
        bounds = (4 * (shares + 8) * U, 4 * shares * (shares + 8) * U)
        compare(f"adaptive_avg_pool{axes}d", arrays, options, *bounds)


# -- padding -------------------------------------------------------------------------------------
@pytest.mark.parametrize("mode", ["constant", "reflect", "replicate"])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_padding_is_pytorchs(mode: str, axes: int) -> None:
    draw = Draw(50 + axes)
    for lead in (1, 2):
        for _ in range(8):
            x = integers(draw.rng, *[2] * lead, *draw.rng.integers(3, 6, axes))
            low = -1 if mode == "constant" else 0
            around = tuple(draw.rng.integers(low, 3, 2 * axes).tolist())
            options = {"pad": around, "mode": mode}
            if mode == "constant":
                options["value"] = draw.choice(None, 2.5)
            compare("pad", {"input": x}, options)


# -- resizing ------------------------------------------------------------------------------------
SIZES = [1, 2, 3, 5, 8, 13]


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_nearest_is_pytorchs(axes: int) -> None:
    draw = Draw(60 + axes)
    for _ in range(15):
        x = integers(draw.rng, 2, 2, *draw.rng.integers(1, 9, axes))
        options = draw.choice(
            {"size": draw.numbers(axes, 1, 13)}, {"scale_factor": draw.numbers(axes, 1, 3)}
        )
        compare("interpolate", {"input": x}, options)


@pytest.mark.parametrize("align_corners", [None, False, True])
@pytest.mark.parametrize(("extent", "size"), list(itertools.product(SIZES, SIZES)))
def test_linear_is_pytorchs(extent: int, size: int, align_corners: bool | None) -> None:
    """Larger and smaller, from and to one element.

    PyTorch rounds the position, up to `extent`, four times: that moves the two weights by at most
    4 u (extent + 1), and the values they weigh are at most 4.
    """
    x = integers(np.random.default_rng(extent), 2, 2, extent)
    one = 2 * 4 * (4 * (extent + 1) + 8) * U
    options = {"size": size, "mode": "linear", "align_corners": align_corners}
    compare("interpolate", {"input": x}, options, one, size * one)


@pytest.mark.parametrize("axes", [2, 3])
def test_bilinear_and_trilinear_are_pytorchs(axes: int) -> None:
    draw = Draw(70 + axes)
    for _ in range(12):
        shape = draw.rng.integers(1, 7, axes).tolist()
        x = integers(draw.rng, 2, 2, *shape)
        given = draw.choice(
            {"size": draw.numbers(axes, 1, 9)}, {"scale_factor": draw.numbers(axes, 1, 3)}
        )
        options = given | {"mode": "bilinear" if axes == 2 else "trilinear"}
        options["align_corners"] = draw.choice(None, False, True)
        one = axes * 2 * 4 * (4 * 8 + 8) * U
        compare("interpolate", {"input": x}, options, one, 9**axes * one)


@pytest.mark.parametrize("factor", [0.5, 1.5, 2.0, 1.1, 2.3, 0.7, (2.0, 0.5)])
@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
def test_scale_factor_is_pytorchs_or_refused(factor: Any, mode: str) -> None:
    """Positions follow PyTorch's where the product with the extents is whole, or where asked to."""
    x = integers(np.random.default_rng(0), 1, 1, 10, 10)
    bound = 2 * 2 * 4 * (4 * 11 + 8) * U if mode == "bilinear" else 0.0
    for options in scale_options(mode):
        options |= {"scale_factor": factor, "mode": mode}
        compare("interpolate", {"input": x}, options, bound, 23**2 * bound)
    y = gp.tensor(integers(np.random.default_rng(0), 1, 1, 7, 7))
    if np.all(np.multiply(factor, 7) % 1 != 0):
        with pytest.raises(ShapeError, match="give size, or recompute_scale_factor"):
            gp.functional.interpolate(y, scale_factor=factor, mode=mode)
        whole = {"scale_factor": factor, "mode": mode, "recompute_scale_factor": True}
        compare("interpolate", {"input": y.numpy().astype(np.float64)}, whole, bound, 23**2 * bound)


def scale_options(mode: str) -> Iterator[dict[str, Any]]:
    yield {}
    yield {"recompute_scale_factor": True}
    if mode == "bilinear":
        yield {"align_corners": True}
