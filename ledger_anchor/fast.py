"""The compiled engine: the same bytes as ``rows.PlainEngine``, some thirty times as fast.

What belongs here: SHA-256 over many messages at once (256 lanes, so that LLVM vectorises each
round), the CBOR of Arrow columns, and the glue in numpy. What does not: any decision about what is
committed (``rows``). Messages are laid out as padded 64-byte blocks, so that one kernel hashes
cells, salts, keys, leaves and nodes alike: one compile, about ten seconds, cached on disk.

Every operation on 32-bit words is cast back: numba widens to 64 bits silently, which is right in
value and a seventh of the speed.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar, cast

import numba
import numpy as np

from ledger_anchor import cbor
from ledger_anchor.columns import Field
from ledger_anchor.rows import PREFIX_SIZE, SALT_SIZE, SaltPlan
from ledger_anchor.tree import HASH_SIZE, Tree

# Kernel bodies run as machine code; numpy's stubs have no words for their scalars.
Array = Any
_P = ParamSpec("_P")
_R = TypeVar("_R")

_LANES = 256
_BLOCK = 64
_NODES_AT_ONCE = 1 << 16
_SMALL_LEVEL = 256
_KIND_BOOL, _KIND_INT, _KIND_FLOAT, _KIND_STRING = range(4)


def _fractions(root: float, count: int) -> list[int]:
    """First 32 bits of the fractions of roots of the first primes (FIPS 180-4, 4.2.2, 5.3.3)."""
    primes = [n for n in range(2, 320) if all(n % d for d in range(2, n))][:count]
    if root == 2:
        return [_integer_root(prime << 64, 2) & 0xFFFFFFFF for prime in primes]
    return [_integer_root(prime << 96, 3) & 0xFFFFFFFF for prime in primes]


def _integer_root(value: int, degree: int) -> int:
    low, high = 0, 1 << (value.bit_length() // degree + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**degree <= value else (low, middle - 1)
    return low


_K = np.array(_fractions(3, 64), dtype=np.uint32)
_IV = np.array([_fractions(2, 8)], dtype=np.uint32)


def _compiled(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Compile with numba, cached on disk where that is possible; the GIL is free meanwhile."""
    try:
        made = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        made = numba.njit(nogil=True)(function)
    return cast("Callable[_P, _R]", made)


