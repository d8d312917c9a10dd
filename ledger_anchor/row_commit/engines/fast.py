"""The compiled engine: the same bytes as ``plain.PlainEngine``, a hundred times as fast.

What belongs here: buffers of Arrow columns in the form the kernels take, and room for what they
make. What does not: machine code (``lanes`` and the kernels), any decision about what is committed
(``rows``).
"""

from __future__ import annotations

import functools
import os
import secrets
import struct
from array import array
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ledger_anchor import cbor, tree
from ledger_anchor.row_commit.columns import Field
from ledger_anchor.row_commit.engines import cbor_kernels, hash_kernels, record_kernels
from ledger_anchor.row_commit.engines.lanes import IV, LANES, addresses
from ledger_anchor.row_commit.engines.numpy_records import NumpyRecords, numbers
from ledger_anchor.row_commit.rows import Columns, Hashes, JoinedKeys, SaltPlan
from ledger_anchor.tree import HASH_SIZE

_SLACK = 64  # kernels read a block around a value
_KEY_SIZE = 32
_STATE_SIZE = 32
_INNER, _OUTER = 0x36363636, 0x5C5C5C5C  # what HMAC's two key blocks are xored with
_START = np.frombuffer(struct.pack(">8I", *IV), np.uint32)
_MESSAGES = 64 << 10  # room for sixteen rows' messages to begin with
_FEW_PAIRS = 64
_LONGEST_ENTRY = 1 << 10  # of a dictionary; room is made for so much a row
_SIGNED, _UNSIGNED, _WIDE, _FLOAT, _BOOL = range(5)
_LONGEST_NUMBER = {_SIGNED: 9, _UNSIGNED: 9, _WIDE: 19, _FLOAT: 9, _BOOL: 1}


