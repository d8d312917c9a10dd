"""What holds for any table: constraints, sums, budgets and splits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ml.errors import DataError
from ml.explain import explain, monotone_violations, reasons
from ml.fit import fit_booster, fit_sigmoid
from ml.frame import build_frame
from ml.metrics import Ranking
from ml.model import Model
from ml.spec import ModelSpec, Training, parse_spec
from ml.splits import assert_disjoint, assign

RULES = {"monotone": {"income": -1, "debts": 1}}


def spec() -> ModelSpec:
    return parse_spec(
        {
            "model_id": "any_table",
            "title": {"en": "Any", "hi": "कोई"},
            "target": {"column": "y"},
            "features": {"columns": ["income", "debts", "noise"], **RULES},
        }
    )


def fitted(seed: int, sign: float = -1.0) -> tuple[Model, pd.DataFrame]:
    """A model on a table whose true slope may go against the constraint."""
    rng = np.random.default_rng(seed)
    features = pd.DataFrame(
        rng.normal(size=(800, 3)).astype(np.float32), columns=["income", "debts", "noise"]
    )
    features.loc[rng.random(800) < 0.1, "income"] = np.nan
    score = sign * features["income"].fillna(0) + features["noise"] + rng.normal(size=800)
    target = (score > 0).to_numpy().astype(np.int8)
    booster = fit_booster(features, target, np.ones(800), RULES["monotone"], Training(trees=40))
    return Model.seal(booster, spec(), (0.9, 0.1), features.median()), features


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000), sign=st.sampled_from([-1.0, 1.0]))
def test_more_income_never_raises_the_probability_whatever_the_data_says(
    seed: int, sign: float
) -> None:
    model, features = fitted(seed, sign)
    assert monotone_violations(model, features) == 0
    raised = features.assign(income=features["income"] + np.float32(0.7))
    assert (model.probabilities(raised) <= model.probabilities(features) + 1e-7).all()


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_contributions_add_up_to_the_score(seed: int) -> None:
    model, features = fitted(seed)
    found = explain(model, features)
    assert found.additivity_error < 1e-4
    total = found.values.sum(axis=1) + found.base
    assert np.abs(total - model.margins(features)).max() < 1e-4


def test_contributions_are_shaps() -> None:
    shap = pytest.importorskip("shap")
    model, features = fitted(1)
    theirs = shap.TreeExplainer(model.booster).shap_values(features)
    assert np.abs(theirs - explain(model, features).values.to_numpy()).max() < 1e-4


def test_reasons_are_the_largest_parts_in_words_of_both_languages() -> None:
    model, features = fitted(3)
    found = explain(model, features)
    told = reasons(model, features, found, top=2)
    strongest = found.values.idxmax(axis=1)
    for row in (0, 17, 400):
        if found.values.loc[row].max() > 0:
            assert told["reason_codes"][row][0].startswith(strongest[row].upper())
        assert len(told["reason_codes"][row]) == (found.values.loc[row] > 0).sum().clip(max=2)
        assert len(told["reasons_en"][row]) == len(told["reasons_hi"][row])
    missing = features["income"].isna()
    codes = {code for row in told["reason_codes"][missing] for code in row}
    assert not codes & {"INCOME_HIGH", "INCOME_LOW"}


@pytest.mark.parametrize("threads", [2, 3])
def test_the_model_is_the_same_bytes_on_any_number_of_threads(threads: int) -> None:
    rng = np.random.default_rng(5)
    features = pd.DataFrame(rng.normal(size=(900, 4)).astype(np.float32), columns=list("abcd"))
    target = (features["a"] > 0).to_numpy().astype(np.int8)
    size = Training(trees=20)
    one = fit_booster(features, target, np.ones(900), {}, size, threads=1)
    many = fit_booster(features, target, np.ones(900), {}, size, threads=threads)
    assert one.save_raw("ubj") == many.save_raw("ubj")


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_calibration_keeps_the_ranks(seed: int) -> None:
    rng = np.random.default_rng(seed)
    margin = rng.normal(size=300)
    target = (margin + rng.normal(size=300) * rng.uniform(0.2, 30) > 0).astype(np.int8)
    slope, _ = fit_sigmoid(margin, target, np.ones(300))
    assert slope > 0


@settings(max_examples=60, deadline=None)
@given(
    data=st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 1), st.integers(1, 9)), min_size=2, max_size=60
    ),
    share=st.floats(0.01, 0.99),
)
def test_a_budget_is_never_passed_and_never_skips_a_row(
    data: list[tuple[int, int, int]], share: float
) -> None:
    score, target, weight = (np.array(part, dtype=float) for part in zip(*data, strict=True))
    ranking = Ranking(score, target, np.arange(len(data)))
    chosen = ranking.selection(weight, share)
    assert weight[chosen].sum() <= share * weight.sum() * (1 + 1e-9)
    flagged = chosen[ranking.order]
    assert (np.diff(flagged.astype(int)) <= 0).all()


@settings(max_examples=15, deadline=None)
@given(employers=st.integers(12, 200), households=st.integers(60, 900), seed=st.integers(0, 1000))
def test_splits_are_disjoint_however_rows_are_linked(
    employers: int, households: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    rows = 1500
    table = pd.DataFrame(
        {
            "employer": rng.integers(0, employers, rows).astype(str),
            "household": rng.integers(0, households, rows).astype(str),
            "district": rng.integers(0, 30, rows),
            "income": rng.normal(size=rows),
            "debts": 0,
            "noise": 0,
            "y": rng.random(rows) < 0.5,
        }
    )
    asked = parse_spec(
        {
            **spec().model_dump(mode="json"),
            "splits": {
                "groups": ["household", "employer"],
                "unseen": {"column": "district", "share": 0.15},
            },
        }
    )
    frame = build_frame(asked, table)
    try:
        assignment = assign(asked, frame)
    except DataError as error:
        # Too tightly linked is an answer; a crossing key (LeakageError) would be a defect.
        assume("give more data, or fewer keys" not in str(error))
        raise
    assert_disjoint(assignment, frame)
    assert sum(assignment.sizes().values()) == rows
