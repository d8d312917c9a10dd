"""The log's side of witnessing: ask witnesses, collect a quorum, publish what they signed.

What belongs here: requests, and judging each answer before it counts. What does not: the texts
(``protocol``) and who is needed (``ledger_anchor.notes.policy``). Witnesses are told the signed
checkpoint and hashes of the tree, nothing else: no entry, no cookie, no name of this program;
redirects and proxies are not followed.
"""

from __future__ import annotations

import contextlib
import http.client
import queue
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ledger_anchor.errors import (
    AnchorError,
    QuorumError,
    UnwitnessedError,
    WitnessError,
    WitnessRefusedError,
)
from ledger_anchor.notes.checkpoint import Checkpoint
from ledger_anchor.notes.note import Note, Signature
from ledger_anchor.notes.policy import CLOCK_TOLERANCE_SECONDS, Policy, Witness
from ledger_anchor.tlog.log_reader import CHECKPOINT, LogReader, LogView
from ledger_anchor.witness.protocol import (
    MAX_ANSWER_BYTES,
    SIZE_TYPE,
    SUBMIT_PATH,
    TEXT_TYPE,
    AddCheckpoint,
    parse_cosignatures,
    parse_size,
)

if TYPE_CHECKING:
    from ledger_anchor.tlog.storage import Storage

_ATTEMPTS = 3  # the first learns the witness's size; one more, should another log writer be faster
Prove = Callable[[int], Sequence[bytes]]


@dataclass(frozen=True)
class Outcome:
    """What became of asking one witness.

    Attributes:
        name: its name in the policy.
        words: what happened, in words.
        line: its cosignature; None if there is none.
        timestamp: time of the cosignature; None if there is none.
        status: HTTP status of a refusal; None if it was not one.
    """

    name: str
    words: str
    line: Signature | None = None
    timestamp: int | None = None
    status: int | None = None


@dataclass(frozen=True)
class Collected:
    """A checkpoint that enough witnesses have cosigned, and what each of them answered.

    Attributes:
        note: the cosigned checkpoint, the log's signature first.
        outcomes: one per witness, in the policy's order.
    """

    note: bytes
    outcomes: tuple[Outcome, ...]


def submit(
    witness: Witness,
    note: bytes,
    prove: Prove,
    *,
    old_size: int = 0,
    timeout_seconds: float = 10.0,
    clock: Callable[[], float] = time.time,
) -> Signature:
    """Ask one witness to cosign a checkpoint.

    Args:
        witness: its key and address, as a policy names them.
        note: the checkpoint, signed by its log.
        prove: gives the consistency proof from an older size to the checkpoint; asked for sizes
            above 0 and below the checkpoint's only.
        old_size: size of the checkpoint it has cosigned last, as far as the caller knows; a
            witness that knows better says so and is asked again.
        timeout_seconds: how long all of this may take.
        clock: seconds since 1970.

    Returns:
        The cosignature: verified, and timed within five minutes of the clock.

    Raises:
        WitnessRefusedError: if it refuses.
        WitnessError: if it cannot be reached, answers something else, with another key, with a
            signature that does not verify, or with a wrong time.
        LogError: if the log's files give no proof.
    """
    checkpoint = Checkpoint.parse(Note.parse(note).text)
    end = time.monotonic() + timeout_seconds
    for _ in range(_ATTEMPTS):
        is_grown = 0 < old_size < checkpoint.size
        request = AddCheckpoint(old_size, tuple(prove(old_size)) if is_grown else (), note)
        answer = _post(witness.url or "", request.format(), end - time.monotonic())
        if answer.status == 200:
            return _check_cosignature(answer.body, witness, checkpoint, int(clock()))
        size = _size_of_conflict(answer)
        if size is None or size == old_size:
            raise WitnessRefusedError(answer.status, answer.words())
        if size > checkpoint.size:
            raise WitnessRefusedError(
                answer.status,
                f"it has already cosigned this log at size {size}, above {checkpoint.size}: this "
                "checkpoint is old, or the log was rolled back",
                size,
            )
        old_size = size
    raise WitnessRefusedError(409, "it kept moving on while it was asked; ask again")


def _size_of_conflict(answer: _Response) -> int | None:
    is_size = answer.status == 409 and answer.content_type == SIZE_TYPE
    return parse_size(answer.body) if is_size else None


