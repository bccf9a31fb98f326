"""Certificates for the checker: what it accepts of changed ones has to be true all the same."""

from __future__ import annotations

import copy
import json
import re
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.fuzzing.guard import ROOT
from benchmarks.fuzzing.mutate import json_bytes, some_bytes, some_json, some_text
from benchmarks.fuzzing.reader import TEXT, Reader, Wrong
from gradproof.derive.checker import (
    Certificates,
    Operator,
    Refused,
    Source,
    body_of,
    certain_fact,
    check_folder,
    check_named,
    freeze,
    line_hashes,
    sha256,
    show_fact,
)
from gradproof.derive.prove import counterexample as examples
from gradproof.derive.prove.counterexample import differing
from gradproof.derive.prove.execute import kernel_example
from gradproof.derive.prove.handelman import counterexample

FOLDER = ROOT / "generated"
# quickly checked, with maxima, sums, guards, labels, functions, windows and staged kernels
NAMES = (
    "relu", "leaky_relu_backward", "add", "affine", "tanh", "sum_axis", "mean_axis", "max_axis",
    "sgd", "adam",
    "nll", "transpose", "slice_axis", "embedding", "cat", "softmax", "mse", "l1", "dropout",
    "running_average",
    "pad_constant", "local_response_norm", "log_softmax", "gelu", "linear",
)  # fmt: skip
SECTIONS = ("proofs", "maps", "cofactors")
SIGNS = ("0", "1", "2", "+", "-", "*", "/", "%", "<", "<=", ">", ">=", "==", "(", ")", "[", "]",
";", "i",
         "id", "+=", "=", "int", "REAL", "if", "for", "-1", "n", "N", "k", "K", "sizes", "0.0f",
         "\n", "//")  # fmt: skip
Case = dict[str, Any]


@cache
def original(name: str) -> Case:
    """A shipped operator: its record, its entry in the manifest, the texts of its files."""
    entry = json.loads((FOLDER / "manifest.json").read_text("utf-8"))["operators"][name]
    record = json.loads((FOLDER / "proofs" / f"{name}.json").read_text("utf-8"))
    files = {f: (FOLDER / f).read_text("utf-8") for f in entry["sha256"]}
    return {"name": name, "record": record, "entry": entry, "files": files}


@cache
def named() -> Any:
    """The operators that closed forms are made of."""
    return json.loads((FOLDER / "proofs" / "operators.json").read_text("utf-8"))


def certificate(rng: Random) -> bytes:
    """One operator, changed and then signed again, as a forger would."""
    case, kind = copy.deepcopy(original(rng.choice(NAMES))), rng.random()
    if kind < 0.3:
        case["record"] = some_json(rng, case["record"], [rng.choice(SECTIONS)])
    elif kind < 0.35:
        proofs = case["record"]["proofs"]
        if proofs:  # a certificate for something else
            proofs[rng.choice(list(proofs))] = rng.choice(list(proofs.values()))
    elif kind < 0.6:
        part = rng.choice(
            ("definition", "claims", "limits", "tiled", "windows", "definition", "claims")
        )
        case["record"] = some_json(rng, case["record"], [part])
    elif kind < 0.8:
        case["files"][case["entry"]["file"]] = _kernel(rng, case["files"][case["entry"]["file"]])
        case["hashes"] = True
    elif kind < 0.87:
        case["entry"] = some_json(rng, case["entry"])
    elif kind < 0.95:
        case = _both(rng, case)
    else:
        case["raw"] = some_bytes(rng, json_bytes(rng, case["record"], 0.2)).hex()
    return json.dumps(case).encode()


def _kernel(rng: Random, text: str) -> str:
    """A kernel's text with tokens put in, taken out, exchanged, below the fixed helpers."""
    body = body_of(text)
    start = len(text) - len(body) + body.index("kernel void")
    return text[:start] + some_text(rng, text[start:], SIGNS)


