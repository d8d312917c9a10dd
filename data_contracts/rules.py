"""Which rows break which rule: vectorised masks, so that bad rows can go to quarantine.

Great Expectations says whether a table passes (``expectations``); this module says which rows do
not, without carrying a single value of theirs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from data_contracts.contract import Contract, Rule
from data_contracts.identity import holds_identity_number

Mask = npt.NDArray[np.bool_]


def failing_rows(contract: Contract, frame: pd.DataFrame) -> dict[str, Mask]:
    """Return, for each rule about rows, which rows of a table break it.

    Missing values break only ``required`` rules. Of rows with one key, those after the first break
    the rule. Rules about columns that the table lacks are left out: ``validate`` reports those.

    Args:
        contract: The table's contract.
        frame: The table, one column for each of the contract.

    Returns:
        Masks by rule id, shape (rows,), True where the row breaks the rule.
    """
    present = set(frame.columns)
    return {
        rule.rule_id: failing_mask(rule, frame)
        for rule in contract.rules
        if rule.kind != "row_count" and present.issuperset(rule.columns)
    }


def failing_mask(rule: Rule, frame: pd.DataFrame) -> Mask:
    """Return which rows of a table break one rule about rows, shape (rows,)."""
    if rule.kind == "unique":
        keyed = frame[list(rule.columns)]
        return np.asarray(keyed.duplicated(keep="first") & keyed.notna().all(axis=1))
    if rule.kind == "column_order":
        first, last = (frame[name] for name in rule.columns)
        both = np.asarray(first.notna() & last.notna())
        mask = np.zeros(len(frame), dtype=bool)
        mask[both] = np.asarray(first[both] > last[both])
        return mask
    return _column_mask(rule, frame[rule.columns[0]])


def _column_mask(rule: Rule, series: pd.Series) -> Mask:
    """Return which values of one column break a rule."""
    if rule.kind == "no_identity_number":
        return holds_identity_number(series)
    is_missing = np.asarray(series.isna())
    if rule.kind == "required":
        return is_missing
    return ~is_missing & ~_is_good(rule, series)


def _is_good(rule: Rule, series: pd.Series) -> Mask:
    """Return which values satisfy a rule about single values; missing ones may go either way."""
    arguments = rule.arguments
    if rule.kind == "valid_values":
        return np.asarray(series.isin(arguments["values"]))
    if rule.kind == "range":
        good = np.ones(len(series), dtype=bool)
        if arguments["minimum"] is not None:
            good &= np.asarray((series >= arguments["minimum"]).fillna(False), dtype=bool)
        if arguments["maximum"] is not None:
            good &= np.asarray((series <= arguments["maximum"]).fillna(False), dtype=bool)
        return good
    text = pa.array(series, type=pa.string(), from_pandas=True)
    if rule.kind == "pattern":
        matches = pc.match_substring_regex(text, arguments["pattern"])
        return np.asarray(pc.fill_null(matches, False))
    length = np.asarray(pc.fill_null(pc.utf8_length(text), 0))
    low, high = arguments["minimum"], arguments["maximum"]
    return np.asarray(
        (length >= (low if low is not None else 0))
        & (length <= (high if high is not None else np.iinfo(np.int64).max))
    )
