from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestration.release.hierarchy import Layout, Node, reconcile


def layout(states: int, districts: int, groups: int) -> Layout:
    pairs = tuple((s, s * 1000 + d) for s in range(1, states + 1) for d in range(districts))
    return Layout(districts=pairs, groups=tuple(f"g{i}" for i in range(groups)))


def truth(shape: Layout, rng: np.random.Generator, columns: int = 1) -> np.ndarray:
    """Consistent values of every node, from random counts by district and group."""
    inner = rng.integers(0, 400, (len(shape.districts), max(len(shape.groups), 1), columns))
    rows = []
    for node in shape.nodes:
        is_in = [
            (node.state_code in (None, s)) and (node.district_code in (None, d))
            for s, d in shape.districts
        ]
        chosen = inner[np.array(is_in)]
        if node.group is not None:
            chosen = chosen[:, [shape.groups.index(node.group)]]
        rows.append(chosen.sum(axis=(0, 1)))
    return np.array(rows, dtype=float)


@settings(max_examples=30, deadline=None)
@given(
    states=st.integers(1, 5),
    districts=st.integers(1, 6),
    groups=st.integers(0, 4),
    seed=st.integers(0, 2**32 - 1),
)
def test_estimates_add_up_whatever_the_hierarchy(states, districts, groups, seed):
    rng = np.random.default_rng(seed)
    shape = layout(states, districts, groups)
    exact = truth(shape, rng, columns=3)
    variance = rng.uniform(0.5, 50, len(shape.nodes))
    noisy = exact + rng.normal(size=exact.shape) * np.sqrt(variance)[:, None]
    found = reconcile(noisy, variance, shape.constraints)
    assert np.abs(shape.constraints @ exact).max() == 0
    assert np.abs(shape.constraints @ found.values).max() < 1e-7
    assert np.linalg.matrix_rank(shape.constraints) == len(shape.constraints)
    nation_groups = [i for i, n in enumerate(shape.nodes) if n.level == "nation" and n.group]
    if nation_groups:
        assert found.values[nation_groups].sum(axis=0) == pytest.approx(found.values[0])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_fast_solution_is_the_textbook_least_squares_over_the_leaves(seed):
    # Two implementations: constraints here, a design matrix over free cells there.
    rng = np.random.default_rng(seed)
    shape = layout(3, 2, 2)
    variance = rng.uniform(0.5, 20, len(shape.nodes))
    measured = rng.normal(100, 30, (len(shape.nodes), 2))
    _, _, basis = np.linalg.svd(shape.constraints)
    free = basis[len(shape.constraints) :].T
    weight = np.diag(1 / variance)
    normal = np.linalg.inv(free.T @ weight @ free)
    expected = free @ normal @ free.T @ weight @ measured
    found = reconcile(measured, variance, shape.constraints)
    assert found.values == pytest.approx(expected, abs=1e-7)
    assert found.covariance == pytest.approx(free @ normal @ free.T, abs=1e-7)


def test_the_stated_variance_is_the_variance_of_many_draws_and_never_above_the_measured():
    rng = np.random.default_rng(11)
    shape = layout(3, 4, 2)
    variance = rng.uniform(1, 30, len(shape.nodes))
    noise = rng.normal(size=(len(shape.nodes), 20_000)) * np.sqrt(variance)[:, None]
    found = reconcile(noise, variance, shape.constraints)
    assert found.values.var(axis=1) == pytest.approx(found.variance, rel=0.05)
    assert (found.variance <= variance + 1e-9).all()


def test_months_can_be_constrained_to_quarters_just_as_well():
    # Three months and their quarter, each measured: the quarter sharpens the months.
    constraint = np.array([[1.0, 1.0, 1.0, -1.0]])
    found = reconcile(np.array([[10.0], [20.0], [30.0], [66.0]]), np.full(4, 4.0), constraint)
    assert found.values.ravel() == pytest.approx([11.5, 21.5, 31.5, 64.5])
    assert found.variance == pytest.approx([3.0] * 4)


def test_districts_of_india_times_groups_take_less_than_two_seconds():
    shape = layout(36, 21, 4)  # 756 districts, about 950 nodes a month
    measured = np.random.default_rng(0).normal(100, 10, (len(shape.nodes), 48))
    start = time.process_time()
    reconcile(measured, np.ones(len(shape.nodes)), shape.constraints)
    wide = layout(36, 50, 4)  # about 2,000 nodes
    reconcile(np.ones((len(wide.nodes), 48)), np.ones(len(wide.nodes)), wide.constraints)
    assert time.process_time() - start < 4  # both, in CPU seconds: under 2 each


def test_a_district_layout_has_no_groups_of_districts():
    with pytest.raises(KeyError):
        layout(2, 2, 2).block("district", is_grouped=True)
    assert layout(1, 1, 1).nodes[-1] == Node("state", 1, group="g0")


@pytest.mark.parametrize(
    ("measured", "variance", "message"),
    [
        (np.ones((3, 1)), np.ones(2), "must be equal"),
        (np.ones((2, 1)), np.array([1.0, 0.0]), "positive"),
        (np.ones((2, 1)), np.array([1.0, np.nan]), "positive"),
    ],
)
def test_measurements_that_do_not_fit_are_refused(measured, variance, message):
    with pytest.raises(ValueError, match=message):
        reconcile(measured, variance, np.array([[1.0, -1.0]]))
