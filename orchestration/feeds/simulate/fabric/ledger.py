"""The committing peer of a simulated channel.

What belongs here: the open block, and the state versions and commit hashes that follow from
committing it. Signing and writing is the ordering service's business (``ordering``). Source:
``../shared/specs/fabric_export.md`` section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from orchestration.feeds.fabric.digests import BlockUpdates, commit_hash, version_of
from orchestration.feeds.simulate.fabric.envelopes import HashedWrite
from orchestration.feeds.simulate.fabric.ordering import CommittedBlock, Draft

VALID = 0
_Versions = dict[str, dict[bytes, tuple[int, int] | None]]


@dataclass
class _OpenBlock:
    transactions: list[Draft | bytes] = field(default_factory=list)
    codes: bytearray = field(default_factory=bytearray)
    updates: BlockUpdates = field(default_factory=BlockUpdates)
    versions: _Versions = field(default_factory=dict)


class Ledger:
    """A channel's state as it grows; memory is one block and a version per key.

    Attributes:
        height: Number of blocks committed.
        commit_hash: Commit hash of the last block; empty before block 1.
        transactions: Number of transactions committed.
    """

    def __init__(self, order: Callable[[CommittedBlock], None]) -> None:
        self.height = 0
        self.commit_hash = b""
        self.transactions = 0
        self._order = order
        self._versions: _Versions = {}
        self._open = _OpenBlock()

    @property
    def pending(self) -> int:
        """Number of transactions in the block that is still open."""
        return len(self._open.transactions)

    def version(self, namespace: str, key: bytes) -> tuple[int, int] | None:
        """Return the (block, transaction) that last wrote a key in a closed block, or None."""
        return self._versions.get(namespace, {}).get(key)

    def is_written_in_open_block(self, namespace: str, key: bytes) -> bool:
        """Whether a transaction that waits in the open block writes the key."""
        return key in self._open.versions.get(namespace, ())

    def add(
        self,
        transaction: Draft | bytes,
        validation_code: int,
        writes: Mapping[str, Mapping[bytes, bytes | None]],
        private: Mapping[str, Mapping[str, Sequence[HashedWrite]]],
    ) -> None:
        """Put a transaction into the open block; only a VALID one changes the state.

        Args:
            transaction: The draft, or a finished envelope.
            validation_code: What the peer will find.
            writes: Values by namespace and key; None deletes.
            private: Private writes by namespace and collection.
        """
        block = self._open
        height = (self.height, len(block.transactions))
        block.transactions.append(transaction)
        block.codes.append(validation_code)
        if validation_code != VALID:
            return
        version = version_of(*height)
        for namespace, values in writes.items():
            block.updates.put(namespace, None, values.keys(), values.values(), version)
            versions = block.versions.setdefault(namespace, {})
            versions.update(dict.fromkeys(values, height))
            versions.update((key, None) for key, value in values.items() if value is None)
        for namespace, collections in private.items():
            for collection, hashed in collections.items():
                key_hashes = [each.key_hash for each in hashed]
                value_hashes = [each.value_hash for each in hashed]
                block.updates.put(namespace, collection, key_hashes, value_hashes, version)

    def cut(self) -> None:
        """Close the open block: commit it and hand it to the ordering service."""
        block = self._open
        self._open = _OpenBlock()
        codes = bytes(block.codes)
        if self.height:  # the genesis block has no commit hash
            self.commit_hash = commit_hash(codes, block.updates.encode(), self.commit_hash)
        self._order(CommittedBlock(block.transactions, codes, self.commit_hash))
        for namespace, versions in block.versions.items():
            self._versions.setdefault(namespace, {}).update(versions)
        self.height += 1
        self.transactions += len(block.transactions)
