"""Faults that one check alone sees: each was found by leaving that check out of the checker."""

from __future__ import annotations

import pytest

from gradproof.derive.checker import Refused
from tests.test_checker_algebra import read, same
from tests.test_checker_certificates import AT, J, equal
from tests.test_checker_folder import FOLDER, named, operator_of, record_of
from tests.test_checker_kernels import POSITION, stored

# A newline more would move the places that a record's maps name: here there are none.
HIDDEN = ["// no \\", "// no ??/", "// no \r", "// no \0", "// no \f", "// no \v", "/* */"]
HIDDEN += ["@", "$", "\\", "`", "~", "²", "'", '"']


@pytest.mark.parametrize("text", HIDDEN)
def test_a_comment_that_c_ends_elsewhere_is_refused(text: str) -> None:
    assert stored("// fine\nz[id] = lr;") == stored("z[id] = lr;")
    with pytest.raises(Refused, match=r"f\.cl:14: .* is outside the subset"):
        stored(f"{text}\nz[id] = lr;")


def test_a_kernel_writes_what_the_manifest_says() -> None:
    text = (FOLDER / "relu.cl").read_text("utf-8")
    with pytest.raises(Refused, match="relu_z writes Y, not z"):
        operator_of("relu", text=text.replace("z[id] =", "Y[id] =", 1)).check(named())


def test_a_maximum_sets_no_more_than_its_value_and_position() -> None:
    both = "p = M * i + j;"
    for more in (f"{both} p = j;", f"{both} p = 0;", f"{both} m = v;"):
        with pytest.raises(Refused, match="is updated twice"):
            stored(POSITION.replace(both, more), "q", "int")


def test_a_position_starts_at_minus_1_and_is_of_one_maximum() -> None:
    real = POSITION.replace("int p = -1", "REAL p = 0").replace("q[id] = p", "z[id] = p")
    with pytest.raises(Refused, match="p is no position"):
        stored(real)
    head, loops = POSITION.removesuffix("q[id] = p;").split("int p = -1; ")
    again = f"{head}int p = -1; {loops}REAL r = -INFINITY; {loops.replace('m', 'r')}q[id] = p;"
    with pytest.raises(Refused, match="p is no position"):
        stored(again, "q", "int")


def test_a_sum_is_not_like_a_maximum() -> None:
    m = {"sum": 0, "like": 0, "map": J["map"], "back": J["back"], "witness": AT}
    with pytest.raises(Refused, match="there is no sum 0 on the other side"):
        equal("sum[i:N](t[i])", "max[j:N](t[j])", maps=[m])


def test_sizes_that_no_example_shows_are_refused() -> None:
    """Without an example what is required could be contradictory, and everything would follow."""
    maps = record_of("relu")["maps"]
    where = "relu: sizes: witness"
    none = {k: v for k, v in maps.items() if k != where}
    with pytest.raises(Refused, match="relu: sizes: no values show that its hypotheses hold"):
        operator_of("relu", maps=none).check(named())
    (found,) = maps[where]
    few = [found | {"witness": dict.fromkeys(found["witness"], 1)}]
    with pytest.raises(Refused, match=r"relu: sizes: the witness has .* shows too little"):
        operator_of("relu", maps=maps | {where: few}).check(named())


@pytest.mark.parametrize("condition", ["i >= j", "i == j and j >= 1", "t[i] > 0"])
def test_a_choice_and_its_opposite_are_both_alternatives(condition: str) -> None:
    both = f"where({condition}, t[0], t[1]) + where({condition}, t[1], t[0])"
    assert same(both, "t[0] + t[1]")


@pytest.mark.parametrize("condition", ["i", "not i >= j", "i >= j or j >= i", "i + 1"])
def test_what_compares_nothing_is_no_condition(condition: str) -> None:
    with pytest.raises(Refused, match="is no condition"):
        read(f"where({condition}, t[0], t[1])")
