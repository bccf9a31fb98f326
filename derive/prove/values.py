"""The value of the checker's expressions at small sizes, in exact numbers.

Sums are added up, guards are tested, elements of inputs are drawn once and kept, and what an
equation defines is computed from it. Integers and rationals are exact; exp, log, tanh and roots
have 60 digits.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from typing import Any

from gradproof.derive.arithmetic import HIGH
from gradproof.derive.checker import Poly, System, atoms_in, show_atom, symbols
from gradproof.derive.philox import philox4x32

Env = dict[str, Any]
Code = Callable[["Values", Env], Any]
DRAWS = ([*range(-9, 0), *range(1, 10)], [-1, 0, 1], [0, 1])  # by seed: generic, ties, corners
SCALARS = [Fraction(*f) for f in ((1, 2), (1, 3), (3, 4), (2, 1), (1, 5), (5, 1))]
WORK = 20_000  # terms that may be added up at one size tuple
PREFIX = "grad_"


class Undefined(Exception):
    """The expression has no value here: a division by zero, the maximum of nothing."""


class TooLarge(Exception):
    """More terms than are worth adding up."""


class Outside(Exception):
    """A read outside a tensor."""

    def __init__(self, tensor: str, subscripts: tuple[int, ...], shape: tuple[int, ...]) -> None:
        super().__init__(f"{element(tensor, subscripts)} lies outside {tensor}, of shape {shape}")
        self.tensor, self.subscripts, self.shape = tensor, subscripts, shape


class Values:
    """Numbers for everything that a system leaves open: sizes, scalars, elements."""

    def __init__(self, system: System, sizes: Mapping[str, int], seed: int = 0) -> None:
        self.system, self.sizes, self.seed = system, dict(sizes), seed
        self.elements: dict[tuple[str, tuple[int, ...]], Any] = {}
        self.codes: dict[str, tuple[list[str], Code]] = {}
        self.work = 0
        self.scalars = {
            name: self.generator(name).choice(SCALARS) if kind == "real" else self.word(name)
            for name, kind in system.record["scalars"].items()
        }

    def generator(self, *what: Any) -> random.Random:
        """Random numbers that depend on the seed and on nothing else."""
        return random.Random(repr((self.seed, *what)))

    def word(self, name: str) -> int:
        """A scalar of type uint."""
        return self.generator(name).randrange(100)

    def env(self, more: Mapping[str, Any]) -> Env:
        """What the names stand for."""
        return {**self.sizes, **self.scalars, **more}

    def of(self, code: Code, more: Mapping[str, int]) -> Any:
        """The value of a compiled expression. Errors: Undefined, TooLarge, Outside."""
        return code(self, self.env(more))

    def count(self) -> None:
        """One more term. Errors: TooLarge."""
        self.work += 1
        if self.work > WORK:
            raise TooLarge

    def read(self, tensor: str, subscripts: tuple[int, ...]) -> Any:
        """An element; it is drawn or computed when it is first read."""
        key = tensor, subscripts
        if key not in self.elements:
            shape = self.shape(tensor)
            if not all(0 <= s < n for s, n in zip(subscripts, shape, strict=True)):
                raise Outside(tensor, subscripts, shape)
            self.elements[key] = self.element(tensor, subscripts)
        return self.elements[key]

    def shape(self, tensor: str) -> tuple[int, ...]:
        """The extents of a tensor, or of the gradient of one."""
        known = self.system.tensors
        t = known[tensor] if tensor in known else known[tensor.removeprefix(PREFIX)]
        return tuple(int(compiled(n)(self, self.env({}))) for n in t.shape)

    def element(self, tensor: str, subscripts: tuple[int, ...]) -> Any:
        """A new element: by its equation, by the chain rule, or at random."""
        names, code = self.codes.get(tensor) or self.codes.setdefault(tensor, self.code(tensor))
        if code is not None:
            return code(self, self.env(dict(zip(names, subscripts, strict=True))))
        t = self.system.tensors.get(tensor)
        draw = self.generator(tensor, subscripts)
        if t is not None and t.dtype != "real":
            least = compiled(self.system.text.value(t.values)) if t.values else None
            return draw.randrange(least(self, self.env({})) if least else 4)
        return Fraction(draw.choice(DRAWS[self.seed % len(DRAWS)]))

    def code(self, tensor: str) -> tuple[list[str], Any]:
        """(indices, code) of what defines a tensor; no code for what is given."""
        system = self.system
        if tensor in system.equations:
            names, body = system.equations[tensor]
            return names, compiled(body)
        source = tensor.removeprefix(PREFIX)
        if tensor in system.tensors or source in system.record["outputs"]:
            return [], None
        names = [f"p{k}" for k in range(len(system.tensors[source].shape))]
        return names, compiled(system.adjoint(source, names))


def compiled(p: Poly) -> Code:
    """A function that evaluates p."""
    terms = [(_number(c), [_atom(a) for a in sorted(m, key=_cost)]) for m, c in p.items()]

    def run(values: Values, env: Env) -> Any:
        total: Any = 0
        for c, factors in terms:
            for f in factors:
                c = c * f(values, env)
                if not c:
                    break  # conditions come first: what stands behind a false one does not exist
            total = total + c
        return total

    return run


def _number(c: Fraction) -> Any:
    return c.numerator if c.denominator == 1 else c


def _cost(a: Any) -> tuple[int, bool, str]:
    """Where a factor comes: conditions first, those that read after those that keep them inside."""
    kinds = ("if", "sum", "read", "//", "%", "call")
    kind = kinds.index(a[0]) if not isinstance(a, str) and a[0] in kinds else 9
    guards = a[2] if a[0] == "sum" else a[1:] if a[0] == "if" else ()
    late = any(map(_reads, guards)) or (a[0] == "sum" and bool(a[1]))
    return max(kind, late), late, repr(a)


def _reads(guard: Any) -> bool:
    return any(a[0] == "read" for a in atoms_in(dict(guard[1])))


def _atom(a: Any) -> Code:
    if isinstance(a, str):
        if a == "pi":
            pi = exactly(+HIGH.pi)
            return lambda values, env: pi
        return lambda values, env: env[a]
    if a[0] in ("//", "%"):
        return _quotient(a)
    if a[0] == "read":
        subs = [compiled(dict(s)) for s in a[2]]
        return lambda values, env: values.read(a[1], tuple(int(s(values, env)) for s in subs))
    if a[0] == "if":
        holds = _guard(a[1])
        return lambda values, env: int(holds(values, env))
    if a[0] == "call":
        arguments = [compiled(dict(p)) for p in a[2]]
        return lambda values, env: function(a[1], [f(values, env) for f in arguments])
    return _reduction(a)


def _quotient(a: Any) -> Code:
    x, y = compiled(dict(a[1])), compiled(dict(a[2]))

    def run(values: Values, env: Env) -> Any:
        n, d = x(values, env), y(values, env)
        if d < 1:
            raise Undefined(f"{show_atom(a)} with divisor {d}")
        return n // d if a[0] == "//" else n % d

    return run


def _guard(guard: Any) -> Callable[[Values, Env], bool]:
    kind, p = guard[0], compiled(dict(guard[1]))
    if kind == "==":
        return lambda values, env: p(values, env) == 0
    return lambda values, env: p(values, env) >= 0


def _reduction(a: Any) -> Code:
    kind, loops, guards, body = a
    extents = [compiled(dict(e)) for _, e in loops]
    stages = _stages([i for i, _ in loops], guards)
    term = compiled(dict(body))

    def terms(values: Values, env: Env, counts: list[int], depth: int) -> Iterator[Any]:
        if not all(g(values, env) for g in stages[depth]):
            return
        if depth == len(loops):
            values.count()
            yield term(values, env)
            return
        for k in range(counts[depth]):
            env[loops[depth][0]] = k
            yield from terms(values, env, counts, depth + 1)

    def run(values: Values, env: Env) -> Any:
        counts = [int(e(values, env)) for e in extents]
        inner = dict(env)
        if kind == "sum":
            return sum(terms(values, inner, counts, 0))
        best, at = None, -1
        for value in terms(values, inner, counts, 0):
            if best is None or value > best:
                best, at = value, _position(inner, loops, counts)
        if best is None:
            raise Undefined("the maximum of nothing")
        return best if kind == "max" else at

    return run


def _position(env: Env, loops: Any, counts: list[int]) -> int:
    at = 0
    for (i, _), n in zip(loops, counts, strict=True):
        at = at * n + env[i]
    return at


def _stages(names: list[str], guards: Any) -> list[list[Callable[[Values, Env], bool]]]:
    """The guards, each at the first loop inside which its indices have values; what one reads
    exists only where those that read nothing hold."""
    stages: list[list[Any]] = [[] for _ in range(len(names) + 1)]
    latest = 0
    for g in sorted(guards, key=_reads):
        inside = [k + 1 for k, i in enumerate(names) if i in symbols(dict(g[1]))]
        stage = max([*inside, latest if _reads(g) else 0])
        stages[stage].append(_guard(g))
        latest = max(latest, stage)
    return stages


def function(name: str, x: list[Any]) -> Any:
    """The value of a function. Errors: Undefined outside its domain."""
    if name == "philox":
        key0, key1, counter0, counter1 = (int(v) & 0xFFFFFFFF for v in x)
        return philox4x32((counter0, counter1, 0, 0), (key0, key1))[0]
    if name == "pow":
        return power(*x)
    (v,) = x
    if name == "inv":
        if not v:
            raise Undefined("1/0")
        return 1 / Fraction(v)
    if name == "abs":
        return abs(v)
    if name in ("sqrt", "log") and (v < 0 or (name == "log" and v == 0)):
        raise Undefined(f"{name}({v})")
    return exactly(getattr(HIGH, name)(high(v)))


def power(base: Any, exponent: Any) -> Any:
    """base**exponent. Errors: Undefined where base is not positive."""
    if base <= 0:
        raise Undefined(f"{base}**{exponent}")
    return exactly(HIGH.power(high(base), high(exponent)))


def high(v: Any) -> Any:
    """A number with many digits."""
    exact = Fraction(v)
    return HIGH.mpf(exact.numerator) / exact.denominator


def exactly(v: Any) -> Any:
    """The fraction that such a number is."""
    sign, man, exponent, _ = v._mpf_
    return Fraction(-int(man) if sign else int(man)) * Fraction(2) ** exponent


def element(tensor: str, subscripts: tuple[int, ...]) -> str:
    """An element as text."""
    return f"{tensor}[{', '.join(map(str, subscripts))}]" if subscripts else tensor
