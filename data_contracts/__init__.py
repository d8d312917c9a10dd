"""Data contracts: the source of truth for every table.

Contracts are Open Data Contract Standard (ODCS v3) files in ``fabric/``, ``wages/`` and
``pharma/``. This package loads them and derives what others need: Arrow schemas, Great Expectations
suites, masks of bad rows, a compatibility check, and a comparison with dbt's columns. It knows
nothing of storage, Dagster or the models. Heavy libraries are imported where they are used.
"""

from data_contracts.arrow import arrow_fields, arrow_schema
from data_contracts.contract import Column, Contract, Rule
from data_contracts.errors import ContractError, UnknownContractError
from data_contracts.loading import CONTRACTS_FOLDER, load_contract, load_contracts, parse_contract

__all__ = [
    "CONTRACTS_FOLDER",
    "Column",
    "Contract",
    "ContractError",
    "Rule",
    "UnknownContractError",
    "arrow_fields",
    "arrow_schema",
    "load_contract",
    "load_contracts",
    "parse_contract",
]
