"""Jobs: the main job over everything, and the part of it that `tracient ingest` runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg

from orchestration.domains import Domain
from orchestration.progress import progress_logger

MAIN_JOB = "tracient"
INGEST_JOB = "ingest"


def build_main_job() -> Any:
    """Return the main job; it runs in one process, since ten small steps cost 12 s in many."""
    return dg.define_asset_job(
        MAIN_JOB,
        selection=dg.AssetSelection.all(),
        description="Land to release: everything, in order.",
        executor_def=dg.in_process_executor,
    )


def build_ingest_job(domains: Sequence[Domain]) -> Any:
    """Return the job that reads, checks and anchors what has landed, and builds nothing on it."""
    raw = [dataset for domain in domains for dataset in domain.raw]
    anchors = [f"anchor_{domain.name}_raw" for domain in domains]
    return dg.define_asset_job(
        INGEST_JOB,
        selection=dg.AssetSelection.assets(*raw, *anchors),
        description="Read what has landed into the raw tables, check and anchor them.",
        executor_def=dg.in_process_executor,
    )


def loggers() -> dict[str, dg.LoggerDefinition]:
    """Return the loggers that a run can switch on."""
    return {"progress": progress_logger, "console": dg.colored_console_logger}
