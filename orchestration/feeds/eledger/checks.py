"""What is verified of one block and of its link to the block before it.

Signatures of submitters and validators are a check of their own that does not exist yet: a block
carries them (``Block.validators``, ``Transaction.signature``) and ``NodeDirectory`` has the keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestration.feeds.common import CheckCoverage
from orchestration.feeds.eledger.blocks import Block
from orchestration.feeds.eledger.digests import (
    GENESIS_PREVIOUS_HASH,
    block_hash,
    merkle_root,
    transaction_id,
    transaction_message,
)
from orchestration.feeds.eledger.extended_json import rfc3339
from orchestration.feeds.eledger.index import Header, ShardKey

HASH = "hash"
PREVIOUS_HASH = "previousHash"
MERKLE_ROOT = "merkleRoot"
COUNT = "transactionCount"
TX_ID = "txId"
HEIGHTS = "heights without gap"
FORKS = "one block per height"
DUPLICATES = "txId unique across shards"
TIME = "time goes forward"
HEADS = "extends the recorded heads"
PAYLOADS = "EPCIS payload schema"
_NOT_YET = {
    "submitter signature": "Submitters' Ed25519 signatures are not checked yet.",
    "validator quorum": "Validators' signatures and the two-thirds quorum are not checked yet.",
}


@dataclass(frozen=True)
class BlockVerdict:
    """Which of a block's own digests are right.

    Attributes:
        is_hash_ok: The hash recomputed from the header's fields is the one claimed.
        is_merkle_root_ok: The root over the transaction ids is the one claimed.
        is_count_ok: As many transactions as the header says.
        tx_ids_ok: Per transaction, whether its id is the SHA-256 of its bytes.
        errors: The same in words.
    """

    is_hash_ok: bool
    is_merkle_root_ok: bool
    is_count_ok: bool
    tx_ids_ok: tuple[bool, ...]
    errors: tuple[str, ...]


def verify_block(block: Block) -> BlockVerdict:
    """Recompute everything in a block that can be recomputed from the block alone."""
    digest = block_hash(
        chain=block.chain,
        shard=block.shard,
        height=block.height,
        timestamp=rfc3339(block.timestamp),
        previous_hash=block.previous_hash,
        merkle_root_hex=block.merkle_root,
        transaction_count=block.transaction_count,
    )
    root = merkle_root([bytes.fromhex(entry.tx_id) for entry in block.transactions])
    tx_ids_ok = tuple(
        transaction_id(
            transaction_message(
                entry.type, entry.submitter, rfc3339(entry.submitted_at), entry.payload
            )
        ).hex()
        == entry.tx_id
        for entry in block.transactions
    )
    is_hash_ok = digest.hex() == block.hash
    is_root_ok = root.hex() == block.merkle_root
    is_count_ok = len(block.transactions) == block.transaction_count
    errors = [
        f"{name} mismatch"
        for name, is_ok in ((HASH, is_hash_ok), (MERKLE_ROOT, is_root_ok), (COUNT, is_count_ok))
        if not is_ok
    ]
    errors += [
        f"{TX_ID} mismatch in transaction {number}"
        for number, is_ok in enumerate(tx_ids_ok)
        if not is_ok
    ]
    return BlockVerdict(is_hash_ok, is_root_ok, is_count_ok, tx_ids_ok, tuple(errors))


class ReportedErrors:
    """The errors of an export in the shape of Fabric's ``ledgerutil verify``, and their counts."""

    def __init__(self) -> None:
        self._by_block: dict[tuple[str, int, int], list[str]] = {}
        self._covered: dict[str, int] = {}
        self._failed: dict[str, int] = {}

    def cover(self, check: str, count: int = 1) -> None:
        """Count what a check was done on."""
        self._covered[check] = self._covered.get(check, 0) + count

    def refuse(self, check: str) -> None:
        """Count a failure that is a rejected record and no error of the block."""
        self._failed[check] = self._failed.get(check, 0) + 1

    def fail(self, check: str, key: ShardKey, height: int, message: str) -> None:
        """Report one error of one block."""
        self.refuse(check)
        self._by_block.setdefault((*key, height), []).append(message)

    def to_json(self) -> list[dict[str, Any]]:
        """Return blocks with errors, in ledger order."""
        return [
            {"chain": chain, "blockNum": f"{shard}/{height}", "valid": False, "errors": messages}
            for (chain, shard, height), messages in sorted(self._by_block.items())
        ]

    def coverage(self, names: Sequence[str]) -> list[CheckCoverage]:
        """Return how far each check got; signature checks are listed as not done."""
        done = [
            CheckCoverage(
                name,
                is_possible=name in self._covered,
                covered=self._covered.get(name, 0),
                failed=self._failed.get(name, 0),
                note="" if name in self._covered else "Nothing in this export to check it on.",
            )
            for name in names
        ]
        missing = [CheckCoverage(name, is_possible=False, note=n) for name, n in _NOT_YET.items()]
        return done + missing


def check_link(
    header: Header,
    before: Header | None,
    expected: Mapping[str, Any] | None,
    errors: ReportedErrors,
) -> bool | None:
    """Check a block against what precedes it.

    Args:
        header: The block.
        before: The block that this export holds before it in its shard, whatever its height.
        expected: The shard's recorded head, if the block directly follows it.
        errors: Where errors are reported.

    Returns:
        Whether ``previousHash`` is right, or ``None`` if the block before it is not at hand.
    """
    key, height = header.shard_key, header.height
    if before is not None:
        errors.cover(TIME)
        if header.timestamp < before.timestamp:
            errors.fail(TIME, key, height, "timestamp is earlier than that of the block before")
        errors.cover(HEIGHTS)
        if height != before.height + 1:
            words = f"gap in heights: expected {before.height + 1}, found {height}"
            errors.fail(HEIGHTS, key, height, words)
            return None
    if height == 0:
        previous = GENESIS_PREVIOUS_HASH
    elif before is not None:
        previous = before.hash
    elif expected is not None:
        previous = str(expected["hash"])
    else:
        return None
    errors.cover(PREVIOUS_HASH)
    if header.previous_hash != previous:
        errors.fail(PREVIOUS_HASH, key, height, f"{PREVIOUS_HASH} mismatch")
        return False
    return True
