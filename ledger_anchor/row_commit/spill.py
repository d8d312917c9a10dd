"""Ordering rows and placing their hashes by row number when there are more than memory holds.

What belongs here: the private files of a commit, and partition files beside them: records are
appended to one of several files by the leading bits of where they belong, and each file then fits
in memory. Disks see long runs only, in both directions. What does not: what is hashed (``rows``).
Small tables take the same way through one partition in memory.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
from array import array
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from ledger_anchor.errors import DuplicateKeyError, StorageError
from ledger_anchor.files import PRIVATE_MODE
from ledger_anchor.row_commit.parallel import in_order
from ledger_anchor.row_commit.row_tree import NodesWriter
from ledger_anchor.tree import HASH_SIZE, NodeSource

if TYPE_CHECKING:
    from ledger_anchor.row_commit.columns import Batch
    from ledger_anchor.row_commit.rows import Engine

_Placed = tuple[bytearray, bytearray]
_NUMBER = 8
_HEAD_BITS = 64
_ORDER_BYTES = 64  # a row's share of memory while a partition is sorted
_MOST_BITS = 8  # 256 files open at once
_SORTED_AT_ONCE = 1 << 16  # rows: they stay in a core's cache
# Equal heads of 64 bits are looked into up to here; more of them are no accident.
_MOST_TIES = 4096


@dataclass(frozen=True)
class SpillPlan:
    """Where files of a commit go, about how much memory records may take, and the first row."""

    folder: Path
    memory_bytes: int
    first_row: int = 0


class PrivateFile:
    """A file that is written from its start to its end, for its owner only.

    Raises:
        StorageError: if the operating system refuses.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with _telling(self._path):
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            self._descriptor = os.open(path, flags, PRIVATE_MODE)

    def write(self, data: bytes | bytearray) -> None:
        """Append."""
        view = memoryview(data)
        with _telling(self._path):
            while view:
                view = view[os.write(self._descriptor, view) :]

    def close(self) -> None:
        """Close; the disk is not waited for."""
        with _telling(self._path):
            os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class NumbersFile:
    """A number for each row by position, written and read in pieces; it is removed in the end.

    Raises:
        StorageError: if the operating system refuses.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    def put(self, position: int, numbers: array[int]) -> None:
        """Numbers of rows that stand one after another; from several threads."""
        with _telling(self._path):
            view = memoryview(numbers).cast("B")
            at = _NUMBER * position
            while view:
                done = os.pwrite(self._descriptor, view, at)
                view, at = view[done:], at + done

    def of_batch(self, batch: Batch) -> array[int]:
        """Number of each row of a batch."""
        with _telling(self._path):
            size, at = _NUMBER * batch.rows, _NUMBER * batch.position
            return array("Q", os.pread(self._descriptor, size, at))

    def __enter__(self) -> Self:
        with _telling(self._path):
            flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC
            self._descriptor = os.open(self._path, flags, PRIVATE_MODE)
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)
        self._path.unlink(missing_ok=True)


@contextlib.contextmanager
def _telling(path: Path) -> Iterator[None]:
    """Refusals of the operating system as errors of this package."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror}. Free some space or check permissions, then "
            "run the same command again"
        ) from error


