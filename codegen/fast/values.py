"""C text of a nest's scalar expressions, on 16 lanes at once where some symbol is a vector.

PoCL's builtins do not compile for 16 lanes on every processor, and one lane at a time is 20 times
slower, so `exp`, `sqrt`, ... run on pieces of 256 bits: `exp_lanes(x)`, see `lanewise`. Some are
faster so for a single number, too: `exp_one(x)`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import sympy as sp

from gradproof.codegen.cprint import ATOM, FUNCTIONS, PRODUCT, QUOTIENT, RELATIONS, SUM, CPrinter
from gradproof.derive.expr import cases

EXACT_BITS = 24  # numerators and denominators that float holds exactly

LANEWISE = """\
// Builtins on pieces of 256 bits: wider ones do not compile on every processor.
#define PIECE_float float8
#define PIECE_double double4
#define PIECE JOIN(PIECE_, REAL)
#define PIECES (sizeof(REALV) / sizeof(PIECE))
#define LANEWISE(f)                                                 \\
    static inline REALV f##_lanes(REALV x)                          \\
    {                                                               \\
        union { REALV all; PIECE part[PIECES]; } v = { .all = x };  \\
        for (int k = 0; k < PIECES; k++)                            \\
            v.part[k] = f(v.part[k]);                               \\
        return v.all;                                               \\
    }
