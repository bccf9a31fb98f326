"""Tiled kernels: every step of a schedule is proved, every map a bijection, every text compared."""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import pytest

from gradproof.cli import tiled
from gradproof.cli.tiled import Comparison, tiled_comparison, tiled_kernels, tiled_rows
from gradproof.codegen.generate import generated_folder
from gradproof.codegen.staged import MAPS, staged, staged_claims, tiled_section
from gradproof.derive.checker import Certificates, Claim, Operator, Refused, Source
from gradproof.derive.prove.finder import Finder
from gradproof.derive.prove.record import definition_record
from gradproof.derive.registry import operators
from gradproof.runtime.errors import GradproofError
from gradproof.runtime.schedule import Choice, schedule

MANIFEST = json.loads((generated_folder() / "manifest.json").read_text("utf-8"))["operators"]
TILED = ("conv2d", "linear")  # whose claims are all checked here, and spoiled
NORMALISED = ("cross_entropy", "group_norm", "layer_norm")  # divide, take roots, read labels
CONVOLUTIONS = (
    *("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
    "conv2d_backward",
)
PRODUCTS = ("bmm", "linear", "linear_backward", *CONVOLUTIONS)
SKIPPED = {"REAL", "REALV", "UNROLL"}  # macros that stand for types and hints, not for maps


class Quiet(Finder):
    """A finder that looks for no counterexample where two sides differ."""

    equal = Certificates.equal


@cache
def proved(name: str) -> tuple[dict[str, Any], Operator]:
    """The operator's record without claims, and the operator with its kernels proved."""
    record = {
        "definition": definition_record(operators()[name]),
        "proofs": {},
        "maps": {},
        "cofactors": {},
        "claims": [],
        "limits": MANIFEST[name]["limits"],
    }
    folder = generated_folder()
    known = json.loads((folder / "proofs" / f"{name}.json").read_text("utf-8"))
    return record, operator(name, record, Quiet(record, known))


def operator(name: str, record: dict[str, Any], certificates: Certificates) -> Operator:
    file = f"{name}.cl"
    source = Source(file, (generated_folder() / file).read_text("utf-8"))
    checked = Operator(record, MANIFEST[name], source, certificates)
    checked.check({})
    return checked


def claim(name: str) -> dict[str, Any]:
    """A copy of one claim, to be spoiled."""
    found = [c for n in TILED for c in staged_claims(operators()[n]) if c["claim"] == name]
    return copy.deepcopy(found[0])


# --- what is proved ---


@pytest.mark.parametrize("name", TILED)
def test_every_claim_is_proved_and_checked_again_from_its_certificates(name: str) -> None:
    record, found = proved(name)
    claims = staged_claims(operators()[name])
    for c in claims:
        Claim(c, found, {}).check()
    finished = json.loads(json.dumps({**record, "claims": claims}))
    again = operator(name, finished, Certificates(finished))
    rows = {row["claim"]: row["status"] for row in again.ledger}
    assert {rows[c["claim"]] for c in claims} == {"proved"}
    assert len({c["claim"] for c in claims}) == len(claims)


def with_tiled() -> list[str]:
    return [n for n, e in MANIFEST.items() if any("tiled" in k for k in e["kernels"].values())]


def test_sums_of_two_factors_have_tiled_kernels_and_nothing_else_has() -> None:
    assert set(with_tiled()) == {*PRODUCTS, *NORMALISED}
    assert {n for n, d in operators().items() if staged_claims(d)} == set(with_tiled())
    for name in CONVOLUTIONS:  # forward and backward, each with the bias and without
        kernels = MANIFEST[name]["kernels"]
        assert [k for k, e in kernels.items() if e.get("tiled")] == [
            k for k, e in kernels.items() if re.search("_(z|grad_Y|grad_w|Ybar|wbar)$", k)
        ], name


@pytest.mark.parametrize("name", with_tiled())
def test_the_claims_of_every_tiled_kernel_are_in_the_record(name: str) -> None:
    """As the derivation states them now; test_verify checks that all of a record is proved."""
    path = generated_folder() / "proofs" / f"{name}.json"
    record = json.loads(path.read_text("utf-8"))
    claims = json.loads(json.dumps(staged_claims(operators()[name])))
    assert [c for c in record["claims"] if c["claim"].startswith("S1 ")] == claims != []
    assert not any(c["claim"] in record.get("open", {}) for c in claims)


@pytest.mark.parametrize("name", with_tiled())
def test_the_schedules_are_those_of_the_manifest(name: str) -> None:
    entries = {k: e["tiled"] for k, e in MANIFEST[name]["kernels"].items() if "tiled" in e}
    schedules = {s.kernel: s.contraction for s in staged(operators()[name])}
    assert set(schedules) == set(entries)
    for kernel, c in schedules.items():
        assert {str(s): v for s, v in c.when} == entries[kernel]["when"]
        assert {p.target for p in c.packs} == set(entries[kernel]["tensors"])
        assert {str(t) for t in c.tiles} == set(entries[kernel]["tiles"])


# --- every map has a claim ---


def maps_of(kernel: str, text: str, packs: Iterable[str]) -> set[str]:
    """The claims that a tiled kernel needs: for its macros, its packed tensors, its numberings."""
    code = re.sub(r"//[^\n]*|#[^\n]*", "", text)
    macros = set(re.findall(r"\b(?:TILE_\w+|CHUNK|LANES|[A-Z]{3,}\w*)\b", code))
    declared = set(re.findall(r"const int (\w+) = SIZE_\1;", code)) - {"LANES"}
    needed = {"staged", "work-items"}
    if "REALV total[1];" not in code:  # one register needs no number
        needed.add("registers")
    for macro in macros - declared - SKIPPED:
        if macro.startswith("SIZE_") and macro.removeprefix("SIZE_") in declared | {"LANES"}:
            continue
        known = {"LANES": "lanes", "CHUNK": "chunks"}
        needed.add(known.get(macro, macro.replace("TILE_", "tile ")))
    needed |= {"lanes" if p.endswith("_lanes") else p for p in packs}
    return {f"S1 {kernel} {m}" for m in needed}


def layouts_of(name: str, found: Iterable[str]) -> set[str]:
    """The claims that the layouts of an operator's tensors need: one for each number of extents."""
    kernels = MANIFEST[name]["kernels"].values()
    shapes = [s for k in kernels if "tiled" in k for s in k["tiled"]["tensors"].values()]
    targets = {k["target"] for k in kernels if "tiled" in k}
    for variant in MANIFEST[name]["variants"].values():
        shapes += [t["shape"] for n, t in variant["tensors"].items() if n in targets]
    return {f"S1 {name} {lay} {len(s)}" for lay in found for s in shapes}


@pytest.mark.parametrize("name", with_tiled())
def test_every_layout_and_tiling_has_a_claim(name: str) -> None:
    claims = {c["claim"] for c in staged_claims(operators()[name])}
    needed = layouts_of(name, ["row-major"])
    for s in staged(operators()[name]):
        text = (generated_folder() / f"{s.kernel}_tiled.cl").read_text("utf-8")
        needed |= maps_of(s.kernel, text, [p.target for p in s.contraction.packs])
    assert needed - claims == set()
    kinds = {re.sub(r"^S1 \w+ ", "", c).split()[0] for c in claims}
    kinds = {"halo" if k.endswith("_halo") else k for k in kinds}
    assert kinds - {"staged"} <= set(MAPS)
    assert name != "conv2d" or kinds - {"staged"} == set(MAPS)


def test_a_layout_or_tiling_without_a_claim_is_found() -> None:
    claims = {c["claim"] for c in staged_claims(operators()["linear"])}
    text = (generated_folder() / "linear_z_tiled.cl").read_text("utf-8")
    assert maps_of("linear_z", text, ["w_lanes"]) <= claims
    more = maps_of("linear_z", text.replace("CHUNK", "SWIZZLE"), ["w_lanes", "Y_blocked"])
    assert more - claims == {"S1 linear_z SWIZZLE", "S1 linear_z Y_blocked"}
    more = maps_of("linear_z", text.replace("k_0 += CHUNK", "k_0 += TILE_k"), ["w_lanes"])
    assert more - claims == {"S1 linear_z tile k"}
    blocked = layouts_of("linear", ["row-major", "blocked"])
    assert blocked - claims == {"S1 linear blocked 2", "S1 linear blocked 3"}


# --- what is false is refused ---

Spoil = Callable[[dict[str, Any]], None]


def put(*path: Any, value: Any) -> Spoil:
    """Replace one entry of a claim."""

    def spoil(c: dict[str, Any]) -> None:
        for key in path[:-1]:
            c = c[key]
        assert c[path[-1]] != value
        c[path[-1]] = value

    return spoil


def exchange(old: str, new: str, *path: Any) -> Spoil:
    """Replace text in one entry of a claim."""

    def spoil(c: dict[str, Any]) -> None:
        for key in path[:-1]:
            c = c[key]
        assert old in c[path[-1]]
        c[path[-1]] = c[path[-1]].replace(old, new, 1)

    return spoil


def both(*spoils: Spoil) -> Spoil:
    """One change after the other."""

    def spoil(c: dict[str, Any]) -> None:
        for each in spoils:
            each(c)

    return spoil


MUTANTS: dict[str, tuple[str, Spoil]] = {
    "halo shifted by one": (
        "S1 conv2d_z staged",
        exchange("-PT + a2", "-PT + a2 + 1", "lets", "Y_halo", "value"),
    ),
    "halo too narrow": (
        "S1 conv2d_z staged",
        exchange("DH*KH", "DH*KH - 1", "lets", "Y_halo", "shape", 2),
    ),
    "halo for the other end": (
        "S1 conv2d_grad_Y staged",
        exchange("PT", "PB", "lets", "grad_z_halo", "value"),
    ),
    "one block of lanes too few": (
        "S1 linear_z staged",
        put("lets", "w_lanes", "shape", 0, value="O//LANES"),
    ),
    "next block": ("S1 linear_z staged", exchange("//(LANES))", "//(LANES)) + 1", "left", "text")),
    "lanes one too far": (
        "S1 linear_grad_w staged",
        exchange("LANES*a1 + l", "LANES*a1 + l + 1", "lets", "Y_lanes", "value"),
    ),
    "lanes in reverse": (
        "S1 linear_grad_w staged",
        exchange("LANES*a1 + l", "LANES*a1 + LANES - 1 - l", "lets", "Y_lanes", "value"),
    ),
    "taps exchanged": (
        "S1 conv2d_z staged",
        exchange("a2, a3]", "a3, a2]", "lets", "w_lanes", "value"),
    ),
    "bias forgotten": ("S1 linear_z staged", exchange("b[o] + ", "", "left", "text")),
    "any groups": (
        "S1 conv2d_z staged",
        both(put("fixed", value={}), put("free", 1, 1, value="G*OG")),
    ),
    "one group of many": ("S1 conv2d_z staged", put("fixed", value={})),
    "any stride": ("S1 conv2d_grad_Y staged", put("fixed", value={"G": 1})),
    "no lane at all": ("S1 linear_z staged", put("sizes", value={"LANES": 0})),
    "ragged tile": ("S1 conv2d_z tile x", put("facts", value=[])),
    "tile not over all": ("S1 conv2d_z tile x", exchange("+ x_t", "+ 1", "goals", 2)),
    "lanes without the last block": (
        "S1 conv2d_z lanes",
        put("where", "BLOCKS", value="OG//LANES"),
    ),
    "a whole vector left over": (
        "S1 conv2d_z lanes",
        put("where", "BLOCKS", value="OG//LANES + 1"),
    ),
    "chunks that overlap": ("S1 linear_z chunks", exchange("CHUNK*(", "(CHUNK - 1)*(", "goals", 1)),
    "work-items exchanged": (
        "S1 conv2d_z work-items",
        exchange("%BLOCKS2", "%BLOCKS1", "goals", 2),
    ),
    "two places for a register": (
        "S1 conv2d_z registers",
        exchange("< TILE0*TILE1*TILE2", "< TILE0*TILE1", "goals", 4),
    ),
    "column-major": (
        "S1 linear row-major 2",
        put("goals", value=["place1*EXTENT0 + place0 == id"]),
    ),
    "a border folded in": ("S1 conv2d_z Y_halo", put("facts", value=[])),
    "a border too narrow": ("S1 conv2d_z Y_halo", exchange("KH", "KH - 1", "goals", -2)),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_a_false_step_is_refused(name: str) -> None:
    which, spoil = MUTANTS[name]
    spoiled = claim(which)
    spoil(spoiled)
    spoiled["claim"] += f", {name}"
    operator_name = which.split()[1].split("_")[0]
    with pytest.raises(Refused):
        Claim(spoiled, proved(operator_name)[1], {}).check()


def test_a_staged_tensor_hides_no_other_and_depends_on_its_place_only() -> None:
    found = proved("linear")[1]
    for which, entry in {"w": "is a tensor already", "w_lanes": "in the value of w_lanes"}.items():
        spoiled = claim("S1 linear_z staged")
        spoiled["lets"] = {which: {**spoiled["lets"]["w_lanes"], "value": "w[LANES*a0 + l, n]"}}
        with pytest.raises(Refused, match=entry):
            Claim(spoiled, found, {})


# --- the texts ---


@pytest.mark.parametrize("kernel", tiled_kernels())
def test_a_tiled_kernel_equals_its_reference_kernel(kernel: str) -> None:
    result = tiled_comparison(kernel, cases=1, seed=7)
    assert result.passed, result.difference


@pytest.mark.slow
@pytest.mark.parametrize("kernel", tiled_kernels())
def test_a_tiled_kernel_equals_its_reference_kernel_for_many_choices(kernel: str) -> None:
    """Every case compiles a kernel of its own: the most for two operators, some for all."""
    cases = 12 if tiled_kernels()[kernel][0].name in TILED else 6
    result = tiled_comparison(kernel, cases=cases, seed=11)
    assert result.passed, result.difference


WRONG_TEXTS = {
    "a term too few": ("int k = k_0;", "int k = k_0 + 1;"),
    "a chunk forgotten": ("total[t] += part[t]", "total[t] = part[t]"),
    "an element not stored": ("if (o < O)", "if (o < O - 1)"),
    "another lane": ("(&sum)[o_l]", "(&sum)[0]"),
    "the wrong pack": ("LANES * a0 + l < O ?", "LANES * a0 + l < O - 1 ?"),
}


def compared(
    kernel: str, old: str, new: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[Comparison, str]:
    """The comparison of an edited tiled kernel, and its text."""
    operator_, variant, spec = tiled_kernels()[kernel]
    assert spec.tiled is not None
    old, new = (t.replace("(&sum)", "((const REAL *)&sum)") for t in (old, new))
    assert old in spec.tiled.source
    text = spec.tiled.source.replace(old, new)
    wrong = dataclasses.replace(spec, tiled=dataclasses.replace(spec.tiled, source=text))
    monkeypatch.setattr(tiled, "tiled_kernels", lambda: {kernel: (operator_, variant, wrong)})
    return tiled_comparison(kernel, cases=8), text


@pytest.mark.parametrize("name", WRONG_TEXTS)
def test_a_wrong_text_differs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    result, text = compared("linear_z", *WRONG_TEXTS[name], monkeypatch)
    assert re.match(r"linear_z_tiled: element \[.*sizes .*N=\d+.*lanes=", result.difference)
    assert result.sha256 == hashlib.sha256(text.encode()).hexdigest()


WRONG_AROUND = {
    "no eps": ("layer_norm_grad_mean", "sqrt(eps + var[m])", "sqrt(var[m] + 1)"),
    "eps outside the root": ("layer_norm_grad_mean", "sqrt(eps + var[m])", "(eps + sqrt(var[m]))"),
    "no root": ("group_norm_grad_mean", "sqrt(eps", "(eps"),
    "another sign": ("group_norm_grad_mean", "-sum0", "sum0"),
    "no mean over the classes": ("cross_entropy_soft", "sum0 / (REAL)C", "sum0"),
    "no label is left out": ("cross_entropy_soft", "ignore == t[n] ?", "C < 0 ?"),
    "the next label": ("cross_entropy_soft", "t[n] ?", "t[n] + 1 ?"),
}


@pytest.mark.parametrize("name", WRONG_AROUND)
def test_a_wrong_text_around_the_sum_differs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel, old, new = WRONG_AROUND[name]
    result, _ = compared(kernel, old, new, monkeypatch)
    assert result.difference.startswith(f"{kernel}_tiled: element ")


def test_a_kernel_without_a_tiled_form_is_refused() -> None:
    with pytest.raises(GradproofError, match=r"'relu_z' has no tiled form, expected one of .*conv"):
        tiled_comparison("relu_z")


def test_a_tile_that_does_not_divide_is_refused() -> None:
    import numpy as np

    import gradproof as gp

    x, w = (gp.tensor(np.ones(s, "float32")) for s in ((3, 4), (5, 4)))
    refused = pytest.raises(GradproofError, match="a tile of 2 for n, expected a divisor of 3")
    with refused, schedule("tiled", Choice(4, (("n", 2),), 1)):
        gp.functional.linear(x, w)


# --- the rows of the ledger ---


def test_rows_say_tested_only_of_the_recorded_text_that_was_compared() -> None:
    section = tiled_section(operators()["linear"], MANIFEST["linear"])
    assert section["linear_z"]["claims"][0] == "S1 linear_z staged"
    for entry in section.values():
        data = (generated_folder() / entry["file"]).read_bytes()
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()
    sha = section["linear_z"]["sha256"]
    good = Comparison("linear", "linear_z", sha, "float64", 3)
    results = {
        "tested": [good],
        "untested": [],
        "failed": [dataclasses.replace(good, difference="element [0] is 1, 2 in linear_z")],
    }
    for status, comparisons in results.items():
        row = tiled_rows({"linear_z": section["linear_z"]}, comparisons)[0]
        assert (row["claim"], row["status"]) == ("S2 linear_z text", status)
    (row,) = tiled_rows({"linear_z": section["linear_z"]}, [dataclasses.replace(good, sha256="0")])
    assert row["status"] == "failed"
    assert "not the one that was recorded" in row["statement"]
