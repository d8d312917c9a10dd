"""A home's snapshots: committing, idempotence, auditing what changed, pins, several processes."""

from __future__ import annotations

import datetime as dt
import random
import shutil
import stat
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ledger_anchor import (
    AnchorError,
    DataMismatchError,
    DataMissingError,
    FileSetSpec,
    SnapshotStore,
    TableSpec,
    VerifierKey,
)
from ledger_anchor.errors import (
    DuplicateKeyError,
    LockError,
    LogMissingError,
    SnapshotError,
    SubjectKeyError,
    TableError,
)
from ledger_anchor.files import locked
from ledger_anchor.snapshots.disclosure import prove_row
from ledger_anchor.tlog.proof import verify_proof

ROWS = 60


def wages(rows: int = ROWS, start: int = 0) -> dict[str, list[Any]]:
    source = random.Random(7 + start)
    numbers = range(start, start + rows)
    return {
        "payment_id": [f"payment-{number}" for number in numbers],
        "worker_id_hash": [f"worker-{source.randrange(12)}" for _ in numbers],
        "wage_paise": [source.randrange(10**6) for _ in numbers],
        "hours": [None if number % 9 == 0 else source.random() for number in numbers],
        "rate": [Decimal(source.randrange(10**4)).scaleb(-2) for _ in numbers],
        "paid_on": [dt.date(2024, 1, 1) + dt.timedelta(number % 300) for number in numbers],
        "posted_at": [dt.datetime(2024, 1, 1, 0, number % 60, tzinfo=dt.UTC) for number in numbers],
        "is_cash": [number % 3 == 0 for number in numbers],
        "receipt": [bytes([number % 256, 1]) for number in numbers],
    }


def write(home: Path, columns: dict[str, list[Any]], name: str = "0") -> Path:
    path = home / "lake" / "raw_wages__payments" / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    rate = pa.array(columns["rate"], pa.decimal128(12, 2))
    pq.write_table(pa.table({**columns, "rate": rate}), path)
    return path


def spec(*files: Path, **changes: Any) -> TableSpec:
    return TableSpec(
        "raw_wages__payments", "wages", files, ["payment_id"], "worker_id_hash", **changes
    )


def test_an_empty_home_is_no_problem_and_says_so(home: Path) -> None:
    store = SnapshotStore(home)
    report = store.verify()
    assert report.is_ok
    assert report.notes == ("nothing is anchored yet",)
    assert store.audit().is_ok
    assert (store.snapshots(), store.current("raw_wages__payments")) == ([], None)
    with pytest.raises(LogMissingError, match="nothing is anchored yet"):
        store.reader()
    assert list(home.iterdir()) == []


def test_a_committed_table_is_in_the_log_with_its_lineage(home: Path) -> None:
    store = SnapshotStore(home)
    heads = [{"channel": "wages", "height": 12, "header_hash": "ab", "commit_hash": "cd"}]
    snapshot = store.commit_table(
        spec(
            write(home, wages()),
            contract_id="raw_wages__payments",
            contract_version="1.0.0",
            upstream=["earlier"],
            ledger_heads=heads,
            code_version="v1",
            partition="2024-01",
        )
    )
    assert (snapshot.is_new, snapshot.rows, snapshot.log_index) == (True, ROWS, 0)
    manifest = snapshot.manifest
    assert manifest["ledger_heads"] == heads
    assert manifest["contract"] == {"id": "raw_wages__payments", "version": "1.0.0"}
    assert manifest["upstream"] == ["earlier"]
    assert manifest["schema"][4] == {"name": "rate", "type": "decimal(12,2)"}
    assert store.current("raw_wages__payments", "2024-01") is not None
    assert store.current("raw_wages__payments") is None
    assert store.verify().is_ok
    assert [item.outcome for item in store.audit().snapshots] == ["ok"]
    assert store.reverify(snapshot.snapshot_id) is None


def test_unchanged_data_adds_no_entry_even_in_other_files_and_another_order(home: Path) -> None:
    store = SnapshotStore(home)
    columns = wages()
    first = store.commit_table(spec(write(home, columns)))
    assert not store.commit_table(spec(write(home, columns))).is_new
    turned = {name: values[::-1] for name, values in columns.items()}
    halves = [
        write(home, {name: values[at : at + 30] for name, values in turned.items()}, str(at))
        for at in (0, 30)
    ]
    again = store.commit_table(spec(*halves))
    assert (again.is_new, again.snapshot_id) == (False, first.snapshot_id)
    assert store.reader().size == 1
    assert store.audit().is_ok


