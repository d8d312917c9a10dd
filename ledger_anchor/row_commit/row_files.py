"""The private files of one segment's rows, mapped into memory and never read whole.

What belongs here: opening them, checking their lengths, ranks by position and back. What does not:
what makes them (``rows``), where they lie (``records``), trees over them (``row_tree``).

``leaves.bin``: leaf hash by row number. ``cells.bin``: first four bytes of each cell digest by row
number. ``order.bin`` (and ``numbers.bin``): see ``order_index``. ``ranks.bin``: u64 LE row number
by position in the parts. Row numbers count from the first row of the first segment.
"""

from __future__ import annotations

import mmap
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ledger_anchor.errors import SnapshotError, StorageError
from ledger_anchor.manifest import Segment
from ledger_anchor.row_commit.order_index import HEAD_SIZE, Buffer, Run, has_numpy
from ledger_anchor.row_commit.rows import PREFIX_SIZE
from ledger_anchor.tree import HASH_SIZE

RANK_SIZE = 8
_SCAN_BYTES = 1 << 20
_MOST_IN_MEMORY = 1 << 22  # rows


def map_file(path: Path) -> Buffer | None:
    """A file's bytes without reading them; None if there is no file.

    Raises:
        StorageError: if it is there but cannot be read.
    """
    try:
        with path.open("rb") as stream:
            if not path.stat().st_size:
                return b""
            return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error


class Ranks:
    """Committed row number of each row of some parts, in file order."""

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        self._buffers = tuple(buffer for buffer in buffers if len(buffer))
        self._lookups = 0
        self._positions: Any = None

    def __len__(self) -> int:
        return sum(len(buffer) for buffer in self._buffers) // RANK_SIZE

    def slice(self, start: int, count: int) -> array[int]:
        """Row numbers of ``count`` rows from position ``start`` on."""
        found = array("Q")
        first, end = start * RANK_SIZE, (start + count) * RANK_SIZE
        for buffer in self._buffers:
            if first < len(buffer) and end > 0:
                found.frombytes(buffer[max(0, first) : max(0, end)])
            first, end = first - len(buffer), end - len(buffer)
        return found

    def position_of(self, number: int) -> int | None:
        """Position of a row, None if it is not among these.

        The first lookup scans; for more of them in a table of some size a table is made.
        """
        self._lookups += 1
        if self._lookups > 1 and len(self) <= _MOST_IN_MEMORY and has_numpy():
            return self._looked_up(number)
        before = 0
        for buffer in self._buffers:
            at = _find(buffer, number)
            if at is not None:
                return before + at
            before += len(buffer) // RANK_SIZE
        return None

    def _looked_up(self, number: int) -> int | None:
        import numpy as np  # noqa: PLC0415 - only there for speed

        if self._positions is None:
            numbers = np.concatenate([np.frombuffer(one, dtype="<u8") for one in self._buffers])
            first = int(numbers.min())
            size = int(numbers.max()) - first + 1
            if size > 2 * _MOST_IN_MEMORY:  # no such table: the file is damaged
                return None
            positions = np.full(size, -1, dtype=np.int64)
            positions[(numbers - np.uint64(first)).astype(np.int64)] = np.arange(len(numbers))
            self._positions = first, positions
        first, positions = self._positions
        at = number - first
        found = int(positions[at]) if 0 <= at < len(positions) else -1
        return None if found < 0 else found


def _find(buffer: Buffer, number: int) -> int | None:
    """Index of a u64 in a buffer of them, found without building a table of it."""
    if has_numpy():
        import numpy as np  # noqa: PLC0415 - only there for speed

        numbers = np.frombuffer(buffer, dtype="<u8")
        for start in range(0, len(numbers), _SCAN_BYTES):
            found = np.flatnonzero(numbers[start : start + _SCAN_BYTES] == number)
            if len(found):
                return start + int(found[0])
        return None
    wanted = number.to_bytes(RANK_SIZE, "little")
    for start in range(0, len(buffer), _SCAN_BYTES):
        data = buffer[start : start + _SCAN_BYTES]
        at = data.find(wanted)
        while at >= 0:
            if at % RANK_SIZE == 0:
                return (start + at) // RANK_SIZE
            at = data.find(wanted, at + 1)
    return None


@dataclass(frozen=True)
class RowFiles:
    """Leaves, cell-digest prefixes and order index of one segment."""

    segment: Segment
    leaves: Buffer = field(repr=False)
    prefixes: Buffer = field(repr=False)
    run: Run = field(repr=False)

    @classmethod
    def open(cls, folder: Path, segment: Segment, columns: int) -> RowFiles:
        """Map the files of a segment.

        Args:
            folder: where they lie.
            segment: which rows they are about.
            columns: number of columns of the table.

        Raises:
            SnapshotError: if one is missing, or has a length that the rows cannot have.
        """
        leaves = required(folder / "leaves.bin", segment.rows * HASH_SIZE)
        prefixes = required(folder / "cells.bin", segment.rows * columns * PREFIX_SIZE)
        numbers = map_file(folder / "numbers.bin")
        if numbers is None:
            heads = required(folder / "order.bin", segment.rows * HEAD_SIZE)
        else:  # made anew after an erasure: erased rows have no entry
            heads = required(folder / "order.bin", len(numbers))
        return cls(segment, leaves, prefixes, Run(heads, numbers, segment.first))

    def leaf(self, number: int) -> bytes:
        """Leaf hash of a row of this segment."""
        at = (number - self.segment.first) * HASH_SIZE
        return self.leaves[at : at + HASH_SIZE]

    def cells(self, number: int) -> bytes:
        """First four bytes of each cell digest of a row of this segment."""
        width = len(self.prefixes) // max(1, self.segment.rows)
        at = (number - self.segment.first) * width
        return self.prefixes[at : at + width]


def required(path: Path, size: int | None = None) -> Buffer:
    """A mapped file that must be there, with a given size or a whole number of row numbers.

    Raises:
        SnapshotError: if it is missing or has another size.
    """
    found = map_file(path)
    if found is None:
        raise SnapshotError(f"{path} is missing; restore the vault from a backup")
    if size is None:
        size = len(found) // RANK_SIZE * RANK_SIZE
    if len(found) != size:
        raise SnapshotError(
            f"{path}: expected {size} bytes, found {len(found)}: the file is truncated or not of "
            "this snapshot; restore the vault from a backup"
        )
    return found
