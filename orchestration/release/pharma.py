"""The tables of the pharma release: what differs from other domains.

One two-way table (product class x jurisdiction, with totals) per quarter goes through disclosure
control; all measures of a cell are withheld together, because they are ratios of each other.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from orchestration.release.errors import InputError
from orchestration.release.figures import NOT_ASSESSED, Floats, Published, to_step
from orchestration.release.hierarchy import Node
from orchestration.release.measure import ReviewItem
from orchestration.release.sdc import FirmTable, Suppression, suppress
from orchestration.release.spec import FirmRules, SdcSpecification, Specification
from orchestration.release.tables import Cell, rows_of, to_arrow

ALL = "all"


def columns(release: SdcSpecification) -> tuple[str, ...]:
    """Columns the frame must have."""
    return (release.contributor, "product_class", "jurisdiction", "quarter", *release.quantities)


def mechanism() -> dict[str, str]:
    """Name, library and version of the method, for the manifest."""
    return {
        "name": "threshold, dominance and p% rules with secondary suppression, audited by LP",
        "library": "scipy (HiGHS)",
        "version": importlib.metadata.version("scipy"),
    }


def build_tables(
    frame: pd.DataFrame, spec: Specification
) -> tuple[dict[str, pa.Table], dict[str, Any], list[ReviewItem]]:
    """The compliance table with everything unsafe withheld.

    Args:
        frame: One row per firm, class, jurisdiction and quarter; whole numbers.
        spec: The specification and its safety numbers.

    Returns:
        Tables by name, the manifest's ``disclosure_control``, and rows left out.

    Raises:
        InputError: If a number is missing, negative or impossible.
        DisclosureError: If no safe suppression was found.
        TypeError: If the specification is not about firms.
    """
    release, rules = spec.release, spec.disclosure.firms
    if not isinstance(release, SdcSpecification):
        raise TypeError("the pharma release is about firms: it needs kind sdc")
    _check(frame, release)
    jurisdictions = list(release.keys["jurisdiction"].values or ())
    classes = sorted(frame["product_class"].unique())
    quarters = release.period.quarters()
    kept, review = _placed(frame, release, rules)
    parts, found = [], []
    for quarter in quarters:
        rows = kept[kept["quarter"] == quarter]
        table = firm_table(rows, release, quarter, classes, jurisdictions)
        suppression = suppress(table, rules)
        cells = _cells(quarter, classes, jurisdictions)
        parts += _measures(cells, table, suppression, rules)
        found.append(suppression)
    name, dimensions = release.tables[0].name, release.tables[0].dimensions
    tables = {name: to_arrow(parts, dimensions)}
    return tables, _control(found, rules), review


def firm_table(
    rows: pd.DataFrame,
    release: SdcSpecification,
    name: str,
    classes: Sequence[str],
    jurisdictions: Sequence[str],
) -> FirmTable:
    """Contributions of each firm to each cell of one quarter, totals included.

    Args:
        rows: Of one quarter.
        release: Contributor and quantities.
        name: Of the table.
        classes: Row keys.
        jurisdictions: Column keys.
    """
    firm, firms = pd.factorize(rows[release.contributor])
    row = pd.Index(classes).get_indexer(rows["product_class"])
    column = pd.Index(jurisdictions).get_indexer(rows["jurisdiction"])
    shape = (len(firms), len(classes) + 1, len(jurisdictions) + 1, len(release.quantities))
    contributions = np.zeros(shape)
    values = rows[list(release.quantities)].to_numpy(float)
    np.add.at(contributions, (firm, row, column), values)
    contributions[:, -1] = contributions[:, :-1].sum(axis=1)
    contributions[:, :, -1] = contributions[:, :, :-1].sum(axis=2)
    return FirmTable(name, contributions)


def _check(frame: pd.DataFrame, release: SdcSpecification) -> None:
    missing = [name for name in columns(release) if frame[name].isna().any()]
    if missing:
        raise _unfit(release, "a value in every row", f"missing ones in {', '.join(missing)}")
    numbers = frame[list(release.quantities)].to_numpy(float)
    if (numbers < 0).any() or (numbers != np.rint(numbers)).any():
        raise _unfit(release, "whole numbers, not negative", "another number")
    size, part = release.quantities[0], release.quantities[1]
    if (frame[part] > frame[size]).any():
        raise _unfit(release, f"{part} of at most {size}", "more")


def _placed(
    frame: pd.DataFrame, release: SdcSpecification, rules: FirmRules
) -> tuple[pd.DataFrame, list[ReviewItem]]:
    is_inside = frame["quarter"].isin(release.period.quarters())
    is_known = frame["jurisdiction"].isin(release.keys["jurisdiction"].values or ())
    unknown = int((is_inside & ~is_known).sum())
    if unknown > rules.review_limit * int(is_inside.sum()):
        raise _unfit(
            release,
            f"at most {float(rules.review_limit):.0%} of the rows of an unknown jurisdiction",
            f"{unknown} of {int(is_inside.sum())}",
        )
    review = [
        ReviewItem(release.dataset, "quarter outside the period", int((~is_inside).sum())),
        ReviewItem(release.dataset, "unknown jurisdiction", unknown),
    ]
    return frame[is_inside & is_known], [item for item in review if item.rows]


def _cells(quarter: str, classes: Sequence[str], jurisdictions: Sequence[str]) -> list[Cell]:
    return [
        Cell(Node("jurisdiction"), quarter, {"product_class": name, "jurisdiction": jurisdiction})
        for name in [*classes, ALL]
        for jurisdiction in [*jurisdictions, ALL]
    ]


def _measures(
    cells: list[Cell], table: FirmTable, suppression: Suppression, rules: FirmRules
) -> list[pd.DataFrame]:
    shipments, compliant, batches = table.totals.T
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(shipments > 0, compliant / shipments, np.nan)
    reason = np.where(
        suppression.primary, "primary", np.where(suppression.secondary, "secondary", "")
    )
    unassessed = np.where((reason == "") & (shipments == 0), NOT_ASSESSED, reason)
    firms = to_step(table.contributors.astype(float), rules.contributor_rounding)
    steps = {kind: float(step) for kind, step in rules.rounding.items()}
    return [
        rows_of(cells, "shipment_count", _shown(to_step(shipments, steps["count"]), reason, firms)),
        rows_of(
            cells, "compliant_share", _shown(to_step(share, steps["share"]), unassessed, firms)
        ),
        rows_of(cells, "batch_count", _shown(to_step(batches, steps["count"]), reason, firms)),
    ]


def _shown(value: Floats, reason: NDArray[np.str_], firms: Floats) -> Published:
    # Exact figures have no noise and so no interval.
    is_published = reason == ""
    nothing = np.full(value.shape, np.nan)
    return Published(
        value=np.where(is_published, value, np.nan),
        lower=nothing,
        upper=nothing,
        is_published=is_published,
        reason=reason.astype(object),
        contributors=np.where(is_published, firms, np.nan),
    )


def _control(found: Sequence[Suppression], rules: FirmRules) -> dict[str, Any]:
    return {
        "threshold": rules.threshold,
        "dominance": {"n": rules.dominance.n, "k": float(rules.dominance.k)},
        "p_percent": float(rules.p_percent),
        "cells": int(sum(s.mask.size for s in found)),
        "primary": int(sum(s.primary.sum() for s in found)),
        "secondary": int(sum(s.secondary.sum() for s in found)),
        "audit": {
            "verdict": "passed",
            "exposed": 0,
            "linear_programs": int(sum(s.programs for s in found)),
            "solver": "scipy HiGHS",
        },
    }


def _unfit(release: SdcSpecification, expected: str, found: str) -> InputError:
    return InputError(
        where=f"frame {release.dataset}",
        expected=expected,
        found=found,
        what_to_do="Nothing was published. Correct the dataset, then retry.",
    )
