"""One operator as generated: its OpenCL program, and its entry in the manifest."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any

import sympy as sp

from gradproof.codegen.contraction import contraction
from gradproof.codegen.cprint import CPrinter, size_text
from gradproof.codegen.lanes import Tiled, render_tiled, render_tiled_program
from gradproof.codegen.render import Kernel, render_kernel, render_program
from gradproof.derive.adjoint import PREFIX
from gradproof.derive.checker import Refused
from gradproof.derive.errors import DefinitionError
from gradproof.derive.expr import Read, Reduce, reads, reduces
from gradproof.derive.language import Definition, Equation, Tensor
from gradproof.derive.nest import Nest, lower
from gradproof.derive.phases import Phases, phase_split
from gradproof.derive.prove.limits import size_limits
from gradproof.derive.prove.record import definition_record
from gradproof.derive.show import text
from gradproof.derive.system import System, derive


@dataclass(frozen=True)
class Program:
    """The files with one operator's kernels, and what a host must know to launch them."""

    name: str
    files: dict[str, str]
    entry: dict[str, Any]


def build_program(d: Definition, limits: list[str] | None = None) -> Program:
    """Derive, lower and render one operator with all its variants.

    A kernel that two variants share is written once. limits: those of a record of its certificates,
    which will be checked with them; without, they are found, which takes half of the time. Errors:
    DefinitionError where the derivation leads to an expression that has no form in C.
    """
    try:
        return _build(d, limits)
    except TypeError as error:  # SymPy's rewriting left the language: zoo, I
        raise DefinitionError(f"{d.name}: {error}") from None
    except (OverflowError, RecursionError) as error:
        raise DefinitionError(f"{d.name}: too large to derive: {error}") from None


def _build(d: Definition, limits: list[str] | None) -> Program:
    kernels = _Kernels()
    variants: dict[str, Any] = {}
    for variant in d.variants():
        system = derive(variant)
        forward = kernels.of(system.forward, variant.name)
        backward = kernels.of(system.backward, variant.name) if system.backward else []
        without = [t for t, _ in d.optional if t not in variant.inputs]
        variants[variant.name] = _variant(variant, without, system, forward, backward)
    reference = render_program(d, [k for k, _ in kernels.all], [n for _, n in kernels.all])
    files = {f"{d.name}.cl": reference}
    files |= {f"{t.kernel.name}.cl": render_tiled_program(t) for t in kernels.tiled.values()}
    entry: dict[str, Any] = {
        "file": f"{d.name}.cl",
        "sha256": {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()},
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
        "kernels": {
            k.name: {
                "lines": _lines(k, reference),
                **_kernel_entry(k, n.total, kernels.tiled.get(k.name)),
                **kernels.relations(k.name),
            }
            for k, n in kernels.all
        },
        "variants": variants,
    }
    entry["limits"] = _limits(d, entry, reference) if limits is None else limits
    return Program(d.name, files, entry)


def _limits(d: Definition, entry: dict[str, Any], reference: str) -> list[str]:
    """The polynomials in the sizes that a host keeps below 2^31, so that no integer overflows."""
    try:
        return size_limits(definition_record(d), entry, reference)
    except Refused as error:
        raise DefinitionError(f"{d.name}: {error}") from None


@dataclass
class _Kernels:
    """The kernels of one operator so far, each equation once."""

    found: dict[tuple[str, tuple[Tensor, ...]], tuple[Kernel, Nest]] = field(default_factory=dict)
    tiled: dict[str, Tiled] = field(default_factory=dict)
    phases: dict[str, tuple[Kernel, Nest, Phases]] = field(default_factory=dict)

    @property
    def all(self) -> list[tuple[Kernel, Nest]]:
        """The reference kernels, then their phase-split forms."""
        return [*self.found.values(), *((k, n) for k, n, _ in self.phases.values())]

    def relations(self, name: str) -> dict[str, Any]:
        """What a kernel's entry says of its phase-split form, or that form's of the kernel."""
        if name in self.phases:
            kernel, _, split = self.phases[name]
            return {"phases": {"kernel": kernel.name, "when": {str(s): v for s, v in split.when}}}
        bases = [base for base, (k, _, _) in self.phases.items() if k.name == name]
        return {"of": bases[0]} if bases else {}

    def of(self, d: Definition, variant: str) -> list[str]:
        """The names of the kernels of a system's equations, rendering those that are new."""
        return [self._kernel(d, e, f"{variant}_{e.target}") for e in d.equations]

    def _kernel(self, d: Definition, e: Equation, name: str) -> str:
        nest = lower(d, e)
        key = (text(e), nest.tensors)
        if key not in self.found:
            self.found[key] = (render_kernel(d, nest, name), nest)
            staged = contraction(d, e)
            if staged is not None:
                self.tiled[name] = render_tiled(staged, name)
            split = phase_split(d, e)
            if split is not None:
                nest = replace(lower(d, split.named, split.names), equation=split.equation)
                self.phases[name] = render_kernel(d, nest, f"{name}_phases"), nest, split
        return self.found[key][0].name


def _variant(
    d: Definition, without: list[str], system: System, forward: list[str], backward: list[str]
) -> dict[str, Any]:
    tensors = {t.name: t for t in (*d.tensors, *system.forward.tensors)}
    if system.backward:
        tensors |= {t.name: t for t in system.backward.tensors}
    return {
        "without": list(without),
        "inputs": list(d.inputs),
        "outputs": list(d.outputs),
        "differentiable": _with_gradient(d, system),
        "saved": list(system.saved),
        "tensors": {
            n: {"shape": [size_text(x) for x in t.shape], "dtype": t.dtype}
            for n, t in tensors.items()
        },
        "forward": forward,
        "backward": backward,
    }


def _lines(k: Kernel, program: str) -> list[int]:
    """First and last line of a kernel in its file, counted from 1."""
    body = k.text.rstrip()
    first = program[: program.index(body)].count("\n") + 1
    return [first, first + body.count("\n")]


def _with_gradient(d: Definition, system: System) -> list[str]:
    """The operands that have a gradient: not those that cancel out of the definition."""
    if system.backward is None:
        return []
    found = {e.target for e in system.backward.equations}
    return [n for n in d.differentiable if PREFIX + n in found]


def _kernel_entry(k: Kernel, work_items: sp.Expr, tiled: Tiled | None) -> dict[str, Any]:
    entry = {
        "target": k.target,
        "equation": k.equation,
        "arguments": [{"name": a.name, "kind": a.kind, "dtype": a.dtype} for a in k.arguments],
        "work_items": size_text(work_items),
        "in_place": k.in_place,
    }
    if tiled is not None:
        steps = [_kernel_entry(p, n.total, None) for p, n in tiled.packs]
        packs = {p.name: step for (p, _), step in zip(tiled.packs, steps, strict=True)}
        main = {"arguments": _kernel_entry(tiled.kernel, sp.Integer(0), None)["arguments"]}
        entry["tiled"] = {**tiled.entry, "file": f"{tiled.kernel.name}.cl", **main, "packs": packs}
    return entry


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
