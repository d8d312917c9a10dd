"""Every EPCIS document under the shared data gives the outcome that its manifest states."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestration.feeds.common import FeedError
from orchestration.feeds.epcis import EVENTS_SCHEMA, EVENTS_TABLE, read_documents, sniff
from orchestration.feeds.epcis.reader import EpcisReading

pytestmark = pytest.mark.shared_data

VALID = "valid EPCIS 2.0 capture document"
REFUSED = "must be refused"
# Two documents shipped as valid are refused by GS1's own schema of that commit. By the event
# model (specs/epcis_export.md, section 1) both are right, so they are read:
# - AggregationEvent_with_persistentDisposition: persistentDisposition belongs to every event that
#   has a disposition; GS1's list of an AggregationEvent's fields left it out.
# - TransactionEvent_with_userExtensions: sensorMetadata is optional, and the measured properties
#   are an open list; nothing else in it is unusual.
REFUSED_BY_GS1_ONLY = {
    "AggregationEvent_with_persistentDisposition.json": 2,
    "TransactionEvent_with_userExtensions.json": 1,
}


def _manifest(shared_data: Path, folder: str) -> dict[Path, str]:
    entries = json.loads((shared_data / "MANIFEST.json").read_text())
    return {
        shared_data / entry["file"]: entry["expect"]
        for entry in entries
        if entry["file"].startswith(f"epcis/{folder}/")
    }


def _read(path: Path) -> tuple[int, EpcisReading]:
    reading = read_documents([path])
    rows = 0
    for tables in reading:
        table = tables[EVENTS_TABLE]
        assert table.schema == EVENTS_SCHEMA
        rows += table.num_rows
    return rows, reading


def _events_in(path: Path) -> int:
    return len(json.loads(path.read_text())["epcisBody"]["eventList"])


def test_every_document_shipped_as_valid_is_read_whole(shared_data: Path) -> None:
    manifest = _manifest(shared_data, "valid")
    assert len(manifest) == 26
    for path, expectation in manifest.items():
        assert expectation == VALID or path.name in REFUSED_BY_GS1_ONLY, path.name
        rows, reading = _read(path)
        assert reading.rejections == [], path.name
        assert rows == _events_in(path) > 0, path.name


def test_the_two_documents_refused_only_by_gs1s_schema_are_read(shared_data: Path) -> None:
    for name, events in REFUSED_BY_GS1_ONLY.items():
        rows, _ = _read(shared_data / "epcis" / "valid" / name)
        assert rows == events


def test_every_event_of_the_invalid_documents_is_refused_with_its_place(shared_data: Path) -> None:
    manifest = _manifest(shared_data, "invalid")
    assert len(manifest) == 8
    for path, expectation in manifest.items():
        assert expectation == REFUSED
        rows, reading = _read(path)
        assert rows == 0, path.name
        assert len(reading.rejections) == _events_in(path)
        for number, rejection in enumerate(reading.rejections):
            assert rejection.source_file == path.name
            assert rejection.position == f"epcisBody/eventList/{number}"
            assert rejection.rule == "epcis.schema"
            assert "expected" in rejection.reason
            assert "found" in rejection.reason
            assert json.loads(rejection.record)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ObjectEvent_with_invalid_action", "/action: expected ADD, OBSERVE or DELETE"),
        ("ObjectEvent_with_quantity_as_text", "/quantityList/0/quantity: expected a number"),
        ("ObjectEvent_without_identifier_list", "expected an epcList, a quantityList"),
        (
            "ObjectEvent_with_ilmd_field_without_namespace",
            "/ilmd: expected a name with a namespace",
        ),
        (
            "ObjectEvent_with_invalid_certificationInfo",
            "/certificationInfo: expected a certificate",
        ),
        ("Combination_of_non_standard_bizStep_and_disposition", "expected a bizStep"),
        ("Combination_of_events_with_missing_mandatory_fields", "expected action, found no action"),
        ("ObjectEvent_without_action_and_eventTime", "expected eventTime, found no eventTime"),
    ],
)
def test_the_reason_says_what_is_wrong(shared_data: Path, name: str, reason: str) -> None:
    _, reading = _read(shared_data / "epcis" / "invalid" / f"{name}.json")
    assert reason in reading.rejections[0].reason


def test_the_documents_of_the_event_hash_vectors_are_read_whole(shared_data: Path) -> None:
    paths = sorted((shared_data / "epcis" / "event_hash").glob("*.jsonld"))
    assert len(paths) == 5
    for path in paths:
        rows, reading = _read(path)
        assert reading.rejections == [], path.name
        assert rows == _events_in(path)


def test_xml_is_recognised_and_refused_in_so_many_words(shared_data: Path) -> None:
    paths = sorted((shared_data / "epcis").glob("*/*.xml"))
    assert len(paths) == 4
    for path in paths:
        assert sniff(path) == "epcis-xml"
        with pytest.raises(FeedError, match="EPCIS XML"):
            list(read_documents([path]))


def test_every_json_document_is_recognised_by_its_content(shared_data: Path) -> None:
    for path in (*_manifest(shared_data, "valid"), *_manifest(shared_data, "invalid")):
        assert sniff(path) == "epcis-json"
    assert sniff(shared_data / "MANIFEST.json") is None
