"""Verifying ledger exports where they lie: nothing lands and no home is touched."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from orchestration.feeds import eledger, fabric
from orchestration.feeds.common import FeedError, VerificationReport
from orchestration.landing import expand, recognise
from orchestration.sources import ELEDGER, FABRIC, sniffers


def _verify_eledger(paths: Sequence[Path]) -> VerificationReport:
    reading = eledger.read_exports(paths)
    for _ in reading:
        pass  # The tables are not wanted here; the report is complete when all was read.
    return reading.report


_VERIFIERS: dict[str, Callable[[Sequence[Path]], VerificationReport]] = {
    FABRIC: fabric.verify_files,
    ELEDGER: _verify_eledger,
}


def verify_paths(paths: Iterable[Path]) -> list[VerificationReport]:
    """Verify the ledger exports named by paths, one report a kind of ledger.

    Raises:
        FeedError: A path does not exist, or a file is not a ledger export.
    """
    by_kind: dict[str, list[Path]] = {}
    for path in expand(paths):
        kind = recognise(path, sniffers())
        if kind not in _VERIFIERS:
            raise FeedError(
                where=path.name,
                expected="the export of a ledger (Fabric blocks or an E-Ledger export)",
                found=f"a file of kind {kind}, which has no chain to verify",
                what_to_do="Use `tracient ingest` for it: its records are checked there.",
            )
        by_kind.setdefault(kind, []).append(path)
    return [_VERIFIERS[kind](files) for kind, files in by_kind.items()]
