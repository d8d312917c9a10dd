"""Reference lines: dated policy figures that a release states beside its measures.

They come from the policy seeds, never from the data that is released, and are part of the manifest,
so that a chart names the rate in force and its source. No noise and no budget here.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

from orchestration.release.errors import SpecificationError
from orchestration.release.spec import Period, ReferenceSpec

REPOSITORY = Path(__file__).resolve().parents[2]
UNIT = "INR/day"
COLUMNS = frozenset({"state_code", "rate", "unit", "valid_from", "valid_to", "rule_id", "source"})


def reference_lines(
    specs: Collection[ReferenceSpec],
    period: Period,
    states: Collection[int],
    root: Path = REPOSITORY,
) -> list[dict[str, Any]]:
    """The lines of a release's period and states, one per interval of validity.

    Args:
        specs: Of the specification.
        period: What the release is about; only figures in force within it are stated.
        states: LGD codes of the release's states.
        root: Folder that the seeds' paths are relative to.

    Returns:
        ``measure``, ``level``, ``state_code``, ``from`` and ``to`` (first and last day of validity,
        ISO 8601), ``value`` (whole paise a day), ``label`` in both languages, ``rule_id`` and
        ``source``; by measure, state and time. A state without a usable figure has no line.

    Raises:
        SpecificationError: If a seed is missing, or two of its figures are in force on one day.
    """
    lines = [
        _line(spec, row)
        for spec in specs
        for row in _usable_rows(spec, root)
        if int(row["state_code"]) in states
        and row["valid_from"] <= period.to.isoformat()
        and row["valid_to"] >= period.from_.isoformat()
    ]
    lines.sort(key=lambda line: (line["measure"], line["state_code"], line["from"]))
    for first, second in pairwise(lines):
        is_same = all(first[key] == second[key] for key in ("measure", "state_code"))
        if is_same and second["from"] <= first["to"]:
            raise SpecificationError(
                where=f"reference line of {first['measure']}, state {first['state_code']}",
                expected="one figure in force on a day",
                found=f"{first['rule_id']} until {first['to']}, {second['rule_id']} from "
                f"{second['from']}",
                what_to_do="Correct the validity dates of the policy seed, or narrow `where`.",
            )
    return lines


def _usable_rows(spec: ReferenceSpec, root: Path) -> list[dict[str, str]]:
    try:
        with (root / spec.seed).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise _unusable(spec, type(error).__name__) from error
    missing = sorted((COLUMNS | spec.where.keys()) - set(rows[0] if rows else ()))
    if missing:
        raise _unusable(spec, f"no column {', '.join(missing)}")
    chosen = [row for row in rows if all(row[name] == code for name, code in spec.where.items())]
    if odd := {row["unit"] for row in chosen} - {UNIT}:
        raise _unusable(spec, f"unit {', '.join(sorted(odd))}")
    return chosen


def _line(spec: ReferenceSpec, row: Mapping[str, str]) -> dict[str, Any]:
    return {
        "measure": spec.measure,
        "level": spec.level,
        "state_code": int(row["state_code"]),
        "from": row["valid_from"],
        "to": row["valid_to"],
        "value": int(Fraction(row["rate"]) * 100),
        "label": spec.label.model_dump(),
        "rule_id": row["rule_id"],
        "source": row["source"],
    }


def _unusable(spec: ReferenceSpec, found: str) -> SpecificationError:
    return SpecificationError(
        where=spec.seed,
        expected=f"a policy seed in {UNIT} with columns {', '.join(sorted(COLUMNS))}",
        found=found,
        what_to_do="Run from a checkout of the repository, or correct `reference_lines`.",
    )