def _both(rng: Random, case: Case) -> Case:
    """The same change of a word or a number in the record and in the manifest."""
    texts = {k: json.dumps(case[k]) for k in ("record", "entry")}
    words = re.findall(r"\w+|[-+*/%<>=]+", json.dumps(case["record"]["definition"]))
    old, new = rng.choice(words), rng.choice((*words, *SIGNS[:13]))
    pattern = rf"(?<!\w){re.escape(old)}(?!\w)"
    count = rng.choice((0, 0, 1))
    changed = {k: re.sub(pattern, lambda _: new, t, count=count) for k, t in texts.items()}
    try:
        return case | {k: json.loads(t) for k, t in changed.items()}
    except ValueError:
        return case


def read(content: bytes, folder: Path) -> None:
    """Check the folder; what is accepted and says something else has to be true."""
    case = json.loads(content)
    _write(case, folder)
    check_folder(folder)
    known = original(case["name"])
    if _says(case) != _says(known):
        judge(case["record"], case["entry"], case["files"][case["entry"]["file"]])


def _write(case: Case, folder: Path) -> None:
    (folder / "proofs").mkdir(exist_ok=True)
    for old in (*folder.glob("*.cl"), *folder.glob("proofs/*")):
        old.unlink()
    name, entry, files = case["name"], case["entry"], dict(case["files"])
    main = original(name)["entry"]["file"]
    if "hashes" in case:
        case["record"]["text"] = line_hashes(files[main])
    data = bytes.fromhex(case["raw"]) if "raw" in case else json.dumps(case["record"]).encode()
    hashes = entry.get("sha256") if isinstance(entry, dict) else None
    for file, text in files.items():
        if "raw" not in case:
            text = re.sub(
                "(Certificates: proofs/, sha256 )[0-9a-f]+", rf"\g<1>{sha256(data)}", text
            )
        (folder / file).write_bytes(text.encode("utf-8", "surrogatepass"))
        if isinstance(hashes, dict) and file in hashes:
            hashes[file] = sha256(text)
    (folder / "proofs" / f"{name}.json").write_bytes(data)
    (folder / "proofs" / "operators.json").write_text(json.dumps(_used(name)))
    manifest = {"format": 1, "operators": {name: entry}}
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")


@cache
def _used(name: str) -> Any:
    """The operators of closed forms that an operator's claims name."""
    claims = json.dumps(original(name)["record"]["claims"])
    known = named()["operators"]
    return named() | {"operators": {n: v for n, v in known.items() if f"{n}(" in claims}}


def _says(case: Case) -> str:
    """What a case states: everything but how it is shown, and words that explain."""
    record = {k: v for k, v in case["record"].items() if k not in (*SECTIONS, "text")}
    claims = [{k: v for k, v in c.items() if k != "statement"} for c in record.get("claims", [])]
    kernels = [" ".join(body_of(t).split()) for t in case["files"].values()]
    shown = {k: v for k, v in case["entry"].items() if k != "sha256"}
    return json.dumps([record | {"claims": claims}, kernels, shown], sort_keys=True)


class Judge(Certificates):
    """Takes every obligation for granted, unless small numbers refute it."""

    def settle(self, where: str, facts: Any, goals: Any) -> None:
        """Raise Wrong for a goal that is false where the facts hold."""
        self._use_all()
        have = {(k, freeze(p)) for k, p in facts}
        for goal in goals:
            if certain_fact(goal) or (goal[0], freeze(goal[1])) in have:
                continue
            if found := counterexample(self.complete(facts, [goal]), goal):
                raise Wrong(f"{where}: accepted, but {show_fact(goal)} is false at {found}")

    def equal(self, where: str, facts: Any, left: Any, right: Any, relation: Any) -> None:
        """Raise Wrong where the sides differ."""
        self._use_all()
        if found := differing(relation.__self__.system, facts, left, right):
            raise Wrong(f"{where}: accepted, but {found}")

    def _use_all(self) -> None:
        """Proofs that nobody needs are refused; here none is looked at, even if it is no table."""
        self.used = {*self.proofs} if isinstance(self.proofs, dict) else set()

    def satisfied(self, where: str, facts: Any) -> None:
        """Whether there are such sizes is shown by an example, which was checked."""


