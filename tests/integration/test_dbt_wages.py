"""dbt on a small lake: the marts equal those of an independent oracle, contracts equal dbt.

The lake holds a few hundred ledger writes with every situation the models decide about. The oracle
walks the same records in plain Python and shares no code with the models.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from data_contracts import arrow_schema, load_contracts
from data_contracts.dbt import compare_with_dbt
from data_contracts.expectations import validate

PROJECT = Path(__file__).resolve().parents[2] / "dbt_project"
CONTRACTS = load_contracts()
CURATED = [c for n, c in CONTRACTS.items() if n.startswith(("fct_wages", "dim_wages", "rel_wages"))]
DISTRICTS = [(9, 118), (9, 125), (32, 554), (27, 490)]
RATES = {9: (23000, 23700), 32: (33300, 34600), 27: (27300, 29700)}  # to and from 1 April 2024
LINES = {(32, "rural"): 396660, (32, "urban"): 466980, (27, "rural"): 248700, (27, "urban"): 441780}
LINES |= {(9, "rural"): 208860, (9, "urban"): 323700}
CUTOFF = date(2024, 12, 31)
SKILLS = ("unskilled", "unskilled", "semi_skilled", "skilled")


def keyed(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


WORKERS = [keyed(f"worker {i}") for i in range(30)]
EMPLOYERS = [keyed(f"employer {i}") for i in range(5)]
DIED = {WORKERS[0]: date(2024, 5, 20)}


class Lake:
    """Records of a small ledger and its feeds; plain lists that tests and oracle read."""

    def __init__(self) -> None:
        rng = np.random.default_rng(20240401)
        self.records: list[dict[str, Any]] = []  # in ledger order
        self.settlements: list[tuple[str, str, datetime, datetime | None]] = []
        for worker in range(len(WORKERS)):
            for month in range(1, 13):
                if rng.random() < 0.8:
                    self._pay(rng, worker, month)
                if rng.random() < 0.15:
                    self._pay(rng, worker, month)
        self._faults()

    def _pay(self, rng: np.random.Generator, worker: int, month: int) -> None:
        state, district = DISTRICTS[int(rng.integers(0, 4)) if rng.random() < 0.1 else worker % 4]
        days = int(rng.integers(4, 26))
        paid = datetime(2024, month, 28, 9, 30, tzinfo=UTC)
        rail = str(rng.choice(["UPI", "UPI", "NEFT", "AEPS", "CASH_DECLARED"]))
        name = f"r{len(self.records):05d}"
        ref = None if rail == "CASH_DECLARED" else keyed(f"ref {name}")
        daily = int(rng.choice([20000, 22950, 23000, 25000, 30000, 34550]))
        self.records.append(
            {
                "docType": "wage",
                "recordId": name,
                "workerIdHash": WORKERS[worker],
                "employerIdHash": EMPLOYERS[int(rng.integers(0, 5))],
                "amountPaise": daily * days,
                "currency": "INR",
                "periodFrom": f"2024-{month:02d}-01",
                "periodTo": f"2024-{month:02d}-28",
                "daysWorked": days,
                "paidAt": paid.isoformat().replace("+00:00", "Z"),
                "rail": rail,
                "paymentRefHash": ref,
                "jobType": "9211",
                "sector": ("01", "41", "14", "97")[worker % 4],
                "skill": SKILLS[int(rng.integers(0, 4))],
                "stateCode": state,
                "districtCode": district,
                "policyVersion": "2024",
                "documentHash": None,
                "reverses": None,
            }
        )
        if rail == "UPI" and ref and rng.random() < 0.95:
            self._settle(rng, ref, paid)

    def _settle(self, rng: np.random.Generator, ref: str, paid: datetime) -> None:
        kind = float(rng.random())
        if kind < 0.06:
            late = paid + timedelta(days=3) if rng.random() < 0.6 else None
            self.settlements.append((ref, "RB", paid, late))
        elif kind < 0.12:
            self.settlements.append((ref, "Z9", paid, None))
        elif kind < 0.16:
            self.settlements.append((ref, "UP", paid, None))
        elif kind < 0.18:
            self.settlements.append((ref, "QQ", paid, None))
        else:
            self.settlements.append((ref, "00", paid, paid + timedelta(seconds=20)))

    def _faults(self) -> None:
        plain = [r for r in self.records if r["rail"] == "NEFT"]
        for factor, record in zip((26, 30, 100), plain[:3], strict=True):
            record["amountPaise"] *= factor
        plain[3]["amountPaise"] //= 100
        for number, record in enumerate(plain[4:7]):
            self.records.append({**record, "recordId": f"double{number}"})
        for number, (record, share) in enumerate(
            [(plain[7], 1), (plain[8], 1), (plain[8], 1), (plain[9], 2)]
        ):
            amount = -(record["amountPaise"] // share)
            self.records.append(
                {
                    **record,
                    "recordId": f"undo{number}",
                    "amountPaise": amount,
                    "reverses": record["recordId"],
                    "paymentRefHash": keyed(f"undo {number}"),
                    "paidAt": "2025-01-07T10:00:00Z" if number == 0 else record["paidAt"],
                }
            )
        stray = {"recordId": "undo-stray", "reverses": "nothing", "amountPaise": -1}
        self.records.append({**plain[10], **stray})
        self.records.append({**plain[10], "recordId": "half", "amountPaise": 100.5})
        self.records.append(
            {**plain[10], "recordId": "days", "daysWorked": 29, "periodTo": "2024-13-01"}
        )


def expected_exclusion(lake: Lake, record: dict[str, Any]) -> str | None:
    """Decide about one record the slow way."""
    if record["recordId"] in {"half", "days"}:
        return "record.malformed"
    by_id = {r["recordId"]: r for r in lake.records}
    undoing = [r for r in lake.records if r["reverses"] == record["recordId"]]
    good = [r for r in undoing if -r["amountPaise"] == record["amountPaise"]]
    if record["reverses"]:
        original = by_id.get(record["reverses"])
        if original is None:
            return "reversal.unmatched"
        if -record["amountPaise"] != original["amountPaise"]:
            return "reversal.amount_mismatch"
        rivals = [r for r in lake.records if r["reverses"] == record["reverses"]]
        return "reversal.matched" if rivals[0] is record else "reversal.repeated"
    if good:
        return "payment.reversed"
    if record["recordId"].startswith("double"):
        return "payment.duplicate"
    return settlement_exclusion(lake, record) or unit_exclusion(record)


def settlement_exclusion(lake: Lake, record: dict[str, Any]) -> str | None:
    found = [s for s in lake.settlements if s[0] == record["paymentRefHash"]]
    if record["rail"] != "UPI" or not found or found[0][3] is not None:
        return None
    codes = {"RB": "deemed", "Z9": "failed", "UP": "pending"}
    return f"settlement.{codes.get(found[0][1], 'unknown_code')}"


def rate_of(record: dict[str, Any]) -> int:
    return RATES[record["stateCode"]][record["periodFrom"] >= "2024-04-01"]


def unit_exclusion(record: dict[str, Any]) -> str | None:
    ratio = record["amountPaise"] / record["daysWorked"] / rate_of(record)
    if ratio >= 53:
        return "unit.hundredfold"
    if ratio >= 12:
        return "unit.monthly_as_daily"
    return "unit.hundredth" if ratio <= 0.03 else None


def is_late(lake: Lake, record: dict[str, Any]) -> bool:
    posted = [s for s in lake.settlements if s[0] == record["paymentRefHash"] and s[3]]
    return bool(posted) and posted[0][3] - posted[0][2] > timedelta(days=1)


def write_lake(lake: Lake, home: Path) -> None:
    """Write the raw tables, with writes that must not count among the ledger's."""
    chosen = {r["recordId"]: r for r in lake.records}
    first = next(iter(chosen.values()))
    writes = [
        # Overwritten below, deleted, not committed, of other chaincodes and channels.
        write_row(0, {**first, "amountPaise": 1}),
        write_row(1, {**first, "recordId": "deleted"}),
        {**write_row(2, {**first, "recordId": "deleted"}), "is_delete": True, "value": None},
        {**write_row(3, {**first, "recordId": "invalid"}), "is_committed": False},
        {**write_row(4, {**first, "recordId": "unknown"}), "is_committed": None},
        {**write_row(5, {**first, "recordId": "foreign"}), "namespace": "token"},
        {**write_row(6, {**first, "recordId": "elsewhere"}), "channel": "other"},
        write_row(7, {"docType": "employer", "employerIdHash": EMPLOYERS[0]}, "employer", "e0"),
        {**write_row(8, first, "wage", "torn"), "value": b'{"docType": "wage", \xff'},
    ]
    writes += [write_row(10 + n, record) for n, record in enumerate(lake.records)]
    table(home, "raw_fabric__writes", writes)
    names = ("payment_ref_hash", "status_code", "initiated_at", "posted_at")
    rows = [dict(zip(names, s, strict=True), amount_paise=1) for s in lake.settlements]
    for number, row in enumerate(rows):
        row["settlement_id"] = f"s{number}"
    table(home, "raw_wages__upi_settlements", rows)
    table(home, "raw_wages__eshram_registry", [registration(i) for i in range(28)])
    table(
        home,
        "raw_wages__death_register",
        [{"worker_id_hash": worker, "died_on": day} for worker, day in DIED.items()],
    )
    table(home, "raw_wages__income_audit", [audit(i) for i in range(0, 30, 2)])
    table(home, "raw_wages__employer_registry", [employer(i) for i in range(4)])
    table(home, "raw_wages__scheme_enrolments", [])


