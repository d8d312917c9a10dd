"""The one module of the dashboards that reads files: releases, model cards and the log.

What belongs here: finding the current release, checking every file against its manifest and the
manifest against the transparency log, and handing out frames that passed. What does not: words,
pictures, Streamlit. Nothing here can reach a worker's row: only `released/`, `models/` and
`anchors/` below the home are opened, never `lake/`, `warehouse/` or `vault/`.

Every read hashes the bytes it is about to use, so that a file changed while the server runs is
refused on the next click. Parsed frames and checked proofs are kept by content, never by name.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from ledger_anchor.errors import AnchorError
from ledger_anchor.tlog.log import LogReader
from ledger_anchor.tlog.proof import verify_proof

HOME_VARIABLE = "TRACIENT_HOME"
ROLE_VARIABLE = "TRACIENT_ROLE"
INTERNAL_ROLE = "ml_team"

# Freshness policy: wages and medicines are released once a month, with ten days' grace.
FRESH_FOR_DAYS = 41


class DashboardProblem(Exception):  # noqa: N818 - most are states of a page, not faults
    """Something a view must say instead of a figure. `detail` holds values for the message."""

    state = "error"

    def __init__(self, where: str, **detail: str) -> None:
        super().__init__(f"{self.state}: {where}")
        self.detail = {"where": where, "expected": "", "found": "", **detail}


class HomeMissing(DashboardProblem):
    """The folder that TRACIENT_HOME names does not exist."""

    state = "home_missing"


class NoRelease(DashboardProblem):
    """Nothing has been released (for this domain) yet."""

    state = "empty"


class Unreadable(DashboardProblem):
    """A file is missing or is not what its format says."""

    state = "error"


class Refused(DashboardProblem):
    """A file does not match its manifest, or its manifest is not in the log."""

    state = "refused"


class NotAllowed(DashboardProblem):
    """The reader's role may not see this."""

    state = "not_allowed"


@dataclass(frozen=True)
class Receipt:
    """The log's answer for one entry: where it is, under which checkpoint, and the proof file."""

    log_index: int
    log_size: int
    root: str
    origin: str
    entry: Mapping[str, Any]
    proof: bytes

    @property
    def snapshot_id(self) -> str:
        """Snapshot id of the entry, as the log states it ('' when the entry names none)."""
        return str(self.entry.get("snapshot_id", ""))


@dataclass(frozen=True)
class Table:
    """One released table that passed its checks: the frame, the file's bytes and its metadata."""

    name: str
    frame: pd.DataFrame
    content: bytes
    sha256: str
    meta: Mapping[str, Any]