def test_data_that_returns_to_an_earlier_state_is_a_new_snapshot(home: Path) -> None:
    store = SnapshotStore(home)
    columns = wages()
    first = store.commit_table(spec(write(home, columns)))
    second = store.commit_table(spec(write(home, wages(ROWS + 1))))
    third = store.commit_table(spec(write(home, columns)))
    assert [first.log_index, second.log_index, third.log_index] == [0, 1, 2]
    assert third.manifest["previous"] == second.snapshot_id
    assert third.root != first.root


@pytest.mark.parametrize("use_numba", [False, True])
@pytest.mark.parametrize("column", sorted(wages(1)))
def test_one_changed_value_is_named_by_row_and_column(
    home: Path, column: str, use_numba: bool
) -> None:
    store = SnapshotStore(home, use_numba=use_numba)
    columns = wages()
    path = write(home, columns)
    snapshot = store.commit_table(spec(path))
    before = columns[column][17]
    changed = {
        "payment_id": "payment-x",
        "worker_id_hash": "worker-nobody",
        "hours": None,
        "wage_paise": 1,
        "rate": Decimal("0.01"),
        "paid_on": dt.date(2025, 1, 1),
        "posted_at": dt.datetime(2025, 1, 1, tzinfo=dt.UTC),
        "is_cash": not columns["is_cash"][17],
        "receipt": b"",
    }[column]
    columns[column][17] = changed
    write(home, columns)
    with pytest.raises(DataMismatchError) as caught:
        store.reverify(snapshot.snapshot_id)
    assert [item.column for item in caught.value.differences] == [column]
    difference = caught.value.differences[0]
    assert difference.dataset == "raw_wages__payments"
    assert (difference.file, difference.file_row) == ("lake/raw_wages__payments/0.parquet", 18)
    assert difference.row_key == (("payment_id", columns["payment_id"][17]),)
    assert difference.expected != difference.found
    assert len(difference.expected or "") == len(difference.found or "") == 8
    report = store.audit()
    assert not report.is_ok
    assert f"column {column}" in str(report.problems[0])
    assert str(before) not in str(report.problems[0]) or column == "payment_id"


def test_a_row_that_changes_hands_is_named_by_its_subject_column(home: Path) -> None:
    store = SnapshotStore(home)
    columns = wages()
    store.commit_table(spec(write(home, columns)))
    workers = columns["worker_id_hash"]
    workers[17] = next(worker for worker in workers if worker != workers[17])
    write(home, columns)
    found = store.audit().problems
    assert len(found) == 1
    assert "row 18" in str(found[0])
    assert "column worker_id_hash: the row is not that of the data subject" in str(found[0])


def test_rows_that_were_added_or_removed_are_named(home: Path) -> None:
    store = SnapshotStore(home)
    columns = wages()
    store.commit_table(spec(write(home, columns)))
    write(home, {name: values[1:] for name, values in columns.items()})
    found = store.audit().problems
    assert ["a committed row is missing" in str(problem) for problem in found] == [True]
    extra = wages(1, start=500)
    write(home, {name: [*values, *extra[name]] for name, values in columns.items()})
    found = store.audit().problems
    assert ["key payment_id=payment-500" in str(problem) for problem in found] == [True]
    assert "was not there when the table was committed" in str(found[0])


def test_rows_in_another_order_and_one_value_changed_names_only_that_value(home: Path) -> None:
    store = SnapshotStore(home)
    columns = wages()
    store.commit_table(spec(write(home, columns)))
    turned = {name: values[::-1] for name, values in columns.items()}
    turned["wage_paise"][0] += 1
    write(home, turned)
    found = [problem.difference for problem in store.audit().problems]
    assert [(item.column, item.file_row) for item in found if item] == [("wage_paise", 1)]