#define SINGLE(f) static inline REAL f##_one(REAL x) { return f((PIECE)(x)).s0; }
"""
PIECEWISE_FASTER = ("exp", "log", "tanh")  # 13, 28, 31 ns alone; 4, 11, 12 ns as a piece
POWER = """\
static inline REALV pow_lanes(REALV x, REALV y)
{
    union { REALV all; PIECE part[PIECES]; } v = { .all = x }, w = { .all = y };
    for (int k = 0; k < PIECES; k++)
        v.part[k] = pow(v.part[k], w.part[k]);
    return v.all;
}
"""


def lanewise(texts: Iterable[str]) -> str:
    """The helper functions that these texts call, empty where they call none."""
    calls = sorted({c for t in texts for c in re.findall(r"\b(\w+)_(lanes|one)\(", t)})
    if not calls:
        return ""
    macro = {"lanes": "LANEWISE", "one": "SINGLE"}
    defined = [POWER.rstrip() if f == "pow" else f"{macro[kind]}({f})" for f, kind in calls]
    return LANEWISE + "\n".join(defined)


def single(texts: Iterable[str]) -> str:
    """The same for a device that computes one element at a time: the builtins themselves."""
    found = sorted({f for t in texts for f in re.findall(r"\b(\w+)_one\(", t)})
    return "\n".join(f"#define {f}_one {f}" for f in found)


def value_text(
    e: sp.Expr,
    names: Mapping[str, str],
    vectors: frozenset[str],
    whole: frozenset[str] = frozenset(),
) -> str:
    """A `REAL` expression, or a `REALV` one where a symbol of `e` is in `vectors`.

    names: how a symbol is written, itself where it is absent; an atom of C. `whole`: symbols that
    are integers besides loop variables (labels, positions): `int`, or `MASKV` as vectors.
    Errors: TypeError where C has no such expression.

    >>> r0, r1 = sp.symbols("r0 r1", real=True)
    >>> value_text(r0 * r1 / 4, {"r0": "x"}, frozenset({"r1"}))
    '(REAL)0.25 * x * r1'
    >>> value_text(sp.Piecewise((0, r0 <= 0), (r0, True)), {}, frozenset({"r0"}))
    '(r0 <= (REAL)0 ? (REALV)((REAL)0) : r0)'
    """
    return _Printer(names, vectors, whole).value(sp.sympify(e))


def index_text(e: sp.Expr, names: Mapping[str, str]) -> str:
    """An integer expression, all of whose symbols are integers or vectors of them."""
    return _Printer(names, frozenset(), frozenset()).index(sp.sympify(e))


def condition_text(
    conditions: Iterable[sp.Basic],
    names: Mapping[str, str],
    vectors: frozenset[str],
    whole: frozenset[str] = frozenset(),
) -> str:
    """All of these comparisons hold: an `int`, or a `MASKV` where some symbol is a vector.

    >>> r0, c = sp.Symbol("r0", real=True), sp.Symbol("c", integer=True)
    >>> condition_text([sp.Eq(c - r0, 0)], {}, frozenset(), frozenset({"r0"}))
    'c - r0 == 0'
    """
    return _Printer(names, vectors, whole).condition(tuple(conditions))


class _Printer(CPrinter):
    def __init__(
        self, names: Mapping[str, str], vectors: frozenset[str], whole: frozenset[str]
    ) -> None:
        super().__init__(())
        self.names, self.vectors, self.integers = names, vectors, whole

    def is_vector(self, *es: sp.Basic) -> bool:
        """Whether some symbol is a vector."""
        return any(s.name in self.vectors for e in es for s in e.free_symbols)

    def condition(self, conditions: tuple[sp.Basic, ...]) -> str:
        """Comparisons joined; those of scalars are tested first, as one."""
        scalars = [self._relation(c) for c in conditions if not self.is_vector(c)]
        masks = [f"({self._relation(c)})" for c in conditions if self.is_vector(c)]
        if not masks:
            return " && ".join(scalars)
        if scalars:
            masks.insert(0, f"(MASKV)(-(MASK)({' && '.join(scalars)}))")
        return " & ".join(masks) if len(masks) > 1 else masks[0][1:-1]

    def _index(self, e: sp.Expr) -> tuple[str, int]:
        return (self._name(e), ATOM) if e.is_Symbol else super()._index(e)

    def _name(self, e: sp.Symbol) -> str:
        return self.names.get(e.name, e.name)

    def _value(self, e: sp.Expr) -> tuple[str, int]:
        if e.is_Symbol:
            text = self._name(e)
            if not (e.is_integer or e.name in self.integers):
                return text, ATOM
            if self.is_vector(e):
                return f"__builtin_convertvector({text}, REALV)", ATOM
            return f"(REAL){text}", ATOM
        if e.func in FUNCTIONS:
            function = FUNCTIONS[e.func]
            single = "_one" if function in PIECEWISE_FASTER else ""
            suffix = "_lanes" if self.is_vector(e) else single
            return f"{function}{suffix}({self.value(e.args[0])})", ATOM
        return super()._value(e)

    def _rational(self, e: sp.Rational) -> tuple[str, int]:
        if e.q == 1 or not _exact(e):
            return super()._rational(e)
        text = f"(REAL){abs(e.p) / e.q!r}"
        return (text, ATOM) if e > 0 else (f"-{text}", SUM)

    def _product(self, e: sp.Expr) -> tuple[str, int]:
        """A dyadic coefficient multiplies: it is exact, and a division is slow."""
        c, rest = e.as_coeff_Mul()
        if c.is_Integer or not _exact(c):
            return super()._product(e)
        factor, sign = self._rational(c)
        text, level = self._value(rest)
        if level < QUOTIENT:
            text, level = f"({text})", ATOM
        return f"{factor} * {text}", SUM if sign == SUM else min(level, PRODUCT)

    def _power(self, f: object) -> list[str]:
        if not isinstance(f, tuple) or not self.is_vector(f[0]):
            return super()._power(f)
        base, power = f
        if not (2 * power).is_Integer:
            return [f"pow_lanes({self.value(base)}, (REALV)({self.value(power)}))"]
        whole, half = divmod(int(2 * power), 2)
        roots = [f"sqrt_lanes({self.value(base)})"] * half
        return [self.value(base, ATOM)] * whole + roots

    def _cases(self, e: sp.Piecewise) -> str:
        *first, (last, _) = cases(e)
        vector = self.is_vector(e)
        text = self._broadcast(last, vector)
        for value, conditions in reversed(first):
            condition = self.condition(conditions)
            if vector and not self.is_vector(*conditions):
                condition = f"(MASKV)(-(MASK)({condition}))"
            text = f"({condition} ? {self._broadcast(value, vector)} : {text})"
        return text

    def _broadcast(self, e: sp.Expr, vector: bool) -> str:
        text = self.value(e)
        return f"(REALV)({text})" if vector and not self.is_vector(e) else text

    def _relation(self, c: sp.Basic) -> str:
        if c in (sp.true, sp.false):
            return str(int(c == sp.true))
        show = self.index if all(map(self._is_whole, c.args)) else self.value
        return f"{show(c.args[0])} {RELATIONS[c.func]} {show(c.args[1])}"

    def _is_whole(self, e: sp.Expr) -> bool:
        """Whether this is integer arithmetic."""
        known = all(s.is_integer or s.name in self.integers for s in e.free_symbols)
        plain = not e.atoms(sp.Function) and all(n.is_Integer for n in e.atoms(sp.Number))
        return known and plain and all(p.exp.is_Integer and p.exp > 0 for p in e.atoms(sp.Pow))


def _exact(e: sp.Rational) -> bool:
    """Whether float holds the number exactly: few bits over a power of two."""
    power = e.q & (e.q - 1) == 0
    return bool(power and abs(e.p) < 1 << EXACT_BITS and e.q <= 1 << EXACT_BITS)
