"""The Merkle tree of RFC 6962 / RFC 9162: roots, inclusion proofs and consistency proofs.

What belongs here: hashing of leaves and nodes, proofs and their verification, one tree in memory
and one that keeps only its right edge. What does not: where hashes are stored (``tiles``) and
what an entry means (``manifest``, ``rows``). Verification uses SHA-256 alone and raises on failure.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from ledger_anchor.errors import ProofShapeError, RootMismatchError

HASH_SIZE = 32
EMPTY_ROOT = hashlib.sha256(b"").digest()


class NodeSource(Protocol):
    """Anything that knows the hashes of complete subtrees: a tree in memory, tiles on disk."""

    @property
    def size(self) -> int:
        """Number of leaves."""

    def node(self, level: int, index: int) -> bytes:
        """Hash of the complete subtree over leaves [index * 2**level, (index + 1) * 2**level)."""


def leaf_hash(entry: bytes) -> bytes:
    """Hash an entry as a leaf: SHA-256(0x00 || entry).

    Args:
        entry: the bytes of the entry.

    Returns:
        32 bytes.
    """
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash two children: SHA-256(0x01 || left || right).

    Args:
        left: 32 bytes.
        right: 32 bytes.

    Returns:
        32 bytes.
    """
    return hashlib.sha256(b"\x01" + left + right).digest()


def hash_pairs(nodes: bytes | bytearray) -> bytes:
    """Hash neighbours: the joined nodes of one level give the joined nodes of the level above.

    Args:
        nodes: hashes of 32 bytes, joined; a last one without a neighbour is left out.

    Returns:
        Half as many hashes, joined.
    """
    sha256, width = hashlib.sha256, 2 * HASH_SIZE
    return b"".join(
        [
            sha256(b"\x01" + nodes[at : at + width]).digest()
            for at in range(0, len(nodes) - width + 1, width)
        ]
    )


class Tree:
    """A tree in memory, built from leaf hashes; every complete subtree is kept (64 bytes a leaf).

    Nodes live in one bytearray per level, so a tree of 600,000 rows takes about 40 MB.
    """

    def __init__(self, leaf_hashes: Iterable[bytes] = ()) -> None:
        self._levels: list[bytearray] = [bytearray()]
        for digest in leaf_hashes:
            self.append(digest)

    @classmethod
    def from_entries(cls, entries: Iterable[bytes]) -> Tree:
        """Build a tree over the leaf hashes of entries."""
        return cls.from_leaves(b"".join(map(leaf_hash, entries)))

    @classmethod
    def from_leaves(
        cls, leaves: bytes, hash_level: Callable[[bytes | bytearray], bytes] = hash_pairs
    ) -> Tree:
        """Build a tree over joined leaf hashes, a level at a time.

        Args:
            leaves: leaf hashes of 32 bytes, joined.
            hash_level: gives the nodes of the level above, as ``hash_pairs`` does; an engine that
                hashes many at once may be put here.

        Raises:
            ProofShapeError: if ``leaves`` is not a whole number of hashes.
        """
        check_joined(leaves)
        levels: list[bytes] = [leaves]
        while len(levels[-1]) >= 2 * HASH_SIZE:
            levels.append(hash_level(levels[-1]))
        return cls.from_levels(levels)

    @classmethod
    def from_levels(cls, levels: Sequence[bytes | bytearray]) -> Tree:
        """Take over ready levels: level k holds the hashes of complete subtrees of 2**k leaves."""
        tree = cls()
        tree._levels = [bytearray(level) for level in levels] or [bytearray()]
        return tree

    @property
    def size(self) -> int:
        """Number of leaves."""
        return len(self._levels[0]) // HASH_SIZE

    def append(self, digest: bytes) -> None:
        """Add one leaf hash and every complete subtree it closes.

        Args:
            digest: leaf hash, 32 bytes.

        Raises:
            ProofShapeError: if it is not 32 bytes long.
        """
        _check_hash(digest, "leaf hash")
        self._levels[0] += digest
        level = 0
        while len(self._levels[level]) // HASH_SIZE % 2 == 0:
            pair = bytes(self._levels[level][-2 * HASH_SIZE :])
            if level + 1 == len(self._levels):
                self._levels.append(bytearray())
            self._levels[level + 1] += hashlib.sha256(b"\x01" + pair).digest()
            level += 1

    def node(self, level: int, index: int) -> bytes:
        """Hash of a complete subtree of 2**level leaves.

        Raises:
            ProofShapeError: if the tree has no such complete subtree.
        """
        if level < len(self._levels):
            digest = bytes(self._levels[level][index * HASH_SIZE : (index + 1) * HASH_SIZE])
            if len(digest) == HASH_SIZE:
                return digest
        raise ProofShapeError(f"a tree of {self.size} leaves has no node {index} on level {level}")

    def root(self, size: int | None = None) -> bytes:
        """Root of the first ``size`` leaves (of all, if not given), 32 bytes."""
        wanted = self.size if size is None else size
        _check_size(wanted, self.size)
        return range_root(self, 0, wanted)


