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
from itertools import pairwise
from typing import Any

from ledger_anchor.errors import TableError
from ledger_anchor.row_commit.columns import Batch, Field, TableSource
from ledger_anchor.row_commit.rows import KEY_SIZE, Engine, JoinedKeys

Fetch = Callable[[list[str]], Sequence[bytes]]
# New subjects whose keys are asked for together. While the vault is busy more of them gather, so
# that what it writes grows with what it holds: it sorts them into a tree, page by page.
_FEWEST, _MOST = 1 << 14, 1 << 20


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
        self._dataset = source.dataset
        self.prepared = engine.prepare_keys([own_key])
        self._numbering = engine.numbering()
        self._fetch = fetch
        self._engine = engine
        self._waiting: list[Any] = []  # arrays of subjects, in the order of their numbers
        self._count = 0
        self._lock = threading.Lock()
        self._thread: ThreadPoolExecutor | None = None
        self._asking: Future[None] | None = None

    def note(self, batch: Batch) -> array[int]:
        """Number of each row's key; keys are asked for when many are waiting, beside the rest."""
        with self._lock:
            numbers = self._number(batch)
            is_free = self._asking is None or self._asking.done()
            if self._count >= (max(_FEWEST, len(self._numbering) // 8) if is_free else _MOST):
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
            if self._waiting:
                self._ask(self._taken())
        return numbers

    def _number(self, batch: Batch) -> array[int]:
        values = batch.columns[self.item.name]
        numbers, fresh = self._numbering.number(self.item, values)
        if fresh:
            self._waiting.append(values.take(fresh))
            self._count += len(fresh)
        return numbers

    def _taken(self) -> list[Any]:
        waiting, self._waiting, self._count = self._waiting, [], 0
        return waiting

    def _ask_beside(self) -> None:
        if self._asking is not None:  # keys stand in the order of their numbers
            self._asking.result()
            self._asking = None
        if self._waiting:
            if self._thread is None:
                self._thread = ThreadPoolExecutor(1)
            self._asking = self._thread.submit(self._ask, self._taken())

    def _ask(self, waiting: Sequence[Any]) -> None:
        """Ask for keys in the order of the ids, which the vault likes best."""
        import pyarrow as pa  # noqa: PLC0415 - only tables need it
        import pyarrow.compute as pc  # noqa: PLC0415

        values = pa.concat_arrays([_plain(one) for one in waiting])
        order = pc.sort_indices(values)
        try:
            subjects = _texts(values.take(order))
        except UnicodeDecodeError as error:
            raise TableError(
                f"{self._dataset}: subject column {self.item.name} holds text that is not UTF-8. "
                "Write ids of data subjects as text"
            ) from error
        keys = self._fetch(subjects)
        places = array("Q", order.buffers()[1].to_pybytes()[: 8 * len(order)])
        joined = bytearray(KEY_SIZE * len(keys))
        self._engine.scatter(joined, places, b"".join(keys), KEY_SIZE)
        self.prepared.extend(JoinedKeys(bytes(joined)))


def _plain(values: Any) -> Any:
    return values.dictionary_decode() if hasattr(values, "dictionary_decode") else values


def _texts(values: Any) -> list[str]:
    """Values of a plain array, none of them null, as the vault knows them."""
    if str(values.type) != "large_binary":
        return [str(value) for value in values.to_pylist()]
    _, offsets, data = values.buffers()
    ends = array("q", offsets.to_pybytes())[values.offset : values.offset + len(values) + 1]
    joined = b"" if data is None else data.to_pybytes()
    if joined.isascii():  # then a character is a byte, and Arrow's own way takes five times as long
        text = joined.decode()
        return [text[start:end] for start, end in pairwise(ends)]
    return [joined[start:end].decode() for start, end in pairwise(ends)]


def subject_text(value: object) -> str:
    """A subject as the vault knows it."""
    return value.decode() if isinstance(value, bytes) else str(value)
