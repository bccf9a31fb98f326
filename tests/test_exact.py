"""Kernels against their definitions: exactly where nothing rounds, else within a computed bound.

Operators of +, *, max and comparisons run in float32 on small integers: every partial sum is below
2**24, so a kernel that is right has no rounding at all.
"""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from gradproof.cli.cases import Case, draw, expected, is_exact
from gradproof.derive.adjoint import PREFIX
from gradproof.derive.errors import DefinitionError
from gradproof.derive.interpret import evaluate, gradients
from gradproof.derive.registry import find, operators
from gradproof.runtime.errors import ShapeError
from gradproof.runtime.manifest import operators as compiled
from gradproof.runtime.selftest import run_kernels

VARIANTS = {v.name: (v, compiled()[n]) for n, d in operators().items() for v in d.variants()}
EXACT = [n for n, (v, _) in VARIANTS.items() if is_exact(v)]
ROUNDED = [n for n in VARIANTS if n not in EXACT]
AXES = "HW"


def agree(name: str, case: Case, dtype: str = "float32", form: str = "reference") -> None:
    """Every kernel of one variant computes what the definition says."""
    definition, operator = VARIANTS[name]
    truth = expected(definition, case, dtype)
    data = (case.operands, case.cotangents, case.sizes, case.scalars)
    targets = set()
    variant = operator.variants[name]
    for r in run_kernels(operator, variant, *data, dtype=dtype, form=form):
        wrong = truth[r.target].first_difference(r.values)
        assert not wrong, f"{r.kernel}: {wrong} with {dict(case.sizes)}"
        targets.add(r.target)
    assert {PREFIX + n for n in definition.differentiable} <= targets


# --- the convolution: 2,000 random size tuples ---

CHUNKS, TUPLES = 8, 250


def random_axis(rng: np.random.Generator) -> dict[str, int]:
    """Sizes of one axis: kernel, stride, dilation, paddings and extent of a valid convolution."""
    while True:
        k, s, d = (int(rng.integers(1, n)) for n in (5, 6, 4))
        before, after = (int(v) for v in rng.integers(-3, d * (k - 1) + 3, 2))
        extent = int(rng.integers(1, 10))
        if extent + before + after - d * (k - 1) - 1 >= 0:
            return {"K": k, "S": s, "D": d, "before": before, "after": after, "extent": extent}


def conv_sizes(h: dict[str, int], w: dict[str, int], **channels: int) -> dict[str, int]:
    """The sizes of conv2d from those of its two axes."""
    sizes = {"N": 1, "G": 1, "CG": 1, "OG": 1} | channels
    for axis, a, (before, after) in (("H", h, ("PT", "PB")), ("W", w, ("PL", "PR"))):
        sizes |= {axis: a["extent"], f"K{axis}": a["K"], f"S{axis}": a["S"], f"D{axis}": a["D"]}
        sizes |= {before: a["before"], after: a["after"]}
    return sizes


def features(a: dict[str, int]) -> set[str]:
    """The hard cases that one axis shows."""
    span = a["D"] * (a["K"] - 1)
    rest = (a["extent"] + a["before"] + a["after"] - span - 1) % a["S"]
    found = {
        "stride does not divide": rest > 0,
        "remainder >= dilation": rest >= a["D"],
        "kernel of 1": a["K"] == 1,
        "stride > D(K-1)+1": a["S"] > span + 1,
        "gcd of stride and dilation": math.gcd(a["S"], a["D"]) > 1,
        "padding > D(K-1)": max(a["before"], a["after"]) > span,
        "negative padding": min(a["before"], a["after"]) < 0,
        "asymmetric padding": a["before"] != a["after"],
    }
    return {name for name, shown in found.items() if shown}


def conv_tuples(chunk: int) -> list[dict[str, int]]:
    """Random sizes of conv2d, with groups and channels, none larger than 4,000 multiplications."""
    rng, out = np.random.default_rng(chunk), []
    while len(out) < TUPLES:
        channels = dict(zip(("N", "G", "CG", "OG"), rng.integers(1, 4, 4).tolist(), strict=True))
        h, w = random_axis(rng), random_axis(rng)
        work = math.prod(channels.values()) * math.prod(a["K"] * a["extent"] for a in (h, w))
        if work <= 4000:
            out.append(conv_sizes(h, w, **channels))
    return out


