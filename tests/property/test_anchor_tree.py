"""Fast tree, naive recursion of RFC 6962 and a log on disk agree, and their proofs verify."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger_anchor import (
    LogReader,
    LogWriter,
    SignerKey,
    Tree,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from ledger_anchor.errors import ProofShapeError, RootMismatchError
from ledger_anchor.row_commit.engines.choice import build_tree
from ledger_anchor.row_commit.engines.fast import FastEngine
from ledger_anchor.row_commit.engines.plain import PlainEngine
from ledger_anchor.tlog.tiles import TileBuilder, TileTree, tile_path
from ledger_anchor.tree import HASH_SIZE, StreamingRoot, chunk_proof, range_root


def naive_root(entries: list[bytes], start: int, end: int, known: dict[Any, bytes]) -> bytes:
    """The definition of RFC 6962, section 2.1, word for word; ``known`` spares saying it twice."""
    if (start, end) not in known:
        if start == end:
            digest = hashlib.sha256(b"").digest()
        elif end - start == 1:
            digest = hashlib.sha256(b"\x00" + entries[start]).digest()
        else:
            split = 1
            while split * 2 < end - start:
                split *= 2
            left = naive_root(entries, start, start + split, known)
            right = naive_root(entries, start + split, end, known)
            digest = hashlib.sha256(b"\x01" + left + right).digest()
        known[start, end] = digest
    return known[start, end]


def numbered(size: int) -> list[bytes]:
    return [str(number).encode() for number in range(size)]


def test_three_trees_have_the_root_of_the_definition_at_every_size_up_to_5000() -> None:
    entries, known = numbered(5000), {}
    whole, growing, streaming = Tree.from_entries(entries), Tree(), StreamingRoot()
    for size in range(5001):
        expected = naive_root(entries, 0, size, known)
        assert whole.root(size) == expected
        assert growing.root() == expected
        assert streaming.root() == expected
        if size < 5000:
            leaf = leaf_hash(entries[size])
            growing.append(leaf)
            streaming.append(leaf)
    assert whole.root() == tree_root(entries)
    assert growing.size == streaming.size == 5000


def test_tiles_have_the_root_of_the_definition_and_are_read_by_older_readers() -> None:
    entries, known = numbered(1100), {}
    builder, files = TileBuilder(), {}
    for size in range(1101):
        if size:
            changed = builder.extend(leaf_hash(entries[size - 1])) + builder.open_tiles()
            for level, number, tile in changed:
                files[tile_path(level, number, len(tile) // HASH_SIZE)] = tile
        if size % 256 in {0, 1, 2, 255} or size % 19 == 0:
            assert builder.root() == naive_root(entries, 0, size, known)
            resumed = TileBuilder.resume(TileTree(size, files.get))
            assert resumed.root() == builder.root()
    full = {path: tile for path, tile in files.items() if ".p/" not in path}
    for size in (1, 2, 200, 255):
        older = TileTree(size, full.get)  # its partial tile is gone: the full one begins with it
        assert range_root(older, 0, size) == naive_root(entries, 0, size, known)


@settings(max_examples=5, deadline=None)
@given(st.integers(5001, 70_000), st.data())
def test_larger_trees_agree_however_their_leaves_arrive(size: int, data: st.DataObject) -> None:
    entries = numbered(size)
    leaves = b"".join(map(leaf_hash, entries))
    expected = naive_root(entries, 0, size, {})
    streaming, tiles = StreamingRoot(), TileBuilder()
    cuts = data.draw(st.lists(st.integers(0, size), max_size=5).map(sorted))
    for start, end in itertools.pairwise([0, *cuts, size]):
        portion = leaves[start * HASH_SIZE : end * HASH_SIZE]
        streaming.extend(portion)
        tiles.extend(portion)
    assert streaming.root() == tiles.root() == Tree.from_leaves(leaves).root() == expected


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 1500), st.integers(0, 1499), st.sampled_from([1, 2, 8, 256]))
def test_a_chunk_proof_leads_from_the_chunks_root_to_the_root(
    size: int, leaf: int, width: int
) -> None:
    tree = Tree.from_entries(numbered(size))
    number = leaf % size // width
    start, end = number * width, min((number + 1) * width, size)
    path = chunk_proof(tree, start, end, size)
    root, chunks = range_root(tree, start, end), -(-size // width)
    verify_inclusion(root, number, chunks, path, tree.root())
    with pytest.raises(RootMismatchError):
        verify_inclusion(leaf_hash(b"another"), number, chunks, path, tree.root())


@pytest.mark.parametrize("chunk", [(1, 3), (0, 3), (4, 9), (8, 8), (6, 4), (0, 0)])
def test_leaves_that_are_no_subtree_have_no_chunk_proof(chunk: tuple[int, int]) -> None:
    with pytest.raises(ProofShapeError, match="no subtree"):
        chunk_proof(Tree.from_entries(numbered(8)), *chunk, 8)


@pytest.mark.parametrize("build", [StreamingRoot().extend, TileBuilder().extend, Tree.from_leaves])
def test_leaves_that_are_not_whole_hashes_are_refused(build: Callable[[bytes], object]) -> None:
    with pytest.raises(ProofShapeError, match="found 33 bytes"):
        build(bytes(33))


def test_both_engines_build_the_same_tree() -> None:
    fast, plain = FastEngine(), PlainEngine()
    for size in (0, 1, 2, 3, 255, 256, 257, 1000, 4097):
        leaves = b"".join(leaf_hash(entry) for entry in numbered(size))
        made = [Tree.from_leaves(leaves, engine.hash_pairs) for engine in (fast, plain)]
        assert made[0].root() == made[1].root()
        assert made[0].size == size


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_inclusion_proof_verifies_and_no_other_leaf_does(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 700))
    index = data.draw(st.integers(0, size - 1))
    tree = Tree.from_entries(numbered(size + data.draw(st.integers(0, 5))))
    proof = inclusion_proof(tree, index, size)
    verify_inclusion(leaf_hash(str(index).encode()), index, size, proof, tree.root(size))
    for wrong in (leaf_hash(b"x"), tree.root(size)):
        if size > 1 or wrong != tree.root(size):
            try:
                verify_inclusion(wrong, index, size, proof, tree.root(size))
            except Exception as error:  # noqa: BLE001 - the type is what is asserted
                assert type(error).__name__ == "RootMismatchError"  # noqa: PT017
            else:
                raise AssertionError("another leaf verified")


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 700), st.integers(0, 300))
def test_every_consistency_proof_verifies(older: int, more: int) -> None:
    tree = Tree.from_entries(numbered(older + more))
    proof = consistency_proof(tree, older, older + more)
    verify_consistency(older, older + more, proof, tree.root(older), tree.root())


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.integers(0, 300), min_size=1, max_size=6))
def test_a_log_on_disk_has_the_root_of_its_entries_however_they_were_batched(
    tmp_path_factory: object, batches: list[int]
) -> None:
    folder: Path = tmp_path_factory.mktemp("log")  # type: ignore[attr-defined]
    signer = SignerKey("example.org/log", bytes(32))
    writer = LogWriter(folder / "log", signer, folder / "state", folder / "lock")
    entries: list[bytes] = []
    for count in batches:
        fresh = [f"{len(entries) + number}".encode() for number in range(count)]
        assert writer.append(fresh) == list(range(len(entries), len(entries) + count))
        entries += fresh
    reader = LogReader(folder / "log", signer.verifier().format())
    checkpoint = reader.verify_files()
    assert (checkpoint.size, checkpoint.root) == (len(entries), tree_root(entries))
    assert list(reader.entries()) == entries


@pytest.mark.parametrize("use_numba", [True, False])
@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1500, 4097])
def test_a_tree_built_by_an_engine_is_the_tree_over_the_entries(
    count: int, *, use_numba: bool
) -> None:
    entries = [bytes([number % 251]) * (number * 37 % 301) for number in range(count)]
    built = build_tree(entries, use_numba)
    assert (built.size, built.root()) == (count, Tree.from_entries(entries).root())
    for index in range(0, count, 499):
        proof = inclusion_proof(built, index, count)
        verify_inclusion(leaf_hash(entries[index]), index, count, proof, tree_root(entries))
