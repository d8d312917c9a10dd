"""Tables as row-commit v1 sees them: logical types, and Parquet parts read in bounded batches.

What belongs here: Arrow types to logical types, and one plain Arrow layout per logical type, so
that int32 and int64, dictionary and plain text, or milliseconds and microseconds commit alike.
What does not: hashing (``rows``, ``fast``). pyarrow is imported only when a table is read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ledger_anchor import cbor
from ledger_anchor.errors import DataMissingError, TableError, UnsupportedTypeError

BATCH_ROWS = 8_192  # a column's messages of one batch fit in a core's own cache
_READ_AHEAD = 4  # batches; Arrow decodes longer runs of pages in less time
# One row of a batch may hold a long document: fewer rows then, so that memory stays bounded.
_READ_BYTES = 64 << 20
_BUFFER = 256 << 10
_STRINGS = {"text", "blob"}
# Written out, a string takes four bytes more than its own; a column with less repeats its values.
_REPEATED_BYTES = 4


@dataclass(frozen=True)
class Field:
    """One column: its name and logical type.

    Logical types: bool, int, decimal(p,s), float, text, blob, date (days), timestamp
    (microseconds UTC; a time without a zone is taken as UTC), null (a column without any value).
    """

    name: str
    logical_type: str

    @property
    def scale(self) -> int:
        """Digits after the point of a decimal column."""
        return int(self.logical_type.removesuffix(")").partition(",")[2])

    @property
    def kind(self) -> str:
        """The logical type without its parameters."""
        return self.logical_type.partition("(")[0]


def logical_type(arrow_type: Any, column: str) -> str:
    """Logical type of an Arrow type.

    Args:
        arrow_type: a pyarrow data type.
        column: name of the column, for the message.

    Returns:
        The name of the logical type.

    Raises:
        UnsupportedTypeError: for nested types, times of day, durations and intervals.
    """
    import pyarrow.types as pt  # noqa: PLC0415 - only reading Parquet needs it

    if pt.is_dictionary(arrow_type):
        return logical_type(arrow_type.value_type, column)
    for is_type, name in (
        (pt.is_boolean, "bool"),
        (pt.is_integer, "int"),
        (pt.is_floating, "float"),
        (pt.is_date, "date"),
        (pt.is_timestamp, "timestamp"),
        (pt.is_null, "null"),
    ):
        if is_type(arrow_type):
            return name
    if pt.is_decimal(arrow_type) and arrow_type.precision <= 38:
        return f"decimal({arrow_type.precision},{arrow_type.scale})"
    if any(test(arrow_type) for test in (pt.is_string, pt.is_large_string, pt.is_string_view)):
        return "text"
    if "binary" in str(arrow_type):
        return "blob"
    raise UnsupportedTypeError(
        f"column {column}: row-commit v1 does not define {arrow_type}. Write it as text, a number, "
        "a date or a timestamp, or leave the column out"
    )


def plain_array(array: Any, field_: Field, *, keeps_dictionary: bool = False) -> Any:
    """One Arrow layout per logical type, so that only values count and not their storage.

    Args:
        array: a pyarrow array of a supported type.
        field_: the column.
        keeps_dictionary: whether text and blobs may stay indices (32 bits) into a dictionary.

    Returns:
        bool; int64 or uint64 for integers, days and microseconds; double; decimal128;
        large_binary for text (UTF-8 as stored) and blobs; or null.

    Raises:
        TableError: if a timestamp is finer than a microsecond.
    """
    import pyarrow as pa  # noqa: PLC0415 - only reading Parquet needs it
    import pyarrow.compute as pc  # noqa: PLC0415

    if pa.types.is_dictionary(array.type):
        if keeps_dictionary and field_.kind in _STRINGS and array.type.index_type == pa.int32():
            entries = array.dictionary.cast(pa.large_binary())
            return pa.DictionaryArray.from_arrays(array.indices, entries)
        array = array.dictionary_decode()
    kind, values = field_.kind, array.type
    try:
        if kind == "int":
            return array.cast(pa.uint64() if pa.types.is_uint64(values) else pa.int64())
        if kind == "float":
            return array.cast(pa.float64())
        if kind == "decimal":
            return array.cast(pa.decimal128(38, field_.scale))
        if kind in _STRINGS:
            return array.cast(pa.large_binary())
        if kind == "date":
            return array.cast(pa.date32()).cast(pa.int32()).cast(pa.int64())
        if kind == "timestamp":
            return pc.cast(array, pa.timestamp("us", tz=values.tz)).cast(pa.int64())
    except pa.ArrowInvalid as error:
        raise TableError(f"column {field_.name}: {error}") from error
    return array


def cbor_values(array: Any, field_: Field) -> list[bytes]:
    """CBOR of every value of a plain array, null included: the slow and obvious way."""
    encoders: dict[str, Callable[[Any], bytes]] = {
        "bool": lambda value: cbor.TRUE if value else cbor.FALSE,
        "int": cbor.encode_int,
        "float": cbor.encode_float,
        "decimal": cbor.encode,
        "text": cbor.encode_text,
        "blob": cbor.encode_bytes,
        "date": cbor.encode_date,
        "timestamp": cbor.encode_int,
        "null": cbor.encode,
    }
    encode = encoders[field_.kind]
    return [cbor.NULL if value is None else encode(value) for value in array.to_pylist()]


@dataclass(frozen=True)
class Batch:
    """Consecutive rows of one part.

    Attributes:
        part: number of the part.
        first_row: row in that part, from 0.
        position: row in the whole table in file order, from 0.
        rows: number of rows.
        columns: plain arrays by column name.
    """

    part: int
    first_row: int
    position: int
    rows: int
    columns: dict[str, Any] = field(repr=False)


class TableSource:
    """A table stored as Parquet parts that share one logical schema.

    Raises:
        TableError: if there is no part, a part cannot be read, or schemas differ.
        UnsupportedTypeError: if a column has a type that cannot be committed.
        DataMissingError: if a part is not there.
    """

    def __init__(self, dataset: str, files: Sequence[Path]) -> None:
        if not files:
            raise TableError(f"{dataset}: no file was given; a table has at least one Parquet part")
        self.dataset = dataset
        self.files = tuple(files)
        self.fields: tuple[Field, ...] = ()
        rows: list[int] = []
        sizes: Counter[str] = Counter()
        for file in self.files:
            with self._open(file) as part:
                self._take_schema(file, part)
                rows.append(part.metadata.num_rows)
                sizes.update(_column_sizes(part.metadata))
        self.part_rows = tuple(rows)
        self.rows = sum(rows)
        self._row_bytes = max(1, sizes.total() // max(1, self.rows))
        self._repeated = self._repeated_columns(sizes)

    def _repeated_columns(self, sizes: Counter[str]) -> set[str]:
        few = _REPEATED_BYTES * self.rows
        strings = (item.name for item in self.fields if item.kind in _STRINGS)
        return {name for name in strings if sizes[name] < few}

    def _open(self, file: Path, dictionaries: Sequence[str] = ()) -> Any:
        import pyarrow as pa  # noqa: PLC0415 - only reading Parquet needs it
        import pyarrow.parquet as pq  # noqa: PLC0415

        try:
            # Row groups may be larger than memory: columns are read a buffer at a time.
            return pq.ParquetFile(
                file, read_dictionary=list(dictionaries), pre_buffer=False, buffer_size=_BUFFER
            )
        except FileNotFoundError as error:
            raise DataMissingError(f"{self.dataset}: {file} is missing") from error
        except (OSError, pa.ArrowException) as error:
            raise TableError(f"{self.dataset}: {file} is not a readable Parquet file") from error

    def _take_schema(self, file: Path, part: Any) -> None:
        schema = part.schema_arrow
        fields = tuple(Field(item.name, logical_type(item.type, item.name)) for item in schema)
        if len({item.name for item in fields}) != len(fields):
            raise TableError(f"{self.dataset}: {file} has two columns of one name")
        if not self.fields:
            self.fields = fields
        if fields != self.fields:
            odd = set(fields).symmetric_difference(self.fields)
            names = ", ".join(sorted(f"{item.name} {item.logical_type}" for item in odd))
            raise TableError(
                f"{self.dataset}: {file} has other columns than {self.files[0]}"
                f" ({names or 'another order'}); all parts of a table share one schema"
            )

    def require(self, columns: Sequence[str], what: str) -> list[Field]:
        """Fields of the named columns.

        Raises:
            TableError: if none is named or one is not in the table.
        """
        by_name = {item.name: item for item in self.fields}
        missing = [name for name in columns if name not in by_name]
        if missing or not columns:
            raise TableError(
                f"{self.dataset}: {what} names {', '.join(missing) or 'no column'}; "
                f"the table has {', '.join(by_name)}"
            )
        return [by_name[name] for name in columns]

    def batches(
        self,
        fields: Sequence[Field],
        rows: int = BATCH_ROWS,
        *,
        keeps_dictionaries: bool = False,
    ) -> Iterator[Batch]:
        """Read the given columns, batch by batch, in file order.

        Args:
            fields: the columns.
            rows: most rows of a batch; it has fewer if rows are long.
            keeps_dictionaries: see ``plain_array``; reading them takes a third of the time.

        Raises:
            TableError: if a part turns out unreadable or a value cannot be committed.
        """
        import pyarrow as pa  # noqa: PLC0415 - only reading Parquet needs it

        read = max(256, min(_READ_AHEAD * rows, _READ_BYTES // self._row_bytes))
        size = min(rows, read)
        names = [item.name for item in fields]
        kept = [name for name in names if name in self._repeated] if keeps_dictionaries else []
        position = 0
        for number, file in enumerate(self.files):
            first = 0
            try:
                with self._open(file, kept) as part:
                    for record in part.iter_batches(read, columns=names):
                        columns = {
                            item.name: plain_array(
                                record.column(item.name),
                                item,
                                keeps_dictionary=keeps_dictionaries,
                            )
                            for item in fields
                        }
                        for start in range(0, record.num_rows, size):
                            some = {
                                name: values.slice(start, size) for name, values in columns.items()
                            }
                            count = min(size, record.num_rows - start)
                            yield Batch(number, first, position, count, some)
                            first += count
                            position += count
            except (OSError, pa.ArrowException) as error:
                raise TableError(
                    f"{self.dataset}: {file} cannot be read after row {first}: the file is damaged"
                ) from error
            if first != self.part_rows[number]:
                raise TableError(f"{self.dataset}: {file} changed while it was read")

    def place(self, position: int) -> tuple[Path, int]:
        """Part and row in it, counted from 1, of a row in file order."""
        for file, rows in zip(self.files, self.part_rows, strict=True):
            if position < rows:
                return file, position + 1
            position -= rows
        raise TableError(f"{self.dataset}: there is no such row")


def _column_sizes(metadata: Any) -> Counter[str]:
    """Bytes that each column takes in a Parquet file before compression."""
    sizes: Counter[str] = Counter()
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        for place in range(group.num_columns):
            column = group.column(place)
            sizes[column.path_in_schema] += column.total_uncompressed_size
    return sizes
