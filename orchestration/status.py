"""What a home holds: datasets with their snapshots and checks, deliveries, models, releases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ledger_anchor import Snapshot, SnapshotStore
from orchestration.files import read_json
from orchestration.home import Home
from orchestration.landing import Register
from orchestration.memo import Memo


def status(home: Home) -> dict[str, Any]:
    """Return the state of a home; an empty home gives empty lists.

    Returns:
        ``datasets`` (newest snapshot of each dataset and partition with rows, root, log index
        and contract results), ``deliveries``, ``models``, ``releases``, ``quarantine`` and
        ``last_run``. No row of any table is read.
    """
    return {
        "home": str(home.root),
        "datasets": [_dataset(home, snapshot) for snapshot in newest_snapshots(home)],
        "deliveries": [
            {
                "delivery_id": delivery.delivery_id,
                "kind": delivery.kind,
                "status": delivery.status,
                "files": len(delivery.files),
                "received_at": delivery.received_at,
                **dict(delivery.summary),
            }
            for delivery in (Register(home).all() if home.landing.exists() else [])
        ],
        "models": read_json(home.models / "index.json", []),
        "releases": read_json(home.released / "index.json", {"releases": []})["releases"],
        "quarantine": quarantine_counts(home),
        "last_run": read_json(home.state / "runs" / "tracient.json"),
    }


def newest_snapshots(home: Home) -> list[Snapshot]:
    """Return the newest snapshot of each dataset and partition, by name."""
    if not (home.root / "anchors").exists():
        return []
    newest = {
        (snapshot.dataset, snapshot.partition or ""): snapshot
        for snapshot in SnapshotStore(home.root).snapshots()
    }
    return [newest[name] for name in sorted(newest)]


def _dataset(home: Home, snapshot: Snapshot) -> dict[str, Any]:
    known = Memo(home).last(f"contract-{snapshot.dataset}")
    rules = known["rules"] if known else []
    return {
        "dataset": snapshot.dataset,
        "partition": snapshot.partition,
        "domain": snapshot.domain,
        "kind": snapshot.kind,
        "snapshot_id": snapshot.snapshot_id,
        "rows": snapshot.rows,
        "root": snapshot.root,
        "log_index": snapshot.log_index,
        "checks": {
            "rules": len(rules),
            "passed": sum(rule["success"] for rule in rules),
            "broken": [
                {key: rule[key] for key in ("rule_id", "severity", "unexpected_count")}
                for rule in rules
                if not rule["success"]
            ],
        },
    }


def quarantine_counts(home: Home) -> dict[str, int]:
    """Return the number of rejected records, refused deliveries and unknown files."""
    records = sum(_lines(path) for path in sorted((home.quarantine / "records").glob("*.jsonl")))
    return {
        "records": records,
        "deliveries": len(list((home.quarantine / "deliveries").glob("*/reason.json"))),
        "unrecognised_files": len(list((home.quarantine / "unrecognised").glob("*/reason.json"))),
    }


def _lines(path: Path) -> int:
    with path.open("rb") as handle:
        return sum(1 for _ in handle)
