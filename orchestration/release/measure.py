"""From bounded rows to integer vectors: what is true, before the noise.

Checks the frames that are handed in, bounds every row again (the sensitivity must not hang on
another room's model), and counts. What leaves this module is exact and private: it goes to
``privacy.draw`` and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from orchestration.release.errors import InputError
from orchestration.release.hierarchy import Layout
from orchestration.release.privacy import squared_sensitivity
from orchestration.release.spec import Bounds, DpSpecification, MeasurementSpec

Ints = NDArray[np.int64]
Frame = pd.DataFrame | pa.Table

WORKER_MONTH = "rel_wages__worker_month_bounded"
EVALUATION = "ml_wages__evaluation"
PLACES = "places"

WORKER_MONTH_COLUMNS = (
    "worker_id_hash",
    "month",
    "state_code",
    "district_code",
    "sex",
    "daily_wage_paise",
    "is_assessed",
    "is_below_notified_rate",
)
EVALUATION_COLUMNS = ("worker_id_hash", "split", "sex", "social_category", "y_true", "y_pred")
PLACE_COLUMNS = ("state_code", "state_iso", "state_name", "district_code", "district_name")
HINDI_NAMES = ("state_name_hi", "district_name_hi")

# Classes of an assessment count, in this order: below the notified rate, not below, not assessed.
BELOW, NOT_BELOW, UNASSESSED = 0, 1, 2


@dataclass(frozen=True)
class ReviewItem:
    """Rows that could not be placed: for the operator's review list, never for a release.

    Attributes:
        dataset: Where they are.
        rule: Why they were left out.
        rows: How many.
    """

    dataset: str
    rule: str
    rows: int


@dataclass(frozen=True)
class Vector:
    """One exact vector and what one worker can change in it.

    Attributes:
        query: Name of the query.
        level: Level it is counted at.
        values: Exact integers, shape (nodes of the level, months, classes) or (groups, classes).
        squared_l2: Squared L2 sensitivity.
    """

    query: str
    level: str
    values: Ints
    squared_l2: int


@dataclass(frozen=True)
class WorkerMonths:
    """Bounded rows as codes; every array has one entry a row.

    Attributes:
        month: Index into the months of the period.
        district: Index into the districts of the layout.
        state: Index into its states.
        sex: Index into its groups.
        status: BELOW, NOT_BELOW or UNASSESSED.
        wage: Daily wage minus the centre of its bounds, paise, within the half range.
        worker: Code of the worker.
    """

    month: Ints
    district: Ints
    state: Ints
    sex: Ints
    status: Ints
    wage: Ints
    worker: Ints


def as_pandas(frames: Mapping[str, Frame], name: str, columns: Sequence[str]) -> pd.DataFrame:
    """The named columns of a frame as pandas.

    Args:
        frames: What was handed in, by dataset name.
        name: Dataset.
        columns: Columns that are needed.

    Raises:
        InputError: If the frame, or a column of it, is missing.
    """
    if name not in frames:
        raise _unfit(name, "this frame", f"frames {sorted(frames)}")
    frame = frames[name]
    present = frame.column_names if isinstance(frame, pa.Table) else list(frame.columns)
    missing = [column for column in columns if column not in present]
    if missing:
        raise _unfit(name, f"columns {', '.join(columns)}", f"no {', '.join(missing)}")
    if isinstance(frame, pa.Table):
        return frame.select(list(columns)).to_pandas(date_as_object=False)
    return frame.loc[:, list(columns)]


def places_frame(places: Frame) -> pd.DataFrame:
    """The key table of places, checked: one row per district, sorted by codes.

    Raises:
        InputError: If a column is missing, it is empty, or it names a district twice.
    """
    hindi = [name for name in HINDI_NAMES if name in _columns(places)]
    frame = as_pandas({PLACES: places}, PLACES, (*PLACE_COLUMNS, *hindi))
    codes = frame[["state_code", "district_code"]]
    if frame.empty or codes.isna().any(axis=None) or codes.duplicated().any():
        raise _unfit(
            PLACES, "one row per district with its codes", "none, a missing code or a repeated one"
        )
    frame = frame.astype({"state_code": int, "district_code": int})
    return frame.sort_values(["state_code", "district_code"], ignore_index=True)


def layout_of(places: pd.DataFrame, groups: Sequence[str]) -> Layout:
    """The public cells of one month: all places, and all groups of nation and states."""
    pairs = zip(places["state_code"].tolist(), places["district_code"].tolist(), strict=True)
    return Layout(districts=tuple(pairs), groups=tuple(groups))


def worker_months(
    frame: pd.DataFrame, release: DpSpecification, layout: Layout, review_limit: float
) -> tuple[WorkerMonths, list[ReviewItem]]:
    """Check, place and bound the rows of workers.

    Args:
        frame: Columns WORKER_MONTH_COLUMNS; one row per worker and month.
        release: Period, bounds and keys.
        layout: The public places and groups.
        review_limit: Largest part of the rows that may lie outside the public keys.

    Returns:
        The rows inside the period and the public places, and what was left out.

    Raises:
        InputError: If a value is missing, a worker has two rows in a month, or too many rows lie
            outside the public keys.
    """
    _check_worker_months(frame)
    months = pd.to_datetime(frame["month"])
    first = release.period.from_
    month = ((months.dt.year - first.year) * 12 + months.dt.month - first.month).to_numpy(np.int64)
    district = _district_index(frame, layout)
    is_inside = (month >= 0) & (month < len(release.period.months()))
    is_placed = district >= 0
    review = [
        ReviewItem(WORKER_MONTH, "month outside the period", int((~is_inside).sum())),
        ReviewItem(WORKER_MONTH, "unknown district", int((is_inside & ~is_placed).sum())),
    ]
    _check_review(review[1], int(is_inside.sum()), review_limit)
    is_kept = is_inside & is_placed
    states = np.array([layout.states.index(state) for state, _ in layout.districts], dtype=np.int64)
    worker, _ = pd.factorize(frame["worker_id_hash"])
    rows = WorkerMonths(
        month=month[is_kept],
        district=district[is_kept],
        state=states[district[is_kept]],
        sex=_group_index(frame["sex"], layout.groups)[is_kept],
        status=_status(frame)[is_kept],
        wage=_centred(frame["daily_wage_paise"], release.bounds["daily_wage_paise"])[is_kept],
        worker=worker.astype(np.int64)[is_kept],
    )
    return rows, [item for item in review if item.rows]


def worker_month_vectors(
    rows: WorkerMonths, measurement: MeasurementSpec, release: DpSpecification, layout: Layout
) -> list[Vector]:
    """Exact vectors of one measurement, a vector for each query and level.

    Args:
        rows: Bounded rows.
        measurement: Levels, queries and whether groups are counted.
        release: Period and bounds.
        layout: The public cells.

    Raises:
        ValueError: If a query is unknown.
    """
    months = len(release.period.months())
    half_range = release.bounds["daily_wage_paise"].half_range
    vectors = []
    for query in measurement.queries:
        for level in measurement.levels:
            block = layout.block(level, is_grouped=measurement.group is not None)
            cells = _node(rows, level, layout, measurement.group) * months + rows.month
            size = (block.stop - block.start) * months
            if query == "assessment_counts":
                values, bound = np.bincount(cells * 3 + rows.status, minlength=size * 3), 1
            elif query == "centred_daily_wage":
                # Sums of whole paise stay far below 2^53: the floating-point sum is exact.
                values = np.rint(np.bincount(cells, weights=rows.wage, minlength=size))
                bound = half_range
            else:
                raise ValueError(f"unknown query {query!r} of measurement {measurement.id!r}")
            shaped = values.astype(np.int64).reshape(block.stop - block.start, months, -1)
            squared = squared_sensitivity(measurement.rows_per_worker, bound)
            vectors.append(Vector(query, level, shaped, squared))
    return vectors


def evaluation_vectors(
    frame: pd.DataFrame, measurement: MeasurementSpec, release: DpSpecification
) -> list[Vector]:
    """Exact confusion counts of a model by group: one vector per grouping.

    Args:
        frame: Columns EVALUATION_COLUMNS; one row per worker and split.
        measurement: Split and groupings.
        release: Keys of the groupings.

    Returns:
        Vectors of shape (groups, 4); the class is 2 * y_true + y_pred.

    Raises:
        InputError: If a value is missing or a worker appears twice in the split.
    """
    rows = frame[frame["split"] == measurement.split]
    if rows["worker_id_hash"].duplicated().any():
        raise _unfit(EVALUATION, "one row per worker in a split", "a repeated worker")
    outcomes = rows[["y_true", "y_pred"]]
    if not outcomes.isin([0, 1]).all(axis=None):
        raise _unfit(EVALUATION, "0 or 1 in y_true and y_pred", "a missing or other value")
    outcome = outcomes["y_true"].to_numpy(np.int64) * 2 + outcomes["y_pred"].to_numpy(np.int64)
    squared = squared_sensitivity(measurement.rows_per_worker, 1)
    vectors = []
    for grouping in measurement.queries:
        groups = release.keys[grouping].values or ()
        cells = _group_index(rows[grouping], groups) * 4 + outcome
        values = np.bincount(cells, minlength=len(groups) * 4).astype(np.int64)
        vectors.append(Vector(grouping, "nation", values.reshape(len(groups), 4), squared))
    return vectors


def _check_worker_months(frame: pd.DataFrame) -> None:
    for column in ("worker_id_hash", "month", "daily_wage_paise", "is_assessed"):
        missing = int(frame[column].isna().sum())
        if missing:
            raise _unfit(WORKER_MONTH, f"a value in every row of {column}", f"{missing} missing")
    if not np.isfinite(frame["daily_wage_paise"].to_numpy(float)).all():
        raise _unfit(WORKER_MONTH, "finite numbers in daily_wage_paise", "an infinite one")
    is_assessed = frame["is_assessed"].astype(bool)
    unknown = int(frame.loc[is_assessed, "is_below_notified_rate"].isna().sum())
    if unknown:
        raise _unfit(
            WORKER_MONTH,
            "is_below_notified_rate in every assessed row",
            f"{unknown} assessed rows without it",
        )
    repeated = int(_worker_month_code(frame).duplicated().sum())
    if repeated:
        raise _unfit(
            WORKER_MONTH,
            "exactly one row per worker and month (the privacy bound rests on it)",
            f"{repeated} repeated",
        )


def _worker_month_code(frame: pd.DataFrame) -> pd.Series:
    worker, _ = pd.factorize(frame["worker_id_hash"])
    months = pd.to_datetime(frame["month"])
    return pd.Series(worker * 120_000 + (months.dt.year * 12 + months.dt.month).to_numpy())


def _check_review(item: ReviewItem, rows: int, limit: float) -> None:
    if item.rows > limit * rows:
        raise _unfit(
            item.dataset,
            f"at most {limit:.0%} of the rows outside the public key table of districts",
            f"{item.rows} of {rows}",
        )


def _district_index(frame: pd.DataFrame, layout: Layout) -> Ints:
    keys = np.array([state * 1_000_000 + code for state, code in layout.districts], dtype=np.int64)
    order = np.argsort(keys)
    state = pd.to_numeric(frame["state_code"]).fillna(-1).to_numpy(np.int64)
    code = pd.to_numeric(frame["district_code"]).fillna(-1).to_numpy(np.int64)
    wanted = state * 1_000_000 + code
    found = np.searchsorted(keys[order], wanted).clip(max=len(keys) - 1)
    return np.where(keys[order][found] == wanted, order[found], -1)


def _group_index(column: pd.Series, groups: Sequence[str]) -> Ints:
    # The last key is "unknown": it takes what is missing or not on the public list.
    index = pd.Index(groups).get_indexer(column.astype(object))
    return np.where(index < 0, len(groups) - 1, index).astype(np.int64)


def _status(frame: pd.DataFrame) -> Ints:
    is_assessed = frame["is_assessed"].astype(bool).to_numpy()
    below = frame["is_below_notified_rate"].astype("boolean").fillna(value=False).to_numpy(bool)
    return np.where(is_assessed, np.where(below, BELOW, NOT_BELOW), UNASSESSED).astype(np.int64)


def _centred(wages: pd.Series, bounds: Bounds) -> Ints:
    clipped = np.rint(wages.to_numpy(float)).clip(bounds.lower, bounds.upper)
    return clipped.astype(np.int64) - bounds.centre


def _node(rows: WorkerMonths, level: str, layout: Layout, group: str | None) -> Ints:
    place = {"nation": np.zeros_like(rows.month), "state": rows.state, "district": rows.district}
    if group is None:
        return place[level]
    return place[level] * len(layout.groups) + rows.sex


def _columns(frame: Frame) -> list[str]:
    return frame.column_names if isinstance(frame, pa.Table) else list(frame.columns)


def _unfit(name: str, expected: str, found: str) -> InputError:
    return InputError(
        where=f"frame {name}",
        expected=expected,
        found=found,
        what_to_do="Nothing was drawn and no budget was spent. Correct the dataset, then retry.",
    )
