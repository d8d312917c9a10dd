"""Bounds of the wire primitives, and digests against published encodings."""

from __future__ import annotations

import pytest

from orchestration.feeds.fabric.digests import header_bytes, version_of
from orchestration.feeds.fabric.wire import Cursor, WireError, varint_field


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "end inside a varint"),
        (b"\x80", "end inside a varint"),
        (b"\x80" * 9 + b"\x02", "larger than 64 bits"),
        (b"\x80" * 10 + b"\x01", "longer than 10 bytes"),
    ],
)
def test_a_varint_out_of_bounds_is_refused(raw: bytes, message: str):
    with pytest.raises(WireError, match=message):
        Cursor(raw).read_varint()


def test_a_length_past_the_end_is_refused():
    with pytest.raises(WireError, match="a length of 5 bytes passes the end, 2 are left"):
        Cursor(b"\x05ab").read_bytes()


def test_a_count_past_the_end_is_refused_before_anything_is_allocated():
    with pytest.raises(WireError, match="a count of 127 passes the end, 1 bytes are left"):
        Cursor(b"\x7f\x00").read_list(limit=1000)
    with pytest.raises(WireError, match="more than the 3 that are possible"):
        Cursor(b"\x04\x00\x00\x00\x00").read_list(limit=3)


def test_default_values_are_not_written():
    assert varint_field(1, 0) == b""
    assert varint_field(1, 300) == b"\x08\xac\x02"


@pytest.mark.parametrize(
    ("number", "integer"),
    [
        (0, "020100"),
        (127, "02017f"),
        (128, "02020080"),
        (255, "020200ff"),
        (256, "02020100"),
        (32768, "0203008000"),
        (2**63 - 1, "02087fffffffffffffff"),
    ],
)
def test_block_numbers_are_minimal_der_integers(number: int, integer: str):
    encoded = header_bytes(number, b"", bytes(32))
    assert encoded[2:].hex() == integer + "0400" + "0420" + "00" * 32
    assert encoded[:2] == bytes((0x30, len(encoded) - 2))


@pytest.mark.parametrize(
    ("block", "transaction", "expected"),
    [(1, 0, "3203010100"), (256, 5, "320502010001" + "05"), (0, 0, "32020000")],
)
def test_versions_are_order_preserving(block: int, transaction: int, expected: str):
    assert version_of(block, transaction).hex() == expected
