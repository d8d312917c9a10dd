"""The containers in which a Fabric channel is handed over, told apart by content.

What belongs here: files in, blocks out with their place in the file. Nothing here looks into an
envelope further than the channel's name. Two containers are read: a peer's block store and blocks
as fetched with ``peer channel fetch``. configtxlator JSON and zip archives are recognised, so that
the user hears that they are not read yet. Source: ``../shared/specs/fabric_export.md`` section 1.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from google.protobuf.message import DecodeError

from orchestration.feeds.fabric import messages
from orchestration.feeds.fabric.wire import MAX_VARINT_BYTES, Cursor, WireError

BLOCK_STORE = "fabric.blockfile"
FETCHED_BLOCK = "fabric.block"
BLOCK_JSON = "fabric.block_json"
ZIP = "fabric.zip"
DIRECTORY = "fabric.directory"

# Orderers refuse blocks beyond about 100 MB; anything larger is a broken length, not a block.
MAX_BLOCK_BYTES = 128 << 20
_MAX_ENVELOPES = 1 << 20
_MAX_METADATA = 64
_HASH_BYTES = 32
_MAX_NUMBER = (1 << 63) - 1
# number, data hash with its length, empty previous hash, no envelopes, no metadata.
_MIN_RECORD_BYTES = 1 + 1 + _HASH_BYTES + 1 + 1 + 1
_SNIFFED_BYTES = 4096
_JSON_BLOCK = re.compile(
    rb'\s*\{\s*"(?:data"\s*:\s*\{\s*"data"\s*:\s*\['
    rb'|header"\s*:\s*\{\s*"(?:data_hash|number|previous_hash)"'
    rb'|metadata"\s*:\s*\{\s*"metadata"\s*:\s*\[)'
)


@dataclass(frozen=True, slots=True)
class StoredBlock:
    """One block as stored, and where: the offset is that of its record in the file."""

    source_file: str
    source_offset: int
    number: int
    previous_hash: bytes
    data_hash: bytes
    envelopes: list[bytes]
    metadata: list[bytes]


@dataclass(frozen=True, slots=True)
class BrokenRecord:
    """Bytes of a container that are not a block.

    Attributes:
        source_file: Name of the file.
        source_offset: Where the bytes begin.
        reason: What was expected and found.
        raw: The bytes.
        is_tail: Whether the file just ends too early, as it does after a peer crashed.
        number: The block number, where at least that could be read.
    """

    source_file: str
    source_offset: int
    reason: str
    raw: bytes
    is_tail: bool = False
    number: int | None = None


def sniff(path: Path) -> str | None:
    """Return which Fabric container a file or folder is, by its content; None if it is none.

    Args:
        path: A file, or a folder, which is recognised by the first container found below it.

    Returns:
        One of ``fabric.blockfile``, ``fabric.block``, ``fabric.block_json``, ``fabric.zip``,
        ``fabric.directory``, or None.

    Raises:
        OSError: If the file cannot be opened.
    """
    if path.is_dir():
        files = (each for each in sorted(path.rglob("*")) if each.is_file())
        return DIRECTORY if any(sniff(each) for each in files) else None
    with path.open("rb") as stream:
        start = stream.read(_SNIFFED_BYTES)
    if zipfile.is_zipfile(path) and start.startswith(b"PK"):
        return ZIP if _sniff_zip(path) else None
    return _sniff_start(start)


def read_blocks(path: Path, kind: str, name: str) -> Iterator[StoredBlock | BrokenRecord]:
    """Yield the blocks of one file in the order of the file, one at a time.

    Args:
        path: The file.
        kind: ``fabric.blockfile`` or ``fabric.block``, from ``sniff``.
        name: The name under which the file is cited.
    """
    return _READERS[kind](path, name)


def channel_of(block: StoredBlock) -> str | None:
    """Return the channel that the block's first readable envelope names."""
    for raw in block.envelopes:
        try:
            payload = messages.Payload.FromString(messages.Envelope.FromString(raw).payload)
            header = messages.ChannelHeader.FromString(payload.header.channel_header)
        except DecodeError:
            continue
        if header.channel_id:
            return str(header.channel_id)
    return None


def _sniff_start(start: bytes) -> str | None:
    if _JSON_BLOCK.match(start.removeprefix(b"\xef\xbb\xbf")):
        return BLOCK_JSON
    for looks_like, kind in ((_is_fetched, FETCHED_BLOCK), (_is_record, BLOCK_STORE)):
        try:
            if looks_like(start):
                return kind
        except (WireError, DecodeError):
            continue
    return None