def test_another_schema_is_named(home: Path) -> None:
    store = SnapshotStore(home)
    columns = wages()
    store.commit_table(spec(write(home, columns)))
    columns["wage_paise"] = [str(value) for value in columns["wage_paise"]]
    write(home, columns)
    assert "column wage_paise: the columns are not" in str(store.audit().problems[0])


def test_appended_parts_make_a_new_snapshot_and_the_old_one_still_verifies(home: Path) -> None:
    store = SnapshotStore(home)
    first_part = write(home, wages(), "0")
    first = store.commit_table(spec(first_part, retain="always"))
    second_part = write(home, wages(20, start=1000), "1")
    second = store.commit_table(spec(first_part, second_part, retain="always"))
    assert (second.rows, second.manifest["previous"]) == (ROWS + 20, first.snapshot_id)
    assert [item.outcome for item in store.audit().snapshots] == ["ok", "ok"]
    second_part.unlink()
    outcomes = [item.outcome for item in store.audit().snapshots]
    assert outcomes == ["ok", "missing"]
    with pytest.raises(DataMissingError, match=r"1\.parquet"):
        store.reverify(second.snapshot_id)


def test_replaced_data_is_not_retained_unless_it_was_pinned(home: Path) -> None:
    store = SnapshotStore(home)
    dropped = store.commit_table(spec(write(home, wages())))
    kept = store.commit_table(spec(write(home, wages(50))))
    store.pin(kept.snapshot_id, "model bpl 1")
    store.pin(kept.snapshot_id, "model bpl 1")
    newest = store.commit_table(spec(write(home, wages(40))))
    report = store.audit()
    assert report.is_ok
    outcomes = {item.snapshot_id: item.outcome for item in report.snapshots}
    assert outcomes == {
        dropped.snapshot_id: "data not retained",
        kept.snapshot_id: "ok",
        newest.snapshot_id: "ok",
    }
    with pytest.raises(DataMissingError, match="not retained"):
        store.reverify(dropped.snapshot_id)
    with pytest.raises(DataMissingError, match="Pin a snapshot before"):
        store.pin(dropped.snapshot_id, "too late")
    copies = list((home / "lake" / ".retained" / kept.snapshot_id).iterdir())
    assert len(copies) == 1
    copies[0].write_bytes(write(home, wages(50, start=3), "other").read_bytes())
    assert store.audit().count("different") == 1


def test_a_damaged_copy_of_a_pinned_snapshot_is_found_while_the_original_stands(home: Path) -> None:
    store = SnapshotStore(home)
    snapshot = store.commit_table(spec(write(home, wages())))
    store.pin(snapshot.snapshot_id, "release")
    copy = next((home / "lake" / ".retained" / snapshot.snapshot_id).iterdir())
    copy.write_bytes(b"damaged")
    assert ".retained" in str(store.audit().problems[0])


def test_files_are_committed_with_their_digests_and_pin_what_they_were_built_from(
    home: Path,
) -> None:
    store = SnapshotStore(home)
    table = store.commit_table(spec(write(home, wages())))
    root = home / "released" / "wages" / "r1"
    root.mkdir(parents=True)
    for name in ("manifest.json", "table.parquet"):
        (root / name).write_text(name)
    files = FileSetSpec(
        "release_wages",
        "wages",
        "release",
        sorted(root.iterdir()),
        root,
        upstream=[table.snapshot_id],
        extra={"budget_ledger_head": "ab"},
    )
    release = store.commit_files(files)
    assert (release.is_new, release.rows, release.kind) == (True, 2, "release")
    assert release.manifest["extra"] == {"budget_ledger_head": "ab"}
    assert [item["path"] for item in release.manifest["files"]] == [
        "manifest.json",
        "table.parquet",
    ]
    assert not store.commit_files(files).is_new
    assert (home / "lake" / ".retained" / table.snapshot_id).is_dir()
    (root / "manifest.json").write_text("changed")
    problem = store.audit().problems[0].difference
    assert problem is not None
    assert (problem.file, problem.problem) == ("released/wages/r1/manifest.json", "file")
    (root / "manifest.json").unlink()
    assert store.audit().count("missing") == 1


