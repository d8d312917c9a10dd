"""A witness on HTTP: statuses, limits, clients that misbehave, and what survives kill -9."""

from __future__ import annotations

import contextlib
import http.client
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ledger_anchor.errors import WitnessError
from ledger_anchor.notes.checkpoint import Checkpoint
from ledger_anchor.notes.keys import KeyKind, SignerKey
from ledger_anchor.notes.note import Note
from ledger_anchor.tree import Tree, consistency_proof
from ledger_anchor.witness.config import init_witness, load_witness
from ledger_anchor.witness.protocol import (
    MAX_REQUEST_BYTES,
    AddCheckpoint,
    monitoring_path,
    parse_cosignatures,
)
from ledger_anchor.witness.server import WitnessServer

LOG = SignerKey("example.org/log", bytes(range(32)))
TREE = Tree.from_entries(str(number).encode() for number in range(64))
SPEC = {200, 400, 403, 404, 409, 422}
Started = tuple[WitnessServer, list[str]]


def fork(size: int) -> Tree:
    """A log that differs from the true one in entry ``size - 1`` only."""
    return Tree.from_entries(b"x" if n == size - 1 else str(n).encode() for n in range(64))


def request(old: int, size: int, tree: Tree = TREE) -> bytes:
    note = Checkpoint(LOG.name, size, tree.root(size)).sign(LOG)
    proof = consistency_proof(tree, old, size) if 0 < old < size else []
    return AddCheckpoint(old, tuple(proof), note.encode()).format()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    kinds = [KeyKind.ED25519_COSIGNATURE]
    init_witness(tmp_path / "witness", "example.org/witness", kinds, [LOG.verifier()])
    return tmp_path / "witness"


@pytest.fixture
def start(folder: Path) -> Iterator[Callable[..., Started]]:
    servers = []

    def started(**limits: float) -> Started:
        lines: list[str] = []
        server = WitnessServer(load_witness(folder), log=lines.append, **limits)  # type: ignore[arg-type]
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return server, lines

    yield started
    for server in servers:
        server.shutdown()
        server.server_close()


def connect(server: WitnessServer) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(*server.server_address[:2], timeout=10)


def post(url: str, body: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    connection.request("POST", "/add-checkpoint", body)
    answer = connection.getresponse()
    content = answer.status, answer.read()
    connection.close()
    return content


def held_size(folder: Path) -> int:
    note = load_witness(folder).latest(monitoring_path(LOG.name))
    return 0 if note is None else Checkpoint.parse(Note.parse(note).text).size


def raw(server: WitnessServer, data: bytes) -> bytes:
    """Everything that is answered to these bytes."""
    with socket.create_connection(server.server_address[:2], timeout=10) as line:
        answer = b""
        try:
            line.sendall(data)
            line.shutdown(socket.SHUT_WR)
            while chunk := line.recv(65_536):
                answer += chunk
        except ConnectionError:
            pass
        return answer


def statuses(answer: bytes) -> list[int]:
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


def test_one_connection_carries_requests_one_after_another(start) -> None:
    server, lines = start()
    connection = connect(server)
    path = monitoring_path(LOG.name)
    connection.request("GET", path)
    answer = connection.getresponse()
    assert (answer.status, answer.read()) == (404, b"there is no such resource here\n")
    line = connection.sock

    def ask(body: bytes) -> tuple[int, str | None, bytes]:
        connection.request("POST", "/add-checkpoint", body)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type"), answer.read()

    status, kind, body = ask(request(0, 7))
    assert (status, kind) == (200, "text/plain; charset=utf-8")
    assert parse_cosignatures(body)[0].name == "example.org/witness"
    assert ask(request(0, 9)) == (409, "text/x.tlog.size", b"7\n")
    assert ask(request(7, 9))[0] == 200
    assert ask(request(9, 12, fork(8)))[0] == 422
    assert ask(b"old 9\n\nno note\n")[0] == 400
    connection.request("GET", path)
    shown = connection.getresponse().read()
    assert shown.startswith(b"example.org/log\n9\n")
    connection.request("HEAD", path)
    answer = connection.getresponse()
    assert (int(answer.getheader("Content-Length") or 0), answer.read()) == (len(shown), b"")
    assert connection.sock is line
    assert lines[1] == "200 cosigned example.org/log at size 7"
    connection.close()


OK = request(0, 7)
POST = b"POST /add-checkpoint HTTP/1.1\r\nHost: w\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\r\n\r\n", []),
        (b"hello\r\n\r\n", [400]),
        (b"GET\r\n\r\n", [400]),
        (b"GET / HTTP/9.1\r\n\r\n", [400]),
        (b"GET / HTTP/x\r\n\r\n", [400]),
        (b"GET / HTTP/1.1\r\n\r\n", [404]),
        (b"GET /%2e%2e/witness.sqlite HTTP/1.1\r\n\r\n", [404]),
        (b"GET /../witness.sqlite HTTP/1.1\r\n\r\n", [404]),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", [400]),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200 + b"\r\n", [400]),
        (b"GET / HTTP/1.1\r\na: " + b"b" * 70_000 + b"\r\n\r\n", [400]),
        (b"GET / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\n\r\n", [404]),
        (b"DELETE / HTTP/1.1\r\n\r\n", [400]),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", [404]),
        (b"POST /add-checkpoint/ HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", [404]),
        (POST + b"\r\n" + OK, [400]),
        (POST + b"Content-Length: -1\r\n\r\n" + OK, [400]),
        (POST + b"Content-Length: 1e3\r\n\r\n" + OK, [400]),
        (POST + b"Content-Length: %d\r\nContent-Length: 3\r\n\r\n" % len(OK) + OK, [400]),
        (POST + b"Content-Length: 99999999999999999999\r\n\r\n" + OK, [400]),
        (POST + b"Content-Length: %d\r\n\r\n" % (MAX_REQUEST_BYTES + 1), [400]),
        (POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", [400]),
        (POST + b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n" % len(OK) + OK, [400]),
        (POST + b"Content-Length: 0\r\n\r\n", [400]),
        (POST + b"Content-Length: 900\r\n\r\n" + OK, []),
        (POST + b"Content-Length: %d\r\n\r\n" % len(OK) + OK[:-1], []),
        (b"GET /", [404]),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n", [400]),
    ],
)
def test_what_is_no_request_of_the_protocol_changes_nothing(start, folder, data, status) -> None:
    server, lines = start()
    assert statuses(raw(server, data)) == status
    assert held_size(folder) == 0
    assert not [line for line in lines if "ended with" in line]
    assert post(server.url, OK)[0] == 200


