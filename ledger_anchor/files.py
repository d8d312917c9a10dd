"""Durable files: atomic replacement, private folders and the lock between processes.

What belongs here: every write this package makes to a plain file. What does not: what is written.
A file is either its old or its new content, never half of it, whatever system call fails.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from ledger_anchor.errors import LockError, StorageError

PUBLIC_MODE = 0o644
PRIVATE_MODE = 0o600
_POLL_SECONDS = 0.05
_WAVE = 64  # files open at once
_FLUSHERS = 16
_Item = TypeVar("_Item")
_counter = itertools.count()  # threads of one process never share a temporary file


def make_folder(folder: Path, mode: int = 0o755) -> None:
    """Create a folder and its parents, durably; the mode is that of the folder if it is new.

    Raises:
        StorageError: if the operating system refuses.
    """
    made: list[Path] = []
    try:
        _make_folder(folder, mode, made)
        for new in made:
            flush_folder(new.parent)
    except OSError as error:
        _unmake(made)
        raise StorageError(f"cannot create {folder}: {error.strerror}") from error


def _make_folder(folder: Path, mode: int, made: list[Path]) -> None:
    """Create what is missing and add it to ``made``; the caller flushes the parents."""
    if folder.is_dir():
        return
    _make_folder(folder.parent, 0o755, made)
    try:
        folder.mkdir(mode)  # never wider than asked, not even before chmod
    except FileExistsError:  # another process was quicker
        if folder.is_dir():
            return
        raise
    made.append(folder)
    folder.chmod(mode)


def _unmake(made: Sequence[Path]) -> None:
    """A folder whose name may not be on the disk must not be found by the next attempt."""
    for folder in reversed(made):
        with contextlib.suppress(OSError):
            folder.rmdir()


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
    write_all([(path, data)], mode)


def write_all(
    items: Sequence[tuple[Path, bytes]], mode: int = PUBLIC_MODE, staging: Path | None = None
) -> None:
    """Write files like ``write_atomic``, with few waits for the disk.

    Every temporary file is flushed before the first is renamed; renames come in the given order,
    and then each folder is flushed once.

    Args:
        items: each file's path and whole content.
        mode: permissions of the files.
        staging: folder of the same file system for the temporary files, instead of beside each,
            removed afterwards: what a killed process leaves is then in one place.

    Raises:
        StorageError: naming the file whose system call failed; each file has its old or its new
            content.
    """
    folders = list(dict.fromkeys(path.parent for path, _ in items))
    staged = [_Staged(path, data, staging or path.parent) for path, data in items]
    made: list[Path] = []
    try:
        for folder in folders:
            with _writing(folder):
                _make_folder(folder, 0o755, made)
        if staging is not None:
            with _writing(staging):
                staging.mkdir(exist_ok=True)  # it need not survive anything
        for at in range(0, len(staged), _WAVE):
            _write_and_flush(staged[at : at + _WAVE], mode)
        for file in staged:
            with _writing(file.path):
                os.replace(file.temporary, file.path)  # noqa: PTH105 - crash tests fail this call
        changed = list(dict.fromkeys([*folders, *(new.parent for new in made)]))
        _all_at_once(flush_folder, changed, changed)
    except BaseException:  # Ctrl-C too leaves nothing behind
        for file in staged:
            with contextlib.suppress(OSError):
                file.temporary.unlink(missing_ok=True)
        _unmake(made)
        raise
    finally:
        if staging is not None:
            with contextlib.suppress(OSError):
                staging.rmdir()


class _Staged:
    """A file to be written, and the name it has until it is whole."""

    def __init__(self, path: Path, data: bytes, folder: Path) -> None:
        self.path, self.data = path, data
        self.temporary = folder / f".{path.name}.{os.getpid()}-{next(_counter)}.tmp"


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror}. What was there before is unchanged; "
            "free some space or check permissions, then run the same command again"
        ) from error


def _write_and_flush(wave: Sequence[_Staged], mode: int) -> None:
    """Write all, then wait for all: the disk may take them together."""
    with contextlib.ExitStack() as closing:
        descriptors = []
        for file in wave:
            with _writing(file.path):
                flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
                descriptors.append(os.open(file.temporary, flags, mode))
                closing.callback(_close, descriptors[-1])
                view = memoryview(file.data)
                while view:
                    view = view[os.write(descriptors[-1], view) :]
                os.fchmod(descriptors[-1], mode)
        _all_at_once(os.fsync, descriptors, [file.path for file in wave])


def _all_at_once(flush: Callable[[_Item], None], items: Sequence[_Item], paths: list[Path]) -> None:
    """Flush in threads: on a busy disk ten files then take one or two waits and not ten."""
    results: list[Callable[[], None]] = []
    with contextlib.ExitStack() as closing:
        pool = None
        if len(items) > 1:
            pool = closing.enter_context(ThreadPoolExecutor(min(len(items), _FLUSHERS)))
        for item in items:
            try:
                results.append(pool.submit(flush, item).result if pool else partial(flush, item))
            except RuntimeError:  # no thread is to be had: one after another, then
                results.append(partial(flush, item))
    for result, path in zip(results, paths, strict=True):
        with _writing(path):
            result()


def _close(descriptor: int) -> None:
    # Linux frees the descriptor whatever it answers, and fsync has told what close could tell.
    with contextlib.suppress(OSError):
        os.close(descriptor)


def flush_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        _close(descriptor)


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
        try:
            _wait_for_lock(descriptor, path, time.monotonic() + timeout_seconds)
        except OSError as error:
            raise StorageError(f"cannot lock {path}: {error.strerror}") from error
        with contextlib.suppress(OSError):  # a full disk: the holder's number is only a courtesy
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        _close(descriptor)


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
