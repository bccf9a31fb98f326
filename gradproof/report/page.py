"""A report as one HTML file: styles, scripts, charts and pictures are in it."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from typing import Any

import numpy as np
from markupsafe import Markup

from gradproof import __version__
from gradproof.book.html import templates
from gradproof.report import charts
from gradproof.report.parts import Confusion, Missing, Norms, Report, Timing
from gradproof.report.pictures import TILES, data_uri, filter_levels, picture
from gradproof.runtime.planned_memory import mib
from gradproof.runtime.plots import filter_limit, filter_tiles

LARGEST = 12  # buffers of the memory plan in its table
KERNELS = 15  # of those that take longest; the others are behind a click
NUMBERED = 20  # classes of a confusion matrix that is shown as one
PAIRS = 20  # mistakes that are listed where it is not


def render(report: Report) -> str:
    """The page of a report."""
    environment = templates("gradproof.report", "gradproof.book")
    helpers: dict[str, Callable[..., Any]] = {
        "missing": lambda part: isinstance(part, Missing),
        "curve_charts": _drawn(charts.curve_charts),
        "norm_chart": _drawn(charts.norm_chart),
        "timeline": _drawn(charts.timeline),
        "roofline": _drawn(charts.roofline),
        "memory_chart": _drawn(charts.memory_chart),
        "picture": picture,
        "filters": _filters,
        "shares": shares,
        "pairs": pairs,
        "layer_rows": layer_rows,
        "slowest": slowest,
        "largest": lambda plan: sorted(plan.buffers, key=lambda b: -b.nbytes)[:LARGEST],
        "mib": mib,
    }
    environment.globals.update(helpers)
    style = _static("gradproof.book", "book.css") + _static("gradproof.report", "report.css")
    return environment.get_template("report.html.j2").render(
        r=report,
        root="",
        version=__version__,
        numbered=NUMBERED,
        most=KERNELS,
        style=Markup(style),
        script=Markup(_static("gradproof.book", "book.js")),
    )


def _static(package: str, name: str) -> str:
    return (resources.files(package) / "static" / name).read_text("utf-8")


def _drawn(chart: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Charts are SVG that has escaped what is text."""

    def draw(part: Any) -> Any:
        with charts.drawing():
            found = chart(part)
        return [Markup(x) for x in found] if isinstance(found, list) else Markup(found)

    return draw


def _filters(part: Any) -> dict[str, Any]:
    """The pictures of the filters, and what is said of them."""
    limit = filter_limit(part.before, part.after)
    levels = {n: filter_levels(getattr(part, n), limit) for n in ("before", "after")}
    out, channels, height, width = part.after.shape
    return {
        "limit": limit,
        "sheets": {n: data_uri(x) for n, x in levels.items()},
        "width": levels["after"].shape[1],
        "height": levels["after"].shape[0],
        "what": f"{out} filters of {channels} × {height} × {width}",
        "left": max(0, len(filter_tiles(part.after, limit)) - TILES),
    }


def shares(confusion: Confusion) -> list[list[tuple[int, float]]]:
    """Each count of the matrix with its share of the row, in percent of the strongest colour."""
    totals = np.maximum(confusion.matrix.sum(axis=1, keepdims=True), 1)
    strength = 100 * np.sqrt(confusion.matrix / totals)
    return [
        [(int(n), round(float(s), 1)) for n, s in zip(row, strong, strict=True)]
        for row, strong in zip(confusion.matrix, strength, strict=True)
    ]


def pairs(confusion: Confusion) -> list[tuple[str, str, int]]:
    """Which class was most often taken for which other one."""
    wrong = confusion.matrix.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
    places = [divmod(int(k), len(wrong)) for k in order]
    names = confusion.classes
    return [(names[i], names[j], int(wrong[i, j])) for i, j in places if wrong[i, j]]


def layer_rows(norms: Norms) -> list[tuple[str, float, float, float, float]]:
    """Each layer's norm at first, at last, and the least and the greatest."""
    return [(n, v[0], v[-1], min(v), max(v)) for n, v in norms.layers.items()]


def slowest(timing: Timing) -> list[dict[str, Any]]:
    """Works of equal kernel and equations together, those that take longest first."""
    groups: dict[tuple[str, str], list[Any]] = {}
    for w in timing.works:
        groups.setdefault((w.kernel, w.computes), []).append(w)
    rows = []
    for (kernel, computes), works in groups.items():
        seconds = sum(w.seconds for w in works)
        flops, nbytes = sum(w.flops for w in works), sum(w.nbytes for w in works)
        rows.append(
            {
                "kernel": kernel,
                "computes": computes,
                "phase": works[0].phase,
                "count": len(works),
                "schedule": works[0].schedule,
                "seconds": seconds,
                "share": seconds / timing.busy if timing.busy else 0.0,
                "gflops": flops / seconds / 1e9 if flops and seconds else None,
                "gbytes": nbytes / seconds / 1e9 if nbytes and seconds else None,
                "intensity": flops / nbytes if flops and nbytes else None,
            }
        )
    return sorted(rows, key=lambda row: -row["seconds"])
