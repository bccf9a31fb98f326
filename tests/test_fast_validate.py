"""What a planner must not plan is refused: nests that write twice or leave their tensors, layouts
in which elements meet, subscripts that are not affine."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sympy as sp

from gradproof.codegen.fast.affine import Affine
from gradproof.codegen.fast.graph import _equation
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.nest import Access, Nest
from gradproof.codegen.fast.residues import PHASES, Form, NotAffine, affine, split
from gradproof.codegen.fast.specialise import specialise
from gradproof.codegen.fast.validate import Unsound, check_nests
from gradproof.derive.expr import Quo, Read, Reduce, integer
from gradproof.derive.language import operator
from gradproof.derive.machine import Machine
from gradproof.derive.ops.relu import relu
from gradproof.derive.registry import find
from gradproof.derive.system import derive

II, JJ, KK, NN = map(integer, "ijkN")


# -- nests ----------------------------------------------------------------------------------------
def nest(subscript: Affine, extent: int, read: Affine | None = None) -> Nest:
    """z[subscript] = Y[read] for all i below `extent`."""
    at = Access("Y", (subscript if read is None else read,))
    value = sp.Symbol("r0", real=True)
    return Nest(Access("z", (subscript,)), (("i", extent),), (at,), (), value)


SHAPES = {"Y": (4,), "z": (4,)}
i = Affine.of("i")
UNSOUND: dict[str, tuple[tuple[Nest, ...], str]] = {
    "an element twice": ((nest(Affine(1), 4),), r"z\[1\]: some element is written twice"),
    "an element of another phase": (
        (nest(i, 2), nest(i + Affine(1), 3)),
        r"z\[i\] and z\[i \+ 1\] write the same element",
    ),
    "an element too few": ((nest(i, 3),), r"z\[i\]: 3 of 4 elements are written"),
    "a place outside the target": ((nest(i + Affine(1), 4),), r"i \+ 1 runs from 1 to 4, .* is 4"),
    "a place outside an operand": ((nest(i, 4, i - Affine(1)),), r"Y\[i - 1\]: .* from -1 to 2"),
}


@pytest.mark.parametrize("case", UNSOUND)
def test_a_nest_that_would_compute_something_else_is_refused(case: str) -> None:
    nests, message = UNSOUND[case]
    with pytest.raises(Unsound, match=message):
        check_nests(nests, SHAPES)


def test_what_is_written_once_is_accepted() -> None:
    check_nests((nest(i * 2, 2), nest(i * 2 + Affine(1), 2)), SHAPES)
    check_nests((), SHAPES)
    beyond = nest(i, 4, i - Affine(1))
    check_nests((replace(beyond, reads=(replace(beyond.reads[0], outside="zero"),)),), SHAPES)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (((0, 1, 2), (0, 4, 2)), "is no mixed radix"),
        (((0, 1, 2), (0, 2, 2)), "has 4 places for 5"),
    ],
)
def test_a_layout_has_a_place_for_every_element(
    axes: tuple[tuple[int, int, int], ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Layout((5,), axes)


def test_an_equation_that_is_not_there_is_named() -> None:
    with pytest.raises(KeyError, match="relu computes no 'q'"):
        _equation(relu, "q")


# -- subscripts -----------------------------------------------------------------------------------
def form(subscript: sp.Expr, extent: int = 8) -> Form:
    return Form(((II, extent), (JJ, 3)), (II, JJ), Read("Y", (subscript,)))


def total(subscript: sp.Expr, extent: int, kind: str = "sum") -> Form:
    return Form(
        ((II, 8),), (II,), Reduce(kind, [(KK, sp.Integer(extent))], [], Read("Y", (subscript,)))
    )


NOT_AFFINE: dict[str, Form] = {
    "a quotient by a size": form(Quo(II, NN)),
    "a quotient of an element": form(Quo(Read("t", (II,)), sp.Integer(2))),
    "a quotient of a product": form(Quo(II * JJ, sp.Integer(2))),
    "more classes than are worth a nest": form(Quo(II, sp.Integer(PHASES + 1)), 2 * PHASES),
    "a quotient in a maximum": total(Quo(KK, sp.Integer(3)), 4, "max"),
    "a quotient of a square in a sum": total(Quo(KK * KK, sp.Integer(3)), 4),
    "a sum of more classes": total(Quo(KK, sp.Integer(PHASES + 1)), 2 * PHASES),
}


@pytest.mark.parametrize("case", NOT_AFFINE)
def test_what_is_not_affine_has_no_nest(case: str) -> None:
    with pytest.raises(NotAffine):
        list(split(NOT_AFFINE[case], {"i", "j", "k"}))


@pytest.mark.parametrize(
    "f", [form(Quo(II, sp.Integer(PHASES)), 2 * PHASES), total(Quo(KK, sp.Integer(3)), 4)]
)
def test_what_is_affine_in_classes_has_one(f: Form) -> None:
    parts = list(split(f, {"i", "j", "k"}))
    assert parts and not any(p.body.atoms(Quo) for p in parts)


def test_half_a_loop_is_not_affine() -> None:
    assert affine(II / 2, {"i": 4}) is None
    assert affine(2 * II + 1, {"i": 4}) == Affine.of("i") * 2 + Affine(1)


def phases(stride: int) -> int | None:
    """How many nests the gradient of a convolution has."""
    d = find("conv2d")
    sizes = {str(s): 1 for s, _ in d.lower} | {"SH": stride, "SW": stride, "H": 40, "W": 40}
    sizes |= {"PT": 0, "PB": 0, "PL": 0, "PR": 0, "KH": stride, "KW": stride}
    backward = derive(d).backward
    assert backward is not None
    known = {str(s): n for s, n in Machine.sized(backward, sizes).sizes.items()}
    nests = specialise(backward, backward.equation("grad_Y"), known)
    return None if nests is None else len(nests)


def test_strides_of_more_phases_than_are_worth_a_nest_each() -> None:
    assert phases(8) == 64 == PHASES
    assert phases(9) is None


def test_sizes_that_break_a_requirement_have_no_nest() -> None:
    d = operator(
        "shift",
        "z[i] = Y[i + P]",
        {"Y": "N", "z": "M"},
        integers="P",
        at_least={"P": 0},
        requires={"M + P <= N": "too short"},
    )
    inside, outside = ({"N": 8, "M": 8 - k, "P": 1} for k in (1, 0))
    assert specialise(d, d.equations[0], inside) is not None
    assert specialise(d, d.equations[0], outside) is None


def test_a_sum_without_a_term_is_0() -> None:
    d = operator("rows", "z[i] = sum(Y[i,k]) + 1", {"Y": "N, K"}, at_least={"K": 0})
    (nest,) = specialise(d, d.equations[0], {"N": 4, "K": 0}) or ()
    assert nest.reductions == () and nest.value == 1
