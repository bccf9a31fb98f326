"""A step planned once and run many times: a fixed list of launches on memory that is reused.

`plan(step, *examples)` calls `step` once without running anything, and hands what it would do to
the planner: equations are fused, temporaries get the layouts that fast kernels want and share
memory. What comes back is kept in the user's cache, so the next process need not plan again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gradproof.runtime.device import Device, DeviceInfo
from gradproof.runtime.errors import ArgumentError, GradproofError
from gradproof.runtime.planned_memory import StepMemory
from gradproof.runtime.planned_step import Outputs, PlannedStep
from gradproof.runtime.recorded import RecordedGraph
from gradproof.runtime.tensor import Tensor
from gradproof.runtime.trace import Trace, tracing
from gradproof.runtime.tuned import tuned_choices

PRECISIONS = ("fast", "accurate")


def plan(
    step: Callable[..., Any],
    *examples: Tensor,
    precision: str = "fast",
    checkpoint: bool = False,
) -> PlannedStep:
    """Plan a function of tensors: a model's forward pass, or a whole training step.

    step: called once with `examples`; it returns a tensor or a tuple of tensors, and may update
    parameters in place (`optimizer.step()`). It must not read or copy values. examples: tensors;
    later calls take arrays or tensors of the same shapes, which are copied into these. precision:
    "fast" allows fused Winograd transforms of 4 outputs per axis, "accurate" of 2. checkpoint: of
    what the forward pass computes only a part is kept, and the rest is computed again in the
    backward pass: less memory, more work, and the same bits. (PyTorch: torch.utils.checkpoint.)
    Gradients are the step's own: each run starts without, and `.grad` is None after it.
    Errors: GradproofError where the step reads a value; ArgumentError for another precision or
    result, and for examples that share memory; DTypeError, DeviceError for a step of two real
    types or devices; DeviceError where the step needs more memory than the device has.

    >>> import gradproof as gp
    >>> layer = gp.nn.Linear(4, 2)
    >>> x = gp.tensor([[1.0, 2.0, 3.0, 4.0]])
    >>> planned = plan(lambda t: gp.functional.relu(layer(t)), x)
    >>> bool((planned(x).numpy() == gp.functional.relu(layer(x)).numpy()).all())
    True
    """
    _check_arguments(examples, precision)
    trace, outputs, single = _traced(step, examples)
    graph = RecordedGraph(trace, {id(t.storage) for t in outputs})
    found = _plan_of(trace, graph, precision, checkpoint=checkpoint)
    return PlannedStep(trace, graph, found, examples, outputs, single, checkpoint)


def plan_row_major(
    step: Callable[..., Any], *examples: Tensor, precision: str = "fast"
) -> PlannedStep:
    """`plan`, with `examples` and results row-major in memory, for a host that knows no layouts;
    all other tensors may be moved, wherever an earlier plan has put them. Errors: those of `plan`.
    """
    _check_arguments(examples, precision)
    trace, outputs, single = _traced(step, examples)
    kept = {id(t.storage) for t in outputs}
    graph = RecordedGraph(trace, kept, kept | {id(t.storage) for t in examples})
    found = _plan_of(trace, graph, precision)
    return PlannedStep(trace, graph, found, examples, outputs, single)


def planned_data(
    step: Callable[..., Any],
    *examples: Tensor,
    precision: str = "fast",
    machine: str = "",
    checkpoint: bool = False,
) -> tuple[Mapping[str, Any], StepMemory]:
    """The plan of a step as data, and the memory that it takes; nothing is built or run, so
    that tensors may be those of `meta`. machine: for which, as `codegen.fast.schedules` names it;
    by default the tensors' device. checkpoint: see `plan`."""
    trace, outputs, _ = _traced(step, examples)
    graph = RecordedGraph(trace, {id(t.storage) for t in outputs})
    found = _plan_of(trace, graph, precision, machine, checkpoint)
    return found, StepMemory.of(found, graph)


