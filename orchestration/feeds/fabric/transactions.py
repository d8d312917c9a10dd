"""One envelope of a block, decoded: who submitted what, who endorsed it, what it writes.

What belongs here: bytes of one transaction in, one ``DecodedTransaction`` out, and the checks that
need nothing but the transaction itself (re-marshal, transaction id, proposal hash). Source:
``../shared/specs/fabric_export.md`` sections 2 and 3.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from google.protobuf.message import DecodeError

from orchestration.feeds.fabric import messages
from orchestration.feeds.fabric.digests import proposal_hash, transaction_id
from orchestration.feeds.fabric.wire import bytes_field

CONFIG, ENDORSER_TRANSACTION = 1, 3
_HEADER_TYPES = {
    0: "MESSAGE",
    CONFIG: "CONFIG",
    2: "CONFIG_UPDATE",
    ENDORSER_TRANSACTION: "ENDORSER_TRANSACTION",
    4: "ORDERER_TRANSACTION",
    5: "DELIVER_SEEK_INFO",
    6: "CHAINCODE_PACKAGE",
}
_MIN_SECONDS = int(datetime(1, 1, 1, tzinfo=UTC).timestamp())
_MAX_SECONDS = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())


class EnvelopeError(ValueError):
    """An envelope that does not parse; the message names the layer that failed."""


@dataclass(frozen=True, slots=True)
class Writes:
    """Writes to the public state of a namespace, or, by their hashes, to one private collection.

    Attributes:
        namespace: The chaincode's namespace.
        collection: The private collection; None for public state.
        keys: Keys, or key hashes, in the order of the transaction.
        values: Values, or value hashes; None where the write deletes (or purges) its key.
    """

    namespace: str
    collection: str | None
    keys: Sequence[bytes]
    values: Sequence[bytes | None]


@dataclass(slots=True)
class DecodedTransaction:
    """One transaction.

    Attributes:
        kind: ``ChannelHeader.type``.
        channel: Channel id in its header.
        tx_id: Transaction id in its header, possibly empty for configuration.
        submitted_at: The client's timestamp in microseconds since 1970, None when absent or
            outside the years 1 to 9999.
        creator: Serialized identity of the submitter.
        trailing_bytes: None if the envelope re-marshals to its bytes, else how many it has more.
        is_tx_id_ok: Whether the id is the hash of nonce and creator (endorser transactions).
        is_proposal_hash_ok: Whether the endorsed proposal is the one in the envelope.
        chaincode_name: Chaincode called; likewise ``chaincode_version`` and ``function``.
        endorsers: Serialized identities of the endorsers, in order.
        writes: What it writes, public state first in each namespace.
        has_metadata_writes: Whether key-level metadata is written; the commit hash of such a block
            needs earlier state.
    """

    kind: int
    channel: str
    tx_id: str
    submitted_at: int | None
    creator: bytes
    trailing_bytes: int | None
    is_tx_id_ok: bool | None = None
    is_proposal_hash_ok: bool | None = None
    chaincode_name: str | None = None
    chaincode_version: str | None = None
    function: str | None = None
    endorsers: Sequence[bytes] = ()
    writes: Sequence[Writes] = ()
    has_metadata_writes: bool = False

    @property
    def header_type(self) -> str:
        """The name of its type, or the number of one that Fabric does not define."""
        return _HEADER_TYPES.get(self.kind, str(self.kind))

    @property
    def write_count(self) -> int:
        """Number of public and private writes."""
        return sum(len(each.keys) for each in self.writes)


def decode_envelope(raw: bytes) -> DecodedTransaction:
    """Decode one envelope.

    Args:
        raw: The envelope as stored in the block.

    Raises:
        EnvelopeError: If a layer does not parse, or an endorser transaction has not exactly one
            action.
    """
    envelope = _parse("Envelope", raw)
    payload = _parse("Payload", envelope.payload)
    header = _parse("ChannelHeader", payload.header.channel_header)
    signature_header = _parse("SignatureHeader", payload.header.signature_header)
    transaction = DecodedTransaction(
        kind=header.type,
        channel=header.channel_id,
        tx_id=header.tx_id,
        submitted_at=_microseconds(header),
        creator=signature_header.creator,
        trailing_bytes=_trailing_bytes(raw, envelope),
    )
    if header.type == ENDORSER_TRANSACTION:
        transaction.is_tx_id_ok = header.tx_id == transaction_id(
            signature_header.nonce, signature_header.creator
        )
        _decode_action(transaction, payload)
    return transaction


def text_or_base64(raw: bytes) -> str:
    """Return UTF-8 text as it is and anything else as ``base64:…``."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return "base64:" + base64.b64encode(raw).decode()


