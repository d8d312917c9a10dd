"""Who lives and works in the simulated world: districts, employers, households and workers.

People and firms as columns of numbers (one numpy array an attribute). What they do month by month
is in ``activity``; what households live on is in ``households``.
"""

from __future__ import annotations

import csv
import hashlib
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from numpy.random import PCG64, Generator, SeedSequence

from orchestration.feeds.common import FeedError, name_of
from orchestration.feeds.simulate.wages import levels

_SHA256_BLOCK_BYTES = 64
WORKERS_PER_DISTRICT = 500
WORKERS_PER_EMPLOYER = 24
MIN_DISTRICTS = 12
GHOST_SHARE_OF_DEATHS = 0.25
DEATHS_PER_WORKER = 0.004
OVER_80_PER_WORKER = 0.0003

# Size classes by expected number of workers; whoever has fewer than two records each wage alone.
SIZE_CLASSES = ("micro", "small", "medium", "large")
SIZE_CLASS_BOUNDS = (5, 20, 80)
SINGLE_RECORD_HEADCOUNT = 2
_RESIDENCE_SHARES = np.array([0.76, 0.24])  # of workers: 0.8 of the states' urban shares
# Share of rural households with own land by social category (background).
_LAND_SHARE = np.array([0.5, 0.45, 0.3, 0.5])
_ESHRAM_START = np.datetime64("2021-08-26", "D")  # facts/schemes.json
_DISTRICT_COLUMNS = {"state_code", "district_code", "district_name"}


@dataclass(frozen=True)
class Districts:
    """The districts of the world, as arrays of length D: LGD codes and effects around 1."""

    code: np.ndarray
    state_code: np.ndarray
    wage_effect: np.ndarray
    welfare_effect: np.ndarray
    compliance: np.ndarray


@dataclass(frozen=True)
class Employers:
    """Employers as arrays of length E, ordered by district.

    ``pays_notified`` keep at least to the notified rate; ``rounds`` pay whole fifties of rupees;
    ``is_stale`` go on applying the rate of the financial year before; ``is_single`` record each
    wage in a transaction of its own; ``attaches`` name the hash of a muster document;
    ``odds`` (E, 2) are the chances of a rural and an urban worker of the district to work there.
    """

    hash_hex: np.ndarray
    district: np.ndarray
    sector: np.ndarray
    size_class: np.ndarray
    wage_effect: np.ndarray
    odds: np.ndarray
    pays_notified: np.ndarray
    rounds: np.ndarray
    is_stale: np.ndarray
    is_single: np.ndarray
    attaches: np.ndarray
    cash_share: np.ndarray
    pay_day_offset: np.ndarray
    registered_on: np.ndarray


@dataclass(frozen=True)
class Households:
    """Households as arrays of length H."""

    hash_hex: np.ndarray
    district: np.ndarray
    residence: np.ndarray
    size: np.ndarray
    social: np.ndarray
    has_land: np.ndarray


@dataclass(frozen=True)
class Workers:
    """Workers as arrays of length N. Codes index the vocabularies of ``levels``.

    ``died_on`` is NaT for the living; ``is_ghost`` are paid on after their death.
    """

    hash_hex: np.ndarray
    household: np.ndarray
    district: np.ndarray
    residence: np.ndarray
    sex: np.ndarray
    social: np.ndarray
    age: np.ndarray
    education: np.ndarray
    skill: np.ndarray
    is_migrant: np.ndarray
    is_disabled: np.ndarray
    ability: np.ndarray
    activity: np.ndarray
    employer: np.ndarray
    registered_on: np.ndarray
    died_on: np.ndarray
    is_ghost: np.ndarray
    is_over_80: np.ndarray


@dataclass(frozen=True)
class World:
    """Everything that does not change during the simulated period."""

    seed: int
    start: date
    months: int
    districts: Districts
    employers: Employers
    households: Households
    workers: Workers

    @property
    def state_code(self) -> np.ndarray:
        """LGD state code of each worker's home, shape (N,)."""
        return self.districts.state_code[self.workers.district]


def stream(seed: int, stage: str) -> Generator:
    """Return the random stream of one stage, so that a change in one leaves the others alone."""
    digest = hashlib.sha256(stage.encode()).digest()
    return Generator(PCG64(SeedSequence([seed, int.from_bytes(digest[:8], "big")])))


def hash_key(seed: int, purpose: str) -> bytes:
    """Return the simulator's own HMAC key for one purpose ("worker", "employer", …).

    The real network keeps its key in the vault. A simulated one may not: it is derived from the
    seed, so that the same seed gives the same bytes. Nobody real is behind these hashes.
    """
    return hashlib.sha256(f"tracient simulated wage network/{seed}/{purpose}".encode()).digest()


