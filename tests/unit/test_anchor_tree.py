"""Trees and tiles: what is refused, and that every source of nodes gives the same proofs."""

from __future__ import annotations

import pytest

from ledger_anchor import (
    Tree,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    tree_root,
    verify_consistency,
    verify_inclusion,
)
from ledger_anchor.errors import LogCorruptError, ProofShapeError, RootMismatchError
from ledger_anchor.tlog.tiles import (
    TileTree,
    decode_bundle,
    encode_bundle,
    partial_width,
    tile_path,
    tiles_of_size,
)

ENTRIES = [f"entry {number}".encode() for number in range(13)]


def test_a_mismatch_carries_the_expected_and_the_calculated_root() -> None:
    root = tree_root(ENTRIES)
    proof = inclusion_proof(ENTRIES, 5, 13)
    with pytest.raises(RootMismatchError) as caught:
        verify_inclusion(leaf_hash(b"another"), 5, 13, proof, root)
    assert caught.value.expected == root
    assert caught.value.calculated != root
    assert root.hex() in str(caught.value)
    assert caught.value.calculated.hex() in str(caught.value)


def test_verification_returns_nothing_when_it_holds() -> None:
    root = tree_root(ENTRIES)
    proof = inclusion_proof(ENTRIES, 5, 13)
    assert verify_inclusion(leaf_hash(ENTRIES[5]), 5, 13, proof, root) is None
    older = tree_root(ENTRIES[:6])
    assert verify_consistency(6, 13, consistency_proof(ENTRIES, 6, 13), older, root) is None


@pytest.mark.parametrize(("index", "size"), [(13, 13), (-1, 13), (0, 0), (3, 14)])
def test_a_proof_outside_the_tree_is_refused(index: int, size: int) -> None:
    with pytest.raises(ProofShapeError):
        inclusion_proof(ENTRIES, index, size)


@pytest.mark.parametrize(("older", "newer"), [(0, 5), (6, 5), (5, 14), (-1, 3)])
def test_a_consistency_proof_between_impossible_sizes_is_refused(older: int, newer: int) -> None:
    with pytest.raises(ProofShapeError):
        consistency_proof(ENTRIES, older, newer)
    with pytest.raises(ProofShapeError):
        verify_consistency(max(older, 0) if older > newer else 0, newer, [], bytes(32), bytes(32))


def test_hashes_of_another_length_are_refused() -> None:
    with pytest.raises(ProofShapeError, match="32 bytes"):
        verify_inclusion(bytes(31), 0, 1, [], bytes(32))
    with pytest.raises(ProofShapeError, match="32 bytes"):
        verify_consistency(1, 2, [bytes(33)], bytes(32), bytes(32))
    with pytest.raises(ProofShapeError, match="32 bytes"):
        Tree([b"short"])


def test_equal_sizes_need_equal_roots_and_no_hashes() -> None:
    root = tree_root(ENTRIES)
    assert verify_consistency(13, 13, [], root, root) is None
    with pytest.raises(RootMismatchError):
        verify_consistency(13, 13, [], root, bytes(32))
    with pytest.raises(ProofShapeError):
        verify_consistency(13, 13, [root], root, root)


def test_a_tree_knows_only_complete_subtrees() -> None:
    with pytest.raises(ProofShapeError, match="no node"):
        Tree.from_entries(ENTRIES).node(2, 3)


@pytest.mark.parametrize(
    ("number", "width", "path"),
    [
        (0, 256, "tile/0/000"),
        (5, 7, "tile/0/005.p/7"),
        (1234067, 256, "tile/0/x001/x234/067"),
        (1000, 1, "tile/0/x001/000.p/1"),
    ],
)
def test_tile_paths_are_those_of_the_specification(number: int, width: int, path: str) -> None:
    assert tile_path(0, number, width) == path


def test_a_log_of_70000_entries_needs_partial_tiles_on_three_levels() -> None:
    assert [partial_width(70_000, level) for level in range(4)] == [112, 17, 1, 0]
    assert (2, 0, 1) in list(tiles_of_size(70_000))
    assert ("entries", 273, 112) in list(tiles_of_size(70_000))


def test_bundles_hold_entries_of_any_length_up_to_a_u16() -> None:
    entries = [b"", b"x" * 65_535]
    assert decode_bundle(encode_bundle(entries), 2, "bundle") == entries
    with pytest.raises(ProofShapeError, match="65535"):
        encode_bundle([b"x" * 65_536])


@pytest.mark.parametrize("cut", [1, 5, 9])
def test_a_truncated_bundle_is_named(cut: int) -> None:
    data = encode_bundle([b"first", b"second"])
    with pytest.raises(LogCorruptError, match="tile/entries/000"):
        decode_bundle(data[:-cut], 2, "tile/entries/000")


def test_a_truncated_or_missing_tile_is_named() -> None:
    tiles = {"tile/0/000.p/13": b"".join(map(leaf_hash, ENTRIES))}
    assert TileTree(13, tiles.get).node(3, 0) == tree_root(ENTRIES[:8])
    with pytest.raises(LogCorruptError, match="missing"):
        TileTree(12, tiles.get).node(0, 0)
    with pytest.raises(LogCorruptError, match="truncated"):
        TileTree(13, lambda path: tiles[path][:-1]).node(0, 0)
