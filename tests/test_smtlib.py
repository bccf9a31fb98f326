"""Exported obligations: z3 and cvc5 refute every file, and find the values that refute a mutant."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from gradproof.derive.checker import Refused, add, const, freeze, scale, sub, var, verify_step
from gradproof.derive.prove import smtlib
from gradproof.derive.prove.obligations import Obligation, replay, replay_named
from gradproof.derive.prove.smtlib import script, scripts

GENERATED = Path(__file__).parent.parent / "generated"
MANIFEST = json.loads((GENERATED / "manifest.json").read_text("utf-8"))["operators"]
MILLISECONDS = 20_000  # each file takes far less: a limit, so that no test hangs


def load(name: str) -> tuple[Any, Any, str, Any]:
    """What `replay` takes for one operator."""
    record = json.loads((GENERATED / "proofs" / f"{name}.json").read_text("utf-8"))
    text = (GENERATED / MANIFEST[name]["file"]).read_text("utf-8")
    return record, MANIFEST[name], text, closed_forms()["operators"]


def closed_forms() -> Any:
    """The record of the named operators."""
    return json.loads((GENERATED / "proofs" / "operators.json").read_text("utf-8"))


@cache
def obligations(name: str) -> list[Obligation]:
    """The obligations of one operator, or of the closed forms."""
    if name == "closed forms":
        return replay_named(closed_forms())
    return replay(*load(name))


def with_z3(text: str) -> str:
    """What z3 answers to a script."""
    z3 = pytest.importorskip("z3", reason="z3, a solver that cross-checks, is not installed")
    solver = z3.Solver()
    solver.set("timeout", MILLISECONDS)
    solver.from_string(text)
    return str(solver.check())


def with_cvc5(text: str) -> str:
    """What cvc5 answers to a script."""
    cvc5 = pytest.importorskip("cvc5", reason="cvc5, a solver that cross-checks, is not installed")
    solver = cvc5.Solver(cvc5.TermManager())
    solver.setOption("tlimit-per", str(MILLISECONDS))
    parser = cvc5.InputParser(solver)
    bare = text.replace("(set-info :status unsat)\n", "")  # it complains where this is not so
    parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, bare, "script")
    answers = []
    while not (command := parser.nextCommand()).isNull():
        answers.append(command.invoke(solver, parser.getSymbolManager()).strip())
    return next(a for a in answers if a)


SOLVERS = [pytest.param(with_z3, id="z3"), pytest.param(with_cvc5, id="cvc5")]
each_solver = pytest.mark.parametrize("solve", SOLVERS)
SOON = ("closed forms", "conv2d", "batch_norm", "max_pool2d", "softmax_cross_entropy", "cat")
LATER = ("linear", "avg_pool2d", "adaptive_avg_pool2d", "dropout", "conv_transpose1d", "softmax",
         "pad_reflect", "upsample_nearest", "cross_entropy", "sigmoid_backward")  # fmt: skip


def one_per_claim(name: str) -> list[tuple[str, str]]:
    """The last file of every claim: goals stand at the end."""
    last = {file.rsplit("-", 1)[0]: (file, text) for file, text in scripts(obligations(name))}
    return list(last.values())


@each_solver
@pytest.mark.parametrize("name", SOON)
def test_one_file_of_every_claim_is_refuted(name: str, solve: Callable[[str], str]) -> None:
    for file, text in one_per_claim(name):
        assert solve(text) == "unsat", file


@pytest.mark.slow
@each_solver
@pytest.mark.parametrize("name", [*SOON, *LATER])
def test_every_file_is_refuted(name: str, solve: Callable[[str], str]) -> None:
    files = list(scripts(obligations(name)))
    assert files
    for file, text in files:
        assert solve(text) == "unsat", file


@each_solver
def test_plain_problems_need_no_hint(solve: Callable[[str], str]) -> None:
    files = list(scripts(obligations("max_pool2d"), hints=False))
    assert not any("hints" in text for _, text in files)
    files = [(file, text) for file, text in files if "phases" not in file]  # products of quotients
    for file, text in files[::8]:
        assert solve(text) == "unsat", file


def test_what_is_exported_is_every_step() -> None:
    found = obligations("conv2d")
    files = dict(scripts(found))
    assert len(files) == sum(len(o.steps) for o in found) > 100
    kept = set(load("conv2d")[0]["proofs"])
    assert {o.key for o in found} == kept
    goals = sum("a goal" in text for text in files.values())
    assert 0 < goals < len(files)
    assert all(re.fullmatch(r"[a-z0-9-]+-\d{3,}\.smt2", file) for file in files)


def test_files_are_the_same_every_time() -> None:
    again = replay(*load("max_pool2d"))
    assert list(scripts(again)) == list(scripts(obligations("max_pool2d")))


def test_the_header_says_what_the_file_is() -> None:
    text = dict(scripts(obligations("conv2d")))["conv2d-z-once-001.smt2"]
    head = text[: text.index("(declare-const")]
    assert "conv2d: conv2d_z.once" in head and "conv2d.cl:" in head
    assert "(set-info :status unsat)" in head and "(set-logic QF_NIA)" in head
    assert re.search(r"certificate [0-9a-f]{16}, step 1 of \d+", head)


# -- what a file says -----------------------------------------------------------------------------
def expressions(text: str) -> list[Any]:
    """A script as nested lists."""
    bare = re.sub(r";[^\n]*", "", text)
    stack: list[list[Any]] = [[]]
    for token in re.findall(r"[()]|\|[^|]*\||[^\s()]+", bare):
        if token == "(":
            stack.append([])
        elif token == ")":
            done = stack.pop()
            stack[-1].append(done)
        else:
            stack[-1].append(token)
    return stack[0]


def compute(e: Any, values: dict[str, int]) -> int:
    """The value of a term."""
    if isinstance(e, str):
        return values[e] if e in values else {"true": 1}.get(e) or int(e)
    operator, *rest = e
    args = [compute(a, values) for a in rest]
    match operator:
        case "+":
            return sum(args)
        case "-":
            return -args[0] if len(args) == 1 else args[0] - args[1]
        case "*":
            product = 1
            for a in args:
                product *= a
            return product
        case "and":
            return int(all(args))
    a = args[0]
    b = args[-1]
    table = {"not": not a, "=": a == b, ">=": a >= b, "=>": bool(b or not a)}
    return int(table[operator])


def holds(text: str, model: dict[str, int]) -> bool:
    """Whether a model satisfies every assertion of a script."""
    values = dict(model)
    truths = []
    for e in expressions(text):
        if e[0] == "define-fun":
            values[e[1]] = compute(e[4], values)
        elif e[0] == "assert":
            truths.append(compute(e[1], values))
    return bool(truths) and all(truths)


def model_of(text: str) -> dict[str, int] | None:
    """The values that z3 gives a script's constants, if it finds the script to be satisfiable."""
    z3 = pytest.importorskip("z3", reason="z3, a solver that cross-checks, is not installed")
    solver = z3.Solver()
    solver.set("timeout", 2000)
    solver.from_string(text)
    if str(solver.check()) != "sat":
        return None
    found = solver.model()
    names = re.findall(r"\(declare-const (\S+) Int\)", text)
    return {n: found.eval(z3.Int(n), model_completion=True).as_long() for n in names}


