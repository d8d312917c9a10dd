"""The messages of row-commit v1, put together and hashed by machine code.

What belongs here: keyed rows, cells, leaves and nodes from values that are CBOR already. What does
not: SHA-256 itself (``lanes``), CBOR (``cbor_kernels``), buffers and their sizes (``fast``).

Sixteen rows are hashed at a time, a row in each lane; where fewer are left, the idle lanes repeat
the last row.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ledger_anchor.lanes import CELL, COMPRESS, COMPRESS_BLOCKS, IV, LANES, LEAF, PAIRS, TURN
from ledger_anchor.machine import (
    Array,
    Number,
    call2,
    call3,
    call6,
    compiled,
    copy16,
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
_ROOM = 16  # beyond the end of a buffer that is filled sixteen bytes at a time
_START = np.array(IV, np.uint32)


@compiled
def hash_rows(
    code: Array,
    cells: Number,
    starts: Array,
    head: Number,
    head_size: Number,
    start: Array,
    finish: Array,
    out: Array,
    sums: Array,
) -> None:
    """SHA-256 of each row's values behind a head, after one block that led to a state.

    Args:
        code: ``lanes.addresses``.
        cells: address of the values' CBOR.
        starts: where they start, column by column.
        head: first bytes of each message, in the machine's order.
        head_size: how many they are.
        start: state before the message.
        finish: state before the digest is hashed again, as HMAC does; empty if it is not.
        out: receives eight words a row; may be empty.
        sums: the digests are added to it, as four numbers in little-endian order; may be empty.
    """
    rows = starts.shape[1] - 1
    state, final = np.empty((8, LANES), _U32), np.empty((8, LANES), _U32)
    words, offsets = np.zeros((16, LANES), _U32), np.empty(LANES, _I64)
    places, counts = np.empty(LANES, _I64), np.empty(LANES, _I64)
    joined = np.empty(LANES * 4 * BLOCK, np.uint8)
    for first in range(0, rows, LANES):
        room = _take_places(first, starts, head_size, places, counts)
        if room > joined.size:
            joined = np.empty(2 * room, np.uint8)
        for lane in range(LANES):
            row = min(first + lane, rows - 1)
            target = joined.ctypes.data + places[lane]
            _join_row(target, row, cells, starts, head, head_size, counts[lane])
        least, most = counts.min(), counts.max()
        _fill(state, start)
        for block in range(most):
            for lane in range(LANES):
                offsets[lane] = places[lane] + BLOCK * min(block, counts[lane] - 1)
            call3(code[COMPRESS_BLOCKS], state.ctypes.data, joined.ctypes.data, offsets.ctypes.data)
            if least < most:
                _keep_finished(state, counts, block, final)
        if least == most:
            state, final = final, state
        if finish.size:
            _finish(code, final, words, finish)
        if out.size:
            _put_digests(final, first, rows, out)
        if sums.size:
            _add_digests(final, min(LANES, rows - first), sums)


@inlined
def _take_places(
    first: Number, starts: Array, head_size: Number, places: Array, counts: Array
) -> Number:
    """Places and numbers of blocks of sixteen rows' messages; the room they take."""
    room = 0
    for lane in range(LANES):
        row = min(first + lane, starts.shape[1] - 2)
        size = head_size
        for column in range(starts.shape[0]):
            size += starts[column, row + 1] - starts[column, row]
        counts[lane] = _blocks(size)
        places[lane] = room
        room += BLOCK * counts[lane]
    return room + _ROOM


@inlined
def _keep_finished(state: Array, counts: Array, block: Number, final: Array) -> None:
    """Keep the states of messages whose last block this was."""
    for lane in range(LANES):
        if counts[lane] == block + 1:
            for i in range(8):
                final[i, lane] = state[i, lane]


@inlined
def _add_digests(state: Array, lanes: Number, sums: Array) -> None:
    """Add digests as four numbers in little-endian order."""
    for lane in range(lanes):
        for i in range(4):
            high = _U64(swap(state[2 * i + 1, lane])) << _U64(32)
            sums[i] += high | _U64(swap(state[2 * i, lane]))


