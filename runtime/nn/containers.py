"""Containers: modules made of modules."""

from __future__ import annotations

import operator
from collections import OrderedDict
from collections.abc import Iterator
from typing import overload

from gradproof.runtime.nn.module import Module
from gradproof.runtime.tensor import Tensor


class Sequential(Module):
    """Call modules one after the other. Children are named "0", "1", … or by an OrderedDict.

    Shapes: what the first takes and the last gives. PyTorch: torch.nn.Sequential.
    Errors: TypeError for a value that is no Module; IndexError beyond the last module.

    >>> from gradproof.runtime import nn
    >>> nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    Sequential(
      (0): Flatten(start_dim=1, end_dim=-1)
      (1): Linear(in_features=4, out_features=2, bias=True)
    )
    >>> nn.Sequential(OrderedDict(flat=nn.Flatten())).flat
    Flatten(start_dim=1, end_dim=-1)
    """

    @overload
    def __init__(self, *args: Module) -> None: ...
    @overload
    def __init__(self, arg: OrderedDict[str, Module], /) -> None: ...
    def __init__(self, *args: Module | OrderedDict[str, Module]) -> None:
        super().__init__()
        if len(args) == 1 and isinstance(args[0], OrderedDict):
            named = args[0]
        else:
            named = OrderedDict((str(k), arg) for k, arg in enumerate(args))  # type: ignore[misc]
        for name, module in named.items():
            if not isinstance(module, Module):
                raise TypeError(f"Sequential: {name} is {type(module).__name__}, expected a Module")
            self.add_module(name, module)

    def forward(self, input: Tensor) -> Tensor:
        """Apply the modules in order."""
        for module in self:
            input = module(input)
        return input

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __iter__(self) -> Iterator[Module]:
        return (module for module in self._modules.values() if module is not None)

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Sequential: ...
    def __getitem__(self, index: int | slice) -> Module | Sequential:
        """One module, or a Sequential that shares a slice of them under their names."""
        if isinstance(index, slice):
            return Sequential(OrderedDict(list(self._items())[index]))
        return list(self)[self._position(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        """Put another module in a place, under the same name."""
        name, _ = list(self._items())[self._position(index)]
        if not isinstance(module, Module):
            raise TypeError(f"Sequential: {name} is {type(module).__name__}, expected a Module")
        setattr(self, name, module)

    def append(self, module: Module) -> Sequential:
        """Add a module at the end, named by its number; returns this Sequential."""
        self.add_module(str(len(self)), module)
        return self

    def _items(self) -> Iterator[tuple[str, Module]]:
        """Name and module in order, a shared module once for each place (named_children: once)."""
        return ((name, module) for name, module in self._modules.items() if module is not None)

    def _position(self, index: int) -> int:
        position = operator.index(index)
        if not -len(self) <= position < len(self):
            raise IndexError(f"Sequential: index {position}, expected one of {len(self)} modules")
        return position
