"""The sliders of a page: which sizes they set, and where they stand at first."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from gradproof.derive.language import Definition

# what a slider is called -> the sizes it sets, one for each axis
FAMILIES = {
    "H = W": ("H", "W"),
    "K": ("KH", "KW"),
    "S": ("SH", "SW"),
    "D": ("DH", "DW"),
    "P": ("PT", "PB", "PL", "PR"),
    "output padding": ("EH", "EW"),
    "output": ("OH", "OW"),
}
VOLUMES = {
    "T = H = W": ("T", "H", "W"),
    "K": ("KT", "KH", "KW"),
    "S": ("ST", "SH", "SW"),
    "D": ("DT", "DH", "DW"),
    "P": ("PF", "PK", "PT", "PB", "PL", "PR"),
    "output padding": ("ET", "EH", "EW"),
}
# a picture to begin with: one image of one channel, with a border
FIRST = {"H": 6, "W": 6, "L": 6, "KH": 3, "KW": 3, "K": 3, "PT": 1, "PB": 1, "PL": 1, "PR": 1}
FIRST |= {"P": 1, "OH": 3, "OW": 3, "EH": 0, "EW": 0}
FIRST_VOLUME = {"T": 4, "KT": 3, "PF": 1, "ET": 0}  # of few planes: all of them are shown
SMALL = 1  # all others
LARGEST = 9
SCALARS = {"real": 0.5, "uint": 1}
TINY = 1e-5  # what epsilons are


@dataclass(frozen=True)
class Slider:
    """One slider for some sizes."""

    label: str
    sizes: tuple[str, ...]
    low: int
    high: int
    value: int


def sliders(d: Definition) -> list[dict[str, Any]]:
    """A slider for each family of sizes, then one for each other size.

    >>> from gradproof.derive.registry import find
    >>> [s["label"] for s in sliders(find("max_pool2d"))]
    ['H = W', 'K', 'S', 'D', 'P', 'C', 'N']
    """
    free = [str(s) for s in d.sizes]
    lower = {str(s): bound for s, bound in d.lower}
    windows = any(s in free for s in ("KH", "SH", "S"))
    volume = "KT" in free
    first = FIRST | (FIRST_VOLUME if volume else {})
    found = []
    for label, family in (VOLUMES if volume else FAMILIES).items():
        if sizes := tuple(s for s in family if s in free):
            value = first.get(sizes[0], SMALL if windows else 3)
            found.append(_slider(label if len(sizes) > 1 else sizes[0], sizes, lower, value))
            free = [s for s in free if s not in sizes]
    found += [_slider(s, (s,), lower, FIRST.get(s, SMALL if windows else 3)) for s in free]
    return [asdict(s) for s in found]


def scalars(d: Definition) -> dict[str, float]:
    """A value for every scalar argument."""
    return {n: TINY if n == "eps" else SCALARS[kind] for n, kind in d.scalars}


def _slider(label: str, sizes: tuple[str, ...], lower: dict[str, int], value: int) -> Slider:
    low = lower.get(sizes[0], -2)  # a size that may be negative, such as a padding
    return Slider(label, sizes, low, LARGEST, max(low, value))
