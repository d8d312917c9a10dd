"""Checking a home: the log from its files, and the data against what was committed.

What belongs here: verify (log, inclusion, extensions), audit and reverify (re-hash the data and
name what differs). What does not: committing (``commit``), comparing and naming rows (``compare``,
``differences``), reports (``reports``). Checks trust the public log first: a private record that
disagrees with the log is itself reported.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ledger_anchor.checking.compare import LISTED, Committed, compare
from ledger_anchor.checking.differences import Comparison, Namer
from ledger_anchor.checking.reports import AuditReport, Problem, SnapshotAudit, VerifyReport
from ledger_anchor.claims import NOT_PROVEN
from ledger_anchor.erasing.journal import is_erasing
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
from ledger_anchor.manifest import FILE_SET, read_segments
from ledger_anchor.notes.checkpoint import Checkpoint
from ledger_anchor.row_commit.columns import Field, TableSource
from ledger_anchor.row_commit.order_index import Buffer
from ledger_anchor.row_commit.row_files import RowFiles
from ledger_anchor.row_commit.row_tree import NodesWriter
from ledger_anchor.snapshots.commit import CONTENT
from ledger_anchor.snapshots.file_sets import describe_files, file_tree, read_manifest_list
from ledger_anchor.snapshots.layout import (
    Extent,
    add_leaves,
    extents_in_place,
    extents_kept,
    fields_of,
    row_files,
    row_tree,
    stored_nodes,
)
from ledger_anchor.snapshots.records import Record, Snapshot
from ledger_anchor.snapshots.salts import KnownKeys, Opening, salt_plan
from ledger_anchor.snapshots.tombstones import check_erasures, erased_numbers
from ledger_anchor.store import SnapshotStore
from ledger_anchor.tlog.log import LogReader
from ledger_anchor.tree import (
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    verify_consistency,
    verify_inclusion,
)

__all__ = [
    "NOT_PROVEN",
    "AuditReport",
    "Problem",
    "SnapshotAudit",
    "VerifyReport",
    "audit_home",
    "reverify",
    "verify_home",
]

_DAMAGED = "the record in the vault is damaged; restore it from a backup"


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
    extended = [item for item in snapshots if "segments" in item.manifest]
    problems = [
        *_check_erasing(store),
        *_check_signed_state(store, reader),
        *_check_inclusion(store, reader, snapshots),
        *_check_extensions(store, extended),
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
        len(extended),
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
        signed = Checkpoint.open(state, reader.verifier)
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


def _check_erasing(store: SnapshotStore) -> list[Problem]:
    if not is_erasing(store):
        return []
    return [Problem("an erasure was cut short: run it again, or the next commit finishes it")]


def _check_extensions(store: SnapshotStore, snapshots: Sequence[Snapshot]) -> list[Problem]:
    """Prove of each snapshot that extends another that its first rows are the other's."""
    problems = []
    for snapshot in snapshots:
        try:
            prove_extension(store, snapshot)
        except AnchorError as error:
            where = f"snapshot {snapshot.snapshot_id} of {snapshot.dataset}"
            problems.append(Problem(f"{where} does not extend the one before: {error}"))
    return problems


def prove_extension(store: SnapshotStore, snapshot: Snapshot) -> list[bytes]:
    """A consistency proof between the trees of a snapshot and the one it extends, verified.

    Raises:
        SnapshotError: if the one before is not the one its manifest says.
        ProofError: if the rows before are not the first rows of this snapshot.
    """
    segments = read_segments(snapshot.manifest)
    before, _ = store.records.find(segments[-2].snapshot_id)
    if read_segments(before.manifest) != segments[:-1] or before.dataset != snapshot.dataset:
        raise SnapshotError("its manifest names other segments than the snapshot before")
    tree = row_tree(store.records, row_files(store.records, snapshot))
    proof = consistency_proof(tree, before.rows, snapshot.rows)
    roots = bytes.fromhex(before.root), bytes.fromhex(snapshot.root)
    verify_consistency(before.rows, snapshot.rows, proof, *roots)
    return proof


