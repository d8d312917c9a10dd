"""dbt on medicines: marts equal an oracle that walks the same events in plain Python.

The lake holds 60 simulated batches, read by the real readers, and a document written here with the
cases that a simulation does not bring: rule dates, pallets on pallets, copies, withdrawn events,
identifiers of every form. Keys come from ``orchestration.feeds.gs1``, which the SQL does not share.
"""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
import pytest

from data_contracts import arrow_schema, load_contracts
from data_contracts.dbt import compare_with_dbt
from data_contracts.expectations import validate
from orchestration.feeds import eledger, epcis, gs1
from orchestration.feeds.simulate.pharma import simulate_pharma

PROJECT = Path(__file__).resolve().parents[2] / "dbt_project"
CONTRACTS = load_contracts()
CURATED = [c for n, c in CONTRACTS.items() if n.startswith(("fct_pharma", "rel_pharma"))]
SELECTION = ("--select", "tag:domain:pharma", "pharma_rules")
FEEDS = ("gln_registry", "product_master", "inspections")

# Keys of the cases written here; GS1 keeps the prefix 952 for examples.
PREFIX = "9529990"
MAKER, US_STORE, INDIAN_STORE, DUTCH_STORE, IRISH_STORE = (
    gs1.with_check_digit(f"{PREFIX}{number:05d}") for number in range(1, 6)
)
COUNTRIES = {MAKER: "IN", US_STORE: "US", INDIAN_STORE: "IN", DUTCH_STORE: "NL", IRISH_STORE: "IE"}
ITEMS = {"US": "00001", "IN": "00002", "EU": "00003", "SG": "00004"}
GTINS = {market: gs1.with_check_digit(f"0{PREFIX}{item}") for market, item in ITEMS.items()}
EXPIRY = "2027-01-31"

# Identifiers as partners write them; what names no key, or names it wrongly, has none.
IDENTIFIERS = (
    "urn:epc:id:sgtin:030001.0012345.11",
    "urn:epc:id:sgtin:030001.0012345.a%2Fb%3F",
    "urn:epc:id:sgtin:4012345.012345.with.dots",
    "urn:epc:class:lgtin:4012345.012345.Lot987",
    "urn:epc:idpat:sgtin:4012345.012345.*",
    "urn:epc:id:sgtin:4012345.01234.too-short",
    "urn:epc:id:sscc:4012345.0000000333",
    "urn:epc:id:sscc:4012345.333",
    "urn:epc:id:grai:4012345.12345.1",
    "https://id.gs1.org/00/040123450000003338",
    "https://id.gs1.org/01/04012345123456/10/Lot987",
    "https://id.gs1.org/01/04012345123456/10/21/21/S%2F1",
    "https://id.gs1.org/01/04012345123457/21/wrong-check-digit",
    "https://id.gs1.org/01/4012345123456/21/thirteen",
    "https://id.gs1.org/01/12345/21/short",
    "http://example.com/shop/gtin/04012345123456/lot/L-1/ser/S.1?x=1",
    "https://example.com/some/path/01/04012345123456?10=Q1&21=Q2",
    "https://example.com/2024/01/15/news",
)


def stamp(text: str) -> datetime:
    return datetime.fromisoformat(text)


def lot_of(market: str, lot: str, packs: int) -> list[dict[str, Any]]:
    return [{"epcClass": f"https://id.gs1.org/01/{GTINS[market]}/10/{lot}", "quantity": packs}]


def serial_of(market: str, serial: str) -> str:
    return f"urn:epc:id:sgtin:{PREFIX}.0{ITEMS[market]}.{serial}"


def event(step: str, when: str, gln: str, action: str = "OBSERVE", **fields: Any) -> dict[str, Any]:
    kind = "AggregationEvent" if "parentID" in fields else "ObjectEvent"
    place = {"id": f"https://id.gs1.org/414/{gln}"}
    return {
        "type": kind,
        "eventTime": when,
        "eventTimeZoneOffset": when[-6:],
        "action": action,
        "bizStep": step,
        "readPoint": place,
        **fields,
    }


def commissioning(
    market: str, lot: str, when: str, serials: tuple[str, ...], expiry: str | None = EXPIRY
) -> dict[str, Any]:
    master = {"cbvmda:lotNumber": lot} | (
        {"cbvmda:itemExpirationDate": expiry} if expiry is not None else {}
    )
    items = {"epcList": [serial_of(market, s) for s in serials]} if serials else {}
    return event(
        "commissioning",
        when,
        MAKER,
        "ADD",
        **items,
        quantityList=lot_of(market, lot, 100),
        ilmd=master,
    )


