"""The errors a user can meet: each names the argument, what was given and what was expected."""

from __future__ import annotations


class GradproofError(Exception):
    """Base of every error that gradproof raises on purpose.

    >>> try:
    ...     raise ShapeError("linear: input has 3 features, expected 4")
    ... except GradproofError as error:
    ...     print(error)
    linear: input has 3 features, expected 4
    """


class ShapeError(GradproofError, ValueError):
    """A tensor's shape, or a size that follows from it, does not fit."""


class DTypeError(GradproofError, TypeError):
    """An element type that an operator does not take."""


class ArgumentError(GradproofError, TypeError):
    """An argument of a call is missing, unknown, given twice, or of a kind that it cannot be."""


class DeviceError(GradproofError, RuntimeError):
    """No such device, or the device cannot do what was asked."""


class OutOfMemoryError(DeviceError):
    """The device, or its driver on the host, has not enough memory."""


class DeviceLostError(DeviceError):
    """The device was reset or taken away while it was used; a new process may find it again."""


class DeviceHangError(DeviceError):
    """A kernel has not ended within the watchdog's limit; see `gradproof.runtime.watchdog`."""


class BuildError(GradproofError, RuntimeError):
    """A kernel did not compile on the chosen device."""


class DataError(GradproofError, ValueError):
    """A data file is unreadable, truncated or holds impossible values."""


class RunError(GradproofError, RuntimeError):
    """A run folder exists already, or lacks what is needed from it."""


class DivergenceError(RunError):
    """The loss became infinite or NaN: training cannot go on from there."""


class AnomalyError(GradproofError, ArithmeticError):
    """An operator has computed a NaN or an infinity, while `detect_anomaly` was on."""


class GradientError(GradproofError, ArithmeticError):
    """A gradient that does not agree with its function, or a function that cannot be checked."""
