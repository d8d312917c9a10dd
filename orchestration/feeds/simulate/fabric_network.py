"""A simulated Hyperledger Fabric channel, written as the block files of a real peer.

What belongs here: the network (who is in it, who endorses) and the path of one transaction from
client to block. What the transactions say does not: a ledger's own simulator (wages) hands them
over as ``SimTransaction``. The parts are in ``simulate/fabric``.

Everything that ``../shared/specs/fabric_export.md`` can verify holds: hashes, ids, commit hashes
and every signature, with certificates issued by the MSP roots of the genesis block.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from orchestration.feeds.simulate.fabric.background import BackgroundOrderer, may_start_a_process
from orchestration.feeds.simulate.fabric.channel_config import config_envelope
from orchestration.feeds.simulate.fabric.envelopes import (
    HashedWrite,
    Invocation,
    config_transaction,
    endorser_transaction,
    namespace_results,
)
from orchestration.feeds.simulate.fabric.identities import Seed
from orchestration.feeds.simulate.fabric.ledger import VALID, Ledger
from orchestration.feeds.simulate.fabric.members import Members
from orchestration.feeds.simulate.fabric.ordering import BlockStore, Draft, Orderer

MVCC_READ_CONFLICT = 11

_SET_UP_DAYS = 30
_LIFECYCLE = "_lifecycle"
_CHAINCODE_VERSION = "1.0"
_DEFAULT_FOUNDED_AT = datetime(2024, 1, 1, tzinfo=UTC)


class SimWrite(NamedTuple):
    """One write of a transaction to public state; a value of None deletes the key."""

    key: str
    value: bytes | None
    namespace: str = "wage"


@dataclass(frozen=True)
class SimPrivateWrite:
    """One write to a private data collection: only its hashes reach the channel."""

    collection: str
    key: bytes
    value: bytes


@dataclass(frozen=True)
class SimTransaction:
    """One endorser transaction, in the order in which the channel commits it.

    Attributes:
        submitted_at: The client's timestamp (UTC).
        function: Name of the chaincode function called.
        args: The function's arguments.
        writes: Writes to public state; of several to one key the last one stays.
        creator: Index of the submitting employer's client identity, below ``clients``.
        reads: Keys read from the chaincode's namespace.
        private_writes: Writes to private data collections.
        validation_code: 0 VALID, 10 ENDORSEMENT_POLICY_FAILURE, 11 MVCC_READ_CONFLICT, …
    """

    submitted_at: datetime
    function: str
    args: Sequence[bytes]
    writes: Sequence[SimWrite]
    creator: int
    reads: Sequence[str] = ()
    private_writes: Sequence[SimPrivateWrite] = ()
    validation_code: int = VALID


@dataclass(frozen=True)
class ChannelSummary:
    """What was written: the files in order, counts, and the head of the chain (hashes in hex).

    ``blocks`` and ``transactions`` count the two that found the channel (configuration and
    chaincode definition) as well.
    """

    channel: str
    blocks: int
    transactions: int
    files: tuple[Path, ...]
    head_header_hash: str
    head_commit_hash: str


def write_channel(
    out_dir: Path,
    transactions: Iterable[SimTransaction],
    *,
    channel: str = "wages",
    chaincode: str = "wage",
    seed: int,
    block_size: int = 50,
    max_file_bytes: int = 64 << 20,
    clients: int,
    is_parallel: bool = False,
    progress: Callable[[int], None] | None = None,
) -> ChannelSummary:
    """Write a channel as ``blockfile_000000``, ``blockfile_000001``, … below ``out_dir``.

    The same arguments write the same bytes, in parallel or not. Transactions are streamed: memory
    holds a block or two, the identities used so far and a version per key.

    Args:
        out_dir: Folder of the block store; created when absent.
        transactions: What to write, in commit order.
        channel: Channel id.
        chaincode: Name of the chaincode that every transaction calls.
        seed: Every key, nonce and certificate follows from it.
        block_size: Largest number of transactions in a block. A block is closed early where a VALID
            transaction reads what the open block writes: a real peer would find a conflict.
        max_file_bytes: Size at which the block store starts its next file.
        clients: Number of employers' client identities.
        is_parallel: Whether to endorse, sign and write in a second process: twice as fast from
            some thousand transactions on. It is spawned, so a script that asks for it needs the
            ``if __name__ == "__main__"`` guard. A daemonic process does without.
        progress: Called with the number of transactions written, once per block.

    Raises:
        FileExistsError: If ``out_dir`` already holds a block store.
        ValueError: If a creator or validation code is out of range.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    stream = iter(transactions)
    first = next(stream, None)
    founded_at = _founding(first.submitted_at) if first else _DEFAULT_FOUNDED_AT
    store = BlockStore(out_dir, max_file_bytes, Seed(seed), founded_at)
    members = Members(store.seed, founded_at)
    proposals = _Clients(members, channel, chaincode, clients, founded_at)
    ordering = BackgroundOrderer if is_parallel and may_start_a_process() else Orderer
    with ordering(store) as orderer:
        ledger = Ledger(orderer.order)
        proposals.found(ledger, block_size)
        for transaction in chain((first,) if first else (), stream):
            proposals.submit(ledger, transaction)
            if ledger.pending >= block_size:
                ledger.cut()
                if progress:
                    progress(ledger.transactions)
        if ledger.pending:
            ledger.cut()
        written = orderer.finish()
    if progress:
        progress(ledger.transactions)
    return ChannelSummary(
        channel,
        ledger.height,
        ledger.transactions,
        written.files,
        written.header_hash.hex(),
        ledger.commit_hash.hex(),
    )