def test_a_body_beyond_the_limit_is_refused_and_the_client_can_read_why(start) -> None:
    server, _ = start()
    status, body = post(server.url, b"x" * 1_000_000)
    assert (status, body) == (400, b"a body of more than 524288 bytes\n")
    with socket.create_connection(server.server_address[:2], timeout=10) as line:
        line.sendall(POST + b"Content-Length: 1000000\r\n\r\n" + b"x" * 100_000)
        while line.recv(65_536):
            pass  # the answer is whole, and yet the line is not reset under a client that sends on
        for _ in range(3):
            line.sendall(b"x" * 100_000)
            time.sleep(0.01)


def test_a_dripping_client_is_cut_off_and_holds_nobody_up(start) -> None:
    server, _ = start(request_seconds=1.5)
    drip = socket.create_connection(server.server_address[:2], timeout=5)
    drip.sendall(POST + b"Content-Length: 100\r\n\r\n")
    began = time.monotonic()
    assert post(server.url, OK)[0] == 200
    while time.monotonic() - began < 30:
        try:
            drip.sendall(b"x")
        except OSError:
            break
        time.sleep(0.05)
    assert 1 < time.monotonic() - began < 20
    drip.close()


def test_silent_clients_take_their_places_for_seconds_only(start) -> None:
    server, _ = start(request_seconds=1.5, connections=2)
    silent = [socket.create_connection(server.server_address[:2]) for _ in range(2)]
    assert raw(server, b"") == (
        b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\nRetry-After: 5\r\n"
        b"Connection: close\r\n\r\nbusy\n"
    )
    for line in silent:
        line.settimeout(20)
        assert line.recv(1) == b""  # its time is over
    deadline = time.monotonic() + 20
    status = 503
    while status == 503 and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            status, _ = post(server.url, OK)
    assert status == 200
    for line in silent:
        line.close()


def test_clients_that_hang_up_leave_no_traceback(start, capfd) -> None:
    server, lines = start()
    for data in (b"", b"PO", POST, POST + b"Content-Length: 500\r\n\r\nold 0", OK):
        line = socket.create_connection(server.server_address[:2])
        line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        line.sendall(data)
        line.close()  # with a reset
    assert post(server.url, OK)[0] == 200
    assert not [line for line in lines if "ended with" in line]
    assert capfd.readouterr().err == ""


