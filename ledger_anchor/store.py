"""SnapshotStore: the snapshots of one home, from committing them to erasing somebody from them.

What belongs here: what a caller meets: a home's log, finding, committing, keeping, checking and
erasing, each in a few calls. What does not: how a table is committed (``commit``), files
(``file_sets``), checking (``audit``), disclosure (``disclosure``), erasure (``erasure``).
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ledger_anchor.erasing.journal import finish_erasure
from ledger_anchor.errors import DataMissingError, LogMissingError, StorageError, TableError
from ledger_anchor.files import PUBLIC_MODE, locked, make_folder, write_atomic
from ledger_anchor.manifest import canonical_json
from ledger_anchor.row_commit.engines.choice import choose_engine
from ledger_anchor.row_commit.rows import Engine
from ledger_anchor.snapshots.commit import FILES, commit_table
from ledger_anchor.snapshots.file_sets import commit_files, has_digest, keyed_digest
from ledger_anchor.snapshots.layout import extents_in_place
from ledger_anchor.snapshots.records import Part, Records, Snapshot
from ledger_anchor.snapshots.vault import Vault, derive
from ledger_anchor.tlog.log import LogReader, LogWriter

if TYPE_CHECKING:
    from ledger_anchor.checking.audit import AuditReport, VerifyReport
    from ledger_anchor.erasing.erasure import ErasureReport


@dataclass(frozen=True)
class TableSpec:
    """A table to commit: Parquet parts below the home, and what its manifest says about it.

    ``unique_key`` names the columns that tell rows apart; ``subject_column`` the column that holds
    the data subject of each row (each subject has a key of its own, so that erasing it erases the
    subject everywhere). ``retain`` says whether missing data is a failure ("always") or may be
    replaced by newer data unless the snapshot is pinned ("used"). ``append_only`` says that files
    are only ever added: if those of the newest snapshot are all there, unchanged, the new snapshot
    extends it, and only new files are hashed; otherwise the whole table is.
    """

    dataset: str
    domain: str
    files: Sequence[Path]
    unique_key: Sequence[str]
    subject_column: str | None = None
    partition: str | None = None
    contract_id: str | None = None
    contract_version: str | None = None
    upstream: Sequence[str] = ()
    ledger_heads: Sequence[Mapping[str, object]] = ()
    code_version: str = ""
    retain: Literal["always", "used"] = "used"
    append_only: bool = False


@dataclass(frozen=True)
class FileSetSpec:
    """Files to commit as they are: a model, a card or a release; all of them lie below ``root``."""

    dataset: str
    domain: str
    kind: Literal["model", "card", "release"]
    files: Sequence[Path]
    root: Path
    upstream: Sequence[str] = ()
    extra: Mapping[str, str] = field(default_factory=dict)
    partition: str | None = None
    code_version: str = ""


class SnapshotStore:
    """Snapshots of one home: public log in ``anchors/``, private records in ``vault/anchor/``.

    Args:
        home: the home folder.
        use_numba: True or False forces an engine; None chooses by size and what is installed.
        lock_timeout_seconds: how long to wait for another process.
    """

    def __init__(
        self, home: Path | str, *, use_numba: bool | None = None, lock_timeout_seconds: float = 60.0
    ) -> None:
        self.home = Path(home).resolve()
        self.anchors = self.home / "anchors"
        self.vault = Vault(self.home / "vault" / "anchor")
        self.records = Records(self.vault.folder)
        self.lock_timeout = lock_timeout_seconds
        self._use_numba = use_numba
        self._reader: tuple[str, LogReader] | None = None

    # -- the log ------------------------------------------------------------------------------

    def initialise(self, origin: str | None = None) -> LogReader:
        """Create the key and the empty log if they are not there.

        Args:
            origin: name of the log; "tracient-log/<random>" if not given.

        Returns:
            A reader of the log.

        Raises:
            StorageError: if the home cannot be written, or has a log but no key.
            KeyFormatError: if the origin cannot be a key's name.
        """
        with locked(self.vault.lock_path, self.lock_timeout):
            signer = self.vault.signer()
            if signer is None:
                self._refuse_second_key()
                signer = self.vault.create_signer(origin or f"tracient-log/{secrets.token_hex(4)}")
            self.vault.index_key()
            vkey = signer.verifier().format() + "\n"
            write_atomic(self.anchors / "log.vkey", vkey.encode(), PUBLIC_MODE)
            self.writer().append_locked([])
        return self.reader()

    def _refuse_second_key(self) -> None:
        """A log keeps its key: where a log is and no key, the key was lost, not never drawn."""
        if (self.anchors / "log" / "checkpoint").exists() or self.vault.state_path.exists():
            raise StorageError(
                f"{self.vault.signing_key_path}: expected the key that signs this home's log; "
                "found no file. Restore it from a backup of the vault: another key would be "
                "another log. Nothing was changed"
            )

    def reader(self) -> LogReader:
        """The log as anyone sees it.

        Raises:
            LogMissingError: if nothing was anchored yet.
        """
        path = self.anchors / "log.vkey"
        if not path.is_file():
            raise LogMissingError(f"nothing is anchored yet in {self.home}")
        vkey = path.read_text()
        if self._reader is None or self._reader[0] != vkey:
            self._reader = vkey, LogReader(self.anchors / "log", vkey)
        return self._reader[1]

    def writer(self) -> LogWriter:
        """The log as its owner sees it.

        Raises:
            LogMissingError: if the vault holds no signing key.
        """
        signer = self.vault.signer()
        if signer is None:
            raise LogMissingError(f"{self.vault.folder} holds no signing key")
        log, state, lock = self.anchors / "log", self.vault.state_path, self.vault.lock_path
        return LogWriter(log, signer, state, lock, self.lock_timeout)

    def prepare(self) -> None:
        """Make the log if there is none, and finish an erasure that was cut short.

        Raises:
            LockError: if another process holds the home for too long.
            StorageError: if the home cannot be written.
        """
        if self.vault.signer() is None or not (self.anchors / "log" / "checkpoint").exists():
            self.initialise()
        finish_erasure(self)

    def heal(self) -> None:
        """Settle or forget snapshots whose commit was cut short; the caller holds the lock."""
        self.writer().recover_locked()
        for snapshot_id, entry in self.records.pending():
            index = _find_entry(self.reader(), entry)
            if index is None:
                self.records.forget_pending(snapshot_id)
            else:
                self.records.settle(snapshot_id, index)
        self.records.sweep()

    # -- finding --------------------------------------------------------------------------------

    def current(self, dataset: str, partition: str | None = None) -> Snapshot | None:
        """Newest snapshot of a dataset (and partition), or None."""
        found = self.records.current(dataset, partition)
        return None if found is None else found[0]

    def snapshots(self) -> list[Snapshot]:
        """Every snapshot of this home in the order of the log."""
        return self.records.snapshots()

    # -- committing -----------------------------------------------------------------------------

    def commit_table(self, spec: TableSpec) -> Snapshot:
        """Commit a table; unchanged data returns the snapshot that is there.

        Args:
            spec: the table.

        Returns:
            The snapshot; ``is_new`` tells whether an entry was added to the log.

        Raises:
            TableError: if a part is unreadable, schemas differ, a type is not supported, or the
                unique key is not unique.
            ErasedRowsError: if it holds rows of data subjects that were erased.
            DataMissingError: if a part is missing.
            LockError: if another process holds the log for too long.
            StorageError: if a write fails; what was there before stays as it was.
        """
        return commit_table(self, spec)

    def commit_files(self, spec: FileSetSpec) -> Snapshot:
        """Commit files as they are; unchanged files return the snapshot that is there.

        The data of upstream tables that are kept only while in use is pinned.

        Args:
            spec: the files.

        Returns:
            The snapshot.

        Raises:
            TableError: if no file is given or one lies outside the root.
            DataMissingError: if a file or the data of an upstream snapshot is missing.
            LockError, StorageError: as for ``commit_table``.
        """
        return commit_files(self, spec)

    def append_entries(self, entries: Sequence[bytes]) -> list[int]:
        """Add entries of any kind to the home's log, beside its snapshots.

        Args:
            entries: bytes of each, at most 65,535.

        Returns:
            Their indexes in the log.

        Raises:
            LockError: if another process holds the log for too long.
            StorageError: if a write fails; the log then opens at the old or the new size.
        """
        self.prepare()
        with locked(self.vault.lock_path, self.lock_timeout):
            self.heal()
            return self.writer().append_locked(entries)

    def pin(self, snapshot_id: str, reason: str) -> None:
        """Keep the data of a snapshot because something was built from it.

        Tables kept only while in use are copied to ``lake/.retained/<snapshot id>``: a copy and not
        a hard link, since a writer that overwrites a file in place would change both.

        Args:
            snapshot_id: the snapshot.
            reason: what was built from it.

        Raises:
            SnapshotError: if the snapshot is unknown.
            DataMissingError: if its data is no longer there.
            StorageError: if the copy cannot be written.
        """
        snapshot, _ = self.records.find(snapshot_id)
        finish_erasure(self)
        with locked(self.vault.lock_path, self.lock_timeout):
            record = self.records.read(snapshot_id)
            retained: tuple[Part, ...] = ()
            if record.retain == "used" and not record.retained:
                extents = extents_in_place(self.records, snapshot)
                parts = [part for extent in extents for part in extent.parts]
                retained = tuple(
                    self._copy_part(snapshot_id, number, part) for number, part in enumerate(parts)
                )
            if retained or reason not in record.pins:
                self.records.add_pin(record, reason, retained)

    # -- checking -------------------------------------------------------------------------------

    def reverify(self, snapshot_id: str) -> None:
        """Recompute a snapshot's root from its data.

        Raises:
            DataMismatchError: naming dataset, row key, column, expected and found digest.
            DataMissingError: if the data is not retained.
            SnapshotError: if the snapshot is unknown or its private record damaged.
        """
        from ledger_anchor.checking.audit import reverify  # noqa: PLC0415 - audit imports this module

        reverify(self, snapshot_id)

    def verify(self) -> VerifyReport:
        """Check the log: signature, tiles, signed state, and each snapshot's inclusion."""
        from ledger_anchor.checking.audit import verify_home  # noqa: PLC0415 - audit imports this module

        return verify_home(self)

    def audit(self, progress: Callable[[str, int, int], None] | None = None) -> AuditReport:
        """Check the log and re-hash the data of every snapshot.

        Args:
            progress: called with a dataset's name, its number from 1, and how many there are.
        """
        from ledger_anchor.checking.audit import audit_home  # noqa: PLC0415 - audit imports this module

        return audit_home(self, progress)

    # -- erasing --------------------------------------------------------------------------------

    def erase(self, domain: str, subject: str, reason: str) -> ErasureReport:
        """Erase a data subject: see ``erasure.erase_subject``."""
        from ledger_anchor.erasing.erasure import erase_subject  # noqa: PLC0415 - it imports this module

        return erase_subject(self, domain, subject, reason)

    def erasures(self) -> int:
        """How many data subjects were erased so far; it only grows."""
        return self.vault.erasures()

    def erased(self, domain: str, subjects: Sequence[str]) -> set[str]:
        """Those of some data subjects that were erased, so that a feed can leave them out.

        Args:
            domain: the domain the subjects belong to.
            subjects: their ids as they stand in the tables.
        """
        return self.vault.erased(domain, list(dict.fromkeys(subjects)))

    # -- for the modules that do the work -------------------------------------------------------

    def engine(self, cells: int) -> Engine:
        """The engine for a table of so many cells."""
        return choose_engine(cells, self._use_numba)

    def derived(self, purpose: str) -> bytes:
        """The key of the private index for one purpose."""
        return derive(self.vault.index_key(), purpose)

    def keyed(self, purpose: str, value: object) -> str:
        """Keyed digest of a value that has a canonical form, hex."""
        return hmac.new(self.derived(purpose), canonical_json(value), hashlib.sha256).hexdigest()

    def part_digest(self, path: Path) -> str:
        """Keyed digest of a file's bytes, hex.

        Raises:
            DataMissingError: if the file is missing.
        """
        return keyed_digest(path, self.derived(FILES))

    def parts_of(self, files: Sequence[Path]) -> tuple[Part, ...]:
        """Files of a snapshot as its record names them.

        Raises:
            TableError: if there is none, or one lies outside the home.
            DataMissingError: if one is missing.
        """
        if not files:
            raise TableError("no file was given")
        return tuple(
            Part(self.relative(file), file.stat().st_size, digest)
            for file in files
            for digest in [self.part_digest(file)]
        )

    def relative(self, path: Path) -> str:
        """A path below the home, relative to it.

        Raises:
            TableError: if it lies outside.
        """
        resolved = path.resolve()
        if not resolved.is_relative_to(self.home):
            raise TableError(f"{path} lies outside the home {self.home}; only its files are kept")
        return resolved.relative_to(self.home).as_posix()

    def is_as_kept(self, part: Part) -> bool:
        """Whether a file is there and has the bytes that were recorded."""
        path = self.home / part.path
        return path.is_file() and has_digest(path, self.derived(FILES), part.digest)

    def _copy_part(self, snapshot_id: str, number: int, part: Part) -> Part:
        source = self.home / part.path
        folder = self.home / "lake" / ".retained" / snapshot_id
        target = folder / f"{number:04d}-{source.name}"
        make_folder(folder)
        try:
            shutil.copyfile(source, target)
            with target.open("rb") as copy:
                os.fsync(copy.fileno())
        except FileNotFoundError as error:
            raise DataMissingError(_gone(snapshot_id, part)) from error
        except OSError as error:
            target.unlink(missing_ok=True)
            raise StorageError(f"cannot copy {source} to {target}: {error.strerror}") from error
        if not has_digest(target, self.derived(FILES), part.digest):
            target.unlink()
            raise DataMissingError(_gone(snapshot_id, part))
        return replace(part, path=target.relative_to(self.home).as_posix())


def _find_entry(reader: LogReader, entry: bytes) -> int | None:
    try:
        entries = list(reader.entries())
    except LogMissingError:
        return None
    return next((n for n in range(len(entries) - 1, -1, -1) if entries[n] == entry), None)


def _gone(snapshot_id: str, part: Part) -> str:
    return (
        f"the data of snapshot {snapshot_id} is no longer at {part.path}: it was replaced before "
        "the snapshot was pinned. Pin a snapshot before its dataset is written again"
    )
