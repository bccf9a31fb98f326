"""Training steps beside PyTorch: `gradproof bench`, with the record in this folder.

    python benchmarks/step.py [options of gradproof bench]

How it is measured: one core, both sides in one process in turn, medians of pairs; see
gradproof/cli/bench.py and steps.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from gradproof.cli.main import app

if __name__ == "__main__":
    records = Path(__file__).resolve().parent / "records"
    app(["bench", "--out", str(records), *sys.argv[1:]])
