"""A step planned once and run many times: a fixed list of launches on memory that is reused.

`plan(step, *examples)` calls `step` once without running anything, and hands what it would do to
the planner: equations are fused, temporaries get the layouts that fast kernels want and share
memory. What comes back is kept in the user's cache, so the next process need not plan again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gradproof.runtime.device import Device, DeviceInfo
from gradproof.runtime.errors import ArgumentError, GradproofError, ShapeError
from gradproof.runtime.planned_limits import group_limit
from gradproof.runtime.planned_memory import StepMemory, piece_for, scratch_exceeds
from gradproof.runtime.planned_step import Outputs, PlannedStep
from gradproof.runtime.recorded import RecordedGraph
from gradproof.runtime.tensor import Tensor
from gradproof.runtime.trace import Trace, tracing
from gradproof.runtime.tuned import tuned_choices

log = logging.getLogger(__name__)

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
    found = _fitting(trace, graph, precision, checkpoint)
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
    found = _fitting(trace, graph, precision)
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


def _fitting(
    trace: Trace, graph: RecordedGraph, precision: str, checkpoint: bool = False
) -> dict[str, Any]:
    """The plan of a step whose kernels, once built, can run with the work-items that they take."""
    device = next(iter(trace.calls[0].tensors.values())).device
    machine = vector_machine(device.info, graph.dtype)
    found = _plan_of(trace, graph, precision, machine, checkpoint)
    StepMemory.of(found, graph).check(device.info, checkpoint)  # before anything is built
    while items := group_limit(found, graph.dtype, device):
        kind, *limits = machine.split()
        machine = " ".join([kind, str(2 ** (items.bit_length() - 1)), *limits[1:]])
        log.info(
            "limits: %s runs some kernel with no more than %d work-items; planning again",
            device.info.name,
            items,
        )
        found = _plan_of(trace, graph, precision, machine, checkpoint)
    return found


def _plan_of(
    trace: Trace,
    graph: RecordedGraph,
    precision: str,
    machine: str = "",
    checkpoint: bool = False,
) -> dict[str, Any]:
    from gradproof.runtime.compile import CountError, plan_graph

    device = next(iter(trace.calls[0].tensors.values())).device
    used = [c.binding.operator for c in trace.calls]
    machine = machine or vector_machine(device.info, graph.dtype)
    given = graph.data, used, precision, machine, tuned_choices(device.info), checkpoint
    try:
        found = plan_graph(*given)
        if scratch_exceeds(found, graph, device.info):
            log.info(
                "limits: what kernels keep between them exceeds the largest allocation of %s;"
                " schedules without local memory, which keep less, take their place",
                device.info.name,
            )
            given = *given[:3], _without_local(machine), *given[4:]
            found = plan_graph(*given)
        piece = piece_for(found, graph, device.info)
        return plan_graph(*given, piece) if piece else found
    except CountError as error:
        raise ShapeError(f"{trace.calls[error.call].place}: {error}") from error


def _without_local(machine: str) -> str:
    """The same machine with hardly any local memory: without transforms and sums in pieces.

    >>> _without_local("avx2 131072"), _without_local("gpu"), _without_local("gpu 64")
    ('avx2 1', 'gpu 256 1', 'gpu 64 1')
    """
    kind, *limits = machine.split()
    return f"gpu {(*limits, _GPU_ITEMS)[0]} 1" if kind == "gpu" else f"{kind} 1"


# Processors, as LLVM calls them, for which it uses 32 registers of 512 bits.
_WIDE = ("avx512", "lake", "rapids", "-v4", "znver4", "znver5")
_LOCAL = 225_000  # elements of local memory that suffice for every schedule of a CPU
_GPU_LOCAL, _GPU_ITEMS = 4608, 256  # and of a GPU, with its work-items
_NARROW = ("skylake", "kabylake", "cometlake", "alderlake", "raptorlake", "meteorlake")


def vector_machine(device: DeviceInfo, dtype: str = "float32") -> str:
    """What the planner schedules for, and the limits of a work-group where these are few: "gpu",
    "gpu 64" with its work-items, "gpu 64 2048" with the elements of its local memory too; or what
    vectors of 16 lanes become on a CPU: "avx512" or "avx2", by the processor that the compiler
    names in the device's version, "avx2 131072" with the elements of local memory.

    PoCL before LLVM 15 takes a Zen 4 for a Zen 3, and so uses half the registers that it has.
    """
    local = max(1, device.local_mem // np.dtype(dtype).itemsize)
    if device.kind != "cpu":
        items = min(device.max_work_group, device.max_work_item_sizes[0], _GPU_ITEMS)
        items = 2 ** (items.bit_length() - 1)
        if local < _GPU_LOCAL:
            return f"gpu {items} {local}"
        return "gpu" if items == _GPU_ITEMS else f"gpu {items}"
    name = device.version.rsplit("-gnu-", 1)[-1].lower()
    wide = any(part in name for part in _WIDE) and name not in _NARROW
    return ("avx512" if wide else "avx2") + (f" {local}" if local < _LOCAL else "")
