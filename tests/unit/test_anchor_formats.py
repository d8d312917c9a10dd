"""CBOR, canonical JSON, notes, keys, checkpoints and proof files: limits and wrong input."""

from __future__ import annotations

import datetime as dt
import math
import sys
from decimal import Decimal

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_anchor import cbor
from ledger_anchor.errors import (
    AnchorError,
    CborError,
    CheckpointError,
    KeyFormatError,
    ManifestError,
    NoteError,
    ProofError,
    ProofShapeError,
    SignatureError,
)
from ledger_anchor.manifest import FORMAT, canonical_json, decode_manifest, encode_manifest
from ledger_anchor.notes.checkpoint import Checkpoint
from ledger_anchor.notes.keys import SignerKey, VerifierKey
from ledger_anchor.notes.note import Note
from ledger_anchor.tlog.proof import LogProof, verify_proof
from ledger_anchor.tree import EMPTY_ROOT, Tree, inclusion_proof

SIGNER = SignerKey("example.org/log", bytes(range(32)))
VERIFIER = SIGNER.verifier()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "f6"),
        (False, "f4"),
        (True, "f5"),
        (23, "17"),
        (24, "1818"),
        (-25, "3818"),
        (2**64, "c249010000000000000000"),
        (Decimal("1.50"), "c482211896"),
        (Decimal("-0.05"), "c4822124"),
        (Decimal(7), "c4820007"),
        (2.0**-24, "f90001"),
        (-0.0, "f98000"),
        (float("nan"), "f97e00"),
        (1e300, "fb7e37e43c8800759c"),
        (b"\x01", "4101"),
        ("é", "62c3a9"),
        (dt.date(2024, 4, 1), "d864194d66"),
        (dt.datetime(1970, 1, 1, 0, 0, 1, tzinfo=dt.UTC), "1a000f4240"),
    ],
)
def test_values_have_their_one_encoding(value: object, expected: str) -> None:
    assert cbor.encode(value).hex() == expected


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.integers(), st.floats(), st.text(), st.binary(), st.booleans(), st.none()))
def test_encoding_agrees_with_cbor2_and_reads_back(value: object) -> None:
    encoded = cbor.encode(value)
    assert encoded == cbor2.dumps(value, canonical=True)
    again = cbor.decode(encoded)
    assert again == value or (isinstance(value, float) and math.isnan(value))


@pytest.mark.parametrize(
    "spelling",
    ["1800", "190001", "fb3ff0000000000000", "fa3f800000", "f97e01", "c24101", "9f00ff", "a0", ""],
)
def test_another_spelling_of_a_value_is_refused(spelling: str) -> None:
    with pytest.raises(CborError):
        cbor.decode(bytes.fromhex(spelling))


def test_bytes_after_the_end_and_bytes_that_are_missing_are_refused() -> None:
    with pytest.raises(CborError, match="after the end"):
        cbor.decode(b"\x00\x00")
    with pytest.raises(CborError, match="ends early"):
        cbor.decode(b"\x62a")
    with pytest.raises(CborError, match="not UTF-8"):
        cbor.decode(b"\x61\xff")
    with pytest.raises(CborError, match="nesting"):
        cbor.decode(b"\x81" * 40 + b"\x00")


def test_a_time_without_a_zone_and_a_type_without_encoding_are_refused() -> None:
    with pytest.raises(CborError, match="zone"):
        cbor.encode(dt.datetime(2024, 1, 1))  # noqa: DTZ001 - the naive time is the case
    with pytest.raises(CborError, match="complex"):
        cbor.encode(1j)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40))
def test_whatever_the_decoder_accepts_it_writes_the_same_way(data: bytes) -> None:
    try:
        value = cbor.decode(data)
    except CborError:
        return
    if "Tagged" not in repr(value) and not isinstance(value, dt.date):
        assert cbor.encode(value) == data


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": 1.5}, r"\$\.a: a float"),
        ({"a": [2**53]}, r"\$\.a\[0\]: an integer beyond"),
        ({"é": 1}, "ASCII"),
        ({1: 1}, "ASCII"),
        ({"a": "\ud800"}, "surrogate"),
        ({"a": b"x"}, "bytes"),
    ],
)
def test_what_json_cannot_carry_exactly_is_refused_by_place(value: object, words: str) -> None:
    with pytest.raises(ManifestError, match=words):
        canonical_json(value)


