"""The text of reductions over the points of a window, 16 windows at once, as points get known."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from gradproof.codegen.fast.windows import Fold


def windows(places: Sequence[Mapping[str, int]], points: Sequence[str]) -> list[Mapping[str, int]]:
    """The first place of each window in a tile.

    >>> windows([{"x": 0, "i": 0}, {"x": 0, "i": 1}, {"x": 1, "i": 0}, {"x": 1, "i": 1}], ["i"])
    [{'x': 0, 'i': 0}, {'x': 1, 'i': 0}]
    """
    return [x for x in places if not any(x.get(v, 0) for v in points)]


def window(
    places: Sequence[Mapping[str, int]], points: Sequence[str], place: Mapping[str, int]
) -> int:
    """The number of the window in which a place of the tile lies."""
    first = {v: 0 if v in points else k for v, k in place.items()}
    return windows(places, points).index(first)


def declared(folds: Sequence[Fold], windows: int) -> Iterator[str]:
    """The variables a<fold>_<window> before the first point."""
    for w in range(windows):
        for k, f in enumerate(folds):
            if f.kind == "argmax":
                yield f"MASKV a{k}_{w} = (MASKV)(-1);"
                if _maximum(folds, f) is None:
                    yield f"REALV a{k}_{w}_most = (REALV)(-INFINITY);"
            else:
                start = "0" if f.kind == "sum" else "-INFINITY"
                yield f"REALV a{k}_{w} = (REALV)({start});"
                if _alone(folds, f):
                    yield f"MASKV a{k}_{w}_nan = 0;"


def folded(folds: Sequence[Fold], k: int, w: int, term: str, place: str) -> Iterator[str]:
    """One more point in fold k of window w. A maximum keeps a NaN (see `finished`), an argmax the
    first place; the argmax of a term knows its maximum too."""
    f, name = folds[k], f"a{k}_{w}"
    if f.kind == "sum":
        yield f"{name} += {term};"
    elif f.kind == "max":
        if _alone(folds, f):
            yield f"const REALV term_{k} = {term};"
            yield f"{name}_nan |= term_{k} != term_{k};"
            yield f"{name} = {name} > term_{k} ? {name} : term_{k};"
    else:
        most = _maximum(folds, f)
        value = f"{name}_most" if most is None else f"a{most}_{w}"
        more = f"~(term_{k} <= {value}) & ({value} == {value})"
        yield f"const REALV term_{k} = {term};"
        yield f"const MASKV take_{k} = ({name} < 0) | ({more});"
        yield f"{name} = take_{k} ? (MASKV)({place}) : {name};"
        yield f"{value} = take_{k} ? term_{k} : {value};"


def finished(folds: Sequence[Fold], w: int) -> Iterator[str]:
    """After the last point of window w."""
    for k, f in enumerate(folds):
        if _alone(folds, f):
            yield f"a{k}_{w} = a{k}_{w}_nan ? (REALV)(NAN) : a{k}_{w};"


def _alone(folds: Sequence[Fold], f: Fold) -> bool:
    """Whether this is a maximum that no argmax knows. It is one instruction, which drops a NaN,
    and remembers whether there was one: cheaper than a maximum that keeps it."""
    argmax = any(other.kind == "argmax" and other.term == f.term for other in folds)
    return f.kind == "max" and not argmax


def _maximum(folds: Sequence[Fold], argmax: Fold) -> int | None:
    """The fold that is the maximum of the same term."""
    return next((k for k, f in enumerate(folds) if f.kind == "max" and f.term == argmax.term), None)
