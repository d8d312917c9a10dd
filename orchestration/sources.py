"""The kinds of deliveries: how each is recognised, read, and what its tables promise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from data_contracts.rules import failing_rows
from orchestration.catalog import arrow_schema_of, contract_of, feed_tables
from orchestration.feeds import eledger, epcis, fabric, tabular
from orchestration.feeds.common import FeedError, Reading
from orchestration.ingest import Source

FABRIC, ELEDGER, EPCIS = "fabric", "eledger", "epcis"


@lru_cache(maxsize=1)
def feed_schemas() -> dict[str, list[tuple[str, pa.DataType, bool]]]:
    """Return name, type and nullability of each feed's columns, by raw table."""
    return {
        table: [(field.name, field.type, field.nullable) for field in arrow_schema_of(table)]
        for table in feed_tables()
    }


def sniffers() -> list[Callable[[Path], str | None]]:
    """Return the functions that recognise a file by its content, in order."""
    return [
        lambda path: FABRIC if fabric.sniff(path) else None,
        lambda path: ELEDGER if eledger.sniff(path) else None,
        lambda path: EPCIS if epcis.sniff(path) else None,
        lambda path: tabular.sniff(path, feed_schemas()),
    ]


@lru_cache(maxsize=1)
def _sources() -> dict[str, Source]:
    feeds = {
        table: Source(
            kind=table,
            domain=table.split("__")[0].removeprefix("raw_"),
            open=partial(_open_feed, table),
            keys={table: contract_of(table).unique_key},
            row_rules=_broken_rows,
            subject_of=_subject_of,
        )
        for table in feed_tables()
    }
    events = {"raw_epcis__events": contract_of("raw_epcis__events").unique_key}
    return {
        FABRIC: Source(FABRIC, "wages", _open_fabric, partition_column="channel"),
        ELEDGER: Source(ELEDGER, "pharma", _open_eledger, partition_column="chain", keys=events),
        EPCIS: Source(EPCIS, "pharma", _open_epcis, keys=events, row_rules=_broken_rows),
        **feeds,
    }


def _subject_of(dataset: str) -> str | None:
    return contract_of(dataset).subject_column


def source_of(kind: str) -> Source:
    """Return how a kind of delivery is read.

    Raises:
        FeedError: No reader of this version knows the kind.
    """
    try:
        return _sources()[kind]
    except KeyError:
        raise FeedError(
            where=f"delivery of kind {kind}",
            expected=f"one of {', '.join(sorted(_sources()))}",
            found="a kind that no reader of this version knows",
            what_to_do="It was landed by another version: use that one, or move it away.",
        ) from None


def _open_fabric(
    paths: Sequence[Path], names: Mapping[Path, str], heads: Sequence[Mapping[str, Any]]
) -> Reading:
    return fabric.read_channel(paths, source_names=names, expected_head=heads)


def _open_eledger(
    paths: Sequence[Path], names: Mapping[Path, str], heads: Sequence[Mapping[str, Any]]
) -> Reading:
    cited = [names[path] for path in paths]
    return eledger.read_exports(paths, source_names=cited, expected_heads=heads)


def _open_epcis(
    paths: Sequence[Path], names: Mapping[Path, str], _: Sequence[Mapping[str, Any]]
) -> Reading:
    return epcis.read_documents(paths, source_names=[names[path] for path in paths])


def _open_feed(
    table: str, paths: Sequence[Path], names: Mapping[Path, str], _: Sequence[Mapping[str, Any]]
) -> Reading:
    return tabular.read_feed(paths, table, feed_schemas()[table], source_names=names)


def _broken_rows(dataset: str, table: pa.Table) -> Mapping[str, pa.Array]:
    masks = failing_rows(contract_of(dataset), table.to_pandas())
    return {rule: pa.array(mask) for rule, mask in masks.items() if mask.any()}
