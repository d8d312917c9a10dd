"""One block of the E-Ledger, parsed from its document. Checking it belongs to ``checks.py``."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from orchestration.feeds.eledger.extended_json import ExtendedJsonError, integer, milliseconds

_HASH = re.compile(r"[0-9a-fA-F]{64}")
_INT32 = 2**31 - 1
_INT64 = 2**63 - 1


class BadBlockError(ValueError):
    """A document that is not a block; the message says where, what was expected and found."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction as it stands in a block; ``submitted_at`` in milliseconds since 1970."""

    tx_id: str
    type: str
    submitter: str
    submitted_at: int
    payload: str
    signature: str


@dataclass(frozen=True, slots=True)
class Validation:
    """One node's signature (base64) over the block's raw hash."""

    node: str
    signature: str


@dataclass(frozen=True, slots=True)
class Block:
    """A block as it stands in an export; ``timestamp`` in milliseconds since 1970."""

    chain: str
    shard: int
    height: int
    timestamp: int
    previous_hash: str
    merkle_root: str
    transaction_count: int
    transactions: tuple[Transaction, ...]
    validators: tuple[Validation, ...]
    hash: str


def parse_block(document: Any) -> Block:
    """Return the block that a document of Extended JSON holds.

    Args:
        document: One parsed line or array element of the export.

    Raises:
        BadBlockError: If a field is missing or of the wrong type.
    """
    _expect(isinstance(document, dict), "the document", "an object")
    return Block(
        chain=_field(document, "chain", "", _text),
        shard=_field(document, "shard", "", _int32),
        height=_field(document, "height", "", _int64),
        timestamp=_field(document, "timestamp", "", milliseconds),
        previous_hash=_field(document, "previousHash", "", _hash),
        merkle_root=_field(document, "merkleRoot", "", _hash),
        transaction_count=_field(document, "transactionCount", "", _int32),
        transactions=tuple(
            _transaction(entry, f"transactions/{number}/")
            for number, entry in enumerate(_field(document, "transactions", "", _list))
        ),
        validators=tuple(
            _validation(entry, f"validators/{number}/")
            for number, entry in enumerate(_field(document, "validators", "", _list))
        ),
        hash=_field(document, "hash", "", _hash),
    )


def _transaction(entry: Any, path: str) -> Transaction:
    _expect(isinstance(entry, dict), path, "an object")
    return Transaction(
        tx_id=_field(entry, "txId", path, _hash),
        type=_field(entry, "type", path, _text),
        submitter=_field(entry, "submitter", path, _text),
        submitted_at=_field(entry, "submittedAt", path, milliseconds),
        payload=_field(entry, "payload", path, _text),
        signature=_field(entry, "signature", path, _text),
    )


def _validation(entry: Any, path: str) -> Validation:
    _expect(isinstance(entry, dict), path, "an object")
    return Validation(
        node=_field(entry, "node", path, _text), signature=_field(entry, "signature", path, _text)
    )


def _field(entry: dict[str, Any], name: str, path: str, convert: Callable[[Any], Any]) -> Any:
    if name not in entry:
        raise BadBlockError(f"at {path}{name}: expected the field, found none")
    try:
        return convert(entry[name])
    except ExtendedJsonError as error:
        raise BadBlockError(f"at {path}{name}: {error}") from error


def _expect(is_met: bool, path: str, expected: str) -> None:
    if not is_met:
        raise BadBlockError(f"at {path}: expected {expected}, found something else")


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ExtendedJsonError("expected text, found something else")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ExtendedJsonError("expected a list, found something else")
    return value


def _hash(value: Any) -> str:
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise ExtendedJsonError("expected 64 hex digits, found something else")
    return value.lower()


def _int32(value: Any) -> int:
    return _ranged(value, _INT32)


def _int64(value: Any) -> int:
    return _ranged(value, _INT64)


def _ranged(value: Any, most: int) -> int:
    number = integer(value)
    if not 0 <= number <= most:
        raise ExtendedJsonError(f"expected a number from 0 to {most}, found another")
    return number
