"""Transactions of a simulated channel as the envelopes that a client submits.

What belongs here: proposal, endorsements, signature and read-write set of one transaction. When it
is ordered and whether it commits is the ledger's business (``ledger``). Message layouts:
``../shared/specs/fabric_export.md`` section 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from orchestration.feeds.fabric.digests import proposal_hash, transaction_id
from orchestration.feeds.fabric.wire import bytes_field, encode_varint, text_field, varint_field
from orchestration.feeds.simulate.fabric.identities import Identity

CONFIG, ENDORSER_TRANSACTION = 1, 3
_GOLANG = 1
_DELETE = b"\x10\x01"  # KVWrite.is_delete with its value
_OK = 200
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Invocation:
    """What a client asks a chaincode to do."""

    channel: str
    chaincode: str
    version: str
    arguments: Sequence[bytes]
    submitted_at: datetime


@dataclass(frozen=True)
class HashedWrite:
    """One private write as the channel sees it, and the value that it hides."""

    key: bytes
    value: bytes

    @property
    def key_hash(self) -> bytes:
        """SHA-256 of the key."""
        return sha256(self.key).digest()

    @property
    def value_hash(self) -> bytes:
        """SHA-256 of the value."""
        return sha256(self.value).digest()


def config_transaction(channel: str, submitted_at: datetime, nonce: bytes, config: bytes) -> bytes:
    """Return the unsigned envelope of a genesis block."""
    header = _channel_header(CONFIG, channel, submitted_at, transaction_id(nonce, b""))
    headers = bytes_field(1, header) + bytes_field(2, bytes_field(2, nonce))
    return bytes_field(1, bytes_field(1, headers) + bytes_field(2, config))


def endorser_transaction(
    invocation: Invocation,
    creator: Identity,
    endorsers: Iterable[Identity],
    nonce: bytes,
    results: bytes,
) -> bytes:
    """Return the signed envelope of a chaincode transaction.

    Args:
        invocation: The call.
        creator: The client that signs the proposal and the envelope.
        endorsers: The peers that sign the response, in order.
        nonce: 24 bytes, never used twice by one creator.
        results: The serialized ``TxReadWriteSet``.
    """
    chaincode_id = text_field(2, invocation.chaincode)
    header = _channel_header(
        ENDORSER_TRANSACTION,
        invocation.channel,
        invocation.submitted_at,
        transaction_id(nonce, creator.serialized),
        extension=bytes_field(2, chaincode_id),
    )
    signature_header = creator.as_field + bytes_field(2, nonce)
    proposal = _proposal(invocation, chaincode_id)
    response = _response(
        proposal_hash(header, signature_header, proposal),
        results,
        chaincode_id + text_field(3, invocation.version),
    )
    action_payload = bytes_field(1, proposal) + bytes_field(2, _endorsed(response, endorsers))
    action = bytes_field(1, signature_header) + bytes_field(2, action_payload)
    headers = bytes_field(1, header) + bytes_field(2, signature_header)
    payload = bytes_field(1, headers) + bytes_field(2, bytes_field(1, action))
    return bytes_field(1, payload) + bytes_field(2, creator.sign(payload))


def namespace_results(
    namespace: str,
    reads: Mapping[bytes, tuple[int, int] | None],
    writes: Mapping[bytes, bytes | None],
    private: Mapping[str, Sequence[HashedWrite]],
) -> bytes:
    """Return one ``NsReadWriteSet`` as a field of ``TxReadWriteSet``.

    Args:
        namespace: The chaincode's namespace.
        reads: Keys read with the version (block, transaction) seen, None for an absent key.
        writes: Values by key; None deletes.
        private: Private writes by collection.
    """
    public = b"".join(bytes_field(1, _read(key, reads[key])) for key in sorted(reads))
    public += b"".join(_write(key, writes[key]) for key in sorted(writes))
    hashed = b"".join(bytes_field(3, _collection(name, private[name])) for name in sorted(private))
    return bytes_field(2, text_field(1, namespace) + bytes_field(2, public) + hashed)


def _read(key: bytes, version: tuple[int, int] | None) -> bytes:
    if version is None:
        return bytes_field(1, key)
    return bytes_field(1, key) + bytes_field(
        2, varint_field(1, version[0]) + varint_field(2, version[1])
    )


def _write(key: bytes, value: bytes | None) -> bytes:
    # Spelled out, tags included: a channel has hundreds of thousands of these.
    size = encode_varint(len(key))
    if value:
        entry = b"".join((b"\x0a", size, key, b"\x1a", encode_varint(len(value)), value))
    else:
        entry = b"\x0a" + size + key + (_DELETE if value is None else b"")
    return b"\x1a" + encode_varint(len(entry)) + entry


def _collection(name: str, writes: Sequence[HashedWrite]) -> bytes:
    plain = b"".join(_write(each.key, each.value) for each in sorted(writes, key=_by_key))
    hashed = b"".join(
        bytes_field(2, bytes_field(1, each.key_hash) + bytes_field(3, each.value_hash))
        for each in sorted(writes, key=lambda each: each.key_hash)
    )
    return text_field(1, name) + bytes_field(2, hashed) + bytes_field(3, sha256(plain).digest())


def _by_key(write: HashedWrite) -> bytes:
    return write.key


def _channel_header(
    kind: int, channel: str, submitted_at: datetime, tx_id: str, extension: bytes = b""
) -> bytes:
    return (
        varint_field(1, kind)
        + bytes_field(3, _timestamp(submitted_at))
        + text_field(4, channel)
        + text_field(5, tx_id)
        + (bytes_field(7, extension) if extension else b"")
    )


def _timestamp(moment: datetime) -> bytes:
    elapsed = moment - _EPOCH
    return varint_field(1, elapsed.days * 86400 + elapsed.seconds) + varint_field(
        2, elapsed.microseconds * 1000
    )


def _proposal(invocation: Invocation, chaincode_id: bytes) -> bytes:
    arguments = b"".join(bytes_field(1, each) for each in invocation.arguments)
    specification = (
        varint_field(1, _GOLANG) + bytes_field(2, chaincode_id) + bytes_field(3, arguments)
    )
    return bytes_field(1, bytes_field(1, specification))


def _response(digest: bytes, results: bytes, chaincode_id: bytes) -> bytes:
    action = (
        bytes_field(1, results)
        + bytes_field(3, varint_field(1, _OK))
        + bytes_field(4, chaincode_id)
    )
    return bytes_field(1, digest) + bytes_field(2, action)


def _endorsed(response: bytes, endorsers: Iterable[Identity]) -> bytes:
    # The response is long and every endorser signs it: hash it once, then continue per endorser.
    shared = sha256(response)
    signed = bytes_field(1, response)
    for endorser in endorsers:
        digest = shared.copy()
        digest.update(endorser.serialized)
        signature = endorser.sign_digest(digest.digest())
        signed += bytes_field(2, endorser.as_field + bytes_field(2, signature))
    return signed
