"""Signed notes as C2SP signed-note writes them.

What belongs here: parsing, signing and opening of notes. What does not: keys (``keys``), what a
note's text means (``checkpoint``) and how many signatures are enough (``policy``). A signature
line by an unknown key is ignored; one by a known key must verify or the whole note is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ledger_anchor.errors import NoteError, SignatureError
from ledger_anchor.notes.encoding import decode_base64, encode_base64, is_valid_name
from ledger_anchor.notes.keys import ID_SIZE, SignerKey, VerifierKey

MAX_SIGNATURES = 100
_MAX_NOTE_BYTES = 1_000_000
_LINE_START = "\u2014 "
_CONTROL = bytes(set(range(0x20)) - {0x0A})


@dataclass(frozen=True)
class Signature:
    """One signature line: name and id of the key, and what follows the id."""

    name: str
    key_id: bytes
    signature: bytes

    @property
    def identity(self) -> tuple[str, bytes]:
        """Name and id: what tells keys apart."""
        return self.name, self.key_id

    @classmethod
    def by(cls, signer: SignerKey, text: bytes, timestamp: int | None = None) -> Signature:
        """Sign a note's text; ``timestamp`` is for cosigners' keys, now if not given.

        Raises:
            CheckpointError: if a cosigner's key is to sign what is no checkpoint.
        """
        return cls(signer.name, signer.verifier().id, signer.sign(text, timestamp))

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
        if len(blob) <= ID_SIZE:
            raise NoteError(f"signature of {name}: too short")
        return cls(name, blob[:ID_SIZE], blob[ID_SIZE:])

    def format(self) -> str:
        """The line, with its end."""
        return f"{_LINE_START}{self.name} {encode_base64(self.key_id + self.signature)}\n"


def parse_signatures(text: str) -> tuple[Signature, ...]:
    """Read signature lines, each with its end: the tail of a note, or a witness's answer.

    Raises:
        NoteError: if there is none, a line is malformed, or there are more than 100.
    """
    if not text.endswith("\n"):
        raise NoteError("signature lines without the last line end")
    lines = text[:-1].split("\n")
    _check_count(len(lines))
    return tuple(map(Signature.parse, lines))


def _check_count(signatures: int) -> None:
    if signatures > MAX_SIGNATURES:
        raise NoteError(f"{signatures} signatures; a note has at most {MAX_SIGNATURES}")


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
        return cls(body + "\n", parse_signatures(tail))

    @classmethod
    def sign(cls, text: str, *signers: SignerKey) -> Note:
        """Sign a text; cosigners' keys sign it as of now.

        Raises:
            NoteError: if the text does not end with LF or holds a control character, or nobody
                signs.
            CheckpointError: if a cosigner's key is to sign what is no checkpoint.
        """
        raw = text.encode("utf-8", "surrogatepass")
        if not text.endswith("\n") or _has_control(raw):
            raise NoteError("the text of a note ends with LF and holds no control character")
        if not signers:
            raise NoteError("a note has at least one signature")
        return cls(text, tuple(Signature.by(signer, raw) for signer in signers))

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
        return cls.parse(data).verified(verifiers)

    def verified(self, verifiers: Sequence[VerifierKey]) -> Note:
        """The note with the signatures that verify, as ``open`` does it.

        Raises:
            SignatureError: if a known key's signature fails, or no known key has signed.
        """
        text = self.text.encode()
        known = _by_identity(verifiers)
        verified: dict[tuple[str, bytes], Signature] = {}
        for line in self.signatures:
            key = known.get(line.identity)
            if key is None or line.identity in verified:
                continue
            if not key.verify(text, line.signature):
                raise SignatureError(f"the signature of {line.name} does not verify")
            verified[line.identity] = line
        if not verified:
            names = ", ".join(sorted({key.name for key in verifiers})) or "no key"
            raise SignatureError(f"no signature by a trusted key (trusted: {names})")
        return Note(self.text, tuple(verified.values()))

    def with_signatures(self, lines: Iterable[Signature]) -> Note:
        """The note with more signatures; of one key, the newest line stays.

        Raises:
            NoteError: if it would have more than 100 signatures.
        """
        merged = {line.identity: line for line in self.signatures}
        merged.update((line.identity, line) for line in lines)
        _check_count(len(merged))
        return Note(self.text, tuple(merged.values()))

    def format(self) -> str:
        """The note as text."""
        return self.text + "\n" + "".join(line.format() for line in self.signatures)


def _by_identity(verifiers: Sequence[VerifierKey]) -> dict[tuple[str, bytes], VerifierKey]:
    known: dict[tuple[str, bytes], VerifierKey] = {}
    for key in verifiers:
        if known.setdefault((key.name, key.id), key) != key:
            raise SignatureError(
                f"two trusted keys are called {key.name} with the id {key.id.hex()}: "
                "a signature line could be either's"
            )
    return known


def _has_control(raw: bytes) -> bool:
    return len(raw.translate(None, _CONTROL)) != len(raw)


def _decode_note(data: bytes | str) -> str:
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    if len(raw) > _MAX_NOTE_BYTES:
        raise NoteError(f"a note of {len(raw)} bytes; at most {_MAX_NOTE_BYTES} are read")
    try:
        message = raw.decode()
    except UnicodeDecodeError as error:
        raise NoteError(f"a note that is not UTF-8, at byte {error.start}") from error
    if _has_control(raw):
        raise NoteError("a note holds a control character")
    if not message.endswith("\n"):
        raise NoteError("a note without its last line end")
    return message
