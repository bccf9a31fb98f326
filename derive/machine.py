"""A definition with numbers for all its symbols: what `interpret` evaluates expressions on.

Every expression is computed at a set of index tuples (`Points`) at once, by NumPy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import sympy as sp

from gradproof.derive.adjoint import PREFIX, Occurrence
from gradproof.derive.arithmetic import FUNCTIONS, Array, Integers, Numbers, numbers_of
from gradproof.derive.errors import DefinitionError
from gradproof.derive.expr import (
    Divides,
    Guard,
    IsZero,
    NonNeg,
    Philox,
    Quo,
    Read,
    Reduce,
    Rem,
    cases,
    reads,
)
from gradproof.derive.language import Definition
from gradproof.derive.philox import philox4x32

LIMIT = 2**26  # index tuples of one sum; more would not fit in memory
RELATIONS: dict[Any, Any] = {
    sp.Ge: np.greater_equal,
    sp.Gt: np.greater,
    sp.Le: np.less_equal,
    sp.Lt: np.less,
    sp.Eq: np.equal,
    sp.Ne: np.not_equal,
}
Operands = Mapping[str, Any]
Sizes = Mapping[str, int]
Bound = Iterable[tuple[sp.Symbol, sp.Expr]]


@dataclass(frozen=True)
class Points:
    """Some index tuples: for every index its value at each of them."""

    count: int
    values: Mapping[sp.Symbol, Array]

    def where(self, keep: Array) -> Points:
        """Some of the points."""
        return Points(int(keep.sum()), {i: a[keep] for i, a in self.values.items()})


@dataclass
class Machine:
    """A definition with numbers for all its symbols."""

    definition: Definition
    sizes: dict[sp.Symbol, int]
    tensors: dict[str, Array]
    scalars: dict[str, Any]
    numbers: Numbers
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @staticmethod
    def sized(d: Definition, sizes: Sizes) -> Machine:
        """Sizes and shapes alone, checked. Errors: see `evaluate`."""
        missing = [str(s) for s in d.sizes if str(s) not in sizes]
        if missing:
            raise DefinitionError(f"{d.name}: no value for {', '.join(missing)}")
        machine = Machine(d, {s: int(sizes[str(s)]) for s in d.sizes}, {}, {}, Integers())
        machine._bind_sizes()
        return machine

    @staticmethod
    def of(
        d: Definition,
        sizes: Sizes,
        tensors: Operands,
        scalars: Mapping[str, Any],
        others: list[Any] | None = None,
    ) -> Machine:
        """Check the operands and convert them to one kind of number. Errors: see `evaluate`."""
        missing = [n for n in d.inputs if n not in tensors]
        missing += [n for n, _ in d.scalars if n not in scalars]
        if missing:
            raise DefinitionError(f"{d.name}: no value for {', '.join(missing)}")
        machine = Machine.sized(d, sizes)
        given = {n: np.asarray(tensors[n]) for n in d.inputs}
        reals = [a for n, a in given.items() if d.tensor(n).dtype == "real"]
        numbers = numbers_of([*reals, *map(np.asarray, others or [])])
        machine.numbers = numbers
        machine.scalars = {n: numbers.element(x) for n, x in scalars.items()}
        machine.scalars |= {n: int(scalars[n]) for n, t in d.scalars if t == "uint"}
        for name, a in given.items():
            real = d.tensor(name).dtype == "real"
            machine._store(name, numbers.array(a) if real else a.astype(np.int64))
        return machine

    def _bind_sizes(self) -> None:
        d, nowhere = self.definition, Points(1, {})
        for s, bound in d.lower:
            if s in self.sizes and self.sizes[s] < bound:
                raise DefinitionError(f"{d.name}: {s} is {self.sizes[s]}, at least {bound}")
        for r in d.requires:
            if not self.holds(r.guard, nowhere).all():
                raise DefinitionError(f"{d.name}: {r.message}")
        for s, e in d.derived:
            self.sizes[s] = self.extent(e)
        self.shapes = {t.name: tuple(map(self.extent, t.shape)) for t in d.tensors}

    def _store(self, name: str, a: Array) -> None:
        if a.shape != self.shapes[name]:
            raise DefinitionError(
                f"{self.definition.name}: {name} has shape {a.shape}, expected {self.shapes[name]}"
            )
        self.tensors[name] = a

    # -- equations ------------------------------------------------------------------------------
    def grid(self, target: str) -> Points:
        """All index tuples of the equation that defines `target`, in row-major order."""
        shape = self.shapes[target]
        count = int(np.prod(shape))
        places = np.unravel_index(np.arange(count), shape) if shape else ()
        return Points(
            count, dict(zip(self.definition.equation(target).indices, places, strict=True))
        )

    def equation(self, target: str) -> Array:
        """Compute a tensor and keep it."""
        body, at = self.definition.equation(target).body, self.grid(target)
        whole = self.definition.tensor(target).dtype == "int"
        flat = self.integer(body, at) if whole else self.value(body, at)
        self._store(target, np.broadcast_to(flat, (at.count,)).reshape(self.shapes[target]).copy())
        return self.tensors[target]

    def cotangent(self, name: str, given: Any) -> None:
        """Start the gradient of a tensor, at 0 or at the cotangent that is given."""
        shape = self.shapes[name]
        start = self.numbers.zeros(shape) if given is None else self.numbers.array(given).copy()
        self.shapes[PREFIX + name] = shape
        tensor = replace(self.definition.tensor(name), name=PREFIX + name, outside="forbidden")
        d = self.definition
        self.definition = replace(d, tensors=(*d.tensors, tensor))
        self._store(PREFIX + name, start)

    def scatter(self, operand: str, o: Occurrence) -> None:
        """gradient[subscripts] += cotangent * slope, for all index tuples around an occurrence."""
        target = o.equation.target
        _, at = self.inside(o.bound, o.guards, self.grid(target))
        places = [np.broadcast_to(self.integer(s, at), (at.count,)) for s in o.read.subscripts]
        slope = self.value(Read(PREFIX + target, *o.equation.indices) * o.slope, at)
        slope = np.broadcast_to(slope, (at.count,))
        inside = self._within(o.read, places, (at.count,))
        into = self.tensors[PREFIX + operand]
        where = tuple(p[inside] for p in places) or (np.zeros(int(inside.sum()), np.int64),)
        self.numbers.accumulate(into.reshape(1) if not into.shape else into, where, slope[inside])

    # -- expressions ----------------------------------------------------------------------------
    def extent(self, e: sp.Expr) -> int:
        """A size expression's value."""
        return int(self.integer(e, Points(1, {}))[0])

    def integer(self, e: sp.Expr, at: Points) -> Array:
        """An integer expression at the points, as int64; shape (count,) or (1,)."""
        if e.is_Integer:
            return np.array([int(e)])
        if e.is_Symbol:
            return at.values[e] if e in at.values else np.array([self._whole(e)])
        if isinstance(e, Read):
            return self.read(e, at)
        if isinstance(e, Reduce):
            return self.reduce(e, at)
        args = [self.integer(a, at) for a in e.args]
        if isinstance(e, Quo | Rem):
            if args[1].min() < 1:
                raise DefinitionError(f"the divisor of {e} is {args[1].min()}")
            return args[0] // args[1] if isinstance(e, Quo) else args[0] % args[1]
        if isinstance(e, Philox):
            rows = np.broadcast_arrays(*args)
            keys = zip(*(r.tolist() for r in rows), strict=True)
            return np.array([philox4x32((c0, c1, 0, 0), (k0, k1))[0] for k0, k1, c0, c1 in keys])
        if e.is_Add or e.is_Mul:
            return Integers().add(args) if e.is_Add else Integers().multiply(args)
        if e.is_Pow:
            return Integers().power(args[0], e.exp)
        raise DefinitionError(f"no integer value for {e!r}")

    def value(self, e: sp.Expr, at: Points) -> Array:
        """A real expression at the points; shape (count,) or (1,)."""
        numbers = self.numbers
        if e is sp.pi:  # erf brings it in; 38 digits are more than any kind here keeps
            return self.numbers.constant(31415926535897932384626433832795028842, 10**37)
        if e.is_Rational:
            return numbers.constant(int(e.p), int(e.q))
        if e.is_Symbol and str(e) in self.scalars and not e.is_integer:
            return numbers.array([self.scalars[str(e)]])
        if e.is_Symbol or isinstance(e, Quo | Rem | Philox):
            return numbers.array(self.integer(e, at))
        if isinstance(e, Read):
            real = self.definition.tensor(e.tensor).dtype == "real"
            return self.read(e, at) if real else numbers.array(self.read(e, at))
        if isinstance(e, Reduce):
            found = self.reduce(e, at)
            return numbers.array(found) if e.kind == "argmax" else found
        if isinstance(e, sp.Piecewise):
            return self._cases(e, at)
        if e.is_Pow and e.exp.is_Rational:
            return numbers.power(self.value(e.base, at), e.exp)
        args = [self.value(a, at) for a in e.args]
        if e.is_Add or e.is_Mul:
            return numbers.add(args) if e.is_Add else numbers.multiply(args)
        if e.func in FUNCTIONS:
            return numbers.function(FUNCTIONS[e.func], args[0])
        raise DefinitionError(f"no value for {e!r}")

    def _whole(self, s: sp.Symbol) -> int:
        if s in self.sizes:
            return self.sizes[s]
        if str(s) in self.scalars:
            return int(self.scalars[str(s)])
        raise DefinitionError(f"{self.definition.name}: nothing gives {s} a value")

    def _cases(self, e: sp.Piecewise, at: Points) -> Array:
        *first, (last, _) = cases(e)
        out = self.value(last, at)
        for value, conditions in reversed(first):
            sides = [(c.func, [self.value(a, at) for a in c.args]) for c in conditions]
            holds = np.logical_and.reduce([RELATIONS[f](*values) for f, values in sides])
            out = np.where(holds, self.value(value, at), out)
        return np.asarray(out)

    def holds(self, g: Guard, at: Points) -> Array:
        """Where a guard holds."""
        match g:
            case NonNeg(args=(p,)):
                return self.integer(p, at) >= 0
            case IsZero(args=(p,)):
                return self.integer(p, at) == 0
            case Divides(args=(c, p)):
                return self.integer(p, at) % self.integer(c, at) == 0
        raise DefinitionError(f"no condition {g!r}")

    # -- reads and reductions -------------------------------------------------------------------
    def read(self, e: Read, at: Points) -> Array:
        """The elements that are read; 0 outside a tensor that says so."""
        a = self.tensors[e.tensor]
        if not e.subscripts:
            return a.reshape(1)
        places = np.broadcast_arrays(*[self.integer(s, at) for s in e.subscripts])
        inside = self._within(e, places, places[0].shape)
        if inside.all():
            return a[tuple(places)]
        if self.definition.tensor(e.tensor).outside == "skip":
            raise DefinitionError(f"{self.definition.name}: {e} lies outside, not in a maximum")
        out = self.numbers.zeros(inside.shape)
        out[inside] = a[tuple(p[inside] for p in places)]
        return out

    def _within(self, e: Read, places: Iterable[Array], shape: tuple[int, ...]) -> Array:
        """Where a read is inside its tensor. Errors: DefinitionError where it must not leave it."""
        inside = np.ones(shape, bool)
        for p, extent in zip(places, self.shapes[e.tensor], strict=True):
            inside &= (p >= 0) & (p < extent)
        if self.definition.tensor(e.tensor).outside == "forbidden" and not inside.all():
            raise DefinitionError(
                f"{self.definition.name}: {e} leaves the shape {self.shapes[e.tensor]}"
            )
        return inside

    def inside(
        self, bound: Bound, guards: Iterable[Guard], at: Points
    ) -> tuple[tuple[Array, ...], Points]:
        """The points times all values of `bound` where `guards` hold, in row-major order.

        Returns for each the number of the point it came from and its bound values, and the points.
        """
        extents = [(i, self.extent(n)) for i, n in bound]
        shape = (at.count, *(n for _, n in extents))
        if int(np.prod(shape, dtype=object)) > LIMIT:
            raise DefinitionError(f"{shape} index tuples: brute force takes at most {LIMIT}")
        axes = np.ogrid[tuple(slice(n) for n in shape)]
        flat = (-1, *[1] * len(extents))
        spread = {i: a.reshape(flat) for i, a in at.values.items()}
        spread |= {i: axis for (i, _), axis in zip(extents, axes[1:], strict=True)}
        mask = np.ones(shape, bool)
        guards = tuple(guards)
        for g in guards:
            if not g.has(Read):
                mask &= self.holds(g, Points(at.count, spread))
        found = np.nonzero(mask)
        values = {i: a[found[0]] for i, a in at.values.items()}
        values |= {i: place for (i, _), place in zip(extents, found[1:], strict=True)}
        inner = Points(len(found[0]), values)
        for g in guards:  # what a guard reads exists only where the other guards hold
            if g.has(Read):
                keep = np.broadcast_to(self.holds(g, inner), (inner.count,))
                found, inner = tuple(f[keep] for f in found), inner.where(keep)
        return found, inner

    def reduce(self, r: Reduce, at: Points) -> Array:
        """A sum, a maximum or the position of the first maximum, for each point."""
        found, inner = self.inside(r.indices, r.guards, at)
        if r.kind != "sum":
            found, inner = self._skip(r, found, inner)
        values = np.broadcast_to(self.value(r.body, inner), (inner.count,))
        if r.kind == "sum":
            out = self.numbers.zeros((at.count,))
            self.numbers.accumulate(out, (found[0],), values)
            return out
        shape = tuple(self.extent(n) for _, n in r.indices)
        positions = np.ravel_multi_index(found[1:], shape)
        best, place = first_maximum(at.count, found[0], positions, values)
        if r.kind == "argmax":
            return place
        if (place < 0).any():
            lowest = self.numbers.lowest()
            best = [b if p >= 0 else lowest for b, p in zip(best, place, strict=True)]
        return self.numbers.array(np.array(best, self.numbers.dtype))

    def _skip(
        self, r: Reduce, found: tuple[Array, ...], at: Points
    ) -> tuple[tuple[Array, ...], Points]:
        """Without the points that lie outside a tensor that a maximum skips."""
        keep = np.ones(at.count, bool)
        for e in reads(r.body):
            if self.definition.tensor(e.tensor).outside == "skip":
                keep &= self._within(e, [self.integer(s, at) for s in e.subscripts], (at.count,))
        return tuple(f[keep] for f in found), at.where(keep)


def first_maximum(
    count: int, points: Array, positions: Array, values: Array
) -> tuple[list[Any], Array]:
    """For each point the maximum and its first position (-1 if none); the first NaN is a maximum.

    >>> first_maximum(2, np.array([0, 0, 0]), np.array([0, 1, 2]), np.array([3, 7, 7]))
    ([7, None], array([ 1, -1]))
    """
    best: list[Any] = [None] * count
    place = np.full(count, -1)
    for p, position, v in zip(points.tolist(), positions.tolist(), values.tolist(), strict=True):
        is_first_nan = v != v and best[p] == best[p]
        if place[p] < 0 or v > best[p] or is_first_nan:
            best[p], place[p] = v, position
    return best, place
