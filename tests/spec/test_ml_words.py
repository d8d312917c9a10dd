"""Every feature a reason may name has words in both languages, and every constraint a column."""

from __future__ import annotations

from pathlib import Path

import yaml

from ml.spec import load_spec

ROOT = Path(__file__).resolve().parents[2]


def test_the_wages_specification_speaks_about_exactly_the_columns_of_the_contract() -> None:
    spec = load_spec(ROOT / "ml" / "wages" / "bpl.yaml")
    contract = ROOT / "data_contracts" / "wages" / f"{spec.table}.odcs.yaml"
    (table,) = yaml.safe_load(contract.read_text(encoding="utf-8"))["schema"]
    columns = {column["name"] for column in table["properties"]}
    features = {name for name in columns if name.startswith(spec.features.prefix or "")}
    assert {*spec.features.labels} == features
    assert {*spec.features.monotone} <= features
    assert {spec.row_id, spec.target.column, spec.weight, *spec.splits.groups} <= columns
    for words in spec.features.labels.values():
        assert words.en.isascii()
        assert any("\u0900" <= letter <= "\u097f" for letter in words.hi)
