"""Committing a table: from Parquet parts to a log entry, once, whatever fails in between.

What belongs here: what becomes a snapshot and when, whether it extends the one before, and the
order of steps. What does not: arithmetic (``rows``), files of the log (``log``), erasing
(``erasure``).

Order of steps: hash into a private folder without a lock, and flush it; then, under the lock, the
pending index row, the folder's final name, the log entry, the settled index row. A crash between
any two is healed by the next commit and never makes a second entry.

A table that only grows is committed in segments: where its files begin with those of the snapshot
before, only the new files are hashed. Rows keep their numbers, salts and leaves; the root of the
snapshot before is that of the first rows of the new tree, which a consistency proof shows. Within
a segment rows stand in keyed order; that a row is of an early segment tells when it was added, and
the public numbers of rows tell no more.
"""

from __future__ import annotations

import datetime as dt
import secrets
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ledger_anchor.errors import (
    DataMissingError,
    SnapshotError,
    SubjectErasedError,
    TableError,
)
from ledger_anchor.files import PRIVATE_MODE, locked, write_all, write_atomic
from ledger_anchor.manifest import (
    FORMAT,
    MAX_SEGMENTS,
    ROW_COMMIT,
    Segment,
    encode_manifest,
    read_segments,
    segments_field,
)
from ledger_anchor.row_commit.columns import TableSource
from ledger_anchor.row_commit.order_index import NO_ROW, heads_of
from ledger_anchor.row_commit.row_files import map_file
from ledger_anchor.row_commit.row_tree import RowTree
from ledger_anchor.row_commit.rows import (
    CommittedRows,
    add_sums,
    commit_rows,
    content_digest,
    key_digests,
)
from ledger_anchor.row_commit.spill import PrivateFile
from ledger_anchor.snapshots.layout import (
    extents_in_place,
    fields_of,
    order_index,
    row_files,
    row_tree,
)
from ledger_anchor.snapshots.records import (
    MOVED_RANKS,
    ORDER_KEY,
    RANKS,
    RECORD,
    SNAPSHOT_KEY,
    Digests,
    Part,
    Record,
    Snapshot,
)
from ledger_anchor.snapshots.salts import Opening, drawn_keys, refuse_erased, salt_plan
from ledger_anchor.snapshots.staging import replace_file, seal
from ledger_anchor.snapshots.vault import KEY_SIZE

if TYPE_CHECKING:
    from ledger_anchor.store import FileSetSpec, SnapshotStore, TableSpec

CONTENT, FILES = "tracient content digest 1", "tracient files digest 1"
_ATTEMPTS = 3
_HEAD_BYTES = 8 << 16  # compared at once
_COMMON: dict[str, object] = {
    "format": FORMAT,
    "contract": None,
    "extra": {},
    "files": [],
    "ledger_heads": [],
    "schema": [],
    "subject_column": None,
    "unique_key": [],
}


def commit_table(store: SnapshotStore, spec: TableSpec) -> Snapshot:
    """Commit a table; see ``SnapshotStore.commit_table``."""
    store.prepare()
    for _ in range(_ATTEMPTS):
        found = _Attempt(store, spec).run()
        if found is not None:
            return found
    raise TableError(
        f"{spec.dataset}: its files kept changing while they were hashed. Commit a table after "
        "its writer has finished"
    )


@dataclass(frozen=True)
class Base:
    """The snapshot that a table extends: its segments, and the content sums of its rows."""

    snapshot: Snapshot
    segments: tuple[Segment, ...]
    parts: tuple[Part, ...]
    sums: tuple[int, ...]

    @property
    def first_id(self) -> str:
        """The snapshot whose order key the whole table has."""
        return self.segments[0].snapshot_id


@dataclass(frozen=True)
class _Hashed:
    """A table, or its new rows, hashed into a private folder."""

    folder: Path
    source: TableSource
    base: Base | None
    rows: CommittedRows
    parts: tuple[Part, ...]


