"""The two C functions that hash many messages without an object each, by hashlib's own OpenSSL.

What belongs here: the functions, the record they work on, and the check that they do what they
should. What does not: messages and HMAC (``numpy_hashers``).

hashlib takes 0.8 us for a short message, of which the compression of a block takes 0.17: the rest
makes and frees its object. OpenSSL keeps a hash in a plain public record, SHA256_CTX, and closes
it with ``SHA256_Final(digest, record)``, which always returns 1. The C library's
``lfind(key, array, count, width, compare)`` calls ``compare(key, record)`` on one record after the
other until it returns 0. So lfind with SHA256_Final closes an array of hashes in one call, without
the interpreter and without its lock: 0.2 us a message. The digest stays in the record's state.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib.util
from collections import deque
from typing import Any

import numpy as np
import numpy.typing as npt

from ledger_anchor.row_commit.engines.numpy_messages import BLOCK, Bytes, Numbers
from ledger_anchor.tree import HASH_SIZE

Words = npt.NDArray[np.uint32]
Records = npt.NDArray[Any]

_AT_DATA = 40
# SHA256_CTX of openssl/sha.h, the same since OpenSSL 0.9.8, and names for pieces of it that are
# written at once.
_FIELDS: dict[str, tuple[Any, int]] = {
    "state": ((np.uint32, 8), 0),
    "state_whole": (f"V{HASH_SIZE}", 0),
    "bits_low": (np.uint32, 32),
    "bits_high": (np.uint32, 36),
    "data": (f"V{BLOCK}", _AT_DATA),
    "words": ((">u4", 8), _AT_DATA),
    "used": (np.uint32, 104),
    "digest_size": (np.uint32, 108),
}
RECORD_SIZE = 112
RECORD = np.dtype(
    {
        "names": list(_FIELDS),
        "formats": [kind for kind, _ in _FIELDS.values()],
        "offsets": [at for _, at in _FIELDS.values()],
        "itemsize": RECORD_SIZE,
    }
)
WHOLE_RECORD = f"V{RECORD_SIZE}"
# The first digits of the roots of primes (FIPS 180-4, 5.3.3).
INITIAL = np.array(
    [
        0x6A09E667,
        0xBB67AE85,
        0x3C6EF372,
        0xA54FF53A,
        0x510E527F,
        0x9B05688C,
        0x1F83D9AB,
        0x5BE0CD19,
    ],
    np.uint32,
)
_VERSIONS = {1, 3, 4}  # LibreSSL calls itself 2


class OpenSslLoop:
    """Arrays of OpenSSL's records.

    Raises:
        OSError: if hashlib's library cannot be opened.
        AttributeError: if it, or the C library, lacks one of the functions.
        ValueError: if it is no OpenSSL of a known version.
    """

    def __init__(self) -> None:
        found = importlib.util.find_spec("_hashlib")
        if found is None or not found.has_location:
            raise OSError("hashlib's OpenSSL is not a library of its own")
        # PyDLL keeps the interpreter's lock: giving it up for each short call would cost more.
        crypto, libc = ctypes.PyDLL(found.origin), ctypes.CDLL(None)
        version = crypto.OpenSSL_version_num
        version.restype, version.argtypes = ctypes.c_ulong, []
        if version() >> 28 not in _VERSIONS:
            raise ValueError("hashlib's library is no OpenSSL of a known version")
        pointer, size = ctypes.c_void_p, ctypes.c_size_t
        self._one = crypto.SHA256_Transform
        self._one.restype, self._one.argtypes = None, [pointer, pointer]
        self._many = crypto.SHA256_Update
        self._many.restype, self._many.argtypes = None, [pointer, pointer, size]
        self._final = ctypes.cast(crypto.SHA256_Final, pointer)
        self._each = libc.lfind
        self._each.restype = pointer
        self._each.argtypes = [pointer, pointer, ctypes.POINTER(size), size, pointer]

    def close(self, records: Records) -> None:
        """Pad and hash the ``used`` bytes of each record's data: its state is the digest then.

        Data is wiped and ``used`` set to 0; the other fields stay.

        Args:
            records: a whole array of ``RECORD``; ``used`` is at most 63.
        """
        digest = ctypes.create_string_buffer(HASH_SIZE)
        count = ctypes.c_size_t(records.size)
        place = records.ctypes.data
        if self._each(digest, place, ctypes.byref(count), RECORD_SIZE, self._final):
            raise RuntimeError("SHA256_Final refused a record")

    def absorb(self, records: Records, data: Bytes, starts: Numbers, sizes: Numbers) -> None:
        """Hash whole blocks into records, whose ``used`` is 0.

        Args:
            records: a whole array of ``RECORD``.
            data: where the blocks are.
            starts: first byte of each record's blocks.
            sizes: number of bytes, a multiple of 64 above 0.
        """
        first = records.ctypes.data
        places = range(first, first + records.nbytes, RECORD_SIZE)
        sources = (starts + data.ctypes.data).tolist()
        if sizes.max(initial=0) == BLOCK:
            calls = map(self._one, places, sources)
        else:
            calls = map(self._many, places, sources, sizes.tolist())
        deque(calls, maxlen=0)


def blank_records(rows: int) -> Records:
    """Records in the initial state."""
    common = np.zeros((), RECORD)
    common["state"] = INITIAL
    common["digest_size"] = HASH_SIZE
    records = np.empty(rows, RECORD)
    records.view(WHOLE_RECORD)[:] = common.view(WHOLE_RECORD)
    return records


def data_view(records: Records, kind: npt.DTypeLike, at: int) -> Records:
    """Items from byte ``at`` of each record's data."""
    return np.ndarray(records.shape, kind, records, _AT_DATA + at, (RECORD_SIZE,))


def data_bytes(records: Records) -> tuple[Bytes, Numbers]:
    """All bytes of records, and where each record's data starts among them."""
    return records.view(np.uint8), np.arange(_AT_DATA, records.nbytes, RECORD_SIZE)


@functools.cache
def open_loop() -> OpenSslLoop | None:
    """The loop, if this machine has what it needs and it gives hashlib's digests; else None."""
    try:
        loop = OpenSslLoop()
    except (OSError, AttributeError, ValueError, TypeError):
        return None
    return loop if _is_right(loop) else None


def _is_right(loop: OpenSslLoop) -> bool:
    """Compare with hashlib for all lengths below three blocks."""
    sizes = np.arange(3 * BLOCK)
    data = (np.arange(3 * BLOCK) * 7).astype(np.uint8)
    records = blank_records(sizes.size)
    whole = sizes & -BLOCK
    loop.absorb(records[BLOCK : 2 * BLOCK], data, np.zeros_like(sizes), whole[BLOCK : 2 * BLOCK])
    loop.absorb(records[2 * BLOCK :], data, np.zeros_like(sizes), whole[2 * BLOCK :])
    filled = records.view(np.uint8).reshape(-1, RECORD_SIZE)
    for record, start, size in zip(filled, whole.tolist(), sizes.tolist(), strict=True):
        record[_AT_DATA : _AT_DATA + size - start] = data[start:size]
    records["used"] = sizes - whole
    records["bits_low"] = 8 * sizes
    loop.close(records)
    expected = [hashlib.sha256(data[:size].tobytes()).digest() for size in sizes.tolist()]
    return records["state"].astype(">u4").tobytes() == b"".join(expected)
