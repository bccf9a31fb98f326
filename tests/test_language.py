"""Reading definitions: what the language takes, what it infers, and what it refuses and how."""

from __future__ import annotations

from typing import Any

import pytest

from gradproof.derive.errors import DefinitionError
from gradproof.derive.expr import Divides, IsZero, NonNeg, Read, Reduce, integer, reduces
from gradproof.derive.language import Definition, operator
from gradproof.derive.names import refusal
from gradproof.derive.registry import find, operators
from gradproof.derive.show import text


def define(equations: str, tensors: dict[str, str], **more: Any) -> Definition:
    return operator("test", equations, tensors, **more)


def refused(equations: str, tensors: dict[str, str], **more: Any) -> str:
    with pytest.raises(DefinitionError) as error:
        define(equations, tensors, **more)
    message = str(error.value)
    assert message.startswith(("test:", "'"))  # the operator comes first
    return message


# -- what is read -------------------------------------------------------------------------------
def test_sum_runs_over_the_indices_that_the_left_side_lacks() -> None:
    d = define("z[n,o] = sum(w[o,k]*Y[n,k]) + b[o]", {"Y": "N,K", "w": "O,K", "b": "O"})
    (r,) = reduces(d.equations[0].body)
    assert r.indices == ((integer("k"), integer("K")),)
    assert d.tensor("z").shape == (integer("N"), integer("O"))
    assert d.inputs == ("Y", "w", "b")


def test_an_explicit_extent_is_kept_and_a_plain_one_inferred() -> None:
    d = define("z[x] = sum[i:K, j](Y[x+i]*v[j], x + i < N)", {"Y": "N", "v": "M", "z": "N"})
    (r,) = reduces(d.equations[0].body)
    assert r.indices == ((integer("i"), integer("K")), (integer("j"), integer("M")))


def test_chained_comparisons_equalities_and_divisibility_become_guards() -> None:
    d = define("z[x] = sum[i](Y[i], 0 <= i - x < K, i % S == 0, i == 2*x)", {"Y": "N", "z": "M"})
    i, x, s, k = map(integer, "ixSK")
    (r,) = reduces(d.equations[0].body)
    expected = (NonNeg(i - x), NonNeg(k + x - i - 1), Divides(s, i), IsZero(i - 2 * x))
    assert r.guards == expected


def test_capitals_are_sizes_at_least_one_unless_declared_integers() -> None:
    d = define("z[x] = Y[x + P - S]", {"Y": "N", "z": "M"}, integers="P", outside={"Y": "zero"})
    assert dict(d.lower) == {integer("M"): 1, integer("N"): 1, integer("S"): 1}
    assert integer("P") in d.sizes


def test_a_scalar_tensor_is_read_by_its_name() -> None:
    d = define("s = sum[i](x[i])\nz[i] = x[i] / s", {"x": "N"})
    assert Read("s") in d.equations[1].body.atoms(Read)


def test_labels_are_subscripts() -> None:
    d = define("z[n] = a[n,t[n]]", {"a": "N,C", "t": "N"}, labels={"t": "C"})
    assert text(d.equations[0]) == "z[n] = a[n, t[n]]"


def test_optional_operands_give_variants() -> None:
    names = [v.name for v in find("batch_norm").variants()]
    assert len(names) == len(set(names)) == 4
    with pytest.raises(DefinitionError, match="'X' is not an optional operand"):
        find("batch_norm").without("X")


def test_every_operator_is_found_and_an_unknown_one_lists_them() -> None:
    assert {"conv2d", "batch_norm", "softmax_cross_entropy"} <= set(operators())
    with pytest.raises(DefinitionError, match=r"no operator 'conv9d'; known: .*conv2d"):
        find("conv9d")


