"""Learning rates that change from epoch to epoch, named and called as in torch.optim.lr_scheduler.

A schedule is a function of the number of `step()` calls, t, and of the rates that the groups of
parameters began with; it is stated in closed form, so a run that is resumed goes on exactly. A
plan of a training step asks for the rate in every run.

>>> import gradproof as gp
>>> optimizer = gp.optim.SGD(gp.nn.Linear(2, 1).parameters(), lr=0.1)
>>> scheduler = StepLR(optimizer, step_size=2, gamma=0.5)
>>> rates = []
>>> for epoch in range(4):
...     rates.append(optimizer.lr)
...     scheduler.step()
>>> rates
[0.1, 0.1, 0.05, 0.05]
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from gradproof.runtime.arguments import integer
from gradproof.runtime.errors import ArgumentError, DataError
from gradproof.runtime.optim.optimizer import Optimizer


class LRScheduler:
    """The base of schedules. A subclass defines `rate`, and names what `state_dict` keeps.

    optimizer: its rates when the schedule is made are those that it starts from.
    """

    _kept: ClassVar[tuple[str, ...]] = ("last_epoch", "base_lrs")

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer = optimizer
        self.base_lrs = [float(group["lr"]) for group in optimizer.param_groups]
        self.last_epoch = 0
        self._set()

    def rate(self, t: int, base: float) -> float:
        """The rate after t calls of `step`, of a group that began with `base`."""
        raise NotImplementedError

    def step(self) -> None:
        """The next rate. Call it after each epoch, or after each batch if it counts those."""
        self.last_epoch += 1
        self._set()

    def get_last_lr(self) -> list[float]:
        """The rate of each group now."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """What a run needs to go on: numbers and lists of them."""
        return {name: getattr(self, name) for name in self._kept}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a `state_dict` of the same kind of schedule. Errors: DataError."""
        label = f"{type(self).__name__}.load_state_dict"
        if missing := [name for name in self._kept if name not in state_dict]:
            raise DataError(f"{label}: {', '.join(missing)} missing")
        if len(state_dict["base_lrs"]) != len(self.base_lrs):
            given, own = len(state_dict["base_lrs"]), len(self.base_lrs)
            raise DataError(f"{label}: {given} groups of parameters, expected {own}")
        for name in self._kept:
            setattr(self, name, state_dict[name])
        self._set()

    def _set(self) -> None:
        for group, base in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = self.rate(self.last_epoch, base)


class StepLR(LRScheduler):
    """base · gamma^⌊t / step_size⌋. PyTorch: StepLR."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1) -> None:
        self.step_size = integer("StepLR", "step_size", step_size)
        self.gamma = gamma
        super().__init__(optimizer)

    def rate(self, t: int, base: float) -> float:
        """base · gamma^⌊t / step_size⌋."""
        return float(base * self.gamma ** (t // self.step_size))


class MultiStepLR(LRScheduler):
    """base · gamma^k, k the number of `milestones` up to t. PyTorch: MultiStepLR."""

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1) -> None:
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer)

    def rate(self, t: int, base: float) -> float:
        """base · gamma^(number of milestones ≤ t)."""
        return float(base * self.gamma ** bisect_right(self.milestones, t))


class ExponentialLR(LRScheduler):
    """base · gamma^t. PyTorch: ExponentialLR."""

    def __init__(self, optimizer: Optimizer, gamma: float) -> None:
        self.gamma = gamma
        super().__init__(optimizer)

    def rate(self, t: int, base: float) -> float:
        """base · gamma^t."""
        return float(base * self.gamma**t)


class CosineAnnealingLR(LRScheduler):
    """eta_min + (base - eta_min) · (1 + cos(π t / T_max)) / 2. PyTorch: CosineAnnealingLR.

    Loshchilov and Hutter, "SGDR", ICLR 2017, equation 5, without restarts.
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0) -> None:
        self.T_max, self.eta_min = integer("CosineAnnealingLR", "T_max", T_max), eta_min
        super().__init__(optimizer)

    def rate(self, t: int, base: float) -> float:
        """eta_min + (base - eta_min) · (1 + cos(π t / T_max)) / 2."""
        return self.eta_min + (base - self.eta_min) * (1 + math.cos(math.pi * t / self.T_max)) / 2


