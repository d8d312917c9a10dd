"""Ingest: landed deliveries through their readers into the lake, idempotent and without loss.

A delivery whose ledger does not verify is refused whole and kept in quarantine with its report;
a record that its reader or its contract refuses goes to quarantine with file, position, rule and
reason; everything else becomes part files of the raw tables. Part files are named after the
delivery, so doing it again after a crash writes the same files again.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ledger_anchor import SnapshotStore
from orchestration.feeds.common import FeedError, Reading, Rejection, VerificationReport
from orchestration.files import read_json, replacing, write_json
from orchestration.home import Home
from orchestration.lake import COMPRESSION, ROW_GROUP, Lake
from orchestration.landing import Delivery, Register, refuse

Progress = Callable[[str], None]


@dataclass(frozen=True)
class Source:
    """How one kind of delivery is read, and what its tables promise.

    Attributes:
        kind: The kind that its sniffer names; for feeds the dataset's name.
        domain: The domain whose job reads it.
        open: Starts a reading of the delivery's files.
        partition_column: Column whose value names the partition (the channel or chain), or None.
        keys: Unique key by dataset for tables whose rows may be delivered twice.
        row_rules: Finds the rows of a table that break its contract: masks by rule id.
        subject_of: Names the column of a table that holds the person of each row, if any.
    """

    kind: str
    domain: str
    open: Callable[[Sequence[Path], Mapping[Path, str], Sequence[Mapping[str, Any]]], Reading]
    partition_column: str | None = None
    keys: Mapping[str, Sequence[str]] = field(default_factory=dict)
    row_rules: Callable[[str, pa.Table], Mapping[str, pa.Array]] | None = None
    subject_of: Callable[[str], str | None] | None = None


@dataclass
class IngestResult:
    """What became of one delivery.

    Attributes:
        delivery_id: Its id.
        kind: Its kind.
        status: ``ingested`` or ``refused``.
        rows: Rows added by dataset.
        repeated: Rows that had been ingested before, by dataset.
        erased: Rows left out, by dataset, since their person was erased; nothing else of them is
            kept, in quarantine neither.
        rejected: Number of records in quarantine by rule.
        report: What was verified and what could not be.
        reason: Why it was refused.
    """

    delivery_id: str
    kind: str
    status: str = "ingested"
    rows: dict[str, int] = field(default_factory=dict)
    repeated: dict[str, int] = field(default_factory=dict)
    erased: dict[str, int] = field(default_factory=dict)
    rejected: dict[str, int] = field(default_factory=dict)
    report: dict[str, Any] = field(default_factory=dict)
    reason: str = ""


class Heads:
    """The verified head of every ledger, which the next export must extend."""

    def __init__(self, home: Home) -> None:
        self._path = home.state / "heads.json"

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the heads of one kind of ledger."""
        return list(read_json(self._path, {}).get(kind, {}).values())

    def advance(self, kind: str, heads: Iterable[Mapping[str, Any]]) -> None:
        """Record heads; a head is identified by its channel, or its chain and shard."""
        stored = read_json(self._path, {})
        for head in heads:
            name = "/".join(
                str(head[part]) for part in ("channel", "chain", "shard") if part in head
            )
            stored.setdefault(kind, {})[name] = dict(head)
        write_json(self._path, stored)


def ingest_delivery(home: Home, delivery: Delivery, source: Source) -> IngestResult:
    """Read one landed delivery into the lake.

    Args:
        home: The home.
        delivery: A delivery with status ``landed``.
        source: How to read it.

    Returns:
        What became of it; a refused delivery lies in quarantine with its report.
    """
    result = IngestResult(delivery.delivery_id, delivery.kind)
    heads = Heads(home)
    paths = {home.root / file.path: file.name for file in delivery.files}
    staging = home.lake / f".staging-{delivery.delivery_id}"
    shutil.rmtree(staging, ignore_errors=True)
    _discard_unsettled(home, delivery.delivery_id)
    try:
        reading = source.open(list(paths), paths, heads.of(delivery.kind))
        rejections = _stage(Lake(home), source, reading, staging, result)
    except FeedError as error:
        shutil.rmtree(staging, ignore_errors=True)
        return _refuse(home, delivery, result, str(error), {})
    result.report = asdict(reading.report)
    if not reading.report.is_ok:
        shutil.rmtree(staging, ignore_errors=True)
        return _refuse(home, delivery, result, _chain_reason(reading.report), result.report)
    rejections += reading.rejections
    _write_rejections(home, delivery, rejections, result)
    _publish(home, staging, delivery.delivery_id)
    write_json(home.state / "verification" / f"{delivery.delivery_id}.json", asdict(result))
    heads.advance(delivery.kind, reading.report.heads)
    Register(home).settle(
        delivery, "ingested", {"rows": result.rows, "rejected": sum(result.rejected.values())}
    )
    return result


def _discard_unsettled(home: Home, delivery_id: str) -> None:
    """Remove parts that a crashed attempt published: they would count as known rows now."""
    for part in home.lake.rglob(f"{delivery_id}-*.parquet"):
        part.unlink()


def _chain_reason(report: VerificationReport) -> str:
    first = report.errors[0]
    return (
        f"{report.network}: expected a {report.container} whose checks pass; found "
        f"{len(report.errors)} block(s) with errors, first block {first.get('blockNum')}: "
        f"{', '.join(first.get('errors', []))}. Fetch the export again from a peer you trust; "
        "`tracient ledger verify PATH --json` lists every error."
    )


