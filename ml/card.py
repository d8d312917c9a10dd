"""The model card: one JSON document with a schema, and its two renderings.

Two audiences: "internal" holds the exact figures of every group large enough to show; "public"
holds none of them (they are statistics about people and are published only as a release, with
noise), rounds what is left, and says in words what was assessed and how it was judged. A card has
no clock and no path in it: the same model, data and specification give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version as library_version
from pathlib import Path
from typing import Any, Literal

import jsonschema_rs
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from ml import charts
from ml.documents import canonical_json, plain
from ml.errors import ModelError
from ml.evaluate import Evaluation
from ml.explain import label
from ml.frame import TrainingFrame
from ml.gates import Findings, Gate, highest_status
from ml.metrics import Estimate
from ml.model import Model
from ml.spec import ModelSpec, spec_sha256
from ml.splits import PURGED, Assignment
from ml.targeting import CURVE

FORMAT = "tracient-model-card/1"
HERE = Path(__file__).parent
PROMISE = "A machine flags, ranks and explains; it never denies. People decide."
Audience = Literal["internal", "public"]
METRIC_WORDS = {
    "auc": "Ranking (AUC; 0.5 is chance, 1 is perfect)",
    "average_precision": "Average precision",
    "exclusion_error": "Exclusion error at the budget (missed among those it is for)",
    "inclusion_error": "Inclusion error at the budget (flagged among all others)",
    "leakage": "Leakage at the budget (others among the flagged)",
    "coady_grosh_hoddinott": "Coady-Grosh-Hoddinott index (1 is no targeting)",
    "brier": "Brier score",
    "calibration_error": "Expected calibration error",
}
# Share of the whole contribution above which a feature is said to matter much, and some.
_STRONG, _MODERATE = 0.15, 0.05


@dataclass(frozen=True)
class CardInput:
    """Everything a card is made of."""

    spec: ModelSpec
    frame: TrainingFrame
    assignment: Assignment
    model: Model
    evaluation: Evaluation
    findings: Findings
    gates: list[Gate]


def build(made: CardInput, audience: Audience, version: str = "") -> dict[str, Any]:
    """The card as a document, unsigned.

    Args:
        made: what was trained and measured.
        audience: "internal" with exact group figures, or "public" without any.
        version: the version's name; "" while the version is still being derived.

    Returns:
        Plain JSON values that `validate` accepts once a version is set.
    """
    text = made.spec.card
    digits = 4 if audience == "internal" else 2
    return {
        "format": FORMAT,
        "audience": audience,
        "headline": _headline(made),
        "promise": PROMISE,
        "model": _identity(made, version),
        "decision": _decision(made),
        "purpose": {
            "summary": text.summary.strip(),
            "intended_use": list(text.intended_use),
            "out_of_scope": list(text.out_of_scope),
            "users": list(text.users),
        },
        "people": {
            "is_about_people": text.is_about_people,
            "harms": [harm.model_dump() for harm in text.harms],
            "legal_basis": list(text.legal_basis),
        },
        "data": _data(made, audience),
        "method": _method(made),
        "splits": _splits(made, audience),
        "performance": plain(_performance(made), digits),
        "targeting": plain(_targeting(made), digits),
        "fairness": _fairness(made, audience),
        "explanation": _explanation(made, audience),
        "limits": list(text.limits),
        "oversight": {
            "people_decide": list(text.oversight),
            "appeal": list(text.appeal),
            "monitoring": list(text.monitoring),
            "lifecycle": "candidate, shadow, champion, retired; each move has who and why",
        },
        "gates": [_gate(gate, audience) for gate in made.gates],
        "approvals": _approvals(made),
        "crosswalk": _crosswalk(),
        "signature": None,
    }


def sign(card: Mapping[str, Any], signer: Callable[[bytes], str] | None) -> dict[str, Any]:
    """A copy of the card with a signature over its canonical JSON without the signature.

    Args:
        card: the document.
        signer: returns the signature as text (its format is the signer's), or None to leave it.
    """
    unsigned = {**card, "signature": None}
    return {**unsigned, "signature": signer(canonical_json(unsigned)) if signer else None}


def validate(card: Mapping[str, Any]) -> None:
    """Check a card against `card.schema.json`.

    Raises:
        ModelError: naming the place and what the schema expects there.
    """
    problem = next(iter(_schema().iter_errors(dict(card))), None)
    if problem is not None:
        where = "/".join(str(step) for step in problem.instance_path) or "(whole card)"
        raise ModelError(f"model card: at {where}: {problem.message}")


def render_markdown(card: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    return _environment().get_template("card.md.j2").render(_view(card))


def render_html(card: Mapping[str, Any]) -> str:
    """The card as one HTML page that asks nothing of any network and prints on A4."""
    return _environment().get_template("card.html.j2").render(_view(card))


def template_bytes() -> bytes:
    """The templates' text: part of what a version stands for."""
    return b"\0".join(path.read_bytes() for path in sorted((HERE / "templates").iterdir()))


def figure(estimate: Estimate) -> dict[str, float]:
    """An estimate as JSON."""
    return asdict(estimate)


def _headline(made: CardInput) -> str:
    spec, metrics = made.spec, made.evaluation.comparison.metrics
    missed = metrics["model"]["exclusion_error"]
    who = spec.target.title.en if spec.target.title else f"rows with {spec.target.column}"
    said = (
        f"With room for {spec.budget.share:.0%}, the model misses {_in_100(missed.value)} in 100 "
        f"of {who} (between {_in_100(missed.lower)} and {_in_100(missed.upper)})"
    )
    if spec.incumbent and "incumbent" in metrics:
        theirs = _in_100(metrics["incumbent"]["exclusion_error"].value)
        said += f"; {spec.incumbent.title.en} misses {theirs}"
    return f"{said}."


def _in_100(share: float) -> int:
    return round(100 * share)


def _identity(made: CardInput, version: str) -> dict[str, Any]:
    spec = made.spec
    return {
        "model_id": spec.model_id,
        "domain": spec.domain,
        "title": spec.title.model_dump(),
        "version": version,
        "owner": spec.card.owner,
        "artefact": "model.ubj",
        "model_sha256": made.model.sha256,
        "specification_sha256": spec_sha256(spec),
        "data_sha256": made.frame.sha256,
        "code_version": str(made.findings.lineage.get("code_version", "")),
        "libraries": {
            name: library_version(package)
            for name, package in (
                ("xgboost", "xgboost-cpu"),
                ("scikit-learn", "scikit-learn"),
                ("fairlearn", "fairlearn"),
            )
        },
    }


def _decision(made: CardInput) -> dict[str, Any]:
    status = highest_status(made.gates)
    counts = {
        answer: sum(gate.status == answer for gate in made.gates)
        for answer in ("pass", "fail", "insufficient_evidence")
    }
    words = {
        "candidate": "At least one gate failed. The model is kept for study and ranks nobody.",
        "shadow": "No gate failed, but evidence is missing. The model may run in the shadow: its "
        "ranking is kept and compared, and nobody acts on it.",
        "champion": "Every gate passed. People may approve it for use.",
    }
    return {"highest_status": status, "statement": words[status], "gates": counts}


def _data(made: CardInput, audience: Audience) -> dict[str, Any]:
    spec, frame, lineage = made.spec, made.frame, made.findings.lineage
    snapshots = [
        {name: snapshot.get(name) for name in ("dataset", "snapshot_id", "root", "log_index")}
        for snapshot in lineage.get("snapshots") or []
    ]
    return {
        "table": spec.table or "a file",
        "snapshots": snapshots,
        "is_verified": lineage.get("is_verified"),
        "is_sample_data": made.findings.is_sample_data,
        "rows": _count(made, audience, len(frame)),
        "positive_share": plain(float(frame.target.mean()), 4 if audience == "internal" else 2),
        "rows_left_out": _count(made, audience, frame.dropped),
        "label": {
            "column": spec.target.column,
            "meaning": spec.target.title.en if spec.target.title else spec.target.column,
            "protocol": spec.target.protocol.strip(),
        },
        "weight": spec.weight,
        "known_gaps": list(spec.card.known_gaps),
        "excluded_attributes": sorted({grouping.column for grouping in spec.groupings}),
    }


def _method(made: CardInput) -> dict[str, Any]:
    training = made.spec.training
    slope, intercept = made.model.facts["sigmoid"]
    return {
        "algorithm": (
            f"Gradient-boosted trees (XGBoost): {training.trees} trees of depth at most "
            f"{training.depth}, learning rate {training.learning_rate:g}, with monotone constraints"
        ),
        "baseline": "Logistic regression on the same features",
        "calibration": (
            "Sigmoid on rows kept apart for it; keeps the ranks "
            f"(slope {slope:.3f}, intercept {intercept:.3f})"
        ),
        "ties": "Equal scores are ordered by a hash of the row's key: fixed, and blind",
        "intervals": (
            "95%, by drawing "
            + (
                f"whole units of {made.spec.interval_cluster}"
                if made.spec.interval_cluster
                else "rows"
            )
            + " with replacement; group figures by 2,000 draws of their error counts"
        ),
        "features": len(made.model.columns),
    }


def _splits(made: CardInput, audience: Audience) -> dict[str, Any]:
    rules, sizes = made.spec.splits, made.assignment.sizes()
    return {
        "sizes": {name: _count(made, audience, size) for name, size in sizes.items()},
        "disjoint_keys": list(rules.groups),
        "unseen": rules.unseen.column if rules.unseen else None,
        "evaluated_from": made.assignment.latest_from,
        "statement": (
            "Training, calibration and evaluation share no value of "
            + (", ".join(rules.groups) or "any key (none was declared)")
            + (
                f"; the unseen part holds whole values of {rules.unseen.column}"
                if rules.unseen
                else ""
            )
            + ("; rows that would have tied two parts were taken out" if sizes[PURGED] else "")
            + ". This was asserted, not assumed."
        ),
    }


def _performance(made: CardInput) -> dict[str, Any]:
    judged = made.evaluation
    names = {"model": "This model", "logistic": "Logistic regression"}
    if made.spec.incumbent:
        names["incumbent"] = made.spec.incumbent.title.en
    metrics = [
        {
            "id": metric,
            "label": words,
            "scorers": {
                scorer: figure(judged.comparison.metrics[scorer][metric])
                for scorer in names
                if metric in judged.comparison.metrics.get(scorer, {})
            },
        }
        for metric, words in METRIC_WORDS.items()
    ]
    return {
        "scorers": names,
        "metrics": metrics,
        "auc_by_split": {name: figure(found) for name, found in judged.split_auc.items()},
        "unseen_drop": figure(judged.unseen_drop) if judged.unseen_drop else None,
        "differences": {
            other: {name: figure(found) for name, found in found_by.items()}
            for other, found_by in judged.comparison.differences.items()
        },
        "calibration_noise": judged.noise,
        "reliability": judged.reliability,
        "published_evidence": list(made.spec.card.published_evidence),
    }


def _targeting(made: CardInput) -> dict[str, Any]:
    budget = made.spec.budget
    return {
        "budget": {"share": budget.share, "set_by": budget.set_by, "reason": budget.reason},
        "budgets": list(CURVE),
        "curve": {
            scorer: {
                name: [point[name] for point in points]
                for name in ("exclusion_error", "inclusion_error")
            }
            for scorer, points in made.evaluation.comparison.curve.items()
        },
    }


def _fairness(made: CardInput, audience: Audience) -> dict[str, Any]:
    spec = made.spec
    gates = {gate.id: gate.status for gate in made.gates}
    minimums = spec.minimums
    section: dict[str, Any] = {
        "choice": spec.card.fairness_choice.strip(),
        "primary_metric": "exclusion_error",
        "release_table": spec.card.release_table,
        "groupings": [
            {
                "attribute": grouping.column,
                "title": grouping.title.model_dump(),
                "vocabulary": list(grouping.vocabulary),
                "source": grouping.source,
                "status": gates.get(f"fairness_{grouping.column}", "not_gated"),
            }
            for grouping in spec.groupings
        ],
        "minimums": {
            "group_rows": minimums.group_rows,
            "gate_positives": minimums.gate_positives,
        },
        "unknown": "A row whose group is not in the vocabulary is counted as unknown and reviewed "
        "by a person; it is never dropped.",
    }
    if audience == "internal":
        section["assessments"] = [
            {
                **asdict(assessment),
                "title": spec.attribute_title(assessment.attribute).model_dump(),
                "suppressed": assessment.suppressed,
            }
            for assessment in made.evaluation.assessments
        ]
    return plain(section)


def _explanation(made: CardInput, audience: Audience) -> dict[str, Any]:
    judged, rules = made.evaluation, made.spec.features
    gate = next(gate for gate in made.gates if gate.id == "explanation")
    features = []
    for name, share in judged.influence.items():
        entry: dict[str, Any] = {
            "name": str(name),
            "label": label(made.model, str(name)).model_dump(),
            "direction": {-1: "lowers", 1: "raises"}.get(rules.monotone.get(str(name), 0), "free"),
            "influence": _band(float(share)),
        }
        if audience == "internal":
            entry["share"] = plain(float(share))
            entry["missing_share"] = plain(float(made.frame.features[name].isna().mean()))
        features.append(entry)
    if audience == "public":
        # Within a band the order is alphabetical: the exact order is a statistic about people.
        order = {"strong": 0, "moderate": 1, "weak": 2}
        features.sort(key=lambda item: (order[item["influence"]], item["name"]))
    return {
        "method": "Each score is the sum of one contribution per feature (TreeSHAP, computed by "
        "XGBoost itself); the three that raise it most are given as reasons in words.",
        "limits": "Reasons say what moved this score. They are not causes, and changing one of "
        "them need not change a life.",
        "evidence": gate.public_evidence,
        "features": features,
    }


def _band(share: float) -> str:
    return "strong" if share >= _STRONG else "moderate" if share >= _MODERATE else "weak"


def _gate(gate: Gate, audience: Audience) -> dict[str, str]:
    return {
        "id": gate.id,
        "title": gate.title,
        "status": gate.status,
        "rule": gate.rule,
        "evidence": gate.evidence if audience == "internal" else gate.public_evidence,
    }


def _approvals(made: CardInput) -> dict[str, Any]:
    given = [dict(approval) for approval in made.findings.approvals]
    statement = "not approved"
    if made.findings.is_sample_data:
        statement = "not approved: sample data"
    elif given:
        statement = f"{len(given)} approvals"
    thresholds = made.findings.thresholds
    return {
        "statement": statement,
        "needed": int(thresholds["approvers"]),
        "given": given,
        "thresholds": {
            "version": thresholds.version,
            "set": thresholds.name,
            "owner": thresholds.owner,
            "status": thresholds.status,
            # Down to 0.0001, so four decimals hold every threshold exactly.
            "values": plain(dict(thresholds.values)),
        },
    }


def _count(made: CardInput, audience: Audience, count: int) -> int:
    """Counts of people are public to the nearest hundred only."""
    if audience == "internal" or not made.spec.card.is_about_people:
        return count
    return round(count, -2)


@cache
def _crosswalk() -> dict[str, Any]:
    return yaml.safe_load((HERE / "crosswalk.yaml").read_text(encoding="utf-8"))


@cache
def _schema() -> Any:
    return jsonschema_rs.validator_for(
        json.loads((HERE / "card.schema.json").read_text(encoding="utf-8"))
    )


def _view(card: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "card": card,
        "targeting_chart": charts.targeting(card),
        "reliability_chart": charts.reliability(card),
        "status_words": {
            "pass": "passes",
            "fail": "fails",
            "insufficient_evidence": "not enough evidence",
            "not_gated": "assessed, not gated",
        },
    }


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=select_autoescape(enabled_extensions=("html.j2",), default=False),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["share"] = _percent
    environment.filters["number"] = _number
    environment.filters["thousands"] = lambda count: f"{count:,}"
    # A bar would end a Markdown cell.
    environment.filters["cell"] = lambda text: str(text).replace("|", "\\|").replace("\n", " ")
    return environment


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f}%"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
