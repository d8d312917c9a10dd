"""Three witnesses on this machine: what they sign, what they refuse, and what a quorum needs.

What belongs here: the demonstration behind ``tracient witness demo``. What does not: witnesses
themselves (``ledger_anchor.witness``). The witnesses are processes of their own on loopback ports
and end with the demo; their keys and memory stay in the vault, so that the next demo goes on from
there. Witnesses that mean something to others run elsewhere, with other people's keys.
"""

from __future__ import annotations

import contextlib
import select
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ledger_anchor import SnapshotStore
from ledger_anchor.errors import (
    AnchorError,
    KeyFormatError,
    LogMissingError,
    PolicyError,
    QuorumError,
    WitnessRefusedError,
)
from ledger_anchor.files import PRIVATE_MODE, locked, read_bytes, write_atomic
from ledger_anchor.notes.checkpoint import Checkpoint
from ledger_anchor.notes.keys import SignerKey, VerifierKey
from ledger_anchor.notes.policy import Group, Log, Policy, Witness
from ledger_anchor.tlog.log import LogReader
from ledger_anchor.tree import (
    NodeSource,
    consistency_proof,
    leaf_hash,
    node_hash,
    range_root,
)
from ledger_anchor.witness.client import Collected, Prove, collect, publish_cosigned, submit
from ledger_anchor.witness.config import init_witness, load_witness, watch
from orchestration.home import Home, HomeError

NAMES = ("government", "employers", "auditors")
_QUORUM = "two-of-three"
# Reserved for names that lead nowhere (RFC 2606): nobody takes these keys for somebody's.
_DOMAIN = "witness-demo.invalid"
_POLICY_HEAD = """\
# Written by `tracient witness demo`. Its three witnesses ran on one machine for some seconds: their
# addresses below are temporary, and their keys lie in this home's vault, so their signatures show
# how witnessing works and prove nothing to others. For real ones put their operators' keys here.
"""
_START_SECONDS = 60.0
_ATTEMPTS = 3


@dataclass(frozen=True)
class Signed:
    """What a witness answered to the home's checkpoint."""

    name: str
    vkey: str
    url: str
    words: str
    timestamp: int | None


@dataclass(frozen=True)
class Refusal:
    """What a witness answered to a checkpoint that it must refuse; status None: it signed it."""

    attempt: str
    name: str
    status: int | None
    words: str

    @property
    def is_ok(self) -> bool:
        """Whether it was refused for what it is."""
        return self.status in {409, 422}


@dataclass(frozen=True)
class Quorum:
    """Whether a quorum was reached with some witnesses stopped."""

    stopped: tuple[str, ...]
    is_reached: bool
    is_ok: bool
    words: str


@dataclass(frozen=True)
class DemoReport:
    """What the demo did and saw."""

    origin: str
    size: int
    root: str
    policy: str
    checkpoint: str
    signed: tuple[Signed, ...]
    refusals: tuple[Refusal, ...]
    quorums: tuple[Quorum, ...]

    @property
    def is_ok(self) -> bool:
        """Whether everything came out as it must."""
        return (
            all(item.timestamp is not None for item in self.signed)
            and all(item.is_ok for item in self.refusals)
            and all(item.is_ok for item in self.quorums)
        )


def run_demo(home: Home) -> DemoReport:
    """Start three witnesses, cosign the home's checkpoint 2-of-3, show refusals, stop all.

    Args:
        home: a home with a log.

    Returns:
        What was done and seen.

    Raises:
        HomeError: if nothing is anchored in the home, it is busy, it has a policy of its own, or a
            witness does not start.
        AnchorError: if the log's files, or what the witnesses hold, do not fit together.
    """
    store = SnapshotStore(home.root)
    try:
        size = store.reader().size
    except LogMissingError:
        size = 0
    if not size:
        raise HomeError(
            f"{home.root}: expected a home whose log holds entries; found nothing anchored yet. "
            "Run `tracient run` (or `make run`) first, or name another home with --home DIR."
        )
    with home.writing("tracient witness demo"), contextlib.ExitStack() as stack:
        return _Demo(home, store, stack).run()


