"""A ResNet-20 training step, scheduled for GPUs and compiled for them, with what its kernels need.

    python benchmarks/gpu_offline.py [--json FILE]

No GPU is needed: clang compiles the kernels' OpenCL C to NVIDIA's PTX, which `ptxas` turns into
machine code, and to AMD's assembly. Both say how many registers a work-item has, how many bytes
spill out of them, and how much local memory a work-group takes. Nothing is run or timed.

Needed: clang-15 and libclc-15 (Debian: clang-15 libclc-15 libclc-15-dev); ptxas (of the CUDA
toolkit) for NVIDIA, without which that half is left out.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

if __name__ == "__main__":  # run as a file: what is imported lies beside it
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import gradproof as gp
from benchmarks.portability.offline import TARGETS, Report, compiled, versions
from gradproof.runtime.models import resnet20
from gradproof.runtime.plan import planned_data
from gradproof.runtime.step import TrainingStep
from gradproof.runtime.tensor import tensor

BATCH = 32
AMD = "gfx1030"
NAMES = (AMD, "sm_75", "sm_90")


def missing() -> str:
    """What must be installed for AMD's target, empty where nothing is."""
    return next(t for t in TARGETS if t.name == AMD).missing()


def reports(source: str, options: Sequence[str]) -> dict[str, Report]:
    """What each kernel of a program needs, by target. Errors: CompileError."""
    return compiled(source, options, [t for t in TARGETS if t.name in NAMES and not t.missing()])


def resnet20_plan() -> Mapping[str, Any]:
    """The plan for a GPU; it is made on any device."""
    model = resnet20()
    optimizer = gp.optim.Adam(model.parameters())
    step = TrainingStep(model, optimizer, gp.nn.CrossEntropyLoss())
    images = tensor(np.zeros((BATCH, 3, 32, 32), np.float32))
    found, _ = planned_data(step.run, images, tensor(np.zeros(BATCH, np.int32)), machine="gpu")
    return found


def rows(plan: Mapping[str, Any], found: Mapping[str, Report]) -> list[dict[str, Any]]:
    """One for each kernel, with its launches."""
    launches = Counter(x["kernel"] for x in plan["launches"])
    first = {x["kernel"]: x for x in reversed(plan["launches"])}
    listed: list[dict[str, Any]] = []
    for k in plan["kernels"]:
        x = first[k]
        row = {"kernel": k, "of": x["what"], "launches": launches[k], "groups": x["groups"]}
        needs = {target: report[k] for target, report in found.items()}
        listed.append(row | {"items": x["local"], "tile": x["note"]} | needs)
    return listed


def table(found: Sequence[Mapping[str, Any]], targets: Sequence[str]) -> str:
    """Registers, spills and local memory, a line for each kernel."""
    head = f"{'kernel':12}{'of':24}{'groups':>8}  {'tile':30}"
    lines = [head + "".join(f"{t + ' regs/spill/local':>26}" for t in targets)]
    for r in found:
        cells = [f"{r[t]['registers']} / {r[t]['spilled']} / {r[t]['local']}" for t in targets]
        line = f"{r['kernel']:12}{r['of']:24}{r['groups']:>8}  {r['tile']:30}"
        lines.append(line + "".join(f"{c:>26}" for c in cells))
    return "\n".join(lines)


def main() -> int:
    """Compile, print, and write the record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path, help="write the record to this file")
    arguments = parser.parse_args()
    if reason := missing():
        print(reason, file=sys.stderr)
        return 1
    plan = resnet20_plan()
    found = reports(plan["source"], plan["options"]["float32"])
    listed = rows(plan, found)
    print(table(listed, sorted(found)))
    spilled = {t: sum(r[t]["spilled"] > 0 for r in listed) for t in found}
    print(f"kernels that spill: {spilled}; compiled for {sorted(found)}")
    if arguments.json:
        record: dict[str, Any] = {
            "work": f"ResNet-20, batch {BATCH}, training step, float32",
            "kernels": listed,
        }
        record |= {"compilers": versions(), "kernels_that_spill": spilled}
        arguments.json.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
