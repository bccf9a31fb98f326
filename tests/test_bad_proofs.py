"""What cannot be proved gets one message with the place and, where there is one, an example."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gradproof.codegen.generate import generated_folder
from gradproof.derive.checker import Operator, Refused, Source, System, check_folder, ranges, var
from gradproof.derive.claims.named import NAMED
from gradproof.derive.errors import DefinitionError
from gradproof.derive.language import operator
from gradproof.derive.prove.counterexample import Example, differing
from gradproof.derive.prove.finder import Finder, NotFound
from gradproof.derive.prove.record import definition_record
from gradproof.derive.registry import find

PLACE = [["n", "N"], ["o", "O"]]


def attempt(claim: dict[str, Any], operator: str = "linear", **changes: Any) -> str:
    """The message for one false claim about an operator whose kernels are as they are."""
    folder = generated_folder()
    entry = json.loads((folder / "manifest.json").read_text("utf-8"))["operators"][operator]
    definition = definition_record(find(operator)) | changes
    record = {"definition": definition, "limits": entry["limits"], "claims": [claim]}
    record |= {"proofs": {}, "maps": {}, "cofactors": {}}
    source = Source(f"{operator}.cl", (folder / f"{operator}.cl").read_text("utf-8"))
    with pytest.raises(Refused) as caught:
        Operator(record, entry, source, Finder(record)).check(NAMED)
    message = str(caught.value)
    assert "\n" not in message
    return message


def claim(**parts: Any) -> dict[str, Any]:
    return {"claim": "X1 claim", "statement": "", "free": PLACE, "left": {"value": "z"}, **parts}


def test_a_false_equality_names_sizes_place_and_both_values() -> None:
    message = attempt(claim(right={"text": "sum[k:K](Y[n, k]*w[o, k])"}))
    assert message.startswith("X1 claim: the two sides differ at K = 1, N = 1, O = 1, (n, o) = (0")
    assert message.endswith("on the right")


def test_a_false_statement_about_integers_names_sizes_and_the_value() -> None:
    message = attempt({"claim": "X1 sizes", "statement": "", "goals": ["N <= K"]})
    assert message.startswith("X1 sizes: K - N >= 0 does not follow; at K = ")
    assert message.endswith("the left side is -1")


def test_a_subscript_that_leaves_its_tensor_names_sizes() -> None:
    equations = ["z[n, o] = b[o] + sum[k:K](Y[n, k + 1]*w[o, k])"]
    message = attempt(claim(right={"text": "0"}), equations=equations)
    assert message.startswith("linear: definition of z: K - k - 2 >= 0 does not follow; at K = 1")
    assert message.endswith("the left side is -1")


@pytest.mark.parametrize(
    ("right", "message"),
    [
        ({"text": "b[o] + Q"}, "X1 claim: the two sides differ at"),
        ({"text": "sum[k:K](Y[n, k]*w[o, k]"}, "cannot read"),
        ({"text": "sin[o]"}, "'sin' is no tensor"),
        ({"text": "b[o, n]"}, "b has 1 subscripts, not 2"),
        ({"tensor": "matmul(Y, w)"}, "X1 claim: size: K - O == 0 does not follow; at K = 1"),
        ({"tensor": "matmul(Y, b)"}, "matmul: "),
        ({"tensor": "matmul(Y)"}, "matmul takes"),
        ({"sum": 1}, "X1 claim: {'sum': 1} is no side of an equality"),
    ],
)
def test_a_claim_outside_the_language_is_one_message(right: Any, message: str) -> None:
    assert message in attempt(claim(right=right))


def test_a_definition_that_leaves_a_tensor_names_sizes_and_place() -> None:
    sizes = {"OH": "(H + 2*P - K)//S + 1"}
    requires = {"H + 2*P - K >= 0": "the window is too tall"}
    with pytest.raises(DefinitionError) as caught:
        operator(
            "f",
            "z[x] = sum[i:K](Y[S*x + i - P])",
            {"Y": "H", "z": "OH"},
            sizes=sizes,
            requires=requires,
            integers="P",
        )
    at = "(it does at H = 1, K = 1, P = 1, S = 1, i = 0, x = 0)"
    assert f"f: in z, subscript S*x + i - P of Y[S*x + i - P] may fall below 0 {at}" in str(
        caught.value
    ).replace("-P + S*x + i", "S*x + i - P").replace("-P + i + S*x", "S*x + i - P")


def test_nothing_is_said_of_what_is_true() -> None:
    system = System(definition_record(find("linear")))
    facts = [*system.sizes(), *ranges([("n", var("N"))])]
    assert differing(system, facts, var("n"), var("n")) is None


def test_an_example_is_the_smallest_that_was_found() -> None:
    system = System(definition_record(find("linear")))
    facts = [*system.sizes(), *ranges([("n", var("N"))])]
    example = differing(system, facts, var("n"), {})
    assert example is not None
    assert (dict(example.sizes), dict(example.place)) == ({"K": 1, "N": 2, "O": 1}, {"n": 1})
    assert str(example) == "at K = 1, N = 2, O = 1, (n) = (1): 1 on the left, 0 on the right"
    assert isinstance(example, Example) and issubclass(NotFound, Refused)


# -- certificates that are damaged or another operator's ---------------------------------------
Change = Callable[[dict[str, Any]], object]


CHANGES: dict[str, Change] = {
    "another operator's": lambda r: r["definition"].update(name="conv2d"),
    "another definition": lambda r: r["definition"].update(equations=[]),
    "no certificates": lambda r: r.update(proofs={}),
    "a section is missing": lambda r: r.pop("maps"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_record_that_was_changed_is_refused_and_named(what: str, tmp_path: Path) -> None:
    folder = tmp_path / "generated"
    shutil.copytree(generated_folder(), folder)
    path = folder / "proofs" / "linear.json"
    record = json.loads(path.read_text("utf-8"))
    CHANGES[what](record)
    path.write_text(json.dumps(record), "utf-8")
    with pytest.raises(Refused, match="linear"):
        check_folder(folder)


def test_the_record_of_another_operator_is_refused_and_named(tmp_path: Path) -> None:
    folder = tmp_path / "generated"
    shutil.copytree(generated_folder(), folder)
    shutil.copy(folder / "proofs" / "relu.json", folder / "proofs" / "linear.json")
    with pytest.raises(Refused, match=r"linear\.json: these are certificates for relu"):
        check_folder(folder)
