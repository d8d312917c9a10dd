"""Proofs for the tests of the browser's verifier: made by the package itself, in a small home.

What belongs here: a table with a column of every type, a release, witnesses, and ways to change a
proof. What does not: assertions. Every name and figure is INVENTED.
"""

from __future__ import annotations

import base64
import datetime as dt
import functools
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ledger_anchor.manifest import canonical_json
from ledger_anchor.notes.keys import KeyKind, SignerKey
from ledger_anchor.notes.note import Note, Signature
from ledger_anchor.snapshots.disclosure import prove_row, prove_snapshot
from ledger_anchor.store import FileSetSpec, SnapshotStore, TableSpec
from ledger_anchor.tlog.proof import LogProof

ORIGIN = "log.tracient.example/2026"
DATASET = "raw_wages__upi_settlements"
ROWS = 16  # a power of two: every row has a path of the same length
SHOWN = [
    "settlement_id",
    "amount_paise",
    "day_rate",
    "paid_on",
    "posted_at",
    "match_score",
    "is_late",
    "remark",
    "bank_reference",
    "receipt",
]
HIDDEN = ["employer_hash", "worker_hash"]
NOON = 1_773_489_600  # 14 Mar 2026, 12:00 UTC
LATER = NOON + 3 * 3600
WITNESS_NAMES = ("labour-ministry", "employers", "auditors")


def _table() -> pa.Table:
    moment = dt.datetime(2026, 3, 2, 9, 20, 11, 123456, tzinfo=dt.UTC)
    numbers = range(ROWS)
    columns: dict[str, Any] = {
        "settlement_id": [f"S-{n:05}" for n in numbers],
        "worker_hash": [f"w{n % 7:08x}" for n in numbers],
        "employer_hash": [f"e{n % 3:08x}" for n in numbers],
        "amount_paise": [1_234_500 + 250 * n for n in numbers],
        "day_rate": pa.array([Decimal("412.50") + n for n in numbers], pa.decimal128(9, 2)),
        "paid_on": [dt.date(2026, 3, 1 + n) for n in numbers],
        "posted_at": pa.array(
            [moment + dt.timedelta(hours=n) for n in numbers], pa.timestamp("us", tz="UTC")
        ),
        "match_score": [0.1 + n / 8 for n in numbers],
        "is_late": [n % 2 == 0 for n in numbers],
        "remark": [f"मार्च की मज़दूरी, क़िस्त {n}" for n in numbers],
        "bank_reference": pa.array([None] * ROWS, pa.string()),
        "receipt": [bytes([n, 0xAB, 0x00, 0xFF]) for n in numbers],
    }
    return pa.table(columns)


@dataclass(frozen=True)
class Samples:
    """A log with a table and a release, the proofs of both, and who signs."""

    folder: Path
    signer: SignerKey
    witnesses: tuple[SignerKey, ...]
    row: bytes
    snapshot: bytes
    release: bytes
    released: tuple[Path, ...]

    @property
    def vkey(self) -> str:
        """The log's public key."""
        return self.signer.verifier().format()

    @property
    def policy(self) -> str:
        """A policy of two out of three witnesses."""
        return policy_of(self.signer, self.witnesses, 2)

    def cosigned(self, proof: bytes, *by: int, time: int = NOON) -> bytes:
        """A proof whose checkpoint these witnesses have signed, an hour after one another."""
        return change_note(proof, lambda note: _cosign(note, [self.witnesses[n] for n in by], time))


def _cosign(note: Note, witnesses: Sequence[SignerKey], time: int) -> Note:
    text = note.text.encode()
    made = [Signature.by(key, text, time + 3600 * n) for n, key in enumerate(witnesses)]
    return note.with_signatures(made)


def policy_of(signer: SignerKey, witnesses: Sequence[SignerKey], needed: int) -> str:
    """A policy file: the log, its witnesses and how many of them must have signed."""
    names = WITNESS_NAMES[: len(witnesses)]
    lines = ["# Who watches the wages log", f"log {signer.verifier().format()}"]
    lines += [
        f"witness {name} {key.verifier().format()}"
        for name, key in zip(names, witnesses, strict=True)
    ]
    lines += [f"group watchers {needed} {' '.join(names)}", "quorum watchers"]
    return "\n".join(lines) + "\n"


