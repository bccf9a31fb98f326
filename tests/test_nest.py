"""Lowering: where loops, guards and quotients end up, and which reads are conditional."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from gradproof.derive.errors import DefinitionError
from gradproof.derive.expr import FloorQuo, FloorRem, Inside, Quo, integer
from gradproof.derive.language import Definition, operator
from gradproof.derive.nest import For, Let, Nest, Statement, Update, When, lower
from gradproof.derive.registry import find, operators
from gradproof.derive.system import derive


def nest(d: Definition, target: str | None = None) -> Nest:
    return lower(d, d.equation(target) if target else d.equations[-1])


def walk(statements: tuple[Statement, ...]) -> Iterator[Statement]:
    for s in statements:
        yield s
        if isinstance(s, For | When):
            yield from walk(s.body)


def loops(n: Nest) -> list[str]:
    return [str(s.index) for a in n.accumulators for s in walk(a.body) if isinstance(s, For)]


def test_loops_stand_in_the_order_of_the_sum() -> None:
    assert loops(nest(find("conv2d"))) == ["c", "i", "j"]


def test_a_guard_stands_outside_the_loops_that_it_does_not_need() -> None:
    (a,) = nest(find("conv2d")).accumulators
    inside_i = next(s for s in walk(a.body) if isinstance(s, For) and str(s.index) == "i")
    let, when = inside_i.body
    assert isinstance(let, Let) and isinstance(when, When)
    assert any(isinstance(s, For) and str(s.index) == "j" for s in walk(when.body))


def test_every_inner_loop_of_a_sum_has_its_own_partial_sum() -> None:
    (a,) = nest(find("conv2d")).accumulators
    partial = {str(s.index): (s.partial, s.into) for s in walk(a.body) if isinstance(s, For)}
    assert partial == {
        "c": ("sum0", "sum0"), "i": ("sum0_i", "sum0"), "j": ("sum0_i_j", "sum0_i"),
    }  # fmt: skip
    (update,) = [s for s in walk(a.body) if isinstance(s, Update)]
    assert update.accumulator == "sum0_i_j"


def test_a_maximum_has_no_partial_results() -> None:
    (a,) = nest(find("max_pool2d")).accumulators
    assert {s.partial for s in walk(a.body) if isinstance(s, For)} == {"max0"}


def test_a_quotient_is_named_once_under_its_guards() -> None:
    backward = derive(find("conv2d")).backward
    assert backward is not None
    (a,) = nest(backward, "grad_Y").accumulators
    lets = [s for s in walk(a.body) if isinstance(s, Let)]
    assert len({s.value for s in lets}) == len(lets) == 4
    # its numerator is known not to be negative there: C's division will do
    assert not any(s.value.atoms(FloorQuo, FloorRem) for s in lets)


def test_a_numerator_that_may_be_negative_rounds_down() -> None:
    d = operator("t", "z[x] = Y[(x - P)//2]", {"Y": "N", "z": "M"}, integers="P",
                 outside={"Y": "zero"})  # fmt: skip
    value = nest(d).value
    assert value.atoms(FloorQuo) and not value.atoms(Quo)


def test_a_read_outside_a_sum_is_conditional() -> None:
    d = operator("t", "z[x] = Y[x + 1] + 1", {"Y": "N", "z": "N"}, outside={"Y": "zero"})
    (inside,) = nest(d).value.atoms(Inside)
    assert len(inside.args) == 2  # only the upper side can fail


def test_a_term_that_does_not_vanish_with_its_read_keeps_its_place_in_the_sum() -> None:
    d = operator("t", "z[x] = sum[i:K]((Y[x + i] - 1)**2)", {"Y": "N", "z": "N"},
                 outside={"Y": "zero"})  # fmt: skip
    (a,) = nest(d).accumulators
    (update,) = [s for s in walk(a.body) if isinstance(s, Update)]
    assert update.value.atoms(Inside)
    assert not any(isinstance(s, When) for s in walk(a.body))


def test_only_a_maximum_skips() -> None:
    shapes, skip = {"Y": "N", "z": "N"}, {"Y": "skip"}
    with pytest.raises(
        DefinitionError, match=r"Y\[i \+ x\] stands in a sum.*only a maximum can do"
    ):
        operator("t", "z[x] = sum[i:K](Y[x + i])", shapes, outside=skip)
    with pytest.raises(DefinitionError, match=r"subscript x \+ 1 of Y\[x \+ 1\] may fall beyond N"):
        operator("t", "z[x] = Y[x + 1]", shapes, outside=skip)
    beside = "z[x] = max[i:K](Y[x + i]) - Y[x]"  # x is inside whatever the maximum skips
    assert nest(operator("t", beside, shapes, outside=skip))


def test_a_gradient_that_would_sum_what_a_maximum_skips_is_refused() -> None:
    """d/dw of max over i of Y[x + i]*w[i] reads Y at taps that may lie outside."""
    d = operator("t", "z[x] = max[i:K](Y[x + i] * w[i])", {"Y": "N", "w": "K", "z": "N"},
                 outside={"Y": "skip"})  # fmt: skip
    backward = derive(d).backward
    assert backward is not None
    assert nest(backward, "grad_Y")
    with pytest.raises(DefinitionError, match="only a maximum skips"):
        nest(backward, "grad_w")


def test_every_operator_lowers_and_owns_its_target_element() -> None:
    for d in operators().values():
        for v in d.variants():
            system = derive(v)
            for part in (system.forward, system.backward):
                for e in part.equations if part else ():
                    n = lower(part, e)
                    assert tuple(i for i, _ in n.grid) == e.indices
                    assert e.target not in {t.name for t in n.tensors}


def test_total_is_the_number_of_elements() -> None:
    n, k = integer("N"), integer("O")
    assert nest(find("linear")).total == n * k
