"""Re-checks every certificate in generated/ with nothing but the standard library.

    python3 -I derive/checker.py generated

It shares no code with the derivation: it forms the adjoint itself from the recorded definition,
reads the kernels' own text, and lays down what has to be shown. A certificate only says how: which
indices correspond, and with which non-negative rational multipliers the hypotheses combine. What
is left to trust is printed at the end.

Everything is a polynomial with rational coefficients over atoms: a dict from monomials (sorted
tuples of atoms) to coefficients. An atom is a symbol (a str) or a nested tuple:

    ("//", a, b)  ("%", a, b)          quotient and remainder by b >= 1, rounded downwards
    ("read", tensor, subscripts)       an element of a tensor
    ("sum", loops, guards, body)       over 0 <= i < extent, where all guards hold
    ("max" | "argmax", loops, guards, body)
    ("if", guard)                      1 where a condition on real numbers holds, else 0
    ("call", function, arguments)      exp, log, sqrt, 1/x ("inv"), philox, ...

with polynomials frozen by `freeze`. A guard or fact is (">=", p), meaning p >= 0, or ("==", p).
"""

from __future__ import annotations

import ast
import contextlib
import copy
import hashlib
import json
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

Poly = dict[tuple[Any, ...], Any]  # coefficients: int or Fraction
Fact = tuple[str, Poly]
Env = Mapping[str, Poly]
NEVER: Fact = (">=", {(): -1})
INT_MAX = 2**31 - 1
UINT_MAX = 2**32 - 1
LONG_MAX = 2**63 - 1
MALFORMED = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
LITERALS = {"3.14159265358979323846": "pi", "2.71828182845904523536": "e"}  # for these numbers


class Refused(Exception):
    """What is wrong, and where. `shown`: the ledger's rows up to there."""

    shown: list[dict[str, Any]] = []  # noqa: RUF012 - replaced, never appended to


# -- polynomials --------------------------------------------------------------------------------
order = lru_cache(maxsize=None)(repr)  # atoms of all kinds, in one order


def const(c: Any) -> Poly:
    """The constant polynomial c."""
    return {(): number(c)} if c else {}


def number(c: Any) -> Any:
    """An exact number; whole ones as int, which is faster."""
    exact = Fraction(c)
    return exact.numerator if exact.denominator == 1 else exact


def var(atom: Any) -> Poly:
    """The polynomial that is one atom."""
    return {(atom,): 1}


def add(*ps: Poly) -> Poly:
    """The sum of polynomials."""
    out: Poly = {}
    for p in ps:
        for m, c in p.items():
            out[m] = out.get(m, 0) + c
            if not out[m]:
                del out[m]
    return out


def scale(p: Poly, c: Any) -> Poly:
    """p times the number c."""
    return {m: v * c for m, v in p.items()} if c else {}


def sub(a: Poly, b: Poly) -> Poly:
    """a - b."""
    return add(a, scale(b, -1))


def mul(*ps: Poly) -> Poly:
    """The product of polynomials."""
    out = const(1)
    for p in ps:
        terms = [(*join(m, n), c * d) for m, c in out.items() for n, d in p.items()]
        out = add(*({m: k * c} for m, k, c in terms))
    return out


@cache
def join(m: tuple[Any, ...], n: tuple[Any, ...]) -> tuple[tuple[Any, ...], Any]:
    """The product of two monomials, as one and a number: a * 1/a = 1, sqrt(2) * sqrt(2) = 2, and
    a condition counts once."""
    found, factor = list(m), 1
    for atom in n:
        inverse = inverse_atom(atom)
        if inverse in found:
            found.remove(inverse)
        elif atom in found and radicand(atom):
            found.remove(atom)
            factor *= radicand(atom)
        elif atom not in found or not is_condition(atom):
            found.append(atom)
    return tuple(sorted(found, key=order)), factor


def is_condition(atom: Any) -> bool:
    """Whether an atom is 0 or 1, and so its own square."""
    return bool(atom[0] == "if" or (atom[:2] == ("sum", ()) and atom[3] == freeze(const(1))))


@cache
def inverse_atom(atom: Any) -> Any:
    """1/atom as an atom."""
    if atom[:2] == ("call", "inv") and len(atom[2][0]) == 1 and len(atom[2][0][0][0]) == 1:
        return atom[2][0][0][0][0]
    return ("call", "inv", (freeze(var(atom)),))


def freeze(p: Poly) -> tuple[Any, ...]:
    """A hashable form of p; `dict` turns it back."""
    return tuple(sorted(p.items(), key=order))


# -- atoms --------------------------------------------------------------------------------------
def divide(a: Poly, b: Poly) -> tuple[Poly, Poly]:
    """(a // b, a % b): a = b*whole + rest term by term, then //(rest, b) and %(rest, b)."""
    if not integral(a) or not integral(b) or not b:
        raise Refused(f"{show(a)} // {show(b)}: a quotient is of integers, by a positive one")
    whole: Poly = {}
    if len(b) == 1:
        ((n, d),) = b.items()
        for m, c in a.items():
            left = list(m)
            if c % d == 0 and all(atom in left and not left.remove(atom) for atom in n):  # type: ignore[func-returns-value]
                whole[tuple(left)] = number(Fraction(c) / d)
    rest = sub(a, mul(whole, b))
    if not rest:
        return whole, {}
    if set(rest) == set(b) == {()}:
        q, r = divmod(rest[()], b[()])
        return add(whole, const(q)), const(r)
    pair = freeze(rest), freeze(b)
    return add(whole, var(("//", *pair))), var(("%", *pair))


def call(function: str, *arguments: Poly) -> Poly:
    """A function's value. 1/x of a product is the product of the 1/x, exp of a sum is the product
    of its terms' exp, the root of a positive number is a product of roots of primes."""
    if function == "inv" and len(arguments[0]) == 1:
        ((m, c),) = arguments[0].items()
        return scale(mul(*map(reciprocal, m)), number(Fraction(1) / c))
    if function == "inv" and not arguments[0]:
        raise Refused("division by zero")
    if function == "exp" and len(arguments) == 1:
        return mul(*(exponential_of(m, c) for m, c in arguments[0].items()))
    atom = ("call", function, tuple(map(freeze, arguments)))
    return root_of(Fraction(radicand(atom))) if radicand(atom) else var(atom)


def reciprocal(atom: Any) -> Poly:
    """1/atom; 1/sqrt(2) is sqrt(2)/2."""
    if radicand(atom):
        return scale(var(atom), number(Fraction(1, radicand(atom))))
    return var(inverse_atom(atom))


def exponential_of(m: tuple[Any, ...], c: Any) -> Poly:
    """exp(p/q * m) as a power of exp(m/q), unless p is large; exp is never 0."""
    power = abs(c.numerator) if abs(c.numerator) <= 16 else 1
    atom = ("call", "exp", (freeze({m: number(abs(c) / Fraction(power))}),))
    return mul(*[var(atom if c > 0 else inverse_atom(atom))] * power)


def root_of(c: Fraction) -> Poly:
    """The root of a positive number: sqrt(p/q) = sqrt(p*q)/q, sqrt(a*b) = sqrt(a)*sqrt(b); what
    is left without small factors stays under one root."""
    left, factors = c.numerator * c.denominator, []
    for d in range(2, 1000):
        while left % d == 0:
            left //= d
            factors.append(d)
    factors += [left] if left > 1 else []
    roots = (var(("call", "sqrt", (freeze(const(d)),))) for d in factors)
    return scale(mul(*roots), number(Fraction(1, c.denominator)))


def radicand(atom: Any) -> Any:
    """n where the atom is the root of a positive number n, else 0."""
    if atom[:2] != ("call", "sqrt") or len(atom[2]) != 1:
        return 0
    p = dict(atom[2][0])
    return max(p[()], 0) if set(p) == {()} else 0


def reduction(kind: str, loops: Iterable[Any], guards: Iterable[Any], body: Poly) -> Poly:
    """A sum or maximum; a sum takes over the guards and loops of the one sum that it sums."""
    loops, guards = tuple(loops), tuple(guards)
    if kind == "sum" and not body:
        return {}
    while kind == "sum" and len(body) == 1:
        ((m, c),) = body.items()
        inner = [a for a in m if a[0] == "sum"]
        bare = [a for a in inner if not a[1]]
        if not bare and len(inner) != 1:
            break
        taken = (bare or inner)[0]
        rest = list(m)
        rest.remove(taken)
        names = {i for i, _ in loops} | symbols({tuple(rest): 1})
        names |= set().union(*(symbols(dict(e)) for _, e in loops))
        _, more, conditions, term = rename(
            taken, names.union(*(symbols(dict(g[1])) for g in guards))
        )
        loops, guards = loops + more, guards + conditions
        body = scale(mul({tuple(rest): 1}, dict(term)), c)
    bound = [i for i, _ in loops]
    if len({*bound}) < len(bound) or {*bound} & set().union(*(symbols(dict(e)) for _, e in loops)):
        raise Refused(f"{', '.join(bound)}: an index twice, or an extent that depends on an index")
    guards = tuple(sorted({g for g in guards if not certain(g)}, key=order))
    if any(set(dict(g[1])) <= {()} for g in guards) and kind == "sum":
        return {}  # a constant condition that is not certain is false
    if not loops and not guards and kind == "sum":
        return body
    return var((kind, loops, guards, freeze(body)))


def certain(guard: Any) -> bool:
    """Whether a guard is a true statement about a number."""
    kind, p = guard[0], dict(guard[1])
    value = p.get((), 0)
    return set(p) <= {()} and {"==": value == 0, ">=": value >= 0, ">": value > 0}[kind]


def rename(atom: Any, taken: Iterable[str]) -> Any:
    """A reduction whose indices have none of the names `taken`."""
    kind, loops, guards, body = atom
    clash = {i for i, _ in loops} & set(taken)
    if not clash:
        return atom
    used = set(taken) | symbols(dict(body)) | {i for i, _ in loops} | _symbols(atom)
    new: dict[str, Poly] = {}
    for i in sorted(clash):
        name = i
        while name in used:
            name += "_"
        used.add(name)
        new[i] = var(name)
    return (
        kind,
        tuple((next(iter(new[i]))[0] if i in new else i, e) for i, e in loops),
        tuple((k, freeze(substitute(dict(g), new))) for k, g in guards),
        freeze(substitute(dict(body), new)),
    )


@cache
def _symbols(atom: Any) -> frozenset[str]:
    if isinstance(atom, str):
        return frozenset([atom])
    if atom[0] in ("sum", "max", "argmax"):
        _, loops, guards, body = atom
        inner = symbols(dict(body)).union(*(symbols(dict(g)) for _, g in guards))
        return frozenset(
            (inner - {i for i, _ in loops}).union(*(symbols(dict(e)) for _, e in loops))
        )
    return frozenset().union(*(symbols(dict(p)) for p in parts(atom)))


def parts(atom: Any) -> tuple[Any, ...]:
    """The frozen polynomials in an atom that binds no index."""
    if atom[0] in ("//", "%"):
        return tuple(atom[1:])
    return (atom[1][1],) if atom[0] == "if" else tuple(atom[2])


def symbols(p: Poly) -> set[str]:
    """The free symbols of p."""
    return set().union(*(_symbols(a) for m in p for a in m))


def substitute(p: Poly, mapping: Env) -> Poly:
    """p with symbols replaced, everywhere, all at once; bound indices keep clear."""
    if not mapping or not symbols(p) & set(mapping):
        return p
    return rebuild(p, lambda atom: substitute_atom(atom, mapping))


def rebuild(p: Poly, replace: Any) -> Poly:
    """p with each atom replaced by a polynomial."""
    return add(*(scale(mul(*map(replace, m)), c) for m, c in p.items()))


def substitute_atom(atom: Any, mapping: Env) -> Poly:
    """One atom under a substitution."""
    if isinstance(atom, str):
        return mapping.get(atom, var(atom))
    if atom[0] in ("sum", "max", "argmax"):
        inner = {k: v for k, v in mapping.items() if k in _symbols(atom)}
        kind, loops, guards, body = rename(atom, set().union(*map(symbols, inner.values())))
        loops = tuple((i, freeze(substitute(dict(e), inner))) for i, e in loops)
        changed = [(k, freeze(substitute(dict(g), inner))) for k, g in guards]
        return reduction(kind, loops, changed, substitute(dict(body), inner))
    return with_parts(atom, [substitute(dict(a), mapping) for a in parts(atom)])


def with_parts(atom: Any, new: list[Poly]) -> Poly:
    """The atom of the same kind with other parts."""
    if atom[0] in ("//", "%"):
        return divide(*new)[atom[0] == "%"]
    if atom[0] == "if":
        return condition((atom[1][0], freeze(new[0])))
    return call(atom[1], *new) if atom[0] == "call" else var((*atom[:2], tuple(map(freeze, new))))


def condition(guard: Any) -> Poly:
    """1 where a guard holds, else 0; p > 0 is what -p >= 0 is not."""
    if guard[0] == ">":
        return sub(const(1), condition((">=", freeze(scale(dict(guard[1]), -1)))))
    constant = set(dict(guard[1])) <= {()}
    return const(1) if certain(guard) else {} if constant else var(("if", guard))


def canonical(p: Poly) -> Poly:
    """p with sums taken apart term by term, what does not depend on an index outside the sum (a
    condition too), and bound indices named by depth: equal expressions become equal polynomials."""
    return rebuild(p, canonical_atom)


@cache
def _canonical_atom(atom: Any) -> tuple[Any, ...]:
    if isinstance(atom, str):
        return freeze(var(atom))
    if atom[0] not in ("sum", "max", "argmax"):
        return freeze(with_parts(atom, [canonical(dict(a)) for a in parts(atom)]))
    kind, loops, guards, body = atom
    body = canonical(dict(body))
    if kind != "sum":
        return freeze(by_depth(kind, loops, guards, body))
    out: Poly = {}
    bound = {i for i, _ in loops}
    for m, c in inverse_roots(body, bound).items():
        free = [a for a in m if not _symbols(a) & bound]
        term = reduction("sum", loops, guards, {tuple(a for a in m if a not in free): 1})
        flat = rebuild(term, lambda a: by_depth(*a) if a[0] == "sum" else var(a))
        out = add(out, scale(mul({tuple(free): 1}, flat), c))
    return freeze(out)


