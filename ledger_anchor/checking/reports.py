"""Reports of ``verify`` and ``audit``, for people and for machines.

What belongs here: what the checks found, in plain words and as JSON. What does not: the checks
(``audit``), and what no check can prove (``claims``).
"""

from __future__ import annotations

from dataclasses import dataclass

from ledger_anchor.claims import NOT_PROVEN
from ledger_anchor.errors import Difference


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: a sentence, and the difference in the data if it is one."""

    message: str
    difference: Difference | None = None

    def __str__(self) -> str:
        return self.message

    def to_json(self) -> dict[str, object]:
        """The problem for machines."""
        found = self.difference
        if found is None:
            return {"message": self.message}
        return {
            "message": self.message,
            "problem": found.problem,
            "dataset": found.dataset,
            "snapshot_id": found.snapshot_id,
            "file": found.file,
            "file_row": found.file_row,
            "row_number": found.row_number,
            "row_key": None if found.row_key is None else dict(found.row_key),
            "column": found.column,
            "expected": found.expected,
            "found": found.found,
        }


@dataclass(frozen=True)
class VerifyReport:
    """What ``verify`` found.

    Attributes:
        origin: name of the log, or None if nothing is anchored yet.
        size: number of entries.
        root: root of the log, hex, or None.
        snapshots: number of snapshots whose inclusion was proven.
        problems: what is wrong.
        notes: what is worth knowing and not wrong.
        extensions: number of snapshots that were proven to extend the one before.
    """

    origin: str | None
    size: int
    root: str | None
    snapshots: int
    problems: tuple[Problem, ...] = ()
    notes: tuple[str, ...] = ()
    extensions: int = 0

    @property
    def is_ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    @property
    def proven(self) -> tuple[str, ...]:
        """What the checks prove, in plain words; empty if something is wrong."""
        if not self.is_ok or self.origin is None:
            return ()
        public = (
            f"the checkpoint is signed by the key of {self.origin}",
            f"its {self.size} entries, recomputed from the files, lead to the signed root",
        )
        if not self.snapshots:
            return public
        own = (
            "the log extends the last state this home has signed",
            f"each of {self.snapshots} snapshots of this home is in the log as it was committed",
        )
        if not self.extensions:
            return (*public, *own)
        grown = (
            f"{self.extensions} of them begin with the rows of the snapshot before, in the same "
            "order and unchanged"
        )
        return (*public, *own, grown)

    def to_json(self) -> dict[str, object]:
        """The report for machines."""
        return {
            "is_ok": self.is_ok,
            "origin": self.origin,
            "size": self.size,
            "root": self.root,
            "snapshots": self.snapshots,
            "extensions": self.extensions,
            "problems": [problem.to_json() for problem in self.problems],
            "notes": list(self.notes),
            "proven": list(self.proven),
            "not_proven": list(NOT_PROVEN),
        }


@dataclass(frozen=True)
class SnapshotAudit:
    """Outcome for one snapshot: "ok", "different", "missing" or "data not retained".

    ``erased`` counts the rows that went with their data subjects: the root is calculated over
    their tombstones, their data is not there.
    """

    snapshot_id: str
    dataset: str
    partition: str | None
    rows: int
    outcome: str
    problems: tuple[Problem, ...] = ()
    erased: int = 0


@dataclass(frozen=True)
class AuditReport:
    """What ``audit`` found: the log's report and one outcome for each snapshot."""

    log: VerifyReport
    snapshots: tuple[SnapshotAudit, ...] = ()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Everything that is wrong."""
        return (*self.log.problems, *(p for item in self.snapshots for p in item.problems))

    @property
    def is_ok(self) -> bool:
        """Whether nothing is wrong ("data not retained" is no failure, and no pass either)."""
        return not self.problems

    def count(self, outcome: str) -> int:
        """Number of snapshots with an outcome."""
        return sum(item.outcome == outcome for item in self.snapshots)

    def to_json(self) -> dict[str, object]:
        """The report for machines."""
        return {
            "is_ok": self.is_ok,
            "log": self.log.to_json(),
            "snapshots": [
                {
                    "snapshot_id": item.snapshot_id,
                    "dataset": item.dataset,
                    "partition": item.partition,
                    "rows": item.rows,
                    "erased": item.erased,
                    "outcome": item.outcome,
                    "problems": [problem.to_json() for problem in item.problems],
                }
                for item in self.snapshots
            ],
            "problems": [problem.to_json() for problem in self.problems],
            "not_proven": list(NOT_PROVEN),
        }
