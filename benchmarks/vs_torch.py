"""Speed beside PyTorch on the CPU, row by row; the record goes to benchmarks/records.

    python benchmarks/vs_torch.py layers|norm|step|ops|user|scaling|all [--json FILE] [--only TEXT]

Both sides run in this one process, in turn, on one core; a ratio is the median of pairs, the best
of PyTorch's time over ours. Every side is first checked against float64 on fresh data.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # run as a script, the folder of this file is there instead

from benchmarks.measure.environment import prepare  # noqa: E402

if __name__ == "__main__":
    CORES = prepare(sys.argv)
    # only now: libraries count the cores when they are loaded
    from benchmarks.measure.command import main

    main(ROOT / "benchmarks" / "records", CORES)
