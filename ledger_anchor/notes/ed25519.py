"""Ed25519 verification (RFC 8032) in plain Python, for machines without ``cryptography``.

What belongs here: verification and nothing else; nothing secret ever passes through this module,
so it need not run in constant time. What does not: signing. Points and S must be canonical, and
the check is the one without cofactor, as ``cryptography`` does it; some milliseconds a signature.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

KEY_SIZE = 32
SIGNATURE_SIZE = 64

_P = 2**255 - 19
_ORDER = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_SQRT_MINUS_1 = pow(2, (_P - 1) // 4, _P)
_BASE_Y = 4 * pow(5, -1, _P) % _P
_WINDOW = 4

# A point is (X, Y, Z, T) with x = X/Z, y = Y/Z and x*y = T/Z, as in RFC 8032, section 5.1.4.
_Point = tuple[int, int, int, int]
_NEUTRAL: _Point = (0, 1, 1, 0)


def is_canonical_key(public_key: bytes) -> bool:
    """Whether the bytes are the one encoding of their point: y below p, no sign where x is 0.

    OpenSSL reads other spellings too; with them one key would have several ids.
    """
    encoded = int.from_bytes(public_key, "little")
    y, sign = encoded & (2**255 - 1), encoded >> 255
    return len(public_key) == KEY_SIZE and y < _P and not (sign and y in {1, _P - 1})


def verify(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether the signature is this key's over the message.

    Args:
        public_key: 32 bytes.
        signature: 64 bytes: R, then S.
        message: what was signed.

    Returns:
        False for whatever is malformed, too.
    """
    if len(signature) != SIGNATURE_SIZE or not is_canonical_key(public_key):
        return False
    scalar = int.from_bytes(signature[32:], "little")
    point = _decode(public_key)
    if point is None or scalar >= _ORDER:
        return False
    digest = hashlib.sha512(signature[:32] + public_key + message).digest()
    challenge = int.from_bytes(digest, "little") % _ORDER
    x, y, z, t = point
    # R must be S*B - k*A; comparing encodings refuses every other spelling of R.
    found = _sum_of_products(scalar, challenge, (-x % _P, y, z, -t % _P))
    return _encode(found) == signature[:32]


def _decode(encoded: bytes) -> _Point | None:
    """The point of an encoding, None if no point of the curve has that y."""
    number = int.from_bytes(encoded, "little")
    y, sign = number & (2**255 - 1), number >> 255
    above, below = (y * y - 1) % _P, (_D * y * y + 1) % _P
    x = above * pow(below, 3, _P) * pow(above * pow(below, 7, _P), (_P - 5) // 8, _P) % _P
    if (below * x * x - above) % _P:
        x = x * _SQRT_MINUS_1 % _P
        if (below * x * x - above) % _P:
            return None
    if x & 1 != sign:
        x = -x % _P
    return x, y, 1, x * y % _P


def _encode(point: _Point) -> bytes:
    x, y, z, _ = point
    inverse = pow(z, -1, _P)
    x, y = x * inverse % _P, y * inverse % _P
    return (y | (x & 1) << 255).to_bytes(KEY_SIZE, "little")


def _add(left: _Point, right: _Point) -> _Point:
    x1, y1, z1, t1 = left
    x2, y2, z2, t2 = right
    a = (y1 - x1) * (y2 - x2) % _P
    b = (y1 + x1) * (y2 + x2) % _P
    c = 2 * _D * t1 * t2 % _P
    d = 2 * z1 * z2
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _double(point: _Point) -> _Point:
    x, y, z, _ = point
    a, b = x * x, y * y
    h = a + b
    e = h - (x + y) * (x + y)
    g = a - b
    f = (2 * z * z + g) % _P
    e, g, h = e % _P, g % _P, h % _P
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _multiples(point: _Point) -> tuple[_Point, ...]:
    """0 to 15 times a point."""
    table = [_NEUTRAL]
    for _ in range(2**_WINDOW - 1):
        table.append(_add(table[-1], point))
    return tuple(table)


@lru_cache(maxsize=1)
def _base_multiples() -> tuple[_Point, ...]:
    base = _decode(_BASE_Y.to_bytes(KEY_SIZE, "little"))
    return _multiples(base or _NEUTRAL)


def _sum_of_products(base_scalar: int, scalar: int, point: _Point) -> _Point:
    """base_scalar * B + scalar * point, four bits of both at a time."""
    base_table, table = _base_multiples(), _multiples(point)
    total = _NEUTRAL
    for shift in range(256 - _WINDOW, -1, -_WINDOW):
        for _ in range(_WINDOW):
            total = _double(total)
        total = _add(total, base_table[base_scalar >> shift & 15])
        total = _add(total, table[scalar >> shift & 15])
    return total
