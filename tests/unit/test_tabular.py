"""CSV feeds: what is a row, what is refused and why, line by line."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest

from orchestration.feeds import tabular
from orchestration.feeds.common import FeedError

DATASET = "raw_test__audit"
COLUMNS = [
    ("audit_id", pa.string(), False),
    ("members", pa.int32(), False),
    ("is_rural", pa.bool_(), False),
    ("audited_on", pa.date32(), False),
    ("posted_at", pa.timestamp("us", tz="UTC"), True),
    ("weight", pa.decimal128(12, 6), True),
]
HEADER = b"audit_id,members,is_rural,audited_on,posted_at,weight\n"
GOOD = b"a1,4,true,2024-11-03,2024-11-03T08:00:00Z,4.500000\n"


def read(folder: Path, content: bytes) -> tuple[list[dict], list]:
    path = folder / "feed.csv"
    path.write_bytes(content)
    reading = tabular.read_feed([path], DATASET, COLUMNS)
    rows = [row for group in reading for row in group[DATASET].to_pylist()]
    return rows, reading.rejections


def found(rejections: list) -> list[tuple[str, str]]:
    return [(rejection.position, rejection.rule) for rejection in rejections]


def test_a_good_line_becomes_a_row_of_the_schema(tmp_path: Path) -> None:
    rows, rejections = read(tmp_path, HEADER + GOOD)
    assert rejections == []
    assert rows == [
        {
            "audit_id": "a1",
            "members": 4,
            "is_rural": True,
            "audited_on": date(2024, 11, 3),
            "posted_at": datetime(2024, 11, 3, 8, tzinfo=UTC),
            "weight": Decimal("4.500000"),
        }
    ]


def test_tables_carry_types_and_nullability_of_the_schema(tmp_path: Path) -> None:
    path = tmp_path / "feed.csv"
    path.write_bytes(HEADER + GOOD + b"a2,x,true,2024-11-03,,\n")
    for group in tabular.read_feed([path], DATASET, COLUMNS):
        assert group[DATASET].schema == pa.schema([pa.field(*column) for column in COLUMNS])


@pytest.mark.parametrize(
    ("line", "rule", "part"),
    [
        (b"a2,four,true,2024-11-03,,", tabular.TYPE, "members (int32)"),
        (b"a2,4,yes,2024-11-03,,", tabular.TYPE, "is_rural (bool)"),
        (b"a2,4,1,2024-11-03,,", tabular.TYPE, "is_rural (bool)"),
        (b"a2,4,true,2024-02-31,,", tabular.TYPE, "audited_on"),
        (b"a2,4,true,03-11-2024,,", tabular.TYPE, "audited_on"),
        (b"a2,4,true,2024-11-03,2024-11-03T08:00:00,", tabular.TYPE, "posted_at"),
        (b"a2,4,true,2024-11-03,,much", tabular.TYPE, "weight"),
        (b"a2,99999999999,true,2024-11-03,,", tabular.TYPE, "members"),
        (b"a2, 4,true,2024-11-03,,", tabular.TYPE, "members"),
        (b"a2,,true,2024-11-03,,", tabular.MISSING, "members"),
        (b",4,true,2024-11-03,,", tabular.MISSING, "audit_id"),
        (b"a2,4,true,2024-11-03", tabular.COLUMNS, "found 4"),
        (b"a2,4,true,2024-11-03,,,", tabular.COLUMNS, "found 7"),
        (b'"a2,4,true,2024-11-03,,', tabular.COLUMNS, "quote"),
        (b"a2\rb,4,true,2024-11-03,,", tabular.COLUMNS, "line break"),
        (b"\xff\xfe,4,true,2024-11-03,,", tabular.ENCODING, "position 0"),
        (b"a" * (tabular.MAX_LINE_BYTES + 1), tabular.TOO_LONG, "at most"),
        (HEADER.strip(), tabular.REPEATED_HEADER, "header again"),
    ],
)
def test_a_bad_line_is_refused_with_its_number_and_the_rest_is_kept(
    tmp_path: Path, line: bytes, rule: str, part: str
) -> None:
    rows, rejections = read(tmp_path, HEADER + GOOD + line + b"\n" + GOOD)
    assert len(rows) == 2
    assert found(rejections) == [("line 3", rule)]
    assert part in rejections[0].reason
    assert rejections[0].source_file == "feed.csv"
    assert rejections[0].record == line[: tabular.MAX_LINE_BYTES].removesuffix(b"\r")


def test_reasons_do_not_cite_values(tmp_path: Path) -> None:
    _, rejections = read(tmp_path, HEADER + b"secret-id,secret,true,2024-11-03,,\n")
    assert "secret" not in rejections[0].reason


def test_several_faults_of_one_line_are_one_rejection(tmp_path: Path) -> None:
    _, rejections = read(tmp_path, HEADER + b",four,maybe,2024-11-03,,\n")
    assert found(rejections) == [("line 2", tabular.TYPE)]
    assert "members (int32), is_rural (bool)" in rejections[0].reason


def test_byte_order_mark_windows_line_ends_blank_lines_and_no_last_line_end_are_accepted(
    tmp_path: Path,
) -> None:
    lines = (HEADER + GOOD + b"\n\n" + GOOD.strip()).replace(b"\n", b"\r\n")
    rows, rejections = read(tmp_path, b"\xef\xbb\xbf" + lines)
    assert (len(rows), rejections) == (2, [])


def test_quoted_values_may_hold_commas_and_quotes(tmp_path: Path) -> None:
    rows, rejections = read(tmp_path, HEADER + b'"a, ""b""",4,true,2024-11-03,,\n' + GOOD)
    assert [row["audit_id"] for row in rows] == ['a, "b"', "a1"]
    assert rejections == []