@inlined
def _finish(code: Array, final: Array, words: Array, finish: Array) -> None:
    """Hash sixteen digests again, as HMAC does; ``words`` are zero from the ninth on."""
    for lane in range(LANES):
        for i in range(8):
            words[i, lane] = final[i, lane]
        words[8, lane] = _U32(1 << 31)
        words[15, lane] = _U32(8 * (BLOCK + 32))
    _fill(final, finish)
    call2(code[COMPRESS], final.ctypes.data, words.ctypes.data)


@inlined
def _put_digests(state: Array, first: Number, rows: Number, out: Array) -> None:
    """Digests of sixteen rows, eight words each."""
    for lane in range(LANES):
        row = min(first + lane, rows - 1)
        for i in range(8):
            out[8 * row + i] = swap(state[i, lane])


@inlined
def _join_row(
    target: Number,
    row: Number,
    cells: Number,
    starts: Array,
    head: Number,
    head_size: Number,
    blocks: Number,
) -> None:
    """Put a row's values behind a head, padded for SHA-256 after one block."""
    store(target, head)
    at = target + head_size
    for column in range(starts.shape[0]):
        source = cells + starts[column, row]
        size = starts[column, row + 1] - starts[column, row]
        copy16(at, source)
        done = 16
        while done < size:  # a range would divide
            copy16(at + done, source + done)
            done += 16
        at += size
    store(at, _U64(0x80))
    end = target + BLOCK * blocks
    zeros = at + 8
    while zeros < end:
        store(zeros, _U64(0))
        zeros += 8
    store(end - 8, swap(_U64(8 * (BLOCK + at - target))))


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
        masks: where in such a block a value of each size stands.
        templates: the rest of such blocks, without the salt, by column and size of value.
        tails: what stands behind the value, column after column.
        tail_starts: where each begins in ``tails``, and the end.
    """

    singles: Array
    masks: Array
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
    parts, counts = np.empty((3, LANES), _I64), np.empty(LANES, _I64)
    block, offsets = np.empty((LANES, 8), _U64), np.empty(LANES, _I64)
    in_block = np.arange(LANES) * BLOCK
    message = _leaf_message(columns)
    digests = message[1 : 1 + 8 * columns]
    for first in range(0, rows, LANES):
        _take_rows(first, ranks, states.ctypes.data, index, offsets, places)
        call3(code[TURN], 0, offsets.ctypes.data, keys.ctypes.data)
        for column in range(columns):
            most = _find_blocks(first, column, cells, starts, shapes, block, parts, counts)
            out = digests.ctypes.data + 8 * _VECTOR * column
            call6(
                code[CELL],
                keys.ctypes.data,
                places.ctypes.data,
                snapshot.ctypes.data,
                column,
                parts.ctypes.data,
                out,
            )
            for number in range(1, most):
                _fill_blocks(number, first, column, cells, starts, shapes, block)
                before = digests[8 * column : 8 * column + 8].copy()
                call3(code[COMPRESS_BLOCKS], out, block.ctypes.data, in_block.ctypes.data)
                for lane in range(LANES):
                    if number >= counts[lane]:
                        for i in range(8):
                            digests[8 * column + i, lane] = before[i, lane]
            for lane in range(LANES):
                row = min(first + lane, rows - 1)
                prefixes[row * columns + column] = swap(digests[8 * column, lane])
        _hash_leaves(code, first, rows, message, leaves)


@inlined
def _take_rows(
    first: Number, ranks: Array, states: Number, index: Array, keys: Array, places: Array
) -> None:
    """Sixteen rows' numbers in lanes, and where the states of their keys are."""
    for lane in range(LANES):
        row = min(first + lane, ranks.size - 1)
        places[0, lane] = _U32(ranks[row] >> _U64(32))
        places[1, lane] = _U32(ranks[row] & _U64(0xFFFFFFFF))
        keys[lane] = states + BLOCK * _I64(index[row])


