"""The convolution's claims are proved and re-checked; what is false of it is not provable."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from gradproof.derive.checker import (
    Certificates,
    Operator,
    Refused,
    Source,
    check_named,
    scale,
    show,
    var,
)
from gradproof.derive.claims import claims
from gradproof.derive.claims.named import NAMED
from gradproof.derive.ops.conv2d import conv2d
from gradproof.derive.prove.bijection import rewrites, solve
from gradproof.derive.prove.finder import Finder
from gradproof.derive.prove.lemmas import prove_with_lemmas
from gradproof.derive.prove.record import definition_record

ENTRY: dict[str, Any] = {
    "kernels": {},
    "variants": {"conv2d": {"without": [], "forward": [], "backward": []}},
}
CLAIMS = {c["claim"]: c for c in claims("conv2d")}
PHASES = [name for name in CLAIMS if name.startswith("G6 phases")]
SAMPLE = {
    f"G6 phases, {axis}, S = {s}, D = {d}" for axis, s, d in [("rows", 3, 2), ("columns", 4, 2)]
}
OPERATORS = ["correlate", "transpose", "flip", "upsample", "pad", "keep", "exchange", "regroup"]
OPERATORS += ["add_bias", "total_per_channel"]
ALWAYS = [n for n in CLAIMS if n not in PHASES] + [n for n in PHASES if n in SAMPLE]


class WithoutKernels(Operator):
    """Only claims are looked at; a kernel stores what its equation says."""

    def variant(self, name: str, variant: Any, base: Any) -> None:
        base.values.update(base.system.equations)


class NoExample(Finder):
    """Gives up without a counterexample, which takes longer than everything else."""

    equal = Certificates.equal


def record(*chosen: Any) -> dict[str, Any]:
    """A record with these claims, and no certificate yet."""
    empty: dict[str, Any] = {"proofs": {}, "maps": {}, "cofactors": {}, "limits": []}
    return {"definition": definition_record(conv2d), "claims": list(chosen), **empty}


def operator(found: Any, certificates: Any = None) -> WithoutKernels:
    """The operator on a record, to be checked or, with a finder, completed."""
    return WithoutKernels(found, ENTRY, Source("none.cl", ""), certificates)


def proved(claim: Any, finder: type[Finder] = NoExample) -> dict[str, Any]:
    """The record after a search for all that this claim needs. Errors: Refused."""
    found = record(claim)
    operator(found, finder(found)).check(NAMED)
    return found


def changed(claim: str, old: str, new: str) -> dict[str, Any]:
    """A claim with a part of its text replaced."""
    text = json.dumps(CLAIMS[claim])
    assert old in text, f"{claim} has no {old}"
    return json.loads(text.replace(old, new))  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    "name", [*ALWAYS, *(pytest.param(n, marks=pytest.mark.slow) for n in PHASES if n not in SAMPLE)]
)
def test_claim_is_found_and_rechecked(name: str) -> None:
    found = json.loads(json.dumps(proved(CLAIMS[name])))
    ledger = operator(found).check(NAMED)
    assert [row["claim"] for row in ledger] == [name]
    assert ledger[0]["status"] == "proved"


def test_every_claim_has_its_own_name() -> None:
    assert len(CLAIMS) == len(claims("conv2d"))
    letters = ["F1", "F2", "G1", "G2", "G3", "G4", "G5", "G6", "G7", "G8"]
    assert sorted({name[:2] for name in CLAIMS}) == letters


def test_phases_cover_all_small_strides_and_dilations() -> None:
    wanted = {
        f"G6 phases, {axis}, S = {s}, D = {d}"
        for axis in ("rows", "columns")
        for s in range(1, 5)
        for d in range(1, 5)
    }
    assert wanted | {"G6 phases, every stride, D = 1"} == set(PHASES)


def test_closed_forms_have_no_subscripts() -> None:
    texts = [c["right"]["tensor"] for c in CLAIMS.values() if "tensor" in c.get("right", {})]
    assert len(texts) == 10
    assert not any("[" in t for t in texts)


def test_named_operators_read_inside_their_operands() -> None:
    empty: dict[str, Any] = {"tensors": {}, "lower": {}, "derived": {}, "sizes": []}
    mine = {name: NAMED[name] for name in OPERATORS}
    closed = {"operators": mine, "proofs": {}, "maps": {}, "cofactors": {}, "definition": empty}
    check_named(closed, Finder(closed))
    outside = copy.deepcopy(NAMED["keep"])
    outside["value"] = "Y[n, c, SH*x + 1, SW*y]"
    with pytest.raises(Refused, match="keep"):
        check_named({**closed, "operators": {"keep": outside}}, Finder({**closed, "proofs": {}}))


G2, G4, G7 = (
    "G2 input gradient is a convolution",
    "G4 padding is deleted",
    "G7 weight gradient is a correlation",
)
TAIL, SPLIT = "G6 the tail that no output saw", "G6 phases, rows, S = 3, D = 2"
FALSE = {
    "G2 without the flip": (G2, "flip(w)", "w"),
    "G2 without the exchange of channels": (G2, "transpose(flip(w), G)", "flip(w)"),
    "G2 with K for K - 1": (G2, "DH*(KH - 1) - PT", "DH*KH - PT"),
    "G2 one row lower": (
        G2,
        "DH*(KH - 1) - PT, DH*(KH - 1) - PB",
        "DH*(KH - 1) - PT + 1, DH*(KH - 1) - PB - 1",
    ),
    "G2 with the two sides' padding exchanged": (
        G2,
        "DH*(KH - 1) - PT, DH*(KH - 1) - PB",
        "DH*(KH - 1) - PB, DH*(KH - 1) - PT",
    ),
    "G2 with r before, not behind": (
        G2,
        "- PT, DH*(KH - 1) - PB + RH",
        "- PT + RH, DH*(KH - 1) - PB",
    ),
    "G2 without r": (G2, "- PB + RH", "- PB"),
    "G2 with stride and dilation exchanged": (
        G2,
        "upsample(grad_z, SH, SW)",
        "upsample(grad_z, DH, DW)",
    ),
    "G2 with the axes' strides exchanged": (
        G2,
        "upsample(grad_z, SH, SW)",
        "upsample(grad_z, SW, SH)",
    ),
    "G2 without the dilation": (G2, "G, DH, DW)", "G, 1, 1)"),
    "G2 at stride 1 without the flip": ("G2 at stride 1, no padding", "flip(w)", "w"),
    "G4 with the padding kept": (G4, "-PT, -PB, -PL, -PR)", "0, 0, 0, 0)"),
    "G4 with the other side's padding deleted": (G4, "-PT, -PB,", "-PB, -PT,"),
    "G7 not upsampled": (G7, "upsample(grad_z, SH, SW)", "grad_z"),
    "G7 sampled at the stride": (G7, "DH, DW), 0", "SH, SW), 0"),
    "G7 not cropped": (G7, "-(RH//DH)", "0"),
    "G7 cropped before, not behind": (G7, "0, -(RH//DH)", "-(RH//DH), 0"),
    "G7 in one group": ("G7 at stride 1, no padding", "regroup(Y, G)", "exchange(Y)"),
    "F1 without the stride": ("F1 forward as a composition", ", SH, SW)", ", 1, 1)"),
    "F1 with the kernel flipped": ("F1 forward as a composition", ", w, G", ", flip(w), G"),
    "F2 with x - u": ("F2 influence at stride 1, no padding", "u - x", "x - u"),
    "F2 with the padding's sign": ("F2 influence", "u + PT", "u - PT"),
    "G1 with stride and dilation exchanged": ("G1 input gradient", "SH*x + DH*i", "DH*x + SH*i"),
    "G3 without r": ("G3 size", " + RH", ""),
    "G3 with O for O - 1": ("G3 size", "SH*(OH - 1)", "SH*OH"),
    "G3 at the wrong tap": (
        "G3 every position has a tap, other rows",
        "(u - KH + 1) < OH",
        "(u - KH + 1) < OH - 1",
    ),
    "G6 with the tail one too long": (TAIL, "u + PT <= SH", "u + PT < SH"),
    "G6 with the zeros before, not behind": ("G6 gradient of keeping every S-th", "0, RH", "RH, 0"),
    "G6 phases with x' + m": (SPLIT, "- 2*m", "+ 2*m"),
    "G6 phases with the inverse of another dilation": (
        SPLIT,
        "(2*((u + PT))) % 3",
        "(1*((u + PT))) % 3",
    ),
    "G6 phases with too few taps": (SPLIT, " + 3 - 1)//3", ")//3"),
    "G6 phases without the divisor": (
        "G6 phases, rows, S = 2, D = 2",
        " and (u + PT) % 2 == 0",
        "",
    ),
}


LONGER = {
    "G2 with r before, not behind",
    "G2 one row lower",
    "G4 with the other side's padding deleted",
    "G7 cropped before, not behind",
    "G6 phases with the inverse of another dilation",
    "G6 phases with too few taps",
}


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=pytest.mark.slow if c in LONGER else ()) for c in FALSE]
)
def test_false_claim_is_refused(case: str) -> None:
    """Because it is false, not because its text cannot be read."""
    with pytest.raises(Refused, match=r"no certificate|the two sides|does not follow|G\*CG is N"):
        proved(changed(*FALSE[case]))


def test_false_claim_comes_with_values() -> None:
    with pytest.raises(Refused, match=r"does not follow; at .*SH = 2"):
        proved(changed("G3 size", " + RH", ""), Finder)
    with pytest.raises(Refused, match=r"differ at .*KH = 2.* on the left, .* on the right"):
        proved(changed(*FALSE["G2 without the flip"]), Finder)


UNSEEN = "G6 a position that no output saw, r = 0"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"u": 1', '"u": 2', "there is a term"),
        ('"u": 1', '"u": 7', "the example breaks"),
        ('"H": 6', '"H": 7', "the example breaks"),
        ('"OH": 2', '"OH": 3', "the example breaks"),
        ('"u": 1', '"u": 1.5', "not of integers"),
        ('"u": 1', '"w": 1', "open"),
    ],
)
def test_false_example_is_refused(old: str, new: str, message: str) -> None:
    with pytest.raises(Refused, match=message):
        proved(changed(UNSEEN, old, new))


def test_certificate_of_another_claim_is_refused() -> None:
    found = proved(CLAIMS[G2])
    found["claims"] = [changed(G2, "flip(w)", "w")]
    with pytest.raises(Refused, match="G2"):
        operator(found).check(NAMED)


def test_false_rewrite_is_refused() -> None:
    """A subscript is replaced only by one that was shown to be equal."""
    name = "G7 at stride 1, no padding"
    found = proved(CLAIMS[name])
    (entry,) = found["maps"][name]
    tensor, _, wanted = entry["rewrite"][0]
    entry["rewrite"].append([tensor, wanted, wanted + " + 1"])
    with pytest.raises(Refused, match="there"):
        operator(found).check(NAMED)


def test_two_coprime_multiples_give_the_index() -> None:
    v, a, b = var("v"), var("a"), var("b")
    loops = (("v", ()),)
    equations = [("t", scale(v, 3), a), ("t", scale(v, 2), b)]
    assert show(solve(loops, equations, [], {})["v"]) == "a - b"
    assert show(solve(loops, equations[:1], [], {})["v"]) == "((a)//(3))"
    assert show(solve(loops, [*equations, ("t", v, a)], [], {})["v"]) == "a"


def test_rewrites_name_the_subscripts_that_differ() -> None:
    n, m = var("n"), var("m")
    assert rewrites([("Y", n, m), ("w", n, n)], {"n": n}) == [("Y", n, m)]


def test_digits_are_unique() -> None:
    """k = c*q + e with 0 <= e < c: q = k//c and e = k%c, at once."""
    from gradproof.derive.checker import Text, divisions, thaw

    def read(*lines: str) -> list[Any]:
        return thaw(g for line in lines for g in Text({}).guards(line))

    facts = read("c >= 1", "e >= 0", "c - 1 - e >= 0", "c*q + e == k")
    goals = read("q == k//c", "e == k % c", "k//c == q - 1")
    facts += divisions(facts + goals)
    assert prove_with_lemmas(facts, goals)[1] == [2]
