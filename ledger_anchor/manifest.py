"""The manifest: what one log entry says about one snapshot, as canonical JSON.

What belongs here: the canonical form (RFC 8785, narrowed to ASCII keys and integers, so that two
programs cannot disagree on a byte) and the fields of a manifest. What does not: how a root is
calculated (``rows``) and where manifests are kept (``log``, ``snapshots``). A manifest is public:
nothing in it may tell a value of a row.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from ledger_anchor.errors import ManifestError

FORMAT = "tracient-snapshot/1"
ROW_COMMIT = "row-commit/1"
FILE_SET = "file-set/1"
MAX_SEGMENTS = 64
MAX_BYTES = 65_535  # an entry's length is a u16 in its bundle (C2SP tlog-tiles)
MAX_DEPTH = 100
_STRINGS_AND_BRACKETS = re.compile(rb'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)
_OPENING, _CLOSING = (b"[", b"{"), (b"]", b"}")
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
    try:
        plain = _plain(value, 0)
    except _OddValueError as error:
        raise ManifestError(f"${''.join(reversed(error.path))}: {error}") from None
    text = json.dumps(plain, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ManifestError("a text holds half a surrogate pair: it has no UTF-8 form") from error


class _OddValueError(Exception):
    """A value without canonical form, and the way to it, innermost first."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.path: list[str] = []


def _plain(value: object, depth: int) -> object:
    # The types JSON reading gives come first: this is most of the time a proof takes.
    kind = type(value)
    if value is None or kind is str or kind is bool:
        return value
    if kind is not dict and kind is not list and isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        if abs(value) > _MAX_INT:
            raise _OddValueError("an integer beyond 2**53 - 1; write it as text")
        return value
    if depth >= MAX_DEPTH:
        raise _OddValueError(f"more than {MAX_DEPTH} objects and lists in each other: too deep")
    if kind is dict or isinstance(value, Mapping):
        return _plain_mapping(cast("Mapping[object, object]", value), depth + 1)
    if kind is list or (isinstance(value, Sequence) and not isinstance(value, bytes | bytearray)):
        plain = []
        for inner in cast("Sequence[object]", value):
            try:
                plain.append(_plain(inner, depth + 1))
            except _OddValueError as error:
                error.path.append(f"[{len(plain)}]")
                raise
        return plain
    raise _OddValueError(f"a {type(value).__name__} has no canonical form")


def _plain_mapping(value: Mapping[object, object], depth: int) -> dict[str, object]:
    plain: dict[str, object] = {}
    for key, inner in value.items():
        if not isinstance(key, str) or not key.isascii():
            raise _OddValueError(f"keys must be ASCII text, found {key!r}")
        try:
            plain[key] = _plain(inner, depth)
        except _OddValueError as error:
            error.path.append(f".{key}")
            raise
    return plain


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


def check_depth(data: bytes) -> None:
    """Refuse JSON whose objects and lists stand too deep in each other, before it is read.

    Python's reader goes as deep as its stack, and other libraries lift the limit that guards it.

    Raises:
        ManifestError: beyond ``MAX_DEPTH`` levels.
    """
    if data.count(b"[") + data.count(b"{") <= MAX_DEPTH:
        return
    depth = 0
    for found in _STRINGS_AND_BRACKETS.finditer(data):
        mark = found[0]
        depth += (mark in _OPENING) - (mark in _CLOSING)
        if depth > MAX_DEPTH:
            raise ManifestError(f"more than {MAX_DEPTH} objects and lists in each other: too deep")


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
        check_depth(entry)
        manifest = json.loads(entry)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ManifestError("a log entry that is not JSON: not a manifest") from error
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ManifestError(f"a log entry that is not a manifest of format {FORMAT}")
    if canonical_json(manifest) != entry:
        raise ManifestError("a manifest that is not in canonical form")
    return manifest


@dataclass(frozen=True)
class Segment:
    """Consecutive rows of a table that were committed together.

    Attributes:
        snapshot_id: the snapshot that added them; their salts are made with its id.
        first: number of the first row.
        rows: how many there are.
    """

    snapshot_id: str
    first: int
    rows: int

    @property
    def end(self) -> int:
        """One past the last row."""
        return self.first + self.rows


def segments_field(segments: Sequence[Segment]) -> dict[str, object]:
    """What a manifest says about segments: nothing, if the table was committed in one."""
    if len(segments) < 2:
        return {}
    listed = [{"rows": item.rows, "snapshot_id": item.snapshot_id} for item in segments]
    return {"segments": listed}


def read_segments(manifest: Mapping[str, object]) -> tuple[Segment, ...]:
    """The segments of a table, first rows first; one, if it was committed at once.

    The rows of all segments but the last are the rows of the previous snapshot of the dataset, in
    the same order: its tree is the beginning of this one, and a consistency proof shows it.

    Raises:
        ManifestError: if they are malformed, or do not end with this snapshot and its rows.
    """
    total, own = manifest.get("rows"), manifest.get("snapshot_id")
    listed = manifest.get("segments", [{"rows": total, "snapshot_id": own}])
    if not isinstance(listed, list) or not 1 <= len(listed) <= MAX_SEGMENTS:
        raise ManifestError(f"a manifest whose segments are not a list of 1 to {MAX_SEGMENTS}")
    segments: list[Segment] = []
    first = 0
    for item in listed:
        rows = item.get("rows") if isinstance(item, dict) else None
        if not isinstance(rows, int) or isinstance(rows, bool) or rows < 0:
            raise ManifestError("a manifest with a segment that has no number of rows")
        segments.append(Segment(str(item.get("snapshot_id")), first, rows))
        first += rows
    identities = {item.snapshot_id for item in segments}
    if len(identities) < len(segments) or segments[-1].snapshot_id != own or first != total:
        raise ManifestError("a manifest whose segments do not add up to its rows, or name another")
    return tuple(segments)
