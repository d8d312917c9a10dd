"""Third-party vectors for trees, notes, keys, CBOR and JSON; most are wrong on purpose."""

from __future__ import annotations

import base64
import codecs
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from ledger_anchor import cbor
from ledger_anchor.errors import (
    CborError,
    KeyFormatError,
    ManifestError,
    NoteError,
    PolicyError,
    ProofShapeError,
    RootMismatchError,
    SignatureError,
)
from ledger_anchor.manifest import canonical_json
from ledger_anchor.notes import ed25519
from ledger_anchor.notes.checkpoint import Checkpoint
from ledger_anchor.notes.keys import KeyKind, SignerKey, VerifierKey
from ledger_anchor.notes.note import Note
from ledger_anchor.notes.policy import Policy
from ledger_anchor.tree import (
    EMPTY_ROOT,
    leaf_hash,
    node_hash,
    tree_root,
    verify_consistency,
    verify_inclusion,
)

pytestmark = pytest.mark.shared_data

SHAPE, MISMATCH = ProofShapeError, RootMismatchError
# Why each kind of wrong vector must fail: its numbers cannot be right, or it leads elsewhere.
REASONS = {
    "modified proof": MISMATCH,
    "random root": MISMATCH,
    "empty root": MISMATCH,
    "swapped roots": MISMATCH,
    "wrong leaf": SHAPE,  # the vector's wrong leaf is not a hash
    "wrong root": SHAPE,  # nor is its wrong root
    "empty proof": SHAPE,
    "inserted component": SHAPE,
    "removed component": SHAPE,
    "truncated proof": SHAPE,
    "preceding": SHAPE,
    "trailing": SHAPE,
    "treeSize": SHAPE,
    "size": SHAPE,
    "leafIdx": (SHAPE, MISMATCH),  # shape if it leaves the tree, else another root
}


def load(path: Path) -> Any:
    return json.loads(path.read_text())


def raw(text: str | None) -> bytes:
    return base64.b64decode(text) if text else b""


def reason(description: str) -> Any:
    return next(kind for start, kind in REASONS.items() if description.startswith(start))


def merkle_vectors(shared_data: Path, kind: str) -> list[dict[str, Any]]:
    paths = sorted((shared_data / "vectors" / "merkle" / kind).rglob("*.json"))
    vectors = [load(path) for path in paths]
    assert sum(not vector["wantErr"] for vector in vectors) >= 3
    assert sum(vector["wantErr"] for vector in vectors) >= 40
    return vectors


def test_every_inclusion_vector_has_its_outcome_for_its_reason(shared_data: Path) -> None:
    for vector in merkle_vectors(shared_data, "inclusion"):
        proof = [raw(item) for item in vector["proof"] or []]
        given = (raw(vector["leafHash"]), vector["leafIdx"], vector["treeSize"])
        if not vector["wantErr"]:
            assert verify_inclusion(*given, proof, raw(vector["root"])) is None
            continue
        with pytest.raises(reason(vector["desc"])):
            verify_inclusion(*given, proof, raw(vector["root"]))


def test_every_consistency_vector_has_its_outcome_for_its_reason(shared_data: Path) -> None:
    for vector in merkle_vectors(shared_data, "consistency"):
        proof = [raw(item) for item in vector["proof"] or []]
        roots = raw(vector["root1"]), raw(vector["root2"])
        if not vector["wantErr"]:
            assert verify_consistency(vector["size1"], vector["size2"], proof, *roots) is None
            continue
        with pytest.raises(reason(vector["desc"])):
            verify_consistency(vector["size1"], vector["size2"], proof, *roots)