@dataclass(frozen=True)
class Release:
    """One immutable release whose manifest is in the log."""

    release_id: str
    domain: str
    is_current: bool
    folder: Path
    manifest: Mapping[str, Any]
    receipt: Receipt

    @property
    def created_at(self) -> datetime:
        """When the release was drawn (a claim of its manifest), in UTC."""
        return parse_time(str(self.manifest["created_at"]))

    @property
    def is_sample(self) -> bool:
        """Whether the figures are of a simulated sample, with no real person or firm in them."""
        return bool(self.manifest.get("is_sample"))

    @property
    def rule_versions(self) -> Sequence[str]:
        """Versions of the rules (notified rates, compliance rules) behind the figures."""
        parts = str(self.manifest.get("rule_version") or "").split(";")
        return [part.strip() for part in parts if part.strip()]

    @property
    def snapshot_ids(self) -> Sequence[str]:
        """Ids of the committed snapshots that the release was drawn from."""
        return [str(item["snapshot_id"]) for item in self.manifest.get("snapshots", [])]

    @property
    def tables(self) -> Sequence[Mapping[str, Any]]:
        """Metadata of the tables, in the manifest's order."""
        return list(self.manifest.get("tables", []))

    def is_stale(self, now: datetime) -> bool:
        """Whether the release is older than the freshness policy allows."""
        return (now - self.created_at).days > FRESH_FOR_DAYS

    def is_budget_spent(self) -> bool:
        """Whether the year's privacy budget for these people is used up."""
        budget = self.manifest.get("budget") or {}
        cap, spent = float(budget.get("rho_cap") or 0), float(budget.get("rho_spent") or 0)
        # Exact rationals arrive as floats here; a ten-thousandth of the cap buys no figure.
        return cap > 0 and spent >= cap * 0.9999

    def meta(self, name: str) -> Mapping[str, Any]:
        """The manifest's description of one table.

        Raises:
            Unreadable: the release has no table of that name.
        """
        for table in self.tables:
            if table["name"] == name:
                return table
        raise Unreadable(
            f"released/{self.domain}/{self.release_id}/manifest.json",
            expected=name,
            found=", ".join(str(table["name"]) for table in self.tables),
        )

    def table(self, name: str) -> Table:
        """Read one table after checking its SHA-256 against the manifest.

        Returns:
            The table; `frame` has the long format of the release layer (one row a cell).

        Raises:
            Refused: the file's bytes are not those that the manifest names.
            Unreadable: the file is missing or is not Parquet.
        """
        meta = self.meta(name)
        content = self._checked(str(meta["file"]), str(meta["sha256"]))
        return Table(name, _parse_parquet(content), content, str(meta["sha256"]), meta)

    def places(self) -> pd.DataFrame:
        """Names of states and districts: level, state_code, state_name, district_code, … .

        A wrong name under a right figure misleads as much as a wrong figure: the file is
        checked like a table. A release without places gives an empty frame.
        """
        expected = self._expected("places.parquet")
        if not expected:
            return pd.DataFrame(columns=["level", "state_code", "state_name", "district_code"])
        return _parse_parquet(self._checked("places.parquet", expected))

    def files(self) -> Iterator[tuple[str, str, str]]:
        """Every file of the release as (name, SHA-256 expected, SHA-256 found or '')."""
        names = [(str(table["file"]), str(table["sha256"])) for table in self.tables]
        if places := self._expected("places.parquet"):
            names.append(("places.parquet", places))
        for name, expected in names:
            path = self.folder / name
            yield name, expected, _sha256(path.read_bytes()) if path.is_file() else ""

    def _expected(self, name: str) -> str:
        listed = self.manifest.get(name.removesuffix(".parquet"))
        if isinstance(listed, Mapping):
            return str(listed.get("sha256", ""))
        return committed_files(self.receipt.entry).get(name, "")

    def _checked(self, name: str, expected: str) -> bytes:
        where = f"released/{self.domain}/{self.release_id}/{name}"
        content = _read(self.folder / name, where)
        if (found := _sha256(content)) != expected:
            raise Refused(where, expected=expected, found=found)
        return content


@dataclass(frozen=True)
class Card:
    """A public model card that passed its checks: parsed, as bytes, and its model's receipt."""

    document: Mapping[str, Any]
    content: bytes
    receipt: Receipt


@dataclass(frozen=True)
class Model:
    """One model version of `models/index.json`."""

    model_id: str
    domain: str
    version: str
    status: str
    folder: Path
    card_sha256: str
    model_sha256: str


