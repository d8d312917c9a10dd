"""row-commit v1: salted cell digests, keyed row order, leaves and the root of a table.

What belongs here: the commitment itself, written once against a small engine, and the engine of
the standard library that serves as fallback and oracle. What does not: the fast engine (``fast``),
where keys and results are kept (``vault``, ``snapshots``).

A cell's digest is SHA-256(CBOR [salt, value, column name]); a row's leaf is
SHA-256(0x00 || digests in schema order); rows stand in ascending order of
HMAC-SHA-256(order key, CBOR of the unique key). A salt is the first 16 bytes of
HMAC-SHA-256(subject key, snapshot id || u64be row number || u16be column number).
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import struct
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar

from ledger_anchor import cbor
from ledger_anchor.columns import Batch, Field, TableSource, cbor_values
from ledger_anchor.errors import DuplicateKeyError, TableError
from ledger_anchor.tree import HASH_SIZE, Tree, leaf_hash

ORDER_PURPOSE = "tracient row order 1"
SALT_SIZE = 16
PREFIX_SIZE = 4
MAX_COLUMNS = 65_536  # a column's number is a u16 in its salt
_WORD = 2**64
_Result = TypeVar("_Result")


class Engine(Protocol):
    """The arithmetic of the commitment over batches; two engines give the same bytes."""

    workers: int

    def prepare_keys(self, keys: Sequence[bytes]) -> Any:
        """Whatever makes an HMAC under each of these keys quick."""

    def keyed_rows(self, key: bytes, columns: Sequence[tuple[Field, Any]], rows: int) -> bytes:
        """HMAC-SHA-256(key, CBOR array of the row's values) of each row, joined."""

    def cell_digests(
        self,
        salts: SaltPlan,
        columns: Sequence[tuple[Field, Any]],
        ranks: array[int],
        key_index: array[int],
    ) -> bytes:
        """Cell digests, row after row, joined."""

    def leaf_hashes(self, digests: bytes, columns: int) -> bytes:
        """Leaf hash of each row from its cell digests, joined."""

    def order(self, digests: bytes) -> tuple[array[int], bytes, int]:
        """Rank of each row, the first eight bytes of the sorted digests, number of duplicates."""

    def scatter(self, target: bytearray, ranks: array[int], data: bytes, width: int) -> None:
        """Copy record i of ``data`` to record ranks[i] of ``target``."""

    def prefixes(self, digests: bytes) -> bytes:
        """First four bytes of each digest, joined."""

    def digest_sum(self, digests: bytes) -> tuple[int, int, int, int]:
        """Sum of the digests as four little-endian 64-bit words, each modulo 2**64."""

    def tree(self, leaves: bytes | bytearray) -> Tree:
        """The tree over joined leaf hashes."""


@dataclass(frozen=True)
class SaltPlan:
    """What salts are made of: the snapshot's 16 bytes and the keys in prepared form.

    ``index_of`` gives the number of the key of each row of a batch.
    """

    snapshot: bytes
    prepared: Any = field(repr=False)
    index_of: Callable[[Batch], array[int]] = field(repr=False)


@dataclass(frozen=True)
class RowOrder:
    """Committed row number of each row in file order, and the sorted order keys (8 bytes each)."""

    ranks: array[int] = field(repr=False)
    sorted_keys: bytes = field(repr=False)


@dataclass(frozen=True)
class HashedRows:
    """Leaf hashes and cell-digest prefixes by committed row number, and the content digest."""

    leaves: bytearray = field(repr=False)
    prefixes: bytearray = field(repr=False)
    content: str


class PlainEngine:
    """The engine of the standard library: slow, obvious, always there, and the oracle."""

    workers = 1

    def prepare_keys(self, keys: Sequence[bytes]) -> list[hmac.HMAC]:
        """One started HMAC per key; each use copies it."""
        return [hmac.new(key, digestmod=hashlib.sha256) for key in keys]

    def keyed_rows(self, key: bytes, columns: Sequence[tuple[Field, Any]], rows: int) -> bytes:
        """HMAC of each row's CBOR array."""
        started = hmac.new(key, digestmod=hashlib.sha256)
        encoded = [cbor_values(values, item) for item, values in columns]
        head = cbor.head(4, len(encoded))
        digests = bytearray()
        for row in range(rows):
            running = started.copy()
            running.update(head + b"".join(values[row] for values in encoded))
            digests += running.digest()
        return bytes(digests)

    def cell_digests(
        self,
        salts: SaltPlan,
        columns: Sequence[tuple[Field, Any]],
        ranks: array[int],
        key_index: array[int],
    ) -> bytes:
        """Cell digests, row after row."""
        digests = bytearray(len(ranks) * len(columns) * HASH_SIZE)
        stride = len(columns) * HASH_SIZE
        for number, (item, values) in enumerate(columns):
            tail = cbor.encode_text(item.name)
            for row, value in enumerate(cbor_values(values, item)):
                running = salts.prepared[key_index[row]].copy()
                running.update(salt_message(salts.snapshot, ranks[row], number))
                salt = running.digest()[:SALT_SIZE]
                at = row * stride + number * HASH_SIZE
                message = b"\x83\x50" + salt + value + tail
                digests[at : at + HASH_SIZE] = hashlib.sha256(message).digest()
        return bytes(digests)

    def leaf_hashes(self, digests: bytes, columns: int) -> bytes:
        """Leaf hash of each row."""
        stride = columns * HASH_SIZE
        return b"".join(
            leaf_hash(digests[at : at + stride]) for at in range(0, len(digests), stride)
        )

    def order(self, digests: bytes) -> tuple[array[int], bytes, int]:
        """Sort rows by digest."""
        rows = len(digests) // HASH_SIZE
        keys = [digests[at : at + HASH_SIZE] for at in range(0, len(digests), HASH_SIZE)]
        positions = sorted(range(rows), key=keys.__getitem__)
        ranks = array("Q", bytes(8 * rows))
        for rank, position in enumerate(positions):
            ranks[position] = rank
        pairs = itertools.pairwise(positions)
        duplicates = sum(keys[left] == keys[right] for left, right in pairs)
        return ranks, b"".join(keys[position][:8] for position in positions), duplicates

    def scatter(self, target: bytearray, ranks: array[int], data: bytes, width: int) -> None:
        """Copy records to their ranks."""
        for row, rank in enumerate(ranks):
            target[rank * width : (rank + 1) * width] = data[row * width : (row + 1) * width]

    def prefixes(self, digests: bytes) -> bytes:
        """First four bytes of each digest."""
        starts = range(0, len(digests), HASH_SIZE)
        return b"".join(digests[at : at + PREFIX_SIZE] for at in starts)

    def digest_sum(self, digests: bytes) -> tuple[int, int, int, int]:
        """Four word sums modulo 2**64."""
        words = struct.unpack(f"<{len(digests) // 8}Q", digests)
        first, second, third, fourth = (sum(words[number::4]) % _WORD for number in range(4))
        return first, second, third, fourth

    def tree(self, leaves: bytes | bytearray) -> Tree:
        """The tree over joined leaf hashes."""
        view = bytes(leaves)
        return Tree(view[at : at + HASH_SIZE] for at in range(0, len(view), HASH_SIZE))


def salt_message(snapshot: bytes, row_number: int, column_number: int) -> bytes:
    """What a salt's HMAC runs over: snapshot id || u64be row number || u16be column number."""
    return snapshot + struct.pack(">QH", row_number, column_number)


def order_rows(
    source: TableSource, engine: Engine, order_key: bytes, unique_key: Sequence[str]
) -> RowOrder:
    """Committed order of a table's rows.

    Args:
        source: the table.
        engine: arithmetic.
        order_key: 32 bytes.
        unique_key: names of the columns that tell rows apart.

    Returns:
        Ranks and sorted order keys.

    Raises:
        DuplicateKeyError: if two rows share their unique key.
        TableError: if a column is not in the table.
    """
    digests = key_digests(source, engine, order_key, unique_key)
    ranks, sorted_keys, duplicates = engine.order(digests)
    if duplicates:
        raise DuplicateKeyError(
            f"{source.dataset}: {duplicates} of {source.rows} rows repeat another row's unique key "
            f"({', '.join(unique_key)}). Remove the duplicates, or name the columns that tell the "
            "rows apart"
        )
    return RowOrder(ranks, sorted_keys)


def key_digests(
    source: TableSource, engine: Engine, order_key: bytes, unique_key: Sequence[str]
) -> bytes:
    """HMAC of every row's unique key, in file order, joined."""
    fields = source.require(unique_key, "the unique key")

    def work(batch: Batch) -> bytes:
        columns = [(item, batch.columns[item.name]) for item in fields]
        return engine.keyed_rows(order_key, columns, batch.rows)

    return b"".join(_in_order(engine, source.batches(fields), work))


def hash_rows(
    source: TableSource,
    engine: Engine,
    salts: SaltPlan,
    ranks: array[int],
    content_key: bytes,
    slots: int | None = None,
) -> HashedRows:
    """Hash every cell and row of a table.

    Args:
        source: the table.
        engine: arithmetic.
        salts: keys and snapshot id.
        ranks: committed row number of each row in file order.
        content_key: 32 bytes; keys the content digest.
        slots: number of records to make room for, if ranks go beyond the number of rows.

    Returns:
        Leaves and prefixes by committed row number; the content digest is an HMAC over the sum of
        the rows' HMACs, so it depends on neither row order nor the split into parts.

    Raises:
        TableError: if the table cannot be read or has too many columns.
    """
    columns = len(source.fields)
    if columns > MAX_COLUMNS:
        raise TableError(f"{source.dataset}: {columns} columns; at most {MAX_COLUMNS} fit")
    room = source.rows if slots is None else slots
    leaves = bytearray(room * HASH_SIZE)
    prefixes = bytearray(room * columns * PREFIX_SIZE)
    sums = [0, 0, 0, 0]

    def work(batch: Batch) -> _Piece:
        return _hash_batch(source.fields, engine, salts, batch, ranks, content_key)

    for piece in _in_order(engine, source.batches(source.fields), work):
        engine.scatter(leaves, piece.ranks, piece.leaves, HASH_SIZE)
        engine.scatter(prefixes, piece.ranks, piece.prefixes, columns * PREFIX_SIZE)
        sums = [(old + new) % _WORD for old, new in zip(sums, piece.sums, strict=True)]
    return HashedRows(leaves, prefixes, _content_digest(source, content_key, sums))


@dataclass(frozen=True)
class _Piece:
    ranks: array[int]
    leaves: bytes
    prefixes: bytes
    sums: tuple[int, int, int, int]


def _hash_batch(
    fields: Sequence[Field],
    engine: Engine,
    salts: SaltPlan,
    batch: Batch,
    ranks: array[int],
    content_key: bytes,
) -> _Piece:
    columns = [(item, batch.columns[item.name]) for item in fields]
    here = ranks[batch.position : batch.position + batch.rows]
    digests = engine.cell_digests(salts, columns, here, salts.index_of(batch))
    sums = engine.digest_sum(engine.keyed_rows(content_key, columns, batch.rows))
    leaves = engine.leaf_hashes(digests, len(columns))
    return _Piece(here, leaves, engine.prefixes(digests), sums)


def _content_digest(source: TableSource, key: bytes, sums: Sequence[int]) -> str:
    schema = [cbor.encode([item.name, item.logical_type]) for item in source.fields]
    message = cbor.encode_array([cbor.encode(source.rows), *schema]) + struct.pack("<4Q", *sums)
    return hmac.new(key, message, hashlib.sha256).hexdigest()


def _in_order(
    engine: Engine, batches: Iterator[Batch], work: Callable[[Batch], _Result]
) -> Iterator[_Result]:
    """Work on a few batches at once and hand the results back in order; memory stays bounded."""
    if engine.workers == 1:
        yield from map(work, batches)
        return
    with ThreadPoolExecutor(engine.workers) as pool:
        pending: deque[Future[_Result]] = deque()
        for batch in batches:
            pending.append(pool.submit(work, batch))
            if len(pending) > engine.workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
