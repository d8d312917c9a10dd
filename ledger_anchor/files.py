"""Durable files: atomic replacement, private folders and the lock between processes.

What belongs here: every write this package makes to a plain file. What does not: what is written.
A file is either its old or its new content, never half of it, whatever system call fails.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from ledger_anchor.errors import LockError, StorageError

PUBLIC_MODE = 0o644
PRIVATE_MODE = 0o600
_POLL_SECONDS = 0.05


def make_folder(folder: Path, mode: int = 0o755) -> None:
    """Create a folder and its parents; the mode is set on the folder itself if it is new.

    Raises:
        StorageError: if the operating system refuses.
    """
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            folder.chmod(mode)
    except OSError as error:
        raise StorageError(f"cannot create {folder}: {error.strerror}") from error


def write_atomic(path: Path, data: bytes, mode: int = PUBLIC_MODE) -> None:
    """Write a file so that a crash leaves the old or the new content.

    A temporary file beside it is written, flushed to the disk and renamed; then the folder is
    flushed, so that the rename survives too.

    Args:
        path: the file; its folder is created if need be.
        data: its whole content.
        mode: permissions of the file.

    Raises:
        StorageError: if a system call fails (full disk, no permission); the old content stays.
    """
    make_folder(path.parent)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        _write_and_flush(temporary, data, mode)
        os.replace(temporary, path)  # noqa: PTH105 - one place for crash tests to fail
        flush_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise StorageError(
            f"cannot write {path}: {error.strerror}. What was there before is unchanged; "
            "free some space or check permissions, then run the same command again"
        ) from error


def _write_and_flush(path: Path, data: bytes, mode: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        os.fchmod(descriptor, mode)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def flush_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_bytes(path: Path) -> bytes | None:
    """Content of a file, or None if there is none.

    Raises:
        StorageError: if it is there but cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error


@contextlib.contextmanager
def locked(path: Path, timeout_seconds: float) -> Iterator[None]:
    """Hold an exclusive lock between processes (and threads) while the block runs.

    Args:
        path: the lock file; it holds the process id of whoever has the lock.
        timeout_seconds: how long to wait for another holder.

    Raises:
        LockError: naming the holder's process id, if the wait is over.
        StorageError: if the lock file cannot be opened.
    """
    make_folder(path.parent, 0o700)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE_MODE)
    except OSError as error:
        raise StorageError(f"cannot open the lock {path}: {error.strerror}") from error
    try:
        _wait_for_lock(descriptor, path, time.monotonic() + timeout_seconds)
        with contextlib.suppress(OSError):  # a full disk: the holder's number is only a courtesy
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _wait_for_lock(descriptor: int, path: Path, deadline: float) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
                raise LockError(
                    f"the log is in use: process {holder} holds {path}. "
                    "Wait for it to finish, then run the same command again"
                ) from None
            time.sleep(_POLL_SECONDS)
        else:
            return
