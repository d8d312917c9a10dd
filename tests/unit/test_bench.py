from __future__ import annotations

import json
from pathlib import Path

from rich.console import Console

from orchestration import bench
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
    monkeypatch.setattr(bench, "_timed_run", _pretend(25.0))
    assert bench.run_bench(Home(home), Console(quiet=True))
    rows = json.loads((home / "bench" / "results.json").read_text())
    assert all(set(row) == FIELDS for row in rows)
    by_name = {row["name"]: row for row in rows}
    assert by_name["first_run.seconds"]["met"] is True
    assert by_name["second_run.seconds"]["target"] == 30.0
    assert by_name["first_run.step.ingest_wages.peak_memory"]["value"] == 900.0
    assert by_name["first_run.step.ingest_wages.seconds"]["met"] is None


def test_a_target_that_is_missed_is_said_to_be_missed(home, monkeypatch) -> None:
    monkeypatch.setattr(bench, "_timed_run", _pretend(500.0))
    bench.run_bench(Home(home), Console(quiet=True))
    rows = json.loads((home / "bench" / "results.json").read_text())
    assert {row["met"] for row in rows if row["target"] and row["unit"] == "s"} == {False}


def test_a_failed_run_writes_no_results_and_leaves_no_measured_home(home, monkeypatch) -> None:
    monkeypatch.setattr(bench, "_timed_run", _pretend(None))
    assert not bench.run_bench(Home(home), Console(quiet=True))
    assert not (home / "bench" / "results.json").exists()
    assert not (home / "bench" / "home").exists()
