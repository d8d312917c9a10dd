"""SHA-256 and HMAC-SHA-256 of many messages at once, by the quickest way this machine has.

What belongs here: two hashers that give the same digests: one over OpenSSL's records
(``openssl_loop``), and one that calls hashlib for each message. What does not: what the messages
of a table are (``numpy_engine``).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ledger_anchor.row_commit.engines.numpy_messages import (
    BLOCK,
    WINDOW,
    Bytes,
    Numbers,
    Runs,
    first_bytes,
    joined,
    key_blocks,
    matrix_runs,
    put_run,
    put_runs,
    room,
    windows,
)
from ledger_anchor.row_commit.engines.openssl_loop import (
    INITIAL,
    OpenSslLoop,
    Records,
    Words,
    blank_records,
    data_bytes,
    data_view,
    open_loop,
)
from ledger_anchor.row_commit.rows import SALT_SIZE
from ledger_anchor.tree import HASH_SIZE

Digests = npt.NDArray[Any]
"""Eight big-endian words a row."""

SALT_HEAD = 24
"""Bytes of a salt's message before the column's number."""

_SALT_MESSAGE = SALT_HEAD + 2
_LEAD = b"\x83\x50"  # an array of three, and a byte string of sixteen: the salt
_INITIAL_WHOLE = INITIAL.view(f"V{HASH_SIZE}")
_AT_ONCE = 4096  # records of these fit in a core's own cache


@dataclass(frozen=True, repr=False)
class Salted:
    """What the salts of a batch are made of.

    Attributes:
        keys: the hasher's form of each row's key.
        heads: snapshot id and row number of each row, a matrix of ``SALT_HEAD`` bytes a row.
    """

    keys: Words
    heads: Bytes


@dataclass(frozen=True, repr=False)
class Column:
    """CBOR of a column's values, as runs to put after each other, and CBOR of its name."""

    values: Sequence[Runs]
    name: bytes


class Hasher(Protocol):
    """All hashers give the same digests."""

    def key_rows(self, keys: Sequence[bytes]) -> Words:
        """What HMAC under each of these keys starts from, one row a key."""

    def digests(self, messages: Runs) -> Digests:
        """SHA-256 of each message."""

    def prefixed(self, block: bytes, messages: Runs) -> Digests:
        """SHA-256 of a block of 64 bytes and each message."""

    def macs(self, keys: Words, messages: Runs) -> Digests:
        """HMAC-SHA-256 of each message; ``keys`` has one row for each, or is one row for all."""

    def cells(self, salted: Salted, columns: Sequence[Column], out: Digests) -> None:
        """Cell digests of all columns into ``out[row, column]``."""


def best_hasher() -> Hasher:
    """The quickest hasher that works here."""
    loop = open_loop()
    return HashlibHasher() if loop is None else OpenSslHasher(loop)


def hash_entries(entries: Sequence[bytes]) -> bytes:
    """Leaf hash of each entry, SHA-256(0x00 || entry), joined."""
    sizes = np.fromiter(map(len, entries), np.int64, len(entries)) + 1
    data = np.frombuffer(b"\0".join([b"", *entries, bytes(WINDOW)]), np.uint8)
    return best_hasher().digests(Runs(data, np.cumsum(sizes) - sizes, sizes)).tobytes()