def _sniff_zip(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if member.is_dir():
                continue
            try:
                with archive.open(member) as stream:
                    return _sniff_start(stream.read(_SNIFFED_BYTES)) is not None
            except (zipfile.BadZipFile, NotImplementedError, RuntimeError):
                return False  # damaged, an unknown method, or encrypted
    return False


def _is_fetched(start: bytes) -> bool:
    cursor = Cursor(start)
    if cursor.read_varint() != (1 << 3 | 2):
        return False
    header = messages.BlockHeader.FromString(cursor.read_bytes())
    return len(header.data_hash) == _HASH_BYTES and len(header.previous_hash) in (0, _HASH_BYTES)


def _is_record(start: bytes) -> bool:
    cursor = Cursor(start)
    if not _MIN_RECORD_BYTES <= cursor.read_varint() <= MAX_BLOCK_BYTES:
        return False
    _read_header(cursor)
    return True


def _read_header(cursor: Cursor) -> tuple[int, bytes, bytes]:
    number = cursor.read_varint()
    if number > _MAX_NUMBER:
        raise WireError(f"block number {number} is out of range")
    data_hash, previous_hash = cursor.read_bytes(), cursor.read_bytes()
    _require_hashes(data_hash, previous_hash)
    return number, data_hash, previous_hash


def _require_hashes(data_hash: bytes, previous_hash: bytes) -> None:
    if len(data_hash) != _HASH_BYTES:
        raise WireError(f"expected a data hash of {_HASH_BYTES} bytes, found {len(data_hash)}")
    if len(previous_hash) not in (0, _HASH_BYTES):
        raise WireError(
            f"expected a previous hash of 0 or {_HASH_BYTES} bytes, found {len(previous_hash)}"
        )


def _require_at_most(limit: int, count: int, what: str) -> None:
    if count > limit:
        raise WireError(f"{count} {what} are more than the {limit} that are possible")


def _read_fetched(path: Path, name: str) -> Iterator[StoredBlock | BrokenRecord]:
    if (size := path.stat().st_size) > MAX_BLOCK_BYTES:
        yield BrokenRecord(name, 0, f"{size} bytes is more than a block can have", b"")
        return
    raw = path.read_bytes()
    try:
        block = messages.Block.FromString(raw)
        header = block.header
        _require_hashes(header.data_hash, header.previous_hash)
        if header.number > _MAX_NUMBER:
            raise WireError(f"block number {header.number} is out of range")
        _require_at_most(_MAX_ENVELOPES, len(block.data.data), "envelopes")
        _require_at_most(_MAX_METADATA, len(block.metadata.metadata), "metadata entries")
    except (DecodeError, WireError) as error:
        reason = f"not a whole common.Block message: {error}"
        yield BrokenRecord(name, 0, reason, raw, number=_fetched_number(raw))
        return
    yield StoredBlock(
        name,
        0,
        header.number,
        header.previous_hash,
        header.data_hash,
        list(block.data.data),
        list(block.metadata.metadata),
    )


def _fetched_number(raw: bytes) -> int | None:
    cursor = Cursor(raw)
    try:
        cursor.read_varint()
        return int(messages.BlockHeader.FromString(cursor.read_bytes()).number)
    except (DecodeError, WireError):
        return None


def _read_store(path: Path, name: str) -> Iterator[StoredBlock | BrokenRecord]:
    """Yield a block store's records; two broken ones in a row end it, as the framing is lost."""
    size = path.stat().st_size
    was_broken = False
    with path.open("rb") as stream:
        offset = 0
        while offset < size:
            try:
                record, end = _next_record(stream, offset, size)
            except (WireError, EOFError) as error:
                yield _rest(stream, name, offset, str(error), is_tail=isinstance(error, EOFError))
                return
            try:
                yield _parse_record(record, name, offset)
                was_broken = False
            except WireError as error:
                if was_broken:
                    yield _rest(stream, name, offset, str(error), is_tail=False)
                    return
                yield BrokenRecord(name, offset, str(error), record)
                was_broken = True
            offset = end


def _next_record(stream: BinaryIO, offset: int, size: int) -> tuple[bytes, int]:
    """Return the record at ``offset`` and where it ends.

    Raises:
        EOFError: If the file ends inside the record.
        WireError: If its length cannot be that of a block.
    """
    stream.seek(offset)
    cursor = Cursor(stream.read(MAX_VARINT_BYTES))
    try:
        length = cursor.read_varint()
    except WireError as error:
        if size - offset < MAX_VARINT_BYTES:
            raise EOFError("the file ends inside the length of a record") from error
        raise
    start = offset + cursor.position
    if not _MIN_RECORD_BYTES <= length <= MAX_BLOCK_BYTES:
        raise WireError(f"a record cannot be {length} bytes long")
    if length > size - start:
        raise EOFError(f"the last record should have {length} bytes, the file has {size - start}")
    stream.seek(start)
    return stream.read(length), start + length


def _parse_record(record: bytes, name: str, offset: int) -> StoredBlock:
    cursor = Cursor(record)
    number, data_hash, previous_hash = _read_header(cursor)
    envelopes = cursor.read_list(_MAX_ENVELOPES)
    metadata = cursor.read_list(_MAX_METADATA)
    if cursor.remaining:
        raise WireError(f"{cursor.remaining} bytes follow the block inside its record")
    return StoredBlock(name, offset, number, previous_hash, data_hash, envelopes, metadata)


def _rest(stream: BinaryIO, name: str, offset: int, reason: str, *, is_tail: bool) -> BrokenRecord:
    stream.seek(offset)
    return BrokenRecord(name, offset, reason, stream.read(MAX_BLOCK_BYTES), is_tail)


_READERS: dict[str, Callable[[Path, str], Iterator[StoredBlock | BrokenRecord]]] = {
    BLOCK_STORE: _read_store,
    FETCHED_BLOCK: _read_fetched,
}
