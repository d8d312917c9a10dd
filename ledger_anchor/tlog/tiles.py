"""The layout of a log on disk (C2SP tlog-tiles): paths, tiles of 256 hashes, entry bundles.

What belongs here: pure layout, a tree that reads its nodes from tiles, and the tiles a growing log
needs. What does not: where files lie (``storage``) and when something may be written or signed
(``log``). Any static web server or object store can hold a log.
"""

from __future__ import annotations

import itertools
import re
import struct
import threading
from collections.abc import Callable, Iterator, Sequence

from ledger_anchor.errors import LogCorruptError, ProofShapeError
from ledger_anchor.tree import HASH_SIZE, check_joined, fold_peaks, hash_pairs

ENTRIES = "entries"
TILE_WIDTH = 256
TILE_BYTES = TILE_WIDTH * HASH_SIZE
MAX_ENTRY = 65_535
MAX_BUNDLE_BYTES = TILE_WIDTH * (2 + MAX_ENTRY)
_TILE_HEIGHT = 8
_MAX_LEVEL = 7  # 2**63 entries
# A cached tile takes 16 KiB with the nodes inside it: 16 MiB in all.
_CACHED_TILES = 1024
_PATH = re.compile(r"tile/(entries|[0-7])/((?:x\d{3}/)*\d{3})(?:\.p/([1-9]\d{0,2}))?", re.ASCII)


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


def parse_tile_path(path: str) -> tuple[int | str, int, int] | None:
    """Level (or "entries"), number and width of a tile's path; None if it is not a tile's.

    Every tile has one spelling: x000/001 and 001.p/256 are nobody's path.
    """
    match = _PATH.fullmatch(path)
    if match is None:
        return None
    level = match[1] if match[1] == ENTRIES else int(match[1])
    number, width = int(match[2].replace("x", "").replace("/", "")), int(match[3] or TILE_WIDTH)
    return (level, number, width) if tile_path(level, number, width) == path else None


def partial_width(size: int, level: int) -> int:
    """How many hashes the last, partial tile of a level has (0: none) in a log of this size."""
    return (size >> (_TILE_HEIGHT * level)) % TILE_WIDTH


def width_at(size: int, level: int | str, number: int) -> int:
    """How many hashes (or entries) a log of this size has in a tile: 0 to 256."""
    count = size if isinstance(level, str) else size >> (_TILE_HEIGHT * level)
    return max(0, min(TILE_WIDTH, count - number * TILE_WIDTH))


