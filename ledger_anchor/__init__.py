"""Commit dataset snapshots to a transparency log, and verify them without trusting anyone.

The package needs the standard library and ``cryptography``; it uses numba when it is there, and
pyarrow only to read Parquet. Nothing here imports another part of Tracient.
"""

from ledger_anchor.errors import AnchorError, DataMismatchError, DataMissingError, Difference
from ledger_anchor.notes.checkpoint import Checkpoint
from ledger_anchor.notes.keys import KeyKind, SignerKey, VerifierKey
from ledger_anchor.notes.note import Note
from ledger_anchor.notes.policy import Policy
from ledger_anchor.row_commit.columns import Field
from ledger_anchor.snapshots.records import Snapshot
from ledger_anchor.store import FileSetSpec, SnapshotStore, TableSpec
from ledger_anchor.tlog.log import LogReader, LogWriter
from ledger_anchor.tlog.log_reader import LogView
from ledger_anchor.tlog.proof import Proven, verify_proof
from ledger_anchor.tlog.storage import open_storage
from ledger_anchor.tree import (
    StreamingRoot,
    Tree,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    tree_root,
    verify_consistency,
    verify_inclusion,
)

__version__ = "0.1.0"

__all__ = [
    "AnchorError",
    "Checkpoint",
    "DataMismatchError",
    "DataMissingError",
    "Difference",
    "Field",
    "FileSetSpec",
    "KeyKind",
    "LogReader",
    "LogView",
    "LogWriter",
    "Note",
    "Policy",
    "Proven",
    "SignerKey",
    "Snapshot",
    "SnapshotStore",
    "StreamingRoot",
    "TableSpec",
    "Tree",
    "VerifierKey",
    "consistency_proof",
    "inclusion_proof",
    "leaf_hash",
    "open_storage",
    "tree_root",
    "verify_consistency",
    "verify_inclusion",
    "verify_proof",
]
