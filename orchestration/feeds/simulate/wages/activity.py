"""Who works where in each month, for how many days and at what day wage.

The result is one row for each worker, month and employer, before anything is paid, recorded or
goes wrong: what was truly earned. Payment is in ``payroll``, mistakes are in ``faults``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.random import Generator

from orchestration.feeds.simulate.wages import levels
from orchestration.feeds.simulate.wages.columns import Columns
from orchestration.feeds.simulate.wages.world import World, stream

SECOND_EMPLOYER_SHARE = 0.03
SWITCH_SHARE = 0.25
MAX_DAYS = 26
ABILITY_SPREAD = 0.18
DRIFT_MONTHS = 4  # a worker's better and worse spells last about this long


@dataclass(frozen=True)
class Work(Columns):
    """True work as arrays of length W, ordered by month, employer and worker.

    ``month`` counts from 0; ``daily_paise`` is the day wage; ``earned_paise`` what was earned.
    """

    worker: np.ndarray
    employer: np.ndarray
    month: np.ndarray
    days: np.ndarray
    daily_paise: np.ndarray
    earned_paise: np.ndarray


def month_starts(start: date, months: int) -> np.ndarray:
    """Return the first day of each month and of the month after the last, as datetime64[D]."""
    first = np.datetime64(f"{start:%Y-%m}", "M")
    return (first + np.arange(months + 1)).astype("datetime64[D]")


def calendar_months(start: date, months: int) -> np.ndarray:
    """Return the calendar month, 1 to 12, of each simulated month."""
    return (start.month - 1 + np.arange(months)) % 12 + 1


def financial_years(start: date, months: int) -> np.ndarray:
    """Return the first year of the financial year of each simulated month."""
    starts = month_starts(start, months)[:-1]
    return np.array([levels.financial_year(day) for day in starts.tolist()])


def simulate_work(world: World) -> tuple[Work, np.ndarray]:
    """Simulate a period of work.

    Returns:
        The work that employers pay through the ledger, and each worker's cash earnings outside
        it in paise over the whole period, shape (N,).
    """
    rng = stream(world.seed, "activity")
    employer = _employer_by_month(rng, world)
    is_active = _is_active(rng, world, employer)
    worker, month = np.nonzero(is_active)
    rows = [_row_ids(worker, month, employer[worker, month])]
    rows.append(_second_employers(rng, world, worker, month, employer))
    ids = np.concatenate(rows, axis=1)
    worker, month, chosen = ids[:, np.lexsort((ids[0], ids[2], ids[1]))]
    work = _price(rng, world, worker, month, chosen)
    return work, _cash_outside(rng, world, employer, is_active)


def _row_ids(worker: np.ndarray, month: np.ndarray, employer: np.ndarray) -> np.ndarray:
    return np.stack([worker, month, employer])


def _employer_by_month(rng: Generator, world: World) -> np.ndarray:
    """Return each worker's main employer by month, shape (N, M)."""
    people = world.workers
    size, months = len(people.employer), world.months
    employer = np.repeat(people.employer[:, None], months, axis=1)
    switches = rng.random(size) < SWITCH_SHARE
    at = rng.integers(0, months, size)
    other = _another_in_district(rng, world, people.district)
    after = switches[:, None] & (np.arange(months)[None, :] >= at[:, None])
    employer = np.where(after, other[:, None], employer)
    employer = _public_works_spells(rng, world, employer)
    return _migrate(rng, world, employer)


def _another_in_district(rng: Generator, world: World, district: np.ndarray) -> np.ndarray:
    """Return a random employer of each district, by employer weight within the district."""
    counts = np.bincount(world.employers.district)
    first = np.concatenate([[0], np.cumsum(counts)[:-1]])
    return first[district] + (rng.random(len(district)) * counts[district]).astype(int)


def _public_works_spells(rng: Generator, world: World, employer: np.ndarray) -> np.ndarray:
    """Let unskilled farm workers spend some months on the district's public works."""
    people, firms = world.workers, world.employers
    counts = np.bincount(firms.district)
    public = np.concatenate([[0], np.cumsum(counts)[:-1]])[people.district]
    season = np.array(levels.SECTORS[levels.PUBLIC_WORKS].activity)
    demand = 0.10 * season[calendar_months(world.start, world.months) - 1] ** 2
    may = (people.residence == 0) & (people.skill == 0)
    on_farm = firms.sector[employer] == levels.FARMING
    goes = may[:, None] & on_farm & (rng.random(employer.shape) < demand)
    return np.where(goes, public[:, None], employer)


