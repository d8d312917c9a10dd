"""MongoDB Extended JSON v2: the few types that a block uses, relaxed and canonical alike."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_NUMBER_KEYS = ("$numberInt", "$numberLong", "$numberDouble", "$numberDecimal")
# The years 1 to 9999, which are what a date can be written as in RFC 3339.
FIRST_MILLISECOND = (datetime.min.replace(tzinfo=UTC) - EPOCH) // _MILLISECOND
LAST_MILLISECOND = (datetime.max.replace(tzinfo=UTC) - EPOCH) // _MILLISECOND
# A 64-bit integer has 19 digits and a sign; longer text is not one, and costly to convert.
_LONGEST_NUMBER = 24


class ExtendedJsonError(ValueError):
    """A value that is not of the type asked for; the message says what was expected and found."""


def integer(value: Any) -> int:
    """Return a whole number from ``3``, ``{"$numberInt": "3"}`` or ``{"$numberLong": "3"}``.

    Raises:
        ExtendedJsonError: If it is anything else.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, dict) and len(value) == 1:
        key, text = next(iter(value.items()))
        if key in _NUMBER_KEYS and isinstance(text, str) and len(text) <= _LONGEST_NUMBER:
            return _whole(text)
    raise ExtendedJsonError("expected a whole number, found something else")


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        number = 0.5
    if not number.is_integer():
        raise ExtendedJsonError("expected a whole number, found something else")
    return int(number)


def milliseconds(value: Any) -> int:
    """Return milliseconds since 1970 of ``{"$date": ...}`` in either spelling.

    Args:
        value: ``{"$date": "2024-05-01T10:00:00Z"}`` or ``{"$date": {"$numberLong": "..."}}``.

    Raises:
        ExtendedJsonError: If it is anything else, has no offset, or lies outside the years 1-9999.
    """
    if not isinstance(value, dict) or set(value) != {"$date"}:
        raise ExtendedJsonError('expected {"$date": ...}, found something else')
    date = value["$date"]
    found = _from_text(date) if isinstance(date, str) else integer(date)
    if not FIRST_MILLISECOND <= found <= LAST_MILLISECOND:
        raise ExtendedJsonError("expected a date between the years 1 and 9999, found another")
    return found


def _from_text(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ExtendedJsonError("expected an ISO 8601 date and time, found other text") from error
    if moment.tzinfo is None:
        raise ExtendedJsonError("expected a date and time with its offset, found none")
    return (moment - EPOCH) // _MILLISECOND


def rfc3339(found: int) -> str:
    """Return milliseconds since 1970 as RFC 3339 with three decimals and Z: what is hashed."""
    moment = EPOCH + found * _MILLISECOND
    return moment.isoformat(timespec="milliseconds")[:-6] + "Z"
