"""Reads EPCIS 2.0 JSON documents: envelope, events, rejections and report.

The check of one event belongs to ``events.py``; what the events mean belongs to dbt.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema_rs
import orjson
import pyarrow as pa

from orchestration.feeds.common import (
    CheckCoverage,
    FeedError,
    Rejection,
    VerificationReport,
    name_of,
)
from orchestration.feeds.epcis.events import (
    EVENTS_TABLE,
    BadEventError,
    EventRows,
    Fault,
    faults_of,
    kind_of,
    load_schema,
    sha256_key,
)

JSON_KIND = "epcis-json"
XML_KIND = "epcis-xml"
# How much of a file its kind is recognised by: a document's type stands in its first lines.
SNIFFED_BYTES = 65_536
# One Arrow table holds about this many events (some 30 MB of JSON).
EVENTS_PER_TABLE = 20_000

_CONTAINER = "EPCIS 2.0 JSON documents"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_JSON_MARKS = (b'"EPCISDocument"', b'"EPCISQueryDocument"', b'"epcisBody"')
_XML_MARKS = (b"EPCISDocument", b"EPCISQueryDocument", b"urn:epcglobal:epcis")
_WHAT_TO_DO = "Ask the sender for an EPCIS 2.0 JSON document, or remove the file from the input."


def sniff(path: Path) -> str | None:
    """Recognise an EPCIS document by its content.

    Args:
        path: A landed file.

    Returns:
        ``epcis-json`` for EPCIS 2.0 JSON, ``epcis-xml`` for EPCIS XML (which this reader
        refuses), ``None`` for anything else.

    Raises:
        OSError: If the file cannot be opened.
    """
    with path.open("rb") as file:
        head = file.read(SNIFFED_BYTES)
    text = head.removeprefix(_BYTE_ORDER_MARK).lstrip()
    if text.startswith(b"{") and any(mark in text for mark in _JSON_MARKS):
        return JSON_KIND
    if text.startswith(b"<") and any(mark in text for mark in _XML_MARKS):
        return XML_KIND
    return None


def read_documents(
    paths: Sequence[Path], *, source_names: Sequence[str] | None = None
) -> EpcisReading:
    """Read EPCIS 2.0 JSON documents (EPCISDocument and EPCISQueryDocument).

    Events that do not pass the schema become rejections with their path in the document; the good
    events of the same document are kept. A document whose envelope is faulty is rejected whole.

    Args:
        paths: Landed files, one document each.
        source_names: Names under which the files are cited, in the same order; by default their
            file names.

    Returns:
        A reading whose tables are ``raw_epcis__events``. Iterating it raises FeedError at a file
        that is not an EPCIS 2.0 JSON document at all, and OSError at one that cannot be opened.
    """
    names = list(source_names) if source_names is not None else [name_of(path) for path in paths]
    return EpcisReading(list(zip(paths, names, strict=True)))


@dataclass(frozen=True)
class _Document:
    name: str
    digest: str
    content: dict[str, Any]
    events_path: str
    events: list[Any]


class EpcisReading:
    """One pass over EPCIS documents; see ``orchestration.feeds.common.Reading``."""

    def __init__(self, sources: Sequence[tuple[Path, str]]) -> None:
        self._sources = sources
        self.report = VerificationReport(container=_CONTAINER, network="")
        self.rejections: list[Rejection] = []
        self._digests: set[str] = set()

    def __iter__(self) -> Iterator[Mapping[str, pa.Table]]:
        self.report = VerificationReport(container=_CONTAINER, network="")
        self.rejections = []
        self._digests = set()
        rows = EventRows()
        for path, name in self._sources:
            self._read(path, name, rows)
            if len(rows) >= EVENTS_PER_TABLE:
                yield {EVENTS_TABLE: rows.take_table()}
        if len(rows):
            yield {EVENTS_TABLE: rows.take_table()}
        self._finish()

    def _read(self, path: Path, name: str, rows: EventRows) -> None:
        body = path.read_bytes()
        document = _parse(body, name)
        if document.digest in self._digests:
            self.report.notes.append(f"{name} repeats a document already read; it was skipped.")
            return
        self._digests.add(document.digest)
        self.report.blocks += 1
        faults = _envelope_faults(document.content)
        if faults:
            words = "; ".join(fault.in_words() for fault in faults)
            self.rejections.append(Rejection(name, "document", "epcis.document", words, body))
            return
        for number, event in enumerate(document.events):
            self._add(document, number, event, rows)

    def _add(self, document: _Document, number: int, event: object, rows: EventRows) -> None:
        self.report.transactions += 1
        try:
            rows.add(
                event,
                event_key=sha256_key(f"{document.digest}#{number}"),
                source_kind="capture",
                source_ref=f"{document.name}#{number}",
            )
        except BadEventError as error:
            place = f"{document.events_path}/{number}"
            self.rejections.append(
                Rejection(
                    document.name, place, "epcis.schema", error.in_words(place), _raw_bytes(event)
                )
            )

    def _finish(self) -> None:
        refused = [rejection.rule for rejection in self.rejections]
        self.report.checks = [
            CheckCoverage(
                "document envelope",
                is_possible=True,
                covered=self.report.blocks,
                failed=refused.count("epcis.document"),
            ),
            CheckCoverage(
                "event schema",
                is_possible=True,
                covered=self.report.transactions,
                failed=refused.count("epcis.schema"),
                note="Tracient's own schema of EPCIS 2.0; refused events are in quarantine.",
            ),
            CheckCoverage(
                "origin of the documents",
                is_possible=False,
                note="Capture documents carry no signature: who wrote them cannot be verified.",
            ),
        ]


def _raw_bytes(event: object) -> bytes:
    try:
        return orjson.dumps(event)
    except orjson.JSONEncodeError:
        # Nested deeper than orjson writes (254); repr still loses nothing.
        return repr(event).encode("utf-8", "backslashreplace")


def _parse(body: bytes, name: str) -> _Document:
    text = body.removeprefix(_BYTE_ORDER_MARK)
    if text.lstrip().startswith(b"<") and any(mark in text for mark in _XML_MARKS):
        raise FeedError(
            where=name,
            expected="an EPCIS 2.0 JSON document",
            found="an EPCIS XML document",
            what_to_do="EPCIS XML (1.2) is not read yet: ask the sender for EPCIS 2.0 JSON.",
        )
    try:
        content = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise FeedError(
            where=f"{name}, line {error.lineno}, column {error.colno}",
            expected="an EPCIS 2.0 JSON document",
            found="an empty file" if not text.strip() else "something that is not JSON",
            what_to_do=_WHAT_TO_DO + " A file cut off in transfer ends like this, too.",
        ) from error
    return _document(content, name, hashlib.sha256(body).hexdigest())


def _document(content: object, name: str, digest: str) -> _Document:
    kind = content.get("type") if isinstance(content, dict) else None
    if not isinstance(content, dict) or kind not in ("EPCISDocument", "EPCISQueryDocument"):
        found = "JSON with no type of EPCIS" if isinstance(content, dict) else kind_of(content)
        raise FeedError(
            where=name,
            expected="a JSON object of type EPCISDocument or EPCISQueryDocument",
            found=found,
            what_to_do=_WHAT_TO_DO,
        )
    steps = ["epcisBody"]
    if kind == "EPCISQueryDocument":
        steps += ["queryResults", "resultsBody"]
    steps += ["eventList"]
    node: Any = content
    for step in steps:
        node = node.get(step) if isinstance(node, dict) else None
    events = node if isinstance(node, list) else []
    return _Document(name, digest, content, "/".join(steps), events)


@cache
def _document_schema() -> tuple[dict[str, Any], jsonschema_rs.Draft202012Validator]:
    schema = load_schema("document")
    return schema, jsonschema_rs.Draft202012Validator(schema, validate_formats=True)


def _envelope_faults(content: dict[str, Any]) -> list[Fault]:
    schema, validator = _document_schema()
    return faults_of(_without_events(content), schema, validator)


def _without_events(content: dict[str, Any]) -> dict[str, Any]:
    """Return a shallow copy whose event list is empty: only the envelope is to be checked."""
    copy = dict(content)
    body = content.get("epcisBody")
    if isinstance(body, dict):
        copy["epcisBody"] = _emptied(body)
    return copy


def _emptied(node: dict[str, Any]) -> dict[str, Any]:
    emptied = dict(node)
    if isinstance(node.get("eventList"), list):
        emptied["eventList"] = []
    for step in ("queryResults", "resultsBody"):
        if isinstance(node.get(step), dict):
            emptied[step] = _emptied(node[step])
    return emptied
