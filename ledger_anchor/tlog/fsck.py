"""Check a log's files from scratch, from the files alone, and name every one that is wrong.

What belongs here: the walk over all bundles and tiles, the decision which of two disagreeing files
was altered, and the report. What does not: repair, and a home's private records (``audit``).

Every hash stands in the files twice: it follows from what lies below it, and it is written in the
tile. Where the two differ, the tile above (at the log's edge: the signed root) says which of them
is right, so the file to restore can be named. Memory stays bounded whatever the log's size.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ledger_anchor.errors import LogCorruptError, NoteError, StorageError
from ledger_anchor.notes.checkpoint import Checkpoint
from ledger_anchor.notes.note import Note
from ledger_anchor.notes.policy import Policy, Trust, as_policy
from ledger_anchor.tlog.log_reader import CHECKPOINT
from ledger_anchor.tlog.storage import STAGING, ReadAhead, Storage, open_storage, readers_of
from ledger_anchor.tlog.tiles import (
    ENTRIES,
    TILE_WIDTH,
    bundles_and_leaves,
    bundles_of_size,
    cut_tile,
    decode_bundle,
    parse_tile_path,
    tile_path,
    tile_peaks,
    width_at,
)
from ledger_anchor.tree import HASH_SIZE, fold_peaks, leaf_hash

# A checkpoint may claim any size: after so many problems the walk stops.
MAX_PROBLEMS = 1000


@dataclass(frozen=True)
class Finding:
    """One file and what is to say about it.

    Attributes:
        path: the file, relative to the log.
        kind: "missing", "truncated", "altered", "unreadable", "malformed", "signature" or "root";
            of notes "temporary", "partial", "older", "beyond", "unknown", "listing", "stopped".
        message: a sentence without the path.
    """

    path: str
    kind: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}"

    def to_json(self) -> dict[str, object]:
        """The finding for machines."""
        return {"path": self.path, "kind": self.kind, "message": self.message}


@dataclass(frozen=True)
class FsckReport:
    """What a check of a log's files has found.

    Attributes:
        location: where the log is.
        origin: the log's name, or None without a readable checkpoint.
        size: number of entries the checkpoint claims, or None.
        root: the root it claims, or None.
        calculated_root: the root the files lead to, or None where files are missing.
        signature: "verified", "wrong" or "not checked" (no key was given).
        files: how many files were read.
        problems: what is wrong, at most a thousand.
        notes: superfluous files and other things that harm nobody, at most a thousand.
    """

    location: str
    origin: str | None
    size: int | None
    root: bytes | None
    calculated_root: bytes | None
    signature: str
    files: int
    problems: tuple[Finding, ...]
    notes: tuple[Finding, ...]

    @property
    def is_ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems

    def to_json(self) -> dict[str, object]:
        """The report for machines."""
        calculated = self.calculated_root
        return {
            "is_ok": self.is_ok,
            "location": self.location,
            "origin": self.origin,
            "size": self.size,
            "root": None if self.root is None else self.root.hex(),
            "calculated_root": None if calculated is None else calculated.hex(),
            "signature": self.signature,
            "files": self.files,
            "problems": [problem.to_json() for problem in self.problems],
            "notes": [note.to_json() for note in self.notes],
        }


def fsck(
    storage: Storage | Path | str,
    trust: Trust | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> FsckReport:
    """Check every file of a log against its checkpoint, reading nothing else.

    Args:
        storage: the log: a folder, a URL, or a storage.
        trust: the log's key or a policy; without it the checkpoint's signatures are not checked.
        progress: called now and then with bundles checked and bundles in all.

    Returns:
        The report; damage is reported, not raised.

    Raises:
        StorageError: if the log cannot be reached at all.
        KeyFormatError: if ``trust`` is a malformed key.
        PolicyError: if it is a malformed policy.
    """
    return _Fsck(open_storage(storage)).run(trust, progress)


class _StoppedError(Exception):
    """So much is wrong that the walk ends."""


class _Fsck:
    """One run: what was found so far, and of each level the part that is not settled yet."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._reading = storage.read
        self._problems: list[Finding] = []
        self._notes: list[Finding] = []
        self._files = 0
        self._size = 0
        self._is_whole = True
        self._children: dict[int, list[bytes]] = {}
        self._stored: dict[int, tuple[int, bytes | None]] = {}
        self._edges: dict[int, tuple[bytes | None, bytes | None]] = {}
        self._edge = ("", b"")

    def run(self, trust: Trust | None, progress: Callable[[int, int], None] | None) -> FsckReport:
        policy = None if trust is None else as_policy(trust)
        note = self._storage.read(CHECKPOINT)
        checkpoint, signature, root = None, "not checked", None
        if note is None:
            self._problem(CHECKPOINT, "missing", "the file is missing: this is no log, or not all")
        else:
            self._files += 1
            checkpoint = self._parse(note)
        if note is not None and checkpoint is not None:
            if policy is not None:
                signature = self._check_signature(policy, note)
            paths, readers = bundles_and_leaves(checkpoint.size), readers_of(self._storage)
            try:
                with contextlib.closing(ReadAhead(self._storage.read, paths, readers)) as ahead:
                    self._reading = ahead.read
                    root = self._check_tree(checkpoint, progress)
                self._check_names(checkpoint.size)
            except _StoppedError:
                words = f"stopped after {MAX_PROBLEMS} problems; there may be more"
                self._note(CHECKPOINT, "stopped", words)
        return FsckReport(
            location=self._storage.location,
            origin=None if checkpoint is None else checkpoint.origin,
            size=None if checkpoint is None else checkpoint.size,
            root=None if checkpoint is None else checkpoint.root,
            calculated_root=root,
            signature=signature,
            files=self._files,
            problems=tuple(self._problems),
            notes=tuple(self._notes),
        )

    def _check_signature(self, policy: Policy, note: bytes) -> str:
        try:
            policy.open(note)
        except NoteError as error:
            self._problem(CHECKPOINT, "signature", str(error))
            return "wrong"
        return "verified"

    def _parse(self, note: bytes) -> Checkpoint | None:
        try:
            return Checkpoint.parse(Note.parse(note).text)
        except NoteError as error:
            self._problem(CHECKPOINT, "malformed", str(error))
            return None

    def _problem(self, path: str, kind: str, message: str) -> None:
        self._problems.append(Finding(path, kind, message))
        if len(self._problems) == MAX_PROBLEMS:
            raise _StoppedError

    def _note(self, path: str, kind: str, message: str) -> None:
        if len(self._notes) < MAX_PROBLEMS:
            self._notes.append(Finding(path, kind, message))

    def _check_tree(
        self, checkpoint: Checkpoint, progress: Callable[[int, int], None] | None
    ) -> bytes | None:
        self._size = checkpoint.size
        bundles = bundles_of_size(self._size)
        for number in range(bundles):
            self._check_tile(0, number, self._leaves(number))
            if progress is not None and (number % TILE_WIDTH == 0 or number + 1 == bundles):
                progress(number + 1, bundles)
        level = 1
        while self._size >> (8 * level):
            if width_at(self._size, level, number := self._size >> (8 * level + 8)):
                self._check_tile(level, number, b"".join(self._children.pop(level)))
            level += 1
        return self._check_edge(checkpoint)

    def _leaves(self, number: int) -> bytes | None:
        """Leaf hashes of a bundle, or None if it cannot be read; the problem is told."""
        width = width_at(self._size, ENTRIES, number)
        path = tile_path(ENTRIES, number, width)
        data = self._read(ENTRIES, number, width)
        if data is None:
            return None
        try:
            return b"".join(map(leaf_hash, decode_bundle(data, width, path)))
        except LogCorruptError as error:
            tile = self._tile(0, number) or b""
            kind = "truncated" if _is_beginning(data, tile) else "altered"
            self._problem(path, kind, str(error).removeprefix(f"{path}: "))
            return None

    def _tile(self, level: int, number: int) -> bytes | None:
        """A tile as it is stored, or None if it cannot be used; the problem is told once."""
        held = self._stored.get(level)
        if held is not None and held[0] == number:
            return held[1]
        width = width_at(self._size, level, number)
        data = self._read(level, number, width)
        if data is not None and len(data) != width * HASH_SIZE:
            kind = "truncated" if len(data) < width * HASH_SIZE else "altered"
            words = f"expected {width * HASH_SIZE} bytes, found {len(data)}"
            self._problem(tile_path(level, number, width), kind, words)
            data = None
        self._stored[level] = (number, data)
        return data

    def _read(self, level: int | str, number: int, width: int) -> bytes | None:
        path = tile_path(level, number, width)
        try:
            data = self._reading(path)
            if data is None and width < TILE_WIDTH:
                # A writer that appends meanwhile drops partial tiles once the full one is there.
                full = self._reading(tile_path(level, number))
                data = None if full is None else cut_tile(full, level, width)
        except StorageError as error:
            self._problem(path, "unreadable", str(error))
            return None
        if data is None:
            self._problem(path, "missing", "the file is missing")
            return None
        self._files += 1
        return data

    def _check_tile(self, level: int, number: int, calculated: bytes | None) -> None:
        """Compare a tile with what lies below it; hand the right one's root upward."""
        stored = self._tile(level, number)
        if width_at(self._size, level, number) < TILE_WIDTH:
            self._edges[level] = (calculated, stored)
            return
        root = self._settle(level, number, calculated, stored)
        siblings = self._children.setdefault(level + 1, [])
        siblings.append(root)
        if len(siblings) == TILE_WIDTH:
            del self._children[level + 1]
            self._check_tile(level + 1, number // TILE_WIDTH, b"".join(siblings))

    def _settle(
        self, level: int, number: int, calculated: bytes | None, stored: bytes | None
    ) -> bytes:
        """Root of a full tile: of its two versions the one the tile above names."""
        versions = list(dict.fromkeys(data for data in (calculated, stored) if data is not None))
        roots = [_root(data) for data in versions]
        if len(roots) == 1:
            return roots[0]
        above = self._tile(level + 1, number // TILE_WIDTH)
        at = number % TILE_WIDTH * HASH_SIZE
        named = None if above is None else above[at : at + HASH_SIZE] or None
        if not roots:
            self._is_whole = self._is_whole and named is not None
            return named or bytes(HASH_SIZE)
        right = roots.index(named) if named in roots else None
        self._blame(level, number, versions[0], versions[1], right)
        return roots[right or 0]

    def _blame(
        self, level: int, number: int, calculated: bytes, stored: bytes, right: int | None
    ) -> None:
        """Name the file that was altered, given which of two versions is right (0: calculated)."""
        width = width_at(self._size, level, number)
        position = _first_difference(calculated, stored)
        path = tile_path(level, number, width)
        below = tile_path(ENTRIES, number, width)
        if right == 0:
            words = f"hash {position} is not that of what lies below it; restore this file"
            self._problem(path, "altered", words)
        elif right is None:
            words = f"hash {position} and what lies below it disagree, and neither leads to the "
            self._problem(path, "altered", words + "root: this file, or one below it, was altered")
        elif level == 0:
            words = f"entry {number * TILE_WIDTH + position} is not the one that was logged"
            self._problem(below, "altered", words)
        else:
            child = tile_path(level - 1, number * TILE_WIDTH + position)
            words = f"it and what lies below it agree, but hash {position} of {path} is another's"
            self._problem(child, "altered", words)

    def _check_edge(self, checkpoint: Checkpoint) -> bytes | None:
        """Compare the edge with the signed root; returns the root the files lead to."""
        levels = sorted(self._edges, reverse=True)
        choices = []
        for level in levels:
            versions = [data for data in self._edges[level] if data is not None]
            choices.append(list(dict.fromkeys(versions)))
        if not all(choices) or not self._is_whole:
            return None
        roots = [
            (fold_peaks([peak for tile in chosen for peak in tile_peaks(tile)]), chosen)
            for chosen in itertools.product(*choices)
        ]
        matching = next((chosen for root, chosen in roots if root == checkpoint.root), None)
        for at, level in enumerate(levels):
            if len(choices[at]) == 2:
                right = None if matching is None else choices[at].index(matching[at])
                calculated, stored = choices[at]
                self._blame(level, self._size >> (8 * level + 8), calculated, stored, right)
        if matching is not None:
            return checkpoint.root
        found = roots[0][0]
        words = (
            f"at size {checkpoint.size} it says root {checkpoint.root.hex()}, the files lead to "
        )
        self._problem(CHECKPOINT, "root", words + found.hex())
        return found

    def _check_names(self, size: int) -> None:
        """Note files that no reader of this checkpoint asks for."""
        try:
            names = self._storage.files()
            if names is None:
                words = "this storage does not list its files: superfluous ones were not looked for"
                self._note(CHECKPOINT, "listing", words)
                return
            for name in names:
                kind = _kind_of(name, size)
                if kind == "older" and self._is_older(name, size):
                    continue
                if kind is not None:
                    self._note(name, kind, _SUPERFLUOUS[kind])
        except StorageError as error:
            self._note(CHECKPOINT, "listing", f"superfluous files were not looked for: {error}")

    def _is_older(self, name: str, size: int) -> bool:
        """Whether an older partial tile is the beginning of the current one."""
        level, number, width = parse_tile_path(name) or (0, 0, 0)
        current = tile_path(level, number, width_at(size, level, number))
        if any(problem.path == current for problem in self._problems):
            return True
        if self._edge[0] != current:
            self._edge = (current, self._storage.read(current) or b"")
        return self._storage.read(name) == cut_tile(self._edge[1], level, width)


_SUPERFLUOUS = {
    "temporary": "left by a write that was cut short; the next append removes or ignores it",
    "older": "not the beginning of the newer partial tile: altered, or of an append that was cut "
    "short; only readers of an older checkpoint may ask for it",
    "partial": "a partial tile although the full one is there; it may be deleted",
    "beyond": "beyond the checkpoint's size: of an append that was cut short or goes on just now",
    "unknown": "not a file of a log",
}


def _kind_of(name: str, size: int) -> str | None:
    """Kind of a file that no reader of this size asks for; None if one does."""
    if name == CHECKPOINT:
        return None
    if name.startswith(STAGING + "/") or name.endswith(".tmp"):
        return "temporary"
    parsed = parse_tile_path(name)
    if parsed is None:
        return "unknown"
    level, number, width = parsed
    has = width_at(size, level, number)
    if width > has:
        return "beyond"
    if width < has:
        return "partial" if has == TILE_WIDTH else "older"
    return None


def _root(tile: bytes) -> bytes:
    return fold_peaks(tile_peaks(tile))


def _is_beginning(data: bytes, tile: bytes) -> bool:
    """Whether a broken bundle holds the entries of its tile as far as it goes."""
    at = number = 0
    while (end := at + 2 + int.from_bytes(data[at : at + 2], "big")) <= len(data):
        if leaf_hash(data[at + 2 : end]) != tile[number * HASH_SIZE :][:HASH_SIZE]:
            return False
        at, number = end, number + 1
    return number < len(tile) // HASH_SIZE


def _first_difference(one: bytes, other: bytes) -> int:
    pairs = zip(one, other, strict=True)
    return next((at // HASH_SIZE for at, (a, b) in enumerate(pairs) if a != b), 0)
