"""generated/ is what the derivations give, to the byte, and `gradproof generate` says so."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gradproof.cli.main import app
from gradproof.codegen import generate as generating
from gradproof.codegen.folder import GENERATED, replace_all
from gradproof.codegen.generate import (
    differences,
    generated_folder,
    render_all,
    strangers,
)
from gradproof.derive.registry import find, operators

ROOT = Path(__file__).resolve().parents[1]
TEMPLATES = ROOT / "codegen" / "templates"

SEVERAL = ("batch_norm", "conv2d", "conv2d_backward", "cross_entropy", "max_pool2d")
HASH_SEVERAL = f"""
import hashlib
from gradproof.codegen.generate import render_all
from gradproof.derive.registry import find
for name, text in render_all(map(find, {SEVERAL})).items():
    print(name, hashlib.sha256(text.encode()).hexdigest())
"""


@pytest.fixture
def files() -> dict[str, str]:
    """The committed files, which the first test holds to the derivations."""
    paths = [p for p in generated_folder().rglob("*") if p.suffix in (".cl", ".json")]
    return {p.relative_to(generated_folder()).as_posix(): p.read_text("utf-8") for p in paths}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The files of a project with two operators: what a folder is held to is the same."""
    chosen = {name: find(name) for name in ("add", "relu")}
    monkeypatch.setattr(generating, "operators", lambda: chosen)
    return render_all()


@pytest.fixture
def copy(tmp_path: Path, few: dict[str, str]) -> Path:
    folder = tmp_path / "generated"
    replace_all(folder, few)
    return folder


def gradproof(*args: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, list(args))
    return result.exit_code, result.output


def test_the_committed_kernels_are_the_derived_ones() -> None:
    files = render_all()
    assert differences(generated_folder(), files, strangers(generated_folder(), files)) == ""


@pytest.mark.slow
def test_two_processes_with_different_hash_seeds_write_the_same_bytes() -> None:
    out = [
        subprocess.run(
            [sys.executable, "-c", HASH_SEVERAL],
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "4242")
    ]
    assert out[0] == out[1]
    assert len(out[0].splitlines()) > len(SEVERAL)


def test_check_is_clean(copy: Path) -> None:
    code, output = gradproof("generate", "--check", "--out", str(copy))
    assert code == 0
    assert "agrees with the derivations" in output


def test_check_shows_a_tampered_kernel_and_writes_nothing(copy: Path) -> None:
    path = copy / "relu.cl"
    tampered = path.read_text("utf-8").replace("<= 0", "< 0")
    path.write_text(tampered, "utf-8")
    code, output = gradproof("generate", "--check", "--out", str(copy))
    assert code == 1
    assert "--- generated/relu.cl" in output and "+++ derived/relu.cl" in output
    assert re.search(r"^-.* < 0", output, re.M) and re.search(r"^\+.* <= 0", output, re.M)
    assert path.read_text("utf-8") == tampered


def test_check_shows_a_missing_file_and_one_that_no_operator_owns(copy: Path) -> None:
    (copy / "relu.cl").unlink()
    shutil.copy(copy / "add.cl", copy / "old.cl")
    code, output = gradproof("generate", "--check", "--out", str(copy))
    assert code == 1
    assert "+++ derived/relu.cl" in output and "--- generated/old.cl" in output


def test_generate_says_what_it_changed_and_repairs(copy: Path) -> None:
    (copy / "relu.cl").write_text("// broken\n")
    shutil.copy(copy / "add.cl", copy / "old.cl")
    code, output = gradproof("generate", "--out", str(copy))
    assert code == 0
    assert re.findall(r"^(wrote|removed) .*/(.*)$", output, re.M) == [
        ("wrote", "relu.cl"),
        ("removed", "old.cl"),
    ]
    assert "is up to date" in gradproof("generate", "--out", str(copy))[1]


def test_a_kernel_of_the_users_own_is_never_touched(copy: Path, few: dict[str, str]) -> None:
    mine = copy / "mine.cl"
    mine.write_text("__kernel void mine() {}\n")
    assert replace_all(copy, few, strangers(copy, few)) == [] and mine.exists()
    assert differences(copy, few, strangers(copy, few)) == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(copy: Path) -> None:
    (copy / "relu.cl").unlink()
    copy.chmod(stat.S_IRUSR | stat.S_IXUSR)
    code, output = gradproof("generate", "--out", str(copy))
    assert code == 2 and "cannot write" in output and "--out" in output


def test_a_path_that_is_no_folder(tmp_path: Path, few: dict[str, str]) -> None:
    path = tmp_path / "file"
    path.write_text("mine")
    code, output = gradproof("generate", "--out", str(path))
    assert code == 2 and "cannot write" in output
    assert path.read_text() == "mine"


def test_every_kernel_file_says_that_it_is_generated(files: dict[str, str]) -> None:
    for name, text in files.items():
        if name.endswith(".cl"):
            assert GENERATED in text.splitlines()[0].encode(), name
            assert text.endswith("}\n") and "\r" not in text, name


def test_the_manifest_hashes_the_files(files: dict[str, str]) -> None:
    manifest = json.loads(files["manifest.json"])
    hashes = {n: h for op in manifest["operators"].values() for n, h in op["sha256"].items()}
    assert set(hashes) == {n for n in files if n.endswith(".cl")}
    for name, expected in hashes.items():
        assert hashlib.sha256(files[name].encode()).hexdigest() == expected


def test_templates_and_generator_name_no_operator() -> None:
    """Arithmetic comes from the nest: the code knows loops and access patterns only."""
    arithmetic = {"add", "sub", "mul", "div", "linear"}  # words of the algebra too
    families = {"conv", "convolution", "pool", "softmax", "norm", "loss", "upsample"}
    names = ({*operators()} - arithmetic - {"tanh"}) | families  # tanh: C's own function
    assert arithmetic < {*operators()}
    exactly = "|".join(f"{n}(?![a-z])" for n in sorted(arithmetic))  # as a text: a name to ask for
    word = re.compile(rf"\b({'|'.join(sorted(names))})|['\"]({exactly})", re.I)
    for path in [*TEMPLATES.glob("*.j2"), *(ROOT / "codegen").glob("*.py")]:
        text = re.sub(r'""".*?"""|\{#.*?#\}', "", path.read_text("utf-8"), flags=re.S)
        code = re.sub(r"(?m)(#|//) .*$", "", text)
        found = [m[0] for m in word.finditer(code)]
        assert not found, f"{path.name}: {found}"
    for wrong in ("if name == 'conv2d':", "layer_norm(x)", 'd.name == "mul"', "GELU_TANH", "l1("):
        assert word.search(wrong), wrong  # the check can fail


def test_one_operator_alone_gives_the_same_kernels(files: dict[str, str]) -> None:
    alone = render_all([find("conv2d")])
    assert {n: t for n, t in alone.items() if n.endswith(".cl")}.items() <= files.items()


def test_derive_prints_and_refuses() -> None:
    code, output = gradproof("derive", "conv2d", "--wrt", "weight")
    assert code == 0 and "grad_w[o, c, i, j] = Σ_{n<N,x<OH,y<OW}" in output
    code, output = gradproof("derive", "conv2d", "--wrt", "w", "--latex")
    assert code == 0 and r"\begin{align*}" in output
    code, output = gradproof("derive", "conv9d")
    assert code == 2 and "known: accumulate, adam, adamw, adaptive_avg_pool2d" in output
    code, output = gradproof("derive", "conv2d", "--wrt", "target")
    assert code == 2 and "Y (input), w (weight), b (bias)" in output
