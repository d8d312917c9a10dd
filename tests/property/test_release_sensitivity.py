"""Delete any worker: no vector, at any level, moves further than its noise is scaled for."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.release.measure import (
    Vector,
    evaluation_vectors,
    layout_of,
    worker_month_vectors,
    worker_months,
)
from orchestration.release.privacy import noise_scale, rho_of, squared_sensitivity
from orchestration.release.spec import load_release_spec

SPEC = load_release_spec("wages")
RELEASE = SPEC.release
DISTRICTS = [(9, 118), (9, 125), (10, 188), (10, 191), (10, 194)]
LAYOUT = layout_of(
    pd.DataFrame(DISTRICTS, columns=["state_code", "district_code"]), RELEASE.keys["sex"].values
)


def population(seed: int, workers: int = 6) -> pd.DataFrame:
    """Workers who move between districts, change their recorded sex and earn extremes."""
    rng = np.random.default_rng(seed)
    rows = []
    for worker in range(workers):
        for month in rng.choice(12, rng.integers(1, 13), replace=False):
            state, district = DISTRICTS[rng.integers(len(DISTRICTS))]
            rows.append(
                {
                    "worker_id_hash": f"w{worker}",
                    "month": date(2024, int(month) + 1, 1),
                    "state_code": state,
                    "district_code": district,
                    "sex": rng.choice(["female", "male", "other", None, "?"]),
                    "daily_wage_paise": int(rng.choice([-5, 0, 10_000, 37_000, 100_000, 10**9])),
                    "is_assessed": bool(rng.random() < 0.7),
                    "is_below_notified_rate": bool(rng.random() < 0.5),
                }
            )
    return pd.DataFrame(rows)


def vectors(frame: pd.DataFrame) -> dict[tuple[str, str, str], Vector]:
    rows, _ = worker_months(frame, RELEASE, LAYOUT, 0.0)
    return {
        (m.id, v.query, v.level): v
        for m in RELEASE.measurements
        if m.id != "model_fairness"
        for v in worker_month_vectors(rows, m, RELEASE, LAYOUT)
    }


def squared_change(one: Vector, other: Vector) -> int:
    return int(((one.values - other.values) ** 2).sum())


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_deleting_a_worker_stays_within_the_bound_at_every_level_of_every_query(seed):
    frame = population(seed)
    before = vectors(frame)
    assert {level for _, _, level in before} == {"nation", "state", "district"}
    for worker in frame["worker_id_hash"].unique():
        after = vectors(frame[frame["worker_id_hash"] != worker])
        for name, vector in before.items():
            assert squared_change(vector, after[name]) <= vector.squared_l2, name


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_all_vectors_together_cost_a_worker_at_most_the_budget(seed):
    frame = population(seed)
    before = vectors(frame)
    after = vectors(frame[frame["worker_id_hash"] != "w0"])
    total = rho_of(Fraction(1), Fraction("1e-7"))
    cost = 0.0
    for (name, query, level), vector in before.items():
        m = RELEASE.measurement(name)
        scale = noise_scale(vector.squared_l2, total * m.share * m.queries[query] * m.levels[level])
        cost += squared_change(vector, after[name, query, level]) / (2 * scale**2)
    assert cost <= float(total * (1 - RELEASE.measurement("model_fairness").share))


def test_the_bound_is_reached_by_a_worker_of_twelve_months_at_the_largest_wage():
    frame = population(1, workers=1).iloc[:1]
    year = pd.concat([frame.assign(month=date(2024, m, 1)) for m in range(1, 13)])
    before = vectors(year.assign(daily_wage_paise=10**9, is_assessed=True))
    nothing = vectors(year.iloc[:0])
    for name, vector in before.items():
        assert squared_change(vector, nothing[name]) == vector.squared_l2, name
    assert before["geography", "centred_daily_wage", "nation"].squared_l2 == 12 * 45_000**2


def test_moving_every_month_costs_no_more_than_staying():
    base = population(1, workers=1).iloc[[0]]
    places = [DISTRICTS[i % len(DISTRICTS)] for i in range(12)]
    moving = pd.concat(
        [
            base.assign(month=date(2024, i + 1, 1), state_code=s, district_code=d)
            for i, (s, d) in enumerate(places)
        ]
    )
    staying = moving.assign(state_code=9, district_code=118)
    nothing = vectors(moving.iloc[:0])
    for name, vector in vectors(moving).items():
        assert squared_change(vector, nothing[name]) == squared_change(
            vectors(staying)[name], nothing[name]
        )


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_deleting_an_audited_worker_changes_one_cell_of_each_grouping(seed):
    rng = np.random.default_rng(seed)
    n = 10
    frame = pd.DataFrame(
        {
            "worker_id_hash": [f"w{i}" for i in range(n)],
            "split": rng.choice(["train", "test"], n),
            "sex": rng.choice(["female", "male", None], n),
            "social_category": rng.choice(["SC", "ST", "?"], n),
            "y_true": rng.random(n) < 0.5,
            "y_pred": rng.random(n) < 0.5,
        }
    )
    measurement = RELEASE.measurement("model_fairness")
    before = evaluation_vectors(frame, measurement, RELEASE)
    for i in range(n):
        after = evaluation_vectors(frame.drop(index=i), measurement, RELEASE)
        is_tested = frame["split"][i] == "test"
        for one, other in zip(before, after, strict=True):
            assert squared_change(one, other) == int(is_tested) <= one.squared_l2


@pytest.mark.parametrize(("rows", "bound"), [(0, 1), (12, 0), (-1, 1)])
def test_a_sensitivity_without_bounds_is_refused(rows, bound):
    with pytest.raises(ValueError, match="positive bounds"):
        squared_sensitivity(rows, bound)
