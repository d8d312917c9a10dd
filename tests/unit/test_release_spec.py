from __future__ import annotations

from datetime import date
from fractions import Fraction
from pathlib import Path

import pytest
import yaml

from orchestration.release.errors import SpecificationError
from orchestration.release.spec import (
    SPECS,
    DpSpecification,
    canonical_json,
    load_release_spec,
    quarter_of,
    read_yaml,
)


def changed(tmp_path: Path, name: str = "wages", **changes: object) -> Path:
    content = read_yaml(SPECS / f"{name}.yaml") | changes
    path = tmp_path / "changed.yaml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
    return path


@pytest.mark.parametrize("domain", ["wages", "pharma"])
def test_the_specifications_that_ship_load_and_say_everything_in_both_languages(domain):
    spec = load_release_spec(domain)
    for table in spec.release.tables:
        for text in (table.title, table.description, *(m.label for m in table.measures)):
            assert any("\u0900" <= letter <= "\u097f" for letter in text.hi)
            assert text.en.isascii()


def test_the_hash_is_stable_and_moves_with_every_number(tmp_path):
    spec = load_release_spec("wages")
    assert spec.sha256 == load_release_spec("wages").sha256
    assert len(spec.sha256) == 64
    other = load_release_spec(changed(tmp_path, licence="CC0-1.0"))
    assert other.sha256 != spec.sha256


def test_words_may_be_corrected_without_another_draw_but_clip_bounds_may_not(tmp_path):
    spec = load_release_spec("wages")
    words = load_release_spec(changed(tmp_path, citation="Tracient"))
    bounds = load_release_spec(
        changed(
            tmp_path,
            bounds={"daily_wage_paise": {"lower": 10000, "upper": 120000, "source": "test"}},
        )
    )
    before, with_words, with_bounds = (
        s.draw_sha256(s.release.measurements[0], "") for s in (spec, words, bounds)
    )
    assert before == with_words
    assert before != with_bounds


def test_the_spec_is_ten_twenty_seventy_and_spends_the_whole_cap_once():
    release = load_release_spec("wages").release
    assert isinstance(release, DpSpecification)
    geography = release.measurement("geography")
    assert geography.levels == {
        "nation": Fraction(1, 10),
        "state": Fraction(1, 5),
        "district": Fraction(7, 10),
    }
    assert sum(m.share for m in release.measurements) == 1


def test_budget_shares_that_do_not_sum_to_one_are_refused_with_the_sum(tmp_path):
    measurements = read_yaml(SPECS / "wages.yaml")["measurements"]
    measurements[0]["share"] = "0.90"
    with pytest.raises(SpecificationError, match=r"sum to exactly 1.*= 1\.04"):
        load_release_spec(changed(tmp_path, measurements=measurements))


def test_level_shares_that_do_not_sum_to_one_name_the_measurement(tmp_path):
    measurements = read_yaml(SPECS / "wages.yaml")["measurements"]
    measurements[1]["levels"] = {"nation": "0.5", "state": "0.4"}
    with pytest.raises(SpecificationError, match=r"level shares of measurement 'sex'.*0\.9"):
        load_release_spec(changed(tmp_path, measurements=measurements))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"surprise": 1}, "surprise"),
        ({"kind": "open"}, "kind"),
        ({"period": {"from": "2024-01-01", "to": "2025-03-31"}}, "calendar year"),
        ({"bounds": {"daily_wage_paise": {"lower": 9, "upper": 5, "source": "x"}}}, "lower"),
        ({"keys": {"sex": {"source": "x"}}}, "`values` or `frame`"),
    ],
)
def test_a_specification_that_does_not_hold_together_is_refused(tmp_path, changes, message):
    with pytest.raises(SpecificationError, match=message):
        load_release_spec(changed(tmp_path, **changes))


@pytest.mark.parametrize("content", ["- a\n- b\n", "{", None])
def test_a_file_that_is_no_specification_is_refused(tmp_path, content):
    path = tmp_path / "x.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SpecificationError, match=r"x\.yaml"):
        load_release_spec(path)


def test_a_population_without_a_cap_is_refused(tmp_path):
    path = changed(tmp_path, budget={"population": "everybody", "year": 2024})
    with pytest.raises(SpecificationError, match="everybody"):
        load_release_spec(path).cap()


def test_firms_have_no_privacy_budget():
    with pytest.raises(SpecificationError, match="publish_sdc"):
        load_release_spec("pharma").cap()


def test_quarters_and_months_come_from_the_period():
    period = load_release_spec("pharma").release.period
    assert period.quarters()[0] == "2024-Q1"
    assert len(period.quarters()) == 6
    assert period.months()[-1] == date(2025, 6, 1)
    assert quarter_of(date(2024, 10, 1)) == "2024-Q4"


def test_canonical_json_does_not_depend_on_the_order_of_keys():
    assert canonical_json({"b": 1, "a": "हाँ"}) == canonical_json({"a": "हाँ", "b": 1})
