"""From a contract to a Great Expectations suite, and a table's validation against it.

Great Expectations runs on pandas frames: over SQL on DuckDB it closes the connection before it
fetches. It is imported when a function is called, because that takes seconds. Results carry counts
and row positions, never values: tables hold people.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from data_contracts.contract import Contract, Rule, Severity
from data_contracts.rules import failing_mask

if TYPE_CHECKING:
    import pandas as pd

# Great Expectations copies and fingerprints the frame it is given: few columns at a time keep that
# copy small. Every rule's columns are in one batch.
RULES_PER_BATCH = 12
SAMPLE_POSITIONS = 5
_FLAG = "__breaks__"


@dataclass(frozen=True)
class RuleResult:
    """The outcome of one rule on one table.

    Attributes:
        rule_id: Id of the rule.
        column: The column it is about; None for several columns or the whole table.
        severity: Of the rule, ``blocking`` or ``warning``.
        success: Whether the table satisfies it.
        unexpected_count: Rows that break it; for the table's columns, names that differ.
        sample_positions: Positions, from 0, of the first rows that break it. Never values.
        description: The rule in words.
    """

    rule_id: str
    column: str | None
    severity: Severity
    success: bool
    unexpected_count: int
    sample_positions: tuple[int, ...] = ()
    description: str = ""


def validate(contract: Contract, frame: pd.DataFrame) -> list[RuleResult]:
    """Validate a table against its contract.

    Args:
        contract: The table's contract.
        frame: The whole table; text as pandas' own ``str``, as ``Table.to_pandas`` gives it.

    Returns:
        The check of the columns' names first, then one result for each rule of the contract, in
        its order. Rules about missing columns fail with the number of rows.
    """
    present = set(frame.columns)
    rules = list(contract.rules)
    checkable = [rule for rule in rules if present.issuperset(rule.columns)]
    successes: dict[str, bool] = {}
    for chosen in _batches(checkable):
        successes.update(_run(_batch_frame(chosen, frame), [_expectation(rule) for rule in chosen]))
    for rule in checkable:
        if rule.kind == "row_count":
            successes[rule.rule_id] = len(frame) > rule.arguments["more_than"]
    return [_columns_result(contract, frame), *(_result(rule, frame, successes) for rule in rules)]


def suite(contract: Contract) -> Any:
    """Return the contract as a Great Expectations suite, for its documentation or other engines.

    Rules of our own engine read a flag column, ``__breaks__`` and the rule's id, which ``validate``
    adds to the frame; True in it breaks the rule.
    """
    gx = _great_expectations()
    expectations = [_expectation(rule) for rule in contract.rules]
    return gx.ExpectationSuite(name=contract.name, expectations=expectations)


def _batches(rules: Sequence[Rule]) -> Iterator[Sequence[Rule]]:
    """Yield the rules about rows, some at a time."""
    about_rows = [rule for rule in rules if rule.kind != "row_count"]
    for start in range(0, len(about_rows), RULES_PER_BATCH):
        yield about_rows[start : start + RULES_PER_BATCH]


def _batch_frame(rules: Sequence[Rule], frame: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that a batch of rules reads, with flags for rules of our own."""
    names = {name for rule in rules if not _is_flagged(rule) for name in rule.columns}
    batch = frame[sorted(names)].reset_index(drop=True)
    for rule in rules:
        if _is_flagged(rule):
            batch[_FLAG + rule.rule_id] = failing_mask(rule, frame)
    return batch


def _is_flagged(rule: Rule) -> bool:
    # Great Expectations has no Verhoeff check, and compares columns only where both are numbers.
    return rule.kind in {"no_identity_number", "column_order"}


def _expectation(rule: Rule) -> Any:
    """Translate a rule to an expectation that carries the rule's id."""
    name, arguments = _table_expectation(rule) or _column_expectation(rule)
    kind = getattr(import_module("great_expectations.expectations"), name)
    return kind(
        **arguments,
        meta={"rule_id": rule.rule_id, "severity": rule.severity},
        severity="critical" if rule.severity == "blocking" else "warning",
    )


