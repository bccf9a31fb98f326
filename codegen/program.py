"""One operator as generated: its OpenCL program, and its entry in the manifest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import sympy as sp

from gradproof.codegen.cprint import CPrinter
from gradproof.codegen.render import Kernel, render_kernel, render_program
from gradproof.derive.expr import Read, Reduce, reads, reduces
from gradproof.derive.language import Definition, Equation
from gradproof.derive.nest import Nest, lower
from gradproof.derive.show import text
from gradproof.derive.system import System, derive


@dataclass(frozen=True)
class Program:
    """The text of one operator's kernels and what a host must know to launch them."""

    name: str
    text: str
    entry: dict[str, Any]


def build_program(d: Definition) -> Program:
    """Derive, lower and render one operator with all its variants.

    A kernel that two variants share is written once.
    """
    nests: dict[tuple[str, str], tuple[Kernel, Nest]] = {}
    variants: dict[str, Any] = {}
    for variant in d.variants():
        system = derive(variant)
        forward = [_kernel(system.forward, e, variant, nests) for e in system.forward.equations]
        backward = system.backward
        reverse = (
            [_kernel(backward, e, variant, nests) for e in backward.equations] if backward else []
        )
        without = [t for t, _ in d.optional if t not in variant.inputs]
        variants[variant.name] = _variant(variant, without, system, forward, reverse)
    kernels = [k for k, _ in nests.values()]
    program = render_program(d, kernels, [n for _, n in nests.values()])
    entry = {
        "file": f"{d.name}.cl",
        "sha256": hashlib.sha256(program.encode()).hexdigest(),
        "description": " ".join(d.doc.split()),
        "sizes": [str(s) for s in (*d.sizes, *(s for s, _ in d.derived))],
        "lower": {str(s): bound for s, bound in d.lower},
        "derived": {str(s): size_text(e) for s, e in d.derived},
        "requires": [
            {"condition": CPrinter(()).guard(r.guard), "message": r.message} for r in d.requires
        ],
        "scalars": dict(d.scalars),
        "names": dict(d.names),
        "labels": {t.name: size_text(t.values) for t in d.tensors if t.values is not None},
        "windows": _windows(d),
        "kernels": {k.name: _kernel_entry(k, n) for k, n in nests.values()},
        "variants": variants,
    }
    return Program(d.name, program, entry)


def size_text(e: sp.Expr) -> str:
    """A size expression in Python's syntax, `//` rounding down."""
    return SizePrinter(()).index(e)


class SizePrinter(CPrinter):
    """As C, but a quotient rounds down whatever its sign, as Python's `//` does."""

    quotient = "//"


def _kernel(
    d: Definition, e: Equation, variant: Definition, nests: dict[tuple[str, str], Any]
) -> str:
    """Render the kernel of one equation unless the same one is there; return its name."""
    nest = lower(d, e)
    key = (text(e), "".join(str(t) for t in nest.tensors))
    if key not in nests:
        nests[key] = (render_kernel(d, nest, f"{variant.name}_{e.target}"), nest)
    return str(nests[key][0].name)


def _variant(
    d: Definition, without: list[str], system: System, forward: list[str], backward: list[str]
) -> dict[str, Any]:
    tensors = {t.name: t for t in system.forward.tensors}
    if system.backward:
        tensors |= {t.name: t for t in system.backward.tensors}
    return {
        "without": list(without),
        "inputs": list(d.inputs),
        "outputs": list(d.outputs),
        "differentiable": list(d.differentiable) if system.backward else [],
        "saved": list(system.saved),
        "tensors": {
            n: {"shape": [size_text(x) for x in t.shape], "dtype": t.dtype}
            for n, t in tensors.items()
        },
        "forward": forward,
        "backward": backward,
    }


def _kernel_entry(k: Kernel, nest: Nest) -> dict[str, Any]:
    return {
        "target": k.target,
        "equation": k.equation,
        "arguments": [{"name": a.name, "kind": a.kind, "dtype": a.dtype} for a in k.arguments],
        "work_items": size_text(nest.total),
        "in_place": k.in_place,
    }


def _windows(d: Definition) -> list[dict[str, Any]]:
    """The maxima that skip what lies outside: a host must refuse a window without any element.

    Per axis: for every value of the outer index there is an inner one with 0 <= subscript < extent.
    """
    out: list[dict[str, Any]] = []
    for e in d.equations:
        own = dict(zip(e.indices, d.tensor(e.target).shape, strict=True))
        for r in reduces(e.body):
            skipped = [x for x in reads(r.body) if d.tensor(x.tensor).outside == "skip"]
            out += [w for x in skipped if r.kind == "max" for w in _axes(d, r, x, own)]
    return out


def _axes(
    d: Definition, r: Reduce, read: Read, own: dict[sp.Symbol, sp.Expr]
) -> list[dict[str, Any]]:
    out = []
    for s, extent in zip(read.subscripts, d.tensor(read.tensor).shape, strict=True):
        inner = {str(i): size_text(n) for i, n in r.indices if i in s.free_symbols}
        outer = {str(i): size_text(n) for i, n in own.items() if i in s.free_symbols}
        if inner:
            subscript = size_text(s)
            axis = {"subscript": subscript, "extent": size_text(extent)}
            out.append({**axis, "outer": outer, "inner": inner})
    return out
