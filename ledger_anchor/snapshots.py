"""SnapshotStore: committing tables and files of a home to its log, and finding them again.

What belongs here: what becomes a snapshot and when (idempotence, order of steps, pins). What does
not: arithmetic (``rows``, ``fast``), files of the log (``log``), checking (``audit``), disclosure
(``disclosure``). The order of steps is: hash without a lock; then, under the lock, pending index
row, private record, log entry, settled index row. A crash between any two is healed by the next
commit and never makes a second entry.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import json
import os
import secrets
import shutil
import time
import uuid
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ledger_anchor.columns import Batch, Field, TableSource
from ledger_anchor.engine import choose_engine
from ledger_anchor.errors import (
    DataMissingError,
    LogMissingError,
    SnapshotError,
    StorageError,
    TableError,
)
from ledger_anchor.files import PUBLIC_MODE, locked, make_folder, write_atomic
from ledger_anchor.log import LogReader, LogWriter
from ledger_anchor.manifest import FILE_SET, FORMAT, ROW_COMMIT, canonical_json, encode_manifest
from ledger_anchor.records import Digests, Part, Record, Records, RowRecord, Snapshot
from ledger_anchor.rows import (
    ORDER_PURPOSE,
    Engine,
    HashedRows,
    RowOrder,
    SaltPlan,
    hash_rows,
    order_rows,
)
from ledger_anchor.tree import Tree, leaf_hash
from ledger_anchor.vault import KEY_SIZE, Vault, derive

if TYPE_CHECKING:
    from ledger_anchor.audit import AuditReport, VerifyReport

_CONTENT = "tracient content digest 1"
_FILES = "tracient files digest 1"
_BUFFER = 1 << 20
_ATTEMPTS = 3
_SUBJECT_BATCHES = 16  # one column; a subject that returns within a batch is looked up once


@dataclass(frozen=True)
class TableSpec:
    """A table to commit: Parquet parts below the home, and what its manifest says about it.

    ``unique_key`` names the columns that tell rows apart; ``subject_column`` the column that holds
    the data subject of each row (each subject has a key of its own, so that erasing it erases the
    subject everywhere). ``retain`` says whether missing data is a failure ("always") or may be
    replaced by newer data unless the snapshot is pinned ("used").
    """

    dataset: str
    domain: str
    files: Sequence[Path]
    unique_key: Sequence[str]
    subject_column: str | None = None
    partition: str | None = None
    contract_id: str | None = None
    contract_version: str | None = None
    upstream: Sequence[str] = ()
    ledger_heads: Sequence[Mapping[str, object]] = ()
    code_version: str = ""
    retain: Literal["always", "used"] = "used"


@dataclass(frozen=True)
class FileSetSpec:
    """Files to commit as they are: a model, a card or a release; all of them lie below ``root``."""

    dataset: str
    domain: str
    kind: Literal["model", "card", "release"]
    files: Sequence[Path]
    root: Path
    upstream: Sequence[str] = ()
    extra: Mapping[str, str] = field(default_factory=dict)
    partition: str | None = None
    code_version: str = ""


@dataclass(frozen=True)
class Opening:
    """What it takes to hash a table's snapshot again."""

    snapshot_id: str
    key: bytes = field(repr=False)
    domain: str
    subject_column: str | None


