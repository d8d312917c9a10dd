"""Rules on tables: which rows break them, and the same verdict from Great Expectations."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from data_contracts import Contract, arrow_schema, load_contracts
from data_contracts.expectations import suite, validate
from data_contracts.identity import (
    holds_identity_number,
    verhoeff_check_digit,
    verhoeff_is_valid,
)
from data_contracts.rules import failing_rows

CONTRACTS = load_contracts()
SETTLEMENTS = CONTRACTS["raw_wages__upi_settlements"]
HASH = "0123456789abcdef" * 4
# Made here, so that no identity-like number stands in the repository.
IDENTITY = "23456789012" + verhoeff_check_digit("23456789012")
OTHER = IDENTITY[:-1] + str((int(IDENTITY[-1]) + 1) % 10)


def settlements(**columns: list[object]) -> pd.DataFrame:
    """Return three good settlements, with some columns replaced."""
    at = pd.Timestamp("2024-05-01T10:00:00Z").to_pydatetime()
    good = {
        "settlement_id": ["s1", "s2", "s3"],
        "payment_ref_hash": [HASH] * 3,
        "amount_paise": [100, 200, 300],
        "status_code": ["00", "RB", "Z9"],
        "initiated_at": [at] * 3,
        "posted_at": [at, None, None],
    }
    schema = pa.schema([f.with_nullable(True) for f in arrow_schema(SETTLEMENTS)])
    return pa.table({**good, **columns}, schema=schema).to_pandas()


def broken(frame: pd.DataFrame) -> dict[str, list[int]]:
    """Return the rows that break each rule, by the rule's short name."""
    return {
        rule_id.removeprefix(SETTLEMENTS.name + "."): mask.nonzero()[0].tolist()
        for rule_id, mask in failing_rows(SETTLEMENTS, frame).items()
        if mask.any()
    }


EARLIER = pd.Timestamp("2024-04-30T10:00:00Z").to_pydatetime()
CASES = [
    ({}, {}),
    ({"settlement_id": ["s1", None, "s3"]}, {"settlement_id.required": [1]}),
    ({"settlement_id": ["s1", "s2", "s1"]}, {"key.unique": [2]}),
    ({"amount_paise": [1, -1, 0]}, {"amount_paise.range": [1]}),
    ({"status_code": ["00", "r", "Z9"]}, {"status_code.pattern": [1]}),
    ({"payment_ref_hash": [HASH, HASH[1:], HASH.upper()]}, {"payment_ref_hash.pattern": [1, 2]}),
    ({"posted_at": [None, EARLIER, None]}, {"posted_after_initiated": [1]}),
    (
        {"settlement_id": ["s1", f"uid {IDENTITY}", f"no {OTHER}"]},
        {"settlement_id_no_identity_number": [1]},
    ),
]


@pytest.mark.parametrize(("columns", "expected"), CASES)
def test_rows_that_break_a_rule_are_found(
    columns: dict[str, list[object]], expected: dict[str, list[int]]
) -> None:
    assert broken(settlements(**columns)) == expected


@pytest.mark.parametrize(("columns", "expected"), CASES)
def test_great_expectations_gives_the_same_verdict(
    columns: dict[str, list[object]], expected: dict[str, list[int]]
) -> None:
    results = validate(SETTLEMENTS, settlements(**columns))
    failed = {r.rule_id.removeprefix(SETTLEMENTS.name + "."): r for r in results if not r.success}
    assert {name: list(r.sample_positions) for name, r in failed.items()} == expected
    assert {name: r.unexpected_count for name, r in failed.items()} == {
        name: len(rows) for name, rows in expected.items()
    }


def test_a_result_holds_no_value_of_the_table() -> None:
    frame = settlements(settlement_id=["s1", f"uid {IDENTITY}", "s3"])
    assert IDENTITY not in repr(validate(SETTLEMENTS, frame))


