"""The E-Ledger's transactions that are no EPCIS events: licences, invoices, recalls and more."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from orchestration.feeds.simulate.pharma.events import DAY, HOUR
from orchestration.feeds.simulate.pharma.journeys import (
    Batch,
    Delivery,
    day_of,
    milliseconds_of,
)
from orchestration.feeds.simulate.pharma.outcomes import Inspection
from orchestration.feeds.simulate.pharma.world import MANUFACTURER, Firm, World

CURRENCIES = {"IN": "INR", "US": "USD", "EU": "EUR", "SG": "SGD"}
# India's GST on medicines was 12% (5% for some, vaccines and insulin among them) until 2025-09-21
# (facts/pharma_rules.csv, IN-GST-01); Singapore's is 9% since 2024-01-01. In permille.
GST_PERMILLE = {"IN": 120, "US": 0, "EU": 0, "SG": 90}
REDUCED_GST_PERMILLE = 50
REDUCED_GST_CLASSES = ("vaccine", "insulin")
INVOICED_SHARE = 0.7
CERTIFIED_SHARE = 0.5
RECALLED_SHARE = 0.3
LICENCE_DAYS = 365 * 5


@dataclass(frozen=True)
class Paper:
    """One transaction that is no event.

    Attributes:
        kind: Transaction type.
        firm: Who submits it.
        when: Milliseconds since 1970.
        payload: Its JSON.
    """

    kind: str
    firm: Firm
    when: int
    payload: dict[str, Any]


def papers(
    world: World,
    batches: Sequence[Batch],
    inspections: Sequence[Inspection],
    *,
    seed: int,
    start: date,
    end: date,
) -> Iterator[Paper]:
    """Yield all transactions that are no events, in no particular order.

    Args:
        world: Firms.
        batches: All batches.
        inspections: Inspections, of which some failures lead to recalls.
        seed: Seed of the whole simulation.
        start: First day of the period.
        end: Last day of the period; nothing is submitted after it.
    """
    rng = random.Random(f"{seed}/papers")
    last = milliseconds_of(end)
    yield from _registrations(world, rng, start, end)
    for batch in batches:
        for delivery in batch.deliveries:
            if rng.random() < INVOICED_SHARE:
                yield _invoice(batch, delivery)
        if rng.random() < CERTIFIED_SHARE:
            yield _certificate(batch)
    for inspection in inspections:
        when = milliseconds_of(inspection.inspected_on) + 2 * DAY
        if inspection.is_failed and when < last and rng.random() < RECALLED_SHARE:
            yield _recall(inspection, when)


def _registrations(world: World, rng: random.Random, start: date, end: date) -> Iterator[Paper]:
    first = milliseconds_of(start)
    span = (end - start).days
    for firm in world.firms:
        issued = first + rng.randrange(1, 24 * 20) * HOUR
        yield _licence(firm, issued)
        for _ in range(2):
            yield _gln_check(firm, first + int(rng.random() * span * DAY))


def _licence(firm: Firm, when: int) -> Paper:
    kind = "manufacturing" if firm.role == MANUFACTURER else "distribution"
    valid_from = day_of(when)
    payload = {
        "licenceNumber": f"{firm.jurisdiction}-{kind[:3].upper()}-{firm.number:05d}",
        "kind": kind,
        "holderGln": firm.gln,
        "jurisdiction": firm.jurisdiction,
        "validFrom": valid_from.isoformat(),
        "validTo": (valid_from + timedelta(days=LICENCE_DAYS)).isoformat(),
    }
    return Paper("LICENCE", firm, when, payload)


def _gln_check(firm: Firm, when: int) -> Paper:
    is_active = firm.is_registered_on(day_of(when))
    payload = {
        "gln": firm.gln,
        "isCheckDigitOk": True,
        "isPrefixLicensed": True,
        "registration": "active" if is_active else "expired",
        "checkedOn": day_of(when).isoformat(),
    }
    return Paper("GLN_VERIFICATION", firm, when, payload)


def _invoice(batch: Batch, delivery: Delivery) -> Paper:
    product = batch.product
    market = delivery.buyer.jurisdiction
    is_reduced = market == "IN" and product.product_class in REDUCED_GST_CLASSES
    # Goods leave a country without its tax.
    is_export = delivery.seller.jurisdiction != market
    rate = REDUCED_GST_PERMILLE if is_reduced else GST_PERMILLE[market]
    rate = 0 if is_export else rate
    taxable = delivery.packs * product.unit_price
    payload = {
        "invoiceNumber": f"INV{delivery.number}",
        "invoiceDate": day_of(delivery.when).isoformat(),
        "sellerGln": delivery.seller.gln,
        "buyerGln": delivery.buyer.gln,
        "gtin": product.gtin,
        "lot": batch.lot,
        "hsn": product.hsn,
        "packs": delivery.packs,
        "currency": CURRENCIES[product.jurisdiction],
        "taxableMinorUnits": taxable,
        "gstPermille": rate,
        "gstMinorUnits": taxable * rate // 1000,
    }
    return Paper("INVOICE", delivery.seller, delivery.when, payload)


def _certificate(batch: Batch) -> Paper:
    when = batch.made_at + 2 * HOUR
    payload = {
        "kind": "batch_release",
        "gtin": batch.product.gtin,
        "lot": batch.lot,
        "manufacturerGln": batch.maker.gln,
        "issuedOn": day_of(when).isoformat(),
        "result": "pass",
    }
    return Paper("COMPLIANCE_CERTIFICATE", batch.maker, when, payload)


def _recall(inspection: Inspection, when: int) -> Paper:
    batch = inspection.batch
    payload = {
        "gtin": batch.product.gtin,
        "lot": batch.lot,
        "manufacturerGln": batch.maker.gln,
        "jurisdiction": batch.product.jurisdiction,
        "reason": inspection.finding,
        "recalledOn": day_of(when).isoformat(),
    }
    return Paper("RECALL", batch.maker, when, payload)
