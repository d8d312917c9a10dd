"""Erasing a data subject: what goes, what stays true, and what nobody can do any more."""

from __future__ import annotations

import errno
import hmac
import itertools
import json
import os
import random
import shutil
import stat
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ledger_anchor import SnapshotStore, TableSpec, cbor
from ledger_anchor.erasing.erasure import erase_subject
from ledger_anchor.erasing.journal import is_erasing
from ledger_anchor.errors import (
    ErasedRowsError,
    RowErasedError,
    SnapshotError,
    StorageError,
    SubjectKeyError,
    TableError,
)
from ledger_anchor.manifest import read_segments
from ledger_anchor.row_commit.rows import ORDER_PURPOSE, salt_message
from ledger_anchor.snapshots import commit
from ledger_anchor.snapshots.commit import CONTENT, FILES
from ledger_anchor.snapshots.disclosure import prove_row
from ledger_anchor.snapshots.vault import derive
from ledger_anchor.tlog.proof import cell_digest, verify_proof
from ledger_anchor.tree import leaf_hash

WHO = "worker-3"
AMOUNTS = 16


def rows(first: int = 0, count: int = 40) -> dict[str, list[Any]]:
    source = random.Random(first)
    numbers = range(first, first + count)
    return {
        "worker": [f"worker-{number % 7}" for number in numbers],
        "month": [number // 7 for number in numbers],
        "paise": [source.randrange(AMOUNTS) for _ in numbers],
    }


def write(home: Path, columns: dict[str, list[Any]], name: str = "0", dataset: str = "t") -> Path:
    path = home / "lake" / dataset / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path, compression="zstd")
    return path


def spec(*files: Path, dataset: str = "t", **changes: Any) -> TableSpec:
    settings = {"retain": "always", "append_only": True, **changes}
    return TableSpec(dataset, "wages", files, ["worker", "month"], "worker", **settings)


def vault_bytes(home: Path) -> bytes:
    files = (path for path in sorted((home / "vault").rglob("*")) if path.is_file())
    return b"".join(path.read_bytes() for path in files)


