"""EPCIS documents: what is kept, what is rejected, what is no EPCIS at all."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from orchestration.feeds.common import FeedError
from orchestration.feeds.epcis import EVENTS_SCHEMA, EVENTS_TABLE, read_documents, sniff
from orchestration.feeds.epcis.events import check_event

EVENT: dict[str, Any] = {
    "type": "ObjectEvent",
    "eventTime": "2024-05-01T10:00:00+05:30",
    "eventTimeZoneOffset": "+05:30",
    "action": "OBSERVE",
    "bizStep": "shipping",
    "disposition": "in_transit",
    "epcList": ["urn:epc:id:sscc:9521001.0000000333"],
    "readPoint": {"id": "urn:epc:id:sgln:9521001.00011.0"},
}


def document(*events: Any, **changes: Any) -> dict[str, Any]:
    return {
        "@context": "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld",
        "type": "EPCISDocument",
        "schemaVersion": "2.0",
        "creationDate": "2024-05-02T00:00:00Z",
        "epcisBody": {"eventList": list(events)},
        **changes,
    }


def write(folder: Path, content: Any, name: str = "partner.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def rows_of(reading) -> list[dict[str, Any]]:
    return [row for tables in reading for row in tables[EVENTS_TABLE].to_pylist()]


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in EVENT.items() if key != name}


def test_an_event_becomes_a_row_with_its_time_in_utc(tmp_path: Path) -> None:
    event = {
        **EVENT,
        "eventID": "urn:uuid:374d95fc-9457-4a51-bd6a-0bba133845a8",
        "bizLocation": {"id": "urn:epc:id:sgln:9521001.00012.0"},
    }
    (row,) = rows_of(read_documents([write(tmp_path, document(event))]))
    assert json.loads(row.pop("event")) == event
    assert len(row.pop("event_key")) == 64
    assert row == {
        "source_kind": "capture",
        "source_ref": "partner.json#0",
        "event_type": "ObjectEvent",
        "event_time": datetime(2024, 5, 1, 4, 30, tzinfo=UTC),
        "event_time_zone_offset": "+05:30",
        "event_id": event["eventID"],
        "action": "OBSERVE",
        "biz_step": "shipping",
        "disposition": "in_transit",
        "read_point": "urn:epc:id:sgln:9521001.00011.0",
        "biz_location": "urn:epc:id:sgln:9521001.00012.0",
        "parent_id": None,
    }


@pytest.mark.parametrize(
    "spelling",
    [
        "{}",
        "urn:epcglobal:cbv:bizstep:{}",
        "https://ref.gs1.org/cbv/BizStep-{}",
        "cbv:BizStep-{}",
    ],
)
def test_all_spellings_of_a_business_step_become_one(tmp_path: Path, spelling: str) -> None:
    event = {**EVENT, "bizStep": spelling.format("shipping")}
    (row,) = rows_of(read_documents([write(tmp_path, document(event))]))
    assert row["biz_step"] == "shipping"
    assert json.loads(row["event"])["bizStep"] == event["bizStep"]


@pytest.mark.parametrize(
    "spelling",
    ["{}", "urn:epcglobal:cbv:disp:{}", "https://ref.gs1.org/cbv/Disp-{}", "cbv:Disp-{}"],
)
def test_all_spellings_of_a_disposition_become_one(tmp_path: Path, spelling: str) -> None:
    event = {**EVENT, "disposition": spelling.format("in_transit")}
    (row,) = rows_of(read_documents([write(tmp_path, document(event))]))
    assert row["disposition"] == "in_transit"


def test_a_users_own_business_step_is_kept_as_it_is(tmp_path: Path) -> None:
    event = {**EVENT, "bizStep": "https://example.com/bizStep/inspecting"}
    (row,) = rows_of(read_documents([write(tmp_path, document(event))]))
    assert row["biz_step"] == "https://example.com/bizStep/inspecting"


@pytest.mark.parametrize(
    "term",
    [
        "urn:epcglobal:cbv:bizstep:transforming",
        "https://ref.gs1.org/cbv/BizStep-transforming",
        "https://ref.gs1.org/cbv/Disp-in_transit",
        "Shipping",
        "",
    ],
)
def test_an_unknown_term_in_gs1s_own_namespace_is_refused(term: str) -> None:
    assert check_event({**EVENT, "bizStep": term})


def test_one_bad_event_is_rejected_and_the_good_ones_are_kept(tmp_path: Path) -> None:
    bad = {**EVENT, "action": "CREATE"}
    reading = read_documents([write(tmp_path, document(EVENT, bad, EVENT))])
    assert [row["source_ref"] for row in rows_of(reading)] == ["partner.json#0", "partner.json#2"]
    (rejection,) = reading.rejections
    assert rejection.position == "epcisBody/eventList/1"
    assert rejection.reason == (
        "at epcisBody/eventList/1/action: expected ADD, OBSERVE or DELETE, found 'CREATE'"
    )
    assert json.loads(rejection.record) == bad
    assert reading.report.blocks == 1
    assert reading.report.transactions == 3


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (without("eventTime"), "expected eventTime, found no eventTime"),
        (without("eventTimeZoneOffset"), "found no eventTimeZoneOffset"),
        (without("action"), "found no action"),
        (without("epcList"), "an epcList, a quantityList"),
        ({**EVENT, "epcList": []}, "an epcList, a quantityList"),
        ({**EVENT, "eventTime": "2024-05-01T10:00:00"}, "a date and time with its offset"),
        ({**EVENT, "eventTime": "yesterday"}, "a text of 9 characters"),
        ({**EVENT, "eventTimeZoneOffset": "+15:00"}, "an offset such as +05:30"),
        ({**EVENT, "epcList": ["not a uri"]}, "epcList/0: expected a URI"),
        ({**EVENT, "colour": "red"}, "found the name 'colour'"),
        ({**EVENT, "ilmd": {"a:b": "c"}}, "ADD where there is ilmd"),
        ({**EVENT, "parentID": "urn:x:y"}, "found the name 'parentID'"),
        ({**EVENT, "readPoint": {}}, "expected id, found no id"),
        ({**EVENT, "sensorElementList": [{}]}, "expected sensorReport"),
        (
            {
                **EVENT,
                "sensorElementList": [{"sensorReport": [{"type": "Temperature", "value": "5"}]}],
            },
            "expected a number",
        ),
        ({**EVENT, "quantityList": [{"epcClass": "urn:a:b", "uom": "kg"}]}, "a unit code"),
        ({**EVENT, "type": "ShipmentEvent"}, "expected one of ObjectEvent"),
        (without("type"), "found no type"),
        ("an event", "expected an event object"),
        (None, "found null"),
    ],
)
def test_each_fault_is_said_in_words(event: Any, words: str) -> None:
    assert words in "; ".join(fault.in_words() for fault in check_event(event))


def test_identifiers_and_names_do_not_get_into_messages() -> None:
    event = {**EVENT, "readPoint": {"id": "Asha Devi 9876"}, "epcList": ["12345 67890"]}
    words = "; ".join(fault.in_words() for fault in check_event(event))
    assert "Asha" not in words
    assert "12345" not in words


def test_a_leap_second_is_rejected_because_no_column_can_hold_it(tmp_path: Path) -> None:
    event = {**EVENT, "eventTime": "2016-12-31T23:59:60Z"}
    reading = read_documents([write(tmp_path, document(event))])
    assert rows_of(reading) == []
    assert "a time between the years 1 and 9999" in reading.rejections[0].reason


def test_the_events_of_a_query_document_are_read(tmp_path: Path) -> None:
    body = {"queryResults": {"queryName": "Q", "resultsBody": {"eventList": [EVENT, {}]}}}
    path = write(tmp_path, document(type="EPCISQueryDocument", epcisBody=body))
    reading = read_documents([path])
    assert len(rows_of(reading)) == 1
    assert reading.rejections[0].position == "epcisBody/queryResults/resultsBody/eventList/1"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schemaVersion": "two"}, "at schemaVersion: expected a version such as 2.0, found 'two'"),
        ({"creationDate": "2024-05-02"}, "at creationDate"),
        ({"@context": 5}, "a JSON-LD context"),
        ({"epcisBody": {}}, "expected eventList, found no eventList"),
        ({"epcisBody": {"eventList": {}}}, "a list of events"),
        ({"type": "EPCISQueryDocument"}, "expected queryResults"),
        ({"epcisHeader": {"epcisMasterData": {"vocabularyList": [{}]}}}, "expected type"),
    ],
)
def test_a_document_with_a_faulty_envelope_is_rejected_whole(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    path = write(tmp_path, document(EVENT, **changes))
    reading = read_documents([path])
    assert rows_of(reading) == []
    (rejection,) = reading.rejections
    assert rejection.rule == "epcis.document"
    assert words in rejection.reason
    assert rejection.record == path.read_bytes()


@pytest.mark.parametrize("name", ["@context", "schemaVersion", "creationDate", "epcisBody"])
def test_a_document_without_a_required_field_is_rejected_whole(tmp_path: Path, name: str) -> None:
    content = document(EVENT)
    del content[name]
    reading = read_documents([write(tmp_path, content)])
    assert rows_of(reading) == []
    assert f"expected {name}, found no {name}" in reading.rejections[0].reason


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("", "an empty file"),
        ("not json", "something that is not JSON"),
        (json.dumps(document(EVENT))[:-5], "something that is not JSON"),
        ("[]", "a list of 0"),
        ('{"type": "Shipment"}', "JSON with no type of EPCIS"),
        ('{"type": ["EPCISDocument"]}', "JSON with no type of EPCIS"),
        ('<epcis:EPCISDocument xmlns:epcis="urn:epcglobal:epcis:xsd:1"/>', "an EPCIS XML document"),
    ],
)
def test_what_is_no_epcis_json_at_all_is_a_feed_error(
    tmp_path: Path, content: str, found: str
) -> None:
    with pytest.raises(FeedError) as refused:
        list(read_documents([write(tmp_path, content)]))
    assert refused.value.found == found
    assert "partner.json" in refused.value.where
    assert refused.value.what_to_do


def test_keys_do_not_depend_on_the_name_under_which_a_document_landed(tmp_path: Path) -> None:
    path = write(tmp_path, document(EVENT, EVENT))
    first = rows_of(read_documents([path]))
    second = rows_of(read_documents([path], source_names=["renamed.json"]))
    assert [row["event_key"] for row in first] == [row["event_key"] for row in second]
    assert len({row["event_key"] for row in first}) == 2
    assert second[0]["source_ref"] == "renamed.json#0"


def test_a_document_given_twice_is_read_once(tmp_path: Path) -> None:
    path = write(tmp_path, document(EVENT))
    reading = read_documents([path, write(tmp_path, document(EVENT), "copy.json")])
    assert len(rows_of(reading)) == 1
    assert "copy.json repeats" in reading.report.notes[0]


def test_a_reading_can_be_iterated_again(tmp_path: Path) -> None:
    reading = read_documents([write(tmp_path, document(EVENT, {}))])
    assert rows_of(reading) == rows_of(reading)
    assert len(reading.rejections) == 1


def test_no_events_give_no_tables_and_a_report(tmp_path: Path) -> None:
    reading = read_documents([write(tmp_path, document())])
    assert list(reading) == []
    assert reading.report.blocks == 1
    assert reading.report.is_ok


def test_a_byte_order_mark_is_no_obstacle(tmp_path: Path) -> None:
    path = write(tmp_path, "\ufeff" + json.dumps(document(EVENT)))
    assert sniff(path) == "epcis-json"
    assert len(rows_of(read_documents([path]))) == 1


def test_coverage_says_what_cannot_be_verified(tmp_path: Path) -> None:
    reading = read_documents([write(tmp_path, document(EVENT))])
    list(reading)
    checks = {check.check: check for check in reading.report.checks}
    assert checks["event schema"].covered == 1
    assert not checks["origin of the documents"].is_possible


def test_the_five_event_types_of_the_standard_are_read(tmp_path: Path) -> None:
    common = {k: EVENT[k] for k in ("eventTime", "eventTimeZoneOffset")}
    epc, lot = "urn:epc:id:sgtin:9521001.000001.1", "urn:epc:class:lgtin:9521001.000001.A"
    events = [
        EVENT,
        {
            **common,
            "type": "AggregationEvent",
            "action": "ADD",
            "parentID": epc,
            "childEPCs": [epc],
        },
        {**common, "type": "AssociationEvent", "action": "DELETE", "parentID": epc},
        {
            **common,
            "type": "TransactionEvent",
            "action": "ADD",
            "bizTransactionList": [{"type": "po", "bizTransaction": "urn:epcglobal:cbv:bt:1:2"}],
            "quantityList": [{"epcClass": lot, "quantity": 3}],
        },
        {
            **common,
            "type": "TransformationEvent",
            "inputQuantityList": [{"epcClass": lot}],
            "outputEPCList": [epc],
            "ilmd": {"cbvmda:lotNumber": "A"},
        },
    ]
    reading = read_documents([write(tmp_path, document(*copy.deepcopy(events)))])
    rows = rows_of(reading)
    assert reading.rejections == []
    assert [row["event_type"] for row in rows] == [event["type"] for event in events]
    assert rows[1]["parent_id"] == epc


def test_tables_carry_the_declared_schema(tmp_path: Path) -> None:
    for tables in read_documents([write(tmp_path, document(EVENT))]):
        assert tables[EVENTS_TABLE].schema.equals(EVENTS_SCHEMA)