class _Attempt:
    """One attempt at a table; it gives None if somebody else changed something meanwhile."""

    def __init__(self, store: SnapshotStore, spec: TableSpec) -> None:
        self.store, self.spec = store, spec
        self._erasures = store.vault.erasures()
        self._known = store.records.current(spec.dataset, spec.partition)
        parts, before = store.parts_of(spec.files), self._parts_before()
        self.parts = _known_first(parts, before)
        self._before = before if self.parts[: len(before)] == before else ()
        self._stamps = _stamps(self._paths(self.parts))

    def run(self) -> Snapshot | None:
        """Commit the table: as it is known, as an extension, or as a whole."""
        if self._known is not None and self._known[2] == self._files_digest():
            return self._known[0]
        base = self._base()
        if base is not None:
            with self.store.records.staging(new_id()) as folder:
                hashed = self._hash_new_rows(folder, base)
                if hashed is not None:
                    return self._settle(hashed)
        with self.store.records.staging(new_id()) as folder:
            return self._settle(self._hash_table(folder))

    # -- what is there --------------------------------------------------------------------------

    def _parts_before(self) -> tuple[Part, ...]:
        """Parts of the snapshot that may be extended, in order."""
        if not self.spec.append_only or self._known is None:
            return ()
        snapshot = self._known[0]
        if snapshot.manifest.get("commitment") != ROW_COMMIT:
            return ()
        extents = extents_in_place(self.store.records, snapshot)
        return tuple(part for extent in extents for part in extent.parts)

    def _base(self) -> Base | None:
        """The snapshot that this table extends, if it does."""
        if self._known is None or not self._before or len(self._before) == len(self.parts):
            return None
        snapshot, manifest = self._known[0], self._known[0].manifest
        segments = read_segments(manifest)
        is_alike = (
            manifest["unique_key"] == list(self.spec.unique_key)
            and manifest["subject_column"] == self.spec.subject_column
            and manifest["domain"] == self.spec.domain
        )
        sums = [self.store.records.read(item.snapshot_id).sums for item in segments]
        if not is_alike or not snapshot.rows or len(segments) == MAX_SEGMENTS or None in sums:
            return None
        total = [0, 0, 0, 0]
        for one in sums:
            total = add_sums(total, sums_from_hex(one or ""))
        return Base(snapshot, segments, self._before, tuple(total))

    def _paths(self, parts: Sequence[Part]) -> list[Path]:
        return [self.store.home / part.path for part in parts]

    def _files_digest(self) -> str:
        listed = [[part.path, part.digest] for part in self.parts]
        return self.store.keyed(FILES, [_identity(self.spec), listed])

    # -- hashing --------------------------------------------------------------------------------

    def _hash_table(self, folder: Path) -> _Hashed:
        """Hash the whole table."""
        source = TableSource(self.spec.dataset, self._paths(self.parts))
        order_key = secrets.token_bytes(KEY_SIZE)
        write_atomic(folder / ORDER_KEY, order_key.hex().encode(), PRIVATE_MODE)
        return self._hash(folder, source, self.parts, order_key)

    def _hash_new_rows(self, folder: Path, base: Base) -> _Hashed | None:
        """Hash the new files; None if they do not extend the base after all."""
        records = self.store.records
        fresh = self.parts[len(base.parts) :]
        source = TableSource(self.spec.dataset, self._paths(fresh))
        if source.fields != fields_of(base.snapshot) or not source.rows:
            return None
        order_key = records.order_key(base.segments[0].snapshot_id)
        hashed = self._hash(folder, source, fresh, order_key, base)
        index = order_index(row_files(records, base.snapshot))
        heads = map_file(folder / "order.bin") or b""
        for start in range(0, len(heads), _HEAD_BYTES):
            found = index.match(heads_of(heads[start : start + _HEAD_BYTES]))
            if any(number != NO_ROW for number in found):
                return None  # a key repeats: committing the whole table tells exactly which
        return hashed

    def _hash(
        self,
        folder: Path,
        source: TableSource,
        parts: Sequence[Part],
        order_key: bytes,
        base: Base | None = None,
    ) -> _Hashed:
        store, spec = self.store, self.spec
        before: RowTree | None = None
        if base is not None:
            before = row_tree(store.records, row_files(store.records, base.snapshot))
        key = secrets.token_bytes(KEY_SIZE)
        opening = Opening(folder.name, key, spec.domain, spec.subject_column)
        engine = store.engine(source.rows * len(source.fields))
        try:
            rows = commit_rows(
                source,
                engine,
                salt_plan(source, opening, engine, drawn_keys(store.vault, spec.domain)),
                order_key,
                spec.unique_key,
                store.derived(CONTENT),
                folder,
                first_row=0 if before is None else before.size,
                before=before,
            )
        except SubjectErasedError as error:
            raise refuse_erased(store.vault, source, opening) from error
        counted = tuple(
            replace(part, rows=count) for part, count in zip(parts, source.part_rows, strict=True)
        )
        sums = sums_to_hex(rows.sums)
        unique_key = tuple(spec.unique_key)
        record = Record(
            folder.name, unique_key, spec.subject_column, spec.retain, counted, sums=sums
        )
        files = {SNAPSHOT_KEY: key.hex().encode(), RECORD: record.to_json()}
        write_all([(folder / name, data) for name, data in files.items()], PRIVATE_MODE)
        seal(folder)
        return _Hashed(folder, source, base, rows, counted)

    # -- settling -------------------------------------------------------------------------------

    def _settle(self, hashed: _Hashed) -> Snapshot | None:
        """Under the lock: the snapshot that is there, if the values are the same, or a new one."""
        store, base = self.store, hashed.base
        digests = Digests(self._content(hashed), self._files_digest())
        with locked(store.vault.lock_path, store.lock_timeout):
            store.heal()
            is_same = self._stamps == _stamps(self._paths(self.parts))
            if not is_same or self._erasures != store.vault.erasures():
                return None
            known = store.records.current(self.spec.dataset, self.spec.partition)
            if known is not None and known[2] == digests.files:
                return known[0]
            if base is not None and not _is_newest(base.snapshot, known):
                return None
            if known is not None and known[1] == digests.content:
                self._move(known[0], hashed, digests.files)
                return known[0]
            fields = self._fields(hashed)
            return append_entry(store, self.spec, fields, hashed.folder, digests)

    def _content(self, hashed: _Hashed) -> str:
        """Keyed digest of the table's values, whichever files and segments they stand in."""
        content, base = hashed.rows.content, hashed.base
        if base is not None:
            rows = sum(part.rows for part in base.parts) + hashed.rows.rows
            sums = add_sums(base.sums, hashed.rows.sums)
            key = self.store.derived(CONTENT)
            content = content_digest(hashed.source.fields, rows, key, sums)
        return self.store.keyed(CONTENT, [_identity(self.spec), content])

    def _fields(self, hashed: _Hashed) -> dict[str, object]:
        spec, base = self.spec, hashed.base
        before = () if base is None else base.segments
        first = before[-1].end if before else 0
        segments = (*before, Segment(hashed.folder.name, first, hashed.rows.rows))
        contract = None
        if spec.contract_id is not None:
            contract = {"id": spec.contract_id, "version": spec.contract_version}
        return {
            "commitment": ROW_COMMIT,
            "contract": contract,
            "kind": "table",
            "ledger_heads": [dict(head) for head in spec.ledger_heads],
            "root": hashed.rows.root.hex(),
            "rows": segments[-1].end,
            "schema": [
                {"name": item.name, "type": item.logical_type} for item in hashed.source.fields
            ],
            "subject_column": spec.subject_column,
            "unique_key": list(spec.unique_key),
            **segments_field(segments),
        }

    def _move(self, snapshot: Snapshot, hashed: _Hashed, files: str) -> None:
        """The same values stand in other files or another order: remember where."""
        records = self.store.records
        segments = read_segments(snapshot.manifest)
        record = records.read(snapshot.snapshot_id)
        name = RANKS if len(segments) == 1 else MOVED_RANKS
        moved = hashed.folder / f"moved-{name}"
        self._write_ranks(moved, snapshot, hashed.source)
        replace_file(moved, records.folder_of(snapshot.snapshot_id) / name)
        if len(segments) == 1:
            records.write(replace(record, parts=hashed.parts))
        else:
            records.write(replace(record, moved=hashed.parts))
        records.set_files_digest(snapshot.snapshot_id, files)

    def _write_ranks(self, path: Path, snapshot: Snapshot, source: TableSource) -> None:
        """Committed number of each row of moved files, found by the unique keys."""
        store = self.store
        segments = read_segments(snapshot.manifest)
        index = order_index(row_files(store.records, snapshot))
        key = store.records.order_key(segments[0].snapshot_id)
        engine = store.engine(source.rows * len(source.fields))
        with PrivateFile(path) as file:
            for _, digests in key_digests(source, engine, key, self.spec.unique_key):
                ranks = index.match(engine.heads(digests))
                if any(number == NO_ROW for number in ranks):
                    raise SnapshotError(
                        f"the private record of snapshot {snapshot.snapshot_id} does not hold a "
                        "row that was committed: it is damaged; restore the vault from a backup"
                    )
                file.write(ranks.tobytes())


