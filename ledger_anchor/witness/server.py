"""A witness on HTTP: POST /add-checkpoint, GET /<hex of SHA-256(origin)>/checkpoint.

What belongs here: connections, limits and statuses. What does not: the decision (``cosigner``).
It speaks plain HTTP/1.1 with keep-alive, to stand behind a web server that adds TLS. Statuses are
those of the protocol (200, 400, 403, 404, 409, 422), and 503 where this machine cannot persist or
has too many connections: a request that is no HTTP is a 400, a path or method it does not have is
a 404. Every connection has a deadline, so that slow clients cost a thread for seconds only.
"""

from __future__ import annotations

import contextlib
import io
import signal
import socket
import socketserver
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from ledger_anchor.errors import StorageError, WitnessError
from ledger_anchor.witness.config import load_witness
from ledger_anchor.witness.cosigner import MALFORMED, UNKNOWN, Answer, Witness
from ledger_anchor.witness.protocol import MAX_REQUEST_BYTES, SUBMIT_PATH

UNAVAILABLE = 503
_REQUEST_SECONDS = 15.0  # from the first waiting byte to the last of the answer
_CONNECTIONS = 64
_DRAIN_BYTES, _DRAIN_SECONDS = 4 * MAX_REQUEST_BYTES, 2.0
_NOTHING = "there is no such resource here"
_BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\nRetry-After: 5\r\n"
    b"Connection: close\r\n\r\nbusy\n"
)

Log = Callable[[str], None]


def _no_log(_line: str) -> None:
    pass


def serve_witness(
    folder: Path,
    host: str = "127.0.0.1",
    port: int = 0,
    announce: Callable[[str], None] = _no_log,
    log: Log = _no_log,
) -> None:
    """Serve the witness of a folder until SIGTERM or SIGINT.

    Args:
        folder: what ``init_witness`` created.
        host: address to listen on.
        port: port to listen on; 0 lets the operating system choose.
        announce: is told the address once requests are answered.
        log: is told one line for each request.

    Raises:
        WitnessError: if the folder is unfit or the address cannot be listened on.
        KeyFormatError, StorageError: as for ``load_witness``.
    """
    with WitnessServer(load_witness(folder), host, port, log=log) as server:
        # shutdown() waits for the loop, which runs in this thread: another one has to call it.
        def stop(_number: int, _frame: object) -> None:
            threading.Thread(target=server.shutdown, daemon=True).start()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        announce(server.url)
        server.serve_forever(poll_interval=0.1)


