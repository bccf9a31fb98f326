"""The commands: what they print, where, and how each error ends."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import gradproof
from gradproof.cli import main, training
from gradproof.cli.devices import _choice
from gradproof.cli.screen import TrainingProgress
from gradproof.cli.train import DType
from gradproof.runtime.arguments import STORED
from gradproof.runtime.checkpoint import read_checkpoint
from gradproof.runtime.device import DEVICE_VARIABLE, choose, list_devices
from gradproof.runtime.folders import locked
from gradproof.runtime.models import MODELS
from gradproof.runtime.progress import BatchResult
from gradproof.runtime.recipe import usual_rate
from gradproof.runtime.run import RunFolder
from tests.bars import save_bars

ROOT = Path(__file__).resolve().parent.parent
HEAVY = ("matplotlib", "numpy", "pyopencl", "safetensors", "sympy")
FILES = [
    "checkpoints",
    "config.json",
    "confusion.csv",
    "confusion.png",
    "curves.png",
    "filters-before.safetensors",
    "filters.png",
    "gradients.csv",
    "metrics.csv",
    "model.safetensors",
]
ESCAPE = "\x1b"


def invoke(*args: object, code: int = 0) -> Any:
    result = CliRunner().invoke(main.app, [str(arg) for arg in args], prog_name="gradproof")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code, result.output
    return result


def fails(*args: object) -> str:
    """The one error message of a command that fails."""
    result = invoke(*args, code=2)
    assert "Traceback" not in result.output
    (error,) = (line for line in result.stderr.splitlines() if line.startswith("error: "))
    return str(error)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of 8x8 images that are easily told apart."""
    return save_bars(tmp_path_factory.mktemp("data") / "bars.npz")