def test_fuzzed_requests_get_statuses_of_the_protocol_and_leave_no_trace(
    start, folder, capfd
) -> None:
    server, lines = start()
    assert post(server.url, OK)[0] == 200
    bodies = (request(7, 20), request(7, 20, fork(3)))
    draw, seen = random.Random(5), set()
    for number in range(250):
        # Half of the changes hit a good body, half the head before a fork's.
        body, is_head = bodies[number % 2], number % 2
        good = POST + b"Content-Length: %d\r\n\r\n" % len(body) + body
        head = len(good) - len(body)
        data = bytearray(good)
        for _ in range(draw.randint(1, 3)):
            at = draw.randrange(head) if is_head else draw.randrange(head, len(good)) % len(data)
            if draw.random() < 0.6:
                data[at] = draw.choice(b"\n\r \x00=+/A09\xff:HTP")
            else:
                data[at : at + draw.randint(1, 30)] = draw.randbytes(draw.randint(0, 3))
        if bytes(data) != good:
            seen.update(statuses(raw(server, bytes(data))))
    assert seen <= SPEC - {200}
    assert {400, 403, 404} <= seen
    assert held_size(folder) == 7
    assert not [line for line in lines if "ended with" in line]
    assert capfd.readouterr().err == ""


def test_a_witness_that_cannot_persist_says_so_and_signs_nothing(start, folder) -> None:
    server, lines = start()
    (folder / "witness.sqlite").rename(folder / "away")
    status, body = post(server.url, OK)
    assert (status, body) == (503, b"this witness cannot persist at the moment\n")
    assert "Restore its newest copy" in lines[0]
    (folder / "away").rename(folder / "witness.sqlite")
    assert post(server.url, OK)[0] == 200


def test_a_port_that_is_taken_is_one_clear_error(start, folder) -> None:
    server, _ = start()
    with pytest.raises(WitnessError, match="cannot listen on"):
        WitnessServer(load_witness(folder), "127.0.0.1", server.server_port)


def outcomes(urls: list[str], bodies: list[bytes]) -> list[tuple[int, bytes]]:
    """Post all bodies at once, spread over the addresses."""
    gate = threading.Barrier(len(bodies))

    def one(number: int) -> tuple[int, bytes]:
        gate.wait()
        return post(urls[number % len(urls)], bodies[number])

    with ThreadPoolExecutor(len(bodies)) as pool:
        return list(pool.map(one, range(len(bodies))))


