"""The random networks that are compared with PyTorch, as ONNX files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import gradproof as gp
from tests.onnx_check import agree

pytest.importorskip("torch", reason="PyTorch is not installed; it tells which layers fit")

from tests.test_parity import build, case_of


@pytest.mark.parametrize("seed", range(25))
def test_a_random_network(seed: int, tmp_path: Path) -> None:
    case = case_of(seed)
    model = build(gp.nn, case.specs)
    for module in model.modules():
        if hasattr(module, "eps"):  # as ONNX keeps it; two samples may have hardly any variance
            module.eps = float(np.float32(module.eps))
    agree(model, [case.input_shape], tmp_path, batches=(2, 3))