class HashlibHasher:
    """One call of hashlib a message: where OpenSSL's functions cannot be reached."""

    def key_rows(self, keys: Sequence[bytes]) -> Words:
        """Inner and outer block of each key."""
        matrices = [blocks.reshape(-1, BLOCK) for blocks in key_blocks(keys)]
        return np.hstack(matrices).view(np.uint32)

    def digests(self, messages: Runs) -> Digests:
        """SHA-256 of each message."""
        return self.prefixed(b"", messages)

    def prefixed(self, block: bytes, messages: Runs) -> Digests:
        """SHA-256 of a block and each message."""
        sha256, data = hashlib.sha256, messages.data.tobytes()
        return _words([sha256(block + data[start:end]).digest() for start, end in _edges(messages)])

    def macs(self, keys: Words, messages: Runs) -> Digests:
        """HMAC-SHA-256 of each message."""
        sha256, data = hashlib.sha256, messages.data.tobytes()
        keys = np.broadcast_to(keys, (messages.sizes.size, keys.shape[-1]))
        blocks = np.ascontiguousarray(keys).tobytes()
        made = []
        for number, (start, end) in enumerate(_edges(messages)):
            at = 2 * BLOCK * number
            inner = sha256(blocks[at : at + BLOCK] + data[start:end]).digest()
            made.append(sha256(blocks[at + BLOCK : at + 2 * BLOCK] + inner).digest())
        return _words(made)

    def cells(self, salted: Salted, columns: Sequence[Column], out: Digests) -> None:
        """Cell digests of all columns."""
        for number, column in enumerate(columns):
            rows = len(salted.heads)
            data = room(rows * _SALT_MESSAGE)
            messages = data[: rows * _SALT_MESSAGE].reshape(rows, _SALT_MESSAGE)
            messages[:, :SALT_HEAD] = salted.heads
            messages[:, SALT_HEAD:] = number >> 8, number & 0xFF
            sizes = np.full(rows, _SALT_MESSAGE, np.int64)
            salts = self.macs(salted.keys, matrix_runs(data, _SALT_MESSAGE, sizes))
            out[:, number] = self.digests(_cell_messages(salts, column))


