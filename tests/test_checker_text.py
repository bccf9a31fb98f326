"""Kernel texts that a C compiler reads otherwise, or that compute something else, are refused."""

from __future__ import annotations

import copy
import hashlib
import json
import re
from functools import cache
from typing import Any

import pytest

from gradproof.codegen.generate import generated_folder
from gradproof.derive.checker import Operator, Refused, Source

OPERATORS = (
    "linear",
    "softmax_cross_entropy",
    "batch_norm",
    "avg_pool2d_valid",
    "max_pool2d",
    "conv2d",
)


@cache
def entry_of(name: str) -> Any:
    return json.loads((generated_folder() / "manifest.json").read_text("utf-8"))["operators"][name]


@cache
def text_of(name: str) -> str:
    return (generated_folder() / f"{name}.cl").read_text("utf-8")


@cache
def record_of(name: str) -> Any:
    """The committed certificates of the kernels, without the claims beside them."""
    path = generated_folder() / "proofs" / f"{name}.json"
    record = {**json.loads(path.read_text("utf-8")), "claims": []}
    operator = Operator(record, entry_of(name), Source(f"{name}.cl", text_of(name)))
    with_claims = operator.certificates
    try:
        operator.check({})
    except Refused as error:
        assert "show nothing that is asked" in str(error)
    for section in ("maps", "cofactors"):
        record[section] = {k: v for k, v in record[section].items() if k.startswith(name)}
    record["proofs"] = {k: v for k, v in record["proofs"].items() if k in with_claims.used}
    return record


def check(name: str, text: str | None = None, entry: Any = None, record: Any = None) -> list[Any]:
    source = Source(f"{name}.cl", text_of(name) if text is None else text)
    return Operator(record or record_of(name), entry or entry_of(name), source).check({})


def edited(name: str, old: str, new: str) -> str:
    """The text with the first `old` that stands outside a comment replaced."""
    text, at = text_of(name), 0
    while "//" in text[text.rfind("\n", 0, at := text.index(old, at)) + 1 : at]:
        at += 1
    return text[:at] + new + text[at + len(old) :]


@pytest.mark.parametrize("name", OPERATORS)
def test_the_committed_text_is_accepted(name: str) -> None:
    assert all(row["status"] == "proved" for row in check(name))


