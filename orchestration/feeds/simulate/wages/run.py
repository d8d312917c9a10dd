"""Simulate the wage network end to end: the channel's block files, the feeds and the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np

from orchestration.feeds.common import FeedError
from orchestration.feeds.simulate.fabric_network import ChannelSummary, write_channel
from orchestration.feeds.simulate.wages import levels
from orchestration.feeds.simulate.wages.activity import financial_years, simulate_work
from orchestration.feeds.simulate.wages.faults import inject
from orchestration.feeds.simulate.wages.feeds import Feed, write_feeds, write_truth
from orchestration.feeds.simulate.wages.households import live
from orchestration.feeds.simulate.wages.ledger import (
    client_count,
    count_transactions,
    transactions,
)
from orchestration.feeds.simulate.wages.payroll import run_payrolls
from orchestration.feeds.simulate.wages.world import build_world

DEFAULT_START = date(2024, 1, 1)
_PARALLEL_FROM = 5_000  # transactions: below, a second process costs more than it saves


@dataclass(frozen=True)
class WagesSummary:
    """What was simulated.

    Attributes:
        out_dir: Folder that holds ledger/, feeds/ and truth/.
        workers: Number of workers.
        employers: Number of employers.
        districts: Number of districts.
        wage_records: Wage records on the ledger in valid transactions, copies included.
        ledger_bytes: Size of all block files.
        channel: Blocks, transactions, files and head of the channel.
        feeds: The CSV feeds.
        faults: Number of records by injected fault.
    """

    out_dir: Path
    workers: int
    employers: int
    districts: int
    wage_records: int
    ledger_bytes: int
    channel: ChannelSummary
    feeds: tuple[Feed, ...]
    faults: dict[str, int]


def simulate_wages(
    out_dir: Path,
    *,
    seed: int,
    workers: int = 60_000,
    districts: Path,
    start: date = DEFAULT_START,
    months: int = 12,
    progress: Callable[[int, int], None] | None = None,
) -> WagesSummary:
    """Simulate a year (or some months) of the wage network. Same arguments, same bytes.

    Args:
        out_dir: Folder to write ledger/, feeds/ and truth/ into; only the first two may be landed.
        seed: Non-negative integer that decides everything drawn.
        workers: Number of workers, from 1.
        districts: CSV of districts with LGD codes (the policy seed pilot_districts.csv).
        start: First day of the first month; the period must lie in financial years whose notified
            rates are known (April 2023 to March 2025).
        months: Number of months, from 1.
        progress: Called with (transactions written, transactions in all).

    Raises:
        FeedError: The districts file cannot be used, or ``out_dir`` holds files already.
        ValueError: Another argument is out of bounds; the message says which and what is allowed.
    """
    _check(seed, workers, start, months)
    _expect_empty(out_dir)
    world = build_world(seed, workers, districts, start, months)
    work, cash_outside = simulate_work(world)
    lives = live(world, work, cash_outside)
    payrolls, clean = run_payrolls(world, work)
    outcome = inject(world, payrolls, clean)
    records = outcome.records
    total = count_transactions(world, records)
    feeds = write_feeds(out_dir / "feeds", world, lives, outcome)
    faults = write_truth(out_dir / "truth", world, work, payrolls, lives, outcome)
    channel = write_channel(
        out_dir / "ledger",
        transactions(world, payrolls, records),
        seed=seed,
        clients=client_count(world),
        is_parallel=total >= _PARALLEL_FROM,
        progress=None if progress is None else lambda done: progress(done, total),
    )
    return WagesSummary(
        out_dir=out_dir,
        workers=workers,
        employers=len(world.employers.sector),
        districts=len(world.districts.code),
        wage_records=int(np.sum(records.validation_code == 0)),
        ledger_bytes=sum(path.stat().st_size for path in channel.files),
        channel=channel,
        feeds=feeds,
        faults=faults,
    )


def _expect_empty(out_dir: Path) -> None:
    """Refuse a folder with files: block files of two runs together would be no channel."""
    if out_dir.is_dir() and any(out_dir.iterdir()):
        raise FeedError(
            where=str(out_dir),
            expected="a new or empty folder for the simulated network",
            found="a folder that holds files",
            what_to_do="Choose another folder or empty this one.",
        )


def _check(seed: int, workers: int, start: date, months: int) -> None:
    if seed < 0:
        raise ValueError(f"seed: expected an integer from 0; found {seed}. Pass another seed.")
    if workers < 1:
        raise ValueError(f"workers: expected at least 1; found {workers}. Pass a larger number.")
    if months < 1:
        raise ValueError(f"months: expected at least 1; found {months}. Pass a larger number.")
    if start.day != 1:
        raise ValueError(
            f"start: expected the first day of a month; found {start}. Pass {start.replace(day=1)}."
        )
    years = set(financial_years(start, months).tolist()) - set(levels.RATE_YEARS)
    if years:
        known = f"April {levels.RATE_YEARS[0]} to March {levels.RATE_YEARS[-1] + 1}"
        raise ValueError(
            f"start, months: expected a period within {known}, for which notified rates are "
            f"known; found {start} and {months} months. Choose another start or fewer months."
        )
