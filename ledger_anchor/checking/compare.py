"""Hashing a table again and holding it against its committed leaves, batch by batch.

What belongs here: which committed row each row of a file is, and where leaves differ. What does
not: naming what differs (``differences``), where files and records are (``layout``, ``audit``).
Memory is one byte a row, and a hundred rows that differ: leaves stay in their mapped files.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ledger_anchor.row_commit.columns import Batch, TableSource
from ledger_anchor.row_commit.order_index import NO_ROW, has_numpy
from ledger_anchor.row_commit.parallel import in_order
from ledger_anchor.row_commit.row_files import Ranks, RowFiles
from ledger_anchor.row_commit.rows import Engine, Hashes, SaltPlan, key_digests
from ledger_anchor.snapshots.layout import order_index
from ledger_anchor.tree import HASH_SIZE

LISTED = 100
_KEPT = 10 * LISTED

RanksOf = Callable[[Batch], "array[int]"]


@dataclass(frozen=True)
class Committed:
    """The committed rows that some files should hold, and what it takes to hash them again.

    Attributes:
        files: the private files of each segment, first rows first.
        salts: the salt plan of each segment.
        erased: numbers of rows that were erased.
        order_key: the key under which rows are found.
        unique_key: names of the columns that tell rows apart.
        content_key: the key of content digests, which engines calculate beside leaves.
    """

    files: tuple[RowFiles, ...]
    salts: tuple[SaltPlan, ...] = field(repr=False)
    erased: frozenset[int]
    order_key: bytes = field(repr=False)
    unique_key: tuple[str, ...]
    content_key: bytes = field(repr=False)

    @property
    def remaining(self) -> int:
        """Number of rows that were not erased."""
        return sum(item.segment.rows for item in self.files) - len(self.erased)

    def place(self, number: int) -> int:
        """Index of the segment that holds a row."""
        return bisect_right(self.files, number, key=lambda item: item.segment.first) - 1

    def file_of(self, number: int) -> RowFiles:
        """Files of the segment that holds a row."""
        return self.files[self.place(number)]


@dataclass(frozen=True, order=True)
class Changed:
    """A row whose leaf differs: its number, its position in the files, its cell prefixes now."""

    number: int
    position: int
    prefixes: bytes = field(repr=False)


@dataclass
class Findings:
    """What differs between files and committed rows; lists hold the first hundred each."""

    changed: list[Changed] = field(default_factory=list)
    added: list[int] = field(default_factory=list)
    missing: list[int] = field(default_factory=list)
    total: int = 0

    def note_changed(self, some: Sequence[Changed]) -> None:
        """Rows that differ; those with the lowest numbers are kept."""
        self.total += len(some)
        self.changed += some
        if len(self.changed) > _KEPT:
            self.trim()

    def trim(self) -> None:
        """Keep the first hundred."""
        self.changed = sorted(self.changed)[:LISTED]

    def note_added(self, position: int) -> None:
        """A row that was not committed."""
        self.total += 1
        if len(self.added) < LISTED:
            self.added.append(position)


@dataclass(frozen=True)
class _RankedBatch(Batch):
    """Rows of one segment, and the committed number and position of each."""

    place: int
    ranks: array[int]
    positions: Sequence[int]


def compare(
    source: TableSource, engine: Engine, committed: Committed, ranks: Ranks | None
) -> Findings:
    """Compare the rows of some files with the committed ones.

    Rows are first taken in the file order they were committed in. If they differ then, they are
    matched by their unique keys, so that reordered, added and missing rows are told apart from
    changed ones; the explanation with the fewest differences is given.

    Args:
        source: the files as they are now.
        engine: arithmetic.
        committed: what they should hold.
        ranks: committed number of each row in file order, or None if that is not known.

    Raises:
        TableError: if a file cannot be read.
    """
    in_place = None
    if ranks is not None and len(ranks) == source.rows == committed.remaining:
        order = ranks

        def stored(batch: Batch) -> array[int]:
            return order.slice(batch.position, batch.rows)

        in_place = _hash_and_compare(source, engine, committed, stored)
        if not in_place.total or _is_matched(source, engine, committed, order):
            return in_place
    matched = _hash_and_compare(source, engine, committed, _matcher(engine, source, committed))
    return in_place if in_place is not None and in_place.total <= matched.total else matched


def _matcher(engine: Engine, source: TableSource, committed: Committed) -> RanksOf:
    """Committed number of each row by its unique key, each given once."""
    index = order_index(committed.files)
    fields = source.require(committed.unique_key, "the unique key")
    first = committed.files[0].segment.first
    is_taken = bytearray(committed.files[-1].segment.end - first)

    def matched(batch: Batch) -> array[int]:
        columns = [(item, batch.columns[item.name]) for item in fields]
        digests = engine.keyed_rows(committed.order_key, columns, batch.rows)
        ranks = index.match(engine.heads(digests))
        for row, number in enumerate(ranks):
            if number != NO_ROW and is_taken[number - first]:
                ranks[row] = NO_ROW
            elif number != NO_ROW:
                is_taken[number - first] = 1
        return ranks

    return matched


def _is_matched(source: TableSource, engine: Engine, committed: Committed, ranks: Ranks) -> bool:
    """Whether unique keys say of every row what its place in the files says."""
    index = order_index(committed.files)
    digests = key_digests(source, engine, committed.order_key, committed.unique_key)
    for position, joined in digests:
        found = index.match(engine.heads(joined))
        if found != ranks.slice(position, len(found)):
            return False
    return True


def _hash_and_compare(
    source: TableSource, engine: Engine, committed: Committed, ranks_of: RanksOf
) -> Findings:
    findings = Findings()
    seen = [bytearray(item.segment.rows) for item in committed.files]
    for number in committed.erased:
        place = committed.place(number)
        seen[place][number - committed.files[place].segment.first] = 1

    def work(rows: _RankedBatch) -> tuple[_RankedBatch, Hashes]:
        columns = [(item, rows.columns[item.name]) for item in source.fields]
        salts = committed.salts[rows.place]
        index = salts.index_of(rows)
        return rows, engine.hash_batch(salts, columns, rows.ranks, index, committed.content_key)

    batches = _ranked(source, engine, committed, ranks_of, findings)
    for rows, hashes in in_order(engine.workers, batches, work):
        file = committed.files[rows.place]
        _mark(seen[rows.place], rows.ranks, file.segment.first)
        width = len(hashes.prefixes) // max(1, rows.rows)
        findings.note_changed(
            [
                Changed(
                    rows.ranks[at],
                    rows.positions[at],
                    hashes.prefixes[at * width : (at + 1) * width],
                )
                for at in _differing(file, rows.ranks, hashes.leaves)
            ]
        )
    findings.trim()
    for file, marks in zip(committed.files, seen, strict=True):
        _note_missing(findings, marks, file.segment.first)
    return findings


def _ranked(
    source: TableSource,
    engine: Engine,
    committed: Committed,
    ranks_of: RanksOf,
    findings: Findings,
) -> Iterator[_RankedBatch]:
    """The table's batches, cut so that each holds rows of one segment; others are noted."""
    first, end = committed.files[0].segment.first, committed.files[-1].segment.end
    for batch in source.batches(source.fields, engine.batch_rows):
        ranks = ranks_of(batch)
        rows_of: dict[int, Sequence[int]] = {}
        low, high = _range(ranks, end)
        if first <= low and high < end and committed.place(low) == committed.place(high):
            rows_of[committed.place(low)] = range(batch.rows)
        else:
            rows_of = _split(batch, committed, ranks, findings)
        for place, rows in sorted(rows_of.items()):
            is_whole = len(rows) == batch.rows
            columns = {
                name: values if is_whole else values.take(list(rows))
                for name, values in batch.columns.items()
            }
            numbers = ranks if is_whole else array("Q", [ranks[row] for row in rows])
            positions: Sequence[int] = range(batch.position, batch.position + batch.rows)
            if not is_whole:
                positions = [batch.position + row for row in rows]
            at = (batch.part, batch.first_row, batch.position)
            yield _RankedBatch(*at, len(rows), columns, place, numbers, positions)


