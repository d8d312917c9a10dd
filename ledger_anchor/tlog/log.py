"""Appending to a transparency log without ever forking it.

What belongs here: LogWriter, with the signing key and the last signed state, which is kept apart
from the log's files. What does not: reading (``log_reader``) and what entries mean. Write order:
bundles and tiles, then the signed state, the checkpoint last; each is durable before the next
begins, so a crash at any system call leaves a log that opens at the old or the new size, and a
signed checkpoint always has its tiles.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from ledger_anchor.errors import LogCorruptError, LogForkError, NoteError, StorageError
from ledger_anchor.files import PRIVATE_MODE, locked, read_bytes, write_atomic
from ledger_anchor.notes.checkpoint import Checkpoint
from ledger_anchor.notes.keys import SignerKey
from ledger_anchor.tlog.log_reader import CHECKPOINT, LogReader, LogView
from ledger_anchor.tlog.storage import Storage, open_storage
from ledger_anchor.tlog.tiles import (
    ENTRIES,
    TILE_WIDTH,
    TileBuilder,
    TileTree,
    check_entry,
    encode_bundle,
    partial_width,
    tile_path,
)
from ledger_anchor.tree import EMPTY_ROOT, HASH_SIZE, leaf_hash, range_root

__all__ = ["CHECKPOINT", "LogReader", "LogView", "LogWriter"]

# Files are handed to the storage in portions, so that a large append needs little memory twice.
_PORTION_BYTES = 32 << 20
_LEVELS = 8


class LogWriter:
    """Appends to a log. One process at a time: every method that writes takes the lock.

    Args:
        directory: the public folder, or a storage that can be written to. State and lock stay on
            this machine wherever the files lie.
        signer: the log's key; its name is the log's origin.
        state_path: private file with the last checkpoint that was signed, apart from the log.
        lock_path: private lock file.
        lock_timeout_seconds: how long to wait for another process.
    """

    def __init__(
        self,
        directory: Path | str | Storage,
        signer: SignerKey,
        state_path: Path,
        lock_path: Path,
        lock_timeout_seconds: float = 60.0,
    ) -> None:
        self.directory = directory
        self.storage = open_storage(directory)
        self.signer = signer
        self.state_path = state_path
        self.lock_path = lock_path
        self.lock_timeout_seconds = lock_timeout_seconds

    def append(self, entries: Sequence[bytes]) -> list[int]:
        """Add entries and sign the new checkpoint.

        Args:
            entries: bytes of each, at most 65,535.

        Returns:
            Their indexes in the log.

        Raises:
            ProofShapeError: if an entry is too long; nothing is written.
            LockError: if another process holds the log.
            LogForkError: if the files are not those that were signed before.
            StorageError: if a write fails; the log then opens at the old or the new size.
        """
        with locked(self.lock_path, self.lock_timeout_seconds):
            return self.append_locked(entries)

    def append_locked(self, entries: Sequence[bytes]) -> list[int]:
        """Like ``append``, for a caller that holds the lock."""
        for entry in entries:
            check_entry(entry)
        state, builder, is_signed = self._recover()
        if not entries and is_signed:
            return []
        self._write_in_portions(_new_files(TileTree(state.size, self._read), builder, entries))
        note = Checkpoint(self.signer.name, builder.size, builder.root()).sign(self.signer).encode()
        write_atomic(self.state_path, note, PRIVATE_MODE)
        self._publish(note)
        self._drop_partials(state.size, builder.size)
        return list(range(state.size, builder.size))

    def recover_locked(self) -> Checkpoint:
        """Compare the files with the signed state and finish a publication a crash cut short.

        Returns:
            The checkpoint to go on from (size 0 for a new log).

        Raises:
            LogForkError: if going on would shrink or fork the log.
        """
        return self._recover()[0]

    def _recover(self) -> tuple[Checkpoint, TileBuilder, bool]:
        """State to go on from, the log's edge there, and whether anything was ever signed."""
        self.storage.tidy()
        state_note = read_bytes(self.state_path)
        state = self._open_state(state_note)
        note = self._read(CHECKPOINT)
        if note is not None and note == state_note:
            return state, self._resume(state), True
        published = None if note is None else self._open_published(note)
        if published is not None and published.size > state.size:
            builder = self._resume(published)
            self._adopt(published, state, note or b"")
            return published, builder, True
        builder = self._resume(state)
        if published is not None and published.size == state.size:
            if published.root != state.root:
                raise LogForkError(
                    f"{self.storage.location}: two roots at size {state.size}: the log's files "
                    "are not those that were signed. Restore them from a copy; nothing was written"
                )
        elif state_note is not None:
            # A crash came between the signed state and the checkpoint: the tiles are complete.
            self._publish(state_note)
        return state, builder, state_note is not None

    def _open_state(self, note: bytes | None) -> Checkpoint:
        if note is None:
            return Checkpoint(self.signer.name, 0, EMPTY_ROOT)
        try:
            return Checkpoint.open(note, self.signer.verifier())
        except NoteError as error:
            raise LogForkError(
                f"{self.state_path}: the signed state is damaged ({error}); restore it from a "
                "backup. Nothing is signed without it"
            ) from error

    def _open_published(self, note: bytes) -> Checkpoint:
        try:
            return Checkpoint.open(note, self.signer.verifier())
        except NoteError as error:
            raise LogForkError(
                f"{self.storage.location}/{CHECKPOINT}: not a checkpoint of this log ({error}); "
                "nothing was written"
            ) from error

    def _adopt(self, published: Checkpoint, state: Checkpoint, note: bytes) -> None:
        """Take over a newer checkpoint of our own key: the vault was restored from a backup.

        The signature says that we signed it; it is taken only if the files prove that it extends
        the state we remember.
        """
        tree = TileTree(published.size, self._read)
        if range_root(tree, 0, state.size) != state.root:
            raise LogForkError(
                f"{self.storage.location}: its checkpoint of size {published.size} does not "
                f"extend the signed state of size {state.size}; nothing was written"
            )
        write_atomic(self.state_path, note, PRIVATE_MODE)

    def _resume(self, state: Checkpoint) -> TileBuilder:
        """The edge to build on; tiles that do not hash to what was signed are refused."""
        try:
            builder = TileBuilder.resume(TileTree(state.size, self._read))
        except LogCorruptError as error:
            raise LogForkError(
                f"the log's files end before the signed size {state.size} ({error}): appending "
                "would shrink or fork it. Restore the files from a copy; nothing was written"
            ) from error
        if builder.root() != state.root:
            raise LogForkError(
                f"{self.storage.location}: the tiles lead to root {builder.root().hex()}, the "
                f"signed state of size {state.size} says {state.root.hex()}; nothing was written"
            )
        return builder

    def _write_in_portions(self, files: Iterator[tuple[str, bytes]]) -> None:
        portion: list[tuple[str, bytes]] = []
        size = 0
        for path, data in files:
            portion.append((path, data))
            size += len(data)
            if size >= _PORTION_BYTES:
                self.storage.write(portion)
                portion, size = [], 0
        self.storage.write(portion)

    def _publish(self, note: bytes) -> None:
        self.storage.write([(CHECKPOINT, note)])

    def _drop_partials(self, old_size: int, size: int) -> None:
        """Remove the partial tiles of tiles that are full now (the full ones replace them)."""
        kinds: list[tuple[int | str, int]] = [(ENTRIES, 0)]
        kinds += [(level, level) for level in range(_LEVELS)]
        folders = []
        for name, level in kinds:
            number = old_size >> (8 * (level + 1))
            is_full = size >> (8 * (level + 1)) > number
            if partial_width(old_size, level) and is_full:
                folders.append(tile_path(name, number) + ".p")
        # The entries are published: a partial tile that cannot be removed is only in the way.
        with contextlib.suppress(StorageError):
            self.storage.remove(folders)

    def _read(self, path: str) -> bytes | None:
        return self.storage.read(path)


