"""Figures against slow definitions, intervals against repetition, groups against their floors."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from ml.documents import canonical_json, plain
from ml.errors import ModelError
from ml.fairness import Evaluated, assess, confusion, draw_rates, group_rates
from ml.metrics import Ranking, bootstrap, calibration_noise, estimate
from ml.spec import Minimums
from ml.targeting import compare


def scores(rows: int = 2000, seed: int = 0, levels: int | None = None) -> tuple:
    rng = np.random.default_rng(seed)
    probability = rng.beta(2, 4, rows)
    if levels:
        probability = np.round(probability * levels) / levels
    target = (rng.random(rows) < probability).astype(np.int8)
    return probability, target, rng.uniform(0.5, 2, rows), rng.random(rows)


@pytest.mark.parametrize("levels", [None, 7], ids=["no ties", "many ties"])
def test_weighted_auc_and_average_precision_are_scikit_learns(levels: int | None) -> None:
    probability, target, weight, tie = scores(levels=levels)
    ranking = Ranking(probability, target, tie)
    assert ranking.auc(weight) == pytest.approx(
        roc_auc_score(target, probability, sample_weight=weight)
    )
    assert ranking.average_precision(weight) == pytest.approx(
        average_precision_score(target, probability, sample_weight=weight)
    )


def test_errors_at_a_budget_are_their_definitions() -> None:
    probability, target, weight, tie = scores()
    ranking = Ranking(probability, target, tie)
    found = ranking.at_budget(weight, 0.3)
    chosen = ranking.selection(weight, 0.3)
    positive = target == 1
    assert weight[chosen].sum() <= 0.3 * weight.sum()
    assert weight[chosen].sum() + weight.max() > 0.3 * weight.sum()
    assert probability[chosen].min() >= probability[~chosen].max()
    assert found["exclusion_error"] == pytest.approx(
        weight[positive & ~chosen].sum() / weight[positive].sum()
    )
    assert found["inclusion_error"] == pytest.approx(
        weight[~positive & chosen].sum() / weight[~positive].sum()
    )
    assert found["leakage"] == pytest.approx(
        weight[~positive & chosen].sum() / weight[chosen].sum()
    )
    share = weight[positive].sum() / weight.sum()
    assert found["coady_grosh_hoddinott"] == pytest.approx((1 - found["leakage"]) / share)


def test_targeting_at_random_has_an_index_of_one() -> None:
    rng = np.random.default_rng(4)
    target = (rng.random(50_000) < 0.3).astype(np.int8)
    ranking = Ranking(rng.random(50_000), target, rng.random(50_000))
    found = ranking.at_budget(np.ones(50_000), 0.2)
    assert found["coady_grosh_hoddinott"] == pytest.approx(1, abs=0.03)


def test_a_rule_that_has_nothing_to_say_ranks_last_and_ties_follow_the_fixed_order() -> None:
    ranking = Ranking(np.array([np.nan, 1.0, 1.0]), np.array([1, 0, 1]), np.array([0.0, 0.9, 0.1]))
    assert ranking.order.tolist() == [2, 1, 0]


def test_many_draws_at_once_equal_one_at_a_time() -> None:
    probability, target, weight, tie = scores(300, levels=9)
    ranking = Ranking(probability, target, tie)
    many = np.stack([weight, weight[::-1], np.ones(300)])
    assert ranking.auc(many).tolist() == pytest.approx([ranking.auc(one) for one in many])
    assert ranking.calibration_error(many).tolist() == pytest.approx(
        [ranking.calibration_error(one) for one in many]
    )


def test_whole_clusters_widen_an_interval() -> None:
    probability, target, _, tie = scores(600)
    doubled = [np.repeat(part, 4) for part in (probability, target, tie)]
    ranking, weight = Ranking(*doubled), np.ones(2400)

    def width(cluster: np.ndarray) -> float:
        drawn = bootstrap(lambda weights: {"auc": ranking.auc(weights)}, weight, cluster, 1, 400)
        found = estimate(0.0, drawn["auc"])
        return found.upper - found.lower

    assert width(np.repeat(np.arange(600), 4)) > 1.6 * width(np.arange(2400))


def test_a_calibrated_model_stays_within_its_noise_and_a_shifted_one_does_not() -> None:
    probability, target, weight, tie = scores(3000)
    noise = calibration_noise(probability, weight, 1)
    assert Ranking(probability, target, tie).calibration_error(weight) < noise
    assert Ranking(probability * 0.6, target, tie).calibration_error(weight) > noise


def test_the_difference_between_equal_scores_is_zero_with_no_width() -> None:
    probability, target, weight, tie = scores(500)
    same = {name: Ranking(probability, target, tie) for name in ("model", "logistic")}
    found = compare(same, weight, np.arange(500), 0.2, seed=1, draws=50)
    difference = found.differences["logistic"]["auc"]
    assert (difference.value, difference.lower, difference.upper) == (0, 0, 0)


def test_multinomial_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(8)
    truth, held = 0.35, 0
    for trial in range(300):
        target = rng.random(400) < 0.4
        flagged = np.where(target, rng.random(400) > truth, rng.random(400) < 0.2)
        drawn = draw_rates(confusion(target, flagged), seed=trial, draws=400)
        found = estimate(0.0, drawn["exclusion_error"])
        held += found.lower <= truth <= found.upper
    assert 0.90 <= held / 300 <= 0.985


def test_an_error_never_seen_still_has_an_interval_with_width() -> None:
    drawn = draw_rates(np.array([120, 0, 30, 300]), seed=1)
    assert estimate(0.0, drawn["exclusion_error"]).upper > 0


def judged(sizes: dict[str, int], missed: dict[str, float], seed: int = 2) -> Evaluated:
    rng = np.random.default_rng(seed)
    groups = np.repeat(list(sizes), list(sizes.values())).astype(object)
    rate = pd.Series(groups).map(missed).to_numpy()
    target = (rng.random(len(groups)) < 0.5).astype(np.int8)
    flagged = np.where(target == 1, rng.random(len(groups)) > rate, rng.random(len(groups)) < 0.1)
    return Evaluated(
        target=target,
        probability=rng.random(len(groups)),
        flagged=flagged,
        weight=np.ones(len(groups)),
        incumbent_flagged=rng.random(len(groups)) < 0.4,
        groups=pd.DataFrame({"group": groups}),
    )


def test_small_groups_are_suppressed_and_middling_ones_are_shown_but_not_gated() -> None:
    rows = judged({"big": 800, "middle": 60, "small": 29}, {"big": 0.3, "middle": 0.3, "small": 1})
    found = {group.group: group for group in assess("group", rows, Minimums(), seed=1).groups}
    assert found["big"].is_gated
    assert not found["middle"].is_gated
    assert found["middle"].rates["exclusion_error"].value > 0
    small = found["small"]
    assert small.is_suppressed
    assert (small.rows, small.positives, small.rates) == (None, None, {})
    assert small.calibration_error is None
    assert small.versus_incumbent is None


def test_rates_are_the_counts_and_fairlearns() -> None:
    rows = judged({"a": 500, "b": 400}, {"a": 0.2, "b": 0.5})
    groups = rows.groups["group"].to_numpy()
    table = group_rates(rows, groups)
    for name in ("a", "b"):
        hit, missed, wrong, other = confusion(
            rows.target[groups == name], rows.flagged[groups == name]
        )
        assert table.loc[name, "exclusion_error"] == pytest.approx(missed / (hit + missed))
        assert table.loc[name, "inclusion_error"] == pytest.approx(wrong / (wrong + other))


def test_a_wide_gap_is_found_and_a_zero_gap_holds_zero() -> None:
    wide = assess("group", judged({"a": 900, "b": 900}, {"a": 0.2, "b": 0.5}), Minimums(), seed=1)
    gap = next(gap for gap in wide.gaps if gap.metric == "exclusion_error")
    assert gap.groups == ("b", "a")
    assert gap.is_gated
    assert gap.estimate.lower > 0.15
    even = assess("group", judged({"a": 900, "b": 900}, {"a": 0.3, "b": 0.3}), Minimums(), seed=1)
    gap = next(gap for gap in even.gaps if gap.metric == "exclusion_error")
    assert gap.estimate.lower <= 0 <= gap.estimate.value <= gap.estimate.upper


def test_unknown_is_shown_counted_and_left_out_of_the_gap() -> None:
    rows = judged({"a": 900, "b": 900, "unknown": 500}, {"a": 0.3, "b": 0.3, "unknown": 0.9})
    found = assess("group", rows, Minimums(), seed=1)
    assert found.unknown_rows == 500
    assert found.groups[-1].group == "unknown"
    assert not found.groups[-1].is_gated
    assert all("unknown" not in gap.groups for gap in found.gaps)


def test_a_group_without_positives_has_no_exclusion_error() -> None:
    rows = judged({"a": 300, "b": 300}, {"a": 0.3, "b": 0.3})
    rows.target[300:] = 0
    found = assess("group", rows, Minimums(), seed=1)
    assert "exclusion_error" not in found.groups[1].rates
    assert [gap.metric for gap in found.gaps] == ["inclusion_error", "selection_ratio"]


def test_canonical_json_has_one_spelling_and_refuses_the_others() -> None:
    value = plain({"b": 0.123456, "a": [1.0, np.float64(2.5), float("nan"), "ü", True, None]})
    assert canonical_json(value) == '{"a":[1,2.5,null,"ü",true,null],"b":0.1235}'.encode()
    with pytest.raises(ModelError, match="no single spelling"):
        canonical_json({"a": 1e-05})
    with pytest.raises(ModelError, match="ASCII keys"):
        canonical_json({"ü": 1})
