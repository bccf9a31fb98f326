"""Phase-split kernels: exact against the definition and the plain kernel, proved, and bound."""

from __future__ import annotations

import copy
import json
import math
import re
from typing import Any

import numpy as np
import pytest

import gradproof as gp
from gradproof.cli.cases import Case, expected
from gradproof.codegen.certify import certify
from gradproof.codegen.generate import generated_folder
from gradproof.codegen.program import build_program
from gradproof.derive.checker import Certificates, Operator, Refused, Source
from gradproof.derive.claims.named import NAMED
from gradproof.derive.expr import Divides, Reduce, integer
from gradproof.derive.language import operator
from gradproof.derive.phases import phase_split
from gradproof.derive.prove.limits import size_limits
from gradproof.derive.prove.record import definition_record
from gradproof.derive.registry import find
from gradproof.derive.registry import operators as definitions
from gradproof.derive.system import derive
from gradproof.runtime.dispatch import Launch
from gradproof.runtime.manifest import operators
from gradproof.runtime.schedule import schedule
from gradproof.runtime.selftest import run_kernels

SPLIT = ("avg_pool2d", "avg_pool2d_valid", "conv2d", "max_pool2d")
TRANSPOSED = [f"conv_transpose{k}d{b}_z" for k in (1, 2, 3) for b in ("", "_without_b")]
SPLIT_KERNELS = (
    *(f"{name}_grad_Y" for name in (*SPLIT, "conv1d", "conv3d")),
    *TRANSPOSED,
    "conv2d_backward_Ybar",
)
NOT_SPLIT = {  # kernel: how many taps there are, where it is no size that a caller gives
    "conv2d_backward_grad_Y": {integer("OH"), integer("OW")},
    "slice_axis_grad_Y": set(),
}
PAIRS = [(s, k) for s in range(1, 5) for k in range(1, 6)]  # strides, taps; K < S too
POOLS = 60  # random sizes of each operator for every chunk


# -- the form ---------------------------------------------------------------------------------
def owner(kernel: str) -> Any:
    (found,) = (op for op in operators().values() if kernel in op.kernels)
    return found


def divided(name: str) -> set[str]:
    """The kernels of an operator whose equations, forward or backward, ask what divides evenly."""
    found = set()
    for v in definitions()[name].variants():
        system = derive(v)
        for part in (p for p in (system.forward, system.backward) if p):
            targets = {e.target for e in part.equations if e.body.atoms(Divides)}
            entry = operators()[name].variants[v.name]
            used = (*entry.forward, *entry.backward)
            found |= {k for k in used if operators()[name].kernels[k].target in targets}
    return found


def test_every_sum_through_a_stride_has_a_phase_split_form() -> None:
    found = {k.of: k.name for op in operators().values() for k in op.kernels.values() if k.of}
    assert {*SPLIT_KERNELS} == {k for name in operators() for k in divided(name)} - {*NOT_SPLIT}
    assert found == {k: f"{k}_phases" for k in SPLIT_KERNELS}


@pytest.mark.parametrize("kernel", NOT_SPLIT)
def test_what_has_no_tap_of_its_own_is_not_split(kernel: str) -> None:
    """No sum to split, or one whose taps are counted by a derived size."""
    d = find(kernel.partition("_grad_")[0])
    backward = derive(d).backward
    assert backward
    e = backward.equation(kernel.removeprefix(f"{d.name}_"))
    taps = {i for r in e.body.atoms(Reduce) for g in r.guards if isinstance(g, Divides)
            for i in g.free_symbols & {*r.bound}}  # fmt: skip
    counts = {n for r in e.body.atoms(Reduce) for i, n in r.indices if i in taps}
    assert counts == NOT_SPLIT[kernel] and not counts & {*d.sizes}
    assert phase_split(backward, e) is None


