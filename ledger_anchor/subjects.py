"""The key of each row's data subject, for tables of any length.

What belongs here: which rows belong to one subject, and asking for the keys of new subjects in few
large batches. What does not: where keys are kept (``vault``), what is made of them (``rows``).
Memory grows with the number of distinct subjects, not with the number of rows.
"""

from __future__ import annotations

import threading
from array import array
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from ledger_anchor.columns import Batch, Field, TableSource
from ledger_anchor.errors import TableError
from ledger_anchor.rows import Engine

Fetch = Callable[[list[str]], Sequence[bytes]]
# New subjects whose keys are asked for together: more of them, the more there are, because the
# vault sorts them into a tree whose pages it then writes once.
_FEWEST, _MOST = 1 << 16, 1 << 20


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
        self._thread: ThreadPoolExecutor | None = None
        self._asking: Future[None] | None = None

    def note(self, batch: Batch) -> array[int]:
        """Number of each row's key; keys are asked for when many are waiting, beside the rest."""
        with self._lock:
            numbers = self._number(batch)
            if len(self._waiting) >= min(_MOST, max(_FEWEST, len(self._numbering) // 4)):
                self._ask_beside()
        return numbers

    def settle(self) -> None:
        """Wait until every number has its key."""
        with self._lock:
            self._ask_beside()
            if self._thread is not None:
                self._thread.shutdown()
                self._thread = None
            if self._asking is not None:
                self._asking.result()
                self._asking = None

    def index_of(self, batch: Batch) -> array[int]:
        """Number of each row's key; the key is there."""
        with self._lock:
            numbers = self._number(batch)
            waiting, self._waiting = self._waiting, []
            if waiting:
                self._ask(waiting)
        return numbers

    def _number(self, batch: Batch) -> array[int]:
        values = batch.columns[self.item.name]
        numbers, fresh = self._numbering.number(self.item, values)
        if fresh:
            self._waiting += [subject_text(value) for value in values.take(fresh).to_pylist()]
        return numbers

    def _ask_beside(self) -> None:
        if self._asking is not None:  # keys stand in the order of their numbers
            self._asking.result()
            self._asking = None
        if self._waiting:
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1)
            waiting, self._waiting = self._waiting, []
            self._asking = self._thread.submit(self._ask, waiting)

    def _ask(self, subjects: list[str]) -> None:
        self.prepared.extend(self._fetch(subjects))


def subject_text(value: object) -> str:
    """A subject as the vault knows it."""
    return value.decode() if isinstance(value, bytes) else str(value)
