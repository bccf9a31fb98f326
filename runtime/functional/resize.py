"""Images of another size."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gradproof.runtime.arguments import check_tensor, extents, number
from gradproof.runtime.autograd import apply
from gradproof.runtime.errors import ShapeError
from gradproof.runtime.manifest import operators
from gradproof.runtime.tensor import Tensor

Scale = float | Sequence[float]
LINEAR = {"linear": 1, "bilinear": 2, "trilinear": 3}  # mode -> number of axes
ROUNDING = 2.0**-51  # of the product of an extent and a scale_factor: a few units in its last place


def interpolate(
    input: Tensor,
    size: int | tuple[int, ...] | None = None,
    scale_factor: Scale | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    *,
    label: str = "interpolate",
) -> Tensor:
    """Larger or smaller signals, images or volumes, as torch.nn.functional.interpolate.

    input (N, C, L), (N, C, H, W) or (N, C, D, H, W); the result has the extents `size`, or
    floor(extent * scale_factor). mode: "nearest", where output x is input floor(x extent / size);
    "linear", "bilinear", "trilinear" for 1, 2, 3 axes: weights of the two neighbours along each,
    with the pixels' centres (default) or, align_corners, their outer centres on each other;
    smaller images are not smoothed.

    PyTorch takes positions from scale_factor, not from the sizes, which is the same where
    extent * scale_factor is whole. Elsewhere it is an error here, except with align_corners, and
    with recompute_scale_factor=True, which takes the sizes. "nearest" is computed with
    integers: it differs where PyTorch's float32 ratio rounds to another element, as from 14 to 46.
    Errors: ShapeError names `label`. Left out: modes "area", "bicubic", "nearest-exact"; antialias.

    >>> import gradproof as gp
    >>> x = gp.tensor([[[1.0, 3.0]]])
    >>> gp.functional.interpolate(x, scale_factor=2).numpy().tolist()
    [[[1.0, 1.0, 3.0, 3.0]]]
    >>> gp.functional.interpolate(x, 4, mode="linear").numpy().tolist()
    [[[1.0, 1.5, 2.5, 3.0]]]
    """
    check_tensor(input, "input", label)
    axes = input.ndim - 2
    if axes not in (1, 2, 3):
        raise ShapeError(f"{label}: input has shape {input.shape}, expected 3, 4 or 5 dimensions")
    check_mode(mode, align_corners, label)
    if LINEAR.get(mode, axes) != axes:
        raise ShapeError(
            f"{label}: mode={mode!r} takes input of {LINEAR[mode] + 2} dimensions, not "
            f"of shape {input.shape}"
        )
    exact = not (align_corners or recompute_scale_factor)
    wanted = _size(input, size, scale_factor, exact, label)
    if size is not None and recompute_scale_factor:
        raise ShapeError(f"{label}: recompute_scale_factor goes with scale_factor, not with size")
    if mode == "nearest":
        return _nearest(input, wanted, label)
    for axis, extent in enumerate(wanted, start=2):
        input = _linear(input, axis, extent, bool(align_corners), label)
    return input


def upsample(
    input: Tensor,
    size: int | tuple[int, ...] | None = None,
    scale_factor: Scale | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    *,
    label: str = "upsample",
) -> Tensor:
    """`interpolate` under its older name, as torch.nn.functional.upsample.

    >>> import gradproof as gp
    >>> gp.functional.upsample(gp.tensor([[[1.0]]]), 3).numpy().tolist()
    [[[1.0, 1.0, 1.0]]]
    """
    return interpolate(input, size, scale_factor, mode, align_corners, label=label)


def check_mode(mode: str, align_corners: bool | None, label: str) -> None:
    """Errors: ShapeError for another mode, and for align_corners with "nearest"."""
    linear = ", ".join(map(repr, LINEAR))
    if mode != "nearest" and mode not in LINEAR:
        raise ShapeError(f"{label}: mode={mode!r}, expected 'nearest', {linear}")
    if mode == "nearest" and align_corners is not None:
        raise ShapeError(f"{label}: align_corners goes with {linear}, not with 'nearest'")


def _size(
    input: Tensor,
    size: int | tuple[int, ...] | None,
    scale_factor: Scale | None,
    exact: bool,
    label: str,
) -> tuple[int, ...]:
    """The output's extents. Errors: ShapeError, also where `exact` and a product is not whole."""
    shape = input.shape[2:]
    if (size is None) == (scale_factor is None):
        raise ShapeError(f"{label}: size={size}, scale_factor={scale_factor}, expected one of them")
    if scale_factor is None:
        return extents(label, "size", size, len(shape))
    listed = isinstance(scale_factor, tuple | list)
    factors = tuple(scale_factor) if listed else (scale_factor,) * len(shape)  # type: ignore[arg-type]
    if len(factors) != len(shape):
        raise ShapeError(
            f"{label}: scale_factor={scale_factor!r}, expected a number or {len(shape)}"
        )
    found = []
    for extent, factor in zip(shape, factors, strict=True):
        product = extent * number(factor, "scale_factor", label)
        if not 1.0 <= product < math.inf:
            raise ShapeError(f"{label}: scale_factor={factor} of {extent} elements leaves none")
        whole = math.floor(product)
        if exact and product - whole > ROUNDING * product:
            raise ShapeError(
                f"{label}: scale_factor={factor} of {extent} elements is {product}; give size, or "
                "recompute_scale_factor=True for positions by the sizes' ratio"
            )
        found.append(whole)
    return tuple(found)


def _nearest(input: Tensor, wanted: tuple[int, ...], label: str) -> Tensor:
    if input.shape[2:] == wanted:
        return input
    n, c, *shape = input.shape
    if len(wanted) == 1:
        out = _pick(input.reshape(n * c, 1, *shape), 1, *wanted, label)
    elif len(wanted) == 2:
        out = _pick(input.reshape(n * c, *shape), *wanted, label)
    else:
        depth, height, width = wanted
        slices = _pick(input.reshape(n * c * shape[0], *shape[1:]), height, width, label)
        columns = slices.reshape(n * c, shape[0], height * width)
        out = _pick(columns, depth, height * width, label)
    return out.reshape(n, c, *wanted)


def _pick(images: Tensor, height: int, width: int, label: str) -> Tensor:
    """Images (C, H, W) as (C, height, width)."""
    sizes = {"OH": height, "OW": width}
    return apply(operators()["upsample_nearest"], {"Y": images}, sizes, label=label)["z"]


def _linear(input: Tensor, axis: int, wanted: int, align_corners: bool, label: str) -> Tensor:
    """Along one axis: output x lies at input (A x + B)/M."""
    extent = input.shape[axis]
    if wanted == extent:
        return input
    lead, trail = input.shape[:axis], input.shape[axis + 1 :]
    rows = input.reshape(math.prod(lead), extent, math.prod(trail))
    if extent == 1:  # every output shows the one element
        return _pick(rows, wanted, rows.shape[2], label).reshape(*lead, wanted, *trail)
    if not align_corners:  # (x + 1/2) extent/wanted - 1/2
        a, b, m = 2 * extent, extent - wanted, 2 * wanted
    elif wanted > 1:
        a, b, m = extent - 1, 0, wanted - 1
    else:  # the one output lies at the first corner
        a, b, m = 1, 0, 1
    sizes = {"A": a, "B": b, "M": m, "OH": wanted}
    out = apply(operators()["upsample_linear"], {"Y": rows}, sizes, label=label)["z"]
    return out.reshape(*lead, wanted, *trail)
