"""Functions that are called after a module's `forward`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

# hook(module, positional arguments, output) -> None, or what takes the place of the output
Hook = Callable[[Any, tuple[Any, ...], Any], Any]


class RemovableHandle:
    """What `Module.register_forward_hook` returns. PyTorch: torch.utils.hooks.RemovableHandle."""

    def __init__(self, hooks: dict[RemovableHandle, Hook]) -> None:
        self._hooks = hooks

    def remove(self) -> None:
        """The hook is not called any more; to say so twice is no error."""
        self._hooks.pop(self, None)