class StreamingRoot:
    """The root of leaves that come one after another, in constant memory: one hash a level."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    def append(self, digest: bytes) -> None:
        """Add one leaf hash.

        Raises:
            ProofShapeError: if it is not 32 bytes long.
        """
        _check_hash(digest, "leaf hash")
        self.extend(digest)

    def extend(self, leaves: bytes) -> None:
        """Add joined leaf hashes.

        Raises:
            ProofShapeError: if they are not a whole number of hashes.
        """
        check_joined(leaves)
        self.size += len(leaves) // HASH_SIZE
        level, nodes = 0, leaves
        while nodes:
            if level == len(self._peaks):
                self._peaks.append(b"")
            nodes = self._peaks[level] + nodes
            is_odd = len(nodes) // HASH_SIZE % 2
            self._peaks[level] = nodes[-HASH_SIZE:] if is_odd else b""
            level, nodes = level + 1, hash_pairs(nodes)

    def root(self) -> bytes:
        """Root of the leaves so far, 32 bytes."""
        return fold_peaks([peak for peak in reversed(self._peaks) if peak])


def fold_peaks(peaks: Sequence[bytes]) -> bytes:
    """Root over complete subtrees of falling size, the largest first (none: the empty root)."""
    if not peaks:
        return EMPTY_ROOT
    root = peaks[-1]
    for peak in peaks[-2::-1]:
        root = node_hash(peak, root)
    return root


def range_root(nodes: NodeSource, start: int, end: int) -> bytes:
    """Root of the leaves [start, end), where ``start`` lies on the edge RFC 6962 would split at.

    Args:
        nodes: where complete subtrees come from.
        start: first leaf; a multiple of the largest power of two not above the width.
        end: one past the last leaf.

    Returns:
        32 bytes; the root of the empty tree if the range is empty.
    """
    peaks = []
    while start < end:
        level = (end - start).bit_length() - 1
        peaks.append(nodes.node(level, start >> level))
        start += 1 << level
    return fold_peaks(peaks)


def tree_root(entries: Sequence[bytes] | NodeSource) -> bytes:
    """Root of the tree over entries.

    Args:
        entries: the entries themselves (each is hashed as a leaf), or a tree.

    Returns:
        32 bytes; SHA-256("") if there is none.
    """
    nodes = _as_nodes(entries)
    return range_root(nodes, 0, nodes.size)


def inclusion_proof(
    entries_or_tree: Sequence[bytes] | NodeSource, index: int, size: int
) -> list[bytes]:
    """Audit path of leaf ``index`` in the tree of the first ``size`` leaves (RFC 9162, 2.1.3.1).

    Args:
        entries_or_tree: entries (hashed as leaves) or a tree.
        index: number of the leaf, from 0.
        size: size of the tree the proof is for.

    Returns:
        Hashes of 32 bytes, the leaf's sibling first.

    Raises:
        ProofShapeError: if index or size lie outside the tree.
    """
    nodes = _as_nodes(entries_or_tree)
    _check_size(size, nodes.size)
    if not 0 <= index < size:
        raise ProofShapeError(f"leaf {index} is not in a tree of {size} leaves")
    return chunk_proof(nodes, index, index + 1, size)


def chunk_proof(nodes: NodeSource, start: int, end: int, size: int) -> list[bytes]:
    """Path from a subtree to the root: what ``inclusion_proof`` is for a single leaf.

    ``verify_inclusion`` checks it with the chunk's own root as the leaf hash, its number among
    chunks of that width as the index, and the number of chunks as the size.

    Args:
        nodes: the tree.
        start: first leaf of the chunk; a multiple of its width, a power of two.
        end: one past its last leaf; the last chunk may be cut short by ``size``.
        size: size of the tree the path is for.

    Returns:
        Hashes of 32 bytes, the chunk's sibling first.

    Raises:
        ProofShapeError: if [start, end) is no subtree of a tree of that size.
    """
    path = []
    left, right = 0, size
    while (left, right) != (start, end):
        if right - left < 2 or not left <= start < end <= right:
            raise ProofShapeError(f"leaves {start} to {end} are no subtree of a tree of {size}")
        middle = left + _split(right - left)
        if start < middle:
            path.append(range_root(nodes, middle, right))
            right = middle
        else:
            path.append(range_root(nodes, left, middle))
            left = middle
    return path[::-1]


def consistency_proof(tree: Sequence[bytes] | NodeSource, size1: int, size2: int) -> list[bytes]:
    """Proof that the tree of ``size2`` leaves extends that of ``size1`` (RFC 9162, 2.1.4.1).

    Args:
        tree: entries (hashed as leaves) or a tree.
        size1: the older size, at least 1.
        size2: the newer size.

    Returns:
        Hashes of 32 bytes; none if the sizes are equal.

    Raises:
        ProofShapeError: unless 1 <= size1 <= size2 <= size of the tree.
    """
    nodes = _as_nodes(tree)
    _check_size(size2, nodes.size)
    if not 1 <= size1 <= size2:
        raise ProofShapeError(f"no consistency proof from size {size1} to size {size2}")
    path = []
    start, end = 0, size2
    is_left_edge = True
    while end != size1:
        middle = start + _split(end - start)
        if size1 <= middle:
            path.append(range_root(nodes, middle, end))
            end = middle
        else:
            path.append(range_root(nodes, start, middle))
            start = middle
            is_left_edge = False
    if not is_left_edge:
        path.append(range_root(nodes, start, end))
    return path[::-1]


def verify_inclusion(
    leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Check that a leaf is in a tree (RFC 9162, 2.1.3.2).

    Args:
        leaf_hash: hash of the leaf, 32 bytes.
        index: its number, from 0.
        size: size of the tree.
        proof: audit path, the leaf's sibling first.
        root: root of the tree, 32 bytes.

    Raises:
        ProofShapeError: if index, size or the number or length of hashes cannot be right.
        RootMismatchError: if the path leads to another root.
    """
    _check_hashes(proof, leaf_hash, root)
    if not 0 <= index < size:
        raise ProofShapeError(f"leaf {index} is not in a tree of {size} leaves")
    first, second, running = index, size - 1, leaf_hash
    for sibling in proof:
        if second == 0:
            raise ProofShapeError(f"{len(proof)} hashes are too many for leaf {index} of {size}")
        if first & 1 or first == second:
            running = node_hash(sibling, running)
            while first and not first & 1:
                first, second = first >> 1, second >> 1
        else:
            running = node_hash(running, sibling)
        first, second = first >> 1, second >> 1
    if second != 0:
        raise ProofShapeError(f"{len(proof)} hashes are too few for leaf {index} of {size}")
    if running != root:
        raise RootMismatchError(f"inclusion of leaf {index} in {size}", root, running)


