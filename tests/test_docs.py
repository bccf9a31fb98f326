"""What the pages say: their commands exist, their links hold, their examples run."""

import doctest
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradproof as gp
from gradproof.book.commands import commands
from gradproof.cli.main import COMMANDS
from gradproof.codegen.program import build_program
from gradproof.runtime.autograd import apply
from gradproof.runtime.config import Config
from gradproof.runtime.manifest import parse_operator
from gradproof.runtime.tensor import Tensor, tensor

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
    names = {"apply": apply, "operators": lambda: {"relu6": relu6}, "Tensor": Tensor}
    exec(python_blocks(ROOT / "CONTRIBUTING.md")[1], names)  # noqa: S102
    flat = names["relu6"](tensor(np.array([[-2.0, 9.0]])))
    assert flat.numpy().tolist() == [[0.0, 6.0]]


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


def test_the_share_of_killed_mutants_is_that_of_its_record() -> None:
    record = json.loads(
        (ROOT / "benchmarks" / "records" / "checker-mutants.json").read_text("utf-8")
    )
    low, high = (100 * v for v in record["interval"])
    seen = record["killed"] + record["timeout"]
    assert (
        record["mutants"]
        == seen + record["survived"]
        == sum(r["mutants"] for r in record["functions"].values())
    )
    figures = [
        f"{seen} of {record['mutants']} mutants", f"{100 * record['share killed']:.1f} %",
        f"{low:.1f} to {high:.1f} %", f"{record['all mutants']}",
    ]  # fmt: skip
    for page in ("CONTRIBUTING.md", "docs/proofs.md"):
        said = " ".join((ROOT / page).read_text("utf-8").split())
        missing = [f for f in figures if f not in said]
        assert not missing, (page, missing)


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / "docs" / page).read_text("utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


def test_the_config_of_the_training_page_is_one() -> None:
    (text,) = blocks("training.md", "toml")
    values = tomllib.loads(text)
    assert Config.of(values).train.epochs == 160
    shown = {name for table in values.values() if isinstance(table, dict) for name in table}
    assert {"warmup", "no_decay", "early_stopping", "every", "crop_padding"} <= shown


@pytest.mark.slow
def test_the_training_page_trains(tmp_path: Path) -> None:
    (code,) = blocks("training.md", "python")
    (tmp_path / "page.py").write_text(code, "utf-8")
    done = subprocess.run([sys.executable, tmp_path / "page.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1].split()
    assert last[0] == "3" and float(last[1]) > 0.8


# -- every block of code is run or compared ------------------------------------------------------
# page -> language -> the test file that takes the page's blocks of it, which are no sessions
TAKEN = {
    "CONTRIBUTING.md": {"python": "test_docs.py"},
    "export-c.md": {"c": "test_export_c.py", "python": "test_docs.py"},
    "faults.md": {"python": "test_docs.py"},
    "in-and-out.md": {"python": "test_state_files_parity.py"},
    "index-language.md": {"python": "test_docs.py"},
    "manifest.md": {"c": "test_manifest_page.py"},
    "training.md": {"toml": "test_docs.py", "python": "test_docs.py"},
    "write-an-operator.md": {"python": "test_tutorial.py", "text": "test_tutorial.py"},
}
QUOTED = {"README.md": ["  lhs_dilated_shape = lax._dilate_shape("]}  # another project's lines
SESSIONS = [p for p in PAGES if ">>> " in p.read_text("utf-8") and p.name != "README.md"]


def fences(page: Path) -> list[tuple[str, str]]:
    """The blocks of a page between fences, each with its language."""
    text = page.read_text("utf-8")
    return re.findall(r"^```(\w*)\n(.*?)^```", text, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", SESSIONS, ids=lambda p: p.name)
def test_the_sessions_of_a_page_are_true(page: Path) -> None:
    """README.md is a doctest by itself."""
    examples = doctest.DocTestParser().get_doctest(
        page.read_text("utf-8"), {}, page.name, str(page), 0
    )
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    assert examples.examples and runner.run(examples).failed == 0


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_block_is_taken_by_a_test(page: Path) -> None:
    for language, text in fences(page):
        if language in ("python", "pycon") and text.startswith(">>> "):
            continue
        if any(text.startswith(lines) for lines in QUOTED.get(page.name, ())):
            continue
        assert language in TAKEN.get(page.name, {}), f"{page.name}: {text.splitlines()[0]}"
        test = (ROOT / "tests" / TAKEN[page.name][language]).read_text("utf-8")
        assert page.name in test, f"{TAKEN[page.name][language]} does not read {page.name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_options_exist(page: Path) -> None:
    known = {c.name: " ".join(words for words, _ in c.options) for c in commands()}
    said = r"(?:^    |`)(?:GRADPROOF\w*=\S+ |GRADPROOF\w*=\"[^\"]*\" )?gradproof ([a-z]+)([^`\n#]*)"
    for name, rest in re.findall(said, page.read_text("utf-8"), re.M):
        for option in re.findall(r"(?<=\s)--?[a-z][a-z0-9-]*", rest):
            found = re.search(rf"(?<![\w-]){option}(?![\w-])", known[name])
            assert found, f"{page.name} names `gradproof {name} {option}`"


def test_the_loop_of_the_page_on_faults_goes_on_from_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = python_blocks(ROOT / "docs" / "faults.md")
    code = code.replace("epochs=10 - len", "epochs=EPOCHS - len")

    def fit(epochs: int) -> Any:
        gp.manual_seed(0)
        model = gp.nn.Sequential(gp.nn.Flatten(), gp.nn.Linear(64, 10))
        optimizer = gp.optim.SGD(model.parameters(), lr=0.1)
        digits = gp.data.load_digits()
        trainer = gp.Trainer(model, optimizer, gp.nn.CrossEntropyLoss(), digits, batch_size=256)
        exec(code, {"trainer": trainer, "EPOCHS": epochs})  # noqa: S102
        return trainer

    fit(1)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 3
    again = fit(2)
    assert [r.epoch for r in again.history] == [1, 2]


@pytest.mark.slow
def test_the_call_of_the_page_on_c_writes_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (code,) = python_blocks(ROOT / "docs" / "export-c.md")
    model = gp.nn.Sequential(gp.nn.Conv2d(1, 2, 5), gp.nn.Flatten(), gp.nn.Linear(2 * 24 * 24, 10))
    exec(code, {"model": model})  # noqa: S102
    assert {"kernels.cl", "weights.bin", "model.c", "Makefile"} <= {
        p.name for p in (tmp_path / "folder").iterdir()
    }
