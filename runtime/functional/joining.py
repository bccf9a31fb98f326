"""Several tensors as one."""

from __future__ import annotations

from collections.abc import Sequence

from gradproof.runtime.arguments import check_tensor
from gradproof.runtime.autograd import apply
from gradproof.runtime.errors import DTypeError, ShapeError
from gradproof.runtime.functional.indexing import part
from gradproof.runtime.functional.rearrange import unsqueeze
from gradproof.runtime.functional.shapes import around, axis
from gradproof.runtime.manifest import operators
from gradproof.runtime.tensor import Tensor


def cat(tensors: Sequence[Tensor], dim: int = 0, *, label: str = "cat") -> Tensor:
    """The tensors one behind another along `dim`; their other extents are equal. As torch.cat.

    Errors: ShapeError for shapes that do not fit, no tensor at all or a wrong `dim`; DTypeError.

    >>> import gradproof as gp
    >>> gp.functional.cat([gp.tensor([1.0]), gp.tensor([2.0, 3.0])]).numpy().tolist()
    [1.0, 2.0, 3.0]
    """
    given = _sequence(tensors, label)
    k = axis(dim, given[0].shape, label)
    rest = [t.shape[:k] + t.shape[k + 1 :] for t in given]
    for n, t in enumerate(given):
        if t.ndim != given[0].ndim or rest[n] != rest[0]:
            raise ShapeError(
                f"{label}: tensor {n} has shape {t.shape}, which does not go behind "
                f"{given[0].shape} along dimension {k}"
            )
    if len(given) == 1:
        return part(given[0], k, range(given[0].shape[k]), label)
    while len(given) > 1:  # neighbours in pairs, so that no element is copied often
        pairs = zip(given[::2], given[1::2], strict=False)
        given = [_join(a, b, k, label) for a, b in pairs] + given[len(given) // 2 * 2 :]
    return given[0]


def stack(tensors: Sequence[Tensor], dim: int = 0, *, label: str = "stack") -> Tensor:
    """Tensors of one shape along a new dimension `dim`. As torch.stack.

    Errors: ShapeError for different shapes, no tensor at all or a wrong `dim`; DTypeError.

    >>> import gradproof as gp
    >>> gp.functional.stack([gp.tensor([1.0, 2.0]), gp.tensor([3.0, 4.0])], 1).numpy().tolist()
    [[1.0, 3.0], [2.0, 4.0]]
    """
    given = _sequence(tensors, label)
    for n, t in enumerate(given):
        if t.shape != given[0].shape:
            raise ShapeError(f"{label}: tensor {n} has shape {t.shape}, expected {given[0].shape}")
    k = axis(dim, (*given[0].shape, 1), label)
    return cat([unsqueeze(t, k) for t in given], k, label=label)


def _sequence(tensors: Sequence[Tensor], label: str) -> list[Tensor]:
    if isinstance(tensors, Tensor) or not isinstance(tensors, Sequence):
        raise DTypeError(
            f"{label}: tensors is {type(tensors).__name__}, expected a list of Tensors"
        )
    if not tensors:
        raise ShapeError(f"{label}: tensors is empty, expected at least one")
    for n, t in enumerate(tensors):
        check_tensor(t, f"tensor {n}", label)
    return list(tensors)


def _join(a: Tensor, b: Tensor, axis: int, label: str) -> Tensor:
    operands = {"Y": a.reshape(around(a.shape, axis)), "R": b.reshape(around(b.shape, axis))}
    out = apply(operators()["cat"], operands, label=label)["z"]
    return out.reshape(*a.shape[:axis], a.shape[axis] + b.shape[axis], *a.shape[axis + 1 :])
