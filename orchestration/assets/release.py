"""Releases: drawn once from anchored, re-verified snapshots, and anchored themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from ledger_anchor import Snapshot
from orchestration.anchoring import commit_files, use
from orchestration.assets.anchor import describe
from orchestration.domains import Domain
from orchestration.files import read_json
from orchestration.home import Home
from orchestration.lake import Lake
from orchestration.memo import Memo
from orchestration.release import load_places, load_release_spec, publish_dp, publish_sdc
from orchestration.resources import HomeResource


def release_domain(home: Home, domain: Domain) -> Mapping[str, Any]:
    """Publish a domain's release; the same snapshots and specification give the same release.

    Returns:
        ``release_id``, ``path``, ``upstream``, ``tables`` and ``is_new``.

    Raises:
        AnchorError: A table is not anchored or does not re-verify.
        BudgetError: A privacy budget would be passed; nothing is drawn.
    """
    plan = domain.release
    snapshots = use(home, plan.tables, f"release of {domain.name}")
    result = _publish(home, domain, snapshots)
    outcome = {
        "release_id": result.release_id,
        "path": str(result.folder.relative_to(home.root)),
        "upstream": [snapshot.snapshot_id for snapshot in snapshots],
        "tables": summary_of(result.manifest),
    }
    Memo(home).record(f"release-{domain.name}", result.release_id, outcome)
    return {**outcome, "is_new": result.is_new}


def _publish(home: Home, domain: Domain, snapshots: Sequence[Snapshot]) -> Any:
    plan, lake = domain.release, Lake(home)
    spec = load_release_spec(plan.spec)
    frames = {table: lake.read(table) for table in plan.tables}
    cited = [
        {"dataset": s.dataset, "snapshot_id": s.snapshot_id, "rows": s.rows} for s in snapshots
    ]
    places = load_places()
    if plan.kind == "dp":
        return publish_dp(
            spec,
            frames,
            snapshots=cited,
            places=places,
            home_released=home.released,
            budget_ledger_path=home.budget_ledger,
        )
    return publish_sdc(spec, frames, snapshots=cited, places=places, home_released=home.released)


def summary_of(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return name and rows of each released table."""
    return [{"name": table["name"], "rows": table["rows"]} for table in manifest["tables"]]


def build_release(domain: Domain) -> list[dg.AssetsDefinition]:
    """Return the release asset of a domain and the asset that anchors it."""
    anchors = [f"anchor_{domain.name}_curated", f"anchor_{domain.name}_model"]

    @dg.asset(
        name=f"release_{domain.name}",
        deps=[*anchors, *(t for t in domain.release.tables if not t.startswith("ml_"))],
        group_name=domain.tag,
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
                "tables": dg.MetadataValue.json(outcome["tables"]),
            },
            data_version=dg.DataVersion(outcome["release_id"]),
        )

    @dg.asset(
        name=f"anchor_{domain.name}_release",
        deps=[release],
        group_name=domain.tag,
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
