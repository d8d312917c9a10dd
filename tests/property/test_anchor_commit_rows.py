"""Committing a table's rows gives one result, in memory or through files, by either engine."""

from __future__ import annotations

import hashlib
import random
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_anchor.errors import DuplicateKeyError, ProofShapeError, StorageError, TableError
from ledger_anchor.row_commit.columns import TableSource
from ledger_anchor.row_commit.engines.fast import FastEngine
from ledger_anchor.row_commit.engines.plain import PlainEngine
from ledger_anchor.row_commit.row_tree import NodesWriter, RowTree, stream_size
from ledger_anchor.row_commit.rows import (
    CommittedRows,
    RanksFile,
    SaltPlan,
    commit_rows,
    hash_pieces,
    key_digests,
)
from ledger_anchor.row_commit.subjects import SubjectKeys
from ledger_anchor.tree import Tree, consistency_proof, inclusion_proof, verify_inclusion

FILES = ("order.bin", "ranks.bin", "leaves.bin", "cells.bin", "nodes.bin")
SNAPSHOT = bytes(range(16))


def rows_of(count: int, seed: int = 1) -> pa.Table:
    chance = random.Random(seed)
    return pa.table(
        {
            "id": pa.array([f"{seed}-{row}" for row in range(count)], pa.string()),
            "who": pa.array(
                [chance.choice([None, "a", "b", "cé", f"w{row // 9}"]) for row in range(count)],
                pa.string(),
            ),
            "wage": pa.array([chance.randint(-5, 10**6) for _ in range(count)], pa.int64()),
            "hours": pa.array([chance.random() * 10 for _ in range(count)], pa.float64()),
        }
    )


