"""Three answers, never two: what passes, what fails, what cannot be judged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from ml.errors import SpecError
from ml.fairness import Assessment, Gap, GroupFigures
from ml.gates import Findings, highest_status, judge, load_thresholds
from ml.metrics import Estimate
from ml.spec import parse_spec
from ml.targeting import Comparison

SPEC = parse_spec(
    {
        "model_id": "any_table",
        "title": {"en": "Any", "hi": "कोई"},
        "target": {"column": "y"},
        "features": {"columns": ["a"]},
        "splits": {"groups": ["employer"], "unseen": {"column": "district", "share": 0.2}},
        "groupings": [
            {
                "column": "sex",
                "title": {"en": "Sex", "hi": "लिंग"},
                "vocabulary": ["female", "male"],
                "is_gated": True,
            }
        ],
        "card": {"oversight": ["a person decides"], "appeal": ["ask"]},
    }
)


def about(value: float, half: float = 0.01) -> Estimate:
    return Estimate(value, value - half, value + half)


SMALL = about(0.03)


def group(name: str, error: float = 0.02) -> GroupFigures:
    return GroupFigures(
        group=name,
        rows=500,
        positives=200,
        is_suppressed=False,
        is_gated=True,
        rates={"exclusion_error": about(0.3)},
        calibration_error=error,
        calibration_noise=0.04,
        versus_incumbent=about(-0.05),
    )


def assessment(gap: Estimate = SMALL, is_gated: bool = True, unknown: int = 0) -> Assessment:
    found = Gap("exclusion_error", gap, ("female", "male"), is_gated)
    return Assessment("sex", (group("female"), group("male")), (found,), unknown)


def evaluation(**changes: object) -> SimpleNamespace:
    """An evaluation in which everything passes, with changes."""
    better = {"auc": about(0.03), "exclusion_error": about(-0.05)}
    metrics = {"model": {"auc": about(0.75), "calibration_error": about(0.02)}}
    good = {
        "rows": range(1000),
        "comparison": Comparison(metrics, {"logistic": better, "incumbent": better}, {}),
        "unseen_drop": about(0.01),
        "noise": 0.025,
        "assessments": (assessment(),),
        "additivity_error": 1e-6,
        "monotone_violations": 0,
        "stability": 0.9,
        "influence": pd.Series(dtype=float),
    }
    return SimpleNamespace(**{**good, **changes})


def findings(**changes: object) -> Findings:
    return Findings(
        spec=SPEC,
        thresholds=load_thresholds("default"),
        evaluation=evaluation(**changes),
        lineage={"snapshots": [{"dataset": "t"}], "is_verified": True},
        purged=0,
        wordless=(),
        approvals=({"who": "asha"}, {"who": "ravi"}),
    )


def answers(found: Findings) -> dict[str, str]:
    return {gate.id: gate.status for gate in judge(found)}


def test_a_model_with_every_evidence_may_be_champion() -> None:
    gates = judge(findings())
    assert {gate.status for gate in gates} == {"pass"}
    assert highest_status(gates) == "champion"


@pytest.mark.parametrize(
    ("gate", "changes", "status"),
    [
        ("fairness_sex", {"assessments": (assessment(about(0.2)),)}, "fail"),
        (
            "fairness_sex",
            {"assessments": (assessment(about(0.06, 0.06)),)},
            "insufficient_evidence",
        ),
        ("fairness_sex", {"assessments": (assessment(is_gated=False),)}, "insufficient_evidence"),
        ("fairness_sex", {"assessments": (assessment(unknown=51),)}, "insufficient_evidence"),
        ("fairness_sex", {"assessments": (assessment(about(0.08, 0.02)),)}, "fail"),
        ("unseen", {"unseen_drop": about(0.08)}, "fail"),
        ("unseen", {"unseen_drop": about(0.045)}, "insufficient_evidence"),
        ("unseen", {"unseen_drop": None}, "insufficient_evidence"),
        ("explanation", {"additivity_error": 1e-3}, "fail"),
        ("explanation", {"monotone_violations": 1}, "fail"),
        ("explanation", {"stability": 0.7}, "insufficient_evidence"),
    ],
)
def test_one_weakness_is_answered_by_its_gate(gate: str, changes: dict, status: str) -> None:
    found = answers(findings(**changes))
    assert found[gate] == status
    assert {name for name, answer in found.items() if answer != "pass"} == {gate}


def test_an_answer_too_good_to_be_true_raises_the_leakage_alarm() -> None:
    comparison = evaluation().comparison
    metrics = {"model": {**comparison.metrics["model"], "auc": about(0.98)}}
    found = answers(findings(comparison=replace(comparison, metrics=metrics)))
    assert found["leakage"] == "fail"


def test_without_a_rule_in_use_there_is_no_evidence_of_being_better() -> None:
    comparison = replace(evaluation().comparison, differences={"logistic": {"auc": about(0.03)}})
    found = answers(findings(comparison=comparison))
    assert found["quality_incumbent"] == found["targeting"] == "insufficient_evidence"


@pytest.mark.parametrize(
    ("lineage", "status"),
    [
        ({}, "insufficient_evidence"),
        ({"snapshots": [{"dataset": "t"}]}, "fail"),
        ({"snapshots": [{"dataset": "t"}], "is_verified": False}, "fail"),
    ],
)
def test_unverified_data_fails_and_unknown_data_is_no_evidence(lineage: dict, status: str) -> None:
    assert answers(replace(findings(), lineage=lineage))["lineage"] == status


def test_one_person_twice_is_one_approval_and_sample_data_is_never_approved() -> None:
    twice = replace(findings(), approvals=({"who": "asha"}, {"who": "asha"}))
    assert answers(twice)["human"] == "insufficient_evidence"
    sample = replace(findings(), lineage={**findings().lineage, "is_sample_data": True})
    assert answers(sample)["human"] == "insufficient_evidence"


def test_evidence_for_everybody_names_no_figure_of_a_group() -> None:
    for gate in judge(findings()):
        if gate.id.startswith("fairness_") or gate.id.endswith("_groups"):
            assert "female" in gate.evidence
            assert "female" not in gate.public_evidence
            assert "0.0" not in gate.public_evidence


def test_a_set_of_thresholds_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="no set 'lenient'"):
        load_thresholds("lenient")
    other = tmp_path / "thresholds.yaml"
    other.write_text("format: something", encoding="utf-8")
    with pytest.raises(SpecError, match="tracient-thresholds/1"):
        load_thresholds("default", other)


def test_a_named_set_changes_only_what_it_says(tmp_path: Path) -> None:
    other = tmp_path / "thresholds.yaml"
    head = "format: tracient-thresholds/1\nversion: 2\nowner: o\nstatus: s\nsets:\n"
    other.write_text(f"{head}  default: {{a: 1, b: 2}}\n  strict: {{b: 1}}\n", encoding="utf-8")
    assert dict(load_thresholds("strict", other).values) == {"a": 1, "b": 1}
    other.write_text(f"{head}  default: {{a: 1}}\n  strict: {{c: 1}}\n", encoding="utf-8")
    with pytest.raises(SpecError, match="unknown thresholds"):
        load_thresholds("strict", other)
