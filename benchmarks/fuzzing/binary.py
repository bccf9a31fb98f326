"""Cases for the readers of binary files, field by field and byte by byte."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import struct
import zipfile
import zlib
from functools import cache
from random import Random
from typing import Any

import numpy as np

from benchmarks.fuzzing.mutate import NUMBERS, WORDS, a_number, some_bytes, some_json

IDX_CODES = {0x08: 1, 0x09: 1, 0x0B: 2, 0x0C: 4, 0x0D: 4, 0x0E: 8}
TYPES = (
    "|u1",
    "|u1",
    "<f4",
    "<f4",
    "<f4",
    "<f8",
    "<i4",
    "<i8",
    "<f2",
    ">f4",
    ">i4",
    "|b1",
    "<U3",
    "<i2",
    "<u8",
)
ODD_TYPES = (
    "|O", "|V8", "|S2", "<U0", "|V0", "<M8[s]", "<m8", "<c8", "<f16", "", "x", "f4,f4", "O8",
    "<U1000000000", "|S2147483647", "(1000,)f4", "<f4\x00",
)  # fmt: skip


# -- IDX and CIFAR --------------------------------------------------------------------------------
def idx(rng: Random) -> bytes:
    """A header with 1 to 4 sizes and elements, some of them wrong."""
    code = rng.choice(list(IDX_CODES))
    shape = [rng.choice((1, 2, 3, 5, 28)) for _ in range(rng.choice((1, 1, 2, 3, 3, 4)))]
    count, rank = int(np.prod(shape)) * IDX_CODES[code], len(shape)
    if rng.random() < 0.6:
        field = rng.randrange(4)
        if field == 0:
            code = rng.choice((0, 8, 9, 10, 11, 14, 15, 255))
        elif field == 1:
            rank = rng.choice((0, 1, 2, 3, 4, 5, 8, 255))
        elif field == 2:
            shape[rng.randrange(len(shape))] = a_number(rng)
        else:
            count = max(0, count + rng.choice((-1, 1, -count, 100)))
    sizes = b"".join(struct.pack(">I", n % 2**32) for n in shape)
    content = bytes([0, 0, code, rank]) + sizes + rng.randbytes(min(count, 5000))
    return some_bytes(rng, content) if rng.random() < 0.5 else content


def idx_gz(rng: Random) -> bytes:
    """The same compressed, with the outer or the inner file damaged; also what grows much."""
    content = idx(rng)
    if rng.random() < 0.05:
        content = struct.pack(">HBBIII", 0, 8, 3, *(rng.choice(NUMBERS) % 2**32 for _ in range(3)))
        content += bytes(rng.choice((100, 10_000, 3_000_000)))
    whole = gzip.compress(content, 1, mtime=0)
    whole += whole if rng.random() < 0.05 else b""
    return some_bytes(rng, whole) if rng.random() < 0.6 else whole


def cifar(rng: Random) -> bytes:
    """Records of one or two labels and 3072 bytes; the first byte says which (see `readers`)."""
    coarse = rng.random() < 0.5
    pixels = bytes([rng.randrange(256)]) * 3072
    labels = [bytes(rng.randrange(100 if coarse else 10) for _ in range(1 + coarse))]
    content = b"".join(rng.choice(labels) + pixels for _ in range(rng.choice((0, 1, 2, 3))))
    if rng.random() < 0.7:
        content = some_bytes(rng, content)
    return bytes([coarse]) + content


# -- NumPy's files --------------------------------------------------------------------------------
def npy(
    rng: Random, shape: tuple[int, ...] | None = None, kind: str = "", share: float = 0.7
) -> bytes:
    """One .npy file: magic number, version, length, header, elements; share: that is damaged."""
    shape = shape if shape is not None else _shape(rng)
    kind = kind or rng.choice(TYPES)
    content = bytes(rng.randrange(4) for _ in range(int(np.dtype(kind).itemsize * np.prod(shape))))
    if kind[1] in "iuf":
        content = np.resize(np.array([0, 1, 2], kind), shape).tobytes()
    if kind[1] == "U":
        content = np.zeros(shape, kind).tobytes()
    told: dict[str, Any] = {"descr": kind, "fortran_order": rng.random() < 0.2, "shape": shape}
    broken, wild = rng.random() < share, rng.random() if rng.random() < share else 1.0
    if wild < 0.25:
        sizes = [a_number(rng) if rng.random() < 0.5 else n for n in (*shape, 1)]
        told["shape"] = rng.choice((tuple(sizes), tuple(sizes[:-1]), (True,), (1.5,), 3, "x", None))
    elif wild < 0.4:
        told["descr"] = rng.choice(
            (*ODD_TYPES, [("a", "<f4")], [("a", "|O")], [], None, 3, ("<f4", (2,)), {"x": 1})
        )
    elif wild < 0.45:
        told[rng.choice(("extra", "descr", "shape", ""))] = rng.choice((0, None, ()))
    elif wild < 0.5:
        del told[rng.choice(list(told))]
    text = repr(told).encode("utf-8", "replace")
    if broken and rng.random() < 0.2:
        text = _header(rng, text)
    versions = (b"\1\0", b"\2\0", b"\3\0", b"\4\0", b"\0\0")
    version = rng.choice(versions if broken else versions[:2])
    size = struct.pack("<H" if version == b"\1\0" else "<I", (len(text) + 1) % 65536)
    whole = b"\x93NUMPY" + version + size + text + b"\n" + content
    return some_bytes(rng, whole) if broken and rng.random() < 0.5 else whole


def _header(rng: Random, text: bytes) -> bytes:
    """A header that is no plain dictionary."""
    if rng.random() < 0.5:
        return some_bytes(rng, text)
    return rng.choice((
        b"__import__('os').system('true')", b"{'a': (" * 50, b"(" * 5000, b"-" * 8000 + b"1",
        b"'''", b"{'descr': '<f4', 'fortran_order': False, 'shape': (3L,), }", b"1+" * 2000 + b"1",
        b"{**{}}", b"[x for x in ()]", b"\\", b"{'shape': (9" + b"9" * 5000 + b",)}", b"\xff\xfe",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (1,)", b"\0", b"  \n  1\n 2", b"0777",
    ))  # fmt: skip


def _shape(rng: Random) -> tuple[int, ...]:
    if rng.random() < 0.4:
        return rng.choice(((4, 4), (2, 4, 4), (1, 4, 4), (2, 1, 4, 4)))
    return tuple(rng.choice((0, 1, 2, 3, 8)) for _ in range(rng.choice((0, 1, 2, 3, 4, 4))))


def npz(rng: Random) -> bytes:
    """A data set, or named arrays, with members and directory entries that do not fit."""
    images, labels = rng.choice(((2, 3, 4), (2, 1, 4, 4), (2, 4, 4, 3))), (2,)
    wanted = {f"{a}_{b}": images if a == "x" else labels for a in "xy" for b in ("train", "test")}
    members = {}
    for name, shape in wanted.items():
        kind = "|u1" if name[0] == "x" else "<i8"
        wild = rng.random() < 0.05
        members[f"{name}.npy"] = npy(rng, None if wild else shape, "" if wild else kind, 0.1)
    if rng.random() < 0.3:
        members["classes.npy"] = npy(rng, (rng.choice((1, 4)),), "<U3", 0.2)
    wild = rng.random()
    if wild < 0.1:
        members.pop(rng.choice(list(members)))
    elif wild < 0.2:
        members[rng.choice(("x_train", "y_test", "x.npy", "../x.npy", "/x.npy", "a/b.npy", ""))] = (
            rng.randbytes(20)
        )
    whole = _zip(rng, members)
    if rng.random() < 0.5:
        whole = _entries(rng, whole)
    return some_bytes(rng, whole) if rng.random() < 0.25 else whole


def arrays(rng: Random) -> bytes:
    """Named arrays as .npz, as weights are stored."""
    names = rng.sample(("weight", "bias", "0.weight", "file", "a/b", "é", "../x"), 3)
    kinds = ("<f4", "<f8", "<i4", "<i8", "<f2")
    members = {f"{n}.npy": npy(rng, (2, 3), rng.choice(kinds), 0.1) for n in names}
    whole = _zip(rng, members)
    if rng.random() < 0.5:
        whole = _entries(rng, whole)
    return some_bytes(rng, whole) if rng.random() < 0.25 else whole


def _zip(rng: Random, members: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    plain = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
    with zipfile.ZipFile(content, "w") as archive:
        for name, member in members.items():
            info = zipfile.ZipInfo(name or "x")
            info.compress_type = rng.choice(plain)
            if rng.random() < 0.01:
                info.compress_type = rng.choice((zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
            if rng.random() < 0.01:
                member += bytes(rng.choice((10_000, 1_000_000)))
            archive.writestr(info, member)
    return content.getvalue()


# offsets and sizes of the fields of a local header, a directory entry and the end of it
ZIP = {
    b"PK\3\4": ((4, 2), (6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)),
    b"PK\1\2": ((4, 2), (6, 2), (8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2),
                (32, 2), (34, 2), (38, 4), (42, 4)),
    b"PK\5\6": ((4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)),
}  # fmt: skip


def _entries(rng: Random, content: bytes) -> bytes:
    """Fields of a zip archive set to other numbers, also to those of other entries."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 4))):
        mark = rng.choice(list(ZIP))
        found = [m.start() for m in re.finditer(re.escape(mark), data)]
        if not found:
            continue
        (field, size), here = rng.choice(ZIP[mark]), rng.choice(found)
        value = a_number(rng) if rng.random() < 0.6 else rng.choice((0, 8, 9, 12, 14, 93, 95, 98))
        new = struct.pack("<H" if size == 2 else "<I", value % 256**size)
        other = rng.choice(found)
        if rng.random() < 0.3:
            new = bytes(data[other + field : other + field + size])
        data[here + field : here + field + size] = new
    return bytes(data)


