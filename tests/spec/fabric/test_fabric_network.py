"""A simulated channel stands every check that a real one must stand, signatures included."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from orchestration.feeds.fabric import read_channel, verify_files
from orchestration.feeds.simulate.fabric_network import SimTransaction, SimWrite, write_channel

P256_HALF_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551 // 2


@pytest.fixture(scope="module")
def records(codec, small_channel):
    return [record for path in small_channel.files for record in codec.read_records(path)]


def endorsed(codec, records):
    for record in records[1:]:
        for envelope in record.envelopes:
            payload = codec.one(envelope, 1)
            yield envelope, payload, codec.one(payload, 2, 1)


def verify_signature(codec, identity: bytes, signature: bytes, message: bytes) -> None:
    certificate = x509.load_pem_x509_certificate(codec.one(identity, 2))
    certificate.public_key().verify(signature, message, ec.ECDSA(SHA256()))
    assert decode_dss_signature(signature)[1] <= P256_HALF_ORDER


def test_the_reader_finds_no_fault_in_it(small_channel):
    report = verify_files(small_channel.files)
    assert report.is_ok
    assert report.notes == []
    assert report.transactions == small_channel.transactions == 42
    assert report.blocks == small_channel.blocks
    assert report.heads == [
        {
            "channel": "wages",
            "height": small_channel.blocks,
            "header_hash": small_channel.head_header_hash,
            "commit_hash": small_channel.head_commit_hash,
        }
    ]
    covered = {check.check.split()[0]: check.covered for check in report.checks}
    assert covered | {"1": 42, "2": 41, "3": 42, "4": 41, "5": 41, "9": 42, "10": 41} == covered


def test_data_hashes_and_the_header_chain_hold(records):
    previous = b""
    for number, record in enumerate(records):
        assert record.number == number
        assert record.data_hash == sha256(b"".join(record.envelopes)).digest()
        assert record.previous_hash == previous
        previous = sha256(record.header()).digest()


def test_envelopes_are_payload_and_signature_and_nothing_else(codec, records):
    for envelope, payload, _ in endorsed(codec, records):
        assert envelope == codec.tagged(1, payload) + codec.tagged(2, codec.one(envelope, 2))


def test_transaction_ids_hash_nonce_and_creator_and_occur_once(codec, records):
    seen = set()
    for record in records:
        for envelope in record.envelopes:
            header = codec.one(envelope, 1, 1)
            creator, nonce = codec.one(header, 2, 1), codec.one(header, 2, 2)
            tx_id = codec.one(header, 1, 5).decode()
            assert tx_id == sha256(nonce + creator).hexdigest()
            seen.add(tx_id)
    assert len(seen) == 42


def test_proposal_hashes_cover_header_and_arguments(codec, records):
    for _, payload, action in endorsed(codec, records):
        stored = codec.one(payload, 1, 1) + codec.one(action, 1) + codec.one(action, 2, 1)
        assert codec.one(action, 2, 2, 1, 1) == sha256(stored).digest()
        assert codec.one(action, 1) == codec.one(payload, 1, 2)


def test_creators_sign_the_payload(codec, records):
    for envelope, payload, _ in endorsed(codec, records):
        verify_signature(codec, codec.one(payload, 1, 2, 1), codec.one(envelope, 2), payload)


def test_two_peers_endorse_of_two_organisations_unless_the_policy_fails(codec, records):
    for record in records[2:]:
        for envelope, code in zip(record.envelopes, record.metadata[2], strict=True):
            action = codec.one(envelope, 1, 2, 1, 2, 2)
            response, organisations = codec.one(action, 1), []
            for endorsement in codec.every(action, 2):
                endorser = codec.one(endorsement, 1)
                signature = codec.one(endorsement, 2)
                verify_signature(codec, endorser, signature, response + endorser)
                organisations.append(codec.one(endorser, 1))
            assert len(organisations) == 2
            assert len(set(organisations)) == (1 if code == 10 else 2)


def test_an_orderer_signs_every_block_after_the_first(codec, records):
    assert codec.every(records[0].metadata[0], 2) == []
    for record in records[1:]:
        value = codec.one(record.metadata[0], 1)
        (signed,) = codec.every(record.metadata[0], 2)
        header = codec.one(signed, 1)
        message = value + header + record.header()
        verify_signature(codec, codec.one(header, 1), codec.one(signed, 2), message)


def test_certificates_are_issued_by_the_msp_roots_of_the_genesis_block(codec, records):
    roots = msp_roots(codec, records[0].envelopes[0])
    assert set(roots) == {b"LabourMSP", b"EmployersMSP", b"BanksMSP", b"OrdererMSP"}
    identities = {codec.one(payload, 1, 2, 1) for _, payload, _ in endorsed(codec, records)}
    for _, _, action in endorsed(codec, records):
        identities |= {codec.one(each, 1) for each in codec.every(codec.one(action, 2, 2), 2)}
    identities |= {codec.one(record.metadata[0], 2, 1, 1) for record in records[1:]}
    assert len(identities) > 10
    for identity in identities:
        certificate = x509.load_pem_x509_certificate(codec.one(identity, 2))
        certificate.verify_directly_issued_by(roots[codec.one(identity, 1)])


def msp_roots(codec, genesis: bytes):
    channel_group = codec.one(genesis, 1, 2, 1, 2)
    found = {}
    for section in codec.every(channel_group, 2):
        for organisation in codec.every(codec.one(section, 2), 2):
            for value in codec.every(codec.one(organisation, 2), 3):
                if codec.one(value, 1) == b"MSP":
                    msp = codec.one(value, 2, 2, 2)
                    root = x509.load_pem_x509_certificate(codec.one(msp, 2))
                    root.verify_directly_issued_by(root)
                    found[codec.one(msp, 1)] = root
    return found


def test_commit_hashes_equal_an_independent_computation(codec, records):
    previous = b""
    for record in records[1:]:
        previous = codec.commit_hash(record, previous)
        assert codec.one(record.metadata[4], 1) == previous


def test_private_values_appear_by_their_hashes_only(codec, small_channel, records):
    assert b"private value" not in b"".join(path.read_bytes() for path in small_channel.files)
    first = codec.one(records[2].envelopes[0], 1, 2, 1, 2, 2, 1, 2, 1)
    collection = codec.one(codec.every(first, 2)[1], 3)
    hashed = codec.one(collection, 2)
    assert {codec.one(each, 1) for each in codec.every(hashed, 2)} == {
        sha256(b"000-0").digest(),
        sha256(b"000-1").digest(),
    }
    assert codec.one(hashed, 2, 3) == sha256(b"private value").digest()
    plain = b"".join(
        codec.tagged(3, codec.tagged(1, key) + codec.tagged(3, b"private value"))
        for key in (b"000-0", b"000-1")
    )
    assert codec.one(collection, 3) == sha256(plain).digest()


def test_the_tables_give_back_what_was_submitted(small_channel, small_payroll):
    (tables,) = read_channel(small_channel.files)
    transactions = tables["raw_fabric__transactions"].to_pylist()[2:]
    assert [each["submitted_at"] for each in transactions] == [
        each.submitted_at for each in small_payroll
    ]
    assert [each["validation_code"] for each in transactions] == [
        each.validation_code for each in small_payroll
    ]
    assert {each["function"] for each in transactions} == {"recordWageBatch"}
    assert {each["creator_msp_id"] for each in transactions} == {"EmployersMSP"}
    assert len({each["creator_certificate_sha256"] for each in transactions}) == 5
    read = {
        (each["key"], each["value"])
        for each in tables["raw_fabric__writes"].to_pylist()
        if each["namespace"] == "wage" and each["collection"] is None
    }
    assert read == {(each.key, each.value) for tx in small_payroll for each in tx.writes}


def test_a_read_sees_the_version_that_the_last_valid_write_stamped(codec, records):
    committed: dict[bytes, tuple[int, int]] = {}
    for record in records[1:]:
        before = dict(committed)
        for number, envelope in enumerate(record.envelopes):
            code = record.metadata[2][number]
            results = codec.one(envelope, 1, 2, 1, 2, 2, 1, 2, 1)
            for namespace in codec.every(results, 2):
                reads, writes = (codec.every(codec.one(namespace, 2), part) for part in (1, 3))
                for read in reads:
                    stored = codec.one(read, 2)
                    seen = (
                        (codec.one(stored, 1) or 0, codec.one(stored, 2) or 0) if stored else None
                    )
                    key = codec.one(read, 1)
                    if code == 11 and key.startswith(b"\0wage"):
                        is_stale = seen != before.get(key)
                        assert is_stale or committed.get(key) != before.get(key)
                    else:
                        assert seen == committed.get(key)
                for write in writes if code == 0 else ():
                    if codec.one(write, 2):
                        committed.pop(codec.one(write, 1), None)
                    else:
                        committed[codec.one(write, 1)] = (record.number, number)


def test_the_same_seed_writes_the_same_bytes_and_another_seed_does_not(
    small_channel, small_payroll, tmp_path: Path
):
    again = write_channel(tmp_path / "a", small_payroll, seed=7, block_size=6, clients=5)
    other = write_channel(tmp_path / "b", small_payroll, seed=8, block_size=6, clients=5)
    assert again.files[0].read_bytes() == small_channel.files[0].read_bytes()
    assert other.head_header_hash != small_channel.head_header_hash


def test_block_files_rotate_and_continue_the_chain(small_channel, small_payroll, tmp_path: Path):
    rotated = write_channel(
        tmp_path, small_payroll, seed=7, block_size=6, clients=5, max_file_bytes=60_000
    )
    assert [path.name for path in rotated.files[:2]] == ["blockfile_000000", "blockfile_000001"]
    assert all(path.stat().st_size <= 60_000 for path in rotated.files)
    whole = b"".join(path.read_bytes() for path in rotated.files)
    assert whole == small_channel.files[0].read_bytes()
    assert verify_files(tuple(reversed(rotated.files))).is_ok


def test_progress_counts_up_to_all_transactions(small_payroll, tmp_path: Path):
    seen: list[int] = []
    summary = write_channel(
        tmp_path, small_payroll, seed=1, block_size=10, clients=5, progress=seen.append
    )
    assert seen == sorted(seen)
    assert seen[-1] == summary.transactions


def test_a_channel_without_transactions_is_its_set_up(tmp_path: Path):
    summary = write_channel(tmp_path, [], seed=1, clients=0)
    assert (summary.blocks, summary.transactions) == (2, 2)
    assert verify_files(summary.files).is_ok


def test_an_existing_block_store_is_not_overwritten(small_channel, small_payroll):
    folder = small_channel.files[0].parent
    before = small_channel.files[0].read_bytes()
    with pytest.raises(FileExistsError):
        write_channel(folder, small_payroll, seed=9, clients=5)
    assert small_channel.files[0].read_bytes() == before


def test_a_creator_that_is_no_client_is_refused(small_payroll, tmp_path: Path):
    with pytest.raises(ValueError, match="creator 4 is not one of 4 clients"):
        write_channel(tmp_path, small_payroll, seed=1, clients=4)


def test_keys_and_values_of_any_utf8_and_any_bytes_survive(small_payroll, tmp_path: Path):
    odd = [SimWrite("\0मज़दूरी\0😀\0", bytes(range(256))), SimWrite("empty", b"")]
    transaction = SimTransaction(small_payroll[0].submitted_at, "f", (), odd, creator=0)
    summary = write_channel(tmp_path, [transaction], seed=1, clients=1)
    (tables,) = read_channel(summary.files)
    rows = tables["raw_fabric__writes"].to_pylist()[-2:]
    assert {(row["key"], row["value"]) for row in rows} == {(w.key, w.value) for w in odd}
