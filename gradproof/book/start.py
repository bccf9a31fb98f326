"""The start page: what the project does, shown on the lecture's convolution."""

from __future__ import annotations

from gradproof.book.palette import Palette
from gradproof.derive.language import Definition, Equation, operator
from gradproof.derive.system import derive

CONVOLUTION = operator(
    "convolution",
    "z[n,o,x] = sum[c,i](w[o,c,i] * Y[n, c, S*x + i - P]) + b[o]",
    {"Y": "N, C, W", "w": "O, C, K", "b": "O", "z": "N, O, L"},
    sizes={"L": "(W + 2*P - K)//S + 1"},
    integers="P",
    requires={"W + 2*P - K >= 0": "the filter is wider than the padded row"},
    outside={"Y": "zero"},
)


def derived(d: Definition = CONVOLUTION) -> list[tuple[str, list[Equation]]]:
    """Words and equations: the definition, and what follows from it.

    >>> [words for words, _ in derived()]
    ['You write', 'it derives, for the input', 'for the filter', 'and for the bias']
    """
    backward = derive(d).backward
    assert backward is not None
    return [
        ("You write", list(d.equations)),
        ("it derives, for the input", [backward.equation("grad_Y")]),
        ("for the filter", [backward.equation("grad_w")]),
        ("and for the bias", [backward.equation("grad_b")]),
    ]


def colours(d: Definition = CONVOLUTION) -> Palette:
    """Each index in one colour."""
    system = derive(d)
    return Palette.of(*filter(None, [d, system.forward, system.raw, system.backward]))
