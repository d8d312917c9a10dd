"""The feeds beside the ledger as CSV, and the truth that is kept apart from them."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

from orchestration.feeds.simulate.pharma.events import DAY, utc_time
from orchestration.feeds.simulate.pharma.journeys import Batch, milliseconds_of
from orchestration.feeds.simulate.pharma.outcomes import Inspection, observable_score
from orchestration.feeds.simulate.pharma.world import Firm, World

REGISTRY_SOURCE = "simulated registry extract"
GLN_REGISTRY = (
    "gln,status,legal_name,country,gln_type,company_prefix,valid_from,valid_to,checked_at,source"
)
PRODUCT_MASTER = (
    "gtin,product_name,generic_name,product_class,manufacturer_gln,jurisdiction,"
    "storage_condition,hsn,is_schedule_h2"
)
INSPECTIONS = "inspection_id,gtin,lot,inspected_on,jurisdiction,inspector_type,outcome,finding"
FAULTS = "gtin,lot,kind,detail"
BATCHES = "gtin,lot,manufacturer_gln,carelessness,observable_score,strain_degree_hours,is_inspected"
BAD_EVENTS = "source"


def write_feeds(
    folder: Path, world: World, inspections: Sequence[Inspection], checked_on: date
) -> None:
    """Write gln_registry.csv, product_master.csv and inspections.csv.

    Args:
        folder: Where to; must exist.
        world: Firms and products.
        inspections: Inspections in the order of their ids.
        checked_on: Day of the registry's extract.
    """
    checked_at = utc_time(milliseconds_of(checked_on) + DAY // 2)
    rows = (_registry_row(firm, checked_on, checked_at) for firm in world.firms)
    _write(folder / "gln_registry.csv", GLN_REGISTRY, rows)
    products = (
        (
            product.gtin,
            product.name,
            product.generic,
            product.product_class,
            world.firms[product.manufacturer].gln,
            product.jurisdiction,
            product.storage,
            product.hsn,
            "true" if product.is_schedule_h2 else "false",
        )
        for product in world.products
    )
    _write(folder / "product_master.csv", PRODUCT_MASTER, products)
    found = (_inspection_row(number, one) for number, one in enumerate(inspections, start=1))
    _write(folder / "inspections.csv", INSPECTIONS, found)


def _registry_row(firm: Firm, checked_on: date, checked_at: str) -> tuple[object, ...]:
    return (
        firm.gln,
        "active" if firm.is_registered_on(checked_on) else "expired",
        firm.legal_name,
        firm.country,
        firm.role,
        firm.prefix,
        firm.valid_from.isoformat(),
        firm.valid_to.isoformat() if firm.valid_to else "",
        checked_at,
        REGISTRY_SOURCE,
    )


def _inspection_row(number: int, found: Inspection) -> tuple[object, ...]:
    return (
        f"insp-{number:06d}",
        found.batch.product.gtin,
        found.batch.lot,
        found.inspected_on.isoformat(),
        found.batch.product.jurisdiction,
        found.inspector,
        "fail" if found.is_failed else "pass",
        found.finding or "",
    )


def write_truth(
    folder: Path,
    batches: Sequence[Batch],
    inspections: Sequence[Inspection],
    bad_events: Iterable[str],
) -> None:
    """Write what only the simulation knows: faults.csv, batches.csv and bad_events.csv.

    Args:
        folder: Where to; must exist.
        batches: All batches.
        inspections: Inspections.
        bad_events: Where broken events were put.
    """
    faults = (
        (batch.product.gtin, batch.lot, fault.kind, fault.detail)
        for batch in batches
        for fault in batch.faults
    )
    _write(folder / "faults.csv", FAULTS, faults)
    inspected = {id(found.batch) for found in inspections}
    rows = (
        (
            batch.product.gtin,
            batch.lot,
            batch.maker.gln,
            f"{batch.maker.carelessness:.6f}",
            f"{observable_score(batch):.6f}",
            f"{batch.strain:.3f}",
            "true" if id(batch) in inspected else "false",
        )
        for batch in batches
    )
    _write(folder / "batches.csv", BATCHES, rows)
    _write(folder / "bad_events.csv", BAD_EVENTS, ((place,) for place in bad_events))


def _write(path: Path, header: str, rows: Iterable[Sequence[object]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header.split(","))
        writer.writerows(rows)
