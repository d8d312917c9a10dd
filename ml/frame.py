"""From a table to the arrays a model is trained and assessed on, with every refusal said clearly.

Reading columns, types, keys and closed vocabularies belong here; splitting and fitting do not.
Rows are put in the order of their key, so that the order of the input cannot change the model.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from ml.errors import DataError, SpecError
from ml.spec import Features, Grouping, ModelSpec, Stratum, refuse_protected

# A value outside the closed vocabulary is counted here and its rows go to a person.
UNKNOWN = "unknown"


@dataclass(frozen=True)
class TrainingFrame:
    """A table, read for one specification.

    Attributes:
        ids: row keys as text, ascending, shape (n,).
        features: float32 features, NaN where missing, shape (n, k).
        target: 1 for the positive class, else 0, int8, shape (n,).
        weight: weight of a row, float64, above zero, shape (n,).
        incumbent: score of the rule in use, higher = more positive; NaN where it has none.
        keys: columns that must not cross a split, as text; None where unknown.
        unseen: column whose values are kept out as a whole, as text, or None.
        moment: column that orders rows in time, or None.
        cluster: codes of the units that intervals resample, int64, shape (n,).
        groups: attributes for assessment, closed vocabulary plus "unknown".
        group_unknown: number of "unknown" rows by attribute.
        dropped: rows left out by the specification's `where`.
        sha256: fingerprint of features, target, weight and ids.
    """

    ids: np.ndarray
    features: pd.DataFrame
    target: np.ndarray
    weight: np.ndarray
    incumbent: np.ndarray | None
    keys: pd.DataFrame
    unseen: pd.Series | None
    moment: pd.Series | None
    cluster: np.ndarray
    groups: pd.DataFrame
    group_unknown: Mapping[str, int]
    dropped: int
    sha256: str

    def __len__(self) -> int:
        return len(self.ids)


def read_table(path: Path) -> pd.DataFrame:
    """Read a Parquet file, a folder of Parquet files, or a CSV file with a header.

    Args:
        path: the file or folder.

    Returns:
        The table.

    Raises:
        SpecError: there is nothing at the path or it has another ending.
        DataError: the file is not what its ending says.
    """
    if not path.exists():
        raise SpecError(f"table not found: expected a Parquet or CSV file at {path}")
    if path.is_file() and path.suffix not in {".parquet", ".csv"}:
        raise SpecError(
            f"{path}: expected a file ending in .parquet or .csv, found {path.suffix!r}"
        )
    try:
        return pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    except (ValueError, OSError) as error:
        raise DataError(f"{path}: cannot be read as {path.suffix or 'Parquet'}: {error}") from error


def build_frame(
    spec: ModelSpec, table: pd.DataFrame, protected: pd.DataFrame | None = None
) -> TrainingFrame:
    """Read the columns a specification names, checked and in key order.

    Args:
        spec: the specification.
        table: one row per labelled unit.
        protected: one row per unit with the attributes for assessment, joined on `spec.row_id`;
            units it does not know become "unknown".

    Returns:
        The arrays for training and assessment.

    Raises:
        DataError: a column is missing, of the wrong type, empty or single-valued; ids repeat;
            there are too few rows.
        SpecError: the features hold a protected attribute or the constraints an unknown column.
    """
    _require_columns(spec, table)
    rows = _filtered(spec, table)
    _require_size(spec, len(rows))
    ids = _ids(spec, rows)
    order = np.argsort(ids, kind="stable")
    rows, ids = rows.iloc[order].reset_index(drop=True), ids[order]
    names = feature_names(spec, rows)
    features = encode(spec.features, rows, names)
    target = _target(spec, rows)
    weight = _weight(spec, rows)
    groups = _groups(spec, rows, protected)
    splits = spec.splits
    return TrainingFrame(
        ids=ids,
        features=features,
        target=target,
        weight=weight,
        incumbent=_incumbent(spec, rows),
        keys=pd.DataFrame({name: _text(rows[name]) for name in splits.groups}, index=rows.index),
        unseen=_text(rows[splits.unseen.column]) if splits.unseen else None,
        moment=_moment(splits.latest.column, rows) if splits.latest else None,
        cluster=_clusters(spec, rows),
        groups=groups,
        group_unknown={name: int((groups[name] == UNKNOWN).sum()) for name in groups},
        dropped=len(table) - len(rows),
        sha256=_fingerprint(ids, features, target, weight),
    )


def feature_names(spec: ModelSpec, table: pd.DataFrame) -> list[str]:
    """The feature columns of a table, in the specification's order (by name for a prefix rule).

    Raises:
        DataError: no column matches.
        SpecError: a feature is protected, or a constraint names no feature.
    """
    rules = spec.features
    if rules.prefix is None:
        names = list(rules.columns)
    else:
        names = sorted(str(name) for name in table.columns if str(name).startswith(rules.prefix))
    if not names:
        raise DataError(
            f"no feature found: expected columns starting with {rules.prefix!r} in "
            f"{spec.table or 'the table'}, which has {len(table.columns)} columns"
        )
    try:
        refuse_protected(spec, names)
    except ValueError as error:
        raise SpecError(str(error)) from None
    unknown = sorted(({*rules.monotone} | {*rules.categories}) - {*names})
    if unknown:
        raise SpecError(
            f"features: constraints name columns the table does not have: {unknown}. "
            "Correct the name or remove the constraint; a constraint is never ignored."
        )
    return names


def encode(rules: Features, table: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Features as float32: numbers and booleans as they are, declared categories one column each.

    Args:
        rules: the feature rules, for the closed vocabularies.
        table: the rows.
        names: the feature columns.

    Returns:
        shape (rows, encoded columns); a category's column is named "<column>=<value>".

    Raises:
        DataError: a column is text, a date or infinite.
    """
    columns: dict[str, np.ndarray] = {}
    for name in names:
        if name in rules.categories:
            values = _text(table[name])
            for value in rules.categories[name]:
                columns[f"{name}={value}"] = (values == value).to_numpy(dtype=np.float32)
        else:
            columns[name] = _numbers(name, table[name]).astype(np.float32)
    return pd.DataFrame(columns)


