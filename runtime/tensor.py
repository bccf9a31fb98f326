"""Tensors: a buffer on a device with a shape, a dtype, a layout and a place in the graph."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gradproof.runtime.device import Device, current_device
from gradproof.runtime.display import tensor_html
from gradproof.runtime.errors import DeviceError, DTypeError, GradproofError, ShapeError
from gradproof.runtime.labels import Extremes, Limits, Use, int32_extremes
from gradproof.runtime.layout import Layout, addresses, laid_out, row_major
from gradproof.runtime.limits import too_large
from gradproof.runtime.meta import is_meta
from gradproof.runtime.tensor_methods import TensorMethods

if TYPE_CHECKING:
    from gradproof.runtime.autograd import Node

OVERHANG = 64  # bytes behind the last element that a vector may read
DTYPES = ("float32", "float64", "float16", "int32")  # float16: in memory only
Accepted = tuple[NDArray[Any], Extremes | None]  # an array, and what is known of its integers


class Storage:
    """Device memory that views share, and how often it was written after its creation.

    `layout`: where the elements lie, None for row-major; only planned steps choose another one.
    `moves`: of all storages, another number whenever one has got another buffer.
    """

    moves = 0
    _next_move = itertools.count(1)

    def __init__(self, buffer: Any, device: Device) -> None:
        self.buffer = buffer
        self.device = device
        self.layout: Layout | None = None
        self.version = 0
        self.extremes: Extremes | None = None  # of integers, where known
        self.limits = Limits()  # of the labels that they are used as

    def read(self, size: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        """The elements on the host, in row-major order. Waits for the kernels that compute them."""
        host = np.empty(size if self.layout is None else self.layout.size, dtype)
        self.device.copy(host, self.buffer, "reading a tensor")
        return host if self.layout is None else host[addresses(self.layout)]

    def part(self, start: int, count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        """`count` elements from place `start` of the row-major order on; no others are copied,
        but where a planned step has moved them apart."""
        if self.layout is not None:
            return self.read(self.layout.size, dtype)[start : start + count]
        host = np.empty(count, dtype)
        if host.nbytes:
            self.device.copy(host, self.buffer, "reading a tensor", start * dtype.itemsize)
        return host

    def write(self, array: NDArray[Any], dtype: np.dtype[Any]) -> None:
        """Overwrite the elements, given in row-major order; borders become zero."""
        host = laid_out(np.ascontiguousarray(array.reshape(-1), dtype), self.layout)
        if host.nbytes:
            self.device.copy(self.buffer, host, "writing a tensor")

    def move(
        self, size: int, dtype: np.dtype[Any], layout: Layout | None, lasting: bool = False
    ) -> None:
        """The same elements in another layout, in a new buffer; in large pages where the buffer is
        `lasting` and the device has them for it."""
        room = size if layout is None else layout.size
        nbytes = max(1, room) * dtype.itemsize
        pool = self.device.pool
        large = lasting and pool.has_large_pages(nbytes)
        if layout == self.layout and (not large or pool.lasts(self.buffer)):
            return
        elements = self.read(size, dtype)
        if large:
            self.buffer = pool.zeros(nbytes + OVERHANG, "tensor")
        else:
            self.buffer = pool.allocate(nbytes, "tensor")
        self.layout = layout
        Storage.moves = next(Storage._next_move)
        self.write(elements, dtype)


class NoMemory(Storage):
    """What a tensor has that was made inside `runtime.meta.meta()`."""

    def __init__(self, device: Device) -> None:
        super().__init__(None, device)

    @property
    def buffer(self) -> Any:
        """Errors: GradproofError, always."""
        raise GradproofError("this tensor was made without memory, by gradproof.runtime.meta")

    @buffer.setter
    def buffer(self, value: Any) -> None:
        pass  # there is none


class Tensor(TensorMethods):
    """An array on an OpenCL device. Made by `gp.tensor`, by layers and by `Tensor.empty`.

    shape: tuple of ints; dtype: float32, float64, int32, or float16, in which elements are stored
    and not computed. Arithmetic is the operators' alone.

    >>> import gradproof as gp
    >>> t = gp.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> t.shape, str(t.dtype)
    ((2, 2), 'float32')
    >>> t.numpy()[1]
    array([3., 4.], dtype=float32)
    """

    def __init__(
        self,
        storage: Storage,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        *,
        requires_grad: bool = False,
    ) -> None:
        self.storage, self.shape, self.dtype = storage, shape, dtype
        self.requires_grad = requires_grad
        self.grad: Tensor | None = None
        self.node: Node | None = None
        self.output = ""

    @staticmethod
    def empty(
        shape: tuple[int, ...], dtype: str, device: Device | None = None, label: str = "tensor"
    ) -> Tensor:
        """A tensor whose elements are not set. shape: ints; dtype: one of DTYPES.

        Errors: DeviceError where the device has not that much memory, or no float64, naming
        `label`.
        """
        device = device or current_device()
        kind = np.dtype(dtype)
        check_real(kind, device, label)
        if is_meta():
            return Tensor(NoMemory(device), shape, kind)
        buffer = device.pool.allocate(max(1, math.prod(shape)) * kind.itemsize, label)
        return Tensor(Storage(buffer, device), shape, kind)

    # -- what it is -----------------------------------------------------------------------------
    @property
    def device(self) -> Device:
        """The device that holds the buffer."""
        return self.storage.device

    @property
    def buffer(self) -> Any:
        """The OpenCL buffer, row-major: elements that a planned step has moved are moved back."""
        if self.storage.layout is not None:
            self.storage.move(self.size, self.dtype, None)
        return self.storage.buffer

    @property
    def layout(self) -> Layout:
        """Where the elements lie."""
        return self.storage.layout or row_major(self.shape)

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    def __len__(self) -> int:
        if not self.shape:
            raise ShapeError("a tensor without dimensions has no length")
        return self.shape[0]

    def __repr__(self) -> str:
        text = np.array2string(self.numpy(), prefix="tensor(", separator=", ")
        grad = ", requires_grad=True" if self.requires_grad else ""
        kind = "" if self.dtype == np.float32 else f", dtype={self.dtype}"
        return f"tensor({text}{kind}{grad})"

    def _repr_html_(self) -> str:
        from gradproof.runtime.trace import refuse_value

        refuse_value(self)
        return tensor_html(self)

    # -- host and device ------------------------------------------------------------------------
    def numpy(self) -> np.ndarray[Any, Any]:
        """A copy on the host. Waits for the kernels that compute it.

        Errors: GradproofError while a step is planned: each run would have another value.
        """
        from gradproof.runtime.trace import refuse_value

        refuse_value(self)
        return self.storage.read(self.size, self.dtype).reshape(self.shape)

    def item(self) -> float | int:
        """The one element as a Python number. Errors: ShapeError where there are more."""
        if self.size != 1:
            raise ShapeError(f"item() takes a tensor of one element, not of shape {self.shape}")
        value: float | int = self.numpy().reshape(()).item()
        return value

    def copy_(self, source: Tensor | np.ndarray[Any, Any]) -> Tensor:
        """Overwrite the elements, in place. source: same shape; cast only int to int, real to real.

        Errors: ShapeError; DTypeError, also for integers beyond 32 bits; DataError for labels
        out of the range that this tensor is used with; GradproofError while a step is planned. On
        error nothing has changed.
        """
        from gradproof.runtime.trace import refuse

        refuse("copy_", "the values would be copied once, not in each run")
        self.overwrite(self.accepted(source, "copy_"))
        return self

    def accepted(self, source: Any, label: str) -> Accepted:
        """What `copy_` would write; changes nothing. Errors: as `copy_`, named by `label`."""
        try:
            array = source.numpy() if isinstance(source, Tensor) else np.asarray(source)
        except ValueError as error:
            raise ShapeError(f"{label}: {error}") from None
        if array.shape != self.shape:
            raise ShapeError(f"{label}: source has shape {array.shape}, expected {self.shape}")
        if array.dtype.kind not in ("f" if self.dtype.kind == "f" else "iub"):
            raise DTypeError(f"{label}: source has dtype {array.dtype}, expected {self.dtype}")
        extremes = int32_extremes(label, array) if self.dtype.kind == "i" else None
        self.storage.limits.check(extremes)
        return array, extremes

    def overwrite(self, source: Accepted) -> None:
        """Write what `accepted` gave."""
        array, extremes = source
        self.storage.write(array, self.dtype)
        self.storage.version += 1
        self.storage.extremes = extremes

    def limit_values(self, limit: int, label: str, allowed: int | None = None) -> None:
        """These are labels from 0 to limit - 1, now and after every `copy_`, of any view.

        allowed: one label beside them. Errors: DataError names `label`, the value and the range.
        """
        use = Use(limit, allowed, label)
        use.check(self.storage.extremes)
        self.storage.limits.add(use)

    # -- views ----------------------------------------------------------------------------------
    def reshape(self, *shape: int | Sequence[int]) -> Tensor:
        """The same elements in another shape; one extent may be -1. Differentiable, copies nothing.

        Errors: ShapeError where the numbers of elements differ.
        """
        wanted = _shape(shape)
        known = math.prod(n for n in wanted if n != -1)
        if wanted.count(-1) == 1 and known and self.size % known == 0:
            wanted = tuple(self.size // known if n == -1 else n for n in wanted)
        if math.prod(wanted) != self.size or any(n < 0 for n in wanted):
            raise ShapeError(
                f"reshape: shape {self.shape} has {self.size} elements, {wanted} does not fit"
            )
        from gradproof.runtime.autograd import view

        return view(self, wanted)

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        """Merge dimensions start_dim..end_dim. Errors: ShapeError for a wrong dimension."""
        rank = max(self.ndim, 1)
        first, last = (d + rank if d < 0 else d for d in (start_dim, end_dim))
        if not 0 <= first <= last < rank:
            raise ShapeError(
                f"flatten: dimensions {start_dim} to {end_dim} of a tensor of shape {self.shape}"
            )
        merged = math.prod(self.shape[first : last + 1])
        return self.reshape(*self.shape[:first], merged, *self.shape[last + 1 :])

    def detach(self) -> Tensor:
        """The same elements, outside the graph."""
        return Tensor(self.storage, self.shape, self.dtype)

    # -- differentiation ------------------------------------------------------------------------
    def backward(self, gradient: Tensor | None = None, create_graph: bool = False) -> None:
        """Add d self / d leaf to `.grad` of every leaf that requires it.

        gradient: cotangent of the same shape; may be left out for a tensor of one element.
        create_graph: the gradients are differentiable themselves, as `gradproof.grad` gives them.
        Errors: ShapeError, GradproofError where nothing requires a gradient.
        """
        from gradproof.runtime.grad import backward

        backward(self, gradient, create_graph)


class Parameter(Tensor):
    """A tensor that a module owns and an optimizer updates; `requires_grad` is True."""

    def __init__(
        self, data: Tensor | np.ndarray[Any, Any] | Sequence[Any], *, label: str = "tensor"
    ) -> None:
        """label: what errors call it, such as "Linear: weight"."""
        source = data if isinstance(data, Tensor) else tensor(data, label=label)
        super().__init__(source.storage, source.shape, source.dtype, requires_grad=True)


def tensor(
    data: Any,
    dtype: Any = None,
    *,
    requires_grad: bool = False,
    device: Device | None = None,
    label: str = "tensor",
) -> Tensor:
    """A tensor from a NumPy array, a list or a number, on the current device.

    dtype: float32, float64, float16 or int32; by default float64 arrays stay so, other reals become
    float32 and integers int32. label: what errors call it.
    Errors: DTypeError for other dtypes and for integers beyond 32 bits; ShapeError for ragged
    lists; GradproofError for an integer tensor that requires a gradient;
    DeviceError where the device has no float64, or no room for so large a tensor.

    >>> tensor([1, 2, 3]).dtype
    dtype('int32')
    """
    try:
        array = np.asarray(data)
    except ValueError as error:
        raise ShapeError(f"{label}: {error}") from None
    if dtype is None:
        double = isinstance(data, np.ndarray | np.generic) and array.dtype == np.float64
        dtype = "int32" if array.dtype.kind in "iub" else "float64" if double else "float32"
    kind = np.dtype(dtype)
    if kind.name not in DTYPES or array.dtype.kind not in "iubf":
        raise DTypeError(f"{label}: dtype {array.dtype} to {kind}; expected one of {DTYPES}")
    if kind.kind == "i" and array.dtype.kind == "f":
        raise DTypeError(f"{label}: {array.dtype} values would lose their fractions as {kind}")
    extremes = int32_extremes(label, array) if kind.kind == "i" else None
    if requires_grad and kind.kind == "i":
        raise GradproofError(f"{label}: an integer tensor has no gradient")
    device = device or current_device()
    check_real(kind, device, label)
    out = Tensor(_stored(array, kind, device, label), array.shape, kind)
    out.requires_grad = requires_grad
    out.storage.extremes = extremes
    return out


def check_real(kind: np.dtype[Any], device: Device, label: str) -> None:
    """Errors: DeviceError for float64 on a device that has none."""
    if kind == np.float64 and not device.info.fp64:
        raise DeviceError(
            f"{label}: float64, but {device.info.name} has no double precision (cl_khr_fp64); "
            "expected float32, as gp.tensor(data, 'float32') gives"
        )


def _stored(
    array: np.ndarray[Any, Any], kind: np.dtype[Any], device: Device, label: str
) -> Storage:
    if is_meta():
        return NoMemory(device)
    label = f"{label} of shape {array.shape}"
    check_room(label, array.size * kind.itemsize, device)  # before it is converted
    return Storage(upload(np.ascontiguousarray(array, kind), device, label), device)


def check_room(label: str, nbytes: int, device: Device) -> None:
    """Errors: DeviceError for more bytes than one allocation of the device may have."""
    if nbytes > device.info.max_alloc:
        raise too_large(f"{label}:", nbytes, device.info)


def upload(host: np.ndarray[Any, Any], device: Device, label: str = "tensor") -> Any:
    """A new buffer that holds a contiguous host array."""
    buffer: Any = device.pool.allocate(max(host.nbytes, 1), label)
    if host.nbytes:
        device.copy(buffer, host, "writing a tensor")
    return buffer


# Of this thread, as in PyTorch: one may evaluate while another trains.
_grad_enabled: ContextVar[bool] = ContextVar("operators are recorded", default=True)


def is_grad_enabled() -> bool:
    """Whether operators are recorded for `backward`."""
    return _grad_enabled.get()


@contextmanager
def no_grad() -> Iterator[None]:
    """Record nothing inside the block, in this thread: for evaluation.

    >>> with no_grad():
    ...     print(is_grad_enabled())
    False
    """
    with grad_mode(False):
        yield


@contextmanager
def grad_mode(enabled: bool) -> Iterator[None]:
    """Record inside the block, or do not; for this thread.

    >>> with no_grad(), grad_mode(True):
    ...     print(is_grad_enabled())
    True
    """
    token = _grad_enabled.set(enabled)
    try:
        yield
    finally:
        _grad_enabled.reset(token)


def _shape(shape: tuple[int | Sequence[int], ...]) -> tuple[int, ...]:
    """The arguments of `reshape`: integers, or one sequence of them."""
    numbers: list[int] = []
    for n in shape:
        numbers += [int(n)] if isinstance(n, int | np.integer) else [int(m) for m in n]
    return tuple(numbers)
