"""`gradproof selftest`: every kernel on a device against the definition that it comes from."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Annotated, Any

import numpy as np
import typer
from rich.table import Table

from gradproof.cli import options
from gradproof.cli.cases import Case, Expected, draw, is_exact
from gradproof.cli.screen import Screen
from gradproof.derive.language import Definition
from gradproof.derive.registry import operators as definitions
from gradproof.runtime.device import Device, DeviceInfo, use_device
from gradproof.runtime.errors import GradproofError
from gradproof.runtime.manifest import Operator, operators
from gradproof.runtime.selftest import run_kernels


@dataclass(frozen=True)
class Plan:
    """How much is tried, for each dtype: cases of each variant, and of its tiled kernels
    (which are built anew for every size); the largest size, index tuples of a sum."""

    cases: int
    tiled: int
    largest: int
    work: int
    dtypes: tuple[str, ...]


@dataclass(frozen=True)
class Failure:
    """A kernel that did not compute what its definition says, or did not run (`error`)."""

    kernel: str
    dtype: str
    sizes: dict[str, int] = dataclasses.field(default_factory=dict)
    element: tuple[int, ...] = ()
    computed: str = ""
    expected: str = ""
    allowed: float = 0.0
    error: str = ""

    def lines(self) -> list[str]:
        """The failure in words."""
        if self.error:
            return [f"{self.kernel} ({self.dtype}): {self.error}"]
        return [
            f"{self.kernel} ({self.dtype}), element {list(self.element)}:",
            f"    computed {self.computed}, expected {self.expected}, "
            f"allowed error {self.allowed:.3g}",
            "    sizes " + " ".join(f"{n}={v}" for n, v in self.sizes.items()),
        ]


@dataclass(frozen=True)
class Outcome:
    """What was tried of one operator, and what came of it."""

    operator: str
    kernels: int
    cases: int
    exact: bool
    largest_error: float  # as a part of the rounding bound
    seconds: float
    failures: tuple[Failure, ...]

    @property
    def result(self) -> str:
        """One phrase for the table."""
        if self.failures:
            return f"FAILED: {self.failures[0].kernel}"
        return "exact" if self.exact else f"error {self.largest_error:.0%} of bound"


def selftest(
    device: options.Device = None,
    full: Annotated[
        bool, typer.Option("--full/--quick", help="Minutes instead of seconds: larger, more.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Decides the random cases.")] = 0,
    as_json: options.Json = False,
) -> None:
    """Check every kernel on a device against the definition that it was derived from.

    Kernels of +, *, max and comparisons must agree exactly; others within a rounding bound that is
    computed for each element. Exit code 1 if one does not.
    """
    screen = Screen(as_json=as_json)
    chosen = use_device(device)
    screen.device(chosen.info)
    plan = plan_for(chosen.info, full=full)
    outcomes = []
    for name, operator in operators().items():
        outcomes.append(check_operator(definitions()[name], operator, chosen, plan, seed))
        _progress(screen, outcomes[-1])
    screen.table(_table(outcomes))
    failures = [f for o in outcomes for f in o.failures]
    for failure in failures:
        for line in failure.lines():
            screen.line(line, style="red")
    screen.line(_verdict(chosen.info, outcomes), style="red" if failures else "green")
    screen.result(
        {
            "passed": not failures,
            "device": chosen.info.name,
            "driver": chosen.info.driver,
            "operators": [dataclasses.asdict(o) for o in outcomes],
        }
    )
    if failures:
        raise typer.Exit(1)


def plan_for(info: DeviceInfo, *, full: bool) -> Plan:
    """The plan for a device; a simulator is slow and gets small cases."""
    dtypes = ("float32", "float64") if info.fp64 else ("float32",)
    if info.kind == "simulator":
        return Plan(10, 2, 4, 500, dtypes) if full else Plan(2, 1, 3, 200, dtypes)
    return Plan(40, 8, 8, 10_000, dtypes) if full else Plan(8, 1, 6, 2_000, dtypes)


def check_operator(
    d: Definition, operator: Operator, device: Device, plan: Plan, seed: int = 0
) -> Outcome:
    """Try all variants of one operator; stops at a variant's first wrong kernel."""
    start, cases, largest = time.perf_counter(), 0, 0.0
    kernels: set[str] = set()
    failures: list[Failure] = []
    for variant in d.variants():
        rng = np.random.default_rng(seed)
        for form, fixed, count in _forms(operator, variant, plan):
            for dtype, _ in product(plan.dtypes, range(count)):
                cases += 1
                case, truth = draw(variant, rng, plan.largest, plan.work, dtype, fixed)
                trial = Trial(operator, variant.name, case, truth, dtype, form)
                failure, share = trial.run(device, kernels)
                largest = max(largest, share)
                if failure:
                    failures.append(failure)
                    break
    seconds = time.perf_counter() - start
    exact = is_exact(d)
    return Outcome(d.name, len(kernels), cases, exact, largest, seconds, tuple(failures))


def _forms(
    operator: Operator, variant: Definition, plan: Plan
) -> Iterator[tuple[str, Mapping[str, int], int]]:
    """The forms of a variant's kernels, with the sizes that they ask for and a number of cases."""
    yield "reference", {}, plan.cases
    described = operator.variants[variant.name]
    specs = [operator.kernels[name] for name in (*described.forward, *described.backward)]
    for fixed in _asked(k.phases.when for k in specs if k.phases):
        yield "phases", fixed, plan.tiled
    for fixed in _asked(k.tiled.when for k in specs if k.tiled):
        yield "tiled", fixed, plan.tiled


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


def _progress(screen: Screen, outcome: Outcome) -> None:
    """On a terminal, one passing line for each operator: a simulator takes minutes."""
    if screen.console.is_terminal:
        screen.line(f"{outcome.operator}: {outcome.result}", style="dim")


def _table(outcomes: Iterable[Outcome]) -> Table:
    table = Table()
    table.add_column("operator")
    table.add_column("kernels", justify="right")
    table.add_column("cases", justify="right")
    table.add_column("result")
    table.add_column("time", justify="right")
    for o in outcomes:
        style = "red" if o.failures else None
        row = (o.operator, str(o.kernels), str(o.cases), o.result, f"{o.seconds:.1f} s")
        table.add_row(*row, style=style)
    return table


def _verdict(info: DeviceInfo, outcomes: list[Outcome]) -> str:
    wrong = [o.operator for o in outcomes if o.failures]
    driver = f"{info.name} with driver {info.driver}"
    if wrong:
        return f"FAILED: {driver} computes {', '.join(wrong)} wrongly; do not train on it"
    kernels, cases = sum(o.kernels for o in outcomes), sum(o.cases for o in outcomes)
    return f"PASSED: {driver} computes all {kernels} kernels as defined, in {cases} cases"
