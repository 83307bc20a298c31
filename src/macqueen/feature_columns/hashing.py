"""Hashes that are the same on every machine, in every process and version.

A category is hashed as text: the first eight bytes of BLAKE2b of its UTF-8 form, as an integer (little-endian);
integers by their decimal form.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

MEMO = 1 << 20  # hashes remembered at most

_FACTORS = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))
_SHIFTS = (np.uint64(30), np.uint64(27), np.uint64(31))


class _Memo(dict[object, int]):
    """Remembers hashes: categories repeat."""

    def __missing__(self, value: object) -> int:
        if len(self) >= MEMO:
            self.clear()
        self[value] = found = hash_text(str(value))
        return found


_memo = _Memo()


def hash_text(text: str) -> int:
    """Return the hash of a text, 64 bits."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def hash_all(values: list[object]) -> NDArray[np.uint64]:
    """Return the hashes of texts and integers, (len(values),)."""
    return np.fromiter(map(_memo.__getitem__, values), np.uint64, len(values))


def mixed(state: NDArray[np.uint64], value: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return hashes of pairs: the finalizer of SplitMix64 over state * 3 + value, modulo 2**64."""
    with np.errstate(over="ignore"):
        z = state * np.uint64(3) + value + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> _SHIFTS[0])) * _FACTORS[0]
        z = (z ^ (z >> _SHIFTS[1])) * _FACTORS[1]
        found: NDArray[np.uint64] = z ^ (z >> _SHIFTS[2])
    return found
