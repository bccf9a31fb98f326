"""docs/write-an-operator.md and examples/: what they say is what happens."""

from __future__ import annotations

import importlib
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import gradproof as gp
from gradproof.cli import main
from gradproof.derive.checker import check_folder

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "write-an-operator.md").read_text("utf-8")
EXAMPLES = ROOT / "examples"
BLOCKS = dict(re.findall(r"^`(\w+\.py)`:\n\n```python\n(.*?)```", PAGE, flags=re.S | re.M))
SHOWN = re.findall(r"```text\n(.*?)```", PAGE, flags=re.S)


def run(*args: str, code: int = 0) -> str:
    result = CliRunner().invoke(main.app, args, prog_name="gradproof")
    assert result.exit_code == code, result.output
    return result.output if code else result.stdout


def words(text: str) -> str:
    """Without line breaks and the widths of columns."""
    return " ".join(text.split())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the page's files, as the present one."""
    for name, text in BLOCKS.items():
        (tmp_path / name).write_text(text, "utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def examples(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Imports an example, or a file of the present folder, as the script that it is."""

    def load(name: str, where: Path = EXAMPLES) -> ModuleType:
        monkeypatch.syspath_prepend(str(where))
        return importlib.import_module(name)

    yield load
    for path in [*EXAMPLES.glob("*.py"), *map(Path, BLOCKS)]:
        sys.modules.pop(path.stem, None)


# -- the page -----------------------------------------------------------------------------------
def test_derive_prints_what_the_page_shows(folder: Path) -> None:
    assert words(SHOWN[0]) in words(run("derive", "local2d.py", "--wrt", "weight"))


@pytest.mark.slow
def test_verify_proves_what_the_page_lists(folder: Path) -> None:
    pytest.importorskip("z3")
    printed = words(run("verify", "local2d.py"))
    for line in SHOWN[1].splitlines():
        assert words(line) in printed


@pytest.mark.slow
def test_selftest_passes(folder: Path) -> None:
    assert "PASSED" in run("selftest", "local2d.py")


@pytest.mark.slow
def test_generate_writes_a_folder_that_the_checker_accepts(folder: Path) -> None:
    pytest.importorskip("z3")
    run("generate", "local2d.py", "--out", "kernels")
    assert list(json.loads(Path("kernels/manifest.json").read_text())["operators"]) == ["local2d"]
    rows = check_folder(Path("kernels"))
    assert {r["status"] for r in rows if not r["claim"].startswith("S2")} == {"proved"}


@pytest.mark.slow
def test_training_ends_as_the_page_says(folder: Path, examples: Any) -> None:
    shown = float(SHOWN[2].partition("%")[0]) / 100
    assert abs(examples("train_local", folder).accuracy - shown) < 0.02  # a device may round apart


def test_without_outside_it_is_refused_as_shown(folder: Path) -> None:
    text = BLOCKS["local2d.py"]
    Path("local2d.py").write_text(re.sub(r" *outside=.*\n", "", text), "utf-8")
    assert words(SHOWN[3]) in words(run("derive", "local2d.py", code=2))


# -- the examples -------------------------------------------------------------------------------
def test_every_example_is_named_and_run() -> None:
    names = {p.stem for p in EXAMPLES.glob("*.py")}
    assert names == {"attention", "bilinear", "in_pytorch", "rms_norm", "transformer_block"}
    assert all(f"(../examples/{name}.py)" in PAGE for name in names)


@pytest.mark.parametrize("name", ["attention", "bilinear", "rms_norm"])
def test_example_runs(name: str, examples: Any, capsys: pytest.CaptureFixture[str]) -> None:
    examples(name).main()
    assert capsys.readouterr().out


def test_the_bilinear_form_is_exact(examples: Any) -> None:
    rng = np.random.default_rng(0)
    x, y, w, b = (rng.integers(-4, 5, s) for s in ((5, 3), (5, 2), (4, 3, 2), (4,)))
    form = gp.compile(examples("bilinear").bilinear)
    z = form(*(gp.tensor(a, "float32") for a in (x, y, w, b)))
    assert (z.numpy() == np.einsum("ni,oij,nj->no", x, w, y) + b).all()


@pytest.mark.parametrize("name", ["attention", "causal_attention"])
def test_attention_has_the_gradients_of_its_forward_pass(name: str, examples: Any) -> None:
    fn = gp.compile(getattr(examples("attention"), name))
    rng = np.random.default_rng(0)
    parts = [gp.tensor(rng.normal(size=(2, 3, 2, 2))) for _ in range(3)]
    gp.check_gradients(fn, *parts)


def test_causal_attention_does_not_look_ahead(examples: Any) -> None:
    fn = gp.compile(examples("attention").causal_attention)
    rng = np.random.default_rng(0)
    q, k, v = (rng.normal(size=(1, 4, 1, 3)) for _ in range(3))
    first = fn(*map(gp.tensor, (q, k, v))).numpy()
    k[:, 2:], v[:, 2:] = 9.0, 9.0
    assert (fn(*map(gp.tensor, (q, k, v))).numpy()[:, :2] == first[:, :2]).all()


@pytest.mark.slow
def test_the_transformer_learns_to_read(examples: Any) -> None:
    assert examples("transformer_block").main() > 0.93


@pytest.mark.slow
@pytest.mark.parametrize("name", ["attention", "bilinear", "rms_norm"])
def test_what_is_proved_of_the_examples(name: str) -> None:
    pytest.importorskip("z3")
    rows = json.loads(run("verify", str(EXAMPLES / f"{name}.py"), "--json"))
    kernels = [r for r in rows if r["claim"].endswith((".equation", ".once", ".range", ".int32"))]
    assert kernels and {r["status"] for r in kernels} == {"proved"}
