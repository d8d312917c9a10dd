"""What a witness must never forget: for each log, the checkpoint it has cosigned last.

What belongs here: one SQLite file, and the one step that reads, decides and persists in a single
transaction, for threads and processes alike. What does not: the decision (``cosigner``).

The journal is SQLite's rollback journal, not its write-ahead log. Commits are a few a second at
most, so the log's one flush less per commit buys nothing; and with the rollback journal everything
a witness must not lose lies in one file, so a copy of that file is never short of the last
commits (a witness restored from such a copy would cosign a fork). ``synchronous = EXTRA`` is FULL
and also flushes the folder after a commit: with FULL alone a power cut may bring the journal back
and undo a commit that was answered (https://sqlite.org/pragma.html#pragma_synchronous).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ledger_anchor.errors import StorageError, WitnessError
from ledger_anchor.files import PRIVATE_MODE, flush_folder

_BUSY_SECONDS = 20.0
_FORMAT = 1
# The triggers hold even for a program of ours that decides wrongly, and for a person at a prompt.
_SCHEMA = f"""
PRAGMA journal_mode = DELETE;
PRAGMA synchronous = EXTRA;
BEGIN IMMEDIATE;
CREATE TABLE cosigned (
  origin TEXT PRIMARY KEY NOT NULL, size INTEGER NOT NULL, root BLOB NOT NULL, note BLOB NOT NULL
) WITHOUT ROWID;
CREATE TRIGGER never_back BEFORE UPDATE ON cosigned
WHEN new.size < old.size OR (new.size = old.size AND new.root <> old.root)
  OR new.origin <> old.origin
BEGIN SELECT RAISE(ABORT, 'a witness never goes back'); END;
CREATE TRIGGER never_forgets BEFORE DELETE ON cosigned
BEGIN SELECT RAISE(ABORT, 'a witness never forgets'); END;
PRAGMA user_version = {_FORMAT};
COMMIT;
"""
_READ = "SELECT size, root, note FROM cosigned WHERE origin = ?"
_WRITE = """
INSERT INTO cosigned (origin, size, root, note) VALUES (?, ?, ?, ?)
ON CONFLICT (origin) DO UPDATE
SET size = excluded.size, root = excluded.root, note = excluded.note
"""


@dataclass(frozen=True)
class Held:
    """The checkpoint of one log that was cosigned last.

    Attributes:
        size: number of entries.
        root: its root, 32 bytes.
        note: the checkpoint with the log's signature and the witness's own.
    """

    size: int
    root: bytes
    note: bytes


class WitnessStore:
    """The memory of a witness, in one file.

    It is created once and on purpose: a witness whose file is gone must not start with an empty
    memory, since it would cosign any fork.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        # SQLite waits for another writer by polling; threads of one process queue up here instead.
        self._queue = threading.Lock()
        with self._connected() as database:
            found = database.execute("PRAGMA user_version").fetchone()[0]
        if found != _FORMAT:
            raise WitnessError(f"{path}: expected a witness's memory, found another database")

    @classmethod
    def create(cls, path: Path) -> WitnessStore:
        """Create the file of a new witness, readable by its owner only.

        Raises:
            StorageError: if it is there already or cannot be written.
        """
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, PRIVATE_MODE))
            database = sqlite3.connect(path, isolation_level=None)
            with contextlib.closing(database):
                database.executescript(_SCHEMA)
            flush_folder(path.parent)
        except (OSError, sqlite3.Error) as error:
            raise StorageError(f"cannot create {path}: {error}. Nothing was replaced") from error
        return cls(path)

    def latest(self, origin: str) -> Held | None:
        """What was cosigned last for a log, or None.

        Raises:
            StorageError: if the file cannot be read.
        """
        with self._connected() as database:
            return _read(database, origin)

    def advance(self, origin: str, decide: Callable[[Held | None], Held]) -> Held:
        """Read what is held, decide, and persist, with nobody else in between.

        Args:
            origin: the log.
            decide: takes what is held and returns what to hold from now on; whatever it raises
                leaves everything as it was.

        Returns:
            What is held now; it is on the disk.

        Raises:
            StorageError: if the file cannot be read or written; nothing was changed.
        """
        with self._queue, self._connected() as database:
            database.execute("BEGIN IMMEDIATE")
            fresh = decide(_read(database, origin))
            database.execute(_WRITE, (origin, fresh.size, fresh.root, fresh.note))
            database.execute("COMMIT")
            return fresh

    @contextlib.contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """A connection for one step; closing it undoes what was not committed."""
        try:
            database = self._connect()
            with contextlib.closing(database):
                yield database
        except sqlite3.Error as error:
            raise StorageError(f"{self.path}: {error}. Nothing was changed") from error

    def _connect(self) -> sqlite3.Connection:
        address = self.path.resolve().as_uri() + "?mode=rw"  # never creates the file
        if not self.path.is_file():
            raise WitnessError(
                f"{self.path}: expected the memory of this witness; found no file. Restore its "
                "newest copy, or make a new witness with new keys: one that has forgotten what it "
                "cosigned would cosign a fork"
            )
        database = sqlite3.connect(
            address, timeout=_BUSY_SECONDS, isolation_level=None, uri=True, check_same_thread=False
        )
        database.execute("PRAGMA synchronous = EXTRA")
        return database


def _read(database: sqlite3.Connection, origin: str) -> Held | None:
    row = database.execute(_READ, (origin,)).fetchone()
    return None if row is None else Held(int(row[0]), bytes(row[1]), bytes(row[2]))
