"""Row bundles: verified with a key or a policy alone; one clear error for each thing changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ledger_anchor import cbor
from ledger_anchor.errors import (
    AnchorError,
    CheckpointError,
    ClockError,
    EntryProofError,
    ProofError,
    QuorumError,
    RootMismatchError,
    RowProofError,
    SignatureError,
)
from ledger_anchor.manifest import canonical_json
from ledger_anchor.notes.checkpoint import Checkpoint
from ledger_anchor.notes.encoding import encode_base64
from ledger_anchor.notes.keys import SignerKey
from ledger_anchor.notes.note import Note
from ledger_anchor.tlog.proof import LogProof, verify_proof
from tests.anchor_samples import LOG, NOON, POLICY, row_bundle

KEY = LOG.verifier()
GOOD = row_bundle()


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """The bundle with another extra line."""
    proof = LogProof.parse(GOOD)
    extra = json.loads(proof.extra or b"")
    change(extra)
    raw = canonical_json(extra)
    return LogProof(proof.index, proof.path, proof.checkpoint_note, raw).format()


def with_note(note: str) -> bytes:
    proof = LogProof.parse(GOOD)
    return LogProof(proof.index, proof.path, note, proof.extra).format()


def test_a_bundle_needs_the_logs_key_and_nothing_else() -> None:
    proven = verify_proof(GOOD, KEY)
    assert proven.row is not None
    assert (proven.row.number, proven.row.values) == (4, {"paise": 500})
    assert proven.row.hidden_columns == ("id", "worker")
    assert proven.cosigners == ()
    assert proven == verify_proof(GOOD, KEY.format())


def test_under_a_policy_the_bundle_tells_who_has_seen_it_and_when() -> None:
    proven = verify_proof(GOOD, POLICY, now=NOON)
    told = proven.to_json()["cosigners"]
    assert isinstance(told, list)
    assert [(made["name"], made["time"]) for made in told] == [
        ("w1", NOON),
        ("w2", NOON),
        ("w3", NOON),
    ]
    with pytest.raises(ClockError):
        verify_proof(GOOD, POLICY, now=NOON - 3600)
    proof = LogProof.parse(GOOD)
    alone = Note(Note.parse(proof.checkpoint_note).text, Note.parse(GOOD.decode()).signatures[:2])
    with pytest.raises(QuorumError, match="two-of-three has 1 and needs 2 of 3, lacking w2, w3"):
        verify_proof(with_note(alone.format()), POLICY)


@pytest.mark.parametrize(
    "change",
    [
        lambda e: e["row"]["cells"][2].update(value_cbor=encode_base64(cbor.encode(999))),
        lambda e: e["row"]["cells"][2].update(salt=encode_base64(bytes(16))),
        lambda e: e["row"]["cells"][0].update(digest=encode_base64(bytes(32))),
        lambda e: e["row"]["path"].__setitem__(0, encode_base64(bytes(32))),
        lambda e: e["row"].update(number=5),
        lambda e: e["row"]["path"].reverse(),
    ],
    ids=["value", "salt", "digest", "path", "number", "order"],
)
def test_a_changed_cell_salt_digest_or_path_is_a_row_proof_error(change: Any) -> None:
    with pytest.raises(RowProofError, match="is not in the committed table of payments") as refused:
        verify_proof(changed(change), KEY)
    assert refused.value.expected != refused.value.calculated
    assert "999" not in str(refused.value)


@pytest.mark.parametrize(
    "change",
    [
        lambda e: e["manifest"].update(rows=8),
        lambda e: e["manifest"].update(root="00" * 32),
        lambda e: e["manifest"]["schema"][2].update(name="rupees"),
    ],
)
def test_a_changed_manifest_is_an_entry_proof_error(change: Any) -> None:
    with pytest.raises(EntryProofError, match=r"the manifest is not entry 1 of 'example.org/log'"):
        verify_proof(changed(change), KEY)


@pytest.mark.parametrize(
    "change",
    [
        lambda e: e["row"]["cells"].pop(),
        lambda e: e["row"]["cells"].reverse(),
        lambda e: e["row"]["cells"][2].update(name="rupees"),
        lambda e: e["row"]["cells"][2].update(name=7),
        lambda e: e["row"]["cells"][2].update(salt=encode_base64(bytes(15))),
        lambda e: e["row"]["cells"][2].update(value_cbor="9w=="),
        lambda e: e["row"]["cells"][0].update(digest="AAAA"),
        lambda e: e["row"].update(number=True),
        lambda e: e["row"].update(number=7),
        lambda e: e["row"]["path"].pop(),
        lambda e: e.update(row=[]),
        lambda e: e.update(row={}),
        lambda e: e.update(format="other/1"),
        lambda e: e.pop("manifest"),
    ],
)
def test_a_malformed_row_is_a_proof_error_and_no_mismatch(change: Any) -> None:
    with pytest.raises(ProofError) as refused:
        verify_proof(changed(change), KEY)
    assert not isinstance(refused.value, RootMismatchError)


def test_a_bundle_of_another_log_a_stolen_name_and_a_forged_size_are_told_apart() -> None:
    with pytest.raises(CheckpointError, match=r"another log: expected origin 'example.org/log'"):
        verify_proof(row_bundle("example.org/else"), KEY)
    with pytest.raises(SignatureError, match="no signature by a trusted key"):
        verify_proof(GOOD, SignerKey(LOG.name, b"t" * 32).verifier())
    with pytest.raises(SignatureError, match="does not verify"):
        verify_proof(GOOD.replace(b"\n3\n", b"\n4\n"), KEY)


def test_a_proof_for_an_older_entry_or_size_does_not_verify() -> None:
    proof = LogProof.parse(GOOD)
    other = Checkpoint(LOG.name, 3, bytes(32)).sign(LOG)
    with pytest.raises(EntryProofError):
        verify_proof(with_note(other), KEY)
    moved = LogProof(0, proof.path, proof.checkpoint_note, proof.extra).format()
    with pytest.raises(EntryProofError):
        verify_proof(moved, KEY)
    outside = LogProof(3, proof.path, proof.checkpoint_note, proof.extra).format()
    with pytest.raises(ProofError, match="3"):
        verify_proof(outside, KEY)


def test_a_bundle_cut_off_anywhere_is_refused() -> None:
    lines = [at for at in range(len(GOOD)) if GOOD[at - 1 : at] == b"\n"]
    all_three = POLICY.replace("two-of-three 2", "two-of-three all")
    assert verify_proof(GOOD, all_three).index == 1
    for at in [*range(0, len(GOOD), 97), *lines, len(GOOD) - 1]:
        with pytest.raises(AnchorError) as refused:
            verify_proof(GOOD[:at], all_three)
        expected = (ProofError, QuorumError)  # a cut that takes whole cosignatures with it
        assert isinstance(refused.value, expected), at
    with pytest.raises(ProofError, match="truncated"):
        verify_proof(GOOD[:-1], KEY)


def test_what_is_no_proof_file_is_refused_as_such() -> None:
    for wrong in (b"", b"\xff\n", b"%PDF-1.7\n", GOOD.replace(b"@v1", b"@v2"), b"\n" * 9):
        with pytest.raises(ProofError):
            verify_proof(wrong, KEY)
    with pytest.raises(ProofError, match="at most 4000000 are read"):
        verify_proof(b"x" * 4_000_001, KEY)