def _parse(name: str, raw: bytes) -> Any:
    try:
        return messages.CLASSES[name].FromString(raw)
    except DecodeError as error:
        raise EnvelopeError(f"expected a message of type {name}, found other bytes") from error


def _trailing_bytes(raw: bytes, envelope: Any) -> int | None:
    payload, signature = envelope.payload, envelope.signature
    canonical = (bytes_field(1, payload) if payload else b"") + (
        bytes_field(2, signature) if signature else b""
    )
    return None if raw == canonical else len(raw) - len(canonical)


def _microseconds(header: Any) -> int | None:
    if not header.HasField("timestamp"):
        return None
    seconds = header.timestamp.seconds
    if not _MIN_SECONDS <= seconds < _MAX_SECONDS:
        return None
    return int(seconds * 1_000_000 + header.timestamp.nanos // 1000)


def _decode_action(transaction: DecodedTransaction, payload: Any) -> None:
    actions = _parse("Transaction", payload.data).actions
    if len(actions) != 1:
        raise EnvelopeError(f"expected exactly one action, found {len(actions)}")
    action = actions[0]
    endorsed = _parse("ChaincodeActionPayload", action.payload)
    proposal = endorsed.chaincode_proposal_payload
    response = _parse("ProposalResponsePayload", endorsed.action.proposal_response_payload)
    chaincode_action = _parse("ChaincodeAction", response.extension)
    transaction.is_proposal_hash_ok = response.proposal_hash == proposal_hash(
        payload.header.channel_header, action.header, proposal
    )
    transaction.chaincode_name = chaincode_action.chaincode_id.name or None
    transaction.chaincode_version = chaincode_action.chaincode_id.version or None
    transaction.function = _function(proposal)
    transaction.endorsers = [each.endorser for each in endorsed.action.endorsements]
    results = _parse("TxReadWriteSet", chaincode_action.results)
    writes: list[Writes] = []
    for stored in results.ns_rwset:
        transaction.has_metadata_writes |= _add_namespace(writes, stored)
    transaction.writes = writes


def _function(proposal: bytes) -> str | None:
    """The first argument, by convention the function's name."""
    input_bytes = _parse("ChaincodeProposalPayload", proposal).input
    invocation = _parse("ChaincodeInvocationSpec", input_bytes)
    arguments = invocation.chaincode_spec.input.args
    return text_or_base64(arguments[0]) if arguments else None


def _add_namespace(writes: list[Writes], stored: Any) -> bool:
    """Append the writes of a ``NsReadWriteSet``; return whether it writes key-level metadata."""
    public = _parse("KVRWSet", stored.rwset)
    has_metadata_writes = bool(public.metadata_writes)
    keys = [each.key for each in public.writes]
    values = [None if each.is_delete else each.value for each in public.writes]
    writes.append(Writes(stored.namespace, None, keys, values))
    for collection in stored.collection_hashed_rwset:
        hashed = _parse("HashedRWSet", collection.hashed_rwset)
        has_metadata_writes |= bool(hashed.metadata_writes)
        keys = [each.key_hash for each in hashed.hashed_writes]
        values = [
            None if each.is_delete or each.is_purge else each.value_hash
            for each in hashed.hashed_writes
        ]
        writes.append(Writes(stored.namespace, collection.collection_name, keys, values))
    return has_metadata_writes
