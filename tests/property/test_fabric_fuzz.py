"""No bytes make the Fabric reader fail otherwise than by FeedError, and framing round-trips."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from orchestration.feeds.common import FeedError
from orchestration.feeds.fabric import read_channel, sniff
from orchestration.feeds.fabric.containers import BLOCK_STORE, FETCHED_BLOCK, read_blocks
from orchestration.feeds.fabric.transactions import EnvelopeError, decode_envelope
from orchestration.feeds.fabric.wire import Cursor, WireError, encode_varint
from orchestration.feeds.simulate.fabric.blockfiles import block_record
from orchestration.feeds.simulate.fabric_network import SimTransaction, SimWrite, write_channel

FUZZ = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
HASHES = st.binary(min_size=32, max_size=32)
NUMBERS = st.integers(0, 2**63 - 1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    moment = datetime(2024, 5, 1, tzinfo=UTC)
    transactions = [
        SimTransaction(moment, "f", (b"x",), [SimWrite(f"k{n}", b"v")], creator=0) for n in range(4)
    ]
    folder = tmp_path_factory.mktemp("store")
    return write_channel(folder, transactions, seed=1, clients=1).files[0].read_bytes()


def read_whatever(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    try:
        reading = read_channel([path])
        rows = sum(tables["raw_fabric__blocks"].num_rows for tables in reading)
    except FeedError:
        return
    assert reading.report.blocks == rows
    assert all(each["errors"] for each in reading.report.errors)


@FUZZ
@given(content=st.binary(max_size=400))
def test_random_bytes_are_an_error_or_a_report(content: bytes, tmp_path: Path):
    read_whatever(tmp_path / "random", content)


@FUZZ
@given(data=st.data())
def test_a_real_store_with_bytes_changed_is_an_error_or_a_report(
    data: st.DataObject, store: bytes, tmp_path: Path
):
    changed = bytearray(store)
    for _ in range(data.draw(st.integers(1, 5))):
        changed[data.draw(st.integers(0, len(store) - 1))] = data.draw(st.integers(0, 255))
    read_whatever(tmp_path / "changed", bytes(changed))


@FUZZ
@given(data=st.data())
def test_a_real_store_with_a_piece_cut_out_is_an_error_or_a_report(
    data: st.DataObject, store: bytes, tmp_path: Path
):
    start = data.draw(st.integers(0, len(store)))
    end = data.draw(st.integers(start, len(store)))
    read_whatever(tmp_path / "cut", store[:start] + store[end:])


@FUZZ
@given(
    number=NUMBERS,
    data_hash=HASHES,
    envelopes=st.lists(st.binary(max_size=80), max_size=4),
    metadata=st.lists(st.binary(max_size=40), max_size=6),
)
def test_blocks_of_garbage_in_whole_records_are_read_with_rejections(
    number: int, data_hash: bytes, envelopes: list[bytes], metadata: list[bytes], tmp_path: Path
):
    record = block_record(number, data_hash, b"", envelopes, metadata)
    path = tmp_path / "garbage"
    path.write_bytes(record)
    assert sniff(path) == BLOCK_STORE
    reading = read_channel([path])
    (tables,) = reading
    rejected = [each for each in reading.rejections if each.rule == "fabric.envelope"]
    assert len(rejected) + tables["raw_fabric__transactions"].num_rows == len(envelopes)
    (block,) = read_blocks(path, BLOCK_STORE, "garbage")
    assert (block.number, block.envelopes, block.metadata) == (number, envelopes, metadata)


@FUZZ
@given(content=st.binary(max_size=200))
@example(b"")
@example(b"\x0a\x00\x12\x00")
def test_an_envelope_decodes_or_says_which_layer_does_not(content: bytes):
    message = "expected"
    try:
        decode_envelope(content)
    except EnvelopeError as error:
        message = str(error)
    assert message.startswith("expected")


@FUZZ
@given(content=st.binary(max_size=200))
def test_a_block_message_of_any_bytes_is_a_block_or_a_broken_record(content: bytes, tmp_path: Path):
    path = tmp_path / "block"
    path.write_bytes(content)
    assert len(list(read_blocks(path, FETCHED_BLOCK, "block"))) == 1


@given(value=st.integers(0, 2**64 - 1))
@example(2**14 - 1)
@example(2**14)
def test_a_varint_reads_back_as_it_was_written(value: int):
    raw = encode_varint(value)
    cursor = Cursor(raw)
    assert cursor.read_varint() == value
    assert cursor.remaining == 0
    with pytest.raises(WireError):
        Cursor(raw[:-1]).read_varint()
