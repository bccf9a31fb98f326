"""The base of all layers and networks: registration, traversal, state and error labels.

Where a module is in its network: it is not stored, for one module can be in several places. Each
call puts the module on a stack; in an error the path is read off that stack, from the outermost
module that was called: "features.0 (Conv2d)". `Module.error_label` computes it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from itertools import pairwise
from typing import Any, Self

from numpy.typing import DTypeLike, NDArray

from gradproof.runtime.arguments import STORED, float_dtype
from gradproof.runtime.display import module_html
from gradproof.runtime.errors import DTypeError
from gradproof.runtime.nn.hooks import Hook, RemovableHandle
from gradproof.runtime.nn.registry import Registry, join
from gradproof.runtime.nn.state import (
    Buffer,
    KeyReport,
    as_array,
    assign,
    check_state,
    convert_all,
)
from gradproof.runtime.tensor import Tensor

_calls: ContextVar[tuple[Module, ...]] = ContextVar("modules being called, outermost first")


def label_of_call() -> str:
    """The `error_label` of the innermost module that is being called; "" outside of all.

    >>> label_of_call()
    ''
    """
    chain = _calls.get(())
    return chain[-1].error_label() if chain else ""


class Module(Registry):
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

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Compute the output; each subclass defines it."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call `forward`; errors inside name the place of this module in the network."""
        token = _calls.set((*_calls.get(()), self))
        try:
            output = self.forward(*args, **kwargs)
            for hook in tuple(self._forward_hooks.values()):
                replaced = hook(self, args, output)
                output = output if replaced is None else replaced
            return output
        finally:
            _calls.reset(token)

    def register_forward_hook(self, hook: Hook) -> RemovableHandle:
        """Call `hook(module, args, output)` after every `forward`, until the handle's `remove()`.

        What it returns, unless None, takes the place of the output. As torch.nn.Module's.

        >>> import gradproof as gp
        >>> relu, seen = gp.nn.ReLU(), []
        >>> handle = relu.register_forward_hook(lambda m, args, out: seen.append(out.shape))
        >>> _ = relu(gp.tensor([1.0, -1.0]))
        >>> handle.remove()
        >>> _ = relu(gp.tensor([1.0]))
        >>> seen
        [(2,)]
        """
        handle = RemovableHandle(self._forward_hooks)
        self._forward_hooks[handle] = hook
        return handle

    def error_label(self) -> str:
        """How errors name this module: its path from the outermost module called, and its kind.

        An unregistered module that is called inside another starts a path of its own.

        >>> from gradproof.runtime import nn
        >>> nn.ReLU().error_label()
        'ReLU'
        """
        path, kind = self.path_of_call(), type(self).__name__
        return f"{path} ({kind})" if path else kind

    def path_of_call(self) -> str:
        """The path from the outermost module that is being called to this one; "" for itself.

        >>> from gradproof.runtime import nn
        >>> nn.ReLU().path_of_call()
        ''
        """
        chain = _calls.get(())
        if not chain or chain[-1] is not self:  # forward without __call__
            chain = (*chain, self)
        path: list[str] = []
        for caller, called in pairwise(chain):
            name = caller._name_of(called)
            path = [*path, name] if name else []
        return ".".join(path)

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

        The Parameter objects stay too, so an optimizer keeps them. dtype: float32, float64, or
        float16, in which elements are stored while every kernel computes in float32: half of the
        memory, for inference and gradients; optimizers take no float16.
        Modules do not move: they are on the device that was current when they were made.

        Errors: DTypeError for anything else. In any error nothing was converted.

        >>> from gradproof.runtime import nn
        >>> nn.Linear(2, 1).to("float64").weight.dtype
        dtype('float64')
        """
        kind = float_dtype(f"{type(self).__name__}.to", dtype, STORED)
        gradients = [p.grad for p in self.parameters() if p.grad is not None]
        buffers = [buffer for buffer in self.buffers() if isinstance(buffer, Tensor)]
        convert_all([*self.parameters(), *gradients, *buffers], kind)
        return self

    def double(self) -> Self:
        """`to("float64")`."""
        return self.to("float64")

    def half(self) -> Self:
        """`to("float16")`.

        >>> import gradproof as gp
        >>> layer = gp.nn.Linear(2, 1).half()
        >>> layer(gp.tensor([[1.0, 2.0]], "float16")).dtype
        dtype('float16')
        """
        return self.to("float16")

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

        >>> import numpy as np
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
                    yield join(path, name), value

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

    def _repr_html_(self) -> str:
        return module_html(self)
