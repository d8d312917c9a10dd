"""The raw tables of a Fabric channel: their Arrow schemas and how rows become columns.

What belongs here: column names and types, and the builder that collects decoded blocks and hands
them out in bounded groups. One row per block, transaction, write and certificate; hashes are lower
case hex, times are UTC.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import pyarrow as pa
from google.protobuf.message import DecodeError

from orchestration.feeds.fabric import messages
from orchestration.feeds.fabric.containers import StoredBlock
from orchestration.feeds.fabric.transactions import DecodedTransaction, text_or_base64

_TIME = pa.timestamp("us", "UTC")

BLOCKS = pa.schema(
    {
        "channel": pa.string(),
        "block_number": pa.int64(),
        "header_hash": pa.string(),
        "previous_hash": pa.string(),
        "data_hash": pa.string(),
        "transaction_count": pa.int32(),
        "valid_transaction_count": pa.int32(),
        "commit_hash": pa.string(),
        "is_data_hash_ok": pa.bool_(),
        "is_previous_hash_ok": pa.bool_(),
        "is_validity_known": pa.bool_(),
        "orderer_signature_count": pa.int32(),
        "source_file": pa.string(),
        "source_offset": pa.int64(),
    }
)
TRANSACTIONS = pa.schema(
    {
        "channel": pa.string(),
        "block_number": pa.int64(),
        "tx_number": pa.int32(),
        "tx_id": pa.string(),
        "header_type": pa.string(),
        "submitted_at": _TIME,
        "creator_msp_id": pa.string(),
        "creator_certificate_sha256": pa.string(),
        "chaincode_name": pa.string(),
        "chaincode_version": pa.string(),
        "function": pa.string(),
        "validation_code": pa.int32(),
        "is_valid": pa.bool_(),
        "endorsement_count": pa.int32(),
        "write_count": pa.int32(),
        "is_tx_id_ok": pa.bool_(),
        "is_proposal_hash_ok": pa.bool_(),
    }
)
WRITES = pa.schema(
    {
        "channel": pa.string(),
        "block_number": pa.int64(),
        "tx_number": pa.int32(),
        "write_number": pa.int32(),
        "tx_id": pa.string(),
        "namespace": pa.string(),
        "collection": pa.string(),
        "key": pa.string(),
        "key_hash": pa.string(),
        "is_delete": pa.bool_(),
        "value": pa.binary(),
        "value_hash": pa.string(),
        "is_committed": pa.bool_(),
    }
)
CERTIFICATES = pa.schema(
    {
        "channel": pa.string(),
        "certificate_sha256": pa.string(),
        "msp_id": pa.string(),
        "certificate_pem": pa.string(),
    }
)
SCHEMAS = {
    "raw_fabric__blocks": BLOCKS,
    "raw_fabric__transactions": TRANSACTIONS,
    "raw_fabric__writes": WRITES,
    "raw_fabric__certificates": CERTIFICATES,
}

_MAX_WRITES = 100_000
_MAX_TRANSACTIONS = 50_000
_MAX_VALUE_BYTES = 64 << 20
_VALID, _NOT_VALIDATED = 0, 254
_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----(.+?)-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class BlockFacts:
    """What verification found about one block, for its row."""

    header_hash: bytes
    is_data_hash_ok: bool
    is_previous_hash_ok: bool | None
    validation_codes: bytes | None
    commit_hash: bytes | None
    orderers: Sequence[bytes]


def is_valid(code: int | None) -> bool | None:
    """Return whether a validation code commits its transaction; None if it was not validated."""
    return None if code is None or code == _NOT_VALIDATED else code == _VALID


@dataclass(slots=True)
class _WriteColumns:
    """Columns of the writes table that differ from write to write."""

    transaction: list[int] = field(default_factory=list)
    number: list[int] = field(default_factory=list)
    namespace: list[str] = field(default_factory=list)
    collection: list[str | None] = field(default_factory=list)
    key: list[bytes | None] = field(default_factory=list)
    key_hash: list[str | None] = field(default_factory=list)
    is_delete: list[bool] = field(default_factory=list)
    value: list[bytes | None] = field(default_factory=list)
    value_hash: list[str | None] = field(default_factory=list)


class TableBuilder:
    """Collects one channel's blocks and hands them out as Arrow tables."""

    def __init__(self, channel: str) -> None:
        self._channel = channel
        self._identities: dict[bytes, tuple[str, str] | None] = {}
        self._certificates_seen: set[tuple[str, str]] = set()
        self._reset()

    @property
    def is_empty(self) -> bool:
        """Whether nothing was collected."""
        return not self._blocks

    @property
    def is_full(self) -> bool:
        """Whether the rows collected are enough for one group."""
        return (
            len(self._writes.key) >= _MAX_WRITES
            or self._value_bytes >= _MAX_VALUE_BYTES
            or len(self._transactions) >= _MAX_TRANSACTIONS
        )

    def add(
        self,
        block: StoredBlock,
        facts: BlockFacts,
        transactions: Sequence[tuple[int, DecodedTransaction]],
    ) -> None:
        """Add one block with its (tx_number, transaction) pairs."""
        codes = facts.validation_codes
        for orderer in facts.orderers:
            self._identify(orderer)
        self._blocks.append(
            (
                self._channel,
                block.number,
                facts.header_hash.hex(),
                block.previous_hash.hex(),
                block.data_hash.hex(),
                len(block.envelopes),
                None if codes is None else codes.count(_VALID),
                facts.commit_hash.hex() if facts.commit_hash else None,
                facts.is_data_hash_ok,
                facts.is_previous_hash_ok,
                codes is not None,
                len(facts.orderers),
                block.source_file,
                block.source_offset,
            )
        )
        for number, transaction in transactions:
            code = None if codes is None else codes[number]
            self._add_transaction(block.number, number, transaction, code)

    def take(self) -> Mapping[str, pa.Table]:
        """Return what was collected, by raw table name, and start anew."""
        tables = {
            "raw_fabric__blocks": _from_rows(self._blocks, BLOCKS),
            "raw_fabric__transactions": _from_rows(self._transactions, TRANSACTIONS),
        }
        tables["raw_fabric__writes"] = self._write_table(tables["raw_fabric__transactions"])
        tables["raw_fabric__certificates"] = _from_rows(self._certificates, CERTIFICATES)
        self._reset()
        return tables

    def _reset(self) -> None:
        self._blocks: list[tuple[Any, ...]] = []
        self._transactions: list[tuple[Any, ...]] = []
        self._certificates: list[tuple[str, str, str, str]] = []
        self._writes = _WriteColumns()
        self._value_bytes = 0

    def _add_transaction(
        self, block_number: int, number: int, transaction: DecodedTransaction, code: int | None
    ) -> None:
        msp_id, fingerprint = self._identify(transaction.creator) or (None, None)
        for endorser in transaction.endorsers:
            self._identify(endorser)
        self._transactions.append(
            (
                self._channel,
                block_number,
                number,
                transaction.tx_id,
                transaction.header_type,
                transaction.submitted_at,
                msp_id,
                fingerprint,
                transaction.chaincode_name,
                transaction.chaincode_version,
                transaction.function,
                code,
                is_valid(code),
                len(transaction.endorsers),
                transaction.write_count,
                transaction.is_tx_id_ok,
                transaction.is_proposal_hash_ok,
            )
        )
        self._add_writes(transaction)

    def _add_writes(self, transaction: DecodedTransaction) -> None:
        columns, start = self._writes, len(self._writes.key)
        for each in transaction.writes:
            count = len(each.keys)
            nothing = [None] * count
            is_public = each.collection is None
            columns.namespace += [each.namespace] * count
            columns.collection += [each.collection] * count
            columns.is_delete += [value is None for value in each.values]
            columns.key += each.keys if is_public else nothing
            columns.value += each.values if is_public else nothing
            columns.key_hash += nothing if is_public else _hex(each.keys)
            columns.value_hash += nothing if is_public else _hex(each.values)
            self._value_bytes += sum(map(len, filter(None, each.values)))
        added = len(columns.key) - start
        columns.transaction += [len(self._transactions) - 1] * added
        columns.number += range(added)

    def _write_table(self, transactions: pa.Table) -> pa.Table:
        columns = self._writes
        index = pa.array(columns.transaction, pa.int32())
        of_transaction = transactions.select(
            ["channel", "block_number", "tx_number", "tx_id", "is_valid"]
        ).take(index)
        arrays = {
            **{name: of_transaction[name] for name in of_transaction.column_names},
            "write_number": pa.array(columns.number, pa.int32()),
            "namespace": pa.array(columns.namespace, pa.string()),
            "collection": pa.array(columns.collection, pa.string()),
            "key": _texts(columns.key),
            "key_hash": pa.array(columns.key_hash, pa.string()),
            "is_delete": pa.array(columns.is_delete, pa.bool_()),
            "value": pa.array(columns.value, pa.binary()),
            "value_hash": pa.array(columns.value_hash, pa.string()),
            "is_committed": of_transaction["is_valid"],
        }
        return pa.table({name: arrays[name] for name in WRITES.names}, schema=WRITES)

    def _identify(self, serialized: bytes) -> tuple[str, str] | None:
        """Return (MSP id, certificate SHA-256) of an identity and keep its certificate once."""
        if serialized not in self._identities:
            self._identities[serialized] = self._keep(serialized)
        return self._identities[serialized]

    def _keep(self, serialized: bytes) -> tuple[str, str] | None:
        if not serialized:
            return None
        try:
            identity = messages.SerializedIdentity.FromString(serialized)
        except DecodeError:
            return None
        fingerprint, text = _certificate(identity.id_bytes)
        known = (identity.mspid, fingerprint)
        if known not in self._certificates_seen:
            self._certificates_seen.add(known)
            self._certificates.append((self._channel, fingerprint, identity.mspid, text))
        return known


def _certificate(id_bytes: bytes) -> tuple[str, str]:
    """Return SHA-256 and text of a certificate: of its DER where it is PEM, else of the bytes."""
    der = id_bytes
    if found := _PEM.search(id_bytes):
        try:
            der = base64.b64decode(found[1])
        except binascii.Error:
            der = id_bytes
    return sha256(der).hexdigest(), text_or_base64(id_bytes)


def _from_rows(rows: Sequence[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else ([] for _ in schema)
    arrays = [pa.array(column, each.type) for column, each in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _hex(hashes: Iterable[bytes | None]) -> list[str | None]:
    return [None if each is None else each.hex() for each in hashes]


def _texts(keys: Sequence[bytes | None]) -> pa.Array:
    """Return keys as text; converting them at once is much faster than one by one."""
    try:
        return pa.array(keys, pa.binary()).cast(pa.string())
    except pa.ArrowInvalid:
        return pa.array([key if key is None else text_or_base64(key) for key in keys], pa.string())
