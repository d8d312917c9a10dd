"""Raw tables: one multi-asset a domain that reads what has landed."""

# No `from __future__ import annotations` here: Dagster reads the annotation of `context` itself.

from collections.abc import Iterator

import dagster as dg

from orchestration.catalog import arrow_schema_of, contract_of
from orchestration.domains import Domain
from orchestration.home import Home
from orchestration.ingest import IngestResult, ingest_delivery
from orchestration.lake import Lake
from orchestration.landing import Register
from orchestration.resources import HomeResource
from orchestration.sources import source_of


def ingest_domain(home: Home, domain: Domain) -> list[IngestResult]:
    """Ingest every landed delivery of a domain and make each of its raw tables readable."""
    results = []
    for delivery in Register(home).with_status("landed"):
        source = source_of(delivery.kind)
        if source.domain == domain.name:
            results.append(ingest_delivery(home, delivery, source))
    lake = Lake(home)
    for dataset in domain.raw:
        lake.ensure_readable(dataset, arrow_schema_of(dataset))
    return results


def build_ingest(domain: Domain) -> dg.AssetsDefinition:
    """Return the multi-asset of a domain's raw tables."""
    specs = [
        dg.AssetSpec(
            dataset,
            group_name=domain.name,
            owners=[domain.owner],
            description=contract_of(dataset).description,
            kinds={"parquet", domain.ledger if domain.ledger in dataset else "csv"},
            tags={"layer": "raw"},
        )
        for dataset in domain.raw
    ]

    @dg.multi_asset(name=f"ingest_{domain.name}", specs=specs)
    def ingest(
        context: dg.AssetExecutionContext, tracient_home: HomeResource
    ) -> Iterator[dg.MaterializeResult]:
        results = ingest_domain(tracient_home.home, domain)
        for result in results:
            context.log.info("%s delivery %s: %s", result.kind, result.delivery_id, result.status)
        lake = tracient_home.lake
        for dataset in domain.raw:
            yield dg.MaterializeResult(
                dataset,
                metadata={
                    "dagster/row_count": lake.rows(dataset),
                    "rows_added": sum(result.rows.get(dataset, 0) for result in results),
                    "rows_repeated": sum(result.repeated.get(dataset, 0) for result in results),
                    "rows_erased": sum(result.erased.get(dataset, 0) for result in results),
                },
                data_version=dg.DataVersion(lake.fingerprint(dataset)),
            )

    return ingest
