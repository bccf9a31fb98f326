"""What the checker compares in a folder: records, manifest, texts, hashes; and what it prints."""

from __future__ import annotations

import copy
import json
import shutil
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from gradproof.codegen.generate import generated_folder
from gradproof.derive import checker
from gradproof.derive.checker import Certificates, Operator, Refused, Source, check_operator

FOLDER = generated_folder()
HEAVY = {"conv2d_backward", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"}


@cache
def load(file: str) -> Any:
    return json.loads((FOLDER / file).read_text("utf-8"))


def entry_of(name: str) -> Any:
    return load("manifest.json")["operators"][name]


def record_of(name: str) -> Any:
    return load(f"proofs/{name}.json")


def named() -> Any:
    return load("proofs/operators.json")["operators"]


NAMES = sorted({*load("manifest.json")["operators"]} - HEAVY)


class Watched(Certificates):
    """Notes which certificates are asked for."""

    asked: list[str]

    def search(self, key: str, *rest: Any) -> Any:
        self.asked.append(key)
        return super().search(key, *rest)


@pytest.mark.parametrize("name", NAMES)
def test_a_committed_operator_is_accepted_row_by_row(name: str) -> None:
    """Every kernel has four rows, every claim one; the rows count the certificates and steps."""
    record, entry = record_of(name), entry_of(name)
    certificates = Watched(record)
    certificates.asked = []
    text = (FOLDER / entry["file"]).read_text("utf-8")
    operator = Operator(record, entry, Source(entry["file"], text), certificates)
    rows = operator.check(named())
    assert [r["claim"] for r in rows] == [*dict.fromkeys(r["claim"] for r in rows)]
    claims = Counter(
        r["claim"].rpartition(".")[2].partition(" ")[0] for r in rows if "." in r["claim"]
    )
    for what in ("once", "range", "int32"):
        assert claims[what] == len(entry["kernels"])
    assert claims["equation"] >= len(entry["kernels"])
    assert [r["claim"] for r in rows][-len(record["claims"]) or len(rows) :] == [
        c["claim"] for c in record["claims"]
    ]
    assert all(r["status"] == "proved" and r["operator"] == name for r in rows)
    assert all(type(r["seconds"]) is float and 0 <= r["seconds"] < 600 for r in rows)
    proofs = record["proofs"]
    # the sizes of the definition are shown before the first row begins
    before = [k for k in certificates.asked if k in proofs]
    assert sum(r["bytes"] for r in rows) <= sum(len(json.dumps(proofs[k])) for k in before)
    assert sum(r["steps"] for r in rows) <= sum(len(proofs[k]) for k in before)
    assert {*before} == {*proofs}
    degrees = [len(i) for steps in proofs.values() for s in steps for _, i in s[2]]
    assert max(r["degree"] for r in rows) <= max(degrees, default=0)


def test_rows_say_what_was_shown_and_what_it_took() -> None:
    rows = {r["claim"]: r for r in check_operator(FOLDER, "linear", entry_of("linear"), named())}
    assert {k: v for k, v in rows["linear_z.equation"].items() if k != "seconds"} == {
        "claim": "linear_z.equation", "operator": "linear", "status": "proved", "degree": 0,
        "statement": "z[n, o] = b[o] + Σ_{k<K} Y[n, k]*w[o, k]", "steps": 0, "bytes": 0,
    }  # fmt: skip
    kernel = [c for c in rows if c.startswith("linear_z.")]
    assert kernel == ["linear_z.equation", "linear_z.once", "linear_z.range", "linear_z.int32"]
    record = record_of("linear")
    once = rows["linear_z.once"]
    assert once["statement"] == "z is written once at every place"
    assert (once["degree"], once["steps"], once["bytes"]) == (2, 3, 249)
    assert 249 in {len(json.dumps(p)) for p in record["proofs"].values()}
    told = "every read in the definition of z is inside its tensor or guarded"
    assert told not in {r["statement"] for r in rows.values()}  # a row only where it is open
    claim = rows["L1 linear"]
    assert claim["formal"] == "z == add_to_rows(matmul(Y, matrix_transpose(w)), b)"
    assert claim["given"] == "" and claim["statement"] == "z = Y w' + b"
    assert rows["L1 linear input gradient"]["formal"] == "dloss/dY == matmul(grad_z, w)"
    tile = rows["S1 linear_z tile n"]
    assert tile["given"] == "given (N)%TILE_n == 0"
    assert tile["formal"].startswith("0 <= n//TILE_n < (N)//TILE_n and 0 <= n%TILE_n < TILE_n and")
    assert tile["formal"].endswith(" given (N)%TILE_n == 0")
    tiled = rows["S2 linear_z text"]
    assert (tiled["status"], tiled["operator"], tiled["bytes"]) == ("tested", "linear", 64)
    assert tiled["degree"] == tiled["steps"] == 0 and tiled["seconds"] == 0.0
    told = "text bound by its hash, and by exact comparison with linear_z, which is proved"
    assert tiled["statement"] == told
    open_record = {**record, "open": {"linear_z.equation": "why"}}
    files = {t["file"]: (FOLDER / t["file"]).read_bytes() for t in record["tiled"].values()}
    whys = [r["statement"].rpartition(", ")[2] for r in checker.tiled_rows(open_record, files)]
    assert whys[0] == "which is tested too" and {*whys[1:]} == {"which is proved"}
    forms = check_operator(FOLDER, "avg_pool2d", entry_of("avg_pool2d"), named())
    (row,) = (r for r in forms if r["claim"] == "avg_pool2d_grad_Y_phases.equation")
    assert "given" not in row  # of all sizes
    conv = {r["claim"]: r for r in check_operator(FOLDER, "conv1d", entry_of("conv1d"), named())}
    row = conv["conv1d_grad_Y_phases.equation"]
    assert row["given"] == "given D = 1" or row["given"].startswith("given D")
    assert row["formal"] == f"conv1d_grad_Y_phases == grad_Y {row['given']}"


def test_what_a_claim_says_formally() -> None:
    formal, given = checker.formal, checker.given
    claim = {"left": {"partial": ["z", "Y"]}, "right": {"text": "0"}, "fixed": {"A": 1, "B": 2}}
    assert formal(claim) == "dz/dY == 0 given A = 1 and B = 2"
    assert given({**claim, "facts": ["N >= 2", "K >= 3"]}) == (
        "given A = 1 and B = 2 and N >= 2 and K >= 3"
    )
    assert given({"example": {"N": 1, "K": 2}, "fixed": {"N": 1}}) == "at N = 1, K = 2"
    assert formal({"left": {"adjoint": "Y"}, "example": {"N": 1}}) == "dloss/dY == 0 at N = 1"
    assert formal({"goals": ["a", "b"]}) == "a and b" and given({}) == ""


# -- the operator's files ------------------------------------------------------------------------
def small(tmp_path: Path, *operators: str) -> Path:
    """A folder of a few operators, closed forms and transforms."""
    folder = tmp_path / "generated"
    (folder / "proofs").mkdir(parents=True)
    manifest = {**load("manifest.json")}
    manifest["operators"] = {n: entry_of(n) for n in operators}
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    files = [f for n in operators for f in (*entry_of(n)["sha256"], f"proofs/{n}.json")]
    for file in [*files, "proofs/operators.json", "proofs/winograd.json"]:
        shutil.copy(FOLDER / file, folder / file)
    return folder


def edit(file: Path, change: Callable[[str], str]) -> None:
    before = file.read_text("utf-8")
    after = change(before)
    assert after != before
    file.write_text(after, "utf-8")


def edit_json(file: Path, change: Callable[[Any], object]) -> None:
    data = json.loads(file.read_text("utf-8"))
    change(data)
    file.write_text(json.dumps(data), "utf-8")


def test_a_folder_is_accepted_and_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = small(tmp_path, "relu", "linear")
    rows = checker.check_folder(folder)
    assert [*dict.fromkeys(r["operator"] for r in rows)] == [
        "closed forms", "relu", "linear", "winograd",
    ]  # fmt: skip
    assert checker.main([str(folder)]) == 0
    out = capsys.readouterr().out
    tested = sum(r["status"] == "tested" for r in rows)
    assert f"{len(rows) - tested} claims proved, {tested} tested only\nTaken on trust:" in out
    assert tested == 4
    line = next(x for x in out.splitlines() if "relu_z.once" in x)
    row = next(r for r in rows if r["claim"] == "relu_z.once")
    size = f"degree {row['degree']}, {row['steps']} steps, {row['bytes']} bytes"
    assert line == f"proved  {'relu':24}  {'relu_z.once':44}  {size}"
    (folder / "proofs" / "operators.json").unlink()  # a user's kernels claim no closed forms
    (folder / "proofs" / "winograd.json").unlink()
    with pytest.raises(Refused, match=r"add_to_rows|matmul|where_positive"):
        checker.check_folder(folder)


@pytest.mark.parametrize("arguments", [[], ["a", "b"]])
def test_one_folder_is_checked(arguments: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert checker.main(arguments) == 2
    assert capsys.readouterr().out == "    python3 -I derive/checker.py generated\n"


ERRORS = [Refused("x"), OSError("x"), ValueError("x"), KeyError("x"), TypeError("x")]
ERRORS += [AttributeError("x"), ZeroDivisionError("x"), RecursionError("x"), MemoryError("x")]
ERRORS += [StopIteration("x")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda e: type(e).__name__)
def test_every_error_is_a_refusal_in_one_line(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(_: Path) -> None:
        raise error

    monkeypatch.setattr(checker, "ledger_of", fails)
    assert checker.main(["."]) == 1
    out = capsys.readouterr().out
    assert out.startswith("refused: ") and out.count("\n") == 1
    named = f"a file is missing or damaged: {type(error).__name__}: {error}"
    assert out == f"refused: {'x' if isinstance(error, Refused) else named}\n"


def test_what_is_open_is_printed_as_tested(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"claim": "c", "operator": "o", "status": "tested", "why": "nobody knows"}
    monkeypatch.setattr(checker, "check_folder", lambda _: [row])
    assert checker.main(["."]) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        f"tested  {'o':24}  {'c':44}  not proved: nobody knows\n0 claims proved, 1"
    )


LINE = "the text is not the one that"
FILES: list[tuple[str, str, Callable[[Path], None]]] = [
    (
        "the header names other certificates",
        r"linear\.cl: the header does not name linear\.json as it is",
        lambda f: edit(f / "proofs/linear.json", lambda t: t + "\n"),
    ),
    (
        "a line above",
        r"^linear\.cl:35: linear_grad_Y: the two sides differ by",
        lambda f: edit(f / "linear.cl", lambda t: t.replace("#pragma", "// #\n#pragma", 1)),
    ),
    (
        "a line more",
        r"linear\.cl:\d+: this line is not the one that was proved$",
        lambda f: edit(f / "linear.cl", lambda t: t + "// more\n"),
    ),
    (
        "a line less",
        r"linear\.cl:\d+: this line is not the one that was proved",
        lambda f: edit(f / "linear.cl", lambda t: t[: t.rstrip("\n").rindex("\n") + 1]),
    ),
    (
        "the header's text",
        f"linear.cl: {LINE} the manifest lists",
        lambda f: edit(f / "linear.cl", lambda t: t.replace("//", "///", 1)),
    ),
    (
        "a tiled kernel",
        f"linear_z_tiled.cl: {LINE} was recorded",
        lambda f: edit(f / "linear_z_tiled.cl", lambda t: t + "\n"),
    ),
    (
        "another operator's certificates",
        r"linear\.json: these are certificates for relu",
        lambda f: edit_json(
            f / "proofs/linear.json", lambda r: r["definition"].update(name="relu")
        ),
    ),
    (
        "a record without a part",
        r"linear\.json is damaged: KeyError: 'maps'",
        lambda f: edit_json(f / "proofs/linear.json", lambda r: r.pop("maps")),
    ),
    (
        "a record with a part of another type",
        r"linear\.json is damaged: \w+Error: ",
        lambda f: edit_json(f / "proofs/linear.json", lambda r: r.update(maps=[])),
    ),
    (
        "the text and the proof",
        r"linear\.cl:\d+: this line is not the one that was proved; .*linear_z",
        lambda f: edit(f / "linear.cl", lambda t: t.replace("b[o];", "b[o] + b[o];", 1)),
    ),
    (
        "a closed form",
        "L1 linear: the two sides differ",
        lambda f: edit_json(
            f / "proofs/operators.json",
            lambda r: r["operators"]["matmul"].update(
                value=r["operators"]["matmul"]["value"] + "*2"
            ),
        ),
    ),
    (
        "a transform",
        "F\\(",
        lambda f: edit_json(
            f / "proofs/winograd.json", lambda r: r["transforms"][0]["A"][0].__setitem__(0, "7")
        ),
    ),
]


@pytest.mark.parametrize(("what", "message", "change"), FILES, ids=[f[0] for f in FILES])
def test_a_file_that_was_changed_is_refused(
    tmp_path: Path, what: str, message: str, change: Callable[[Path], None]
) -> None:
    folder = small(tmp_path, "linear")
    change(folder)
    with pytest.raises(Refused, match=message):
        checker.check_folder(folder)


# -- manifest and record ----------------------------------------------------------------------
def set_at(*path: Any) -> Callable[[Any], object]:
    """A change: path[:-1] leads to what becomes path[-1]."""

    def change(data: Any) -> None:
        for k in path[:-2]:
            data = data[k]
        data[path[-2]] = path[-1]

    return change


INTERFACE = [
    ("conv1d", "limits", set_at("limits", ["N"])),
    ("max_pool2d", "windows", set_at("windows", [])),
    ("conv1d", "conditions of tiled kernels", set_at("kernels", "conv1d_z", "tiled", "when", {})),
    ("sgd", "scalars", set_at("scalars", {})),
    ("sgd", "scalars", set_at("scalars", "lr", "int")),
    ("softmax_cross_entropy", "labels", set_at("labels", {})),
    ("softmax_cross_entropy", "labels", set_at("labels", "t", "C + 1")),
    ("linear", "lower bounds", set_at("lower", "K", 0)),
    ("linear", "sizes", set_at("sizes", ["K", "O", "N"])),
    ("conv1d", "sizes", set_at("sizes", ["N"])),
    ("conv1d", "requirements", set_at("requires", [])),
    ("conv1d", "derived sizes", lambda e: e["derived"].update(dict.fromkeys(e["derived"], "N"))),
    ("linear", "shape", set_at("variants", "linear", "tensors", "Y", "shape", ["K", "N"])),
    ("linear", "shape", set_at("variants", "linear", "tensors", "grad_w", "shape", ["O", "K + 1"])),
]


@pytest.mark.parametrize("k", range(len(INTERFACE)))
def test_the_manifest_tells_a_host_what_the_definition_says(k: int) -> None:
    name, what, change = INTERFACE[k]
    entry = copy.deepcopy(entry_of(name))
    checker.same_interface(record_of(name), entry)
    change(entry)
    with pytest.raises(Refused, match=rf"^{name}: the manifest has (other )?{what}"):
        checker.same_interface(record_of(name), entry)


def test_a_tensor_of_no_name_has_no_shape() -> None:
    entry = copy.deepcopy(entry_of("linear"))
    entry["variants"]["linear"]["tensors"]["other"] = {"shape": ["N"], "dtype": "real"}
    with pytest.raises((Refused, TypeError)):
        checker.same_interface(record_of("linear"), entry)


KERNELS = [  # (operator, what the message says, change of the entry)
    ("linear", "other arguments", set_at("kernels", "linear_z", "work_items", "N*O + 1")),
    ("linear", "other arguments", set_at("kernels", "linear_z", "arguments", [])),
    ("linear", "other arguments", set_at("kernels", "linear_z", "arguments", 0, "kind", "write")),
    ("linear", "other arguments", set_at("kernels", "linear_z", "arguments", 0, "dtype", "int")),
    ("linear", "other arguments", set_at("kernels", "linear_z", "arguments", 3, "kind", "read")),
    ("linear", "other arguments", set_at("kernels", "linear_z", "arguments", 4, "kind", "scalar")),
    ("sgd", "other arguments",
    lambda e: e["kernels"]["sgd_p_new"]["arguments"][-2].update(kind="read")),
    ("linear", "works in place", set_at("kernels", "linear_z", "in_place", True)),
    ("linear", "other inputs or outputs", set_at("variants", "linear", "inputs", ["Y", "w"])),
    ("linear", "other inputs or outputs", set_at("variants", "linear", "inputs", ["Y", "b", "w"])),
    ("linear", "other inputs or outputs", set_at("variants", "linear", "outputs", [])),
    ("linear", "of no variant", set_at("variants", "linear", "backward", [])),
    ("linear", "in the order", lambda e: e["variants"]["linear"]["backward"].reverse()),
    ("linear", "kernels and manifest differ", lambda e: e["kernels"].pop("linear_z")),
    ("linear", "no kernel computes the gradient of b", lambda e: drop(e, "linear_grad_b")),
    ("linear", "writes z, not Y|in this order", set_at("kernels", "linear_z", "target", "Y")),
    ("conv1d", "of no variant|phases and of",
    lambda e: e["kernels"]["conv1d_grad_Y"].pop("phases")),
    ("conv1d", "phases and of name", lambda e: e["kernels"]["conv1d_grad_Y_phases"].pop("of")),
    (
        "conv1d", "phases and of name",
        lambda e: e["kernels"]["conv1d_grad_Y_phases"].update(of="conv1d_z"),
    ),
    ("conv1d", "not of sizes and integers", lambda e: phases(e).update(when={"OW": 1})),
    ("conv1d", "not of sizes and integers", lambda e: phases(e).update(when={"D": "1"})),
    ("conv1d", "not of sizes and integers", lambda e: phases(e).update(when={"D": True})),
    (
        "conv1d", "is not launched like",
        lambda e: e["kernels"]["conv1d_grad_Y_phases"].update(target="grad_w"),
    ),
    (
        "conv1d", "is not launched like",
        lambda e: e["kernels"]["conv1d_grad_Y_phases"].update(work_items="N"),
    ),
    (
        "conv1d", "is not launched like",
        lambda e: e["kernels"]["conv1d_grad_Y_phases"].update(in_place=True),
    ),
    (
        "conv1d", "is not launched like",
        lambda e: e["kernels"]["conv1d_grad_Y_phases"]["arguments"].insert(
            0, {"name": "b", "kind": "read", "dtype": "real"}
        ),
    ),
]  # fmt: skip


def drop(entry: Any, kernel: str) -> None:
    """A kernel that is in the text and of another variant only."""
    entry["variants"]["linear"]["backward"].remove(kernel)
    entry["variants"]["linear_without_b"]["backward"].append(kernel)


def phases(entry: Any) -> Any:
    return entry["kernels"]["conv1d_grad_Y"]["phases"]


def operator_of(name: str, entry: Any = None, text: str | None = None, **changes: Any) -> Operator:
    entry = entry or entry_of(name)
    text = (FOLDER / entry["file"]).read_text("utf-8") if text is None else text
    return Operator({**record_of(name), **changes}, entry, Source(entry["file"], text))


@pytest.mark.parametrize("k", range(len(KERNELS)))
def test_the_manifest_tells_a_host_what_the_kernels_are(k: int) -> None:
    name, message, change = KERNELS[k]
    entry = copy.deepcopy(entry_of(name))
    change(entry)
    with pytest.raises(Refused, match=message):
        operator_of(name, entry).check(named())


def two_forms(entry: Any) -> None:
    """A form of two kernels."""
    kernels = entry["kernels"]
    kernels["conv1d_z"]["phases"] = {"kernel": "conv1d_grad_Y_phases", "when": {}}


def chain(entry: Any) -> None:
    """A form that has a form itself."""
    kernels = entry["kernels"]
    kernels["conv1d_grad_Y_phases"]["phases"] = {"kernel": "conv1d_z", "when": {}}
    kernels["conv1d_z"]["of"] = "conv1d_grad_Y_phases"


@pytest.mark.parametrize("change", [two_forms, chain])
def test_a_form_stands_in_for_one_kernel(change: Callable[[Any], None]) -> None:
    entry = copy.deepcopy(entry_of("conv1d"))
    change(entry)
    with pytest.raises(Refused, match=r"phases and of name|form of two, or has one itself"):
        operator_of("conv1d", entry).check(named())


def test_a_form_is_of_sizes_that_are_as_required() -> None:
    entry = copy.deepcopy(entry_of("conv1d"))
    phases(entry)["when"] = {"D": 0}
    with pytest.raises(Refused, match=r"\{'D': 0\} breaks"):
        operator_of("conv1d", entry).check(named())
    phases(entry)["when"] = {}  # the text is right where D = 1
    with pytest.raises(Refused, match="conv1d_grad_Y_phases"):
        operator_of("conv1d", entry).check(named())


def test_an_operator_whose_output_is_read_again_has_no_such_gradient() -> None:
    entry = copy.deepcopy(entry_of("softmax_cross_entropy"))
    definition = copy.deepcopy(record_of("softmax_cross_entropy")["definition"])
    definition["outputs"] = ["s", "loss"]
    (variant,) = entry["variants"].values()
    variant["outputs"] = ["s", "loss"]
    with pytest.raises(Refused, match="an output is read again"):
        operator_of("softmax_cross_entropy", entry, definition=definition).check(named())


def test_a_gradient_that_nobody_asks_for_is_refused() -> None:
    definition = copy.deepcopy(record_of("linear")["definition"])
    definition["constant"] = ["b"]
    with pytest.raises(Refused, match=r"\['grad_b'\] is no gradient that is asked for"):
        operator_of("linear", definition=definition).check(named())


def test_a_kernel_reads_what_is_there() -> None:
    entry = copy.deepcopy(entry_of("softmax_cross_entropy"))
    (variant,) = entry["variants"].values()
    variant["backward"] = []
    text = (FOLDER / "softmax_cross_entropy.cl").read_text("utf-8")
    record = copy.deepcopy(record_of("softmax_cross_entropy"))
    record["definition"]["equations"][3:4] = []
    with pytest.raises(Refused):
        Operator(record, entry, Source("softmax_cross_entropy.cl", text)).check(named())


# -- Winograd's transforms ---------------------------------------------------------------------
TRANSFORMS: list[tuple[str, Callable[[Any], object]]] = [
    ("are not m, r, points, A, G and B", lambda t: t.pop("m")),
    ("are not m, r, points, A, G and B", lambda t: t.update(more=1)),
    ("are not integers of at least 1", lambda t: t.update(m="2")),
    ("are not integers of at least 1", lambda t: t.update(m=2.0)),
    ("are not integers of at least 1", lambda t: t.update(r=True)),
    ("are not integers of at least 1", lambda t: t.update(m=0)),
    ("are not integers of at least 1", lambda t: t.update(r=-1)),
    ("A is not a list of", lambda t: t["A"].pop()),
    ("A is not a list of", lambda t: t.update(A="1")),
    ("A is not a list of", lambda t: t["A"].__setitem__(0, "111")),
    ("G is not a list of", lambda t: t["G"][0].pop()),
    ("B is not a list of", lambda t: t["B"].append(t["B"][0])),
    (r"A\[0\]\[0\] is 1$", lambda t: t["A"][0].__setitem__(0, 1)),
    (r"G\[1\]\[2\] is '1e0'", lambda t: t["G"][1].__setitem__(2, "1e0")),
    (r"G\[1\]\[0\] is '1/0'", lambda t: t["G"][1].__setitem__(0, "1/0")),
    (r"B\[1\]\[0\] is '0\.5'", lambda t: t["B"][1].__setitem__(0, "0.5")),
    (r"B\[0\]\[1\] is ' 1'", lambda t: t["B"][0].__setitem__(1, " 1")),
    ("points is not", lambda t: t["points"].reverse()),
    ("points is not", lambda t: t.update(points=[])),
    (r"at o = \d, i = \d, x = \d the sum is", lambda t: t["B"][0].__setitem__(0, "7")),
    (r"at o = \d, i = \d, x = \d the sum is", lambda t: t["A"].reverse()),
]


@pytest.mark.parametrize("k", range(len(TRANSFORMS)))
def test_a_wrong_transform_is_refused(k: int) -> None:
    message, change = TRANSFORMS[k]
    t = next(t for t in load("proofs/winograd.json")["transforms"] if (t["m"], t["r"]) == (2, 3))
    forged = copy.deepcopy(t)
    change(forged)
    with pytest.raises(Refused, match=message):
        checker.check_transforms({"transforms": [t, forged]})


def test_every_entry_of_a_transform_matters() -> None:
    t = next(t for t in load("proofs/winograd.json")["transforms"] if (t["m"], t["r"]) == (2, 3))
    for name in "AGB":
        for k, row in enumerate(t[name]):
            for j, old in enumerate(row):
                forged = copy.deepcopy(t)
                forged[name][k][j] = f"{old}1" if old != "0" else "1"
                with pytest.raises(Refused, match=r"the sum is|points"):
                    checker.check_transform(forged)


def test_small_transforms_and_rows_of_the_ledger() -> None:
    one = {"m": 1, "r": 1, "points": [], "A": [["1"]], "G": [["1"]], "B": [["1"]]}
    rows = checker.check_transforms({"transforms": [one]})
    assert [r["claim"] for r in rows] == [
        "W1 forward F(1,1)", "W2 input gradient F(1,1)", "W3 weight gradient F(1,1)"
    ]  # fmt: skip
    assert [r["statement"] for r in rows] == [*checker.FORMS.values()]
    for r in rows:
        assert (r["operator"], r["status"], r["degree"], r["steps"]) == ("winograd", "proved", 3, 1)
        assert r["bytes"] == len(json.dumps(one)) and 0 <= r["seconds"] < 60
    for m, r, a, g in ((1, 2, [["1"], ["1"]], [["1", "0"], ["0", "1"]]),):
        t = {"m": m, "r": r, "points": ["0", "infinity"], "A": a, "G": g,
             "B": [["1", "0"], ["0", "1"]]}  # fmt: skip
        checker.check_transform(t)
    with pytest.raises(Refused, match="not m, r"):
        checker.check_transform([])


# -- closed forms ------------------------------------------------------------------------------
def test_closed_forms_read_inside_their_operands() -> None:
    closed = load("proofs/operators.json")
    rows = checker.check_named(closed)
    assert [r["claim"] for r in rows] == [f"{n} is defined" for n in closed["operators"]]
    for row, op in zip(rows, closed["operators"].values(), strict=True):
        assert (row["operator"], row["status"], row["seconds"]) == ("closed forms", "proved", 0.0)
        assert row["statement"] == f"{op['statement']} (its reads are inside its operands, or 0)"
    assert sum(r["bytes"] for r in rows) >= sum(
        len(json.dumps(p)) for p in closed["proofs"].values()
    )
    assert max(r["degree"] for r in rows) >= 1
    assert sum(r["steps"] for r in rows) >= sum(map(len, closed["proofs"].values()))
    assert rows[0]["bytes"] == 0 or rows[0]["bytes"] < sum(r["bytes"] for r in rows)


@pytest.mark.parametrize(
    "change",
    [
        {"value": "a[n + 1]"}, {"value": "a[n - 1]"}, {"value": "sum[i:N](a[i + 1])"},
        {"shape": ["N + 1"]}, {"value": "sum[i:N](a[i + n], i >= 1)"},
        {"lower": {"N": 1}, "value": "a[N - 2]"},
    ],
)  # fmt: skip
def test_a_closed_form_that_leaves_its_operand_is_refused(change: Any) -> None:
    op = {"arguments": {"a": ["N"]}, "parameters": [], "outside": {}, "lower": {}, "shape": ["N"],
          "indices": ["n"], "value": "a[n]", "statement": ""}  # fmt: skip
    record = {"proofs": {}, "maps": {}, "cofactors": {}}
    assert len(checker.check_named({**record, "operators": {"f": op}})) == 1
    zero = {**op, **change, "outside": {"a": "zero"}}
    assert len(checker.check_named({**record, "operators": {"f": zero}})) == 1
    with pytest.raises(Refused, match="operator f: no certificate shows"):
        checker.check_named({**record, "operators": {"f": {**op, **change}}})
