from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console

from orchestration import bench
from orchestration.bench import anchor, anchor_measures, main_job
from orchestration.files import write_json
from orchestration.home import Home

FIELDS = {
    "name", "value", "unit", "higher_is_better", "target", "met", "ratio_to", "command",
}  # fmt: skip


def _pretend(seconds: float | None):
    def run(measured: Path) -> float | None:
        report = {
            "peak_mib": 1800.0,
            "steps": {"ingest_wages": 12.5},
            "step_peak_mib": {"ingest_wages": 900.0},
        }
        write_json(measured / "state" / "runs" / "tracient.json", report)
        return seconds

    return run


def test_results_name_value_unit_target_and_whether_it_was_met(home, monkeypatch) -> None:
    monkeypatch.setattr(main_job, "_timed_run", _pretend(25.0))
    assert bench.run_bench(Home(home), Console(quiet=True), ("main-job",))
    rows = json.loads((home / "bench" / "results.json").read_text())
    assert all(set(row) == FIELDS for row in rows)
    by_name = {row["name"]: row for row in rows}
    assert by_name["first_run.seconds"]["met"] is True
    assert by_name["second_run.seconds"]["target"] == 30.0
    assert by_name["first_run.step.ingest_wages.peak_memory"]["value"] == 900.0
    assert by_name["first_run.step.ingest_wages.seconds"]["met"] is None


def test_a_target_that_is_missed_is_said_to_be_missed(home, monkeypatch) -> None:
    monkeypatch.setattr(main_job, "_timed_run", _pretend(500.0))
    bench.run_bench(Home(home), Console(quiet=True), ("main-job",))
    rows = json.loads((home / "bench" / "results.json").read_text())
    assert {row["met"] for row in rows if row["target"] and row["unit"] == "s"} == {False}


def test_a_failed_run_writes_no_results_and_leaves_no_measured_home(home, monkeypatch) -> None:
    monkeypatch.setattr(main_job, "_timed_run", _pretend(None))
    assert not bench.run_bench(Home(home), Console(quiet=True), ("main-job",))
    assert not (home / "bench" / "results.json").exists()
    assert not (home / "bench" / "main-job").exists()


def test_every_measurement_of_the_log_runs_on_a_small_table(tmp_path: Path) -> None:
    for name in ("naive_commit", "commit_without_numba", "append"):
        (tmp_path / name).mkdir()
        figures = anchor_measures.MEASURES[name](tmp_path / name, 2_000)
        assert all(value > 0 for value in figures.values())
    found = anchor_measures.MEASURES["proofs"](tmp_path / "proofs", 2_000)
    assert set(found) == {
        "row_open_ms", "row_cold_ms", "snapshot_open_ms", "snapshot_cold_ms", "verify_ms",
    }  # fmt: skip


def test_the_logs_results_have_targets_and_ratios(tmp_path: Path, monkeypatch) -> None:
    figures = {
        "rows_per_second": 800_000.0, "peak_mib": 1000.0, "seconds": 0.2, "pymerkle_seconds": 8.0,
        "row_open_ms": 0.5, "row_cold_ms": 60.0, "snapshot_open_ms": 0.2, "snapshot_cold_ms": 5.0,
        "verify_ms": 0.5, "entries_per_second": 20_000.0,
    }  # fmt: skip
    monkeypatch.setattr(anchor._Bench, "_run", lambda *_arguments: figures)
    monkeypatch.setattr(anchor._Bench, "_install_pymerkle", lambda _bench: None)
    rows = anchor.measure(tmp_path, Console(quiet=True))
    assert rows is not None
    by_name = {row["name"]: row for row in rows}
    assert by_name["anchor.commit"]["met"] is True
    assert by_name["anchor.commit"]["ratio_to"] == {"cbor2 + hashlib": 1.0}
    assert by_name["anchor.tree.times_pymerkle"]["value"] == 40.0
    assert by_name["anchor.proof.row_cold.p50"]["met"] is False
    assert all(set(row) == FIELDS for row in rows)
