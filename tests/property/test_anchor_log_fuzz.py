"""Files of a log changed at random: a reader returns the truth or one of our errors, never else."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_anchor.errors import AnchorError
from ledger_anchor.notes.keys import SignerKey
from ledger_anchor.tlog.fsck import fsck
from ledger_anchor.tlog.log import LogReader, LogWriter
from ledger_anchor.tlog.tiles import (
    ENTRIES,
    TILE_WIDTH,
    decode_bundle,
    encode_bundle,
    parse_tile_path,
    tile_path,
    tiles_of_size,
)

SIGNER = SignerKey("example.org/log", bytes(32))
TRUST = SIGNER.verifier()
OLD, SIZE = 300, 600
ENTRY = [b"entry %d" % number for number in range(SIZE)]


class Files:
    """A log in memory, as an attacker who holds the storage may leave it."""

    location = "memory"

    def __init__(self, files: dict[str, bytes]) -> None:
        self.content = dict(files)

    def read(self, path: str) -> bytes | None:
        return self.content.get(path)

    def write(self, items: Sequence[tuple[str, bytes]]) -> None:
        self.content.update(items)

    def remove(self, paths: Sequence[str]) -> None:
        for path in paths:
            for name in [n for n in self.content if n == path or n.startswith(path + "/")]:
                del self.content[name]

    def files(self) -> Iterator[str]:
        return iter(sorted(self.content))

    def tidy(self) -> None:
        return


class Sound:
    """A log as it was written: its files, its checkpoint of a smaller size, and the writer's."""

    def __init__(self, private: Path) -> None:
        files = Files({})
        writer = LogWriter(files, SIGNER, private / "state", private / "lock", 5.0)
        writer.append(ENTRY[:OLD])
        self.older = files.content["checkpoint"]
        writer.append(ENTRY[OLD:])
        self.files, self.private = files.content, private


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    return Sound(tmp_path_factory.mktemp("fuzz"))


def changed(good: dict[str, bytes], data: st.DataObject) -> Files:
    """The files with one or two changes."""
    files = Files(good)
    for _ in range(data.draw(st.integers(1, 2))):
        name = data.draw(st.sampled_from(sorted(good)))
        content = files.content.get(name, b"")
        kind = data.draw(st.sampled_from(["flip", "cut", "longer", "swap", "gone", "random"]))
        at = data.draw(st.integers(0, max(0, len(content) - 1)))
        if kind == "gone":
            files.content.pop(name, None)
        elif kind == "flip" and content:
            bit = 1 << data.draw(st.integers(0, 7))
            files.content[name] = content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :]
        elif kind == "cut":
            files.content[name] = content[:at]
        elif kind == "longer":
            files.content[name] = content + data.draw(st.binary(min_size=1, max_size=40))
        elif kind == "swap":
            files.content[name] = good[data.draw(st.sampled_from(sorted(good)))]
        else:
            files.content[name] = data.draw(st.binary(max_size=80))
    return files


def outcome(call: Callable[[], object]) -> object:
    try:
        return call()
    except AnchorError:
        return None


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_a_reader_of_altered_files_gives_the_truth_or_an_error(
    log: Sound, data: st.DataObject
) -> None:
    good, older = log.files, log.older
    files = changed(good, data)
    index = data.draw(st.integers(0, SIZE - 1))
    truth, reader = LogReader(Files(good), TRUST), LogReader(files, TRUST)
    assert outcome(lambda: reader.entry(index)) in {None, ENTRY[index]}
    start = index // TILE_WIDTH * TILE_WIDTH
    found = outcome(lambda: list(reader.entries(start, index + 1)))
    assert found in (None, ENTRY[start : index + 1])
    assert outcome(lambda: reader.proof(index)) in {None, truth.proof(index)}
    grown = outcome(lambda: reader.check_extends(older))
    assert grown is None or grown == truth.checkpoint()
    whole = outcome(reader.verify_files)
    report = fsck(files, TRUST)
    needed = {tile_path(*tile) for tile in tiles_of_size(SIZE)} | {"checkpoint"}
    is_whole = all(files.content.get(name) == good[name] for name in needed)
    assert report.is_ok == is_whole
    assert (whole is not None) == is_whole
    blamed = {problem.path for problem in report.problems}
    wrong = {name for name in needed if files.content.get(name) != good[name]}
    if "checkpoint" in wrong:
        assert "checkpoint" in blamed  # the others are judged by what it claims
    else:
        assert blamed <= needed
        assert blamed == wrong or len(wrong) > 1


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_writer_never_signs_on_altered_files_what_it_cannot_prove(
    log: Sound, data: st.DataObject
) -> None:
    good, private = log.files, log.private
    files = changed(good, data)
    state = (private / "state").read_bytes()
    writer = LogWriter(files, SIGNER, private / "state", private / "lock", 5.0)
    grew = outcome(lambda: writer.append([b"fresh"]))
    signed = (private / "state").read_bytes()
    (private / "state").write_bytes(state)
    if grew is None:
        assert signed == state
        return
    assert grew == [SIZE]
    healed = Files(good | files.content | {"checkpoint": signed})
    edge = LogReader(healed, TRUST)
    assert edge.entry(SIZE) == b"fresh"
    assert edge.check_extends(good["checkpoint"]).size == SIZE + 1


@given(st.integers(0, 10**12), st.sampled_from([ENTRIES, 0, 3, 7]), st.integers(1, 256))
def test_a_tiles_path_reads_back(number: int, level: int | str, width: int) -> None:
    path = tile_path(level, number, width)
    assert parse_tile_path(path) == (level, number, width)
    for wrong in ("/" + path, path + "/", path.replace("tile", "tiles"), path + ".p/0"):
        assert parse_tile_path(wrong) is None


@given(st.text(alphabet="tile/0123x.pentries-", max_size=40))
def test_whatever_parses_as_a_path_is_its_one_spelling(text: str) -> None:
    parsed = parse_tile_path(text)
    assert parsed is None or tile_path(*parsed) == text


@given(st.lists(st.binary(max_size=300), max_size=20), st.binary(max_size=20))
def test_bundles_read_back_and_nothing_may_follow(entries: list[bytes], more: bytes) -> None:
    data = encode_bundle(entries)
    assert decode_bundle(data, len(entries), "bundle") == entries
    for wrong in (data + more, data[: len(data) - len(more)]):
        if wrong != data:
            with pytest.raises(AnchorError, match="bundle: "):
                decode_bundle(wrong, len(entries), "bundle")