@pytest.fixture(scope="module")
def run(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three epochs on these images."""
    path = tmp_path_factory.mktemp("runs") / "bars"
    invoke("train", data, "--epochs", 3, "--batch-size", 8, "--device", "cpu", "--out", path)
    return path


# -- the command itself -------------------------------------------------------------------------
def test_help_lists_every_command_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom gradproof.cli.main import app\n"
        "try: app(['--help'])\nfinally: print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0
    assert all(f" {name} " in done.stdout for name in main.COMMANDS)
    assert not set(HEAVY) & set(done.stderr.split())


@pytest.mark.parametrize("name", main.COMMANDS)
def test_every_command_exists_and_has_help(name: str) -> None:
    module, _ = main.COMMANDS[name]
    assert callable(getattr(import_module(module), name))
    assert f"gradproof {name}" in invoke(name, "--help").output


def test_version() -> None:
    assert invoke("--version").stdout == f"gradproof {gradproof.__version__}\n"


def test_an_unknown_command_is_a_usage_error() -> None:
    assert "No such command 'trian'" in invoke("trian", code=2).output


def test_the_choices_are_the_element_types() -> None:
    assert [dtype.value for dtype in DType] == [dtype.name for dtype in STORED]


def test_an_unknown_model_is_an_error_that_lists_them() -> None:
    output = invoke("train", "digits", "--model", "vgg", code=2).output
    assert "model 'vgg': expected one of demo, lenet" in output


def test_every_model_has_a_usual_learning_rate() -> None:
    assert all(0 < usual_rate(name) < 1 for name in MODELS)


def test_the_models_are_listed_with_what_they_take() -> None:
    result = invoke("models", "--batch", 2, "--json")
    *_, line = result.stdout.splitlines()
    rows = json.loads(line)
    assert rows.pop("batch") == 2
    assert list(rows) == list(MODELS)
    assert rows["lenet"] == {
        "image_shape": [1, 28, 28],
        "classes": 10,
        "parameters": 61706,
        "flops": rows["lenet"]["flops"],
        "activation_bytes": rows["lenet"]["activation_bytes"],
    }
    assert "143,678,248" in invoke("models").stdout


# -- train --------------------------------------------------------------------------------------
def test_train_fills_a_run_folder(run: Path) -> None:
    assert sorted(path.name for path in run.iterdir()) == FILES
    assert len((run / "metrics.csv").read_text().splitlines()) == 4
    config = json.loads((run / "config.json").read_text())
    assert config["versions"]["gradproof"] == gradproof.__version__


@pytest.mark.parametrize("model", ["demo", "lenet"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_train_ends_with_one_line_of_json(
    data: Path, tmp_path: Path, model: str, dtype: str
) -> None:
    out = tmp_path / "run"
    options = ("--model", model, "--dtype", dtype, "--epochs", 1, "--batch-size", 16)
    result = invoke("train", data, *options, "--device", "cpu", "--out", out, "--json")
    (line,) = result.stdout.splitlines()
    values = json.loads(line)
    assert 0.0 <= values["test_accuracy"] <= 1.0
    assert values["train_loss"] > 0.0 < values["seconds"]
    assert values["device"] == choose("cpu").describe()
    assert values["run"] == str(out)
    assert "Held-out accuracy" in result.stderr
    assert ESCAPE not in result.output


def test_train_shows_the_device_the_network_and_each_epoch(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = invoke("train", data, "--epochs", 2, "--device", "cpu")
    assert result.stderr == ""
    assert ESCAPE not in result.stdout
    for text in (choose("cpu").name, "16 x 1 x 3 x 3", "N x 32 x 4 x 4", "1/2", "2/2"):
        assert text in result.stdout
    assert (tmp_path / "runs" / "bars-demo-1" / "model.safetensors").is_file()
    invoke("train", data, "--epochs", 1, "--device", "cpu")
    assert (tmp_path / "runs" / "bars-demo-2").is_dir()


def test_the_seed_repeats_a_run(data: Path, tmp_path: Path) -> None:
    losses = []
    for k, seed in enumerate((5, 5, 6)):
        options = ("--epochs", 1, "--seed", seed, "--out", tmp_path / str(k), "--json")
        result = invoke("train", data, *options, "--device", "cpu")
        losses.append(json.loads(result.stdout)["train_loss"])
    assert losses[0] == losses[1] != losses[2]


def test_an_existing_run_is_not_overwritten(data: Path, run: Path) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    assert "is not empty" in fails("train", data, "--out", run)
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--device", "no such thing"), "no device matches 'no such thing'"),
        (("--lr", "inf"), "optimizer"),
        (("--model", "lenet", "--device", "cpu", "tiny"), "images are 3 x 3 pixels"),
        (("--device", "cpu", "no-such-file.npz"), "no such file"),
    ],
)
def test_an_error_leaves_no_run_folder(
    data: Path, tmp_path: Path, options: tuple[str, ...], message: str
) -> None:
    tiny = np.zeros((2, 3, 3), np.uint8)
    np.savez(tmp_path / "tiny.npz", x_train=tiny, y_train=[0, 1], x_test=tiny, y_test=[0, 1])
    specs = {"tiny": str(tmp_path / "tiny.npz")}
    given = [specs.get(option, option) for option in options]
    arguments = given if len(given) % 2 else [str(data), *given]
    assert message in fails("train", *arguments, "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_damaged_data_file_is_one_error(tmp_path: Path) -> None:
    path = tmp_path / "damaged.npz"
    path.write_bytes(b"PK\x03\x04")
    assert f"{path}: cannot be read" in fails("train", path)


@pytest.mark.parametrize(
    "options",
    [("--epochs", 0), ("--batch-size", 0), ("--seed", -1), ("--lr", "nan")],
)
def test_an_option_out_of_range_is_a_usage_error(options: tuple[object, ...]) -> None:
    assert str(options[0]) in invoke("train", "digits", *options, code=2).output


def test_a_loss_that_explodes_stops_and_keeps_the_run(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = invoke("train", data, "--lr", 1e38, "--device", "cpu", "--out", out, code=2)
    assert f"Stopped: no epoch was completed; its settings are kept in {out}" in result.stdout
    assert result.stderr.startswith("error: training stopped: the loss is nan")
    assert "lower learning rate than 1e+38" in result.stderr
    assert (out / "config.json").is_file()


def test_a_run_that_diverges_keeps_and_names_its_last_good_checkpoint(
    data: Path, tmp_path: Path
) -> None:
    out, file = tmp_path / "run", tmp_path / "run.toml"
    file.write_text("[checkpoints]\nevery = 1\n")
    options = ("--config", file, "--lr", 1e30, "--device", "cpu", "--out", out)
    result = invoke("train", data, *options, code=2)
    newest = RunFolder.open(out).checkpoints.steps()[-1]
    assert f"Last checkpoint before it: {newest}\n" in result.stdout
    assert f"train --resume {out} --detect-anomaly\n" in result.stdout
    kept = read_checkpoint(newest)  # its state is one to go on from
    assert all(np.isfinite(a).all() for a in kept.arrays.values())
    for part in ("lower learning rate", "clip_grad_norm", "warm-up", "--detect-anomaly"):
        assert part in result.stderr
    assert "Traceback" not in result.output
    before = (out / "config.json").read_bytes()
    result = invoke("train", "--resume", out, "--device", "cpu", "--detect-anomaly", code=2)
    assert re.search(r"error: training stopped: .*\(\w+\): forward of operator ", result.stderr)
    assert "--resume" not in result.stdout
    assert (out / "config.json").read_bytes() == before


def test_double_precision_needs_a_device_that_has_it(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    single = dataclasses.replace(choose("cpu"), fp64=False)
    monkeypatch.setattr(training, "use_device", lambda _: SimpleNamespace(info=single))
    message = fails("train", data, "--dtype", "float64", "--out", tmp_path / "run")
    assert f"dtype float64: {single.describe()} has no double precision" in message


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_everything_and_says_how_to_go_on(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def interrupt(self: TrainingProgress, result: BatchResult) -> None:
        if (result.epoch, result.batch) == (2, 2):
            signal.raise_signal(number)

    monkeypatch.setattr(TrainingProgress, "on_batch", interrupt)
    out = tmp_path / "run"
    options = ("--epochs", 4, "--batch-size", 8, "--device", "cpu")
    result = invoke("train", data, *options, "--out", out, code=130)
    assert f"Interrupted: epochs 1 to 1 are kept in {out}" in result.stdout
    assert f"train --resume {out}" in result.stdout
    assert sorted(path.name for path in out.iterdir()) == FILES
    monkeypatch.undo()
    invoke("evaluate", out, "--device", "cpu")
    result = invoke("train", "--resume", out, "--device", "cpu")
    assert "Resumed  after 1 epochs and 2 batches" in result.stdout
    whole = tmp_path / "whole"
    invoke("train", data, *options, "--out", whole)
    weights = [(path / "model.safetensors").read_bytes() for path in (out, whole)]
    assert weights[0] == weights[1]
    assert_same_metrics(out, whole)


def test_a_run_that_is_over_goes_on_for_more_epochs(data: Path, tmp_path: Path) -> None:
    runs = [tmp_path / "whole", tmp_path / "longer"]
    for out, epochs in zip(runs, (3, 2), strict=True):
        invoke("train", data, "--epochs", epochs, "--device", "cpu", "--out", out)
    invoke("train", "--resume", runs[1], "--epochs", 3, "--device", "cpu")
    assert_same_metrics(*runs)
    weights = [(out / "model.safetensors").read_bytes() for out in runs]
    assert weights[0] == weights[1]
    assert "cannot change in a run" in fails("train", "--resume", runs[1], "--lr", 0.1)


def test_the_epochs_of_a_run_that_goes_on_are_kept(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    invoke("train", data, "--epochs", 2, "--device", "cpu", "--out", out)
    before = {p.name: p.read_bytes() for p in out.iterdir() if p.is_file()}
    assert "--epochs 1: the run has 2 epochs already" in fails(
        "train", "--resume", out, "--epochs", 1, "--device", "cpu"
    )
    assert before == {p.name: p.read_bytes() for p in out.iterdir() if p.is_file()}
    invoke("train", "--resume", out, "--epochs", 3, "--device", "cpu")
    assert json.loads((out / "config.json").read_text())["config"]["train"]["epochs"] == 3
    result = invoke("train", "--resume", out, "--device", "cpu")  # over: nothing is trained
    assert "after 3 epochs" in result.stdout


@pytest.mark.parametrize(
    ("table", "name", "value"),
    [
        ("train", "dtype", "float64"),
        ("train", "batch_size", 7),
        ("train", "seed", 3),
        ("optimizer", "lr", 0.5),
        ("optimizer", "name", "adam"),
        ("schedule", "name", "cosine"),
        ("model", "name", "lenet"),
    ],
)
def test_a_run_whose_config_was_changed_does_not_go_on(
    run: Path, tmp_path: Path, table: str, name: str, value: object
) -> None:
    shutil.copytree(run, copy := tmp_path / "copy")
    config = json.loads((copy / "config.json").read_text())
    config["config"][table][name] = value
    (copy / "config.json").write_text(json.dumps(config))
    before = {p: p.read_bytes() for p in copy.rglob("*") if p.is_file()}
    message = fails("train", "--resume", copy, "--device", "cpu")
    assert f"{table}.{name} is {value}, was" in message and "config.json" in message
    assert before == {p: p.read_bytes() for p in copy.rglob("*") if p.is_file()}


def test_a_run_goes_on_with_its_own_data_wherever_they_are(data: Path, tmp_path: Path) -> None:
    here, out = tmp_path / "here.npz", tmp_path / "run"
    shutil.copy(data, here)
    invoke("train", here, "--epochs", 1, "--device", "cpu", "--out", out)
    shutil.move(here, tmp_path / "there.npz")
    message = fails("train", "--resume", out, "--epochs", 2, "--device", "cpu")
    assert "gradproof train DATASET --resume RUN" in message
    options = ("--resume", out, "--epochs", 2, "--device", "cpu")
    invoke("train", tmp_path / "there.npz", *options)
    with np.load(data) as archive:
        arrays = dict(archive)
    arrays["x_train"][3, 4, 4] += 0.5
    np.savez(tmp_path / "other.npz", **arrays)
    message = fails("train", tmp_path / "other.npz", "--resume", out, "--device", "cpu")
    assert "is another one now" in message


def test_a_run_that_trains_is_not_touched(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, copy := tmp_path / "copy")
    with locked(copy):
        assert "in use by another process" in fails("train", "--resume", copy)


def test_a_disk_that_is_full_at_once_leaves_no_folder(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert "No space left" in fails("train", data, "--device", "cpu", "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_early_stopping_and_a_last_batch_left_out(data: Path, tmp_path: Path) -> None:
    config = tmp_path / "run.toml"
    config.write_text(
        "[train]\nearly_stopping = 1\ndrop_last = true\nbatch_size = 16\nepochs = 9\n"
        "[optimizer]\nlr = 0.0\n"
    )
    result = invoke("train", data, "--config", config, "--device", "cpu", "--out", tmp_path / "run")
    assert "Stopped early: the held-out loss has not fallen for 1 epochs" in result.stdout
    assert (tmp_path / "run" / "checkpoints" / "step-00000002.safetensors").is_file()  # 30 images


def assert_same_metrics(a: Path, b: Path) -> None:
    rows = [(path / "metrics.csv").read_text().splitlines() for path in (a, b)]
    assert [r.split(",")[:8] for r in rows[0]] == [r.split(",")[:8] for r in rows[1]]


def test_a_second_interrupt_ends_at_once(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: TrainingProgress, result: BatchResult) -> None:
        if result.epoch == 2:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(TrainingProgress, "on_batch", interrupt)
    out = tmp_path / "run"
    options = ("--epochs", 3, "--device", "cpu", "--out", out)
    result = invoke("train", data, *options, code=130)
    assert f"Ended at once: epochs 1 to 1 are kept in {out}" in result.stdout
    assert f"Go on from step 1 with: gradproof train --resume {out}" in result.stdout
    monkeypatch.undo()
    assert "Resumed  after 1 epochs" in invoke("train", "--resume", out, "--device", "cpu").stdout


@pytest.mark.skipif(os.name == "nt", reason="SIGINT is sent otherwise on Windows")
def test_ctrl_c_ends_with_130(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    command = [sys.executable, "-m", "gradproof", "train", str(data), "--epochs", "100000"]
    options = ["--device", "cpu", "--out", str(out)]
    process = subprocess.Popen(
        command + options, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        deadline = time.monotonic() + 60.0
        while not (out / "model.safetensors").is_file() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        printed, errors = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert "Interrupted: " in printed
    assert "Traceback" not in errors
    assert not [path for path in out.iterdir() if path.name not in FILES]


# -- demo ---------------------------------------------------------------------------------------
def test_demo_says_what_comes_next(tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = invoke("demo", "--epochs", 1, "--device", "cpu", "--out", out)
    assert "1,442 training and 355 held-out images" in result.stdout
    assert f"gradproof evaluate {out}" in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_demo_learns(tmp_path: Path, seed: int) -> None:
    options = ("--device", "cpu", "--out", tmp_path / "run", "--seed", seed, "--json")
    assert json.loads(invoke("demo", *options).stdout)["test_accuracy"] >= 0.98


# -- evaluate -----------------------------------------------------------------------------------
def test_evaluate_agrees_with_the_training(run: Path) -> None:
    result = invoke("evaluate", run, "--device", "cpu", "--json")
    (line,) = result.stdout.splitlines()
    values = json.loads(line)
    last = (run / "metrics.csv").read_text().splitlines()[-1].split(",")
    assert values["test_loss"] == pytest.approx(float(last[5]), rel=1e-6)
    assert values["test_accuracy"] == float(last[6])
    assert values["test_top5"] == float(last[7])
    assert values["images"] == 9
    assert "most often taken for" in result.stderr
    assert values["classes"] == ["0", "1", "2"]
    matrix = np.array(values["confusion"])
    assert matrix.sum() == 9 and np.trace(matrix) == round(9 * values["test_accuracy"])
    rows = (run / "confusion.csv").read_text().splitlines()
    assert rows[0] == ",0,1,2" and [r.split(",")[1:] for r in rows[1:]] == [
        [str(n) for n in row] for row in matrix
    ]
    shown = invoke("evaluate", run, "--device", "cpu").stdout
    assert "Images of each class (row) by the class they were taken for (column)" in shown


def test_the_best_parameters_are_those_with_the_lowest_loss(run: Path, tmp_path: Path) -> None:
    rows = [line.split(",") for line in (run / "metrics.csv").read_text().splitlines()[1:]]
    result = invoke("evaluate", run, "--best", "--device", "cpu", "--json")
    best = min(float(row[5]) for row in rows)
    assert json.loads(result.stdout)["test_loss"] == pytest.approx(best, rel=1e-6)
    assert "has no checkpoints/best.safetensors" in fails(
        "evaluate", damaged_best(run, tmp_path / "none", None), "--best"
    )
    assert "best.safetensors" in fails(
        "evaluate", damaged_best(run, tmp_path / "cut", b"cut"), "--best"
    )


def damaged_best(run: Path, copy: Path, content: bytes | None) -> Path:
    shutil.copytree(run, copy)
    (file := copy / "checkpoints" / "best.safetensors").unlink()
    if content is not None:
        file.write_bytes(content)
    return copy


def test_state_dicts_go_out_and_in(run: Path, data: Path, tmp_path: Path) -> None:
    weights = gradproof.load(run / "model.safetensors")
    for name in ("a.safetensors", "a.npz"):
        invoke("export", run, "--state-dict", tmp_path / name)
        found = gradproof.load(tmp_path / name)
        assert found.keys() == weights.keys()
        assert all(np.array_equal(found[key], weights[key]) for key in weights)
        out = tmp_path / f"from-{name}"
        options = ("--weights", tmp_path / name, "--lr", 0, "--epochs", 1, "--device", "cpu")
        invoke("train", data, *options, "--out", out)
        assert np.array_equal(
            gradproof.load(out / "model.safetensors")["8.weight"], found["8.weight"]
        )
    message = fails("export", run, "--state-dict", tmp_path / "a.pth")
    assert "expected a name that ends with .safetensors or .npz" in message
    assert "--state-dict FILE" in fails("export", run)


def test_evaluate_takes_another_data_set_that_fits(run: Path, data: Path) -> None:
    invoke("evaluate", run, "--dataset", data, "--device", "cpu")
    assert "classes 0, 1, 2, 3" in fails("evaluate", run, "--dataset", "digits")


def test_evaluate_refuses_images_of_another_shape(run: Path, tmp_path: Path) -> None:
    x, y = np.zeros((3, 9, 9), np.uint8), [0, 1, 2]
    np.savez(tmp_path / "large.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    message = fails("evaluate", run, "--dataset", tmp_path / "large.npz")
    assert "images of shape (1, 9, 9), the run was trained on (1, 8, 8)" in message


def test_evaluate_without_a_run_or_its_data(run: Path, tmp_path: Path) -> None:
    assert "no such folder" in fails("evaluate", tmp_path / "nothing")
    moved = tmp_path / "moved"
    moved.mkdir()
    config = json.loads((run / "config.json").read_text())
    config["config"]["data"]["dataset"] = str(tmp_path / "gone")
    (moved / "config.json").write_text(json.dumps(config))
    assert "Name it with --dataset" in fails("evaluate", moved)


# -- predict ------------------------------------------------------------------------------------
def images(data: Path) -> np.ndarray[Any, Any]:
    with np.load(data) as archive:
        return np.asarray(archive["x_test"])


def predictions(run: Path, path: Path) -> list[dict[str, Any]]:
    result = invoke("predict", run, path, "--device", "cpu", "--json")
    found: list[dict[str, Any]] = json.loads(result.stdout)["predictions"]
    return found


def test_predict_reads_each_kind_of_file(run: Path, data: Path, tmp_path: Path) -> None:
    x = images(data)
    np.save(tmp_path / "a.npy", x)
    np.savez(tmp_path / "b.npz", other=x[:1], images=x)
    np.savez(tmp_path / "c.npz", x[:, None])
    found = [predictions(run, tmp_path / name) for name in ("a.npy", "b.npz", "c.npz")]
    assert len(found[0]) == 9
    assert found[0] == found[1] == found[2]
    assert [p["class"] for p in found[0]] == ["0", "1", "2"] * 3
    assert all(1 / 3 <= p["probability"] <= 1.0 for p in found[0])


def test_predict_scales_levels(run: Path, data: Path, tmp_path: Path) -> None:
    levels = np.round(images(data) * 255).astype(np.uint8)
    header = bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in levels.shape)
    (tmp_path / "images-idx3-ubyte").write_bytes(header + levels.tobytes())
    np.save(tmp_path / "levels.npy", levels)
    np.save(tmp_path / "real.npy", levels / 255)
    found = [predictions(run, path) for path in sorted(tmp_path.iterdir())]
    assert found[0] == found[1] == found[2]


def test_predict_takes_one_image(run: Path, data: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", images(data)[1])
    result = invoke("predict", run, tmp_path / "one.npy", "--device", "cpu")
    assert result.stdout.startswith("image 0: 1 (")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 9, 9)), r"shape (2, 9, 9), expected images (channels, height, width)"),
        (np.zeros((2, 3, 8, 8)), "shape (2, 3, 8, 8), expected"),
        (np.zeros((0, 8, 8)), "shape (0, 8, 8), expected"),
        (np.zeros((1, 1, 1, 8, 8)), "shape (1, 1, 1, 8, 8), expected"),
        (np.zeros(64), "shape (64,), expected"),
        (np.zeros((8, 8), np.int64), "dtype int64, expected uint8 or real numbers"),
        (np.full((8, 8), np.nan), "images[0, 0, 0, 0] is nan"),
        (np.full((8, 8), 1e300), "images[0, 0, 0, 0] is inf"),
        (np.array([None]), "cannot be read as NumPy file"),
    ],
)
def test_predict_refuses_what_is_no_image(
    run: Path, tmp_path: Path, array: np.ndarray[Any, Any], message: str
) -> None:
    path = tmp_path / "x.npy"
    np.save(path, array, allow_pickle=True)
    assert message in fails("predict", run, path)


def test_predict_refuses_unclear_and_damaged_files(run: Path, tmp_path: Path) -> None:
    x = np.zeros((8, 8))
    np.savez(tmp_path / "two.npz", a=x, b=x)
    assert "holds a, b; expected an array 'images'" in fails("predict", run, tmp_path / "two.npz")
    whole = (tmp_path / "two.npz").read_bytes()
    for name, content in (("a.npz", whole[:-9]), ("b.npy", b""), ("c.npy", b"\x93NUMPY\1\0\xff")):
        (tmp_path / name).write_bytes(content)
        assert f"{name}: cannot be read" in fails("predict", run, tmp_path / name)
    (tmp_path / "d.png").write_bytes(b"\x89PNG\r\n")
    assert "d.png: begins with bytes 89 50" in fails("predict", run, tmp_path / "d.png")
    assert "no such file" in fails("predict", run, tmp_path / "nothing.npy")
    with zipfile.ZipFile(tmp_path / "raw.npz", "w") as archive:
        archive.writestr("images", b"raw")
    assert "not stored as a NumPy array" in fails("predict", run, tmp_path / "raw.npz")


# -- devices ------------------------------------------------------------------------------------
def test_devices_lists_all_and_marks_one() -> None:
    result = invoke("devices")
    for info in list_devices():
        assert f"[{info.index}] {info.name}" in result.stdout
    assert result.stdout.count("<- chosen") == 1


def test_devices_as_json() -> None:
    values = json.loads(invoke("devices", "--json").stdout)
    assert values["chosen"] == choose().index
    assert [device["index"] for device in values["devices"]] == list(range(len(list_devices())))


def test_devices_gives_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu")
    assert _choice() == (choose("cpu"), "GRADPROOF_DEVICE is 'cpu'")
    monkeypatch.setenv(DEVICE_VARIABLE, "nothing")
    result = invoke("devices")
    assert "none is chosen: environment variable GRADPROOF_DEVICE: no device" in result.stdout
    monkeypatch.delenv(DEVICE_VARIABLE)
    info, reason = _choice()
    assert info == choose()
    assert reason.startswith("the first ")
