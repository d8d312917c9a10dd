"""Published levels that the simulated world is built around, each with its source.

Figures only, no drawing of random numbers: what a state pays and consumes, what e-Shram says of
its workers, how the year moves. Sources are the project's fact files (PLFS, HCES, e-Shram,
MGNREGA notifications, seasonality); where a figure is background knowledge the comment says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

# PLFS casual day wages of January-March 2020 are the last state x sex levels in the facts.
# All-India rural casual wages went from 242.53 (Oct 2017) to 273.97 (Oct 2019), 6.3% a year
# (facts/plfs_casual_daily_wage_india_series.csv); 6% a year over the 4.25 years to mid-2024
# is 1.28. An extrapolation, not a published figure.
CASUAL_WAGE_GROWTH_2020Q1_TO_2024 = 1.28

# Mean consumption of households with a casual wage earner, relative to the mean of their
# state x residence. Background: casual-labour households consume least of all household types.
WORKER_HOUSEHOLD_CONSUMPTION_LEVEL = 0.94


@dataclass(frozen=True)
class StateLevels:
    """What one state pays and consumes.

    Attributes:
        casual_daily_inr: PLFS casual day wage, January-March 2020: rural male, rural female,
            urban male, urban female (facts/plfs_casual_daily_wage_2020q1.csv).
        mpce_inr: HCES 2023-24 mean monthly consumption per head: rural, urban.
        notified_inr: MGNREGA day rates notified for 2023-24 and 2024-25.
        urban_share: Share of people in towns, Census 2011, rounded (background).
        tribal_share: Share of Scheduled Tribes, Census 2011, rounded (background).
    """

    casual_daily_inr: tuple[float, float, float, float]
    mpce_inr: tuple[float, float]
    notified_inr: tuple[int, int]
    urban_share: float
    tribal_share: float


# Keys are LGD state codes. MPCE of Uttar Pradesh and West Bengal is background (the source page of
# facts/hces_mpce.csv is cut after Tripura): UNVERIFIED.
STATES: dict[int, StateLevels] = {
    28: StateLevels((341.02, 230.75, 416.66, 274.46), (5327, 7182), (272, 300), 0.30, 0.055),
    18: StateLevels((320.95, 225.21, 355.39, 232.71), (3793, 6794), (238, 249), 0.14, 0.124),
    10: StateLevels((331.31, 265.23, 345.69, 280.15), (3670, 5080), (228, 245), 0.11, 0.013),
    22: StateLevels((214.28, 117.19, 252.31, 204.46), (2739, 4927), (221, 243), 0.23, 0.306),
    24: StateLevels((237.73, 199.09, 319.11, 256.15), (4116, 7175), (256, 280), 0.43, 0.148),
    29: StateLevels((366.92, 187.49, 389.41, 240.55), (4903, 8076), (316, 349), 0.39, 0.070),
    32: StateLevels((715.96, 430.54, 729.58, 381.86), (6611, 7783), (333, 346), 0.48, 0.015),
    27: StateLevels((251.91, 157.34, 349.84, 207.27), (4145, 7363), (273, 297), 0.45, 0.094),
    21: StateLevels((289.06, 187.55, 292.62, 245.87), (3357, 5825), (237, 254), 0.17, 0.228),
    33: StateLevels((443.70, 200.46, 473.42, 284.69), (5701, 8165), (294, 319), 0.48, 0.011),
    9: StateLevels((303.08, 208.40, 334.19, 243.71), (3481, 5395), (230, 237), 0.22, 0.006),
    19: StateLevels((248.76, 269.58, 299.70, 221.98), (3620, 5775), (237, 250), 0.32, 0.058),
}

# The financial years whose notified rates of all these states are VERIFIED, by their first year.
RATE_YEARS = (2023, 2024)

# facts/eshram_stats.csv. Sex: registered workers by 2024-03-31. Age: 2024-01-06 (what is left of
# 100% is 16-18). Social category: 2021-11-17.
SEXES = ("female", "male", "other")
SEX_COUNTS = (156_785_963, 138_396_531, 6_461)
AGE_BANDS = ((16, 17), (18, 39), (40, 49), (50, 70))
AGE_SHARES = (0.17, 59.46, 23.56, 16.81)
SOCIAL_CATEGORIES = ("General", "OBC", "SC", "ST")
SOCIAL_SHARES = (27.7, 40.5, 23.7, 8.3)

# Background: schooling of registered unorganised workers; shares lean on PLFS 2023-24.
EDUCATION = ("none", "primary", "middle", "secondary", "higher_secondary", "graduate")
EDUCATION_SHARES = (0.24, 0.26, 0.24, 0.15, 0.08, 0.03)

SKILLS = ("unskilled", "semi_skilled", "skilled", "highly_skilled")
SKILL_WAGE = np.array([0.92, 1.05, 1.30, 1.70])
RESIDENCES = ("rural", "urban")


@dataclass(frozen=True)
class Sector:
    """One NIC-2008 division of the simulated economy.

    Attributes:
        nic: Two-digit division.
        rural_share: Weight among rural workers.
        urban_share: Weight among urban workers.
        wage: Wage relative to the state's casual level.
        days: Mean days worked in an active month.
        is_piece_rate: Whether pay follows pieces, so that amounts are not whole day wages.
        occupations: NCO-2015 code for each of the four skills.
        activity: Relative chance of work, January to December.
    """

    nic: str
    rural_share: float
    urban_share: float
    wage: float
    days: float
    is_piece_rate: bool
    occupations: tuple[str, str, str, str]
    activity: tuple[float, ...]


_EVEN = (1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.97, 0.95, 1.0)
# Sowing in June-July and harvests in March-April and October-November carry farm work (background).
_FARM = (0.95, 0.95, 1.04, 1.02, 0.92, 1.04, 1.06, 0.92, 0.90, 1.03, 1.04, 0.98)
# Rain stops building sites and kilns: facts/seasonality.csv (kilns November to June).
_BUILDING = (1.06, 1.06, 1.04, 1.04, 1.04, 0.98, 0.84, 0.84, 0.92, 1.0, 0.96, 1.06)
_KILNS = (1.15, 1.15, 1.15, 1.15, 1.12, 0.95, 0.15, 0.12, 0.15, 0.55, 1.0, 1.15)
# Rural public works: demand peaks before the monsoon (background; the pause of VB-G RAM G in
# facts/seasonality.csv is later law).
_PUBLIC_WORKS = (0.9, 0.95, 1.0, 1.15, 1.2, 1.15, 0.8, 0.75, 0.8, 0.85, 0.85, 0.9)

# Worker shares follow e-Shram (facts/eshram_stats.csv: agriculture 53.2, construction 12.1,
# domestic 8.8, apparel 6.3, capital goods and manufacturing 3.3); the rest is spread over public
# works, kilns, textiles, food, trade and transport.
SECTORS: tuple[Sector, ...] = (
    Sector("01", 0.655, 0.110, 0.95, 17, False, ("9211", "6111", "6112", "6113"), _FARM),
    Sector("41", 0.100, 0.190, 1.10, 19, False, ("9313", "7114", "7112", "3123"), _BUILDING),
    Sector("97", 0.040, 0.240, 0.90, 24, False, ("9111", "5152", "5152", "5151"), _EVEN),
    Sector("14", 0.030, 0.165, 0.97, 23, True, ("9329", "7533", "7531", "7532"), _EVEN),
    Sector("28", 0.015, 0.090, 1.12, 24, False, ("9329", "8211", "7223", "7231"), _EVEN),
    Sector("42", 0.070, 0.010, 1.00, 10, False, ("9312", "9312", "7114", "3112"), _PUBLIC_WORKS),
    Sector("23", 0.045, 0.020, 0.98, 21, True, ("9313", "8114", "7112", "8114"), _KILNS),
    Sector("13", 0.020, 0.060, 1.03, 23, True, ("9329", "8152", "7318", "8152"), _EVEN),
    Sector("10", 0.015, 0.035, 1.00, 22, False, ("9329", "7514", "7512", "7511"), _EVEN),
    Sector("47", 0.005, 0.050, 1.00, 24, False, ("9334", "5223", "5223", "5222"), _EVEN),
    Sector("49", 0.005, 0.030, 1.15, 23, False, ("9333", "8322", "8332", "8332"), _EVEN),
)
SECTOR_OF_NIC = {sector.nic: number for number, sector in enumerate(SECTORS)}
PUBLIC_WORKS = SECTOR_OF_NIC["42"]
FARMING = SECTOR_OF_NIC["01"]

# Casual day wages by month: rural women 178.94 (April-June 2018), 170.10 (July-September), 185.64
# (October-December): facts/seasonality.csv, "casual wage quarters", damped towards 1.
MONTHLY_WAGE = np.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.99, 0.965, 0.96, 0.965, 1.01, 1.02, 1.02])


@dataclass(frozen=True)
class Circuit:
    """A seasonal migration that the facts name: who goes where, for what, in which months."""

    origin_state: int
    destination_states: tuple[int, ...]
    nic: str
    months: tuple[int, ...]


# facts/seasonality.csv; the last two (construction) are background.
CIRCUITS: tuple[Circuit, ...] = (
    Circuit(21, (28, 33), "23", (11, 12, 1, 2, 3, 4, 5, 6)),
    Circuit(21, (24, 27), "13", tuple(range(1, 13))),
    Circuit(27, (27, 29), "01", (10, 11, 12, 1, 2, 3, 4)),
    Circuit(10, (27, 32, 29), "41", (1, 2, 3, 4, 5, 10, 11, 12)),
    Circuit(9, (27, 24), "41", (1, 2, 3, 4, 5, 10, 11, 12)),
)


def financial_year(day: date) -> int:
    """Return the first calendar year of the Indian financial year (April to March) of a day."""
    return day.year if day.month >= 4 else day.year - 1


def policy_version(first_year: int) -> str:
    """Return how the ledger names the notified rates of a financial year: mgnrega-2024-25."""
    return f"mgnrega-{first_year}-{(first_year + 1) % 100:02d}"


def notified_rate_inr(state_code: int, first_year: int) -> int:
    """Return the notified MGNREGA day rate in rupees; raises KeyError for other years or states."""
    return dict(zip(RATE_YEARS, STATES[state_code].notified_inr, strict=True))[first_year]
