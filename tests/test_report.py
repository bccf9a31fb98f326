"""The page about a run: its numbers are those of the run, and what is missing is named."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import shutil
import tomllib
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

import gradproof as gp
from gradproof.cli.main import app
from gradproof.cli.training import make_trainer
from gradproof.report import seen
from gradproof.report.charts import _some
from gradproof.report.content import collect
from gradproof.report.learned import curves, filters, norms
from gradproof.report.page import pairs, render, shares, slowest
from gradproof.report.parts import (
    Confusion,
    Curves,
    Filters,
    MemoryPlan,
    Missing,
    Norms,
    Report,
    Timing,
)
from gradproof.report.pictures import filter_levels, picture
from gradproof.report.repeat import toml
from gradproof.report.seen import data_of
from gradproof.report.timing import measured, phases_of, works_of
from gradproof.runtime.config import Config, load_config
from gradproof.runtime.data import load_dataset
from gradproof.runtime.errors import RunError
from gradproof.runtime.plan import plan
from gradproof.runtime.profiling import profiling
from gradproof.runtime.run import CONFUSION, FIRST_FILTERS, GRADIENTS, METRICS, MODEL, RunFolder
from gradproof.runtime.step import TrainingStep
from tests.test_book import Balanced

EPOCHS, BATCH = 2, 16
Array = NDArray[Any]


def save_digits(path: Path) -> Path:
    """So few that some are mistaken."""
    digits = gp.data.load_digits()
    parts = {
        f"{a}_{part}": getattr(digits, f"{a}_{part}")[:n]
        for part, n in (("train", 72), ("test", 60))
        for a in "xy"
    }
    np.savez(path, **parts, classes=np.array([f"digit {k}" for k in range(10)]))
    return path


def command(*arguments: str | Path) -> Any:
    return CliRunner().invoke(app, list(map(str, arguments)))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run in float64, in which sums in another order differ by little."""
    folder = tmp_path_factory.mktemp("report")
    data = save_digits(folder / "few.npz")
    options = f"--epochs {EPOCHS} --batch-size {BATCH} --dtype float64 --schedule cosine".split()
    done = command("train", data, *options, "--out", folder / "run")
    assert done.exit_code == 0, done.output
    return folder / "run"


@pytest.fixture(scope="module")
def report(trained: Path) -> Report:
    return collect(RunFolder.open(trained), steps=2)


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return render(report)


@pytest.fixture
def copy(trained: Path, tmp_path: Path) -> RunFolder:
    """A run that a test may damage."""
    shutil.copytree(trained, tmp_path / "run")
    return RunFolder.open(tmp_path / "run")


