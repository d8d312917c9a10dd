"""Assembles the definitions, so that tests, the command line and Dagster build the same graph.

Avoid putting asset, check or resource implementations here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from orchestration.assets.anchor import build_curated_anchor, build_raw_anchor
from orchestration.assets.curated import POLICY, build_dbt, step_of
from orchestration.assets.ingest import build_ingest
from orchestration.assets.models import build_model
from orchestration.assets.release import build_release
from orchestration.catalog import curated_tables
from orchestration.checks import build_contract_checks
from orchestration.dbt import prepare_manifest
from orchestration.domains import DOMAINS, Domain
from orchestration.home import Home
from orchestration.jobs import build_jobs, loggers
from orchestration.resources import HomeResource


def build_defs(
    home: Home | None = None, resource_overrides: Mapping[str, Any] | None = None
) -> dg.Definitions:
    """Return the definitions of the whole platform.

    Args:
        home: Where dbt's manifest is kept; by default the home of the environment.
        resource_overrides: Resources that replace the standard ones.
    """
    home = (home or Home.resolve()).create()
    manifest = prepare_manifest(home)
    assets: list[Any] = [build_dbt(POLICY, manifest)]
    checks: list[Any] = []
    for domain in DOMAINS:
        tables = curated_tables(domain)
        assets += _domain_assets(domain, manifest, tables)
        for dataset in [*domain.raw, *tables]:
            checks += build_contract_checks(dataset)
    resources: dict[str, Any] = {"tracient_home": HomeResource(root=str(home.root))}
    return dg.Definitions(
        assets=assets,
        asset_checks=checks,
        jobs=build_jobs(),
        loggers=loggers(),
        resources={**resources, **(resource_overrides or {})},
    )


def _domain_assets(domain: Domain, manifest: Any, tables: list[str]) -> list[Any]:
    return [
        build_ingest(domain),
        build_raw_anchor(domain),
        build_dbt(step_of(domain), manifest),
        build_curated_anchor(domain, tables),
        *build_model(domain),
        *build_release(domain),
    ]