def conv_case(sizes: dict[str, int], rng: np.random.Generator, bias: bool = True) -> Case:
    """Integers from -4 to 4 for a convolution of these sizes."""
    n, g, cg, og, h, w = (sizes[s] for s in ("N", "G", "CG", "OG", "H", "W"))
    shapes = {"Y": (n, g * cg, h, w), "w": (g * og, cg, sizes["KH"], sizes["KW"]), "b": (g * og,)}
    if not bias:
        del shapes["b"]
    out = [
        (sizes[a] + sizes[p] + sizes[q] - sizes[f"D{a}"] * (sizes[f"K{a}"] - 1) - 1)
        // sizes[f"S{a}"]
        + 1
        for a, p, q in (("H", "PT", "PB"), ("W", "PL", "PR"))
    ]
    cotangent = rng.integers(-4, 5, (n, g * og, *out))
    operands = {name: rng.integers(-4, 5, shape) for name, shape in shapes.items()}
    return Case(sizes, operands, {"z": cotangent}, {})


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_convolution_is_exact_for_random_sizes(chunk):
    rng = np.random.default_rng(100 + chunk)
    for k, sizes in enumerate(conv_tuples(chunk)):
        bias = k % 5 > 0
        agree("conv2d" if bias else "conv2d_without_b", conv_case(sizes, rng, bias))


def test_the_random_sizes_hold_every_hard_case():
    tuples = [t for chunk in range(CHUNKS) for t in conv_tuples(chunk)]
    assert len(tuples) >= 2000
    seen: Counter[str] = Counter()
    for t in tuples:
        for axis, p, q in (("H", "PT", "PB"), ("W", "PL", "PR")):
            a = {"K": t[f"K{axis}"], "S": t[f"S{axis}"], "D": t[f"D{axis}"]}
            seen.update(features(a | {"extent": t[axis], "before": t[p], "after": t[q]}))
        seen["grouped"] += t["G"] > 1
        seen["depthwise"] += t["G"] > 1 and t["CG"] == 1
        seen["rectangular kernel"] += t["KH"] != t["KW"]
    assert len(seen) == 11
    assert min(seen.values()) >= 20, seen


# --- the convolution: every hard case by name, sizes (extent, K, S, D, before, after) per axis ---

HARD = {
    "plain": ((6, 3, 1, 1, 0, 0), (6, 3, 1, 1, 0, 0)),
    "stride does not divide": ((8, 3, 2, 1, 0, 0), (9, 2, 3, 1, 0, 1)),
    "remainder >= dilation": ((9, 2, 3, 1, 0, 0), (9, 2, 5, 2, 0, 0)),
    "padding > D(K-1)": ((3, 2, 1, 1, 3, 2), (2, 1, 1, 1, 2, 3)),
    "kernel of 1": ((5, 1, 1, 1, 0, 0), (6, 1, 2, 3, 0, 0)),
    "kernel of 1 with padding": ((3, 1, 1, 1, 1, 1), (3, 1, 2, 1, 2, 0)),
    "stride > D(K-1)+1": ((9, 2, 4, 1, 0, 0), (9, 2, 5, 2, 1, 0)),
    "gcd of stride and dilation": ((9, 3, 2, 2, 1, 0), (10, 2, 4, 2, 0, 1)),
    "unseen columns at remainder 0": ((9, 3, 4, 2, 0, 0), (9, 2, 4, 4, 0, 0)),
    "asymmetric padding": ((5, 3, 2, 1, 0, 2), (5, 3, 1, 1, 2, 0)),
    "negative padding": ((7, 3, 1, 1, -1, -2), (8, 2, 2, 1, -2, 1)),
    "negative padding with a remainder": ((9, 3, 3, 1, -1, 0), (9, 2, 3, 2, 0, -1)),
    "rectangular kernel": ((5, 1, 1, 1, 0, 0), (7, 4, 1, 1, 1, 1)),
    "one output": ((3, 3, 1, 1, 0, 0), (2, 2, 3, 1, 0, 0)),
    "one pixel": ((1, 1, 1, 1, 0, 0), (1, 3, 1, 1, 1, 1)),
}
CHANNELS = {
    "one channel": {},
    "channels": {"N": 2, "CG": 3, "OG": 2},
    "grouped": {"N": 2, "G": 2, "CG": 2, "OG": 3},
    "depthwise": {"N": 2, "G": 4},
    "depthwise with multiplier": {"G": 3, "OG": 2},
}
# names in HARD that `features` does not look for
UNMEASURED = {
    "plain",
    "kernel of 1 with padding",
    "unseen columns at remainder 0",
    "negative padding with a remainder",
    "rectangular kernel",
    "one output",
    "one pixel",
}
NAMES = ("extent", "K", "S", "D", "before", "after")


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("name", HARD)
def test_convolution(name, channels):
    h, w = (dict(zip(NAMES, axis, strict=True)) for axis in HARD[name])
    assert name in features(h) | features(w) | UNMEASURED
    rng = np.random.default_rng(0)
    for first, second in ((h, w), (w, h)):
        agree("conv2d", conv_case(conv_sizes(first, second, **CHANNELS[channels]), rng))


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("name", ["plain", "asymmetric padding", "negative padding"])
def test_tiled_convolution(name, channels):
    h, w = (dict(zip(NAMES, axis, strict=True)) for axis in HARD[name])
    h, w = h | {"S": 1}, w | {"S": 1}
    case = conv_case(conv_sizes(h, w, **CHANNELS[channels]), np.random.default_rng(0))
    agree("conv2d", case, form="tiled")