class _Clients:
    """The clients' side of a channel: what is proposed, and what its endorsers saw."""

    def __init__(
        self, members: Members, channel: str, chaincode: str, clients: int, founded_at: datetime
    ) -> None:
        self._members = members
        self._channel = channel
        self._chaincode = chaincode
        self._clients = clients
        self._founded_at = founded_at
        self._submitted = 0

    def found(self, ledger: Ledger, block_size: int) -> None:
        """Write the genesis block and the block that defines the chaincode."""
        config = config_envelope(
            self._members.organisations,
            self._members.orderer_organisation,
            orderer_addresses=self._members.orderer_addresses,
            block_size=block_size,
        )
        nonce = self._members.seed.derive("nonce genesis")[:24]
        genesis = config_transaction(self._channel, self._founded_at, nonce, config)
        ledger.add(genesis, VALID, {}, {})
        ledger.cut()
        self._define_chaincode(ledger)
        ledger.cut()

    def submit(self, ledger: Ledger, transaction: SimTransaction) -> None:
        """Fix what one transaction reads and writes and put it into the open block."""
        if not 0 <= transaction.creator < self._clients:
            raise ValueError(f"creator {transaction.creator} is not one of {self._clients} clients")
        reads = [key.encode() for key in transaction.reads]
        if transaction.validation_code == VALID and any(
            ledger.is_written_in_open_block(self._chaincode, key) for key in reads
        ):
            ledger.cut()
        writes = _public_writes(transaction)
        private = {self._chaincode: _private_writes(transaction)}
        seen = self._seen(ledger, transaction, reads)
        results = _results(seen, writes, private)
        invocation = Invocation(
            self._channel,
            self._chaincode,
            _CHAINCODE_VERSION,
            (transaction.function.encode(), *transaction.args),
            transaction.submitted_at,
        )
        draft = Draft(
            invocation,
            transaction.creator,
            self._next_nonce(),
            results,
            transaction.validation_code,
        )
        ledger.add(draft, transaction.validation_code, writes, private)

    def _seen(
        self, ledger: Ledger, transaction: SimTransaction, reads: Sequence[bytes]
    ) -> dict[str, dict[bytes, tuple[int, int] | None]]:
        """Versions that the endorsers saw, by namespace and key."""
        versions = {key: ledger.version(self._chaincode, key) for key in reads}
        if transaction.validation_code == MVCC_READ_CONFLICT and not any(
            ledger.is_written_in_open_block(self._chaincode, key) for key in reads
        ):
            # Nothing in this block conflicts, so the endorsement itself was made on older state.
            versions = {key: _older(version) for key, version in versions.items()}
        definition = _definition_key(self._chaincode)
        return {
            self._chaincode: versions,
            _LIFECYCLE: {definition: ledger.version(_LIFECYCLE, definition)},
        }

    def _next_nonce(self) -> bytes:
        self._submitted += 1
        return self._members.seed.derive(f"nonce {self._submitted}")[:24]

    def _define_chaincode(self, ledger: Ledger) -> None:
        writes = {_LIFECYCLE: _definition(self._chaincode)}
        reads = {_LIFECYCLE: {_definition_key(self._chaincode): None}}
        invocation = Invocation(
            self._channel,
            _LIFECYCLE,
            "syscc",
            (b"CommitChaincodeDefinition", self._chaincode.encode()),
            self._founded_at + timedelta(hours=1),
        )
        envelope = endorser_transaction(
            invocation,
            self._members.administrator(),
            self._members.first_peers(),
            self._next_nonce(),
            _results(reads, writes, {}),
        )
        ledger.add(envelope, VALID, writes, {})


