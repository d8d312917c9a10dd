"""The simulated medicines trade: real digests and signatures, known faults, honest labels."""

from __future__ import annotations

import base64
import csv
import filecmp
import json
import statistics
from collections import Counter
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sklearn.metrics import roc_auc_score

from orchestration.feeds import gs1
from orchestration.feeds.eledger import (
    BLOCKS_TABLE,
    TRANSACTIONS_TABLE,
    EledgerReading,
    read_exports,
)
from orchestration.feeds.eledger.digests import transaction_message
from orchestration.feeds.eledger.extended_json import milliseconds, rfc3339
from orchestration.feeds.epcis import EVENTS_TABLE, read_documents
from orchestration.feeds.simulate.pharma import PharmaSummary, simulate_pharma
from orchestration.feeds.simulate.pharma.journeys import FAULT_RATES, make_batches
from orchestration.feeds.simulate.pharma.outcomes import inspect, observable_score
from orchestration.feeds.simulate.pharma.world import JURISDICTIONS, make_world

SEED = 20240101
BATCHES = 300
START, END = date(2024, 1, 1), date(2025, 6, 30)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PharmaSummary]:
    folder = tmp_path_factory.mktemp("pharma")
    return folder, simulate_pharma(folder, seed=SEED, batches=BATCHES)


@pytest.fixture(scope="module")
def ledger(simulated) -> tuple[EledgerReading, dict[str, list[dict[str, Any]]]]:
    folder, _ = simulated
    reading = read_exports([folder / "ledger" / "eledger.ndjson", folder / "ledger" / "nodes.json"])
    rows: dict[str, list[dict[str, Any]]] = {}
    for tables in reading:
        for name, table in tables.items():
            rows.setdefault(name, []).extend(table.to_pylist())
    return reading, rows


@pytest.fixture(scope="module")
def documents(simulated) -> tuple[Any, list[dict[str, Any]]]:
    folder, _ = simulated
    reading = read_documents(sorted((folder / "epcis").glob("*.json")))
    return reading, [row for tables in reading for row in tables[EVENTS_TABLE].to_pylist()]


@pytest.fixture(scope="module")
def events(ledger, documents) -> list[dict[str, Any]]:
    rows = [*ledger[1][EVENTS_TABLE], *documents[1]]
    return [{**row, "event": json.loads(row["event"])} for row in rows]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def lots_with(folder: Path, kind: str) -> set[str]:
    return {row["lot"] for row in rows_of(folder / "truth" / "faults.csv") if row["kind"] == kind}


def lots_of(event: dict[str, Any]) -> set[str]:
    elements = [*event.get("quantityList", []), *event.get("childQuantityList", [])]
    keys = [gs1.parse(element["epcClass"]) for element in elements]
    return {key.lot for key in keys if key is not None and key.lot}