def _check_cosignature(
    body: bytes, witness: Witness, checkpoint: Checkpoint, now: int
) -> Signature:
    key = witness.key
    lines = [line for line in parse_cosignatures(body) if line.identity == (key.name, key.id)]
    if not lines:
        raise WitnessError(
            f"wrong key: it answered without a line of {key.name} (key id {key.id.hex()}), the "
            "key the policy names"
        )
    line = lines[0]
    if not key.verify(checkpoint.format().encode(), line.signature):
        raise WitnessError("bad signature: its cosignature does not verify")
    behind = now - (key.timestamp(line.signature) or 0)
    if abs(behind) > CLOCK_TOLERANCE_SECONDS:
        side = "behind" if behind > 0 else "ahead of"
        raise WitnessError(
            f"clock skew: its cosignature lies {abs(behind)} seconds {side} this machine's clock; "
            f"at most {CLOCK_TOLERANCE_SECONDS} are accepted. Compare both clocks"
        )
    return line


def collect(
    reader: LogReader,
    policy: Policy,
    *,
    note: bytes | None = None,
    timeout_seconds: float = 10.0,
    grace_seconds: float = 2.0,
    clock: Callable[[], float] = time.time,
) -> Collected:
    """Ask the witnesses of a policy, all at once, to cosign a log's checkpoint.

    Cosignatures that the checkpoint carries already do not count: what is returned says who
    answered now.

    Args:
        reader: the log; consistency proofs come from its tiles. What it trusts does not matter.
        policy: names the log's key, the witnesses with their addresses, and the quorum.
        note: the checkpoint; the log's current one, if not given.
        timeout_seconds: how long to wait for witnesses.
        grace_seconds: how long to wait for the others once the quorum is there.
        clock: seconds since 1970.

    Returns:
        The checkpoint with the log's signature first, then those of the witnesses.

    Raises:
        UnwitnessedError: if the quorum is not reached; it names each witness and what happened.
        NoteError: if the checkpoint is not one of a log of the policy.
        LogError, StorageError: if the log cannot be read.
    """
    given = reader.checkpoint_note() if note is None else note
    view = LogView(given, Policy(policy.log_keys).open(given), reader.storage.read)
    checkpoint = view.checkpoint
    keys = [log.key for log in policy.log_keys if log.key.name == checkpoint.origin]
    bare = Note.open(given, keys)
    asked = _Asked(view, bare.format().encode(), timeout_seconds, clock)
    outcomes = asked.wait(policy, grace_seconds)
    try:
        policy.check_quorum([item.name for item in outcomes if item.line], checkpoint)
    except QuorumError as error:
        answers = tuple((item.name, item.words) for item in outcomes)
        raise UnwitnessedError(str(error), answers) from error
    lines = [item.line for item in outcomes if item.line is not None]
    return Collected(bare.with_signatures(lines).format().encode(), outcomes)