# -- what is refused ----------------------------------------------------------------------------
VECTOR = {"A": "N", "z": "N"}
REFUSED = [
    ("z[i] = sum[j](A[i])", VECTOR, "the extent of index j cannot be inferred"),
    ("y[i] = sum[j:J](A[i + j])", {"A": "N"}, "the extent of index i cannot be inferred"),
    ("y[i] = A[i] + B[i]", {"A": "N", "B": "M"}, "index i runs to N in A, and to M in B"),
    ("z[i] = sum[i](A[i])", VECTOR, "index i is bound twice"),
    ("z[i] = sum[j, j](A[j])", VECTOR, "index j is bound twice"),
    ("z[i] = A[i] * j", VECTOR, "index j is neither on the left nor summed over"),
    ("z[i] = A[i + 1]", VECTOR, "may fall beyond N - 1"),
    ("z[i] = A[i - 1]", VECTOR, "may fall below 0"),
    ("z[i] = A[i] + B[i]", {**VECTOR, "B": "M"}, "subscript i of B"),
    ("z[i] = sum[j](A[j*j*0.5])", VECTOR, "integer polynomial"),
    ("z[i] = A[i / 2]", VECTOR, "a subscript or guard is an integer polynomial"),
    ("z[i] = A[B[i]]", {**VECTOR, "B": "N"}, "a subscript or guard is an integer polynomial"),
    ("z[i] = A[exp(i)]", VECTOR, "a subscript or guard is an integer polynomial"),
    ("z[i] = sum[j](A[j], A[j] > 0)", VECTOR, "a subscript or guard is an integer polynomial"),
    ("z[i] = sum[j](A[j], j)", VECTOR, "a guard is a comparison"),
    ("z[i] = sum[j](A[j], j != i)", VECTOR, "a guard compares with"),
    ("z[i] = A[i // P]", VECTOR, "the divisor P may be 0 or negative"),
    ("z[i] = A[i % 0]", VECTOR, "a positive divisor"),
    ("z[i] = A[i] // 2", VECTOR, "// and % take integers"),
    ("z[i] = A[i] / 0", VECTOR, "no such operation"),
    ("z[i] = A[i] ** i", VECTOR, "no such operation"),
    ("z[i] = z[i] + A[i]", VECTOR, "a recurrence is outside the language"),
    ("y[i] = y[i - 1] + A[i]", {"A": "N"}, "a recurrence is outside the language"),
    ("y[i] = s[i] * 2\ns[i] = A[i]", {"A": "N"}, "a recurrence is outside the language"),
    ("z[i] = sum[j](A[j] * sum[k](A[k]))", VECTOR, "a reduction inside a reduction"),
    ("z[i] = sin(A[i])", VECTOR, "no such function as sin"),
    ("z[i] = exp(A[i], 2)", VECTOR, "no such function as exp"),
    ("z[i] = A[i, i]", VECTOR, "A has 1 dimensions, not 2"),
    ("z[i] = A", VECTOR, "A has 1 dimensions and needs as many subscripts"),
    ("z[i, j] = A[i]", VECTOR, "z has 1 dimensions, not 2"),
    ("z[i] = B[i]", VECTOR, "'B' is not a tensor that is known here"),
    ("z[i] = A[i]\nz[i] = A[i]", VECTOR, "z is defined twice"),
    ("z[i] = A[i]\nA[i] = z[i]", VECTOR, "z reads A before it is defined"),
    ("z[2*i] = A[i]", VECTOR, "every subscript on the left is an index of its own"),
    ("z[i, i] = A[i]", {"A": "N", "z": "N,N"}, "every subscript on the left is an index"),
    ("z[N] = A[0]", VECTOR, "every subscript on the left is an index of its own"),
    ("z[i] += A[i]", VECTOR, "an equation has the form"),
    ("(z, y) = A[0]", VECTOR, "the left side is a tensor with plain indices"),
    ("z.y[i] = A[i]", VECTOR, "the left side is a tensor with plain indices"),
    ("z[i] = sum[k + 1](A[k])", VECTOR, "a bound index is written i or i:EXTENT"),
    ("z[i] = sum[k:N:2](A[k])", VECTOR, "a bound index is written i or i:EXTENT"),
    ("z[i] = sum[N:2](A[0])", VECTOR, "a bound index is written i or i:EXTENT"),
    ("z[i] = where(A[i], 1, 0)", VECTOR, "a condition is one comparison"),
    ("z[i] = A[i] if i else 0", VECTOR, "no such expression"),
    ("z[i] = True", VECTOR, "no such expression"),
    ("z[i] = A[", VECTOR, "cannot read"),
    ("", VECTOR, "there is no equation"),
]


