"""Every reference kernel is in the subset of C that docs/kernel-subset.md describes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from gradproof.runtime.manifest import operators

INT = VALUE = r"[^;{}=?]+"
NAME = r"[A-Za-z]\w*"
TENSOR = rf"__global (const )?(REAL|int) \*(restrict )?{NAME}"
CASE = r"[^;{}]+"  # a value may hold `a ? b : c` and `<=`
STATEMENTS = [
    rf"const int {NAME} = {INT};",
    r"REAL (?:sum\d+\w*) = 0;",
    r"REAL max\d+ = -INFINITY;",
    r"int argmax\d+ = -1;",
    r"REAL argmax\d+_value = -INFINITY;",
    rf"for \(int ({NAME}) = 0; \1 < {INT}; \1\+\+\) \{{",
    r"if \([^;{}?]+\) \{",
    rf"sum\d+\w* \+= {CASE};",
    rf"const REAL term = {CASE};",
    r"if \(term > (max\d+) \|\| term != term\) \{",
    r"max\d+ = term;",
    r"if \((argmax\d+) < 0 \|\| term > \1_value \|\| \(term != term && \1_value == \1_value\)\) \{",
    r"argmax\d+_value = term;",
    rf"argmax\d+ = {INT};",
    r"\}",
]
STORE = rf"({NAME})\[id\] = {CASE};"
CALLS = {"exp", "log", "sqrt", "tanh", "erf", "fabs", "pow"}
CALLS |= {"floor_div", "floor_mod", "philox4x32", "get_global_id", "for", "if"}
HELPERS = {"int floor_div(int a, int b)", "int floor_mod(int a, int b)",
           "uint philox4x32(uint k0, uint k1, uint c0, uint c1)"}  # fmt: skip


def problems(kernel: str) -> list[str]:
    """What in the text of one kernel is outside the subset."""
    lines = [line.strip() for line in kernel.splitlines() if not line.startswith("//")]
    start = lines.index("{")
    found = [
        x
        for x in lines[1:start]
        if not re.fullmatch(rf"({TENSOR}|const (REAL|uint) {NAME})[,)]", x)
    ]
    body = lines[start + 1 : -1]
    stores = [line for line in body if re.fullmatch(STORE, line)]
    written = re.search(r"__global (?:REAL|int) \*(?:restrict )?(\w+)", kernel)
    target = written.group(1) if written else ""
    if len(stores) != 1 or not stores[0].startswith(f"{target}["):
        found.append(f"stores: {stores}")
    for line in body:
        if line not in stores and not any(re.fullmatch(s, line) for s in STATEMENTS):
            found.append(line)
    code = "\n".join(body)
    found += sorted(set(re.findall(rf"\b({NAME})\(", code.replace("(REAL)(", "("))) - CALLS)
    for word in ("while", "goto", "break", "return", "else", "barrier", "__local", "#"):
        found += [word] if word in re.findall(r"\w+|#", code) else []
    return found


def kernels() -> dict[str, str]:
    out = {}
    for op in operators().values():
        lines = op.source.splitlines()
        for k in op.kernels.values():
            first, last = k.lines
            out[k.name] = "\n".join(lines[first - 1 : last])
    return out


KERNELS = kernels()


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_is_in_the_subset(name: str) -> None:
    assert not problems(KERNELS[name])


def test_a_file_has_one_pragma_and_known_helpers() -> None:
    for op in operators().values():
        lines = op.source.splitlines()
        directives = [line for line in lines if line.lstrip().startswith("#")]
        assert directives == ["#pragma OPENCL FP_CONTRACT ON"]
        heads = {line for line in lines if re.match(r"\w+ \w+\(.*\)$", line)}
        assert heads <= HELPERS


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("sum0 += sum0_i;", "sum0 = sum0_i;"),
        ("z[id] = ", "z[id + 1] = "),
        ("REAL sum0 = 0;", "REAL sum0 = 1;"),
        ("for (int c = 0;", "for (int c = 1;"),
        ("c++", "c += 2"),
        ("z[id] = sum0", "w[id] = sum0"),
        ("sum0 += sum0_i;", "sum0 += sum0_i; return;"),
        ("z[id] = sum0", "z[id] = sin(sum0)"),
        ("const int id", "int id"),
    ],
)
def test_what_is_outside_is_found(old: str, new: str) -> None:
    kernel = KERNELS["conv2d_z"]
    assert old in kernel
    assert problems(kernel.replace(old, new))


def test_the_page_names_every_function() -> None:
    page = (Path(__file__).resolve().parents[1] / "docs" / "kernel-subset.md").read_text("utf-8")
    for call in CALLS - {"for", "if"}:
        assert f"{call}" in page
