"""Every write of an append fails once, and processes are killed: the log opens at old or new size.

The shim makes one call of the operating system fail, the next run the call after it, until a run
needs no more calls; so each step of the write order is met. test_anchor_faults does the same from
outside, where strace is there.
"""

from __future__ import annotations

import errno
import fcntl
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ledger_anchor import LogReader, LogWriter, SignerKey, SnapshotStore, TableSpec
from ledger_anchor.errors import LogCorruptError, LogForkError, StorageError
from ledger_anchor.tlog.log_reader import LogView
from ledger_anchor.tlog.proof import LogProof
from ledger_anchor.tlog.storage import STAGING
from ledger_anchor.tree import leaf_hash, verify_inclusion

SIGNER = SignerKey("example.org/log", bytes(32))
CALLS = ("replace", "fsync", "open", "write")
RARER = ("mkdir", "chmod", "fchmod", "close", "ftruncate", "pwrite", "rmdir", "unlink", "flock")


@contextmanager
def failing(name: str, number: int) -> Iterator[Callable[[], bool]]:
    """Make call ``number`` (from 1) of ``os.<name>`` fail as on a full disk."""
    module: Any = fcntl if name == "flock" else os
    real, seen, counting = getattr(module, name), 0, threading.Lock()

    def shim(*arguments: Any, **options: Any) -> Any:
        nonlocal seen
        with counting:
            seen += 1
            is_mine = seen == number
        if is_mine:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*arguments, **options)

    setattr(module, name, shim)
    try:
        yield lambda: seen >= number
    finally:
        setattr(module, name, real)


def writer(folder: Path) -> LogWriter:
    return LogWriter(folder / "log", SIGNER, folder / "state", folder / "lock", 5.0)


def reader(folder: Path) -> LogReader:
    return LogReader(folder / "log", SIGNER.verifier().format())


def append_with_each_call_failing(folder: Path, call: str, old: int, fresh: int) -> int:
    """Fail in each call of an append in turn; returns how many there were."""
    entries = [f"entry {number}".encode() for number in range(old + fresh)]
    template, place, number = folder / "template", folder / "run", 0
    writer(template).append(entries[:old])
    while True:
        number += 1
        shutil.copytree(template, place)
        with failing(call, number) as failed:
            with suppress(StorageError):
                writer(place).append(entries[old:])
            has_failed = failed()
        checkpoint = reader(place).verify_files()
        assert checkpoint.size in {old, old + fresh}
        if (place / "state").read_bytes() != (place / "log" / "checkpoint").read_bytes():
            checkpoint = writer(place).recover_locked()  # what the next commit does first
        if checkpoint.size == old:
            writer(place).append(entries[old:])
        assert list(reader(place).entries()) == entries
        assert reader(place).verify_files().size == old + fresh
        assert list((place / "log" / STAGING).glob("*")) == []
        shutil.rmtree(place)
        if not has_failed:
            return number - 1


@pytest.mark.parametrize(
    ("call", "old", "fresh"),
    [*((call, *sizes) for call in CALLS for sizes in ((0, 1), (255, 2))), ("replace", 500, 300)],
)
def test_an_append_whose_system_calls_fail_leaves_the_old_or_the_new_log(
    tmp_path: Path, call: str, old: int, fresh: int
) -> None:
    assert append_with_each_call_failing(tmp_path, call, old, fresh) > 3


@pytest.mark.parametrize("call", [*CALLS, "mkdir"])
def test_the_first_append_ever_may_fail_too(tmp_path: Path, call: str) -> None:
    number, has_failed = 0, True
    while has_failed:
        number += 1
        place = tmp_path / str(number)
        with failing(call, number) as failed:
            with suppress(StorageError):
                writer(place).append([b"first"])
            has_failed = failed()
        if (place / "log" / "checkpoint").exists():
            assert reader(place).verify_files().size == 1
        size = writer(place).recover_locked().size
        assert writer(place).append([b"next"]) == [size]
        assert list(reader(place).entries()) == [b"first", b"next"][1 - size :]
    assert number > 3


@pytest.mark.parametrize("call", RARER)
def test_an_append_whose_rarer_calls_fail_leaves_the_old_or_the_new_log(
    tmp_path: Path, call: str
) -> None:
    assert append_with_each_call_failing(tmp_path, call, 255, 2) > 0


def table(home: Path, rows: int) -> TableSpec:
    path = home / "lake" / "t" / "0.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    names = [f"w{number % 3}" for number in range(rows)]
    pq.write_table(pa.table({"id": list(range(rows)), "worker": names}), path)
    return TableSpec("t", "wages", [path], ["id"], "worker")


@pytest.mark.parametrize("call", CALLS)
def test_a_commit_that_fails_anywhere_is_healed_by_the_next_and_never_doubled(
    tmp_path: Path, call: str
) -> None:
    number, has_failed = 0, True
    while has_failed:
        number += 1
        home = tmp_path / str(number)
        home.mkdir()
        store = SnapshotStore(home)
        store.commit_table(table(home, 5))
        with failing(call, number) as failed:
            with suppress(StorageError):
                SnapshotStore(home).commit_table(table(home, 6))
            has_failed = failed()
        assert SnapshotStore(home).reader().verify_files().size in {1, 2}
        again = SnapshotStore(home).commit_table(table(home, 6))
        assert again.rows == 6
        assert SnapshotStore(home).reader().size == 2
        report = SnapshotStore(home).audit()
        assert report.is_ok, report.problems
        folders = list((home / "vault" / "anchor" / "snapshots").iterdir())
        assert len(folders) == 2
    assert number > 3


