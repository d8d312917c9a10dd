"""Which key salts which row: a data subject's for the rows about it, the snapshot's for the rest.

What belongs here: putting an engine's salt plan together from the vault, when a table is committed
and when it is hashed again. What does not: where keys lie (``vault``), what salts do (``rows``).
"""

from __future__ import annotations

import uuid
from array import array
from collections import Counter
from dataclasses import dataclass, field

from ledger_anchor.errors import ErasedRowsError, SubjectKeyError
from ledger_anchor.row_commit.columns import Field, TableSource
from ledger_anchor.row_commit.rows import Engine, SaltPlan
from ledger_anchor.row_commit.subjects import Fetch, SubjectKeys, subject_text
from ledger_anchor.snapshots.vault import Vault


@dataclass(frozen=True)
class Opening:
    """What it takes to hash the rows that a snapshot added."""

    snapshot_id: str
    key: bytes = field(repr=False)
    domain: str
    subject_column: str | None


def salt_plan(source: TableSource, opening: Opening, engine: Engine, fetch: Fetch) -> SaltPlan:
    """Salts of a snapshot's rows.

    Args:
        source: a table that has the subject column.
        opening: the snapshot.
        engine: prepares keys.
        fetch: gives the keys of subjects.

    Raises:
        TableError: if the subject column is not in the table or not text or a number.
    """
    identity = uuid.UUID(opening.snapshot_id).bytes
    if opening.subject_column is None:
        prepared = engine.prepare_keys([opening.key])
        return SaltPlan(identity, prepared, lambda batch: array("Q", bytes(8 * batch.rows)))
    subjects = SubjectKeys(source, opening.subject_column, engine, fetch, opening.key)
    return SaltPlan(identity, subjects.prepared, subjects.index_of, subjects)


def drawn_keys(vault: Vault, domain: str) -> Fetch:
    """Keys of the subjects of a table that is committed: new subjects get one."""

    def fetch(subjects: list[str]) -> list[bytes]:
        return vault.subject_keys(domain, subjects)

    return fetch


class KnownKeys:
    """Keys of the subjects of a table that was committed, and how many of them are there.

    A subject without a key was not committed, or was erased: its rows must differ, and they do
    under any other key.
    """

    def __init__(self, vault: Vault, domain: str) -> None:
        self._vault, self._domain = vault, domain
        self._asked: set[str] = set()
        self._has_key = False

    def fetch_or(self, instead: bytes) -> Fetch:
        """The function that gives the keys, another key where there is none."""

        def fetch(subjects: list[str]) -> list[bytes]:
            known = self._vault.known_subject_keys(self._domain, subjects)
            if not self._has_key:
                self._asked.update(subjects)
                self._has_key = any(known)
            return [key or instead for key in known]

        return fetch

    def check(self) -> None:
        """Tell a vault that knows nobody from data that differs.

        Raises:
            SubjectKeyError: if subjects were asked for, and not one of them has a key.
        """
        if self._asked and not self._has_key:
            raise SubjectKeyError(
                f"none of {len(self._asked)} data subjects of {self._domain} has a key in "
                f"{self._vault.folder}: this is not the vault these snapshots were made with"
            )


def refuse_erased(vault: Vault, source: TableSource, opening: Opening) -> ErasedRowsError:
    """The error for a table that holds rows of erased subjects, which says how many."""
    column = opening.subject_column or ""
    item: Field = source.require([column], "the subject column")[0]
    counts: Counter[str] = Counter()
    for batch in source.batches([item]):
        values = batch.columns[item.name].drop_null().value_counts().to_pylist()
        counts.update({subject_text(one["values"]): one["counts"] for one in values})
    erased = vault.erased(opening.domain, list(counts))
    return ErasedRowsError(source.dataset, sum(counts[one] for one in erased), len(erased))