# -- safetensors ----------------------------------------------------------------------------------
KINDS = {"F32": 4, "F64": 8, "I32": 4, "I64": 8, "F16": 2, "BF16": 2}
ODD_KINDS = ("BOOL", "U8", "F8_E4M3", "C64", "f32", "", "F4", "U64")


def _header_of(rng: Random, count: int = 3) -> tuple[dict[str, Any], bytes]:
    header: dict[str, Any] = {}
    end = 0
    for name in rng.sample(("weight", "bias", "0.w", "__metadata", "é", "a/b"), count):
        kind, shape = rng.choice(list(KINDS)), [rng.choice((0, 1, 2, 3)) for _ in range(2)]
        size = KINDS[kind] * shape[0] * shape[1]
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    return header, rng.randbytes(end)


def _safe(rng: Random, header: Any, data: bytes, wild: float = 0.15) -> bytes:
    text = json.dumps(header).encode()
    size = len(text)
    if rng.random() < wild:
        size = rng.choice((size + 1, size - 1, a_number(rng) % 2**64, 0, len(text) + len(data)))
    whole = struct.pack("<Q", size % 2**64) + text + data
    return some_bytes(rng, whole) if rng.random() < 2 * wild else whole


def safetensors(rng: Random) -> bytes:
    """Length, header in JSON, numbers."""
    header, data = _header_of(rng)
    if rng.random() < 0.2:
        header["__metadata__"] = {"format": "pt", "a": rng.choice(WORDS[:20])}
    wild = rng.random()
    if wild < 0.3:
        header = some_json(rng, header)
    elif wild < 0.6:
        entry = header[rng.choice([n for n in header if n != "__metadata__"])]
        field = rng.randrange(3)
        if field == 0:
            entry["dtype"] = rng.choice((*KINDS, *ODD_KINDS))
        elif field == 1:
            entry["shape"] = [a_number(rng) for _ in range(rng.choice((0, 1, 2, 3, 40)))]
        else:
            entry["data_offsets"] = [a_number(rng), a_number(rng)]
    if rng.random() < 0.03:
        return struct.pack("<Q", 4 * 3000) + b'{"a"' + b':{"a"' * 3000 + data
    return _safe(rng, header, data)


