"""The texts of C2SP tlog-witness: the add-checkpoint request and the answers to it.

What belongs here: writing and strict reading. What does not: what a witness decides (``cosigner``)
and how the texts travel (``server``, ``client``). One value has one spelling: a text that reads
back differently from how it would be written is refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from ledger_anchor.errors import NoteError, WitnessRequestError
from ledger_anchor.notes.checkpoint import parse_decimal
from ledger_anchor.notes.encoding import decode_base64, encode_base64
from ledger_anchor.notes.note import Signature, parse_signatures
from ledger_anchor.tree import HASH_SIZE

SUBMIT_PATH = "/add-checkpoint"
MAX_PROOF_HASHES = 63
# 63 hashes and a checkpoint with a hundred ML-DSA-44 cosignatures come to 350 kB.
MAX_REQUEST_BYTES = 512 * 1024
# A witness answers with a line or two; a hundred of the longest fit.
MAX_ANSWER_BYTES = 512 * 1024
TEXT_TYPE = "text/plain; charset=utf-8"
SIZE_TYPE = "text/x.tlog.size"


@dataclass(frozen=True)
class AddCheckpoint:
    """What a log asks of a witness.

    Attributes:
        old_size: size of the checkpoint that the witness has cosigned last; 0 for none.
        proof: consistency proof from there to the checkpoint, at most 63 hashes.
        note: the signed checkpoint as it stands.
    """

    old_size: int
    proof: tuple[bytes, ...]
    note: bytes

    @classmethod
    def parse(cls, body: bytes) -> AddCheckpoint:
        """Read the body of a request; the note in it is cut out, not read.

        Raises:
            WitnessRequestError: naming the line that is wrong.
        """
        head, separator, note = body.partition(b"\n\n")
        if not separator or not note:
            raise WitnessRequestError("expected an old size, hashes, an empty line, a checkpoint")
        first, *hashes = head.split(b"\n")
        if not first.startswith(b"old "):
            raise WitnessRequestError("line 1: expected 'old ' and a size")
        if len(hashes) > MAX_PROOF_HASHES:
            raise WitnessRequestError(
                f"a proof of {len(hashes)} hashes; at most {MAX_PROOF_HASHES} are read"
            )
        old_size = _parse_size(first.removeprefix(b"old "), "line 1")
        lines = enumerate(hashes, 2)
        return cls(old_size, tuple(_parse_hash(line, number) for number, line in lines), note)

    def format(self) -> bytes:
        """The body of the request."""
        lines = [f"old {self.old_size}", *map(encode_base64, self.proof), ""]
        return "".join(line + "\n" for line in lines).encode() + self.note


def _parse_hash(line: bytes, number: int) -> bytes:
    try:
        digest = decode_base64(line.decode("latin-1"), f"line {number}")
    except NoteError as error:
        raise WitnessRequestError(str(error)) from error
    if len(digest) != HASH_SIZE:
        raise WitnessRequestError(f"line {number}: a hash of {len(digest)} bytes")
    return digest


def _parse_size(text: bytes, where: str) -> int:
    try:
        return parse_decimal(text.decode("latin-1"), where)
    except NoteError as error:
        raise WitnessRequestError(str(error)) from error


def format_size(size: int) -> bytes:
    """The body of a 409: the size of the checkpoint that was cosigned last."""
    return b"%d\n" % size


def parse_size(body: bytes) -> int:
    """Read the body of a 409.

    Raises:
        WitnessRequestError: if it is not one decimal number and a line end.
    """
    if not body.endswith(b"\n"):
        raise WitnessRequestError("a size without its line end")
    return _parse_size(body[:-1], "size")


def format_cosignatures(lines: Sequence[Signature]) -> bytes:
    """The body of a 200: signature lines as they stand in a note."""
    return "".join(line.format() for line in lines).encode()


def parse_cosignatures(body: bytes) -> tuple[Signature, ...]:
    """Read the body of a 200.

    Raises:
        WitnessRequestError: if it is anything but one to a hundred signature lines.
    """
    try:
        return parse_signatures(body.decode())
    except (NoteError, UnicodeDecodeError) as error:
        raise WitnessRequestError(f"the answer is not signature lines: {error}") from error


def monitoring_path(origin: str) -> str:
    """Where a witness shows the checkpoint of a log that it has cosigned last."""
    return f"/{hashlib.sha256(origin.encode()).hexdigest()}/checkpoint"
