"""The EPCIS reader under any input: a FeedError or a reading, and no record lost."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestration.feeds.common import FeedError
from orchestration.feeds.epcis import EVENTS_TABLE, read_documents

GOOD: dict[str, Any] = {
    "type": "ObjectEvent",
    "eventTime": "2024-05-01T10:00:00+05:30",
    "eventTimeZoneOffset": "+05:30",
    "action": "ADD",
    "bizStep": "commissioning",
    "epcList": ["urn:epc:id:sgtin:9521001.000001.1"],
    "quantityList": [{"epcClass": "urn:epc:class:lgtin:9521001.000001.A", "quantity": 5}],
    "readPoint": {"id": "urn:epc:id:sgln:9521001.00011.0"},
    "bizLocation": {"id": "urn:epc:id:sgln:9521001.00011.0"},
    "sensorElementList": [{"sensorReport": [{"type": "Temperature", "value": 5.1, "uom": "CEL"}]}],
    "ilmd": {"cbvmda:lotNumber": "A"},
}
DOCUMENT = {
    "@context": "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld",
    "type": "EPCISDocument",
    "schemaVersion": "2.0",
    "creationDate": "2024-05-02T00:00:00Z",
    "epcisBody": {"eventList": [GOOD, GOOD]},
}
anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=10)
    | st.sampled_from(["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "urn:a:b"]),
    lambda child: (
        st.lists(child, max_size=3) | st.dictionaries(st.text(max_size=6), child, max_size=3)
    ),
    max_leaves=8,
)
once_per_file = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def _read(path) -> tuple[int, Any] | None:
    reading = read_documents([path])
    try:
        rows = sum(tables[EVENTS_TABLE].num_rows for tables in reading)
    except FeedError:
        return None
    return rows, reading


@once_per_file
@given(st.binary(max_size=200))
def test_any_bytes_give_a_feed_error_or_a_reading(tmp_path, body: bytes) -> None:
    path = tmp_path / "any.json"
    path.write_bytes(body)
    _read(path)


@once_per_file
@given(st.data())
def test_any_damage_to_a_documents_bytes_gives_a_feed_error_or_a_reading(tmp_path, data) -> None:
    body = bytearray(json.dumps(DOCUMENT).encode())
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(body) - 1))
        body[position] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.json"
    path.write_bytes(bytes(body[: data.draw(st.integers(len(body) // 2, len(body)))]))
    _read(path)


@once_per_file
@given(st.data())
def test_any_value_at_any_place_is_kept_or_rejected_and_none_is_lost(tmp_path, data) -> None:
    content = copy.deepcopy(DOCUMENT)
    node: Any = content["epcisBody"]["eventList"][0]
    while isinstance(node, dict | list) and node:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        if data.draw(st.booleans()) or not isinstance(node[key], dict | list):
            node[key] = data.draw(anything)
            break
        node = node[key]
    path = tmp_path / "changed.json"
    path.write_text(json.dumps(content))
    outcome = _read(path)
    if outcome is not None:
        rows, reading = outcome
        assert rows + len(reading.rejections) == 2


@once_per_file
@given(st.integers(200, 1500), st.sampled_from("[{"))
def test_values_nested_too_deep_are_rejected_not_fatal(tmp_path, depth: int, opening: str) -> None:
    pair = '{"a:b":' if opening == "{" else "["
    deep = pair * depth + "1" + ("}" if opening == "{" else "]") * depth
    text = json.dumps({**DOCUMENT, "epcisBody": {"eventList": [{**GOOD, "ext:deep": 0}]}})
    path = tmp_path / "deep.json"
    path.write_text(text.replace('"ext:deep": 0', f'"ext:deep": {deep}'))
    outcome = _read(path)
    if outcome is not None:
        rows, reading = outcome
        assert rows + len(reading.rejections) == 1
