"""Sums over tensors with one element other than zero in each window: a term for each window."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradproof as gp
from gradproof.codegen.fast import selection_kernels, selections
from gradproof.runtime.planned_step import PlannedStep

F = gp.functional
Results = tuple[gp.Tensor, ...]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans are made here, not taken from an earlier run."""
    monkeypatch.setenv("GRADPROOF_CACHE_DIR", str(tmp_path))


def tensor(*shape: int, seed: int, dtype: str = "float32") -> gp.Tensor:
    x = np.random.default_rng(seed).integers(-2, 3, shape)
    return gp.tensor(x.astype(dtype), requires_grad=True)


def step(
    image: tuple[int, ...],
    filters: tuple[int, ...],
    pool: Callable[[gp.Tensor], gp.Tensor],
    wanted: str = "wb",
    dtype: str = "float32",
    **how: int,
) -> Callable[[], Results]:
    """The gradients of a convolution behind a pool, of small whole numbers."""
    given = {
        "x": tensor(*image, seed=0, dtype=dtype),
        "w": tensor(*filters, seed=1, dtype=dtype),
        "b": tensor(filters[0], seed=2, dtype=dtype),
    }

    def result() -> gp.Tensor:
        return pool(F.conv2d(given["x"], given["w"], given["b"], **how))

    factor = tensor(*result().shape, seed=3, dtype=dtype)

    def one() -> Results:
        y = result()
        return (y, *gp.grad(y, [given[k] for k in wanted], factor))

    return one


def pooled(size: int) -> Callable[[gp.Tensor], gp.Tensor]:
    return lambda z: F.max_pool2d(F.relu(z), size)


def compare(one: Callable[[], Results]) -> PlannedStep:
    planned = gp.plan(one, precision="accurate")  # transforms of two outputs are exact here
    for a, b in zip(planned(), one(), strict=True):
        assert np.array_equal(a.numpy(), b.numpy())
    return planned


def selected(planned: PlannedStep) -> int:
    return sum(x["note"] == "selected" for x in planned.plan["launches"])


CASES: dict[str, tuple[tuple[int, ...], tuple[int, ...], int, dict[str, int]]] = {
    "the batch in lanes, one channel": ((32, 1, 12, 12), (6, 1, 5, 5), 2, {"padding": 2}),
    "the batch in lanes, two passes": ((32, 6, 14, 14), (12, 6, 5, 5), 2, {}),
    "channels in lanes": ((3, 3, 12, 20), (32, 3, 3, 3), 2, {"padding": 1}),
    "windows of nine": ((2, 3, 18, 9), (16, 3, 3, 3), 3, {"padding": 1}),
    "a stride": ((8, 3, 16, 24), (16, 3, 5, 5), 2, {"padding": 2, "stride": 2}),
    "a dilation": ((4, 3, 12, 12), (16, 3, 3, 3), 2, {"padding": 2, "dilation": 2}),
    "wide windows": ((8, 1, 8, 8), (16, 1, 7, 7), 4, {"padding": 3}),
}


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it can be done: small images would not be worth their copy."""
    monkeypatch.setattr(selection_kernels, "GAIN", 0.0)


@pytest.mark.parametrize("wanted", ["wb", "xwb"])
@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_of_the_eager_step(case: str, wanted: str) -> None:
    image, filters, size, how = CASES[case]
    planned = compare(step(image, filters, pooled(size), wanted, **how))
    assert selected(planned) == 1
    # where nobody else reads it, the gradient behind the pool is not stored
    stored = [x for x in planned.plan["launches"] if x["what"] == "max_pool2d grad_Y"]
    assert len(stored) == ("x" in wanted)


def test_double_precision() -> None:
    image, filters, size, how = CASES["channels in lanes"]
    assert selected(compare(step(image, filters, pooled(size), dtype="float64", **how))) == 1


@pytest.mark.parametrize(
    "pool",
    [
        lambda z: F.avg_pool2d(F.relu(z), 2),
        lambda z: F.max_pool2d(F.relu(z), 3, 2),
        lambda z: F.max_pool2d(F.relu(z), 2, 2, padding=1),
    ],
)
def test_other_windows_are_left_alone(pool: Callable[[gp.Tensor], gp.Tensor]) -> None:
    image, filters, _, how = CASES["channels in lanes"]
    assert selected(compare(step(image, filters, pool, **how))) == 0


def test_transforms_and_small_work_keep_their_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    wide = step((2, 16, 16, 16), (16, 16, 3, 3), pooled(2), padding=1)
    assert selected(gp.plan(wide)) == 0
    monkeypatch.setattr(selection_kernels, "GAIN", 1.15)
    assert selected(compare(step((32, 1, 8, 8), (16, 1, 3, 3), pooled(2), padding=1))) == 0


def test_positions_from_elsewhere_may_be_anything() -> None:
    """Only where the step itself computes the positions is it known which numbers they are."""
    x, w = tensor(2, 3, 12, 12, seed=0), tensor(16, 3, 3, 3, seed=1)
    found: list[gp.Tensor] = []

    def forward() -> Results:
        found[:] = [F.max_pool2d(F.conv2d(x, w, padding=1), 2)]
        nodes = found[0].node
        assert nodes is not None
        return (found[0], *nodes.saved.values())

    gp.plan(forward).run()
    factor = tensor(*found[0].shape, seed=3)
    planned = gp.plan(lambda: gp.grad(found[0], [w], factor))
    assert selected(planned) == 0


def test_a_wrong_place_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = selections._over_windows

    def wrong(*given: Any) -> Any:
        c = whole(*given)
        return c and replace(c, shifts=(c.shifts[1], c.shifts[0], *c.shifts[2:]))

    monkeypatch.setattr(selections, "_over_windows", wrong)
    image, filters, size, how = CASES["channels in lanes"]
    with pytest.raises(AssertionError):
        compare(step(image, filters, pooled(size), **how))