def _new_files(
    old: TileTree, builder: TileBuilder, entries: Sequence[bytes]
) -> Iterator[tuple[str, bytes]]:
    """Every file an append adds; when all are taken, the builder stands at the new size."""
    unchanged = builder.open_tiles()
    number, inside = divmod(old.size, TILE_WIDTH)
    held = _open_bundle(old, number, unchanged[0][2]) if inside else []
    at = 0
    while at < len(entries):
        fresh = entries[at : at + TILE_WIDTH - len(held)]
        bundle = [*held, *fresh]
        yield tile_path(ENTRIES, number, len(bundle)), encode_bundle(bundle)
        for level, tile_number, tile in builder.extend(b"".join(map(leaf_hash, fresh))):
            yield tile_path(level, tile_number), tile
        held, at, number = [], at + len(fresh), number + 1
    for level, tile_number, tile in builder.open_tiles():
        if (level, tile_number, tile) not in unchanged:
            yield tile_path(level, tile_number, len(tile) // HASH_SIZE), tile


def _open_bundle(tree: TileTree, number: int, leaves: bytes) -> list[bytes]:
    """Entries of the partial bundle, which the append writes again: only if they are right."""
    entries = tree.entries(number)
    if b"".join(map(leaf_hash, entries)) != leaves:
        path = tile_path(ENTRIES, number, len(entries))
        raise LogCorruptError(
            f"{path}: its entries are not those of the log's tiles; restore it from a copy. "
            "Nothing was written"
        )
    return entries