class _Demo:
    def __init__(self, home: Home, store: SnapshotStore, stack: contextlib.ExitStack) -> None:
        self._lock = store.vault.lock_path
        self._reader = store.reader()
        self._view = self._reader.view()
        self._folder = home.vault / "anchor" / "witness-demo"
        self._policy_file = home.root / "anchors" / "witnesses" / "policy"
        self._refuse_foreign_policy()
        self._twin = self._twin_key()
        self._keys = {name: self._witness_key(name) for name in NAMES}
        started = {name: stack.enter_context(_process(self._folder / name)) for name in NAMES}
        self._processes = started
        urls = {name: _address_of(process, name) for name, process in started.items()}
        self._witnesses = tuple(Witness(name, self._keys[name], urls[name]) for name in NAMES)
        log = Log(self._view.verified.log_key)
        group = Group(_QUORUM, "2", NAMES)
        self._policy = Policy((log,), self._witnesses, (group,), _QUORUM)

    def run(self) -> DemoReport:
        collected = self._publish()
        write_atomic(self._policy_file, (_POLICY_HEAD + self._policy.format()).encode())
        # What readers with the policy see from now on; raises if they could not.
        checkpoint = LogReader(self._reader.storage, self._policy).checkpoint()
        refusals = self._forgeries()
        quorums = [self._quorum_without("auditors"), self._quorum_without("employers")]
        signed = [
            Signed(w.name, w.key.format(), w.url or "", outcome.words, outcome.timestamp)
            for w, outcome in zip(self._witnesses, collected.outcomes, strict=True)
        ]
        return DemoReport(
            checkpoint.origin,
            checkpoint.size,
            checkpoint.root.hex(),
            str(self._policy_file),
            f"{self._reader.storage.location}/checkpoint",
            tuple(signed),
            tuple(refusals),
            tuple(quorums),
        )

    def _publish(self) -> Collected:
        for _ in range(_ATTEMPTS):
            # All three are to be seen: a quorum alone is not waited for.
            collected = collect(
                self._reader, self._policy, timeout_seconds=60.0, grace_seconds=60.0
            )
            with locked(self._lock, 60.0):
                if publish_cosigned(self._reader.storage, collected.note, self._policy):
                    return collected
        raise HomeError(
            "the log kept growing while it was cosigned. Run the demo again when it rests"
        )

    def _quorum_without(self, name: str) -> Quorum:
        """Stop one more witness, and ask those that are left."""
        _stop(self._processes.pop(name))
        stopped = tuple(other for other in NAMES if other not in self._processes)
        must_reach = len(stopped) == 1
        try:
            collect(self._reader, self._policy, note=self._view.note)
        except QuorumError as error:
            return Quorum(stopped, False, not must_reach, str(error))
        words = f"the checkpoint is cosigned by {' and '.join(self._processes)}"
        return Quorum(stopped, True, must_reach, words)

    # -- forgeries ------------------------------------------------------------------------------

    def _forgeries(self) -> list[Refusal]:
        """Submit what a thief of a log's key could sign.

        It is signed with the key of a twin log, which holds the same entries under another name:
        the key of this home never signs what contradicts its log, not even in a demo.
        """
        log, size = self._view.tree, self._view.size
        forged = _Rewritten(log)
        cases: Sequence[tuple[str, Checkpoint, int, Prove]] = (
            (
                f"fork: another entry {size - 1}, the same size",
                self._twin_at(size, range_root(forged, 0, size)),
                size,
                lambda _: (),
            ),
            (
                f"fork: another entry {size - 1}, and one entry more",
                self._twin_at(size + 1, range_root(forged, 0, size + 1)),
                size,
                lambda old: consistency_proof(forged, old, size + 1),
            ),
            (
                "rollback: the log without its newest entry",
                self._twin_at(size - 1, range_root(log, 0, size - 1)),
                size - 1,
                lambda _: (),
            ),
        )
        true_twin = self._sign(self._twin_at(size, range_root(log, 0, size)))
        found = []
        for witness in self._witnesses:
            submit(witness, true_twin, self._view.consistency)
            found += [
                self._try(attempt, witness, self._sign(checkpoint), old_size, prove)
                for attempt, checkpoint, old_size, prove in cases
            ]
        return found

    def _twin_at(self, size: int, root: bytes) -> Checkpoint:
        return Checkpoint(self._twin.name, size, root)

    def _sign(self, checkpoint: Checkpoint) -> bytes:
        return checkpoint.sign(self._twin).encode()

    @staticmethod
    def _try(attempt: str, witness: Witness, note: bytes, old_size: int, prove: Prove) -> Refusal:
        try:
            submit(witness, note, prove, old_size=old_size)
        except WitnessRefusedError as error:
            return Refusal(attempt, witness.name, error.status, error.reason)
        except AnchorError as error:
            return Refusal(attempt, witness.name, None, str(error))
        return Refusal(attempt, witness.name, None, "it was cosigned, which must not be")

    # -- keys and files -------------------------------------------------------------------------

    def _twin_key(self) -> SignerKey:
        """The key of the twin log of this home's log; drawn by the first demo."""
        name = f"{_DOMAIN}/twin-of-{self._view.verified.log_key.id.hex()}"
        path = self._folder / "twin.key"
        raw = read_bytes(path)
        signer = None if raw is None else SignerKey.parse(raw.decode("ascii", "replace").strip())
        if signer is None or signer.name != name:
            signer = SignerKey.generate(name)
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomic(path, signer.format().encode() + b"\n", PRIVATE_MODE)
        return signer

    def _witness_key(self, name: str) -> VerifierKey:
        """The key that the policy names: an ML-DSA-44 one for the auditors, to show both kinds.

        Every witness has both keys and answers with both signatures.
        """
        folder, logs = self._folder / name, [self._view.verified.log_key, self._twin.verifier()]
        if not folder.exists():
            init_witness(folder, f"{_DOMAIN}/{name}", logs=logs)
        watch(folder, logs)
        ed25519, ml_dsa = (signer.verifier() for signer in load_witness(folder).signers)
        return ml_dsa if name == "auditors" else ed25519

    def _refuse_foreign_policy(self) -> None:
        raw = read_bytes(self._policy_file)
        if raw is None:
            return
        with contextlib.suppress(PolicyError, KeyFormatError):
            named = {witness.key for witness in Policy.parse(raw).witnesses}
            folders = [self._folder / name for name in NAMES if (self._folder / name).exists()]
            ours = {s.verifier() for folder in folders for s in load_witness(folder).signers}
            if named and named <= ours:
                return
        raise HomeError(
            f"{self._policy_file}: expected no policy, or one of an earlier demo; found another, "
            "which the demo would replace. Run the demo on a copy of this home. Nothing was changed"
        )


