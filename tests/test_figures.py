"""Figures of training: the pictures show their tables, and the page says what they say."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS, KEPT = ROOT / "examples" / "figures", ROOT / "docs" / "figures"
SHARED = {"workbench", "drawing"}
NAMES = sorted(p.stem for p in SCRIPTS.glob("*.py") if p.stem not in SHARED)
PAGE = (ROOT / "docs" / "figures.md").read_text("utf-8")


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    monkeypatch.syspath_prepend(str(SCRIPTS))
    yield importlib.import_module
    for name in (*NAMES, *SHARED):
        sys.modules.pop(name, None)


def record(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((KEPT / f"{name}.json").read_text("utf-8"))
    return found


def run(name: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPTS / f"{name}.py"), *options]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


# -- what is kept ----------------------------------------------------------------------------
def test_every_figure_is_kept_and_shown() -> None:
    assert NAMES == ["batch_norm", "batch_size", "digits", "dropout"]
    kept = {p.name for p in KEPT.iterdir()}
    assert kept == {f"{name}.{kind}" for name in NAMES for kind in ("csv", "json", "png")}
    for name in NAMES:
        assert f"](figures/{name}.png)" in PAGE and f"](figures/{name}.csv)" in PAGE
        assert f"python examples/figures/{name}.py" in PAGE
        assert (KEPT / f"{name}.png").stat().st_size < 150_000


@pytest.mark.parametrize("name", NAMES)
def test_a_record_is_that_of_its_table(name: str, script: Callable[[str], Any]) -> None:
    """The numbers that the page quotes come from the table, which is that of the named command."""
    rows, about = script("workbench").read(KEPT / f"{name}.csv"), record(name)
    assert about["found"] == script(name).summary(rows)
    seeds = sorted({row["seed"] for row in rows})
    assert about["seeds"] == seeds == list(range(len(seeds))) and len(seeds) >= 3
    command = f"python examples/figures/{name}.py --seeds {len(seeds)} --epochs {about['epochs']}"
    assert about["command"] == command
    assert about["machine"]["processor"] and about["device"]["driver"] and about["versions"]


@pytest.mark.parametrize("name", NAMES)
def test_a_picture_is_that_of_its_table(
    name: str, script: Callable[[str], Any], tmp_path: Path
) -> None:
    if version("matplotlib") != record(name)["versions"]["matplotlib"]:
        pytest.skip("another matplotlib draws other pixels")
    rows = script("workbench").read(KEPT / f"{name}.csv")
    kept = pixels(KEPT / f"{name}.png")
    assert differing(drawn(script(name), rows, tmp_path), kept) < 1e-3
    rows[-1]["test_accuracy" if "test_accuracy" in rows[-1] else "mean_first"] = 0.5
    for row in rows:  # a check that cannot fail is none
        for column in ("train_loss", "mean_last"):
            if row.get(column):
                row[column] *= 2
    assert differing(drawn(script(name), rows, tmp_path), kept) > 1e-3


def drawn(module: Any, rows: list[dict[str, Any]], folder: Path) -> np.ndarray[Any, Any]:
    path = folder / "drawn.png"
    module.drawing.save(module.draw(rows), path)
    return pixels(path)


def pixels(path: Path) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(path).convert("RGB"), np.int16)


def differing(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> float:
    """The share of pixels that differ visibly."""
    return float((abs(a - b).max(2) > 24).mean()) if a.shape == b.shape else 1.0


# -- what the page says ----------------------------------------------------------------------
def table(header: str) -> list[list[str]]:
    """The cells below a table's header line."""
    start = PAGE.index(header)
    lines = PAGE[start:].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def share(value: float) -> str:
    return f"{100 * value:.1f}"


def spread(values: list[float], text: Callable[[float], str] = share) -> str:
    low, middle, high = map(text, values)
    return f"{middle} ({low}–{high})"


def test_the_page_says_how_well_digits_are_read() -> None:
    found = record("digits")["found"]
    rows = table("| network | held-out digits read, % |")
    assert [row[0] for row in rows] == ["LeNet", "residual network"]
    for name, accuracy, wrong in rows:
        assert accuracy == spread(found[f"{name}: accuracy"], lambda v: f"{100 * v:.2f}")
        assert wrong == ", ".join(map(str, found[f"{name}: wrong"]))


def test_the_page_says_what_batch_norm_changes() -> None:
    found = record("batch_norm")["found"]
    rows = table("| learning rate | epochs to 95 %, with |")
    assert len(rows) == len(found) // 4
    for rate, *cells in rows:
        for kind, epochs, accuracy in zip(("with", "without"), cells[:2], cells[2:], strict=True):
            name = f"{kind} batch norm, rate {rate}"
            told = ["never" if e is None else str(e) for e in found[f"{name}: epochs to 0.95"]]
            expected = "never" if set(told) == {"never"} else ", ".join(told)
            assert epochs == expected
            assert accuracy == spread(found[f"{name}: accuracy"])