def shipping(when: str, start: str, end: str, **fields: Any) -> dict[str, Any]:
    parties = {
        "sourceList": [{"type": "owning_party", "source": f"https://id.gs1.org/417/{start}"}],
        "destinationList": [
            {"type": "location", "destination": f"https://id.gs1.org/414/{MAKER}"},
            {"type": "owning_party", "destination": f"urn:epc:id:pgln:{PREFIX}.{end[7:12]}"},
        ],
    }
    return event("shipping", when, start, **parties, **fields)


def cases() -> list[dict[str, Any]]:
    """The events written here; each group is one case, named by its lot."""
    case, pallet = (f"urn:epc:id:sscc:{PREFIX}.000000000{n}" for n in (1, 2))
    fahrenheit = [
        {"type": "Temperature", "value": value, "uom": "FAH", "time": f"2025-01-1{n}T00:00:00Z"}
        for n, value in enumerate((71.6, 104.9))
    ]
    sensors = [{"sensorMetadata": {}, "sensorReport": fahrenheit}]
    withdrawn = {
        **event(
            "decommissioning",
            "2025-01-12T10:00:00+01:00",
            DUTCH_STORE,
            "DELETE",
            epcList=[serial_of("EU", "E1")],
        ),
        "eventID": "urn:uuid:0c1d6a5e-0000-4000-8000-000000000001",
    }
    declared = {
        **withdrawn,
        "errorDeclaration": {
            "declarationTime": "2025-01-13T10:00:00+01:00",
            "reason": "did_not_occur",
        },
    }
    return [
        # The export regime of India ends with 31 January 2025 in UTC, whatever the local date.
        commissioning("US", "LOOSE", "2025-01-20T10:00:00+05:30", ("L1",)),
        shipping(
            "2025-02-01T05:00:00+05:30", MAKER, US_STORE, quantityList=lot_of("US", "LOOSE", 40)
        ),
        shipping(
            "2025-02-01T06:00:00+05:30", MAKER, US_STORE, quantityList=lot_of("US", "LOOSE", 60)
        ),
        # A case on a pallet: the logger and the receipt name the pallet only.
        commissioning("IN", "NESTED", "2025-01-02T10:00:00+05:30", ("N1", "N2")),
        event(
            "packing",
            "2025-01-03T10:00:00+05:30",
            MAKER,
            "ADD",
            parentID=case,
            childEPCs=[serial_of("IN", "N1")],
            childQuantityList=lot_of("IN", "NESTED", 30),
        ),
        event(
            "packing", "2025-01-04T10:00:00+05:30", MAKER, "ADD", parentID=pallet, childEPCs=[case]
        ),
        shipping("2025-01-05T10:00:00+05:30", MAKER, INDIAN_STORE, epcList=[pallet]),
        event(
            "sensor_reporting",
            "2025-01-12T00:00:00+00:00",
            INDIAN_STORE,
            epcList=[pallet],
            sensorElementList=sensors,
        ),
        event("receiving", "2025-01-12T10:00:00+05:30", INDIAN_STORE, epcList=[pallet]),
        event("unpacking", "2025-01-13T10:00:00+05:30", INDIAN_STORE, "DELETE", parentID=pallet),
        event("inspecting", "2025-01-14T10:00:00+05:30", INDIAN_STORE, epcList=[pallet]),
        # A decommissioning that did not occur: what follows is no supply after the end.
        commissioning("EU", "ALIVE", "2025-01-02T10:00:00+01:00", ("E1",)),
        withdrawn,
        declared,
        event(
            "dispensing", "2025-01-20T10:00:00+01:00", DUTCH_STORE, epcList=[serial_of("EU", "E1")]
        ),
        # A serial number of the EU used twice; the second commissioning names no serial of its own.
        commissioning("EU", "TWICE", "2025-01-03T10:00:00+01:00", ("E2",)),
        commissioning("EU", "TWICE", "2025-01-04T10:00:00+01:00", ("E2",)),
        # Neither serial nor expiry: a rule in the US, none on file in Singapore.
        commissioning("US", "BARE", "2025-01-02T10:00:00+00:00", (), None),
        commissioning("SG", "BARE", "2025-01-02T10:00:00+00:00", (), None),
        # Supplied on the last day and on the day after.
        commissioning("IN", "OLD", "2025-01-02T10:00:00+05:30", ("O1",), "2025-03-01"),
        event(
            "dispensing",
            "2025-03-01T23:59:00+00:00",
            INDIAN_STORE,
            quantityList=lot_of("IN", "OLD", 1),
        ),
        event(
            "dispensing",
            "2025-03-02T00:00:00+00:00",
            INDIAN_STORE,
            quantityList=lot_of("IN", "OLD", 2),
        ),
        # Received and not shipped; shipped and not received.
        commissioning("US", "GAPS", "2025-01-02T10:00:00+00:00", ("G1",)),
        event(
            "receiving", "2025-01-05T10:00:00+00:00", US_STORE, quantityList=lot_of("US", "GAPS", 5)
        ),
        shipping(
            "2025-02-05T10:00:00+00:00", MAKER, US_STORE, quantityList=lot_of("US", "GAPS", 9)
        ),
        # The same pack in two countries, eleven and then thirteen hours apart.
        commissioning("EU", "CLONE", "2025-01-02T10:00:00+01:00", ("C1",)),
        *(
            event("inspecting", f"2025-01-{when}:00:00+00:00", gln, epcList=[serial_of("EU", "C1")])
            for when, gln in (
                ("20T01", DUTCH_STORE),
                ("20T12", IRISH_STORE),
                ("21T01", DUTCH_STORE),
            )
        ),
        event("inspecting", "2025-01-20T00:00:00+00:00", MAKER, epcList=list(IDENTIFIERS)),
        # The last event of all: until then is known what is missing.
        commissioning("IN", "TAXED", "2025-10-31T10:00:00+05:30", ("T1",)),
    ]


