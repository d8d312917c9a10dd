"""The life of each batch: made, packed, shipped, received, dispensed, with the faults of its way.

A fault is drawn for a batch first and then shapes its events, so that the truth about each batch
is known. What inspectors find out belongs to ``outcomes.py``.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

from orchestration.feeds.simulate.pharma import events as ev
from orchestration.feeds.simulate.pharma.events import DAY, HOUR, Event
from orchestration.feeds.simulate.pharma.world import (
    COLD,
    DISTRIBUTOR,
    HOSPITAL,
    JURISDICTIONS,
    PHARMACY,
    Firm,
    Product,
    World,
)

# Fault -> rate for a firm of average care (see ``_is_struck``).
FAULT_RATES = {
    "temperature_excursion": 0.14,
    "missing_receive": 0.04,
    "ship_before_commission": 0.02,
    "event_after_decommission": 0.02,
    "unknown_gln": 0.015,
    "expired_gln": 0.02,
    "duplicate_serial": 0.02,
    "expired_shipped": 0.02,
    "diversion": 0.03,
    "bad_check_digit": 0.01,
}
CARELESSNESS_EFFECT = 0.6
SERIALS_PER_BATCH = 3
# A journey takes at most this long, so that batches made before the period's last stretch end
# inside it.
LONGEST_JOURNEY_DAYS = 75
READING_INTERVAL = 6 * HOUR
MAX_READINGS = 24


@dataclass
class Fault:
    """What was wrong with a batch, as only the simulation knows it."""

    kind: str
    detail: str


@dataclass
class Emission:
    """One event on its way to the ledger or into a document.

    Attributes:
        firm: Who captured it.
        when: Event time, milliseconds since 1970.
        event: The event.
    """

    firm: Firm
    when: int
    event: Event


@dataclass
class Delivery:
    """Goods that changed hands, for which an invoice is written."""

    seller: Firm
    buyer: Firm
    when: int
    packs: int
    number: int


@dataclass
class Batch:
    """One lot of a product and everything that happened to it.

    Attributes:
        product: What was made.
        lot: Lot number, unique within the product.
        made_at: Milliseconds since 1970.
        expires_on: Expiry date.
        packs: Number of packs.
        strain: Worst exceedance of the label's temperature, degree-hours.
        transit_days: Longest way from hand to hand.
    """

    product: Product
    lot: str
    made_at: int
    expires_on: date
    packs: int
    serials: tuple[str, ...]
    maker: Firm
    distributor: Firm
    dispensers: list[Firm]
    faults: list[Fault] = field(default_factory=list)
    emissions: list[Emission] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    strain: float = 0.0
    transit_days: float = 0.0

    def has(self, kind: str) -> bool:
        """Whether a fault of this kind was drawn."""
        return any(fault.kind == kind for fault in self.faults)

    @property
    def last_event_at(self) -> int:
        """When the last event happened, milliseconds since 1970."""
        return max(emission.when for emission in self.emissions)


def milliseconds_of(day: date) -> int:
    """Return midnight UTC of a day as milliseconds since 1970."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1_000


def day_of(milliseconds: int) -> date:
    """Return the UTC day of a moment."""
    return datetime.fromtimestamp(milliseconds / 1_000, tz=UTC).date()


def make_batches(world: World, *, seed: int, count: int, start: date, end: date) -> Iterator[Batch]:
    """Yield batches with their events.

    Args:
        world: Firms and products.
        seed: Seed of the whole simulation.
        count: Number of batches.
        start: First day of the period.
        end: Last day of the period.
    """
    rng = random.Random(f"{seed}/journeys")
    weights = [rng.lognormvariate(0.0, 0.6) for _ in world.products]
    trade = Trade(world, rng, start, end)
    for number in range(count):
        product = rng.choices(world.products, weights)[0]
        yield trade.batch(product, number)


