"""Telling values apart, and moving records, by machine code.

What belongs here: loops whose work is memory and not hashing. What does not: what records mean
(``rows``, ``spill``), tables' sizes (``fast``).
"""

from __future__ import annotations

import numpy as np

from ledger_anchor.cbor_kernels import NULL
from ledger_anchor.machine import (
    Array,
    Number,
    compiled,
    inlined,
    load8,
    load64,
    multiply_high,
    store,
)

PRIME = 2**61 - 1
_U8, _U64, _I64 = np.uint8, np.uint64, np.int64
_P61 = np.uint64(PRIME)
_LOW = np.array([(1 << 8 * size) - 1 for size in range(8)], np.uint64)  # the first of eight bytes


@inlined
def _times(a: Number, b: Number) -> Number:
    """Product modulo 2**61 - 1 of numbers below 2**61."""
    low = a * b
    high = multiply_high(a, b) << _U64(3) | low >> _U64(61)
    total = (low & _P61) + high
    return total - _P61 if total >= _P61 else total


@compiled
def number_values(
    cells: Number,
    starts: Array,
    points: Array,
    slots: Array,
    marks: Array,
    known: Number,
    numbers: Array,
    fresh: Array,
) -> Number:
    """Number values by what they are; how many were new.

    Args:
        cells: address of the values' CBOR.
        starts: where they start.
        points: two secret numbers below 2**61 - 1.
        slots: hash table of value numbers, 0 where free; its size is a power of two.
        marks: the two fingerprints of each value, by number from 1.
        known: how many values have a number.
        numbers: receives the number of each value, 0 for null.
        fresh: receives the rows that brought a new value.
    """
    found = 0
    mask = _U64(slots.size - 1)
    for row in range(numbers.size):
        at, size = cells + starts[row], starts[row + 1] - starts[row]
        if load8(at) == _U8(NULL):
            numbers[row] = _U64(0)
            continue
        one = two = _U64(size + 1)
        while size > 0:
            part = load64(at) & _LOW[min(size, 7)]
            one, two = _times(one, points[0]) + part, _times(two, points[1]) + part
            one, two = one - _P61 if one >= _P61 else one, two - _P61 if two >= _P61 else two
            at, size = at + 7, size - 7
        one, two = _times(one, points[0]), _times(two, points[1])
        slot = (one ^ two << _U64(3)) & mask
        while True:
            number = slots[slot]
            if number == 0:
                found += 1
                number = known + found
                slots[slot] = number
                marks[number, 0], marks[number, 1] = one, two
                fresh[found - 1] = row
                break
            if marks[number, 0] == one and marks[number, 1] == two:
                break
            slot = (slot + _U64(1)) & mask
        numbers[row] = _U64(number)
    return found


@compiled
def place_again(slots: Array, marks: Array, known: Number) -> None:
    """Fill an empty hash table with the values that have numbers."""
    mask = _U64(slots.size - 1)
    for number in range(1, known + 1):
        slot = (marks[number, 0] ^ marks[number, 1] << _U64(3)) & mask
        while slots[slot] != 0:
            slot = (slot + _U64(1)) & mask
        slots[slot] = number


# -- moving records -----------------------------------------------------------------------------


@inlined
def _move(target: Number, source: Number, width: Number) -> None:
    done = 0
    while done + 8 <= width:
        store(target + done, load64(source + done))
        done += 8
    while done < width:
        store(target + done, load8(source + done))
        done += 1


@compiled
def scatter(target: Number, places: Array, base: Number, data: Number, width: Number) -> None:
    """Copy record i of ``data`` to record ``places[i] - base`` of ``target``."""
    for row in range(places.size):
        _move(target + width * _I64(places[row] - base), data + width * row, width)


@compiled
def split(
    places: Array,
    base: Number,
    shift: Number,
    ends: Array,
    data: Array,
    widths: Array,
    target: Number,
) -> None:
    """Group records by ``(places[i] - base) >> shift``; each is the records of all ``data`` joined.

    ``ends`` receives the number of the first record after each group.
    """
    for row in range(places.size):
        ends[(places[row] - base) >> shift] += 1
    total = 0
    for part in range(ends.size):
        ends[part], total = total, total + ends[part]
    stride = widths.sum()
    for row in range(places.size):
        part = (places[row] - base) >> shift
        at = target + stride * ends[part]
        ends[part] += 1
        for number in range(data.size):
            _move(at, data[number] + widths[number] * row, widths[number])
            at += widths[number]
