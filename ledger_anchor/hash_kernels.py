"""The messages of row-commit v1, put together and hashed by machine code.

What belongs here: keyed rows, cells, leaves and nodes from values that are CBOR already. What does
not: SHA-256 itself (``lanes``), CBOR (``cbor_kernels``), buffers and their sizes (``fast``).

Sixteen rows are hashed at a time, a row in each lane; where fewer are left, the idle lanes repeat
the last row.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ledger_anchor.lanes import CELL, COMPRESS, COMPRESS_BLOCKS, IV, LANES, LEAF, PAIRS
from ledger_anchor.machine import (
    Array,
    Number,
    call2,
    call3,
    call7,
    compiled,
    inlined,
    load8,
    load64,
    store,
    swap,
)

BLOCK = 64
SALTED = 18  # bytes of a cell's message before its value
_VECTOR = 4 * LANES
_U8, _U32, _U64, _I64 = np.uint8, np.uint32, np.uint64, np.int64
_START = np.array(IV, np.uint32)
_LOW = np.array([(1 << 8 * size) - 1 for size in range(9)], np.uint64)  # the first of eight bytes


@compiled
def join_rows(
    cells: Number,
    starts: Array,
    head: Number,
    head_size: Number,
    before: Number,
    joined: Number,
    places: Array,
    counts: Array,
) -> Number:
    """Put each row's values behind a head, padded for SHA-256; the number of bytes written.

    Args:
        cells: address of the values' CBOR.
        starts: where they start, column by column.
        head: first bytes of each message, the first in the highest byte.
        head_size: how many they are.
        before: number of bytes that are hashed ahead of the message.
        joined: address of the messages.
        places: receives the place of each message.
        counts: receives its number of blocks.
    """
    at = 0
    for row in range(places.size):
        begin = at
        places[row] = begin
        store(joined + at, head)
        at += head_size
        for column in range(starts.shape[0]):
            source = cells + starts[column, row]
            size = starts[column, row + 1] - starts[column, row]
            done = 0
            while done < size:
                store(joined + at + done, load64(source + done))
                done += 8
            at += size
        size = at - begin
        blocks = (size + 9 + BLOCK - 1) // BLOCK
        counts[row] = blocks
        store(joined + at, _U64(0x80))
        at += 8
        end = begin + blocks * BLOCK
        while at < end:
            store(joined + at, _U64(0))
            at += 8
        store(joined + end - 8, swap(_U64(8 * (before + size))))
        at = end
    return at


@compiled
def hash_messages(
    code: Array,
    joined: Number,
    places: Array,
    counts: Array,
    start: Array,
    finish: Array,
    out: Array,
) -> None:
    """SHA-256 of padded messages, from a state.

    Args:
        code: ``lanes.addresses``.
        joined: address of the messages.
        places: where they start.
        counts: their numbers of blocks.
        start: state before the first block.
        finish: state before the digest is hashed again, as HMAC does; empty if it is not.
        out: receives eight words a message.
    """
    rows = places.size
    state, final = np.empty((8, LANES), _U32), np.empty((8, LANES), _U32)
    words, offsets = np.zeros((16, LANES), _U32), np.empty(LANES, _I64)
    for first in range(0, rows, LANES):
        most = 0
        for lane in range(LANES):
            most = max(most, counts[min(first + lane, rows - 1)])
        _fill(state, start)
        for block in range(most):
            for lane in range(LANES):
                row = min(first + lane, rows - 1)
                offsets[lane] = places[row] + BLOCK * min(block, counts[row] - 1)
            call3(code[COMPRESS_BLOCKS], state.ctypes.data, joined, offsets.ctypes.data)
            for lane in range(LANES):
                if counts[min(first + lane, rows - 1)] == block + 1:
                    for i in range(8):
                        final[i, lane] = state[i, lane]
        if finish.size:
            for i in range(8):
                for lane in range(LANES):
                    words[i, lane] = final[i, lane]
            for lane in range(LANES):
                words[8, lane] = _U32(1 << 31)
                words[15, lane] = _U32(8 * (BLOCK + 32))
            _fill(final, finish)
            call2(code[COMPRESS], final.ctypes.data, words.ctypes.data)
        for lane in range(LANES):
            row = min(first + lane, rows - 1)
            for i in range(8):
                out[8 * row + i] = swap(final[i, lane])


@inlined
def _fill(state: Array, words: Array) -> None:
    for i in range(8):
        for lane in range(LANES):
            state[i, lane] = words[i]


@compiled
def key_states(
    code: Array, keys: Number, count: Number, fillers: Array, states: Array, first: Number
) -> None:
    """States after a block of a key of 32 bytes and zeros, each byte of it xored with a filler.

    Args:
        code: ``lanes.addresses``.
        keys: address of the keys.
        count: how many they are.
        fillers: the filler, four times in a word: two for HMAC's inner and outer key blocks.
        states: receives eight words for each key and filler.
        first: number of the first key in ``states``.
    """
    state, words = np.empty((8, LANES), _U32), np.empty((16, LANES), _U32)
    for start in range(0, count, LANES):
        for half in range(fillers.size):
            filler = fillers[half]
            for lane in range(LANES):
                key = keys + 32 * min(start + lane, count - 1)
                for i in range(4):
                    both = swap(load64(key + 8 * i))
                    words[2 * i, lane] = _U32(both >> _U64(32)) ^ filler
                    words[2 * i + 1, lane] = _U32(both & _U64(0xFFFFFFFF)) ^ filler
                for i in range(8, 16):
                    words[i, lane] = filler
            _fill(state, _START)
            call2(code[COMPRESS], state.ctypes.data, words.ctypes.data)
            for lane in range(LANES):
                row = first + min(start + lane, count - 1)
                for i in range(8):
                    states[row, 8 * half + i] = state[i, lane]


# -- cells and leaves ---------------------------------------------------------------------------


class Shapes(NamedTuple):
    """What the cells of each column have in common.

    Attributes:
        singles: largest value whose cell is one block; negative if there is none.
        templates: the blocks of such cells without salt and value, by column and size of value.
        tails: what stands behind the value, column after column.
        tail_starts: where each begins in ``tails``, and the end.
    """

    singles: Array
    templates: Array
    tails: Array
    tail_starts: Array


@compiled
def hash_cells(
    code: Array,
    cells: Number,
    starts: Array,
    shapes: Shapes,
    snapshot: Array,
    ranks: Array,
    states: Array,
    index: Array,
    leaves: Array,
    prefixes: Array,
) -> None:
    """Leaf hash of each row, and the first word of each cell digest.

    Args:
        code: ``lanes.addresses``.
        cells: address of the values' CBOR.
        starts: where they start, column by column.
        shapes: what their cells have in common.
        snapshot: four words.
        ranks: row numbers.
        states: states of keys (``key_states``).
        index: number of each row's key.
        leaves: receives eight words a row.
        prefixes: receives a word for each cell, row after row.
    """
    rows, columns = ranks.size, starts.shape[0]
    keys, places = np.empty((16, LANES), _U32), np.empty((2, LANES), _U32)
    block, offsets = np.empty((LANES, 8), _U64), np.arange(LANES) * BLOCK
    message, counts = _leaf_message(columns), np.empty(LANES, _I64)
    digests = message[1 : 1 + 8 * columns]
    for first in range(0, rows, LANES):
        _take_keys(first, ranks, states, index, keys, places)
        for column in range(columns):
            most = _fill_blocks(0, first, column, cells, starts, shapes, block, counts)
            out = digests.ctypes.data + 8 * _VECTOR * column
            call7(
                code[CELL],
                keys.ctypes.data,
                places.ctypes.data,
                snapshot.ctypes.data,
                column,
                block.ctypes.data,
                offsets.ctypes.data,
                out,
            )
            for number in range(1, most):
                _fill_blocks(number, first, column, cells, starts, shapes, block, counts)
                before = digests[8 * column : 8 * column + 8].copy()
                call3(code[COMPRESS_BLOCKS], out, block.ctypes.data, offsets.ctypes.data)
                for lane in range(LANES):
                    if number >= counts[lane]:
                        for i in range(8):
                            digests[8 * column + i, lane] = before[i, lane]
            for lane in range(LANES):
                row = min(first + lane, rows - 1)
                prefixes[row * columns + column] = swap(digests[8 * column, lane])
        _hash_leaves(code, first, rows, message, leaves)


@inlined
def _take_keys(
    first: Number, ranks: Array, states: Array, index: Array, keys: Array, places: Array
) -> None:
    """Put sixteen rows' numbers and keys into lanes; idle lanes repeat the last row."""
    for lane in range(LANES):
        row = min(first + lane, ranks.size - 1)
        places[0, lane] = _U32(ranks[row] >> _U64(32))
        places[1, lane] = _U32(ranks[row] & _U64(0xFFFFFFFF))
        key = index[row]
        for i in range(16):
            keys[i, lane] = states[key, i]


