"""Models: train from an anchored, re-verified table, document, and anchor model and card."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg

from ledger_anchor import Snapshot, SnapshotStore
from orchestration.anchoring import commit_dataset, commit_files, use
from orchestration.assets.anchor import describe
from orchestration.catalog import arrow_schema_of, contract_of
from orchestration.domains import Domain
from orchestration.home import Home
from orchestration.lake import Lake
from orchestration.memo import Memo, code_fingerprint, code_version, combine
from orchestration.models import register, sign_card
from orchestration.resources import HomeResource
from orchestration.sample import is_sample


def train_domain(home: Home, domain: Domain) -> Mapping[str, Any]:
    """Train and document a domain's model, unless one of the same data and code exists.

    Returns:
        ``model_id``, ``version``, ``model_sha256``, ``card_sha256``, ``gates``, ``metrics``,
        ``upstream`` and ``is_new``.

    Raises:
        AnchorError: The training data is not anchored or does not re-verify.
    """
    plan = domain.model
    tables = [plan.training_table] + ([plan.protected_table] if plan.protected_table else [])
    current = SnapshotStore(home.root).current
    fingerprint = combine(
        [snapshot.snapshot_id for table in tables if (snapshot := current(table))]
        + [code_fingerprint("ml")]
    )
    memo = Memo(home)
    if known := memo.outcome(f"model-{plan.model_id}", fingerprint):
        return {**known, "is_new": False}
    snapshots = use(home, tables, f"training of {plan.model_id}")
    outcome = _train(home, domain, {s.dataset: s for s in snapshots})
    memo.record(f"model-{plan.model_id}", fingerprint, outcome)
    return {**outcome, "is_new": True}


def _train(home: Home, domain: Domain, snapshots: Mapping[str, Snapshot]) -> dict[str, Any]:
    # Imported here: scikit-learn, XGBoost and SHAP take seconds, which other steps need not pay.
    import pyarrow as pa  # noqa: PLC0415

    import ml  # noqa: PLC0415

    plan, lake = domain.model, Lake(home)
    spec = ml.load_spec(plan.spec)
    protected = lake.read(plan.protected_table).to_pandas() if plan.protected_table else None
    upstream = [snapshot.snapshot_id for snapshot in snapshots.values()]
    trained = ml.train(
        spec,
        lake.read(plan.training_table).to_pandas(),
        protected,
        home.models,
        lineage={
            "snapshots": [
                {
                    "dataset": s.dataset,
                    "snapshot_id": s.snapshot_id,
                    "rows": s.rows,
                    "root": s.root,
                    "log_index": s.log_index,
                }
                for s in snapshots.values()
            ],
            "is_verified": True,
            "is_sample_data": is_sample(home),
            "code_version": code_version("ml"),
        },
        sign=sign_card(home),
    )
    if plan.evaluation_table:
        schema = arrow_schema_of(plan.evaluation_table)
        rows = pa.Table.from_pandas(trained.evaluation, schema=schema, preserve_index=False)
        path = lake.folder(plan.evaluation_table) / "data.parquet"
        lake.write_part(path, rows.replace_schema_metadata(None))
    return register(home, domain, trained, upstream)


def anchor_model(home: Home, domain: Domain, outcome: Mapping[str, Any]) -> list[Snapshot]:
    """Commit a trained model with its cards, and its evaluation table where there is one."""
    plan = domain.model
    snapshots = [
        commit_files(
            home,
            dataset=f"model_{plan.model_id}",
            domain=domain.name,
            kind="model",
            root=home.models / plan.model_id / outcome["version"],
            upstream=outcome["upstream"],
            extra={"model_sha256": outcome["model_sha256"], "version": outcome["version"]},
        )
    ]
    if plan.evaluation_table:
        evaluation = commit_dataset(
            home,
            contract_of(plan.evaluation_table),
            domain=domain.name,
            upstream=outcome["upstream"],
            code=code_version("ml"),
        )
        snapshots += [evaluation] if evaluation else []
    return snapshots


def build_model(domain: Domain) -> list[dg.AssetsDefinition]:
    """Return the model asset of a domain and the asset that anchors it."""
    plan = domain.model
    tables = [plan.training_table] + ([plan.protected_table] if plan.protected_table else [])

    @dg.asset(
        name=f"model_{plan.model_id}",
        deps=[f"anchor_{domain.name}_curated", *tables],
        group_name=domain.name,
        owners=[domain.owner],
        kinds={"xgboost"},
        tags={"layer": "model"},
        description="Trained model with its model card; it flags, ranks and explains.",
    )
    def model(tracient_home: HomeResource) -> dg.MaterializeResult:
        outcome = train_domain(tracient_home.home, domain)
        return dg.MaterializeResult(
            metadata={
                "version": outcome["version"],
                "model_sha256": outcome["model_sha256"],
                "gates": dg.MetadataValue.json(outcome["gates"]),
            },
            data_version=dg.DataVersion(outcome["model_sha256"]),
        )

    @dg.asset(
        name=f"anchor_{domain.name}_model",
        deps=[model],
        group_name=domain.name,
        owners=[domain.owner],
        kinds={"merkle"},
        tags={"layer": "anchor"},
        description="The model, its cards and its evaluation, committed to the log.",
    )
    def anchor(tracient_home: HomeResource) -> dg.MaterializeResult:
        home = tracient_home.home
        return describe(anchor_model(home, domain, Memo(home).last(f"model-{plan.model_id}") or {}))

    return [model, anchor]
