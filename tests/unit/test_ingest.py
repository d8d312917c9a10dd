from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from ledger_anchor import SnapshotStore, TableSpec
from orchestration.feeds.common import FeedError, Rejection, VerificationReport
from orchestration.home import Home
from orchestration.ingest import Heads, Source, ingest_delivery
from orchestration.lake import Lake
from orchestration.landing import Register, land

TABLE = "raw_test__payments"


class FakeReading:
    """A reading of rows handed over by a test."""

    def __init__(self, rows: list[dict], *, errors=(), rejections=(), heads=()) -> None:
        self.rows = rows
        self.report = VerificationReport("test export", "testnet", blocks=1)
        self.report.errors = list(errors)
        self.report.heads = list(heads)
        self.rejections = list(rejections)

    def __iter__(self) -> Iterator[Mapping[str, pa.Table]]:
        if self.rows:
            yield {TABLE: pa.Table.from_pylist(self.rows)}


@pytest.fixture
def place(home: Path) -> Home:
    return Home(home).create()


def _deliver(place: Home, tmp_path: Path, content: str):
    path = tmp_path / "export.txt"
    path.write_text(content)
    return land(place, [path], [lambda _: "test"]).deliveries[0]


def _source(reading: FakeReading, **options) -> Source:
    return Source("test", "wages", lambda *_: reading, **options)


def test_rows_become_a_part_named_after_the_delivery(place, tmp_path) -> None:
    delivery = _deliver(place, tmp_path, "one")
    result = ingest_delivery(place, delivery, _source(FakeReading([{"id": 1}, {"id": 2}])))
    assert result.rows == {TABLE: 2}
    assert [p.name for p in Lake(place).parts(TABLE)] == [f"{delivery.delivery_id}-00000.parquet"]
    assert Register(place).all()[0].status == "ingested"


def test_an_attempt_after_a_crash_writes_the_same_rows_once(place, tmp_path) -> None:
    delivery = _deliver(place, tmp_path, "one")
    source = _source(FakeReading([{"id": 1}, {"id": 2}]), keys={TABLE: ["id"]})
    ingest_delivery(place, delivery, source)
    # The crash: parts are published, the register still says "landed".
    result = ingest_delivery(place, delivery, source)
    assert result.rows == {TABLE: 2}
    assert Lake(place).rows(TABLE) == 2


def test_a_broken_chain_refuses_the_delivery_and_leaves_the_lake_as_it_was(place, tmp_path) -> None:
    delivery = _deliver(place, tmp_path, "one")
    errors = [{"blockNum": 3, "valid": False, "errors": ["DataHash mismatch"]}]
    result = ingest_delivery(place, delivery, _source(FakeReading([{"id": 1}], errors=errors)))
    assert result.status == "refused"
    assert "first block 3: DataHash mismatch" in result.reason
    assert Lake(place).parts(TABLE) == []
    assert list((place.quarantine / "deliveries").glob("*/*-export.txt"))


def test_an_unreadable_export_is_refused_with_the_readers_own_words(place, tmp_path) -> None:
    def fail(*_):
        raise FeedError(where="export.txt", expected="a", found="b", what_to_do="Do c.")

    result = ingest_delivery(place, _deliver(place, tmp_path, "x"), Source("test", "wages", fail))
    assert (result.status, result.reason) == ("refused", "export.txt: expected a; found b. Do c.")


def test_rows_known_to_the_letter_are_counted_and_restated_ones_kept_apart(place, tmp_path) -> None:
    keys = {TABLE: ["id"]}
    first = [{"id": 1, "paise": 100}, {"id": 2, "paise": 200}]
    ingest_delivery(place, _deliver(place, tmp_path, "one"), _source(FakeReading(first), keys=keys))
    second = [{"id": 1, "paise": 100}, {"id": 2, "paise": 999}, {"id": 3, "paise": 300}]
    delivery = _deliver(place, tmp_path, "two")
    result = ingest_delivery(place, delivery, _source(FakeReading(second), keys=keys))
    assert result.rows == {TABLE: 1}
    assert result.repeated == {TABLE: 1}
    assert result.rejected == {"feed.restated": 1}
    assert sorted(Lake(place).read(TABLE)["paise"].to_pylist()) == [100, 200, 300]


def test_rows_that_break_a_rule_go_to_quarantine_and_the_rest_stands(place, tmp_path) -> None:
    rules = {"row_rules": lambda _, table: {"paise.minimum": pc.less(table["paise"], 0)}}
    rows = [{"id": 1, "paise": 100}, {"id": 2, "paise": -5}, {"id": 3, "paise": None}]
    delivery = _deliver(place, tmp_path, "one")
    result = ingest_delivery(place, delivery, _source(FakeReading(rows), **rules))
    assert result.rows == {TABLE: 2}
    assert result.rejected == {"paise.minimum": 1}
    (line,) = (place.quarantine / "records" / f"{delivery.delivery_id}.jsonl").open("rb")
    assert orjson.loads(line)["rule"] == "paise.minimum"


def test_what_the_reader_rejects_is_kept_with_its_bytes(place, tmp_path) -> None:
    rejection = Rejection("export.txt", "line 7", "csv.columns", "expected 3, found 2", b"a,b")
    delivery = _deliver(place, tmp_path, "one")
    result = ingest_delivery(place, delivery, _source(FakeReading([], rejections=[rejection])))
    assert result.rejected == {"csv.columns": 1}
    kept = (place.quarantine / "records" / f"{delivery.delivery_id}.jsonl").read_text()
    assert "line 7" in kept
    assert "YSxi" in kept


def test_a_network_becomes_a_partition_even_with_a_hostile_name(place, tmp_path) -> None:
    rows = [{"channel": "wages", "id": 1}, {"channel": "../../etc", "id": 2}]
    source = _source(FakeReading(rows), partition_column="channel")
    ingest_delivery(place, _deliver(place, tmp_path, "one"), source)
    names = Lake(place).partitions(TABLE)
    assert "wages" in names
    assert all("/" not in name and ".." not in name for name in names)
    assert Lake(place).rows(TABLE) == 2


def test_heads_are_kept_by_network(place) -> None:
    heads = Heads(place)
    heads.advance("fabric", [{"channel": "wages", "height": 4}])
    heads.advance("fabric", [{"channel": "wages", "height": 9}, {"channel": "other", "height": 1}])
    assert {h["channel"]: h["height"] for h in heads.of("fabric")} == {"wages": 9, "other": 1}
    assert heads.of("eledger") == []


def test_a_delivery_does_not_bring_an_erased_person_back(place, tmp_path) -> None:
    store = SnapshotStore(place.root)
    part = place.lake / "earlier" / "0.parquet"
    part.parent.mkdir(parents=True)
    pq.write_table(pa.table({"id": [1, 2], "worker": ["w1", "w2"]}), part)
    store.commit_table(TableSpec("earlier", "wages", [part], ["id"], "worker"))
    store.erase("wages", "w1", "asked for")
    rows = [{"id": 3, "worker": "w1"}, {"id": 4, "worker": "w2"}, {"id": 5, "worker": None}]
    source = _source(FakeReading(rows), subject_of=lambda _dataset: "worker")
    result = ingest_delivery(place, _deliver(place, tmp_path, "one"), source)
    assert (result.rows, result.erased) == ({TABLE: 2}, {TABLE: 1})
    kept = pq.read_table(Lake(place).parts(TABLE)[0])
    assert kept["worker"].to_pylist() == ["w2", None]
    assert result.rejected == {}
