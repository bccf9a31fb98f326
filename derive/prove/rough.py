"""Bounds of a kernel's integers from its text alone: loose, but for every text that parses.

Each integer that the text computes is bounded by a polynomial in the sizes, operation by
operation, from the bounds of its operands. Nothing has to be shown for this: an index is below its
loop's extent, a remainder below its divisor, a difference is at most the sum of what it is of.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from gradproof.derive.checker import (
    HELPERS,
    Poly,
    Refused,
    System,
    Text,
    add,
    const,
    freeze,
    mul,
    order,
    outer_reductions,
    sub,
    substitute,
    symbols,
    var,
)

COMPUTED = ("+", "-", "*")  # what may leave 32 bits


def rough_limits(record: Any, text: Any) -> list[Poly]:
    """Polynomials in the sizes: while they are below 2^31, so is every integer of a kernel.

    record: the definition; text: the kernel, as `checker.Source` gives it. Errors: Refused where
    the text computes with an element that may be any number.

    >>> from gradproof.derive.checker import Source, show
    >>> record = {"sizes": ["N"], "lower": {"N": 1}, "derived": {}, "scalars": {}, "tensors": {}}
    >>> kernel = "{ const int N = SIZE_N; for (int i = 0; i < N; i++) { const int j = 2*i - N; } }"
    >>> text = next(Source("f.cl", "__kernel void f(const int sizes) " + kernel).kernels())
    >>> [show(p) for p in rough_limits(record, text)]
    ['2*N - 2', '3*N - 2']
    """
    return _Bounds(record, text).limits()


class _Bounds:
    """The integer names of one kernel, and bounds of their absolute values."""

    def __init__(self, record: Any, text: Any) -> None:
        self.record, self.body = record, text[3]
        self.tensors = {name: is_tensor and kind == "int" for name, kind, is_tensor, _ in text[2]}
        names = [*record["sizes"], *record["derived"]]
        some_sign = {*record["sizes"]} - {*record["lower"]}  # |s| <= s*s for an integer s
        self.names = {s: mul(var(s), var(s)) if s in some_sign else var(s) for s in names}
        self.names |= {f"SIZE_{s}": p for s, p in self.names.items()}
        for s, kind in record["scalars"].items():
            if kind == "int":
                self.names[s] = mul(var(s), var(s))
        self.exact = {s: var(s) for s in names}
        self.found: dict[Any, Poly] = {}

    def limits(self) -> list[Poly]:
        """The bounds of all that is computed, each once."""
        self.block(self.body)
        return list(self.found.values())

    def block(self, statements: Any) -> None:
        """Statements in order."""
        for s in statements:
            if s[0] == "if":
                self.condition(s[2])
                self.block(s[3])
            elif s[0] == "for":
                self.names[s[2]] = self.below(self.bound(s[3]))
                self.block(s[4])
            else:
                self.assign(s[2], s[3], s[4], s[6])

    def condition(self, e: Any) -> None:
        """A condition; `id < number` says what the work-item is below."""
        if e[0] == "<" and e[2][2:] == ("id",):
            self.names["id"] = self.below(self.bound(e[3]))
            return
        self.bound(e)

    def assign(self, name: str, value: Any, kind: str, index: Any) -> None:
        """A declaration, an update or the store."""
        if value[2:3] == ("get_global_id",):
            return
        bound = self.bound(value)
        if index is not None:
            self.bound(index)
        elif kind == "int" and bound is not None:
            self.names[name] = bound
        elif not kind and name in self.names and bound is not None:  # a position: -1, or this
            self.names[name] = add(self.names[name], bound)

    @staticmethod
    def below(extent: Poly | None) -> Poly:
        """What is below an extent is at most this, wherever there is such a thing."""
        if extent is None:
            raise Refused("an extent is no integer")
        return sub(extent, const(1))

    def bound(self, e: Any) -> Poly | None:
        """A bound of an integer's absolute value; None for what is no integer of 32 bits."""
        kind, where, *rest = e
        match kind:
            case "number":
                return const(rest[0])
            case "name":
                return self.names.get(rest[0])
            case "element":
                return self.element(where, *rest)
            case "call":
                bounds = [self.bound(a) for a in rest[1]]
                if rest[0] not in HELPERS or rest[0] == "philox4x32" or None in bounds:
                    return None
                return self.quotient(rest[0], *rest[1])
            case "/" | "%":
                integers = [self.bound(a) is not None for a in rest]
                return self.quotient(kind, *rest) if all(integers) else None
        parts = [self.bound(r) for r in rest if isinstance(r, tuple)]
        if kind == "neg":
            return parts[0]
        if kind not in COMPUTED or None in parts:
            return None
        a, b = (p for p in parts if p is not None)
        value = mul(a, b) if kind == "*" else add(a, b)
        self.found[freeze(value)] = value
        return value

    def quotient(self, kind: str, a: Any, b: Any) -> Poly | None:
        """Of a // b and a % b, for b >= 1: with |a| < b*q, a // b is -q at least, and below q."""
        above, below, divisor = self.bound(a), self.bound(b), self.value(b)
        if above is None or below is None:
            return None
        if kind in ("%", "floor_mod"):
            return sub(below, const(1))
        whole = multiple(add(above, const(1)), divisor)
        if whole is None:
            return above
        return whole if kind == "floor_div" else sub(whole, const(1))

    def value(self, e: Any) -> Poly:
        """The value of an expression of sizes; 0 for any other."""
        kind, _, *rest = e
        if kind == "number":
            return const(rest[0])
        if kind == "name":
            return self.exact.get(rest[0], {})
        if kind not in COMPUTED:
            return {}
        a, b = map(self.value, rest)
        if not a or not b:
            return {}
        return mul(a, b) if kind == "*" else add(a, b) if kind == "+" else sub(a, b)

    def element(self, where: str, name: str, address: Any) -> Poly | None:
        """A label is below the number of labels, a position below that of the places."""
        self.bound(address)
        if not self.tensors.get(name):
            return None
        entry = self.record["tensors"][name]
        if "values" in entry:
            return self.below(self.sizes(Text({}).value(entry["values"])))
        for a in outer_reductions(System(self.record).equations.get(name, ([], {}))[1]):
            if a[0] == "argmax":
                return self.below(self.sizes(mul(*(dict(e) for _, e in a[1]))))
        raise Refused(f"{where}: {name} may hold any number")

    def sizes(self, p: Poly) -> Poly:
        """A bound of a number of places: no term of it is taken off."""
        kept = {m: abs(c) for m, c in p.items()}
        return substitute(kept, {s: self.names[s] for s in self.exact})


def multiple(p: Poly, divisor: Poly) -> Poly | None:
    """q where p = q * divisor, by long division; None where there is no such q of integers.

    >>> n, m = var("N"), var("M")
    >>> multiple(sub(mul(n, n), mul(m, m)), add(n, m)) == sub(n, m)
    True
    """
    names = sorted(symbols(p) | symbols(divisor))

    def lead(q: Poly) -> tuple[Any, ...]:
        return max(q, key=lambda m: [m.count(s) for s in names])

    q: Poly = {}
    while p and divisor:
        m, n = lead(p), lead(divisor)
        if Counter(n) - Counter(m) or p[m] % divisor[n]:
            return None
        left = (Counter(m) - Counter(n)).elements()
        term = {tuple(sorted(left, key=order)): p[m] // divisor[n]}
        q, p = add(q, term), sub(p, mul(term, divisor))
    return q if divisor else None
