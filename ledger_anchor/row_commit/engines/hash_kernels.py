"""The messages of row-commit v1, put together and hashed by machine code.

What belongs here: keyed rows, cells, leaves and nodes from values that are CBOR already. What does
not: SHA-256 itself (``lanes``), CBOR (``cbor_kernels``), buffers and their sizes (``fast``).

Sixteen rows are hashed at a time, a row in each lane; where fewer are left, the idle lanes repeat
the last row. Everything is passed by address; ``code`` is that of ``lanes.addresses``. Outside of
lanes a state is eight big-endian words, like a digest.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ledger_anchor.row_commit.engines.lanes import CELL, COMPRESS, LANES, LEAF, TURN
from ledger_anchor.row_commit.engines.machine import (
    Number,
    call2,
    call3,
    call6,
    compiled,
    copy16,
    inlined,
    load8,
    load32,
    load64,
    number,
    store,
    swap,
)

BLOCK = 64
SALTED = 18  # bytes of a cell's message before its value
VECTOR = 4 * LANES
_STATE, _WORDS, _PLACES = 8 * VECTOR, 16 * VECTOR, 8 * LANES  # sizes of what lanes hold
_U8, _U32, _U64 = np.uint8, np.uint32, np.uint64


class Values(NamedTuple):
    """CBOR of a batch's values: where it is, and where each value starts, column by column."""

    cells: int
    starts: int
    columns: int
    rows: int


@inlined
def _start(values: Values, column: Number, row: Number) -> Number:
    """Place of a value; that of row ``rows`` is the column's end."""
    return number(values.starts + 8 * (column * (values.rows + 1) + row))


@inlined
def _blocks(size: Number) -> Number:
    """Number of blocks of a message."""
    return (size + 9 + BLOCK - 1) // BLOCK


@inlined
def _code(code: Number, which: Number) -> Number:
    return number(code + 8 * which)


@inlined
def _fill(state: Number, words: Number) -> None:
    """Eight big-endian words into every lane."""
    for i in range(8):
        word = swap(load32(words + 4 * i))
        for lane in range(LANES):
            store(state + VECTOR * i + 4 * lane, word)


@inlined
def _put_digests(state: Number, first: Number, rows: Number, out: Number) -> None:
    """Digests of sixteen rows, eight words each."""
    for lane in range(LANES):
        to = out + 32 * min(first + lane, rows - 1)
        for i in range(8):
            store(to + 4 * i, swap(load32(state + VECTOR * i + 4 * lane)))


# -- whole rows ---------------------------------------------------------------------------------


class RowJob(NamedTuple):
    """What is to be hashed of each row.

    Attributes:
        head: first bytes of each message, in the machine's order.
        head_size: how many they are.
        start: state before the message, after one block.
        finish: state before the digest is hashed again, as HMAC does; 0 if it is not.
        room: ``ROW_ROOM`` bytes, and ``capacity`` more for sixteen messages.
        capacity: how many they are.
        out: receives eight words a row; 0 for none.
        sums: the digests are added to it, as four numbers in little-endian order; 0 for none.
    """

    head: int
    head_size: int
    start: int
    finish: int
    room: int
    capacity: int
    out: int
    sums: int


ROW_ROOM = 2 * _STATE + _WORDS + 3 * _PLACES
ROW_SLACK = 16  # messages are filled sixteen bytes at a time


