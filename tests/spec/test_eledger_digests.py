"""The E-Ledger's digests, recomputed with nothing but hashlib from the words of the specification.

specs/eledger_export.md: what is hashed, in which order, with which separators.
"""

from __future__ import annotations

import hashlib

import pytest

from orchestration.feeds.eledger.digests import (
    GENESIS_PREVIOUS_HASH,
    block_hash,
    merkle_root,
    transaction_id,
    transaction_message,
)
from orchestration.feeds.eledger.extended_json import (
    ExtendedJsonError,
    integer,
    milliseconds,
    rfc3339,
)


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def test_a_transaction_is_five_lines_and_its_id_their_hash() -> None:
    message = transaction_message("RECALL", "9521001000115", "2024-05-01T04:30:00.000Z", '{"é":1}')
    assert message == (
        b"eledger-tx/v1\nRECALL\n9521001000115\n2024-05-01T04:30:00.000Z\n" + '{"é":1}'.encode()
    )
    assert transaction_id(message) == _sha256(message)


def test_the_merkle_root_is_that_of_rfc_6962_over_raw_ids() -> None:
    a, b, c = (bytes([value]) * 32 for value in (1, 2, 3))
    leaves = [_sha256(b"\x00" + entry) for entry in (a, b, c)]
    left = _sha256(b"\x01" + leaves[0] + leaves[1])
    assert merkle_root([a, b, c]) == _sha256(b"\x01" + left + leaves[2])
    assert merkle_root([a]) == leaves[0]


def test_the_root_of_an_empty_block_is_the_hash_of_nothing() -> None:
    assert merkle_root([]) == _sha256(b"")


def test_a_block_is_eight_lines_with_decimal_numbers() -> None:
    digest = block_hash(
        chain="eledger-in",
        shard=3,
        height=1041,
        timestamp="2024-05-01T04:30:00.500Z",
        previous_hash="ab" * 32,
        merkle_root_hex="cd" * 32,
        transaction_count=2,
    )
    lines = ["eledger-block/v1", "eledger-in", "3", "1041", "2024-05-01T04:30:00.500Z"]
    assert digest == _sha256("\n".join([*lines, "ab" * 32, "cd" * 32, "2"]).encode())


def test_the_genesis_block_builds_on_64_zeros() -> None:
    assert GENESIS_PREVIOUS_HASH == "0" * 64


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (3, 3),
        ({"$numberInt": "3"}, 3),
        ({"$numberLong": "9007199254740993"}, 9007199254740993),
        ({"$numberDouble": "3.0"}, 3),
        ({"$numberDecimal": "3"}, 3),
    ],
)
def test_both_spellings_of_a_number_are_read(value: object, number: int) -> None:
    assert integer(value) == number


@pytest.mark.parametrize(
    "value",
    [
        True,
        1.5,
        "3",
        None,
        {},
        {"$numberLong": 3},
        {"$numberInt": "x"},
        {"$numberDouble": "NaN"},
        {"$numberDouble": "Infinity"},
        {"$numberInt": "1", "b": 2},
        {"$numberLong": "9" * 5000},
    ],
)
def test_what_is_no_whole_number_is_refused(value: object) -> None:
    with pytest.raises(ExtendedJsonError, match="a whole number"):
        integer(value)


@pytest.mark.parametrize(
    "value",
    [
        {"$date": "2024-05-01T04:30:00.5Z"},
        {"$date": "2024-05-01T04:30:00.500Z"},
        {"$date": "2024-05-01T10:00:00.500+05:30"},
        {"$date": {"$numberLong": "1714537800500"}},
        {"$date": 1714537800500},
    ],
)
def test_both_spellings_of_a_date_are_one_moment(value: object) -> None:
    assert rfc3339(milliseconds(value)) == "2024-05-01T04:30:00.500Z"


@pytest.mark.parametrize(
    "value",
    [
        "2024-05-01T04:30:00Z",
        {"$date": "2024-05-01T04:30:00"},
        {"$date": "yesterday"},
        {"$date": None},
        {"$date": {"$numberLong": "999999999999999999"}},
        {"$date": "2024-05-01T04:30:00Z", "x": 1},
    ],
)
def test_what_is_no_date_is_refused(value: object) -> None:
    with pytest.raises(ExtendedJsonError, match="expected"):
        milliseconds(value)