def test_nothing_private_can_be_read_by_others_and_nothing_of_it_is_public(home: Path) -> None:
    store = SnapshotStore(home)
    store.commit_table(spec(write(home, wages())))
    private = home / "vault" / "anchor"
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    for path in private.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path
    public = b"".join(path.read_bytes() for path in (home / "anchors").rglob("*") if path.is_file())
    for secret in ("worker-3", "payment-17", "PRIVATE+KEY"):
        assert secret.encode() not in public
    VerifierKey.parse((home / "anchors" / "log.vkey").read_text())


def test_a_snapshots_salts_differ_from_those_of_the_same_data_committed_again(home: Path) -> None:
    store = SnapshotStore(home)
    first = store.commit_table(spec(write(home, wages())))
    other = SnapshotStore(home)
    write(home, wages(ROWS + 1))
    other.commit_table(spec(home / "lake" / "raw_wages__payments" / "0.parquet"))
    again = other.commit_table(spec(write(home, wages())))
    assert first.rows == again.rows
    assert first.root != again.root


@pytest.mark.parametrize(
    ("change", "kind", "words"),
    [
        ({"unique_key": ["is_cash"]}, DuplicateKeyError, "repeat another row's unique key"),
        ({"unique_key": ["nothing"]}, TableError, "names nothing"),
        ({"unique_key": []}, TableError, "names no column"),
        ({"subject_column": "nothing"}, TableError, "the subject column names nothing"),
        ({"subject_column": "hours"}, TableError, "subject column hours is float"),
        ({"files": []}, TableError, "no file"),
        ({"files": [Path(__file__)]}, TableError, "outside the home"),
    ],
)
def test_a_table_that_cannot_be_committed_is_refused_and_leaves_no_trace(
    home: Path, change: dict[str, Any], kind: type[AnchorError], words: str
) -> None:
    store = SnapshotStore(home)
    good = spec(write(home, wages()))
    values = {name: getattr(good, name) for name in good.__dataclass_fields__} | change
    with pytest.raises(kind, match=words):
        store.commit_table(TableSpec(**values))
    assert store.snapshots() == []
    assert store.verify().is_ok
    assert not (home / "vault" / "anchor" / "snapshots").exists()


def test_a_missing_part_is_named(home: Path) -> None:
    with pytest.raises(DataMissingError, match=r"gone\.parquet"):
        SnapshotStore(home).commit_table(spec(home / "lake" / "gone.parquet"))


def test_an_empty_table_and_rows_without_a_subject_are_committed(home: Path) -> None:
    store = SnapshotStore(home)
    columns = wages()
    columns["worker_id_hash"] = [
        None if n % 2 else v for n, v in enumerate(columns["worker_id_hash"])
    ]
    store.commit_table(spec(write(home, columns)))
    empty = home / "lake" / "empty.parquet"
    pq.write_table(
        pa.table({"id": pa.array([], pa.int64()), "text": pa.array([], pa.string())}), empty
    )
    for use_numba in (False, True):
        other = SnapshotStore(home, use_numba=use_numba)
        snapshot = other.commit_table(TableSpec(f"empty_{use_numba}", "wages", [empty], ["id"]))
        assert snapshot.rows == 0
    assert store.audit().is_ok


def test_a_subject_whose_key_is_gone_cannot_be_hashed_again(home: Path) -> None:
    store = SnapshotStore(home)
    snapshot = store.commit_table(spec(write(home, wages())))
    (home / "vault" / "anchor" / "subjects.sqlite").unlink()
    with pytest.raises(SubjectKeyError, match="none of 11 data subjects"):
        store.reverify(snapshot.snapshot_id)


def test_damage_to_the_log_the_signed_state_or_the_vault_is_reported(home: Path) -> None:
    store = SnapshotStore(home)
    snapshot = store.commit_table(spec(write(home, wages())))
    tile = home / "anchors" / "log" / "tile" / "0" / "000.p" / "1"
    good = tile.read_bytes()
    tile.write_bytes(bytes(32))
    assert "not the hash of the entries" in str(store.verify().problems[0])
    tile.write_bytes(good)
    state = home / "vault" / "anchor" / "signed-state"
    signed = state.read_bytes()
    state.unlink()
    assert "nothing guards against a fork" in str(store.verify().problems[0])
    state.write_bytes(signed)
    leaves = home / "vault" / "anchor" / "snapshots" / snapshot.snapshot_id / "leaves.bin"
    leaves.write_bytes(bytes(leaves.stat().st_size))
    assert "private leaf hashes do not lead to the root" in str(store.audit().problems[0])
    leaves.unlink()
    with pytest.raises(SnapshotError, match=r"leaves\.bin is missing"):
        store.reverify(snapshot.snapshot_id)
    with pytest.raises(SnapshotError, match="knows no snapshot"):
        store.reverify("unknown")


