"""Names of places, in both languages, for the apps: public, and no part of any noise."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from orchestration.release.errors import SpecificationError
from orchestration.release.spec import SPECS, read_yaml

SCHEMA = pa.schema(
    [
        pa.field("level", pa.string(), nullable=False),
        pa.field("state_code", pa.int32(), nullable=False),
        pa.field("state_iso", pa.string(), nullable=False),
        pa.field("state_name", pa.string(), nullable=False),
        pa.field("state_name_hi", pa.string(), nullable=False),
        pa.field("district_code", pa.int32()),
        pa.field("district_name", pa.string()),
        pa.field("district_name_hi", pa.string()),
    ]
)

PILOT_DISTRICTS = (
    Path(__file__).resolve().parents[2] / "dbt_project/seeds/policy/pilot_districts.csv"
)


def load_places(path: Path = PILOT_DISTRICTS) -> pd.DataFrame:
    """The public key table of pilot districts, one row per district.

    Args:
        path: A CSV file with the columns of the policy seed.

    Raises:
        SpecificationError: If there is no such file.
    """
    try:
        return pd.read_csv(path)
    except OSError as error:
        raise SpecificationError(
            where=path.name,
            expected="the policy seed of pilot districts",
            found=type(error).__name__,
            what_to_do="Run from a checkout of the repository, which holds the seed.",
        ) from error


def places_table(places: pd.DataFrame) -> pa.Table:
    """Names of all states and districts of the key table.

    Args:
        places: One row per district: codes, ISO code and English names; Hindi names
            (``state_name_hi``, ``district_name_hi``) where the caller has them. Others come from
            ``specs/place_names_hi.yaml``, and at last from the English name.

    Returns:
        A row per state and per district, schema ``SCHEMA``.
    """
    rows = [_row(record) for record in places.to_dict("records")]
    states = {row["state_code"]: row for row in rows}
    empty = {"level": "state", "district_code": None, "district_name": None}
    heads = [{**row, **empty, "district_name_hi": None} for _, row in sorted(states.items())]
    return pa.Table.from_pylist([*heads, *rows], schema=SCHEMA)


def _row(record: dict[Any, Any]) -> dict[str, Any]:
    state, district = int(record["state_code"]), int(record["district_code"])
    names = _hindi_names()
    return {
        "level": "district",
        "state_code": state,
        "state_iso": str(record["state_iso"]),
        "state_name": str(record["state_name"]),
        "state_name_hi": _first(
            record.get("state_name_hi"), names["states"].get(state), record["state_name"]
        ),
        "district_code": district,
        "district_name": str(record["district_name"]),
        "district_name_hi": _first(
            record.get("district_name_hi"),
            names["districts"].get(district),
            record["district_name"],
        ),
    }


def _first(*names: object) -> str:
    return next(str(name) for name in names if isinstance(name, str) and name)


@functools.cache
def _hindi_names() -> dict[str, dict[int, str]]:
    return read_yaml(SPECS / "place_names_hi.yaml")
