"""The nodes of the index language. SymPy carries the scalar algebra; these carry the indices.

A right-hand side is a SymPy expression over

- `Read`     an element of a tensor, `Y[n, c, S*x + D*i - P]`,
- `Reduce`   a sum, a maximum or the position of the first maximum over bound indices, under guards,
- `Quo`, `Rem`   quotient and remainder by a positive size, rounded towards minus infinity,
- `Philox`   the published counter-based generator, an integer in 0..2^32-1,

and index symbols, sizes and scalars. A guard is `NonNeg(p)`, `IsZero(p)` or `Divides(c, p)`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import sympy as sp
from sympy.core.symbol import Str


def integer(name: str) -> sp.Symbol:
    """An index or a size. One set of assumptions for all, so that equal names are equal symbols."""
    return sp.Symbol(name, integer=True)


def real(name: str) -> sp.Symbol:
    """A real scalar argument of an operator, such as batch norm's eps."""
    return sp.Symbol(name, real=True)


class Read(sp.Expr):
    """`Read("Y", n, x + 1)` is the element Y[n, x+1]."""

    is_commutative = True
    is_extended_real = True

    def __new__(cls, tensor: str | Str, *subscripts: Any) -> Read:
        """`tensor[subscripts]`."""
        return sp.Expr.__new__(cls, Str(str(tensor)), *map(sp.sympify, subscripts))

    @property
    def tensor(self) -> str:
        """The name of the tensor."""
        return str(self.args[0])

    @property
    def subscripts(self) -> tuple[sp.Expr, ...]:
        """One integer expression per dimension."""
        return self.args[1:]

    def _sympystr(self, printer: Any) -> str:
        return f"{self.tensor}[{', '.join(map(printer.doprint, self.subscripts))}]"


class Quo(sp.Function):
    """Floor division by a positive size: `Quo(a, b)` is the integer q with b*q <= a < b*(q+1)."""

    nargs = 2
    is_integer = True

    def _sympystr(self, printer: Any) -> str:
        return "({})//({})".format(*map(printer.doprint, self.args))

    @classmethod
    def eval(cls, a: sp.Expr, b: sp.Expr) -> sp.Expr | None:
        """Take out the multiples of b; None where there is nothing to take out."""
        whole, rest = _multiples(a, b)
        if rest == 0:
            return whole
        if rest.is_Integer and b.is_Integer:
            return whole + rest // b
        return whole + cls(rest, b) if whole != 0 else None


class Rem(sp.Function):
    """The remainder that belongs to `Quo`: `a - b*Quo(a, b)`, so 0 <= Rem(a, b) < b."""

    nargs = 2
    is_integer = True

    def _sympystr(self, printer: Any) -> str:
        return "({})%({})".format(*map(printer.doprint, self.args))

    @classmethod
    def eval(cls, a: sp.Expr, b: sp.Expr) -> sp.Expr | None:
        """Take out the multiples of b; None where there is nothing to take out."""
        whole, rest = _multiples(a, b)
        if rest == 0:
            return sp.Integer(0)
        if rest.is_Integer and b.is_Integer:
            return rest % b
        return cls(rest, b) if whole != 0 else None


