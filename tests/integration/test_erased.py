"""Whose ledger records a build leaves out, and that nothing of it stays behind."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ledger_anchor import SnapshotStore, TableSpec
from ledger_anchor.erasing.erasure import erase_subject
from orchestration.domains import PHARMA, WAGES
from orchestration.erased import drop_outdated_warehouse, erased_people, erasures
from orchestration.home import Home

WORKERS = [f"worker {number}" for number in range(5)]


@pytest.fixture
def lived_in(tmp_path: Path) -> Home:
    """A home whose ledger and register know five workers."""
    home = Home(tmp_path / "home")
    register = home.lake / "raw_wages__eshram_registry" / "part.parquet"
    register.parent.mkdir(parents=True)
    pq.write_table(pa.table({"worker_id_hash": WORKERS, "age": range(5)}), register)
    SnapshotStore(home.root).commit_table(
        TableSpec(register.parent.name, "wages", [register], ["worker_id_hash"], "worker_id_hash")
    )
    values = [json.dumps({"workerIdHash": one}).encode() for one in [*WORKERS, WORKERS[1]]]
    values += [b"\xff no text", b"no json", b"{}", None]
    writes = home.lake / "raw_fabric__writes" / "wages" / "part.parquet"
    writes.parent.mkdir(parents=True)
    pq.write_table(pa.table({"value": pa.array(values, pa.binary())}), writes)
    return home


def _erase(home: Home, worker: str) -> None:
    erase_subject(SnapshotStore(home.root), "wages", worker, "order 1")


def test_nobody_is_left_out_where_nobody_was_erased(lived_in: Home) -> None:
    assert erasures(lived_in) == 0
    with erased_people(lived_in, WAGES) as file:
        assert file is None
    assert not drop_outdated_warehouse(lived_in)


def test_exactly_the_erased_are_left_out_and_the_list_is_private_and_short_lived(
    lived_in: Home,
) -> None:
    _erase(lived_in, WORKERS[1])
    _erase(lived_in, WORKERS[4])
    with erased_people(lived_in, WAGES) as file:
        assert file is not None
        assert pq.read_table(file)["person"].to_pylist() == [WORKERS[1], WORKERS[4]]
        assert file.stat().st_mode & 0o077 == 0
    assert not list(lived_in.root.rglob("*erased_wages*"))


def test_the_list_goes_also_when_the_build_fails(lived_in: Home) -> None:
    _erase(lived_in, WORKERS[0])
    with pytest.raises(RuntimeError, match="dbt"), erased_people(lived_in, WAGES):
        raise RuntimeError("dbt")
    assert not list(lived_in.root.rglob("*erased_wages*"))


def test_a_ledger_without_people_leaves_nobody_out(lived_in: Home) -> None:
    _erase(lived_in, WORKERS[0])
    with erased_people(lived_in, PHARMA) as file:
        assert file is None


def test_a_warehouse_from_before_an_erasure_is_built_anew_once(lived_in: Home) -> None:
    lived_in.warehouse.mkdir(parents=True)
    lived_in.warehouse_file.write_bytes(b"rows in free pages")
    _erase(lived_in, WORKERS[0])
    assert drop_outdated_warehouse(lived_in)
    assert not lived_in.warehouse_file.exists()
    lived_in.warehouse_file.write_bytes(b"built anew")
    assert not drop_outdated_warehouse(lived_in)
    assert lived_in.warehouse_file.exists()
