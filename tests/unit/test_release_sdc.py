from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog

from orchestration.release import pharma, sdc
from orchestration.release.errors import DisclosureError, InputError
from orchestration.release.sdc import Audit, FirmTable, audit, primary_cells, suppress
from orchestration.release.spec import load_release_spec

SPEC = load_release_spec("pharma")
RULES = SPEC.disclosure.firms
P = float(RULES.p_percent)


def table_of(inner: np.ndarray, name: str = "2024-Q1") -> FirmTable:
    """Contributions (firms, rows, columns, quantities) with totals added."""
    contributions = np.zeros((len(inner), inner.shape[1] + 1, inner.shape[2] + 1, inner.shape[3]))
    contributions[:, :-1, :-1] = inner
    contributions[:, -1] = contributions[:, :-1].sum(axis=1)
    contributions[:, :, -1] = contributions[:, :, :-1].sum(axis=2)
    return FirmTable(name, contributions)


def random_table(seed: int, firms: int = 14, rows: int = 5, columns: int = 4) -> FirmTable:
    rng = np.random.default_rng(seed)
    is_there = rng.random((firms, rows, columns)) < 0.3
    size = np.rint(rng.lognormal(3, 1, is_there.shape)) * is_there
    part = np.floor(size * rng.uniform(0.7, 1.0, size.shape))
    return table_of(np.stack([size, part, np.ceil(size / 5)], axis=-1))


def one_cell(*firms: float) -> FirmTable:
    sizes = np.array(firms, dtype=float)
    return table_of(np.stack([sizes, sizes], axis=-1)[:, None, None, :])


@pytest.mark.parametrize(
    ("firms", "is_withheld"),
    [
        ((), False),  # no firm: a true zero
        ((50,), True),  # one firm
        ((50, 50), True),  # two firms know each other
        ((50, 50, 50), False),
        ((45, 45, 10), False),  # exactly 90%
        ((46, 45, 9), True),  # more than 90%
        ((100, 50, 18), False),  # 50 + 18 of 168 hide the largest well enough
        ((1000, 60, 50, 49), True),  # dominated by one
    ],
)
def test_primary_rules_at_their_boundaries(firms, is_withheld):
    assert bool(primary_cells(one_cell(*firms), RULES)[0]) is is_withheld


def test_p_percent_withholds_what_dominance_lets_through():
    lenient = RULES.model_copy(update={"dominance": RULES.dominance.model_copy(update={"n": 1})})
    # The second firm knows the largest to within 99 of 1000: less than 10%.
    assert primary_cells(one_cell(1000, 500, 99), lenient)[0]
    assert not primary_cells(one_cell(1000, 500, 101), lenient)[0]


def full_range(table: FirmTable, suppressed: np.ndarray, cell: int) -> tuple[float, float]:
    """Oracle: the plainest possible linear programs for quantity 0, from outside."""
    cells = np.flatnonzero(suppressed)
    unknown = table.equations[:, cells]
    right = -table.equations[:, ~suppressed] @ table.totals[~suppressed, 0]
    goal = (cells == cell).astype(float)
    low = linprog(goal, A_eq=unknown, b_eq=right, method="highs")
    high = linprog(-goal, A_eq=unknown, b_eq=right, method="highs")
    return low.fun, (np.inf if high.fun is None else -high.fun)


@pytest.mark.parametrize("seed", range(6))
def test_primary_alone_is_recoverable_and_after_secondary_nothing_is(seed):
    table = random_table(seed)
    primary = primary_cells(table, RULES)
    alone = audit(table, primary, P)
    assert primary.any()
    assert alone.exposed
    result = suppress(table, RULES)
    assert (result.mask & primary).sum() == primary.sum()
    assert not audit(table, result.mask, P).exposed
    for cell in np.flatnonzero(result.mask):
        low, high = full_range(table, result.mask, cell)
        truth = table.totals[cell, 0]
        assert low <= truth * (1 - P) + 1e-6
        assert high >= truth * (1 + P) - 1e-6


def test_a_single_withheld_cell_in_a_line_is_read_by_subtraction():
    inner = np.full((4, 2, 2, 2), 10.0)
    inner[1:, 0, 0] = 0  # one firm only
    table = table_of(inner)
    primary = primary_cells(table, RULES)
    assert primary.sum() == 1
    low, high = full_range(table, primary, int(np.flatnonzero(primary)[0]))
    assert (low, high) == (10, 10)
    # The smallest safe pattern of a two-way table is a rectangle.
    assert suppress(table, RULES).mask.sum() >= 4


