"""Nothing crosses a split, whatever links the rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from ml.errors import DataError, LeakageError
from ml.frame import build_frame
from ml.spec import ModelSpec, parse_spec
from ml.splits import TEST, TRAIN, UNSEEN, assert_disjoint, assign, hashed_order, unseen_rows


def spec(**splits: object) -> ModelSpec:
    return parse_spec(
        {
            "model_id": "linked",
            "title": {"en": "L", "hi": "एल"},
            "row_id": "id",
            "target": {"column": "y"},
            "features": {"columns": ["a"]},
            "splits": splits,
        }
    )


def table(rows: int = 3000, crossing: float = 0.0, seed: int = 1) -> pd.DataFrame:
    """Employers and households inside districts; a share of workers has an employer elsewhere."""
    rng = np.random.default_rng(seed)
    district = rng.integers(0, 40, rows)
    place = np.where(rng.random(rows) < crossing, rng.integers(0, 40, rows), district)
    return pd.DataFrame(
        {
            "id": [f"{number:05d}" for number in range(rows)],
            "household": [
                f"h{d}-{n}" for d, n in zip(district, rng.integers(0, 40, rows), strict=True)
            ],
            "employer": [f"e{d}-{n}" for d, n in zip(place, rng.integers(0, 6, rows), strict=True)],
            "district": district,
            "on": pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 365, rows), "D"),
            "a": rng.normal(size=rows),
            "y": rng.random(rows) < 0.3,
        }
    )


RULES = {"groups": ["household", "employer"], "unseen": {"column": "district", "share": 0.2}}


@pytest.mark.parametrize("crossing", [0.0, 0.02, 0.3, 1.0])
def test_no_household_employer_or_unseen_district_crosses_a_split(crossing: float) -> None:
    asked = spec(**RULES)
    frame = build_frame(asked, table(crossing=crossing))
    assignment = assign(asked, frame)
    assert_disjoint(assignment, frame)
    sizes = assignment.sizes()
    assert sum(sizes.values()) == 3000
    assert sizes[TRAIN] >= 600
    assert sizes[TEST] >= 300
    assert sizes[UNSEEN] >= 60


def test_units_inside_one_district_lose_no_row_to_the_purge() -> None:
    asked = spec(**RULES)
    assignment = assign(asked, build_frame(asked, table(crossing=0.0)))
    assert assignment.is_kept_whole
    assert assignment.sizes()["purged"] == 0


def test_a_planted_leak_is_named_by_column_and_count_without_the_value() -> None:
    asked = spec(**RULES)
    frame = build_frame(asked, table())
    assignment = assign(asked, frame)
    moved = assignment.labels.copy()
    moved[np.flatnonzero(moved == TEST)[0]] = TRAIN
    with pytest.raises(LeakageError, match="expected no value in both") as caught:
        assert_disjoint(replace(assignment, labels=moved), frame)
    assert "h1-" not in str(caught.value)


def test_a_held_out_district_used_in_training_is_a_leak() -> None:
    asked = spec(unseen={"column": "district", "share": 0.2})
    frame = build_frame(asked, table())
    assignment = assign(asked, frame)
    moved = assignment.labels.copy()
    moved[np.flatnonzero(moved == UNSEEN)[0]] = TRAIN
    with pytest.raises(LeakageError, match="district"):
        assert_disjoint(replace(assignment, labels=moved), frame)


def test_the_split_is_a_function_of_the_keys_alone() -> None:
    asked = spec(**RULES)
    first = assign(asked, build_frame(asked, table())).labels
    again = assign(asked, build_frame(asked, table().sample(frac=1, random_state=2))).labels
    assert (first == again).all()
    other = spec(**RULES, seed="another")
    assert (first != assign(other, build_frame(other, table())).labels).any()


def test_new_rows_move_no_old_district_out_of_the_unseen_part() -> None:
    old = table(3000)
    held = {*old["district"][unseen_rows(old["district"].astype(str), 0.2, "s")]}
    more = pd.concat([old, table(300, seed=9)])
    held_later = {*more["district"][unseen_rows(more["district"].astype(str), 0.2, "s")]}
    assert len(held & held_later) >= len(held) - 1


def test_evaluation_in_time_comes_after_training() -> None:
    asked = spec(groups=["employer"], latest={"column": "on", "share": 0.4})
    frame = build_frame(asked, table())
    assignment = assign(asked, frame)
    moment = frame.moment.to_numpy()
    assert moment[assignment.rows(TRAIN)].max() < moment[assignment.rows(TEST)].min()
    assert (
        assignment.latest_from
        == pd.Timestamp(moment[assignment.rows(TEST)].min()).date().isoformat()
    )


def test_one_employer_for_everybody_is_refused_with_advice() -> None:
    asked = spec(groups=["employer"])
    with pytest.raises(DataError, match="give more data, or fewer keys"):
        assign(asked, build_frame(asked, table().assign(employer="only")))


def test_rows_without_a_key_are_their_own_unit() -> None:
    asked = spec(groups=["employer"])
    assignment = assign(asked, build_frame(asked, table().assign(employer=None)))
    assert assignment.sizes()["purged"] == 0
    assert 0.2 < assignment.sizes()[TEST] / 3000 < 0.3


def test_ties_are_ordered_by_key_and_seed_only() -> None:
    keys = np.array(["a", "b", "c"])
    assert (hashed_order(keys, "x") == hashed_order(keys[::-1], "x")[::-1]).all()
    assert (hashed_order(keys, "x") != hashed_order(keys, "y")).all()