ATTACKS = [  # (operator, text, what stands there instead)
    # characters and comments
    ("linear", "sum0 += ", "/* */ sum0 += "),
    ("linear", "z[id] = sum0", "// no \\\nz[id] = sum0"),
    ("linear", "    if (id < N * O) {", "    // no ??/\n    if (id < N * O) {"),
    ("linear", "    if (id < N * O) {", "    // no \r    z[0] = Y[0];\n    if (id < N * O) {"),
    ("linear", "    if (id < N * O) {", "    // no \0\n    if (id < N * O) {"),
    ("linear", "#pragma", "#define N O\n#pragma"),
    ("linear", "    if (id < N * O) {", "#if 0\n    if (id < N * O) {"),
    ("linear", "    if (id < N * O) {", "    #pragma OPENCL FP_CONTRACT ON\n    if (id < N * O) {"),
    ("linear", "sum0", "sum\u00b2"),
    # tokens that C reads as one
    ("linear", "k < K;", "k < K + 0 - --k;"),
    ("linear", "Y[n * K + k]", "Y[n * K + --k]"),
    ("linear", "sum0 += ", "sum0 -= "),
    ("linear", "sum0 += ", "sum0 *= "),
    # numbers
    ("linear", "get_global_id(0)", "get_global_id(00)"),
    ("linear", "int k = 0;", "int k = 00;"),
    ("linear", "int k = 0;", "int k = 1;"),
    ("linear", "int k = 0;", "int k = -1;"),
    ("linear", "REAL sum0 = 0;", "REAL sum0 = 1;"),
    ("linear", "REAL sum0 = 0;", "REAL sum0 = 0.0f;"),
    ("linear", "REAL sum0 = 0;", "int sum0 = 0;"),
    ("linear", "REAL sum0 = 0;", "float sum0 = 0;"),
    ("linear", "get_global_id(0)", "get_global_id(1)"),
    ("linear", "get_global_id(0)", "get_local_id(0)"),
    ("mse", "(REAL)2 * a[i]", "2u * a[i]"),
    ("mse", "(REAL)2 * a[i]", "2e0 * a[i]"),
    ("mse", "(REAL)2 * a[i]", "0x2 * a[i]"),
    ("mse", "(REAL)2 * a[i]", "02 * a[i]"),
    ("mse", "(REAL)2 * a[i]", "4 / 2 * a[i]"),
    ("mse", "(REAL)2 * a[i]", "(REAL)2 * (1 / 2) * (REAL)2 * a[i]"),
    ("mse", "(REAL)2 * a[i]", "(REAL)4294967298 * a[i]"),
    ("mse", "(REAL)2 * a[i]", "(REAL)(65536 * 65536 - 65536 * 65536 + 2) * a[i]"),
    ("mse", "(REAL)2 * a[i]", "(a[i] < t[i] ? 4 : 4) / 2 * a[i]"),
    ("avg_pool2d", "((REAL)KH * (REAL)KW)", "(REAL)(KH * KW) / (REAL)1 * (REAL)1"),
    ("avg_pool2d", "((REAL)KH * (REAL)KW)", "(REAL)KH * (REAL)KW"),
    ("batch_norm", "sum0 / ((REAL)L * (REAL)N)", "sum0 / (REAL)L * (REAL)N"),
    # names
    ("linear", "for (int k = 0; k < K; k++) {", "for (int n = 0; n < K; n++) {"),
    ("linear", "for (int k = 0; k < K; k++) {", "for (int K = 0; K < O; K++) {"),
    ("linear", "const int n = id / O;", "const int N = id / O;"),
    ("linear", "const int n = id / O;", "const int o = id / O;"),
    ("linear", "const int n = id / O;", "int n = id / O;"),
    ("linear", "const int N = SIZE_N;", "const int N = SIZE_O;"),
    ("linear", "const int N = SIZE_N;", "const int N = SIZE_N;\n    const int N = SIZE_N;"),
    ("linear", "const int N = SIZE_N;", "const int N = SIZE_N - 1;"),
    ("linear", "const int N = SIZE_N;", "REAL N = SIZE_N;"),
    ("linear", "const int N = SIZE_N;", "const int N = SIZE_N;\n    const int INT_MAX = SIZE_N;"),
    ("linear", "sum0 += ", "const int INT_MAX = k; sum0 += "),
    ("linear", "REAL sum0 = 0;", "const int K = 1; REAL sum0 = 0;"),
    ("linear", "REAL sum0 = 0;", "const int id = 1; REAL sum0 = 0;"),
    (
        "linear",
        "    const int id = get_global_id(0);",
        "    for (int id = 0; id < get_global_id(0); id++) { z[0] = Y[0]; }\n"
        "    const int id = get_global_id(0);",
    ),
    # statements
    ("linear", "k < K;", "k <= K;"),
    ("linear", "k++", "k += 2"),
    ("linear", "sum0 += ", "k += 1; sum0 += "),
    ("linear", "z[id] = sum0 + b[o];", "z[id] = sum0 + b[o]; z[id] = sum0 + b[o];"),
    ("linear", "z[id] = sum0 + b[o];", "z[0] = Y[0]; z[id] = sum0 + b[o];"),
    ("linear", "z[id] = sum0 + b[o];", "z[id + 1] = sum0 + b[o];"),
    ("linear", "z[id] = sum0 + b[o];", "z[id] += sum0 + b[o];"),
    ("linear", "z[id] = sum0 + b[o];", "if (n < 1) { z[id] = sum0 + b[o]; }"),
    ("linear", "z[id] = sum0 + b[o];", "if (n < 1) { z[id] = b[o]; } else { z[id] = sum0; }"),
    ("linear", "z[id] = sum0 + b[o];", "z[id] = z[id];"),
    ("linear", "z[id] = sum0 + b[o];", "z[id] = z[id] + z[id] - sum0 - b[o];"),
    ("linear", "z[id] = sum0 + b[o];", "return; z[id] = sum0 + b[o];"),
    ("linear", "z[id] = sum0 + b[o];", "barrier(1); z[id] = sum0 + b[o];"),
    ("linear", "z[id] = sum0 + b[o];", "z[id] = (sum0, b[o]);"),
    ("linear", "z[id] = sum0 + b[o];", "*z = sum0 + b[o];"),
    ("linear", "z[id] = sum0 + b[o];", "atomic_add(z, 1);"),
    ("linear", "z[id] = sum0 + b[o];", "vstore4(sum0, 0, z);"),
    ("linear", "z[id] = sum0 + b[o];", "goto end;"),
    ("linear", "sum0 += Y[n * K + k] * w[o * K + k];", "sum0 += Y[n * K + k] * w[o * K + k]; } {"),
    ("linear", "for (int k = 0; k < K; k++) {", "for (int k = 0; k < K; k++)"),
    ("linear", "if (id < N * O) {", "if (id <= N * O) {"),
    ("linear", "if (id < N * O) {", "if (id < N * O && id < 4) {"),
    ("linear", "if (id < N * O) {", "if (id < N) {"),
    ("linear", "sum0 += ", "if (Y[n * K + k] > (REAL)0) sum0 += "),
    (
        "linear",
        "sum0 += Y[n * K + k] * w[o * K + k];",
        "if (Y[n * K + k] > (REAL)0) { sum0 += Y[n * K + k] * w[o * K + k]; }",
    ),
    (
        "linear",
        "sum0 += Y[n * K + k] * w[o * K + k];",
        "if (Y[n * K + k] == Y[n * K + k]) { sum0 += Y[n * K + k] * w[o * K + k]; }",
    ),
    # accumulators
    ("linear", "sum0 += Y", "sum0 += sum0 + Y"),
    (
        "linear",
        "sum0 += Y[n * K + k] * w[o * K + k];",
        "sum0 += Y[n * K + k] * w[o * K + k]; const REAL x = sum0;",
    ),
    (
        "linear",
        "sum0 += Y[n * K + k] * w[o * K + k];",
        "const REAL x = sum0; sum0 += Y[n * K + k] * w[o * K + k] + x;",
    ),
    (
        "linear",
        "sum0 += Y[n * K + k] * w[o * K + k];",
        "REAL s = 0; s += Y[n * K + k] * w[o * K + k]; sum0 += s; s += (REAL)1;",
    ),
    # parameters
    ("linear", "__global const REAL *restrict Y", "__global const float *restrict Y"),
    ("linear", "__global const REAL *restrict Y", "__local const REAL *restrict Y"),
    ("linear", "__global const REAL *restrict Y", "__constant REAL *restrict Y"),
    ("linear", "__global const REAL *restrict Y", "__global const REAL **restrict Y"),
    ("linear", "__global const REAL *restrict Y", "__global const int *restrict Y"),
    ("linear", "__global const REAL *restrict Y", "__global const REAL *restrict w"),
    (
        "linear",
        "__global const REAL *restrict Y,",
        "__global const REAL *restrict Y, const int extra,",
    ),
    (
        "linear",
        "__global const REAL *restrict Y,\n    __global const REAL *restrict w",
        "__global const REAL *restrict w,\n    __global const REAL *restrict Y",
    ),
    ("linear", "__global const int *restrict sizes)", "__global const REAL *restrict sizes)"),
    ("softmax_cross_entropy", "__global const int *restrict t", "__global const uint *restrict t"),
    ("softmax_cross_entropy", "__global const int *restrict t", "__global const short *restrict t"),
    ("sgd", "const REAL lr", "const int lr"),
    ("sgd", "__global const REAL *p,", "__global const REAL *restrict p,"),
    ("sgd", "weight_decay * p[i] + g[i]", "weight_decay * p[i] + g[i + 1 - 1] + g[0] - g[0]"),
    # unsigned
    ("dropout", "const uint threshold", "const int threshold"),
    ("dropout", "threshold <= philox", "(uint)(0 - 1) <= philox"),
    ("dropout", "threshold <= philox", "T <= philox"),
    ("dropout", "threshold <= philox4x32((uint)(key0)", "threshold <= philox4x32((uint)(i - 1)"),
    (
        "dropout",
        "const int i = id;",
        "const int i = id; const int r = philox4x32(key0, key1, call, call);",
    ),
    ("dropout", "c0 = high1 ^ c1 ^ k0;", "c0 = high1 ^ c1;"),
    ("dropout", "uint philox4x32(", "uint floor_div("),
    # functions, conditions
    ("batch_norm", "sqrt(eps + var[c])", "rsqrt(eps + var[c])"),
    ("batch_norm", "sqrt(eps + var[c])", "native_sqrt(eps + var[c])"),
    ("batch_norm", "sqrt(eps + var[c])", "sqrt(eps + var[c], eps)"),
    ("relu", "Y[i] <= (REAL)0", "Y[i] < (REAL)1"),
    ("relu", "Y[i] <= (REAL)0", "!(Y[i] > (REAL)0)"),
    ("relu", "Y[i] <= (REAL)0", "Y[i] != (REAL)0"),
    ("relu", "Y[i] <= (REAL)0 ?", "Y[i] <= (REAL)0 || T < 1 ?"),
    # maxima
    ("max_pool2d", "REAL max0 = -INFINITY;", "REAL max0 = 0;"),
    ("max_pool2d", "REAL max0 = -INFINITY;", "REAL max0 = INFINITY;"),
    ("max_pool2d", "REAL max0 = -INFINITY;", "int max0 = -1;"),
    ("max_pool2d", "term > max0 || term != term", "term > max0"),
    ("max_pool2d", "term > max0 || term != term", "term >= max0 || term != term || 1 < 0"),
    ("max_pool2d", "int argmax0 = -1;", "int argmax0 = 0;"),
    ("max_pool2d", "REAL argmax0_value = -INFINITY;", "int argmax0_value = -1;"),
    ("max_pool2d", "argmax0 < 0 ||", "argmax0 < 1 ||"),
    ("max_pool2d", "argmax0 < 0 ||", "argmax0 <= 0 ||"),
    ("max_pool2d", "argmax0 < 0 || term > argmax0_value", "argmax0 < 0 || term >= argmax0_value"),
    ("max_pool2d", "argmax0 = KW * i + j;", "argmax0 = KH * i + j;"),
    ("max_pool2d", "argmax0 = KW * i + j;", "argmax0_value = KW * i + j;"),
    ("max_pool2d", "z_argmax[id] = argmax0;", "z_argmax[id] = argmax0_value;"),
    # quotients
    ("conv2d", "% SH == 0", "% (SH - 1) == 0"),
    ("linear", "const int n = id / O;", "const int n = id / (0 - O) * (0 - 1);"),
    ("linear", "sum0 += Y[n * K + k]", "sum0 += Y[n * K + k * k / k]"),
]


