"""What an error of OpenCL means to a user: out of memory, device lost, or something else."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gradproof.runtime.errors import (
    BuildError,
    DeviceError,
    DeviceLostError,
    GradproofError,
    OutOfMemoryError,
)

# the codes of CL/cl.h
_MEMORY = {
    -4: "CL_MEM_OBJECT_ALLOCATION_FAILURE",
    -5: "CL_OUT_OF_RESOURCES",
    -6: "CL_OUT_OF_HOST_MEMORY",
}
_LOST = {
    -2: "CL_DEVICE_NOT_AVAILABLE",
    -33: "CL_INVALID_DEVICE",
    -34: "CL_INVALID_CONTEXT",
    -36: "CL_INVALID_COMMAND_QUEUE",
    -9999: "an access that the device refused, in NVIDIA's drivers",
}
LESS = (
    "a smaller batch takes less; so do accumulate=4 and recomputed activations"
    " (`gradproof train --recompute`, `gp.Trainer(..., checkpoint=True)`)"
)
RESTART = (
    "its driver has reset it, or it was taken away: this process cannot use it any more. Start the"
    " program again; the system's log (`dmesg` on Linux) may say why"
)


def code_of(error: Exception) -> int | None:
    """The OpenCL status of an error of pyopencl, which knows none of some."""
    try:
        return int(error.code)  # type: ignore[attr-defined]
    except (AttributeError, TypeError, ValueError):
        return None


def explained(error: Exception, device: str, what: str, code: int | None = None) -> DeviceError:
    """The error that a user gets for one of pyopencl.

    device: its name; what: what was done, such as "kernel k3_: launch of global size (64,)". code:
    of the command that failed, where it is known better than from `error`.

    >>> print(explained(RuntimeError("no"), "GPU", "kernel k", -4))  # doctest: +ELLIPSIS
    kernel k: GPU has not enough memory (CL_MEM_OBJECT_ALLOCATION_FAILURE); a smaller batch ...
    """
    number = code_of(error) if code is None else code
    if number in _MEMORY:
        return OutOfMemoryError(
            f"{what}: {device} has not enough memory ({_MEMORY[number]}); {LESS}"
        )
    if number in _LOST:
        return DeviceLostError(f"{what}: {device} is lost ({_LOST[number]}): {RESTART}")
    status = "" if code is None else f" with status {code}"
    return DeviceError(f"{what}: {device}: a command failed{status}: {error}")


def in_training(
    error: Exception, device: str, where: str, checkpoint: Path | None
) -> GradproofError | None:
    """The error that ends a training whose device, compiler or memory failed; None for others.

    where: "in epoch 2, batch 3 of 12"; checkpoint: the last one, where it is known.
    """
    import pyopencl as cl

    if isinstance(error, cl.Error):
        error = explained(error, device, "a step")
    elif isinstance(error, MemoryError):
        error = OutOfMemoryError(f"the host has not enough memory: {error}; {LESS}")
    if not isinstance(error, DeviceError | BuildError):
        return None
    kept = "" if checkpoint is None else f" (last checkpoint: {checkpoint})"
    return type(error)(f"training stopped {where}{kept}: {error}")


@contextmanager
def explaining(device: str, what: str) -> Iterator[None]:
    """Errors of pyopencl in the block become those of `explained`."""
    import pyopencl as cl

    try:
        yield
    except cl.Error as error:
        raise explained(error, device, what) from error