def append_entry(
    store: SnapshotStore,
    spec: TableSpec | FileSetSpec,
    fields: Mapping[str, object],
    folder: Path,
    digests: Digests,
) -> Snapshot:
    """Add a snapshot whose private folder is sealed; the caller holds the lock and has healed.

    Returns:
        The new snapshot, or the one that is there, if its values are the same.
    """
    known = store.records.current(spec.dataset, spec.partition)
    if known is not None and known[1] == digests.content:
        return known[0]
    manifest = {
        **_COMMON,
        **fields,
        "code_version": spec.code_version,
        "created_at": dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "dataset": spec.dataset,
        "domain": spec.domain,
        "partition": spec.partition,
        "previous": None if known is None else known[0].snapshot_id,
        "snapshot_id": folder.name,
        "upstream": list(spec.upstream),
    }
    entry = encode_manifest(manifest)
    store.records.add_pending(manifest, entry, digests)
    store.records.publish(folder)
    index = store.writer().append_locked([entry])[0]
    store.records.settle(folder.name, index)
    return Snapshot.from_manifest(entry, index, is_new=True)


def _identity(spec: TableSpec) -> list[object]:
    return [spec.dataset, spec.partition, list(spec.unique_key), spec.subject_column]


def _is_newest(snapshot: Snapshot, known: tuple[Snapshot, str, str] | None) -> bool:
    return known is not None and known[0].snapshot_id == snapshot.snapshot_id


