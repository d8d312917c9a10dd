"""One channel's blocks, verified one after the other.

What belongs here: the checks of ``../shared/specs/fabric_export.md`` section 3 that this reader
makes (1 to 5, 9, 10 and 13) and the state they need from block to block. Signatures (6 to 8) and
certificates (12) have their own step, which gets the same blocks and transactions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from orchestration.feeds.common import Rejection
from orchestration.feeds.fabric import messages, report
from orchestration.feeds.fabric.containers import BLOCK_STORE, StoredBlock
from orchestration.feeds.fabric.digests import (
    BlockUpdates,
    commit_hash,
    data_hash,
    header_hash,
    version_of,
)
from orchestration.feeds.fabric.tables import BlockFacts, is_valid
from orchestration.feeds.fabric.transactions import (
    CONFIG,
    ENDORSER_TRANSACTION,
    DecodedTransaction,
    EnvelopeError,
    decode_envelope,
)

_ORDERER_METADATA, _FILTER_METADATA, _COMMIT_METADATA = 0, 2, 4
_HASH_BYTES = 32
# The channel of a forged header may be megabytes of text.
_QUOTED_CHARACTERS = 64


@dataclass(frozen=True)
class KnownHead:
    """How far a channel was read and anchored before.

    Attributes:
        channel: Channel id.
        height: Number of blocks, the genesis block included.
        header_hash: Hash of the last block's header.
        commit_hash: Its commit hash; None when it had none.
    """

    channel: str
    height: int
    header_hash: bytes
    commit_hash: bytes | None

    @classmethod
    def parse(cls, head: Mapping[str, Any]) -> KnownHead:
        """Read a head as reports give it: channel, height and hashes in hex.

        Raises:
            ValueError: If a key is missing or a hash is not hex.
        """
        try:
            commit = head.get("commit_hash")
            return cls(
                str(head["channel"]),
                int(head["height"]),
                bytes.fromhex(head["header_hash"]),
                bytes.fromhex(commit) if commit else None,
            )
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"a known head needs channel, height and header_hash (hex); found {sorted(head)}"
            ) from error


@dataclass(frozen=True, slots=True)
class VerifiedBlock:
    """A block with what was found: facts for its row, transactions that parsed, others refused."""

    block: StoredBlock
    facts: BlockFacts
    transactions: list[tuple[int, DecodedTransaction]]
    rejections: list[Rejection]


class ChannelVerifier:
    """Checks one channel's blocks in the order in which they are given.

    Attributes:
        channel: Channel id.
        blocks: Number of blocks verified.
        transactions: Number of envelopes in them.
    """

    def __init__(
        self, channel: str, findings: report.Findings, known_head: KnownHead | None = None
    ) -> None:
        self.channel = channel
        self.blocks = 0
        self.transactions = 0
        self._findings = findings
        self._known = known_head
        self._hashes: dict[int, bytes] = {}
        self._last: tuple[int, bytes, bytes | None] | None = None
        self._tx_ids: set[bytes] = set()
        self._has_commit_hashes = False

    @property
    def next_number(self) -> int:
        """Number of the block that should come next."""
        return 0 if self._last is None else self._last[0] + 1

    @property
    def head(self) -> dict[str, Any] | None:
        """The head of the chain as read, for the next export to extend; None before any block."""
        if self._last is None:
            return None
        number, digest, commit = self._last
        return {
            "channel": self.channel,
            "height": number + 1,
            "header_hash": digest.hex(),
            "commit_hash": commit.hex() if commit else None,
        }

    def verify(self, block: StoredBlock, kind: str) -> VerifiedBlock | Rejection | None:
        """Check one block.

        Args:
            block: The block.
            kind: The container that it came in.

        Returns:
            The block with its findings; None if the same block was read before; a rejection if a
            different block of the same number was.
        """
        digest = header_hash(block.number, block.previous_hash, block.data_hash)
        if (seen := self._hashes.get(block.number)) is not None:
            return self._repeated(block, seen, digest)
        codes = self._validation_codes(block)
        transactions, rejections = self._decode(block, codes)
        recorded_commit = self._recorded_commit_hash(block, kind)
        facts = BlockFacts(
            header_hash=digest,
            is_data_hash_ok=self._check_data(block, transactions),
            is_previous_hash_ok=self._check_previous(block, digest),
            validation_codes=codes,
            commit_hash=recorded_commit,
            orderers=self._orderers(block),
        )
        for number, transaction in transactions:
            self._check_transaction(
                block, number, transaction, None if codes is None else codes[number]
            )
        is_whole = not rejections
        self._check_commit(block, facts, transactions, is_whole=is_whole)
        self._check_known_commit(block, recorded_commit)
        self._hashes[block.number] = digest
        self._last = (block.number, digest, recorded_commit)
        self.blocks += 1
        self.transactions += len(block.envelopes)
        return VerifiedBlock(block, facts, transactions, rejections)

    def finish(self) -> None:
        """Check what only the end of the export shows: that it reaches the known head."""
        known = self._known
        if known is None or self._last is None:
            return
        if self._last[0] + 1 < known.height:
            self._fail_head(
                self._last[0],
                f"the export ends at height {self._last[0] + 1}, below the known head at height "
                f"{known.height}: its tail was dropped, or it is older than what was read before",
            )

    def _fail_head(self, number: int, text: str) -> None:
        self._findings.error(self.channel, number, text)
        self._findings.count(report.KNOWN_HEAD, 0, 1)

    def _repeated(self, block: StoredBlock, seen: bytes, digest: bytes) -> Rejection | None:
        where = f"block {block.number}"
        if seen != digest:
            text = (
                f"two different blocks {block.number}: header hash {seen.hex()} was read first, "
                f"then {digest.hex()}"
            )
        elif data_hash(block.envelopes) != block.data_hash:
            text = f"block {block.number} is repeated with data that its header does not hash"
        else:
            self._findings.remark("blocks that occur twice, read once", where)
            return None
        self._findings.error(self.channel, block.number, text)
        return Rejection(block.source_file, where, "fabric.fork", text, b"".join(block.envelopes))

    def _check_data(
        self, block: StoredBlock, transactions: Sequence[tuple[int, DecodedTransaction]]
    ) -> bool:
        """Checks 1 and 2."""
        count = len(block.envelopes)
        is_ok = data_hash(block.envelopes) == block.data_hash
        self._findings.count(report.DATA_HASH, count, 0 if is_ok else count)
        if any(transaction.kind == CONFIG for _, transaction in transactions):
            trailing = []
        else:
            trailing = [
                (number, transaction.trailing_bytes)
                for number, transaction in transactions
                if transaction.trailing_bytes is not None
            ]
            self._findings.count(report.REMARSHAL, len(transactions), len(trailing))
        if not is_ok or trailing:
            self._findings.error(self.channel, block.number, "DataHash mismatch")
        for number, extra in trailing:
            text = f"transaction {number} has {extra} trailing bytes"
            self._findings.error(self.channel, block.number, text)
        return is_ok and not trailing

    def _check_previous(self, block: StoredBlock, digest: bytes) -> bool | None:
        """Checks 3 and 13; None where nothing is known of the block before."""
        expected = self._expected_previous(block)
        self._check_known_head(block, digest)
        if expected is None:
            self._findings.remark(
                "first block of the export, its predecessor is not in it",
                f"block {block.number}",
                report.PREVIOUS_HASH,
            )
            return None
        is_ok = block.previous_hash == expected
        count = len(block.envelopes)
        self._findings.count(report.PREVIOUS_HASH, count, 0 if is_ok else count)
        if not is_ok:
            self._findings.error(self.channel, block.number, "PreviousHash mismatch")
        if self._last is not None and block.number != self.next_number:
            self._findings.remark("blocks out of order or missing before", f"block {block.number}")
        return is_ok

    def _expected_previous(self, block: StoredBlock) -> bytes | None:
        if self._last is not None:
            return self._last[1]
        if block.number == 0:
            return b""
        if self._known is not None and block.number == self._known.height:
            return self._known.header_hash
        return None

    def _check_known_head(self, block: StoredBlock, digest: bytes) -> None:
        known = self._known
        if known is None:
            return
        if block.number == known.height - 1:
            self._compare_head(known, block, digest)
        elif self._last is None and block.number == known.height:
            self._compare_head(known, block, block.previous_hash)
        elif self._last is None and block.number > known.height:
            self._fail_head(
                block.number,
                f"the export starts at block {block.number}, the known head is at height "
                f"{known.height}: the blocks between are missing",
            )

    def _compare_head(self, known: KnownHead, block: StoredBlock, found: bytes) -> None:
        if found == known.header_hash:
            self._findings.count(report.KNOWN_HEAD, 1)
            return
        self._fail_head(
            block.number,
            f"fork at the known head, height {known.height}: expected header hash "
            f"{known.header_hash.hex()}, found {found.hex()}",
        )

    def _check_known_commit(self, block: StoredBlock, found: bytes | None) -> None:
        """A rewritten history of validation codes leaves the header hashes as they were."""
        known = self._known
        if known is None or block.number != known.height - 1:
            return
        if known.commit_hash is not None and found is not None and found != known.commit_hash:
            self._fail_head(
                block.number,
                f"other commit hash at the known head, height {known.height}: expected "
                f"{known.commit_hash.hex()}, found {found.hex()}",
            )

    def _validation_codes(self, block: StoredBlock) -> bytes | None:
        """Check 9: one code per transaction, or None when the export has none."""
        codes = _metadata(block, _FILTER_METADATA)
        if not codes:
            self._findings.remark(
                "no validation codes (as in a block from an orderer): validity unknown",
                f"block {block.number}",
                report.VALIDATION_CODES,
            )
            return None
        if len(codes) != len(block.envelopes):
            text = (
                f"{len(codes)} validation codes for {len(block.envelopes)} transactions: "
                "validity unknown"
            )
            self._findings.error(self.channel, block.number, text)
            self._findings.count(report.VALIDATION_CODES, 0, len(block.envelopes))
            return None
        self._findings.count(report.VALIDATION_CODES, len(codes))
        return codes

    def _decode(
        self, block: StoredBlock, codes: bytes | None
    ) -> tuple[list[tuple[int, DecodedTransaction]], list[Rejection]]:
        transactions, rejections = [], []
        for number, raw in enumerate(block.envelopes):
            try:
                transactions.append((number, decode_envelope(raw)))
            except EnvelopeError as error:
                position = f"block {block.number}, transaction {number}"
                rejections.append(
                    Rejection(block.source_file, position, "fabric.envelope", str(error), raw)
                )
                if codes is None or codes[number] == 0:
                    text = f"transaction {number} does not parse: {error}"
                    self._findings.error(self.channel, block.number, text)
        return transactions, rejections

    def _check_transaction(
        self, block: StoredBlock, number: int, transaction: DecodedTransaction, code: int | None
    ) -> None:
        """Checks 4 and 5. What the peer itself refused is noted, not an error of the export."""
        faults = []
        if transaction.channel != self.channel:
            named = transaction.channel[:_QUOTED_CHARACTERS]
            faults.append(f"names channel {named!r}, the export is {self.channel!r}")
        if transaction.kind == ENDORSER_TRANSACTION:
            is_duplicate = self._is_duplicate(transaction)
            if is_duplicate:
                faults.append("has a transaction id that was used before; the first one counts")
            if not transaction.is_tx_id_ok:
                faults.append("has a transaction id that is not the hash of nonce and creator")
            if not transaction.is_proposal_hash_ok:
                faults.append("was endorsed for another proposal: proposal hash mismatch")
            is_id_ok = bool(transaction.is_tx_id_ok) and not is_duplicate
            self._findings.count(report.TX_ID, 1, 0 if is_id_ok else 1)
            self._findings.count(
                report.PROPOSAL_HASH, 1, 0 if transaction.is_proposal_hash_ok else 1
            )
        for fault in faults:
            if is_valid(code) is False:
                where = f"block {block.number}, transaction {number}"
                self._findings.remark(f"transaction that the peer refused {fault}", where)
            else:
                self._findings.error(self.channel, block.number, f"transaction {number} {fault}")

    def _is_duplicate(self, transaction: DecodedTransaction) -> bool:
        try:
            # Half the size of the text, and there is one for every transaction of the channel.
            tx_id = bytes.fromhex(transaction.tx_id)
        except ValueError:
            tx_id = transaction.tx_id.encode()
        if tx_id in self._tx_ids:
            return True
        self._tx_ids.add(tx_id)
        return False

    def _recorded_commit_hash(self, block: StoredBlock, kind: str) -> bytes | None:
        raw = _metadata(block, _COMMIT_METADATA)
        recorded = b""
        if raw:
            try:
                recorded = messages.Metadata.FromString(raw).value
            except DecodeError:
                recorded = raw
        if recorded and len(recorded) != _HASH_BYTES:
            self._findings.error(self.channel, block.number, "CommitHash is not a hash")
            return None
        if not recorded and self._has_commit_hashes and kind == BLOCK_STORE:
            self._findings.error(self.channel, block.number, "CommitHash missing")
        self._has_commit_hashes = self._has_commit_hashes or bool(recorded)
        return recorded or None

    def _check_commit(
        self,
        block: StoredBlock,
        facts: BlockFacts,
        transactions: Sequence[tuple[int, DecodedTransaction]],
        *,
        is_whole: bool,
    ) -> None:
        """Check 10."""
        if block.number == 0:
            return
        previous = self._previous_commit_hash(block)
        obstacle = _commit_obstacle(facts, transactions, previous, is_whole=is_whole)
        if obstacle is not None:
            where = f"block {block.number}"
            self._findings.remark(f"not checkable, {obstacle}", where, report.COMMIT_HASH)
            return
        codes = facts.validation_codes or b""
        updates = _updates(block.number, codes, transactions)
        is_ok = commit_hash(codes, updates.encode(), previous or b"") == facts.commit_hash
        count = len(block.envelopes)
        self._findings.count(report.COMMIT_HASH, count, 0 if is_ok else count)
        if not is_ok:
            self._findings.error(self.channel, block.number, "CommitHash mismatch")

    def _previous_commit_hash(self, block: StoredBlock) -> bytes | None:
        if block.number == 1:
            return b""
        if self._last is not None:
            return self._last[2]
        if self._known is not None and block.number == self._known.height:
            return self._known.commit_hash
        return None

    def _orderers(self, block: StoredBlock) -> list[bytes]:
        """Serialized identities of those who signed the block."""
        raw = _metadata(block, _ORDERER_METADATA)
        try:
            signatures = messages.Metadata.FromString(raw).signatures
            headers = [each.signature_header for each in signatures]
            return [messages.SignatureHeader.FromString(each).creator for each in headers]
        except DecodeError:
            self._findings.error(self.channel, block.number, "orderer signatures do not parse")
            return []


def _metadata(block: StoredBlock, index: int) -> bytes:
    return block.metadata[index] if index < len(block.metadata) else b""


def _commit_obstacle(
    facts: BlockFacts,
    transactions: Sequence[tuple[int, DecodedTransaction]],
    previous: bytes | None,
    *,
    is_whole: bool,
) -> str | None:
    """Why a commit hash cannot be recomputed, or None if it can."""
    if facts.commit_hash is None:
        return "no commit hash in the block (peers before 2.0 and orderers write none)"
    if facts.validation_codes is None:
        return "the validation codes are unknown"
    if previous is None:
        return "the commit hash of the block before is unknown"
    if not is_whole:
        return "a transaction does not parse"
    if any(transaction.has_metadata_writes for _, transaction in transactions):
        return "key-level metadata writes need earlier state"
    return None


def _updates(
    block_number: int, codes: bytes, transactions: Sequence[tuple[int, DecodedTransaction]]
) -> BlockUpdates:
    updates = BlockUpdates()
    for number, transaction in transactions:
        if codes[number] != 0:
            continue
        version = version_of(block_number, number)
        for each in transaction.writes:
            updates.put(each.namespace, each.collection, each.keys, each.values, version)
    return updates
