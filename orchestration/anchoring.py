"""Committing the home's tables and artefacts to the transparency log, as their contracts say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from data_contracts import Contract
from ledger_anchor import FileSetSpec, Snapshot, SnapshotStore, TableSpec
from orchestration.home import Home
from orchestration.lake import Lake


def commit_dataset(
    home: Home,
    contract: Contract,
    *,
    domain: str,
    partition: str | None = None,
    upstream: Sequence[str] = (),
    ledger_heads: Sequence[Mapping[str, Any]] = (),
    code: str = "",
) -> Snapshot | None:
    """Commit a dataset, or one partition of it; unchanged data keeps its snapshot.

    Args:
        home: The home.
        contract: The dataset's contract: its name, unique key and data subject.
        domain: Domain named in the manifest.
        partition: Channel or chain, for ledger tables.
        upstream: Snapshot ids that it was built from.
        ledger_heads: Heads of the ledger that it was built from.
        code: Version of the code that built it.

    Returns:
        The snapshot; None where the dataset holds no file with rows.
    """
    files = Lake(home).parts(contract.name, partition)
    if not files:
        return None
    # Raw tables only grow, by part files of each delivery: a snapshot extends the one before.
    is_raw = contract.name.startswith("raw_")
    return SnapshotStore(home.root).commit_table(
        TableSpec(
            dataset=contract.name,
            domain=domain,
            files=files,
            unique_key=contract.unique_key,
            subject_column=contract.subject_column,
            partition=partition,
            contract_id=contract.id,
            contract_version=contract.version,
            upstream=upstream,
            ledger_heads=ledger_heads,
            code_version=code,
            retain="always" if is_raw else "used",
            append_only=is_raw,
        )
    )


def commit_files(
    home: Home,
    *,
    dataset: str,
    domain: str,
    kind: str,
    root: Path,
    upstream: Sequence[str],
    extra: Mapping[str, str],
) -> Snapshot:
    """Commit every file below a folder: a model with its card, or a release."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return SnapshotStore(home.root).commit_files(
        FileSetSpec(
            dataset=dataset,
            domain=domain,
            kind=kind,
            files=files,
            root=root,
            upstream=upstream,
            extra=extra,
        )
    )


def current_ids(home: Home, datasets: Iterable[str]) -> list[str]:
    """Return the ids of the newest snapshots of datasets, over all their partitions."""
    wanted = set(datasets)
    newest: dict[tuple[str, str | None], str] = {}
    for snapshot in SnapshotStore(home.root).snapshots():
        if snapshot.dataset in wanted:
            newest[snapshot.dataset, snapshot.partition] = snapshot.snapshot_id
    return sorted(newest.values())


def use(home: Home, datasets: Iterable[str], reason: str) -> list[Snapshot]:
    """Re-verify the newest snapshots of datasets from their data and keep that data.

    Nothing is trained on or released from a snapshot that is not anchored and re-verified.

    Args:
        home: The home.
        datasets: Tables about to be used.
        reason: Who uses them, recorded with the retained data.

    Returns:
        Their snapshots.

    Raises:
        AnchorError: A table is not anchored, or its data differs from what was committed.
    """
    store = SnapshotStore(home.root)
    used = []
    for dataset in datasets:
        snapshot = store.current(dataset)
        if snapshot is None:
            raise LookupError(
                f"{dataset}: expected an anchored snapshot; found none in the log. "
                "Materialise its anchor asset first (`tracient run`)."
            )
        store.reverify(snapshot.snapshot_id)
        store.pin(snapshot.snapshot_id, reason)
        used.append(snapshot)
    return used
