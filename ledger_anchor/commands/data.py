"""Commands that read the data of a home: commit it, audit it, prove of it, erase from it.

What belongs here: arguments and words. What does not: hashing (``rows``), comparing (``audit``),
disclosure and erasure themselves.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ledger_anchor.commands.common import (
    FAILED,
    GOOD,
    HOME,
    Arguments,
    Command,
    UsageError,
    deliver,
    show,
    show_json,
    store_of,
)
from ledger_anchor.commands.proofs import not_proven_lines
from ledger_anchor.files import write_atomic

if TYPE_CHECKING:
    from ledger_anchor.checking.audit import AuditReport, VerifyReport
    from ledger_anchor.store import SnapshotStore


def verify_lines(report: VerifyReport) -> list[str]:
    """A report on a home's log, for a person."""
    lines = [f"FAILED: {problem}" for problem in report.problems]
    lines += [f"note: {note}" for note in report.notes]
    if report.proven:
        lines += ["Proven:", *(f"  - {words}" for words in report.proven)]
    if report.origin is not None:
        lines += not_proven_lines()
    return lines


def _audit(options: argparse.Namespace) -> int:
    store = store_of(options)
    is_shown = not options.json and sys.stderr.isatty()

    def progress(dataset: str, number: int, total: int) -> None:
        if is_shown:
            sys.stderr.write(f"\r\x1b[K[{number}/{total}] {dataset}")

    report = store.audit(progress)
    if is_shown:
        sys.stderr.write("\r\x1b[K")
    code = GOOD if report.is_ok else FAILED
    return deliver(options, report.to_json(), *_audit_lines(report), code=code)


def _audit_lines(report: AuditReport) -> list[str]:
    lines = []
    for item in report.snapshots:
        where = item.dataset if item.partition is None else f"{item.dataset} [{item.partition}]"
        erased = f" ({item.erased} erased)" if item.erased else ""
        lines.append(f"{item.outcome:>17}  {where}  {item.rows} rows{erased}  {item.snapshot_id}")
    lines += [f"FAILED: {problem}" for item in report.snapshots for problem in item.problems]
    if report.snapshots and report.is_ok:
        lines.append(f"{report.count('ok')} snapshots re-hashed: their data is what was committed")
    return [*lines, *verify_lines(report.log)]


def _commit(options: argparse.Namespace) -> int:
    from ledger_anchor.store import TableSpec  # noqa: PLC0415 - proofs need none of it

    spec = TableSpec(
        dataset=options.dataset,
        domain=options.domain,
        files=options.table,
        unique_key=[name for name in options.key.split(",") if name],
        subject_column=options.subject,
        partition=options.partition,
        retain="always",
        append_only=options.append_only,
    )
    made = store_of(options).commit_table(spec)
    report: dict[str, object] = {
        "is_new": made.is_new,
        "snapshot_id": made.snapshot_id,
        "rows": made.rows,
        "root": made.root,
        "log_index": made.log_index,
    }
    done = "committed as" if made.is_new else "unchanged since it was committed as"
    words = f"{made.dataset}: {made.rows} rows, {done} entry {made.log_index} of the log"
    return deliver(options, report, words, f"snapshot {made.snapshot_id}, root {made.root}")


def _snapshot_id(store: SnapshotStore, options: argparse.Namespace) -> str:
    if options.snapshot is not None:
        return str(options.snapshot)
    if options.dataset is None:
        raise UsageError("give --snapshot ID, or --dataset NAME for its newest snapshot")
    current = store.current(options.dataset, options.partition)
    if current is None:
        raise UsageError(f"dataset {options.dataset} has no snapshot in this home")
    return current.snapshot_id


def _prove_snapshot(options: argparse.Namespace) -> int:
    from ledger_anchor.snapshots.disclosure import prove_snapshot  # noqa: PLC0415 - proofs need none of it

    store = store_of(options)
    return _hand_over(options, prove_snapshot(store, _snapshot_id(store, options)))


def _prove_row(options: argparse.Namespace) -> int:
    from ledger_anchor.snapshots.disclosure import prove_row  # noqa: PLC0415 - proofs need none of it

    store = store_of(options)
    key = {}
    for pair in options.key:
        name, equals, value = pair.partition("=")
        if not equals:
            raise UsageError(f"--key {pair}: expected COLUMN=VALUE")
        key[name] = value
    columns = [name for name in (options.disclose or "").split(",") if name]
    return _hand_over(options, prove_row(store, _snapshot_id(store, options), key, columns))


def _hand_over(options: argparse.Namespace, proof: bytes) -> int:
    if options.out is None:
        sys.stdout.write(proof.decode())
        return GOOD
    write_atomic(options.out, proof)
    report: dict[str, object] = {"is_ok": True, "file": str(options.out), "bytes": len(proof)}
    check = f"check it with: ledger-anchor verify-proof {options.out} --vkey FILE"
    return deliver(options, report, f"wrote {options.out}; {check}")


def _erase(options: argparse.Namespace) -> int:
    from ledger_anchor.erasing.erasure import erase_subject  # noqa: PLC0415 - proofs need none of it

    subject = sys.stdin.readline().rstrip("\n") if options.subject == "-" else options.subject
    if not subject:
        raise UsageError("no subject was given on standard input")
    report = erase_subject(store_of(options), options.domain, subject, options.reason)
    if options.json:
        show_json(report.to_json())
    else:
        show(*report.lines())
    return GOOD


_CHOICE: Arguments = {
    **HOME,
    "--snapshot": {"metavar": "ID", "help": "id of the snapshot"},
    "--dataset": {"metavar": "NAME", "help": "take the newest snapshot of this dataset"},
    "--partition": {"metavar": "NAME", "help": "partition of the dataset"},
    "--out": {"metavar": "FILE", "type": Path, "help": "where to write the proof"},
}
COMMANDS = (
    Command(
        "commit",
        "Commit a table (Parquet parts below the home) as a snapshot; unchanged data adds nothing.",
        _commit,
        {
            **HOME,
            "table": {"metavar": "PARQUET", "type": Path, "nargs": "+", "help": "its parts"},
            "--dataset": {"metavar": "NAME", "required": True, "help": "name of the dataset"},
            "--domain": {"metavar": "NAME", "required": True, "help": "wages, pharma, ..."},
            "--key": {"metavar": "A,B", "required": True, "help": "columns that tell rows apart"},
            "--subject": {"metavar": "COLUMN", "help": "column that names the data subject"},
            "--partition": {"metavar": "NAME", "help": "partition of the dataset"},
            "--append-only": {
                "action": "store_true",
                "help": "extend the previous snapshot if its parts are all there, unchanged",
            },
        },
    ),
    Command(
        "audit",
        "Check the log and re-hash all data; names dataset, row and column that differ.",
        _audit,
        HOME,
    ),
    Command(
        "prove-snapshot",
        "Write a .tlog-proof that a snapshot is in the log.",
        _prove_snapshot,
        _CHOICE,
    ),
    Command(
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
    Command(
        "erase",
        "Erase a data subject: key and rows go for good; every other proof stays valid.",
        _erase,
        {
            **HOME,
            "--domain": {"metavar": "NAME", "required": True, "help": "the subject's domain"},
            "--subject": {
                "metavar": "ID",
                "required": True,
                "help": "the subject as it stands in the tables (a keyed hash); - reads it from "
                "standard input, so that it shows in no process list",
            },
            "--reason": {"metavar": "TEXT", "required": True, "help": "kept in the vault only"},
        },
    ),
)
