"""The simulated wage network: its people, payments and mistakes, and the files they leave."""

from __future__ import annotations

import csv
import hashlib
import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import orjson
import pyarrow.parquet as pq
import pytest

from orchestration.feeds.common import FeedError
from orchestration.feeds.simulate.fabric_network import SimTransaction
from orchestration.feeds.simulate.wages import WagesSummary, levels, simulate_wages
from orchestration.feeds.simulate.wages.activity import Work, simulate_work
from orchestration.feeds.simulate.wages.faults import Outcome, inject
from orchestration.feeds.simulate.wages.households import Livelihoods, live
from orchestration.feeds.simulate.wages.ledger import count_transactions, transactions
from orchestration.feeds.simulate.wages.payroll import Payrolls, run_payrolls
from orchestration.feeds.simulate.wages.world import World, build_world

REPOSITORY = Path(__file__).resolve().parents[2]
DISTRICTS = REPOSITORY / "dbt_project" / "seeds" / "policy" / "pilot_districts.csv"
START = date(2024, 1, 1)
HEADERS = {
    "upi_settlements": "settlement_id,payment_ref_hash,amount_paise,status_code,initiated_at,"
    "posted_at",
    "eshram_registry": "worker_id_hash,birth_year,sex,social_category,education,occupation_nco,"
    "is_disabled,is_migrant,state_code,district_code,residence,household_id_hash,registered_on",
    "scheme_enrolments": "worker_id_hash,scheme_id,enrolled_on,ended_on",
    "income_audit": "audit_id,worker_id_hash,household_id_hash,household_size,"
    "verified_monthly_income_paise,household_monthly_consumption_paise,audited_on,design_weight",
    "employer_registry": "employer_id_hash,sector_nic,state_code,district_code,registered_on,"
    "status,size_class",
    "death_register": "worker_id_hash,died_on",
}
WAGE_FIELDS = [
    *("docType", "recordId", "workerIdHash", "employerIdHash", "amountPaise", "currency"),
    *("periodFrom", "periodTo", "daysWorked", "paidAt", "rail", "paymentRefHash", "jobType"),
    *("sector", "skill", "stateCode", "districtCode", "policyVersion", "documentHash", "reverses"),
]


@dataclass(frozen=True)
class Simulated:
    """One simulated year, before it is written."""

    world: World
    work: Work
    lives: Livelihoods
    payrolls: Payrolls
    outcome: Outcome
    transactions: list[SimTransaction]

    @property
    def values(self) -> list[dict]:
        """The wage records of valid transactions, in ledger order."""
        return [
            value
            for transaction in self.transactions
            if transaction.validation_code == 0
            for write in transaction.writes
            if (value := orjson.loads(write.value))["docType"] == "wage"
        ]


def simulate(workers: int, seed: int = 11) -> Simulated:
    world = build_world(seed, workers, DISTRICTS, START, 12)
    work, cash = simulate_work(world)
    payrolls, clean = run_payrolls(world, work)
    outcome = inject(world, payrolls, clean)
    ledger = list(transactions(world, payrolls, outcome.records)) if workers < 5_000 else []
    return Simulated(world, work, live(world, work, cash), payrolls, outcome, ledger)


@pytest.fixture(scope="module")
def small() -> Simulated:
    return simulate(1_200)


@pytest.fixture(scope="module")
def large() -> Simulated:
    return simulate(24_000)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> WagesSummary:
    out = tmp_path_factory.mktemp("wages") / "out"
    return simulate_wages(out, seed=5, workers=200, districts=DISTRICTS)


