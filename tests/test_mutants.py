"""No mutant gets a certificate, and each is refuted by a concrete example that is true."""

from __future__ import annotations

import copy
import importlib.util
import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from gradproof.codegen import program
from gradproof.codegen.generate import generated_folder
from gradproof.derive import check as checks
from gradproof.derive import language, ops
from gradproof.derive.checker import Base, Kernel, Operator, Refused, Source, System, body_of
from gradproof.derive.claims import claims
from gradproof.derive.claims.named import NAMED
from gradproof.derive.language import Definition
from gradproof.derive.prove.counterexample import Example
from gradproof.derive.prove.execute import kernel_example
from gradproof.derive.prove.finder import Finder, NotFound
from gradproof.derive.prove.record import definition_record
from gradproof.derive.registry import find
from gradproof.derive.system import derive
from tests import independent, mutants
from tests.mutants import Edit, Rule

EMPTY: dict[str, Any] = {"proofs": {}, "maps": {}, "cofactors": {}}


@cache
def manifest() -> Any:
    return json.loads((generated_folder() / "manifest.json").read_text("utf-8"))["operators"]


@cache
def text_of(operator: str) -> str:
    return (generated_folder() / f"{operator}.cl").read_text("utf-8")


@cache
def certificates(operator: str) -> Any:
    """The committed proofs of integer facts: what is still true need not be searched again."""
    record = json.loads((generated_folder() / "proofs" / f"{operator}.json").read_text("utf-8"))
    return {**EMPTY, "proofs": record["proofs"]}


@cache
def record_of(d: Definition) -> Any:
    return definition_record(d)


class Attempt(Operator):
    """The proof of an operator's kernels, or of one kernel, or of one claim."""

    def __init__(self, d: Definition, text: str, claim: Any = None, only: str = "") -> None:
        record = {
            "definition": record_of(d),
            "limits": manifest()[d.name]["limits"],
            "claims": [claim] if claim else [],
            **copy.deepcopy(EMPTY),
        }
        finder = Finder(record, certificates(d.name))
        super().__init__(record, manifest()[d.name], Source(f"{d.name}.cl", text), finder)
        self.only, self.at = ("-" if claim else only), ""

    def kernel(self, name: str, base: Base, meaning: Any) -> None:
        if self.only and name != self.only:  # taken as it is
            k = Kernel(base.system, self.kernels[name], self.certificates, base)
            target, value = k.run()
            base.values[target] = [i for i, _ in k.grid], value
            return
        self.at = name
        super().kernel(name, base, meaning)


def refused(attempt: Attempt) -> Refused:
    """Why there is no certificate. Fails where there is one."""
    with pytest.raises(Refused) as caught:
        attempt.check(NAMED)
    return caught.value


def example_of(error: Refused) -> Example:
    assert isinstance(error, NotFound), error
    assert isinstance(error.example, Example), error
    assert str(error.example) in str(error)
    return error.example


def integer_example(d: Definition, error: Refused, claim: Any = None) -> None:
    """The sizes are allowed, and the goal is false there: computed from its text."""
    assert isinstance(error, NotFound) and isinstance(error.example, dict), error
    names = {a: v for a, v in error.example.items() if isinstance(a, str)}
    record = record_of(d)
    walk = independent.Walk(names | (claim or {}).get("fixed", {}), lambda _: pytest.fail("a read"))
    for s, e in record["derived"].items():
        walk.names.setdefault(s, walk.text(e))
        assert walk.names[s] == walk.text(e)
    assert all(walk.names.get(s, b) >= b for s, b in record["lower"].items())
    assert all(walk.text(c) for c in [*record["requires"], *(claim or {}).get("facts", [])])
    assert not walk.text(error.goal), error
    assert f"N = {names['N']}" in str(error) if "N" in names else True


def cases(group: list[Any], convolutions: int) -> list[Any]:
    """The mutants of a group; those of the convolution that come after some are slow."""
    fast = [m for m in group if m.operator == "conv2d"][:convolutions]
    slow = [m for m in group if m.operator == "conv2d" and m not in fast]
    return [pytest.param(m, id=m.id, marks=[pytest.mark.slow] if m in slow else []) for m in group]


