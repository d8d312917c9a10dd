"""Choice of the engine that hashes rows: the quickest that is installed and worth its start.

What belongs here: the choice, for tables and for trees over plain entries, and nothing else, so
that small commands import neither numba nor numpy.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Sequence

from ledger_anchor.errors import TableError
from ledger_anchor.row_commit.engines.plain import PlainEngine
from ledger_anchor.row_commit.rows import Engine
from ledger_anchor.tree import Tree

# Loading numba and its cached code takes about a second; the engine of numpy does this many cells
# in that time.
WORTHWHILE_CELLS = 1_000_000
# The engine of numpy takes some milliseconds for the first batch, however small; the plain one
# does this many cells in that time.
WORTHWHILE_CELLS_FOR_NUMPY = 1_000


def choose_engine(cells: int, use_numba: bool | None = None) -> Engine:
    """The engine for a table.

    Args:
        cells: number of cells.
        use_numba: True forces numba, False forbids it; None decides by size.

    Returns:
        An engine; all of them give the same bytes.

    Raises:
        TableError: if numba is forced but not installed.
    """
    is_there = importlib.util.find_spec("numba") is not None
    if use_numba and not is_there:
        raise TableError("numba is not installed; leave use_numba at its default")
    is_wanted = cells >= WORTHWHILE_CELLS if use_numba is None else use_numba
    if is_there and is_wanted:
        return _fast_engine()
    if cells >= WORTHWHILE_CELLS_FOR_NUMPY and importlib.util.find_spec("numpy") is not None:
        return _numpy_engine()
    return PlainEngine()


def build_tree(entries: Sequence[bytes], use_numba: bool | None = None) -> Tree:
    """The tree over entries, as ``Tree.from_entries`` gives it, built by the quickest engine.

    Args:
        entries: bytes of each, in memory.
        use_numba: as for ``choose_engine``.
    """
    engine = choose_engine(len(entries), use_numba)
    if isinstance(engine, PlainEngine):
        return Tree.from_entries(entries)
    from ledger_anchor.row_commit.engines.numpy_hashers import hash_entries  # noqa: PLC0415 - loads numpy

    return Tree.from_leaves(hash_entries(entries), engine.hash_pairs)


@functools.cache
def _fast_engine() -> Engine:
    from ledger_anchor.row_commit.engines.fast import FastEngine  # noqa: PLC0415 - loads numba

    return FastEngine()


@functools.cache
def _numpy_engine() -> Engine:
    from ledger_anchor.row_commit.engines.numpy_engine import NumpyEngine  # noqa: PLC0415 - loads numpy

    return NumpyEngine()
