"""EPCIS 2.0 events as the simulated partners write them, each in its own spelling.

Which events happen, and when, belongs to ``journeys.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from orchestration.feeds.gs1 import with_check_digit
from orchestration.feeds.simulate.pharma.world import OFFSETS, Firm, Product

CONTEXT = "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"
# The prefix that the standard context gives to master data attributes.
MASTER_DATA = "cbvmda"

HOUR = 3_600_000
DAY = 24 * HOUR
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTES = {
    name: (1 if offset[0] == "+" else -1) * (int(offset[1:3]) * 60 + int(offset[4:]))
    for name, offset in OFFSETS.items()
}
_BIZ_STEP = ("{}", "urn:epcglobal:cbv:bizstep:{}", "https://ref.gs1.org/cbv/BizStep-{}")
_DISPOSITION = ("{}", "urn:epcglobal:cbv:disp:{}", "https://ref.gs1.org/cbv/Disp-{}")

Event = dict[str, Any]


def local_time(milliseconds: int, jurisdiction: str) -> str:
    """Return a moment (milliseconds since 1970) as a local time with its offset."""
    moment = _EPOCH + timedelta(milliseconds=milliseconds, minutes=_MINUTES[jurisdiction])
    return moment.isoformat(timespec="milliseconds")[:-6] + OFFSETS[jurisdiction]


def utc_time(milliseconds: int) -> str:
    """Return a moment (milliseconds since 1970) in UTC with milliseconds and Z."""
    moment = _EPOCH + timedelta(milliseconds=milliseconds)
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"


def lot_class(firm: Firm, product: Product, lot: str) -> str:
    """Return a lot of a product as its class identifier, in the firm's spelling."""
    if firm.has_links:
        return f"https://id.gs1.org/01/{product.gtin}/10/{lot}"
    return f"urn:epc:class:lgtin:{product.prefix}.0{product.item}.{lot}"


def serial_item(firm: Firm, product: Product, serial: str) -> str:
    """Return one pack of a product, in the firm's spelling."""
    if firm.has_links:
        return f"https://id.gs1.org/01/{product.gtin}/21/{serial}"
    return f"urn:epc:id:sgtin:{product.prefix}.0{product.item}.{serial}"


def pallet(firm: Firm, owner: Firm, number: int) -> str:
    """Return a pallet of ``owner`` (SSCC extension digit 0), in ``firm``'s spelling."""
    if firm.has_links:
        return "https://id.gs1.org/00/" + with_check_digit(f"0{owner.prefix}{number:09d}")
    return f"urn:epc:id:sscc:{owner.prefix}.0{number:09d}"


def event(
    kind: str,
    firm: Firm,
    when: int,
    *,
    step: str,
    disposition: str | None,
    action: str,
    place: str | None = None,
    **fields: Any,
) -> Event:
    """Return one event of ``firm``.

    Args:
        kind: Event type, for example ``ObjectEvent``.
        firm: Who captures it, and where unless ``place`` is given.
        when: Milliseconds since 1970.
        step: Short CBV name of the business step.
        disposition: Short CBV name, or ``None``.
        action: ADD, OBSERVE or DELETE.
        place: Read point and business location, if not the firm's own.
        **fields: Further fields; those that are ``None`` or empty are left out.
    """
    where = place or firm.place
    found: Event = {
        "type": kind,
        "eventTime": local_time(when, firm.jurisdiction),
        "eventTimeZoneOffset": OFFSETS[firm.jurisdiction],
        "action": action,
        "bizStep": _BIZ_STEP[firm.spelling].format(step),
        "readPoint": {"id": where},
        "bizLocation": {"id": where},
    }
    if disposition:
        found["disposition"] = _DISPOSITION[firm.spelling].format(disposition)
    found.update({name: value for name, value in fields.items() if value})
    return found


def quantity(class_id: str, packs: int) -> list[dict[str, Any]]:
    """Return a quantity list of one lot."""
    return [{"epcClass": class_id, "quantity": packs}]


def parties(source: Firm, destination: Firm) -> dict[str, Any]:
    """Return source and destination lists of a change of hands."""
    return {
        "sourceList": [{"type": "owning_party", "source": source.party}],
        "destinationList": [{"type": "owning_party", "destination": destination.party}],
    }


def papers(seller: Firm, number: int, *kinds: str) -> dict[str, Any]:
    """Return the business transactions of a delivery: ``desadv``, ``inv``."""
    return {
        "bizTransactionList": [
            {
                "type": kind,
                "bizTransaction": f"urn:epcglobal:cbv:bt:{seller.gln}:{kind.upper()}{number}",
            }
            for kind in kinds
        ]
    }


def temperatures(start: int, end: int, readings: Sequence[tuple[int, float]]) -> dict[str, Any]:
    """Return a sensor element list with one report per reading.

    Args:
        start: Start of the recording, milliseconds since 1970.
        end: Its end.
        readings: Moment and degrees Celsius.
    """
    reports = [
        {"type": "Temperature", "value": value, "uom": "CEL", "time": utc_time(when)}
        for when, value in readings
    ]
    metadata = {"startTime": utc_time(start), "endTime": utc_time(end)}
    return {"sensorElementList": [{"sensorMetadata": metadata, "sensorReport": reports}]}


def lot_master_data(lot: str, expiry: str) -> dict[str, Any]:
    """Return instance/lot master data: lot number and expiry date (YYYY-MM-DD)."""
    return {
        "ilmd": {f"{MASTER_DATA}:lotNumber": lot, f"{MASTER_DATA}:itemExpirationDate": expiry},
    }
