"""Benchmarks: ``make bench`` measures the main job and the log, side by side with alternatives.

What belongs here: the order of measurements and the file of results. What does not: a single
measurement (``main_job``, ``anchor``) and how a result is written down (``results``).
"""

from __future__ import annotations

import shutil
from collections.abc import Callable

from rich.console import Console

from orchestration.bench import anchor, main_job
from orchestration.bench.results import Result, show
from orchestration.files import write_json
from orchestration.home import Home

_PARTS: dict[str, Callable[..., list[Result] | None]] = {
    "main-job": main_job.measure,
    "anchor": anchor.measure,
}
PARTS = tuple(_PARTS)


def run_bench(home: Home, console: Console, parts: tuple[str, ...] = PARTS) -> bool:
    """Measure and write ``bench/results.json`` below ``home``.

    Args:
        home: Where the results go; what is measured lies beside them and is removed.
        console: Progress and the table of results.
        parts: Which of ``PARTS`` to measure.

    Returns:
        Whether everything could be measured; figures that miss their target are results too.
    """
    folder = home.root / "bench"
    results: list[Result] = []
    for part in parts:
        measured = folder / part
        shutil.rmtree(measured, ignore_errors=True)
        try:
            found = _PARTS[part](measured, console)
        finally:
            shutil.rmtree(measured, ignore_errors=True)
        if found is None:
            return False
        results += found
    write_json(folder / "results.json", results)
    for row in results:
        console.print(show(row))
    return True