def audit_home(
    store: SnapshotStore, progress: Callable[[str, int, int], None] | None = None
) -> AuditReport:
    """Check the log and re-hash the data of every snapshot that is retained.

    Rows that several snapshots share are hashed once.

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
    checker = _Checker(store)
    audited = []
    for number, snapshot in enumerate(snapshots, 1):
        if progress is not None:
            progress(snapshot.dataset, number, len(snapshots))
        is_newest = newest[snapshot.dataset, snapshot.partition] == snapshot.snapshot_id
        audited.append(_audit_snapshot(checker, snapshot, is_newest=is_newest))
    return AuditReport(log, tuple(audited))


def reverify(store: SnapshotStore, snapshot_id: str) -> None:
    """Recompute one snapshot's root from its data; see ``SnapshotStore.reverify``."""
    snapshot, _ = store.records.find(snapshot_id)
    newest = store.current(snapshot.dataset, snapshot.partition)
    is_newest = newest is not None and newest.snapshot_id == snapshot_id
    found = _Checker(store).check(snapshot, is_newest=is_newest)
    if found.total:
        raise DataMismatchError(found.differences, found.total)


def _audit_snapshot(checker: _Checker, snapshot: Snapshot, *, is_newest: bool) -> SnapshotAudit:
    problems: tuple[Problem, ...] = ()
    erased = 0
    try:
        found = checker.check(snapshot, is_newest=is_newest)
        outcome, erased = "different" if found.total else "ok", found.erased
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
        snapshot.snapshot_id,
        snapshot.dataset,
        snapshot.partition,
        snapshot.rows,
        outcome,
        problems,
        erased,
    )


class _NotRetainedError(DataMissingError):
    """The data was replaced by newer data, as its retention allows."""


