"""A log in a folder, behind a web server and in an object store: written and read alike."""

from __future__ import annotations

import builtins
import contextlib
import http.client
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_anchor.errors import (
    AnchorError,
    LogForkError,
    LogMissingError,
    MissingLibraryError,
    StorageError,
)
from ledger_anchor.notes.keys import SignerKey
from ledger_anchor.tlog.fsck import fsck
from ledger_anchor.tlog.log import LogReader, LogWriter
from ledger_anchor.tlog.object_storage import FsspecStorage
from ledger_anchor.tlog.serve import LogServer, make_server, serve
from ledger_anchor.tlog.storage import (
    STAGING,
    HttpStorage,
    LocalStorage,
    ReadAhead,
    Storage,
    open_storage,
)

SIGNER = SignerKey("example.org/log", bytes(32))
TRUST = SIGNER.verifier()


def writer(where: Path | str | Storage, private: Path) -> LogWriter:
    return LogWriter(where, SIGNER, private / "state", private / "lock", 5.0)


def numbered(start: int, end: int) -> list[bytes]:
    return [b"entry %d" % number for number in range(start, end)]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture(params=["local", "memory", "file"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    if request.param == "local":
        yield LocalStorage(tmp_path / "log")
        return
    name = f"{tmp_path.name}-{os.getpid()}"
    url = f"memory://{name}/log" if request.param == "memory" else f"file://{tmp_path}/log"
    yield (made := FsspecStorage(url))
    made.remove([path.split("/")[0] for path in list(made.files())])


def test_every_storage_keeps_lists_and_removes_whole_files(storage: Storage) -> None:
    assert storage.read("tile/0/000") is None
    assert list(storage.files() or ()) == []
    storage.write([])
    storage.write([("tile/0/000.p/1", b"one"), ("checkpoint", b"c"), ("tile/0/001", b"")])
    storage.write([("checkpoint", b"newer")])
    assert storage.read("checkpoint") == b"newer"
    assert storage.read("tile/0/001") == b""
    expected = ["checkpoint", "tile/0/000.p/1", "tile/0/001"]
    assert sorted(storage.files() or ()) == expected
    storage.remove(["tile/0/000.p", "tile/0/001", "never/there"])
    assert list(storage.files() or ()) == ["checkpoint"]
    storage.tidy()
    assert storage.read("checkpoint") == b"newer"


def test_a_log_is_written_and_read_in_every_storage(storage: Storage, tmp_path: Path) -> None:
    log = writer(storage, tmp_path)
    entries = numbered(0, 700)
    for start, end in ((0, 1), (1, 255), (255, 257), (257, 700)):
        assert log.append(entries[start:end]) == list(range(start, end))
    reader = LogReader(storage, TRUST)
    assert list(reader.entries()) == entries
    assert reader.verify_files().size == 700
    assert fsck(storage, TRUST).is_ok
    names = set(storage.files() or ())
    assert "tile/0/000" in names
    assert not any(name.startswith("tile/0/000.p") for name in names)
    assert (tmp_path / "state").read_bytes() == storage.read("checkpoint")


def test_a_log_in_an_object_store_is_not_forked_when_its_objects_go_back(tmp_path: Path) -> None:
    storage = FsspecStorage(f"memory://back-{tmp_path.name}")
    log = writer(storage, tmp_path)
    log.append([b"a"])
    older = {name: storage.read(name) for name in storage.files()}
    log.append([b"b"])
    storage.remove(["tile"])
    storage.write([(name, data or b"") for name, data in older.items()])
    with pytest.raises(LogForkError, match="would shrink or fork it"):
        log.append([b"c"])


def test_writes_of_an_object_store_that_fail_leave_a_log_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    for number in range(1, 9):
        private = tmp_path / str(number)
        storage = FsspecStorage(f"memory://fails-{tmp_path.name}-{number}")
        log = writer(storage, private)
        log.append(numbered(0, 255))
        real, seen = type(storage._files).pipe_file, [0]

        def pipe_file(*given: Any, real: Any = real, seen: Any = seen, at: int = number) -> None:
            seen[0] += 1
            if seen[0] == at:
                raise RuntimeError("signed-url?token=secret")
            real(*given)

        with monkeypatch.context() as patch:
            patch.setattr(type(storage._files), "pipe_file", pipe_file)
            try:
                log.append(numbered(255, 257))
            except StorageError as error:
                told.append(str(error))
        has_failed = seen[0] >= number
        reader = LogReader(storage, TRUST)
        assert reader.verify_files().size in {255, 257}
        size = log.recover_locked().size
        log.append(numbered(size, 300))
        assert list(reader.entries()) == numbered(0, 300)
        assert fsck(storage, TRUST).is_ok
    assert not has_failed  # the last run needed fewer writes: each one was met
    assert len(told) == 6
    assert not any("secret" in words for words in told)


def test_files_that_cost_a_round_trip_are_asked_for_ahead(tmp_path: Path) -> None:
    names = [f"{number}" for number in range(30)]
    meet, asked = threading.Barrier(4, timeout=20), []

    def read(path: str) -> bytes | None:
        asked.append(path)
        if int(path) < 4:
            meet.wait()  # passes only if four are under way at once
        if path == "7":
            raise StorageError("no answer")
        return None if path == "9" else path.encode()

    with contextlib.closing(ReadAhead(read, iter(names), 4)) as ahead:
        assert ahead.read("0") == b"0"
        assert ahead.read("29") == b"29"  # not the order that was told
        found = [ahead.read(name) for name in ("1", "2", "9", "8")]
        assert found == [b"1", b"2", None, b"8"]
        with pytest.raises(StorageError, match="no answer"):
            ahead.read("7")
    assert len(asked) < 25
    with contextlib.closing(ReadAhead(LocalStorage(tmp_path).read, iter(names), 1)) as plain:
        assert plain.read("3") is None


def test_addresses_lead_to_their_storages(tmp_path: Path) -> None:
    assert isinstance(open_storage(tmp_path), LocalStorage)
    assert open_storage(str(tmp_path)).location == str(tmp_path)
    assert open_storage(f"file://{tmp_path}").location == str(tmp_path)
    assert isinstance(open_storage("https://example.org/log/"), HttpStorage)
    assert isinstance(open_storage("memory://log"), FsspecStorage)
    storage = LocalStorage(tmp_path)
    assert open_storage(storage) is storage


@pytest.mark.parametrize(
    "url",
    ["http://", "http://user:pw@example.org/log", "https://example.org/log?x=1", "http://h:99999/",
     "http://example.org/a b", "http://example.org/log#part", "http://[::1/log"],
)  # fmt: skip
def test_an_address_that_is_none_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(StorageError, match="not the address of a log") as caught:
        open_storage(url)
    assert "pw" not in str(caught.value)


def test_a_store_without_its_library_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises((MissingLibraryError, StorageError), match="nowhere://bucket/log"):
        open_storage("nowhere://user:hidden@bucket/log")
    real = builtins.__import__

    def without_fsspec(name: str, *rest: Any) -> Any:
        if name == "fsspec":
            raise ModuleNotFoundError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without_fsspec)
    with pytest.raises(MissingLibraryError, match="extra 'objects'") as caught:
        open_storage("s3://key:hidden@bucket/log?token=hidden")
    assert "hidden" not in str(caught.value)


def test_a_folder_that_cannot_be_read_or_changed_is_told(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"a file")
    storage = LocalStorage(tmp_path / "log")
    with pytest.raises(StorageError, match="cannot read"):
        storage.read("checkpoint")
    with pytest.raises(StorageError, match="cannot write"):
        storage.write([("checkpoint", b"x")])
    with pytest.raises(StorageError, match="cannot remove"):
        storage.remove(["checkpoint"])


def test_files_are_flushed_one_by_one_where_no_thread_is_to_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    flushed: list[int] = []
    real = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: flushed.append(1) or real(descriptor))
    monkeypatch.setattr(ThreadPoolExecutor, "submit", refuse)
    LocalStorage(tmp_path / "log").write([("a/1", b"1"), ("b/2", b"2"), ("3", b"3")])
    assert len(flushed) >= 3 + 3
    assert list(LocalStorage(tmp_path / "log").files()) == ["3", "a/1", "b/2"]


