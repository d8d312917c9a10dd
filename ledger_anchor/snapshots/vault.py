"""What only the owner of a home may read: keys, and one random key for each data subject.

What belongs here: the signing key, the key of the private index, the subjects' keys and their
storage below ``vault/anchor`` (folder 0700, files 0600), and which subjects were erased. What does
not: snapshots and their private records (``records``). Nothing of this module is ever logged,
printed or put into a manifest.

An erased subject is remembered as a digest under a key of this vault, so that no new key is ever
drawn for it. Whoever holds the vault and knows an id can ask whether it was erased; nobody can
read from the vault who was.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import hmac
import json
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from ledger_anchor.errors import (
    KeyFormatError,
    StorageError,
    SubjectErasedError,
)
from ledger_anchor.files import PRIVATE_MODE, make_folder, read_bytes, write_atomic
from ledger_anchor.notes.keys import SignerKey

KEY_SIZE = 32
_BUSY_SECONDS = 60.0
_ERASED = "tracient erased subjects 1"
_AT_ONCE = 65_536  # keys drawn and stored together


class Vault:
    """Keys below ``vault/anchor`` of a home."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.signing_key_path = folder / "signing.key"
        self.state_path = folder / "signed-state"
        self.lock_path = folder / "lock"
        self._subjects = folder / "subjects.sqlite"

    def signer(self) -> SignerKey | None:
        """The log's signing key, or None if there is none yet.

        Raises:
            KeyFormatError: if the file is not a signing key.
        """
        raw = read_bytes(self.signing_key_path)
        if raw is None:
            return None
        try:
            return SignerKey.parse(raw.decode("ascii", "replace").strip())
        except KeyFormatError as error:
            raise KeyFormatError(f"{self.signing_key_path}: {error}") from error

    def create_signer(self, origin: str) -> SignerKey:
        """Draw and store a signing key; an existing one is never replaced.

        Raises:
            KeyFormatError: if there is one already, or the origin cannot be a key's name.
        """
        if self.signing_key_path.exists():
            raise KeyFormatError(
                f"{self.signing_key_path} exists: a log keeps its key; nothing was changed"
            )
        signer = SignerKey.generate(origin)
        make_folder(self.folder, 0o700)
        write_atomic(self.signing_key_path, signer.format().encode() + b"\n", PRIVATE_MODE)
        return signer

    def index_key(self) -> bytes:
        """The key of the private index, 32 bytes; drawn when it is first asked for.

        Raises:
            StorageError: if the file is damaged, or gone while a log is there.
        """
        path = self.folder / "index.key"
        raw = read_bytes(path)
        if raw is None:
            if self.state_path.exists():
                raise StorageError(
                    f"{path}: expected the key of this home's private index; found no file. "
                    "Restore it from a backup of the vault. Nothing was changed"
                )
            make_folder(self.folder, 0o700)
            raw = secrets.token_hex(KEY_SIZE).encode()
            write_atomic(path, raw, PRIVATE_MODE)
        with contextlib.suppress(ValueError):
            key = bytes.fromhex(raw.decode("ascii", "replace"))
            if len(key) == KEY_SIZE:
                return key
        raise StorageError(f"{path} is damaged; restore it from a backup of the vault")

    def subject_keys(self, domain: str, subjects: Sequence[str]) -> list[bytes]:
        """Keys of data subjects, in the order asked for; new subjects get a key.

        Args:
            domain: the domain the subjects belong to.
            subjects: their ids as they stand in the table (keyed hashes), each once; it is
                quickest if they are sorted.

        Returns:
            One key of 32 bytes per subject.

        Raises:
            SubjectErasedError: if one of them was erased: it never gets a key again.
            StorageError: if the key store cannot be read or written.
        """
        keys: list[bytes] = []
        with open_database(self._subjects, _SUBJECT_SCHEMA) as database:
            database.execute(_CACHE)
            for at in range(0, len(subjects), _AT_ONCE):
                keys += self._keys_of(database, domain, subjects[at : at + _AT_ONCE])
        return keys

    def _keys_of(
        self, database: sqlite3.Connection, domain: str, subjects: Sequence[str]
    ) -> list[bytes]:
        keys = _known_keys(database, domain, subjects)
        missing = [number for number, key in enumerate(keys) if key is None]
        fresh = [subjects[number] for number in missing]
        if self._erased_of(database, domain, fresh):
            raise SubjectErasedError(
                f"{domain}: expected data subjects that may have a key; found one that was "
                "erased. Leave erased subjects out of the table, then commit it again"
            )
        drawn = secrets.token_bytes(KEY_SIZE * len(fresh))
        _store_keys(database, domain, fresh, drawn)
        for number, start in zip(missing, range(0, len(drawn), KEY_SIZE), strict=True):
            keys[number] = drawn[start : start + KEY_SIZE]
        return [key for key in keys if key is not None]

    def known_subject_keys(self, domain: str, subjects: Sequence[str]) -> list[bytes | None]:
        """Keys of data subjects as far as the vault has them: None for the others.

        Args:
            domain: the domain the subjects belong to.
            subjects: their ids, each once.

        Returns:
            One key or None per subject.

        Raises:
            StorageError: if the key store cannot be read.
        """
        if not self._subjects.exists():
            return [None] * len(subjects)
        keys: list[bytes | None] = []
        with open_database(self._subjects, None) as database:
            database.execute(_CACHE)
            for at in range(0, len(subjects), _AT_ONCE):
                keys += _known_keys(database, domain, subjects[at : at + _AT_ONCE])
        return keys

    def subject_key(self, domain: str, subject: str) -> bytes | None:
        """The key of one data subject, None if the vault has none.

        Raises:
            StorageError: if the key store cannot be read.
        """
        with contextlib.closing(self.open_subjects()) as subjects:
            return subjects.key(domain, subject)

    def open_subjects(self) -> SubjectReader:
        """The keys of subjects, to be read one by one.

        Raises:
            StorageError: if the key store cannot be opened.
        """
        return SubjectReader(self._subjects)

    def erased(self, domain: str, subjects: Sequence[str]) -> set[str]:
        """Those of the subjects that were erased.

        Args:
            domain: the domain the subjects belong to.
            subjects: their ids, each once.

        Raises:
            StorageError: if the key store cannot be read.
        """
        if not self.erasures():
            return set()
        with open_database(self._subjects, None) as database:
            keys = _known_keys(database, domain, subjects)
            missing = [one for one, key in zip(subjects, keys, strict=True) if key is None]
            return self._erased_of(database, domain, missing)

    def erasures(self) -> int:
        """How many subjects were erased so far; it only grows.

        Raises:
            StorageError: if the key store cannot be read.
        """
        if not self._subjects.exists():
            return 0
        with open_database(self._subjects, None) as database:
            if not database.execute(_HAS_ERASED).fetchone():  # made by an earlier version
                return 0
            return int(database.execute("SELECT count(*) FROM erased_subjects").fetchone()[0])

    def forget_subject(self, domain: str, subject: str) -> None:
        """Delete a subject's key for good, and remember that it was erased.

        The key is overwritten, then the file is built anew, so that no page of it keeps a copy.
        What a disk keeps of deleted blocks, and what backups hold, is beyond any program's reach.

        Raises:
            StorageError: if the key store cannot be written; then nothing was deleted.
        """
        digest = self._erased_digest_of(domain)(subject)
        now = dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        with open_database(self._subjects, _SUBJECT_SCHEMA) as database:
            database.execute("INSERT OR IGNORE INTO erased_subjects VALUES (?, ?)", (digest, now))
            database.execute(
                "DELETE FROM subject_keys WHERE domain = ? AND subject = ?", (domain, subject)
            )
        rebuild_database(self._subjects)

    def _erased_of(
        self, database: sqlite3.Connection, domain: str, subjects: Iterable[str]
    ) -> set[str]:
        """Erased ones of some subjects without a key; hashes nothing before the first erasure."""
        if not database.execute("SELECT 1 FROM erased_subjects LIMIT 1").fetchone():
            return set()
        asked = "SELECT 1 FROM erased_subjects WHERE digest = ?"
        digest_of = self._erased_digest_of(domain)
        return {
            subject
            for subject in subjects
            if database.execute(asked, (digest_of(subject),)).fetchone()
        }

    def _erased_digest_of(self, domain: str) -> Callable[[str], bytes]:
        """The function that gives the digest an erased subject is remembered by."""
        started = hmac.new(derive(self.index_key(), _ERASED), digestmod=hashlib.sha256)
        started.update(len(domain.encode()).to_bytes(4, "big") + domain.encode())

        def digest_of(subject: str) -> bytes:
            running = started.copy()
            running.update(subject.encode())
            return running.digest()

        return digest_of


