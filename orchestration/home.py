"""The home: one folder that holds everything a deployment of Tracient knows.

Only paths, permissions and the run lock belong here; what the files mean is the business of the
rooms that write them.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HOME_VARIABLE = "TRACIENT_HOME"
DEFAULT_HOME = "var"


class HomeError(Exception):
    """The home cannot be used; the message says why and what to do."""


class HomeBusyError(HomeError):
    """Another process is writing to this home."""


@dataclass(frozen=True)
class Home:
    """Paths below one home folder.

    Attributes:
        root: Absolute path of the home.
    """

    root: Path

    @classmethod
    def resolve(cls, option: str | Path | None = None) -> Home:
        """Return the home named by the option, else by ``TRACIENT_HOME``, else ``./var``."""
        return cls(Path(option or os.environ.get(HOME_VARIABLE) or DEFAULT_HOME).resolve())

    @property
    def landing(self) -> Path:
        """Exports exactly as received."""
        return self.root / "landing"

    @property
    def lake(self) -> Path:
        """Parquet tables: raw, curated and evaluation."""
        return self.root / "lake"

    @property
    def warehouse(self) -> Path:
        """The folder of dbt's DuckDB file and dbt's own artefacts."""
        return self.root / "warehouse"

    @property
    def warehouse_file(self) -> Path:
        """dbt's DuckDB database. Its name is constant: dbt's manifest carries it."""
        return self.warehouse / "tracient.duckdb"

    @property
    def models(self) -> Path:
        """Trained models and their cards."""
        return self.root / "models"

    @property
    def released(self) -> Path:
        """The only data that an app reads."""
        return self.root / "released"

    @property
    def quarantine(self) -> Path:
        """Refused deliveries and rejected records, with reasons."""
        return self.root / "quarantine"

    @property
    def vault(self) -> Path:
        """Keys, salts and the private side of the log; mode 0700, never in a snapshot."""
        return self.root / "vault"

    @property
    def dagster(self) -> Path:
        """Dagster's instance: runs and events."""
        return self.root / "dagster"

    @property
    def state(self) -> Path:
        """What was built from what, so that nothing is built twice; and reports of runs."""
        return self.root / "state"

    @property
    def budget_ledger(self) -> Path:
        """The privacy budget's hash-chained ledger."""
        return self.vault / "budget.jsonl"

    def create(self) -> Home:
        """Create the home's folders and check that they can be written.

        Raises:
            HomeError: The home, or a folder of it, cannot be created or written.
        """
        folders = (
            self.landing, self.lake, self.warehouse, self.models, self.released,
            self.quarantine, self.dagster, self.state,
        )  # fmt: skip
        try:
            for folder in folders:
                folder.mkdir(parents=True, exist_ok=True)
            self.vault.mkdir(mode=0o700, exist_ok=True)
            self.vault.chmod(0o700)
            probe = self.root / f".writable-{os.getpid()}"
            probe.touch()
            probe.unlink()
        except OSError as error:
            raise HomeError(
                f"{self.root}: expected a home folder that can be written; found: "
                f"{error.strerror or error}. Choose another with --home DIR or {HOME_VARIABLE}, "
                "or correct the folder's owner, permissions or free space."
            ) from error
        return self

    @contextmanager
    def writing(self, purpose: str) -> Iterator[None]:
        """Hold the home's write lock: one process writes a home at a time.

        Args:
            purpose: What the process does, shown to whoever finds the home busy.

        Raises:
            HomeBusyError: Another process holds the lock.
        """
        path = self.root / ".lock"
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                holder = os.read(handle, 200).decode(errors="replace").strip() or "another process"
                raise HomeBusyError(
                    f"{self.root}: expected to be the only one writing; found {holder} at work. "
                    "Wait until it has finished, or use another home with --home DIR."
                ) from error
            os.ftruncate(handle, 0)
            os.pwrite(handle, f"{purpose} (process {os.getpid()})".encode(), 0)
            yield
            os.ftruncate(handle, 0)
        finally:
            os.close(handle)
