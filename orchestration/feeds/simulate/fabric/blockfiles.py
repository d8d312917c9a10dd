"""A peer's block store on disk: blocks appended as records to files that rotate.

What belongs here: the record layout and the rotation of ``blockfile_000000``, ``blockfile_000001``,
…. Source: ``../shared/specs/fabric_export.md`` section 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from orchestration.feeds.fabric.wire import encode_varint


def block_record(
    number: int,
    data_hash: bytes,
    previous_hash: bytes,
    envelopes: Sequence[bytes],
    metadata: Sequence[bytes],
) -> bytes:
    """Return one block as the block store writes it, with its length in front."""
    pieces = [encode_varint(number)]
    for each in (data_hash, previous_hash):
        pieces += (encode_varint(len(each)), each)
    for group in (envelopes, metadata):
        pieces.append(encode_varint(len(group)))
        for each in group:
            pieces += (encode_varint(len(each)), each)
    record = b"".join(pieces)
    return encode_varint(len(record)) + record


@dataclass
class BlockFiles:
    """The open block store; a file is left for the next when a record would pass the limit.

    Attributes:
        folder: Where the files go.
        max_file_bytes: Largest file, unless a single block is larger.
        paths: The files written so far, in order.
    """

    folder: Path
    max_file_bytes: int
    paths: list[Path] = field(default_factory=list)
    _stream: BinaryIO | None = None
    _size: int = 0

    def append(self, record: bytes) -> None:
        """Write one record.

        Raises:
            FileExistsError: If the folder already holds a block file of that name.
        """
        if self._stream is None or (self._size and self._size + len(record) > self.max_file_bytes):
            self._rotate()
        assert self._stream is not None  # noqa: S101 - _rotate opened it
        self._stream.write(record)
        self._size += len(record)

    def _rotate(self) -> None:
        self._close()
        path = self.folder / f"blockfile_{len(self.paths):06d}"
        self._stream = path.open("xb")
        self._size = 0
        self.paths.append(path)

    def _close(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def __enter__(self) -> BlockFiles:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._close()
