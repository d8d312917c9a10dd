"""Segments: rows hashed part by part have the leaves that a plain calculation gives to each."""

from __future__ import annotations

import hashlib
import hmac
import struct
import tempfile
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_anchor import SnapshotStore, TableSpec, cbor
from ledger_anchor.manifest import read_segments
from ledger_anchor.tree import Tree

ROWS = st.lists(
    st.tuples(st.one_of(st.none(), st.sampled_from("abc")), st.integers(-5, 10**12)), max_size=9
)


def expected_leaf(
    store: SnapshotStore, snapshot_id: str, number: int, row: dict[str, Any]
) -> bytes:
    """A row's leaf from the published definition, with nothing of the engines."""
    own = store.records.key(snapshot_id)
    key = own if row["worker"] is None else store.vault.subject_key("wages", row["worker"])
    assert key is not None
    digests = b""
    for column, (name, value) in enumerate(row.items()):
        message = uuid.UUID(snapshot_id).bytes + struct.pack(">QH", number, column)
        salt = hmac.digest(key, message, hashlib.sha256)[:16]
        cell = cbor.encode_array(
            [cbor.encode_bytes(salt), cbor.encode(value), cbor.encode_text(name)]
        )
        digests += hashlib.sha256(cell).digest()
    return hashlib.sha256(b"\0" + digests).digest()


@settings(max_examples=12, deadline=None)
@given(parts=st.lists(ROWS, min_size=1, max_size=4), use_numba=st.booleans())
def test_every_leaf_of_a_table_that_grew_is_that_of_its_row_segment_and_number(
    parts: list[list[tuple[str | None, int]]], use_numba: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        store, files, rows = SnapshotStore(home, use_numba=use_numba), [], []
        for number, part in enumerate(parts):
            fresh = [
                {"id": len(rows) + at, "worker": worker, "paise": paise}
                for at, (worker, paise) in enumerate(part)
            ]
            rows += fresh
            files.append(home / f"{number}.parquet")
            schema = pa.schema([("id", pa.int64()), ("worker", pa.string()), ("paise", pa.int64())])
            pq.write_table(pa.Table.from_pylist(fresh, schema), files[-1])
            spec = TableSpec("t", "wages", files, ["id"], "worker", append_only=True)
            snapshot = store.commit_table(spec)
        assert snapshot.rows == len(rows)
        leaves = []
        for segment in read_segments(snapshot.manifest):
            order_key = store.records.order_key(read_segments(snapshot.manifest)[0].snapshot_id)
            # Rows of a segment are those of the parts it was made from, which ids follow.
            own = sorted(
                rows[segment.first : segment.end],
                key=lambda row: hmac.digest(order_key, cbor.encode([row["id"]]), "sha256"),
            )
            leaves += [
                expected_leaf(store, segment.snapshot_id, segment.first + at, row)
                for at, row in enumerate(own)
            ]
        assert Tree(leaves).root().hex() == snapshot.root
        assert store.audit().is_ok
