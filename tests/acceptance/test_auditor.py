"""An auditor who trusts nobody checks a home with the program of the log."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.slow


def test_the_log_verifies(sample, ledger_anchor) -> None:
    done = ledger_anchor("verify", "--home", sample)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_audit_rehashes_every_table_and_passes(sample, ledger_anchor) -> None:
    done = ledger_anchor("audit", "--home", sample)
    assert done.returncode == 0, done.stdout + done.stderr


def test_one_changed_value_is_named_by_dataset_row_and_column(sample_home, ledger_anchor) -> None:
    path = sample_home / "lake" / "fct_wages__worker_month" / "data.parquet"
    table = pq.read_table(path)
    column = table.column_names.index("wage_paise")
    row = table.num_rows // 2
    amounts = table["wage_paise"].to_pylist()
    amounts[row] += 100
    changed = pa.array(amounts, table.schema.field("wage_paise").type)
    worker = table["worker_id_hash"][row].as_py()
    pq.write_table(table.set_column(column, table.schema.field(column), changed), path)

    done = ledger_anchor("audit", "--home", sample_home, "--json")
    assert done.returncode == 1
    found = json.dumps(json.loads(done.stdout))
    assert "fct_wages__worker_month" in found
    assert worker in found
    assert "wage_paise" in found

    told = ledger_anchor("audit", "--home", sample_home)
    assert told.returncode == 1
    assert "fct_wages__worker_month" in told.stdout + told.stderr
    assert "wage_paise" in told.stdout + told.stderr


def test_a_removed_row_fails_the_audit(sample_home, ledger_anchor) -> None:
    path = sample_home / "lake" / "fct_wages__employer_month" / "data.parquet"
    table = pq.read_table(path)
    keep = pc.not_equal(pa.array(range(table.num_rows)), 3)
    pq.write_table(table.filter(keep), path)
    done = ledger_anchor("audit", "--home", sample_home)
    assert done.returncode == 1
    assert "fct_wages__employer_month" in done.stdout + done.stderr


def test_a_changed_release_fails_the_audit(sample_home, ledger_anchor) -> None:
    path = next((sample_home / "released" / "wages").rglob("wages_state_month.parquet"))
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    done = ledger_anchor("audit", "--home", sample_home)
    assert done.returncode == 1
    assert "release_wages" in done.stdout + done.stderr


@pytest.mark.parametrize("command", ["verify", "audit"])
def test_an_empty_home_is_said_to_be_empty(home, ledger_anchor, command) -> None:
    done = ledger_anchor(command, "--home", home)
    assert "Traceback" not in done.stdout + done.stderr
    assert "nothing is anchored" in (done.stdout + done.stderr).lower()
