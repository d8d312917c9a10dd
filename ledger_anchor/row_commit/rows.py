"""row-commit v1: salted cell digests, keyed row order, leaves and the root of a table.

What belongs here: the commitment itself, written once against a small engine, from a table's
batches to private files in a folder. What does not: the arithmetic (``plain``, ``numpy_engine``,
``fast``), tables larger than memory (``spill``), where keys and results are kept (``vault``,
``snapshots``).

A cell's digest is SHA-256(CBOR [salt, value, column name]); a row's leaf is
SHA-256(0x00 || digests in schema order); rows stand in ascending order of
HMAC-SHA-256(order key, CBOR of the unique key). A salt is the first 16 bytes of
HMAC-SHA-256(subject key, snapshot id || u64be row number || u16be column number).
"""

from __future__ import annotations

import hashlib
import hmac
import os
import struct
from array import array
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol, overload

from ledger_anchor import cbor
from ledger_anchor.errors import TableError
from ledger_anchor.row_commit.columns import Batch, Field, TableSource
from ledger_anchor.row_commit.parallel import in_order
from ledger_anchor.row_commit.spill import NumbersFile, OrderPass, RowPass, SpillPlan
from ledger_anchor.tree import HASH_SIZE, NodeSource

ORDER_PURPOSE = "tracient row order 1"
KEY_SIZE = 32
SALT_SIZE = 16
PREFIX_SIZE = 4
MAX_COLUMNS = 65_536  # a column's number is a u16 in its salt
MEMORY_BYTES = 512 << 20
_WORD = 2**64

Columns = Sequence[tuple[Field, Any]]
"""Columns of one batch: each field with its plain Arrow array (``columns.plain_array``)."""


class JoinedKeys(Sequence[bytes]):
    """Keys of 32 bytes in one piece."""

    def __init__(self, joined: bytes) -> None:
        self.joined = joined

    def __len__(self) -> int:
        return len(self.joined) // KEY_SIZE

    @overload
    def __getitem__(self, number: int) -> bytes: ...

    @overload
    def __getitem__(self, number: slice) -> list[bytes]: ...

    def __getitem__(self, number: int | slice) -> bytes | list[bytes]:
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        if not 0 <= number < len(self):
            raise IndexError(number)
        return self.joined[KEY_SIZE * number : KEY_SIZE * (number + 1)]


class PreparedKeys(Protocol):
    """Keys in the form an engine makes HMACs under them quickly; it grows at its end."""

    def extend(self, keys: Sequence[bytes], /) -> None:
        """Add keys of 32 bytes. Batches that were numbered before may be hashed meanwhile."""

    def __len__(self) -> int: ...


class Numbering(Protocol):
    """Numbers the distinct values of a column across batches: 0, 1, 2, ... as they appear."""

    def number(self, item: Field, values: Any) -> tuple[array[int], list[int]]:
        """Number the values of a plain array.

        Args:
            item: the column, of text or whole numbers.
            values: its plain array.

        Returns:
            The number of each value plus one, 0 for null; and the rows that brought a new value,
            in the order of their numbers.
        """

    def __len__(self) -> int: ...


