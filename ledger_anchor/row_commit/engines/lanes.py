"""SHA-256 of sixteen messages at once: LLVM code for numba, built round by round.

What belongs here: the compression function on vectors of sixteen 32-bit lanes, the three steps of
the commitment that are worth fusing with it. What does not: which messages are hashed
(``hash_kernels``).

Written as vectors, and not as loops for LLVM to find them, state and message stay in registers
where there is AVX-512 (48 million blocks a second and core at 2.6 GHz, nine tenths of what its two
vector ports allow; loops over 256 lanes reached 23). On processors with shorter vectors LLVM splits
each operation; the bytes are the same.

Each function is compiled once and called by address: code that is linked into every kernel would
be compiled as often.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types

from ledger_anchor.row_commit.engines.machine import NOTHING, Value, address_of, instruction

LANES = 16
_I32, _I64 = ir.IntType(32), ir.IntType(64)
_VECTOR = ir.VectorType(_I32, LANES)
_UNDEFINED = ir.Constant(_VECTOR, ir.Undefined)


def _roots(degree: int, count: int) -> list[int]:
    """First 32 bits of the fractions of roots of the first primes (FIPS 180-4, 4.2.2, 5.3.3)."""
    primes = [n for n in range(2, 320) if all(n % d for d in range(2, n))][:count]
    return [_integer_root(prime << (32 * degree), degree) & 0xFFFFFFFF for prime in primes]


def _integer_root(value: int, degree: int) -> int:
    low, high = 0, 1 << (value.bit_length() // degree + 1)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if middle**degree <= value else (low, middle - 1)
    return low


K = _roots(3, 64)
IV = _roots(2, 8)


def _splat(number: int) -> Value:
    return ir.Constant(_VECTOR, [number & 0xFFFFFFFF] * LANES)


class _Code:
    """Writes vector instructions: the functions of FIPS 180-4, section 4.1.2, and memory access."""

    def __init__(self, builder: ir.IRBuilder, features: str) -> None:
        self.b = builder
        self._has_ternary = "+avx512f" in features.split(",")

    # -- memory ---------------------------------------------------------------------------------

    def load(self, address: Value, number: int) -> Value:
        """Vector ``number`` from an address."""
        return self.b.load(self._pointer(address, number), align=4)

    def store(self, address: Value, vectors: Sequence[Value]) -> None:
        for number, vector in enumerate(vectors):
            self.b.store(vector, self._pointer(address, number), align=4)

    def _pointer(self, address: Value, number: int) -> Value:
        pointer = self.b.inttoptr(address, _VECTOR.as_pointer())
        return self.b.gep(pointer, [ir.Constant(_I64, number)])

    def broadcast(self, address: Value, number: Value) -> Value:
        """One 32-bit number from an array at an address, in every lane."""
        pointer = self.b.gep(self.b.inttoptr(address, _I32.as_pointer()), [number])
        return self.spread(self.b.load(pointer))

    def spread(self, number: Value) -> Value:
        single = self.b.insert_element(_UNDEFINED, number, ir.Constant(_I32, 0))
        return self._shuffle(single, _UNDEFINED, [0] * LANES)

    def _shuffle(self, left: Value, right: Value, picks: Sequence[int]) -> Value:
        return self.b.shuffle_vector(left, right, ir.Constant(_VECTOR, list(picks)))

    def rows(self, base: Value, offsets: Value) -> list[Value]:
        """Sixteen blocks of 64 bytes, each at ``base`` plus one of the 64-bit ``offsets``."""
        pointer = self.b.inttoptr(offsets, _I64.as_pointer())
        places = (
            self.b.load(self.b.gep(pointer, [ir.Constant(_I64, lane)])) for lane in range(LANES)
        )
        return [self.load(self.b.add(base, place), 0) for place in places]

    def turned(self, rows: Sequence[Value]) -> list[Value]:
        """Word i of every row in vector i, in four rounds that each exchange halves of pairs."""
        rows = list(rows)
        for step in (1, 2, 4, 8):
            low = [lane if lane & step == 0 else LANES + lane - step for lane in range(LANES)]
            high = [lane + step if lane & step == 0 else LANES + lane for lane in range(LANES)]
            for first in range(LANES):
                if first & step == 0:
                    left, right = rows[first], rows[first + step]
                    rows[first] = self._shuffle(left, right, low)
                    rows[first + step] = self._shuffle(left, right, high)
        return rows

    def blocks(self, base: Value, offsets: Value) -> list[Value]:
        """Sixteen blocks as sixteen vectors of big-endian words, a block in each lane."""
        return [self.swap(row) for row in self.turned(self.rows(base, offsets))]

    def swap(self, x: Value) -> Value:
        """Each word's bytes in the other order."""
        middle = _splat(0xFF00FF)
        halves = self.rotate(x, 16)
        low = self.b.and_(self.b.lshr(halves, _splat(8)), middle)
        return self.b.or_(low, self.b.shl(self.b.and_(halves, middle), _splat(8)))

    # -- SHA-256 --------------------------------------------------------------------------------

    def rotate(self, x: Value, count: int) -> Value:
        """To the right."""
        return self.b.or_(self.b.lshr(x, _splat(count)), self.b.shl(x, _splat(32 - count)))

    def sigma(self, x: Value, first: int, second: int, third: int, *, shifts: bool) -> Value:
        last = self.b.lshr(x, _splat(third)) if shifts else self.rotate(x, third)
        return self.b.xor(self.b.xor(self.rotate(x, first), self.rotate(x, second)), last)

    def _majority(self, a: Value, b: Value, c: Value) -> Value:
        if self._has_ternary:  # LLVM would take two instructions
            kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3 + [_I32])
            name = "llvm.x86.avx512.pternlog.d.512"
            known = self.b.module.globals.get(name)
            ternary = ir.Function(self.b.module, kind, name) if known is None else known
            return self.b.call(ternary, [a, b, c, ir.Constant(_I32, 0xE8)])
        return self.b.or_(self.b.and_(a, b), self.b.and_(c, self.b.or_(a, b)))

    def joined(self, left: Value, right: Value, offset: int) -> Value:
        """The word that starts ``offset`` bytes into a word that another one follows."""
        high = self.b.shl(left, _splat(8 * offset))
        return self.b.or_(high, self.b.lshr(right, _splat(32 - 8 * offset)))

    def _sixteen_rounds(
        self, state: Sequence[Value], words: list[Value], constant: Callable[[int], Value]
    ) -> list[Value]:
        a, b, c, d, e, f, g, h = state
        add, xor, both = self.b.add, self.b.xor, self.b.and_
        for number in range(16):
            choice = xor(both(e, xor(f, g)), g)
            majority = self._majority(a, b, c)
            keyed = add(add(h, words[number]), constant(number))
            t1 = add(add(keyed, choice), self.sigma(e, 6, 11, 25, shifts=False))
            t2 = add(self.sigma(a, 2, 13, 22, shifts=False), majority)
            a, b, c, d, e, f, g, h = add(t1, t2), a, b, c, add(d, t1), e, f, g
        return [a, b, c, d, e, f, g, h]

    def _extend(self, words: list[Value]) -> list[Value]:
        words = list(words)
        add = self.b.add
        for number in range(16):
            small0 = self.sigma(words[(number + 1) & 15], 7, 18, 3, shifts=True)
            small1 = self.sigma(words[(number + 14) & 15], 17, 19, 10, shifts=True)
            words[number] = add(add(words[number], small0), add(words[(number + 9) & 15], small1))
        return words

    def compress(
        self, state: Sequence[Value], words: list[Value], *, folds: bool = False
    ) -> list[Value]:
        """The compression function.

        The first sixteen rounds stand alone, and sixteen more where that ``folds`` words which are
        constant in every message; the others are a loop, which compiles in a third of the time and
        runs as fast as 64 rounds written out.
        """
        running = self._sixteen_rounds(state, words, lambda number: _splat(K[number]))
        first = 16
        if folds:
            words = self._extend(words)
            running = self._sixteen_rounds(running, words, lambda number: _splat(K[16 + number]))
            first = 32
        entry, loop = self.b.block, self.b.append_basic_block()
        end = self.b.append_basic_block()
        self.b.branch(loop)
        self.b.position_at_end(loop)
        done = self.b.phi(_I64)
        done.add_incoming(ir.Constant(_I64, first), entry)
        carried = [self.b.phi(_VECTOR) for _ in range(24)]
        for phi, value in zip(carried, [*running, *words], strict=True):
            phi.add_incoming(value, entry)
        table = self.b.ptrtoint(_constants(self.b.module), _I64)

        def constant(number: int) -> Value:
            return self.broadcast(table, self.b.add(done, ir.Constant(_I64, number)))

        words = self._extend(carried[8:])
        running = self._sixteen_rounds(carried[:8], words, constant)
        for phi, value in zip(carried, [*running, *words], strict=True):
            phi.add_incoming(value, loop)
        more = self.b.add(done, ir.Constant(_I64, 16))
        done.add_incoming(more, loop)
        self.b.cbranch(self.b.icmp_unsigned("<", more, ir.Constant(_I64, 64)), loop, end)
        self.b.position_at_end(end)
        return [self.b.add(old, new) for old, new in zip(state, running, strict=True)]

    def digest_of(self, words: Sequence[Value], size: int) -> list[Value]:
        """Words of a whole message's last block: padding after them, then its size in bytes."""
        zeros = [_splat(0)] * (14 - len(words))
        return [*words, _splat(1 << 31), *zeros, _splat(8 * size)]