def rows_of(summary: WagesSummary, feed: str) -> list[dict[str, str]]:
    with (summary.out_dir / "feeds" / f"{feed}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


# What is written


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(
    tmp_path: Path, written: WagesSummary
) -> None:
    again = simulate_wages(tmp_path / "again", seed=5, workers=200, districts=DISTRICTS)
    other = simulate_wages(tmp_path / "other", seed=6, workers=200, districts=DISTRICTS)
    assert digests(again.out_dir) == digests(written.out_dir)
    same = digests(other.out_dir).items() & digests(written.out_dir).items()
    assert not same


def test_feeds_have_exactly_the_agreed_headers(written: WagesSummary) -> None:
    for feed in written.feeds:
        lines = feed.path.read_bytes().split(b"\n")
        assert lines[0].decode() == HEADERS[feed.dataset.removeprefix("raw_wages__")]
        assert len(lines) == feed.rows + 2
    assert {feed.path.stem for feed in written.feeds} == set(HEADERS)


def test_the_truth_is_kept_apart_from_ledger_and_feeds(written: WagesSummary) -> None:
    assert sorted(path.name for path in written.out_dir.iterdir()) == ["feeds", "ledger", "truth"]
    faults = pq.read_table(written.out_dir / "truth" / "faults.parquet").to_pylist()
    counts = Counter(row["fault"] for row in faults)
    assert {fault: counts[fault] for fault in written.faults} == written.faults
    for path in (written.out_dir / "feeds").iterdir():
        assert b"ghost" not in path.read_bytes()


def test_progress_ends_with_all_transactions(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    summary = simulate_wages(
        tmp_path / "out",
        seed=1,
        workers=40,
        districts=DISTRICTS,
        months=2,
        progress=lambda done, total: seen.append((done, total)),
    )
    done, total = seen[-1]
    assert total > 0
    # The channel's own set-up (genesis, chaincode definition) is not the wage network's.
    assert 0 <= done - total <= 2
    assert summary.channel.transactions == done


def test_no_feed_and_no_record_holds_a_twelve_digit_number(
    small: Simulated, written: WagesSummary
) -> None:
    token = re.compile(rb"(?<![0-9A-Za-z_+/=-])\d(?:[ -]?\d){11}(?![0-9A-Za-z_+/=-])")
    for path in (written.out_dir / "feeds").iterdir():
        without_times = re.sub(rb"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\dZ)?", b"", path.read_bytes())
        assert not token.search(without_times)
    for transaction in small.transactions[-500:]:
        for part in (*transaction.args, *(write.value for write in transaction.writes)):
            assert not token.search(re.sub(rb"\d{4}-\d\d-\d\d(T\d\d:\d\d:\d\dZ)?", b"", part))


# Wrong use


@pytest.mark.parametrize(
    ("wrong", "part"),
    [
        ({"seed": -1}, "seed: expected an integer from 0; found -1"),
        ({"workers": 0}, "workers: expected at least 1; found 0"),
        ({"months": 0}, "months: expected at least 1; found 0"),
        ({"start": date(2024, 1, 15)}, "expected the first day of a month"),
        ({"start": date(2022, 4, 1)}, "within April 2023 to March 2025"),
        ({"months": 16}, "found 2024-01-01 and 16 months"),
    ],
)
def test_arguments_out_of_bounds_are_refused(tmp_path: Path, wrong: dict, part: str) -> None:
    arguments = {"seed": 1, "workers": 50, "districts": DISTRICTS} | wrong
    with pytest.raises(ValueError, match=re.escape(part)):
        simulate_wages(tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (None, "expected a readable CSV file of districts"),
        ("", "found 0 rows with no columns"),
        ("state_code,district_code\n9,118\n", "found 1 rows with district_code, state_code"),
        ("state_code,district_code,district_name\n", "found 0 rows"),
        ("state_code,district_code,district_name\n3,30,Amritsar\n", "found states [3]"),
        ("state_code,district_code,district_name\n9,a,Agra\n", "whole numbers"),
        ("\udcff", "not UTF-8"),
    ],
)
def test_a_districts_file_that_cannot_be_used_is_one_clear_error(
    tmp_path: Path, content: str | None, part: str
) -> None:
    path = tmp_path / "districts.csv"
    if content is not None:
        path.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(FeedError) as raised:
        simulate_wages(tmp_path / "out", seed=1, workers=50, districts=path)
    assert part in str(raised.value)


def test_a_folder_with_files_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "kept.txt").write_text("mine")
    with pytest.raises(FeedError, match="expected a new or empty folder"):
        simulate_wages(tmp_path, seed=1, workers=50, districts=DISTRICTS)
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_one_worker_in_one_month_is_a_world(tmp_path: Path) -> None:
    summary = simulate_wages(
        tmp_path / "out", seed=3, workers=1, districts=DISTRICTS, start=date(2024, 4, 1), months=1
    )
    assert (summary.workers, summary.districts) == (1, 1)


# The ledger


def test_transactions_come_in_the_order_of_time_and_as_many_as_announced(small: Simulated) -> None:
    times = [transaction.submitted_at for transaction in small.transactions]
    assert times == sorted(times)
    assert all(time.tzinfo is UTC for time in times[:10])
    assert len(times) == count_transactions(small.world, small.outcome.records)


