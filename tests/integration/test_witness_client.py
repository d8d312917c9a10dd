"""The log's side: a quorum of witnesses, each answer judged, and publishing what they signed."""

from __future__ import annotations

import dataclasses
import http.server
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ledger_anchor.errors import (
    CheckpointError,
    NoteError,
    QuorumError,
    SignatureError,
    UnwitnessedError,
    WitnessError,
    WitnessRefusedError,
)
from ledger_anchor.files import locked
from ledger_anchor.notes.keys import KeyKind, SignerKey
from ledger_anchor.notes.note import Note, Signature
from ledger_anchor.notes.policy import Policy, Witness
from ledger_anchor.tlog.log import LogWriter
from ledger_anchor.tlog.log_reader import LogReader
from ledger_anchor.tlog.storage import LocalStorage
from ledger_anchor.witness.client import collect, publish_cosigned, submit
from ledger_anchor.witness.config import init_witness, load_witness
from ledger_anchor.witness.protocol import AddCheckpoint
from ledger_anchor.witness.server import WitnessServer

LOG = SignerKey("example.org/log", bytes(range(32)))
NAMES = ("government", "employers", "auditors")
Answer = tuple[int, dict[str, str], bytes]


def writer(folder: Path) -> LogWriter:
    return LogWriter(folder / "log", LOG, folder / "state", folder / "lock", 5.0)


def reader(folder: Path) -> LogReader:
    return LogReader(folder / "log", LOG.verifier())


@pytest.fixture
def log(tmp_path: Path) -> LogWriter:
    made = writer(tmp_path)
    made.append([b"a", b"b", b"c"])
    return made


