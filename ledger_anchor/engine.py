"""Choice of the engine that hashes rows: compiled when numba is there and the table is worth it.

What belongs here: the choice, and nothing else, so that small commands never import numba.
"""

from __future__ import annotations

import functools
import importlib.util

from ledger_anchor.errors import TableError
from ledger_anchor.rows import Engine, PlainEngine

# Loading numba and its cached code takes about a second; the plain engine does this many cells
# in that time.
WORTHWHILE_CELLS = 150_000


def choose_engine(cells: int, use_numba: bool | None = None) -> Engine:
    """The engine for a table.

    Args:
        cells: number of cells.
        use_numba: True or False forces the choice; None decides by size.

    Returns:
        An engine; all of them give the same bytes.

    Raises:
        TableError: if numba is forced but not installed.
    """
    is_there = importlib.util.find_spec("numba") is not None
    if use_numba and not is_there:
        raise TableError("numba is not installed; leave use_numba at its default")
    is_wanted = cells >= WORTHWHILE_CELLS if use_numba is None else use_numba
    return _fast_engine() if is_there and is_wanted else PlainEngine()


@functools.cache
def _fast_engine() -> Engine:
    from ledger_anchor.fast import FastEngine  # noqa: PLC0415 - loads numba

    return FastEngine()
