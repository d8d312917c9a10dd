"""Tables that only grow: new snapshots extend the one before, and everything else stays true."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ledger_anchor import SnapshotStore, TableSpec, verify_consistency
from ledger_anchor.checking import audit
from ledger_anchor.checking.audit import prove_extension
from ledger_anchor.checking.compare import LISTED
from ledger_anchor.errors import (
    DuplicateKeyError,
    ManifestError,
    RootMismatchError,
    SnapshotError,
    StorageError,
    TableError,
)
from ledger_anchor.manifest import MAX_SEGMENTS, read_segments
from ledger_anchor.snapshots import commit
from ledger_anchor.snapshots.disclosure import RowProver, prove_row
from ledger_anchor.tlog.proof import verify_proof
from ledger_anchor.tree import Tree

KEYS = ["id"]


def part(home: Path, name: str, first: int, rows: int, **changes: list[Any]) -> Path:
    source = random.Random(first)
    numbers = range(first, first + rows)
    columns: dict[str, Any] = {
        "id": [f"p{number}" for number in numbers],
        "worker": [f"w{source.randrange(9)}" for _ in numbers],
        "paise": [source.randrange(10**5) for _ in numbers],
    }
    path = home / "lake" / "t" / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({**columns, **changes}), path)
    return path


def spec(*files: Path, **changes: Any) -> TableSpec:
    settings = {"retain": "always", "append_only": True, **changes}
    return TableSpec("t", "wages", files, KEYS, "worker", **settings)


def leaves_of(store: SnapshotStore, snapshot_id: str) -> bytes:
    return (store.records.folder_of(snapshot_id) / "leaves.bin").read_bytes()


def grown(home: Path, sizes: tuple[int, ...]) -> tuple[SnapshotStore, list[Any], list[Path]]:
    """A home whose table was committed after each part."""
    store, files, snapshots = SnapshotStore(home), [], []
    for number, rows in enumerate(sizes):
        # Names are no times: the new part may come before the old ones.
        files.append(part(home, f"{9 - number}-part", 1000 * number, rows))
        snapshots.append(store.commit_table(spec(*sorted(files))))
    return store, snapshots, files


def test_a_table_that_grew_is_extended_and_only_its_new_rows_are_hashed(home: Path) -> None:
    store, snapshots, _ = grown(home, (60, 20, 5))
    first, second, third = snapshots
    assert "segments" not in first.manifest
    assert [item.rows for item in read_segments(third.manifest)] == [60, 20, 5]
    assert third.manifest["previous"] == second.snapshot_id
    assert (third.rows, third.is_new, third.log_index) == (85, True, 2)
    sizes = [len(leaves_of(store, item.snapshot_id)) // 32 for item in snapshots]
    assert sizes == [60, 20, 5]
    joined = b"".join(leaves_of(store, item.snapshot_id) for item in snapshots)
    tree = Tree.from_leaves(joined)
    for item in snapshots:
        assert tree.root(item.rows).hex() == item.root
    report = store.audit()
    assert report.is_ok
    assert [item.outcome for item in report.snapshots] == ["ok"] * 3
    assert report.log.extensions == 2
    assert "begin with the rows of the snapshot before" in report.log.proven[-1]


def test_unchanged_parts_in_any_order_are_the_snapshot_that_is_there(home: Path) -> None:
    store, snapshots, files = grown(home, (30, 10))
    for listed in (files, files[::-1]):
        again = store.commit_table(spec(*listed))
        assert (again.is_new, again.snapshot_id) == (False, snapshots[1].snapshot_id)
    assert store.reader().size == 2


def test_a_consistency_proof_shows_the_older_table_in_the_newer_one(home: Path) -> None:
    store, (first, second), _ = grown(home, (37, 21))
    proof = prove_extension(store, second)
    old, new = bytes.fromhex(first.root), bytes.fromhex(second.root)
    assert verify_consistency(first.rows, second.rows, proof, old, new) is None
    with pytest.raises(RootMismatchError):
        verify_consistency(first.rows, second.rows, proof, new, new)


def test_a_row_of_any_segment_is_proven_in_every_snapshot_that_holds_it(home: Path) -> None:
    store, snapshots, _ = grown(home, (40, 12, 3))
    for snapshot in snapshots:
        segments = read_segments(snapshot.manifest)
        with RowProver(store, snapshot.snapshot_id) as prover:
            for number in range(len(segments)):
                key = f"p{1000 * number + 2}"
                proven = verify_proof(prover.prove({"id": key}, ["id"]), store.reader().verifier)
                assert proven.row is not None
                assert proven.row.values == {"id": key}
                segment = segments[number]
                assert segment.first <= proven.row.number < segment.end
    with pytest.raises(TableError, match="no row has this key"):
        prove_row(store, snapshots[0].snapshot_id, {"id": "p1001"}, [])


@pytest.mark.parametrize("use_numba", [False, True])
def test_a_changed_value_in_an_early_segment_is_named_in_every_snapshot_but_hashed_once(
    home: Path, use_numba: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, snapshots, files = grown(home, (40, 12, 3))
    store = SnapshotStore(home, use_numba=use_numba)
    table = pq.read_table(files[0])
    amounts = table["paise"].to_pylist()
    amounts[4] += 1
    pq.write_table(table.set_column(2, "paise", pa.array(amounts)), files[0])
    hashed = []
    real = audit.compare
    monkeypatch.setattr(
        audit, "compare", lambda source, *rest: hashed.append(source.rows) or real(source, *rest)
    )
    report = store.audit()
    found = [problem.difference for problem in report.problems]
    assert [item.column for item in found if item] == ["paise"] * 3
    assert [item.snapshot_id for item in found if item] == [s.snapshot_id for s in snapshots]
    assert {(item.file, item.file_row) for item in found if item} == {
        (files[0].relative_to(home).as_posix(), 5)
    }
    assert hashed == [40, 12, 3]


def test_rows_that_moved_between_parts_of_two_segments_are_named(home: Path) -> None:
    store, _, files = grown(home, (20, 10))
    first, second = (pq.read_table(file) for file in files)
    pq.write_table(first.slice(1), files[0])
    pq.write_table(pa.concat_tables([first.slice(0, 1), second]), files[1])
    problems = [item.problem for item in (p.difference for p in store.audit().problems) if item]
    assert sorted(problems) == ["row_added", "row_missing", "row_missing"]


def test_a_table_that_was_rewritten_in_other_files_keeps_its_snapshot_and_can_grow_again(
    home: Path,
) -> None:
    store, snapshots, files = grown(home, (50, 20))
    tables = [pq.read_table(file) for file in files]
    compacted = home / "lake" / "t" / "all.parquet"
    mixed = pa.concat_tables([tables[1].slice(5), tables[0], tables[1].slice(0, 5)])
    pq.write_table(mixed, compacted)
    again = store.commit_table(spec(compacted))
    assert (again.is_new, again.snapshot_id) == (False, snapshots[1].snapshot_id)
    assert store.reverify(again.snapshot_id) is None
    bundle = prove_row(store, again.snapshot_id, {"id": "p1003"}, ["paise"])
    assert verify_proof(bundle, store.reader().verifier).row is not None
    more = part(home, "more", 5000, 4)
    third = store.commit_table(spec(compacted, more))
    assert [item.rows for item in read_segments(third.manifest)] == [50, 20, 4]
    assert store.reverify(third.snapshot_id) is None
    amounts = mixed["paise"].to_pylist()
    amounts[0] += 1
    pq.write_table(mixed.set_column(2, "paise", pa.array(amounts)), compacted)
    problems = [p.difference for p in store.audit().problems]
    changed = [item for item in problems if item is not None and item.column == "paise"]
    assert [item.row_key for item in changed] == [(("id", "p1005"),)] * 2


def test_what_does_not_extend_the_last_snapshot_is_committed_whole(home: Path) -> None:
    store, snapshots, files = grown(home, (30, 10))
    part(home, "9-part", 0, 30, paise=list(range(30)))
    changed = store.commit_table(spec(*files))
    assert "segments" not in changed.manifest
    assert changed.rows == 40
    longer = [*files, part(home, "x", 3000, 2)]
    other_key = store.commit_table(
        TableSpec("t", "wages", longer, ["id", "paise"], "worker", append_only=True)
    )
    assert "segments" not in other_key.manifest
    whole = store.commit_table(spec(*files, part(home, "y", 4000, 2), append_only=False))
    assert "segments" not in whole.manifest
    assert [item.rows for item in (snapshots[1], changed, other_key, whole)] == [40, 40, 42, 42]


def test_a_new_part_with_another_schema_or_a_repeated_key_is_refused_by_name(home: Path) -> None:
    store, snapshots, files = grown(home, (30,))
    with pytest.raises(TableError, match="other columns"):
        store.commit_table(spec(*files, part(home, "odd", 700, 3, paise=["a", "b", "c"])))
    with pytest.raises(DuplicateKeyError, match="2 of 34 rows repeat another row's unique key"):
        store.commit_table(spec(*files, part(home, "twice", 28, 4)))
    assert [item.snapshot_id for item in store.snapshots()] == [snapshots[0].snapshot_id]
    assert not (home / "vault" / "anchor" / "staging").exists()
    assert store.audit().is_ok


def test_after_so_many_segments_a_table_is_committed_whole(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_SEGMENTS == 64
    monkeypatch.setattr(commit, "MAX_SEGMENTS", 2)
    store, snapshots, _ = grown(home, (3, 2, 1, 1))
    assert [len(read_segments(item.manifest)) for item in snapshots] == [1, 2, 1, 2]
    assert store.verify().is_ok


def test_a_pinned_table_of_segments_is_audited_from_its_copies(home: Path) -> None:
    store, files = SnapshotStore(home), []
    for number in range(2):
        files.append(part(home, str(number), 100 * number, 20))
        last = store.commit_table(spec(*files, retain="used"))
    store.pin(last.snapshot_id, "model")
    part(home, "0", 7000, 25)
    store.commit_table(spec(*files, retain="used"))
    outcomes = [item.outcome for item in store.audit().snapshots]
    assert outcomes == ["data not retained", "ok", "ok"]
    proof = prove_row(store, last.snapshot_id, {"id": "p105"}, ["paise"])
    assert verify_proof(proof, store.reader().verifier).row is not None


@pytest.mark.parametrize("name", ["leaves.bin", "cells.bin", "order.bin", "ranks.bin", "nodes.bin"])
@pytest.mark.parametrize("cut", [1, 8, 32])
def test_a_truncated_private_file_is_named_and_nothing_is_proven_from_it(
    home: Path, name: str, cut: int
) -> None:
    store, snapshots, _ = grown(home, (40, 20))
    path = store.records.folder_of(snapshots[0].snapshot_id) / name
    path.write_bytes(path.read_bytes()[:-cut])
    report = store.audit()
    if name == "ranks.bin" and cut >= 8:  # rows are found by their keys instead
        assert report.is_ok
        return
    assert report.count("different") == 2
    assert name in str(report.snapshots[0].problems[0])
    with pytest.raises(SnapshotError, match=name):
        prove_row(store, snapshots[1].snapshot_id, {"id": "p3"}, [])


def test_kept_nodes_that_are_not_those_of_the_leaves_are_found_before_they_are_used(
    home: Path,
) -> None:
    store, snapshots, _ = grown(home, (400, 20))
    path = store.records.folder_of(snapshots[0].snapshot_id) / "nodes.bin"
    path.write_bytes(bytes(len(path.read_bytes())))
    problems = [str(item) for item in store.audit().problems]
    assert any("nodes.bin does not belong to the leaf hashes" in text for text in problems)
    assert any("does not extend the one before" in text for text in problems)
    with pytest.raises(SnapshotError, match="does not lead to the root in the log"):
        prove_row(store, snapshots[1].snapshot_id, {"id": "p3"}, [])


def test_records_of_the_first_format_are_audited_proven_and_followed_by_a_whole_commit(
    home: Path,
) -> None:
    store, (first,), files = grown(home, (50,))
    folder = store.records.folder_of(first.snapshot_id)
    # As the first version wrote it: no kept nodes, the order key derived from the snapshot's key.
    from ledger_anchor.row_commit.rows import ORDER_PURPOSE
    from ledger_anchor.snapshots.vault import derive

    (folder / "nodes.bin").unlink()
    (folder / "order.key").unlink()
    record = json.loads((folder / "record.json").read_text())
    record["format"] = "tracient-private-record/1"
    del record["moved"], record["sums"]
    (folder / "record.json").write_text(json.dumps(record))
    assert store.records.order_key(first.snapshot_id) == derive(
        store.records.key(first.snapshot_id), ORDER_PURPOSE
    )
    assert store.reverify(first.snapshot_id) is None
    second = store.commit_table(spec(*files, part(home, "x", 900, 3)))
    assert "segments" not in second.manifest
    assert store.audit().is_ok


def test_at_most_a_hundred_differences_are_named_and_all_are_counted(home: Path) -> None:
    store, (snapshot,), files = grown(home, (300,))
    table = pq.read_table(files[0])
    more = [value + 1 for value in table["paise"].to_pylist()]
    pq.write_table(table.set_column(2, "paise", pa.array(more)), files[0])
    found = store.audit().snapshots[0]
    assert len(found.problems) == LISTED + 1
    assert "200 more differences" in str(found.problems[-1])
    numbers = [item.difference.row_number for item in found.problems[:-1] if item.difference]
    assert numbers == list(range(LISTED))
    assert snapshot.snapshot_id == found.snapshot_id


@pytest.mark.parametrize(
    "segments",
    [
        [],
        "none",
        [{"rows": 3, "snapshot_id": "a"}],
        [{"rows": 2, "snapshot_id": "a"}, {"rows": 2, "snapshot_id": "me"}],
        [{"rows": 2, "snapshot_id": "me"}, {"rows": 1, "snapshot_id": "me"}],
        [{"rows": -1, "snapshot_id": "a"}, {"rows": 4, "snapshot_id": "me"}],
        [{"rows": True, "snapshot_id": "a"}, {"rows": 2, "snapshot_id": "me"}],
        [None, {"rows": 3, "snapshot_id": "me"}],
        [{"rows": 0, "snapshot_id": str(n)} for n in range(64)]
        + [{"rows": 3, "snapshot_id": "me"}],
    ],
)
def test_segments_that_do_not_add_up_are_refused(segments: Any) -> None:
    manifest = {"rows": 3, "snapshot_id": "me", "segments": segments}
    with pytest.raises(ManifestError, match="segment"):
        read_segments(manifest)


def test_what_killed_commits_left_is_removed_and_what_others_write_is_not(home: Path) -> None:
    store, (snapshot,), files = grown(home, (5,))
    staging = home / "vault" / "anchor" / "staging"
    (staging / "killed").mkdir(parents=True)
    (staging / "killed" / "leaves.bin").write_bytes(bytes(32))
    with store.records.staging("other") as other:
        more = store.commit_table(spec(*files, part(home, "more", 100, 2)))
        assert more.manifest["previous"] == snapshot.snapshot_id
        assert [path.name for path in staging.iterdir()] == ["other"]
        assert other.is_dir()
    assert not staging.exists()


def test_an_extension_that_fails_anywhere_is_healed_by_the_next_and_never_doubled(
    home: Path, tmp_path: Path
) -> None:
    _, _, files = grown(home, (9,))
    new = part(home, "new", 100, 3)
    real, number, seen = os.replace, 0, 1

    def failing(*arguments: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(*arguments)

    while seen >= number:
        number, seen = number + 1, 0
        copy = tmp_path / str(number)
        shutil.copytree(home, copy)
        listed = [copy / file.relative_to(home) for file in (*files, new)]
        with pytest.MonkeyPatch.context() as patch, suppress(StorageError):
            patch.setattr(os, "replace", failing)
            SnapshotStore(copy).commit_table(spec(*listed))
        store = SnapshotStore(copy)
        again = store.commit_table(spec(*listed))
        assert [item.rows for item in read_segments(again.manifest)] == [9, 3]
        assert store.reader().size == 2
        assert store.audit().is_ok
        folders = {item.name for item in (copy / "vault" / "anchor" / "snapshots").iterdir()}
        assert folders == {item.snapshot_id for item in store.snapshots()}
        assert not (copy / "vault" / "anchor" / "staging").exists()
    assert number > 5


def test_orchestration_extends_raw_tables_and_commits_curated_ones_whole(home: Path) -> None:
    from types import SimpleNamespace

    from orchestration.anchoring import commit_dataset
    from orchestration.home import Home

    for dataset, segments in (("raw_x__rows", 2), ("fct_x__rows", 1)):
        contract: Any = SimpleNamespace(
            name=dataset, id="c", version="1.0.0", unique_key=["id"], subject_column="worker"
        )
        for number in range(2):
            made = part(home, f"{9 - number}", 100 * number, 6)
            (home / "lake" / dataset).mkdir(exist_ok=True)
            made.rename(home / "lake" / dataset / made.name)
            snapshot = commit_dataset(Home(home), contract, domain="x")
        assert snapshot is not None
        assert len(read_segments(snapshot.manifest)) == segments
    assert SnapshotStore(home).audit().is_ok
