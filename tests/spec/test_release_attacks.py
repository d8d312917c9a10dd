"""What an attacker tries on the noise, and what comes of it. Each test is one line of the promise.

Statistical tests draw real OpenDP noise, which cannot be seeded: their tolerances are set so that a
sound mechanism fails about once in a million runs.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import stats

from orchestration.release.privacy import (
    best_guess,
    draw,
    epsilon_of,
    gaussian,
    mechanism,
    noise_scale,
    rho_of,
)

CAP = rho_of(Fraction(1), Fraction("1e-7"))


def noise(size: int, *, squared_l2: int = 12, rho: Fraction = CAP) -> np.ndarray:
    return draw(np.zeros(size, dtype=np.int64), squared_l2=squared_l2, rho=rho).values


def test_the_cap_of_epsilon_one_is_rho_0_02019_by_opendps_own_conversion():
    assert float(CAP) == pytest.approx(0.02019, abs=5e-6)
    assert epsilon_of(CAP, 1e-7) <= 1
    assert epsilon_of(CAP + Fraction(1, 10**11), 1e-7) > 1


def test_the_best_possible_guess_about_one_worker_is_right_54_times_in_100():
    assert best_guess(CAP) == pytest.approx(0.54, abs=0.001)
    assert best_guess(Fraction(1, 10**15)) == pytest.approx(0.5)


def test_a_scale_costs_what_opendp_says_and_not_more():
    for squared, share in ((1, "0.004"), (12, "0.35"), (12 * 45_000**2, "0.2")):
        rho = CAP * Fraction(share)
        scale = noise_scale(squared, rho)
        cost = gaussian(scale).map(math.sqrt(squared))
        assert cost <= rho
        assert cost == pytest.approx(float(rho), rel=1e-6)


def test_the_noise_is_a_discrete_gaussian_of_the_stated_scale():
    result = draw(np.zeros(20_000, dtype=np.int64), squared_l2=12, rho=CAP)
    # Continuity correction: an integer k stands for (k - 1/2, k + 1/2).
    jittered = result.values + np.random.default_rng(1).uniform(-0.5, 0.5, 20_000)
    assert stats.kstest(jittered, "norm", args=(0, result.scale)).pvalue > 1e-6
    assert result.values.std() == pytest.approx(result.scale, rel=0.03)


def test_noise_is_integer_independent_of_the_value_and_different_every_time():
    low, high = noise(2_000), noise(2_000) + 10**12 - 10**12
    assert low.dtype == np.int64
    assert not np.array_equal(low, high)
    assert stats.ks_2samp(low, high).pvalue > 1e-6


def test_sums_beyond_32_bits_are_not_cut():
    large = np.full(4, 3_000_000_000, dtype=np.int64)
    result = draw(large, squared_l2=12, rho=CAP)
    assert np.abs(result.values - large).max() < 12 * result.scale


def test_no_other_noise_and_no_seed_is_in_the_release_package():
    from pathlib import Path

    import orchestration.release

    folder = Path(orchestration.release.__file__).parent
    for path in folder.glob("*.py"):
        source = path.read_text(encoding="utf-8")
        for forbidden in ("np.random", "default_rng", "import random", "random_state", "Polars"):
            assert forbidden not in source, path.name
    assert mechanism()["library"] == "opendp"


@pytest.mark.parametrize("rho", [Fraction(0), Fraction(-1, 100)])
def test_a_draw_without_budget_is_refused(rho):
    with pytest.raises(ValueError, match="positive share"):
        draw(np.zeros(1, dtype=np.int64), squared_l2=1, rho=rho)


def test_floating_point_values_are_refused():
    with pytest.raises(ValueError, match="64-bit integers"):
        draw(np.zeros(1), squared_l2=1, rho=CAP)


def test_membership_inference_does_no_better_than_the_bound():
    # The strongest attacker knows everything but whether the target's twelve rows are in, and
    # adds up the noisy cells that the target would be in.
    trials, months = 1_500, 12
    rho = CAP
    target = np.ones((trials, months), dtype=np.int64)
    present = (noise(trials * months, rho=rho).reshape(trials, months) + target).sum(axis=1)
    absent = noise(trials * months, rho=rho).reshape(trials, months).sum(axis=1)
    auc = stats.mannwhitneyu(present, absent).statistic / trials**2
    bound = 0.5 * (1 + math.erf(math.sqrt(2 * rho) / math.sqrt(2) / math.sqrt(2)))
    sampling_error = math.sqrt(1 / (6 * trials))
    assert auc <= bound + 5 * sampling_error


def test_averaging_redraws_would_work_which_is_why_nothing_is_redrawn():
    # 100 draws of the same count: the error falls tenfold. publish_dp never draws a key twice
    # (tests/integration/test_release_publish.py), so nobody gets to average.
    redraws = noise(100 * 50).reshape(100, 50)
    assert redraws.mean(axis=0).std() < redraws[0].std() / 5


def test_differencing_two_draws_does_not_show_one_worker():
    # One release with the worker, one without: the difference is mostly noise (54%, not 100%).
    trials = 4_000
    with_worker, without = noise(trials) + 1, noise(trials)
    is_guessed = with_worker > without
    assert is_guessed.mean() < 0.56


def test_reconstruction_from_400_random_subset_counts_stays_near_guessing():
    # 100 secret bits, 400 subset counts answered under one worker's whole budget (L2 sensitivity
    # sqrt(400)); exact or rounded answers give back more than 97% of the bits.
    rng = np.random.default_rng(5)
    secret = rng.integers(0, 2, 100)
    subsets = rng.integers(0, 2, (400, 100))
    exact = subsets @ secret
    noisy = draw(exact.astype(np.int64), squared_l2=400, rho=CAP).values

    def share_recovered(answers: np.ndarray) -> float:
        solution, *_ = np.linalg.lstsq(subsets, answers, rcond=None)
        return float(((solution > 0.5) == secret).mean())

    assert share_recovered(np.rint(exact / 5) * 5) > 0.9
    assert share_recovered(noisy) < 0.75
