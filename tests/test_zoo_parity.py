"""Networks of the zoo at their real size against PyTorch: all gradients of one step, in float64 and
in float32. Needs PyTorch, in the slow tests; `benchmarks/parity.py` compares the whole zoo."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradproof as gp
from benchmarks import parity

EXACT = 1e-9  # of the largest element: float64 has 1e-16, and layers add up
TWICE = 2.0  # PyTorch's own error
needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")
NO_COST = {"peak_mib": 0, "first_step_s": 0.0}
SIDES = ("initial", "torch64", "torch32", "ours64", "accurate")


@pytest.mark.slow
@needs_torch
@pytest.mark.parametrize("name", ["alexnet", "vgg11", "resnet18"])
def test_a_step_at_real_size(name: str, tmp_path: Path) -> None:
    """In float32 some of millions of elements fall on the other side of a ReLU in most batches, on
    either side of the comparison: what three batches would say of it is chance. See the record."""
    row = parity.row_of(parity.reports(name, 2, 3, tmp_path, SIDES[:4]))
    assert row["float64"]["worst"] <= EXACT


@pytest.mark.slow
@needs_torch
@pytest.mark.parametrize(("name", "draws"), [("lenet", 15), ("resnet20", 15)])
def test_a_step_in_float32_errs_at_most_twice_as_much(
    name: str, draws: int, tmp_path: Path
) -> None:
    row = parity.row_of(parity.reports(name, 2, draws, tmp_path, SIDES))
    assert row["float64"]["worst"] <= EXACT
    assert row["accurate"]["worst"] <= TWICE


@pytest.mark.slow
@needs_torch
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_wrong_parameter_is_seen(
    dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One parameter off by a few units of float32: beyond what either comparison allows."""
    exact = parity.reports("resnet20", 2, 3, tmp_path, ("initial", "torch64", "torch32"))
    right = parity._model

    def wrong(name: str) -> gp.nn.Module:
        model: Any = right(name)
        weight = model.layer2[0].downsample[1].weight
        weight.copy_(weight.numpy() * np.float32(1 + 2e-6))
        return model  # type: ignore[no-any-return]

    monkeypatch.setattr(parity, "_model", wrong)
    steps = parity.ours("resnet20", 2, 3, dtype, "accurate")
    assert next(steps) == {}
    errors = [parity.differences(found, tmp_path, seed) for seed, found in enumerate(steps)]
    report: dict[str, Any] = dict(NO_COST)
    for k, kind in enumerate(("norms", "relative")):
        report[kind] = {n: [e[n][k] for e in errors] for n in errors[0]}
    row = parity.row_of({"torch32": exact["torch32"], "ours64": report, "accurate": report})
    assert row["float64"]["worst"] > EXACT
    assert dtype == "float64" or row["accurate"]["worst"] > TWICE


def reported(norms: dict[str, list[float]]) -> dict[str, Any]:
    return {"norms": norms, "relative": {n: [1e-12] for n in norms}, **NO_COST}


def test_the_worst_parameter_is_named() -> None:
    theirs = {n: [1.0, 1.0, 1.0] for n in ("loss", "logits", "a", "b", "c")}
    ours = theirs | {"b": [9.0, 3.0, 0.5], "c": [1.0, 900.0, 1.0], "loss": [7.0, 7.0, 7.0]}
    sides = {"torch32": reported(theirs), "ours64": reported(theirs), "accurate": reported(ours)}
    found = parity.row_of(sides)["accurate"]
    assert found == {"worst": 3.0, "of": "b", "median": 1.0, "loss": 7.0, "logits": 1.0}


def test_errors_are_ours_over_theirs_batch_by_batch() -> None:
    assert parity.ratio([2.0, 0.0, 900.0], [1.0, 0.0, 1.0]) == 2.0
    assert parity.ratio([1.0], [0.0]) == float("inf")  # PyTorch is exact there, we are not


def test_differences_are_those_of_the_same_elements(tmp_path: Path) -> None:
    """A large gradient's sample is the same on every side, a small one's whole."""
    rng = np.random.default_rng(0)
    exact = {"a.weight": rng.normal(size=(3, parity.SAMPLE)), "a.bias": np.full(5, 1e-18)}
    found = {n: np.float32(v + 1e-3) for n, v in exact.items()}
    for seed in (0, 1):
        for n, v in exact.items():
            np.save(tmp_path / f"{seed}-{n}.npy", parity.sample(v, seed))
        rows = parity.differences(found, tmp_path, seed)
        count = 3 * parity.SAMPLE if seed == 0 else parity.SAMPLE
        assert rows["a.weight"][0] == pytest.approx(1e-3 * count**0.5, rel=1e-3)
        largest = abs(parity.sample(exact["a.weight"], seed)).max()
        # a bias that batch norm takes away again is measured with the weight's size
        assert rows["a.bias"][1] == pytest.approx(1e-3 / largest, rel=1e-3)