@functools.cache
def shared_samples(base: Path) -> Samples:
    """The samples below a test run's own folder, made once; nobody changes them."""
    return make_samples(base / "verifier")


def make_samples(folder: Path) -> Samples:
    """Commit the table and the release, and prove them."""
    home = folder / "home"
    (home / "lake").mkdir(parents=True)
    store = SnapshotStore(home, use_numba=False)
    store.initialise(ORIGIN)
    part = home / "lake" / "settlements.parquet"
    pq.write_table(_table(), part)
    table = store.commit_table(
        TableSpec(
            DATASET,
            "wages",
            [part],
            ["settlement_id"],
            subject_column="worker_hash",
            contract_id="raw_wages__upi_settlements",
            contract_version="2.1.0",
            ledger_heads=[{"channel": "wages", "height": 4120, "header_hash": "ab" * 32}],
            code_version="0.1.0",
            retain="always",
        )
    )
    released = _release(home)
    release = store.commit_files(
        FileSetSpec(
            "release_wages",
            "wages",
            "release",
            released,
            released[0].parent,
            upstream=[table.snapshot_id],
            extra={"release_id": "wages-2026-03"},
            code_version="0.1.0",
        )
    )
    signer = store.vault.signer()
    assert signer is not None
    kinds = (KeyKind.ED25519_COSIGNATURE,) * 3
    witnesses = tuple(
        SignerKey(f"{name}.example/witness", bytes([n]) * 32, kind)
        for n, (name, kind) in enumerate(zip(WITNESS_NAMES, kinds, strict=True), 1)
    )
    row = prove_row(store, table.snapshot_id, {"settlement_id": "S-00005"}, SHOWN)
    return Samples(
        folder,
        signer,
        witnesses,
        row,
        prove_snapshot(store, table.snapshot_id),
        prove_snapshot(store, release.snapshot_id),
        tuple(released),
    )


def _release(home: Path) -> list[Path]:
    folder = home / "released" / "wages" / "wages-2026-03"
    folder.mkdir(parents=True)
    figures = pa.table({"state_code": [10, 27], "value": [0.43, 0.31]})
    for name in ("wages_state_month", "wages_district_quarter"):
        pq.write_table(figures.append_column("table", [[name] * 2]), folder / f"{name}.parquet")
    manifest = {
        "format": "tracient-release/1",
        "title": {"en": "Wages, March 2026", "hi": "मज़दूरी, मार्च 2026"},
        "is_sample": True,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, ensure_ascii=False))
    return sorted(folder.iterdir())


def change_extra(proof: bytes, change: Callable[[dict[str, Any]], None]) -> bytes:
    """The proof with its contents changed, and written canonically again."""
    parsed = LogProof.parse(proof)
    assert parsed.extra is not None
    extra = json.loads(parsed.extra)
    change(extra)
    return replace(parsed, extra=canonical_json(extra)).format()


def change_note(proof: bytes, change: Callable[[Note], Note]) -> bytes:
    """The proof with another checkpoint note."""
    parsed = LogProof.parse(proof)
    changed = change(Note.parse(parsed.checkpoint_note)).format()
    return replace(parsed, checkpoint_note=changed).format()


def change_path(proof: bytes, at: int) -> bytes:
    """The proof with one bit of one hash of its path flipped."""
    parsed = LogProof.parse(proof)
    path = list(parsed.path)
    path[at] = flip(path[at])
    return replace(parsed, path=tuple(path)).format()


def flip(raw: bytes, at: int = 0) -> bytes:
    """The bytes with the lowest bit of one of them flipped."""
    changed = bytearray(raw)
    changed[at] ^= 1
    return bytes(changed)


def flip_base64(text: str, at: int = 0) -> str:
    """Base64 of bytes with one bit flipped."""
    return base64.b64encode(flip(base64.b64decode(text), at)).decode()
