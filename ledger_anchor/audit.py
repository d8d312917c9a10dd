"""Checking a home: the log from its files, and the data against what was committed.

What belongs here: verify (log and inclusion), audit and reverify (re-hash the data and name what
differs), and their reports. What does not: committing (``snapshots``). Checks trust the public log
first: a private record that disagrees with the log is itself reported.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ledger_anchor.columns import Field, TableSource
from ledger_anchor.differences import Comparison, compare_rows
from ledger_anchor.errors import (
    AnchorError,
    DataMismatchError,
    DataMissingError,
    Difference,
    LogMissingError,
    NoteError,
    SnapshotError,
)
from ledger_anchor.files import read_bytes
from ledger_anchor.log import LogReader
from ledger_anchor.manifest import FILE_SET
from ledger_anchor.records import Part, Record, Snapshot
from ledger_anchor.snapshots import (
    SnapshotStore,
    describe_files,
    file_tree,
    read_manifest_list,
)
from ledger_anchor.tree import inclusion_proof, leaf_hash, verify_inclusion

_LISTED = 100
NOT_PROVEN = (
    "that the data was true when it was recorded: the log shows only that it was not changed since",
    "when an entry was made: times in manifests are claims until witnesses sign them",
    "that nobody else is shown another log: compare the checkpoint with one kept elsewhere",
)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: a sentence, and the difference in the data if it is one."""

    message: str
    difference: Difference | None = None

    def __str__(self) -> str:
        return self.message

    def to_json(self) -> dict[str, object]:
        """The problem for machines."""
        found = self.difference
        if found is None:
            return {"message": self.message}
        return {
            "message": self.message,
            "problem": found.problem,
            "dataset": found.dataset,
            "snapshot_id": found.snapshot_id,
            "file": found.file,
            "file_row": found.file_row,
            "row_number": found.row_number,
            "row_key": None if found.row_key is None else dict(found.row_key),
            "column": found.column,
            "expected": found.expected,
            "found": found.found,
        }


@dataclass(frozen=True)
class VerifyReport:
    """What ``verify`` found.

    Attributes:
        origin: name of the log, or None if nothing is anchored yet.
        size: number of entries.
        root: root of the log, hex, or None.
        snapshots: number of snapshots whose inclusion was proven.
        problems: what is wrong.
        notes: what is worth knowing and not wrong.
    """

    origin: str | None
    size: int
    root: str | None
    snapshots: int
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def is_ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    @property
    def proven(self) -> tuple[str, ...]:
        """What the checks prove, in plain words; empty if something is wrong."""
        if not self.is_ok or self.origin is None:
            return ()
        public = (
            f"the checkpoint is signed by the key of {self.origin}",
            f"its {self.size} entries, recomputed from the files, lead to the signed root",
        )
        if not self.snapshots:
            return public
        return (
            *public,
            "the log extends the last state this home has signed",
            f"each of {self.snapshots} snapshots of this home is in the log as it was committed",
        )

    def to_json(self) -> dict[str, object]:
        """The report for machines."""
        return {
            "is_ok": self.is_ok,
            "origin": self.origin,
            "size": self.size,
            "root": self.root,
            "snapshots": self.snapshots,
            "problems": [problem.to_json() for problem in self.problems],
            "notes": list(self.notes),
            "proven": list(self.proven),
            "not_proven": list(NOT_PROVEN),
        }


