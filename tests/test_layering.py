"""Data flows one way: derive -> codegen -> generated -> runtime; only the command line sees all."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

ALLOWED = {
    "derive": {"derive"},
    "codegen": {"derive", "codegen"},
    "generated": {"generated"},
    "runtime": {"generated", "runtime"},
}
# path -> stages that this one file may import besides, not while it is itself being imported
LAZILY_ALLOWED = {"runtime/compile.py": {"derive", "codegen"}}


@dataclass(frozen=True)
class Import:
    """`module`, as written in line `line`; `lazy` when importing the file does not run it."""

    module: str
    line: int
    lazy: bool


def imports(node: ast.AST, lazy: bool = False) -> Iterator[Import]:
    """Yield each import below `node`; a relative one begins with a dot."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(alias.name, child.lineno, lazy)
        elif isinstance(child, ast.ImportFrom):
            origin = "." * child.level + (child.module or "")
            names = [alias.name for alias in child.names]
            for module in (
                [f"{origin}.{name}" for name in names] if origin == "gradproof" else [origin]
            ):
                yield Import(module, child.lineno, lazy)
        elif isinstance(child, ast.Call) and is_import_call(child):
            yield Import(child.args[0].value, child.lineno, lazy)  # type: ignore[attr-defined]
        yield from imports(child, lazy or is_lazy(child))


def is_import_call(call: ast.Call) -> bool:
    """`import_module("…")`, `importlib.import_module("…")` or `__import__("…")`."""
    name = getattr(call.func, "attr", getattr(call.func, "id", None))
    literal = bool(call.args) and isinstance(call.args[0], ast.Constant)
    return literal and name in {"import_module", "__import__"}


def is_lazy(node: ast.AST) -> bool:
    """A function's body runs later; the body of `if TYPE_CHECKING` never."""
    if isinstance(node, ast.If):
        return getattr(node.test, "id", None) == "TYPE_CHECKING" and not node.orelse
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)


def violations(path: str, source: str) -> list[str]:
    """Say what `source`, at `path` below the root, imports and must not."""
    stage = path.split("/")[0]
    found = []
    for imported in imports(ast.parse(source, path)):
        package, _, rest = imported.module.partition(".")
        target = rest.split(".")[0]
        where = f"{path}:{imported.line}: imports {imported.module}"
        if package == "":
            found.append(f"{where}: imports are absolute")
        elif package in ALLOWED:
            found.append(f"{where}: bare, so a second copy; write gradproof.{package}")
        elif package == "gradproof" and stage in ALLOWED and target not in ALLOWED[stage]:
            if target not in LAZILY_ALLOWED.get(path, set()):
                allowed = ", ".join(sorted(ALLOWED[stage]))
                found.append(f"{where}: {stage} may import only {allowed}")
            elif not imported.lazy:
                found.append(f"{where}: only inside a function")
    return found


def sources() -> list[str]:
    """Every module of the package, once, by its path below the root."""
    folders = [*ALLOWED, "gradproof"]
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    relative = [path.relative_to(ROOT).as_posix() for path in files]
    links = tuple(f"gradproof/{stage}/" for stage in ALLOWED)
    return sorted(path for path in relative if not path.startswith(links))


def test_no_module_imports_against_the_flow() -> None:
    paths = sources()
    assert {path.split("/")[0] for path in paths} == {*ALLOWED, "gradproof"}
    found = [line for path in paths for line in violations(path, (ROOT / path).read_text("utf-8"))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("derive/nest.py", "from gradproof.codegen.emit import text"),
        ("derive/ops/conv.py", "import gradproof.runtime.tensor"),
        ("derive/nest.py", "import gradproof"),
        ("derive/nest.py", "from gradproof import nn"),
        ("derive/nest.py", "def f():\n    from gradproof import generated"),
        ("codegen/emit.py", "from gradproof.runtime.device import list_devices"),
        ("codegen/emit.py", "from gradproof.generated import manifest"),
        ("codegen/emit.py", "from gradproof.cli.main import app"),
        ("generated/__init__.py", "import gradproof.derive"),
        ("runtime/nn/conv.py", "from gradproof.derive.ops import conv"),
        ("runtime/nn/conv.py", "def f():\n    from gradproof.codegen import emit"),
        ("runtime/nn/conv.py", "import importlib\nimportlib.import_module('gradproof.codegen')"),
        ("runtime/compile.py", "from gradproof.codegen import emit"),
        ("runtime/compile.py", "class C:\n    from gradproof.codegen import emit"),
        (
            "runtime/compile.py",
            "try:\n    import gradproof.codegen\nfinally:\n    pass",
        ),
        ("runtime/compile.py", "from gradproof.derive import nest"),
        ("runtime/compile.py", "def f():\n    from gradproof.cli import main"),
        ("runtime/nn/compile.py", "def f():\n    from gradproof.codegen import emit"),
        ("runtime/tensor.py", "from . import device"),
        ("runtime/nn/conv.py", "from ..tensor import Tensor"),
        ("runtime/tensor.py", "from runtime.device import use_device"),
        ("codegen/emit.py", "import derive.nest"),
        ("gradproof/cli/main.py", "import codegen"),
    ],
)
def test_a_planted_violation_is_caught(path: str, source: str) -> None:
    assert len(violations(path, source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("derive/ops/conv.py", "import sympy\nfrom gradproof.derive.nest import Nest"),
        (
            "codegen/emit.py",
            "from gradproof.derive.nest import Nest\nimport gradproof.codegen.c",
        ),
        ("runtime/kernel.py", "from gradproof import generated\nimport gradproof.runtime.errors"),
        ("runtime/compile.py", "def f():\n    from gradproof.codegen import emit"),
        (
            "runtime/compile.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import gradproof.codegen",
        ),
        ("gradproof/cli/main.py", "import gradproof.derive, gradproof.codegen, gradproof.runtime"),
    ],
)
def test_what_follows_the_flow_is_allowed(path: str, source: str) -> None:
    assert violations(path, source) == []
