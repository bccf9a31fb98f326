"""What a check shows about integers, place by place: the check is run, and notes it.

An obligation's certificate leads in steps from facts to goals; each step is verified when it is
noted (see `verify_step` in the checker).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gradproof.derive.checker import Certificates, Fact, Operator, Source, check_named


@dataclass
class Obligation:
    """What was shown at one place: `steps` lead from `facts` to `goals`; `claims` rest on it."""

    operator: str
    where: str
    key: str
    facts: list[Fact]
    goals: list[Fact]
    steps: list[Any]
    claims: list[str] = field(default_factory=list)


class _Recorder(Certificates):
    """Certificates that note what they show."""

    def __init__(self, record: Any, operator: str) -> None:
        super().__init__(record)
        self.operator, self.claim = operator, ""
        self.found: dict[str, Obligation] = {}

    def search(self, key: str, facts: list[Fact], goals: list[Fact], where: str) -> list[Any]:
        """The recorded steps, which the caller verifies next."""
        steps = super().search(key, facts, goals, where)
        obligation = self.found.setdefault(
            key, Obligation(self.operator, where, key, facts, goals, steps)
        )
        claim = self.claim or where.removeprefix("operator ")
        if claim not in obligation.claims:
            obligation.claims.append(claim)
        return steps


class _Operator(Operator):
    """An operator that tells its certificates which claim they are for."""

    def enter(self, claim: str, statement: str, work: Any, **more: str) -> None:
        """Do the work under the claim's name."""
        assert isinstance(self.certificates, _Recorder)
        self.certificates.claim = claim
        super().enter(claim, statement, work, **more)
        self.certificates.claim = ""


def replay(record: Any, entry: Any, text: str, operators: Any) -> list[Obligation]:
    """The obligations of one operator, each once, in the order of the check that is run for it.

    `record`: its definition and certificates; `entry`: its entry in the manifest; `text`: its
    kernels; `operators`: the named operators of closed forms. Errors: Refused, as the checker does.
    """
    recorder = _Recorder(record, record["definition"]["name"])
    _Operator(record, entry, Source(entry["file"], text), recorder).check(operators)
    return list(recorder.found.values())


def replay_named(record: Any) -> list[Obligation]:
    """The obligations of the named operators: their definitions read inside their operands."""
    empty: dict[str, Any] = {"tensors": {}, "lower": {}, "derived": {}, "sizes": []}
    recorder = _Recorder({"definition": empty, **record}, "closed forms")
    check_named(record, recorder)
    return list(recorder.found.values())
