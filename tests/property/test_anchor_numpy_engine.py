"""The engine of numpy gives the oracle's bytes, with OpenSSL's functions and without them."""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
import importlib.util
import random
import struct
from array import array
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_anchor import Field
from ledger_anchor.errors import TableError
from ledger_anchor.row_commit.columns import logical_type, plain_array
from ledger_anchor.row_commit.engines import choice as engine
from ledger_anchor.row_commit.engines import numpy_hashers, openssl_loop
from ledger_anchor.row_commit.engines.numpy_engine import NumpyEngine
from ledger_anchor.row_commit.engines.numpy_hashers import HashlibHasher, OpenSslHasher, best_hasher
from ledger_anchor.row_commit.engines.numpy_messages import Runs, matrix_runs, room
from ledger_anchor.row_commit.engines.openssl_loop import OpenSslLoop, open_loop
from ledger_anchor.row_commit.engines.plain import PlainEngine
from ledger_anchor.row_commit.rows import SaltPlan
from ledger_anchor.tree import hash_pairs

KEYS = [bytes([number]) * 32 for number in range(5)]
SNAPSHOT = bytes(range(16))

needs_loop = pytest.mark.skipif(
    open_loop() is None, reason="this Python's OpenSSL is not a library of its own"
)


def engines() -> list[Any]:
    """The oracle, the numpy engine as it is chosen here, and the one without OpenSSL."""
    return [PlainEngine(), NumpyEngine(), NumpyEngine(HashlibHasher())]


def column(values: Sequence[object], arrow_type: pa.DataType, name: str = "c") -> tuple[Field, Any]:
    whole = pa.array(values, arrow_type, from_pandas=False)
    item = Field(name, logical_type(whole.type, name))
    return item, plain_array(whole, item)


def everything(made_by: Any, columns: list[tuple[Field, Any]], first_row: int = 10**9) -> list[Any]:
    """What the hashing methods make of a batch."""
    rows = len(columns[0][1])
    numbers = array("Q", random.Random(rows).sample(range(first_row, first_row + 2 * rows), rows))
    index = array("Q", [row * 7 % len(KEYS) for row in range(rows)])
    prepared = made_by.prepare_keys(KEYS[:2])
    prepared.extend(KEYS[2:])
    salts = SaltPlan(SNAPSHOT, prepared, lambda _batch: index)
    keyed = made_by.keyed_rows(b"k" * 32, columns, rows)
    hashes = made_by.hash_batch(salts, columns, numbers, index, b"c" * 32)
    cells = made_by.cell_digests(salts, columns, numbers, index)
    return [len(prepared), keyed, *hashes, cells, made_by.hash_pairs(keyed)]


def assert_same(columns: list[tuple[Field, Any]], first_row: int = 10**9) -> None:
    oracle, *others = (everything(one, columns, first_row) for one in engines())
    for made in others:
        assert made == oracle


EDGES = [0, 1, 23, 24, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**63 - 1]
FLOATS = [
    0.0,
    -0.0,
    1.5,
    2.0**-24,
    2.0**-25,
    2.0**-14,
    65504.0,
    65505.0,
    65519.9,
    2.0**-149,
    5e-324,
]
FLOATS += [float("inf"), float("-inf"), float("nan"), 3.4028234663852886e38, 1 / 3, 1e300, -0.1]
WIDE = [10**38 - 1, 2**64 - 1, 2**64, 2**72 - 1, 2**72, 2**120, 10**19]
KINDS: dict[str, tuple[Callable[[random.Random], object], pa.DataType]] = {
    "bool": (lambda r: r.random() < 0.5, pa.bool_()),
    "int8": (lambda r: r.randint(-128, 127), pa.int8()),
    "int64": (lambda r: r.choice([r.choice(EDGES), -1 - r.choice(EDGES)]), pa.int64()),
    "uint64": (lambda r: r.choice([*EDGES, 2**63, 2**64 - 1]), pa.uint64()),
    "float64": (lambda r: r.choice([*FLOATS, r.gauss(0, 1), r.randint(0, 4096)]), pa.float64()),
    "bits": (
        lambda r: struct.unpack("<d", r.getrandbits(64).to_bytes(8, "little"))[0],
        pa.float64(),
    ),
    "float32": (lambda r: struct.unpack("<f", r.randbytes(4))[0], pa.float32()),
    "text": (lambda r: "é" * r.randint(0, 30), pa.string()),
    "long text": (lambda r: "a" * r.choice([0, 23, 24, 255, 256, 257, 600]), pa.large_string()),
    "document": (lambda r: "a" * r.choice([1, 1000, 70_000]), pa.string()),
    "code": (lambda r: r.choice(["KA", "MH"]), pa.dictionary(pa.int32(), pa.string())),
    "blob": (lambda r: r.randbytes(r.randint(0, 40)), pa.binary()),
    "fixed blob": (lambda r: r.randbytes(5), pa.binary(5)),
    "decimal": (
        lambda r: Decimal(f"{r.choice([1, -1]) * r.choice([*EDGES, *WIDE])}e-6"),
        pa.decimal128(38, 6),
    ),
    "date": (lambda r: dt.date(1900, 1, 1) + dt.timedelta(r.randint(0, 90_000)), pa.date32()),
    "timestamp": (lambda r: r.randint(-(10**15), 10**16), pa.timestamp("us", "UTC")),
    "nothing": (lambda _: None, pa.null()),
}


