"""The derivation book: what its pages are made from, and the folder it is written to."""

from __future__ import annotations

import json
import re
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gradproof.book.formal import claim
from gradproof.book.html import code, words
from gradproof.book.maps import maps, tree
from gradproof.book.palette import COLOURS, Palette
from gradproof.book.proofs import proofs
from gradproof.book.site import MARK, build, claimed
from gradproof.book.sliders import sliders
from gradproof.cli.book import known
from gradproof.cli.main import app
from gradproof.codegen.certify import known_record
from gradproof.codegen.generate import generated_folder
from gradproof.codegen.program import build_program
from gradproof.derive.checker import Refused
from gradproof.derive.claims import claims_about
from gradproof.derive.registry import find, operators
from gradproof.runtime.errors import GradproofError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("book") / "pages"
    build([find("relu"), find("linear")], partial(known, {}), path)
    return path


def test_nothing_on_a_page_comes_from_elsewhere(folder: Path) -> None:
    style = (folder / "static" / "katex" / "katex.min.css").read_text("utf-8")
    fonts = {f for f in re.findall(r"url\(([^)]+)\)", style) if f.endswith("woff2")}
    assert fonts
    assert all((folder / "static" / "katex" / f).is_file() for f in fonts)
    assert (folder / "static" / "katex" / "LICENSE").is_file()


def test_a_page_shows_the_ledger_and_the_kernels(folder: Path) -> None:
    text = (folder / "operators" / "linear.html").read_text("utf-8")
    record = json.loads((folder / "certificates" / "linear.json").read_text("utf-8"))
    assert record == known_record(generated_folder(), "linear")
    ledger = proofs(record, build_program(find("linear"))).rows
    assert text.count('class="status proved"') == sum(r.status == "proved" for r in ledger)
    assert text.count('class="status tested"') == sum(r.status == "tested" for r in ledger) > 0
    assert "__kernel" in text and "linear_grad_w" in text


def test_a_certificate_that_does_not_hold_is_no_book(tmp_path: Path) -> None:
    """The ledger of a page is checked when the page is made."""
    record = known_record(generated_folder(), "relu")
    assert record is not None
    program = build_program(find("relu"))
    key = next(iter(record["proofs"]))
    record["proofs"][key] = [["==", "i - i_", [], [[5, "2"]]]]
    with pytest.raises(Refused):
        proofs(record, program)


def test_the_obligations_of_a_claim_stand_with_it() -> None:
    record = known_record(generated_folder(), "linear")
    assert record is not None
    found = proofs(record, build_program(find("linear")))
    used = [o.certificate for r in found.rows for o in r.obligations]
    assert {json.dumps(json.loads(line)) for c in used for line in c.splitlines()} == {
        json.dumps(step) for steps in record["proofs"].values() for step in steps
    }
    inside = next(r for r in found.rows if r.claim == "linear_z.range")
    assert all("read inside" in o.place for o in inside.obligations)


def test_the_proof_of_what_draws_numbers_is_told() -> None:
    record = known_record(generated_folder(), "dropout")
    assert record is not None
    told = proofs(record, build_program(find("dropout"))).told
    assert "Philox" in str(told)


def test_all_claims_can_be_typeset() -> None:
    for d in operators().values():
        for c in claims_about(d):
            for side in ("left", "right"):
                for text in c.get(side, {}).values():
                    if isinstance(text, str):
                        assert claim(text, Palette({}))
    with pytest.raises(ValueError, match="no formula"):
        claim("lambda: 0", Palette({}))
    with pytest.raises(ValueError, match="invalid syntax"):
        claim("a ==", Palette({}))


def test_brackets_stand_where_they_are_needed() -> None:
    plain = Palette({})
    assert claim("(a + b)*c", plain) == r"\left(a + b\right) \cdot c"
    assert claim("a - (b - c)", plain) == r"a - \left(b - c\right)"
    assert claim("-(a + b)", plain) == r"-\left(a + b\right)"
    assert claim("(a + b)**2", plain) == r"\left(a + b\right)^{2}"


