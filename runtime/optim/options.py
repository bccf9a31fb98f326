"""Options of an optimizer, which each of its groups of parameters has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from gradproof.runtime.optim.optimizer import Optimizer

T = TypeVar("T")


class Option(Generic[T]):
    """An attribute that reads an option of the first group, and sets it in all groups.

    >>> import gradproof as gp
    >>> optimizer = gp.optim.SGD([gp.tensor([1.0], requires_grad=True)], lr=0.1)
    >>> optimizer.lr = 0.05
    >>> optimizer.param_groups[0]["lr"], optimizer.lr
    (0.05, 0.05)
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, optimizer: Optimizer, owner: type) -> T:
        value: T = optimizer.param_groups[0][self._name]
        return value

    def __set__(self, optimizer: Optimizer, value: T) -> None:
        changed: dict[str, Any] = {self._name: value}
        checked = [
            optimizer._checked(_options(optimizer, g) | changed) for g in optimizer.param_groups
        ]
        for group, options in zip(optimizer.param_groups, checked, strict=True):
            group[self._name] = options[self._name]


def _options(optimizer: Optimizer, group: dict[str, Any]) -> dict[str, Any]:
    return {n: group[n] for n in optimizer._options}
