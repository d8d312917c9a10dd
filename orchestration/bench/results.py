"""One benchmark result, as ``make bench`` writes it down."""

from __future__ import annotations

from typing import Any

Result = dict[str, Any]
COMMAND = "make bench"


def result(
    name: str,
    value: float,
    unit: str,
    *,
    target: float | None = None,
    higher_is_better: bool = False,
    ratio_to: dict[str, float] | None = None,
) -> Result:
    """Describe one result.

    Args:
        name: What was measured, dotted.
        value: The figure.
        unit: Its unit.
        target: What it is to reach, if anything.
        higher_is_better: Whether more is better.
        ratio_to: How many times as good as an alternative that was measured in the same run, by
            the alternative's name.
    """
    met = None
    if target is not None:
        met = value >= target if higher_is_better else value <= target
    return {
        "name": name,
        "value": round(value, 3),
        "unit": unit,
        "higher_is_better": higher_is_better,
        "target": target,
        "met": met,
        "ratio_to": ratio_to,
        "command": COMMAND,
    }


def show(row: Result) -> str:
    """One line for a person."""
    met = {True: "met", False: "NOT met", None: ""}[row["met"]]
    ratio = "".join(f"  {times:.1f}x {name}" for name, times in (row["ratio_to"] or {}).items())
    return f"  {row['name']:<48}{row['value']:>14,.2f} {row['unit']:<7} {met}{ratio}"
