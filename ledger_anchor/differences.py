"""Finding which rows and cells of a table differ from its commitment, and naming them.

What belongs here: aligning rows with committed row numbers, comparing leaves and cell-digest
prefixes, and reading the keys of the rows that differ. What does not: where data and records are
(``audit``). Values never appear; the unique key of a row does, as it stands in the table.
"""

from __future__ import annotations

import datetime as dt
from array import array
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ledger_anchor.columns import Field, TableSource
from ledger_anchor.errors import Difference
from ledger_anchor.records import Record, RowRecord, Snapshot
from ledger_anchor.rows import ORDER_PURPOSE, PREFIX_SIZE, Engine, key_digests
from ledger_anchor.tree import HASH_SIZE
from ledger_anchor.vault import derive

_LISTED = 100
_NO_ROW = -1
_COMPARE_BYTES = 1 << 16

Rehash = Callable[["array[int]", int], tuple[bytes, bytes]]


@dataclass(frozen=True)
class Comparison:
    """The first hundred differences, and how many there are."""

    differences: tuple[Difference, ...]
    total: int


@dataclass(frozen=True)
class _Attempt:
    """Rows hashed under one assignment of row numbers, and where they differ.

    ``ranks`` holds a row number for each row in file order; rows that were not committed share the
    number one past the last. ``rows`` are the committed numbers that differ.
    """

    ranks: array[int]
    rows: list[int]
    prefixes: bytes
    unmatched: list[int]
    missing: list[int]

    @property
    def total(self) -> int:
        return len(self.rows) + len(self.unmatched) + len(self.missing)


def compare_rows(
    snapshot: Snapshot,
    record: Record,
    source: TableSource,
    rows: RowRecord,
    engine: Engine,
    key: bytes,
    rehash: Rehash,
) -> Comparison:
    """Compare a table with its committed rows.

    Rows are first taken in the file order they were committed in. If they differ then, they are
    matched by their unique keys, so that reordered, added and missing rows are told apart from
    changed ones; the explanation with the fewest differences is reported.

    Args:
        snapshot: what was committed.
        record: its private record.
        source: the table as it is now.
        rows: leaves, prefixes, order keys and ranks.
        engine: arithmetic.
        key: the snapshot's key.
        rehash: hashes the table under given row numbers, into so many slots.

    Returns:
        The differences; none if the table is what was committed.
    """
    committed = len(rows.leaves) // HASH_SIZE
    in_place = None
    if len(rows.ranks) == source.rows == committed:
        in_place = _attempt(source, rows, rows.ranks, committed, rehash)
        if not in_place.total:
            return Comparison((), 0)
    order_key = derive(key, ORDER_PURPOSE)
    ranks = _match(key_digests(source, engine, order_key, record.unique_key), rows, committed)
    best = in_place
    if in_place is None or ranks != in_place.ranks:
        matched = _attempt(source, rows, ranks, committed, rehash)
        if best is None or matched.total < best.total:
            best = matched
    if best is None or not best.total:
        return Comparison((), 0)
    return Comparison(tuple(_name(snapshot, record, source, rows, best)), best.total)


def _attempt(
    source: TableSource, rows: RowRecord, ranks: array[int], committed: int, rehash: Rehash
) -> _Attempt:
    leaves, prefixes = rehash(ranks, committed + 1)
    seen = bytearray(committed + 1)
    for rank in ranks:
        seen[rank] = 1
    missing = [rank for rank in range(committed) if not seen[rank]]
    gone = set(missing)
    changed = _differing(leaves, rows.leaves, HASH_SIZE)
    # A record whose digests no longer belong to its leaves must not hide a change.
    differing = sorted(set(changed) - gone)
    unmatched = [position for position in range(source.rows) if ranks[position] == committed]
    return _Attempt(ranks, differing, prefixes, unmatched, missing)


def _differing(found: bytes, expected: bytes, width: int) -> list[int]:
    """Numbers of the records that differ; equal stretches are skipped at memory speed."""
    stretch = _COMPARE_BYTES // width * width
    numbers = []
    for start in range(0, len(expected), stretch):
        end = min(start + stretch, len(expected))
        if found[start:end] == expected[start:end]:
            continue
        numbers += [
            at // width
            for at in range(start, end, width)
            if found[at : at + width] != expected[at : at + width]
        ]
    return numbers