# -- definitions ------------------------------------------------------------------------------
def mutated_definition(m: Edit) -> Definition:
    """The operator's module, loaded with one text that it gives to `operator` changed."""
    original, found = language.operator, {}
    module = find(m.operator)
    hits = 0

    def edit(value: Any) -> Any:
        nonlocal hits
        if isinstance(value, str) and m.old in value:
            hits += 1
            return m.apply(value)
        return {k: edit(v) for k, v in value.items()} if isinstance(value, dict) else value

    def operator(name: str, equations: str, tensors: Any, **more: Any) -> Definition:
        if name == m.operator:
            equations = edit(equations)
            more = {k: edit(v) if k in ("sizes", "requires") else v for k, v in more.items()}
        found[name] = original(name, equations, tensors, **more)
        return found[name]

    for file in sorted(Path(ops.__path__[0]).glob("*.py")):
        if f'"{m.operator}"' in file.read_text("utf-8"):
            spec = importlib.util.spec_from_file_location(f"mutant_{file.stem}", file)
            assert spec and spec.loader
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(language, "operator", operator)
                # what the mutant no longer uses: `check` names it, and the proof refuses it too
                patch.setattr(checks, "_everything_is_used", lambda _: None)
                spec.loader.exec_module(importlib.util.module_from_spec(spec))
    assert hits and found[m.operator] != module, m.id
    return found[m.operator]


@pytest.mark.parametrize("m", cases(mutants.DEFINITIONS, 4))
def test_the_kernels_are_not_those_of_a_mutated_definition(m: Edit) -> None:
    d = mutated_definition(m)
    attempt = Attempt(d, text_of(m.operator))
    error = refused(attempt)
    if isinstance(error, NotFound) and isinstance(error.example, dict):
        integer_example(d, error)
        return
    if isinstance(error, NotFound) and error.example:
        example, target = example_of(error), attempt.entry["kernels"][attempt.at]["target"]
        place = tuple(example.place.values())
    else:  # the definition's form has changed, such as a maximum that has become a sum
        example, target = by_kernels(d, attempt.kernels)
        place = written_place(example)
    left, right = example.left, example.right
    assert independent.same(left, independent.computed(d, example, target)[place])
    assert independent.same(right, independent.computed(find(m.operator), example, target)[place])
    assert not independent.same(left, right)


def by_kernels(d: Definition, kernels: Any) -> tuple[Example, str]:
    """The first kernel that computes something else than the definition says."""
    system = System(record_of(d))
    for name, spec in manifest()[d.name]["kernels"].items():
        if spec["target"].removeprefix("grad_") in system.tensors:
            found = kernel_example(system, kernels[name], spec["target"])
            if found:
                return found, spec["target"]
    raise AssertionError("no kernel differs")


def written_place(example: Example) -> tuple[int, ...]:
    """The element that the message names."""
    found = re.search(r": \w+(?:\[([\d, ]+)\])? has to be", example.what)
    assert found, example
    return tuple(int(k) for k in (found[1] or "").split(",") if k.strip())


# -- closed forms -----------------------------------------------------------------------------
def mutated_claim(m: Edit) -> Any:
    claim = copy.deepcopy(next(c for c in claims(m.operator) if c["claim"].startswith(m.where)))
    claim[m.key] = json.loads(m.apply(json.dumps(claim[m.key])))
    return claim


@pytest.mark.parametrize("m", cases(mutants.CLOSED_FORMS, 10))
def test_a_mutated_closed_form_is_refuted(m: Edit) -> None:
    d, claim = find(m.operator), mutated_claim(m)
    attempt = Attempt(d, text_of(m.operator), claim)
    error = refused(attempt)
    assert isinstance(error, NotFound), error
    if isinstance(error.example, dict):
        integer_example(d, error, claim)
        return
    example = example_of(error)
    if example.left is None:
        with pytest.raises(IndexError):
            [independent.side(d, claim, s, example) for s in ("left", "right")]
        return
    left, right = (independent.side(d, claim, s, example) for s in ("left", "right"))
    assert independent.same(left, example.left) and independent.same(right, example.right)
    assert not independent.same(left, right)


# -- elimination rules --------------------------------------------------------------------------
@pytest.fixture(autouse=True)
def _fresh_derivations() -> Any:
    yield
    derive.cache_clear()


def under(rule: Rule, patch: pytest.MonkeyPatch) -> tuple[str, Definition]:
    """The kernels' text and the backward system that the changed derivation gives."""
    derive.cache_clear()
    limits = (program, "size_limits", lambda *_: [])  # which a wrong kernel need not have
    for owner, name, value in (limits, *rule.patches()):
        patch.setattr(owner, name, value)
    d = find(rule.operator)
    text = program.build_program(d).files[f"{rule.operator}.cl"]
    backward = derive(d).backward
    assert backward is not None
    return text, backward