class _Rewritten:
    """A log with its last entry replaced, and one entry more: what a forger would build."""

    def __init__(self, log: NodeSource) -> None:
        self._log = log
        self.size = log.size + 1

    def node(self, level: int, index: int) -> bytes:
        """Hash of a complete subtree: the true log's, as long as it ends before the forgery."""
        if (index + 1) << level < self._log.size:
            return self._log.node(level, index)
        if level == 0:
            return leaf_hash(b"forged entry %d" % index)
        return node_hash(self.node(level - 1, 2 * index), self.node(level - 1, 2 * index + 1))


@contextlib.contextmanager
def _process(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A witness in a process of its own; it ends with the block, or when this process dies."""
    command = [sys.executable, "-m", "ledger_anchor.witness", str(folder)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
        finally:
            _stop(process)


def _stop(process: subprocess.Popen[str]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _address_of(process: subprocess.Popen[str], name: str) -> str:
    """The address that a witness prints when it is ready."""
    output: IO[str] | None = process.stdout
    if output is not None and select.select([output], [], [], _START_SECONDS)[0]:
        address = output.readline().strip()
        if address:
            return address
    _stop(process)
    reason = process.stderr.read().strip() if process.stderr is not None else ""
    raise HomeError(f"the witness {name} did not start: {reason or 'no answer in time'}")


# -- words -----------------------------------------------------------------------------------------


def print_demo(console: Console, report: DemoReport) -> None:
    """Print the report for a person.

    Args:
        console: where to.
        report: what ``run_demo`` returned.
    """

    def say(line: str) -> None:
        console.print(line, soft_wrap=True, highlight=False)

    head = f"{escape(report.origin)}: {report.size} entries, root {report.root[:16]}…"
    say(f"[bold]Checkpoint[/] of {head}")
    say("\n[bold]Cosigned[/] by three witnesses, each a process of its own on this machine")
    table = _table("witness", "answer", "its clock (UTC)")
    for signed in report.signed:
        moment = "" if signed.timestamp is None else _moment(signed.timestamp)
        table.add_row(signed.name, escape(signed.words), moment)
    console.print(table)
    say("\n[bold]Refused[/], although a log's key had signed it (that of a twin of this log)")
    for attempt in dict.fromkeys(item.attempt for item in report.refusals):
        say(f"  {attempt}")
        answers: dict[str, list[str]] = {}
        for item in report.refusals:
            if item.attempt == attempt:
                mark = "" if item.is_ok else "[red]unexpected[/] "
                words = f"{mark}{item.status or 'no refusal'}: {escape(item.words)}"
                answers.setdefault(words, []).append(item.name)
        for words, names in answers.items():
            say(f"    {', '.join(names)}: {words}")
    say("\n[bold]Quorum[/] two of three")
    for quorum in report.quorums:
        mark = "" if quorum.is_ok else "[red]unexpected[/] "
        state = "reached" if quorum.is_reached else "not reached"
        say(f"  {' and '.join(quorum.stopped)} stopped: {mark}{state}: {escape(quorum.words)}")
    say("\n[bold]Written[/]")
    say(f"  {escape(report.checkpoint)}: the log's signature first, then those of the witnesses")
    say(f"  {escape(report.policy)}: the log's key, the witnesses' keys, and the quorum")
    say(
        "The witnesses have stopped. They share this machine and its vault: they show how "
        "witnessing works and prove nothing to others. Real witnesses run elsewhere "
        "(ledger-anchor witness run)."
    )


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column)
    return table


def _moment(timestamp: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(timestamp))
