"""Many messages at once as numpy arrays: their layout, and the CBOR of a column's values.

What belongs here: joining constants and columns of runs of bytes into one message a row, and the
bytes of ``cbor`` for every value of a plain Arrow column. What does not: hashing them
(``numpy_hashers``), and which messages are hashed (``numpy_engine``).

A run is moved as one item of an opaque type as wide as the column's longest run: some ten
nanoseconds whatever its width. What a shorter run brings along is overwritten by the next column,
and lands in the slack between messages at the end of one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ledger_anchor import cbor
from ledger_anchor.row_commit.columns import Field

Bytes = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]
Words64 = npt.NDArray[np.uint64]

BLOCK = 64
"""Bytes that SHA-256 takes in at once."""

WINDOW = 256
"""Longest run that is moved as one item; a longer one is copied on its own."""

_HEAD = 9  # bytes of the longest head: the first one and a 64-bit argument
_ARGUMENT_WIDTHS = np.array([0, 1, 2, 4, 8], np.uint64)
_BIGNUM = 18  # tag, head and at most 16 bytes


@dataclass(frozen=True, repr=False)
class Runs:
    """One run of bytes a row: ``data[starts[i] : starts[i] + sizes[i]]``.

    ``data`` goes on for at least ``WINDOW`` bytes after the last run.
    """

    data: Bytes
    starts: Numbers
    sizes: Numbers

    @property
    def window(self) -> int:
        """Bytes that are moved for each run that is not longer than ``WINDOW``."""
        return max(1, min(WINDOW, int(self.sizes.max(initial=0))))

    def part(self, first: int, end: int) -> Runs:
        """The runs of some rows."""
        return Runs(self.data, self.starts[first:end], self.sizes[first:end])


def room(size: int) -> Bytes:
    """An array for so many bytes and the window after them; its contents are undefined."""
    return np.empty(size + WINDOW, np.uint8)


def windows(data: Bytes, width: int) -> npt.NDArray[np.void]:
    """Item i is ``data[i : i + width]``: reading and writing it moves all bytes at once."""
    return np.ndarray((data.size - width + 1,), f"V{width}", data, 0, (1,))


def matrix_runs(data: Bytes, width: int, sizes: Numbers) -> Runs:
    """Runs that start every ``width`` bytes."""
    return Runs(data, np.arange(sizes.size) * width, sizes)


def key_blocks(keys: Sequence[bytes]) -> tuple[Bytes, Bytes]:
    """The inner and the outer block of HMAC-SHA-256 of each key, joined (RFC 2104)."""
    short = [hashlib.sha256(key).digest() if len(key) > BLOCK else key for key in keys]
    blocks = np.frombuffer(b"".join(key.ljust(BLOCK, b"\0") for key in short), np.uint8)
    return blocks ^ np.uint8(0x36), blocks ^ np.uint8(0x5C)


def first_bytes(digests: npt.NDArray[Any], size: int) -> Runs:
    """The first bytes of each row of a whole matrix."""
    data = room(digests.nbytes)
    data[: digests.nbytes] = digests.view(np.uint8).reshape(-1)
    width = digests.nbytes // max(1, len(digests))
    return matrix_runs(data, width, np.full(len(digests), size, np.int64))


def joined(rows: int, parts: Sequence[Runs | bytes]) -> Runs:
    """One message a row: each part's run, or the same bytes for every row, one after the other."""
    sizes = np.full(rows, sum(len(part) for part in parts if isinstance(part, bytes)), np.int64)
    slack = 0
    for part in parts:
        if isinstance(part, Runs):
            sizes += part.sizes
            slack = max(slack, part.window)
    starts = np.cumsum(sizes + slack) - (sizes + slack)
    data = room(int(sizes.sum()) + rows * slack)
    at = starts.copy()
    for part in parts:
        if isinstance(part, Runs):
            put_runs(data, at, part)
        else:
            put_run(data, at, part)
    return Runs(data, starts, sizes)


def put_run(data: Bytes, at: Numbers, run: bytes) -> None:
    """Write the same bytes at every place, and move the places on."""
    windows(data, len(run))[at] = np.frombuffer(run, f"V{len(run)}")[0]
    at += len(run)


