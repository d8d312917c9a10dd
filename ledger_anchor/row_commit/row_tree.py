"""The tree over a table's rows: a stream of upper nodes beside the leaves, and quick paths from it.

What belongs here: writing that stream while leaves arrive in order, continuing it when rows are
appended, and reading nodes back. What does not: where the files lie (``records``), proofs
(``tree``).

Of the levels 4, 8, 12, ... every complete subtree's hash is kept, in the order in which leaves
complete them: after each sixteen leaves a node of level 4, after each sixteen of those a node of
level 8, and so on. The stream only ever grows at its end, takes 2.2 bytes a row, and no node costs
more than fifteen hashes: a path in a table of a million rows is read in some fifty microseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from ledger_anchor.errors import ProofShapeError
from ledger_anchor.tree import HASH_SIZE, NodeSource, check_joined, fold_peaks, hash_pairs

_STEP = 4  # levels between kept ones
_FAN = 1 << _STEP
_AT_ONCE = 1 << 16  # leaves


class Bytes(Protocol):
    """Bytes in memory or in a mapped file."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: slice, /) -> bytes | bytearray: ...


class RowTree:
    """Nodes of a tree from its leaves and its stream of upper nodes (a ``NodeSource``).

    Args:
        leaves: leaf hashes, joined: bytes or a mapped file, or several that follow each other.
        nodes: the stream, in as many pieces.
    """

    def __init__(self, leaves: Bytes | Sequence[Bytes], nodes: Bytes | Sequence[Bytes]) -> None:
        self._leaves, self._nodes = _Joined(leaves), _Joined(nodes)
        expected = stream_size(self._leaves.size)
        if self._nodes.size != expected:
            raise ProofShapeError(
                f"{self._leaves.size} leaves have {expected} kept nodes above them; "
                f"found {self._nodes.size}: the record is damaged"
            )

    @property
    def size(self) -> int:
        """Number of leaves."""
        return self._leaves.size

    def node(self, level: int, index: int) -> bytes:
        """Hash of a complete subtree of 2**level leaves.

        Raises:
            ProofShapeError: if the tree has no such complete subtree.
        """
        if not 0 <= index < self.size >> level:
            raise ProofShapeError(f"a tree of {self.size} leaves has no node {index} of {level}")
        stage, above = divmod(level, _STEP)
        first = index << above
        numbers = range(first, first + (1 << above))
        joined = b"".join(
            [self._nodes.at(_place(stage, number)) for number in numbers]
            if stage
            else [self._leaves.at(number) for number in numbers]
        )
        for _ in range(above):
            joined = hash_pairs(joined)
        return joined


class NodesWriter:
    """Turns leaves that arrive in order into the stream of upper nodes, and their root.

    Args:
        write: takes the next bytes of the stream.
        pairs: gives a level's parents, as ``tree.hash_pairs`` does; an engine's is faster.
        before: the tree these leaves extend.
    """

    def __init__(
        self,
        write: Callable[[bytes], object],
        pairs: Callable[[bytes], bytes] = hash_pairs,
        before: NodeSource | None = None,
    ) -> None:
        self._write, self._pairs = write, pairs
        self.size = 0 if before is None else before.size
        # Of each kept level, the nodes that no kept node above covers yet: fewer than sixteen.
        self._open: list[bytes] = []
        if before is not None:
            for level in range(0, self.size.bit_length(), _STEP):
                count = self.size >> level
                numbers = range(count - count % _FAN, count)
                self._open.append(b"".join(before.node(level, number) for number in numbers))

    def append(self, leaves: bytes | bytearray) -> None:
        """Add joined leaf hashes.

        Raises:
            ProofShapeError: if they are not a whole number of hashes.
        """
        check_joined(leaves)
        view = memoryview(leaves)
        for start in range(0, len(leaves), _AT_ONCE * HASH_SIZE):
            self._append(bytes(view[start : start + _AT_ONCE * HASH_SIZE]))

    def _append(self, leaves: bytes) -> None:
        self.size += len(leaves) // HASH_SIZE
        made, stage, nodes = [], 0, leaves
        open_before = []
        while nodes:
            if stage == len(self._open):
                self._open.append(b"")
            open_before.append(len(self._open[stage]) // HASH_SIZE)
            nodes = self._open[stage] + nodes
            whole = len(nodes) // (_FAN * HASH_SIZE) * _FAN * HASH_SIZE
            nodes, self._open[stage] = nodes[:whole], nodes[whole:]
            for _ in range(_STEP):
                nodes = self._pairs(nodes)
            made.append(nodes)
            stage += 1
        self._write(_interleave(made, open_before[1:]))

    def root(self) -> bytes:
        """Root of all leaves so far, 32 bytes."""
        peaks = []
        for nodes in reversed(self._open):
            at = 0
            for step in reversed(range(_STEP)):
                if len(nodes) // HASH_SIZE & (1 << step):
                    joined = nodes[at : at + (HASH_SIZE << step)]
                    at += HASH_SIZE << step
                    for _ in range(step):
                        joined = hash_pairs(joined)
                    peaks.append(joined)
        return fold_peaks(peaks)


def stream_size(leaves: int) -> int:
    """Number of kept nodes above so many leaves."""
    total = 0
    while leaves := leaves >> _STEP:
        total += leaves
    return total


def _place(stage: int, index: int) -> int:
    """Number in the stream of node ``index`` of level 4 * stage."""
    # The leaves that complete it complete nodes of the levels below first, then others above.
    lowest = (index + 1) << (_STEP * (stage - 1))
    place, step = -1, 0
    while count := (lowest if step < stage else lowest - 1) >> (_STEP * step):
        place += count
        step += 1
    return place


def _interleave(made: Sequence[bytes], open_before: Sequence[int]) -> bytes:
    """New nodes of the levels 4, 8, ... in the order leaves complete them.

    ``open_before`` holds, for each level from 4 up, how many nodes stood open before.
    """
    if not made or not made[0]:
        return b""
    lowest = made[0]
    stream = []
    taken = [0] * len(made)
    first = _FAN - open_before[0]  # nodes of level 4 until one of level 8 is complete
    edges = [*range(first * HASH_SIZE, len(lowest) + 1, _FAN * HASH_SIZE)]
    start = 0
    for end in edges:
        stream.append(lowest[start:end])
        start = end
        stage = 1
        while True:
            at = taken[stage]
            stream.append(made[stage][at : at + HASH_SIZE])
            taken[stage] = at + HASH_SIZE
            if stage + 1 == len(made):
                break
            if (open_before[stage] + taken[stage] // HASH_SIZE) % _FAN:
                break
            stage += 1
    stream.append(lowest[start:])
    return b"".join(stream)


class _Joined:
    """Records of 32 bytes in one or several pieces that follow each other."""

    def __init__(self, pieces: Bytes | Sequence[Bytes]) -> None:
        self._pieces: list[tuple[int, Bytes]] = []
        self.size = 0
        for piece in pieces if isinstance(pieces, (list, tuple)) else [pieces]:
            if len(piece):
                self._pieces.append((self.size, piece))
                self.size += len(piece) // HASH_SIZE

    def at(self, number: int) -> bytes:
        for first, piece in reversed(self._pieces):
            if number >= first:
                at = (number - first) * HASH_SIZE
                return bytes(piece[at : at + HASH_SIZE])
        raise ProofShapeError(f"there is no record {number}")