class Running:
    """Three witnesses; the auditors' key in the policy is an ML-DSA-44 one."""

    def __init__(self, folder: Path) -> None:
        self.servers: dict[str, WitnessServer] = {}
        found = []
        for name in NAMES:
            keys = init_witness(folder / name, f"example.org/{name}", logs=[LOG.verifier()])
            self.start(folder / name)
            found.append(Witness(name, keys[name == "auditors"], self.servers[name].url))
        self.policy = policy(found)

    def start(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        server = WitnessServer(load_witness(folder, clock))
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        self.servers[folder.name] = server

    def stop(self, *names: str) -> None:
        for name in names:
            server = self.servers.pop(name)
            server.shutdown()
            server.server_close()


def policy(witnesses: Sequence[Witness], threshold: int = 2) -> Policy:
    lines = [f"log {LOG.verifier().format()}"]
    lines += [f"witness {w.name} {w.key.format()} {w.url or ''}" for w in witnesses]
    lines += [f"group all-three {threshold} {' '.join(w.name for w in witnesses)}"]
    return Policy.parse("\n".join([*lines, "quorum all-three\n"]))


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    made = Running(tmp_path)
    yield made
    made.stop(*made.servers)


@pytest.fixture
def stub() -> Iterator[Callable[[Callable[..., Answer | None]], str]]:
    """A server that answers whatever a test wants; ``None`` closes the connection."""
    servers = []

    def serve(answer: Callable[..., Answer | None]) -> str:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                found = answer(self, body)
                if found is not None:
                    self.send_response(found[0])
                    for name, value in found[1].items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(found[2])

            do_GET = do_POST  # noqa: N815 - the name that http.server asks for

            def log_message(self, *_: Any) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_three_witnesses_cosign_and_readers_with_the_policy_accept(
    tmp_path: Path, log: LogWriter, running: Running
) -> None:
    found = collect(reader(tmp_path), running.policy)
    assert [item.words for item in found.outcomes] == ["cosigned"] * 3
    lines = Note.parse(found.note).signatures
    assert [line.name for line in lines] == [
        "example.org/log",
        *(f"example.org/{n}" for n in NAMES),
    ]
    with pytest.raises(QuorumError):
        LogReader(tmp_path / "log", running.policy).checkpoint()
    with locked(log.lock_path, 5):
        assert publish_cosigned(log.storage, found.note, running.policy)
    assert (tmp_path / "log" / "checkpoint").read_bytes() == found.note
    strict = LogReader(tmp_path / "log", running.policy)
    assert [item.name for item in strict.view().verified.cosigners] == list(NAMES)
    assert strict.entry(1) == b"b"
    # Who trusts the log's key alone reads on, and so does its writer.
    assert reader(tmp_path).verify_files().size == 3
    assert log.append([]) == []
    assert (tmp_path / "log" / "checkpoint").read_bytes() == found.note
    log.append([b"d"])
    assert reader(tmp_path).size == 4
    with pytest.raises(QuorumError):
        strict.checkpoint()


def test_a_log_that_has_grown_is_cosigned_again_from_where_each_witness_stands(
    tmp_path: Path, log: LogWriter, running: Running
) -> None:
    collect(reader(tmp_path), running.policy)
    running_auditors = running.servers["auditors"].url
    running.stop("auditors")
    log.append([str(number).encode() for number in range(300)])
    found = collect(reader(tmp_path), running.policy)
    assert [item.words == "cosigned" for item in found.outcomes] == [True, True, False]
    log.append([b"more"])
    running.start(tmp_path / "auditors")
    text = running.policy.format().replace(running_auditors, running.servers["auditors"].url)
    found = collect(reader(tmp_path), Policy.parse(text))
    assert [item.words for item in found.outcomes] == ["cosigned"] * 3
    assert Policy.parse(text).open(found.note).checkpoint.size == 304


def test_two_of_three_are_enough_and_one_is_not(
    tmp_path: Path, log: LogWriter, running: Running
) -> None:
    running.stop("auditors")
    found = collect(reader(tmp_path), running.policy)
    assert found.outcomes[2].words.endswith("Connection refused")
    assert len(running.policy.open(found.note).cosigners) == 2
    # That the published checkpoint carries two cosignatures already makes nobody answer now.
    assert publish_cosigned(log.storage, found.note, running.policy)
    running.stop("employers")
    with pytest.raises(UnwitnessedError, match="has 1 and needs 2 of 3") as caught:
        collect(reader(tmp_path), running.policy)
    told = dict(caught.value.answers)
    assert told["government"] == "cosigned"
    assert told["employers"].startswith("cannot be reached at http://127.0.0.1:")
    assert all(name in str(caught.value) for name in NAMES)
    assert (tmp_path / "log" / "checkpoint").read_bytes() == found.note


def test_a_fork_and_a_rollback_get_no_cosignature(
    tmp_path: Path, log: LogWriter, running: Running
) -> None:
    older = reader(tmp_path).checkpoint_note()
    log.append([b"d"])
    collect(reader(tmp_path), running.policy)
    forged = writer(tmp_path / "forged")
    forged.append([b"a", b"b", b"c", b"D", b"e"])
    with pytest.raises(UnwitnessedError) as caught:
        collect(reader(tmp_path / "forged"), running.policy)
    assert all("refused with status 422" in words for _, words in caught.value.answers)
    with pytest.raises(UnwitnessedError) as caught:
        collect(reader(tmp_path), running.policy, note=older)
    assert all("already cosigned this log at size 4" in words for _, words in caught.value.answers)


def test_witnesses_are_told_the_checkpoint_and_hashes_and_nothing_else(
    tmp_path: Path, log: LogWriter, running: Running, stub, monkeypatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    found = collect(reader(tmp_path), running.policy)
    publish_cosigned(log.storage, found.note, running.policy)
    seen: list[tuple[list[str], str, bytes]] = []

    def answer(handler: Any, body: bytes) -> Answer:
        seen.append((sorted(handler.headers.keys()), handler.path, body))
        return (409, {"Content-Type": "text/x.tlog.size"}, b"2\n")

    target = Witness("w", running.policy.witnesses[0].key, stub(answer) + "/some/prefix/")
    with pytest.raises(UnwitnessedError):
        collect(reader(tmp_path), policy([target], 1))
    first, second = seen
    assert {tuple(names) for names, _, _ in seen} == {
        ("Accept-Encoding", "Content-Length", "Content-Type", "Host")
    }
    assert {path for _, path, _ in seen} == {"/some/prefix/add-checkpoint"}
    requests = [AddCheckpoint.parse(first[2]), AddCheckpoint.parse(second[2])]
    assert [(item.old_size, len(item.proof)) for item in requests] == [(0, 0), (2, 1)]
    assert all(len(Note.parse(item.note).signatures) == 1 for item in requests)


SIZE = {"Content-Type": "text/x.tlog.size"}
MISBEHAVIOUR: list[tuple[str, Callable[..., Answer | None], str]] = [
    ("an error", lambda *_: (500, {}, b"\x1b[31moh\nno"), "refused with status 500: [31moh"),
    ("a redirect", lambda *_: (307, {"Location": "http://127.0.0.1:9/"}, b""), "status 307"),
    ("silence", lambda *_: None, "cannot be reached"),
    ("no lines", lambda *_: (200, {}, b"cosigned!\n"), "the answer is not signature lines"),
    ("nothing", lambda *_: (200, {}, b""), "the answer is not signature lines"),
    ("too much", lambda *_: (200, {}, b"x" * 600_000), "more than 524288 bytes"),
    ("a conflict without a size", lambda *_: (409, {}, b"3\n"), "refused with status 409: 3"),
    ("a size that is none", lambda *_: (409, SIZE, b"three\n"), "size: not a decimal"),
    ("the same size again", lambda *_: (409, SIZE, b"0\n"), "refused with status 409"),
    ("a size above", lambda *_: (409, SIZE, b"9\n"), "already cosigned this log at size 9"),
]


@pytest.mark.parametrize(("answer", "words"), [(a, w) for _, a, w in MISBEHAVIOUR],
                         ids=[case[0] for case in MISBEHAVIOUR])  # fmt: skip
def test_a_witness_that_answers_something_else_is_named_with_what_it_did(
    tmp_path: Path, log: LogWriter, running: Running, stub, answer, words: str
) -> None:
    broken = dataclasses.replace(running.policy.witnesses[0], url=stub(answer))
    trusting = policy([broken, *running.policy.witnesses[1:]], 3)
    with pytest.raises(UnwitnessedError) as caught:
        collect(reader(tmp_path), trusting)
    told = dict(caught.value.answers)
    assert words in told["government"]
    assert (told["employers"], told["auditors"]) == ("cosigned", "cosigned")
    assert str(caught.value).isprintable()


def test_a_witness_that_keeps_moving_is_asked_three_times(log: LogWriter, tmp_path, stub) -> None:
    sizes = iter((1, 2, 3, 4))

    def answer(*_: Any) -> Answer:
        return 409, SIZE, b"%d\n" % next(sizes)

    key = SignerKey("w", bytes(32), KeyKind.ED25519_COSIGNATURE).verifier()
    note = reader(tmp_path).checkpoint_note()
    with pytest.raises(WitnessRefusedError, match="kept moving on"):
        submit(Witness("w", key, stub(answer)), note, reader(tmp_path).consistency)
    assert next(sizes) == 4


def test_a_wrong_key_a_bad_signature_and_a_wrong_clock_are_told_apart(
    tmp_path: Path, log: LogWriter, running: Running, stub
) -> None:
    read = reader(tmp_path)
    note, prove = read.checkpoint_note(), read.consistency
    asked = running.policy.witnesses[0]
    stranger = SignerKey("example.org/government", bytes(32), KeyKind.ED25519_COSIGNATURE)
    with pytest.raises(WitnessError, match=r"wrong key: .*example\.org/government"):
        submit(dataclasses.replace(asked, key=stranger.verifier()), note, prove)

    good = submit(asked, note, prove, old_size=3)
    bad = Signature(good.name, good.key_id, good.signature[:-1] + bytes([good.signature[-1] ^ 1]))
    for lines in ([bad], [bad, good]):
        body = "".join(line.format() for line in lines).encode()
        lying = dataclasses.replace(asked, url=stub(lambda *_, body=body: (200, {}, body)))
        with pytest.raises(WitnessError, match="bad signature"):
            submit(lying, note, prove)
    beside = Signature.by(stranger, Note.parse(note).text.encode(), 1).format() + good.format()
    among = dataclasses.replace(asked, url=stub(lambda *_: (200, {}, beside.encode())))
    assert submit(among, note, prove) == good

    now = time.time()
    assert submit(asked, note, prove, old_size=3, clock=lambda: now + 290)
    for offset, words in ((400, "40[01] seconds behind"), (-400, "(400|399) seconds ahead of")):
        with pytest.raises(WitnessError, match=f"clock skew: .* lies {words}"):
            submit(asked, note, prove, old_size=3, clock=lambda offset=offset: now + offset)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (None, "the policy names no address"),
        ("ftp://127.0.0.1/", "expected http"),
        ("http://user:word@127.0.0.1/", "expected http"),
        ("http://127.0.0.1/?a=b", "expected http"),
        ("http://", "expected http"),
        ("http://127.0.0.1:99999/", "cannot be reached"),
        ("http://[::1/", "cannot be reached"),
    ],
)
def test_an_address_that_is_none_is_that_witness_s_problem_only(
    tmp_path: Path, log: LogWriter, running: Running, url: str | None, words: str
) -> None:
    odd = dataclasses.replace(running.policy.witnesses[0], url=url)
    asked = dataclasses.replace(running.policy, witnesses=(odd, *running.policy.witnesses[1:]))
    found = collect(reader(tmp_path), asked)
    assert words in found.outcomes[0].words
    assert [item.words for item in found.outcomes[1:]] == ["cosigned", "cosigned"]


