"""Errors by group of people: counts, rates, intervals, gaps. Assess and mitigate, never debias.

The exclusion error (share of those entitled who are not flagged) comes first: it is the one that
costs a family its ration. Rates are fairlearn's; intervals draw each group's confusion counts
2,000 times (0.03 s; fairlearn's own bootstrap took 18 s for the same).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from fairlearn.metrics import (
    MetricFrame,
    false_negative_rate,
    false_positive_rate,
    selection_rate,
)

from ml.frame import UNKNOWN
from ml.metrics import Estimate, Ranking, calibration_noise, estimate
from ml.spec import Minimums

GROUP_DRAWS = 2000
RATES = {
    "exclusion_error": false_negative_rate,
    "selection_share": selection_rate,
    "inclusion_error": false_positive_rate,
}


@dataclass(frozen=True)
class GroupFigures:
    """One group. Suppressed groups keep their name and lose every figure.

    Attributes:
        group: value of the closed vocabulary, or "unknown".
        rows: rows evaluated; None when suppressed.
        positives: rows of the positive class; None when suppressed.
        is_suppressed: fewer rows than may be shown.
        is_gated: enough positives for a gate to rest on.
        rates: estimate by rate id; a rate without a denominator is absent.
        exclusion_error_weighted: the same share with design weights.
        calibration_error: of the probabilities within the group.
        calibration_noise: what a perfectly calibrated model of this size can show.
        versus_incumbent: exclusion error, model minus incumbent, drawn in pairs.
    """

    group: str
    rows: int | None
    positives: int | None
    is_suppressed: bool
    is_gated: bool
    rates: dict[str, Estimate]
    exclusion_error_weighted: float | None = None
    calibration_error: float | None = None
    calibration_noise: float | None = None
    versus_incumbent: Estimate | None = None


@dataclass(frozen=True)
class Gap:
    """How far the groups of an attribute are apart in one rate.

    Attributes:
        metric: "exclusion_error", "inclusion_error" (largest minus smallest) or "selection_ratio"
            (smallest over largest).
        estimate: the two most different groups; the lower end is their signed difference's, the
            upper end that of the largest difference in each draw, so both ends are cautious.
        groups: the two groups compared, higher rate first.
        is_gated: whether every group compared has enough positives.
    """

    metric: str
    estimate: Estimate
    groups: tuple[str, str]
    is_gated: bool


@dataclass(frozen=True)
class Assessment:
    """One attribute (or crossing of attributes) over all of its groups."""

    attribute: str
    groups: tuple[GroupFigures, ...]
    gaps: tuple[Gap, ...]
    unknown_rows: int

    @property
    def suppressed(self) -> list[str]:
        """Names of the groups too small to show."""
        return [group.group for group in self.groups if group.is_suppressed]


@dataclass(frozen=True)
class Evaluated:
    """Rows that judged the model: arrays of one length."""

    target: np.ndarray
    probability: np.ndarray
    flagged: np.ndarray
    weight: np.ndarray
    incumbent_flagged: np.ndarray | None
    groups: pd.DataFrame


def assess(
    attribute: str, rows: Evaluated, minimums: Minimums, seed: int, draws: int = GROUP_DRAWS
) -> Assessment:
    """Measure every group of one attribute and the gaps between them.

    Args:
        attribute: a column of `rows.groups`.
        rows: the evaluated rows.
        minimums: sizes below which a group is suppressed or not gated.
        seed: of the resampling.
        draws: how many.

    Returns:
        The groups by name, "unknown" last, and the gaps among those shown and known.
    """
    values = rows.groups[attribute].to_numpy(dtype=object)
    names = sorted({*values}, key=lambda name: (name == UNKNOWN, name))
    table = group_rates(rows, values)
    figures, drawn = [], {}
    for number, name in enumerate(names):
        chosen = values == name
        if chosen.sum() < minimums.group_rows:
            figures.append(GroupFigures(name, None, None, True, False, {}))
            continue
        drawn[name] = draw_rates(
            confusion(rows.target[chosen], rows.flagged[chosen]), seed + number, draws
        )
        figures.append(_figures(name, rows, chosen, table.loc[name], drawn[name], minimums, seed))
    known = [group for group in figures if group.group != UNKNOWN and not group.is_suppressed]
    gaps = [_gap(metric, known, drawn) for metric in ("exclusion_error", "inclusion_error")]
    gaps.append(_selection_ratio(known, drawn))
    return Assessment(
        attribute=attribute,
        groups=tuple(figures),
        gaps=tuple(gap for gap in gaps if gap is not None),
        unknown_rows=int((values == UNKNOWN).sum()),
    )


def group_rates(rows: Evaluated, values: np.ndarray) -> pd.DataFrame:
    """fairlearn's rates by group: one row per group, columns as `RATES` plus the weighted one."""
    weighted = "exclusion_error_weighted"
    frame = MetricFrame(
        metrics={**RATES, weighted: false_negative_rate},
        y_true=rows.target.astype(np.int64),
        y_pred=rows.flagged.astype(np.int64),
        sensitive_features=pd.Series(values, name="group"),
        sample_params={weighted: {"sample_weight": rows.weight}},
    )
    return frame.by_group


