"""Kinds of keys, what cosigners sign, and verification without the cryptography package."""

from __future__ import annotations

import hashlib
import json
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

from ledger_anchor.errors import CheckpointError, KeyFormatError, NoteError, SignatureError
from ledger_anchor.notes import cosignature, ed25519
from ledger_anchor.notes.checkpoint import Checkpoint
from ledger_anchor.notes.encoding import encode_base64
from ledger_anchor.notes.keys import KeyKind, SignerKey, VerifierKey
from ledger_anchor.notes.note import Note, Signature, parse_signatures

REPOSITORY = Path(__file__).resolve().parents[2]
SEED = bytes(range(32))
TEXT = Checkpoint("example.org/log", 12, b"r" * 32).format().encode()
COSIGNERS = [KeyKind.ED25519_COSIGNATURE, KeyKind.ML_DSA_44_COSIGNATURE]
SIGNERS = [KeyKind.ED25519, *COSIGNERS]
NOON = 1_700_000_000


@pytest.mark.parametrize("kind", SIGNERS)
def test_a_key_of_every_signing_kind_reads_back_and_signs(kind: KeyKind) -> None:
    signer = SignerKey.generate("example.org/key", kind)
    assert SignerKey.parse(signer.format()) == signer
    key = VerifierKey.parse(signer.verifier().format())
    assert key == signer.verifier()
    signature = signer.sign(TEXT)
    assert key.verify(TEXT, signature)
    assert not key.verify(TEXT.replace(b"12", b"13"), signature)
    assert not key.verify(TEXT, signature[:-1])
    assert not key.verify(TEXT, b"")


def test_kinds_share_a_seed_but_never_an_id_or_a_signature() -> None:
    log, cosigner = (SignerKey("example.org/key", SEED, kind) for kind in SIGNERS[:2])
    assert log.verifier().public_key == cosigner.verifier().public_key
    assert log.verifier().id != cosigner.verifier().id
    assert not log.verifier().verify(TEXT, cosigner.sign(TEXT)[8:])
    assert not cosigner.verifier().verify(TEXT, struct.pack(">Q", NOON) + log.sign(TEXT))


def test_an_ed25519_cosignature_signs_a_header_the_time_and_the_whole_text() -> None:
    text = TEXT + b"extension\n"
    signer = SignerKey("w.example", SEED, KeyKind.ED25519_COSIGNATURE)
    signature = signer.sign(text, NOON)
    assert signature[:8] == struct.pack(">Q", NOON)
    assert len(signature) == 72
    message = b"cosignature/v1\ntime 1700000000\nexample.org/log\n12\n"
    message += encode_base64(b"r" * 32).encode() + b"\nextension\n"
    public = Ed25519PrivateKey.from_private_bytes(SEED).public_key()
    public.verify(signature[8:], message)
    assert not signer.verifier().verify(TEXT, signature)
    assert not signer.verifier().verify(text, struct.pack(">Q", NOON + 1) + signature[8:])


def test_an_ml_dsa_44_cosignature_signs_the_subtree_and_not_the_extensions() -> None:
    signer = SignerKey("w.example", SEED, KeyKind.ML_DSA_44_COSIGNATURE)
    signature = signer.sign(TEXT, NOON)
    assert len(signature) == 8 + 2420
    message = b"subtree/v1\n\x00" + b"\x09w.example" + struct.pack(">Q", NOON)
    message += b"\x0fexample.org/log" + struct.pack(">QQ", 0, 12) + b"r" * 32
    public = MLDSA44PrivateKey.from_seed_bytes(SEED).public_key()
    public.verify(signature[8:], message)
    assert signer.verifier().verify(TEXT + b"extension\n", signature)
    other = VerifierKey("other.example", signer.verifier().public_key, signer.kind)
    assert not other.verify(TEXT, signature), "the message commits to the cosigner's name"


