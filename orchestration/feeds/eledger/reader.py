"""Reads E-Ledger exports: two passes, tables in ledger order, rejections and report.

The first pass finds the blocks (``index.py``), the second verifies them (``checks.py``) and lays
them out as tables. What a payload means belongs to dbt.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import pyarrow as pa

from orchestration.feeds.common import FeedError, Rejection, VerificationReport, name_of
from orchestration.feeds.eledger import checks, source
from orchestration.feeds.eledger.blocks import BadBlockError, Block, Transaction, parse_block
from orchestration.feeds.eledger.index import ChainIndex, Header, ShardKey, header_of
from orchestration.feeds.eledger.nodes import NodeDirectory, read_nodes
from orchestration.feeds.epcis import EVENTS_TABLE, BadEventError, EventRows
from orchestration.feeds.epcis.events import sha256_key

BLOCKS_TABLE = "raw_eledger__blocks"
TRANSACTIONS_TABLE = "raw_eledger__transactions"
EPCIS_TYPE = "EPCIS_EVENT"
# One group of tables holds about this many transactions (some 30 MB of payload).
TRANSACTIONS_PER_GROUP = 20_000
# Blocks of the first so many bytes stay in memory between the passes: parsing them again would
# take a third of the time, and a larger export must still fit.
KEPT_BYTES = 64 * 2**20

_TIMESTAMP = pa.timestamp("us", tz="UTC")
BLOCKS_SCHEMA = pa.schema(
    [
        pa.field("chain", pa.string(), nullable=False),
        pa.field("shard", pa.int32(), nullable=False),
        pa.field("height", pa.int64(), nullable=False),
        pa.field("timestamp", _TIMESTAMP, nullable=False),
        pa.field("previous_hash", pa.string(), nullable=False),
        pa.field("merkle_root", pa.string(), nullable=False),
        pa.field("transaction_count", pa.int32(), nullable=False),
        pa.field("hash", pa.string(), nullable=False),
        pa.field("is_hash_ok", pa.bool_(), nullable=False),
        pa.field("is_previous_hash_ok", pa.bool_()),
        pa.field("is_merkle_root_ok", pa.bool_(), nullable=False),
        pa.field("is_count_ok", pa.bool_(), nullable=False),
        pa.field("validator_count", pa.int32(), nullable=False),
        pa.field("source_file", pa.string(), nullable=False),
        pa.field("source_line", pa.int64(), nullable=False),
    ]
)
TRANSACTIONS_SCHEMA = pa.schema(
    [
        pa.field("chain", pa.string(), nullable=False),
        pa.field("shard", pa.int32(), nullable=False),
        pa.field("height", pa.int64(), nullable=False),
        pa.field("tx_number", pa.int32(), nullable=False),
        pa.field("tx_id", pa.string(), nullable=False),
        pa.field("type", pa.string(), nullable=False),
        pa.field("submitter_gln", pa.string(), nullable=False),
        pa.field("submitted_at", _TIMESTAMP, nullable=False),
        pa.field("payload", pa.string(), nullable=False),
        pa.field("signature", pa.string(), nullable=False),
        pa.field("is_tx_id_ok", pa.bool_(), nullable=False),
    ]
)
_CHECKS = (
    checks.HASH,
    checks.PREVIOUS_HASH,
    checks.MERKLE_ROOT,
    checks.COUNT,
    checks.TX_ID,
    checks.HEIGHTS,
    checks.FORKS,
    checks.DUPLICATES,
    checks.TIME,
    checks.HEADS,
    checks.PAYLOADS,
)
_MICROSECONDS_PER_MILLISECOND = 1_000


def read_exports(
    paths: Sequence[Path],
    *,
    source_names: Sequence[str] | None = None,
    expected_heads: Sequence[Mapping[str, Any]] = (),
) -> EledgerReading:
    """Read exported blocks (NDJSON or JSON array), and the node list beside them if it is given.

    Args:
        paths: Landed files of one export: blocks, and optionally ``nodes.json``.
        source_names: Names under which the files are cited, in the same order; by default their
            file names.
        expected_heads: Heads recorded earlier, each ``{"chain", "shard", "height", "hash"}``. The
            export must hold each such block unchanged, or go on directly behind it. All blocks
            are verified; only those above the head of their shard are put into tables.

    Returns:
        A reading whose tables are ``raw_eledger__blocks``, ``raw_eledger__transactions`` and
        ``raw_epcis__events``. Iterating it raises FeedError at a file that is no E-Ledger export
        at all, and OSError at one that cannot be opened.

    Raises:
        ValueError: If an expected head is not one.
    """
    names = list(source_names) if source_names is not None else [name_of(path) for path in paths]
    return EledgerReading(list(zip(paths, names, strict=True)), expected_heads)


class EledgerReading:
    """One pass over an export; see ``orchestration.feeds.common.Reading``.

    Attributes:
        report: What was verified, and what could not be.
        rejections: Documents and payloads that were refused.
        nodes: The node list that came with the export, if one did.
    """

    def __init__(
        self, sources: Sequence[tuple[Path, str]], expected_heads: Sequence[Mapping[str, Any]]
    ) -> None:
        self._sources = sources
        self._expected = _by_shard(expected_heads)
        self.nodes: NodeDirectory | None = None
        self._reset()

    def _reset(self) -> None:
        self.report = VerificationReport(container="e-ledger export", network="")
        self.rejections: list[Rejection] = []
        self._errors = checks.ReportedErrors()
        self._index = ChainIndex()
        self._block_sources: list[tuple[Path, str]] = []
        self._seen: dict[bytes, tuple[int, int, int]] = {}
        self._kept: dict[tuple[int, int], Block] = {}
        self._room = KEPT_BYTES
        self._group = _Group()

    def __iter__(self) -> Iterator[Mapping[str, pa.Table]]:
        self._reset()
        for path, name in self._sources:
            self._find(path, name)
        with ExitStack() as stack:
            files = [stack.enter_context(path.open("rb")) for path, _ in self._block_sources]
            shards = self._index.shards()
            for key in sorted(set(self._expected) - set(shards)):
                self.report.notes.append(f"Shard {key[1]} has no block in this export.")
            for key, heights in shards.items():
                yield from self._read_shard(key, heights, files)
        if self._group.blocks:
            yield self._group.take_tables()
        self._finish()

    def _find(self, path: Path, name: str) -> None:
        kind = source.sniff(path)
        if kind == source.NODES_KIND:
            self.nodes = read_nodes(path, name)
            return
        if kind != source.BLOCKS_KIND:
            is_empty = path.stat().st_size == 0
            raise FeedError(
                where=name,
                expected="blocks exported by mongoexport (one JSON document a line, or an array)",
                found="an empty file" if is_empty else "something else",
                what_to_do="Export the blocks collection again with mongoexport.",
            )
        number = len(self._block_sources)
        self._block_sources.append((path, name))
        if number == 0:
            form = "JSON array" if source.is_array(path) else "NDJSON"
            self.report.container = f"e-ledger {form}"
        for span in source.documents(path):
            self._add(number, name, span)

    def _add(self, number: int, name: str, span: source.Span) -> None:
        try:
            block = _parse(span)
        except BadBlockError as error:
            place = f"line {span.number}"
            self.rejections.append(
                Rejection(name, place, "eledger.block", f"{place}: {error}", span.body)
            )
            return
        if self._index.add(header_of(block, number, span)) and len(span.body) <= self._room:
            self._room -= len(span.body)
            self._kept[number, span.start] = block

    def _read_shard(
        self, key: ShardKey, heights: Sequence[int], files: Sequence[BinaryIO]
    ) -> Iterator[Mapping[str, pa.Table]]:
        self._check_recorded_head(key, heights)
        before: Header | None = None
        for height in heights:
            header, *others = self._index.candidates(key, height)
            self._errors.cover(checks.FORKS)
            for other in others:
                self._refuse_fork(header, other, files)
            self._read_block(header, before, files)
            before = header
            if len(self._group.transactions) >= TRANSACTIONS_PER_GROUP:
                yield self._group.take_tables()
        if before is not None:
            self.report.heads.append(
                {"chain": key[0], "shard": key[1], "height": before.height, "hash": before.hash}
            )

    def _check_recorded_head(self, key: ShardKey, heights: Sequence[int]) -> None:
        recorded = self._expected.get(key)
        if recorded is None:
            if heights[0] > 0:
                self.report.notes.append(
                    f"Shard {key[1]} starts at height {heights[0]}: what is before is not here."
                )
            return
        self._errors.cover(checks.HEADS)
        height = int(recorded["height"])
        if heights[-1] < height:
            words = f"the export ends at {heights[-1]}; a head at {height} is on record"
            self._errors.fail(checks.HEADS, key, height, words)
        elif heights[0] > height + 1:
            words = f"gap in heights: expected {height + 1} after the head on record"
            self._errors.fail(checks.HEADS, key, heights[0], words)
        elif height in heights:
            found = self._index.candidates(key, height)[0]
            if found.hash != recorded["hash"]:
                words = "rewritten: another block of this height is on record"
                self._errors.fail(checks.HEADS, key, height, words)

    def _refuse_fork(self, kept: Header, other: Header, files: Sequence[BinaryIO]) -> None:
        words = (
            f"fork: two blocks of one height; line {kept.number} is kept until the quorum is "
            f"checked, line {other.number} is held back"
        )
        self._errors.fail(checks.FORKS, other.shard_key, other.height, words)
        body = _body(other, files)
        name = self._block_sources[other.source][1]
        self.rejections.append(Rejection(name, f"line {other.number}", "eledger.fork", words, body))

    def _read_block(self, header: Header, before: Header | None, files: Sequence[BinaryIO]) -> None:
        block = self._kept.pop((header.source, header.start), None)
        if block is None:
            block = _parse(source.Span(header.number, header.start, _body(header, files)))
        recorded = self._expected.get(header.shard_key)
        height = -1 if recorded is None else int(recorded["height"])
        follows = recorded if header.height == height + 1 else None
        link = checks.check_link(header, before, follows, self._errors)
        verdict = checks.verify_block(block)
        self._count(block, verdict)
        first = [self._is_first(block, number) for number in range(len(block.transactions))]
        # What lies below the head on record was put into tables by an earlier reading.
        if header.height > height:
            self._lay_out(block, header, verdict, link, first)

    def _lay_out(
        self,
        block: Block,
        header: Header,
        verdict: checks.BlockVerdict,
        link: bool | None,
        first: Sequence[bool],
    ) -> None:
        name = self._block_sources[header.source][1]
        self._group.blocks.append(_block_row(block, verdict, link, name, header.number))
        for number, entry in enumerate(block.transactions):
            is_ok = verdict.tx_ids_ok[number]
            self._group.transactions.append(_transaction_row(block, number, entry, is_ok))
            if entry.type == EPCIS_TYPE:
                self._read_payload(block, number, is_ok, first[number], header)

    def _count(self, block: Block, verdict: checks.BlockVerdict) -> None:
        key = (block.chain, block.shard)
        self.report.blocks += 1
        self.report.transactions += len(block.transactions)
        for check in (checks.HASH, checks.MERKLE_ROOT, checks.COUNT):
            self._errors.cover(check)
        self._errors.cover(checks.TX_ID, len(block.transactions))
        for message in verdict.errors:
            self._errors.fail(message.split(" ", 1)[0], key, block.height, message)

    def _read_payload(
        self, block: Block, number: int, is_ok: bool, is_first: bool, header: Header
    ) -> None:
        try:
            self._add_event(block, number, is_ok, is_first)
        except _RefusedPayloadError as error:
            position = f"line {header.number}, transaction {number}"
            name = self._block_sources[header.source][1]
            words = f"{position}: {error}"
            body = block.transactions[number].payload.encode()
            self.rejections.append(Rejection(name, position, error.rule, words, body))

    def _is_first(self, block: Block, number: int) -> bool:
        self._errors.cover(checks.DUPLICATES)
        entry = block.transactions[number]
        place = (block.shard, block.height, number)
        first = self._seen.setdefault(bytes.fromhex(entry.tx_id), place)
        if first == place:
            return True
        words = f"duplicate txId in transaction {number}: first in {first[0]}/{first[1]}"
        self._errors.fail(checks.DUPLICATES, (block.chain, block.shard), block.height, words)
        return False

    def _add_event(self, block: Block, number: int, is_ok: bool, is_first: bool) -> None:
        entry = block.transactions[number]
        if not is_ok:
            words = "expected the payload that the txId names, found another"
            raise _RefusedPayloadError("eledger.tx_id", words)
        if not is_first:
            words = "expected a txId once, found it a second time"
            raise _RefusedPayloadError("eledger.duplicate_tx", words)
        self._errors.cover(checks.PAYLOADS)
        try:
            self._group.events.add(
                orjson.loads(entry.payload),
                event_key=sha256_key(entry.tx_id),
                source_kind="eledger",
                source_ref=f"{block.chain}/{block.shard}/{block.height}/{number}",
            )
        except orjson.JSONDecodeError as error:
            self._errors.refuse(checks.PAYLOADS)
            words = "expected JSON in the payload, found something else"
            raise _RefusedPayloadError("eledger.payload", words) from error
        except BadEventError as error:
            self._errors.refuse(checks.PAYLOADS)
            raise _RefusedPayloadError("epcis.schema", error.in_words("payload")) from error

    def _finish(self) -> None:
        report = self.report
        chains = {str(head["chain"]) for head in report.heads}
        report.network = ", ".join(sorted(chains))
        report.errors = self._errors.to_json()
        report.checks = self._errors.coverage(_CHECKS)
        if self._index.repeated:
            words = f"{self._index.repeated} blocks stood in the export twice, unchanged."
            report.notes.append(words)
        if self.nodes is not None:
            words = f"{len(self.nodes.nodes)} nodes and {len(self.nodes.submitters)} submitters"
            report.notes.append(f"Node list of {self.nodes.chain}: {words}.")


def _by_shard(heads: Sequence[Mapping[str, Any]]) -> dict[ShardKey, Mapping[str, Any]]:
    for head in heads:
        missing = {"chain", "shard", "height", "hash"} - set(head)
        if missing:
            raise ValueError(f"expected a head with chain, shard, height, hash; no {missing}")
    return {(str(head["chain"]), int(head["shard"])): head for head in heads}


class _RefusedPayloadError(ValueError):
    """A payload whose event is held back; its transaction stays."""

    def __init__(self, rule: str, words: str) -> None:
        self.rule = rule
        super().__init__(words)


class _Group:
    """Rows of the three tables until they are handed over."""

    def __init__(self) -> None:
        self.blocks: list[tuple[Any, ...]] = []
        self.transactions: list[tuple[Any, ...]] = []
        self.events = EventRows()

    def take_tables(self) -> Mapping[str, pa.Table]:
        tables = {
            BLOCKS_TABLE: _table(self.blocks, BLOCKS_SCHEMA),
            TRANSACTIONS_TABLE: _table(self.transactions, TRANSACTIONS_SCHEMA),
            EVENTS_TABLE: self.events.take_table(),
        }
        self.blocks, self.transactions = [], []
        return tables


def _table(rows: list[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    arrays = [
        pa.array(column, type=field.type) for column, field in zip(columns, schema, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _body(header: Header, files: Sequence[BinaryIO]) -> bytes:
    file = files[header.source]
    file.seek(header.start)
    return file.read(header.length)


def _parse(span: source.Span) -> Block:
    if not span.is_whole:
        raise BadBlockError("expected a whole JSON document, found one that breaks off")
    try:
        document = orjson.loads(span.body)
    except orjson.JSONDecodeError as error:
        raise BadBlockError(
            f"expected a JSON document, found text that breaks at column {error.colno}"
        ) from error
    return parse_block(document)


def _block_row(
    block: Block, verdict: checks.BlockVerdict, link: bool | None, name: str, line: int
) -> tuple[Any, ...]:
    return (
        block.chain,
        block.shard,
        block.height,
        block.timestamp * _MICROSECONDS_PER_MILLISECOND,
        block.previous_hash,
        block.merkle_root,
        block.transaction_count,
        block.hash,
        verdict.is_hash_ok,
        link,
        verdict.is_merkle_root_ok,
        verdict.is_count_ok,
        len(block.validators),
        name,
        line,
    )


def _transaction_row(block: Block, number: int, entry: Transaction, is_ok: bool) -> tuple[Any, ...]:
    return (
        block.chain,
        block.shard,
        block.height,
        number,
        entry.tx_id,
        entry.type,
        entry.submitter,
        entry.submitted_at * _MICROSECONDS_PER_MILLISECOND,
        entry.payload,
        entry.signature,
        is_ok,
    )
