"""The ordering service of a simulated channel: from committed blocks to the block files.

What belongs here: endorsing and signing of transactions, the chain of headers, the orderer's
signature. None of it depends on the channel's state, so that it can run in a process of its own
(``background``). Source: ``../shared/specs/fabric_export.md`` section 3.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from orchestration.feeds.fabric.digests import data_hash, header_bytes, header_hash
from orchestration.feeds.fabric.wire import bytes_field, varint_field
from orchestration.feeds.simulate.fabric.blockfiles import BlockFiles, block_record
from orchestration.feeds.simulate.fabric.envelopes import Invocation, endorser_transaction
from orchestration.feeds.simulate.fabric.identities import Seed
from orchestration.feeds.simulate.fabric.members import Members

_BLOCKS_PER_TERM = 500
# Raft's consenter ids 1, 2 and 3, and the next free one.
_CONSENTERS = bytes_field(1, b"\x01\x02\x03") + varint_field(2, 4)


@dataclass(frozen=True, slots=True)
class Draft:
    """A transaction of which everything is decided; it is to be endorsed and signed.

    Attributes:
        invocation: The call.
        client: Index of the submitting client.
        nonce: 24 bytes, never used twice.
        results: The serialized ``TxReadWriteSet``.
        validation_code: What the peer will find; it also decides who endorses.
    """

    invocation: Invocation
    client: int
    nonce: bytes
    results: bytes
    validation_code: int


@dataclass(frozen=True, slots=True)
class CommittedBlock:
    """One block as the committing peer leaves it.

    Attributes:
        transactions: Drafts, or finished envelopes, in ledger order.
        codes: A validation code for each.
        commit_hash: The block's commit hash; empty for the genesis block.
    """

    transactions: Sequence[Draft | bytes]
    codes: bytes
    commit_hash: bytes


@dataclass(frozen=True)
class BlockStore:
    """Where an ordering service writes and what its members are derived from."""

    folder: Path
    max_file_bytes: int
    seed: Seed
    founded_at: datetime


@dataclass(frozen=True)
class OrderedChain:
    """What was written: the block files in order and the hash of the last header."""

    files: tuple[Path, ...]
    header_hash: bytes


class Orderer:
    """The ordering service: blocks in commit order go in, block files come out."""

    def __init__(self, store: BlockStore) -> None:
        self._members = Members(store.seed, store.founded_at)
        self._files = BlockFiles(store.folder, store.max_file_bytes)
        self._height = 0
        self._header_hash = b""

    def order(self, block: CommittedBlock) -> None:
        """Endorse a block's transactions, chain the block, sign and write it.

        Raises:
            FileExistsError: If the folder already holds a block file of that name.
        """
        envelopes = [
            each if isinstance(each, bytes) else self._envelope(each) for each in block.transactions
        ]
        number, previous = self._height, self._header_hash
        digest = data_hash(envelopes)
        signatures = self._signatures(number, header_bytes(number, previous, digest))
        commit = bytes_field(1, block.commit_hash) if block.commit_hash else b""
        metadata = [signatures, b"", block.codes, b"", commit]
        self._files.append(block_record(number, digest, previous, envelopes, metadata))
        self._header_hash = header_hash(number, previous, digest)
        self._height += 1

    def finish(self) -> OrderedChain:
        """Return what was written; no block may follow."""
        return OrderedChain(tuple(self._files.paths), self._header_hash)

    def _envelope(self, draft: Draft) -> bytes:
        return endorser_transaction(
            draft.invocation,
            self._members.client(draft.client),
            self._members.endorsers(draft.nonce, draft.validation_code),
            draft.nonce,
            draft.results,
        )

    def _signatures(self, number: int, header: bytes) -> bytes:
        """Return the block's signature metadata."""
        if number == 0:
            return bytes_field(1, bytes_field(1, b""))
        members = self._members
        raft = _CONSENTERS + varint_field(3, number + 3)
        value = bytes_field(1, b"") + bytes_field(2, bytes_field(1, raft))
        term = members.seed.derive(f"raft leader {number // _BLOCKS_PER_TERM}")[0]
        orderer = members.orderers[term % len(members.orderers)]
        nonce = members.seed.derive(f"orderer nonce {number}")[:24]
        signature_header = orderer.as_field + bytes_field(2, nonce)
        signature = orderer.sign(value + signature_header + header)
        signed = bytes_field(1, signature_header) + bytes_field(2, signature)
        return bytes_field(1, value) + bytes_field(2, signed)

    def __enter__(self) -> Self:
        self._files.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._files.__exit__(kind, error, trace)
