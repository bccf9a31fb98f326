"""Size limits: stated in the manifest, read off the kernels, enforced by the run time."""

from __future__ import annotations

import pytest

from gradproof.codegen.program import build_program
from gradproof.derive.prove.limits import size_limits
from gradproof.derive.prove.record import definition_record
from gradproof.derive.registry import find
from gradproof.runtime.binding import LARGEST, bind
from gradproof.runtime.errors import ShapeError
from gradproof.runtime.manifest import operators

# One image of one pixel, two taps as far apart as a size can be: every tensor is small.
FAR = {"G": 1, "OG": 1, "SH": 1, "SW": 1, "DW": 1, "PL": 0, "PR": 0}
SHAPES = {"Y": (1, 1, 1, 1), "w": (1, 1, 2, 1), "b": (1,)}


def conv2d(dilation: int, before: int, after: int) -> None:
    op = operators()["conv2d"]
    given = {**FAR, "DH": dilation, "PT": before, "PB": after}
    bind(op, op.variants["conv2d"], SHAPES, given, "conv")


def test_sizes_that_a_kernel_cannot_count_are_refused_by_name() -> None:
    with pytest.raises(ShapeError, match=r"conv: .* is 2147483648; the kernels count up to"):
        conv2d(LARGEST, 2**30, 2**30)


def test_sizes_just_below_the_limit_are_accepted() -> None:
    conv2d(LARGEST - 1, 2**30 - 1, 2**30)


def test_the_limits_are_read_off_the_text() -> None:
    """A larger intermediate number in the text gives another limit."""
    d = find("max_pool2d")
    program = build_program(d)
    text = program.files["max_pool2d.cl"]
    record = definition_record(d)
    assert program.entry["limits"] == size_limits(record, program.entry, text)
    assert "KH*KW - 1" in program.entry["limits"]
    product = text.replace("0 <= max0_u0 &&", "0 <= max0_u0 && 0 <= KH * KW * OH &&")
    assert "KH*KW*OH" in size_limits(record, program.entry, product)


def test_elementwise_kernels_need_no_limit_but_their_tensors() -> None:
    assert operators()["relu"].limits == ()