def write_row(
    block: int, value: dict[str, Any], kind: str = "wage", name: str | None = None
) -> dict[str, Any]:
    return {
        "channel": "wages",
        "block_number": block // 20,
        "tx_number": block % 20 // 5,
        "write_number": block % 5,
        "tx_id": keyed(f"tx {block // 5}"),
        "namespace": "wage",
        "key": f"\0{kind}\0{name or value['recordId']}\0",
        "is_delete": False,
        "value": json.dumps(value).encode(),
        "is_committed": True,
    }


def registration(number: int) -> dict[str, Any]:
    state, district = DISTRICTS[number % 4]
    return {
        "worker_id_hash": WORKERS[number],
        "birth_year": 1940 if number == 1 else 1970 + number,
        "sex": ("female", "male", "other")[number % 3],
        "social_category": ("General", "OBC", "SC", "ST")[number % 4],
        "education": "primary",
        "occupation_nco": "9211",
        "is_disabled": False,
        "is_migrant": number % 7 == 0,
        "state_code": state,
        "district_code": district,
        "residence": ("rural", "urban")[number % 2],
        "household_id_hash": keyed(f"household {number}"),
        "registered_on": date(2023, 1, 1),
    }


def audit(number: int) -> dict[str, Any]:
    return {
        "audit_id": f"a{number}",
        "worker_id_hash": WORKERS[number],
        "household_id_hash": keyed(f"household {number}"),
        "household_size": 3,
        "verified_monthly_income_paise": 500000,
        "household_monthly_consumption_paise": 700000 + 25000 * number,
        "audited_on": date(2024, 11, 5),
        "design_weight": Decimal("12.500000"),
    }


