"""The Dagster instance below the home: its settings, and runs that a crash left open."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import dagster as dg

from orchestration.files import replacing
from orchestration.home import Home

TEMPLATE = Path(__file__).with_name("dagster.yaml")
PROCESS_TAG = "tracient/process"


def prepare_instance(home: Home) -> Path:
    """Write ``dagster.yaml`` where it is missing or older than the template's text.

    Returns:
        The instance's folder, the value of ``DAGSTER_HOME``.
    """
    target = home.dagster / "dagster.yaml"
    text = TEMPLATE.read_text()
    if not target.exists() or target.read_text() != text:
        with replacing(target) as temporary:
            temporary.write_text(text)
    return home.dagster


def environment(home: Home) -> Mapping[str, str]:
    """Return the variables under which Dagster and dbt find this home."""
    return {"TRACIENT_HOME": str(home.root), "DAGSTER_HOME": str(prepare_instance(home))}


def open_instance(home: Home) -> dg.DagsterInstance:
    """Open the persistent instance of a home, in which every run shows in the UI."""
    return dg.DagsterInstance.from_config(str(prepare_instance(home)))


def close_dead_runs(instance: dg.DagsterInstance) -> list[str]:
    """Report runs as failed whose process is gone.

    Without the daemon, a killed run stays STARTED for ever. Only runs that carry our process tag
    are judged: others belong to a daemon that watches them itself.

    Returns:
        The ids of the runs that were closed.
    """
    open_states = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING]
    closed = []
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=open_states)):
        process = run.tags.get(PROCESS_TAG)
        if process and not _is_alive(int(process)):
            instance.report_run_failed(run, f"process {process} ended without closing the run")
            closed.append(run.run_id)
    return closed


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
