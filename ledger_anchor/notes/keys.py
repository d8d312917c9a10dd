"""Keys of logs and cosigners as C2SP signed-note writes them.

What belongs here: the text form of keys, their ids, and signatures by and under them. What does
not: notes (``note``), trust (``policy``) and the algorithms themselves (``signing``).
"""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass, field
from enum import IntEnum

from ledger_anchor.errors import CheckpointError, KeyFormatError, NoteError, SignatureError
from ledger_anchor.notes import cosignature, ed25519, signing
from ledger_anchor.notes.encoding import decode_base64, encode_base64, is_valid_name

ID_SIZE = 4
_ML_DSA_44_KEY_SIZE = 1312
_ML_DSA_44_SIGNATURE_SIZE = 2420
_SIGNING_PREFIX = "PRIVATE+KEY+"


class KeyKind(IntEnum):
    """What a key signs and how; the number is the type byte of signed-note."""

    ED25519 = 0x01
    ECDSA = 0x02
    ED25519_COSIGNATURE = 0x04
    RFC6962_TREE_HEAD = 0x05
    ML_DSA_44_COSIGNATURE = 0x06

    @property
    def title(self) -> str:
        """The kind in words."""
        return _TITLES[self]

    @property
    def is_cosignature(self) -> bool:
        """Whether its signatures carry the time and are those of a cosigner."""
        return self in {KeyKind.ED25519_COSIGNATURE, KeyKind.ML_DSA_44_COSIGNATURE}


_TITLES = {
    KeyKind.ED25519: "Ed25519",
    KeyKind.ECDSA: "ECDSA",
    KeyKind.ED25519_COSIGNATURE: "Ed25519 cosignature",
    KeyKind.RFC6962_TREE_HEAD: "RFC 6962 tree head",
    KeyKind.ML_DSA_44_COSIGNATURE: "ML-DSA-44 cosignature",
}
_SIGNING_KINDS = {KeyKind.ED25519, KeyKind.ED25519_COSIGNATURE, KeyKind.ML_DSA_44_COSIGNATURE}


def key_id(name: str, kind: KeyKind, public_key: bytes) -> bytes:
    """Four bytes that tell keys of one name apart.

    SHA-256(name || LF || type byte || public key)[:4], with two exceptions of signed-note: an
    ECDSA key's id is that of its DER alone, and a tree head key stands as its RFC 6962 log id.
    """
    if kind is KeyKind.ECDSA:
        return hashlib.sha256(public_key).digest()[:ID_SIZE]
    if kind is KeyKind.RFC6962_TREE_HEAD:
        public_key = hashlib.sha256(public_key).digest()
    return hashlib.sha256(name.encode() + b"\n" + bytes((kind,)) + public_key).digest()[:ID_SIZE]