@pytest.mark.parametrize("split", SPLIT_KERNELS)
def test_no_loop_of_it_divides(split: str) -> None:
    op = owner(split)
    for kernel, divides in ((split, True), (f"{split}_phases", False)):
        first, last = op.kernels[kernel].lines
        text = "\n".join(op.source.splitlines()[first - 1 : last])
        end = f"{op.kernels[kernel].target}[id] ="
        loops = text[text.index("for (") : text.index(end)].split("/count")[0]
        found = [x for x in re.findall(r"[/%] \w+|floor_\w+", loops) if not x.startswith("/ count")]
        assert bool(found) == divides, found


def test_a_dilation_becomes_a_condition() -> None:
    kernels = operators()["conv2d"].kernels
    phases = kernels["conv2d_grad_Y"].phases
    assert phases and phases.when == {"DH": 1, "DW": 1}
    assert phases.kernel is kernels["conv2d_grad_Y_phases"] and phases.kernel.of == "conv2d_grad_Y"
    plain = operators()["avg_pool2d"].kernels["avg_pool2d_grad_Y"].phases
    assert plain and plain.when == {}


def gradient(equation: str, tensors: str, sizes: str, **more: Any) -> Any:
    d = operator(
        "strided", equation, {"Y": tensors, "w": "K", "z": "X"}, outside={"Y": "zero"},
        integers="P", sizes=more.pop("derived", {}), subscripts={"Y": "u", "w": "i"}, **more,
    )  # fmt: skip
    backward = derive(d).backward
    assert backward
    return phase_split(backward, next(e for e in backward.equations if e.target == "grad_Y"))


def test_it_reads_guards_only() -> None:
    split = gradient("z[x] = sum[i:K](Y[S*x + i - P]*w[i])", "U", "")
    assert split and split.when == () and not split.equation.body.atoms(Divides)
    split = gradient("z[x] = sum[i:K](Y[S*x + A*B*i - P]*w[i])", "U", "")
    assert split and [(str(s), v) for s, v in split.when] == [("A", 1), ("B", 1)]


def test_without_a_stride_there_is_nothing_to_split() -> None:
    assert gradient("z[x] = sum[i:K](Y[x + i - P]*w[i])", "U", "") is None


def test_a_dilation_that_cannot_be_1_stays() -> None:
    assert gradient("z[x] = sum[i:K](Y[S*x + 2*i - P]*w[i])", "U", "") is None


def test_two_sums_over_taps_of_one_name_are_proved_too() -> None:
    d = operator(
        "two",
        """
        a[x] = sum[i:K](Y[S*x + D*i - P]*w[i])
        z[x] = sum[i:K](Y[T*x + i - P]*w[i])
        """,
        {"Y": "U", "w": "K", "a": "A", "z": "X"},
        outside={"Y": "zero"}, integers="P", outputs=("a", "z"),
        subscripts={"Y": "u", "w": "i"},
    )  # fmt: skip
    program = build_program(d)
    assert program.entry["kernels"]["two_grad_Y"]["phases"]["when"] == {"D": 1}
    shown = [r["claim"] for r in certify(d, program).ledger if r["status"] == "proved"]
    assert {f"two_grad_Y_phases.{w}" for w in ("equation", "once", "range", "int32")} <= {*shown}


# -- exactness --------------------------------------------------------------------------------
def axis(rng: np.random.Generator, s: int, k: int) -> dict[str, int]:
    """Extent and paddings, negative ones and ones beyond the kernel too."""
    while True:
        extent = int(rng.integers(1, 12))
        before, after = (int(v) for v in rng.integers(-3, k + 3, 2))
        if extent + before + after >= k:
            return {"K": k, "S": s, "before": before, "after": after, "extent": extent}


def sizes_of(name: str, rng: np.random.Generator, pair: tuple[int, int]) -> dict[str, int]:
    """Sizes with one stride and kernel on one axis, and any on the other."""
    axes = [axis(rng, *pair), axis(rng, *PAIRS[int(rng.integers(len(PAIRS)))])]
    rng.shuffle(axes)
    sizes = {"N": int(rng.integers(1, 3))}
    for a, (p, q), x in zip("HW", (("PT", "PB"), ("PL", "PR")), axes, strict=True):
        sizes |= {a: x["extent"], f"K{a}": x["K"], f"S{a}": x["S"], p: x["before"], q: x["after"]}
        sizes |= {f"D{a}": 1} if name in ("conv2d", "max_pool2d") else {}
    more = ("G", "CG", "OG") if name == "conv2d" else ("C",)
    return sizes | {c: int(rng.integers(1, 3)) for c in more}


