"""A data engineer hands in real exports, good and bad."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def _output(done: subprocess.CompletedProcess[str]) -> str:
    return " ".join((done.stdout + done.stderr).split())


@pytest.mark.shared_data
def test_a_bad_ledger_is_reported_as_fabrics_own_tool_reports_it(shared_data, tracient) -> None:
    path = shared_data / "fabric" / "sample_bad_ledger.blockfile"
    done = tracient("ledger", "verify", path, "--json")
    assert done.returncode == 1
    expected = json.loads((shared_data / "fabric" / "sample_bad_ledger.expected.json").read_text())
    assert json.loads(done.stdout) == expected


@pytest.mark.shared_data
def test_a_good_ledger_verifies_and_says_what_was_not_checked(shared_data, tracient) -> None:
    path = shared_data / "fabric" / "asset-transfer-basic-2.4.7.blockfile"
    done = tracient("ledger", "verify", path)
    assert done.returncode == 0, done.stderr
    assert "10 blocks" in done.stdout
    assert "not checked" in done.stdout


@pytest.mark.slow
@pytest.mark.shared_data
def test_a_foreign_ledger_lands_in_an_empty_home_too(
    shared_data, home, tracient, ledger_anchor
) -> None:
    path = shared_data / "fabric" / "asset-transfer-basic-2.4.7.blockfile"
    done = tracient("ingest", path, "--home", home, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    (delivery,) = json.loads(done.stdout)["deliveries"]
    assert delivery["summary"]["rows"]["raw_fabric__blocks"] == 10
    audit = ledger_anchor("audit", "--home", home)
    assert audit.returncode == 0, audit.stdout + audit.stderr


@pytest.mark.shared_data
def test_a_broken_chain_is_refused_kept_and_explained(shared_data, home, tracient) -> None:
    path = shared_data / "fabric" / "sample_bad_ledger.blockfile"
    done = tracient("ingest", path, "--home", home)
    assert done.returncode == 1
    assert "first block 0: DataHash mismatch" in _output(done)
    (kept,) = (home / "quarantine" / "deliveries").glob("*/*sample_bad_ledger.blockfile")
    assert kept.read_bytes() == path.read_bytes()
    assert not list((home / "lake" / "raw_fabric__blocks").rglob("*-0*.parquet"))


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("notes.txt", b"nothing of ours", "found content that none of them has"),
        ("empty.json", b"", "found an empty file"),
        ("broken.json", b'{"type": "EPCISDocument", "epcisBody": ', "broken.json"),
        ("list.json", b"[1, 2, 3]", "list.json"),
        ("feed.csv", b"a,b,c\n1,2,3\n", "found content that none of them has"),
        ("random.bin", bytes(range(256)) * 20, "random.bin"),
    ],
)
def test_a_file_that_is_nothing_we_know_is_explained_and_kept(
    home, tmp_path, tracient, name, content, found
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    done = tracient("ingest", path, "--home", home)
    assert done.returncode == 1
    assert found in _output(done)
    assert "Traceback" not in _output(done)
    kept = [p for p in (home / "quarantine").rglob("*") if p.is_file() and p.name.endswith(name)]
    assert [p.read_bytes() for p in kept] == [content]


def test_a_missing_path_changes_nothing(home, tracient) -> None:
    done = tracient("ingest", home / "missing.block", "--home", home)
    assert done.returncode == 1
    assert "no such path" in _output(done)


@pytest.mark.parametrize("arguments", [("ingest",), ("simulate", "coal"), ("nonsense",)])
def test_wrong_use_ends_with_code_two(tracient, arguments) -> None:
    assert tracient(*arguments).returncode == 2


@pytest.mark.parametrize("arguments", [("run",), ("status",), ("ingest", "README.md")])
def test_a_home_that_cannot_be_written_is_explained(tmp_path, tracient, arguments) -> None:
    (tmp_path / "file").write_text("a file is in the way")
    done = tracient(*arguments, "--home", tmp_path / "file" / "home")
    if arguments == ("status",):
        assert done.returncode == 0  # Reading an absent home is fine: it holds nothing.
    else:
        assert done.returncode == 2
        assert "expected a home folder that can be written" in _output(done)
    assert (tmp_path / "file").read_text() == "a file is in the way"


def test_a_second_command_is_told_who_is_at_work(home, tracient) -> None:
    code = (
        "import sys, time; from pathlib import Path; from orchestration.home import Home\n"
        "with Home(Path(sys.argv[1])).writing('tracient run'):\n"
        "    print('ready', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(home)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        other.stdout.readline()
        done = tracient("run", "--home", home)
        assert done.returncode == 2
        assert f"found tracient run (process {other.pid}) at work" in _output(done)
    finally:
        other.kill()
        other.wait()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_a_full_disk_is_explained_and_nothing_is_lost(tmp_path, tracient) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let us mount a small file system")
    try:
        export = tmp_path / "large.csv"
        export.write_text("worker_id_hash,died_on\n" + f"{'0' * 64},2024-01-01\n" * 100_000)
        before = sorted(p.name for p in disk.iterdir())
        done = tracient("ingest", export, "--home", disk / "home")
        assert done.returncode == 1, _output(done)
        assert "full disk" in _output(done)
        assert "Traceback" not in _output(done)
        assert before == []
        assert not list((disk / "home" / "landing").rglob("*large.csv"))
        assert export.exists()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=False)


@pytest.mark.parametrize("network", ["wages", "pharma"])
def test_a_simulation_is_a_folder_that_ingest_takes(tmp_path, tracient, network) -> None:
    out = tmp_path / "out"
    done = tracient("simulate", network, "--out", out, "--workers", 600, "--batches", 30)
    assert done.returncode == 0, done.stderr
    assert (out / "ledger").is_dir()
    refused = tracient("simulate", network, "--out", out)
    assert refused.returncode == 2


@pytest.mark.slow
@pytest.mark.shared_data
def test_a_foreign_ledger_fills_the_raw_tables_and_leaves_the_wage_marts_alone(
    shared_data, sample_home, tracient, ledger_anchor
) -> None:
    mart = sample_home / "lake" / "fct_wages__worker_month" / "data.parquet"
    before = mart.read_bytes()
    path = shared_data / "fabric" / "asset-transfer-basic-2.4.7.blockfile"
    done = tracient("ingest", path, "--home", sample_home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "raw_fabric__blocks 10" in done.stdout
    state = json.loads(tracient("status", "--json", "--home", sample_home).stdout)
    rows = {
        row["dataset"]: row["rows"] for row in state["datasets"] if row["partition"] == "mychannel"
    }
    assert rows["raw_fabric__blocks"] == 10
    assert rows["raw_fabric__transactions"] == 10
    assert rows["raw_fabric__writes"] > 0
    assert mart.read_bytes() == before
    assert ledger_anchor("verify", "--home", sample_home).returncode == 0
    again = tracient("ingest", path, "--home", sample_home)
    assert again.returncode == 0
    assert "Already landed" in again.stdout


def test_a_truncated_block_file_keeps_what_is_whole(sample, home, tmp_path, tracient) -> None:
    source = next((sample / "landing" / "fabric").glob("*blockfile_000000"))
    cut = tmp_path / "blockfile_000000"
    cut.write_bytes(source.read_bytes()[:400_000])
    done = tracient("ingest", cut, "--home", home, "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    (delivery,) = json.loads(done.stdout)["deliveries"]
    assert delivery["summary"]["rows"]["raw_fabric__blocks"] > 1
    assert delivery["summary"]["rejected"] == 1


@pytest.mark.slow
def test_a_missing_key_is_explained_and_not_replaced(sample_home, tracient, ledger_anchor) -> None:
    keys = [p for p in (sample_home / "vault" / "anchor").rglob("*.key") if p.is_file()]
    assert keys
    for key in keys:
        shutil.move(key, key.with_suffix(".moved"))
    # Something new to anchor, so that a signature is wanted.
    (sample_home / "lake" / "fct_wages__payment_exceptions" / "data.parquet").touch()
    extra = sample_home.parent / "death_register.csv"
    extra.write_text(f"worker_id_hash,died_on\n{'ab' * 32},2024-05-05\n")
    done = tracient("ingest", extra, "--home", sample_home)
    assert done.returncode == 1
    assert "key" in _output(done)
    assert "Traceback" not in _output(done)
    assert not list((sample_home / "vault" / "anchor").rglob("*.key"))


@pytest.mark.slow
def test_a_broken_contract_stops_everything_downstream(sample_home, tracient) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    part = next((sample_home / "lake" / "raw_wages__income_audit").glob("*-0*.parquet"))
    table = pq.read_table(part)
    sizes = pa.array([-1] * table.num_rows, table.schema.field("household_size").type)
    number = table.column_names.index("household_size")
    pq.write_table(table.set_column(number, table.schema.field(number), sizes), part)
    done = tracient("run", "--home", sample_home)
    assert done.returncode == 1
    assert "raw_wages__income_audit: check contract failed" in _output(done)
    assert (
        "release_wages"
        not in Path(sample_home / "state/runs/tracient.json")
        .read_text()
        .split("failures")[0]
        .split('"steps"')[1]
    )
