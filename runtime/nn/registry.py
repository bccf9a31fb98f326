"""Registration: parameters, buffers and children of a module under their names, and the walk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np

from gradproof.runtime.nn.hooks import Hook, RemovableHandle
from gradproof.runtime.nn.state import Buffer
from gradproof.runtime.tensor import Parameter, Tensor

if TYPE_CHECKING:
    from gradproof.runtime.nn.module import Module

_REGISTRIES = ("_parameters", "_buffers", "_modules")


class Registry:
    """What a `Module` owns, by name; a module's attributes are looked up here."""

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Buffer | None]
    _modules: dict[str, Module | None]
    _non_persistent: set[str]
    _forward_hooks: dict[RemovableHandle, Hook]

    def __init__(self) -> None:
        self.__dict__.update(
            training=True,
            _parameters={},
            _buffers={},
            _modules={},
            _non_persistent=set(),
            _forward_hooks={},
        )

    # -- registration ---------------------------------------------------------------------------
    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter; None keeps the name free, as for ``bias=False``.

        Errors: KeyError for a name with a dot or already in use, TypeError for another type.
        """
        self._check_new("_parameters", name, param)
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Buffer | None, persistent: bool = True) -> None:
        """Add state that is not trained: a Tensor, or a NumPy array that stays on the host.

        persistent: whether it is in the state dict. Errors: as `register_parameter`.
        """
        self._check_new("_buffers", name, tensor)
        self._buffers[name] = tensor
        if not persistent:
            self._non_persistent.add(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child. Errors: as `register_parameter`."""
        self._check_new("_modules", name, module)
        self._modules[name] = module

    def _check_new(self, registry: str, name: str, value: object) -> None:
        if "_modules" not in self.__dict__:
            raise AttributeError(f"cannot assign {name!r} before Module.__init__() was called")
        if not isinstance(name, str) or not name or "." in name or hasattr(self, name):
            reason = "already in use" if hasattr(self, str(name)) else "text without a dot expected"
            raise KeyError(f"{type(self).__name__}: name {name!r}: {reason}")
        self._check_kind(registry, name, value)

    def _check_kind(self, registry: str, name: str, value: object) -> None:
        kinds: dict[str, tuple[type, ...]] = {
            "_parameters": (Parameter,),
            "_buffers": (Tensor, np.ndarray),
            "_modules": (Registry,),
        }
        if value is not None and not isinstance(value, kinds[registry]):
            named = ("Module" if kind is Registry else kind.__name__ for kind in kinds[registry])
            expected = " or ".join([*named, "None"])
            raise TypeError(
                f"{type(self).__name__}: {name} is {type(value).__name__}, expected {expected}"
            )

    def __setattr__(self, name: str, value: Any) -> None:
        for registry in _REGISTRIES:
            if name in self.__dict__.get(registry, {}):
                self._check_kind(registry, name, value)
                self.__dict__[registry][name] = value
                return
        if isinstance(value, Parameter | Registry):
            self.__dict__.pop(name, None)
            add = self.add_module if isinstance(value, Registry) else self.register_parameter
            add(name, value)  # type: ignore[arg-type]
        else:
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        for registry in _REGISTRIES:
            if name in self.__dict__.get(registry, {}):
                return self.__dict__[registry][name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        for registry in _REGISTRIES:
            if name in self.__dict__.get(registry, {}):
                del self.__dict__[registry][name]
                self._non_persistent.discard(name)
                return
        object.__delattr__(self, name)

    # -- traversal ------------------------------------------------------------------------------
    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Name and module of each direct child, each module once."""
        seen: set[int] = set()
        for name, module in self._modules.items():
            if module is not None and id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def children(self) -> Iterator[Module]:
        """Each direct child."""
        return (module for _, module in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """Path and module of this module (path `prefix`) and all below it, each module once."""
        seen: set[int] = set()
        for path, module in self._walk(prefix):
            if id(module) not in seen:
                seen.add(id(module))
                yield path, module

    def modules(self) -> Iterator[Module]:
        """This module and all below it."""
        return (module for _, module in self.named_modules())

    def _walk(self, prefix: str) -> Iterator[tuple[str, Module]]:
        yield prefix, cast("Module", self)  # nothing else is a Registry
        for name, child in self._modules.items():
            if child is not None:
                yield from child._walk(join(prefix, name))

    def named_parameters(
        self, prefix: str = "", recurse: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Path and parameter, each parameter once; with ``recurse=False`` only this module's."""
        return self._named("_parameters", prefix, recurse)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, in the order of `named_parameters`: what an optimizer takes."""
        return (param for _, param in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Buffer]]:
        """Path and buffer, each buffer once."""
        return self._named("_buffers", prefix, recurse)

    def buffers(self, recurse: bool = True) -> Iterator[Buffer]:
        """The buffers, in the order of `named_buffers`."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def _named(self, registry: str, prefix: str, recurse: bool) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        for path, module in self.named_modules(prefix) if recurse else [(prefix, self)]:
            for name, value in module.__dict__[registry].items():
                if value is not None and id(value) not in seen:
                    seen.add(id(value))
                    yield join(path, name), value

    def apply(self, fn: Callable[[Module], object]) -> Self:
        """Call `fn` on each child, recursively, then on this module; returns this module."""
        for child in self.children():
            child.apply(fn)
        fn(cast("Module", self))
        return self


def join(path: str, name: str) -> str:
    """The path of what is called `name` below `path`.

    >>> join("", "fc"), join("fc", "weight")
    ('fc', 'fc.weight')
    """
    return f"{path}.{name}" if path else name
