"""Protobuf wire primitives: varints and length-delimited fields, bounded on every side.

What belongs here: bytes in and out. What the fields mean is in ``messages`` and ``digests``.
Sources: protobuf encoding guide; ``../shared/specs/fabric_export.md`` sections 1 and 2.
"""

from __future__ import annotations

MAX_VARINT_BYTES = 10
_UINT64_MAX = (1 << 64) - 1


class WireError(ValueError):
    """Bytes that are not what their framing promises."""


def _encode_varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


# Nearly every length and tag of a block is below 2^14: a table makes them one look-up.
_SHORT_LIMIT = 1 << 14
_SHORT = tuple(_encode_varint(value) for value in range(_SHORT_LIMIT))


def encode_varint(value: int) -> bytes:
    """Return ``value`` (0 to 2^64-1) as a base-128 varint."""
    return _SHORT[value] if 0 <= value < _SHORT_LIMIT else _encode_varint(value)


def bytes_field(number: int, payload: bytes) -> bytes:
    """Return a length-delimited field (wire type 2), also when the payload is empty."""
    return encode_varint(number << 3 | 2) + encode_varint(len(payload)) + payload


def text_field(number: int, text: str) -> bytes:
    """Return a string field, or nothing for the empty default."""
    return bytes_field(number, text.encode()) if text else b""


def varint_field(number: int, value: int) -> bytes:
    """Return a varint field, or nothing for the zero default."""
    return encode_varint(number << 3) + encode_varint(value) if value else b""


class Cursor:
    """A position in a byte string that refuses to leave it.

    Raises:
        WireError: From every ``read_*`` that would pass the end, or whose varint is over ten bytes.
    """

    def __init__(self, buffer: bytes) -> None:
        self.buffer = buffer
        self.position = 0

    @property
    def remaining(self) -> int:
        """Number of bytes not read yet."""
        return len(self.buffer) - self.position

    def read_varint(self) -> int:
        """Return the next varint (0 to 2^64-1)."""
        value = 0
        for index in range(MAX_VARINT_BYTES):
            if self.position >= len(self.buffer):
                raise WireError("the bytes end inside a varint")
            byte = self.buffer[self.position]
            self.position += 1
            value |= (byte & 0x7F) << (7 * index)
            if byte < 0x80:
                if value > _UINT64_MAX:
                    raise WireError("a varint is larger than 64 bits")
                return value
        raise WireError(f"a varint is longer than {MAX_VARINT_BYTES} bytes")

    def read_bytes(self) -> bytes:
        """Return the next length-prefixed byte string."""
        length = self.read_varint()
        if length > self.remaining:
            raise WireError(f"a length of {length} bytes passes the end, {self.remaining} are left")
        start = self.position
        self.position += length
        return self.buffer[start : self.position]

    def read_list(self, limit: int) -> list[bytes]:
        """Return a count, at most ``limit``, and that many length-prefixed byte strings."""
        count = self.read_varint()
        if count > limit:
            raise WireError(f"a count of {count} is more than the {limit} that are possible")
        if count > self.remaining:
            raise WireError(f"a count of {count} passes the end, {self.remaining} bytes are left")
        return [self.read_bytes() for _ in range(count)]