def windows_hold(name: str, sizes: dict[str, int]) -> bool:
    """Whether every window has a tap inside, where that is asked for."""
    for a, p, q in (("H", "PT", "PB"), ("W", "PL", "PR")):
        n, k, s = sizes[a], sizes[f"K{a}"], sizes[f"S{a}"]
        count = (n + sizes[p] + sizes[q] - k) // s + 1
        starts = [s * x - sizes[p] for x in range(count)]
        if name in ("max_pool2d", "avg_pool2d_valid") and not all(-k < b < n for b in starts):
            return False
    return True


def case_of(name: str, sizes: dict[str, int], rng: np.random.Generator) -> Case:
    d = find(name)
    env = dict(sizes)
    for size, value in operators()[name].derived.items():
        env[size] = eval_size(value, env)
    shapes = {
        t: tuple(eval_size(n, env) for n in spec.shape)
        for t, spec in operators()[name].variants[name].tensors.items()
    }
    operands = {t: rng.integers(-4, 5, shapes[t]) for t in d.inputs}
    return Case(sizes, operands, {"z": rng.integers(-4, 5, shapes["z"])}, {})


def eval_size(text: str, env: dict[str, int]) -> int:
    from gradproof.runtime.sizes import size_expression

    return size_expression(text)(env)


@pytest.mark.parametrize("name", SPLIT)
def test_it_equals_the_plain_kernel_and_the_definition(name: str) -> None:
    """Bit for bit the plain kernel's; the definition's value exactly where nothing is divided."""
    d, op, rng = find(name), operators()[name], np.random.default_rng(7)
    seen = 0
    for turn in range(POOLS):
        pair = PAIRS[turn % len(PAIRS)]
        sizes = sizes_of(name, rng, pair)
        while not windows_hold(name, sizes):
            sizes = sizes_of(name, rng, pair)
        case = case_of(name, sizes, rng)
        truth = expected(d, case, "float32")
        data = (op, op.variants[name], case.operands, case.cotangents, case.sizes, case.scalars)
        plain = {r.target: r.values for r in run_kernels(*data, form="reference")}
        for r in run_kernels(*data, form="phases"):
            seen += r.kernel == f"{name}_grad_Y_phases"
            np.testing.assert_array_equal(r.values, plain[r.target], str(sizes))
            wrong = truth[r.target].first_difference(r.values)
            assert not wrong, f"{r.kernel}: {wrong} with {sizes}"
    assert seen == POOLS


@pytest.mark.parametrize("name", ["conv2d", "max_pool2d"])
def test_with_a_dilation_the_plain_kernel_runs(name: str) -> None:
    op, rng = operators()[name], np.random.default_rng(0)
    sizes = {"N": 1, "H": 9, "W": 9, "KH": 2, "KW": 2, "SH": 2, "SW": 2, "DH": 1, "DW": 2}
    sizes |= dict.fromkeys(("PT", "PB", "PL", "PR"), 0)
    sizes |= dict.fromkeys(("G", "CG", "OG") if name == "conv2d" else ("C",), 1)
    case = case_of(name, sizes, rng)
    data = (op, op.variants[name], case.operands, case.cotangents, case.sizes, case.scalars)
    assert f"{name}_grad_Y" in [r.kernel for r in run_kernels(*data, form="phases")]


