from __future__ import annotations

from pathlib import Path

import pytest

from orchestration.feeds.common import FeedError
from orchestration.files import read_json
from orchestration.home import Home
from orchestration.landing import Register, land, quarantine_unknown, refuse


def _sniff_notes(path: Path) -> str | None:
    return "notes" if path.read_bytes().startswith(b"note:") else None


@pytest.fixture
def place(home: Path) -> Home:
    return Home(home).create()


def _note(folder: Path, name: str, text: str = "note: hello") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_files_of_one_kind_become_one_delivery_exactly_as_received(place, tmp_path) -> None:
    paths = [_note(tmp_path / "in", "b.txt", "note: b"), _note(tmp_path / "in", "a.txt", "note: a")]
    (delivery,) = land(place, paths, [_sniff_notes]).deliveries
    assert [file.name for file in delivery.files] == ["a.txt", "b.txt"]
    assert [(place.root / file.path).read_text() for file in delivery.files] == [
        "note: a",
        "note: b",
    ]
    assert all(path.exists() for path in paths)


def test_the_same_bytes_land_once_whatever_their_name(place, tmp_path) -> None:
    land(place, [_note(tmp_path, "first.txt")], [_sniff_notes])
    again = land(place, [_note(tmp_path, "second.txt")], [_sniff_notes])
    assert again.deliveries == ()
    assert again.already == ("second.txt",)
    assert len(Register(place).all()) == 1


def test_an_unknown_file_is_reported_and_the_rest_lands(place, tmp_path) -> None:
    _note(tmp_path / "in", "good.txt")
    _note(tmp_path / "in", "strange.bin", "what is this")
    _note(tmp_path / "in", "empty.bin", "")
    result = land(place, [tmp_path / "in"], [_sniff_notes])
    assert [file.name for file in result.deliveries[0].files] == ["good.txt"]
    reasons = {path.name: reason for path, reason in result.unknown}
    assert "found content that none of them has" in reasons["strange.bin"]
    assert "found an empty file" in reasons["empty.bin"]


def test_hidden_files_are_left_alone(place, tmp_path) -> None:
    _note(tmp_path / "in", "good.txt")
    _note(tmp_path / "in", ".secret", "note: not this")
    result = land(place, [tmp_path / "in"], [_sniff_notes])
    assert [file.name for file in result.deliveries[0].files] == ["good.txt"]


@pytest.mark.parametrize("make", ["missing", "empty"])
def test_a_path_without_files_is_an_error_that_changes_nothing(place, tmp_path, make) -> None:
    path = tmp_path / "in"
    if make == "empty":
        path.mkdir()
    with pytest.raises(FeedError, match=r"nothing was changed"):
        land(place, [path], [_sniff_notes])
    assert Register(place).all() == []


def test_a_refused_delivery_keeps_its_bytes_and_its_reason(place, tmp_path) -> None:
    (delivery,) = land(place, [_note(tmp_path, "bad.txt")], [_sniff_notes]).deliveries
    folder = refuse(place, delivery, "the chain is broken", {"errors": [1]})
    assert read_json(folder / "reason.json")["reason"] == "the chain is broken"
    assert [p.read_text() for p in folder.glob("*-bad.txt")] == ["note: hello"]
    assert Register(place).all()[0].status == "refused"


def test_a_refused_file_may_be_handed_in_again(place, tmp_path) -> None:
    path = _note(tmp_path, "bad.txt")
    (delivery,) = land(place, [path], [_sniff_notes]).deliveries
    refuse(place, delivery, "the reader was wrong", {})
    assert len(land(place, [path], [_sniff_notes]).deliveries) == 1


def test_an_unknown_file_is_kept_in_quarantine_with_its_reason(place, tmp_path) -> None:
    path = _note(tmp_path, "strange.bin", "what is this")
    folder = quarantine_unknown(place, path, "nobody knows it")
    assert (folder / "strange.bin").read_text() == "what is this"
    assert read_json(folder / "reason.json") == {"reason": "nobody knows it"}
