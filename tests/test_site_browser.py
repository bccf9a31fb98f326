"""The whole site in Chromium, from disk: each page opens, and nobody is kept out. Slow; skipped
without the extra `browser` and a Chromium, as tests/test_book_browser.py.

GRADPROOF_WRITE_PICTURES=1 writes the pictures of docs/book.md anew.
"""

from __future__ import annotations

import io
import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from gradproof.book.serve import server
from gradproof.book.site import build
from gradproof.cli.book import known
from gradproof.derive.registry import find
from tests.browsing import labelled, needs_browser, slide

pytestmark = needs_browser
PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
OPERATORS = ("conv1d", "conv2d", "conv3d", "batch_norm", "dropout", "sgd")
KINDS = (
    "index.html",
    "tutorial/tutorial.html",
    "how-to/training.html",
    "how-to/index.html",
    "reference/gp-nn.html",
    "reference/command-line.html",
    "explanation/figures.html",
    "operators/index.html",
    "operators/conv3d.html",
    "files/runtime/functional/conv.py.html",
    "files/derive/ops/index.html",
)
SIZE = {"width": 1200, "height": 800}
NEAR = 12  # of 255, the mean difference of a picture that fonts of another system have drawn


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site") / "pages"
    build([find(n) for n in OPERATORS], partial(known, {}), folder)
    return folder


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    with server(site, 0) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()


@pytest.fixture
def show(page: Any, site: Path) -> Callable[[str], None]:
    return lambda where: page.goto(f"{site.as_uri()}/{where}") and None


def test_every_page_opens_from_disk(page: Any, site: Path) -> None:
    """Without a word on the console (the page's fixture), typeset, and as wide as the screen."""
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url))
    for path in sorted(site.rglob("*.html")):
        page.goto(path.as_uri())
        name = path.relative_to(site).as_posix()
        assert page.locator("h1").inner_text(), name
        assert page.locator(".katex-error").count() == 0, name
        width = page.evaluate("() => document.documentElement.scrollWidth")
        assert width <= 1200, name
    assert all(url.startswith(("file:", "data:")) for url in asked)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("where", KINDS)
def test_an_accessibility_checker_finds_nothing_serious(
    page: Any,
    address: str,
    where: str,
    theme: str,
) -> None:
    """From a server: the checker asks for style sheets, which a page from disk may not read."""
    from axe_playwright_python.sync_playwright import Axe

    page.emulate_media(color_scheme=theme)
    page.goto(f"{address}/{where}")
    found = Axe().run(page).response["violations"]
    serious = [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] != "minor"]
    assert serious == []


@pytest.mark.parametrize("where", KINDS)
def test_a_phone_shows_all_of_it(page: Any, show: Callable[[str], None], where: str) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    show(where)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    site = page.locator("#site")
    assert not site.is_visible()
    page.locator("#menu").click()
    assert site.is_visible() and page.locator("#menu").get_attribute("aria-expanded") == "true"


def test_the_search_box_finds_with_the_keyboard(page: Any, show: Callable[[str], None]) -> None:
    show("how-to/training.html")
    page.keyboard.press("/")
    page.keyboard.type("conv2d")
    assert page.locator("#found li").count() >= 3
    page.keyboard.press("ArrowDown")
    assert page.evaluate("() => document.activeElement.closest('#found') !== null")
    page.keyboard.press("Escape")
    assert not page.locator("#found").is_visible()
    page.locator("#search").fill("batch_norm")
    page.keyboard.press("Enter")
    page.wait_for_url("**/operators/batch_norm.html")


def test_pages_follow_each_other(page: Any, show: Callable[[str], None]) -> None:
    show("tutorial/tutorial.html")
    page.locator("a[rel=next]").click()
    page.wait_for_url("**/tutorial/write-an-operator.html")
    assert page.locator("#site a[aria-current]").inner_text() == "Write an operator"
    page.locator("a[rel=prev]").click()
    page.wait_for_url("**/tutorial/tutorial.html")


def test_the_theme_stays(page: Any, show: Callable[[str], None]) -> None:
    show("index.html")
    page.locator("#theme").click()
    chosen = page.evaluate("() => document.documentElement.dataset.theme")
    page.reload()
    assert page.evaluate("() => document.documentElement.dataset.theme") == chosen == "dark"


def test_a_volume_is_shown_plane_by_plane(page: Any, show: Callable[[str], None]) -> None:
    """A voxel in the middle of 5 × 5 × 5 reaches all 27 outputs of a 3 × 3 × 3 filter."""
    show("operators/conv3d.html")
    slide(page, "PF-PK-PT-PB-PL-PR", 0)
    slide(page, "T-H-W", 5)
    page.locator(labelled("Y(2,2,2)")).hover()
    assert "is in 27 terms" in page.locator(".terms .sum").inner_text()
    assert page.locator(".grid button.reached").count() == 27


# -- the pictures of docs/book.md ---------------------------------------------------------------
def start(page: Any, show: Callable[[str], None]) -> None:
    show("index.html")


def conv2d(page: Any, show: Callable[[str], None]) -> None:
    show("operators/conv2d.html")
    slide(page, "H-W", 5)
    slide(page, "PT-PB-PL-PR", 0)
    page.locator(".player").evaluate("e => e.scrollIntoView()")
    page.locator(labelled("Y(2,2)")).hover()


def kernels(page: Any, show: Callable[[str], None]) -> None:
    page.emulate_media(color_scheme="dark")
    show("operators/conv1d.html")
    page.locator("#conv1d_grad_w").evaluate("e => e.scrollIntoView()")
    page.locator("#conv1d_grad_w + .math .katex").first.wait_for()
    index = page.locator("#conv1d_grad_w + .math .ix").first
    index.dispatch_event("pointerover")


def reference(page: Any, show: Callable[[str], None]) -> None:
    show("reference/gp-functional.html#conv2d")


@pytest.mark.parametrize("scene", [start, conv2d, kernels, reference], ids=lambda s: s.__name__)
def test_the_pictures_are_those_of_the_pages(
    page: Any,
    show: Callable[[str], None],
    scene: Callable[..., None],
) -> None:
    page.set_viewport_size(SIZE)
    scene(page, show)
    page.wait_for_timeout(300)  # for formulas that come into view
    png = io.BytesIO(page.screenshot())
    drawn = Image.open(png).convert("RGB").quantize(128, dither=Image.Dither.NONE)
    path = PICTURES / f"{scene.__name__}.png"
    if os.environ.get("GRADPROOF_WRITE_PICTURES"):
        drawn.save(path, optimize=True)
    with Image.open(path) as kept:
        assert kept.size == drawn.size
        assert difference(kept, drawn) < NEAR
        assert difference(kept, Image.new("L", kept.size)) > NEAR


def difference(a: Any, b: Any) -> float:
    """The mean difference of two pictures in grey, of 255."""
    pairs = zip(a.convert("L").tobytes(), b.convert("L").tobytes(), strict=True)
    return sum(abs(x - y) for x, y in pairs) / (a.width * a.height)
