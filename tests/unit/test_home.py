from __future__ import annotations

import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from orchestration.home import Home, HomeBusyError, HomeError


def test_the_option_wins_over_the_environment_and_the_default(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRACIENT_HOME", str(tmp_path / "from-environment"))
    assert Home.resolve(tmp_path / "option").root == tmp_path / "option"
    assert Home.resolve().root == tmp_path / "from-environment"
    monkeypatch.delenv("TRACIENT_HOME")
    monkeypatch.chdir(tmp_path)
    assert Home.resolve().root == tmp_path / "var"


def test_the_vault_is_readable_by_its_owner_only(home: Path) -> None:
    vault = Home(home).create().vault
    assert stat.S_IMODE(vault.stat().st_mode) == 0o700


def test_a_home_below_a_file_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(HomeError, match=r"expected a home folder that can be written.*--home DIR"):
        Home(tmp_path / "file" / "home").create()


def _hold(home: Path, ready: object, release: object) -> None:
    with Home(home).writing("a long run"):
        ready.set()
        release.wait(30)


def test_a_second_writer_is_told_who_is_at_work(home: Path) -> None:
    context = multiprocessing.get_context("spawn")
    ready, release = context.Event(), context.Event()
    other = context.Process(target=_hold, args=(home, ready, release))
    other.start()
    try:
        assert ready.wait(30)
        with (
            pytest.raises(HomeBusyError, match=r"found a long run \(process \d+\) at work"),
            Home(home).writing("another run"),
        ):
            pass
    finally:
        release.set()
        other.join(30)
    with Home(home).writing("another run"):
        assert (home / ".lock").read_text().endswith(f"(process {os.getpid()})")


def test_the_lock_is_free_after_its_holder_failed(home: Path) -> None:
    with pytest.raises(ZeroDivisionError), Home(home).writing("a failing run"):
        raise ZeroDivisionError
    with Home(home).writing("the next run"):
        pass