def test_the_page_says_how_noise_falls_with_the_batch() -> None:
    found = record("batch_size")["found"]
    rows = table("| images in a batch | μ̂, first layer |")
    assert [row[0] for row in rows] == ["8", "16", "32", "64", "128", "256"]
    for size, *cells in rows:
        columns = ("mean, first", "mean, images", "mean, pixels", "deviation, first")
        columns += ("deviation, images",)
        for cell, column in zip(cells[:5], columns, strict=True):
            assert cell == f"{found[f'{size}: {column}'][1]:.3f}"
        for cell, rule in zip(cells[5:7], ("kept", "scaled"), strict=True):
            assert cell == spread(found[f"{size}: accuracy, rate {rule}"])
        assert cells[7] == f"{found[f'{size}: images per second'][1]:,.0f}"


def test_the_page_says_what_dropout_does() -> None:
    found = record("dropout")["found"]
    rows = table("| training images | network |")
    assert len(rows) == 8
    for images, name, accuracy, train, held in rows:
        key = f"{images.replace(',', '')} images, {name}"
        assert accuracy == spread(found[f"{key}: test_accuracy"])
        assert train == f"{found[f'{key}: train_loss'][1]:.2g}"
        assert held == f"{found[f'{key}: test_loss'][1]:.2g}"


def test_the_readme_shows_a_figure() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    found, said = record("digits")["found"], " ".join(readme.split())
    lenet, residual = (share(found[f"{n}: accuracy"][1]) for n in ("LeNet", "residual network"))
    assert f"LeNet reads {lenet} % of held-out digits, a residual network {residual} %" in said
    assert re.search(r"\]\(docs/figures/batch_norm\.png\)", readme)


# -- the bars --------------------------------------------------------------------------------
@pytest.mark.parametrize(("name", "bar"), [("LeNet", 0.985), ("residual network", 0.99)])
def test_the_kept_networks_are_above_the_bar(name: str, bar: float) -> None:
    """The middle seed; the page says what the others do."""
    assert record("digits")["found"][f"{name}: accuracy"][1] >= bar


@pytest.mark.slow
@pytest.mark.parametrize("name", ["LeNet", "residual network"])
def test_the_networks_learn_here(name: str, script: Callable[[str], Any]) -> None:
    """Three parts are held out in turn, the first of them the usual one: on 355 digits alone a
    single digit, which rounding may decide, would be the whole margin."""
    digits, data = script("digits"), script("digits").gp.data.load_digits()
    images = np.concatenate([data.x_test, data.x_train])
    labels = np.concatenate([data.y_test, data.y_train])
    wrong, size = 0.0, len(data.y_test)
    for part in range(3):
        held = np.zeros(len(labels), bool)
        held[part * size : (part + 1) * size] = True
        split = replace(
            data,
            x_train=images[~held],
            y_train=labels[~held],
            x_test=images[held],
            y_test=labels[held],
        )
        history = digits.fit(name, split, part, record("digits")["epochs"]).history
        wrong += size * (1 - history[-1].test_accuracy)
    assert wrong <= 3 * size * (1 - digits.NETWORKS[name].bar)


# -- the commands ----------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_figure_is_made_with_one_command(name: str, tmp_path: Path) -> None:
    done = run(name, "--quick", "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert {p.name for p in tmp_path.iterdir()} == {f"{name}.{k}" for k in ("csv", "json", "png")}
    first = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    assert run(name, "--redraw", "--out", str(tmp_path)).returncode == 0
    assert first == {p.name: p.read_bytes() for p in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("options", "message"),
    [(["--quick"], "give it a folder"), (["--seeds", "0"], "'0', expected a number from 1")],
)
def test_wrong_options_are_refused(options: list[str], message: str) -> None:
    before = {p: p.stat().st_mtime_ns for p in KEPT.iterdir()}
    done = run("batch_norm", *options)
    assert done.returncode == 2 and message in done.stderr
    assert before == {p: p.stat().st_mtime_ns for p in KEPT.iterdir()}


# -- the law of the noise --------------------------------------------------------------------
def test_the_laws_are_those_of_draws_without_replacement(script: Callable[[str], Any]) -> None:
    """All images: no noise. Independent pixels: whole images deviate as their pixels do. Images of
    one grey each: 64 pixels say as much as one."""
    laws, rng = script("batch_size").laws, np.random.default_rng(0)
    apart = rng.normal(size=(2000, 2, 8, 8))
    assert set(laws(apart, 2000).values()) == {0.0}
    found = laws(apart, 50)
    exact = np.sqrt((2000 - 50) / 1999 / 50 / 64)
    assert found["mean_pixels"] == pytest.approx(exact, rel=1e-12)
    # the deviation of 2 × 2000 numbers is known to about 1/√8000, six times that is never passed
    assert found["mean_images"] == pytest.approx(exact, rel=6 / np.sqrt(8000))
    assert found["deviation_images"] == pytest.approx(exact / np.sqrt(2), rel=12 / np.sqrt(8000))
    alike = np.broadcast_to(apart[..., :1, :1], apart.shape)
    assert laws(alike, 50)["mean_images"] == pytest.approx(8 * exact, rel=1e-12)