def test_a_slow_witness_is_waited_for_only_until_the_quorum_and_a_grace(
    tmp_path: Path, log: LogWriter, running: Running, stub
) -> None:
    over = threading.Event()

    def drip(handler: Any, _body: bytes) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
        while not over.wait(0.05):
            handler.wfile.write(b"x")
            handler.wfile.flush()

    slow = dataclasses.replace(running.policy.witnesses[0], url=stub(drip))
    try:
        two_of_three = policy([slow, *running.policy.witnesses[1:]])
        began = time.monotonic()
        found = collect(reader(tmp_path), two_of_three, timeout_seconds=60, grace_seconds=0.1)
        assert time.monotonic() - began < 20
        assert found.outcomes[0].words == "no answer in time"
        with pytest.raises(WitnessError, match="cannot be reached"):
            submit(slow, reader(tmp_path).checkpoint_note(), lambda _: [], timeout_seconds=0.4)
        with pytest.raises(UnwitnessedError, match=r"government: (no answer in time|cannot)"):
            collect(reader(tmp_path), policy(two_of_three.witnesses, 3), timeout_seconds=3)
    finally:
        over.set()


def test_a_checkpoint_the_policy_does_not_know_is_not_sent_anywhere(
    tmp_path: Path, log: LogWriter, running: Running
) -> None:
    stranger = SignerKey("example.org/else", bytes(32))
    other = LogWriter(tmp_path / "else", stranger, tmp_path / "s2", tmp_path / "l2", 5.0)
    other.append([b"a"])
    with pytest.raises(CheckpointError, match="another log"):
        collect(LogReader(tmp_path / "else", stranger.verifier()), running.policy)
    forged = reader(tmp_path).checkpoint_note().replace(b"\n3\n", b"\n4\n")
    with pytest.raises(SignatureError):
        collect(reader(tmp_path), running.policy, note=forged)
    assert all(
        running.servers[name].witness.latest(path) is None
        for name in NAMES
        for path in running.servers[name].witness._paths
    )


