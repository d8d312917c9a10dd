"""Fitting: a logistic baseline, a monotone booster, and a sigmoid that keeps its ranks.

Nothing here splits, measures or writes. A fit depends on its data alone: no subsampling, no
random state, rows in key order, and the same bytes on one thread or two.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np
import pandas as pd
import xgboost as xgb
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from ml.spec import Training

# Rows from which a tree is grown by all cores.
_LARGE_TABLE = 100_000


def fit_booster(
    features: pd.DataFrame,
    target: np.ndarray,
    weight: np.ndarray,
    monotone: Mapping[str, int],
    training: Training,
    threads: int | None = None,
) -> xgb.Booster:
    """Grow the monotone booster.

    Args:
        features: float32, NaN where missing, shape (n, k).
        target: 0 or 1, shape (n,).
        weight: above zero, shape (n,); scaled to mean one.
        monotone: +1 (more never lowers the score) or -1 (more never raises it) by column.
        training: the booster's size.
        threads: number of threads, which does not change the result; None takes one for a small
            table, where waiting for each other costs more than it gains (200 trees over 7,000
            rows: 0.5 s with two threads alone on the machine, 30 s when others are busy).

    Returns:
        The booster, with the columns' names inside.
    """
    threads = threads or (1 if len(features) < _LARGE_TABLE else os.cpu_count() or 1)
    constraints = tuple(int(monotone.get(name, 0)) for name in features.columns)
    parameters = {
        "objective": "binary:logistic",
        "tree_method": "hist",
        "max_depth": training.depth,
        "learning_rate": training.learning_rate,
        "min_child_weight": training.child_weight,
        "reg_lambda": training.regularisation,
        "monotone_constraints": str(constraints),
        "nthread": threads,
        "seed": 0,
    }
    matrix = xgb.DMatrix(features, label=target, weight=weight / weight.mean(), nthread=threads)
    return xgb.train(parameters, matrix, num_boost_round=training.trees)


def fit_logistic(features: pd.DataFrame, target: np.ndarray, weight: np.ndarray) -> Pipeline:
    """Fit the baseline: medians for missing values with an indicator, standardised, ridge.

    Args:
        features: shape (n, k).
        target: 0 or 1, shape (n,).
        weight: above zero, shape (n,).

    Returns:
        A pipeline with `predict_proba`.
    """
    baseline = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True, keep_empty_features=True),
        StandardScaler(),
        LogisticRegression(max_iter=1000),
    )
    return baseline.fit(
        features.to_numpy(dtype=np.float64),
        target,
        logisticregression__sample_weight=weight / weight.mean(),
    )


def fit_sigmoid(margin: np.ndarray, target: np.ndarray, weight: np.ndarray) -> tuple[float, float]:
    """Fit probability = sigmoid(slope * margin + intercept) on rows the booster has not seen.

    A sigmoid keeps ranks and leaves no new ties (isotonic left 38 distinct scores of 1,500, and
    the line of the budget runs through ties).

    Args:
        margin: log odds of the booster, shape (n,).
        target: 0 or 1, shape (n,).
        weight: above zero, shape (n,).

    Returns:
        (slope, intercept), rounded to six decimals; (1, 0) where the margin ranks no better than
        chance, because a slope that is not above zero would turn the ranking round.
    """
    fitted = LogisticRegression(C=1e6, max_iter=1000).fit(
        margin.reshape(-1, 1), target, sample_weight=weight / weight.mean()
    )
    slope, intercept = float(fitted.coef_[0, 0]), float(fitted.intercept_[0])
    if slope <= 0:
        return 1.0, 0.0
    return round(slope, 6), round(intercept, 6)
