"""What kernels are made of: numba's decorators, and access to memory by address.

What belongs here: compiling and caching, machine code called by its address, unaligned loads and
stores. What does not: what is computed (``lanes`` and the kernels).

An address is a plain integer here. To numba an array is seven values with a count of references:
too many to hand on for each row, and three times the time to compile. Nothing checks addresses, so
whoever passes one keeps its buffer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

import numba
from llvmlite import ir  # type: ignore[import-untyped]
from numba.core import types
from numba.extending import intrinsic

# LLVM values, numba types and numbers in machine code have no static types worth the name.
Value = Any
Number = Any
Array = Any
_P = ParamSpec("_P")
_R = TypeVar("_R")

NOTHING = ir.Constant(ir.IntType(8).as_pointer(), None)
_I64 = ir.IntType(64)
# An operation in machine code, from a function that gives its type and writes it.
instruction = cast("Callable[[Callable[..., Value]], Value]", intrinsic)
_cfunc: Any = numba.cfunc
_kept: list[Any] = []  # machine code lives as long as these


def compiled(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Compile with numba, cached on disk where that is possible; the GIL is free meanwhile."""
    try:
        made = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        made = numba.njit(nogil=True)(function)
    return cast("Callable[_P, _R]", made)


def inlined(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Compile into the kernels that call it."""
    return cast("Callable[_P, _R]", numba.njit(nogil=True, forceinline=True)(function))


def address_of(function: Callable[..., None], count: int) -> int:
    """Machine code of a function of so many addresses, compiled once and cached on disk."""
    signature = types.void(*[types.int64] * count)
    try:
        made = _cfunc(signature, nopython=True, cache=True)(function)
    except RuntimeError:  # as above
        made = _cfunc(signature, nopython=True)(function)
    _kept.append(made)
    return int(made.address)


def _call(_context: Value, builder: Value, _signature: Value, arguments: Value) -> Value:
    code, *passed = arguments
    kind = ir.FunctionType(ir.VoidType(), [_I64] * len(passed))
    builder.call(builder.inttoptr(code, kind.as_pointer()), passed)
    return NOTHING


@instruction
def call2(_context: Value, code: Value, a: Value, b: Value) -> Value:
    """Call machine code at an address with two addresses."""
    return types.void(code, a, b), _call


@instruction
def call3(_context: Value, code: Value, a: Value, b: Value, c: Value) -> Value:
    """Call machine code at an address with three addresses."""
    return types.void(code, a, b, c), _call


@instruction
def call6(
    _context: Value, code: Value, a: Value, b: Value, c: Value, d: Value, e: Value, f: Value
) -> Value:
    """Call machine code at an address with six addresses."""
    return types.void(code, a, b, c, d, e, f), _call


def _loading(bits: int) -> Callable[..., Value]:
    def generate(_context: Value, builder: Value, _signature: Value, arguments: Value) -> Value:
        return builder.load(builder.inttoptr(arguments[0], ir.IntType(bits).as_pointer()), align=1)

    return generate


def _storing(_context: Value, builder: Value, _signature: Value, arguments: Value) -> Value:
    builder.store(
        arguments[1], builder.inttoptr(arguments[0], arguments[1].type.as_pointer()), align=1
    )
    return NOTHING


@instruction
def load8(_context: Value, address: Value) -> Value:
    """The byte at an address."""
    return types.uint8(address), _loading(8)


@instruction
def load32(_context: Value, address: Value) -> Value:
    """The four bytes at an address, wherever it lies, in the machine's order."""
    return types.uint32(address), _loading(32)


@instruction
def load64(_context: Value, address: Value) -> Value:
    """The eight bytes at an address, wherever it lies, in the machine's order."""
    return types.uint64(address), _loading(64)


@instruction
def number(_context: Value, address: Value) -> Value:
    """The eight bytes at an address as a signed number: an address, a place or a count."""
    return types.int64(address), _loading(64)


@instruction
def store(_context: Value, address: Value, number: Value) -> Value:
    """Store a number of any width at an address, wherever it lies, in the machine's order."""
    return types.void(address, number), _storing


@instruction
def copy16(_context: Value, target: Value, source: Value) -> Value:
    """Copy sixteen bytes, wherever they lie."""

    def generate(_context: Value, builder: Value, _signature: Value, arguments: Value) -> Value:
        kind = ir.VectorType(ir.IntType(8), 16).as_pointer()
        to, taken = (builder.inttoptr(argument, kind) for argument in arguments)
        builder.store(builder.load(taken, align=1), to, align=1)
        return NOTHING

    return types.void(target, source), generate


@instruction
def swap(_context: Value, number: Value) -> Value:
    """A number's bytes in the other order."""

    def generate(_context: Value, builder: Value, _signature: Value, arguments: Value) -> Value:
        return builder.bswap(arguments[0])

    return number(number), generate


@instruction
def multiply_high(_context: Value, a: Value, b: Value) -> Value:
    """High half of the product of two 64-bit numbers."""

    def generate(_context: Value, builder: Value, _signature: Value, arguments: Value) -> Value:
        wide = ir.IntType(128)
        left, right = (builder.zext(argument, wide) for argument in arguments)
        return builder.trunc(builder.lshr(builder.mul(left, right), ir.Constant(wide, 64)), _I64)

    return types.uint64(a, b), generate


@inlined
def copy(target: Number, source: Number, size: Number) -> None:
    """Copy bytes, no more than ``size``: eight at a time, then singly."""
    done = 0
    while done + 8 <= size:
        store(target + done, load64(source + done))
        done += 8
    while done < size:
        store(target + done, load8(source + done))
        done += 1
