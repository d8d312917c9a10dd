"""What every reader shares: its errors, its rejected records and its report.

A reader never drops a record silently: what it cannot use becomes a ``Rejection`` that the caller
writes to quarantine, and what it could not verify is said in the report.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa


class FeedError(Exception):
    """An input that cannot be read at all.

    The message says what was expected, what was found, where, and what to do.
    """

    def __init__(self, *, where: str, expected: str, found: str, what_to_do: str) -> None:
        self.where = where
        self.expected = expected
        self.found = found
        self.what_to_do = what_to_do
        super().__init__(f"{where}: expected {expected}; found {found}. {what_to_do}")


@dataclass(frozen=True)
class Rejection:
    """One record that a reader refused.

    Attributes:
        source_file: Name of the landed file.
        position: Where in it, for example ``block 12, transaction 3`` or ``line 40``.
        rule: Short stable id of the rule that refused it, for example ``epcis.schema``.
        reason: What was expected and what was found, in words without personal data.
        record: The record's raw bytes, so that nothing is lost.
    """

    source_file: str
    position: str
    rule: str
    reason: str
    record: bytes = b""


@dataclass
class CheckCoverage:
    """How far one verification check got on one export."""

    check: str
    is_possible: bool
    covered: int = 0
    failed: int = 0
    note: str = ""


@dataclass
class VerificationReport:
    """What was verified of an export, and what could not be.

    Attributes:
        container: For example ``fabric peer block store``, ``e-ledger NDJSON``.
        network: Channel or chain name.
        blocks: Number of blocks (or documents) read.
        transactions: Number of transactions (or events) read.
        errors: Blocks with errors, in the shape of Fabric's ``ledgerutil verify``.
        checks: Coverage per check.
        heads: The ledger's heads, for the next export to extend.
        notes: Anything else a reader of the data must know.
    """

    container: str
    network: str
    blocks: int = 0
    transactions: int = 0
    errors: list[dict[str, Any]] = field(default_factory=list)
    checks: list[CheckCoverage] = field(default_factory=list)
    heads: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def is_ok(self) -> bool:
        """Whether every check that was possible passed."""
        return not self.errors


class Reading(Protocol):
    """One pass over an export: iterate it for tables, then read its report and rejections."""

    report: VerificationReport
    rejections: list[Rejection]

    def __iter__(self) -> Iterator[Mapping[str, pa.Table]]:
        """Yield groups of Arrow tables by raw table name, in ledger order, in bounded memory."""
        ...


def name_of(path: Path) -> str:
    """Return the name under which a landed file is cited in reports and quarantine."""
    return path.name
