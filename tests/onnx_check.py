"""An exported network against our own in float64: as mathematics, and as onnxruntime computes it.

As mathematics: the file of the float64 network, run in float64 by the interpreter that comes with
onnx (slow: the specification in NumPy), agrees to RELATIVE of the largest magnitude.

As onnxruntime computes it, in float32, with its own fused and blocked kernels: the error against
float64 is bounded by what rounding does to this network. Every parameter, buffer, input and layer's
output is multiplied, element by element, by 1 + u or 1 - u at random, with u = 2^-24; what changes
by it in float64 is the effect of one rounding in every element. A sum of n terms has, in all
likelihood, no more than sqrt(n) times that error, in any order (N. J. Higham, T. Mary, "A new
approach to probabilistic rounding error analysis", SIAM J. Sci. Comput. 41 (2019)). So the bound is
sqrt(n) * (largest change) + 8 u * (largest magnitude), n being the longest sum; the second term is
for the steps of the last formula.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradproof as gp
from gradproof.runtime.tensor import Tensor

onnx = pytest.importorskip("onnx", reason="onnx is not installed: pip install onnx onnxruntime")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")

from onnx.reference import ReferenceEvaluator  # noqa: E402  (needs onnx)

U = 2.0**-24
RELATIVE = 1e-9
RUNS = 4
BATCHES = (1, 3, 10)

Arrays = list[np.ndarray[Any, Any]]


def runtime(path: Path, inputs: Arrays) -> Arrays:
    """What onnxruntime computes, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [i.name for i in session.get_inputs()]
    return list(session.run(None, dict(zip(names, inputs, strict=True))))


def interpreted(path: Path, inputs: Arrays) -> Arrays:
    """What the specification's own interpreter computes, in float64."""
    evaluator = ReferenceEvaluator(str(path))
    return list(evaluator.run(None, dict(zip(evaluator.input_names, inputs, strict=True))))


def unchecked(path: Path, inputs: Arrays) -> Arrays | None:
    """For what the interpreter lacks or computes in float32."""
    return None


def ours(model: gp.nn.Module, inputs: Arrays) -> Arrays:
    model.eval()
    with gp.no_grad():
        out = model(*map(gp.tensor, inputs))
    return [t.numpy() for t in (out if isinstance(out, tuple) else (out,))]


def randomise(model: gp.nn.Module, seed: int = 0) -> None:
    """Values that float32 holds, with running statistics and shifts that are not trivial."""
    rng = np.random.default_rng(seed)
    for name, t in (*model.named_parameters(), *model.named_buffers()):
        if not isinstance(t, Tensor) or t.dtype.kind != "f":
            continue
        if name.endswith("running_var") or (t.ndim == 1 and name.endswith("weight")):
            array = rng.uniform(0.5, 2, t.shape)
        else:
            array = rng.normal(0, 1, t.shape) / math.sqrt(max(1, math.prod(t.shape[1:])))
        t.copy_(array.astype(np.float32))


def rounded(rng: np.random.Generator, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """One rounding of float32 in each real element."""
    if array.dtype.kind != "f":
        return array
    return array * (1 + U * rng.choice([-1.0, 1.0], array.shape))


def noise(model: gp.nn.Module, inputs: Arrays, exact: Arrays) -> list[float]:
    """The largest change of each result by one rounding in every element; `model` is float64."""
    rng = np.random.default_rng(1)
    state = model.state_dict()

    def hook(module: Any, args: Any, out: Any) -> Any:
        return gp.tensor(rounded(rng, out.numpy())) if isinstance(out, Tensor) else None

    handles = [m.register_forward_hook(hook) for m in model.modules()]
    largest = [0.0] * len(exact)
    for _ in range(RUNS):
        model.load_state_dict({n: rounded(rng, a) for n, a in state.items()})
        found = ours(model, [rounded(rng, x) for x in inputs])
        largest = [max(m, error(a, e)) for m, a, e in zip(largest, found, exact, strict=True)]
    for handle in handles:
        handle.remove()
    model.load_state_dict(state)
    return largest


def error(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    return float(np.max(np.abs(a.astype(np.float64) - b), initial=0.0))


def longest_sum(model: gp.nn.Module, more: int) -> int:
    return max([more, *(math.prod(p.shape[1:]) for p in model.parameters() if p.ndim > 1)])


def draw(shapes: Sequence[Any], batch: int | None) -> Arrays:
    """Inputs that float32 holds; a tuple ("rows", V, shape) stands for integers below V."""
    rng = np.random.default_rng(7)
    found: Arrays = []
    for shape in shapes:
        whole = shape[0] == "rows"
        extents = shape[2] if whole else shape
        extents = extents if batch is None else (batch, *extents[1:])
        values = rng.integers(0, shape[1], extents) if whole else rng.normal(size=extents)
        found.append(values.astype(np.int32 if whole else np.float32))
    return found


def agree(
    model: gp.nn.Module,
    shapes: Sequence[Any],
    folder: Path,
    *,
    batches: Sequence[int] = BATCHES,
    exactly: Callable[[Path, Arrays], Arrays | None] = interpreted,
    longest: int = 64,
    **options: Any,
) -> None:
    """Export `model` in both types, and compare with our float64. exactly: what runs the float64
    file; longest: of the sums without a weight, as means have."""
    dynamic = options.get("dynamic_batch", True)
    example = draw(shapes, None)
    randomise(model)
    single, double = folder / "single.onnx", folder / "double.onnx"
    gp.onnx.export(model.float(), tuple(example), single, **options)
    model.double()
    gp.onnx.export(model, tuple(_double(example)), double, **options)
    for batch in batches if dynamic else [None]:
        inputs = draw(shapes, batch)
        exact = ours(model, _double(inputs))
        found = runtime(single, inputs)
        assert [f.shape for f in found] == [e.shape for e in exact]
        changes = noise(model, _double(inputs), exact)
        for f, e, change in zip(found, exact, changes, strict=True):
            largest = float(np.abs(e).max())
            n = longest_sum(model, longest)
            bound = math.sqrt(n) * change + 8 * U * largest
            assert error(f, e) <= bound, (batch, error(f, e), bound)
            assert bound <= 1e-3 * largest or e.dtype.kind == "i"  # else the check says nothing
        meant = exactly(double, _double(inputs))
        for f, e in zip(exact if meant is None else meant, exact, strict=True):
            assert f.shape == e.shape
            assert error(f, e) <= RELATIVE * float(np.abs(e).max()), batch


def _double(inputs: Arrays) -> Arrays:
    return [x.astype(np.float64) if x.dtype.kind == "f" else x for x in inputs]
