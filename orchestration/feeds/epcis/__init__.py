"""EPCIS 2.0 JSON: capture and query documents, and the check of a single event.

EPCIS 1.2 XML is recognised and refused with a clear message; its reader is a module of its own.
"""

from __future__ import annotations

from orchestration.feeds.epcis.events import (
    EVENTS_SCHEMA,
    EVENTS_TABLE,
    BadEventError,
    EventRows,
    check_event,
)
from orchestration.feeds.epcis.reader import EpcisReading, read_documents, sniff

__all__ = [
    "EVENTS_SCHEMA",
    "EVENTS_TABLE",
    "BadEventError",
    "EpcisReading",
    "EventRows",
    "check_event",
    "read_documents",
    "sniff",
]
