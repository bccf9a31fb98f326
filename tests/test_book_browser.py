"""The derivation book in a real browser: Chromium, headless. Slow tests; they need the extra
`browser` and a Chromium (Debian: chromium), and skip without."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradproof as gp
from gradproof.book.serve import server
from gradproof.book.site import build
from gradproof.cli.book import known
from gradproof.derive.interpret import evaluate, gradients
from gradproof.derive.registry import find
from gradproof.runtime import functional as F
from tests.browsing import labelled, needs_browser, slide

pytestmark = needs_browser
OPERATORS = (
    "conv2d",
    "conv3d",
    "conv_transpose2d",
    "max_pool2d",
    "avg_pool2d",
    "batch_norm",
    "relu",
)
TENSORS = """() => Object.fromEntries(Object.entries(gradproof.picture.machine.tensors)
    .map(([n, t]) => [n, [t.shape, Array.from(t.data)]]))"""
CLOSED = """() => gradproof.picture.machine.closed.map((c) => {
    const last = c.stages.at(-1).tensor; return [c.claim, c.target, Array.from(last.data)]; })"""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("book") / "pages"
    build([find(n) for n in OPERATORS], partial(known, {}), folder)
    with server(folder, 0) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


def shown_sizes(page: Any) -> dict[str, int]:
    return dict(page.evaluate("() => gradproof.picture.sizes"))


def shown_tensors(page: Any) -> dict[str, np.ndarray[Any, Any]]:
    found = page.evaluate(TENSORS)
    return {n: np.array(values, np.float64).reshape(shape) for n, (shape, values) in found.items()}


def agrees(page: Any, name: str) -> None:
    """What the page shows is what NumPy computes from the definition; integers are equal."""
    d, sizes, tensors = find(name), shown_sizes(page), shown_tensors(page)
    scalars = dict(page.evaluate("() => gradproof.picture.scalars"))
    given = {n: tensors[n] for n in d.inputs}
    cotangents = {n: tensors[f"grad_{n}"] for n in d.outputs}
    found = evaluate(d, sizes, given, scalars)
    found |= {f"grad_{n}": g for n, g in gradients(d, sizes, given, cotangents, scalars).items()}
    whole = all(np.array_equal(found[n], np.round(found[n])) for n in d.outputs)
    for n in (*d.outputs, *(f"grad_{n}" for n in d.differentiable)):
        if whole:
            assert np.array_equal(tensors[n], found[n]), n
        else:  # both sum a few numbers of size 10 in float64, each in its order
            np.testing.assert_allclose(tensors[n], found[n], rtol=0, atol=1e-12)
    for claim, target, values in page.evaluate(CLOSED):
        np.testing.assert_allclose(
            values, tensors[target].ravel(), rtol=0, atol=1e-12, err_msg=claim
        )


@pytest.mark.parametrize("name", OPERATORS)
def test_a_page_opens_and_its_numbers_are_right(page: Any, address: str, name: str) -> None:
    page.goto(f"{address}/operators/{name}.html")
    agrees(page, name)


def test_the_index_finds_operators(page: Any, address: str) -> None:
    page.goto(f"{address}/operators/index.html")
    page.locator("#filter").fill("batch_norm")
    assert page.locator(".cards li:visible").count() == 1
    page.locator(".cards li:visible a").first.click()
    assert page.url.endswith("operators/batch_norm.html")


@pytest.mark.parametrize(
    ("stride", "dilation", "padding", "kernel", "size"),
    [(2, 1, 0, 3, 6), (3, 1, 2, 2, 8), (2, 2, 1, 3, 7), (1, 3, 3, 3, 5), (3, 2, -1, 2, 9)],
)
def test_sliders_change_the_numbers(
    page: Any, address: str, stride: int, dilation: int, padding: int, kernel: int, size: int
) -> None:
    page.goto(f"{address}/operators/conv2d.html")
    for name, value in (
        ("H-W", size),
        ("KH-KW", kernel),
        ("SH-SW", stride),
        ("DH-DW", dilation),
        ("PT-PB-PL-PR", padding),
    ):
        slide(page, name, value)
    assert shown_sizes(page)["SW"] == stride
    agrees(page, "conv2d")


def test_the_numbers_are_those_of_the_kernels(page: Any, address: str) -> None:
    page.goto(f"{address}/operators/conv2d.html")
    slide(page, "SH-SW", 2)
    slide(page, "OG", 2)
    found = shown_tensors(page)
    given = [gp.tensor(found[n].astype(np.float32), requires_grad=True) for n in "Ywb"]
    z = F.conv2d(*given, stride=2, padding=1)
    assert np.array_equal(z.numpy(), found["z"])
    z.backward(gp.tensor(found["grad_z"].astype(np.float32)))
    for tensor, n in zip(given, "Ywb", strict=True):
        assert np.array_equal(tensor.grad.numpy(), found[f"grad_{n}"])


def test_sizes_that_do_not_fit_are_refused(page: Any, address: str) -> None:
    page.goto(f"{address}/operators/conv2d.html")
    before = page.evaluate(TENSORS)
    slide(page, "PT-PB-PL-PR", -2)
    assert "taller than the padded input" in page.locator(".refusal").inner_text()
    assert page.evaluate(TENSORS) == before
    slide(page, "PT-PB-PL-PR", 0)
    assert page.locator(".refusal").inner_text() == ""
    agrees(page, "conv2d")


def test_an_input_lights_the_outputs_it_reaches(page: Any, address: str) -> None:
    """The lecture's slide: 5 x 5, 3 x 3, stride 1: the middle reaches all nine outputs."""
    page.goto(f"{address}/operators/conv2d.html")
    slide(page, "H-W", 5)
    slide(page, "PT-PB-PL-PR", 0)
    page.locator(labelled("Y(2,2)")).hover()
    assert "is in 9 terms" in page.locator(".terms .sum").inner_text()
    assert page.locator(".grid button.reached").count() == 9
    assert "z(1,1) through w(1,1)" in page.locator(".terms").inner_text()


