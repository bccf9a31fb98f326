"""Philox4x32-10 in plain integers: the reference that the kernels' generator is compared with."""

from __future__ import annotations

MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
MASK = 0xFFFFFFFF
ROUNDS = 10

Words = tuple[int, int, int, int]


def philox4x32(counter: Words, key: tuple[int, int]) -> Words:
    """Four random 32-bit words from a 128-bit counter and a 64-bit key.

    Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (SC 2011), figure 2.
    All words are integers from 0 to 2**32 - 1.

    >>> [f"{word:08x}" for word in philox4x32((0, 0, 0, 0), (0, 0))]
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    for round_ in range(ROUNDS):
        k0, k1 = ((k + round_ * w) & MASK for k, w in zip(key, WEYL, strict=True))
        high0, low0 = divmod(MULTIPLIERS[0] * counter[0], 2**32)
        high1, low1 = divmod(MULTIPLIERS[1] * counter[2], 2**32)
        counter = (high1 ^ counter[1] ^ k0, low1, high0 ^ counter[3] ^ k1, low0)
    return counter
