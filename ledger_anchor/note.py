"""Signed notes and Ed25519 keys as C2SP signed-note writes them.

What belongs here: the text form of keys, parsing, signing and opening of notes. What does not:
what a note's text means (``checkpoint``). A signature line by an unknown key is ignored; one by a
known key must verify or the whole note is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)

from ledger_anchor.errors import KeyFormatError, NoteError, SignatureError

ED25519 = 0x01
MAX_SIGNATURES = 100
_MAX_NOTE_BYTES = 1_000_000
_ID_SIZE = 4
_KEY_SIZE = 32
_LINE_START = "\u2014 "


def decode_base64(text: str, what: str) -> bytes:
    """Padded standard base64, refusing anything else.

    Raises:
        NoteError: naming ``what``, if the text is no such base64.
    """
    try:
        raw = base64.b64decode(text.encode("ascii"), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise NoteError(f"{what}: not base64") from error
    # b64decode lets stray trailing bits pass; one value has one spelling.
    if base64.b64encode(raw).decode() != text:
        raise NoteError(f"{what}: not base64 in its one padded spelling")
    return raw


def encode_base64(raw: bytes) -> str:
    """Padded standard base64."""
    return base64.b64encode(raw).decode()


def is_valid_name(name: str) -> bool:
    """Whether a key may have this name: not empty, no Unicode space, no plus sign."""
    printable = all(ord(character) >= 0x20 for character in name)
    return bool(name) and printable and "+" not in name and not any(map(str.isspace, name))


def key_id(name: str, type_and_key: bytes) -> bytes:
    """First four bytes of SHA-256(name || LF || type byte || public key)."""
    return hashlib.sha256(name.encode() + b"\n" + type_and_key).digest()[:_ID_SIZE]


@dataclass(frozen=True)
class VerifierKey:
    """A public Ed25519 key with its name; ``id`` is its four-byte key id."""

    name: str
    public_key: bytes
    id: bytes = field(init=False)

    def __post_init__(self) -> None:
        if not is_valid_name(self.name):
            raise KeyFormatError(f"not a key name (empty, a space or a plus sign): {self.name!r}")
        if len(self.public_key) != _KEY_SIZE:
            raise KeyFormatError(f"an Ed25519 key has {_KEY_SIZE} bytes")
        object.__setattr__(self, "id", key_id(self.name, bytes((ED25519,)) + self.public_key))

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Read ``name+hex id+base64(type || key)``.

        Raises:
            KeyFormatError: if a part is malformed, the id does not belong to the key, or the key
                is of a type this version does not know.
        """
        name, hex_id, raw = _split_key(text, "verifier key")
        if raw[:1] != bytes((ED25519,)):
            raise KeyFormatError(f"verifier key of {name}: type {raw[:1].hex()} is not Ed25519")
        if len(raw) != 1 + _KEY_SIZE:
            raise KeyFormatError(f"verifier key of {name}: expected {_KEY_SIZE} bytes of key")
        key = cls(name, raw[1:])
        if hex_id != key.id.hex():
            raise KeyFormatError(
                f"verifier key of {name}: id {hex_id} does not belong to the key ({key.id.hex()})"
            )
        return key

    def format(self) -> str:
        """The key as one line of text without a line end."""
        encoded = encode_base64(bytes((ED25519,)) + self.public_key)
        return f"{self.name}+{self.id.hex()}+{encoded}"

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether the signature is this key's over the message."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public_key).verify(signature, message)
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class SignerKey:
    """A private Ed25519 key with its name; its text never appears in ``repr``."""

    name: str
    seed: bytes = field(repr=False)

    @classmethod
    def generate(cls, name: str) -> SignerKey:
        """Draw a new key from the operating system's randomness."""
        key = cls(name, secrets.token_bytes(_KEY_SIZE))
        key.verifier()  # refuses a bad name before anything is stored
        return key

    @classmethod
    def parse(cls, text: str) -> SignerKey:
        """Read ``PRIVATE+KEY+name+hex id+base64(01 || seed)``.

        Raises:
            KeyFormatError: if a part is malformed or the id does not belong to the key.
        """
        prefix = "PRIVATE+KEY+"
        if not text.startswith(prefix):
            raise KeyFormatError("a signing key starts with PRIVATE+KEY+")
        name, hex_id, raw = _split_key(text[len(prefix) :], "signing key")
        if raw[:1] != bytes((ED25519,)) or len(raw) != 1 + _KEY_SIZE:
            raise KeyFormatError(f"signing key of {name}: not an Ed25519 seed")
        key = cls(name, raw[1:])
        if key.verifier().id.hex() != hex_id:
            raise KeyFormatError(f"signing key of {name}: the id does not belong to the key")
        return key

    def format(self) -> str:
        """The key as text, for a file that only its owner can read."""
        encoded = encode_base64(bytes((ED25519,)) + self.seed)
        return f"PRIVATE+KEY+{self.name}+{self.verifier().id.hex()}+{encoded}"

    def verifier(self) -> VerifierKey:
        """The public half."""
        private = Ed25519PrivateKey.from_private_bytes(self.seed)
        return VerifierKey(self.name, private.public_key().public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """Ed25519 signature, 64 bytes."""
        return Ed25519PrivateKey.from_private_bytes(self.seed).sign(message)


def _split_key(text: str, what: str) -> tuple[str, str, bytes]:
    parts = text.strip("\n").split("+", 2)
    if len(parts) != 3 or not is_valid_name(parts[0]):
        raise KeyFormatError(f"{what}: expected name+id+key")
    name, hex_id, encoded = parts
    if len(hex_id) != 2 * _ID_SIZE or set(hex_id) - set("0123456789abcdef"):
        raise KeyFormatError(f"{what} of {name}: the id is eight lower-case hex digits")
    try:
        return name, hex_id, decode_base64(encoded, what)
    except NoteError as error:
        raise KeyFormatError(str(error)) from error


@dataclass(frozen=True)
class Signature:
    """One signature line: name and id of the key, and what follows the id."""

    name: str
    key_id: bytes
    signature: bytes

    @classmethod
    def parse(cls, line: str) -> Signature:
        """Read one line without its end.

        Raises:
            NoteError: if it is not an em dash, a name and a base64 blob.
        """
        name, space, encoded = line.removeprefix(_LINE_START).partition(" ")
        if not line.startswith(_LINE_START) or not space or not is_valid_name(name):
            raise NoteError(f"not a signature line: expected '{_LINE_START}<name> <base64>'")
        blob = decode_base64(encoded, f"signature of {name}")
        if len(blob) <= _ID_SIZE:
            raise NoteError(f"signature of {name}: too short")
        return cls(name, blob[:_ID_SIZE], blob[_ID_SIZE:])

    def format(self) -> str:
        """The line, with its end."""
        return f"{_LINE_START}{self.name} {encode_base64(self.key_id + self.signature)}\n"


@dataclass(frozen=True)
class Note:
    """A text that ends with LF, and the signatures under it."""

    text: str
    signatures: tuple[Signature, ...]

    @classmethod
    def parse(cls, data: bytes | str) -> Note:
        """Read a note without checking signatures.

        Raises:
            NoteError: if it is not UTF-8, holds a control character, lacks the empty line or the
                last line end, or has no, a malformed, or more than 100 signature lines.
        """
        message = _decode_note(data)
        body, separator, tail = message.rpartition("\n\n")
        if not separator or not tail:
            raise NoteError("a note is a text, an empty line and signature lines")
        lines = tail.removesuffix("\n").split("\n")
        if len(lines) > MAX_SIGNATURES:
            raise NoteError(f"{len(lines)} signatures; at most {MAX_SIGNATURES} are read")
        return cls(body + "\n", tuple(map(Signature.parse, lines)))

    @classmethod
    def sign(cls, text: str, *signers: SignerKey) -> Note:
        """Sign a text.

        Raises:
            NoteError: if the text does not end with LF or holds a control character.
        """
        if not text.endswith("\n") or any(ord(c) < 0x20 and c != "\n" for c in text):
            raise NoteError("the text of a note ends with LF and holds no control character")
        made = [Signature(s.name, s.verifier().id, s.sign(text.encode())) for s in signers]
        return cls(text, tuple(made))

    @classmethod
    def open(cls, data: bytes | str, verifiers: Sequence[VerifierKey]) -> Note:
        """Read a note and keep the signatures that verify.

        Args:
            data: the note.
            verifiers: keys that are trusted.

        Returns:
            The note with verified signatures only, each key once.

        Raises:
            NoteError: if the note is malformed.
            SignatureError: if a known key's signature fails, or no known key has signed.
        """
        note = cls.parse(data)
        known = {(key.name, key.id): key for key in verifiers}
        verified: dict[tuple[str, bytes], Signature] = {}
        for line in note.signatures:
            identity = (line.name, line.key_id)
            if identity not in known or identity in verified:
                continue
            if not known[identity].verify(note.text.encode(), line.signature):
                raise SignatureError(f"the signature of {line.name} does not verify")
            verified[identity] = line
        if not verified:
            names = ", ".join(sorted({key.name for key in verifiers})) or "no key"
            raise SignatureError(f"no signature by a trusted key (trusted: {names})")
        return cls(note.text, tuple(verified.values()))

    def format(self) -> str:
        """The note as text."""
        return self.text + "\n" + "".join(line.format() for line in self.signatures)


def _decode_note(data: bytes | str) -> str:
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    if len(raw) > _MAX_NOTE_BYTES:
        raise NoteError(f"a note of {len(raw)} bytes; at most {_MAX_NOTE_BYTES} are read")
    try:
        message = raw.decode()
    except UnicodeDecodeError as error:
        raise NoteError(f"a note that is not UTF-8, at byte {error.start}") from error
    if any(byte < 0x20 and byte != 0x0A for byte in raw):
        raise NoteError("a note holds a control character")
    if not message.endswith("\n"):
        raise NoteError("a note without its last line end")
    return message
