"""Telling values apart, and moving records, by machine code.

What belongs here: loops whose work is memory and not hashing. What does not: what records mean
(``rows``, ``spill``), tables' sizes (``fast``).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ledger_anchor.row_commit.engines.cbor_kernels import NULL
from ledger_anchor.row_commit.engines.hash_kernels import Values
from ledger_anchor.row_commit.engines.machine import (
    Number,
    compiled,
    copy,
    inlined,
    load8,
    load32,
    load64,
    multiply_high,
    number,
    store,
)

PRIME = 2**61 - 1
_U8, _U32, _U64, _I64 = np.uint8, np.uint32, np.uint64, np.int64
_P61 = np.uint64(PRIME)


@inlined
def _times(a: Number, b: Number) -> Number:
    """Product modulo 2**61 - 1 of numbers below 2**61."""
    low = a * b
    high = multiply_high(a, b) << _U64(3) | low >> _U64(61)
    total = (low & _P61) + high
    return total - _P61 if total >= _P61 else total


class Table(NamedTuple):
    """A hash table of values.

    Attributes:
        slots: numbers of values, four bytes each, 0 where free.
        mask: how many slots there are, a power of two, less one.
        marks: the two fingerprints of each value, by number.
    """

    slots: int
    mask: int
    marks: int


@compiled
def number_values(
    values: Values, points: Number, table: Table, known: Number, numbers: Number, fresh: Number
) -> Number:
    """Number values by what they are; how many were new.

    Args:
        values: a single column.
        points: two secret numbers below 2**61 - 1.
        table: where known ones are found.
        known: how many values have a number.
        numbers: receives the number of each value, 0 for null.
        fresh: receives the rows that brought a new value.
    """
    found = 0
    for row in range(values.rows):
        begin = number(values.starts + 8 * row)
        at, size = values.cells + begin, number(values.starts + 8 * row + 8) - begin
        value = _I64(0)
        if load8(at) != _U8(NULL):
            one, two = _fingerprint(at, size, load64(points), load64(points + 8))
            slot = _slot(one, two) & table.mask
            value = _I64(load32(table.slots + 4 * slot))
            while value and not _is(table.marks + 16 * value, one, two):
                slot = (slot + 1) & table.mask
                value = _I64(load32(table.slots + 4 * slot))
            if value == 0:
                store(fresh + 8 * found, row)
                found += 1
                value = _I64(known + found)
                store(table.slots + 4 * slot, _U32(value))
                store(table.marks + 16 * value, one)
                store(table.marks + 16 * value + 8, two)
        store(numbers + 8 * row, value)
    return found


@inlined
def _fingerprint(at: Number, size: Number, first: Number, second: Number) -> Number:
    """Polynomials of a value, seven bytes a coefficient, at two points."""
    one = two = _U64(size + 1)
    while size > 0:
        part = load64(at) & ((_U64(1) << _U64(8 * min(size, 7))) - _U64(1))
        one, two = _times(one, first) + part, _times(two, second) + part
        one, two = one - _P61 if one >= _P61 else one, two - _P61 if two >= _P61 else two
        at, size = at + 7, size - 7
    return _times(one, first), _times(two, second)


@inlined
def _is(mark: Number, one: Number, two: Number) -> Number:
    return load64(mark) == one and load64(mark + 8) == two


@inlined
def _slot(one: Number, two: Number) -> Number:
    return _I64((one ^ two << _U64(3)) & _U64(0x7FFFFFFFFFFFFFFF))


@compiled
def place_again(table: Table, known: Number) -> None:
    """Fill an empty hash table with the values that have numbers."""
    for value in range(1, known + 1):
        mark = table.marks + 16 * value
        slot = _slot(load64(mark), load64(mark + 8)) & table.mask
        while load32(table.slots + 4 * slot) != 0:
            slot = (slot + 1) & table.mask
        store(table.slots + 4 * slot, _U32(value))


# -- moving records -----------------------------------------------------------------------------


@compiled
def scatter(
    target: Number, places: Number, count: Number, base: Number, data: Number, width: Number
) -> None:
    """Copy record i of ``data`` to record ``places[i] - base`` of ``target``."""
    for row in range(count):
        copy(target + width * (number(places + 8 * row) - base), data + width * row, width)


class Columns(NamedTuple):
    """Columns of records: how many, their addresses, and the widths of their records."""

    number: int
    data: int
    widths: int


@compiled
def split(
    places: Number,
    rows: Number,
    base: Number,
    shift: Number,
    ends: Number,
    parts: Number,
    columns: Columns,
    target: Number,
) -> None:
    """Group records by ``(places[i] - base) >> shift``; each is the records of all columns joined.

    ``ends`` are zeros and receive the number of the first record after each group.
    """
    for row in range(rows):
        end = ends + 8 * _part(places, row, base, shift)
        store(end, number(end) + 1)
    total, stride = 0, 0
    for part in range(parts):
        count = number(ends + 8 * part)
        store(ends + 8 * part, total)
        total += count
    for column in range(columns.number):
        stride += number(columns.widths + 8 * column)
    for row in range(rows):
        end = ends + 8 * _part(places, row, base, shift)
        at = target + stride * number(end)
        store(end, number(end) + 1)
        for column in range(columns.number):
            width = number(columns.widths + 8 * column)
            copy(at, number(columns.data + 8 * column) + width * row, width)
            at += width


@inlined
def _part(places: Number, row: Number, base: Number, shift: Number) -> Number:
    return _I64((load64(places + 8 * row) - _U64(base)) >> _U64(shift))