def document(events: list[dict[str, Any]]) -> bytes:
    return json.dumps(
        {
            "@context": "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld",
            "type": "EPCISDocument",
            "schemaVersion": "2.0",
            "creationDate": "2025-11-01T00:00:00Z",
            "epcisBody": {"eventList": events},
        }
    ).encode()


def invoice(number: int, day: str, permille: int, seller: str = MAKER) -> dict[str, Any]:
    payload = {
        "invoiceNumber": f"T{number}",
        "invoiceDate": day,
        "sellerGln": seller,
        "buyerGln": INDIAN_STORE,
        "gtin": GTINS["IN"],
        "lot": "TAXED",
        "hsn": "30049090",
        "gstPermille": permille,
    }
    return {
        "chain": "eledger-test",
        "shard": 0,
        "height": 1,
        "tx_number": number,
        "tx_id": f"{number:064x}",
        "type": "INVOICE",
        "submitter_gln": seller,
        "submitted_at": stamp("2025-10-31T00:00:00+00:00"),
        "payload": json.dumps(payload),
        "signature": "",
        "is_tx_id_ok": True,
    }


INVOICES = [
    invoice(1, "2025-09-21", 120),
    invoice(2, "2025-09-22", 120),
    invoice(3, "2025-09-22", 50),
    invoice(4, "2025-09-21", 0),
    invoice(5, "2025-09-22", 120, seller=US_STORE),
]


def registrations() -> list[dict[str, Any]]:
    return [
        {
            "gln": gln,
            "status": "active",
            "legal_name": "Example firm",
            "country": country,
            "gln_type": "distributor",
            "company_prefix": PREFIX,
            "valid_from": date(2020, 1, 1),
            "valid_to": None,
            "checked_at": stamp("2025-11-01T00:00:00+00:00"),
            "source": "test",
        }
        for gln, country in COUNTRIES.items()
    ]


def products() -> list[dict[str, Any]]:
    return [
        {
            "gtin": gtin,
            "product_name": f"Example {market}",
            "generic_name": "example",
            "product_class": "vaccine",
            "manufacturer_gln": MAKER,
            "jurisdiction": market,
            "storage_condition": "CRT",
            "hsn": "30049090",
            "is_schedule_h2": False,
        }
        for market, gtin in GTINS.items()
    ]


def read_lake(folder: Path) -> dict[str, pa.Table]:
    """Simulate, add the cases and read all of it as ingest does."""
    simulate_pharma(folder, seed=11, batches=60)
    written = cases()
    (folder / "epcis" / "cases.json").write_bytes(document(written))
    # A partner sends the first events again, in a longer document.
    again = [
        *written[:9],
        event("inspecting", "2025-01-20T00:00:01+00:00", MAKER, epcList=["urn:x"]),
    ]
    (folder / "epcis" / "cases-again.json").write_bytes(document(again))
    documents = epcis.read_documents(sorted((folder / "epcis").iterdir()))
    export = eledger.read_exports(sorted((folder / "ledger").iterdir()))
    parts = defaultdict(list)
    for reading in (documents, export):
        for tables in reading:
            for name, found in tables.items():
                parts[name].append(found)
    refused = [r for r in documents.rejections if "cases" in r.source_file]
    assert refused == [], refused
    lake = {name: pa.concat_tables(found).combine_chunks() for name, found in parts.items()}
    for feed in FEEDS:
        schema = schema_of(f"raw_pharma__{feed}")
        options = pacsv.ConvertOptions(
            column_types=schema, strings_can_be_null=True, null_values=[""]
        )
        lake[f"raw_pharma__{feed}"] = pacsv.read_csv(
            folder / "feeds" / f"{feed}.csv", convert_options=options
        ).cast(schema)
    for name, rows in (
        ("raw_pharma__gln_registry", registrations()),
        ("raw_pharma__product_master", products()),
        ("raw_eledger__transactions", INVOICES),
    ):
        added = pa.Table.from_pylist(rows, schema=schema_of(name))
        lake[name] = pa.concat_tables([lake[name].cast(added.schema), added])
    return lake


