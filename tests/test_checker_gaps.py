"""Faults that one check alone sees: each was found by leaving that check out of the checker."""

from __future__ import annotations

import pytest

from gradproof.derive.checker import Refused
from tests.test_checker_certificates import AT, J, equal
from tests.test_checker_folder import FOLDER, named, operator_of
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
