"""Terms that the border makes zero are left out where they are many: the sums stay the same."""

from __future__ import annotations

from typing import Any

import pytest

from gradproof.codegen.fast import contraction_bounds
from gradproof.codegen.fast.contraction import contraction_tiles
from tests.test_fast_contraction import Equation, Layouts, batch_lanes, built, conv, exact

SIZES: list[dict[str, int]] = [
    {"H": 7, "W": 6, "K": 5, "P": 0, "CG": 3, "OG": 16},
    {"H": 5, "W": 6, "K": 5, "P": 2, "CG": 16, "OG": 16},
    {"H": 6, "W": 11, "K": 5, "P": 1, "S": 2, "CG": 3, "OG": 16},
    {"H": 9, "W": 8, "K": 3, "P": 0, "D": 3, "CG": 4, "OG": 16},
]


def lanes(e: Equation) -> tuple[Layouts, Layouts]:
    return e.layouts(), batch_lanes(e)


@pytest.mark.parametrize("sizes", SIZES)
def test_all_gradients_are_exact(sizes: dict[str, int]) -> None:
    found = conv(N=16, **sizes).items()
    exact({f"{t}_{k}": (e, x) for t, e in found for k, x in enumerate(lanes(e))})


def padless() -> tuple[Equation, Layouts]:
    e = conv(N=16, H=7, W=6, K=5, P=0, CG=3, OG=16)["grad_Y"]
    return e, batch_lanes(e)


def test_loops_begin_and_end_with_what_counts() -> None:
    e, layouts = padless()
    assert "max(0, " in (text := built("k", e, layouts).text) and "min(5, " in text
    few = conv(N=16, H=20, W=20, CG=3, OG=16)["z"]
    assert "max(0, " not in built("k", few, batch_lanes(few)).text


def test_a_tile_takes_the_terms_of_all_its_places(monkeypatch: pytest.MonkeyPatch) -> None:
    e, layouts = padless()
    tiles = contraction_tiles(e.nests, layouts, most=200)
    over = next(t for t in tiles if "u=" in t.split("unroll")[0] or "v=" in t.split("unroll")[0])
    exact({"whole": (e, layouts)}, force=over)

    def first_only(b: Any, _tile: Any) -> Any:
        return b

    monkeypatch.setattr(contraction_bounds, "_widened", first_only)
    with pytest.raises(AssertionError):
        exact({"narrow": (e, layouts)}, force=over)