def test_the_calls_of_the_chaincode_all_occur(small: Simulated) -> None:
    functions = Counter(transaction.function for transaction in small.transactions)
    assert set(functions) == {
        "registerEmployer",
        "recordWageBatch",
        "recordWage",
        "updateBPLStatus",
    }
    assert functions["registerEmployer"] == len(small.world.employers.sector)
    assert functions["updateBPLStatus"] == 12


def test_a_wage_record_has_exactly_the_fields_of_the_ledger(small: Simulated) -> None:
    for value in small.values:
        assert list(value) == WAGE_FIELDS
        assert re.fullmatch(r"[0-9a-f]{64}", value["workerIdHash"])
        assert re.fullmatch(r"[0-9a-f]{64}", value["paymentRefHash"])
        assert isinstance(value["amountPaise"], int)
        assert (isinstance(value["stateCode"], int), value["currency"]) == (True, "INR")
        assert value["rail"] in ("UPI", "AEPS", "NEFT", "CASH_DECLARED")
        assert 1 <= value["daysWorked"] <= 26
        assert value["policyVersion"] in ("mgnrega-2023-24", "mgnrega-2024-25")
        assert datetime.fromisoformat(value["paidAt"]).date() >= date.fromisoformat(
            value["periodTo"]
        )


def test_keys_are_composite_and_name_their_record(small: Simulated) -> None:
    for transaction in small.transactions:
        for write in transaction.writes:
            value = orjson.loads(write.value)
            kind = value["docType"]
            field = {"wage": "recordId", "employer": "employerIdHash", "status": "workerIdHash"}
            assert write.key == f"\x00{kind}\x00{value[field[kind]]}\x00"


def test_employers_register_before_they_pay(small: Simulated) -> None:
    registered: set[str] = set()
    for transaction in small.transactions:
        for write in transaction.writes:
            value = orjson.loads(write.value)
            if value["docType"] == "employer":
                registered.add(value["employerIdHash"])
            elif value["docType"] == "wage":
                assert value["employerIdHash"] in registered


def test_arguments_are_json_with_one_row_for_each_record(small: Simulated) -> None:
    for transaction in small.transactions:
        if transaction.function.startswith("recordWage"):
            (argument,) = transaction.args
            call = orjson.loads(argument)
            assert len(call["records"]) == len(transaction.writes)
            amounts = [orjson.loads(write.value)["amountPaise"] for write in transaction.writes]
            assert [row[2] for row in call["records"]] == amounts


# What goes wrong


def by_id(values: list[dict]) -> dict[str, list[dict]]:
    found: dict[str, list[dict]] = {}
    for value in values:
        found.setdefault(value["recordId"], []).append(value)
    return found


def test_exact_duplicates_are_the_same_value_under_the_same_number(small: Simulated) -> None:
    repeated = [same for same in by_id(small.values).values() if len(same) > 1]
    assert len(repeated) == len(small.outcome.faults["exact_duplicate"])
    assert all(first == second for first, second in repeated)


def test_reversals_name_a_record_of_the_same_worker_and_take_back_its_amount(
    small: Simulated,
) -> None:
    records = by_id(small.values)
    reversals = [value for value in small.values if value["reverses"]]
    assert len(reversals) == len(small.outcome.faults["reversal"])
    for reversal in reversals:
        original = records[reversal["reverses"]][0]
        assert original["workerIdHash"] == reversal["workerIdHash"]
        assert original["amountPaise"] == -reversal["amountPaise"]
        assert original["paymentRefHash"] != reversal["paymentRefHash"]
        assert original["paidAt"] < reversal["paidAt"]


def test_double_records_share_the_payment_of_another_record(small: Simulated) -> None:
    doubles = [value for value in small.values if value["recordId"].endswith("d")]
    assert len(doubles) == len(small.outcome.faults["double_record"])
    for double in doubles:
        (original,) = by_id(small.values)[double["recordId"][:-1]]
        assert {k: v for k, v in double.items() if k != "recordId"} == {
            k: v for k, v in original.items() if k != "recordId"
        }


def test_writes_of_invalid_transactions_are_forged_or_repeated_by_a_valid_one(
    small: Simulated,
) -> None:
    valid = by_id(small.values)
    codes = set()
    for transaction in small.transactions:
        for write in transaction.writes if transaction.validation_code else ():
            value = orjson.loads(write.value)
            codes.add(transaction.validation_code)
            is_repeated = value["recordId"] in valid
            assert is_repeated == (transaction.validation_code == 11)
    assert codes == {10, 11}


