"""The command line ``ledger-anchor``.

What belongs here: arguments, what is printed, exit codes. What does not: any check or hash; each
command is a few calls into the package. Exit 0: good; 1: a verification failed; 2: wrong use or
the machine refused.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ledger_anchor.audit import NOT_PROVEN, AuditReport, VerifyReport
from ledger_anchor.checkpoint import Checkpoint
from ledger_anchor.disclosure import prove_row, prove_snapshot
from ledger_anchor.errors import (
    AnchorError,
    KeyFormatError,
    LockError,
    LogMissingError,
    StorageError,
    TableError,
)
from ledger_anchor.files import PRIVATE_MODE, read_bytes, write_atomic
from ledger_anchor.note import SignerKey, VerifierKey
from ledger_anchor.proof import Proven, verify_proof
from ledger_anchor.snapshots import SnapshotStore

GOOD, FAILED, WRONG_USE = 0, 1, 2
_USAGE_ERRORS = (KeyFormatError, LockError, StorageError, TableError)


class _UsageError(Exception):
    """The command cannot be carried out as it was given."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: the command line; ``sys.argv`` if not given.

    Returns:
        Exit code 0, 1 or 2.
    """
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        return command(options)
    except (_UsageError, *_USAGE_ERRORS) as error:
        return _fail(options, str(error), WRONG_USE)
    except AnchorError as error:
        return _fail(options, str(error), FAILED)
    except OSError as error:
        return _fail(options, f"{error.filename or 'input'}: {error.strerror}", WRONG_USE)
    except BrokenPipeError:
        return GOOD
    except KeyboardInterrupt:
        return _fail(options, "interrupted; nothing that was there before is lost", WRONG_USE)


def _fail(options: argparse.Namespace, message: str, code: int) -> int:
    if options.json:
        _print_json({"is_ok": False, "error": message})
    sys.stderr.write(f"ledger-anchor: {message}\n")
    return code


def _print(*lines: str) -> None:
    sys.stdout.write("\n".join(lines) + "\n")


def _print_json(value: Mapping[str, object]) -> None:
    _print(json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ledger-anchor", description="Commit dataset snapshots to a log, and check them."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, words, command, arguments in _COMMANDS:
        sub = commands.add_parser(name, help=words, description=words)
        for flag, settings in {**arguments, **_JSON}.items():
            sub.add_argument(*flag.split(), **settings)
        sub.set_defaults(command=command)
    return parser


def _store(options: argparse.Namespace) -> SnapshotStore:
    home: str | None = options.home or os.environ.get("TRACIENT_HOME")
    folder = Path(home or "var")
    if not folder.is_dir():
        raise _UsageError(
            f"there is no home at {folder}: give --home DIR or set TRACIENT_HOME to a folder"
        )
    return SnapshotStore(folder)


def _keygen(options: argparse.Namespace) -> int:
    target: Path = options.out
    if target.exists():
        raise _UsageError(f"{target} exists; a key is never overwritten")
    key = SignerKey.generate(options.name)
    write_atomic(target, key.format().encode() + b"\n", PRIVATE_MODE)
    vkey = key.verifier().format()
    if options.json:
        _print_json({"vkey": vkey, "signing_key_file": str(target)})
    else:
        _print(vkey)
    return GOOD


def _init(options: argparse.Namespace) -> int:
    folder = Path(options.home or os.environ.get("TRACIENT_HOME") or "var")
    folder.mkdir(parents=True, exist_ok=True)
    reader = SnapshotStore(folder).initialise(options.origin)
    checkpoint = reader.checkpoint()
    if options.json:
        _print_json(_describe(checkpoint) | {"vkey": reader.verifier.format()})
    else:
        _print(f"log {checkpoint.origin} holds {checkpoint.size} entries", reader.verifier.format())
    return GOOD


def _describe(checkpoint: Checkpoint) -> dict[str, object]:
    return {
        "origin": checkpoint.origin,
        "size": checkpoint.size,
        "root": checkpoint.root.hex(),
    }


def _checkpoint(options: argparse.Namespace) -> int:
    try:
        reader = _store(options).reader()
        checkpoint = reader.checkpoint()
    except LogMissingError:
        if options.json:
            _print_json({"size": 0, "origin": None, "root": None, "note": None})
        else:
            _print("nothing is anchored yet")
        return GOOD
    note = reader.checkpoint_note().decode()
    if options.json:
        _print_json(_describe(checkpoint) | {"note": note, "vkey": reader.verifier.format()})
    else:
        sys.stdout.write(note)
    return GOOD


def _verify(options: argparse.Namespace) -> int:
    report = _store(options).verify()
    if options.json:
        _print_json(report.to_json())
    else:
        _print(*_verify_lines(report), *_not_proven(report.origin))
    return GOOD if report.is_ok else FAILED


def _verify_lines(report: VerifyReport) -> list[str]:
    lines = [f"FAILED: {problem}" for problem in report.problems]
    lines += [f"note: {note}" for note in report.notes]
    if report.proven:
        lines += ["Proven:", *(f"  - {words}" for words in report.proven)]
    return lines


def _not_proven(origin: str | None) -> list[str]:
    return [] if origin is None else ["Not proven:", *(f"  - {words}" for words in NOT_PROVEN)]


def _audit(options: argparse.Namespace) -> int:
    store = _store(options)
    is_shown = not options.json and sys.stderr.isatty()

    def progress(dataset: str, number: int, total: int) -> None:
        if is_shown:
            sys.stderr.write(f"\r\x1b[K[{number}/{total}] {dataset}")

    report = store.audit(progress)
    if is_shown:
        sys.stderr.write("\r\x1b[K")
    if options.json:
        _print_json(report.to_json())
    else:
        _print(*_audit_lines(report), *_not_proven(report.log.origin))
    return GOOD if report.is_ok else FAILED


def _audit_lines(report: AuditReport) -> list[str]:
    lines = _verify_lines(report.log)
    for item in report.snapshots:
        where = item.dataset if item.partition is None else f"{item.dataset} [{item.partition}]"
        lines.append(f"{item.outcome:>17}  {where}  {item.rows} rows  {item.snapshot_id}")
    lines += [f"FAILED: {problem}" for item in report.snapshots for problem in item.problems]
    if report.snapshots and report.is_ok:
        lines.append(f"{report.count('ok')} snapshots re-hashed: their data is what was committed")
    return lines


def _snapshot_id(store: SnapshotStore, options: argparse.Namespace) -> str:
    if options.snapshot is not None:
        return str(options.snapshot)
    if options.dataset is None:
        raise _UsageError("give --snapshot ID, or --dataset NAME for its newest snapshot")
    current = store.current(options.dataset, options.partition)
    if current is None:
        raise _UsageError(f"dataset {options.dataset} has no snapshot in this home")
    return current.snapshot_id


def _prove_snapshot(options: argparse.Namespace) -> int:
    store = _store(options)
    return _deliver(options, prove_snapshot(store, _snapshot_id(store, options)))


def _prove_row(options: argparse.Namespace) -> int:
    store = _store(options)
    key = {}
    for pair in options.key:
        name, equals, value = pair.partition("=")
        if not equals:
            raise _UsageError(f"--key {pair}: expected COLUMN=VALUE")
        key[name] = value
    columns = [name for name in (options.disclose or "").split(",") if name]
    return _deliver(options, prove_row(store, _snapshot_id(store, options), key, columns))


def _deliver(options: argparse.Namespace, proof: bytes) -> int:
    if options.out is None:
        sys.stdout.write(proof.decode())
        return GOOD
    write_atomic(options.out, proof)
    if options.json:
        _print_json({"is_ok": True, "file": str(options.out), "bytes": len(proof)})
    else:
        _print(
            f"wrote {options.out}; check it with: ledger-anchor verify-proof {options.out} "
            "--vkey FILE"
        )
    return GOOD


def _verify_proof(options: argparse.Namespace) -> int:
    data = read_bytes(options.proof)
    if data is None:
        raise _UsageError(f"there is no file {options.proof}")
    text = options.vkey
    if "+" not in text:
        raw = read_bytes(Path(text))
        if raw is None:
            raise _UsageError(f"--vkey {text}: neither a verifier key nor a file that holds one")
        text = raw.decode("utf-8", "replace").strip()
    entry = None if options.entry is None else read_bytes(options.entry)
    proven = verify_proof(data, VerifierKey.parse(text), entry)
    if options.json:
        _print_json(proven.to_json() | {"not_proven": list(NOT_PROVEN)})
    else:
        _print(*_proven_lines(proven), *_not_proven(proven.checkpoint.origin))
    return GOOD


def _proven_lines(proven: Proven) -> list[str]:
    manifest, log = proven.manifest, proven.checkpoint
    lines = [
        "Proven:",
        f"  - the checkpoint of size {log.size} is signed by the key of {log.origin}",
        f"  - its entry {proven.index} is the manifest of {manifest['dataset']}, snapshot "
        f"{manifest['snapshot_id']}, {manifest['rows']} rows, root {manifest['root']}",
    ]
    if proven.row is not None:
        lines.append(f"  - row number {proven.row.number} of that table holds these cells:")
        values = proven.to_json()["row"]
        shown = values["values"] if isinstance(values, dict) else {}
        lines += [f"      {name}: {value}" for name, value in shown.items()]
        hidden = ", ".join(proven.row.hidden_columns) or "none"
        lines.append(f"      not disclosed: {hidden}")
    return lines


_JSON: dict[str, dict[str, Any]] = {
    "--json": {"action": "store_true", "help": "print JSON for machines"}
}
_HOME: dict[str, dict[str, Any]] = {
    "--home": {"metavar": "DIR", "help": "the home (default: TRACIENT_HOME, else ./var)"}
}
_CHOICE: dict[str, dict[str, Any]] = {
    **_HOME,
    "--snapshot": {"metavar": "ID", "help": "id of the snapshot"},
    "--dataset": {"metavar": "NAME", "help": "take the newest snapshot of this dataset"},
    "--partition": {"metavar": "NAME", "help": "partition of the dataset"},
    "--out": {"metavar": "FILE", "type": Path, "help": "where to write the proof"},
}
_ORIGIN: dict[str, Any] = {
    "metavar": "NAME",
    "help": "name of a new log, e.g. example.org/tracient",
}
_COMMANDS: tuple[
    tuple[str, str, Callable[[argparse.Namespace], int], dict[str, dict[str, Any]]], ...
] = (
    (
        "keygen",
        "Draw a signing key into a file and print its verifier key.",
        _keygen,
        {
            "--name": {"required": True, "help": "name of the key, e.g. example.org/log"},
            "--out": {
                "metavar": "FILE",
                "type": Path,
                "required": True,
                "help": "file for the signing key (mode 0600)",
            },
        },
    ),
    ("init", "Create the key and the empty log of a home.", _init, {**_HOME, "--origin": _ORIGIN}),
    (
        "verify",
        "Check the log: signature, tiles, signed state, inclusion of every snapshot.",
        _verify,
        _HOME,
    ),
    (
        "audit",
        "Check the log and re-hash all data; names dataset, row and column that differ.",
        _audit,
        _HOME,
    ),
    ("checkpoint", "Print the signed checkpoint.", _checkpoint, _HOME),
    (
        "prove-snapshot",
        "Write a .tlog-proof that a snapshot is in the log.",
        _prove_snapshot,
        _CHOICE,
    ),
    (
        "prove-row",
        "Write a .tlog-proof that a row is in a snapshot, disclosing chosen columns.",
        _prove_row,
        {
            **_CHOICE,
            "--key": {
                "metavar": "COLUMN=VALUE",
                "action": "append",
                "required": True,
                "help": "unique key of the row; once for each of its columns",
            },
            "--disclose": {"metavar": "A,B", "help": "columns to open (default: none)"},
        },
    ),
    (
        "verify-proof",
        "Check a .tlog-proof with the log's public key and nothing else.",
        _verify_proof,
        {
            "proof": {"metavar": "PROOF", "type": Path, "help": "the .tlog-proof file"},
            "--vkey": {"required": True, "help": "the log's verifier key, or a file that holds it"},
            "--entry": {
                "metavar": "FILE",
                "type": Path,
                "help": "the log entry, if the proof does not carry the manifest",
            },
        },
    ),
)


if __name__ == "__main__":
    sys.exit(main())