def _match(digests: bytes, rows: RowRecord, committed: int) -> array[int]:
    """Committed row number of each row by its unique key; ``committed`` for rows without one."""
    by_key = {rows.sorted_keys[8 * rank : 8 * rank + 8]: rank for rank in range(committed)}
    ranks = array("Q")
    taken = set()
    for at in range(0, len(digests), HASH_SIZE):
        rank = by_key.get(digests[at : at + 8], committed)
        is_free = rank not in taken
        taken.add(rank)
        ranks.append(rank if is_free else committed)
    return ranks


def _name(
    snapshot: Snapshot, record: Record, source: TableSource, rows: RowRecord, found: _Attempt
) -> Iterator[Difference]:
    committed = len(rows.leaves) // HASH_SIZE
    position_of = dict.fromkeys(found.rows[:_LISTED], _NO_ROW)
    for position, rank in enumerate(found.ranks):
        if rank in position_of:
            position_of[rank] = position
    wanted = [at for at in position_of.values() if at != _NO_ROW] + found.unmatched[:_LISTED]
    keys = _read_keys(source, record.unique_key, wanted)
    where = _Namer(snapshot, source, record, keys)
    listed = 0
    for rank, position in position_of.items():
        for cell in _differing_cells(record, source, rows, found, rank):
            yield where.row(position, rank, *cell)
            listed += 1
            if listed == _LISTED:
                return
    for position in found.unmatched[: _LISTED - listed]:
        yield where.row(position, None, "row_added")
        listed += 1
    for rank in found.missing[: _LISTED - listed]:
        leaf = rows.leaves[rank * HASH_SIZE : (rank + 1) * HASH_SIZE].hex()
        yield Difference(
            snapshot.dataset,
            snapshot.snapshot_id,
            "row_missing",
            row_number=rank if rank < committed else None,
            expected=leaf,
        )


_Cell = tuple[str, str | None, str | None, str | None]


def _differing_cells(
    record: Record, source: TableSource, rows: RowRecord, found: _Attempt, rank: int
) -> list[_Cell]:
    """Problem, column, expected and found prefix of each cell of a row that differs."""
    width = len(source.fields) * PREFIX_SIZE
    expected = rows.prefixes[rank * width : (rank + 1) * width]
    actual = found.prefixes[rank * width : (rank + 1) * width]
    cells: list[_Cell] = []
    for number, item in enumerate(source.fields):
        at = slice(number * PREFIX_SIZE, (number + 1) * PREFIX_SIZE)
        if expected[at] != actual[at]:
            cells.append(("cell", item.name, expected[at].hex(), actual[at].hex()))
    if len(cells) == len(source.fields) and record.subject_column is not None:
        # Another subject has another key, under which every cell of the row differs.
        return [("subject", *cell[1:]) for cell in cells if cell[1] == record.subject_column]
    return cells or [("row", None, None, None)]


@dataclass(frozen=True)
class _Namer:
    snapshot: Snapshot
    source: TableSource
    record: Record
    keys: dict[int, tuple[tuple[str, str], ...]]

    def row(
        self,
        position: int,
        rank: int | None,
        problem: str,
        column: str | None = None,
        expected: str | None = None,
        found: str | None = None,
    ) -> Difference:
        file, file_row = self.source.place(position)
        parts = dict(zip(self.source.files, self.record.parts, strict=False))
        return Difference(
            self.snapshot.dataset,
            self.snapshot.snapshot_id,
            problem,
            row_number=rank,
            row_key=self.keys.get(position),
            file=parts[file].path if file in parts else file.name,
            file_row=file_row,
            column=column,
            expected=expected,
            found=found,
        )


def _read_keys(
    source: TableSource, unique_key: Sequence[str], positions: Sequence[int]
) -> dict[int, tuple[tuple[str, str], ...]]:
    """Unique-key columns, as text, of the rows at these positions in file order."""
    fields = source.require(unique_key, "the unique key")
    keys = {}
    for batch in source.batches(fields):
        for position in positions:
            at = position - batch.position
            if 0 <= at < batch.rows:
                keys[position] = tuple(
                    (item.name, show(batch.columns[item.name][at].as_py(), item)) for item in fields
                )
    return keys


def show(value: object, item: Field) -> str:
    """A value of a plain array as text."""
    if value is None:
        return "null"
    if isinstance(value, bytes):
        return value.decode() if item.kind == "text" else value.hex()
    if item.kind == "date" and isinstance(value, int):
        return (dt.date(1970, 1, 1) + dt.timedelta(days=value)).isoformat()
    if item.kind == "timestamp" and isinstance(value, int):
        moment = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=value)
        return moment.isoformat()
    return str(value)
