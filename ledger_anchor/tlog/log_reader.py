"""Reading a transparency log: from a folder, a web server or an object store, trusting only keys.

What belongs here: LogReader, which follows a log's checkpoint, and LogView, the log at one of its
checkpoints. What does not: appending (``log``) and what entries mean. Whatever is returned has been
checked against a signed root; a file that was altered raises and is never handed on.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

from ledger_anchor.errors import (
    AnchorError,
    CheckpointError,
    LogCorruptError,
    LogForkError,
    LogMissingError,
    LogShrankError,
    ReplayedCheckpointError,
    RootMismatchError,
)
from ledger_anchor.notes.checkpoint import Checkpoint
from ledger_anchor.notes.keys import VerifierKey
from ledger_anchor.notes.policy import NONE, Trust, Verified, as_policy
from ledger_anchor.tlog.proof import format_entry_proof
from ledger_anchor.tlog.storage import ReadAhead, Storage, open_storage, readers_of
from ledger_anchor.tlog.tiles import (
    TILE_WIDTH,
    TileBuilder,
    TileTree,
    bundle_path,
    bundles_and_leaves,
    bundles_of_size,
    tile_path,
    tile_peaks,
    width_at,
)
from ledger_anchor.tree import (
    chunk_proof,
    consistency_proof,
    fold_peaks,
    inclusion_proof,
    leaf_hash,
    range_root,
    verify_consistency,
    verify_inclusion,
)

CHECKPOINT = "checkpoint"


class LogView:
    """A log at one checkpoint; it stays readable while the log grows.

    Attributes:
        note: the signed checkpoint, verbatim.
        verified: the checkpoint, the log key and the cosigners a policy accepted.
        tree: the nodes of the log at this size.
    """

    def __init__(
        self,
        note: bytes,
        verified: Verified,
        read: Callable[[str], bytes | None],
        readers: int = 1,
    ) -> None:
        self.note = note
        self.verified = verified
        self.tree = TileTree(verified.checkpoint.size, read)
        self._read = read
        self._readers = readers

    @property
    def checkpoint(self) -> Checkpoint:
        """The verified checkpoint."""
        return self.verified.checkpoint

    @property
    def size(self) -> int:
        """Number of entries."""
        return self.checkpoint.size

    def entry(self, index: int) -> bytes:
        """One entry; see ``LogReader.entry``."""
        return self._entry_and_path(index)[0]

    def proof(self, index: int) -> bytes:
        """A ``.tlog-proof`` of one entry; see ``LogReader.proof``."""
        entry, path = self._entry_and_path(index)
        return format_entry_proof(index, path, self.note, entry)

    def _entry_and_path(self, index: int) -> tuple[bytes, list[bytes]]:
        entry = self.tree.entry(index)
        path = inclusion_proof(self.tree, index, self.size)
        verify_inclusion(leaf_hash(entry), index, self.size, path, self.checkpoint.root)
        return entry, path

    def entries(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Entries one after another; see ``LogReader.entries``."""
        stop = self.size if end is None else min(end, self.size)
        numbers = range(max(start, 0) // TILE_WIDTH, bundles_of_size(stop))
        paths = (bundle_path(self.size, number) for number in numbers)
        with contextlib.closing(ReadAhead(self._read, paths, self._readers)) as ahead:
            bundles = TileTree(self.size, ahead.read)
            for number in numbers:
                first = number * TILE_WIDTH
                entries = self._checked(number, bundles.entries(number))
                yield from entries[max(start - first, 0) : stop - first]

    def _checked(self, number: int, entries: list[bytes]) -> list[bytes]:
        """Entries of one bundle, if they lead to the signed root."""
        first = number * TILE_WIDTH
        root = fold_peaks(tile_peaks(b"".join(map(leaf_hash, entries))))
        path = chunk_proof(self.tree, first, first + len(entries), self.size)
        bundles = bundles_of_size(self.size)
        try:
            verify_inclusion(root, number, bundles, path, self.checkpoint.root)
        except RootMismatchError as error:
            raise LogCorruptError(
                f"{bundle_path(self.size, number)}: its entries do not lead to the signed root "
                f"{error.expected.hex()} but to {error.calculated.hex()}: it, or a tile above it, "
                "was altered"
            ) from error
        return entries

    def consistency(self, size1: int, size2: int | None = None) -> list[bytes]:
        """Proof that the log at ``size2`` extends it at ``size1``; see ``LogReader``."""
        return consistency_proof(self.tree, size1, self.size if size2 is None else size2)

    def verify_files(self) -> Checkpoint:
        """Recompute every tile and the root from the entries; see ``LogReader.verify_files``."""
        builder = TileBuilder()
        paths = bundles_and_leaves(self.size)
        with contextlib.closing(ReadAhead(self._read, paths, self._readers)) as ahead:
            tree = TileTree(self.size, ahead.read)
            for number in range(bundles_of_size(self.size)):
                leaves = b"".join(map(leaf_hash, tree.entries(number)))
                _compare(tree, builder.extend(leaves))
            _compare(tree, builder.open_tiles())
        root = builder.root()
        if root != self.checkpoint.root:
            raise LogCorruptError(
                f"the entries lead to root {root.hex()}, the signed checkpoint of size "
                f"{self.size} says {self.checkpoint.root.hex()}"
            )
        return self.checkpoint

    def check_extends(self, older: Checkpoint) -> None:
        """Check that this view extends an older checkpoint; see ``LogReader.check_extends``."""
        mine = self.checkpoint
        if older.origin != mine.origin:
            raise CheckpointError(
                f"a checkpoint of another log: expected origin {mine.origin!r}, "
                f"found {older.origin!r}"
            )
        if older.size > mine.size:
            raise self._shrank(older)
        if older.size == mine.size and older.root != mine.root:
            raise LogForkError(
                f"the log {mine.origin} has signed two roots at size {mine.size}: "
                f"{older.root.hex()} before, {mine.root.hex()} now. {_EVIDENCE}"
            )
        if not 0 < older.size < mine.size:
            return
        path = consistency_proof(self.tree, older.size, mine.size)
        try:
            verify_consistency(older.size, mine.size, path, older.root, mine.root)
        except RootMismatchError as error:
            raise self._forked(older) from error

    def _shrank(self, older: Checkpoint) -> LogShrankError:
        mine = self.checkpoint
        sizes = f"expected at least {older.size} entries, found a checkpoint of {mine.size}"
        try:
            held = range_root(TileTree(older.size, self._read), 0, older.size)
        except AnchorError:
            held = b""
        if held == older.root:
            return ReplayedCheckpointError(
                f"the log {mine.origin} shows an older checkpoint of its own: {sizes}. Its tiles "
                f"still hold all {older.size}: ask its operator for the newest checkpoint"
            )
        return LogShrankError(f"the log {mine.origin} shrank: {sizes}. {_EVIDENCE}")

    def _forked(self, older: Checkpoint) -> LogForkError | LogCorruptError:
        mine = self.checkpoint
        root = range_root(self.tree, 0, mine.size)
        if root != mine.root:
            return LogCorruptError(
                f"the tiles lead to root {root.hex()}, the signed checkpoint of size {mine.size} "
                f"says {mine.root.hex()}: run fsck to learn which file was altered"
            )
        return LogForkError(
            f"the log {mine.origin} forked: at size {older.size} expected root {older.root.hex()}, "
            f"found {range_root(self.tree, 0, older.size).hex()}. {_EVIDENCE}"
        )


def _compare(tree: TileTree, tiles: list[tuple[int, int, bytes]]) -> None:
    for level, number, expected in tiles:
        if tree.tile(level, number) != expected:
            path = tile_path(level, number, width_at(tree.size, level, number))
            raise LogCorruptError(f"{path}: the tile is not the hash of the entries")


_EVIDENCE = "Keep both signed checkpoints: together they prove it"


class LogReader:
    """A log as anyone sees it: static files, and the keys one trusts.

    Each call looks at the checkpoint that is there now; ``view`` gives the log at one checkpoint,
    for several questions about the same state.

    Args:
        where: a folder, a URL, or a storage.
        trust: the log's verifier key, a policy, or the text of either.

    Raises:
        KeyFormatError: if ``trust`` is a malformed key.
        PolicyError: if it is a malformed policy.
        StorageError: if nothing can be at that address.
    """

    def __init__(self, where: Storage | Path | str, trust: Trust) -> None:
        self.storage = open_storage(where)
        self.policy = as_policy(trust)
        self._view: LogView | None = None

    @property
    def verifier(self) -> VerifierKey:
        """The key of the log (before a checkpoint was read: the first one that is trusted)."""
        view = self._view
        return self.policy.log_keys[0].key if view is None else view.verified.log_key

    def checkpoint_note(self) -> bytes:
        """The signed checkpoint as it stands in the file.

        Raises:
            LogMissingError: if there is none.
            StorageError: if it cannot be read.
        """
        note = self.storage.read(CHECKPOINT)
        if note is None:
            where = self.storage.location
            raise LogMissingError(f"nothing is anchored yet: {where} holds no checkpoint")
        return note

    def view(self) -> LogView:
        """The log at its current checkpoint, whose signatures are verified.

        Raises:
            LogMissingError: if there is none.
            NoteError: if it is malformed, of another log, or not signed as the policy asks.
        """
        note, view = self.checkpoint_note(), self._view
        if view is None or view.note != note:
            readers = readers_of(self.storage)
            view = LogView(note, self.policy.open(note), self.storage.read, readers)
            self._view = view
        return view

    def checkpoint(self) -> Checkpoint:
        """The current checkpoint, its signatures verified.

        Raises:
            LogMissingError: if there is none.
            NoteError: if it is malformed, of another log, or not signed as the policy asks.
        """
        return self.view().checkpoint

    @property
    def size(self) -> int:
        """Number of entries."""
        return self.checkpoint().size

    def tree(self) -> TileTree:
        """The nodes of the log at its current checkpoint; proofs from them are still to verify."""
        return self.view().tree

    def entry(self, index: int) -> bytes:
        """One entry, checked against the checkpoint's root.

        Raises:
            ProofShapeError: if the log has no such entry.
            LogCorruptError: if a file is missing or damaged.
            RootMismatchError: if the files do not lead to the signed root.
        """
        return self.view().entry(index)

    def entries(self, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """Entries one after another, each checked against the signed root.

        Args:
            start: first index.
            end: one past the last index; all to the end, if not given.

        Raises:
            LogCorruptError: if a file is missing or altered.
        """
        yield from self.view().entries(start, end)

    def proof(self, index: int) -> bytes:
        """A ``.tlog-proof`` of one entry; a manifest rides along, so that it stands alone.

        Raises:
            ProofShapeError: if the log has no such entry.
            LogCorruptError: if a file is missing or damaged.
            RootMismatchError: if the files do not lead to the signed root.
        """
        return self.view().proof(index)

    def consistency(self, size1: int, size2: int | None = None) -> list[bytes]:
        """Proof that the log at ``size2`` (now, if not given) extends it at ``size1``.

        Raises:
            ProofShapeError: unless 1 <= size1 <= size2 <= size of the log.
            LogCorruptError: if a file is missing or damaged.
        """
        return self.view().consistency(size1, size2)

    def open_note(self, note: bytes) -> Checkpoint:
        """A checkpoint kept from before: signed by the log; cosignatures are not asked of it.

        Raises:
            CheckpointError: if it is a checkpoint of another log.
            NoteError: if it is malformed or not signed.
        """
        return dataclasses.replace(self.policy, quorum=NONE).open(note).checkpoint

    def check_extends(self, older_note: bytes) -> Checkpoint:
        """Check that the log only grew since a checkpoint that was kept from before.

        Args:
            older_note: that checkpoint, signed by the log; cosignatures are not asked of it.

        Returns:
            The current checkpoint.

        Raises:
            CheckpointError: if it is a checkpoint of another log.
            ReplayedCheckpointError: if the log shows an older checkpoint than that, although its
                tiles still hold what that one has.
            LogShrankError: if the log has fewer entries now.
            LogForkError: if it has other entries now.
            LogCorruptError: if the tiles do not lead to the current checkpoint.
            NoteError: if either checkpoint is malformed or not signed.
        """
        older = self.open_note(older_note)
        view = self.view()
        view.check_extends(older)
        return view.checkpoint

    def verify_files(self) -> Checkpoint:
        """Recompute every tile and the root from the entries alone, in bounded memory.

        Returns:
            The checkpoint that the files were found to match.

        Raises:
            LogCorruptError: naming the first file that is missing or differs.
            NoteError: if the checkpoint does not verify.
        """
        return self.view().verify_files()
