"""Random integers on which one equation of sums, quotients and roots rounds nothing.

What stands around a sum may divide by a size, or by the root of an operand, as a normalisation
does. Sizes and that operand are drawn so that every such power is a whole number of halves,
quarters, eighths ...: then a kernel's text decides each bit of the result, not the order of sums.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import sympy as sp

from gradproof.derive.arithmetic import Array
from gradproof.derive.expr import Read, reads, reduces, substitute
from gradproof.derive.language import Definition, Equation
from gradproof.runtime.errors import GradproofError

MAGNITUDE = 4  # of an element
ROOTS = range(17)  # what is tried for an element that stands under a root or in a divisor
SCALARS = 4  # scalars are below

Numbers = Mapping[str, int]


def rounds_at(e: Equation, numbers: Numbers) -> bool:
    """Whether an equation divides by one of these sizes and rounds there, whatever the data.

    >>> from gradproof.codegen.staged import staged
    >>> from gradproof.derive.registry import find
    >>> soft = staged(find("cross_entropy"))[0].contraction.equation  # ... / C
    >>> rounds_at(soft, {"N": 3, "C": 4}), rounds_at(soft, {"N": 3, "C": 6})
    (False, True)
    """
    return not all(_dyadic(p, numbers) for p in _powers(e) if not reads(p))


def draw_scalars(d: Definition, rng: np.random.Generator) -> dict[str, int]:
    """A small number for each scalar, which must not be dropped: 1 and more."""
    return {name: int(rng.integers(1, SCALARS)) for name, _ in d.scalars}


def draw_elements(
    e: Equation,
    name: str,
    shape: tuple[int, ...],
    numbers: Numbers,
    rng: np.random.Generator,
) -> Array:
    """Integers for one real operand of the equation.

    numbers: all sizes and scalars. Errors: GradproofError where the operand stands in a divisor or
    under a root beside another, or where no value of it makes that power exact.

    >>> from gradproof.codegen.staged import staged
    >>> from gradproof.derive.registry import find
    >>> (norm,) = [s.contraction.equation for s in staged(find("layer_norm"))]
    >>> elements = draw_elements(norm, "var", (50,), {"eps": 1}, np.random.default_rng(0))
    >>> sorted(set(elements.tolist()))  # eps + var is 1, 4, 16
    [0, 3, 15]
    """
    values = list(range(-MAGNITUDE, MAGNITUDE + 1))
    powers = [p for p in _powers(e) if any(r.tensor == name for r in reads(p))]
    if powers:
        values = [v for v in ROOTS if all(_dyadic(_filled(p, v), numbers) for p in powers)]
    if not values:
        raise GradproofError(f"{e.target}: no integer {name} makes {powers} exact with {numbers}")
    return rng.choice(values, shape)


def _powers(e: Equation) -> Iterator[sp.Pow]:
    """The divisors and roots around the sums. Errors: GradproofError for a function."""
    outer = substitute(e.body, {r: sp.Dummy() for r in reduces(e.body)})
    if outer.has(sp.exp, sp.log, sp.tanh, sp.erf):
        raise GradproofError(f"{e.target}: a function of its sums, which is exact nowhere")
    yield from (p for p in outer.atoms(sp.Pow) if not (p.exp.is_Integer and p.exp > 0))


def _filled(p: sp.Pow, value: int) -> sp.Expr:
    """The power with a number for its one element. Errors: GradproofError where it has more."""
    found = p.atoms(Read)
    if len(found) != 1:
        raise GradproofError(f"{p} rests on {len(found)} elements; only one can be drawn for it")
    return p.xreplace({r: sp.Integer(value) for r in found})


def _dyadic(p: sp.Expr, numbers: Numbers) -> bool:
    """Whether a power is a number whose denominator is a power of two."""
    value = p.subs({s: numbers[str(s)] for s in p.free_symbols})
    return bool(value.is_Rational) and not value.q & (value.q - 1)
