"""Layers that pad signals, images and volumes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from gradproof.runtime import functional as F
from gradproof.runtime.arguments import number, whole
from gradproof.runtime.errors import ShapeError
from gradproof.runtime.nn.module import Module
from gradproof.runtime.tensor import Tensor

SIDES = {
    1: "(left, right)",
    2: "(left, right, top, bottom)",
    3: "(left, right, top, bottom, front, back)",
}
SHAPES = {
    1: "(N, C, L) or (C, L)",
    2: "(N, C, H, W) or (C, H, W)",
    3: "(N, C, D, H, W) or (C, D, H, W)",
}


class _Pad(Module):
    """What all share: the integers, and the call."""

    _axes: ClassVar[int]
    _mode: ClassVar[str]
    _least: ClassVar[int | None] = 0  # a reflected or repeated edge is not cropped
    value: float | None = None

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        layer, count = type(self).__name__, 2 * self._axes
        given = padding if isinstance(padding, tuple | list) else [padding] * count
        found = [n for n in map(whole, given) if n is not None]
        least = self._least
        wrong = len(found) != len(given) or len(given) != count
        if wrong or (least is not None and min(found) < least):
            one = "an integer" if least is None else f"an integer from {least}"
            sides = SIDES[self._axes]
            raise ShapeError(f"{layer}: padding={padding!r}, expected {one} or {sides}")
        self.padding = tuple(found)

    def forward(self, input: Tensor) -> Tensor:
        """The last axes become longer."""
        label = self._label(input=input)
        if input.ndim not in (self._axes + 1, self._axes + 2):
            shapes = SHAPES[self._axes]
            raise ShapeError(f"{label}: input has shape {input.shape}, expected {shapes}")
        return F.pad(input, self.padding, self._mode, self.value, label=label)

    def extra_repr(self) -> str:
        """As torch.nn.ReflectionPad2d."""
        return f"{self.padding}"


class _ConstantPad(_Pad):
    _mode: ClassVar[str] = "constant"
    _least: ClassVar[int | None] = None

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = number(value, "value", type(self).__name__)

    def extra_repr(self) -> str:
        """As torch.nn.ConstantPad2d."""
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """`value` before and behind a signal; a negative padding crops.

    Shapes: input (N, C, L) or (C, L); padding one integer or (left, right).
    PyTorch: torch.nn.ConstantPad1d. Errors: ShapeError for other integers, dimensions or values.

    >>> ConstantPad1d(1, 2.0)
    ConstantPad1d(padding=(1, 1), value=2.0)
    """

    _axes: ClassVar[int] = 1


class ConstantPad2d(_ConstantPad):
    """`value` around an image; a negative padding crops.

    Shapes: input (N, C, H, W) or (C, H, W); padding one integer or (left, right, top, bottom).
    PyTorch: torch.nn.ConstantPad2d. Errors: ShapeError for other integers, dimensions or values.

    >>> ConstantPad2d((1, 0, 2, -1), 2.0)
    ConstantPad2d(padding=(1, 0, 2, -1), value=2.0)
    """

    _axes: ClassVar[int] = 2


class ConstantPad3d(_ConstantPad):
    """`value` around a volume; a negative padding crops.

    Shapes: input (N, C, D, H, W) or (C, D, H, W); padding one integer or (left, right, top,
    bottom, front, back). PyTorch: torch.nn.ConstantPad3d. Errors: as `ConstantPad2d`.

    >>> ConstantPad3d(1, 2.0)
    ConstantPad3d(padding=(1, 1, 1, 1, 1, 1), value=2.0)
    """

    _axes: ClassVar[int] = 3


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        """As torch.nn.ZeroPad2d."""
        return f"{self.padding}"


class ZeroPad1d(_ZeroPad):
    """`ConstantPad1d` with zeros. PyTorch: torch.nn.ZeroPad1d.

    >>> ZeroPad1d((0, 1))
    ZeroPad1d((0, 1))
    """

    _axes: ClassVar[int] = 1


class ZeroPad2d(_ZeroPad):
    """`ConstantPad2d` with zeros. PyTorch: torch.nn.ZeroPad2d.

    >>> import numpy as np, gradproof as gp
    >>> ZeroPad2d((0, 0, 1, 0))(gp.tensor(np.ones((1, 1, 1, 2)))).numpy()[0, 0].tolist()
    [[0.0, 0.0], [1.0, 1.0]]
    """

    _axes: ClassVar[int] = 2


class ZeroPad3d(_ZeroPad):
    """`ConstantPad3d` with zeros. PyTorch: torch.nn.ZeroPad3d.

    >>> ZeroPad3d(1)
    ZeroPad3d((1, 1, 1, 1, 1, 1))
    """

    _axes: ClassVar[int] = 3


class ReflectionPad1d(_Pad):
    """A signal, mirrored at both ends; the end elements are not repeated.

    Shapes: input (N, C, L) or (C, L); padding one integer or (left, right), below L.
    PyTorch: torch.nn.ReflectionPad1d. Errors: ShapeError for other integers or dimensions.

    >>> import gradproof as gp
    >>> ReflectionPad1d(2)(gp.tensor([[1.0, 2.0, 3.0]])).numpy().tolist()
    [[3.0, 2.0, 1.0, 2.0, 3.0, 2.0, 1.0]]
    """

    _axes: ClassVar[int] = 1
    _mode: ClassVar[str] = "reflect"


class ReflectionPad2d(_Pad):
    """As `ReflectionPad1d`, for images. Shapes: input (N, C, H, W) or (C, H, W); padding one
    integer or (left, right, top, bottom). PyTorch: torch.nn.ReflectionPad2d.

    >>> ReflectionPad2d(1)
    ReflectionPad2d((1, 1, 1, 1))
    """

    _axes: ClassVar[int] = 2
    _mode: ClassVar[str] = "reflect"


class ReflectionPad3d(_Pad):
    """As `ReflectionPad1d`, for volumes. PyTorch: torch.nn.ReflectionPad3d.

    Shapes: input (N, C, D, H, W) or (C, D, H, W); padding one integer or (left, right, top, bottom,
    front, back).

    >>> ReflectionPad3d((1, 1, 0, 0, 1, 0))
    ReflectionPad3d((1, 1, 0, 0, 1, 0))
    """

    _axes: ClassVar[int] = 3
    _mode: ClassVar[str] = "reflect"


class ReplicationPad1d(_Pad):
    """A signal with its end elements repeated.

    Shapes: input (N, C, L) or (C, L); padding one integer or (left, right).
    PyTorch: torch.nn.ReplicationPad1d. Errors: ShapeError for other integers or dimensions.

    >>> import gradproof as gp
    >>> ReplicationPad1d((2, 1))(gp.tensor([[1.0, 2.0]])).numpy().tolist()
    [[1.0, 1.0, 1.0, 2.0, 2.0]]
    """

    _axes: ClassVar[int] = 1
    _mode: ClassVar[str] = "replicate"


class ReplicationPad2d(_Pad):
    """As `ReplicationPad1d`, for images. Shapes: input (N, C, H, W) or (C, H, W); padding one
    integer or (left, right, top, bottom). PyTorch: torch.nn.ReplicationPad2d.

    >>> ReplicationPad2d((1, 2, 0, 0))
    ReplicationPad2d((1, 2, 0, 0))
    """

    _axes: ClassVar[int] = 2
    _mode: ClassVar[str] = "replicate"


class ReplicationPad3d(_Pad):
    """As `ReplicationPad1d`, for volumes. PyTorch: torch.nn.ReplicationPad3d.

    Shapes: input (N, C, D, H, W) or (C, D, H, W); padding one integer or (left, right, top, bottom,
    front, back).

    >>> ReplicationPad3d((1, 1, 0, 0, 1, 0))
    ReplicationPad3d((1, 1, 0, 0, 1, 0))
    """

    _axes: ClassVar[int] = 3
    _mode: ClassVar[str] = "replicate"
