"""Private records of snapshots: the index of the home, and what it keeps of each snapshot.

What belongs here: the index database, and where a snapshot's key, parts and row files lie. What
does not: the public log, how they get there (``staging``), what row files hold (``row_files``,
``tombstones``). All paths are relative to the home. About 90 bytes a row at ten columns.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from ledger_anchor.errors import SnapshotError
from ledger_anchor.files import PRIVATE_MODE, read_bytes, write_atomic
from ledger_anchor.manifest import Segment, canonical_json, decode_manifest
from ledger_anchor.row_commit.row_files import Ranks, RowFiles, required
from ledger_anchor.row_commit.rows import ORDER_PURPOSE
from ledger_anchor.snapshots.staging import publish_folder, staged, sweep_staging
from ledger_anchor.snapshots.tombstones import Erasure, read_erasures
from ledger_anchor.snapshots.vault import KEY_SIZE, derive, open_database, rebuild_database

RECORD, SNAPSHOT_KEY, ORDER_KEY = "record.json", "snapshot.key", "order.key"
RANKS, MOVED_RANKS, TOMBSTONES = "ranks.bin", "moved.bin", "tombstones.json"
CELLS, ORDER, ORDER_NUMBERS = "cells.bin", "order.bin", "numbers.bin"
_FORMAT = "tracient-private-record/2"
_FORMATS = {"tracient-private-record/1", _FORMAT}


@dataclass(frozen=True)
class Snapshot:
    """A committed state of a dataset.

    Attributes:
        snapshot_id: UUIDv7 as text.
        dataset: name of the dataset.
        domain: wages, pharma, ...
        partition: name of the partition, or None.
        kind: "table", "model", "card" or "release".
        rows: number of rows (for files: number of files).
        root: root of the row tree, hex.
        log_index: number of its entry in the log.
        created_at: RFC 3339 UTC; a claim, as long as no witness has signed.
        is_new: whether this call added it to the log.
        manifest: the log entry.
    """

    snapshot_id: str
    dataset: str
    domain: str
    partition: str | None
    kind: str
    rows: int
    root: str
    log_index: int
    created_at: str
    is_new: bool
    manifest: dict[str, object] = field(repr=False)

    @classmethod
    def from_manifest(cls, entry: bytes, log_index: int, *, is_new: bool) -> Snapshot:
        """A snapshot from its log entry."""
        manifest = decode_manifest(entry)
        partition = manifest["partition"]
        return cls(
            snapshot_id=str(manifest["snapshot_id"]),
            dataset=str(manifest["dataset"]),
            domain=str(manifest["domain"]),
            partition=None if partition is None else str(partition),
            kind=str(manifest["kind"]),
            rows=int(str(manifest["rows"])),
            root=str(manifest["root"]),
            log_index=log_index,
            created_at=str(manifest["created_at"]),
            is_new=is_new,
            manifest=manifest,
        )


@dataclass(frozen=True)
class Part:
    """One file of a snapshot: path relative to the home, size in bytes, keyed digest (hex)."""

    path: str
    size: int
    digest: str
    rows: int = 0


@dataclass(frozen=True)
class Record:
    """What the home keeps of a snapshot besides its manifest.

    Attributes:
        snapshot_id: the snapshot.
        unique_key: names of the columns that tell rows apart.
        subject_column: name of the column that names the data subject, or None.
        retain: "always" or "used", see ``TableSpec``.
        parts: files with the rows of the last segment: of the whole table, if it has only one.
        retained: copies of all rows that were made when the snapshot was pinned.
        pins: what was built from it.
        root_folder: folder that a file set's paths start from.
        moved: files with the rows of all segments, once they stand in other files than the
            segments were committed from; none before that.
        sums: content sums of the last segment's rows, 64 hex digits; None in older records.
    """

    snapshot_id: str
    unique_key: tuple[str, ...]
    subject_column: str | None
    retain: str
    parts: tuple[Part, ...]
    retained: tuple[Part, ...] = ()
    pins: tuple[str, ...] = ()
    root_folder: str = "."
    moved: tuple[Part, ...] = ()
    sums: str | None = None

    def to_json(self) -> bytes:
        """Canonical JSON."""
        return canonical_json({"format": _FORMAT, **asdict(self)})

    @classmethod
    def from_json(cls, data: bytes) -> Record:
        """Read a record.

        Raises:
            ValueError: if it is malformed.
        """
        values = json.loads(data)
        if values.pop("format", None) not in _FORMATS:
            raise ValueError("unknown format")
        for name in ("parts", "retained", "moved"):
            values[name] = tuple(Part(**part) for part in values.get(name, ()))
        values["unique_key"] = tuple(values["unique_key"])
        values["pins"] = tuple(values["pins"])
        return cls(**values)


class Records:
    """The index and the records below ``vault/anchor``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._index = folder / "index.sqlite"

    @contextmanager
    def index(self) -> Iterator[sqlite3.Connection]:
        """The index database, in one transaction."""
        with open_database(self._index, _INDEX_SCHEMA) as database:
            yield database

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with open_database(self._index, None) as database:
            yield database

    def snapshots(self) -> list[Snapshot]:
        """Every snapshot in the order of the log."""
        if not self._index.exists():
            return []
        with self._reading() as database:
            rows = database.execute(
                "SELECT entry, log_index FROM snapshots WHERE log_index IS NOT NULL "
                "ORDER BY log_index"
            ).fetchall()
        return [Snapshot.from_manifest(entry, number, is_new=False) for entry, number in rows]

    def find(self, snapshot_id: str) -> tuple[Snapshot, bytes]:
        """A snapshot and its log entry.

        Raises:
            SnapshotError: if the home does not know it.
        """
        entry, log_index = self.locate(snapshot_id)
        return Snapshot.from_manifest(entry, log_index, is_new=False), entry

    def locate(self, snapshot_id: str) -> tuple[bytes, int]:
        """A snapshot's log entry and its number in the log.

        Raises:
            SnapshotError: if the home does not know it.
        """
        if not self.folder.is_dir():
            raise SnapshotError(f"{self.folder} is missing: this copy of the home has no vault")
        if self._index.exists():
            with self._reading() as database:
                row = database.execute(
                    "SELECT entry, log_index FROM snapshots "
                    "WHERE snapshot_id = ? AND log_index IS NOT NULL",
                    (snapshot_id,),
                ).fetchone()
            if row is not None:
                return bytes(row[0]), int(row[1])
        raise SnapshotError(f"this home knows no snapshot {snapshot_id}")

    def current(self, dataset: str, partition: str | None) -> tuple[Snapshot, str, str] | None:
        """Newest snapshot of a dataset, with its content digest and its files digest."""
        if not self._index.exists():
            return None
        with self._reading() as database:
            row = database.execute(
                "SELECT entry, log_index, content, files FROM snapshots WHERE dataset = ? "
                "AND partition IS ? AND log_index IS NOT NULL ORDER BY log_index DESC LIMIT 1",
                (dataset, partition),
            ).fetchone()
        if row is None:
            return None
        return Snapshot.from_manifest(row[0], row[1], is_new=False), row[2], row[3]

    def pending(self) -> list[tuple[str, bytes]]:
        """Snapshots whose entry may or may not have reached the log: (id, entry)."""
        if not self._index.exists():
            return []
        with self._reading() as database:
            found = database.execute(
                "SELECT snapshot_id, entry FROM snapshots WHERE log_index IS NULL"
            ).fetchall()
        return [(str(row[0]), bytes(row[1])) for row in found]

    def add_pending(self, manifest: Mapping[str, object], entry: bytes, digests: Digests) -> None:
        """Note a snapshot before its entry is appended to the log."""
        row = (manifest["snapshot_id"], manifest["dataset"], manifest["partition"], entry)
        with self.index() as database:
            database.execute(
                "INSERT INTO snapshots (snapshot_id, dataset, partition, entry, content, files) "
                "VALUES (?, ?, ?, ?, ?, ?)",
                (*row, digests.content, digests.files),
            )

    def settle(self, snapshot_id: str, log_index: int) -> None:
        """Note where a pending snapshot's entry stands in the log."""
        with self.index() as database:
            database.execute(
                "UPDATE snapshots SET log_index = ? WHERE snapshot_id = ?",
                (log_index, snapshot_id),
            )

    def forget_pending(self, snapshot_id: str) -> None:
        """Drop a snapshot whose entry never reached the log."""
        shutil.rmtree(self.folder_of(snapshot_id), ignore_errors=True)
        with self.index() as database:
            database.execute(
                "DELETE FROM snapshots WHERE snapshot_id = ? AND log_index IS NULL", (snapshot_id,)
            )

    def set_digests(self, changed: Iterable[tuple[str, Digests]]) -> None:
        """Replace digests of snapshots for good: nothing of the old ones stays in the file."""
        with self.index() as database:
            database.executemany(
                "UPDATE snapshots SET content = ?, files = ? WHERE snapshot_id = ?",
                [(digests.content, digests.files, identity) for identity, digests in changed],
            )
        rebuild_database(self._index)

    def set_files_digest(self, snapshot_id: str, files: str) -> None:
        """Note that a snapshot's data now stands in other files."""
        with self.index() as database:
            database.execute(
                "UPDATE snapshots SET files = ? WHERE snapshot_id = ?", (files, snapshot_id)
            )

    # -- what lies in a snapshot's folder -------------------------------------------------------

    def folder_of(self, snapshot_id: str) -> Path:
        """Where a snapshot's files lie."""
        return self.folder / "snapshots" / snapshot_id

    def read(self, snapshot_id: str) -> Record:
        """The record of a snapshot.

        Raises:
            SnapshotError: if it is missing or damaged.
        """
        try:
            return Record.from_json(self._bytes(snapshot_id, RECORD))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            path = self.folder_of(snapshot_id) / RECORD
            raise SnapshotError(f"{path} is damaged; restore the vault from a backup") from error

    def write(self, record: Record) -> None:
        """Replace the record of a snapshot."""
        path = self.folder_of(record.snapshot_id) / RECORD
        write_atomic(path, record.to_json(), PRIVATE_MODE)

    def key(self, snapshot_id: str) -> bytes:
        """The snapshot's key, 32 bytes.

        Raises:
            SnapshotError: if it is missing or damaged.
        """
        return self._key(snapshot_id, SNAPSHOT_KEY)

    def order_key(self, snapshot_id: str) -> bytes:
        """The key under which the rows of a table are ordered and found, 32 bytes.

        Args:
            snapshot_id: the snapshot of the table's first segment.

        Raises:
            SnapshotError: if it is missing or damaged.
        """
        if (self.folder_of(snapshot_id) / ORDER_KEY).exists():
            return self._key(snapshot_id, ORDER_KEY)
        return derive(self.key(snapshot_id), ORDER_PURPOSE)  # made by an earlier version

    def row_files(self, segment: Segment, columns: int) -> RowFiles:
        """The mapped files of a segment's rows.

        Raises:
            SnapshotError: if one is missing or has the wrong length.
        """
        return RowFiles.open(self.folder_of(segment.snapshot_id), segment, columns)

    def ranks(self, snapshot_id: str, name: str = RANKS) -> Ranks:
        """Committed row number of each row of a snapshot's parts.

        Raises:
            SnapshotError: if the file is missing or damaged.
        """
        return Ranks([required(self.folder_of(snapshot_id) / name)])

    def erasures(self, snapshot_id: str) -> tuple[Erasure, ...]:
        """Rows of a segment that were erased.

        Raises:
            SnapshotError: if the file is damaged.
        """
        return read_erasures(self.folder_of(snapshot_id) / TOMBSTONES)

    def add_pin(self, record: Record, reason: str, retained: tuple[Part, ...]) -> Record:
        """Store a reason to keep a snapshot's data, and where the kept copy is."""
        pins = record.pins if reason in record.pins else (*record.pins, reason)
        pinned = replace(record, pins=pins, retained=retained or record.retained)
        self.write(pinned)
        return pinned

    # -- putting it there -----------------------------------------------------------------------

    @contextmanager
    def staging(self, snapshot_id: str) -> Iterator[Path]:
        """A private folder for the files of a snapshot to be; it goes unless it was published.

        Raises:
            StorageError: if the folder cannot be made.
        """
        with staged(self.folder / "staging" / snapshot_id) as folder:
            yield folder

    def publish(self, folder: Path) -> None:
        """Make a sealed staging folder that of its snapshot.

        Raises:
            StorageError: if the operating system refuses.
        """
        publish_folder(folder, self.folder_of(folder.name))

    def sweep(self) -> None:
        """Remove what killed commits left; the caller holds the lock of the home."""
        sweep_staging(self.folder / "staging")

    def drop_temporary(self) -> None:
        """Remove unfinished files of killed writers; the caller holds the lock of the home.

        They may hold what an erasure takes out of the files they were to become.
        """
        for pattern in (".*.tmp", "snapshots/*/.*.tmp"):
            for path in self.folder.glob(pattern):
                path.unlink(missing_ok=True)

    def _key(self, snapshot_id: str, name: str) -> bytes:
        with contextlib.suppress(ValueError):
            key = bytes.fromhex(self._bytes(snapshot_id, name).decode("ascii", "replace"))
            if len(key) == KEY_SIZE:
                return key
        path = self.folder_of(snapshot_id) / name
        raise SnapshotError(f"{path} is damaged; restore the vault from a backup")

    def _bytes(self, snapshot_id: str, name: str) -> bytes:
        path = self.folder_of(snapshot_id) / name
        data = read_bytes(path)
        if data is None:
            raise SnapshotError(f"{path} is missing; restore the vault from a backup")
        return data


@dataclass(frozen=True)
class Digests:
    """Keyed digests that tell whether data has changed: of its values, and of its files' bytes."""

    content: str
    files: str


_INDEX_SCHEMA = """
PRAGMA secure_delete = ON;
CREATE TABLE IF NOT EXISTS snapshots (
  snapshot_id TEXT PRIMARY KEY, dataset TEXT NOT NULL, partition TEXT, entry BLOB NOT NULL,
  content TEXT NOT NULL, files TEXT NOT NULL, log_index INTEGER
);
CREATE INDEX IF NOT EXISTS by_dataset ON snapshots (dataset, partition, log_index);
"""
