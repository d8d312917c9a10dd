"""CSV feeds: recognised by their header, typed to an Arrow schema, bad lines set aside.

What a line may hold (vocabularies, ranges, keys) is the contract's business. Here a line is
refused only where it cannot become a row of the schema at all. The format is strict on purpose:
UTF-8, commas, double quotes, one record a line (no line breaks inside values), exactly the
expected header; dates and times are ISO 8601, times with a zone; booleans are true and false; an
empty value is null.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv

from orchestration.feeds.common import (
    CheckCoverage,
    FeedError,
    Rejection,
    VerificationReport,
    name_of,
)

# Name, Arrow type and nullability of each column, in the order of the header.
ColumnSpec = tuple[str, pa.DataType, bool]

BLOCK_BYTES = 32 << 20
CHUNK_LINES = 512  # around a bad line so many are looked at one by one, at about 10 us each
MAX_LINE_BYTES = 64 << 10  # lines of real feeds have some hundred bytes

COLUMNS, TYPE, MISSING = "tabular.columns", "tabular.type", "tabular.missing"
ENCODING, TOO_LONG = "tabular.encoding", "tabular.line_too_long"
REPEATED_HEADER = "tabular.repeated_header"

_BOM = b"\xef\xbb\xbf"
# A block with any of these is split line by line: quotes, and white space around values, which
# pyarrow would take off some types and leave on others.
_UNUSUAL = (b'"', b"\t", b", ", b" ,", b"\n ", b" \n", b" \r")


def sniff(path: Path, schemas: Mapping[str, Sequence[ColumnSpec]]) -> str | None:
    """Return the dataset whose columns are exactly the file's header, or None.

    Args:
        path: A file of any kind; at most its first line is read.
        schemas: Columns by dataset.
    """
    try:
        with path.open("rb") as file:
            names = _names(_first_line(file))
    except (OSError, ValueError):
        return None
    for dataset, columns in schemas.items():
        if names == [name for name, _, _ in columns]:
            return dataset
    return None


def read_feed(
    paths: Sequence[Path],
    dataset: str,
    columns: Sequence[ColumnSpec],
    *,
    source_names: Mapping[Path, str] | None = None,
) -> TabularReading:
    """Read the CSV files of one feed.

    Args:
        paths: Files with the same header.
        dataset: Raw table that the rows go to.
        columns: Its columns, in the order of the header.
        source_names: Names under which the files are cited; by default their file names.

    Returns:
        A reading whose tables are ``dataset``. Iterating it raises FeedError at a file that is
        empty, cannot be opened or has another header.
    """
    names = source_names or {}
    return TabularReading(
        [(path, names.get(path, name_of(path))) for path in paths], dataset, columns
    )


class TabularReading:
    """One pass over the files of a feed; see ``orchestration.feeds.common.Reading``.

    Attributes:
        report: Number of files (blocks) and of rows (transactions) read.
        rejections: Refused lines, each with file, line number, reason and its bytes.
    """

    def __init__(
        self, sources: Sequence[tuple[Path, str]], dataset: str, columns: Sequence[ColumnSpec]
    ) -> None:
        self._sources = sources
        self._dataset = dataset
        self._columns = columns
        self._reset()

    def _reset(self) -> None:
        self._check = CheckCoverage("columns and types", is_possible=True)
        self.report = VerificationReport("CSV feed", self._dataset, checks=[self._check])
        self.rejections: list[Rejection] = []

    def __iter__(self) -> Iterator[Mapping[str, pa.Table]]:
        self._reset()
        for path, name in self._sources:
            parser = _Parser(name, self._columns)
            for table in _tables(path, name, parser):
                refused = parser.take_rejections()
                self.rejections += refused
                self.report.transactions += table.num_rows
                self._check.covered += table.num_rows + len(refused)
                self._check.failed += len(refused)
                yield {self._dataset: table}
            self.report.blocks += 1


def _tables(path: Path, name: str, parser: _Parser) -> Iterator[pa.Table]:
    """Yield the rows of one file, block by block; an empty table where there are none."""
    try:
        with path.open("rb") as file:
            header = _first_line(file)
            parser.expect_header(header)
            yield parser.schema.empty_table()
            # The header is line 1.
            for number, data in _blocks(file, 2):
                yield parser.parse(number, data)
    except OSError as error:
        raise FeedError(
            where=name,
            expected="a readable file",
            found=error.strerror or type(error).__name__,
            what_to_do="Check the file and its permissions.",
        ) from error


def _first_line(file: BinaryIO) -> bytes:
    """Return the first line without byte-order mark and line end."""
    return file.readline(MAX_LINE_BYTES).removeprefix(_BOM).rstrip(b"\r\n")


def _names(header: bytes) -> list[str]:
    """Return the column names of a header line; raises ValueError where it is not text."""
    try:
        return next(csv.reader([header.decode()]), [])
    except csv.Error as error:
        raise ValueError(str(error)) from error


def _blocks(file: BinaryIO, number: int) -> Iterator[tuple[int, bytes]]:
    """Yield (number of the first line, whole lines) in blocks of bounded size.

    A line longer than a block is cut down to what the parser refuses as too long.
    """
    while data := file.read(BLOCK_BYTES):
        rest = file.readline(BLOCK_BYTES)
        if len(rest) == BLOCK_BYTES and not rest.endswith(b"\n"):
            while (more := file.readline(BLOCK_BYTES)) and not more.endswith(b"\n"):
                pass
            kept = data.rfind(b"\n") + 1
            data, rest = data[:kept], (data[kept:] + rest)[: MAX_LINE_BYTES + 1]
        data += rest
        if not data.endswith(b"\n"):
            data += b"\n"
        yield number, data
        number += data.count(b"\n")


class _Parser:
    """Turns blocks of lines of one file into tables; collects the lines that it refuses.

    Plain blocks are parsed by pyarrow as a whole. Where that does not work, or where a block holds
    anything that needs a closer look (quotes, blank lines, spaces around values), its lines are
    split by Python and each column is converted apart, with the same outcome for every good line.
    """

    def __init__(self, name: str, columns: Sequence[ColumnSpec]) -> None:
        self._refused: list[tuple[int, Rejection]] = []
        self.schema = pa.schema([pa.field(*column) for column in columns])
        self._name = name
        self._header = b""

    def expect_header(self, header: bytes) -> None:
        """Remember the header; raises FeedError where it is not the expected one."""
        self._header = header
        try:
            found = _names(header)
        except ValueError:
            found = None
        if found == self.schema.names:
            return
        raise FeedError(
            where=f"{self._name}, line 1",
            expected=f"the header {','.join(self.schema.names)}",
            found=_describe_header(found, self.schema.names),
            what_to_do="Deliver the feed as UTF-8 CSV with exactly these columns in this order.",
        )

    def take_rejections(self) -> list[Rejection]:
        """Return the lines refused since the last call, in the order of the file."""
        refused = sorted(self._refused, key=lambda pair: pair[0])
        self._refused.clear()
        return [rejection for _, rejection in refused]

    def parse(self, number: int, data: bytes) -> pa.Table:
        """Return the rows of a block of whole lines.

        Args:
            number: Number of the block's first line.
            data: The lines, each ended by a line feed.
        """
        table = self._parse_whole(data)
        if table is not None:
            return table
        lines = data.split(b"\n")[:-1]
        tables = []
        for first in range(0, len(lines), CHUNK_LINES):
            chunk = lines[first : first + CHUNK_LINES]
            table = self._parse_whole(b"\n".join(chunk) + b"\n")
            tables.append(self._parse_lines(number + first, chunk) if table is None else table)
        return pa.concat_tables(tables)

    def _parse_whole(self, data: bytes) -> pa.Table | None:
        """Return all lines as rows, or None where any line needs a closer look."""
        ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n"))
        lengths = np.diff(ends, prepend=-1) - 1
        # A line of one byte may be a carriage return, so blank.
        is_plain = lengths.min() > 1 and lengths.max() <= MAX_LINE_BYTES
        if not is_plain or any(mark in data for mark in (self._header, *_UNUSUAL)):
            return None
        types = {field.name: field.type for field in self.schema}
        try:
            table = _read_plain_csv(data, types)
        except pa.ArrowInvalid:
            return None
        has_gap = any(
            table.column(field.name).null_count for field in self.schema if not field.nullable
        )
        # A carriage return inside a line makes two rows of it.
        return None if has_gap or table.num_rows != len(ends) else table.cast(self.schema)

    def _parse_lines(self, number: int, lines: Sequence[bytes]) -> pa.Table:
        """Return the rows of the good lines; refuse the others, each with its reason."""
        rows, split = [], []
        for row, line in enumerate(lines):
            values = self._split(number + row, line)
            if values is not None:
                rows.append(row)
                split.append(values)
        columns, wrong = [], [[] for _ in rows]
        for field, texts in zip(self.schema, self._transpose(split), strict=True):
            column, bad = _convert(pa.array(texts, pa.string()), field.type)
            columns.append(column)
            for place in bad:
                wrong[place].append(f"{field.name} ({field.type})")
        table = pa.table(columns, schema=pa.schema([f.with_nullable(True) for f in self.schema]))
        missing = self._missing(table, wrong)
        return self._keep(number, lines, rows, table, wrong, missing)

    def _split(self, number: int, line: bytes) -> list[str | None] | None:
        """Return a line's values, null for empty ones, or None where it is blank or refused."""
        line = line.removesuffix(b"\r")
        if not line:
            return None
        if len(line) > MAX_LINE_BYTES:
            reason = f"expected at most {MAX_LINE_BYTES} bytes a line; found more"
            return self._refuse(number, TOO_LONG, reason, line[:MAX_LINE_BYTES])
        if line.removeprefix(_BOM) == self._header:
            reason = "expected a row; found the header again, as where files were joined"
            return self._refuse(number, REPEATED_HEADER, reason, line)
        try:
            values = next(csv.reader([line.decode()], strict=True))
        except UnicodeDecodeError as error:
            reason = f"expected UTF-8; found another byte at position {error.start}"
            return self._refuse(number, ENCODING, reason, line)
        except csv.Error:
            reason = "expected one record a line; found a broken quote or a line break in a value"
            return self._refuse(number, COLUMNS, reason, line)
        if len(values) != len(self.schema):
            reason = f"expected {len(self.schema)} values; found {len(values)}"
            return self._refuse(number, COLUMNS, reason, line)
        return [value or None for value in values]

    def _transpose(self, rows: list[list[str | None]]) -> list[Sequence[str | None]]:
        return list(zip(*rows, strict=True)) if rows else [() for _ in self.schema]

    def _missing(self, table: pa.Table, wrong: Sequence[Sequence[str]]) -> dict[int, list[str]]:
        """Return the required columns without a value, by row."""
        missing: dict[int, list[str]] = {}
        for field in self.schema:
            column = table.column(field.name)
            if field.nullable or not column.null_count:
                continue
            for row in np.flatnonzero(column.is_null().to_numpy()).tolist():
                # A value of another type was taken out above: it is wrong, not missing.
                if f"{field.name} ({field.type})" not in wrong[row]:
                    missing.setdefault(row, []).append(field.name)
        return missing

    def _keep(
        self,
        number: int,
        lines: Sequence[bytes],
        rows: Sequence[int],
        table: pa.Table,
        wrong: Sequence[Sequence[str]],
        missing: Mapping[int, Sequence[str]],
    ) -> pa.Table:
        """Return the good rows; refuse those with values of other types or without some."""
        is_kept = np.ones(len(rows), dtype=bool)
        for place, row in enumerate(rows):
            if wrong[place]:
                names = ", ".join(wrong[place])
                reason = f"expected values of the columns' types; found others in {names}"
                self._refuse(number + row, TYPE, reason, lines[row])
            elif place in missing:
                reason = f"expected a value of {', '.join(missing[place])}; found none"
                self._refuse(number + row, MISSING, reason, lines[row])
            else:
                continue
            is_kept[place] = False
        return table.filter(pa.array(is_kept)).cast(self.schema)

    def _refuse(self, number: int, rule: str, reason: str, line: bytes) -> None:
        rejection = Rejection(self._name, f"line {number}", rule, reason, line)
        self._refused.append((number, rejection))


