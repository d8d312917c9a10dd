"""The hashes that tie a Fabric channel together, as the peer and the orderer compute them.

What belongs here: pure functions from stored bytes to digests, used by the reader to verify and by
the simulated network to write. Source: ``../shared/specs/fabric_export.md`` section 3.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from orchestration.feeds.fabric.wire import bytes_field, encode_varint

_DELETED = b"\x20\x01"


def data_hash(envelopes: Iterable[bytes]) -> bytes:
    """Return a block's data hash: SHA-256 of its envelopes, simply concatenated (check 1)."""
    digest = sha256()
    for envelope in envelopes:
        digest.update(envelope)
    return digest.digest()


def header_bytes(number: int, previous_hash: bytes, data_digest: bytes) -> bytes:
    """Return a block header as DER: SEQUENCE{INTEGER, OCTET STRING, OCTET STRING} (check 3)."""
    # One more bit than the value needs keeps the two's complement positive: 128 -> 02 02 00 80.
    number_bytes = number.to_bytes(number.bit_length() // 8 + 1, "big")
    content = _der(0x02, number_bytes) + _der(0x04, previous_hash) + _der(0x04, data_digest)
    return _der(0x30, content)


def header_hash(number: int, previous_hash: bytes, data_digest: bytes) -> bytes:
    """Return the hash by which the next block names this one."""
    return sha256(header_bytes(number, previous_hash, data_digest)).digest()


def transaction_id(nonce: bytes, creator: bytes) -> str:
    """Return a transaction's id, lower case hex (check 4)."""
    return sha256(nonce + creator).hexdigest()


def proposal_hash(channel_header: bytes, signature_header: bytes, payload: bytes) -> bytes:
    """Return the hash by which endorsers name a proposal, from its bytes as stored (check 5)."""
    digest = sha256(channel_header)
    digest.update(signature_header)
    digest.update(payload)
    return digest.digest()


class BlockUpdates:
    """The state that a block's VALID transactions leave: what the commit hash covers (check 10).

    Add the writes in ledger order; the last one per key stays.
    """

    def __init__(self) -> None:
        self._entries: dict[str, dict[str, dict[bytes, bytes]]] = {}

    def put(
        self,
        namespace: str,
        collection: str | None,
        keys: Iterable[bytes],
        values: Iterable[bytes | None],
        version: bytes,
    ) -> None:
        """Note the writes of one transaction to one namespace or private collection.

        Args:
            namespace: The chaincode's namespace.
            collection: The private collection, whose keys and values are hashes; None for public
                state.
            keys: The keys.
            values: Their values; None deletes.
            version: From ``version_of``.
        """
        entries = self._entries.setdefault(namespace, {}).setdefault(collection or "", {})
        for key, value in zip(keys, values, strict=True):
            size = encode_varint(len(key))
            if value:
                pieces = (b"\x1a", size, key, b"\x2a", encode_varint(len(value)), value, version)
            else:
                pieces = (b"\x1a", size, key, _DELETED if value is None else b"", version)
            entries[key] = b"".join(pieces)

    def encode(self) -> bytes:
        """Return the serialized ``Updates`` message in the peer's order."""
        pieces: list[bytes] = []
        for namespace in sorted(self._entries.keys() - {""}):
            head = bytes_field(1, namespace.encode())
            # Public state has the empty name and so comes first.
            for collection, entries in sorted(self._entries[namespace].items()):
                head += bytes_field(2, collection.encode()) if collection else b""
                head = _append(pieces, head, entries)
        return b"".join(pieces)


def version_of(block_number: int, tx_number: int) -> bytes:
    """Return the version that a transaction stamps on its writes, as the commit hash encodes it."""
    return bytes_field(6, _order_preserving(block_number) + _order_preserving(tx_number))


def commit_hash(validation_codes: bytes, updates: bytes, previous: bytes) -> bytes:
    """Return a block's commit hash; ``previous`` is empty for block 1 (check 10)."""
    digest = sha256(encode_varint(len(validation_codes)))
    digest.update(validation_codes)
    digest.update(updates)
    digest.update(previous)
    return digest.digest()


def _append(pieces: list[bytes], head: bytes, entries: dict[bytes, bytes]) -> bytes:
    """Append the entries in key order; ``head`` goes on the first; return the head still due."""
    if not entries:
        return head
    first, *others = [entries[key] for key in sorted(entries)]
    for entry in (head + first, *others):
        pieces += (b"\x0a", encode_varint(len(entry)), entry)
    return b""


def _order_preserving(number: int) -> bytes:
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return bytes((len(raw),)) + raw


def _der(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(size))) + size + content