class Home:
    """The published part of one home: releases, model cards and the log.

    Raises:
        HomeMissing: the folder does not exist.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise HomeMissing(str(path))
        self.path = path

    @cached_property
    def index(self) -> list[Mapping[str, Any]]:
        """Entries of `released/index.json`, newest first; read once a run of a page.

        Raises:
            NoRelease: there is no index, or it lists nothing.
            Unreadable: the index is not the JSON it should be.
        """
        where = "released/index.json"
        try:
            content = (self.path / where).read_bytes()
        except FileNotFoundError:
            raise NoRelease(where) from None
        document = _parse_json(content, where)
        releases = document.get("releases") if isinstance(document, Mapping) else None
        if not isinstance(releases, list):
            raise Unreadable(where, expected="tracient-release-index/1", found="")
        if not releases:
            raise NoRelease(where)
        return sorted(releases, key=lambda item: str(item["created_at"]), reverse=True)

    def entries(self, domain: str) -> list[Mapping[str, Any]]:
        """Index entries of one domain, newest first.

        Raises:
            NoRelease: nothing has been released for this domain.
        """
        entries = [item for item in self.index if item["domain"] == domain]
        if not entries:
            raise NoRelease(f"released/{domain}")
        return entries

    def release(self, domain: str, release_id: str | None = None) -> Release:
        """The named release of a domain, or the current one.

        Raises:
            NoRelease: nothing has been released for this domain.
            Refused: the manifest is not the one indexed, or it is not in the log.
        """
        entries = self.entries(domain)
        chosen = [e for e in entries if e["release_id"] == release_id]
        chosen = chosen or [e for e in entries if e.get("is_current")] or entries
        return self._open(chosen[0])

    def _open(self, entry: Mapping[str, Any]) -> Release:
        folder = self.path / "released" / str(entry["path"])
        where = f"released/{entry['path']}/manifest.json"
        content = _read(folder / "manifest.json", where)
        found = _sha256(content)
        if found != entry["manifest_sha256"]:
            raise Refused(where, expected=str(entry["manifest_sha256"]), found=found)
        receipt = self.receipt(found, where, f"release_{entry['domain']}")
        manifest = _parse_json(content, where)
        for cited in manifest.get("snapshots", []):
            if not self.log().holds(str(cited["snapshot_id"]), before=receipt.log_index):
                raise Refused(where, expected="anchors/log", found=str(cited["snapshot_id"]))
        return Release(
            release_id=str(entry["release_id"]),
            domain=str(entry["domain"]),
            is_current=bool(entry.get("is_current")),
            folder=folder,
            manifest=manifest,
            receipt=receipt,
        )

    def log(self) -> Log:
        """The public transparency log of this home, opened with its own verifier key.

        Raises:
            Refused: there is no log, or its checkpoint does not verify.
        """
        folder = self.path / "anchors"
        try:
            key = (folder / "log.vkey").read_text(encoding="utf-8").strip()
            checkpoint = (folder / "log" / "checkpoint").read_bytes()
            return _open_log(folder / "log", key, checkpoint)
        except FileNotFoundError:
            raise Refused("anchors/log", expected="checkpoint, log.vkey", found="") from None
        except (AnchorError, ValueError) as error:
            raise Refused("anchors/log/checkpoint", found=str(error)) from error

    def receipt(self, digest: str, where: str, dataset: str) -> Receipt:
        """The log's receipt for a dataset's entry that commits to a file's SHA-256, proof checked.

        Raises:
            Refused: no entry of the dataset names the digest, or the proof does not verify.
        """
        log = self.log()
        index = log.find(digest, dataset)
        if index is None:
            raise Refused(where, expected="anchors/log", found=digest)
        return log.receipt(index)

    def models(self) -> list[Model]:
        """Models of `models/index.json`, champions first; empty when none was trained."""
        where = "models/index.json"
        try:
            document = _parse_json((self.path / where).read_bytes(), where)
        except FileNotFoundError:
            return []
        rows = document.get("models", []) if isinstance(document, Mapping) else document
        order = ["champion", "shadow", "candidate", "retired"]
        models = [self._model(row) for row in rows]
        return sorted(models, key=lambda model: (order.index(model.status), model.model_id))

    def _model(self, row: Mapping[str, Any]) -> Model:
        base = self.path / "models"
        path = str(row["path"]).removeprefix("models/")
        return Model(
            model_id=str(row["model_id"]),
            domain=str(row["domain"]),
            version=str(row["version"]),
            status=str(row["status"]),
            folder=base / path,
            card_sha256=str(row["card_sha256"]),
            model_sha256=str(row["model_sha256"]),
        )

    def card(self, model: Model) -> Card:
        """The public model card, once every file of the model that stands here was checked.

        Raises:
            Refused: the card is not the one that `models/index.json` names, no entry of the log
                commits to it, or a file beside it is not the one of that entry.
            Unreadable: there is no card.
        """
        where = f"models/{model.model_id}/{model.version}"
        path = f"{where}/card.public.json"
        content = _read(model.folder / "card.public.json", path)
        if (found := _sha256(content)) != model.card_sha256:
            raise Refused(path, expected=model.card_sha256, found=found)
        receipt = self.receipt(found, path, f"model_{model.model_id}")
        committed = committed_files(receipt.entry)
        if (expected := committed.get("model.ubj", "")) != model.model_sha256:
            raise Refused("models/index.json", expected=expected, found=model.model_sha256)
        for name, expected in committed.items():
            file = model.folder / name
            # Files may be missing (a public server need not hold the model), never different.
            if file.is_file() and (found := _sha256(file.read_bytes())) != expected:
                raise Refused(f"{where}/{name}", expected=expected, found=found)
        return Card(_parse_json(content, path), content, receipt)

    def internal_card(self, model: Model) -> Mapping[str, Any]:
        """The internal card with exact group metrics, for the ML team's role only.

        Raises:
            NotAllowed: the server does not run with the ML team's role.
            Refused: the model's files are not those that were committed.
        """
        where = f"models/{model.model_id}/{model.version}/card.internal.json"
        if os.environ.get(ROLE_VARIABLE) != INTERNAL_ROLE:
            raise NotAllowed(where)
        self.card(model)
        document: Mapping[str, Any] = _parse_json(
            _read(model.folder / "card.internal.json", where), where
        )
        return document


class Log:
    """A checked view of the public log: what it holds, and proofs that were verified here."""

    def __init__(self, folder: Path, key: str) -> None:
        self.key = key
        self.reader = LogReader(folder, key)
        self.checkpoint = self.reader.checkpoint()
        self.entries: list[Mapping[str, Any]] = [
            json.loads(entry) for entry in self.reader.entries()
        ]
        self._snapshots: dict[str, int] = {}
        for index, entry in enumerate(self.entries):
            self._snapshots.setdefault(str(entry.get("snapshot_id")), index)

    def find(self, digest: str, dataset: str) -> int | None:
        """Number of a dataset's newest entry that commits to a file's SHA-256, or None."""
        for index in range(len(self.entries) - 1, -1, -1):
            entry = self.entries[index]
            if entry.get("dataset") == dataset and digest in committed_files(entry).values():
                return index
        return None

    def holds(self, snapshot_id: str, *, before: int) -> bool:
        """Whether a snapshot was committed before an entry: what a figure was drawn from."""
        return self._snapshots.get(snapshot_id, before) < before

    def receipt(self, index: int) -> Receipt:
        """Build the proof of one entry and verify it against the signed checkpoint.

        Raises:
            Refused: the entry, the path and the signed root do not fit together.
        """
        try:
            proof = self.reader.proof(index)
            checkpoint = verify_proof(
                proof, self.reader.verifier, self.reader.entry(index)
            ).checkpoint
        except AnchorError as error:
            raise Refused(f"anchors/log#{index}", found=str(error)) from error
        root = checkpoint.root.hex()
        return Receipt(index, checkpoint.size, root, checkpoint.origin, self.entries[index], proof)


def committed_files(entry: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 by path of the files that a log entry commits to (none for an entry of a table)."""
    return {str(file["path"]): str(file["sha256"]) for file in entry.get("files") or []}


