"""Proof bundles: that a snapshot is in the log, and that a row with chosen cells is in a snapshot.

What belongs here: putting bundles together from the home. What does not: their format and their
verification (``proof``). A row bundle discloses the named columns and nothing of the others.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from ledger_anchor import cbor
from ledger_anchor.errors import (
    AnchorError,
    DataMissingError,
    ProofError,
    RowErasedError,
    SnapshotError,
    TableError,
)
from ledger_anchor.manifest import ROW_COMMIT, Segment, canonical_json, read_segments
from ledger_anchor.row_commit.columns import TableSource
from ledger_anchor.row_commit.order_index import HEAD_SIZE
from ledger_anchor.row_commit.row_reader import RowReader, encoded_keys
from ledger_anchor.row_commit.row_tree import RowTree
from ledger_anchor.row_commit.rows import SALT_SIZE, key_digests, salt_message
from ledger_anchor.snapshots.layout import (
    Extent,
    extents_in_place,
    extents_kept,
    fields_of,
    order_index,
    row_files,
    row_tree,
)
from ledger_anchor.store import SnapshotStore
from ledger_anchor.tlog.proof import Cell, LogProof, row_extra
from ledger_anchor.tree import HASH_SIZE, inclusion_proof, leaf_hash, verify_inclusion

_KEPT_NODES = 1 << 16
_CELL_HEAD = cbor.head(4, 3) + cbor.head(2, SALT_SIZE)  # an array of three, the first a salt


def prove_snapshot(store: SnapshotStore, snapshot_id: str) -> bytes:
    """A ``.tlog-proof`` that a snapshot is in the log; the manifest rides along.

    Args:
        store: the home's store.
        snapshot_id: the snapshot.

    Returns:
        The file's bytes.

    Raises:
        SnapshotError: if the home does not know it.
        AnchorError: if the log's files do not fit.
    """
    return store.reader().proof(store.records.locate(snapshot_id)[1])


def prove_row(
    store: SnapshotStore, snapshot_id: str, key: Mapping[str, str], disclose: Sequence[str]
) -> bytes:
    """A ``.tlog-proof`` that a row is in a snapshot, with the chosen cells opened.

    For many rows of one snapshot, open a ``RowProver`` once.

    Args:
        store: the home's store.
        snapshot_id: a table's snapshot whose data is retained.
        key: unique-key columns of the row, values as text.
        disclose: columns to open; the others stay digests.

    Returns:
        The file's bytes.

    Raises:
        SnapshotError: if the snapshot is unknown or the row is not as committed.
        RowErasedError: if the row was erased, or cannot be told from one that was.
        TableError: if a column is unknown or no row has this key.
    """
    with RowProver(store, snapshot_id) as prover:
        return prover.prove(key, disclose)


class _KeptNodes:
    """A tree that remembers nodes it was asked for: paths share most of their upper ones."""

    def __init__(self, tree: RowTree) -> None:
        self.size = tree.size
        self._tree = tree
        self._known: dict[tuple[int, int], bytes] = {}

    def node(self, level: int, index: int) -> bytes:
        """Hash of a complete subtree of 2**level leaves."""
        found = self._known.get((level, index))
        if found is None:
            found = self._tree.node(level, index)
            if len(self._known) < _KEPT_NODES:
                self._known[level, index] = found
        return found


class RowProver:
    """Makes proof bundles for rows of one snapshot, whose files it opens once.

    Nothing is read whole: a row is found in the order index, its place in the ranks, its values in
    one row group, its path in the kept nodes of the tree. Every bundle is checked before it is
    handed out.

    Args:
        store: the home's store.
        snapshot_id: a table's snapshot.

    Raises:
        SnapshotError: if the snapshot is unknown, holds no rows, or its private record is damaged.
    """

    def __init__(self, store: SnapshotStore, snapshot_id: str) -> None:
        self._store = store
        self.snapshot, self._entry = store.records.find(snapshot_id)
        if self.snapshot.manifest.get("commitment") != ROW_COMMIT:
            raise SnapshotError(f"snapshot {snapshot_id} holds files, not rows; use prove-snapshot")
        self._record = store.records.read(snapshot_id)
        self._fields = fields_of(self.snapshot)
        self._names = [cbor.encode_text(item.name) for item in self._fields]
        self._segments = read_segments(self.snapshot.manifest)
        self._files = row_files(store.records, self.snapshot)
        self._index = order_index(self._files)
        self._tree = _KeptNodes(row_tree(store.records, self._files))
        self._order_key = store.records.order_key(self._segments[0].snapshot_id)
        self._manifest = canonical_json(self.snapshot.manifest)
        self._subject_keys = store.vault.open_subjects()
        self._log = store.reader()
        self._reader = RowReader(self._fields)
        self._extents: tuple[tuple[Extent, ...], ...] = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        self._reader.close()
        self._subject_keys.close()

    def prove(self, key: Mapping[str, str], disclose: Sequence[str]) -> bytes:
        """A ``.tlog-proof`` of one row; see ``prove_row``."""
        unique_key = self._record.unique_key
        if set(key) != set(unique_key):
            raise TableError(f"{self.snapshot.dataset}: the unique key is {', '.join(unique_key)}")
        unknown = set(disclose) - {item.name for item in self._fields}
        if unknown:
            names = ", ".join(sorted(unknown))
            raise TableError(f"{self.snapshot.dataset}: there is no column {names}")
        number, cells = self._find(key)
        shown = [cell if cell.name in disclose else Cell(cell.name, cell.digest) for cell in cells]
        leaf = leaf_hash(b"".join(cell.digest for cell in cells))
        rows, root = self.snapshot.rows, bytes.fromhex(self.snapshot.root)
        try:
            path = inclusion_proof(self._tree, number, rows)
            verify_inclusion(leaf, number, rows, path, root)
        except ProofError as error:
            raise SnapshotError(
                f"the private record of snapshot {self.snapshot.snapshot_id} does not lead to the "
                f"root in the log ({error}); restore the vault from a backup"
            ) from error
        # The manifest is long and always the same: it is put where its place is kept free.
        extra = row_extra({}, number, path, shown).replace(b"{}", self._manifest, 1)
        return self._with_log(extra)

    def _with_log(self, extra: bytes) -> bytes:
        view, index = self._log.view(), self.snapshot.log_index
        path = inclusion_proof(view.tree, index, view.size)
        verify_inclusion(leaf_hash(self._entry), index, view.size, path, view.checkpoint.root)
        return LogProof(index, tuple(path), view.note.decode(), extra).format()

    # -- finding the row ------------------------------------------------------------------------

    def _find(self, key: Mapping[str, str]) -> tuple[int, list[Cell]]:
        """Number and opened cells of a row, from the data in place or the copy that was kept."""
        by_name = {item.name: item for item in self._fields}
        fields = [by_name[name] for name in self._record.unique_key]
        problem: AnchorError | None = None
        for message in encoded_keys(fields, key):
            digest = hmac.digest(self._order_key, message, "sha256")
            for number in self._index.find(digest[:HEAD_SIZE]):
                try:
                    return number, self._committed_cells(number, digest)
                except (DataMissingError, TableError, SnapshotError) as error:
                    problem = problem or error
        raise problem or self._not_found(key)

    def _not_found(self, key: Mapping[str, str]) -> AnchorError:
        dataset = self.snapshot.dataset
        subject = key.get(self._record.subject_column or "")
        if subject is not None and self._store.vault.erased(self.snapshot.domain, [subject]):
            return RowErasedError(
                f"{dataset}: the row was erased with its data subject; it can no longer be opened"
            )
        erased = sum(
            len(item.rows)
            for segment in self._segments
            for item in self._store.records.erasures(segment.snapshot_id)
        )
        if erased:
            return RowErasedError(
                f"{dataset}: no row has this key, unless it is one of the {erased} that were "
                "erased: of their keys nothing was kept"
            )
        return TableError(f"{dataset}: no row has this key; write dates and times as audit does")

    def _committed_cells(self, number: int, digest: bytes) -> list[Cell]:
        """Cells of a row whose leaf is the committed one."""
        place = next(
            at for at, item in enumerate(self._segments) if item.first <= number < item.end
        )
        leaf = self._files[place].leaf(number)
        for values in self._candidates(number, digest):
            cells = self._open(values, number, self._segments[place])
            if leaf_hash(b"".join(cell.digest for cell in cells)) == leaf:
                return cells
        raise SnapshotError(
            f"the row is not the one that was committed in snapshot {self.snapshot.snapshot_id}; "
            "run 'ledger-anchor audit' to see what differs"
        )

    def _candidates(self, number: int, digest: bytes) -> Iterator[list[bytes]]:
        """Values of the row, where it should stand and then where its key is found.

        Raises:
            DataMissingError, TableError: if the data cannot be read and there is no copy of it.
        """
        problem: AnchorError | None = None
        has_some = False
        for extent in self._extents_of(number):
            try:
                for file, position in self._places(extent, number, digest):
                    values = self._reader.row(file, position)
                    has_some = True
                    yield values
            except (DataMissingError, TableError) as error:
                problem = problem or error
        if problem is not None and not has_some:
            raise problem

    def _places(self, extent: Extent, number: int, digest: bytes) -> Iterator[tuple[Path, int]]:
        """File and row in it: by the ranks, which name one part, else by the key in all of them."""
        if extent.ranks is not None and len(extent.ranks) == extent.rows:
            position = extent.ranks.position_of(number)
            if position is not None:
                part, at = extent.place(position)
                file = self._store.home / part.path
                if self._reader.rows_in(file) == part.rows:
                    yield file, at
        source = TableSource(self.snapshot.dataset, extent.files(self._store.home))
        engine = self._store.engine(source.rows)
        unique_key = self._record.unique_key
        for first, digests in key_digests(source, engine, self._order_key, unique_key):
            at = digests.find(digest)
            if at >= 0 and at % HASH_SIZE == 0:
                file, row = source.place(first + at // HASH_SIZE)
                yield file, row - 1

    def _extents_of(self, number: int) -> list[Extent]:
        """Files that should hold a row, in place and then kept."""
        if not self._extents:
            in_place = extents_in_place(self._store.records, self.snapshot)
            kept = extents_kept(self._record, in_place) if self._record.retained else ()
            self._extents = (in_place, kept)
        return [
            extent
            for extents in self._extents
            for extent in extents
            if extent.segments[0].first <= number < extent.segments[-1].end
        ]

    # -- opening its cells ----------------------------------------------------------------------

    def _open(self, values: Sequence[bytes], number: int, segment: Segment) -> list[Cell]:
        key = self._key_of(values, segment)
        identity = uuid.UUID(segment.snapshot_id).bytes
        cells = []
        for column, (item, value) in enumerate(zip(self._fields, values, strict=True)):
            message = salt_message(identity, number, column)
            salt = hmac.digest(key, message, "sha256")[:SALT_SIZE]
            # As ``proof.cell_digest``, with the name encoded once.
            digest = hashlib.sha256(_CELL_HEAD + salt + value + self._names[column]).digest()
            cells.append(Cell(item.name, digest, salt, value))
        return cells

    def _key_of(self, values: Sequence[bytes], segment: Segment) -> bytes:
        """The key that salts a row: its subject's, else the snapshot's."""
        column = self._record.subject_column
        if column is not None:
            at = next(n for n, item in enumerate(self._fields) if item.name == column)
            subject = cbor.decode(values[at])
            if subject is not None:
                key = self._subject_keys.key(self.snapshot.domain, str(subject))
                if key is not None:
                    return key
        return self._store.records.key(segment.snapshot_id)