class Engine(Protocol):
    """The arithmetic of the commitment over batches; all engines give the same bytes.

    Methods are called from ``workers`` threads at once. Integers travel as ``array("Q")``, joined
    records of one width as bytes.
    """

    workers: int
    batch_rows: int
    takes_dictionaries: bool  # whether columns of text may be dictionary arrays

    # -- hashing --------------------------------------------------------------------------------

    def prepare_keys(self, keys: Sequence[bytes]) -> PreparedKeys:
        """Whatever makes an HMAC-SHA-256 under each of these keys of 32 bytes quick."""

    def numbering(self) -> Numbering:
        """A fresh numbering of distinct values; it is called from one thread at a time."""

    def keyed_rows(self, key: bytes, columns: Columns, rows: int) -> bytes:
        """HMAC-SHA-256(key, CBOR array of the row's values) of each row, joined."""

    def hash_batch(
        self,
        salts: SaltPlan,
        columns: Columns,
        ranks: array[int],
        key_index: array[int],
        content_key: bytes,
    ) -> Hashes:
        """Leaves, cell-digest prefixes and content sums of a batch.

        Args:
            salts: snapshot id and prepared keys.
            columns: all columns in schema order.
            ranks: committed row number of each row.
            key_index: number of each row's key among ``salts.prepared``.
            content_key: key of the content digest, 32 bytes.

        Returns:
            Leaf hashes (32 bytes a row); the first four bytes of each cell digest (row after
            row); the sum of the rows' content digests as four little-endian 64-bit words, each
            modulo 2**64. A row's content digest is SHA-256(content key, filled with zeros to 64
            bytes || CBOR array of the row's values).
        """

    def hash_pairs(self, nodes: bytes | bytearray) -> bytes:
        """The tree's next level: see ``tree.hash_pairs``."""

    # -- moving records -------------------------------------------------------------------------

    def count(self, start: int, rows: int) -> array[int]:
        """The numbers from ``start`` on, so many of them."""

    def heads(self, digests: bytes) -> array[int]:
        """First eight bytes of each digest of 32 bytes, read as a big-endian number."""

    def order(self, heads: array[int]) -> array[int]:
        """Positions of the numbers in ascending order; equal ones stay in order of position."""

    def repeats(self, numbers: array[int]) -> list[int]:
        """Positions of ascending numbers that equal the number before them."""

    def take(self, data: bytes, places: array[int], width: int) -> bytes:
        """Records ``places[0]``, ``places[1]``, ... of ``data``, joined."""

    def scatter(
        self, target: bytearray, places: array[int], data: bytes, width: int, base: int = 0
    ) -> None:
        """Copy record i of ``data`` to record ``places[i] - base`` of ``target``."""

    def split(
        self, places: array[int], shift: int, parts: int, data: Sequence[bytes], base: int = 0
    ) -> list[bytes]:
        """Group records by ``(places[i] - base) >> shift``, which is below ``parts``.

        Record i consists of record i of each element of ``data``, joined; an element's width is
        its length divided by the number of places. Order within a group is kept.
        """

    def unpack(self, records: bytes, widths: Sequence[int]) -> list[bytes]:
        """Joined records back into one sequence for each of the widths they consist of."""


class Hashes(NamedTuple):
    """What an engine makes of a batch: see ``Engine.hash_batch``."""

    leaves: bytes
    prefixes: bytes
    sums: tuple[int, int, int, int]


class FirstLook(Protocol):
    """Numbers keys in the first pass over a table, so that they are there in the second."""

    item: Field

    def note(self, batch: Batch) -> array[int]:
        """Number of each row's key, from a batch that has the column; called from threads."""

    def settle(self) -> None:
        """All batches were seen: wait until every number has its key."""


@dataclass(frozen=True)
class SaltPlan:
    """What salts are made of: the snapshot's 16 bytes and the keys in prepared form.

    ``index_of`` gives the number of the key of each row of a batch; it is called from several
    threads. Where there is a ``first_look``, a commit asks it instead (``subjects.SubjectKeys``).
    """

    snapshot: bytes
    prepared: PreparedKeys = field(repr=False)
    index_of: Callable[[Batch], array[int]] = field(repr=False)
    first_look: FirstLook | None = field(default=None, repr=False)


class Piece(NamedTuple):
    """A hashed batch: its first row in file order, row numbers, leaves, prefixes, content sums."""

    position: int
    ranks: array[int]
    leaves: bytes
    prefixes: bytes
    sums: tuple[int, int, int, int]


@dataclass(frozen=True)
class CommittedRows:
    """What ``commit_rows`` found: number of rows, root, and content digest (hex) of the rows."""

    rows: int
    root: bytes
    content: str
    sums: tuple[int, ...]


def salt_message(snapshot: bytes, row_number: int, column_number: int) -> bytes:
    """What a salt's HMAC runs over: snapshot id || u64be row number || u16be column number."""
    return snapshot + struct.pack(">QH", row_number, column_number)


