"""The rows of one data subject in a Parquet part: reading them, and the part without them.

What belongs here: reading and rewriting Parquet for an erasure. What does not: which parts, and
what becomes of records (``erasure``). pyarrow is imported only when a part is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ledger_anchor.errors import StorageError, TableError
from ledger_anchor.row_commit.columns import Batch, Field, TableSource, plain_array

_GROUP_ROWS = 65_536  # of a rewritten part: small enough to open a row's group quickly


def rows_of_subject(
    source: TableSource, column: str, subject: str
) -> Iterator[tuple[Batch, list[int]]]:
    """The rows of a subject, batch by batch, and their positions in the files.

    Raises:
        TableError: if a part cannot be read or has no such column.
    """
    item = source.require([column], "the subject column")[0]
    # Most parts hold none: one column tells.
    only = (_rows(batch.columns[column], item, subject) for batch in source.batches([item]))
    if not any(only):
        return
    for batch in source.batches(source.fields):
        rows = _rows(batch.columns[column], item, subject)
        if rows:
            columns = {name: values.take(rows) for name, values in batch.columns.items()}
            at = (batch.part, batch.first_row, batch.position)
            yield Batch(*at, len(rows), columns), [batch.position + row for row in rows]


def _rows(values: Any, item: Field, subject: str) -> list[int]:
    """Rows of a plain array that are about a subject."""
    import pyarrow.compute as pc  # noqa: PLC0415 - only reading Parquet needs it

    mask = _mask(values, item, subject)
    return [] if mask is None else [int(row) for row in pc.indices_nonzero(mask).to_pylist()]


def _mask(values: Any, item: Field, subject: str) -> Any:
    """Which values of a plain array name a subject; None if none can."""
    import pyarrow as pa  # noqa: PLC0415 - only reading Parquet needs it
    import pyarrow.compute as pc  # noqa: PLC0415

    if item.kind == "text":
        return pc.equal(values, pa.scalar(subject.encode(), pa.large_binary())).fill_null(False)
    try:
        wanted = pa.scalar(int(subject), values.type)
    except (ValueError, OverflowError, pa.ArrowException):
        return None
    if item.kind != "int" or str(int(subject)) != subject:
        return None
    return pc.equal(values, wanted).fill_null(False)


def write_without(path: Path, target: Path, column: str, subject: str) -> int:
    """Write a part anew without the rows of a subject: schema, order and compression stay.

    Args:
        path: the part.
        target: the new file.
        column: the subject column.
        subject: the subject's id.

    Returns:
        The number of rows that are left.

    Raises:
        TableError: if the part cannot be read.
        StorageError: if the new file cannot be written.
    """
    import pyarrow as pa  # noqa: PLC0415 - only reading Parquet needs it
    import pyarrow.parquet as pq  # noqa: PLC0415

    item = TableSource(path.name, [path]).require([column], "the subject column")[0]
    left = 0
    try:
        with pq.ParquetFile(path) as part:
            compression = _compression(part.metadata)
            with pq.ParquetWriter(target, part.schema_arrow, compression=compression) as writer:
                for batch in part.iter_batches(_GROUP_ROWS):
                    kept = _without(batch, item, subject)
                    left += kept.num_rows
                    if kept.num_rows:
                        writer.write_batch(kept)
    except pa.ArrowException as error:
        raise TableError(f"{path} is not a readable Parquet file") from error
    except OSError as error:
        raise StorageError(f"cannot write {target}: {error}") from error
    return left


def _without(batch: Any, item: Field, subject: str) -> Any:
    import pyarrow.compute as pc  # noqa: PLC0415 - only reading Parquet needs it

    mask = _mask(plain_array(batch.column(item.name), item), item, subject)
    return batch if mask is None else batch.filter(pc.invert(mask))


def _compression(metadata: Any) -> str:
    if not metadata.num_row_groups or not metadata.num_columns:
        return "zstd"
    name = str(metadata.row_group(0).column(0).compression).lower()
    return {"uncompressed": "none", "lz4_raw": "lz4"}.get(name, name)
