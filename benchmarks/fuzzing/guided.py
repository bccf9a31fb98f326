"""Coverage-guided fuzzing with atheris, for the readers of binary files and of text.

    pip install atheris
    python -m benchmarks.fuzzing.guided SECONDS [READER ...] [--record]

libFuzzer changes bytes towards lines of this package and of its libraries in Python that were not
run before; it begins with cases of `benchmarks.fuzz`, and the same guard watches. One process for
each reader; the first finding ends it.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

SEEDS = 200  # cases that it begins with
FOLLOWED = [
    "gradproof.runtime.data", "gradproof.runtime.formats", "gradproof.runtime.checkpoint",
    "gradproof.runtime.config", "gradproof.runtime.run", "gradproof.runtime.manifest",
    "numpy.lib._format_impl", "numpy.lib._npyio_impl", "zipfile", "gzip", "tokenize",
    "PIL.ImageFile",
    "PIL.PngImagePlugin", "PIL.TiffImagePlugin", "PIL.JpegImagePlugin", "PIL.GifImagePlugin",
    "tomllib",
]  # fmt: skip
MODULES = ("benchmarks.fuzzing.binary_readers", "benchmarks.fuzzing.text")


def child(module: str, name: str, seed: int, seconds: int) -> None:
    """Fuzz one reader until the time is over: libFuzzer ends the process."""
    import atheris

    with atheris.instrument_imports(include=FOLLOWED):
        reader = import_module(module).READERS[name]
    from benchmarks.fuzzing.child import Runs, case
    from benchmarks.fuzzing.guard import limit_memory

    folder, corpus = (Path(tempfile.mkdtemp()) for _ in range(2))
    for number in range(SEEDS):
        (corpus / str(number)).write_bytes(case(reader, seed, number))
    runs = Runs(reader, folder)
    limit_memory(reader.memory)

    def one(content: bytes) -> None:
        if found := runs.one(content):
            print(json.dumps({**found, "input": content[:4000].hex()}), flush=True)
            raise RuntimeError(found["error"])

    words = [f"-max_total_time={seconds}", "-print_final_stats=1", "-max_len=20000"]
    words += [f"-seed={seed}", "-rss_limit_mb=0", f"-artifact_prefix={folder}/", str(corpus)]
    atheris.Setup([sys.argv[0], *words], one)
    atheris.Fuzz()


def run(module: str, name: str, seed: int, seconds: int) -> dict[str, Any]:
    """A row of a record: executions, edges that were covered, findings."""
    words = [sys.executable, "-m", "benchmarks.fuzzing.guided", "--child", module, name]
    words += [str(seed), str(seconds)]
    done = subprocess.run(words, capture_output=True, check=False)
    errors = done.stderr.decode("utf-8", "replace")
    numbers = re.findall(r"stat::number_of_executed_units:\s*(\d+)", errors)
    covered = re.findall(r"cov: (\d+)", errors)
    findings = [json.loads(x) for x in done.stdout.splitlines() if x.startswith(b'{"kind"')]
    if not numbers and not findings:
        raise RuntimeError(errors[-2000:])
    row = {"reader": name, "seconds": seconds, "executions": int(numbers[-1]) if numbers else 0}
    return row | {"edges": int(covered[-1]) if covered else 0, "findings": findings}


def main() -> None:
    """Run each reader, and write the record where it is asked for."""
    if sys.argv[1:2] == ["--child"]:
        module, name, seed, seconds = sys.argv[2:]
        child(module, name, int(seed), int(seconds))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", type=int)
    parser.add_argument("readers", nargs="*")
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    from benchmarks import fuzz

    known = {n: m for n, (m, _) in fuzz.readers().items() if m in MODULES}
    command = f"python -m benchmarks.fuzzing.guided {options.seconds} --record"
    found = fuzz.about(fuzz.SEED, command)
    found["versions"]["atheris"] = version("atheris")
    found["rows"] = []
    for name in options.readers or known:
        found["rows"].append(run(known[name], name, fuzz.SEED, options.seconds))
        print(json.dumps(found["rows"][-1]), flush=True)
    if options.record:
        path = fuzz.RECORDS / f"{found['date']}-guided.json"
        path.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
        print(path)


if __name__ == "__main__":
    main()
