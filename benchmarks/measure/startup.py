"""Start-up: from a new process to the end of its first training step, with and without caches.

python benchmarks/measure/startup.py NETWORK   (in the environment that `starts` sets)
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHES = ("GRADPROOF_CACHE_DIR", "POCL_CACHE_DIR")
COLD, WARM = 3, 2
# seconds: floor and target of the first step with empty and with full caches
LIMITS = {"cold": (15.0, 8.0), "cached": (1.5, 0.7)}


def starts(network: str = "resnet20") -> dict[str, float]:
    """Seconds with empty caches and with full ones: medians of some starts.

    Raises:
        RuntimeError: the process failed; what it said last.
    """
    cold, cached = [], []
    for _ in range(COLD):
        with tempfile.TemporaryDirectory() as folder:
            paths = {name: str(Path(folder) / name.lower()) for name in CACHES}
            for path in paths.values():
                Path(path).mkdir()
            cold.append(_start(network, paths))
            cached += [_start(network, paths) for _ in range(WARM)]
    return {"cold": statistics.median(cold), "cached": statistics.median(cached)}


def _start(network: str, caches: dict[str, str]) -> float:
    from gradproof.cli.record import environment  # the child finds the package in `main`

    # as a user starts it, on all cores: this process and its threads are pinned to some
    usual = {name: v for name, v in os.environ.items() if name not in environment(2)}
    begin = time.time()
    done = subprocess.run(
        [sys.executable, __file__, network],
        env={**usual, **caches},
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=_unpin,
    )
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["no message"])[-1])
    return float(done.stdout.strip().splitlines()[-1]) - begin


def _unpin() -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, range(os.cpu_count() or 1))


def main() -> None:
    """One step; prints when it ended."""
    sys.path.insert(0, str(ROOT))
    from benchmarks.measure.networks import NETWORKS

    network = next(n for n in NETWORKS if n.name == sys.argv[1])
    import numpy as np

    network.ours(network.draw(np.random.default_rng(0)))
    from gradproof.runtime.device import current_device

    current_device().synchronize()
    sys.stdout.write(f"\n{time.time()}\n")


if __name__ == "__main__":
    main()
