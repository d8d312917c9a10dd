"""The E-Ledger reader under any input: a FeedError or a reading, and no block lost."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestration.feeds.common import FeedError
from orchestration.feeds.eledger import BLOCKS_TABLE, read_exports
from orchestration.feeds.simulate.pharma.chain import Keys, Submission, write_ledger

once_per_file = settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda child: (
        st.lists(child, max_size=3) | st.dictionaries(st.text(max_size=6), child, max_size=3)
    ),
    max_leaves=6,
) | st.sampled_from(
    [{"$numberLong": "9" * 30}, {"$date": "0001-01-01T00:00:00+14:00"}, {"$numberDouble": "-0.0"}]
)


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("ledger") / "export.ndjson"
    payload = '{"type":"ObjectEvent","action":"ADD","eventTime":"2024-01-02T00:00:00Z"}'
    submissions = [
        Submission("9521001000115", 1_704_200_000_000 + number, "EPCIS_EVENT", payload)
        for number in range(12)
    ]
    write_ledger(path, submissions, Keys(1), seed=1, since=date(2024, 1, 1))
    return path.read_bytes()


def _read(path: Path) -> Any:
    reading = read_exports([path])
    try:
        rows = sum(tables[BLOCKS_TABLE].num_rows for tables in reading)
    except FeedError:
        return None
    assert rows == reading.report.blocks
    return reading


@once_per_file
@given(st.binary(max_size=200), st.sampled_from([b"", b"{", b"[", b'{"merkleRoot"']))
def test_any_bytes_give_a_feed_error_or_a_reading(tmp_path, body: bytes, start: bytes) -> None:
    path = tmp_path / "any"
    path.write_bytes(start + body)
    _read(path)


@once_per_file
@given(st.data(), st.booleans())
def test_any_damage_to_an_exports_bytes_gives_a_reading(
    tmp_path, export: bytes, data, is_array: bool
) -> None:
    body = bytearray(b"[" + b",".join(export.splitlines()) + b"]" if is_array else export)
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(body) - 1))
        body[position] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged"
    path.write_bytes(bytes(body[: data.draw(st.integers(len(body) // 2, len(body)))]))
    _read(path)


@once_per_file
@given(st.data())
def test_any_value_at_any_place_is_kept_flagged_or_rejected(tmp_path, export: bytes, data) -> None:
    blocks = [json.loads(line) for line in export.splitlines()]
    number = data.draw(st.integers(0, len(blocks) - 1))
    node: Any = blocks[number]
    while isinstance(node, dict | list) and node:
        keys = list(node) if isinstance(node, dict) else list(range(len(node)))
        key = data.draw(st.sampled_from(keys))
        if data.draw(st.booleans()) or not isinstance(node[key], dict | list):
            node[key] = data.draw(anything)
            break
        node = node[key]
    path = tmp_path / "changed.ndjson"
    path.write_text("".join(json.dumps(block) + "\n" for block in blocks))
    reading = _read(path)
    assert reading is not None
    held_back = sum(r.rule in ("eledger.block", "eledger.fork") for r in reading.rejections)
    assert reading.report.blocks + held_back == len(blocks)


@once_per_file
@given(st.data())
def test_no_line_changed_in_a_hashed_field_goes_unnoticed(tmp_path, export: bytes, data) -> None:
    blocks = [json.loads(line) for line in export.splitlines()]
    full = [number for number, block in enumerate(blocks) if block["transactions"]]
    block = blocks[data.draw(st.sampled_from(full))]
    entry = data.draw(st.sampled_from(block["transactions"]))
    target, key = data.draw(
        st.sampled_from(
            [(block, "merkleRoot"), (block, "hash"), (block, "previousHash"), (block, "chain")]
            + [(entry, name) for name in ("txId", "type", "submitter", "payload")]
        )
    )
    old = target[key]
    position = data.draw(st.integers(0, len(old) - 1))
    new = data.draw(st.sampled_from("0123456789abcdef").filter(lambda c: c != old[position]))
    target[key] = old[:position] + new + old[position + 1 :]
    path = tmp_path / "forged.ndjson"
    path.write_text("".join(json.dumps(block) + "\n" for block in blocks))
    reading = _read(path)
    assert not reading.report.is_ok
