"""Benchmarks of the log: commits, trees, proofs, appends, and what a user would pick instead.

What belongs here: what is measured with how many rows, and the targets. What does not: the
measurements (``anchor_measures``), which run in processes of their own.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path

from rich.console import Console

from orchestration.bench.results import Result, result

_ROWS = 1_000_000
_SLOW_ROWS = 400_000
_NAIVE_ROWS = 40_000
_LARGE_ROWS = 10_000_000
_HUGE_ROWS = 100_000_000
_HUGE_BYTES = 40 << 30
_PROOF_ROWS = 600_000
_ENTRIES = 100_000
_TIMES = 3


def measure(folder: Path, console: Console) -> list[Result] | None:
    """Measure the log.

    Args:
        folder: Where what is measured lies; the caller removes it.
        console: Progress.

    Returns:
        The results, or None if something could not be measured.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bench = _Bench(folder, console)
    try:
        return [*bench.commits(), *bench.scale(), *bench.tree(), *bench.proofs(), *bench.append()]
    except subprocess.CalledProcessError as error:
        console.print(f"could not be measured: {' '.join(map(str, error.cmd))}")
        return None


class _Bench:
    def __init__(self, folder: Path, console: Console) -> None:
        self._folder = folder
        self._console = console

    def commits(self) -> list[Result]:
        naive = self._run("naive_commit", _NAIVE_ROWS)["rows_per_second"]
        rows = []
        for name, count, target in (
            ("commit", _ROWS, 700_000.0),
            ("commit_without_numba", _SLOW_ROWS, 150_000.0),
        ):
            rate = max(self._run(name, count)["rows_per_second"] for _ in range(_TIMES))
            rows.append(_rate(f"anchor.{name}", rate, target, {"cbor2 + hashlib": rate / naive}))
        return [*rows, _rate("anchor.commit.cbor2_and_hashlib", naive, None, None)]

    def scale(self) -> list[Result]:
        """Ten times the rows: memory stays, and a row takes as long."""
        large = self._run("commit", _LARGE_ROWS)
        rows = [
            _rate("anchor.commit.10M", large["rows_per_second"], None, None),
            result("anchor.commit.10M.peak_memory", large["peak_mib"], "MiB", target=2048.0),
        ]
        free = shutil.disk_usage(self._folder).free
        if free < _HUGE_BYTES:
            self._console.print(f"100M rows need {_HUGE_BYTES >> 30} GiB of disk: not measured")
            return rows
        huge = self._run("commit", _HUGE_ROWS)
        slowdown = large["rows_per_second"] / huge["rows_per_second"]
        return [
            *rows,
            _rate("anchor.commit.100M", huge["rows_per_second"], None, None),
            result("anchor.commit.100M.peak_memory", huge["peak_mib"], "MiB", target=2048.0),
            result("anchor.commit.100M.time_per_row_against_10M", slowdown, "times", target=1.25),
        ]

    def tree(self) -> list[Result]:
        self._install_pymerkle()
        found = self._run("tree", _ROWS)
        ratio = found["pymerkle_seconds"] / found["seconds"]
        return [
            result("anchor.tree.1M_leaves", found["seconds"], "s", ratio_to={"pymerkle": ratio}),
            result(
                "anchor.tree.times_pymerkle", ratio, "times", target=20.0, higher_is_better=True
            ),
        ]

    def proofs(self) -> list[Result]:
        found = self._run("proofs", _PROOF_ROWS)
        targets = {
            "row_open_ms": 1.0,
            "row_cold_ms": 50.0,
            "snapshot_open_ms": 1.0,
            "snapshot_cold_ms": 50.0,
            "verify_ms": 1.0,
        }
        return [
            result(f"anchor.proof.{name.removesuffix('_ms')}.p50", found[name], "ms", target=target)
            for name, target in targets.items()
        ]

    def append(self) -> list[Result]:
        found = self._run("append", _ENTRIES)["entries_per_second"]
        name = "anchor.append.batches_of_1000"
        return [result(name, found, "1/s", target=10_000.0, higher_is_better=True)]

    def _run(self, name: str, count: int) -> dict[str, float]:
        self._console.print(f"measuring {name} with {count:,}")
        module = "orchestration.bench.anchor_measures"
        place = self._folder / "work"
        if name == "tree":
            place = self._folder
        command = [sys.executable, "-m", module, name, str(place), str(count)]
        try:
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        finally:
            shutil.rmtree(self._folder / "work", ignore_errors=True)
        figures: dict[str, float] = json.loads(done.stdout)
        return figures

    def _install_pymerkle(self) -> None:
        """Pymerkle is under the GPL: it is installed to be measured, and never imported by us."""
        place = self._folder / "pymerkle"
        if not (place / "installed").exists():
            venv.create(place, with_pip=True)
            listed = str(Path(__file__).with_name("pymerkle.txt"))
            pip = [str(place / "bin" / "python"), "-m", "pip", "install", "--quiet"]
            subprocess.run([*pip, "--require-hashes", "-r", listed], check=True)
            (place / "installed").touch()


def _rate(
    name: str, rate: float, target: float | None, ratio_to: dict[str, float] | None
) -> Result:
    return result(name, rate, "rows/s", target=target, higher_is_better=True, ratio_to=ratio_to)