_APPEND_FOR_EVER = """
import sys
from pathlib import Path
from ledger_anchor.tlog.log import LogWriter
from ledger_anchor.notes.keys import SignerKey
folder = Path(sys.argv[1])
log = LogWriter(folder / "log", SignerKey("example.org/log", bytes(32)), folder / "state",
                folder / "lock", 5.0)
size = log.append([b"start"])[0]
while True:
    size = log.append([f"{size} {number}".encode() for number in range(37)])[-1]
"""


def test_killed_appends_leave_a_log_that_opens_and_goes_on(tmp_path: Path) -> None:
    source, size = random.Random(3), 0
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", _APPEND_FOR_EVER, str(tmp_path)])
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and not (tmp_path / "log" / "checkpoint").exists():
            time.sleep(0.02)
        time.sleep(source.uniform(0.1, 0.6))
        process.send_signal(signal.SIGKILL)
        process.wait()
        found = reader(tmp_path).verify_files().size
        assert found >= size
        size = writer(tmp_path).append([b"after the kill"])[0]
        assert size >= found
        assert reader(tmp_path).verify_files().size == size + 1


def test_a_full_disk_is_told_in_one_sentence(tmp_path: Path) -> None:
    with (
        failing("write", 1),
        pytest.raises(StorageError, match=r"cannot write .*: No space left.*is unchanged"),
    ):
        writer(tmp_path).append([b"a"])


def test_a_log_whose_files_went_back_in_time_is_not_signed_again(tmp_path: Path) -> None:
    log = writer(tmp_path)
    log.append([b"a"])
    older = {path: path.read_bytes() for path in (tmp_path / "log").rglob("*") if path.is_file()}
    log.append([b"b"])
    for path in (tmp_path / "log").rglob("*"):
        if path.is_file():
            path.unlink()
    for path, content in older.items():
        path.write_bytes(content)
    state = (tmp_path / "state").read_bytes()
    with pytest.raises(LogForkError, match="would shrink or fork it"):
        log.append([b"c"])
    assert (tmp_path / "state").read_bytes() == state
    assert reader(tmp_path).size == 1


def test_a_log_with_another_history_is_not_signed(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder, entry in ((ours, b"a"), (theirs, b"b")):
        writer(folder).append([entry])
    writer(theirs).append([b"c"])
    ours_with_their_files = LogWriter(theirs / "log", SIGNER, ours / "state", ours / "lock", 5.0)
    with pytest.raises(LogForkError, match="does not extend the signed state"):
        ours_with_their_files.append([b"d"])
    writer(ours).append([b"c"])
    with pytest.raises(LogForkError):
        ours_with_their_files.append([b"d"])


def test_a_vault_restored_from_a_backup_takes_over_what_its_own_key_has_signed(
    tmp_path: Path,
) -> None:
    log = writer(tmp_path)
    log.append([b"a"])
    backup = (tmp_path / "state").read_bytes()
    log.append([b"b"])
    (tmp_path / "state").write_bytes(backup)
    assert log.append([b"c"]) == [2]
    assert reader(tmp_path).verify_files().size == 3


def test_a_damaged_state_checkpoint_tile_or_bundle_stops_the_writer(tmp_path: Path) -> None:
    log = writer(tmp_path)
    log.append([b"a", b"b"])
    for path in (
        tmp_path / "state",
        tmp_path / "log" / "checkpoint",
        tmp_path / "log" / "tile" / "0" / "000.p" / "2",
    ):
        good = path.read_bytes()
        path.write_bytes(good[:-1])
        with pytest.raises(LogForkError):
            log.append([b"c"])
        path.write_bytes(good)
    bundle = tmp_path / "log" / "tile" / "entries" / "000.p" / "2"
    bundle.write_bytes(bundle.read_bytes()[:-1])
    with pytest.raises(LogCorruptError, match="truncated"):
        log.append([b"c"])
    with pytest.raises(LogCorruptError, match="truncated"):
        reader(tmp_path).verify_files()


def test_partial_tiles_go_when_the_full_one_is_there_and_old_readers_still_read(
    tmp_path: Path,
) -> None:
    log = writer(tmp_path)
    log.append([str(number).encode() for number in range(200)])
    old = reader(tmp_path)
    assert old.size == 200
    old_tree = old.tree()
    log.append([str(number).encode() for number in range(200, 300)])
    tiles = tmp_path / "log" / "tile"
    assert not (tiles / "0" / "000.p").exists()
    assert (tiles / "0" / "000").exists()
    assert len(old_tree.entries(0)) == 200
    assert old_tree.entries(0)[-1] == b"199"


def test_readers_are_never_disturbed_by_a_writer_that_drops_partial_tiles(tmp_path: Path) -> None:
    log, entries = writer(tmp_path), [b"entry %d" % number for number in range(900)]
    log.append(entries[:250])
    done, seen, failures = threading.Event(), set(), []

    def read() -> None:
        follower = reader(tmp_path)
        while not failures and not done.is_set():
            view = follower.view()
            seen.add(view.size)
            try:
                assert list(view.entries(view.size - 5)) == entries[view.size - 5 : view.size]
                verify_proof_of(view, entries)
            except Exception as error:  # noqa: BLE001 - told by the main thread
                failures.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in readers:
        thread.start()
    for start in range(250, 900, 26):
        log.append(entries[start : start + 26])
    done.set()
    for thread in readers:
        thread.join()
    assert failures == []
    assert len(seen) > 3


def verify_proof_of(view: LogView, entries: list[bytes]) -> None:
    proof = LogProof.parse(view.proof(view.size - 1))
    leaf = leaf_hash(entries[view.size - 1])
    verify_inclusion(leaf, view.size - 1, view.size, proof.path, view.checkpoint.root)
