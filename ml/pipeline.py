"""Training from end to end: a table in, one immutable folder and one result out.

The folder's name is derived from what is in it: the same data, specification and code write the
same bytes under the same name, and a second run changes nothing. Only wiring belongs here.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from ml import card as cards
from ml.documents import canonical_json
from ml.errors import ModelError
from ml.evaluate import evaluate, evaluation_table
from ml.explain import explain, reasons, wordless
from ml.fit import fit_booster, fit_logistic, fit_sigmoid
from ml.frame import TrainingFrame, build_frame
from ml.gates import Findings, Gate, highest_status, judge, load_thresholds
from ml.metrics import Estimate
from ml.model import Model
from ml.spec import ModelSpec, dump_spec
from ml.splits import CALIBRATION, PURGED, TRAIN, Assignment, assign, hashed_order

FILES = (
    "model.ubj",
    "spec.yaml",
    "card.public.json",
    "card.public.md",
    "card.public.html",
    "card.internal.json",
)


@dataclass(frozen=True)
class TrainingResult:
    """One trained, documented version.

    Attributes:
        model_id, domain, version: its name; the version is derived from its content.
        folder: `<out_dir>/<model_id>/<version>`.
        model_sha256: SHA-256 of model.ubj, the model's identity.
        card_sha256: SHA-256 of card.public.json.
        highest_status: how far the gates let it go.
        metrics: {"value", "lower", "upper"} by scorer ("model", "logistic", "incumbent") and
            metric id, over all evaluated rows; plain JSON values.
        gates: status by gate id, in the order of the card.
        findings: every gate with its evidence (exact: internal).
        evaluation: one row per evaluated unit, see `ml.evaluate.evaluation_table`; never written
            into the folder.
        is_new: whether the folder was written now.
    """

    model_id: str
    domain: str
    version: str
    folder: Path
    model_sha256: str
    card_sha256: str
    highest_status: Literal["candidate", "shadow", "champion"]
    metrics: Mapping[str, Mapping[str, Mapping[str, float]]]
    gates: Mapping[str, str]
    findings: Sequence[Gate]
    evaluation: pd.DataFrame
    is_new: bool


def train(
    spec: ModelSpec,
    frame: pd.DataFrame,
    protected: pd.DataFrame | None,
    out_dir: Path,
    lineage: Mapping[str, Any] | None = None,
    sign: Callable[[bytes], str] | None = None,
    approvals: Sequence[Mapping[str, str]] = (),
) -> TrainingResult:
    """Train, judge and document one model.

    Args:
        spec: the specification.
        frame: one row per labelled unit.
        protected: attributes for assessment, joined on `spec.row_id`, or None.
        out_dir: folder of models; `<model_id>/<version>/` is written below it.
        lineage: where the data came from: {"snapshots": [{"dataset", "snapshot_id", "root",
            "log_index"}], "is_verified": bool, "is_sample_data": bool, "code_version": str}.
            Nothing in it may change between two runs on the same data (no run id, no time).
        sign: signature over the card's canonical JSON, or None.
        approvals: people who approved, [{"who", "role", "at", "statement"}].

    Returns:
        The result.

    Raises:
        DataError: the table does not hold what the specification asks for.
        SpecError: the specification and the table contradict each other.
        ModelError: the folder exists with other content.
    """
    lineage = lineage or {}
    thresholds = load_thresholds(spec.thresholds)
    rows = build_frame(spec, frame, protected)
    assignment = assign(spec, rows)
    model, baseline = _fit(spec, rows, assignment)
    judged = evaluate(spec, rows, assignment, model, baseline)
    purged = assignment.sizes()[PURGED]
    findings = Findings(spec, thresholds, judged, lineage, purged, wordless(model), approvals)
    gates = judge(findings)
    made = cards.CardInput(spec, rows, assignment, model, judged, findings, gates)
    version = _version(made)
    files = _files(made, version, sign)
    folder = Path(out_dir) / spec.model_id / version
    return TrainingResult(
        model_id=spec.model_id,
        domain=spec.domain,
        version=version,
        folder=folder,
        model_sha256=model.sha256,
        card_sha256=hashlib.sha256(files["card.public.json"]).hexdigest(),
        highest_status=highest_status(gates),
        metrics=_plain_metrics(judged.comparison.metrics),
        gates={gate.id: gate.status for gate in gates},
        findings=gates,
        evaluation=evaluation_table(spec, rows, assignment, judged),
        is_new=write_once(folder, files),
    )


def score(model: Model, table: pd.DataFrame, budget: float | None = None) -> pd.DataFrame:
    """Rank any rows that have the model's features, with reasons in words.

    Args:
        model: the model.
        table: the rows; the specification's row id is used where it is there.
        budget: share of rows that can be flagged; the specification's where None.

    Returns:
        columns: the row id, score (calibrated probability), rank (1 = first), is_flagged,
        reason_codes, reasons_en, reasons_hi; in the order of the table. Equal scores are ranked
        by the fixed hash of the row id.
    """
    features = model.encoded(table).reset_index(drop=True)
    name = model.spec.row_id or "row_id"
    ids = table[name].astype(str) if name in table.columns else pd.Series(range(len(table)))
    keys = ids.to_numpy().astype(str)
    probability = model.probabilities(features)
    order = np.lexsort((hashed_order(keys, model.spec.splits.seed), -probability))
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(1, len(order) + 1)
    share = model.spec.budget.share if budget is None else budget
    scored = pd.DataFrame({name: keys, "score": probability, "rank": rank})
    scored["is_flagged"] = rank <= share * len(table)
    return scored.join(reasons(model, features, explain(model, features)))


def write_once(folder: Path, files: Mapping[str, bytes]) -> bool:
    """Write a folder as a whole, or find it there with the same content.

    Args:
        folder: the version's folder; its parents are made.
        files: content by file name.

    Returns:
        Whether it was written now.

    Raises:
        ModelError: the folder is there with other content.
    """
    if folder.exists():
        different = [name for name, content in files.items() if _read(folder / name) != content]
        if different:
            raise ModelError(
                f"{folder}: a version never changes, but {', '.join(different)} differ from what "
                "was trained now. Restore the folder, or move it away and train again."
            )
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    staged = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    try:
        for name, content in files.items():
            (staged / name).write_bytes(content)
        staged.chmod(0o755)
        staged.rename(folder)
    finally:
        shutil.rmtree(staged, ignore_errors=True)
    return True


def _fit(spec: ModelSpec, frame: TrainingFrame, assignment: Assignment) -> tuple[Model, Pipeline]:
    train_rows, held = assignment.rows(TRAIN), assignment.rows(CALIBRATION)
    features = frame.features.iloc[train_rows]
    target, weight = frame.target[train_rows], frame.weight[train_rows]
    booster = fit_booster(features, target, weight, spec.features.monotone, spec.training)
    medians = features.median()
    unsealed = Model.seal(booster, spec, (1.0, 0.0), medians)
    margin = unsealed.margins(frame.features.iloc[held])
    sigmoid = fit_sigmoid(margin, frame.target[held], frame.weight[held])
    return Model.seal(booster, spec, sigmoid, medians), fit_logistic(features, target, weight)


def _plain_metrics(
    metrics: Mapping[str, Mapping[str, Estimate]],
) -> dict[str, dict[str, dict[str, float]]]:
    return {
        scorer: {name: asdict(found) for name, found in by_metric.items()}
        for scorer, by_metric in metrics.items()
    }


def _version(made: cards.CardInput) -> str:
    """Twelve hex digits over model, data, both cards and the templates that render them."""
    digest = hashlib.sha256(made.model.sha256.encode())
    for audience in ("public", "internal"):
        digest.update(canonical_json(cards.build(made, audience)))
    digest.update(cards.template_bytes())
    return f"v{digest.hexdigest()[:12]}"


def _files(
    made: cards.CardInput, version: str, sign: Callable[[bytes], str] | None
) -> dict[str, bytes]:
    public = cards.sign(cards.build(made, "public", version), sign)
    internal = cards.sign(cards.build(made, "internal", version), sign)
    for card in (public, internal):
        cards.validate(card)
    contents = (
        made.model.ubj,
        dump_spec(made.spec).encode(),
        _json(public),
        cards.render_markdown(public).encode(),
        cards.render_html(public).encode(),
        _json(internal),
    )
    return dict(zip(FILES, contents, strict=True))


def _json(card: Mapping[str, Any]) -> bytes:
    return (json.dumps(card, ensure_ascii=False, indent=1, sort_keys=True) + "\n").encode()


def _read(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
