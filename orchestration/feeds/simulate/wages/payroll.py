"""From work to payments: payrolls with their pay days, rails and record numbers, none of it wrong.

What goes wrong afterwards is in ``faults``; how a record looks on the ledger is in ``ledger``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from orchestration.feeds.simulate.wages.activity import Work, financial_years, month_starts
from orchestration.feeds.simulate.wages.columns import Columns
from orchestration.feeds.simulate.wages.world import World, stream

RAILS = ("UPI", "AEPS", "NEFT", "CASH_DECLARED")
UPI, AEPS, NEFT, CASH = range(4)
BATCH = 48  # writes of a payroll transaction at most; employers are small, the mean is near 20
GROUPS_PER_PAYROLL = 10_000
MINUTE = 60_000_000  # microseconds
DAY = 24 * 60 * MINUTE

# What a record is, and the letter that ends its number: payroll runs have none.
RUN, REVERSAL, REPAYMENT, DOUBLE, FORGED = range(5)
SUFFIXES = (b"", b"r", b"p", b"d", b"x")


@dataclass(frozen=True)
class Payrolls(Columns):
    """Payroll runs as arrays of length P, one for each employer and month, ordered by month.

    ``period_from`` and ``period_to`` are days; ``paid_us`` is the time of payment in microseconds
    since 1970; ``policy_year`` the first year of the financial year whose rate it names.
    """

    employer: np.ndarray
    month: np.ndarray
    period_from: np.ndarray
    period_to: np.ndarray
    paid_us: np.ndarray
    policy_year: np.ndarray


@dataclass(frozen=True)
class Records(Columns):
    """Wage records as arrays of length R.

    Attributes:
        work: Row of the true work that the record is about.
        worker: Worker.
        payroll: Payroll run.
        sequence: Number within the payroll run.
        kind: What the record is: RUN, REVERSAL, REPAYMENT, DOUBLE or FORGED.
        days: Days worked as recorded.
        amount_paise: Amount as recorded; negative in reversals.
        rail: Index of RAILS.
        ref: Number of the payment that the record names.
        reverses: Whether the record reverses the payroll run's record of the same number.
        paid_us: Time of payment, microseconds since 1970.
        sent_us: When its transaction was submitted.
        group: The transaction: records of one group are written together.
        validation_code: Fabric's validation code of that transaction, 0 where valid.
    """

    work: np.ndarray
    worker: np.ndarray
    payroll: np.ndarray
    sequence: np.ndarray
    kind: np.ndarray
    days: np.ndarray
    amount_paise: np.ndarray
    rail: np.ndarray
    ref: np.ndarray
    reverses: np.ndarray
    paid_us: np.ndarray
    sent_us: np.ndarray
    group: np.ndarray
    validation_code: np.ndarray


def run_payrolls(world: World, work: Work) -> tuple[Payrolls, Records]:
    """Pay all work: one payroll run for each employer and month.

    Args:
        world: The world.
        work: True work, ordered by month and employer.
    """
    rng = stream(world.seed, "payroll")
    key = work.month * len(world.employers.sector) + work.employer
    _, first, payroll = np.unique(key, return_index=True, return_inverse=True)
    payrolls = _payrolls(rng, world, work.employer[first], work.month[first])
    sequence = np.arange(len(work)) - first[payroll]
    chunk = np.where(world.employers.is_single[work.employer], sequence, sequence // BATCH)
    group = payroll * GROUPS_PER_PAYROLL + chunk
    groups, which = np.unique(group, return_inverse=True)
    delay = rng.integers(2 * MINUTE, 180 * MINUTE, len(groups))[which]
    paid = payrolls.paid_us[payroll]
    size = len(work)
    return payrolls, Records(
        work=np.arange(size),
        worker=work.worker,
        payroll=payroll,
        sequence=sequence,
        kind=np.full(size, RUN),
        days=work.days,
        amount_paise=work.earned_paise,
        rail=_choose_rails(rng, world, work),
        ref=np.arange(size),
        reverses=np.zeros(size, dtype=bool),
        paid_us=paid,
        sent_us=paid + delay,
        group=group,
        validation_code=np.zeros(size, dtype=np.int64),
    )


def _payrolls(rng: Generator, world: World, employer: np.ndarray, month: np.ndarray) -> Payrolls:
    starts = month_starts(world.start, world.months)
    period_to = starts[month + 1] - 1 - world.employers.pay_day_offset[employer]
    office_hours = rng.integers(4 * 60, 12 * 60, len(month)) * MINUTE
    years = financial_years(world.start, world.months)
    is_stale = world.employers.is_stale[employer]
    return Payrolls(
        employer=employer,
        month=month,
        period_from=starts[month],
        period_to=period_to,
        paid_us=period_to.astype(np.int64) * DAY + office_hours + _lag_days(rng, len(month)) * DAY,
        policy_year=np.where(is_stale, years[0], years[month]),
    )


def _lag_days(rng: Generator, size: int) -> np.ndarray:
    """Draw days from the period's end to payment: most within two, 3% after two weeks or more."""
    band = rng.choice(3, size, p=[0.92, 0.05, 0.03])
    low, high = np.array([[0, 4, 15], [3, 13, 46]])
    return rng.integers(low[band], high[band])


def _choose_rails(rng: Generator, world: World, work: Work) -> np.ndarray:
    """Choose rails: a habit of employer and worker, rarely broken.

    Cash where the employer pays so, most of all the least schooled; UPI for the schooled and the
    towns; bank transfer from larger employers; else Aadhaar-enabled withdrawal (AEPS).
    """
    people, firms = world.workers, world.employers
    worker, employer = work.worker, work.employer
    habit = rng.random(len(people.age))[worker]
    draw = np.where(rng.random(len(work)) < 0.06, rng.random(len(work)), habit)
    schooling = people.education[worker]
    cash = np.clip(firms.cash_share[employer] * (1.35 - 0.2 * schooling), 0, 0.95)
    upi = 0.36 + 0.07 * schooling + 0.1 * people.residence[worker]
    upi -= 0.006 * (people.age[worker] - 36)
    neft = 0.12 + 0.08 * firms.size_class[employer]
    rest = 1 - cash
    bounds = np.stack([cash, cash + rest * np.clip(upi, 0.05, 0.8)])
    is_bank = np.where(rng.random(len(people.age))[worker] < neft, NEFT, AEPS)
    return np.where(draw < bounds[0], CASH, np.where(draw < bounds[1], UPI, is_bank))
