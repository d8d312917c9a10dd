"""What goes wrong with payments and records, in a first form, each with its truth.

After facts/feed_faults.csv: exact duplicates, late and deemed postings, reversals, wrong units,
ghost workers, round-number employers and stale rates. (The last three are properties of workers
and employers in ``world``; here they are only written down.) The truth never enters a feed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.random import Generator

from orchestration.feeds.simulate.wages.columns import Columns
from orchestration.feeds.simulate.wages.payroll import (
    DAY,
    DOUBLE,
    FORGED,
    GROUPS_PER_PAYROLL,
    MINUTE,
    REPAYMENT,
    REVERSAL,
    UPI,
    Payrolls,
    Records,
)
from orchestration.feeds.simulate.wages.world import World, stream

# Shares of payroll records. Exact duplicates: 0.1% of rows (facts/feed_faults.csv); the others
# are set so that each fault is found a few hundred times in the default sample.
UNIT_ERRORS = 0.0015
UNIT_FACTORS = (26, 30, 100)
DUPLICATES = 0.001
DOUBLES = 0.0005
RETURNED = 0.002  # bank and AEPS payments sent back
DEEMED = 0.009  # of UPI payments
FAILED = 0.008
PENDING = 0.005
REPAIRED = 0.8  # of failed payments: reversed and paid again
CREDITED = 0.8  # of deemed payments
INVALID_TRANSACTIONS = 0.005
ENDORSEMENT_POLICY_FAILURE = 10
MVCC_READ_CONFLICT = 11

# facts/upi_codes.csv
FAILED_CODES = ("Z9", "Z8", "ZH", "ZY", "YF", "XI", "B1", "B6", "U30")
DEEMED_CODES = ("RB", "96")
PENDING_CODES = ("01", "UP", "UB")
STATUS_CODES = ("00", *DEEMED_CODES, *FAILED_CODES, *PENDING_CODES)


@dataclass(frozen=True)
class Settlements(Columns):
    """UPI settlements as arrays of length S; times in microseconds since 1970, -1 = not posted."""

    record: np.ndarray
    ref: np.ndarray
    amount_paise: np.ndarray
    status: np.ndarray
    initiated_us: np.ndarray
    posted_us: np.ndarray


@dataclass(frozen=True)
class Outcome:
    """All records and settlements, mistakes included, and what is true of them.

    Attributes:
        records: Payroll records first, in order, then all that were added.
        settlements: UPI settlements.
        faults: Name of each fault to the rows of ``records`` it concerns.
        factor: By what each record's amount was multiplied; 1 where right, shape (R,).
        is_received: Whether the worker truly got the money of this record and it is no copy,
            reversal or forgery, shape (R,).
    """

    records: Records
    settlements: Settlements
    faults: dict[str, np.ndarray]
    factor: np.ndarray
    is_received: np.ndarray


def inject(world: World, payrolls: Payrolls, records: Records) -> Outcome:
    """Inject every fault into payroll records that were right."""
    rng = stream(world.seed, "faults")
    size = len(records)
    picks = _pick_apart(rng, size, (UNIT_ERRORS, DUPLICATES, DOUBLES))
    units, copied, doubled = picks
    factor = np.ones(size, dtype=np.int64)
    factor[units] = rng.choice(UNIT_FACTORS, len(units))
    is_free = np.ones(size, dtype=bool)
    is_free[np.concatenate(picks)] = False
    status, posted = _settle(rng, records, is_free)
    lost, repaid = _undo(rng, records, status, posted, is_free)
    wrong = replace(records, amount_paise=records.amount_paise * factor)
    added = [
        _reversals(rng, wrong, repaid),
        _repayments(rng, wrong, repaid),
        _copies(rng, wrong, copied),
        _doubles(rng, wrong, doubled),
        *_invalid(rng, wrong),
    ]
    everything = Records.concat([wrong, *added])
    is_run_received = np.ones(size, dtype=bool)
    is_run_received[np.concatenate([lost, repaid])] = False
    counts = np.cumsum([size, *(len(table) for table in added)])
    spans = [np.arange(low, high) for low, high in pairwise(counts.tolist())]
    is_received = np.zeros(len(everything), dtype=bool)
    is_received[:size] = is_run_received
    is_received[spans[1]] = True
    names = ("reversal", "repayment", "exact_duplicate", "double_record", "mvcc_copy", "forged")
    faults = {
        "wrong_unit": units,
        "unsettled": lost,
        "late_posting": _late(status, posted, records),
    }
    faults.update(zip(names, spans, strict=True))
    faults.update(_standing(world, payrolls, everything, size))
    full_factor = np.ones(len(everything), dtype=np.int64)
    full_factor[:size] = factor
    settlements = _settlements(rng, records, status, posted, everything.take(spans[1]), spans[1])
    return Outcome(everything, settlements, faults, full_factor, is_received)


def _pick_apart(rng: Generator, size: int, shares: tuple[float, ...]) -> list[np.ndarray]:
    """Pick disjoint random rows, at least one for each share where there are rows enough."""
    order = rng.permutation(size)
    ends = np.cumsum([0, *(max(1, round(size * share)) for share in shares)])
    return [np.sort(order[low:high]) for low, high in pairwise(ends.tolist())]


def _settle(rng: Generator, records: Records, is_free: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Settle UPI payments: index of STATUS_CODES (-1 for other rails) and time of posting."""
    size = len(records)
    is_upi = records.rail == UPI
    draw = np.where(is_free, rng.random(size), 1.0)
    bounds = np.cumsum([DEEMED, FAILED, PENDING])
    kind = np.digitize(draw, bounds)  # 0 deemed, 1 failed, 2 pending, 3 success
    choices = (DEEMED_CODES, FAILED_CODES, PENDING_CODES, ("00",))
    status = np.full(size, -1)
    for number, codes in enumerate(choices):
        rows = is_upi & (kind == number)
        picked = rng.integers(0, len(codes), int(rows.sum()))
        status[rows] = np.array([STATUS_CODES.index(code) for code in codes])[picked]
    seconds = np.array([(86_400 * 1.2, 86_400 * 6), (1, 2), (600, 100_000), (1, 90)])
    wait = rng.uniform(seconds[kind, 0], seconds[kind, 1])
    is_posted = is_upi & (kind != 1) & ~((kind == 0) & (rng.random(size) > CREDITED))
    started = records.paid_us + 1_000_000 * (records.sequence + 1)
    posted = np.where(is_posted, started + (wait * 1e6).astype(np.int64), -1)
    return status, posted


