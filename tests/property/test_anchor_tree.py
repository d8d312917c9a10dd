"""Fast tree, naive recursion of RFC 6962 and a log on disk agree, and their proofs verify."""

from __future__ import annotations

import hashlib
from pathlib import Path

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
from ledger_anchor.fast import FastEngine
from ledger_anchor.rows import PlainEngine


def naive_root(entries: list[bytes]) -> bytes:
    """The definition of RFC 6962, section 2.1, word for word."""
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    split = 1
    while split * 2 < len(entries):
        split *= 2
    both = naive_root(entries[:split]) + naive_root(entries[split:])
    return hashlib.sha256(b"\x01" + both).digest()


def numbered(size: int) -> list[bytes]:
    return [str(number).encode() for number in range(size)]


def test_a_growing_tree_has_the_root_of_the_definition_at_every_size_up_to_300() -> None:
    tree, entries = Tree(), numbered(300)
    for size in range(301):
        assert tree.root() == tree_root(entries[:size])
        if size % 17 == 0:
            assert tree.root() == naive_root(entries[:size])
        if size < 300:
            tree.append(leaf_hash(entries[size]))
    assert [tree.root(size) for size in (0, 1, 7, 128, 255)] == [
        naive_root(entries[:size]) for size in (0, 1, 7, 128, 255)
    ]


def test_both_engines_build_the_same_tree() -> None:
    fast, plain = FastEngine(), PlainEngine()
    for size in (0, 1, 2, 3, 255, 256, 257, 1000, 4097):
        leaves = b"".join(leaf_hash(entry) for entry in numbered(size))
        assert fast.tree(leaves).root() == plain.tree(leaves).root()
        assert fast.tree(leaves).size == size


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
