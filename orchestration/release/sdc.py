"""Disclosure control for firms: what must be withheld from a table so that no firm can be read.

Works on one two-way table at a time (rows x columns, with totals), for several quantities under one
pattern of suppression. Primary rules, greedy secondary suppression, and an auditor that plays the
attacker: linear programs over everything published, from outside and from the seat of every firm
that is alone in a withheld cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog

from orchestration.release.errors import DisclosureError
from orchestration.release.spec import FirmRules

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

# Rounding of the solver, in units of the table (whole numbers).
_TOLERANCE = 1e-6


@dataclass(frozen=True)
class FirmTable:
    """What each firm contributes to a two-way table, totals included.

    Attributes:
        name: For messages, for example the quarter.
        contributions: Shape (firms, rows + 1, columns + 1, quantities), whole numbers, not
            negative; the last row and the last column are totals. Quantity 0 measures size;
            quantity 1 never exceeds quantity 0.
    """

    name: str
    contributions: Floats

    @cached_property
    def totals(self) -> Floats:
        """Cell values, shape (cells, quantities); cells in row-major order."""
        return self.contributions.sum(axis=0).reshape(-1, self.contributions.shape[-1])

    @cached_property
    def shape(self) -> tuple[int, int]:
        """Rows and columns with totals."""
        return self.contributions.shape[1], self.contributions.shape[2]

    @cached_property
    def flat(self) -> Floats:
        """Contributions by cell, shape (firms, cells, quantities)."""
        return self.contributions.reshape(len(self.contributions), *self.totals.shape)

    @cached_property
    def is_contributor(self) -> Mask:
        """Which firm has anything in which cell, shape (firms, cells)."""
        return (self.flat > 0).any(axis=2)

    @cached_property
    def contributors(self) -> NDArray[np.int64]:
        """Number of firms behind each cell, shape (cells,)."""
        return self.is_contributor.sum(axis=0)

    @cached_property
    def equations(self) -> Floats:
        """Every total equals the sum of its line, shape (equations, cells)."""
        rows, columns = self.shape
        cells = np.arange(rows * columns).reshape(rows, columns)
        lines = [*cells, *cells.T]
        matrix = np.zeros((len(lines), rows * columns))
        for index, line in enumerate(lines):
            matrix[index, line[:-1]], matrix[index, line[-1]] = 1.0, -1.0
        return matrix

    @cached_property
    def is_total(self) -> Mask:
        """Which cells are totals, shape (cells,)."""
        rows, columns = self.shape
        row, column = np.divmod(np.arange(rows * columns), columns)
        return (row == rows - 1) | (column == columns - 1)


@dataclass(frozen=True)
class Suppression:
    """What is withheld; masks have one entry per cell.

    Attributes:
        primary: By a rule about the cell itself.
        secondary: To protect the primary ones.
        programs: Linear programs the auditor solved on the final pattern.
    """

    primary: Mask
    secondary: Mask
    programs: int

    @property
    def mask(self) -> Mask:
        """Everything that is withheld."""
        return self.primary | self.secondary


@dataclass(frozen=True)
class Audit:
    """What an attacker can conclude.

    Attributes:
        exposed: Cells (indices) of which some quantity is pinned to within p%.
        programs: Linear programs solved.
    """

    exposed: tuple[int, ...]
    programs: int


def primary_cells(table: FirmTable, rules: FirmRules) -> Mask:
    """Cells that a rule about the cell itself withholds.

    Fewer contributors than the threshold, dominance of the n largest, or a largest firm that the
    second largest could estimate to within p. A cell without any firm is a true zero and stays.

    Args:
        table: Contributions with totals.
        rules: Safety numbers.
    """
    flat = table.flat
    padding = max(rules.dominance.n, 2)
    largest = np.sort(np.concatenate([np.zeros((padding, *flat.shape[1:])), flat]), axis=0)[::-1]
    total = table.totals
    dominant = largest[: rules.dominance.n].sum(axis=0) > float(rules.dominance.k) * total
    remainder = total - largest[0] - largest[1]
    guessable = remainder < float(rules.p_percent) * largest[0]
    is_thin = table.contributors < rules.threshold
    unsafe = is_thin | ((dominant | guessable) & (total > 0)).any(axis=1)
    return unsafe & (table.contributors > 0)


def audit(table: FirmTable, suppressed: Mask, p: float, *, is_first_enough: bool = False) -> Audit:
    """Try to recover withheld cells from everything else, as an attacker would.

    Asks for each withheld cell and quantity whether values p below and p above the truth agree with
    all published cells, the totals, and quantity 1 <= quantity 0; once from outside, and once for
    every firm that knows a withheld cell because it is alone in it.

    Args:
        table: The true table.
        suppressed: Which cells are withheld.
        p: A cell is exposed when its range does not reach p below and p above its true value (at
            least one unit above a zero).
        is_first_enough: Stop at the first attacker who succeeds.
    """
    cells = np.flatnonzero(suppressed)
    exposed: set[int] = set()
    programs = 0
    cleared: tuple[Mask, Mask] | None = None
    for known in _scenarios(table, suppressed) if len(cells) else []:
        # What one who knows more cannot pin, nobody outside can: they come last.
        attack = _Attack(table, cells, known, p, None if known.any() else cleared)
        exposed |= attack.exposed()
        programs += attack.programs
        cleared = attack.cleared(cleared)
        if exposed and is_first_enough:
            break
    return Audit(tuple(sorted(exposed)), programs)


def suppress(table: FirmTable, rules: FirmRules) -> Suppression:
    """Find a safe pattern: primary, then greedy secondary suppression until the auditor fails.

    Args:
        table: Contributions with totals.
        rules: Safety numbers.

    Raises:
        DisclosureError: If even withholding everything is not safe.
    """
    primary, p = primary_cells(table, rules), float(rules.p_percent)
    mask = _close_lines(table, primary.copy())
    found = audit(table, mask, p)
    while found.exposed:
        mask = _close_lines(table, _widen(table, mask, found.exposed))
        found = audit(table, mask, p)
    mask = _trimmed(table, primary, mask, p)
    verdict = audit(table, mask, p)
    if verdict.exposed:
        raise _unsafe(table, len(verdict.exposed), int(mask.sum()))
    return Suppression(primary, mask & ~primary, verdict.programs)


def _scenarios(table: FirmTable, suppressed: Mask) -> list[Mask]:
    alone = suppressed & (table.contributors == 1)
    inside = {mine.tobytes(): mine for mine in table.is_contributor & alone if mine.any()}
    return [*inside.values(), np.zeros(suppressed.size, dtype=bool)]


class _Attack:
    """One attacker's linear programs: the tables that agree with what this attacker knows.

    Every solution is such a table, and shows for all cells at once how far they can be from the
    truth; so a handful of programs settles dozens of cells, and only a cell that no solution has
    cleared is minimised and maximised by itself.
    """

    def __init__(
        self,
        table: FirmTable,
        cells: NDArray[np.int64],
        known: Mask,
        p: float,
        cleared: tuple[Mask, Mask] | None = None,
    ) -> None:
        quantities = table.totals.shape[1]
        self.programs = 0
        self.cells = np.tile(cells, quantities)
        self.truth = table.totals[cells].T.ravel()
        self.matrix, self.right = _system(table, cells)
        self.order = _order(len(cells), quantities)
        is_known = np.tile(known[cells], quantities)
        # An attacker knows no upper limit; the solver likes a finite one.
        ceiling = 10.0 * table.totals.sum() + 100.0
        self.bounds = np.column_stack(
            [np.where(is_known, self.truth, 0.0), np.where(is_known, self.truth, ceiling)]
        )
        self.goal_low = self.truth * (1 - p) + _TOLERANCE
        self.goal_high = np.maximum(self.truth * (1 + p), self.truth + (self.truth == 0))
        self.goal_high -= _TOLERANCE
        self.is_open_low, self.is_open_high = ~is_known, ~is_known
        if cleared is not None:
            self.is_open_low, self.is_open_high = ~cleared[0], ~cleared[1]
        self.is_known = is_known

    def cleared(self, before: tuple[Mask, Mask] | None) -> tuple[Mask, Mask]:
        """What this attacker, or one before, was shown not to pin from below and from above."""
        low, high = ~(self.is_open_low | self.is_known), ~(self.is_open_high | self.is_known)
        return (low, high) if before is None else (before[0] | low, before[1] | high)

    def exposed(self) -> set[int]:
        """Cells of which this attacker pins some quantity."""
        weight = 1.0 / np.maximum(self.truth, 1.0)
        for sign, is_open in ((-1.0, self.is_open_high), (1.0, self.is_open_low)):
            if is_open.any():
                self._solve(sign * weight)
        pinned: set[int] = set()
        for sign, is_open in ((-1.0, self.is_open_high), (1.0, self.is_open_low)):
            for variable in np.flatnonzero(is_open):
                if not is_open[variable] or self.cells[variable] in pinned:
                    continue
                goal = np.zeros(len(self.truth))
                goal[variable] = sign
                self._solve(goal)
                if is_open[variable]:
                    pinned.add(int(self.cells[variable]))
        return pinned

    def _solve(self, goal: Floats) -> None:
        result = linprog(
            goal,
            A_eq=self.matrix,
            b_eq=self.right,
            A_ub=self.order,
            b_ub=None if self.order is None else np.zeros(len(self.order)),
            bounds=self.bounds,
            method="highs-ds",
            # A few dozen variables: presolving takes longer than solving.
            options={"presolve": False},
        )
        self.programs += 1
        if result.x is None:
            raise DisclosureError(
                where="disclosure audit",
                expected="linear programs with a solution (the true table is one)",
                found=str(result.message),
                what_to_do="Check that totals are sums of their cells and nothing is negative.",
            )
        self.is_open_low &= result.x > self.goal_low
        self.is_open_high &= result.x < self.goal_high


def _system(table: FirmTable, cells: NDArray[np.int64]) -> tuple[Floats, Floats]:
    published = np.ones(table.totals.shape[0], dtype=bool)
    published[cells] = False
    used = np.abs(table.equations[:, cells]).sum(axis=1) > 0
    unknown = table.equations[used][:, cells]
    right = -(table.equations[used][:, published] @ table.totals[published])
    return np.kron(np.eye(table.totals.shape[1]), unknown), right.T.ravel()


def _order(cells: int, quantities: int) -> Floats | None:
    if quantities < 2:
        return None
    rest = np.zeros((cells, cells * (quantities - 2)))
    return np.hstack([-np.eye(cells), np.eye(cells), rest])


def _eligible(table: FirmTable, mask: Mask) -> Mask:
    return ~mask & (table.contributors > 0)


def _cheapest(table: FirmTable, candidates: Mask) -> int | None:
    cells = np.flatnonzero(candidates)
    if not len(cells):
        return None
    # Totals only when nothing else is left: readers miss them most.
    return int(min(cells, key=lambda cell: (table.is_total[cell], *table.totals[cell], cell)))


def _close_lines(table: FirmTable, mask: Mask) -> Mask:
    # A line with one withheld cell gives it away by subtraction.
    lines = table.equations != 0
    is_changed = True
    while is_changed:
        is_changed = False
        for line in lines:
            if (mask & line).sum() == 1:
                cell = _cheapest(table, line & _eligible(table, mask))
                if cell is not None:
                    mask[cell] = is_changed = True
    return mask


def _widen(table: FirmTable, mask: Mask, exposed: tuple[int, ...]) -> Mask:
    wider = mask.copy()
    lines = table.equations != 0
    for cell in exposed:
        beside = lines[lines[:, cell]].any(axis=0)
        if (beside & wider & ~mask).any():
            continue  # a cell added for another one may already protect this one
        extra = _cheapest(table, beside & _eligible(table, wider))
        if extra is None:
            extra = _cheapest(table, _eligible(table, wider))
        if extra is not None:
            wider[extra] = True
    if (wider == mask).all():
        raise _unsafe(table, len(exposed), int(mask.sum()))
    return wider


def _unsafe(table: FirmTable, exposed: int, withheld: int) -> DisclosureError:
    return DisclosureError(
        where=f"table {table.name}",
        expected="a pattern of suppression from which no firm can be read",
        found=f"{exposed} exposed cell(s) with {withheld} of {len(table.totals)} withheld",
        what_to_do="Publish this table with coarser groups (docs/guides/releases.md).",
    )


def _trimmed(table: FirmTable, primary: Mask, mask: Mask, p: float) -> Mask:
    # Greedy suppression overshoots: give back the largest cells that turn out not to be needed.
    lines = table.equations != 0
    secondary = np.flatnonzero(mask & ~primary)
    for cell in sorted(secondary, key=lambda c: -table.totals[c, 0]):
        fewer = mask.copy()
        fewer[cell] = False
        if ((lines & fewer).sum(axis=1) == 1).any():
            continue
        if not audit(table, fewer, p, is_first_enough=True).exposed:
            mask = fewer
    return mask
