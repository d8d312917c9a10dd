"""Proof files (C2SP tlog-proof) and what Tracient puts into their extra line.

What belongs here: the text form, bundles for a snapshot and for a row, and their verification with
the log's key, or a policy, and nothing else. What does not: where proofs come from (``log``,
``snapshots``). A bundle holds what its reader is meant to see: the manifest, and for a row the
disclosed cells with their salts and the bare digests of the others.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ledger_anchor import cbor
from ledger_anchor.errors import (
    CborError,
    EntryProofError,
    ManifestError,
    NoteError,
    ProofError,
    ProofShapeError,
    RootMismatchError,
    RowProofError,
)
from ledger_anchor.manifest import (
    FORMAT,
    ROW_COMMIT,
    canonical_json,
    check_depth,
    decode_manifest,
    encode_manifest,
)
from ledger_anchor.notes.checkpoint import Checkpoint, parse_decimal
from ledger_anchor.notes.encoding import decode_base64, encode_base64
from ledger_anchor.notes.note import Note
from ledger_anchor.notes.policy import Cosigned, Trust, as_policy
from ledger_anchor.tree import HASH_SIZE, leaf_hash, verify_inclusion

HEADER = "c2sp.org/tlog-proof@v1"
EXTRA_FORMAT = "tracient-proof/1"
_MAX_EXTRA = 65_535
_MAX_FILE = 4_000_000
_MAX_PATH = 64
_SALT_SIZE = 16


@dataclass(frozen=True)
class LogProof:
    """A parsed proof file: index, audit path, the checkpoint note verbatim, and the extra bytes."""

    index: int
    path: tuple[bytes, ...]
    checkpoint_note: str
    extra: bytes | None = None

    @classmethod
    def parse(cls, data: bytes) -> LogProof:
        """Read a ``.tlog-proof`` file.

        Raises:
            ProofError: naming the line that is malformed.
        """
        if len(data) > _MAX_FILE:
            raise ProofError(f"a proof file of {len(data)} bytes; at most {_MAX_FILE} are read")
        try:
            body, separator, note = data.decode().partition("\n\n")
            lines = body.split("\n")
            if lines.pop(0) != HEADER:
                raise ProofError(f"not a proof file: expected the first line {HEADER}")
            if not separator or not data.endswith(b"\n"):
                raise ProofError("a truncated proof file: its checkpoint is missing or cut off")
            extra = _take(lines, "extra ", required=False)
            index = parse_decimal(_take(lines, "index ") or "", "index")
            if len(lines) > _MAX_PATH:
                raise ProofError(f"a path of {len(lines)} hashes; at most {_MAX_PATH} are read")
            path = tuple(decode_base64(line, "hash") for line in lines)
            raw = None if extra is None else decode_base64(extra, "extra")
        except UnicodeDecodeError as error:
            raise ProofError("a proof file that is not UTF-8") from error
        except NoteError as error:
            raise ProofError(f"a malformed or truncated proof file: {error}") from error
        return cls(index, path, note, raw)

    def format(self) -> bytes:
        """The file's bytes.

        Raises:
            ProofShapeError: if the extra line would be too long for other readers.
        """
        lines = [HEADER]
        if self.extra is not None:
            encoded = encode_base64(self.extra)
            if len(encoded) > _MAX_EXTRA:
                raise ProofShapeError(
                    f"the extra line would have {len(encoded)} bytes; at most {_MAX_EXTRA} fit. "
                    "Disclose fewer or shorter columns"
                )
            lines.append(f"extra {encoded}")
        lines.append(f"index {self.index}")
        lines += [encode_base64(digest) for digest in self.path]
        return ("\n".join(lines) + "\n\n" + self.checkpoint_note).encode()


def _take(lines: list[str], prefix: str, *, required: bool = True) -> str | None:
    if lines and lines[0].startswith(prefix):
        return lines.pop(0)[len(prefix) :]
    if required:
        raise ProofError(f"malformed proof file: expected a line '{prefix.strip()} ...'")
    return None


def format_entry_proof(index: int, path: Sequence[bytes], note: bytes, entry: bytes) -> bytes:
    """Proof file of a log entry; if the entry is a manifest that fits, it rides in the extra."""
    try:
        extra = canonical_json({"format": EXTRA_FORMAT, "manifest": decode_manifest(entry)})
    except ManifestError:
        extra = b""
    is_short = 0 < len(base64.b64encode(extra)) <= _MAX_EXTRA
    proof = LogProof(index, tuple(path), note.decode(), extra if is_short else None)
    return proof.format()


@dataclass(frozen=True)
class Cell:
    """One cell of a row bundle: either opened (salt and CBOR value) or only its digest."""

    name: str
    digest: bytes
    salt: bytes | None = field(default=None, repr=False)
    value_cbor: bytes | None = field(default=None, repr=False)

    @classmethod
    def opened(cls, name: str, salt: bytes, value_cbor: bytes) -> Cell:
        """A cell with its opening; the digest follows from it."""
        return cls(name, cell_digest(salt, value_cbor, name), salt, value_cbor)

    @property
    def is_open(self) -> bool:
        """Whether the cell's value is disclosed."""
        return self.value_cbor is not None


