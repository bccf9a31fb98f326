"""Train convolutional networks on any OpenCL device, with gradients that are derived.

The names of PyTorch are reached from here: `gp.nn`, `gp.optim`, `gp.models`, `gp.data`,
`gp.functional`, `gp.tensor`, `gp.no_grad`, `gp.save`, `gp.load`. An operator of your own is stated
by `gp.operator` and becomes a function on tensors by `gp.compile`. Importing the package loads none
of them; each is imported when it is first used, so that `gradproof --help` needs no OpenCL.

>>> import gradproof as gp
>>> gp.__version__
'0.1.0'
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# public name -> where it lives: a module, or "module:attribute"; read by __getattr__
_WHERE = {
    "Definition": "gradproof.derive.language:Definition",
    "EpochResult": "gradproof.runtime.progress:EpochResult",
    "Tensor": "gradproof.runtime.tensor:Tensor",
    "Trainer": "gradproof.runtime.trainer:Trainer",
    "autograd": "gradproof.runtime.autograd",
    "check_gradients": "gradproof.runtime.check:check_gradients",
    "compile": "gradproof.runtime.compile:compile",
    "data": "gradproof.runtime.data",
    "devices": "gradproof.runtime.device:list_devices",
    "errors": "gradproof.runtime.errors",
    "evaluate": "gradproof.runtime.evaluation:evaluate",
    "export_c": "gradproof.runtime.export_c:export_c",
    "functional": "gradproof.runtime.functional",
    "grad": "gradproof.runtime.grad:grad",
    "load": "gradproof.runtime.serialization:load",
    "manual_seed": "gradproof.runtime.random:manual_seed",
    "models": "gradproof.runtime.models",
    "nn": "gradproof.runtime.nn",
    "no_grad": "gradproof.runtime.tensor:no_grad",
    "onnx": "gradproof.runtime.onnx",
    "operator": "gradproof.derive.language:operator",
    "optim": "gradproof.runtime.optim",
    "plan": "gradproof.runtime.plan:plan",
    "random": "gradproof.runtime.random",
    "record": "gradproof.runtime.dispatch:record",
    "save": "gradproof.runtime.serialization:save",
    "tensor": "gradproof.runtime.tensor:tensor",
    "use_device": "gradproof.runtime.device:use_device",
    "utils": "gradproof.runtime.utils",
}

__all__ = [
    "Definition",
    "EpochResult",
    "Tensor",
    "Trainer",
    "__version__",
    "autograd",
    "check_gradients",
    "compile",
    "data",
    "devices",
    "errors",
    "evaluate",
    "export_c",
    "functional",
    "grad",
    "load",
    "manual_seed",
    "models",
    "nn",
    "no_grad",
    "onnx",
    "operator",
    "optim",
    "plan",
    "random",
    "record",
    "save",
    "tensor",
    "use_device",
    "utils",
]

if TYPE_CHECKING:  # the same table for type checkers and editors
    from gradproof.derive.language import Definition, operator
    from gradproof.runtime import (
        autograd,
        data,
        errors,
        functional,
        models,
        nn,
        onnx,
        optim,
        random,
        utils,
    )
    from gradproof.runtime.check import check_gradients
    from gradproof.runtime.compile import compile
    from gradproof.runtime.device import list_devices as devices
    from gradproof.runtime.device import use_device
    from gradproof.runtime.dispatch import record
    from gradproof.runtime.evaluation import evaluate
    from gradproof.runtime.export_c import export_c
    from gradproof.runtime.grad import grad
    from gradproof.runtime.plan import plan
    from gradproof.runtime.progress import EpochResult
    from gradproof.runtime.random import manual_seed
    from gradproof.runtime.serialization import load, save
    from gradproof.runtime.tensor import Tensor, no_grad, tensor
    from gradproof.runtime.trainer import Trainer
else:  # hidden from type checkers: they would then accept any name

    def __getattr__(name: str) -> object:
        """Import a public name when it is first used (PEP 562)."""
        if name not in _WHERE:
            raise AttributeError(f"module 'gradproof' has no attribute {name!r}")
        module_name, _, attribute = _WHERE[name].partition(":")
        value = import_module(module_name)
        if attribute:
            value = getattr(value, attribute)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        """List the public names, imported or not."""
        return sorted(set(globals()) | set(_WHERE))
