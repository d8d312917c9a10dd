"""The simulated sample of both networks, landed when nothing else has."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from orchestration.domains import REPOSITORY
from orchestration.home import Home
from orchestration.landing import LandingResult, land
from orchestration.sources import sniffers

DISTRICTS = REPOSITORY / "dbt_project" / "seeds" / "policy" / "pilot_districts.csv"


@dataclass(frozen=True)
class SampleSize:
    """How large the sample is.

    Attributes:
        workers: Workers on the wage ledger, spread over the 120 pilot districts.
        batches: Batches of medicines.
        seed: The same seed gives the same bytes.
    """

    workers: int = 60_000
    batches: int = 4_000
    seed: int = 2024


def is_sample(home: Home) -> bool:
    """Return whether a home's data is the simulated sample: cards and releases must say so."""
    return (home.state / "truth").exists()


def simulate_domain(name: str, out: Path, size: SampleSize, progress: Any = None) -> Any:
    """Write one network's export, feeds and truth below ``out`` and return its summary."""
    if name == "wages":
        from orchestration.feeds.simulate.wages import simulate_wages  # noqa: PLC0415

        return simulate_wages(
            out, seed=size.seed, workers=size.workers, districts=DISTRICTS, progress=progress
        )
    from orchestration.feeds.simulate.pharma import simulate_pharma  # noqa: PLC0415

    return simulate_pharma(out, seed=size.seed, batches=size.batches, progress=progress)


def land_sample(
    home: Home, size: SampleSize, report: Callable[[str], None] = lambda _: None
) -> LandingResult:
    """Simulate both networks, each in a process of its own, and land what they export.

    What the simulation knows and a feed would not (injected faults, true incomes) stays apart
    under ``state/truth`` and is never landed.
    """
    scratch = home.root / ".simulated"
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        report("simulating the wage and medicine networks")
        # Spawned, not forked: Arrow's threads do not survive a fork.
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
            futures = [
                pool.submit(simulate_domain, name, scratch / name, size)
                for name in ("wages", "pharma")
            ]
            for future in futures:
                future.result()
        report("landing the exports")
        exports = [
            folder
            for name in ("wages", "pharma")
            for folder in sorted((scratch / name).iterdir())
            if folder.is_dir() and folder.name != "truth"
        ]
        result = land(home, exports, sniffers(), move=True)
        for name in ("wages", "pharma"):
            kept = home.state / "truth" / name
            shutil.rmtree(kept, ignore_errors=True)
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(scratch / name / "truth", kept)
        return result
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
