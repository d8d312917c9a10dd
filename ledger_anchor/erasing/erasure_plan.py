"""What must change to erase a data subject: found without changing anything, then written beside.

What belongs here: which parts hold rows of the subject, which committed rows those are, and the new
parts, ranks, order indexes, tombstones and records. What does not: why (``erasure``) and putting
them in place (``journal``).

Of snapshots whose data is not retained nobody can tell whether the subject was in them. What their
rows could be guessed from goes at every erasure of their domain: file digests, content digests and
the order index, none of which is of use without the data.
"""

from __future__ import annotations

import secrets
import stat
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ledger_anchor.erasing.journal import Journal, Zeros
from ledger_anchor.erasing.table_line import Data, TableLine, without_sums
from ledger_anchor.manifest import ROW_COMMIT, Segment, read_segments
from ledger_anchor.row_commit.columns import Batch, TableSource
from ledger_anchor.row_commit.order_index import write_index
from ledger_anchor.row_commit.parquet_rows import rows_of_subject, write_without
from ledger_anchor.row_commit.row_files import Ranks
from ledger_anchor.row_commit.rows import PREFIX_SIZE, add_sums, content_digest
from ledger_anchor.row_commit.spill import PrivateFile
from ledger_anchor.snapshots.commit import CONTENT, FILES, sums_from_hex, sums_to_hex
from ledger_anchor.snapshots.layout import records_in_place
from ledger_anchor.snapshots.records import (
    CELLS,
    MOVED_RANKS,
    ORDER,
    ORDER_KEY,
    ORDER_NUMBERS,
    RANKS,
    RECORD,
    TOMBSTONES,
    Part,
    Record,
    Snapshot,
)
from ledger_anchor.snapshots.staging import flush_file
from ledger_anchor.snapshots.tombstones import Erasure, format_erasures
from ledger_anchor.snapshots.vault import KEY_SIZE

if TYPE_CHECKING:
    from ledger_anchor.store import SnapshotStore

_RANKS_AT_ONCE = 1 << 18
_STAGED = (TOMBSTONES, ORDER, ORDER_NUMBERS, ORDER_KEY, RANKS, MOVED_RANKS, RECORD)


@dataclass(frozen=True)
class _Rewritten:
    """A part with and without the subject's rows."""

    before: str
    after: Part


