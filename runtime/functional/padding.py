"""Padding along the last axes of an array."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gradproof.runtime.arguments import check_tensor, number, whole
from gradproof.runtime.autograd import apply
from gradproof.runtime.errors import ShapeError
from gradproof.runtime.manifest import operators
from gradproof.runtime.tensor import Tensor

MODES = ("constant", "reflect", "replicate")


def pad(
    input: Tensor,
    pad: Sequence[int],
    mode: str = "constant",
    value: float | None = None,
    *,
    label: str = "pad",
) -> Tensor:
    """Make the last axes longer at both ends, as torch.nn.functional.pad.

    input: any shape. pad: two integers for each axis, before and after, the last axis first:
    (left, right), (left, right, top, bottom), … mode: "constant" adds `value`, 0 by default, and a
    negative padding crops; "reflect" mirrors the input at its edge, which is not repeated;
    "replicate" repeats the edge. Where nothing is to be done the input itself is returned.
    Errors: ShapeError for integers or a mode that do not fit, or where nothing would be left;
    DTypeError for an integer tensor. Left out: mode "circular".

    >>> import gradproof as gp
    >>> x = gp.tensor([[1.0, 2.0, 3.0]])
    >>> gp.functional.pad(x, (2, -1)).numpy().tolist()
    [[0.0, 0.0, 1.0, 2.0]]
    >>> gp.functional.pad(x, (2, 1), mode="reflect").numpy().tolist()
    [[3.0, 2.0, 1.0, 2.0, 3.0, 2.0]]
    """
    check_tensor(input, "input", label)
    if mode not in MODES:
        raise ShapeError(f"{label}: mode={mode!r}, expected one of {', '.join(map(repr, MODES))}")
    fill = 0.0 if value is None else number(value, "value", label)
    if mode != "constant" and fill != 0.0:
        raise ShapeError(f"{label}: value={value} with mode={mode!r}, which takes no value")
    scalars = {"value": fill} if mode == "constant" else {}
    for k, (before, after) in enumerate(_sides(pad, input, label)):
        if before == after == 0:
            continue
        if mode != "constant" and min(before, after) < 0:
            raise ShapeError(f"{label}: pad={tuple(pad)}, mode={mode!r} takes no negative padding")
        axis = input.ndim - 1 - k
        lead, trail = input.shape[:axis], input.shape[axis + 1 :]
        rows = input.reshape(math.prod(lead), input.shape[axis], math.prod(trail))
        sizes = {"PT": before, "PB": after}
        op = operators()[f"pad_{mode}"]
        longer = apply(op, {"Y": rows}, sizes, scalars, label=f"{label}, axis {axis}")["z"]
        input = longer.reshape(*lead, -1, *trail)
    return input


def _sides(pad: Sequence[int], input: Tensor, label: str) -> list[tuple[int, int]]:
    """(before, after) of the last axis, of the one before it, and so on."""
    values = [whole(p) for p in pad] if isinstance(pad, tuple | list) else [None]
    found = [v for v in values if v is not None]
    if len(found) != len(values) or len(values) % 2 or len(values) > 2 * input.ndim:
        raise ShapeError(
            f"{label}: pad={pad!r}, expected two integers for each axis from the last on "
            f"(input {input.shape})"
        )
    return list(zip(found[::2], found[1::2], strict=True))