def test_a_log_that_was_deleted_is_a_problem_and_not_an_empty_home(home: Path) -> None:
    store = SnapshotStore(home)
    store.commit_table(spec(write(home, wages())))
    (home / "anchors" / "log" / "checkpoint").unlink()
    (home / "anchors" / "log.vkey").unlink()
    assert "is gone although this home has signed one" in str(store.verify().problems[0])


def test_the_log_proves_each_snapshot_with_its_public_key_alone(home: Path) -> None:
    store = SnapshotStore(home)
    snapshot = store.commit_table(spec(write(home, wages())))
    store.commit_table(spec(write(home, wages(70))))
    reader = store.reader()
    proven = verify_proof(reader.proof(0), reader.verifier)
    assert proven.manifest == snapshot.manifest
    assert (proven.checkpoint.size, proven.index) == (2, 0)


def test_a_second_holder_of_the_lock_is_told_who_has_it(home: Path) -> None:
    store = SnapshotStore(home, lock_timeout_seconds=0.2)
    path = write(home, wages())
    store.initialise()
    with (
        locked(store.vault.lock_path, 1.0),
        pytest.raises(LockError, match=r"process \d+ holds .*lock"),
    ):
        store.commit_table(spec(path))
    assert store.commit_table(spec(path)).is_new


_COMMIT_MANY = """
import sys
from pathlib import Path
from ledger_anchor import SnapshotStore, TableSpec
home, number = Path(sys.argv[1]), sys.argv[2]
file = home / "lake" / "raw_wages__payments" / "0.parquet"
for dataset in ("shared", f"own_{number}"):
    SnapshotStore(home).commit_table(
        TableSpec(dataset, "wages", [file], ["payment_id"], "worker_id_hash")
    )
"""


def test_several_processes_commit_at_once_and_the_log_holds_each_dataset_once(home: Path) -> None:
    write(home, wages())
    started = [
        subprocess.Popen([sys.executable, "-c", _COMMIT_MANY, str(home), str(number)])
        for number in range(3)
    ]
    assert [process.wait(120) for process in started] == [0, 0, 0]
    store = SnapshotStore(home)
    assert sorted(item.dataset for item in store.snapshots()) == [
        "own_0",
        "own_1",
        "own_2",
        "shared",
    ]
    assert store.reader().size == 4
    assert store.audit().is_ok


def test_a_copy_without_the_vault_is_checked_as_far_as_it_goes(home: Path, tmp_path: Path) -> None:
    SnapshotStore(home).commit_table(spec(write(home, wages())))
    copy = tmp_path / "copy"
    shutil.copytree(home / "anchors", copy / "anchors")
    report = SnapshotStore(copy).verify()
    assert report.is_ok
    assert "only the public files" in report.notes[0]
    assert len(report.proven) == 2


def test_a_row_is_proven_from_the_kept_copy_when_its_table_was_replaced(home: Path) -> None:
    store = SnapshotStore(home)
    snapshot = store.commit_table(spec(write(home, wages())))
    store.pin(snapshot.snapshot_id, "release")
    turned = {name: values[::-1] for name, values in wages().items()}
    assert not store.commit_table(spec(write(home, turned))).is_new
    asked = (store, snapshot.snapshot_id, {"payment_id": "payment-3"}, ["wage_paise", "paid_on"])
    first = verify_proof(prove_row(*asked), store.reader().verifier)
    store.commit_table(spec(write(home, wages(20, start=900))))
    second = verify_proof(prove_row(*asked), store.reader().verifier)
    for proven in (first, second):
        assert proven.row is not None
        assert proven.row.values == {
            "wage_paise": wages()["wage_paise"][3],
            "paid_on": wages()["paid_on"][3],
        }
    with pytest.raises(TableError, match="no row has this key"):
        prove_row(store, snapshot.snapshot_id, {"payment_id": "payment-999"}, [])