@dataclass(frozen=True)
class SnapshotAudit:
    """Outcome for one snapshot: "ok", "different", "missing" or "data not retained"."""

    snapshot_id: str
    dataset: str
    partition: str | None
    rows: int
    outcome: str
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class AuditReport:
    """What ``audit`` found: the log's report and one outcome for each snapshot."""

    log: VerifyReport
    snapshots: tuple[SnapshotAudit, ...] = ()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything that is wrong."""
        return (*self.log.problems, *(p for item in self.snapshots for p in item.problems))

    @property
    def is_ok(self) -> bool:
        """Whether nothing is wrong ("data not retained" is no failure, and no pass either)."""
        return not self.problems

    def count(self, outcome: str) -> int:
        """Number of snapshots with an outcome."""
        return sum(item.outcome == outcome for item in self.snapshots)

    def to_json(self) -> dict[str, object]:
        """The report for machines."""
        return {
            "is_ok": self.is_ok,
            "log": self.log.to_json(),
            "snapshots": [
                {
                    "snapshot_id": item.snapshot_id,
                    "dataset": item.dataset,
                    "partition": item.partition,
                    "rows": item.rows,
                    "outcome": item.outcome,
                    "problems": [problem.to_json() for problem in item.problems],
                }
                for item in self.snapshots
            ],
            "problems": [problem.to_json() for problem in self.problems],
            "not_proven": list(NOT_PROVEN),
        }


def verify_home(store: SnapshotStore) -> VerifyReport:
    """Check the log of a home, and that every snapshot is in it as it was committed.

    Args:
        store: the home's store.

    Returns:
        The report; an empty home is no problem.
    """
    try:
        reader = store.reader()
    except LogMissingError:
        return _report_missing_log(store)
    try:
        checkpoint = reader.verify_files()
    except LogMissingError:
        return _report_missing_log(store)
    except AnchorError as error:
        return VerifyReport(reader.verifier.name, 0, None, 0, (Problem(str(error)),))
    if not store.vault.folder.exists():
        note = "this copy has no vault: only the public files of the log were checked"
        root = checkpoint.root.hex()
        return VerifyReport(checkpoint.origin, checkpoint.size, root, 0, notes=(note,))
    snapshots = store.snapshots()
    problems = [
        *_check_signed_state(store, reader),
        *_check_inclusion(store, reader, snapshots),
    ]
    notes = []
    if checkpoint.size > len(snapshots):
        others = checkpoint.size - len(snapshots)
        notes.append(f"{others} entries of the log are not in this home's private index")
    if not snapshots:
        notes.append("nothing is anchored yet")
    return VerifyReport(
        checkpoint.origin,
        checkpoint.size,
        checkpoint.root.hex(),
        len(snapshots),
        tuple(problems),
        tuple(notes),
    )


def _report_missing_log(store: SnapshotStore) -> VerifyReport:
    has_state = store.vault.state_path.exists()
    if not has_state and not store.snapshots():
        return VerifyReport(None, 0, None, 0, notes=("nothing is anchored yet",))
    message = (
        f"the log below {store.anchors} is gone although this home has signed one; restore "
        "anchors/ from a copy"
    )
    return VerifyReport(None, 0, None, 0, (Problem(message),))


def _check_signed_state(store: SnapshotStore, reader: LogReader) -> list[Problem]:
    state = read_bytes(store.vault.state_path)
    if state is None:
        return [Problem(f"{store.vault.state_path} is missing: nothing guards against a fork")]
    try:
        signed = type(reader.checkpoint()).open(state, reader.verifier)
    except NoteError as error:
        return [Problem(f"{store.vault.state_path}: {error}")]
    published = reader.checkpoint()
    if (signed.size, signed.root) == (published.size, published.root):
        return []
    return [
        Problem(
            f"the published checkpoint (size {published.size}) is not the last one signed (size "
            f"{signed.size}): the log's files were replaced, or a commit was cut short; the next "
            "commit publishes it if its tiles are there"
        )
    ]


def _check_inclusion(
    store: SnapshotStore, reader: LogReader, snapshots: Sequence[Snapshot]
) -> list[Problem]:
    checkpoint, tree = reader.checkpoint(), reader.tree()
    problems = []
    for snapshot in snapshots:
        try:
            entry = store.records.find(snapshot.snapshot_id)[1]
            path = inclusion_proof(tree, snapshot.log_index, checkpoint.size)
            verify_inclusion(
                leaf_hash(entry), snapshot.log_index, checkpoint.size, path, checkpoint.root
            )
        except AnchorError as error:
            where = f"snapshot {snapshot.snapshot_id} of {snapshot.dataset}"
            problems.append(Problem(f"{where} is not in the log as it was committed: {error}"))
    return problems


def audit_home(
    store: SnapshotStore, progress: Callable[[str, int, int], None] | None = None
) -> AuditReport:
    """Check the log and re-hash the data of every snapshot that is retained.

    Args:
        store: the home's store.
        progress: called with dataset, number from 1, and how many there are.

    Returns:
        The report.
    """
    log = verify_home(store)
    if log.origin is None:
        return AuditReport(log)
    snapshots = store.snapshots()
    newest = {(item.dataset, item.partition): item.snapshot_id for item in snapshots}
    audited = []
    for number, snapshot in enumerate(snapshots, 1):
        if progress is not None:
            progress(snapshot.dataset, number, len(snapshots))
        is_newest = newest[snapshot.dataset, snapshot.partition] == snapshot.snapshot_id
        audited.append(_audit_snapshot(store, snapshot, is_newest=is_newest))
    return AuditReport(log, tuple(audited))


def reverify(store: SnapshotStore, snapshot_id: str) -> None:
    """Recompute one snapshot's root from its data; see ``SnapshotStore.reverify``."""
    snapshot, _ = store.records.find(snapshot_id)
    newest = store.current(snapshot.dataset, snapshot.partition)
    is_newest = newest is not None and newest.snapshot_id == snapshot_id
    found = _check_data(store, snapshot, is_newest=is_newest)
    if found.total:
        raise DataMismatchError(found.differences, found.total)


def _audit_snapshot(store: SnapshotStore, snapshot: Snapshot, *, is_newest: bool) -> SnapshotAudit:
    problems: tuple[Problem, ...] = ()
    try:
        found = _check_data(store, snapshot, is_newest=is_newest)
        outcome = "different" if found.total else "ok"
        problems = tuple(Problem(str(item), item) for item in found.differences)
        if found.total > len(found.differences):
            more = found.total - len(found.differences)
            problems += (Problem(f"dataset {snapshot.dataset}: {more} more differences"),)
    except _NotRetainedError:
        outcome = "data not retained"
    except DataMissingError as error:
        outcome, problems = "missing", (Problem(f"dataset {snapshot.dataset}: {error}"),)
    except AnchorError as error:
        outcome = "different"
        where = f"dataset {snapshot.dataset}, snapshot {snapshot.snapshot_id}"
        problems = (Problem(f"{where}: {error}"),)
    return SnapshotAudit(
        snapshot.snapshot_id, snapshot.dataset, snapshot.partition, snapshot.rows, outcome, problems
    )