def put_runs(data: Bytes, at: Numbers, runs: Runs) -> None:
    """Write each row's run at its place, and move the places on."""
    width = runs.window
    windows(data, width)[at] = windows(runs.data, width)[runs.starts]
    for row in np.flatnonzero(runs.sizes > WINDOW).tolist() if width == WINDOW else ():
        start, end = int(runs.starts[row]), int(runs.starts[row] + runs.sizes[row])
        data[at[row] : at[row] + end - start] = runs.data[start:end]
    at += runs.sizes


def cbor_runs(item: Field, values: Any) -> list[Runs]:
    """CBOR of every value of a plain Arrow column, null included, as runs to put after each other.

    Args:
        item: the column.
        values: its plain array (``columns.plain_array``).
    """
    if item.kind in {"text", "blob"}:
        return _strings(item, values)
    rows = len(values)
    if values.null_count == rows:
        return [_filled(rows, cbor.NULL)]
    if item.kind == "bool":
        width, data, sizes = _booleans(values)
    elif item.kind == "float":
        width, data, sizes = _floats(values)
    elif item.kind == "decimal":
        width, data, sizes = _decimals(item, values)
    else:
        prefix = cbor.encode_date(0)[:-1] if item.kind == "date" else b""
        width, data, sizes = _integers(prefix, values)
    if values.null_count:
        missing = np.flatnonzero(~_is_valid(values))
        data[missing * width] = cbor.NULL[0]
        sizes[missing] = 1
    return [matrix_runs(data, width, sizes)]


_Encoded = tuple[int, Bytes, Numbers]
"""Bytes from one row to the next, rows of bytes, and how many of them count."""


def _filled(rows: int, run: bytes) -> Runs:
    data = room(len(run))
    data[: len(run)] = np.frombuffer(run, np.uint8)
    return Runs(data, np.zeros(rows, np.int64), np.full(rows, len(run), np.int64))


def _is_valid(values: Any) -> npt.NDArray[np.bool_]:
    valid: npt.NDArray[np.bool_] = values.is_valid().to_numpy(zero_copy_only=False)
    return valid


def _buffer(values: Any, kind: npt.DTypeLike) -> Any:
    whole = np.frombuffer(values.buffers()[1], kind)
    return whole[values.offset : values.offset + len(values)]


def _rows_of(width: int, rows: int, prefix: bytes) -> tuple[Bytes, Bytes]:
    """Room for rows of bytes, and the same as a matrix that has the prefix in its first columns."""
    data = room(width * rows)
    matrix = data[: width * rows].reshape(rows, width)
    matrix[:, : len(prefix)] = np.frombuffer(prefix, np.uint8)
    return data, matrix


def _put_big_endian(data: Bytes, at: int, width: int, words: Words64) -> None:
    """Write 64-bit words to the rows of bytes, from column ``at`` on."""
    np.ndarray((words.size,), ">u8", data, at, (width,))[:] = words


def _put_heads(data: Bytes, at: int, width: int, major: Bytes | int, argument: Words64) -> Numbers:
    """Write heads with these arguments from column ``at`` on; gives their sizes."""
    step = np.zeros(argument.size, np.uint8)
    for limit in (24, 1 << 8, 1 << 16, 1 << 32):
        step += argument >= np.uint64(limit)
    widths = _ARGUMENT_WIDTHS[step]
    info = np.where(step == 0, argument.astype(np.uint8), step + np.uint8(23))
    # A shift by all 64 bits leaves 0 in numpy, which is right for a head of one byte.
    _put_big_endian(data, at + 1, width, argument << (np.uint64(64) - np.uint64(8) * widths))
    np.ndarray((argument.size,), np.uint8, data, at, (width,))[:] = (major << 5) | info
    return widths.astype(np.int64) + 1


def _integers(prefix: bytes, values: Any) -> _Encoded:
    words: Words64 = _buffer(values, np.uint64)
    sign = words.view(np.int64) >> np.int64(63)
    if str(values.type) == "uint64":
        sign[:] = 0
    argument, major = _magnitude(words, sign), (sign & 1).astype(np.uint8)
    width = len(prefix) + _HEAD
    data, _ = _rows_of(width, argument.size, prefix)
    sizes = _put_heads(data, len(prefix), width, major, argument)
    return width, data, sizes + len(prefix)