def commit_rows(
    source: TableSource,
    engine: Engine,
    salts: SaltPlan,
    order_key: bytes,
    unique_key: Sequence[str],
    content_key: bytes,
    folder: Path,
    first_row: int = 0,
    memory_bytes: int = MEMORY_BYTES,
    before: NodeSource | None = None,
) -> CommittedRows:
    """Order and hash a table's rows into private files of a folder, in two passes over the table.

    Writes ``order.bin`` (first eight bytes of the sorted order digests), ``ranks.bin`` (u64 LE row
    number by position in the files), ``leaves.bin`` (32 bytes by row number), ``cells.bin`` (four
    bytes of each cell digest by row number) and ``nodes.bin`` (see ``row_tree``). None of them is
    flushed to the disk; after a failure they may be there in part.

    Args:
        source: the table.
        engine: arithmetic.
        salts: keys and snapshot id.
        order_key: 32 bytes.
        unique_key: names of the columns that tell rows apart.
        content_key: 32 bytes; keys the content digest.
        folder: where the files go; larger tables also have their partition files there meanwhile.
        first_row: number of the first row, if these rows follow others.
        memory_bytes: about how much memory records may take before they go through files.
        before: the tree of the ``first_row`` rows these follow; root and ``nodes.bin`` continue it
            then. Without it both are those of these rows alone.

    Returns:
        Rows, root, content digest and the sums it is made of; see ``content_digest``.

    Raises:
        DuplicateKeyError: if two rows share their unique key.
        TableError: if a column is not in the table, there are too many, or a part is damaged.
        StorageError: if a file cannot be written.
    """
    _check_columns(source)
    plan = SpillPlan(folder, memory_bytes, first_row)
    sums, width = [0, 0, 0, 0], len(source.fields) * PREFIX_SIZE
    with NumbersFile(folder / ".keys.part") as keys:
        _order_rows(source, engine, order_key, unique_key, plan, salts.first_look, keys)
        with (
            RowPass(engine, plan, source.rows, width, before) as sink,
            (folder / "ranks.bin").open("rb", buffering=0) as stream,
        ):
            ranks = RanksFile(stream.fileno())
            index_of = salts.index_of if salts.first_look is None else keys.of_batch
            hashed = _hashed(source, engine, salts, ranks.of_batch, index_of, content_key)

            def work(batch: Batch) -> tuple[int, int, int, int]:
                piece = hashed(batch)
                sink.add(piece.ranks, piece.leaves, piece.prefixes)
                return piece.sums

            for found in in_order(engine.workers, _batches(source, engine, source.fields), work):
                sums = add_sums(sums, found)
            root = sink.finish()
    content = content_digest(source.fields, source.rows, content_key, sums)
    return CommittedRows(source.rows, root, content, tuple(sums))


def _order_rows(
    source: TableSource,
    engine: Engine,
    order_key: bytes,
    unique_key: Sequence[str],
    plan: SpillPlan,
    first_look: FirstLook | None,
    keys: NumbersFile,
) -> None:
    """Committed order of a table's rows into ``order.bin`` and ``ranks.bin`` of the plan's folder.

    The same pass over the table shows ``first_look`` its column and keeps its numbers in ``keys``.
    """
    fields = source.require(unique_key, "the unique key")
    read = list(fields)
    if first_look is not None and first_look.item not in fields:
        read.append(first_look.item)

    def work(batch: Batch) -> None:
        if first_look is not None:
            keys.put(batch.position, first_look.note(batch))
        order.add(batch.position, _key_digests(engine, order_key, fields, batch))

    def digests_of(positions: Sequence[int]) -> dict[int, bytes]:
        return _digests_at(source, engine, order_key, fields, positions)

    with (
        OrderPass(engine, plan, source.rows, source.dataset, unique_key) as order,
        ThreadPoolExecutor(1) as beside,
    ):
        for _ in in_order(engine.workers, _batches(source, engine, read), work):
            pass
        # The vault draws keys while rows are sorted.
        settled = beside.submit(first_look.settle) if first_look is not None else None
        order.finish(digests_of)
        if settled is not None:
            settled.result()


def key_digests(
    source: TableSource, engine: Engine, order_key: bytes, unique_key: Sequence[str]
) -> Iterator[tuple[int, bytes]]:
    """First row and HMACs of the rows' unique keys, batch by batch in file order."""
    fields = source.require(unique_key, "the unique key")

    def work(batch: Batch) -> tuple[int, bytes]:
        return batch.position, _key_digests(engine, order_key, fields, batch)

    return in_order(engine.workers, _batches(source, engine, fields), work)


