"""A small web server for one log's folder, for a demonstration or an auditor on the same network.

What belongs here: read-only answers for exactly the files of a log, with the content types and
caching that C2SP tlog-tiles asks for. What does not: anything else; a log needs no server of its
own, any static one will do. No listing, no path out of the folder, no log of requests.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import stat
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import BinaryIO

from ledger_anchor.errors import NoteError, StorageError
from ledger_anchor.files import read_bytes
from ledger_anchor.notes.checkpoint import Checkpoint
from ledger_anchor.notes.note import Note
from ledger_anchor.tlog.log_reader import CHECKPOINT
from ledger_anchor.tlog.tiles import parse_tile_path, width_at

BESIDE = ("log.vkey", "policy")
_TEXT = "text/plain; charset=utf-8"
_BINARY = "application/octet-stream"
_FRESH = "no-cache"
# A tile of a signed size never changes.
_FOR_EVER = "public, max-age=31536000, immutable"
_TIMEOUT_SECONDS = 30.0
_MAX_PATH = 200


def serve(
    folder: Path,
    host: str = "127.0.0.1",
    port: int = 0,
    announce: Callable[[str], None] | None = None,
    beside: Mapping[str, Path] | None = None,
) -> None:
    """Serve a log's folder until interrupted (Ctrl-C).

    Args:
        folder: the log's folder: the one that holds ``checkpoint``.
        host: address to listen on; only this machine unless told otherwise.
        port: port to listen on; 0 lets the system choose.
        announce: called with the URL once requests are answered.
        beside: files served by name next to the log; if not given, ``log.vkey`` and ``policy`` of
            the log's folder or of the one above, where they are.

    Raises:
        StorageError: if there is no such folder, or the address cannot be listened on.
    """
    with make_server(folder, host, port, beside) as server:
        if announce is not None:
            announce(server.url)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever(poll_interval=0.2)


class LogServer(ThreadingHTTPServer):
    """The server of one folder; ``url`` is where it answers."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self, folder: Path, address: tuple[str, int], beside: Mapping[str, Path] | None
    ) -> None:
        self.folder = folder.resolve()
        self.beside = _files_beside(self.folder) if beside is None else dict(beside)
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)

    @property
    def url(self) -> str:
        """Address of the log."""
        host, port = self.server_address[:2]
        name = host.decode() if isinstance(host, bytes) else str(host)
        return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: a client that went away is nobody's business."""


def make_server(
    folder: Path,
    host: str = "127.0.0.1",
    port: int = 0,
    beside: Mapping[str, Path] | None = None,
) -> LogServer:
    """A server that listens but does not answer yet (``serve_forever`` does); see ``serve``.

    Raises:
        StorageError: if there is no such folder, or the address cannot be listened on.
    """
    if not folder.is_dir():
        raise StorageError(f"{folder} is no folder: nothing to serve")
    try:
        return LogServer(folder, (host, port), beside)
    except (OSError, OverflowError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise StorageError(f"cannot listen on {host} port {port}: {words}") from error


def _files_beside(folder: Path) -> dict[str, Path]:
    found = {}
    for name in BESIDE:
        places = (folder / name, folder.parent / name)
        place = next((path for path in places if path.is_file()), None)
        if place is not None:
            found[name] = place
    return found


class _Handler(BaseHTTPRequestHandler):
    server: LogServer
    protocol_version = "HTTP/1.1"
    server_version = "ledger-anchor"
    sys_version = ""
    timeout = _TIMEOUT_SECONDS

    def do_GET(self) -> None:
        """Answer with a file of the log."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """Answer as to GET, without the file."""
        self._answer(with_body=False)

    def _answer(self, *, with_body: bool) -> None:
        if self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # a body nobody reads must not pass for a request
        name = self.path.partition("?")[0].removeprefix("/")
        caching = _FRESH if parse_tile_path(name) is None else _FOR_EVER
        file = self._open(name)
        if file is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with file:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", _BINARY if caching == _FOR_EVER else _TEXT)
            self.send_header("Content-Length", str(os.fstat(file.fileno()).st_size))
            self.send_header("Cache-Control", caching)
            self.send_header("X-Content-Type-Options", "nosniff")
            self.end_headers()
            if with_body:
                shutil.copyfileobj(file, self.wfile)

    def _open(self, name: str) -> BinaryIO | None:
        folder, beside = self.server.folder, self.server.beside
        if name in beside:
            return _open_regular(beside[name])
        if len(name) > _MAX_PATH or not self._is_served(name):
            return None
        path = (folder / name).resolve()
        # A link inside the folder does not lead out of it.
        return _open_regular(path) if path.is_relative_to(folder) else None

    def _is_served(self, name: str) -> bool:
        """Only names a log has; of its tiles only those of the size that was signed.

        A tile beyond it, of an append that was cut short, may still change: nobody may cache it.
        """
        tile = parse_tile_path(name)
        if tile is None:
            return name == CHECKPOINT
        try:
            note = read_bytes(self.server.folder / CHECKPOINT)
            size = 0 if note is None else Checkpoint.parse(Note.parse(note).text).size
        except (NoteError, StorageError):
            return False
        level, number, width = tile
        return width <= width_at(size, level, number)

    def send_error(
        self,
        code: int,
        message: str | None = None,  # noqa: ARG002 - it would repeat the request
        explain: str | None = None,  # noqa: ARG002
    ) -> None:
        """Answer with one line of text."""
        is_unknown_method = code == HTTPStatus.NOT_IMPLEMENTED
        status = HTTPStatus.METHOD_NOT_ALLOWED if is_unknown_method else HTTPStatus(code)
        body = f"{status.value} {status.phrase}\n".encode()
        self.send_response(status)
        if is_unknown_method:
            self.send_header("Allow", "GET, HEAD")
        if status is not HTTPStatus.NOT_FOUND:
            self.send_header("Connection", "close")  # the rest of a bad request is not read
        self.send_header("Content-Type", _TEXT)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Keep no log of who asked for what."""


def _open_regular(path: Path) -> BinaryIO | None:
    try:
        # A pipe of that name must not hold the answer up.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except (OSError, ValueError):
        return None
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    return None
