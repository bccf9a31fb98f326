"""Printing: plain text and LaTeX, and the whole derivation of every operator."""

from __future__ import annotations

import re

import pytest
import sympy as sp

from gradproof.cli.derivation import WIDTH, latex_lines, text_lines
from gradproof.derive.errors import DefinitionError
from gradproof.derive.explain import explain, operand
from gradproof.derive.expr import (
    Divides,
    IsZero,
    NonNeg,
    Quo,
    Read,
    Reduce,
    Rem,
    integer,
)
from gradproof.derive.registry import find, operators
from gradproof.derive.show import latex, text

a, b, n_ = integer("a"), integer("b"), integer("n_")
SUM = Reduce("sum", [(a, b)], [], Read("x", a) - 1)


@pytest.mark.parametrize(
    ("node", "plain", "tex"),
    [
        (Read("Y", a, b + 1), "Y[a, b + 1]", "Y_{a,b + 1}"),
        (Read("loss"), "loss", r"\mathit{loss}"),
        (Read("gamma", a) ** 2, "gamma[a]**2", r"\gamma_{a}^{2}"),
        (Read("grad_z", n_), "grad_z[n']", r"\frac{\partial \ell}{\partial z_{n'}}"),
        (Quo(a, b), "⌊a/b⌋", r"\left\lfloor \frac{a}{b} \right\rfloor"),
        (Quo(a, b) ** 2, "⌊a/b⌋**2", r"\left\lfloor \frac{a}{b} \right\rfloor^{2}"),
        (Rem(a, b), "(a mod b)", r"\left(a \bmod b\right)"),
        (NonNeg(b - a - 1), "a < b", "a < b"),
        (NonNeg(a - 1), "1 ≤ a", r"1 \le a"),
        (NonNeg(b - a), "a ≤ b", r"a \le b"),
        (IsZero(a - b), "b = a", "b = a"),
        (Divides(b, a), "b divides a", r"b \mid a"),
        (b - a, "b - a", "b - a"),
        (
            Reduce("sum", [], [IsZero(a - b)], -Read("x", a)),
            "[b = a] (-x[a])",
            r"\left[b = a\right] \left(- x_{a}\right)",
        ),
        (SUM, "Σ_{a<b} (x[a] - 1)", r"\sum_{\substack{a < b}} \left(x_{a} - 1\right)"),
        (SUM**2, "(Σ_{a<b} (x[a] - 1))**2",
         r"\left(\sum_{\substack{a < b}} \left(x_{a} - 1\right)\right)^{2}"),
        (Reduce("sum", [], [NonNeg(a), NonNeg(b - a)], Read("x", a)), "[0 ≤ a] [a ≤ b] x[a]",
         r"\left[0 \le a\right] \left[a \le b\right] x_{a}"),
        (sp.sqrt(Read("v", a)), "sqrt(v[a])", r"\sqrt{v_{a}}"),
    ],
)  # fmt: skip
def test_nodes(node: sp.Basic, plain: str, tex: str) -> None:
    assert text(node) == plain
    assert latex(node) == tex


def derivation(name: str, wrt: str | None = None) -> list[str]:
    return [line for s in explain(find(name), wrt) for line in text_lines(s)]


def test_the_derivation_of_a_convolution_tells_every_rule() -> None:
    shown = "\n".join(derivation("conv2d", "Y"))
    for words in (
        "Split: o stands under a quotient",
        "Mixed radix: k = CG*o_q + c has one solution, o_q = ⌊k/CG⌋ and c = (k mod CG).",
        "Substitution: put n' = n.",
        "Divisibility: PT + u = DH*i + SH*x has the one solution x = ⌊(PT + u - DH*i)/SH⌋",
        "SH divides PT + u - DH*i (else no x fits)",
        "⌊(PT + u - DH*i)/SH⌋ < OH (x is below its extent)",
        "Dropped, since the ranges of the indices imply them: 0 ≤ k; k < CG*G; 0 ≤ n; n < N.",
        "Only elements inside Y are asked for",
    ):
        assert words in shown


def test_one_operand_shows_only_what_it_needs() -> None:
    shown = "\n".join(derivation("batch_norm", "gamma"))
    assert "Gradient grad_gamma[c]" in shown
    assert "Gradient grad_X" not in shown and "Gradient grad_var" not in shown
    headings = [line for line in derivation("batch_norm", "X") if line.startswith("Gradient")]
    assert headings == ["Gradient grad_var[c]", "Gradient grad_mean[c]", "Gradient grad_X[n, c, l]"]


def test_a_vanishing_gradient_is_told() -> None:
    shown = "\n".join(derivation("softmax_cross_entropy"))
    assert "This is 0 for all values, so the gradient is left out:" in shown
    assert "Occurrence 3 of 3: a[n, t[n]] in the equation of d" in shown


def test_nothing_to_differentiate() -> None:
    assert "No operand has a gradient." in derivation("sgd")


def test_operands_by_letter_and_by_name() -> None:
    d = find("conv2d")
    assert [operand(d, n) for n in ("Y", "input", "w", "weight", "b", "bias")] == list("YYwwbb")
    with pytest.raises(DefinitionError, match=r"'v' is not an operand.*Y \(input\), w \(weight\)"):
        operand(d, "v")
    with pytest.raises(DefinitionError, match="'target' has no gradient"):
        operand(find("softmax_cross_entropy"), "target")
    with pytest.raises(DefinitionError, match="with a gradient: none"):
        operand(find("sgd"), "p")


@pytest.mark.parametrize("name", operators())
def test_every_derivation_fits_a_terminal(name: str) -> None:
    lines = derivation(name)
    assert not [line for line in lines if "\u00a0" in line]
    words = [line for line in lines if not line.startswith("    ")]
    assert max(map(len, words)) <= WIDTH
    assert max(map(len, lines)) <= 140  # one element, or one guard with its reason


@pytest.mark.parametrize("name", operators())
def test_every_derivation_is_well_formed_latex(name: str) -> None:
    source = "\n".join(line for s in explain(find(name)) for line in latex_lines(s))
    depth = 0
    for brace in re.findall(r"(?<!\\)[{}]", source):
        depth += 1 if brace == "{" else -1
        assert depth >= 0
    assert depth == 0
    for opening, closing in ((r"\\left\b", r"\\right\b"), (r"\\begin\{", r"\\end\{")):
        assert len(re.findall(opening, source)) == len(re.findall(closing, source))
    assert source.isascii()
    for formula in re.findall(r"\\begin\{align\*\}(.*?)\\end\{align\*\}", source, re.S):
        for group in re.findall(r"\\left\[(.*?)\\right\]", formula):
            assert r"\\" not in group  # a line break inside brackets stops LaTeX


def test_an_empty_line_never_stands_inside_a_formula() -> None:
    for s in explain(find("conv2d")):
        formulas = "\n".join(latex_lines(s)).split(r"\begin{align*}")[1:]
        assert all("\n\n" not in f.split(r"\end{align*}")[0] for f in formulas)
