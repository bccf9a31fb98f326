"""Tables of rows, and what they have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from rich.table import Table

GOOD, FAIR, BAD = "green", "yellow", "red"


def tables(title: str, rows: Sequence[Mapping[str, Any]]) -> Iterator[Table]:
    """A table for each set of PyTorch's variants."""
    for variants, part in groupby(rows, key=lambda row: tuple(row["torch_ms"])):
        yield table(title, list(part), variants)


def table(title: str, rows: Sequence[Mapping[str, Any]], variants: Sequence[str]) -> Table:
    """One line for each row; a ratio under its floor is red, one under its target yellow.

    goal: floor and target; roof: the part of the peak or bandwidth that ours and PyTorch's best
    reach; error: ours, and the largest of PyTorch's.
    """
    found = Table(title=title)
    found.add_column("", no_wrap=True)
    for name in ("ours ms", *variants, "ratio", "goal", "roof", "torch's", "error", "torch's"):
        found.add_column(name, justify="right")
    for row in rows:
        found.add_row(*cells(row, variants), style=style(row))
    return found


def cells(row: Mapping[str, Any], variants: Sequence[str]) -> list[str]:
    """A row's text; what was not measured is empty."""
    errors = dict(row["errors"])
    ours = errors.pop("gradproof", None)
    times = [number(row["torch_ms"].get(name), ".3f") for name in variants]
    fractions = [number(row["fraction"], ".0%"), number(row["torch_fraction"], ".0%")]
    return [
        row["name"],
        number(row["ours_ms"], ".3f"),
        *times,
        number(row["ratio"], ".2f"),
        "" if row["floor"] is None else f"{row['floor']:.2f}–{row['target'] or 0:.2f}",
        *fractions,
        number(ours, ".0e"),
        number(max(errors.values(), default=None), ".0e"),
    ]


def style(row: Mapping[str, Any]) -> str:
    """The colour of a row.

    >>> style({"ratio": 1.0, "floor": 0.9, "target": 1.2})
    'yellow'
    """
    ratio, floor, target = row["ratio"], row["floor"], row["target"]
    if ratio is None or floor is None or target is None:
        return ""
    return GOOD if ratio >= target else FAIR if ratio >= floor else BAD


def standing(rows: Sequence[Mapping[str, Any]]) -> str:
    """How many rows reach what they should.

    >>> standing([{"ratio": 1.0, "floor": 0.9, "target": 1.2}])
    '1 of 1 rows reach their floor, 0 their target'
    """
    judged = [style(row) for row in rows if style(row)]
    reached = sum(colour != BAD for colour in judged)
    return f"{reached} of {len(judged)} rows reach their floor, {judged.count(GOOD)} their target"


def number(value: float | None, form: str) -> str:
    """The number, or nothing where there is none.

    >>> number(0.5, ".0%"), number(None, ".0%")
    ('50%', '')
    """
    return "" if value is None else format(value, form)