@inlined
def _fill_blocks(
    number: Number,
    first: Number,
    column: Number,
    cells: Number,
    starts: Array,
    shapes: Shapes,
    block: Array,
    counts: Array,
) -> Number:
    """Block ``number`` of sixteen rows' cells, without salts; most blocks one of them has."""
    most = 1
    width = shapes.templates.shape[1]
    tail = shapes.tails.ctypes.data + shapes.tail_starts[column]
    tail_size = shapes.tail_starts[column + 1] - shapes.tail_starts[column]
    for lane in range(LANES):
        row = min(first + lane, starts.shape[1] - 2)
        source = cells + starts[column, row]
        size = starts[column, row + 1] - starts[column, row]
        target = block.ctypes.data + BLOCK * lane
        if size <= shapes.singles[column]:
            template = shapes.templates.ctypes.data + BLOCK * (width * column + size)
            _fill_template(target, template, source, size)
            counts[lane] = 1
        else:
            counts[lane] = _fill_block(target, number, source, size, tail, tail_size)
            most = max(most, counts[lane])
    return most


@inlined
def _hash_leaves(code: Array, first: Number, rows: Number, message: Array, leaves: Array) -> None:
    """SHA-256(0x00 || cell digests) of sixteen rows."""
    state = np.empty((8, LANES), _U32)
    _fill(state, _START)
    for above in range(0, message.shape[0] - 1, 16):
        call2(code[LEAF], state.ctypes.data, message.ctypes.data + _VECTOR * above)
    for lane in range(LANES):
        row = min(first + lane, rows - 1)
        for i in range(8):
            leaves[8 * row + i] = swap(state[i, lane])