def _batches(source: TableSource, engine: Engine, fields: Sequence[Field]) -> Iterator[Batch]:
    """Batches as an engine likes them."""
    keeps = engine.takes_dictionaries
    return source.batches(fields, engine.batch_rows, keeps_dictionaries=keeps)


def _key_digests(engine: Engine, key: bytes, fields: Sequence[Field], batch: Batch) -> bytes:
    columns = [(item, batch.columns[item.name]) for item in fields]
    return engine.keyed_rows(key, columns, batch.rows)


def _digests_at(
    source: TableSource,
    engine: Engine,
    key: bytes,
    fields: Sequence[Field],
    positions: Sequence[int],
) -> dict[int, bytes]:
    """Whole digests of a few rows, from another reading of the key columns."""
    wanted = sorted(positions)
    found = {}
    at = 0
    for batch in source.batches(fields):
        if at == len(wanted):
            break
        if wanted[at] >= batch.position + batch.rows:
            continue
        digests = _key_digests(engine, key, fields, batch)
        while at < len(wanted) and wanted[at] < batch.position + batch.rows:
            start = (wanted[at] - batch.position) * HASH_SIZE
            found[wanted[at]] = digests[start : start + HASH_SIZE]
            at += 1
    return found


def hash_pieces(
    source: TableSource,
    engine: Engine,
    salts: SaltPlan,
    ranks_of_batch: Callable[[Batch], array[int]],
    content_key: bytes,
) -> Iterator[Piece]:
    """Hash every cell and row of a table, batch by batch in file order.

    Args:
        source: the table.
        engine: arithmetic.
        salts: keys and snapshot id.
        ranks_of_batch: committed row number of each row of a batch; called from several threads.
        content_key: 32 bytes; keys the content digest.

    Raises:
        TableError: if the table cannot be read or has too many columns.
    """
    _check_columns(source)
    hashed = _hashed(source, engine, salts, ranks_of_batch, salts.index_of, content_key)
    return in_order(engine.workers, _batches(source, engine, source.fields), hashed)


def _hashed(
    source: TableSource,
    engine: Engine,
    salts: SaltPlan,
    ranks_of_batch: Callable[[Batch], array[int]],
    index_of_batch: Callable[[Batch], array[int]],
    content_key: bytes,
) -> Callable[[Batch], Piece]:
    """The function that hashes a batch."""

    def work(batch: Batch) -> Piece:
        columns = [(item, batch.columns[item.name]) for item in source.fields]
        ranks, index = ranks_of_batch(batch), index_of_batch(batch)
        made = engine.hash_batch(salts, columns, ranks, index, content_key)
        return Piece(batch.position, ranks, *made)

    return work


class RanksFile:
    """Committed row numbers of batches from an open ``ranks.bin``."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def of_batch(self, batch: Batch) -> array[int]:
        """Row number of each row of a batch."""
        return array("Q", os.pread(self._descriptor, 8 * batch.rows, 8 * batch.position))


def add_sums(sums: Sequence[int], more: Sequence[int]) -> list[int]:
    """Content sums of more rows."""
    return [(old + new) % _WORD for old, new in zip(sums, more, strict=True)]


def content_digest(fields: Sequence[Field], rows: int, key: bytes, sums: Sequence[int]) -> str:
    """Keyed digest of a table's values and schema, from the sum over its rows.

    It depends on neither the order of rows nor the split into parts, and it never leaves the
    vault. Without the key the rows' digests are as good as random numbers of 256 bits (SHA-256
    behind a secret block is a pseudorandom function on messages none of which begins another, and
    a CBOR array ends itself), so nobody can find two tables with one sum; the HMAC over it hides
    even the sum.
    """
    schema = [cbor.encode([item.name, item.logical_type]) for item in fields]
    message = cbor.encode_array([cbor.encode(rows), *schema]) + struct.pack("<4Q", *sums)
    return hmac.new(key, message, hashlib.sha256).hexdigest()


def _check_columns(source: TableSource) -> None:
    if len(source.fields) > MAX_COLUMNS:
        raise TableError(
            f"{source.dataset}: {len(source.fields)} columns; at most {MAX_COLUMNS} fit"
        )
