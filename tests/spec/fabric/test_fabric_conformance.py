"""Every real Fabric file reads with the outcome that its manifest states."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from orchestration.feeds.common import FeedError
from orchestration.feeds.fabric import SCHEMAS, read_channel, sniff, verify_files

pytestmark = pytest.mark.shared_data


@pytest.fixture
def fabric(shared_data: Path) -> Path:
    return shared_data / "fabric"


def read(*paths: Path):
    reading = read_channel(paths)
    groups = list(reading)
    tables = {name: pa.concat_tables(group[name] for group in groups) for name in SCHEMAS}
    return reading, tables


def coverage(report) -> dict[str, tuple[bool, int, int]]:
    return {
        each.check.split()[0]: (each.is_possible, each.covered, each.failed)
        for each in report.checks
    }


def test_asset_transfer_has_ten_sound_blocks_and_nine_commit_hashes(fabric: Path):
    reading, tables = read(fabric / "asset-transfer-basic-2.4.7.blockfile")
    assert reading.report.errors == []
    assert reading.rejections == []
    assert (reading.report.blocks, reading.report.transactions) == (10, 10)
    assert tables["raw_fabric__blocks"]["commit_hash"].null_count == 1
    types = tables["raw_fabric__transactions"]["header_type"].value_counts().to_pylist()
    assert {each["values"]: each["counts"] for each in types} == {
        "CONFIG": 3,
        "ENDORSER_TRANSACTION": 7,
    }
    assert pc.sum(tables["raw_fabric__transactions"]["endorsement_count"]).as_py() == 12
    assert coverage(reading.report)["10"] == (True, 9, 0)
    assert coverage(reading.report)["2"] == (True, 7, 0)


def test_asset_transfer_commit_hashes_equal_an_independent_computation(fabric: Path, codec):
    records = codec.read_records(fabric / "asset-transfer-basic-2.4.7.blockfile")
    previous = b""
    for record in records[1:]:
        previous = codec.commit_hash(record, previous)
        assert codec.one(record.metadata[4], 1) == previous


def test_marbles_has_hashed_private_writes_and_no_commit_hash(fabric: Path):
    reading, tables = read(fabric / "marbles-private-1.4.1.blockfile")
    assert reading.report.errors == []
    assert (reading.report.blocks, reading.report.transactions) == (6, 8)
    assert tables["raw_fabric__blocks"]["transaction_count"].to_pylist()[4] == 3
    assert coverage(reading.report)["10"] == (False, 0, 0)
    writes = tables["raw_fabric__writes"]
    private = writes.filter(pc.is_valid(writes["collection"]))
    assert private.num_rows == 10
    assert private["key"].null_count == private["value"].null_count == 10
    assert {len(each) for each in private["key_hash"].to_pylist()} == {64}


def test_the_sample_channel_of_ten_fetched_blocks_is_sound(fabric: Path):
    reading, tables = read(fabric / "sample-channel")
    assert reading.report.errors == []
    assert reading.report.container == "fabric fetched blocks"
    assert reading.report.network == "sample-channel"
    assert tables["raw_fabric__blocks"]["block_number"].to_pylist() == list(range(10))
    assert coverage(reading.report)["10"] == (True, 9, 0)


def test_one_fetched_block_from_the_middle_has_no_predecessor_and_says_so(fabric: Path):
    reading, tables = read(fabric / "sample-channel" / "5.pb")
    assert reading.report.errors == []
    assert tables["raw_fabric__blocks"]["is_previous_hash_ok"].to_pylist() == [None]
    checks = {each.check.split()[0]: each for each in reading.report.checks}
    assert not checks["3"].is_possible
    assert "predecessor is not in it" in checks["3"].note
    assert "the block before is unknown" in checks["10"].note


def test_a_genesis_block_without_validation_codes_has_unknown_validity(fabric: Path):
    reading, tables = read(fabric / "protolator_block.pb")
    assert reading.report.errors == []
    assert tables["raw_fabric__blocks"]["is_validity_known"].to_pylist() == [False]
    assert tables["raw_fabric__transactions"]["is_valid"].to_pylist() == [None]
    assert coverage(reading.report)["9"] == (False, 0, 0)


def test_the_bad_ledger_has_exactly_the_errors_that_ledgerutil_finds(fabric: Path):
    expected = json.loads((fabric / "sample_bad_ledger.expected.json").read_text())
    assert verify_files([fabric / "sample_bad_ledger.blockfile"]).errors == expected


def test_the_bad_ledger_is_read_to_its_end(fabric: Path):
    _, tables = read(fabric / "sample_bad_ledger.blockfile")
    blocks = tables["raw_fabric__blocks"]
    assert blocks["is_data_hash_ok"].to_pylist() == [False, *[True] * 9]
    assert blocks["is_previous_hash_ok"].to_pylist() == [True, False, *[True] * 8]


def test_configtxlator_json_is_recognised_and_said_to_be_not_yet_read(fabric: Path):
    path = fabric / "protolator_block.json"
    assert sniff(path) == "fabric.block_json"
    with pytest.raises(FeedError, match="configtxlator JSON, which is not yet read"):
        read_channel([path])


def test_signatures_and_certificates_are_said_to_be_not_checked_yet(fabric: Path):
    report = verify_files([fabric / "asset-transfer-basic-2.4.7.blockfile"])
    unchecked = {each.check.split()[0]: each.note for each in report.checks if not each.is_possible}
    assert set(unchecked) == {"6", "7", "8", "11", "12", "13"}
    assert all("not checked yet" in unchecked[check] for check in ("6", "7", "8", "12"))


def test_several_channels_in_one_set_of_files_are_kept_apart(fabric: Path):
    reading, tables = read(
        fabric / "asset-transfer-basic-2.4.7.blockfile", fabric / "sample-channel"
    )
    assert reading.report.errors == []
    assert [head["channel"] for head in reading.report.heads] == ["mychannel", "sample-channel"]
    assert [head["height"] for head in reading.report.heads] == [10, 10]
    assert set(tables["raw_fabric__blocks"]["channel"].to_pylist()) == {
        "mychannel",
        "sample-channel",
    }


def test_two_ledgers_that_share_a_channel_name_are_a_fork_naming_both_hashes(fabric: Path):
    reading, tables = read(
        fabric / "asset-transfer-basic-2.4.7.blockfile", fabric / "marbles-private-1.4.1.blockfile"
    )
    first = reading.report.errors[0]
    assert first["blockNum"] == 0
    assert "two different blocks 0" in first["errors"][0]
    assert {each.rule for each in reading.rejections} == {"fabric.fork"}
    assert len(reading.rejections) == 6
    numbers = tables["raw_fabric__blocks"]["block_number"].to_pylist()
    assert len(numbers) == len(set(numbers)) == 10


def test_every_raw_table_has_its_columns_and_unique_keys(fabric: Path):
    _, tables = read(fabric / "sample-channel", fabric / "asset-transfer-basic-2.4.7.blockfile")
    keys = {
        "raw_fabric__blocks": ["channel", "block_number"],
        "raw_fabric__transactions": ["channel", "block_number", "tx_number"],
        "raw_fabric__writes": ["channel", "block_number", "tx_number", "write_number"],
        "raw_fabric__certificates": ["channel", "certificate_sha256", "msp_id"],
    }
    for name, columns in keys.items():
        assert tables[name].schema.equals(SCHEMAS[name])
        assert tables[name].group_by(columns).aggregate([]).num_rows == tables[name].num_rows > 0


def test_certificates_are_kept_once_and_cover_creators_endorsers_and_orderers(fabric: Path):
    _, tables = read(fabric / "asset-transfer-basic-2.4.7.blockfile")
    certificates = tables["raw_fabric__certificates"].to_pylist()
    known = {each["certificate_sha256"] for each in certificates}
    creators = tables["raw_fabric__transactions"]["creator_certificate_sha256"].drop_null()
    assert set(creators.to_pylist()) <= known
    assert {each["msp_id"] for each in certificates} == {"OrdererMSP", "Org1MSP", "Org2MSP"}
    assert all("BEGIN CERTIFICATE" in each["certificate_pem"] for each in certificates)
