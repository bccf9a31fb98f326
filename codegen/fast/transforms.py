"""Products with constant matrices as text, with shared sums and differences.

A transform of points that come in pairs ± a has rows (or columns) in pairs e + o, e - o. `shared`
finds the pairs in the matrix itself. What it returns is again exact: `Sums.matrix` multiplies it
out, and `shared` does so before it returns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from itertools import combinations

from gradproof.codegen.fast.affine import Affine
from gradproof.derive.errors import DefinitionError
from gradproof.derive.winograd import INFINITY, Matrix, Point, Transform, cook_toom, default_points
from gradproof.derive.winograd import identity as prove
from gradproof.derive.winograd_strided import Strided, spread, strided
from gradproof.derive.winograd_strided import identity as prove_strided

Row = dict[str, Fraction]  # source -> coefficient; no zeros
Index = tuple[Affine, ...]  # constants and loop variables

# Pairs ± a share half of their work. These have the least average error among eighths, and less
# than the default points, which come in no pairs; tests/test_fast_winograd.py compares them.
_PAIRED = {6: (Fraction(5, 8), Fraction(3, 2))}
_EXACT = 2**24  # integers up to here are float32 numbers


@dataclass(frozen=True)
class Sums:
    """Named sums in order, then the outputs: rows over sources and names."""

    steps: tuple[tuple[str, Row], ...]
    outputs: tuple[Row, ...]

    def matrix(self, sources: Sequence[str]) -> Matrix:
        """The matrix that this computes, multiplied out."""
        known: dict[str, Row] = {s: {s: Fraction(1)} for s in sources}
        for name, row in self.steps:
            known[name] = _expanded(row, known)
        rows = [_expanded(row, known) for row in self.outputs]
        return tuple(tuple(row.get(s, Fraction(0)) for s in sources) for row in rows)


def paired_points(n: int) -> tuple[Point, ...]:
    """n points, infinity included: in pairs ± a where such a set has less error.

    >>> [str(p) for p in paired_points(6)]
    ['0', '5/8', '-5/8', '3/2', '-3/2', 'infinity']
    """
    if n not in _PAIRED:
        return default_points(n)
    return (Fraction(0), *(s * p for p in _PAIRED[n] for s in (1, -1)), INFINITY)


def transform_for(m: int, r: int, points: Sequence[Point] | None = None) -> Transform:
    """F(m, r), proved: the last entry of each column of B is 1, and G carries the factors.

    >>> [str(row[1]) for row in transform_for(2, 3).B]
    ['0', '1', '1', '0']
    """
    t = cook_toom(m, r, points or paired_points(m + r - 1))
    factors = [[v for v in column if v][-1] for column in zip(*t.B, strict=True)]
    t = replace(
        t,
        G=tuple(tuple(v * f for v in row) for row, f in zip(t.G, factors, strict=True)),
        B=tuple(tuple(v / f for v, f in zip(row, factors, strict=True)) for row in t.B),
    )
    prove(t)
    return t


@cache
def strided_for(m: int, r: int, stride: int) -> Strided:
    """The transform of a convolution with a stride, proved."""
    t = strided(m, r, stride, transform_for)
    prove_strided(t)
    return t


@cache
def spread_for(m: int, r: int, stride: int, shift: int) -> Strided:
    """That of its gradient."""
    t = spread(m, r, stride, shift, transform_for)
    prove_strided(t)
    return t


def transposed(matrix: Matrix) -> Matrix:
    """Rows as columns."""
    return tuple(zip(*matrix, strict=True))


def operations(matrix: Matrix) -> int:
    """Additions and multiply-adds of a product with a matrix, its shared sums counted once.

    >>> operations(transform_for(2, 3).G)
    4
    """
    found = _shared(matrix)
    return sum(len(row) for _, row in found.steps) + sum(len(row) - 1 for row in found.outputs)


# -- shared sums -------------------------------------------------------------------------------
def shared(matrix: Matrix, sources: Sequence[str], stem: str) -> Sums:
    """The product with a matrix, with sums that several rows need computed once.

    >>> half = Fraction(1, 2)
    >>> s = shared(((half, half), (half, -half), (half, half)), ["x", "y"], "s")
    >>> statements(s, ["a", "b", "c"])[0]
    'const REALV s0 = x + y;'
    """
    found = _shared(matrix)
    names = {f"x{k}": source for k, source in enumerate(sources)}
    names |= {name: stem + name.removeprefix("s") for name, _ in found.steps}

    def named(row: Row) -> Row:
        return {names[s]: v for s, v in row.items()}

    steps = tuple((names[name], named(row)) for name, row in found.steps)
    return Sums(steps, tuple(map(named, found.outputs)))


@cache
def _shared(matrix: Matrix) -> Sums:
    """The same for sources x0, x1, ... and sums s0, s1, ...: found and checked once."""
    sources = [f"x{k}" for k in range(len(matrix[0]))]
    rows = [{s: v for s, v in zip(sources, row, strict=True) if v} for row in matrix]
    steps: list[tuple[str, Row]] = []
    _pair_columns(rows, sources, steps)
    if not steps:
        _pair_rows(rows, steps)
    found = Sums(tuple(steps), tuple(rows))
    if found.matrix(sources) != tuple(tuple(row) for row in matrix):
        raise DefinitionError(f"{matrix}: the shared sums are not the matrix")
    return found


def _pair_columns(rows: list[Row], sources: Sequence[str], steps: list[tuple[str, Row]]) -> None:
    """x and y that have the same factor in every row, but for its sign: x + y and x - y."""
    free = list(sources)
    for x, y in combinations(sources, 2):
        same = [r for r in rows if x in r and r[x] == r.get(y)]
        other = [r for r in rows if x in r and r[x] == -r.get(y, Fraction(0))]
        mentioned = sum(x in r or y in r for r in rows)
        saved = len(same) + len(other) - bool(same) - bool(other)
        if {x, y} - set(free) or mentioned != len(same) + len(other) or saved <= 0:
            continue
        free.remove(x)
        free.remove(y)
        for users, sign in ((same, 1), (other, -1)):
            if users:
                name = f"s{len(steps)}"
                steps.append((name, {x: Fraction(1), y: Fraction(sign)}))
                for r in users:
                    r[name] = r.pop(x)
                    del r[y]


def _pair_rows(rows: list[Row], steps: list[tuple[str, Row]]) -> None:
    """Rows e + o and e - o, where that takes fewer operations."""
    done: set[int] = set()
    for p, q in combinations(range(len(rows)), 2):
        first, second = rows[p], rows[q]
        sources = list(dict.fromkeys((*first, *second)))
        halves = [
            {
                s: (first.get(s, Fraction(0)) + sign * second.get(s, Fraction(0))) / 2
                for s in sources
            }
            for sign in (1, -1)
        ]
        even, odd = ({s: v for s, v in half.items() if v} for half in halves)
        saved = len(first) + len(second) - 2 - len(even) - len(odd)
        if {p, q} & done or not even or not odd or saved <= 0:
            continue
        done |= {p, q}
        parts = [_named(half, steps) for half in (even, odd)]
        rows[p] = {**parts[0], **parts[1]}
        rows[q] = {**parts[0], **{s: -v for s, v in parts[1].items()}}


def _named(row: Row, steps: list[tuple[str, Row]]) -> Row:
    """A sum under a name, divided by the factor that leaves most coefficients ± 1."""
    if len(row) == 1:
        return row
    counts = Counter(abs(v) for v in row.values())
    factor = max(counts, key=lambda v: (counts[v], _binary(row, v)))
    if factor.denominator & (factor.denominator - 1):
        factor = Fraction(1)  # a rounded factor would round twice what the sum has multiplied
    name = f"s{len(steps)}"
    steps.append((name, {s: v / factor for s, v in row.items()}))
    return {name: factor}


def _binary(row: Row, factor: Fraction) -> int:
    """How many coefficients over `factor` are exact in binary."""
    denominators = [(v / factor).denominator for v in row.values()]
    return sum(d & (d - 1) == 0 for d in denominators)


def _expanded(row: Row, known: dict[str, Row]) -> Row:
    out: Row = {}
    for name, factor in row.items():
        for s, v in known[name].items():
            out[s] = out.get(s, Fraction(0)) + factor * v
    return out


# -- text --------------------------------------------------------------------------------------
def statements(sums: Sums, names: Sequence[str], ctype: str = "REALV") -> list[str]:
    """The sums and the outputs as declarations."""
    lines = [f"const {ctype} {name} = {_linear(row)};" for name, row in sums.steps]
    outputs = zip(names, sums.outputs, strict=True)
    return lines + [f"const {ctype} {name} = {_linear(row)};" for name, row in outputs]


def _linear(row: Row) -> str:
    text = ""
    for source, v in sorted(row.items(), key=lambda item: item[1] < 0):
        sign = (" - " if v < 0 else " + ") if text else ("-" if v < 0 else "")
        text += sign + (source if abs(v) == 1 else f"{number(abs(v))} * {source}")
    return text or "0"


def number(v: Fraction) -> str:
    """A rational as a constant that is rounded once."""
    if max(abs(v.numerator), v.denominator) > _EXACT:
        raise DefinitionError(f"{v} is no quotient of two exact numbers")
    one = f"(REAL){v.numerator}"
    return one if v.denominator == 1 else f"({one} / {v.denominator})"


def separable(
    matrices: Sequence[Matrix],
    load: Callable[[Index], str],
    store: Callable[[Index, str], list[str]],
    stem: str,
    ctype: str = "REALV",
    ends: Mapping[int, str] | None = None,
) -> list[str]:
    """One matrix along each axis: every input is loaded once, every output is handed to `store`
    (its index and its name) as soon as it is known.

    Along its axis a matrix is unrolled; the other axes are loops, which the compiler must not
    unroll: it would take six times as long, for values that fit no registers in any case. ends:
    where the loop over an axis ends early at the last matrix.
    """
    extents = [len(matrix[0]) for matrix in matrices]
    final = len(matrices) - 1
    lines: list[str] = []
    for axis, matrix in enumerate(matrices):
        others = {a: f"{stem}{axis}_at{a}" for a in range(len(extents)) if a != axis}
        at = [Affine.of(others[a]) if a in others else Affine() for a in range(len(extents))]
        sources = [f"{stem}{axis}_in{k}" for k in range(extents[axis])]
        names = [f"{stem}{axis}_{k}" for k in range(len(matrix))]
        body = []
        for k, name in enumerate(sources):
            index = _with(at, axis, k)
            value = load(index) if axis == 0 else _element(f"{stem}{axis - 1}", index)
            body.append(f"const {ctype} {name} = {value};")
        part = shared(matrix, sources, f"{stem}{axis}_part")
        body += statements(part, names, ctype)
        stops = {a: str(extents[a]) for a in others} | (dict(ends or {}) if axis == final else {})
        extents[axis] = len(matrix)
        if axis < final:
            lines.append(f"{ctype} {stem}{axis}{''.join(f'[{n}]' for n in extents)};")
        for k, name in enumerate(names):
            index = _with(at, axis, k)
            last = [f"{_element(f'{stem}{axis}', index)} = {name};"]
            body += store(index, name) if axis == final else last
        for a, v in reversed(others.items()):
            body = ["#pragma nounroll", *loop(v, stops[a], body)]
        lines += body
    return lines


def loop(variable: str, end: str, body: Sequence[str]) -> list[str]:
    """The lines of a loop from 0."""
    head = f"for (int {variable} = 0; {variable} < {end}; {variable}++) {{"
    return [head, *(f"    {x}" for x in body), "}"]


def _with(at: Sequence[Affine], axis: int, k: int) -> Index:
    return (*at[:axis], Affine(k), *at[axis + 1 :])


def _element(array: str, index: Index) -> str:
    return array + "".join(f"[{i}]" for i in index)
