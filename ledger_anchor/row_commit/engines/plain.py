"""PlainEngine: the arithmetic of row-commit v1 with the standard library alone.

What belongs here: the slow and obvious engine that is always there and that every other one is
compared with. What does not: what is committed (``rows``), and anything clever.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from array import array
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

from ledger_anchor import cbor
from ledger_anchor.row_commit.columns import Field, cbor_values
from ledger_anchor.row_commit.rows import (
    PREFIX_SIZE,
    SALT_SIZE,
    Columns,
    Hashes,
    SaltPlan,
    salt_message,
)
from ledger_anchor.tree import HASH_SIZE, hash_pairs, leaf_hash

_WORD = 2**64


class PlainKeys:
    """One started HMAC per key; each use copies it."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self.started: list[hmac.HMAC] = []
        self.extend(keys)

    def extend(self, keys: Sequence[bytes]) -> None:
        """Add keys."""
        self.started += [hmac.new(key, digestmod=hashlib.sha256) for key in keys]

    def __len__(self) -> int:
        return len(self.started)


class PlainNumbering:
    """Numbers distinct values with a dictionary."""

    def __init__(self) -> None:
        self._numbers: dict[object, int] = {None: 0}

    def number(self, item: Field, values: Any) -> tuple[array[int], list[int]]:  # noqa: ARG002
        """Number of each value, and the rows that brought a new one."""
        numbers, items = self._numbers, values.to_pylist()
        fresh = []
        if None in map(numbers.get, items):  # some are new
            for row, value in enumerate(items):
                if value not in numbers:
                    numbers[value] = len(numbers)
                    fresh.append(row)
        return array("Q", [numbers[value] for value in items]), fresh

    def __len__(self) -> int:
        return len(self._numbers) - 1


class PlainEngine:
    """The engine of the standard library; see ``rows.Engine`` for what its methods give."""

    workers = 1
    batch_rows = 8_192
    takes_dictionaries = False

    def prepare_keys(self, keys: Sequence[bytes]) -> PlainKeys:
        """One started HMAC per key."""
        return PlainKeys(keys)

    def numbering(self) -> PlainNumbering:
        """A dictionary."""
        return PlainNumbering()

    def keyed_rows(self, key: bytes, columns: Columns, rows: int) -> bytes:
        """HMAC of each row's CBOR array."""
        return _row_digests(hmac.new(key, digestmod=hashlib.sha256), columns, rows)

    def hash_batch(
        self,
        salts: SaltPlan,
        columns: Columns,
        ranks: array[int],
        key_index: array[int],
        content_key: bytes,
    ) -> Hashes:
        """Leaves, prefixes and content sums of a batch."""
        digests = self.cell_digests(salts, columns, ranks, key_index)
        stride = len(columns) * HASH_SIZE
        leaves = b"".join(
            leaf_hash(digests[at : at + stride]) for at in range(0, len(digests), stride)
        )
        starts = range(0, len(digests), HASH_SIZE)
        prefixes = b"".join(digests[at : at + PREFIX_SIZE] for at in starts)
        keyed = content_rows(content_key, columns, len(ranks))
        words = struct.unpack(f"<{len(keyed) // 8}Q", keyed)
        first, second, third, fourth = (sum(words[number::4]) % _WORD for number in range(4))
        return Hashes(leaves, prefixes, (first, second, third, fourth))

    def cell_digests(
        self, salts: SaltPlan, columns: Columns, ranks: array[int], key_index: array[int]
    ) -> bytes:
        """Cell digests, row after row."""
        keys = salts.prepared
        assert isinstance(keys, PlainKeys)  # noqa: S101 - made by prepare_keys of this engine
        digests = bytearray(len(ranks) * len(columns) * HASH_SIZE)
        stride = len(columns) * HASH_SIZE
        for number, (item, values) in enumerate(columns):
            tail = cbor.encode_text(item.name)
            for row, value in enumerate(cbor_values(values, item)):
                running = keys.started[key_index[row]].copy()
                running.update(salt_message(salts.snapshot, ranks[row], number))
                salt = running.digest()[:SALT_SIZE]
                at = row * stride + number * HASH_SIZE
                message = b"\x83\x50" + salt + value + tail
                digests[at : at + HASH_SIZE] = hashlib.sha256(message).digest()
        return bytes(digests)

    def hash_pairs(self, nodes: bytes | bytearray) -> bytes:
        """The tree's next level."""
        return hash_pairs(nodes)

    def heads(self, digests: bytes) -> array[int]:
        """First eight bytes of each digest as a number."""
        return array("Q", [number for (number,) in struct.iter_unpack(">Q24x", digests)])

    def order(self, heads: array[int]) -> array[int]:
        """Positions in ascending order."""
        return array("Q", sorted(range(len(heads)), key=heads.__getitem__))

    def count(self, start: int, rows: int) -> array[int]:
        """Numbers from a start."""
        return array("Q", range(start, start + rows))

    def repeats(self, numbers: array[int]) -> list[int]:
        """Positions that equal the one before."""
        return [at for at in range(1, len(numbers)) if numbers[at] == numbers[at - 1]]

    def take(self, data: bytes, places: array[int], width: int) -> bytes:
        """Records at places."""
        return b"".join(data[place * width : (place + 1) * width] for place in places)

    def scatter(
        self, target: bytearray, places: array[int], data: bytes, width: int, base: int = 0
    ) -> None:
        """Copy records to their places."""
        for row, place in enumerate(places):
            at = (place - base) * width
            target[at : at + width] = data[row * width : (row + 1) * width]

    def split(
        self, places: array[int], shift: int, parts: int, data: Sequence[bytes], base: int = 0
    ) -> list[bytes]:
        """Records by part."""
        grouped = [bytearray() for _ in range(parts)]
        widths = [len(joined) // len(places) for joined in data] if places else []
        for row, place in enumerate(places):
            group = grouped[(place - base) >> shift]
            for joined, width in zip(data, widths, strict=True):
                group += joined[row * width : (row + 1) * width]
        return [bytes(group) for group in grouped]

    def unpack(self, records: bytes, widths: Sequence[int]) -> list[bytes]:
        """Records into columns."""
        stride = sum(widths)
        starts = range(0, len(records), stride)
        edges = [0, *accumulate(widths)]
        return [
            b"".join(records[at + left : at + right] for at in starts)
            for left, right in pairwise(edges)
        ]


def content_rows(key: bytes, columns: Columns, rows: int) -> bytes:
    """Content digest of each row (see ``rows.Engine.hash_batch``), joined."""
    return _row_digests(hashlib.sha256(key.ljust(64, b"\0")), columns, rows)


def _row_digests(started: Any, columns: Columns, rows: int) -> bytes:
    """Go on with a started digest over each row's CBOR array."""
    encoded = [cbor_values(values, item) for item, values in columns]
    head = cbor.head(4, len(encoded))
    digests = bytearray()
    for row in range(rows):
        running = started.copy()
        running.update(head + b"".join(values[row] for values in encoded))
        digests += running.digest()
    return bytes(digests)
