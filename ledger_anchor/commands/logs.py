"""Commands on a log itself: keys, appending, checkpoints, checks from the files, serving them.

What belongs here: ``keygen``, ``init``, ``append``, ``checkpoint``, ``verify``, ``consistency``,
``fsck``, ``serve``, ``verifier``. What does not: data behind the entries (``data``), other
machines (``network``).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ledger_anchor.claims import not_proven
from ledger_anchor.commands.common import (
    FAILED,
    GOOD,
    HOME,
    LOG,
    TRUST,
    Command,
    UsageError,
    bytes_of,
    cosigned_json,
    cosigned_lines,
    deliver,
    has_log,
    home_of,
    now,
    reader_of,
    show,
    show_json,
    store_of,
    trust_of,
)
from ledger_anchor.commands.data import verify_lines
from ledger_anchor.commands.proofs import not_proven_lines
from ledger_anchor.errors import LogMissingError
from ledger_anchor.files import PRIVATE_MODE, read_bytes, write_atomic
from ledger_anchor.notes.checkpoint import Checkpoint
from ledger_anchor.notes.encoding import encode_base64
from ledger_anchor.notes.keys import KeyKind, SignerKey
from ledger_anchor.tree import verify_consistency

_KINDS = {
    "ed25519": KeyKind.ED25519,
    "cosignature-ed25519": KeyKind.ED25519_COSIGNATURE,
    "cosignature-mldsa44": KeyKind.ML_DSA_44_COSIGNATURE,
}


def describe(checkpoint: Checkpoint) -> dict[str, object]:
    """A checkpoint for a program."""
    return {"origin": checkpoint.origin, "size": checkpoint.size, "root": checkpoint.root.hex()}


def _keygen(options: argparse.Namespace) -> int:
    target: Path = options.out
    if target.exists():
        raise UsageError(f"{target} exists; a key is never overwritten")
    key = SignerKey.generate(options.name, _KINDS[options.kind])
    write_atomic(target, key.format().encode() + b"\n", PRIVATE_MODE)
    vkey = key.verifier().format()
    return deliver(options, {"vkey": vkey, "signing_key_file": str(target)}, vkey)


def _init(options: argparse.Namespace) -> int:
    from ledger_anchor.store import SnapshotStore  # noqa: PLC0415 - keeps `keygen` quick

    folder = home_of(options)
    folder.mkdir(parents=True, exist_ok=True)
    reader = SnapshotStore(folder).initialise(options.origin)
    checkpoint, vkey = reader.checkpoint(), reader.verifier.format()
    words = f"log {checkpoint.origin} holds {checkpoint.size} entries"
    return deliver(options, describe(checkpoint) | {"vkey": vkey}, words, vkey)


def _append(options: argparse.Namespace) -> int:
    entries: list[bytes] = []
    for path in options.files:
        data = sys.stdin.buffer.read() if str(path) == "-" else bytes_of(path)
        entries += data.splitlines() if options.lines else [data]
    if not entries:
        raise UsageError("nothing to append: the files hold no line")
    indexes = store_of(options).append_entries(entries)
    report: dict[str, object] = {"first": indexes[0], "count": len(indexes)}
    span = f"{indexes[0]}" if len(indexes) == 1 else f"{indexes[0]} to {indexes[-1]}"
    return deliver(options, report, f"appended as entry {span}")


def _checkpoint(options: argparse.Namespace) -> int:
    try:
        reader = reader_of(options)
        checkpoint = reader.checkpoint()
    except LogMissingError:
        if has_log(options):
            raise
        empty = {"size": 0, "origin": None, "root": None, "note": None}
        return deliver(options, empty, "nothing is anchored yet")
    note = reader.checkpoint_note().decode()
    if options.json:
        show_json(describe(checkpoint) | {"note": note, "vkey": reader.verifier.format()})
    else:
        sys.stdout.write(note)
    return GOOD


def _verify(options: argparse.Namespace) -> int:
    if has_log(options):
        return _verify_log(options)
    if options.known is not None:
        raise UsageError("--known goes with --log; a home keeps its own signed state")
    report = store_of(options).verify()
    code = GOOD if report.is_ok else FAILED
    return deliver(options, report.to_json(), *verify_lines(report), code=code)


def _verify_log(options: argparse.Namespace) -> int:
    """Check somebody's log from its files; remember the checkpoint, so that it cannot go back."""
    reader = reader_of(options)
    verified = trust_of(options).open(reader.checkpoint_note(), now=now())
    known = None if options.known is None else read_bytes(options.known)
    if known is not None:
        reader.check_extends(known)
    checkpoint = reader.verify_files()
    if options.known is not None:
        write_atomic(options.known, reader.checkpoint_note())
    proven = [
        f"the checkpoint is signed by the key of {checkpoint.origin}",
        f"its {checkpoint.size} entries, recomputed from the files, lead to the signed root",
    ]
    lines = ["Proven:", f"  - {proven[0]}", *cosigned_lines(verified.cosigners)]
    if known is not None:
        proven.append("the log extends the checkpoint you had kept")
    lines += [f"  - {words}" for words in proven[1:]]
    is_witnessed = bool(verified.cosigners)
    report = describe(checkpoint) | {
        "is_ok": True,
        "proven": proven,
        "not_proven": list(not_proven(is_witnessed=is_witnessed)),
        "cosigners": cosigned_json(verified.cosigners),
    }
    return deliver(options, report, *lines, *not_proven_lines(is_witnessed=is_witnessed))


