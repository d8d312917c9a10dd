"""Where the files of a log lie: a small interface, a folder of this machine, and a web server.

What belongs here: reading, writing and listing whole files by relative path. What does not: object
stores (``object_storage``, an optional extra), what the files mean (``tiles``) and the order in
which a log writes them (``log``).
"""

from __future__ import annotations

import http.client
import os
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from ledger_anchor.errors import StorageError
from ledger_anchor.files import read_bytes, write_all
from ledger_anchor.tlog.tiles import MAX_BUNDLE_BYTES

STAGING = ".staging"
# The largest file of a log is a full bundle of the longest entries.
MAX_FILE_BYTES = MAX_BUNDLE_BYTES
_MISSING = {404, 410}
_WORTH_ANOTHER_TRY = {408, 429, 500, 502, 503, 504}
_CHUNK = 1 << 16
# Files asked for at once where each costs a round trip (attribute ``readers`` of a storage).
REMOTE_READERS = 8


class Storage(Protocol):
    """Whole files by relative path with slashes; every method raises StorageError on failure."""

    @property
    def location(self) -> str:
        """Where this is, for messages; it holds no password."""

    def read(self, path: str) -> bytes | None:
        """Content of a file, or None if there is none."""

    def write(self, items: Sequence[tuple[str, bytes]]) -> None:
        """Write files: each atomically, all durable when this returns, in no promised order."""

    def remove(self, paths: Sequence[str]) -> None:
        """Remove each file, or everything below each folder; a missing one is fine."""

    def files(self) -> Iterator[str] | None:
        """Paths of all files, or None where they cannot be listed."""

    def tidy(self) -> None:
        """Remove what killed writers left; only for whoever holds the log's lock."""


