"""What `gradproof selftest` tries of one operator: its kernels against the definition, and its
forward kernels against its backward ones (the adjoint identity)."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gradproof.cli import identity
from gradproof.cli.cases import Case, Expected, draw
from gradproof.cli.exactness import has_branches, is_exact
from gradproof.cli.outcomes import Failure, Outcome, Plan
from gradproof.cli.random_sizes import random_sizes
from gradproof.derive.adjoint import PREFIX
from gradproof.derive.errors import DefinitionError
from gradproof.derive.language import Definition
from gradproof.derive.machine import Machine
from gradproof.runtime.device import Device
from gradproof.runtime.errors import GradproofError
from gradproof.runtime.manifest import Operator
from gradproof.runtime.selftest import run_kernels

LINES = 2  # identities for each form and dtype where nothing rounds


@dataclass(frozen=True)
class _Form:
    """A form of an operator's kernels, the sizes that it asks for, and a number of cases."""

    name: str
    fixed: tuple[tuple[str, int], ...]
    cases: int

    @property
    def built_for_sizes(self) -> bool:
        """Whether kernels are built anew for other sizes: then variants share them."""
        return self.name == "tiled"


@dataclass
class _Tally:
    """What has been found so far; `sizes`: those that kernels were built for."""

    sizes: dict[tuple[_Form, int], tuple[tuple[str, int], ...]] = field(default_factory=dict)
    kernels: set[str] = field(default_factory=set)
    cases: int = 0
    exact: bool = True
    share: float = 0.0
    failures: list[Failure] = field(default_factory=list)
    identities: list[identity.Sides] = field(default_factory=list)
    broken: bool = False

    def adjoint(self) -> str:
        """What came of the identities, for the table."""
        if self.broken:
            return "BROKEN"
        rounded = [s.share for s in self.identities if s.allowed]
        if not self.identities:
            return "none"
        return f"error {max(rounded):.0%} of bound" if rounded else "exact"


def check_operator(
    d: Definition, operator: Operator, device: Device, plan: Plan, seed: int = 0
) -> Outcome:
    """Try all variants of one operator; stops at a variant's first wrong kernel.

    A definition for which chance finds no valid case is a failure that says why.
    """
    start, tally, whole = time.perf_counter(), _Tally(), plan
    for number, variant in enumerate(d.variants()):
        rng, plan = np.random.default_rng(seed), whole.of(number)
        tried = tally.kernels if number and plan.fewer is not None else set()
        for form in list(_forms(operator, variant, plan, frozenset(tried))):
            for dtype in plan.tiled_dtypes if form.built_for_sizes else plan.dtypes:
                try:
                    _try(variant, operator, device, plan, form, dtype, rng, tally)
                except DefinitionError as error:
                    tally.failures.append(Failure(variant.name, dtype, error=f"no case: {error}"))
    seconds = time.perf_counter() - start
    counted = (len(tally.kernels), tally.cases, tally.exact, tally.share, tally.adjoint())
    return Outcome(d.name, *counted, seconds, tuple(tally.failures))


def _try(
    variant: Definition,
    operator: Operator,
    device: Device,
    plan: Plan,
    form: _Form,
    dtype: str,
    rng: np.random.Generator,
    tally: _Tally,
) -> None:
    """All cases of one form in one dtype, then the identity; the first failure ends it."""
    widest = 0, form.fixed
    for number in range(form.cases):
        tally.cases += 1
        fixed = tally.sizes.get((form, number), form.fixed)
        case, truth = draw(variant, rng, plan.largest, plan.work, dtype, dict(fixed))
        if form.built_for_sizes:
            tally.sizes[form, number] = tuple(case.sizes.items())
        tally.exact &= all(e.errors is None for e in truth.values())
        trial = Trial(operator, variant.name, case, truth, dtype, form.name)
        failure, share = trial.run(device, tally.kernels)
        tally.share = max(tally.share, share)
        if failure:
            tally.failures.append(failure)
            return
        widest = max(
            widest, (sum(e.values.size for e in truth.values()), tuple(case.sizes.items()))
        )
    if not variant.differentiable:
        return
    described = operator.variants[variant.name]
    kernels = identity.Kernels(operator, described, device, dtype, form.name)
    machine = Machine.sized(variant, dict(widest[1]))
    for _ in range(LINES if is_exact(variant) else plan.identities):
        if form.name == "reference" and is_exact(variant) and not has_branches(variant):
            machine = random_sizes(variant, rng, 2 * plan.largest, plan.wider * plan.work, {})
        if not _identity_holds(variant, kernels, machine, rng, tally):
            return


