"""One EPCIS 2.0 event: checked against the schema and laid out as a row of ``raw_epcis__events``.

Both the capture documents (``reader.py``) and the E-Ledger's payloads go through this module.
Reading files does not belong here.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import resources
from typing import Any

import jsonschema_rs
import orjson
import pyarrow as pa

from orchestration.feeds.epcis import vocabulary

EVENTS_TABLE = "raw_epcis__events"
EVENT_TYPES = (
    "ObjectEvent",
    "AggregationEvent",
    "AssociationEvent",
    "TransactionEvent",
    "TransformationEvent",
)
EVENTS_SCHEMA = pa.schema(
    [
        pa.field("event_key", pa.string(), nullable=False),
        pa.field("source_kind", pa.string(), nullable=False),
        pa.field("source_ref", pa.string(), nullable=False),
        pa.field("event_type", pa.string(), nullable=False),
        pa.field("event_time", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("event_time_zone_offset", pa.string(), nullable=False),
        pa.field("event_id", pa.string()),
        pa.field("action", pa.string()),
        pa.field("biz_step", pa.string()),
        pa.field("disposition", pa.string()),
        pa.field("read_point", pa.string()),
        pa.field("biz_location", pa.string()),
        pa.field("parent_id", pa.string()),
        pa.field("event", pa.string(), nullable=False),
    ]
)

# A reason names the first faults only: one wrong field of a long list would repeat for pages.
MAX_FAULTS = 3
# Fields whose values are terms of a vocabulary: they may be quoted, other values may not, because
# an identifier or a name does not belong in a message.
_QUOTABLE = frozenset(
    {"type", "action", "bizStep", "disposition", "uom", "exception", "reason", "set", "unset"}
    | {"eventTimeZoneOffset", "schemaVersion"}
)
_QUOTED_LENGTH = 60
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Fault:
    """One thing wrong with an event or a document.

    Attributes:
        path: Where, as a path inside the event, for example ``quantityList/0/quantity``.
        expected: What the schema asks for.
        found: What is there, without identifiers.
    """

    path: str
    expected: str
    found: str

    def in_words(self, base: str = "") -> str:
        """Return the fault as one clause, with ``base`` put before its path."""
        where = "/".join(part for part in (base, self.path) if part) or "the document"
        return f"at {where}: expected {self.expected}, found {self.found}"


class BadEventError(ValueError):
    """An event that passes for JSON but not for an EPCIS event."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = list(faults)
        super().__init__(self.in_words())

    def in_words(self, base: str = "") -> str:
        """Return the first faults as one sentence."""
        return "; ".join(fault.in_words(base) for fault in self.faults[:MAX_FAULTS])


def load_schema(name: str) -> dict[str, Any]:
    """Return the project's own JSON Schema ``name`` (``event`` or ``document``)."""
    text = resources.files("orchestration.feeds.epcis").joinpath("schema", f"{name}.json")
    return orjson.loads(text.read_bytes())


@cache
def _event_schema(event_type: str) -> tuple[dict[str, Any], jsonschema_rs.Draft202012Validator]:
    # A validator per type: an error then speaks of the event's own fields, not of five branches.
    definitions = load_schema("event")["$defs"]
    schema = {**definitions[event_type], "$defs": definitions}
    return schema, jsonschema_rs.Draft202012Validator(schema, validate_formats=True)


def check_event(event: object) -> list[Fault]:
    """Return what is wrong with one EPCIS event; an empty list means that it is good.

    Args:
        event: The event as parsed JSON.
    """
    if not isinstance(event, dict):
        return [Fault("", "an event object", kind_of(event))]
    event_type = event.get("type")
    if event_type not in EVENT_TYPES:
        found = _found("type", event_type) if "type" in event else "no type"
        return [Fault("type", "one of " + ", ".join(EVENT_TYPES), found)]
    schema, validator = _event_schema(event_type)
    return faults_of(event, schema, validator)


def faults_of(
    instance: object, schema: Mapping[str, Any], validator: jsonschema_rs.Draft202012Validator
) -> list[Fault]:
    """Return the first faults of one parsed JSON value against ``schema``."""
    try:
        if validator.is_valid(instance):
            return []
        errors = validator.iter_errors(instance)
        return [fault for _, fault in zip(range(MAX_FAULTS), _faults(errors, schema), strict=False)]
    except (ValueError, RecursionError):
        # The validator refuses values nested deeper than it can follow.
        return [Fault("", "values nested less deeply", "nesting too deep to check")]


