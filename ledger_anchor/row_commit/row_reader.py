"""Reading single rows of Parquet parts, and keys that a person wrote.

What belongs here: one row by its position, with as little reading as the file allows; unique keys
from text. What does not: which row is wanted (``disclosure``). pyarrow is imported only when a row
is read.
"""

from __future__ import annotations

import datetime as dt
import itertools
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from ledger_anchor import cbor
from ledger_anchor.errors import DataMissingError, TableError
from ledger_anchor.row_commit.columns import Field, cbor_values, plain_array

CACHE_BYTES = 256 << 20
_BATCH_ROWS = 65_536
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


class RowReader:
    """Rows of Parquet parts by position; row groups that were read are kept up to a bound.

    A row group is decoded from its start as far as the wanted row: groups of some ten thousand
    rows open in milliseconds, one of a million takes its time once.

    Args:
        fields: the table's columns.
        cache_bytes: about how much memory decoded row groups may take.
    """

    def __init__(self, fields: Sequence[Field], cache_bytes: int = CACHE_BYTES) -> None:
        self._fields, self._cache_bytes = tuple(fields), cache_bytes
        self._parts: dict[Path, _Part] = {}
        self._groups: OrderedDict[tuple[Path, int], _Group] = OrderedDict()

    def close(self) -> None:
        """Close every file."""
        for part in self._parts.values():
            part.file.close()
        self._parts.clear()
        self._groups.clear()

    def rows_in(self, file: Path) -> int:
        """Number of rows of a part.

        Raises:
            DataMissingError: if the part is missing.
            TableError: if it cannot be read.
        """
        rows: int = self._part(file).starts[-1]
        return rows

    def row(self, file: Path, position: int) -> list[bytes]:
        """CBOR of each value of a row.

        Args:
            file: the part.
            position: the row's position in it.

        Returns:
            The values in the order of the columns.

        Raises:
            DataMissingError: if the part is missing.
            TableError: if it cannot be read, has other columns or no such row.
        """
        import pyarrow as pa  # noqa: PLC0415 - only reading Parquet needs it

        if not 0 <= position < self.rows_in(file):
            raise TableError(f"{file} has no row {position}")
        try:
            return self._row(file, position)
        except (OSError, pa.ArrowException, KeyError) as error:
            raise TableError(f"{file} cannot be read, or has other columns") from error

    def _row(self, file: Path, position: int) -> list[bytes]:
        starts = self._part(file).starts
        number = bisect_right(starts, position) - 1
        group = self._group(file, number)
        before = group.bytes
        batch, at = group.find(position - starts[number])
        if group.bytes > before:
            self._trim()
        return batch.values(self._fields, at)

    def _part(self, file: Path) -> _Part:
        if file not in self._parts:
            self._parts[file] = _Part(file)
        return self._parts[file]

    def _group(self, file: Path, number: int) -> _Group:
        if (file, number) not in self._groups:
            names = [item.name for item in self._fields]
            opened = self._part(file).file
            self._groups[file, number] = _Group(
                opened.iter_batches(_BATCH_ROWS, row_groups=[number], columns=names)
            )
        self._groups.move_to_end((file, number))
        return self._groups[file, number]

    def _trim(self) -> None:
        while sum(group.bytes for group in self._groups.values()) > self._cache_bytes:
            self._groups.popitem(last=False)


class _Part:
    """An open part, and the first row of each of its row groups (and one past the last)."""

    def __init__(self, file: Path) -> None:
        import pyarrow as pa  # noqa: PLC0415 - only reading Parquet needs it
        import pyarrow.parquet as pq  # noqa: PLC0415

        try:
            self.file = pq.ParquetFile(file)
        except FileNotFoundError as error:
            raise DataMissingError(f"{file} is missing") from error
        except (OSError, pa.ArrowException) as error:
            raise TableError(f"{file} is not a readable Parquet file") from error
        metadata = self.file.metadata
        counts = (metadata.row_group(n).num_rows for n in range(metadata.num_row_groups))
        self.starts = list(itertools.accumulate(counts, initial=0))


class _Group:
    """A row group, decoded as far as it was needed."""

    def __init__(self, batches: Iterator[Any]) -> None:
        self._rest = batches
        self._batches: list[tuple[int, _Rows]] = []
        self._rows = 0
        self.bytes = 0

    def find(self, row: int) -> tuple[_Rows, int]:
        """The batch that holds a row, and the row's place in it."""
        while self._rows <= row:
            batch = next(self._rest)
            self._batches.append((self._rows, _Rows(batch)))
            self._rows += batch.num_rows
            self.bytes += batch.nbytes
        first, found = next(one for one in reversed(self._batches) if one[0] <= row)
        return found, row - first


class _Rows:
    """Decoded rows; in the layout that is committed once they are asked for again."""

    def __init__(self, batch: Any) -> None:
        self._columns: dict[str, Any] = dict(zip(batch.schema.names, batch.columns, strict=True))
        self._uses = 0

    def values(self, fields: Sequence[Field], at: int) -> list[bytes]:
        """CBOR of each value of a row."""
        self._uses += 1
        if self._uses == 2:
            for item in fields:
                self._columns[item.name] = plain_array(self._columns[item.name], item)
        found = []
        for item in fields:
            one = self._columns[item.name].slice(at, 1)
            found.append(cbor_values(one if self._uses > 1 else plain_array(one, item), item)[0])
        return found


def encoded_keys(fields: Sequence[Field], key: Mapping[str, str]) -> Iterator[bytes]:
    """CBOR of the unique keys that a text may mean: "null" may be no value or that word.

    Args:
        fields: the unique-key columns in order.
        key: text of each, as ``audit`` shows it.
    """
    choices = [list(_encoded(item, key[item.name])) for item in fields]
    for values in itertools.product(*choices):
        yield cbor.encode_array(list(values))


def _encoded(item: Field, text: str) -> Iterator[bytes]:
    if text == "null":
        yield cbor.NULL
    if item.kind != "text" and not (text.isascii() and text.isprintable() and "_" not in text):
        return  # Python reads digits of other scripts, and underscores between them
    try:
        yield _PARSERS[item.kind](text, item)
    except (ValueError, OverflowError, InvalidOperation, KeyError):
        return


def _decimal(text: str, item: Field) -> bytes:
    return cbor.encode(Decimal(text).quantize(Decimal(1).scaleb(-item.scale)))


def _timestamp(text: str, item: Field) -> bytes:  # noqa: ARG001 - one shape for all parsers
    moment = dt.datetime.fromisoformat(text)
    moment = moment.replace(tzinfo=dt.UTC) if moment.tzinfo is None else moment
    return cbor.encode_int((moment - _EPOCH) // dt.timedelta(microseconds=1))


_PARSERS: dict[str, Callable[[str, Field], bytes]] = {
    "bool": lambda text, _: {"True": cbor.TRUE, "False": cbor.FALSE}[text],
    "int": lambda text, _: cbor.encode_int(int(text)),
    "float": lambda text, _: cbor.encode_float(float(text)),
    "decimal": _decimal,
    "text": lambda text, _: cbor.encode_text(text),
    "blob": lambda text, _: cbor.encode_bytes(bytes.fromhex(text)),
    "date": lambda text, _: cbor.encode_date(
        (dt.date.fromisoformat(text) - dt.date(1970, 1, 1)).days
    ),
    "timestamp": _timestamp,
}
