"""Fixtures of the tests in a browser, which need the extra `browser`; see tests/browsing.py."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browsing import CHROMIUM, FLAGS


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as run:
        started = run.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A page; what it says on its console is an error."""
    shown = browser.new_page(viewport={"width": 1200, "height": 900}, reduced_motion="reduce")
    said: list[str] = []
    shown.on("console", lambda m: said.append(m.text))
    shown.on("pageerror", lambda e: said.append(str(e)))
    yield shown
    shown.close()
    assert said == []
