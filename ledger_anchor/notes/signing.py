"""The signature algorithms, and the only module that calls ``cryptography``.

What belongs here: bare signatures over bytes. What does not: what is signed (``cosignature``) and
how keys are written (``keys``). ``cryptography`` is imported when a signature is made or checked,
so that a clean machine can verify: Ed25519 then falls back to this package's own slow verifier.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from ledger_anchor.errors import MissingLibraryError
from ledger_anchor.notes import ed25519

SEED_SIZE = 32
_WANTED = "the package cryptography, 50 or newer (pip install 'cryptography>=50')"
# DER of a SubjectPublicKeyInfo before the point, by curve: one spelling each, so that equal keys
# have equal ids, and no other curve gets in.
SPKI_PREFIXES = {
    "P-256": (bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d03010703420004"), 64),
    "P-384": (bytes.fromhex("3076301006072a8648ce3d020106052b8104002203620004"), 96),
    "P-521": (bytes.fromhex("30819b301006072a8648ce3d020106052b8104002303818600 04"), 132),
}


def curve_of(spki: bytes) -> str | None:
    """Name of the NIST curve of a DER public key, None if it is none of the three."""
    for name, (prefix, size) in SPKI_PREFIXES.items():
        if spki.startswith(prefix) and len(spki) == len(prefix) + size:
            return name
    return None


def verify_ed25519(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether an Ed25519 signature verifies."""
    library = _ed25519_library()
    if library is None:
        return ed25519.verify(public_key, signature, message)
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - absent on clean machines

    try:
        library.Ed25519PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _ed25519_library() -> ModuleType | None:
    try:
        from cryptography.hazmat.primitives.asymmetric import (  # noqa: PLC0415 - as above
            ed25519 as library,
        )
    except ImportError:
        return None
    return library


def ed25519_public(seed: bytes) -> bytes:
    """Public key of a seed, 32 bytes.

    Raises:
        MissingLibraryError: without ``cryptography``.
    """
    library = _ed25519_library()
    if library is None:
        raise MissingLibraryError(f"a signing key needs {_WANTED}")
    public: bytes = (
        library.Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    )
    return public


def sign_ed25519(seed: bytes, message: bytes) -> bytes:
    """Ed25519 signature, 64 bytes.

    Raises:
        MissingLibraryError: without ``cryptography``.
    """
    library = _ed25519_library()
    if library is None:
        raise MissingLibraryError(f"signing needs {_WANTED}")
    signature: bytes = library.Ed25519PrivateKey.from_private_bytes(seed).sign(message)
    return signature


def verify_ecdsa(spki: bytes, signature: bytes, message: bytes) -> bool:
    """Whether an ECDSA signature with SHA-256 verifies (DER signature, whatever the curve).

    Raises:
        MissingLibraryError: without ``cryptography``.
    """
    try:
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - as above
        from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
        from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415
    except ImportError as error:
        raise MissingLibraryError(f"an ECDSA signature is checked with {_WANTED}") from error
    try:
        key = serialization.load_der_public_key(spki)
        if not isinstance(key, ec.EllipticCurvePublicKey):
            return False
        key.verify(signature, message, ec.ECDSA(hashes.SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


def verify_ml_dsa_44(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Whether an ML-DSA-44 signature with empty context verifies.

    Raises:
        MissingLibraryError: without ``cryptography`` that has ML-DSA.
    """
    library = _ml_dsa_library()
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm  # noqa: PLC0415

    try:
        library.MLDSA44PublicKey.from_public_bytes(public_key).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    except UnsupportedAlgorithm as error:
        raise MissingLibraryError(f"ML-DSA-44 needs {_WANTED}, built with ML-DSA") from error
    return True


def ml_dsa_44_public(seed: bytes) -> bytes:
    """Public key of a seed, 1312 bytes.

    Raises:
        MissingLibraryError: without ``cryptography`` that has ML-DSA.
    """
    public: bytes = _ml_dsa_44_private(seed).public_key().public_bytes_raw()
    return public


def sign_ml_dsa_44(seed: bytes, message: bytes) -> bytes:
    """ML-DSA-44 signature with empty context, 2420 bytes.

    Raises:
        MissingLibraryError: without ``cryptography`` that has ML-DSA.
    """
    signature: bytes = _ml_dsa_44_private(seed).sign(message)
    return signature


def _ml_dsa_44_private(seed: bytes) -> Any:
    library = _ml_dsa_library()
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415

    try:
        return library.MLDSA44PrivateKey.from_seed_bytes(seed)
    except UnsupportedAlgorithm as error:
        raise MissingLibraryError(f"ML-DSA-44 needs {_WANTED}, built with ML-DSA") from error


def _ml_dsa_library() -> ModuleType:
    try:
        from cryptography.hazmat.primitives.asymmetric import mldsa  # noqa: PLC0415 - as above
    except ImportError as error:
        raise MissingLibraryError(f"ML-DSA-44 needs {_WANTED}") from error
    return mldsa
