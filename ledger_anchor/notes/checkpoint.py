"""Checkpoints (C2SP tlog-checkpoint): origin, size and root of a log, as the text of a note.

What belongs here: the text form and its checks. What does not: signatures (``note``), whose are
enough (``policy``) and when a checkpoint may be signed (``log``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledger_anchor.errors import CheckpointError, NoteError
from ledger_anchor.notes.encoding import decode_base64, encode_base64
from ledger_anchor.tree import EMPTY_ROOT, HASH_SIZE

if TYPE_CHECKING:
    from ledger_anchor.notes.keys import SignerKey
    from ledger_anchor.notes.policy import Trust

_MAX_SIZE = 2**63 - 1


@dataclass(frozen=True)
class Checkpoint:
    """What a log claims to be: its origin, number of entries and root (32 bytes)."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """Read the text of a checkpoint note.

        Raises:
            CheckpointError: naming the line that is wrong.
        """
        if not text.endswith("\n"):
            raise CheckpointError("a checkpoint ends with a line end")
        lines = text[:-1].split("\n")
        if len(lines) < 3 or not all(lines):
            raise CheckpointError("a checkpoint has an origin, a size, a root and no empty line")
        origin, size_text, root_text, *extensions = lines
        try:
            root = decode_base64(root_text, "root")
        except NoteError as error:
            raise CheckpointError(f"checkpoint of {origin}: {error}") from error
        if len(root) != HASH_SIZE:
            raise CheckpointError(f"checkpoint of {origin}: the root has {len(root)} bytes")
        checkpoint = cls(origin, parse_decimal(size_text, origin), root, tuple(extensions))
        if checkpoint.size == 0 and root != EMPTY_ROOT:
            raise CheckpointError(f"checkpoint of {origin}: size 0 with the root of something")
        return checkpoint

    @classmethod
    def open(cls, data: bytes | str, trust: Trust) -> Checkpoint:
        """Read a checkpoint that is signed as ``trust`` asks.

        Args:
            data: the signed note.
            trust: the log's key, a policy, or the text of either.

        Raises:
            NoteError: if the note is malformed.
            CheckpointError: if the text is no checkpoint or that of another log.
            SignatureError: if the log has not signed it, or a signature fails.
            QuorumError: if too few of the policy's witnesses have cosigned it.
        """
        # Policies and notes stand above this module, because cosigners' keys sign checkpoints.
        from ledger_anchor.notes.policy import as_policy  # noqa: PLC0415

        return as_policy(trust).open(data).checkpoint

    def format(self) -> str:
        """The text that is signed."""
        lines = [self.origin, str(self.size), encode_base64(self.root), *self.extensions]
        return "".join(line + "\n" for line in lines)

    def sign(self, *signers: SignerKey) -> str:
        """The signed note as text."""
        from ledger_anchor.notes.note import Note  # noqa: PLC0415 - stands above this module

        return Note.sign(self.format(), *signers).format()


def parse_decimal(text: str, where: str) -> int:
    """A size or index: decimal digits, no leading zero, below 2**63.

    Raises:
        CheckpointError: naming ``where``.
    """
    is_decimal = text.isascii() and text.isdigit() and len(text) <= 19
    if not is_decimal or (len(text) > 1 and text[0] == "0") or int(text) > _MAX_SIZE:
        raise CheckpointError(f"{where}: not a decimal number without a leading zero")
    return int(text)
