"""What cosigners and RFC 6962 logs sign: the bytes under a signature that is not the note's text.

What belongs here: the messages of C2SP tlog-cosignature (Ed25519 and ML-DSA-44) and of the tree
head of RFC 6962 (static-ct-api), and the timestamp in front of their signatures. What does not:
the signature algorithms (``signing``) and which keys are trusted (``policy``).
"""

from __future__ import annotations

import struct

from ledger_anchor.errors import CheckpointError, SignatureError
from ledger_anchor.notes.checkpoint import Checkpoint
from ledger_anchor.tree import HASH_SIZE

TIMESTAMP_SIZE = 8
MAX_TIMESTAMP = 2**63 - 1  # tlog-cosignature: the timestamp must not exceed it
MAX_NAME = 255  # names stand behind one byte of length
_ED25519_HEADER = b"cosignature/v1\n"
_SUBTREE_LABEL = b"subtree/v1\n\x00"


def split_timestamp(blob: bytes, what: str) -> tuple[int, bytes]:
    """Timestamp and bare signature of a timestamped signature.

    Raises:
        SignatureError: naming ``what``, if it is too short or its time beyond 2**63 - 1.
    """
    if len(blob) <= TIMESTAMP_SIZE:
        raise SignatureError(f"{what}: expected eight bytes of time and a signature")
    timestamp = int.from_bytes(blob[:TIMESTAMP_SIZE], "big")
    if timestamp > MAX_TIMESTAMP:
        raise SignatureError(f"{what}: a time beyond 2**63 - 1")
    return timestamp, blob[TIMESTAMP_SIZE:]


def join_timestamp(timestamp: int, signature: bytes) -> bytes:
    """The timestamped signature: u64 time, then the bare signature.

    Raises:
        SignatureError: if the time is negative or beyond 2**63 - 1.
    """
    if not 0 <= timestamp <= MAX_TIMESTAMP:
        raise SignatureError("a cosignature's time lies between 0 and 2**63 - 1 seconds")
    return timestamp.to_bytes(TIMESTAMP_SIZE, "big") + signature


def ed25519_message(text: bytes, timestamp: int) -> bytes:
    """What an Ed25519 cosignature signs: header line, time line, the whole checkpoint text.

    Raises:
        CheckpointError: if the text is no checkpoint.
    """
    parse_text(text)
    return _ED25519_HEADER + b"time %d\n" % timestamp + text


def checkpoint_message(cosigner: str, text: bytes, timestamp: int) -> bytes:
    """What an ML-DSA-44 cosignature of a checkpoint signs; extension lines are not part of it.

    Raises:
        CheckpointError: if the text is no checkpoint, or its origin has more than 255 bytes.
    """
    checkpoint = parse_text(text)
    return subtree_message(
        cosigner, timestamp, checkpoint.origin, 0, checkpoint.size, checkpoint.root
    )


def subtree_message(
    cosigner: str, timestamp: int, origin: str, start: int, end: int, root: bytes
) -> bytes:
    """The ``cosigned_message`` of tlog-cosignature for the leaves [start, end).

    Raises:
        CheckpointError: if a name has more than 255 bytes, the range is none, the root has not 32
            bytes, or a subtree that starts after leaf 0 is given a time.
    """
    if not 0 <= start <= end <= MAX_TIMESTAMP or len(root) != HASH_SIZE:
        raise CheckpointError(f"no subtree: leaves {start} to {end}, root of {len(root)} bytes")
    if start and timestamp:
        raise CheckpointError("a subtree that starts after leaf 0 is cosigned with time 0")
    names = _short(cosigner, "the cosigner's name"), _short(origin, "the log's origin")
    times = struct.pack(">Q", timestamp)
    return _SUBTREE_LABEL + names[0] + times + names[1] + struct.pack(">QQ", start, end) + root


def _short(name: str, what: str) -> bytes:
    raw = name.encode()
    if not 1 <= len(raw) <= MAX_NAME:
        raise CheckpointError(f"{what} has {len(raw)} bytes; a cosignature takes 1 to {MAX_NAME}")
    return bytes((len(raw),)) + raw


def tree_head_message(text: bytes, milliseconds: int) -> bytes:
    """What an RFC 6962 tree head signature signs: v1, tree_hash, time, size and root.

    Raises:
        CheckpointError: if the text is no checkpoint.
    """
    checkpoint = parse_text(text)
    return struct.pack(">BBQQ", 0, 1, milliseconds, checkpoint.size) + checkpoint.root


def split_digitally_signed(blob: bytes) -> bytes:
    """The DER signature inside a TLS ``DigitallySigned`` of SHA-256 with ECDSA.

    Raises:
        SignatureError: for another algorithm, or a length that is not that of the rest.
    """
    if blob[:2] != b"\x04\x03" or len(blob) - 4 != int.from_bytes(blob[2:4], "big"):
        raise SignatureError("a tree head signature is SHA-256 with ECDSA and its length")
    return blob[4:]


def parse_text(text: bytes) -> Checkpoint:
    """Read the bytes of a note's text as a checkpoint.

    Raises:
        CheckpointError: if they are none.
    """
    try:
        return Checkpoint.parse(text.decode())
    except UnicodeDecodeError as error:
        raise CheckpointError("a checkpoint that is not UTF-8") from error
