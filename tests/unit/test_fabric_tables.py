"""Values of the raw tables that no ledger in the tests happens to hold."""

from __future__ import annotations

import base64
from hashlib import sha256

import pyarrow as pa
import pytest

from orchestration.feeds.fabric import messages
from orchestration.feeds.fabric.containers import StoredBlock
from orchestration.feeds.fabric.tables import BlockFacts, TableBuilder, is_valid
from orchestration.feeds.fabric.transactions import DecodedTransaction, Writes, decode_envelope


def identity(id_bytes: bytes) -> bytes:
    return messages.SerializedIdentity(mspid="Org1MSP", id_bytes=id_bytes).SerializeToString()


def transaction(**columns) -> DecodedTransaction:
    known = {
        "kind": 3,
        "channel": "c",
        "tx_id": "ab",
        "submitted_at": 0,
        "creator": b"",
        "trailing_bytes": None,
    }
    return DecodedTransaction(**known | columns)


def tables(*transactions: DecodedTransaction, codes: bytes | None = b"\0"):
    builder = TableBuilder("c")
    block = StoredBlock("file", 0, 5, b"", bytes(32), [b""] * len(transactions), [])
    facts = BlockFacts(bytes(32), True, None, codes, None, [])
    builder.add(block, facts, list(enumerate(transactions)))
    return builder.take()


@pytest.mark.parametrize(
    ("code", "expected"),
    [(0, True), (10, False), (11, False), (255, False), (254, None), (None, None)],
)
def test_a_code_commits_refuses_or_says_nothing(code: int | None, expected: bool | None):
    assert is_valid(code) is expected


def test_keys_that_are_not_utf8_are_written_in_base64():
    writes = Writes("ns", None, [b"plain", b"\xff\xfe"], [b"1", b"2"])
    table = tables(transaction(writes=[writes]))["raw_fabric__writes"]
    assert table["key"].to_pylist() == ["plain", "base64:" + base64.b64encode(b"\xff\xfe").decode()]


def test_deletes_and_empty_values_are_told_apart():
    writes = [
        Writes("ns", None, [b"deleted", b"empty"], [None, b""]),
        Writes("ns", "secret", [b"\x01" * 32, b"\x02" * 32], [None, b"\x03" * 32]),
    ]
    rows = tables(transaction(writes=writes))["raw_fabric__writes"].to_pylist()
    assert [(row["is_delete"], row["value"], row["value_hash"]) for row in rows] == [
        (True, None, None),
        (False, b"", None),
        (True, None, None),
        (False, None, "03" * 32),
    ]
    assert [row["write_number"] for row in rows] == [0, 1, 2, 3]


def test_an_identity_without_a_pem_certificate_is_kept_by_its_bytes():
    read = tables(transaction(creator=identity(b"\xff idemix")))
    (row,) = read["raw_fabric__certificates"].to_pylist()
    assert row["certificate_sha256"] == sha256(b"\xff idemix").hexdigest()
    assert row["certificate_pem"].startswith("base64:")


def test_a_certificate_is_named_by_its_der_however_the_pem_is_wrapped():
    der = bytes(range(60))
    text = base64.b64encode(der)
    framed = [
        b"-----BEGIN CERTIFICATE-----\n" + body + b"\n-----END CERTIFICATE-----" + end
        for body, end in ((text, b"\n"), (text[:30] + b"\r\n" + text[30:], b""))
    ]
    read = tables(*(transaction(creator=identity(pem)) for pem in framed), codes=b"\0\0")
    assert read["raw_fabric__certificates"].num_rows == 1
    assert set(read["raw_fabric__transactions"]["creator_certificate_sha256"].to_pylist()) == {
        sha256(der).hexdigest()
    }


def test_a_creator_that_is_no_identity_is_null():
    (row,) = tables(transaction(creator=b"\xff"))["raw_fabric__transactions"].to_pylist()
    assert row["creator_msp_id"] is None


def test_unknown_validity_is_null_everywhere():
    read = tables(transaction(writes=[Writes("ns", None, [b"k"], [b"v"])]), codes=None)
    assert read["raw_fabric__blocks"]["valid_transaction_count"].to_pylist() == [None]
    assert read["raw_fabric__transactions"]["is_valid"].to_pylist() == [None]
    assert read["raw_fabric__writes"]["is_committed"].to_pylist() == [None]


def test_a_value_may_be_any_bytes_and_the_columns_keep_their_types():
    read = tables(transaction(writes=[Writes("ns", None, [b"\0k\0"], [b"\xff\0"])]))
    table = read["raw_fabric__writes"]
    assert table["value"].to_pylist() == [b"\xff\0"]
    assert table["key"].to_pylist() == ["\0k\0"]
    assert table.schema.field("value").type == pa.binary()


@pytest.mark.parametrize("seconds", [-(2**62), 2**62, -62135596801, 253402214400])
def test_a_timestamp_outside_the_years_1_to_9999_is_null(seconds: int):
    header = messages.ChannelHeader(type=1, channel_id="c")
    header.timestamp.seconds = seconds
    payload = messages.Payload()
    payload.header.channel_header = header.SerializeToString()
    envelope = messages.Envelope(payload=payload.SerializeToString())
    assert decode_envelope(envelope.SerializeToString()).submitted_at is None


def test_a_header_type_that_fabric_does_not_define_is_its_number():
    assert transaction(kind=99).header_type == "99"
