"""Normalisation of each sample by itself: over its last axes, groups of channels, neighbours."""

from __future__ import annotations

import math
from collections.abc import Sequence

from gradproof.runtime.arguments import check_tensor, integer, number
from gradproof.runtime.autograd import apply
from gradproof.runtime.errors import ShapeError
from gradproof.runtime.functional.norm import check_eps
from gradproof.runtime.manifest import operators
from gradproof.runtime.tensor import Tensor


def layer_norm(
    input: Tensor,
    normalized_shape: int | Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *,
    label: str = "layer_norm",
) -> Tensor:
    """Layer normalisation, as torch.nn.functional.layer_norm.

    input (*, *normalized_shape), with or without axes before; weight and bias of
    normalized_shape, or None. Each set of elements along the last axes is normalised by its own
    mean and biased variance. Ba, Kiros and Hinton 2016.
    Errors: ShapeError names `label` and the shapes that do not fit.

    >>> import gradproof as gp
    >>> gp.functional.layer_norm(gp.tensor([[1.0, 3.0], [5.0, 9.0]]), 2, eps=0.0).numpy().tolist()
    [[-1.0, 1.0], [-1.0, 1.0]]
    """
    check_tensor(input, "input", label)
    shape = normalized_extents(normalized_shape, label)
    if input.shape[-len(shape) :] != shape:
        raise ShapeError(
            f"{label}: input has shape {input.shape}, expected its last axes to be "
            f"normalized_shape={shape}"
        )
    check_eps(eps, label)
    count = math.prod(shape)
    operands: dict[str, Tensor | None] = {"X": input.reshape(-1, count)}
    operands |= _parameters(shape, (count,), weight, bias, label)
    out = apply(operators()["layer_norm"], operands, {}, {"eps": eps}, label=label)["y"]
    return out.reshape(input.shape)


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *,
    label: str = "group_norm",
) -> Tensor:
    """Group normalisation, as torch.nn.functional.group_norm.

    input (N, C, *); weight and bias (C,) or None. The channels of a sample are num_groups groups
    of neighbours; each is normalised by its own mean and biased variance. Wu and He, ECCV 2018.
    Errors: ShapeError where num_groups does not divide C, or a size is not C.

    >>> import gradproof as gp
    >>> x = gp.tensor([[1.0, 3.0, 5.0, 9.0]])
    >>> gp.functional.group_norm(x, 2, eps=0.0).numpy().tolist()
    [[-1.0, 1.0, -1.0, 1.0]]
    """
    check_tensor(input, "input", label)
    if input.ndim < 2:
        raise ShapeError(f"{label}: input has shape {input.shape}, expected (N, C, …)")
    n, c = input.shape[:2]
    groups = integer(label, "num_groups", num_groups)
    if c % groups:
        raise ShapeError(f"{label}: num_groups={groups} does not divide {c} channels")
    check_eps(eps, label)
    operands: dict[str, Tensor | None] = {"X": input.reshape(n, groups, c // groups, -1)}
    operands |= _parameters((c,), (groups, c // groups), weight, bias, label)
    out = apply(operators()["group_norm"], operands, {}, {"eps": eps}, label=label)["y"]
    return out.reshape(input.shape)


def local_response_norm(
    input: Tensor,
    size: int,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
    *,
    label: str = "local_response_norm",
) -> Tensor:
    """Local response normalisation, as torch.nn.functional.local_response_norm.

    input (N, C, L), or with more axes; channel c is divided by (k + alpha m)**beta, where m is the
    sum of the squares of the channels c - size//2 … c + (size - 1)//2, those that exist, divided by
    size. Krizhevsky, Sutskever and Hinton, NeurIPS 2012, section 3.3, do not divide by size.
    Errors: ShapeError for another number of dimensions, size below 1, negative alpha or k.

    >>> import gradproof as gp
    >>> x = gp.tensor([[[2.0], [4.0], [6.0]]])
    >>> out = gp.functional.local_response_norm(x, 1, alpha=1.0, beta=0.5, k=0.0)
    >>> out.numpy().round(5).tolist()
    [[[1.0], [1.0], [1.0]]]
    """
    check_tensor(input, "input", label)
    if input.ndim < 3:
        raise ShapeError(f"{label}: input has shape {input.shape}, expected (N, C, L, …)")
    size = integer(label, "size", size)
    check_strengths(alpha, beta, k, label)
    scalars = {"alpha": alpha, "beta": beta, "k": k}
    rows = {"Y": input.reshape(*input.shape[:2], -1)}
    sizes = {"K": size, "P": size // 2}
    out = apply(operators()["local_response_norm"], rows, sizes, scalars, label=label)["z"]
    return out.reshape(input.shape)


def check_strengths(alpha: float, beta: float, k: float, label: str) -> None:
    """Errors: ShapeError where k + alpha m could be negative, or one is no number."""
    number(beta, "beta", label)
    for name, value in (("alpha", alpha), ("k", k)):
        if number(value, name, label) < 0.0:
            raise ShapeError(f"{label}: {name}={value}, expected at least 0")


def normalized_extents(normalized_shape: int | Sequence[int], label: str) -> tuple[int, ...]:
    """The last axes' extents. Errors: ShapeError where they are no integers from 1, or none."""
    given = normalized_shape if isinstance(normalized_shape, tuple | list) else [normalized_shape]
    if not given:
        raise ShapeError(
            f"{label}: normalized_shape={normalized_shape!r}, expected one axis or more"
        )
    return tuple(integer(label, "normalized_shape", n) for n in given)


def _parameters(
    shape: tuple[int, ...],
    wanted: tuple[int, ...],
    weight: Tensor | None,
    bias: Tensor | None,
    label: str,
) -> dict[str, Tensor | None]:
    """Weight and bias of `shape`, as the operator wants them. Errors: ShapeError, DTypeError."""
    found: dict[str, Tensor | None] = {}
    for operand, (name, t) in {"gamma": ("weight", weight), "beta": ("bias", bias)}.items():
        if t is not None:
            check_tensor(t, name, label)
            if t.shape != shape:
                raise ShapeError(f"{label}: {name} has shape {t.shape}, expected {shape}")
        found[operand] = None if t is None else t.reshape(wanted)
    return found