def _table_expectation(rule: Rule) -> tuple[str, dict[str, Any]] | None:
    """Return name and arguments for a rule that is not about one column's values."""
    if _is_flagged(rule):
        flag = {"column": _FLAG + rule.rule_id, "value_set": [False]}
        return "ExpectColumnValuesToBeInSet", flag
    if rule.kind == "row_count":
        lowest = rule.arguments["more_than"] + 1
        return "ExpectTableRowCountToBeBetween", {"min_value": lowest, "max_value": None}
    if rule.kind == "unique" and len(rule.columns) > 1:
        return "ExpectCompoundColumnsToBeUnique", {"column_list": list(rule.columns)}
    return None


def _column_expectation(rule: Rule) -> tuple[str, dict[str, Any]]:
    """Return name and arguments for a rule about one column's values."""
    stated = rule.arguments
    bounds = {"min_value": stated.get("minimum"), "max_value": stated.get("maximum")}
    names: dict[str, tuple[str, dict[str, Any]]] = {
        "required": ("ExpectColumnValuesToNotBeNull", {}),
        "unique": ("ExpectColumnValuesToBeUnique", {}),
        "valid_values": (
            "ExpectColumnValuesToBeInSet",
            {"value_set": list(stated.get("values", ()))},
        ),
        "pattern": ("ExpectColumnValuesToMatchRegex", {"regex": stated.get("pattern")}),
        "length": ("ExpectColumnValueLengthsToBeBetween", bounds),
        "range": ("ExpectColumnValuesToBeBetween", bounds),
    }
    name, arguments = names[rule.kind]
    return name, {"column": rule.columns[0], **arguments}


def _run(batch_frame: pd.DataFrame, expectations: Sequence[Any]) -> dict[str, bool]:
    """Run expectations on a frame; return success by rule id.

    Raises:
        RuntimeError: Great Expectations could not evaluate a rule.
    """
    gx = _great_expectations()
    batch = _asset().get_batch({"dataframe": batch_frame})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outcome = batch.validate(
            gx.ExpectationSuite(name="contract", expectations=list(expectations)),
            # Only the verdict: anything more carries values.
            result_format="BOOLEAN_ONLY",
        )
    successes = {}
    for result in outcome.results:
        rule_id = result.expectation_config.meta["rule_id"]
        if result.exception_info and _was_raised(result.exception_info):
            # Its text may quote values, so it is not passed on.
            raise RuntimeError(
                f"{rule_id}: expected a column that the rule can be evaluated on; Great "
                "Expectations raised an exception. Compare the column's type with the contract."
            )
        successes[rule_id] = bool(result.success)
    return successes


def _was_raised(info: dict[str, Any]) -> bool:
    """Say whether an expectation raised: GX nests the flag by metric when several were computed."""
    if "raised_exception" in info:
        return bool(info["raised_exception"])
    return any(isinstance(part, dict) and part.get("raised_exception") for part in info.values())


def _columns_result(contract: Contract, frame: pd.DataFrame) -> RuleResult:
    missing = [name for name in contract.column_names if name not in frame.columns]
    unknown = [str(name) for name in frame.columns if name not in contract.column_names]
    parts = [f"missing {', '.join(missing)}"] if missing else []
    parts += [f"not in the contract {', '.join(unknown)}"] if unknown else []
    return RuleResult(
        rule_id=f"{contract.name}.columns",
        column=None,
        severity="blocking",
        success=not parts,
        unexpected_count=len(missing) + len(unknown),
        description="; ".join(parts) or "has exactly the columns of the contract",
    )


def _result(rule: Rule, frame: pd.DataFrame, successes: dict[str, bool]) -> RuleResult:
    if rule.rule_id not in successes:
        return RuleResult(
            rule.rule_id, rule.column, rule.severity, False, len(frame), (), rule.description
        )
    count, positions = 0, ()
    if not successes[rule.rule_id] and rule.kind != "row_count":
        rows = failing_mask(rule, frame).nonzero()[0]
        count, positions = len(rows), tuple(rows[:SAMPLE_POSITIONS].tolist())
    success = successes[rule.rule_id]
    return RuleResult(
        rule.rule_id, rule.column, rule.severity, success, count, positions, rule.description
    )


def _great_expectations() -> Any:
    """Import Great Expectations with its telemetry off: no request leaves the machine."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    return import_module("great_expectations")


@cache
def _asset() -> Any:
    """Return the one in-memory asset that every frame passes through."""
    gx = _great_expectations()
    types = import_module("great_expectations.data_context.types.base")
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = types.ProgressBarsConfig(globally=False)
    source = context.data_sources.add_pandas("contracts")
    return source.add_dataframe_asset("frame").add_batch_definition_whole_dataframe("whole")
