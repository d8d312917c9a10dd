"""The folder of a witness: its keys, the logs it watches, and its memory.

What belongs here: creating and loading that folder. What does not: what the witness does. Files::

    ed25519.key, ml-dsa-44.key   signing keys, one or both (0600)
    witness.vkeys                their public halves, to give away
    logs                         verifier keys of the logs it watches, one a line, or a policy
    witness.sqlite               what it has cosigned last (0600): back it up, never restore an
                                 older copy
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ledger_anchor.errors import KeyFormatError, PolicyError, StorageError, WitnessError
from ledger_anchor.files import PRIVATE_MODE, flush_folder, make_folder, read_bytes, write_atomic
from ledger_anchor.notes.keys import KeyKind, SignerKey, VerifierKey
from ledger_anchor.notes.policy import Policy
from ledger_anchor.witness.cosigner import Witness
from ledger_anchor.witness.store import WitnessStore

BOTH_KINDS = (KeyKind.ED25519_COSIGNATURE, KeyKind.ML_DSA_44_COSIGNATURE)
KEY_FILES = {
    KeyKind.ED25519_COSIGNATURE: "ed25519.key",
    KeyKind.ML_DSA_44_COSIGNATURE: "ml-dsa-44.key",
}
VKEYS_FILE = "witness.vkeys"
LOGS_FILE = "logs"
MEMORY_FILE = "witness.sqlite"
_IS_POLICY = re.compile(r"^[ \t]*quorum[ \t]", re.MULTILINE)


def init_witness(
    folder: Path,
    name: str,
    kinds: Sequence[KeyKind] = BOTH_KINDS,
    logs: Sequence[VerifierKey] = (),
) -> tuple[VerifierKey, ...]:
    """Create the folder of a new witness, whole or not at all.

    Args:
        folder: must not be there yet, or be empty; its mode becomes 0700.
        name: name of its keys, e.g. example.org/witness.
        kinds: one cosignature key of each kind is drawn.
        logs: keys of the logs it watches; ``watch`` changes them later.

    Returns:
        The public keys, in the order of the kinds.

    Raises:
        KeyFormatError: if the name or a kind is none for a cosigner's key.
        StorageError: if the folder holds something or cannot be written; nothing was replaced.
    """
    if not kinds or any(kind not in KEY_FILES for kind in kinds):
        raise KeyFormatError("a witness has an Ed25519 cosignature key, an ML-DSA-44 one, or both")
    signers = [SignerKey.generate(name, kind) for kind in dict.fromkeys(kinds)]
    keys = tuple(signer.verifier() for signer in signers)
    make_folder(folder.parent)
    try:
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))  # mode 0700
    except OSError as error:
        raise StorageError(f"cannot create {folder}: {error.strerror}") from error
    try:
        for signer in signers:
            secret = signer.format().encode() + b"\n"
            write_atomic(draft / KEY_FILES[signer.kind], secret, PRIVATE_MODE)
        write_atomic(draft / VKEYS_FILE, _lines(keys))
        watch(draft, logs)
        WitnessStore.create(draft / MEMORY_FILE)
        # Renaming onto a folder that holds something fails: no witness is ever replaced.
        os.rename(draft, folder)  # noqa: PTH104 - the words of the error below
        flush_folder(folder.parent)
    except OSError as error:
        raise StorageError(
            f"{folder}: expected a new or empty folder for a witness; found: {error.strerror}. "
            "Nothing was replaced"
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return keys


def watch(folder: Path, logs: Sequence[VerifierKey]) -> None:
    """Set the logs that a witness watches; it reads them when it starts.

    What it has cosigned of logs that are no longer named stays remembered.

    Raises:
        StorageError: if the file cannot be written.
    """
    head = b"# The logs this witness watches: one verifier key a line. Read at the start.\n"
    write_atomic(folder / LOGS_FILE, head + _lines(logs))


def _lines(keys: Sequence[VerifierKey]) -> bytes:
    return "".join(key.format() + "\n" for key in keys).encode()


def load_witness(folder: Path, clock: Callable[[], float] = time.time) -> Witness:
    """Open the folder of a witness.

    Raises:
        WitnessError: if something of it is missing, unfit, or a key is readable by others.
        KeyFormatError: if a key or the list of logs is malformed.
        StorageError: if a file cannot be read.
    """
    if not folder.is_dir():
        raise WitnessError(f"there is no witness at {folder}: create one first")
    signers = [
        _load_signer(folder / name, kind)
        for kind, name in KEY_FILES.items()
        if (folder / name).exists()
    ]
    if not signers:
        raise WitnessError(f"{folder}: expected {' or '.join(KEY_FILES.values())}; found no key")
    return Witness(
        signers, load_logs(folder / LOGS_FILE), WitnessStore(folder / MEMORY_FILE), clock
    )


def _load_signer(path: Path, kind: KeyKind) -> SignerKey:
    if path.stat().st_mode & 0o077:
        raise WitnessError(
            f"{path}: expected a key that only its owner can read; found mode "
            f"{path.stat().st_mode & 0o777:o}. Run: chmod 600 {path}"
        )
    raw = read_bytes(path) or b""
    try:
        signer = SignerKey.parse(raw.decode("utf-8", "replace").strip())
    except KeyFormatError as error:
        raise KeyFormatError(f"{path}: {error}") from error
    if signer.kind is not kind:
        raise KeyFormatError(f"{path}: expected a key of kind {kind.title}")
    return signer


def load_logs(path: Path) -> dict[str, tuple[VerifierKey, ...]]:
    """Read the list of logs: verifier keys by origin.

    It holds one verifier key a line (lines that start with # are comments), or is a policy, whose
    logs are taken. Two keys of one name are both trusted, so that a log can change its key.

    Raises:
        WitnessError: if there is no such file.
        KeyFormatError, PolicyError: naming the line that is wrong.
    """
    raw = read_bytes(path)
    if raw is None:
        raise WitnessError(f"{path}: expected the verifier keys of the logs to watch; no file")
    text = raw.decode("utf-8", "surrogateescape")
    if _IS_POLICY.search(text):
        found = [log.key for log in Policy.parse(text).log_keys]
    else:
        lines = enumerate(map(str.strip, text.split("\n")), 1)
        found = [
            _parse_log_key(line, f"{path}, line {number}")
            for number, line in lines
            if line and not line.startswith("#")
        ]
    logs: dict[str, tuple[VerifierKey, ...]] = {}
    for key in dict.fromkeys(found):
        logs[key.name] = (*logs.get(key.name, ()), key)
    return logs


def _parse_log_key(line: str, where: str) -> VerifierKey:
    try:
        return Policy.of_key(VerifierKey.parse(line)).log_keys[0].key
    except (KeyFormatError, PolicyError) as error:
        raise KeyFormatError(f"{where}: {error}") from error
