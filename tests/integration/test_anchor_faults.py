"""Every system call of an append fails, or the process dies in it, by the kernel's own hand.

strace attaches to a process that is about to append and makes one call fail (as Tessera's tests
do) or kills the process inside it; the next run takes the next call. The in-process shim of
test_anchor_crash meets the calls Python makes; this meets those the machine sees.
Set LEDGER_ANCHOR_SWEEP=1 for more sizes of the log and for the calls that only ask.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from ledger_anchor.notes.keys import SignerKey
from ledger_anchor.tlog.fsck import fsck
from ledger_anchor.tlog.log import LogReader, LogView, LogWriter

SIGNER = SignerKey("example.org/log", bytes(32))
SWEEP = os.environ.get("LEDGER_ANCHOR_SWEEP") == "1"
SIZES = [(0, 1), (3, 2), (255, 2), (256, 1), (500, 300)] if SWEEP else [(255, 2)]
# Calls that only ask, and close, are left to the sweep: 90 of 194.
ASKING = re.compile(r"lseek|ioctl|fcntl|close|\w*stat\w*")
# Calls after which the files are others: the ones it pays to die in.
CHANGING = re.compile(r"p?write(64)?|fsync|rename(at2?)?|mkdir(at)?|ftruncate|unlink(at)?|rmdir")
DONE, REFUSED = 0, 3

# Imports once, then forks: the child stops before it appends, so that strace can take hold of it.
_FORK_SERVER = """
import ctypes, os, signal, sys, traceback
from pathlib import Path
from ledger_anchor.errors import AnchorError
from ledger_anchor.notes.keys import SignerKey
from ledger_anchor.tlog.log import LogWriter

def append(folder, first, count):
    log = LogWriter(folder / "log", SignerKey("example.org/log", bytes(32)), folder / "state",
                    folder / "lock", 5.0)
    log.append([b"entry %d" % number for number in range(first, first + count)])

append(Path(sys.argv[1]), 0, 300)
append(Path(sys.argv[1]), 300, 1)  # what is imported late is there now
for line in sys.stdin:
    folder, first, count = line.split("|")
    child = os.fork()
    if not child:
        ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)  # PR_SET_PTRACER, any
        code = 0
        try:
            os.kill(os.getpid(), signal.SIGSTOP)
            append(Path(folder), int(first), int(count))
        except AnchorError:
            code = 3
        except BaseException:
            traceback.print_exc()
            code = 4
        os._exit(code)
    os.waitpid(child, os.WUNTRACED)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Run(NamedTuple):
    """How an append ended and the system calls it made, in order."""

    code: int
    calls: list[str]
    was_injected: bool


class Lab:
    """Appends in processes of their own, each under its own strace."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._server = subprocess.Popen(
            [sys.executable, "-c", _FORK_SERVER, str(folder / "warm")],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )  # fmt: skip

    def close(self) -> None:
        self._server.communicate()

    def template(self, size: int) -> Path:
        """A log of this size, made once."""
        folder = self.folder / f"template-{size}"
        if not folder.exists():
            writer(folder).append(entries(0, size))
        return folder

    def append(self, folder: Path, first: int, count: int, inject: str | None = None) -> Run:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(f"{folder}|{first}|{count}\n")
        child = int(self._server.stdout.readline())
        trace = folder / "trace"
        what = ["-e", "trace=%file,%desc", *([] if inject is None else ["-e", f"inject={inject}"])]
        strace = subprocess.Popen(
            ["strace", "-f", "-o", trace, *what, "-p", str(child)],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert strace.stderr is not None
        answer = strace.stderr.readline()
        os.kill(child, signal.SIGCONT)
        code = int(self._server.stdout.readline())
        strace.communicate()
        if "attached" not in answer:
            pytest.skip(f"strace may not attach to a process here: {answer.strip()}")
        text = trace.read_text()
        calls = re.findall(r"^\d+ +(\w+)\(", text, re.MULTILINE)
        return Run(code, calls, "(INJECTED)" in text or code == -signal.SIGKILL)


def writer(folder: Path) -> LogWriter:
    return LogWriter(folder / "log", SIGNER, folder / "state", folder / "lock", 5.0)


def entries(first: int, count: int) -> list[bytes]:
    return [b"entry %d" % number for number in range(first, first + count)]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    laboratory = Lab(tmp_path_factory.mktemp("faults"))
    yield laboratory
    laboratory.close()


def check_after(folder: Path, old: int, fresh: int, run: Run) -> None:
    """The log is at the old or the new size, what is signed has its tiles, and it goes on."""
    reader = LogReader(folder / "log", SIGNER.verifier())
    size = reader.verify_files().size if old or (folder / "log" / "checkpoint").exists() else 0
    assert size in {old, old + fresh}
    if run.code == DONE:
        assert size == old + fresh
    if (folder / "state").exists():
        note = (folder / "state").read_bytes()
        signed = LogView(note, reader.policy.open(note), reader.storage.read)
        assert size <= signed.size <= old + fresh
        if signed.size > size:
            size = signed.verify_files().size
    assert writer(folder).append([b"afterwards"]) == [size]
    assert list(reader.entries()) == [*entries(0, size), b"afterwards"]
    report = fsck(folder / "log", SIGNER.verifier())
    assert report.is_ok, report.problems
    assert not any(note.kind == "temporary" for note in report.notes), report.notes


def each_call(lab: Lab, old: int, fresh: int, inject: str, is_met: Callable[[str], bool]) -> int:
    """Append once for each system call of an append, and fail in that call; returns how many.

    strace counts in each thread for itself: files that are flushed at once fail at once.
    """
    template = lab.template(old)
    folder = lab.folder / "run"
    shutil.copytree(template, folder)
    clean = lab.append(folder, old, fresh)
    shutil.rmtree(folder)
    assert clean.code == DONE
    counts = Counter(clean.calls)
    runs = 0
    for name in sorted(set(filter(is_met, counts)) - {"mmap"}):  # memory is not a file
        for number in itertools.count(1):
            shutil.copytree(template, folder)
            run = lab.append(folder, old, fresh, f"{name}:{inject}:when={number}")
            try:
                check_after(folder, old, fresh, run)
                assert run.code in {DONE, REFUSED, -signal.SIGKILL}
            except AssertionError as error:
                raise AssertionError(f"{inject} in call {number} of {name}: {error}") from error
            shutil.rmtree(folder)
            runs += run.was_injected
            if not run.was_injected:
                assert run.code == DONE
                assert number > 1
                break
    assert {"openat", "write", "fsync", "flock", "fchmod", "ftruncate"} <= counts.keys()
    return runs


@pytest.mark.parametrize(("old", "fresh"), SIZES)
def test_any_system_call_of_an_append_may_fail(lab: Lab, old: int, fresh: int) -> None:
    def is_met(name: str) -> bool:
        return SWEEP or not ASKING.fullmatch(name)

    assert each_call(lab, old, fresh, "error=ENOSPC", is_met) > 50


@pytest.mark.parametrize(("old", "fresh"), SIZES)
def test_the_process_may_be_killed_in_any_call_that_changes_files(
    lab: Lab, old: int, fresh: int
) -> None:
    def is_met(name: str) -> bool:
        return CHANGING.fullmatch(name) is not None

    assert each_call(lab, old, fresh, "signal=KILL", is_met) > 20
