"""Where blocks stand in a file: NDJSON lines, or the documents of a ``--jsonArray`` export.

A document is found here and located by bytes; what it means belongs to ``blocks.py``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

BLOCKS_KIND = "eledger-blocks"
NODES_KIND = "eledger-nodes"
SNIFFED_BYTES = 65_536

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BLOCK_MARKS = (b'"merkleRoot"', b'"previousHash"', b'"shard"')
_NODES_MARKS = (b'"quorum"', b'"nodes"', b'"publicKey"')
# After damage inside an array, reading goes on where the next document visibly begins.
_NEXT_DOCUMENT = re.compile(r'\}\s*,\s*(?=\{\s*"_id")')
_BETWEEN = re.compile(r"[ \t\r\n,]*")
# Latin-1 maps each byte to one character, so that offsets in the text are offsets in the file;
# JSON's own characters are ASCII, so its structure is the same.
_BYTES_AS_TEXT = "latin-1"


@dataclass(frozen=True, slots=True)
class Span:
    """A document's place in a file.

    Attributes:
        number: Line of an NDJSON file, or ordinal of the document in an array; from 1.
        start: Offset of its first byte.
        body: Its bytes.
        is_whole: Whether a document could be told apart here; if not, ``body`` is what was
            skipped.
    """

    number: int
    start: int
    body: bytes
    is_whole: bool = True


def sniff(path: Path) -> str | None:
    """Recognise an E-Ledger file by its content.

    Args:
        path: A landed file.

    Returns:
        ``eledger-blocks`` for exported blocks (NDJSON or JSON array), ``eledger-nodes`` for the
        node list that stands beside them, ``None`` for anything else.

    Raises:
        OSError: If the file cannot be opened.
    """
    with path.open("rb") as file:
        head = file.read(SNIFFED_BYTES).removeprefix(_BYTE_ORDER_MARK).lstrip()
    if not head.startswith((b"{", b"[")):
        return None
    if all(mark in head for mark in _BLOCK_MARKS) or head.rstrip() == b"[]":
        return BLOCKS_KIND
    if head.startswith(b"{") and all(mark in head for mark in _NODES_MARKS):
        return NODES_KIND
    return None


def is_array(path: Path) -> bool:
    """Tell whether documents must be told apart by structure rather than by lines.

    That is so for ``mongoexport --jsonArray`` and for ``--pretty``, whose first line is a brace.
    """
    with path.open("rb") as file:
        head = file.read(SNIFFED_BYTES).removeprefix(_BYTE_ORDER_MARK).lstrip()
    return head.startswith(b"[") or head.split(b"\n", 1)[0].strip() == b"{"


def documents(path: Path) -> Iterator[Span]:
    """Yield the documents of an export in file order.

    An NDJSON file is read line by line; an array is held in memory whole.

    Raises:
        OSError: If the file cannot be read.
    """
    yield from _from_array(path) if is_array(path) else _from_lines(path)


def _from_lines(path: Path) -> Iterator[Span]:
    offset = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            body = line.removeprefix(_BYTE_ORDER_MARK) if number == 1 else line
            start = offset + len(line) - len(body)
            offset += len(line)
            if body.strip():
                yield Span(number, start, body.rstrip(b"\r\n"))


def _from_array(path: Path) -> Iterator[Span]:
    text = path.read_bytes().decode(_BYTES_AS_TEXT)
    decoder = json.JSONDecoder(strict=False)
    position = _start_of_array(text)
    number = 0
    while position < len(text):
        if text[position] == "]":
            position = _skip(text, position + 1)
            continue
        number += 1
        try:
            _, end = decoder.raw_decode(text, position)
            is_whole = True
        except (ValueError, RecursionError):
            end = _resume(text, position)
            is_whole = False
        yield Span(number, position, text[position:end].encode(_BYTES_AS_TEXT), is_whole)
        position = _skip(text, end)


def _start_of_array(text: str) -> int:
    mark = _BYTE_ORDER_MARK.decode(_BYTES_AS_TEXT)
    start = _skip(text, len(mark) if text.startswith(mark) else 0)
    return _skip(text, start + 1) if text.startswith("[", start) else start


def _skip(text: str, position: int) -> int:
    found = _BETWEEN.match(text, position)
    return found.end() if found else position


def _resume(text: str, position: int) -> int:
    found = _NEXT_DOCUMENT.search(text, position)
    return found.start() + 1 if found else len(text)
