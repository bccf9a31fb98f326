"""The public names with their signatures and docstrings, read from the package itself."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from gradproof.book.pages import HOME

WIDTH = 88  # of a signature on one line
STARS = {"VAR_POSITIONAL": "*", "VAR_KEYWORD": "**"}
# page -> the module, and its public names where the module lists none
MODULES: dict[str, tuple[str, tuple[str, ...]]] = {
    "gp": ("gradproof", ()),
    "gp.nn": ("gradproof.runtime.nn", ()),
    "gp.nn.init": ("gradproof.runtime.nn.init", ("kaiming_normal_", "kaiming_uniform")),
    "gp.nn.utils": ("gradproof.runtime.nn.utils", ("clip_grad_norm_", "clip_grad_value_")),
    "gp.functional": ("gradproof.runtime.functional", ()),
    "gp.optim": ("gradproof.runtime.optim", ()),
    "gp.optim.lr_scheduler": ("gradproof.runtime.optim.lr_scheduler", ()),
    "gp.data": ("gradproof.runtime.data", ()),
    "gp.data.transforms": ("gradproof.runtime.data.transforms", ()),
    "gp.models": ("gradproof.runtime.models", ()),
    "gp.utils.checkpoint": ("gradproof.runtime.utils.checkpoint", ()),
    "gp.autograd": (
        "gradproof.runtime.autograd",
        ("detect_anomaly", "set_detect_anomaly"),
    ),
    "gp.random": (
        "gradproof.runtime.random",
        ("fork_rng", "manual_seed", "get_rng_state", "set_rng_state"),
    ),
    "gp.onnx": ("gradproof.runtime.onnx", ()),
    "gp.errors": ("gradproof.runtime.errors", ()),
}


@dataclass(frozen=True)
class Passage:
    """A paragraph of a docstring, or, with `code`, an example. label: what it says, as "Errors"."""

    text: str
    code: bool = False
    label: str = ""


@dataclass(frozen=True)
class Entry:
    """A public name: how it is called, what its docstring says, where it is defined."""

    name: str
    anchor: str
    kind: str
    signature: str
    passages: tuple[Passage, ...]
    source: tuple[str, int] | None
    members: tuple[Entry, ...] = ()

    @property
    def summary(self) -> str:
        """Its first sentence."""
        return self.passages[0].text.split("\n")[0] if self.passages else ""


@dataclass(frozen=True)
class Module:
    """A module under the name by which users reach it."""

    name: str
    passages: tuple[Passage, ...]
    entries: tuple[Entry, ...]


def modules() -> Iterator[Module]:
    """The public modules, in reading order."""
    for name, (path, names) in MODULES.items():
        module = import_module(path)
        found = (_entry(f"{name}.{n}", getattr(module, n)) for n in names or public(module))
        yield Module(name, passages(module), tuple(e for e in found if e is not None))


def public(module: ModuleType) -> list[str]:
    """The public names of a module that are no modules: what it lists, else what it defines."""
    listed = getattr(module, "__all__", None)
    names = [n for n in listed or vars(module) if not n.startswith("_")]
    found = [n for n in names if not isinstance(getattr(module, n), ModuleType)]
    own = [n for n in found if getattr(getattr(module, n), "__module__", "") == module.__name__]
    kinds = [n for n in own if inspect.isclass(getattr(module, n)) or _is_call(getattr(module, n))]
    return sorted(found if listed else kinds, key=str.lower)


def passages(value: Any) -> tuple[Passage, ...]:
    """A docstring in parts: paragraphs, what is labelled (`Errors: ...`), and examples.

    >>> def f():
    ...     '''Twice x. Errors: none.
    ...
    ...     x: a number.
    ...     '''
    >>> [(p.label, p.text) for p in passages(f)]
    [('', 'Twice x.'), ('Errors', 'none.'), ('x', 'a number.')]
    """
    return tuple(p for part in re.split(r"\n\s*\n", inspect.getdoc(value) or "") for p in _of(part))


def _of(part: str) -> Iterator[Passage]:
    if part.lstrip().startswith(">>>"):
        yield Passage(part, code=True)
        return
    if part.startswith("Args:\n"):
        part = textwrap.dedent(part.removeprefix("Args:\n"))
    text, _, example = part.partition("\n>>> ")
    apart = re.sub(r"(?<=[.;:)]) (?=(?:Errors|Shapes|PyTorch|Left out): )", "\n", text)
    for line in re.split(r"\n(?=[\w*]+(?:(?:, | and )[\w*]+)*: )", apart):
        label = re.match(r"([\w*]+(?:(?:, | and | )[\w*]+){0,4}): ", line)
        if label and ((line[0].isupper() and label[1] in LABELS) or line[0].islower()):
            yield Passage(line[label.end() :], label=label[1])
        else:
            yield Passage(line)
    if example:
        yield Passage(f">>> {example}", code=True)


LABELS = ("Errors", "Shapes", "PyTorch", "Left out", "Returns")


def _entry(name: str, value: Any) -> Entry | None:
    """What is told of a public name; None for constants and types without a docstring."""
    if inspect.isclass(value):
        return _class(name, value)
    if _is_call(value):
        return Entry(name, _last(name), "", signature(value), passages(value), _source(value))
    return None


def _class(name: str, value: type) -> Entry:
    own = [c for c in value.__mro__ if c.__module__.startswith("gradproof.")]
    members: dict[str, Entry] = {}
    for c in reversed(own if name in ("gp.Tensor", "gp.nn.Module") else own[:1]):
        for n, member in vars(c).items():
            found = None if n.startswith("_") else _member(f"{_last(name)}.{n}", member)
            if found is not None and found.passages:
                members[n] = found
    kind = "exception" if issubclass(value, Exception) else "class"
    return Entry(
        name,
        _last(name),
        kind,
        "" if kind == "exception" else signature(value),
        passages(value) if value.__doc__ else (),
        _source(value),
        tuple(members.values()),
    )


def _member(name: str, value: Any) -> Entry | None:
    if isinstance(value, property):
        return Entry(name, name, "property", "", passages(value), None)
    kind = type(value).__name__ if isinstance(value, classmethod | staticmethod) else ""
    inner = inspect.unwrap(value.__func__ if kind else value)
    if not inspect.isfunction(inner):
        return None
    return Entry(
        name, name, kind, signature(inner, method=kind != "staticmethod"), passages(inner), None
    )


def signature(value: Callable[..., Any], method: bool = False) -> str:
    """The arguments with their types and defaults; one on each line where they are many.

    >>> signature(signature)
    '(value: Callable[..., Any], method: bool = False) -> str'
    """
    try:
        found = inspect.signature(value)
    except ValueError:  # a class of C
        return ""
    parameters = list(found.parameters.values())[1 if method else 0 :]
    stars = _stars(parameters)
    back = found.return_annotation
    end = "" if back in (inspect.Signature.empty, None, "None") else f" -> {_type(back)}"
    line = f"({', '.join(stars)}){end}"
    return line if len(line) <= WIDTH else "(\n" + "".join(f"    {s},\n" for s in stars) + f"){end}"


def _stars(parameters: list[inspect.Parameter]) -> list[str]:
    """The arguments as texts, with the `*` after which they have to be named."""
    out: list[str] = []
    kinds = [p.kind for p in parameters]
    for p in parameters:
        named = p.kind is p.KEYWORD_ONLY and p.VAR_POSITIONAL not in kinds
        if named and "*" not in out:
            out.append("*")
        prefix = STARS.get(p.kind.name, "")
        text = f"{prefix}{p.name}"
        if p.annotation is not p.empty:
            text += f": {_type(p.annotation)}"
        if p.default is not p.empty:
            equals = " = " if p.annotation is not p.empty else "="
            text += f"{equals}{_default(p.default)}"
        out.append(text)
    return out


def _type(annotation: Any) -> str:
    return annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)


def _default(value: Any) -> str:
    shown = repr(value)
    return value.__name__ if inspect.isclass(value) else "..." if " at 0x" in shown else shown


def _source(value: Any) -> tuple[str, int] | None:
    """File, from the project's root, and line."""
    inner = inspect.unwrap(value)
    if not str(inner.__module__).startswith("gradproof"):
        return None
    path = inspect.getsourcefile(inner)
    assert path is not None
    _, line = inspect.getsourcelines(inner)
    return Path(path).resolve().relative_to(HOME).as_posix(), line


def _is_call(value: Any) -> bool:
    return inspect.isroutine(value) and hasattr(value, "__module__")


def _last(name: str) -> str:
    return name.rpartition(".")[2]
