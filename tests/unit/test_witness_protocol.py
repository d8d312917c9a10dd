"""The texts between a log and its witnesses: one spelling each, everything else is refused."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_anchor.errors import WitnessRequestError
from ledger_anchor.notes.checkpoint import Checkpoint
from ledger_anchor.notes.note import Note, Signature
from ledger_anchor.witness.protocol import (
    AddCheckpoint,
    format_cosignatures,
    format_size,
    monitoring_path,
    parse_cosignatures,
    parse_size,
)

HASH = base64.b64encode(bytes(32)) + b"\n"
LINE = "— w1 YWJjZHg=\n".encode()
NOTE = b"example.org/log\n1\n" + HASH + "\n— example.org/log AAAAAAA=\n".encode()


@pytest.mark.shared_data
def test_the_request_that_c2sp_prints_is_read_and_written_the_same(shared_data: Path) -> None:
    body = (shared_data / "vectors" / "c2sp" / "add-checkpoint-request.txt").read_bytes()
    request = AddCheckpoint.parse(body)
    assert request.old_size == 20852014
    assert [digest[:3].hex() for digest in request.proof] == [
        "3e544d",
        "8eb259",
        "e7ea4a",
        "ffa595",
    ]
    note = Note.parse(request.note)
    assert Checkpoint.parse(note.text).size == 20852163
    assert len(note.signatures) == 2
    assert request.format() == body


@given(
    st.integers(0, 2**63 - 1),
    st.lists(st.binary(min_size=32, max_size=32), max_size=63),
)
@settings(max_examples=50, deadline=None)
def test_requests_read_back(old_size: int, proof: list[bytes]) -> None:
    request = AddCheckpoint(old_size, tuple(proof), NOTE)
    assert AddCheckpoint.parse(request.format()) == request


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "expected an old size"),
        (b"old 0\n", "expected an old size"),
        (b"old 0\n\n", "expected an old size"),
        (NOTE, "line 1: expected 'old '"),
        (b"\n\n" + NOTE, "line 1"),
        (b"old\n\n" + NOTE, "line 1"),
        (b"old  1\n\n" + NOTE, "line 1"),
        (b"old 01\n\n" + NOTE, "line 1"),
        (b"old +1\n\n" + NOTE, "line 1"),
        (b"old -1\n\n" + NOTE, "line 1"),
        (b"old 1 \n\n" + NOTE, "line 1"),
        (b"old 1\r\n\n" + NOTE, "line 1"),
        ("old ١\n\n".encode() + NOTE, "line 1"),
        (b"old 9223372036854775808\n\n" + NOTE, "line 1"),
        (b"OLD 1\n\n" + NOTE, "line 1"),
        (b"old 1\n" + HASH[:-2] + b"\n\n" + NOTE, "line 2: not base64"),
        (b"old 1\n" + HASH + b"AAAA\n\n" + NOTE, "line 3: a hash of 3 bytes"),
        (b"old 1\n" + HASH[:-3] + b"B=\n\n" + NOTE, "line 2"),
        (b"old 1\n" + HASH[:-1] + b" \n\n" + NOTE, "line 2"),
        (b"old 1\n" + HASH * 64 + b"\n" + NOTE, "a proof of 64 hashes"),
    ],
)
def test_a_malformed_request_is_refused_by_line(body: bytes, words: str) -> None:
    with pytest.raises(WitnessRequestError, match=words.replace("(", r"\(")):
        AddCheckpoint.parse(body)


def test_sixty_three_hashes_are_read() -> None:
    assert len(AddCheckpoint.parse(b"old 1\n" + HASH * 63 + b"\n" + NOTE).proof) == 63


@pytest.mark.parametrize("size", [0, 7, 2**63 - 1])
def test_sizes_read_back(size: int) -> None:
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize(
    "body",
    [b"", b"7", b"07\n", b"7\n\n", b" 7\n", b"-7\n", b"seven\n", b"\xff\n", b"9" * 30 + b"\n"],
)
def test_a_size_in_another_spelling_is_refused(body: bytes) -> None:
    with pytest.raises(WitnessRequestError):
        parse_size(body)


def test_cosignature_lines_read_back() -> None:
    lines = (Signature("w1", b"abcd", b"x"), Signature("w2", b"efgh", b"y" * 72))
    assert parse_cosignatures(format_cosignatures(lines)) == lines


@pytest.mark.parametrize(
    "body",
    [b"", b"\n", b"cosigned\n", NOTE, LINE[:-1], LINE + b"\n", b"\xff\n", LINE * 101],
)
def test_an_answer_that_is_not_signature_lines_is_refused(body: bytes) -> None:
    with pytest.raises(WitnessRequestError):
        parse_cosignatures(body)


@given(st.binary(max_size=200))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_read_or_refused_in_one_way(data: bytes) -> None:
    for read in (AddCheckpoint.parse, parse_size, parse_cosignatures):
        try:
            read(data)
        except WitnessRequestError:
            continue
        # What was read is written back the same: there is one spelling.
        written = {
            AddCheckpoint.parse: lambda: AddCheckpoint.parse(data).format(),
            parse_size: lambda: format_size(parse_size(data)),
            parse_cosignatures: lambda: format_cosignatures(parse_cosignatures(data)),
        }[read]()
        assert written == data


def test_the_monitoring_path_is_the_hash_of_the_origin() -> None:
    assert monitoring_path("a") == (
        "/ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb/checkpoint"
    )
