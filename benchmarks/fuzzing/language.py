"""Definitions of operators, changed along the grammar of the language and as text."""

from __future__ import annotations

import ast
import json
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.fuzzing.guard import ROOT
from benchmarks.fuzzing.mutate import WORDS, a_number, a_value, some_text
from benchmarks.fuzzing.reader import TEXT, Reader
from gradproof.codegen.program import build_program
from gradproof.derive.errors import DefinitionError
from gradproof.derive.language import operator
from gradproof.derive.system import derive

ARGUMENTS = ("name", "equations", "tensors")
# what Python's grammar has and the language must refuse, without running it
FOREIGN = (
    "(lambda: 0)()", "[n for n in N]", "__import__('os').system('true')", "x.__class__",
    "x if N else y",
    "f'{N}'", "(n := 1)", "*x", "{1: 2}", "{1}", "'text'", "b'x'", "...", "None", "True", "await x",
    "not x", "x and y", "x < y < 1", "x is y", "x in y", "1j", "x @ y", "x << 3", "x | y", "~x",
    "x[:]",
    "x[...]", "x[n:N]", "exp(x=1)", "exp(*x)", "yield x", "sum", "exp", "where", "philox",
    "eval('1')",
)  # fmt: skip
HARD = (
    "2**10**9", "9**9**9**9", "(x[n] + 1)**1000", "N**64", "2**-1", "0**-1", "0/0", "1/0",
    "1e308*1e308",
    "1e-400", "9" * 4000, "9" * 5000, "0.1", "x[n]**0.5", "x[n]**(1/3)", "N//0", "N%0", "n//N",
    "0//0",
    "-" * 3000 + "1", "(" * 150 + "1" + ")" * 150, "(" * 3000, "+".join("x" * 4000), "[" * 150,
    "exp(" * 60 + "1" + ")" * 60, "1+" * 3000 + "1", "exp(exp(exp(1000)))", "sqrt(-1)", "log(0)",
    "log(-1)",
    "sum(x[n])", "sum[n](1)", "sum[k:10**9](x[k])", "sum[k:N, j:N, i:N](x[k])", "max(x[n], n >= 3)",
    "argmax[k](x[k])", "argmax[k](x[k]) + 1", "where(x[n] < 0, 1, 2)", "where(1, 2, 3)", "x[x[n]]",
    "sum(sum(x[n]))", "philox(1, 2, 3, 4)", "philox(n, n, n, n)", "x[n*n]", "x[n//2]", "x[n % 3]",
    "x[-n]",
    "(N+K+C+H+W+O+1)**20", "((N+1)**30)**30", "(x[n]+y+z)**40*(x[n]-1)**40", "x[n]**2.5",
    "x[n]**-3",
)  # fmt: skip
SIGNS = ("+", "-", "*", "/", "//", "%", "**", "(", ")", "[", "]", ",", "=", "<", "<=", ":", " ",
"\n",
         "n", "k", "N", "K", "x", "0", "1", "2", "sum", "max", "exp", "where", ".", "#", ";", "\\",
         "@")  # fmt: skip