def write(folder: Path, table: pa.Table, parts: int = 1) -> TableSource:
    files = []
    size = -(-table.num_rows // parts) or 1
    for number in range(parts):
        files.append(folder / f"{len(list(folder.iterdir()))}.parquet")
        pq.write_table(table.slice(number * size, size), files[-1], row_group_size=97)
    return TableSource("wages", files)


def salts(source: TableSource, engine: Any, asked: list[str] | None = None) -> SaltPlan:
    def fetch(subjects: list[str]) -> Sequence[bytes]:
        if asked is not None:
            asked.extend(subjects)
        return [hashlib.sha256(one.encode()).digest() for one in subjects]

    subjects = SubjectKeys(source, "who", engine, fetch, b"s" * 32)
    return SaltPlan(SNAPSHOT, subjects.prepared, subjects.index_of, subjects)


def committed(
    source: TableSource, engine: Any, folder: Path, **how: Any
) -> tuple[CommittedRows, dict[str, bytes]]:
    folder.mkdir()
    made = commit_rows(
        source, engine, salts(source, engine), b"o" * 32, ["id"], b"c" * 32, folder, **how
    )
    assert sorted(path.name for path in folder.iterdir()) == sorted(FILES)
    return made, {name: (folder / name).read_bytes() for name in FILES}


class Small(FastEngine):
    """Batches of a few rows, so that a small table has many of them."""

    batch_rows = 300


@pytest.mark.parametrize("rows", [0, 1, 2, 17, 1000])
def test_every_way_to_commit_a_table_gives_the_same_files(tmp_path: Path, rows: int) -> None:
    source = write(tmp_path, rows_of(rows), parts=3 if rows > 2 else 1)
    ways = [(PlainEngine(), 1 << 30), (FastEngine(), 1 << 30), (Small(), 30_000), (Small(), 1)]
    made = [
        committed(source, engine, tmp_path / f"f{number}", memory_bytes=memory)
        for number, (engine, memory) in enumerate(ways)
    ]
    assert all(one == made[0] for one in made)
    result, files = made[0]
    leaves = [files["leaves.bin"][at : at + 32] for at in range(0, 32 * rows, 32)]
    assert result.rows == rows
    assert result.root == Tree(leaves).root()
    assert sorted(array("Q", files["ranks.bin"])) == list(range(rows))


def test_rows_stand_in_the_order_of_their_digests(tmp_path: Path) -> None:
    source = write(tmp_path, rows_of(500))
    files = committed(source, Small(), tmp_path / "f", memory_bytes=1)[1]
    joined = b"".join(
        digests for _, digests in key_digests(source, PlainEngine(), b"o" * 32, ["id"])
    )
    digests = [joined[at : at + 32] for at in range(0, len(joined), 32)]
    ranks = array("Q", files["ranks.bin"])
    assert [sorted(digests).index(digest) for digest in digests] == ranks.tolist()
    assert files["order.bin"] == b"".join(digest[:8] for digest in sorted(digests))


def test_hashing_again_with_the_same_row_numbers_finds_the_same_rows(tmp_path: Path) -> None:
    source = write(tmp_path, rows_of(700), parts=2)
    result, files = committed(source, FastEngine(), tmp_path / "f")
    engine = PlainEngine()
    asked: list[str] = []
    with (tmp_path / "f" / "ranks.bin").open("rb") as stream:
        pieces = hash_pieces(
            source,
            engine,
            salts(source, engine, asked),
            RanksFile(stream.fileno()).of_batch,
            b"c" * 32,
        )
        found = {
            rank: piece.leaves[32 * at : 32 * at + 32]
            for piece in pieces
            for at, rank in enumerate(piece.ranks)
        }
    assert b"".join(found[rank] for rank in range(result.rows)) == files["leaves.bin"]
    assert len(asked) == len(set(asked)), "each subject's key is asked for once"


def test_the_content_digest_knows_values_and_not_where_they_stand(tmp_path: Path) -> None:
    table = rows_of(200)
    shuffled = table.take(random.Random(3).sample(range(200), 200))
    wages = table["wage"].to_pylist()
    wages[3], wages[4] = wages[4], wages[3]
    swapped = table.set_column(2, "wage", pa.array(wages))
    made = [
        committed(write(tmp_path, one, parts), FastEngine(), tmp_path / name)[0].content
        for name, one, parts in (
            ("as it is", table, 1),
            ("in other files", shuffled, 4),
            ("with two values exchanged", swapped, 1),
            ("with a row less", table.slice(1), 1),
        )
    ]
    assert made[0] == made[1]
    assert len(set(made)) == 3


@pytest.mark.parametrize("memory_bytes", [1 << 30, 1])
def test_appended_rows_continue_the_tree(tmp_path: Path, memory_bytes: int) -> None:
    trees, leaves, nodes = [], [], []
    before: RowTree | None = None
    for number, rows in enumerate((5, 300, 1, 4500, 95)):
        source = write(tmp_path, rows_of(rows, seed=number))
        made, files = committed(
            source,
            FastEngine(),
            tmp_path / f"f{number}",
            first_row=0 if before is None else before.size,
            before=before,
            memory_bytes=memory_bytes,
        )
        leaves.append(files["leaves.bin"])
        nodes.append(files["nodes.bin"])
        before = RowTree(leaves, nodes)
        trees.append(Tree.from_leaves(b"".join(leaves)))
        assert made.root == trees[-1].root()
    whole = trees[-1]
    assert before is not None
    assert consistency_proof(before, 305, 4901) == consistency_proof(whole, 305, 4901)
    for index in (0, 4, 5, 304, 305, 306, 4805, 4806, 4900):
        proof = inclusion_proof(before, index, 4901)
        verify_inclusion(whole.node(0, index), index, 4901, proof, whole.root())


@pytest.mark.parametrize("memory_bytes", [1 << 30, 1])
def test_rows_with_one_key_are_counted(tmp_path: Path, memory_bytes: int) -> None:
    table = rows_of(300)
    source = write(tmp_path, pa.concat_tables([table, table.slice(10, 7), table.slice(10, 2)]))
    for number, engine in enumerate((PlainEngine(), Small())):
        with pytest.raises(DuplicateKeyError, match="9 of 309 rows repeat"):
            committed(source, engine, tmp_path / f"f{number}", memory_bytes=memory_bytes)
        left = {path.name for path in (tmp_path / f"f{number}").iterdir()}
        assert left <= {"order.bin"}


@pytest.mark.parametrize("memory_bytes", [1 << 30, 1])
def test_equal_heads_are_told_apart_by_whole_digests(tmp_path: Path, memory_bytes: int) -> None:
    class Blunt(Small):
        """Sees four bits of a digest where others see 64."""

        def heads(self, digests: bytes) -> array[int]:
            return array("Q", [head >> 60 << 60 for head in super().heads(digests)])

    source = write(tmp_path, rows_of(200))
    sharp = committed(source, Small(), tmp_path / "sharp")[1]
    blunt = committed(source, Blunt(), tmp_path / "blunt", memory_bytes=memory_bytes)[1]
    assert all(blunt[name] == sharp[name] for name in FILES if name != "order.bin")


def test_a_failure_leaves_no_partition_file(tmp_path: Path) -> None:
    class Failing(Small):
        def hash_batch(self, *_: Any) -> Any:
            raise TableError("the third batch cannot be hashed")

    source = write(tmp_path, rows_of(1000))
    with pytest.raises(TableError, match="third batch"):
        committed(source, Failing(), tmp_path / "f", memory_bytes=1)
    assert not [path for path in (tmp_path / "f").iterdir() if path.is_dir()]
    with pytest.raises(StorageError, match="cannot"):
        commit_rows(
            source,
            Small(),
            salts(source, Small()),
            b"o" * 32,
            ["id"],
            b"c" * 32,
            tmp_path / "no such folder",
            memory_bytes=1,
        )


def test_a_subject_column_that_names_nobody_is_refused(tmp_path: Path) -> None:
    source = write(tmp_path, rows_of(3))
    for column, message in (("hours", "subject column hours is float"), ("x", "names x")):
        with pytest.raises(TableError, match=message):
            SubjectKeys(source, column, PlainEngine(), lambda _: [], b"s" * 32)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 700), min_size=1, max_size=8))
def test_the_stream_of_nodes_is_the_same_however_leaves_arrive(sizes: list[int]) -> None:
    total = sum(sizes)
    leaves = random.Random(total).randbytes(32 * total)
    at_once, piecewise = bytearray(), bytearray()
    whole = NodesWriter(at_once.extend)
    whole.append(leaves)
    at, writer = 0, NodesWriter(piecewise.extend)
    for number, size in enumerate(sizes):
        if number % 2:
            before = RowTree(leaves[: 32 * at], bytes(piecewise))
            writer = NodesWriter(piecewise.extend, before=before)
        writer.append(leaves[32 * at : 32 * (at + size)])
        at += size
    assert at_once == piecewise
    assert len(at_once) == 32 * stream_size(total)
    tree, rows = Tree.from_leaves(leaves), RowTree(leaves, bytes(at_once))
    assert whole.root() == writer.root() == tree.root()
    for level in range(total.bit_length()):
        for index in {0, total >> level + 1, (total >> level) - 1}:
            assert rows.node(level, index) == tree.node(level, index)
    with pytest.raises(ProofShapeError):
        rows.node(0, total)


def test_a_damaged_stream_of_nodes_is_refused() -> None:
    with pytest.raises(ProofShapeError, match="damaged"):
        RowTree(bytes(32 * 16), b"")
    with pytest.raises(ProofShapeError, match="no node"):
        RowTree(bytes(32 * 16), bytes(32)).node(5, 0)
