"""The tables of the wages release, computed from draws: what differs from other domains.

Everything here is post-processing of noisy vectors: it may be run any number of times and shown to
anybody. All tables come from one consistent estimate, so the same quantity agrees wherever it
appears: months sum to quarters, districts to states, women, men and others to everybody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from orchestration.release.draws import NoisyVector
from orchestration.release.figures import (
    BELOW_THRESHOLD,
    NOT_ASSESSED,
    Figures,
    Published,
    count_figures,
    decide,
    ratio_figures,
    round_parts,
    shifted,
    to_step,
)
from orchestration.release.hierarchy import Estimates, Floats, Layout, Node, reconcile
from orchestration.release.measure import BELOW, NOT_BELOW
from orchestration.release.spec import (
    DpSpecification,
    PeopleRules,
    ReleaseTable,
    Specification,
    quarter_of,
)
from orchestration.release.tables import Cell, rows_of, to_arrow

Draws = Mapping[str, Sequence[NoisyVector]]


@dataclass(frozen=True)
class MonthEstimates:
    """Consistent estimates of every place, group and month.

    Attributes:
        counts: Worker-months by assessment class; values of shape (nodes, months, 3).
        count_variance: Noise variance of one class in one month, shape (nodes,).
        wages: Sums of centred daily wages in paise, shape (nodes, months).
        wage_variance: Noise variance of one month's sum, shape (nodes,).
    """

    counts: Floats
    count_variance: Floats
    wages: Floats
    wage_variance: Floats


def build_tables(draws: Draws, spec: Specification, layout: Layout) -> dict[str, pa.Table]:
    """All tables of the wages release.

    Args:
        draws: Noisy vectors by measurement id.
        spec: The specification and its safety numbers.
        layout: The public places and groups.

    Raises:
        TypeError: If the specification is not about people.
    """
    release, rules = spec.release, spec.disclosure.people
    if not isinstance(release, DpSpecification):
        raise TypeError("the wages release is about people: it needs kind dp")
    estimates = estimate_months(draws, release, layout)
    tables = {}
    for table in release.tables:
        if "grouping" in table.dimensions:
            tables[table.name] = fairness_table(draws["model_fairness"], table, release, rules)
        else:
            tables[table.name] = wage_table(estimates, table, release, rules, layout)
    return tables


def estimate_months(draws: Draws, release: DpSpecification, layout: Layout) -> MonthEstimates:
    """Least-squares estimates of all cells from both measurements of the worker-months.

    Args:
        draws: Noisy vectors by measurement id.
        release: Which measurements count places and which count groups.
        layout: The public cells and the sums that must hold.
    """
    counts = _reconciled(draws, release, layout, "assessment_counts")
    wages = _reconciled(draws, release, layout, "centred_daily_wage")
    months = len(release.period.months())
    return MonthEstimates(
        counts=counts.values.reshape(len(layout.nodes), months, 3),
        count_variance=counts.variance,
        wages=wages.values.reshape(len(layout.nodes), months),
        wage_variance=wages.variance,
    )


def wage_table(
    estimates: MonthEstimates,
    table: ReleaseTable,
    release: DpSpecification,
    rules: PeopleRules,
    layout: Layout,
) -> pa.Table:
    """One table of counts, mean wages and shares below the notified rate.

    Args:
        estimates: Of every node and month.
        table: Levels, period type, dimensions and measures.
        release: Period and bounds.
        rules: Safety numbers.
        layout: The public cells.
    """
    is_grouped = bool(table.dimensions)
    where = [i for i, node in enumerate(layout.nodes) if _is_wanted(node, table, is_grouped)]
    nodes = [layout.nodes[i] for i in where]
    periods = _periods(release, table.period_type)
    by_period = [period_figures(estimates, where, months, release) for months in periods.values()]
    cells = [
        Cell(node, period, dict.fromkeys(table.dimensions, node.group or ""))
        for period in periods
        for node in nodes
    ]
    parts = []
    for measure in table.measures:
        shown = [_decided(f, measure.id, measure.kind, rules, nodes, release) for f in by_period]
        parts += [
            rows_of(cells[i * len(nodes) : (i + 1) * len(nodes)], measure.id, published)
            for i, published in enumerate(shown)
        ]
    return to_arrow(parts, table.dimensions)


def fairness_table(
    draw: Sequence[NoisyVector],
    table: ReleaseTable,
    release: DpSpecification,
    rules: PeopleRules,
) -> pa.Table:
    """How a model errs by group, from noisy confusion counts.

    Args:
        draw: One vector of shape (groups, 4) per grouping; class 2 * y_true + y_pred.
        table: Measures.
        release: Keys of the groupings, and the year.
        rules: Safety numbers.
    """
    groups = [(v.query, group) for v in draw for group in release.keys[v.query].values or ()]
    measured = np.vstack([vector.values.astype(float) for vector in draw])
    variance = np.concatenate([np.full(len(v.values), v.variance) for v in draw])
    # Both groupings count the same workers.
    same_total = np.array([[1.0 if name == draw[0].query else -1.0 for name, _ in groups]])
    estimates = reconcile(measured, variance, same_total if len(draw) > 1 else same_total[:0])
    figures = _fairness_figures(estimates)
    period = str(release.budget.year)
    cells = [Cell(Node("nation"), period, {"grouping": n, "group": g}) for n, g in groups]
    parts: list[pd.DataFrame] = []
    for measure in table.measures:
        top = np.inf if measure.kind == "count" else 1.0
        published = decide(figures[measure.id], measure.kind, rules, range_=(0.0, top))
        parts.append(rows_of(cells, measure.id, published))
    return to_arrow(parts, table.dimensions)


def _fairness_figures(estimates: Estimates) -> dict[str, Figures]:
    # Classes: 0 true negative, 1 false positive, 2 false negative (missed), 3 true positive.
    counts, variance = estimates.values, estimates.variance
    everybody, below_line = counts.sum(axis=1), counts[:, 2] + counts[:, 3]
    missed, selected = counts[:, 2], counts[:, 1] + counts[:, 3]
    return {
        "evaluated_count": count_figures(everybody, 4 * variance),
        "exclusion_error_share": ratio_figures(
            missed, below_line, variance, 2 * variance, variance, size=below_line
        ),
        "selection_share": ratio_figures(
            selected, everybody, 2 * variance, 4 * variance, 2 * variance, size=everybody
        ),
    }


def _reconciled(draws: Draws, release: DpSpecification, layout: Layout, query: str) -> Estimates:
    measured: dict[int, Floats] = {}
    variance = np.empty(len(layout.nodes))
    for measurement in release.measurements:
        for vector in draws[measurement.id]:
            if vector.query != query:
                continue
            block = layout.block(vector.level, is_grouped=measurement.group is not None)
            measured[block.start] = vector.values.reshape(block.stop - block.start, -1)
            variance[block] = vector.variance
    stacked = np.vstack([measured[start] for start in sorted(measured)]).astype(float)
    return reconcile(stacked, variance, layout.constraints)


def _is_wanted(node: Node, table: ReleaseTable, is_grouped: bool) -> bool:
    return node.level in table.levels and (node.group is not None) == is_grouped


def _periods(release: DpSpecification, period_type: str) -> dict[str, list[int]]:
    names = {"month": "{:%Y-%m}".format, "quarter": quarter_of, "year": "{:%Y}".format}
    periods: dict[str, list[int]] = {}
    for index, month in enumerate(release.period.months()):
        periods.setdefault(names[period_type](month), []).append(index)
    return periods


def period_figures(
    estimates: MonthEstimates, where: list[int], months: list[int], release: DpSpecification
) -> dict[str, Figures]:
    """Figures of one period, before anything is decided about them.

    Args:
        estimates: Of every node and month.
        where: Indices of the nodes.
        months: Indices of the period's months.
        release: Bounds.

    Returns:
        By measure id; arrays of one figure per node.
    """
    # Months are independent draws: variances add over them, and over the three classes.
    n = len(months)
    counts = estimates.counts[where][:, months].sum(axis=1)
    variance = n * estimates.count_variance[where]
    wage_sum = estimates.wages[where][:, months].sum(axis=1)
    worker_months, assessed = counts.sum(axis=1), counts[:, BELOW] + counts[:, NOT_BELOW]
    centred = ratio_figures(
        wage_sum,
        worker_months,
        n * estimates.wage_variance[where],
        3 * variance,
        size=worker_months / n,
    )
    return {
        "worker_count": count_figures(worker_months / n, 3 * variance / n**2),
        "mean_daily_wage_paise": shifted(centred, release.bounds["daily_wage_paise"].centre),
        "below_notified_rate_share": ratio_figures(
            counts[:, BELOW], assessed, variance, 2 * variance, variance, size=assessed / n
        ),
    }


def _decided(
    figures: Mapping[str, Figures],
    measure: str,
    kind: str,
    rules: PeopleRules,
    nodes: Sequence[Node],
    release: DpSpecification,
) -> Published:
    wanted = figures[measure]
    if kind == "count":
        step = float(rules.rounding["count"])
        return decide(wanted, kind, rules, rounded=round_tree(wanted.value, nodes, step))
    if kind == "mean":
        bounds = release.bounds["daily_wage_paise"]
        return decide(wanted, kind, rules, range_=(bounds.lower, bounds.upper))
    workers = figures["worker_count"].size
    thin = np.where(workers >= rules.threshold, NOT_ASSESSED, BELOW_THRESHOLD).astype(object)
    return decide(wanted, kind, rules, range_=(0.0, 1.0), thin_reason=thin)


def round_tree(values: Floats, nodes: Sequence[Node], step: float) -> Floats:
    """Round counts from the top down, so that shown districts add up to their shown state.

    Args:
        values: Consistent estimates, one per node.
        nodes: Nodes of one table and period: nation, states and perhaps districts, by group.
        step: Rounding base.
    """
    rounded = to_step(values, step)
    where = {node: index for index, node in enumerate(nodes)}
    for total in (node for node in nodes if node.level in ("nation", "state")):
        parts = [where[node] for node in nodes if _is_part(node, total)]
        if parts:
            rounded[parts] = round_parts(values[parts], rounded[where[total]], step)
    return rounded


def _is_part(node: Node, total: Node) -> bool:
    if total.level == "nation":
        return node.level == "state" and node.group == total.group
    return node.level == "district" and node.state_code == total.state_code