class FastKeys:
    """Keys as states of HMAC after the inner and the outer key block: 64 bytes each."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self.states = _aligned_rows(max(16, len(keys)))
        self._count = 0
        self.extend(keys)

    def extend(self, keys: Sequence[bytes]) -> None:
        """Add keys of 32 bytes."""
        first, states = self._count, self.states
        if first + len(keys) > len(states):
            states = _aligned_rows((first + len(keys)) * 3 // 2)
            states[:first] = self.states[:first]
        _key_states(keys, _INNER, states, first, 0)
        _key_states(keys, _OUTER, states, first, _STATE_SIZE)
        # Batches that run meanwhile keep the array they have.
        self.states, self._count = states, first + len(keys)

    def __len__(self) -> int:
        return self._count


class FastNumbering:
    """Numbers values by two fingerprints of 61 bits under secret keys: 20 to 36 bytes a value.

    They are values of polynomials at secret points, so nobody can find two values of one number;
    by chance, ten million values of 64 bytes would meet with a probability below 1e-20.
    """

    def __init__(self) -> None:
        self._points = np.array(
            [secrets.randbelow(record_kernels.PRIME) for _ in range(2)], np.uint64
        )
        self._slots = np.zeros(1 << 10, np.uint32)
        self._marks = np.empty((1 << 9, 2), np.uint64)
        self._known = 0

    def number(self, item: Field, values: Any) -> tuple[array[int], list[int]]:
        """Number of each value, and the rows that brought a new one."""
        rows = len(values)
        taken = _Values([(item, values)], rows)
        self._make_room(rows)
        found, fresh = np.empty(rows, np.uint64), np.empty(rows, np.int64)
        more = record_kernels.number_values(
            taken.job,
            _at(self._points),
            record_kernels.Table(_at(self._slots), len(self._slots) - 1, _at(self._marks)),
            self._known,
            _at(found),
            _at(fresh),
        )
        self._known += more
        return numbers(found), fresh[:more].tolist()

    def _make_room(self, rows: int) -> None:
        most = self._known + rows
        if most >= len(self._marks):
            marks = np.empty((most * 3 // 2 + 1, 2), np.uint64)
            marks[: self._known + 1] = self._marks[: self._known + 1]
            self._marks = marks
        if 2 * most > self._slots.size:
            self._slots = np.zeros(1 << (2 * most).bit_length(), np.uint32)
            table = record_kernels.Table(_at(self._slots), len(self._slots) - 1, _at(self._marks))
            record_kernels.place_again(table, self._known)

    def __len__(self) -> int:
        return self._known


class FastEngine(NumpyRecords):
    """The compiled engine; see ``rows.Engine`` for what its methods give."""

    batch_rows = 32_768
    takes_dictionaries = True

    def __init__(self) -> None:
        self.workers = max(1, min(4, os.cpu_count() or 1))

    def prepare_keys(self, keys: Sequence[bytes]) -> FastKeys:
        """States of all keys."""
        return FastKeys(keys)

    def numbering(self) -> FastNumbering:
        """A hash table of fingerprints."""
        return FastNumbering()

    def keyed_rows(self, key: bytes, columns: Columns, rows: int) -> bytes:
        """HMAC of each row's CBOR array."""
        states, out = FastKeys([key]).states, np.empty(8 * rows, np.uint32)
        start = _at(states)
        _hash_rows(_Values(columns, rows), start, start + _STATE_SIZE, _at(out), 0)
        return out.tobytes()

    def hash_batch(
        self,
        salts: SaltPlan,
        columns: Columns,
        ranks: array[int],
        key_index: array[int],
        content_key: bytes,
    ) -> Hashes:
        """Leaves, prefixes and content sums of a batch."""
        rows = len(ranks)
        values, names = _Values(columns, rows), tuple(item.name for item, _ in columns)
        shapes, room = _shapes(names), _leaf_room(len(columns)).copy()
        leaves = np.empty(8 * rows, np.uint32)
        prefixes = np.empty(rows * len(columns), np.uint32)
        snapshot = np.frombuffer(salts.snapshot, ">u4").astype(np.uint32)
        numbered, index = np.frombuffer(ranks, np.uint64), np.frombuffer(key_index, np.uint64)
        states = cast("FastKeys", salts.prepared).states
        job = hash_kernels.CellJob(
            start=_at(_START),
            snapshot=_at(snapshot),
            ranks=_at(numbered),
            states=_at(states),
            key_index=_at(index),
            leaves=_at(leaves),
            prefixes=_at(prefixes),
            room=_at(room),
            message=(len(room) - hash_kernels.CELL_ROOM) // hash_kernels.VECTOR - 1,
        )
        hash_kernels.hash_cells(_at(_code()), values.job, shapes.job, job)
        state, words = _content_state(content_key), np.zeros(4, np.uint64)
        _hash_rows(values, _at(state), 0, 0, _at(words))
        first, second, third, fourth = (int(word) for word in words)
        return Hashes(leaves.tobytes(), prefixes.tobytes(), (first, second, third, fourth))

    def hash_pairs(self, nodes: bytes | bytearray) -> bytes:
        """The tree's next level."""
        pairs = len(nodes) // (2 * HASH_SIZE)
        if pairs < _FEW_PAIRS:
            return tree.hash_pairs(nodes)
        out = np.empty(8 * pairs, np.uint32)
        taken, room = np.frombuffer(nodes, np.uint8), _pair_room().copy()
        start = _at(_START)
        hash_kernels.hash_pairs(_at(_code()), _at(taken), pairs, start, _at(room), _at(out))
        return out.tobytes()

    def scatter(
        self, target: bytearray, places: array[int], data: bytes, width: int, base: int = 0
    ) -> None:
        """Copy records to their places."""
        to, taken = np.frombuffer(target, np.uint8), np.frombuffer(data, np.uint8)
        record_kernels.scatter(
            _at(to), places.buffer_info()[0], len(places), base, _at(taken), width
        )

    def split(
        self, places: array[int], shift: int, parts: int, data: Sequence[bytes], base: int = 0
    ) -> list[bytes]:
        """Records by part."""
        if not places or parts == 1:
            return super().split(places, shift, parts, data, base)
        taken = [np.frombuffer(column, np.uint8) for column in data]
        widths = np.array([len(column) // len(places) for column in data], np.int64)
        stride, ends = int(widths.sum()), np.zeros(parts, np.int64)
        out = np.empty(stride * len(places), np.uint8)
        at = np.array([_at(column) for column in taken], np.int64)
        record_kernels.split(
            places.buffer_info()[0],
            len(places),
            base,
            shift,
            _at(ends),
            parts,
            record_kernels.Columns(len(taken), _at(at), _at(widths)),
            _at(out),
        )
        edges = [0, *(stride * ends).tolist()]
        return [out[left:right].tobytes() for left, right in pairwise(edges)]


class _Values:
    """CBOR of every value of some columns, and where each starts."""

    def __init__(self, columns: Columns, rows: int) -> None:
        taken = [(item, _taken(item, values)) for item, values in columns]
        room = sum(_room(values) for _, values in taken)
        self.cells = np.empty(room + 2 * _SLACK, np.uint8)
        self.starts = np.empty((len(columns), rows + 1), np.int64)
        at = _SLACK
        for number, (item, values) in enumerate(taken):
            at = self._encode(item, values, number, at)
        cells, starts = _at(self.cells), _at(self.starts)
        self.job = hash_kernels.Values(cells, starts, len(columns), rows)

    def _encode(self, item: Field, values: Any, number: int, at: int) -> int:
        """Write a column from a place on; the place after it."""
        rows, starts = len(values), _at(self.starts) + self.starts.strides[0] * number
        if isinstance(values, _Indices):
            return values.encode(_at(self.cells), at, starts)
        if values.null_count == rows:
            self.cells[at : at + rows] = cbor.NULL[0]
            self.starts[number] = np.arange(at, at + rows + 1)
            return at + rows
        buffers = [0 if buffer is None else buffer.address for buffer in values.buffers()]
        bits = buffers[0] if values.null_count else 0
        cells = _at(self.cells)
        if item.kind in {"text", "blob"}:
            major = 3 if item.kind == "text" else 2
            end = cbor_kernels.encode_strings(
                buffers[1], buffers[2], bits, values.offset, rows, major, cells, at, starts
            )
            return int(end)
        prefix = b""
        if item.kind == "decimal":
            prefix = cbor.decimal_prefix(item.scale)
        elif item.kind == "date":
            prefix = cbor.head(6, 100)
        left = np.uint64(int.from_bytes(prefix.ljust(8, b"\0"), "little"))
        end = cbor_kernels.encode_numbers(
            _kind(values),
            buffers[1],
            bits,
            values.offset,
            rows,
            left,
            len(prefix),
            cells,
            at,
            starts,
        )
        return int(end)


class _Indices:
    """A dictionary array, with the CBOR of its dictionary."""

    def __init__(self, item: Field, values: Any) -> None:
        self._indices = values.indices
        self._entries = _Values([(item, values.dictionary)], len(values.dictionary))
        self.longest = int(np.diff(self._entries.starts[0]).max(initial=1))

    def __len__(self) -> int:
        return len(self._indices)

    def encode(self, cells: int, at: int, starts: int) -> int:
        """Write it from a place on; the place after it."""
        bits, indices = self._indices.buffers()
        has_nulls = bits is not None and self._indices.null_count
        end = cbor_kernels.encode_entries(
            indices.address,
            bits.address if has_nulls else 0,
            self._indices.offset,
            len(self),
            self._entries.job.cells,
            self._entries.job.starts,
            cells,
            at,
            starts,
        )
        return int(end)


def _taken(item: Field, values: Any) -> Any:
    """A dictionary array with its CBOR, if that is worth it; other arrays as they are."""
    if not hasattr(values, "dictionary_decode"):
        return values
    if len(values.dictionary) <= len(values):
        indices = _Indices(item, values)
        if indices.longest <= _LONGEST_ENTRY:
            return indices
    return values.dictionary_decode()


def _kind(values: Any) -> int:
    kinds = {"uint64": _UNSIGNED, "double": _FLOAT, "bool": _BOOL}
    name = str(values.type)
    return _WIDE if name.startswith("decimal") else kinds.get(name, _SIGNED)


def _room(values: Any) -> int:
    """Most bytes the CBOR of a plain array can have."""
    rows = len(values)
    if isinstance(values, _Indices):
        return rows * values.longest
    if str(values.type) == "large_binary":
        data = values.buffers()[2]
        return 9 * rows + (0 if data is None else int(data.size))
    return rows * (8 + _LONGEST_NUMBER[_kind(values)])


def _hash_rows(values: _Values, start: int, finish: int, out: int, sums: int) -> None:
    """Hash each row's CBOR array; see ``hash_kernels.RowJob``."""
    head = cbor.head(4, values.job.columns)
    first, capacity, rows = 0, _MESSAGES, values.job.rows
    while first < rows:
        room = np.zeros(hash_kernels.ROW_ROOM + capacity, np.uint8)
        job = hash_kernels.RowJob(
            head=int.from_bytes(head.ljust(8, b"\0"), "little"),
            head_size=len(head),
            start=start,
            finish=finish,
            room=_at(room),
            capacity=capacity,
            out=out,
            sums=sums,
        )
        first = hash_kernels.hash_rows(_at(_code()), values.job, job, first)
        capacity *= 8  # a row is longer than the others


class _Shapes:
    """What the cells of some columns have in common; see ``hash_kernels.Shapes``."""

    def __init__(self, names: Sequence[str]) -> None:
        tails = [cbor.encode_text(name) for name in names]
        padding = 9  # a bit, and the length
        room = [hash_kernels.BLOCK - hash_kernels.SALTED - padding - len(tail) for tail in tails]
        width = max(1, *(single + 1 for single in room))
        self._singles = np.array(room, np.int64)
        self._masks = np.zeros((width, hash_kernels.BLOCK), np.uint8)
        for size in range(width):
            self._masks[size, hash_kernels.SALTED : hash_kernels.SALTED + size] = 0xFF
        self._templates = np.zeros((len(names), width, hash_kernels.BLOCK), np.uint8)
        for number, (tail, single) in enumerate(zip(tails, room, strict=True)):
            for size in range(single + 1):
                template = np.frombuffer(_template(tail, size), np.uint8)
                self._templates[number, size] = template
        self._tails = _joined(tails)
        ends = [0, *accumulate(len(tail) for tail in tails)]
        self._tail_starts = np.array(ends, np.int64)
        self.job = hash_kernels.Shapes(
            singles=_at(self._singles),
            masks=_at(self._masks),
            templates=_at(self._templates),
            width=width,
            tails=_at(self._tails),
            tail_starts=_at(self._tail_starts),
        )


def _template(tail: bytes, size: int) -> bytes:
    """The block of a cell with a value of this size, all but salt and value."""
    end = hash_kernels.SALTED + size + len(tail)
    padded = (bytes(hash_kernels.SALTED + size) + tail + b"\x80").ljust(
        hash_kernels.BLOCK - 8, b"\0"
    )
    return padded + (8 * end).to_bytes(8, "big")


@functools.lru_cache(maxsize=16)
def _shapes(names: tuple[str, ...]) -> _Shapes:
    return _Shapes(names)


@functools.lru_cache(maxsize=16)
def _leaf_room(columns: int) -> npt.NDArray[np.uint8]:
    """Room for cells and leaves: see ``hash_kernels.CellJob``."""
    return _message_room(hash_kernels.CELL_ROOM, 0, HASH_SIZE * columns)


@functools.cache
def _pair_room() -> npt.NDArray[np.uint8]:
    """Room for nodes: see ``hash_kernels.hash_pairs``."""
    return _message_room(hash_kernels.PAIR_ROOM, 1, 2 * HASH_SIZE)


def _message_room(before: int, lead: int, digests: int) -> npt.NDArray[np.uint8]:
    """Room, and vectors of the message lead || digests || padding, all but the digests.

    The message stands a byte late, so that digests fill whole words: the first word ends with the
    lead, and each of SHA-256's words is made of two neighbours.
    """
    size = 1 + digests
    words = (size + 9 + hash_kernels.BLOCK - 1) // hash_kernels.BLOCK * 16
    message = np.zeros((1 + words, LANES), np.uint32)
    message[0] = lead
    message[size // 4 + 1] = 1 << 31
    message[words - 1] |= np.uint32(8 * size >> 24)
    message[words] = 8 * size << 8 & 0xFFFFFFFF
    return np.concatenate([np.zeros(before, np.uint8), message.reshape(-1).view(np.uint8)])


@functools.lru_cache(maxsize=4)
def _content_state(key: bytes) -> npt.NDArray[np.uint32]:
    """State after a block of the content key and zeros."""
    states = np.empty((1, 8), np.uint32)
    _key_states([key], 0, states, 0, 0)
    return states


def _key_states(
    keys: Sequence[bytes], filler: int, states: npt.NDArray[np.uint32], first: int, offset: int
) -> None:
    """States after a key's block, into rows of an array from ``first`` on, so many bytes in."""
    joined = np.frombuffer(keys.joined, np.uint8) if isinstance(keys, JoinedKeys) else _joined(keys)
    room = np.empty(hash_kernels.KEY_ROOM, np.uint8)
    stride = states.strides[0]
    target = _at(states) + stride * first + offset
    hash_kernels.key_states(
        _at(_code()), _at(joined), len(keys), filler, _at(_START), _at(room), target, stride
    )


@functools.cache
def _code() -> npt.NDArray[np.int64]:
    return np.array(addresses(), np.int64)


def _joined(pieces: Sequence[bytes]) -> npt.NDArray[np.uint8]:
    return np.frombuffer(b"".join([*pieces, bytes(_SLACK)]), np.uint8)


def _aligned_rows(count: int) -> npt.NDArray[np.uint32]:
    """Rows of sixteen words, each in one line of the processor's cache."""
    whole = np.empty(16 * count + 16, np.uint32)
    first = -(_at(whole) // 4) % 16
    return whole[first : first + 16 * count].reshape(count, 16)


def _at(values: npt.NDArray[Any]) -> int:
    """Address of an array that a name holds for as long as the address is used."""
    return int(values.ctypes.data)