@st.composite
def tables(draw: st.DrawFn) -> list[tuple[Field, Any]]:
    """Columns of up to 60 rows: slices of longer ones, with few, many or only nulls."""
    rows = draw(st.integers(1, 60))
    chance = random.Random(draw(st.integers(0, 2**32)))
    columns = []
    for number, kind in enumerate(
        draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=4))
    ):
        make, arrow_type = KINDS[kind]
        nulls = draw(st.sampled_from([0.0, 0.0, 0.3, 1.0]))
        values = [None if chance.random() < nulls else make(chance) for _ in range(rows + 2)]
        item, whole = column(values, arrow_type, f"c{number}" * draw(st.sampled_from([1, 1, 9])))
        columns.append((item, whole.slice(1, rows)))
    return columns


@settings(max_examples=50, deadline=None)
@given(tables())
def test_any_table_gives_the_oracles_bytes(columns: list[tuple[Field, Any]]) -> None:
    assert_same(columns)


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_each_kind_of_column_gives_the_oracles_bytes_in_a_larger_batch(kind: str) -> None:
    make, arrow_type = KINDS[kind]
    chance = random.Random(kind)
    rows = 40 if kind == "document" else 700
    values = [None if row % 11 == 3 else make(chance) for row in range(rows)]
    assert_same([column(values, arrow_type)])


def test_messages_of_every_length_around_the_edges_of_blocks_are_right() -> None:
    lengths = [*range(14, 60), *range(76, 84), *range(95, 108), 188, 189, 190, 253, 254, 255]
    lengths += [256, 257, 300, 511, 512, 513, 5000]
    together = column(["x" * length for length in lengths], pa.string(), "wage")
    assert_same([together])
    for length in range(30, 48):  # all of one length: the layout has one branch for these
        assert_same([column(["x" * length] * 3, pa.string(), "wage")])


def test_batches_larger_than_the_records_worked_on_at_once_are_right() -> None:
    rows = 4096 + 3
    chance = random.Random(8)
    values = [chance.choice([None, chance.randrange(10**9), 3]) for _ in range(rows)]
    texts = ["y" * (100 if row % 4099 == 5 else row % 40) for row in range(rows)]
    assert_same([column(values, pa.int64()), column(texts, pa.string(), "d")])


def test_the_last_row_numbers_and_columns_beyond_255_have_their_own_salts() -> None:
    columns = [column([True, None], pa.bool_(), f"c{number}") for number in range(258)]
    assert_same(columns, first_row=2**64 - 7)


def test_a_batch_without_rows_gives_nothing() -> None:
    for one in engines():
        made = everything(one, [column([], pa.int64()), column([], pa.string())])
        assert made == [5, b"", b"", b"", (0, 0, 0, 0), b"", b""]


def test_a_cell_digest_is_made_as_the_specification_says() -> None:
    item, values = column([41250], pa.int64(), "wage_paise")
    salt = hmac.new(KEYS[3], SNAPSHOT + struct.pack(">QH", 2**40, 0), hashlib.sha256).digest()[:16]
    message = b"\x83\x50" + salt + b"\x19\xa1\x22" + b"\x6awage_paise"
    for one in engines():
        salts = SaltPlan(SNAPSHOT, one.prepare_keys(KEYS), lambda _batch: array("Q", [3]))
        made = one.cell_digests(salts, [(item, values)], array("Q", [2**40]), array("Q", [3]))
        assert made == hashlib.sha256(message).digest()