def group_values(grouping: Grouping, values: pd.Series) -> pd.Series:
    """An attribute as text from its closed vocabulary, everything else as "unknown"."""
    text = _text(values)
    return text.where(text.isin(grouping.vocabulary), UNKNOWN).fillna(UNKNOWN).astype(object)


def _require_columns(spec: ModelSpec, table: pd.DataFrame) -> None:
    wanted = [spec.row_id, spec.target.column, spec.weight, spec.interval_cluster]
    wanted += [spec.incumbent.column if spec.incumbent else None]
    wanted += [stratum.column for stratum in spec.strata]
    wanted += [*spec.splits.groups, *spec.features.columns, *spec.where]
    wanted += [part.column for part in (spec.splits.unseen, spec.splits.latest) if part]
    wanted += [grouping.column for grouping in spec.groupings if grouping.source == "table"]
    missing = sorted({name for name in wanted if name and name not in table.columns})
    if missing:
        found = ", ".join(sorted(str(name) for name in table.columns)[:40])
        raise DataError(
            f"{spec.table or 'table'}: missing columns {missing}; found: {found}. "
            "Add them to the table or correct the specification."
        )


def _filtered(spec: ModelSpec, table: pd.DataFrame) -> pd.DataFrame:
    rows = table
    for column, value in spec.where.items():
        rows = rows[_text(rows[column]) == _word(value)]
    return rows


def _require_size(spec: ModelSpec, rows: int) -> None:
    if rows < spec.minimums.rows:
        raise DataError(
            f"{spec.table or 'table'}: too few rows: expected at least {spec.minimums.rows}, found "
            f"{rows}" + (f" where {dict(spec.where)}" if spec.where else "")
        )


def _ids(spec: ModelSpec, rows: pd.DataFrame) -> np.ndarray:
    if spec.row_id is None:
        return np.array([f"{number:012d}" for number in range(len(rows))], dtype=object)
    ids = _text(rows[spec.row_id])
    if ids.isna().any() or ids.duplicated().any():
        raise DataError(
            f"{spec.row_id}: expected one row per value; found {int(ids.duplicated().sum())} "
            f"repeated and {int(ids.isna().sum())} empty. Remove them from the table."
        )
    return ids.to_numpy(dtype=object)


def _target(spec: ModelSpec, rows: pd.DataFrame) -> np.ndarray:
    values = _text(rows[spec.target.column])
    if values.isna().any():
        raise DataError(
            f"{spec.target.column}: {int(values.isna().sum())} rows have no label; a row without "
            "a verified label cannot be learned from. Leave them out of the table."
        )
    target = (values == _word(spec.target.positive)).to_numpy(dtype=np.int8)
    positives = int(target.sum())
    rarer = min(positives, len(target) - positives)
    if values.nunique() < 2 or rarer == 0:
        raise DataError(
            f"{spec.target.column}: expected two classes, found {values.nunique()} value(s) with "
            f"{positives} rows equal to {spec.target.positive!r}. A single class cannot be learned."
        )
    if rarer < spec.minimums.class_rows:
        raise DataError(
            f"{spec.target.column}: expected at least {spec.minimums.class_rows} rows of each "
            f"class, found {rarer} of the rarer one"
        )
    return target


def _weight(spec: ModelSpec, rows: pd.DataFrame) -> np.ndarray:
    if spec.weight is None:
        return np.ones(len(rows))
    weight = _numbers(spec.weight, rows[spec.weight])
    if not (weight > 0).all():
        raise DataError(
            f"{spec.weight}: expected a weight above zero in every row, found "
            f"{int((~(weight > 0)).sum())} rows without one"
        )
    return weight