def verify_consistency(
    size1: int, size2: int, proof: Sequence[bytes], root1: bytes, root2: bytes
) -> None:
    """Check that the newer tree extends the older one (RFC 9162, 2.1.4.2).

    Args:
        size1: the older size, at least 1 (a witness has its own rule for size 0).
        size2: the newer size.
        proof: consistency path.
        root1: root at size1, 32 bytes.
        root2: root at size2, 32 bytes.

    Raises:
        ProofShapeError: if sizes or the number or length of hashes cannot be right.
        RootMismatchError: if the path leads to other roots.
    """
    _check_hashes(proof, root1, root2)
    if not 1 <= size1 <= size2:
        raise ProofShapeError(f"no consistency from size {size1} to size {size2} can be proven")
    if size1 == size2:
        if proof:
            raise ProofShapeError(f"equal sizes need no hashes, found {len(proof)}")
        if root1 != root2:
            raise RootMismatchError(f"two roots at size {size1}", root1, root2)
        return
    if not proof:
        raise ProofShapeError(f"an empty proof from size {size1} to size {size2}")
    old, new = _consistency_roots(size1, size2, proof, root1)
    if old != root1:
        raise RootMismatchError(f"consistency, older tree of {size1}", root1, old)
    if new != root2:
        raise RootMismatchError(f"consistency, newer tree of {size2}", root2, new)


