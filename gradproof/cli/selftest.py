"""`gradproof selftest`: every kernel on a device against the definition that it comes from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Annotated

import typer
from rich.table import Table

from gradproof.cli import options
from gradproof.cli.outcomes import Outcome, Plan
from gradproof.cli.screen import Screen
from gradproof.cli.source import load
from gradproof.cli.trials import check_operator
from gradproof.derive.errors import DefinitionError
from gradproof.derive.language import Definition
from gradproof.derive.registry import operators as definitions
from gradproof.runtime.compile import compile_definition
from gradproof.runtime.device import DeviceInfo, use_device
from gradproof.runtime.errors import GradproofError
from gradproof.runtime.manifest import Operator, operators


def selftest(
    where: Annotated[
        str | None,
        typer.Argument(
            metavar="[OPERATOR]",
            help="A shipped operator, such as conv2d, or a file with your own: my_op.py,"
            " my_op.py:name. Without it: all shipped operators.",
        ),
    ] = None,
    device: options.Device = None,
    full: Annotated[
        bool,
        typer.Option(
            "--full/--quick",
            help="Quick: 4 small cases for each dtype, 2 in float32 where operands are left out."
            " Full: 40, larger, in every dtype; takes many times as long.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Decides the random cases.")] = 0,
    as_json: options.Json = False,
    verbose: options.Verbose = False,
) -> None:
    """Check every kernel on a device against the definition that it was derived from.

    Kernels of +, *, max and comparisons must agree exactly; others within a rounding bound that is
    computed for each element. Then forward and backward kernels are checked against each other by
    the adjoint identity <J v, u> = <v, J^T u>. Both modes try every kernel, and every tiled one in
    float32. The first run builds all kernels for the device. Exit code 1 if one does not hold.
    """
    screen = Screen(as_json=as_json, verbose=verbose)
    chosen = use_device(device)
    screen.device(chosen.info)
    plan = plan_for(chosen.info, full=full)
    outcomes = []
    for definition, operator in _chosen(where):
        outcomes.append(check_operator(definition, operator, chosen, plan, seed))
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


def _chosen(where: str | None) -> Iterator[tuple[Definition, Operator]]:
    """Definitions with their kernels: shipped ones, or those of a user's file, compiled here."""
    shipped = operators()
    if where is None:
        yield from ((definitions()[name], operator) for name, operator in shipped.items())
    elif where in shipped:
        yield definitions()[where], shipped[where]
    else:
        for d in load(where).values():
            try:
                yield d, compile_definition(d)
            except DefinitionError as error:
                raise GradproofError(str(error)) from None


def plan_for(info: DeviceInfo, *, full: bool) -> Plan:
    """The plan for a device; a simulator is slow and gets small cases."""
    dtypes = ("float32", "float64") if info.fp64 else ("float32",)
    if info.kind == "simulator":
        return Plan(10, 2, 4, 500, dtypes, 2, dtypes) if full else Plan(1, 1, 3, 100, dtypes, 1)
    if full:
        return Plan(40, 8, 8, 10_000, dtypes, 16, dtypes)
    return Plan(4, 1, 6, 1_000, dtypes, fewer=2, fewer_dtypes=("float32",), identities=1)


def _progress(screen: Screen, outcome: Outcome) -> None:
    """On a terminal, one passing line for each operator: a simulator takes minutes."""
    if screen.console.is_terminal:
        screen.line(f"{outcome.operator}: {outcome.result} ({outcome.seconds:.1f} s)", style="dim")


def _table(outcomes: Iterable[Outcome]) -> Table:
    table = Table()
    table.add_column("operator")
    table.add_column("kernels", justify="right")
    table.add_column("cases", justify="right")
    table.add_column("result")
    table.add_column("adjoint identity")
    table.add_column("time", justify="right")
    for o in outcomes:
        style = "red" if o.failures else None
        row = (o.operator, str(o.kernels), str(o.cases), o.result, o.adjoint, f"{o.seconds:.1f} s")
        table.add_row(*row, style=style)
    return table


def _verdict(info: DeviceInfo, outcomes: list[Outcome]) -> str:
    wrong = [o.operator for o in outcomes if o.failures]
    driver = f"{info.name} with driver {info.driver}"
    if wrong:
        return f"FAILED: {driver} computes {', '.join(wrong)} wrongly; do not train on it"
    kernels, cases = sum(o.kernels for o in outcomes), sum(o.cases for o in outcomes)
    return f"PASSED: {driver} computes all {kernels} kernels as defined, in {cases} cases"