@dataclass(frozen=True)
class VerifierKey:
    """A public key with its name; ``id`` is its four-byte key id.

    Attributes:
        name: name of the log or cosigner.
        public_key: 32 bytes of Ed25519, 1312 of ML-DSA-44, or the DER of an ECDSA key.
        kind: what the key signs.
        id: key id.
    """

    name: str
    public_key: bytes
    kind: KeyKind = KeyKind.ED25519
    id: bytes = field(init=False)

    def __post_init__(self) -> None:
        if not is_valid_name(self.name):
            raise KeyFormatError(f"not a key name (empty, a space or a plus sign): {self.name!r}")
        problem = _problem_with(self.kind, self.public_key)
        if self.kind is KeyKind.ML_DSA_44_COSIGNATURE and len(self.name.encode()) > 255:
            problem = "its name has more than 255 bytes"
        if problem is not None:
            raise KeyFormatError(f"verifier key of {self.name} ({self.kind.title}): {problem}")
        object.__setattr__(self, "id", key_id(self.name, self.kind, self.public_key))

    @classmethod
    def parse(cls, text: str) -> VerifierKey:
        """Read ``name+hex id+base64(type || key)``.

        Raises:
            KeyFormatError: if a part is malformed, the id does not belong to the key, or the key
                is of a type this version does not know.
        """
        if text.startswith(_SIGNING_PREFIX):
            raise KeyFormatError(
                "this is a signing key, which is secret; expected the verifier key (vkey)"
            )
        name, hex_id, raw = _split_key(text, "verifier key")
        key = cls(name, raw[1:], _kind_of(raw, f"verifier key of {name}"))
        if hex_id != key.id.hex():
            raise KeyFormatError(
                f"verifier key of {name}: id {hex_id} does not belong to the key ({key.id.hex()})"
            )
        return key

    def format(self) -> str:
        """The key as one line of text without a line end."""
        encoded = encode_base64(bytes((self.kind,)) + self.public_key)
        return f"{self.name}+{self.id.hex()}+{encoded}"

    def verify(self, text: bytes, signature: bytes) -> bool:
        """Whether the signature is this key's over a note's text.

        Args:
            text: text of the note; what is signed for it follows from the kind of the key.
            signature: what stands behind the key id in a signature line; for kinds that carry a
                time, the time first.

        Returns:
            False also where the text is no checkpoint and the kind signs nothing else.

        Raises:
            MissingLibraryError: if the kind needs ``cryptography`` and it is not installed.
        """
        if self.kind is KeyKind.ED25519:
            return signing.verify_ed25519(self.public_key, signature, text)
        if self.kind is KeyKind.ECDSA:
            return signing.verify_ecdsa(self.public_key, signature, text)
        try:
            timestamp, bare = cosignature.split_timestamp(signature, self.name)
            return self._verify_timed(text, timestamp, bare)
        except (CheckpointError, SignatureError):
            return False

    def _verify_timed(self, text: bytes, timestamp: int, bare: bytes) -> bool:
        if self.kind is KeyKind.ED25519_COSIGNATURE:
            message = cosignature.ed25519_message(text, timestamp)
            return signing.verify_ed25519(self.public_key, bare, message)
        if self.kind is KeyKind.ML_DSA_44_COSIGNATURE:
            message = cosignature.checkpoint_message(self.name, text, timestamp)
            return signing.verify_ml_dsa_44(self.public_key, bare, message)
        message = cosignature.tree_head_message(text, timestamp)
        der = cosignature.split_digitally_signed(bare)
        return signing.verify_ecdsa(self.public_key, der, message)

    def timestamp(self, signature: bytes) -> int | None:
        """Time of a cosignature in seconds since 1970; None for kinds that carry none.

        Raises:
            SignatureError: if the signature of a cosigner's key has another length than its kind.
        """
        if not self.kind.is_cosignature:
            return None
        timestamp, bare = cosignature.split_timestamp(signature, f"cosignature of {self.name}")
        is_ed25519 = self.kind is KeyKind.ED25519_COSIGNATURE
        size = ed25519.SIGNATURE_SIZE if is_ed25519 else _ML_DSA_44_SIGNATURE_SIZE
        if len(bare) != size:
            raise SignatureError(
                f"cosignature of {self.name}: expected {size} bytes behind the time, "
                f"found {len(bare)}"
            )
        return timestamp


