"""Definitions whose gradients are easy to get wrong, from the formula to a device.

Each is proved for all sizes, and its kernels are compared exactly with it: forward, backward, and
both by <J v, u> = <v, J^T u>. What stands beside them in other systems, a scatter with atomics, a
mask, a symmetric half that is forgotten, would fail one of the three.
"""

from __future__ import annotations

from typing import Any

import pytest

from gradproof.cli.outcomes import Plan
from gradproof.cli.trials import check_operator
from gradproof.codegen.certify import certify
from gradproof.codegen.program import build_program
from gradproof.derive.language import Definition, operator
from gradproof.runtime.compile import compile_definition
from gradproof.runtime.device import current_device

PLAN = Plan(2, 1, 4, 200, ("float32",), identities=1)
SQUARE = {"A": "N, N"}
FORMULAS: dict[str, tuple[str, dict[str, str], dict[str, Any]]] = {
    "skew": (
        "z[i,j] = A[2*i + 3*j]", {"A": "M", "z": "I, J"}, {"sizes": {"M": "2*I + 3*J - 4"}},
    ),
    "skew_sum": (
        "z[m] = sum[i:I, j:J](w[i,j] * A[2*i + 3*j + m])", {"A": "L", "w": "I, J", "z": "L"},
        {"outside": {"A": "zero"}},
    ),
    "diagonal": ("z[i] = A[i,i]", SQUARE, {}),
    "symmetric": ("z[i,j] = A[i,j] + A[j,i]", SQUARE, {}),
    "symmetric_product": ("z[i,j] = A[i,j] * A[j,i]", SQUARE, {}),
    "matrix_square": ("z[i,j] = sum[k](A[i,k] * A[k,j])", SQUARE, {}),
    "mirror": ("z[i] = X[i] * X[9 - i]", {"X": "10", "z": "10"}, {}),
    "palindrome": ("z = sum[k](w[k] * w[K - 1 - k])", {"w": "K"}, {}),
    "correlation": ("z[t] = sum[i](X[i] * X[i + t])", {"X": "N", "z": "N"},
                    {"outside": {"X": "zero"}}),
    "triangle": ("z[i] = sum[j](L[i,j] * X[j], j <= i)", {"L": "N, N", "X": "N"}, {}),
    "pairs": ("z = sum[i,j](X[i] * X[j] * w[i,j], j <= i)", {"X": "N", "w": "N, N"}, {}),
    "two_outputs": (
        "s[i] = sum[k](X[i,k])\nq[i] = sum[k](X[i,k]**2)", {"X": "N, K"}, {"outputs": ("s", "q")},
    ),
    "stencil": (
        "z[x,y] = Y[x,y] * (Y[x-1,y] + Y[x+2,y+1] - 4*Y[y,x]) - Y[x,2*y-1]",
        {"Y": "N, N", "z": "N, N"}, {"outside": {"Y": "zero"}},
    ),
}  # fmt: skip


def defined(name: str) -> Definition:
    formula, tensors, more = FORMULAS[name]
    return operator(name, formula, tensors, **more)


LONG = {"skew", "stencil"}  # to prove
NAMES = [pytest.param(n, marks=[pytest.mark.slow] if n in LONG else []) for n in FORMULAS]


@pytest.mark.parametrize("name", NAMES)
def test_everything_about_it_is_proved(name: str) -> None:
    d = defined(name)
    ledger = certify(d, build_program(d)).ledger
    assert {row["status"] for row in ledger if not row["claim"].startswith("S2")} == {"proved"}


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMULAS)
def test_its_kernels_are_exact_on_a_device(name: str) -> None:
    d = defined(name)
    outcome = check_operator(d, compile_definition(d), current_device(), PLAN)
    assert (outcome.failures, outcome.exact, outcome.adjoint) == ((), True, "exact")