def home_path() -> Path:
    """The home that the server was started for: TRACIENT_HOME, else ./var."""
    return Path(os.environ.get(HOME_VARIABLE) or "var").expanduser()


def parse_time(text: str) -> datetime:
    """An RFC 3339 time as an aware datetime; a time without a zone counts as UTC."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def to_csv(frame: pd.DataFrame) -> bytes:
    """A released table as UTF-8 CSV: same rows and columns as the Parquet file, empty = null."""
    return frame.to_csv(index=False, lineterminator="\n").encode("utf-8")


@lru_cache(maxsize=4)
def _open_log(folder: Path, key: str, checkpoint: bytes) -> Log:  # noqa: ARG001 - the cache's key
    return Log(folder, key)


@lru_cache(maxsize=32)
def _parse_parquet(content: bytes) -> pd.DataFrame:
    try:
        return pd.read_parquet(io.BytesIO(content))
    except (ValueError, OSError) as error:
        raise Unreadable("parquet", expected="Parquet", found=type(error).__name__) from error


def _parse_json(content: bytes, where: str) -> Any:
    try:
        return json.loads(content)
    except ValueError:
        raise Unreadable(
            where, expected="JSON", found=content[:20].decode("ascii", "replace")
        ) from None


def _read(path: Path, where: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise Unreadable(where, found=type(error).__name__) from None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
