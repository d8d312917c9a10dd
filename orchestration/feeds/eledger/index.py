"""The first pass over an export: where each block stands, and which of two at one height counts.

mongoexport writes blocks in whatever order the collection holds them, so the links between
blocks can only be followed when all heights are known. Only headers are kept in memory.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from orchestration.feeds.eledger.blocks import Block
from orchestration.feeds.eledger.source import Span

ShardKey = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Header:
    """A block's place in the export and what links it to its neighbours.

    Attributes:
        source: Number of the source file.
        number: Line or document number in it.
        start: Offset of the document's first byte.
        length: Its length in bytes.
        shard_key: Chain and shard.
        height: Height in the shard.
        timestamp: Milliseconds since 1970.
        previous_hash: As claimed, 64 hex digits.
        hash: As claimed, 64 hex digits.
        fingerprint: Equal for two copies of one block, whatever their spelling.
    """

    source: int
    number: int
    start: int
    length: int
    shard_key: ShardKey
    height: int
    timestamp: int
    previous_hash: str
    hash: str
    fingerprint: int


def header_of(block: Block, source: int, span: Span) -> Header:
    """Return the header of a parsed block."""
    return Header(
        source=source,
        number=span.number,
        start=span.start,
        length=len(span.body),
        shard_key=(block.chain, block.shard),
        height=block.height,
        timestamp=block.timestamp,
        previous_hash=block.previous_hash,
        hash=block.hash,
        fingerprint=hash(block),
    )


class ChainIndex:
    """All headers of an export, by shard and height."""

    def __init__(self) -> None:
        self._shards: dict[ShardKey, dict[int, list[Header]]] = defaultdict(dict)
        self.repeated = 0

    def __len__(self) -> int:
        return sum(len(heights) for heights in self._shards.values())

    def add(self, header: Header) -> bool:
        """Add a header, unless it is a second copy of a block: that is counted and left out.

        Returns:
            Whether it was added.
        """
        candidates = self._shards[header.shard_key].setdefault(header.height, [])
        if any(candidate.fingerprint == header.fingerprint for candidate in candidates):
            self.repeated += 1
            return False
        candidates.append(header)
        return True

    def shards(self) -> Mapping[ShardKey, list[int]]:
        """Return the heights of each shard, shards and heights in order."""
        return {key: sorted(heights) for key, heights in sorted(self._shards.items())}

    def candidates(self, key: ShardKey, height: int) -> list[Header]:
        """Return the blocks that claim one height, the one that counts first.

        The block that the next height builds on counts; where none or several are built on, the
        one that builds on the height before; else the first one read. (The quorum of validators
        will decide this where signatures are checked.)
        """
        found = self._shards[key][height]
        if len(found) == 1:
            return found
        built_on = {header.previous_hash for header in self._at(key, height + 1)}
        before = {header.hash for header in self._at(key, height - 1)}
        return sorted(
            found,
            key=lambda header: (header.hash not in built_on, header.previous_hash not in before),
        )

    def _at(self, key: ShardKey, height: int) -> Iterator[Header]:
        yield from self._shards[key].get(height, [])
