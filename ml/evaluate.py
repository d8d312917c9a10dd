"""Judging a fitted model on rows it never saw: figures, groups and explanations in one place.

This module only brings the others together; each figure is computed where its name says
(`metrics`, `targeting`, `fairness`, `explain`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from ml.explain import Explanation, explain, influence, monotone_violations, stability
from ml.fairness import Assessment, Evaluated, assess
from ml.fit import fit_booster
from ml.frame import TrainingFrame
from ml.metrics import Estimate, Ranking, bootstrap, calibration_noise, estimate
from ml.model import Model
from ml.spec import ModelSpec
from ml.splits import TEST, TRAIN, UNSEEN, Assignment, hashed_order
from ml.targeting import Comparison, compare

# Refits on nine tenths of the training rows that reasons are compared with.
STABILITY_REFITS = 3
_STABILITY_ROWS = 1000


@dataclass(frozen=True)
class Evaluation:
    """Everything measured about a model.

    Attributes:
        rows: positions in the frame of the evaluated rows (test and unseen), shape (m,).
        probability: of the model for these rows, shape (m,).
        flagged: whether the budget reaches them, shape (m,).
        comparison: model, logistic baseline and incumbent on the same rows.
        split_auc: AUC on "test" and "unseen" alone.
        unseen_drop: AUC on test minus AUC on unseen, or None without such a part.
        noise: calibration error that a perfectly calibrated model of this size can show.
        reliability: mean probability and observed share by bin.
        assessments: one per grouping, stratum and crossing.
        additivity_error: of the contributions, in log odds.
        monotone_violations: number of steps against a constraint.
        stability: share of reasons kept under refits.
        influence: share of the total contribution by encoded feature, largest first.
    """

    rows: np.ndarray
    probability: np.ndarray
    flagged: np.ndarray
    comparison: Comparison
    split_auc: dict[str, Estimate]
    unseen_drop: Estimate | None
    noise: float
    reliability: list[dict[str, float]]
    assessments: tuple[Assessment, ...]
    additivity_error: float
    monotone_violations: int
    stability: float
    influence: pd.Series


def evaluate(
    spec: ModelSpec, frame: TrainingFrame, assignment: Assignment, model: Model, baseline: Pipeline
) -> Evaluation:
    """Measure a model on the test and unseen rows.

    Args:
        spec: the specification.
        frame: all rows.
        assignment: which rows are which.
        model: the sealed model.
        baseline: the fitted logistic baseline.

    Returns:
        The measurements; the same for the same model and data, seeds come from the model's hash.
    """
    rows = assignment.rows(TEST, UNSEEN)
    seed = int(model.sha256[:8], 16)
    features = frame.features.iloc[rows].reset_index(drop=True)
    target, weight = frame.target[rows], frame.weight[rows]
    rankings = _rankings(spec, frame, rows, model, baseline)
    probability = model.probabilities(features)
    share = spec.budget.share
    flagged = rankings["model"].selection(weight, share)
    incumbent = rankings.get("incumbent")
    judged = Evaluated(
        target=target,
        probability=probability,
        flagged=flagged,
        weight=weight,
        incumbent_flagged=incumbent.selection(weight, share) if incumbent else None,
        groups=frame.groups.iloc[rows].reset_index(drop=True),
    )
    explanation = explain(model, features)
    split_auc, drop = _by_split(frame, assignment, rows, rankings["model"], seed)
    return Evaluation(
        rows=rows,
        probability=probability,
        flagged=flagged,
        comparison=compare(rankings, weight, frame.cluster[rows], share, seed),
        split_auc=split_auc,
        unseen_drop=drop,
        noise=calibration_noise(probability, weight, seed),
        reliability=rankings["model"].reliability(weight),
        assessments=tuple(assess(name, judged, spec.minimums, seed) for name in judged.groups),
        additivity_error=explanation.additivity_error,
        monotone_violations=monotone_violations(model, features),
        stability=_stability(spec, frame, assignment, features, explanation),
        influence=influence(explanation, weight),
    )


def evaluation_table(
    spec: ModelSpec, frame: TrainingFrame, assignment: Assignment, evaluation: Evaluation
) -> pd.DataFrame:
    """One row per evaluated unit, for the layer that may publish statistics about people.

    Returns:
        columns: the row id (its own name, or "row_id"), split, each gated grouping (closed
        vocabulary plus "unknown"), y_true bool, y_score float64, y_pred bool, design_weight.
    """
    rows = evaluation.rows
    table = pd.DataFrame({spec.row_id or "row_id": frame.ids[rows]})
    table["split"] = assignment.labels[rows]
    for grouping in spec.groupings:
        if grouping.is_gated:
            table[grouping.column] = frame.groups[grouping.column].to_numpy()[rows]
    table["y_true"] = frame.target[rows].astype(bool)
    table["y_score"] = evaluation.probability
    table["y_pred"] = evaluation.flagged
    table["design_weight"] = frame.weight[rows]
    return table


def _rankings(
    spec: ModelSpec, frame: TrainingFrame, rows: np.ndarray, model: Model, baseline: Pipeline
) -> dict[str, Ranking]:
    features, target = frame.features.iloc[rows], frame.target[rows]
    tie = hashed_order(frame.ids[rows], spec.splits.seed)
    logistic = baseline.predict_proba(features.to_numpy(dtype=np.float64))[:, 1]
    scores = {"model": model.probabilities(features), "logistic": logistic}
    if frame.incumbent is not None:
        scores["incumbent"] = frame.incumbent[rows]
    return {name: Ranking(score, target, tie) for name, score in scores.items()}


def _by_split(
    frame: TrainingFrame, assignment: Assignment, rows: np.ndarray, ranking: Ranking, seed: int
) -> tuple[dict[str, Estimate], Estimate | None]:
    """AUC on each part, from the one ranking with the other part weighed at zero."""
    weight, labels = frame.weight[rows], assignment.labels[rows]
    names = [name for name in (TEST, UNSEEN) if (labels == name).any()]
    masks = {name: (labels == name).astype(np.float64) for name in names}

    def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {name: ranking.auc(weights * mask) for name, mask in masks.items()}

    points = statistic(weight)
    drawn = bootstrap(statistic, weight, frame.cluster[rows], seed)
    found = {name: estimate(float(points[name]), drawn[name]) for name in names}
    if UNSEEN not in found:
        return found, None
    drop = estimate(float(points[TEST] - points[UNSEEN]), drawn[TEST] - drawn[UNSEEN])
    return found, drop


def _stability(
    spec: ModelSpec,
    frame: TrainingFrame,
    assignment: Assignment,
    features: pd.DataFrame,
    explanation: Explanation,
) -> float:
    """How far the reasons survive when a tenth of the training rows is left out."""
    train = assignment.rows(TRAIN)
    sample = features.iloc[:: max(1, len(features) // _STABILITY_ROWS)]
    first = Explanation(explanation.values.loc[sample.index], explanation.base, 0.0)
    kept = []
    for refit in range(STABILITY_REFITS):
        some = train[hashed_order(frame.ids[train], f"refit-{refit}") >= 0.1]
        booster = fit_booster(
            frame.features.iloc[some],
            frame.target[some],
            frame.weight[some],
            spec.features.monotone,
            spec.training,
        )
        other = Model.seal(booster, spec, (1.0, 0.0), pd.Series(dtype=np.float64))
        kept.append(stability(first, explain(other, sample)))
    return float(np.mean(kept))
