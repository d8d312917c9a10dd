"""The key of each row's data subject, for tables of any length.

What belongs here: which rows belong to one subject, and asking for the keys of new subjects in few
large batches. What does not: where keys are kept (``vault``), what is made of them (``rows``).
Memory grows with the number of distinct subjects, not with the number of rows.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable, Sequence

from ledger_anchor.columns import Batch, Field, TableSource
from ledger_anchor.errors import TableError
from ledger_anchor.rows import Engine

Fetch = Callable[[list[str]], Sequence[bytes]]
_AT_ONCE = 1 << 18  # new subjects whose keys are asked for together


class SubjectKeys:
    """Numbers the subjects of a table and holds their keys, prepared for an engine.

    Number 0 is the snapshot's own key: that of rows without a subject.

    Args:
        source: the table.
        column: name of the column that holds each row's subject.
        engine: prepares keys and tells subjects apart.
        fetch: gives the keys of subjects, which it has not been asked for before.
        own_key: the snapshot's key.

    Raises:
        TableError: if the column is not in the table, or neither text nor a whole number.
    """

    def __init__(
        self, source: TableSource, column: str, engine: Engine, fetch: Fetch, own_key: bytes
    ) -> None:
        self.item: Field = source.require([column], "the subject column")[0]
        if self.item.kind not in {"text", "int"}:
            raise TableError(f"{source.dataset}: subject column {column} is {self.item.kind}")
        self.prepared = engine.prepare_keys([own_key])
        self._numbering = engine.numbering()
        self._fetch = fetch
        self._waiting: list[str] = []
        self._lock = threading.Lock()

    def note(self, batch: Batch) -> None:
        """Look at a batch; keys are asked for when many are waiting."""
        with self._lock:
            self._number(batch)
            if len(self._waiting) >= _AT_ONCE:
                self._ask()

    def settle(self) -> None:
        """Ask for the keys that are still waiting."""
        with self._lock:
            self._ask()

    def index_of(self, batch: Batch) -> array[int]:
        """Number of each row's key among the prepared ones."""
        with self._lock:
            numbers = self._number(batch)
            self._ask()
        return numbers

    def _number(self, batch: Batch) -> array[int]:
        values = batch.columns[self.item.name]
        numbers, fresh = self._numbering.number(self.item, values)
        if fresh:
            self._waiting += [subject_text(value) for value in values.take(fresh).to_pylist()]
        return numbers

    def _ask(self) -> None:
        if self._waiting:
            self.prepared.extend(self._fetch(self._waiting))
            self._waiting = []


def subject_text(value: object) -> str:
    """A subject as the vault knows it."""
    return value.decode() if isinstance(value, bytes) else str(value)
