"""Benchmarks of the main job: time and memory, step by step, in a home made for it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from orchestration.bench.results import Result, result
from orchestration.files import read_json

FIRST_RUN_SECONDS = 240.0
SECOND_RUN_SECONDS = 30.0
MEMORY_MIB = 4096.0


def measure(measured: Path, console: Console) -> list[Result] | None:
    """Run the main job twice in a fresh home.

    Args:
        measured: The home; the caller removes it.
        console: Progress.

    Returns:
        The results, or None if a run failed.
    """
    results: list[Result] = []
    for label, target in (("first", FIRST_RUN_SECONDS), ("second", SECOND_RUN_SECONDS)):
        console.print(f"measuring the {label} run of the sample")
        seconds = _timed_run(measured)
        if seconds is None:
            return None
        report = read_json(measured / "state" / "runs" / "tracient.json")
        results += _rows(label, seconds, target, report)
    results.append(result("home_size", _size_mib(measured), "MiB"))
    return results


def _timed_run(measured: Path) -> float | None:
    program = str(Path(sys.executable).with_name("tracient"))
    started = time.monotonic()
    done = subprocess.run([program, "run", "--home", str(measured)], check=False)
    return time.monotonic() - started if done.returncode == 0 else None


def _rows(label: str, seconds: float, target: float, report: dict[str, Any]) -> list[Result]:
    rows = [
        result(f"{label}_run.seconds", seconds, "s", target=target),
        result(f"{label}_run.peak_memory", report["peak_mib"], "MiB", target=MEMORY_MIB),
    ]
    for step, took in report["steps"].items():
        rows.append(result(f"{label}_run.step.{step}.seconds", took, "s"))
        peak = report["step_peak_mib"].get(step, 0.0)
        rows.append(result(f"{label}_run.step.{step}.peak_memory", peak, "MiB"))
    return rows


def _size_mib(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / (1 << 20)