def schema_of(name: str) -> pa.Schema:
    return pa.schema([field.with_nullable(True) for field in arrow_schema(CONTRACTS[name])])


def write_lake(home: Path, lake: dict[str, pa.Table], *, is_reversed: bool = False) -> None:
    for name, contract in CONTRACTS.items():
        if contract.domain == "pharma" and name.startswith("raw_"):
            rows = lake.get(name, schema_of(name).empty_table())
            if is_reversed:
                rows = rows.take(pa.array(range(len(rows) - 1, -1, -1), pa.int64()))
            folder = home / "lake" / name
            folder.mkdir(parents=True)
            middle = len(rows) // 2 if is_reversed else len(rows)
            pq.write_table(rows[:middle], folder / "part-0.parquet")
            pq.write_table(rows[middle:], folder / "part-1.parquet")


def build(home: Path, target: Path) -> None:
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager
    from dbt.cli.main import dbtRunner

    (home / "warehouse").mkdir(exist_ok=True)
    folders = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRACIENT_HOME", str(home))
        patch.setenv("DBT_TARGET_PATH", str(target))
        patch.setenv("DBT_LOG_PATH", str(target / "logs"))
        outcome = dbtRunner().invoke(["build", *folders, "--quiet", *SELECTION])
    # dbt keeps the warehouse open in this process, and DuckDB opens a file in one way at a time.
    DuckDBConnectionManager.close_all_connections()
    assert outcome.success, outcome.exception or [
        (r.node.name, r.message) for r in outcome.result if r.status in {"error", "fail"}
    ]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("simulated")


@pytest.fixture(scope="module")
def lake(simulated: Path) -> dict[str, pa.Table]:
    return read_lake(simulated)


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for dbt's artefacts: what was parsed once is not parsed again."""
    return tmp_path_factory.mktemp("target")


