"""Files that were found to get past a reader's own errors: each is one clear message now."""

from __future__ import annotations

import io
import json
import logging
import os
import struct
import subprocess
import zipfile
import zlib
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image

from gradproof.cli import certificates
from gradproof.cli.predict import read_images
from gradproof.codegen.certify import known_record
from gradproof.codegen.folder import is_ours
from gradproof.codegen.generate import generated_folder
from gradproof.derive.checker import Refused, System, Text, check_folder, const, sha256, var
from gradproof.derive.errors import DefinitionError
from gradproof.derive.language import operator
from gradproof.derive.prove.counterexample import differing
from gradproof.runtime import compile as compiling
from gradproof.runtime.build import CACHE_VARIABLE, sealed
from gradproof.runtime.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from gradproof.runtime.choices import with_choices
from gradproof.runtime.config import Config, load_config
from gradproof.runtime.data import folder as pictures
from gradproof.runtime.data.folder import ImageFolder
from gradproof.runtime.data.npz import load_npz
from gradproof.runtime.data.numpy_files import DEFLATE, read_npy
from gradproof.runtime.errors import DataError, GradproofError, RunError
from gradproof.runtime.manifest import read_manifest
from gradproof.runtime.serialization import load

DEEP = '{"a":' * 100_000


# -- NumPy ----------------------------------------------------------------------------------------
def npy(header: str, content: bytes = b"", version: bytes = b"\1\0", length: int = -1) -> bytes:
    text = header.encode("latin-1")
    size = struct.pack("<H" if version == b"\1\0" else "<I", len(text) if length < 0 else length)
    return b"\x93NUMPY" + version + size + text + content


def told(descr: Any, shape: Any) -> str:
    return repr({"descr": descr, "fortran_order": False, "shape": shape})


HEADERS: dict[str, tuple[bytes, str]] = {
    "an open bracket": (npy("{'descr': ("), "a header that cannot be read"),
    "an odd indent": (npy("  \n  1\n 2"), "a header that cannot be read"),
    "deep nesting": (npy("-" * 8000 + "1"), "a header that cannot be read"),
    "code": (npy("__import__('os').system('true')"), "a header that cannot be read"),
    "half a dtype": (npy(told(("<f4",), (1,))), "a header that cannot be read"),
    "a size of half": (npy(told("<f4", (1.5,))), "a header that cannot be read"),
    "true for a size": (npy(told("<f4", (True,)), bytes(4)), "the header has shape"),
    "a size below 0": (npy(told("<f4", (-1,)), bytes(4)), "the header has shape"),
    "terabytes": (npy(told("<f8", (2**40,)), bytes(8)), "8 bytes of elements, expected 8796"),
    "a long text": (npy(told("|S2147483647", (96,))), "0 bytes of elements, expected 206"),
    "nothing often": (npy(told("<U0", (2**60,))), "elements are"),
    "a record": (npy(told([("a", "<f4")], (1,)), bytes(4)), "elements are"),
    "an array of arrays": (npy(told(("<f4", (2,)), (1,)), bytes(8)), "elements are"),
    "objects": (npy(told("|O", (1,)), bytes(8)), "Object arrays"),
    "more than it says": (npy(told("<f4", (1,)), bytes(8)), "8 bytes of elements, expected 4"),
    "a header of 4 GiB": (npy("{}", b"", b"\2\0", 2**32 - 1), "a header of 4294967295 bytes"),
    "another version": (npy(told("<f4", (1,)), bytes(4), b"\3\0"), r"version \(3, 0\)"),
}


@pytest.mark.parametrize("what", HEADERS)
def test_a_header_of_npy(what: str, tmp_path: Path) -> None:
    content, message = HEADERS[what]
    path, weights = tmp_path / "a.npy", tmp_path / "a.npz"
    path.write_bytes(content)
    with zipfile.ZipFile(weights, "w") as archive:
        archive.writestr("x.npy", content)
    for read, file in ((read_npy, path), (read_images, path), (load, weights)):
        with pytest.raises(DataError, match=message) as caught:
            read(file)
        assert str(file) in str(caught.value) and "\n" not in str(caught.value)


