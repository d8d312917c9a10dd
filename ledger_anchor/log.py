"""A transparency log in a directory: reading it from its files, and appending without forking it.

What belongs here: LogReader (static files and a public key, nothing else) and LogWriter (the same
files, the signing key and the last signed state, which is kept apart from them). What does not:
what entries mean. Write order: bundles and tiles, then the signed state, the checkpoint last; each
is flushed and renamed, so a crash at any system call leaves a log that opens at the old or the new
size, and a signed checkpoint always has its tiles.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from ledger_anchor.checkpoint import Checkpoint
from ledger_anchor.errors import (
    LogCorruptError,
    LogForkError,
    LogMissingError,
    NoteError,
    ProofShapeError,
)
from ledger_anchor.files import PRIVATE_MODE, locked, read_bytes, write_atomic
from ledger_anchor.note import SignerKey, VerifierKey
from ledger_anchor.proof import format_entry_proof
from ledger_anchor.tiles import (
    TILE_WIDTH,
    TileTree,
    encode_bundle,
    partial_width,
    tile_path,
    tiles_of_size,
)
from ledger_anchor.tree import (
    HASH_SIZE,
    Tree,
    inclusion_proof,
    leaf_hash,
    range_root,
    verify_inclusion,
)

CHECKPOINT = "checkpoint"
_FULL = TILE_WIDTH * HASH_SIZE


class LogReader:
    """A log as anyone sees it: a folder of static files and the log's public key."""

    def __init__(self, directory: Path | str, vkey_text: str) -> None:
        self.directory = Path(directory)
        self.verifier = VerifierKey.parse(vkey_text.strip())
        self._note: bytes | None = None
        self._tree: TileTree | None = None

    def checkpoint_note(self) -> bytes:
        """The signed checkpoint as it stands in the file.

        Raises:
            LogMissingError: if the folder holds no checkpoint.
        """
        note = read_bytes(self.directory / CHECKPOINT)
        if note is None:
            raise LogMissingError(f"nothing is anchored yet: {self.directory} holds no checkpoint")
        return note

    def checkpoint(self) -> Checkpoint:
        """The current checkpoint, its signature verified.

        Raises:
            LogMissingError: if there is none.
            NoteError: if it is malformed, of another log, or its signature does not verify.
        """
        note = self.checkpoint_note()
        checkpoint = Checkpoint.open(note, self.verifier)
        if note != self._note:
            self._note = note
            self._tree = TileTree(checkpoint.size, self._fetch)
        return checkpoint

    @property
    def size(self) -> int:
        """Number of entries."""
        return self.checkpoint().size

    def tree(self) -> TileTree:
        """The nodes of the log at its current checkpoint."""
        self.checkpoint()
        if self._tree is None:
            raise LogMissingError("no checkpoint has been read")
        return self._tree

    def entry(self, index: int) -> bytes:
        """One entry, checked against the checkpoint's root.

        Raises:
            ProofShapeError: if the log has no such entry.
            LogCorruptError: if a file is missing or damaged.
            RootMismatchError: if the files do not lead to the signed root.
        """
        checkpoint, tree = self.checkpoint(), self.tree()
        if not 0 <= index < checkpoint.size:
            raise ProofShapeError(f"entry {index} is not in a log of {checkpoint.size} entries")
        entry = tree.entries(index // TILE_WIDTH)[index % TILE_WIDTH]
        path = inclusion_proof(tree, index, checkpoint.size)
        verify_inclusion(leaf_hash(entry), index, checkpoint.size, path, checkpoint.root)
        return entry

    def entries(self) -> Iterator[bytes]:
        """Every entry, from the first; ``verify_files`` checks them all against the root."""
        tree = self.tree()
        for number in range(-(-tree.size // TILE_WIDTH)):
            yield from tree.entries(number)

    def proof(self, index: int) -> bytes:
        """A ``.tlog-proof`` of one entry; a manifest rides along, so that it stands alone.

        Raises:
            ProofShapeError: if the log has no such entry.
            LogCorruptError: if a file is missing or damaged.
        """
        entry = self.entry(index)
        path = inclusion_proof(self.tree(), index, self.size)
        return format_entry_proof(index, path, self.checkpoint_note(), entry)

    def verify_files(self) -> Checkpoint:
        """Recompute every tile and the root from the entries alone.

        Returns:
            The checkpoint that the files were found to match.

        Raises:
            LogCorruptError: naming the first file that is missing or differs.
            NoteError: if the checkpoint does not verify.
        """
        checkpoint = self.checkpoint()
        stored = TileTree(checkpoint.size, self._fetch)
        leaves = [
            leaf_hash(entry)
            for number in range(-(-checkpoint.size // TILE_WIDTH))
            for entry in stored.entries(number)
        ]
        tree = Tree(leaves)
        for level, number, width in tiles_of_size(checkpoint.size):
            if isinstance(level, int) and stored.tile(level, number) != _tile(tree, level, number):
                path = tile_path(level, number, width)
                raise LogCorruptError(f"{path}: the tile is not the hash of the entries")
        if tree.root() != checkpoint.root:
            raise LogCorruptError(
                f"the entries lead to root {tree.root().hex()}, the signed checkpoint of size "
                f"{checkpoint.size} says {checkpoint.root.hex()}"
            )
        return checkpoint

    def _fetch(self, path: str) -> bytes | None:
        return read_bytes(self.directory / path)


def _tile(tree: Tree, level: int, number: int) -> bytes:
    count = min(TILE_WIDTH, (tree.size >> (8 * level)) - number * TILE_WIDTH)
    first = number * TILE_WIDTH
    return b"".join(tree.node(8 * level, first + offset) for offset in range(count))


class LogWriter:
    """Appends to a log. One process at a time: every method that writes takes the lock.

    Args:
        directory: the public folder.
        signer: the log's key; its name is the log's origin.
        state_path: private file with the last checkpoint that was signed, apart from the log.
        lock_path: private lock file.
        lock_timeout_seconds: how long to wait for another process.
    """

    def __init__(
        self,
        directory: Path,
        signer: SignerKey,
        state_path: Path,
        lock_path: Path,
        lock_timeout_seconds: float = 60.0,
    ) -> None:
        self.directory = directory
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
            LockError: if another process holds the log.
            LogForkError: if the files are not those that were signed before.
            StorageError: if a write fails; the log then opens at the old or the new size.
        """
        with locked(self.lock_path, self.lock_timeout_seconds):
            return self.append_locked(entries)

    def append_locked(self, entries: Sequence[bytes]) -> list[int]:
        """Like ``append``, for a caller that holds the lock."""
        state = self.recover_locked()
        first = state.size
        if not entries and self.state_path.exists():
            return []
        size = first + len(entries)
        root = self._write_tiles(state, entries)
        note = Checkpoint(self.signer.name, size, root).sign(self.signer)
        write_atomic(self.state_path, note.encode(), PRIVATE_MODE)
        write_atomic(self.directory / CHECKPOINT, note.encode())
        self._drop_partials(first, size)
        return list(range(first, size))

    def recover_locked(self) -> Checkpoint:
        """Compare the files with the signed state and finish a publication a crash cut short.

        Returns:
            The checkpoint to go on from (size 0 for a new log).

        Raises:
            LogForkError: if going on would shrink or fork the log.
            LogCorruptError: if tiles of the signed state are missing or damaged.
        """
        state = self._read_state()
        note = read_bytes(self.directory / CHECKPOINT)
        published = None if note is None else self._open_published(note)
        if published is not None and published.size > state.size:
            self._adopt(published, state, note or b"")
            return published
        self._check_edge(state)
        if published is not None and published.size == state.size:
            if published.root != state.root:
                raise LogForkError(
                    f"{self.directory}: two roots at size {state.size}: the log's files are not "
                    "those that were signed. Restore them from a copy; nothing was written"
                )
        elif self.state_path.exists():
            # A crash came between the signed state and the checkpoint: the tiles are complete.
            write_atomic(self.directory / CHECKPOINT, self.state_path.read_bytes())
        return state

    def _read_state(self) -> Checkpoint:
        note = read_bytes(self.state_path)
        if note is None:
            return Checkpoint(self.signer.name, 0, range_root(Tree(), 0, 0))
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
                f"{self.directory / CHECKPOINT}: not a checkpoint of this log ({error}); "
                "nothing was written"
            ) from error

    def _adopt(self, published: Checkpoint, state: Checkpoint, note: bytes) -> None:
        """Take over a newer checkpoint of our own key: the vault was restored from a backup.

        The signature says that we signed it; it is taken only if the files prove that it extends
        the state we remember.
        """
        self._check_edge(published)
        tree = TileTree(published.size, self._fetch)
        if range_root(tree, 0, state.size) != state.root:
            raise LogForkError(
                f"{self.directory}: its checkpoint of size {published.size} does not extend the "
                f"signed state of size {state.size}; nothing was written"
            )
        write_atomic(self.state_path, note, PRIVATE_MODE)

    def _check_edge(self, state: Checkpoint) -> None:
        """Refuse to build on tiles that do not hash to what was signed."""
        tree = TileTree(state.size, self._fetch)
        try:
            root = range_root(tree, 0, state.size)
        except LogCorruptError as error:
            raise LogForkError(
                f"the log's files end before the signed size {state.size} ({error}): appending "
                "would shrink or fork it. Restore the files from a copy; nothing was written"
            ) from error
        if root != state.root:
            raise LogForkError(
                f"{self.directory}: the tiles lead to root {root.hex()}, the signed state of size "
                f"{state.size} says {state.root.hex()}; nothing was written"
            )

    def _write_tiles(self, state: Checkpoint, entries: Sequence[bytes]) -> bytes:
        """Write bundles and tiles of the grown log; returns its root."""
        old = TileTree(state.size, self._fetch)
        size = state.size + len(entries)
        self._write_bundles(old, entries)
        hashes = [leaf_hash(entry) for entry in entries]
        edge: dict[tuple[int, int], bytes] = {}
        level, first = 0, state.size
        while size >> (8 * level):
            held = old.tile(level, first // TILE_WIDTH) if first % TILE_WIDTH else b""
            first //= TILE_WIDTH
            tiles = _cut_tiles(held + b"".join(hashes))
            for number, data in enumerate(tiles, first):
                edge[level, number] = data
                if data != held:
                    path = tile_path(level, number, len(data) // HASH_SIZE)
                    write_atomic(self.directory / path, data)
            hashes = [_full_root(data) for data in tiles if len(data) == _FULL]
            level += 1
        return range_root(_GrownTree(size, old, edge), 0, size)

    def _write_bundles(self, tree: TileTree, entries: Sequence[bytes]) -> None:
        number, inside = divmod(tree.size, TILE_WIDTH)
        pending = (tree.entries(number) if inside else []) + list(entries)
        for offset in range(0, len(pending), TILE_WIDTH):
            bundle = pending[offset : offset + TILE_WIDTH]
            path = tile_path("entries", number, len(bundle))
            write_atomic(self.directory / path, encode_bundle(bundle))
            number += 1

    def _drop_partials(self, old_size: int, size: int) -> None:
        """Remove the partial tiles of tiles that are full now (the full ones replace them)."""
        levels: list[tuple[int | str, int]] = [("entries", 0)]
        levels += [(level, level) for level in range(8)]
        for name, level in levels:
            number = (old_size >> (8 * level)) // TILE_WIDTH
            is_full = (size >> (8 * level)) // TILE_WIDTH > number
            if partial_width(old_size, level) and is_full:
                folder = self.directory / (tile_path(name, number) + ".p")
                shutil.rmtree(folder, ignore_errors=True)

    def _fetch(self, path: str) -> bytes | None:
        return read_bytes(self.directory / path)


class _GrownTree:
    """Nodes of the grown log: the tiles at its edge from memory, all others from the files."""

    def __init__(self, size: int, old: TileTree, edge: dict[tuple[int, int], bytes]) -> None:
        self.size = size
        self._edge_numbers = frozenset(edge)
        self._edge = TileTree(size, lambda _path: None, edge)
        self._old = old

    def node(self, level: int, index: int) -> bytes:
        tile = (level // 8, (index << level % 8) // TILE_WIDTH)
        return (self._edge if tile in self._edge_numbers else self._old).node(level, index)


def _cut_tiles(hashes: bytes) -> list[bytes]:
    return [hashes[at : at + _FULL] for at in range(0, len(hashes), _FULL)]


def _full_root(tile: bytes) -> bytes:
    hashes = [tile[at : at + HASH_SIZE] for at in range(0, len(tile), HASH_SIZE)]
    return Tree(hashes).root()
