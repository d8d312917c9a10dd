"""The contracts of the project's tables, by name."""

from __future__ import annotations

from functools import lru_cache

import pyarrow as pa

from data_contracts import Contract, arrow_schema, load_contracts
from orchestration.domains import REPOSITORY, Domain

CURATED_LAYERS = ("fct", "dim", "rel")


@lru_cache(maxsize=1)
def contracts() -> dict[str, Contract]:
    """Return every contract below ``data_contracts/``, by table name."""
    return dict(load_contracts(REPOSITORY / "data_contracts"))


def contract_of(table: str) -> Contract:
    """Return the contract of a table.

    Raises:
        LookupError: The table has no contract; the message names the file that is missing.
    """
    try:
        return contracts()[table]
    except KeyError:
        raise LookupError(
            f"{table}: expected a contract data_contracts/*/{table}.odcs.yaml; found none. "
            "Every table has a contract: write it before the table."
        ) from None


def arrow_schema_of(table: str) -> pa.Schema:
    """Return the Arrow schema that a table's contract promises."""
    return arrow_schema(contract_of(table))


def curated_tables(domain: Domain) -> list[str]:
    """Return the names of a domain's curated tables: those that have a contract."""
    wanted = tuple(f"{layer}_{domain.name}__" for layer in CURATED_LAYERS)
    return sorted(name for name in contracts() if name.startswith(wanted))


def feed_tables() -> list[str]:
    """Return the names of the raw tables that are delivered as CSV feeds."""
    ledgers = ("raw_fabric__", "raw_eledger__", "raw_epcis__")
    return sorted(
        name for name in contracts() if name.startswith("raw_") and not name.startswith(ledgers)
    )
