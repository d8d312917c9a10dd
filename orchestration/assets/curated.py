"""Curated tables: dbt's models as assets, one dbt step a domain, exported to the lake."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DbtCliResource, dbt_assets

from orchestration.catalog import contract_of, curated_tables
from orchestration.dbt import PROJECT, dbt_environment, target_path
from orchestration.domains import Domain
from orchestration.home import Home
from orchestration.lake import Lake, export_tables
from orchestration.memo import Memo, code_fingerprint, combine
from orchestration.resources import HomeResource
from orchestration.translator import TracientTranslator

WAREHOUSE_POOL = "warehouse"


def build_fingerprint(home: Home, domain: Domain) -> str:
    """Return what a domain's curated tables are a function of: raw data and dbt's project."""
    lake = Lake(home)
    return combine([*map(lake.fingerprint, domain.raw), code_fingerprint("dbt_project")])


def export_curated(home: Home, domain: Domain) -> dict[str, int]:
    """Copy a domain's curated tables from the warehouse to the lake; return rows by table."""
    keys = {table: contract_of(table).unique_key for table in curated_tables(domain)}
    return export_tables(home.warehouse_file, Lake(home), keys)


def build_curated(domain: Domain, manifest: Path) -> dg.AssetsDefinition:
    """Return the dbt assets of a domain."""
    translator = TracientTranslator()

    @dbt_assets(
        manifest=manifest,
        select=f"tag:{domain.dbt_tag}",
        name=f"dbt_{domain.name}",
        dagster_dbt_translator=translator,
        pool=WAREHOUSE_POOL,
    )
    def curated(
        context: dg.AssetExecutionContext, dbt: DbtCliResource, tracient_home: HomeResource
    ) -> Iterator[Any]:
        home = tracient_home.home
        fingerprint = build_fingerprint(home, domain)
        step = f"dbt-{domain.name}"
        known = Memo(home).outcome(step, fingerprint)
        if known and home.warehouse_file.exists():
            yield from _recall(context, known)
            return
        with dbt_environment(home):
            invocation = dbt.cli(["build"], context=context, target_path=target_path(home))
            checks: dict[str, bool] = {}
            for event in invocation.stream():
                if isinstance(event, dg.AssetCheckResult):
                    checks[_check_name(event)] = event.passed
                yield event
        rows = export_curated(home, domain)
        Memo(home).record(step, fingerprint, {"checks": checks, "rows": rows})

    return curated


def _recall(context: dg.AssetExecutionContext, known: Any) -> Iterator[Any]:
    """Report the last build's results: its inputs and code are unchanged."""
    for key in context.selected_asset_keys:
        yield dg.MaterializeResult(key, metadata={"unchanged": True})
    for key in context.selected_asset_check_keys:
        passed = known["checks"].get(f"{key.asset_key.to_user_string()}:{key.name}")
        if passed is not None:
            yield dg.AssetCheckResult(
                asset_key=key.asset_key,
                check_name=key.name,
                passed=passed,
                metadata={"unchanged": True},
            )


def _check_name(result: dg.AssetCheckResult) -> str:
    key = result.asset_key
    return f"{key.to_user_string() if key else ''}:{result.check_name}"


def dbt_resource(profiles: Path = PROJECT, project: Path = PROJECT) -> DbtCliResource:
    """Return dbt's command line as a resource."""
    return DbtCliResource(project_dir=str(project), profiles_dir=str(profiles))