def test_an_empty_output_is_refused_by_definition_and_kernel():
    sizes = conv_sizes(*[dict(zip(NAMES, (2, 3, 1, 1, 0, 0), strict=True))] * 2)
    data = {"Y": np.ones((1, 1, 2, 2)), "w": np.ones((1, 1, 3, 3)), "b": np.ones(1)}
    with pytest.raises(DefinitionError, match="the kernel is taller than the padded input"):
        evaluate(find("conv2d"), sizes, data)
    conv = compiled()["conv2d"]
    with pytest.raises(ShapeError, match="the kernel is taller than the padded input"):
        list(run_kernels(conv, conv.without(), data, {}, sizes))


# --- all other operators that do not round ---


POINTWISE = [n for n in EXACT if not n.startswith(("conv2d", "max_pool2d"))]


@pytest.mark.parametrize("name", POINTWISE)
def test_exact_operator(name):
    rng = np.random.default_rng(7)
    for _ in range(60):
        case, _ = draw(VARIANTS[name][0], rng, 5, 2000, "float32")
        agree(name, case)


def test_max_pool_is_exact_for_random_sizes():
    rng, done = np.random.default_rng(7), 0
    while done < 300:
        sizes = conv_sizes(random_axis(rng), random_axis(rng))
        sizes = {n: v for n, v in sizes.items() if n not in ("G", "CG", "OG")} | {"N": 2, "C": 2}
        image = rng.integers(-2, 3, (2, 2, sizes["H"], sizes["W"]))  # few values: many ties
        try:
            z = evaluate(VARIANTS["max_pool2d"][0], sizes, {"Y": image})["z"]
        except DefinitionError:  # a window wholly in the padding
            continue
        agree("max_pool2d", Case(sizes, {"Y": image}, {"z": rng.integers(-4, 5, z.shape)}, {}))
        done += 1


def pool_case(name, y, sizes, scalars=None):
    """A pooling of one map, with a cotangent of ones."""
    array = np.array(y)[None, None]
    h, w = array.shape[2:]
    full = {"N": 1, "C": 1, "H": h, "W": w, "PT": 0, "PB": 0, "PL": 0, "PR": 0} | sizes
    if name == "max_pool2d":
        full = {"DH": 1, "DW": 1} | full
    zeros = evaluate(VARIANTS[name][0], full, {"Y": np.zeros(array.shape)})["z"]
    return Case(full, {"Y": array}, {"z": np.ones(zeros.shape, int)}, {})


def max_pool(y, **sizes):
    """(z, argmax, dY) of the kernels in float32, which must equal the definition's in float64."""
    case = pool_case("max_pool2d", y, sizes)
    definition, operator = VARIANTS["max_pool2d"]
    data = {"Y": case.operands["Y"].astype(np.float64)}
    truth = evaluate(definition, case.sizes, data)
    truth["grad_Y"] = gradients(definition, case.sizes, data, case.cotangents)["Y"]
    given = (case.operands, case.cotangents, case.sizes)
    out = {r.target: r.values for r in run_kernels(operator, operator.without(), *given)}
    for name, exact in truth.items():
        assert np.array_equal(out[name], exact, equal_nan=True), name
    return tuple(out[n][0, 0].tolist() for n in ("z", "z_argmax", "grad_Y"))


INF = np.inf


def test_max_pool_ties_go_to_the_first():
    _, argmax, gradient = max_pool([[2, 2], [2, 2]], KH=2, KW=2, SH=1, SW=1)
    assert (argmax, gradient) == ([[0]], [[1, 0], [0, 0]])


def test_max_pool_windows_of_minus_infinity_take_their_first_element():
    z, argmax, gradient = max_pool([[-INF, -INF], [-INF, -INF]], KH=2, KW=2, SH=2, SW=2)
    assert (z, argmax, gradient) == ([[-INF]], [[0]], [[1, 0], [0, 0]])


