"""The same seed, device and driver give the same bits, in every process."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parent.parent
CONFIG = """
[data]
crop_padding = 1
flip = true
normalize = true
[train]
epochs = 2
batch_size = 16
clip_grad_norm = 1.0
"""


def weights(folder: Path, name: str, seed: int = 0, **environment: str) -> str:
    """The digest of a run's parameters and measurements, in a process of its own."""
    out = folder / name
    config = folder / "run.toml"
    config.write_text(CONFIG)
    command = [sys.executable, "-m", "gradproof", "train", str(folder / "data.npz")]
    options = ["--config", str(config), "--seed", str(seed), "--device", "cpu", "--out", str(out)]
    done = subprocess.run(
        command + options, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    rows = [row.split(",")[:8] for row in (out / "metrics.csv").read_text().splitlines()]
    content = (out / "model.safetensors").read_bytes() + repr(rows).encode()
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (40, 8, 8), np.uint8), np.arange(40) % 3
    np.savez(tmp_path / "data.npz", x_train=x, y_train=y, x_test=x[:9], y_test=y[:9])
    return tmp_path


def test_two_processes_give_the_same_bits(folder: Path) -> None:
    first = weights(folder, "first", PYTHONHASHSEED="1")
    assert weights(folder, "second", PYTHONHASHSEED="2") == first
    assert weights(folder, "other", seed=1) != first


@pytest.mark.slow
def test_caches_and_compilers_decide_nothing(folder: Path) -> None:
    """With no cache at all, with the caches of that run, with other helpers and threads."""
    caches = {
        "XDG_CACHE_HOME": str(folder / "cache"),
        "POCL_CACHE_DIR": str(folder / "pocl"),
    }
    cold = weights(folder, "cold", GRADPROOF_COMPILERS="0", **caches)
    assert any((folder / "cache").rglob("*"))
    assert weights(folder, "warm", **caches) == cold
    assert weights(folder, "usual") == cold
    assert weights(folder, "one thread", POCL_MAX_PTHREAD_COUNT="1") == cold
    again = {name: f"{path}-2" for name, path in caches.items()}
    assert weights(folder, "helpers", GRADPROOF_COMPILERS="1", **again) == cold
