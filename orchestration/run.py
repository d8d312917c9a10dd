"""The main job as a command runs it: a sample if nothing has landed, then every asset, in order.

What is printed about it is in ``orchestration.summary``.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from orchestration.build import build_defs, build_ingest_defs
from orchestration.domains import DOMAINS, Domain
from orchestration.erased import drop_outdated_warehouse
from orchestration.files import write_json
from orchestration.home import Home
from orchestration.instance import PROCESS_TAG, close_dead_runs, environment, open_instance
from orchestration.jobs import INGEST_JOB, MAIN_JOB
from orchestration.landing import Register
from orchestration.memory import PeakMemory
from orchestration.progress import StepClock
from orchestration.sample import SampleSize, land_sample
from orchestration.sources import source_of

Say = Callable[[str], None]


@dataclass
class RunReport:
    """What one run did.

    Attributes:
        job: Name of the Dagster job.
        run_id: Its id in the Dagster UI.
        is_ok: Whether every step and every blocking check passed.
        started_at: Start in UTC, ISO 8601.
        seconds: Wall-clock seconds, all in all.
        steps: Wall-clock seconds by step, in order.
        step_peak_mib: Peak resident memory of the process tree by step, MiB.
        peak_mib: Peak resident memory of the process tree, MiB.
        failures: Step and reason of everything that failed.
        closed_runs: Runs of dead processes that were closed first.
    """

    job: str
    run_id: str = ""
    is_ok: bool = False
    started_at: str = ""
    seconds: float = 0.0
    steps: dict[str, float] = field(default_factory=dict)
    step_peak_mib: dict[str, float] = field(default_factory=dict)
    peak_mib: float = 0.0
    failures: list[tuple[str, str]] = field(default_factory=list)
    closed_runs: list[str] = field(default_factory=list)


def run_main(home: Home, size: SampleSize, say: Say) -> RunReport:
    """Run the main job on what has landed, or on a simulated sample."""
    return _run(home, MAIN_JOB, say, size)


def run_ingest(home: Home, say: Say) -> RunReport:
    """Run the part of the main job that reads, checks and anchors what has landed."""
    return _run(home, INGEST_JOB, say, None)


def _run(home: Home, job: str, say: Say, sample: SampleSize | None) -> RunReport:
    report = RunReport(job, started_at=datetime.now(UTC).isoformat(timespec="seconds"))
    started = time.monotonic()
    with PeakMemory() as memory, _environment(home):
        if sample and not Register(home).all():
            with _timed(report, memory, "simulate_and_land"):
                land_sample(home, sample, say)
        if sample:
            drop_outdated_warehouse(home)
        with _timed(report, memory, "load_definitions"):
            definitions = build_defs(home) if sample else build_ingest_defs(home, _landed(home))
        with open_instance(home) as instance:
            report.closed_runs = close_dead_runs(instance)
            _execute(definitions, instance, job, report, memory, say)
    report.seconds = time.monotonic() - started
    report.peak_mib = memory.peak_mib
    write_json(home.state / "runs" / f"{job}.json", asdict(report))
    return report


def _landed(home: Home) -> list[Domain]:
    """Return the domains for which something has landed that is not ingested yet."""
    kinds = {delivery.kind for delivery in Register(home).with_status("landed")}
    names = {source_of(kind).domain for kind in kinds}
    return [domain for domain in DOMAINS if domain.name in names]


@contextlib.contextmanager
def _timed(report: RunReport, memory: PeakMemory, step: str) -> Iterator[None]:
    memory.phase = step
    started = time.monotonic()
    yield
    report.steps[step] = time.monotonic() - started
    report.step_peak_mib[step] = memory.phase_peaks_mib.get(step, 0.0)


@contextlib.contextmanager
def _environment(home: Home) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(environment(home))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _execute(
    definitions: dg.Definitions,
    instance: dg.DagsterInstance,
    job: str,
    report: RunReport,
    memory: PeakMemory,
    say: Say,
) -> None:
    def on_change(step: str, state: str) -> None:
        if state == "start":
            memory.phase = step
        say(f"{step}: {state}")

    log = Path(instance.root_directory) / "last_run.log"
    with (
        StepClock(on_change) as clock,
        log.open("w") as output,
        # dbt and Dagster talk to the terminal; a person reads the summary, an engineer this file.
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(output),
    ):
        result = definitions.resolve_job_def(job).execute_in_process(
            instance=instance,
            raise_on_error=False,
            run_config={"loggers": {"progress": {}}},
            tags={PROCESS_TAG: str(os.getpid())},
        )
    report.run_id, report.is_ok = result.run_id, result.success
    report.steps |= clock.seconds
    report.step_peak_mib |= {step: memory.phase_peaks_mib.get(step, 0.0) for step in clock.seconds}
    report.failures = _failures(result)


def _failures(result: dg.ExecuteInProcessResult) -> list[tuple[str, str]]:
    failures = [
        (event.step_key or "", _root_cause(event.step_failure_data.error))
        for event in result.all_events
        if event.is_step_failure
    ]
    failures += [
        (str(check.asset_key.to_user_string()), f"check {check.check_name} failed")
        for check in result.get_asset_check_evaluations()
        if not check.passed and check.severity == dg.AssetCheckSeverity.ERROR
    ]
    return failures


def _root_cause(error: Any) -> str:
    while error is not None and error.cause is not None:
        error = error.cause
    text = error.message if error is not None else "no reason was recorded"
    # Serialised errors open with the exception's dotted name; a reader needs the sentence.
    name, separator, message = text.partition(": ")
    return (message if separator and " " not in name else text).strip()
