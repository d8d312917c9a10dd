"""Starting the dashboards: flags, the home, and a home that is not there."""

from __future__ import annotations

from pathlib import Path

import pytest

from apps import launch
from apps.theme import draw


def test_the_server_is_local_sends_nothing_and_shows_no_trace() -> None:
    command = launch.command(8599)
    assert "--server.address=127.0.0.1" in command
    assert "--server.port=8599" in command
    assert "--browser.gatherUsageStats=false" in command
    assert "--client.showErrorDetails=none" in command
    assert "--client.toolbarMode=minimal" in command


def test_no_flag_names_an_address_outside() -> None:
    assert not [flag for flag in launch.command(1) if "http" in flag]


def test_the_home_is_passed_in_the_environment(home: Path) -> None:
    assert launch.environment(home)["TRACIENT_HOME"] == str(home)


def test_a_home_that_does_not_exist_is_wrong_use_with_a_clear_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert launch.main(["--home", str(tmp_path / "nowhere")]) == 2
    message = capsys.readouterr().err
    assert "no such home" in message
    assert "make run" in message


def test_the_marks_are_those_that_the_project_draws(tmp_path: Path) -> None:
    from PIL import Image, ImageChops

    draw.main(tmp_path)
    for name in ("favicon.png", "wordmark.png"):
        drawn, kept = (
            Image.open(folder / name) for folder in (tmp_path, launch.APP.parent / "theme")
        )
        assert drawn.size == kept.size
        # Scaling differs by a step of grey between library versions; the drawing does not.
        assert max(high for _, high in ImageChops.difference(drawn, kept).getextrema()) <= 8
