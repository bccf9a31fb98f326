"""What a definition is: tensors with shapes, and a system of equations between them.

`operator(...)` reads a definition as a paper writes it. `Definition` is what every later stage
works on; an adjoint is again a `Definition`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NoReturn

import sympy as sp

from gradproof.derive.bounds import Scope
from gradproof.derive.errors import DefinitionError
from gradproof.derive.expr import Guard, integer, reads, real, substitute

OUTSIDE = ("forbidden", "zero", "skip")
SCALARS = ("real", "uint")


@dataclass(frozen=True)
class Tensor:
    """A name, a shape in sizes, and what a read outside the shape means.

    `outside`: "forbidden" (must be impossible for all sizes), "zero" (the element is 0), or "skip"
    (a maximum does not look there). `values`: for an integer tensor, its elements are 0..values-1.
    """

    name: str
    shape: tuple[sp.Expr, ...]
    dtype: str = "real"
    outside: str = "forbidden"
    values: sp.Expr | None = None


@dataclass(frozen=True)
class Equation:
    """`target[indices] = body` for every element of the target: one writer per element."""

    target: str
    indices: tuple[sp.Symbol, ...]
    body: sp.Expr

    def _repr_latex_(self) -> str:
        from gradproof.derive.show import latex

        return f"$${latex(self)}$$"


@dataclass(frozen=True)
class Requirement:
    """A condition on sizes, and the words for the user who breaks it."""

    guard: Guard
    message: str


@dataclass(frozen=True)
class Definition:
    """A system of equations over tensors of symbolic shape; equations come in order of use."""

    name: str
    tensors: tuple[Tensor, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    sizes: tuple[sp.Symbol, ...]
    lower: tuple[tuple[sp.Symbol, int], ...]
    derived: tuple[tuple[sp.Symbol, sp.Expr], ...]
    requires: tuple[Requirement, ...]
    scalars: tuple[tuple[str, str], ...]
    equations: tuple[Equation, ...]
    optional: tuple[tuple[str, sp.Expr], ...] = ()
    constant: tuple[str, ...] = ()
    subscripts: tuple[tuple[str, tuple[str, ...]], ...] = ()
    names: tuple[tuple[str, str], ...] = ()
    doc: str = field(default="", compare=False)

    def tensor(self, name: str) -> Tensor:
        """The declaration of `name`; KeyError where there is none."""
        for t in self.tensors:
            if t.name == name:
                return t
        raise KeyError(f"{self.name} has no tensor {name!r}")

    def equation(self, target: str) -> Equation:
        """The equation that defines `target`; KeyError where there is none."""
        for e in self.equations:
            if e.target == target:
                return e
        raise KeyError(f"{self.name} does not define {target!r}")

    @property
    def differentiable(self) -> tuple[str, ...]:
        """The real inputs that are not declared constant (running statistics are)."""
        return tuple(
            n for n in self.inputs if self.tensor(n).dtype == "real" and n not in self.constant
        )

    def scope(self, *equations: Equation) -> Scope:
        """Sizes with their bounds, and the indices of `equations` with their extents."""
        extents: dict[sp.Symbol, sp.Expr] = {}
        for e in equations:
            extents |= dict(zip(e.indices, self.tensor(e.target).shape, strict=True))
        lower = dict(self.lower) | {s: 1 for s, _ in self.derived}
        return Scope(extents, lower)

    def without(self, operand: str) -> Definition:
        """The definition with an optional operand left out: its every read is the declared value.

        Errors: DefinitionError where `operand` was not declared optional.
        """
        if operand not in dict(self.optional):
            raise DefinitionError(f"{self.name}: {operand!r} is not an optional operand")
        value = dict(self.optional)[operand]

        def drop(e: Equation) -> Equation:
            gone = {r: value for r in reads(e.body) if r.tensor == operand}
            return replace(e, body=substitute(e.body, gone))

        return replace(
            self,
            name=f"{self.name}_without_{operand}",
            tensors=tuple(t for t in self.tensors if t.name != operand),
            inputs=tuple(n for n in self.inputs if n != operand),
            optional=tuple(pair for pair in self.optional if pair[0] != operand),
            equations=tuple(map(drop, self.equations)),
        )

    def variants(self) -> tuple[Definition, ...]:
        """The definition itself, and one for every set of optional operands left out."""
        out = [self]
        for operand, _ in self.optional:
            out += [d.without(operand) for d in out]
        return tuple(out)

    def _repr_latex_(self) -> str:
        from gradproof.derive.show import definition_latex

        return f"$${definition_latex(self)}$$"


def operator(
    name: str,
    equations: str,
    tensors: Mapping[str, str],
    *,
    outputs: Sequence[str] = (),
    sizes: Mapping[str, str] | None = None,
    integers: str = "",
    at_least: Mapping[str, int] | None = None,
    requires: Mapping[str, str] | None = None,
    outside: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    scalars: Mapping[str, str] | None = None,
    optional: Mapping[str, int] | None = None,
    constant: Sequence[str] = (),
    subscripts: Mapping[str, str] | None = None,
    names: Mapping[str, str] | None = None,
    doc: str = "",
) -> Definition:
    """Read a definition. Everything but `equations` and `tensors` has a default.

    equations: one per line, `z[n,o] = sum(w[o,k]*Y[n,k]) + b[o]`. `sum` runs over the indices that
        the left side lacks; `sum[i:KH, j:KW](body, guard, ...)` names them and, where no tensor
        is subscripted by them alone, gives their extents. `max` and `argmax` likewise.
    tensors: name -> shape, `"N, G*CG, H, W"`. A name that no equation defines is an input;
        a defined tensor that is not listed gets its shape from the right-hand side.
    outputs: the defined tensors that the operator returns (default: the last one defined).
    sizes: derived sizes, such as an output length; `//` and `%` round towards minus infinity.
    integers: names of sizes that may be any integer (paddings); all others are at least 1,
        or what `at_least` says.
    requires: condition -> message for the user who breaks it.
    outside: tensor -> "zero" or "skip"; otherwise no subscript may leave the tensor.
    labels: integer tensor -> the number of values it takes, 0 up to that number; "" for one that
        may hold any integer, and so is no subscript.
    scalars: name -> "real" or "uint".
    optional: operand that may be left out -> the value read in its place.
    constant: operands without a gradient.
    subscripts: operand -> index letters for its gradient, where the default ones read badly.
    names: tensor -> the name users know it by, such as PyTorch's "weight" for w.

    Errors: DefinitionError names the operator and the place.

    >>> linear = operator("linear", "z[n,o] = sum(w[o,k]*Y[n,k])",
    ...                   {"Y": "N, K", "w": "O, K"})
    >>> linear.outputs, linear.tensor("z").shape
    (('z',), (N, O))
    """
    from gradproof.derive.check import check
    from gradproof.derive.parse import Reader

    texts = {"name": name, "equations": equations, "integers": integers, "doc": doc}
    mappings = {"tensors": tensors, "sizes": sizes, "requires": requires, "outside": outside}
    mappings |= {"labels": labels, "scalars": scalars, "subscripts": subscripts, "names": names}
    _check_types(texts, mappings, {"outputs": outputs, "constant": constant})
    _check_numbers(name, {"optional": optional, "at_least": at_least})
    reader = Reader(
        name,
        tensors,
        sizes or {},
        integers.split(),
        scalars or {},
        labels or {},
        equations,
    )
    declared = reader.declare(outside or {})
    body, complete = reader.system(equations, declared)
    defined = [e.target for e in body]
    free = reader.free_sizes()
    lower = {integer(s): 1 for s in free if s not in integers.split()}
    lower |= {integer(s): bound for s, bound in (at_least or {}).items()}
    definition = Definition(
        name=name,
        tensors=tuple(complete.values()),
        inputs=tuple(t for t in complete if t not in defined),
        outputs=tuple(outputs) or (defined[-1],),
        sizes=tuple(map(integer, free)),
        lower=tuple(sorted(lower.items(), key=lambda item: str(item[0]))),
        derived=tuple((integer(s), reader.polynomial(text)) for s, text in (sizes or {}).items()),
        requires=tuple(
            Requirement(reader.condition(text), words) for text, words in (requires or {}).items()
        ),
        scalars=tuple((scalars or {}).items()),
        equations=tuple(body),
        optional=tuple((t, sp.Integer(v)) for t, v in (optional or {}).items()),
        constant=tuple(constant),
        subscripts=tuple((t, tuple(text.split())) for t, text in (subscripts or {}).items()),
        names=tuple((names or {}).items()),
        doc=doc.strip(),
    )
    return check(definition)


def _check_types(
    texts: Mapping[str, object], mappings: Mapping[str, object], lists: Mapping[str, object]
) -> None:
    """Errors: DefinitionError names the argument of `operator` that is of another type."""
    who = texts["name"]

    def fail(argument: str, value: object, expected: str) -> NoReturn:
        raise DefinitionError(f"{who}: {argument} is {value!r}, expected {expected}")

    for argument, value in texts.items():
        if not isinstance(value, str):
            fail(argument, value, "a text")
    for line in str(texts["doc"]).split("\n"):  # it becomes comments in the kernels
        if not line.replace("\t", " ").isprintable() or line.rstrip().endswith(("\\", "??/")):
            fail("doc", line, "lines of printable text without a backslash at the end")
    for argument, value in mappings.items():
        if value is None and argument != "tensors":
            continue
        if not isinstance(value, Mapping):
            fail(argument, value, "a mapping from names to texts")
        for key, text in value.items():
            if not isinstance(key, str) or not isinstance(text, str):
                fail(f"{argument}[{key!r}]", text, 'a text, such as "N, K"')
    for argument, value in lists.items():
        listed = isinstance(value, Sequence) and not isinstance(value, str)
        if not listed or not all(isinstance(n, str) for n in list(value)):  # type: ignore[call-overload]
            fail(argument, value, "a tuple of names")


def _check_numbers(who: str, mappings: Mapping[str, object]) -> None:
    """Errors: DefinitionError names the argument of `operator` that is no mapping to integers."""
    for argument, value in mappings.items():
        if value is None:
            continue
        if not isinstance(value, Mapping):
            raise DefinitionError(f"{who}: {argument} is {value!r}, expected names and integers")
        for key, number in value.items():
            if not isinstance(key, str) or type(number) is not int:
                what = f"{argument}[{key!r}] is {number!r}"
                raise DefinitionError(f"{who}: {what}, expected an integer")


def scalar_symbol(name: str, dtype: str) -> sp.Symbol:
    """The symbol of a scalar argument: real, or an unsigned integer."""
    return real(name) if dtype == "real" else integer(name)