def _undo(
    rng: Generator, records: Records, status: np.ndarray, posted: np.ndarray, is_free: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return rows whose money never came, and rows that were reversed and paid again."""
    size = len(records)
    not_posted = (records.rail == UPI) & (posted < 0)
    is_failed = np.isin(status, [STATUS_CODES.index(code) for code in FAILED_CODES])
    is_lost = not_posted & is_failed & (rng.random(size) > REPAIRED)
    is_bank = np.isin(records.rail, (1, 2)) & is_free
    is_returned = is_bank & (rng.random(size) < RETURNED)
    return np.flatnonzero(is_lost), np.flatnonzero((not_posted & ~is_lost) | is_returned)


def _extra_group(records: Records, slot: int) -> np.ndarray:
    """Return the transaction of added records: one for each payroll run and slot."""
    return records.payroll * GROUPS_PER_PAYROLL + GROUPS_PER_PAYROLL - 10 + slot


def _later(rng: Generator, records: Records, low_days: float, high_days: float) -> np.ndarray:
    """Draw one later time for each payroll run of the records, in office hours' spread."""
    runs, which = np.unique(records.payroll, return_inverse=True)
    delay = rng.integers(int(low_days * DAY), int(high_days * DAY), len(runs))
    return records.paid_us + (delay[which] // MINUTE) * MINUTE


def _reversals(rng: Generator, records: Records, rows: np.ndarray) -> Records:
    """Reverse records: the same number of days, the negative amount, its own payment reference."""
    chosen = records.take(rows)
    paid = _later(rng, chosen, 2, 9)
    return replace(
        chosen,
        kind=np.full(len(rows), REVERSAL),
        amount_paise=-chosen.amount_paise,
        ref=len(records) + chosen.ref,
        reverses=np.ones(len(rows), dtype=bool),
        paid_us=paid,
        sent_us=paid + 5 * MINUTE,
        group=_extra_group(chosen, 0),
    )


def _repayments(rng: Generator, records: Records, rows: np.ndarray) -> Records:
    """Pay reversed records again, for the same period, after the reversal."""
    chosen = records.take(rows)
    paid = _later(rng, chosen, 10, 14)
    return replace(
        chosen,
        kind=np.full(len(rows), REPAYMENT),
        ref=2 * len(records) + chosen.ref,
        paid_us=paid,
        sent_us=paid + 30 * MINUTE,
        group=_extra_group(chosen, 1),
    )


def _copies(rng: Generator, records: Records, rows: np.ndarray) -> Records:
    """Write records again under the same number: every byte of the value is the same."""
    chosen = records.take(rows)
    return replace(chosen, sent_us=_later(rng, chosen, 1, 6), group=_extra_group(chosen, 2))


def _doubles(rng: Generator, records: Records, rows: np.ndarray) -> Records:
    """Record the same payment a second time under a number of its own."""
    chosen = records.take(rows)
    return replace(
        chosen,
        kind=np.full(len(rows), DOUBLE),
        sent_us=_later(rng, chosen, 1, 6),
        group=_extra_group(chosen, 3),
    )


def _invalid(rng: Generator, records: Records) -> tuple[Records, Records]:
    """Add invalid transactions, whose writes must not count.

    Returns:
        Copies refused for a read conflict shortly before the valid transaction, and forged
        payrolls refused for their endorsements.
    """
    groups = np.unique(records.group)
    count = max(2, round(len(groups) * INVALID_TRANSACTIONS))
    chosen = rng.choice(groups, min(count, len(groups)), replace=False)
    conflict = records.take(np.isin(records.group, chosen[::2]))
    forged = records.take(np.isin(records.group, chosen[1::2]))
    return (
        replace(
            conflict,
            sent_us=conflict.sent_us - MINUTE,
            group=-1 - conflict.group,
            validation_code=np.full(len(conflict), MVCC_READ_CONFLICT),
        ),
        replace(
            forged,
            kind=np.full(len(forged), FORGED),
            amount_paise=forged.amount_paise * 3 // 2,
            ref=3 * len(records) + forged.ref,
            sent_us=forged.sent_us + 90 * MINUTE,
            group=-1 - forged.group,
            validation_code=np.full(len(forged), ENDORSEMENT_POLICY_FAILURE),
        ),
    )


def _late(status: np.ndarray, posted: np.ndarray, records: Records) -> np.ndarray:
    """Return records posted more than a day after they were paid, the deemed ones."""
    return np.flatnonzero((status >= 0) & (posted > records.paid_us + DAY))


def _standing(
    world: World, payrolls: Payrolls, records: Records, size: int
) -> dict[str, np.ndarray]:
    """Name the payroll records touched by ghosts, round-number employers and stale rates."""
    people, firms = world.workers, world.employers
    employer = payrolls.employer[records.payroll[:size]]
    worker = records.worker[:size]
    begins = payrolls.period_from[records.payroll[:size]]
    after_death = people.is_ghost[worker] & (begins > people.died_on[worker])
    years = payrolls.policy_year[records.payroll[:size]]
    is_stale = firms.is_stale[employer] & (
        years < _years_in_force(payrolls)[records.payroll[:size]]
    )
    return {
        "ghost_after_death": np.flatnonzero(after_death),
        "ghost_over_80": np.flatnonzero(people.is_over_80[worker]),
        "round_number_employer": np.flatnonzero(firms.rounds[employer]),
        "stale_rate": np.flatnonzero(is_stale),
    }


def _years_in_force(payrolls: Payrolls) -> np.ndarray:
    """Return the first year of the financial year that each payroll's period lies in."""
    year = payrolls.period_from.astype("datetime64[Y]").astype(int) + 1970
    month = payrolls.period_from.astype("datetime64[M]").astype(int) % 12 + 1
    return np.where(month >= 4, year, year - 1)


def _settlements(
    rng: Generator,
    records: Records,
    status: np.ndarray,
    posted: np.ndarray,
    repaid: Records,
    repaid_rows: np.ndarray,
) -> Settlements:
    """Return the UPI feed's rows in the order of initiation; a settlement shows the true amount."""
    runs = np.flatnonzero(records.rail == UPI)
    again = np.flatnonzero(repaid.rail == UPI)
    started = records.paid_us[runs] + 1_000_000 * (records.sequence[runs] + 1)
    started_again = repaid.paid_us[again] + 1_000_000 * (repaid.sequence[again] + 1)
    wait = rng.integers(1_000_000, 90_000_000, len(again))
    table = Settlements(
        record=np.concatenate([runs, repaid_rows[again]]),
        ref=np.concatenate([records.ref[runs], repaid.ref[again]]),
        amount_paise=np.concatenate([records.amount_paise[runs], repaid.amount_paise[again]]),
        status=np.concatenate([status[runs], np.zeros(len(again), dtype=np.int64)]),
        initiated_us=np.concatenate([started, started_again]),
        posted_us=np.concatenate([posted[runs], started_again + wait]),
    )
    return table.take(np.lexsort((table.record, table.initiated_us)))