def test_a_right_header_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    for version in (b"\1\0", b"\2\0"):
        path.write_bytes(npy(told("<f4", (2,)), np.array([1, 2], "<f4").tobytes(), version))
        assert read_npy(path).tolist() == [1.0, 2.0]


def test_an_archive_that_claims_too_much_or_is_packed_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("x.npy", b"1")
    with pytest.raises(DataError, match=r"x\.npy is compressed in a way that NumPy does not write"):
        load(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", npy(told("<f4", (1,)), bytes(4)))
    content = bytearray(path.read_bytes())
    at = content.index(b"PK\1\2") + 24
    content[at : at + 4] = struct.pack("<I", DEFLATE * len(content) + 1)
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"{len(content)} bytes claim to unpack to"):
        load(path)
    np.savez_compressed(path, x=np.zeros(10**6, np.float32))  # near deflate's best
    assert load(path)["x"].shape == (10**6,)


@pytest.mark.parametrize("code", [0x110000, 2**32 - 1, 0xD800])
@pytest.mark.parametrize("order", "<>")
def test_a_class_name_that_is_no_text(code: int, order: str, tmp_path: Path) -> None:
    x, y = np.zeros((1, 4, 4), np.uint8), np.zeros(1, np.int64)
    names = np.frombuffer(np.array([code], f"{order}u4").tobytes(), f"{order}U1")
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=x, y_test=y, classes=names)
    with pytest.raises(DataError, match="no characters of Unicode"):
        load_npz(tmp_path / "a.npz")


# -- pictures -------------------------------------------------------------------------------------
def picture(folder: Path, content: bytes, size: int = 8) -> Any:
    path = folder / "class" / "a.png"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return ImageFolder(folder, size).read(np.array([0]))


def png(*chunks: tuple[bytes, bytes], size: tuple[int, int] = (4, 4)) -> bytes:
    """A picture with more chunks behind its header."""
    out = io.BytesIO()
    Image.new("RGB", size).save(out, "PNG")
    whole = out.getvalue()
    more = b"".join(
        struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks
    )
    return whole[:33] + more + whole[33:]


@pytest.mark.parametrize("chunk", [(b"eXIf", b"MM\0*\0\0\0"), (b"iCCP", b"")])
def test_a_damaged_chunk_of_a_picture(chunk: tuple[bytes, bytes], tmp_path: Path) -> None:
    assert picture(tmp_path, png()).shape == (1, 3, 8, 8)
    with pytest.raises(DataError, match=r"a\.png: cannot be read as a picture"):
        picture(tmp_path, png(chunk))


def test_a_line_of_pixels_does_not_grow_to_many(tmp_path: Path) -> None:
    line = png(size=(1, 40_000))
    assert picture(tmp_path, line, 8).shape == (1, 3, 8, 8)
    with pytest.raises(DataError, match="224 x 8960000 pixels are too many"):
        picture(tmp_path, line, 224)


def test_no_other_program_is_asked_about_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*_: object, **__: object) -> None:
        raise AssertionError("a program was started")

    monkeypatch.setattr(subprocess, "Popen", start)
    script = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n%%EOF\n"
    with pytest.raises(DataError, match="cannot be read as a picture"):
        picture(tmp_path, script)
    kinds = {Image.registered_extensions()[suffix] for suffix in pictures.SUFFIXES}
    assert set(pictures.FORMATS) == kinds


# -- weights and checkpoints ----------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["BF16", "F32", "F16"])
def test_a_shape_beyond_numpy(kind: str, tmp_path: Path) -> None:
    header = {
        "w": {"dtype": kind, "shape": [0, 2**62], "data_offsets": [0, 0]},
        "b": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]},
    }
    text = json.dumps(header).encode()
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(2))
    with pytest.raises(DataError, match="cannot be read as safetensors file"):
        load(tmp_path / "a.safetensors")


