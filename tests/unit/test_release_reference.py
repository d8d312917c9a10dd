from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from orchestration.release import load_places, load_release_spec
from orchestration.release.errors import SpecificationError
from orchestration.release.reference import reference_lines
from orchestration.release.spec import Period, ReferenceSpec

RELEASE = load_release_spec("wages").release
SPEC = RELEASE.reference_lines[0].model_copy(update={"seed": "rates.csv"})
HEAD = "state_code,scope,rate,unit,valid_from,valid_to,rule_id,source,status"
ROWS = (
    "9,whole_state,230,INR/day,2023-04-01,2024-03-31,r-2023,notice 1,VERIFIED",
    "9,whole_state,237.5,INR/day,2024-04-01,2025-03-31,r-2024,notice 2,VERIFIED",
    "9,whole_state,999,INR/day,2024-04-01,2025-03-31,r-2024,hearsay,UNVERIFIED",
    "9,part_of_state,888,INR/day,2024-04-01,2025-03-31,r-2024,notice 2,VERIFIED",
    "9,whole_state,252,INR/day,2025-04-01,2026-03-31,r-2025,notice 3,VERIFIED",
    "10,whole_state,245,INR/day,2024-04-01,2025-03-31,r-2024,notice 2,VERIFIED",
)


def lines(tmp_path: Path, rows: tuple[str, ...] = ROWS, head: str = HEAD) -> list[dict]:
    (tmp_path / "rates.csv").write_text("\n".join([head, *rows]) + "\n", encoding="utf-8")
    return reference_lines([SPEC], RELEASE.period, {9}, tmp_path)


def test_every_pilot_state_has_both_rates_of_the_year_and_the_nation_none():
    states = set(load_places()["state_code"])
    found = reference_lines(RELEASE.reference_lines, RELEASE.period, states)
    assert [x["state_code"] for x in found] == [code for code in sorted(states) for _ in range(2)]
    assert {x["rule_id"] for x in found} == {"mgnrega-2023-24", "mgnrega-2024-25"}
    assert all(f"notified-wage/{x['rule_id']}" in RELEASE.rule_version for x in found)


def test_only_verified_rates_of_a_whole_state_in_force_in_the_period_are_stated(tmp_path):
    assert [(x["value"], x["from"], x["source"]) for x in lines(tmp_path)] == [
        (23_000, "2023-04-01", "notice 1"),
        (23_750, "2024-04-01", "notice 2"),
    ]


def test_a_state_without_a_usable_rate_has_no_line(tmp_path):
    assert lines(tmp_path, rows=ROWS[2:4]) == []


@pytest.mark.parametrize(
    ("rows", "head", "message"),
    [
        ((ROWS[1], ROWS[1]), HEAD, "one figure in force on a day"),
        ((ROWS[0].replace("INR/day", "INR/month"),), HEAD, "unit INR/month"),
        ((), HEAD.replace("rate,", ""), "no column rate"),
        ((), "", "no column"),
    ],
)
def test_a_seed_that_cannot_be_used_is_named_with_what_is_wrong(tmp_path, rows, head, message):
    with pytest.raises(SpecificationError, match=message):
        lines(tmp_path, rows=rows, head=head)


def test_a_missing_seed_is_named(tmp_path):
    with pytest.raises(SpecificationError, match=r"rates\.csv"):
        reference_lines([SPEC], RELEASE.period, {9}, tmp_path)


def test_a_period_of_one_rate_states_one(tmp_path):
    lines(tmp_path)
    period = Period.model_validate({"from": date(2024, 4, 1), "to": date(2024, 6, 30)})
    assert len(reference_lines([SPEC], period, {9}, tmp_path)) == 1


def test_lines_of_the_nation_cannot_be_specified():
    with pytest.raises(ValueError, match="level"):
        ReferenceSpec.model_validate(RELEASE.reference_lines[0].model_dump() | {"level": "nation"})
