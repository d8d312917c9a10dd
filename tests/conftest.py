"""Fixtures for every test: third-party data, homes, the commands, and one small sample run."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the tests of a file in one process, so that what they share is made once.

    Files that share something dearer, as the browser, name a group.
    """
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(str(item.path.relative_to(REPOSITORY))))


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


def _command(program: str) -> Command:
    path = Path(sys.executable).with_name(program)

    def run(
        *arguments: object, timeout: float = 300, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if k != "TRACIENT_HOME"}
        return subprocess.run(
            [str(path), *map(str, arguments)],
            capture_output=True, text=True, timeout=timeout, check=False, env=environment,
            input=stdin,
        )  # fmt: skip

    return run


@pytest.fixture(scope="session")
def tracient() -> Command:
    """The ``tracient`` program as a user starts it."""
    return _command("tracient")


@pytest.fixture(scope="session")
def ledger_anchor() -> Command:
    """The ``ledger-anchor`` program as a user starts it."""
    return _command("ledger-anchor")


@pytest.fixture(scope="session")
def sample_run(
    tmp_path_factory: pytest.TempPathFactory, tracient: Command
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A home after `tracient run` on a small sample, and what the command printed.

    Tests read this home; a test that changes one takes ``sample_home``. All test processes share
    it: the first that wants it makes it.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    home, printed = folder / "sample" / "home", folder / "sample.json"
    with (folder / "sample.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not printed.exists():
            shutil.rmtree(home, ignore_errors=True)
            size = ("--workers", 6000, "--batches", 1400)
            done = tracient("run", "--home", home, *size, timeout=570)
            assert done.returncode == 0, done.stdout + done.stderr
            printed.write_text(json.dumps([done.args, done.stdout, done.stderr]))
    arguments, stdout, stderr = json.loads(printed.read_text())
    return home, subprocess.CompletedProcess(arguments, 0, stdout, stderr)


@pytest.fixture(scope="session")
def sample(sample_run: tuple[Path, subprocess.CompletedProcess[str]]) -> Path:
    """The home of the small sample: to read, not to change."""
    return sample_run[0]


@pytest.fixture
def sample_home(sample: Path, tmp_path: Path) -> Path:
    """A copy of the small sample's home that a test may change."""
    copy = tmp_path / "home"
    shutil.copytree(sample, copy)
    return copy
