"""Writing files so that a crash leaves the old or the new one, and digests of files."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

_CHUNK = 1 << 20


def sha256_of_file(path: Path) -> str:
    """Return a file's SHA-256 as lower-case hex, reading it in chunks."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; on success it takes the place of ``path``."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb") as handle:
            os.fsync(handle.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Replace a JSON file in one step."""
    with replacing(path) as temporary:
        temporary.write_bytes(
            orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        )


def read_json(path: Path, default: Any = None) -> Any:
    """Return a JSON file's content, or ``default`` where there is no such file."""
    try:
        return orjson.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return default


def copy_hashing(source: Path, target: Path) -> str:
    """Copy a file, syncing the copy, and return the SHA-256 of what was copied."""
    digest = hashlib.sha256()
    with (
        replacing(target) as temporary,
        source.open("rb") as reader,
        temporary.open("wb") as writer,
    ):
        while chunk := reader.read(_CHUNK):
            digest.update(chunk)
            writer.write(chunk)
    return digest.hexdigest()