def _faults(errors: Any, schema: Mapping[str, Any]) -> Iterator[Fault]:
    for error in errors:
        path = "/".join(str(part) for part in error.instance_path)
        if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.Required):
            yield Fault(path, error.kind.property, f"no {error.kind.property}")
            continue
        expected = _expected(schema, error.schema_path)
        if isinstance(error.kind, jsonschema_rs.ValidationErrorKind.PropertyNames):
            name = error.kind.error.instance
            yield Fault(path, expected, f"the name {str(name)[:_QUOTED_LENGTH]!r}")
        else:
            yield Fault(path, expected, _found_at(error.instance_path, error.instance))


def _expected(schema: Mapping[str, Any], path: Sequence[str | int]) -> str:
    node: Any = schema
    words = "a value that the schema allows"
    for part in path:
        try:
            node = node[part]
        except (KeyError, IndexError, TypeError):
            break
        if isinstance(node, dict) and isinstance(node.get("description"), str):
            words = node["description"]
    return words


def _found_at(path: Sequence[str | int], value: object) -> str:
    names = [part for part in path if isinstance(part, str)]
    return _found(names[-1] if names else "", value)


def _found(name: str, value: object) -> str:
    is_quotable = name in _QUOTABLE and isinstance(value, str) and value.isascii()
    return repr(value) if is_quotable and len(str(value)) <= _QUOTED_LENGTH else kind_of(value)


def kind_of(value: object) -> str:
    """Return in words what kind of JSON value this is, without saying the value."""
    match value:
        case None:
            return "null"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return f"a text of {len(value)} characters"
        case list():
            return f"a list of {len(value)}"
        case _:
            return "an object without the fields expected"


def sha256_key(text: str) -> str:
    """Return the SHA-256 of ``text`` as 64 hex digits: the form of every ``event_key``."""
    return hashlib.sha256(text.encode()).hexdigest()


class EventRows:
    """Collects checked events as rows of ``raw_epcis__events``."""

    def __init__(self) -> None:
        self._rows: list[tuple[Any, ...]] = []

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, event: object, *, event_key: str, source_kind: str, source_ref: str) -> None:
        """Check one event and add it.

        Args:
            event: The event as parsed JSON.
            event_key: 64 hex digits, unique to the event's place.
            source_kind: ``capture`` or ``eledger``.
            source_ref: Where the event stands in its source.

        Raises:
            BadEventError: If the event is not a valid EPCIS 2.0 event; nothing was added.
        """
        faults = check_event(event)
        if faults or not isinstance(event, dict):
            raise BadEventError(faults)
        self._rows.append((event_key, source_kind, source_ref, *_columns_of(event)))

    def take_table(self) -> pa.Table:
        """Return the rows collected so far as an Arrow table and start afresh."""
        columns = list(zip(*self._rows, strict=True)) or [()] * len(EVENTS_SCHEMA)
        self._rows = []
        arrays = [
            pa.array(column, type=field.type)
            for column, field in zip(columns, EVENTS_SCHEMA, strict=True)
        ]
        return pa.Table.from_arrays(arrays, schema=EVENTS_SCHEMA)


def _columns_of(event: dict[str, Any]) -> tuple[Any, ...]:
    return (
        event["type"],
        _microseconds(event["eventTime"]),
        event["eventTimeZoneOffset"],
        event.get("eventID"),
        event.get("action"),
        vocabulary.biz_step(event.get("bizStep")),
        vocabulary.disposition(event.get("disposition")),
        event.get("readPoint", {}).get("id"),
        event.get("bizLocation", {}).get("id"),
        event.get("parentID"),
        _compact(event),
    )


def _microseconds(text: str) -> int:
    """Return microseconds since 1970 of an RFC 3339 time; digits beyond are cut off."""
    try:
        moment = datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        # A leap second, or a year that UTC pushes out of 1-9999: both pass the schema's format.
        fault = Fault("eventTime", "a time between the years 1 and 9999", "one out of range")
        raise BadEventError([fault]) from error
    return (moment - _EPOCH) // _MICROSECOND


def _compact(event: dict[str, Any]) -> str:
    try:
        return orjson.dumps(event).decode()
    except orjson.JSONEncodeError as error:
        fault = Fault("", "values nested less than 255 deep", "nesting too deep to store")
        raise BadEventError([fault]) from error
