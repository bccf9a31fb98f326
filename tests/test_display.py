"""What objects show in a notebook: LaTeX, Markdown and HTML, which need no notebook to be made."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

import gradproof as gp
from gradproof.book.content import proved
from gradproof.book.proofs import Obligation, Proofs, Row
from gradproof.derive.explain import explain
from gradproof.derive.registry import find, operators
from gradproof.derive.system import derive
from gradproof.runtime.config import Config
from gradproof.runtime.device import Device
from gradproof.runtime.display import SHOWN, table
from gradproof.runtime.errors import GradproofError, RunError
from gradproof.runtime.layout import Layout
from gradproof.runtime.meta import meta
from gradproof.runtime.plots import curves_svg
from gradproof.runtime.progress import EpochResult
from gradproof.runtime.run import METRICS, RunConfig, RunFolder
from gradproof.runtime.trace import tracing

LAYER = gp.nn.Conv2d(1, 2, 3)
EPOCHS = [
    EpochResult(k, 0.1, 2.0 / k, 0.5, 0.9, 2.5 / k, 0.25 * k, 0.9, 1.0, 1000.0) for k in (1, 2, 3)
]


def parsed(html: str) -> ElementTree.Element:
    """The HTML as a tree; what these methods return is XML too. Errors: ParseError."""
    return ElementTree.fromstring(f"<div>{html}</div>")


def cells(html: str, row: str = "tbody/tr") -> list[list[str]]:
    return [[c.text or "" for c in r] for r in parsed(html).findall(f".//{row}")]


# -- definitions and derivations ----------------------------------------------------------------
def test_a_definition_shows_its_equations_shapes_sizes_and_conditions() -> None:
    shown = find("max_pool2d")._repr_latex_()
    assert shown.startswith(r"$$\begin{aligned} z_{n,c,x,y} &= \max")
    assert r"\text{with } Y : N \times C \times H \times W" in shown
    assert r"\text{and } \mathit{OH} = \left\lfloor" in shown and r"\text{if }" in shown


def test_an_equation_shows_itself() -> None:
    (equation,) = find("bmm").equations
    assert equation._repr_latex_().startswith("$$z_{")


@pytest.mark.parametrize("name", operators())
def test_the_braces_of_every_operator_are_balanced(name: str) -> None:
    system = derive(find(name))
    for shown in (find(name)._repr_latex_(), system._repr_latex_()):
        bare = re.sub(r"\\[{}]", "", shown)
        assert shown.count("$$") == 2 and bare.count("{") == bare.count("}")
        assert shown.count(r"\left") == shown.count(r"\right") + shown.count(r"\leftarrow")


def test_a_derivation_shows_the_forward_equation_then_the_gradients() -> None:
    shown = derive(find("linear"))._repr_latex_()
    rows = shown.removeprefix(r"$$\begin{aligned} ").split(r" \\[4pt] ")
    assert [r.split(" &= ")[0] for r in rows] == [
        "z_{n,o}",
        *(rf"\frac{{\partial \ell}}{{\partial {of}}}" for of in ("Y_{n,k}", "w_{o,k}", "b_{o}")),
    ]


def test_an_operator_without_gradient_shows_its_forward_equation() -> None:
    compare = gp.operator("pick", "z[n] = argmax[k](Y[n,k])", {"Y": "N, K"}, constant=["Y"])
    assert "argmax" in derive(compare)._repr_latex_()


def test_a_function_shows_its_definition() -> None:
    scale = gp.operator("scale", "y[i] = 3 * x[i]", {"x": "N"})
    assert gp.compile(scale)._repr_latex_() == scale._repr_latex_()


def test_the_steps_are_markdown_with_formulas() -> None:
    sections = [s._repr_markdown_() for s in explain(find("linear"), "w")]
    assert any("The chain rule" in s and r"$$\begin{aligned} \frac{\partial" in s for s in sections)
    for shown in sections:
        assert shown.startswith("**") and shown.count("$") % 2 == 0
        words = re.sub(r"\$\$.*?\$\$|\$.*?\$", "", shown)
        assert not re.search(r"(?<!\\)[<_]", words), words


# -- proofs -------------------------------------------------------------------------------------
def test_a_ledger_is_a_table_with_each_claim() -> None:
    ledger = proved(find("relu"))
    html = ledger._repr_html_()
    assert [r[0] for r in cells(html)] == [r.claim for r in ledger.rows]
    assert {r[2] for r in cells(html)} == {"proved"}
    assert repr(ledger) == f"<{len(ledger.rows)} of {len(ledger.rows)} claims are proved>"


def test_a_claim_that_is_not_proved_says_why() -> None:
    row = Row("k.range", "a < b", "tested", "", "", "not found", "", ())
    html = Proofs((row,), ())._repr_html_()
    assert cells(html) == [["k.range", "a < b not found", "tested"]]
    assert "0 of 1 claims are proved" in html


def test_a_formal_claim_is_typeset_and_another_is_not() -> None:
    made = Obligation("", (), "")
    row = Row("G", "", "proved", "", "dloss/dY == pad(g, -P)", "", "", (made,))
    shown = row._repr_latex_()
    assert shown is not None and r"\operatorname{pad}\left(g,\, -P\right)" in shown
    assert Row("G", "", "proved", "", "", "", "", ())._repr_latex_() is None


# -- tensors ------------------------------------------------------------------------------------
def test_a_small_tensor_shows_all_values() -> None:
    t = gp.tensor([[1.5, -2.0], [float("nan"), 1e-8]], requires_grad=True)
    html = t._repr_html_()
    assert cells(html) == [["1.5", "-2"], ["nan", "1e-08"]]
    caption = parsed(html).findtext(".//caption") or ""
    assert caption.startswith("Tensor 2 × 2, float32, ") and caption.endswith(", requires_grad")


@pytest.mark.parametrize(
    ("shape", "shown"),
    [
        ((), [["0"]]),
        ((0,), []),
        ((3, 0), []),
        ((3,), [["0", "1", "2"]]),
        ((2, 2, 2), [["0", "1"], ["2", "3"]]),
        ((9,), [[*"01234567", "…"]]),
    ],
)
def test_any_shape_is_shown(shape: tuple[int, ...], shown: list[list[str]]) -> None:
    array = np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
    assert cells(gp.tensor(array)._repr_html_()) == shown


def test_a_large_tensor_copies_no_more_than_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    array = np.arange(4 * 50 * 60, dtype=np.int32).reshape(4, 50, 60)
    t, copied, copy = gp.tensor(array), [], Device.copy

    def noted(self: Device, target: Any, *rest: Any) -> None:
        copied.append(target.size)
        copy(self, target, *rest)

    monkeypatch.setattr(Device, "copy", noted)
    shown = cells(t._repr_html_())
    assert sum(copied) == SHOWN * SHOWN
    corner = [[*map(str, row), "…"] for row in array[0, :SHOWN, :SHOWN]]
    assert shown == [*corner, ["…"] * (SHOWN + 1)]


def test_a_tensor_that_a_planned_step_has_moved_shows_its_values() -> None:
    t = gp.tensor(np.arange(6.0, dtype=np.float32).reshape(2, 3))
    columns = Layout((2, 3), ((1, 1, 3), (0, 1, 2)), (0, 0))
    t.storage.move(6, t.dtype, columns)
    assert cells(t._repr_html_()) == [["0", "1", "2"], ["3", "4", "5"]]
    assert t.layout == columns


def test_a_tensor_without_values_is_an_error() -> None:
    with meta():
        t = gp.tensor([1.0])
    with pytest.raises(GradproofError, match="without memory"):
        t._repr_html_()
    with tracing(), pytest.raises(GradproofError):
        gp.nn.ReLU()(gp.tensor([1.0]))._repr_html_()


def test_texts_are_escaped() -> None:
    html = table(["<a>"], [["x < y & z"]], "<script>")
    assert "<script>" not in html and "<a>" not in html
    assert cells(html) == [["x < y & z"]]
    assert parsed(html).findtext(".//caption") == "<script>"


# -- networks -----------------------------------------------------------------------------------
def test_a_network_shows_the_names_and_shapes_of_its_state() -> None:
    model = gp.nn.Sequential(
        gp.nn.Sequential(gp.nn.Conv2d(1, 2, 3), gp.nn.BatchNorm2d(2)),
        gp.nn.Linear(4, 3, bias=False),
    )
    html = model._repr_html_()
    rows = {r[0]: r[1:] for r in cells(html)}
    assert list(rows) == ["0", "0.0", "0.1", "1"]
    assert rows["0.0"][1:] == ["weight (2, 1, 3, 3), bias (2)", "20"]
    assert rows["1"][1:] == ["weight (3, 4)", "12"]
    named = {f"{path}.{part.split(' ')[0]}" for path, r in rows.items()
             for part in re.findall(r"\w+ \(", r[1])}  # fmt: skip
    assert named == set(model.state_dict())
    assert "Sequential, 36 parameters" in html


def test_a_shared_layer_counts_once_and_a_lone_one_is_shown() -> None:
    twice = gp.nn.Sequential(LAYER, gp.nn.ReLU(), LAYER)
    assert "Sequential, 20 parameters" in twice._repr_html_()
    assert [r[1].split("(")[0] for r in cells(LAYER._repr_html_())] == ["Conv2d"]


def test_a_layer_can_say_anything_of_itself() -> None:
    class Odd(gp.nn.Module):
        def extra_repr(self) -> str:
            return "<b>"

    assert cells(Odd()._repr_html_())[0][1] == "Odd(<b>)"


# -- runs ---------------------------------------------------------------------------------------
@pytest.fixture
def run(tmp_path: Path) -> Iterator[RunFolder]:
    config = RunConfig(
        config=Config(), image_shape=(1, 8, 8), classes=("a", "b"), device="a <device>", versions={}
    )
    yield RunFolder.create(tmp_path / "run", config)


def test_a_run_shows_settings_results_and_curves(run: RunFolder) -> None:
    run.go_on(EPOCHS)
    html = run._repr_html_()
    rows = dict(cells(html))
    assert rows["network"] == "demo" and rows["data"] == "digits"
    assert rows["device"] == "a <device>"
    assert rows["held-out accuracy"] == "75.00%" and rows["complete epochs"] == "3"
    drawing = next(e for e in parsed(html).iter() if e.tag.endswith("svg"))
    assert "75.0% on held-out images" in drawing.attrib["aria-label"]
    assert "currentColor" in html and "#010101" not in html


def test_a_run_without_an_epoch_and_a_damaged_one(run: RunFolder) -> None:
    assert dict(cells(run._repr_html_()))["result"] == "no epoch is complete"
    (run.path / METRICS).write_text("nothing", "utf-8")
    with pytest.raises(RunError, match=METRICS):
        run._repr_html_()
    with pytest.raises(RunError, match="no complete epoch"):
        curves_svg([])


def test_the_same_epochs_draw_the_same_picture_with_ids_that_are_used() -> None:
    drawing = curves_svg(EPOCHS)
    assert drawing == curves_svg(EPOCHS) != curves_svg(EPOCHS[:2])
    ids = re.findall(r' id="([^"]*)"', drawing)
    assert len(ids) == len(set(ids)) and all(f"#{i}" in drawing for i in ids)


def test_a_trainer_shows_how_far_it_is() -> None:
    images = np.zeros((8, 1, 2, 2), np.float32)
    labels = np.zeros(8, np.int32)
    few = gp.data.Dataset("<few>", images, labels, images[:3], labels[:3], ("0", "1"))
    model = gp.nn.Sequential(gp.nn.Flatten(), gp.nn.Linear(4, 2))
    optimizer = gp.optim.SGD(model.parameters(), lr=0.1)
    trainer = gp.Trainer(model, optimizer, gp.nn.CrossEntropyLoss(), few, batch_size=4)
    rows = dict(cells(trainer._repr_html_()))
    assert rows["data"] == "<few>: 8 images, 3 held out" and rows["optimizer"] == "SGD"
    assert rows["result"] == "no epoch is complete"
    trainer.progress.history.extend(EPOCHS)
    assert dict(cells(trainer._repr_html_()))["complete epochs"] == "3"