def _multiples(a: sp.Expr, b: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """Split a = b*whole + rest, where `whole` collects the terms that b divides as a polynomial."""
    whole: list[sp.Expr] = []
    rest: list[sp.Expr] = []
    for term in sp.Add.make_args(sp.expand(a)):
        quotient = sp.cancel(term / b) if _plain(term) and _plain(b) else term / b
        is_polynomial = sp.denom(quotient) == 1 and quotient.is_polynomial(*quotient.free_symbols)
        (whole if is_polynomial else rest).append(quotient if is_polynomial else term)
    return sp.Add(*whole), sp.Add(*rest)


def _plain(e: sp.Expr) -> bool:
    return not e.atoms(sp.Function, Read)


class FloorQuo(sp.Function):
    """`Quo` of a numerator that may be negative; C's `/` rounds towards zero and will not do."""

    nargs = 2
    is_integer = True


class FloorRem(sp.Function):
    """`Rem` of a numerator that may be negative."""

    nargs = 2
    is_integer = True


class Philox(sp.Function):
    """Word 0 of Philox4x32-10, unsigned: `Philox(key0, key1, counter0, counter1)`.

    Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (SC 2011).
    """

    nargs = 4
    is_integer = True
    is_nonnegative = True


class Guard(sp.Basic):
    """A condition on integers under which a term of a reduction exists."""


class NonNeg(Guard):
    """p >= 0."""

    def __new__(cls, p: Any) -> NonNeg:
        """With p expanded, so that equal conditions are equal nodes."""
        return sp.Basic.__new__(cls, sp.expand(p))


class IsZero(Guard):
    """p = 0: what is left of a Kronecker delta."""

    def __new__(cls, p: Any) -> IsZero:
        """With p expanded, so that equal conditions are equal nodes."""
        return sp.Basic.__new__(cls, sp.expand(p))


class Divides(Guard):
    """c divides p, for a positive size c."""

    def __new__(cls, c: Any, p: Any) -> Divides:
        """With p expanded, so that equal conditions are equal nodes."""
        return sp.Basic.__new__(cls, sp.sympify(c), sp.expand(p))


KINDS = ("sum", "max", "argmax")


class Reduce(sp.Expr):
    """`Reduce(kind, ((i, extent), ...), guards, body)`; without indices it is `body` under guards.

    kind "max" and "argmax" declare their tie rule: the first maximum in row-major order of the
    indices wins, a NaN counts as the maximum, and "argmax" is its row-major position (-1 if none).
    """

    is_commutative = True
    is_extended_real = True
    precedence = 55  # for SymPy's printers: brackets in a power, none in a product

    def __new__(
        cls, kind: str | Str, indices: Iterable[Any], guards: Iterable[Any], body: Any
    ) -> Reduce:
        """`indices`: pairs of a symbol and its extent. Errors: ValueError for another kind."""
        if str(kind) not in KINDS:
            raise ValueError(f"a reduction is one of {KINDS}, not {kind!r}")
        pairs = sp.Tuple(*[sp.Tuple(i, e) for i, e in indices])
        return sp.Expr.__new__(cls, Str(str(kind)), pairs, sp.Tuple(*guards), sp.sympify(body))

    @property
    def kind(self) -> str:
        """Its kind: sum, max or argmax."""
        return str(self.args[0])

    @property
    def indices(self) -> tuple[tuple[sp.Symbol, sp.Expr], ...]:
        """The bound indices with their extents, outermost first."""
        return tuple((p[0], p[1]) for p in self.args[1])

    @property
    def bound(self) -> tuple[sp.Symbol, ...]:
        """The bound indices."""
        return tuple(p[0] for p in self.args[1])

    @property
    def guards(self) -> tuple[Guard, ...]:
        """The conditions under which a term exists."""
        return tuple(self.args[2])

    @property
    def body(self) -> sp.Expr:
        """One term."""
        return self.args[3]

    @property
    def free_symbols(self) -> set[sp.Symbol]:
        """All symbols but the bound indices."""
        inner = self.body.free_symbols.union(*(g.free_symbols for g in self.guards))
        extents: set[sp.Symbol] = set().union(*(e.free_symbols for _, e in self.indices))
        return (inner - set(self.bound)) | extents

    def _sympystr(self, printer: Any) -> str:
        from gradproof.derive.show import text

        return text(self)


class Inside(sp.Expr):
    """`Inside(read, guard, ...)` is the element where the guards hold and 0 elsewhere."""

    is_commutative = True
    is_extended_real = True

    def __new__(cls, read: Read, *guards: Guard) -> Inside:
        """`read` under `guards`."""
        return sp.Expr.__new__(cls, read, *guards)


def cases(e: sp.Piecewise) -> list[tuple[sp.Expr, tuple[sp.Basic, ...]]]:
    """The values of a case distinction, each with the comparisons that must all hold; the last has
    none. SymPy joins equal values by Or, and nested cases by And.

    >>> x = integer("x")
    >>> cases(sp.Piecewise((1, (x < 0) | (x > 4)), (2, True)))
    [(1, (x > 4,)), (1, (x < 0,)), (2, ())]

    Errors: TypeError where no value is left for the other cases.
    """
    found: list[tuple[sp.Expr, tuple[sp.Basic, ...]]] = []
    for value, condition in e.args:
        for part in _sorted(sp.Or.make_args(sp.to_dnf(condition))):
            found.append((value, () if part == sp.true else _sorted(sp.And.make_args(part))))
    if found[-1][1]:
        raise TypeError(f"a case distinction needs an 'otherwise': {e!r}")
    return found


def _sorted(parts: Iterable[sp.Basic]) -> tuple[sp.Basic, ...]:
    return tuple(sorted(parts, key=sp.default_sort_key))


def reads(e: sp.Basic) -> list[Read]:
    """Every distinct read in `e`, in a deterministic order."""
    return sorted(e.atoms(Read), key=sp.default_sort_key)


def reduces(e: sp.Basic) -> list[Reduce]:
    """Every distinct outermost reduction in `e`, in a deterministic order."""
    return sorted(set(_outermost(e)), key=sp.default_sort_key)


def _outermost(e: sp.Basic) -> Iterator[Reduce]:
    if isinstance(e, Reduce):
        yield e
        return
    for a in e.args:
        yield from _outermost(a)


def substitute(e: Any, mapping: Mapping[sp.Basic, sp.Basic]) -> Any:
    """Replace symbols by expressions everywhere and re-normalise quotients and guards.

    The caller keeps bound names apart from what it substitutes (see `fresh`).
    """
    return e.xreplace(dict(mapping)) if mapping else e


def fresh(name: str, taken: Iterable[str]) -> str:
    """`name`, with underscores added until it is not taken."""
    used = set(taken)
    while name in used:
        name += "_"
    return name


def linear(p: sp.Expr, v: sp.Expr) -> tuple[sp.Expr, sp.Expr] | None:
    """(c, r) with p = c*v + r and v, a symbol or a quotient, in neither; else None.

    >>> S, x, i = map(integer, "Sxi")
    >>> linear(S*x + i, x)
    (S, i)
    """
    p = sp.expand(p)
    c = p.coeff(v, 1)
    r = sp.expand(p - c * v)
    if c == 0 or v in r.free_symbols or v in c.free_symbols:
        return None
    return c, r
