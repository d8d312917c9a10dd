"""The journal of an erasure: what is written down before anything is changed, and carrying it out.

What belongs here: the journal's file and its steps, each of which may be done twice. What does
not: finding out what is to be done (``erasure``).

An erasure writes new files beside the old ones, notes all of them in the journal, and then only
renames, overwrites and deletes. Before the journal is ready nothing has changed, and what was
prepared is thrown away; from then on the erasure is finished by whoever comes next: the same
command run again, or the next commit. The journal names the data subject, so it is gone at the end.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ledger_anchor.errors import SnapshotError, StorageError
from ledger_anchor.files import PRIVATE_MODE, flush_folder, locked, read_bytes, write_atomic
from ledger_anchor.manifest import canonical_json
from ledger_anchor.snapshots.records import Digests

if TYPE_CHECKING:
    from ledger_anchor.store import SnapshotStore

_FORMAT = "tracient-erasure/1"


@dataclass(frozen=True)
class Zeros:
    """Records of a private file that are overwritten with zeros.

    Attributes:
        path: the file, relative to the home.
        width: bytes of a record.
        records: numbers of the records.
    """

    path: str
    width: int
    records: tuple[int, ...]


@dataclass(frozen=True)
class Journal:
    """What is left to do of an erasure.

    Attributes:
        state: "preparing" (nothing was changed yet) or "ready".
        domain: the subject's domain.
        subject: its id.
        renames: new files and what they replace, relative to the home.
        zeros: what is overwritten.
        digests: new content and files digests by snapshot id.
        report: what the command says when all is done.
    """

    state: Literal["preparing", "ready"]
    domain: str
    subject: str = field(repr=False)
    renames: tuple[tuple[str, str], ...] = ()
    zeros: tuple[Zeros, ...] = ()
    digests: tuple[tuple[str, str, str], ...] = ()
    report: Mapping[str, object] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """Canonical JSON."""
        return canonical_json({"format": _FORMAT, **asdict(self)})

    @classmethod
    def from_json(cls, data: bytes) -> Journal:
        """Read a journal.

        Raises:
            ValueError: if it is malformed.
        """
        values = json.loads(data)
        if values.pop("format", None) != _FORMAT:
            raise ValueError("unknown format")
        values["renames"] = tuple((staged, target) for staged, target in values["renames"])
        values["zeros"] = tuple(
            Zeros(item["path"], item["width"], tuple(item["records"])) for item in values["zeros"]
        )
        values["digests"] = tuple((one, two, three) for one, two, three in values["digests"])
        return cls(**values)


def _path(store: SnapshotStore) -> Path:
    return store.vault.folder / "erasure.json"


def is_erasing(store: SnapshotStore) -> bool:
    """Whether an erasure was begun and not finished."""
    return _path(store).exists()


def write_journal(store: SnapshotStore, journal: Journal) -> None:
    """Note what is to be done; the caller holds the lock."""
    write_atomic(_path(store), journal.to_json(), PRIVATE_MODE)


def finish_erasure(store: SnapshotStore) -> Journal | None:
    """Finish an erasure that was cut short, or throw away what was prepared of it.

    Returns:
        The journal of the erasure that was finished; None if there was none.

    Raises:
        LockError: if another process holds the home for too long.
        StorageError: if the operating system refuses; what is left stays to be done.
        SnapshotError: if the journal is damaged.
    """
    if not is_erasing(store):
        return None
    with locked(store.vault.lock_path, store.lock_timeout):
        return finish_locked(store)


def finish_locked(store: SnapshotStore) -> Journal | None:
    """Like ``finish_erasure``, for a caller that holds the lock."""
    data = read_bytes(_path(store))
    if data is None:  # somebody else has finished it
        return None
    try:
        journal = Journal.from_json(data)
    except (ValueError, TypeError, KeyError) as error:
        raise SnapshotError(
            f"{_path(store)} is damaged; restore the vault from a backup, then erase again"
        ) from error
    try:
        if journal.state == "ready":
            _carry_out(store, journal)
        else:
            for staged, _ in journal.renames:
                path = store.home / staged
                for left in (path, *path.parent.glob(f"{path.name}.*")):
                    left.unlink(missing_ok=True)
        _path(store).unlink()
        flush_folder(store.vault.folder)
    except OSError as error:
        raise StorageError(
            f"an erasure cannot go on: {error.filename or store.home}: {error.strerror}. Run the "
            "same command again; it goes on where it stopped"
        ) from error
    return journal if journal.state == "ready" else None


def _carry_out(store: SnapshotStore, journal: Journal) -> None:
    """Every step of a ready journal; each may have been done before."""
    store.vault.forget_subject(journal.domain, journal.subject)
    folders: dict[Path, None] = {}
    for staged, target in journal.renames:
        if (store.home / staged).exists():
            os.replace(store.home / staged, store.home / target)  # noqa: PTH105 - see ``files``
        folders[(store.home / target).parent] = None
    for folder in folders:
        flush_folder(folder)
    for item in journal.zeros:
        _overwrite(store.home / item.path, item.width, item.records)
    digests = [(one, Digests(content, files)) for one, content, files in journal.digests]
    store.records.set_digests(digests)


def _overwrite(path: Path, width: int, records: Sequence[int]) -> None:
    descriptor = os.open(path, os.O_WRONLY)
    try:
        for number in records:
            os.pwrite(descriptor, bytes(width), number * width)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
