"""Normalisation with running statistics: of a batch, and of each instance in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from gradproof.runtime.arguments import check_tensor, number
from gradproof.runtime.autograd import apply
from gradproof.runtime.binding import bind
from gradproof.runtime.dispatch import execute
from gradproof.runtime.errors import ShapeError
from gradproof.runtime.manifest import operators
from gradproof.runtime.repeats import is_repeat
from gradproof.runtime.tensor import Tensor
from gradproof.runtime.trace import Scalar


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float | Callable[[], float] = 0.1,
    eps: float = 1e-5,
    *,
    label: str = "batch_norm",
) -> Tensor:
    """Batch normalisation, as torch.nn.functional.batch_norm.

    input (N, C, …), 2 to 5 dimensions; the other tensors (C,). In training the batch's mean and
    biased variance normalise, and running_mean, running_var (if given) move towards the mean
    and the unbiased variance by `momentum`, in place. Otherwise the running statistics normalise.
    Errors: ShapeError where a size is not C, where training has one value per channel, or where
    inference lacks running statistics.

    >>> import gradproof as gp
    >>> x = gp.tensor([[1.0], [3.0]])
    >>> gp.functional.batch_norm(x, None, None, training=True, eps=0.0).numpy().tolist()
    [[-1.0], [1.0]]
    """
    check_tensor(input, "input", label)
    if not 2 <= input.ndim <= 5:
        raise ShapeError(f"{label}: input has shape {input.shape}, expected 2 to 5 dimensions")
    _check(input, running_mean, running_var, weight, bias, momentum, eps, label)
    x = input.reshape(*input.shape[:2], -1)
    operands: dict[str, Tensor | None] = {"X": x, "gamma": weight, "beta": bias}
    scalars = {"eps": eps}
    if not training:
        if running_mean is None or running_var is None:
            raise ShapeError(f"{label}: inference needs running_mean and running_var")
        operands |= {"mean": running_mean, "var": running_var}
        op = operators()["batch_norm_inference"]
        return apply(op, operands, {}, scalars, label=label)["y"].reshape(input.shape)
    m = x.shape[0] * x.shape[2]
    if m < 2:
        raise ShapeError(
            f"{label}: training needs more than one value per channel, input has shape "
            f"{input.shape}"
        )
    tracking = running_mean is not None and running_var is not None
    also = ("mean", "var") if tracking else ()
    out = apply(operators()["batch_norm"], operands, {}, scalars, label=label, also=also)
    if tracking:
        _move(cast(Tensor, running_mean), out["mean"], momentum, 1.0, label)
        _move(cast(Tensor, running_var), out["var"], momentum, m / (m - 1), label)
    return out["y"].reshape(input.shape)


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    label: str = "instance_norm",
) -> Tensor:
    """Instance normalisation, as torch.nn.functional.instance_norm.

    input (N, C, L), (N, C, H, W) or (N, C, D, H, W); the other tensors (C,). Each channel of each
    sample is normalised by its own mean and biased variance; running_mean and running_var (if
    given) move towards the means over the samples of the means and of the unbiased variances, in
    place. Without use_input_stats the running statistics normalise.
    Errors: ShapeError where a size is not C, a channel has one element, or running statistics lack.

    >>> import gradproof as gp
    >>> x = gp.tensor([[[1.0, 3.0], [10.0, 30.0]]])
    >>> gp.functional.instance_norm(x, eps=0.0).numpy().tolist()
    [[[-1.0, 1.0], [-1.0, 1.0]]]
    """
    check_tensor(input, "input", label)
    if not 3 <= input.ndim <= 5:
        raise ShapeError(f"{label}: input has shape {input.shape}, expected 3, 4 or 5 dimensions")
    if not use_input_stats:
        return batch_norm(input, running_mean, running_var, weight, bias, eps=eps, label=label)
    _check(input, running_mean, running_var, weight, bias, momentum, eps, label)
    x = input.reshape(*input.shape[:2], -1)
    m = x.shape[2]
    if m < 2:
        raise ShapeError(
            f"{label}: a channel needs more than one element, input has shape {input.shape}"
        )
    tracking = running_mean is not None
    also = ("mean", "var") if tracking else ()
    operands: dict[str, Tensor | None] = {"X": x, "gamma": weight, "beta": bias}
    op = operators()["instance_norm"]
    out = apply(op, operands, {}, {"eps": eps}, label=label, also=also)
    if tracking:
        means = {name: _mean_of_samples(out[name], label) for name in also}
        _move(cast(Tensor, running_mean), means["mean"], momentum, 1.0, label)
        _move(cast(Tensor, running_var), means["var"], momentum, m / (m - 1), label)
    return out["y"].reshape(input.shape)


def _check(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    momentum: float | Callable[[], float],
    eps: float,
    label: str,
) -> None:
    """Errors: ShapeError where statistics or parameters do not go with the input's channels."""
    channels = input.shape[1]
    statistics = {"running_mean": running_mean, "running_var": running_var}
    if (running_mean is None) != (running_var is None):
        raise ShapeError(f"{label}: running_mean and running_var come together or not at all")
    check_eps(eps, label)
    if not callable(momentum):
        number(momentum, "momentum", label)
    for name, t in {**statistics, "weight": weight, "bias": bias}.items():
        if t is not None:
            check_tensor(t, name, label)
        if t is not None and t.shape != (channels,):
            raise ShapeError(
                f"{label}: input has {channels} channels, but {name} has shape {t.shape}"
            )


def check_eps(eps: float, label: str) -> None:
    """Errors: ShapeError where what is added to a variance is no number from 0."""
    if number(eps, "eps", label) < 0.0:
        raise ShapeError(f"{label}: eps={eps}, expected at least 0")


def _mean_of_samples(t: Tensor, label: str) -> Tensor:
    """(N, C) -> (C,)."""
    rows = t.reshape(1, *t.shape)
    return apply(operators()["mean_axis"], {"Y": rows}, label=label)["z"].reshape(-1)


def _move(
    running: Tensor,
    batch: Tensor,
    momentum: float | Callable[[], float],
    unbias: float,
    label: str,
) -> None:
    """running <- (1 - momentum) * running + momentum * unbias * batch, in place; once for each
    batch, also where its forward pass is repeated."""
    if is_repeat():
        return
    op = operators()["running_average"]
    operands = {"old": running, "batch": batch}
    binding = bind(op, op.without(), {n: t.shape for n, t in operands.items()}, {}, label)
    scalars: Mapping[str, Scalar] = {"momentum": momentum, "unbias": unbias}
    kernels = binding.forward(frozenset({"new"}))
    execute(binding, kernels, operands, scalars, into={"new": running}, label=label)