def _convert(texts: pa.Array, kind: pa.DataType) -> tuple[pa.Array, list[int]]:
    """Convert texts to a type.

    Returns:
        The values, null where a text is no value of the type, and the positions of those texts.
    """
    if pa.types.is_boolean(kind):
        is_known = pc.is_in(texts, value_set=pa.array(["true", "false", None], pa.string()))
        bad = np.flatnonzero(~is_known.to_numpy(zero_copy_only=False)).tolist()
    else:
        bad = _unreadable(texts, kind)
    if bad:
        is_bad = np.zeros(len(texts), dtype=bool)
        is_bad[bad] = True
        texts = pc.if_else(pa.array(is_bad), pa.scalar(None, pa.string()), texts)
    return texts.cast(kind), bad


def _unreadable(texts: pa.Array, kind: pa.DataType) -> list[int]:
    """Return the positions of texts that are no values of the type, by halving."""
    bad: list[int] = []
    spans = [(0, len(texts))]
    while spans:
        low, high = spans.pop()
        try:
            texts[low:high].cast(kind)
        except pa.ArrowInvalid:
            if high - low == 1:
                bad.append(low)
            else:
                middle = (low + high) // 2
                spans += [(middle, high), (low, middle)]
    return bad


def _read_plain_csv(data: bytes, types: Mapping[str, pa.DataType]) -> pa.Table:
    """Parse lines without quotes; raises pyarrow.ArrowInvalid at anything that does not fit."""
    return pacsv.read_csv(
        pa.BufferReader(data),
        pacsv.ReadOptions(column_names=list(types)),
        pacsv.ParseOptions(quote_char=False, newlines_in_values=False),
        pacsv.ConvertOptions(
            column_types=dict(types),
            null_values=[""],
            strings_can_be_null=True,
            true_values=["true"],
            false_values=["false"],
        ),
    )


def _describe_header(found: list[str] | None, expected: list[str]) -> str:
    """Say how a header differs, without repeating a line that may hold data."""
    if found is None:
        return "a first line that is not UTF-8 text"
    if not found:
        return "an empty file or an empty first line"
    missing = [name for name in expected if name not in found]
    if missing:
        return f"{len(found)} columns without {', '.join(missing)}"
    if len(set(found)) != len(found):
        return "a header that names a column twice"
    more = len(found) - len(expected)
    return f"{more} more columns" if more else "the columns in another order"
