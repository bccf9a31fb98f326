"""A user's own file, outside the package: derive, verify and generate take it as it is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from gradproof.cli.main import app
from gradproof.cli.source import load
from gradproof.codegen import folder as folders
from gradproof.codegen.generate import generated_folder
from gradproof.derive.prove import finder
from gradproof.runtime.build import CACHE_VARIABLE
from gradproof.runtime.errors import GradproofError

CHECKER = Path(__file__).resolve().parents[1] / "derive" / "checker.py"
SCALE = """from gradproof import operator

scale = operator("scale", "y[n,k] = g[k]*x[n,k]", {"x": "N, K", "g": "K"}, names={"g": "weight"})
"""
DOT = """import gradproof as gp
from shapes import SHAPES

dot = gp.operator("dot", "s[n,m] = sum(x[n,k]*y[m,k])", SHAPES)
"""


def gradproof(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with two files of definitions, and an empty cache elsewhere."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "cache"))
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "scale.py").write_text(SCALE)
    (folder / "dot.py").write_text(DOT)
    (folder / "shapes.py").write_text('SHAPES = {"x": "N, K", "y": "M, K"}\n')
    return folder


def everything(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


# -- load ---------------------------------------------------------------------------------------
def test_load_finds_the_definitions_and_leaves_nothing(place: Path) -> None:
    before, path = everything(place), list(sys.path)
    assert list(load(str(place / "dot.py"))) == ["dot"]
    assert list(load(f"{place / 'scale.py'}:scale")) == ["scale"]
    assert list(load("conv2d")) == ["conv2d"]
    assert everything(place) == before and sys.path == path


def test_files_beside_it_are_read_anew(place: Path) -> None:
    load(str(place / "dot.py"))
    (place / "shapes.py").write_text('SHAPES = {"x": "P, Q", "y": "M, Q"}\n')
    again = load(str(place / "dot.py"))["dot"]
    assert [str(n) for n in again.tensor("x").shape] == ["P", "Q"]
    assert "shapes" not in sys.modules


def test_what_a_file_prints_does_not_reach_standard_output(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "scale.py").write_text("print('hello')\n" + SCALE)
    load(str(place / "scale.py"))
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err == "hello\n"


BAD_FILES = {
    "no operator": ("x = 1\n", "no operator; write one as"),
    "a syntax error": ("x = 1\ny = (\n", "line 2: SyntaxError: '(' was never closed"),
    "an import error": ("\nimport no_such_module\n", "line 2: ModuleNotFoundError: No module"),
    "an error": ("\n\n1/0\n", "line 3: ZeroDivisionError: division by zero"),
    "an exit": ("raise SystemExit(3)\n", "line 1: SystemExit: 3"),
    "a bad definition": (SCALE.replace("g[k]*", "q[k]*"), "line 3: scale: in 'q[k]': 'q' is not"),
    "two of one name": (
        SCALE + SCALE.partition("\n\n")[2].replace("scale =", "b ="),
        "two operator",
    ),
    "no text": ("\0", "SyntaxError"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_bad_file_is_one_message_with_its_line(case: str, place: Path) -> None:
    content, message = BAD_FILES[case]
    path = place / "bad.py"
    path.write_text(content)
    before = everything(place)
    for command in (["derive"], ["verify"], ["generate", "--out", place / "kernels"]):
        result = gradproof(*command, path)
        assert result.exit_code == 2, result.output
        assert result.stderr.startswith(f"error: {path}") and message in result.stderr
        assert result.stderr.count("\n") == 1
    assert everything(place) == before and not (place / "kernels").exists()


def test_what_is_no_file(place: Path) -> None:
    for where, message in (
        (str(place / "none.py"), "none.py: no such file"),
        (str(place / "scale.py:other"), "there is no operator 'other'; it has scale"),
        (str(place), "a file with definitions ends in .py"),
        ("conv9d", "a file of your own ends in .py"),
    ):
        with pytest.raises(GradproofError) as error:
            load(where)
        assert message in str(error.value)
    (place / "folder.py").mkdir()
    with pytest.raises(GradproofError, match="not a file"):
        load(str(place / "folder.py"))


def test_an_empty_name_is_no_folder(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    before = everything(place)
    result = gradproof("generate", "scale.py", "--out", "")
    assert result.exit_code == 2 and "the folder is empty" in result.stderr
    assert everything(place) == before


# -- derive and verify --------------------------------------------------------------------------
def test_derive_shows_every_operator_of_the_file(place: Path) -> None:
    (place / "both.py").write_text(SCALE + "from dot import dot\n")
    result = gradproof("derive", place / "both.py")
    assert result.exit_code == 0, result.output
    assert "Operator scale" in result.output and "Operator dot" in result.output
    result = gradproof("derive", place / "scale.py", "--wrt", "weight")
    assert result.exit_code == 0, result.output
    assert "grad_g[k] = Σ_{n<N}" in result.output
    assert gradproof("derive", place / "dot.py", "--latex").output.count("align*") > 2
    result = gradproof("derive", place / "scale.py", "--wrt", "bias")
    assert result.exit_code == 2 and "x, g (weight)" in result.output


def test_verify_finds_certificates_and_reloads_them(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(place)
    result = gradproof("verify", place / "scale.py", "--json")
    assert result.exit_code == 0, result.output
    rows = json.loads(result.stdout)
    proved = {r["claim"] for r in rows if r["status"] == "proved"}
    for kernel in ("scale_y", "scale_grad_x", "scale_grad_g"):
        assert {f"{kernel}.{what}" for what in ("equation", "once", "range", "int32")} <= proved

    def fail(*_: object) -> None:
        raise AssertionError("searched again")

    monkeypatch.setattr(finder.Finder, "__init__", fail)
    again = json.loads(gradproof("verify", place / "scale.py", "--json").stdout)
    assert [(r["claim"], r["status"]) for r in again] == [(r["claim"], r["status"]) for r in rows]
    assert everything(place) == before


def test_a_damaged_certificate_is_searched_anew(place: Path, tmp_path: Path) -> None:
    assert gradproof("verify", place / "scale.py").exit_code == 0
    (kept,) = (tmp_path / "cache" / "certificates").rglob("scale.record")
    good = kept.read_bytes()
    for damage in (b"{", good.replace(b"proofs", b"pr00fs")):
        assert damage != good
        kept.write_bytes(damage)
        assert gradproof("verify", place / "scale.py").exit_code == 0
        assert kept.read_bytes() == good


def test_an_exact_comparison_is_not_claimed_before_it_was_made(place: Path) -> None:
    rows = json.loads(gradproof("verify", place / "dot.py", "--json").stdout)
    texts = [r for r in rows if r["claim"].startswith("S2 ")]
    assert texts and all("compared with the proved kernel by: " in r["statement"] for r in texts)
    assert all(r["status"] == "tested" for r in texts)
    result = gradproof("verify", place / "dot.py", "--tiled")
    assert result.exit_code == 2 and "gradproof selftest" in result.output


# -- generate -----------------------------------------------------------------------------------
def check_alone(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(CHECKER), str(folder)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_generate_writes_a_folder_that_the_checker_accepts(place: Path) -> None:
    out = place / "kernels"
    result = gradproof("generate", place / "scale.py", "--out", out)
    assert result.exit_code == 0, result.output
    assert f"wrote {out / 'scale.cl'}" in result.output
    done = check_alone(out)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "scale_grad_g.equation" in done.stdout
    written = everything(out)
    assert "is up to date" in gradproof("generate", place / "scale.py", "--out", out).output
    assert "agrees" in gradproof("generate", place / "scale.py", "--out", out, "--check").output
    assert everything(out) == written
    (out / "scale.cl").write_text((out / "scale.cl").read_text().replace("N", "M", 1))
    result = gradproof("generate", place / "scale.py", "--out", out, "--check")
    assert result.exit_code == 1 and "--- generated/scale.cl" in result.output
    assert check_alone(out).returncode == 1


def test_files_of_definitions_share_a_folder(place: Path) -> None:
    out = place / "kernels"
    for name in ("scale.py", "dot.py"):
        assert gradproof("generate", place / name, "--out", out).exit_code == 0
    entries = folders.entries_in(out)
    assert list(entries) == ["dot", "scale"]
    done = check_alone(out)
    assert done.returncode == 0 and "dot_s" in done.stdout and "scale_y" in done.stdout
    result = gradproof("generate", "--out", out)  # of all shipped operators
    assert result.exit_code == 2 and "operators of your own: dot, scale" in result.output


def test_a_changed_definition_replaces_its_own_files_only(place: Path) -> None:
    out = place / "kernels"
    gradproof("generate", place / "scale.py", "--out", out)
    gradproof("generate", place / "dot.py", "--out", out)
    scale = {n: c for n, c in everything(out).items() if "scale" in n}
    mine = out / "mine.cl"
    mine.write_text("__kernel void mine() {}\n")
    tiled = {n for n in everything(out) if n.startswith("dot_") and n.endswith("_tiled.cl")}
    (place / "dot.py").write_text(DOT.replace("s[n,m] = sum(x[n,k]*y[m,k])", "s[n,k] = x[n,k]"))
    (place / "shapes.py").write_text('SHAPES = {"x": "N, K"}\n')
    result = gradproof("generate", place / "dot.py", "--out", out)
    assert result.exit_code == 0, result.output
    assert tiled and not tiled & set(everything(out))
    assert {n: c for n, c in everything(out).items() if "scale" in n} == scale
    assert mine.exists() and check_alone(out).returncode == 0


def test_a_name_that_a_shipped_operator_has(place: Path) -> None:
    (place / "linear.py").write_text(SCALE.replace('"scale"', '"linear"'))
    result = gradproof("verify", place / "linear.py")
    assert result.exit_code == 0, result.output
    out = place / "kernels"
    assert gradproof("generate", place / "linear.py", "--out", out).exit_code == 0
    assert check_alone(out).returncode == 0
    assert load("linear")["linear"] != load(str(place / "linear.py"))["linear"]


def test_generate_needs_a_folder(place: Path) -> None:
    before = everything(generated_folder())
    result = gradproof("generate", place / "scale.py")
    assert result.exit_code == 2 and "needs --out" in result.output
    assert everything(generated_folder()) == before


@pytest.mark.parametrize("name", ["scale.cl", "manifest.json", "proofs/scale.json"])
def test_what_was_not_generated_is_never_overwritten(name: str, place: Path) -> None:
    out = place / "kernels"
    (out / "proofs").mkdir(parents=True)
    (out / name).write_text('{"mine": 1}\n')
    before = everything(out)
    result = gradproof("generate", place / "scale.py", "--out", out)
    assert result.exit_code == 2 and str(out / name) in result.output
    assert "nothing was written" in result.output
    assert everything(out) == before


def test_two_operators_never_share_a_file(place: Path) -> None:
    out = place / "kernels"
    gradproof("generate", place / "scale.py", "--out", out)
    before = everything(out)
    (place / "upper.py").write_text(SCALE.replace('"scale"', '"SCALE"'))
    result = gradproof("generate", place / "upper.py", "--out", out)
    assert result.exit_code == 2 and "rename one of them" in result.output
    assert everything(out) == before


@pytest.mark.parametrize("fails_at", ["write", "rename"])
def test_an_error_leaves_the_folder_as_it_was(
    fails_at: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The third write or rename fails, once in a new folder and once in one with kernels."""
    out, method = place / "kernels", {"write": "write_bytes", "rename": "replace"}[fails_at]
    real, calls = getattr(Path, method), []

    def failing(self: Path, *arguments: Any) -> Any:
        calls.append(self)
        if len(calls) == 3:
            raise OSError(28, "No space left on device", str(self))
        return real(self, *arguments)

    def fail_once() -> None:
        calls.clear()
        with monkeypatch.context() as patch:
            patch.setattr(Path, method, failing)
            with pytest.raises(OSError, match="No space"):
                folders.replace_all(out, new, gone)

    new: dict[str, str] = {"a.cl": "a", "b.cl": "b", "proofs/c.json": "c", "manifest.json": "d"}
    gone: list[str] = []
    fail_once()
    assert not out.exists()
    folders.replace_all(out, dict.fromkeys((*new, "gone.cl"), "old"))
    before, gone = everything(out), ["gone.cl"]
    fail_once()
    assert everything(out) == before