def _identity_holds(
    d: Definition,
    kernels: identity.Kernels,
    machine: Machine,
    rng: np.random.Generator,
    tally: _Tally,
) -> bool:
    sizes = {str(s): machine.sizes[s] for s in d.sizes}
    try:
        line, sides = identity.check(d, kernels, machine, rng)
        tally.identities.append(sides)
        if sides.agree:
            return True
        moved = [
            n for n in d.differentiable if not identity.compare(d, kernels, line.only(n)).agree
        ]
    except GradproofError as error:
        tally.failures.append(Failure(d.name, kernels.dtype, sizes, error=str(error)))
    else:
        tally.failures.append(_broken(kernels, sides, moved or list(d.differentiable), sizes))
    tally.broken = True
    return False


def _broken(
    kernels: identity.Kernels, sides: identity.Sides, moved: list[str], sizes: dict[str, int]
) -> Failure:
    """The failure of an identity, named by the gradients' kernels."""
    targets = {PREFIX + n for n in moved}
    specs = [kernels.operator.kernels[n] for n in kernels.variant.backward]
    names = ", ".join(s.name for s in specs if s.target in targets)
    words = (
        f"the adjoint identity is broken: <J v, u> is {float(sides.forward):.17g} from the forward "
        f"kernels, <v, J^T u> is {float(sides.backward):.17g} from the backward kernels, "
        f"allowed difference {float(sides.allowed):.3g}, moving {', '.join(moved)}"
    )
    return Failure(names, kernels.dtype, sizes, error=words)


def _forms(
    operator: Operator, variant: Definition, plan: Plan, tried: frozenset[str]
) -> Iterator[_Form]:
    """The forms of a variant's kernels: the reference, and others with a kernel not `tried`."""
    yield _Form("reference", (), plan.cases)
    described = operator.variants[variant.name]
    specs = [operator.kernels[name] for name in (*described.forward, *described.backward)]
    for fixed in _asked(
        k.phases.when for k in specs if k.phases and k.phases.kernel.name not in tried
    ):
        yield _Form("phases", tuple(fixed.items()), plan.tiled)
    for fixed in _asked(k.tiled.when for k in specs if k.tiled and k.tiled.kernel not in tried):
        yield _Form("tiled", tuple(fixed.items()), plan.tiled)


def _asked(conditions: Iterable[Mapping[str, int]]) -> list[dict[str, int]]:
    """Sizes to fix, so that every condition is met by some: one case serves all that agree."""
    asked: list[dict[str, int]] = []
    for when in conditions:
        fits = (a for a in asked if all(a.get(s, v) == v for s, v in when.items()))
        shared = next(fits, None)
        if shared is None:
            asked.append(dict(when))
        else:
            shared |= when
    return asked


@dataclass(frozen=True)
class Trial:
    """One case, to be run and compared."""

    operator: Operator
    variant: str
    case: Case
    truth: Mapping[str, Expected]
    dtype: str
    form: str

    def run(self, device: Device, kernels: set[str]) -> tuple[Failure | None, float]:
        """The first kernel that fails, and the largest error as a part of what is allowed.

        Adds the names of the kernels that ran to `kernels`.
        """
        op, case, share = self.operator, self.case, 0.0
        data: tuple[Any, ...] = (case.operands, case.cotangents, case.sizes, case.scalars)
        setting: dict[str, Any] = {"dtype": self.dtype, "device": device, "form": self.form}
        try:
            for result in run_kernels(op, op.variants[self.variant], *data, **setting):
                kernels.add(result.kernel)
                expected = self.truth[result.target]
                wrong = expected.first_difference(result.values)
                if wrong:
                    place, got, value, allowed = wrong
                    shown = (dict(case.sizes), place, repr(got), str(value), allowed)
                    return Failure(result.kernel, self.dtype, *shown), share
                share = max(share, expected.share_of_bound(result.values))
        except GradproofError as error:
            return Failure(self.variant, self.dtype, dict(case.sizes), error=str(error)), share
        return None, share
