"""The pages of the documentation: which files they are, and in which part of the site they stand.

The parts are those of https://diataxis.fr, in the order in which a reader needs them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DOCS = (ROOT / "docs").resolve()
# The folder above docs/: of a checkout its root, else the package, in which the same files lie.
HOME = DOCS.parent


@dataclass(frozen=True)
class Part:
    """A part of the site: its folder, its name, and who it is for."""

    folder: str
    title: str
    summary: str


PARTS = (
    Part("tutorial", "Tutorial", "Learn it by doing it, from a definition to a trained network."),
    Part(
        "how-to",
        "How-to",
        "Get it done: train, deploy, check a device, go on after a fault.",
    ),
    Part(
        "reference", "Reference", "Look it up: every function with shapes, errors and an example."
    ),
    Part(
        "explanation", "Explanation", "Understand it: how it is built, and what a proof rests on."
    ),
    Part(
        "operators", "Operators", "See it: each operator's derivation, proofs, kernels and picture."
    ),
)

# folder -> the files of its pages, from HOME, in reading order
PAGES = {
    "tutorial": ("docs/tutorial.md", "docs/write-an-operator.md"),
    "how-to": (
        "docs/training.md",
        "docs/report.md",
        "docs/devices.md",
        "docs/faults.md",
        "docs/in-and-out.md",
        "docs/export-c.md",
        "docs/files.md",
        "docs/book.md",
        "CONTRIBUTING.md",
    ),
    "reference": (
        "docs/index-language.md",
        "docs/kernel-subset.md",
        "docs/manifest.md",
        "CHANGELOG.md",
    ),
    "explanation": (
        "docs/architecture.md",
        "docs/proofs.md",
        "docs/schedules.md",
        "docs/planned-steps.md",
        "docs/fast-schedules.md",
        "docs/figures.md",
        "README.md",
    ),
}
TITLES = {"README.md": "The project on one page"}  # others are called as their first heading


def address(source: str) -> str | None:
    """Where the page made from a file lies in the site; None for a file that is no page.

    >>> address("docs/training.md"), address("docs/figures/digits.png")
    ('how-to/training.html', None)
    """
    for folder, files in PAGES.items():
        if source in files:
            return f"{folder}/{Path(source).stem.lower()}.html"
    return None
