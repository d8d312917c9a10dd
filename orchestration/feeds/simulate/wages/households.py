"""What households live on: recorded wages, income no ledger sees, and consumption.

Poverty here is low consumption per head. It follows from ALL of a household's income and its
size; recorded wages are one part of it, so that a model that sees only the ledger cannot know it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from orchestration.feeds.simulate.wages import levels
from orchestration.feeds.simulate.wages.activity import Work
from orchestration.feeds.simulate.wages.world import World, stream

# How consumption follows income (households smooth), and what income does not explain of it.
# With the spread of income here the result has a standard deviation of logs of about 0.42: a Gini
# of 0.237 in rural India (HCES 2023-24, menafn.com 2024-12-28) is 0.427 for a lognormal.
CONSUMPTION_ELASTICITY = 0.75
UNEXPLAINED_SPREAD = {"rural": 0.15, "urban": 0.21}
KINSHIP = 0.50
POVERTY_SHARE_OF_MEAN = 0.6


@dataclass(frozen=True)
class Livelihoods:
    """The truth about households and workers; amounts are paise a month.

    Attributes:
        recorded: Recorded wages of each household, truly earned, shape (H,).
        unrecorded: All its other income, shape (H,).
        consumption_per_head: Consumption per head, shape (H,).
        mean_per_head: Mean consumption per head of the household's state x residence in HCES
            2023-24, shape (H,).
        own_income: Each worker's own wages, recorded and in cash, shape (N,).
    """

    recorded: np.ndarray
    unrecorded: np.ndarray
    consumption_per_head: np.ndarray
    mean_per_head: np.ndarray
    own_income: np.ndarray

    @property
    def is_poor(self) -> np.ndarray:
        """Whether consumption per head is below 60% of the state x residence mean, shape (H,)."""
        return self.consumption_per_head < POVERTY_SHARE_OF_MEAN * self.mean_per_head


def live(world: World, work: Work, cash_outside: np.ndarray) -> Livelihoods:
    """Derive each household's income and consumption from everything its members earn."""
    rng = stream(world.seed, "households.income")
    homes = world.households
    size = len(homes.size)
    household = world.workers.household
    earned = np.bincount(work.worker, work.earned_paise, minlength=len(household)) / world.months
    cash = cash_outside / world.months
    recorded = np.bincount(household, earned, minlength=size)
    own_cash = np.bincount(household, cash, minlength=size)
    mean = _mean_per_head(world)
    group = _group_of(world)
    other = _other_income(rng, world, group, recorded + own_cash, mean)
    unrecorded = own_cash + other
    consumption = _consume(rng, world, group, (recorded + unrecorded) / homes.size, mean)
    return Livelihoods(recorded, unrecorded, consumption, mean, earned + cash)


def _group_of(world: World) -> np.ndarray:
    """Return a code for each household's state x residence, shape (H,)."""
    homes = world.households
    state = world.districts.state_code[homes.district]
    _, row = np.unique(state, return_inverse=True)
    return 2 * row + homes.residence


def _mean_per_head(world: World) -> np.ndarray:
    homes = world.households
    state = world.districts.state_code[homes.district]
    rupees = [
        levels.STATES[code].mpce_inr[kind]
        for code, kind in zip(state.tolist(), homes.residence.tolist(), strict=True)
    ]
    return 100.0 * np.array(rupees)


def _group_mean(group: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return, for each row, the mean of its group."""
    totals = np.bincount(group, values)
    counts = np.bincount(group)
    return (totals / np.maximum(counts, 1))[group]


def _other_income(
    rng: Generator, world: World, group: np.ndarray, wages: np.ndarray, mean: np.ndarray
) -> np.ndarray:
    """Draw income from other earners, own farm and transfers.

    Its level fills, on average, what wages leave open to the consumption level of the group; who
    gets how much of it depends on land, district, social category and luck.
    """
    homes = world.households
    size = len(homes.size)
    adults = np.maximum(homes.size - np.bincount(world.workers.household) - 1, 0)
    earners = rng.binomial(adults, 0.34)
    # Earners of one household resemble each other: in skill, health and the work at hand.
    alike = np.exp(KINSHIP * _household_mean(world, _working_strength(world)))
    jobs = earners * alike * np.exp(rng.normal(0, 0.40, size))
    farm = homes.has_land * np.exp(rng.normal(-0.4, 0.5, size))
    transfers = 0.35 * alike * np.exp(rng.normal(0, 0.4, size))
    standing = np.array([1.15, 1.0, 0.86, 0.80])[homes.social]
    raw = (jobs + farm + transfers) * standing * world.districts.welfare_effect[homes.district]
    wanted = levels.WORKER_HOUSEHOLD_CONSUMPTION_LEVEL * mean * homes.size
    gap = _group_mean(group, wanted) - _group_mean(group, wages)
    # Where wages alone would carry the group (Kerala), there is still a quarter of other income.
    level = np.maximum(gap, 0.25 * _group_mean(group, wanted))
    return raw * level / _group_mean(group, raw)


def _working_strength(world: World) -> np.ndarray:
    """Return how well each worker is placed to earn, around 0 with a spread of 1, shape (N,)."""
    people = world.workers
    steadiness = (people.activity - 0.775) / 0.13
    schooling = 0.3 * (people.education - 1.6)
    return (0.7 * people.ability + steadiness + 0.5 * people.skill + schooling) / 1.5


def _household_mean(world: World, values: np.ndarray) -> np.ndarray:
    household = world.workers.household
    return np.bincount(household, values) / np.bincount(household)


def _consume(
    rng: Generator, world: World, group: np.ndarray, income_per_head: np.ndarray, mean: np.ndarray
) -> np.ndarray:
    """Turn income per head into consumption per head, at the level of the group."""
    spread = np.array([UNEXPLAINED_SPREAD[kind] for kind in levels.RESIDENCES])
    noise = rng.normal(0, 1, len(mean)) * spread[world.households.residence]
    relative = income_per_head / _group_mean(group, income_per_head)
    raw = np.maximum(relative, 0.02) ** CONSUMPTION_ELASTICITY * np.exp(noise)
    level = levels.WORKER_HOUSEHOLD_CONSUMPTION_LEVEL * mean
    return level * raw / _group_mean(group, raw)