def test_roots_and_hashes_of_rfc_6962_are_reproduced(shared_data: Path) -> None:
    vectors = load(shared_data / "vectors" / "rfc6962_roots.json")
    entries = [bytes.fromhex(item) for item in vectors["leaf_inputs_hex"]]
    roots = [tree_root(entries[:size]).hex() for size in range(len(entries) + 1)]
    assert roots == vectors["roots_hex_by_size"]
    hasher = vectors["hasher"]
    assert hasher["empty"] == EMPTY_ROOT.hex()
    assert hasher["leaf('')"] == leaf_hash(b"").hex()
    assert hasher["leaf('L123456')"] == leaf_hash(b"L123456").hex()
    assert hasher["node('N123','N456')"] == node_hash(b"N123", b"N456").hex()


def test_notes_of_the_go_library_open_or_fail_as_there(shared_data: Path) -> None:
    vectors = load(shared_data / "vectors" / "note" / "go_note.json")
    for case in vectors["open"]:
        trusted = [VerifierKey.parse(text) for text in case["trusted"]]
        if case["ok"]:
            note = Note.open(case["note"], trusted)
            assert [line.name for line in note.signatures] == case["verified"]
            continue
        kind = SignatureError if "verifiable" in case.get("why", "") else NoteError
        with pytest.raises(kind):
            Note.open(case["note"], trusted)


def test_the_go_librarys_signature_is_reproduced_from_its_key(shared_data: Path) -> None:
    vectors = load(shared_data / "vectors" / "note" / "go_note.json")
    signed = Note.sign(vectors["text"], SignerKey.parse(vectors["skey"])).format()
    case = next(case for case in vectors["open"] if case["ok"])
    assert case["note"].startswith(signed)
    assert SignerKey.parse(vectors["skey"]).format() == vectors["skey"]


def test_a_verifier_key_with_any_byte_changed_or_cut_off_is_refused(shared_data: Path) -> None:
    vectors = load(shared_data / "vectors" / "note" / "go_note.json")
    for text in vectors["bad_vkeys"]:
        with pytest.raises(KeyFormatError):
            VerifierKey.parse(text)
    text = vectors["good_vkeys"][0]
    assert VerifierKey.parse(text).format() == text
    changed = [text[:at] + chr(ord(text[at]) + 1) + text[at + 1 :] for at in range(len(text))]
    cut = [text[:at] for at in range(len(text))] + [text[at:] for at in range(1, len(text))]
    for wrong in changed + cut:
        with pytest.raises(KeyFormatError):
            VerifierKey.parse(wrong)


def test_the_example_of_the_signed_note_specification_verifies(shared_data: Path) -> None:
    example = load(shared_data / "vectors" / "c2sp" / "signed-note-example.json")
    note = Note.open(example["note"], [VerifierKey.parse(example["vkey"])])
    assert note.text == "This is an example message.\n"
    assert note.format() == example["note"]


def test_the_checkpoint_of_the_specification_parses_and_verifies_under_its_real_name(
    shared_data: Path,
) -> None:
    text = (shared_data / "vectors" / "c2sp" / "checkpoint.txt").read_text()
    checkpoint = Checkpoint.parse(Note.parse(text).text)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    key = VerifierKey.parse("sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8")
    real = text.replace("example.com/behind-the-sofa", "go.sum database tree", 1)
    real = real.replace("example.com/behind-the-sofa", "sum.golang.org")
    assert Checkpoint.parse(Note.open(real, [key]).text).size == 20852163
    with pytest.raises(SignatureError):
        Note.open(real.replace("20852163", "20852164"), [key])


def test_lines_of_unknown_signers_are_carried_and_not_trusted(shared_data: Path) -> None:
    text = (shared_data / "vectors" / "c2sp" / "cosigned-checkpoint.txt").read_text()
    note = Note.parse(text)
    assert [line.name for line in note.signatures] == [
        "example.com/behind-the-sofa",
        "witness.example.com/w1",
    ]
    with pytest.raises(SignatureError):
        Note.open(text, [SignerKey("example.com/other", bytes(32)).verifier()])


