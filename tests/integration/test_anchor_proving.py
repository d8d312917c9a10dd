"""Proving rows: keys of every type, large row groups, and records that do not fit."""

from __future__ import annotations

import datetime as dt
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ledger_anchor import SnapshotStore, TableSpec
from ledger_anchor.checking.differences import show
from ledger_anchor.errors import SnapshotError, StorageError, TableError
from ledger_anchor.row_commit import row_reader
from ledger_anchor.row_commit.columns import TableSource
from ledger_anchor.row_commit.row_reader import RowReader
from ledger_anchor.snapshots.disclosure import RowProver, prove_row, prove_snapshot
from ledger_anchor.tlog.proof import verify_proof

COLUMNS = {
    "text": pa.array(["null", "x", "", "न", None, "5"]),
    "int": pa.array([0, -1, 2**62, None, 7, 24], pa.int64()),
    "unsigned": pa.array([2**64 - 1, 0, 1, 2, 3, None], pa.uint64()),
    "decimal": pa.array([Decimal("1.50"), Decimal("-0.01"), None, *map(Decimal, (0, 1, 99))],
                        pa.decimal128(9, 2)),
    "float": pa.array([0.0, 1.5, -2.25, float("nan"), None, 1e300]),
    "date": pa.array([dt.date(1969, 12, 31), None, *(dt.date(2024, 1, n) for n in range(1, 5))]),
    "timestamp": pa.array([dt.datetime(2024, 1, 1, 0, 0, n, n, dt.UTC) for n in range(5)] + [None]),
    "blob": pa.array([b"", b"\x00", b"null", None, b"\xff\x01", b"a"]),
}  # fmt: skip


@pytest.fixture
def typed(home: Path) -> tuple[SnapshotStore, Path]:
    path = home / "lake" / "t.parquet"
    path.parent.mkdir()
    pq.write_table(pa.table({**COLUMNS, "n": list(range(6))}), path)
    return SnapshotStore(home, use_numba=False), path


@pytest.mark.parametrize("column", sorted(COLUMNS))
def test_a_row_is_found_by_its_key_as_audit_writes_it_whatever_its_type(
    typed: tuple[SnapshotStore, Path], column: str
) -> None:
    store, path = typed
    snapshot = store.commit_table(TableSpec(column, "d", [path], [column]))
    source = TableSource("t", [path])
    item = next(one for one in source.fields if one.name == column)
    (batch,) = source.batches([item])
    with RowProver(store, snapshot.snapshot_id) as prover:
        for number, value in enumerate(batch.columns[column].to_pylist()):
            data = prover.prove({column: show(value, item)}, ["n"])
            row = verify_proof(data, store.reader().verifier).row
            assert row is not None
            # The text "null" and no value look alike: the row without a value comes first.
            expected = {0: 4}.get(number, number) if column == "text" else number
            assert row.values == {"n": expected}
        for wrong in ("nothing of this", "2024-13-45", "1e999999", "٣", "0_7"):
            with pytest.raises(TableError, match="no row has this key"):
                prover.prove({column: wrong}, [])


def test_keys_and_columns_that_are_not_there_are_named(typed: tuple[SnapshotStore, Path]) -> None:
    store, path = typed
    snapshot = store.commit_table(TableSpec("t", "d", [path], ["n"]))
    with pytest.raises(TableError, match="the unique key is n"):
        prove_row(store, snapshot.snapshot_id, {"int": "7"}, [])
    with pytest.raises(TableError, match="there is no column wage"):
        prove_row(store, snapshot.snapshot_id, {"n": "1"}, ["wage"])
    for prove in (prove_snapshot, RowProver):
        with pytest.raises(SnapshotError, match="knows no snapshot"):
            prove(store, "unknown")


def test_rows_that_moved_in_their_file_are_found_and_changed_ones_are_not_proven(
    typed: tuple[SnapshotStore, Path],
) -> None:
    store, path = typed
    snapshot = store.commit_table(TableSpec("t", "d", [path], ["n"]))
    table = pq.read_table(path)
    pq.write_table(table.take([3, 1, 5, 0, 2, 4]), path)
    for number in range(6):
        data = prove_row(store, snapshot.snapshot_id, {"n": str(number)}, ["n"])
        assert verify_proof(data, store.reader().verifier).row is not None
    changed = table.set_column(0, "text", pa.array(["a"] * 6))
    pq.write_table(changed, path)
    with pytest.raises(SnapshotError, match="not the one that was committed"):
        prove_row(store, snapshot.snapshot_id, {"n": "1"}, [])
    pq.write_table(table.drop_columns(["int"]), path)
    with pytest.raises(TableError, match="other columns"):
        prove_row(store, snapshot.snapshot_id, {"n": "1"}, [])
    path.unlink()
    with pytest.raises(SnapshotError, match="missing"):
        prove_row(store, snapshot.snapshot_id, {"n": "1"}, [])


def test_row_groups_are_decoded_as_far_as_needed_and_forgotten_beyond_the_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_reader, "_BATCH_ROWS", 10)
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"n": list(range(100))}), path, row_group_size=40)
    fields = TableSource("t", [path]).fields
    from ledger_anchor import cbor

    for bound in (0, 1 << 20):
        reader = RowReader(fields, bound)
        for position in (99, 0, 0, 0, 57, 12, 39, 40, 11):
            assert reader.row(path, position) == [cbor.encode_int(position)]
        with pytest.raises(TableError, match="has no row 100"):
            reader.row(path, 100)
        assert len(reader._groups) == (0 if bound == 0 else 3)
        reader.close()


def test_a_copy_without_its_vault_and_a_damaged_key_store_say_so(
    typed: tuple[SnapshotStore, Path], tmp_path: Path
) -> None:
    store, path = typed
    snapshot = store.commit_table(TableSpec("t", "d", [path], ["n"], "text"))
    shutil.copytree(store.home / "anchors", tmp_path / "copy" / "anchors")
    with pytest.raises(SnapshotError, match="this copy of the home has no vault"):
        prove_snapshot(SnapshotStore(tmp_path / "copy"), snapshot.snapshot_id)
    (store.vault.folder / "subjects.sqlite").write_bytes(b"not a database at all" * 99)
    asked: Any = (snapshot.snapshot_id, {"n": "1"}, [])
    with pytest.raises(StorageError, match=r"subjects\.sqlite: file is not a database"):
        prove_row(store, *asked)
    (store.vault.folder / "subjects.sqlite").unlink()
    with pytest.raises(SnapshotError, match="not the one that was committed"):
        prove_row(store, *asked)
