"""Reading a Fabric export: files in, raw Arrow tables, rejections and a verification report out.

What belongs here: finding the blocks of each channel in a set of files, and passing them through
verification into tables. Nothing is dropped: what is not read is a rejection, and what could not be
verified is said in the report.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from orchestration.feeds.common import FeedError, Rejection, VerificationReport, name_of
from orchestration.feeds.fabric.chain import ChannelVerifier, KnownHead, VerifiedBlock
from orchestration.feeds.fabric.containers import (
    BLOCK_JSON,
    BLOCK_STORE,
    FETCHED_BLOCK,
    ZIP,
    BrokenRecord,
    channel_of,
    read_blocks,
    sniff,
)
from orchestration.feeds.fabric.report import Findings
from orchestration.feeds.fabric.tables import TableBuilder

_CONTAINER_NAMES = {BLOCK_STORE: "fabric peer block store", FETCHED_BLOCK: "fabric fetched blocks"}
_NOT_YET_READ = {
    BLOCK_JSON: (
        "configtxlator JSON, which is not yet read",
        "Hand over the .block file that configtxlator decoded.",
    ),
    ZIP: ("a zip archive, which is not yet read", "Unpack it and hand over the folder."),
}
_EXPECTED = "a peer's block store (blockfile_000000, …) or a fetched block (.block, .pb)"
_UNNAMED_CHANNEL = "unknown"


@dataclass(frozen=True)
class _File:
    """A file to read, and whether it was found in a folder instead of being named itself."""

    path: Path
    is_in_folder: bool


@dataclass(frozen=True)
class _Segment:
    """One file of blocks of one channel; None where no envelope names it."""

    path: Path
    name: str
    kind: str
    channel: str | None
    first_number: int


def read_channel(
    paths: Sequence[Path],
    *,
    source_names: Mapping[Path, str] | None = None,
    expected_head: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    start_height: int | None = None,
) -> ChannelReading:
    """Open an export of one or several channels.

    Files may come in any order: they are sorted by channel and first block. The same block may
    occur twice; a second, different block of the same number is an error and a rejection.

    Args:
        paths: Block store files, fetched blocks, or folders of them.
        source_names: Names under which files are cited; the file's own name otherwise.
        expected_head: The head (or heads, of several channels) that an earlier reading reported:
            channel, height, header_hash and commit_hash. The export must extend it; a fork, a gap
            or a dropped tail is an error in the report.
        start_height: Only blocks from this number on are put into tables; all are verified. By
            default the height of the expected head, else 0.

    Returns:
        The reading: iterate it once for tables, then take its report and rejections.

    Raises:
        FeedError: If a path is not a Fabric export, or none of them holds a whole block.
        ValueError: If an expected head is not one.
    """
    given = [expected_head] if isinstance(expected_head, Mapping) else expected_head or []
    heads = {head.channel: head for head in map(KnownHead.parse, given)}
    names = dict(source_names or {})
    return ChannelReading(_files_of(paths), names, heads, start_height)


def verify_files(paths: Sequence[Path]) -> VerificationReport:
    """Read and verify an export, keep no table, and return its report.

    Raises:
        FeedError: If a path is not a Fabric export, or none of them holds a whole block.
    """
    reading = read_channel(paths)
    reading.verify()
    return reading.report


class ChannelReading:
    """One pass over an export; see ``read_channel``. Iterating again starts a new pass.

    Attributes:
        report: What was verified; complete after the pass.
        rejections: What was refused; complete after the pass.
    """

    def __init__(
        self,
        files: Sequence[_File],
        names: Mapping[Path, str],
        heads: Mapping[str, KnownHead],
        start_height: int | None,
    ) -> None:
        self._heads = heads
        self._start_height = start_height
        self._opened = _Opened()
        for file in files:
            self._opened.add(file, names.get(file.path, name_of(file.path)))
        self._channels = self._opened.by_channel()
        self._start()

    def __iter__(self) -> Iterator[Mapping[str, pa.Table]]:
        """Yield groups of tables (about 100,000 writes or 64 MB of values) in ledger order.

        Yields:
            ``raw_fabric__blocks``, ``raw_fabric__transactions``, ``raw_fabric__writes`` and
            ``raw_fabric__certificates``, each possibly empty.
        """
        self._start()
        for channel, segments in self._channels.items():
            builder = TableBuilder(channel)
            start = self._start_of(channel)
            for verified in self._verify(channel, segments):
                if verified.block.number < start:
                    continue
                builder.add(verified.block, verified.facts, verified.transactions)
                if builder.is_full:
                    yield builder.take()
            if not builder.is_empty:
                yield builder.take()
        self._finish()

    def verify(self) -> None:
        """Make the pass without building tables."""
        self._start()
        for channel, segments in self._channels.items():
            for _ in self._verify(channel, segments):
                pass
        self._finish()

    def _start_of(self, channel: str) -> int:
        if self._start_height is not None:
            return self._start_height
        return self._heads[channel].height if channel in self._heads else 0

    def _start(self) -> None:
        kinds = sorted({each.kind for every in self._channels.values() for each in every})
        self.report = VerificationReport(
            container=" and ".join(_CONTAINER_NAMES[kind] for kind in kinds),
            network=", ".join(self._channels),
        )
        self.rejections: list[Rejection] = []
        self._findings = Findings(channels=len(self._channels))
        for name, what in self._opened.passed_over:
            self._findings.remark(f"files in the folder that were not read, {what}", name)
        channel = self.report.network if len(self._channels) == 1 else _UNNAMED_CHANNEL
        for broken in self._opened.broken:
            self._refuse(channel, broken, broken.number or 0)

    def _finish(self) -> None:
        for absent in sorted(self._heads.keys() - self._channels.keys()):
            text = "channels whose known head was given but of which the export has no block"
            self._findings.remark(text, absent)
        self._findings.write_to(self.report)

    def _verify(self, channel: str, segments: Sequence[_Segment]) -> Iterator[VerifiedBlock]:
        """Yield one channel's blocks, verified, each block once."""
        verifier = ChannelVerifier(channel, self._findings, self._heads.get(channel))
        for segment in segments:
            for item in read_blocks(segment.path, segment.kind, segment.name):
                if isinstance(item, BrokenRecord):
                    number = verifier.next_number if item.number is None else item.number
                    self._refuse(channel, item, number)
                    continue
                verified = verifier.verify(item, segment.kind)
                if isinstance(verified, Rejection):
                    self.rejections.append(verified)
                elif verified is not None:
                    self.rejections += verified.rejections
                    yield verified
        verifier.finish()
        self.report.blocks += verifier.blocks
        self.report.transactions += verifier.transactions
        if verifier.head is not None:
            self.report.heads.append(verifier.head)

    def _refuse(self, channel: str, broken: BrokenRecord, number: int) -> None:
        """Keep bytes that are no block; only a file that ends too early is not an error."""
        position = f"byte {broken.source_offset}"
        rule = "fabric.truncated" if broken.is_tail else "fabric.block"
        self.rejections.append(
            Rejection(broken.source_file, position, rule, broken.reason, broken.raw)
        )
        if broken.is_tail:
            text = "files that end inside a record (as after a crash); what is whole was read"
            self._findings.remark(text, f"{broken.source_file}, {position}")
        else:
            text = f"does not parse ({broken.source_file}, {position}): {broken.reason}"
            self._findings.error(channel, number, text)


