"""A user's definition as a function on tensors: derived, compiled once, and kept in a cache.

This is the one file of the runtime that reaches back to the derivation, and only when a definition
is compiled. What the derivation gives is stored as JSON under the SHA-256 of all that decides it:
the definition, the sources of derive/ and codegen/, and the versions of their libraries. So an old
kernel is never used for a new definition. The folder can be deleted at any time.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gradproof.runtime.build import cache_folder, files_hash, warn_unkept, write_atomically
from gradproof.runtime.errors import ArgumentError, GradproofError, ShapeError
from gradproof.runtime.function import Function
from gradproof.runtime.manifest import FORMAT, Operator, operators, parse_operator

if TYPE_CHECKING:
    from gradproof.codegen.fast.planner import Planner
    from gradproof.derive.language import Definition

log = logging.getLogger(__name__)

LIBRARIES = ("sympy", "jinja2")  # their versions may change the text of a kernel


class CountError(ShapeError):
    """A planned step with numbers beyond 32 bits, in recorded call `call`."""

    def __init__(self, call: int, message: str) -> None:
        super().__init__(message)
        self.call = call


_compiled: dict[str, Operator] = {}
_definitions: dict[Operator, Definition] = {}  # of the operators that were compiled here
_keys: dict[Operator, str] = {}
# One thread derives or plans at a time: an operator is one object, and SymPy promises no more.
_generating = threading.RLock()


def compile(definition: Definition) -> Function:
    """The function that a definition states, on tensors, differentiable; see `Function`.

    Deriving and rendering take seconds, once: the result is kept in the user's cache folder, and
    the logger `gradproof` says at level INFO when it begins and how long it took.
    Errors: DefinitionError where the derivation leads to an expression that has no form in C.

    >>> import gradproof as gp
    >>> scale = gp.operator("scale", "y[i] = a * x[i]", {"x": "N"}, scalars={"a": "real"})
    >>> fn = gp.compile(scale)
    >>> fn
    <gradproof function scale(x, *, a) -> y>
    >>> fn(gp.tensor([1.0, 2.0]), a=3).numpy().tolist()
    [3.0, 6.0]
    """
    if not hasattr(definition, "equations"):
        raise ArgumentError(f"compile: {definition!r} is no definition; make one with gp.operator")
    operator = compile_definition(definition)
    taken = {*definition.inputs, *dict(definition.scalars), *operator.sizes}
    if "label" in taken | set(operator.names.values()):
        raise ArgumentError(f"{definition.name}: 'label' names the call itself; use another name")
    return Function(definition, operator, _formulas(definition))


def compile_definition(definition: Definition) -> Operator:
    """The kernels of a definition and what a host must know: from memory, the cache, or derived.

    A damaged file in the cache is derived again, with a warning. Errors: DefinitionError.
    """
    key = definition_key(definition)
    with _generating:
        if key not in _compiled:
            path = operators_folder() / f"{key}.json"
            stored = _load(path, key, definition.name) or _derive(path, key, definition)
            operator = parse_operator(definition.name, stored["entry"], stored["files"])
            _definitions[operator], _keys[operator] = definition, key
            _compiled[key] = operator
        return _compiled[key]


def compile_backward(operator: Operator) -> Operator:
    """The reverse pass of an operator as an operator of its own, so that it is differentiable.

    Errors: DefinitionError where it has none; GradproofError where the definition is not known.

    >>> from gradproof.runtime.manifest import operators
    >>> compile_backward(operators()["linear"]).without().outputs
    ('Ybar', 'wbar', 'bbar')
    """
    from gradproof.derive.second import backward_definition

    return compile_definition(backward_definition(_definition(operator)))


def operators_folder() -> Path:
    """Folder of the derived operators, beside that of the program binaries.

    >>> operators_folder().name
    'operators'
    """
    return cache_folder().parent / "operators"


def definition_key(definition: Definition) -> str:
    """SHA-256 of everything that decides the kernels of a definition; see the module's text."""
    parts = [*generator(), _parts(definition)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _parts(value: Any) -> Any:
    """A definition as nested lists of text; symbols with their assumptions, and every field."""
    import sympy as sp

    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return [type(value).__name__, *([f.name, _parts(getattr(value, f.name))] for f in fields)]
    if isinstance(value, tuple):
        return [_parts(item) for item in value]
    return sp.srepr(value) if isinstance(value, sp.Basic) else repr(value)


@cache
def _sources() -> str:
    """SHA-256 of the files that derive and render."""
    root = Path(__file__).resolve().parents[1]
    paths = (p for stage in ("derive", "codegen") for p in (root / stage).rglob("*"))
    return files_hash(root, (p for p in paths if p.is_file() and "__pycache__" not in p.parts))


def _derive(path: Path, key: str, definition: Definition) -> dict[str, Any]:
    """Derive and render a definition, and store the result."""
    from gradproof.codegen.program import build_program
    from gradproof.derive.names import check_names

    check_names(definition)  # a Definition made by hand has not been checked
    log.info("%s: deriving its gradients and kernels; kept for the next time", definition.name)
    start = time.perf_counter()
    program = build_program(definition)
    log.info("%s: derived in %.1f s", definition.name, time.perf_counter() - start)
    stored = {"entry": program.entry, "files": program.files}
    _keep(path, key, stored, definition.name)
    return stored


def _keep(path: Path, key: str, stored: Mapping[str, Any], name: str) -> None:
    try:
        write_atomically(path, _encoded(key, stored))
    except OSError as error:
        warn_unkept(name, error)


def _load(path: Path, key: str, name: str) -> dict[str, Any] | None:
    try:
        content = path.read_bytes()
        stored: dict[str, Any] = json.loads(content)["operator"]
        if _encoded(key, stored) != content:
            raise ValueError("its sha256 does not fit")
        return stored
    except (FileNotFoundError, NotADirectoryError):  # to keep it will say why it cannot be
        return None
    except OSError as error:
        log.warning("%s: %s cannot be read (%s); making it again", name, path, error)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        log.warning("%s: %s is damaged (%s); making it again", name, path, error)
    return None


def _encoded(key: str, stored: Mapping[str, Any]) -> bytes:
    """A cache file: the operator, its key, and the SHA-256 of both."""
    digest = hashlib.sha256(json.dumps([key, stored]).encode()).hexdigest()
    return json.dumps({"key": key, "sha256": digest, "operator": stored}).encode()


def _formulas(definition: Definition) -> str:
    """The equations, the shapes and the conditions, for `help`."""
    from gradproof.derive.show import text

    user = dict(definition.names)
    lines = [f"    {text(equation)}" for equation in definition.equations]
    for name in (*definition.inputs, *definition.outputs):
        tensor = definition.tensor(name)
        shape = ", ".join(map(text, tensor.shape)) or "no dimensions"
        kind = " int32" if tensor.dtype == "int" else ""
        called = f", called {user[name]}" if name in user else ""
        lines.append(f"{name} ({shape}){kind}{called}")
    lines += [f"{size} = {text(value)}" for size, value in definition.derived]
    lines += [f"needs {text(r.guard)}: else {r.message}" for r in definition.requires]
    return "\n".join([*lines, *([definition.doc] if definition.doc else [])])


def plan_graph(
    graph: Mapping[str, Any],
    used: Sequence[Operator],
    precision: str,
    machine: str,
    choices: Mapping[str, str] | None = None,
    recompute: bool = False,
    piece: int = 0,
) -> dict[str, Any]:
    """The plan of a recorded step, as `codegen.fast.planner` makes it, or from the cache.

    graph: plain data, see `codegen.fast.graph`; used: the operators of its calls, in order;
    machine: see `codegen.fast.schedules`; choices: of a tuner, see `codegen.fast.choices`;
    recompute: less memory for more work, see `codegen.fast.recompute`; piece: elements of one
    allocation of temporaries, 0 for all. Errors: CountError for sizes that 32 bits do not count.
    """
    data, definition = _named(graph, used)
    parts = [*generator(), precision, machine, data, *([dict(choices)] if choices else [])]
    parts += ["recompute"] if recompute else []
    parts += ["piece", piece] if piece else []
    key = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    path = plans_folder() / f"{key}.json"
    with _generating:
        found = _load(path, key, "planned step")
        if found is None:
            from gradproof.codegen.fast.planner import Planner

            planner = Planner(precision, machine, choices or {}, recompute, piece)
            found = _planned(data, definition, planner)
            _keep(path, key, found, "planned step")
    return found


def trials_of_graph(
    graph: Mapping[str, Any], used: Sequence[Operator], precision: str, machine: str
) -> list[dict[str, Any]]:
    """The different sums of products of a recorded step, each with its candidates: plain data, see
    `codegen.fast.choices.trial`."""
    from gradproof.codegen.fast.planner import Planner

    with _generating:
        return Planner(precision, machine).trials(*_named(graph, used))


def host_files(data: Mapping[str, Any]) -> dict[str, str]:
    """The files of a C host for a plan: name -> text; see `codegen.host`."""
    from gradproof.codegen.host import render_host

    return render_host(data)


def flops_of_graph(graph: Mapping[str, Any], used: Sequence[Operator]) -> int:
    """The operations of a recorded step as its equations state them; see `codegen.fast.work`."""
    from gradproof.codegen.fast.work import flops

    return flops(*_named(graph, used))


def generator() -> list[Any]:
    """What decides the text of a kernel besides its definition: format, sources, libraries."""
    return [FORMAT, _sources(), dict(_versions())]


@cache
def _versions() -> tuple[tuple[str, str], ...]:
    """Asked once: `importlib.metadata` keeps what it finds anew whenever a folder has changed."""
    return tuple((name, version(name)) for name in LIBRARIES)


def _named(
    graph: Mapping[str, Any], used: Sequence[Operator]
) -> tuple[dict[str, Any], Callable[[str], Definition]]:
    """A graph with a name of its own for each operator, and the definitions by these names."""
    shipped = operators()
    names = {op: op.name if shipped.get(op.name) is op else f"{op.name}#{_keys[op]}" for op in used}
    calls = [c | {"operator": names[op]} for c, op in zip(graph["calls"], used, strict=True)]
    by_name = {name: op for op, name in names.items()}
    data = {"calls": calls, "buffers": graph["buffers"]}
    return data, lambda name: _definition(by_name[name])


def plans_folder() -> Path:
    """Folder of the plans, beside that of the program binaries.

    >>> plans_folder().name
    'plans'
    """
    return cache_folder().parent / "plans"


def _planned(
    data: Mapping[str, Any],
    definition: Callable[[str], Definition],
    planner: Planner,
) -> dict[str, Any]:
    log.info("planning a step of %d equations; kept for the next time", len(data["calls"]))
    start = time.perf_counter()
    from gradproof.codegen.fast.counts import TooLarge

    try:
        plan = planner.plan(data, definition)
    except TooLarge as error:
        raise CountError(error.call, str(error)) from error
    log.info("planned in %.1f s", time.perf_counter() - start)
    return plan


def _definition(operator: Operator) -> Definition:
    """The definition that an operator was made from. Errors: GradproofError where it is unknown."""
    from gradproof.derive.registry import find

    found = _definitions.get(operator)
    if found is None and operators().get(operator.name) is operator:
        found = find(operator.name)
    if found is None:
        raise GradproofError(f"{operator.name}: its definition is not known, so it is not derived")
    return found