class WitnessServer(socketserver.ThreadingMixIn, HTTPServer):
    """The listening socket of a witness; ``serve_forever`` answers, ``shutdown`` stops.

    Args:
        witness: decides.
        host: address to listen on.
        port: port; 0 lets the operating system choose, see ``url``.
        request_seconds: how long one request may take in all.
        connections: how many clients are served at once.
        log: is told one line for each request; nothing secret is in it.

    Raises:
        WitnessError: if the address cannot be listened on.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        witness: Witness,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        request_seconds: float = _REQUEST_SECONDS,
        connections: int = _CONNECTIONS,
        log: Log = _no_log,
    ) -> None:
        self.witness = witness
        self.request_seconds = request_seconds
        self.log = log
        self._places = threading.BoundedSemaphore(connections)
        if ":" in host:
            self.address_family = socket.AF_INET6
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise WitnessError(
                f"cannot listen on {host} port {port}: {error.strerror or error}. "
                "Choose another address or port"
            ) from error

    @property
    def url(self) -> str:
        """Where it listens: what a policy names as the witness's address."""
        host, port = self.server_address[:2]
        name = f"[{host!s}]" if self.address_family == socket.AF_INET6 else str(host)
        return f"http://{name}:{port}"

    def server_bind(self) -> None:
        """Bind without the look-up of a host name that HTTPServer makes."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.server_address[1]

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a connection, if there is a place; refuse it otherwise."""
        if self._places.acquire(blocking=False):
            try:
                super().process_request(request, client_address)
            except RuntimeError:  # no thread to be had
                self._places.release()
                self.shutdown_request(request)
            return
        with contextlib.suppress(OSError):
            request.settimeout(0.1)
            request.sendall(_BUSY)
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection and give its place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - its shape
        """One line instead of a traceback; clients that hang up are not worth even that."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            self.log(f"a request ended with {type(error).__name__}")


class _Deadline(io.RawIOBase):
    """Reads from a socket until a moment that ``start`` sets; each byte counts against it."""

    def __init__(self, connection: socket.socket, seconds: float) -> None:
        self._connection = connection
        self._seconds = seconds
        self._end = 0.0

    def start(self) -> None:
        self._end = time.monotonic() + self._seconds

    def remaining(self) -> float:
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the client was too slow")
        return left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._connection.settimeout(self.remaining())
        return self._connection.recv_into(buffer)


class _Handler(BaseHTTPRequestHandler):
    server: WitnessServer
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # headers and body leave together

    def setup(self) -> None:
        super().setup()
        self._deadline = _Deadline(self.connection, self.server.request_seconds)
        self.rfile = io.BufferedReader(self._deadline)

    def handle_one_request(self) -> None:
        self._deadline.start()
        super().handle_one_request()

    def do_POST(self) -> None:
        if self.path != SUBMIT_PATH:
            self._refuse(UNKNOWN, _NOTHING)
            return
        body = self._read_body()
        if body is not None:
            with self._persisting():
                self._send(self.server.witness.add_checkpoint(body))

    def do_GET(self) -> None:
        if "Content-Length" in self.headers or "Transfer-Encoding" in self.headers:
            self.close_connection = True  # nobody reads that body: it is not the next request
        with self._persisting():
            note = self.server.witness.latest(self.path)
            if note is None:
                self._send(Answer(UNKNOWN, _NOTHING.encode() + b"\n", _NOTHING))
            else:
                self._send(Answer(200, note, "showed what was cosigned last"))

    def do_HEAD(self) -> None:
        self.do_GET()

    @contextlib.contextmanager
    def _persisting(self) -> Iterator[None]:
        try:
            yield
        except (StorageError, WitnessError) as error:
            self.server.log(str(error))
            self._refuse(UNAVAILABLE, "this witness cannot persist at the moment")

    def _read_body(self) -> bytes | None:
        """The body of a POST; None if it was refused."""
        lengths = self.headers.get_all("Content-Length", [])
        text = lengths[0] if len(lengths) == 1 else ""
        if "Transfer-Encoding" in self.headers or not (text.isascii() and text.isdigit()):
            self._refuse(MALFORMED, "expected one Content-Length")
        elif len(text) > 9 or int(text) > MAX_REQUEST_BYTES:
            self._refuse(MALFORMED, f"a body of more than {MAX_REQUEST_BYTES} bytes")
        else:
            body = self.rfile.read(int(text))
            if len(body) == int(text):
                return body
            self.close_connection = True  # the client hung up
        return None

    def _refuse(self, status: int, words: str) -> None:
        """Answer without having read the whole request, so the connection ends here."""
        self.close_connection = True
        self._send(Answer(status, words.encode() + b"\n", words))
        self._drain()

    def _drain(self) -> None:
        """Read what a refused client still sends: closing at once would destroy the answer."""
        with contextlib.suppress(OSError, ValueError):
            self.connection.shutdown(socket.SHUT_WR)
            end = time.monotonic() + _DRAIN_SECONDS
            read = 0
            while read < _DRAIN_BYTES and (left := end - time.monotonic()) > 0:
                self.connection.settimeout(left)
                chunk = self.connection.recv(65_536)
                if not chunk:
                    break
                read += len(chunk)

    def _send(self, answer: Answer) -> None:
        self.connection.settimeout(self._deadline.remaining())
        if self.request_version in {"", "HTTP/0.9"}:  # it would get an answer without a status
            self.request_version = "HTTP/1.0"
            self.close_connection = True
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Cache-Control", "no-store")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(answer.body)
        self.wfile.flush()
        self.server.log(f"{answer.status} {answer.summary}")

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the HTTP parser refuses, in the protocol's one status for it."""
        del code, message, explain
        self._refuse(MALFORMED, "not an HTTP request that this witness knows")

    def version_string(self) -> str:
        return "ledger-anchor"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name it has
        """The server's own lines are enough; a client's request line may hold anything."""
