"""What a specification refuses, and how a table is read for one."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from ml.errors import DataError, SpecError
from ml.frame import UNKNOWN, build_frame, read_table
from ml.spec import ModelSpec, dump_spec, load_spec, parse_spec, spec_sha256

HERE = Path(__file__).resolve().parents[2] / "ml"
MINIMAL = {
    "model_id": "any_table",
    "title": {"en": "Any", "hi": "कोई"},
    "target": {"column": "y"},
    "features": {"columns": ["a", "b"]},
}


def spec(**changes: object) -> ModelSpec:
    return parse_spec({**MINIMAL, **changes})


def table(rows: int = 400) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    a = rng.normal(size=rows)
    return pd.DataFrame(
        {
            "id": [f"r{number:04d}" for number in range(rows)],
            "a": a,
            "b": rng.normal(size=rows),
            "y": a + rng.normal(size=rows) > 0,
            "sex": rng.choice(["female", "male"], rows),
        }
    )


SEX = {
    "column": "sex",
    "title": {"en": "Sex", "hi": "लिंग"},
    "vocabulary": ["female", "male"],
    "is_gated": True,
}


@pytest.mark.parametrize("path", sorted(HERE.glob("*/*.yaml")), ids=lambda path: path.stem)
def test_every_domain_specification_is_valid_and_survives_being_written(path: Path) -> None:
    read = load_spec(path)
    again = parse_spec(yaml.safe_load(dump_spec(read)))
    assert again == read
    assert spec_sha256(again) == spec_sha256(read)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"features": {"columns": ["a"], "prefix": "f_"}}, "exactly one"),
        ({"features": {"columns": ["a"], "monotone": {"z": 1}}}, "constraints name columns"),
        ({"features": {"columns": ["a", "sex"]}, "groupings": [SEX]}, "protected attribute"),
        ({"features": {"columns": ["a", "worker_gender"]}}, "protected attribute"),
        ({"features": {"columns": ["a", "y"]}}, "target"),
        ({"minimums": {"group_rows": 10}}, "minimums.group_rows"),
        ({"minimums": {"gate_positives": 50}}, "minimums.gate_positives"),
        ({"training": {"depth": 6}}, "training.depth"),
        ({"intersections": [["sex", "caste"]]}, "intersections"),
        ({"colour": "red"}, "colour"),
        ({"budget": {"share": 0}}, "budget.share"),
    ],
)
def test_a_wrong_specification_is_refused_with_its_place(change: dict, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        spec(**change)


def test_a_specification_file_that_is_missing_or_not_yaml_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="not found"):
        load_spec(tmp_path / "none.yaml")
    (tmp_path / "broken.yaml").write_text("a: [1", encoding="utf-8")
    with pytest.raises(SpecError, match="expected YAML"):
        load_spec(tmp_path / "broken.yaml")
    (tmp_path / "list.yaml").write_text("- 1", encoding="utf-8")
    with pytest.raises(SpecError, match="expected a mapping"):
        load_spec(tmp_path / "list.yaml")


def test_importing_ml_loads_neither_pandas_nor_xgboost() -> None:
    code = (
        "import sys, ml, ml.spec, ml.registry;"
        "print([m for m in ('pandas','xgboost','shap','fairlearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_missing_column_is_named_with_what_was_found() -> None:
    with pytest.raises(DataError, match=r"missing columns \['b'\]; found: a, id, sex, y"):
        build_frame(spec(), table().drop(columns="b"))


def test_too_few_rows_a_single_class_and_empty_labels_are_refused() -> None:
    with pytest.raises(DataError, match="too few rows: expected at least 200, found 50"):
        build_frame(spec(), table(50))
    with pytest.raises(DataError, match="two classes"):
        build_frame(spec(), table().assign(y=True))
    with pytest.raises(DataError, match="1 rows have no label"):
        build_frame(spec(), table().assign(y=[None, *table()["y"][1:]]))


def test_repeated_ids_infinite_numbers_text_and_dates_are_refused() -> None:
    with pytest.raises(DataError, match="1 repeated"):
        build_frame(spec(row_id="id"), table().assign(id=lambda t: ["r0001", *t["id"][1:]]))
    with pytest.raises(DataError, match="1 rows are infinite"):
        build_frame(spec(), table().assign(a=lambda t: [np.inf, *t["a"][1:]]))
    with pytest.raises(DataError, match="closed vocabulary"):
        build_frame(spec(), table().assign(a="much"))
    with pytest.raises(DataError, match="found dates"):
        build_frame(spec(), table().assign(a=pd.Timestamp("2024-01-01")))
    with pytest.raises(DataError, match="above zero"):
        build_frame(spec(weight="w"), table().assign(w=0.0))


def test_errors_never_show_a_value_of_a_row() -> None:
    with pytest.raises(DataError) as caught:
        build_frame(spec(), table().assign(a="secret-value"))
    assert "secret-value" not in str(caught.value)


def test_a_prefix_rule_refuses_protected_columns_and_unknown_constraints() -> None:
    wide = table().rename(columns={"a": "f_a", "b": "f_b"}).assign(f_sex=1)
    with pytest.raises(SpecError, match="protected attribute"):
        build_frame(spec(features={"prefix": "f_"}), wide)
    rules = {"prefix": "f_", "monotone": {"f_income": -1}}
    with pytest.raises(SpecError, match="never ignored"):
        build_frame(spec(features=rules), wide.drop(columns="f_sex"))
    with pytest.raises(DataError, match="no feature found"):
        build_frame(spec(features={"prefix": "g_"}), wide)


def test_unknown_group_values_are_counted_as_unknown_and_never_dropped() -> None:
    protected = table().loc[10:, ["id", "sex"]].replace({"sex": {"male": "Male?"}})
    frame = build_frame(spec(row_id="id", groupings=[SEX]), table(), protected)
    assert len(frame) == 400
    assert set(frame.groups["sex"]) == {"female", UNKNOWN}
    assert frame.group_unknown["sex"] == int((frame.groups["sex"] == UNKNOWN).sum()) > 10


def test_without_the_restricted_table_everybody_is_unknown() -> None:
    frame = build_frame(spec(row_id="id", groupings=[SEX]), table())
    assert frame.group_unknown["sex"] == 400


def test_booleans_integers_and_decimals_are_read_in_one_spelling() -> None:
    changed = table().assign(
        y=lambda t: t["y"].astype(int), b=[Decimal("1.5")] * 400, flag=[True, False] * 200
    )
    yes = {
        "column": "flag",
        "title": {"en": "F", "hi": "एफ़"},
        "vocabulary": ["true", "false"],
        "source": "table",
    }
    frame = build_frame(spec(target={"column": "y", "positive": 1}, groupings=[yes]), changed)
    assert frame.target.sum() == changed["y"].sum()
    assert frame.features["b"].eq(1.5).all()
    assert frame.group_unknown["flag"] == 0


def test_a_declared_category_becomes_one_column_for_each_value() -> None:
    changed = table().assign(a=["x", "y"] * 200)
    rules = {"columns": ["a", "b"], "categories": {"a": ["x", "y", "z"]}}
    frame = build_frame(spec(features=rules), changed)
    assert list(frame.features) == ["a=x", "a=y", "a=z", "b"]
    assert frame.features[["a=x", "a=y", "a=z"]].sum(axis=1).eq(1).all()


def test_the_order_of_the_input_changes_nothing() -> None:
    asked = spec(row_id="id")
    shuffled = table().sample(frac=1, random_state=5)
    assert build_frame(asked, table()).sha256 == build_frame(asked, shuffled).sha256


def test_a_filter_keeps_one_line_and_counts_the_rest() -> None:
    both = pd.concat([table().assign(line_id="one"), table().assign(line_id="two")])
    frame = build_frame(spec(row_id="id", where={"line_id": "two"}), both)
    assert (len(frame), frame.dropped) == (400, 400)


def test_strata_name_their_intervals() -> None:
    cut = {"column": "b", "title": {"en": "B", "hi": "बी"}, "edges": [-1, 0.5]}
    frame = build_frame(spec(strata=[cut]), table())
    assert set(frame.groups["b"]) == {"below -1", "-1 to 0.5", "0.5 and more"}


def test_tables_are_read_by_their_ending(tmp_path: Path) -> None:
    table().to_parquet(tmp_path / "t.parquet")
    table().to_csv(tmp_path / "t.csv", index=False)
    assert read_table(tmp_path / "t.parquet").shape == read_table(tmp_path / "t.csv").shape
    with pytest.raises(SpecError, match="not found"):
        read_table(tmp_path / "none.csv")
    (tmp_path / "t.xlsx").write_bytes(b"x")
    with pytest.raises(SpecError, match=r"\.parquet or \.csv"):
        read_table(tmp_path / "t.xlsx")
    (tmp_path / "bad.parquet").write_bytes(b"not parquet")
    with pytest.raises(DataError, match="cannot be read"):
        read_table(tmp_path / "bad.parquet")