@pytest.mark.parametrize(
    ("name", "old", "new"), ATTACKS, ids=[f"{a[0]}-{k}" for k, a in enumerate(ATTACKS)]
)
def test_a_text_that_means_something_else_is_refused(name: str, old: str, new: str) -> None:
    with pytest.raises(Refused, match=rf"{name}\.cl(:\d+)?:"):
        check(name, edited(name, old, new))


def test_a_kernel_stands_once_and_is_known() -> None:
    text = text_of("linear")
    kernel = text[text.index("__kernel") : text.index("// grad_Y")]
    for more in (kernel, kernel.replace("linear_z", "other")):
        with pytest.raises(Refused, match="kernels and manifest differ"):
            check("linear", text + more)


def test_every_kernel_has_to_be_of_a_variant_in_the_order_of_the_equations() -> None:
    entry = copy.deepcopy(entry_of("softmax_cross_entropy"))
    (variant,) = entry["variants"].values()
    variant["forward"].reverse()
    with pytest.raises(Refused, match="in this order"):
        check("softmax_cross_entropy", entry=entry)
    variant["forward"].reverse()
    variant["forward"].remove("softmax_cross_entropy_m")
    with pytest.raises(Refused, match="of no variant"):
        check("softmax_cross_entropy", entry=entry)


