"""Assembles the definitions, so that tests, the command line and Dagster build the same graph.

Avoid putting asset, check or resource implementations here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import dagster as dg

from orchestration.assets.anchor import build_curated_anchor, build_raw_anchor
from orchestration.assets.ingest import build_ingest
from orchestration.assets.models import build_model
from orchestration.assets.release import build_release
from orchestration.catalog import curated_tables
from orchestration.checks import build_contract_checks
from orchestration.domains import DOMAINS, Domain
from orchestration.home import Home
from orchestration.jobs import build_ingest_job, build_main_job, loggers
from orchestration.resources import HomeResource


def build_defs(
    home: Home | None = None, resource_overrides: Mapping[str, Any] | None = None
) -> dg.Definitions:
    """Return the definitions of the whole platform.

    Args:
        home: Where dbt's manifest is kept; by default the home of the environment.
        resource_overrides: Resources that replace the standard ones.
    """
    # Imported here and below: dagster-dbt takes seconds, which `tracient ingest` need not pay.
    from orchestration.assets.curated import POLICY, build_dbt  # noqa: PLC0415
    from orchestration.dbt import prepare_manifest  # noqa: PLC0415

    home = (home or Home.resolve()).create()
    manifest = prepare_manifest(home)
    assets: list[Any] = [build_dbt(POLICY, manifest)]
    checks: list[Any] = []
    for domain in DOMAINS:
        tables = curated_tables(domain)
        assets += [*_raw_assets(domain), *_curated_assets(domain, manifest, tables)]
        for dataset in [*domain.raw, *tables]:
            checks += build_contract_checks(dataset)
    jobs = [build_main_job(), build_ingest_job(DOMAINS)]
    return _definitions(home, assets, checks, jobs, resource_overrides)


def build_ingest_defs(home: Home, domains: Sequence[Domain]) -> dg.Definitions:
    """Return the part of the definitions that `tracient ingest` runs for some domains.

    It leaves out dbt, whose project takes seconds to parse in a new home.
    """
    assets = [asset for domain in domains for asset in _raw_assets(domain)]
    checks = [
        check
        for domain in domains
        for dataset in domain.raw
        for check in build_contract_checks(dataset)
    ]
    return _definitions(home, assets, checks, [build_ingest_job(domains)])


def _definitions(
    home: Home,
    assets: Sequence[Any],
    checks: Sequence[Any],
    jobs: Sequence[Any],
    resource_overrides: Mapping[str, Any] | None = None,
) -> dg.Definitions:
    resources: dict[str, Any] = {"tracient_home": HomeResource(root=str(home.root))}
    return dg.Definitions(
        assets=assets,
        asset_checks=checks,
        jobs=jobs,
        loggers=loggers(),
        resources={**resources, **(resource_overrides or {})},
    )


def _raw_assets(domain: Domain) -> list[Any]:
    return [build_ingest(domain), build_raw_anchor(domain)]


def _curated_assets(domain: Domain, manifest: Path, tables: list[str]) -> list[Any]:
    from orchestration.assets.curated import build_dbt, step_of  # noqa: PLC0415

    return [
        build_dbt(step_of(domain), manifest),
        build_curated_anchor(domain, tables),
        *build_model(domain),
        *build_release(domain),
    ]
