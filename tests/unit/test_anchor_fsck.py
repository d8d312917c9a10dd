"""fsck names the file that is wrong: missing, cut short, altered, or merely not needed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from ledger_anchor.errors import StorageError
from ledger_anchor.notes.checkpoint import Checkpoint
from ledger_anchor.notes.keys import SignerKey
from ledger_anchor.tlog import fsck as fsck_module
from ledger_anchor.tlog.fsck import FsckReport, fsck
from ledger_anchor.tlog.log import LogWriter
from ledger_anchor.tlog.storage import LocalStorage
from ledger_anchor.tree import leaf_hash

SIGNER = SignerKey("example.org/log", bytes(32))
TRUST = SIGNER.verifier()
SIZE = 256 * 256 + 700  # three levels; 65,536 entries are one bundle of level 1


def writer(folder: Path) -> LogWriter:
    return LogWriter(folder / "log", SIGNER, folder / "state", folder / "lock", 5.0)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log of three levels; a test that damages a file puts it back."""
    folder = tmp_path_factory.mktemp("large")
    writer(folder).append([b"%d" % number for number in range(SIZE)])
    return folder / "log"


@pytest.fixture
def small(tmp_path: Path) -> Path:
    log = writer(tmp_path)
    log.append([b"entry %d" % number for number in range(300)])
    log.append([b"entry %d" % number for number in range(300, 307)])
    return tmp_path / "log"


def found(report: FsckReport) -> list[tuple[str, str]]:
    return [(problem.path, problem.kind) for problem in report.problems]


def noted(report: FsckReport) -> list[tuple[str, str]]:
    return [(note.path, note.kind) for note in report.notes]


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_a_sound_log_passes_and_the_report_says_what_was_seen(large: Path) -> None:
    steps: list[tuple[int, int]] = []
    report = fsck(large, TRUST, lambda done, of: steps.append((done, of)))
    assert report.is_ok
    assert (report.size, report.signature, report.origin) == (SIZE, "verified", "example.org/log")
    assert report.root == report.calculated_root
    assert report.files == 1 + 259 + 259 + 2 + 1
    assert report.notes == ()
    assert steps[-1] == (259, 259)
    shown = report.to_json()
    assert shown["is_ok"] is True
    assert shown["root"] == shown["calculated_root"]
    assert shown["problems"] == []


