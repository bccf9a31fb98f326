"""Cases for the reader of pictures: what Pillow writes, and what it reads though nobody asked."""

from __future__ import annotations

import io
import struct
from functools import cache
from random import Random

import numpy as np
from PIL import Image

from benchmarks.fuzzing.binary import png_bytes, png_chunks
from benchmarks.fuzzing.mutate import a_number, packed, some_bytes

# other formats that Pillow knows; it would start Ghostscript for the first
FOREIGN = (
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n(x) print\n%%EOF\n",
    b"\0\0\1\0\1\0\1\1\0\0\1\0\x20\0\x30\0\0\0\x16\0\0\0" + bytes(48),
    b"8BPS\0\1" + bytes(6) + b"\0\3\0\0\0\4\0\0\0\4\0\x08\0\3" + bytes(60),
    b"\x0a\5\1\x08" + bytes(124) + b"\0" * 50,
    b"#define x_width 8\n#define x_height 8\nstatic char x_bits[] = {0,0,0,0,0,0,0,0};\n",
    b"SIMPLE  =                    T" + b" " * 50,
    b"\x89HDF\r\n\x1a\n" + bytes(40), b"icns\0\0\0\x10" + bytes(20), b"%PDF-1.4\n%%EOF\n",
    b"\xff\x4f\xff\x51" + bytes(40), b"DDS |\0\0\0" + bytes(124), b"FORM\0\0\0\x10ILBM" + bytes(20),
)  # fmt: skip


def _save(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


@cache
def originals() -> tuple[bytes, ...]:
    """One small file of each kind: modes, compressions, bit depths, an EXIF turn, an animation."""
    rng = np.random.default_rng(0)
    rgb = Image.fromarray(rng.integers(0, 256, (9, 7, 3), np.uint8))
    grey, alpha = rgb.convert("L"), rgb.convert("RGBA")
    deep = Image.fromarray(rng.integers(0, 65536, (9, 7), np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 6
    pnm = b"P2 2 2 255\n0 1 2 255\n", b"P6 2 2 65535\n" + bytes(24), b"P5\n# a\n2 2 9\n" + bytes(4)
    return (
        *(_save(im, "PNG") for im in (rgb, grey, alpha, deep, rgb.convert("P"), grey.convert("1"))),
        _save(rgb, "PNG", exif=exif), _save(alpha.convert("LA"), "PNG"),
        _save(rgb, "JPEG", exif=exif), _save(grey, "JPEG"), _save(rgb, "JPEG", progressive=True),
        _save(rgb.convert("CMYK"), "JPEG"),
        _save(rgb, "BMP"), _save(grey, "BMP"), _save(rgb.convert("P"), "BMP"),
        _save(rgb, "GIF"), _save(rgb, "GIF", save_all=True, append_images=[rgb.rotate(90)]),
        *(_save(rgb, "TIFF", compression=c)
          for c in ("raw", "tiff_lzw", "jpeg", "tiff_adobe_deflate", "packbits")),
        _save(deep, "TIFF"), _save(deep.convert("F"), "TIFF"), _save(grey.convert("1"), "TIFF"),
        _save(rgb, "WEBP"), _save(alpha, "WEBP", lossless=True), _save(rgb, "PPM"),
        _save(grey, "PPM"), *pnm,
    )  # fmt: skip


def picture(rng: Random) -> bytes:
    """One of the originals, changed in a chunk, in numbers or in bytes."""
    if rng.random() < 0.03:
        return rng.choice(FOREIGN)
    content = rng.choice(originals())
    kind = rng.random()
    if content[:4] == b"\x89PNG" and kind < 0.6:
        return _png(rng, content)
    if content[:2] in (b"BM", b"II", b"MM") and kind < 0.5:
        return _numbers(rng, content)
    if content[:1] == b"P" and kind < 0.7:
        return _plain(rng, content)
    return some_bytes(rng, content, originals())


def _png(rng: Random, content: bytes) -> bytes:
    chunks = png_chunks(content)
    for _ in range(rng.choice((1, 1, 2))):
        k = rng.randrange(len(chunks))
        kind, data = chunks[k]
        wild = rng.random()
        if kind == b"IHDR" and wild < 0.6:
            fields = list(struct.unpack(">IIBBBBB", data[:13].ljust(13, b"\0")))
            j = rng.randrange(7)
            fields[j] = a_number(rng) % 2 ** (32 if j < 2 else 8)
            chunks[k] = kind, struct.pack(">IIBBBBB", *fields)
        elif wild < 0.8:
            chunks[k] = kind, some_bytes(rng, data)
        elif wild < 0.9:
            name = rng.choice(
                (b"eXIf", b"tRNS", b"PLTE", b"iCCP", b"zTXt", b"tEXt", b"acTL", b"IEND")
            )
            chunks.insert(k, (name, rng.randbytes(rng.choice((0, 1, 3, 12)))))
        else:
            del chunks[k]
        if not chunks:
            break
    return png_bytes(chunks)


def _numbers(rng: Random, content: bytes) -> bytes:
    """Numbers of a header or a directory, at even places."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2))):
        size = rng.choice((2, 4))
        at = 2 * rng.randrange(len(data) // 2)
        data[at : at + size] = packed(rng, a_number(rng), size)
    return bytes(data)


def _plain(rng: Random, content: bytes) -> bytes:
    """PNM: numbers as text."""
    words = content.split(b" ", 3)
    words[rng.randrange(len(words))] = rng.choice((
        str(a_number(rng)).encode(), b"9" * 5000, b"P7", b"Pf", b"P4", b"# x", b"", b"1e3", b"\xff",
    ))  # fmt: skip
    return b" ".join(words)
