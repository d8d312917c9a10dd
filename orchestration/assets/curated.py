"""Curated tables: dbt's models as assets, one dbt step a domain, exported to the lake."""

# No `from __future__ import annotations` here: Dagster reads the annotation of `context` itself.

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
from dagster_dbt import DbtCliResource, dbt_assets

from orchestration.catalog import contract_of, curated_tables
from orchestration.dbt import EXECUTABLE, PROJECT, dbt_environment, target_path
from orchestration.domains import Domain
from orchestration.home import Home
from orchestration.lake import Lake, export_tables
from orchestration.memo import Memo, code_fingerprint, combine
from orchestration.resources import HomeResource
from orchestration.translator import TracientTranslator

WAREHOUSE_POOL = "warehouse"
#: Unit tests judge the SQL, not the data: the test suite runs them.
BUILD = ("build", "--exclude-resource-type", "unit_test", "--indirect-selection")


@dataclass(frozen=True)
class DbtStep:
    """One dbt invocation.

    Attributes:
        name: Of the Dagster step.
        select: dbt's selection.
        raw: Raw tables that it reads.
        exported: Curated tables that it builds and that go to the lake.
        tests: Which tests go with the selected tables. "cautious": those that read nothing else;
            "buildable": also those that compare them with what they are built from, so that a
            test of a model against a seed runs with the model and not with the seed.
    """

    name: str
    select: str
    tests: str = "buildable"
    raw: tuple[str, ...] = ()
    exported: tuple[str, ...] = ()


POLICY = DbtStep("dbt_policy", "resource_type:seed", tests="cautious")


def step_of(domain: Domain) -> DbtStep:
    """Return the dbt invocation that builds a domain's curated tables."""
    return DbtStep(
        f"dbt_{domain.name}",
        f"tag:{domain.dbt_tag}",
        raw=domain.raw,
        exported=tuple(curated_tables(domain)),
    )


def build_fingerprint(home: Home, step: DbtStep) -> str:
    """Return what a step's tables are a function of: raw data and dbt's project."""
    lake = Lake(home)
    return combine([*map(lake.fingerprint, step.raw), code_fingerprint("dbt_project")])


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
        context: dg.AssetExecutionContext, dbt: DbtCliResource, tracient_home: HomeResource
    ) -> Iterator[Any]:
        home = tracient_home.home
        fingerprint = build_fingerprint(home, step)
        known = Memo(home).outcome(step.name, fingerprint)
        if known and home.warehouse_file.exists():
            yield from _recall(context, known)
            return
        checks: dict[str, bool] = {}
        with dbt_environment(home):
            invocation = dbt.cli(
                [*BUILD, step.tests], context=context, target_path=target_path(home)
            )
            for event in invocation.stream():
                if isinstance(event, dg.AssetCheckResult):
                    checks[_check_name(event)] = event.passed
                yield event
        rows = export_curated(home, step)
        Memo(home).record(step.name, fingerprint, {"checks": checks, "rows": rows})

    return build


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


def dbt_resource() -> DbtCliResource:
    """Return dbt's command line as a resource."""
    return DbtCliResource(
        project_dir=str(PROJECT), profiles_dir=str(PROJECT), dbt_executable=EXECUTABLE
    )