def cell_digest(salt: bytes, value_cbor: bytes, name: str) -> bytes:
    """Digest of a cell: SHA-256(CBOR [salt, value, column name]), 32 bytes."""
    message = cbor.encode_array([cbor.encode_bytes(salt), value_cbor, cbor.encode_text(name)])
    return hashlib.sha256(message).digest()


def row_extra(
    manifest: Mapping[str, object], row_number: int, path: Sequence[bytes], cells: Sequence[Cell]
) -> bytes:
    """Extra bytes of a row bundle.

    Args:
        manifest: manifest of the snapshot.
        row_number: committed number of the row.
        path: audit path of the row in the row tree.
        cells: every cell in schema order.

    Returns:
        Canonical JSON.
    """
    shown = []
    for cell in cells:
        if cell.salt is None or cell.value_cbor is None:
            shown.append({"name": cell.name, "digest": encode_base64(cell.digest)})
        else:
            salt, value = encode_base64(cell.salt), encode_base64(cell.value_cbor)
            shown.append({"name": cell.name, "salt": salt, "value_cbor": value})
    row = {"number": row_number, "path": [encode_base64(digest) for digest in path], "cells": shown}
    return canonical_json({"format": EXTRA_FORMAT, "manifest": manifest, "row": row})


@dataclass(frozen=True)
class ProvenRow:
    """A row a bundle proves: its number and the disclosed values by column name."""

    number: int
    values: dict[str, object]
    hidden_columns: tuple[str, ...]


@dataclass(frozen=True)
class Proven:
    """What a proof file proves, after every check has passed."""

    checkpoint: Checkpoint
    index: int
    manifest: dict[str, object]
    row: ProvenRow | None
    cosigners: tuple[Cosigned, ...] = ()

    def to_json(self) -> dict[str, object]:
        """The result for machines; values of other than JSON types are written as text."""
        row = None
        if self.row is not None:
            values = {name: _jsonable(value) for name, value in self.row.values.items()}
            hidden = list(self.row.hidden_columns)
            row = {"number": self.row.number, "values": values, "hidden_columns": hidden}
        return {
            "is_ok": True,
            "origin": self.checkpoint.origin,
            "log_size": self.checkpoint.size,
            "log_root": self.checkpoint.root.hex(),
            "log_index": self.index,
            "cosigners": [
                {"name": made.name, "key": made.key.format(), "time": made.timestamp}
                for made in self.cosigners
            ],
            "manifest": self.manifest,
            "row": row,
        }


def _jsonable(value: object) -> object:
    if value is None or isinstance(value, bool | int | str):
        return value
    return value.hex() if isinstance(value, bytes) else str(value)


def verify_proof(
    data: bytes, trust: Trust, entry: bytes | None = None, now: int | None = None
) -> Proven:
    """Check a proof file with what the reader trusts and nothing else.

    Args:
        data: bytes of the ``.tlog-proof`` file.
        trust: key of the log, a policy, or the text of either.
        entry: the log entry, if the file does not carry the manifest.
        now: seconds since 1970; if given, cosignatures that lie ahead of it are refused.

    Returns:
        What is proven: the manifest is in the log of that size, and the row is in the table of
        that manifest. Not proven: that the data was true, or when it was written.

    Raises:
        ProofError: if the file is malformed or a path does not lead to its root; the subclasses
            EntryProofError and RowProofError say which part was changed.
        CheckpointError: if the checkpoint is another log's.
        SignatureError: if the checkpoint is not signed by the log.
        QuorumError: if too few witnesses have cosigned it.
        ClockError: if a cosignature lies ahead of ``now``.
    """
    proof = LogProof.parse(data)
    try:
        note = Note.parse(proof.checkpoint_note)
    except NoteError as error:
        raise ProofError(f"a malformed or truncated proof file: {error}") from error
    verified = as_policy(trust).open(note, now=now)
    checkpoint = verified.checkpoint
    extra = _read_extra(proof.extra)
    manifest, entry = _manifest_and_entry(extra, entry)
    try:
        verify_inclusion(
            leaf_hash(entry), proof.index, checkpoint.size, proof.path, checkpoint.root
        )
    except RootMismatchError as error:
        what = f"the manifest is not entry {proof.index} of {checkpoint.origin!r}, or its path was "
        what += f"changed (log of size {checkpoint.size})"
        raise EntryProofError(what, error.expected, error.calculated) from error
    row = extra.get("row")
    proven_row = None if row is None else _verify_row(manifest, row)
    return Proven(checkpoint, proof.index, manifest, proven_row, verified.cosigners)


