"""A contract's columns as Arrow types, for readers that build tables from text.

pyarrow is imported when a function is called: loading contracts must stay light.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from data_contracts.contract import Contract

if TYPE_CHECKING:
    import pyarrow as pa


def arrow_type(physical_type: str) -> pa.DataType:
    """Return the Arrow type of a physical type, for example ``TIMESTAMP WITH TIME ZONE``.

    Raises:
        KeyError: The physical type is none of the contract language.
    """
    import pyarrow as pa  # noqa: PLC0415 - see the module's opening

    decimal = re.fullmatch(r"DECIMAL\((\d+),(\d+)\)", physical_type)
    if decimal:
        return pa.decimal128(int(decimal[1]), int(decimal[2]))
    return {
        "VARCHAR": pa.string(),
        "BIGINT": pa.int64(),
        "INTEGER": pa.int32(),
        "DOUBLE": pa.float64(),
        "BOOLEAN": pa.bool_(),
        "DATE": pa.date32(),
        "TIMESTAMP WITH TIME ZONE": pa.timestamp("us", tz="UTC"),
        "BLOB": pa.binary(),
    }[physical_type]


def arrow_fields(contract: Contract) -> dict[str, tuple[pa.DataType, bool]]:
    """Return, for each column in order, its Arrow type and whether it may be null."""
    return {
        column.name: (arrow_type(column.physical_type), not column.is_required)
        for column in contract.columns
    }


def arrow_schema(contract: Contract) -> pa.Schema:
    """Return the contract's columns as an Arrow schema, in order, with nullability."""
    import pyarrow as pa  # noqa: PLC0415 - see the module's opening

    return pa.schema(
        [
            pa.field(name, kind, nullable)
            for name, (kind, nullable) in arrow_fields(contract).items()
        ]
    )
