"""From a released table's long frame to cells, and names of places.

What belongs here: selecting rows by codes. No view filters a frame by itself, so that "not
published" is carried along everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from apps.components.pictures import Cell
from apps.components.tiles import TILES
from apps.text.catalogue import Translator

ALL = "all"


def select(frame: pd.DataFrame, **codes: object) -> pd.DataFrame:
    """Rows whose columns equal the given codes (None means: the column is empty).

    Raises:
        KeyError: the table has no such column.
    """
    for column, code in codes.items():
        held = frame[column]
        frame = frame[held.isna() if code is None else held == code]
    return frame


def cell_of(row: Mapping[str, Any]) -> Cell:
    """One row of a released table as a cell; a value that is not published is dropped for good."""
    if not row["is_published"]:
        return Cell(str(row["measure"]), None, reason=str(row["reason"]))
    return Cell(
        str(row["measure"]),
        float(row["value"]),
        _number(row["lower"]),
        _number(row["upper"]),
        contributors=None if pd.isna(row["contributors"]) else int(row["contributors"]),
    )


def one(frame: pd.DataFrame, **codes: object) -> Cell:
    """The single cell of the given codes; a cell that the table does not hold is not assessed."""
    rows = select(frame, **codes).to_dict("records")
    if not rows:
        return Cell(str(codes.get("measure", "")), None, reason="not_assessed")
    return cell_of(rows[0])


def by(frame: pd.DataFrame, column: str, **codes: object) -> dict[Any, Cell]:
    """Cells by the code of one column, in the table's order."""
    return {row[column]: cell_of(row) for row in select(frame, **codes).to_dict("records")}


def periods(frame: pd.DataFrame) -> list[str]:
    """Periods of a table, newest first."""
    return sorted(frame["period"].unique(), reverse=True)


def newest(frame: pd.DataFrame, measure: str) -> str:
    """The newest period with a published figure of a measure; without any, the newest of all.

    A release may reach beyond what has been recorded: a page that opens on an empty quarter says
    nothing.
    """
    shown = frame[(frame["measure"] == measure) & frame["is_published"].astype(bool)]
    return periods(frame if shown.empty else shown)[0]


class Places:
    """Names of states and districts in one language."""

    def __init__(self, frame: pd.DataFrame, say: Translator) -> None:
        self._say = say
        self._districts: dict[int, str] = {}
        self._states: dict[int, str] = {}
        for row in frame.to_dict("records"):
            name = _text(row.get(f"district_name_{say.language}")) or _text(
                row.get("district_name")
            )
            if name:
                self._districts[int(row["district_code"])] = name
            elif not pd.isna(row["state_code"]):
                self._states[int(row["state_code"])] = _text(row.get("state_name"))

    def state(self, code: float) -> str:
        """Name of a state by its LGD code."""
        tile = TILES.get(int(code))
        return (
            tile.name(self._say.language) if tile else self._states.get(int(code), str(int(code)))
        )

    def district(self, code: float) -> str:
        """Name of a district by its LGD code; the code where no name was released."""
        return self._districts.get(int(code), str(int(code)))

    def listed(self, codes: list[int], most: int = 2) -> str:
        """'Bihar, Odisha and 2 more' for a sentence about states."""
        return self._listed([self.state(code) for code in codes], most, "words.and_more")

    def listed_districts(self, codes: list[int], most: int = 2) -> str:
        """'Araria, Kishanganj and 2 more' for a sentence about districts."""
        names = [self.district(code) for code in codes]
        return self._listed(names, most, "words.and_more_districts")

    def _listed(self, names: list[str], most: int, more: str) -> str:
        if len(names) > most + 1:
            return self._say(more, names=", ".join(names[:most]), count=len(names) - most)
        if len(names) == 1:
            return names[0]
        return self._say("words.and", first=", ".join(names[:-1]), last=names[-1])


def _number(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
