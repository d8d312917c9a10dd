"""Certificate authorities and members of a simulated Fabric network, all derived from a seed.

What belongs here: keys, certificates and signatures. Keys come from the seed on purpose, so that
the same seed writes the same bytes; nothing outside a simulation may use them.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from orchestration.feeds.fabric.wire import bytes_field, text_field

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_ECDSA_DIGEST = ec.ECDSA(Prehashed(SHA256()), deterministic_signing=True)
_AUTHORITY_YEARS = 15
# Fabric CA's default of one year would expire inside a simulated multi-year ledger.
_MEMBER_YEARS = 5


@dataclass(frozen=True)
class Seed:
    """The root from which every secret of a simulated network is derived."""

    number: int

    def derive(self, label: str) -> bytes:
        """Return 32 bytes that depend on the seed and the label only."""
        return hmac.digest(f"tracient simulation {self.number}".encode(), label.encode(), "sha256")

    def private_key(self, label: str) -> ec.EllipticCurvePrivateKey:
        """Return a P-256 key that depends on the seed and the label only."""
        scalar = int.from_bytes(self.derive(f"key {label}"), "big") % (P256_ORDER - 1) + 1
        return ec.derive_private_key(scalar, ec.SECP256R1())

    def serial_number(self, label: str) -> int:
        """Return a positive certificate serial number of at most 159 bits."""
        return int.from_bytes(self.derive(f"serial {label}")[:19], "big") | 1


@dataclass(frozen=True)
class Identity:
    """A member of the network: its MSP, certificate and key.

    Attributes:
        msp_id: The organisation's MSP.
        certificate_pem: The certificate as it stands in every transaction.
        key: The private key.
        serialized: The ``SerializedIdentity`` message that transactions carry.
        as_field: The same as field 1 of a message: a creator or an endorser.
    """

    msp_id: str
    certificate_pem: bytes
    key: ec.EllipticCurvePrivateKey
    serialized: bytes = field(init=False)
    as_field: bytes = field(init=False)

    def __post_init__(self) -> None:
        serialized = text_field(1, self.msp_id) + bytes_field(2, self.certificate_pem)
        object.__setattr__(self, "serialized", serialized)
        object.__setattr__(self, "as_field", bytes_field(1, serialized))

    def sign(self, message: bytes) -> bytes:
        """Return a deterministic (RFC 6979), low-S ECDSA signature over SHA-256, as DER."""
        return self.sign_digest(sha256(message).digest())

    def sign_digest(self, digest: bytes) -> bytes:
        """Return the same signature from the message's SHA-256."""
        signature = self.key.sign(digest, _ECDSA_DIGEST)
        r, s = decode_dss_signature(signature)
        if s <= P256_ORDER // 2:
            return signature
        # Fabric refuses the other half: two valid signatures would give one message two encodings.
        return encode_dss_signature(r, P256_ORDER - s)


class Authority:
    """One organisation's certificate authority."""

    def __init__(self, seed: Seed, msp_id: str, domain: str, founded_at: datetime) -> None:
        self.msp_id = msp_id
        self.domain = domain
        self._seed = seed
        self._founded_at = founded_at
        self._key = seed.private_key(f"ca {msp_id}")
        self._name = _name(f"ca.{domain}", domain, None)
        certificate = (
            self._builder(f"ca {msp_id}", self._name, self._key, _AUTHORITY_YEARS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_key_usage(is_authority=True), critical=True)
            .sign(self._key, SHA256(), ecdsa_deterministic=True)
        )
        self.root_pem = certificate.public_bytes(Encoding.PEM)

    def issue(self, name: str, unit: str) -> Identity:
        """Return a new member, ``name`` within the organisation, in the unit client, peer, ….

        The unit is what Fabric's NodeOUs read a member's role from.
        """
        label = f"{self.msp_id} {name}"
        key = self._seed.private_key(label)
        subject = _name(f"{name}.{self.domain}", None, unit)
        certificate = (
            self._builder(label, subject, key, _MEMBER_YEARS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(is_authority=False), critical=True)
            .sign(self._key, SHA256(), ecdsa_deterministic=True)
        )
        return Identity(self.msp_id, certificate.public_bytes(Encoding.PEM), key)

    def _builder(
        self, label: str, subject: x509.Name, key: ec.EllipticCurvePrivateKey, years: int
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(self._seed.serial_number(label))
            .not_valid_before(self._founded_at - timedelta(minutes=5))
            .not_valid_after(self._founded_at + timedelta(days=365 * years))
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )


def _name(common_name: str, organisation: str | None, unit: str | None) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COUNTRY_NAME, "IN")]
    if organisation:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation))
    if unit:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, unit))
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
