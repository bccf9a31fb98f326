"""The page about a run in a real browser: Chromium, headless. Slow; see `test_book_browser`."""

# ruff: noqa: F811 (fixtures of another file are arguments here)
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gradproof.report.content import collect
from gradproof.report.page import render
from gradproof.report.parts import Missing, Report
from gradproof.runtime.run import RunFolder
from tests.test_book_browser import browser, page, pytestmark  # noqa: F401
from tests.test_report import trained  # noqa: F401


@pytest.fixture(scope="module")
def report(trained: Path) -> Report:
    return collect(RunFolder.open(trained), steps=1)


@pytest.fixture(scope="module")
def address(report: Report, tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("page") / "report.html"
    file.write_text(render(report), "utf-8")
    return file.as_uri()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_an_accessibility_checker_finds_nothing_serious(
    page: Any, address: str, theme: str
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    page.emulate_media(color_scheme=theme)
    page.goto(address)
    page.evaluate("() => document.querySelectorAll('details').forEach((e) => { e.open = true; })")
    found = Axe().run(page).response["violations"]
    serious = [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] != "minor"]
    assert serious == []


def test_it_asks_for_nothing_else(page: Any, address: str) -> None:
    asked: list[str] = []
    page.on("request", lambda r: asked.append(r.url))
    page.goto(address)
    assert [a for a in asked if not a.startswith("data:")] == [address]


@pytest.mark.parametrize("width", [390, 1200])
def test_no_width_is_too_small(page: Any, address: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(address)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width


def test_a_page_without_anything_is_whole_too(page: Any, report: Report, tmp_path: Path) -> None:
    names = ("curves", "evaluated", "confusion", "filters", "norms", "timing", "memory")
    nothing = Report(
        "a run", "", *(Missing(f"No {n} <here>.") for n in names), reproduce=report.reproduce
    )
    (tmp_path / "report.html").write_text(render(nothing), "utf-8")
    page.goto((tmp_path / "report.html").as_uri())
    said = page.locator(".missing").all_inner_texts()
    assert sorted(said) == sorted(f"No {n} <here>." for n in names)


def test_the_theme_is_chosen_with_a_button(page: Any, address: str) -> None:
    page.emulate_media(color_scheme="light")
    page.goto(address)
    ink = "() => getComputedStyle(document.querySelector('svg.chart text')).fill"
    before = page.evaluate(ink)
    page.get_by_label("dark colours").click()
    assert page.evaluate(ink) != before
    assert page.get_by_label("light colours").is_visible()
