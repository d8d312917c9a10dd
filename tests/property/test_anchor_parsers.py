"""Parsers of keys, notes, checkpoints, policies, proofs and bundles under damaged input.

Whatever the bytes are, only the package's own errors may escape, and nothing that was damaged may
verify.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger_anchor.errors import AnchorError
from ledger_anchor.manifest import canonical_json
from ledger_anchor.notes.checkpoint import Checkpoint
from ledger_anchor.notes.keys import SignerKey, VerifierKey
from ledger_anchor.notes.note import Note, parse_signatures
from ledger_anchor.notes.policy import Policy, Trust, as_policy
from ledger_anchor.tlog.proof import LogProof, verify_proof
from tests.anchor_samples import LOG, POLICY, WITNESSES, row_bundle, signed_checkpoint

BUNDLE = row_bundle()
NOTE = LogProof.parse(BUNDLE).checkpoint_note.encode()
SIGNED = len(NOTE.partition(b"\n\n")[0]) + 1  # the text under the signatures
EXTRA = json.loads(LogProof.parse(BUNDLE).extra or b"")
KEY = LOG.verifier()
SMALL_POLICY = Policy.parse(POLICY.rpartition("witness w3")[0] + "group g any w1 w2\nquorum g\n")
PIECES = [b"\n", b"\n\n", b" ", b"+", b"=", b"\xe2\x80\x94 ", b"0", b"9" * 20, b"\x00", b"\xff"]

few = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def damaged(draw: st.DrawFn, good: bytes) -> bytes:
    """The good bytes with one to three places cut, doubled, overwritten or extended."""
    data = good
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 90)))
        piece = draw(
            st.one_of(st.sampled_from(PIECES), st.binary(max_size=3), st.just(data[start:end] * 2))
        )
        data = data[:start] + piece + data[end:]
    return data


def only_ours(parse: Callable[[Any], object], data: object) -> object:
    """What the parser answers, None if it refuses with an error of the package."""
    try:
        return parse(data)
    except AnchorError:
        return None


@few
@given(st.one_of(st.binary(max_size=200), damaged(NOTE)))
def test_notes_and_checkpoints_are_read_or_refused(data: bytes) -> None:
    note = only_ours(Note.parse, data)
    if isinstance(note, Note):
        assert Note.parse(note.format()) == note
        assert note.format().encode() == data, "a note has one spelling"
        only_ours(Checkpoint.parse, note.text)
    only_ours(parse_signatures, data.decode("utf-8", "replace"))


@few
@given(damaged(NOTE))
def test_a_damaged_checkpoint_opens_only_if_the_text_is_the_signed_one(data: bytes) -> None:
    for trust in (KEY, SMALL_POLICY):
        opened = only_ours(as_policy(trust).open, data)
        assert opened is None or data[:SIGNED] == NOTE[:SIGNED]


@few
@given(st.one_of(st.binary(max_size=200), damaged(BUNDLE)))
def test_a_damaged_bundle_proves_nothing_but_the_truth(data: bytes) -> None:
    honest = verify_proof(BUNDLE, KEY)
    trusted: list[Trust] = [KEY, SMALL_POLICY]
    for trust in trusted:
        found = only_ours(lambda raw, trust=trust: verify_proof(raw, trust), data)
        if found is not None:
            assert (found.manifest, found.row) == (honest.manifest, honest.row)  # type: ignore[attr-defined]
    proof = only_ours(LogProof.parse, data)
    if isinstance(proof, LogProof):
        assert proof.format() == data


scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**53) + 1, 2**53 - 1), st.text(max_size=8)
)
anything = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abz", max_size=3), inner),
    max_leaves=6,
)


def places(value: object, path: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    """Every place inside a JSON value."""
    items: list[tuple[object, object]] = []
    if isinstance(value, dict):
        items = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    return [path, *(place for key, inner in items for place in places(inner, (*path, key)))]


@few
@given(st.sampled_from(places(EXTRA)[1:]), anything)
def test_any_field_of_a_bundle_replaced_by_anything_is_refused(
    place: tuple[Any, ...], value: object
) -> None:
    extra = json.loads(json.dumps(EXTRA))
    holder = extra
    for key in place[:-1]:
        holder = holder[key]
    if holder[place[-1]] == value or (place == ("row",) and value is None):
        return
    holder[place[-1]] = value
    proof = LogProof.parse(BUNDLE)
    data = LogProof(proof.index, proof.path, proof.checkpoint_note, canonical_json(extra)).format()
    with pytest.raises(AnchorError):
        verify_proof(data, KEY)


@few
@given(st.one_of(st.binary(max_size=200), damaged(POLICY.encode())))
def test_policies_are_read_and_read_back_or_refused(data: bytes) -> None:
    policy = only_ours(Policy.parse, data)
    if isinstance(policy, Policy):
        assert Policy.parse(policy.format()) == policy
        only_ours(policy.open, NOTE)
    only_ours(as_policy, data.decode("utf-8", "replace"))


words = st.sampled_from(
    ["log", "witness", "group", "quorum", "any", "all", "1", "2", "a", "b", "none", "\n", "\n",
     KEY.format(), WITNESSES[0].verifier().format(), WITNESSES[1].verifier().format()]
)  # fmt: skip


@settings(few, max_examples=150)
@given(st.lists(words, max_size=24))
def test_words_of_a_policy_in_any_order_are_read_and_read_back_or_refused(items: list[str]) -> None:
    policy = only_ours(Policy.parse, " ".join(items))
    if isinstance(policy, Policy):
        assert Policy.parse(policy.format()) == policy
        assert policy.is_met_by(witness.name for witness in policy.witnesses)


@few
@given(
    st.one_of(
        st.text(max_size=60),
        damaged(KEY.format().encode()).map(lambda raw: raw.decode("utf-8", "replace")),
        damaged(WITNESSES[0].format().encode()).map(lambda raw: raw.decode("utf-8", "replace")),
    )
)
def test_keys_are_read_and_read_back_or_refused(text: str) -> None:
    for kind in (VerifierKey, SignerKey):
        key = only_ours(kind.parse, text)
        if key is not None:
            assert kind.parse(key.format()) == key  # type: ignore[attr-defined]


def test_every_single_flipped_bit_of_a_small_checkpoint_is_noticed() -> None:
    note = Note.parse(signed_checkpoint(1, bytes(32)))
    good = Note(note.text, note.signatures[:1]).format().encode()
    assert Checkpoint.open(good, KEY).size == 1
    for at in range(len(good)):
        for bit in range(8):
            data = good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1 :]
            assert only_ours(lambda raw: Checkpoint.open(raw, KEY), data) is None