def test_a_subtree_message_refuses_what_its_fields_cannot_hold() -> None:
    root = bytes(32)
    for wrong in (
        ("w", 1, "o", 4, 8, root),  # a time, though it does not start at 0
        ("w", 0, "o", 8, 4, root),
        ("w", 0, "o", 0, 2**63, root),
        ("w", 0, "o", 0, 4, root[1:]),
        ("w" * 256, 0, "o", 0, 4, root),
        ("w", 0, "", 0, 4, root),
    ):
        with pytest.raises(CheckpointError):
            cosignature.subtree_message(*wrong)
    assert cosignature.subtree_message("w", 0, "o", 4, 8, root).startswith(b"subtree/v1\n\x00\x01w")


@pytest.mark.parametrize("kind", COSIGNERS)
def test_the_time_of_a_cosignature_is_read_and_checked(kind: KeyKind) -> None:
    signer = SignerKey("w.example", SEED, kind)
    key = signer.verifier()
    signature = signer.sign(TEXT, NOON)
    assert key.timestamp(signature) == NOON
    for wrong in (signature[:-1], signature + b"\x00", signature[:8], b"\xff" + signature[1:]):
        assert not key.verify(TEXT, wrong)
        with pytest.raises(SignatureError):
            key.timestamp(wrong)
    for moment in (-1, 2**63):
        with pytest.raises(SignatureError, match="between 0 and"):
            signer.sign(TEXT, moment)
    with pytest.raises(CheckpointError):
        signer.sign(b"no checkpoint\n", NOON)


def test_a_logs_own_signature_carries_no_time() -> None:
    signer = SignerKey("example.org/log", SEED)
    assert signer.verifier().timestamp(signer.sign(TEXT)) is None
    with pytest.raises(SignatureError, match="no time"):
        signer.sign(TEXT, NOON)


def ec_key(curve: ec.EllipticCurve) -> tuple[ec.EllipticCurvePrivateKey, bytes]:
    private = ec.derive_private_key(7, curve)
    return private, private.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_an_ecdsa_key_is_known_by_its_der_and_signs_the_text(curve: ec.EllipticCurve) -> None:
    private, der = ec_key(curve)
    key = VerifierKey("rekor.example", der, KeyKind.ECDSA)
    assert key.id == hashlib.sha256(der).digest()[:4]
    assert VerifierKey.parse(key.format()) == key
    signature = private.sign(TEXT, ec.ECDSA(hashes.SHA256()))
    assert key.verify(TEXT, signature)
    assert not key.verify(TEXT + b"\n", signature)
    assert not key.verify(TEXT, b"\x00")
    assert Note.open(Note("t\n", (Signature(key.name, key.id, private.sign(
        b"t\n", ec.ECDSA(hashes.SHA256()))),)).format(), [key]).text == "t\n"  # fmt: skip


def test_an_rfc_6962_tree_head_verifies_over_time_size_and_root() -> None:
    private, der = ec_key(ec.SECP256R1())
    key = VerifierKey("ct.example/2026", der, KeyKind.RFC6962_TREE_HEAD)
    log_id = hashlib.sha256(der).digest()
    assert key.id == hashlib.sha256(b"ct.example/2026\n\x05" + log_id).digest()[:4]
    head = struct.pack(">BBQQ", 0, 1, NOON * 1000, 12) + b"r" * 32
    made = private.sign(head, ec.ECDSA(hashes.SHA256()))
    signed = b"\x04\x03" + struct.pack(">H", len(made)) + made
    signature = struct.pack(">Q", NOON * 1000) + signed
    assert key.verify(TEXT, signature)
    assert key.timestamp(signature) is None, "milliseconds of a log, not a cosigner's time"
    assert not key.verify(TEXT.replace(b"12", b"13"), signature)
    assert not key.verify(TEXT, struct.pack(">Q", NOON) + signed)
    assert not key.verify(TEXT, signature.replace(b"\x04\x03", b"\x04\x01", 1))
    assert not key.verify(TEXT, signature + b"\x00")