@cache
def originals() -> tuple[dict[str, Any], ...]:
    """The shipped definitions that stand as literals, as arguments of `operator`."""
    found = []
    for path in sorted((ROOT / "derive" / "ops").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "operator":
                given = dict(zip(ARGUMENTS, node.args, strict=False))
                given |= {k.arg or "": k.value for k in node.keywords}
                try:
                    found.append({k: ast.literal_eval(v) for k, v in given.items()})
                except ValueError:  # made from other texts
                    continue
    small = [d for d in found if len(d["equations"]) + len(str(d["tensors"])) < 280]
    assert len(small) > 20
    return tuple(small)


def definition(rng: Random) -> bytes:
    """The arguments of `operator`, as JSON."""
    given = json.loads(json.dumps(rng.choice(originals())))
    for _ in range(rng.choice((1, 1, 1, 2))):
        kind = rng.random()
        if kind < 0.45:
            given["equations"] = _equations(rng, given["equations"])
        elif kind < 0.6:
            given["equations"] = some_text(rng, given["equations"], (*SIGNS, *FOREIGN))
        elif kind < 0.9:
            _argument(rng, given)
        else:
            key = rng.choice(list(given))
            given[key] = a_value(rng)
            if key not in ("name", "equations") and rng.random() < 0.5:
                given[key] = {rng.choice(("x", "Y", "N", *WORDS)): rng.choice((*WORDS, *HARD))}
        if not isinstance(given["equations"], str):
            break
    return json.dumps(given).encode()


def _equations(rng: Random, text: str) -> str:
    """A part of the right side exchanged for another part, or for what is hard to read."""
    lines = [line.strip() for line in text.strip().splitlines() if line.strip()]
    if not lines:
        return text
    k, kind = rng.randrange(len(lines)), rng.random()
    if kind < 0.1:
        lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
    elif kind < 0.2:
        lines.pop(k)
    else:
        try:
            lines[k] = _exchanged(rng, lines[k])
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            lines[k] += rng.choice(HARD)
    return "\n".join(lines)


def _exchanged(rng: Random, line: str) -> str:
    """A part in brackets marks, put in by text: what is put in need not be Python."""
    tree = ast.parse(line)
    parts = [n for n in ast.walk(tree) if isinstance(n, ast.expr) and hasattr(n, "lineno")]
    old = rng.choice(parts)
    assert old.end_col_offset is not None
    raw, kind = line.encode(), rng.random()
    if kind < 0.35:
        new = rng.choice(HARD)
    elif kind < 0.5:
        new = rng.choice(FOREIGN)
    elif kind < 0.6:
        new = str(a_number(rng))
    else:
        new = ast.unparse(rng.choice(parts))
    if kind > 0.9:
        new = f"({ast.unparse(old)}){rng.choice('+-*/%')}({new})"
    return (raw[: old.col_offset] + new.encode() + raw[old.end_col_offset :]).decode()


def _argument(rng: Random, given: dict[str, Any]) -> None:
    """One entry of a mapping, or of what is not always given."""
    key = rng.choice((
        "tensors", "tensors", "tensors", "sizes", "requires", "outside", "labels", "scalars",
        "optional",
        "at_least", "subscripts", "names", "integers", "outputs", "constant", "name", "doc",
    ))  # fmt: skip
    names = [*given["tensors"], "N", "S", "P", "q"] if isinstance(given["tensors"], dict) else ["x"]
    values = ("N", "N, K", "N + K", "2*N", "N//2", "0", "-1", "1000000000", "N - 5", "", "N,",
    "zero",
              "skip", "real", "uint", "i j", "weight", "N >= 1", "N % 2 == 0", "N*N*N",
              "N <= 0")  # fmt: skip
    if key in ("name", "doc", "integers"):
        given[key] = rng.choice((*WORDS, "conv2d", "f", "S", "CON", "int", "a b"))
    elif key in ("outputs", "constant"):
        given[key] = [rng.choice((*names, *WORDS)) for _ in range(rng.choice((0, 1, 2)))]
    else:
        old = given.get(key)
        mapping = dict(old) if isinstance(old, dict) else {}
        name = rng.choice((*names, *mapping, *names, *mapping, rng.choice(WORDS)))
        mapping[name] = rng.choice((*values, *values, *WORDS, *HARD, *FOREIGN))
        if key == "requires":
            mapping = {rng.choice((*values, *HARD)): "no", **mapping}
        if key in ("optional", "at_least"):
            mapping[name] = rng.choice((0, 1, -1, 2, 10**30, 0.5, "1", None))
        if rng.random() < 0.15 and mapping:
            mapping.pop(rng.choice(list(mapping)))
        given[key] = mapping


def read(content: bytes, _: Path) -> None:
    """Read and check a definition; what is accepted is derived, and its kernels are written."""
    given = json.loads(content)
    first = [given.pop(k) for k in ARGUMENTS]
    d = operator(*first, **given)
    derive(d)
    build_program(d)


def _start() -> None:
    import z3  # noqa: F401 - a library that would else be loaded during a case


LIST = (
    Reader("operator", definition, read, (DefinitionError,), TEXT, seconds=300.0, start=_start),
)
READERS = {r.name: r for r in LIST}
