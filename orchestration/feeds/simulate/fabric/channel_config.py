"""The configuration of a simulated channel: who is in it, and by which rules.

What belongs here: the ``ConfigEnvelope`` of the genesis block, with every organisation's MSP root,
policies and the ordering service's settings. Maps are written in key order, so that the bytes are
always the same. Message layouts: hyperledger/fabric-protos, ``common/configtx.proto``,
``common/policies.proto`` and ``msp/msp_config.proto``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestration.feeds.fabric.wire import bytes_field, text_field, varint_field
from orchestration.feeds.simulate.fabric.identities import Authority

_SIGNATURE_POLICY, _IMPLICIT_META_POLICY = 1, 3
_ANY, _MAJORITY = 0, 2
_MEMBER, _ADMIN, _CLIENT, _PEER = 0, 1, 2, 3
_UINT32_MAX = 0xFFFFFFFF


def config_envelope(
    organisations: Sequence[Authority],
    orderer: Authority,
    *,
    orderer_addresses: Sequence[str],
    block_size: int,
) -> bytes:
    """Return a channel's first ``ConfigEnvelope``, serialized.

    Args:
        organisations: The channel's members.
        orderer: The organisation that orders.
        orderer_addresses: ``host:port`` of each ordering node.
        block_size: Largest number of transactions in a block.
    """
    application = _group(
        groups={each.msp_id: _member_group(each) for each in organisations},
        values={"Capabilities": _capabilities("V2_0")},
        policies={
            **_implicit_policies(),
            "Endorsement": _implicit(_MAJORITY, "Endorsement"),
            "LifecycleEndorsement": _implicit(_MAJORITY, "Endorsement"),
        },
    )
    ordering = _group(
        groups={orderer.msp_id: _member_group(orderer)},
        values=_ordering_values(block_size),
        policies={**_implicit_policies(), "BlockValidation": _implicit(_ANY, "Writers")},
    )
    channel = _group(
        groups={"Application": application, "Orderer": ordering},
        values={
            "BlockDataHashingStructure": varint_field(1, _UINT32_MAX),
            "Capabilities": _capabilities("V2_0"),
            "HashingAlgorithm": text_field(1, "SHA256"),
            "OrdererAddresses": b"".join(text_field(1, each) for each in orderer_addresses),
        },
        policies=_implicit_policies(),
    )
    return bytes_field(1, bytes_field(2, channel))


def _member_group(authority: Authority) -> bytes:
    msp_id = authority.msp_id
    return _group(
        values={"MSP": bytes_field(2, _msp(authority))},
        policies={
            "Admins": _signed_by(msp_id, _ADMIN),
            "Endorsement": _signed_by(msp_id, _PEER),
            "Readers": _signed_by(msp_id, _MEMBER),
            "Writers": _signed_by(msp_id, _CLIENT),
        },
    )


def _msp(authority: Authority) -> bytes:
    crypto = text_field(1, "SHA2") + text_field(2, "SHA256")
    units = (("client", 2), ("peer", 3), ("admin", 4), ("orderer", 5))
    node_units = varint_field(1, 1) + b"".join(
        bytes_field(number, bytes_field(1, authority.root_pem) + text_field(2, unit))
        for unit, number in units
    )
    return (
        text_field(1, authority.msp_id)
        + bytes_field(2, authority.root_pem)
        + bytes_field(8, crypto)
        + bytes_field(11, node_units)
    )


def _ordering_values(block_size: int) -> dict[str, bytes]:
    sizes = varint_field(1, block_size) + varint_field(2, 99 << 20) + varint_field(3, 2 << 20)
    return {
        "BatchSize": sizes,
        "BatchTimeout": text_field(1, "2s"),
        "Capabilities": _capabilities("V2_0"),
        "ChannelRestrictions": b"",
        "ConsensusType": text_field(1, "etcdraft"),
    }


def _group(
    *,
    groups: Mapping[str, bytes] | None = None,
    values: Mapping[str, bytes] | None = None,
    policies: Mapping[str, bytes] | None = None,
) -> bytes:
    return (
        _map(2, groups or {})
        + _map(3, _with_mod_policy(values or {}))
        + _map(4, _with_mod_policy(policies or {}))
        + text_field(5, "Admins")
    )


def _with_mod_policy(entries: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return each value or policy as its ``ConfigValue`` or ``ConfigPolicy``."""
    return {
        name: bytes_field(2, entry) + text_field(3, "Admins") for name, entry in entries.items()
    }


def _map(number: int, entries: Mapping[str, bytes]) -> bytes:
    return b"".join(
        bytes_field(number, text_field(1, name) + bytes_field(2, entries[name]))
        for name in sorted(entries)
    )


def _capabilities(name: str) -> bytes:
    return bytes_field(1, text_field(1, name) + bytes_field(2, b""))


def _implicit_policies() -> dict[str, bytes]:
    return {
        "Admins": _implicit(_MAJORITY, "Admins"),
        "Readers": _implicit(_ANY, "Readers"),
        "Writers": _implicit(_ANY, "Writers"),
    }


def _implicit(rule: int, sub_policy: str) -> bytes:
    policy = text_field(1, sub_policy) + varint_field(2, rule)
    return varint_field(1, _IMPLICIT_META_POLICY) + bytes_field(2, policy)


def _signed_by(msp_id: str, role: int) -> bytes:
    principal = bytes_field(2, text_field(1, msp_id) + varint_field(2, role))
    # signed_by 0 sits in a oneof, so the zero is written out: 08 00.
    rule = bytes_field(2, varint_field(1, 1) + bytes_field(2, b"\x08\x00"))
    policy = bytes_field(2, rule) + bytes_field(3, principal)
    return varint_field(1, _SIGNATURE_POLICY) + bytes_field(2, policy)
