"""What only the owner of a home may read: keys, and one random key for each data subject.

What belongs here: the signing key, the key of the private index, the subjects' keys and their
storage below ``vault/anchor`` (folder 0700, files 0600). What does not: snapshots and their private
records (``records``). Nothing of this module is ever logged, printed or put into a manifest.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from ledger_anchor.errors import KeyFormatError, StorageError, SubjectKeyError
from ledger_anchor.files import PRIVATE_MODE, make_folder, read_bytes, write_atomic
from ledger_anchor.note import SignerKey

KEY_SIZE = 32
_BUSY_SECONDS = 60.0


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
            subjects: their ids as they stand in the table (keyed hashes), each once.

        Returns:
            One key of 32 bytes per subject.

        Raises:
            StorageError: if the key store cannot be read or written.
        """
        with open_database(self._subjects, _SUBJECT_SCHEMA) as database:
            _ask(database, subjects)
            missing = [row[0] for row in database.execute(_MISSING, (domain,))]
            drawn = secrets.token_bytes(KEY_SIZE * len(missing))
            fresh = (
                (domain, subject, drawn[KEY_SIZE * number : KEY_SIZE * (number + 1)])
                for number, subject in enumerate(missing)
            )
            database.executemany("INSERT INTO subject_keys VALUES (?, ?, ?)", fresh)
            return [bytes(row[0]) for row in database.execute(_WANTED, (domain,))]

    def known_subject_keys(self, domain: str, subjects: Sequence[str]) -> list[bytes | None]:
        """Keys of data subjects as far as the vault has them: None for the others.

        Args:
            domain: the domain the subjects belong to.
            subjects: their ids, each once.

        Returns:
            One key or None per subject.

        Raises:
            SubjectKeyError: if the vault has not one of the keys.
            StorageError: if the key store cannot be read.
        """
        keys: list[bytes | None] = [None] * len(subjects)
        if self._subjects.exists():
            with open_database(self._subjects, None) as database:
                _ask(database, subjects)
                keys = [row[0] for row in database.execute(_WANTED, (domain,))]
        if subjects and not any(keys):
            raise SubjectKeyError(
                f"none of {len(subjects)} data subjects of {domain} has a key in {self._subjects}: "
                "this is not the vault these snapshots were made with"
            )
        return keys


def _ask(database: sqlite3.Connection, subjects: Sequence[str]) -> None:
    database.execute("CREATE TEMP TABLE wanted (n INTEGER PRIMARY KEY, subject TEXT)")
    database.executemany("INSERT INTO wanted VALUES (?, ?)", enumerate(subjects))


_SUBJECT_SCHEMA = """
PRAGMA secure_delete = ON;
CREATE TABLE IF NOT EXISTS subject_keys (
  domain TEXT NOT NULL, subject TEXT NOT NULL, key BLOB NOT NULL, PRIMARY KEY (domain, subject)
) WITHOUT ROWID;
"""
_JOIN = "FROM wanted LEFT JOIN subject_keys AS k ON k.domain = ? AND k.subject = wanted.subject"
_MISSING = f"SELECT wanted.subject {_JOIN} WHERE k.key IS NULL ORDER BY 1"
_WANTED = f"SELECT k.key {_JOIN} ORDER BY n"


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


def _connect(path: Path, *, is_writing: bool) -> sqlite3.Connection:
    if is_writing:
        make_folder(path.parent, 0o700)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE_MODE))
    address = path.resolve().as_uri() + ("" if is_writing else "?mode=ro")
    return sqlite3.connect(address, timeout=_BUSY_SECONDS, isolation_level=None, uri=True)