def runs_of(messages: Sequence[bytes]) -> Runs:
    width = max(map(len, messages), default=0)
    data = room(width * len(messages))
    data[: width * len(messages)] = np.frombuffer(
        b"".join(message.ljust(width, b"?") for message in messages), np.uint8
    )
    return matrix_runs(data, width, np.array([len(message) for message in messages], np.int64))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.binary(max_size=300), min_size=1, max_size=30),
    st.lists(st.binary(max_size=130), min_size=1, max_size=3),
)
def test_hashers_agree_with_hashlib_and_hmac(messages: list[bytes], keys: list[bytes]) -> None:
    digests = [hashlib.sha256(message).digest() for message in messages]
    block = bytes(range(64))
    prefixed = [hashlib.sha256(block + message).digest() for message in messages]
    index = [number % len(keys) for number in range(len(messages))]
    each = [
        hmac.digest(keys[number], message, "sha256")
        for number, message in zip(index, messages, strict=True)
    ]
    one = [hmac.digest(keys[0], message, "sha256") for message in messages]
    for hasher in (best_hasher(), HashlibHasher()):
        runs, rows = runs_of(messages), hasher.key_rows(keys)
        assert hasher.digests(runs).tobytes() == b"".join(digests)
        assert hasher.prefixed(block, runs).tobytes() == b"".join(prefixed)
        assert hasher.macs(rows[index], runs).tobytes() == b"".join(each)
        assert hasher.macs(rows[0], runs).tobytes() == b"".join(one)


@pytest.mark.parametrize("pairs", [0, 1, 63, 64, 65, (1 << 12) + 1])
def test_the_next_level_of_a_tree_is_the_trees_own(pairs: int) -> None:
    nodes = random.Random(pairs).randbytes(64 * pairs)
    expected = hash_pairs(nodes)
    assert NumpyEngine().hash_pairs(nodes) == expected
    assert NumpyEngine().hash_pairs(bytearray(nodes + bytes(32))) == expected


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.lists(st.none() | st.text(max_size=2), min_size=1, max_size=12), min_size=1, max_size=5
    )
)
def test_values_are_numbered_as_the_oracle_numbers_them(batches: list[list[str | None]]) -> None:
    oracle, made = PlainEngine().numbering(), NumpyEngine().numbering()
    for batch in batches:
        item, values = column(batch, pa.string())
        assert made.number(item, values) == oracle.number(item, values)
        assert len(made) == len(oracle)


def test_whole_numbers_are_numbered_too() -> None:
    numbering = NumpyEngine().numbering()
    item, values = column([7, None, -7, 7], pa.int64())
    assert numbering.number(item, values) == (array("Q", [1, 0, 2, 1]), [0, 2])
    assert numbering.number(item, values.slice(2)) == (array("Q", [2, 1]), [])


def test_threads_do_not_disturb_each_other() -> None:
    shared = NumpyEngine()
    batches = [[column(list(range(start, start + 300)), pa.int64())] for start in range(6)]
    alone = [everything(shared, batch) for batch in batches]
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda batch: everything(shared, batch), batches)) == alone


@needs_loop
def test_openssl_is_used_where_it_can_be_reached() -> None:
    assert isinstance(best_hasher(), OpenSslHasher)


def no_library(_name: str) -> None:
    """No module of this name."""


def does_nothing(*_arguments: object) -> None:
    """A function that hashes nothing."""


def wrong_state(_loop: OpenSslLoop, records: Any) -> None:
    """A function that leaves something else than the digest."""
    records["state"] = 7


@needs_loop
@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        ("_VERSIONS", None, set()),
        ("close", OpenSslLoop, does_nothing),
        ("close", OpenSslLoop, wrong_state),
        ("find_spec", "importlib", no_library),
        ("CDLL", "ctypes", lambda _name: object()),
    ],
    ids=["unknown version", "does nothing", "other digests", "no library", "no lfind"],
)
def test_without_the_right_functions_hashlib_is_called(
    monkeypatch: pytest.MonkeyPatch, where: str, name: Any, value: object
) -> None:
    target = {
        None: openssl_loop,
        "importlib": openssl_loop.importlib.util,
        "ctypes": openssl_loop.ctypes,
    }.get(name, name)
    monkeypatch.setattr(target, where, value)
    fresh = open_loop.__wrapped__
    monkeypatch.setattr(numpy_hashers, "open_loop", fresh)
    assert fresh() is None
    assert isinstance(best_hasher(), HashlibHasher)


def test_tables_worth_it_get_the_engine_of_numpy_where_numba_is_not_wanted_or_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few, many = engine.WORTHWHILE_CELLS_FOR_NUMPY - 1, engine.WORTHWHILE_CELLS
    assert isinstance(engine.choose_engine(many, use_numba=False), NumpyEngine)
    assert isinstance(engine.choose_engine(few, use_numba=False), PlainEngine)
    find = importlib.util.find_spec
    missing = {"numba"}
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name in missing else find(name)
    )
    assert isinstance(engine.choose_engine(many), NumpyEngine)
    missing.add("numpy")
    assert isinstance(engine.choose_engine(many), PlainEngine)
    with pytest.raises(TableError, match="numba is not installed"):
        engine.choose_engine(many, use_numba=True)