def _migrate(rng: Generator, world: World, employer: np.ndarray) -> np.ndarray:
    """Send migrants along the known circuits, in the circuit's months."""
    people, firms = world.workers, world.employers
    state_of_firm = world.districts.state_code[firms.district]
    calendar = calendar_months(world.start, world.months)
    chosen = rng.integers(0, len(levels.CIRCUITS), len(people.employer))
    employer = employer.copy()
    for number, circuit in enumerate(levels.CIRCUITS):
        goes = (
            people.is_migrant
            & (world.state_code == circuit.origin_state)
            & (chosen % 2 == number % 2)
        )
        to = np.isin(state_of_firm, circuit.destination_states)
        firms_there = np.flatnonzero(to & (firms.sector == levels.SECTOR_OF_NIC[circuit.nic]))
        movers = np.flatnonzero(goes)
        if len(firms_there) and len(movers):
            in_season = np.flatnonzero(np.isin(calendar, circuit.months))
            target = rng.choice(firms_there, len(movers))
            employer[np.ix_(movers, in_season)] = target[:, None]
    return employer


def _is_active(rng: Generator, world: World, employer: np.ndarray) -> np.ndarray:
    """Return in which months each worker is paid through the ledger, shape (N, M)."""
    people = world.workers
    season = np.array([sector.activity for sector in levels.SECTORS])
    calendar = calendar_months(world.start, world.months)
    factor = season[world.employers.sector[employer], calendar[None, :] - 1]
    chance = np.clip(people.activity[:, None] * factor, 0.02, 0.985)
    # The smaller of two draws in a row makes spells: who was without work stays so more often.
    draw = rng.random(employer.shape)
    shared = np.repeat(
        rng.random((len(draw), -(-world.months // DRIFT_MONTHS))), DRIFT_MONTHS, axis=1
    )[:, : world.months]
    stays = rng.random(employer.shape) < 0.4
    is_active = np.where(stays, shared, draw) < chance
    died_month = _month_of(world, people.died_on)
    gone = np.arange(world.months)[None, :] > died_month[:, None]
    return is_active & ~(gone & ~people.is_ghost[:, None])


def _month_of(world: World, day: np.ndarray) -> np.ndarray:
    """Return the simulated month of each day; NaT is past the end."""
    first = np.datetime64(f"{world.start:%Y-%m}", "M")
    month = (day.astype("datetime64[M]") - first).astype(np.int64)
    return np.where(np.isnat(day), world.months, month)


def _second_employers(
    rng: Generator, world: World, worker: np.ndarray, month: np.ndarray, employer: np.ndarray
) -> np.ndarray:
    """Give a few worker-months a second employer of the same district."""
    picked = rng.random(len(worker)) < SECOND_EMPLOYER_SHARE
    worker, month = worker[picked], month[picked]
    main = employer[worker, month]
    other = _another_in_district(rng, world, world.employers.district[main])
    differs = other != main
    return _row_ids(worker[differs], month[differs], other[differs])


def _casual_level(world: World, worker: np.ndarray, employer: np.ndarray) -> np.ndarray:
    """Return the casual day wage in paise where the work is done, for the worker's sex."""
    table = np.array([levels.STATES[code].casual_daily_inr for code in sorted(levels.STATES)])
    row = np.searchsorted(
        np.array(sorted(levels.STATES)),
        world.districts.state_code[world.employers.district[employer]],
    )
    people = world.workers
    # Row layout of the source: rural male, rural female, urban male, urban female. PLFS has no
    # third sex; the lower (female) level is used.
    column = 2 * people.residence[worker] + (people.sex[worker] != 1)
    return 100 * levels.CASUAL_WAGE_GROWTH_2020Q1_TO_2024 * table[row, column]


def _price(
    rng: Generator, world: World, worker: np.ndarray, month: np.ndarray, employer: np.ndarray
) -> Work:
    """Draw days and pay of each row."""
    people, firms = world.workers, world.employers
    sector = firms.sector[employer]
    calendar = calendar_months(world.start, world.months)[month]
    kinds = levels.SECTORS
    wage = _casual_level(world, worker, employer)
    wage *= levels.SKILL_WAGE[people.skill[worker]]
    wage *= np.array([kind.wage for kind in kinds])[sector] * firms.wage_effect[employer]
    wage *= world.districts.wage_effect[firms.district[employer]]
    wage *= levels.MONTHLY_WAGE[calendar - 1] * np.exp(ABILITY_SPREAD * people.ability[worker])
    wage *= np.exp(rng.normal(0, 0.04, len(worker)))
    daily = _apply_rules(world, wage, worker, month, employer)
    days = _draw_days(rng, world, worker, month, employer)
    is_piece = np.array([kind.is_piece_rate for kind in kinds])[sector]
    pieces = np.where(is_piece, rng.uniform(1.0, 1.06, len(worker)), 1.0)
    earned = np.rint(daily * days * pieces / 100).astype(np.int64) * 100
    return Work(worker, employer, month, days, daily, earned)


def _apply_rules(
    world: World, wage: np.ndarray, worker: np.ndarray, month: np.ndarray, employer: np.ndarray
) -> np.ndarray:
    """Apply notified rates, public works' flat rate and round numbers; whole rupees, in paise."""
    firms = world.employers
    floor = 100 * rate_in_force(world, employer, month, firms.is_stale[employer])
    is_flat = (firms.sector[employer] == levels.PUBLIC_WORKS) & (world.workers.skill[worker] == 0)
    wage = np.where(is_flat, floor, wage)
    wage = np.where(firms.pays_notified[employer], np.maximum(wage, floor), wage)
    step = np.where(firms.rounds[employer], 5_000, 100)
    # Who keeps to a floor rounds up; others round to the nearest.
    rounded = np.where(
        firms.pays_notified[employer], np.ceil(wage / step - 1e-9), np.rint(wage / step)
    )
    return (np.maximum(rounded, 1) * step).astype(np.int64)


def rate_in_force(
    world: World, employer: np.ndarray, month: np.ndarray, is_stale: np.ndarray
) -> np.ndarray:
    """Return the notified rate in rupees that each row's employer goes by.

    Stale employers go on with the first financial year of the simulated period.
    """
    years = financial_years(world.start, world.months)
    year = np.where(is_stale, years[0], years[month])
    codes = np.array(sorted(levels.STATES))
    table = np.array([levels.STATES[code].notified_inr for code in codes.tolist()])
    row = np.searchsorted(codes, world.districts.state_code[world.employers.district[employer]])
    return table[row, year - levels.RATE_YEARS[0]]


def _draw_days(
    rng: Generator, world: World, worker: np.ndarray, month: np.ndarray, employer: np.ndarray
) -> np.ndarray:
    """Draw days worked: the sector's mean, the season, the person; 1 to 26, within the period."""
    sector = world.employers.sector[employer]
    calendar = calendar_months(world.start, world.months)[month]
    mean = np.array([kind.days for kind in levels.SECTORS])[sector]
    season = np.array([kind.activity for kind in levels.SECTORS])[sector, calendar - 1]
    person = 0.75 + 0.33 * world.workers.activity[worker]
    days = rng.normal(mean * np.sqrt(season) * person, 3.0)
    # A payroll closes some days before the month does: nobody is paid for days after it.
    lengths = np.diff(month_starts(world.start, world.months)).astype(np.int64)
    period = lengths[month] - world.employers.pay_day_offset[employer]
    latest = np.where(_month_of(world, world.workers.died_on)[worker] == month, 12, MAX_DAYS)
    latest = np.minimum(latest, period)
    return np.clip(np.rint(days), 1, latest).astype(np.int64)


def _cash_outside(
    rng: Generator, world: World, employer: np.ndarray, is_active: np.ndarray
) -> np.ndarray:
    """Return cash earnings in months without a recorded wage, paise over the period, shape (N,).

    Most people without a recorded wage did work: no record means cash, not poverty.
    """
    worker, month = np.nonzero(~is_active)
    people = world.workers
    works = rng.random(len(worker)) < 0.65
    alive = month <= _month_of(world, people.died_on)[worker]
    wage = _casual_level(world, worker, employer[worker, month])
    wage *= np.exp(ABILITY_SPREAD * people.ability[worker] + rng.normal(0, 0.2, len(worker)))
    days = np.clip(rng.normal(15, 4, len(worker)), 2, 25)
    paid = np.where(works & alive, wage * days, 0.0)
    return np.bincount(worker, paid, minlength=len(people.employer)).astype(np.int64)
