"""What is claimed of every operator but the convolution: found, re-checked, false ones refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from gradproof.codegen.generate import generated_folder
from gradproof.derive import claims as claims_package
from gradproof.derive.checker import (
    Certificates,
    Claim,
    Kernel,
    Operator,
    Refused,
    Source,
    check_named,
    exponential,
)
from gradproof.derive.claims import claims
from gradproof.derive.claims.layers import LAYERS
from gradproof.derive.claims.named import NAMED
from gradproof.derive.prove.finder import Finder
from gradproof.derive.prove.record import definition_record
from gradproof.derive.registry import operators

NAMES = [
    "adam",
    "adamw",
    "adaptive_avg_pool2d",
    "add",
    "avg_pool2d",
    "avg_pool2d_valid",
    "batch_norm",
    "batch_norm_inference",
    "dropout",
    "linear",
    "max_pool2d",
    "mse",
    "relu",
    "running_average",
    "sgd",
    "sgd_momentum",
    "sgd_nesterov",
    "softmax_cross_entropy",
]
Record = dict[str, Any]


class ClaimsOnly(Operator):
    """The claims of an operator; what its kernels store is read, and shown elsewhere."""

    def kernel(self, name: str, base: Any, meaning: Any) -> None:
        k = Kernel(base.system, self.kernels[name], self.certificates, base)
        target, value = k.run()
        base.values[target] = [i for i, _ in k.grid], value

    def inside(self, name: str, base: Any) -> None:
        """Shown elsewhere."""


@cache
def manifest() -> Any:
    return json.loads((generated_folder() / "manifest.json").read_text("utf-8"))["operators"]


def empty_record(name: str, wanted: list[Record]) -> Record:
    sections: Record = {"proofs": {}, "maps": {}, "cofactors": {}}
    definition = definition_record(operators()[name])
    return {"definition": definition, "limits": [], "claims": wanted, **sections}


def check(record: Record, certificates: Certificates) -> list[Record]:
    name = record["definition"]["name"]
    text = (generated_folder() / f"{name}.cl").read_text("utf-8")
    source = Source(f"{name}.cl", text)
    ledger = ClaimsOnly(record, manifest()[name], source, certificates).check(NAMED)
    return [row for row in ledger if not row["claim"].endswith("=0")]


@cache
def found(name: str) -> Record:
    """An operator's record with everything that the search has found."""
    record = empty_record(name, claims(name))
    check(record, Finder(record))
    return json.loads(json.dumps(record))  # type: ignore[no-any-return]


def test_every_file_of_claims_is_that_of_an_operator() -> None:
    """A file under another name would be found by nobody."""
    files = {f.stem for f in Path(claims_package.__path__[0]).glob("*.py")}
    others = {"__init__", "form", "layers", "named", "windows", "conv2d_phases"}
    assert files - others == {*NAMES, "conv2d"} == {n for n in operators() if claims(n)}
    assert others <= files


WITHOUT = sorted({*operators()} - {*NAMES, "conv2d"})


@pytest.mark.parametrize("name", WITHOUT)
def test_what_has_no_closed_form_has_proved_kernels(name: str) -> None:
    """Nothing is claimed of it but its kernels, and all of that is proved from its certificates."""
    folder = generated_folder()
    record = json.loads((folder / "proofs" / f"{name}.json").read_text("utf-8"))
    source = Source(f"{name}.cl", (folder / f"{name}.cl").read_text("utf-8"))
    ledger = Operator(record, manifest()[name], source, Certificates(record)).check(NAMED)
    status = {row["claim"]: row["status"] for row in ledger}
    whats = ("equation", "once", "range", "int32")
    kernels = {f"{k}.{what}" for k in manifest()[name]["kernels"] for what in whats}
    assert kernels <= set(status)
    assert {*status.values()} == {"proved"}
    own = {c.split()[0] for c in status if " " in c and c.partition(" in ")[0] not in kernels}
    assert own <= {"S1"}


def test_named_operators_have_names_of_their_own() -> None:
    for name, record in LAYERS.items():
        assert NAMED[name] is record


def test_named_operators_are_used() -> None:
    used = json.dumps([claims(name) for name in operators()])
    assert [name for name in LAYERS if f"{name}(" not in used] == []


def test_named_operators_read_inside() -> None:
    record: Record = {"operators": LAYERS, "proofs": {}, "maps": {}, "cofactors": {}}
    empty: Record = {"tensors": {}, "lower": {}, "derived": {}, "sizes": []}
    ledger = check_named(record, Finder({"definition": empty, **record}))
    assert [row["claim"] for row in ledger] == [f"{n} is defined" for n in LAYERS]