@pytest.mark.parametrize("rule", cases(mutants.RULES, 1))
def test_a_mutated_rule_gives_kernels_that_are_refuted(
    rule: Rule, monkeypatch: pytest.MonkeyPatch
) -> None:
    d = find(rule.operator)
    with monkeypatch.context() as patch:
        text, backward = under(rule, patch)
    derive.cache_clear()
    assert body_of(text) != body_of(text_of(rule.operator))
    refused(Attempt(d, text, only=rule.kernel))
    target = manifest()[rule.operator]["kernels"][rule.kernel]["target"]
    kernels = {k[0]: k for k in Source(f"{rule.operator}.cl", text).kernels()}
    example = kernel_example(System(record_of(d)), kernels[rule.kernel], target)
    assert example, "no example"
    confirm(d, text, rule.kernel, example, backward)


def confirm(
    d: Definition, text: str, kernel: str, example: Example, backward: Definition | None = None
) -> None:
    """The example is true: the definition gives the one value and OpenCL the other, or the read
    that it names lies outside."""
    entry = manifest()[d.name]
    target = entry["kernels"][kernel]["target"]
    if example.left is None:
        outside_or_unwritten(text, kernel, example)
        return
    place = written_place(example)
    assert independent.same(example.left, independent.computed(d, example, target)[place])
    stored = independent.launched(text, kernel, example)[place]
    assert independent.same(example.right, stored)
    assert not independent.same(example.left, example.right)


def outside_or_unwritten(text: str, kernel: str, example: Example) -> None:
    line = text.splitlines()[int(re.search(r"\.cl:(\d+): ", example.what)[1]) - 1]  # type: ignore[index]
    if "does not write" in example.what or "twice" in example.what:
        assert kernel in line or "[" in line
        stored = independent.launched(text, kernel, example)
        assert (stored != stored).any()  # an element is left as NaN
    elif "round down" in example.what:
        assert re.search(r"takes -\d+ [/%] \d+", example.what) and re.search(r"[/%]", line)
    else:
        found = independent.named_read(example.what)
        assert found, example
        tensor, at, shape = found
        assert f"{tensor}[" in line
        assert shape == example.values.shape(tensor)  # type: ignore[union-attr]
        assert not all(0 <= k < n for k, n in zip(at, shape, strict=True))


# -- kernel texts -------------------------------------------------------------------------------
def mutated_text(m: Edit) -> str:
    """The file with one kernel edited."""
    text = text_of(m.operator)
    start = text.index(f"__kernel void {m.where}(")
    end = text.find("__kernel", start + 1)
    end = len(text) if end < 0 else end
    return text[:start] + m.apply(text[start:end]) + text[end:]


@pytest.mark.parametrize("m", cases(mutants.KERNELS, 5))
def test_a_mutated_kernel_is_refuted(m: Edit) -> None:
    d, text = find(m.operator), mutated_text(m)
    error = refused(Attempt(d, text, only=m.where))
    assert re.match(rf"{m.operator}\.cl:\d+", str(error)), error
    target = manifest()[m.operator]["kernels"][m.where]["target"]
    kernels = {k[0]: k for k in Source(f"{m.operator}.cl", text).kernels()}
    example = kernel_example(System(record_of(d)), kernels[m.where], target)
    assert example, "no example"
    confirm(d, text, m.where, example)


# -- equivalents --------------------------------------------------------------------------------
@pytest.mark.parametrize("m", mutants.EQUIVALENT_KERNELS, ids=lambda m: m.id)
def test_an_equivalent_kernel_is_proved(m: Edit) -> None:
    attempt = Attempt(find(m.operator), mutated_text(m), only=m.where)
    attempt.check(NAMED)
    assert attempt.at == m.where


@pytest.mark.parametrize("m", mutants.EQUIVALENT_DEFINITIONS, ids=lambda m: m.id)
def test_an_equivalent_definition_is_proved(m: Edit) -> None:
    Attempt(mutated_definition(m), text_of(m.operator), only=m.where).check(NAMED)


@pytest.mark.parametrize("rule", mutants.EQUIVALENT_RULES, ids=lambda r: r.id)
def test_an_equivalent_rule_is_proved(rule: Rule, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        text, _ = under(rule, patch)
    attempt = Attempt(find(rule.operator), text, only=rule.kernel)
    attempt.check(NAMED)
    assert attempt.at == rule.kernel


def test_there_are_enough_mutants_in_every_group() -> None:
    groups = [mutants.DEFINITIONS, mutants.CLOSED_FORMS, mutants.RULES, mutants.KERNELS]
    assert all(len(g) >= 12 for g in groups)
    assert len({m.id for g in groups for m in g}) >= 48
