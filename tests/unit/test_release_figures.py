from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from orchestration.release.figures import (
    Figures,
    count_figures,
    decide,
    ratio_figures,
    round_parts,
    to_step,
)
from orchestration.release.hierarchy import Node
from orchestration.release.spec import load_release_spec
from orchestration.release.wages import round_tree

RULES = load_release_spec("wages").disclosure.people


def array(*values: float) -> np.ndarray:
    return np.array(values, dtype=float)


def test_a_figure_below_the_threshold_is_missing_with_its_reason_and_never_zero():
    shown = decide(count_figures(array(3, -40, 1000), array(25, 25, 25)), "count", RULES)
    assert shown.reason.tolist() == ["below_threshold", "below_threshold", ""]
    assert np.isnan(shown.value[:2]).all()
    assert np.isnan(shown.contributors[:2]).all()
    assert shown.value[2] == 1000


@pytest.mark.parametrize(("size", "reason"), [(49.99, "below_threshold"), (50.0, "")])
def test_the_threshold_is_fifty_and_fifty_is_published(size, reason):
    shown = decide(count_figures(array(size), array(1e-6)), "count", RULES)
    assert shown.reason.tolist() == [reason]


@pytest.mark.parametrize(("half", "reason"), [(0.19999, ""), (0.20001, "interval_too_wide")])
def test_the_quality_limit_of_counts_is_a_fifth_of_the_value(half, reason):
    figures = Figures(array(100), array(100 - 100 * half), array(100 + 100 * half), array(100))
    assert decide(figures, "count", RULES).reason.tolist() == [reason]


@pytest.mark.parametrize(("half", "reason"), [(0.0749, ""), (0.0751, "interval_too_wide")])
def test_the_quality_limit_of_shares_is_in_points(half, reason):
    figures = Figures(array(0.1), array(0.1 - half), array(0.1 + half), array(900))
    assert decide(figures, "share", RULES).reason.tolist() == [reason]


def test_a_share_of_nobody_assessed_says_so():
    figures = Figures(array(0.1), array(0.09), array(0.11), array(10))
    shown = decide(figures, "share", RULES, thin_reason="not_assessed")
    assert shown.reason.tolist() == ["not_assessed"]


def test_intervals_are_rounded_outwards_and_cut_to_what_is_possible():
    figures = Figures(array(0.0104), array(-0.0123), array(0.0331), array(900))
    shown = decide(figures, "share", RULES, range_=(0.0, 1.0))
    assert (shown.value[0], shown.lower[0], shown.upper[0]) == (0.01, 0.0, 0.034)


def test_a_ratio_whose_denominator_may_be_zero_has_no_interval_and_is_not_published():
    figures = ratio_figures(array(10), array(20), array(100), array(400), size=array(900))
    assert np.isnan(figures.lower[0])
    shown = decide(figures, "share", RULES)
    assert shown.reason.tolist() == ["interval_too_wide"]


def test_fieller_agrees_with_the_delta_method_where_the_denominator_is_sure():
    figures = ratio_figures(array(300), array(1000), array(4), array(9), size=array(1000))
    delta = 1.96 * np.sqrt(4 + 0.3**2 * 9) / 1000
    assert figures.value[0] == 0.3
    assert (figures.upper[0] - figures.lower[0]) / 2 == pytest.approx(delta, rel=1e-3)


def test_fieller_covers_the_truth_95_times_in_100_even_for_a_shaky_denominator():
    rng = np.random.default_rng(7)
    n = 20_000
    numerator, denominator = rng.normal(30, 10, n), rng.normal(100, 20, n)
    ones = np.ones(n)
    figures = ratio_figures(numerator, denominator, 100 * ones, 400 * ones, size=ones)
    # An unbounded interval covers everything; it is never published.
    is_covered = np.isnan(figures.lower) | ((figures.lower <= 0.3) & (figures.upper >= 0.3))
    assert is_covered.mean() == pytest.approx(0.95, abs=0.006)


def test_rounded_parts_sum_to_the_rounded_total_and_stay_within_one_step():
    rng = np.random.default_rng(3)
    for _ in range(200):
        parts = rng.normal(400, 60, 10)
        total = float(to_step(np.array(parts.sum()), 10))
        rounded = round_parts(parts, total, 10)
        assert rounded.sum() == total
        assert np.abs(rounded - parts).max() <= 10


def test_shown_districts_add_up_to_shown_states_and_states_to_the_nation():
    districts = [Node("district", s, s * 100 + d) for s in (9, 10) for d in range(7)]
    nodes = [Node("nation"), Node("state", 9), Node("state", 10), *districts]
    leaves = np.random.default_rng(1).normal(403.3, 50, 14)
    values = np.array([leaves.sum(), leaves[:7].sum(), leaves[7:].sum(), *leaves])
    rounded = round_tree(values, nodes, 10)
    assert rounded[3:10].sum() == rounded[1]
    assert rounded[10:].sum() == rounded[2]
    assert rounded[1] + rounded[2] == rounded[0]
    assert np.all(np.mod(rounded, 10) == 0)


def test_shown_shares_have_no_tail_of_binary_digits():
    assert to_step(array(0.12345, 0.3), 0.001).tolist() == [0.123, 0.3]
    assert RULES.rounding["share"] == Fraction(1, 1000)