def digest(kept: dict[str, Any], state: str) -> str:
    """As `runtime.checkpoint` takes it: a forger can do that too."""
    total = hashlib.sha256(state.encode("utf-8", "replace"))
    for name in sorted(kept):
        array = np.asarray(kept[name], order="C")
        total.update(f"{name} {array.dtype.str} {array.shape}\n".encode("utf-8", "replace"))
        total.update(array.tobytes())
    return total.hexdigest()


@cache
def _kept() -> dict[str, Any]:
    return {"model/w": np.ones((2, 2), np.float32), "optimizer/0/v": np.zeros(2, np.float64)}


def checkpoint(rng: Random) -> bytes:
    """Arrays and a state, signed again after a change of the state."""
    kept = _kept()
    state: Any = {"step": 3, "best": None, "history": [{"epoch": 1}], "groups": [{"lr": 0.1}]}
    wild = rng.random()
    if wild < 0.4:
        state = some_json(rng, state)
    text = json.dumps(state)
    if 0.4 < wild < 0.6:
        deep = "[" * rng.choice((10, 3000, 100_000))
        text = rng.choice((deep, "", "nul", "9" * 5000, "NaN", text[:-1], '"\\ud800"', text + " 1"))
    header, data, end = {}, b"", 0
    for name, array in kept.items():
        part = array.tobytes()
        kind = {"<f4": "F32", "<f8": "F64"}[array.dtype.str]
        where = [end, end + len(part)]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": where}
        data, end = data + part, end + len(part)
    told: dict[str, Any] = {"format": "gradproof checkpoint 1", "state": text}
    told["sha256"] = digest(kept, text)
    whole: dict[str, Any] = {"__metadata__": told, **header}
    if wild > 0.8:
        whole = some_json(rng, whole)
    return _safe(rng, whole, data, 0.1)


def entry(rng: Random) -> bytes:
    """A file of the kernel cache: a line with a digest, then a program."""
    binary = rng.randbytes(rng.choice((0, 1, 20, 300)))
    whole = f"gradproof-program 1 {hashlib.sha256(binary).hexdigest()}\n".encode() + binary
    return some_bytes(rng, whole) if rng.random() < 0.8 else whole


def png_chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    """(kind, data) of each chunk."""
    found, at = [], 8
    while at + 8 <= len(content):
        size = struct.unpack(">I", content[at : at + 4])[0]
        found.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += 12 + size
    return found


def png_bytes(chunks: list[tuple[bytes, bytes]]) -> bytes:
    """The file of these chunks, with right checksums."""
    out = b"\x89PNG\r\n\x1a\n"
    for kind, data in chunks:
        out += struct.pack(">I", len(data)) + kind + data
        out += struct.pack(">I", zlib.crc32(kind + data))
    return out
