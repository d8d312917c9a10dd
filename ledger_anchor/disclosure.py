"""Proof bundles: that a snapshot is in the log, and that a row with chosen cells is in a snapshot.

What belongs here: putting bundles together from the home. What does not: their format and their
verification (``proof``). A row bundle discloses the named columns and nothing of the others.
"""

from __future__ import annotations

import hashlib
import hmac
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from ledger_anchor.columns import Field, TableSource, cbor_values
from ledger_anchor.differences import show
from ledger_anchor.errors import SnapshotError, TableError
from ledger_anchor.log import LogReader
from ledger_anchor.manifest import ROW_COMMIT
from ledger_anchor.proof import Cell, LogProof, row_extra
from ledger_anchor.records import Snapshot
from ledger_anchor.rows import SALT_SIZE, salt_message
from ledger_anchor.snapshots import SnapshotStore
from ledger_anchor.tree import HASH_SIZE, inclusion_proof, leaf_hash


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
    snapshot, _ = store.records.find(snapshot_id)
    return store.reader().proof(snapshot.log_index)


def prove_row(
    store: SnapshotStore, snapshot_id: str, key: Mapping[str, str], disclose: Sequence[str]
) -> bytes:
    """A ``.tlog-proof`` that a row is in a snapshot, with the chosen cells opened.

    Args:
        store: the home's store.
        snapshot_id: a table's snapshot whose data is retained.
        key: unique-key columns of the row, values as text.
        disclose: columns to open; the others stay digests.

    Returns:
        The file's bytes.

    Raises:
        SnapshotError: if the snapshot is unknown or the row is not as committed.
        TableError: if a column is unknown or no row has this key.
    """
    snapshot, _ = store.records.find(snapshot_id)
    if snapshot.manifest.get("commitment") != ROW_COMMIT:
        raise SnapshotError(f"snapshot {snapshot_id} holds files, not rows; use prove-snapshot")
    record = store.records.read(snapshot_id)
    parts = record.retained or record.parts
    source = TableSource(snapshot.dataset, [store.home / part.path for part in parts])
    if set(key) != set(record.unique_key):
        raise TableError(f"{snapshot.dataset}: the unique key is {', '.join(record.unique_key)}")
    if disclose:
        source.require(disclose, "the disclosure")
    position, values = _find_row(source, key)
    rows = store.records.rows(snapshot_id)
    number = rows.ranks[position] if position < len(rows.ranks) else -1
    cells = _open_cells(store, snapshot, source, values, number, record.subject_column)
    leaf = leaf_hash(b"".join(cell.digest for cell in cells))
    if number < 0 or leaf != rows.leaves[number * HASH_SIZE : (number + 1) * HASH_SIZE]:
        raise SnapshotError(
            f"the row is not the one that was committed in snapshot {snapshot_id}; "
            "run 'ledger-anchor audit' to see what differs"
        )
    shown = [cell if cell.name in disclose else Cell(cell.name, cell.digest) for cell in cells]
    tree = store.engine(source.rows * len(source.fields)).tree(rows.leaves)
    path = inclusion_proof(tree, number, snapshot.rows)
    extra = row_extra(snapshot.manifest, number, path, shown)
    return _with_extra(store.reader(), snapshot.log_index, extra)


def _with_extra(reader: LogReader, index: int, extra: bytes) -> bytes:
    path = inclusion_proof(reader.tree(), index, reader.size)
    return LogProof(index, tuple(path), reader.checkpoint_note().decode(), extra).format()


def _find_row(source: TableSource, key: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    """Row in file order with this unique key, and its values as arrays of one."""
    fields = source.require(list(key), "the key")
    wanted = [key[item.name] for item in fields]
    for batch in source.batches(source.fields):
        columns = [(item, batch.columns[item.name]) for item in fields]
        for at in range(batch.rows):
            if all(
                show(values[at].as_py(), item) == text
                for (item, values), text in zip(columns, wanted, strict=True)
            ):
                row = {name: values.slice(at, 1) for name, values in batch.columns.items()}
                return batch.position + at, row
    raise TableError(f"{source.dataset}: no row has this key; a time is written as in audit")


def _open_cells(
    store: SnapshotStore,
    snapshot: Snapshot,
    source: TableSource,
    values: Mapping[str, Any],
    number: int,
    subject_column: str | None,
) -> list[Cell]:
    key = store.records.key(snapshot.snapshot_id)
    if subject_column is not None:
        subject = values[subject_column][0].as_py()
        if subject is not None:
            text = subject.decode() if isinstance(subject, bytes) else str(subject)
            key = store.vault.known_subject_keys(snapshot.domain, [text])[0] or key
    identity = uuid.UUID(snapshot.snapshot_id).bytes
    return [
        Cell.opened(item.name, _salt(key, identity, number, column), _cbor(values, item))
        for column, item in enumerate(source.fields)
    ]


def _salt(key: bytes, identity: bytes, number: int, column: int) -> bytes:
    message = salt_message(identity, max(number, 0), column)
    return hmac.new(key, message, hashlib.sha256).digest()[:SALT_SIZE]


def _cbor(values: Mapping[str, Any], item: Field) -> bytes:
    return cbor_values(values[item.name], item)[0]
