from __future__ import annotations

from pathlib import Path

import pytest

from orchestration.files import copy_hashing, read_json, replacing, sha256_of_file, write_json


def test_a_failed_write_leaves_the_old_file_and_no_scraps(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    write_json(path, {"value": 1})
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_text(f"half of the new {1 / 0}")
    assert read_json(path) == {"value": 1}
    assert [entry.name for entry in tmp_path.iterdir()] == ["figures.json"]


def test_a_missing_json_file_gives_the_default(tmp_path: Path) -> None:
    assert read_json(tmp_path / "missing.json", []) == []


def test_copying_returns_the_digest_of_what_was_copied(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"abc" * 1_000_000)
    digest = copy_hashing(source, tmp_path / "below" / "target")
    assert digest == sha256_of_file(source) == sha256_of_file(tmp_path / "below" / "target")
