"""The compiled engine gives the oracle's bytes on any table, and the oracle those of the spec."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import struct
from array import array
from decimal import Decimal
from pathlib import Path
from typing import Any

import cbor2
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_anchor import Field
from ledger_anchor.errors import TableError, UnsupportedTypeError
from ledger_anchor.row_commit.columns import TableSource, logical_type, plain_array
from ledger_anchor.row_commit.engines.fast import FastEngine
from ledger_anchor.row_commit.engines.plain import PlainEngine
from ledger_anchor.row_commit.rows import SaltPlan

EDGE_INTEGERS = [0, 1, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**63 - 1]
EDGE_FLOATS = [0.0, -0.0, 1.5, 2.0**-24, 2.0**-25, 2.0**-14, 65504.0, 65505.0, 2.0**-149, 5e-324]
EDGE_FLOATS += [float("inf"), float("-inf"), float("nan"), 3.4028234663852886e38, 1 / 3, 1e300]

integers = st.one_of(
    st.sampled_from(EDGE_INTEGERS + [-1 - value for value in EDGE_INTEGERS]),
    st.integers(-(2**63), 2**63 - 1),
)
floats = st.one_of(
    st.sampled_from(EDGE_FLOATS), st.floats(), st.floats(width=32), st.floats(width=16)
)
decimals = st.integers(-(10**38 - 1), 10**38 - 1).map(lambda n: Decimal(f"{n}e-6"))
KINDS: dict[str, tuple[Any, pa.DataType]] = {
    "bool": (st.booleans(), pa.bool_()),
    "int8": (st.integers(-128, 127), pa.int8()),
    "int64": (integers, pa.int64()),
    "uint64": (st.integers(0, 2**64 - 1), pa.uint64()),
    "float64": (floats, pa.float64()),
    "float32": (st.floats(width=32), pa.float32()),
    "text": (st.text(max_size=80), pa.string()),
    "long text": (st.integers(0, 600).map(lambda n: "a" * n), pa.large_string()),
    "blob": (st.binary(max_size=80), pa.binary()),
    "fixed blob": (st.binary(min_size=5, max_size=5), pa.binary(5)),
    "decimal": (decimals, pa.decimal128(38, 6)),
    "date": (st.dates(dt.date(1900, 1, 1)), pa.date32()),
    "timestamp": (st.integers(-(10**15), 10**16), pa.timestamp("us", "UTC")),
    "milliseconds": (st.integers(-(10**12), 10**13), pa.timestamp("ms")),
}


@st.composite
def tables(draw: st.DrawFn) -> list[tuple[Field, Any]]:
    """Plain columns of up to 20 rows, some of them slices, some without any value."""
    rows = draw(st.integers(1, 20))
    columns = []
    for number, kind in enumerate(
        draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=5))
    ):
        values, arrow_type = KINDS[kind]
        items = draw(st.lists(st.none() | values, min_size=rows + 2, max_size=rows + 2))
        whole = pa.array(items, arrow_type, from_pandas=False)
        item = Field(f"c{number}", logical_type(whole.type, "c"))
        columns.append((item, plain_array(whole, item).slice(1, rows)))
    return columns


def everything(engine: Any, columns: list[tuple[Field, Any]], ranks: array[int]) -> list[Any]:
    """What the hashing methods make of a batch."""
    rows = len(ranks)
    index = array("Q", [number * 5 % 3 for number in range(rows)])
    prepared = engine.prepare_keys([bytes([number]) * 32 for number in range(2)])
    prepared.extend([b"\2" * 32])
    salts = SaltPlan(b"0123456789abcdef", prepared, lambda _batch: index)
    keyed = engine.keyed_rows(b"k" * 32, columns, rows)
    hashes = engine.hash_batch(salts, columns, ranks, index, b"c" * 32)
    return [len(prepared), keyed, hashes, engine.hash_pairs(keyed)]


def column(values: list[Any], arrow_type: pa.DataType, name: str = "c") -> tuple[Field, Any]:
    whole = pa.array(values, arrow_type, from_pandas=False)
    item = Field(name, logical_type(whole.type, name))
    return item, plain_array(whole, item)


def assert_same(columns: list[tuple[Field, Any]], first: int = 10**9) -> None:
    ranks = array("Q", range(first, first + len(columns[0][1])))
    assert everything(FastEngine(), columns, ranks) == everything(PlainEngine(), columns, ranks)


@settings(max_examples=60, deadline=None)
@given(tables(), st.data())
def test_both_engines_give_the_same_bytes(
    columns: list[tuple[Field, Any]], data: st.DataObject
) -> None:
    rows = len(columns[0][1])
    ranks = array("Q", data.draw(st.permutations(range(10**9, 10**9 + rows))))
    assert everything(FastEngine(), columns, ranks) == everything(PlainEngine(), columns, ranks)


def test_cells_of_every_length_around_the_edges_of_blocks_are_right() -> None:
    lengths = [*range(50), *range(90, 110), 254, 255, 256, 257, 511, 65_535, 65_536]
    values = ["x" * length for length in lengths]
    for name in ("c", "n" * 20, "n" * 36, "n" * 37, "n" * 300):
        assert_same([column(values, pa.string(), name)])


@pytest.mark.parametrize("rows", [1, 2, 15, 16, 17, 31, 33, 100])
def test_batches_of_any_size_fill_their_lanes(rows: int) -> None:
    texts = [None if row % 5 == 4 else "é" * (row * 7 % 40) for row in range(rows)]
    assert_same([column(texts, pa.string()), column([*range(rows)], pa.int64(), "d")], 2**40)


def test_tables_of_many_columns_and_of_none_but_nulls_are_right() -> None:
    for count in (1, 2, 3, 7, 24, 300):
        assert_same([column([number, None], pa.int16(), f"c{number}") for number in range(count)])
    assert_same([column([None, None], pa.null())])


def test_numbers_around_every_width_of_their_encoding_are_right() -> None:
    edges = [0, 23, 24, 2**8, 2**16, 2**32, 2**63 - 1, 2**64 - 1, 2**64, 2**72, 2**96, 10**38 - 1]
    around = sorted({sign * edge + one for edge in edges for sign in (1, -1) for one in (-1, 0, 1)})
    wide = [Decimal(f"{number}e-6") for number in around if abs(number) < 10**38]
    assert_same([column(wide, pa.decimal128(38, 6))])
    assert_same([column([number for number in around if -(2**63) <= number < 2**63], pa.int64())])
    assert_same([column([number for number in around if 0 <= number < 2**64], pa.uint64())])
    halves = [struct.unpack(">e", bits.to_bytes(2, "big"))[0] for bits in range(0, 65_536, 7)]
    assert_same(
        [column([*halves, *(value * 1.001 for value in halves), *EDGE_FLOATS], pa.float64())]
    )


@pytest.mark.parametrize("arrow_type", [pa.string(), pa.binary()])
def test_a_dictionary_gives_the_bytes_of_its_values(arrow_type: pa.DataType) -> None:
    texts = [None if row % 7 == 3 else f"{row % 5}" * (row % 30) for row in range(200)]
    texts += ["x" * 3000, "y", None, "é"]
    values = texts if arrow_type == pa.string() else [one and one.encode() for one in texts]
    item, plain = column(values, arrow_type)
    encoded = pa.array(values, arrow_type).dictionary_encode()
    for start, size in ((0, 204), (3, 190), (31, 1), (0, 0)):
        kept = plain_array(encoded, item, keeps_dictionary=True).slice(start, size)
        assert pa.types.is_dictionary(kept.type)
        short = plain.slice(start, size)
        engine = FastEngine()
        assert engine.keyed_rows(b"k" * 32, [(item, kept)], size) == PlainEngine().keyed_rows(
            b"k" * 32, [(item, short)], size
        )
        assert engine.numbering().number(item, kept) == engine.numbering().number(item, short)


@pytest.mark.parametrize("engine", [PlainEngine(), FastEngine()])
def test_values_get_one_number_each_whatever_batch_they_come_in(engine: Any) -> None:
    numbering = engine.numbering()
    seen: dict[object, int] = {None: 0}
    for size in (3, 700, 5000):
        values = [None if row % 97 == 5 else f"{row * row % (size * 2)}" for row in range(size)]
        found, fresh = numbering.number(*column(values, pa.string()))
        assert [values[row] for row in fresh] == [
            value for value in dict.fromkeys(values) if value not in seen
        ]
        for row in fresh:
            seen[values[row]] = len(seen)
        assert found.tolist() == [seen[value] for value in values]
    assert len(numbering) == len(seen) - 1


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 60), st.integers(0, 5), st.integers(0, 3), st.randoms())
def test_both_engines_move_records_alike(rows: int, width: int, shift: int, chance: Any) -> None:
    places = array("Q", chance.sample(range(100, 100 + rows), rows))
    wide, narrow = chance.randbytes(rows * (width + 8)), chance.randbytes(rows * width)
    repeated = array("Q", [chance.randrange(2**64 - 4, 2**64) for _ in range(rows)])
    made = []
    for engine in (PlainEngine(), FastEngine()):
        target = bytearray(rows * (width + 8))
        engine.scatter(target, places, wide, width + 8, 100)
        order = engine.order(repeated)
        ascending = array("Q", engine.take(repeated.tobytes(), order, 8))
        groups = engine.split(places, shift, (rows >> shift) + 1, [wide, narrow], 100)
        back = [engine.unpack(group, (width + 8, width)) for group in groups] if width else []
        digests = b"".join(hashlib.sha256(bytes([row])).digest() for row in range(rows))
        made.append([target, order, ascending, engine.repeats(ascending), groups, back])
        made[-1] += [engine.heads(digests), engine.count(7, rows)]
    assert made[0] == made[1]


def test_a_cell_digest_is_made_as_the_specification_says() -> None:
    item = Field("wage_paise", "int")
    engine = PlainEngine()
    key, snapshot = b"k" * 32, bytes(range(16))
    salts = SaltPlan(snapshot, engine.prepare_keys([key]), lambda _batch: array("Q", [0]))
    made = engine.cell_digests(salts, [(item, pa.array([41250]))], array("Q", [7]), array("Q", [0]))
    salt = hmac.new(key, snapshot + struct.pack(">QH", 7, 0), hashlib.sha256).digest()[:16]
    message = cbor2.dumps([salt, 41250, "wage_paise"], canonical=True)
    assert made == hashlib.sha256(message).digest()


def committed(array_: pa.Array) -> tuple[str, list[bytes]]:
    item = Field("c", logical_type(array_.type, "c"))
    plain = plain_array(array_, item)
    rows = PlainEngine().keyed_rows(b"k" * 32, [(item, plain)], len(plain))
    return item.logical_type, [rows[at : at + 32] for at in range(0, len(rows), 32)]


def test_storage_does_not_matter_only_values_do() -> None:
    assert committed(pa.array([1, None], pa.int8())) == committed(pa.array([1, None], pa.uint64()))
    text = pa.array(["a", None, "bb"])
    assert committed(text) == committed(text.dictionary_encode())
    assert committed(text) == committed(text.cast(pa.large_string()))
    assert committed(text) == committed(text.cast(pa.string_view()))
    moment = pa.array([1_000, None], pa.timestamp("ms"))
    assert committed(moment) == committed(moment.cast(pa.timestamp("us", "UTC")))
    assert committed(moment) == committed(moment.cast(pa.timestamp("ns", "Asia/Kolkata")))
    day = pa.array([dt.date(2024, 1, 1)], pa.date32())
    assert committed(day) == committed(day.cast(pa.date64()))
    half = pa.array([1.5, 0.1], pa.float32())
    assert committed(half) == committed(half.cast(pa.float64()))


def test_values_that_look_alike_stay_apart() -> None:
    alike = [
        pa.array(["1"]),
        pa.array([b"1"]),
        pa.array([1]),
        pa.array([1.0]),
        pa.array([True]),
        pa.array([Decimal("1.0")], pa.decimal128(5, 1)),
        pa.array([Decimal("1.00")], pa.decimal128(5, 2)),
        pa.array([dt.date(1970, 1, 2)]),
        pa.array([None], pa.string()),
        pa.array([""]),
    ]
    assert len({committed(item)[1][0] for item in alike}) == len(alike)


@pytest.mark.parametrize(
    "arrow_type",
    [
        pa.list_(pa.int64()),
        pa.struct([("a", pa.int64())]),
        pa.map_(pa.string(), pa.int64()),
        pa.time64("us"),
        pa.duration("s"),
        pa.month_day_nano_interval(),
        pa.decimal256(60, 2),
    ],
)
def test_types_without_a_definition_are_refused_by_column(arrow_type: pa.DataType) -> None:
    with pytest.raises(UnsupportedTypeError, match="column wages"):
        logical_type(arrow_type, "wages")


def test_a_timestamp_finer_than_a_microsecond_is_refused_and_not_rounded() -> None:
    fine = pa.array([1_000_000_001], pa.timestamp("ns"))
    with pytest.raises(TableError, match="column at"):
        plain_array(fine, Field("at", "timestamp"))


def test_parts_with_other_columns_and_files_that_are_no_tables_are_refused(tmp_path: Path) -> None:
    one, two, three = (tmp_path / f"{name}.parquet" for name in "abc")
    pq.write_table(pa.table({"id": [1], "x": ["a"]}), one)
    pq.write_table(pa.table({"id": [1], "x": [1]}), two)
    three.write_bytes(b"PAR1 not a table")
    with pytest.raises(TableError, match="x int, x text"):
        TableSource("d", [one, two])
    with pytest.raises(TableError, match="not a readable Parquet file"):
        TableSource("d", [three])
    with pytest.raises(TableError, match="no file"):
        TableSource("d", [])