def _range(ranks: array[int], end: int) -> tuple[int, int]:
    """Lowest and highest row number of a batch; one past the last if it has no rows."""
    if len(ranks) and has_numpy():
        import numpy as np  # noqa: PLC0415 - only there for speed

        numbers = np.frombuffer(ranks, dtype="<u8")
        return int(numbers.min()), int(numbers.max())
    return min(ranks, default=end), max(ranks, default=end)


def _split(
    batch: Batch, committed: Committed, ranks: array[int], findings: Findings
) -> dict[int, Sequence[int]]:
    """Rows of a batch by the segment that holds them; others are noted."""
    first, end = committed.files[0].segment.first, committed.files[-1].segment.end
    rows_of: dict[int, list[int]] = {}
    for row, number in enumerate(ranks):
        if first <= number < end:
            rows_of.setdefault(committed.place(number), []).append(row)
        else:
            findings.note_added(batch.position + row)
    return {**rows_of}


def _differing(file: RowFiles, ranks: array[int], leaves: bytes) -> Sequence[int]:
    """Rows of a batch whose leaf is not the committed one."""
    first = file.segment.first
    if has_numpy():
        import numpy as np  # noqa: PLC0415 - only there for speed

        stored: Any = np.frombuffer(file.leaves, dtype="<u8").reshape(-1, 4)
        found = np.frombuffer(leaves, dtype="<u8").reshape(-1, 4)
        numbers = np.frombuffer(ranks, dtype="<u8").astype(np.int64) - first
        return [int(at) for at in np.flatnonzero((stored[numbers] != found).any(axis=1))]
    return [
        at
        for at, number in enumerate(ranks)
        if file.leaf(number) != leaves[at * HASH_SIZE : (at + 1) * HASH_SIZE]
    ]


def _mark(seen: bytearray, ranks: array[int], first: int) -> None:
    if has_numpy():
        import numpy as np  # noqa: PLC0415 - only there for speed

        marks = np.frombuffer(seen, dtype=np.uint8)
        marks[np.frombuffer(ranks, dtype="<u8").astype(np.int64) - first] = 1
        return
    for number in ranks:
        seen[number - first] = 1


def _note_missing(findings: Findings, seen: bytearray, first: int) -> None:
    """Rows that no file holds."""
    findings.total += seen.count(0)
    at = seen.find(0)
    while at >= 0 and len(findings.missing) < LISTED:
        findings.missing.append(first + at)
        at = seen.find(0, at + 1)
