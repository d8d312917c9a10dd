"""A log in an object store, or wherever else fsspec reaches (the optional extra ``objects``).

What belongs here: the storage interface over fsspec. What does not: credentials, which every
backend reads in its own way from its own files and variables, and the order of writes (``log``).

An object store has no rename and needs none: one PUT of a whole object is atomic. It has no lock
either, so a log in one has one writing machine: signed state and lock stay there, with the key.
On a plain folder use ``LocalStorage``: fsspec neither replaces files atomically nor flushes them.
"""

from __future__ import annotations

import contextlib
import urllib.parse
from collections.abc import Iterator, Sequence
from typing import Any

from ledger_anchor.errors import MissingLibraryError, StorageError
from ledger_anchor.tlog.storage import REMOTE_READERS


class FsspecStorage:
    """Files below a URL such as ``s3://bucket/log``.

    Args:
        url: any URL fsspec has a backend for.
        options: storage options of the backend; they may hold secrets and are never shown.

    Raises:
        MissingLibraryError: if fsspec or the backend is not installed.
        StorageError: if the address is none.
    """

    readers = REMOTE_READERS

    def __init__(self, url: str, **options: Any) -> None:
        try:
            import fsspec  # noqa: PLC0415 - the optional extra "objects"
        except ImportError as error:
            raise MissingLibraryError(
                f"{_without_secrets(url)}: object stores need fsspec and the store's backend; "
                "install the extra 'objects'"
            ) from error
        self.location = _without_secrets(url)
        if urllib.parse.urlsplit(url).scheme in {"file", "local"}:
            options.setdefault("auto_mkdir", True)
        try:
            self._files, root = fsspec.core.url_to_fs(url, **options)
        except ImportError as error:
            raise MissingLibraryError(
                f"{self.location}: the backend of this store is not installed ({error})"
            ) from error
        except Exception as error:
            raise self._failed("open", "", error) from error
        self._root = str(root).rstrip("/")

    def read(self, path: str) -> bytes | None:
        """Content of an object, or None if there is none."""
        try:
            return bytes(self._files.cat_file(self._at(path)))
        except FileNotFoundError:
            return None
        except Exception as error:
            raise self._failed("read", path, error) from error

    def write(self, items: Sequence[tuple[str, bytes]]) -> None:
        """Put each object whole; backends that can, put several at a time."""
        if not items:
            return
        try:
            self._files.pipe({self._at(path): data for path, data in items})
        except Exception as error:
            raise self._failed("write", items[0][0], error) from error

    def remove(self, paths: Sequence[str]) -> None:
        """Remove each object, or all below each prefix; a missing one is fine."""
        for path in paths:
            try:
                with contextlib.suppress(FileNotFoundError):
                    self._files.rm(self._at(path), recursive=True)
            except Exception as error:
                raise self._failed("remove", path, error) from error

    def files(self) -> Iterator[str]:
        """Paths of all objects."""
        try:
            self._files.invalidate_cache()
            found = sorted(self._files.find(self._root))
        except FileNotFoundError:
            return
        except Exception as error:
            raise self._failed("list", "", error) from error
        for name in found:
            yield name.removeprefix(self._root).lstrip("/")

    def tidy(self) -> None:
        """Nothing: an object that was not put whole is not there."""

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _failed(self, verb: str, path: str, error: Exception) -> StorageError:
        # Messages of backends may quote signed addresses or keys: only their kind is told.
        words = error.strerror if isinstance(error, OSError) else None
        where = f"{self.location}/{path}" if path else self.location
        return StorageError(f"cannot {verb} {where}: {words or type(error).__name__}")


def _without_secrets(url: str) -> str:
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError:
        return "the given address"
    host = parts.netloc.rpartition("@")[2]
    return urllib.parse.urlunsplit((parts.scheme, host, parts.path, "", "")).rstrip("/")
