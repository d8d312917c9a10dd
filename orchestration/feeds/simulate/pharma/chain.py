"""Writes the simulated E-Ledger: blocks of ten shards with real digests and real signatures.

What the transactions say belongs to ``journeys.py`` and ``business.py``.
"""

from __future__ import annotations

import base64
import hashlib
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from orchestration.feeds.eledger.digests import (
    GENESIS_PREVIOUS_HASH,
    block_hash,
    merkle_root,
    transaction_id,
    transaction_message,
)
from orchestration.feeds.simulate.pharma.events import DAY, utc_time
from orchestration.feeds.simulate.pharma.journeys import milliseconds_of

CHAIN = "eledger-sim"
SHARDS = 10
NODES_PER_SHARD = 3
QUORUM = (2, 3)
# A block closes with this many transactions, or when the next one is a day later.
BLOCK_SIZES = range(3, 10)
# Now and then one of a shard's three nodes is away; two signatures are still a quorum.
ABSENT_SHARE = 0.03


@dataclass(frozen=True)
class Submission:
    """A transaction before it is signed.

    Attributes:
        submitter: GLN.
        when: Milliseconds since 1970.
        kind: Transaction type.
        payload: Exact JSON text.
    """

    submitter: str
    when: int
    kind: str
    payload: str


def shard_of(gln: str) -> int:
    """Return the shard on which a submitter's transactions stand."""
    return int(gln[:-1]) % SHARDS


class Keys:
    """Ed25519 keys made from the seed; they protect nothing but this simulation."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._keys: dict[str, Ed25519PrivateKey] = {}

    def of(self, owner: str) -> Ed25519PrivateKey:
        """Return the key of a node or submitter."""
        if owner not in self._keys:
            secret = hashlib.sha256(f"tracient-simulation/{self._seed}/{owner}".encode()).digest()
            self._keys[owner] = Ed25519PrivateKey.from_private_bytes(secret)
        return self._keys[owner]

    def public(self, owner: str) -> str:
        """Return the raw public key in base64."""
        return _base64(self.of(owner).public_key().public_bytes_raw())

    def sign(self, owner: str, message: bytes) -> str:
        """Return the signature in base64."""
        return _base64(self.of(owner).sign(message))


def nodes_of(shard: int) -> list[str]:
    """Return the names of a shard's nodes."""
    return [f"n{shard * NODES_PER_SHARD + number + 1:02d}" for number in range(NODES_PER_SHARD)]


def write_nodes(path: Path, keys: Keys, submitters: Iterable[str], since: date) -> None:
    """Write the node list beside the export.

    Args:
        path: Where to.
        keys: All keys.
        submitters: GLNs of everyone who submits.
        since: From when nodes and submitters are valid.
    """
    valid = {"validFrom": utc_time(milliseconds_of(since) - DAY), "validTo": None}
    content = {
        "chain": CHAIN,
        "quorum": list(QUORUM),
        "nodes": [
            {"node": node, "shard": shard, "publicKey": keys.public(node), **valid}
            for shard in range(SHARDS)
            for node in nodes_of(shard)
        ],
        "submitters": [
            {"gln": gln, "publicKey": keys.public(gln), **valid} for gln in sorted(submitters)
        ],
    }
    path.write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")