# -- which kernel runs ------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("policy", "stride", "dilation", "kernel"),
    [
        ("auto", 2, 1, "conv2d_grad_Y_phases"),
        ("auto", 2, 2, "conv2d_grad_Y"),
        ("phases", 2, 1, "conv2d_grad_Y_phases"),
        ("phases", 1, 1, "conv2d_grad_Y_phases"),
        ("phases", 2, 2, "conv2d_grad_Y"),
        ("reference", 2, 1, "conv2d_grad_Y"),
        ("tiled", 2, 1, "conv2d_grad_Y"),
    ],
)
def test_the_policy_decides(
    monkeypatch: pytest.MonkeyPatch, policy: str, stride: int, dilation: int, kernel: str
) -> None:
    names: list[str] = []
    call = Launch.__call__

    def note(launch: Launch) -> None:
        names.append(launch.kernel.function_name)
        call(launch)

    monkeypatch.setattr(Launch, "__call__", note)
    x = gp.tensor(np.ones((1, 2, 7, 7), np.float32), requires_grad=True)
    w = gp.tensor(np.ones((4, 2, 3, 3), np.float32))
    with schedule(policy):
        out = gp.functional.conv2d(x, w, stride=stride, dilation=dilation)
        out.backward(gp.tensor(np.ones(out.shape, np.float32)))
    assert [n for n in names if "grad_Y" in n] == [kernel]


def test_its_gradient_is_that_of_a_strided_sum() -> None:
    """d/dY sum(z) counts the windows that see an element."""
    x = gp.tensor(np.ones((1, 1, 5, 1), np.float32), requires_grad=True)
    w = gp.tensor(np.ones((1, 1, 3, 1), np.float32))
    with schedule("phases"):
        out = gp.functional.conv2d(x, w, stride=(2, 1))
        out.backward(gp.tensor(np.ones(out.shape, np.float32)))
    assert x.grad is not None
    assert math.prod(out.shape) == 2
    assert x.grad.numpy().ravel().tolist() == [1, 1, 2, 1, 1]


# -- the proof --------------------------------------------------------------------------------
def committed(name: str) -> tuple[Any, Any, str]:
    folder = generated_folder()
    entry = json.loads((folder / "manifest.json").read_text("utf-8"))["operators"][name]
    record = json.loads((folder / "proofs" / f"{name}.json").read_text("utf-8"))
    return record, entry, (folder / f"{name}.cl").read_text("utf-8")


def check(record: Any, entry: Any, text: str) -> list[dict[str, Any]]:
    source = Source(entry["file"], text)
    return Operator(record, entry, source, Certificates(record)).check(NAMED)


@pytest.mark.parametrize("kernel", SPLIT_KERNELS)
def test_all_four_claims_are_proved(kernel: str) -> None:
    name = owner(kernel).name
    rows = {r["claim"]: r for r in check(*committed(name))}
    for what in ("equation", "once", "range", "int32"):
        assert rows[f"{kernel}_phases.{what}"]["status"] == "proved"
    if name == "conv2d":
        assert rows["conv2d_grad_Y_phases.equation"]["formal"].endswith("DH = 1 and DW = 1")
        assert "conv2d_grad_Y_phases.equation in conv2d_without_b" in rows


MUTANTS = [
    ("i_q < OH", "i_q <= OH"),
    ("0 <= i_q", "-1 <= i_q"),
    ("if (i < KH)", "if (i <= KH)"),
    ("const int i_q = sum0_q0 - i_m", "const int i_q = sum0_q0 + i_m"),
    ("PT + u - SH * i_q", "PT + u - SW * i_q"),
    ("= (KH - 1) / SH;", "= (KH - 2) / SH;"),
    ("= (KH - 1) / SH;", "= KH / SH;"),
    ("= (KH - 1) / SH;", "= KH;"),
    ("floor_div(PT + u, SH)", "(PT + u) / SH"),
    ("floor_div(PT + u, SH)", "floor_div(PL + u, SH)"),
    ("KW * i + j", "KW * i - j"),
]


@pytest.mark.parametrize(("old", "new"), MUTANTS)
def test_a_mutated_text_is_refused(old: str, new: str) -> None:
    record, entry, text = committed("max_pool2d")
    at = text.index("__kernel void max_pool2d_grad_Y_phases")
    assert old in text[at:]
    with pytest.raises(Refused, match="max_pool2d_grad_Y_phases"):
        check(record, entry, text[:at] + text[at:].replace(old, new, 1))