class SnapshotStore:
    """Snapshots of one home: public log in ``anchors/``, private records in ``vault/anchor/``.

    Args:
        home: the home folder.
        use_numba: True or False forces an engine; None chooses by size and what is installed.
        lock_timeout_seconds: how long to wait for another process.
    """

    def __init__(
        self, home: Path | str, *, use_numba: bool | None = None, lock_timeout_seconds: float = 60.0
    ) -> None:
        self.home = Path(home).resolve()
        self.anchors = self.home / "anchors"
        self.vault = Vault(self.home / "vault" / "anchor")
        self.records = Records(self.vault.folder)
        self._use_numba = use_numba
        self._lock_timeout = lock_timeout_seconds

    # -- the log ------------------------------------------------------------------------------

    def initialise(self, origin: str | None = None) -> LogReader:
        """Create the key and the empty log if they are not there.

        Args:
            origin: name of the log; "tracient-log/<random>" if not given.

        Returns:
            A reader of the log.

        Raises:
            StorageError: if the home cannot be written, or has a log but no key.
            KeyFormatError: if the origin cannot be a key's name.
        """
        with locked(self.vault.lock_path, self._lock_timeout):
            signer = self.vault.signer()
            if signer is None:
                self._refuse_second_key()
                signer = self.vault.create_signer(origin or f"tracient-log/{secrets.token_hex(4)}")
            self.vault.index_key()
            vkey = signer.verifier().format() + "\n"
            write_atomic(self.anchors / "log.vkey", vkey.encode(), PUBLIC_MODE)
            self._writer().append_locked([])
        return self.reader()

    def _refuse_second_key(self) -> None:
        """A log keeps its key: where a log is and no key, the key was lost, not never drawn."""
        if (self.anchors / "log" / "checkpoint").exists() or self.vault.state_path.exists():
            raise StorageError(
                f"{self.vault.signing_key_path}: expected the key that signs this home's log; "
                "found no file. Restore it from a backup of the vault: another key would be "
                "another log. Nothing was changed"
            )

    def reader(self) -> LogReader:
        """The log as anyone sees it.

        Raises:
            LogMissingError: if nothing was anchored yet.
        """
        path = self.anchors / "log.vkey"
        if not path.is_file():
            raise LogMissingError(f"nothing is anchored yet in {self.home}")
        return LogReader(self.anchors / "log", path.read_text())

    def _writer(self) -> LogWriter:
        signer = self.vault.signer()
        if signer is None:
            raise LogMissingError(f"{self.vault.folder} holds no signing key")
        return LogWriter(
            self.anchors / "log",
            signer,
            self.vault.state_path,
            self.vault.lock_path,
            self._lock_timeout,
        )

    # -- finding --------------------------------------------------------------------------------

    def current(self, dataset: str, partition: str | None = None) -> Snapshot | None:
        """Newest snapshot of a dataset (and partition), or None."""
        found = self.records.current(dataset, partition)
        return None if found is None else found[0]

    def snapshots(self) -> list[Snapshot]:
        """Every snapshot of this home in the order of the log."""
        return self.records.snapshots()

    # -- committing -----------------------------------------------------------------------------

    def commit_table(self, spec: TableSpec) -> Snapshot:
        """Commit a table; unchanged data returns the snapshot that is there.

        Args:
            spec: the table.

        Returns:
            The snapshot; ``is_new`` tells whether an entry was added to the log.

        Raises:
            TableError: if a part is unreadable, schemas differ, a type is not supported, or the
                unique key is not unique.
            DataMissingError: if a part is missing.
            LockError: if another process holds the log for too long.
            StorageError: if a write fails; what was there before stays as it was.
        """
        self._ensure_log()
        for _ in range(_ATTEMPTS):
            parts = self._parts(spec.files)
            known = self._unchanged_files(spec, parts)
            if known is not None:
                return known
            stamps = _stamps(spec.files)
            source = TableSource(spec.dataset, spec.files)
            opening = Opening(
                _new_id(), secrets.token_bytes(KEY_SIZE), spec.domain, spec.subject_column
            )
            order, hashed = self._hash_table(source, opening, spec.unique_key)
            if stamps == _stamps(spec.files):
                return self._settle_table(spec, source, parts, opening, order, hashed)
        raise TableError(
            f"{spec.dataset}: its files kept changing while they were hashed. Commit a table after "
            "its writer has finished"
        )

    def commit_files(self, spec: FileSetSpec) -> Snapshot:
        """Commit files as they are; unchanged files return the snapshot that is there.

        The data of upstream tables that are kept only while in use is pinned.

        Args:
            spec: the files.

        Returns:
            The snapshot.

        Raises:
            TableError: if no file is given or one lies outside the root.
            DataMissingError: if a file or the data of an upstream snapshot is missing.
            LockError, StorageError: as for ``commit_table``.
        """
        self._ensure_log()
        described = describe_files(spec.dataset, spec.files, spec.root)
        parts = self._parts(spec.files)
        extra = dict(spec.extra)
        content = self._keyed(_FILES, [spec.dataset, spec.partition, spec.kind, described, extra])
        known = self.records.current(spec.dataset, spec.partition)
        if known is not None and known[1] == content:
            return known[0]
        fields: dict[str, object] = {
            "commitment": FILE_SET,
            "files": described,
            "kind": spec.kind,
            "root": file_tree(described).root().hex(),
            "rows": len(described),
            "extra": extra,
        }
        for upstream in spec.upstream:
            self.pin(upstream, f"{spec.kind} {spec.dataset}")
        record = Record(_new_id(), (), None, "always", parts, root_folder=self._relative(spec.root))
        with locked(self.vault.lock_path, self._lock_timeout):
            return self._append(spec, fields, record, None, None, Digests(content, content))

    def pin(self, snapshot_id: str, reason: str) -> None:
        """Keep the data of a snapshot because something was built from it.

        Tables kept only while in use are copied to ``lake/.retained/<snapshot id>``: a copy and not
        a hard link, since a writer that overwrites a file in place would change both.

        Args:
            snapshot_id: the snapshot.
            reason: what was built from it.

        Raises:
            SnapshotError: if the snapshot is unknown.
            DataMissingError: if its data is no longer there.
            StorageError: if the copy cannot be written.
        """
        self.records.find(snapshot_id)
        with locked(self.vault.lock_path, self._lock_timeout):
            record = self.records.read(snapshot_id)
            retained: tuple[Part, ...] = ()
            if record.retain == "used" and not record.retained:
                retained = tuple(
                    self._copy_part(snapshot_id, number, part)
                    for number, part in enumerate(record.parts)
                )
            if retained or reason not in record.pins:
                self.records.add_pin(record, reason, retained)

    # -- checking -------------------------------------------------------------------------------

    def reverify(self, snapshot_id: str) -> None:
        """Recompute a snapshot's root from its data.

        Raises:
            DataMismatchError: naming dataset, row key, column, expected and found digest.
            DataMissingError: if the data is not retained.
            SnapshotError: if the snapshot is unknown or its private record damaged.
        """
        from ledger_anchor.audit import reverify  # noqa: PLC0415 - audit imports this module

        reverify(self, snapshot_id)

    def verify(self) -> VerifyReport:
        """Check the log: signature, tiles, signed state, and each snapshot's inclusion."""
        from ledger_anchor.audit import verify_home  # noqa: PLC0415 - audit imports this module

        return verify_home(self)

    def audit(self, progress: Callable[[str, int, int], None] | None = None) -> AuditReport:
        """Check the log and re-hash the data of every snapshot.

        Args:
            progress: called with a dataset's name, its number from 1, and how many there are.
        """
        from ledger_anchor.audit import audit_home  # noqa: PLC0415 - audit imports this module

        return audit_home(self, progress)

    def engine(self, cells: int) -> Engine:
        """The engine for a table of so many cells."""
        return choose_engine(cells, self._use_numba)

    def salt_plan(
        self, source: TableSource, opening: Opening, engine: Engine, *, create: bool
    ) -> SaltPlan:
        """Salts of a snapshot: a key for each subject of the table, the snapshot's for the rest.

        Raises:
            SubjectKeyError: if the vault has none of the keys and may not draw them.
            TableError: if the subject column is not in the table or not text or a number.
        """
        snapshot = uuid.UUID(opening.snapshot_id).bytes
        if opening.subject_column is None:
            prepared = engine.prepare_keys([opening.key])
            return SaltPlan(snapshot, prepared, lambda batch: array("Q", bytes(8 * batch.rows)))
        subject = source.require([opening.subject_column], "the subject column")[0]
        lookup = SubjectLookup(source, subject)
        if create:
            keys = self.vault.subject_keys(opening.domain, lookup.subjects)
        else:
            # A subject without a key was not committed, or was erased: its rows must differ, and
            # they do under any other key.
            known = self.vault.known_subject_keys(opening.domain, lookup.subjects)
            keys = [key or opening.key for key in known]
        prepared = engine.prepare_keys([*keys, opening.key])
        return SaltPlan(snapshot, prepared, lookup.index_of)

    def opening(self, snapshot: Snapshot, record: Record) -> Opening:
        """What it takes to hash a snapshot again."""
        key = self.records.key(snapshot.snapshot_id)
        return Opening(snapshot.snapshot_id, key, snapshot.domain, record.subject_column)

    def hash_with(
        self,
        source: TableSource,
        opening: Opening,
        ranks: array[int],
        *,
        create: bool,
        slots: int | None = None,
    ) -> HashedRows:
        """Hash a table under a snapshot's keys with given row numbers."""
        engine = self.engine(source.rows * len(source.fields))
        salts = self.salt_plan(source, opening, engine, create=create)
        content_key = derive(self.vault.index_key(), _CONTENT)
        return hash_rows(source, engine, salts, ranks, content_key, slots)

    def part_digest(self, path: Path) -> str:
        """Keyed digest of a file's bytes, hex.

        Raises:
            DataMissingError: if the file is missing.
        """
        return _file_digest(path, derive(self.vault.index_key(), _FILES))

    # -- steps ----------------------------------------------------------------------------------

    def _ensure_log(self) -> None:
        if self.vault.signer() is None or not (self.anchors / "log" / "checkpoint").exists():
            self.initialise()

    def _keyed(self, purpose: str, value: object) -> str:
        key = derive(self.vault.index_key(), purpose)
        return hmac.new(key, canonical_json(value), hashlib.sha256).hexdigest()

    def _relative(self, path: Path) -> str:
        resolved = path.resolve()
        if not resolved.is_relative_to(self.home):
            raise TableError(f"{path} lies outside the home {self.home}; only its files are kept")
        return resolved.relative_to(self.home).as_posix()

    def _parts(self, files: Sequence[Path]) -> tuple[Part, ...]:
        if not files:
            raise TableError("no file was given")
        return tuple(
            Part(self._relative(file), file.stat().st_size, digest)
            for file in files
            for digest in [self.part_digest(file)]
        )

    def _files_digest(self, spec: TableSpec, parts: Sequence[Part]) -> str:
        listed = [[part.path, part.digest] for part in parts]
        return self._keyed(_FILES, [_identity(spec), listed])

    def _unchanged_files(self, spec: TableSpec, parts: Sequence[Part]) -> Snapshot | None:
        known = self.records.current(spec.dataset, spec.partition)
        if known is not None and known[2] == self._files_digest(spec, parts):
            return known[0]
        return None

    def _hash_table(
        self, source: TableSource, opening: Opening, unique_key: Sequence[str]
    ) -> tuple[RowOrder, HashedRows]:
        engine = self.engine(source.rows * len(source.fields))
        order = order_rows(source, engine, derive(opening.key, ORDER_PURPOSE), unique_key)
        return order, self.hash_with(source, opening, order.ranks, create=True)

    def _settle_table(
        self,
        spec: TableSpec,
        source: TableSource,
        parts: tuple[Part, ...],
        opening: Opening,
        order: RowOrder,
        hashed: HashedRows,
    ) -> Snapshot:
        """Under the lock: the snapshot that is there, if the values are the same, or a new one."""
        content = self._keyed(_CONTENT, [_identity(spec), hashed.content])
        digests = Digests(content, self._files_digest(spec, parts))
        parts = tuple(
            replace(part, rows=rows) for part, rows in zip(parts, source.part_rows, strict=True)
        )
        engine = self.engine(source.rows * len(source.fields))
        root = engine.tree(hashed.leaves).root()
        with locked(self.vault.lock_path, self._lock_timeout):
            known = self.records.current(spec.dataset, spec.partition)
            if known is not None and known[1] == content:
                self._move(known[0], source, parts, digests.files)
                return known[0]
            record = Record(
                opening.snapshot_id,
                tuple(spec.unique_key),
                spec.subject_column,
                spec.retain,
                parts,
            )
            rows = RowRecord(
                bytes(hashed.leaves), bytes(hashed.prefixes), order.sorted_keys, order.ranks
            )
            fields = _table_fields(spec, source, root)
            return self._append(spec, fields, record, opening.key, rows, digests)

    def _move(
        self, snapshot: Snapshot, source: TableSource, parts: tuple[Part, ...], files: str
    ) -> None:
        """The same values stand in other files or another order: remember where."""
        record = self.records.read(snapshot.snapshot_id)
        engine = self.engine(source.rows * len(source.fields))
        order_key = derive(self.records.key(snapshot.snapshot_id), ORDER_PURPOSE)
        order = order_rows(source, engine, order_key, record.unique_key)
        self.records.write_ranks(snapshot.snapshot_id, order.ranks)
        self.records.write(replace(record, parts=parts), None, None)
        self.records.set_files_digest(snapshot.snapshot_id, files)

    def _append(
        self,
        spec: TableSpec | FileSetSpec,
        fields: Mapping[str, object],
        record: Record,
        key: bytes | None,
        rows: RowRecord | None,
        digests: Digests,
    ) -> Snapshot:
        writer = self._writer()
        writer.recover_locked()
        self._heal(writer)
        known = self.records.current(spec.dataset, spec.partition)
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
            "snapshot_id": record.snapshot_id,
            "upstream": list(spec.upstream),
        }
        entry = encode_manifest(manifest)
        self.records.add_pending(manifest, entry, digests)
        self.records.write(record, key, rows)
        index = writer.append_locked([entry])[0]
        self.records.settle(record.snapshot_id, index)
        return Snapshot.from_manifest(entry, index, is_new=True)

    def _heal(self, writer: LogWriter) -> None:
        """Settle or forget snapshots whose commit was cut short."""
        for snapshot_id, entry in self.records.pending():
            index = _find_entry(
                LogReader(writer.directory, writer.signer.verifier().format()), entry
            )
            if index is None:
                self.records.forget_pending(snapshot_id)
            else:
                self.records.settle(snapshot_id, index)

    def _copy_part(self, snapshot_id: str, number: int, part: Part) -> Part:
        source = self.home / part.path
        folder = self.home / "lake" / ".retained" / snapshot_id
        target = folder / f"{number:04d}-{source.name}"
        make_folder(folder)
        try:
            shutil.copyfile(source, target)
            with target.open("rb") as copy:
                os.fsync(copy.fileno())
        except FileNotFoundError as error:
            raise DataMissingError(_gone(snapshot_id, part)) from error
        except OSError as error:
            target.unlink(missing_ok=True)
            raise StorageError(f"cannot copy {source} to {target}: {error.strerror}") from error
        if self.part_digest(target) != part.digest:
            target.unlink()
            raise DataMissingError(_gone(snapshot_id, part))
        return replace(part, path=target.relative_to(self.home).as_posix())


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


