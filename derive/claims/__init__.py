"""What is claimed of an operator beyond its kernels: one file per operator, found by its name.

A file `derive/claims/<operator>.py` has a list `CLAIMS` of claims as the checker reads them (see
`Claim` in derive/checker.py). Named operators, from which closed forms are composed, are in
`derive/claims/named.py`.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import Any

from gradproof.derive.language import Definition
from gradproof.derive.registry import operators


def claims(operator: str) -> list[dict[str, Any]]:
    """The claims of an operator; none where no file makes any.

    >>> [c["claim"] for c in claims("relu")]
    ['L1 relu', 'L1 relu gradient']
    """
    module = f"{__name__}.{operator}"
    return list(import_module(module).CLAIMS) if find_spec(module) else []


def claims_about(d: Definition) -> list[dict[str, Any]]:
    """The claims of a shipped operator; none for a user's operator that has the same name."""
    return claims(d.name) if operators().get(d.name) == d else []
