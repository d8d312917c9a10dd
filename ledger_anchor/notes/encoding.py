"""Text forms that keys, notes, checkpoints and proofs share: base64 and the names of keys.

What belongs here: spelling rules that more than one format has. What does not: what is spelled
with them (``keys``, ``note``, ``checkpoint``, ``proof``). One value has one spelling: whatever
would read the same in a laxer reader is refused.
"""

from __future__ import annotations

import binascii
import re

from ledger_anchor.errors import NoteError

# What a key name may hold: no Unicode space, no plus sign, no control character, no surrogate.
_NAME = re.compile("[^\\s+\x00-\x1f\ud800-\udfff]+")


def decode_base64(text: str, what: str) -> bytes:
    """Padded standard base64, refusing anything else.

    Raises:
        NoteError: naming ``what``, if the text is no such base64.
    """
    try:
        raw = binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:  # binascii.Error is one, and so is the refusal of non-ASCII
        raise NoteError(f"{what}: not base64") from error
    # Strict mode lets stray trailing bits pass; one value has one spelling.
    if encode_base64(raw) != text:
        raise NoteError(f"{what}: not base64 in its one padded spelling")
    return raw


def encode_base64(raw: bytes) -> str:
    """Padded standard base64."""
    return binascii.b2a_base64(raw, newline=False).decode()


def is_valid_name(name: str) -> bool:
    """Whether a key may have this name: not empty, UTF-8, no Unicode space, no plus sign."""
    return _NAME.fullmatch(name) is not None