class SubjectLookup:
    """The distinct data subjects of a table, and the number of each row's subject."""

    def __init__(self, source: TableSource, subject: Field) -> None:
        """Read the subject column of a table.

        Raises:
            TableError: if the column is neither text nor a number.
        """
        if subject.kind not in {"text", "int"}:
            raise TableError(f"{source.dataset}: subject column {subject.name} is {subject.kind}")
        numbers: dict[object, int] = {}
        self._rows = array("q")
        for batch in source.batches([subject], _SUBJECT_BATCHES):
            self._rows.extend(_number(batch.columns[subject.name], numbers))
        self.subjects: list[str] = [_subject_text(value) for value in numbers]

    def index_of(self, batch: Batch) -> array[int]:
        """Number of each row's subject; rows without one get the number of subjects."""
        rows = self._rows[batch.position : batch.position + batch.rows]
        return array("Q", [len(self.subjects) if n < 0 else n for n in rows])


def _number(values: Any, numbers: dict[object, int]) -> array[int]:
    """Number of each value, -1 for null; values that are new get the next number."""
    import pyarrow as pa  # noqa: PLC0415 - only reading Parquet needs it

    encoded = values.dictionary_encode()
    known = [numbers.setdefault(value, len(numbers)) for value in encoded.dictionary.to_pylist()]
    found = pa.array(known, pa.int64()).take(encoded.indices).fill_null(-1)
    return array("q", found.buffers()[1].to_pybytes()[: 8 * len(found)])