class _Checker:
    """Checks snapshots one after another; what they share is checked once."""

    def __init__(self, store: SnapshotStore) -> None:
        self._store = store
        self._is_verified: set[str] = set()
        self._compared: dict[tuple[tuple[str, ...], ...], Comparison] = {}

    def check(self, snapshot: Snapshot, *, is_newest: bool) -> Comparison:
        """Compare a snapshot's data with what was committed.

        Raises:
            DataMissingError: if the data is not there.
            SnapshotError: if the private record is damaged.
        """
        record = self._store.records.read(snapshot.snapshot_id)
        if snapshot.manifest.get("commitment") == FILE_SET:
            return _check_files(self._store, snapshot, record)
        in_place = extents_in_place(self._store.records, snapshot)
        extents = self._find(snapshot, record, in_place, is_newest=is_newest)
        files = row_files(self._store.records, snapshot)
        self._check_root(snapshot, files)
        found = [self._check_extent(snapshot, record, extent, files) for extent in extents]
        differences = [item for one in found for item in one.differences]
        total = sum(one.total for one in found)
        if not total and extents is in_place:
            lost = [part for part in record.retained if not self._store.is_as_kept(part)]
            differences = [_file_difference(snapshot, part.path) for part in lost]
            total = len(lost)
        erased = sum(one.erased for one in found)
        return Comparison(tuple(differences[:LISTED]), total, erased)

    def _find(
        self, snapshot: Snapshot, record: Record, in_place: tuple[Extent, ...], *, is_newest: bool
    ) -> tuple[Extent, ...]:
        """Where the data is: where it was written, or the copy that was kept of it."""
        store = self._store
        parts = [part for extent in in_place for part in extent.parts]
        missing = [part for part in parts if not (store.home / part.path).is_file()]
        if record.retain == "always" or is_newest:
            if missing:
                raise DataMissingError(f"{missing[0].path} is missing; restore it from a backup")
            return in_place
        if record.retained:
            return extents_kept(record, in_place)
        if not missing and all(store.is_as_kept(part) for part in parts):
            return in_place
        raise _NotRetainedError(
            f"the data of snapshot {snapshot.snapshot_id} of {snapshot.dataset} is not retained: "
            "it was replaced by newer data and nothing was built from it"
        )

    def _check_root(self, snapshot: Snapshot, files: Sequence[RowFiles]) -> None:
        """Check that the private leaves lead to the roots in the log, segment by segment."""
        records = self._store.records
        engine = self._store.engine(snapshot.rows)
        for number, file in enumerate(files):
            identity = file.segment.snapshot_id
            if identity in self._is_verified:
                continue
            before = row_tree(records, files[:number]) if number else None
            stored = _Stream(stored_nodes(records, file.segment))
            writer = NodesWriter(stored.compare, engine.hash_pairs, before)
            add_leaves(writer, file.leaves)
            if writer.root().hex() != records.find(identity)[0].root:
                raise SnapshotError(
                    f"the private leaf hashes do not lead to the root in the log: {_DAMAGED}"
                )
            if not stored.is_same:
                raise SnapshotError(f"nodes.bin does not belong to the leaf hashes: {_DAMAGED}")
            self._is_verified.add(identity)

    def _check_extent(
        self,
        snapshot: Snapshot,
        record: Record,
        extent: Extent,
        files: Sequence[RowFiles],
    ) -> Comparison:
        """Compare the rows of some files; once, however many snapshots they belong to."""
        asked = (
            tuple(segment.snapshot_id for segment in extent.segments),
            tuple(part.path for part in extent.parts),
        )
        if asked not in self._compared:
            own = tuple(file for file in files if file.segment in extent.segments)
            self._compared[asked] = self._compare(snapshot, record, extent, own)
        found = self._compared[asked]
        identity = snapshot.snapshot_id
        named = tuple(replace(item, snapshot_id=identity) for item in found.differences)
        return replace(found, differences=named)

    def _compare(
        self, snapshot: Snapshot, record: Record, extent: Extent, files: tuple[RowFiles, ...]
    ) -> Comparison:
        store = self._store
        source = TableSource(snapshot.dataset, extent.files(store.home))
        if source.fields != fields_of(snapshot):
            return Comparison((_schema_difference(snapshot, source.fields),), 1)
        engine = store.engine(source.rows * len(source.fields))
        known = KnownKeys(store.vault, snapshot.domain)
        erased: set[int] = set()
        salts = []
        for file in files:
            identity = file.segment.snapshot_id
            erasures = store.records.erasures(identity)
            check_erasures(erasures, file)
            erased |= erased_numbers(erasures)
            key = store.records.key(identity)
            opening = Opening(identity, key, snapshot.domain, record.subject_column)
            salts.append(salt_plan(source, opening, engine, known.fetch_or(key)))
        first = read_segments(snapshot.manifest)[0].snapshot_id
        committed = Committed(
            files,
            tuple(salts),
            frozenset(erased),
            store.records.order_key(first),
            record.unique_key,
            store.derived(CONTENT),
        )
        findings = compare(source, engine, committed, extent.ranks)
        if findings.total:
            known.check()
        namer = Namer(
            snapshot.dataset,
            snapshot.snapshot_id,
            record.subject_column,
            extent,
            source,
            committed,
        )
        return Comparison(namer.name(findings), findings.total, len(erased))


class _Stream:
    """Kept nodes as they are stored, compared with the same as they are calculated."""

    def __init__(self, stored: Buffer | None) -> None:
        self._stored = stored
        self._at = 0
        self.is_same = True

    def compare(self, nodes: bytes) -> None:
        """The next nodes; older records have none to compare with."""
        if self._stored is not None:
            end = self._at + len(nodes)
            self.is_same = self.is_same and self._stored[self._at : end] == nodes
            self._at = end


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
    return Comparison(tuple(differences[:LISTED]), len(differences))


def _schema_difference(snapshot: Snapshot, found: Sequence[Field]) -> Difference:
    odd = {item.name for item in set(fields_of(snapshot)).symmetric_difference(found)}
    column = ", ".join(sorted(odd)) or "column order"
    return Difference(snapshot.dataset, snapshot.snapshot_id, "schema", column=column)