def test_canonical_json_is_sorted_and_tight_and_utf8() -> None:
    assert (
        canonical_json({"b": ["é", None, True], "a": -1}) == '{"a":-1,"b":["é",null,true]}'.encode()
    )


def test_a_manifest_beyond_a_log_entry_is_refused() -> None:
    with pytest.raises(ManifestError, match="65535"):
        encode_manifest({"format": FORMAT, "dataset": "d", "files": ["x" * 66_000]})


@pytest.mark.parametrize("entry", [b"\xff", b"[]", b"{}", b'{"format":"other/1"}', b"[" * 100_000])
def test_an_entry_that_is_no_manifest_is_refused(entry: bytes) -> None:
    with pytest.raises(ManifestError):
        decode_manifest(entry)


def test_a_manifest_with_other_spacing_is_refused() -> None:
    with pytest.raises(ManifestError, match="canonical"):
        decode_manifest(b'{"format": "tracient-snapshot/1"}')


@pytest.mark.parametrize("name", ["", "two words", "plus+sign", "no\u00a0break", "tab\t"])
def test_key_names_with_spaces_or_plus_signs_are_refused(name: str) -> None:
    with pytest.raises(KeyFormatError):
        SignerKey.generate(name)


def test_a_signing_key_reads_back_and_never_shows_its_seed() -> None:
    text = SIGNER.format()
    assert SignerKey.parse(text) == SIGNER
    assert SIGNER.seed.hex() not in repr(SIGNER)
    assert "seed" not in repr(SIGNER)
    for wrong in (text[12:], text.replace("log+", "other+"), text[:-4] + "AAA="):
        with pytest.raises(KeyFormatError):
            SignerKey.parse(wrong)


def test_a_known_signature_that_fails_spoils_the_note_even_beside_a_good_one() -> None:
    other = SignerKey("example.org/other", bytes(32))
    note = Note.sign("text\n", SIGNER, other)
    forged = Note("text\n", (note.signatures[0], Note.sign("else\n", other).signatures[0]))
    assert len(Note.open(forged.format(), [VERIFIER]).signatures) == 1
    with pytest.raises(SignatureError, match="does not verify"):
        Note.open(forged.format(), [VERIFIER, other.verifier()])


def test_sixteen_signatures_are_read_and_more_than_a_hundred_refused() -> None:
    signers = [SignerKey(f"example.org/{number}", bytes([number] * 32)) for number in range(16)]
    note = Note.sign("text\n", *signers)
    keys = [signer.verifier() for signer in signers]
    assert len(Note.open(note.format(), keys).signatures) == 16
    with pytest.raises(NoteError, match="at most 100"):
        Note.open(Note("text\n", note.signatures[:1] * 101).format(), keys)


def test_text_that_cannot_be_a_note_is_not_signed() -> None:
    for text in ("no line end", "tab\tinside\n"):
        with pytest.raises(NoteError):
            Note.sign(text, SIGNER)


def test_base64_in_another_spelling_is_refused() -> None:
    note = Note.sign("text\n", SIGNER).format()
    for wrong in (note.replace("=", ""), note.replace("= ", "=")[:-2] + " \n"):
        with pytest.raises(NoteError):
            Note.parse(wrong)


def test_a_checkpoint_reads_back_with_its_extensions() -> None:
    checkpoint = Checkpoint("example.org/log", 12, bytes(32), ("extension",))
    assert Checkpoint.open(checkpoint.sign(SIGNER), VERIFIER) == checkpoint
    assert checkpoint.format() == "example.org/log\n12\n" + "A" * 43 + "=\nextension\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example.org/log\n",
        "example.org/log\n012\n" + "A" * 43 + "=\n",
        "example.org/log\n-1\n" + "A" * 43 + "=\n",
        "example.org/log\n1\nAAAA\n",
        "example.org/log\n1\n!\n",
        "example.org/log\n0\n" + "A" * 43 + "=\n",
        "example.org/log\n99999999999999999999\n" + "A" * 43 + "=\n",
        "example.org/log\n1\n" + "A" * 43 + "=\n\n",
        "example.org/log\n1\n" + "A" * 43 + "=",
    ],
)
def test_malformed_checkpoints_are_refused(text: str) -> None:
    with pytest.raises(CheckpointError):
        Checkpoint.parse(text)


