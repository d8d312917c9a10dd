"""Fixtures for every test: where the third-party data is, and a home of its own for each test."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of third-party test data: read in place, never copied into the project."""
    shared = Path(os.environ.get("TRACIENT_SHARED", REPOSITORY.parent / "shared"))
    if not (shared / "data" / "MANIFEST.json").is_file():
        message = (
            f"third-party test data not found: expected {shared}/data/MANIFEST.json; "
            "set TRACIENT_SHARED to the folder that holds data/"
        )
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return shared / "data"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An empty home for one test."""
    folder = tmp_path / "home"
    folder.mkdir()
    return folder