def _subject_text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _identity(spec: TableSpec) -> list[object]:
    return [spec.dataset, spec.partition, list(spec.unique_key), spec.subject_column]


def _table_fields(spec: TableSpec, source: TableSource, root: bytes) -> dict[str, object]:
    contract = None
    if spec.contract_id is not None:
        contract = {"id": spec.contract_id, "version": spec.contract_version}
    return {
        "commitment": ROW_COMMIT,
        "contract": contract,
        "kind": "table",
        "ledger_heads": [dict(head) for head in spec.ledger_heads],
        "root": root.hex(),
        "rows": source.rows,
        "schema": [{"name": item.name, "type": item.logical_type} for item in source.fields],
        "subject_column": spec.subject_column,
        "unique_key": list(spec.unique_key),
    }


def describe_files(dataset: str, files: Sequence[Path], root: Path) -> list[dict[str, object]]:
    """Path below the root, size and SHA-256 of each file, sorted by path.

    Raises:
        TableError: if no file is given or one lies outside the root.
        DataMissingError: if a file is missing.
    """
    if not files:
        raise TableError(f"{dataset}: no file was given")
    described: list[dict[str, object]] = []
    for file in files:
        if not file.resolve().is_relative_to(root.resolve()):
            raise TableError(f"{dataset}: {file} lies outside {root}")
        path = file.resolve().relative_to(root.resolve()).as_posix()
        digest = _file_digest(file, None)
        described.append({"path": path, "sha256": digest, "size": file.stat().st_size})
    return sorted(described, key=lambda item: str(item["path"]))


