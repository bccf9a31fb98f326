"""Changes to bytes, numbers, text and JSON that readers are known to trip over."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

NUMBERS = (
    0, 1, 2, 3, 4, 7, 8, 16, 127, 128, 255, 256, 257, 1024, 32767, 32768, 65535, 65536,
    2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53, 2**62, 2**63 - 1, 2**63, 2**64 - 1, -1, -2,
)  # fmt: skip
SIZES = {1: "B", 2: "H", 4: "I", 8: "Q"}
WORDS = (
    "", " ", ".", "..", "../outside", "/etc/passwd", "a/../../b", "C:\\x", "\0", "\n", "\t", "é",
    "\u202e", "\ud800", "a" * 5000, "%s%n", "${HOME}", "{0}", "__class__", "__import__('os')",
    "nan", "inf", "-inf", "1e999", "-0", "0x10", "1_0", "١", "None", "true", "𝒙", "x\u0301", "'",
    '"',
)  # fmt: skip
DEEP = 3000


def a_number(rng: Random) -> int:
    """Often at an edge."""
    if rng.random() < 0.7:
        return rng.choice(NUMBERS) + rng.choice((0, 0, 0, 1, -1))
    return rng.getrandbits(rng.choice((3, 8, 16, 31, 32, 63, 64)))


def packed(rng: Random, value: int, size: int) -> bytes:
    """A number in `size` bytes, in either order, without what does not fit."""
    return struct.pack(rng.choice("<>") + SIZES[size], value % 256**size)


def some_bytes(rng: Random, content: bytes, others: Sequence[bytes] = ()) -> bytes:
    """One to six changes at random places; others: of the same kind, to splice with."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        rng.choice(CHANGES)(rng, data)
    if others and rng.random() < 0.1:
        other = rng.choice(others)
        data[rng.randrange(len(data) + 1) :] = other[rng.randrange(len(other) + 1) :]
    return bytes(data)


def _place(rng: Random, data: bytearray) -> int:
    """More often near the beginning or the end, where headers and directories are."""
    n = len(data)
    if not n:
        return 0
    kind = rng.random()
    if kind < 0.4:
        return rng.randrange(min(n, 64))
    return rng.randrange(n) if kind < 0.8 else n - 1 - rng.randrange(min(n, 128))


def _flip(rng: Random, data: bytearray) -> None:
    if data:
        data[_place(rng, data)] ^= 1 << rng.randrange(8)


def _set(rng: Random, data: bytearray) -> None:
    if data:
        data[_place(rng, data)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))


def _write(rng: Random, data: bytearray) -> None:
    size, at = rng.choice((2, 4, 8)), _place(rng, data)
    data[at : at + size] = packed(rng, a_number(rng), size)


def _insert(rng: Random, data: bytearray) -> None:
    at = _place(rng, data)
    data[at:at] = rng.randbytes(rng.choice((1, 2, 4, 8, 40)))


def _delete(rng: Random, data: bytearray) -> None:
    at = _place(rng, data)
    del data[at : at + rng.choice((1, 2, 4, 8, 40))]


def _cut(rng: Random, data: bytearray) -> None:
    del data[_place(rng, data) :]


def _extend(rng: Random, data: bytearray) -> None:
    data += rng.choice((b"\0", b"\xff", rng.randbytes(4))) * rng.choice((1, 4, 100))


def _repeat(rng: Random, data: bytearray) -> None:
    at, size = _place(rng, data), rng.choice((1, 4, 16, 64))
    data[at:at] = data[at : at + size] * rng.choice((1, 2, 8))


def _move(rng: Random, data: bytearray) -> None:
    at, size, to = _place(rng, data), rng.choice((1, 4, 16)), _place(rng, data)
    data[to : to + size] = data[at : at + size]


CHANGES: tuple[Callable[[Random, bytearray], None], ...] = (
    _flip, _flip, _set, _set, _write, _write, _insert, _delete, _cut, _extend, _repeat, _move,
)  # fmt: skip


