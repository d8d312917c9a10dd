"""CBOR of Arrow columns, written by machine code.

What belongs here: the bytes of ``cbor`` once more, for whole columns. What does not: which buffers
these are (``fast``).

Every value of a batch is written into one buffer, column after column, with the place where each
starts. Buffers have room beyond their end, so that eight bytes can be written at a time.
"""

from __future__ import annotations

import numpy as np

from ledger_anchor.row_commit.engines.machine import (
    Number,
    compiled,
    copy,
    copy16,
    inlined,
    load8,
    load32,
    load64,
    number,
    store,
    swap,
)

NULL = 0xF6
_U8, _U64, _I64 = np.uint8, np.uint64, np.int64


@inlined
def _is_valid(bits: Number, at: Number) -> Number:
    """Whether bit ``at`` of a bitmap is set; no bitmap means all are."""
    return bits == 0 or (load8(bits + (at >> 3)) >> _U8(at & 7)) & _U8(1) != 0


@inlined
def _put_head(out: Number, major: Number, argument: Number) -> Number:
    """Write an item's head; the number of its bytes. Nine bytes may be overwritten."""
    width = (
        _I64(argument >= _U64(24))
        + _I64(argument >= _U64(1 << 8))
        + 2 * _I64(argument >= _U64(1 << 16))
        + 4 * _I64(argument >= _U64(1 << 32))
    )
    if width == 0:
        store(out, _U8(major << _U64(5) | argument))
        return 1
    info = _U64(24) + _U64(width >= 2) + _U64(width >= 4) + _U64(width >= 8)
    store(out, _U8(major << _U64(5) | info))
    store(out + 1, swap(argument << _U64(64 - 8 * width)))
    return 1 + width


@inlined
def _put_integer(out: Number, low: Number, high: Number) -> Number:
    """Write a 128-bit two's complement integer; the number of bytes."""
    major = _U64(0)
    if high < 0:
        major, low, high = _U64(1), ~low, ~high
    top = _U64(high)
    if top == 0:
        return _put_head(out, major, low)
    size = 0
    while size < 8 and top >> _U64(8 * size) != 0:
        size += 1
    store(out, _U8(_U64(0xC2) + major))
    store(out + 1, _U8(0x48 + size))
    store(out + 2, swap(top << _U64(64 - 8 * size)))
    store(out + 2 + size, swap(low))
    return 10 + size


@inlined
def _put_float(out: Number, bits: Number) -> Number:
    """Write the shortest float that is exactly the double with these bits; the number of bytes."""
    width, short = _shorten(bits)
    store(out, _U8(0xF8 + (1 if width == 2 else 2 if width == 4 else 3)))
    store(out + 1, swap(short << _U64(64 - 8 * width)))
    return 1 + width


@inlined
def _shorten(bits: Number) -> Number:
    """Width (2, 4, 8) and bits of the shortest float that is exactly the double with these bits."""
    sign = bits >> _U64(63)
    exponent = _I64((bits >> _U64(52)) & _U64(0x7FF))
    fraction = bits & _U64(0xFFFFFFFFFFFFF)
    if exponent == 0x7FF:
        if fraction != 0:
            return 2, _U64(0x7E00)
        return 2, sign << _U64(15) | _U64(0x7C00)
    if exponent == 0 and fraction == 0:
        return 2, sign << _U64(15)
    if exponent == 0:
        return 8, bits  # a subnormal double is far below every smaller format
    power = exponent - 1023
    full = fraction | _U64(1 << 52)
    for width in (2, 4):
        mantissa, least, most = (10, -14, 15) if width == 2 else (23, -126, 127)
        lost = 52 - mantissa + (least - power if power < least else 0)
        if power > most or lost > 52 or full & _U64((1 << lost) - 1):
            continue
        kept = full >> _U64(lost)
        biased = 0 if power < least else power - least + 1
        body = kept if biased == 0 else kept & _U64((1 << mantissa) - 1)
        top = sign << _U64(15 if width == 2 else 31)
        return width, top | _U64(biased << mantissa) | body
    return 8, bits


@compiled
def encode_numbers(
    kind: Number,
    values: Number,
    bits: Number,
    first: Number,
    rows: Number,
    prefix: Number,
    prefix_size: Number,
    cells: Number,
    at: Number,
    starts: Number,
) -> Number:
    """Write a column's CBOR from place ``at`` of ``cells``; the place after it.

    Args:
        kind: 0 signed and 1 unsigned 64-bit integers, 2 128-bit integers, 3 doubles, 4 bits.
        values: address of the values' buffer.
        bits: address of the bitmap of values that are there, or 0.
        first: number of the first value in both buffers.
        rows: number of values.
        prefix: up to eight bytes before each integer, the first in the highest byte.
        prefix_size: how many they are.
        cells: address of the buffer.
        at: place in it.
        starts: receives the place of each value, and of the end.
    """
    for row in range(rows):
        store(starts + 8 * row, at)
        place = first + row
        out = cells + at
        if not _is_valid(bits, place):
            store(out, _U8(NULL))
            at += 1
        elif kind == 3:
            at += _put_float(out, load64(values + 8 * place))
        elif kind == 4:
            store(out, _U8(0xF4 + _is_valid(values, place)))
            at += 1
        else:
            if prefix_size:
                store(out, prefix)
            width = 16 if kind == 2 else 8
            low = load64(values + width * place)
            high = _I64(low) >> 63 if kind == 0 else _I64(0)
            if kind == 2:
                high = number(values + width * place + 8)
            at += prefix_size + _put_integer(out + prefix_size, low, high)
    store(starts + 8 * rows, at)
    return at


@compiled
def encode_strings(
    offsets: Number,
    data: Number,
    bits: Number,
    first: Number,
    rows: Number,
    major: Number,
    cells: Number,
    at: Number,
    starts: Number,
) -> Number:
    """Write a column of text (major 3) or blobs (major 2) like ``encode_numbers``."""
    begin = number(offsets + 8 * first)
    for row in range(rows):
        store(starts + 8 * row, at)
        end = number(offsets + 8 * (first + row + 1))
        if _is_valid(bits, first + row):
            size = end - begin
            at += _put_head(cells + at, _U64(major), _U64(size))
            copy(cells + at, data + begin, size)
            at += size
        else:
            store(cells + at, _U8(NULL))
            at += 1
        begin = end
    store(starts + 8 * rows, at)
    return at


@compiled
def encode_entries(
    indices: Number,
    bits: Number,
    first: Number,
    rows: Number,
    entries: Number,
    ends: Number,
    cells: Number,
    at: Number,
    starts: Number,
) -> Number:
    """Write a column of indices into a dictionary, like ``encode_numbers``.

    Args:
        indices: address of the indices, four bytes each.
        bits: address of the bitmap of values that are there, or 0.
        first: number of the first index in both buffers.
        rows: number of values.
        entries: address of the dictionary's CBOR.
        ends: where each of its values starts, and the end.
        cells: address of the buffer.
        at: place in it.
        starts: receives the place of each value, and of the end.
    """
    for row in range(rows):
        store(starts + 8 * row, at)
        if _is_valid(bits, first + row):
            place = ends + 8 * _I64(load32(indices + 4 * (first + row)))
            begin = number(place)
            size = number(place + 8) - begin
            done = 0
            while done < size:
                copy16(cells + at + done, entries + begin + done)
                done += 16
            at += size
        else:
            store(cells + at, _U8(NULL))
            at += 1
    store(starts + 8 * rows, at)
    return at
