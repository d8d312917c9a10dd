"""The ordering service and committing peer of a simulated channel.

What belongs here: blocks, their metadata, and the state versions and commit hashes that follow from
committing them. Source: ``../shared/specs/fabric_export.md`` section 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b

from orchestration.feeds.fabric.digests import (
    BlockUpdates,
    commit_hash,
    data_hash,
    header_bytes,
    header_hash,
    version_of,
)
from orchestration.feeds.fabric.wire import bytes_field, varint_field
from orchestration.feeds.simulate.fabric.blockfiles import BlockFiles, block_record
from orchestration.feeds.simulate.fabric.envelopes import HashedWrite
from orchestration.feeds.simulate.fabric.identities import Identity, Seed

VALID = 0
_BLOCKS_PER_TERM = 500
# Raft's consenter ids 1, 2 and 3, and the next free one.
_CONSENTERS = bytes_field(1, b"\x01\x02\x03") + varint_field(2, 4)


@dataclass
class _OpenBlock:
    envelopes: list[bytes] = field(default_factory=list)
    codes: bytearray = field(default_factory=bytearray)
    updates: BlockUpdates = field(default_factory=BlockUpdates)
    versions: dict[bytes, tuple[int, int] | None] = field(default_factory=dict)


class Ledger:
    """A channel's chain of blocks, written as it grows; memory is one block and a version per key.

    Attributes:
        height: Number of blocks written.
        header_hash: Hash of the last block's header.
        commit_hash: Commit hash of the last block; empty before block 1.
        transactions: Number of transactions written.
    """

    def __init__(self, files: BlockFiles, seed: Seed, orderers: Sequence[Identity]) -> None:
        self.height = 0
        self.header_hash = b""
        self.commit_hash = b""
        self.transactions = 0
        self._files = files
        self._seed = seed
        self._orderers = orderers
        self._versions: dict[bytes, tuple[int, int] | None] = {}
        self._open = _OpenBlock()

    @property
    def pending(self) -> int:
        """Number of transactions in the block that is still open."""
        return len(self._open.envelopes)

    def version(self, namespace: str, key: bytes) -> tuple[int, int] | None:
        """Return the (block, transaction) that last wrote a key in a closed block, or None."""
        return self._versions.get(_slot(namespace, key))

    def is_written_in_open_block(self, namespace: str, key: bytes) -> bool:
        """Whether a transaction that waits in the open block writes the key."""
        return _slot(namespace, key) in self._open.versions

    def add(
        self,
        envelope: bytes,
        validation_code: int,
        writes: Mapping[str, Mapping[bytes, bytes | None]],
        private: Mapping[str, Mapping[str, Sequence[HashedWrite]]],
    ) -> None:
        """Put a transaction into the open block; only a VALID one changes the state.

        Args:
            envelope: The serialized envelope.
            validation_code: What the peer will find.
            writes: Values by namespace and key; None deletes.
            private: Private writes by namespace and collection.
        """
        block = self._open
        height = (self.height, len(block.envelopes))
        version = version_of(*height)
        block.envelopes.append(envelope)
        block.codes.append(validation_code)
        if validation_code != VALID:
            return
        for namespace, values in writes.items():
            block.updates.put(namespace, None, values.keys(), values.values(), version)
            for key, value in values.items():
                block.versions[_slot(namespace, key)] = None if value is None else height
        for namespace, collections in private.items():
            for collection, hashed in collections.items():
                key_hashes = [each.key_hash for each in hashed]
                value_hashes = [each.value_hash for each in hashed]
                block.updates.put(namespace, collection, key_hashes, value_hashes, version)

    def cut(self) -> None:
        """Close the open block: chain it, sign it, commit it, write it."""
        block, number = self._open, self.height
        self._open = _OpenBlock()
        digest = data_hash(block.envelopes)
        header = header_bytes(number, self.header_hash, digest)
        codes = bytes(block.codes)
        metadata = [
            self._orderer_metadata(number, header),
            b"",
            codes,
            b"",
            self._commit(number, codes, block.updates),
        ]
        self._files.append(
            block_record(number, digest, self.header_hash, block.envelopes, metadata)
        )
        self.header_hash = header_hash(number, self.header_hash, digest)
        self._versions.update(block.versions)
        self.height += 1
        self.transactions += len(block.envelopes)

    def _commit(self, number: int, codes: bytes, updates: BlockUpdates) -> bytes:
        if number == 0:
            return b""
        self.commit_hash = commit_hash(codes, updates.encode(), self.commit_hash)
        return bytes_field(1, self.commit_hash)

    def _orderer_metadata(self, number: int, header: bytes) -> bytes:
        if number == 0:
            return bytes_field(1, bytes_field(1, b""))
        raft = _CONSENTERS + varint_field(3, number + 3)
        value = bytes_field(1, b"") + bytes_field(2, bytes_field(1, raft))
        term = self._seed.derive(f"raft leader {number // _BLOCKS_PER_TERM}")[0]
        orderer = self._orderers[term % len(self._orderers)]
        nonce = self._seed.derive(f"orderer nonce {number}")[:24]
        signature_header = bytes_field(1, orderer.serialized) + bytes_field(2, nonce)
        signature = orderer.sign(value + signature_header + header)
        signed = bytes_field(1, signature_header) + bytes_field(2, signature)
        return bytes_field(1, value) + bytes_field(2, signed)


def _slot(namespace: str, key: bytes) -> bytes:
    """A short stand-in for a key, so that a version per key stays affordable."""
    return blake2b(namespace.encode() + b"\0" + key, digest_size=10).digest()
