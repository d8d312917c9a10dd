"""Every error the package raises on purpose: one base, one class per thing that can be wrong.

Messages say what was expected, what was found, where, and what to do. They never hold a key, a
salt or a cell's value; digests and the keys of rows (keyed hashes themselves) may appear.
"""

from __future__ import annotations

from dataclasses import dataclass


class AnchorError(Exception):
    """Base of every error of this package."""


class ProofError(AnchorError):
    """A Merkle proof does not hold."""


class ProofShapeError(ProofError):
    """A proof cannot be right whatever the hashes are: sizes, index or number of hashes."""


class RootMismatchError(ProofError):
    """A proof leads to another root than the one it was to lead to.

    Attributes:
        expected: the root that was given, 32 bytes.
        calculated: the root the proof leads to, 32 bytes.
    """

    def __init__(self, what: str, expected: bytes, calculated: bytes) -> None:
        self.expected = expected
        self.calculated = calculated
        super().__init__(
            f"{what}: expected root {expected.hex()}, the proof leads to {calculated.hex()}"
        )


class EntryProofError(RootMismatchError):
    """A bundle's manifest (or the entry given with it) is not the entry its checkpoint commits."""


class RowProofError(RootMismatchError):
    """A bundle's row is not in the committed table: a cell, salt, digest or path was changed."""


class KeyFormatError(AnchorError):
    """A verifier key or a signing key is not written as C2SP signed-note asks."""


class MissingLibraryError(AnchorError):
    """Something needs a library that is not installed here."""


class PolicyError(AnchorError):
    """A policy is not written as C2SP tlog-policy asks.

    Attributes:
        line: number of the line that is wrong, counted from 1; None if none is to blame.
    """

    def __init__(self, message: str, line: int | None = None) -> None:
        self.line = line
        super().__init__(message if line is None else f"policy, line {line}: {message}")


class NoteError(AnchorError):
    """A signed note is malformed."""


class SignatureError(NoteError):
    """A note carries no signature of a known key, or one that does not verify."""


class QuorumError(NoteError):
    """Too few of a policy's witnesses have cosigned a checkpoint."""


class ClockError(NoteError):
    """A cosignature's time lies too far ahead of the clock it was compared with."""


class CheckpointError(NoteError):
    """The text of a note is not a checkpoint, or one of another log."""


class LogError(AnchorError):
    """The files of a log do not fit together."""


class LogMissingError(LogError):
    """There is no log yet."""


class LogCorruptError(LogError):
    """A tile or an entry bundle is missing, truncated, or hashes to something else."""


class LogForkError(LogError):
    """Going on would shrink the log or contradict what was signed before."""


class LogShrankError(LogForkError):
    """A log has fewer entries than a checkpoint of it that was signed before."""


class ReplayedCheckpointError(LogShrankError):
    """A log shows an older checkpoint of its own although its files still hold the newer one."""


class LockError(AnchorError):
    """Another process holds the log."""


class StorageError(AnchorError):
    """The operating system refused a read or a write."""


class WitnessError(AnchorError):
    """A witness is not set up as it must be, cannot be reached, or answers wrongly."""


class WitnessRequestError(WitnessError):
    """A request to a witness, or its answer, is not written as the protocol asks."""


class WitnessRefusedError(WitnessError):
    """A witness refuses a checkpoint.

    Attributes:
        status: the HTTP status it answers with.
        size: with status 409, the size of the checkpoint it has cosigned last.
    """

    def __init__(self, status: int, reason: str, size: int | None = None) -> None:
        self.status = status
        self.reason = reason
        self.size = size
        super().__init__(f"refused with status {status}: {reason}")


class ExternalAnchorError(AnchorError):
    """An external anchor answers with what it must not, or refuses."""


class ExternalSetupError(ExternalAnchorError):
    """An external anchor is not set up as it must be: a program, repository, key or contract."""


class ExternalUnreachableError(ExternalAnchorError):
    """The remote repository or the node of an external anchor does not answer."""


class ExternalHistoryError(ExternalAnchorError):
    """The record of an external anchor was rewritten, or holds what is no checkpoint.

    Attributes:
        problems: a sentence each, naming the place.
    """

    def __init__(self, where: str, problems: tuple[str, ...]) -> None:
        self.problems = problems
        more = "" if len(problems) == 1 else f" (and {len(problems) - 1} more)"
        super().__init__(f"{where}: {problems[0]}{more}")


class ExternalConflictError(ExternalAnchorError):
    """A checkpoint does not extend what an external anchor holds of its log."""


