"""The engine of numpy: the same bytes as ``plain.PlainEngine`` where numba is not installed.

What belongs here: which messages row-commit v1 hashes, laid out column by column. What does not:
their bytes (``numpy_messages``), hashing (``numpy_hashers``), any decision about what is committed
(``rows``).
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence
from typing import cast

import numpy as np

from ledger_anchor import cbor
from ledger_anchor.row_commit.engines.numpy_hashers import (
    SALT_HEAD,
    Column,
    Hasher,
    Salted,
    best_hasher,
)
from ledger_anchor.row_commit.engines.numpy_messages import (
    BLOCK,
    Bytes,
    Runs,
    cbor_runs,
    joined,
    matrix_runs,
    room,
)
from ledger_anchor.row_commit.engines.numpy_records import NumpyRecords
from ledger_anchor.row_commit.engines.openssl_loop import Words
from ledger_anchor.row_commit.engines.plain import PlainNumbering
from ledger_anchor.row_commit.rows import Columns, Hashes, SaltPlan
from ledger_anchor.tree import HASH_SIZE, hash_pairs

_PAIR = 2 * HASH_SIZE
_PAIRS_AT_ONCE = 1 << 12
_FEW_PAIRS = 64


class NumpyKeys:
    """Keys as rows of an array, in the hasher's form."""

    def __init__(self, hasher: Hasher, keys: Sequence[bytes]) -> None:
        self._hasher = hasher
        self._rows = hasher.key_rows(keys)
        self._count = len(keys)

    def extend(self, keys: Sequence[bytes]) -> None:
        """Add keys."""
        first, more = self._count, self._hasher.key_rows(keys)
        rows = self._rows
        if first + len(more) > len(rows):
            # A new array: batches that run meanwhile keep the one they have.
            rows = np.empty((2 * (first + len(more)), rows.shape[1]), np.uint32)
            rows[:first] = self._rows[:first]
        rows[first : first + len(more)] = more
        self._rows, self._count = rows, first + len(more)

    def __len__(self) -> int:
        return self._count

    def take(self, index: array[int]) -> Words:
        """Rows of these keys."""
        return self._rows[np.frombuffer(index, np.uint64)]


class NumpyEngine(NumpyRecords):
    """The engine of numpy; see ``rows.Engine`` for what its methods give."""

    batch_rows = 16_384

    def __init__(self, hasher: Hasher | None = None) -> None:
        self.workers = max(1, min(4, os.cpu_count() or 1))
        self._hasher = best_hasher() if hasher is None else hasher

    def prepare_keys(self, keys: Sequence[bytes]) -> NumpyKeys:
        """Rows of the hasher."""
        return NumpyKeys(self._hasher, keys)

    def numbering(self) -> PlainNumbering:
        """A dictionary."""
        return PlainNumbering()

    def keyed_rows(self, key: bytes, columns: Columns, rows: int) -> bytes:
        """HMAC of each row's CBOR array."""
        key_row = self._hasher.key_rows([key])[0]
        return self._hasher.macs(key_row, _rows(_encoded(columns), rows)).tobytes()

    def hash_batch(
        self,
        salts: SaltPlan,
        columns: Columns,
        ranks: array[int],
        key_index: array[int],
        content_key: bytes,
    ) -> Hashes:
        """Leaves, prefixes and content sums of a batch."""
        rows, width = len(ranks), 1 + HASH_SIZE * len(columns)
        encoded = _encoded(columns)
        data = room(rows * width)
        data[: rows * width : width] = 0
        cells = np.ndarray((rows, len(columns), 8), ">u4", data, 1, (width, HASH_SIZE, 4))
        self._hasher.cells(_salted(salts, ranks, key_index), encoded, cells)
        leaves = self._hasher.digests(_whole_rows(data, width, rows))
        block = content_key.ljust(BLOCK, b"\0")
        words = self._hasher.prefixed(block, _rows(encoded, rows)).view("<u8")
        first, second, third, fourth = (int(word) for word in words.sum(axis=0, dtype=np.uint64))
        prefixes = cells[:, :, 0].tobytes()
        return Hashes(leaves.tobytes(), prefixes, (first, second, third, fourth))

    def cell_digests(
        self, salts: SaltPlan, columns: Columns, ranks: array[int], key_index: array[int]
    ) -> bytes:
        """Cell digests, row after row."""
        made = np.empty((len(ranks), len(columns), 8), ">u4")
        self._hasher.cells(_salted(salts, ranks, key_index), _encoded(columns), made)
        return made.tobytes()

    def hash_pairs(self, nodes: bytes | bytearray) -> bytes:
        """The tree's next level."""
        whole = len(nodes) // _PAIR * _PAIR
        if whole < _FEW_PAIRS * _PAIR:
            return hash_pairs(nodes)
        view, step = memoryview(nodes)[:whole], _PAIRS_AT_ONCE * _PAIR
        pieces = (view[start : start + step] for start in range(0, whole, step))
        return b"".join(map(self._parents, pieces))

    def _parents(self, nodes: memoryview) -> bytes:
        pairs = np.frombuffer(nodes, np.uint8).reshape(-1, _PAIR)
        data = room(len(pairs) * (1 + _PAIR))
        entries = data[: len(pairs) * (1 + _PAIR)].reshape(-1, 1 + _PAIR)
        entries[:, 0] = 1
        entries[:, 1:] = pairs
        return self._hasher.digests(_whole_rows(data, 1 + _PAIR, len(pairs))).tobytes()


def _rows(columns: Sequence[Column], rows: int) -> Runs:
    """CBOR array of each row's values."""
    parts: list[Runs | bytes] = [cbor.head(4, len(columns))]
    parts += [runs for column in columns for runs in column.values]
    return joined(rows, parts)


def _encoded(columns: Columns) -> list[Column]:
    return [
        Column(cbor_runs(item, values), cbor.encode_text(item.name)) for item, values in columns
    ]


def _salted(salts: SaltPlan, ranks: array[int], key_index: array[int]) -> Salted:
    heads = np.empty((len(ranks), SALT_HEAD), np.uint8)
    heads[:, :16] = np.frombuffer(salts.snapshot, np.uint8)
    numbers = np.frombuffer(ranks, np.uint64).astype(">u8")
    heads[:, 16:] = numbers.view(np.uint8).reshape(-1, 8)
    return Salted(cast("NumpyKeys", salts.prepared).take(key_index), heads)


def _whole_rows(data: Bytes, width: int, rows: int) -> Runs:
    """Every row of a matrix, whole."""
    return matrix_runs(data, width, np.full(rows, width, np.int64))
