"""The ledger of `gradproof verify` as a table to read: what is proved, what is only tested."""

from __future__ import annotations

from typing import Any

from gradproof.cli.screen import Screen

PER_KERNEL = ("equation", "once", "range", "int32")
KERNELS = """\
equation  the kernel's text computes what the definition, or its derivative, says
once      every element of the result is written by exactly one work-item
range     every read is inside its tensor or guarded, every division rounds down
int32     no integer overflows 32 bits under the size limits of manifest.json"""
PROVED = "proved    a certificate shows it for all sizes, over the integers and the reals"
SCHEDULES = "S1, S2    of a tiled kernel, the steps of its schedule, and its text"

Row = dict[str, Any]


def print_ledger(screen: Screen, name: str, rows: list[Row], verbose: bool) -> None:
    """One operator: its claims, then a line for each kernel and each status that it has.

    Without `verbose` the steps of one schedule share a line, and what is proved is not explained.
    """
    screen.line(name, style="bold")
    other = [row for row in rows if row["claim"].rpartition(".")[2] not in PER_KERNEL]
    for row in other:
        if verbose or not _is_schedule(row):
            _line(screen, row["status"], row["claim"], [row])
            plain = not verbose and _of_variant(row)
            words = ("why",) if plain else ("statement", "given", "why")
            _explain(screen, [row[key] for key in words if row.get(key)])
    if not verbose:
        _schedules(screen, [row for row in other if _is_schedule(row)])
    kernels: dict[tuple[str, str], list[Row]] = {}
    for row in (row for row in rows if row not in other):
        kernels.setdefault((row["claim"].rpartition(".")[0], row["status"]), []).append(row)
    for (kernel, status), parts in kernels.items():
        whats = " ".join(r["claim"].rpartition(".")[2] for r in parts)
        _line(screen, status, f"{kernel}: {whats}", parts)
        shown = [parts[0]["statement"]] if verbose else []
        _explain(screen, [*shown, *(r.get("why", "") for r in parts)])
    screen.line()


def print_summary(screen: Screen, rows: list[Row], seconds: float, tested: str) -> None:
    """How many claims have which status; where all is well, what the words that occur mean.

    tested: what that status says of these rows.
    """
    counts = {s: sum(r["status"] == s for r in rows) for s in ("proved", "solver", "tested")}
    told = ", ".join(f"{n} {s}" for s, n in counts.items() if n)
    failed = sum(r["status"] == "failed" for r in rows)
    both = ", ".join(filter(None, [told, f"{failed} FAILED" if failed else ""]))
    screen.line(f"{both} in {seconds:.1f} s")
    if failed:
        return
    legend = {
        KERNELS: any(r["claim"].endswith(PER_KERNEL) for r in rows),
        SCHEDULES: any(map(_is_schedule, rows)),
        PROVED: bool(counts["proved"]),
        tested: bool(counts["tested"]),
    }
    for text in (text for text, occurs in legend.items() if occurs):
        screen.line(text, style="dim")


def _is_schedule(row: Row) -> bool:
    """Whether a row is about a tiled kernel, or about the addresses that all of them use."""
    return row["claim"].split()[0] in ("S1", "S2")


def _of_variant(row: Row) -> bool:
    """Whether a row is about a kernel in one more variant, `linear_grad_Y.equation in ...`."""
    return row["claim"].partition(" in ")[0].rpartition(".")[2] in PER_KERNEL


def _schedules(screen: Screen, rows: list[Row]) -> None:
    """A line for the steps of each tiled kernel; one for all of their texts."""
    steps: dict[tuple[str, str], list[Row]] = {}
    texts: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        kind, kernel, _ = row["claim"].split(" ", 2)
        if kind == "S1":
            steps.setdefault((kernel, row["status"]), []).append(row)
        else:
            texts.setdefault((row["statement"], row["status"]), []).append(row)
    for (kernel, status), parts in steps.items():
        names = " ".join(row["claim"].split(" ", 2)[2] for row in parts)
        _line(screen, status, f"S1 {kernel}: {names}", parts)
        _explain(screen, [row.get("why", "") for row in parts])
    for (statement, status), parts in texts.items():
        kernels = " ".join(row["claim"].split(" ", 2)[1] for row in parts)
        _line(screen, status, f"S2 {kernels}", parts)
        _explain(screen, [statement, *(row.get("why", "") for row in parts)])


def _explain(screen: Screen, words: list[str]) -> None:
    for text in dict.fromkeys(filter(None, words)):
        screen.line(f"          {text}", style="dim")


def _line(screen: Screen, status: str, what: str, rows: list[Row]) -> None:
    took = _took(rows) if status == "proved" else ""
    screen.line(f"  {status:7} {what:58} {took}".rstrip())


def _took(rows: list[Row]) -> str:
    size = sum(r["bytes"] for r in rows)
    steps = sum(r["steps"] for r in rows)
    degree = max(r["degree"] for r in rows)
    spent = sum(r["seconds"] for r in rows)
    return f"degree {degree}, {steps:3} steps, {size:6,} bytes, {spent * 1000:5.0f} ms"
