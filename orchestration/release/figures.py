"""From estimates to figures: values, 95% intervals, rounding, and what is not published and why.

Pure arrays: no table, no place, no budget. A figure that is not published is missing with its
reason, never 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from orchestration.release.hierarchy import Floats
from orchestration.release.spec import Limit, PeopleRules

# Two-sided 95% of a normal distribution; the noise is Gaussian by design.
Z95 = 1.959963984540054

BELOW_THRESHOLD = "below_threshold"
INTERVAL_TOO_WIDE = "interval_too_wide"
NOT_ASSESSED = "not_assessed"


@dataclass(frozen=True)
class Figures:
    """Figures of one measure; every array has the same shape.

    Attributes:
        value: The estimate, in the measure's unit.
        lower: Lower end of the 95% interval; NaN when there is none.
        upper: Upper end.
        size: Estimated number of contributors behind the figure.
    """

    value: Floats
    lower: Floats
    upper: Floats
    size: Floats


@dataclass(frozen=True)
class Published:
    """Figures as readers see them; ``reason`` is empty where ``is_published``."""

    value: Floats
    lower: Floats
    upper: Floats
    is_published: NDArray[np.bool_]
    reason: NDArray[np.object_]
    contributors: Floats


def count_figures(value: Floats, variance: Floats) -> Figures:
    """A count with its normal interval.

    Args:
        value: Estimated counts.
        variance: Their noise variance.
    """
    half = Z95 * np.sqrt(variance)
    return Figures(value, value - half, value + half, value)


def ratio_figures(
    numerator: Floats,
    denominator: Floats,
    var_numerator: Floats,
    var_denominator: Floats,
    covariance: Floats | float = 0.0,
    *,
    size: Floats,
) -> Figures:
    """A ratio of two noisy numbers with Fieller's interval.

    The interval is the set of r for which numerator - r * denominator lies within 1.96 standard
    deviations of 0. It is exact for Gaussian noise, where the delta method is too narrow for small
    denominators. When the denominator is not clearly above 0 there is no bounded interval.

    Args:
        numerator: Noisy numerators.
        denominator: Noisy denominators.
        var_numerator: Their noise variances.
        var_denominator: Likewise.
        covariance: Of the two.
        size: Estimated number of contributors.
    """
    z2 = Z95**2
    a = denominator**2 - z2 * var_denominator
    b = numerator * denominator - z2 * covariance
    c = numerator**2 - z2 * var_numerator
    is_bounded = (a > 0) & (denominator > 0)
    safe = np.where(is_bounded, a, 1.0)
    root = np.sqrt(np.clip(b**2 - a * c, 0.0, None))
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.where(is_bounded, numerator / denominator, np.nan)
    lower = np.where(is_bounded, (b - root) / safe, np.nan)
    upper = np.where(is_bounded, (b + root) / safe, np.nan)
    return Figures(value, lower, upper, size)


def shifted(figures: Figures, by: float) -> Figures:
    """The same figures moved by a constant (a centred mean back to its place)."""
    return replace(
        figures, value=figures.value + by, lower=figures.lower + by, upper=figures.upper + by
    )


def is_too_wide(figures: Figures, limit: Limit) -> NDArray[np.bool_]:
    """Whether half of each interval passes the quality limit; no interval is too wide.

    Args:
        figures: Before rounding and clipping.
        limit: Relative to the value, or absolute in its unit.
    """
    half = (figures.upper - figures.lower) / 2
    if limit.relative is not None:
        allowed = float(limit.relative) * np.abs(figures.value)
    else:
        allowed = np.full_like(figures.value, limit.number)
    return ~(half <= allowed)


def decide(
    figures: Figures,
    kind: str,
    rules: PeopleRules,
    *,
    range_: tuple[float, float] = (0.0, np.inf),
    rounded: Floats | None = None,
    thin_reason: NDArray[np.object_] | str = BELOW_THRESHOLD,
) -> Published:
    """Decide what is shown: threshold, then quality limit, then rounding.

    Args:
        figures: Estimates with intervals.
        kind: Key into the rules: ``count``, ``mean``, ``share`` or ``group_share``.
        rules: The safety numbers.
        range_: Where values of the measure can lie; intervals are cut to it.
        rounded: Values rounded elsewhere (so that parts add up), or None to round here.
        thin_reason: The reason of a figure with too few contributors.
    """
    step = float(rules.rounding[kind])
    is_thin = ~(figures.size >= rules.threshold)
    is_wide = is_too_wide(figures, rules.quality_limits[kind])
    reason = np.where(is_thin, thin_reason, np.where(is_wide, INTERVAL_TOO_WIDE, ""))
    is_published = ~(is_thin | is_wide)
    value = np.clip(to_step(figures.value, step) if rounded is None else rounded, *range_)
    # Outwards, and never without the value itself: rounding must not make an interval narrower.
    lower = np.minimum(np.clip(_floor(figures.lower, step), *range_), value)
    upper = np.maximum(np.clip(_ceil(figures.upper, step), *range_), value)
    contributors = to_step(figures.size, float(rules.rounding["count"]))
    shown = (np.where(is_published, x, np.nan) for x in (value, lower, upper, contributors))
    value, lower, upper, contributors = shown
    return Published(value, lower, upper, is_published, reason.astype(object), contributors)


def to_step(values: Floats, step: float) -> Floats:
    """Round to the nearest multiple of ``step``, without a tail of binary digits."""
    return _times(np.rint(values / step), step)


def _floor(values: Floats, step: float) -> Floats:
    return _times(np.floor(values / step + 1e-9), step)


def _ceil(values: Floats, step: float) -> Floats:
    return _times(np.ceil(values / step - 1e-9), step)


def _times(units: Floats, step: float) -> Floats:
    # 0.001 has no exact binary form: dividing by 1000 gives the float nearest to the decimal.
    fraction = Fraction(str(step))
    return units * fraction.numerator / fraction.denominator


def round_parts(parts: Floats, total: float, step: float) -> Floats:
    """Round parts so that they sum to their rounded total (largest remainders first).

    Each part stays within one step of its estimate.

    Args:
        parts: Shape (parts,); they sum to about ``total``.
        total: A multiple of ``step``.
        step: Rounding base.

    Returns:
        Multiples of ``step`` that sum to ``total``.
    """
    units = np.floor(parts / step)
    missing = int(np.clip(round(total / step - units.sum()), 0, len(parts)))
    remainders = parts / step - units
    units[np.argsort(-remainders, kind="stable")[:missing]] += 1
    return units * step