@pytest.fixture(scope="module")
def built(
    lake: dict[str, pa.Table], target: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A home, with a blank in its path, in which dbt has built and tested the medicines models."""
    home = tmp_path_factory.mktemp("home of medicines")
    write_lake(home, lake)
    build(home, target)
    return home


@pytest.fixture
def warehouse(built: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(str(built / "warehouse" / "tracient.duckdb"), read_only=True) as connection:
        yield connection


def rows(warehouse: duckdb.DuckDBPyConnection, query: str) -> list[dict[str, Any]]:
    return warehouse.sql(query).to_arrow_table().to_pylist()


def hits_of(warehouse: duckdb.DuckDBPyConnection, market: str, lot: str) -> list[tuple[str, date]]:
    """Rule and day of the hits of one case."""
    found = rows(
        warehouse,
        "select rule_id, event_on from fct_pharma__rule_exceptions "
        f"where batch_id = '{GTINS[market]}/{lot}'",
    )
    return sorted((row["rule_id"], row["event_on"]) for row in found)


class Oracle:
    """The simulated events, walked one by one in the order of time."""

    def __init__(self, lake: dict[str, pa.Table]) -> None:
        self.steps: dict[str, list[tuple[datetime, str]]] = defaultdict(list)
        self.shipments: dict[tuple[str, str], dict[str, Any]] = {}
        self._pallets: dict[str, dict[str, int]] = {}
        self._serials: dict[tuple[str, str], str] = {}
        found = [
            (row["event_time"], row["event_key"], json.loads(row["event"]))
            for row in lake["raw_epcis__events"].to_pylist()
            if "cases" not in row["source_ref"]
        ]
        # Packing teaches what a pallet holds, whenever it was captured.
        for _, _, content in found:
            self._learn(content)
        for when, key, content in sorted(found, key=lambda entry: entry[:2]):
            self._walk(when, key, content)

    def _learn(self, content: dict[str, Any]) -> None:
        lots = [*content.get("quantityList", []), *content.get("childQuantityList", [])]
        batches = {batch_of(entry["epcClass"]): entry["quantity"] for entry in lots}
        if content.get("action") == "ADD":
            for uri in [*content.get("epcList", []), *content.get("childEPCs", [])]:
                key = gs1.parse(uri)
                assert key is not None
                if key.serial:
                    self._serials[key.key, key.serial] = next(iter(batches))
            if "parentID" in content:
                self._pallets[str(key_of(content["parentID"]))] = batches

    def _batches(self, content: dict[str, Any]) -> dict[str, int]:
        lots = [*content.get("quantityList", []), *content.get("childQuantityList", [])]
        if lots:
            return {batch_of(entry["epcClass"]): entry["quantity"] for entry in lots}
        found: Counter[str] = Counter()
        for uri in content.get("epcList", []):
            key = gs1.parse(uri)
            assert key is not None
            if key.kind == "sscc":
                found.update(self._pallets[key.key])
            elif key.serial:
                found[self._serials[key.key, key.serial]] += 1
        return dict(found)

    def _walk(self, when: datetime, event_key: str, content: dict[str, Any]) -> None:
        step = content["bizStep"].rsplit(":", 1)[-1].rsplit("-", 1)[-1]
        advice = next(
            (
                paper["bizTransaction"]
                for paper in content.get("bizTransactionList", [])
                if paper["type"] == "desadv"
            ),
            None,
        )
        for batch, packs in self._batches(content).items():
            self.steps[batch].append((when, step))
            if step == "shipping":
                self.shipments[event_key, batch] = {
                    "shipped_at": when,
                    "received_at": None,
                    "advice": advice,
                    "unit_count": packs,
                    "from_gln": key_of(content["sourceList"][0]["source"]),
                    "to_gln": key_of(content["destinationList"][0]["destination"]),
                }
            if step == "receiving":
                for (_, other), shipment in self.shipments.items():
                    if other == batch and shipment["advice"] == advice:
                        shipment["received_at"] = when


def key_of(uri: str) -> str | None:
    key = gs1.parse(uri)
    return key.key if key else None


def batch_of(uri: str) -> str:
    key = gs1.parse(uri)
    assert key is not None
    return f"{key.key}/{key.lot}"


@pytest.fixture(scope="module")
def oracle(lake: dict[str, pa.Table]) -> Oracle:
    return Oracle(lake)


def expected_identifier(uri: str) -> tuple[Any, ...]:
    try:
        key = gs1.parse(uri)
    except gs1.Gs1Error:
        return (None, None, None, None)
    if key is None:
        return (None, None, None, None)
    return (key.key, bool(gs1.are_valid_keys([key.key])[0]), key.serial, key.lot)


def test_identifiers_of_either_spelling_become_the_keys_of_the_oracle(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    found = rows(warehouse, "from stg_pharma__identifiers")
    assert set(IDENTIFIERS) <= {row["uri"] for row in found}
    for row in found:
        key, is_ok, serial, lot = expected_identifier(row["uri"])
        assert (row["key"], row["is_check_digit_ok"]) == (key, is_ok), row["uri"]
        if key is not None:
            assert (row["serial"], row["lot"]) == (serial, lot), row["uri"]
    kinds = Counter(row["kind"] for row in found if row["key"])
    assert min(kinds[kind] for kind in ("gtin", "sscc", "gln", "pgln")) > 10


def test_a_wrong_check_digit_is_the_only_thing_wrong_with_a_misread_key(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    wrong = rows(warehouse, "select uri from stg_pharma__identifiers where not is_check_digit_ok")
    assert "https://id.gs1.org/01/04012345123457/21/wrong-check-digit" in {r["uri"] for r in wrong}
    assert all(r["uri"].startswith("https://") for r in wrong), "a URN carries no check digit"


def test_shipments_equal_the_oracle(warehouse: duckdb.DuckDBPyConnection, oracle: Oracle) -> None:
    names = ("shipped_at", "received_at", "unit_count", "from_gln", "to_gln")
    found = {
        (row["shipment_id"], row["batch_id"]): row
        for row in rows(warehouse, "from fct_pharma__shipment_events")
        if not row["gtin"].startswith(f"0{PREFIX}")
    }
    assert len(found) > 120
    assert {key: tuple(row[n] for n in names) for key, row in found.items()} == {
        key: tuple(shipment[n] for n in names) for key, shipment in oracle.shipments.items()
    }
    for row in found.values():
        if row["is_received"]:
            hours = (row["received_at"] - row["shipped_at"]).total_seconds() / 3600
            assert row["transit_hours"] == pytest.approx(hours, abs=0.006)


def test_the_genealogy_of_a_batch_is_its_events_in_order(
    warehouse: duckdb.DuckDBPyConnection, oracle: Oracle
) -> None:
    found = defaultdict(list)
    for row in rows(warehouse, "from fct_pharma__batch_genealogy order by batch_id, step_number"):
        assert row["step_number"] == len(found[row["batch_id"]]) + 1
        found[row["batch_id"]].append((row["event_at"], row["biz_step"]))
    assert {batch: found[batch] for batch in oracle.steps} == {
        batch: [(when, step) for when, step in steps] for batch, steps in oracle.steps.items()
    }


# Fault -> checks that find it. Two faults may hide another: see the test.
FOUND_BY = {
    "bad_check_digit": {"key.check_digit"},
    "diversion": {"destination.other_market"},
    "duplicate_serial": {"serial.impossible_travel"},
    "event_after_decommission": {"life.after_end"},
    "expired_gln": {"place.not_active"},
    "expired_shipped": {"expiry.supplied"},
    "missing_receive": {"shipment.not_received"},
    "ship_before_commission": {"life.order"},
    "unknown_gln": {"place.not_active"},
}


def test_every_injected_fault_is_found(
    warehouse: duckdb.DuckDBPyConnection, simulated: Path
) -> None:
    found = defaultdict(set)
    for row in rows(warehouse, "select batch_id, check_id from fct_pharma__rule_exceptions"):
        found[row["batch_id"]].add(row["check_id"])
    with (simulated / "truth" / "faults.csv").open() as file:
        faults = defaultdict(set)
        for row in csv.DictReader(file):
            faults[f"{row['gtin']}/{row['lot']}"].add(row["kind"])
    assert len(faults) > 5
    for batch, kinds in faults.items():
        # A receipt that is missing has no place to misread, and who is in no registry has no
        # country to be diverted to.
        hidden = {"bad_check_digit"} if "missing_receive" in kinds else set()
        hidden |= {"diversion"} if kinds & {"unknown_gln", "expired_gln"} else set()
        hidden |= {"duplicate_serial"} if "unknown_gln" in kinds else set()
        for kind in kinds & set(FOUND_BY) - hidden:
            assert FOUND_BY[kind] & found[batch], (batch, kind)


def test_degree_hours_outside_the_label_equal_the_simulated_strain(
    warehouse: duckdb.DuckDBPyConnection, simulated: Path
) -> None:
    with (simulated / "truth" / "batches.csv").open() as file:
        expected = {
            f"{row['gtin']}/{row['lot']}": float(row["strain_degree_hours"])
            for row in csv.DictReader(file)
        }
    assert any(expected.values())
    for row in rows(warehouse, "from fct_pharma__batch_features"):
        if row["batch_id"] in expected:
            assert row["f_excursion_degree_hours"] == pytest.approx(
                expected[row["batch_id"]], abs=0.001
            )


def test_the_export_regime_of_india_ends_on_its_last_day_in_utc(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    hits = hits_of(warehouse, "US", "LOOSE")
    assert [hit for hit in hits if hit[0] == "IN-EXP-02"] == [("IN-EXP-02", date(2025, 1, 31))]
    # Both went unreceived: that is a rule of the importing country, which goes on.
    assert Counter(rule for rule, _ in hits) == {"IN-EXP-02": 1, "US-08": 2}


def test_a_rule_fires_only_in_its_own_jurisdiction(warehouse: duckdb.DuckDBPyConnection) -> None:
    rules = {rule for rule, _ in hits_of(warehouse, "US", "BARE")}
    assert rules == {"US-01", "IN-EXP-01"}
    assert {rule for rule, _ in hits_of(warehouse, "SG", "BARE")} == {"IN-EXP-01"}
    assert hits_of(warehouse, "EU", "TWICE") == [("EU-01", date(2025, 1, 4))]
    assert hits_of(warehouse, "IN", "OLD") == [("IN-01", date(2025, 3, 2))]
    gaps = [("US-08", date(2025, 1, 5)), ("US-08", date(2025, 2, 5))]
    assert [h for h in hits_of(warehouse, "US", "GAPS") if h[0] == "US-08"] == gaps
    assert hits_of(warehouse, "EU", "CLONE") == [("LED-02", date(2025, 1, 20))]


def test_the_tax_rate_of_an_invoice_is_that_of_its_day(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    found = rows(
        warehouse,
        "select event_key, rule_id from fct_pharma__rule_exceptions where check_id like 'invoice%'",
    )
    assert {(int(row["event_key"], 16), row["rule_id"]) for row in found} == {
        (2, "IN-GST-01"),
        (4, "TRC-06"),
    }


def test_what_is_on_a_pallet_on_a_pallet_is_followed_until_it_is_unpacked(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    batch = f"{GTINS['IN']}/NESTED"
    steps = rows(
        warehouse,
        f"select biz_step, unit_count from fct_pharma__batch_genealogy where batch_id = '{batch}' "
        "order by step_number",
    )
    assert [step["biz_step"] for step in steps] == [
        "commissioning",
        "packing",
        "packing",
        "shipping",
        "sensor_reporting",
        "receiving",
        "unpacking",
    ], "the pallet inspected after it was unpacked is none of the batch's steps"
    shipment = rows(warehouse, f"from fct_pharma__shipment_events where batch_id = '{batch}'")
    assert len(shipment) == 1, "a document sent twice is one shipment"
    found = shipment[0]
    assert (found["unit_count"], found["is_received"], found["to_gln"]) == (30, True, INDIAN_STORE)
    # 71.6 and 104.9 degrees Fahrenheit; the second reading stands for the day the first stood.
    assert found["min_temperature_celsius"] == pytest.approx(22.0)
    assert found["max_temperature_celsius"] == pytest.approx(40.5)
    assert found["excursion_hours"] == 24.0
    assert hits_of(warehouse, "IN", "NESTED") == [("TMP-02", date(2025, 1, 12))]
    assert not found["is_compliant"]


def test_an_event_that_was_withdrawn_never_happened(warehouse: duckdb.DuckDBPyConnection) -> None:
    assert hits_of(warehouse, "EU", "ALIVE") == []
    found = rows(
        warehouse,
        "select biz_step from fct_pharma__batch_genealogy "
        f"where batch_id = '{GTINS['EU']}/ALIVE' order by step_number",
    )
    assert [row["biz_step"] for row in found] == ["commissioning", "dispensing"]


def test_months_and_quarters_count_the_shipments(warehouse: duckdb.DuckDBPyConnection) -> None:
    months, quarters = defaultdict(list), defaultdict(list)
    for row in rows(warehouse, "from fct_pharma__shipment_events"):
        day = row["shipped_at"].astimezone(UTC).date()
        months[row["product_class"], row["jurisdiction"], day.replace(day=1)].append(row)
        quarter = f"{day.year}-Q{(day.month + 2) // 3}"
        firm = (row["manufacturer_gln"], row["product_class"], row["jurisdiction"], quarter)
        quarters[firm].append(row)

    def counts(group: list[dict[str, Any]]) -> tuple[int, ...]:
        batches = {row["batch_id"] for row in group}
        packs = sum(row["unit_count"] or 0 for row in group)
        return len(group), sum(row["is_compliant"] for row in group), len(batches), packs

    assert {
        (row["product_class"], row["jurisdiction"], row["month"]): (
            row["shipment_count"],
            row["compliant_count"],
            row["batch_count"],
            row["unit_count"],
        )
        for row in rows(warehouse, "from fct_pharma__compliance_product_jurisdiction")
    } == {key: counts(group) for key, group in months.items()}
    assert {
        (row["firm_gln"], row["product_class"], row["jurisdiction"], row["quarter"]): (
            row["shipment_count"],
            row["compliant_shipment_count"],
            row["batch_count"],
            row["unit_count"],
        )
        for row in rows(warehouse, "from rel_pharma__firm_quarter")
    } == {key: counts(group) for key, group in quarters.items()}


def test_features_know_nothing_of_the_day_of_the_inspection_or_later(
    warehouse: duckdb.DuckDBPyConnection, lake: dict[str, pa.Table], oracle: Oracle
) -> None:
    first: dict[str, dict[str, Any]] = {}
    for row in lake["raw_pharma__inspections"].to_pylist():
        batch = f"{row['gtin']}/{row['lot']}"
        if batch not in first or row["inspected_on"] < first[batch]["inspected_on"]:
            first[batch] = row
    hits = defaultdict(list)
    for row in rows(warehouse, "from fct_pharma__rule_exceptions"):
        if row["severity"] in {"block", "major"}:
            hits[row["batch_id"]].append(row["known_on"])
    training = {row["batch_id"]: row for row in rows(warehouse, "from fct_pharma__batch_training")}
    assert set(training) == set(first)
    for batch, row in training.items():
        day = first[batch]["inspected_on"]
        assert (row["inspected_on"], row["is_failed"]) == (day, first[batch]["outcome"] == "fail")
        known = sum(known_on < day for known_on in hits[batch])
        assert (row["f_hard_hit_count"], row["incumbent_score"]) == (known, float(known))
        shipped = [
            shipment
            for (_, other), shipment in oracle.shipments.items()
            if other == batch and shipment["shipped_at"].date() < day
        ]
        assert row["f_shipment_count"] == len(shipped)


def test_histories_hold_earlier_batches_only(
    warehouse: duckdb.DuckDBPyConnection, lake: dict[str, pa.Table]
) -> None:
    features = {row["batch_id"]: row for row in rows(warehouse, "from fct_pharma__batch_features")}
    started: dict[str, date] = {}
    for row in rows(warehouse, "from fct_pharma__batch_genealogy where step_number = 1"):
        started[row["batch_id"]] = row["event_at"].astimezone(UTC).date()
    outcomes = {
        row["batch_id"]: (row["inspected_on"], row["is_failed"])
        for row in rows(warehouse, "from fct_pharma__batch_training")
    }
    checked = 0
    for batch, row in features.items():
        earlier = [
            other
            for other, its in features.items()
            if its["manufacturer_gln"] == row["manufacturer_gln"]
            and started[other] < started[batch]
        ]
        inspected = [
            is_failed
            for other, (day, is_failed) in outcomes.items()
            if features[other]["manufacturer_gln"] == row["manufacturer_gln"]
            and day < started[batch]
        ]
        share = round(sum(inspected) / len(inspected), 6) if inspected else None
        assert row["f_manufacturer_earlier_batch_count"] == len(earlier)
        assert row["f_manufacturer_earlier_failed_share"] == share
        checked += bool(inspected)
    assert checked > 5


def test_training_carries_exactly_the_features_of_all_batches() -> None:
    features, training = (
        [c for c in CONTRACTS[f"fct_pharma__batch_{name}"].column_names if c.startswith("f_")]
        for name in ("features", "training")
    )
    assert features == training
    assert len(features) == 26


@pytest.mark.usefixtures("built")
def test_contracts_equal_the_columns_that_dbt_declares(target: Path) -> None:
    manifest = json.loads((target / "manifest.json").read_text())
    assert compare_with_dbt(CONTRACTS, manifest, domains=["pharma"]) == []


def test_contracts_equal_the_columns_that_duckdb_has(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    nodes: dict[str, Any] = {}
    for row in rows(
        warehouse,
        "select table_name, column_name, data_type from information_schema.columns "
        "order by table_name, ordinal_position",
    ):
        node = nodes.setdefault(f"model.tracient.{row['table_name']}", {"columns": {}})
        node["columns"][row["column_name"]] = {"type": row["data_type"]}
    assert compare_with_dbt(CONTRACTS, {"nodes": nodes}, domains=["pharma"]) == []


def test_every_curated_table_keeps_its_contract(warehouse: duckdb.DuckDBPyConnection) -> None:
    assert len(CURATED) == 7
    for contract in CURATED:
        frame = warehouse.sql(f"from {contract.name}").to_arrow_table().to_pandas()
        assert [r for r in validate(contract, frame) if not r.success] == []


def test_every_model_and_column_is_described_and_owned(
    target: Path, warehouse: duckdb.DuckDBPyConnection
) -> None:
    manifest = json.loads((target / "manifest.json").read_text())
    for node in manifest["nodes"].values():
        is_model = node["resource_type"] == "model" and "_pharma__" in node["name"]
        if is_model:
            found = [r["column_name"] for r in rows(warehouse, f"describe {node['name']}")]
            assert found == list(node["columns"]), node["name"]
            assert node["description"], node["name"]
            assert all(c["description"] for c in node["columns"].values()), node["name"]
            assert node["group"] == "pharma"
            assert "domain:pharma" in node["tags"]


def test_every_check_belongs_to_a_rule_and_every_rule_with_checks_cites_its_source(
    warehouse: duckdb.DuckDBPyConnection,
) -> None:
    rules = rows(warehouse, "from pharma_rules where checks is not null")
    named = {check for rule in rules for check in rule["checks"].split()}
    written = {
        word
        for path in (PROJECT / "models" / "intermediate" / "pharma").glob("*_checks.sql")
        for word in path.read_text().split("'")
        if "." in word and word.replace(".", "").replace("_", "").isalpha() and word.islower()
    }
    assert written == named
    assert all(rule["citation"] and rule["source"] and rule["status"] for rule in rules)


def rebuild(home: Path, built: Path, target: Path) -> duckdb.DuckDBPyConnection:
    """Run on another lake what dbt compiled for the first: its SQL, without its bookkeeping."""
    nodes = json.loads((target / "manifest.json").read_text())["nodes"]
    waiting = {
        name: node
        for name, node in nodes.items()
        if node["resource_type"] == "model" and "domain:pharma" in node["tags"]
    }
    (home / "warehouse").mkdir()
    warehouse = duckdb.connect(str(home / "warehouse" / "tracient.duckdb"))
    warehouse.execute("set TimeZone = 'UTC'; set preserve_insertion_order = false")
    warehouse.execute(f"attach '{built}/warehouse/tracient.duckdb' as first (read_only)")
    warehouse.execute("create table pharma_rules as from first.pharma_rules; detach first")
    while waiting:
        ready = [
            n for n, node in waiting.items() if not waiting.keys() & node["depends_on"]["nodes"]
        ]
        for name in ready:
            node = waiting.pop(name)
            query = node["compiled_code"].replace(str(built), str(home))
            warehouse.execute(
                f"create {node['config']['materialized']} {node['name']} as ({query})"
            )
    return warehouse


def test_the_order_of_rows_and_files_changes_nothing(
    built: Path, target: Path, lake: dict[str, pa.Table], tmp_path: Path
) -> None:
    write_lake(tmp_path, lake, is_reversed=True)

    def content(warehouse: duckdb.DuckDBPyConnection) -> dict[str, list[tuple[str, ...]]]:
        query = "set TimeZone = 'UTC'; select cast(columns(*) as varchar) from "
        return {c.name: sorted(warehouse.sql(query + c.name).fetchall(), key=repr) for c in CURATED}

    with rebuild(tmp_path, built, target) as again:
        found = content(again)
    with duckdb.connect(str(built / "warehouse" / "tracient.duckdb"), read_only=True) as warehouse:
        assert found == content(warehouse)


def test_a_home_without_an_event_builds_empty_marts(
    built: Path, target: Path, tmp_path: Path
) -> None:
    write_lake(tmp_path, {})
    with rebuild(tmp_path, built, target) as warehouse:
        for contract in CURATED:
            assert warehouse.sql(f"from {contract.name}").fetchall() == [], contract.name
