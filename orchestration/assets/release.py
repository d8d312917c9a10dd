"""Releases: drawn once from anchored, re-verified snapshots, and anchored themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from ledger_anchor import Snapshot, SnapshotStore
from orchestration.anchoring import commit_files, use
from orchestration.assets.anchor import describe
from orchestration.domains import Domain
from orchestration.files import read_json
from orchestration.home import Home
from orchestration.lake import Lake
from orchestration.memo import Memo, code_fingerprint, combine
from orchestration.resources import HomeResource
from orchestration.sample import is_sample

if TYPE_CHECKING:
    from orchestration.release import ReleaseResult


def release_domain(home: Home, domain: Domain) -> Mapping[str, Any]:
    """Publish a domain's release; the same snapshots and specification give the same release.

    Where the data has changed and the year's privacy budget has no room for another draw, the
    release that stands goes on standing.

    Returns:
        ``release_id``, ``path``, ``upstream``, ``tables``, ``is_new`` and ``refused`` (why the
        changed data was not published, or an empty text).

    Raises:
        AnchorError: A table is not anchored or does not re-verify.
        BudgetRefusedError: There is no room in the budget and no release that stands.
    """
    plan = domain.release
    store = SnapshotStore(home.root)
    snapshots = [snapshot for table in plan.tables if (snapshot := store.current(table))]
    fingerprint = combine(
        [s.snapshot_id for s in snapshots]
        + [code_fingerprint("orchestration/release", "dbt_project/seeds")]
    )
    memo = Memo(home)
    known = memo.outcome(f"release-{domain.name}", fingerprint)
    if known and (home.root / known["path"] / "manifest.json").exists():
        return {**known, "is_new": False, "refused": ""}
    # Imported here and below: OpenDP takes seconds, which other steps need not pay.
    from orchestration.release import BudgetRefusedError  # noqa: PLC0415

    used = use(home, plan.tables, f"release of {domain.name}")
    try:
        result = _publish(home, domain, used)
    except BudgetRefusedError as refusal:
        standing = memo.last(f"release-{domain.name}")
        if standing is None:
            raise
        return {**standing, "is_new": False, "refused": str(refusal)}
    outcome = {
        "release_id": result.release_id,
        "path": str(result.folder.relative_to(home.root)),
        "upstream": [snapshot.snapshot_id for snapshot in used],
        "tables": summary_of(result.manifest),
    }
    memo.record(f"release-{domain.name}", fingerprint, outcome)
    return {**outcome, "is_new": result.is_new, "refused": ""}


def rule_version(home: Home, domain: Domain) -> str:
    """Return the versions of the policy rules behind a domain's figures, as its mart names them."""
    versions = Lake(home).read(domain.release.rule_table, ["rule_version"])["rule_version"]
    return "; ".join(
        sorted(v for v in set(versions.to_pylist()) if v and not v.endswith("not-assessed"))
    )


def _publish(home: Home, domain: Domain, snapshots: Sequence[Snapshot]) -> ReleaseResult:
    from orchestration.release import (  # noqa: PLC0415
        load_places,
        load_release_spec,
        publish_dp,
        publish_sdc,
    )

    plan, lake = domain.release, Lake(home)
    rules = rule_version(home, domain)
    spec = load_release_spec(plan.spec)
    frames = {table: lake.read(table) for table in plan.tables}
    if plan.kind == "sdc":
        return publish_sdc(
            spec,
            frames,
            snapshots=snapshots,
            home_released=home.released,
            is_sample=is_sample(home),
            rule_version=rules,
        )
    return publish_dp(
        spec,
        frames,
        places=load_places(),
        snapshots=snapshots,
        home_released=home.released,
        budget_ledger_path=home.budget_ledger,
        is_sample=is_sample(home),
        rule_version=rules,
    )


def summary_of(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return name and rows of each released table."""
    return [{"name": table["name"], "rows": table["rows"]} for table in manifest["tables"]]


def build_release(domain: Domain) -> list[dg.AssetsDefinition]:
    """Return the release asset of a domain and the asset that anchors it."""
    anchors = [f"anchor_{domain.name}_curated", f"anchor_{domain.name}_model"]

    @dg.asset(
        name=f"release_{domain.name}",
        deps=[*anchors, *(t for t in domain.release.tables if not t.startswith("ml_"))],
        group_name=domain.name,
        owners=[domain.owner],
        kinds={"opendp" if domain.release.kind == "dp" else "parquet"},
        tags={"layer": "release"},
        description="The domain's public figures: immutable files with a manifest.",
    )
    def release(tracient_home: HomeResource) -> dg.MaterializeResult:
        outcome = release_domain(tracient_home.home, domain)
        return dg.MaterializeResult(
            metadata={
                "release_id": outcome["release_id"],
                "path": outcome["path"],
                "is_new": outcome["is_new"],
                "refused": outcome["refused"],
                "tables": dg.MetadataValue.json(outcome["tables"]),
            },
            data_version=dg.DataVersion(outcome["release_id"]),
        )

    @dg.asset(
        name=f"anchor_{domain.name}_release",
        deps=[release],
        group_name=domain.name,
        owners=[domain.owner],
        kinds={"merkle"},
        tags={"layer": "anchor"},
        description="The release's files and manifest, committed to the log.",
    )
    def anchor(tracient_home: HomeResource) -> dg.MaterializeResult:
        return describe([anchor_release(tracient_home.home, domain)])

    return [release, anchor]


def anchor_release(home: Home, domain: Domain) -> Snapshot:
    """Commit the domain's newest release to the log."""
    outcome = Memo(home).last(f"release-{domain.name}")
    if outcome is None:
        raise LookupError(f"release of {domain.name}: expected one to anchor; found none yet.")
    return commit_files(
        home,
        dataset=f"release_{domain.name}",
        domain=domain.name,
        kind="release",
        root=home.root / outcome["path"],
        upstream=outcome["upstream"],
        extra={"release_id": outcome["release_id"], **_budget_head(home, outcome)},
    )


def _budget_head(home: Home, outcome: Mapping[str, Any]) -> dict[str, str]:
    manifest = read_json(home.root / outcome["path"] / "manifest.json")
    budget = manifest.get("budget")
    return {"budget_ledger_head": budget["ledger_head"]} if budget else {}