def judge(record: Any, entry: Any, text: str) -> None:
    """Raise Wrong for an accepted record with a claim that numbers refute."""
    source = Source(entry["file"], text)
    operator = Operator(record, entry, source, Judge(record))
    operator.check(named()["operators"])
    for name, variant in entry["variants"].items():
        for kernel in (*variant["forward"], *variant["backward"]):
            if f"{kernel}.equation" in record.get("open", {}):
                continue
            target = entry["kernels"][kernel]["target"]
            found = kernel_example(operator.bases[name].system, operator.kernels[kernel], target)
            if found:
                raise Wrong(f"{kernel}: accepted, but {found}")


# -- the other records ----------------------------------------------------------------------------
def closed_forms(rng: Random) -> bytes:
    """The record of named operators."""
    some = rng.sample(sorted(named()["operators"]), 3)
    value = named() | {"operators": {n: named()["operators"][n] for n in some}}
    under = [rng.choice(("operators", "operators", *SECTIONS))]
    return json_bytes(rng, some_json(rng, value, under), 0.97)


def _closed_forms(content: bytes, folder: Path) -> None:
    _alone(content, folder, "operators.json")
    check_named(json.loads(content), Judge({"definition": EMPTY, **json.loads(content)}))


EMPTY: Any = {"tensors": {}, "lower": {}, "derived": {}, "sizes": []}


def transforms(rng: Random) -> bytes:
    """The record of Winograd's transforms."""
    value = json.loads((FOLDER / "proofs" / "winograd.json").read_text("utf-8"))
    value = {"transforms": [rng.choice(value["transforms"][:4])]}
    return json_bytes(rng, some_json(rng, value), 0.9)


def _transforms(content: bytes, folder: Path) -> None:
    _alone(content, folder, "winograd.json")
    for t in json.loads(content)["transforms"]:
        _correlates(t)


def _alone(content: bytes, folder: Path, file: str) -> None:
    (folder / "proofs").mkdir(exist_ok=True)
    for old in (folder / "proofs").glob("*"):
        old.unlink()
    (folder / "proofs" / file).write_bytes(content)
    (folder / "manifest.json").write_text('{"format": 1, "operators": {}}')
    check_folder(folder)


def _correlates(t: Any) -> None:
    """Raise Wrong unless the transform computes a correlation of random numbers."""
    from fractions import Fraction

    rng, (a, g, b) = Random(0), ([[Fraction(v) for v in r] for r in t[k]] for k in "AGB")
    w, y = ([rng.randrange(-9, 9) for _ in range(n)] for n in (t["r"], t["m"] + t["r"] - 1))
    n = len(y)
    left = [sum(g[p][i] * w[i] for i in range(len(w))) for p in range(n)]
    right = [sum(b[x][p] * y[x] for x in range(n)) for p in range(n)]
    for o in range(t["m"]):
        found = sum(a[p][o] * left[p] * right[p] for p in range(n))
        if found != sum(w[i] * y[o + i] for i in range(len(w))):
            raise Wrong(f"F({t['m']}, {t['r']}): accepted, but it is no correlation")


def _start() -> None:
    import z3  # noqa: F401 - a library that would else be loaded during a case

    examples.WORK = 20_000  # terms that a search for one counterexample adds up


LIST = (
    Reader("certificate", certificate, read, (Refused,), TEXT, seconds=20.0, start=_start),
    Reader("closed forms", closed_forms, _closed_forms, (Refused,), TEXT, start=_start),
    Reader("transforms", transforms, _transforms, (Refused,), TEXT, start=_start),
)
READERS = {r.name: r for r in LIST}