def file_tree(described: Sequence[Mapping[str, object]]) -> Tree:
    """Tree over described files: each leaf is the canonical JSON of path, sha256 and size."""
    return Tree(leaf_hash(canonical_json(item)) for item in described)


def _file_digest(path: Path, key: bytes | None) -> str:
    running = hashlib.sha256() if key is None else hmac.new(key, digestmod=hashlib.sha256)
    try:
        with path.open("rb", buffering=0) as stream:
            while chunk := stream.read(_BUFFER):
                running.update(chunk)
    except FileNotFoundError as error:
        raise DataMissingError(f"{path} is missing") from error
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    return running.hexdigest()


def _stamps(files: Sequence[Path]) -> list[tuple[int, int, int]]:
    return [(stat.st_ino, stat.st_size, stat.st_mtime_ns) for stat in (f.stat() for f in files)]


def _find_entry(reader: LogReader, entry: bytes) -> int | None:
    try:
        entries = list(reader.entries())
    except LogMissingError:
        return None
    return next((n for n in range(len(entries) - 1, -1, -1) if entries[n] == entry), None)


def _gone(snapshot_id: str, part: Part) -> str:
    return (
        f"the data of snapshot {snapshot_id} is no longer at {part.path}: it was replaced before "
        "the snapshot was pinned. Pin a snapshot before its dataset is written again"
    )


def _new_id() -> str:
    """UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, then randomness."""
    stamp = (time.time_ns() // 1_000_000).to_bytes(6, "big")
    raw = bytearray(stamp + secrets.token_bytes(10))
    raw[6] = 0x70 | raw[6] & 0x0F
    raw[8] = 0x80 | raw[8] & 0x3F
    return str(uuid.UUID(bytes=bytes(raw)))


def read_manifest_list(manifest: Mapping[str, object], name: str) -> list[dict[str, object]]:
    """A list of objects from a manifest, checked.

    Raises:
        SnapshotError: if it is something else.
    """
    value = json.loads(canonical_json(manifest.get(name)))
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise SnapshotError(f"the manifest's {name} is not a list of objects")
    return value