@pytest.mark.parametrize("name", NAMES)
def test_claims_are_found_and_checked(name: str) -> None:
    record = found(name)
    ledger = check(record, Certificates(record))
    assert [row["claim"] for row in ledger] == [c["claim"] for c in claims(name)]
    assert {row["status"] for row in ledger} == {"proved"}


def test_names_of_claims_are_unique_and_say_which() -> None:
    names = [c["claim"] for name in operators() for c in claims(name)]
    assert len(names) == len({*names})
    own = {c["claim"][:3] for name in NAMES for c in claims(name)}
    assert own == {"B1 ", "B2 ", "B3 ", "L1 ", "T1 "}


# -- false claims -------------------------------------------------------------------------------
def right(old: str, new: str) -> Callable[[Record], None]:
    """A change of the right side's text."""

    def change(claim: Record) -> None:
        ((kind, text),) = claim["right"].items()
        assert old in text
        claim["right"] = {kind: text.replace(old, new)}

    return change


def text(new: str) -> Callable[[Record], None]:
    """Another right side."""
    return lambda claim: claim.update(right={"text": new})


def goals(*new: str) -> Callable[[Record], None]:
    """Other goals."""
    return lambda claim: claim.update(goals=list(new))


def facts(*new: str) -> Callable[[Record], None]:
    """Other hypotheses."""
    return lambda claim: claim.update(facts=list(new))