class KeyedHash:
    """HMAC-SHA-256 of numbers under one key of the simulator."""

    def __init__(self, seed: int, purpose: str) -> None:
        # The two halves of HMAC (RFC 2104), each as a state to copy: there are a million hashes to
        # do, and this takes half as long as a call of ``hmac.digest`` for each.
        block = hash_key(seed, purpose).ljust(_SHA256_BLOCK_BYTES, b"\0")
        self._inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + f"{purpose}:".encode())
        self._outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))

    def __call__(self, number: int) -> bytes:
        """Return the 32 bytes of HMAC-SHA-256(key, "<purpose>:<number>")."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(b"%d" % number)
        outer.update(inner.digest())
        return outer.digest()


def keyed_hashes(seed: int, purpose: str, count: int) -> np.ndarray:
    """Return the keyed hashes of the registration numbers 0..count-1, hex, as an S64 array."""
    keyed = KeyedHash(seed, purpose)
    return np.array([keyed(number).hex().encode() for number in range(count)], dtype="S64")


def build_world(seed: int, workers: int, districts: Path, start: date, months: int) -> World:
    """Build the world.

    Args:
        seed: Any non-negative integer; the same seed gives the same world.
        workers: Number of workers; 500 a district, in at least twelve districts.
        districts: CSV with state_code, district_code and district_name (LGD).
        start: First day of the first month.
        months: Number of months.

    Raises:
        FeedError: The districts file cannot be used.
    """
    count = max(MIN_DISTRICTS, round(workers / WORKERS_PER_DISTRICT))
    places = _build_districts(seed, read_districts(districts), min(count, workers))
    in_district = np.full(len(places.code), workers // len(places.code))
    in_district[: workers % len(places.code)] += 1
    employers = _build_employers(seed, places, in_district, start)
    households, household_of = _build_households(seed, places, in_district)
    people = _build_workers(seed, places, employers, households, household_of, start, months)
    return World(seed, start, months, places, employers, households, people)


def read_districts(path: Path) -> list[tuple[int, int]]:
    """Return (state_code, district_code) of every district of the file, in its order.

    Raises:
        FeedError: The file is missing, has other columns, no rows, codes that are no whole
            numbers, or a state without levels.
    """
    rows = _read_rows(path)
    try:
        codes = [(int(row["state_code"]), int(row["district_code"])) for row in rows]
    except (TypeError, ValueError):
        raise _unusable(path, "LGD codes that are whole numbers", "another value") from None
    unknown = sorted({state for state, _ in codes} - set(levels.STATES))
    if unknown:
        known = f"LGD states with levels: {sorted(levels.STATES)}"
        raise _unusable(path, known, f"states {unknown}")
    return codes


def _read_rows(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            found = set(reader.fieldnames or ())
            rows = list(reader)
    except (OSError, UnicodeDecodeError) as error:
        found_instead = getattr(error, "strerror", None) or "a file that is not UTF-8 text"
        raise _unusable(path, "a readable CSV file of districts", found_instead) from error
    if not found >= _DISTRICT_COLUMNS or not rows:
        expected = f"rows with the columns {', '.join(sorted(_DISTRICT_COLUMNS))}"
        columns = ", ".join(sorted(found)) or "no columns"
        raise _unusable(path, expected, f"{len(rows)} rows with {columns}")
    return rows


def _unusable(path: Path, expected: str, found: str) -> FeedError:
    return FeedError(
        where=name_of(path),
        expected=expected,
        found=found,
        what_to_do="Pass the policy seed pilot_districts.csv or a file of the same form; states "
        "beyond it need sourced levels in the simulator first.",
    )


def _build_districts(seed: int, codes: list[tuple[int, int]], count: int) -> Districts:
    """Choose districts in turn from every state, so that small worlds hold all states."""
    by_state: dict[int, list[int]] = {}
    for state, district in codes:
        by_state.setdefault(state, []).append(district)
    depth = max(len(found) for found in by_state.values())
    in_turn = [
        (state, found[row])
        for row in range(depth)
        for state, found in by_state.items()
        if row < len(found)
    ]
    chosen = sorted(in_turn[:count])
    rng = stream(seed, "districts")
    size = len(chosen)
    return Districts(
        code=np.array([district for _, district in chosen]),
        state_code=np.array([state for state, _ in chosen]),
        wage_effect=np.exp(rng.normal(0, 0.07, size)),
        welfare_effect=np.exp(rng.normal(0, 0.12, size)),
        compliance=np.clip(rng.normal(0.52, 0.14, size), 0.15, 0.90),
    )


def _build_employers(
    seed: int, places: Districts, in_district: np.ndarray, start: date
) -> Employers:
    rng = stream(seed, "employers")
    counts = np.maximum(3, np.rint(in_district / WORKERS_PER_EMPLOYER).astype(int))
    district = np.repeat(np.arange(len(counts)), counts)
    size = len(district)
    sector = _draw_sectors(rng, counts)
    odds = _odds(rng, district, sector)
    headcount = in_district[district] * (odds @ _RESIDENCE_SHARES)
    is_public = sector == levels.PUBLIC_WORKS
    pays_notified = is_public | (rng.random(size) < places.compliance[district])
    days_before = rng.integers(20, 2200, size)
    return Employers(
        hash_hex=keyed_hashes(seed, "employer", size),
        district=district,
        sector=sector,
        size_class=np.digitize(headcount, SIZE_CLASS_BOUNDS),
        wage_effect=np.where(is_public, 1.0, np.exp(rng.normal(0, 0.11, size))),
        odds=odds,
        pays_notified=pays_notified,
        rounds=~is_public & (rng.random(size) < 0.05),
        is_stale=pays_notified & (rng.random(size) < 0.05),
        is_single=headcount < SINGLE_RECORD_HEADCOUNT,
        attaches=is_public | (rng.random(size) < 0.04),
        cash_share=np.where(is_public, 0.0, rng.beta(0.9, 3.0, size)),
        pay_day_offset=rng.integers(0, 7, size),
        registered_on=np.datetime64(start, "D") - days_before,
    )


def _draw_sectors(rng: Generator, counts: np.ndarray) -> np.ndarray:
    """Draw sectors; each district starts with public works, a farm and a domestic employer."""
    share = np.array([[s.rural_share, s.urban_share] for s in levels.SECTORS]) @ _RESIDENCE_SHARES
    # Flatter than worker shares: small trades have more employers for each worker.
    odds = share**0.55
    sector = rng.choice(len(share), counts.sum(), p=odds / odds.sum())
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    sector[first] = levels.PUBLIC_WORKS
    sector[first + 1] = levels.FARMING
    sector[first + 2] = levels.SECTOR_OF_NIC["97"]
    return sector


def _odds(rng: Generator, district: np.ndarray, sector: np.ndarray) -> np.ndarray:
    """Return the chance of a worker of the district, rural and urban, to be employed by each.

    Shape (E, 2): the sector's share, split over its employers of the district by their size.
    """
    weight = np.exp(rng.normal(0, 0.75, len(district)))
    cell = district * len(levels.SECTORS) + sector
    share = np.array([[s.rural_share, s.urban_share] for s in levels.SECTORS])[sector]
    odds = share * (weight / np.bincount(cell, weight)[cell])[:, None]
    totals = np.stack([np.bincount(district, odds[:, kind]) for kind in (0, 1)], axis=1)
    return odds / totals[district]


def _build_households(
    seed: int, places: Districts, in_district: np.ndarray
) -> tuple[Households, np.ndarray]:
    """Return the households, and the household of each worker (workers ordered by district)."""
    rng = stream(seed, "households")
    home = np.repeat(np.arange(len(in_district)), in_district)
    drawn_group = np.concatenate([_group(rng, int(count)) for count in in_district])
    starts_new = (np.diff(drawn_group, prepend=-1) != 0) | (np.diff(home, prepend=-1) != 0)
    household_of = np.cumsum(starts_new) - 1
    district = home[starts_new]
    size = len(district)
    state = places.state_code[district]
    urban_share = np.array([levels.STATES[code].urban_share for code in state.tolist()])
    members = np.bincount(household_of)
    drawn = rng.choice(
        np.arange(1, 10), size, p=[0.03, 0.09, 0.16, 0.25, 0.21, 0.13, 0.07, 0.04, 0.02]
    )
    residence = (rng.random(size) < 0.8 * urban_share).astype(int)
    social = _draw_social(rng, state)
    return (
        Households(
            hash_hex=keyed_hashes(seed, "household", size),
            district=district,
            residence=residence,
            size=np.maximum(drawn, members),
            social=social,
            has_land=(residence == 0) & (rng.random(size) < _LAND_SHARE[social]),
        ),
        household_of,
    )


def _group(rng: Generator, count: int) -> np.ndarray:
    """Put workers together: 70% work alone for their household, 24% are two, 6% three."""
    members = rng.choice([1, 2, 3], count, p=[0.70, 0.24, 0.06])
    return np.repeat(np.arange(count), members)[:count]


def _draw_social(rng: Generator, state: np.ndarray) -> np.ndarray:
    """Draw e-Shram's social categories, with the Scheduled Tribes where their people live."""
    tribal = np.array([levels.STATES[code].tribal_share for code in state.tolist()]) * 0.88
    others = np.array(levels.SOCIAL_SHARES[:3]) / sum(levels.SOCIAL_SHARES[:3])
    social = rng.choice(3, len(state), p=others)
    return np.where(rng.random(len(state)) < tribal, 3, social)


