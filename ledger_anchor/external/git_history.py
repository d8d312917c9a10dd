"""Commits and files of a repository of checkpoints: reading all of its history, adding to it.

What belongs here: which files hold checkpoints, what a later commit may not do to them, and making
commits from objects. What does not: branches, remotes and refusals (``git``). Whatever stands in
the repository was written by others: it is parsed strictly, or named as a problem.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ledger_anchor.errors import ExternalSetupError, NoteError
from ledger_anchor.external.base import origin_hash, read_checkpoint
from ledger_anchor.external.git_program import Git
from ledger_anchor.notes.checkpoint import Checkpoint

LATEST = "latest"
_FILE_MODE = "100644"
_GONE = "D"
_MAX_NOTE_BYTES = 1_000_000
_PATH = re.compile(r"([0-9a-f]{64})/(?:((?:x\d{3}/)*\d{3})\.checkpoint|latest)", re.ASCII)


@dataclass(frozen=True)
class Entry:
    """A checkpoint and the commit that brought it; ``when`` is that commit's word."""

    checkpoint: Checkpoint
    note: bytes
    commit: str
    when: int


@dataclass(frozen=True)
class _Change:
    """What a commit does to one file; ``blob`` is the file's new content, "" if it is gone."""

    commit: str
    path: str
    mode: str
    blob: str


def file_name(checkpoint: Checkpoint) -> str:
    """The path of a checkpoint's file inside its log's folder: 1234067 is x001/x234/067.checkpoint.

    As tlog-tiles writes numbers. With all files in one folder, comparing each commit with the one
    before took time in the square of their number.
    """
    groups = f"{checkpoint.size:,}".split(",")
    groups[0] = groups[0].zfill(3)
    return "".join(f"x{group}/" for group in groups[:-1]) + f"{groups[-1]}.checkpoint"


def read_history(
    git: Git, heads: Sequence[str], folder: str | None = None, without: Sequence[str] = ()
) -> tuple[list[Entry], list[str]]:
    """Every checkpoint that was ever in a file, whether it still is or not.

    Args:
        git: the repository.
        heads: commits whose history is read.
        folder: that of one log; every log's, if not given.
        without: commits whose history is left out.

    Returns:
        The checkpoints by size, and a sentence for everything that is not as it must be.

    Raises:
        ExternalSetupError: if the repository is damaged.
    """
    if not heads:
        return [], []
    asked = "".join([f"{commit}\n" for commit in heads] + [f"^{commit}\n" for commit in without])
    listed = git.text("rev-list", "--reverse", "--topo-order", "--timestamp", "--stdin",
                      data=asked.encode())  # fmt: skip
    times = {commit: int(when) for when, commit in map(str.split, listed.splitlines())}
    changes, problems = _judge(_changes(git, list(times), folder))
    notes = _blobs(git, {change.blob for change in changes})
    entries = []
    for change in changes:
        where = f"commit {change.commit}: {change.path}"
        note = notes.get(change.blob)
        if note is None:
            problems.append(f"{where} is larger than {_MAX_NOTE_BYTES} bytes")
            continue
        try:
            checkpoint = read_checkpoint(note)
        except NoteError as error:
            problems.append(f"{where} is no checkpoint: {error}")
            continue
        expected = f"{origin_hash(checkpoint.origin).hex()}/{file_name(checkpoint)}"
        if change.path != expected:
            problems.append(f"{where} holds the checkpoint that belongs into {expected}")
        else:
            entries.append(Entry(checkpoint, note, change.commit, times[change.commit]))
    return sorted(entries, key=lambda entry: entry.checkpoint.size), problems


def _changes(git: Git, commits: Sequence[str], folder: str | None) -> Iterator[_Change]:
    """What each commit does to files, compared with each of its parents, the oldest first."""
    command = ["diff-tree", "--stdin", "-r", "-m", "--root", "--raw", "-z", "--no-renames",
               "--no-abbrev", "--no-ext-diff"]  # fmt: skip
    only = [] if folder is None else ["--", folder]
    data = "".join(f"{commit}\n" for commit in commits).encode()
    fields = iter(git.run(*command, *only, data=data).decode("utf-8", "replace").split("\0"))
    commit = ""
    for text in fields:
        if not text.startswith(":"):
            commit = text
            continue
        _, mode, _, blob, status = text.split(" ")
        yield _Change(commit, next(fields), mode, "" if status == _GONE else blob)


