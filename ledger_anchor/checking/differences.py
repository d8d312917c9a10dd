"""Naming the rows and cells of a table that differ from its commitment.

What belongs here: from rows that differ to dataset, file, row key and column. What does not:
finding them (``compare``). Values never appear; the unique key of a row does, as it stands in the
table.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ledger_anchor.checking.compare import LISTED, Changed, Committed, Findings
from ledger_anchor.errors import Difference
from ledger_anchor.row_commit.columns import Field, TableSource
from ledger_anchor.row_commit.rows import PREFIX_SIZE
from ledger_anchor.snapshots.layout import Extent

_Cell = tuple[str, str | None, str | None, str | None]


@dataclass(frozen=True)
class Comparison:
    """The first hundred differences, how many there are, and how many rows were erased."""

    differences: tuple[Difference, ...]
    total: int
    erased: int = 0


@dataclass(frozen=True)
class Namer:
    """What it takes to name a difference.

    Attributes:
        dataset: name of the dataset.
        snapshot_id: the snapshot the data was compared with.
        subject_column: name of the column that names the data subject, or None.
        extent: the files, as the record names them.
        source: the files as they are.
        committed: what they should hold.
    """

    dataset: str
    snapshot_id: str
    subject_column: str | None
    extent: Extent
    source: TableSource
    committed: Committed

    def name(self, findings: Findings) -> tuple[Difference, ...]:
        """The first hundred differences: changed rows, added ones, missing ones."""
        differences: list[Difference] = []
        for difference in self._all(findings):
            differences.append(difference)
            if len(differences) == LISTED:
                break
        return tuple(differences)

    def _all(self, findings: Findings) -> Iterator[Difference]:
        wanted = [row.position for row in findings.changed] + findings.added
        keys = _read_keys(self.source, self.committed.unique_key, wanted)
        for row in findings.changed:
            for cell in self._cells(row):
                yield self._row(row.position, row.number, keys, *cell)
        for position in findings.added:
            yield self._row(position, None, keys, "row_added")
        for number in findings.missing:
            leaf = self.committed.file_of(number).leaf(number).hex()
            yield Difference(
                self.dataset, self.snapshot_id, "row_missing", row_number=number, expected=leaf
            )

    def _cells(self, row: Changed) -> list[_Cell]:
        """Problem, column, expected and found prefix of each cell of a row that differs."""
        expected = self.committed.file_of(row.number).cells(row.number)
        cells: list[_Cell] = []
        for number, item in enumerate(self.source.fields):
            at = slice(number * PREFIX_SIZE, (number + 1) * PREFIX_SIZE)
            if expected[at] != row.prefixes[at]:
                cells.append(("cell", item.name, expected[at].hex(), row.prefixes[at].hex()))
        if len(cells) == len(self.source.fields) and self.subject_column is not None:
            # Another subject has another key, under which every cell of the row differs.
            return [("subject", *cell[1:]) for cell in cells if cell[1] == self.subject_column]
        return cells or [("row", None, None, None)]

    def _row(
        self,
        position: int,
        number: int | None,
        keys: dict[int, tuple[tuple[str, str], ...]],
        problem: str,
        column: str | None = None,
        expected: str | None = None,
        found: str | None = None,
    ) -> Difference:
        file, file_row = self.source.place(position)
        path = self.extent.parts[self.source.files.index(file)].path
        return Difference(
            self.dataset,
            self.snapshot_id,
            problem,
            row_number=number,
            row_key=keys.get(position),
            file=path,
            file_row=file_row,
            column=column,
            expected=expected,
            found=found,
        )


def _read_keys(
    source: TableSource, unique_key: Sequence[str], positions: Sequence[int]
) -> dict[int, tuple[tuple[str, str], ...]]:
    """Unique-key columns, as text, of the rows at these positions in file order."""
    keys: dict[int, tuple[tuple[str, str], ...]] = {}
    fields = source.require(unique_key, "the unique key")
    for batch in source.batches(fields) if positions else ():
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
