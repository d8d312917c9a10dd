"""Landing: exports kept exactly as received, addressed by content, and the register of deliveries.

A delivery is what one command handed over of one kind (all block files of a channel, one feed).
Landing copies and registers; reading and verifying is ``orchestration.ingest``.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from orchestration.feeds.common import FeedError
from orchestration.files import copy_hashing, read_json, sha256_of_file, write_json
from orchestration.home import Home

Status = Literal["landed", "ingested", "refused"]
Sniffer = Callable[[Path], str | None]

RECOGNISED = (
    "a Fabric peer block file or fetched block, an E-Ledger export (NDJSON or JSON array), "
    "an EPCIS 2.0 JSON document, or a CSV feed whose header is one of the contracts'"
)


@dataclass(frozen=True)
class LandedFile:
    """One file of a delivery.

    Attributes:
        name: The name under which it was received.
        sha256: Digest of its bytes, lower-case hex.
        size: Bytes.
        path: Where it lies, relative to the home.
    """

    name: str
    sha256: str
    size: int
    path: str


@dataclass(frozen=True)
class Delivery:
    """What was handed over of one kind, and what became of it."""

    delivery_id: str
    kind: str
    files: tuple[LandedFile, ...]
    received_at: str
    status: Status = "landed"
    summary: Mapping[str, Any] = field(default_factory=dict)


class Register:
    """The register of deliveries below a home's ``landing/``, replaced whole at every change."""

    def __init__(self, home: Home) -> None:
        self._path = home.landing / "deliveries.json"

    def all(self) -> list[Delivery]:
        """Return every delivery in order of receipt."""
        rows = read_json(self._path, [])
        return [
            Delivery(**{**row, "files": tuple(LandedFile(**file) for file in row["files"])})
            for row in rows
        ]

    def with_status(self, status: Status) -> list[Delivery]:
        """Return the deliveries that have a status, in order of receipt."""
        return [delivery for delivery in self.all() if delivery.status == status]

    def put(self, delivery: Delivery) -> None:
        """Add a delivery, or replace the one of the same id."""
        rows = {known.delivery_id: known for known in self.all()}
        rows[delivery.delivery_id] = delivery
        write_json(self._path, [asdict(row) for row in rows.values()])

    def settle(self, delivery: Delivery, status: Status, summary: Mapping[str, Any]) -> None:
        """Record what became of a delivery."""
        self.put(replace(delivery, status=status, summary=dict(summary)))

    def known_files(self) -> dict[str, Status]:
        """Return the status under which each file is known, by SHA-256."""
        return {file.sha256: row.status for row in self.all() for file in row.files}


@dataclass(frozen=True)
class LandingResult:
    """What landing one command's paths did.

    Attributes:
        deliveries: The new deliveries, by kind.
        already: Names of files that had landed before.
        unknown: Files that no reader recognises, with the reason.
    """

    deliveries: tuple[Delivery, ...]
    already: tuple[str, ...]
    unknown: tuple[tuple[Path, str], ...]


def expand(paths: Iterable[Path]) -> list[Path]:
    """Return the files named by paths; folders are walked, hidden files left out.

    Raises:
        FeedError: A path does not exist or is empty.
    """
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise FeedError(
                where=str(path),
                expected="a file or folder to read",
                found="no such path",
                what_to_do="Check the spelling; nothing was changed.",
            )
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.is_file() and not _is_hidden(p, path))
            if not found:
                raise FeedError(
                    where=str(path),
                    expected="at least one export or feed",
                    found="an empty folder",
                    what_to_do="Name the folder that holds the files; nothing was changed.",
                )
            files += found
        else:
            files.append(path)
    return files


def _is_hidden(path: Path, below: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(below).parts)