def _build_workers(
    seed: int,
    places: Districts,
    employers: Employers,
    households: Households,
    household_of: np.ndarray,
    start: date,
    months: int,
) -> Workers:
    rng = stream(seed, "workers")
    size = len(household_of)
    district = households.district[household_of]
    residence = households.residence[household_of]
    social = households.social[household_of]
    sex = rng.choice(3, size, p=np.array(levels.SEX_COUNTS) / sum(levels.SEX_COUNTS))
    age = _draw_age(rng, size)
    education = _draw_education(rng, age, sex, social, residence)
    is_over_80 = _pick(rng, size, OVER_80_PER_WORKER)
    age = np.where(is_over_80, rng.integers(81, 95, size), age)
    died_on, is_ghost = _draw_deaths(rng, size, is_over_80, start, months)
    days_before = (np.datetime64(start, "D") - _ESHRAM_START).astype(int)
    return Workers(
        hash_hex=keyed_hashes(seed, "worker", size),
        household=household_of,
        district=district,
        residence=residence,
        sex=sex,
        social=social,
        age=age,
        education=education,
        skill=_draw_skill(rng, education),
        is_migrant=rng.random(size) < _migrant_share(places, district),
        is_disabled=rng.random(size) < 0.022,
        ability=rng.normal(0, 1, size),
        activity=np.clip(rng.beta(6.0, 1.75, size), 0.15, 0.99),
        employer=_choose_employers(rng, employers, district, residence),
        registered_on=_ESHRAM_START + rng.integers(0, days_before, size),
        died_on=died_on,
        is_ghost=is_ghost,
        is_over_80=is_over_80,
    )


