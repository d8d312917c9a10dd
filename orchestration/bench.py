"""Benchmarks of the main job: time and memory, step by step, in a home made for it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from orchestration.files import read_json, write_json
from orchestration.home import Home

COMMAND = "make bench"
FIRST_RUN_SECONDS = 240.0
SECOND_RUN_SECONDS = 30.0
MEMORY_MIB = 4096.0


def result(name: str, value: float, unit: str, target: float | None = None) -> dict[str, Any]:
    """Return one benchmark result of which less is better."""
    return {
        "name": name,
        "value": round(value, 2),
        "unit": unit,
        "higher_is_better": False,
        "target": target,
        "met": None if target is None else value <= target,
        "ratio_to": None,
        "command": COMMAND,
    }


def run_bench(home: Home, console: Console) -> bool:
    """Run the main job twice in a fresh home and write ``bench/results.json`` below ``home``.

    Args:
        home: Where the results go; the measured home lies beside them and is removed.
        console: Progress and the table of results.

    Returns:
        Whether both runs ended well.
    """
    folder = home.root / "bench"
    measured = folder / "home"
    shutil.rmtree(measured, ignore_errors=True)
    results: list[dict[str, Any]] = []
    try:
        for label, target in (("first", FIRST_RUN_SECONDS), ("second", SECOND_RUN_SECONDS)):
            console.print(f"measuring the {label} run of the sample")
            seconds = _timed_run(measured)
            if seconds is None:
                return False
            report = read_json(measured / "state" / "runs" / "tracient.json")
            results += _rows(label, seconds, target, report)
        results.append(result("home_size", _size_mib(measured), "MiB"))
    finally:
        shutil.rmtree(measured, ignore_errors=True)
    write_json(folder / "results.json", results)
    for row in results:
        met = {True: "met", False: "NOT met", None: ""}[row["met"]]
        console.print(f"  {row['name']:<48}{row['value']:>10.2f} {row['unit']:<4} {met}")
    return True


def _timed_run(measured: Path) -> float | None:
    program = str(Path(sys.executable).with_name("tracient"))
    started = time.monotonic()
    done = subprocess.run([program, "run", "--home", str(measured)], check=False)
    return time.monotonic() - started if done.returncode == 0 else None


def _rows(
    label: str, seconds: float, target: float, report: dict[str, Any]
) -> list[dict[str, Any]]:
    rows = [
        result(f"{label}_run.seconds", seconds, "s", target),
        result(f"{label}_run.peak_memory", report["peak_mib"], "MiB", MEMORY_MIB),
    ]
    for step, took in report["steps"].items():
        rows.append(result(f"{label}_run.step.{step}.seconds", took, "s"))
        peak = report["step_peak_mib"].get(step, 0.0)
        rows.append(result(f"{label}_run.step.{step}.peak_memory", peak, "MiB"))
    return rows


def _size_mib(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / (1 << 20)