class ErasurePlan:
    """What an erasure changes. Making one reads the home; nothing is written before ``prepare``.

    Args:
        store: the home's store; the caller holds its lock.
        domain: the subject's domain.
        subject: its id.
        reason: why it is erased.
        now: when, RFC 3339 UTC.

    Raises:
        TableError: if a part cannot be read.
        SnapshotError: if a private record is damaged.
    """

    def __init__(
        self, store: SnapshotStore, domain: str, subject: str, reason: str, now: str
    ) -> None:
        self._store, self._domain, self._subject = store, domain, subject
        self._reason, self._now = reason, now
        self._rows: dict[str, list[tuple[Batch, list[int]]]] = {}
        self._renames: list[tuple[str, str]] = []
        self._zeros: list[Zeros] = []
        self._digests: list[tuple[str, str, str]] = []
        self._lines = self._read_lines()
        for line in self._lines:
            for data in line.data:
                for part in data.parts:
                    self._look_into(part.path, line)
        self._numbers = [line.find(self._rows.__getitem__) for line in self._lines]

    def _read_lines(self) -> list[TableLine]:
        lines: dict[str, list[Snapshot]] = {}
        newest: dict[tuple[str, str | None], str] = {}
        for snapshot in self._store.snapshots():
            newest[snapshot.dataset, snapshot.partition] = snapshot.snapshot_id
            manifest = snapshot.manifest
            is_table = manifest.get("commitment") == ROW_COMMIT and manifest.get("subject_column")
            if is_table and snapshot.domain == self._domain:
                root = read_segments(manifest)[0].snapshot_id
                lines.setdefault(root, []).append(snapshot)
        return [TableLine(self._store, some, set(newest.values())) for some in lines.values()]

    def _look_into(self, path: str, line: TableLine) -> None:
        """Read the subject's rows of a part, whether or not it is still what was committed."""
        file = self._store.home / path
        if path in self._rows or not file.is_file():
            self._rows.setdefault(path, [])
            return
        source = TableSource(line.last.dataset, [file])
        names = {item.name for item in source.fields}
        has_subjects = line.subject_column in names
        found = rows_of_subject(source, line.subject_column, self._subject)
        self._rows[path] = list(found) if has_subjects else []

    # -- what the report says -------------------------------------------------------------------

    @property
    def rewritten(self) -> list[str]:
        """Parts that hold rows of the subject."""
        return sorted(path for path, rows in self._rows.items() if rows)

    def rows_by_dataset(self) -> dict[str, int]:
        """Rows that are erased; those of several lines of one dataset are the same rows."""
        counts: dict[str, int] = {}
        for line, numbers in zip(self._lines, self._numbers, strict=True):
            dataset = line.last.dataset
            if numbers:
                counts[dataset] = max(counts.get(dataset, 0), len(numbers))
        return counts

    def without_data(self) -> int:
        """Snapshots whose data is not retained."""
        return sum(
            any(line.covering(item) is None for item in read_segments(snapshot.manifest))
            for line in self._lines
            for snapshot in line.snapshots
        )

    def missing(self) -> list[str]:
        """Parts that must be there and are not."""
        return sorted(
            {
                part.path
                for line in self._lines
                for data in line.data
                if data.is_lost
                for part in data.parts
                if not (self._store.home / part.path).is_file()
            }
        )

    def notes(self) -> list[str]:
        """What could not be done."""
        older = [
            line.last.dataset
            for line, numbers in zip(self._lines, self._numbers, strict=True)
            if numbers and not (self._store.records.folder_of(line.root_id) / ORDER_KEY).exists()
        ]
        return [
            f"{dataset} was committed by an earlier version, whose order key cannot be replaced: "
            "whoever holds the vault may test guesses of the erased rows' unique keys"
            for dataset in sorted(set(older))
        ]

    # -- preparing ------------------------------------------------------------------------------

    def preparing(self) -> Journal:
        """The journal that names every file that may be written beside another."""
        folders = [
            self._store.records.folder_of(item.snapshot_id)
            for line in self._lines
            for item in line.snapshots
        ]
        targets = [folder / name for folder in folders for name in _STAGED]
        targets += [self._store.home / path for path in self.rewritten]
        renames = tuple((self._relative(_staged(path)), self._relative(path)) for path in targets)
        return Journal("preparing", self._domain, self._subject, renames)

    def prepare(self, report: Mapping[str, object]) -> Journal:
        """Write everything beside what it replaces.

        Returns:
            The journal that puts it in place.

        Raises:
            StorageError: if a file cannot be written.
        """
        parts = {path: self._rewrite(path) for path in self.rewritten}
        for line, numbers in zip(self._lines, self._numbers, strict=True):
            self._prepare_line(line, numbers, parts)
        return Journal(
            "ready",
            self._domain,
            self._subject,
            tuple(self._renames),
            tuple(self._zeros),
            tuple(self._digests),
            report,
        )

    def _rewrite(self, path: str) -> _Rewritten:
        """Write a part without the subject's rows."""
        file, staged = self._store.home / path, self._place(self._store.home / path)
        column = next(
            line.subject_column
            for line in self._lines
            for data in line.data
            if path in {part.path for part in data.parts}
        )
        rows = write_without(file, staged, column, self._subject)
        flush_file(staged, stat.S_IMODE(file.stat().st_mode))
        digest = self._store.part_digest(staged)
        after = Part(path, staged.stat().st_size, digest, rows)
        return _Rewritten(self._store.part_digest(file), after)

    def _prepare_line(
        self,
        line: TableLine,
        numbers: Mapping[int, tuple[int, ...]],
        parts: Mapping[str, _Rewritten],
    ) -> None:
        if numbers:
            self._prepare_rows(line, numbers)
        self._prepare_index(line, numbers)
        changed = {
            identity: self._new_record(line, record, numbers, parts)
            for identity, record in line.records.items()
        }
        for identity, record in changed.items():
            if record != line.records[identity]:
                folder = self._store.records.folder_of(identity)
                _write(self._place(folder / RECORD), record.to_json())
        if changed != line.records:
            self._digests += [self._new_digests(line, item, changed) for item in line.snapshots]

    def _prepare_rows(self, line: TableLine, numbers: Mapping[int, tuple[int, ...]]) -> None:
        """Tombstones, zeros and ranks of a line's erased rows."""
        records = self._store.records
        for segment, files in zip(line.segments, line.files, strict=True):
            gone = sorted(number for number in numbers if segment.first <= number < segment.end)
            if not gone:
                continue
            folder = records.folder_of(segment.snapshot_id)
            rows = tuple((number, files.leaf(number)) for number in gone)
            erasure = Erasure(self._now, self._reason, rows)
            known = records.erasures(segment.snapshot_id)
            tombstones = format_erasures([*known, erasure])
            _write(self._place(folder / TOMBSTONES), tombstones)
            places = tuple(number - segment.first for number in gone)
            width = PREFIX_SIZE * len(line.fields)
            self._zeros.append(Zeros(self._relative(folder / CELLS), width, places))
        for data in line.data:
            has_some = any(data.segments[0].first <= n < data.segments[-1].end for n in numbers)
            if data.ranks is not None and has_some:
                name = MOVED_RANKS if data.name == "moved" else RANKS
                folder = records.folder_of(data.owner)
                _write_ranks(self._place(folder / name), data.ranks, numbers)

    def _prepare_index(self, line: TableLine, numbers: Mapping[int, object]) -> None:
        """The order index under another key; an empty one where there is no data to look for."""
        records, gone = self._store.records, line.erased | set(numbers)
        key = secrets.token_bytes(KEY_SIZE)
        if numbers:
            path = self._place(records.folder_of(line.root_id) / ORDER_KEY)
            _write(path, key.hex().encode())
        for segment, files in zip(line.segments, line.files, strict=True):
            is_gone = line.covering(segment) is None and not self._may_return(line, segment)
            if numbers or (is_gone and len(files.run)):
                folder = records.folder_of(segment.snapshot_id)
                heads = self._place(folder / ORDER)
                entries = self._place(folder / ORDER_NUMBERS)
                write_index(line.engine, heads, entries, line.entries(segment, key, gone))
                for path in (heads, entries):
                    flush_file(path)

    @staticmethod
    def _may_return(line: TableLine, segment: Segment) -> bool:
        return any(data.is_lost and segment in data.segments for data in line.data)

    def _new_record(
        self,
        line: TableLine,
        record: Record,
        numbers: Mapping[int, tuple[int, ...]],
        parts: Mapping[str, _Rewritten],
    ) -> Record:
        """A record that says of the new files what the old one said of the old."""
        new = {"parts": record.parts, "moved": record.moved, "retained": record.retained}
        for data in line.data:
            if data.owner == record.snapshot_id:
                new[data.name] = tuple(_new_parts(data, numbers, parts))
        record = replace(record, parts=new["parts"], moved=new["moved"], retained=new["retained"])
        segment = next(s for s in line.segments if s.snapshot_id == record.snapshot_id)
        gone = {n: one for n, one in numbers.items() if segment.first <= n < segment.end}
        if record.sums is not None and gone:
            sums = without_sums(sums_from_hex(record.sums), gone)
            record = replace(record, sums=sums_to_hex(sums))
        return record

    def _new_digests(
        self, line: TableLine, snapshot: Snapshot, records: Mapping[str, Record]
    ) -> tuple[str, str, str]:
        """Digests by which the newest snapshot is known again; of others nothing is left."""
        listed: list[list[str]] = []
        rows, sums, is_known = 0, [0, 0, 0, 0], snapshot is line.last and line.is_newest
        for record, is_moved, _ in records_in_place(records.__getitem__, snapshot):
            for part in record.moved if is_moved else record.parts:
                listed.append([part.path, part.digest])
                rows += part.rows
        for segment in read_segments(snapshot.manifest):
            stored = records[segment.snapshot_id].sums
            is_known = is_known and stored is not None
            sums = sums if stored is None else add_sums(sums, sums_from_hex(stored))
        if not is_known:
            return snapshot.snapshot_id, secrets.token_hex(KEY_SIZE), secrets.token_hex(KEY_SIZE)
        unique_key = list(line.unique_key)
        identity = [snapshot.dataset, snapshot.partition, unique_key, line.subject_column]
        content = content_digest(line.fields, rows, self._store.derived(CONTENT), sums)
        return (
            snapshot.snapshot_id,
            self._store.keyed(CONTENT, [identity, content]),
            self._store.keyed(FILES, [identity, listed]),
        )

    def _place(self, target: Path) -> Path:
        """Where a new file is written, noted for the journal."""
        staged = _staged(target)
        self._renames.append((self._relative(staged), self._relative(target)))
        return staged

    def _relative(self, path: Path) -> str:
        return path.relative_to(self._store.home).as_posix()