class Tables(HTMLParser):
    """The rows of each table by its identifier, and all addresses and alternative texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: dict[str, list[list[str]]] = {}
        self.addresses: list[str] = []
        self.images: dict[str, str] = {}
        self._table, self._cell = "", False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {k: v or "" for k, v in attrs}
        self.addresses += [given[k] for k in ("href", "src", "xlink:href") if k in given]
        if tag == "img":
            self.images[given["alt"]] = given["src"]
        if tag == "table":
            self._table = given.get("id", given.get("class", ""))
            self.rows[self._table] = []
        if tag == "tr":
            self.rows[self._table].append([])
        if tag in ("td", "th"):
            self.rows[self._table][-1].append("")
        self._cell = tag in ("td", "th") or (self._cell and tag != "tr")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self._cell = False

    def handle_data(self, data: str) -> None:
        if self._cell:
            self.rows[self._table][-1][-1] += data.strip()


def pixels(address: str) -> Array:
    start = "data:image/png;base64,"
    assert address.startswith(start)
    return np.array(Image.open(io.BytesIO(base64.b64decode(address.removeprefix(start)))))


# -- the page as a file ----------------------------------------------------------------------------
def test_the_command_writes_one_page(trained: Path, tmp_path: Path) -> None:
    before = {p: p.read_bytes() for p in trained.rglob("*") if p.is_file()}
    out = tmp_path / "page.html"
    done = command("report", trained, "--out", out, "--steps", 1, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout.splitlines()[-1])["missing"] == {}
    assert out.read_text("utf-8").startswith("<!doctype html>")
    assert {p: p.read_bytes() for p in trained.rglob("*") if p.is_file()} == before


def test_a_page_is_whole(page: str) -> None:
    found = Balanced()
    found.feed(page)
    assert found.open == []
    assert len(found.identifiers) == len(set(found.identifiers))


def test_a_page_loads_nothing(page: str) -> None:
    tables = Tables(page)
    inside = {a for a in tables.addresses if a.startswith("#")}
    assert inside
    assert all(a.startswith("data:") for a in tables.addresses if a not in inside)
    identifiers = set(re.findall(r'\bid="([^"]+)"', page))
    assert {a.removeprefix("#") for a in inside} <= identifiers
    assert set(re.findall(r"url\(#?([^)]*)\)", page)) <= identifiers
    assert "@import" not in page and "fetch(" not in page
    assert not re.search(r"<(script|link|iframe)[^>]+(src|href)=\"(?!data:)", page)


def test_every_chart_and_picture_has_words(page: str) -> None:
    charts = re.findall(r'<svg class="chart" role="img" aria-label="([^"]*)"', page)
    assert len(charts) == page.count("<svg") == 7
    assert all(charts) and all(Tables(page).images)


# -- what was learned ------------------------------------------------------------------------------
def test_the_numbers_are_those_of_metrics(page: str, trained: Path) -> None:
    with (trained / METRICS).open(newline="") as file:
        rows = list(csv.DictReader(file))
    shown = Tables(page).rows["metrics"][1:]
    names = ("epoch", "lr", "train_loss", "train_accuracy", "test_loss", "test_accuracy")
    assert [row[: len(names)] for row in shown] == [[r[n] for n in names] for r in rows]


def test_rates_are_those_of_each_step(report: Report, trained: Path) -> None:
    run = RunFolder.open(trained)
    data = load_dataset(run.config.config.data.dataset)
    trainer = make_trainer(run.config.config, data, None)
    found: list[float] = []
    trainer.on_batch = lambda result: found.append(trainer.progress.lr)
    trainer.fit(EPOCHS)
    assert isinstance(report.curves, Curves)
    assert list(report.curves.rates) == found and len(set(found)) == len(found)


def test_rates_that_the_config_does_not_give_are_left_out(copy: RunFolder) -> None:
    """As where a cosine was given another end when the run went on."""
    text = (copy.path / "config.json").read_text().replace(f'"epochs": {EPOCHS}', '"epochs": 9')
    (copy.path / "config.json").write_text(text)
    run = RunFolder.open(copy.path)
    found = curves(run, data_of(run))
    assert isinstance(found, Curves) and found.rates == () and found.history


def test_norms_are_those_of_the_gradients(report: Report, page: str, trained: Path) -> None:
    run = RunFolder.open(trained)
    data = load_dataset(run.config.config.data.dataset)
    trainer = make_trainer(run.config.config, data, None)
    images, labels = next(trainer.loader.epoch(1))
    logits = trainer.model(gp.tensor(images, "float64"))
    trainer.loss(logits, gp.tensor(labels)).backward()
    grads = {n: p.grad.numpy() for n, p in trainer.model.named_parameters()}
    with (trained / GRADIENTS).open(newline="") as file:
        first, second = csv.DictReader(file)
    assert [first["epoch"], first["step"]] == ["1", "1"]
    assert [second["epoch"], second["step"]] == ["2", str(-(-72 // BATCH) + 1)]
    for name, g in grads.items():
        # both add up a few thousand products in float64, each in its order
        near = pytest.approx(np.sqrt(np.square(g).sum()), rel=1e-9, abs=1e-12)
        assert float(first[name]) == near, name
    assert isinstance(report.norms, Norms)
    both = np.sqrt(sum(np.square(grads[f"0.{n}"]).sum() for n in ("weight", "bias")))
    assert report.norms.layers["0 Conv2d"][0] == pytest.approx(both, rel=1e-9)
    shown = {row[0]: row[1] for row in Tables(page).rows["norms"][1:]}
    assert shown["0 Conv2d"] == f"{both:.3g}"
    assert list(shown) == list(report.norms.layers)


def test_filters_are_those_before_and_after(report: Report, page: str, trained: Path) -> None:
    run = RunFolder.open(trained)
    after = run.load_state()["0.weight"]
    before = run.load_filters()
    assert isinstance(report.filters, Filters)
    assert np.array_equal(report.filters.before, before)
    assert np.array_equal(report.filters.after, after)
    limit = np.abs([before, after]).max()
    for when, weight in (("before", before), ("after", after)):
        sheet = pixels(Tables(page).images[f"16 filters of 1 × 3 × 3 {when} training"])
        for k, tile in enumerate(weight[:, 0]):
            y, x = 4 * (k // 6), 4 * (k % 6)  # 6 in a row: the root of twice 16, rounded up
            levels = np.round(255 * (tile / limit + 1) / 2)
            assert np.array_equal(sheet[y : y + 3, x : x + 3, 0], levels)
            assert (sheet[y : y + 3, x : x + 3, 3] == 255).all()


def test_filters_before_training_are_made_again(copy: RunFolder) -> None:
    kept = copy.load_filters()
    (copy.path / FIRST_FILTERS).unlink()
    found = filters(copy, copy.load_model())
    assert isinstance(found, Filters) and "made again" in found.note
    assert np.array_equal(found.before, kept)


def test_coloured_filters_are_one_tile_each() -> None:
    weight = np.float32(np.linspace(-1, 1, 5 * 3 * 2 * 2)).reshape(5, 3, 2, 2)
    sheet = filter_levels(weight, 1.0)
    assert sheet.shape == (2 * 3 - 1, 4 * 3 - 1, 4)  # 5 tiles in rows of 4
    assert np.array_equal(sheet[:2, :2, 1], np.round(255 * (weight[0, 1] + 1) / 2))
    assert not sheet[2].any() and not sheet[:, 2].any()  # gaps are transparent


def test_pictures_show_all_levels() -> None:
    grey = np.float32([[[0.0, 0.2], [0.6, 1.0]]])
    assert pixels(picture(grey)).tolist() == [[0, 51], [153, 255]]
    coloured = np.repeat(grey, 3, axis=0) * np.float32([1.0, 0.0, 0.5])[:, None, None]
    assert pixels(picture(coloured))[1, 1].tolist() == [255, 0, 128]
    assert pixels(picture(np.float32([[[-1.0, 3.0]]]))).tolist() == [[0, 255]]


# -- what it makes of held-out images --------------------------------------------------------------
def test_the_matrix_is_that_of_evaluate(report: Report, page: str, trained: Path) -> None:
    done = command("evaluate", trained, "--json")
    expected = json.loads(done.stdout.splitlines()[-1])
    assert isinstance(report.confusion, Confusion) and not isinstance(report.evaluated, Missing)
    assert report.confusion.matrix.tolist() == expected["confusion"]
    assert report.evaluated.accuracy == pytest.approx(expected["test_accuracy"], abs=1e-15)
    assert report.evaluated.loss == pytest.approx(expected["test_loss"], rel=1e-12)
    shown = [row[1:] for row in Tables(page).rows["confusion"][1:]]
    assert shown == [list(map(str, row)) for row in expected["confusion"]]


def test_the_worst_have_the_largest_loss(report: Report, page: str, trained: Path) -> None:
    run = RunFolder.open(trained)
    data, model = load_dataset(run.config.config.data.dataset), run.load_model()
    model.eval()
    z = model(gp.tensor(data.x_test, "float64")).numpy()
    losses = np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), data.y_test]
    order = np.argsort(-losses)[:24]
    assert not isinstance(report.evaluated, Missing)
    worst = report.evaluated.worst
    assert [m.number for m in worst] == order.tolist()
    assert [m.loss for m in worst] == pytest.approx(losses[order].tolist(), rel=1e-9)
    assert [m.predicted for m in worst] == z.argmax(axis=1)[order].tolist()
    assert report.evaluated.wrong == int((z.argmax(axis=1) != data.y_test).sum()) > 0
    for m in worst:
        shown = Tables(page).images[f"held-out image {m.number}, class digit {m.label}"]
        assert np.array_equal(pixels(shown), np.round(255 * data.x_test[m.number, 0]))


def test_more_classes_are_listed_by_what_they_are_taken_for() -> None:
    matrix = np.diag(np.full(30, 5))
    matrix[2, 7], matrix[4, 1] = 3, 4
    many = Confusion(tuple(f"c{k}" for k in range(30)), matrix)
    assert pairs(many) == [("c4", "c1", 4), ("c2", "c7", 3)]
    assert shares(many)[4][1] == (4, round(100 * (4 / 9) ** 0.5, 1))


# -- where the time goes ---------------------------------------------------------------------------
def small_step() -> Any:
    gp.manual_seed(0)
    model = gp.nn.Sequential(
        gp.nn.Conv2d(1, 4, 3), gp.nn.ReLU(), gp.nn.Flatten(), gp.nn.Linear(144, 10)
    )
    optimizer = gp.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    step = TrainingStep(model, optimizer, gp.nn.CrossEntropyLoss())
    x, y = np.zeros((8, 1, 8, 8), np.float32), np.zeros(8, np.int32)
    return plan(step.run, gp.tensor(x), gp.tensor(y))


def test_each_launch_is_measured_once_and_in_order() -> None:
    planned = small_step()
    with profiling(planned.device) as profile:
        planned.run()
    planned.run()  # this one is not
    spans = profile.spans()
    assert len(spans) == planned.launches
    assert spans[0].start == 0.0 and all(s.start <= s.end for s in spans)
    assert all(a.end <= b.start for a, b in pairwise(spans))


def test_works_have_all_launches_operations_and_times() -> None:
    planned = small_step()
    runs = []
    for _ in range(3):
        with profiling(planned.device) as profile:
            planned.run()
        runs.append(profile.spans())
    works = works_of(planned, runs)
    assert sum(len(w.spans) for w in works) == planned.launches
    assert sum(w.flops for w in works) == sum(x["flops"] for x in planned.plan["launches"])
    medians = [float(np.median([s.seconds for s in each])) for each in zip(*runs, strict=True)]
    assert sum(w.seconds for w in works) == pytest.approx(sum(medians))
    forward = works[0]
    assert forward.computes.startswith("conv2d z") and forward.phase == "forward"
    # images, weights and biases are read, and the maps written, by whatever kernels
    assert forward.nbytes == 4 * (8 * 64 + 4 * 9 + 4 + 8 * 4 * 36)


def test_phases_come_in_order() -> None:
    planned = small_step()
    found = phases_of(planned)
    words = [x["what"] for x in planned.plan["launches"]]
    assert list(dict.fromkeys(found)) == ["forward", "backward", "update"]
    assert all(p == "backward" for p, w in zip(found, words, strict=True) if "grad_" in w)
    assert all(p == "update" for p, w in zip(found, words, strict=True) if w.startswith("sgd"))


def test_a_page_says_where_the_time_goes(report: Report, page: str) -> None:
    assert isinstance(report.timing, Timing) and isinstance(report.memory, MemoryPlan)
    rows = slowest(report.timing)
    assert sum(row["share"] for row in rows) == pytest.approx(1.0)
    assert sum(row["count"] for row in rows) == len(report.timing.works)
    assert [row["seconds"] for row in rows] == sorted((r["seconds"] for r in rows), reverse=True)
    assert not isinstance(report.timing.roofs, Missing)
    assert all(n > 0 for n in (report.timing.roofs.flops, report.timing.roofs.far))
    for w in report.timing.works:
        assert w.computes.split(" ")[0] in page
    memory = report.memory.memory
    assert all(
        0 <= b.place <= b.place + b.nbytes <= memory.temporaries for b in report.memory.buffers
    )


def test_buffers_that_are_in_use_together_are_apart(report: Report) -> None:
    assert isinstance(report.memory, MemoryPlan)
    buffers = report.memory.buffers
    assert len(buffers) > 5
    for a in buffers:
        for b in buffers:
            if a is not b and a.first <= b.last and b.first <= a.last:
                assert a.place + a.nbytes <= b.place or b.place + b.nbytes <= a.place, (a, b)


def test_no_time_is_measured_where_none_is_wanted(trained: Path) -> None:
    run = RunFolder.open(trained)
    found = measured(run.config, data_of(run), run.load_state(), steps=0)
    assert isinstance(found.timing, Missing) and "--steps 0" in found.timing.why
    assert isinstance(found.memory, MemoryPlan)


def test_a_legend_has_the_first_and_the_last() -> None:
    lines: list[Any] = list(range(39))
    found: list[Any] = _some(lines)
    assert len(found) == 10 and found[0] == 0 and found[-1] == 38


# -- again -----------------------------------------------------------------------------------------
def test_the_config_on_the_page_is_that_of_the_run(
    page: str, trained: Path, tmp_path: Path
) -> None:
    found = re.search(r'id="config"><code>(.*?)</code>', page, re.DOTALL)
    assert found is not None
    text = found[1].replace("&#34;", '"')
    (tmp_path / "run.toml").write_text(text)
    run = RunFolder.open(trained)
    assert load_config(tmp_path / "run.toml") == run.config.config
    assert "gradproof train --config run.toml --device" in page
    for word in (*run.config.versions, *run.config.versions.values(), run.config.data_sha256):
        assert word in page


def test_any_config_can_be_written() -> None:
    config = Config.of(
        {
            "data": {"dataset": 'a "b"\\c é'},
            "optimizer": {
                "name": "adamw",
                "betas": [0.8, 0.99],
                "eps": 1e-12,
                "no_decay": ["bias"],
            },
            "schedule": {"name": "multi-step", "milestones": [3, 5]},
            "train": {"clip_grad_norm": 2.5},
        }
    )
    assert Config.of(tomllib.loads(toml(config))) == config


# -- what is missing -------------------------------------------------------------------------------
def test_other_data_are_not_this_runs(copy: RunFolder, tmp_path: Path) -> None:
    """The run's data were copied with other labels; --dataset must name the right ones."""
    data = load_dataset(copy.config.config.data.dataset)
    other = tmp_path / "other.npz"
    np.savez(
        other,
        x_train=data.x_train,
        y_train=data.y_train[::-1],
        x_test=data.x_test,
        y_test=data.y_test,
        classes=np.array(data.classes),
    )
    with pytest.raises(RunError, match="holds other data than this run's"):
        data_of(copy, str(other))
    done = command("report", copy.path, "--dataset", other, "--steps", 0)
    assert done.exit_code == 2 and "other data" in done.output
    assert not (copy.path / "report.html").exists()


