"""Containers are recognised by content, and broken ones are read as far as they are whole."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from orchestration.feeds.common import FeedError
from orchestration.feeds.fabric import read_channel, sniff, verify_files


@pytest.fixture
def records(codec, small_channel):
    return [record.copy() for path in small_channel.files for record in codec.read_records(path)]


@pytest.fixture
def fetched(records, tmp_path: Path) -> Path:
    folder = tmp_path / "fetched"
    folder.mkdir()
    for record in records:
        (folder / f"{record.number}.block").write_bytes(record.as_block())
    return folder


def test_containers_are_told_apart_whatever_their_names(
    small_channel, records, fetched: Path, tmp_path: Path
):
    block = tmp_path / "blockfile_000000"
    block.write_bytes(records[3].as_block())
    store = tmp_path / "7.pb"
    store.write_bytes(small_channel.files[0].read_bytes())
    archive = tmp_path / "archive.block"
    with zipfile.ZipFile(archive, "w") as stream:
        stream.writestr("folder/", "")
        stream.writestr("folder/0.block", records[0].as_block())
    assert sniff(block) == "fabric.block"
    assert sniff(store) == "fabric.blockfile"
    assert sniff(archive) == "fabric.zip"
    assert sniff(fetched) == "fabric.directory"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\n",
        b"{}",
        b'{"@context": "https://ref.gs1.org/standards/epcis/2.0.0/epcis-context.jsonld"}',
        b'{"data": [1, 2]}',
        b"worker_id_hash,birth_year\n",
        b"\x89PNG\r\n\x1a\n" + bytes(64),
        b"PK\x03\x04 not an archive",
        bytes(4096),
        b"\xff" * 4096,
    ],
)
def test_other_files_are_not_taken_for_fabric(content: bytes, tmp_path: Path):
    path = tmp_path / "blockfile_000000"
    path.write_bytes(content)
    assert sniff(path) is None
    with pytest.raises(FeedError, match="expected a peer's block store"):
        read_channel([path])


def test_a_zip_of_something_else_is_not_taken_for_fabric(tmp_path: Path):
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w") as stream:
        stream.writestr("readme.txt", "nothing here")
    assert sniff(path) is None


def test_a_zip_of_blocks_is_said_to_be_not_yet_read(records, tmp_path: Path):
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w") as stream:
        stream.writestr("0.block", records[0].as_block())
    with pytest.raises(FeedError, match="a zip archive, which is not yet read"):
        read_channel([path])


def test_a_path_that_does_not_exist_is_a_clear_error(tmp_path: Path):
    with pytest.raises(FeedError, match="No such file") as caught:
        verify_files([tmp_path / "absent"])
    assert caught.value.where == "absent"


def test_an_empty_folder_is_a_clear_error(tmp_path: Path):
    with pytest.raises(FeedError, match="the files given"):
        read_channel([tmp_path])


def test_fetched_blocks_give_the_same_tables_as_the_block_store(small_channel, fetched: Path):
    (stored,) = read_channel(small_channel.files)
    (read,) = read_channel([fetched])
    places = ["source_file", "source_offset"]
    for name, table in stored.items():
        kept = [column for column in table.column_names if column not in places]
        assert read[name].select(kept).equals(table.select(kept)), name


def test_a_store_that_starts_above_zero_is_read(codec, records, tmp_path: Path):
    path = codec.write_records(tmp_path / "from_snapshot", records[3:])
    reading = read_channel([path])
    (tables,) = reading
    assert reading.report.errors == []
    assert tables["raw_fabric__blocks"]["is_previous_hash_ok"].to_pylist()[:2] == [None, True]


def test_blocks_that_overlap_between_files_are_read_once(codec, records, tmp_path: Path):
    first = codec.write_records(tmp_path / "first", records[:5])
    second = codec.write_records(tmp_path / "second", records[3:])
    reading = read_channel([second, first])
    (tables,) = reading
    assert reading.report.errors == []
    assert tables["raw_fabric__blocks"]["block_number"].to_pylist() == list(range(len(records)))
    assert any(
        note.startswith("blocks that occur twice, read once: 2") for note in reading.report.notes
    )


def test_a_repeated_block_with_other_data_is_refused(codec, records, tmp_path: Path):
    forged = records[4].copy()
    forged.envelopes[0] = forged.envelopes[0].replace(b"payroll", b"payrolk", 1)
    path = codec.write_records(tmp_path / "store", [*records[:5], forged, *records[5:]])
    reading = read_channel([path])
    list(reading)
    (rejection,) = reading.rejections
    assert rejection.reason == "block 4 is repeated with data that its header does not hash"
    assert len(reading.report.errors) == 1


def test_files_are_cited_under_the_names_given(small_channel):
    path = small_channel.files[0]
    (tables,) = read_channel([path], source_names={path: "landed-1"})
    assert set(tables["raw_fabric__blocks"]["source_file"].to_pylist()) == {"landed-1"}


def test_a_last_record_cut_by_a_crash_is_kept_apart_and_the_rest_is_read(
    small_channel, tmp_path: Path
):
    whole = small_channel.files[0].read_bytes()
    path = tmp_path / "blockfile_000000"
    path.write_bytes(whole[:-100])
    reading = read_channel([path])
    list(reading)
    assert reading.report.errors == []
    assert reading.report.blocks == small_channel.blocks - 1
    (rejection,) = reading.rejections
    assert rejection.rule == "fabric.truncated"
    assert whole[:-100].endswith(rejection.record)
    assert any("as after a crash" in note for note in reading.report.notes)


def test_a_broken_record_between_whole_ones_is_refused_and_the_chain_shows_the_gap(
    records, tmp_path: Path
):
    encoded = [record.encode() for record in records]
    damaged = bytearray(encoded[3])
    damaged[3] = 31  # the length of the data hash
    path = tmp_path / "blockfile_000000"
    path.write_bytes(b"".join([*encoded[:3], bytes(damaged), *encoded[4:]]))
    reading = read_channel([path])
    list(reading)
    (rejection,) = reading.rejections
    assert rejection.rule == "fabric.block"
    assert "expected a data hash of 32 bytes, found 31" in rejection.reason
    found = {each["blockNum"]: each["errors"] for each in reading.report.errors}
    assert "does not parse" in found[3][0]
    assert found[4] == ["PreviousHash mismatch", "CommitHash mismatch"]
    assert reading.report.blocks == len(records) - 1


def test_after_two_broken_records_the_rest_of_a_file_is_kept_in_one_piece(records, tmp_path: Path):
    garbage = bytes((64,)) + b"\xff" * 64
    path = tmp_path / "blockfile_000000"
    path.write_bytes(records[0].encode() + garbage * 1000)
    reading = read_channel([path])
    list(reading)
    assert len(reading.rejections) == 2
    assert b"".join(each.record for each in reading.rejections).endswith(garbage * 999)


def test_a_file_cut_at_any_byte_is_an_error_or_a_report(codec, records, tmp_path: Path):
    """The first two blocks alone: what is whole is read, what is not is kept."""
    small = [records[0].copy(), records[1].copy()]
    small[0].envelopes, small[1].envelopes = [], [b"\x0a\x02hi"]
    for record in small:
        record.rehash()
        record.metadata = [b"", b"", b"\0" * len(record.envelopes), b"", b""]
    ends = {len(small[0].encode()): 1, sum(len(each.encode()) for each in small): 2}
    whole = b"".join(record.encode() for record in small)
    path = tmp_path / "cut"
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        expected = max((blocks for end, blocks in ends.items() if end <= length), default=0)
        if not expected:
            with pytest.raises(FeedError):
                verify_files([path])
            continue
        reading = read_channel([path])
        list(reading)
        assert reading.report.blocks == expected
        kept = [each for each in reading.rejections if each.rule == "fabric.truncated"]
        assert bool(kept) == (length not in ends)


def test_a_fetched_block_cut_at_any_byte_is_an_error_or_a_report(records, tmp_path: Path):
    whole = records[1].as_block()
    path = tmp_path / "cut.block"
    for length in [*range(100), *range(100, len(whole), 97), len(whole)]:
        path.write_bytes(whole[:length])
        try:
            report = verify_files([path])
        except FeedError:
            continue
        assert report.blocks == 1
        assert not report.is_ok or length >= len(whole) - sum(map(len, records[1].metadata)) - 64


def test_a_broken_file_among_fetched_blocks_is_refused_and_the_others_are_read(fetched: Path):
    path = fetched / "3.block"
    path.write_bytes(path.read_bytes()[:200])
    reading = read_channel([fetched])
    list(reading)
    (rejection,) = reading.rejections
    assert (rejection.source_file, rejection.rule) == ("3.block", "fabric.block")
    found = {each["blockNum"]: each["errors"] for each in reading.report.errors}
    assert "not a whole common.Block message" in found[3][0]
    assert found[4] == ["PreviousHash mismatch", "CommitHash mismatch"]


def test_other_files_in_a_folder_are_named_in_the_notes(fetched: Path):
    (fetched / "README.txt").write_text("exported on Monday")
    report = verify_files([fetched])
    assert report.errors == []
    assert any("README.txt" in note for note in report.notes)


def test_blocks_from_an_orderer_have_unknown_validity(records, tmp_path: Path):
    for record in records:
        record.metadata[2] = record.metadata[4] = b""
        (tmp_path / f"{record.number}.block").write_bytes(record.as_block())
    reading = read_channel([tmp_path])
    (tables,) = reading
    assert reading.report.errors == []
    assert tables["raw_fabric__transactions"]["is_valid"].null_count == 42
    assert tables["raw_fabric__writes"]["is_committed"].drop_null().to_pylist() == []
    codes = next(each for each in reading.report.checks if each.check.startswith("9"))
    assert not codes.is_possible
    assert "validity unknown" in codes.note


def test_a_reading_can_be_iterated_again(small_channel):
    reading = read_channel(small_channel.files)
    first, second = list(reading), list(reading)
    assert first == second
    assert reading.report.blocks == small_channel.blocks
    assert len(reading.report.heads) == 1


def test_a_fetched_block_that_names_no_channel_belongs_to_the_only_one(records, fetched: Path):
    records[3].envelopes = [b"\xff" for _ in records[3].envelopes]
    (fetched / "3.block").write_bytes(records[3].as_block())
    report = verify_files([fetched])
    assert report.network == "wages"
    assert "DataHash mismatch" in report.errors[0]["errors"]
    assert report.blocks == len(records)


def test_a_known_head_of_a_channel_that_is_not_in_the_export_is_noted(small_channel):
    head = {"channel": "other", "height": 1, "header_hash": "00" * 32}
    reading = read_channel(small_channel.files, expected_head=[head])
    list(reading)
    assert reading.report.errors == []
    assert any("known head was given" in note and "other" in note for note in reading.report.notes)