def _magnitude(words: Any, sign: Numbers) -> Words64:
    """CBOR's argument of a number in two's complement; ``sign`` is 0, or -1 for negative ones."""
    made: Words64 = np.bitwise_xor(words, sign.view(np.uint64), dtype=np.uint64)
    return made


def _decimals(item: Field, values: Any) -> _Encoded:
    parts = _buffer(values, np.dtype([("low", np.uint64), ("high", np.int64)]))
    sign = parts["high"] >> np.int64(63)
    low, high = _magnitude(parts["low"], sign), _magnitude(parts["high"].view(np.uint64), sign)
    major = (sign & 1).astype(np.uint8)
    prefix = cbor.decimal_prefix(item.scale)
    at, width = len(prefix), len(prefix) + _BIGNUM
    data, matrix = _rows_of(width, low.size, prefix)
    sizes = _put_heads(data, at, width, major, low) + at
    big = np.flatnonzero(high)
    if big.size:
        raw = np.stack([high[big], low[big]], axis=1).astype(">u8").view(np.uint8)
        lengths = 16 - np.argmax(raw != 0, axis=1)
        for length in np.unique(lengths).tolist():
            here = lengths == length
            rows = big[here]
            matrix[rows, at] = cbor.head(6, 2)[0] + major[rows]
            matrix[rows, at + 1] = cbor.head(2, length)[0]
            matrix[rows, at + 2 : at + 2 + length] = raw[here, 16 - length :]
            sizes[rows] = at + 2 + length
    return width, data, sizes


def _floats(values: Any) -> _Encoded:
    doubles = _buffer(values, np.float64)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        singles, halves = doubles.astype(np.float32), doubles.astype(np.float16)
    is_nan = np.isnan(doubles)
    halves[is_nan] = np.frombuffer(cbor.NAN[1:], ">f2")[0]
    is_half = (halves == doubles) | is_nan
    is_single = singles == doubles
    kind = np.where(is_half, np.uint8(0), np.where(is_single, np.uint8(1), np.uint8(2)))
    half_bits = halves.view(np.uint16).astype(np.uint64) << np.uint64(48)
    single_bits = singles.view(np.uint32).astype(np.uint64) << np.uint64(32)
    bits = np.where(is_half, half_bits, np.where(is_single, single_bits, doubles.view(np.uint64)))
    data, matrix = _rows_of(_HEAD, doubles.size, b"")
    matrix[:, 0] = kind + np.uint8(0xF9)
    _put_big_endian(data, 1, _HEAD, bits)
    return _HEAD, data, np.array([3, 5, 9], np.int64)[kind]


def _booleans(values: Any) -> _Encoded:
    flags = values.fill_null(False).cast("uint8").to_numpy()
    data = room(flags.size)
    data[: flags.size] = flags + np.uint8(cbor.FALSE[0])
    return 1, data, np.ones(flags.size, np.int64)


def _strings(item: Field, values: Any) -> list[Runs]:
    """A head for each value, then the bytes themselves."""
    rows = len(values)
    offsets = _offsets(values)
    lengths = np.diff(offsets)
    if values.null_count:
        lengths[~_is_valid(values)] = 0
    heads = room(_HEAD * rows)
    major = 3 if item.kind == "text" else 2
    sizes = _put_heads(heads, 0, _HEAD, major, lengths.view(np.uint64))
    if values.null_count:
        heads[_HEAD * np.flatnonzero(~_is_valid(values))] = cbor.NULL[0]
    first, last = int(offsets[0]), int(offsets[-1])
    data = room(last - first)
    if last > first:
        data[: last - first] = np.frombuffer(values.buffers()[2], np.uint8)[first:last]
    return [matrix_runs(heads, _HEAD, sizes), Runs(data, offsets[:-1] - first, lengths)]


def _offsets(values: Any) -> Numbers:
    """Where values of a large binary array start in its data, and where the last one ends."""
    buffer = values.buffers()[1]
    if buffer is None or not len(values):
        return np.zeros(len(values) + 1, np.int64)
    return np.frombuffer(buffer, np.int64)[values.offset : values.offset + len(values) + 1]
