"""Where the rows of a snapshot stand: files, and the committed number of each row in them.

What belongs here: putting a snapshot's segments together, in place and in the copies that were
kept of them, and the tree over all of them. What does not: reading rows (``columns``), comparing
them (``differences``).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ledger_anchor.errors import ProofShapeError, SnapshotError
from ledger_anchor.manifest import Segment, read_segments
from ledger_anchor.row_commit.columns import Field
from ledger_anchor.row_commit.order_index import Buffer, OrderIndex
from ledger_anchor.row_commit.row_files import Ranks, RowFiles, map_file, required
from ledger_anchor.row_commit.row_tree import NodesWriter, RowTree, stream_size
from ledger_anchor.snapshots.records import MOVED_RANKS, RANKS, Part, Record, Records, Snapshot
from ledger_anchor.tree import HASH_SIZE


@dataclass(frozen=True)
class Extent:
    """Files that hold the rows of one or several segments.

    ``ranks`` gives the committed number of each row in file order; None if that order is not
    known, so that rows must be found by their unique keys.
    """

    parts: tuple[Part, ...]
    ranks: Ranks | None
    segments: tuple[Segment, ...]

    @property
    def rows(self) -> int:
        """Number of rows in the files, as they were recorded."""
        return sum(part.rows for part in self.parts)

    def place(self, position: int) -> tuple[Part, int]:
        """The part that holds a position, and the row's place in it, both as recorded."""
        for part in self.parts:
            if position < part.rows:
                return part, position
            position -= part.rows
        raise SnapshotError(f"there is no row {position} past the last in the recorded parts")

    def files(self, home: Path) -> list[Path]:
        """Paths of the files."""
        return [home / part.path for part in self.parts]


def records_in_place(
    read: Callable[[str], Record], snapshot: Snapshot
) -> list[tuple[Record, bool, tuple[Segment, ...]]]:
    """Records that say where a table's rows stand, first segments first.

    Args:
        read: gives the record of a snapshot.
        snapshot: the table's snapshot.

    Returns:
        Each record, whether its ``moved`` files count and not its ``parts``, and which segments'
        rows they hold.
    """
    segments = read_segments(snapshot.manifest)
    found: list[tuple[Record, bool, tuple[Segment, ...]]] = []
    for number in reversed(range(len(segments))):
        record = read(segments[number].snapshot_id)
        if record.moved:
            found.append((record, True, segments[: number + 1]))
            break
        found.append((record, False, segments[number : number + 1]))
    return found[::-1]


def extents_in_place(records: Records, snapshot: Snapshot) -> tuple[Extent, ...]:
    """Where a table's rows were written, first segments first.

    Raises:
        SnapshotError: if a private record is missing or damaged.
    """
    extents = []
    for record, is_moved, segments in records_in_place(records.read, snapshot):
        ranks = records.ranks(record.snapshot_id, MOVED_RANKS if is_moved else RANKS)
        extents.append(Extent(record.moved if is_moved else record.parts, ranks, segments))
    return tuple(extents)


def extents_kept(record: Record, in_place: Sequence[Extent]) -> tuple[Extent, ...]:
    """The copies that were made of a table's rows when it was pinned.

    They were made part by part; if the rows were moved since, the order of theirs is not known.
    """
    kept, extents = list(record.retained), []
    counts = [part.rows for extent in in_place for part in extent.parts]
    if counts != [part.rows for part in kept]:
        segments = tuple(item for extent in in_place for item in extent.segments)
        return (Extent(record.retained, None, segments),)
    for extent in in_place:
        own, kept = kept[: len(extent.parts)], kept[len(extent.parts) :]
        extents.append(Extent(tuple(own), extent.ranks, extent.segments))
    return tuple(extents)


def fields_of(snapshot: Snapshot) -> tuple[Field, ...]:
    """The schema of a table from its manifest.

    Raises:
        SnapshotError: if it is malformed.
    """
    schema = snapshot.manifest.get("schema")
    if not isinstance(schema, list) or not all(isinstance(item, dict) for item in schema):
        raise SnapshotError(f"the manifest of snapshot {snapshot.snapshot_id} has no schema")
    return tuple(Field(str(item["name"]), str(item["type"])) for item in schema)


def row_files(records: Records, snapshot: Snapshot) -> tuple[RowFiles, ...]:
    """The mapped files of each segment of a table.

    Raises:
        SnapshotError: if one is missing or has the wrong length.
    """
    columns = len(fields_of(snapshot))
    segments = read_segments(snapshot.manifest)
    return tuple(records.row_files(segment, columns) for segment in segments)


def order_index(files: Sequence[RowFiles]) -> OrderIndex:
    """The index of the unique keys of a table's rows."""
    return OrderIndex([item.run for item in files])


def row_tree(records: Records, files: Sequence[RowFiles]) -> RowTree:
    """The tree over a table's rows, from its leaves and kept nodes.

    Raises:
        SnapshotError: if the file of kept nodes is damaged.
    """
    leaves = [item.leaves for item in files]
    stored = [stored_nodes(records, item.segment) for item in files]
    nodes = [item for item in stored if item is not None]
    if len(nodes) < len(stored):  # made by an earlier version, which knew no segments
        nodes = [built_nodes(leaves)]
    try:
        return RowTree(leaves, nodes)
    except ProofShapeError as error:
        raise SnapshotError(str(error)) from error


def stored_nodes(records: Records, segment: Segment) -> Buffer | None:
    """The kept nodes that a segment added to its table's tree; None in older records.

    Raises:
        SnapshotError: if the file has the wrong length.
    """
    path = records.folder_of(segment.snapshot_id) / "nodes.bin"
    count = stream_size(segment.end) - stream_size(segment.first)
    return None if map_file(path) is None else required(path, count * HASH_SIZE)


def built_nodes(leaves: Sequence[Buffer]) -> bytes:
    """Kept nodes over leaves, calculated from them."""
    made: list[bytes] = []
    writer = NodesWriter(made.append)
    for buffer in leaves:
        add_leaves(writer, buffer)
    return b"".join(made)


def add_leaves(writer: NodesWriter, leaves: Buffer) -> None:
    """Feed a mapped file of leaves to a writer, a stretch at a time."""
    stretch = HASH_SIZE << 16
    for start in range(0, len(leaves), stretch):
        writer.append(leaves[start : start + stretch])