def steps_of(name: str) -> Iterator[tuple[Obligation, int]]:
    """Every step that follows from facts."""
    for o in obligations(name):
        for n, step in enumerate(o.steps):
            if step[2] or step[3]:
                yield o, n


def weakened(o: Obligation, n: int) -> Obligation:
    """The obligation with another conclusion in step n: p - 1 >= 0 for p >= 0, p + 1 for p."""
    kind, p, pos, eq = o.steps[n]
    wrong = add(p, const(1)) if kind == "==" else sub(p, const(1))
    return replace(o, steps=[*o.steps[:n], (kind, wrong, pos, eq), *o.steps[n + 1 :]])


def test_a_false_conclusion_is_satisfied_by_values_that_break_it() -> None:
    chosen = list(steps_of("conv2d"))[::9]
    false = 0
    for o, n in chosen:
        mutant = weakened(o, n)
        assert not verify_step(o.facts + [(s[0], s[1]) for s in o.steps[:n]], mutant.steps[n])
        text = script(mutant, n, hints=False)
        model = model_of(text)
        if model is not None:  # what is left may be true, where a bound is not attained
            false += 1
            assert holds(text, model)
            kept = script(o, n)
            assert not holds(kept, model | dict.fromkeys(constants(kept) - set(model), 0))
    assert false >= len(chosen) * 2 // 3 > 10


def constants(text: str) -> set[str]:
    """The constants that a script declares."""
    return set(re.findall(r"\(declare-const (\S+) Int\)", text))


def test_a_conclusion_needs_the_facts_that_it_is_said_to_use() -> None:
    needed = total = 0
    for o, n in list(steps_of("conv2d"))[::9]:
        text = script(o, n, hints=False)
        for name in re.findall(r"^\(assert \((?:>=|=) (\S+) 0\)\)$", text, re.MULTILINE):
            mutant = re.sub(rf"\(assert \((>=|=) {re.escape(name)} 0\)\)\n", "", text)
            model = model_of(mutant)
            total += 1
            if model is not None:
                needed += 1
                assert holds(mutant, model) and not holds(text, model)
    assert needed >= total * 2 // 3 > 10


