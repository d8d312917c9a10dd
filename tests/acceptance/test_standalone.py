"""The log's tools alone: one zip file, or this one folder installed; no other part of Tracient."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ledger_anchor import SnapshotStore, TableSpec, __version__
from ledger_anchor.commands.common import GOOD
from ledger_anchor.snapshots.disclosure import prove_row
from ledger_anchor.standalone import archive

REPOSITORY = Path(__file__).parents[2]
# A Python without our environment's packages, as on an auditor's own machine.
BARE_PYTHON = str(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}")


@pytest.fixture(scope="module")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("pyz") / "ledger-anchor.pyz"
    target.write_bytes(archive())
    return target


@pytest.fixture(scope="module")
def handed_over(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What an auditor gets: a log's static files, its key, an older checkpoint, a row's proof."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    home = tmp_path_factory.mktemp("home")
    table = home / "lake" / "t" / "0.parquet"
    table.parent.mkdir(parents=True)
    pq.write_table(pa.table({"id": ["a", "b"], "paise": [100, 200]}), table)
    store = SnapshotStore(home)
    store.initialise("example.org/log")
    first = store.commit_table(TableSpec("t", "wages", [table], ["id"]))
    given = tmp_path_factory.mktemp("given")
    (given / "older").write_bytes(store.reader().checkpoint_note())
    pq.write_table(pa.table({"id": ["a", "b"], "paise": [100, 201]}), table)
    second = store.commit_table(TableSpec("t", "wages", [table], ["id"]))
    assert (first.log_index, second.log_index) == (0, 1)
    (given / "row.tlog-proof").write_bytes(
        prove_row(store, second.snapshot_id, {"id": "b"}, ["paise"])
    )
    shutil.copytree(home / "anchors" / "log", given / "log")
    shutil.copy(home / "anchors" / "log.vkey", given / "log.vkey")
    return given


def run(pyz: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [BARE_PYTHON, "-I", str(pyz), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_two_builds_give_the_same_bytes(pyz: Path) -> None:
    assert pyz.read_bytes() == archive()


def test_an_isolated_python_checks_log_consistency_and_proof_with_the_one_file(
    pyz: Path, handed_over: Path
) -> None:
    trust = ("--vkey", handed_over / "log.vkey")
    log = ("--log", handed_over / "log", *trust)
    verified = run(pyz, "verify", *log, "--known", handed_over / "known", "--json")
    assert verified.returncode == GOOD, verified.stderr
    assert json.loads(verified.stdout)["size"] == 2
    assert (handed_over / "known").exists()
    consistent = run(pyz, "consistency", handed_over / "older", *log)
    assert consistent.returncode == GOOD, consistent.stderr
    assert "extends the log of size 1" in consistent.stdout
    proven = run(pyz, "verify-proof", handed_over / "row.tlog-proof", *trust, "--json")
    assert proven.returncode == GOOD, proven.stderr
    assert json.loads(proven.stdout)["row"]["values"] == {"paise": 201}
    assert run(pyz, "fsck", handed_over / "log", *trust).returncode == GOOD


def test_the_one_file_says_what_is_wrong_without_a_traceback(
    pyz: Path, handed_over: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    shutil.copytree(handed_over / "log", log)
    bundle = log / "tile" / "entries" / "000.p" / "2"
    bundle.write_bytes(bundle.read_bytes().replace(b'"rows":2', b'"rows":3', 1))
    found = run(pyz, "verify", "--log", log, "--vkey", handed_over / "log.vkey")
    assert found.returncode == 1
    assert "Traceback" not in found.stderr
    assert found.stderr.startswith("ledger-anchor: ")
    assert run(pyz, "verify", "--log", log).returncode == 2


def test_the_folder_installs_alone_with_what_it_needs_and_no_more(tmp_path: Path) -> None:
    source, target = tmp_path / "ledger_anchor", tmp_path / "installed"
    shutil.copytree(REPOSITORY / "ledger_anchor", source, ignore=shutil.ignore_patterns("build"))
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    install += ["--no-build-isolation", "--target", str(target), str(source)]
    subprocess.run(install, check=True, timeout=300)
    metadata = next(target.glob("ledger_anchor-*.dist-info")) / "METADATA"
    needs = [line for line in metadata.read_text().splitlines() if line.startswith("Requires-Dist")]
    assert [line for line in needs if "extra ==" not in line] == ["Requires-Dist: cryptography>=50"]
    assert f"Version: {__version__}" in metadata.read_text()
    program = (
        "import sys; sys.path.insert(0, sys.argv.pop(1))\n"
        "from ledger_anchor.cli import main; import ledger_anchor\n"
        "assert ledger_anchor.__file__.startswith(sys.path[0])\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-I", "-c", program, str(target), "verifier", "--out"]
    subprocess.run([*command, str(tmp_path / "v.html")], check=True, timeout=60)
    assert (tmp_path / "v.html").stat().st_size > 1000
