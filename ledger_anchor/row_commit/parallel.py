"""Working on a few items at once, in bounded memory.

What belongs here: threads for code that lets go of the GIL. What does not: what is worked on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def in_order(
    workers: int, items: Iterable[_Item], work: Callable[[_Item], _Result]
) -> Iterator[_Result]:
    """Work on a few items at once and hand the results back in order.

    Args:
        workers: number of threads; with one, everything happens in the caller's.
        items: taken in the caller's thread, at most two more than there are threads ahead.
        work: called in the threads.
    """
    if workers == 1:
        yield from map(work, items)
        return
    with ThreadPoolExecutor(workers) as pool:
        pending: deque[Future[_Result]] = deque()
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) > workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
