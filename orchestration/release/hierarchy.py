"""Consistent estimates: noisy measurements of a hierarchy made to add up, with their covariance.

Pure linear algebra after the noise: no data, no budget. Districts add up to states, states to the
nation and groups to their place, and every measurement of a total sharpens its parts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Estimates:
    """Estimates that satisfy every constraint.

    Attributes:
        values: Shape (cells, columns).
        covariance: Shape (cells, cells), the same for every column.
    """

    values: Floats
    covariance: Floats

    @property
    def variance(self) -> Floats:
        """Variance of each cell, shape (cells,)."""
        return np.clip(np.diag(self.covariance), 0.0, None)


def reconcile(measured: Floats, variance: Floats, constraints: Floats) -> Estimates:
    """Generalised least squares under linear constraints ``constraints @ x = 0``.

    With noise variance W the best linear unbiased estimate is y - W C' (C W C')^-1 C y; its
    covariance is W - W C' (C W C')^-1 C W.

    Args:
        measured: Noisy values, shape (cells, columns); columns are solved together.
        variance: Noise variance of each cell, shape (cells,), positive.
        constraints: Shape (constraints, cells), of full row rank.

    Returns:
        Estimates that satisfy the constraints to rounding of floating-point numbers.

    Raises:
        ValueError: If shapes do not fit or a variance is not positive.
    """
    if measured.shape[0] != variance.shape[0] or constraints.shape[1] != variance.shape[0]:
        raise ValueError(
            f"{measured.shape[0]} cells measured, {variance.shape[0]} variances, "
            f"{constraints.shape[1]} cells constrained: these must be equal"
        )
    if not np.all(variance > 0):
        raise ValueError("every measured cell needs a positive noise variance")
    if constraints.shape[0] == 0:
        return Estimates(measured.copy(), np.diag(variance))
    spread = variance[:, None] * constraints.T
    gain = np.linalg.solve(constraints @ spread, spread.T).T
    return Estimates(
        values=measured - gain @ (constraints @ measured),
        covariance=np.diag(variance) - gain @ spread.T,
    )


@dataclass(frozen=True)
class Node:
    """One place, or one group of one place."""

    level: str
    state_code: int | None = None
    district_code: int | None = None
    group: str | None = None


@dataclass(frozen=True)
class Layout:
    """The cells of one month: places, and groups of the nation and the states.

    Attributes:
        districts: (state code, district code), in key order.
        groups: Names of the groups (sex), in key order.
    """

    districts: tuple[tuple[int, int], ...]
    groups: tuple[str, ...]

    @cached_property
    def states(self) -> tuple[int, ...]:
        """State codes in ascending order."""
        return tuple(sorted({state for state, _ in self.districts}))

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Nation, states, districts, then the groups of the nation and of each state."""
        return (
            Node("nation"),
            *(Node("state", state) for state in self.states),
            *(Node("district", state, district) for state, district in self.districts),
            *(Node("nation", group=group) for group in self.groups),
            *(Node("state", state, group=group) for state in self.states for group in self.groups),
        )

    def block(self, level: str, *, is_grouped: bool) -> slice:
        """Where the nodes of one level lie: plain places, or their groups.

        Args:
            level: ``nation``, ``state`` or ``district``.
            is_grouped: Whether the groups of the level are meant.

        Raises:
            KeyError: If the layout has no such level (districts have no groups).
        """
        states, districts, groups = len(self.states), len(self.districts), len(self.groups)
        plain = 1 + states + districts
        sizes = {
            ("nation", False): (0, 1),
            ("state", False): (1, states),
            ("district", False): (1 + states, districts),
            ("nation", True): (plain, groups),
            ("state", True): (plain + groups, states * groups),
        }
        start, size = sizes[level, is_grouped]
        return slice(start, start + size)

    @cached_property
    def constraints(self) -> Floats:
        """Sums that must hold, one row each, of full row rank.

        States to the nation, districts to states, groups to states, and each group's states to
        the nation's group. That the nation's groups sum to the nation then follows.
        """
        where = {node: index for index, node in enumerate(self.nodes)}
        rows = [_sum_row(where, Node("nation"), [Node("state", state) for state in self.states])]
        for state in self.states:
            parts = [Node("district", s, district) for s, district in self.districts if s == state]
            rows.append(_sum_row(where, Node("state", state), parts))
            if self.groups:
                parts = [Node("state", state, group=group) for group in self.groups]
                rows.append(_sum_row(where, Node("state", state), parts))
        for group in self.groups:
            parts = [Node("state", state, group=group) for state in self.states]
            rows.append(_sum_row(where, Node("nation", group=group), parts))
        return np.array(rows)


def _sum_row(where: dict[Node, int], total: Node, parts: Sequence[Node]) -> Floats:
    row = np.zeros(len(where))
    row[where[total]] = -1.0
    row[[where[part] for part in parts]] = 1.0
    return row