def test_each_kind_of_file_is_named_when_it_is_gone_cut_or_altered(small: Path) -> None:
    names = ["tile/entries/000", "tile/0/000", "tile/1/000.p/1", "tile/entries/001.p/51",
             "tile/0/001.p/51"]  # fmt: skip
    for name in names:
        path = small / name
        good = path.read_bytes()
        path.unlink()
        assert found(fsck(small, TRUST)) == [(name, "missing")]
        path.write_bytes(good[:-1])
        assert found(fsck(small, TRUST)) == [(name, "truncated")]
        path.write_bytes(good + b"x" * 32)
        assert found(fsck(small, TRUST)) == [(name, "altered")]
        for at in (5, len(good) // 2, len(good) - 1):
            path.write_bytes(good)
            flip(path, at)
            report = fsck(small, TRUST)
            assert found(report) == [(name, "altered")], at
            assert report.calculated_root in {report.root, None}
        path.write_bytes(good)
    assert fsck(small, TRUST).is_ok


def test_in_three_levels_too_the_altered_file_is_named(large: Path) -> None:
    for name in ("tile/entries/200", "tile/0/255", "tile/1/000", "tile/2/000.p/1"):
        path = large / name
        good = path.read_bytes()
        flip(path, len(good) // 2)
        report = fsck(large, TRUST)
        path.write_bytes(good)
        assert found(report) == [(name, "altered")]


def test_the_altered_entry_is_numbered(small: Path) -> None:
    path = small / "tile" / "entries" / "001.p" / "51"
    flip(path, len(path.read_bytes()) - 1)
    problem = fsck(small).problems[0]
    assert problem.message == "entry 306 is not the one that was logged"
    assert str(problem) == "tile/entries/001.p/51: entry 306 is not the one that was logged"


def test_an_entry_and_its_tile_altered_together_are_found_from_above(small: Path) -> None:
    bundle, tile = small / "tile" / "entries" / "000", small / "tile" / "0" / "000"
    flip(bundle, 3)
    leaves = bytearray(tile.read_bytes())
    leaves[:32] = leaf_hash(bundle.read_bytes()[2:9])
    tile.write_bytes(leaves)
    report = fsck(small, TRUST)
    assert found(report) == [("tile/0/000", "altered")]
    assert "lies below it" in report.problems[0].message


def test_a_whole_history_rewritten_is_a_wrong_root(small: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    writer(other).append([b"other %d" % number for number in range(307)])
    shutil.copy(small / "checkpoint", other / "log" / "checkpoint")
    report = fsck(other / "log", TRUST)
    assert found(report) == [("checkpoint", "root")]
    assert report.calculated_root != report.root
    assert report.root is not None
    assert report.root.hex() in report.problems[0].message


def test_signature_and_form_of_the_checkpoint_are_told_apart(small: Path) -> None:
    impostor = SignerKey("example.org/log", bytes(31) + b"i").verifier()
    report = fsck(small, impostor)
    assert found(report) == [("checkpoint", "signature")]
    assert report.signature == "wrong"
    assert report.calculated_root == report.root
    assert fsck(small).signature == "not checked"
    assert fsck(small).is_ok
    (small / "checkpoint").write_bytes(b"no note")
    assert found(fsck(small, TRUST)) == [("checkpoint", "malformed")]
    (small / "checkpoint").unlink()
    report = fsck(small, TRUST)
    assert found(report) == [("checkpoint", "missing")]
    assert report.to_json()["root"] is None


def test_superfluous_files_are_notes(small: Path) -> None:
    extra = {
        ".staging/.000.1-1.tmp": "temporary",
        "tile/0/.000.12.tmp": "temporary",
        "tile/0/000.p/255": "partial",
        "tile/0/001.p/52": "beyond",
        "tile/entries/002": "beyond",
        "tile/0/001.p/50": "older",
        "tile/0/x000/001": "unknown",
        "readme.txt": "unknown",
    }
    assert fsck(small).notes == ()  # the partial tiles of size 300 belong to the log
    for name in extra:
        (small / name).parent.mkdir(parents=True, exist_ok=True)
        (small / name).write_bytes(b"x")
    report = fsck(small, TRUST)
    assert report.is_ok
    assert dict(noted(report)) == extra


def test_an_older_partial_tile_is_compared_with_the_newer_one(small: Path) -> None:
    older = small / "tile" / "entries" / "001.p" / "44"
    assert older.is_file()
    flip(older, 7)
    report = fsck(small)
    assert noted(report) == [("tile/entries/001.p/44", "older")]
    assert report.is_ok


def test_a_log_that_grows_while_it_is_checked_is_no_problem(tmp_path: Path) -> None:
    log = writer(tmp_path)
    log.append([b"%d" % number for number in range(200)])
    note = (tmp_path / "log" / "checkpoint").read_bytes()
    log.append([b"%d" % number for number in range(200, 300)])
    (tmp_path / "log" / "checkpoint").write_bytes(note)  # as fsck has read it before
    report = fsck(tmp_path / "log", TRUST)
    assert report.is_ok
    assert {kind for _, kind in noted(report)} == {"beyond"}


class Unlisted(LocalStorage):
    """As a web server: it lists nothing, and one file cannot be read."""

    def files(self) -> Iterator[str]:
        return None  # type: ignore[return-value]

    def read(self, path: str) -> bytes | None:
        if path == "tile/0/000":
            raise StorageError("cannot read it: Input/output error")
        return super().read(path)


def test_a_file_that_cannot_be_read_is_a_problem_and_a_missing_list_a_note(small: Path) -> None:
    report = fsck(Unlisted(small), TRUST)
    assert found(report) == [("tile/0/000", "unreadable")]
    assert noted(report) == [("checkpoint", "listing")]


def test_a_checkpoint_that_claims_the_impossible_ends_the_walk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fsck_module, "MAX_PROBLEMS", 50)
    note = Checkpoint("example.org/log", 2**62, bytes(32)).sign(SIGNER)
    (tmp_path / "checkpoint").write_text(note)
    report = fsck(tmp_path, TRUST)
    assert len(report.problems) == 50
    assert noted(report) == [("checkpoint", "stopped")]
    assert {kind for _, kind in found(report)} == {"missing"}


def test_an_empty_log_is_sound(tmp_path: Path) -> None:
    writer(tmp_path).append([])
    report = fsck(tmp_path / "log", TRUST)
    assert report.is_ok
    assert report.size == 0


def test_a_folder_that_cannot_be_listed_is_a_note(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "scandir", refuse)
    report = fsck(small, TRUST)
    assert report.is_ok
    assert noted(report) == [("checkpoint", "listing")]
    assert "Permission denied" in report.notes[0].message
