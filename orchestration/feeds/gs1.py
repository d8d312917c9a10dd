"""GS1 keys: check digits for whole columns, and EPC URNs and Digital Links turned into keys.

A passed check digit says that a key was not mistyped. It says nothing about whether the key's
company prefix is licensed or its location registered: those are joins with the registry.
Source: specs/epcis_export.md, section 3.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qsl, unquote, urlsplit

import numpy as np
import numpy.typing as npt

# GTIN-8, GTIN-12, GTIN-13 and GLN-13, GTIN-14, SSCC-18: every key whose last digit is a check.
KEY_LENGTHS = frozenset({8, 12, 13, 14, 18})
LONGEST_KEY = max(KEY_LENGTHS)

_ZERO = ord("0")
_DIGITS = re.compile(r"[0-9]+")
_PREFIX = re.compile(r"[0-9]{6,12}")


class Gs1Error(ValueError):
    """A text that names a GS1 key but does not follow the form of that key."""


@dataclass(frozen=True)
class Key:
    """A GS1 key with what stands beside it.

    Attributes:
        kind: ``gtin``, ``sscc``, ``gln`` (a place) or ``pgln`` (a party).
        key: GTIN-14, SSCC-18 or GLN-13, check digit included, as it stands in a Digital Link or
            as computed for an EPC URN (which carries none).
        serial: Serial number of a GTIN; ``None`` for a class and for a pattern of any serial.
        lot: Batch or lot of a GTIN.
        extension: Extension of a GLN; ``None`` where there is none.
    """

    kind: str
    key: str
    serial: str | None = None
    lot: str | None = None
    extension: str | None = None


def check_digits(payloads: Sequence[str] | npt.NDArray[np.str_]) -> npt.NDArray[np.int8]:
    """Compute the check digits of many keys at once.

    Args:
        payloads: Keys without their check digit: ASCII digits, at most 17, lengths may differ.

    Returns:
        One digit 0-9 per payload, in order.

    Raises:
        Gs1Error: If a payload is empty, too long or holds anything but ASCII digits.
    """
    digits, is_digits = _right_aligned(payloads, LONGEST_KEY - 1)
    if not is_digits.all():
        position = int(np.flatnonzero(~is_digits)[0])
        raise Gs1Error(
            f"payload {position}: expected 1 to {LONGEST_KEY - 1} ASCII digits; found other text"
        )
    # Weights 3, 1, 3, 1, ... from the right; the padding on the left weighs nothing.
    weights = np.where(np.arange(digits.shape[1])[::-1] % 2 == 0, 3, 1)
    return ((10 - (digits * weights).sum(axis=1) % 10) % 10).astype(np.int8)


def are_valid_keys(keys: Sequence[str] | npt.NDArray[np.str_]) -> npt.NDArray[np.bool_]:
    """Tell which keys have a length that GS1 knows and the right check digit.

    Args:
        keys: Texts of any content, check digit included; nothing is refused.

    Returns:
        One boolean per key, in order.
    """
    digits, is_digits = _right_aligned(keys, LONGEST_KEY)
    lengths = np.array([len(key) for key in keys], dtype=np.int64)
    weights = np.where(np.arange(digits.shape[1])[::-1] % 2 == 0, 1, 3)
    is_sum_right = (digits * weights).sum(axis=1) % 10 == 0
    return is_digits & np.isin(lengths, list(KEY_LENGTHS)) & is_sum_right


def _right_aligned(
    texts: Sequence[str] | npt.NDArray[np.str_], width: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return digits padded on the left with 0, and which texts are digits that fit."""
    is_digits = np.array([_is_digits(text, width) for text in texts], dtype=np.bool_)
    padded = [
        text.rjust(width, "0") if is_good else "0" * width
        for text, is_good in zip(texts, is_digits, strict=True)
    ]
    flat = np.frombuffer("".join(padded).encode("ascii"), dtype=np.uint8)
    return flat.reshape(len(padded), width).astype(np.int64) - _ZERO, is_digits


def _is_digits(text: str, width: int) -> bool:
    return 0 < len(text) <= width and text.isascii() and text.isdigit()


def with_check_digit(payload: str) -> str:
    """Return one key: ``payload`` followed by its check digit.

    Raises:
        Gs1Error: If the payload is not 1 to 17 ASCII digits.
    """
    if not _is_digits(payload, LONGEST_KEY - 1):
        raise Gs1Error(f"expected 1 to {LONGEST_KEY - 1} ASCII digits; found other text")
    # The same sum as in check_digits, which is twenty times slower for a single key.
    odd, even = payload[::-2], payload[-2::-2]
    total = 3 * sum(map(int, odd)) + sum(map(int, even))
    return f"{payload}{(10 - total % 10) % 10}"


