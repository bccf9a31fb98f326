"""The command `gradproof influence`: the lecture's per-element tables, from the derivation."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Annotated

import typer

from gradproof.cli.options import Json
from gradproof.cli.source import is_file, load
from gradproof.cli.terms import DEFAULT_MAP, DEFAULTS, MAP, SIZES, Page, names_of
from gradproof.derive.errors import DefinitionError
from gradproof.derive.language import Definition
from gradproof.derive.registry import operators
from gradproof.runtime.errors import GradproofError

Text = str | None
Element = Annotated[Text, typer.Option("--input", metavar="ROW,COL", help="A pixel of the input.")]
Tap = Annotated[Text, typer.Option("--weight", metavar="I,J", help="A tap of the kernel.")]
Map = Annotated[
    Text,
    typer.Option("--size", metavar="H[,W]", help="The map; default 5, or more if the element asks"),
]
Kernel = Annotated[Text, typer.Option(metavar="KH[,KW]", help="Default 3.")]
Stride = Annotated[Text, typer.Option(metavar="SH[,SW]", help="Default 1.")]
Dilation = Annotated[Text, typer.Option(metavar="DH[,DW]", help="Default 1.")]
Padding = Annotated[
    Text,
    typer.Option(
        metavar="P[,PW]", help="One number, vertical and horizontal, or top,bottom,left,right."
    ),
]
OutputSize = Annotated[
    Text, typer.Option("--output-size", metavar="OH[,OW]", help="Adaptive pooling; default 3.")
]


def influence(
    operator: Annotated[
        str,
        typer.Argument(
            help="An operator with windows, such as conv2d, or a file with your own: my_op.py,"
            " my_op.py:name. Its operand called input ends in the axes H, W; the options give its"
            " sizes KH, KW or K, and so on."
        ),
    ],
    element: Element = None,
    tap: Tap = None,
    size: Map = None,
    kernel: Kernel = None,
    stride: Stride = None,
    dilation: Dilation = None,
    padding: Padding = None,
    output_size: OutputSize = None,
    as_json: Json = False,
) -> None:
    """Show which outputs one pixel or one tap reaches, and what its gradient sums.

    Example: gradproof influence conv2d --input 2,2 --kernel 3 --stride 1
    """
    given = {
        "kernel": kernel,
        "stride": stride,
        "dilation": dilation,
        "padding": padding,
        "output-size": output_size,
    }
    try:
        d = _windowed(operator)
        picked = _picked(d, element, tap)
        sizes = _sizes(d, given, size, picked)
        page = Page.of(d, sizes)
        tables = [page.find(option, letter, at) for option, (letter, at) in picked.items()]
    except DefinitionError as error:
        raise GradproofError(str(error)) from None
    for line in page.heading(grown=size is None):
        typer.echo(line, err=as_json)
    for letter, at, found in tables:
        for line in page.lines(letter, at, found):
            typer.echo(line, err=as_json)
    if as_json:
        rows = [row for _, _, found in tables for row in page.rows(found)]
        typer.echo(json.dumps(rows, ensure_ascii=False))


# -- what was asked for -------------------------------------------------------------------------
def _named(d: Definition, name: str) -> str | None:
    """The letter of the operand that PyTorch calls `name`, if it is a map over two axes."""
    for letter, known in d.names:
        if known == name and letter in d.differentiable and len(d.tensor(letter).shape) >= 2:
            return letter
    return None


def _has_windows(d: Definition) -> bool:
    """Whether the input is a map of pixels: at most samples, channels, rows and columns."""
    letter = _named(d, "input")
    shape = () if letter is None else tuple(map(str, d.tensor(letter).shape))
    return shape[-2:] == MAP and len(shape) <= 4


def _windowed(name: str) -> Definition:
    loaded = load(name)
    fitting = [d for d in loaded.values() if _has_windows(d)]
    if len(fitting) > 1:
        each = " or ".join(f"{name}:{d.name}" for d in fitting)
        raise DefinitionError(f"{name} has several operators with windows; name one: {each}")
    if fitting:
        return fitting[0]
    if is_file(name):
        raise DefinitionError(
            f"{name}: no operator with windows over a map of pixels; there an operand is called "
            'input (names={"Y": "input"}), and its last two axes are H, W'
        )
    known = ", ".join(n for n, o in operators().items() if _has_windows(o))
    raise DefinitionError(f"{name} has no windows over a map of pixels; operators that do: {known}")


def _picked(
    d: Definition, element: str | None, tap: str | None
) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Option -> the operand and its element, the last two of its coordinates."""
    out = {}
    for option, name, given in (("--input", "input", element), ("--weight", "weight", tap)):
        if given is not None:
            letter = _named(d, name)
            if letter is None:
                raise DefinitionError(f"{option}: {d.name} has no {name}")
            out[option] = (letter, _numbers(option, given, (2,), None))
    if not out:
        raise DefinitionError("nothing to show: give --input ROW,COL or --weight I,J, or both")
    return out


def _numbers(option: str, given: str, lengths: Sequence[int], least: int | None) -> tuple[int, ...]:
    parts = given.split(",")
    counts = " or ".join(map(str, lengths))
    if len(parts) not in lengths or not all(re.fullmatch(r"\s*-?\d{1,9}\s*", p) for p in parts):
        noun = "integer" if lengths[-1] == 1 else "integers"
        raise DefinitionError(f"{option} is {given!r}, expected {counts} {noun}, such as 2,2")
    values = tuple(map(int, parts))
    if least is not None and min(values) < least:
        raise DefinitionError(f"{option} is {given!r}, expected at least {least}")
    return values


def _sizes(
    d: Definition,
    given: Mapping[str, str | None],
    size: str | None,
    picked: Mapping[str, tuple[str, tuple[int, ...]]],
) -> dict[str, int]:
    """All sizes of the definition; those that no option gives are 1, or 0 where they may be."""
    known = {str(s) for s in d.sizes}
    least_of = {str(s): least for s, least in d.lower}
    sizes = {s: least_of.get(s, 0) for s in known}
    for option, (_, least) in SIZES.items():
        names = names_of(option, known)
        if not names and given[option] is not None:
            raise DefinitionError(f"{d.name} has no --{option}")
        if names:
            lengths = tuple(n for n in (1, 2, 4) if n <= len(names))
            values = _numbers(f"--{option}", given[option] or str(DEFAULTS[option]), lengths, least)
            sizes |= zip(names, _spread(values, len(names)), strict=True)
    if size is not None:
        values = _spread(_numbers("--size", size, (1, 2), 1), 2)
    else:
        pixel = picked["--input"][1] if "--input" in picked else (0, 0)
        spans = [_of_axis(sizes, "D", a, 1) * (_of_axis(sizes, "K", a, 1) - 1) for a in MAP]
        crops = [max(0, -_of_axis(sizes, "P", side, 0)) for side in "BR"]
        # a window that begins at the pixel or before it ends at pixel + span or before
        ends = (p + s + c + 1 for p, s, c in zip(pixel, spans, crops, strict=True))
        values = tuple(max(DEFAULT_MAP, end) for end in ends)
    return sizes | dict(zip(MAP, values, strict=True))


def _of_axis(sizes: Mapping[str, int], letter: str, axis: str, default: int) -> int:
    """KH, or K where both axes have the same."""
    return sizes.get(letter + axis, sizes.get(letter, default))


def _spread(values: tuple[int, ...], count: int) -> tuple[int, ...]:
    """One value for all; two for the two axes, both sides of each."""
    each = count // len(values)
    return tuple(v for v in values for _ in range(each))