def confusion(target: np.ndarray, flagged: np.ndarray) -> np.ndarray:
    """Counts of (flagged positive, missed positive, flagged negative, other negative)."""
    positive, chosen = target.astype(bool), flagged.astype(bool)
    cells = (positive & chosen, positive & ~chosen, ~positive & chosen, ~positive & ~chosen)
    return np.array([int(cell.sum()) for cell in cells])


def draw_rates(counts: np.ndarray, seed: int, draws: int = GROUP_DRAWS) -> dict[str, np.ndarray]:
    """Rates of a group under multinomial draws of its confusion counts.

    Half a row is added to each cell before drawing: an error that was never seen in a small group
    would otherwise get an interval of no width.

    Args:
        counts: as from `confusion`.
        seed: of the draws.
        draws: how many.

    Returns:
        values by rate id, shape (draws,); NaN where a draw has no denominator.
    """
    rng = np.random.default_rng(seed)
    cells = rng.multinomial(int(counts.sum()), (counts + 0.5) / (counts.sum() + 2), size=draws)
    hit, missed, wrong, other = cells.T.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "exclusion_error": missed / (hit + missed),
            "selection_share": (hit + wrong) / counts.sum(),
            "inclusion_error": wrong / (wrong + other),
        }


def _figures(
    name: str,
    rows: Evaluated,
    chosen: np.ndarray,
    rates: pd.Series,
    drawn: dict[str, np.ndarray],
    minimums: Minimums,
    seed: int,
) -> GroupFigures:
    target, probability = rows.target[chosen], rows.probability[chosen]
    positives, weight = int(target.sum()), rows.weight[chosen]
    usable = {"selection_share"}
    usable |= {"exclusion_error"} if positives else set()
    usable |= {"inclusion_error"} if positives < len(target) else set()
    ranking = Ranking(probability, target, np.arange(len(target)))
    return GroupFigures(
        group=name,
        rows=len(target),
        positives=positives,
        is_suppressed=False,
        is_gated=positives >= minimums.gate_positives and name != UNKNOWN,
        rates={
            metric: estimate(float(rates[metric]), drawn[metric])
            for metric in RATES
            if metric in usable
        },
        exclusion_error_weighted=(
            float(rates["exclusion_error_weighted"]) if "exclusion_error" in usable else None
        ),
        calibration_error=float(ranking.calibration_error(weight)),
        calibration_noise=calibration_noise(probability, weight, seed),
        versus_incumbent=_versus_incumbent(rows, chosen, seed) if positives else None,
    )


def _versus_incumbent(rows: Evaluated, chosen: np.ndarray, seed: int) -> Estimate | None:
    """Exclusion error of the model minus the incumbent's among the same people."""
    if rows.incumbent_flagged is None:
        return None
    entitled = chosen & rows.target.astype(bool)
    ours, theirs = rows.flagged[entitled], rows.incumbent_flagged[entitled]
    counts = np.array([(~ours & theirs).sum(), (ours & ~theirs).sum(), (ours == theirs).sum()])
    rng = np.random.default_rng(seed)
    cells = rng.multinomial(counts.sum(), (counts + 0.5) / (counts.sum() + 1.5), size=GROUP_DRAWS)
    value = (counts[0] - counts[1]) / counts.sum()
    return estimate(float(value), (cells[:, 0] - cells[:, 1]) / counts.sum())


def _gap(
    metric: str, known: Sequence[GroupFigures], drawn: dict[str, dict[str, np.ndarray]]
) -> Gap | None:
    """Largest minus smallest rate. Groups with enough positives are compared, if two have them."""
    able = [group for group in known if metric in group.rates]
    gated = [group for group in able if group.is_gated]
    compared = gated if len(gated) >= 2 else able
    if len(compared) < 2:
        return None
    ranked = sorted(compared, key=lambda group: -group.rates[metric].value)
    high, low = ranked[0], ranked[-1]
    draws = np.stack([drawn[group.group][metric] for group in compared])
    signed = drawn[high.group][metric] - drawn[low.group][metric]
    spread = draws.max(axis=0) - draws.min(axis=0)
    value = high.rates[metric].value - low.rates[metric].value
    return Gap(
        metric=metric,
        estimate=Estimate(
            value, estimate(value, signed).lower, max(value, estimate(value, spread).upper)
        ),
        groups=(high.group, low.group),
        is_gated=len(gated) >= 2,
    )


def _selection_ratio(
    known: Sequence[GroupFigures], drawn: dict[str, dict[str, np.ndarray]]
) -> Gap | None:
    if len(known) < 2:
        return None
    ranked = sorted(known, key=lambda group: -group.rates["selection_share"].value)
    high, low = ranked[0], ranked[-1]
    top = high.rates["selection_share"].value
    if top == 0:
        return None
    value = low.rates["selection_share"].value / top
    with np.errstate(invalid="ignore", divide="ignore"):
        ratio = drawn[low.group]["selection_share"] / drawn[high.group]["selection_share"]
    return Gap(
        metric="selection_ratio",
        estimate=estimate(value, ratio[np.isfinite(ratio)]),
        groups=(high.group, low.group),
        is_gated=high.is_gated and low.is_gated,
    )