@lru_cache(maxsize=65_536)
def parse(text: str) -> Key | None:
    """Turn an EPC URN or a GS1 Digital Link into its key.

    Args:
        text: For example ``urn:epc:id:sgtin:030001.0012345.11`` or
            ``https://id.gs1.org/01/00300010123455/21/11``. Any host is taken for a Digital Link.

    Returns:
        The key, or ``None`` for text that names none of GTIN, SSCC and GLN.

    Raises:
        Gs1Error: If it names one of them but does not follow its form.
    """
    if text.startswith("urn:epc:"):
        return _from_urn(text)
    if text.startswith(("https://", "http://")):
        return _from_link(text)
    return None


def _from_urn(text: str) -> Key | None:
    match text.split(":", 4):
        case ["urn", "epc", "id", "sgtin", rest]:
            prefix, item, serial = _parts(text, rest, 3)
            return Key("gtin", _gtin(text, prefix, item), serial=serial)
        case ["urn", "epc", "idpat", "sgtin", rest]:
            # "any serial of this item" names a GTIN; "any item of this company" names none.
            prefix, item, serial = _parts(text, rest, 3)
            return Key("gtin", _gtin(text, prefix, item)) if serial == "*" != item else None
        case ["urn", "epc", "class", "lgtin", rest]:
            prefix, item, lot = _parts(text, rest, 3)
            return Key("gtin", _gtin(text, prefix, item), lot=lot)
        case ["urn", "epc", "id", "sscc", rest]:
            prefix, reference = _parts(text, rest, 2)
            return Key("sscc", _sized(text, reference[:1] + prefix + reference[1:], 17))
        case ["urn", "epc", "id", "sgln", rest]:
            prefix, location, extension = _parts(text, rest, 3)
            gln = _sized(text, prefix + location, 12)
            return Key("gln", gln, extension=None if extension == "0" else extension)
        case ["urn", "epc", "id", "pgln", rest]:
            prefix, party = _parts(text, rest, 2)
            return Key("pgln", _sized(text, prefix + party, 12))
    return None


def _parts(text: str, rest: str, count: int) -> list[str]:
    parts = rest.split(".", count - 1)
    if len(parts) != count or not all(parts) or not _PREFIX.fullmatch(parts[0]):
        raise Gs1Error(
            f"expected {count} parts after a company prefix of 6 to 12 digits; "
            f"found a {_scheme(text)} with another form"
        )
    return [*parts[:-1], unquote(parts[-1])]


def _gtin(text: str, prefix: str, item: str) -> str:
    return _sized(text, item[:1] + prefix + item[1:], 13)


def _sized(text: str, payload: str, length: int) -> str:
    if len(payload) != length or not _DIGITS.fullmatch(payload):
        raise Gs1Error(
            f"expected {length} digits in all; found a {_scheme(text)} of {len(payload)} characters"
        )
    return with_check_digit(payload)


def _scheme(text: str) -> str:
    return ":".join(text.split(":", 4)[:4])[:40]


# Application identifiers and the short names that Digital Links may use for them.
_KEY_AIS = {
    "01": ("gtin", 14),
    "gtin": ("gtin", 14),
    "00": ("sscc", 18),
    "sscc": ("sscc", 18),
    "414": ("gln", 13),
    "gln": ("gln", 13),
    "417": ("pgln", 13),
    "partyGln": ("pgln", 13),
    "party": ("pgln", 13),
}
_CANONICAL_HOST = "id.gs1.org"
_QUALIFIER_AIS = {
    "21": "serial",
    "ser": "serial",
    "10": "lot",
    "lot": "lot",
    "254": "extension",
    "glnx": "extension",
}


def _from_link(text: str) -> Key | None:
    try:
        address = urlsplit(text)
    except ValueError as error:
        raise Gs1Error(
            "expected a Digital Link; found an address that is not well formed"
        ) from error
    segments = address.path.split("/")
    for position, segment in enumerate(segments[:-1]):
        if segment not in _KEY_AIS:
            continue
        kind, length = _KEY_AIS[segment]
        key = _link_key(segments[position + 1], length)
        if key is not None:
            return Key(kind, key, **_qualifiers(segments[position + 2 :], address.query))
        # Any address may hold /01/ by chance (a date, a W3C namespace); GS1's own host may not.
        if address.hostname == _CANONICAL_HOST:
            raise Gs1Error(f"expected {length} digits after /{segment}/; found another form")
    return None


def _link_key(digits: str, length: int) -> str | None:
    # Other lengths of GTIN stand in a link padded to 14; older links leave the zeros out.
    is_short_gtin = length == 14 and len(digits) in (8, 12, 13)
    if not _DIGITS.fullmatch(digits) or not (len(digits) == length or is_short_gtin):
        return None
    return digits.rjust(length, "0")


def _qualifiers(segments: Sequence[str], query: str) -> dict[str, str]:
    pairs = list(zip(segments[::2], map(unquote, segments[1::2]), strict=False))
    found = {
        _QUALIFIER_AIS[name]: value for name, value in parse_qsl(query) if name in _QUALIFIER_AIS
    }
    found |= {_QUALIFIER_AIS[name]: value for name, value in pairs if name in _QUALIFIER_AIS}
    return {name: value for name, value in found.items() if value}
