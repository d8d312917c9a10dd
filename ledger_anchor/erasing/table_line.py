"""The snapshots of one table that extend each other, as an erasure sees them.

What belongs here: where the line's rows stand, which of those files can be relied on, and which
committed rows are those of a subject. What does not: what becomes of them (``erasure_plan``).
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledger_anchor.manifest import Segment, read_segments
from ledger_anchor.row_commit.columns import Batch, TableSource
from ledger_anchor.row_commit.engines.plain import content_rows
from ledger_anchor.row_commit.order_index import NO_ROW, has_numpy
from ledger_anchor.row_commit.row_files import Ranks
from ledger_anchor.row_commit.rows import add_sums
from ledger_anchor.snapshots.commit import CONTENT
from ledger_anchor.snapshots.layout import fields_of, order_index, records_in_place, row_files
from ledger_anchor.snapshots.records import MOVED_RANKS, RANKS, Part, Record, Snapshot
from ledger_anchor.snapshots.tombstones import erased_numbers
from ledger_anchor.tree import HASH_SIZE

if TYPE_CHECKING:
    from ledger_anchor.store import SnapshotStore

RowsOfPart = Callable[[str], Sequence[tuple[Batch, "list[int]"]]]


@dataclass(frozen=True)
class Data:
    """Files with the rows of some segments, as one record names them.

    Attributes:
        owner: the snapshot whose record it is.
        name: "parts", "moved" or "retained", as in the record.
        parts: the files.
        ranks: committed number of each row in file order, None if that order is not known.
        segments: the segments they hold.
        is_expected: whether they must be there: a missing one is a failure of the audit.
        is_usable: whether they are there and hold what was committed, as far as files tell.
    """

    owner: str
    name: str
    parts: tuple[Part, ...]
    ranks: Ranks | None
    segments: tuple[Segment, ...]
    is_expected: bool
    is_usable: bool

    @property
    def is_lost(self) -> bool:
        """Whether files that must be there are missing, so that they may return."""
        return self.is_expected and not self.is_usable

    def numbers_by_place(self, rows: int) -> Ranks | None:
        """The committed numbers, if they fit so many rows."""
        return self.ranks if self.ranks is not None and len(self.ranks) == rows else None


class TableLine:
    """A table's first snapshot and those that extend it, each the one before.

    Args:
        store: the home's store.
        snapshots: the line, in the order of the log.
        newest: ids of the newest snapshot of each dataset and partition.
    """

    def __init__(
        self, store: SnapshotStore, snapshots: Sequence[Snapshot], newest: set[str]
    ) -> None:
        self.store, self.snapshots, self.last = store, tuple(snapshots), snapshots[-1]
        self.segments = read_segments(self.last.manifest)
        self.root_id = self.segments[0].snapshot_id
        self.files = row_files(store.records, self.last)
        self.fields = fields_of(self.last)
        identities = [item.snapshot_id for item in snapshots]
        self.records = {identity: store.records.read(identity) for identity in identities}
        self.subject_column = self.records[self.root_id].subject_column or ""
        self.unique_key = self.records[self.root_id].unique_key
        self.is_newest = self.last.snapshot_id in newest
        self.erased = {
            number
            for segment in self.segments
            for number in erased_numbers(store.records.erasures(segment.snapshot_id))
        }
        self.order_key = store.records.order_key(self.root_id)
        self.index = order_index(self.files)
        self.engine = store.engine(self.last.rows * len(self.fields))
        self._expected = self._expected_paths(newest)
        self.data = tuple(
            data for item in snapshots for data in self._data_of(item.snapshot_id, item)
        )

    def _expected_paths(self, newest: set[str]) -> set[str]:
        paths: set[str] = set()
        for snapshot in self.snapshots:
            own = self.records[snapshot.snapshot_id]
            if own.retain == "always" or snapshot.snapshot_id in newest:
                for record, is_moved, _ in records_in_place(self.records.__getitem__, snapshot):
                    parts = record.moved if is_moved else record.parts
                    paths |= {part.path for part in parts}
        return paths

    def _data_of(self, identity: str, snapshot: Snapshot) -> Iterator[Data]:
        records, record = self.store.records, self.records[identity]
        segments = read_segments(snapshot.manifest)
        yield self._data(record, "parts", records.ranks(identity, RANKS), segments[-1:])
        if record.moved:
            yield self._data(record, "moved", records.ranks(identity, MOVED_RANKS), segments)
        if record.retained:
            yield self._data(record, "retained", None, segments)

    def _data(
        self, record: Record, name: str, ranks: Ranks | None, segments: tuple[Segment, ...]
    ) -> Data:
        parts: tuple[Part, ...] = getattr(record, name)
        is_there = all((self.store.home / part.path).is_file() for part in parts)
        is_expected = name == "retained" or all(part.path in self._expected for part in parts)
        is_usable = is_there and (is_expected or all(map(self.store.is_as_kept, parts)))
        is_usable = is_usable and self._has_schema(parts)
        return Data(record.snapshot_id, name, parts, ranks, segments, is_expected, is_usable)

    def _has_schema(self, parts: Sequence[Part]) -> bool:
        files = [self.store.home / part.path for part in parts]
        return TableSource(self.last.dataset, files).fields == self.fields

    # -- rows -----------------------------------------------------------------------------------

    def covering(self, segment: Segment) -> Data | None:
        """Data that holds the rows of a segment and can be relied on."""
        usable = (data for data in self.data if data.is_usable and segment in data.segments)
        return min(usable, key=lambda data: len(data.segments), default=None)

    def segment_of(self, number: int) -> Segment:
        """The segment that holds a row."""
        return next(item for item in self.segments if item.first <= number < item.end)

    def find(self, rows_of: RowsOfPart) -> dict[int, tuple[int, ...]]:
        """The committed rows of the subject that have not been erased yet.

        Args:
            rows_of: gives the subject's rows in a part by its path.

        Returns:
            Number and content sums of each.
        """
        found: dict[int, tuple[int, ...]] = {}
        for data in self.data:
            if data.is_usable:
                for number, sums in self._numbered(data, rows_of):
                    if number not in self.erased:
                        found.setdefault(number, sums)
        return found

    def _numbered(self, data: Data, rows_of: RowsOfPart) -> Iterator[tuple[int, tuple[int, ...]]]:
        total = sum(self._rows_in(part) for part in data.parts)
        by_place = data.numbers_by_place(total)
        before = 0
        content_key = self.store.derived(CONTENT)
        first, end = data.segments[0].first, data.segments[-1].end
        for part in data.parts:
            for batch, positions in rows_of(part.path):
                columns = [(item, batch.columns[item.name]) for item in self.fields]
                keyed = content_rows(content_key, columns, batch.rows)
                places = [before + position for position in positions]
                numbers = self.numbers(batch, by_place, places)
                for at, number in enumerate(numbers):
                    if first <= number < end:
                        digest = keyed[at * HASH_SIZE : (at + 1) * HASH_SIZE]
                        yield number, struct.unpack("<4Q", digest)
            before += self._rows_in(part)

    def _rows_in(self, part: Part) -> int:
        rows: int = TableSource(self.last.dataset, [self.store.home / part.path]).rows
        return rows

    def numbers(self, batch: Batch, by_place: Ranks | None, places: Sequence[int]) -> array[int]:
        """Committed number of each row: by its unique key, else by its place in the files."""
        by_name = {item.name: item for item in self.fields}
        columns = [(by_name[name], batch.columns[name]) for name in self.unique_key]
        digests = self.engine.keyed_rows(self.order_key, columns, batch.rows)
        numbers = self.index.match(self.engine.heads(digests))
        if by_place is not None and NO_ROW in numbers:
            for at, number in enumerate(numbers):
                if number == NO_ROW:
                    numbers[at] = by_place.slice(places[at], 1)[0]
        return numbers

    def entries(
        self, segment: Segment, key: bytes, gone: set[int]
    ) -> Iterator[tuple[array[int], array[int]]]:
        """Heads under another order key, and numbers, of the rows of a segment that remain."""
        data = self.covering(segment)
        if data is None:
            return
        files = [self.store.home / part.path for part in data.parts]
        source = TableSource(self.last.dataset, files)
        fields = source.require(self.unique_key, "the unique key")
        by_place = data.numbers_by_place(source.rows)
        for batch in source.batches(fields, self.engine.batch_rows):
            columns = [(item, batch.columns[item.name]) for item in fields]
            heads = self.engine.heads(self.engine.keyed_rows(key, columns, batch.rows))
            places = range(batch.position, batch.position + batch.rows)
            numbers = self.numbers(batch, by_place, places)
            rows = array("Q", _remaining(numbers, segment, gone))
            kept = (self.engine.take(one.tobytes(), rows, 8) for one in (heads, numbers))
            yield array("Q", next(kept)), array("Q", next(kept))


def _remaining(numbers: array[int], segment: Segment, gone: set[int]) -> list[int]:
    """Places of the numbers that are of a segment and not gone."""
    if has_numpy():
        import numpy as np  # noqa: PLC0415 - only there for speed

        found = np.frombuffer(numbers, dtype="<u8")
        is_in = (found >= segment.first) & (found < segment.end)
        left_out = np.fromiter(gone, dtype="<u8", count=len(gone))
        places: list[int] = np.flatnonzero(is_in & ~np.isin(found, left_out)).tolist()
        return places
    return [
        at
        for at, number in enumerate(numbers)
        if segment.first <= number < segment.end and number not in gone
    ]


def without_sums(sums: Sequence[int], rows: Mapping[int, Sequence[int]]) -> list[int]:
    """Content sums without those of some rows."""
    total = list(sums)
    for one in rows.values():
        total = add_sums(total, [-word for word in one])
    return total