def test_wrong_units_multiply_what_was_earned(small: Simulated) -> None:
    outcome, rows = small.outcome, small.outcome.faults["wrong_unit"]
    true = small.work.earned_paise[outcome.records.work[rows]]
    assert set(outcome.factor[rows].tolist()) <= {26, 30, 100}
    assert (outcome.records.amount_paise[rows] == true * outcome.factor[rows]).all()


def test_ghosts_are_paid_for_months_after_their_death_and_only_they(large: Simulated) -> None:
    people, records = large.world.workers, large.outcome.records
    begins = large.payrolls.period_from[records.payroll]
    after = begins > people.died_on[records.worker]
    assert after.any()
    assert people.is_ghost[records.worker[after]].all()
    assert not np.isnat(people.died_on[people.is_ghost]).any()


def test_stale_employers_pay_the_old_rate_under_the_old_version(large: Simulated) -> None:
    payrolls = large.payrolls
    rows = large.outcome.faults["stale_rate"]
    assert len(rows)
    runs = large.outcome.records.payroll[rows]
    assert (payrolls.policy_year[runs] == 2023).all()
    assert (payrolls.period_from[runs] >= np.datetime64("2024-04-01")).all()


def test_round_number_employers_pay_whole_fifties(large: Simulated) -> None:
    is_round = large.world.employers.rounds[large.work.employer]
    assert (large.work.daily_paise[is_round] % 5_000 == 0).all()
    assert (large.work.daily_paise[~is_round] % 5_000 == 0).mean() < 0.3


def test_settlements_join_by_payment_and_show_the_amount_truly_paid(small: Simulated) -> None:
    outcome = small.outcome
    records, table = outcome.records, outcome.settlements
    assert (records.rail[table.record] == 0).all()
    assert (records.ref[table.record] == table.ref).all()
    assert (
        table.amount_paise * outcome.factor[table.record] == records.amount_paise[table.record]
    ).all()
    posted = table.posted_us >= 0
    assert (table.posted_us[posted] > table.initiated_us[posted]).all()


def test_each_upi_record_is_on_the_settlement_feed(written: WagesSummary) -> None:
    rows = rows_of(written, "upi_settlements")
    ids = Counter(row["settlement_id"] for row in rows)
    assert max(ids.values()) == 2  # exact duplicate delivery
    codes = {row["status_code"] for row in rows}
    assert "00" in codes
    assert all(row["posted_at"] for row in rows if row["status_code"] == "00")


# What is believable


def test_household_poverty_is_neither_rare_nor_readable_from_the_ledger(large: Simulated) -> None:
    poor = large.lives.is_poor[large.world.workers.household]
    assert 0.15 <= poor.mean() <= 0.25
    recorded = np.bincount(large.work.worker, large.work.earned_paise, len(poor))
    ranks = np.argsort(np.argsort(-recorded)) + 1
    positives = poor.sum()
    area = (ranks[poor].sum() - positives * (positives + 1) / 2) / (
        positives * (len(poor) - positives)
    )
    assert 0.60 <= area <= 0.75
    income = large.lives.recorded + large.lives.unrecorded
    assert 0.3 <= large.lives.recorded.sum() / income.sum() <= 0.5


def test_mean_consumption_stays_near_its_published_level(large: Simulated) -> None:
    ratio = large.lives.consumption_per_head.sum() / large.lives.mean_per_head.sum()
    assert abs(ratio - levels.WORKER_HOUSEHOLD_CONSUMPTION_LEVEL) < 0.02


def test_shares_below_the_notified_rate_differ_between_states(large: Simulated) -> None:
    work, world = large.work, large.world
    state = world.districts.state_code[world.employers.district[work.employer]]
    rates = np.array([levels.STATES[code].notified_inr for code in state.tolist()])
    rate = np.where(work.month < 3, rates[:, 0], rates[:, 1])
    is_unskilled = world.workers.skill[work.worker] == 0
    below = work.daily_paise < 100 * rate
    shares = [below[is_unskilled & (state == code)].mean() for code in levels.STATES]
    assert 0.0 < min(shares) < 0.08
    assert 0.25 < max(shares) < 0.45


def test_women_earn_less_a_day_wherever_plfs_says_so(large: Simulated) -> None:
    work, people = large.work, large.world.workers
    is_man = people.sex[work.worker] == 1
    ratio = work.daily_paise[~is_man].mean() / work.daily_paise[is_man].mean()
    assert 0.6 < ratio < 0.85


