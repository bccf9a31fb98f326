"""Mutation testing of derive/checker.py: a change of the checker that no test sees is a gap.

    python benchmarks/mutants.py                        all mutants; a run that was cut off goes on
    python benchmarks/mutants.py --sample 1000 --seed 0 so many, drawn from all functions
    python benchmarks/mutants.py --show                 the diffs of those that survived

The mutants are those of mutmut (its operators, of every function, cached ones too) and one kind
more, `refusal`: an `if` that only raises never does, or one alternative of its condition is gone.
What stands in a `raise` is a message, and is left out. mutmut's own runner starts a test session
for each mutant; here everything is imported once, a child is forked for each mutant, the mutated
function's code is put into the function that is there, and the tests that reach its line run,
the quickest first, until one fails. `[tool.gradproof.mutation]` in pyproject.toml has the tests.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import gc
import hashlib
import importlib.metadata
import json
import math
import os
import platform
import random
import re
import resource
import signal
import sys
import time
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libcst as cst
import pytest
from hypothesis import settings
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.file_mutation import MutationVisitor, OuterFunctionProvider
from mutmut.mutation.mutators import mutation_operators
from mutmut.mutation.pragma_handling import IgnoredCode

from gradproof.cli.record import machine
from gradproof.derive import checker

ROOT = Path(__file__).resolve().parents[1]
CONFIG = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["gradproof"][
    "mutation"
]
STATE = ROOT / "build" / "mutants"
MEMORY = 4 * 2**30  # bytes of address space for a mutant
EXIT = {0: "survived", 1: "killed", signal.SIGPROF: "timeout", signal.SIGXCPU: "timeout"}


def sha256(text: str) -> str:
    """A short hash."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


# -- mutants ------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Mutant:
    """One change of one function."""

    key: str  # of the function's text, the change and where it is
    function: str
    operator: str
    lines: tuple[int, int]
    text: str  # the function as it is changed
    original: str


def refusal(node: cst.If) -> Iterator[cst.If]:
    """`if condition: raise ...` never raises, or not for one alternative."""
    line = node.body.body[0]
    if not isinstance(line, cst.SimpleStatementLine) or not isinstance(line.body[0], cst.Raise):
        return
    yield node.with_changes(test=cst.Name("False"))
    test = node.test
    while isinstance(test, cst.BooleanOperation) and isinstance(test.operator, cst.Or):
        yield node.with_deep_changes(test, right=cst.Name("False"))
        if not isinstance(test.left, cst.BooleanOperation):
            yield node.with_deep_changes(test, left=cst.Name("False"))
        test = test.left


class Visitor(MutationVisitor):
    """mutmut's mutations with their operator and lines; none in the text of an error."""

    METADATA_DEPENDENCIES = (PositionProvider, OuterFunctionProvider)

    def __init__(self) -> None:
        none: set[int] = set()
        super().__init__(mutation_operators, IgnoredCode(none, none, none))
        self.found: list[tuple[Any, Any, Any, str, tuple[int, int]]] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        """Go into all but a `raise`."""
        return not isinstance(node, cst.Raise) and super().on_visit(node)

    def _create_mutations(self, node: cst.CSTNode) -> None:
        function = self.get_metadata(OuterFunctionProvider, node, None)
        at = self.get_metadata(PositionProvider, node, None)
        if function is None or at is None:
            return
        for kind, operator in [*mutation_operators, (cst.If, refusal)]:
            for new in operator(node) if isinstance(node, kind) else ():
                name = operator.__name__.removeprefix("operator_")
                self.found.append((function, node, new, name, (at.start.line, at.end.line)))


def mutants() -> list[Mutant]:
    """All mutants of the checker, in the order of its text; kept, for they take a minute."""
    source = Path(checker.__file__).read_text("utf-8")
    kept = STATE / "mutants.json"
    name = sha256(source + Path(__file__).read_text("utf-8").partition("# -- tests")[0])
    if kept.exists() and (rows := json.loads(kept.read_text()))[0] == name:
        return [Mutant(*row[:3], (row[3], row[4]), *row[5:]) for row in rows[1:]]
    found = generate(source)
    rows = [[m.key, m.function, m.operator, *m.lines, m.text, m.original] for m in found]
    kept.write_text(json.dumps([name, *rows]))
    return found