class OpenSslHasher:
    """Hashes by the loop; the state after a key's block is calculated once for each key."""

    def __init__(self, loop: OpenSslLoop) -> None:
        self._loop = loop

    def key_rows(self, keys: Sequence[bytes]) -> Words:
        """States after the inner and after the outer block of each key, eight words each."""
        return np.hstack([self._states(blocks) for blocks in key_blocks(keys)])

    def digests(self, messages: Runs) -> Digests:
        """SHA-256 of each message."""
        return self._digests(messages, INITIAL, 0)

    def prefixed(self, block: bytes, messages: Runs) -> Digests:
        """SHA-256 of a block and each message."""
        return self._digests(messages, self._states(np.frombuffer(block, np.uint8))[0], BLOCK)

    def macs(self, keys: Words, messages: Runs) -> Digests:
        """HMAC-SHA-256 of each message."""
        made = np.empty((messages.sizes.size, 8), ">u4")
        for start in range(0, len(made), _AT_ONCE):
            own = keys if keys.ndim == 1 else keys[start : start + _AT_ONCE]
            part = messages.part(start, start + _AT_ONCE)
            records = self._closed(part, own[..., :8], BLOCK)
            # The outer message is the inner digest, which lies in the record already.
            records["words"] = records["state"]
            records["state"] = own[..., 8:]
            _set_sizes(records, HASH_SIZE, BLOCK)
            self._loop.close(records)
            made[start : start + _AT_ONCE] = records["state"]
        return made

    def cells(self, salted: Salted, columns: Sequence[Column], out: Digests) -> None:
        """Cell digests of all columns."""
        for start in range(0, len(out), _AT_ONCE):
            end = min(len(out), start + _AT_ONCE)
            part = Salted(salted.keys[start:end], salted.heads[start:end])
            some = [
                Column([runs.part(start, end) for runs in column.values], column.name)
                for column in columns
            ]
            self._some_cells(part, some, out[start:end])

    def _states(self, blocks: Bytes) -> Words:
        """States after one block each."""
        records = blank_records(blocks.size // BLOCK)
        starts = np.arange(0, blocks.size, BLOCK)
        self._loop.absorb(records, blocks, starts, np.full_like(starts, BLOCK))
        states: Words = records["state"]
        return states

    def _digests(self, messages: Runs, state: Words, before: int) -> Digests:
        made = np.empty((messages.sizes.size, 8), ">u4")
        for start in range(0, len(made), _AT_ONCE):
            part = messages.part(start, start + _AT_ONCE)
            made[start : start + _AT_ONCE] = self._closed(part, state, before)["state"]
        return made

    def _some_cells(self, salted: Salted, columns: Sequence[Column], out: Digests) -> None:
        """Cells of a few rows; records are laid out once and used for every column."""
        inner_states = np.ascontiguousarray(salted.keys[:, :8]).view(f"V{HASH_SIZE}")[:, 0]
        outer_states = np.ascontiguousarray(salted.keys[:, 8:]).view(f"V{HASH_SIZE}")[:, 0]
        heads = np.ascontiguousarray(salted.heads).view(f"V{SALT_HEAD}")[:, 0]
        inner, outer, cells = (blank_records(len(out)) for _ in range(3))
        inner_heads = data_view(inner, heads.dtype, 0)
        inner_number = data_view(inner, ">u2", SALT_HEAD)
        _set_sizes(inner, _SALT_MESSAGE, BLOCK)
        _set_sizes(outer, HASH_SIZE, BLOCK)
        for number, column in enumerate(columns):
            inner["state_whole"], inner["used"] = inner_states, _SALT_MESSAGE
            inner_heads[:] = heads
            inner_number[:] = number
            self._loop.close(inner)
            outer["state_whole"], outer["used"] = outer_states, HASH_SIZE
            outer["words"] = inner["state"]
            self._loop.close(outer)
            if _most_bytes(column) < BLOCK:
                self._short_cells(cells, outer["state"], column)
                out[:, number] = cells["state"]
            else:
                salts = outer["state"].astype(">u4")
                out[:, number] = self.digests(_cell_messages(salts, column))

    def _short_cells(self, cells: Records, salts: Words, column: Column) -> None:
        """Cells whose messages have no whole block, straight into records."""
        cells["state_whole"] = _INITIAL_WHOLE
        data_view(cells, f"V{len(_LEAD)}", 0)[:] = np.frombuffer(_LEAD, f"V{len(_LEAD)}")
        data, starts = data_bytes(cells)
        at = starts + len(_LEAD)
        salt_words = np.ndarray((len(cells), 4), ">u4", data, int(at[0]), (cells.itemsize, 4))
        salt_words[:] = salts[:, :4]
        at += SALT_SIZE
        for runs in column.values:
            put_runs(data, at, runs)
        put_run(data, at, column.name)
        used = (at - starts).astype(np.uint32)
        cells["used"], cells["bits_low"] = used, used << 3
        self._loop.close(cells)

    def _closed(self, messages: Runs, states: Words, before: int) -> Records:
        """Records of messages that start from states, after ``before`` bytes; closed."""
        sizes = messages.sizes
        records = blank_records(sizes.size)
        if states is not INITIAL:
            records["state"] = states
        whole = sizes & -BLOCK
        longer = np.flatnonzero(whole)
        if longer.size == sizes.size:
            self._loop.absorb(records, messages.data, messages.starts, whole)
        elif longer.size:
            some = records[longer]
            self._loop.absorb(some, messages.data, messages.starts[longer], whole[longer])
            records[longer] = some
        _set_sizes(records, sizes, before)
        # Bytes after the used ones are overwritten by the padding.
        records["data"] = windows(messages.data, BLOCK)[messages.starts + whole]
        self._loop.close(records)
        return records


def _set_sizes(records: Records, sizes: Numbers | int, before: int) -> None:
    """Length of the messages with what went before, and how much of it is in the record."""
    bits = (sizes + before) << 3
    records["bits_low"] = bits & 0xFFFFFFFF
    records["bits_high"] = bits >> 32
    records["used"] = sizes & (BLOCK - 1)


def _most_bytes(column: Column) -> int:
    """How many bytes of a record laying out the column's cells touches."""
    values = sum(runs.window for runs in column.values)
    return len(_LEAD) + SALT_SIZE + values + len(column.name)


def _cell_messages(salts: Digests, column: Column) -> Runs:
    parts: list[Runs | bytes] = [_LEAD, first_bytes(salts, SALT_SIZE), *column.values, column.name]
    return joined(len(salts), parts)


def _edges(messages: Runs) -> zip[tuple[int, int]]:
    ends = messages.starts + messages.sizes
    return zip(messages.starts.tolist(), ends.tolist(), strict=True)


def _words(digests: Sequence[bytes]) -> Digests:
    return np.frombuffer(b"".join(digests), ">u4").reshape(-1, 8)