def test_columns_that_nothing_sees_are_hatched(page: Any, address: str) -> None:
    page.goto(f"{address}/operators/conv2d.html")
    slide(page, "PT-PB-PL-PR", 0)
    slide(page, "SH-SW", 2)
    labels = page.locator(".grid button.unseen").evaluate_all("e => e.map((x) => x.ariaLabel)")
    rows = {f"Y(5,{c})" for c in range(6)} | {f"Y({r},5)" for r in range(6)}
    assert {label.partition(" is")[0] for label in labels} == rows
    assert all("no output reads" in label for label in labels)


def test_the_flipped_filter_stands_over_the_padded_map(page: Any, address: str) -> None:
    page.goto(f"{address}/operators/conv2d.html")
    slide(page, "SH-SW", 2)
    panel = page.locator("details.panel").first
    last = panel.locator("figure").last.locator("button")
    last.nth(7).hover()
    read = panel.locator("button.read").count()
    assert read == 9 + 9  # nine places of the map, nine taps of the turned filter
    assert panel.locator("button.inserted").count() > 0


def test_the_keyboard_is_enough(page: Any, address: str) -> None:
    page.goto(f"{address}/operators/conv2d.html")
    page.locator(labelled("Y(0,0)")).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    assert page.locator(".terms .sum").inner_text().startswith("Y(1,1)")
    page.get_by_label("next element").click()
    assert page.locator(".terms .sum").inner_text().startswith("z(0,1)")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize(
    "path", ["index.html", "operators/conv2d.html", "operators/batch_norm.html"]
)
def test_an_accessibility_checker_finds_nothing_serious(
    page: Any, address: str, path: str, theme: str
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page.emulate_media(color_scheme=theme)
    page.goto(f"{address}/{path}")
    found = Axe().run(page).response["violations"]
    serious = [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] != "minor"]
    assert serious == []


def test_a_phone_shows_all_of_it(page: Any, address: str) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    page.goto(f"{address}/operators/conv2d.html")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390


def test_a_wrong_map_is_seen(page: Any, address: str, tmp_path: Path) -> None:
    """The comparison with NumPy can fail: here the page's own data has another stride."""
    page.goto(f"{address}/operators/conv2d.html")
    page.evaluate("() => { gradproof.picture.sizes.SH = 2; }")
    with pytest.raises((AssertionError, ValueError)):
        agrees(page, "conv2d")