class Partitions:
    """Records in groups, each group in memory or in a file of its own."""

    def __init__(self, folder: Path, name: str, parts: int, *, is_small: bool) -> None:
        self.sizes = [0] * parts
        self._folder = folder / f".{name}.parts"
        self._memory: list[list[bytes]] | None = None
        self._files: dict[int, PrivateFile] = {}
        self._lock = threading.Lock()
        if is_small:
            self._memory = [[] for _ in range(parts)]
            return
        self._remove()
        try:
            self._folder.mkdir(mode=0o700)
        except OSError as error:
            raise StorageError(f"cannot create {self._folder}: {error.strerror}") from error

    def append(self, groups: Sequence[bytes]) -> None:
        """Add records to every group."""
        with self._lock:
            for number, records in enumerate(groups):
                if not records:
                    continue
                self.sizes[number] += len(records)
                if self._memory is not None:
                    self._memory[number].append(records)
                    continue
                if number not in self._files:
                    self._files[number] = PrivateFile(self._folder / str(number))
                self._files[number].write(records)

    def take(self, number: int) -> bytes:
        """All records of a group, which is gone then."""
        if self._memory is not None:
            joined, self._memory[number] = b"".join(self._memory[number]), []
            return joined
        with self._lock:
            file = self._files.pop(number, None)
        if file is None:
            return b""
        file.close()
        path = self._folder / str(number)
        try:
            data = path.read_bytes()
            path.unlink()
        except OSError as error:
            raise StorageError(f"cannot read {path}: {error.strerror}") from error
        return data

    def close(self) -> None:
        """Remove what is left."""
        for file in self._files.values():
            with contextlib.suppress(StorageError):
                file.close()
        self._files.clear()
        self._remove()

    def _remove(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


class _Pass:
    """Holds what must be closed whatever happens."""

    def __init__(self) -> None:
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        self._closing.__exit__(*error)


class OrderPass(_Pass):
    """Sorts rows by the heads of their order digests into ``order.bin`` and ``ranks.bin``.

    Rows go to partitions by the leading bits of their heads; each partition is sorted, which gives
    row numbers; those go to partitions by position in the files and are written in that order.
    """

    def __init__(
        self, engine: Engine, plan: SpillPlan, rows: int, dataset: str, unique_key: Sequence[str]
    ) -> None:
        super().__init__()
        self._engine, self._plan, self._rows = engine, plan, rows
        self._dataset, self._unique_key = dataset, unique_key
        self._lock = threading.Lock()
        self._duplicates = 0
        is_small = rows * _ORDER_BYTES <= plan.memory_bytes
        bits = min(_MOST_BITS, max(0, rows // _SORTED_AT_ONCE).bit_length())
        if not is_small:
            share = rows * _ORDER_BYTES * (1 + engine.workers) // max(1, plan.memory_bytes)
            bits = min(_MOST_BITS, max(bits, share.bit_length()))
        self._head_shift = _HEAD_BITS - bits
        self._by_head = Partitions(plan.folder, "order", 1 << bits, is_small=is_small)
        self._closing.callback(self._by_head.close)
        self._ranks = bytearray(_NUMBER * rows if is_small else 0)
        self._by_position: Partitions | None = None
        if not is_small:
            self._shift = max(0, (rows - 1).bit_length() - bits)
            parts = -(-rows // (1 << self._shift))
            self._by_position = Partitions(plan.folder, "ranks", parts, is_small=False)
            self._closing.callback(self._by_position.close)

    def add(self, position: int, digests: bytes) -> None:
        """Add order digests of rows that stand one after another; from several threads."""
        heads = self._engine.heads(digests)
        data = [self._engine.count(position, len(heads)).tobytes(), heads.tobytes()]
        parts = len(self._by_head.sizes)
        self._by_head.append(self._engine.split(heads, self._head_shift, parts, data))

    def finish(self, digests_of: Callable[[Sequence[int]], dict[int, bytes]]) -> None:
        """Write both files.

        Args:
            digests_of: gives the whole order digests of rows by position, for equal heads.

        Raises:
            DuplicateKeyError: if two rows have one digest.
            StorageError: if a file cannot be read or written.
        """
        counts = [size // (2 * _NUMBER) for size in self._by_head.sizes]
        firsts = accumulate(counts, initial=self._plan.first_row)

        def work(item: tuple[int, int]) -> array[int]:
            part, first = item
            positions, heads = self._sorted_part(part, digests_of)
            self._place(positions, self._engine.count(first, len(positions)).tobytes())
            return heads

        with PrivateFile(self._plan.folder / "order.bin") as file:
            items = zip(range(len(counts)), firsts, strict=False)
            for heads in in_order(self._engine.workers, items, work):
                file.write(_as_bytes(heads, "big"))
        if self._duplicates:
            raise DuplicateKeyError(
                f"{self._dataset}: {self._duplicates} of {self._rows} rows repeat another row's "
                f"unique key ({', '.join(self._unique_key)}). Remove the duplicates, or name the "
                "columns that tell the rows apart"
            )
        self._write_ranks()

    def _sorted_part(
        self, part: int, digests_of: Callable[[Sequence[int]], dict[int, bytes]]
    ) -> tuple[array[int], array[int]]:
        """Positions and heads of one partition in ascending order of the digests."""
        engine = self._engine
        first, second = engine.unpack(self._by_head.take(part), (_NUMBER, _NUMBER))
        order = engine.order(array("Q", second))
        positions = array("Q", engine.take(first, order, _NUMBER))
        heads = array("Q", engine.take(second, order, _NUMBER))
        repeats = engine.repeats(heads)
        if repeats:
            with self._lock:
                if len(repeats) > _MOST_TIES or self._duplicates:
                    self._duplicates += len(repeats)
                else:
                    self._settle_ties(positions, repeats, digests_of)
        return positions, heads

    def _settle_ties(
        self,
        positions: array[int],
        repeats: Sequence[int],
        digests_of: Callable[[Sequence[int]], dict[int, bytes]],
    ) -> None:
        """Order rows whose heads are equal by their whole digests, and count equal ones."""
        groups = [range(at - 1, at + 1) for at in repeats]
        for number in range(len(groups) - 1, 0, -1):
            if groups[number - 1].stop > groups[number].start:
                groups[number - 1] = range(groups[number - 1].start, groups.pop(number).stop)
        whole = digests_of([positions[at] for group in groups for at in group])
        for group in groups:
            members = sorted((positions[at] for at in group), key=whole.__getitem__)
            positions[group.start : group.stop] = array("Q", members)
            self._duplicates += len(members) - len({whole[position] for position in members})

    def _place(self, positions: array[int], ranks: bytes) -> None:
        if self._by_position is None:
            self._engine.scatter(self._ranks, positions, ranks, _NUMBER)
            return
        parts = len(self._by_position.sizes)
        data = [positions.tobytes(), ranks]
        self._by_position.append(self._engine.split(positions, self._shift, parts, data))

    def _write_ranks(self) -> None:
        with PrivateFile(self._plan.folder / "ranks.bin") as file:
            if self._by_position is None:
                file.write(_as_bytes(array("Q", self._ranks), "little"))
                return
            for part in range(len(self._by_position.sizes)):
                records = self._by_position.take(part)
                positions, ranks = self._engine.unpack(records, (_NUMBER, _NUMBER))
                target = bytearray(len(ranks))
                places = array("Q", positions)
                self._engine.scatter(target, places, ranks, _NUMBER, part << self._shift)
                file.write(_as_bytes(array("Q", target), "little"))


class RowPass(_Pass):
    """Places leaves and prefixes by row number in ``leaves.bin``, ``cells.bin``, ``nodes.bin``."""

    def __init__(
        self,
        engine: Engine,
        plan: SpillPlan,
        rows: int,
        prefix_width: int,
        before: NodeSource | None = None,
    ) -> None:
        super().__init__()
        self._engine, self._plan, self._before = engine, plan, before
        self._widths = (_NUMBER, HASH_SIZE, prefix_width)
        self._by_rank: Partitions | None = None
        self._placed: _Placed = bytearray(), bytearray()
        if rows * (HASH_SIZE + prefix_width) <= plan.memory_bytes:
            self._placed = bytearray(rows * HASH_SIZE), bytearray(rows * prefix_width)
            return
        # A partition is in memory as it was read, taken apart and placed, in each thread.
        share = plan.memory_bytes // (3 * sum(self._widths) * (1 + engine.workers))
        self._shift = max(share.bit_length() - 1, (-(-rows >> _MOST_BITS) - 1).bit_length())
        parts = -(-rows // (1 << self._shift))
        self._by_rank = Partitions(plan.folder, "rows", parts, is_small=False)
        self._closing.callback(self._by_rank.close)

    def add(self, ranks: array[int], leaves: bytes, prefixes: bytes) -> None:
        """Add hashed rows in any order, from several threads."""
        first = self._plan.first_row
        if self._by_rank is None:
            self._scatter(self._placed, ranks, leaves, prefixes, first)
            return
        parts, data = len(self._by_rank.sizes), [ranks.tobytes(), leaves, prefixes]
        self._by_rank.append(self._engine.split(ranks, self._shift, parts, data, first))

    def finish(self) -> bytes:
        """Write the files; the root over all leaves."""
        folder = self._plan.folder
        with (
            PrivateFile(folder / "leaves.bin") as leaf_file,
            PrivateFile(folder / "cells.bin") as cell_file,
            PrivateFile(folder / "nodes.bin") as node_file,
            ThreadPoolExecutor(1) as beside,
        ):
            nodes = NodesWriter(node_file.write, self._engine.hash_pairs, self._before)
            for leaves, prefixes in self._parts_in_order():
                writing = beside.submit(_write_both, leaf_file, leaves, cell_file, prefixes)
                nodes.append(leaves)
                writing.result()
        return nodes.root()

    def _parts_in_order(self) -> Iterator[_Placed]:
        if self._by_rank is None:
            return iter([self._placed])
        parts = range(len(self._by_rank.sizes))
        return in_order(self._engine.workers, parts, self._place_part)

    def _place_part(self, part: int) -> _Placed:
        assert self._by_rank is not None  # noqa: S101 - parts come from it
        places, leaves, prefixes = self._engine.unpack(self._by_rank.take(part), self._widths)
        placed = bytearray(len(leaves)), bytearray(len(prefixes))
        first = self._plan.first_row + (part << self._shift)
        self._scatter(placed, array("Q", places), leaves, prefixes, first)
        return placed

    def _scatter(
        self, placed: _Placed, ranks: array[int], leaves: bytes, prefixes: bytes, first: int
    ) -> None:
        self._engine.scatter(placed[0], ranks, leaves, HASH_SIZE, first)
        self._engine.scatter(placed[1], ranks, prefixes, self._widths[2], first)


def _write_both(
    leaf_file: PrivateFile, leaves: bytearray, cell_file: PrivateFile, prefixes: bytearray
) -> None:
    leaf_file.write(leaves)
    cell_file.write(prefixes)


def _as_bytes(numbers: array[int], order: str) -> bytes:
    if sys.byteorder != order:
        numbers = array("Q", numbers)
        numbers.byteswap()
    return numbers.tobytes()
