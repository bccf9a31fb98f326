"""Which names a definition may use: its indices, sizes, tensors and scalars become names in C.

Nothing is renamed on the way, so that a kernel reads as its definition does. A name that C, OpenCL
or the generated text already uses is refused, with the place.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from keyword import iskeyword

from gradproof.derive.errors import DefinitionError
from gradproof.derive.expr import Reduce
from gradproof.derive.language import Definition


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


KEYWORDS = _words(
    "auto break case char const continue default do double else enum extern float for goto if "
    "inline int long register restrict return short signed sizeof static struct switch "
    "typedef union unsigned void volatile while asm typeof bool true false half uchar ushort "
    "uint ulong size_t ptrdiff_t intptr_t uintptr_t event_t sampler_t complex imaginary quad "
    "pipe generic kernel global local constant private read_only write_only read_write "
    "uniform vec_step"
)
FUNCTIONS = _words(
    "exp log sqrt tanh erf fabs pow fma mad min max clamp select floor_div floor_mod "
    "philox4x32 mul_hi barrier mem_fence prefetch get_global_id get_local_id get_group_id "
    "get_global_size get_local_size get_num_groups"
)
GENERATED = _words(
    "id sizes term REAL NULL INFINITY NAN MAXFLOAT total part sum LANES REALV CHUNK UNROLL"
)
PATTERNS = (
    (re.compile(r"_.*|.*__.*|.*_"), "leading, trailing and double underscores are kept for C"),
    (re.compile(r"(SIZE|TILE)_.*"), "it is a macro of the kernels"),
    (re.compile(r"(CLK|CL|cl|FP|M|FLT|DBL|HALF|ATOMIC|HUGE|PIPE)_.*"), "this prefix is OpenCL's"),
    (re.compile(r"(S?CHAR|SHRT|INT|LONG|UCHAR|USHRT|UINT|ULONG)_(BIT|MAX|MIN)"),
     "it is a macro of OpenCL C"),
    (re.compile(r"(sum|max|argmax|vector)\d.*"), "kernels name their reductions so"),
    (re.compile(r"(as|convert|image\w*|vload|vstore|vloada|vstorea)_\w+"), "it is OpenCL's"),
    (re.compile(r"(v(load|store)(_half)?|u?(char|short|int|long)|half|float|double|bool)\d+"),
     "it is OpenCL's"),
)  # fmt: skip
# what the derivation and the kernels make from a name
GRADIENT = "grad_"
MADE = {
    "tensor": (GRADIENT + "{}", "{}_argmax", "{}_halo", "{}_lanes"),
    "index": ("{}_q", "{}_r", "{}_k", "{}_m", "{}_0", "{}_b", "{}_l", "{}_t"),
}
# what no operator's files can be called: two files of certificates, and devices of Windows
FILES = re.compile(r"operators|winograd|con|prn|aux|nul|(com|lpt)\d", re.IGNORECASE)
PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def refusal(name: str) -> str | None:
    """Why `name` cannot be used in a kernel; None where it can.

    >>> refusal("kernel")
    'it is a keyword of OpenCL C'
    >>> refusal("kernel_height") is None
    True
    """
    if not PLAIN.fullmatch(name):
        return "a name has letters a-z, digits and underscores"
    if name in KEYWORDS:
        return "it is a keyword of OpenCL C"
    if name in FUNCTIONS:
        return "it is a function that kernels call"
    if name in GENERATED:
        return "generated kernels use it themselves"
    return next((why for pattern, why in PATTERNS if pattern.fullmatch(name)), None)


def check_names(d: Definition) -> None:
    """Every name is usable in C and stands for one thing. Errors: DefinitionError."""
    if not PLAIN.fullmatch(d.name):
        raise DefinitionError(f"{d.name!r}: an operator's name is letters, digits, underscores")
    if d.name in KEYWORDS or FILES.fullmatch(d.name):
        what = "a keyword of OpenCL C" if d.name in KEYWORDS else "the name of another file"
        raise DefinitionError(f"{d.name}: the operator needs another name: it is {what}")
    for e in d.equations:
        if why := refusal(f"{d.name}_{e.target}"):
            raise DefinitionError(
                f"{d.name}: the operator needs another name: its kernel {d.name}_{e.target} "
                f"cannot be called so: {why}"
            )
    _check_user_names(d)
    meaning: dict[str, str] = {}
    for name, kind in _names(d):
        if why := refusal(name):
            raise DefinitionError(f"{d.name}: the {kind} {name!r} needs another name: {why}")
        if meaning.setdefault(name, kind) != kind:
            raise DefinitionError(f"{d.name}: {name!r} is both a {meaning[name]} and a {kind}")
    for name, kind in sorted(meaning.items()):
        for made in (pattern.format(name) for pattern in MADE.get(kind, ())):
            if made in meaning:
                raise DefinitionError(
                    f"{d.name}: the {meaning[made]} {made!r} needs another name: "
                    f"kernels have a {made} beside the {kind} {name}"
                )

    for name in (t.name for t in d.tensors if t.name.startswith(GRADIENT)):
        raise DefinitionError(
            f"{d.name}: the tensor {name!r} needs another name: gradients are called {GRADIENT}..."
        )


def _check_user_names(d: Definition) -> None:
    """The names that users know are keywords of a call: plain, and each for one thing."""
    taken = {name: kind for name, kind in _names(d) if kind != "index"}
    for letter, name in d.names:
        if not PLAIN.fullmatch(name) or name.startswith("_") or iskeyword(name):
            raise DefinitionError(f"{d.name}: {name!r}, a name of {letter}, is no Python name")
        if name != letter and taken.setdefault(name, "name") != "name":
            raise DefinitionError(
                f"{d.name}: {name!r}, a name of {letter}, is also a {taken[name]}"
            )
    twice = Counter(name for _, name in d.names)
    for letter, name in d.names:
        if twice[name] > 1:
            raise DefinitionError(f"{d.name}: {name!r}, a name of {letter}, stands for another too")


def _names(d: Definition) -> Iterator[tuple[str, str]]:
    for t in d.tensors:
        yield t.name, "tensor"
    for s in (*d.sizes, *(s for s, _ in d.derived)):
        yield str(s), "size"
    for name, _ in d.scalars:
        yield name, "scalar"
    for e in d.equations:
        bound = {i for r in e.body.atoms(Reduce) for i in r.bound}
        for i in sorted({*e.indices, *bound}, key=str):
            yield str(i), "index"
    for _, letters in d.subscripts:
        for name in letters:
            yield name, "index"
