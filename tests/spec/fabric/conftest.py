"""An independent, slow reading of Fabric's bytes, and a small simulated channel to read.

What belongs here: code that shares nothing with ``orchestration.feeds.fabric``, so that reader and
writer are not compared with themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import pytest

from orchestration.feeds.simulate.fabric_network import (
    ChannelSummary,
    SimPrivateWrite,
    SimTransaction,
    SimWrite,
    write_channel,
)


def varint(value: int) -> bytes:
    head, rest = value & 0x7F, value >> 7
    return bytes((head | 0x80,)) + varint(rest) if rest else bytes((head,))


def take_varint(raw: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = raw[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def take_bytes(raw: bytes, position: int) -> tuple[bytes, int]:
    length, position = take_varint(raw, position)
    assert position + length <= len(raw)
    return raw[position : position + length], position + length


def fields(raw: bytes) -> list[tuple[int, bytes | int]]:
    """Every field of a message in order: varints as int, the rest as bytes."""
    found, position = [], 0
    while position < len(raw):
        tag, position = take_varint(raw, position)
        if tag & 7 == 0:
            value, position = take_varint(raw, position)
        else:
            assert tag & 7 == 2
            value, position = take_bytes(raw, position)
        found.append((tag >> 3, value))
    return found


def one(raw: bytes, *path: int) -> bytes | int:
    """The value below the path of field numbers, empty where absent."""
    for number in path:
        raw = dict(fields(raw)).get(number, b"")
    return raw


def every(raw: bytes, number: int) -> list:
    return [value for found, value in fields(raw) if found == number]


def tagged(number: int, payload: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(payload)) + payload


@dataclass
class Record:
    """One block of a block store, open to tampering."""

    number: int
    data_hash: bytes
    previous_hash: bytes
    envelopes: list[bytes] = field(default_factory=list)
    metadata: list[bytes] = field(default_factory=list)

    def encode(self) -> bytes:
        body = varint(self.number)
        for each in (self.data_hash, self.previous_hash):
            body += varint(len(each)) + each
        for group in (self.envelopes, self.metadata):
            body += varint(len(group)) + b"".join(varint(len(each)) + each for each in group)
        return varint(len(body)) + body

    def as_block(self) -> bytes:
        header = (varint(8) + varint(self.number)) if self.number else b""
        header += tagged(2, self.previous_hash) if self.previous_hash else b""
        header += tagged(3, self.data_hash)
        data = b"".join(tagged(1, each) for each in self.envelopes)
        metadata = b"".join(tagged(1, each) for each in self.metadata)
        return tagged(1, header) + tagged(2, data) + tagged(3, metadata)

    def header(self) -> bytes:
        number = self.number.to_bytes(self.number.bit_length() // 8 + 1, "big")
        body = b"\x02" + bytes((len(number),)) + number
        body += b"\x04" + bytes((len(self.previous_hash),)) + self.previous_hash
        body += b"\x04" + bytes((len(self.data_hash),)) + self.data_hash
        assert len(body) < 0x80
        return b"\x30" + bytes((len(body),)) + body

    def rehash(self) -> None:
        self.data_hash = sha256(b"".join(self.envelopes)).digest()

    def copy(self) -> Record:
        return replace(self, envelopes=list(self.envelopes), metadata=list(self.metadata))


def read_records(path: Path) -> list[Record]:
    raw, position, records = path.read_bytes(), 0, []
    while position < len(raw):
        body, position = take_bytes(raw, position)
        number, at = take_varint(body, 0)
        data_hash, at = take_bytes(body, at)
        previous_hash, at = take_bytes(body, at)
        groups: list[list[bytes]] = []
        for _ in range(2):
            count, at = take_varint(body, at)
            group = []
            for _ in range(count):
                item, at = take_bytes(body, at)
                group.append(item)
            groups.append(group)
        assert at == len(body)
        records.append(Record(number, data_hash, previous_hash, *groups))
    return records


def read_fetched(path: Path) -> Record:
    raw = path.read_bytes()
    header = dict(fields(one(raw, 1)))
    return Record(
        header.get(1, 0),
        header.get(3, b""),
        header.get(2, b""),
        every(one(raw, 2), 1),
        every(one(raw, 3), 1),
    )


def write_records(path: Path, records: Sequence[Record]) -> Path:
    path.write_bytes(b"".join(record.encode() for record in records))
    return path


def _version(number: int) -> bytes:
    digits = b""
    while number:
        digits, number = bytes((number & 0xFF,)) + digits, number >> 8
    return bytes((len(digits),)) + digits


def commit_hash(record: Record, previous: bytes) -> bytes:
    """The commit hash, recomputed field by field with plain lists and one sort."""
    codes, last = record.metadata[2], {}
    for tx_number, envelope in enumerate(record.envelopes):
        payload = one(envelope, 1)
        if codes[tx_number] or one(payload, 1, 1, 1) != 3:
            continue
        results = one(payload, 2, 1, 2, 2, 1, 2, 1)
        version = _version(record.number) + _version(tx_number)
        for namespace_set in every(results, 2):
            namespace = one(namespace_set, 1).decode()
            for write in every(one(namespace_set, 2), 3):
                entry = dict(fields(write))
                last[(namespace, "", entry[1])] = (entry.get(2), entry.get(3), version)
            for collection_set in every(namespace_set, 3):
                collection = one(collection_set, 1).decode()
                for write in every(one(collection_set, 2), 2):
                    entry = dict(fields(write))
                    is_delete = entry.get(2) or entry.get(4)
                    key = (namespace, collection, entry[1])
                    last[key] = (is_delete, entry.get(3), version)
    updates, seen = b"", (None, None)
    for (namespace, collection, key), (is_delete, value, version) in sorted(
        last.items(), key=lambda item: item[0]
    ):
        entry = tagged(1, namespace.encode()) if namespace != seen[0] else b""
        if collection and (namespace, collection) != seen:
            entry += tagged(2, collection.encode())
        entry += tagged(3, key) + (b"\x20\x01" if is_delete else b"")
        entry += tagged(5, value) if value and not is_delete else b""
        updates += tagged(1, entry + tagged(6, version))
        seen = (namespace, collection)
    return sha256(varint(len(codes)) + codes + updates + previous).digest()


@pytest.fixture(scope="session")
def codec() -> SimpleNamespace:
    """The independent reading, as one object."""
    return SimpleNamespace(
        every=every,
        fields=fields,
        one=one,
        tagged=tagged,
        varint=varint,
        commit_hash=commit_hash,
        read_fetched=read_fetched,
        read_records=read_records,
        write_records=write_records,
    )


def payroll(count: int) -> list[SimTransaction]:
    """A short ledger with every kind of write and some transactions that fail."""
    start = datetime(2024, 1, 2, 9, tzinfo=UTC)
    transactions = []
    for n in range(count):
        writes = [
            SimWrite(
                f"\0wage\0{n:03d}-{line}\0", b'{"docType":"wage","amountPaise":%d}' % (n * line)
            )
            for line in range(3)
        ]
        if n % 7 == 3:
            writes.append(SimWrite(f"\0wage\0{n - 1:03d}-0\0", None))
        transactions.append(
            SimTransaction(
                submitted_at=start + timedelta(minutes=n, microseconds=n),
                function="recordWageBatch",
                args=(b"payroll-%03d" % n,),
                writes=writes,
                creator=n % 5,
                reads=(f"\0wage\0{n - 2:03d}-1\0",) if n > 1 else (),
                private_writes=[
                    SimPrivateWrite("wageDetails", b"%03d-%d" % (n, line), b"private value")
                    for line in range(2)
                ],
                validation_code={5: 10, 8: 11}.get(n % 11, 0),
            )
        )
    return transactions


@pytest.fixture(scope="session")
def small_channel(tmp_path_factory: pytest.TempPathFactory) -> ChannelSummary:
    """Forty transactions in blocks of up to six."""
    return write_channel(
        tmp_path_factory.mktemp("channel"), payroll(40), seed=7, block_size=6, clients=5
    )


@pytest.fixture(scope="session")
def small_payroll() -> list[SimTransaction]:
    """What ``small_channel`` was written from."""
    return payroll(40)