@pytest.mark.parametrize("state", ["", "nul", "[1]", "3", "[" * 100_000, '{"a": NaN}', "9" * 5000])
def test_a_signed_checkpoint_without_a_state(
    state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "step.safetensors"
    monkeypatch.setattr("gradproof.runtime.checkpoint.json.dumps", lambda *_, **__: state)
    write_checkpoint(Checkpoint({"model/w": np.ones(1)}, {}), path)
    with pytest.raises(DataError, match=r"step\.safetensors: its state"):
        read_checkpoint(path)


# -- text -----------------------------------------------------------------------------------------
def test_a_number_of_5000_digits_in_a_config(tmp_path: Path) -> None:
    (tmp_path / "run.toml").write_text(f"[train]\nepochs = {'9' * 5000}\n")
    with pytest.raises(RunError, match=r"run\.toml: no TOML"):
        load_config(tmp_path / "run.toml")


def test_deep_nesting_is_refused_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "proofs").mkdir()
    path = tmp_path / "proofs" / "f.json"
    path.write_text(DEEP)
    assert not is_ours(path)
    with pytest.raises(Refused, match="is damaged"):
        known_record(tmp_path, "f")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    with caplog.at_level(logging.WARNING):
        assert compiling._load(path, "key", "f") is None
        for content in (DEEP.encode(), b"3"):
            file = certificates.certificates_folder("f.py") / "f.record"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(sealed(content))
            assert certificates.kept("f.py", "f") is None
    assert len(caplog.messages) == 3


# -- folders of kernels ---------------------------------------------------------------------------
@pytest.fixture
def kernels(tmp_path: Path) -> Path:
    """A folder with one operator, and a secret beside it."""
    source, folder = generated_folder(), tmp_path / "kernels"
    (folder / "proofs").mkdir(parents=True)
    entry = json.loads((source / "manifest.json").read_text("utf-8"))["operators"]["mul"]
    for file in (*entry["sha256"], "proofs/mul.json"):
        (folder / file).write_bytes((source / file).read_bytes())
    (folder / "manifest.json").write_text(json.dumps({"format": 1, "operators": {"mul": entry}}))
    (tmp_path / "outside.cl").write_bytes((source / "mul.cl").read_bytes())
    return folder


def changed(folder: Path, change: Any) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest["operators"])
    path.write_text(json.dumps(manifest))


@pytest.mark.parametrize(
    "name", ["../outside.cl", "/etc/hostname", "proofs/../mul.cl", "", "a b.cl"]
)
def test_a_manifest_names_files_of_its_folder_only(name: str, kernels: Path) -> None:
    assert list(read_manifest(kernels)) == ["mul"] and check_folder(kernels)
    changed(kernels, lambda operators: operators["mul"]["sha256"].update({name: "0"}))
    with pytest.raises(GradproofError, match="is no file of the folder"):
        read_manifest(kernels)
    with pytest.raises(Refused, match="is no kernel file of the folder"):
        check_folder(kernels)


def test_neither_a_file_nor_a_name_leads_elsewhere(kernels: Path) -> None:
    changed(kernels, lambda operators: operators.update({"../mul": operators.pop("mul")}))
    with pytest.raises(Refused, match="is no kernel file of the folder"):
        check_folder(kernels)
    changed(kernels, lambda operators: operators.update(mul=operators.pop("../mul")))
    changed(kernels, lambda operators: operators["mul"].update(file="../outside.cl"))
    with pytest.raises(Refused, match="is no kernel file of the folder"):
        check_folder(kernels)