def recognise(path: Path, sniffers: Sequence[Sniffer]) -> str:
    """Return the kind of a file by its content.

    Raises:
        FeedError: No sniffer knows it; a sniffer's own FeedError says what it nearly was.
    """
    for sniff in sniffers:
        if kind := sniff(path):
            return kind
    raise FeedError(
        where=path.name,
        expected=RECOGNISED,
        found="an empty file" if path.stat().st_size == 0 else "content that none of them has",
        what_to_do="Check that the export is whole and of a supported kind.",
    )


def land(
    home: Home, paths: Iterable[Path], sniffers: Sequence[Sniffer], *, move: bool = False
) -> LandingResult:
    """Bring files into landing, grouped into one delivery a kind; nothing lands twice.

    Args:
        home: Where to land.
        paths: Files and folders.
        sniffers: Functions that name a file's kind, tried in order.
        move: Move the files instead of copying them: for files that this program made below the
            home itself.

    Returns:
        The new deliveries; what was known already; what nobody recognises.

    Raises:
        FeedError: A path does not exist.
    """
    register = Register(home)
    known = register.known_files()
    by_kind: dict[str, list[LandedFile]] = {}
    already: list[str] = []
    unknown: list[tuple[Path, str]] = []
    for path in expand(paths):
        try:
            kind = recognise(path, sniffers)
        except FeedError as error:
            unknown.append((path, str(error)))
            continue
        digest = sha256_of_file(path)
        if known.get(digest) in {"landed", "ingested"}:
            already.append(path.name)
            continue
        known[digest] = "landed"
        by_kind.setdefault(kind, []).append(_take(home, kind, path, digest, move))
    deliveries = tuple(_deliver(register, kind, files) for kind, files in by_kind.items())
    return LandingResult(deliveries, tuple(already), tuple(unknown))


def _take(home: Home, kind: str, path: Path, digest: str, move: bool) -> LandedFile:
    target = home.landing / kind / f"{digest[:16]}-{path.name}"
    size = path.stat().st_size
    if move:
        target.parent.mkdir(parents=True, exist_ok=True)
        path.replace(target)
    elif not target.exists():
        copied = copy_hashing(path, target)
        if copied != digest:
            target.unlink()
            raise FeedError(
                where=path.name,
                expected="a file that does not change while it is copied",
                found="other bytes at the second reading",
                what_to_do="Wait until its writer has finished, then ingest it again.",
            )
    return LandedFile(path.name, digest, size, str(target.relative_to(home.root)))


def _deliver(register: Register, kind: str, files: Sequence[LandedFile]) -> Delivery:
    joined = "\n".join(sorted(file.sha256 for file in files))
    identity = hashlib.sha256(f"{kind}\n{joined}".encode()).hexdigest()[:16]
    received = datetime.now(UTC).isoformat(timespec="seconds")
    delivery = Delivery(identity, kind, tuple(sorted(files, key=lambda f: f.name)), received)
    register.put(delivery)
    return delivery


def refuse(home: Home, delivery: Delivery, reason: str, report: Mapping[str, Any]) -> Path:
    """Move a delivery to quarantine with its reason and report; nothing of it is lost.

    Returns:
        The folder in quarantine.
    """
    folder = home.quarantine / "deliveries" / delivery.delivery_id
    folder.mkdir(parents=True, exist_ok=True)
    for file in delivery.files:
        source = home.root / file.path
        if source.exists():
            shutil.move(source, folder / f"{file.sha256[:16]}-{file.name}")
    write_json(folder / "reason.json", {"reason": reason, "report": report})
    Register(home).settle(delivery, "refused", {"reason": reason})
    return folder


def quarantine_unknown(home: Home, path: Path, reason: str) -> Path:
    """Copy a file that nobody recognises to quarantine, with its reason.

    Returns:
        The copy's folder.
    """
    digest = sha256_of_file(path)
    folder = home.quarantine / "unrecognised" / digest[:16]
    if not (folder / path.name).exists():
        copy_hashing(path, folder / path.name)
    write_json(folder / "reason.json", {"reason": reason})
    return folder
