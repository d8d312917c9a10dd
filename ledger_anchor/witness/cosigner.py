"""What a witness decides: which checkpoints it cosigns, and why it refuses the others.

What belongs here: the rules of C2SP tlog-witness in their order, on bytes. What does not: HTTP
(``server``) and the disk (``store``). A signature is made only inside the transaction that
persists what it says, and leaves it only after the commit.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ledger_anchor.errors import (
    CheckpointError,
    NoteError,
    ProofError,
    SignatureError,
    WitnessError,
    WitnessRefusedError,
    WitnessRequestError,
)
from ledger_anchor.notes.checkpoint import Checkpoint
from ledger_anchor.notes.cosignature import MAX_NAME
from ledger_anchor.notes.encoding import decode_base64, encode_base64
from ledger_anchor.notes.keys import SignerKey, VerifierKey
from ledger_anchor.notes.note import Note, Signature
from ledger_anchor.tree import EMPTY_ROOT, HASH_SIZE, verify_consistency
from ledger_anchor.witness.protocol import (
    SIZE_TYPE,
    TEXT_TYPE,
    AddCheckpoint,
    format_cosignatures,
    format_size,
    monitoring_path,
)
from ledger_anchor.witness.store import Held, WitnessStore

MALFORMED, FORBIDDEN, UNKNOWN, CONFLICT, UNPROCESSABLE = 400, 403, 404, 409, 422


@dataclass(frozen=True)
class Answer:
    """What a witness answers: HTTP status, body and its type, and a line for the witness's log."""

    status: int
    body: bytes
    summary: str
    content_type: str = TEXT_TYPE

    @classmethod
    def refusing(cls, error: WitnessRefusedError) -> Answer:
        """A refusal: its reason as a line, or the size where the protocol asks for that."""
        if error.size is not None:
            return cls(error.status, format_size(error.size), error.reason, SIZE_TYPE)
        return cls(error.status, error.reason.encode() + b"\n", error.reason)


class Witness:
    """Cosigns checkpoints of the logs it watches, as long as each extends the one before.

    Args:
        signers: the witness's cosignature keys; every answer carries a line of each.
        logs: the keys it trusts for each origin; more than one while a log changes its key.
        store: its memory.
        clock: seconds since 1970; the time that cosignatures state.
    """

    def __init__(
        self,
        signers: Sequence[SignerKey],
        logs: Mapping[str, Sequence[VerifierKey]],
        store: WitnessStore,
        clock: Callable[[], float] = time.time,
    ) -> None:
        if not signers:
            raise WitnessError("a witness needs a cosignature key")
        for origin in logs:
            if len(origin.encode()) > MAX_NAME:
                raise WitnessError(f"a log's name of more than {MAX_NAME} bytes cannot be cosigned")
        self.signers = tuple(signers)
        self.logs = {origin: tuple(keys) for origin, keys in logs.items()}
        self._paths = {monitoring_path(origin): origin for origin in logs}
        self._store = store
        self._clock = clock

    def add_checkpoint(self, body: bytes) -> Answer:
        """Answer an add-checkpoint request; a cosignature is on the disk before this returns.

        Raises:
            StorageError: if the witness cannot persist; it has cosigned nothing then.
        """
        try:
            request, checkpoint = _read_request(body)
            note = self._open(request.note, checkpoint.origin)
            return self._cosign(request, note, checkpoint)
        except WitnessRefusedError as error:
            return Answer.refusing(error)

    def latest(self, path: str) -> bytes | None:
        """The checkpoint cosigned last of the log with this monitoring path, None if there is none.

        Raises:
            StorageError: if the memory cannot be read.
        """
        origin = self._paths.get(path)
        held = None if origin is None else self._store.latest(origin)
        return None if held is None else held.note

    def _open(self, note: bytes, origin: str) -> Note:
        """The note with the signatures of the log's keys only."""
        keys = self.logs.get(origin)
        if keys is None:
            raise WitnessRefusedError(UNKNOWN, "this witness does not watch a log of that origin")
        try:
            return Note.open(note, keys)
        except SignatureError as error:
            raise WitnessRefusedError(
                FORBIDDEN, "no signature of the log's key, or one that does not verify"
            ) from error

    def _cosign(self, request: AddCheckpoint, note: Note, checkpoint: Checkpoint) -> Answer:
        if request.old_size > checkpoint.size:
            raise WitnessRefusedError(
                MALFORMED, f"old size {request.old_size} is above the size {checkpoint.size}"
            )
        made: list[Signature] = []

        def decide(held: Held | None) -> Held:
            _check_extends(request, checkpoint, held)
            text, now = note.text.encode(), int(self._clock())
            made.extend(Signature.by(signer, text, now) for signer in self.signers)
            signed = note.with_signatures(made).format()
            return Held(checkpoint.size, checkpoint.root, signed.encode())

        self._store.advance(checkpoint.origin, decide)
        summary = f"cosigned {_one_line(checkpoint.origin)} at size {checkpoint.size}"
        return Answer(200, format_cosignatures(made), summary)


def _read_request(body: bytes) -> tuple[AddCheckpoint, Checkpoint]:
    try:
        request = AddCheckpoint.parse(body)
        return request, _read_checkpoint(Note.parse(request.note).text)
    except (NoteError, WitnessRequestError) as error:
        raise WitnessRefusedError(MALFORMED, _one_line(f"malformed: {error}")) from error


def _one_line(words: str) -> str:
    """Words that may quote the request, fit for an answer, a terminal and a log file."""
    return "".join(c if " " <= c <= "~" else "?" for c in words)[:300]


def _read_checkpoint(text: str) -> Checkpoint:
    """Read a checkpoint, also one of size 0 with the root of something.

    The parser for readers takes that for malformed; to a witness it is well written and wrong.
    """
    try:
        return Checkpoint.parse(text)
    except CheckpointError:
        lines = text.split("\n")
        if len(lines) < 3 or lines[1] != "0":
            raise
        root = decode_base64(lines[2], "root")
        lines[2] = encode_base64(EMPTY_ROOT)
        empty = Checkpoint.parse("\n".join(lines))
        if len(root) != HASH_SIZE:
            raise
        return Checkpoint(empty.origin, 0, root, empty.extensions)


def _check_extends(request: AddCheckpoint, checkpoint: Checkpoint, held: Held | None) -> None:
    """Refuse whatever does not extend what is held; the order of checks is the protocol's."""
    old_size = 0 if held is None else held.size
    if request.old_size != old_size:
        raise WitnessRefusedError(CONFLICT, f"cosigned last: size {old_size}", old_size)
    if checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT:
        raise WitnessRefusedError(UNPROCESSABLE, "size 0 with a root that is not the empty tree's")
    if old_size == 0:
        if request.proof:
            raise WitnessRefusedError(UNPROCESSABLE, "a proof from size 0 holds no hash")
        return
    root = b"" if held is None else held.root
    if old_size == checkpoint.size and checkpoint.root != root:
        raise WitnessRefusedError(
            UNPROCESSABLE, f"another root was cosigned at size {old_size}: the log has forked"
        )
    try:
        verify_consistency(old_size, checkpoint.size, request.proof, root, checkpoint.root)
    except ProofError as error:
        raise WitnessRefusedError(
            UNPROCESSABLE, f"the proof from size {old_size} to {checkpoint.size} does not hold"
        ) from error