def vkey(kind: int, raw: bytes, name: str = "example.org/key") -> str:
    return f"{name}+00000000+{encode_base64(bytes((kind,)) + raw)}"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (vkey(3, b"x"), "type 03 is not one of"),
        (vkey(0xFA, b"x"), "type fa is not one of"),
        ("example.org/key+00000000+", "type missing"),
        (vkey(1, bytes(31)), "expected 32 bytes of key, found 31"),
        (vkey(4, bytes(33)), "expected 32 bytes of key, found 33"),
        (vkey(6, bytes(1311)), "expected 1312 bytes of key, found 1311"),
        (vkey(6, bytes(1312), "n" * 256), "more than 255 bytes"),
        (vkey(2, bytes(91)), "P-256, P-384 or P-521"),
        (vkey(5, ec_key(ec.SECP384R1())[1]), "P-256, not P-384"),
        (vkey(2, ec_key(ec.SECP256K1())[1]), "P-256, P-384 or P-521"),
        (vkey(1, (2**255 - 18).to_bytes(32, "little")), "canonical"),  # y = p + 1
        (vkey(1, (1 | 1 << 255).to_bytes(32, "little")), "canonical"),  # x = 0 with a sign
        (vkey(1, bytes(32)), "id 00000000 does not belong"),
        ("example.org/key+0000000G+AQ==", "eight lower-case hex digits"),
        ("example.org/key+ABCDEF01+AQ==", "eight lower-case hex digits"),
        ("example.org/key", "expected name"),
        (SignerKey("example.org/key", SEED).format(), "secret"),
    ],
)
def test_malformed_verifier_keys_are_refused_for_their_reason(text: str, words: str) -> None:
    with pytest.raises(KeyFormatError, match=words) as refused:
        VerifierKey.parse(text)
    assert encode_base64(b"\x01" + SEED) not in str(refused.value)


def test_kinds_that_are_only_verified_have_no_signing_key() -> None:
    for kind in (KeyKind.ECDSA, KeyKind.RFC6962_TREE_HEAD):
        with pytest.raises(KeyFormatError, match="only verified"):
            SignerKey.generate("example.org/key", kind)
    with pytest.raises(KeyFormatError, match="a seed has 32 bytes"):
        SignerKey("example.org/key", SEED[1:])


def test_a_new_signature_of_a_key_takes_the_place_of_its_older_one() -> None:
    log = SignerKey("example.org/log", SEED)
    witness = SignerKey("w.example", SEED, KeyKind.ED25519_COSIGNATURE)
    note = Note.sign(TEXT.decode(), log)
    older, newer = (Signature.by(witness, TEXT, moment) for moment in (NOON, NOON + 9))
    both = note.with_signatures(parse_signatures(older.format())).with_signatures([newer])
    assert [line.identity for line in both.signatures] == [
        (key.name, key.id) for key in (log.verifier(), witness.verifier())
    ]
    opened = Note.open(both.format(), [witness.verifier()])
    assert witness.verifier().timestamp(opened.signatures[0].signature) == NOON + 9
    many = [Signature(f"w{number}", b"\x00" * 4, b"x") for number in range(100)]
    with pytest.raises(NoteError, match="at most 100"):
        note.with_signatures(many)


@pytest.mark.parametrize("text", ["", "\n", "— w.example AAAAAAA=", "— w.example AAAAAAA=\n\n"])
def test_signature_lines_that_are_cut_or_followed_by_more_are_refused(text: str) -> None:
    with pytest.raises(NoteError):
        parse_signatures(text)


def test_nobody_signs_no_note_and_two_keys_with_one_identity_are_not_told_apart() -> None:
    with pytest.raises(NoteError, match="at least one"):
        Note.sign("text\n")
    first, second = (SignerKey("example.org/log", bytes([n]) * 32).verifier() for n in (1, 2))
    object.__setattr__(second, "id", first.id)  # what 2**16 tries find for real
    signed = Note.sign("text\n", SignerKey("example.org/log", bytes([1]) * 32)).format()
    with pytest.raises(SignatureError, match="could be either's"):
        Note.open(signed, [first, second])