def test_a_missing_and_an_unknown_column_fail_the_table() -> None:
    frame = settlements().drop(columns="amount_paise").assign(amount=1)
    results = {r.rule_id: r for r in validate(SETTLEMENTS, frame)}
    columns = results["raw_wages__upi_settlements.columns"]
    assert (columns.success, columns.severity, columns.unexpected_count) == (False, "blocking", 2)
    assert columns.description == "missing amount_paise; not in the contract amount"
    assert not results["raw_wages__upi_settlements.amount_paise.range"].success


def test_an_empty_table_passes_except_that_it_has_no_rows() -> None:
    contract = CONTRACTS["fct_wages__worker_month"]
    frame = arrow_schema(contract).empty_table().to_pandas()
    failed = [r for r in validate(contract, frame) if not r.success]
    assert [(r.rule_id, r.severity) for r in failed] == [
        ("fct_wages__worker_month.has_rows", "warning")
    ]


@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=lambda c: c.name)
def test_every_contract_makes_a_suite_with_all_its_rules(contract: Contract) -> None:
    rules = {rule.rule_id for rule in contract.rules}
    assert {e.meta["rule_id"] for e in suite(contract).expectations} == rules


def test_verhoeff_agrees_with_the_published_vectors(request: pytest.FixtureRequest) -> None:
    facts = request.getfixturevalue("shared_data").parent / "facts" / "vectors.json"
    vectors = json.loads(Path(facts).read_text())["verhoeff"]
    for digits in ("236", "01234567890"):
        assert verhoeff_check_digit(digits) == vectors[digits]


def test_verhoeff_misses_no_single_digit_error_and_no_swap_of_neighbours() -> None:
    good = np.array([int(d) for d in IDENTITY])
    singles = [np.r_[good[:i], d, good[i + 1 :]] for i in range(12) for d in range(10)]
    singles = [row for row in singles if not np.array_equal(row, good)]
    swaps = [np.r_[good[:i], good[i + 1], good[i], good[i + 2 :]] for i in range(11)]
    swaps = [row for row in swaps if not np.array_equal(row, good)]
    assert verhoeff_is_valid(good[None, :]).all()
    assert not verhoeff_is_valid(np.array(singles + swaps)).any()


GROUPED = f"{IDENTITY[:4]} {IDENTITY[4:8]} {IDENTITY[8:]}"


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        (IDENTITY, True),
        (GROUPED, True),
        (GROUPED.replace(" ", "-"), True),
        (f'{{"note":"{IDENTITY}"}}', True),
        (f"आधार {IDENTITY}।", True),
        (f"first {OTHER} then {IDENTITY}", True),
        (OTHER, False),
        (f"1{IDENTITY}", False),
        (f"{IDENTITY}7", False),
        (f"rec{IDENTITY}", False),
        (f"0.{IDENTITY}", False),
        (f"5f6e1c1a-5f6e-4c1a-8c1a-{IDENTITY}", False),
        (f"{IDENTITY[:4]}-{IDENTITY[4:8]} {IDENTITY[8:]}", False),
        ("1" + IDENTITY[1:], False),
        ("", False),
        (None, False),
    ],
)
def test_identity_numbers_are_found_in_context_only(text: str | None, is_found: bool) -> None:
    assert holds_identity_number([text]).tolist() == [is_found]
    raw = None if text is None else text.encode()
    assert holds_identity_number(pa.array([raw], pa.binary())).tolist() == [is_found]


def test_numbers_that_are_not_text_are_not_scanned() -> None:
    assert holds_identity_number([1.0, 2.0]).tolist() == [False, False]


def test_a_ledger_value_with_an_identity_number_is_found() -> None:
    contract = CONTRACTS["raw_fabric__writes"]
    row = dict.fromkeys(contract.column_names)
    row |= {"channel": "wages", "block_number": 1, "tx_number": 0, "write_number": 0}
    row |= {"tx_id": "t", "namespace": "wage", "is_delete": False}
    row["value"] = json.dumps({"documentHash": GROUPED}).encode()
    schema = pa.schema([f.with_nullable(True) for f in arrow_schema(contract)])
    failed = [
        r
        for r in validate(contract, pa.Table.from_pylist([row], schema=schema).to_pandas())
        if not r.success
    ]
    assert [r.rule_id for r in failed] == ["raw_fabric__writes.value_no_identity_number"]
