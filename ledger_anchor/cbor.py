"""Deterministic CBOR (RFC 8949, section 4.2.1) of exactly the values a table cell can hold.

What belongs here: bytes for null, booleans, integers, decimals, floats, text, blobs, dates,
timestamps and arrays of them, and the strict way back. What does not: what a column's type is
(``columns``), salts and digests (``rows``). Two different values never share bytes, and one value
has one encoding; the decoder refuses every other spelling of it.
"""

from __future__ import annotations

import datetime as dt
import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from ledger_anchor.errors import CborError

NULL = b"\xf6"
FALSE = b"\xf4"
TRUE = b"\xf5"
NAN = b"\xf9\x7e\x00"
_EPOCH = dt.date(1970, 1, 1)
_EPOCH_UTC = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_TAG_DATE = 100  # RFC 8943: days since 1970-01-01
_MAX_DEPTH = 16
_MAX_EXPONENT = 9_999  # far beyond any column's scale, and within what Decimal can carry
_MAX_BIGNUM_BYTES = 1_024  # Python refuses to print integers of more than 4,300 digits


@dataclass(frozen=True)
class Tagged:
    """A CBOR tag this package reads but gives no other meaning."""

    tag: int
    value: object


def head(major: int, argument: int) -> bytes:
    """First bytes of an item: major type 0-7 and its argument in the fewest bytes."""
    lead = major << 5
    if argument < 24:
        return bytes((lead | argument,))
    for width, (bits, code) in enumerate(((8, "B"), (16, "H"), (32, "I"), (64, "Q"))):
        if argument < 1 << bits:
            return bytes((lead | 24 + width,)) + struct.pack(">" + code, argument)
    raise CborError("an argument beyond 64 bits cannot stand in a head")