def _pick(rng: Generator, size: int, share: float) -> np.ndarray:
    """Mark a fixed number of people at random: at least one, so that small worlds have some."""
    marks = np.zeros(size, dtype=bool)
    marks[rng.choice(size, min(size, max(1, round(size * share))), replace=False)] = True
    return marks


def _draw_age(rng: Generator, size: int) -> np.ndarray:
    shares = np.array(levels.AGE_SHARES)
    band = rng.choice(len(shares), size, p=shares / shares.sum())
    low, high = np.array(levels.AGE_BANDS).T
    age = rng.integers(low[band], high[band] + 1)
    # Few work past 62: those drawn above it are mostly in their fifties.
    return np.where((age > 62) & (rng.random(size) < 0.7), age - 12, age)


def _draw_education(
    rng: Generator, age: np.ndarray, sex: np.ndarray, social: np.ndarray, residence: np.ndarray
) -> np.ndarray:
    """Draw schooling: the young, men, towns and the General category have more of it."""
    score = rng.normal(0, 1, len(age)) - (age - 36) / 25 + 0.35 * residence
    score += np.array([0.3, 0.0, -0.2, -0.35])[social] - 0.3 * (sex != 1)
    shares = np.array(levels.EDUCATION_SHARES)
    return np.digitize(score, np.quantile(score, np.cumsum(shares)[:-1]))


def _draw_skill(rng: Generator, education: np.ndarray) -> np.ndarray:
    """Draw skill: 62% unskilled, 24% semi-skilled, 12% skilled, 2% highly skilled."""
    score = rng.normal(0, 1, len(education)) + 0.45 * education
    return np.digitize(score, np.quantile(score, [0.62, 0.86, 0.98]))


def _migrant_share(places: Districts, district: np.ndarray) -> np.ndarray:
    """Return the chance of each worker to migrate: higher in the states that circuits start in."""
    origins = {circuit.origin_state for circuit in levels.CIRCUITS}
    is_origin = np.isin(places.state_code, sorted(origins))
    return np.where(is_origin, 0.14, 0.05)[district]


def _draw_deaths(
    rng: Generator, size: int, is_over_80: np.ndarray, start: date, months: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the day of death (NaT for the living) and who is paid on as a ghost."""
    dies = _pick(rng, size, DEATHS_PER_WORKER) & ~is_over_80
    days = rng.integers(0, max(1, months * 30 - 30), size)
    died_on = np.where(dies, np.datetime64(start, "D") + days, np.datetime64("NaT", "D"))
    is_ghost = np.zeros(size, dtype=bool)
    dead = np.flatnonzero(dies)
    is_ghost[dead[: max(1, round(len(dead) * GHOST_SHARE_OF_DEATHS))]] = True
    return died_on, is_ghost


def _choose_employers(
    rng: Generator, employers: Employers, district: np.ndarray, residence: np.ndarray
) -> np.ndarray:
    """Choose each worker's main employer in the home district, by sector share and size."""
    chosen = np.empty(len(district), dtype=np.int64)
    for place in range(int(district.max()) + 1):
        here = np.flatnonzero(employers.district == place)
        for kind in (0, 1):
            people = np.flatnonzero((district == place) & (residence == kind))
            odds = employers.odds[here, kind]
            chosen[people] = rng.choice(here, len(people), p=odds / odds.sum())
    return chosen