MUTANTS: list[tuple[str, str, str, Callable[[Record], None]]] = [
    ("batch_norm", "B1 biased variance", "m - 1 for m", right("inv(N*L)", "inv(N*L - 1)")),
    ("batch_norm", "B1 biased variance", "N for N*L", right("inv(N*L)", "inv(N)")),
    ("batch_norm", "B1 variance by moments", "mean for its square", right("**2", "")),
    ("batch_norm", "B1 variance by moments", "sign", right("- mean", "+ mean")),
    (
        "batch_norm",
        "B2 centred values",
        "not centred",
        lambda c: c.update(left={"tensor": "channel_sums(X)"}),
    ),
    ("batch_norm", "B2 input gradient", "m - 1 for m", right("inv(N*L)", "inv(N*L - 1)")),
    ("batch_norm", "B2 input gradient", "sign", right("minus(minus(", "minus(plus(")),
    (
        "batch_norm",
        "B2 input gradient",
        "no mean of g",
        right("spread(channel_sums(grad_y), N, L)", "spread(vector_scaled(mean, 0), N, L)"),
    ),
    (
        "batch_norm",
        "B2 input gradient",
        "no term of the variance",
        right("channel_sums(times(grad_y,", "channel_sums(times(scaled(grad_y, 0),"),
    ),
    (
        "batch_norm",
        "B2 input gradient",
        "no gamma",
        right("spread(gamma, N, L)", "spread(vector_scaled(gamma, 2), N, L)"),
    ),
    (
        "batch_norm",
        "B2 input gradient without gamma",
        "var for its root",
        right("deviate(var, eps)", "var"),
    ),
    (
        "batch_norm",
        "B2 weight gradient",
        "not normalised",
        right("normalise(X, mean, var, eps)", "X"),
    ),
    (
        "batch_norm",
        "B2 bias gradient",
        "mean for sum",
        right("channel_sums(grad_y)", "vector_scaled(channel_sums(grad_y), inv(N*L))"),
    ),
    (
        "batch_norm",
        "B3 unbiased variance",
        "biased for unbiased",
        right("inv(N*L - 1)", "inv(N*L)"),
    ),
    ("batch_norm", "B3 unbiased divisor", "one value", facts("N*L >= 1")),
    ("batch_norm_inference", "B3 inference", "no eps", right("eps)", "0)")),
    (
        "batch_norm_inference",
        "B3 inference input gradient",
        "training's",
        right("grad_y)", "minus(grad_y, spread(channel_sums(grad_y), N, L)))"),
    ),
    (
        "running_average",
        "B3 running average",
        "momentum the other way",
        right("old, 1 - momentum", "old, momentum"),
    ),
    (
        "linear",
        "L1 linear input gradient",
        "transposed",
        right("(grad_z, w)", "(grad_z, matrix_transpose(matrix_transpose(matrix_scaled(w, 2))))"),
    ),
    (
        "linear",
        "L1 linear weight gradient",
        "transposed",
        right("matmul(matrix_transpose(grad_z), Y)", "matmul(matrix_transpose(Y), grad_z)"),
    ),
    ("linear", "L1 linear", "axes", right("matrix_transpose(w)", "w")),
    (
        "relu",
        "L1 relu gradient",
        "at the output's gradient",
        right("(grad_z, Y)", "(grad_z, grad_z)"),
    ),
    ("relu", "L1 relu gradient", "1 at 0", text("where(Y[i] < 0, 0, grad_z[i])")),
    ("dropout", "L1 dropout gradient", "no scale", right("scale", "1")),
    (
        "dropout",
        "L1 dropout gradient",
        "> for >=",
        text("where(philox(key0, key1, i, call) > threshold, scale*grad_z[i], 0)"),
    ),
    ("add", "L1 residual addition", "difference", right("vector_sum", "vector_minus")),
    ("avg_pool2d", "L1 average pool gradient", "no remainder", lambda c: c["where"].update(RH="0")),
    (
        "avg_pool2d",
        "L1 average pool gradient",
        "K for K - 1",
        right("KH - 1 - PT, KH - 1 - PB", "KH - PT, KH - 2 - PB"),
    ),
    ("avg_pool2d", "L1 average pool", "K for K*K", right("inv(KH*KW)", "inv(KH)")),
    (
        "avg_pool2d_valid",
        "L1 average pool without padding",
        "not counted",
        right(", count)", ", taps(OH, OW, H, W, KH, KW, SH, SW, 0, 0))"),
    ),
    (
        "avg_pool2d_valid",
        "L1 average pool, windows that start inside, rows",
        "padding of K",
        facts("PT <= KH", "PB <= KH", "SH*x - PT >= 0"),
    ),
    (
        "adaptive_avg_pool2d",
        "L1 adaptive windows, rows",
        "< for <=",
        goals("((x + 1)*H + OH - 1)//OH - 1 <= H - 2"),
    ),
    ("max_pool2d", "L1 maximum gradient", "axes", right("KH, KW, SH", "KW, KH, SH")),
    (
        "max_pool2d",
        "L1 maximum gradient",
        "stride for dilation",
        right("SH, SW, DH, DW", "DH, DW, SH, SW"),
    ),
    (
        "max_pool2d",
        "L1 position of the maximum",
        "another tie",
        text(
            "argmax[j:KW, i:KH](Y[n, c, SH*x + DH*i - PT, SW*y + DW*j - PL], "
            "0 <= SH*x + DH*i - PT < H, 0 <= SW*y + DW*j - PL < W)"
        ),
    ),
    ("max_pool2d", "L1 an earlier row comes first", "i <= k", facts("i <= k")),
    ("max_pool2d", "L1 tap of a position", "KH for KW", goals("p//KH <= KH - 1")),
    ("mse", "L1 squared error, gradient of the input", "no 2", right("2*", "")),
    ("mse", "L1 squared error, gradient of the target", "sign", right("(t, a)", "(a, t)")),
    ("mse", "T1 mean reduction", "sum", right("inv(T)", "1")),
    (
        "softmax_cross_entropy",
        "L1 cross-entropy gradient",
        "no onehot",
        right("onehot(t, C)", "matrix_scaled(onehot(t, C), 0)"),
    ),
    (
        "softmax_cross_entropy",
        "L1 cross-entropy gradient",
        "sign",
        right("(softmax(a), onehot(t, C))", "(onehot(t, C), softmax(a))"),
    ),
    (
        "softmax_cross_entropy",
        "L1 softmax is free of shifts",
        "twice the logits",
        right("softmax(a)", "softmax(matrix_scaled(a, 2))"),
    ),
    ("adam", "T1 Adam", "eps under the root", right("scale, eps", "scale + eps, 0")),
    ("adam", "T1 Adam square", "not squared", right("vector_times", "vector_sum")),
    ("adamw", "T1 AdamW", "the decay not times lr", right("1 - lr*weight", "1 - weight")),
    ("sgd", "T1 weight decay", "sign", right("vector_minus", "vector_sum")),
    ("sgd_momentum", "T1 momentum", "the old velocity", right("momentum)", "1)")),
    (
        "sgd_nesterov",
        "T1 Nesterov",
        "no look-ahead",
        right("vector_scaled(vector_sum", "vector_scaled(vector_minus"),
    ),
]


@pytest.mark.parametrize(
    ("name", "claim", "change"),
    [(n, c, f) for n, c, _, f in MUTANTS],
    ids=[f"{c}: {what}" for _, c, what, _ in MUTANTS],
)
def test_a_false_claim_is_refused(name: str, claim: str, change: Callable[[Record], None]) -> None:
    false = copy.deepcopy(next(c for c in claims(name) if c["claim"] == claim))
    change(false)
    record = empty_record(name, [false])
    with pytest.raises(Refused):
        check(record, Finder(record))
    known = copy.deepcopy(found(name))
    forged = {**known, "claims": [false]}
    with pytest.raises(Refused):
        check(forged, Certificates(forged))