def test_an_index_has_one_colour_everywhere() -> None:
    palette = Palette.of(find("linear"))
    k = palette.css("k")
    assert k is not None
    assert f'class="{k}"' in code("sum += Y[k];", palette)
    assert palette.css("k_") == k  # the derivation's second copy of an index
    assert palette.css("Y") is None
    assert all(0 <= n < COLOURS for n in Palette.of(find("conv2d")).numbers.values())


def test_text_is_escaped() -> None:
    assert words(("a<b>&",), Palette({})) == "a&lt;b&gt;&amp;"
    assert "&lt;" in code("a < b", Palette({}))


def test_data_cannot_end_the_script_it_stands_in(folder: Path) -> None:
    text = (folder / "operators" / "linear.html").read_text("utf-8")
    data = text.partition('id="picture-data">')[2].partition("</script>")[0]
    assert "<" not in data
    assert json.loads(data)["maps"]["name"] == "linear"


def test_what_cannot_be_drawn_has_no_picture() -> None:
    assert maps(find("dropout")) is None  # random
    assert maps(find("sgd")) is None  # no gradient
    assert maps(find("conv3d")) is not None  # plane by plane
    assert maps(find("conv2d")) is not None


def test_the_trees_are_those_of_the_texts() -> None:
    assert tree("where(a < 1 and b >= 2, x[i], 0)") == [
        "where", ["and", ["<", "a", 1], [">=", "b", 2]], ["at", "x", ["i"]], 0,
    ]  # fmt: skip
    for text in ("lambda: 0", "x.y", "f(*a)", "'text'"):
        with pytest.raises(ValueError, match="no expression"):
            tree(text)


def test_sliders_set_every_size_once() -> None:
    for d in operators().values():
        names = [n for s in sliders(d) for n in s["sizes"]]
        assert sorted(names) == sorted(map(str, d.sizes))
        lower = {str(s): bound for s, bound in d.lower}
        for s in sliders(d):
            assert s["low"] <= s["value"] <= s["high"]
            assert all(s["low"] >= lower.get(n, s["low"]) for n in s["sizes"])


# -- the folder and the command -----------------------------------------------------------------
def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine", "utf-8")
    result = CliRunner().invoke(app, ["book", "relu", "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert isinstance(result.exception, SystemExit)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(GradproofError, match="not of a book"):
        claimed(tmp_path)
    with pytest.raises(GradproofError, match="is a file"):
        claimed(tmp_path / "thesis.tex")


def test_a_book_is_written_again(folder: Path) -> None:
    (folder / "operators" / "gone.html").write_text("an operator that is no more", "utf-8")
    before = (folder / "operators" / "relu.html").read_text("utf-8")
    build([find("relu"), find("linear")], partial(known, {}), folder)
    assert not (folder / "operators" / "gone.html").exists()
    assert (folder / "operators" / "relu.html").read_text("utf-8") == before
    assert (folder / MARK).is_file()


def test_a_users_operator_has_its_page(tmp_path: Path) -> None:
    source = tmp_path / "my_op.py"
    source.write_text(
        "from gradproof.derive.language import operator\n"
        'twice = operator("twice", "z[i] = 2*Y[i] <wrong>", {"Y": "T"})\n',
        "utf-8",
    )
    out = tmp_path / "book"
    wrong = CliRunner().invoke(app, ["book", str(source), "--out", str(out)])
    assert wrong.exit_code == 2
    assert not out.exists()
    source.write_text(source.read_text("utf-8").replace(" <wrong>", ""), "utf-8")
    right = CliRunner().invoke(app, ["book", str(source), "--out", str(out)])
    assert right.exit_code == 0, right.output
    assert [p.name for p in out.glob("operators/*.html")] == ["index.html", "twice.html"]
    text = (out / "operators" / "twice.html").read_text("utf-8")
    assert "twice_grad_Y" in text


def test_unknown_operators_and_ports_are_one_error(tmp_path: Path) -> None:
    out = str(tmp_path / "book")
    assert CliRunner().invoke(app, ["book", "convolve", "--out", out]).exit_code == 2
    assert (
        CliRunner()
        .invoke(app, ["book", "relu", "--out", out, "--serve", "--port", "99999"])
        .exit_code
        == 2
    )
