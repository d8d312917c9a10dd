"""What ``make bench`` measures of the log, each in a process of its own, printed as one JSON line.

What belongs here: the measurements themselves. What does not: targets and how they are reported
(``anchor``). Run as ``python -m orchestration.bench.anchor_measures NAME FOLDER [ROWS]``.
"""

from __future__ import annotations

import hashlib
import hmac
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from orchestration.bench.tables import SUBJECT, UNIQUE_KEY, make_table

Figures = dict[str, float]
_ENTRY_BYTES = 700  # about that of a manifest
_PROOFS = 200


def commit(folder: Path, rows: int, *, use_numba: bool) -> Figures:
    """Commit a table that was not seen before, warm: rows a second and peak memory."""
    from ledger_anchor import SnapshotStore, TableSpec  # noqa: PLC0415 - imports are not measured

    lake = folder / "home" / "lake"
    lake.mkdir(parents=True, exist_ok=True)
    store = SnapshotStore(folder / "home", use_numba=use_numba)
    table, warm = lake / f"{rows}.parquet", lake / "warm.parquet"
    make_table(warm, 20_000, 2_000)
    if not table.exists():
        make_table(table, rows, _subjects(rows))
    specs = [TableSpec(path.stem, "wages", [path], UNIQUE_KEY, SUBJECT) for path in (warm, table)]
    store.commit_table(specs[0])
    wall, cpu = time.perf_counter(), time.process_time()
    store.commit_table(specs[1])
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"rows_per_second": rows / wall, "cpu_seconds": cpu, "peak_mib": _peak_mib()}


