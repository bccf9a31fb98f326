"""Chromium, headless, for tests of the site: where it is, and what is done on a page."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from typing import Any

import pytest

CHROMIUM = (
    shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
)
WANTED = ("playwright", "axe_playwright_python")
needs_browser = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None or not all(map(find_spec, WANTED)),
        reason="needs Chromium and pip install 'gradproof[browser]'",
    ),
]
# no sandbox, for containers; no calls home
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
FLAGS += ["--disable-quic", "--no-first-run", "--disable-component-update"]


def slide(page: Any, sizes: str, value: int) -> None:
    page.locator(f"#size-{sizes}").fill(str(value))


def labelled(element: str) -> str:
    return f'[aria-label^="{element} is"]'
