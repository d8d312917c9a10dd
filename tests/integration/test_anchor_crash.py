"""Every write of an append fails once, and processes are killed: the log opens at old or new size.

The shim makes one call of the operating system fail, the next run the call after it, until a run
needs no more calls; so each step of the write order is met.
"""

from __future__ import annotations

import errno
import os
import random
import signal
import subprocess
import sys
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

SIGNER = SignerKey("example.org/log", bytes(32))
CALLS = ("replace", "fsync", "open", "write", "ftruncate")


@contextmanager
def failing(name: str, number: int) -> Iterator[Callable[[], bool]]:
    """Make call ``number`` (from 1) of ``os.<name>`` fail as on a full disk."""
    real, seen = getattr(os, name), 0

    def shim(*arguments: Any, **options: Any) -> Any:
        nonlocal seen
        seen += 1
        if seen == number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*arguments, **options)

    setattr(os, name, shim)
    try:
        yield lambda: seen >= number
    finally:
        setattr(os, name, real)


def writer(folder: Path) -> LogWriter:
    return LogWriter(folder / "log", SIGNER, folder / "state", folder / "lock", 5.0)


def reader(folder: Path) -> LogReader:
    return LogReader(folder / "log", SIGNER.verifier().format())


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(("old", "fresh"), [(0, 1), (3, 2), (255, 2), (256, 1), (500, 300)])
def test_an_append_whose_system_calls_fail_leaves_the_old_or_the_new_log(
    tmp_path: Path, call: str, old: int, fresh: int
) -> None:
    entries = [f"entry {number}".encode() for number in range(old + fresh)]
    number, has_failed = 0, True
    while has_failed:
        number += 1
        folder = tmp_path / str(number)
        writer(folder).append(entries[:old])
        with failing(call, number) as failed:
            with suppress(StorageError):
                writer(folder).append(entries[old:])
            has_failed = failed()
        checkpoint = reader(folder).verify_files()
        assert checkpoint.size in {old, old + fresh}
        if (folder / "state").read_text() != (folder / "log" / "checkpoint").read_text():
            checkpoint = writer(folder).recover_locked()  # what the next commit does first
        if checkpoint.size == old:
            writer(folder).append(entries[old:])
        assert list(reader(folder).entries()) == entries
        assert reader(folder).verify_files().size == old + fresh
    assert number > 1


def table(home: Path, rows: int) -> TableSpec:
    path = home / "lake" / "t" / "0.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    names = [f"w{number % 3}" for number in range(rows)]
    pq.write_table(pa.table({"id": list(range(rows)), "worker": names}), path)
    return TableSpec("t", "wages", [path], ["id"], "worker")


@pytest.mark.parametrize("call", CALLS[:4])
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
from ledger_anchor.log import LogWriter
from ledger_anchor.note import SignerKey
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
