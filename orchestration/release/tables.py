"""The long table that every release is written in, whatever its domain.

One row per place, period, group and measure: value, interval, and whether it is published or why
not. A value that is not published is null, with its interval and its number of contributors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pyarrow as pa

from orchestration.release.figures import Published
from orchestration.release.hierarchy import Node


@dataclass(frozen=True)
class Cell:
    """Where a figure stands in a table.

    Attributes:
        node: Level and place.
        period: For example ``2024-03``, ``2024-Q1`` or ``2024``.
        dimensions: Value of each dimension of the table.
    """

    node: Node
    period: str
    dimensions: Mapping[str, str] = field(default_factory=dict)


def schema(dimensions: Sequence[str]) -> pa.Schema:
    """Arrow schema of a released table with these dimension columns."""
    return pa.schema(
        [
            pa.field("level", pa.string(), nullable=False),
            pa.field("state_code", pa.int32()),
            pa.field("district_code", pa.int32()),
            pa.field("period", pa.string(), nullable=False),
            *(pa.field(name, pa.string(), nullable=False) for name in dimensions),
            pa.field("measure", pa.string(), nullable=False),
            pa.field("value", pa.float64()),
            pa.field("lower", pa.float64()),
            pa.field("upper", pa.float64()),
            pa.field("is_published", pa.bool_(), nullable=False),
            pa.field("reason", pa.string()),
            pa.field("contributors", pa.int64()),
        ]
    )


def rows_of(cells: Sequence[Cell], measure: str, figures: Published) -> pd.DataFrame:
    """The rows of one measure.

    Args:
        cells: Where each figure stands, in the order of the flattened arrays.
        measure: Measure id.
        figures: Arrays of ``len(cells)`` entries once flattened.

    Raises:
        ValueError: If there is not one figure per cell.
    """
    if figures.value.size != len(cells):
        raise ValueError(f"{figures.value.size} figures for {len(cells)} cells of {measure}")
    return pd.DataFrame(
        {
            "level": [cell.node.level for cell in cells],
            "state_code": pd.array([cell.node.state_code for cell in cells], dtype="Int32"),
            "district_code": pd.array([cell.node.district_code for cell in cells], dtype="Int32"),
            "period": [cell.period for cell in cells],
            **_dimension_columns(cells),
            "measure": measure,
            "value": figures.value.ravel(),
            "lower": figures.lower.ravel(),
            "upper": figures.upper.ravel(),
            "is_published": figures.is_published.ravel(),
            "reason": [reason or None for reason in figures.reason.ravel()],
            "contributors": figures.contributors.ravel(),
        }
    )


def to_arrow(parts: Iterable[pd.DataFrame], dimensions: Sequence[str]) -> pa.Table:
    """Join measures into one table, sorted by place, period, group and measure.

    Args:
        parts: Of ``rows_of``.
        dimensions: Dimension columns of the table.
    """
    frame = pd.concat(list(parts), ignore_index=True)
    rank = {"nation": 0, "jurisdiction": 1, "state": 2, "district": 3}
    frame["rank"] = frame["level"].map(rank)
    order = ["rank", "state_code", "district_code", "period", *dimensions, "measure"]
    frame = frame.sort_values(order, na_position="first", kind="stable", ignore_index=True)
    target = schema(dimensions)
    columns = [_column(frame[name], target.field(name)) for name in target.names]
    return pa.Table.from_arrays(columns, schema=target)


def _dimension_columns(cells: Sequence[Cell]) -> dict[str, list[str]]:
    names = cells[0].dimensions if cells else {}
    return {name: [cell.dimensions[name] for cell in cells] for name in names}


def _column(values: pd.Series, target: pa.Field) -> pa.Array:
    if target.type == pa.int64():
        numbers = values.to_numpy(float)
        return pa.array(
            np.where(np.isnan(numbers), 0, numbers).astype(np.int64),
            mask=np.isnan(numbers),
            type=pa.int64(),
        )
    return pa.array(values, type=target.type, from_pandas=True)
