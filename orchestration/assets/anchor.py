"""Anchors: the assets that commit a domain's tables to the transparency log."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from ledger_anchor import Snapshot
from orchestration.anchoring import commit_dataset, current_ids
from orchestration.catalog import contract_of
from orchestration.domains import Domain
from orchestration.home import Home
from orchestration.ingest import Heads
from orchestration.lake import Lake
from orchestration.memo import code_version
from orchestration.resources import HomeResource


def anchor_raw(home: Home, domain: Domain) -> list[Snapshot]:
    """Commit every raw table of a domain, ledger tables by channel or chain."""
    lake = Lake(home)
    heads = Heads(home).of(domain.ledger)
    code = code_version("orchestration/feeds", "data_contracts")
    snapshots = []
    for dataset in domain.raw:
        contract = contract_of(dataset)
        for partition in lake.partitions(dataset) or [None]:
            own = [head for head in heads if partition in {head.get("channel"), head.get("chain")}]
            snapshots.append(
                commit_dataset(
                    home,
                    contract,
                    domain=domain.name,
                    partition=partition,
                    ledger_heads=own,
                    code=code,
                )
            )
    return [snapshot for snapshot in snapshots if snapshot is not None]


def anchor_curated(home: Home, domain: Domain, tables: Sequence[str]) -> list[Snapshot]:
    """Commit curated tables, with the raw snapshots that they were built from as lineage."""
    upstream = current_ids(home, domain.raw)
    code = code_version("dbt_project", "data_contracts")
    committed = [
        commit_dataset(home, contract_of(table), domain=domain.name, upstream=upstream, code=code)
        for table in tables
    ]
    return [snapshot for snapshot in committed if snapshot is not None]


def build_raw_anchor(domain: Domain) -> dg.AssetsDefinition:
    """Return the asset that anchors a domain's raw tables."""

    @dg.asset(
        name=f"anchor_{domain.name}_raw",
        deps=list(domain.raw),
        group_name=domain.name,
        owners=[domain.owner],
        kinds={"merkle"},
        tags={"layer": "anchor"},
        description="Snapshots of the raw tables, committed to the transparency log.",
    )
    def anchor(tracient_home: HomeResource) -> dg.MaterializeResult:
        return describe(anchor_raw(tracient_home.home, domain))

    return anchor


def build_curated_anchor(domain: Domain, tables: Sequence[str]) -> dg.AssetsDefinition:
    """Return the asset that anchors a domain's curated tables."""

    @dg.asset(
        name=f"anchor_{domain.name}_curated",
        deps=[f"anchor_{domain.name}_raw", *tables],
        group_name=domain.name,
        owners=[domain.owner],
        kinds={"merkle"},
        tags={"layer": "anchor"},
        description="Snapshots of the curated tables, with their lineage, in the log.",
    )
    def anchor(tracient_home: HomeResource) -> dg.MaterializeResult:
        return describe(anchor_curated(tracient_home.home, domain, tables))

    return anchor


def describe(snapshots: Sequence[Snapshot]) -> dg.MaterializeResult:
    """Return a materialisation that lists snapshots: no row, only what the log makes public."""
    lines = [
        f"| {s.dataset} | {s.partition or ''} | {s.snapshot_id} | {s.rows} | {s.log_index} | "
        f"{'new' if s.is_new else 'unchanged'} |"
        for s in snapshots
    ]
    table = "\n".join(
        [
            "| dataset | partition | snapshot | rows | log index | |",
            "|---|---|---|---|---|---|",
            *lines,
        ]
    )
    return dg.MaterializeResult(
        metadata={
            "snapshots": dg.MetadataValue.md(table),
            "new_log_entries": sum(s.is_new for s in snapshots),
        }
    )
