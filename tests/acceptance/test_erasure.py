"""A worker asks to be erased: the keeper of a home erases, and the next run builds without them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import duckdb
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.slow

PERSON = "worker_id_hash"


def _busiest_worker(home: Path) -> str:
    """Somebody who is paid on the ledger, is registered, and whose household was audited."""
    audited = pq.read_table(home / "lake" / "raw_wages__income_audit", columns=[PERSON])
    months = pq.read_table(home / "lake" / "fct_wages__worker_month" / "data.parquet")
    known = months.filter(pc.is_in(months[PERSON], audited[PERSON].combine_chunks()))
    counts = known[PERSON].value_counts().to_pylist()
    worker = max(counts, key=lambda one: (one["counts"], one["values"]))["values"]
    assert isinstance(worker, str)
    return worker


def _files_with(home: Path, worker: str) -> set[str]:
    """Files of the lake, retained copies as well, that hold a worker in their person column."""
    found = set()
    for path in (home / "lake").rglob("*.parquet"):
        file = pq.ParquetFile(path)
        if PERSON not in file.schema_arrow.names:
            continue
        if pc.any(pc.equal(file.read([PERSON]).column(0), worker)).as_py():
            found.add(str(path.relative_to(home / "lake")))
    return found


def _built_with(home: Path, worker: str) -> set[str]:
    """Tables that dbt built that hold a worker."""
    with duckdb.connect(str(home / "warehouse" / "tracient.duckdb"), read_only=True) as connection:
        tables = connection.execute(
            "select schema_name, table_name from duckdb_columns() join duckdb_tables() "
            "using (schema_name, table_name) where column_name = ?",
            [PERSON],
        ).fetchall()
        assert tables
        return {
            table
            for schema, table in tables
            if connection.execute(
                f'select count(*) from "{schema}"."{table}" where {PERSON} = ?', [worker]
            ).fetchall()
            != [(0,)]
        }


def test_a_run_after_an_erasure_builds_everything_without_the_person(
    sample_home, tracient, ledger_anchor
) -> None:
    worker = _busiest_worker(sample_home)
    assert "fct_wages__worker_month/data.parquet" in _files_with(sample_home, worker)
    assert "stg_wages__ledger_records" in _built_with(sample_home, worker)
    months = sample_home / "lake" / "fct_wages__worker_month" / "data.parquet"
    rows_before = pq.read_metadata(months).num_rows

    done = ledger_anchor(
        "erase", "--home", sample_home, "--domain", "wages", "--subject", "-",
        "--reason", "order 12/2026", stdin=f"{worker}\n",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert _files_with(sample_home, worker) == set()
    rows_erased = rows_before - pq.read_metadata(months).num_rows
    assert rows_erased > 0

    done = tracient("run", "--home", sample_home, timeout=570)
    assert done.returncode == 0, done.stdout + done.stderr
    assert worker not in done.stdout + done.stderr
    assert _files_with(sample_home, worker) == set()
    assert _built_with(sample_home, worker) == set()
    assert pq.read_metadata(months).num_rows == rows_before - rows_erased
    assert not list((sample_home / "vault").glob("erased_*"))

    audit: subprocess.CompletedProcess[str] = ledger_anchor("audit", "--home", sample_home)
    assert audit.returncode == 0, audit.stdout + audit.stderr
    assert "erased" in audit.stdout