def _subjects(rows: int) -> int:
    return max(1, min(rows // 10, 1_000_000))


def _peak_mib() -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024
    return float("nan")


def naive_commit(folder: Path, rows: int) -> Figures:
    """What one would write without us: cbor2, hmac and hashlib in a loop, keys ready, no order."""
    import cbor2  # noqa: PLC0415 - a tool of development
    import pyarrow.parquet as pq  # noqa: PLC0415

    table = folder / "naive.parquet"
    make_table(table, rows, _subjects(rows))
    snapshot = os.urandom(16)
    started = time.perf_counter()
    batch = pq.read_table(table).to_pylist()
    keys: dict[str, bytes] = {}
    leaves = []
    for number, row in enumerate(batch):
        key = keys.setdefault(row[SUBJECT], os.urandom(32))
        digests = []
        for column, (name, value) in enumerate(row.items()):
            message = snapshot + number.to_bytes(8, "big") + column.to_bytes(2, "big")
            salt = hmac.digest(key, message, "sha256")[:16]
            cell = cbor2.dumps([salt, value, name], canonical=True)
            digests.append(hashlib.sha256(cell).digest())
        leaves.append(hashlib.sha256(b"\0" + b"".join(digests)).digest())
    level = leaves
    while len(level) > 1:
        pairs = itertools.zip_longest(level[::2], level[1::2])
        level = [a if b is None else hashlib.sha256(b"\1" + a + b).digest() for a, b in pairs]
    return {"rows_per_second": rows / (time.perf_counter() - started)}


def tree(folder: Path, rows: int) -> Figures:
    """Build the tree over so many entries, ours and pymerkle's, in the same run."""
    from ledger_anchor.row_commit.engines.choice import build_tree  # noqa: PLC0415 - imports are not measured

    entries = [hashlib.sha256(str(number).encode()).digest() for number in range(rows)]
    build_tree(entries[:5000], use_numba=True)  # loads the kernels
    took = []
    for _ in range(3):
        started = time.perf_counter()
        root = build_tree(entries, use_numba=True).root()
        took.append(time.perf_counter() - started)
    script = Path(__file__).with_name("pymerkle_tree.py")
    command = [str(folder / "pymerkle" / "bin" / "python"), str(script), str(rows)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    theirs = json.loads(done.stdout)
    if theirs["root"] != root.hex():
        raise SystemExit(f"two roots: ours {root.hex()}, pymerkle's {theirs['root']}")
    return {"seconds": statistics.median(took), "pymerkle_seconds": theirs["seconds"]}


def proofs(folder: Path, rows: int) -> Figures:
    """Median milliseconds of proofs from an open log and from cold files, and of verifying them."""
    from ledger_anchor import LogReader, SnapshotStore, TableSpec, verify_proof  # noqa: PLC0415
    from ledger_anchor.snapshots.disclosure import RowProver, prove_snapshot  # noqa: PLC0415

    home = folder / "proofs"
    table = home / "lake" / "t.parquet"
    table.parent.mkdir(parents=True)
    make_table(table, rows, _subjects(rows))
    store = SnapshotStore(home)
    store.append_entries([os.urandom(_ENTRY_BYTES) for _ in range(10_000)])
    snapshot = store.commit_table(TableSpec("t", "wages", [table], UNIQUE_KEY, SUBJECT))
    vkey = store.reader().verifier
    keys = list(_keys(table))

    def cold_row(key: dict[str, str]) -> bytes:
        fresh = SnapshotStore(home)
        with RowProver(fresh, snapshot.snapshot_id) as prover:
            return prover.prove(key, ["wage_paise"])

    def cold_snapshot(_key: dict[str, str]) -> bytes:
        return LogReader(home / "anchors" / "log", vkey).proof(snapshot.log_index)

    with RowProver(store, snapshot.snapshot_id) as prover:
        for key in keys:
            prover.prove(key, ["wage_paise"])
        row = _median_ms(lambda key: prover.prove(key, ["wage_paise"]), keys)
        bundles = [prover.prove(key, ["wage_paise"]) for key in keys]
    prove_snapshot(store, snapshot.snapshot_id)
    return {
        "row_open_ms": row,
        "row_cold_ms": _median_ms(cold_row, keys[:20]),
        "snapshot_open_ms": _median_ms(
            lambda _key: prove_snapshot(store, snapshot.snapshot_id), keys
        ),
        "snapshot_cold_ms": _median_ms(cold_snapshot, keys[:20]),
        "verify_ms": _median_ms(lambda data: verify_proof(data, vkey), bundles),
    }


def _keys(table: Path) -> Iterator[dict[str, str]]:
    """Keys of rows all over the table, as text."""
    import pyarrow.parquet as pq  # noqa: PLC0415

    columns = pq.read_table(table, columns=list(UNIQUE_KEY))
    for number in range(0, columns.num_rows, max(1, columns.num_rows // _PROOFS)):
        yield {name: str(columns[name][number].as_py()) for name in UNIQUE_KEY}


def _median_ms(work: Callable[[Any], object], inputs: Sequence[Any]) -> float:
    took = []
    for item in inputs:
        started = time.perf_counter()
        work(item)
        took.append(1000 * (time.perf_counter() - started))
    return statistics.median(took)


def append(folder: Path, rows: int) -> Figures:
    """Append entries in batches of a thousand, every batch flushed to the disk."""
    from ledger_anchor import LogWriter, SignerKey  # noqa: PLC0415 - imports are not measured

    log = LogWriter(folder / "log", SignerKey.generate("bench"), folder / "state", folder / "lock")
    entries = [os.urandom(_ENTRY_BYTES) for _ in range(rows)]
    started = time.perf_counter()
    for first in range(0, rows, 1000):
        log.append(entries[first : first + 1000])
    return {"entries_per_second": rows / (time.perf_counter() - started)}


MEASURES: dict[str, Callable[[Path, int], Figures]] = {
    "commit": lambda folder, rows: commit(folder, rows, use_numba=True),
    "commit_without_numba": lambda folder, rows: commit(folder, rows, use_numba=False),
    "naive_commit": naive_commit,
    "tree": tree,
    "proofs": proofs,
    "append": append,
}

if __name__ == "__main__":
    name, where, count = sys.argv[1:]
    Path(where).mkdir(parents=True, exist_ok=True)
    sys.stdout.write(json.dumps(MEASURES[name](Path(where), int(count))) + "\n")
