"""Moving records of one width with numpy: what the engines that have numpy share.

What belongs here: the second half of ``rows.Engine``, from ``count`` to ``unpack``. What does not:
hashing.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from ledger_anchor.tree import HASH_SIZE


class NumpyRecords:
    """See ``rows.Engine`` for what these methods give."""

    takes_dictionaries = False

    def count(self, start: int, rows: int) -> array[int]:
        """Numbers from a start."""
        return numbers(np.arange(start, start + rows, dtype=np.uint64))

    def heads(self, digests: bytes) -> array[int]:
        """First eight bytes of each digest as a number."""
        words = np.frombuffer(digests, ">u8")[:: HASH_SIZE // 8]
        return numbers(words.astype(np.uint64))

    def order(self, heads: array[int]) -> array[int]:
        """Positions in ascending order."""
        values = np.frombuffer(heads, np.uint64)
        # The quick sort is several times as fast as the stable one; equal heads are rare.
        places = np.argsort(values)
        ordered = values[places]
        if (ordered[1:] == ordered[:-1]).any():
            places = np.argsort(values, kind="stable")
        return numbers(places.astype(np.uint64))

    def repeats(self, numbers: array[int]) -> list[int]:
        """Positions that equal the one before."""
        values = np.frombuffer(numbers, np.uint64)
        found: list[int] = (np.flatnonzero(values[1:] == values[:-1]) + 1).tolist()
        return found

    def take(self, data: bytes, places: array[int], width: int) -> bytes:
        """Records at places."""
        taken: bytes = _records(data, width)[np.frombuffer(places, np.uint64)].tobytes()
        return taken

    def scatter(
        self, target: bytearray, places: array[int], data: bytes, width: int, base: int = 0
    ) -> None:
        """Copy records to their places."""
        if width:
            at = np.frombuffer(places, np.uint64) - np.uint64(base)
            _records(target, width)[at] = _records(data, width)

    def split(
        self, places: array[int], shift: int, parts: int, data: Sequence[bytes], base: int = 0
    ) -> list[bytes]:
        """Records by part."""
        if not places:
            return [b""] * parts
        joined = np.hstack([_bytes(column).reshape(len(places), -1) for column in data])
        if parts == 1:
            return [joined.tobytes()]
        found = (np.frombuffer(places, np.uint64) - np.uint64(base)) >> np.uint64(shift)
        small = found.astype(np.uint8 if parts <= 256 else np.uint32)
        order = np.argsort(small, kind="stable")
        grouped = joined[order]
        edges = np.cumsum(np.bincount(small, minlength=parts))
        return [group.tobytes() for group in np.split(grouped, edges[:-1])]

    def unpack(self, records: bytes, widths: Sequence[int]) -> list[bytes]:
        """Records into columns."""
        rows = _bytes(records).reshape(-1, sum(widths))
        edges = [0, *accumulate(widths)]
        return [rows[:, left:right].tobytes() for left, right in pairwise(edges)]


def numbers(values: Any) -> array[int]:
    """A numpy array of 64-bit numbers as an array of the standard library."""
    made = array("Q")
    made.frombytes(np.ascontiguousarray(values).data.cast("B"))
    return made


def _bytes(data: bytes | bytearray) -> Any:
    return np.frombuffer(data, np.uint8)


def _records(data: bytes | bytearray, width: int) -> Any:
    """Records as items of one opaque type, which numpy moves whole."""
    return np.frombuffer(data, np.dtype((np.void, width)))
