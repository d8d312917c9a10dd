"""Who and what there is in the simulated medicines trade: firms, their keys' spellings, products.

All keys use the GS1 prefix 952, which GS1 keeps for examples, so that no simulated GLN or GTIN
belongs to a real firm.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property

from orchestration.feeds.gs1 import with_check_digit

JURISDICTIONS = ("IN", "US", "EU", "SG")
# Fixed offsets, no summer time: what matters is that partners write local times.
OFFSETS = {"IN": "+05:30", "US": "-05:00", "EU": "+01:00", "SG": "+08:00"}
COUNTRIES = {"IN": ("IN",), "US": ("US",), "EU": ("DE", "FR", "NL", "IE", "ES"), "SG": ("SG",)}

MANUFACTURER, DISTRIBUTOR, PHARMACY, HOSPITAL = (
    "manufacturer",
    "distributor",
    "pharmacy",
    "hospital",
)
# Role -> number of firms by jurisdiction: 60 manufacturers, 120 distributors, 300 dispensers.
FIRM_COUNTS = {
    MANUFACTURER: {"IN": 30, "US": 12, "EU": 12, "SG": 6},
    DISTRIBUTOR: {"IN": 50, "US": 26, "EU": 28, "SG": 16},
    PHARMACY: {"IN": 90, "US": 45, "EU": 45, "SG": 30},
    HOSPITAL: {"IN": 35, "US": 20, "EU": 20, "SG": 15},
}
UNREGISTERED_FIRMS = 8
PRODUCT_COUNT = 250
# Where a product is marketed: India is the pilot's home, the others its export markets.
MARKET_WEIGHTS = {"IN": 0.45, "US": 0.20, "EU": 0.20, "SG": 0.15}

# Class -> (share, share stored at 2-8 C, heading of the Harmonised System 2022, generic names).
PRODUCT_CLASSES: dict[str, tuple[float, float, str, tuple[str, ...]]] = {
    "antibiotic": (0.22, 0.0, "30042090", ("amoxicillin", "azithromycin", "cefixime")),
    "vaccine": (0.13, 1.0, "30024100", ("hepatitis B vaccine", "rabies vaccine", "DTP vaccine")),
    "insulin": (0.12, 1.0, "30043100", ("insulin glargine", "insulin aspart", "human insulin")),
    "cardiovascular": (0.18, 0.0, "30049090", ("atorvastatin", "amlodipine", "telmisartan")),
    "analgesic": (0.15, 0.0, "30049060", ("paracetamol", "ibuprofen", "diclofenac")),
    "antimalarial": (0.10, 0.0, "30046000", ("artemether", "artesunate", "primaquine")),
    "oncology": (0.10, 0.6, "30049040", ("trastuzumab", "paclitaxel", "capecitabine")),
}
COLD, ROOM = "2-8C", "CRT"


@dataclass(frozen=True)
class Firm:
    """A party with one location.

    Attributes:
        number: Running number; also the order of generation.
        role: manufacturer, distributor, pharmacy or hospital.
        jurisdiction: IN, US, EU or SG.
        country: ISO 3166 code.
        prefix: GS1 company prefix, 7 digits.
        gln: GLN-13 of its location.
        valid_from: Start of its registration.
        valid_to: End of its registration, or ``None``.
        is_registered: Whether the registry's extract lists it.
        spelling: 0 bare CBV names, 1 URNs, 2 web vocabulary.
        has_links: Whether it writes Digital Links instead of EPC URNs.
        sends_documents: Whether it exchanges EPCIS documents instead of writing to the ledger.
        carelessness: Unobserved; standard normal; raises the rates of faults and failures.
    """

    number: int
    role: str
    jurisdiction: str
    country: str
    prefix: str
    gln: str
    valid_from: date
    valid_to: date | None
    is_registered: bool
    spelling: int
    has_links: bool
    sends_documents: bool
    carelessness: float

    @property
    def place(self) -> str:
        """Its location as an EPC URN or a Digital Link, as the firm writes it."""
        if self.has_links:
            return f"https://id.gs1.org/414/{self.gln}"
        return f"urn:epc:id:sgln:{self.prefix}.{self.gln[7:12]}.0"

    @property
    def party(self) -> str:
        """The firm as a party, in the same spelling."""
        if self.has_links:
            return f"https://id.gs1.org/417/{self.gln}"
        return f"urn:epc:id:pgln:{self.prefix}.{self.gln[7:12]}"

    @property
    def legal_name(self) -> str:
        """A name that cannot be taken for a real firm's."""
        return f"Simulated {self.role} {self.number:03d}"

    def is_registered_on(self, day: date) -> bool:
        """Whether the registry holds the firm as active on ``day``."""
        return self.is_registered and (self.valid_to is None or day <= self.valid_to)


