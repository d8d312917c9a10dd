"""Curated tables: dbt's models as assets, one dbt step a domain, exported to the lake."""

# No `from __future__ import annotations` here: Dagster reads the annotation of `context` itself.

from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import dbt_assets

from orchestration import dbt
from orchestration.catalog import contract_of, curated_tables
from orchestration.domains import Domain
from orchestration.erased import erased_people, erasures
from orchestration.home import Home
from orchestration.lake import Lake, export_tables
from orchestration.memo import Memo, code_fingerprint, combine
from orchestration.resources import HomeResource
from orchestration.translator import TracientTranslator

WAREHOUSE_POOL = "warehouse"


@dataclass(frozen=True)
class DbtStep:
    """One dbt invocation.

    Attributes:
        name: Of the Dagster step.
        select: dbt's selection.
        domain: The domain whose tables it builds, or None for what all share.
        raw: Raw tables that it reads.
        exported: Curated tables that it builds and that go to the lake.
        tests: Which tests go with the selected tables. "cautious": those that read nothing else;
            "buildable": also those that compare them with what they are built from, so that a
            test of a model against a seed runs with the model and not with the seed.
    """

    name: str
    select: str
    tests: str = "buildable"
    domain: Domain | None = None
    raw: tuple[str, ...] = ()
    exported: tuple[str, ...] = ()


POLICY = DbtStep("dbt_policy", "resource_type:seed", tests="cautious")


def step_of(domain: Domain) -> DbtStep:
    """Return the dbt invocation that builds a domain's curated tables."""
    return DbtStep(
        f"dbt_{domain.name}",
        f"tag:{domain.dbt_tag}",
        domain=domain,
        raw=domain.raw,
        exported=tuple(curated_tables(domain)),
    )


def build_fingerprint(home: Home, step: DbtStep) -> str:
    """Return what a step's tables are a function of: raw data, who was erased, dbt's project."""
    lake = Lake(home)
    gone = erasures(home) if step.domain else 0
    return combine([*map(lake.fingerprint, step.raw), str(gone), code_fingerprint("dbt_project")])


def export_curated(home: Home, step: DbtStep) -> dict[str, int]:
    """Copy a step's curated tables from the warehouse to the lake; return rows by table."""
    keys = {table: contract_of(table).unique_key for table in step.exported}
    return export_tables(home.warehouse_file, Lake(home), keys)


def build_dbt(step: DbtStep, manifest: Path) -> dg.AssetsDefinition:
    """Return the dbt assets of one step."""

    @dbt_assets(
        manifest=manifest,
        select=step.select,
        name=step.name,
        dagster_dbt_translator=TracientTranslator(),
        pool=WAREHOUSE_POOL,
    )
    def build(
        context: dg.AssetExecutionContext, tracient_home: HomeResource
    ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
        home = tracient_home.home
        fingerprint = build_fingerprint(home, step)
        known = Memo(home).outcome(step.name, fingerprint)
        if known is None or not home.warehouse_file.exists():
            known = build_step(home, step)
            Memo(home).record(step.name, fingerprint, known)
        yield from _report(context, known)

    return build


def build_step(home: Home, step: DbtStep) -> dict[str, Any]:
    """Run one dbt step and export its curated tables.

    Returns:
        ``seconds`` of each table, ``checks`` with the outcome of each data test, ``rows`` of each
        exported table.

    Raises:
        DbtError: A model or a test failed; nothing is exported then.
    """
    with erased_people(home, step.domain) if step.domain else nullcontext() as erased:
        results = dbt.build(home, step.select, step.tests, erased=erased)
    if any(result.is_broken for result in results):
        raise dbt.DbtError(f"{step.name}: {dbt.describe_broken(results)}")
    return {
        "seconds": {r.name: r.seconds for r in results if r.resource_type != "test"},
        "checks": {
            r.name: {"status": r.status, "failures": r.failures}
            for r in results
            if r.resource_type == "test"
        },
        "rows": export_curated(home, step),
    }


def _report(
    context: dg.AssetExecutionContext, outcome: Mapping[str, Any]
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Report a build's outcome, of now or of the last run with the same inputs and code."""
    selected = {key.to_user_string() for key in context.selected_asset_keys}
    # In dbt's order: Dagster wants a table after those that it was built from.
    for table, seconds in outcome["seconds"].items():
        if table not in selected:
            continue
        metadata = {"seconds": seconds}
        if table in outcome["rows"]:
            metadata["dagster/row_count"] = outcome["rows"][table]
        yield dg.MaterializeResult(table, metadata=metadata)
    for key in context.selected_asset_check_keys:
        if (check := outcome["checks"].get(key.name)) is not None:
            yield dg.AssetCheckResult(
                asset_key=key.asset_key,
                check_name=key.name,
                passed=check["status"] == "pass",
                severity=dg.AssetCheckSeverity.WARN,
                metadata={"rows_found": check["failures"] or 0},
            )