@inlined
def _leaf_message(columns: Number) -> Array:
    """Room for digests, with a row of zeros before and the padding of a leaf's message behind."""
    size = 1 + 32 * columns
    blocks = (size + 9 + BLOCK - 1) // BLOCK
    message = np.zeros((1 + 16 * blocks, LANES), _U32)
    for lane in range(LANES):
        message[1 + 8 * columns, lane] = _U32(1 << 31)
        # The length, a byte late like everything: its highest byte stands in the word before.
        message[16 * blocks - 1, lane] |= _U32((8 * size) >> 24)
        message[16 * blocks, lane] = _U32((8 * size << 8) & 0xFFFFFFFF)
    return message


@inlined
def _fill_template(target: Number, template: Number, source: Number, size: Number) -> None:
    """A cell of one block: its template, and the value from byte 18 on."""
    for i in range(0, BLOCK, 8):
        store(target + i, load64(template + i))
    at = SALTED
    while size >= 8:
        store(target + at, load64(source))
        at, source, size = at + 8, source + 8, size - 8
    if size:
        store(target + at, load64(template + at) | (load64(source) & _LOW[size]))


@compiled
def _fill_block(
    target: Number, number: Number, source: Number, size: Number, tail: Number, tail_size: Number
) -> Number:
    """Block of a cell's message, salt left out; the number of blocks the message has."""
    end = SALTED + size + tail_size
    blocks = (end + 9 + BLOCK - 1) // BLOCK
    for i in range(0, BLOCK, 8):
        store(target + i, _U64(0))
    first = BLOCK * number
    for at in range(max(first, SALTED), min(first + BLOCK, SALTED + size)):
        store(target + at - first, load8(source + at - SALTED))
    for at in range(max(first, SALTED + size), min(first + BLOCK, end)):
        store(target + at - first, load8(tail + at - SALTED - size))
    if first <= end < first + BLOCK:
        store(target + end - first, _U8(0x80))
    if number == blocks - 1:
        store(target + BLOCK - 8, swap(_U64(8 * end)))
    return blocks


@compiled
def hash_pairs(code: Array, nodes: Number, pairs: Number, out: Array) -> None:
    """Parents of joined nodes, eight words each."""
    parents, offsets = np.empty((8, LANES), _U32), np.empty(LANES, _I64)
    for first in range(0, pairs, LANES):
        for lane in range(LANES):
            offsets[lane] = 2 * 32 * min(first + lane, pairs - 1)
        call3(code[PAIRS], nodes, offsets.ctypes.data, parents.ctypes.data)
        for lane in range(LANES):
            for i in range(8):
                out[8 * min(first + lane, pairs - 1) + i] = swap(parents[i, lane])