@dataclass(frozen=True)
class Product:
    """A packaged medicine in one market.

    Attributes:
        prefix: The manufacturer's company prefix.
        item: Item reference, 5 digits, behind the indicator digit 0.
        name: Brand name, invented.
        generic: Generic name.
        product_class: One of ``PRODUCT_CLASSES``.
        manufacturer: Index of the manufacturer in ``World.firms``.
        jurisdiction: Where it is marketed.
        storage: ``2-8C`` or ``CRT``.
        hsn: Tariff heading, 8 digits.
        is_schedule_h2: Whether India's Schedule H2 asks for a code on its pack.
        unit_price: Price of a pack in minor units of the market's currency.
    """

    prefix: str
    item: str
    name: str
    generic: str
    product_class: str
    manufacturer: int
    jurisdiction: str
    storage: str
    hsn: str
    is_schedule_h2: bool
    unit_price: int

    @cached_property
    def gtin(self) -> str:
        """GTIN-14."""
        return with_check_digit(f"0{self.prefix}{self.item}")


@dataclass(frozen=True)
class World:
    """All firms and products; ``unregistered`` firms are in no registry."""

    firms: tuple[Firm, ...]
    unregistered: tuple[Firm, ...]
    products: tuple[Product, ...]

    def of(self, jurisdiction: str, *roles: str) -> list[Firm]:
        """Return the firms of a jurisdiction in the given roles."""
        return [f for f in self.firms if f.jurisdiction == jurisdiction and f.role in roles]


def make_world(seed: int, start: date, end: date) -> World:
    """Make the firms and products of one simulation.

    Args:
        seed: Seed of the whole simulation.
        start: First day of the period.
        end: Last day of the period; some registrations end inside it.
    """
    rng = random.Random(f"{seed}/world")
    kinds = [
        (role, jurisdiction)
        for role, counts in FIRM_COUNTS.items()
        for jurisdiction, count in counts.items()
        for _ in range(count)
    ]
    firms = tuple(
        _firm(rng, number, role, jurisdiction, start, end)
        for number, (role, jurisdiction) in enumerate(kinds)
    )
    unregistered = tuple(
        _firm(rng, len(kinds) + n, PHARMACY, JURISDICTIONS[n % 4], start, end, is_registered=False)
        for n in range(UNREGISTERED_FIRMS)
    )
    return World(firms, unregistered, _products(rng, firms))


def _firm(
    rng: random.Random,
    number: int,
    role: str,
    jurisdiction: str,
    start: date,
    end: date,
    *,
    is_registered: bool = True,
) -> Firm:
    prefix = f"952{number * 7 + 1001:04d}"
    days = (end - start).days
    # One distributor or dispenser in fourteen loses its registration during the period.
    expires = role != MANUFACTURER and is_registered and rng.random() < 1 / 14
    # Partners who exchange documents are larger firms outside India.
    may_send = role in (MANUFACTURER, DISTRIBUTOR) and jurisdiction in ("US", "EU")
    return Firm(
        number=number,
        role=role,
        jurisdiction=jurisdiction,
        country=rng.choice(COUNTRIES[jurisdiction]),
        prefix=prefix,
        gln=with_check_digit(f"{prefix}{rng.randrange(1, 90_000):05d}"),
        valid_from=start - timedelta(days=rng.randrange(200, 3000)),
        valid_to=start + timedelta(days=int(days * rng.uniform(0.2, 0.8))) if expires else None,
        is_registered=is_registered,
        spelling=rng.choice((0, 0, 0, 1, 2)),
        has_links=rng.random() < 0.3,
        sends_documents=may_send and rng.random() < 0.5,
        carelessness=rng.gauss(0.0, 1.0),
    )


def _products(rng: random.Random, firms: tuple[Firm, ...]) -> tuple[Product, ...]:
    makers = [firm for firm in firms if firm.role == MANUFACTURER]
    classes = list(PRODUCT_CLASSES)
    weights = [PRODUCT_CLASSES[name][0] for name in classes]
    products = []
    for number in range(PRODUCT_COUNT):
        product_class = rng.choices(classes, weights)[0]
        market = rng.choices(list(MARKET_WEIGHTS), list(MARKET_WEIGHTS.values()))[0]
        # Every market buys from its own makers and from India.
        candidates = [f for f in makers if f.jurisdiction in (market, "IN")]
        maker = rng.choice(candidates)
        products.append(_product(rng, number, product_class, market, maker))
    return tuple(products)


def _product(
    rng: random.Random, number: int, product_class: str, market: str, maker: Firm
) -> Product:
    _, cold_share, hsn, generics = PRODUCT_CLASSES[product_class]
    generic = rng.choice(generics)
    return Product(
        prefix=maker.prefix,
        item=f"{number + 1:05d}",
        name=f"Simumed {number + 1:03d}",
        generic=generic,
        product_class=product_class,
        manufacturer=maker.number,
        jurisdiction=market,
        storage=COLD if rng.random() < cold_share else ROOM,
        hsn=hsn,
        # 300 brands are in Schedule H2 (GSR 823(E) 2022-11-17); here a third of those sold in
        # India.
        is_schedule_h2=market == "IN" and rng.random() < 1 / 3,
        unit_price=int(rng.lognormvariate(8.5, 1.0)),
    )