def test_the_hypotheses_are_not_contradictory() -> None:
    """A file without what is negated has a model: it is not refuted for another reason."""
    for o in [o for o in obligations("conv2d") if o.steps][::5]:
        text = script(o, len(o.steps) - 1)
        bare = re.sub(r"\(assert \(not .*\n|\(assert .*conclusion!.*\n", "", text)
        model = model_of(bare)
        assert model is not None and holds(bare, model), o.where


# -- small cases ----------------------------------------------------------------------------------
def obligation(facts: list[Any], goal: Any, step: Any) -> Obligation:
    """One goal, shown in one step."""
    return Obligation("test", "here", "0" * 16, facts, [goal], [step], ["a claim"])


def product(names: str = "a b") -> Obligation:
    """a >= 1 and b >= 1 give a*b - 1 >= 0: (a-1)(b-1) + (a-1) + (b-1) + (-(a*b - 1) - 1) = -1."""
    a, b = names.split()
    facts = [(">=", sub(var(s), const(1))) for s in (a, b)]
    p = sub({tuple(sorted((a, b))): const(1)[()]}, const(1))
    one = const(1)[()]
    step = (">=", p, [(one, [0, 1]), (one, [0]), (one, [1]), (one, [-1])], [])
    assert verify_step(facts, step)
    return obligation(facts, (">=", p), step)


def test_hints_are_products_of_what_is_asserted() -> None:
    assert "(assert (>= (* fact!0 fact!1) 0))" in script(product(), 0)
    assert "hints" not in script(product(), 0, hints=False)


@each_solver
def test_any_name_of_a_size_will_do(solve: Callable[[str], str]) -> None:
    for names in ("mod div", "let not", "pi exp", "@n x'", "_ fact", "pop push"):
        assert solve(script(product(names), 0)) == "unsat", names


@each_solver
def test_a_function_has_one_value_at_equal_arguments(solve: Callable[[str], str]) -> None:
    q, x = var("q"), var("x")
    at = [("read", "label", (freeze(s),)) for s in (q, x)]
    goal = ("==", sub(var(at[0]), var(at[1])))
    o = obligation([("==", sub(x, q))], goal, (*goal, [], []))
    assert verify_step(o.facts, o.steps[0])
    text = script(o, 0)
    assert "; element!" in text and "label[q]" in text
    assert solve(text) == "unsat"
    assert solve(text.replace("(assert (= fact!0 0))\n", "")) == "sat"


@each_solver
def test_two_inequalities_make_an_equation(solve: Callable[[str], str]) -> None:
    p = sub(var("q"), var("x"))
    o = obligation([(">=", p), (">=", scale(p, -1))], ("==", p), ("==", p, [(1, [0, 1])], []))
    assert verify_step(o.facts, o.steps[0])
    assert solve(script(o, 0)) == "unsat"
    assert solve(script(o, 0).replace("(assert (>= fact!1 0))\n", "")) == "sat"


# -- writing --------------------------------------------------------------------------------------
def test_export_writes_the_files(tmp_path: Path) -> None:
    paths = smtlib.export(tmp_path / "new" / "out", *load("max_pool2d"))
    assert sorted((tmp_path / "new" / "out" / "max_pool2d").iterdir()) == sorted(paths)
    assert [(p.name, p.read_text("utf-8")) for p in paths] == list(
        scripts(obligations("max_pool2d"))
    )
    (named, *_) = smtlib.export_named(tmp_path / "new" / "out", closed_forms())
    assert named.parent.name == "closed-forms"


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"not empty \(it has notes.txt\)"):
        smtlib.write(tmp_path, obligations("max_pool2d"))
    with pytest.raises(FileExistsError, match="this is a file"):
        smtlib.write(tmp_path / "notes.txt", obligations("max_pool2d"))
    with pytest.raises(NotADirectoryError, match=r"notes.txt"):
        smtlib.write(tmp_path / "notes.txt" / "out", obligations("max_pool2d"))
    assert [p.name for p in tmp_path.iterdir()] == ["notes.txt"]
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_certificate_that_does_not_hold_is_not_exported(tmp_path: Path) -> None:
    record, *rest = load("max_pool2d")
    key, steps = next((k, s) for k, s in record["proofs"].items() if s[0][2])
    steps[0][2][0][0] = "2"
    with pytest.raises(Refused, match=f"certificate {key} does not add up"):
        smtlib.export(tmp_path / "out", record, *rest)
    assert not (tmp_path / "out").exists()
