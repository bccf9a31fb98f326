"""Recomputed activations on the command line, in a run's config and in the trainer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import gradproof as gp
from gradproof.cli.main import app
from gradproof.runtime.data import Dataset, load_digits
from gradproof.runtime.models import build_model

RUNNER = CliRunner()
SMALL = ("--model", "demo", "--epochs", "1", "--batch-size", "64", "--device", "cpu")


def invoke(*arguments: object) -> dict[str, Any]:
    result = RUNNER.invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return found


def few() -> Dataset:
    d = load_digits()
    return Dataset("few", d.x_train[:128], d.y_train[:128], d.x_test[:8], d.y_test[:8], d.classes)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import numpy as np

    path, d = tmp_path_factory.mktemp("data") / "few.npz", few()
    arrays = {"x_train": d.x_train, "y_train": d.y_train, "x_test": d.x_test, "y_test": d.y_test}
    np.savez(path, **{n: a[:] for n, a in arrays.items()})
    return path


@pytest.mark.slow
def test_a_run_ends_with_the_same_weights_and_says_what_it_took(file: Path, tmp_path: Path) -> None:
    plain = invoke("train", file, *SMALL, "--out", tmp_path / "plain")
    less = invoke("train", file, *SMALL, "--recompute", "--out", tmp_path / "less")
    config = tmp_path / "run.toml"
    config.write_text(
        f'[data]\ndataset = "{file.as_posix()}"\n[model]\nname = "demo"\n'
        "[train]\nepochs = 1\nbatch_size = 64\nrecompute = true\n"
    )
    by_file = invoke("train", "--config", config, "--out", tmp_path / "file", "--device", "cpu")
    weights = [(tmp_path / n / "model.safetensors").read_bytes() for n in ("plain", "less", "file")]
    assert weights[0] == weights[1] == weights[2]
    assert by_file["step_bytes"] == less["step_bytes"] < plain["step_bytes"]
    kept = json.loads((tmp_path / "less/config.json").read_text())
    assert kept["config"]["train"]["recompute"] is True


def test_the_trainer_says_what_a_step_takes() -> None:
    memory = []
    for checkpoint in (False, True):
        gp.manual_seed(0)
        model = build_model("demo", (1, 8, 8), 10)
        optimizer = gp.optim.SGD(model.parameters(), lr=0.01)
        loss = gp.nn.CrossEntropyLoss()
        options = {"batch_size": 64, "checkpoint": checkpoint}
        trainer = gp.Trainer(model, optimizer, loss, few(), **options)
        assert trainer.memory is None
        trainer.fit(epochs=1)
        assert trainer.memory is not None
        memory.append(trainer.memory)
    plain, less = memory
    assert less.temporaries < plain.temporaries


@pytest.mark.slow
def test_plan_and_models_show_the_memory_with_and_without() -> None:
    shown = invoke("plan", "resnet20", "--batch", 8)
    assert shown["bytes"] == shown["bytes_plain"] > 1.5 * shown["bytes_recomputed"]
    assert shown["flops_plain"] < shown["flops_recomputed"] < 1.5 * shown["flops_plain"]
    again = invoke("plan", "resnet20", "--batch", 8, "--recompute")
    assert again["bytes"] == shown["bytes_recomputed"] and again["launches"] > shown["launches"]
    listed = invoke("models", "resnet20", "--batch", 8, "--planned")
    assert list(listed) == ["resnet20", "batch"]
    assert listed["resnet20"]["planned_bytes"] == shown["bytes_plain"]
    assert listed["resnet20"]["recomputed_bytes"] == shown["bytes_recomputed"]
    wide = ["models", "resnet20", "--batch", "8", "--planned"]
    text = RUNNER.invoke(app, wide, env={"COLUMNS": "200"}).output
    assert "recomputed MiB" in text and f"{shown['bytes_recomputed'] / 2**20:,.2f}" in text


def test_an_unknown_network_is_an_error_that_lists_them() -> None:
    result = RUNNER.invoke(app, ["models", "resnet21"])
    assert result.exit_code and "model 'resnet21': expected one of demo" in result.output


@pytest.mark.parametrize("command", ["train", "plan"])
def test_the_help_does_not_speak_of_a_runs_checkpoints(command: str) -> None:
    text = " ".join(RUNNER.invoke(app, [command, "--help"]).output.split())
    assert "--recompute" in text and "--checkpoint" not in text
