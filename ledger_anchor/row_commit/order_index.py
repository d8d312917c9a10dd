"""Finding committed rows by their unique keys: sorted digests under a table's order key.

What belongs here: looking up one key or a batch of them, and building the index anew under another
key. What does not: how digests are made (``rows``) and where the files lie (``records``).

A segment's ``order.bin`` holds the first eight bytes of its rows' order digests, ascending. At
first, entry i belongs to row ``first + i``. After an erasure the order key is replaced, because
the old one would tell from a row's number which keys it can have had; then ``numbers.bin`` (u64 LE)
says which row each entry belongs to, and erased rows have none.
"""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import mmap
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledger_anchor.errors import StorageError

if TYPE_CHECKING:
    from ledger_anchor.row_commit.rows import Engine

NO_ROW = 2**64 - 1
HEAD_SIZE = 8
_HEAD_BITS = 64
_HELD = 1 << 20  # records in memory
_PARTS = 256

Buffer = bytes | mmap.mmap


@dataclass(frozen=True)
class Run:
    """Sorted heads of the order digests of one segment, and the rows they belong to."""

    heads: Buffer = field(repr=False)
    numbers: Buffer | None = field(repr=False)
    first: int

    def __len__(self) -> int:
        return len(self.heads) // HEAD_SIZE

    def number(self, entry: int) -> int:
        """Number of the row an entry belongs to."""
        if self.numbers is None:
            return self.first + entry
        return int.from_bytes(self.numbers[8 * entry : 8 * entry + 8], "little")

    def head(self, entry: int) -> bytes:
        """Head of an entry, big-endian."""
        return self.heads[HEAD_SIZE * entry : HEAD_SIZE * (entry + 1)]

    def lower(self, head: bytes) -> int:
        """First entry whose head is not below this one."""
        low, high = 0, len(self)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self.head(middle) < head else (low, middle)
        return low


class OrderIndex:
    """The row numbers of unique keys, over all segments of a table."""

    def __init__(self, runs: Sequence[Run]) -> None:
        self.runs = tuple(run for run in runs if len(run))

    def find(self, head: bytes) -> list[int]:
        """Numbers of the rows with this head: one, none, or once in 2**64 another's as well."""
        found = []
        for run in self.runs:
            entry = run.lower(head)
            while entry < len(run) and run.head(entry) == head:
                found.append(run.number(entry))
                entry += 1
        return found

    def match(self, heads: array[int]) -> array[int]:
        """Number of the row with each head, ``NO_ROW`` where there is none."""
        if has_numpy():
            return _match_at_once(self.runs, heads)
        found = array("Q")
        for head in heads:
            numbers = self.find(head.to_bytes(HEAD_SIZE, "big"))
            found.append(numbers[0] if numbers else NO_ROW)
        return found


def _match_at_once(runs: Sequence[Run], heads: array[int]) -> array[int]:
    """Binary search for all heads in step: it touches few pages and copies no index."""
    import numpy as np  # noqa: PLC0415 - only there for speed

    wanted = np.frombuffer(heads, dtype="<u8")
    found = np.full(len(wanted), NO_ROW, dtype="<u8")
    for run in runs:
        stored = np.frombuffer(run.heads, dtype=">u8")
        low = np.zeros(len(wanted), dtype=np.int64)
        high = np.full(len(wanted), len(stored), dtype=np.int64)
        while (is_open := low < high).any():
            middle = (low + high) // 2
            is_below = stored[np.minimum(middle, len(stored) - 1)].astype("<u8") < wanted
            low = np.where(is_open & is_below, middle + 1, low)
            high = np.where(is_open & ~is_below, middle, high)
        entry = np.minimum(low, len(stored) - 1)
        is_there = (low < len(stored)) & (stored[entry].astype("<u8") == wanted)
        numbers: Any = entry.astype("<u8") + np.uint64(run.first)
        if run.numbers is not None:
            numbers = np.frombuffer(run.numbers, dtype="<u8")[entry]
        found = np.where(is_there, numbers, found)
    return array("Q", found.tobytes())


@functools.cache
def has_numpy() -> bool:
    """Whether numpy is installed; it is never needed, only quick."""
    return importlib.util.find_spec("numpy") is not None


def heads_of(data: bytes) -> array[int]:
    """Heads as numbers."""
    heads = array("Q", data)
    if sys.byteorder == "little":
        heads.byteswap()
    return heads


def write_index(
    engine: Engine,
    heads_path: Path,
    numbers_path: Path,
    batches: Iterable[tuple[array[int], array[int]]],
) -> None:
    """Write the two files of an index from unsorted batches of heads and row numbers.

    Memory stays bounded: many records go through files beside it, by the first byte of their heads.

    Args:
        engine: sorts.
        heads_path: where the sorted heads go.
        numbers_path: where the row numbers go, in the order of the heads.
        batches: heads and row numbers; consumed once.

    Raises:
        StorageError: if a file cannot be written.
    """
    spill = _Spill(engine, heads_path)
    try:
        for some in batches:
            spill.add(*some)
        with heads_path.open("wb") as heads_file, numbers_path.open("wb") as numbers_file:
            for data in spill.parts():
                first, second = engine.unpack(data, (HEAD_SIZE, 8))
                heads = array("Q", first)
                order = engine.order(heads)
                heads = array("Q", engine.take(first, order, HEAD_SIZE))
                if sys.byteorder == "little":
                    heads.byteswap()
                heads_file.write(heads.tobytes())
                numbers_file.write(engine.take(second, order, 8))
    except OSError as error:
        raise StorageError(f"cannot write {heads_path}: {error.strerror}") from error
    finally:
        spill.close()


class _Spill:
    """Records (head, then number) in parts by the first byte of their heads."""

    def __init__(self, engine: Engine, path: Path) -> None:
        self._engine = engine
        self._files = [path.with_name(f"{path.name}.{n}.part") for n in range(_PARTS)]
        self._held = [bytearray() for _ in self._files]
        self._count = 0

    def add(self, heads: array[int], numbers: array[int]) -> None:
        """Add records; they go to files when there are many."""
        data = [heads.tobytes(), numbers.tobytes()]
        groups = self._engine.split(heads, _HEAD_BITS - 8, _PARTS, data) if heads else []
        for number, group in enumerate(groups):
            self._held[number] += group
        self._count += len(heads)
        if self._count >= _HELD:
            self._count = 0
            for file, held in zip(self._files, self._held, strict=True):
                with file.open("ab") as stream:
                    stream.write(held)
                held.clear()

    def parts(self) -> Iterator[bytes]:
        """Parts in ascending order of their heads."""
        for file, held in zip(self._files, self._held, strict=True):
            data = bytes(held)
            if file.exists():
                data = file.read_bytes() + data
                file.unlink()
            if data:
                yield data

    def close(self) -> None:
        """Remove what is left after a failure."""
        for file in self._files:
            if file.exists():
                with contextlib.suppress(OSError):
                    file.unlink()