def outcomes(store: SnapshotStore) -> list[tuple[str, int]]:
    report = store.audit()
    assert report.is_ok, [str(item) for item in report.problems]
    return [(item.outcome, item.erased) for item in report.snapshots]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two snapshots of a growing table; of a curated one: gone, kept, newest."""
    home = tmp_path_factory.mktemp("filled")
    store = SnapshotStore(home)
    files = [write(home, rows(), "0")]
    store.commit_table(spec(*files))
    files.append(write(home, rows(1000, 21), "1"))
    store.commit_table(spec(*files))
    for count in (14, 21, 28):
        curated = spec(write(home, rows(7, count), "data", "c"), dataset="c", retain="used")
        made = store.commit_table(curated)
        if count == 21:
            store.pin(made.snapshot_id, "model")
    return home


@pytest.fixture
def store(home: Path, filled: Path) -> SnapshotStore:
    shutil.copytree(filled, home, dirs_exist_ok=True)
    return SnapshotStore(home)


def test_nothing_of_the_subject_is_left_and_everything_else_stays_as_it_was(
    store: SnapshotStore, home: Path
) -> None:
    before = store.snapshots()
    checkpoint = store.reader().checkpoint_note()
    key = store.vault.subject_key("wages", WHO)
    assert key is not None
    assert key in vault_bytes(home)
    held = sum(row == WHO for row in rows()["worker"] + rows(1000, 21)["worker"])
    killed = store.records.folder_of(before[0].snapshot_id) / ".record.json.1-1.tmp"
    killed.write_text("half a record of an earlier process")
    report = store.erase("wages", WHO, "asked for on paper 12")
    assert not killed.exists()
    assert (report.was_erased, dict(report.rows)) == (False, {"t": held, "c": 4})
    assert report.without_data == 1
    assert not report.notes
    assert not report.missing
    assert key not in vault_bytes(home)
    assert key.hex().encode() not in vault_bytes(home)
    for path in (home / "lake").rglob("*.parquet"):
        assert WHO not in pq.read_table(path)["worker"].to_pylist(), path
    assert [path for path in home.rglob("*") if "erasing" in path.name] == []
    assert not is_erasing(store)
    assert store.snapshots() == before
    assert store.reader().checkpoint_note() == checkpoint
    kept = [("ok", 6), ("ok", 9), ("data not retained", 0), ("ok", 3), ("ok", 4)]
    assert outcomes(store) == kept
    assert [item.erased for item in SnapshotStore(home, use_numba=True).audit().snapshots] == [
        number for _, number in kept
    ]


def test_old_proofs_of_others_verify_and_new_ones_can_be_made(store: SnapshotStore) -> None:
    first, second = store.snapshots()[:2]
    other, erased = {"worker": "worker-4", "month": "1"}, {"worker": WHO, "month": "1"}
    old = [prove_row(store, item.snapshot_id, other, ["paise"]) for item in (first, second)]
    handed_out = prove_row(store, first.snapshot_id, erased, ["paise"])
    store.erase("wages", WHO, "r")
    verifier = store.reader().verifier
    for data in (*old, handed_out):
        assert verify_proof(data, verifier).row is not None
    for item in store.snapshots():
        if item.rows == 14:  # its data is not retained
            continue
        for month in range(1, 3):
            data = prove_row(store, item.snapshot_id, {**other, "month": str(month)}, ["paise"])
            assert verify_proof(data, verifier).row is not None
        with pytest.raises(RowErasedError, match="was erased with its data subject"):
            prove_row(store, item.snapshot_id, erased, ["paise"])


def test_a_key_without_the_subject_cannot_be_told_from_one_that_never_was(home: Path) -> None:
    store = SnapshotStore(home)
    columns = {**rows(), "id": [f"p{number}" for number in range(40)]}
    file = write(home, columns)
    made = store.commit_table(TableSpec("t", "wages", [file], ["id"], "worker"))
    store.erase("wages", WHO, "r")
    for key in ("p3", "p99"):
        with pytest.raises(RowErasedError, match="one of the 6 that were erased"):
            prove_row(store, made.snapshot_id, {"id": key}, [])
    assert prove_row(store, made.snapshot_id, {"id": "p4"}, ["paise"])


def keys_of(store: SnapshotStore, home: Path) -> list[bytes]:
    """Every key that the vault holds, and those that are made of them."""
    held = [
        bytes.fromhex(path.read_text())
        for path in sorted((home / "vault").rglob("*.key"))
        if path.name != "signing.key"
    ]
    purposes = (ORDER_PURPOSE, CONTENT, FILES)
    made = [derive(key, purpose) for key in held for purpose in purposes]
    subjects = [store.vault.subject_key("wages", f"worker-{number}") for number in range(7)]
    return held + made + [key for key in subjects if key is not None]


def guess(keys: list[bytes], snapshot_id: str, leaves: set[bytes], month: int) -> int | None:
    """Try every amount with every key and row number; the amount that was committed, if found."""
    identity = uuid.UUID(snapshot_id).bytes
    known = (("worker", cbor.encode_text(WHO)), ("month", cbor.encode_int(month)))
    for key, number in itertools.product(keys, range(40)):
        salts = [
            hmac.digest(key, salt_message(identity, number, n), "sha256")[:16] for n in (0, 1, 2)
        ]
        pairs = zip(salts, known, strict=False)
        start = b"".join(cell_digest(salt, value, name) for salt, (name, value) in pairs)
        for paise in range(AMOUNTS):
            cell = cell_digest(salts[2], cbor.encode_int(paise), "paise")
            if leaf_hash(start + cell) in leaves:
                return paise
    return None


def test_no_guess_of_an_erased_value_can_be_checked_with_what_is_left(
    store: SnapshotStore, home: Path
) -> None:
    """Somebody with the whole vault knows the subject and the month, and tries every amount."""
    first = store.snapshots()[0]
    at = rows()["worker"].index(WHO)
    month, paise = rows()["month"][at], rows()["paise"][at]
    folder = store.records.folder_of(first.snapshot_id)
    stored = (folder / "leaves.bin").read_bytes()
    leaves = {stored[n : n + 32] for n in range(0, len(stored), 32)}
    assert guess(keys_of(store, home), first.snapshot_id, leaves, month) == paise
    order_key = store.records.order_key(first.snapshot_id)
    known = store.records.current("t", None)
    assert known is not None
    digests = [known[1], known[2], *(p.digest for p in store.records.read(first.snapshot_id).parts)]
    assert all(digest.encode() in vault_bytes(home) for digest in digests)

    store.erase("wages", WHO, "because")
    left = keys_of(store, home)
    assert guess(left, first.snapshot_id, leaves, month) is None
    (erasure,) = store.records.erasures(first.snapshot_id)
    assert erasure.reason == "because"
    assert (folder / "leaves.bin").read_bytes() == stored
    cells = (folder / "cells.bin").read_bytes()
    for number, leaf in erasure.rows:
        assert leaf == stored[32 * number : 32 * number + 32]
        assert cells[12 * number : 12 * number + 12] == bytes(12)
    # Under the old order key a row's number would tell which unique keys it can have had.
    everything = vault_bytes(home)
    assert order_key not in everything
    assert order_key.hex().encode() not in everything
    unique_key = cbor.encode_array([cbor.encode_text(WHO), cbor.encode_int(month)])
    heads = (folder / "order.bin").read_bytes()
    entries = {heads[n : n + 8] for n in range(0, len(heads), 8)}
    assert len(entries) == 40 - len(erasure.rows)
    assert not entries & {hmac.digest(key, unique_key, "sha256")[:8] for key in left}
    # Against these one could try values, file by file.
    assert not [digest for digest in digests if digest.encode() in everything]


def test_the_vault_keeps_its_modes_and_names_the_subject_nowhere(
    store: SnapshotStore, home: Path
) -> None:
    store.erase("wages", WHO, "r")
    for path in (home / "vault" / "anchor").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert WHO.encode() not in vault_bytes(home)


def test_what_is_left_is_known_again_in_the_same_files_in_others_and_with_new_rows(
    store: SnapshotStore, home: Path
) -> None:
    known = store.current("t")
    assert known is not None
    files = sorted((home / "lake" / "t").iterdir())
    store.erase("wages", WHO, "r")
    assert store.commit_table(spec(*files)).snapshot_id == known.snapshot_id
    table = pa.concat_tables([pq.read_table(file) for file in files])
    other = home / "lake" / "t" / "other.parquet"
    pq.write_table(table.slice(9), other)
    rest = home / "lake" / "t" / "rest.parquet"
    pq.write_table(table.slice(0, 9), rest)
    assert store.commit_table(spec(other, rest)).snapshot_id == known.snapshot_id
    fresh = rows(2002, 3)
    assert WHO not in fresh["worker"]
    more = store.commit_table(spec(other, rest, write(home, fresh, "2")))
    assert [item.rows for item in read_segments(more.manifest)] == [40, 21, 3]
    assert outcomes(store)[-1] == ("ok", 9)
    assert store.erase("wages", "worker-4", "r").rows["t"] == 9
    assert outcomes(store)[-1] == ("ok", 18)


def test_a_table_that_still_holds_rows_of_an_erased_subject_is_refused(
    store: SnapshotStore, home: Path
) -> None:
    store.erase("wages", WHO, "r")
    assert store.erased("wages", ["worker-1", WHO, "never", WHO]) == {WHO}
    assert store.erased("pharma", [WHO]) == set()
    size = store.reader().size
    for dataset in ("t", "new"):
        file = write(home, rows(3000, 14), "9", dataset)
        with pytest.raises(ErasedRowsError, match="found 2 of 1") as caught:
            store.commit_table(spec(file, dataset=dataset))
        assert (caught.value.rows, caught.value.subjects) == (2, 1)
        assert WHO not in str(caught.value)
    assert store.reader().size == size
    assert store.vault.subject_key("wages", WHO) is None
    kept = {name: [v for v, w in zip(values, rows(3000, 14)["worker"], strict=True) if w != WHO]
            for name, values in rows(3000, 14).items()}  # fmt: skip
    assert store.commit_table(spec(write(home, kept, "9", "new"), dataset="new")).is_new


def test_an_erasure_while_a_table_is_hashed_is_seen_before_it_is_committed(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SnapshotStore(home)
    store.commit_table(spec(write(home, rows(), "0", "known"), dataset="known"))
    real = commit.commit_rows
    calls = []

    def hash_while_somebody_is_erased(*arguments: Any, **options: Any) -> Any:
        made = real(*arguments, **options)
        calls.append(made)
        if len(calls) == 1:
            SnapshotStore(home).erase("wages", WHO, "r")
        return made

    monkeypatch.setattr(commit, "commit_rows", hash_while_somebody_is_erased)
    with pytest.raises(ErasedRowsError):
        store.commit_table(spec(write(home, rows())))
    assert [item.dataset for item in store.snapshots()] == ["known"]


def test_erasing_again_changes_nothing_unless_rows_came_back(
    store: SnapshotStore, home: Path
) -> None:
    file = home / "lake" / "t" / "0.parquet"
    backup = file.read_bytes()
    store.erase("wages", WHO, "r")
    private = list((home / "vault" / "anchor" / "snapshots").rglob("*.*"))
    before = [path.read_bytes() for path in private]
    again = erase_subject(store, "wages", WHO, "r")
    assert (again.was_erased, dict(again.rows), again.files) == (True, {}, ())
    assert [path.read_bytes() for path in private] == before
    file.write_bytes(backup)
    assert not store.audit().is_ok
    third = store.erase("wages", WHO, "r")
    assert (dict(third.rows), third.files) == ({}, ("lake/t/0.parquet",))
    assert outcomes(store)[:2] == [("ok", 6), ("ok", 9)]


def test_a_part_that_is_missing_is_told_and_done_when_it_returns(
    store: SnapshotStore, home: Path
) -> None:
    file = home / "lake" / "t" / "0.parquet"
    away = file.read_bytes()
    file.unlink()
    report = store.erase("wages", WHO, "r")
    assert report.missing == ("lake/t/0.parquet",)
    assert "if it returns, erase again" in "\n".join(report.lines())
    assert report.rows["t"] == 3
    file.write_bytes(away)
    assert store.erase("wages", WHO, "r").rows == {"t": 6}
    assert outcomes(store)[:2] == [("ok", 6), ("ok", 9)]
    proof = prove_row(
        store, store.snapshots()[0].snapshot_id, {"worker": "worker-4", "month": "1"}, []
    )
    assert verify_proof(proof, store.reader().verifier).row is not None


def test_changed_data_is_still_told_apart_after_an_erasure(
    store: SnapshotStore, home: Path
) -> None:
    store.erase("wages", WHO, "r")
    file = home / "lake" / "t" / "1.parquet"
    table = pq.read_table(file)
    amounts = table["paise"].to_pylist()
    amounts[2] += 1
    pq.write_table(table.set_column(2, "paise", pa.array(amounts)).slice(1), file)
    found = [item.difference for item in store.audit().problems]
    assert [(item.problem, item.column) for item in found if item] == [
        ("cell", "paise"),
        ("row_missing", None),
    ]
    tombstones = store.records.folder_of(store.snapshots()[0].snapshot_id) / "tombstones.json"
    tombstones.write_text(tombstones.read_text().replace("[[", "[[3", 1))
    with pytest.raises(SnapshotError, match="tombstone"):
        store.reverify(store.snapshots()[0].snapshot_id)
    tombstones.write_text("{}")
    with pytest.raises(SnapshotError, match=r"tombstones\.json is damaged"):
        store.reverify(store.snapshots()[0].snapshot_id)


def test_subjects_that_are_numbers_are_erased_too(home: Path) -> None:
    store = SnapshotStore(home)
    columns = {"worker": [n % 3 for n in range(9)], "month": list(range(9)), "paise": [5] * 9}
    store.commit_table(spec(write(home, columns)))
    assert store.erase("wages", "2", "r").rows == {"t": 3}
    assert outcomes(store) == [("ok", 3)]
    with pytest.raises(SubjectKeyError):
        store.erase("wages", "02", "r")


def test_the_only_subject_of_a_table_leaves_an_empty_table(home: Path) -> None:
    store = SnapshotStore(home)
    columns = {"worker": ["w"] * 3, "month": [1, 2, 3], "paise": [5, 6, 7]}
    file = write(home, columns)
    made = store.commit_table(spec(file))
    store.erase("wages", "w", "r")
    assert pq.read_table(file).num_rows == 0
    assert outcomes(store) == [("ok", 3)]
    assert store.commit_table(spec(file)).snapshot_id == made.snapshot_id


@pytest.mark.parametrize(("domain", "who"), [("wages", "nobody"), ("pharma", WHO)])
def test_a_subject_nobody_knows_is_refused_and_nothing_changes(
    store: SnapshotStore, home: Path, domain: str, who: str
) -> None:
    before = vault_bytes(home)
    with pytest.raises(SubjectKeyError, match="Nothing was changed") as caught:
        store.erase(domain, who, "r")
    assert who not in str(caught.value)
    assert vault_bytes(home) == before


def test_a_home_without_a_vault_or_with_a_damaged_journal_is_refused(
    store: SnapshotStore, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "copy").mkdir()
    with pytest.raises(SnapshotError, match="has no vault"):
        SnapshotStore(tmp_path / "copy").erase("wages", WHO, "r")
    (home / "vault" / "anchor" / "erasure.json").write_text("{")
    with pytest.raises(SnapshotError, match=r"erasure\.json is damaged"):
        store.erase("wages", WHO, "r")
    assert any("cut short" in str(item) for item in store.verify().problems)


def test_a_part_that_cannot_be_read_stops_the_erasure_before_anything_changes(
    store: SnapshotStore, home: Path
) -> None:
    before = vault_bytes(home)
    (home / "lake" / "t" / "0.parquet").write_bytes(b"damaged")
    with pytest.raises(TableError, match="not a readable Parquet file"):
        store.erase("wages", WHO, "r")
    assert vault_bytes(home) == before


def test_a_report_names_datasets_and_counts_but_nobody(store: SnapshotStore) -> None:
    report = store.erase("wages", WHO, "r")
    told = "\n".join(report.lines()) + json.dumps(report.to_json())
    assert "13 rows erased" in told
    assert "1 snapshots whose data is not retained" in told
    assert WHO not in told


# Of the many flushes, which only wait, every third fails once.
CALLS = (("replace", 1), ("fsync", 3), ("pwrite", 1), ("unlink", 1))


@pytest.mark.parametrize(("call", "step"), CALLS)
def test_an_erasure_that_fails_anywhere_is_finished_by_running_it_again(
    tmp_path: Path, call: str, step: int
) -> None:
    made = tmp_path / "made"
    made.mkdir()
    store = SnapshotStore(made)
    files = [write(made, rows(0, 8), "0"), write(made, rows(70, 4), "1")]
    store.commit_table(spec(files[0]))
    store.commit_table(spec(*files))
    key = store.vault.subject_key("wages", WHO)
    assert key is not None
    number, has_failed = 1 - step, True
    while has_failed:
        number += step
        home = tmp_path / str(number)
        shutil.copytree(made, home)
        with failing(call, number) as failed:
            with suppress(StorageError):
                SnapshotStore(home).erase("wages", WHO, "r")
            has_failed = failed()
        store = SnapshotStore(home)
        if number % 2 and is_erasing(store):  # the next commit finishes it as well
            assert not store.verify().is_ok
            store.commit_table(spec(write(home, {**rows(1, 2)}, "0", "u"), dataset="u"))
            assert not is_erasing(store)
        report = store.erase("wages", WHO, "r")
        assert report.was_erased or report.rows == {"t": 2}
        assert key not in vault_bytes(home)
        assert outcomes(store)[:2] == [("ok", 1), ("ok", 2)]
        assert not [path for path in home.rglob("*") if "erasing" in path.name]
        shutil.rmtree(home)
    assert number > 1


@contextmanager
def failing(name: str, number: int) -> Iterator[Callable[[], bool]]:
    """Make call ``number`` (from 1) of ``os.<name>`` fail as on a full disk."""
    real, seen = getattr(os, name), 0

    def shim(*arguments: Any, **options: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*arguments, **options)

    setattr(os, name, shim)
    try:
        yield lambda: seen >= number
    finally:
        setattr(os, name, real)


_ERASE_AND_DIE = """
import os, sys
from ledger_anchor import SnapshotStore
home, call, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
real, seen = getattr(os, call), 0
def shim(*arguments, **options):
    global seen
    seen += 1
    if seen == number:
        os._exit(9)
    return real(*arguments, **options)
setattr(os, call, shim)
SnapshotStore(home, use_numba=False).erase("wages", "worker-3", "r")
"""


@pytest.mark.parametrize(("call", "number"), [("fsync", 9), ("replace", 14)])
def test_a_killed_erasure_is_thrown_away_or_finished_by_running_it_again(
    store: SnapshotStore, home: Path, call: str, number: int
) -> None:
    code = [sys.executable, "-c", _ERASE_AND_DIE, str(home), call, str(number)]
    assert subprocess.run(code, check=False, cwd=Path(__file__).parents[2]).returncode == 9
    assert is_erasing(store)
    report = store.erase("wages", WHO, "r")
    assert dict(report.rows) == {"t": 9, "c": 4}
    assert [number for _, number in outcomes(store)] == [6, 9, 0, 3, 4]
    assert not [path for path in home.rglob("*") if "erasing" in path.name]