def generate(source: str) -> list[Mutant]:
    """Every mutation of every function in a text."""
    # mutmut leaves a function with a decorator alone; a cache changes no value
    bare = re.sub(r"^( *)@cache.*$", r"\1# cached", source, flags=re.MULTILINE)
    wrapper = MetadataWrapper(cst.parse_module(bare))
    visitor = Visitor()
    wrapper.visit(visitor)
    owner = {}
    for statement in wrapper.module.body:
        if isinstance(statement, cst.ClassDef):
            for s in statement.body.body:
                owner[s] = f"{statement.name.value}."
    found, seen = [], set()
    for function, node, new, operator, lines in visitor.found:
        if not isinstance(function, cst.FunctionDef):
            continue
        name = owner.get(function, "") + function.name.value
        before = wrapper.module.code_for_node(function).strip("\n")
        after = wrapper.module.code_for_node(function.deep_replace(node, new)).strip("\n")
        key = sha256(f"{name}\n{before}\n{after}")
        if after != before and key not in seen:
            seen.add(key)
            found.append(Mutant(key, name, operator, lines, after, before))
    return found


def put(m: Mutant) -> None:
    """The mutant's code in place of the function's; nothing that was cached remains."""
    space = dict(vars(checker))
    text = re.sub(r"\A(\s*#[^\n]*\n)+", "", m.text + "\n")
    exec(compile("from __future__ import annotations\n" + text, "mutant", "exec"), space)  # noqa: S102
    owner, _, name = m.function.rpartition(".")
    old: Any = vars(getattr(checker, owner))[name] if owner else getattr(checker, name)
    old, new = getattr(old, "__wrapped__", old), space[name]
    old.__code__, old.__defaults__ = new.__code__, new.__defaults__
    forget()


def forget() -> None:
    """Empty the checker's caches."""
    classes = [c for c in vars(checker).values() if isinstance(c, type)]
    for place in (checker, *classes):
        for f in vars(place).values():
            if hasattr(f, "cache_clear"):
                f.cache_clear()


# -- tests --------------------------------------------------------------------------------------
def run_test(item: Any) -> bool:
    """Whether a test passes (or is skipped)."""
    try:
        item.ihook.pytest_runtest_setup(item=item)
        item.ihook.pytest_runtest_call(item=item)
    except pytest.skip.Exception:
        return True
    except BaseException:
        return False
    finally:
        with contextlib.suppress(BaseException):  # pytest's own, where no report was made
            item.ihook.pytest_runtest_teardown(item=item, nextitem=None)
    return True


def in_child(work: Any) -> tuple[int, str]:
    """(exit status or signal, what `work` returned) of a forked child."""
    inlet, outlet = os.pipe()
    pid = os.fork()
    if not pid:
        code = 3
        try:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            code, text = work()
            os.write(outlet, text.encode())
        finally:
            os._exit(code)
    os.close(outlet)
    with os.fdopen(inlet) as pipe:
        text = pipe.read()
    status = os.waitpid(pid, 0)[1]
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status), text


@dataclass(frozen=True)
class Test:
    """A test, what it takes unchanged, and the checker's lines that it reaches."""

    item: Any
    seconds: float
    lines: frozenset[int]


def reach(item: Any) -> Test:
    """What a test reaches; nothing, with seconds -1, where it fails without a mutant."""

    def timed() -> tuple[int, str]:
        forget()
        start = time.process_time()
        passed = run_test(item)
        return not passed, str(time.process_time() - start)

    def traced() -> tuple[int, str]:
        forget()
        lines: set[int] = set()

        def local(frame: Any, event: str, _: Any) -> Any:
            lines.add(frame.f_lineno)
            return local

        def calls(frame: Any, event: str, _: Any) -> Any:
            return local if frame.f_code.co_filename == checker.__file__ else None

        sys.settrace(calls)
        run_test(item)
        sys.settrace(None)
        STATE.joinpath(f"lines{os.getpid()}").write_text(json.dumps(sorted(lines)))
        return 0, str(os.getpid())

    code, spent = in_child(timed)
    if code:
        return Test(item, -1.0, frozenset())
    _, pid = in_child(traced)
    file = STATE / f"lines{pid}"
    lines = json.loads(file.read_text())
    file.unlink()
    return Test(item, float(spent), frozenset(lines))


def attempt(m: Mutant, tests: Iterable[Test]) -> tuple[str, str]:
    """(what becomes of a mutant, the test that saw it)."""

    def work() -> tuple[int, str]:
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        put(m)
        for t in tests:
            # a signal that ends the child: the mutant loops
            signal.setitimer(signal.ITIMER_PROF, 10 * t.seconds + 2)
            if not run_test(t.item):
                return 1, t.item.nodeid
        return 0, ""

    code, test = in_child(work)
    return EXIT.get(code, "killed"), test