@compiled
def hash_rows(code: Number, values: Values, job: RowJob, first: Number) -> Number:
    """SHA-256 of each row's values behind a head, from row ``first`` on.

    Returns:
        The number of rows; or the first row that was not hashed for lack of room.
    """
    state, final = job.room, job.room + _STATE
    words = final + _STATE
    offsets = words + _WORDS
    places, counts = offsets + _PLACES, offsets + 2 * _PLACES
    joined = counts + _PLACES
    while first < values.rows:
        if _take_places(first, values, job.head_size, places, counts) > job.capacity:
            return first
        least = most = number(counts)
        for lane in range(LANES):
            row = min(first + lane, values.rows - 1)
            blocks = number(counts + 8 * lane)
            _join_row(joined + number(places + 8 * lane), row, values, job, blocks)
            least, most = min(least, blocks), max(most, blocks)
        _fill(state, job.start)
        for block in range(most):
            for lane in range(LANES):
                last = number(counts + 8 * lane) - 1
                store(offsets + 8 * lane, number(places + 8 * lane) + BLOCK * min(block, last))
            call3(_code(code, TURN), joined, offsets, words)
            call2(_code(code, COMPRESS), state, words)
            if least < most:
                _keep_finished(state, counts, block, final)
        if least == most:
            state, final = final, state
        if job.finish:
            _finish(code, final, words, job.finish)
        if job.out:
            _put_digests(final, first, values.rows, job.out)
        if job.sums:
            _add_digests(final, min(LANES, values.rows - first), job.sums)
        first += LANES
    return values.rows


@inlined
def _take_places(
    first: Number, values: Values, head_size: Number, places: Number, counts: Number
) -> Number:
    """Places and numbers of blocks of sixteen rows' messages; the room they take."""
    room = 0
    for lane in range(LANES):
        row = min(first + lane, values.rows - 1)
        size = head_size
        for column in range(values.columns):
            size += _start(values, column, row + 1) - _start(values, column, row)
        blocks = _blocks(size)
        store(counts + 8 * lane, blocks)
        store(places + 8 * lane, room)
        room += BLOCK * blocks
    return room + ROW_SLACK


@inlined
def _join_row(target: Number, row: Number, values: Values, job: RowJob, blocks: Number) -> None:
    """Put a row's values behind a head, padded for SHA-256 after one block."""
    store(target, job.head)
    at = target + job.head_size
    for column in range(values.columns):
        begin = _start(values, column, row)
        source, size = values.cells + begin, _start(values, column, row + 1) - begin
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
def _keep_finished(state: Number, counts: Number, block: Number, final: Number) -> None:
    """Keep the states of messages whose last block this was."""
    for lane in range(LANES):
        if number(counts + 8 * lane) == block + 1:
            for i in range(8):
                at = VECTOR * i + 4 * lane
                store(final + at, load32(state + at))


@inlined
def _finish(code: Number, final: Number, words: Number, finish: Number) -> None:
    """Hash sixteen digests again, as HMAC does."""
    for i in range(8):
        for lane in range(LANES):
            store(words + VECTOR * i + 4 * lane, load32(final + VECTOR * i + 4 * lane))
    for i in range(8, 16):
        rest = _U32(1 << 31) if i == 8 else _U32(8 * (BLOCK + 32)) if i == 15 else _U32(0)
        for lane in range(LANES):
            store(words + VECTOR * i + 4 * lane, rest)
    _fill(final, finish)
    call2(_code(code, COMPRESS), final, words)


@inlined
def _add_digests(state: Number, lanes: Number, sums: Number) -> None:
    """Add digests as four numbers in little-endian order."""
    for lane in range(lanes):
        for i in range(4):
            at = state + 2 * VECTOR * i + 4 * lane
            high = _U64(swap(load32(at + VECTOR))) << _U64(32)
            store(sums + 8 * i, load64(sums + 8 * i) + (high | _U64(swap(load32(at)))))


@compiled
def key_states(
    code: Number,
    keys: Number,
    count: Number,
    filler: Number,
    start: Number,
    room: Number,
    states: Number,
    stride: Number,
) -> None:
    """States after a block of a key of 32 bytes and zeros, each byte of it xored with a filler.

    Args:
        code: where the machine code is.
        keys: the keys.
        count: how many they are.
        filler: four times in a word.
        start: SHA-256's first state.
        room: ``KEY_ROOM`` bytes.
        states: receives eight big-endian words for each key.
        stride: bytes from one key's to the next one's.
    """
    words = room + _STATE
    for first in range(0, count, LANES):
        for lane in range(LANES):
            key = keys + 32 * min(first + lane, count - 1)
            for i in range(16):
                word = swap(load32(key + 4 * i)) if i < 8 else _U32(0)
                store(words + VECTOR * i + 4 * lane, _U32(word ^ _U32(filler)))
        _fill(room, start)
        call2(_code(code, COMPRESS), room, words)
        for lane in range(LANES):
            to = states + stride * min(first + lane, count - 1)
            for i in range(8):
                store(to + 4 * i, swap(load32(room + VECTOR * i + 4 * lane)))


