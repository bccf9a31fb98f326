"""Half precision in memory: the same kernels, whose elements are read and written as 16 bits.

A kernel of float32 becomes one on tensors of float16 by its loads and its store alone: indices,
loops, guards and arithmetic stay, and every sum is in float32. `vload_half` and `vstore_half_rte`
are core OpenCL, so no device needs cl_khr_fp16 for it. The rewriting knows no operator: it goes by
the subset of C that all reference kernels keep to, see docs/kernel-subset.md.

An element is rounded once, to the nearest of 11 bits: stored = x (1 + d) with |d| <= 2^-11 for
2^-14 <= |x| <= 65504. What is larger is stored as infinity.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from gradproof.runtime.errors import GradproofError

_KERNEL = re.compile(r"__kernel void \w+\((.*?)\)\n\{\n(.*?)\n\}\n", re.DOTALL)
_TENSOR = re.compile(r"(__global (?:const )?)REAL( \*(?:restrict )?(\w+))")


def stored_as_half(source: str, halves: Collection[str] | None = None) -> str:
    """The text of reference kernels on tensors of float16; build it with REAL as float. halves:
    which of the tensors these are, by name; None: all that are real.

    Errors: GradproofError for a text outside of the subset.

    >>> print(stored_as_half('''__kernel void k(
    ...     __global const REAL *restrict Y,
    ...     __global REAL *restrict z)
    ... {
    ...     const int id = get_global_id(0);
    ...     z[id] = Y[id + 1] * Y[id];
    ... }
    ... '''), end="")
    __kernel void k(
        __global const half *restrict Y,
        __global half *restrict z)
    {
        const int id = get_global_id(0);
        vstore_half_rte(vload_half(id + 1, Y) * vload_half(id, Y), id, z);
    }
    """
    found = _KERNEL.sub(lambda kernel: _rewritten(kernel, halves), source)
    if any(halves is None or n in halves for _, _, n in _TENSOR.findall(found)):
        raise GradproofError("float16: a kernel is outside of the subset of docs/kernel-subset.md")
    return found


def _rewritten(match: re.Match[str], halves: Collection[str] | None) -> str:
    """One kernel."""
    whole, arguments, body = match[0], match[1], match[2]
    real = [name for _, _, name in _TENSOR.findall(arguments)]
    names = [name for name in real if halves is None or name in halves]
    for name in names:
        store = re.compile(rf"^( *){name}\[id\] = (.*?);$", re.MULTILINE | re.DOTALL)
        body = store.sub(rf"\1vstore_half_rte(\2, id, {name});", body)
    for name in names:
        body = _loaded(body, name)
    if names and re.search(rf"\b({'|'.join(names)})\s*\[", body):
        raise GradproofError(f"float16: an access in {whole.partition('(')[0]} cannot be rewritten")
    typed = _TENSOR.sub(lambda t: f"{t[1]}half{t[2]}" if t[3] in names else t[0], arguments)
    return whole.replace(arguments, typed, 1).replace(match[2], body, 1)


def _loaded(text: str, name: str) -> str:
    """Every `name[index]` as a load; an index may hold other elements."""
    begin = re.compile(rf"(?<![\w.]){name}\[")
    while found := begin.search(text):
        depth, end = 1, found.end()
        while depth:
            depth += {"[": 1, "]": -1}.get(text[end], 0)
            end += 1
        index = text[found.end() : end - 1]
        text = f"{text[: found.start()]}vload_half({index}, {name}){text[end:]}"
    return text
