"""The six CSV feeds beside the ledger, and the truth that is kept apart from them.

Feeds are what the platform may read: no name, no identity number, no injected fault's label. The
truth is for judging the pipeline and is never landed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.random import Generator

from orchestration.feeds.simulate.wages import levels
from orchestration.feeds.simulate.wages.activity import Work, month_starts
from orchestration.feeds.simulate.wages.faults import STATUS_CODES, Outcome, Settlements
from orchestration.feeds.simulate.wages.households import POVERTY_SHARE_OF_MEAN, Livelihoods
from orchestration.feeds.simulate.wages.ledger import record_id
from orchestration.feeds.simulate.wages.payroll import Payrolls
from orchestration.feeds.simulate.wages.world import SIZE_CLASSES, KeyedHash, World, stream

AUDIT_SHARE = 0.20
# Rural women are audited a little less than their share and townspeople more, as audits do:
# design weights put that right.
AUDIT_RATES = np.array([[0.17, 0.20], [0.26, 0.22]])  # residence x (woman or other, man)
AUDIT_DAYS = 75  # the audit takes place in the last days of the period
HOUSEHOLD_ERROR = 0.04  # standard deviation of the logarithm of measured consumption
INCOME_ERROR = 0.03
DUPLICATE_LINES = 0.001  # exact duplicate delivery, facts/feed_faults.csv


@dataclass(frozen=True)
class Feed:
    """One written feed: its dataset, file and number of lines without the header."""

    dataset: str
    path: Path
    rows: int


def write_feeds(
    out_dir: Path, world: World, lives: Livelihoods, outcome: Outcome
) -> tuple[Feed, ...]:
    """Write the six feeds below ``out_dir``; return what was written, in a fixed order."""
    out_dir.mkdir(parents=True, exist_ok=True)
    tables = {
        "raw_wages__upi_settlements": _settlements(world, outcome.settlements),
        "raw_wages__eshram_registry": _registry(world),
        "raw_wages__scheme_enrolments": _enrolments(world, lives),
        "raw_wages__income_audit": _audit(world, lives),
        "raw_wages__employer_registry": _employer_registry(world),
        "raw_wages__death_register": _deaths(world),
    }
    return tuple(_write(out_dir, dataset, table) for dataset, table in tables.items())


def _write(out_dir: Path, dataset: str, columns: Mapping[str, pa.Array]) -> Feed:
    """Write one feed: header unquoted, values unquoted, empty for null, lines end in LF."""
    path = out_dir / f"{dataset.removeprefix('raw_wages__')}.csv"
    table = pa.table(dict(columns))
    with path.open("wb") as file:
        file.write(",".join(table.column_names).encode() + b"\n")
        options = pacsv.WriteOptions(include_header=False, quoting_style="none")
        pacsv.write_csv(table, file, options)
    return Feed(dataset, path, table.num_rows)


def _words(vocabulary: tuple[str, ...], codes: np.ndarray) -> pa.Array:
    return pa.array(vocabulary, pa.string()).take(pa.array(codes))


def _hashes(values: np.ndarray) -> pa.Array:
    return pa.array(values, pa.binary()).cast(pa.string())


def _times(microseconds: np.ndarray) -> pa.Array:
    """Return RFC 3339 times in UTC; negative means null."""
    text = np.datetime_as_string(microseconds.astype("datetime64[us]"), unit="s")
    return pa.array(np.char.add(text, "Z"), mask=microseconds < 0)


def _days(values: np.ndarray) -> pa.Array:
    days = values.astype("datetime64[D]")
    return pa.array(np.datetime_as_string(days), mask=np.isnat(days))


def _settlements(world: World, table: Settlements) -> dict[str, pa.Array]:
    rng = stream(world.seed, "feeds.settlements")
    size = len(table)
    again = rng.choice(size, min(size, max(1, round(size * DUPLICATE_LINES))), replace=False)
    rows = np.sort(np.concatenate([np.arange(size), again])) if size else np.arange(0)
    table = table.take(rows)
    payment, settlement = KeyedHash(world.seed, "payment"), KeyedHash(world.seed, "settlement")
    refs = [payment(number).hex() for number in table.ref.tolist()]
    names = [f"st{settlement(number).hex()[:20]}" for number in table.record.tolist()]
    return {
        "settlement_id": pa.array(names, pa.string()),
        "payment_ref_hash": pa.array(refs, pa.string()),
        "amount_paise": pa.array(table.amount_paise),
        "status_code": _words(STATUS_CODES, table.status),
        "initiated_at": _times(table.initiated_us),
        "posted_at": _times(table.posted_us),
    }


def _registry(world: World) -> dict[str, pa.Array]:
    people, homes, places = world.workers, world.households, world.districts
    sector = world.employers.sector[people.employer]
    codes = np.array([kind.occupations for kind in levels.SECTORS])
    return {
        "worker_id_hash": _hashes(people.hash_hex),
        "birth_year": pa.array(world.start.year - people.age),
        "sex": _words(levels.SEXES, people.sex),
        "social_category": _words(levels.SOCIAL_CATEGORIES, people.social),
        "education": _words(levels.EDUCATION, people.education),
        "occupation_nco": pa.array(codes[sector, people.skill]),
        "is_disabled": pa.array(people.is_disabled),
        "is_migrant": pa.array(people.is_migrant),
        "state_code": pa.array(places.state_code[people.district]),
        "district_code": pa.array(places.code[people.district]),
        "residence": _words(levels.RESIDENCES, people.residence),
        "household_id_hash": _hashes(homes.hash_hex[people.household]),
        "registered_on": _days(people.registered_on),
    }


def _enrolments(world: World, lives: Livelihoods) -> dict[str, pa.Array]:
    """Return enrolments in schemes of facts/schemes.json, as imperfectly targeted as in life."""
    rng = stream(world.seed, "feeds.schemes")
    people = world.workers
    rural = people.residence == 0
    # Ration cards and health cards follow need with much noise; the noise is the point.
    need = np.log(lives.mean_per_head / lives.consumption_per_head)[people.household]
    need = need + rng.normal(0, 0.6, len(need))
    young = (people.age >= 18) & (people.age <= 40)
    poorest, poor = np.quantile(need, 0.93), np.quantile(need, 0.38)
    land = world.households.has_land[people.household]

    def luck() -> np.ndarray:
        return rng.random(len(need))

    schemes = {
        "mgnrega": rural & (people.skill == 0) & (luck() < 0.55),
        "nfsa_aay": need > poorest,
        "nfsa_phh": (need > poor) & (need <= poorest),
        "pm_kisan": land & (luck() < 0.7),
        "pm_sym": young & (luck() < 0.04),
        "pmjay_rural": rural & (need > poor) & (luck() < 0.6),
        "pmjay_urban": ~rural & (need > poor) & (luck() < 0.45),
    }
    worker = np.concatenate([np.flatnonzero(mask) for mask in schemes.values()])
    scheme = np.repeat(list(schemes), [int(mask.sum()) for mask in schemes.values()])
    end = np.datetime64(world.start, "D")
    enrolled = end - rng.integers(30, 1700, len(worker))
    has_ended = rng.random(len(worker)) < 0.03
    ended = np.where(has_ended, end + rng.integers(0, 300, len(worker)), np.datetime64("NaT", "D"))
    return {
        "worker_id_hash": _hashes(people.hash_hex[worker]),
        "scheme_id": pa.array(scheme),
        "enrolled_on": _days(enrolled),
        "ended_on": _days(ended),
    }


def _audit(world: World, lives: Livelihoods) -> dict[str, pa.Array]:
    """Return the verified-income audit: a stratified sample with weights, measured with error.

    Strata are district x residence x sex (men, others); the weight is stratum size over sample.
    """
    rng = stream(world.seed, "feeds.audit")
    people, homes = world.workers, world.households
    alive = np.isnat(people.died_on) & ~people.is_over_80
    chosen, weight = _draw_strata(rng, world, np.flatnonzero(alive))
    household = people.household[chosen]
    # One interview a household: two audited members report the same consumption.
    slip = np.exp(rng.normal(0, HOUSEHOLD_ERROR, len(homes.size)))
    consumption = lives.consumption_per_head * homes.size * slip
    income = lives.own_income[chosen] * np.exp(rng.normal(0, INCOME_ERROR, len(chosen)))
    end = month_starts(world.start, world.months)[-1]
    window = min(AUDIT_DAYS, 28 * world.months)
    visited = end - rng.integers(5, window, len(homes.size))
    return {
        "audit_id": pa.array([f"audit-{number:06d}" for number in range(len(chosen))]),
        "worker_id_hash": _hashes(people.hash_hex[chosen]),
        "household_id_hash": _hashes(homes.hash_hex[household]),
        "household_size": pa.array(homes.size[household]),
        "verified_monthly_income_paise": pa.array(_whole_rupees(income)),
        "household_monthly_consumption_paise": pa.array(_whole_rupees(consumption[household])),
        "audited_on": _days(visited[household]),
        "design_weight": pa.array([f"{value:.6f}" for value in weight.tolist()]),
    }


def _whole_rupees(paise: np.ndarray) -> np.ndarray:
    return np.rint(paise / 100).astype(np.int64) * 100


def _draw_strata(
    rng: Generator, world: World, workers: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the audited workers, in order, and their design weights."""
    people = world.workers
    is_man = (people.sex[workers] == 1).astype(int)
    residence = people.residence[workers]
    stratum = (people.district[workers] * 2 + residence) * 2 + is_man
    size = np.bincount(stratum)
    rates = np.tile(AUDIT_RATES.ravel(), len(world.districts.code))[: len(size)]
    wanted = np.minimum(np.maximum(np.rint(size * rates), size > 0), size).astype(int)
    order = np.lexsort((rng.random(len(workers)), stratum))
    first = np.concatenate([[0], np.cumsum(size)[:-1]])
    rank = np.arange(len(workers)) - first[stratum[order]]
    picked = np.sort(order[rank < wanted[stratum[order]]])
    weight = size[stratum[picked]] / wanted[stratum[picked]]
    return workers[picked], weight


