"""Affine integer expressions over loop variables: c + k1*v1 + k2*v2 + ..., all numbers known."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Affine:
    """`const` + the sum of coefficient * loop; `terms` is sorted and has no zero coefficient.

    >>> x = Affine.of("x") * 2 + Affine(1)
    >>> str(x), x.coefficient("x"), x.limits({"x": 3})
    ('2*x + 1', 2, (1, 5))
    """

    const: int = 0
    terms: tuple[tuple[str, int], ...] = ()

    @classmethod
    def of(cls, loop: str) -> Affine:
        """The loop variable itself."""
        return cls(0, ((loop, 1),))

    @classmethod
    def make(cls, const: int, terms: Mapping[str, int]) -> Affine:
        """From a mapping, which may have zeros."""
        return cls(const, tuple(sorted((v, k) for v, k in terms.items() if k)))

    def coefficient(self, loop: str) -> int:
        """The factor of `loop`, 0 where it does not occur."""
        return dict(self.terms).get(loop, 0)

    @property
    def loops(self) -> frozenset[str]:
        """The loop variables that occur."""
        return frozenset(v for v, _ in self.terms)

    @property
    def plain(self) -> str | None:
        """The loop that this expression is, or None where it is anything else."""
        return self.terms[0][0] if not self.const and [k for _, k in self.terms] == [1] else None

    def __add__(self, other: Affine) -> Affine:
        terms = dict(self.terms)
        for v, k in other.terms:
            terms[v] = terms.get(v, 0) + k
        return Affine.make(self.const + other.const, terms)

    def __sub__(self, other: Affine) -> Affine:
        return self + other * -1

    def __mul__(self, factor: int) -> Affine:
        return Affine.make(self.const * factor, {v: k * factor for v, k in self.terms})

    def substitute(self, mapping: Mapping[str, Affine]) -> Affine:
        """Every loop in `mapping` replaced by its expression."""
        out = Affine(self.const)
        for v, k in self.terms:
            out = out + mapping.get(v, Affine.of(v)) * k
        return out

    def limits(self, extents: Mapping[str, int]) -> tuple[int, int]:
        """The least and the greatest value over the loops' ranges 0 .. extent-1."""
        low = high = self.const
        for v, k in self.terms:
            end = k * (extents[v] - 1)
            low, high = low + min(0, end), high + max(0, end)
        return low, high

    def only(self, loops: frozenset[str] | set[str]) -> Affine:
        """The terms in these loops, without the constant."""
        return Affine(0, tuple(t for t in self.terms if t[0] in loops))

    def without(self, loops: frozenset[str] | set[str]) -> Affine:
        """The constant and the terms in all other loops."""
        return Affine(self.const, tuple(t for t in self.terms if t[0] not in loops))

    def quotient(self, b: int, extents: Mapping[str, int]) -> Affine | None:
        """floor(self / b) where it is affine: what b does not divide stays within one multiple."""
        rest, base = self._rest(b, extents)
        if rest is None:
            return None
        divided = {v: k // b for v, k in self.terms if k % b == 0}
        return Affine.make(base, divided)

    def remainder(self, b: int, extents: Mapping[str, int]) -> Affine | None:
        """self mod b, under the same condition."""
        rest, base = self._rest(b, extents)
        return None if rest is None else rest - Affine(base * b)

    def _rest(self, b: int, extents: Mapping[str, int]) -> tuple[Affine | None, int]:
        rest = Affine(self.const, tuple((v, k) for v, k in self.terms if k % b))
        low, high = rest.limits(extents)
        return (rest, low // b) if low // b == high // b else (None, 0)

    def __str__(self) -> str:
        out = ""
        for v, k in self.terms:
            piece = v if abs(k) == 1 else f"{abs(k)}*{v}"
            out += (" - " if k < 0 else " + ") + piece if out else ("-" if k < 0 else "") + piece
        if self.const or not out:
            sign = " - " if self.const < 0 else " + "
            out = f"{out}{sign}{abs(self.const)}" if out else str(self.const)
        return out
