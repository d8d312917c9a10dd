"""Reading a block as a whole and reading its lines one by one give the same rows."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.feeds import tabular

COLUMNS = [
    ("id", pa.string(), False),
    ("number", pa.int32(), True),
    ("amount", pa.int64(), False),
    ("flag", pa.bool_(), True),
    ("day", pa.date32(), True),
    ("at", pa.timestamp("us", tz="UTC"), True),
    ("weight", pa.decimal128(12, 6), True),
]
TEXTS = ["", "0", "-7", "007", "+1", "1.5", "0x1f", "1e3", "99999999999", "nan", "a", "Ω", "true"]
TEXTS += [
    "True",
    "false",
    "2024-02-29",
    "2023-02-29",
    "2024-2-1",
    "20240201",
    "2024-01-01T10:00:00",
]
TEXTS += ["2024-01-01T10:00:00Z", "2024-01-01 10:00:00.123456Z", "2024-01-01T10:00:00+05:30"]
TEXTS += [
    "2024-01-01T25:00:00Z",
    "1234567.123456",
    "0.1234567",
    ".5",
    "NULL",
    "NaN",
    " ",
    " 1",
    "2 ",
]
TEXTS += ['"', '""', '"a"', '"1"', '"a', 'a"b', "\r", "#N/A", "1,2", "\t3", "\x00"]
FITTING = ["x1", "12", "-300", "true", "2024-03-01", "2024-03-01T04:05:06Z", "3.250000"]


@st.composite
def lines(draw: st.DrawFn) -> str:
    values = list(FITTING)
    for place in draw(st.lists(st.integers(0, len(values) - 1), max_size=3)):
        values[place] = draw(st.sampled_from(TEXTS))
    return ",".join(values)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.lists(lines(), min_size=1, max_size=6))
def test_a_line_is_read_the_same_in_company_and_alone(texts: list[str]) -> None:
    together = tabular._Parser("f", COLUMNS)
    data = "".join(text + "\n" for text in texts).encode()
    rows = together.parse(2, data).to_pylist()
    alone = tabular._Parser("f", COLUMNS)
    apart = [
        row
        for number, text in enumerate(texts)
        for row in alone._parse_lines(2 + number, [text.encode()]).to_pylist()
    ]
    assert rows == apart
    refused = together.take_rejections()
    assert refused == alone.take_rejections()
    assert len(rows) + len(refused) == len(texts)
