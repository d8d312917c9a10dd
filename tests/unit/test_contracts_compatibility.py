"""Versions of a contract: what breaks readers, what does not, and contracts against dbt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from data_contracts import Contract, load_contracts
from data_contracts.compatibility import compare_versions, is_compatible
from data_contracts.contract import Column, Rule
from data_contracts.dbt import compare_with_dbt

CONTRACTS = load_contracts()
OLD = CONTRACTS["raw_wages__employer_registry"]


def with_column(name: str, /, **changes: Any) -> Contract:
    """Return the old contract as version 2.0.0 with one column changed."""
    columns = tuple(replace(c, **changes) if c.name == name else c for c in OLD.columns)
    return replace(OLD, version="2.0.0", columns=columns)


def with_rule(name: str, kind: str, /, **changes: Any) -> Contract:
    """Return the old contract as version 2.0.0 with one rule of a column changed."""
    rules = tuple(replace(r, **changes) if r.kind == kind else r for r in OLD.column(name).rules)
    return with_column(name, rules=rules)


EXTRA = Column("note", "string", "VARCHAR", "A note.", "internal", False, False, None)
STATUS = ("active", "suspended", "closed")


@pytest.mark.parametrize(
    ("new", "kind", "message"),
    [
        (replace(OLD, version="2.0.0", columns=OLD.columns[:-1]), "breaking", "was removed"),
        (
            with_column("size_class", name="size", rules=()),
            "breaking",
            "renamed to 'size'",
        ),
        (with_column("state_code", physical_type="BIGINT"), "compatible", "holds every old value"),
        (with_column("state_code", physical_type="VARCHAR"), "breaking", "not every value fits"),
        (with_column("status", is_required=False), "breaking", "may now be missing"),
        (with_column("sector_nic", classification="restricted"), "compatible", "is restricted"),
        (
            with_column("employer_id_hash", classification="public"),
            "breaking",
            "would be shown",
        ),
        (
            replace(OLD, version="2.0.0", columns=(*OLD.columns, EXTRA)),
            "compatible",
            "new and optional",
        ),
        (
            replace(OLD, version="2.0.0", columns=(*OLD.columns, replace(EXTRA, is_required=True))),
            "breaking",
            "new and required",
        ),
        (
            with_rule("status", "valid_values", arguments={"values": (*STATUS, "merged")}),
            "compatible",
            "accepts every old value",
        ),
        (
            with_rule("status", "valid_values", arguments={"values": STATUS[:2]}),
            "breaking",
            "old values may break",
        ),
        (
            with_rule("state_code", "range", arguments={"minimum": 1, "maximum": 40}),
            "compatible",
            "accepts every old value",
        ),
        (
            with_rule("state_code", "range", arguments={"minimum": 2, "maximum": 38}),
            "breaking",
            "old values may break",
        ),
        (
            with_rule("state_code", "range", arguments={"minimum": 1, "maximum": None}),
            "compatible",
            "accepts every old value",
        ),
        (with_rule("status", "valid_values", severity="warning"), "compatible", "is warning"),
        (with_column("state_code", rules=()), "compatible", "was dropped"),
        (
            with_column(
                "status",
                rules=(
                    *OLD.column("status").rules,
                    Rule("r.new", "unique", ("status",), "blocking"),
                ),
            ),
            "breaking",
            "is new",
        ),
        (with_column("employer_id_hash", key_position=None), "breaking", "the key was"),
        (replace(OLD, version="2.0.0", subject_column="employer_id_hash"), "breaking", "subject"),
    ],
)
def test_each_change_is_told_with_its_kind(new: Contract, kind: str, message: str) -> None:
    changes = compare_versions(OLD, new)
    assert any(message in c.message and c.kind == kind for c in changes), changes
    assert is_compatible(OLD, new) == all(c.kind == "compatible" for c in changes)


def test_becoming_required_breaks_and_the_other_way_round_too() -> None:
    optional = with_column("size_class", is_required=False)
    changes = compare_versions(optional, replace(OLD, version="3.0.0"))
    assert [c.message for c in changes] == [
        "column 'size_class' could be missing and is now required: old rows may lack it"
    ]


def test_an_unchanged_contract_has_no_changes() -> None:
    assert compare_versions(OLD, OLD) == []


def test_a_breaking_change_needs_a_new_major_version() -> None:
    new = replace(with_column("status", is_required=False), version="1.1.0")
    assert "need a new major version" in compare_versions(OLD, new)[-1].message


def test_a_change_without_a_new_version_is_refused() -> None:
    new = replace(with_column("state_code", physical_type="BIGINT"), version="1.0.0")
    assert any("does not follow" in c.message for c in compare_versions(OLD, new))


def test_decimals_widen_only_when_both_sides_of_the_point_fit() -> None:
    audit = CONTRACTS["raw_wages__income_audit"]

    def weight(kind: str) -> Contract:
        columns = tuple(
            replace(c, physical_type=kind) if c.name == "design_weight" else c
            for c in audit.columns
        )
        return replace(audit, version="1.1.0", columns=columns)

    assert is_compatible(audit, weight("DECIMAL(14,8)"))
    assert not is_compatible(audit, weight("DECIMAL(12,8)"))
    assert not is_compatible(audit, weight("DECIMAL(12,4)"))


def test_contracts_of_two_tables_are_not_compared() -> None:
    with pytest.raises(ValueError, match="two versions of one contract"):
        compare_versions(OLD, CONTRACTS["raw_wages__death_register"])


def manifest(**changes: Any) -> dict[str, Any]:
    """Return a manifest in which the compliance table agrees with its contract, then changed."""
    contract = CONTRACTS["fct_wages__minimum_wage_compliance"]
    columns = {
        c.name: {"data_type": c.physical_type, "description": c.description}
        for c in contract.columns
    }
    node = {"columns": columns, "config": {"meta": {"contract": contract.name}}, **changes}
    return {"macros": {}, "nodes": {f"model.tracient.{contract.name}": node}}


ONE = {"fct_wages__minimum_wage_compliance": CONTRACTS["fct_wages__minimum_wage_compliance"]}


def test_a_manifest_that_agrees_gives_no_differences() -> None:
    assert compare_with_dbt(ONE, manifest()) == []


def test_differences_with_dbt_are_told_one_by_one() -> None:
    document = manifest(config={"meta": {}})
    node = document["nodes"]["model.tracient.fct_wages__minimum_wage_compliance"]
    node["columns"]["below_count"]["data_type"] = "INTEGER"
    node["columns"]["month"]["description"] = ""
    node["columns"]["extra"] = {"data_type": "DATE", "description": "."}
    del node["columns"]["rule_citation"]
    document["nodes"]["model.tracient.fct_wages__new"] = {"columns": {}}
    text = "\n".join(compare_with_dbt(ONE, document))
    for part in (
        "dbt lacks rule_citation",
        "dbt has extra",
        "below_count: the contract says BIGINT, dbt says INTEGER",
        "month: has no description",
        "meta.contract must name",
        "fct_wages__new: is a dbt model without a contract",
    ):
        assert part in text


def test_a_contract_without_a_model_is_told() -> None:
    empty = {"macros": {}, "nodes": {}}
    assert compare_with_dbt(ONE, empty) == [
        "fct_wages__minimum_wage_compliance: has a contract but no dbt model"
    ]
    assert compare_with_dbt(ONE, empty, domains=["pharma"]) == []
