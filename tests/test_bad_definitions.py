"""A definition that cannot be is refused once, clearly, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gradproof.cli.main import app
from gradproof.derive.errors import DefinitionError
from gradproof.derive.language import operator
from gradproof.runtime.build import CACHE_VARIABLE

V = {"x": "N"}
W = {"x": "N", "w": "N"}
# equations, tensors, more arguments, what the message must say beside the operator's name
BAD: dict[str, tuple[str, dict[str, str], dict[str, Any], tuple[str, ...]]] = {
    "an index without an extent": (
        "y[i] = sum[j](x[i + j])", V, {"outside": {"x": "zero"}},
        ("sum[j](x[i + j])", "the extent of index j cannot be inferred", "j:EXTENT"),
    ),
    "a read beyond": (
        "y[i] = x[i + 1]", V | {"y": "N"}, {},
        ("in y, subscript i + 1 of x[i + 1] may fall beyond N - 1", "i = 0"),
    ),
    "a read below": (
        "y[i] = x[i - 1]", V | {"y": "N"}, {},
        ("in y, subscript i - 1 of x[i - 1] may fall below 0", "i = 0"),
    ),
    "a square goes beyond, not below": (
        "y[i] = x[i*i]", V | {"y": "N"}, {}, ("subscript i**2 of x[i**2] may fall beyond N - 1",),
    ),
    "two equations for one output": (
        "y[i] = x[i]\ny[i] = 2*x[i]", V, {}, ("y is defined twice",),
    ),
    "an equation for an input": (
        "y[i] = x[i]\nx[i] = y[i]", V, {}, ("x", "before it is defined"),
    ),
    "a cycle": (
        "a[i] = b[i] + x[i]\nb[i] = a[i]", V | {"a": "N", "b": "N"}, {},
        ("a reads b before it is defined", "b needs a"),
    ),
    "a recurrence": (
        "h[t] = h[t - 1] + x[t]", V | {"h": "N"}, {"outside": {"h": "zero"}},
        ("h reads h before it is defined", "a recurrence is outside the language"),
    ),
    "an operand that is never used": (
        "y[i] = x[i]", W, {}, ("operand w is never used",),
    ),
    "an optional operand that is never used": (
        "y[i] = x[i]", W, {"optional": {"w": 0}}, ("operand w is never used",),
    ),
    "an optional tensor that an equation defines": (
        "a[i] = x[i]\ny[i] = a[i] + x[i]", V | {"a": "N"}, {"optional": {"a": 0}},
        ("optional a is defined by an equation",),
    ),
    "a comparison with what is not real": (
        "y[i] = where(sqrt(-1) <= 0, 0, x[i])", V, {}, ("sqrt(-1) <= 0", "non-real"),
    ),
    "a scalar that is never used": (
        "y[i] = x[i]", V, {"scalars": {"eps": "real"}}, ("scalar eps is never used",),
    ),
    "conflicting extents": (
        "y[i] = x[i] + w[i]", {"x": "N", "w": "M"}, {},
        ("y[i] = x[i] + w[i]", "index i runs to N in x, and to M in w"),
    ),
    "a sum over what is skipped": (
        "y[i] = sum[j:K](x[i + j])", V | {"y": "N"}, {"outside": {"x": "skip"}},
        ("in y, x[i + j] stands in a sum", "only a maximum"),
    ),
    "a keyword as a tensor": (
        "kernel[i] = x[i]", V, {}, ("tensor 'kernel'", "keyword of OpenCL C"),
    ),
    "a keyword as a scalar": (
        "y[i] = x[i]*half", V, {"scalars": {"half": "real"}}, ("scalar 'half'", "keyword"),
    ),
    "an index called like a function": (
        "y[get_global_id] = x[get_global_id]", V, {}, ("index 'get_global_id'", "function"),
    ),
    "a recurrence through a sum": (
        "h[t] = x[t] + sum[s](h[s], s < t)", V, {},
        ("in 'h[s]'", "h is read before it is defined", "a recurrence is outside the language"),
    ),
    "a difference of two labels": (
        "y[i,j] = x[t[i] - t[j]]", V | {"t": "M"}, {"labels": {"t": "N"}},
        ("subscript t[i] - t[j] of x[t[i] - t[j]] may fall below 0", "t[i] = 0, t[j] = 1"),
    ),
    "a size that is never used": (
        "y[i] = x[i]", V, {"integers": "P"}, ("size P is never used",),
    ),
    "a derived size that is never used": (
        "y[i] = x[i]", V, {"sizes": {"Q": "2*N"}}, ("size Q is never used",),
    ),
    "a macro as a tensor": (
        "y[i] = FLT_MAX[i]", {"FLT_MAX": "N"}, {}, ("tensor 'FLT_MAX'", "OpenCL's"),
    ),
    "a macro as a size": (
        "y[i] = x[i]", {"x": "INT_MAX"}, {}, ("size 'INT_MAX'", "macro of OpenCL C"),
    ),
    "an operand called like a gradient": (
        "y[i] = grad_x[i]**2", {"grad_x": "N"}, {}, ("'grad_x'", "gradients are called grad_"),
    ),
    "an unsigned number in a guard": (
        "y[i] = sum[j](x[j], j - k <= i)", V | {"y": "N"}, {"scalars": {"k": "uint"}},
        ("in y, ", "k is unsigned", "no part of a subscript, a guard"),
    ),
    "an unsigned number in a subscript": (
        "y[i] = x[(i + k) % N]", V | {"y": "N"}, {"scalars": {"k": "uint"}}, ("k is unsigned",),
    ),
    "an unsigned number beside a negative one": (
        "y[i] = where(k < -1, x[i], 0)", V, {"scalars": {"k": "uint"}}, ("in y, k < -1:",),
    ),
    "an unsigned number beside a sum": (
        "y[i] = where(philox(k, 0, i, 0) > i - 3, x[i], 0)", V, {"scalars": {"k": "uint"}},
        ("in y, ", "is unsigned"),
    ),
    "an unsigned number beside one that is larger than any": (
        "y[i] = where(k < 4294967296, x[i], 0)", V, {"scalars": {"k": "uint"}}, ("k is unsigned",),
    ),
    "a line that would go on in a kernel's comment": (
        "y[i] = x[i]", V, {"doc": "of x\\"}, ("doc is 'of x", "without a backslash at the end"),
    ),
    "a control character in a kernel's comment": (
        "y[i] = x[i]", V, {"doc": "of\r#define x"}, ("doc is", "printable text"),
    ),
    "an output that no equation defines": (
        "y[i] = x[i]", V, {"outputs": ["q"]}, ("no tensor 'q'",),
    ),
    "a user's name that is no name": (
        "y[i] = x[i]", V, {"names": {"x": "my input"}}, ("'my input'", "no Python name"),
    ),
    "a user's name for two operands": (
        "y[i] = x[i] + w[i]", W, {"names": {"x": "input", "w": "input"}}, ("'input'", "another"),
    ),
    "a user's name that is another tensor": (
        "y[i] = x[i] + w[i]", W, {"names": {"x": "w"}}, ("'w'", "also a tensor"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_refused_once_with_operator_place_and_reason(case: str) -> None:
    equations, tensors, more, said = BAD[case]
    with pytest.raises(DefinitionError) as error:
        operator("my_op", equations, tensors, **more)
    message = str(error.value)
    assert message.startswith("my_op: ")
    for words in said:
        assert words in message, message


@pytest.mark.parametrize(
    "name",
    ["", "my op", "9lives", "a-b", "../up", "a/b", "µ", "kernel", "void", "operators", "WINOGRAD",
     "con", "get_global", "SIZE", "vload", "my_op_", "_op", "x){}//"],
)  # fmt: skip
def test_names_of_operators(name: str) -> None:
    target = "id2" if name != "get_global" else "size"
    with pytest.raises(DefinitionError) as error:
        operator(name, f"{target}[i] = x[i]", V)
    assert "name" in str(error.value)


def test_what_is_beside_each_refusal_is_accepted() -> None:
    """The refusals do not come from something else in the definitions above."""
    t, k = {"t": "N"}, {"scalars": {"k": "uint"}}
    operator("my_op", "y[i,j] = x[t[i]] - x[t[j]]", V | {"t": "M"}, labels=t)
    operator("my_op", "y[i] = sum[j:K](x[t[i] + j], t[i] + j < N)", V | {"t": "M"}, labels=t)
    operator("my_op", "y[i] = sum[j](x[t[u[j]]], j <= i)", V | {"t": "M", "u": "L", "y": "L"},
             labels={"t": "N", "u": "M"})  # fmt: skip
    operator("my_op", "y[i] = x[i]", V, sizes={"Q": "2*N"}, requires={"Q >= 2": "too short"})
    operator("my_op", "y[i] = where(k < 4294967295, (k - i)*x[i], k/3)", V, **k)
    operator("my_op", "y[i] = where(philox(k, 1, i, 0) - 7 < k - 7, x[i], 0)", V, **k)
    operator("my_op", "y[i] = x[i]", V, doc="of x \\ and\n\ty")
    operator("my_op", "y[i] = x[i] + w[i]", W, names={"x": "input", "w": "weight"})
    operator("my_op", "a[i] = x[i]\nb[i] = a[i]", V)
    operator("my_op", "y[i] = max[j:K](x[i + j])", V | {"y": "N"}, outside={"x": "skip"})
    operator("my_op", "y[i] = sum[j:K](x[i + j])", V | {"y": "N"}, outside={"x": "zero"})
    operator("my_op", "y[i] = x[i*i]", {"x": "N*N", "y": "N"}, outside={"x": "zero"})
    operator(
        "my_op", "y[i] = sum[j](x[j], x2[i] + j < 4)", {"x": "N", "x2": "N"}, labels={"x2": "N"}
    )


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("command", ["derive", "generate"])
def test_a_file_with_one_is_one_message_and_leaves_nothing(
    case: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    equations, tensors, more, said = BAD[case]
    path, out = tmp_path / "my_op.py", tmp_path / "kernels"
    path.write_text(
        "from gradproof import operator\n\n"
        f"my_op = operator('my_op', {equations!r}, {tensors!r}, **{more!r})\n",
        "utf-8",
    )
    result = CliRunner().invoke(
        app, [command, str(path), *(["--out", str(out)] if command == "generate" else [])]
    )
    assert result.exit_code == 2
    assert result.output.startswith(f"error: {path}, line 3: my_op: "), result.output
    assert result.output.count("\n") == 1 + equations.count("\n") * (equations in result.output)
    for words in said:
        assert words in result.output
    assert [p.name for p in tmp_path.iterdir()] == ["my_op.py"]