def test_the_same_seed_writes_the_same_bytes_and_another_seed_does_not(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        simulate_pharma(tmp_path / name, seed=seed, batches=8)
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*.*"))
    assert len(files) > 8
    for file in files:
        assert filecmp.cmp(tmp_path / "a" / file, tmp_path / "b" / file, shallow=False), file
    ledger_file = Path("ledger") / "eledger.ndjson"
    assert not filecmp.cmp(
        tmp_path / "a" / ledger_file, tmp_path / "c" / ledger_file, shallow=False
    )


def test_the_ledger_passes_every_check_and_only_the_broken_events_are_refused(
    simulated, ledger
) -> None:
    _, summary = simulated
    reading, rows = ledger
    assert reading.report.is_ok
    assert len(rows[BLOCKS_TABLE]) == summary.blocks
    assert len(rows[TRANSACTIONS_TABLE]) == sum(summary.transactions.values())
    assert len(rows[EVENTS_TABLE]) == summary.ledger_events
    assert len(reading.report.heads) == 10
    refused = summary.transactions["EPCIS_EVENT"] - summary.ledger_events
    assert len(reading.rejections) == refused


def test_the_documents_are_read_whole_but_for_the_broken_events(
    simulated, ledger, documents
) -> None:
    _, summary = simulated
    reading, rows = documents
    assert reading.report.blocks == summary.documents
    assert len(rows) == summary.document_events
    assert len(reading.rejections) + len(ledger[0].rejections) == summary.bad_events > 0


def test_event_keys_are_unique_across_ledger_and_documents(events) -> None:
    assert len({row["event_key"] for row in events}) == len(events)


def test_every_signature_is_real(simulated) -> None:
    folder, _ = simulated
    nodes = json.loads((folder / "ledger" / "nodes.json").read_text())
    keys = {entry["node"]: entry["publicKey"] for entry in nodes["nodes"]}
    keys |= {entry["gln"]: entry["publicKey"] for entry in nodes["submitters"]}
    public = {
        owner: Ed25519PublicKey.from_public_bytes(base64.b64decode(key))
        for owner, key in keys.items()
    }
    shard_of = {entry["node"]: entry["shard"] for entry in nodes["nodes"]}
    lines = (folder / "ledger" / "eledger.ndjson").read_bytes().splitlines()
    for line in lines[::10]:
        block = json.loads(line)
        assert len(block["validators"]) >= 2
        for validator in block["validators"]:
            assert shard_of[validator["node"]] == block["shard"]
            signature = base64.b64decode(validator["signature"])
            public[validator["node"]].verify(signature, bytes.fromhex(block["hash"]))
        for entry in block["transactions"]:
            submitted = rfc3339(milliseconds(entry["submittedAt"]))
            message = transaction_message(
                entry["type"], entry["submitter"], submitted, entry["payload"]
            )
            signature = base64.b64decode(entry["signature"])
            public[entry["submitter"]].verify(signature, message)
            with pytest.raises(InvalidSignature):
                public[entry["submitter"]].verify(signature, message + b" ")


def test_all_transaction_types_of_the_ledger_occur(simulated) -> None:
    _, summary = simulated
    assert set(summary.transactions) == {
        "EPCIS_EVENT",
        "GLN_VERIFICATION",
        "INVOICE",
        "RECALL",
        "LICENCE",
        "COMPLIANCE_CERTIFICATE",
    }


def test_the_feeds_have_the_agreed_headers_and_valid_keys(simulated) -> None:
    folder, summary = simulated
    registry = rows_of(folder / "feeds" / "gln_registry.csv")
    products = rows_of(folder / "feeds" / "product_master.csv")
    inspections = rows_of(folder / "feeds" / "inspections.csv")
    assert ",".join(registry[0]) == (
        "gln,status,legal_name,country,gln_type,company_prefix,valid_from,valid_to,checked_at,source"
    )
    assert ",".join(products[0]) == (
        "gtin,product_name,generic_name,product_class,manufacturer_gln,jurisdiction,"
        "storage_condition,hsn,is_schedule_h2"
    )
    assert ",".join(inspections[0]) == (
        "inspection_id,gtin,lot,inspected_on,jurisdiction,inspector_type,outcome,finding"
    )
    assert gs1.are_valid_keys([row["gln"] for row in registry]).all()
    assert gs1.are_valid_keys([row["gtin"] for row in products]).all()
    assert len({row["gln"] for row in registry}) == len(registry) == 480
    assert len({row["gtin"] for row in products}) == len(products) == 250
    assert {row["jurisdiction"] for row in products} == set(JURISDICTIONS)
    assert {row["storage_condition"] for row in products} == {"2-8C", "CRT"}
    assert {row["manufacturer_gln"] for row in products} <= {row["gln"] for row in registry}
    assert len(inspections) == summary.inspections
    assert all((row["outcome"] == "fail") == bool(row["finding"]) for row in inspections)


def test_all_keys_use_gs1s_prefix_for_examples(events) -> None:
    for row in events:
        key = gs1.parse(row["read_point"])
        assert key is not None
        assert key.key.startswith("952")


def test_partners_write_all_spellings_which_the_reader_brings_together(events) -> None:
    spelled = {row["event"]["bizStep"] for row in events if row["biz_step"] == "shipping"}
    assert spelled == {
        "shipping",
        "urn:epcglobal:cbv:bizstep:shipping",
        "https://ref.gs1.org/cbv/BizStep-shipping",
    }
    assert any(row["read_point"].startswith("https://id.gs1.org/414/") for row in events)


def test_every_inspection_follows_the_batchs_last_event(simulated, events) -> None:
    folder, _ = simulated
    last: dict[str, date] = {}
    for row in events:
        for lot in lots_of(row["event"]):
            last[lot] = max(last.get(lot, START), row["event_time"].date())
    inspected = rows_of(folder / "feeds" / "inspections.csv")
    assert all(date.fromisoformat(row["inspected_on"]) > last[row["lot"]] for row in inspected)
    assert max(row["event_time"].date() for row in events) <= END


def test_readings_outside_the_label_are_the_excursions_of_the_truth(simulated, events) -> None:
    folder, _ = simulated
    truth = {
        (row["gtin"], row["lot"]): float(row["strain_degree_hours"])
        for row in rows_of(folder / "truth" / "batches.csv")
    }
    faulty = lots_with(folder, "temperature_excursion")
    assert faulty
    assert {lot for (_, lot), strain in truth.items() if strain > 0} == faulty
    reported = [row for row in events if "sensorElementList" in row["event"]]
    assert len(reported) > BATCHES / 5
    assert {row["biz_step"] for row in reported} == {"sensor_reporting"}


def test_late_commissioning_and_life_after_the_end_are_in_the_events(simulated, events) -> None:
    folder, _ = simulated
    first: dict[tuple[str, str], Any] = {}
    for row in sorted(events, key=lambda row: row["event_time"]):
        for lot in lots_of(row["event"]):
            first.setdefault((lot, row["biz_step"]), row["event_time"])
    late = {
        lot
        for (lot, step), when in first.items()
        if step == "commissioning" and when > first.get((lot, "packing"), when)
    }
    assert late == lots_with(folder, "ship_before_commission")
    ended = Counter(
        epc
        for row in events
        if row["biz_step"] == "decommissioning"
        for epc in row["event"].get("epcList", [])
    )
    revived = [
        row
        for row in events
        if row["biz_step"] == "shipping" and set(row["event"].get("epcList", [])) & set(ended)
    ]
    assert len(revived) == len(lots_with(folder, "event_after_decommission")) > 0


def test_goods_shipped_after_their_expiry_and_missing_receipts_are_in_the_events(
    simulated, events
) -> None:
    folder, _ = simulated
    expiry, shipped, received = {}, Counter(), Counter()
    for row in events:
        if "ilmd" in row["event"]:
            (lot,) = lots_of(row["event"])
            expiry[lot] = date.fromisoformat(row["event"]["ilmd"]["cbvmda:itemExpirationDate"])
    late = set()
    for row in events:
        for lot in lots_of(row["event"]):
            shipped[lot] += row["biz_step"] == "shipping"
            received[lot] += row["biz_step"] == "receiving"
            if row["biz_step"] == "shipping" and row["event_time"].date() > expiry[lot]:
                late.add(lot)
    assert late == lots_with(folder, "expired_shipped")
    faults = rows_of(folder / "truth" / "faults.csv")
    missing = {r["lot"] for r in faults if r["detail"].startswith("dispenser")}
    assert {lot for lot in shipped if shipped[lot] != received[lot]} == missing


def test_the_same_serial_at_two_places_is_in_the_events(simulated, events) -> None:
    folder, _ = simulated
    places: dict[str, set[str]] = {}
    for row in events:
        if row["biz_step"] in ("dispensing", "decommissioning", "inspecting"):
            for epc in row["event"].get("epcList", []):
                key = gs1.parse(epc)
                places.setdefault(f"{key.key}/{key.serial}", set()).add(row["read_point"])
    doubled = [serial for serial, found in places.items() if len(found) > 1]
    assert len(doubled) == len(lots_with(folder, "duplicate_serial")) > 0


def test_unknown_places_and_bad_check_digits_are_in_the_events(simulated, events) -> None:
    folder, _ = simulated
    registered = {row["gln"] for row in rows_of(folder / "feeds" / "gln_registry.csv")}
    places = {gs1.parse(row["read_point"]).key for row in events}
    bad = {gln for gln in places if not gs1.are_valid_keys([gln])[0]}
    faults = rows_of(folder / "truth" / "faults.csv")
    details = {kind: {r["detail"] for r in faults if r["kind"] == kind} for kind in FAULT_RATES}
    assert bad == details["bad_check_digit"] - {""}
    assert places - registered - bad == details["unknown_gln"]


def test_labels_can_be_foretold_partly_but_not_perfectly() -> None:
    scores = []
    for seed in (1, 2, 3):
        world = make_world(seed, START, END)
        batches = list(make_batches(world, seed=seed, count=2500, start=START, end=END))
        inspections = inspect(batches, seed=seed)
        assert 0.25 < len(inspections) / len(batches) < 0.35
        failed = [found.is_failed for found in inspections]
        assert 0.10 < statistics.mean(failed) < 0.25
        observable = [observable_score(found.batch) for found in inspections]
        scores.append(roc_auc_score(failed, observable))
    assert 0.75 < statistics.mean(scores) < 0.88


def test_every_kind_of_fault_occurs(simulated) -> None:
    _, summary = simulated
    assert set(summary.faults) == set(FAULT_RATES)


def test_progress_counts_up_to_all_transactions(tmp_path: Path) -> None:
    seen: list[int] = []
    summary = simulate_pharma(tmp_path, seed=3, batches=5, progress=seen.append)
    assert seen == sorted(seen)
    assert seen[-1] == sum(summary.transactions.values())


@pytest.mark.parametrize(("batches", "months"), [(0, 18), (10, 3)])
def test_too_small_a_world_is_refused(tmp_path: Path, batches: int, months: int) -> None:
    with pytest.raises(ValueError, match="expected at least 1 batch and 4 months"):
        simulate_pharma(tmp_path, seed=1, batches=batches, months=months)


def test_the_shortest_period_works(tmp_path: Path) -> None:
    summary = simulate_pharma(tmp_path, seed=1, batches=20, start=date(2024, 11, 1), months=4)
    assert summary.batches == 20