def bundles_of_size(size: int) -> int:
    """Number of entry bundles (and of tiles on level 0) of a log."""
    return -(-size // TILE_WIDTH)


def tiles_of_size(size: int) -> Iterator[tuple[int | str, int, int]]:
    """Every tile and bundle a log of this size needs: (level or "entries", number, width)."""
    kinds: list[tuple[int | str, int]] = [(ENTRIES, size)]
    level = 0
    while size >> (_TILE_HEIGHT * level):
        kinds.append((level, size >> (_TILE_HEIGHT * level)))
        level += 1
    for kind, count in kinds:
        for number in range(-(-count // TILE_WIDTH)):
            yield kind, number, min(TILE_WIDTH, count - number * TILE_WIDTH)


def bundle_path(size: int, number: int) -> str:
    """Path of an entry bundle in a log of this size."""
    return tile_path(ENTRIES, number, width_at(size, ENTRIES, number))


def bundles_and_leaves(size: int) -> Iterator[str]:
    """Paths of every bundle and its tile of leaf hashes, in turn."""
    for number in range(bundles_of_size(size)):
        yield bundle_path(size, number)
        yield tile_path(0, number, width_at(size, 0, number))


def check_entry(entry: bytes) -> None:
    """Refuse an entry that no bundle can hold.

    Raises:
        ProofShapeError: if it is longer than 65,535 bytes.
    """
    if len(entry) > MAX_ENTRY:
        raise ProofShapeError(f"an entry of {len(entry)} bytes; at most {MAX_ENTRY} fit")


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Entry bundle: u16 big-endian length and bytes of each entry.

    Raises:
        ProofShapeError: if an entry is longer than 65,535 bytes.
    """
    parts = []
    for entry in entries:
        check_entry(entry)
        parts += [len(entry).to_bytes(2, "big"), entry]
    return b"".join(parts)


def decode_bundle(data: bytes, width: int, path: str) -> list[bytes]:
    """Read an entry bundle of exactly ``width`` entries.

    Raises:
        LogCorruptError: naming the path, if it is truncated or holds another number.
    """
    ends = _entry_ends(data, width, path)
    if ends[-1] != len(data):
        raise LogCorruptError(f"{path}: {len(data) - ends[-1]} bytes after its {width} entries")
    return [data[start + 2 : end] for start, end in itertools.pairwise(ends)]


def bundle_entry(data: bytes, position: int, width: int, path: str) -> bytes:
    """One entry of a bundle, without copying the others.

    Raises:
        LogCorruptError: naming the path, if the bundle ends before it.
    """
    start, end = _entry_ends(data, position + 1, path, width)[-2:]
    return data[start + 2 : end]


def _entry_ends(data: bytes, count: int, path: str, width: int = 0) -> list[int]:
    """Where the first ``count`` entries of a bundle end, after a leading 0."""
    length_at, size = struct.Struct(">H").unpack_from, len(data)
    ends, at = [0], 0
    for number in range(count):
        if at == size and number:
            raise LogCorruptError(f"{path}: expected {width or count} entries, found {number}")
        end = at + 2 + length_at(data, at)[0] if at + 2 <= size else size + 1
        if end > size:
            raise LogCorruptError(f"{path}: truncated in entry {number} of {width or count}")
        ends.append(end)
        at = end
    return ends


def tile_rows(tile: bytes) -> tuple[bytes, ...]:
    """The nodes inside a tile: row k holds its complete subtrees of 2**k hashes, joined."""
    rows = [tile]
    while len(rows[-1]) >= 2 * HASH_SIZE:
        rows.append(hash_pairs(rows[-1]))
    return tuple(rows)


def tile_peaks(tile: bytes) -> list[bytes]:
    """Roots of the largest complete subtrees of a tile, from the left."""
    rows, width = tile_rows(tile), len(tile) // HASH_SIZE
    peaks, at = [], 0
    for row in reversed(range(len(rows))):
        if width >> row & 1:
            peaks.append(rows[row][(at >> row) * HASH_SIZE :][:HASH_SIZE])
            at += 1 << row
    return peaks


class TileTree:
    """The nodes of a log of a given size, read from tiles through a function.

    ``fetch`` takes a relative path and returns the file's bytes, or None if there is no such file.
    Tiles used last are kept, at most about a thousand; threads may share one tree.
    """

    def __init__(self, size: int, fetch: Callable[[str], bytes | None]) -> None:
        self.size = size
        self._fetch = fetch
        self._lock = threading.Lock()
        self._cache: dict[tuple[int, int], tuple[bytes, ...]] = {}

    def node(self, level: int, index: int) -> bytes:
        """Hash of the complete subtree of 2**level leaves at ``index``.

        Raises:
            ProofShapeError: if the log has no such complete subtree.
            LogCorruptError: if the tile that holds it is missing or has the wrong length.
        """
        if index < 0 or (index + 1) << level > self.size:
            raise ProofShapeError(f"a log of size {self.size} has no node {index} on level {level}")
        tile_level, inside = divmod(level, _TILE_HEIGHT)
        number, first = divmod(index << inside, TILE_WIDTH)
        at = (first >> inside) * HASH_SIZE
        return self._rows(tile_level, number)[inside][at : at + HASH_SIZE]

    def tile(self, level: int, number: int) -> bytes:
        """Hashes of one tile, joined, as they stand in the file now.

        Raises:
            LogCorruptError: if the file is missing or has the wrong length.
        """
        width = width_at(self.size, level, number)
        data, path = self._read(level, number, width)
        if len(data) != width * HASH_SIZE:
            raise LogCorruptError(
                f"{path}: expected {width * HASH_SIZE} bytes, found {len(data)}: the tile is "
                "truncated or not of this log"
            )
        return data

    def entries(self, number: int) -> list[bytes]:
        """Entries of one bundle.

        Raises:
            LogCorruptError: if it is missing, truncated, or holds another number of entries.
        """
        width = width_at(self.size, ENTRIES, number)
        if not width:
            return []
        data, path = self._read(ENTRIES, number, width)
        return decode_bundle(data, width, path)

    def entry(self, index: int) -> bytes:
        """One entry; the others of its bundle are skipped.

        Raises:
            ProofShapeError: if the log has no such entry.
            LogCorruptError: if its bundle is missing or truncated.
        """
        if not 0 <= index < self.size:
            raise ProofShapeError(f"entry {index} is not in a log of {self.size} entries")
        number, position = divmod(index, TILE_WIDTH)
        width = width_at(self.size, ENTRIES, number)
        data, path = self._read(ENTRIES, number, width)
        return bundle_entry(data, position, width, path)

    def _rows(self, level: int, number: int) -> tuple[bytes, ...]:
        key = (level, number)
        with self._lock:
            rows = self._cache.pop(key, None)
            if rows is not None:
                self._cache[key] = rows  # the one used last goes last
                return rows
        rows = tile_rows(self.tile(level, number))
        with self._lock:
            self._cache[key] = rows
            if len(self._cache) > _CACHED_TILES:
                del self._cache[next(iter(self._cache))]
        return rows

    def _read(self, level: int | str, number: int, width: int) -> tuple[bytes, str]:
        path = tile_path(level, number, width)
        data = self._fetch(path)
        if data is None and width < TILE_WIDTH:
            # The log has grown since: the full tile starts with the partial one.
            full = self._fetch(tile_path(level, number))
            if full is not None:
                data = cut_tile(full, level, width)
        if data is None:
            raise LogCorruptError(f"{path}: the file is missing")
        return data, path


def cut_tile(data: bytes, level: int | str, width: int) -> bytes:
    """The first ``width`` hashes or entries of a tile or bundle (all of it, if it has fewer)."""
    if level != ENTRIES:
        return data[: width * HASH_SIZE]
    at = 0
    for _ in range(width):
        at += 2 + int.from_bytes(data[at : at + 2], "big")
    return data[:at]


class TileBuilder:
    """The tiles of a growing log, from its leaf hashes in order, in constant memory.

    Full tiles are handed out as they fill; of each level only the open tile at the edge is kept,
    and from these the root follows.
    """

    def __init__(self) -> None:
        self.size = 0
        self._open: list[bytes] = []

    @classmethod
    def resume(cls, tree: TileTree) -> TileBuilder:
        """Go on at the edge of a log.

        Raises:
            LogCorruptError: if a tile of the edge is missing or has the wrong length.
        """
        builder = cls()
        builder.size = tree.size
        for level in range(_MAX_LEVEL + 1):
            if not tree.size >> (_TILE_HEIGHT * level):
                break
            is_open = partial_width(tree.size, level) > 0
            number = tree.size >> (_TILE_HEIGHT * (level + 1))
            builder._open.append(tree.tile(level, number) if is_open else b"")
        return builder

    def extend(self, leaves: bytes) -> list[tuple[int, int, bytes]]:
        """Add joined leaf hashes.

        Returns:
            Level, number and hashes of each tile that is full now.

        Raises:
            ProofShapeError: if ``leaves`` is not a whole number of hashes.
        """
        check_joined(leaves)
        closed: list[tuple[int, int, bytes]] = []
        level, nodes, before = 0, leaves, self.size
        self.size += len(leaves) // HASH_SIZE
        while nodes:
            if level == len(self._open):
                self._open.append(b"")
            nodes = self._open[level] + nodes
            number = before >> (_TILE_HEIGHT * (level + 1))
            cuts = range(0, len(nodes) // TILE_BYTES * TILE_BYTES, TILE_BYTES)
            full = [nodes[at : at + TILE_BYTES] for at in cuts]
            self._open[level] = nodes[len(full) * TILE_BYTES :]
            closed += [(level, number + offset, tile) for offset, tile in enumerate(full)]
            nodes = b"".join(tile_rows(tile)[-1] for tile in full)
            level += 1
        return closed

    def open_tiles(self) -> list[tuple[int, int, bytes]]:
        """Level, number and hashes of the partial tile at the edge of each level that has one."""
        return [
            (level, self.size >> (_TILE_HEIGHT * (level + 1)), tile)
            for level, tile in enumerate(self._open)
            if tile
        ]

    def root(self) -> bytes:
        """Root of the leaves so far, 32 bytes."""
        return fold_peaks([peak for tile in reversed(self._open) for peak in tile_peaks(tile)])
