"""The gates a model passes, fails, or cannot be judged by yet.

Three answers, because "no evidence" is neither: a model with insufficient evidence may run in the
shadow (its ranking is kept, nobody sees it) and no further. The figures compared with are in
`thresholds.yaml`. Evidence is written twice: exactly, for those who may see group figures, and
without any figure of a group, for everybody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from ml.errors import SpecError
from ml.evaluate import Evaluation
from ml.metrics import Estimate
from ml.spec import ModelSpec

Status = Literal["pass", "fail", "insufficient_evidence"]
THRESHOLDS = Path(__file__).with_name("thresholds.yaml")
# Above this share of people whose group is unknown, no gap between groups is evidence.
LARGEST_UNKNOWN_SHARE = 0.05


@dataclass(frozen=True)
class Thresholds:
    """One named set of figures from `thresholds.yaml`."""

    version: int
    owner: str
    status: str
    name: str
    values: Mapping[str, float]

    def __getitem__(self, key: str) -> float:
        return self.values[key]


@dataclass(frozen=True)
class Gate:
    """One question with its answer.

    Attributes:
        id: stable name.
        title: the question.
        status: "pass", "fail" or "insufficient_evidence".
        rule: what was asked for, in words with the figure.
        evidence: what was found, exactly (internal).
        public_evidence: the same without a figure of any group.
    """

    id: str
    title: str
    status: Status
    rule: str
    evidence: str
    public_evidence: str


@dataclass(frozen=True)
class Findings:
    """What gates look at."""

    spec: ModelSpec
    thresholds: Thresholds
    evaluation: Evaluation
    lineage: Mapping[str, Any]
    purged: int
    wordless: Sequence[str]
    approvals: Sequence[Mapping[str, str]] = ()

    @property
    def is_sample_data(self) -> bool:
        """Whether the data is simulated: the caller knows best, else the specification."""
        return bool(self.lineage.get("is_sample_data", self.spec.card.is_sample_data))


def load_thresholds(name: str, path: Path = THRESHOLDS) -> Thresholds:
    """Read a named set; what it does not say is taken from the set "default".

    Raises:
        SpecError: the file is not a thresholds file or has no such set.
    """
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict) or document.get("format") != "tracient-thresholds/1":
        raise SpecError(f"{path.name}: expected format tracient-thresholds/1")
    sets = document["sets"]
    if name not in sets:
        raise SpecError(f"{path.name}: no set {name!r}; found {sorted(sets)}")
    unknown = sorted({*(sets[name] or {})} - {*sets["default"]})
    if unknown:
        raise SpecError(f"{path.name}: set {name!r} has unknown thresholds {unknown}")
    return Thresholds(
        version=int(document["version"]),
        owner=document["owner"],
        status=document["status"],
        name=name,
        values={**sets["default"], **(sets[name] or {})},
    )


def judge(findings: Findings) -> list[Gate]:
    """Answer every gate, in the order of a card."""
    gates = [check(findings) for check in _SINGLE]
    return [*gates, *_fairness(findings), *[check(findings) for check in _LAST]]


def highest_status(gates: Sequence[Gate]) -> Literal["candidate", "shadow", "champion"]:
    """How far a model may go: a failed gate keeps it a candidate, missing evidence a shadow."""
    answers = {gate.status for gate in gates}
    if "fail" in answers:
        return "candidate"
    return "shadow" if "insufficient_evidence" in answers else "champion"


def text(figure: Estimate, digits: int = 3) -> str:
    """A figure with its interval: "0.412 (0.390 to 0.433)"."""
    parts = [f"{part:z.{digits}f}" for part in (figure.value, figure.lower, figure.upper)]
    return f"{parts[0]} ({parts[1]} to {parts[2]})"


def _gate(
    identity: str, title: str, status: Status, rule: str, evidence: str, public: str | None = None
) -> Gate:
    return Gate(identity, title, status, rule, evidence, evidence if public is None else public)


def _at_most(figure: Estimate, limit: float) -> Status:
    """Pass when the whole interval is within the limit, fail when all of it is beyond."""
    if figure.upper <= limit:
        return "pass"
    return "fail" if figure.lower > limit else "insufficient_evidence"


def _lineage(found: Findings) -> Gate:
    snapshots = found.lineage.get("snapshots") or []
    verified = found.lineage.get("is_verified")
    rule = "every table read is an anchored snapshot that was verified again before training"
    if not snapshots:
        status: Status = "insufficient_evidence"
        said = "trained from a file; no snapshot was named"
    else:
        status = "pass" if verified is True else "fail"
        said = f"{len(snapshots)} snapshots, " + (
            "verified" if verified is True else "not verified"
        )
    return _gate("lineage", "Is the training data anchored and verified?", status, rule, said)


def _leakage(found: Findings) -> Gate:
    alarm = found.thresholds["leakage_auc_alarm"]
    auc = found.evaluation.comparison.metrics["model"]["auc"]
    keys = list(found.spec.splits.groups)
    rule = f"no key crosses a split; AUC of at most {alarm:g}"
    said = f"AUC {text(auc, 2)}; " + (
        f"no value of {', '.join(keys)} crosses a split" if keys else "no keys were declared"
    )
    status: Status = "fail" if auc.value > alarm else ("pass" if keys else "insufficient_evidence")
    exact = f"{said}; {found.purged} training rows purged"
    return _gate("leakage", "Could the model have seen the answers?", status, rule, exact, said)


def _beats(found: Findings, other: str, title: str) -> Gate:
    identity = f"quality_{other}"
    rule = "paired difference in AUC: lower 95% bound above 0"
    difference = found.evaluation.comparison.differences.get(other)
    if difference is None:
        said = "there is no such score in the table"
        return _gate(identity, title, "insufficient_evidence", rule, said)
    auc = difference["auc"]
    status: Status = (
        "pass" if auc.lower > 0 else "fail" if auc.upper < 0 else "insufficient_evidence"
    )
    return _gate(identity, title, status, rule, f"difference {text(auc)}")


def _logistic(found: Findings) -> Gate:
    return _beats(found, "logistic", "Does it rank better than a logistic regression?")


def _incumbent(found: Findings) -> Gate:
    return _beats(found, "incumbent", "Does it rank better than the rule in use?")


def _unseen(found: Findings) -> Gate:
    limit = found.thresholds["unseen_drop"]
    title, rule = "Does it hold where it was never trained?", f"AUC falls by at most {limit:g}"
    drop, unseen = found.evaluation.unseen_drop, found.spec.splits.unseen
    if drop is None or unseen is None:
        said = "no part was kept unseen"
        return _gate("unseen", title, "insufficient_evidence", rule, said)
    said = f"fall in AUC on unseen {unseen.column}: {text(drop)}"
    return _gate("unseen", title, _at_most(drop, limit), rule, said)


def _calibration(found: Findings) -> Gate:
    limit, noise = found.thresholds["calibration_error"], found.evaluation.noise
    error = found.evaluation.comparison.metrics["model"]["calibration_error"].value
    rule = f"calibration error of at most {limit:g}"
    said = f"error {error:.3f}; a perfectly calibrated model of this size shows up to {noise:.3f}"
    title = "Do probabilities mean what they say?"
    return _gate("calibration", title, _calibrated(error, noise, limit), rule, said)


def _calibrated(error: float, noise: float, limit: float) -> Status:
    if error <= limit:
        return "pass"
    return "insufficient_evidence" if error <= noise else "fail"


def _group_calibration(found: Findings) -> Gate:
    limit = found.thresholds["calibration_error"]
    answers, lines = [], []
    for assessment in _gated(found):
        for group in assessment.groups:
            if group.is_gated and group.calibration_error is not None:
                error, noise = group.calibration_error, group.calibration_noise or 0.0
                answers.append(_calibrated(error, noise, limit))
                lines.append(
                    f"{assessment.attribute}={group.group} {error:.3f} (noise {noise:.3f})"
                )
    return _over_groups(
        "calibration_groups",
        "Do probabilities mean the same in every group?",
        answers,
        f"calibration error of at most {limit:g} in each group with enough positives",
        lines,
    )


def _targeting(found: Findings) -> Gate:
    margin = found.thresholds["exclusion_margin"]
    title = "Does it miss no more of those entitled than the rule in use?"
    rule = f"exclusion error at the budget, model minus rule: upper 95% bound at most {margin:g}"
    difference = found.evaluation.comparison.differences.get("incumbent")
    if difference is None:
        said = "there is no rule to compare with"
        return _gate("targeting", title, "insufficient_evidence", rule, said)
    figure = difference["exclusion_error"]
    said = f"difference {text(figure)}"
    return _gate("targeting", title, _at_most(figure, margin), rule, said)


def _group_targeting(found: Findings) -> Gate:
    margin = found.thresholds["group_exclusion_margin"]
    answers, lines = [], []
    for assessment in _gated(found):
        for group in assessment.groups:
            if group.is_gated and group.versus_incumbent is not None:
                answers.append(_at_most(group.versus_incumbent, margin))
                lines.append(f"{assessment.attribute}={group.group} {text(group.versus_incumbent)}")
    return _over_groups(
        "targeting_groups",
        "Does it miss no more than the rule in use in every group?",
        answers,
        f"the same difference in each group: upper 95% bound at most {margin:g}",
        lines,
    )


def _over_groups(
    identity: str, title: str, answers: Sequence[Status], rule: str, lines: Sequence[str]
) -> Gate:
    """The worst answer over groups; no group is no evidence."""
    worst: Status = next(
        (status for status in ("fail", "insufficient_evidence") if status in answers),
        "pass" if answers else "insufficient_evidence",
    )
    exact = "; ".join(lines) or "no group has enough positives"
    public = f"{len(answers)} groups had enough positives to be judged"
    return _gate(identity, title, worst, rule, exact, public)


def _fairness(found: Findings) -> list[Gate]:
    gates = []
    low, high = found.thresholds["exclusion_gap_fail"], found.thresholds["exclusion_gap_pass"]
    rule = (
        f"gap in exclusion error: passes up to {high:g} (upper bound), fails from {low:g} (lower)"
    )
    for assessment in _gated(found):
        words = found.spec.attribute_title(assessment.attribute).en
        gap = next((gap for gap in assessment.gaps if gap.metric == "exclusion_error"), None)
        unknown = assessment.unknown_rows / max(len(found.evaluation.rows), 1)
        weak = [group.group for group in assessment.groups if not group.is_gated]
        if gap is None or not gap.is_gated or unknown > LARGEST_UNKNOWN_SHARE:
            status: Status = "insufficient_evidence"
        elif gap.estimate.lower > low:
            status = "fail"
        else:
            status = "pass" if gap.estimate.upper <= high else "insufficient_evidence"
        figure = f"{text(gap.estimate)} between {' and '.join(gap.groups)}" if gap else "none"
        exact = (
            f"gap {figure}; too few positives: {', '.join(weak) or 'none'}; unknown {unknown:.1%}"
        )
        table = found.spec.card.release_table
        where = f"published with noise as {table}" if table else "on the internal card"
        public = f"compared with intervals; figures of groups are {where}"
        title = f"Are the entitled missed equally often by {words.lower()}?"
        gates.append(_gate(f"fairness_{assessment.attribute}", title, status, rule, exact, public))
    return gates


def _gated(found: Findings) -> list:
    names = {grouping.column for grouping in found.spec.groupings if grouping.is_gated}
    return [item for item in found.evaluation.assessments if item.attribute in names]


def _explanation(found: Findings) -> Gate:
    limit, wanted = found.thresholds["additivity"], found.thresholds["reason_stability"]
    judged = found.evaluation
    rule = (
        f"contributions add up within {limit:g}; no step against a constraint; "
        f"at least {wanted:.0%} of reasons survive a refit; every reason has words"
    )
    said = (
        f"sums differ by at most {judged.additivity_error:.6f}; {judged.monotone_violations} steps "
        f"against a constraint; {judged.stability:.1%} of reasons survive; "
        f"{len(found.wordless)} features without words"
    )
    broken = judged.additivity_error >= limit or judged.monotone_violations > 0
    weak = judged.stability < wanted or bool(found.wordless)
    status: Status = "fail" if broken else "insufficient_evidence" if weak else "pass"
    return _gate("explanation", "Are the reasons true, stable and readable?", status, rule, said)


def _human(found: Findings) -> Gate:
    needed = int(found.thresholds["approvers"])
    card = found.spec.card
    people = {approval.get("who") for approval in found.approvals}
    stated = bool(card.oversight and card.appeal)
    rule = f"oversight and appeal are stated; {needed} people have approved; nothing is automatic"
    said = f"{len(people)} of {needed} approvals; oversight and appeal " + (
        "stated" if stated else "not stated"
    )
    done = stated and len(people) >= needed and not found.is_sample_data
    if found.is_sample_data:
        said = f"not approved: sample data; {said}"
    status: Status = "pass" if done else "insufficient_evidence"
    return _gate("human", "Do people decide?", status, rule, said)


_SINGLE: tuple[Callable[[Findings], Gate], ...] = (
    _lineage,
    _leakage,
    _logistic,
    _incumbent,
    _unseen,
    _calibration,
    _group_calibration,
    _targeting,
    _group_targeting,
)
_LAST: tuple[Callable[[Findings], Gate], ...] = (_explanation, _human)