@dataclass(frozen=True)
class SignerKey:
    """A private key with its name; its text never appears in ``repr``.

    Attributes:
        name: name of the log or cosigner.
        seed: 32 secret bytes.
        kind: what the key signs: Ed25519, or a cosignature.
    """

    name: str
    seed: bytes = field(repr=False)
    kind: KeyKind = KeyKind.ED25519

    def __post_init__(self) -> None:
        if self.kind not in _SIGNING_KINDS:
            raise KeyFormatError(
                f"signing key of {self.name}: {self.kind.title} keys are only verified here"
            )
        if len(self.seed) != signing.SEED_SIZE:
            raise KeyFormatError(
                f"signing key of {self.name}: a seed has {signing.SEED_SIZE} bytes"
            )

    @classmethod
    def generate(cls, name: str, kind: KeyKind = KeyKind.ED25519) -> SignerKey:
        """Draw a new key from the operating system's randomness.

        Raises:
            KeyFormatError: if the name or the kind is none for a signing key.
            MissingLibraryError: without ``cryptography``.
        """
        key = cls(name, secrets.token_bytes(signing.SEED_SIZE), kind)
        key.verifier()  # refuses a bad name before anything is stored
        return key

    @classmethod
    def parse(cls, text: str) -> SignerKey:
        """Read ``PRIVATE+KEY+name+hex id+base64(type || seed)``.

        Raises:
            KeyFormatError: if a part is malformed or the id does not belong to the key.
            MissingLibraryError: without ``cryptography``.
        """
        if not text.startswith(_SIGNING_PREFIX):
            raise KeyFormatError(f"a signing key starts with {_SIGNING_PREFIX}")
        name, hex_id, raw = _split_key(text[len(_SIGNING_PREFIX) :], "signing key")
        key = cls(name, raw[1:], _kind_of(raw, f"signing key of {name}"))
        if key.verifier().id.hex() != hex_id:
            raise KeyFormatError(f"signing key of {name}: the id does not belong to the key")
        return key

    def format(self) -> str:
        """The key as text, for a file that only its owner can read."""
        encoded = encode_base64(bytes((self.kind,)) + self.seed)
        return f"{_SIGNING_PREFIX}{self.name}+{self.verifier().id.hex()}+{encoded}"

    def verifier(self) -> VerifierKey:
        """The public half.

        Raises:
            MissingLibraryError: without ``cryptography``.
        """
        is_ml_dsa = self.kind is KeyKind.ML_DSA_44_COSIGNATURE
        public = signing.ml_dsa_44_public if is_ml_dsa else signing.ed25519_public
        return VerifierKey(self.name, public(self.seed), self.kind)

    def sign(self, text: bytes, timestamp: int | None = None) -> bytes:
        """Sign a note's text.

        Args:
            text: text of the note; of a checkpoint, if the key is a cosigner's.
            timestamp: time of a cosignature in seconds since 1970; now, if not given.

        Returns:
            What stands behind the key id in a signature line, a cosignature's time included.

        Raises:
            CheckpointError: if a cosigner's key is to sign what is no checkpoint.
            SignatureError: if the time is none, or the key's signatures carry no time.
            MissingLibraryError: without ``cryptography``.
        """
        if self.kind is KeyKind.ED25519:
            if timestamp is not None:
                raise SignatureError(
                    f"signatures of {self.name} carry no time: its kind is Ed25519"
                )
            return signing.sign_ed25519(self.seed, text)
        moment = int(time.time()) if timestamp is None else timestamp
        prefix = cosignature.join_timestamp(moment, b"")
        if self.kind is KeyKind.ED25519_COSIGNATURE:
            message = cosignature.ed25519_message(text, moment)
            return prefix + signing.sign_ed25519(self.seed, message)
        message = cosignature.checkpoint_message(self.name, text, moment)
        return prefix + signing.sign_ml_dsa_44(self.seed, message)


def _kind_of(raw: bytes, what: str) -> KeyKind:
    try:
        return KeyKind(raw[0])
    except (IndexError, ValueError):
        known = ", ".join(f"{kind:02x} {kind.title}" for kind in KeyKind)
        raise KeyFormatError(
            f"{what}: type {raw[:1].hex() or 'missing'} is not one of {known}"
        ) from None


def _problem_with(kind: KeyKind, public_key: bytes) -> str | None:
    """What is wrong with the bytes of a public key, None if nothing is."""
    if kind in {KeyKind.ED25519, KeyKind.ED25519_COSIGNATURE}:
        if len(public_key) != ed25519.KEY_SIZE:
            return f"expected {ed25519.KEY_SIZE} bytes of key, found {len(public_key)}"
        is_canonical = ed25519.is_canonical_key(public_key)
        return None if is_canonical else "not the canonical encoding of a point"
    if kind is KeyKind.ML_DSA_44_COSIGNATURE:
        size = _ML_DSA_44_KEY_SIZE
        found = len(public_key)
        return None if found == size else f"expected {size} bytes of key, found {found}"
    curve = signing.curve_of(public_key)
    if curve is None:
        return "expected the DER of an uncompressed public key on P-256, P-384 or P-521"
    if kind is KeyKind.RFC6962_TREE_HEAD and curve != "P-256":
        return f"RFC 6962 signs with P-256, not {curve}"
    return None


def _split_key(text: str, what: str) -> tuple[str, str, bytes]:
    parts = text.strip("\n").split("+", 2)
    if len(parts) != 3 or not is_valid_name(parts[0]):
        raise KeyFormatError(f"{what}: expected name+id+key")
    name, hex_id, encoded = parts
    if len(hex_id) != 2 * ID_SIZE or set(hex_id) - set("0123456789abcdef"):
        raise KeyFormatError(f"{what} of {name}: the id is eight lower-case hex digits")
    try:
        return name, hex_id, decode_base64(encoded, what)
    except NoteError as error:
        raise KeyFormatError(str(error)) from error