def test_a_write_that_fails_leaves_neither_temporary_files_nor_new_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = LocalStorage(tmp_path / "log")
    storage.write([("a/1", b"old")])

    def refuse(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", refuse)
        with pytest.raises(KeyboardInterrupt):
            storage.write([("a/1", b"new"), ("b/c/2", b"new")])
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "log", tmp_path / "log" / "a",
                                         tmp_path / "log" / "a" / "1"]  # fmt: skip
    assert storage.read("a/1") == b"old"


def test_what_a_killed_writer_left_is_swept_up(tmp_path: Path) -> None:
    log = writer(tmp_path / "log", tmp_path)
    log.append([b"a"])
    leftover = tmp_path / "log" / STAGING / ".000.99-1.tmp"
    leftover.parent.mkdir()
    leftover.write_bytes(b"half")
    log.append([b"b"])
    assert not leftover.parent.exists()


# Reading over HTTP, from our own server.


@contextmanager
def served(folder: Path, **options: Any) -> Iterator[LogServer]:
    with make_server(folder, **options) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    log = writer(tmp_path / "log", tmp_path)
    log.append(numbered(0, 256))
    log.append(numbered(256, 300))
    return tmp_path / "log"


def ask(
    server: LogServer, path: str, method: str = "GET", **options: Any
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    try:
        connection.putrequest(method, path, skip_host=True)
        for name, value in options.items():
            connection.putheader(name.replace("_", "-"), value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def test_a_log_reads_over_http_as_from_its_folder(log: Path) -> None:
    with served(log) as server:
        reader = LogReader(server.url, TRUST)
        assert list(reader.entries()) == numbered(0, 300)
        assert reader.verify_files().size == 300
        assert reader.proof(299) == LogReader(log, TRUST).proof(299)
        report = fsck(server.url, TRUST)
        assert report.is_ok
        assert [note.kind for note in report.notes] == ["listing"]
        with pytest.raises(StorageError, match="cannot be written"):
            writer(server.url, log.parent).append([b"x"])
        with pytest.raises(StorageError, match="cannot be written"):
            reader.storage.remove(["checkpoint"])


def test_a_reader_over_http_survives_the_end_of_a_partial_tile(log: Path, tmp_path: Path) -> None:
    with served(log) as server:
        view = LogReader(server.url, TRUST).view()
        writer(log, tmp_path).append(numbered(300, 600))
        assert not (log / "tile" / "0" / "001.p").exists()
        assert list(view.entries(256)) == numbered(256, 300)


def test_files_are_served_with_the_types_and_caching_of_the_specification(log: Path) -> None:
    with served(log) as server:
        for name, kind, caching in (
            ("checkpoint", "text/plain; charset=utf-8", "no-cache"),
            ("tile/0/000", "application/octet-stream", "public, max-age=31536000, immutable"),
            ("tile/entries/001.p/44", "application/octet-stream", "immutable"),
        ):
            status, headers, body = ask(server, "/" + name)
            assert (status, headers["Content-Type"]) == (200, kind)
            assert caching in headers["Cache-Control"]
            assert body == (log / name).read_bytes()
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert "Python" not in headers["Server"]
            status, headers, body = ask(server, "/" + name, "HEAD")
            assert (status, body) == (200, b"")
            assert int(headers["Content-Length"]) == (log / name).stat().st_size


def test_nothing_else_is_served(log: Path, tmp_path: Path) -> None:
    (log / "notes.txt").write_text("private")
    (log / ".staging").mkdir()
    (log / ".staging" / "000").write_text("half")
    (tmp_path / "secret").write_text("private")
    (log / "tile" / "0" / "003").symlink_to(tmp_path / "secret")
    (log / "tile" / "0" / "002").write_bytes(bytes(8192))  # of an append that was cut short
    paths = ["/", "/tile/", "/tile/0", "/tile/0/", "/notes.txt", "/.staging/000", "/state",
             "/../secret", "/tile/../../secret", "/%2e%2e/secret", "//secret", "/tile/0/003",
             "/tile/0/002", "/tile/0/x000/000", "/tile/0/000%00", "/tile/0/000.p/256",
             "/log.vkey", "/policy", "/" + "a" * 5000, "/checkpoint/", "checkpoint.."]  # fmt: skip
    with served(log) as server:
        for path in paths:
            status, headers, body = ask(server, path)
            assert status == 404, path
            assert body == b"404 Not Found\n"
            assert headers["Cache-Control"] == "no-store"


def test_a_link_out_of_the_folder_is_not_followed(log: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(bytes(8192))
    (log / "tile" / "0" / "000").unlink()
    (log / "tile" / "0" / "000").symlink_to(tmp_path / "secret")
    with served(log) as server:
        assert ask(server, "/tile/0/000")[0] == 404
        (log / "tile" / "0" / "000").unlink()
        os.mkfifo(log / "tile" / "0" / "000")
        assert ask(server, "/tile/0/000")[0] == 404


def test_key_and_policy_are_served_where_they_lie_beside_the_log(log: Path) -> None:
    (log.parent / "log.vkey").write_text(TRUST.format())
    (log / "policy").write_text("quorum none\n")
    with served(log) as server:
        assert ask(server, "/log.vkey")[2].decode() == TRUST.format()
        status, headers, body = ask(server, "/policy?x=1")
        assert (status, body) == (200, b"quorum none\n")
        assert headers["Cache-Control"] == "no-cache"
    with served(log, beside={}) as server:
        assert ask(server, "/log.vkey")[0] == 404


def test_only_reading_is_answered_and_bodies_are_no_requests(log: Path) -> None:
    with served(log) as server:
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "BREW"):
            status, headers, _ = ask(server, "/checkpoint", method)
            assert (status, headers["Allow"]) == (405, "GET, HEAD")
        smuggled = b"GET /nothing HTTP/1.1\r\n\r\n"
        head = b"GET /checkpoint HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(smuggled)
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as raw:
            raw.sendall(head + smuggled)
            answer = b"".join(iter(lambda: raw.recv(65536), b""))
        assert answer.count(b"HTTP/1.1 ") == 1
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as raw:
            raw.sendall(b"\x00\xff nonsense \r\n\r\n")
            assert b"400" in raw.recv(65536)
        assert ask(server, "/checkpoint")[0] == 200


def test_serve_announces_its_address_and_ends_quietly(
    log: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    said: list[str] = []

    def answer_once(server: LogServer, poll_interval: float) -> None:
        assert said == [server.url]
        raise KeyboardInterrupt

    monkeypatch.setattr(LogServer, "serve_forever", answer_once)
    serve(log, announce=said.append)
    assert urlsplit(said[0]).hostname == "127.0.0.1"
    assert capfd.readouterr() == ("", "")


def test_a_server_that_cannot_start_says_why(log: Path) -> None:
    with pytest.raises(StorageError, match="no folder"):
        make_server(log / "nothing")
    with (
        make_server(log) as server,
        pytest.raises(StorageError, match="cannot listen on 127"),
    ):
        make_server(log, port=server.server_port)
    with pytest.raises(StorageError, match="cannot listen"):
        make_server(log, port=70_000)


# Web servers that misbehave.


@contextmanager
def answering(reply: Callable[[str], bytes | None]) -> Iterator[str]:
    """A server that sends these raw bytes for a path, and hangs up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def answer() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(5)
                    try:
                        request = connection.recv(65536).decode("latin-1")
                        connection.sendall(reply(request.split(" ")[1][1:]) or b"")
                    except (OSError, IndexError):
                        continue

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)


def ok(body: bytes, *headers: bytes, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return b"\r\n".join([b"HTTP/1.1 200 OK", b"Content-Length: %d" % size, *headers, b"", body])


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (b"", "not a whole HTTP answer|closed connection"),
        (b"hello\r\n\r\n", "not a whole HTTP answer"),
        (b"HTTP/1.1 999999 x\r\n\r\n", "not a whole HTTP answer"),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 200 + b"\r\n", "not a whole HTTP answer"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"a" * 70_000 + b"\r\n\r\n", "not a whole HTTP answer"),
        (ok(b"short", length=500), "cut short: expected 500 bytes, found 5"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "not a whole HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc", "not a whole HTTP"),
        (ok(b"x", b"Content-Encoding: gzip"), "sent as 'gzip'"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + bytes(17 << 20), "larger than any file"),
        (b"HTTP/1.1 500 Oops\r\n\r\n", "HTTP status 500"),
        (b"HTTP/1.1 403 No\r\n\r\n", "HTTP status 403"),
        (b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n", "HTTP status 302"),
        (b"HTTP/1.1 302 Found\r\nLocation: ftp://localhost/x\r\n\r\n", "unknown url type"),
    ],
)
def test_an_answer_that_is_none_is_one_clear_error(reply: bytes, words: str) -> None:
    with answering(lambda _: reply) as url:
        storage = HttpStorage(url, timeout_seconds=5, attempts=2, pause_seconds=0)
        with pytest.raises(StorageError, match=words):
            storage.read("checkpoint")


def test_a_missing_file_is_missing_and_a_missing_log_is_no_log() -> None:
    with answering(lambda _: b"HTTP/1.1 404 Not Found\r\n\r\n") as url:
        assert HttpStorage(url).read("tile/0/000") is None
        with pytest.raises(LogMissingError):
            LogReader(url, TRUST).checkpoint()
    with answering(lambda _: b"HTTP/1.1 403 Forbidden\r\n\r\n") as url:
        assert HttpStorage(url).read("tile/0/000") is None  # as object stores answer


def test_a_passing_failure_is_tried_again() -> None:
    replies = iter([b"HTTP/1.1 503 Busy\r\n\r\n", b"", ok(b"whole")])
    with answering(lambda _: next(replies)) as url:
        assert HttpStorage(url, pause_seconds=0).read("checkpoint") == b"whole"


def test_a_server_that_drips_or_is_gone_is_given_up() -> None:
    with answering(lambda _: ok(b"a" * 3_000_000)) as url:
        slow = HttpStorage(url, deadline_seconds=-1, attempts=1)
        with pytest.raises(StorageError, match="takes too long"):
            slow.read("checkpoint")
    with pytest.raises(StorageError, match="refused"):
        HttpStorage(url, timeout_seconds=5).read("checkpoint")


def test_a_redirect_to_another_web_address_is_followed() -> None:
    with answering(lambda path: ok(path.encode())) as target:
        moved = b"HTTP/1.1 301 Moved\r\nLocation: %s/there\r\n\r\n" % target.encode()
        with answering(lambda _: moved) as url:
            assert HttpStorage(url).read("checkpoint") == b"there"


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_an_http_answer_of_any_bytes_gives_bytes_or_one_of_our_errors(data: st.DataObject) -> None:
    body = b"example.org/log\n1\nAAAA\n\n\xe2\x80\x94 x AAAA\n"
    parts = [b"HTTP/1.1 200 OK\r\n", b"Content-Length: 9\r\n", b"Transfer-Encoding: chunked\r\n",
             b"Location: /x\r\n", b"HTTP/1.1 302 F\r\n", b"5\r\nabcde\r\n0\r\n\r\n", b"\r\n",
             body]  # fmt: skip
    pieces = st.one_of(st.sampled_from(parts), st.binary(max_size=40))
    raw = b"".join(data.draw(st.lists(pieces, max_size=8)))
    with answering(lambda _: raw) as url:
        storage = HttpStorage(url, timeout_seconds=5, attempts=1)
        reader = LogReader(storage, TRUST)
        with contextlib.suppress(AnchorError):
            assert storage.read("tile/0/000") is None or raw
        with pytest.raises(AnchorError):
            reader.checkpoint()