KEY_ROOM = _STATE + _WORDS


# -- cells and leaves ---------------------------------------------------------------------------


class Shapes(NamedTuple):
    """What the cells of each column have in common.

    Attributes:
        singles: largest value whose cell is one block; negative if there is none.
        masks: where in such a block a value of each size stands.
        templates: the rest of such blocks, without the salt, by column and size of value.
        width: number of masks, and of templates a column.
        tails: what stands behind the value, column after column.
        tail_starts: where each begins in ``tails``, and the end.
    """

    singles: int
    masks: int
    templates: int
    width: int
    tails: int
    tail_starts: int


class CellJob(NamedTuple):
    """What cells and leaves are made from, and where they go.

    Attributes:
        start: SHA-256's first state.
        snapshot: four words.
        ranks: row numbers.
        states: states of keys after HMAC's inner and outer key block, 64 bytes each.
        key_index: number of each row's key.
        leaves: receives eight words a row.
        prefixes: receives the first word of each cell digest, row after row.
        room: ``CELL_ROOM`` bytes, and the leaves' messages a byte late: a vector of zeros, the
            digests' vectors, and the padding that stands there already.
        message: number of the latter's vectors after the first.
    """

    start: int
    snapshot: int
    ranks: int
    states: int
    key_index: int
    leaves: int
    prefixes: int
    room: int
    message: int


_BLOCK_ROOM = BLOCK * LANES
CELL_ROOM = 2 * _STATE + 2 * _WORDS + 2 * VECTOR + 6 * _PLACES + _BLOCK_ROOM


@compiled
def hash_cells(code: Number, values: Values, shapes: Shapes, job: CellJob) -> None:
    """Leaf hash of each row, and the first word of each cell digest."""
    state, before = job.room, job.room + _STATE
    keys = before + _STATE
    places = keys + _WORDS
    parts = places + 2 * VECTOR
    counts, offsets = parts + 3 * _PLACES, parts + 4 * _PLACES
    in_block, block = parts + 5 * _PLACES, parts + 6 * _PLACES
    words = block + _BLOCK_ROOM
    message = words + _WORDS
    for lane in range(LANES):
        store(in_block + 8 * lane, BLOCK * lane)
    for first in range(0, values.rows, LANES):
        _take_rows(first, values.rows, job, offsets, places)
        call3(_code(code, TURN), job.states, offsets, keys)
        for column in range(values.columns):
            most = _find_blocks(first, column, values, shapes, block, parts, counts)
            out = message + VECTOR * (1 + 8 * column)
            call6(_code(code, CELL), keys, places, job.snapshot, column, parts, out)
            for later in range(1, most):
                _fill_blocks(later, first, column, values, shapes, block)
                _copy_state(before, out)
                call3(_code(code, TURN), block, in_block, words)
                call2(_code(code, COMPRESS), out, words)
                _put_back(later, counts, before, out)
            for lane in range(LANES):
                to = min(first + lane, values.rows - 1) * values.columns + column
                store(job.prefixes + 4 * to, swap(load32(out + 4 * lane)))
        _fill(state, job.start)
        for above in range(0, job.message, 16):
            call2(_code(code, LEAF), state, message + VECTOR * above)
        _put_digests(state, first, values.rows, job.leaves)


@inlined
def _take_rows(first: Number, rows: Number, job: CellJob, offsets: Number, places: Number) -> None:
    """Sixteen rows' numbers in lanes, and where the states of their keys are."""
    for lane in range(LANES):
        row = min(first + lane, rows - 1)
        rank = load64(job.ranks + 8 * row)
        store(places + 4 * lane, _U32(rank >> _U64(32)))
        store(places + VECTOR + 4 * lane, _U32(rank & _U64(0xFFFFFFFF)))
        store(offsets + 8 * lane, BLOCK * number(job.key_index + 8 * row))