def _consistency_roots(
    size1: int, size2: int, proof: Sequence[bytes], root1: bytes
) -> tuple[bytes, bytes]:
    path = [root1, *proof] if size1 & (size1 - 1) == 0 else list(proof)
    first, second = size1 - 1, size2 - 1
    while first & 1:
        first, second = first >> 1, second >> 1
    old = new = path[0]
    for sibling in path[1:]:
        if second == 0:
            raise ProofShapeError(f"{len(proof)} hashes are too many from {size1} to {size2}")
        if first & 1 or first == second:
            old, new = node_hash(sibling, old), node_hash(sibling, new)
            while first and not first & 1:
                first, second = first >> 1, second >> 1
        else:
            new = node_hash(new, sibling)
        first, second = first >> 1, second >> 1
    if second != 0:
        raise ProofShapeError(f"{len(proof)} hashes are too few from {size1} to {size2}")
    return old, new


def _as_nodes(entries_or_tree: Sequence[bytes] | NodeSource) -> NodeSource:
    if isinstance(entries_or_tree, Sequence):
        return Tree.from_entries(entries_or_tree)
    return entries_or_tree


def _split(width: int) -> int:
    """Largest power of two below the width (RFC 6962: k < n <= 2k)."""
    return 1 << ((width - 1).bit_length() - 1)


def _check_size(size: int, available: int) -> None:
    if not 0 <= size <= available:
        raise ProofShapeError(f"size {size} asked of a tree of {available} leaves")


def _check_hash(digest: bytes, what: str) -> None:
    if len(digest) != HASH_SIZE:
        raise ProofShapeError(f"{what}: expected {HASH_SIZE} bytes, found {len(digest)}")


def check_joined(hashes: bytes | bytearray) -> None:
    """Refuse bytes that are not whole hashes.

    Raises:
        ProofShapeError: telling their number.
    """
    if len(hashes) % HASH_SIZE:
        raise ProofShapeError(f"expected hashes of {HASH_SIZE} bytes, found {len(hashes)} bytes")


def _check_hashes(proof: Sequence[bytes], *ends: bytes) -> None:
    for digest in ends:
        _check_hash(digest, "leaf hash or root")
    for number, digest in enumerate(proof):
        _check_hash(digest, f"hash {number} of the proof")
