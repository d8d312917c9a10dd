"""What inspectors find: partly the batch's faults, partly causes nobody recorded, partly chance.

A model that only sees the recorded events must not be able to foretell this perfectly: the
unobserved share is what keeps its AUC between about 0.7 and 0.85.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from orchestration.feeds.simulate.pharma.journeys import Batch, day_of
from orchestration.feeds.simulate.pharma.world import COLD

INSPECTED_SHARE = 0.28
# Inspectors go a little more often where something was noticed.
EXTRA_SHARE_WHEN_FAULTY = 0.10
BASE_LOGIT = -3.3
# Fault -> effect on the log odds of failing, and what the inspector would call it.
EFFECTS = {
    "missing_receive": (1.8, "labelling"),
    "ship_before_commission": (1.7, "labelling"),
    "event_after_decommission": (2.3, "counterfeit"),
    "unknown_gln": (2.6, "diversion"),
    "expired_gln": (1.2, "diversion"),
    "duplicate_serial": (3.2, "counterfeit"),
    "expired_shipped": (2.5, "labelling"),
    "diversion": (2.2, "diversion"),
    "bad_check_digit": (0.8, "labelling"),
}
STRAIN_EFFECT = 1.0  # per natural logarithm of 1 + degree-hours
CARELESSNESS_EFFECT = 0.5
CHANCE = 0.6  # standard deviation of what no record shows
SLOW_WAY_EFFECT = 0.08  # per day in transit, cold chain only
WRONG_FINDING_SHARE = 0.1
FINDINGS = ("counterfeit", "cold_chain", "diversion", "labelling")
INSPECTORS = ("drug inspector", "third party", "internal")


@dataclass(frozen=True)
class Inspection:
    """One inspected batch, with the truth beside it.

    Attributes:
        batch: The batch.
        inspected_on: Day of the inspection, after the batch's last event.
        inspector: Kind of inspector.
        is_failed: Outcome.
        finding: Why it failed, or ``None``.
    """

    batch: Batch
    inspected_on: date
    inspector: str
    is_failed: bool
    finding: str | None


def observable_score(batch: Batch) -> float:
    """Return the part of the log odds that a reader of the events could know."""
    score = sum(EFFECTS[f.kind][0] for f in batch.faults if f.kind in EFFECTS)
    score += STRAIN_EFFECT * math.log1p(batch.strain)
    if batch.product.storage == COLD:
        score += SLOW_WAY_EFFECT * batch.transit_days
    return score


def inspect(batches: Sequence[Batch], *, seed: int) -> list[Inspection]:
    """Draw which batches are inspected and what comes out, by day of inspection."""
    rng = random.Random(f"{seed}/inspections")
    inspections = [_inspection(batch, rng) for batch in batches if _is_drawn(batch, rng)]
    return sorted(inspections, key=lambda found: (found.inspected_on, found.batch.lot))


def _is_drawn(batch: Batch, rng: random.Random) -> bool:
    extra = EXTRA_SHARE_WHEN_FAULTY if batch.faults else 0.0
    return rng.random() < INSPECTED_SHARE + extra


def _inspection(batch: Batch, rng: random.Random) -> Inspection:
    unobserved = CARELESSNESS_EFFECT * batch.maker.carelessness + rng.gauss(0.0, CHANCE)
    logit = BASE_LOGIT + observable_score(batch) + unobserved
    is_failed = rng.random() < 1 / (1 + math.exp(-logit))
    finding = _finding(batch, rng) if is_failed else None
    day = day_of(batch.last_event_at) + timedelta(days=rng.randrange(1, 45))
    return Inspection(batch, day, rng.choice(INSPECTORS), is_failed, finding)


def _finding(batch: Batch, rng: random.Random) -> str:
    causes = [(EFFECTS[f.kind][0], EFFECTS[f.kind][1]) for f in batch.faults if f.kind in EFFECTS]
    if batch.strain > 0:
        causes.append((STRAIN_EFFECT * math.log1p(batch.strain), "cold_chain"))
    if not causes or rng.random() < WRONG_FINDING_SHARE:
        return rng.choice(FINDINGS)
    return max(causes)[1]
