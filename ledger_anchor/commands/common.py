"""What every command shares: its description, options that mean one thing everywhere, and output.

What belongs here: the Command record, exit codes, how a home, a log and a key of trust are named on
the command line. What does not: any single command.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledger_anchor.files import read_bytes
from ledger_anchor.notes.policy import Policy, as_policy

if TYPE_CHECKING:
    from ledger_anchor.notes.policy import Cosigned
    from ledger_anchor.store import SnapshotStore
    from ledger_anchor.tlog.log import LogReader

GOOD, FAILED, WRONG_USE = 0, 1, 2
Arguments = Mapping[str, dict[str, Any]]


class UsageError(Exception):
    """The command cannot be carried out as it was given."""


@dataclass(frozen=True)
class Command:
    """One command: its name, one sentence, what runs, and its arguments besides ``--json``."""

    name: str
    words: str
    run: Callable[[argparse.Namespace], int]
    arguments: Arguments = field(default_factory=dict)


HOME: Arguments = {
    "--home": {"metavar": "DIR", "help": "the home (default: TRACIENT_HOME, else ./var)"}
}
TRUST: Arguments = {
    "--vkey": {"metavar": "KEY", "help": "the log's verifier key, or a file that holds it"},
    "--policy": {
        "metavar": "FILE",
        "help": "a policy: the log's key, witnesses, and how many of them must have signed",
    },
}
LOG: Arguments = {
    "--log": {
        "metavar": "WHERE",
        "help": "a log's static files: a folder, http(s)://... or an object store's address",
    },
    **TRUST,
}


def store_of(options: argparse.Namespace) -> SnapshotStore:
    """The snapshots of the home that was named.

    Raises:
        UsageError: if there is no such folder.
    """
    from ledger_anchor.store import SnapshotStore  # noqa: PLC0415 - proofs need none of it

    folder = home_of(options)
    if not folder.is_dir():
        raise UsageError(
            f"there is no home at {folder}: give --home DIR or set TRACIENT_HOME to a folder"
        )
    return SnapshotStore(folder)


def home_of(options: argparse.Namespace) -> Path:
    """The folder of the home that was named, whether it is there or not."""
    return Path(options.home or os.environ.get("TRACIENT_HOME") or "var")


def trust_of(options: argparse.Namespace) -> Policy:
    """The key or policy that was given.

    Raises:
        UsageError: unless exactly one was given and can be found.
        KeyFormatError, PolicyError: if it cannot be read.
    """
    if (options.vkey is None) == (options.policy is None):
        raise UsageError("give --vkey KEY, or --policy FILE: what you trust is for you to say")
    if options.policy is not None:
        return Policy.parse(text_of(Path(options.policy)))
    text = str(options.vkey)
    if "+" not in text:
        raw = read_bytes(Path(text))
        if raw is None:
            raise UsageError(f"--vkey {text}: neither a verifier key nor a file that holds one")
        text = raw.decode("utf-8", "replace").strip()
    return as_policy(text)


def has_log(options: argparse.Namespace) -> bool:
    """Whether a log was named by its files; a key without it makes no sense for a home."""
    if options.log is None and not (options.vkey is None and options.policy is None):
        raise UsageError("--vkey and --policy go with --log; a home brings its own key")
    return options.log is not None


def reader_of(options: argparse.Namespace) -> LogReader:
    """The log that was named: ``--log`` with a key or policy, else the home's."""
    from ledger_anchor.tlog.log import LogReader  # noqa: PLC0415 - keeps `keygen` quick

    if has_log(options):
        return LogReader(options.log, trust_of(options))
    return store_of(options).reader()


def text_of(path: Path) -> str:
    """Text of a file that was named on the command line.

    Raises:
        UsageError: if it is not there or not UTF-8.
    """
    try:
        return bytes_of(path).decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not text in UTF-8") from error


def bytes_of(path: Path) -> bytes:
    """Content of a file that was named on the command line.

    Raises:
        UsageError: if it is not there.
    """
    data = read_bytes(path)
    if data is None:
        raise UsageError(f"there is no file {path}")
    return data


def show(*lines: str) -> None:
    """Print lines for a person."""
    sys.stdout.write("\n".join(lines) + "\n")


def show_json(value: Mapping[str, object]) -> None:
    """Print an object for a program."""
    show(json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True))


def deliver(
    options: argparse.Namespace, value: Mapping[str, object], *lines: str, code: int = GOOD
) -> int:
    """Print a result as JSON or as lines, and hand on the exit code."""
    if options.json:
        show_json(value)
    else:
        show(*lines)
    return code


def now() -> int:
    """Seconds since 1970 on this machine's clock, for cosignatures that lie ahead of it."""
    return int(time.time())


def when(timestamp: int) -> str:
    """A cosignature's time for a person."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(timestamp))


def cosigned_json(cosigners: tuple[Cosigned, ...]) -> list[dict[str, object]]:
    """Witnesses that have signed, for a program."""
    return [{"name": item.name, "time": item.timestamp} for item in cosigners]


def cosigned_lines(cosigners: tuple[Cosigned, ...]) -> list[str]:
    """Witnesses that have signed, for a person."""
    return [
        f"  - the witness {item.name} saw this checkpoint at {when(item.timestamp)}"
        for item in cosigners
    ]