def _read_extra(raw: bytes | None) -> dict[str, object]:
    if raw is None:
        return {}
    try:
        check_depth(raw)
        extra = json.loads(raw, parse_float=_refuse, parse_constant=_refuse)
        # The manifest inside is held to canonical_json; for the rest one spelling is enough.
        again = json.dumps(extra, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        is_canonical = again.encode() == raw
    except (ValueError, RecursionError, ManifestError) as error:
        raise ProofError("the extra line is not canonical JSON") from error
    if not isinstance(extra, dict) or extra.get("format") != EXTRA_FORMAT or not is_canonical:
        raise ProofError(f"the extra line is not of format {EXTRA_FORMAT}")
    return extra


def _refuse(text: str) -> object:
    raise ValueError(f"{text} is no integer")


def _manifest_and_entry(
    extra: Mapping[str, object], entry: bytes | None
) -> tuple[dict[str, object], bytes]:
    carried = extra.get("manifest")
    if isinstance(carried, dict):
        encoded = encode_manifest(carried)
        if entry is not None and entry != encoded:
            raise ProofError("the entry given is not the manifest inside the proof")
        if carried.get("format") != FORMAT:
            raise ProofError(f"the manifest inside the proof is not of format {FORMAT}")
        return carried, encoded
    if entry is None:
        raise ProofError("the proof carries no manifest: give the log entry as well")
    return decode_manifest(entry), entry


def _verify_row(manifest: Mapping[str, object], row: object) -> ProvenRow:
    try:
        number, path, cells = _parse_row(row)
        names = _column_names(manifest)
        rows, root = manifest["rows"], bytes.fromhex(str(manifest["root"]))
        if root.hex() != manifest["root"]:
            raise ValueError("a root is lower-case hex")
    except (KeyError, TypeError, ValueError, AttributeError, NoteError, CborError) as error:
        raise ProofError("the row inside the proof is malformed") from error
    if manifest.get("commitment") != ROW_COMMIT or type(rows) is not int:
        raise ProofError("the manifest is of a commitment this version does not know")
    if [cell.name for cell in cells] != names:
        raise ProofError("the row's columns are not those of the manifest's schema")
    digest = leaf_hash(b"".join(cell.digest for cell in cells))
    try:
        verify_inclusion(digest, number, rows, path, root)
    except RootMismatchError as error:
        what = f"row {number} is not in the committed table of {manifest.get('dataset')}: a "
        what += "disclosed cell, a salt, a digest or the row's path was changed"
        raise RowProofError(what, error.expected, error.calculated) from error
    values = {cell.name: cbor.decode(cell.value_cbor) for cell in cells if cell.value_cbor}
    return ProvenRow(number, values, tuple(cell.name for cell in cells if not cell.is_open))


def _column_names(manifest: Mapping[str, object]) -> list[object]:
    schema = manifest["schema"]
    if not isinstance(schema, list):
        raise TypeError("a schema is a list of columns")
    return [column["name"] for column in schema]


def _parse_row(row: object) -> tuple[int, list[bytes], list[Cell]]:
    if not isinstance(row, dict) or type(row["number"]) is not int:  # true is no number
        raise TypeError("a row is an object with a number")
    if not isinstance(row["cells"], list) or not isinstance(row["path"], list):
        raise TypeError("cells and path are lists")
    cells = []
    for item in row["cells"]:
        if "digest" in item:
            cells.append(Cell(item["name"], decode_base64(item["digest"], "digest")))
            continue
        salt, value = (decode_base64(item[key], key) for key in ("salt", "value_cbor"))
        cbor.decode(value)
        if len(salt) != _SALT_SIZE:
            raise ValueError(f"a salt has {_SALT_SIZE} bytes")
        cells.append(Cell.opened(item["name"], salt, value))
    if any(len(cell.digest) != HASH_SIZE for cell in cells):
        raise ValueError(f"a digest has {HASH_SIZE} bytes")
    return row["number"], [decode_base64(item, "hash") for item in row["path"]], cells