class SubjectReader:
    """Keys of data subjects, one by one, from an open key store."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._database: sqlite3.Connection | None = None
        if path.exists():
            try:
                self._database = _connect(path, is_writing=False)
            except sqlite3.Error as error:
                raise StorageError(f"cannot open {path}: {error}") from error

    def key(self, domain: str, subject: str) -> bytes | None:
        """The key of a subject, None if the vault has none.

        Raises:
            StorageError: if the key store cannot be read.
        """
        if self._database is None:
            return None
        asked = "SELECT key FROM subject_keys WHERE domain = ? AND subject = ?"
        try:
            row = self._database.execute(asked, (domain, subject)).fetchone()
        except sqlite3.Error as error:
            raise StorageError(f"{self._path}: {error}") from error
        return None if row is None else bytes(row[0])

    def close(self) -> None:
        """Close the key store."""
        if self._database is not None:
            self._database.close()


def _known_keys(
    database: sqlite3.Connection, domain: str, subjects: Sequence[str]
) -> list[bytes | None]:
    """Keys in the order asked for, None where there is none."""
    listed = _as_json(subjects)
    keys: list[bytes | None] = [None] * len(subjects)
    if listed is not None:
        for number, key in database.execute(_FIND, (listed, domain)):
            keys[number] = key
        return keys
    for number, subject in enumerate(subjects):
        row = database.execute(_FIND_ONE, (domain, subject)).fetchone()
        keys[number] = None if row is None else row[0]
    return keys


def _store_keys(
    database: sqlite3.Connection, domain: str, subjects: Sequence[str], keys: bytes
) -> None:
    """Store new keys. A list as JSON is one statement, five times as fast as a row at a time."""
    listed = _as_json(subjects)
    if listed is not None:
        database.execute(_STORE, (domain, keys, listed))
        return
    for number, subject in enumerate(subjects):
        key = keys[KEY_SIZE * number : KEY_SIZE * (number + 1)]
        database.execute(_STORE_ONE, (domain, subject, key))


def _as_json(subjects: Sequence[str]) -> str | None:
    """A list as JSON; None if SQLite would cut a text short, as it does at a NUL."""
    joined = '","'.join(subjects)
    raw = joined.encode()
    plain = len(raw) - 2 * max(0, len(subjects) - 1)
    if len(raw.translate(None, _ESCAPED)) == plain:
        return f'["{joined}"]' if subjects else "[]"
    return None if b"\0" in raw else json.dumps(subjects)


_ESCAPED = b'"\\' + bytes(range(32))  # what JSON does not write as it is
_SUBJECT_SCHEMA = """
PRAGMA secure_delete = ON;
CREATE TABLE IF NOT EXISTS subject_keys (
  domain TEXT NOT NULL, subject TEXT NOT NULL, key BLOB NOT NULL, PRIMARY KEY (domain, subject)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS erased_subjects (
  digest BLOB PRIMARY KEY, erased_at TEXT NOT NULL
) WITHOUT ROWID;
"""
_HAS_ERASED = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'erased_subjects'"
_CACHE = "PRAGMA cache_size = -65536"  # KiB; SQLite's own 2 MiB are read again and again
_FIND = (  # CROSS JOIN: SQLite takes the list first, whatever it thinks of the sizes
    "SELECT wanted.key, k.key FROM json_each(?) AS wanted "
    "CROSS JOIN subject_keys AS k ON k.domain = ? AND k.subject = wanted.value"
)
_FIND_ONE = "SELECT key FROM subject_keys WHERE domain = ? AND subject = ?"
_STORE = (
    f"INSERT INTO subject_keys SELECT ?, value, substr(?, {KEY_SIZE} * key + 1, {KEY_SIZE}) "
    "FROM json_each(?)"
)
_STORE_ONE = "INSERT INTO subject_keys VALUES (?, ?, ?)"


def derive(key: bytes, purpose: str) -> bytes:
    """A key for one purpose: HMAC-SHA-256(key, purpose)."""
    return hmac.new(key, purpose.encode(), hashlib.sha256).digest()


@contextlib.contextmanager
def open_database(path: Path, schema: str | None) -> Iterator[sqlite3.Connection]:
    """Open a private SQLite database, run the block in one transaction, close it.

    Args:
        path: the file; created with mode 0600 if need be.
        schema: statements that create what is missing, or None to only read.

    Raises:
        StorageError: if SQLite or the operating system refuses; the transaction is undone.
    """
    try:
        database = _connect(path, is_writing=schema is not None)
    except (OSError, sqlite3.Error) as error:
        raise StorageError(f"cannot open {path}: {error}") from error
    try:
        if schema is None:
            database.execute("BEGIN")
        else:
            database.executescript(schema)
            database.execute("BEGIN IMMEDIATE")
        yield database
        database.execute("COMMIT")
    except sqlite3.Error as error:
        raise StorageError(f"{path}: {error}. Nothing of this step was kept") from error
    finally:
        database.close()


def rebuild_database(path: Path) -> None:
    """Write a database anew, so that nothing deleted remains in free pages or a write-ahead log.

    Raises:
        StorageError: if SQLite or the operating system refuses; the database stays as it was.
    """
    try:
        database = _connect(path, is_writing=True)
    except (OSError, sqlite3.Error) as error:
        raise StorageError(f"cannot open {path}: {error}") from error
    try:
        database.execute("PRAGMA secure_delete = ON")
        database.execute("VACUUM")
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.Error as error:
        raise StorageError(f"{path}: {error}. Run the same command again") from error
    finally:
        database.close()


def _connect(path: Path, *, is_writing: bool) -> sqlite3.Connection:
    if is_writing:
        make_folder(path.parent, 0o700)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE_MODE))
    address = path.absolute().as_uri() + ("" if is_writing else "?mode=ro")
    return sqlite3.connect(address, timeout=_BUSY_SECONDS, isolation_level=None, uri=True)