@pytest.mark.parametrize("verifier", ["library", "plain"])
def test_ed25519_agrees_with_every_wycheproof_case(shared_data: Path, verifier: str) -> None:
    vectors = load(shared_data / "vectors" / "wycheproof" / "ed25519_test.json")
    seen = 0
    for group in vectors["testGroups"]:
        key = VerifierKey("wycheproof", bytes.fromhex(group["publicKey"]["pk"]))
        for case in group["tests"]:
            message, signature = bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"])
            if verifier == "plain":
                is_valid = ed25519.verify(key.public_key, signature, message)
            else:
                is_valid = key.verify(message, signature)
            assert is_valid == (case["result"] == "valid"), case["tcId"]
            seen += 1
    assert seen == vectors["numberOfTests"] == 151


def test_cosigners_keys_of_the_formats_library_parse_and_the_one_with_a_wrong_id_does_not(
    shared_data: Path,
) -> None:
    vectors = load(shared_data / "vectors" / "formats" / "cosig_vkeys.json")
    log, witness, wrong = vectors["vkeys_ok"]
    assert VerifierKey.parse(log).kind is KeyKind.ED25519
    key = VerifierKey.parse(witness)
    assert (key.name, key.kind) == ("remora.n621.de", KeyKind.ED25519_COSIGNATURE)
    assert key.format() == witness
    # SOURCES.md: the Go code never compares the id of this ML-DSA-44 key; the specification does.
    with pytest.raises(KeyFormatError, match=r"5893dc2c does not belong to the key \(31236897"):
        VerifierKey.parse(wrong)
    assert VerifierKey.parse(wrong.replace("5893dc2c", "31236897")).kind is (
        KeyKind.ML_DSA_44_COSIGNATURE
    )
    blob = base64.b64decode(vectors["timestamp"]["sig_b64"])
    assert len(blob) == 76
    assert key.timestamp(blob[4:]) == vectors["timestamp"]["unix"] == 1727964367


def formats_of_the_verifier_tests(shared_data: Path) -> tuple[dict[str, str], str]:
    """Named constants, and the text, of the Go test of ECDSA and RFC 6962 keys."""
    path = shared_data / "vectors" / "formats" / "note_verifier_test.extract.txt"
    text = path.read_text()
    return dict(re.findall(r'(\w+) = "([^"]+)"', text)), text


def test_notes_of_rekor_and_pixel_open_with_their_ecdsa_keys(shared_data: Path) -> None:
    constants, text = formats_of_the_verifier_tests(shared_data)
    keys = {
        "sigstore works": ("rekor.sigstore.dev+c0d23d6a+", "sigStoreKeyMaterial", "Rekor", 798034),
        "pixel works": ("pixel6_transparency_log+91c16e30+", "pixelKeyMaterial", "DEFAULT", 10),
    }
    cases = dict(
        re.findall(r'name: +"([^"]+)",(?:\s+pubK: +[^\n]+)?\s+note: +\[\]byte\("(.+)"\)', text)
    )
    assert set(cases) == {*keys, "invalid name", "invalid signature"}
    for case, (start, material, origin, size) in keys.items():
        key = VerifierKey.parse(start + constants[material])
        assert key.kind is KeyKind.ECDSA
        note = codecs.decode(cases[case].encode(), "unicode_escape").encode("latin-1").decode()
        checkpoint = Checkpoint.parse(Note.open(note, [key]).text)
        assert (checkpoint.origin, checkpoint.size) == (origin, size)
        with pytest.raises(SignatureError, match="does not verify"):
            Note.open(note.replace(str(size), str(size + 1)), [key])
    rekor = VerifierKey.parse(keys["sigstore works"][0] + constants["sigStoreKeyMaterial"])
    other_name = VerifierKey("bananas.sigstore.dev", rekor.public_key, KeyKind.ECDSA)
    for case, key in (("invalid name", other_name), ("invalid signature", rekor)):
        note = codecs.decode(cases[case].encode(), "unicode_escape").encode("latin-1").decode()
        # A line by another name, or with another key's id, is an unknown key's: nobody has signed.
        with pytest.raises(SignatureError, match="no signature by a trusted key"):
            Note.open(note, [key])


