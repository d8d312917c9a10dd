"""What each tampering with an export raises, as far as this reader checks, and nothing else."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from orchestration.feeds.fabric import read_channel, verify_files


@pytest.fixture
def records(codec, small_channel):
    return [record.copy() for path in small_channel.files for record in codec.read_records(path)]


@pytest.fixture
def errors_of(codec, tmp_path: Path):
    def verify(records) -> dict[int, list[str]]:
        report = verify_files([codec.write_records(tmp_path / "tampered", records)])
        return {each["blockNum"]: each["errors"] for each in report.errors}

    return verify


def first_valid(record) -> int:
    return record.metadata[2].index(0)


def test_an_untouched_ledger_raises_nothing(records, errors_of):
    assert errors_of(records) == {}


def test_a_flipped_byte_of_a_written_value_breaks_data_hash_and_commit_hash(records, errors_of):
    index = first_valid(records[3])
    envelope = records[3].envelopes[index]
    # The last write of the three: a later transaction of the block deletes the first.
    before, field, after = envelope.rpartition(b'"amountPaise"')
    records[3].envelopes[index] = before + field.replace(b"e", b"f") + after
    assert errors_of(records) == {3: ["DataHash mismatch", "CommitHash mismatch"]}


def test_a_flipped_byte_of_the_arguments_breaks_data_hash_and_proposal_hash(records, errors_of):
    envelope = records[3].envelopes[0]
    records[3].envelopes[0] = envelope.replace(b"payroll-0", b"payroll-9", 1)
    assert errors_of(records) == {
        3: [
            "DataHash mismatch",
            "transaction 0 was endorsed for another proposal: proposal hash mismatch",
        ]
    }


def test_with_the_data_hash_recomputed_the_next_block_still_names_the_old_one(records, errors_of):
    envelope = records[3].envelopes[0]
    records[3].envelopes[0] = envelope.replace(b"payroll-0", b"payroll-9", 1)
    records[3].rehash()
    found = errors_of(records)
    assert found[4] == ["PreviousHash mismatch"]
    assert "DataHash mismatch" not in found[3]


def test_a_flipped_validation_code_breaks_the_commit_hash_only(records, errors_of):
    codes = bytearray(records[4].metadata[2])
    invalid = next(n for n, code in enumerate(codes) if code)
    codes[invalid] = 0
    records[4].metadata[2] = bytes(codes)
    assert errors_of(records) == {4: ["CommitHash mismatch"]}


def test_a_changed_commit_hash_breaks_its_block_and_the_next(codec, records, errors_of):
    records[4].metadata[4] = codec.tagged(1, bytes(32))
    assert errors_of(records) == {4: ["CommitHash mismatch"], 5: ["CommitHash mismatch"]}


def test_a_stripped_commit_hash_is_missed(records, errors_of):
    records[4].metadata[4] = b""
    assert errors_of(records) == {4: ["CommitHash missing"]}


def test_a_dropped_block_breaks_the_chain_and_the_commit_hash(records, errors_of):
    del records[4]
    assert errors_of(records) == {5: ["PreviousHash mismatch", "CommitHash mismatch"]}


def test_swapped_blocks_break_the_chain_around_them(records, errors_of):
    records[4], records[5] = records[5], records[4]
    both = ["PreviousHash mismatch", "CommitHash mismatch"]
    assert errors_of(records) == {4: both, 5: both, 6: both}


def test_swapped_transactions_break_the_data_hash(records, errors_of):
    records[4].envelopes[0], records[4].envelopes[1] = (
        records[4].envelopes[1],
        records[4].envelopes[0],
    )
    assert errors_of(records)[4][0] == "DataHash mismatch"


def test_bytes_moved_over_an_envelope_boundary_are_found(records, errors_of):
    """The data hash alone covers the concatenation, so it cannot see this."""
    first, second = records[4].envelopes[:2]
    records[4].envelopes[:2] = [first + second, b""]
    found = errors_of(records)[4]
    assert found[0] == "DataHash mismatch"
    assert f"transaction 0 has {len(first)} trailing bytes" in found


def test_a_transaction_that_occurs_twice_is_reported_and_the_first_counts(records, errors_of):
    records[-1].envelopes.append(records[3].envelopes[0])
    records[-1].metadata[2] += b"\0"
    records[-1].rehash()
    last = records[-1]
    number = len(last.envelopes) - 1
    assert (
        f"transaction {number} has a transaction id that was used before; the first one counts"
        in errors_of(records)[last.number]
    )


def test_a_duplicate_that_the_peer_refused_is_a_note_and_no_error(codec, records, tmp_path: Path):
    last = records[-1]
    last.envelopes.append(records[3].envelopes[0])
    last.metadata[2] += b"\x09"
    last.rehash()
    last.metadata[4] = codec.tagged(
        1, codec.commit_hash(last, codec.one(records[-2].metadata[4], 1))
    )
    report = verify_files([codec.write_records(tmp_path / "tampered", records)])
    assert report.errors == []
    assert any("the peer refused" in note and "used before" in note for note in report.notes)


def test_a_transaction_id_that_is_not_its_hash_is_found(records, errors_of):
    envelope = records[4].envelopes[0]
    tx_id = envelope[envelope.index(b"*@") + 2 :][:64]
    records[4].envelopes[0] = envelope.replace(tx_id, b"0" * 64)
    assert any("not the hash of nonce and creator" in text for text in errors_of(records)[4])


def test_too_few_validation_codes_leave_validity_unknown(records, codec, tmp_path: Path):
    records[4].metadata[2] = records[4].metadata[2][:-1]
    reading = read_channel([codec.write_records(tmp_path / "tampered", records)])
    (tables,) = reading
    assert "validity unknown" in reading.report.errors[0]["errors"][0]
    validity = {
        each["block_number"]: each["is_validity_known"]
        for each in tables["raw_fabric__blocks"].to_pylist()
    }
    assert validity[4] is False
    assert validity[5] is True


def test_an_envelope_that_does_not_parse_is_kept_and_the_rest_of_its_block_is_read(
    records, codec, tmp_path: Path
):
    broken = b"\x0a\xff\xff\xff\xff\x0f not an envelope"
    index = first_valid(records[4])
    records[4].envelopes[index] = broken
    reading = read_channel([codec.write_records(tmp_path / "tampered", records)])
    (tables,) = reading
    (rejection,) = reading.rejections
    assert (rejection.position, rejection.rule) == (
        f"block 4, transaction {index}",
        "fabric.envelope",
    )
    assert rejection.record == broken
    assert "expected a message of type Envelope" in rejection.reason
    numbers = [
        each["tx_number"]
        for each in tables["raw_fabric__transactions"].to_pylist()
        if each["block_number"] == 4
    ]
    assert numbers == [n for n in range(len(records[4].envelopes)) if n != index]
    (error,) = reading.report.errors
    assert error["errors"][:2] == [
        f"transaction {index} does not parse: {rejection.reason}",
        "DataHash mismatch",
    ]


def test_a_transaction_of_another_channel_is_found(records, errors_of):
    envelope = records[4].envelopes[0]
    records[4].envelopes[0] = envelope.replace(b"\x22\x05wages", b"\x22\x05wagez", 1)
    found = errors_of(records)[4]
    assert "transaction 0 names channel 'wagez', the export is 'wages'" in found


def test_a_second_action_in_a_transaction_is_refused(codec, records, tmp_path: Path):
    payload = codec.one(records[4].envelopes[0], 1)
    doubled = codec.one(payload, 2) * 2
    forged = codec.tagged(1, codec.one(payload, 1)) + codec.tagged(2, doubled)
    records[4].envelopes[0] = codec.tagged(1, forged)
    reading = read_channel([codec.write_records(tmp_path / "tampered", records)])
    list(reading)
    assert reading.rejections[0].reason == "expected exactly one action, found 2"


def test_a_forged_orderer_metadata_is_an_error_and_no_traceback(records, errors_of):
    records[4].metadata[0] = b"\xff\xff"
    assert errors_of(records) == {4: ["orderer signatures do not parse"]}


def test_key_level_metadata_writes_make_the_commit_hash_not_checkable(
    codec, records, tmp_path: Path
):
    """Rebuilds one transaction of the last block with a metadata write in its read-write set."""
    last = records[-1]
    index = first_valid(last)
    last.envelopes[index] = _with_metadata_write(codec, last.envelopes[index])
    last.rehash()
    report = verify_files([codec.write_records(tmp_path / "tampered", records)])
    commit = next(each for each in report.checks if each.check == "10 commit hash")
    assert "key-level metadata writes need earlier state" in commit.note
    assert report.errors == []


def _with_metadata_write(codec, envelope: bytes) -> bytes:
    def rebuild(raw: bytes, path: tuple[int, ...]) -> bytes:
        if not path:
            return raw + codec.tagged(4, codec.tagged(1, b"key"))
        parts, is_done = b"", False
        for number, value in codec.fields(raw):
            if number == path[0] and not is_done:
                parts, is_done = parts + codec.tagged(number, rebuild(value, path[1:])), True
            elif isinstance(value, int):
                parts += codec.varint(number << 3) + codec.varint(value)
            else:
                parts += codec.tagged(number, value)
        return parts

    return rebuild(envelope, (1, 2, 1, 2, 2, 1, 2, 1, 2, 2))


def test_the_known_head_is_extended(small_channel):
    head = verify_files(small_channel.files).heads[0]
    reading = read_channel(small_channel.files, expected_head=head)
    assert list(reading) == []
    assert reading.report.errors == []
    assert next(c for c in reading.report.checks if c.check.startswith("13")).covered == 1


def test_only_blocks_above_the_known_head_are_emitted(codec, records, tmp_path: Path):
    older = codec.write_records(tmp_path / "older", records[:5])
    newer = codec.write_records(tmp_path / "newer", records)
    head = verify_files([older]).heads[0]
    reading = read_channel([newer], expected_head=head)
    (tables,) = reading
    assert reading.report.errors == []
    assert tables["raw_fabric__blocks"]["block_number"].to_pylist() == list(range(5, len(records)))
    assert reading.report.blocks == len(records)


def test_a_file_that_starts_right_after_the_known_head_is_chained_to_it(
    codec, records, tmp_path: Path
):
    head = verify_files([codec.write_records(tmp_path / "older", records[:5])]).heads[0]
    rest = codec.write_records(tmp_path / "rest", records[5:])
    reading = read_channel([rest], expected_head=head)
    (tables,) = reading
    assert reading.report.errors == []
    assert tables["raw_fabric__blocks"]["is_previous_hash_ok"].to_pylist()[0] is True
    commit = next(each for each in reading.report.checks if each.check == "10 commit hash")
    assert commit.covered == sum(len(record.envelopes) for record in records[5:])


def test_a_fork_against_the_known_head_names_both_hashes(codec, records, tmp_path: Path):
    head = verify_files([codec.write_records(tmp_path / "older", records[:5])]).heads[0]
    forged = head | {"header_hash": sha256(b"another block").hexdigest()}
    for part in (records, records[5:]):
        path = codec.write_records(tmp_path / "newer", part)
        reading = read_channel([path], expected_head=forged)
        list(reading)
        texts = [text for each in reading.report.errors for text in each["errors"]]
        (fork,) = [text for text in texts if text.startswith("fork at the known head")]
        assert forged["header_hash"] in fork
        assert head["header_hash"] in fork


def test_rewritten_validation_codes_below_the_known_head_are_found(codec, records, tmp_path: Path):
    """With every commit hash recomputed, only the anchored one still tells."""
    head = verify_files([codec.write_records(tmp_path / "older", records)]).heads[0]
    codes = bytearray(records[4].metadata[2])
    codes[next(n for n, code in enumerate(codes) if code)] = 0
    records[4].metadata[2] = bytes(codes)
    previous = b""
    for record in records[1:]:
        previous = codec.commit_hash(record, previous)
        record.metadata[4] = codec.tagged(1, previous)
    path = codec.write_records(tmp_path / "rewritten", records)
    assert verify_files([path]).errors == []
    reading = read_channel([path], expected_head=head)
    list(reading)
    (error,) = reading.report.errors
    assert "other commit hash at the known head" in error["errors"][0]


def test_a_dropped_tail_and_a_gap_after_the_known_head_are_found(codec, records, tmp_path: Path):
    head = verify_files([codec.write_records(tmp_path / "older", records[:5])]).heads[0]
    for part, words in ((records[:3], "its tail was dropped"), (records[6:], "are missing")):
        path = codec.write_records(tmp_path / "newer", part)
        reading = read_channel([path], expected_head=head)
        list(reading)
        assert any(words in text for text in reading.report.errors[-1]["errors"])


def test_a_head_without_its_hash_is_refused():
    with pytest.raises(ValueError, match="needs channel, height and header_hash"):
        read_channel([], expected_head={"channel": "wages", "height": 3})