def _incumbent(spec: ModelSpec, rows: pd.DataFrame) -> np.ndarray | None:
    if spec.incumbent is None:
        return None
    score = _numbers(spec.incumbent.column, rows[spec.incumbent.column])
    return -score if spec.incumbent.positive_when == "lower" else score


def _groups(spec: ModelSpec, rows: pd.DataFrame, protected: pd.DataFrame | None) -> pd.DataFrame:
    joined = _joined(spec, rows, protected)
    columns = {}
    for grouping in spec.groupings:
        source = rows if grouping.source == "table" else joined
        if grouping.column not in source.columns:
            raise DataError(
                f"protected table: expected column {grouping.column!r}, found "
                f"{sorted(str(name) for name in source.columns)}"
            )
        columns[grouping.column] = group_values(grouping, source[grouping.column])
    frame = pd.DataFrame(columns, index=rows.index)
    for stratum in spec.strata:
        frame[stratum.column] = _strata(stratum, rows)
    for names in spec.intersections:
        parts = frame[list(names)]
        frame[" x ".join(names)] = parts.agg(" / ".join, axis=1).where(
            ~(parts == UNKNOWN).any(axis=1), UNKNOWN
        )
    return frame


def _strata(stratum: Stratum, rows: pd.DataFrame) -> np.ndarray:
    """Names of the intervals a number falls into: "below 0.2", "0.2 to 0.6", "0.6 and more"."""
    values, edges = _numbers(stratum.column, rows[stratum.column]), stratum.edges
    middle = [f"{low:g} to {high:g}" for low, high in itertools.pairwise(edges)]
    names = np.array([f"below {edges[0]:g}", *middle, f"{edges[-1]:g} and more"], dtype=object)
    return np.where(np.isnan(values), UNKNOWN, names[np.digitize(values, edges)])


def _joined(spec: ModelSpec, rows: pd.DataFrame, protected: pd.DataFrame | None) -> pd.DataFrame:
    wanted = [grouping.column for grouping in spec.groupings if grouping.source == "protected"]
    if not wanted:
        return pd.DataFrame(index=rows.index)
    if protected is None:
        # Without the restricted table everybody is "unknown": shown as such, never as "no gap".
        return pd.DataFrame(dict.fromkeys(wanted), index=rows.index, dtype=object)
    if spec.row_id is None or spec.row_id not in protected.columns:
        raise DataError(
            f"protected table: expected the key {spec.row_id!r}, found "
            f"{sorted(str(name) for name in protected.columns)}"
        )
    keys = _text(protected[spec.row_id])
    if keys.duplicated().any():
        raise DataError(
            f"protected table: expected one row per {spec.row_id}, found "
            f"{int(keys.duplicated().sum())} repeated"
        )
    return protected.set_index(keys).reindex(_text(rows[spec.row_id])).set_index(rows.index)


def _moment(column: str, rows: pd.DataFrame) -> pd.Series:
    try:
        moment = pd.to_datetime(rows[column])
    except (ValueError, TypeError) as error:
        raise DataError(f"{column}: expected a date or time in every row; {error}") from error
    if moment.isna().any():
        raise DataError(f"{column}: {int(moment.isna().sum())} rows have no date")
    return moment


def _clusters(spec: ModelSpec, rows: pd.DataFrame) -> np.ndarray:
    if spec.interval_cluster is None:
        return np.arange(len(rows))
    codes, _ = pd.factorize(_text(rows[spec.interval_cluster]), use_na_sentinel=False)
    return codes.astype(np.int64)


def _numbers(name: str, values: pd.Series) -> np.ndarray:
    if pd.api.types.is_datetime64_any_dtype(values):
        raise DataError(f"{name}: expected numbers or booleans, found dates")
    try:
        numbers = pd.to_numeric(values.astype(object)).to_numpy(dtype=np.float64, na_value=np.nan)
    except (ValueError, TypeError):
        raise DataError(
            f"{name}: expected numbers or booleans, found {values.dtype}. A text feature needs its "
            "closed vocabulary under features.categories."
        ) from None
    if np.isinf(numbers).any():
        raise DataError(f"{name}: {int(np.isinf(numbers).sum())} rows are infinite")
    return numbers


def _word(value: object) -> str:
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _text(values: pd.Series) -> pd.Series:
    """Text in one spelling (true, 7, abc) whatever the column's type; None where empty."""
    known = values.notna()
    return values.astype(object).map(_word, na_action="ignore").where(known, None)


def _fingerprint(
    ids: np.ndarray, features: pd.DataFrame, target: np.ndarray, weight: np.ndarray
) -> str:
    digest = hashlib.sha256("\n".join([*ids, *features.columns]).encode())
    for part in (features.to_numpy(dtype=np.float32), target, weight):
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()