def test_work_dips_in_the_monsoon_and_most_months_are_paid(large: Simulated) -> None:
    by_month = np.bincount(large.work.month, minlength=12)
    assert by_month[6:9].mean() < 0.95 * by_month[:6].mean()
    cells = np.unique(large.work.worker * 12 + large.work.month)
    assert 0.72 < len(cells) / (12 * len(large.world.workers.age)) < 0.85


def test_workers_follow_e_shram(large: Simulated) -> None:
    people = large.world.workers
    shares = np.bincount(people.social, minlength=4) / len(people.social)
    assert np.allclose(shares, np.array(levels.SOCIAL_SHARES) / 100.2, atol=0.02)
    assert abs((people.sex == 0).mean() - 0.53) < 0.015
    assert abs(((people.age >= 18) & (people.age < 40)).mean() - 0.5946) < 0.03


def test_payroll_batches_hold_about_twenty_records(large: Simulated) -> None:
    records = large.outcome.records
    groups = np.bincount(np.unique(records.group[records.kind == 0], return_inverse=True)[1])
    assert 12 < groups.mean() < 25
    assert groups.max() <= 48


def test_design_weights_add_up_to_the_living_workers(written: WagesSummary) -> None:
    audit = rows_of(written, "income_audit")
    dead = {row["worker_id_hash"] for row in rows_of(written, "death_register")}
    total = sum(float(row["design_weight"]) for row in audit)
    assert abs(total - (200 - len(dead) - 1)) <= 1.001  # one of the 200 is registered as over 80
    assert len({row["worker_id_hash"] for row in audit}) == len(audit)
    assert not dead & {row["worker_id_hash"] for row in audit}
    assert all("2024-10-01" <= row["audited_on"] <= "2024-12-31" for row in audit)


def test_members_of_one_household_report_one_consumption(written: WagesSummary) -> None:
    answers: dict[str, set[str]] = {}
    for row in rows_of(written, "income_audit"):
        answers.setdefault(row["household_id_hash"], set()).add(
            row["household_monthly_consumption_paise"] + "/" + row["household_size"]
        )
    assert all(len(answer) == 1 for answer in answers.values())


def test_worker_months_of_the_truth_add_up_to_what_was_earned(written: WagesSummary) -> None:
    months = pq.read_table(written.out_dir / "truth" / "worker_months.parquet").to_pandas()
    workers = pq.read_table(written.out_dir / "truth" / "workers.parquet").to_pandas()
    household = workers.drop_duplicates("household_id_hash")
    assert abs(months.earned_paise.sum() / 12 - household.household_recorded_paise.sum()) < 200
    assert (months.received_paise <= months.earned_paise).all()


# Published figures


@pytest.mark.shared_data
def test_levels_are_the_figures_of_the_fact_files(shared_data: Path) -> None:
    facts = shared_data.parent / "facts"
    with DISTRICTS.open() as file:
        states = {row["state_iso"]: row for row in csv.DictReader(file)}
    with (facts / "plfs_casual_daily_wage_2020q1.csv").open() as file:
        plfs = {row["iso_state"]: row for row in csv.DictReader(file)}
    with (facts / "hces_mpce.csv").open() as file:
        hces = {row["state"]: row for row in csv.DictReader(file)}
    with (facts / "mgnrega_wages.csv").open() as file:
        notified = {(row["area"], row["fin_year"]): row for row in csv.DictReader(file)}
    for iso, row in states.items():
        level = levels.STATES[int(row["state_code"])]
        name = row["state_name"]
        columns = ("rural_male", "rural_female", "urban_male", "urban_female")
        wages = plfs[{"OD": "OR"}.get(iso, iso)]
        assert level.casual_daily_inr == tuple(float(wages[column]) for column in columns)
        rates = tuple(int(notified[name, year]["rate"]) for year in ("2023-24", "2024-25"))
        assert level.notified_inr == rates
        if name in hces:
            means = (hces[name]["rural_2023_24"], hces[name]["urban_2023_24"])
            assert level.mpce_inr == tuple(int(mean) for mean in means)
    assert {row["state_name"] for row in states.values()} - set(hces) == {
        "Uttar Pradesh",
        "West Bengal",
    }


@pytest.mark.parametrize(
    ("day", "version"),
    [
        (date(2024, 3, 31), "mgnrega-2023-24"),
        (date(2024, 4, 1), "mgnrega-2024-25"),
        (date(2025, 3, 31), "mgnrega-2024-25"),
        (date(1999, 4, 1), "mgnrega-1999-00"),
    ],
)
def test_a_rate_is_named_after_its_financial_year(day: date, version: str) -> None:
    assert levels.policy_version(levels.financial_year(day)) == version
