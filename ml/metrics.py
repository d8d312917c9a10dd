"""Figures about scores, weighted, with intervals: ranking, calibration and errors at a budget.

Every figure is a function of a vector of weights, so that one bootstrap (weights times how often
a unit was drawn) gives the interval of each of them and, drawn together, of their differences.
Groups of people belong in `fairness`, not here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

# Bins of equal size along the score, for the calibration error.
CALIBRATION_BINS = 10
# 1,000 draws put the ends of a 95% interval within about 3% of its width.
DRAWS = 1000
# Cells held at once while resampling (100 MB of float64).
_BATCH_CELLS = 12_000_000


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95% interval."""

    value: float
    lower: float
    upper: float


class Ranking:
    """Rows in the order of a score, ready to be weighed many times.

    Args:
        score: higher = more positive; NaN ranks last (the rule has nothing to say), shape (n,).
        target: 0 or 1, shape (n,).
        tie: fixed order among equal scores, lower first, shape (n,).
    """

    def __init__(self, score: np.ndarray, target: np.ndarray, tie: np.ndarray) -> None:
        usable = np.where(np.isnan(score), -np.inf, score)
        self.order = np.lexsort((tie, -usable))
        self.score = usable[self.order]
        self.target = target[self.order].astype(np.float64)
        self._starts = np.flatnonzero(np.r_[True, np.diff(self.score) != 0])

    def auc(self, weight: np.ndarray) -> np.ndarray:
        """Area under the ROC curve, ties counted half; weight (..., n) -> (...)."""
        positives, negatives = self._by_score(weight)
        before = np.cumsum(positives, axis=-1) - positives / 2
        total = positives.sum(axis=-1) * negatives.sum(axis=-1)
        return (negatives * before).sum(axis=-1) / np.maximum(total, 1e-300)

    def average_precision(self, weight: np.ndarray) -> np.ndarray:
        """Mean precision over the positives; weight (..., n) -> (...)."""
        positives, negatives = self._by_score(weight)
        hits = np.cumsum(positives, axis=-1)
        flagged = hits + np.cumsum(negatives, axis=-1)
        precision = hits / np.maximum(flagged, 1e-300)
        return (precision * positives).sum(axis=-1) / np.maximum(hits[..., -1], 1e-300)

    def flagged(self, weight: np.ndarray, share: float) -> np.ndarray:
        """Which rows a budget reaches, in ranked order: never more than the budget allows."""
        spent = np.cumsum(weight[..., self.order], axis=-1)
        return spent <= share * spent[..., -1:] * (1 + 1e-12)

    def selection(self, weight: np.ndarray, share: float) -> np.ndarray:
        """Which rows a budget reaches, in the order of the rows; weight (n,) -> boolean (n,)."""
        chosen = np.zeros(len(self.order), dtype=bool)
        chosen[self.order] = self.flagged(weight, share)
        return chosen

    def at_budget(self, weight: np.ndarray, share: float) -> dict[str, np.ndarray]:
        """Errors when a budget is spent down the ranking.

        Args:
            weight: shape (..., n).
            share: share of the weight that can be flagged.

        Returns:
            exclusion_error (positives not flagged), inclusion_error (negatives flagged), leakage
            (share of the flagged that are negative) and coady_grosh_hoddinott (share of positives
            among the flagged over their share among all: 1 is no targeting), each (...).
        """
        ordered = weight[..., self.order]
        chosen = self.flagged(weight, share)
        positives, everyone = (ordered * self.target).sum(axis=-1), ordered.sum(axis=-1)
        hits = (ordered * self.target * chosen).sum(axis=-1)
        reached = np.maximum((ordered * chosen).sum(axis=-1), 1e-300)
        precision = hits / reached
        return {
            "exclusion_error": 1 - hits / np.maximum(positives, 1e-300),
            "inclusion_error": (reached - hits) / np.maximum(everyone - positives, 1e-300),
            "leakage": 1 - precision,
            "coady_grosh_hoddinott": precision / np.maximum(positives / everyone, 1e-300),
        }

    def calibration_error(self, weight: np.ndarray) -> np.ndarray:
        """Expected calibration error over bins of equal size; weight (..., n) -> (...)."""
        ordered = weight[..., self.order]
        edges = _edges(len(self.score))
        gap = np.add.reduceat(ordered * (self.target - self.score), edges, axis=-1)
        return np.abs(gap).sum(axis=-1) / ordered.sum(axis=-1)

    def brier(self, weight: np.ndarray) -> np.ndarray:
        """Mean squared error of the probability; weight (..., n) -> (...)."""
        ordered = weight[..., self.order]
        return (ordered * (self.target - self.score) ** 2).sum(axis=-1) / ordered.sum(axis=-1)

    def reliability(self, weight: np.ndarray) -> list[dict[str, float]]:
        """Mean probability and observed share by bin, from low to high scores."""
        ordered, edges = weight[self.order], _edges(len(self.score))
        total = np.add.reduceat(ordered, edges)
        predicted = np.add.reduceat(ordered * self.score, edges) / total
        observed = np.add.reduceat(ordered * self.target, edges) / total
        pairs = zip(predicted[::-1], observed[::-1], strict=True)
        return [{"predicted": float(left), "observed": float(right)} for left, right in pairs]

    def _by_score(self, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ordered = weight[..., self.order]
        if len(self._starts) == len(self.order):
            # No ties: most of the time of a bootstrap would go into sums of single rows.
            return ordered * self.target, ordered * (1 - self.target)
        positives = np.add.reduceat(ordered * self.target, self._starts, axis=-1)
        return positives, np.add.reduceat(ordered, self._starts, axis=-1) - positives


def figures(
    ranking: Ranking, weight: np.ndarray, share: float, is_probability: bool
) -> dict[str, np.ndarray]:
    """All figures of one ranking for one or many weight vectors, by id.

    Args:
        ranking: the ranked rows.
        weight: shape (..., n).
        share: budget as a share of the weight.
        is_probability: whether Brier and calibration mean anything for this score.
    """
    found = {
        "auc": ranking.auc(weight),
        "average_precision": ranking.average_precision(weight),
        **ranking.at_budget(weight, share),
    }
    if is_probability:
        found["brier"] = ranking.brier(weight)
        found["calibration_error"] = ranking.calibration_error(weight)
    return found


def bootstrap(
    statistic: Callable[[np.ndarray], Mapping[str, np.ndarray]],
    weight: np.ndarray,
    cluster: np.ndarray,
    seed: int,
    draws: int = DRAWS,
) -> dict[str, np.ndarray]:
    """Draw whole units with replacement and compute statistics under each draw.

    Args:
        statistic: from weights (batch, n) to one value per draw, by name.
        weight: design weights, shape (n,).
        cluster: code of the unit of each row, shape (n,).
        seed: of the resampling; no protection rests on it.
        draws: how many.

    Returns:
        values by name, shape (draws,).
    """
    parts: dict[str, list[np.ndarray]] = {}
    for batch in _resampled(weight, cluster, seed, draws):
        for name, values in statistic(batch).items():
            parts.setdefault(name, []).append(values)
    return {name: np.concatenate(values) for name, values in parts.items()}


def estimate(value: float, draws: np.ndarray) -> Estimate:
    """A figure with the 2.5% and 97.5% quantiles of its draws; NaN draws are left out."""
    usable = draws[~np.isnan(draws)]
    if len(usable) == 0:
        return Estimate(value=float(value), lower=float("nan"), upper=float("nan"))
    lower, upper = np.quantile(usable, (0.025, 0.975))
    return Estimate(value=float(value), lower=float(lower), upper=float(upper))


def calibration_noise(probability: np.ndarray, weight: np.ndarray, seed: int) -> float:
    """How large a calibration error a perfectly calibrated model of this size can show.

    Args:
        probability: predicted probabilities, shape (n,).
        weight: shape (n,).
        seed: of the simulation.

    Returns:
        95% quantile of the calibration error over 200 outcomes drawn from the probabilities
        themselves. An error below it proves nothing against the model.
    """
    rng = np.random.default_rng(seed)
    order = np.argsort(-probability, kind="stable")
    score, ordered, edges = probability[order], weight[order], _edges(len(probability))
    errors = []
    for _ in range(200):
        outcome = rng.random(len(score)) < score
        gap = np.add.reduceat(ordered * (outcome - score), edges)
        errors.append(np.abs(gap).sum() / ordered.sum())
    return float(np.quantile(errors, 0.95))


def _edges(rows: int) -> np.ndarray:
    bins = min(CALIBRATION_BINS, rows)
    return (np.arange(bins) * rows) // bins


def _resampled(
    weight: np.ndarray, cluster: np.ndarray, seed: int, draws: int
) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(seed)
    _, codes = np.unique(cluster, return_inverse=True)
    units = int(codes.max()) + 1
    batch = max(1, min(draws, _BATCH_CELLS // max(len(weight), 1)))
    for start in range(0, draws, batch):
        size = min(batch, draws - start)
        counts = rng.multinomial(units, np.full(units, 1 / units), size=size)
        yield counts[:, codes] * weight