class _NotRetainedError(DataMissingError):
    """The data was replaced by newer data, as its retention allows."""


def _check_data(store: SnapshotStore, snapshot: Snapshot, *, is_newest: bool) -> Comparison:
    record = store.records.read(snapshot.snapshot_id)
    if snapshot.manifest.get("commitment") == FILE_SET:
        return _check_files(store, snapshot, record)
    parts = _find_parts(store, snapshot, record, is_newest=is_newest)
    found = _check_table(store, snapshot, record, parts)
    if not found.total and parts is record.parts and record.retained:
        damaged = [part for part in record.retained if not _is_as_kept(store, part)]
        lost = [_file_difference(snapshot, part.path) for part in damaged]
        return Comparison(tuple(lost[:_LISTED]), len(lost))
    return found


def _find_parts(
    store: SnapshotStore, snapshot: Snapshot, record: Record, *, is_newest: bool
) -> tuple[Part, ...]:
    """Where a snapshot's data is: where it was written, or the copy that was kept of it."""
    in_place = [(store.home / part.path).is_file() for part in record.parts]
    if record.retain == "always" or is_newest:
        if all(in_place):
            return record.parts
        missing = record.parts[in_place.index(False)].path
        raise DataMissingError(f"{missing} is missing; restore it from a backup")
    if record.retained:
        return record.retained
    if all(in_place) and all(_is_as_kept(store, part) for part in record.parts):
        return record.parts
    raise _NotRetainedError(
        f"the data of snapshot {snapshot.snapshot_id} of {snapshot.dataset} is not retained: it "
        "was replaced by newer data and nothing was built from it"
    )


def _is_as_kept(store: SnapshotStore, part: Part) -> bool:
    path = store.home / part.path
    return path.is_file() and store.part_digest(path) == part.digest


def _file_difference(snapshot: Snapshot, path: str) -> Difference:
    return Difference(snapshot.dataset, snapshot.snapshot_id, "file", file=path)


def _check_files(store: SnapshotStore, snapshot: Snapshot, record: Record) -> Comparison:
    committed = read_manifest_list(snapshot.manifest, "files")
    if file_tree(committed).root().hex() != snapshot.root:
        raise SnapshotError("the manifest's files do not lead to its root")
    folder = store.home / record.root_folder
    differences = []
    for item in committed:
        path = folder / str(item["path"])
        found = describe_files(snapshot.dataset, [path], folder)[0]
        if found != item:
            shown = path.relative_to(store.home).as_posix()
            differences.append(
                Difference(
                    snapshot.dataset,
                    snapshot.snapshot_id,
                    "file",
                    file=shown,
                    expected=str(item["sha256"]),
                    found=str(found["sha256"]),
                )
            )
    return Comparison(tuple(differences[:_LISTED]), len(differences))


@dataclass(frozen=True)
class _Table:
    store: SnapshotStore
    snapshot: Snapshot
    record: Record
    source: TableSource = field(repr=False)


def _check_table(
    store: SnapshotStore, snapshot: Snapshot, record: Record, parts: Sequence[Part]
) -> Comparison:
    files: list[Path] = [store.home / part.path for part in parts]
    source = TableSource(snapshot.dataset, files)
    schema = [
        Field(str(item["name"]), str(item["type"]))
        for item in read_manifest_list(snapshot.manifest, "schema")
    ]
    if tuple(schema) != source.fields:
        return Comparison((_schema_difference(snapshot, schema, source.fields),), 1)
    rows = store.records.rows(snapshot.snapshot_id)
    engine = store.engine(source.rows * len(source.fields))
    if engine.tree(rows.leaves).root().hex() != snapshot.root:
        raise SnapshotError(
            "the private leaf hashes do not lead to the root in the log: the record in the vault "
            "is damaged; restore it from a backup"
        )
    opening = store.opening(snapshot, record)

    def rehash(ranks: array[int], slots: int) -> tuple[bytes, bytes]:
        hashed = store.hash_with(source, opening, ranks, create=False, slots=slots)
        return bytes(hashed.leaves), bytes(hashed.prefixes)

    return compare_rows(snapshot, record, source, rows, engine, opening.key, rehash)


def _schema_difference(
    snapshot: Snapshot, committed: Sequence[Field], found: Sequence[Field]
) -> Difference:
    odd = sorted({item.name for item in set(committed).symmetric_difference(found)})
    return Difference(
        snapshot.dataset, snapshot.snapshot_id, "schema", column=", ".join(odd) or "column order"
    )
