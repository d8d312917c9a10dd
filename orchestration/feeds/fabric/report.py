"""What is said about a verified export: errors per block, and how far each check got.

What belongs here: the names of the checks of ``../shared/specs/fabric_export.md`` section 3, their
coverage, and the errors in the shape of Fabric's ``ledgerutil verify``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from orchestration.feeds.common import CheckCoverage, VerificationReport

DATA_HASH = "1 data hash"
REMARSHAL = "2 envelopes re-marshal"
PREVIOUS_HASH = "3 header chain"
TX_ID = "4 transaction ids"
PROPOSAL_HASH = "5 proposal hashes"
CREATOR_SIGNATURE = "6 creator signatures"
ENDORSEMENTS = "7 endorsement signatures"
ORDERER_SIGNATURES = "8 orderer signatures"
VALIDATION_CODES = "9 validation codes"
COMMIT_HASH = "10 commit hash"
PRIVATE_DATA = "11 private data"
CERTIFICATES = "12 certificates"
KNOWN_HEAD = "13 extends the known head"

_NOT_CHECKED_YET = "not checked yet: what it needs is read and kept, but not verified"
_NOTHING_TO_CHECK = "nothing in this export that it applies to"
_NOTES = {
    REMARSHAL: _NOTHING_TO_CHECK,
    TX_ID: _NOTHING_TO_CHECK,
    PROPOSAL_HASH: _NOTHING_TO_CHECK,
    COMMIT_HASH: _NOTHING_TO_CHECK,
    CREATOR_SIGNATURE: _NOT_CHECKED_YET,
    ENDORSEMENTS: _NOT_CHECKED_YET,
    ORDERER_SIGNATURES: _NOT_CHECKED_YET,
    CERTIFICATES: _NOT_CHECKED_YET,
    PRIVATE_DATA: "an export holds the hashes of private data, not the data to compare them with",
    KNOWN_HEAD: "no earlier head was given to extend",
}
_CHECKS = (
    DATA_HASH,
    REMARSHAL,
    PREVIOUS_HASH,
    TX_ID,
    PROPOSAL_HASH,
    CREATOR_SIGNATURE,
    ENDORSEMENTS,
    ORDERER_SIGNATURES,
    VALIDATION_CODES,
    COMMIT_HASH,
    PRIVATE_DATA,
    CERTIFICATES,
    KNOWN_HEAD,
)
_NOTED_PLACES = 5


@dataclass
class _Remark:
    count: int = 0
    places: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        more = ", …" if self.count > len(self.places) else ""
        return f"{self.count} ({', '.join(self.places)}{more})"


@dataclass
class Findings:
    """Collects errors and coverage while blocks pass by.

    Attributes:
        channels: Number of channels in the export; with several, errors name theirs.
    """

    channels: int = 1
    _errors: dict[tuple[str, int], list[str]] = field(default_factory=dict)
    _covered: dict[str, int] = field(default_factory=dict)
    _failed: dict[str, int] = field(default_factory=dict)
    _remarks: dict[tuple[str | None, str], _Remark] = field(default_factory=dict)

    def error(self, channel: str, number: int, text: str) -> None:
        """Note an error of a block, once."""
        texts = self._errors.setdefault((channel, number), [])
        if text not in texts:
            texts.append(text)

    def count(self, check: str, covered: int, failed: int = 0) -> None:
        """Note that a check covered so many transactions, of which so many failed."""
        self._covered[check] = self._covered.get(check, 0) + covered
        self._failed[check] = self._failed.get(check, 0) + failed

    def remark(self, text: str, where: str, check: str | None = None) -> None:
        """Note something that is no error; equal remarks are counted, the first places named.

        Args:
            text: What was seen.
            where: Where, for example ``block 12``.
            check: The check whose coverage it explains; None for a note on the whole export.
        """
        remark = self._remarks.setdefault((check, text), _Remark())
        remark.count += 1
        if len(remark.places) < _NOTED_PLACES:
            remark.places.append(where)

    def write_to(self, report: VerificationReport) -> None:
        """Fill the report's errors, checks and notes."""
        report.errors = [
            self._entry(channel, number, texts) for (channel, number), texts in self._errors.items()
        ]
        report.checks = [self._coverage(check) for check in _CHECKS]
        report.notes = self._remarks_of(None)

    def _entry(self, channel: str, number: int, texts: list[str]) -> dict[str, Any]:
        entry = {"blockNum": number, "valid": False, "errors": list(texts)}
        return entry if self.channels == 1 else {"channel": channel, **entry}

    def _coverage(self, check: str) -> CheckCoverage:
        covered = self._covered.get(check)
        note = "; ".join(self._remarks_of(check))
        if covered is None:
            return CheckCoverage(check, is_possible=False, note=note or _NOTES.get(check, ""))
        return CheckCoverage(check, True, covered, self._failed[check], note)

    def _remarks_of(self, check: str | None) -> list[str]:
        return [
            f"{text}: {remark}" for (about, text), remark in self._remarks.items() if about == check
        ]