# -- publishing ------------------------------------------------------------------------------------


def test_a_log_that_moved_on_is_not_rolled_back(
    tmp_path: Path, log: LogWriter, running: Running
) -> None:
    found = collect(reader(tmp_path), running.policy)
    log.append([b"d"])
    newer = (tmp_path / "log" / "checkpoint").read_bytes()
    assert not publish_cosigned(log.storage, found.note, running.policy)
    assert (tmp_path / "log" / "checkpoint").read_bytes() == newer
    empty = LocalStorage(tmp_path / "empty")
    assert not publish_cosigned(empty, found.note, running.policy)
    assert not (tmp_path / "empty").exists()


def test_only_what_satisfies_the_policy_is_published(
    tmp_path: Path, log: LogWriter, running: Running
) -> None:
    before = reader(tmp_path).checkpoint_note()
    note = Note.parse(collect(reader(tmp_path), running.policy).note)
    too_few = Note(note.text, note.signatures[:2])
    forged = Note(note.text.replace("\n3\n", "\n2\n"), note.signatures)
    for wrong in (before, too_few.format().encode(), forged.format().encode(), b"no note"):
        with pytest.raises(NoteError):
            publish_cosigned(log.storage, wrong, running.policy)
    assert reader(tmp_path).checkpoint_note() == before


def test_earlier_cosignatures_of_the_same_checkpoint_stay(
    tmp_path: Path, log: LogWriter, running: Running
) -> None:
    first = collect(reader(tmp_path), running.policy)
    assert publish_cosigned(log.storage, first.note, running.policy)
    # A line of a key outside this policy stays too; one of a known key that fails does not.
    other = SignerKey("example.org/other", bytes(32), KeyKind.ED25519_COSIGNATURE)
    published = Note.parse(reader(tmp_path).checkpoint_note())
    line = Signature.by(other, published.text.encode(), 5)
    broken = dataclasses.replace(published.signatures[3], signature=bytes(2428))
    odd = Note(published.text, (*published.signatures[:3], broken, line))
    (tmp_path / "log" / "checkpoint").write_text(odd.format())
    running.stop("auditors")
    again = collect(reader(tmp_path), running.policy)
    assert publish_cosigned(log.storage, again.note, running.policy)
    names = [s.name for s in Note.parse(reader(tmp_path).checkpoint_note()).signatures]
    assert names == [LOG.name, "example.org/government", "example.org/employers", other.name]
    assert publish_cosigned(log.storage, first.note, running.policy)
    assert len(LogReader(tmp_path / "log", running.policy).view().verified.cosigners) == 3
    assert publish_cosigned(log.storage, again.note, running.policy)
    assert len(LogReader(tmp_path / "log", running.policy).view().verified.cosigners) == 3