def _latest_last(changes: Iterator[_Change]) -> Iterator[_Change]:
    """Let each commit's checkpoints come before the copy of the newest."""
    for _, group in itertools.groupby(changes, key=lambda change: change.commit):
        yield from sorted(group, key=lambda change: change.path.endswith(f"/{LATEST}"))


def _judge(changes: Iterator[_Change]) -> tuple[list[_Change], list[str]]:
    """Tell what adds a checkpoint from what rewrites one."""
    first: dict[str, _Change] = {}
    blobs: dict[str, set[str]] = {}
    kept: dict[tuple[str, str], _Change] = {}
    problems: dict[str, None] = {}
    for change in _latest_last(changes):
        match = _PATH.fullmatch(change.path)
        if match is None:
            continue
        here = f"commit {change.commit}"
        if not change.blob:
            problems[f"{here} removes {change.path}"] = None
            continue
        if change.mode != _FILE_MODE:
            problems[f"{here}: {change.path} is not a plain file"] = None
            continue
        published = blobs.setdefault(match[1], set())
        if match[2] is None:
            if change.blob not in published:
                problems[f"{here}: {change.path} is none of the checkpoints beside it"] = None
            continue
        older = first.setdefault(change.path, change)
        if older.blob != change.blob:
            problems[
                f"{here} changes {change.path}, which stood as published since commit "
                f"{older.commit}"
            ] = None
        published.add(change.blob)
        kept.setdefault((change.path, change.blob), change)
    return list(kept.values()), list(problems)


def _blobs(git: Git, ids: set[str]) -> dict[str, bytes]:
    """The content of blobs that are not too large for a note.

    Raises:
        ExternalSetupError: if one is missing.
    """
    if not ids:
        return {}
    asked = "".join(f"{blob}\n" for blob in sorted(ids)).encode()
    sizes = [
        line.split() for line in git.text("cat-file", "--batch-check", data=asked).splitlines()
    ]
    missing = [line[0] for line in sizes if line[1] == "missing"]
    if missing:
        raise ExternalSetupError(
            f"git repository {git.folder} is damaged: object {missing[0]} is missing. Make a new "
            "clone, or look with: git fsck"
        )
    small = [line[0] for line in sizes if line[1] == "blob" and int(line[2]) <= _MAX_NOTE_BYTES]
    raw = git.run("cat-file", "--batch", data="".join(f"{blob}\n" for blob in small).encode())
    found, at = {}, 0
    for blob in small:
        end = raw.index(b"\n", at)
        size = int(raw[at:end].split()[2])
        found[blob] = raw[end + 1 : end + 1 + size]
        at = end + 1 + size + 1
    return found


def add_commits(
    git: Git,
    ref: str,
    parent: str | None,
    notes: Sequence[tuple[Checkpoint, bytes]],
    identity: tuple[str, str],
    when: int,
) -> None:
    """Put one commit for each checkpoint on a branch, and move it there.

    Args:
        git: the repository.
        ref: the branch; git refuses to move it to commits that do not go on from where it stands.
        parent: where it stands, None if it is new.
        notes: the checkpoints and their signed notes.
        identity: name and e-mail address.
        when: time of the commits, seconds since 1970.
    """
    stream = []
    author = f"{identity[0]} <{identity[1]}> {when} +0000"
    for number, (checkpoint, note) in enumerate(notes):
        folder = origin_hash(checkpoint.origin).hex()
        words = (
            f"Checkpoint of size {checkpoint.size}\n\n"
            f"Log: {checkpoint.origin}\nRoot: {checkpoint.root.hex()}\n"
        )
        stream += [f"commit {ref}\ncommitter {author}\n".encode(), _data(words.encode())]
        if number == 0 and parent is not None:
            stream.append(f"from {parent}\n".encode())
        for name in (file_name(checkpoint), LATEST):
            stream += [f"M {_FILE_MODE} inline {folder}/{name}\n".encode(), _data(note)]
    git.run("fast-import", "--quiet", "--date-format=raw", data=b"".join(stream))


def _data(raw: bytes) -> bytes:
    return b"data %d\n%b\n" % (len(raw), raw)
