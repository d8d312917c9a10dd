"""Contract files: what is read, and how each kind of mistake is refused."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml

from data_contracts import (
    Contract,
    ContractError,
    UnknownContractError,
    arrow_fields,
    arrow_schema,
    load_contract,
    load_contracts,
    parse_contract,
)

RAW = {
    "raw_fabric__blocks": ("channel", "block_number"),
    "raw_fabric__transactions": ("channel", "block_number", "tx_number"),
    "raw_fabric__writes": ("channel", "block_number", "tx_number", "write_number"),
    "raw_fabric__certificates": ("channel", "certificate_sha256", "msp_id"),
    "raw_eledger__blocks": ("chain", "shard", "height"),
    "raw_eledger__transactions": ("chain", "shard", "height", "tx_number"),
    "raw_epcis__events": ("event_key",),
    "raw_wages__upi_settlements": ("settlement_id",),
    "raw_wages__eshram_registry": ("worker_id_hash",),
    "raw_wages__scheme_enrolments": ("worker_id_hash", "scheme_id", "enrolled_on"),
    "raw_wages__income_audit": ("audit_id",),
    "raw_wages__employer_registry": ("employer_id_hash",),
    "raw_wages__death_register": ("worker_id_hash",),
    "raw_pharma__gln_registry": ("gln", "valid_from"),
    "raw_pharma__product_master": ("gtin", "jurisdiction"),
    "raw_pharma__inspections": ("inspection_id",),
}
PROTECTED = {"sex", "social_category", "is_disabled", "is_migrant", "residence", "state_code"}

MINIMAL: dict[str, Any] = {
    "apiVersion": "v3.1.0",
    "kind": "DataContract",
    "id": "urn:tracient:contract:raw_test__things",
    "name": "raw_test__things",
    "version": "1.0.0",
    "status": "active",
    "domain": "test",
    "description": {"purpose": "Things."},
    "team": {"name": "testers"},
    "schema": [
        {
            "name": "raw_test__things",
            "description": "Things.",
            "properties": [
                {
                    "name": "thing_id",
                    "logicalType": "string",
                    "physicalType": "VARCHAR",
                    "description": "Id.",
                    "primaryKey": True,
                    "primaryKeyPosition": 1,
                },
                {
                    "name": "size",
                    "logicalType": "integer",
                    "physicalType": "INTEGER",
                    "description": "Size.",
                    "logicalTypeOptions": {"minimum": 0, "maximum": 9},
                },
            ],
        }
    ],
}
FILE = Path("raw_test__things.odcs.yaml")


def changed(path: list[str | int], value: Any) -> dict[str, Any]:
    """Return the minimal contract with one value set, or removed when it is ``...``."""
    document = copy.deepcopy(MINIMAL)
    node: Any = document
    for part in path[:-1]:
        node = node[part]
    if value is ...:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return document


@pytest.fixture(scope="module")
def contracts() -> dict[str, Contract]:
    return load_contracts()


def test_every_raw_table_has_a_contract_with_its_key(contracts: dict[str, Contract]) -> None:
    raw = {name: c.unique_key for name, c in contracts.items() if name.startswith("raw_")}
    assert raw == RAW


def test_tables_about_workers_name_their_subject(contracts: dict[str, Contract]) -> None:
    for contract in contracts.values():
        has_worker = "worker_id_hash" in contract.column_names
        assert (contract.subject_column == "worker_id_hash") == has_worker, contract.name


def test_no_feature_is_a_protected_attribute(contracts: dict[str, Contract]) -> None:
    for name in ("fct_wages__worker_features", "fct_wages__bpl_training"):
        features = {c for c in contracts[name].column_names if c.startswith("f_")}
        assert len(features) == 20
        assert not {feature.removeprefix("f_") for feature in features} & PROTECTED
        assert not any(word in f for f in features for word in ("sex", "caste", "migrant", "state"))


def test_protected_attributes_are_restricted_wherever_they_are(
    contracts: dict[str, Contract],
) -> None:
    for contract in contracts.values():
        for column in contract.columns:
            if column.name in PROTECTED - {"state_code"}:
                assert column.classification == "restricted", f"{contract.name}.{column.name}"


def test_training_and_feature_tables_have_the_same_features(
    contracts: dict[str, Contract],
) -> None:
    def features(name: str) -> list[str]:
        return [c for c in contracts[name].column_names if c.startswith("f_")]

    assert features("fct_wages__bpl_training") == features("fct_wages__worker_features")


def test_an_unknown_dataset_is_refused_with_the_names_that_exist(
    contracts: dict[str, Contract],
) -> None:
    with pytest.raises(UnknownContractError, match="raw_wages__death_register"):
        contracts["raw_wages__deaths"]


def test_a_minimal_contract_gives_columns_rules_and_key() -> None:
    contract = parse_contract(MINIMAL, FILE)
    assert contract.unique_key == ("thing_id",)
    assert contract.column("thing_id").is_required
    assert [rule.rule_id for rule in contract.rules] == [
        "raw_test__things.thing_id.required",
        "raw_test__things.size.range",
        "raw_test__things.key.unique",
    ]
    assert {rule.severity for rule in contract.rules} == {"blocking"}


PROPERTY = ["schema", 0, "properties", 1]


@pytest.mark.parametrize(
    ("path", "value", "where", "expected"),
    [
        (["vresion"], "1.0.0", "vresion", "only fields of the part of ODCS v3"),
        (["version"], ..., "version", "this required field"),
        (["version"], "1", "version", "match pattern"),
        (["apiVersion"], "v2.2.0", "apiVersion", "match pattern"),
        (["kind"], "Contract", "kind", "DataContract"),
        (["name"], "raw_test__other", r"schema\[0\].name", "raw_test__other"),
        ([*PROPERTY, "logicalType"], "int", r"schema\[0\].properties\[1\].logicalType", "integer"),
        ([*PROPERTY, "physicalType"], "INT32", r"properties\[1\].physicalType", "match pattern"),
        ([*PROPERTY, "physicalType"], "VARCHAR", r"properties\[1\].physicalType", "BIGINT or INT"),
        ([*PROPERTY, "required"], "yes", r"properties\[1\].required", "boolean"),
        ([*PROPERTY, "nullable"], True, r"properties\[1\].nullable", "only fields"),
        ([*PROPERTY, "name"], "thing_id", r"schema\[0\]", "column names that differ"),
        ([*PROPERTY, "primaryKey"], True, r"properties\[1\].primaryKeyPosition", "from 1 on"),
        (
            ["customProperties"],
            [{"property": "subjectColumn", "value": "who"}],
            "customProperties",
            "names of columns",
        ),
    ],
)
def test_a_wrong_field_is_named_with_what_was_expected(
    path: list[str | int], value: Any, where: str, expected: str
) -> None:
    with pytest.raises(ContractError, match=where) as caught:
        parse_contract(changed(path, value), FILE)
    assert expected in str(caught.value)
    assert str(FILE) in str(caught.value)


QUALITY = {"id": "q", "type": "library", "description": "Q.", "severity": "warning"}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({**QUALITY, "metric": "nullValues"}, "0, for a metric"),
        ({**QUALITY, "metric": "invalidValues", "mustBe": 0}, "either validValues or pattern"),
        ({**QUALITY, "mustBe": 0}, "a metric of the standard's library"),
        ({**QUALITY, "metric": "rowCount"}, "the number of rows to exceed"),
        ({**QUALITY, "type": "custom"}, "an engine and an implementation"),
        ({**QUALITY, "severity": "fatal"}, "blocking"),
        (
            {
                **QUALITY,
                "metric": "invalidValues",
                "mustBe": 0,
                "arguments": {"pattern": "("},
            },
            "a regular expression",
        ),
    ],
)
def test_a_quality_rule_that_makes_no_sense_is_refused(rule: dict[str, Any], expected: str) -> None:
    with pytest.raises(ContractError, match=expected):
        parse_contract(changed([*PROPERTY, "quality"], [rule]), FILE)


def test_a_warning_rule_keeps_its_severity() -> None:
    rule = {**QUALITY, "metric": "invalidValues", "mustBe": 0, "arguments": {"validValues": [1, 2]}}
    contract = parse_contract(changed([*PROPERTY, "quality"], [rule]), FILE)
    stated = next(r for r in contract.rules if r.rule_id == "raw_test__things.q")
    assert (stated.severity, stated.kind, stated.column) == ("warning", "valid_values", "size")


@pytest.mark.parametrize(
    ("content", "where"),
    [("a: [", "line 1"), ("- a\n", "a mapping of fields"), ("", "a mapping of fields")],
)
def test_a_file_that_is_not_a_contract_is_refused(tmp_path: Path, content: str, where: str) -> None:
    path = tmp_path / FILE
    path.write_text(content)
    with pytest.raises(ContractError, match=where):
        load_contract(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="a readable file"):
        load_contract(tmp_path / FILE)


def test_two_contracts_of_one_name_are_refused(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / FILE).write_text(yaml.safe_dump(MINIMAL))
    with pytest.raises(ContractError, match="no other contract has"):
        load_contracts(tmp_path)


def test_arrow_schema_has_the_contract_types_in_order(contracts: dict[str, Contract]) -> None:
    schema = arrow_schema(contracts["raw_wages__income_audit"])
    assert schema.field("design_weight").type == pa.decimal128(12, 6)
    assert schema.field("audited_on").type == pa.date32()
    assert schema.names == list(contracts["raw_wages__income_audit"].column_names)
    posted = arrow_fields(contracts["raw_wages__upi_settlements"])["posted_at"]
    assert posted == (pa.timestamp("us", tz="UTC"), True)
