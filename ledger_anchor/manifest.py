"""The manifest: what one log entry says about one snapshot, as canonical JSON.

What belongs here: the canonical form (RFC 8785, narrowed to ASCII keys and integers, so that two
programs cannot disagree on a byte) and the fields of a manifest. What does not: how a root is
calculated (``rows``) and where manifests are kept (``log``, ``snapshots``). A manifest is public:
nothing in it may tell a value of a row.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from ledger_anchor.errors import ManifestError

FORMAT = "tracient-snapshot/1"
ROW_COMMIT = "row-commit/1"
FILE_SET = "file-set/1"
MAX_BYTES = 65_535  # an entry's length is a u16 in its bundle (C2SP tlog-tiles)
_MAX_INT = 2**53 - 1  # beyond it JSON readers disagree (RFC 8785, section 3.2.2.3)


def canonical_json(value: object) -> bytes:
    """Canonical JSON: sorted ASCII keys, integers only, no spaces, UTF-8.

    Args:
        value: None, bool, int, str, sequences and mappings of such.

    Returns:
        The bytes; equal values have equal bytes.

    Raises:
        ManifestError: for floats, integers beyond 2**53 - 1, keys that are not ASCII text, lone
            surrogates and other types, naming the place.
    """
    plain = _plain(value, "$")
    text = json.dumps(plain, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ManifestError("a text holds half a surrogate pair: it has no UTF-8 form") from error


def _plain(value: object, path: str) -> object:
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int):
        if abs(value) > _MAX_INT:
            raise ManifestError(f"{path}: an integer beyond 2**53 - 1; write it as text")
        return value
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or not key.isascii():
                raise ManifestError(f"{path}: keys must be ASCII text, found {key!r}")
        return {key: _plain(inner, f"{path}.{key}") for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return [_plain(inner, f"{path}[{number}]") for number, inner in enumerate(value)]
    raise ManifestError(f"{path}: a {type(value).__name__} has no canonical form")


def encode_manifest(manifest: Mapping[str, object]) -> bytes:
    """Bytes of a manifest, ready to be a log entry.

    Raises:
        ManifestError: if it is longer than 65,535 bytes or has no canonical form.
    """
    entry = canonical_json(manifest)
    if len(entry) > MAX_BYTES:
        raise ManifestError(
            f"the manifest of {manifest.get('dataset')} has {len(entry)} bytes; a log entry holds "
            f"{MAX_BYTES}. Name fewer files, columns or upstream snapshots"
        )
    return entry


def decode_manifest(entry: bytes) -> dict[str, object]:
    """Read a log entry as a manifest.

    Args:
        entry: the bytes of the entry.

    Returns:
        The manifest.

    Raises:
        ManifestError: if it is not canonical JSON of a known format version.
    """
    try:
        manifest = json.loads(entry)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ManifestError("a log entry that is not JSON: not a manifest") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ManifestError(f"a log entry that is not a manifest of format {FORMAT}")
    if canonical_json(manifest) != entry:
        raise ManifestError("a manifest that is not in canonical form")
    return manifest
