"""Tables for benchmarks: ten columns of mixed types, as a wage ledger has them, in any length.

What belongs here: making the file, in bounded memory. What does not: measuring. The values are
drawn from a seeded generator, so that every run commits the same table.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

UNIQUE_KEY = ("worker_id", "work_date", "shift")
SUBJECT = "worker_id"
_BATCH = 1 << 18
_DISTRICTS = 640
_NOTES = 5000
_STRIDE = 0x9E3779B1  # a prime: it meets every subject once in each round, spread over the file


def make_table(path: Path, rows: int, subjects: int) -> None:
    """Write a Parquet file of ten columns of eight logical types.

    Args:
        path: The file.
        rows: Number of rows.
        subjects: Number of data subjects, at most 2**21; (subject, date, shift) is unique.
    """
    names = pa.array([f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}" for number in range(subjects)])
    districts = pa.array([f"District {number:03d}" for number in range(_DISTRICTS)])
    notes = pa.array([f"crop {number % 37} on plot {number}" for number in range(_NOTES)])
    source = np.random.default_rng(1)
    writer: pq.ParquetWriter | None = None
    for start in range(0, rows, _BATCH):
        count = min(_BATCH, rows - start)
        position = np.arange(start, start + count, dtype=np.uint64)
        spread = position * np.uint64(_STRIDE)
        turn = position // np.uint64(subjects)
        columns = {
            "worker_id": names.take(pa.array(spread % np.uint64(subjects))),
            "work_date": pa.array((18_000 + turn // np.uint64(3)).astype(np.int32)).cast(
                pa.date32()
            ),
            "shift": pa.array((turn % np.uint64(3)).astype(np.int32)),
            "district": districts.take(pa.array(source.integers(0, _DISTRICTS, count))),
            "note": notes.take(
                pa.array(source.integers(0, _NOTES, count), mask=source.random(count) < 0.1)
            ),
            "wage_paise": pa.array(source.integers(10_000, 900_000, count)),
            "amount": _amounts(source.integers(100, 10_000_000, count)),
            "hours": pa.array(np.round(source.random(count) * 12, 2)),
            "paid_at": pa.array(1_700_000_000_000_000 + source.integers(0, 10**13, count)).cast(
                pa.timestamp("us", "UTC")
            ),
            "is_paid": pa.array(source.random(count) < 0.9),
        }
        table = pa.table(columns)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table, row_group_size=_BATCH)
    if writer is not None:
        writer.close()


def _amounts(unscaled: np.ndarray) -> pa.Array:
    words = np.zeros((len(unscaled), 2), np.uint64)
    words[:, 0] = unscaled
    buffer = pa.py_buffer(words.tobytes())
    return pa.Array.from_buffers(pa.decimal128(18, 2), len(unscaled), [None, buffer])