def employer(number: int) -> dict[str, Any]:
    return {
        "employer_id_hash": EMPLOYERS[number],
        "sector_nic": "41",
        "state_code": 9,
        "district_code": 118,
        "registered_on": date(2020, 1, 1),
        "status": "active",
        "size_class": "small",
    }


def table(home: Path, name: str, rows: list[dict[str, Any]]) -> None:
    schema = pa.schema([field.with_nullable(True) for field in arrow_schema(CONTRACTS[name])])
    folder = home / "lake" / name
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / "part-0.parquet")


def build(home: Path, command: str, *arguments: str) -> Any:
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner

    (home / "warehouse").mkdir(exist_ok=True)
    folders = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)]
    outcome = dbtRunner().invoke([command, *folders, "--quiet", *arguments])
    # dbt keeps the warehouse open in this process, and DuckDB opens a file in one way at a time.
    DuckDBConnectionManager.close_all_connections()
    return outcome


@pytest.fixture(scope="module")
def lake() -> Lake:
    return Lake()


@pytest.fixture(scope="module")
def built(lake: Lake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home, with a blank in its path, in which dbt has built and tested the wages models."""
    home = tmp_path_factory.mktemp("home of wages")
    write_lake(lake, home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRACIENT_HOME", str(home))
        patch.setenv("DBT_TARGET_PATH", str(home / "dbt" / "target"))
        patch.setenv("DBT_LOG_PATH", str(home / "dbt" / "logs"))
        before = {
            path for path in PROJECT.rglob("*") if "target" in path.parts or path.name == "logs"
        }
        selection = ("--select", "tag:domain:wages", "path:seeds", "path:models/staging/wages")
        selection += ("--exclude", "pharma_rules+")
        outcome = build(home, "build", *selection)
        after = {
            path for path in PROJECT.rglob("*") if "target" in path.parts or path.name == "logs"
        }
        assert outcome.success, outcome.exception or [
            (r.node.name, r.message) for r in outcome.result if r.status in {"error", "fail"}
        ]
        assert after == before, "dbt wrote below the project instead of the home"
        yield home


@pytest.fixture
def warehouse(built: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(built / "warehouse" / "tracient.duckdb"), read_only=True) as connection:
        yield connection


def rows(warehouse: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    return warehouse.sql(query).to_arrow_table().to_pylist()


def counted(lake: Lake) -> list[dict[str, Any]]:
    return [r for r in lake.records if expected_exclusion(lake, r) is None]


def test_every_record_counts_or_is_excluded_for_the_expected_reason(
    lake: Lake, warehouse: duckdb.DuckDBPyConnection
) -> None:
    expected = {}
    for record in lake.records:
        reason = expected_exclusion(lake, record)
        if reason:
            name = record["recordId"]
            expected[f"/wage/{name}/" if reason == "record.malformed" else name] = reason
    expected["/wage/torn/"] = "record.malformed"
    found = rows(
        warehouse,
        "select record_id, rule_id from fct_wages__payment_exceptions where action = 'excluded'",
    )
    assert {r["record_id"]: r["rule_id"] for r in found} == expected
    rules = rows(warehouse, "select rule_id from payment_rules where action = 'excluded'")
    assert set(expected.values()) == {r["rule_id"] for r in rules}, "a rule is not exercised"


def test_a_machine_flags_and_never_denies(lake: Lake, warehouse: duckdb.DuckDBPyConnection) -> None:
    found = rows(
        warehouse,
        "select record_id, rule_id from fct_wages__payment_exceptions where action = 'flagged'",
    )
    expected = set()
    for record in (r for r in lake.records if not r["reverses"]):
        started = date.fromisoformat(record["periodFrom"])
        if started > DIED.get(record["workerIdHash"], date.max):
            expected.add((record["recordId"], "ghost.work_after_death"))
        if record["workerIdHash"] == WORKERS[1]:
            expected.add((record["recordId"], "ghost.age_over_80"))
    assert {(r["record_id"], r["rule_id"]) for r in found} == expected
    late = [
        r for r in counted(lake) if r["workerIdHash"] == WORKERS[0] and "-06-" in r["periodFrom"]
    ]
    wages = rows(
        warehouse,
        f"select wage_paise from fct_wages__worker_month where worker_id_hash = '{WORKERS[0]}' "
        "and month = '2024-06-01'",
    )
    assert [w["wage_paise"] for w in wages] == [sum(r["amountPaise"] for r in late)][: len(late)]


def worker_months(lake: Lake) -> dict[tuple[str, date], dict[str, Any]]:
    """The oracle's worker-months."""
    groups = defaultdict(list)
    for record in counted(lake):
        month = date.fromisoformat(record["periodFrom"])
        groups[record["workerIdHash"], month].append(record)
    return {key: worker_month(lake, key, group) for key, group in groups.items()}


def worker_month(lake: Lake, key: tuple[str, date], group: list[dict[str, Any]]) -> dict[str, Any]:
    places: dict[tuple[int, int], int] = defaultdict(int)
    for record in group:
        places[record["stateCode"], record["districtCode"]] += record["amountPaise"]
    best = max(places.values())
    ties = [place for place, wage in places.items() if wage == best]
    place = min(ties, key=lambda p: hashlib.md5(f"{key[0]}:{p[1]}".encode()).hexdigest())  # noqa: S324 - the models' tie-break, not security
    assessed = [r for r in group if r["skill"] == "unskilled"]
    due = sum(r["daysWorked"] * rate_of(r) for r in assessed)
    wage = sum(r["amountPaise"] for r in group)
    days = sum(r["daysWorked"] for r in group)
    number = WORKERS.index(key[0])
    paid = sum(r["amountPaise"] for r in assessed)
    year = "2024-25" if key[1] >= date(2024, 4, 1) else "2023-24"
    return {
        "worker_id_hash": key[0],
        "month": key[1],
        "state_code": place[0],
        "district_code": place[1],
        "wage_paise": wage,
        "days_worked": days,
        "daily_wage_paise": wage // days,
        "payment_count": len(group),
        "employer_count": len({r["employerIdHash"] for r in group}),
        "cash_paise": sum(r["amountPaise"] for r in group if r["rail"] == "CASH_DECLARED"),
        "late_paise": sum(r["amountPaise"] for r in group if is_late(lake, r)),
        "residence": ("rural", "urban")[number % 2] if number < 28 else None,
        "is_assessed": bool(assessed),
        "is_below_notified_rate": paid < due if assessed else None,
        "shortfall_paise": max(due - paid, 0) if assessed else None,
        "rule_version": f"notified-wage/{'mgnrega-' + year if assessed else 'not-assessed'}",
    }


def test_worker_months_equal_the_oracle(lake: Lake, warehouse: duckdb.DuckDBPyConnection) -> None:
    expected = worker_months(lake)
    columns = ", ".join(next(iter(expected.values())))
    found = rows(warehouse, f"select {columns} from fct_wages__worker_month")
    assert {(r["worker_id_hash"], r["month"]): r for r in found} == expected


def test_compliance_and_bounded_tables_follow_from_worker_months(
    lake: Lake, warehouse: duckdb.DuckDBPyConnection
) -> None:
    months = worker_months(lake).values()
    groups = defaultdict(list)
    for row in months:
        groups[row["state_code"], row["district_code"], row["month"]].append(row)
    expected = {
        key: (
            len(group),
            sum(r["is_assessed"] for r in group),
            sum(bool(r["is_below_notified_rate"]) for r in group),
            sum(r["shortfall_paise"] or 0 for r in group),
        )
        for key, group in groups.items()
    }
    found = rows(warehouse, "from fct_wages__minimum_wage_compliance")
    names = ("worker_month_count", "assessed_count", "below_count", "shortfall_paise")
    assert {
        (r["state_code"], r["district_code"], r["month"]): tuple(r[n] for n in names) for r in found
    } == expected
    bounded = rows(warehouse, "from rel_wages__worker_month_bounded")
    assert {
        (r["worker_id_hash"], r["month"]): (r["wage_paise"], r["daily_wage_paise"], r["quarter"])
        for r in bounded
    } == {
        (r["worker_id_hash"], r["month"]): (
            min(max(r["wage_paise"], 10_000), 3_100_000),
            min(max(r["daily_wage_paise"], 10_000), 100_000),
            f"2024-Q{(r['month'].month + 2) // 3}",
        )
        for r in months
    }


def test_employer_months_equal_the_oracle(lake: Lake, warehouse: duckdb.DuckDBPyConnection) -> None:
    groups = defaultdict(list)
    for record in counted(lake):
        month = date.fromisoformat(record["periodFrom"])
        groups[record["employerIdHash"], month, record["districtCode"]].append(record)
    expected = {}
    for key, group in groups.items():
        workers = defaultdict(list)
        for record in group:
            workers[record["workerIdHash"]].append(record)
        below = assessed = 0
        for own in workers.values():
            unskilled = [r for r in own if r["skill"] == "unskilled"]
            due = sum(r["daysWorked"] * rate_of(r) for r in unskilled)
            assessed += bool(unskilled)
            below += bool(unskilled) and sum(r["amountPaise"] for r in unskilled) < due
        is_round = [r["amountPaise"] / r["daysWorked"] % 5000 == 0 for r in group]
        wage = sum(r["amountPaise"] for r in group)
        share = round(sum(is_round) / len(group), 6)
        expected[key] = (len(workers), wage, below, assessed, share)
    names = ("worker_count", "wage_paise", "below_notified_rate_count", "assessed_count")
    found = rows(warehouse, "from fct_wages__employer_month")
    assert {
        (r["employer_id_hash"], r["month"], r["district_code"]): (
            *(r[n] for n in names),
            r["round_wage_share"],
        )
        for r in found
    } == expected


def known_at_cutoff(lake: Lake) -> list[dict[str, Any]]:
    """What counted on 31 December 2024: a reversal of January 2025 is not known yet."""
    known = []
    for record in lake.records:
        reason = expected_exclusion(lake, record)
        undone_later = any(
            r["reverses"] == record["recordId"] and r["paidAt"] > "2025" for r in lake.records
        )
        posted = [s[3] for s in lake.settlements if s[0] == record["paymentRefHash"] and s[3]]
        is_known = not posted or record["rail"] != "UPI" or posted[0].date() <= CUTOFF
        if (reason is None or (reason == "payment.reversed" and undone_later)) and is_known:
            known.append(record)
    return known


def test_features_hold_what_was_known_at_the_cutoff(
    lake: Lake, warehouse: duckdb.DuckDBPyConnection
) -> None:
    groups = defaultdict(list)
    for record in known_at_cutoff(lake):
        groups[record["workerIdHash"]].append(record)
    found = {r["worker_id_hash"]: r for r in rows(warehouse, "from fct_wages__worker_features")}
    assert set(found) == set(groups) | {WORKERS[i] for i in range(0, 30, 2)}
    for worker, group in groups.items():
        months = defaultdict(int)
        for record in group:
            months[record["periodFrom"]] += record["amountPaise"]
        wage = sum(months.values())
        cash = sum(r["amountPaise"] for r in group if r["rail"] == "CASH_DECLARED")
        row = found[worker]
        assert row["f_months_with_wage"] == len(months)
        assert row["f_monthly_wage_paise"] == pytest.approx(wage / 12, abs=0.006)
        assert row["f_lowest_month_wage_paise"] == min(months.values())
        assert row["f_cash_share"] == pytest.approx(cash / wage, abs=1e-6)
        if len(months) > 1:
            spread = np.std(list(months.values()), ddof=1)
            assert row["f_paid_month_wage_sd_paise"] == pytest.approx(spread, abs=0.01)
        late = sum(months[f"2024-{m}-01"] for m in (10, 11, 12))
        assert row["f_last_quarter_trend"] == pytest.approx(4 * late / wage, abs=1e-6)


def test_labels_come_from_verified_consumption_and_the_line(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    found = {r["worker_id_hash"]: r for r in rows(warehouse, "from fct_wages__bpl_training")}
    # Two workers are not registered: no residence, so no line and no label.
    assert set(found) == {WORKERS[i] for i in range(0, 28, 2)}
    for number in range(0, 28, 2):
        row = found[WORKERS[number]]
        line = LINES[DISTRICTS[number % 4][0], ("rural", "urban")[number % 2]]
        assert row["line_paise"] == line
        assert row["is_below_line"] == ((700000 + 25000 * number) / 3 < line)
        assert row["incumbent_score"] == row["f_monthly_wage_paise"]
        is_up = DISTRICTS[number % 4][0] == 9
        assert row["line_status"] == ("UNVERIFIED" if is_up else "VERIFIED")


def test_contracts_equal_the_columns_that_dbt_declares(built: Path) -> None:
    manifest = json.loads((built / "dbt" / "target" / "manifest.json").read_text())
    assert compare_with_dbt(CONTRACTS, manifest, domains=["wages"]) == []


def test_contracts_equal_the_columns_that_duckdb_has(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    nodes: dict[str, Any] = {}
    for row in rows(
        warehouse,
        "select table_name, column_name, data_type from information_schema.columns "
        "order by table_name, ordinal_position",
    ):
        node = nodes.setdefault(f"model.tracient.{row['table_name']}", {"columns": {}})
        node["columns"][row["column_name"]] = {"type": row["data_type"]}
    assert compare_with_dbt(CONTRACTS, {"nodes": nodes}, domains=["wages"]) == []


def test_every_curated_table_keeps_its_contract(warehouse: duckdb.DuckDBPyConnection) -> None:
    assert len(CURATED) == 8
    for contract in CURATED:
        frame = warehouse.sql(f"from {contract.name}").to_arrow_table().to_pandas()
        assert [r for r in validate(contract, frame) if not r.success] == []


def test_every_model_and_column_is_described_and_owned(built: Path) -> None:
    manifest = json.loads((built / "dbt" / "target" / "manifest.json").read_text())
    for node in manifest["nodes"].values():
        is_model = node["resource_type"] == "model" and "_wages__" in node["name"]
        if not is_model and node["resource_type"] != "seed":
            continue
        assert node["description"], node["name"]
        assert node["columns"], node["name"]
        assert all(c["description"] for c in node["columns"].values()), node["name"]
        if is_model:
            assert node["group"] == "wages"
            assert "domain:wages" in node["tags"]


def test_no_two_data_tests_share_a_name(built: Path) -> None:
    manifest = json.loads((built / "dbt" / "target" / "manifest.json").read_text())
    names = [n["name"] for n in manifest["nodes"].values() if n["resource_type"] == "test"]
    assert len(names) == len(set(names)) > 40


def test_a_second_build_gives_the_same_rows(built: Path) -> None:
    database = built / "warehouse" / "tracient.duckdb"
    tables = [contract.name for contract in CURATED]

    def content() -> dict[str, list[str]]:
        with duckdb.connect(str(database), read_only=True) as connection:
            return {n: sorted(map(repr, connection.sql(f"from {n}").fetchall())) for n in tables}

    before = content()
    outcome = build(built, "run", "--select", "tag:domain:wages")
    assert outcome.success
    assert content() == before


def test_a_home_without_a_wage_builds_empty_marts(tmp_path: Path, monkeypatch: Any) -> None:
    for name, contract in CONTRACTS.items():
        if contract.domain in {"wages", "fabric"} and name.startswith("raw_"):
            table(tmp_path, name, [])
    monkeypatch.setenv("TRACIENT_HOME", str(tmp_path))
    monkeypatch.setenv("DBT_TARGET_PATH", str(tmp_path / "dbt" / "target"))
    monkeypatch.setenv("DBT_LOG_PATH", str(tmp_path / "dbt" / "logs"))
    selection = ("--select", "tag:domain:wages", "path:seeds", "--exclude", "pharma_rules+")
    outcome = build(tmp_path, "build", *selection)
    assert outcome.success
    with duckdb.connect(str(tmp_path / "warehouse" / "tracient.duckdb"), read_only=True) as found:
        for contract in CURATED:
            assert found.sql(f"from {contract.name}").fetchall() == [], contract.name


def test_undated_rates_stay_on_file_and_are_never_looked_up(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    undated = rows(warehouse, "select count(*) as n from minimum_wages where valid_from is null")
    used = rows(warehouse, "select distinct skill, rule_version from int_wages__notified_rates")
    assert undated[0]["n"] > 20
    assert {r["skill"] for r in used} == {"unskilled"}
    assert {r["rule_version"][:22] for r in used} == {"notified-wage/mgnrega-"}


SHARED_SEEDS = {
    "mgnrega_wages": ("area", "fin_year", "rate", "valid_from", "valid_to", "source", "status"),
    "minimum_wages": ("jurisdiction", "zone", "skill", "inr_per_day", "valid_from", "status"),
    "poverty_lines": ("state", "sector", "line", "method", "base_period", "source", "status"),
    "upi_codes": ("code", "meaning", "class", "ledger_state", "source", "status"),
}


@pytest.mark.shared_data
@pytest.mark.parametrize("name", SHARED_SEEDS)
def test_policy_seeds_equal_the_facts(name: str, shared_data: Path) -> None:
    def read(path: Path) -> list[tuple[str, ...]]:
        with path.open(encoding="utf-8", newline="") as file:
            return [tuple(r[c] for c in SHARED_SEEDS[name]) for r in csv.DictReader(file)]

    facts = shared_data.parent / "facts" / f"{name}.csv"
    assert read(PROJECT / "seeds" / "policy" / f"{name}.csv") == read(facts)


def test_pilot_districts_have_names_in_hindi() -> None:
    with (PROJECT / "seeds" / "policy" / "pilot_districts.csv").open(encoding="utf-8") as file:
        districts = list(csv.DictReader(file))
    assert len({d["district_code"] for d in districts}) == 120
    for district in districts:
        for column in ("state_name_hi", "district_name_hi"):
            assert any("ऀ" <= letter <= "ॿ" for letter in district[column]), district
