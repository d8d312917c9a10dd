"""The layout of a log on disk (C2SP tlog-tiles): paths, tiles of 256 hashes, entry bundles.

What belongs here: pure layout, and a tree that reads its nodes from tiles. What does not: when
something may be written or signed (``log``). Any static web server or object store can hold it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence

from ledger_anchor.errors import LogCorruptError, ProofShapeError
from ledger_anchor.tree import HASH_SIZE, node_hash

TILE_WIDTH = 256
_TILE_HEIGHT = 8
_MAX_ENTRY = 65_535


def tile_path(level: int | str, number: int, width: int = TILE_WIDTH) -> str:
    """Path of a tile below the log's folder.

    Args:
        level: tile level, or "entries" for an entry bundle.
        number: tile number; 1234067 becomes x001/x234/067.
        width: number of hashes or entries; below 256 the tile is partial.

    Returns:
        A relative path with slashes.
    """
    groups = [f"{number % 1000:03d}"]
    while number >= 1000:
        number //= 1000
        groups.insert(0, f"x{number % 1000:03d}")
    partial = "" if width == TILE_WIDTH else f".p/{width}"
    return f"tile/{level}/{'/'.join(groups)}{partial}"


def partial_width(size: int, level: int) -> int:
    """How many hashes the last, partial tile of a level has (0: none) in a log of this size."""
    return (size >> (_TILE_HEIGHT * level)) % TILE_WIDTH


def tiles_of_size(size: int) -> Iterator[tuple[int | str, int, int]]:
    """Every tile and bundle a log of this size needs: (level or "entries", number, width)."""
    kinds: list[tuple[int | str, int]] = [("entries", size)]
    level = 0
    while size >> (_TILE_HEIGHT * level):
        kinds.append((level, size >> (_TILE_HEIGHT * level)))
        level += 1
    for kind, count in kinds:
        for number in range(-(-count // TILE_WIDTH)):
            yield kind, number, min(TILE_WIDTH, count - number * TILE_WIDTH)


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Entry bundle: u16 big-endian length and bytes of each entry.

    Raises:
        ProofShapeError: if an entry is longer than 65,535 bytes.
    """
    for entry in entries:
        if len(entry) > _MAX_ENTRY:
            raise ProofShapeError(f"an entry of {len(entry)} bytes; at most {_MAX_ENTRY} fit")
    return b"".join(struct.pack(">H", len(entry)) + entry for entry in entries)


def decode_bundle(data: bytes, width: int, path: str) -> list[bytes]:
    """Read an entry bundle of exactly ``width`` entries.

    Raises:
        LogCorruptError: naming the path, if it is truncated or holds another number.
    """
    entries: list[bytes] = []
    at = 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 2], "big")
        entry = data[at + 2 : at + 2 + length]
        if at + 2 + length > len(data):
            raise LogCorruptError(f"{path}: truncated in entry {len(entries)} of {width}")
        entries.append(entry)
        at += 2 + length
    if len(entries) != width:
        raise LogCorruptError(f"{path}: expected {width} entries, found {len(entries)}")
    return entries


class TileTree:
    """The nodes of a log of a given size, read from tiles through a function.

    ``fetch`` takes a relative path and returns the file's bytes, or None if there is no such file;
    ``known`` holds tiles (by level and number) that need not be fetched.
    """

    def __init__(
        self,
        size: int,
        fetch: Callable[[str], bytes | None],
        known: Mapping[tuple[int, int], bytes] | None = None,
    ) -> None:
        self.size = size
        self._fetch = fetch
        self._cache = dict(known or {})

    def node(self, level: int, index: int) -> bytes:
        """Hash of the complete subtree of 2**level leaves at ``index``.

        Raises:
            ProofShapeError: if the log has no such complete subtree.
            LogCorruptError: if the tile that holds it is missing or has the wrong length.
        """
        if (index + 1) << level > self.size:
            raise ProofShapeError(f"a log of size {self.size} has no node {index} on level {level}")
        tile_level, inside = divmod(level, _TILE_HEIGHT)
        first = index << inside
        tile = self._tile(tile_level, first // TILE_WIDTH)
        offset = first % TILE_WIDTH
        hashes = [
            tile[at * HASH_SIZE : (at + 1) * HASH_SIZE]
            for at in range(offset, offset + (1 << inside))
        ]
        while len(hashes) > 1:
            pairs = zip(hashes[::2], hashes[1::2], strict=True)
            hashes = [node_hash(left, right) for left, right in pairs]
        return hashes[0]

    def tile(self, level: int, number: int) -> bytes:
        """Hashes of one tile, joined."""
        return self._tile(level, number)

    def entries(self, number: int) -> list[bytes]:
        """Entries of one bundle.

        Raises:
            LogCorruptError: if it is missing, truncated, or holds another number of entries.
        """
        width = min(TILE_WIDTH, self.size - number * TILE_WIDTH)
        data, path = self._read("entries", number, width)
        return decode_bundle(data, width, path) if path else []

    def _tile(self, level: int, number: int) -> bytes:
        cached = self._cache.get((level, number))
        if cached is not None:
            return cached
        count = self.size >> (_TILE_HEIGHT * level)
        width = min(TILE_WIDTH, count - number * TILE_WIDTH)
        data, path = self._read(level, number, width)
        if len(data) != width * HASH_SIZE:
            raise LogCorruptError(
                f"{path}: expected {width * HASH_SIZE} bytes, found {len(data)}: the tile is "
                "truncated or not of this log"
            )
        self._cache[level, number] = data
        return data

    def _read(self, level: int | str, number: int, width: int) -> tuple[bytes, str]:
        path = tile_path(level, number, width)
        data = self._fetch(path)
        if data is None and width < TILE_WIDTH:
            # The log has grown since: the full tile starts with the partial one.
            full = self._fetch(tile_path(level, number))
            if full is not None:
                data = _cut(full, level, width)
        if data is None:
            raise LogCorruptError(f"{path}: the file is missing")
        return data, path


def _cut(full: bytes, level: int | str, width: int) -> bytes:
    if level != "entries":
        return full[: width * HASH_SIZE]
    at = 0
    for _ in range(width):
        at += 2 + int.from_bytes(full[at : at + 2], "big")
    return full[:at]