def inverse_roots(p: Poly, bound: set[str]) -> Poly:
    """p with 1/x for 1/sqrt(x) * 1/sqrt(x), what stands under a root being positive; only where x
    depends on an index of a sum, which no relation is about."""
    out: Poly = {}
    for m, c in p.items():
        factors = [const(c)]
        for a in dict.fromkeys(m):
            count, root = m.count(a), inverse_atom(a)
            if a[:2] == ("call", "inv") and root[:2] == ("call", "sqrt") and _symbols(a) & bound:
                factors += [call("inv", dict(root[2][0]))] * (count // 2)
                count %= 2
            factors += [var(a)] * count
        out = add(out, mul(*factors))
    return out


def canonical_atom(atom: Any) -> Poly:
    """`canonical` of one atom."""
    return dict(_canonical_atom(atom))


def by_depth(kind: str, loops: Any, guards: Any, body: Any) -> Poly:
    """A reduction with its indices renamed; a sum over an index that nothing mentions is a
    multiplication by its extent, and a condition that mentions none a factor."""
    bound = {i for i, _ in loops}
    free = [g for g in guards if kind == "sum" and not symbols(dict(g[1])) & bound]
    guards = [g for g in guards if g not in free]
    inside = symbols(dict(body)).union(*(symbols(dict(g)) for _, g in guards))
    idle = [(i, e) for i, e in loops if i not in inside and kind == "sum"]
    kept = [pair for pair in loops if pair not in idle]
    depth = max(
        (nesting(a) for q in (body, *(g for _, g in guards)) for m in dict(q) for a in m), default=0
    )
    used = (inside - bound).union(*(symbols(dict(e)) for _, e in loops))
    while any(f"_{depth}_{k}" in used for k in range(len(kept))):
        depth += 1
    names = {i: var(f"_{depth}_{k}") for k, (i, _) in enumerate(kept)}
    new = [(f"_{depth}_{k}", e) for k, (_, e) in enumerate(kept)]
    value = reduction(kind, new, [upright(g, names) for g in guards], substitute(dict(body), names))
    conditions = (reduction("sum", (), [upright(g, {})], const(1)) for g in free)
    return mul(value, *(dict(e) for _, e in idle), *conditions)


def upright(guard: Any, names: Env) -> Any:
    """A guard with its indices renamed; p == 0 with a sign that p and -p have in common."""
    p = canonical(substitute(dict(guard[1]), names))
    turned = guard[0] == "==" and p and freeze(p)[0][1] < 0
    return guard[0], freeze(scale(p, -1) if turned else p)


@cache
def nesting(atom: Any) -> int:
    """How many sums stand inside each other."""
    if isinstance(atom, str):
        return 0
    reduces = atom[0] in ("sum", "max", "argmax")
    inner = [atom[3]] if reduces else parts(atom)
    return reduces + max((nesting(a) for p in inner for m in dict(p) for a in m), default=0)


def show(p: Poly) -> str:
    """p as text that `Text` reads again."""
    terms = []
    for m, c in sorted(p.items(), key=order):
        factors = [show_atom(a) for a in m]
        if abs(c) != 1 or not factors:
            factors.insert(0, str(abs(c)) if c.denominator == 1 else f"({abs(c)})")
        terms.append(("- " if c < 0 else "+ ") + "*".join(factors))
    text = " ".join(terms) or "0"
    return text[2:] if text[0] == "+" else text.replace("- ", "-", 1) if text[0] == "-" else text


@cache
def show_atom(atom: Any) -> str:
    """One atom as text."""
    if isinstance(atom, str):
        return atom
    if atom[0] in ("//", "%"):
        return f"(({show(dict(atom[1]))}){atom[0]}({show(dict(atom[2]))}))"
    if atom[0] == "read":
        return f"{atom[1]}[{', '.join(show(dict(s)) for s in atom[2]) or '()'}]"
    if atom[0] == "if":
        return f"({show(dict(atom[1][1]))} {atom[1][0]} 0)"
    if atom[0] == "call":
        return f"{atom[1]}({', '.join(show(dict(a)) for a in atom[2])})"
    kind, loops, guards, body = atom
    heads = ", ".join(f"{i}:{show(dict(e))}" for i, e in loops)
    rest = "".join(f", {show(dict(g))} {k} 0" for k, g in guards)
    return f"{kind}[{heads or '()'}]({show(dict(body))}{rest})"


def integral(p: Poly) -> bool:
    """Whether all coefficients are integers."""
    return all(c.denominator == 1 for c in p.values())


# -- certificates over the integers -------------------------------------------------------------
def verify_step(facts: list[Fact], step: Any) -> bool:
    """Whether `step` shows its fact from `facts`.

    step = (kind, p, pos, eq), pos = [(multiplier, [index of a fact, ...]), ...] and
    eq = [(index of an "==" fact, cofactor polynomial), ...]. With index -1 for the negated goal
    -p - 1 >= 0, which is what "not p >= 0" means for integers:

        kind ">=":  sum of multiplier * product of facts  +  sum of cofactor * equation  =  -1
        kind "==":  p  =  sum of cofactor * equation

    or, for "==", pos = [(1, [i, j])] without eq, where fact i is p >= 0 and fact j is -p >= 0; or
    neither, where p = f(a) - f(b) for a function or an integer tensor and the facts say a == b.
    """
    kind, p, pos, eq = step
    if not integral(p):
        raise Refused(f"{show(p)} need not be an integer")
    total: Poly = {}
    for i, cofactor in eq:
        if not 0 <= i < len(facts) or facts[i][0] != "==":
            raise Refused(f"fact {i} is no equation")
        total = add(total, mul(cofactor, facts[i][1]))
    if kind == "==":
        if len(pos) == 1 and not eq and len(pos[0][1]) == 2:
            (multiplier, pair), both = pos[0], [(">=", p), (">=", scale(p, -1))]
            within = all(0 <= i < len(facts) for i in pair)
            return within and multiplier == 1 and [facts[i] for i in pair] == both
        return not pos and (total == p or (not eq and same_element(facts, p)))
    negated = add(scale(p, -1), const(-1))
    for multiplier, indices in pos:
        if multiplier < 0:
            raise Refused(f"multiplier {multiplier} is negative")
        product = const(multiplier)
        for i in indices:
            if not -1 <= i < len(facts) or (i >= 0 and facts[i][0] != ">="):
                raise Refused(f"fact {i} is no inequality")
            product = mul(product, negated if i == -1 else facts[i][1])
        total = add(total, product)
    return kind == ">=" and total == const(-1)


def same_element(facts: list[Fact], p: Poly) -> bool:
    """Whether p = f(a) - f(b), and every argument in a is known to be that in b."""
    if len(p) != 2 or set(p.values()) != {1, -1} or any(len(m) != 1 for m in p):
        return False
    a, b = (m[0] for m in p)
    if a[:2] != b[:2] or a[0] not in ("read", "call"):
        return False
    differences = [sub(dict(x), dict(y)) for x, y in zip(a[2], b[2], strict=True)]
    return all(not d or ("==", d) in facts or ("==", scale(d, -1)) in facts for d in differences)


# -- recorded definitions -----------------------------------------------------------------------
class Text:
    """Reads expressions as they are recorded: `sum[c:CG](w[o, c]*Y[n, c], x >= 0) + b[o]`.

    `names`: what a name stands for; `tensors`: name -> Tensor; `operators`: the named operators of
    closed forms; `real`: the names of real scalars.
    """

    def __init__(self, tensors: Any, names: Any = (), operators: Any = (), real: Any = ()) -> None:
        self.tensors, self.names = dict(tensors), dict(names)
        self.operators, self.real = dict(operators), set(real)
        self.needs: list[Fact] = []  # what named operators ask of their sizes
        self.divisors: list[Poly] = []  # of quotients: they have to be positive
        self.known = self.tensors  # the tensors that stand in the values, and their types
        self.skips: list[Any] | None = None  # in a maximum's term: what makes it one
        self.adds = False  # in a sum's term

    def value(self, text: str) -> Poly:
        """The expression `text`. Errors: Refused where it is outside the language."""
        try:
            return self.node(self.tree(text))
        except (KeyError, ValueError) as error:
            raise Refused(f"cannot read {text!r}: {error}") from None

    def guards(self, text: str) -> list[Any]:
        """The conditions of a chain of comparisons joined by `and`."""
        return self.conditions(self.tree(text))

    def tree(self, text: str) -> ast.expr:
        """An expression in Python's syntax, never run. Errors: Refused where it is none."""
        try:
            return ast.parse(text.strip(), mode="eval").body
        except (SyntaxError, ValueError) as error:
            raise Refused(f"cannot read {text!r}: {error}") from None

    def node(self, n: ast.expr) -> Poly:
        """One node of the expression."""
        match n:
            case ast.Name(id=name) if name in self.names or name not in self.tensors:
                return self.names.get(name, var(name))
            case ast.Constant(value=int(c)):
                return const(c)
            case ast.UnaryOp(op=ast.USub(), operand=a):
                return scale(self.node(a), -1)
            case ast.BinOp(left=a, op=ast.Pow(), right=ast.Constant(value=int(e))):
                return mul(*[self.node(a)] * e)
            case ast.BinOp(left=a, op=ast.FloorDiv() | ast.Mod() as op, right=b):
                pair = self.node(a), self.node(b)
                if any(is_real(p, self.known, self.real) for p in pair):
                    raise Refused(f"{ast.unparse(n)!r}: a quotient of integers rounds, no other")
                self.divisors.append(pair[1])
                return binary(type(op).__name__, *pair)
            case ast.BinOp(left=a, op=op, right=b):
                return binary(type(op).__name__, self.node(a), self.node(b))
            case ast.Subscript(value=tensor, slice=s):
                subs = s.elts if isinstance(s, ast.Tuple) else [s]
                return self.at(self.tensor(tensor), [self.node(e) for e in subs])
            case ast.Call(keywords=[_, *_]):
                raise Refused(f"{ast.unparse(n)!r}: arguments have no names")
            case ast.Call(
                func=ast.Subscript(value=ast.Name(id="sum" | "max" | "argmax" as kind), slice=s),
                args=[body, *rest],
            ):
                return self.reduction(kind, s.elts if isinstance(s, ast.Tuple) else [s], body, rest)
            case ast.Call(func=ast.Name(id="where"), args=[c, a, b]):
                return self.where(self.conditions(c), self.node(a), self.node(b))
            case ast.Call(func=ast.Name(id=name), args=args):
                return call(name, *map(self.node, args))
            case ast.Compare() | ast.BoolOp():
                return mul(*map(condition, self.conditions(n)))
        raise Refused(f"{ast.unparse(n)!r} is outside the language")

    def at(self, t: Tensor, subs: list[Poly]) -> Poly:
        """A tensor's element; a term of a maximum that reads what it skips is no term."""
        if t.outside != "skip" or (self.skips is None and not self.adds):
            return t.at(subs)
        if self.skips is None:
            raise Refused(f"{t.name} stands in a sum, and only a maximum skips what is outside")
        self.skips += t.ranges(subs)
        return t.plain(subs)

    def tensor(self, n: ast.expr) -> Tensor:
        """A tensor's name, or a named operator applied to tensors and sizes."""
        match n:
            case ast.Name(id=name) if name in self.tensors:
                return self.tensors[name]
            case ast.Call(func=ast.Name(id=name), args=args) if name in self.operators:
                operands = self.operators[name]["arguments"]
                tensors = [self.tensor(a) for a in args[: len(operands)]]
                return self.apply(name, tensors, [self.node(a) for a in args[len(operands) :]])
        raise Refused(f"{ast.unparse(n)!r} is no tensor")

    def apply(self, name: str, tensors: list[Tensor], values: list[Poly]) -> Tensor:
        """The result of a named operator: its shape, and its defining equation as the value."""
        op = self.operators[name]
        if len(tensors) != len(op["arguments"]) or len(values) != len(op["parameters"]):
            raise Refused(f"{name} takes {[*op['arguments'], *op['parameters']]}")
        sizes = dict(zip(op["parameters"], values, strict=True))
        inner: dict[str, Tensor] = {}
        for t, (argument, shape) in zip(tensors, op["arguments"].items(), strict=True):
            if len(shape) != len(t.shape):
                raise Refused(f"{name}: {argument} has {len(shape)} dimensions, not {len(t.shape)}")
            for extent, given in zip(shape, t.shape, strict=True):
                self.bind(name, sizes, extent, given)
            entry = argument_entry(op, argument)
            if t.dtype != entry["dtype"]:
                raise Refused(
                    f"{name}: the elements of {argument} are {entry['dtype']}, not {t.dtype}"
                )
            inner[argument] = Tensor(argument, t.shape, entry, t.at)
        self.needs += [(">=", sub(sizes[s], const(b))) for s, b in op["lower"].items()]
        own = {i: var("@" + i) for i in op["indices"]}
        text = Text(inner, {**sizes, **own}, (), self.real)
        text.known, text.divisors = self.known, self.divisors
        body = text.value(op["value"])
        shape = [text.value(n) for n in op["shape"]]

        def value(subs: list[Poly]) -> Poly:
            return substitute(body, {"@" + i: s for i, s in zip(own, subs, strict=True)})

        return Tensor(name, shape, {}, value)

    def bind(self, name: str, sizes: dict[str, Poly], extent: str, given: Poly) -> None:
        """What a declared extent, `H` or `G*OG`, says of its last symbol."""
        *known, last = extent.split("*")
        if not all(s.isidentifier() for s in (*known, last)):
            raise Refused(f"{name}: {extent} is no size or product of sizes")
        whole, rest = divide(given, mul(*(sizes[s] for s in known)))
        if rest:
            raise Refused(f"{name}: {extent} is {show(given)}")
        if sizes.setdefault(last, whole) != whole:
            self.needs.append(("==", sub(sizes[last], whole)))

    def reduction(self, kind: str, loops: list[Any], body: ast.expr, rest: list[Any]) -> Poly:
        """sum[i:N, j:M](body, condition, ...)."""
        named = []
        for s in loops:
            match s:
                case ast.Slice(lower=ast.Name(id=i), upper=ast.expr() as extent, step=None):
                    named.append((i, freeze(self.node(extent))))
                case _:
                    raise Refused(f"{ast.unparse(s)!r} is no index with its extent")
        bound = {i for i, _ in named}
        for name, p in self.names.items():
            if name not in bound and symbols(p) & bound:
                raise Refused(
                    f"{name} stands for {show(p)}, and {sorted(bound)} means another index"
                )
        names = {**self.names, **{i: var(i) for i in bound}}
        inner = Text(self.tensors, names, self.operators, self.real)
        inner.needs, inner.known, inner.divisors = self.needs, self.known, self.divisors
        asked = len(self.needs)
        guards = [g for c in rest for g in inner.conditions(c)]
        inner.skips, inner.adds = (None, True) if kind == "sum" else (guards, False)
        value = inner.node(body)
        if free_symbols(self.needs[asked:]) & {i for i, _ in named}:
            raise Refused(f"{kind}: a size of a named operator depends on the sum's index")
        return reduction(kind, named, guards, value)

    def conditions(self, n: ast.expr) -> list[Any]:
        """A chain of comparisons, or several joined by `and`, as guards."""
        if isinstance(n, ast.BoolOp) and isinstance(n.op, ast.And):
            return [g for v in n.values for g in self.conditions(v)]
        if not isinstance(n, ast.Compare):
            raise Refused(f"{ast.unparse(n)!r} is no condition")
        sides = [self.node(e) for e in (n.left, *n.comparators)]
        chain = list(zip(sides, n.ops, sides[1:], strict=False))
        real = any(is_real(side, self.known, self.real) for side in sides)
        return [(real_compare if real else compare)(type(op).__name__, a, b) for a, op, b in chain]

    def where(self, guards: list[Any], a: Poly, b: Poly) -> Poly:
        """a where all guards hold, else b."""
        if any(k == ">" or is_real(dict(g), self.known, self.real) for k, g in guards):
            holds = mul(*map(condition, guards))
            return add(mul(holds, a), b, scale(mul(holds, b), -1))
        picked = reduction("sum", (), guards, a)
        return add(picked, b, scale(reduction("sum", (), guards, b), -1))


def argument_entry(op: Any, argument: str) -> dict[str, str]:
    """What a named operator says of an argument's elements."""
    dtype = "int" if argument in op.get("integer", []) else "real"
    return {"outside": op["outside"].get(argument, "forbidden"), "dtype": dtype}


def binary(op: str, a: Poly, b: Poly) -> Poly:
    """a op b; `/` is of real numbers."""
    if op in ("FloorDiv", "Mod"):
        return divide(a, b)[op == "Mod"]
    if op == "Div":
        return mul(a, call("inv", b))
    table: dict[str, Any] = {"Add": add, "Sub": sub, "Mult": mul}
    return dict(table[op](a, b))


def compare(op: str, a: Poly, b: Poly) -> Any:
    """a op b as a guard: a < b is b - 1 - a >= 0 for integers."""
    if op == "Eq":
        return "==", freeze(sub(a, b))
    low, high = (a, b) if op in ("Lt", "LtE") else (b, a)
    if op not in ("Lt", "LtE", "Gt", "GtE"):
        raise Refused(f"there is no condition {op}")
    return ">=", freeze(add(high, scale(low, -1), const(-1 if op in ("Lt", "Gt") else 0)))


def real_compare(op: str, a: Poly, b: Poly) -> Any:
    """A comparison of real numbers as a guard; a < b is not b <= a."""
    if op == "Eq":
        return "==", freeze(sub(a, b))
    if op not in ("Lt", "LtE", "Gt", "GtE"):
        raise Refused(f"there is no condition {op}")
    if op in ("LtE", "GtE"):
        return ">=", freeze(sub(b, a) if op == "LtE" else sub(a, b))
    return ">", freeze(sub(b, a) if op == "Lt" else sub(a, b))


def is_real(p: Poly, tensors: Any, real: Any) -> bool:
    """Whether p mentions a real number."""
    for a in (a for m in p for a in m):
        if a in real or (a[0] == "call" and a[1] != "philox"):
            return True
        if a[0] == "read" and tensors[a[1]].dtype == "real":
            return True
        if a[0] in ("sum", "max") and is_real(dict(a[3]), tensors, real):
            return True
        if a[0] in ("//", "%") and any(is_real(dict(q), tensors, real) for q in a[1:]):
            return True
    return not integral(p)


class Tensor:
    """A shape, and the value at given subscripts: an element, or another expression."""

    def __init__(self, name: str, shape: Any, entry: Any, value: Any = None) -> None:
        self.name, self.shape = name, list(shape)
        self.dtype = entry.get("dtype", "real")
        self.outside = entry.get("outside", "forbidden")
        self.values, self.value = entry.get("values"), value

    def at(self, subs: list[Poly]) -> Poly:
        """The element; outside the shape it is 0 (where a maximum skips it, see `Text.at`)."""
        element = self.plain(subs)
        if self.outside == "forbidden":
            return element
        return reduction("sum", (), self.ranges(subs), element)

    def plain(self, subs: list[Poly]) -> Poly:
        """The element inside the shape."""
        if len(subs) != len(self.shape):
            raise Refused(f"{self.name} has {len(self.shape)} subscripts, not {len(subs)}")
        return self.value(subs) if self.value else self.element(subs)

    def element(self, subs: list[Poly]) -> Poly:
        """The read itself, without a guard."""
        return var(("read", self.name, tuple(map(freeze, subs))))

    def ranges(self, subs: list[Poly]) -> list[Any]:
        """0 <= subscript < extent for every dimension."""
        pairs = list(zip(subs, self.shape, strict=True))
        return [g for s, n in pairs for g in ((">=", freeze(s)), compare("Lt", s, n))]


class System:
    """A recorded definition, or one of its variants: sizes, tensors and equations."""

    def __init__(self, record: Any, without: Iterable[str] = ()) -> None:
        self.record, self.name = record, record["name"]
        self.real = ["pi", *(s for s, kind in record["scalars"].items() if kind == "real")]
        sizes = Text({})
        self.tensors = {
            name: Tensor(name, map(sizes.value, t["shape"]), t)
            for name, t in record["tensors"].items()
        }
        for name in without:
            shape, value = self.tensors[name].shape, const(record["optional"][name])
            self.tensors[name] = Tensor(name, shape, {}, lambda _, v=value: v)
        self.text = Text(self.tensors, (), (), self.real)
        self.symbols = [*record["sizes"], *record["derived"], *record["scalars"]]
        if len({*self.symbols}) < len(self.symbols) or not all(map(NAME.fullmatch, self.symbols)):
            raise Refused(
                f"{self.name}: {self.symbols}: a name stands for two things, or is reserved"
            )
        if labels := {n for n, t in self.tensors.items() if t.values is not None} - {
            *record["inputs"]
        }:
            raise Refused(
                f"{self.name}: only an input's values are known beforehand, not {labels}'s"
            )
        self.equations: dict[str, tuple[list[str], Poly]] = {}
        for line in record["equations"]:
            head, body = line.split(" = ", 1)
            target, _, rest = head.partition("[")
            names = [i.strip() for i in rest.rstrip("] ").split(",") if i.strip()]
            if {*names} & {*self.symbols} or target.strip() in self.equations:
                raise Refused(f"{self.name}: {line}: a name stands for two things")
            self.equations[target.strip()] = names, self.text.value(body)
        self.inputs = [n for n in record["inputs"] if n not in without]
        self.vanished: set[str] = set()

    def sizes(self) -> list[Fact]:
        """What is known of the sizes before anything is shown: lower bounds, and requirements."""
        lower = self.record["lower"].items()
        facts = [(">=", sub(var(s), const(b))) for s, b in lower]
        facts += [(k, dict(g)) for c in self.record["requires"] for k, g in Text({}).guards(c)]
        return facts + [("==", sub(var(s), e)) for s, e in self.derived().items()]

    def derived(self) -> dict[str, Poly]:
        """The sizes that are computed from others, such as output lengths."""
        return {s: Text({}).value(e) for s, e in self.record["derived"].items()}

    def active(self) -> set[str]:
        """The real tensors that depend on a differentiable input."""
        found = {n for n in self.inputs if self.tensors[n].dtype == "real"}
        found -= set(self.record["constant"])
        for target, (_, body) in self.equations.items():
            if self.tensors[target].dtype == "real" and found & tensors_in(body):
                found.add(target)
        return found

    def rhs(self, target: str, subs: list[Poly]) -> Poly:
        """What an equation says of target[subs]."""
        names, body = self.equations[target]
        return substitute(body, dict(zip(names, subs, strict=True)))

    def adjoint(self, operand: str, place: list[str]) -> Poly:
        """dloss/d operand[place]: for every occurrence of the operand in an equation for t[i],
        the sum over i and the loops around it of [subscripts = place] * grad_t[i] * slope."""
        out: Poly = {}
        for target, (names, body) in self.equations.items():
            shape = self.tensors[target].shape
            if self.tensors[target].dtype != "real" or target in self.vanished:
                continue
            body = self.positional(body)
            own = (target, tuple(zip(names, map(freeze, shape), strict=True)), (), freeze(body))
            _, loops, _, renamed = rename(own, {*place, *symbols_bound(body)})
            taken = {*place, *(i for i, _ in loops)}
            cotangent = var(("read", "grad_" + target, tuple(freeze(var(i)) for i, _ in loops)))
            for inner, guards, subs, slope in self.occurrences(dict(renamed), operand, taken):
                deltas = [compare("Eq", dict(s), var(q)) for s, q in zip(subs, place, strict=True)]
                term = mul(cotangent, slope)
                out = add(out, reduction("sum", (*loops, *inner), (*deltas, *guards), term))
        return out

    def occurrences(self, p: Poly, operand: str, taken: set[str]) -> Iterator[Any]:
        """(loops, guards, subscripts, slope) for every read of the operand in p; the loops have
        none of the names `taken`."""
        atoms: dict[Any, Poly] = {}
        for m, c in p.items():
            for k, a in enumerate(m):
                rest = {m[:k] + m[k + 1 :]: c}
                atoms[a] = add(atoms.get(a, {}), rest)
        for a, weight in atoms.items():
            for loops, guards, subs, slope in self.slopes(a, operand, taken):
                yield loops, guards, subs, mul(weight, slope)

    def slopes(self, atom: Any, operand: str, taken: set[str]) -> Iterator[Any]:
        """The occurrences in one atom: the chain rule."""
        if isinstance(atom, str) or operand not in tensors_in(var(atom)):
            return
        if atom[0] == "read":
            if atom[1] == operand:
                yield (), (), atom[2], const(1)
        elif atom[0] == "sum":
            _, loops, guards, body = rename(atom, taken)
            names = taken | {i for i, _ in loops}
            for inner, more, subs, slope in self.occurrences(dict(body), operand, names):
                yield (*loops, *inner), (*guards, *more), subs, slope
        elif atom[0] == "call" and len(atom[2]) == 1:
            argument = dict(atom[2][0])
            for loops, guards, subs, slope in self.occurrences(argument, operand, taken):
                yield loops, guards, subs, mul(slope, derivative(atom, argument))
        elif atom[0] != "if":  # a condition has slope 0
            raise Refused(f"{self.name}: no derivative of {show_atom(atom)}")

    def positional(self, body: Poly) -> Poly:
        """Each maximum as the term at its position: its slope is 1 there, and 0 elsewhere."""
        for a in outer_reductions(body):
            if a[0] == "max":
                guards = (*a[2], self.chosen(a))
                body = replace_atom(body, a, reduction("sum", a[1], guards, dict(a[3])))
        return body

    def chosen(self, atom: Any) -> Any:
        """The guard row-major position = argmax, from the equation that defines that argmax."""
        wanted = canonical(var(("argmax", *atom[1:])))
        for target, (names, body) in self.equations.items():
            if canonical(body) == wanted:
                position = var(("read", target, tuple(freeze(var(i)) for i in names)))
                own = row_major([(var(i), dict(e)) for i, e in atom[1]])
                return "==", freeze(sub(own, position))
        raise Refused(f"{self.name}: no equation names the position of {show_atom(atom)}")


def derivative(atom: Any, x: Poly) -> Poly:
    """The derivative of a function at x, in terms of its value."""
    f, one_over = var(atom), call("inv", x)
    table = {
        "exp": lambda: f,
        "log": lambda: one_over,
        "sqrt": lambda: scale(call("inv", f), Fraction(1, 2)),
        "inv": lambda: scale(mul(f, f), -1),
        "tanh": lambda: sub(const(1), mul(f, f)),
        "abs": lambda: call("sign", x),
        "erf": lambda: scale(
            mul(call("inv", call("sqrt", var("pi"))), call("exp", scale(mul(x, x), -1))), 2
        ),
    }
    if atom[1] not in table:
        raise Refused(f"no derivative of {atom[1]}")
    return table[atom[1]]()


def row_major(pairs: Iterable[tuple[Poly, Poly]]) -> Poly:
    """((i0*n1 + i1)*n2 + i2)..., for pairs of subscript and extent."""
    out: Poly = {}
    for i, n in pairs:
        out = add(mul(out, n), i)
    return out


def tensors_in(p: Poly) -> set[str]:
    """The tensors that p reads."""
    found: set[str] = set()
    for a in atoms_in(p):
        if a[0] == "read":
            found.add(a[1])
    return found


def atoms_in(p: Any) -> Iterator[Any]:
    """Every atom of p, those inside others too, inner ones first."""
    for m in p:
        for a in m:
            if not isinstance(a, str):
                reduces = a[0] in ("sum", "max", "argmax")
                inner = (
                    [*(e for _, e in a[1]), *(g for _, g in a[2]), a[3]] if reduces else parts(a)
                )
                for q in inner:
                    yield from atoms_in(dict(q))
            yield a


def symbols_bound(p: Poly) -> set[str]:
    """The bound indices in p."""
    reduces = (a for a in atoms_in(p) if a[0] in ("sum", "max", "argmax"))
    return {i for a in reduces for i, _ in a[1]}


def sums_in(p: Poly) -> list[Any]:
    """The sums and maxima anywhere in p."""
    return [a for a in atoms_in(p) if a[0] in ("sum", "max", "argmax")]


def inverses(p: Poly) -> set[Any]:
    """The 1/x in p (not 1/(1/x)), and 1/x where p has 1/sqrt(x)."""
    found = {a for a in atoms_in(p) if a[:2] == ("call", "inv")}
    single = {a: a[2][0][0][0][0] for a in found if len(a[2][0]) == len(a[2][0][0][0]) == 1}
    under = [call("inv", dict(x[2][0])) for x in single.values() if x[:2] == ("call", "sqrt")]
    return {a for a in found if single.get(a, "")[:2] != ("call", "inv")}.union(
        *map(inverses, under)
    )


def exponential(atom: Any, known: set[Any]) -> bool:
    """Whether an atom is a value of exp, a sum of such over at least one place, or 1/such: it is
    greater than 0. known: the sizes that are at least 1."""
    if atom[0] == "sum":
        if atom[2] or not all(positive(dict(e), known) for _, e in atom[1]):
            return False
        inner = atom[3]
    elif atom[:2] == ("call", "inv"):
        (inner,) = atom[2]
    else:
        return bool(atom[:2] == ("call", "exp"))
    return bool(inner) and all(c > 0 and all(exponential(a, known) for a in m) for m, c in inner)


# -- obligations --------------------------------------------------------------------------------
def extents(where: str, facts: list[Fact], *sums: Any) -> None:
    """A sum over an index that a term does not mention multiplies it by the extent, if that is
    not negative: with lower bounds taken off its symbols it has no negative coefficient."""
    least = {i: 0 for a in sums for i, _ in a[1]}
    for kind, p in facts:
        linear = [m for m in p if m]
        if kind == ">=" and len(linear) == 1 == len(linear[0]) == p[linear[0]]:
            least[linear[0][0]] = max(-p.get((), 0), least.get(linear[0][0], -1))
    above = {x: add(var(x), const(b)) for x, b in least.items() if isinstance(x, str)}
    for _, loops, guards, body in sums:
        used = set().union(*(symbols(dict(g)) for _, g in guards))
        for i, extent in loops:
            p = substitute(dict(extent), above)
            counts = (
                all(least.get(x, -1) >= 0 for m in p for x in m) and min(p.values(), default=0) >= 0
            )
            idle = any(i not in symbols({m: 1}) for m in canonical(dict(body)))
            if not counts and i not in used and idle:
                raise Refused(f"{where}: the extent {show(dict(extent))} may be negative")


def at_least_one(facts: Iterable[Fact]) -> set[Any]:
    """The atoms that have a lower bound of 1 or more among the facts, and the polynomials p,
    frozen, for which p - 1 >= 0 is a fact."""
    bounds = [p for k, p in facts if k == ">="]
    atoms = {next(m for m in p if m)[0] for p in bounds if is_lower_bound(p)}
    return atoms | {freeze(add(p, const(1))) for p in bounds}


def positive(p: Poly, known: set[Any]) -> bool:
    """Whether p is known to be at least 1, or a sum of products of a number >= 1 and atoms that
    are."""
    terms = bool(p) and all(c >= 1 and known.issuperset(m) for m, c in p.items())
    return terms or freeze(p) in known


def divisions(facts: Iterable[Fact]) -> Iterator[Fact]:
    """a = b*q + r, 0 <= r < b for every quotient and remainder in `facts`, b >= 1 being known."""
    facts = list(facts)
    known = at_least_one(facts)
    seen: dict[Any, None] = {}
    for _, p in facts:
        for a in atoms_in(p):
            if a[0] in ("//", "%"):
                seen[a[1:]] = None
    for a, b in seen:
        p, divisor = dict(a), dict(b)
        if not positive(divisor, known):
            raise Refused(f"{show(divisor)} may be 0 or less, and divides {show(p)}")
        q, r = var(("//", a, b)), var(("%", a, b))
        yield "==", sub(p, add(mul(divisor, q), r))
        yield ">=", r
        yield ">=", add(divisor, scale(r, -1), const(-1))


def is_lower_bound(p: Poly) -> bool:
    """Whether p is s - b with b >= 1."""
    linear = [m for m in p if m]
    return len(linear) == 1 and len(linear[0]) == 1 and p[linear[0]] == 1 and p.get((), 0) <= -1


def certain_fact(g: Fact) -> bool:
    """Whether a goal is a true statement about a number."""
    return certain((g[0], freeze(g[1])))


def ranges(pairs: Iterable[tuple[str, Poly]]) -> list[Fact]:
    """0 <= i < extent for each pair."""
    return [
        f for i, n in pairs for f in ((">=", var(i)), (">=", add(n, scale(var(i), -1), const(-1))))
    ]


def thaw(guards: Iterable[Any]) -> list[Fact]:
    """Guards as facts."""
    return [(k, dict(g)) for k, g in guards]


def outer_reductions(p: Poly) -> list[Any]:
    """The sums and maxima of p that stand in no other, in a fixed order."""
    found: dict[Any, None] = {}

    def visit(q: Poly) -> None:
        for m in q:
            for a in m:
                if a[0] in ("sum", "max", "argmax"):
                    found[a] = None
                elif not isinstance(a, str):
                    for part in parts(a):
                        visit(dict(part))

    visit(p)
    return sorted(found, key=order)


def apart(p: Poly, taken: Iterable[str]) -> Poly:
    """p with its outer sums' indices renamed where they have one of the names `taken`."""
    for a in outer_reductions(p):
        p = replace_atom(p, a, var(rename(a, taken)))
    return p


def free_symbols(facts: Iterable[Fact]) -> set[str]:
    """The symbols that facts are about."""
    return set().union(*(symbols(p) for _, p in facts))


def replace_atom(p: Poly, old: Any, new: Poly) -> Poly:
    """p with one atom replaced wherever it stands outside a reduction."""

    def visit(a: Any) -> Poly:
        if a == old:
            return new
        if isinstance(a, str) or a[0] in ("sum", "max", "argmax"):
            return var(a)
        return with_parts(a, [rebuild(dict(q), visit) for q in parts(a)])

    return rebuild(p, visit)


def evaluate(p: Poly, at: Mapping[str, int]) -> int:
    """The value of an integer polynomial; elements of integer tensors are given by their text."""
    total = Fraction(0)
    for m, c in p.items():
        for a in m:
            if isinstance(a, str) or a[0] in ("read", "call"):
                c *= at[show_atom(a)]
            else:
                x, y = (evaluate(dict(q), at) for q in a[1:])
                c *= x // y if a[0] == "//" else x % y
        total += c
    return int(total)


def holds(f: Fact, at: Mapping[str, int]) -> bool:
    """Whether a fact is true at these values; Refused where they leave something open."""
    try:
        v = evaluate(f[1], at)
    except (KeyError, ZeroDivisionError) as error:
        raise Refused(f"the values leave {show_fact(f)} open: {error}") from None
    return v >= 0 if f[0] == ">=" else v == 0


def is_empty(atom: Any, at: Mapping[str, int]) -> bool:
    """Whether a sum has no term at these values: at all places some guard does not hold."""
    _, loops, guards, _ = atom
    places: list[dict[str, int]] = [dict(at)]
    for i, e in loops:
        places = [{**q, i: v} for q in places for v in range(max(0, evaluate(dict(e), at)))]
    return not any(all(holds(g, q) for g in thaw(guards)) for q in places)


class Certificates:
    """The certificates of one operator, and what was done with them.

    A finder has the same interface, and searches where this one looks up.
    """

    def __init__(self, record: Any) -> None:
        self.record, self.proofs = record, record["proofs"]
        self.used: set[str] = set()
        tensors = record["definition"]["tensors"].items()
        grads = {f"grad_{n}": Tensor(f"grad_{n}", t["shape"], {}) for n, t in tensors}
        self.read = Text(
            {n: Tensor(n, t["shape"], {**t, "outside": "forbidden"}) for n, t in tensors} | grads
        )
        self.degree = self.steps = self.size = 0

    def search(self, key: str, facts: list[Fact], goals: list[Fact], where: str) -> list[Any]:
        """The recorded steps for an obligation."""
        if key not in self.proofs:
            raise Refused(f"{where}: no certificate shows {show_fact(goals[0])}")
        self.used.add(key)
        self.size += len(json.dumps(self.proofs[key]))
        return [self.step(s) for s in self.proofs[key]]

    def step(self, s: Any) -> Any:
        """A step as `verify_step` takes it."""
        kind, p, pos, eq = s
        for c, indices in [*pos, *((1, [i]) for i, _ in eq)]:
            if any(type(i) is not int for i in indices) or type(c) not in (int, str):
                raise Refused(
                    f"{c!r} times facts {indices!r}: not a rational number, or not indices"
                )
        cofactors = [(i, self.whole(c)) for i, c in eq]
        return kind, self.whole(p), [(number(c), list(i)) for c, i in pos], cofactors

    def whole(self, text: str) -> Poly:
        """A polynomial as it is recorded, over atoms that are integers: an argument that rounds
        (not p >= 0, so p <= -1) or multiplies by a cofactor is about nothing else."""
        p = self.integer(text)
        real = {
            s for s, kind in self.record["definition"].get("scalars", {}).items() if kind == "real"
        }
        for a in (a for m in p for a in m if not isinstance(a, str)):
            if a[0] not in ("//", "%", "read") and a[:2] != ("call", "philox"):
                raise Refused(f"{show_atom(a)} is no integer of a certificate")
        if is_real(dict.fromkeys(p, 1), self.read.tensors, real):
            raise Refused(f"{show(p)} need not be an integer")
        return p

    @cache  # noqa: B019 - lives as long as the run
    def integer(self, text: str) -> Poly:
        """A polynomial as it is recorded."""
        return self.read.value(text)

    def maps(self, where: str, *_: Any) -> Any:
        """The recorded bijections for an equality."""
        return self.record["maps"].get(where, [])

    def cofactors(self, where: str, *_: Any) -> Any:
        """The recorded relations and cofactors for an equality."""
        return self.record["cofactors"].get(where, [])

    def settle(self, where: str, facts: list[Fact], goals: list[Fact]) -> None:
        """Show every goal from the facts, or say which one has no certificate."""
        have = {(k, freeze(p)) for k, p in facts}
        goals = [g for g in goals if not certain_fact(g) and (g[0], freeze(g[1])) not in have]
        if not goals:
            return
        facts = self.complete(facts, goals)
        key = digest(facts, goals)
        known = list(facts)
        for n, step in enumerate(self.search(key, facts, goals, where)):
            try:
                right = verify_step(known, step)
            except Refused as error:
                raise Refused(f"{where}: step {n} of certificate {key}: {error}") from None
            if not right:
                raise Refused(f"{where}: step {n} of certificate {key} does not add up")
            self.steps += 1
            self.degree = max([self.degree, *(len(i) for _, i in step[2])])
            known.append((step[0], step[1]))
        have = {(k, freeze(p)) for k, p in known}
        for g in goals:
            if (g[0], freeze(g[1])) not in have:
                raise Refused(f"{where}: certificate {key} does not show {show_fact(g)}")

    def complete(self, facts: list[Fact], goals: list[Fact]) -> list[Fact]:
        """The facts, with what quotients, remainders and labels in facts and goals are."""
        labels = {show_atom(a): a for _, p in facts + goals for a in atoms_in(p) if a[0] == "read"}
        pairs = [(var(a), self.read.tensors[a[1]].values) for a in labels.values()]
        known = [(p, self.read.value(v)) for p, v in pairs if v is not None]
        facts = facts + ranges_at(known)
        return facts + list(divisions(facts + goals))

    def equal(self, where: str, facts: list[Fact], left: Poly, right: Poly, relation: Any) -> None:
        """Show left = right: sums are re-indexed by bijections, then the difference has to be a
        combination of relations that hold. `relation(spec)` gives a polynomial that is 0."""
        extents(where, facts, *sums_in(left), *sums_in(right))
        if canonical(left) == canonical(right):
            return
        divisors = inverses(canonical(left)) | inverses(canonical(right))
        taken = free_symbols(facts) | symbols(left) | symbols(right)
        left, right = apart(left, taken), apart(right, taken)
        sums, like = outer_reductions(left), outer_reductions(right)
        for m in self.maps(where, facts, left, right, relation):
            if m["sum"] not in range(len(sums)):
                raise Refused(f"{where}: there is no sum {m['sum']!r}")
            source = sums[m["sum"]]
            here = f"{where}, sum {m['sum']}"
            if m.get("empty"):
                left = replace_atom(left, source, self.empty(here, facts, source))
                continue
            loops, guards = self.target(m, like, source, here)
            left = replace_atom(left, source, self.reindex(here, facts, source, loops, guards, m))
        difference = sub(canonical(left), canonical(right))
        found = self.cofactors(where, difference, relation, facts) if difference else []
        zeros = []
        for spec, c in found:
            zero = self.zero(where, facts, spec, relation)
            extents(where, facts, *sums_in(zero))
            zeros.append((self.read.value(c), canonical(zero), spec[0]))
        divisors = divisors.union(*(inverses(z) for _, z, kind in zeros if kind == "equation"))
        sizes = at_least_one(facts)
        for factor, zero, _ in zeros:
            unknown = {a for a in inverses(factor) - divisors if not exponential(a, sizes)}
            if unknown:
                raise Refused(f"{where}: {show_atom(min(unknown, key=order))} is of neither side")
            change = mul(factor, zero)
            difference = sub(difference, canonical(change))
        if difference:
            raise Refused(f"{where}: the two sides differ by {show(difference)[:400]}")

    def empty(self, where: str, facts: list[Fact], source: Any) -> Poly:
        """The sum without a term: its ranges and guards contradict each other."""
        kind, loops, guards, _ = source
        if kind != "sum":
            raise Refused(f"{where}: a {kind} over nothing has no value")
        inside = facts + ranges((i, dict(e)) for i, e in loops) + thaw(guards)
        self.settle(f"{where}, empty", inside, [NEVER])
        return {}

    def zero(self, where: str, facts: list[Fact], spec: list[str], relation: Any) -> Poly:
        """A relation, or ["implied", h, g, ...]: where all conditions g hold, h does, so that
        [g]...(1 - [h]) = 0."""
        if spec[0] != "implied":
            return dict(relation(spec))
        (goal,), *conditions = map(self.read.guards, spec[1:])
        given = [g for found in conditions for g in found]
        self.settle(f"{where}, {spec[1]}", facts + thaw(given), thaw([goal]))
        holds = [reduction("sum", (), [g], const(1)) for g in (*given, goal)]
        return mul(*holds[:-1], sub(const(1), holds[-1]))

    def target(self, m: Any, like: list[Any], source: Any, where: str = "") -> tuple[Any, Any]:
        """The loops and guards of the re-indexed sum: another sum's, or those given."""
        if m.get("like") is not None:
            if m["like"] not in range(len(like)) or like[m["like"]][0] != source[0]:
                raise Refused(f"{where}: there is no {source[0]} {m['like']!r} on the other side")
            return like[m["like"]][1:3]
        loops = tuple((i, freeze(self.integer(e))) for i, e in m.get("loops", []))
        return loops, tuple((k, freeze(self.integer(p))) for k, p in m.get("guards", []))

    def reindex(
        self, where: str, facts: list[Fact], source: Any, loops: Any, guards: Any, m: Any
    ) -> Poly:
        """The sum `source` over other indices: there (m["map"]) and back (m["back"]) is the
        identity both ways, ranges and guards carry over, so the same terms are added."""
        kind, old_loops, old_guards, body = source
        there = {i: self.integer(e) for i, e in m["map"].items()}
        back = {i: self.integer(e) for i, e in m["back"].items()}
        if set(there) != {i for i, _ in old_loops} or set(back) != {i for i, _ in loops}:
            raise Refused(f"{where}: the bijection does not name the indices of the two sums")
        names = [i for i, _ in loops]
        free = free_symbols(facts) | _symbols(source) | _symbols(("sum", loops, guards, ()))
        if len({*names}) < len(names) or {*names, *there} & free:
            raise Refused(f"{where}: an index has the name of something else")
        outer = set().union(*(symbols(dict(e)) for _, e in loops))
        inner = [*there.values(), *(dict(g) for _, g in guards)]
        stray = ({*there} - {*names}) & outer.union(*map(symbols, inner))
        stray |= outer & {*names, *there} | ({*names} - {*there}) & set().union(
            *map(symbols, back.values())
        )
        if stray:
            raise Refused(f"{where}: {sorted(stray)} is an index of the other sum")
        if kind == "argmax" and loops != old_loops:
            raise Refused(f"{where}: a position depends on the extents")
        rewrite = [(t, self.integer(a), self.integer(b)) for t, a, b in m.get("rewrite", [])]
        if kind != "sum" and (
            there != {i: var(i) for i in there} or [i for i, _ in loops] != list(there)
        ):
            raise Refused(f"{where}: a {kind} keeps its indices in order")
        extents(where, facts, (kind, loops, guards, body))
        domain = facts + ranges((i, dict(e)) for i, e in loops) + thaw(guards)
        goals = ranges_at((there[i], substitute(dict(e), there)) for i, e in old_loops)
        goals += [(k, substitute(dict(g), there)) for k, g in old_guards]
        goals += [("==", sub(substitute(back[i], there), var(i))) for i, _ in loops]
        goals += [("==", sub(a, b)) for _, a, b in rewrite]
        self.settle(where + ", there", domain, goals)
        image = facts + ranges((i, dict(e)) for i, e in old_loops) + thaw(old_guards)
        goals = ranges_at((back[i], substitute(dict(e), back)) for i, e in loops)
        goals += [(k, substitute(dict(g), back)) for k, g in guards]
        goals += [("==", sub(substitute(there[i], back), var(i))) for i, _ in old_loops]
        self.settle(where + ", back", image, goals)
        self.witnessed(where, domain, image, there, m["witness"])
        term = rewrite_subscripts(substitute(dict(body), there), rewrite)
        return reduction(kind, loops, guards, term)

    def satisfied(self, where: str, facts: list[Fact]) -> None:
        """The facts hold together somewhere that is not degenerate."""
        found = self.maps(f"{where}: witness", facts)
        if not found:
            raise Refused(f"{where}: no values show that its hypotheses hold together")
        self.witnessed(where, facts, [], {}, found[0]["witness"])

    def witnessed(
        self, where: str, domain: list[Fact], image: list[Fact], there: Env, at: Mapping[str, int]
    ) -> None:
        """The hypotheses of both directions hold together somewhere that is not degenerate."""
        if any(type(v) is not int for v in at.values()):
            raise Refused(f"{where}: a witness has integers")
        mapped = dict(at) | {i: evaluate(p, at) for i, p in there.items()}
        for values, facts in ((dict(at), domain), (mapped, image)):
            for f in facts:
                v = evaluate(f[1], values)
                if v < 0 or (f[0] == "==" and v):
                    raise Refused(f"{where}: the witness breaks {show_fact(f)}")
        definition = self.record["definition"]
        sizes = {*definition["lower"], *definition["derived"]}
        for s in {*definition["sizes"]} | sizes:  # an integer such as a padding may be negative
            if at.get(s, 2) < 2 if s in sizes else at.get(s, 1) == 0:
                raise Refused(f"{where}: the witness has {s} = {at[s]}, which shows too little")


def ranges_at(pairs: Iterable[tuple[Poly, Poly]]) -> list[Fact]:
    """0 <= p < extent for each pair."""
    return [f for p, n in pairs for f in ((">=", p), (">=", add(n, scale(p, -1), const(-1))))]


def rewrite_subscripts(p: Poly, rows: list[tuple[str, Poly, Poly]]) -> Poly:
    """p with subscripts of a tensor replaced by others that were shown to be equal."""
    table = {(t, freeze(a)): freeze(b) for t, a, b in rows}
    names = set().union(*(symbols(a) | symbols(b) for _, a, b in rows))

    def visit(a: Any) -> Poly:
        if isinstance(a, str):
            return var(a)
        if a[0] == "read":
            return var((*a[:2], tuple(table.get((a[1], s), s) for s in a[2])))
        if a[0] in ("sum", "max", "argmax"):
            if names & {i for i, _ in a[1]}:  # there, a name means another index
                return var(a)
            return reduction(a[0], a[1], a[2], rebuild(dict(a[3]), visit))
        return with_parts(a, [rebuild(dict(q), visit) for q in parts(a)])

    return rebuild(p, visit) if table else p


def digest(facts: list[Fact], goals: list[Fact]) -> str:
    """A name for an obligation."""
    text = "\n".join(map(show_fact, facts)) + "\n|-\n" + "\n".join(map(show_fact, goals))
    return sha256(text)[:16]


def show_fact(f: Fact) -> str:
    """A fact as text."""
    return f"{show(f[1])} {f[0]} 0"


# -- the kernels' text --------------------------------------------------------------------------
TOKEN = re.compile(  # C's, with the longest operator first: `--` is no sign twice
    r"[ \t\n]+|//[^\n]*|#[^\n]*"
    r"|([A-Za-z_]\w*|\d\w*(?:\.\d+)?|\+\+|--|->|<<|>>|/\*|&&|\|\||[-+*/%&|^<>=!]=|[-+*/%^<>=?:;,(){}\[\]])|(.)",
    re.ASCII | re.DOTALL,
)
NUMBER = re.compile(r"0|[1-9][0-9]{0,99}", re.ASCII)  # 010 is octal
NAME = re.compile(
    r"(?!_)(?!SIZE_|REAL\b|INT_MAX\b|INFINITY\b|pi\b|id\b|sizes\b)[A-Za-z_]\w*", re.ASCII
)
REALS = {
    "exp": "exp",
    "log": "log",
    "sqrt": "sqrt",
    "tanh": "tanh",
    "erf": "erf",
    "sign": "sign",
    "pow": "pow",
    "fabs": "abs",
}
PARAMETERS = {  # the words before a parameter's name -> its type, and whether it is a tensor
    ("const", "REAL"): ("real", False),
    ("const", "uint"): ("uint", False),
    ("const", "int"): ("int", False),
    ("__global", "REAL", "*"): ("real", True),
    ("__global", "int", "*"): ("int", True),
    ("__global", "const", "REAL", "*"): ("real", True),
    ("__global", "const", "int", "*"): ("int", True),
}
HELPERS = {  # sha256 of the helper functions' tokens, each on its own
    "floor_div": "d01840e2048026ee8254067b8bcdfab0e74c12602d8519bee666277e0c08bf37",
    "floor_mod": "8b69bbcecfb372a21f8ac7d36417ef494ab7def7f5adb0f63798e6011bca9841",
    "philox4x32": "38c3a52a9ca3670890bf7122b34a747e6e8a3975a51e0707015cad0799e82453",
}
BINARY = [["||"], ["&&"], ["==", "!="], ["<", "<=", ">", ">="], ["+", "-"], ["*", "/", "%"]]


class Source:
    """The tokens of a `.cl` file, and a parser for the subset that docs/kernel-subset.md fixes.

    A statement is a tuple (kind, line, ...); an expression is (operator, line, operands...).
    """

    def __init__(self, name: str, text: str) -> None:
        self.name, self.at, line = name, 0, 1
        self.tokens: list[tuple[str, int]] = []
        for found in TOKEN.finditer(text):
            hides = found[0].startswith(("/*", "//")) and re.search(
                r"^/\*|[\\\r\0\f\v]|\?\?/", found[0]
            )
            if found[2] or hides:  # a comment that C ends elsewhere, or no character of the subset
                raise Refused(f"{name}:{line}: {found[0][:20]!r} is outside the subset")
            if found[1]:
                self.tokens.append((found[1], line))
            elif found[0].startswith("#") and (
                found[0] != "#pragma OPENCL FP_CONTRACT ON"
                or text[: found.start()].rpartition("\n")[2]
            ):
                raise Refused(f"{name}:{line}: no directive but the one pragma")
            line += found[0].count("\n")
        self.tokens.append(("", line))

    @property
    def line(self) -> str:
        """Where the next token stands."""
        return f"{self.name}:{self.tokens[self.at][1]}"

    def peek(self, ahead: int = 0) -> str:
        """The next token, or a later one."""
        return self.tokens[min(self.at + ahead, len(self.tokens) - 1)][0]

    def take(self, *expected: str) -> str:
        """The next token, which has to be one of `expected` if that is given."""
        token = self.peek()
        if (expected and token not in expected) or not token:
            wanted = " or ".join(map(repr, expected)) or "more"
            raise Refused(f"{self.line}: {token!r} where the subset has {wanted}")
        self.at += 1
        return token

    def takes(self, *tokens: str) -> bool:
        """Step over these tokens if they come next."""
        if all(self.peek(k) == t for k, t in enumerate(tokens)):
            self.at += len(tokens)
            return True
        return False

    def kernels(self) -> Iterator[tuple[str, str, Any, Any]]:
        """(name, line, parameters, statements) of every kernel in the file."""
        while self.peek():
            where, start = self.line, self.at
            if not self.takes("__kernel", "void"):
                self.helper(start, where)
                continue
            name = self.take()
            self.take("(")
            parameters = [self.parameter()]
            while self.take(",", ")") == ",":
                parameters.append(self.parameter())
            yield name, where, parameters, self.block()

    def helper(self, start: int, where: str) -> None:
        """A helper function: its tokens are compared with the known ones."""
        self.take("int", "uint")
        name = self.take(*HELPERS)
        depth = 0
        while (token := self.take()) != "}" or depth > 1:
            depth += (token == "{") - (token == "}")
        text = " ".join(t for t, _ in self.tokens[start : self.at])
        if sha256(text) != HELPERS[name]:
            raise Refused(f"{where}: {name} is not the known helper")

    def parameter(self) -> tuple[str, str, bool, bool]:
        """(name, type, whether it is a tensor, whether it has `restrict`) of a parameter."""
        where, words = self.line, [self.take()]
        while self.peek() not in (",", ")"):
            words.append(self.take())
        name, restrict = words.pop(), words[-1:] == ["restrict"]
        known = PARAMETERS.get(tuple(words[: len(words) - restrict]))
        if not known or restrict > known[1] or not (NAME.fullmatch(name) or name == "sizes"):
            raise Refused(f"{where}: {' '.join(words)} {name} is no parameter of the subset")
        return name, *known, restrict

    def block(self) -> list[Any]:
        """{ statement ... }"""
        self.take("{")
        found = []
        while not self.takes("}"):
            found.append(self.statement())
        return found

    def statement(self) -> Any:
        """One statement."""
        where = self.line
        if self.takes("if", "("):
            condition = self.expression()
            self.take(")")
            return "if", where, condition, self.block()
        if self.takes("for", "(", "int"):
            name = self.take()
            for t in ("=", "0", ";", name, "<"):
                self.take(t)
            extent = self.expression(4)
            for t in (";", name, "++", ")"):
                self.take(t)
            return "for", where, name, extent, self.block()
        constant = self.takes("const")
        kind = self.take("int", "REAL") if constant or self.peek() in ("int", "REAL") else ""
        name = self.take()
        index = self.index() if not kind and self.peek() == "[" else None
        operator = self.take("=") if kind else self.take("=", "+=")
        value = self.expression()
        self.take(";")
        return "set", where, name, value, kind, constant, index, operator

    def index(self) -> Any:
        """[ expression ]"""
        self.take("[")
        value = self.expression()
        self.take("]")
        return value

    def expression(self, level: int = 0) -> Any:
        """An expression; `level` is the first row of BINARY that may stand in it."""
        if level == len(BINARY):
            return self.unary()
        left = self.expression(level + 1)
        while self.peek() in BINARY[level]:
            where = self.line
            left = (self.take(), where, left, self.expression(level + 1))
        if level == 0 and self.peek() == "?":
            where = self.line
            self.take("?")
            yes = self.expression()
            self.take(":")
            return "?", where, left, yes, self.expression()
        return left

    def unary(self) -> Any:
        """A sign, a cast, brackets, a number, a name, an element or a call."""
        where = self.line
        if self.takes("-"):
            return "neg", where, self.unary()
        for kind in ("REAL", "uint"):
            if self.takes("(", kind, ")"):
                return kind, where, self.unary()
        if self.takes("("):
            inner = self.expression()
            self.take(")")
            return inner
        token = self.take()
        if token in LITERALS:
            return LITERALS[token], where
        if token[0].isdigit():
            if not NUMBER.fullmatch(token):
                raise Refused(f"{where}: {token} is no number of the subset")
            return "number", where, int(token)
        if self.peek() == "[":
            return "element", where, token, self.index()
        if self.takes("("):
            arguments = [] if self.peek() == ")" else [self.expression()]
            while self.take(",", ")") == ",":
                arguments.append(self.expression())
            return "call", where, token, arguments
        return "name", where, token


Path_ = tuple[Any, ...]


class Kernel:
    """One kernel's text, run on symbols: what it stores, and what that takes for granted."""

    def __init__(self, system: System, text: Any, certificates: Certificates, base: Any) -> None:
        self.name, self.where, self.parameters, self.body = text
        self.system, self.certificates, self.base = system, certificates, base
        self.ints: dict[str, Poly] = {}
        self.reals: dict[str, Poly] = {}
        self.depth: dict[str, int] = {}
        self.kind: dict[str, str] = {}  # of an accumulator: sum, max or position
        self.unsigned: set[str] = set()
        self.reads: dict[str, str] = {}  # tensor -> where it is first read
        self.blocks: list[object] = []  # the loops and conditions that are entered
        self.changed: dict[str, list[object]] = {}  # accumulator -> blocks it was last changed in
        self.level: dict[str, int] = {}  # accumulator -> how many blocks it was declared in
        self.final: set[str] = set()  # accumulators that were read
        self.path: list[Any] = []  # ("loop", i, extent) or ("guard", guard)
        self.goals: dict[Path_, list[tuple[str, str, Fact]]] = {}
        self.stored: Any = None
        self.grid: list[tuple[str, Poly]] = []
        self.parameter_types()

    def fail(self, where: str, what: str) -> Refused:
        """An error at a line."""
        return Refused(f"{where}: {self.name}: {what}")

    def parameter_types(self) -> None:
        """Tensors and scalars with the types that the definition gives them; `sizes` last."""
        self.tensors: dict[str, Tensor] = {}
        self.in_place: set[str] = set()
        names = [name for name, *_ in self.parameters]
        if len({*names}) < len(names) or self.parameters[-1] != ("sizes", "int", True, True):
            raise self.fail(self.where, "a parameter has another's name, or sizes is not the last")
        for name, kind, is_tensor, restrict in self.parameters[:-1]:
            if is_tensor:
                t = self.system.tensors.get(name.removeprefix("grad_"))
                t = self.system.tensors.get(name, t)
                gradient = name not in self.system.tensors and name.startswith("grad_")
                if t is None or kind != ("real" if gradient else t.dtype):
                    raise self.fail(self.where, f"argument {name} is no tensor of this type")
                self.tensors[name] = Tensor(name, t.shape, {"dtype": t.dtype})
                if not restrict:
                    self.in_place.add(name)
            elif self.system.record["scalars"].get(name) != kind:
                raise self.fail(
                    self.where, f"argument {name} is no {kind} scalar of the definition"
                )
            elif kind == "real":
                self.reals[name] = var(name)
            else:
                self.ints[name] = var(name)
                self.unsigned |= {name} if kind == "uint" else set()

    # -- running the text
    def run(self) -> tuple[str, Poly]:
        """(target, value) of the one store; then every read and number is shown to be in range."""
        *head, last = self.body
        sizes = {*self.system.record["sizes"], *self.system.derived()}
        seen: set[str] = set()
        for s in head:
            where, name, value = s[1:4]
            if s[0] != "set" or s[4:] != ("int", True, None, "=") or name in seen:
                raise self.fail(where, "before the work-item come its number and the sizes")
            seen.add(name)
            if name in sizes and value[0] == "name" and value[2] == f"SIZE_{name}":
                self.ints[name] = var(name)
            elif (name, value[2:]) != ("id", ("get_global_id", [("number", value[1], 0)])):
                raise self.fail(where, f"{name} is no size and not the work-item")
        if last[0] != "if" or last[2][0] != "<" or last[2][2][2:] != ("id",):
            raise self.fail(last[1], "the body has to stand under if (id < ...)")
        self.decode(last)
        for statement in last[3][len(self.grid) if self.grid else 0 :]:
            if self.stored:
                raise self.fail(statement[1], "nothing may follow the store")
            self.execute(statement)
        if not self.stored:
            raise self.fail(self.where, "nothing is stored")
        return self.stored

    def decode(self, last: Any) -> None:
        """The work-item's number and the element's subscripts determine each other: every element
        is written by exactly one work-item. id = ((i0*n1 + i1)*n2 + i2)..., 0 <= ik < nk."""
        target = last[3][-1][2]
        if target not in self.tensors:
            raise self.fail(last[3][-1][1], f"{target} is no tensor that is written")
        shape = self.tensors[target].shape
        self.ints["id"] = var("id")
        total = self.integer(last[2][3])
        if total != mul(*shape):
            raise self.fail(last[1], f"{show(total)} work-items write {show(mul(*shape))} elements")
        lets = last[3][: len(shape)]
        values = []
        for statement in lets:
            if statement[0] != "set" or statement[4:6] != ("int", True):
                raise self.fail(statement[1], f"{target} has {len(shape)} subscripts")
            values.append(self.integer(statement[3]))
        self.item = self.base.facts + ranges([("id", total)])
        goals = ranges_at(zip(values, shape, strict=True))
        goals.append(("==", sub(row_major(zip(values, shape, strict=True)), var("id"))))
        self.once = f"{last[1]}: {self.name}: one work-item for every element of {target}", goals
        for s in lets:
            self.declare(s[1], s[2])
            self.grid.append((s[2], shape[len(self.grid)]))
        self.ints |= {i: var(i) for i, _ in self.grid}
        self.facts = self.base.facts + ranges(self.grid)
        self.first = self.goals.pop((), [])

    def execute(self, s: Any) -> None:
        """One statement."""
        if s[0] == "for":
            _, where, name, extent, block = s
            self.declare(where, name)
            self.blocks.append(object())
            self.inside(("loop", name, self.integer(extent)), block, {name: var(name)})
            self.blocks.pop()
            del self.ints[name]
        elif s[0] == "if":
            _, where, condition, block = s
            if fold := self.fold_of(s):
                self.fold(where, *fold)
                return
            if self.is_real(condition):
                raise self.fail(where, "a condition on real numbers only updates a maximum")
            mark = len(self.path)
            self.assume(condition)
            self.blocks.append(object())
            self.run_block(block)
            self.blocks.pop()
            del self.path[mark:]
        else:
            self.assign(*s[1:])

    def inside(self, step: Any, block: list[Any], ints: Env) -> None:
        """A block under one more loop."""
        self.path.append(step)
        self.ints |= ints
        self.run_block(block)
        self.path.pop()

    def run_block(self, block: list[Any]) -> None:
        """A block; what it declares ends with it."""
        before = set(self.ints), set(self.reals), set(self.depth)
        for statement in block:
            self.execute(statement)
        tables: list[dict[str, Any]] = [self.ints, self.reals, self.depth]
        for table, names in zip(tables, before, strict=True):
            for name in set(table) - names:
                del table[name]

    def declare(self, where: str, name: str) -> None:
        """A new name: it hides none."""
        record = self.system.record
        outer = {*self.tensors, *record["sizes"], *record["derived"], *record["scalars"]}
        if name in {*self.ints, *self.reals, *outer, *(i for i, _ in self.grid)}:
            raise self.fail(where, f"{name} is declared twice")
        if not NAME.fullmatch(name):
            raise self.fail(where, f"{name!r} is no name for a variable")

    def assign(
        self,
        where: str,
        name: str,
        value: Any,
        kind: str,
        constant: bool,
        index: Any,
        operator: str,
    ) -> None:
        """A declaration, a term of a sum, or the store."""
        if index is not None:
            self.store(where, name, value, index, operator)
        elif kind == "int" and constant:
            self.declare(where, name)
            self.ints[name] = self.integer(value)
        elif kind == "REAL" and constant:
            self.declare(where, name)
            self.reals[name] = self.real(value)
        elif kind:  # an accumulator: 0 for a sum, -INFINITY for a maximum, -1 for a position
            self.declare(where, name)
            start = show(self.number(value))
            kinds = {"0": "sum", "-INFINITY": "max"} if kind == "REAL" else {"-1": "position"}
            if start not in kinds:
                raise self.fail(where, f"{name} starts at {start}")
            self.depth[name], self.kind[name] = len(self.path), kinds[start]
            self.changed[name], self.level[name] = [], len(self.blocks)
            self.final.discard(name)
            self.reals[name] = {} if start == "0" else var("nothing yet")
        elif operator == "+=" and name in self.depth and self.kind[name] == "sum":
            term = self.over(self.depth[name], "sum", self.real(value))
            self.reals[name] = add(self.reals[name], term)
            self.change(where, name)
        else:
            raise self.fail(where, f"{name} is not a sum of this block")

    def number(self, value: Any) -> Poly:
        """What an accumulator starts from."""
        if value[0] == "neg":
            return scale(self.number(value[2]), -1)
        if value[0] not in ("number", "name"):
            raise self.fail(value[1], "an accumulator starts at a number")
        return const(value[2]) if value[0] == "number" else var(value[2])

    def change(self, where: str, name: str) -> None:
        """Note that an accumulator changes here."""
        if name in self.final:
            raise self.fail(where, f"{name} changes after it was read")
        self.changed[name] = list(self.blocks)

    def accumulated(self, where: str, name: str) -> Poly:
        """A real variable; an accumulator once all it takes in was met."""
        if name in self.depth:
            if {*self.changed[name][self.level[name] :]} & {*self.blocks}:
                raise self.fail(where, f"{name} is read before its loop ends")
            self.final.add(name)
        return self.reals[name]

    def over(self, depth: int, kind: str, body: Poly) -> Poly:
        """The reduction over what was entered since `depth`."""
        loops = [(s[1], freeze(s[2])) for s in self.path[depth:] if s[0] == "loop"]
        guards = [s[1] for s in self.path[depth:] if s[0] == "guard"]
        return reduction(kind, loops, guards, body)

    def store(self, where: str, name: str, value: Any, index: Any, operator: str) -> None:
        """The store of a work-item's one element."""
        if operator != "=" or self.path or self.integer(index) != var("id"):
            raise self.fail(where, f"the store has to be {name}[id] = ..., once")
        integer = self.tensors[name].dtype == "int" and name in self.system.tensors
        self.stored = name, self.real(value) if not integer else self.position(where, value)

    # -- maxima
    def fold_of(self, s: Any) -> Any:
        """(accumulator, comparison, assignments) if the block updates a maximum."""
        sets = [t for t in s[3] if t[0] == "set" and not t[4] and t[6] is None and t[7] == "="]
        if len(sets) != len(s[3]) or not sets or any(t[2] not in self.depth for t in sets):
            return None
        return s[2], sets

    def fold(self, where: str, comparison: Any, sets: list[Any]) -> None:
        """`if (better) { max = term; position = p; }`: keeps the first maximum, NaN on top.

        The condition only compares, so three kinds of state and the ways a term can compare with
        it are all there is; each is tried.
        """
        value = next((t for t in sets if t[3][0] == "name" and t[3][2] in self.reals), None)
        if value is None:
            raise self.fail(where, "no accumulator takes the term")
        best, term = value[2], value[3][2]
        place = next((t for t in sets if t is not value), None)
        if len(sets) > 2 or self.reals[best] != var("nothing yet") or self.kind[best] != "max":
            raise self.fail(where, f"{best} is updated twice")
        if place and (self.kind[place[2]], self.reals[place[2]]) != (
            "position",
            var("nothing yet"),
        ):
            raise self.fail(where, f"{place[2]} is no position")
        if term in self.depth:
            raise self.fail(where, f"{term} changes itself")
        self.compares(comparison, {best, term}, place[2] if place else "")
        names = {"best": best, "term": term, "position": place[2] if place else ""}
        for state in (None, 0.0, float("nan"), float("-inf")):
            for new in (-1.0, 0.0, 1.0, float("nan"), float("-inf")):
                self.fold_case(where, comparison, names, state, new)
        first = self.depth[best]
        loops = [(var(s[1]), s[2]) for s in self.path[first:] if s[0] == "loop"]
        self.reals[best] = self.over(first, "max", self.reals[term])
        if place:
            at = self.integer(place[3])
            if at != row_major(loops) or self.depth[place[2]] != first:
                raise self.fail(place[1], f"{show(at)} is not the row-major position of the loops")
            self.reals[place[2]] = self.over(first, "argmax", self.reals[term])
            self.change(where, place[2])
        self.change(where, best)

    def compares(self, e: Any, reals: set[str], position: str) -> None:
        """A condition of comparisons between `reals`, and `position < 0`; no other numbers."""
        kind, where, *rest = e
        if kind in ("&&", "||"):
            for r in rest:
                self.compares(r, reals, position)
            return
        both = all(r[0] == "name" and r[2] in reals for r in rest)
        first = kind == "<" and rest[0][::2] == ("name", position) and rest[1][::2] == ("number", 0)
        if kind not in ("<", "<=", ">", ">=", "==", "!=") or not (both or first):
            raise self.fail(where, "a maximum is updated where the term is compared with it")

    def fold_case(self, where: str, comparison: Any, names: Any, state: Any, new: float) -> None:
        """One case: `state` is the best so far (None: no tap yet), `new` the term."""
        best = float("-inf") if state is None else state
        if names["position"]:
            wanted = state is None or new > best or (new != new and best == best)
        else:  # without a position only the value counts, and NaN for NaN changes nothing
            wanted = new > best or (new != new and best == best)
        values = {
            names["best"]: best,
            names["term"]: new,
            names["position"]: -1 if state is None else 3,
        }
        got = truth(comparison, values)
        same_value = new != new and best != best
        if got != wanted and not (same_value and not names["position"]):
            raise self.fail(
                where, f"with {best} so far, {new} would {'' if got else 'not '}be taken"
            )

    def position(self, where: str, value: Any) -> Poly:
        """The value of an integer store: a position, or an integer expression."""
        if value[0] == "name" and value[2] in self.depth and self.kind[value[2]] == "position":
            return self.accumulated(where, value[2])
        return self.integer(value)

    # -- expressions
    def integer(self, e: Any) -> Poly:
        """The value of an integer expression; it is noted that it fits and divides rightly."""
        kind, where, *rest = e
        match kind:
            case "number" if rest[0] <= INT_MAX:
                return const(rest[0])
            case "name" if rest[0] in self.ints and rest[0] not in self.unsigned:
                return self.ints[rest[0]]
            case "neg":
                return scale(self.integer(rest[0]), -1)
            case "element" if self.dtype(where, rest[0]) == "int":
                return self.element(where, *rest)
            case "call" if rest[0] in ("floor_div", "floor_mod"):
                a, b = [self.integer(a) for a in rest[1]]
                self.divisor(where, b)
                return divide(a, b)[rest[0] == "floor_mod"]
            case "/" | "%":
                a, b = map(self.integer, rest)
                self.divisor(where, b)
                self.need(where, "/ rounds down", (">=", a))
                return divide(a, b)[kind == "%"]
            case "+" | "-" | "*":
                a, b = map(self.integer, rest)
                value = binary({"+": "Add", "-": "Sub", "*": "Mult"}[kind], a, b)
                self.need(where, "fits", (">=", value))
                return value
        raise self.fail(where, f"{rest[0] if rest else kind} is no integer here")

    def divisor(self, where: str, b: Poly) -> None:
        """What divides is at least 1."""
        if not positive(b, at_least_one(self.base.facts)):
            raise self.fail(where, f"{show(b)} divides, and may be 0 or less")

    def is_unsigned(self, e: Any) -> bool:
        """Whether C takes the expression modulo 2^32."""
        return (
            e[0] == "uint"
            or (e[0] == "name" and e[2] in self.unsigned)
            or e[2:3] == ("philox4x32",)
        )

    def unsigned_integer(self, e: Any) -> Poly:
        """The value of an unsigned expression: a scalar, a cast of what is not negative, philox.

        A number below 2^32 too: beside an unsigned one, C takes it as it is (int becomes uint;
        above INT_MAX it is a long, and so is the other).
        """
        kind, where, *rest = e
        match kind:
            case "number" if rest[0] <= UINT_MAX:
                return const(rest[0])
            case "name" if rest[0] in self.unsigned:
                return self.ints[rest[0]]
            case "uint" if self.is_unsigned(rest[0]):
                return self.unsigned_integer(rest[0])
            case "uint":
                value = self.integer(rest[0])
                self.need(where, "has no sign", (">=", value))
                return value
            case "call" if rest[0] == "philox4x32" and len(rest[1]) == 4:
                return call("philox", *map(self.unsigned_integer, rest[1]))
        raise self.fail(where, f"{kind if kind == 'neg' else rest[0]} is not unsigned")

    def real(self, e: Any) -> Poly:
        """The value of a real expression: an integer in it is under a cast (1/2 is 0 in C)."""
        kind, where, *rest = e
        match kind:
            case "REAL" if rest[0][0] in LITERALS.values():
                return var("pi") if rest[0][0] == "pi" else call("exp", const(1))
            case "REAL" if self.is_unsigned(rest[0]):
                return self.unsigned_integer(rest[0])
            case "REAL" if rest[0][0] == "number" and rest[0][2] <= LONG_MAX:
                return const(rest[0][2])  # a long above INT_MAX
            case "REAL":
                return self.integer(rest[0])
            case "name" if rest[0] in self.reals and self.kind.get(rest[0]) != "position":
                return self.accumulated(where, rest[0])
            case "element" if self.is_real(e):
                return self.element(where, *rest)
            case "neg":
                return scale(self.real(rest[0]), -1)
            case "+" | "-" | "*" | "/":
                if kind == "/":
                    return mul(self.real(rest[0]), self.inverse(rest[1]))
                return binary({"+": "Add", "-": "Sub", "*": "Mult"}[kind], *map(self.real, rest))
            case "call" if rest[0] in REALS and len(rest[1]) == 1:
                return call(REALS[rest[0]], self.real(rest[1][0]))
            case "?":
                return self.choice(*rest)
        raise self.fail(where, f"{rest[0] if rest else kind} is no real number here")

    def inverse(self, e: Any) -> Poly:
        """1/e, of a product factor by factor."""
        if e[0] == "*":
            return mul(self.inverse(e[2]), self.inverse(e[3]))
        return call("inv", self.real(e))

    def choice(self, condition: Any, yes: Any, no: Any) -> Poly:
        """(condition ? yes : no)"""
        mark = len(self.path)
        guards = self.assume(condition)
        a = self.real(yes)
        del self.path[mark:]
        b = {} if no[0] == "number" and no[2] == 0 else self.real(no)  # 0 is also a real number
        return self.system.text.where(guards, a, b)

    def assume(self, condition: Any) -> list[Any]:
        """Add a condition to the path, part by part: what stands before && holds behind it."""
        kind, where, *rest = condition
        if kind == "&&":
            return self.assume(rest[0]) + self.assume(rest[1])
        names = {"==": "Eq", "<=": "LtE", "<": "Lt", ">=": "GtE", ">": "Gt"}
        if kind not in names:
            raise self.fail(where, f"{kind} is no condition")
        real = self.is_real(condition)
        plain = self.unsigned_integer if any(map(self.is_unsigned, rest)) else self.integer
        a, b = ((self.real if real else plain)(r) for r in rest)
        if real:
            guard = real_compare(names[kind], a, b)
            return [guard]
        guard = compare(names[kind], a, b)
        self.path.append(("guard", guard))
        return [guard]

    def is_real(self, e: Any) -> bool:
        """Whether an expression mentions a real number."""
        kind, _, *rest = e
        if kind in ("REAL",) or (kind == "name" and rest[0] in self.reals):
            return True
        if kind == "element":
            real = self.dtype(e[1], rest[0]) == "real"
            return real or rest[0] not in self.system.tensors
        if kind == "call":
            return rest[0] not in HELPERS
        return any(isinstance(r, tuple) and self.is_real(r) for r in rest)

    def dtype(self, where: str, name: str) -> str:
        """real or int, of a tensor that is read."""
        if name not in self.tensors:
            raise self.fail(where, f"{name} is no tensor that is read")
        return self.tensors[name].dtype

    def element(self, where: str, name: str, address: Any) -> Poly:
        """An element, from its row-major address."""
        self.dtype(where, name)
        self.reads.setdefault(name, where)
        t = self.tensors[name]
        subs = self.subscripts(where, t, address, t.shape)
        for s, n in zip(subs, t.shape, strict=True):
            self.need(where, f"{name} is read inside", (">=", s))
            self.need(where, f"{name} is read inside", (">=", add(n, scale(s, -1), const(-1))))
        if name in self.in_place and subs != [var(i) for i, _ in self.grid]:
            raise self.fail(where, f"{name} may be the target; only the own element may be read")
        return t.element(subs)

    def subscripts(self, where: str, t: Tensor, address: Any, shape: list[Poly]) -> list[Poly]:
        """The subscripts of a row-major address ((i0*n1 + i1)*n2 + i2)...

        The elements before it are at most their number less n, so with a partial sum of the
        subscript between -n and n no part of the address leaves 32 bits: it needs nothing else."""
        if not shape:
            if self.integer(address):
                raise self.fail(where, f"{t.name} has one element, [0]")
            return []
        terms = []  # address = first +- term +- ... +- term
        while address[0] in ("+", "-"):
            terms.append((address[0], address[3]))
            address = address[2]
        outer: list[Poly] = []
        partial: Poly = {}
        if len(shape) == 1:
            terms.append(("+", address))
        elif address[0] != "*" or self.integer(address[3]) != shape[-1]:
            raise self.fail(where, f"this is no row-major address of {t.name}")
        else:
            outer = self.subscripts(where, t, address[2], shape[:-1])
        for k, (sign, term) in enumerate(reversed(terms)):
            value = self.integer(term)
            partial = add(partial, value if sign == "+" else scale(value, -1))
            if k < len(terms) - 1:
                if len(shape) == 1:
                    self.need(where, "fits", (">=", partial))
                    continue
                self.need(where, "address", (">=", add(shape[-1], partial)))
                self.need(where, "address", (">=", sub(shape[-1], partial)))
        return [*outer, partial]

    # -- what has to hold
    def need(self, where: str, why: str, goal: Fact) -> None:
        """Note a goal at the present place."""
        path = tuple((s[0], s[1], freeze(s[2])) if s[0] == "loop" else s for s in self.path)
        goals = self.goals.setdefault(path, [])
        if (why, goal) not in [(w, g) for _, w, g in goals]:
            goals.append((where, why, goal))

    def written_once(self) -> None:
        """Every element of the target is written by exactly one work-item."""
        exact = [g for _, why, g in self.first if why not in ("fits", "address")]
        self.certificates.settle(self.once[0], self.item, exact + self.once[1])

    def noted(self) -> Iterator[tuple[list[Fact], str, str, Fact]]:
        """(facts, line, why, goal) for all that was noted on the way."""
        for where, why, goal in self.first:
            if why in ("fits", "address"):
                yield self.item, where, why, goal
        for path, goals in self.goals.items():
            facts = list(self.facts)
            for s in path:
                facts += ranges([(s[1], dict(s[2]))]) if s[0] == "loop" else thaw([s[1]])
            for where, why, goal in goals:
                yield facts, where, why, goal

    def numbers(self) -> Iterator[tuple[list[Fact], str, Poly]]:
        """(facts, line, number) for all that has to fit 32 bits, but where no more is known of a
        number than at a place before."""
        done: dict[Any, list[set[Any]]] = {}
        for facts, where, why, (_, p) in self.noted():
            known = {(k, freeze(q)) for k, q in facts}
            before = done.setdefault(freeze(p), [])
            if why == "fits" and not any(less <= known for less in before):
                before.append(known)
                yield facts, where, p

    def in_range(self) -> None:
        """Every read lies inside its tensor, and every quotient is rounded downwards."""
        for facts, where, why, goal in self.noted():
            if why not in ("fits", "address"):
                self.certificates.settle(f"{where}: {self.name}: {why}", facts, [goal])

    def fits(self) -> None:
        """Every integer that is computed fits 32 bits, if the limits on the sizes hold."""
        for facts, where, why, goal in self.noted():
            if why == "address":
                self.certificates.settle(f"{where}: {self.name}: partial address", facts, [goal])
        for facts, where, p in self.numbers():
            if not is_monomial_of(p, self.base.bounded):
                both = [(">=", sub(var("INT_MAX"), p)), (">=", add(p, var("INT_MAX")))]
                wide = facts + self.base.limits
                self.certificates.settle(f"{where}: {self.name}: 32 bits", wide, both)


def is_monomial_of(p: Poly, bounded: list[Poly]) -> bool:
    """Whether p is a number, or a product of factors of a bounded product of positive sizes."""
    if set(p) <= {()}:
        return abs(p.get((), 0)) <= INT_MAX
    if len(p) != 1 or next(iter(p.values())) != 1:
        return False
    return any(divides(next(iter(p)), next(iter(b))) for b in bounded)


def divides(m: tuple[Any, ...], n: tuple[Any, ...]) -> bool:
    """Whether the monomial m is a factor of n."""
    left = list(n)
    for a in m:
        if a not in left:
            return False
        left.remove(a)
    return True


def truth(e: Any, values: Mapping[str, Any]) -> bool:
    """A comparison's value as C has it."""
    kind, _, *rest = e
    if kind in ("&&", "||"):
        a, b = (truth(r, values) for r in rest)
        return (a and b) if kind == "&&" else (a or b)
    x, y = (values[r[2]] if r[0] == "name" else r[2] for r in rest)  # `compares` has seen it
    return {"<": x < y, "<=": x <= y, ">": x > y, ">=": x >= y, "==": x == y, "!=": x != y}[kind]


# -- what is claimed ----------------------------------------------------------------------------
def needed(_: str, __: str, work: Any, *___: str) -> bool:
    """`Operator.unless_open`, where nothing may be open."""
    work()
    return True


def raises(error: Exception) -> Any:
    """A function that raises an error."""

    def work() -> None:
        raise error

    return work


class Base:
    """A system, its size facts (derived sizes are shown to be at least 1) and its size limits.

    shows(claim, statement, work) says whether a claim is shown; what is not, is no fact."""

    def __init__(
        self, system: System, certificates: Certificates, limits: list[str], shows: Any = needed
    ) -> None:
        self.system, self.certificates, self.name = system, certificates, system.name
        derived = [(">=", sub(var(s), const(1))) for s in system.derived()]
        where, what = f"{system.name}: derived sizes", "every derived size is at least 1"
        proved = shows("sizes", what, lambda: certificates.settle(where, system.sizes(), derived))
        self.facts = system.sizes() + (derived if proved else [])
        what = "some sizes, none of them degenerate, are as required"
        where = f"{system.name}: sizes"
        shows("inhabited", what, lambda: certificates.satisfied(where, self.facts))
        top = var("INT_MAX")
        counts = [mul(*t.shape) for t in system.tensors.values()]
        known = at_least_one(self.facts)
        for p in system.text.divisors:
            if not positive(p, known):
                raise Refused(f"{system.name}: {show(p)} divides, and may be 0 or less")
        whole = [p for p in [*counts, *map(Text({}).value, limits)] if len(p) == 1]
        self.bounded = [p for p in whole if min(p.values()) >= 1 and positive(p, known)]
        extra = [*counts, *map(Text({}).value, limits)]
        sizes = [*map(var, [*system.record["sizes"], *system.derived()])]
        self.limits = [(">=", sub(top, p)) for p in [*sizes, *extra]]
        lower = set(system.record["lower"])
        self.limits += [(">=", add(top, p)) for p in sizes if next(iter(p))[0] not in lower]
        # what a proved kernel stores; of those in `open`, what it is to store by definition
        self.values: dict[str, tuple[list[str], Poly]] = {}
        self.open: set[str] = set()
        self.ready = set(system.inputs)  # the tensors that a kernel may read

    def defines(self, target: str, places: list[str], meaning: Any) -> None:
        """Note that no kernel is proved to store a tensor: it is what the definition says."""
        self.open.add(target)
        with contextlib.suppress(Refused):  # without a derivative it has no meaning here
            self.values[target] = places, meaning()

    def fixed(self, when: Mapping[str, int]) -> Base:
        """The same with values for some sizes, in all that is known: it holds for them too."""
        at = {s: const(v) for s, v in when.items()}
        found = copy.copy(self)
        found.facts = [(k, substitute(p, at)) for k, p in self.facts]
        found.limits = [(k, substitute(p, at)) for k, p in self.limits]
        found.bounded = [substitute(p, at) for p in self.bounded]
        if false := [f for f in found.facts if set(f[1]) <= {()} and not certain_fact(f)]:
            raise Refused(f"{self.name}: {dict(when)} breaks {show_fact(false[0])}")
        return found

    def relation(self, spec: Any) -> Poly:
        """A polynomial that is 0: an equation of the system at some place, or what a function is
        (1/x times x, a root squared; where x is not 0, and positive under a root)."""
        kind, text, *places = spec
        if kind == "equation":
            names, value = self.values.get(text) or self.system.equations[text]
            subs = [self.system.text.value(p) for p in places]
            element = var(("read", text, tuple(map(freeze, subs))))
            return sub(element, substitute(value, dict(zip(names, subs, strict=True))))
        p = self.system.text.value(text)
        if kind == "exp":  # exp(p + q) = exp(p)*exp(q), where q has the terms of p
            q = self.system.text.value(*places)
            return sub(call("exp", add(p, q)), mul(call("exp", p), call("exp", q)))
        inverse, root = call("inv", p), call("sqrt", p)
        table = {
            "inv": lambda: sub(mul(inverse, p), const(1)),
            "sqrt": lambda: sub(mul(root, root), p),
            "inv sqrt": lambda: sub(mul(call("inv", root), call("inv", root)), inverse),
        }
        if kind not in table:
            raise Refused(f"there is no relation {kind!r}")
        return table[kind]()


class Operator:
    """One operator: its record, its entry in the manifest, the text of its kernels."""

    def __init__(self, record: Any, entry: Any, source: Any, certificates: Any = None) -> None:
        self.record, self.entry, self.source = record, entry, source
        self.certificates = certificates or Certificates(record)
        self.name = record["definition"]["name"]
        self.ledger: list[dict[str, Any]] = []
        self.open, self.may_open = record.get("open", {}), set[str]()
        if not all(type(w) is str and w and w.isprintable() for w in self.open.values()):
            raise Refused(f"{self.name}: what is open has a reason each, in one line")

    def check(self, operators: Any) -> list[dict[str, Any]]:
        """The ledger of all that was shown. Errors: Refused, with the place."""
        texts = list(self.source.kernels())
        self.kernels = {k[0]: k for k in texts}
        known, written = set(self.entry["kernels"]), set(self.kernels)
        if known != written or len(texts) != len(written):
            raise Refused(f"{self.source.name}: kernels and manifest differ: {known ^ written}")
        used = {k for v in self.entry["variants"].values() for k in v["forward"] + v["backward"]}
        forms = self.forms()
        if used ^ known != forms or used & forms:
            raise Refused(f"{self.source.name}: kernels of no variant: {known ^ used ^ forms}")
        self.bases: dict[str, Base] = {}
        for name, variant in self.entry["variants"].items():
            whole, what = f"{name}.definition", "the checker can read the definition"
            if self.unless_open(whole, what, lambda n=name, v=variant: self.read(n, v)):
                self.variant(name, variant, self.bases[name])
            else:
                self.unread(name, variant, whole)
        for claim in self.record["claims"]:
            shows = self.unless_open if claim["claim"].startswith("S1 ") else needed
            work = lambda c=claim: Claim(c, self, operators).check()  # noqa: E731
            shows(claim["claim"], claim["statement"], work)
        if stray := set(self.open) - self.may_open:
            raise Refused(f"{self.name}: {sorted(stray)} is no claim that may be open")
        unused = set(self.record["proofs"]) - self.certificates.used
        if unused:
            raise Refused(f"{self.name}: certificates {sorted(unused)} show nothing that is asked")
        return self.ledger

    def forms(self) -> set[str]:
        """The kernels that stand in for another one where sizes have given values: its arguments,
        or fewer, its target and work-items."""
        kernels, sizes = self.entry["kernels"], self.record["definition"]["sizes"]
        pairs = {(e["phases"]["kernel"], k) for k, e in kernels.items() if "phases" in e}
        if pairs != {(k, e["of"]) for k, e in kernels.items() if "of" in e}:
            raise Refused(f"{self.source.name}: phases and of name different kernels")
        found = {form for form, _ in pairs}
        if len(found) < len(pairs) or found & {base for _, base in pairs}:
            raise Refused(f"{self.source.name}: a kernel is a form of two, or has one itself")
        for form, base in pairs:
            ours, theirs, when = kernels[form], kernels[base], kernels[base]["phases"]["when"]
            if not all(s in sizes and type(v) is int for s, v in when.items()):
                raise Refused(f"{self.source.name}: {form}: {when} is not of sizes and integers")
            same = all(ours[key] == theirs[key] for key in ("target", "in_place", "work_items"))
            if not same or any(a not in theirs["arguments"] for a in ours["arguments"]):
                raise Refused(f"{self.source.name}: {form} is not launched like {base}")
        return found

    def read(self, name: str, variant: Any) -> None:
        """One variant of the recorded definition, and what is known of its sizes."""
        system = System(self.record["definition"], variant["without"])

        def shows(what: str, statement: str, work: Any) -> bool:
            return self.unless_open(f"{name}.{what}", statement, work)

        self.bases[name] = Base(system, self.certificates, self.record["limits"], shows)
        self.bases[name].name = name

    def unread(self, name: str, variant: Any, whole: str) -> None:
        """The rows of a variant's kernels where the definition, the claim `whole`, is not read."""
        for kernel in variant["forward"] + variant["backward"]:
            forms = [k for k, e in self.entry["kernels"].items() if e.get("of") == kernel]
            for form in [kernel, *forms]:
                works = [raises(Refused(f"{form}: the definition is not read"))] * 4
                self.kernel_rows(form, name, {}, works, whole)

    def again(self, kernel: str) -> bool:
        """Whether a kernel, of another variant too, has its rows."""
        return any(row["claim"] == f"{kernel}.equation" for row in self.ledger)

    def unless_open(self, claim: str, statement: str, work: Any, *basis: str) -> bool:
        """Whether `work` shows a claim; where the record lists it as open, its row says so.

        basis: the claims that are taken for granted in this one. None of them may be open."""
        self.may_open.add(claim)
        if why := self.attempt(claim, work, *basis):
            row = {"claim": claim, "operator": self.name, "statement": statement, "why": why}
            took = {"degree": 0, "steps": 0, "bytes": 0, "seconds": 0.0}
            self.ledger.append({**row, "status": "tested", **took})
        return not why

    def attempt(self, claim: str, work: Any, *basis: str) -> str:
        """Why a claim is open, as recorded; else it is shown."""
        if claim in self.open:
            return str(self.open[claim])
        for other in basis:
            if other in self.open:
                raise Refused(f"{claim}: it rests on {other}, which is not proved")
        work()
        return ""

    def row(self, claim: str, statement: str, work: Any, *basis: str, **more: str) -> bool:
        """`enter`, unless the claim is open."""

        def show() -> None:
            self.enter(claim, statement, work, **more)

        return self.unless_open(claim, statement, show, *basis)

    def enter(self, claim: str, statement: str, work: Any, **more: str) -> None:
        """Do the work, and note what it took. more: what else the row says."""
        c = self.certificates
        c.degree = c.steps = c.size = 0
        start = time.perf_counter()
        work()
        row = {"claim": claim, "operator": self.name, "statement": statement, "status": "proved"}
        row |= more
        spent = round(time.perf_counter() - start, 4)
        took = {"degree": c.degree, "steps": c.steps, "bytes": c.size, "seconds": spent}
        self.ledger.append({**row, **took})

    def variant(self, name: str, variant: Any, base: Base) -> None:
        """All kernels of a variant: the forward ones in order, then the gradients in reverse."""
        system, targets = base.system, {k: e["target"] for k, e in self.entry["kernels"].items()}
        forward = {targets[k]: k for k in variant["forward"]}
        backward = {targets[k]: k for k in variant["backward"]}
        order = [*reversed(list(system.equations)), *system.inputs]
        given = [*variant["inputs"]], [*variant["outputs"]]
        if given != (system.inputs, self.record["definition"]["outputs"]):
            raise Refused(f"{name}: the manifest has other inputs or outputs: {given}")
        in_order = [t for t in system.equations if t in forward]
        if in_order != [targets[k] for k in variant["forward"]] or set(variant["outputs"]) - set(
            in_order
        ):
            raise Refused(f"{name}: the kernels do not compute {[*system.equations]} in this order")
        if [f"grad_{t}" for t in order if f"grad_{t}" in backward] != [
            targets[k] for k in variant["backward"]
        ]:
            raise Refused(f"{name}: the kernels do not compute gradients in the order {order}")
        self.inside(name, base)
        for target in system.equations:
            if target not in forward:
                continue
            self.kernel(forward[target], base, lambda places, t=target: system.rhs(t, places))
            base.ready.add(target)
        if not variant["backward"]:
            return
        active = system.active()
        again = set().union(
            *(tensors_in(system.equations[t][1]) for t in active - {*system.inputs})
        )
        if again & active & {*variant["outputs"]}:
            raise Refused(f"{name}: an output is read again: its cotangent is not its gradient")
        base.ready |= {"grad_" + t for t in variant["outputs"]}
        if strangers := {
            t for t in backward if t.removeprefix("grad_") not in active - {*variant["outputs"]}
        }:
            raise Refused(f"{name}: {sorted(strangers)} is no gradient that is asked for")
        for target in (t for t in order if t in active and t not in variant["outputs"]):
            if "grad_" + target in backward:
                self.kernel(
                    backward["grad_" + target],
                    base,
                    lambda places, t=target: system.adjoint(t, [show(p) for p in places]),
                )
                base.ready.add("grad_" + target)
            elif target in system.inputs:
                raise Refused(f"{self.name}: no kernel computes the gradient of {target}")
            else:
                self.vanishes(name, target, base)

    def inside(self, name: str, base: Base) -> None:
        """Every read of the definition lies inside its tensor, or is guarded."""
        for target, (names, body) in base.system.equations.items():
            shape = base.system.tensors[target].shape
            facts = base.facts + ranges(zip(names, shape, strict=True))
            where = f"{name}: definition of {target}"
            asked = list(reads_inside(facts, body, base.system.tensors))

            def work(where: str = where, asked: Any = asked) -> None:
                for inner, goal in asked:
                    self.certificates.settle(where, inner, [goal])

            what = f"every read in the definition of {target} is inside its tensor or guarded"
            self.unless_open(f"{name}.{target}.inside", what, work)

    def vanishes(self, name: str, target: str, base: Base) -> None:
        """The gradient of an intermediate tensor that no kernel computes is 0."""
        shape = base.system.tensors[target].shape
        places = [f"p{k}" for k in range(len(shape))]
        facts = base.facts + ranges(zip(places, shape, strict=True))
        where = f"{name}: the gradient of {target} vanishes"

        def left() -> Poly:
            return base.system.adjoint(target, places)

        def equal() -> None:
            self.certificates.equal(where, facts, left(), {}, base.relation)

        if self.row(f"{name}.grad_{target}=0", f"dloss/d{target} = 0", equal):
            base.system.vanished.add(target)
        else:
            base.defines(f"grad_{target}", places, left)

    def kernel(self, name: str, base: Base, meaning: Any) -> None:
        """One kernel, and its form for some sizes, against the equation that it has to compute."""
        self.form(name, base, meaning, {})
        if "phases" in self.entry["kernels"][name]:
            phases = self.entry["kernels"][name]["phases"]
            self.form(phases["kernel"], base.fixed(phases["when"]), meaning, phases["when"])

    def form(self, name: str, base: Base, meaning: Any, when: Mapping[str, int]) -> None:
        """One kernel's text against an equation; `base` has the sizes `when` fixed. A text that
        cannot be read shows nothing: its claims are open, or it is refused."""
        entry = self.entry["kernels"][name]
        k = Kernel(base.system, self.kernels[name], self.certificates, base)
        whole = f"{name} in {base.name}" if self.again(name) else name
        try:
            target, value = k.run()
        except Refused as error:
            self.kernel_rows(name, base.name, when, [raises(error)] * 4)
            if not when:
                base.open.add(entry["target"])
            return
        if target != entry["target"]:
            raise Refused(f"{k.where}: {name} writes {target}, not {entry['target']}")
        places = [i for i, _ in k.grid]
        for tensor in (t for t in k.reads if t not in base.ready):
            raise k.fail(k.reads[tensor], f"{tensor} is not given, nor computed before")
        self.interface(k, entry)
        fixed = {s: const(v) for s, v in when.items()}

        def left() -> Poly:
            return substitute(meaning([var(i) for i in places]), fixed)

        def equal() -> None:
            right = substitute(value, fixed)
            self.certificates.equal(f"{k.where}: {whole}", k.facts, left(), right, base.relation)

        works = [equal, k.written_once, k.in_range, k.fits]
        shown = self.kernel_rows(name, base.name, when, works)
        if not when and shown:
            base.values[target] = places, value
        elif not when:
            base.defines(target, places, left)

    def kernel_rows(
        self, name: str, variant: str, when: Mapping[str, int], works: list[Any], *basis: str
    ) -> bool:
        """The rows of one kernel's text, and whether its equation is shown.

        The works are for equation, once, range and int32. The others take for granted that a
        work-item's subscripts lie in the target (once), and that a read is of the element that is
        meant and `/` rounds downwards (range)."""
        entry, again, first = self.entry["kernels"][name], self.again(name), len(self.ledger)
        basis = (f"{variant}.inhabited", *basis)  # nothing is shown of sizes that there are not
        target, once, inside = entry["target"], f"{name}.once", f"{name}.range"
        equal, written, reads, fits = works
        if not again:  # else its text and the sizes are the same
            self.row(once, f"{target} is written once at every place", written, *basis)
            self.row(inside, "every read is inside its tensor or guarded", reads, once, *basis)
            what = "every integer fits 32 bits under the limits"
            self.row(f"{name}.int32", what, fits, once, inside, *basis)
        sizes = " and ".join(f"{s} = {v}" for s, v in when.items())
        more = {"given": f"given {sizes}", "formal": f"{name} == {target} given {sizes}"}
        claim = f"{name}.equation in {variant}" if again else f"{name}.equation"
        given = more if when else {}
        shown = self.row(claim, entry["equation"], equal, once, inside, *basis, **given)
        self.ledger.insert(first, self.ledger.pop())
        return shown

    def interface(self, k: Kernel, entry: Any) -> None:
        """What the manifest tells a host about a kernel is what its text has."""
        target, kinds = entry["target"], {True: "write", False: "read"}
        ours = [
            (name, kinds[name == target] if is_tensor else "scalar", dtype)
            for name, dtype, is_tensor, _ in k.parameters[:-1]
        ] + [("sizes", "sizes", "int")]
        theirs = [(a["name"], a["kind"], a["dtype"]) for a in entry["arguments"]]
        if ours != theirs or Text({}).value(entry["work_items"]) != mul(*(n for _, n in k.grid)):
            raise Refused(f"{k.where}: the manifest has other arguments or work-items of {k.name}")
        if entry["in_place"] and k.in_place != set(k.tensors):
            raise Refused(f"{k.where}: {k.name} works in place, and has `restrict`")


def reads_inside(facts: list[Fact], p: Poly, tensors: Any) -> Iterator[tuple[list[Fact], Fact]]:
    """(facts, goal) for every subscript of a tensor that must not be left."""
    for a in (a for m in p for a in m if not isinstance(a, str)):
        if a[0] in ("sum", "max", "argmax"):  # an index must not meet facts about its name
            a = rename(a, set().union(*(symbols(q) for _, q in facts)))
        inner, polys = (
            facts,
            [dict(q) for q in parts(a)] if a[0] not in ("sum", "max", "argmax") else [],
        )
        if not polys and a[0] != "read":
            inner = facts + ranges((i, dict(e)) for i, e in a[1]) + thaw(a[2])
            polys = [dict(g) for _, g in a[2]] + [dict(a[3])]
        for q in polys:
            yield from reads_inside(inner, q, tensors)
        if a[0] == "read" and tensors[a[1]].outside == "forbidden":
            pairs = zip(map(dict, a[2]), tensors[a[1]].shape, strict=True)
            yield from ((facts, goal) for goal in ranges_at(pairs))


def given(claim: Any) -> str:
    """The sizes and places that a claim is about, if not all."""
    if "example" in claim:
        return "at " + ", ".join(f"{s} = {v}" for s, v in claim["example"].items())
    fixed = [f"{s} = {v}" for s, v in claim.get("fixed", {}).items()]
    told = [*fixed, *claim.get("facts", [])]
    return f"given {' and '.join(told)}" if told else ""


def formal(claim: Any) -> str:
    """What a claim says, as the checker reads it."""
    under = f" {given(claim)}" if given(claim) else ""
    if "goals" in claim:
        return " and ".join(claim["goals"]) + under
    sides = [next(iter(claim.get(s, {"text": "0"}).items())) for s in ("left", "right")]
    names = {"adjoint": "dloss/d{0}", "value": "{0}", "partial": "d{0[0]}/d{0[1]}"}
    return " == ".join(names.get(k, "{0}").format(v) for k, v in sides) + under


class Claim:
    """One claim of the record: two expressions are equal, or integers are as stated.

    record: claim, statement; `fixed`: sizes with a value; `sizes`: further sizes and lower bounds;
    `free`: [index, extent]; `left`, `right`: what is compared (see `side`); or `facts` and `goals`.
    `example`: values of all sizes and of the place, for which `left` is a sum without a term.
    `lets`: staged tensors, name -> shape, indices and value; beside its operands a value reads 0.
    """

    def __init__(self, record: Any, operator: Operator, operators: Any) -> None:
        self.record, self.operator = record, operator
        variant = record.get("variant", operator.name)
        if variant not in operator.bases:
            raise Refused(f"{record['claim']}: the definition is not read")
        self.base = operator.bases[variant]
        self.fixed = {s: Text({}).value(str(v)) for s, v in record.get("fixed", {}).items()}
        system = self.base.system
        grads = {f"grad_{n}": Tensor(f"grad_{n}", t.shape, {}) for n, t in system.tensors.items()}
        plain = {n: Tensor(n, t.shape, {"dtype": t.dtype}) for n, t in system.tensors.items()}
        more = {s: var(s) for s in record.get("sizes", {})}
        self.text = Text({**plain, **grads}, more, operators, system.real)
        for name, value in record.get("where", {}).items():
            self.text.names[name] = self.text.value(value)
        free = [(i, self.text.value(n)) for i, n in record.get("free", [])]
        extra = [(">=", sub(var(s), const(b))) for s, b in record.get("sizes", {}).items()]
        facts = [*self.base.facts, *extra, *ranges(free)]
        facts += thaw(g for c in record.get("facts", []) for g in self.text.guards(c))
        self.facts = [(k, substitute(p, self.fixed)) for k, p in facts]
        self.lets = {n: self.let(n, let) for n, let in record.get("lets", {}).items()}
        self.places = [i for i, _ in free]
        self.shape = [n for _, n in free]
        names = [*system.symbols, *(s for s in more if s not in system.symbols), *self.places]
        if len({*names}) < len(names) or not all(map(NAME.fullmatch, names)):
            raise Refused(
                f"{record['claim']}: {names}: a name stands for two things, or is reserved"
            )
        if false := [f for f in self.facts if set(f[1]) <= {()} and not certain_fact(f)]:
            raise Refused(f"{record['claim']}: it assumes {show_fact(false[0])}")
        if any(row["claim"] == record["claim"] for row in operator.ledger):
            raise Refused(f"{record['claim']}: the claim stands twice")

    def let(self, name: str, record: Any) -> Tensor:
        """A staged tensor: an element that is read stands for its value."""
        if name in self.text.tensors:
            raise Refused(f"{self.record['claim']}: {name} is a tensor already")
        own = {i: "@" + i for i in record["indices"]}
        outside = {n: {"dtype": t.dtype, "outside": "zero"} for n, t in self.text.tensors.items()}
        zero = {n: Tensor(n, t.shape, outside[n]) for n, t in self.text.tensors.items()}
        names = {**self.text.names, **{i: var(a) for i, a in own.items()}}
        body = Text(zero, names, (), self.text.real).value(record["value"])
        shape = [self.text.value(n) for n in record["shape"]]
        sizes = {*self.base.system.record["sizes"], *self.base.system.derived()}
        if other := symbols(body) - {*own.values(), *sizes, *self.record.get("sizes", {})}:
            raise Refused(f"{self.record['claim']}: {sorted(other)} in the value of {name}")

        def value(subs: list[Poly]) -> Poly:
            return substitute(body, dict(zip(own.values(), subs, strict=True)))

        return Tensor(name, shape, {}, value)

    def staged(self, text: str) -> Poly:
        """An expression with staged tensors; every read of it has to be inside its tensor."""
        bare = {n: Tensor(n, t.shape, {}) for n, t in self.lets.items()}
        tensors = {**self.text.tensors, **bare}
        names, operators, real = self.text.names, self.text.operators, self.text.real
        reads = substitute(Text(tensors, names, operators, real).value(text), self.fixed)
        for inner, goal in reads_inside(self.facts, reads, tensors):
            goals = [(goal[0], substitute(goal[1], self.fixed))]
            self.operator.certificates.settle(f"{self.record['claim']}: inside", inner, goals)
        staged = Text({**tensors, **self.lets}, names, operators, real)
        staged.needs, staged.divisors = self.text.needs, self.text.divisors
        return staged.value(text)

    def check(self) -> None:
        """Show the claim."""
        r = self.record
        kinds = {"goals": self.goals, "example": self.example}
        work = next((kinds[k] for k in kinds if k in r), self.equality)
        self.operator.certificates.satisfied(r["claim"], self.facts)
        self.operator.enter(r["claim"], r["statement"], work, formal=formal(r), given=given(r))

    def example(self) -> None:
        """At the sizes and the place of the example, every sum of the left side has no term."""
        at, claim = self.record["example"], self.record["claim"]
        if not all(type(v) is int for v in at.values()):
            raise Refused(f"{claim}: the example is not of integers")
        for f in self.facts:
            if not holds(f, at):
                raise Refused(f"{claim}: the example breaks {show_fact(f)}")
        for m in substitute(self.side(self.record["left"]), self.fixed):
            if not any(a[0] == "sum" and is_empty(a, at) for a in m):
                raise Refused(f"{claim}: there is a term in {show({m: 1})[:300]}")

    def goals(self) -> None:
        """Integers are as stated."""
        found = [g for c in self.record["goals"] for g in self.text.guards(c)]
        goals = [(k, substitute(p, self.fixed)) for k, p in thaw(found)]
        if not goals:
            raise Refused(f"{self.record['claim']}: nothing is claimed")
        self.settle_sizes([])
        self.operator.certificates.settle(self.record["claim"], self.facts, goals)

    def equality(self) -> None:
        """Two expressions are equal at every place, and so are their shapes."""
        left, right = (substitute(self.side(self.record[s]), self.fixed) for s in ("left", "right"))
        equal = self.operator.certificates.equal
        equal(self.record["claim"], self.facts, left, right, self.base.relation)

    def side(self, spec: Any) -> Poly:
        """{"adjoint": X}, {"value": T} (what T's kernel stores), {"partial": [T, X]},
        {"text": expression} or {"tensor": a composition of named operators}."""
        system = self.base.system
        match spec:
            case {"adjoint": str(operand)}:
                return system.adjoint(operand, self.places)
            case {"value": str(target)}:
                if target in self.base.open:
                    raise Refused(f"{self.record['claim']}: no kernel is proved to store {target}")
                names, value = self.base.values[target]
                if self.lets:  # a schedule computes every element
                    known = system.tensors
                    t = known[target if target in known else target.removeprefix("grad_")]
                    same = [sub(a, b) for a, b in zip(t.shape, self.shape, strict=True)]
                    goals = [("==", substitute(p, self.fixed)) for p in same]
                    self.operator.certificates.settle(
                        f"{self.record['claim']}: shape", self.facts, goals
                    )
                return substitute(value, dict(zip(names, map(var, self.places), strict=True)))
            case {"partial": [str(target), str(operand)]}:
                return self.partial(target, operand)
            case {"text": str(text)}:
                value = self.staged(text) if self.lets else self.text.value(text)
                self.settle_sizes([])
                return value
            case {"tensor": str(text)}:
                t = self.text.tensor(self.text.tree(text))
                if len(t.shape) != len(self.shape):
                    raise Refused(f"{self.record['claim']}: {text} has {len(t.shape)} dimensions")
                self.settle_sizes([sub(a, b) for a, b in zip(t.shape, self.shape, strict=True)])
                return t.at([var(i) for i in self.places])
        raise Refused(f"{self.record['claim']}: {spec} is no side of an equality")

    def settle_sizes(self, zeros: list[Poly]) -> None:
        """Show what named operators ask of their sizes, and that these polynomials are 0."""
        for p in (substitute(p, self.fixed) for p in self.text.divisors):
            if not positive(p, at_least_one(self.facts)):
                raise Refused(f"{self.record['claim']}: {show(p)} divides, and may be 0 or less")
        needs = [*self.text.needs, *(("==", p) for p in zeros)]
        goals = [(k, substitute(p, self.fixed)) for k, p in needs]
        self.operator.certificates.settle(f"{self.record['claim']}: size", self.facts, goals)

    def partial(self, target: str, operand: str) -> Poly:
        """d target[first places] / d operand[the other places]."""
        system, rank = self.base.system, len(self.base.system.tensors[target].shape)
        own, place = self.places[:rank], self.places[rank:]
        names, body = system.equations[target]
        body = substitute(system.positional(body), dict(zip(names, map(var, own), strict=True)))
        out: Poly = {}
        for loops, guards, subs, slope in system.occurrences(body, operand, set(self.places)):
            deltas = [compare("Eq", dict(s), var(q)) for s, q in zip(subs, place, strict=True)]
            out = add(out, reduction("sum", loops, (*deltas, *guards), slope))
        return out


# -- Winograd's transforms ----------------------------------------------------------------------
RATIONAL = re.compile(r"-?[0-9]{1,99}(/[1-9][0-9]{0,99})?")
FORMS = {
    "W1 forward": "out = A'[(G w) . (B' y)]",
    "W2 input gradient": "dy = B[(G w) . (A g)]",
    "W3 weight gradient": "dw = G'[(A g) . (B' y)]",
}


def check_transform(record: Any) -> None:
    """Σ_p A[p][o] G[p][i] B[x][p] = [x = o + i] for all o, i, x. These are the coefficients of
    w[i] y[x] in out = Aᵀ[(G w) ⊙ (Bᵀ y)], of w[i] g[o] in dy = B[(G w) ⊙ (A g)] and of g[o] y[x]
    in dw = Gᵀ[(A g) ⊙ (Bᵀ y)]: the correlation and both its gradients."""
    if type(record) is not dict or set(record) != {"m", "r", "points", "A", "G", "B"}:
        raise Refused("transform: its entries are not m, r, points, A, G and B")
    m, r = record["m"], record["r"]
    if not (type(m) is type(r) is int and min(m, r) >= 1):
        raise Refused(f"transform: m = {m!r}, r = {r!r} are not integers of at least 1")
    n = m + r - 1
    exact: dict[str, Any] = {}
    for name, width in (("A", m), ("G", r), ("B", n)):
        rows = record[name] if type(record[name]) is list else []
        if len(rows) != n or any(type(row) is not list or len(row) != width for row in rows):
            raise Refused(f"F({m}, {r}): {name} is not a list of {n} rows of {width}")
        for k, text in enumerate(v for row in rows for v in row):
            if type(text) is not str or not RATIONAL.fullmatch(text):
                raise Refused(f"F({m}, {r}): {name}[{k // width}][{k % width}] is {text!r}")
        exact[name] = [[Fraction(v) for v in row] for row in rows]
    for o, i, x in ((o, i, x) for o in range(m) for i in range(r) for x in range(n)):
        total = sum(exact["A"][p][o] * exact["G"][p][i] * exact["B"][x][p] for p in range(n))
        if total != (x == o + i):
            raise Refused(f"F({m}, {r}): at o = {o}, i = {i}, x = {x} the sum is {total}")
    points = [str(v[1] / v[0]) if v[0] else "infinity" for v in exact["AG"[m == 1]] if n > 1]
    if n > 1 and record["points"] != points:
        raise Refused(f"F({m}, {r}): points is not {points}, where A and G evaluate")


def check_transforms(record: Any) -> list[dict[str, Any]]:
    """Every recorded transform computes the correlation and both its gradients."""
    ledger = []
    for t in record["transforms"]:
        start = time.perf_counter()
        check_transform(t)
        spent = round(time.perf_counter() - start, 4)
        size = f"F({t['m']},{t['r']})"
        for form, formula in FORMS.items():
            row = {"claim": f"{form} {size}", "operator": "winograd", "status": "proved"}
            took = {"degree": 3, "steps": 1, "bytes": len(json.dumps(t)), "seconds": spent}
            ledger.append({**row, "statement": formula, **took})
    return ledger


# -- the folder ---------------------------------------------------------------------------------
FILE = re.compile(r"\w+\.cl", re.ASCII)
TRUST = """
Taken on trust:
  - this file, and the Python that runs it;
  - the recorded definitions say what is meant (proofs/*.json, "definition"; `gradproof verify`
    compares them with derive/ops);
  - the chain rule and the derivatives of exp, log, sqrt, 1/x, tanh, erf; that a maximum has
    slope 1 at its first position and 0 elsewhere; a sum over a Kronecker delta; finite sums may
    be re-indexed by a bijection and split term by term;
  - what is divided by is not 0, and what stands under a root is positive;
  - division with remainder is unique; row-major addressing is a bijection;
  - the size limits in the manifest, and labels in range, are enforced by the host;
  - real numbers, not floating point (its decimals stand for pi and e); the OpenCL compiler,
    driver and device;
  - the words of a claim's statement, and what the manifest and comments call a kernel's equation:
    what is shown is a claim's "left" = "right", or its "goals";
  - that the operators, claims and transforms in the folder are all that there should be;
  - the three helper functions floor_div, floor_mod and philox4x32 (fixed texts);
  - tiled kernels (*_tiled.cl) are bound by hash and by exact comparison, not read."""


def sha256(data: bytes | str) -> str:
    """The hash as hexadecimal digits; half a character, as JSON may have it, counts too."""
    whole = data.encode(errors="surrogatepass") if isinstance(data, str) else data
    return hashlib.sha256(whole).hexdigest()


def body_of(text: str) -> str:
    """The text of a kernel file below its header."""
    return text[text.index("#pragma") :] if "#pragma" in text else text


def check_named(record: Any, certificates: Any = None) -> list[dict[str, Any]]:
    """The named operators of closed forms read inside their operands."""
    empty: dict[str, Any] = {"tensors": {}, "lower": {}, "derived": {}, "sizes": []}
    c = certificates or Certificates({"definition": empty, **record})
    ledger = []
    for name, op in record["operators"].items():
        tensors = {
            a: Tensor(a, map(Text({}).value, shape), argument_entry(op, a))
            for a, shape in op["arguments"].items()
        }
        facts = [(">=", sub(var(s), const(b))) for s, b in op["lower"].items()]
        shape = [Text({}).value(n) for n in op["shape"]]
        facts += ranges(zip(op["indices"], shape, strict=True))
        c.degree = c.steps = c.size = 0
        for inner, goal in reads_inside(facts, Text(tensors).value(op["value"]), tensors):
            c.settle(f"operator {name}", inner, [goal])
        what = f"{op['statement']} (its reads are inside its operands, or 0)"
        row = {"claim": f"{name} is defined", "operator": "closed forms", "statement": what}
        took = {"degree": c.degree, "steps": c.steps, "bytes": c.size, "seconds": 0.0}
        ledger.append({**row, "status": "proved", **took})
    return ledger


def check_operator(folder: Path, name: str, entry: Any, named: Any) -> list[dict[str, Any]]:
    """One operator's kernels, manifest entry and certificates."""
    if strange := [
        f for f in (f"{name}.cl", entry["file"], *entry["sha256"]) if not FILE.fullmatch(f)
    ]:
        raise Refused(f"{name}: {strange[0]!r} is no kernel file of the folder")
    proofs = folder / "proofs" / f"{name}.json"
    data = proofs.read_bytes()
    record, text = json.loads(data), (folder / entry["file"]).read_text("utf-8")
    if record["definition"]["name"] != name:
        raise Refused(f"{proofs}: these are certificates for {record['definition']['name']}")
    changed = changed_line(entry["file"], text, record["text"])
    try:
        same_interface(record, entry)
        files = {file: (folder / file).read_bytes() for file in entry["sha256"]}
        ledger = Operator(record, entry, Source(entry["file"], text)).check(named)
        ledger += tiled_rows(record, files)
    except Refused as error:
        raise Refused(f"{changed}; {error}" if changed else str(error)) from None
    except MALFORMED as error:
        raise Refused(f"{proofs} is damaged: {type(error).__name__}: {error}") from None
    if changed:
        raise Refused(changed)
    for file, known in entry["sha256"].items():
        if sha256(files[file]) != known:
            raise Refused(f"{file}: the text is not the one that the manifest lists")
    if f"sha256 {sha256(data)}" not in text[: text.index("#pragma")]:
        raise Refused(f"{entry['file']}: the header does not name {proofs.name} as it is")
    return ledger


def line_hashes(text: str) -> list[str]:
    """A short hash of every line of a kernel file below its header."""
    return [sha256(line)[:8] for line in body_of(text).splitlines()]


def changed_line(file: str, text: str, known: list[str]) -> str:
    """Where the text below the header is not the one that was proved; empty if it is."""
    hashes = line_hashes(text)
    if hashes == known:
        return ""
    pairs = enumerate(zip(hashes, known, strict=False))
    first = next((k for k, (a, b) in pairs if a != b), min(len(hashes), len(known)))
    header = len(text.splitlines()) - len(hashes)
    return f"{file}:{header + first + 1}: this line is not the one that was proved"


def tiled_rows(record: Any, files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """Rows for the kernels beyond the reader: their text is the recorded one, and was compared."""
    ledger = []
    for kernel, t in record["tiled"].items():
        if sha256(files[t["file"]]) != t["sha256"]:
            raise Refused(f"{t['file']}: the text is not the one that was recorded")
        row = {"claim": f"S2 {kernel} text", "operator": t["operator"], "status": "tested"}
        known = f"{kernel}.equation" not in record.get("open", {})
        why = "which is proved" if known else "which is tested too"
        what = f"text bound by its hash, and by exact comparison with {kernel}, {why}"
        took = {"degree": 0, "steps": 0, "bytes": len(t["sha256"]), "seconds": 0.0}
        ledger.append({**row, "statement": what, **took})
    return ledger


def same_interface(record: Any, entry: Any) -> None:
    """What the manifest tells a host agrees with the recorded definition."""
    definition, name = record["definition"], record["definition"]["name"]
    read = Text({})

    def guards(texts: Iterable[str]) -> set[Any]:
        return {g for t in texts for g in read.guards(t)}

    staged = {c["claim"]: c.get("fixed", {}) for c in record["claims"]}
    tiled = {k: e["tiled"]["when"] for k, e in entry["kernels"].items() if "tiled" in e}
    pairs = {
        "limits": (record["limits"], entry["limits"]),
        "windows": (record["windows"], entry["windows"]),
        "conditions of tiled kernels": ({k: staged.get(f"S1 {k} staged") for k in tiled}, tiled),
        "scalars": (definition["scalars"], entry["scalars"]),
        "labels": (
            {n: read.value(t["values"]) for n, t in definition["tensors"].items() if "values" in t},
            {n: read.value(v) for n, v in entry["labels"].items()},
        ),
        "lower bounds": (definition["lower"], entry["lower"]),
        "sizes": (definition["sizes"] + list(definition["derived"]), entry["sizes"]),
        "requirements": (
            guards(definition["requires"]),
            guards(r["condition"] for r in entry["requires"]),
        ),
        "derived sizes": (
            {s: read.value(e) for s, e in definition["derived"].items()},
            {s: read.value(e) for s, e in entry["derived"].items()},
        ),
    }
    for what, (ours, theirs) in pairs.items():
        if ours != theirs:
            raise Refused(f"{name}: the manifest has other {what}: {theirs}, not {ours}")
    for variant in entry["variants"].values():
        for tensor, t in variant["tensors"].items():
            known = definition["tensors"].get(tensor.removeprefix("grad_"), {"shape": None})
            known = definition["tensors"].get(tensor, known)
            if list(map(read.value, t["shape"])) != list(map(read.value, known["shape"])):
                raise Refused(f"{name}: the manifest has shape {t['shape']} for {tensor}")


def check_folder(folder: Path) -> list[dict[str, Any]]:
    """The ledger of everything in a folder like generated/. Errors: Refused."""
    try:
        return ledger_of(folder)
    except (OSError, *MALFORMED, RecursionError, MemoryError, StopIteration) as error:
        what = f"{type(error).__name__}: {error}"
        raise Refused(f"a file is missing or damaged: {what}") from None


def ledger_of(folder: Path) -> list[dict[str, Any]]:
    """`check_folder`, with what Python raises for a damaged file."""
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    named, transforms = (folder / "proofs" / f for f in ("operators.json", "winograd.json"))
    ledger, known = [], {}
    if named.exists():  # a user's kernels claim no closed forms
        closed = json.loads(named.read_text("utf-8"))
        ledger, known = check_named(closed), closed["operators"]
    for name, entry in manifest["operators"].items():
        ledger += check_operator(folder, name, entry, known)
    if transforms.exists():
        ledger += check_transforms(json.loads(transforms.read_text("utf-8")))
    return ledger


def main(arguments: list[str]) -> int:
    """Check the folder that is named, print what holds and what it rests on."""
    if len(arguments) != 1:
        print(__doc__.split("\n\n")[1])
        return 2
    try:
        ledger = check_folder(Path(arguments[0]))
    except Refused as error:
        print(f"refused: {error}")
        return 1
    for row in ledger:
        if "why" in row:
            print(f"tested  {row['operator']:24}  {row['claim']:44}  not proved: {row['why']}")
            continue
        size = f"degree {row['degree']}, {row['steps']} steps, {row['bytes']} bytes"
        print(f"{row['status']}  {row['operator']:24}  {row['claim']:44}  {size}")
    tested = sum(row["status"] == "tested" for row in ledger)
    print(f"{len(ledger) - tested} claims proved, {tested} tested only{TRUST}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
