"""Commands that need a proof or a policy and nothing else: ``verify-proof``, ``policy check``.

What belongs here: what an outsider runs on files that were handed over. What does not: making
proofs (``data``), reading a log (``logs``).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from ledger_anchor.claims import not_proven
from ledger_anchor.commands.common import (
    TRUST,
    Command,
    bytes_of,
    cosigned_json,
    cosigned_lines,
    deliver,
    now,
    text_of,
    trust_of,
)
from ledger_anchor.notes.policy import NONE, Policy
from ledger_anchor.tlog.proof import Proven, verify_proof


def not_proven_lines(*, is_witnessed: bool = False) -> list[str]:
    """What the checks cannot prove, for a person."""
    claims = not_proven(is_witnessed=is_witnessed)
    return ["Not proven:", *(f"  - {words}" for words in claims)]


def _verify_proof(options: argparse.Namespace) -> int:
    data = bytes_of(options.proof)
    entry = None if options.entry is None else bytes_of(options.entry)
    proven = verify_proof(data, trust_of(options), entry, now=now())
    is_witnessed = bool(proven.cosigners)
    report = proven.to_json() | {"not_proven": list(not_proven(is_witnessed=is_witnessed))}
    closing = not_proven_lines(is_witnessed=is_witnessed)
    return deliver(options, report, *_proven_lines(proven), *closing)


def _proven_lines(proven: Proven) -> list[str]:
    manifest, log = proven.manifest, proven.checkpoint
    lines = [
        "Proven:",
        f"  - the checkpoint of size {log.size} is signed by the key of {log.origin}",
        *cosigned_lines(proven.cosigners),
        f"  - its entry {proven.index} is the manifest of {manifest['dataset']}, snapshot "
        f"{manifest['snapshot_id']}, {manifest['rows']} rows, root {manifest['root']}",
    ]
    if proven.row is None:
        return lines
    lines.append(f"  - row number {proven.row.number} of that table holds these cells:")
    values = proven.to_json()["row"]
    shown = values["values"] if isinstance(values, Mapping) else {}
    lines += [f"      {name}: {value}" for name, value in shown.items()]
    return [*lines, f"      not disclosed: {', '.join(proven.row.hidden_columns) or 'none'}"]


def _quorum_words(policy: Policy) -> str:
    for group in policy.groups:
        if group.name == policy.quorum:
            members = ", ".join(group.members)
            return f"{group.name}: {group.threshold} of {len(group.members)} ({members})"
    return "none: the log's own signature is enough" if policy.quorum == NONE else policy.quorum


def _policy_check(options: argparse.Namespace) -> int:
    policy = Policy.parse(text_of(options.policy))
    described: dict[str, object] = {
        "is_ok": True,
        "logs": [log.key.name for log in policy.log_keys],
        "witnesses": [witness.name for witness in policy.witnesses],
        "quorum": policy.quorum,
    }
    lines = [
        f"{options.policy} is a valid policy",
        f"  logs: {', '.join(log.key.name for log in policy.log_keys) or 'none'}",
        f"  witnesses: {', '.join(witness.name for witness in policy.witnesses) or 'none'}",
        f"  quorum: {_quorum_words(policy)}",
    ]
    if options.checkpoint is None:
        return deliver(options, described, *lines)
    verified = policy.open(bytes_of(options.checkpoint), now=now())
    log = verified.checkpoint
    described |= {
        "origin": log.origin,
        "size": log.size,
        "root": log.root.hex(),
        "cosigners": cosigned_json(verified.cosigners),
    }
    lines += [
        f"{options.checkpoint} satisfies it:",
        f"  - the checkpoint of size {log.size} is signed by the key of {log.origin}",
        *cosigned_lines(verified.cosigners),
    ]
    return deliver(options, described, *lines)


COMMANDS = (
    Command(
        "verify-proof",
        "Check a .tlog-proof with the log's public key or a policy, and nothing else.",
        _verify_proof,
        {
            "proof": {"metavar": "PROOF", "type": Path, "help": "the .tlog-proof file"},
            **TRUST,
            "--entry": {
                "metavar": "FILE",
                "type": Path,
                "help": "the log entry, if the proof does not carry the manifest",
            },
        },
    ),
    Command(
        "policy check",
        "Check a policy file, and a signed checkpoint against it if one is given.",
        _policy_check,
        {
            "policy": {"metavar": "POLICY", "type": Path, "help": "the policy file"},
            "checkpoint": {
                "metavar": "CHECKPOINT",
                "type": Path,
                "nargs": "?",
                "help": "a signed checkpoint",
            },
        },
    ),
)