def encode_int(value: int) -> bytes:
    """Integer in the fewest bytes; beyond 64 bits a bignum (tags 2 and 3)."""
    major, magnitude = (0, value) if value >= 0 else (1, -1 - value)
    if magnitude < 1 << 64:
        return head(major, magnitude)
    raw = magnitude.to_bytes((magnitude.bit_length() + 7) // 8, "big")
    return head(6, 2 + major) + encode_bytes(raw)


def encode_bytes(value: bytes) -> bytes:
    """Byte string."""
    return head(2, len(value)) + value


def encode_text(value: str | bytes) -> bytes:
    """Text as stored: no normalisation; ``bytes`` are taken as UTF-8 that was checked before."""
    raw = value.encode() if isinstance(value, str) else value
    return head(3, len(raw)) + raw


def encode_float(value: float) -> bytes:
    """Shortest of half, single and double precision that is exact; one NaN; -0.0 stays."""
    if math.isnan(value):
        return NAN
    for lead, code in ((b"\xf9", ">e"), (b"\xfa", ">f")):
        try:
            packed = struct.pack(code, value)
        except OverflowError:
            continue
        if struct.unpack(code, packed)[0] == value:
            return lead + packed
    return b"\xfb" + struct.pack(">d", value)


def encode_decimal(unscaled: int, scale: int) -> bytes:
    """Decimal fraction, tag 4 [-scale, unscaled]; never normalised: 1.50 is not 1.5."""
    return decimal_prefix(scale) + encode_int(unscaled)


def decimal_prefix(scale: int) -> bytes:
    """Bytes before the unscaled integer of every decimal of one scale."""
    return head(6, 4) + head(4, 2) + encode_int(-scale)


def encode_date(days: int) -> bytes:
    """Date, tag 100: days since 1970-01-01."""
    return head(6, _TAG_DATE) + encode_int(days)


def encode_array(items: Sequence[bytes]) -> bytes:
    """Array of items that are encoded already."""
    return head(4, len(items)) + b"".join(items)


def encode(value: object) -> bytes:
    """Encode a Python value by its own type.

    Args:
        value: None, bool, int, float, str, bytes, datetime.date, an aware datetime.datetime
            (microseconds since 1970 UTC), decimal.Decimal (scale from its exponent), or a list
            or tuple of such.

    Returns:
        Deterministic CBOR.

    Raises:
        CborError: for any other type, and for naive times.
    """
    if value is None:
        return NULL
    if isinstance(value, bool):
        return TRUE if value else FALSE
    if isinstance(value, dt.datetime):
        return encode_int(microseconds(value))
    for kind, encoder in _ENCODERS:
        if isinstance(value, kind):
            return encoder(value)
    raise CborError(f"no deterministic encoding for a {type(value).__name__}")


def microseconds(value: dt.datetime) -> int:
    """Microseconds since 1970-01-01 UTC, exactly.

    Raises:
        CborError: if the time has no zone.
    """
    if value.tzinfo is None:
        raise CborError("a time without a zone has no place on the UTC line")
    return (value - _EPOCH_UTC) // dt.timedelta(microseconds=1)


def _encode_decimal(value: Decimal) -> bytes:
    sign, digits, exponent = value.as_tuple()
    if not isinstance(exponent, int):
        raise CborError("a decimal that is not a number")
    unscaled = int("".join(map(str, digits)) or "0")
    return encode_decimal(-unscaled if sign else unscaled, -exponent)


_ENCODERS: tuple[tuple[Any, Callable[[Any], bytes]], ...] = (
    (int, encode_int),
    (float, encode_float),
    (str, encode_text),
    ((bytes, bytearray, memoryview), lambda value: encode_bytes(bytes(value))),
    (dt.date, lambda value: encode_date((value - _EPOCH).days)),
    (Decimal, _encode_decimal),
    ((list, tuple), lambda value: encode_array([encode(item) for item in value])),
)


def decode(data: bytes) -> object:
    """Decode one item and refuse every spelling but the deterministic one.

    Args:
        data: the bytes of exactly one item.

    Returns:
        None, bool, int, float, str, bytes, list, datetime.date (tag 100), Decimal (tag 4) or
        Tagged. Timestamps come back as integers: their unit is in the schema.

    Raises:
        CborError: for malformed, non-deterministic, or trailing bytes, and for maps.
    """
    value, end = _decode(data, 0, 0)
    if end != len(data):
        raise CborError(f"{len(data) - end} bytes after the end of the item")
    return value


def _decode(data: bytes, at: int, depth: int) -> tuple[object, int]:
    if at >= len(data):
        raise CborError(f"the item ends early, at byte {at}")
    if depth > _MAX_DEPTH:
        raise CborError(f"more than {_MAX_DEPTH} levels of nesting")
    major, info = data[at] >> 5, data[at] & 31
    if major == 7:
        return _decode_simple(data, at, info)
    argument, at = _decode_argument(data, at + 1, info)
    if major < 2:
        return (argument if major == 0 else -1 - argument), at
    if major < 4:
        return _decode_string(data, at, argument, is_text=major == 3)
    if major == 4:
        items = []
        for _ in range(argument):
            item, at = _decode(data, at, depth + 1)
            items.append(item)
        return items, at
    if major == 6:
        inner, end = _decode(data, at, depth + 1)
        return _untag(argument, inner), end
    raise CborError("maps are not a value of a cell")


def _decode_argument(data: bytes, at: int, info: int) -> tuple[int, int]:
    if info < 24:
        return info, at
    if info > 27:
        raise CborError("indefinite lengths and reserved heads are not deterministic")
    width = 1 << (info - 24)
    raw = data[at : at + width]
    if len(raw) != width:
        raise CborError(f"the item ends early, at byte {len(data)}")
    argument = int.from_bytes(raw, "big")
    if argument < 24 or (width > 1 and argument < 1 << (4 * width)):
        raise CborError("a number is written with more bytes than it needs")
    return argument, at + width


def _decode_string(data: bytes, at: int, length: int, *, is_text: bool) -> tuple[object, int]:
    raw = data[at : at + length]
    if len(raw) != length:
        raise CborError(f"the item ends early, at byte {len(data)}")
    if not is_text:
        return raw, at + length
    try:
        return raw.decode(), at + length
    except UnicodeDecodeError as error:
        raise CborError(f"text that is not UTF-8, at byte {at + error.start}") from error


def _decode_simple(data: bytes, at: int, info: int) -> tuple[object, int]:
    constants = {20: False, 21: True, 22: None}
    if info in constants:
        return constants[info], at + 1
    codes = {25: (">e", 2), 26: (">f", 4), 27: (">d", 8)}
    if info not in codes:
        raise CborError(f"simple value {info} is not a value of a cell")
    code, width = codes[info]
    raw = data[at + 1 : at + 1 + width]
    if len(raw) != width:
        raise CborError(f"the item ends early, at byte {len(data)}")
    value: float = struct.unpack(code, raw)[0]
    if encode_float(value) != data[at : at + 1 + width]:
        raise CborError("a float is not written in its shortest exact form")
    return value, at + 1 + width


def _untag(tag: int, inner: object) -> object:
    if tag in {2, 3} and isinstance(inner, bytes):
        magnitude = int.from_bytes(inner, "big")
        if magnitude < 1 << 64 or inner[:1] == b"\0":
            raise CborError("a bignum that is not needed")
        if len(inner) > _MAX_BIGNUM_BYTES:
            raise CborError(f"an integer of more than {_MAX_BIGNUM_BYTES} bytes")
        return magnitude if tag == 2 else -1 - magnitude
    if tag == 4 and isinstance(inner, list) and [type(part) for part in inner] == [int, int]:
        exponent, unscaled = inner
        if abs(exponent) > _MAX_EXPONENT:
            raise CborError(f"a decimal with more than {_MAX_EXPONENT} digits after the point")
        digits = tuple(int(digit) for digit in str(abs(unscaled)))
        return Decimal((int(unscaled < 0), digits, exponent))
    if tag == _TAG_DATE and isinstance(inner, int) and not isinstance(inner, bool):
        try:
            return _EPOCH + dt.timedelta(days=inner)
        except OverflowError as error:
            raise CborError("a date outside the years 1 to 9999") from error
    return Tagged(tag, inner)
