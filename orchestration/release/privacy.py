"""Noise for people: zCDP arithmetic and the discrete Gaussian, both OpenDP's own.

Nothing here knows a table or a worker: integer vectors and a sensitivity come in, noisy integers
come out. Nothing is seeded and numpy draws no noise: 61% of naive floating-point Laplace outputs
prove the true value (Mironov 2012).

Sensitivity. The privacy unit is one worker with all her rows. A vector holds one cell for each
place of one level, each month and each class; a row adds to exactly one place and one month of it,
at most `row_bound` in Euclidean length over the classes. Rows of one worker lie in different
months, hence in different cells, whether she moves or not. So deleting her changes the vector by
at most sqrt(rows) * row_bound in L2, at every level alike, and a sum over three months costs
nothing more.
"""

from __future__ import annotations

import functools
import importlib.metadata
import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import opendp.prelude as dp
from numpy.typing import NDArray

MECHANISM = "discrete Gaussian on integer vectors, zero-concentrated differential privacy"

# Relative slack on a noise scale: far above the rounding of a few floating-point operations, far
# below anything a reader could see. OpenDP's own map then confirms that the cost is not exceeded.
_SCALE_SLACK = 1e-9


@dataclass(frozen=True)
class Draw:
    """One noisy vector.

    Attributes:
        values: Noisy integers, in the shape of the vector that was measured.
        scale: Scale of the discrete Gaussian; its standard deviation to many digits.
        rho: zCDP cost, an upper bound.
    """

    values: NDArray[np.int64]
    scale: float
    rho: Fraction


def mechanism() -> dict[str, str]:
    """Name, library and version of the mechanism, for the manifest."""
    version = importlib.metadata.version("opendp")
    return {"name": MECHANISM, "library": "opendp", "version": version}


def squared_sensitivity(rows_per_worker: int, row_bound: int) -> int:
    """Squared L2 sensitivity of a vector whose cells each belong to one month (see the module).

    Args:
        rows_per_worker: Most rows of one worker, each in another month.
        row_bound: Most that one row adds to the vector, in Euclidean length.

    Raises:
        ValueError: If one of them is not positive.
    """
    if rows_per_worker < 1 or row_bound < 1:
        raise ValueError(f"sensitivity needs positive bounds, got {rows_per_worker}, {row_bound}")
    return rows_per_worker * row_bound**2


def gaussian(scale: float) -> dp.Measurement:
    """OpenDP's discrete Gaussian on vectors of 64-bit integers, L2 distance, zCDP.

    64 bits and not OpenDP's default of 32: a national sum of centred wages passes 2^31 paise.

    Args:
        scale: Scale of the noise in the unit of the vector.
    """
    dp.enable_features("contrib")
    return dp.m.make_gaussian(
        dp.vector_domain(dp.atom_domain(T=dp.i64)), dp.l2_distance(T=float), scale=scale
    )


def noise_scale(squared_l2: int, rho: Fraction) -> float:
    """The smallest scale (rounded up) at which the mechanism costs at most ``rho``.

    Args:
        squared_l2: Squared L2 sensitivity.
        rho: zCDP budget.

    Raises:
        ValueError: If the budget is not positive or OpenDP's map would pass it.
    """
    if rho <= 0:
        raise ValueError("a measurement needs a positive share of the budget")
    scale = math.sqrt(Fraction(squared_l2) / (2 * rho)) * (1 + _SCALE_SLACK)
    distance = math.nextafter(math.sqrt(squared_l2), math.inf)
    if Fraction(gaussian(scale).map(distance)) > rho:
        raise ValueError(f"scale {scale} costs more than the budget rho {float(rho)}")
    return scale


def draw(values: NDArray[np.int64], *, squared_l2: int, rho: Fraction) -> Draw:
    """Add discrete Gaussian noise to an integer array.

    Args:
        values: The true values, any shape.
        squared_l2: Squared L2 sensitivity of the whole array to one worker.
        rho: zCDP budget of this draw.

    Raises:
        ValueError: If the budget is not positive or the values are not integers.
    """
    if values.dtype != np.int64:
        raise ValueError(f"noise is drawn on 64-bit integers, got {values.dtype}")
    scale = noise_scale(squared_l2, rho)
    noisy = gaussian(scale)(values.ravel().tolist())
    return Draw(np.asarray(noisy, dtype=np.int64).reshape(values.shape), scale, rho)


def epsilon_of(rho: Fraction, delta: float) -> float:
    """Epsilon at ``delta`` of a total zCDP cost, by OpenDP's conversion.

    Args:
        rho: zCDP cost.
        delta: The other parameter of approximate differential privacy.
    """
    converted = dp.c.make_zCDP_to_approxDP(gaussian(math.sqrt(0.5 / rho)))
    return float(converted.map(1.0).epsilon(delta))


@functools.lru_cache(maxsize=16)
def rho_of(epsilon: Fraction, delta: Fraction) -> Fraction:
    """The largest zCDP cost, to twelve decimals and rounded down, within (epsilon, delta).

    Args:
        epsilon: For example 1.
        delta: For example 1/10,000,000.

    Raises:
        ValueError: If epsilon is not positive or delta not between 0 and 1.
    """
    if epsilon <= 0 or not 0 < delta < 1:
        raise ValueError(f"epsilon must be positive and delta in (0, 1): {epsilon}, {delta}")
    unit = 10**12
    low, high = 0, int(epsilon * unit) + 1
    while high - low > 1:
        middle = (low + high) // 2
        is_within = epsilon_of(Fraction(middle, unit), float(delta)) <= epsilon
        low, high = (middle, high) if is_within else (low, middle)
    return Fraction(low, unit)


def best_guess(rho: Fraction) -> float:
    """How often the best possible guess is right whether one worker is in the data (0.5 to 1).

    Two Gaussians whose means lie sqrt(2 rho) standard deviations apart are told apart, at even
    odds, with probability Phi(sqrt(2 rho) / 2).
    """
    return 0.5 * (1 + math.erf(math.sqrt(2 * rho) / 2 / math.sqrt(2)))