# -- a run --------------------------------------------------------------------------------------
class Run:
    """A pytest plugin that runs the chosen mutants in place of the tests."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.all = options, mutants()
        self.log = STATE / "results.jsonl"
        self.chosen = self.all
        if options.function:
            self.chosen = [m for m in self.all if re.search(options.function, m.function)]
        if options.operator:
            self.chosen = [m for m in self.chosen if m.operator == options.operator]
        if options.sample:
            self.chosen = sample(self.chosen, options.sample, options.seed)

    def pytest_runtestloop(self, session: Any) -> bool:
        """In place of the tests: all workers, and the log."""
        suite = hashlib.sha256()
        for file in sorted({str(i.path) for i in session.items}):
            suite.update(Path(file).read_bytes())
        self.suite = suite.hexdigest()[:16]
        self.tests = sorted(self.reached(session.items), key=lambda t: t.seconds)
        done = self.done({i.nodeid for i in session.items})
        todo = [] if self.options.report else [m for m in self.chosen if m.key not in done]
        print(f"{len(self.tests)} tests, {len(self.chosen)} mutants, {len(todo)} to run")
        random.Random(0).shuffle(todo)  # so that a part is a sample; first, what survived before:
        old = self.log.read_text() if self.log.exists() else ""  # the killed ones count already
        todo.sort(key=lambda m: m.key not in old)
        gc.freeze()
        jobs = self.options.jobs
        pids = []
        for k in range(jobs):
            pid = os.fork()
            if not pid:
                code = 1
                try:
                    self.work(todo[k::jobs])
                    code = 0
                finally:
                    os._exit(code)
            pids.append(pid)
        stopped = [pid for pid in pids if os.waitpid(pid, 0)[1]]
        if stopped:
            sys.exit("a worker stopped")
        return True

    def reached(self, items: list[Any]) -> list[Test]:
        """What each test reaches, kept for the same tests and checker."""
        source = hashlib.sha256(Path(checker.__file__).read_bytes()).hexdigest()[:16]
        file = STATE / "reach.json"
        kept = json.loads(file.read_text()) if file.exists() else {}
        tests, fresh = [], {}
        for item in items:
            own = hashlib.sha256(Path(item.path).read_bytes()).hexdigest()[:16]
            key = f"{item.nodeid} {own} {source}"
            if key in kept:
                t = Test(item, kept[key][0], frozenset(kept[key][1]))
            else:
                t = reach(item)
                print(f"{t.seconds:6.2f} s  {item.nodeid}", flush=True)
            tests.append(t)
            if t.seconds >= 0:
                fresh[key] = t.seconds, sorted(t.lines)
        file.write_text(json.dumps(fresh))
        if failing := [t.item.nodeid for t in tests if t.seconds < 0]:
            sys.exit(f"without a mutant these fail: {', '.join(failing)}")
        return [t for t in tests if t.lines]

    def done(self, known: set[str]) -> dict[str, Any]:
        """What earlier runs found, where it still holds: a survivor of these very tests, or one
        that a test saw that is still there."""
        found = {}
        for line in self.log.read_text().splitlines() if self.log.exists() else []:
            r = json.loads(line)
            if r["suite"] == self.suite or (r["result"] == "killed" and r["test"] in known):
                found[r["key"]] = r
        return found

    def survived(self) -> dict[str, Any]:
        """What survived fewer tests, and counts as survived until it was run again."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        rows = {r["key"]: r for r in map(json.loads, lines)}
        return {k: r for k, r in rows.items() if r["result"] == "survived"}

    def work(self, todo: list[Mutant]) -> None:
        """Run mutants, one line of the log for each."""
        hits: dict[str, Counter[str]] = defaultdict(Counter)
        with open(self.log, "a", encoding="utf-8") as log:
            for m in todo:
                within = set(range(m.lines[0], m.lines[1] + 1))
                tests = [t for t in self.tests if t.lines & within]
                often = hits[m.function]  # what saw a mutant of this function comes first
                tests.sort(key=lambda t: (t.seconds + 0.01) / (1 + 5 * often[t.item.nodeid]))
                start = time.perf_counter()
                result, test = attempt(m, tests)
                often[test] += result == "killed"
                row = {"key": m.key, "result": result, "test": test, "suite": self.suite}
                row["seconds"] = round(time.perf_counter() - start, 2)
                log.write(json.dumps({**row, "function": m.function, "line": m.lines[0]}) + "\n")
                log.flush()


