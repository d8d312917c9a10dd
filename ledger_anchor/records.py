"""Private records of snapshots: the index of the home, and what an audit needs of each snapshot.

What belongs here: the index database, and per snapshot its key, parts, leaf hashes, order keys,
ranks and the first four bytes of every cell digest. What does not: the public log. All paths are
relative to the home. About 84 bytes a row at ten columns.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from array import array
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from ledger_anchor.errors import SnapshotError
from ledger_anchor.files import PRIVATE_MODE, make_folder, read_bytes, write_atomic
from ledger_anchor.manifest import canonical_json, decode_manifest
from ledger_anchor.vault import open_database

_FORMAT = "tracient-private-record/1"


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
    """What the home keeps of a snapshot besides its manifest."""

    snapshot_id: str
    unique_key: tuple[str, ...]
    subject_column: str | None
    retain: str
    parts: tuple[Part, ...]
    retained: tuple[Part, ...] = ()
    pins: tuple[str, ...] = ()
    root_folder: str = "."

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
        if values.pop("format", None) != _FORMAT:
            raise ValueError("unknown format")
        for name in ("parts", "retained"):
            values[name] = tuple(Part(**part) for part in values[name])
        values["unique_key"] = tuple(values["unique_key"])
        values["pins"] = tuple(values["pins"])
        return cls(**values)


@dataclass(frozen=True)
class RowRecord:
    """The bulky half of a table's record: bytes by committed row number, ranks in file order."""

    leaves: bytes = field(repr=False)
    prefixes: bytes = field(repr=False)
    sorted_keys: bytes = field(repr=False)
    ranks: array[int] = field(repr=False)


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
        if self._index.exists():
            with self._reading() as database:
                row = database.execute(
                    "SELECT entry, log_index FROM snapshots "
                    "WHERE snapshot_id = ? AND log_index IS NOT NULL",
                    (snapshot_id,),
                ).fetchone()
            if row is not None:
                return Snapshot.from_manifest(row[0], row[1], is_new=False), row[0]
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
        with self.index() as database:
            database.execute(
                "DELETE FROM snapshots WHERE snapshot_id = ? AND log_index IS NULL", (snapshot_id,)
            )
        shutil.rmtree(self._folder(snapshot_id), ignore_errors=True)

    def set_files_digest(self, snapshot_id: str, files: str) -> None:
        """Note that a snapshot's data now stands in other files."""
        with self.index() as database:
            database.execute(
                "UPDATE snapshots SET files = ? WHERE snapshot_id = ?", (files, snapshot_id)
            )

    def write(self, record: Record, key: bytes | None, rows: RowRecord | None) -> None:
        """Store what belongs to a snapshot.

        Args:
            record: the small half; replaces an older one.
            key: the snapshot's key, or None if it has none or keeps the one it has.
            rows: the bulky half, or None likewise.
        """
        folder = self._folder(record.snapshot_id)
        make_folder(folder.parent, 0o700)
        make_folder(folder, 0o700)
        if key is not None:
            write_atomic(folder / "snapshot.key", key.hex().encode(), PRIVATE_MODE)
        if rows is not None:
            write_atomic(folder / "leaves.bin", rows.leaves, PRIVATE_MODE)
            write_atomic(folder / "cells.bin", rows.prefixes, PRIVATE_MODE)
            write_atomic(folder / "order.bin", rows.sorted_keys, PRIVATE_MODE)
            self.write_ranks(record.snapshot_id, rows.ranks)
        write_atomic(folder / "record.json", record.to_json(), PRIVATE_MODE)

    def write_ranks(self, snapshot_id: str, ranks: array[int]) -> None:
        """Store the committed row number of each row in file order."""
        path = self._folder(snapshot_id) / "ranks.bin"
        write_atomic(path, ranks.tobytes(), PRIVATE_MODE)

    def read(self, snapshot_id: str) -> Record:
        """The small half of a snapshot's record.

        Raises:
            SnapshotError: if it is missing or damaged.
        """
        path = self._folder(snapshot_id) / "record.json"
        try:
            return Record.from_json(self._bytes(snapshot_id, "record.json"))
        except (ValueError, TypeError, KeyError) as error:
            raise SnapshotError(f"{path} is damaged; restore the vault from a backup") from error

    def key(self, snapshot_id: str) -> bytes:
        """The snapshot's key, 32 bytes.

        Raises:
            SnapshotError: if it is missing or damaged.
        """
        try:
            return bytes.fromhex(self._bytes(snapshot_id, "snapshot.key").decode("ascii"))
        except ValueError as error:
            raise SnapshotError(f"the key of snapshot {snapshot_id} is damaged") from error

    def rows(self, snapshot_id: str) -> RowRecord:
        """The bulky half of a table's record.

        Raises:
            SnapshotError: if a file is missing.
        """
        leaves, prefixes, keys, ranks = (
            self._bytes(snapshot_id, name)
            for name in ("leaves.bin", "cells.bin", "order.bin", "ranks.bin")
        )
        ranks = ranks[: len(ranks) // 8 * 8]
        return RowRecord(leaves, prefixes, keys, array("Q", ranks))

    def add_pin(self, record: Record, reason: str, retained: tuple[Part, ...]) -> Record:
        """Store a reason to keep a snapshot's data, and where the kept copy is."""
        pins = record.pins if reason in record.pins else (*record.pins, reason)
        pinned = replace(record, pins=pins, retained=retained or record.retained)
        self.write(pinned, None, None)
        return pinned

    def _bytes(self, snapshot_id: str, name: str) -> bytes:
        path = self._folder(snapshot_id) / name
        data = read_bytes(path)
        if data is None:
            raise SnapshotError(f"{path} is missing; restore the vault from a backup")
        return data

    def _folder(self, snapshot_id: str) -> Path:
        return self.folder / "snapshots" / snapshot_id


@dataclass(frozen=True)
class Digests:
    """Keyed digests that tell whether data has changed: of its values, and of its files' bytes."""

    content: str
    files: str


_INDEX_SCHEMA = """
CREATE TABLE IF NOT EXISTS snapshots (
  snapshot_id TEXT PRIMARY KEY, dataset TEXT NOT NULL, partition TEXT, entry BLOB NOT NULL,
  content TEXT NOT NULL, files TEXT NOT NULL, log_index INTEGER
);
CREATE INDEX IF NOT EXISTS by_dataset ON snapshots (dataset, partition, log_index);
"""