class LocalStorage:
    """A folder of this machine; a write survives the loss of power once it has returned."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    @property
    def location(self) -> str:
        """The folder."""
        return str(self.folder)

    def read(self, path: str) -> bytes | None:
        """Content of a file, or None if there is none."""
        return read_bytes(self.folder / path)

    def write(self, items: Sequence[tuple[str, bytes]]) -> None:
        """Write files: temporary files first, all flushed, then renamed in the given order."""
        if items:
            write_all(
                [(self.folder / path, data) for path, data in items],
                staging=self.folder / STAGING,
            )

    def remove(self, paths: Sequence[str]) -> None:
        """Remove each file, or everything below each folder; a missing one is fine."""
        for path in paths:
            target = self.folder / path
            try:
                if target.is_dir() and not target.is_symlink():
                    shutil.rmtree(target)
                else:
                    target.unlink(missing_ok=True)
            except OSError as error:
                raise StorageError(f"cannot remove {target}: {error.strerror}") from error

    def files(self) -> Iterator[str]:
        """Paths of all files; folders that are links are not entered."""

        def refuse(error: OSError) -> None:
            if isinstance(error, FileNotFoundError):  # never made, or removed just now
                return
            raise StorageError(f"cannot list {error.filename}: {error.strerror}") from error

        for folder, folders, names in os.walk(self.folder, onerror=refuse):
            folders.sort()
            where = Path(folder).relative_to(self.folder)
            yield from ((where / name).as_posix() for name in sorted(names))

    def tidy(self) -> None:
        """Remove temporary files of killed writers."""
        shutil.rmtree(self.folder / STAGING, ignore_errors=True)


class HttpStorage:
    """A log on a web server, read only.

    Args:
        url: the log's folder, http or https, without user, query or fragment.
        timeout_seconds: the longest silence of the server.
        deadline_seconds: the longest time for one file, however the server drips.
        attempts: how often a file is asked for before the error is told.
        pause_seconds: wait before the second attempt; it doubles each time.
    """

    readers = REMOTE_READERS

    def __init__(
        self,
        url: str,
        timeout_seconds: float = 20.0,
        deadline_seconds: float = 120.0,
        attempts: int = 3,
        pause_seconds: float = 0.3,
    ) -> None:
        self.location = _checked_url(url)
        self._timeout, self._deadline = timeout_seconds, deadline_seconds
        self._attempts, self._pause = attempts, pause_seconds
        # No handler for files or ftp: a redirect leads to a web server or nowhere.
        self._opener = urllib.request.OpenerDirector()
        for handler in (
            urllib.request.ProxyHandler(),
            urllib.request.HTTPHandler(),
            urllib.request.HTTPSHandler(),
            urllib.request.HTTPRedirectHandler(),
            urllib.request.HTTPDefaultErrorHandler(),
            urllib.request.HTTPErrorProcessor(),
            urllib.request.UnknownHandler(),
        ):
            self._opener.add_handler(handler)

    def read(self, path: str) -> bytes | None:
        """Content of a file, or None if the server has none."""
        pause = self._pause
        for attempt in range(self._attempts):
            try:
                return self._get(path)
            except _BrokenError as error:
                if not error.is_worth_another_try or attempt + 1 == self._attempts:
                    raise StorageError(f"cannot read {self.location}/{path}: {error}") from error
            time.sleep(pause)
            pause *= 2
        raise StorageError(f"cannot read {self.location}/{path}: no attempt was allowed")

    def _get(self, path: str) -> bytes | None:
        headers = {"Accept-Encoding": "identity", "User-Agent": "ledger-anchor"}
        if not path.startswith("tile/"):
            headers["Cache-Control"] = "no-cache"  # a proxy must not answer with an old checkpoint
        request = urllib.request.Request(f"{self.location}/{path}", headers=headers)  # noqa: S310
        try:
            with self._opener.open(request, timeout=self._timeout) as response:
                return _body(response, time.monotonic() + self._deadline)
        except urllib.error.HTTPError as error:
            error.close()
            # An object store whose files may not be listed answers 403 for a missing one.
            if error.code in _MISSING or (error.code == 403 and path.startswith("tile/")):
                return None
            is_passing = error.code in _WORTH_ANOTHER_TRY
            raise _BrokenError(f"HTTP status {error.code}", is_passing) from error
        except urllib.error.URLError as error:
            is_passing = isinstance(error.reason, TimeoutError | ConnectionResetError)
            raise _BrokenError(str(error.reason), is_passing) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            words = str(error) or type(error).__name__
            raise _BrokenError(f"not a whole HTTP answer ({words[:200]!r})", True) from error

    def write(self, items: Sequence[tuple[str, bytes]]) -> None:  # noqa: ARG002
        """Refuse: a web server is only read."""
        raise StorageError(f"{self.location} is read over HTTP and cannot be written to")

    def remove(self, paths: Sequence[str]) -> None:  # noqa: ARG002
        """Refuse: a web server is only read."""
        raise StorageError(f"{self.location} is read over HTTP and cannot be written to")

    def files(self) -> None:
        """Nothing: a web server does not list its files."""
        return

    def tidy(self) -> None:
        """Nothing: a web server is only read."""


class _BrokenError(Exception):
    """One attempt failed."""

    def __init__(self, words: str, is_worth_another_try: bool) -> None:
        self.is_worth_another_try = is_worth_another_try
        super().__init__(words)


def _checked_url(url: str) -> str:
    try:
        parts = urllib.parse.urlsplit(url)
        is_web = parts.scheme in {"http", "https"} and bool(parts.hostname)
        has_more = parts.username or parts.password or parts.query or parts.fragment
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError:
        is_web, has_more, port_is_fine = False, None, False
    if not is_web or not port_is_fine or has_more or any(c <= " " or c > "~" for c in url):
        raise StorageError(
            "not the address of a log: expected http:// or https://, a host and a path, without "
            "user, password, query or fragment"
        )
    return url.rstrip("/")


def _body(response: http.client.HTTPResponse, deadline: float) -> bytes:
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding != "identity":
        raise _BrokenError(f"it is sent as {encoding!r} although it was asked for as it is", False)
    # Read here and not from ``length`` afterwards: read1 of Python 3.11 does not count it down.
    expected, size = response.length, 0
    parts = []
    while size != expected and (chunk := response.read1(_CHUNK)):
        parts.append(chunk)
        size += len(chunk)
        if size > MAX_FILE_BYTES:
            raise _BrokenError(f"larger than any file of a log ({MAX_FILE_BYTES} bytes)", False)
        if time.monotonic() > deadline:
            raise _BrokenError("the server takes too long", False)
    if expected is not None and size != expected:
        raise _BrokenError(f"cut short: expected {expected} bytes, found {size}", True)
    return b"".join(parts)


class ReadAhead:
    """Asks for files before they are read, where each costs a round trip.

    Args:
        read: reads one file; several threads may call it.
        paths: what will be read, about in this order; other files may be read too.
        readers: how many to ask for at once; with one nothing is asked for ahead.
    """

    def __init__(
        self, read: Callable[[str], bytes | None], paths: Iterator[str], readers: int
    ) -> None:
        self._read = read
        self._paths = paths if readers > 1 else iter(())
        self._limit = 2 * readers
        self._asked: dict[str, Future[bytes | None]] = {}
        self._pool = ThreadPoolExecutor(readers, "read-ahead")

    def read(self, path: str) -> bytes | None:
        """Content of a file, or None if there is none; raises as the storage does."""
        asked = self._asked.pop(path, None)
        while len(self._asked) < self._limit and (ahead := next(self._paths, None)) is not None:
            if ahead != path:
                self._asked[ahead] = self._pool.submit(self._read, ahead)
        return self._read(path) if asked is None else asked.result()

    def close(self) -> None:
        """Forget what was asked for and not read."""
        self._pool.shutdown(cancel_futures=True)


def readers_of(storage: Storage) -> int:
    """How many files of a storage it pays to ask for at once."""
    return int(getattr(storage, "readers", 1))


def open_storage(where: Storage | Path | str) -> Storage:
    """The storage at an address.

    Args:
        where: a folder, an http(s) or file URL, the URL of an object store (``s3://...``, with the
            extra ``objects``), or a storage, which is given back.

    Raises:
        StorageError: if nothing can be at such an address.
    """
    if isinstance(where, Path):
        return LocalStorage(where)
    if not isinstance(where, str):
        return where
    scheme, separator, rest = where.partition("://")
    if not separator:
        return LocalStorage(where)
    if scheme.lower() in {"http", "https"}:
        return HttpStorage(where)
    if scheme.lower() == "file":
        return LocalStorage(urllib.request.url2pathname(rest))
    from ledger_anchor.tlog.object_storage import FsspecStorage  # noqa: PLC0415 - an optional extra

    return FsspecStorage(where)