def sample(found: list[Mutant], count: int, seed: int) -> list[Mutant]:
    """A share of every function's mutants, at least one of each."""
    groups: dict[str, list[Mutant]] = defaultdict(list)
    for m in found:
        groups[m.function].append(m)
    share, chosen = count / len(found), []
    for name, group in groups.items():
        size = min(len(group), max(1, math.ceil(share * len(group))))
        chosen += random.Random(f"{seed} {name}").sample(group, size)
    return chosen


# -- the record ---------------------------------------------------------------------------------
def interval(killed: int, count: int) -> list[float]:
    """Wilson's 95 % interval of a share."""
    z = 1.96
    p, d = killed / count, 1 + z * z / count
    half = z * math.sqrt(p * (1 - p) / count + z * z / (4 * count * count)) / d
    return [round((p + z * z / (2 * count)) / d + s * half, 4) for s in (-1, 1)]


def count(pairs: Iterable[tuple[Mutant, Any]]) -> dict[str, Any]:
    """How many were killed; one that loops until it is stopped is killed too, as mutmut has it."""
    results = Counter(r["result"] for _, r in pairs)
    total = sum(results.values())
    killed = results["killed"] + results["timeout"]
    return {
        "mutants": total,
        "killed": results["killed"],
        "timeout": results["timeout"],
        "survived": results["survived"],
        "share killed": round(killed / total, 4) if total else None,
    }


def record(run: Run, seconds: float) -> dict[str, Any]:
    """What the log says of the chosen mutants."""
    done = {**run.survived(), **run.done({t.item.nodeid for t in run.tests})}
    pairs = [(m, done[m.key]) for m in run.chosen if m.key in done]
    groups = defaultdict(list)
    for m, r in pairs:
        groups[m.function].append((m, r))
    whole = count(pairs)
    refusals = [(m, r) for m, r in pairs if m.operator == "refusal"]
    return {
        "tool": f"mutmut {importlib.metadata.version('mutmut')}'s operators, run by mutants.py",
        "machine": machine(sorted(os.sched_getaffinity(0))),
        "python": platform.python_version(),
        "pytest": pytest.__version__,
        "file": "derive/checker.py",
        "sha256": hashlib.sha256(Path(checker.__file__).read_bytes()).hexdigest(),
        "tests": len(run.tests),
        "all mutants": len(run.all),
        "whole": len(pairs) == len(run.all),
        "sample": None if len(pairs) == len(run.all) else {"seed": run.options.seed},
        **whole,
        "interval": interval(whole["killed"] + whole["timeout"], max(1, whole["mutants"])),
        "mutmut's": count(p for p in pairs if p[0].operator != "refusal"),
        "refusals": count(refusals),
        "seconds": round(sum(r["seconds"] for _, r in pairs), 1),
        "wall seconds": round(seconds, 1),
        "functions": {
            name: {k: v for k, v in count(group).items() if k != "share killed"}
            for name, group in groups.items()
        },
    }


def diff(m: Mutant) -> str:
    """What a mutant changes."""
    lines = difflib.unified_diff(m.original.splitlines(), m.text.splitlines(), lineterm="", n=0)
    changed = [line for line in lines if not line.startswith(("---", "+++", "@@"))]
    return "\n".join([f"# {m.function}:{m.lines[0]} [{m.operator}] {m.key}", *changed])


def main() -> int:
    """Run what is asked for, and print or write the record."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sample", type=int, help="so many mutants, drawn from all functions")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--function", help="only functions whose name has this pattern")
    parser.add_argument("--operator", help="only this operator's, such as refusal")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--show", action="store_true", help="the diffs of those that survived")
    parser.add_argument("--report", action="store_true", help="run none, only count")
    parser.add_argument("--record", type=Path, help="where to write the record")
    options = parser.parse_args()
    STATE.mkdir(parents=True, exist_ok=True)
    os.environ["COLUMNS"] = "100"
    settings.register_profile(
        "mutants", max_examples=CONFIG["examples"], derandomize=True, deadline=None, database=None
    )
    settings.load_profile("mutants")
    start = time.perf_counter()
    run = Run(options)
    arguments = ["-q", "-s", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not slow"]
    arguments += [f"--deselect={t}" for t in CONFIG["deselect"]]
    code = pytest.main([*arguments, *CONFIG["tests"]], plugins=[run])
    if code:
        return int(code)
    found = record(run, time.perf_counter() - start)
    done = {**run.survived(), **run.done({t.item.nodeid for t in run.tests})}
    if options.show:
        for m in run.chosen:
            if done.get(m.key, {}).get("result") == "survived":
                print(diff(m))
    print(json.dumps({k: v for k, v in found.items() if k != "functions"}, indent=1))
    if options.record:
        options.record.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