def _staged(target: Path) -> Path:
    """A hidden name beside a file; no reader of the lake takes it for a part."""
    return target.with_name(f".{target.name}.erasing")


def _write(path: Path, data: bytes) -> None:
    with PrivateFile(path) as file:
        file.write(data)
    flush_file(path)


def _write_ranks(path: Path, ranks: Ranks, gone: Mapping[int, object]) -> None:
    """Ranks without those of erased rows."""
    with PrivateFile(path) as file:
        for some in _remaining(ranks, 0, len(ranks), gone):
            file.write(some.tobytes())
    flush_file(path)


def _remaining(
    ranks: Ranks, start: int, end: int, gone: Mapping[int, object]
) -> Iterator[array[int]]:
    """Ranks from position ``start`` to ``end`` without those of erased rows."""
    for at in range(start, end, _RANKS_AT_ONCE):
        some = ranks.slice(at, min(_RANKS_AT_ONCE, end - at))
        if not gone.keys().isdisjoint(some):
            some = array("Q", [number for number in some if number not in gone])
        yield some


def _new_parts(
    data: Data, gone: Mapping[int, object], parts: Mapping[str, _Rewritten]
) -> Iterator[Part]:
    """Parts as they are to be recorded: new digests where they were rewritten.

    Digests of files that are no longer there are left out: the files held what was erased.
    """
    at = 0
    by_place = data.numbers_by_place(sum(part.rows for part in data.parts))
    for part in data.parts:
        new = parts.get(part.path)
        rows = part.rows
        if by_place is not None:
            if gone:
                rows = sum(map(len, _remaining(by_place, at, at + part.rows, gone)))
            at += part.rows
        elif new is not None:
            rows = new.after.rows
        if new is not None and new.before == part.digest:
            yield replace(new.after, rows=rows)
        elif data.is_lost or (data.is_usable and new is None):
            yield replace(part, rows=rows)
        else:
            yield replace(part, digest="", rows=rows)