def _part_of_kernel(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Compile into the kernels that call it: an array is seven arguments, too many for each row."""
    return cast("Callable[_P, _R]", numba.njit(nogil=True, forceinline=True)(function))


_inlined = numba.njit(inline="always")


def _rotate_right(x: Array, n: Array) -> Array:
    return np.uint32(np.uint32(x >> np.uint32(n)) | np.uint32(x << np.uint32(32 - n)))


_rotr = _inlined(_rotate_right)


@_compiled
def _round(
    a: Array, b: Array, c: Array, d: Array, e: Array, f: Array, g: Array, h: Array, w: Array, k: Any
) -> None:
    for lane in range(_LANES):
        ev = e[lane]
        av = a[lane]
        choice = np.uint32((ev & f[lane]) ^ (~ev & g[lane]))
        majority = np.uint32((av & b[lane]) ^ (av & c[lane]) ^ (b[lane] & c[lane]))
        big1 = np.uint32(_rotr(ev, 6) ^ _rotr(ev, 11) ^ _rotr(ev, 25))
        big0 = np.uint32(_rotr(av, 2) ^ _rotr(av, 13) ^ _rotr(av, 22))
        t1 = np.uint32(h[lane] + np.uint32(big1 + np.uint32(choice + np.uint32(k + w[lane]))))
        d[lane] = np.uint32(d[lane] + t1)
        h[lane] = np.uint32(t1 + np.uint32(big0 + majority))


@_compiled
def _extend(w: Array, w1: Array, w9: Array, w14: Array) -> None:
    for lane in range(_LANES):
        x = w1[lane]
        y = w14[lane]
        small0 = np.uint32(_rotr(x, 7) ^ _rotr(x, 18) ^ np.uint32(x >> np.uint32(3)))
        small1 = np.uint32(_rotr(y, 17) ^ _rotr(y, 19) ^ np.uint32(y >> np.uint32(10)))
        w[lane] = np.uint32(w[lane] + np.uint32(small0 + np.uint32(w9[lane] + small1)))


@_compiled
def _compress(s: Array, w: Array, v: Array) -> None:
    for i in range(8):
        for lane in range(_LANES):
            v[i, lane] = s[i, lane]
    for t in range(0, 64, 8):
        o = t & 15
        if t >= 16:
            for j in range(o, o + 8):
                _extend(w[j], w[(j + 1) & 15], w[(j + 9) & 15], w[(j + 14) & 15])
        _round(v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7], w[o], _K[t])
        _round(v[7], v[0], v[1], v[2], v[3], v[4], v[5], v[6], w[o + 1], _K[t + 1])
        _round(v[6], v[7], v[0], v[1], v[2], v[3], v[4], v[5], w[o + 2], _K[t + 2])
        _round(v[5], v[6], v[7], v[0], v[1], v[2], v[3], v[4], w[o + 3], _K[t + 3])
        _round(v[4], v[5], v[6], v[7], v[0], v[1], v[2], v[3], w[o + 4], _K[t + 4])
        _round(v[3], v[4], v[5], v[6], v[7], v[0], v[1], v[2], w[o + 5], _K[t + 5])
        _round(v[2], v[3], v[4], v[5], v[6], v[7], v[0], v[1], w[o + 6], _K[t + 6])
        _round(v[1], v[2], v[3], v[4], v[5], v[6], v[7], v[0], w[o + 7], _K[t + 7])
    for i in range(8):
        for lane in range(_LANES):
            s[i, lane] = np.uint32(s[i, lane] + v[i, lane])


@_part_of_kernel
def _swap(x: Any) -> Any:
    """The four bytes in the other order."""
    middle = np.uint32(0xFF00)
    high = np.uint32(np.uint32(x << np.uint32(24)) | np.uint32((x & middle) << np.uint32(8)))
    low = np.uint32(np.uint32((x >> np.uint32(8)) & middle) | np.uint32(x >> np.uint32(24)))
    return np.uint32(high | low)


@_compiled
def _hash_blocks(
    words: Array,
    first: Array,
    count: Array,
    order: Array,
    init: Array,
    index: Array,
    out: Array,
    base: int,
    stride: int,
) -> None:
    """Hash message i = words[first[i] : first[i] + count[i]], starting from state init[index[i]].

    Its digest goes to the eight words of ``out`` from ``base + i * stride``.
    """
    s = np.empty((8, _LANES), np.uint32)
    v = np.empty((8, _LANES), np.uint32)
    w = np.zeros((16, _LANES), np.uint32)
    for start in range(0, order.size, _LANES):
        lanes = min(_LANES, order.size - start)
        blocks = 0
        for lane in range(lanes):
            message = order[start + lane]
            blocks = max(blocks, count[message])
            for i in range(8):
                s[i, lane] = init[index[message], i]
        for block in range(blocks):
            for lane in range(lanes):
                message = order[start + lane]
                if block < count[message]:
                    at = (first[message] + block) * 16
                    for j in range(16):
                        w[j, lane] = _swap(words[at + j])
            _compress(s, w, v)
            for lane in range(lanes):
                message = order[start + lane]
                if block == count[message] - 1:
                    at = base + message * stride
                    for i in range(8):
                        out[at + i] = _swap(s[i, lane])


@_part_of_kernel
def _load(s: Array, states: Array, index: Array, start: int, lanes: int) -> None:
    for lane in range(lanes):
        key = index[start + lane]
        for i in range(8):
            s[i, lane] = states[key, i]


@_compiled
def _salts(
    snapshot: Array,
    ranks: Array,
    column: int,
    inner: Array,
    outer: Array,
    index: Array,
    out: Array,
) -> None:
    """Salt of each row (four words) straight from the keys' states: two blocks a salt."""
    s = np.zeros((8, _LANES), np.uint32)
    v = np.empty((8, _LANES), np.uint32)
    w = np.empty((16, _LANES), np.uint32)
    for start in range(0, ranks.size, _LANES):
        lanes = min(_LANES, ranks.size - start)
        w[:, :] = np.uint32(0)
        for lane in range(lanes):
            for i in range(4):
                w[i, lane] = snapshot[i]
            w[4, lane] = np.uint32(ranks[start + lane] >> np.uint64(32))
            w[5, lane] = np.uint32(ranks[start + lane] & np.uint64(0xFFFFFFFF))
            w[6, lane] = np.uint32((column << 16) | 0x8000)
            w[15, lane] = np.uint32(8 * (_BLOCK + 26))
        _load(s, inner, index, start, lanes)
        _compress(s, w, v)
        w[8:, :] = np.uint32(0)
        for lane in range(lanes):
            for i in range(8):
                w[i, lane] = s[i, lane]
            w[8, lane] = np.uint32(0x80000000)
            w[15, lane] = np.uint32(8 * (_BLOCK + 32))
        _load(s, outer, index, start, lanes)
        _compress(s, w, v)
        for lane in range(lanes):
            for i in range(4):
                out[4 * (start + lane) + i] = _swap(s[i, lane])


@_compiled
def _head_width(argument: Any) -> int:
    """Bytes after the first one of the head with this argument."""
    if argument < np.uint64(24):
        return 0
    if argument < np.uint64(1 << 8):
        return 1
    if argument < np.uint64(1 << 16):
        return 2
    return 4 if argument < np.uint64(1 << 32) else 8


@_compiled
def _head_lead(major: Any, argument: Any, width: int) -> Any:
    """First byte of the head with this argument."""
    info = 24 if width == 1 else 25 if width == 2 else 26 if width == 4 else 27
    return (major << 5) | (np.int64(argument) if width == 0 else info)


@_compiled
def _shorten(bits: Any) -> Any:
    """Width (2, 4, 8) and bits of the shortest float that is exactly the double with these bits."""
    sign = bits >> np.uint64(63)
    exponent = np.int64((bits >> np.uint64(52)) & np.uint64(0x7FF))
    fraction = bits & np.uint64(0xFFFFFFFFFFFFF)
    if exponent == 0x7FF:
        if fraction != 0:
            return 2, np.uint64(0x7E00)
        return 2, np.uint64((sign << np.uint64(15)) | np.uint64(0x7C00))
    if exponent == 0 and fraction == 0:
        return 2, np.uint64(sign << np.uint64(15))
    if exponent == 0:
        return 8, bits  # a subnormal double is far below every smaller format
    power = exponent - 1023
    full = fraction | np.uint64(1 << 52)
    for width in (2, 4):
        mantissa, least, most = (10, -14, 15) if width == 2 else (23, -126, 127)
        lost = 52 - mantissa + (least - power if power < least else 0)
        if power > most or lost > 52 or full & np.uint64((1 << lost) - 1):
            continue
        kept = full >> np.uint64(lost)
        biased = 0 if power < least else power - least + 1
        body = kept if biased == 0 else kept & np.uint64((1 << mantissa) - 1)
        top = np.uint64(sign << np.uint64(15 if width == 2 else 31))
        return width, np.uint64(top | np.uint64(biased << mantissa) | body)
    return 8, bits


@_compiled
def _magnitude(low: Any, high: Any) -> Any:
    """Major type and the two words of the argument of a 128-bit two's complement integer."""
    if high < 0:
        return 1, ~low, np.uint64(~high)
    return 0, low, np.uint64(high)


@_compiled
def _big_size(word: Any) -> int:
    size = 0
    while word:
        word >>= np.uint64(8)
        size += 1
    return size


@_compiled
def _sizes(
    kind: int, prefix: Array, low: Array, high: Array, offsets: Array, valid: Array, sizes: Array
) -> None:
    """Add the length of each value's CBOR to ``sizes``."""
    for row in range(valid.size):
        size = 1
        if valid[row]:
            if kind == _KIND_STRING:
                length = offsets[row + 1] - offsets[row]
                size = 1 + _head_width(np.uint64(length)) + length
            elif kind == _KIND_FLOAT:
                size = 1 + _shorten(low[row])[0]
            elif kind == _KIND_INT:
                _, word, top = _magnitude(low[row], high[row])
                size = 1 + _head_width(word) if top == 0 else 10 + _big_size(top)
                size += prefix.size - 1
        sizes[row] += size


@_compiled
def _item(kind: int, major: Any, low: Any, high: Any) -> Any:
    """First byte, number of argument bytes, argument, and the word above it, of a value."""
    zero = np.uint64(0)
    if kind == _KIND_BOOL:
        return 0xF4 + np.int64(low), 0, zero, zero
    if kind == _KIND_FLOAT:
        width, bits = _shorten(low)
        return (0xF9 if width == 2 else 0xFA if width == 4 else 0xFB), width, bits, zero
    top = zero
    if kind == _KIND_INT:
        major, low, top = _magnitude(low, high)
    width = 8 if top != 0 else _head_width(low)
    return _head_lead(major, low, width), width, low, top


@_compiled
def _put_values(  # noqa: PLR0917 - numba takes arrays, not objects that hold them
    kind: int,
    prefix: Array,
    low: Array,
    high: Array,
    offsets: Array,
    blob: Array,
    valid: Array,
    salts: Array,
    tail: Array,
    out: Array,
    position: Array,
) -> None:
    """Write [ and salt (if there are salts), value and tail; move the positions on.

    All arrays are touched here and not in helpers: handing one on counts its references, which
    costs more than the bytes of a value.
    """
    is_string = kind == _KIND_STRING
    for row in range(valid.size):
        at = position[row]
        if salts.size:
            out[at] = np.uint8(0x83)
            out[at + 1] = np.uint8(0x50)
            for i in range(SALT_SIZE):
                out[at + 2 + i] = salts[row * SALT_SIZE + i]
            at += 2 + SALT_SIZE
        lead, width, argument, top = 0xF6, 0, np.uint64(0), np.uint64(0)
        if valid[row]:
            length = offsets[row + 1] - offsets[row] if is_string else 0
            word = np.uint64(length) if is_string else low[row]
            above = high[row] if kind == _KIND_INT else 0
            lead, width, argument, top = _item(kind, np.int64(prefix[0]), word, above)
            for i in range(prefix.size - 1):
                out[at + i] = prefix[1 + i]
            at += prefix.size - 1
        if top != 0:
            size = _big_size(top)
            out[at] = np.uint8(0xC2 + (lead >> 5))
            out[at + 1] = np.uint8(0x48 + size)
            for i in range(size):
                out[at + 2 + i] = np.uint8((top >> np.uint64(8 * (size - 1 - i))) & np.uint64(255))
            at += 2 + size
        else:
            out[at] = np.uint8(lead)
            at += 1
        for i in range(width):
            shift = np.uint64(8 * (width - 1 - i))
            out[at + i] = np.uint8((argument >> shift) & np.uint64(255))
        at += width
        if is_string and valid[row]:
            for i in range(length):
                out[at + i] = blob[offsets[row] + i]
            at += length
        for i in range(tail.size):
            out[at + i] = tail[i]
        position[row] = at + tail.size


@_compiled
def _pad(out: Array, first: Array, count: Array, position: Array, before: int) -> None:
    """SHA-256 padding of messages that ``before`` bytes were hashed ahead of."""
    for row in range(position.size):
        at = position[row]
        bits = np.uint64(8 * (before + at - first[row] * _BLOCK))
        end = (first[row] + count[row]) * _BLOCK
        out[at] = np.uint8(0x80)
        for i in range(at + 1, end - 8):
            out[i] = np.uint8(0)
        for i in range(8):
            out[end - 1 - i] = np.uint8((bits >> np.uint64(8 * i)) & np.uint64(0xFF))


class _Column:
    """Buffers of one plain Arrow array in the form the kernels take."""

    def __init__(self, item: Field, values: Any) -> None:
        rows = len(values)
        self.kind = _KIND_INT
        self.prefix = _bytes_array(b"\0")  # major type of strings, then what stands before numbers
        self.low = np.zeros(1, np.uint64)
        self.high = np.zeros(1, np.int64)
        self.offsets = np.zeros(1, np.int64)
        self.blob = np.zeros(1, np.uint8)
        self.valid = values.is_valid().cast("uint8").to_numpy(zero_copy_only=False)
        if values.null_count == rows:
            return
        if item.kind in {"text", "blob"}:
            self._take_strings(item, values)
        elif item.kind == "bool":
            self.kind = _KIND_BOOL
            self.low = values.cast("uint8").fill_null(0).to_numpy().astype(np.uint64)
        elif item.kind == "float":
            self.kind = _KIND_FLOAT
            self.low = _buffer(values, np.dtype(np.uint64))
        elif item.kind == "decimal":
            words = _buffer(values, np.dtype([("low", np.uint64), ("high", np.int64)]))
            self.low, self.high = words["low"].copy(), words["high"].copy()
            self.prefix = _bytes_array(b"\0" + cbor.decimal_prefix(item.scale))
        else:
            self._take_integers(item, values)

    def _take_integers(self, item: Field, values: Any) -> None:
        self.low = _buffer(values, np.dtype(np.uint64))
        is_signed = str(values.type) != "uint64"
        signed = self.low.view(np.int64)
        self.high = signed >> np.int64(63) if is_signed else np.zeros_like(signed)
        if item.kind == "date":
            self.prefix = _bytes_array(b"\0" + cbor.head(6, 100))

    def _take_strings(self, item: Field, values: Any) -> None:
        self.kind = _KIND_STRING
        self.prefix = _bytes_array(b"\x03" if item.kind == "text" else b"\x02")
        _, offsets, data = values.buffers()
        start, end = values.offset, values.offset + len(values) + 1
        self.offsets = np.frombuffer(offsets, np.int64)[start:end]
        if data is not None and data.size:
            self.blob = np.frombuffer(data, np.uint8)

    def add_sizes(self, sizes: Array) -> None:
        """Add the lengths of the values' CBOR."""
        _sizes(self.kind, self.prefix, self.low, self.high, self.offsets, self.valid, sizes)

    def put(self, messages: _Messages, salts: Array, tail: Array) -> None:
        """Write salts (if any), the values' CBOR, and a tail."""
        _put_values(
            self.kind,
            self.prefix,
            self.low,
            self.high,
            self.offsets,
            self.blob,
            self.valid,
            salts,
            tail,
            messages.out,
            messages.position,
        )


def _bytes_array(data: bytes) -> Array:
    return np.frombuffer(bytearray(data), np.uint8)


_NOTHING = _bytes_array(b"")


def _buffer(values: Any, kind: np.dtype[Any]) -> Array:
    whole = np.frombuffer(values.buffers()[1], kind)
    return whole[values.offset : values.offset + len(values)]


class _Messages:
    """Room for one message a row, in blocks, with its padding."""

    def __init__(self, sizes: Array, before: int) -> None:
        self.count = (sizes + 8) // _BLOCK + 1
        self.first = np.cumsum(self.count) - self.count
        self.out = np.empty(int(self.count.sum()) * _BLOCK, np.uint8)
        self.position = self.first * _BLOCK
        self.before = before

    def hash(self, init: Array, index: Array, out: Array, base: int = 0, stride: int = 8) -> None:
        """Digests into eight words of ``out`` from ``base + i * stride``."""
        _pad(self.out, self.first, self.count, self.position, self.before)
        # Messages of like length share a group of lanes: a group takes as long as its longest.
        count = self.count
        is_even = count.size == 0 or count.max() - count.min() < 2
        order = np.arange(count.size) if is_even else np.argsort(count, kind="stable")
        words = self.out.view(np.uint32)
        _hash_blocks(words, self.first, count, order, init, index, out, base, stride)


def _hash_matrix(matrix: Array, init: Array, index: Array) -> Array:
    """Digests (rows of 32 bytes) of rows that are whole padded blocks already."""
    rows, blocks = matrix.shape[0], matrix.shape[1] // _BLOCK
    count = np.full(rows, blocks, np.int64)
    order = np.arange(rows, dtype=np.int64)
    out = np.empty(8 * rows, np.uint32)
    words = matrix.reshape(-1).view(np.uint32)
    _hash_blocks(words, order * blocks, count, order, init, index, out, 0, 8)
    return out.view(np.uint8).reshape(-1, HASH_SIZE)


def _padded(rows: int, size: int, before: int = 0) -> Array:
    """Zeroed rows of whole blocks for messages of ``size`` bytes, padding in place."""
    width = ((size + 8) // _BLOCK + 1) * _BLOCK
    matrix = np.zeros((rows, width), np.uint8)
    matrix[:, size] = 0x80
    matrix[:, -8:] = np.frombuffer((8 * (before + size)).to_bytes(8, "big"), np.uint8)
    return matrix


class _Keys:
    """States of HMAC-SHA-256 after the inner and the outer key block."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        block = np.zeros((len(keys), _BLOCK), np.uint8)
        longest = len(keys[0])
        block[:, :longest] = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, longest)
        zero = np.zeros(len(keys), np.int64)
        self.inner = _state(block ^ np.uint8(0x36), zero)
        self.outer = _state(block ^ np.uint8(0x5C), zero)

    def finish(self, inner_digests: Array, index: Array) -> Array:
        """Outer hash over inner digests."""
        matrix = _padded(len(inner_digests), HASH_SIZE, _BLOCK)
        matrix[:, :HASH_SIZE] = inner_digests
        return _hash_matrix(matrix, self.outer, index)


def _state(blocks: Array, zero: Array) -> Array:
    """State after one block without padding."""
    return _hash_matrix(blocks, _IV, zero).view(">u4").astype(np.uint32)


class FastEngine:
    """The compiled engine; see ``rows.Engine`` for what its methods give."""

    def __init__(self) -> None:
        self.workers = max(1, min(4, os.cpu_count() or 1))

    def prepare_keys(self, keys: Sequence[bytes]) -> _Keys:
        """States of all keys (which are of one length)."""
        return _Keys(keys)

    def keyed_rows(self, key: bytes, columns: Sequence[tuple[Field, Any]], rows: int) -> bytes:
        """HMAC of each row's CBOR array."""
        head = np.frombuffer(cbor.head(4, len(columns)), np.uint8)
        taken = [_Column(item, values) for item, values in columns]
        sizes = np.full(rows, head.size, np.int64)
        for column in taken:
            column.add_sizes(sizes)
        messages = _Messages(sizes, _BLOCK)
        for number, byte in enumerate(head):
            messages.out[messages.position + number] = byte
        messages.position += head.size
        for column in taken:
            column.put(messages, _NOTHING, _NOTHING)
        keys, zero = _Keys([key]), np.zeros(rows, np.int64)
        inner = np.empty(8 * rows, np.uint32)
        messages.hash(keys.inner, zero, inner)
        finished = keys.finish(inner.view(np.uint8).reshape(-1, HASH_SIZE), zero)
        return cast("bytes", finished.tobytes())

    def cell_digests(
        self,
        salts: SaltPlan,
        columns: Sequence[tuple[Field, Any]],
        ranks: array[int],
        key_index: array[int],
    ) -> bytes:
        """Cell digests, row after row."""
        rows, stride = len(ranks), 8 * len(columns)
        index = np.frombuffer(key_index, np.uint64).astype(np.int64)
        zero = np.zeros(rows, np.int64)
        numbers = np.frombuffer(bytearray(ranks), np.uint64)
        snapshot = np.frombuffer(salts.snapshot, ">u4").astype(np.uint32)
        keys: _Keys = salts.prepared
        salt = np.empty(4 * rows, np.uint32)
        digests = np.empty(rows * stride, np.uint32)
        for number, (item, values) in enumerate(columns):
            _salts(snapshot, numbers, number, keys.inner, keys.outer, index, salt)
            messages = _salted(_Column(item, values), salt.view(np.uint8), item.name)
            messages.hash(_IV, zero, digests, 8 * number, stride)
        return digests.tobytes()

    def leaf_hashes(self, digests: bytes, columns: int) -> bytes:
        """Leaf hash of each row."""
        width = columns * HASH_SIZE
        cells = np.frombuffer(digests, np.uint8).reshape(-1, width)
        matrix = _padded(len(cells), 1 + width)
        matrix[:, 1 : 1 + width] = cells
        return cast("bytes", _hash_matrix(matrix, _IV, np.zeros(len(cells), np.int64)).tobytes())

    def order(self, digests: bytes) -> tuple[array[int], bytes, int]:
        """Sort rows by digest."""
        words = np.frombuffer(digests, ">u8").reshape(-1, 4).astype(np.uint64)
        positions = np.argsort(words[:, 0], kind="stable")
        heads = words[positions, 0]
        if (heads[1:] == heads[:-1]).any():
            positions = np.lexsort(words.T[::-1])
        ordered = words[positions]
        duplicates = int((ordered[1:] == ordered[:-1]).all(axis=1).sum())
        ranks = np.empty(len(words), np.uint64)
        ranks[positions] = np.arange(len(words), dtype=np.uint64)
        return array("Q", ranks.tobytes()), ordered[:, 0].astype(">u8").tobytes(), duplicates

    def scatter(self, target: bytearray, ranks: array[int], data: bytes, width: int) -> None:
        """Copy records to their ranks."""
        records = np.frombuffer(target, np.uint8).reshape(-1, width)
        records[np.frombuffer(ranks, np.uint64)] = np.frombuffer(data, np.uint8).reshape(-1, width)

    def prefixes(self, digests: bytes) -> bytes:
        """First four bytes of each digest."""
        return np.frombuffer(digests, np.uint8).reshape(-1, HASH_SIZE)[:, :PREFIX_SIZE].tobytes()

    def digest_sum(self, digests: bytes) -> tuple[int, int, int, int]:
        """Four word sums modulo 2**64."""
        words = np.frombuffer(digests, "<u8").reshape(-1, 4).sum(axis=0, dtype=np.uint64)
        first, second, third, fourth = (int(word) for word in words)
        return first, second, third, fourth

    def tree(self, leaves: bytes | bytearray) -> Tree:
        """The tree over joined leaf hashes."""
        levels = [bytes(leaves)]
        while len(levels[-1]) >= 2 * HASH_SIZE:
            levels.append(_parents(levels[-1]))
        return Tree.from_levels(levels)


def _salted(column: _Column, salts: Array, name: str) -> _Messages:
    """Messages CBOR [salt, value, name]."""
    tail = _bytes_array(cbor.encode_text(name))
    sizes = np.full(salts.size // SALT_SIZE, 2 + SALT_SIZE + tail.size, np.int64)
    column.add_sizes(sizes)
    messages = _Messages(sizes, 0)
    column.put(messages, salts, tail)
    return messages


def _parents(level: bytes) -> bytes:
    """Hashes of the pairs of a level; a lone last node stays behind."""
    pairs = len(level) // (2 * HASH_SIZE)
    if pairs < _SMALL_LEVEL:
        starts = range(0, pairs * 2 * HASH_SIZE, 2 * HASH_SIZE)
        cut = (level[at : at + 2 * HASH_SIZE] for at in starts)
        return b"".join(hashlib.sha256(b"\x01" + pair).digest() for pair in cut)
    made = []
    for start in range(0, pairs, _NODES_AT_ONCE):
        end = min(pairs, start + _NODES_AT_ONCE)
        matrix = _padded(end - start, 1 + 2 * HASH_SIZE)
        children = np.frombuffer(level, np.uint8)[start * 2 * HASH_SIZE : end * 2 * HASH_SIZE]
        matrix[:, 0] = 1
        matrix[:, 1:65] = children.reshape(-1, 2 * HASH_SIZE)
        digests = _hash_matrix(matrix, _IV, np.zeros(end - start, np.int64))
        made.append(digests.tobytes())
    return b"".join(made)
