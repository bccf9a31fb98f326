"""Short chains of additions: the error of a sum does not grow with its length as one chain's does.

Each schedule's error is compared with that of the same schedule whose chains are not cut, on the
same data: that is the planted fault.
"""

from __future__ import annotations

import numpy as np
import pytest

from gradproof.codegen.fast import contraction_sums, tile_sums, vector_sums, winograd_stages
from gradproof.codegen.fast.layout import Layout
from gradproof.codegen.fast.specialise import specialise
from gradproof.codegen.fast.vector import vector_kernel
from gradproof.derive.language import operator
from tests.fast_device import Job
from tests.test_fast_sums import Case, measured
from tests.test_fast_winograd import compare, conv, laid_out

LONG = 1 << 30


def rms(found: np.ndarray, exact: np.ndarray) -> float:
    return float(np.sqrt(np.mean((found.astype(np.float64) / exact - 1) ** 2)))


def sum_error() -> float:
    """Of sums of 3000 numbers that are all alike, as the gradient of a mean is."""
    sums = operator("sums", "z[c] = sum[n](X[c,n])", {"X": "C, N", "z": "C"})
    nests = specialise(sums, sums.equations[0], {"N": 3000, "C": 64})
    layouts = {"X": Layout.row_major((64, 3000)), "z": Layout.row_major((64,))}
    job = Job((vector_kernel("k", nests, layouts),), layouts)
    x = np.repeat(np.random.default_rng(0).uniform(1, 2, (64, 1)).astype(np.float32), 3000, 1)
    job.put("X", x)
    job.run()
    return rms(job.get("z"), x.astype(np.float64).sum(1))


def test_a_long_sum_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    cut = sum_error()
    monkeypatch.setattr(vector_sums, "PIECES", ())
    assert cut < sum_error() / 2


@pytest.mark.parametrize("target", ["z", "grad_Y"])
def test_many_channels_are_cut(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    nest, shapes = conv(target, N=1, C=512, O=512, H=6, W=6)
    layouts = laid_out(nest, shapes, 2)
    cut = compare(nest, shapes, layouts, 2, "float32")
    monkeypatch.setattr(winograd_stages, "PART", LONG)
    assert cut < compare(nest, shapes, layouts, 2, "float32") / 1.5


def test_many_tiles_are_cut() -> None:
    """Of a weight gradient. One chain of 16 times the tiles has 4 times the relative error."""
    few, many = (
        compare(nest, shapes, laid_out(nest, shapes, 2), 2, "float32")
        for nest, shapes in (conv("grad_w", N=n, C=16, O=16, H=32, W=32) for n in (2, 32))
    )
    assert many < 3 * few


def moments_error(schedule: str) -> float:
    """Of variances behind a sum of products, where the first value is far from the mean."""
    case = Case(8, 64, 32, 1) if schedule == "direct" else Case(32, 32, 32, 3)
    rng = np.random.default_rng(0)
    data = {t: rng.normal(size=case.shapes[t]) / 7 for t in ("y", "w")}
    data["y"][:, :, 0, 0] *= 10
    data["b"] = np.zeros(case.channels)
    job = measured(*getattr(case, schedule)(case.moments, 4), data)
    return rms(job.get("var"), job.get("z").astype(np.float64).var((0, 2, 3)))


def test_runs_of_tiles_are_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    settled = moments_error("direct")
    monkeypatch.setattr(contraction_sums, "RUN", LONG)
    assert settled < moments_error("direct") / 3


def test_shares_are_merged_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    merged = moments_error("winograd")
    monkeypatch.setattr(tile_sums, "PART", LONG)
    assert merged < moments_error("winograd") / 1.5