def tuning_trials(
    step: Callable[..., Any], *examples: Tensor, precision: str = "fast"
) -> tuple[list[dict[str, Any]], Device, str]:
    """What `runtime.tuning` measures for a step: see `compile.trials_of_graph`; the tensors' device
    and the name of their real type."""
    from gradproof.runtime.compile import trials_of_graph

    trace, outputs, _ = _traced(step, examples)
    graph = RecordedGraph(trace, {id(t.storage) for t in outputs})
    device = next(iter(trace.calls[0].tensors.values())).device
    used = [c.binding.operator for c in trace.calls]
    found = trials_of_graph(graph.data, used, precision, vector_machine(device.info, graph.dtype))
    return found, device, graph.dtype


def _check_arguments(examples: tuple[Tensor, ...], precision: str) -> None:
    """Errors: ArgumentError, see `plan`."""
    if precision not in PRECISIONS:
        raise ArgumentError(f"plan: precision={precision!r}, expected one of {PRECISIONS}")
    for k, t in enumerate(examples):
        if not isinstance(t, Tensor):
            raise ArgumentError(f"plan: example {k} is {type(t).__name__}, expected a Tensor")
        if any(t.storage is other.storage for other in examples[:k]):
            raise ArgumentError(f"plan: example {k} shares its memory with one before it")


def _traced(step: Callable[..., Any], examples: tuple[Tensor, ...]) -> tuple[Trace, Outputs, bool]:
    """What a step would do, its results, and whether it returns one tensor alone."""
    with tracing() as trace:
        result = step(*examples)
    single = isinstance(result, Tensor)
    outputs = (result,) if single else result
    if not isinstance(outputs, tuple) or not outputs:
        raise ArgumentError(
            f"plan: the step returns {_kind(result)}, expected a Tensor or a tuple of Tensors"
        )
    for k, t in enumerate(outputs):
        if not isinstance(t, Tensor):
            raise ArgumentError(f"plan: result {k} of the step is {_kind(t)}, expected a Tensor")
        trace.check_known(t)
    if not trace.calls:
        raise GradproofError("plan: the step launches no kernel")
    return trace, outputs, single


def _kind(value: Any) -> str:
    return repr(value) if value is None or value == () else type(value).__name__


def _plan_of(
    trace: Trace,
    graph: RecordedGraph,
    precision: str,
    machine: str = "",
    checkpoint: bool = False,
) -> dict[str, Any]:
    from gradproof.runtime.compile import plan_graph

    device = next(iter(trace.calls[0].tensors.values())).device
    used = [c.binding.operator for c in trace.calls]
    machine = machine or vector_machine(device.info, graph.dtype)
    choices = tuned_choices(device.info)
    return plan_graph(graph.data, used, precision, machine, choices, checkpoint)


# Processors, as LLVM calls them, for which it uses 32 registers of 512 bits.
_WIDE = ("avx512", "lake", "rapids", "-v4", "znver4", "znver5")
_LOCAL = 225_000  # elements of local memory that suffice for every schedule
_NARROW = ("skylake", "kabylake", "cometlake", "alderlake", "raptorlake", "meteorlake")


def vector_machine(device: DeviceInfo, dtype: str = "float32") -> str:
    """What the planner schedules for: "gpu" (and the work-items of a group where they are below
    256), or what vectors of 16 lanes become on a CPU: "avx512" or "avx2", by the processor that the
    compiler names in the device's version; and the elements of a work-group's local memory where
    they are few: "avx2 131072".

    PoCL before LLVM 15 takes a Zen 4 for a Zen 3, and so uses half the registers that it has.
    """
    if device.kind != "cpu":
        items = min(device.max_work_group, device.max_work_item_sizes[0])
        return "gpu" if items >= 256 else f"gpu {2 ** (items.bit_length() - 1)}"
    name = device.version.rsplit("-gnu-", 1)[-1].lower()
    wide = any(part in name for part in _WIDE) and name not in _NARROW
    local = device.local_mem // np.dtype(dtype).itemsize
    return ("avx512" if wide else "avx2") + (f" {local}" if local < _LOCAL else "")
