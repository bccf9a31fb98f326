"""The documentation's part of the site: its pages, its links, what it says of the package."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

import gradproof as gp
from gradproof.book import kept, sources
from gradproof.book.commands import commands
from gradproof.book.content import page
from gradproof.book.docs import Linked, paragraph
from gradproof.book.highlight import guessed, highlighted
from gradproof.book.markdown import document, slug
from gradproof.book.pages import HOME, PAGES, PARTS, address
from gradproof.book.reference import Passage, modules, passages, public, signature
from gradproof.book.site import build, render
from gradproof.cli.book import known
from gradproof.cli.main import COMMANDS, app
from gradproof.codegen.certify import known_record
from gradproof.codegen.generate import generated_folder
from gradproof.derive.registry import find, operators
from tests.html_pages import faults, parsed

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("site") / "pages"
    build([find("relu"), find("linear")], partial(known, {}), path)
    return path


# -- the site -----------------------------------------------------------------------------------
def test_every_link_and_anchor_leads_somewhere(folder: Path) -> None:
    assert faults(folder) == []
    assert len(list(folder.rglob("*.html"))) > 100


@pytest.mark.slow
def test_every_operator_has_a_page(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["book", "--out", str(tmp_path / "pages")])
    assert result.exit_code == 0, result.output
    pages = {p.stem for p in (tmp_path / "pages" / "operators").glob("*.html")}
    assert pages == {"index", *operators()}
    assert faults(tmp_path / "pages") == []


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    text = '<a href="b.html">b</a><a href="#c">c</a><p id="d"></p><p id="d"></p>'
    (tmp_path / "a.html").write_text(text, "utf-8")
    assert faults(tmp_path) == [
        "a.html: an identifier stands twice",
        "a.html: nothing is at b.html",
        "a.html: no place #c",
    ]


def test_every_page_of_the_documentation_stands_in_one_part() -> None:
    there = {f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md")}
    there |= {p.name for p in ROOT.glob("*.md")}
    listed = [source for files in PAGES.values() for source in files]
    assert sorted(listed) == sorted(there)
    assert list(PAGES) == [part.folder for part in PARTS if part.folder != "operators"]


def test_the_start_page_leads_to_every_part(folder: Path) -> None:
    links = parsed(folder / "index.html").links
    assert all(f"{part.folder}/index.html" in links for part in PARTS)
    assert links.index("tutorial/index.html") < links.index("reference/index.html")


def test_the_navigation_names_every_page(folder: Path) -> None:
    links = parsed(folder / "how-to" / "training.html").links
    for path in folder.rglob("*.html"):
        name = path.relative_to(folder).as_posix()
        if not name.startswith("files/"):
            assert f"../{name}" in links


def test_nothing_is_fetched(folder: Path) -> None:
    """Scripts, styles and pictures come from the folder; only text links lead out of it."""
    for path in folder.rglob("*.html"):
        text = path.read_text("utf-8")
        assert not re.search(r'<(?:script|img)[^>]*src="(?:https?:)?//', text)
        assert not re.search(r'<link[^>]*href="(?:https?:)?//', text)


def test_the_search_knows_pages_headings_and_functions(folder: Path) -> None:
    script = (folder / "search.js").read_text("utf-8")
    rows = json.loads(script.removeprefix("const SEARCH = ").removesuffix(";\n"))
    places = {text: where for text, where, _ in rows}
    assert places["linear"] in ("operators/linear.html", "reference/gp-functional.html#linear")
    assert places["Conv2d"] == "reference/gp-nn.html#Conv2d"
    assert places["Nothing is lost"] == "how-to/training.html#nothing-is-lost"
    assert all((folder / where.partition("#")[0]).is_file() for where in places.values())


def test_functions_lead_to_their_derivations(folder: Path) -> None:
    links = parsed(folder / "reference" / "gp-functional.html").links
    assert {"../operators/relu.html", "../operators/linear.html"} <= set(links)
    assert "../operators/conv2d.html" not in links  # it is not in this site


# -- Markdown -----------------------------------------------------------------------------------
def test_headings_get_the_anchors_that_links_expect() -> None:
    found = document("# A\n\n## `b` and C, again\n\n## Twice\n\n## Twice\n")
    assert found.title == "A"
    anchors = [(h.level, h.anchor) for h in found.headings]
    assert anchors == [(1, "a"), (2, "b-and-c-again"), (2, "twice"), (2, "twice-1")]
    assert '<h2 id="twice-1">' in found.html
    assert slug("Over which numbers?") == "over-which-numbers"


def test_code_mathematics_and_tables() -> None:
    text = "```python\nx = 1\n```\n\n```math\na < b\n```\n\n| a |\n|---|\n| 1 |\n\n    make test\n"
    html = document(text).html
    assert 'x = <span class="m">1</span>' in html
    assert '<div class="math display" tabindex="0">a &lt; b</div>' in html
    assert '<div class="scroll" tabindex="0"><table>' in html
    assert "<pre" in html and "make" in html


def test_markup_in_a_page_is_text() -> None:
    assert document("a <b>c</b> <script>d</script>").html == (
        "<p>a &lt;b&gt;c&lt;/b&gt; &lt;script&gt;d&lt;/script&gt;</p>\n"
    )


def test_a_link_that_leads_nowhere_is_its_text_and_a_picture_an_error() -> None:
    html = document("[a](x.md) and [b](y.md)", {"y.md": "z.html"}.get).html
    assert html == '<p>a and <a href="z.html">b</a></p>\n'
    with pytest.raises(ValueError, match=r"no picture at x\.png"):
        document("![a](x.png)", lambda link: None)


def test_links_of_a_page_are_those_of_its_folder() -> None:
    resolve = Linked().of_page("docs/training.md", "how-to/training.html")
    assert resolve("faults.md#in-python") == "faults.html#in-python"
    assert resolve("../README.md") == "../explanation/readme.html"
    assert resolve("../examples/attention.py") == "../files/examples/attention.py.html"
    assert resolve("figures/digits.png") == "../files/docs/figures/digits.png"
    assert resolve("../derive/ops") == "../files/derive/ops/index.html"
    assert resolve("https://diataxis.fr") == "https://diataxis.fr"
    assert resolve("#place") == "#place"
    assert resolve("nowhere.md") is None


def test_an_installed_package_has_the_pages_and_not_the_benchmarks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "training.md").write_text("# Training\n", "utf-8")
    monkeypatch.setattr(sources, "HOME", tmp_path)
    resolve = Linked().of_page("docs/files.md", "how-to/files.html")
    assert resolve("training.md") == "training.html"
    assert (ROOT / "benchmarks" / "records" / "devices.json").is_file()
    assert resolve("../benchmarks/records/devices.json") is None


def test_code_is_coloured_by_its_language() -> None:
    assert highlighted("a < b", "text") == "a &lt; b"
    assert '<span class="gp">&gt;&gt;&gt; </span>' in highlighted(">>> 1\n1\n", "python")
    assert guessed("    indented\n") == "sh"
    assert guessed("z[n] = 1") == ""


# -- the reference ------------------------------------------------------------------------------
def test_every_public_name_is_told_of() -> None:
    told = {e.name: e for m in modules() for e in m.entries}
    names = [f"gp.{n}" for n in public(gp) if n != "__version__"]
    names += [f"gp.nn.{n}" for n in public(gp.nn)]
    names += [f"gp.functional.{n}" for n in public(gp.functional)]
    assert len(names) > 130
    assert [n for n in names if n not in told] == []
    assert [n for n, e in told.items() if not e.passages] == []


def test_a_signature_is_as_it_is_written() -> None:
    assert signature(gp.functional.relu) == "(input: Tensor, *, label: str = 'relu') -> Tensor"
    assert signature(gp.nn.ReLU) == "()"

    def long(first: int, *others: str, third: float = 1.0, **more: object) -> dict[str, float]:
        raise NotImplementedError

    line = "(first: int, *others: str, third: float = 1.0, **more: object) -> dict[str, float]"
    assert signature(long) == line
    assert signature(gp.Trainer).startswith("(\n    model: Module,\n")


def test_a_docstring_in_parts() -> None:
    parts = passages(gp.functional.conv2d)
    assert "padding" in [p.label for p in parts] and "Errors" in [p.label for p in parts]
    assert next(p for p in parts if p.code).text.startswith(">>> ")
    arguments = [p.label for p in passages(gp.Trainer)]
    assert {"model", "optimizer", "batch_size"} <= set(arguments)
    assert paragraph(Passage("a < `b`", label="Errors")) == (
        "<p><strong>Errors</strong>: a &lt; <code>b</code></p>\n"
    )
    assert paragraph(Passage("Two:\n- a\n- b")) == "<p>Two:</p><ul><li>a</li><li>b</li></ul>\n"


def test_sources_lead_to_their_lines(folder: Path) -> None:
    entry = next(e for m in modules() for e in m.entries if e.name == "gp.functional.relu")
    assert entry.source is not None
    source, line = entry.source
    assert (HOME / source).read_text("utf-8").splitlines()[line - 1].startswith("def relu(")
    text = (folder / "files" / f"{source}.html").read_text("utf-8")
    assert f'id="L{line}"' in text


def test_the_command_line_is_that_of_the_help() -> None:
    found = {c.name: c for c in commands()}
    assert list(found) == list(COMMANDS)
    for name in ("demo", "book", "verify"):
        printed = CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"}).output
        shown = {o for words, _ in found[name].options for o in re.findall(r"--[a-z-]+", words)}
        assert shown == set(re.findall(r"(?<=[\s│])--[a-z-]+", printed)) - {"--help"}, name
    assert found["book"].usage.startswith("gradproof book [OPERATOR|FILE]...")


# -- pages that are kept ------------------------------------------------------------------------
def test_a_page_is_kept_until_what_it_says_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GRADPROOF_CACHE_DIR", str(tmp_path))
    d, record = find("relu"), known_record(generated_folder(), "relu")
    first = render(d, lambda _: record)
    with monkeypatch.context() as patched:
        patched.setattr("gradproof.book.site.page", lambda *_: pytest.fail("it was made again"))
        assert render(d, lambda _: record) == first
    assert kept.kept("relu", kept.page_key(d, None)) is None  # other certificates
    assert kept.kept("relu", kept.page_key(find("tanh"), record)) is None
    path = kept.pages_folder() / "relu.json"
    path.write_text(path.read_text("utf-8").replace("relu_z", "relu_y"), "utf-8")
    assert kept.kept("relu", kept.page_key(d, record)) is None  # damaged
    assert render(d, lambda _: record) == first


def test_a_certificate_that_no_longer_holds_is_searched_anew() -> None:
    record = known_record(generated_folder(), "relu")
    assert record is not None
    good = page(find("relu"), lambda _: record)
    key = next(iter(record["proofs"]))
    bad = {**record, "proofs": {**record["proofs"], key: [["==", "i - i_", [], [[5, "2"]]]]}}
    assert page(find("relu"), lambda _: bad).proofs.rows == good.proofs.rows


def test_limits_that_are_too_weak_are_found_anew() -> None:
    record = known_record(generated_folder(), "adaptive_avg_pool2d")
    assert record is not None and record["limits"]
    weak = {**record, "limits": []}
    assert json.loads(page(find("adaptive_avg_pool2d"), lambda _: weak).certificates) == record


# -- pictures -----------------------------------------------------------------------------------
def test_the_pictures_of_the_pages_are_there_and_small() -> None:
    text = (ROOT / "docs" / "book.md").read_text("utf-8")
    names = re.findall(r"\]\(pictures/([^)]+)\)", text)
    assert sorted(names) == sorted(p.name for p in PICTURES.iterdir())
    for name in names:
        assert (PICTURES / name).stat().st_size < 150_000
        with Image.open(PICTURES / name) as picture:
            assert picture.size == (1200, 800)
            assert len(picture.convert("RGB").getcolors(1 << 24)) > 20


def test_addresses_are_those_of_the_parts() -> None:
    assert address("CONTRIBUTING.md") == "how-to/contributing.html"
    assert address("docs/proofs.md") == "explanation/proofs.html"
    assert address("docs/__init__.py") is None