def _consistency(options: argparse.Namespace) -> int:
    reader = reader_of(options)
    older = reader.open_note(bytes_of(options.older))
    newer = reader.checkpoint()
    if options.newer is not None:
        newer = reader.open_note(bytes_of(options.newer))
    if not 0 < older.size <= newer.size:
        raise UsageError(
            f"expected an older checkpoint and then a newer one of at least one entry; "
            f"found sizes {older.size} and {newer.size}"
        )
    path = reader.consistency(older.size, newer.size)
    verify_consistency(older.size, newer.size, path, older.root, newer.root)
    report: dict[str, object] = {
        "is_ok": True,
        "older": describe(older),
        "newer": describe(newer),
        "proof": [encode_base64(digest) for digest in path],
    }
    words = (
        f"the log of size {newer.size} extends the log of size {older.size}: nothing of it was "
        f"dropped or rewritten ({len(path)} hashes)"
    )
    return deliver(options, report, words)


def _fsck(options: argparse.Namespace) -> int:
    from ledger_anchor.tlog.fsck import fsck  # noqa: PLC0415 - keeps `keygen` quick
    from ledger_anchor.tlog.storage import open_storage  # noqa: PLC0415

    has_trust = not (options.vkey is None and options.policy is None)
    report = fsck(open_storage(str(options.where)), trust_of(options) if has_trust else None)
    lines = [f"FAILED: {problem}" for problem in report.problems]
    lines += [f"note: {note}" for note in report.notes]
    if report.is_ok:
        lines.append(f"{report.size} entries: every file leads to the root of the checkpoint")
    return deliver(options, report.to_json(), *lines, code=GOOD if report.is_ok else FAILED)


def _serve(options: argparse.Namespace) -> int:
    from ledger_anchor.tlog.serve import serve  # noqa: PLC0415 - keeps `keygen` quick

    folder = Path(options.log) if options.log else home_of(options) / "anchors" / "log"
    if not (folder / "checkpoint").is_file():
        raise UsageError(f"{folder} holds no checkpoint: there is no log to serve")

    def announce(address: str) -> None:
        if options.json:
            show_json({"url": address, "log": str(folder)})
        else:
            show(f"serving {folder} on {address} (stop with Ctrl-C)")
        sys.stdout.flush()

    beside = None
    if not options.log:
        anchors = home_of(options) / "anchors"
        named = {"log.vkey": anchors / "log.vkey", "policy": anchors / "witnesses" / "policy"}
        beside = {name: path for name, path in named.items() if path.is_file()}
    serve(folder, options.host, options.port, announce, beside)
    return GOOD


def _verifier(options: argparse.Namespace) -> int:
    from ledger_anchor.browser import verifier_html  # noqa: PLC0415 - keeps `keygen` quick

    write_atomic(options.out, verifier_html())
    words = f"wrote {options.out}: open it in a browser; it needs no network"
    return deliver(options, {"file": str(options.out)}, words)


_NAMED_LOG = {**HOME, **LOG}
COMMANDS = (
    Command(
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
            "--kind": {
                "choices": sorted(_KINDS),
                "default": "ed25519",
                "help": "a log's key (ed25519, the default) or a witness's",
            },
        },
    ),
    Command(
        "init",
        "Create the key and the empty log of a home.",
        _init,
        {**HOME, "--origin": {"metavar": "NAME", "help": "name of a new log, e.g. example.org/x"}},
    ),
    Command(
        "append",
        "Append entries as they are (each at most 65,535 bytes) and sign the new checkpoint.",
        _append,
        {
            **HOME,
            "files": {"metavar": "FILE", "type": Path, "nargs": "+", "help": "- is standard input"},
            "--lines": {"action": "store_true", "help": "each line of a file is an entry"},
        },
    ),
    Command("checkpoint", "Print the signed checkpoint.", _checkpoint, _NAMED_LOG),
    Command(
        "verify",
        "Check a log: signatures, every tile and entry, and for a home each snapshot's inclusion.",
        _verify,
        {
            **_NAMED_LOG,
            "--known": {
                "metavar": "FILE",
                "type": Path,
                "help": "the last checkpoint you have seen: the log must extend it, and the new "
                "one is kept there",
            },
        },
    ),
    Command(
        "consistency",
        "Prove that a log extends an older checkpoint of it.",
        _consistency,
        {
            "older": {"metavar": "OLDER", "type": Path, "help": "an older signed checkpoint"},
            "newer": {
                "metavar": "NEWER",
                "type": Path,
                "nargs": "?",
                "help": "a newer one (default: the log's current checkpoint)",
            },
            **_NAMED_LOG,
        },
    ),
    Command(
        "fsck",
        "Check a log's files from scratch, from the files alone.",
        _fsck,
        {"where": {"metavar": "WHERE", "help": "folder or address of the log"}, **TRUST},
    ),
    Command(
        "serve",
        "Serve a log's files over HTTP, read only.",
        _serve,
        {
            **HOME,
            "--log": {"metavar": "DIR", "help": "folder of a log, if not that of a home"},
            "--host": {"default": "127.0.0.1", "help": "address to listen on"},
            "--port": {"type": int, "default": 0, "help": "port (default: any that is free)"},
        },
    ),
    Command(
        "verifier",
        "Write the verifier for browsers: one HTML file that needs no network.",
        _verifier,
        {"--out": {"metavar": "FILE", "type": Path, "required": True, "help": "the HTML file"}},
    ),
)