def _constants(module: ir.Module) -> Value:
    name = "ledger_anchor.sha256.k"
    if name not in module.globals:
        kind = ir.ArrayType(_I32, len(K))
        table = ir.GlobalVariable(module, kind, name)
        table.initializer = ir.Constant(kind, [ir.Constant(_I32, number) for number in K])
        table.linkage, table.global_constant = "internal", True
    return module.globals[name]


_START = [_splat(word) for word in IV]


def _write_compress(code: _Code, state: Value, words: Value) -> None:
    before = [code.load(state, number) for number in range(8)]
    message = [code.load(words, number) for number in range(16)]
    code.store(state, code.compress(before, message))


def _write_turn(code: _Code, base: Value, offsets: Value, out: Value) -> None:
    """Sixteen blocks put into lanes."""
    code.store(out, code.blocks(base, offsets))


def _write_leaf(code: _Code, state: Value, above: Value) -> None:
    """A block of a message that lies in vectors of words a byte late: the first byte is their zero.

    ``above`` is the vector before the sixteen whose first three bytes are the block's, shifted.
    """
    words = [code.load(above, number) for number in range(17)]
    message = [code.joined(left, right, 3) for left, right in itertools.pairwise(words)]
    before = [code.load(state, number) for number in range(8)]
    code.store(state, code.compress(before, message))