# -- what the checker asks of claims ------------------------------------------------------------
def claim_on(name: str, claim: Record, kind: Callable[[Record], Certificates] = Finder) -> Claim:
    record = empty_record(name, [])
    source = Source(f"{name}.cl", (generated_folder() / f"{name}.cl").read_text("utf-8"))
    operator = ClaimsOnly(record, manifest()[name], source, kind(record))
    operator.check(NAMED)
    return Claim({"claim": "L1 test", "statement": "", **claim}, operator, NAMED)


def test_an_index_of_a_sum_does_not_meet_a_place_of_its_name() -> None:
    """Over the sum's own n the delta would vanish, and the two sides would seem equal."""
    claim = {
        "free": [["n", "N"], ["o", "O"]],
        "left": {"text": "sum[m:N](grad_z[m, o], m == n)"},
        "right": {"text": "sum[n:N](grad_z[n, o])"},
    }
    with pytest.raises(Refused):
        claim_on("linear", claim).check()


@pytest.mark.parametrize("loops", [[["n", "N"]], [["m", "N"], ["m", "N"]]])
def test_a_map_onto_a_name_that_is_taken_is_refused(loops: list[list[str]]) -> None:
    claim = {
        "free": [["n", "N"], ["o", "O"]],
        "left": {"text": "sum[k:N](grad_z[k, o])"},
        "right": {"text": "sum[k:N](grad_z[k, o]*2)"},
    }
    c = claim_on("linear", claim)
    c.operator.certificates.satisfied("L1 test", c.facts)
    c.operator.certificates = Certificates(c.operator.record)
    i = loops[0][0]
    entry = {"sum": 0, "map": {"k": i}, "back": {i: "k"}, "loops": loops, "guards": []}
    c.operator.record["maps"]["L1 test"] = [{**entry, "witness": {"N": 2, "O": 2, "n": 1, "k": 1}}]
    with pytest.raises(Refused, match="has the name of something else"):
        c.check()


def test_a_tensor_of_another_size_is_refused() -> None:
    claim = {
        "free": [["n", "N"], ["k", "K"]],
        "left": {"adjoint": "Y"},
        "right": {"tensor": "matmul(Y, w)"},
    }
    with pytest.raises(Refused, match="size"):
        claim_on("linear", claim).check()


def test_a_tensor_of_another_rank_is_refused() -> None:
    claim = {"free": [], "left": {"text": "0"}, "right": {"tensor": "matmul(Y, b)"}}
    with pytest.raises(Refused, match="b has 2 dimensions, not 1"):
        claim_on("linear", claim).check()


def test_a_tensor_of_another_type_is_refused() -> None:
    claim = {"free": [], "left": {"text": "0"}, "right": {"tensor": "onehot(b, K)"}}
    with pytest.raises(Refused, match="elements of t are int, not real"):
        claim_on("linear", claim).check()


def test_sizes_of_named_operators_are_shown_in_texts_too() -> None:
    claim = {
        "free": [["o", "O"]],
        "left": {"text": "ones(O, O, -O)[o, o, o, o]"},
        "right": {"text": "1"},
    }
    with pytest.raises(Refused, match="size"):
        claim_on("linear", claim).check()


def test_exponentials_of_sums() -> None:
    base = claim_on("softmax_cross_entropy", {"free": [], "left": {}, "right": {}}).base
    assert base.relation(["exp", "a[0, 1]", "-a[0, 1]"]) == {}  # exp(0) = exp(a)*exp(-a)
    assert base.relation(["exp", "a[0, 1]*inv(2)", "a[0, 1]*inv(2)"])  # exp(a) = exp(a/2)**2
    with pytest.raises(TypeError):
        base.relation(["exp", "a[0, k]", "m[0]", "k", "C"])


def test_what_is_known_to_be_positive() -> None:
    read = claim_on("softmax_cross_entropy", {"free": [], "left": {}, "right": {}}).text.value
    atoms = {
        "exp(m[0])": True,
        "inv(exp(m[0]))": True,
        "sum[c:C](2*exp(a[0, c])*inv(exp(m[0])))": True,
        "sum[c:C](exp(a[0, c]), c >= 1)": False,
        "sum[c:C-1](exp(a[0, c]))": False,
        "sum[c:C](-exp(a[0, c]))": False,
        "s[0]": False,
    }
    for text, known in atoms.items():
        (((atom, *rest), _),) = read(text).items()
        assert not rest
        assert exponential(atom, {"C", "N"}) is known, text
