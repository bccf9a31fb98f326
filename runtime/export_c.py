"""A network as a folder of C and OpenCL C that gives its logits without Python."""

from __future__ import annotations

import os
import shutil
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradproof.runtime.compile import host_files
from gradproof.runtime.errors import ArgumentError, DataError, DeviceError, RunError, ShapeError
from gradproof.runtime.evaluation import model_dtype
from gradproof.runtime.folders import check_free
from gradproof.runtime.host_plan import HostPlan, host_plan
from gradproof.runtime.nn import Module
from gradproof.runtime.plan import plan_row_major
from gradproof.runtime.planned_step import PlannedStep
from gradproof.runtime.schedule import REALS
from gradproof.runtime.tensor import Tensor, no_grad, tensor

Array = NDArray[Any]
BATCHES = 2  # of the test vector: the second one finds the memory as the first left it
ORDERS = 32
MEANING = (
    f"{ORDERS} times what another order of the same sums changes in these logits, and their spacing"
)


def export_c(
    model: Module,
    image_shape: Sequence[int],
    folder: str | os.PathLike[str],
    batch: int = 1,
    *,
    classes: Sequence[str] | None = None,
    precision: str = "fast",
) -> Path:
    """Write a C program that computes `model`'s logits, and give its folder.

    The forward pass is planned (`gradproof.plan`) in evaluation mode, in which the model is left.
    The folder holds the kernels, the parameters laid out for them, a host in C99 that needs OpenCL
    and nothing else, an example program, a Makefile, a README and a test vector for `make check`.
    On the device that was planned for, the logits are equal to those of the plan, bit for bit.

    Shapes: the program takes batches (batch, *image_shape), row-major, and gives (batch, classes).
    classes: their names, by default their numbers. precision: as for `gradproof.plan`.

    Raises:
        ShapeError: no positive sizes, another number of names, or a model that gives no (batch,
            classes); and those of the layers.
        RunError: `folder` is not empty or cannot be written; nothing is left there then.
        GradproofError: a model that does in each run something besides computing logits.

    >>> import tempfile, gradproof as gp
    >>> model = gp.nn.Sequential(gp.nn.Flatten(), gp.nn.Linear(4, 3))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     written = export_c(model, (1, 2, 2), folder, classes=["cat", "dog", "bird"])
    ...     sorted(path.name for path in written.iterdir())[:4]
    ['Makefile', 'README.md', 'kernels.cl', 'main.c']
    """
    path, shape = Path(folder), _checked_shape(image_shape, batch)
    check_free(path, "export: folder")
    if not isinstance(model, Module):
        raise ArgumentError(f"export: model is {type(model).__name__}, expected a Module")
    model.eval()
    images = np.random.default_rng(0).random((BATCHES, *shape)).astype(model_dtype(model))
    step = _planned(model, images[0], precision)
    names = _checked_names(classes, step.outputs[0].shape[1])
    plan = host_plan(step, _storage_names(model))
    logits = np.stack([_logits(step, x) for x in images])
    if not np.isfinite(logits).all():
        raise DataError("export: the model gives logits that are not finite for images in 0..1")
    weights = b"".join(map(_little, plan.weights))
    data = _template_data(plan, step, shape, names) | {
        "title": type(model).__name__,
        "weights_crc": zlib.crc32(weights),
        "tolerance": _tolerance(model, images, logits),
        "tolerance_meaning": MEANING,
    }
    files = {name: text.encode() for name, text in host_files(data).items()}
    files |= {p.file: p.source.encode() for p in plan.programs}
    files |= {"weights.bin": weights}
    _write(path, files | {"test/images.bin": _little(images), "test/logits.bin": _little(logits)})
    return path


def _checked_shape(image_shape: Sequence[int], batch: int) -> tuple[int, ...]:
    """(batch, *image_shape). Errors: ShapeError."""
    shape = (batch, *image_shape)
    if len(shape) < 2 or not all(isinstance(n, int | np.integer) and n > 0 for n in shape):
        raise ShapeError(
            f"export: batch={batch!r}, image_shape={tuple(image_shape)}, expected positive sizes"
        )
    return tuple(int(n) for n in shape)


def _checked_names(classes: Sequence[str] | None, count: int) -> list[str]:
    """Errors: ShapeError for another number of names than `count`."""
    names = list(map(str, range(count) if classes is None else classes))
    if len(names) != count:
        raise ShapeError(f"export: {len(names)} class names for a model with {count} classes")
    return names


def _planned(model: Module, images: Array, precision: str) -> PlannedStep:
    """The forward pass. Errors: ShapeError unless it gives (batch, classes)."""
    first = tensor(images)
    if first.device.info.kind == "simulator":
        raise DeviceError(
            f"export: {first.device.info.name} is a simulator; choose the device to plan for"
        )
    with no_grad():
        step = plan_row_major(model, first, precision=precision)
    shapes = [t.shape for t in step.outputs]
    if len(shapes) != 1 or len(shapes[0]) != 2 or shapes[0][0] != len(images):
        raise ShapeError(
            f"export: the model gives {', '.join(map(str, shapes))} for images {images.shape},"
            f" expected one result ({len(images)}, classes)"
        )
    return step


def _logits(step: PlannedStep, images: Array) -> Array:
    step(images)
    return step.outputs[0].numpy()


def _tolerance(model: Module, images: Array, logits: Array) -> float:
    """What `make check` allows where rounding differs, see MEANING: the model without a plan sums
    in another order."""
    with no_grad():
        other = np.stack([model(tensor(x)).numpy() for x in images])
    spacing = float(np.spacing(np.abs(logits).max()))
    return ORDERS * (float(np.abs(logits - other).max()) + spacing)


def _storage_names(model: Module) -> dict[int, str]:
    named = [*model.named_parameters(), *model.named_buffers()]
    return {id(t.storage): name for name, t in named if isinstance(t, Tensor)}


def _template_data(
    plan: HostPlan, step: PlannedStep, shape: tuple[int, ...], names: list[str]
) -> dict[str, Any]:
    """What the templates name."""
    info = step.device.info
    return {
        "real": REALS[step.dtype],
        "dtype": step.dtype,
        "device": f"{info.name}, {info.platform_version}",
        "kind": info.kind,
        "batch": shape[0],
        "image": shape[1:],
        "classes": names,
        "programs": plan.programs,
        "buffers": plan.buffers,
        "launches": plan.launches,
        "input": plan.input,
        "output": plan.output,
        "overhang": plan.overhang,
    }


def _little(array: Array) -> bytes:
    """The bytes of an array, the lowest of each number first."""
    return array.astype(array.dtype.newbyteorder("<")).tobytes()


def _write(path: Path, files: Mapping[str, bytes]) -> None:
    """All files, or none. Errors: RunError."""
    partial = path.parent / f".{path.name}.{os.getpid()}"
    try:
        for name, content in files.items():
            (partial / name).parent.mkdir(parents=True, exist_ok=True)
            (partial / name).write_bytes(content)
        partial.rename(path)  # onto an empty folder, or where nothing is
    except OSError as error:
        shutil.rmtree(partial, ignore_errors=True)
        raise RunError(f"export: folder {path}: cannot be written: {error}") from error