def _refuse(
    home: Home, delivery: Delivery, result: IngestResult, reason: str, report: Mapping[str, Any]
) -> IngestResult:
    result.status, result.reason = "refused", reason
    result.rows.clear()
    refuse(home, delivery, reason, report)
    return result


def _stage(
    lake: Lake, source: Source, reading: Reading, staging: Path, result: IngestResult
) -> list[Rejection]:
    rejections: list[Rejection] = []
    for number, group in enumerate(reading):
        for dataset, table in group.items():
            kept = _without_erased(lake, source, dataset, table, result)
            kept = _without_known(lake, source, dataset, kept, result, rejections)
            kept = _without_broken(source, dataset, kept, rejections)
            if kept.num_rows:
                _write_staged(staging, source, dataset, kept, number)
                result.rows[dataset] = result.rows.get(dataset, 0) + kept.num_rows
    return rejections


def _without_erased(
    lake: Lake, source: Source, dataset: str, table: pa.Table, result: IngestResult
) -> pa.Table:
    """Leave out the rows of people who were erased: a delivery must not bring them back."""
    column = source.subject_of(dataset) if source.subject_of else None
    if column is None or not table.num_rows:
        return table
    people = [str(one) for one in pc.unique(table[column]).to_pylist() if one is not None]
    erased = SnapshotStore(lake.home.root).erased(source.domain, people)
    if not erased:
        return table
    is_erased = pc.is_in(table[column].cast(pa.string()), pa.array(sorted(erased)))
    result.erased[dataset] = result.erased.get(dataset, 0) + int(pc.sum(is_erased).as_py())
    return table.filter(pc.invert(is_erased))


def _without_known(
    lake: Lake,
    source: Source,
    dataset: str,
    table: pa.Table,
    result: IngestResult,
    rejections: list[Rejection],
) -> pa.Table:
    if dataset not in source.keys:
        return table
    new, same, restated = lake.split_known(dataset, table, source.keys[dataset])
    if same:
        result.repeated[dataset] = result.repeated.get(dataset, 0) + same
    rejections += _as_rejections(
        dataset,
        restated,
        "feed.restated",
        "expected a key that has not landed before; found it with other content. "
        "Restatements are not applied silently: a person decides",
    )
    return new


def _without_broken(
    source: Source, dataset: str, table: pa.Table, rejections: list[Rejection]
) -> pa.Table:
    if source.row_rules is None or not table.num_rows:
        return table
    good: pa.Array | None = None
    for rule, mask in source.row_rules(dataset, table).items():
        broken = pc.fill_null(mask, False)
        if not pc.any(broken).as_py():
            continue
        reason = f"expected every row to satisfy the contract's rule {rule}"
        rejections += _as_rejections(dataset, table.filter(broken), rule, reason)
        good = pc.invert(broken) if good is None else pc.and_(good, pc.invert(broken))
    return table if good is None else table.filter(good)


def _as_rejections(dataset: str, rows: pa.Table, rule: str, reason: str) -> list[Rejection]:
    return [
        Rejection(dataset, f"row {number}", rule, reason, orjson.dumps(row, default=str))
        for number, row in enumerate(rows.to_pylist(), start=1)
    ]


def _write_staged(
    staging: Path, source: Source, dataset: str, table: pa.Table, number: int
) -> None:
    for partition, rows in _partitioned(table, source.partition_column):
        folder = staging / dataset / partition if partition else staging / dataset
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(
            rows,
            folder / f"{number:05d}.parquet",
            compression=COMPRESSION,
            row_group_size=ROW_GROUP,
        )


def _partitioned(table: pa.Table, column: str | None) -> list[tuple[str, pa.Table]]:
    if column is None or column not in table.column_names:
        return [("", table)]
    names = table[column].unique().to_pylist()
    if len(names) == 1:
        return [(_folder_name(names[0]), table)]
    return [(_folder_name(name), table.filter(pc.equal(table[column], name))) for name in names]


def _folder_name(network: str) -> str:
    """Return a network's name as a folder: it comes from outside, so it may hold anything."""
    if re.fullmatch(r"[A-Za-z][A-Za-z0-9._-]{0,100}", network):
        return network
    return "network-" + hashlib.sha256(network.encode()).hexdigest()[:16]


def _publish(home: Home, staging: Path, delivery_id: str) -> None:
    if not staging.exists():
        return
    for part in sorted(staging.rglob("*.parquet")):
        relative = part.relative_to(staging)
        target = home.lake / relative.parent / f"{delivery_id}-{relative.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        part.replace(target)
    shutil.rmtree(staging)


def _write_rejections(
    home: Home, delivery: Delivery, rejections: Sequence[Rejection], result: IngestResult
) -> None:
    if not rejections:
        return
    path = home.quarantine / "records" / f"{delivery.delivery_id}.jsonl"
    with replacing(path) as temporary, temporary.open("wb") as handle:
        for rejection in rejections:
            result.rejected[rejection.rule] = result.rejected.get(rejection.rule, 0) + 1
            row = asdict(rejection) | {"record": base64.b64encode(rejection.record).decode()}
            handle.write(orjson.dumps(row) + b"\n")
    path.chmod(0o600)
