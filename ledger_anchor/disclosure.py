"""Proof bundles: that a snapshot is in the log, and that a row with chosen cells is in a snapshot.

What belongs here: putting bundles together from the home. What does not: their format and their
verification (``proof``). A row bundle discloses the named columns and nothing of the others.
"""

from __future__ import annotations

import bisect
import hashlib
import hmac
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ledger_anchor.columns import Batch, Field, TableSource, cbor_values
from ledger_anchor.differences import show
from ledger_anchor.errors import AnchorError, DataMissingError, SnapshotError, TableError
from ledger_anchor.log import LogReader
from ledger_anchor.manifest import ROW_COMMIT
from ledger_anchor.proof import Cell, LogProof, row_extra
from ledger_anchor.records import Record, RowRecord, Snapshot
from ledger_anchor.rows import ORDER_PURPOSE, SALT_SIZE, PlainEngine, salt_message
from ledger_anchor.snapshots import Opening, SnapshotStore
from ledger_anchor.tree import HASH_SIZE, inclusion_proof, leaf_hash
from ledger_anchor.vault import derive


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
    if set(key) != set(record.unique_key):
        raise TableError(f"{snapshot.dataset}: the unique key is {', '.join(record.unique_key)}")
    rows = store.records.rows(snapshot_id)
    number, cells = _find_committed(store, snapshot, record, rows, key)
    unknown = set(disclose) - {cell.name for cell in cells}
    if unknown:
        raise TableError(f"{snapshot.dataset}: there is no column {', '.join(sorted(unknown))}")
    shown = [cell if cell.name in disclose else Cell(cell.name, cell.digest) for cell in cells]
    tree = store.engine(snapshot.rows * len(cells)).tree(rows.leaves)
    path = inclusion_proof(tree, number, snapshot.rows)
    extra = row_extra(snapshot.manifest, number, path, shown)
    return _with_extra(store.reader(), snapshot.log_index, extra)


def _find_committed(
    store: SnapshotStore,
    snapshot: Snapshot,
    record: Record,
    rows: RowRecord,
    key: Mapping[str, str],
) -> tuple[int, list[Cell]]:
    """Row number and opened cells of the row, from the data in place or the copy that was kept."""
    opening = store.opening(snapshot, record)
    problem: AnchorError | None = None
    for parts in filter(None, (record.parts, record.retained)):
        try:
            source = TableSource(snapshot.dataset, [store.home / part.path for part in parts])
            values = _find_row(source, key)
        except (DataMissingError, TableError) as error:
            problem = problem or error
            continue
        number = _row_number(source, opening.key, record.unique_key, values, rows)
        cells = _open_cells(store, opening, source, values, number)
        leaf = leaf_hash(b"".join(cell.digest for cell in cells))
        if leaf == rows.leaves[number * HASH_SIZE : (number + 1) * HASH_SIZE]:
            return number, cells
        problem = SnapshotError(
            f"the row is not the one that was committed in snapshot {snapshot.snapshot_id}; "
            "run 'ledger-anchor audit' to see what differs"
        )
    raise problem or SnapshotError(f"snapshot {snapshot.snapshot_id} has no parts")


def _row_number(
    source: TableSource,
    key: bytes,
    unique_key: Sequence[str],
    values: Mapping[str, Any],
    rows: RowRecord,
) -> int:
    """Committed number of a row, from its unique key."""
    fields = source.require(unique_key, "the unique key")
    columns = [(item, values[item.name]) for item in fields]
    digest = PlainEngine().keyed_rows(derive(key, ORDER_PURPOSE), columns, 1)[:8]
    numbers = range(len(rows.sorted_keys) // 8)
    return bisect.bisect_left(
        numbers, digest, key=lambda number: rows.sorted_keys[8 * number : 8 * number + 8]
    )


def _with_extra(reader: LogReader, index: int, extra: bytes) -> bytes:
    path = inclusion_proof(reader.tree(), index, reader.size)
    return LogProof(index, tuple(path), reader.checkpoint_note().decode(), extra).format()


def _find_row(source: TableSource, key: Mapping[str, str]) -> dict[str, Any]:
    """Values of the row with this unique key, as arrays of one."""
    fields = source.require(list(key), "the key")
    for batch in source.batches(source.fields):
        for at in _candidates(batch, fields, key):
            shown = (show(batch.columns[item.name][at].as_py(), item) for item in fields)
            if all(text == key[item.name] for text, item in zip(shown, fields, strict=True)):
                return {name: values.slice(at, 1) for name, values in batch.columns.items()}
    raise TableError(f"{source.dataset}: no row has this key; write dates and times as audit does")


def _candidates(batch: Batch, fields: Sequence[Field], key: Mapping[str, str]) -> Iterable[int]:
    """Rows that may have this key: text is compared by Arrow, the rest is left to the caller."""
    import pyarrow as pa  # noqa: PLC0415 - only reading Parquet needs it
    import pyarrow.compute as pc  # noqa: PLC0415

    text = next((item for item in fields if item.kind == "text"), None)
    if text is None:
        return range(batch.rows)
    wanted = pa.scalar(key[text.name].encode(), pa.large_binary())
    mask = pc.equal(batch.columns[text.name], wanted).fill_null(False)
    return [int(at) for at in pc.indices_nonzero(mask).to_pylist()]


def _open_cells(
    store: SnapshotStore,
    opening: Opening,
    source: TableSource,
    values: Mapping[str, Any],
    number: int,
) -> list[Cell]:
    key = opening.key
    if opening.subject_column is not None:
        subject = values[opening.subject_column][0].as_py()
        if subject is not None:
            text = subject.decode() if isinstance(subject, bytes) else str(subject)
            key = store.vault.known_subject_keys(opening.domain, [text])[0] or key
    identity = uuid.UUID(opening.snapshot_id).bytes
    return [
        Cell.opened(item.name, _salt(key, identity, number, column), _cbor(values, item))
        for column, item in enumerate(source.fields)
    ]


def _salt(key: bytes, identity: bytes, number: int, column: int) -> bytes:
    message = salt_message(identity, number, column)
    return hmac.new(key, message, hashlib.sha256).digest()[:SALT_SIZE]


def _cbor(values: Mapping[str, Any], item: Field) -> bytes:
    return cbor_values(values[item.name], item)[0]