def _founding(first_submission: datetime) -> datetime:
    day = first_submission.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=_SET_UP_DAYS)


def _older(version: tuple[int, int] | None) -> tuple[int, int] | None:
    """A version that came before the one in the state; of an absent key, one that is gone."""
    if version is None:
        return (1, 0)
    return (version[0] - 1, 0) if version[0] > 1 else None


def _public_writes(transaction: SimTransaction) -> dict[str, dict[bytes, bytes | None]]:
    writes: dict[str, dict[bytes, bytes | None]] = {}
    for key, value, namespace in transaction.writes:
        writes.setdefault(namespace, {})[key.encode()] = value
    return writes


def _private_writes(transaction: SimTransaction) -> dict[str, list[HashedWrite]]:
    last: dict[str, dict[bytes, HashedWrite]] = {}
    for write in transaction.private_writes:
        last.setdefault(write.collection, {})[write.key] = HashedWrite(write.key, write.value)
    return {collection: list(writes.values()) for collection, writes in last.items()}


def _results(
    reads: Mapping[str, Mapping[bytes, tuple[int, int] | None]],
    writes: Mapping[str, Mapping[bytes, bytes | None]],
    private: Mapping[str, Mapping[str, Sequence[HashedWrite]]],
) -> bytes:
    """Return the serialized ``TxReadWriteSet``, namespaces ascending."""
    return b"".join(
        namespace_results(
            namespace,
            reads.get(namespace, {}),
            writes.get(namespace, {}),
            private.get(namespace, {}),
        )
        for namespace in sorted(reads.keys() | writes.keys() | private.keys())
    )


def _definition_key(chaincode: str) -> bytes:
    return f"namespaces/fields/{chaincode}/Sequence".encode()


def _definition(chaincode: str) -> dict[bytes, bytes | None]:
    """What a peer's ``_lifecycle`` chaincode stores for a definition of version 1.0."""
    fields = f"namespaces/fields/{chaincode}"
    return {
        f"{fields}/Collections".encode(): b"\x12\x00",
        f"{fields}/EndorsementInfo".encode(): b"\x12\x0b\x0a\x031.0\x1a\x04escc",
        _definition_key(chaincode): b"\x08\x01",
        f"{fields}/ValidationInfo".encode(): (
            b'\x12*\x0a\x04vscc\x12"\x12 /Channel/Application/Endorsement'
        ),
        f"namespaces/metadata/{chaincode}".encode(): (
            b"\x0a\x13ChaincodeDefinition\x12\x08Sequence\x12\x0fEndorsementInfo"
            b"\x12\x0eValidationInfo\x12\x0bCollections"
        ),
    }
