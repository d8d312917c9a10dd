"""Erasing a data subject: its key, its rows, and whatever its values could be guessed from.

What belongs here: what an erasure is, its order of steps and its report. What does not: finding and
preparing what must change (``erasure_plan``), carrying it out (``journal``), rewriting Parquet
(``parquet_rows``).

Afterwards
- the subject's key is in no file of the vault, so no salt of its cells can be made again: the
  digests in the public tree stay, and tell nothing;
- its rows are in no retained part of any table, in place or kept;
- digests that were made without its key over data that held its rows are replaced: order keys
  (a row's number tells, to whoever has the key, which unique keys it can have had), content and
  file digests (values could be tried against them), first bytes of its cell digests;
- tombstones keep row number, leaf hash, time and reason, so that ``audit`` calculates the same
  roots and counts the rows; every proof of others stays valid, and new ones can be made;
- the vault remembers the subject as a keyed digest, so that it never gets a key again: a table
  that still holds its rows is refused.

An erasure leaves no public trace. A log entry can never be taken back, and even one that only
counted rows would tell for ever that somebody was erased, and when; together with what else is
known of that day it may tell who. Nobody needs it: roots do not change, so there is nothing to
explain to a verifier, and an auditor who is let into the home reads the count from ``audit``. What
the log does show is the number of rows of the next snapshot, if that table is not append-only.

What it cannot do: reach proof bundles that were handed out (they carry their salts), backups,
deleted blocks of a disk, files outside the home's tables (landed deliveries, a warehouse), releases
and models (``file_sets``), and tables without a subject column, which have one key for all rows.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from ledger_anchor.erasing.erasure_plan import ErasurePlan
from ledger_anchor.erasing.journal import finish_erasure, finish_locked, write_journal
from ledger_anchor.errors import SnapshotError, SubjectKeyError
from ledger_anchor.files import locked

if TYPE_CHECKING:
    from ledger_anchor.store import SnapshotStore


@dataclass(frozen=True)
class ErasureReport:
    """What an erasure did. It names nobody.

    Attributes:
        domain: the subject's domain.
        erased_at: RFC 3339 UTC.
        was_erased: whether the subject had been erased before, so that there was no key to delete.
        rows: rows erased, by dataset; a row that several snapshots share counts once.
        files: parts that were rewritten, relative to the home.
        without_data: snapshots whose data is not retained: their cells cannot be opened either.
        missing: parts that should be there and are not: if they return, erase again.
        notes: what is worth knowing.
    """

    domain: str
    erased_at: str
    was_erased: bool
    rows: Mapping[str, int]
    files: tuple[str, ...]
    without_data: int
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, values: Mapping[str, object]) -> ErasureReport:
        """Read a report from a journal."""
        plain = dict(values)
        for name in ("files", "missing", "notes"):
            listed = plain[name]
            plain[name] = tuple(listed) if isinstance(listed, list) else ()
        return cls(**plain)  # type: ignore[arg-type]

    def to_json(self) -> dict[str, object]:
        """The report for machines."""
        return {"is_ok": True, **asdict(self)}

    def lines(self) -> list[str]:
        """The report for a person."""
        total = sum(self.rows.values())
        key = "had been erased before" if self.was_erased else "key deleted"
        lines = [f"{self.domain}: data subject {key}, {total} rows erased at {self.erased_at}"]
        lines += [f"  - {dataset}: {rows} rows" for dataset, rows in sorted(self.rows.items())]
        lines += [f"  - rewritten without them: {path}" for path in self.files]
        if self.without_data:
            lines.append(
                f"  - {self.without_data} snapshots whose data is not retained: no cell of the "
                "subject in them can be opened any more"
            )
        lines += [f"  - MISSING: {path}; if it returns, erase again" for path in self.missing]
        return [*lines, *(f"  - note: {note}" for note in self.notes)]


def erase_subject(store: SnapshotStore, domain: str, subject: str, reason: str) -> ErasureReport:
    """Erase a data subject from a home.

    Everything is prepared beside what is there, then noted in a journal, then carried out: if the
    machine stops in between, the same call finishes it. Done again for the same subject, it
    erases what has come back since, for example with files from a backup.

    Args:
        store: the home's store.
        domain: the domain the subject belongs to.
        subject: its id as it stands in the tables (a keyed hash).
        reason: why; free text that stays in the vault.

    Returns:
        What was done.

    Raises:
        SubjectKeyError: if the domain has no such subject, and never had one that was erased.
        SnapshotError: if the home has no vault, or a private record is damaged.
        TableError: if a part cannot be read; nothing was changed then.
        LockError: if another process holds the home for too long.
        StorageError: if the operating system refuses; run the same command again.
    """
    if not store.vault.folder.is_dir():
        raise SnapshotError(f"{store.home} has no vault: erase in the home that made the snapshots")
    finished = finish_erasure(store)
    if finished is not None and (finished.domain, finished.subject) == (domain, subject):
        return ErasureReport.from_json(finished.report)
    with locked(store.vault.lock_path, store.lock_timeout):
        store.heal()
        store.records.drop_temporary()
        was_erased = bool(store.vault.erased(domain, [subject]))
        if not was_erased and store.vault.subject_key(domain, subject) is None:
            raise SubjectKeyError(
                f"{domain}: expected a data subject of this domain; the vault has no key for this "
                "one and has erased none of this id. Nothing was changed"
            )
        now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        plan = ErasurePlan(store, domain, subject, reason, now)
        report = ErasureReport(
            domain,
            now,
            was_erased,
            plan.rows_by_dataset(),
            tuple(plan.rewritten),
            plan.without_data(),
            tuple(plan.missing()),
            tuple(plan.notes()),
        )
        write_journal(store, plan.preparing())
        write_journal(store, plan.prepare(asdict(report)))
        finish_locked(store)
    return report