class LinearLR(LRScheduler):
    """base · factor, which goes from start_factor to end_factor in total_iters steps: a warm-up.

    PyTorch: LinearLR. Errors: ArgumentError for a start_factor outside (0, 1], or an end_factor
    outside [0, 1].
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
    ) -> None:
        if not 0 < start_factor <= 1 or not 0 <= end_factor <= 1:
            raise ArgumentError(
                f"LinearLR: start_factor={start_factor}, end_factor={end_factor},"
                " expected numbers above 0 and from 0, up to 1"
            )
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = integer("LinearLR", "total_iters", total_iters)
        super().__init__(optimizer)

    def rate(self, t: int, base: float) -> float:
        """base · (start + (end - start) · min(t, total_iters) / total_iters)."""
        part = min(t, self.total_iters) / self.total_iters
        return base * (self.start_factor + (self.end_factor - self.start_factor) * part)


class SequentialLR(LRScheduler):
    """One schedule after the other: number k from step milestones[k - 1] on, counted from there.

    PyTorch: SequentialLR. Errors: ArgumentError unless there is one milestone less than schedules,
    rising, and all are of `optimizer` and functions of t.

    >>> import gradproof as gp
    >>> optimizer = gp.optim.SGD(gp.nn.Linear(2, 1).parameters(), lr=1.0)
    >>> warm, cosine = LinearLR(optimizer, 0.5, total_iters=2), StepLR(optimizer, 1, gamma=0.5)
    >>> scheduler = SequentialLR(optimizer, [warm, cosine], milestones=[2])
    >>> [scheduler.rate(t, 1.0) for t in range(5)]
    [0.5, 0.75, 1.0, 0.5, 0.25]
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int]
    ) -> None:
        rising = list(milestones) == sorted({*milestones})
        if len(schedulers) != len(milestones) + 1 or not rising:
            raise ArgumentError(
                f"SequentialLR: {len(schedulers)} schedulers and milestones {list(milestones)},"
                " expected one milestone less, rising"
            )
        for k, scheduler in enumerate(schedulers):
            if scheduler.optimizer is not optimizer:
                raise ArgumentError(f"SequentialLR: scheduler {k} is of another optimizer")
            if isinstance(scheduler, ReduceLROnPlateau):
                raise ArgumentError(f"SequentialLR: scheduler {k} depends on a metric")
        self.schedulers, self.milestones = list(schedulers), list(milestones)
        bases = schedulers[0].base_lrs
        for group, base in zip(optimizer.param_groups, bases, strict=True):
            group["lr"] = base  # as before the first of them was made
        super().__init__(optimizer)

    def rate(self, t: int, base: float) -> float:
        """That of the schedule whose turn it is."""
        k = bisect_right(self.milestones, t)
        return self.schedulers[k].rate(t - (self.milestones[k - 1] if k else 0), base)


class ReduceLROnPlateau(LRScheduler):
    """Multiplies the rate by `factor` when a metric has not improved for over `patience` steps.

    mode: "min" or "max", which is better; an improvement is one by more than `threshold`, of the
    best ("rel") or as it is ("abs"). cooldown: steps after a reduction that do not count. min_lr:
    no rate goes below; a reduction by less than eps is none. PyTorch: ReduceLROnPlateau.
    """

    _kept: ClassVar[tuple[str, ...]] = (
        "last_epoch",
        "base_lrs",
        "rates",
        "best",
        "num_bad_epochs",
        "cooldown_counter",
    )

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float = 0.0,
        eps: float = 1e-8,
    ) -> None:
        if mode not in ("min", "max") or threshold_mode not in ("rel", "abs"):
            raise ArgumentError(
                f"ReduceLROnPlateau: mode={mode!r}, threshold_mode={threshold_mode!r},"
                " expected min or max, and rel or abs"
            )
        if not 0 < factor < 1:
            raise ArgumentError(f"ReduceLROnPlateau: factor={factor}, expected one in (0, 1)")
        self.mode, self.factor, self.patience = mode, factor, patience
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.cooldown, self.min_lr, self.eps = cooldown, min_lr, eps
        self.best: float | None = None
        self.num_bad_epochs = self.cooldown_counter = 0
        self.rates = [float(group["lr"]) for group in optimizer.param_groups]
        super().__init__(optimizer)

    def step(self, metric: float | None = None) -> None:
        """What was measured after an epoch. Errors: ArgumentError where it is left out."""
        if metric is None:
            raise ArgumentError("ReduceLROnPlateau.step: the metric is missing")
        self.last_epoch += 1
        if self._better(float(metric)):
            self.best, self.num_bad_epochs = float(metric), 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self.rates = [self._reduced(rate) for rate in self.rates]
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._set()

    def _set(self) -> None:
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate

    def _reduced(self, rate: float) -> float:
        new = max(rate * self.factor, self.min_lr)
        return new if rate - new > self.eps else rate

    def _better(self, metric: float) -> bool:
        if self.best is None:
            return not math.isnan(metric)
        sign = -1.0 if self.mode == "min" else 1.0
        relative = self.best * (1 + sign * self.threshold)
        bound = relative if self.threshold_mode == "rel" else self.best + sign * self.threshold
        return sign * metric > sign * bound