class _Opened:
    """The files of an export, recognised and sorted by channel.

    Attributes:
        segments: Files that hold at least one whole block.
        broken: What stands in files that hold none.
        passed_over: Name and description of files in folders that are no blocks.
    """

    def __init__(self) -> None:
        self.segments: list[_Segment] = []
        self.broken: list[BrokenRecord] = []
        self.passed_over: list[tuple[str, str]] = []

    def add(self, file: _File, name: str) -> None:
        """Recognise one file.

        Raises:
            FeedError: If it was named itself and is not a block container that is read.
        """
        try:
            kind = sniff(file.path)
            if kind in _CONTAINER_NAMES:
                self._open(file.path, kind, name)
                return
        except OSError as error:
            raise _unreadable(name, error) from error
        found, what_to_do = _NOT_YET_READ.get(
            kind or "", ("a file that is neither", "Check that the file is whole and is an export.")
        )
        if not file.is_in_folder:
            raise FeedError(where=name, expected=_EXPECTED, found=found, what_to_do=what_to_do)
        self.passed_over.append((name, found))

    def by_channel(self) -> dict[str, list[_Segment]]:
        """Return the segments of each channel in block order.

        Raises:
            FeedError: If no file holds a whole block.
        """
        if not self.segments:
            first = self.broken[0] if self.broken else None
            raise FeedError(
                where=first.source_file if first else "the files given",
                expected=_EXPECTED,
                found=f"no whole block: {first.reason}" if first else "none",
                what_to_do="Export the channel again; nothing was read.",
            )
        named = {each.channel for each in self.segments if each.channel}
        # A file whose envelopes do not say is taken for part of the export's only channel.
        unnamed = named.pop() if len(named) == 1 else _UNNAMED_CHANNEL
        channels: dict[str, list[_Segment]] = {}
        for each in sorted(self.segments, key=lambda each: each.first_number):
            channels.setdefault(each.channel or unnamed, []).append(each)
        return dict(sorted(channels.items()))

    def _open(self, path: Path, kind: str, name: str) -> None:
        broken: list[BrokenRecord] = []
        first = None
        for item in read_blocks(path, kind, name):
            if isinstance(item, BrokenRecord):
                broken.append(item)
                continue
            first = item if first is None else first
            if channel := channel_of(item):
                self.segments.append(_Segment(path, name, kind, channel, first.number))
                return
        if first is not None:
            self.segments.append(_Segment(path, name, kind, None, first.number))
        else:
            self.broken += broken


def _files_of(paths: Sequence[Path]) -> list[_File]:
    """Return the files below the paths, each once, in the order given and by name in folders."""
    files: dict[Path, _File] = {}
    for path in paths:
        if path.is_dir():
            for each in sorted(path.rglob("*")):
                if each.is_file():
                    files.setdefault(each, _File(each, is_in_folder=True))
        else:
            files.setdefault(path, _File(path, is_in_folder=False))
    return list(files.values())


def _unreadable(name: str, error: OSError) -> FeedError:
    return FeedError(
        where=name,
        expected="a file that can be read",
        found=error.strerror or type(error).__name__,
        what_to_do="Check the path and its permissions.",
    )