class Trade:
    """Draws the batches of one simulation."""

    def __init__(self, world: World, rng: random.Random, start: date, end: date) -> None:
        self._world = world
        self._rng = rng
        self._start = milliseconds_of(start)
        self._end = milliseconds_of(end)
        self._numbers = 0
        # Each maker sells through a handful of distributors, each distributor to some dispensers.
        self._distributors = {j: world.of(j, DISTRIBUTOR) for j in JURISDICTIONS}
        self._dispensers = {j: world.of(j, PHARMACY, HOSPITAL) for j in JURISDICTIONS}

    def batch(self, product: Product, number: int) -> Batch:
        """Draw one batch: its makers and buyers, its faults, then its events."""
        rng = self._rng
        maker = self._world.firms[product.manufacturer]
        last = self._end - (LONGEST_JOURNEY_DAYS * DAY)
        made_at = int(self._start + rng.random() * max(last - self._start, DAY))
        made_on = day_of(made_at)
        batch = Batch(
            product=product,
            lot=f"{made_on:%y%m}{'ABCDEFGH'[number % 8]}{number:05d}",
            made_at=made_at,
            expires_on=made_on + timedelta(days=rng.choice((540, 720, 900, 1080))),
            packs=rng.randrange(5, 400) * 50,
            serials=tuple(f"{rng.randrange(16**10):010X}" for _ in range(SERIALS_PER_BATCH)),
            maker=maker,
            distributor=self._pick(self._distributors[product.jurisdiction], made_on),
            dispensers=[],
        )
        count = 2 if rng.random() < 0.4 else 1
        dispensers = self._dispensers[product.jurisdiction]
        batch.dispensers = [self._pick(dispensers, made_on) for _ in range(count)]
        self._draw_faults(batch)
        self._live(batch)
        return batch

    def _pick(self, firms: list[Firm], day: date) -> Firm:
        """Pick a firm that stays registered for a journey's length; the first are the largest."""
        while True:
            firm = firms[int(len(firms) * self._rng.random() ** 1.5)]
            if firm.is_registered_on(day + timedelta(days=LONGEST_JOURNEY_DAYS + 30)):
                return firm

    def _is_struck(self, kind: str, firm: Firm) -> bool:
        rate = FAULT_RATES[kind] * math.exp(CARELESSNESS_EFFECT * firm.carelessness)
        return self._rng.random() < rate

    def _draw_faults(self, batch: Batch) -> None:
        maker, distributor = batch.maker, batch.distributor
        for kind in (
            "missing_receive",
            "event_after_decommission",
            "duplicate_serial",
            "bad_check_digit",
        ):
            if self._is_struck(kind, distributor):
                batch.faults.append(Fault(kind, ""))
        if self._is_struck("ship_before_commission", maker):
            batch.faults.append(Fault("ship_before_commission", ""))
        if self._is_struck("diversion", distributor):
            self._divert(batch)
        if self._is_struck("unknown_gln", distributor):
            batch.dispensers[-1] = self._rng.choice(self._world.unregistered)
            batch.faults.append(Fault("unknown_gln", batch.dispensers[-1].gln))
        elif self._is_struck("expired_gln", distributor):
            self._use_expired(batch)
        if self._is_struck("expired_shipped", distributor):
            self._let_expire(batch)
        # Goods that are stored at room temperature stand a hot lorry better.
        share = 1.0 if batch.product.storage == COLD else 0.25
        if self._rng.random() < share and self._is_struck("temperature_excursion", distributor):
            batch.faults.append(Fault("temperature_excursion", ""))

    def _divert(self, batch: Batch) -> None:
        market = batch.product.jurisdiction
        other = self._rng.choice([name for name in JURISDICTIONS if name != market])
        batch.dispensers[-1] = self._pick(self._dispensers[other], day_of(batch.made_at))
        batch.faults.append(Fault("diversion", f"{market}->{other}"))

    def _use_expired(self, batch: Batch) -> None:
        made_on = day_of(batch.made_at)
        candidates = [
            firm
            for firm in self._dispensers[batch.product.jurisdiction]
            if firm.valid_to is not None and firm.valid_to < made_on
        ]
        if candidates:
            batch.dispensers[-1] = self._rng.choice(candidates)
            batch.faults.append(Fault("expired_gln", batch.dispensers[-1].gln))

    def _let_expire(self, batch: Batch) -> None:
        """Give the batch a short life and let it lie with the distributor until it is over."""
        life = self._rng.choice((90, 120, 180))
        if batch.made_at + (life + LONGEST_JOURNEY_DAYS) * DAY < self._end:
            batch.expires_on = day_of(batch.made_at) + timedelta(days=life)
            batch.faults.append(Fault("expired_shipped", ""))

    def _next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _wait(self, low: float, high: float) -> int:
        """Return a duration between ``low`` and ``high`` days, in milliseconds."""
        return int(self._rng.uniform(low, high) * DAY)

    def _live(self, batch: Batch) -> None:
        received_at = self._to_distributor(batch)
        if batch.has("expired_shipped"):
            received_at = milliseconds_of(batch.expires_on) + self._wait(1, 12)
        share = batch.packs // len(batch.dispensers)
        for number, dispenser in enumerate(batch.dispensers):
            is_last = number == len(batch.dispensers) - 1
            self._to_dispenser(batch, dispenser, received_at, share, is_last=is_last)

    def _to_distributor(self, batch: Batch) -> int:
        maker, distributor, product = batch.maker, batch.distributor, batch.product
        number = self._next_number()
        packed_at = batch.made_at + self._wait(0.1, 1.5)
        shipped_at = packed_at + self._wait(0.5, 8)
        is_export = maker.jurisdiction != product.jurisdiction
        arrives_at = shipped_at + self._wait(*((3, 14) if is_export else (0.3, 4)))
        late = batch.has("ship_before_commission")
        commissioned_at = shipped_at + self._wait(0.2, 2) if late else batch.made_at
        self._commission(batch, commissioned_at)
        self._pack(batch, number, packed_at)
        _emit(batch, maker, shipped_at, self._shipment(batch, number, shipped_at))
        self._record_temperature(batch, number, shipped_at, arrives_at)
        self._receive_pallet(batch, number, arrives_at)
        batch.deliveries.append(Delivery(maker, distributor, shipped_at, batch.packs, number))
        batch.transit_days = (arrives_at - shipped_at) / DAY
        return arrives_at

    def _commission(self, batch: Batch, when: int) -> None:
        maker, product = batch.maker, batch.product
        lot = ev.lot_class(maker, product, batch.lot)
        _emit(
            batch,
            maker,
            when,
            ev.event(
                "ObjectEvent",
                maker,
                when,
                step="commissioning",
                disposition="active",
                action="ADD",
                epcList=[ev.serial_item(maker, product, serial) for serial in batch.serials],
                quantityList=ev.quantity(lot, batch.packs),
                **ev.lot_master_data(batch.lot, batch.expires_on.isoformat()),
            ),
        )

    def _pack(self, batch: Batch, number: int, when: int) -> None:
        maker, product = batch.maker, batch.product
        _emit(
            batch,
            maker,
            when,
            ev.event(
                "AggregationEvent",
                maker,
                when,
                step="packing",
                disposition="in_progress",
                action="ADD",
                parentID=ev.pallet(maker, maker, number),
                childEPCs=[ev.serial_item(maker, product, serial) for serial in batch.serials],
                childQuantityList=ev.quantity(ev.lot_class(maker, product, batch.lot), batch.packs),
            ),
        )

    def _shipment(self, batch: Batch, number: int, when: int) -> Event:
        maker = batch.maker
        return ev.event(
            "ObjectEvent",
            maker,
            when,
            step="shipping",
            disposition="in_transit",
            action="OBSERVE",
            epcList=[ev.pallet(maker, maker, number)],
            **ev.parties(maker, batch.distributor),
            **ev.papers(maker, number, "desadv", "inv"),
        )

    def _record_temperature(self, batch: Batch, number: int, start: int, end: int) -> None:
        """Emit the logger's readings: always in the cold chain, for some of the rest."""
        is_cold = batch.product.storage == COLD
        is_bad = batch.has("temperature_excursion")
        if not (is_cold or is_bad or self._rng.random() < 0.1):
            return
        readings = self._readings(is_cold, is_bad, start, end)
        limit = 8.0 if is_cold else 30.0
        hours = READING_INTERVAL / HOUR
        batch.strain = sum(max(0.0, value - limit) * hours for _, value in readings)
        _emit(
            batch,
            batch.distributor,
            end,
            ev.event(
                "ObjectEvent",
                batch.distributor,
                end,
                step="sensor_reporting",
                disposition=None,
                action="OBSERVE",
                epcList=[ev.pallet(batch.distributor, batch.maker, number)],
                **ev.temperatures(start, end, readings),
            ),
        )

    def _readings(
        self, is_cold: bool, is_bad: bool, start: int, end: int
    ) -> list[tuple[int, float]]:
        rng = self._rng
        count = min(MAX_READINGS, max(2, (end - start) // READING_INTERVAL))
        level, spread = (5.0, 0.6) if is_cold else (22.5, 1.5)
        values = [rng.gauss(level, spread) for _ in range(count)]
        limit = 8.0 if is_cold else 30.0
        if is_bad:
            peak = limit + 0.5 + rng.expovariate(1 / 4)
            first = rng.randrange(count)
            for position in range(first, min(count, first + rng.randrange(1, 5))):
                values[position] = max(limit + 0.2, peak + rng.gauss(0.0, spread))
        moments = [start + position * READING_INTERVAL for position in range(count)]
        # A well-kept cold box stays between 2.2 and 7.8 degrees.
        low, high = (2.2, 7.8) if is_cold else (15.5, 29.5)
        return [
            (when, round(value if value > high and is_bad else min(max(value, low), high), 1))
            for when, value in zip(moments, values, strict=True)
        ]

    def _receive_pallet(self, batch: Batch, number: int, when: int) -> None:
        distributor, maker, product = batch.distributor, batch.maker, batch.product
        sscc = ev.pallet(distributor, maker, number)
        is_missing = batch.has("missing_receive") and self._rng.random() < 0.5
        if is_missing:
            _detail(batch, "missing_receive", f"distributor {distributor.gln}")
        else:
            _emit(
                batch,
                distributor,
                when,
                ev.event(
                    "ObjectEvent",
                    distributor,
                    when,
                    step="receiving",
                    disposition="in_progress",
                    action="OBSERVE",
                    place=self._misread_place(batch, distributor),
                    epcList=[sscc],
                    **ev.parties(maker, distributor),
                    **ev.papers(maker, number, "desadv"),
                ),
            )
        unpacked_at = when + self._wait(0.05, 0.8)
        lot = ev.lot_class(distributor, product, batch.lot)
        _emit(
            batch,
            distributor,
            unpacked_at,
            ev.event(
                "AggregationEvent",
                distributor,
                unpacked_at,
                step="unpacking",
                disposition="in_progress",
                action="DELETE",
                parentID=sscc,
                childQuantityList=ev.quantity(lot, batch.packs),
            ),
        )

    def _misread_place(self, batch: Batch, firm: Firm) -> str | None:
        if not batch.has("bad_check_digit"):
            return None
        wrong = (int(firm.gln[-1]) + self._rng.randrange(1, 10)) % 10
        _detail(batch, "bad_check_digit", f"{firm.gln[:-1]}{wrong}")
        return f"https://id.gs1.org/414/{firm.gln[:-1]}{wrong}"

    def _to_dispenser(
        self, batch: Batch, dispenser: Firm, ready_at: int, packs: int, *, is_last: bool
    ) -> None:
        distributor, product = batch.distributor, batch.product
        number = self._next_number()
        shipped_at = ready_at + self._wait(1, 14)
        received_at = shipped_at + self._wait(0.2, 3)
        papers = {
            **ev.parties(distributor, dispenser),
            **ev.papers(distributor, number, "desadv", "inv"),
        }
        lot = ev.lot_class(distributor, product, batch.lot)
        shipping = ev.event(
            "ObjectEvent",
            distributor,
            shipped_at,
            step="shipping",
            disposition="in_transit",
            action="OBSERVE",
            quantityList=ev.quantity(lot, packs),
            **papers,
        )
        _emit(batch, distributor, shipped_at, shipping)
        batch.deliveries.append(Delivery(distributor, dispenser, shipped_at, packs, number))
        batch.transit_days = max(batch.transit_days, (received_at - shipped_at) / DAY)
        is_missing = is_last and _is_open(batch, "missing_receive")
        if is_missing:
            _detail(batch, "missing_receive", f"dispenser {dispenser.gln}")
        else:
            self._receive_packs(batch, dispenser, received_at, packs, papers)
        self._dispense(batch, dispenser, received_at, packs, is_last=is_last)

    def _receive_packs(
        self, batch: Batch, dispenser: Firm, when: int, packs: int, papers: dict[str, Any]
    ) -> None:
        _emit(
            batch,
            dispenser,
            when,
            ev.event(
                "ObjectEvent",
                dispenser,
                when,
                step="receiving",
                disposition="in_progress",
                action="OBSERVE",
                quantityList=ev.quantity(ev.lot_class(dispenser, batch.product, batch.lot), packs),
                **papers,
            ),
        )

    def _dispense(
        self, batch: Batch, dispenser: Firm, received_at: int, packs: int, *, is_last: bool
    ) -> None:
        """Emit the packs' end: decommissioned in the EU and where a fault needs it, else sold."""
        product = batch.product
        when = received_at + self._wait(1, 25)
        is_ended = product.jurisdiction == "EU" or batch.has("event_after_decommission")
        lot = ev.lot_class(dispenser, product, batch.lot)
        # The serials that are followed all go to the last dispenser.
        serials = batch.serials if is_last else ()
        items = [ev.serial_item(dispenser, product, serial) for serial in serials]
        _emit(
            batch,
            dispenser,
            when,
            ev.event(
                "ObjectEvent",
                dispenser,
                when,
                step="decommissioning" if is_ended else "dispensing",
                disposition="inactive" if is_ended else "dispensed",
                action="DELETE" if is_ended else "OBSERVE",
                epcList=items,
                quantityList=ev.quantity(lot, packs),
            ),
        )
        if is_last:
            self._after_the_end(batch, dispenser, when)

    def _after_the_end(self, batch: Batch, dispenser: Firm, when: int) -> None:
        if batch.has("event_after_decommission"):
            self._revive(batch, dispenser, when + self._wait(0.5, 6))
        if batch.has("duplicate_serial"):
            self._clone(batch, when + int(self._rng.uniform(1, 6) * HOUR))

    def _revive(self, batch: Batch, dispenser: Firm, when: int) -> None:
        serial = batch.serials[0]
        _detail(batch, "event_after_decommission", serial)
        revived = ev.event(
            "ObjectEvent",
            dispenser,
            when,
            step="shipping",
            disposition="in_transit",
            action="OBSERVE",
            epcList=[ev.serial_item(dispenser, batch.product, serial)],
            **ev.parties(dispenser, batch.distributor),
        )
        _emit(batch, dispenser, when, revived)

    def _clone(self, batch: Batch, when: int) -> None:
        """Let the same serial turn up in another jurisdiction some hours later."""
        here = batch.dispensers[-1].jurisdiction
        other = self._rng.choice([name for name in JURISDICTIONS if name != here])
        place = self._pick(self._dispensers[other], day_of(batch.made_at))
        serial = batch.serials[-1]
        _detail(batch, "duplicate_serial", f"{serial} at {place.gln}")
        seen = ev.event(
            "ObjectEvent",
            place,
            when,
            step="inspecting",
            disposition="in_progress",
            action="OBSERVE",
            epcList=[ev.serial_item(place, batch.product, serial)],
        )
        _emit(batch, place, when, seen)


def _emit(batch: Batch, firm: Firm, when: int, found: Event) -> None:
    batch.emissions.append(Emission(firm, when, found))


def _detail(batch: Batch, kind: str, words: str) -> None:
    for fault in batch.faults:
        if fault.kind == kind:
            fault.detail = words


def _is_open(batch: Batch, kind: str) -> bool:
    """Whether a fault was drawn that no event has shown yet."""
    return any(fault.kind == kind and not fault.detail for fault in batch.faults)