def _employer_registry(world: World) -> dict[str, pa.Array]:
    rng = stream(world.seed, "feeds.employers")
    firms, places = world.employers, world.districts
    status = rng.choice(3, len(firms.sector), p=[0.965, 0.02, 0.015])
    nic = tuple(sector.nic for sector in levels.SECTORS)
    return {
        "employer_id_hash": _hashes(firms.hash_hex),
        "sector_nic": _words(nic, firms.sector),
        "state_code": pa.array(places.state_code[firms.district]),
        "district_code": pa.array(places.code[firms.district]),
        "registered_on": _days(firms.registered_on),
        "status": _words(("active", "suspended", "closed"), status),
        "size_class": _words(SIZE_CLASSES, firms.size_class),
    }


def _deaths(world: World) -> dict[str, pa.Array]:
    people = world.workers
    dead = np.flatnonzero(~np.isnat(people.died_on))
    dead = dead[np.argsort(people.died_on[dead], kind="stable")]
    return {
        "worker_id_hash": _hashes(people.hash_hex[dead]),
        "died_on": _days(people.died_on[dead]),
    }


def write_truth(
    out_dir: Path,
    world: World,
    work: Work,
    payrolls: Payrolls,
    lives: Livelihoods,
    outcome: Outcome,
) -> dict[str, int]:
    """Write what is true, apart from the feeds: faults, worker-months, workers, a summary.

    Returns:
        The number of records by fault.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    _write_parquet(out_dir / "faults.parquet", _fault_rows(world, payrolls, outcome))
    _write_parquet(out_dir / "worker_months.parquet", _worker_months(world, work, outcome))
    _write_parquet(out_dir / "workers.parquet", _worker_truth(world, lives))
    counts = {fault: len(rows) for fault, rows in sorted(outcome.faults.items())}
    poor = lives.is_poor[world.workers.household]
    summary = {
        "seed": world.seed,
        "start": world.start,
        "months": world.months,
        "faults": counts,
        "poor_share_of_workers": round(float(poor.mean()), 6),
        "poverty_share_of_mean": POVERTY_SHARE_OF_MEAN,
        "recorded_share_of_household_income": round(
            float(lives.recorded.sum() / (lives.recorded + lives.unrecorded).sum()), 6
        ),
    }
    (out_dir / "summary.json").write_bytes(orjson.dumps(summary, option=orjson.OPT_INDENT_2))
    return counts


def _write_parquet(path: Path, columns: Mapping[str, pa.Array]) -> None:
    pq.write_table(pa.table(dict(columns)), path, compression="zstd")


def _record_ids(world: World, payrolls: Payrolls, outcome: Outcome, rows: np.ndarray) -> list[str]:
    records = outcome.records.take(rows)
    starts: list[date] = month_starts(world.start, world.months).tolist()
    month = payrolls.month[records.payroll].tolist()
    columns = (records.payroll.tolist(), records.sequence.tolist(), records.kind.tolist())
    return [
        record_id(f"{starts[m]:%y%m}".encode(), payroll, sequence, kind).decode()
        for m, payroll, sequence, kind in zip(month, *columns, strict=True)
    ]


def _fault_rows(world: World, payrolls: Payrolls, outcome: Outcome) -> dict[str, pa.Array]:
    """Return one row for each fault and record; names as in ``faults``."""
    rows = np.concatenate([outcome.faults[name] for name in sorted(outcome.faults)])
    names = np.repeat(
        sorted(outcome.faults), [len(outcome.faults[n]) for n in sorted(outcome.faults)]
    )
    records = outcome.records
    factor = outcome.factor[rows]
    return {
        "fault": pa.array(names),
        "record_id": pa.array(_record_ids(world, payrolls, outcome, rows), pa.string()),
        "worker_id_hash": _hashes(world.workers.hash_hex[records.worker[rows]]),
        "employer_id_hash": _hashes(
            world.employers.hash_hex[payrolls.employer[records.payroll[rows]]]
        ),
        "recorded_amount_paise": pa.array(records.amount_paise[rows]),
        "true_amount_paise": pa.array(records.amount_paise[rows] // factor),
        "factor": pa.array(factor),
    }


def _worker_months(world: World, work: Work, outcome: Outcome) -> dict[str, pa.Array]:
    """Return what each worker truly earned and truly received for each month."""
    rows = np.flatnonzero(outcome.is_received)
    received = np.bincount(
        outcome.records.work[rows], work.earned_paise[outcome.records.work[rows]], len(work)
    )
    cell = work.worker * world.months + work.month
    cells, which = np.unique(cell, return_inverse=True)
    starts = month_starts(world.start, world.months)
    return {
        "worker_id_hash": _hashes(world.workers.hash_hex[cells // world.months]),
        "month": pa.array(starts[cells % world.months]),
        "earned_paise": pa.array(np.bincount(which, work.earned_paise).astype(np.int64)),
        "received_paise": pa.array(np.bincount(which, received).astype(np.int64)),
        "days_worked": pa.array(np.bincount(which, work.days).astype(np.int64)),
    }


def _worker_truth(world: World, lives: Livelihoods) -> dict[str, pa.Array]:
    household = world.workers.household

    def paise(values: np.ndarray) -> pa.Array:
        return pa.array(np.rint(values).astype(np.int64))

    return {
        "worker_id_hash": _hashes(world.workers.hash_hex),
        "household_id_hash": _hashes(world.households.hash_hex[household]),
        "own_monthly_income_paise": paise(lives.own_income),
        "household_recorded_paise": paise(lives.recorded[household]),
        "household_unrecorded_paise": paise(lives.unrecorded[household]),
        "consumption_per_head_paise": paise(lives.consumption_per_head[household]),
        "is_poor": pa.array(lives.is_poor[household]),
        "is_ghost": pa.array(world.workers.is_ghost),
    }
