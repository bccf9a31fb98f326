"""The tables of `gradproof influence`: the lecture's, and those of every small size."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import sympy as sp
from typer.testing import CliRunner

from gradproof.cli import main
from gradproof.derive import influence
from gradproof.derive.errors import DefinitionError
from gradproof.derive.expr import Read
from gradproof.derive.registry import find
from gradproof.derive.system import derive

LECTURE = """\
    z(0,0) += Y(2,2)·w(2,2)
    z(0,1) += Y(2,2)·w(2,1)
    z(0,2) += Y(2,2)·w(2,0)
    z(1,0) += Y(2,2)·w(1,2)
    z(1,1) += Y(2,2)·w(1,1)
    z(1,2) += Y(2,2)·w(1,0)
    z(2,0) += Y(2,2)·w(0,2)
    z(2,1) += Y(2,2)·w(0,1)
    z(2,2) += Y(2,2)·w(0,0)
"""
OWN = """
import gradproof as gp
mine = gp.operator(
    "mine",
    "z[n,o,x,y] = sum[c,i,j](w[o,c,i,j] * Y[n, c, S*x + i - P, S*y + j - P])",
    {"Y": "N, C, H, W", "w": "O, C, K, K", "z": "N, O, OH, OW"},
    sizes={"OH": "(H + 2*P - K)//S + 1", "OW": "(W + 2*P - K)//S + 1"},
    integers="P",
    requires={"H + 2*P - K >= 0": "too tall", "W + 2*P - K >= 0": "too wide"},
    outside={"Y": "zero"},
    names={"Y": "input", "w": "weight"},
)
plain = gp.operator("plain", "z[n] = 2*x[n]", {"x": "N"})
"""
SUMS = "In each, the coordinates of z and w sum to those of Y."
Pair = tuple[tuple[int, int], tuple[int, int]]


def run(*args: object, code: int = 0) -> Any:
    command = ["influence", *map(str, args)]
    result = CliRunner().invoke(main.app, command, prog_name="gradproof")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def rows(*args: object) -> list[dict[str, Any]]:
    found = json.loads(run(*args, "--json").stdout)
    assert isinstance(found, list)
    return found


# -- the lecture --------------------------------------------------------------------------------
def test_the_lectures_table() -> None:
    shown = run("conv2d", "--input", "2,2", "--kernel", 3, "--stride", 1).stdout
    assert LECTURE in shown
    gradient = [line.replace("z(", "grad_z(") for line in LECTURE.splitlines()]
    gradient = [f"    grad_Y(2,2) += {g.split()[0]}·{g[-6:]}" for g in gradient]
    assert "\n".join(gradient) in shown
    assert "grad_Y(2,2) += grad_z(1,0)·w(1,2)" in shown
    assert "z(x,y) += Y(2,2)·w(i,j)   for x < 3, y < 3, i < 3, j < 3" in shown
    assert "grad_Y(2,2) += grad_z(2-i,2-j)·w(i,j)   for i < 3, j < 3" in shown
    assert "Both hold the same 9 pairs." in shown
    assert "default size" in shown
    assert "CG, G, N, OG: each is 1" in shown
    assert SUMS in shown


@pytest.mark.parametrize("other", [("--stride", 2), ("--dilation", 2), ("--padding", 1)])
def test_the_identity_is_stated_only_for_the_lectures_sizes(other: tuple[str, int]) -> None:
    assert SUMS not in run("conv2d", "--input", "0,0", *other).stdout


def test_a_taps_gradient() -> None:
    shown = run("conv2d", "--weight", "1,2", "--size", "4,5").stdout
    assert "grad_w(1,2) += grad_z(x,y)·Y(x+1,y+2)   for x < 2, y < 3" in shown
    assert "grad_w(1,2) += grad_z(1,2)·Y(2,4)" in shown
    assert SUMS in shown
    assert "default" not in shown


def test_a_pixel_that_no_output_read_has_no_gradient() -> None:
    shown = run("conv2d", "--input", "5,0", "--size", 6, "--stride", 2).stdout
    assert "no output reads Y(5,0): its gradient is 0" in shown
    shown = run("conv2d", "--weight", "0,0", "--size", 1, "--padding", 1).stdout
    assert "w(0,0) meets nothing but padding: its gradient is 0" in shown


def test_terms_with_padding_are_counted() -> None:
    shown = run("conv2d", "--weight", "0,0", "--size", 3, "--padding", 1).stdout
    assert shown.count("(5 more terms of padding, which is 0)") == 2
    assert "Both hold the same 4 pairs." in shown


# -- all small sizes ----------------------------------------------------------------------------
def taps(n: int, k: int, s: int, d: int, before: int, after: int) -> list[tuple[int, int, int]]:
    """(output, tap, pixel) along one axis, from the definition read as loops."""
    outputs = (n + before + after - d * (k - 1) - 1) // s + 1
    return [(x, i, s * x + d * i - before) for x in range(outputs) for i in range(k)]


def pairs(table: list[dict[str, Any]], other: str) -> Counter[Pair]:
    out: Counter[Pair] = Counter()
    for row in table:
        (factor,) = row["factors"]
        assert row["output"]["tensor"] == "z" and factor["tensor"] == other
        out[tuple(row["output"]["element"]), tuple(factor["element"])] += 1
    return out


AXES = [
    (n, k, s, d, p, q)
    for n, k, s, d, (p, q) in itertools.product(
        (1, 3, 4), (1, 2, 3), (1, 2, 3), (1, 2), ((0, 0), (1, 1), (2, 0), (-1, 1))
    )
    if n + p + q - d * (k - 1) - 1 >= 0
]


@pytest.mark.parametrize("case", range(0, len(AXES), 6))
def test_every_pixel_and_tap_agrees_with_the_definition_read_as_loops(case: int) -> None:
    (h, kh, sh, dh, pt, pb), (w, kw, sw, dw, pl, pr) = AXES[case], AXES[-1 - case]
    d = find("conv2d")
    sizes = dict.fromkeys(("N", "G", "CG", "OG"), 1)
    sizes |= {"H": h, "W": w, "KH": kh, "KW": kw, "SH": sh, "SW": sw, "DH": dh, "DW": dw}
    sizes |= {"PT": pt, "PB": pb, "PL": pl, "PR": pr}
    reached: dict[Any, Counter[Any]] = {}
    for (x, i, u), (y, j, v) in itertools.product(
        taps(h, kh, sh, dh, pt, pb), taps(w, kw, sw, dw, pl, pr)
    ):
        if 0 <= u < h and 0 <= v < w:
            reached.setdefault(("Y", u, v), Counter())[(x, y), (i, j)] += 1
            reached.setdefault(("w", i, j), Counter())[(x, y), (u, v)] += 1
    for letter, rows_, columns in (("Y", h, w), ("w", kh, kw)):
        for p, q in itertools.product(range(rows_), range(columns)):
            found = influence.table(d, sizes, letter, (0, 0, p, q))
            for side in (found.forward, found.gradient):
                got = Counter(
                    (influence.output(t).subscripts[2:], t.slope.subscripts[2:]) for t in side.terms
                )
                assert got == reached.get((letter, p, q), Counter()), (letter, p, q)


def test_options_reach_the_definition() -> None:
    options = ("--size", "6,5", "--kernel", "2,3", "--stride", "2,1", "--dilation", "1,2")
    table = rows("conv2d", "--input", "2,3", *options, "--padding", "1,0,2,1")
    axes = (taps(6, 2, 2, 1, 1, 0), taps(5, 3, 1, 2, 2, 1))
    expected = Counter(
        ((x, y), (i, j)) for (x, i, u), (y, j, v) in itertools.product(*axes) if (u, v) == (2, 3)
    )
    assert pairs(table, "w") == expected and expected


@pytest.mark.parametrize("padding", [("1", "1,1,1,1"), ("1,2", "1,1,2,2")])
def test_short_paddings(padding: tuple[str, str]) -> None:
    short, full = (rows("conv2d", "--input", "0,1", "--padding", p) for p in padding)
    assert short == full


@pytest.mark.parametrize("pixel", ["0,0", "7,3"])
@pytest.mark.parametrize("dilation", [1, 3])
def test_the_default_map_has_room_for_every_window(pixel: str, dilation: int) -> None:
    chosen = ("conv2d", "--input", pixel, "--dilation", dilation)
    assert rows(*chosen) == rows(*chosen, "--size", 30)


# -- other operators ----------------------------------------------------------------------------
def test_max_pool_depends_on_the_position_of_the_maximum() -> None:
    (row,) = rows("max_pool2d", "--input", "2,3", "--kernel", 2, "--stride", 2)
    assert row["where"] == ["z_argmax(1,1) = 1"]
    assert row["forward"] == "z(1,1) += [z_argmax(1,1) = 1] Y(2,3)"
    assert row["gradient"] == "grad_Y(2,3) += [z_argmax(1,1) = 1] grad_z(1,1)"


def test_average_pools() -> None:
    (row,) = rows("avg_pool2d", "--input", "0,0", "--kernel", "2,3")
    assert row["forward"] == "z(0,0) += Y(0,0)/6"
    corner = rows("avg_pool2d_valid", "--input", "0,0", "--kernel", 2, "--padding", 1)
    assert corner[0]["gradient"] == "grad_Y(0,0) += grad_z(0,0)/count(0,0)"
    assert len(corner) == 4
    adaptive = rows("adaptive_avg_pool2d", "--input", "2,0", "--size", 5, "--output-size", 2)
    assert [r["forward"] for r in adaptive] == ["z(0,0) += Y(2,0)/9", "z(1,0) += Y(2,0)/9"]


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d", "avg_pool2d_valid"])
@pytest.mark.parametrize("padding", ["0", "1,0,1,1"])
def test_pools_read_what_a_convolution_reads(name: str, padding: str) -> None:
    options = ("--input", "2,1", "--stride", "2,1", "--padding", padding, "--size", 5)
    reached = Counter(tuple(r["output"]["element"]) for r in rows(name, *options))
    convolution = Counter(tuple(r["output"]["element"]) for r in rows("conv2d", *options))
    assert reached == convolution


def test_a_transposed_convolution_paints_its_filter() -> None:
    """The output has no rows added to it, as in PyTorch, where no option says so."""
    shown = run("conv_transpose2d", "--input", "0,0", "--stride", 2).stdout
    assert "-> z 11 x 11" in shown
    assert "CG, G, N, OG: each is 1; EH, EW: each is 0;" in shown
    table = rows("conv_transpose2d", "--input", "1,2", "--stride", 2)
    painted = {((2 + i, 4 + j), (i, j)) for i in range(3) for j in range(3)}
    assert pairs(table, "w") == Counter(painted)


def test_text_goes_to_standard_error_beside_json() -> None:
    result = run("conv2d", "--input", "0,0", "--weight", "0,0", "--json")
    assert len(result.stdout.splitlines()) == 1
    assert "z(0,0) += Y(0,0)·w(0,0)" in result.stderr
    operands = {row["operand"]["tensor"] for row in json.loads(result.stdout)}
    assert operands == {"Y", "w"}


def test_a_users_file_may_have_one_size_for_both_axes(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    shown = run(path, "--input", "2,2", "--stride", 2, "--padding", 1).stdout
    assert "mine: Y 5 x 5, w 3 x 3 -> z 3 x 3; --kernel 3 --stride 2 --padding 1" in shown
    assert "C, N, O: each is 1; indices that are always 0 are left out." in shown
    assert "grad_Y(2,2) += grad_z(1,1)·w(1,1)" in shown
    refused = run(f"{path}:plain", "--input", "0,0", code=2).output
    assert "plain: no operator with windows over a map of pixels" in refused.replace("\n", " ")


# -- what is refused ----------------------------------------------------------------------------
BAD = [
    (("conv9d", "--input", "0,0"), "there is no operator 'conv9d'; known:"),
    (
        ("conv3d", "--input", "0,0"),
        "conv3d has no windows over a map of pixels; operators that do: ",
    ),
    (("relu", "--input", "0,0"), "relu has no windows over a map of pixels; operators that do: "),
    (("batch_norm", "--input", "0,0"), "adaptive_avg_pool2d, avg_pool2d, avg_pool2d_valid, conv2d"),
    (("conv2d",), "nothing to show: give --input ROW,COL or --weight I,J, or both"),
    (("max_pool2d", "--weight", "0,0"), "--weight: max_pool2d has no weight"),
    (("avg_pool2d", "--input", "0,0", "--dilation", 2), "avg_pool2d has no --dilation"),
    (("conv2d", "--input", "0,0", "--output-size", 2), "conv2d has no --output-size"),
    (
        ("conv2d", "--input", "5,0", "--size", "5,7"),
        "--input 5,0 is outside the 5 x 7 Y: rows are 0..4, columns 0..6",
    ),
    (("conv2d", "--input", "-1,0"), "--input -1,0 is outside the 5 x 5 Y"),
    (("conv2d", "--weight", "0,3"), "--weight 0,3 is outside the 3 x 3 w"),
    (("conv2d", "--input", "2"), "--input is '2', expected 2 integers, such as 2,2"),
    (("conv2d", "--input", "a,b"), "--input is 'a,b', expected 2 integers"),
    (
        ("conv2d", "--input", "0,0", "--stride", "1.5"),
        "--stride is '1.5', expected 1 or 2 integers",
    ),
    (("conv2d", "--input", "0,0", "--stride", 0), "--stride is '0', expected at least 1"),
    (("conv2d", "--input", "0,0", "--kernel", "3,0"), "--kernel is '3,0', expected at least 1"),
    (("conv2d", "--input", "0,0", "--size", 0), "--size is '0', expected at least 1"),
    (
        ("conv2d", "--input", "0,0", "--padding", "1,2,3"),
        "--padding is '1,2,3', expected 1 or 2 or 4 integers",
    ),
    (
        ("conv2d", "--input", "0,0", "--size", 3, "--kernel", 4),
        "the kernel is taller than the padded input (--size 3,3 --kernel 4,4",
    ),
    (("conv2d", "--input", "0,0", "--size", 999999999), "index tuples; at most"),
]


@pytest.mark.parametrize(("args", "message"), BAD, ids=[" ".join(map(str, a)) for a, _ in BAD])
def test_bad_input_gets_one_message(args: tuple[object, ...], message: str) -> None:
    result = run(*args, code=2)
    (error,) = result.stderr.splitlines()
    assert error.startswith("error: ") and message in error
    assert result.stdout == ""


def test_tables_that_differ_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    d = find("conv2d")
    system = derive(d)
    assert system.backward is not None
    flipped = system.backward.equation("grad_Y")
    wrong = flipped.body.replace(  # w(j,i) for w(i,j): right sizes, wrong numbers
        lambda e: isinstance(e, Read) and e.tensor == "w",
        lambda e: Read("w", *e.subscripts[:2], *reversed(e.subscripts[2:])),
    )
    equations = tuple(
        dataclasses.replace(e, body=wrong) if e == flipped else e for e in system.backward.equations
    )
    backward = dataclasses.replace(system.backward, equations=equations)
    monkeypatch.setattr(
        influence, "derive", lambda _: dataclasses.replace(system, backward=backward)
    )
    sizes = dict.fromkeys(map(str, d.sizes), 1) | dict.fromkeys(("PT", "PB", "PL", "PR"), 0)
    sizes |= {"H": 5, "W": 5, "KH": 3, "KW": 3}
    with pytest.raises(
        DefinitionError, match=r"conv2d: only the forward pass pairs z\[0, 0, 0, 1\]"
    ):
        influence.table(d, sizes, "Y", (0, 0, 2, 2))


def test_elements_and_operands_are_checked() -> None:
    d, sizes = find("linear"), {"N": 1, "K": 3, "O": 2}
    for element in ((0, 3), (0,), (0, 0, 0), (-1, 0)):
        with pytest.raises(DefinitionError, match="it has no element"):
            influence.table(d, sizes, "Y", element)
    with pytest.raises(DefinitionError, match="'t' is not an operand with a gradient"):
        influence.table(find("softmax_cross_entropy"), {"N": 1, "C": 2}, "t", (0,))


def test_channels_and_groups() -> None:
    sizes = {"N": 2, "G": 2, "CG": 2, "OG": 3, "H": 3, "W": 1, "KH": 2, "KW": 1}
    sizes |= dict.fromkeys(("SH", "SW", "DH", "DW"), 1) | dict.fromkeys(("PT", "PB", "PL", "PR"), 0)
    found = influence.table(find("conv2d"), sizes, "Y", (1, 3, 1, 0))
    outputs = {tuple(map(int, influence.output(t).subscripts)) for t in found.gradient.terms}
    assert outputs == {(1, o, x, 0) for o in (3, 4, 5) for x in (0, 1)}
    assert {t.slope for t in found.forward.terms} == {
        Read("w", o, 1, i, 0) for o in (3, 4, 5) for i in (0, 1)
    }
    assert all(isinstance(t.slope, sp.Expr) and not t.guards for t in found.forward.terms)
