"""Tombstones: what remains of rows that were erased with their data subjects.

What belongs here: their file (``tombstones.json`` of the segment that had the rows) and its
checks. What does not: erasing (``erasure``). A tombstone keeps the row's number and leaf hash, so
that the root can still be calculated, when it was erased and why; nothing that a value could be
guessed from, and not who the subject was.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ledger_anchor.errors import SnapshotError
from ledger_anchor.files import read_bytes
from ledger_anchor.manifest import canonical_json
from ledger_anchor.row_commit.row_files import RowFiles
from ledger_anchor.tree import HASH_SIZE

_FORMAT = "tracient-tombstones/1"


@dataclass(frozen=True)
class Erasure:
    """Rows of one segment that one erasure took.

    Attributes:
        erased_at: RFC 3339 UTC.
        reason: free text of whoever ordered it.
        rows: row number and leaf hash (32 bytes) of each.
    """

    erased_at: str
    reason: str
    rows: tuple[tuple[int, bytes], ...]


def format_erasures(erasures: Sequence[Erasure]) -> bytes:
    """Bytes of the file."""
    listed = [
        {
            "erased_at": item.erased_at,
            "reason": item.reason,
            "rows": [[number, leaf.hex()] for number, leaf in item.rows],
        }
        for item in erasures
    ]
    return canonical_json({"format": _FORMAT, "erasures": listed})


def read_erasures(path: Path) -> tuple[Erasure, ...]:
    """Erasures of a segment; none if there is no file.

    Raises:
        SnapshotError: if the file is damaged.
    """
    data = read_bytes(path)
    if data is None:
        return ()
    try:
        values = json.loads(data)
        if values["format"] != _FORMAT:
            raise ValueError("unknown format")
        return tuple(_read(item) for item in values["erasures"])
    except (ValueError, TypeError, KeyError) as error:
        raise SnapshotError(f"{path} is damaged; restore the vault from a backup") from error


def _read(item: dict[str, Any]) -> Erasure:
    rows = [(number, bytes.fromhex(str(leaf))) for number, leaf in item["rows"]]
    checked = tuple((number, leaf) for number, leaf in rows if isinstance(number, int))
    if len(checked) < len(rows) or any(len(leaf) != HASH_SIZE for _, leaf in checked):
        raise ValueError("a tombstone is a row number and a hash")
    return Erasure(str(item["erased_at"]), str(item["reason"]), checked)


def erased_numbers(erasures: Sequence[Erasure]) -> set[int]:
    """Numbers of all rows that were erased."""
    return {number for item in erasures for number, _ in item.rows}


def check_erasures(erasures: Sequence[Erasure], files: RowFiles) -> None:
    """Check that tombstones are those of committed rows.

    Raises:
        SnapshotError: if one names a row that is not of the segment, or another leaf.
    """
    for item in erasures:
        for number, leaf in item.rows:
            if not files.segment.first <= number < files.segment.end or files.leaf(number) != leaf:
                raise SnapshotError(
                    f"the tombstone of row number {number} is not that of a row that was committed "
                    f"in snapshot {files.segment.snapshot_id}; restore the vault from a backup"
                )