@pytest.mark.parametrize("content", ["", "[]", "3", '{"format": 1}', '{"operators": 3}', DEEP])
def test_a_damaged_manifest_is_one_error(content: str, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(GradproofError, match=r"manifest\.json: damaged"):
        read_manifest(tmp_path)
    with pytest.raises(Refused, match="a file is missing or damaged"):
        check_folder(tmp_path)
    os.remove(tmp_path / "manifest.json")
    with pytest.raises(GradproofError, match="cannot be read"):
        read_manifest(tmp_path)


# -- the index language ---------------------------------------------------------------------------
TOO_MUCH: dict[str, tuple[str, str]] = {
    "nesting that Python's parser refuses": ("y[i] = " + "-" * 8000 + "x[i]", "nested"),
    "nesting": ("y[i] = " + "+".join(["x[i]"] * 400), "nested more than 200 deep"),
    "no text": ("y[i] = x[i] + \ud800", "cannot read"),
    "a zero byte": ("y[i] = x[i] + \0", "cannot read"),
    "a tower": ("y[i] = x[i] + 9**9**9", "more than 4096 bits"),
    "a long number": (f"y[i] = x[i] + {'9' * 4000}", "more than 4096 bits"),
    "exp of exp": ("y[i] = x[i] + exp(exp(exp(1000)))", "exp of a number above 1000000"),
    "a number": ("y[i] = x[i]*2**10**9", "more than 4096 bits"),
    "a product": ("y[i] = x[i]*(9**999*9**999*9**999)", "more than 4096 bits"),
    "a power of a sum": ("y[i] = (x[i] + N + 1)**1000", "more than 2000 terms"),
    "a power of a power": ("y[i] = ((x[i] + 1)**60)**60", "more than 2000 terms"),
    "a high power": ("y[i] = x[i]**129", "a power above 128"),
    "a high power of a sum": ("y[i] = (x[i] - 1)**-257", "a power above 128"),
    "powers that multiply": ("y[i] = (x[i]**60)**-3", "a power above 128"),
    "a degree": ("y[i] = x[i - N**64]", "a degree above 8"),
    "a choice in a condition": (
        "y[i] = where(x[i] + where(x[i] <= 0, 0, x[i]) <= 0, 0, x[i])", "no where inside"
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", TOO_MUCH)
def test_a_definition_that_would_take_for_ever(what: str) -> None:
    equations, message = TOO_MUCH[what]
    with pytest.raises(DefinitionError, match=message) as caught:
        operator("f", equations, {"x": "N"}, outside={"x": "zero"})
    assert len(str(caught.value)) < 600


def test_a_large_extent_is_not_listed() -> None:
    with pytest.raises(DefinitionError, match=r"beyond N - 1"):
        operator("f", "y[i] = sum[k:10**9](x[k])*x[i]", {"x": "N"})


@pytest.mark.parametrize("argument", ["optional", "at_least"])
@pytest.mark.parametrize("value", ["x", 3, {"b": 0.5}, {"b": "1"}, {"b": True}, {3: 1}])
def test_numbers_beside_a_definition_are_integers(argument: str, value: Any) -> None:
    with pytest.raises(DefinitionError, match=f"f: {argument}"):
        operator("f", "y[i] = x[i] + b[i]", {"x": "N", "b": "N"}, **{argument: value})


def test_tensors_are_a_mapping() -> None:
    with pytest.raises(DefinitionError, match="tensors is None"):
        operator("f", "y[i] = x[i]", None)  # type: ignore[arg-type]


# -- what the checker and the search for counterexamples read ------------------------------------
@pytest.mark.parametrize("text", ["1 <= H + -", "", "H tensors W >= 0", "a\0b", "(" * 3])
def test_a_condition_that_is_no_expression_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="cannot read"):
        Text({}).guards(text)


def test_half_a_character_has_a_hash() -> None:
    assert sha256("\ud800") != sha256("")


def test_a_random_number_is_below_no_limit() -> None:
    d = operator("noise", "y[i] = x[i]*exp(philox(1, 2, 3, i)/2**32)", {"x": "T"})
    assert d.outputs == ("y",)


def test_pi_is_a_number_in_the_search_for_counterexamples() -> None:
    empty: dict[str, Any] = {"name": "", "tensors": {}, "scalars": {}, "equations": []}
    empty |= {"inputs": [], "outputs": [], "sizes": ["H"], "lower": {"H": 1}}
    system = System(empty | {"requires": [], "derived": {}})
    assert differing(system, [], var("pi"), const(3)) is not None
    assert differing(system, [], var("pi"), var("pi")) is None


@pytest.mark.parametrize("name", ["${HOME}", "$", "$.model", "a - at `$.b"])
def test_a_setting_that_looks_like_a_place_is_unknown(name: str) -> None:
    with pytest.raises(msgspec.ValidationError) as caught:
        msgspec.json.decode(json.dumps({name: 1}), type=Config)
    said = with_choices(Config, str(caught.value))
    assert name in said and said.endswith("model, optimizer, schedule, tensorboard, train")
