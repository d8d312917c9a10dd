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

from orchestration.feeds.simulate.fabric.blockfiles import BlockFiles
from orchestration.feeds.simulate.fabric.channel_config import config_envelope
from orchestration.feeds.simulate.fabric.envelopes import (
    HashedWrite,
    Invocation,
    config_transaction,
    endorser_transaction,
    namespace_results,
)
from orchestration.feeds.simulate.fabric.identities import Authority, Identity, Seed
from orchestration.feeds.simulate.fabric.ledger import Ledger

VALID = 0
ENDORSEMENT_POLICY_FAILURE = 10
MVCC_READ_CONFLICT = 11

_DOMAIN = "tracient.example"
_ORGANISATIONS = ("LabourMSP", "EmployersMSP", "BanksMSP")
_CLIENT_ORGANISATION = "EmployersMSP"
_PEERS_PER_ORGANISATION = 2
_ORDERERS = 3
_SET_UP_DAYS = 30
_LIFECYCLE = "_lifecycle"
_CHAINCODE_VERSION = "1.0"
_DEFAULT_FOUNDED_AT = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class SimWrite:
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
    progress: Callable[[int], None] | None = None,
) -> ChannelSummary:
    """Write a channel as ``blockfile_000000``, ``blockfile_000001``, … below ``out_dir``.

    The same arguments write the same bytes. Transactions are streamed: memory holds one block, the
    identities used so far and a version per key.

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
        progress: Called with the number of transactions written, once per block.

    Raises:
        FileExistsError: If ``out_dir`` already holds a block store.
        ValueError: If a creator or validation code is out of range.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    stream = iter(transactions)
    first = next(stream, None)
    founded_at = _founding(first.submitted_at) if first else _DEFAULT_FOUNDED_AT
    network = _Network(Seed(seed), channel, chaincode, clients, founded_at)
    with BlockFiles(out_dir, max_file_bytes) as files:
        ledger = Ledger(files, network.seed, network.orderers)
        network.found(ledger, block_size)
        for transaction in chain((first,) if first else (), stream):
            network.submit(ledger, transaction)
            if ledger.pending >= block_size:
                ledger.cut()
                if progress:
                    progress(ledger.transactions)
        if ledger.pending:
            ledger.cut()
    if progress:
        progress(ledger.transactions)
    return ChannelSummary(
        channel,
        ledger.height,
        ledger.transactions,
        tuple(files.paths),
        ledger.header_hash.hex(),
        ledger.commit_hash.hex(),
    )


class _Network:
    """The organisations, peers and clients of a channel."""

    def __init__(
        self, seed: Seed, channel: str, chaincode: str, clients: int, founded_at: datetime
    ) -> None:
        self.seed = seed
        self._channel = channel
        self._chaincode = chaincode
        self._clients = clients
        self._founded_at = founded_at
        self._authorities = {
            msp_id: Authority(seed, msp_id, f"{_short(msp_id)}.{_DOMAIN}", founded_at)
            for msp_id in _ORGANISATIONS
        }
        self._orderer_authority = Authority(seed, "OrdererMSP", f"orderer.{_DOMAIN}", founded_at)
        self.orderers = [
            self._orderer_authority.issue(f"orderer{n}", "orderer") for n in range(_ORDERERS)
        ]
        self._peers = {
            msp_id: [authority.issue(f"peer{n}", "peer") for n in range(_PEERS_PER_ORGANISATION)]
            for msp_id, authority in self._authorities.items()
        }
        self._members: dict[int, Identity] = {}
        self._submitted = 0

    def found(self, ledger: Ledger, block_size: int) -> None:
        """Write the genesis block and the block that defines the chaincode."""
        config = config_envelope(
            list(self._authorities.values()),
            self._orderer_authority,
            orderer_addresses=[f"orderer{n}.orderer.{_DOMAIN}:7050" for n in range(_ORDERERS)],
            block_size=block_size,
        )
        nonce = self.seed.derive("nonce genesis")[:24]
        genesis = config_transaction(self._channel, self._founded_at, nonce, config)
        ledger.add(genesis, VALID, {}, {})
        ledger.cut()
        self._define_chaincode(ledger)
        ledger.cut()

    def submit(self, ledger: Ledger, transaction: SimTransaction) -> None:
        """Endorse, sign and order one transaction."""
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
        nonce = self._next_nonce()
        envelope = endorser_transaction(
            invocation,
            self._member(transaction.creator),
            self._endorsers(nonce, transaction.validation_code),
            nonce,
            results,
        )
        ledger.add(envelope, transaction.validation_code, writes, private)

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

    def _endorsers(self, nonce: bytes, validation_code: int) -> list[Identity]:
        """Peers of two organisations; of one organisation only where the policy is to fail."""
        first = nonce[0] % len(_ORGANISATIONS)
        if validation_code == ENDORSEMENT_POLICY_FAILURE:
            return list(self._peers[_ORGANISATIONS[first]])
        second = (first + 1 + nonce[1] % (len(_ORGANISATIONS) - 1)) % len(_ORGANISATIONS)
        return [
            self._peers[_ORGANISATIONS[index]][nonce[2 + turn] % _PEERS_PER_ORGANISATION]
            for turn, index in enumerate((first, second))
        ]

    def _member(self, index: int) -> Identity:
        if not 0 <= index < self._clients:
            raise ValueError(f"creator {index} is not one of {self._clients} clients")
        if index not in self._members:
            authority = self._authorities[_CLIENT_ORGANISATION]
            self._members[index] = authority.issue(f"employer{index:06d}", "client")
        return self._members[index]

    def _next_nonce(self) -> bytes:
        self._submitted += 1
        return self.seed.derive(f"nonce {self._submitted}")[:24]

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
        administrator = self._authorities["LabourMSP"].issue("administrator", "admin")
        endorsers = [self._peers[msp_id][0] for msp_id in _ORGANISATIONS]
        envelope = endorser_transaction(
            invocation, administrator, endorsers, self._next_nonce(), _results(reads, writes, {})
        )
        ledger.add(envelope, VALID, writes, {})


def _founding(first_submission: datetime) -> datetime:
    day = first_submission.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return day - timedelta(days=_SET_UP_DAYS)


def _short(msp_id: str) -> str:
    return msp_id.removesuffix("MSP").lower()


def _older(version: tuple[int, int] | None) -> tuple[int, int] | None:
    """A version that came before the one in the state; of an absent key, one that is gone."""
    if version is None:
        return (1, 0)
    return (version[0] - 1, 0) if version[0] > 1 else None


def _public_writes(transaction: SimTransaction) -> dict[str, dict[bytes, bytes | None]]:
    writes: dict[str, dict[bytes, bytes | None]] = {}
    for write in transaction.writes:
        writes.setdefault(write.namespace, {})[write.key.encode()] = write.value
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