def write_ledger(
    path: Path,
    submissions: Sequence[Submission],
    keys: Keys,
    *,
    seed: int,
    since: date,
    progress: Callable[[int], None] | None = None,
) -> int:
    """Write all blocks as mongoexport does: NDJSON, relaxed Extended JSON, in order of time.

    Args:
        path: The NDJSON file.
        submissions: Transactions in any order.
        keys: Keys of submitters and nodes.
        seed: Seed of the whole simulation.
        since: Day of the genesis blocks (the day before it).
        progress: Called with the number of transactions signed so far.

    Returns:
        Number of blocks written.
    """
    by_shard: dict[int, list[Submission]] = defaultdict(list)
    for submission in sorted(submissions, key=lambda s: (s.when, s.submitter, s.payload)):
        by_shard[shard_of(submission.submitter)].append(submission)
    lines: list[tuple[int, int, bytes]] = []
    done = 0
    for shard in range(SHARDS):
        writer = _ShardWriter(shard, keys, random.Random(f"{seed}/chain/{shard}"))
        lines.append(writer.block([], milliseconds_of(since) - DAY))
        for entries in writer.batches(by_shard[shard]):
            lines.append(writer.block(entries, entries[-1].when))
            done += len(entries)
            if progress:
                progress(done)
    lines.sort()
    with path.open("wb") as file:
        file.writelines(line for _, _, line in lines)
    return len(lines)


class _ShardWriter:
    def __init__(self, shard: int, keys: Keys, rng: random.Random) -> None:
        self._shard = shard
        self._keys = keys
        self._rng = rng
        self._height = 0
        self._previous = GENESIS_PREVIOUS_HASH
        self._time = 0

    def batches(self, submissions: Sequence[Submission]) -> Iterable[list[Submission]]:
        """Cut a shard's transactions into blocks."""
        size = self._rng.choice(BLOCK_SIZES)
        entries: list[Submission] = []
        for submission in submissions:
            is_late = entries and submission.when > entries[0].when + DAY
            if len(entries) == size or is_late:
                yield entries
                entries, size = [], self._rng.choice(BLOCK_SIZES)
            entries.append(submission)
        if entries:
            yield entries

    def block(self, entries: Sequence[Submission], closed_at: int) -> tuple[int, int, bytes]:
        """Return the next block: time, shard (the order of the export) and its line."""
        self._time = max(self._time + 1, closed_at + self._rng.randrange(500, 20_000))
        ids, transactions = self._transactions(entries)
        root = merkle_root(ids).hex()
        digest = block_hash(
            chain=CHAIN,
            shard=self._shard,
            height=self._height,
            timestamp=utc_time(self._time),
            previous_hash=self._previous,
            merkle_root_hex=root,
            transaction_count=len(entries),
        )
        document = {
            "_id": {"$oid": digest.hex()[:24]},
            "chain": CHAIN,
            "shard": self._shard,
            "height": self._height,
            "timestamp": _date(self._time),
            "previousHash": self._previous,
            "merkleRoot": root,
            "transactionCount": len(entries),
            "transactions": transactions,
            "validators": self._validators(digest),
            "hash": digest.hex(),
        }
        self._height += 1
        self._previous = digest.hex()
        return self._time, self._shard, orjson.dumps(document) + b"\n"

    def _transactions(
        self, entries: Sequence[Submission]
    ) -> tuple[list[bytes], list[dict[str, Any]]]:
        ids, transactions = [], []
        for entry in entries:
            message = transaction_message(
                entry.kind, entry.submitter, utc_time(entry.when), entry.payload
            )
            ids.append(transaction_id(message))
            transactions.append(
                {
                    "txId": ids[-1].hex(),
                    "type": entry.kind,
                    "submitter": entry.submitter,
                    "submittedAt": _date(entry.when),
                    "payload": entry.payload,
                    "signature": self._keys.sign(entry.submitter, message),
                }
            )
        return ids, transactions

    def _validators(self, digest: bytes) -> list[dict[str, str]]:
        nodes = nodes_of(self._shard)
        if self._rng.random() < ABSENT_SHARE:
            nodes.remove(self._rng.choice(nodes))
        return [{"node": node, "signature": self._keys.sign(node, digest)} for node in nodes]


def _date(milliseconds: int) -> dict[str, str]:
    """Return a relaxed Extended JSON date; mongoexport drops zeros at the end of the fraction."""
    text = utc_time(milliseconds)[:-1].rstrip("0").rstrip(".") if milliseconds % 1_000 else None
    return {"$date": f"{text}Z" if text else utc_time(milliseconds)[:-5] + "Z"}


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