@inlined
def _find_blocks(
    first: Number,
    column: Number,
    cells: Number,
    starts: Array,
    shapes: Shapes,
    block: Array,
    parts: Array,
    counts: Array,
) -> Number:
    """What the first blocks of sixteen rows' cells consist of; most blocks one of them has."""
    most, width = 1, shapes.templates.shape[1]
    templates = shapes.templates.ctypes.data + BLOCK * width * column
    masks = shapes.masks.ctypes.data
    for lane in range(LANES):
        row = min(first + lane, starts.shape[1] - 2)
        size = starts[column, row + 1] - starts[column, row]
        counts[lane] = 1
        if size <= shapes.singles[column]:
            parts[0, lane] = cells + starts[column, row] - SALTED
            parts[1, lane] = masks + BLOCK * size
            parts[2, lane] = templates + BLOCK * size
        else:
            tail_size = shapes.tail_starts[column + 1] - shapes.tail_starts[column]
            counts[lane] = _blocks(SALTED + size + tail_size)
            most = max(most, counts[lane])
            target = block.ctypes.data + BLOCK * lane
            parts[0, lane] = parts[2, lane] = target
            parts[1, lane] = masks
    if most > 1:
        _fill_blocks(0, first, column, cells, starts, shapes, block)
    return most


@inlined
def _blocks(size: Number) -> Number:
    """Number of blocks of a message."""
    return (size + 9 + BLOCK - 1) // BLOCK


@compiled
def _fill_blocks(
    number: Number,
    first: Number,
    column: Number,
    cells: Number,
    starts: Array,
    shapes: Shapes,
    block: Array,
) -> None:
    """Block ``number`` of sixteen rows' cells, salts left out."""
    tail = shapes.tails.ctypes.data + shapes.tail_starts[column]
    tail_size = shapes.tail_starts[column + 1] - shapes.tail_starts[column]
    for lane in range(LANES):
        row = min(first + lane, starts.shape[1] - 2)
        source = cells + starts[column, row]
        size = starts[column, row + 1] - starts[column, row]
        _fill_block(block.ctypes.data + BLOCK * lane, number, source, size, tail, tail_size)


@inlined
def _hash_leaves(code: Array, first: Number, rows: Number, message: Array, leaves: Array) -> None:
    """SHA-256(0x00 || cell digests) of sixteen rows."""
    state = np.empty((8, LANES), _U32)
    _fill(state, _START)
    for above in range(0, message.shape[0] - 1, 16):
        call2(code[LEAF], state.ctypes.data, message.ctypes.data + _VECTOR * above)
    _put_digests(state, first, rows, leaves)


@inlined
def _leaf_message(columns: Number) -> Array:
    """Room for digests, with a row of zeros before and the padding of a leaf's message behind."""
    size = 1 + 32 * columns
    blocks = _blocks(size)
    message = np.zeros((1 + 16 * blocks, LANES), _U32)
    for lane in range(LANES):
        message[1 + 8 * columns, lane] = _U32(1 << 31)
        # The length, a byte late like everything: its highest byte stands in the word before.
        message[16 * blocks - 1, lane] |= _U32((8 * size) >> 24)
        message[16 * blocks, lane] = _U32((8 * size << 8) & 0xFFFFFFFF)
    return message


@inlined
def _fill_block(
    target: Number,
    number: Number,
    source: Number,
    size: Number,
    tail: Number,
    tail_size: Number,
) -> None:
    """Block of one cell's message."""
    end = SALTED + size + tail_size
    for i in range(0, BLOCK, 8):
        store(target + i, _U64(0))
    first = BLOCK * number
    for at in range(max(first, SALTED), min(first + BLOCK, SALTED + size)):
        store(target + at - first, load8(source + at - SALTED))
    for at in range(max(first, SALTED + size), min(first + BLOCK, end)):
        store(target + at - first, load8(tail + at - SALTED - size))
    if first <= end < first + BLOCK:
        store(target + end - first, _U8(0x80))
    if number == _blocks(end) - 1:
        store(target + BLOCK - 8, swap(_U64(8 * end)))


@compiled
def hash_pairs(code: Array, nodes: Number, pairs: Number, out: Array) -> None:
    """Parents of joined nodes, eight words each."""
    parents, offsets = np.empty((8, LANES), _U32), np.empty(LANES, _I64)
    for first in range(0, pairs, LANES):
        for lane in range(LANES):
            offsets[lane] = 2 * 32 * min(first + lane, pairs - 1)
        call3(code[PAIRS], nodes, offsets.ctypes.data, parents.ctypes.data)
        _put_digests(parents, first, pairs, out)
