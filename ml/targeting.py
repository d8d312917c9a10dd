"""What a ranking means for a programme with a budget: who is missed, who is reached in error.

The comparison is always with the rule in use today on the same rows and draws: a model has to
beat what exists, not an ideal.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ml.metrics import DRAWS, Estimate, Ranking, bootstrap, estimate, figures

# Budgets of the targeting curve, as shares of the weighted rows.
CURVE = tuple(round(step / 100, 2) for step in range(5, 65, 5))
# Differences that gates rest on.
PAIRED = ("auc", "exclusion_error")


@dataclass(frozen=True)
class Comparison:
    """Scores against each other on the same rows.

    Attributes:
        metrics: estimate by scorer and metric id.
        differences: "model minus other" by other scorer and metric id, drawn in pairs.
        curve: exclusion and inclusion error by scorer, one point per budget of `CURVE`.
    """

    metrics: dict[str, dict[str, Estimate]]
    differences: dict[str, dict[str, Estimate]]
    curve: dict[str, list[dict[str, float]]]


def compare(
    rankings: Mapping[str, Ranking],
    weight: np.ndarray,
    cluster: np.ndarray,
    share: float,
    seed: int,
    draws: int = DRAWS,
) -> Comparison:
    """Measure every scorer and its difference from "model".

    Args:
        rankings: by scorer; "model" must be there; "incumbent" is not a probability.
        weight: shape (n,).
        cluster: units that intervals resample, shape (n,).
        share: the budget.
        seed: of the resampling.
        draws: how many.
    """

    def statistic(weights: np.ndarray) -> dict[str, np.ndarray]:
        return {
            f"{scorer}.{name}": values
            for scorer, ranking in rankings.items()
            for name, values in figures(ranking, weights, share, scorer != "incumbent").items()
        }

    points = {name: float(value) for name, value in statistic(weight).items()}
    drawn = bootstrap(statistic, weight, cluster, seed, draws)
    metrics: dict[str, dict[str, Estimate]] = {}
    for name, value in points.items():
        scorer, _, metric = name.partition(".")
        metrics.setdefault(scorer, {})[metric] = estimate(value, drawn[name])
    return Comparison(
        metrics=metrics,
        differences={
            other: {name: _difference(points, drawn, other, name) for name in PAIRED}
            for other in rankings
            if other != "model"
        },
        curve={scorer: curve(ranking, weight) for scorer, ranking in rankings.items()},
    )


def curve(ranking: Ranking, weight: np.ndarray) -> list[dict[str, float]]:
    """Exclusion and inclusion error at each budget of `CURVE`."""
    points = []
    for share in CURVE:
        found = ranking.at_budget(weight, share)
        points.append(
            {
                "budget": share,
                "exclusion_error": float(found["exclusion_error"]),
                "inclusion_error": float(found["inclusion_error"]),
            }
        )
    return points


def _difference(
    points: Mapping[str, float], drawn: Mapping[str, np.ndarray], other: str, name: str
) -> Estimate:
    value = points[f"model.{name}"] - points[f"{other}.{name}"]
    return estimate(value, drawn[f"model.{name}"] - drawn[f"{other}.{name}"])