class _Asked:
    """Requests under way: one thread per witness, none of which outlives its timeout for long."""

    def __init__(
        self,
        view: LogView,
        note: bytes,
        timeout_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._view = view
        self._note = note
        self._timeout = timeout_seconds
        self._clock = clock
        self._reading = threading.Lock()  # threads take turns with the log's files
        self._answers: queue.SimpleQueue[Outcome] = queue.SimpleQueue()

    def wait(self, policy: Policy, grace_seconds: float) -> tuple[Outcome, ...]:
        """Ask everybody; returns when all have answered or the time is over."""
        for witness in policy.witnesses:
            # Daemons: a name look-up cannot be cut short, and must not hold up the program's end.
            threading.Thread(target=self._ask, args=(witness,), daemon=True).start()
        end = time.monotonic() + self._timeout
        found: dict[str, Outcome] = {}
        is_met = policy.is_met_by(())
        while len(found) < len(policy.witnesses):
            try:
                answer = self._answers.get(timeout=max(0.0, end - time.monotonic()))
            except queue.Empty:
                break
            found[answer.name] = answer
            names = [name for name, item in found.items() if item.line]
            if not is_met and policy.is_met_by(names):
                is_met, end = True, min(end, time.monotonic() + grace_seconds)
        late = "no answer in time"
        return tuple(found.get(w.name) or Outcome(w.name, late) for w in policy.witnesses)

    def _ask(self, witness: Witness) -> None:
        if witness.url is None:
            self._answers.put(Outcome(witness.name, "the policy names no address of it"))
            return
        try:
            line = submit(
                witness,
                self._note,
                self._prove,
                timeout_seconds=self._timeout,
                clock=self._clock,
            )
        except AnchorError as error:
            status = error.status if isinstance(error, WitnessRefusedError) else None
            self._answers.put(Outcome(witness.name, str(error), status=status))
        else:
            timestamp = witness.key.timestamp(line.signature)
            self._answers.put(Outcome(witness.name, "cosigned", line, timestamp))

    def _prove(self, old_size: int) -> Sequence[bytes]:
        with self._reading:
            return self._view.consistency(old_size)


def publish_cosigned(storage: Storage, note: bytes, policy: Policy) -> bool:
    """Put a cosigned checkpoint where the log's readers find it; the caller holds the log's lock.

    Cosignatures that the published checkpoint carries already are kept, unless a witness has given
    a newer one. A log that has moved on is left as it is: it is never rolled back.

    Args:
        storage: the log's files.
        note: the cosigned checkpoint.
        policy: must be satisfied by it.

    Returns:
        Whether it was published: False if the log has another checkpoint by now.

    Raises:
        NoteError: if the note does not satisfy the policy, or what is published is no note.
        StorageError: if the files cannot be read or written.
    """
    policy.open(note)
    published = storage.read(CHECKPOINT)
    if published is None:
        return False
    fresh, current = Note.parse(note), Note.parse(published)
    if current.text != fresh.text:
        return False
    keys = {(w.key.name, w.key.id): w.key for w in policy.witnesses}
    text, renewed = fresh.text.encode(), {line.identity for line in fresh.signatures}
    kept = [
        line
        for line in current.signatures
        if line.identity not in renewed
        # One line of a known key that does not verify would spoil the whole note.
        and (line.identity not in keys or keys[line.identity].verify(text, line.signature))
    ]
    storage.write([(CHECKPOINT, fresh.with_signatures(kept).format().encode())])
    return True


@dataclass(frozen=True)
class _Response:
    status: int
    content_type: str
    body: bytes

    def words(self) -> str:
        """The first line of what was answered, fit for a terminal."""
        text = self.body[:200].decode("ascii", "replace").strip().split("\n")[0]
        return "".join(c for c in text if c.isprintable()) or "without a reason"


def _post(url: str, body: bytes, seconds: float) -> _Response:
    """One request on a connection of its own, answered before the time is over.

    Raises:
        WitnessError: if the address is none, or there is no whole answer in time.
    """
    try:
        where = urllib.parse.urlsplit(url)
        connection = _connection(where, max(seconds, 0.01))
        with contextlib.closing(connection), _cut_after(connection, seconds):
            path = where.path.rstrip("/") + SUBMIT_PATH
            connection.request("POST", path, body, {"Content-Type": TEXT_TYPE})
            response = connection.getresponse()
            answer = response.read(MAX_ANSWER_BYTES + 1)
            if response.length and len(answer) <= MAX_ANSWER_BYTES:
                raise ConnectionError("its answer broke off")
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise WitnessError(f"cannot be reached at {url}: {reason}") from error
    if len(answer) > MAX_ANSWER_BYTES:
        raise WitnessError(f"an answer of more than {MAX_ANSWER_BYTES} bytes from {url}")
    return _Response(response.status, response.getheader("Content-Type", ""), answer)


def _connection(where: urllib.parse.SplitResult, seconds: float) -> http.client.HTTPConnection:
    is_plain = not (where.query or where.fragment or where.username or where.password)
    if where.scheme not in {"http", "https"} or not where.hostname or not is_plain:
        raise ValueError("expected http(s)://host[:port][/path] and nothing else")
    if where.scheme == "https":
        return http.client.HTTPSConnection(where.hostname, where.port, timeout=seconds)
    return http.client.HTTPConnection(where.hostname, where.port, timeout=seconds)


@contextlib.contextmanager
def _cut_after(connection: http.client.HTTPConnection, seconds: float) -> Iterator[None]:
    """Connect, and cut the line when the time is over.

    The connection's own timeout counts from byte to byte: a witness could drip for ever.
    """
    connection.connect()
    line = connection.sock
    timer = threading.Timer(max(seconds, 0.01), _cut, [line])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _cut(line: socket.socket) -> None:
    with contextlib.suppress(OSError):
        line.shutdown(socket.SHUT_RDWR)
