"""Putting the private files of a snapshot in place: all of them, or none.

What belongs here: the folder a commit writes into, flushing what others have written, and the
rename that makes it the snapshot's. What does not: what the files hold (``rows``, ``records``).

A commit writes its files into ``staging/<snapshot id>`` and holds a lock on that folder meanwhile;
whole and flushed, the folder is renamed to ``snapshots/<snapshot id>``. What a killed process left
behind is recognised by its free lock and removed by the next commit.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from ledger_anchor.errors import StorageError
from ledger_anchor.files import PRIVATE_MODE, flush_folder, make_folder

_AGAIN = "Free some space or check permissions, then run the same command again"


@contextlib.contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """A private folder that is locked while the block runs, and gone after it unless renamed.

    Raises:
        StorageError: if the folder cannot be made.
    """
    root = folder.parent
    with _alone(root):
        make_folder(root, 0o700)
        make_folder(folder, 0o700)
        descriptor = _hold(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)
        with contextlib.suppress(OSError, StorageError), _alone(root):
            root.rmdir()


def publish_folder(folder: Path, target: Path) -> None:
    """Give a sealed folder its final name, durably.

    Raises:
        StorageError: if the operating system refuses.
    """
    make_folder(target.parent, 0o700)
    try:
        os.replace(folder, target)  # noqa: PTH105 - crash tests fail this call
        flush_folder(target.parent)
    except OSError as error:
        raise StorageError(f"cannot create {target}: {error.strerror}. {_AGAIN}") from error


def sweep_staging(root: Path) -> None:
    """Remove folders that nobody holds any more.

    Raises:
        StorageError: if the operating system refuses.
    """
    if not root.is_dir():
        return
    with _alone(root):
        for folder in root.iterdir() if root.is_dir() else ():
            with contextlib.suppress(StorageError):
                descriptor = _hold(folder)
                shutil.rmtree(folder, ignore_errors=True)
                os.close(descriptor)


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Nobody sweeps while a folder is made and not held yet; waits are as short as that."""
    make_folder(root.parent, 0o700)
    path = root.with_name("staging.lock")
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, PRIVATE_MODE)
    except OSError as error:
        raise StorageError(f"cannot open {path}: {error.strerror}. {_AGAIN}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _hold(folder: Path) -> int:
    """Open and lock a folder for as long as the descriptor is open.

    Raises:
        StorageError: if another process holds it, or the operating system refuses.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise StorageError(f"cannot open {folder}: {error.strerror}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise StorageError(f"cannot lock {folder}: {error.strerror}") from error
    return descriptor


def seal(folder: Path) -> None:
    """Make every file of a folder private, and flush all of it to the disk.

    Raises:
        StorageError: if the operating system refuses.
    """
    try:
        for path in folder.iterdir():
            flush_file(path)
        flush_folder(folder)
    except OSError as error:
        raise StorageError(f"cannot write {folder}: {error.strerror}. {_AGAIN}") from error


def flush_file(path: Path, mode: int = PRIVATE_MODE) -> None:
    """Give a file that others have written its permissions, and flush it to the disk.

    Raises:
        StorageError: if the operating system refuses.
    """
    try:
        descriptor = os.open(path, os.O_RDWR)
        try:
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}. {_AGAIN}") from error


def replace_file(staged: Path, target: Path, mode: int = PRIVATE_MODE) -> None:
    """Put a file that was written beside its target in its place, durably.

    Raises:
        StorageError: if the operating system refuses; the old file stays.
    """
    flush_file(staged, mode)
    try:
        os.replace(staged, target)  # noqa: PTH105 - crash tests fail this call
        flush_folder(target.parent)
    except OSError as error:
        raise StorageError(f"cannot write {target}: {error.strerror}. {_AGAIN}") from error