def _write_cell(
    code: _Code,
    keys: Value,
    places: Value,
    snapshot: Value,
    column: Value,
    parts: Value,
    out: Value,
) -> None:
    """Salt of a cell, put in front of its block, and the state after that block.

    ``keys`` are the states after the inner and the outer key block, ``places`` the row numbers'
    high and low halves. A block without its salt is the bytes at an address, as far as a mask goes,
    and a template; ``parts`` are sixteen addresses of each.
    """
    number = ir.Constant
    head = [code.broadcast(snapshot, number(_I64, word)) for word in range(4)]
    narrow = code.b.trunc(column, _I32)
    last = code.b.or_(code.b.shl(narrow, number(_I32, 16)), number(_I32, 0x8000))
    row = [code.load(places, 0), code.load(places, 1)]
    message = [*head, *row, code.spread(last), *[_splat(0)] * 8, _splat(8 * (64 + 26))]
    inner = code.compress([code.load(keys, word) for word in range(8)], message, folds=True)
    outer = [code.load(keys, word) for word in range(8, 16)]
    salt = code.compress(outer, code.digest_of(inner, 64 + 32), folds=True)
    values, masks, templates = (
        code.rows(number(_I64, 0), code.b.add(parts, number(_I64, 8 * LANES * part)))
        for part in range(3)
    )
    rows = [
        code.b.or_(code.b.and_(value, mask), template)
        for value, mask, template in zip(values, masks, templates, strict=True)
    ]
    body = [code.swap(words) for words in code.turned(rows)]
    start = [_splat(0x8350), *salt[:4], _splat(0)]  # an array of three; sixteen bytes
    front = [code.joined(left, right, 2) for left, right in itertools.pairwise(start)]
    block = [*front[:4], code.b.or_(front[4], body[4]), *body[5:]]
    code.store(out, code.compress(_START, block))


def _generator(write: Callable[..., None]) -> Callable[..., Value]:
    def generate(context: Value, builder: Value, _signature: Value, arguments: Value) -> Value:
        features = context.codegen().magic_tuple()[2]
        write(_Code(builder, features), *arguments)
        return NOTHING

    return generate


@instruction
def _compress(_context: Value, state: Value, words: Value) -> Value:
    return types.void(state, words), _generator(_write_compress)


@instruction
def _turn(_context: Value, base: Value, offsets: Value, out: Value) -> Value:
    return types.void(base, offsets, out), _generator(_write_turn)


@instruction
def _leaf(_context: Value, state: Value, above: Value) -> Value:
    return types.void(state, above), _generator(_write_leaf)


@instruction
def _cell(
    _context: Value,
    keys: Value,
    places: Value,
    snapshot: Value,
    column: Value,
    parts: Value,
    out: Value,
) -> Value:
    taken = (keys, places, snapshot, column, parts, out)
    return types.void(*taken), _generator(_write_cell)


def compress(state: Any, words: Any) -> None:
    """Compress sixteen blocks, given word by word (16 vectors), into states (8 vectors)."""
    _compress(state, words)


def turn(base: Any, offsets: Any, out: Any) -> None:
    """Put sixteen blocks of big-endian words at ``base`` plus ``offsets`` into lanes."""
    _turn(base, offsets, out)


def leaf(state: Any, above: Any) -> None:
    """Compress sixteen blocks of words that lie a byte late into states; see ``_write_leaf``."""
    _leaf(state, above)


def cell(keys: Any, places: Any, snapshot: Any, column: Any, parts: Any, out: Any) -> None:
    """States of sixteen cells after their first block; see ``_write_cell``."""
    _cell(keys, places, snapshot, column, parts, out)


@functools.cache
def addresses() -> tuple[int, ...]:
    """Addresses of ``compress`` and the rest, by the numbers below."""
    taken = ((compress, 2), (leaf, 2), (cell, 6), (turn, 3))
    return tuple(address_of(function, count) for function, count in taken)


COMPRESS, LEAF, CELL, TURN = range(4)