class UnwitnessedError(QuorumError):
    """Too few witnesses cosign a checkpoint.

    Attributes:
        answers: name of each witness that was asked, and what happened in words.
    """

    def __init__(self, problem: str, answers: tuple[tuple[str, str], ...]) -> None:
        self.answers = answers
        told = "; ".join(f"{name}: {words}" for name, words in answers)
        super().__init__(f"{problem}. What the witnesses answered: {told}")


class ManifestError(AnchorError):
    """A manifest is too large, not canonical, or holds something JSON cannot carry exactly."""


class CborError(AnchorError):
    """Bytes are not the deterministic CBOR of a value this package knows."""


class TableError(AnchorError):
    """A table cannot be committed as it is."""


class UnsupportedTypeError(TableError):
    """A column has a type that row-commit v1 does not define (nested types, intervals, ...)."""


class DuplicateKeyError(TableError):
    """The unique key of a table is not unique."""


class ErasedRowsError(TableError):
    """A table to commit still holds rows of data subjects that were erased.

    Attributes:
        rows: how many rows it holds of them.
        subjects: of how many subjects.
    """

    def __init__(self, dataset: str, rows: int, subjects: int) -> None:
        self.rows = rows
        self.subjects = subjects
        super().__init__(
            f"{dataset}: expected no row of an erased data subject; found {rows} of {subjects}. "
            "Leave them out where the table is made (SnapshotStore.erased tells which subjects), "
            "then commit it again. Nothing was committed"
        )


class SnapshotError(AnchorError):
    """A snapshot is unknown, or its private record is missing or damaged."""


class DataMissingError(SnapshotError):
    """The data of a snapshot is no longer where its record says."""


class SubjectKeyError(SnapshotError):
    """The key of a data subject is not in the vault."""


class SubjectErasedError(SubjectKeyError):
    """A data subject was erased: it never gets a key again."""


class RowErasedError(SnapshotError):
    """A row was erased with its data subject: it can no longer be opened or found by its key."""


@dataclass(frozen=True)
class Difference:
    """One place where data is no longer what was committed.

    Attributes:
        dataset: name of the dataset.
        snapshot_id: the snapshot the data was compared with.
        problem: "cell", "subject" (every cell differs, as under another data subject's key),
            "row" (no single column could be told), "row_added", "row_missing", "file" or "schema".
        row_number: committed row number, or None.
        row_key: unique-key columns of the row as they stand in the table, or None.
        file: path relative to the home, or None.
        file_row: row in that file, counted from 1, or None.
        column: name of the column, or None.
        expected: committed digest or its first four bytes, hex.
        found: digest calculated from the data, hex, of the same length.
    """

    dataset: str
    snapshot_id: str
    problem: str
    row_number: int | None = None
    row_key: tuple[tuple[str, str], ...] | None = None
    file: str | None = None
    file_row: int | None = None
    column: str | None = None
    expected: str | None = None
    found: str | None = None

    def __str__(self) -> str:
        parts = [f"dataset {self.dataset}", f"snapshot {self.snapshot_id}"]
        if self.file is not None:
            at_row = "" if self.file_row is None else f" row {self.file_row}"
            parts.append(f"file {self.file}{at_row}")
        if self.row_key is not None:
            parts.append("key " + ", ".join(f"{name}={value}" for name, value in self.row_key))
        if self.row_number is not None:
            parts.append(f"row number {self.row_number}")
        if self.column is not None:
            parts.append(f"column {self.column}")
        words = _WORDS[self.problem]
        if self.expected is not None or self.found is not None:
            words += f" (digest expected {self.expected or 'none'}, found {self.found or 'none'})"
        return ", ".join(parts) + ": " + words


_WORDS = {
    "cell": "the value is not the one that was committed",
    "subject": "the row is not that of the data subject it was committed for, or the subject's key "
    "is no longer in the vault",
    "row": "the row is not the one that was committed",
    "row_added": "the row was not there when the table was committed",
    "row_missing": "a committed row is missing",
    "file": "the file is not the one that was committed",
    "schema": "the columns are not the ones that were committed",
}


class DataMismatchError(SnapshotError):
    """Data differs from its commitment.

    Attributes:
        differences: what differs, the first first; at most a hundred of them.
    """

    def __init__(self, differences: tuple[Difference, ...], total: int) -> None:
        self.differences = differences
        first = str(differences[0])
        super().__init__(first if total == 1 else f"{first} (and {total - 1} more)")