def test_an_unclosed_quote_takes_no_other_line_with_it(tmp_path: Path) -> None:
    rows, rejections = read(tmp_path, HEADER + GOOD + b'a2,4,true,2024-11-03,,"\n' + GOOD * 3)
    assert len(rows) == 4
    assert found(rejections) == [("line 3", tabular.COLUMNS)]


def test_a_file_with_only_a_header_has_no_rows(tmp_path: Path) -> None:
    assert read(tmp_path, HEADER) == ([], [])
    assert read(tmp_path, HEADER.strip()) == ([], [])


def test_line_numbers_hold_across_blocks_and_chunks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tabular, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(tabular, "CHUNK_LINES", 4)
    lines = [GOOD] * 200
    for number in (0, 57, 58, 199):
        lines[number] = b"broken\n"
    rows, rejections = read(tmp_path, HEADER + b"".join(lines))
    assert len(rows) == 196
    assert [position for position, _ in found(rejections)] == [
        f"line {number}" for number in (2, 59, 60, 201)
    ]


def test_a_line_longer_than_a_block_is_refused_and_reading_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tabular, "BLOCK_BYTES", 2 * tabular.MAX_LINE_BYTES)
    huge = b"x" * (9 * tabular.MAX_LINE_BYTES)
    rows, rejections = read(tmp_path, HEADER + GOOD + huge + b"\n" + GOOD)
    assert len(rows) == 2
    assert found(rejections) == [("line 3", tabular.TOO_LONG)]
    assert len(rejections[0].record) == tabular.MAX_LINE_BYTES


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "an empty file"),
        (b"\n" + HEADER, "an empty file or an empty first line"),
        (b"a,b\n1,2\n", "without audit_id"),
        (b"weight,audit_id,members,is_rural,audited_on,posted_at\n", "in another order"),
        (HEADER.strip() + b",more\n", "1 more columns"),
        (HEADER.strip() + b",weight\n", "names a column twice"),
        (HEADER.decode().encode("utf-16"), "not UTF-8"),
        (b"PAR1\x00\xff\x80\x15", "not UTF-8"),
    ],
)
def test_another_header_is_one_clear_error(tmp_path: Path, content: bytes, part: str) -> None:
    with pytest.raises(FeedError) as raised:
        read(tmp_path, content)
    message = str(raised.value)
    assert part in message
    assert "feed.csv, line 1: expected the header audit_id,members" in message
    assert "Deliver the feed" in message


def test_a_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    reading = tabular.read_feed([tmp_path / "none.csv"], DATASET, COLUMNS)
    with pytest.raises(FeedError, match=r"none\.csv: expected a readable file"):
        list(reading)


def test_a_feed_is_recognised_by_its_exact_header(tmp_path: Path) -> None:
    schemas = {"other": COLUMNS[:2], DATASET: COLUMNS}
    path = tmp_path / "anything.txt"
    for content, expected in [
        (HEADER + GOOD, DATASET),
        (b"\xef\xbb\xbf" + HEADER.replace(b"\n", b"\r\n"), DATASET),
        (b"audit_id,members", "other"),
        (b"members,audit_id\n", None),
        (b"", None),
        (b"\x0a\x80\xff", None),
        (HEADER.strip() + b" \n", None),
    ]:
        path.write_bytes(content)
        assert tabular.sniff(path, schemas) == expected
    assert tabular.sniff(tmp_path, schemas) is None


def test_the_report_counts_files_rows_and_refused_lines_and_a_second_pass_starts_anew(
    tmp_path: Path,
) -> None:
    paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for path in paths:
        path.write_bytes(HEADER + GOOD + b"bad\n")
    names = {paths[1]: "second delivery"}
    reading = tabular.read_feed(paths, DATASET, COLUMNS, source_names=names)
    for _ in range(2):
        list(reading)
        assert (reading.report.blocks, reading.report.transactions) == (2, 2)
        assert (reading.report.checks[0].covered, reading.report.checks[0].failed) == (4, 2)
        assert [r.source_file for r in reading.rejections] == ["a.csv", "second delivery"]
    assert reading.report.is_ok
