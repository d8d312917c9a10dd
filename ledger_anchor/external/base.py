"""What an external anchor is, and how a log is compared with what was published there.

What belongs here: the interface that every anchor has, publishing a log's checkpoint through it,
and checking a log against it. What does not: any outside system (``git``, ``evm``).

An anchor adds time and order from outside. A log's own time is its own claim; once a checkpoint
stands in a repository, on a chain or in a newspaper that the operator does not control, nobody can
later make another history of the log without contradicting it, and nobody can say that an entry is
older than the first published checkpoint that holds it. An anchor does not replace witnesses: it
looks at nothing while it writes down, a client of the log need not look at it, and between two
publications a log could still show different trees to different people. Witnesses check every
checkpoint before anyone accepts it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from ledger_anchor.errors import (
    ExternalConflictError,
    ExternalHistoryError,
    LogCorruptError,
    NoteError,
    RootMismatchError,
)
from ledger_anchor.notes.checkpoint import Checkpoint
from ledger_anchor.notes.note import Note
from ledger_anchor.notes.policy import NONE
from ledger_anchor.tree import consistency_proof, range_root, verify_consistency

if TYPE_CHECKING:
    from ledger_anchor.tlog.log_reader import LogReader


@dataclass(frozen=True)
class Published:
    """A checkpoint as an anchor holds it.

    Attributes:
        size: number of entries.
        root: root at that size, 32 bytes.
        where: the place, in words a person can look up.
        when: seconds since 1970 as the outside system has it, None if it has no time. How far that
            time can be trusted is that system's affair: a block's is checked by the chain, a
            commit's is the word of whoever made it.
        note: the signed checkpoint verbatim, None where the anchor holds only size and root.
    """

    size: int
    root: bytes
    where: str
    when: int | None = None
    note: bytes | None = field(default=None, repr=False)

    def to_json(self) -> dict[str, object]:
        """For ``--json``."""
        return {
            "size": self.size,
            "root": self.root.hex(),
            "where": self.where,
            "when": None if self.when is None else _moment(self.when),
        }


Check = Callable[[Sequence[Published]], None]


@dataclass(frozen=True)
class Receipt:
    """What became of a publication; ``is_new`` is False if the checkpoint stood there before."""

    anchor: str
    published: Published
    is_new: bool

    def to_json(self) -> dict[str, object]:
        """For ``--json``."""
        return {"anchor": self.anchor, "is_new": self.is_new, **self.published.to_json()}


class ExternalAnchor(Protocol):
    """A place outside that keeps checkpoints in the order in which they came."""

    @property
    def name(self) -> str:
        """The place, for messages."""

    def publish(self, checkpoint_note: bytes, check: Check | None = None) -> Receipt:
        """Write a signed checkpoint down; a second time changes nothing.

        Args:
            checkpoint_note: the signed note.
            check: called with everything that is published of this log, right before anything is
                written; it raises to refuse. Called again if somebody else published meanwhile.

        Raises:
            NoteError: if it is no signed checkpoint.
            ExternalConflictError: if it is smaller than the newest one, or has another root at the
                same size; nothing was written.
            ExternalHistoryError: if what is published was rewritten; nothing was written.
            ExternalUnreachableError: if the outside system does not answer.
            ExternalSetupError: if the anchor is not set up.
        """

    def published(self, origin: str) -> Iterator[Published]:
        """Everything that was ever published of a log, the newest last.

        Raises:
            ExternalHistoryError: after the last one, if the record was rewritten.
            ExternalUnreachableError: if the outside system does not answer.
            ExternalSetupError: if the anchor is not set up.
        """


def origin_hash(origin: str) -> bytes:
    """SHA-256 of an origin: how anchors, like witnesses, name a log (32 bytes)."""
    return hashlib.sha256(origin.encode("utf-8", "surrogateescape")).digest()


def read_checkpoint(note: bytes) -> Checkpoint:
    """The checkpoint of a signed note, whose signatures are somebody else's to verify.

    Raises:
        NoteError: if the note is malformed, its text is no checkpoint, or the log is empty.
    """
    checkpoint = Checkpoint.parse(Note.parse(note).text)
    if checkpoint.size == 0:
        raise NoteError(
            f"the log {checkpoint.origin} is empty: expected a checkpoint of at least one entry. "
            "Commit something first"
        )
    return checkpoint


def refuse_conflict(checkpoint: Checkpoint, published: Sequence[Published]) -> Published | None:
    """Compare a checkpoint with what is published: may it be the next one?

    Returns:
        The published one, if this checkpoint stands there already; None if it may be added.

    Raises:
        ExternalConflictError: if it is smaller than the newest, or has another root.
    """
    for other in published:
        if other.size == checkpoint.size and other.root != checkpoint.root:
            raise ExternalConflictError(
                f"{other.where} has another root at size {other.size}: {other.root.hex()}, this "
                f"checkpoint has {checkpoint.root.hex()}. One of them is of a forked log; nothing "
                "was published"
            )
    for other in published:
        if other.size == checkpoint.size:
            return other
    newest = max(published, key=lambda other: other.size, default=None)
    if newest is not None and newest.size > checkpoint.size:
        raise ExternalConflictError(
            f"{newest.where} has size {newest.size}, this checkpoint has {checkpoint.size}: the "
            "log shrank, or this copy of it is behind; nothing was published"
        )
    return None


@dataclass(frozen=True)
class Finding:
    """One disagreement between a log and an anchor.

    Attributes:
        problem: "not_prefix" (the log does not hold what was published), "log_shrank" (more was
            published than the log holds), "not_signed" (what stands there was not signed by the
            log, so it says nothing of it), "history_rewritten" or "nothing_published".
        words: a sentence that names the place and says what was expected and found.
        published: the checkpoint, None if the finding is not about one.
        found: root of the log at the published size, None if it has none.
    """

    problem: str
    words: str
    published: Published | None = None
    found: bytes | None = None

    def to_json(self) -> dict[str, object]:
        """For ``--json``."""
        published = None if self.published is None else self.published.to_json()
        found = None if self.found is None else self.found.hex()
        return {
            "problem": self.problem,
            "words": self.words,
            "published": published,
            "found": found,
        }


@dataclass(frozen=True)
class ExternalReport:
    """What came of comparing a log with an anchor.

    Attributes:
        anchor: name of the anchor.
        checkpoint: the log's, which was compared.
        checked: how many published checkpoints were found to be prefixes of the log.
        oldest: the first of these, None if there is none.
        newest: the last of these.
        findings: every disagreement; not empty if nothing at all is published.
    """

    anchor: str
    checkpoint: Checkpoint
    checked: int
    oldest: Published | None
    newest: Published | None
    findings: tuple[Finding, ...]

    @property
    def is_ok(self) -> bool:
        """Whether something was checked and everything agreed."""
        return not self.findings

    def to_json(self) -> dict[str, object]:
        """For ``--json``."""
        return {
            "is_ok": self.is_ok,
            "anchor": self.anchor,
            "origin": self.checkpoint.origin,
            "log_size": self.checkpoint.size,
            "log_root": self.checkpoint.root.hex(),
            "checked": self.checked,
            "oldest": None if self.oldest is None else self.oldest.to_json(),
            "newest": None if self.newest is None else self.newest.to_json(),
            "findings": [finding.to_json() for finding in self.findings],
        }


def publish_checkpoint(reader: LogReader, anchor: ExternalAnchor) -> Receipt:
    """Publish a log's current checkpoint, if it extends everything that is published of the log.

    Args:
        reader: the log; its checkpoint is opened under the reader's key or policy.
        anchor: where to.

    Raises:
        LogError, NoteError: if the log cannot be read or its checkpoint is not accepted.
        ExternalConflictError: if the log does not hold what was published before; nothing was
            written.
        ExternalAnchorError: if the anchor fails; see ``ExternalAnchor.publish``.
    """
    log = _Log(reader)

    def check(published: Sequence[Published]) -> None:
        findings = [found for found in map(log.compare, published) if found is not None]
        if findings:
            raise ExternalConflictError(f"{findings[0].words}; nothing was published")

    return anchor.publish(log.note, check)


def check_external(reader: LogReader, anchor: ExternalAnchor) -> ExternalReport:
    """Compare a log with everything that was ever published of it.

    Every published checkpoint must be a prefix of the log: the root at its size is calculated from
    the log's tiles, the tiles are proven to belong to the signed checkpoint, and the log must be at
    least as large as the newest one. Where nothing is published, nothing was checked, and the
    report is not good.

    Raises:
        LogError, NoteError: if the log cannot be read, its checkpoint is not accepted, or its tiles
            do not lead to its signed root.
        ExternalUnreachableError, ExternalSetupError: if the anchor cannot be read.
    """
    log = _Log(reader)
    agreed: list[Published] = []
    findings: list[Finding] = []
    is_empty = True
    try:
        for published in anchor.published(log.checkpoint.origin):
            is_empty = False
            finding = log.compare(published)
            if finding is None:
                agreed.append(published)
            else:
                findings.append(finding)
    except ExternalHistoryError as error:
        is_empty = False
        findings += [Finding("history_rewritten", words) for words in error.problems]
    if is_empty:
        words = f"{anchor.name} holds nothing of the log {log.checkpoint.origin}: nothing checked"
        findings.append(Finding("nothing_published", words))
    return ExternalReport(
        anchor=anchor.name,
        checkpoint=log.checkpoint,
        checked=len(agreed),
        oldest=agreed[0] if agreed else None,
        newest=agreed[-1] if agreed else None,
        findings=tuple(findings),
    )


class _Log:
    """A log at its accepted checkpoint."""

    def __init__(self, reader: LogReader) -> None:
        view = reader.view()
        self.note = view.note
        self.checkpoint = view.checkpoint
        self._tree = view.tree
        # Older checkpoints may have fewer cosignatures than are asked for today.
        self._policy = replace(reader.policy, quorum=NONE)

    def compare(self, published: Published) -> Finding | None:
        """Whether a published checkpoint is a prefix of the log; None if it is."""
        if published.note is not None:
            try:
                self._policy.open(published.note)
            except NoteError as error:
                words = f"{published.where}: size {published.size} is not signed by the log: "
                return Finding("not_signed", f"{words}{error}", published)
        if published.size > self.checkpoint.size:
            return Finding(
                "log_shrank",
                f"{published.where} has size {published.size}, the log has {self.checkpoint.size}: "
                "it shrank, or this copy of it is behind",
                published,
            )
        found = self._root(published.size)
        if found == published.root:
            return None
        words = (
            f"{published.where}: expected root {published.root.hex()} at size {published.size}, "
            f"the log has {found.hex()}: it was rewritten or forked"
        )
        return Finding("not_prefix", words, published, found)

    def _root(self, size: int) -> bytes:
        """The log's root at a smaller size, from tiles that are proven to be the signed tree's."""
        tip = self.checkpoint
        if size == tip.size:
            return tip.root
        root = range_root(self._tree, 0, size)
        proof = consistency_proof(self._tree, size, tip.size)
        try:
            verify_consistency(size, tip.size, proof, root, tip.root)
        except RootMismatchError as error:
            raise LogCorruptError(
                f"the log's tiles do not lead to its signed root at size {tip.size}: expected "
                f"{error.expected.hex()}, found {error.calculated.hex()}. Check its files (fsck)"
            ) from error
        return root


def _moment(seconds: int) -> str | None:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):
        return None