def test_log_keys_of_the_formats_library_parse_or_fail_for_their_reason(shared_data: Path) -> None:
    constants, text = formats_of_the_verifier_tests(shared_data)
    static_ct = re.search(r'"(ct\.googleapis\.com[^"]+)"', text)
    assert static_ct is not None
    key = VerifierKey.parse(static_ct[1])
    assert (key.kind, key.format()) == (KeyKind.RFC6962_TREE_HEAD, static_ct[1])
    wrong = dict(re.findall(r'name: +"([^"]+)",\n\s+pubK: +(.+),\n', text))
    for case, words in {
        "wrong number of parts": "expected name",
        "invalid base64": "not base64",
        "invalid algo": "type 03 is not one of",
        "invalid keyhash": "eight lower-case hex digits",
        "incorrect keyhash": r"00000000 does not belong to the key \(c0d23d6a",
    }.items():
        parts = re.findall(r'"([^"]*)"|(\w+)', wrong[case])  # Go: literals and constants, added up
        vkey = "".join(literal or constants.get(name, "") for literal, name in parts)
        with pytest.raises(KeyFormatError, match=words):
            VerifierKey.parse(vkey)


def test_policies_of_sigsum_are_refused_with_what_is_expected_instead(shared_data: Path) -> None:
    paths = sorted((shared_data / "vectors" / "sigsum").iterdir())
    assert len(paths) == 4
    for path in paths:
        first = next(
            number
            for number, line in enumerate(path.read_text().splitlines(), 1)
            if line.startswith("log ")
        )
        with pytest.raises(PolicyError, match="bare hex key, as Sigsum's") as refused:
            Policy.parse(path.read_bytes())
        assert refused.value.line == first
        assert "expected a verifier key" in str(refused.value)


def test_cbor_of_appendix_a_is_read_and_written_or_refused(shared_data: Path) -> None:
    read = 0
    for case in load(shared_data / "vectors" / "cbor" / "appendix_a.json"):
        data = bytes.fromhex(case["hex"])
        if not case["roundtrip"] or not _is_cell_value(data):
            with pytest.raises(CborError):
                cbor.decode(data)
            continue
        value = cbor.decode(data)
        read += 1
        if isinstance(value, cbor.Tagged):
            continue
        assert cbor.encode(value) == data
        if "decoded" in case and not isinstance(value, float):
            assert value == case["decoded"]
    assert read >= 49


def _is_cell_value(data: bytes) -> bool:
    """Maps and simple values other than booleans and null are no values of a cell."""
    holds_map = data[0] >> 5 == 5 or data[:2] == b"\x82\x61"
    return not holds_map and data not in {b"\xf7", b"\xf0", b"\xf8\x18", b"\xf8\xff"}


def test_a_cell_digest_is_the_salted_claim_of_sd_cwt(shared_data: Path) -> None:
    folder = shared_data / "vectors" / "sd-cwt"
    claim = (folder / "first-disclosure.cborseq").read_bytes()
    blinded = (folder / "first-blinded-hash.txt").read_text().strip()
    salt = cbor.encode_bytes(claim[2:18])
    assert claim == cbor.encode_array([salt, cbor.encode("ABCD-123456"), cbor.encode(501)])
    assert blinded == hashlib.sha256(claim).hexdigest()


def test_canonical_json_agrees_with_jcs_where_it_applies_and_refuses_the_rest(
    shared_data: Path,
) -> None:
    folder = shared_data / "vectors" / "jcs"
    agreed, refused = [], []
    for path in sorted((folder / "input").iterdir()):
        value = json.loads(path.read_text())
        try:
            assert canonical_json(value) == (folder / "output" / path.name).read_bytes()
            agreed.append(path.stem)
        except ManifestError:
            refused.append(path.stem)
    assert agreed == ["arrays", "unicode"]
    # Floats (structures, values) and keys beyond ASCII (french, weird) have no place in a manifest.
    assert refused == ["french", "structures", "values", "weird"]
