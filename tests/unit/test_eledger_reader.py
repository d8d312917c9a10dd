"""E-Ledger exports: every check finds its fault, and everything else still stands."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from orchestration.feeds.common import FeedError
from orchestration.feeds.eledger import (
    BLOCKS_KIND,
    BLOCKS_SCHEMA,
    BLOCKS_TABLE,
    NODES_KIND,
    TRANSACTIONS_SCHEMA,
    TRANSACTIONS_TABLE,
    EledgerReading,
    read_exports,
    sniff,
)
from orchestration.feeds.eledger.digests import (
    GENESIS_PREVIOUS_HASH,
    block_hash,
    merkle_root,
    transaction_id,
    transaction_message,
)
from orchestration.feeds.epcis import EVENTS_TABLE

CHAIN = "eledger-test"
GLN = "9521001000115"
EVENT = {
    "type": "ObjectEvent",
    "eventTime": "2024-05-01T10:00:00+05:30",
    "eventTimeZoneOffset": "+05:30",
    "action": "OBSERVE",
    "bizStep": "urn:epcglobal:cbv:bizstep:shipping",
    "epcList": ["urn:epc:id:sscc:9521001.0000000333"],
}

Document = dict[str, Any]


def transaction(payload: Any, *, kind: str = "EPCIS_EVENT", second: int = 0) -> Document:
    text = payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False)
    submitted = f"2024-05-01T05:00:{second:02d}.000Z"
    return {
        "txId": transaction_id(transaction_message(kind, GLN, submitted, text)).hex(),
        "type": kind,
        "submitter": GLN,
        "submittedAt": {"$date": submitted},
        "payload": text,
        "signature": "AAAA",
    }


def seal(block: Document) -> Document:
    """Recompute root, count and hash: a fault made before sealing is not one of the digests."""
    ids = [bytes.fromhex(entry["txId"]) for entry in block["transactions"]]
    block["merkleRoot"] = merkle_root(ids).hex()
    block["transactionCount"] = len(ids)
    block["hash"] = block_hash(
        chain=block["chain"],
        shard=block["shard"],
        height=block["height"],
        timestamp=block["timestamp"]["$date"],
        previous_hash=block["previousHash"],
        merkle_root_hex=block["merkleRoot"],
        transaction_count=len(ids),
    ).hex()
    return block


def next_block(
    before: Document | None, transactions: Sequence[Document] = (), *, shard: int = 0
) -> Document:
    height = before["height"] + 1 if before else 0
    return seal(
        {
            "_id": {"$oid": f"{height:024x}"},
            "chain": CHAIN,
            "shard": shard,
            "height": height,
            "timestamp": {"$date": f"2024-05-01T06:{height:02d}:00.000Z"},
            "previousHash": before["hash"] if before else GENESIS_PREVIOUS_HASH,
            "transactions": list(transactions),
            "validators": [{"node": "n01", "signature": "AAAA"}],
        }
    )


def chain_of(*bodies: Sequence[Document], shard: int = 0) -> list[Document]:
    blocks: list[Document] = []
    for body in bodies:
        blocks.append(next_block(blocks[-1] if blocks else None, body, shard=shard))
    return blocks


def three_blocks() -> list[Document]:
    recall = transaction({"gtin": "1"}, kind="RECALL", second=1)
    return chain_of([], [transaction(EVENT), recall], [transaction(EVENT, second=2)])


def write(folder: Path, blocks: Sequence[Document], name: str = "export.ndjson") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(block) + "\n" for block in blocks))
    return path


def read(path: Path, **options: Any) -> tuple[dict[str, list[dict[str, Any]]], EledgerReading]:
    reading = read_exports([path], **options)
    rows: dict[str, list[dict[str, Any]]] = {}
    for tables in reading:
        for name, table in tables.items():
            rows.setdefault(name, []).extend(table.to_pylist())
    return rows, reading


def errors(reading: EledgerReading) -> dict[str, list[str]]:
    return {entry["blockNum"]: entry["errors"] for entry in reading.report.errors}


def test_a_good_export_passes_and_its_tables_say_so(tmp_path: Path) -> None:
    blocks = three_blocks()
    rows, reading = read(write(tmp_path, blocks))
    assert reading.report.is_ok
    assert reading.rejections == []
    assert (reading.report.network, reading.report.blocks, reading.report.transactions) == (
        CHAIN,
        3,
        3,
    )
    assert [row["height"] for row in rows[BLOCKS_TABLE]] == [0, 1, 2]
    flags = ("is_hash_ok", "is_previous_hash_ok", "is_merkle_root_ok", "is_count_ok")
    assert all(row[flag] for row in rows[BLOCKS_TABLE] for flag in flags)
    assert [row["source_line"] for row in rows[BLOCKS_TABLE]] == [1, 2, 3]
    assert [(row["type"], row["is_tx_id_ok"]) for row in rows[TRANSACTIONS_TABLE]] == [
        ("EPCIS_EVENT", True),
        ("RECALL", True),
        ("EPCIS_EVENT", True),
    ]
    assert [row["source_ref"] for row in rows[EVENTS_TABLE]] == [
        f"{CHAIN}/0/1/0",
        f"{CHAIN}/0/2/0",
    ]
    assert rows[EVENTS_TABLE][0]["biz_step"] == "shipping"
    assert rows[EVENTS_TABLE][0]["source_kind"] == "eledger"
    assert reading.report.heads == [
        {"chain": CHAIN, "shard": 0, "height": 2, "hash": blocks[2]["hash"]}
    ]


def test_tables_carry_the_declared_schemas(tmp_path: Path) -> None:
    for tables in read_exports([write(tmp_path, three_blocks())]):
        assert tables[BLOCKS_TABLE].schema.equals(BLOCKS_SCHEMA)
        assert tables[TRANSACTIONS_TABLE].schema.equals(TRANSACTIONS_SCHEMA)


def canonical(value: Any, key: str = "") -> Any:
    match value:
        case {"$date": str(text)}:
            from datetime import datetime

            number = round(datetime.fromisoformat(text).timestamp() * 1000)
            return {"$date": {"$numberLong": str(number)}}
        case dict():
            return {name: canonical(child, name) for name, child in value.items()}
        case list():
            return [canonical(child) for child in value]
        case int():
            return {"$numberLong" if key == "height" else "$numberInt": str(value)}
    return value


@pytest.mark.parametrize(
    "form",
    ["canonical", "array", "canonical array", "pretty array", "pretty", "crlf", "bom", "blank"],
)
def test_every_form_of_mongoexport_gives_the_same_tables(tmp_path: Path, form: str) -> None:
    blocks = three_blocks()
    expected, _ = read(write(tmp_path, blocks))
    spelled = [canonical(block) for block in blocks] if "canonical" in form else blocks
    lines = [json.dumps(block, indent=2 if "pretty" in form else None) for block in spelled]
    text = "\n".join(lines) + "\n"
    text = "[" + ",".join(lines) + "]\n" if "array" in form else text
    text = text.replace("\n", "\r\n") if form == "crlf" else text
    text = "\ufeff" + text if form == "bom" else text
    text = "\n" + text.replace("\n", "\n\n") if form == "blank" else text
    path = tmp_path / "other.json"
    path.write_bytes(text.encode())
    rows, reading = read(path, source_names=["export.ndjson"])
    assert reading.rejections == []
    for row in (*expected[BLOCKS_TABLE], *rows[BLOCKS_TABLE]):
        del row["source_line"]
    assert rows == expected


def test_blocks_in_any_order_are_read_in_ledger_order(tmp_path: Path) -> None:
    blocks = three_blocks() + chain_of([], [transaction(EVENT, second=9)], shard=4)
    rows, reading = read(write(tmp_path, blocks[::-1]))
    assert reading.report.is_ok
    assert [(row["shard"], row["height"]) for row in rows[BLOCKS_TABLE]] == [
        (0, 0), (0, 1), (0, 2), (4, 0), (4, 1),
    ]  # fmt: skip
    assert [head["shard"] for head in reading.report.heads] == [0, 4]


def test_a_changed_payload_is_found_by_its_tx_id_and_its_event_is_held_back(tmp_path: Path) -> None:
    blocks = three_blocks()
    blocks[1]["transactions"][0]["payload"] = json.dumps({**EVENT, "action": "ADD"})
    rows, reading = read(write(tmp_path, blocks))
    assert errors(reading) == {"0/1": ["txId mismatch in transaction 0"]}
    assert reading.report.errors[0] == {
        "chain": CHAIN,
        "blockNum": "0/1",
        "valid": False,
        "errors": ["txId mismatch in transaction 0"],
    }
    assert [row["is_tx_id_ok"] for row in rows[TRANSACTIONS_TABLE]] == [False, True, True]
    assert [row["source_ref"] for row in rows[EVENTS_TABLE]] == [f"{CHAIN}/0/2/0"]
    assert [rejection.rule for rejection in reading.rejections] == ["eledger.tx_id"]


def test_a_replaced_transaction_is_found_by_the_merkle_root(tmp_path: Path) -> None:
    blocks = three_blocks()
    blocks[1]["transactions"][0] = transaction({**EVENT, "action": "ADD"})
    rows, reading = read(write(tmp_path, blocks))
    assert errors(reading) == {"0/1": ["merkleRoot mismatch"]}
    assert [row["is_merkle_root_ok"] for row in rows[BLOCKS_TABLE]] == [True, False, True]


def test_a_removed_transaction_is_found_by_the_count_and_the_root(tmp_path: Path) -> None:
    blocks = three_blocks()
    del blocks[1]["transactions"][1]
    _, reading = read(write(tmp_path, blocks))
    assert errors(reading) == {"0/1": ["merkleRoot mismatch", "transactionCount mismatch"]}


def test_a_changed_header_is_found_by_the_hash(tmp_path: Path) -> None:
    blocks = three_blocks()
    blocks[1]["timestamp"] = {"$date": "2024-05-01T06:01:30.000Z"}
    rows, reading = read(write(tmp_path, blocks))
    assert errors(reading) == {"0/1": ["hash mismatch"]}
    assert [row["is_hash_ok"] for row in rows[BLOCKS_TABLE]] == [True, False, True]


def test_a_resealed_block_is_found_by_the_next_ones_link(tmp_path: Path) -> None:
    blocks = three_blocks()
    blocks[1]["transactions"] = []
    seal(blocks[1])
    rows, reading = read(write(tmp_path, blocks))
    assert errors(reading) == {"0/2": ["previousHash mismatch"]}
    assert [row["is_previous_hash_ok"] for row in rows[BLOCKS_TABLE]] == [True, True, False]


def test_a_genesis_block_must_build_on_zeros(tmp_path: Path) -> None:
    block = next_block(None)
    block["previousHash"] = "ab" * 32
    _, reading = read(write(tmp_path, [seal(block)]))
    assert errors(reading) == {"0/0": ["previousHash mismatch"]}


def test_a_gap_in_heights_is_an_error_and_the_link_unknown(tmp_path: Path) -> None:
    blocks = three_blocks()
    rows, reading = read(write(tmp_path, [blocks[0], blocks[2]]))
    assert errors(reading) == {"0/2": ["gap in heights: expected 1, found 2"]}
    assert [row["is_previous_hash_ok"] for row in rows[BLOCKS_TABLE]] == [True, None]


def test_an_export_that_starts_later_is_no_error_but_is_noted(tmp_path: Path) -> None:
    rows, reading = read(write(tmp_path, three_blocks()[1:]))
    assert reading.report.is_ok
    assert rows[BLOCKS_TABLE][0]["is_previous_hash_ok"] is None
    assert "starts at height 1" in reading.report.notes[0]


def test_time_going_backwards_is_an_error(tmp_path: Path) -> None:
    blocks = three_blocks()[:2]
    blocks[1]["timestamp"] = {"$date": "2024-05-01T05:59:00.000Z"}
    _, reading = read(write(tmp_path, [blocks[0], seal(blocks[1])]))
    assert errors(reading) == {"0/1": ["timestamp is earlier than that of the block before"]}


@pytest.mark.parametrize("is_impostor_first", [True, False])
def test_of_a_fork_the_block_that_is_built_on_is_kept(
    tmp_path: Path, is_impostor_first: bool
) -> None:
    blocks = three_blocks()
    impostor = next_block(blocks[0], [transaction({"gtin": "2"}, kind="RECALL")])
    order = [impostor, *blocks] if is_impostor_first else [*blocks, impostor]
    rows, reading = read(write(tmp_path, order))
    assert [row["hash"] for row in rows[BLOCKS_TABLE]] == [block["hash"] for block in blocks]
    assert list(errors(reading)) == ["0/1"]
    assert errors(reading)["0/1"][0].startswith("fork: two blocks of one height")
    (rejection,) = reading.rejections
    assert rejection.rule == "eledger.fork"
    assert json.loads(rejection.record) == impostor


def test_the_same_block_twice_is_read_once_whatever_its_spelling(tmp_path: Path) -> None:
    blocks = three_blocks()
    rows, reading = read(write(tmp_path, [*blocks, blocks[1], canonical(blocks[2])]))
    assert reading.report.is_ok
    assert len(rows[BLOCKS_TABLE]) == 3
    assert "2 blocks stood in the export twice" in reading.report.notes[-1]


def test_a_transaction_on_two_shards_is_an_error_and_its_event_counts_once(tmp_path: Path) -> None:
    blocks = chain_of([transaction(EVENT)]) + chain_of([transaction(EVENT)], shard=7)
    rows, reading = read(write(tmp_path, blocks))
    assert errors(reading) == {"7/0": ["duplicate txId in transaction 0: first in 0/0"]}
    assert len(rows[TRANSACTIONS_TABLE]) == 2
    assert len(rows[EVENTS_TABLE]) == 1
    assert [rejection.rule for rejection in reading.rejections] == ["eledger.duplicate_tx"]


def test_a_transaction_twice_in_one_block_is_an_error_too(tmp_path: Path) -> None:
    _, reading = read(write(tmp_path, chain_of([transaction(EVENT), transaction(EVENT)])))
    assert errors(reading) == {"0/0": ["duplicate txId in transaction 1: first in 0/0"]}


@pytest.mark.parametrize(
    ("payload", "rule", "words"),
    [
        ("{broken", "eledger.payload", "expected JSON in the payload"),
        ('{"type":"ObjectEvent"}', "epcis.schema", "at payload: expected action"),
        ("[]", "epcis.schema", "at payload: expected an event object"),
    ],
)
def test_a_bad_payload_is_rejected_but_its_transaction_stays(
    tmp_path: Path, payload: str, rule: str, words: str
) -> None:
    rows, reading = read(write(tmp_path, chain_of([transaction(payload), transaction(EVENT)])))
    assert reading.report.is_ok
    assert len(rows[TRANSACTIONS_TABLE]) == 2
    assert len(rows[EVENTS_TABLE]) == 1
    (rejection,) = reading.rejections
    assert (rejection.rule, rejection.position) == (rule, "line 1, transaction 0")
    assert words in rejection.reason
    assert rejection.record.decode() == payload


def test_a_payload_of_another_type_is_no_event(tmp_path: Path) -> None:
    rows, reading = read(write(tmp_path, chain_of([transaction("any text", kind="INVOICE")])))
    assert reading.rejections == []
    assert rows[EVENTS_TABLE] == []


def test_a_truncated_last_line_is_rejected_and_the_rest_stands(tmp_path: Path) -> None:
    path = write(tmp_path, three_blocks())
    body = path.read_bytes()
    path.write_bytes(body[:-40])
    rows, reading = read(path)
    assert len(rows[BLOCKS_TABLE]) == 2
    (rejection,) = reading.rejections
    assert (rejection.position, rejection.rule) == ("line 3", "eledger.block")
    assert rejection.record == body[:-40].split(b"\n")[2]


@pytest.mark.parametrize("cut", [40, 1])
def test_a_truncated_array_is_read_up_to_the_break(tmp_path: Path, cut: int) -> None:
    blocks = three_blocks()
    body = b"[" + b",".join(json.dumps(block).encode() for block in blocks)
    path = tmp_path / "export.json"
    path.write_bytes(body[:-cut])
    rows, reading = read(path)
    assert len(rows[BLOCKS_TABLE]) == 2
    assert body[:-cut].endswith(reading.rejections[0].record)


def test_damage_inside_an_array_costs_one_block_only(tmp_path: Path) -> None:
    lines = [json.dumps(block) for block in three_blocks()]
    lines[1] = lines[1].replace('"shard": 0', '"shard": ?')
    path = tmp_path / "export.json"
    path.write_text("[" + ",".join(lines) + "]")
    rows, reading = read(path)
    assert [row["height"] for row in rows[BLOCKS_TABLE]] == [0, 2]
    assert [rejection.record.decode() for rejection in reading.rejections] == [lines[1]]
    assert errors(reading) == {"0/2": ["gap in heights: expected 1, found 2"]}


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("hash",), None, "at hash: expected 64 hex digits"),
        (("hash",), ..., "at hash: expected the field, found none"),
        (("shard",), -1, "at shard: expected a number from 0"),
        (("height",), 2**63, "at height: expected a number from 0"),
        (("timestamp",), "2024", 'at timestamp: expected {"$date": ...}'),
        (("transactions",), {}, "at transactions: expected a list"),
        (("transactions", 0, "payload"), ..., "at transactions/0/payload: expected the field"),
        (("transactions", 0, "payload"), 5, "at transactions/0/payload: expected text"),
        (("transactions", 0, "txId"), "12", "at transactions/0/txId: expected 64 hex digits"),
        (("transactions", 0), "x", "at transactions/0/: expected an object"),
        (("validators", 0, "node"), ..., "at validators/0/node: expected the field"),
    ],
)
def test_a_block_with_a_missing_or_wrong_field_is_rejected_with_its_line(
    tmp_path: Path, path: tuple[Any, ...], value: Any, words: str
) -> None:
    blocks = three_blocks()
    node: Any = blocks[2]
    for key in path[:-1]:
        node = node[key]
    if value is ...:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    rows, reading = read(write(tmp_path, blocks))
    assert len(rows[BLOCKS_TABLE]) == 2
    (rejection,) = reading.rejections
    assert rejection.reason.startswith("line 3: ")
    assert words in rejection.reason


@pytest.mark.parametrize("content", ["", "hello\n", '{"type":"EPCISDocument"}', "\x00\x01"])
def test_what_is_no_export_is_a_feed_error(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other"
    path.write_text(content)
    with pytest.raises(FeedError, match="mongoexport"):
        list(read_exports([path]))


def test_an_empty_array_is_an_export_without_blocks(tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    path.write_text("[]")
    rows, reading = read(path)
    assert rows == {}
    assert reading.report.blocks == 0


def head(block: Document, **changes: Any) -> dict[str, Any]:
    return {"chain": CHAIN, "shard": 0, "height": block["height"], "hash": block["hash"], **changes}


def test_an_export_that_goes_on_behind_the_recorded_head_passes(tmp_path: Path) -> None:
    blocks = three_blocks()
    rows, reading = read(write(tmp_path, blocks[2:]), expected_heads=[head(blocks[1])])
    assert reading.report.is_ok
    assert rows[BLOCKS_TABLE][0]["is_previous_hash_ok"] is True


def test_an_export_that_holds_the_recorded_head_passes(tmp_path: Path) -> None:
    blocks = three_blocks()
    _, reading = read(write(tmp_path, blocks), expected_heads=[head(blocks[1])])
    assert reading.report.is_ok
    assert {check.check: check.covered for check in reading.report.checks}[
        "extends the recorded heads"
    ] == 1


def test_only_blocks_above_the_recorded_head_are_put_into_tables_again(tmp_path: Path) -> None:
    blocks = three_blocks()
    blocks[1]["transactions"][1] = transaction("{broken")
    blocks = [blocks[0], seal(blocks[1]), next_block(blocks[1], [transaction(EVENT, second=3)])]
    _, first = read(write(tmp_path, blocks[:2]))
    rows, second = read(write(tmp_path, blocks), expected_heads=first.report.heads)
    assert [row["height"] for row in rows[BLOCKS_TABLE]] == [2]
    assert [row["height"] for row in rows[TRANSACTIONS_TABLE]] == [2]
    assert len(rows[EVENTS_TABLE]) == 1
    assert (len(first.rejections), second.rejections) == (1, [])
    assert second.report.blocks == 3
    nothing_new, third = read(write(tmp_path, blocks), expected_heads=second.report.heads)
    assert nothing_new == {}
    assert third.report.is_ok
    assert third.report.heads == second.report.heads


def test_a_head_without_its_hash_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected a head with chain, shard, height, hash"):
        read_exports([], expected_heads=[{"chain": CHAIN, "shard": 0, "height": 1}])


def test_a_shard_without_new_blocks_is_noted(tmp_path: Path) -> None:
    blocks = three_blocks()
    heads = [head(blocks[1]), head(blocks[1], shard=5)]
    _, reading = read(write(tmp_path, blocks), expected_heads=heads)
    assert reading.report.is_ok
    assert reading.report.notes == ["Shard 5 has no block in this export."]


def test_a_rewritten_head_is_an_error(tmp_path: Path) -> None:
    blocks = three_blocks()
    other = head(blocks[1], hash="ab" * 32)
    _, reading = read(write(tmp_path, blocks), expected_heads=[other])
    assert errors(reading) == {"0/1": ["rewritten: another block of this height is on record"]}


def test_an_export_that_does_not_link_to_the_recorded_head_is_an_error(tmp_path: Path) -> None:
    blocks = three_blocks()
    other = head(blocks[1], hash="ab" * 32)
    _, reading = read(write(tmp_path, blocks[2:]), expected_heads=[other])
    assert errors(reading) == {"0/2": ["previousHash mismatch"]}


def test_an_export_that_ends_before_the_recorded_head_is_an_error(tmp_path: Path) -> None:
    blocks = three_blocks()
    _, reading = read(write(tmp_path, blocks[:2]), expected_heads=[head(blocks[2])])
    assert errors(reading) == {"0/2": ["the export ends at 1; a head at 2 is on record"]}


def test_a_gap_behind_the_recorded_head_is_an_error(tmp_path: Path) -> None:
    blocks = three_blocks()
    _, reading = read(write(tmp_path, blocks[2:]), expected_heads=[head(blocks[0])])
    assert errors(reading) == {"0/2": ["gap in heights: expected 1 after the head on record"]}


def test_coverage_says_that_signatures_are_not_checked_yet(tmp_path: Path) -> None:
    _, reading = read(write(tmp_path, three_blocks()))
    notes = {check.check: check for check in reading.report.checks}
    for name in ("submitter signature", "validator quorum"):
        assert not notes[name].is_possible
        assert "not checked yet" in notes[name].note


def test_the_node_list_is_recognised_and_kept_beside(tmp_path: Path) -> None:
    nodes = tmp_path / "nodes.json"
    nodes.write_text(
        json.dumps(
            {
                "chain": CHAIN,
                "quorum": [2, 3],
                "nodes": [{"node": "n01", "shard": 0, "publicKey": "AA=="}],
                "submitters": [],
            }
        )
    )
    blocks = write(tmp_path, three_blocks())
    assert (sniff(nodes), sniff(blocks)) == (NODES_KIND, BLOCKS_KIND)
    reading = read_exports([nodes, blocks])
    assert sum(tables[BLOCKS_TABLE].num_rows for tables in reading) == 3
    assert reading.nodes is not None
    assert reading.nodes.quorum == (2, 3)


@pytest.mark.parametrize("quorum", ["[2]", '"x"', "[]", "[1e400, 2]"])
def test_a_node_list_of_another_form_is_a_feed_error(tmp_path: Path, quorum: str) -> None:
    path = tmp_path / "nodes.json"
    path.write_text(
        f'{{"chain":"c","quorum":{quorum},"nodes":[{{"publicKey":""}}],"submitters":[]}}'
    )
    with pytest.raises(FeedError, match="a node list"):
        list(read_exports([path]))


def test_an_export_too_large_to_keep_is_parsed_again_with_the_same_outcome(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, three_blocks())
    kept, _ = read(path)
    monkeypatch.setattr("orchestration.feeds.eledger.reader.KEPT_BYTES", 0)
    again, _ = read(path)
    assert again == kept


def test_large_exports_come_in_several_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("orchestration.feeds.eledger.reader.TRANSACTIONS_PER_GROUP", 1)
    groups = list(read_exports([write(tmp_path, three_blocks())]))
    assert len(groups) == 2
    assert sum(group[TRANSACTIONS_TABLE].num_rows for group in groups) == 3


def test_a_reading_can_be_iterated_again(tmp_path: Path) -> None:
    reading = read_exports([write(tmp_path, three_blocks())])
    assert [len(list(reading)), len(list(reading))] == [1, 1]
    assert reading.report.blocks == 3