BASE, FORM = "conv2d_grad_Y", "conv2d_grad_Y_phases"


ATTACKS: dict[str, tuple[Any, str]] = {
    "another value": (lambda k: k[BASE]["phases"]["when"].update(DH=2), FORM),
    "a value below the bound": (lambda k: k[BASE]["phases"]["when"].update(DH=0), "breaks"),
    "a condition less": (lambda k: k[BASE]["phases"]["when"].pop("DH"), FORM),
    "no condition": (lambda k: k[BASE]["phases"].update(when={}), FORM),
    "a text for a value": (lambda k: k[BASE]["phases"]["when"].update(DH="1"), "not of sizes"),
    "a truth for a value": (lambda k: k[BASE]["phases"]["when"].update(DH=True), "not of sizes"),
    "a derived size": (lambda k: k[BASE]["phases"]["when"].update(OH=1), "not of sizes"),
    "no size": (lambda k: k[BASE]["phases"]["when"].update(Q=1), "not of sizes"),
    "no phases": (lambda k: k[BASE].pop("phases"), "different kernels"),
    "no of": (lambda k: k[FORM].pop("of"), "different kernels"),
    "of another": (lambda k: k[FORM].update(of="conv2d_grad_w"), "different kernels"),
    "a form of itself": (
        lambda k: (k[BASE]["phases"].update(kernel=BASE), k[BASE].update(of=BASE),
                   k[FORM].pop("of")), "has one itself",
    ),
    "another's form": (
        lambda k: (k["conv2d_grad_w"].update(phases=k[BASE].pop("phases")),
                   k[FORM].update(of="conv2d_grad_w")), "not launched like",
    ),
    "a form of two": (
        lambda k: k["conv2d_grad_w"].update(phases=k[BASE]["phases"]), "different kernels",
    ),
    "other work-items": (lambda k: k[FORM].update(work_items="N"), "not launched like"),
    "in place": (lambda k: k[FORM].update(in_place=True), "not launched like"),
    "more arguments": (lambda k: k[BASE]["arguments"].pop(0), "not launched like"),
}  # fmt: skip


@pytest.mark.parametrize("attack", ATTACKS)
def test_manifest_and_checker_mean_the_same(attack: str) -> None:
    change, message = ATTACKS[attack]
    record, entry, text = committed("conv2d")
    entry = copy.deepcopy(entry)
    change(entry["kernels"])
    with pytest.raises(Refused, match=message):
        check(record, entry, text)


def test_a_form_in_a_variant_is_refused() -> None:
    """It is the base's place in the order that counts; a form stands in no variant."""
    record, entry, text = committed("conv2d")
    variant = entry["variants"]["conv2d"]
    variant["backward"] = [FORM if k == BASE else k for k in variant["backward"]]
    with pytest.raises(Refused, match="of no variant"):
        check(record, entry, text)


def test_its_larger_numbers_are_limits_too() -> None:
    d = find("max_pool2d")
    program = build_program(d)
    text, at = program.files["max_pool2d.cl"], program.files["max_pool2d.cl"].index("_phases(")
    more = text[:at] + text[at:].replace("0 <= i_q &&", "0 <= KH * KW * OH && 0 <= i_q &&")
    limits = size_limits(definition_record(d), program.entry, more)
    assert "KH*KW*OH" in limits and "KH*KW*OH" not in program.entry["limits"]


def test_every_definition_keeps_its_plain_kernel() -> None:
    for name in definitions():
        _, entry, _ = committed(name)
        used = {k for v in entry["variants"].values() for k in v["forward"] + v["backward"]}
        assert not any("of" in entry["kernels"][k] for k in used)
        split = {k for k, e in entry["kernels"].items() if "phases" in e}
        assert split == used & {*SPLIT_KERNELS}, name