@pytest.mark.parametrize("key", ["arguments", "work_items", "target"])
def test_the_manifest_tells_a_host_what_the_text_has(key: str) -> None:
    entry = copy.deepcopy(entry_of("linear"))
    kernel = entry["kernels"]["linear_z"]
    if key == "arguments":
        a, b, *rest = kernel[key]
        kernel[key] = [b, a, *rest]
    else:
        kernel[key] = {"work_items": "N", "target": "Y"}[key]
    with pytest.raises(Refused, match=r"linear"):
        check("linear", entry=entry)


# -- every token ---------------------------------------------------------------------------------
OTHER = {
    "<": ["<=", ">"], "<=": ["<", ">="], ">": [">=", "<"], "==": ["!=", "<="], "!=": ["=="],
    "+": ["-", "*"], "-": ["+"], "*": ["+", "/"], "/": ["*", "%"], "%": ["/"],
    "&&": ["||"], "||": ["&&"], "+=": ["="], "=": ["+="], "++": ["--"],
}  # fmt: skip
WORD = re.compile(r"//[^\n]*|#[^\n]*|[A-Za-z_]\w*|\d+|\+\+|[-+<>=!]=|&&|\|\||[-+*/%<>=]")


def token_mutants(name: str) -> list[tuple[int, str, str]]:
    """(place, token, what stands there instead): one token of the kernels changed at a time."""
    text, out = text_of(name), []
    for kernel in re.finditer(r"\{\n    const.*?\n\}", text, re.DOTALL):
        body = kernel[0]
        sizes = sorted({*re.findall(r"SIZE_(\w+)", body)})
        names = sorted(
            {*re.findall(r"const (?:int|REAL) (\w+)", body), *re.findall(r"int (\w+) = 0", body)}
        )
        for m in WORD.finditer(body):
            new = OTHER.get(m[0], [])
            if m[0].isdigit():
                new = [str(int(m[0]) + 1)]
            elif m[0].startswith("SIZE_"):
                new = ["SIZE_" + s for s in sizes if s != m[0][5:]][:1]
            elif m[0] in names:
                new = [i for i in names if i != m[0]][names.index(m[0]) % 3 :][:2]
            out += [(kernel.start() + m.start(), m[0], token) for token in new]
    return out