def test_a_firm_that_is_alone_in_a_cell_learns_nothing_about_another():
    inner = np.full((6, 3, 3, 2), 10.0)
    inner[1:, 0, 0] = 0  # firm 0 alone
    inner[[0, 2, 3, 4, 5], 0, 1] = 0  # firm 1 alone, same line
    table = table_of(inner)
    rectangle = np.zeros((4, 4), dtype=bool)
    rectangle[:2, :2] = True
    # From outside the rectangle is safe; firm 0 subtracts its own cell and reads firm 1.
    assert full_range(table, rectangle.ravel(), 1)[0] < full_range(table, rectangle.ravel(), 1)[1]
    assert 1 in audit(table, rectangle.ravel(), P).exposed
    result = suppress(table, RULES)
    assert not audit(table, result.mask, P).exposed


def test_an_empty_table_needs_nothing_withheld():
    assert not suppress(table_of(np.zeros((0, 2, 2, 3))), RULES).mask.any()


def test_a_table_that_cannot_be_made_safe_is_refused(monkeypatch):
    monkeypatch.setattr(sdc, "audit", lambda *_, **__: Audit((0,), 1))
    with pytest.raises(DisclosureError, match="coarser groups"):
        suppress(random_table(1), RULES)


def frame(seed: int = 5, firms: int = 8) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = [
        (f"gln{f}", c, j, "2024-Q1", int(n), int(n * 0.9), int(n // 4 + 1))
        for f in range(firms)
        for c in ("insulin", "vaccine", "antibiotic")
        for j in ("IN", "US", "EU", "SG")
        if rng.random() < 0.35
        for n in [rng.lognormal(3, 1) + 1]
    ]
    return pd.DataFrame(rows, columns=list(pharma.columns(SPEC.release)))


def test_the_pharma_table_has_every_cell_and_withheld_ones_are_null_with_a_reason():
    tables, control, review = pharma.build_tables(frame(), SPEC)
    cells = tables["compliance_quarter"].to_pandas()
    assert len(cells) == 6 * 4 * 5 * 3  # quarters, classes + all, jurisdictions + all, measures
    withheld = cells[~cells["is_published"]]
    assert withheld[["value", "contributors"]].isna().all(axis=None)
    assert set(withheld["reason"]) <= {"primary", "secondary", "not_assessed"}
    assert cells.loc[cells["is_published"], "reason"].isna().all()
    assert control["audit"]["verdict"] == "passed"
    assert control["primary"] > 0
    assert review == []


def test_all_measures_of_a_cell_are_withheld_together():
    cells = pharma.build_tables(frame(), SPEC)[0]["compliance_quarter"].to_pandas()
    cells = cells[cells["reason"].isin(["primary", "secondary"])]
    assert set(cells.groupby(["period", "product_class", "jurisdiction"]).size()) == {3}


def test_published_totals_are_the_sums_of_the_data():
    data = frame()
    cells = pharma.build_tables(data, SPEC)[0]["compliance_quarter"].to_pandas()
    shown = cells[(cells["measure"] == "shipment_count") & cells["is_published"]]
    total = shown[(shown["product_class"] == "all") & (shown["jurisdiction"] == "all")]
    assert total.loc[total["period"] == "2024-Q1", "value"].item() == data["shipment_count"].sum()
    empty = shown[shown["period"] == "2025-Q2"]
    assert (empty["value"] == 0).all()


def test_an_empty_frame_gives_a_complete_table():
    cells = pharma.build_tables(frame().iloc[:0], SPEC)[0]["compliance_quarter"].to_pandas()
    assert len(cells) == 6 * 1 * 5 * 3
    assert (cells.loc[cells["measure"] == "shipment_count", "value"] == 0).all()
    assert (cells.loc[cells["measure"] == "compliant_share", "reason"] == "not_assessed").all()


def test_a_frame_of_unknown_jurisdictions_is_refused():
    with pytest.raises(InputError, match="unknown jurisdiction"):
        pharma.build_tables(frame().assign(jurisdiction="XX"), SPEC)


def test_an_unknown_jurisdiction_goes_to_the_review_list():
    data = frame()
    data.loc[0, "jurisdiction"] = "XX"
    _, _, review = pharma.build_tables(data, SPEC)
    assert [(item.rule, item.rows) for item in review] == [("unknown jurisdiction", 1)]


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("shipment_count", None, "missing ones in shipment_count"),
        ("shipment_count", -1, "not negative"),
        ("batch_count", 1.5, "whole numbers"),
        ("compliant_shipment_count", 10**6, "at most shipment_count"),
    ],
)
def test_impossible_numbers_are_refused_without_showing_a_firm(column, value, message):
    data = frame().astype({column: float})
    data.loc[0, column] = value
    with pytest.raises(InputError, match=message) as refusal:
        pharma.build_tables(data, SPEC)
    assert "gln" not in str(refusal.value)
