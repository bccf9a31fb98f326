"""The notebooks in examples/: they run from top to bottom, and show what their text says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from gradproof.derive.prove.handelman import have_solver

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))
OF_A_MACHINE = re.compile(  # a path from the root, after what no operator or tag ends with
    r"(?<![\w.])/(?:home|root|tmp|usr|opt|mnt|Users)\b|(?<![\w./)\]<])/\w+|\b[A-Z]:\\\\"
)


def faults(text: str) -> list[str]:
    """What a notebook must not have when it is committed: results, and places of one machine."""
    notebook = json.loads(text)
    cells = [c for c in notebook["cells"] if c["cell_type"] == "code"]
    found = ["outputs"] if any(c["outputs"] for c in cells) else []
    found += ["execution counts"] if any(c["execution_count"] is not None for c in cells) else []
    found += ["metadata"] if set(notebook["metadata"]) != {"kernelspec", "language_info"} else []
    found += ["metadata of cells"] if any(c["metadata"] for c in notebook["cells"]) else []
    return found + OF_A_MACHINE.findall(text)


def test_there_are_two() -> None:
    assert [path.stem for path in NOTEBOOKS] == ["lecture", "own_operator"]
    assert all(f"(examples/{p.name})" in (ROOT / "README.md").read_text("utf-8") for p in NOTEBOOKS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_a_notebook_is_committed_without_results(path: Path) -> None:
    assert faults(path.read_text("utf-8")) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_its_links_hold(path: Path) -> None:
    cells = json.loads(path.read_text("utf-8"))["cells"]
    prose = "".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    targets = re.findall(r"\]\(([^)#:]+)\)", prose)
    assert targets and all((path.parent / target).exists() for target in targets)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"outputs": [{"output_type": "stream"}]}, ["outputs"]),
        ({"execution_count": 3}, ["execution counts"]),
        ({"metadata": {"scrolled": True}}, ["metadata of cells"]),
        ({"source": ["open('/home/me/digits')"]}, ["/home"]),
        ({"source": ["open('/a/digits')"]}, ["/a"]),
        ({"source": ["open('C:\\digits')"]}, ["C:\\\\"]),
    ],
)
def test_a_planted_fault_is_named(change: dict[str, Any], named: list[str]) -> None:
    notebook = json.loads(NOTEBOOKS[0].read_text("utf-8"))
    next(c for c in notebook["cells"] if c["cell_type"] == "code").update(change)
    assert faults(json.dumps(notebook)) == named


# -- run ----------------------------------------------------------------------------------------
class Shown:
    """What a notebook's cells showed, each found by the first words of its source."""

    def __init__(self, name: str) -> None:
        nbformat = pytest.importorskip("nbformat", reason="needs gradproof[notebook]")
        nbclient = pytest.importorskip("nbclient", reason="needs gradproof[notebook]")
        pytest.importorskip("ipykernel", reason="needs gradproof[notebook]")
        notebook = nbformat.read(ROOT / "examples" / f"{name}.ipynb", 4)
        nbformat.validate(notebook)
        where = {"metadata": {"path": str(ROOT)}}
        nbclient.NotebookClient(notebook, timeout=300, resources=where).execute()
        self.cells = [c for c in notebook.cells if c.cell_type == "code"]

    def outputs(self, start: str) -> list[Any]:
        """Of the one cell in which a line begins so."""
        (cell,) = (c for c in self.cells if re.search(rf"^{re.escape(start)}", c.source, re.M))
        return list(cell.outputs)

    def data(self, start: str, kind: str) -> str:
        """The cell's last result, as `kind`."""
        return str(self.outputs(start)[-1]["data"][f"text/{kind}"])

    def printed(self, start: str) -> str:
        """What the cell printed."""
        return "".join(o["text"] for o in self.outputs(start) if o["output_type"] == "stream")


def numbers(html: str) -> list[str]:
    return re.findall(r"<td>(.*?)</td>", html)


def accuracy(html: str) -> float:
    (found,) = re.findall(r"held-out accuracy</th><td[^>]*>([0-9.]+)%", html)
    return float(found)


def test_the_lecture() -> None:
    shown = Shown("lecture")
    assert r"z_{n,o,x,y} &= b_{o} + \sum" in shown.data("conv = ", "latex")
    gradients = shown.data("derive(conv)", "latex")
    operands = ("Y_{n,k,u,v}", "w_{o,c,i,j}", "b_{o}")
    assert all(rf"\frac{{\partial \ell}}{{\partial {of}}} &=" in gradients for of in operands)
    steps = [o["data"]["text/markdown"] for o in shown.outputs("for section in")]
    assert steps[0].startswith("**Operator conv**") and steps[-1].startswith("**Result**")
    assert "claims are proved" in shown.data("ledger = ", "html")
    assert shown.printed("closed = ") == "proved\n"
    assert r"\operatorname{flip}" in shown.data("closed = ", "latex")
    assert r"\operatorname{upsample}" in shown.data("closed = ", "latex")
    assert numbers(shown.data("convolve = ", "html")) == [*"987654321"]
    assert numbers(shown.data("middle = ", "html")) == [*"00000", *"01230", *"04560", *"07890",
                                                        *"00000"]  # fmt: skip
    assert "Sequential, 3,866 parameters" in shown.data("model = ", "html")
    trained = shown.data("trainer = ", "html")
    assert accuracy(trained) > 95 and "<svg" in trained


def test_an_operator_of_ones_own() -> None:
    shown = Shown("own_operator")
    assert r"z_{n,c} &= \max" in shown.data("prototypes = ", "latex")
    assert r"\frac{\partial \ell}{\partial w_{c,p,k}} &=" in shown.data(
        "derive(prototypes)", "latex"
    )
    ledger = shown.data("proved(prototypes)", "html")
    proved, claims = map(int, re.findall(r"(\d+) of (\d+) claims are proved", ledger)[0])
    assert claims == 24 and (proved == claims or not have_solver())
    assert "__kernel void prototypes_grad_w(" in shown.printed("program = ")
    assert "Prototypes" in shown.data("model = ", "html")
    assert accuracy(shown.data("trainer = ", "html")) > 94
    assert "image/png" in shown.outputs("figure, axes = ")[-1]["data"]