@pytest.mark.parametrize(("equations", "tensors", "message"), REFUSED)
def test_refused(equations: str, tensors: dict[str, str], message: str) -> None:
    integers = "P" if "P" in equations else ""
    assert message in refused(equations, tensors, integers=integers)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"outside": {"A": "wrap"}}, "outside A is 'wrap'"),
        ({"outside": {"B": "zero"}}, "names a tensor that has no shape"),
        ({"labels": {"B": "N"}}, "names a tensor that has no shape"),
        ({"outputs": ["y"]}, "there is no tensor 'y'"),
        ({"outputs": ["A"]}, "output A is not defined by an equation"),
        ({"optional": {"B": 0}}, "there is no tensor 'B'"),
        ({"constant": ["B"]}, "there is no tensor 'B'"),
        ({"names": {"B": "input"}}, "there is no tensor 'B'"),
        ({"subscripts": {"A": "u v"}}, "expected 1 letters"),
        ({"scalars": {"eps": "float"}}, "scalar eps is 'float'"),
        ({"at_least": {"Q": 2}}, "at_least names Q"),
        ({"sizes": {"M": "N//P"}, "integers": "P"}, "the divisor P may be 0 or negative"),
        ({"requires": {"N": "no"}}, "a guard is a comparison"),
        ({"requires": {"1 <= N < 5": "no"}}, "one comparison is expected"),
    ],
)
def test_a_declaration_that_cannot_be(more: dict[str, Any], message: str) -> None:
    assert message in refused("z[i] = A[i]", VECTOR, **more)


# -- names: they become names in C --------------------------------------------------------------
RESERVED = [
    "int", "float", "kernel", "restrict", "uint", "float4", "image2d_t", "size_t", "bool",
    "id", "sizes", "term", "REAL", "INFINITY", "sum0", "sum0_i", "argmax1_value", "SIZE_N",
    "get_global_id", "exp", "pow", "floor_div", "philox4x32", "fma", "convert_int", "vload4",
    "_R0", "i_", "total", "LANES", "TILE_y", "vector0", "a__b",
    "CLK_LOCAL_MEM_FENCE", "cl_khr_fp64",
]  # fmt: skip


@pytest.mark.parametrize("name", RESERVED)
def test_names_that_a_kernel_cannot_use_are_refused(name: str) -> None:
    if name == "exp":  # as an index it is the function
        assert "needs another name" in refused("z[i] = A[i]", VECTOR, scalars={name: "real"})
        return
    if not name[0].isupper():  # an index
        assert "needs another name" in refused(f"z[{name}] = A[{name}]", VECTOR)
    assert "needs another name" in refused(f"{name}[i] = A[i]", {"A": "N"})
    assert "needs another name" in refused("z[i] = A[i]", {"A": name, "z": name})


def test_python_keywords_are_no_names() -> None:
    for name in ("in", "or", "lambda", "global"):
        assert "cannot read" in refused(f"z[{name}] = A[{name}]", VECTOR)
    assert "needs another name" in refused("z[i] = A[i]", VECTOR, scalars={"global": "real"})
    assert "letters a-z" in refused("z[i] = A[i]", VECTOR, scalars={"µ": "real"})


def test_a_name_means_one_thing() -> None:
    assert "is both a tensor and a size" in refused("z[i] = A[i]", {"A": "z", "z": "z"})
    assert "is both a" in refused("z[i] = A[i]", VECTOR, scalars={"A": "real"})
    assert "have a grad_A beside the tensor A" in refused("grad_A[i] = A[i]", {"A": "N"})
    assert "have a z_argmax beside" in refused(
        "z[i] = A[i] + z_argmax[i]", {**VECTOR, "z_argmax": "N"}
    )
    assert "have a i_q beside the index i" in refused(
        "z[i] = A[i] + i_q", VECTOR, scalars={"i_q": "real"}
    )
    with pytest.raises(DefinitionError, match="an operator's name"):
        operator("my op", "z[i] = A[i]", VECTOR)


def test_names_with_a_meaning_elsewhere_are_free_here() -> None:
    for name in ("step", "dot", "E", "I", "pi", "S", "lr", "length", "summand", "reals"):
        assert refusal(name) is None


def test_what_a_definition_does_not_have_is_named() -> None:
    d = operator("twice", "z[i] = 2*A[i]", VECTOR)
    assert d.tensor("A").name == "A" and d.equation("z").target == "z"
    with pytest.raises(KeyError, match="twice has no tensor 'B'"):
        d.tensor("B")
    with pytest.raises(KeyError, match="twice does not define 'A'"):
        d.equation("A")


def test_a_reduction_has_one_of_three_kinds() -> None:
    with pytest.raises(ValueError, match="one of"):
        Reduce("product", (), (), 1)