def test_max_pool_padding_is_never_chosen_among_minus_infinities():
    _, argmax, gradient = max_pool([[-INF, -INF]], KH=2, KW=2, SH=2, SW=2, PT=1, PL=1, PR=1)
    assert (argmax, gradient) == ([[3, 2]], [[1, 1]])


def test_max_pool_nan_is_a_maximum_and_the_first_one_counts():
    z, argmax, gradient = max_pool([[1, np.nan, INF, np.nan]], KH=1, KW=4, SH=1, SW=1)
    assert math.isnan(z[0][0])
    assert (argmax, gradient) == ([[1]], [[0, 1, 0, 0]])


def test_overlapping_max_pool_adds_up_its_gradients():
    y = [[0, 0, 0, 0, 0], [0, 0, 0, 0, 0], [0, 0, 9, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]
    _, _, gradient = max_pool(y, KH=3, KW=3, SH=2, SW=2)
    assert gradient[2] == [0, 0, 4, 0, 0]


def test_max_pool_with_a_window_in_the_padding_is_refused():
    case = pool_case("max_pool2d", [[1, 2]], {"KH": 1, "KW": 1, "SH": 1, "SW": 1})
    operator = compiled()["max_pool2d"]
    sizes = dict(case.sizes) | {"PL": 1}
    with pytest.raises(ShapeError, match="wholly in the padding"):
        list(run_kernels(operator, operator.without(), case.operands, {}, sizes))


def test_average_pooling_that_excludes_padding_is_exact_for_windows_of_1_2_and_4():
    case = pool_case(
        "avg_pool2d_valid",
        [[1, 2, 3], [5, 7, 11]],
        {"KH": 2, "KW": 2, "SH": 1, "SW": 1, "PT": 1, "PB": 1, "PL": 1, "PR": 1},
    )
    agree("avg_pool2d_valid", case)
    operator = compiled()["avg_pool2d_valid"]
    data = (case.operands, case.cotangents, case.sizes)
    out = {r.target: r.values for r in run_kernels(operator, operator.without(), *data)}
    assert out["z"][0, 0].tolist() == [[1, 1.5, 2.5, 3], [3, 3.75, 5.75, 7], [5, 6, 9, 11]]
    assert out["grad_Y"][0, 0, 0].tolist() == [1 + 0.5 + 0.5 + 0.25, 1.5, 2.25]


# --- operators that divide, take roots and exponentials ---


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ROUNDED)
def test_rounded_operator_stays_within_its_bound(name, dtype):
    rng = np.random.default_rng(8)
    for _ in range(15):
        case, truth = draw(VARIANTS[name][0], rng, 4, 500, dtype)
        agree(name, case, dtype)
        if dtype == "float64":
            for e in truth.values():  # the bound itself is tight: 1e-12 of the largest value
                size = max((abs(float(v)) for v in e.values.ravel()), default=0.0)
                assert float(e.errors.max()) <= 1e-12 * max(size, 1.0)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("mean", [0, 3000])
@pytest.mark.parametrize("eps", [1e-5, 1e-12])
def test_batch_norm_far_from_zero(mean, eps, dtype):
    """|mean| >> std, eps -> 0: a one-pass variance would lose every digit here."""
    rng = np.random.default_rng(9)
    x = np.round((mean + rng.normal(size=(4, 2, 6))) * 4096) / 4096  # exact in float32
    g = np.round(rng.normal(size=x.shape) * 256) / 256
    kind = np.dtype(dtype).type
    case = Case(
        {"N": 4, "C": 2, "L": 6},
        {"X": x, "gamma": np.array([1.5, -0.5]), "beta": np.array([0.25, 3.0])},
        {"y": g},
        {"eps": float(kind(eps))},
    )
    agree("batch_norm", case, dtype)
    allowed = expected(VARIANTS["batch_norm"][0], case, dtype)["grad_X"]
    digits = {"float64": 1e-10, "float32": 0.1}[dtype]
    assert float(allowed.errors.max()) < digits  # and what is allowed says something


def test_every_kernel_of_the_manifest_is_covered():
    names = {k for op in compiled().values() for k in op.kernels}
    used = {
        k
        for _, op in VARIANTS.values()
        for v in op.variants.values()
        for k in (*v.forward, *v.backward)
    }
    split = {k.name for op in compiled().values() for k in op.kernels.values() if k.of in used}
    assert names == used | split  # tests/test_phases.py runs these
    assert len(VARIANTS) == len({v for op in compiled().values() for v in op.variants})