def test_the_plain_verifier_agrees_with_the_library_on_good_and_damaged_signatures() -> None:
    for number in range(6):
        private = Ed25519PrivateKey.from_private_bytes(bytes([number]) * 32)
        public, message = private.public_key().public_bytes_raw(), bytes([number]) * number
        signature = private.sign(message)
        assert ed25519.verify(public, signature, message)
        at = number * 11
        damaged = signature[:at] + bytes([signature[at] ^ 1]) + signature[at + 1 :]
        assert not ed25519.verify(public, damaged, message)
        assert not ed25519.verify(public, signature, message + b"x")


def test_spellings_that_are_not_canonical_are_refused_by_the_plain_verifier() -> None:
    order = 2**252 + 27742317777372353535851937790883648493
    private = Ed25519PrivateKey.from_private_bytes(SEED)
    public, signature = private.public_key().public_bytes_raw(), private.sign(b"m")
    scalar = int.from_bytes(signature[32:], "little") + order
    assert not ed25519.verify(public, signature[:32] + scalar.to_bytes(32, "little"), b"m")
    # Under the neutral point as key, R = 1 and S = 0 sign everything; R = p + 1 is the same point.
    neutral, other = (value.to_bytes(32, "little") for value in (1, 2**255 - 18))
    assert ed25519.verify(neutral, neutral + bytes(32), b"m")
    assert not ed25519.verify(neutral, other + bytes(32), b"m")
    Ed25519PublicKey.from_public_bytes(other).verify(neutral + bytes(32), b"m")  # OpenSSL is laxer
    assert not ed25519.verify(other, neutral + bytes(32), b"m")
    assert not ed25519.verify((2).to_bytes(32, "little"), neutral + bytes(32), b"m")  # no point


WITHOUT_LIBRARY = """
    import json, sys
    sys.modules["cryptography"] = None  # what an import finds on a clean machine

    from ledger_anchor.errors import MissingLibraryError
    from ledger_anchor.notes.keys import KeyKind, SignerKey
    from ledger_anchor.notes.policy import as_policy

    given = json.load(sys.stdin)
    opened = as_policy(given["policy"]).open(given["note"])
    answers = [opened.checkpoint.size, [made.name for made in opened.cosigners]]
    for attempt in (
        lambda: SignerKey.generate("example.org/log"),
        lambda: SignerKey.generate("example.org/log", KeyKind.ML_DSA_44_COSIGNATURE),
        lambda: SignerKey("example.org/log", bytes(32)).sign(b"text"),
        lambda: as_policy(given["post_quantum"]).open(given["note"]),
        lambda: as_policy(given["ecdsa"]).open(given["ecdsa_note"]),
    ):
        try:
            attempt()
        except MissingLibraryError as error:
            answers.append(str(error))
    print(json.dumps(answers))
"""


def test_without_cryptography_ed25519_verifies_and_the_rest_names_what_is_missing() -> None:
    log = SignerKey("example.org/log", bytes(32))
    small, large = (SignerKey("w.example", SEED, kind) for kind in COSIGNERS)
    note = Note.sign(TEXT.decode(), log, small, large)
    private, der = ec_key(ec.SECP256R1())
    rekor = VerifierKey("example.org/log", der, KeyKind.ECDSA)
    line = Signature(rekor.name, rekor.id, private.sign(TEXT, ec.ECDSA(hashes.SHA256())))
    head = f"log {log.verifier().format()}\n"
    given = {
        "policy": f"{head}witness one {small.verifier().format()}\nquorum one\n",
        "post_quantum": f"{head}witness one {large.verifier().format()}\nquorum one\n",
        "note": note.format(),
        "ecdsa": rekor.format(),
        "ecdsa_note": Note(note.text, (line,)).format(),
    }
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(WITHOUT_LIBRARY)],
        input=json.dumps(given), capture_output=True, text=True, check=False, cwd=REPOSITORY,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    size, names, *refusals = json.loads(done.stdout)
    assert (size, names) == (12, ["one"])
    assert len(refusals) == 5
    assert all("cryptography" in words and "pip install" in words for words in refusals)