def test_without_its_data_a_run_still_has_a_page(copy: RunFolder, report: Report) -> None:
    text = (copy.path / "config.json").read_text().replace("few.npz", "gone.npz")
    (copy.path / "config.json").write_text(text)
    found = collect(RunFolder.open(copy.path), steps=1)
    assert isinstance(found.evaluated, Missing) and "gone.npz" in found.evaluated.why
    assert isinstance(found.confusion, Confusion) and isinstance(report.confusion, Confusion)
    assert np.array_equal(found.confusion.matrix, report.confusion.matrix)
    assert CONFUSION in found.confusion.note
    assert isinstance(found.timing, Timing) and "random numbers" in found.timing.data
    assert isinstance(found.curves, Curves) and found.curves.rates == ()
    assert isinstance(found.filters, Filters)
    text = render(found)
    assert "gone.npz" in text and "random numbers" in text


def test_a_damaged_matrix_is_named(copy: RunFolder) -> None:
    (copy.path / CONFUSION).write_text("a,b\n1\n")
    found = seen.kept_confusion(copy, Missing("The data are gone."))
    assert isinstance(found, Missing) and "cannot be read" in found.why


def test_a_run_of_an_older_version_has_no_norms(copy: RunFolder) -> None:
    (copy.path / GRADIENTS).unlink()
    found = norms(copy, copy.load_model())
    assert isinstance(found, Missing) and GRADIENTS in found.why
    (copy.path / GRADIENTS).write_text("epoch,step,w\n1,1,x\n")
    found = norms(copy, copy.load_model())
    assert isinstance(found, Missing) and "cannot be read" in found.why


