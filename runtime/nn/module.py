"""The base of all layers and networks: registration, traversal, state and error labels.

Where a module is in its network: it is not stored, for one module can be in several places. Each
call puts the module on a stack; in an error the path is read off that stack, from the outermost
module that was called: "features.0 (Conv2d)". `Module.error_label` computes it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from gradproof.runtime.arguments import float_dtype
from gradproof.runtime.errors import DTypeError
from gradproof.runtime.nn.state import (
    Buffer,
    KeyReport,
    as_array,
    assign,
    check_state,
    convert_all,
)
from gradproof.runtime.tensor import Parameter, Tensor

_calls: ContextVar[tuple[Module, ...]] = ContextVar("modules being called, outermost first")
_REGISTRIES = ("_parameters", "_buffers", "_modules")


class Module:
    """A function with parameters. Subclass it, call ``super().__init__()``, define ``forward``.

    A `Parameter` or `Module` that is assigned to an attribute is registered under its name, as in
    PyTorch (torch.nn.Module); `register_buffer` adds state that is not trained.

    Errors: AttributeError for an assignment before ``super().__init__()``; TypeError for another
    value than None where a parameter, buffer or module is registered.

    >>> from gradproof.runtime import nn
    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.fc = nn.Linear(4, 2)
    ...     def forward(self, input):
    ...         return self.fc(input)
    >>> [(name, p.shape) for name, p in Net().named_parameters()]
    [('fc.weight', (2, 4)), ('fc.bias', (2,))]
    """

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Buffer | None]
    _modules: dict[str, Module | None]
    _non_persistent: set[str]

    def __init__(self) -> None:
        self.__dict__.update(
            training=True, _parameters={}, _buffers={}, _modules={}, _non_persistent=set()
        )

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output; each subclass defines it."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call `forward`; errors inside name the place of this module in the network."""
        token = _calls.set((*_calls.get(()), self))
        try:
            return self.forward(*args, **kwargs)
        finally:
            _calls.reset(token)

    def error_label(self) -> str:
        """How errors name this module: its path from the outermost module called, and its kind.

        An unregistered module that is called inside another starts a path of its own.

        >>> from gradproof.runtime import nn
        >>> nn.ReLU().error_label()
        'ReLU'
        """
        chain = _calls.get(())
        if not chain or chain[-1] is not self:  # forward without __call__
            chain = (*chain, self)
        path: list[str] = []
        for caller, called in pairwise(chain):
            name = caller._name_of(called)
            path = [*path, name] if name else []
        kind = type(self).__name__
        return f"{'.'.join(path)} ({kind})" if path else kind

    def _label(self, **inputs: object) -> str:
        """`error_label`, after a check that the inputs of `forward` are Tensors."""
        label = self.error_label()
        for name, value in inputs.items():
            if not isinstance(value, Tensor):
                raise DTypeError(
                    f"{label}: {name} is {type(value).__name__}, expected a Tensor (gp.tensor)"
                )
        return label

    def _name_of(self, module: Module) -> str | None:
        """The path of `module` below this one; the direct children, the common case, first."""
        for named in (self._modules.items(), self.named_modules()):
            for name, candidate in named:
                if candidate is module:
                    return name
        return None

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
            "_modules": (Module,),
        }
        if value is not None and not isinstance(value, kinds[registry]):
            expected = " or ".join([*(kind.__name__ for kind in kinds[registry]), "None"])
            raise TypeError(
                f"{type(self).__name__}: {name} is {type(value).__name__}, expected {expected}"
            )

    def __setattr__(self, name: str, value: Any) -> None:
        for registry in _REGISTRIES:
            if name in self.__dict__.get(registry, {}):
                self._check_kind(registry, name, value)
                self.__dict__[registry][name] = value
                return
        if isinstance(value, Parameter | Module):
            self.__dict__.pop(name, None)
            add = self.add_module if isinstance(value, Module) else self.register_parameter
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
        yield prefix, self
        for name, child in self._modules.items():
            if child is not None:
                yield from child._walk(_join(prefix, name))

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
                    yield _join(path, name), value

    def apply(self, fn: Callable[[Module], object]) -> Self:
        """Call `fn` on each child, recursively, then on this module; returns this module."""
        for child in self.children():
            child.apply(fn)
        fn(self)
        return self

    # -- mode and type --------------------------------------------------------------------------
    def train(self, mode: bool = True) -> Self:
        """Put this module and all below in training mode (``mode=False``: evaluation mode).

        >>> from gradproof.runtime import nn
        >>> net = nn.Sequential(nn.Dropout(0.5))
        >>> net.training, net.eval()[0].training
        (True, False)
        """
        if not isinstance(mode, bool):
            raise TypeError(f"{type(self).__name__}: train({mode!r}), expected True or False")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Put this module and all below in evaluation mode."""
        return self.train(False)

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters: each ``grad`` becomes None."""
        for param in self.parameters():
            param.grad = None

    def to(self, dtype: DTypeLike) -> Self:
        """Convert real parameters, gradients and buffers in place; integer buffers stay.

        The Parameter objects stay too, so an optimizer keeps them. dtype: float32 or float64.
        Modules do not move: they are on the device that was current when they were made.

        Errors: DTypeError for anything else. In any error nothing was converted.

        >>> from gradproof.runtime import nn
        >>> nn.Linear(2, 1).to("float64").weight.dtype
        dtype('float64')
        """
        kind = float_dtype(f"{type(self).__name__}.to", dtype)
        gradients = [p.grad for p in self.parameters() if p.grad is not None]
        buffers = [buffer for buffer in self.buffers() if isinstance(buffer, Tensor)]
        convert_all([*self.parameters(), *gradients, *buffers], kind)
        return self

    def double(self) -> Self:
        """`to("float64")`."""
        return self.to("float64")

    def float(self) -> Self:
        """`to("float32")`."""
        return self.to("float32")

    # -- state ----------------------------------------------------------------------------------
    def state_dict(self) -> dict[str, NDArray[Any]]:
        """Copies of all parameters and persistent buffers, under the names PyTorch gives them.

        >>> from gradproof.runtime import nn
        >>> list(nn.Sequential(nn.BatchNorm2d(3, affine=False)).state_dict())
        ['0.running_mean', '0.running_var', '0.num_batches_tracked']
        """
        return {name: as_array(value).copy() for name, value in self._state()}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> KeyReport:
        """Set parameters and persistent buffers from arrays, or anything with ``.numpy()``.

        strict: missing and unexpected names are errors; otherwise they are returned, and only
        the names in both are set. Shapes must be equal; an array's type must convert without
        loss, as float32 to float64.

        Errors: DataError listing every name that does not fit; nothing is changed then.

        >>> from gradproof.runtime import nn
        >>> nn.Linear(2, 1).load_state_dict({"weight": np.zeros((3, 2), np.float32)})
        Traceback (most recent call last):
        gradproof.runtime.errors.DataError: Linear.load_state_dict: nothing was loaded:
            missing: bias
            wrong shape: weight has shape (3, 2), expected (1, 2)
        """
        own = list(self._state())
        label = f"{type(self).__name__}.load_state_dict"
        arrays, report = check_state(label, dict(own), state_dict, strict)
        for name, value in own:  # not dict(own): a shared value is set once for each of its names
            if name in arrays:
                assign(value, arrays[name])
        return report

    def _state(self) -> Iterator[tuple[str, Buffer]]:
        for path, module in self._walk(""):
            persistent = {
                name: buffer
                for name, buffer in module._buffers.items()
                if name not in module._non_persistent
            }
            for name, value in (module._parameters | persistent).items():
                if value is not None:
                    yield _join(path, name), value

    # -- text -----------------------------------------------------------------------------------
    def extra_repr(self) -> str:
        """What `repr` shows between the parentheses, besides the children."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        children = [
            f"({name}): " + repr(child).replace("\n", "\n  ")
            for name, child in self._modules.items()
        ]
        if not children:
            return f"{type(self).__name__}({extra})"
        lines = "".join(f"\n  {line}" for line in ([extra] if extra else []) + children)
        return f"{type(self).__name__}({lines}\n)"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
