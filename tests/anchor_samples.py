"""A small log with one committed table, built in memory, and a row bundle out of it.

What belongs here: samples that more than one test file of ledger_anchor needs. What does not:
assertions.
"""

from __future__ import annotations

from ledger_anchor import cbor
from ledger_anchor.manifest import FORMAT, ROW_COMMIT, encode_manifest
from ledger_anchor.notes.checkpoint import Checkpoint
from ledger_anchor.notes.keys import KeyKind, SignerKey
from ledger_anchor.notes.note import Note, Signature
from ledger_anchor.tlog.proof import Cell, LogProof, row_extra
from ledger_anchor.tree import Tree, inclusion_proof, leaf_hash

NOON = 1_700_000_000
LOG = SignerKey("example.org/log", bytes(32))
_KINDS = (*[KeyKind.ED25519_COSIGNATURE] * 2, KeyKind.ML_DSA_44_COSIGNATURE)
WITNESSES = tuple(
    SignerKey(f"w{number}.example", bytes([number]) * 32, kind)
    for number, kind in enumerate(_KINDS, 1)
)
POLICY = "".join(
    [
        f"log {LOG.verifier().format()}\n",
        *(f"witness w{n} {key.verifier().format()}\n" for n, key in enumerate(WITNESSES, 1)),
        "group two-of-three 2 w1 w2 w3\nquorum two-of-three\n",
    ]
)
COLUMNS = ("id", "worker", "paise")
ROWS = tuple((f"p{n}", f"w0{n}", 100 * n) for n in range(1, 8))


def cells_of(number: int) -> list[Cell]:
    """The opened cells of a row."""
    return [
        Cell.opened(name, bytes([number, column]) * 8, cbor.encode(value))
        for column, (name, value) in enumerate(zip(COLUMNS, ROWS[number], strict=True))
    ]


def signed_checkpoint(size: int, root: bytes, origin: str = LOG.name) -> str:
    """A checkpoint signed by the log and cosigned by all three witnesses at noon."""
    note = Note.sign(Checkpoint(origin, size, root).format(), SignerKey(origin, LOG.seed))
    text = note.text.encode()
    return note.with_signatures(Signature.by(key, text, NOON) for key in WITNESSES).format()


def row_bundle(origin: str = LOG.name) -> bytes:
    """A bundle that discloses one cell of row 4."""
    rows = Tree(leaf_hash(b"".join(c.digest for c in cells_of(n))) for n in range(len(ROWS)))
    manifest = {
        "format": FORMAT,
        "commitment": ROW_COMMIT,
        "dataset": "payments",
        "snapshot_id": "00000000-0000-7000-8000-000000000000",
        "schema": [{"name": name, "type": "text"} for name in COLUMNS],
        "rows": len(ROWS),
        "root": rows.root().hex(),
    }
    log = Tree.from_entries([b"before", encode_manifest(manifest), b"after"])
    shown = [cell if cell.name == "paise" else Cell(cell.name, cell.digest) for cell in cells_of(4)]
    extra = row_extra(manifest, 4, inclusion_proof(rows, 4, len(ROWS)), shown)
    note = signed_checkpoint(log.size, log.root(), origin)
    return LogProof(1, tuple(inclusion_proof(log, 1, log.size)), note, extra).format()