def race(urls: list[str], rounds: int) -> None:
    """Of two logs that fork at each size, all asking at once, one wins and the other never."""
    tree, old = TREE, 0
    for size in range(5, 5 + 5 * rounds, 5):
        # Two histories from what is held: they differ in the last entry.
        other = Tree(tree.node(0, n) if n < size - 1 else fork(size).node(0, n) for n in range(64))
        rivals = (tree, other)
        answers = outcomes(urls, [request(old, size, rivals[n % 4 // 2]) for n in range(8)])
        assert {status for status, _ in answers} == {200, 409}
        assert all(body == b"%d\n" % size for status, body in answers if status == 409)
        (winner,) = {n % 4 // 2 for n, (status, _) in enumerate(answers) if status == 200}
        assert sum(status == 200 for status, _ in answers) == 1
        loser = rivals[1 - winner]
        assert post(urls[0], request(size, size, loser))[0] == 422
        tree, old = rivals[winner], size


def test_of_conflicting_checkpoints_at_once_exactly_one_is_cosigned(start) -> None:
    server, _ = start()
    race([server.url], 5)


class Process:
    """A witness in a process of its own."""

    def __init__(self, folder: Path, *command: str, under: Sequence[str] = ()) -> None:
        arguments = command or ("-m", "ledger_anchor.witness")
        self.process = subprocess.Popen(
            [*under, sys.executable, *arguments, str(folder)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout
        self.url = self.process.stdout.readline().strip()

    def end(self) -> None:
        """Close its input, as a parent that dies would."""
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(20)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert stream
            stream.close()


def test_two_processes_on_one_memory_do_not_cosign_both_sides_of_a_fork(folder) -> None:
    processes = [Process(folder), Process(folder)]
    try:
        race([process.url for process in processes], 4)
    finally:
        for process in processes:
            process.kill()


# The product has no hook for this: the child replaces the step that would answer.
KILLED_BEFORE_THE_ANSWER = """
import os, signal, sys
from pathlib import Path
from ledger_anchor.witness import server
server._Handler._send = lambda self, answer: os.kill(os.getpid(), signal.SIGKILL)
server.serve_witness(Path(sys.argv[1]), announce=lambda url: print(url, flush=True))
"""


def test_a_witness_killed_between_persisting_and_answering_still_refuses_the_fork(
    folder, start
) -> None:
    process = Process(folder, "-c", KILLED_BEFORE_THE_ANSWER)
    with pytest.raises((http.client.HTTPException, OSError)):
        post(process.url, request(0, 7))
    assert process.process.wait(10) == -signal.SIGKILL
    process.kill()
    server, _ = start()
    assert post(server.url, request(0, 7, fork(3))) == (409, b"7\n")
    assert post(server.url, request(7, 7, fork(3)))[0] == 422
    assert post(server.url, request(7, 9, fork(3)))[0] == 422
    assert post(server.url, request(7, 7))[0] == 200


def test_whatever_was_answered_is_still_known_after_kill_9_at_any_moment(folder) -> None:
    draw, answered = random.Random(2), 0
    for _ in range(3):
        process = Process(folder)
        threading.Timer(draw.uniform(0.005, 0.08), process.process.kill).start()
        try:
            while answered < 64:
                status, body = post(process.url, request(answered, answered + 1))
                answered = answered + 1 if status == 200 else int(body)
        except (http.client.HTTPException, OSError):
            pass
        process.kill()
        assert answered <= held_size(folder) <= answered + 1
    assert answered


@pytest.mark.parametrize("way", ["SIGTERM", "the parent is gone"])
def test_a_witness_ends_when_it_is_told_to(folder, way: str) -> None:
    process = Process(folder)
    assert post(process.url, OK)[0] == 200
    if way == "the parent is gone":
        process.end()
    else:
        process.process.send_signal(signal.SIGTERM)
    assert process.process.wait(10) == 0
    assert process.process.stderr
    assert process.process.stderr.read() == ""
    process.kill()


def can_trace() -> bool:
    """Whether strace is here and may trace."""
    try:
        done = subprocess.run(["strace", "-o", "/dev/null", "true"], check=False)
    except FileNotFoundError:
        return False
    return done.returncode == 0


tracing = pytest.mark.skipif(not can_trace(), reason="strace is missing or may not trace")


@tracing
def test_the_disk_has_it_before_the_client_has(folder, tmp_path) -> None:
    trace = tmp_path / "trace"
    calls = "trace=fsync,fdatasync,unlink,sendto"
    process = Process(folder, under=["strace", "-f", "-y", "-e", calls, "-o", str(trace)])
    assert post(process.url, OK)[0] == 200
    process.end()
    process.kill()
    words = trace.read_text()
    kinds = {
        "main file": f"<{folder}/witness.sqlite>) = 0",
        "end of the journal": f'unlink("{folder}/witness.sqlite-journal") = 0',
        "folder": f"<{folder}>) ",
        "answer": "HTTP/1.1 200 OK",
    }
    places = {name: words.rindex(text) for name, text in kinds.items()}
    assert sorted(places, key=lambda name: places[name]) == list(kinds)


@tracing
@pytest.mark.parametrize("fault", ["fsync,fdatasync:when=4", "unlink:when=1"])
def test_a_disk_that_fails_while_persisting_gets_no_signature_out(folder, start, fault) -> None:
    calls, _, when = fault.partition(":")
    inject = ["-e", f"trace={calls}", "-e", f"inject={calls}:error=EIO:{when}"]
    process = Process(folder, under=["strace", "-f", *inject, "-o", "/dev/null"])
    status, body = post(process.url, OK)
    assert (status, body) == (503, b"this witness cannot persist at the moment\n")
    process.end()
    process.kill()
    assert held_size(folder) == 0
    # It did not promise anything, so either history may still come; the other never after it.
    server, _ = start()
    assert post(server.url, request(0, 7, fork(3)))[0] == 200
    assert post(server.url, OK) == (409, b"7\n")
    assert post(server.url, request(7, 7))[0] == 422


def test_a_folder_that_is_none_is_one_clear_line(tmp_path) -> None:
    process = Process(tmp_path / "none")
    _, errors = process.process.communicate()
    assert process.process.returncode == 2
    assert errors == f"witness: there is no witness at {tmp_path / 'none'}: create one first\n"
