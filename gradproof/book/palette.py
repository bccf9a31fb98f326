"""One colour for one index, the same in the equations, in the kernels and in the pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import sympy as sp

from gradproof.derive.expr import Reduce
from gradproof.derive.language import Definition, Equation

COLOURS = 10  # as many as the style sheet has


@dataclass(frozen=True)
class Palette:
    """Index -> the number of its colour."""

    numbers: Mapping[str, int]

    @staticmethod
    def of(*systems: Definition) -> Palette:
        """Colours for all indices of some systems, in the order in which they occur.

        >>> from gradproof.derive.registry import find
        >>> Palette.of(find("linear")).numbers
        {'n': 0, 'o': 1, 'k': 2}
        """
        names = dict.fromkeys(n for d in systems for e in d.equations for n in _indices(e))
        return Palette({n: k % COLOURS for k, n in enumerate(names)})

    def css(self, name: str) -> str | None:
        """The classes of an index, `ix ix3`; None for a name that is no index. A second index that
        runs as n does, n', has the colour of n."""
        number = self.numbers.get(name, self.numbers.get(name.rstrip("_")))
        return None if number is None else f"ix ix{number}"

    def latex(self, name: str, shown: str) -> str:
        r"""The LaTeX of a name, in its colour.

        >>> Palette({"n": 0}).latex("n", "n"), Palette({}).latex("n", "n")
        ('\\htmlClass{ix ix0}{n}', 'n')
        """
        css = self.css(name)
        return shown if css is None else rf"\htmlClass{{{css}}}{{{shown}}}"


def _indices(e: Equation) -> list[str]:
    bound = [str(i) for i in _in_order(e.body)]
    return [*map(str, e.indices), *bound]


def _in_order(e: sp.Basic) -> list[sp.Symbol]:
    found = list(e.bound) if isinstance(e, Reduce) else []
    return found + [i for a in e.args for i in _in_order(a)]