def test_a_checkpoint_of_another_log_is_refused_even_when_our_key_signed_it() -> None:
    with pytest.raises(CheckpointError, match="another log"):
        Checkpoint.open(Checkpoint("example.org/else", 0, EMPTY_ROOT).sign(SIGNER), VERIFIER)


def proof_file(entry: bytes = b"b", extra: bytes | None = None) -> bytes:
    tree = Tree.from_entries([b"a", entry, b"c"])
    note = Checkpoint(SIGNER.name, 3, tree.root()).sign(SIGNER)
    return LogProof(1, tuple(inclusion_proof(tree, 1, 3)), note, extra).format()


def test_a_proof_file_reads_back() -> None:
    data = proof_file(extra=b"{}")
    assert LogProof.parse(data).format() == data
    assert data.startswith(b"c2sp.org/tlog-proof@v1\nextra e30=\nindex 1\n")


def test_a_proof_with_its_manifest_needs_nothing_but_the_key() -> None:
    manifest = {"format": FORMAT, "dataset": "d", "rows": 0, "root": ""}
    extra = canonical_json({"format": "tracient-proof/1", "manifest": manifest})
    proven = verify_proof(proof_file(encode_manifest(manifest), extra), VERIFIER)
    assert proven.manifest == manifest
    assert proven.row is None
    other = {**manifest, "dataset": "e"}
    extra = canonical_json({"format": "tracient-proof/1", "manifest": other})
    with pytest.raises(ProofError):
        verify_proof(proof_file(encode_manifest(manifest), extra), VERIFIER)


def test_an_extra_line_beyond_64_kib_is_not_written() -> None:
    with pytest.raises(ProofShapeError, match="Disclose fewer"):
        proof_file(extra=bytes(50_000))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_proof_file_with_any_byte_changed_fails_with_one_of_our_errors(
    data: st.DataObject,
) -> None:
    manifest = {"format": FORMAT, "dataset": "d", "rows": 0, "root": ""}
    extra = canonical_json({"format": "tracient-proof/1", "manifest": manifest})
    good = proof_file(encode_manifest(manifest), extra)
    at = data.draw(st.integers(0, len(good) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != good[at]))
    with pytest.raises(AnchorError):
        verify_proof(good[:at] + bytes([byte]) + good[at + 1 :], VERIFIER)


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_parsers_answer_any_bytes_with_one_of_our_errors(data: bytes) -> None:
    for parse in (Note.parse, LogProof.parse, lambda raw: Checkpoint.open(raw, VERIFIER)):
        with pytest.raises(AnchorError):
            parse(data)
    with pytest.raises(AnchorError):
        VerifierKey.parse(data.decode("latin-1"))


def test_numbers_too_long_for_python_are_refused_and_not_a_traceback() -> None:
    huge_exponent = b"\xc4\x82\x1b" + (10**18).to_bytes(8, "big") + b"\x01"
    long_integer = cbor.head(6, 2) + cbor.encode_bytes(b"\x01" * 2000)
    for data in (huge_exponent, long_integer):
        with pytest.raises(CborError):
            cbor.decode(data)


def test_a_manifest_nested_too_deep_is_refused() -> None:
    nested: object = "x"
    for _ in range(5000):
        nested = [nested]
    with pytest.raises(ManifestError, match="too deep"):
        canonical_json(nested)


def test_depth_is_bounded_whatever_limit_python_has() -> None:
    deep = b"[" * 30_000
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000_000)  # as libraries of elliptic curves do when they are imported
    try:
        with pytest.raises(ManifestError):
            decode_manifest(deep)
    finally:
        sys.setrecursionlimit(before)
    quoted = canonical_json({"format": FORMAT, "note": "[{" * 200 + '\\"'})
    assert decode_manifest(quoted)["note"] == "[{" * 200 + '\\"'