def _known_first(parts: Sequence[Part], before: Sequence[Part]) -> tuple[Part, ...]:
    """Parts of the snapshot before in its order, then the new ones; as given if one is missing.

    Files are often listed by names that are no times.
    """
    found = {(part.path, part.digest): part for part in parts}
    known = [(part.path, part.digest) for part in before]
    if not all(name in found for name in known):
        return tuple(parts)
    rest = [part for part in parts if (part.path, part.digest) not in set(known)]
    return (*before, *rest)


def sums_to_hex(sums: Sequence[int]) -> str:
    """Content sums as they stand in a record."""
    return b"".join(one.to_bytes(8, "little") for one in sums).hex()


def sums_from_hex(text: str) -> list[int]:
    """Content sums from a record.

    Raises:
        SnapshotError: if they are damaged.
    """
    try:
        data = bytes.fromhex(text)
        if len(data) == 32:
            return [int.from_bytes(data[at : at + 8], "little") for at in range(0, 32, 8)]
    except ValueError:
        pass
    raise SnapshotError("the content sums in a private record are damaged; restore the vault")


def _stamps(files: Sequence[Path]) -> list[tuple[int, int, int]]:
    try:
        return [(one.st_ino, one.st_size, one.st_mtime_ns) for one in (f.stat() for f in files)]
    except FileNotFoundError as error:
        raise DataMissingError(f"{error.filename} is missing") from error


def new_id() -> str:
    """UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, then randomness."""
    stamp = (time.time_ns() // 1_000_000).to_bytes(6, "big")
    raw = bytearray(stamp + secrets.token_bytes(10))
    raw[6] = 0x70 | raw[6] & 0x0F
    raw[8] = 0x80 | raw[8] & 0x3F
    return str(uuid.UUID(bytes=bytes(raw)))
