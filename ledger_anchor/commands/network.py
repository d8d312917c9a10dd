"""Commands that speak with others: ``witness``, ``cosign``, ``external``.

What belongs here: arguments and words. What does not: the protocols themselves
(``ledger_anchor.witness``, ``ledger_anchor.external``).
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ledger_anchor.commands.common import (
    FAILED,
    GOOD,
    HOME,
    LOG,
    Arguments,
    Command,
    UsageError,
    deliver,
    reader_of,
    show,
    show_json,
    store_of,
    text_of,
    when,
)
from ledger_anchor.notes.keys import KeyKind, VerifierKey
from ledger_anchor.notes.policy import Policy

if TYPE_CHECKING:
    from ledger_anchor.external.base import ExternalAnchor, ExternalReport
    from ledger_anchor.witness.client import Collected

_COSIGNER_KINDS = {
    "ed25519": (KeyKind.ED25519_COSIGNATURE,),
    "mldsa44": (KeyKind.ML_DSA_44_COSIGNATURE,),
    "both": (KeyKind.ED25519_COSIGNATURE, KeyKind.ML_DSA_44_COSIGNATURE),
}


def _witness_init(options: argparse.Namespace) -> int:
    from ledger_anchor.witness.config import init_witness  # noqa: PLC0415 - proofs need none of it

    logs = [_vkey(text) for text in options.watch]
    keys = init_witness(options.folder, options.name, _COSIGNER_KINDS[options.kind], logs)
    lines = [key.format() for key in keys]
    report: dict[str, object] = {"folder": str(options.folder), "vkeys": lines}
    return deliver(options, report, *lines)


def _vkey(text: str) -> VerifierKey:
    if "+" not in text:
        text = text_of(Path(text))
    return VerifierKey.parse(text.strip())


def _witness_run(options: argparse.Namespace) -> int:
    from ledger_anchor.witness.server import serve_witness  # noqa: PLC0415

    def announce(address: str) -> None:
        if options.json:
            show_json({"url": address, "folder": str(options.folder)})
        else:
            show(f"the witness of {options.folder} answers on {address} (stop with Ctrl-C)")
        sys.stdout.flush()

    def log(line: str) -> None:
        sys.stderr.write(line + "\n")

    serve_witness(options.folder, options.host, options.port, announce, log)
    return GOOD


def _cosign(options: argparse.Namespace) -> int:
    from ledger_anchor.files import locked, write_atomic  # noqa: PLC0415
    from ledger_anchor.witness.client import collect, publish_cosigned  # noqa: PLC0415

    store, policy = store_of(options), Policy.parse(text_of(options.policy))
    reader = store.reader()
    collected = collect(reader, policy, timeout_seconds=options.timeout)
    if options.out is not None:
        write_atomic(options.out, collected.note)
        where, is_published = f"wrote {options.out}", False
    else:
        with locked(store.vault.lock_path, options.timeout):
            is_published = publish_cosigned(reader.storage, collected.note, policy)
        where = "published in the log" if is_published else "the log has grown meanwhile: run again"
    report: dict[str, object] = {
        "is_ok": True,
        "is_published": is_published,
        "witnesses": [
            {"name": item.name, "time": item.timestamp, "words": item.words}
            for item in collected.outcomes
        ],
    }
    return deliver(options, report, *_outcome_lines(collected), where)


def _outcome_lines(collected: Collected) -> list[str]:
    return [
        f"  - {item.name}: "
        + (item.words if item.timestamp is None else f"cosigned at {when(item.timestamp)}")
        for item in collected.outcomes
    ]


def _anchor(options: argparse.Namespace) -> ExternalAnchor:
    """The place outside that was named.

    Raises:
        UsageError: unless exactly one was named, with all it takes.
    """
    node = options.evm or (os.environ.get(_NODE_VARIABLE) if options.contract else None)
    if (options.git is None) == (node is None):
        raise UsageError("give --git DIR, or --evm URL with --contract ADDRESS")
    if options.git is not None:
        from ledger_anchor.external.git import GitAnchor  # noqa: PLC0415 - proofs need none of it

        return GitAnchor(options.git, options.remote, options.branch)
    if options.contract is None:
        raise UsageError("--evm needs --contract ADDRESS; external deploy makes a contract")
    from ledger_anchor.external.evm import EvmAnchor  # noqa: PLC0415 - an optional extra

    return EvmAnchor(str(node), options.contract, options.key, chain_id=options.chain)


def _external_deploy(options: argparse.Namespace) -> int:
    from ledger_anchor.external.evm import deploy_contract  # noqa: PLC0415 - an optional extra

    node = options.evm or os.environ.get(_NODE_VARIABLE)
    if node is None:
        raise UsageError(f"give --evm URL, or set {_NODE_VARIABLE}")
    made = deploy_contract(node, options.key, chain_id=options.chain)
    words = f"the contract stands at {made.address}; only this key publishes to it"
    return deliver(options, {"contract": made.address}, words)


def _external_publish(options: argparse.Namespace) -> int:
    from ledger_anchor.external.base import publish_checkpoint  # noqa: PLC0415

    receipt = publish_checkpoint(reader_of(options), _anchor(options))
    made = receipt.published
    done = "published" if receipt.is_new else "was published before"
    words = f"the checkpoint of size {made.size} {done}: {made.where}"
    return deliver(options, receipt.to_json(), words)


def _external_check(options: argparse.Namespace) -> int:
    from ledger_anchor.external.base import check_external  # noqa: PLC0415

    report = check_external(reader_of(options), _anchor(options))
    code = GOOD if report.is_ok else FAILED
    return deliver(options, report.to_json(), *_external_lines(report), code=code)


def _external_lines(report: ExternalReport) -> list[str]:
    lines = [f"FAILED: {finding.words}" for finding in report.findings]
    if report.oldest is None or report.newest is None:
        return lines
    lines.append(
        f"{report.checked} published checkpoints (size {report.oldest.size} to "
        f"{report.newest.size}) are prefixes of the log of size {report.checkpoint.size}"
    )
    return [*lines, f"  - oldest: {report.oldest.where}", f"  - newest: {report.newest.where}"]


_FOLDER: Arguments = {
    "folder": {"metavar": "DIR", "type": Path, "help": "folder of the witness (mode 0700)"}
}
_NODE_VARIABLE = "LEDGER_ANCHOR_RPC"
_CHAIN: Arguments = {
    "--evm": {
        "metavar": "URL",
        "help": "JSON-RPC address of an Ethereum node; better in LEDGER_ANCHOR_RPC if it holds a "
        "secret, as everybody sees a command line",
    },
    "--key": {"metavar": "FILE", "type": Path, "help": "file with the publisher's key (0600)"},
    "--chain": {"metavar": "ID", "type": int, "help": "refuse any other chain: give it"},
}
_OUTSIDE: Arguments = {
    **HOME,
    **LOG,
    "--git": {"metavar": "DIR", "type": Path, "help": "a git repository of checkpoints"},
    "--remote": {"metavar": "URL", "help": "where that repository is pushed to and fetched from"},
    "--branch": {"default": "main", "help": "its branch (default: main)"},
    **_CHAIN,
    "--contract": {"metavar": "ADDRESS", "help": "address of the contract Checkpoints"},
}
COMMANDS = (
    Command(
        "witness init",
        "Make the folder of a new witness: its keys and the logs it watches.",
        _witness_init,
        {
            **_FOLDER,
            "--name": {"required": True, "help": "name of its keys, e.g. example.org/witness"},
            "--watch": {
                "metavar": "KEY",
                "action": "append",
                "required": True,
                "help": "verifier key of a log, or a file that holds it; once for each log",
            },
            "--kind": {
                "choices": sorted(_COSIGNER_KINDS),
                "default": "both",
                "help": "keys to draw (default: both)",
            },
        },
    ),
    Command(
        "witness run",
        "Answer add-checkpoint requests until stopped (C2SP tlog-witness).",
        _witness_run,
        {
            **_FOLDER,
            "--host": {"default": "127.0.0.1", "help": "address to listen on"},
            "--port": {"type": int, "default": 0, "help": "port (default: any that is free)"},
        },
    ),
    Command(
        "cosign",
        "Ask the witnesses of a policy to cosign the home's checkpoint, and publish it so.",
        _cosign,
        {
            **HOME,
            "--policy": {
                "metavar": "FILE",
                "type": Path,
                "required": True,
                "help": "the policy: witnesses with their addresses, and the quorum",
            },
            "--timeout": {"type": float, "default": 10.0, "help": "seconds to wait (default: 10)"},
            "--out": {
                "metavar": "FILE",
                "type": Path,
                "help": "write the cosigned checkpoint there instead of publishing it",
            },
        },
    ),
    Command(
        "external publish",
        "Publish the log's checkpoint to a place outside that the auditor controls.",
        _external_publish,
        _OUTSIDE,
    ),
    Command(
        "external check",
        "Compare the log with every checkpoint that was published outside.",
        _external_check,
        _OUTSIDE,
    ),
    Command(
        "external deploy",
        "Put the contract Checkpoints on a chain and print its address.",
        _external_deploy,
        _CHAIN,
    ),
)
