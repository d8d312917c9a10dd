"""The E-Ledger's digests: what is hashed and signed, byte for byte (specs/eledger_export.md)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from ledger_anchor.tree import tree_root

_TX_DOMAIN = "eledger-tx/v1"
_BLOCK_DOMAIN = "eledger-block/v1"
GENESIS_PREVIOUS_HASH = "0" * 64


def transaction_message(kind: str, submitter: str, submitted_at: str, payload: str) -> bytes:
    """Return the bytes that a submitter signs and whose SHA-256 is the txId.

    Args:
        kind: Transaction type, for example ``EPCIS_EVENT``.
        submitter: The submitter's GLN.
        submitted_at: RFC 3339 with milliseconds and Z.
        payload: The payload's exact text.
    """
    return "\n".join((_TX_DOMAIN, kind, submitter, submitted_at, payload)).encode()


def transaction_id(message: bytes) -> bytes:
    """Return the 32 bytes of a transaction's id."""
    return hashlib.sha256(message).digest()


def merkle_root(transaction_ids: Sequence[bytes]) -> bytes:
    """Return the RFC 6962 root over raw transaction ids in block order (32 bytes)."""
    return tree_root(transaction_ids)


def block_hash(
    *,
    chain: str,
    shard: int,
    height: int,
    timestamp: str,
    previous_hash: str,
    merkle_root_hex: str,
    transaction_count: int,
) -> bytes:
    """Return the 32 bytes of a block's hash, which its validators sign.

    Args:
        chain: Chain name.
        shard: Shard number.
        height: Height in the shard, the genesis block being 0.
        timestamp: RFC 3339 with milliseconds and Z.
        previous_hash: 64 hex digits.
        merkle_root_hex: 64 hex digits.
        transaction_count: Number of transactions.
    """
    parts = (
        _BLOCK_DOMAIN,
        chain,
        str(shard),
        str(height),
        timestamp,
        previous_hash,
        merkle_root_hex,
        str(transaction_count),
    )
    return hashlib.sha256("\n".join(parts).encode()).digest()