@inlined
def _find_blocks(
    first: Number,
    column: Number,
    values: Values,
    shapes: Shapes,
    block: Number,
    parts: Number,
    counts: Number,
) -> Number:
    """What the first blocks of sixteen rows' cells consist of; most blocks one of them has."""
    most = 1
    single = number(shapes.singles + 8 * column)
    templates = shapes.templates + BLOCK * shapes.width * column
    for lane in range(LANES):
        row = min(first + lane, values.rows - 1)
        begin = _start(values, column, row)
        size = _start(values, column, row + 1) - begin
        value, mask = values.cells + begin - SALTED, shapes.masks + BLOCK * size
        template, blocks = templates + BLOCK * size, 1
        if size > single:
            value = template = block + BLOCK * lane
            mask = shapes.masks  # nothing of the value: the block is whole
            tail = shapes.tail_starts + 8 * column
            blocks = _blocks(SALTED + size + number(tail + 8) - number(tail))
            most = max(most, blocks)
        at = 8 * lane
        store(parts + at, value)
        store(parts + _PLACES + at, mask)
        store(parts + 2 * _PLACES + at, template)
        store(counts + at, blocks)
    if most > 1:
        _fill_blocks(0, first, column, values, shapes, block)
    return most


@compiled
def _fill_blocks(
    which: Number,
    first: Number,
    column: Number,
    values: Values,
    shapes: Shapes,
    block: Number,
) -> None:
    """Block ``which`` of sixteen rows' cells, salts left out."""
    starts = shapes.tail_starts + 8 * column
    tail, tail_size = shapes.tails + number(starts), number(starts + 8) - number(starts)
    for lane in range(LANES):
        row = min(first + lane, values.rows - 1)
        begin = _start(values, column, row)
        source, size = values.cells + begin, _start(values, column, row + 1) - begin
        target, end = block + BLOCK * lane, SALTED + size + tail_size
        for i in range(0, BLOCK, 8):
            store(target + i, _U64(0))
        left = BLOCK * which  # place of the block in its message
        _copy_overlap(target, left, SALTED, source, size)
        _copy_overlap(target, left, SALTED + size, tail, tail_size)
        if left <= end < left + BLOCK:
            store(target + end - left, _U8(0x80))
        if which == _blocks(end) - 1:
            store(target + BLOCK - 8, swap(_U64(8 * end)))


@inlined
def _copy_overlap(
    target: Number, left: Number, place: Number, source: Number, size: Number
) -> None:
    """Copy what of the bytes at ``place`` of a message lies in its block from ``left`` on."""
    for at in range(max(left, place), min(left + BLOCK, place + size)):
        store(target + at - left, load8(source + at - place))


@inlined
def _copy_state(target: Number, source: Number) -> None:
    for at in range(0, _STATE, 8):
        store(target + at, load64(source + at))


@inlined
def _put_back(block: Number, counts: Number, before: Number, state: Number) -> None:
    """Undo a block in the lanes whose messages had ended."""
    for lane in range(LANES):
        if block >= number(counts + 8 * lane):
            for i in range(8):
                at = VECTOR * i + 4 * lane
                store(state + at, load32(before + at))


@compiled
def hash_pairs(
    code: Number, nodes: Number, pairs: Number, start: Number, room: Number, out: Number
) -> None:
    """Parents of joined nodes, eight words each.

    Args:
        code: where the machine code is.
        nodes: the nodes.
        pairs: how many pairs they are.
        start: SHA-256's first state.
        room: ``PAIR_ROOM`` bytes, and ``PAIR_MESSAGE`` vectors of a node's message a byte late.
        out: receives the parents.
    """
    offsets, message = room + _STATE, room + PAIR_ROOM
    for first in range(0, pairs, LANES):
        for lane in range(LANES):
            store(offsets + 8 * lane, BLOCK * min(first + lane, pairs - 1))
        call3(_code(code, TURN), nodes, offsets, message + VECTOR)
        _fill(room, start)
        call2(_code(code, LEAF), room, message)
        call2(_code(code, LEAF), room, message + 16 * VECTOR)
        _put_digests(room, first, pairs, out)


PAIR_ROOM = _STATE + _PLACES