def some_text(rng: Random, text: str, tokens: Sequence[str]) -> str:
    """Tokens put in, taken out, doubled or exchanged."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        at, size = rng.randrange(len(text) + 1), rng.choice((0, 0, 1, 1, 2, 5))
        kind = rng.random()
        if kind < 0.6:
            text = text[:at] + rng.choice(tokens) + text[at + size :]
        elif kind < 0.75:
            text = text[:at] + text[at + size :]
        elif kind < 0.85:
            text = text[:at] + text[at : at + size] * rng.choice((2, 50)) + text[at:]
        else:
            text = text[:at] + rng.choice(WORDS) + text[at:]
    return text


# -- JSON ---------------------------------------------------------------------------------------
def a_value(rng: Random) -> Any:
    """Of any kind that JSON has, and NaN."""
    kind = rng.randrange(9)
    if kind < 3:
        return a_number(rng)
    if kind == 3:
        return rng.choice((0.0, -0.5, 1e308, 1e-320, float("nan"), float("inf"), float("-inf")))
    if kind < 6:
        return rng.choice(WORDS)
    if kind == 6:
        return rng.choice((None, True, False))
    return rng.choice(([], {}, [[]], [None], {"": 0}, [0, "x"], {"a": {"a": []}}))


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all parts of a value."""
    found = [path]
    if isinstance(value, dict):
        found += [p for k, v in value.items() for p in places(v, (*path, k))]
    elif isinstance(value, list):
        found += [p for k, v in enumerate(value) for p in places(v, (*path, k))]
    return found


def at(value: Any, path: Sequence[Any]) -> Any:
    """The part at a path."""
    for k in path:
        value = value[k]
    return value


def some_json(rng: Random, value: Any, under: Sequence[Any] = ()) -> Any:
    """A copy with one to three parts changed; under: only below this path."""
    value = json.loads(json.dumps(value))
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        try:
            every = places(at(value, under), tuple(under))
        except (LookupError, TypeError):
            break
        value = _changed(rng, value, rng.choice(every), every)
    return value


def _changed(rng: Random, value: Any, path: tuple[Any, ...], every: list[tuple[Any, ...]]) -> Any:
    if not path:
        return a_value(rng) if rng.random() < 0.05 else value
    parent, key, kind = at(value, path[:-1]), path[-1], rng.random()
    old = parent[key]
    if kind < 0.15:
        del parent[key]
    elif kind < 0.3:
        parent[key] = json.loads(json.dumps(at(value, rng.choice(every))))
    elif kind < 0.4 and isinstance(parent, dict):
        parent[rng.choice((*WORDS, str(key) + "_", *map(str, parent)))] = parent.pop(key)
    elif kind < 0.4:
        parent.insert(key, old)
    elif kind < 0.75 and isinstance(old, str):
        parent[key] = _other_text(rng, old)
    elif kind < 0.75 and isinstance(old, int) and not isinstance(old, bool):
        parent[key] = old + rng.choice((1, -1, 2, 100))
    else:
        parent[key] = a_value(rng)
    return value


def _other_text(rng: Random, text: str) -> str:
    signs = ("0", "1", "2", "+", "-", "*", "//", "%", "/", ">=", "==", "N", "K", "[", "]", "(", ")")
    return some_text(rng, text, signs)


def json_bytes(rng: Random, value: Any, plain: float = 0.85) -> bytes:
    """The value as a file, in a few cases damaged as text."""
    text = json.dumps(value)
    if rng.random() < plain:
        return text.encode()
    kind, at = rng.randrange(7), rng.randrange(len(text) + 1)
    if kind == 0:
        deep = rng.choice(("[", '{"a":', "[{"))
        return (text[:at] + deep * rng.choice((10, DEEP, 100_000)) + text[at:]).encode()
    if kind == 1:
        digits = rng.choice(("9" * 5000, "1e400", "-1e400", "0." + "1" * 400, "NaN", "-Infinity"))
        return (text[:at] + digits + text[at:]).encode()
    if kind == 2:
        return text.encode(rng.choice(("utf-16", "utf-8-sig", "utf-32")))
    if kind == 3:
        return text.replace(rng.choice('":,{}[]'), rng.choice('":,{}[] '), 1).encode()
    return some_bytes(rng, text.encode())
