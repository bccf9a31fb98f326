"""What the pages say: their commands exist, their links hold, their examples run."""

import doctest
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

from gradproof.cli.main import COMMANDS
from gradproof.codegen.program import build_program
from gradproof.runtime.autograd import apply
from gradproof.runtime.config import Config
from gradproof.runtime.manifest import parse_operator
from gradproof.runtime.tensor import tensor

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")])


def python_blocks(page: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), flags=re.S)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_hold(page: Path) -> None:
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", page.read_text("utf-8"), flags=re.S)
    for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", prose):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_commands_exist(page: Path) -> None:
    for command in re.findall(r"(?:^    |`)gradproof ([a-z]+)", page.read_text("utf-8"), re.M):
        assert command in COMMANDS, f"{page.name} names `gradproof {command}`"


def test_the_definitions_of_the_language_page_are_accepted() -> None:
    namespace: dict[str, object] = {}
    for block in python_blocks(ROOT / "docs" / "index-language.md"):
        exec(block, namespace)  # noqa: S102
    assert {"conv1d", "weighted_nll"} <= set(namespace)


def test_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for page in PAGES:
        for target in re.findall(r"(?:^    |`)make ([a-z-]+)", page.read_text("utf-8"), re.M):
            assert re.search(rf"^{target}:", makefile, re.M), f"{page.name} names make {target}"


def test_the_operator_of_contributing_works() -> None:
    namespace: dict[str, object] = {}
    exec(python_blocks(ROOT / "CONTRIBUTING.md")[0], namespace)  # noqa: S102
    program = build_program(namespace["relu6"])
    relu6 = parse_operator(program.name, program.entry, program.files)
    x = tensor(np.array([-2.0, 0.0, 3.0, 6.0, 7.0]), requires_grad=True)
    z = apply(relu6, {"Y": x}, label="relu6")["z"]
    z.backward(tensor(np.array([1.0, 10.0, 100.0, 1000.0, 10000.0])))
    assert z.numpy().tolist() == [0.0, 0.0, 3.0, 6.0, 6.0]
    assert x.grad.numpy().tolist() == [0.0, 0.0, 100.0, 0.0, 0.0]


def test_the_speeds_of_the_readme_are_those_of_its_records() -> None:
    page = (ROOT / "README.md").read_text("utf-8")
    names = re.findall(r"\]\((benchmarks/records/[^)]*-vs-torch-[^)]*json)\)", page)
    rows = {r["name"]: r for n in names for r in json.loads((ROOT / n).read_text("utf-8"))["rows"]}
    quoted = re.findall(r"^\| (.+?) \| ([0-9.]+) \| ([0-9.]+) \| ([0-9.]+) \|$", page, re.M)
    assert len(names) == 8 and len(quoted) > 15
    for name, ours, theirs, ratio in quoted:
        row = rows[name]
        best = min(row["torch_ms"].values())
        expected = (f"{row['ours_ms']:.2f}", f"{best:.2f}", f"{row['ratio']:.2f}")
        assert (ours, theirs, ratio) == expected, name
    said = " ".join(page.split())
    cold, cached = (rows[f"ResNet-20 start-up, {k}"]["ours_ms"] / 1e3 for k in ("cold", "cached"))
    assert f"{cold:.0f} seconds here" in said and f"later starts take {cached:.2f}" in said
    mib = rows["ResNet-20 step, 32², batch 32"]["peak_mib"]
    assert f"plans {mib['gradproof']:.0f} MiB" in said and f"gives out {mib['NCHW']:.0f}." in said


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def test_the_config_of_the_training_page_is_one() -> None:
    (text,) = blocks("training.md", "toml")
    values = tomllib.loads(text)
    assert Config.of(values).train.epochs == 160
    shown = {name for table in values.values() if isinstance(table, dict) for name in table}
    assert {"warmup", "no_decay", "early_stopping", "every", "crop_padding"} <= shown


@pytest.mark.parametrize("number", [0, 1])
def test_the_sessions_of_the_training_page_are_true(number: int) -> None:
    texts = blocks("training.md", "pycon")
    assert len(texts) == 2
    examples = doctest.DocTestParser().get_doctest(texts[number], {}, "training.md", None, 0)
    assert doctest.DocTestRunner().run(examples).failed == 0


@pytest.mark.slow
def test_the_training_page_trains(tmp_path: Path) -> None:
    (code,) = blocks("training.md", "python")
    (tmp_path / "page.py").write_text(code, "utf-8")
    done = subprocess.run([sys.executable, tmp_path / "page.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1].split()
    assert last[0] == "3" and float(last[1]) > 0.8


def test_the_example_of_the_devices_page_runs() -> None:
    text = (ROOT / "docs" / "devices.md").read_text("utf-8")
    examples = doctest.DocTestParser().get_doctest(text, {}, "devices.md", None, 0)
    assert examples.examples
    assert doctest.DocTestRunner().run(examples).failed == 0