def test_a_run_without_an_epoch_has_a_page(copy: RunFolder) -> None:
    (copy.path / MODEL).unlink()
    (copy.path / GRADIENTS).unlink()
    copy.go_on([])
    found = collect(copy, steps=0)
    parts = (found.curves, found.evaluated, found.confusion, found.filters, found.norms)
    assert all(isinstance(part, Missing) for part in parts)
    assert found.stopped == f"Stopped after 0 of {EPOCHS} epochs."
    text = render(found)
    assert text.count("No epoch of this run was completed.") == 4 and found.stopped in text


def test_a_run_that_was_stopped_says_so(copy: RunFolder) -> None:
    text = (copy.path / "config.json").read_text().replace(f'"epochs": {EPOCHS}', '"epochs": 9')
    (copy.path / "config.json").write_text(text)
    assert (
        collect(RunFolder.open(copy.path), steps=0).stopped
        == f"Stopped after {EPOCHS} of 9 epochs."
    )


@pytest.mark.parametrize("what", ["nothing", "file", "empty"])
def test_what_is_no_run_is_one_error(tmp_path: Path, what: str) -> None:
    path = tmp_path / "run"
    if what == "file":
        path.write_text("")
    if what == "empty":
        path.mkdir()
    done = command("report", path)
    assert done.exit_code == 2
    assert done.output.startswith(f"error: run folder {path}")
    assert "Traceback" not in done.output


def test_a_folder_is_no_page(trained: Path, tmp_path: Path) -> None:
    done = command("report", trained, "--out", tmp_path)
    assert done.exit_code == 2 and "is a folder, expected a file" in done.output
