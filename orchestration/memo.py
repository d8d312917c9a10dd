"""What was built from what: a step whose inputs and code have not changed does nothing again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from orchestration.files import read_json, write_json
from orchestration.home import Home

REPOSITORY = Path(__file__).resolve().parents[1]
_CODE = {".py", ".sql", ".yml", ".yaml", ".csv", ".json", ".j2"}


@lru_cache
def code_fingerprint(*folders: str) -> str:
    """Return a digest of the source files below folders of the project."""
    digest = hashlib.sha256()
    for folder in folders:
        for path in sorted((REPOSITORY / folder).rglob("*")):
            if path.suffix in _CODE and path.is_file() and "target" not in path.parts:
                digest.update(f"{path.relative_to(REPOSITORY)}\n".encode())
                digest.update(path.read_bytes())
    return digest.hexdigest()


def code_version(*folders: str) -> str:
    """Return the version that manifests carry: the release and the digest of the code used."""
    return f"{version('tracient')}+{code_fingerprint(*folders)[:12]}"


def combine(parts: Iterable[str]) -> str:
    """Return one digest of several."""
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


class Memo:
    """The record of a home's finished steps: fingerprint of the inputs, and the outcome."""

    def __init__(self, home: Home) -> None:
        self._folder = home.state / "steps"

    def outcome(self, step: str, fingerprint: str) -> Mapping[str, Any] | None:
        """Return the step's outcome where it was finished with these very inputs, else None."""
        stored = read_json(self._folder / f"{step}.json")
        if stored is None or stored["fingerprint"] != fingerprint:
            return None
        outcome: Mapping[str, Any] = stored["outcome"]
        return outcome

    def last(self, step: str) -> Mapping[str, Any] | None:
        """Return the step's last outcome, whatever it was built from."""
        stored = read_json(self._folder / f"{step}.json")
        return None if stored is None else stored["outcome"]

    def record(self, step: str, fingerprint: str, outcome: Mapping[str, Any]) -> None:
        """Record that a step was finished."""
        write_json(
            self._folder / f"{step}.json", {"fingerprint": fingerprint, "outcome": dict(outcome)}
        )