# x <= x is x == x: both ask whether x is a number
SAME = "(term != term && argmax0_value == argmax0_value)"
BETTER = f"if (argmax0 < 0 || term > argmax0_value || {SAME}) {{"
EQUIVALENT = {"max_pool2d": {(BETTER, "==", "<=")}}  # operator -> (line, token, other token)


def line_at(text: str, place: int) -> str:
    return text[: text.find("\n", place)].rpartition("\n")[2].strip()


def surviving(name: str, mutants: list[tuple[int, str, str]]) -> list[tuple[str, str, str]]:
    found, text = [], text_of(name)
    for place, old, new in mutants:
        changed = text[:place] + new + text[place + len(old) :]
        try:
            check(name, changed)
        except Refused as error:
            assert re.search(rf"{name}\.cl(:\d+)?:", str(error)), error
        else:
            found.append((line_at(text, place), old, new))
    return found


def order(mutant: Any) -> str:
    return hashlib.sha256(repr(mutant).encode()).hexdigest()


SAMPLE = dict(zip(OPERATORS, (40, 40, 30, 20, 12, 12), strict=True))


@pytest.mark.parametrize("name", OPERATORS)
def test_a_changed_token_is_refused(name: str) -> None:
    sample = sorted(token_mutants(name), key=order)[: SAMPLE[name]]
    assert not {*surviving(name, sample)} - EQUIVALENT.get(name, set())


@pytest.mark.slow
@pytest.mark.parametrize("name", OPERATORS)
def test_every_changed_token_is_refused(name: str) -> None:
    assert not {*surviving(name, token_mutants(name))} - EQUIVALENT.get(name, set())
