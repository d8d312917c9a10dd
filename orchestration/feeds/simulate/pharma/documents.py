"""EPCIS capture documents of the partners who exchange documents instead of using the ledger."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from orchestration.feeds.simulate.pharma.events import CONTEXT, Event, utc_time
from orchestration.feeds.simulate.pharma.journeys import Emission, day_of
from orchestration.feeds.simulate.pharma.world import Firm

# Every so many documents one is the answer to a query, whose body is nested differently.
QUERY_EVERY = 7
# Every so many documents one carries an event that is refused: partners do send such things.
BAD_EVENT_EVERY = 15


@dataclass(frozen=True)
class WrittenDocuments:
    """What was written.

    Attributes:
        count: Number of documents.
        events: Number of good events in them.
        bad_events: Where bad events were put, as ``<file>#<position>``.
    """

    count: int
    events: int
    bad_events: tuple[str, ...]


def write_documents(folder: Path, emissions: Iterable[Emission]) -> WrittenDocuments:
    """Write one document per partner and quarter.

    Args:
        folder: Where to; must exist.
        emissions: The events, in any order.
    """
    by_quarter: dict[tuple[str, str], list[Emission]] = defaultdict(list)
    for emission in emissions:
        day = day_of(emission.when)
        quarter = f"{day.year}-Q{(day.month + 2) // 3}"
        by_quarter[(emission.firm.gln, quarter)].append(emission)
    count = 0
    bad: list[str] = []
    for number, ((gln, quarter), found) in enumerate(sorted(by_quarter.items()), start=1):
        found.sort(key=lambda emission: (emission.when, orjson.dumps(emission.event)))
        events = [emission.event for emission in found]
        count += len(events)
        name = f"{quarter}_{gln}.json"
        if number % BAD_EVENT_EVERY == 0:
            bad.append(f"{name}#{len(events)}")
            events = [*events, _without_time_zone(events[0])]
        is_query = number % QUERY_EVERY == 0
        document = _document(found[0].firm, found[-1].when, events, is_query=is_query)
        (folder / name).write_bytes(orjson.dumps(document) + b"\n")
    return WrittenDocuments(len(by_quarter), count, tuple(bad))


def _document(firm: Firm, last: int, events: list[Event], *, is_query: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"eventList": events}
    if is_query:
        body = {"queryResults": {"queryName": "SimpleEventQuery", "resultsBody": body}}
    return {
        "@context": CONTEXT,
        "type": "EPCISQueryDocument" if is_query else "EPCISDocument",
        "schemaVersion": "2.0",
        "creationDate": utc_time(last + 3_600_000),
        "sender": firm.party,
        "epcisBody": body,
    }


def _without_time_zone(event: Event) -> Event:
    return {name: value for name, value in event.items() if name != "eventTimeZoneOffset"}
