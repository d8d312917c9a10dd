"""Contracts against dbt: every curated table's columns in dbt are those of its contract.

Works on dbt's artefacts as parsed JSON; dbt itself is not imported.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from data_contracts.contract import Contract

CURATED_PREFIXES = ("fct_", "dim_", "rel_")


def compare_with_dbt(
    contracts: Mapping[str, Contract],
    artefact: Mapping[str, Any],
    domains: Collection[str] | None = None,
) -> list[str]:
    """Compare the contracts of curated tables with dbt's models.

    Args:
        contracts: Contracts by dataset name.
        artefact: ``manifest.json`` (types as declared in YAML) or ``catalog.json`` (types as built
            in the warehouse), parsed.
        domains: Compare only these domains; all by default.

    Returns:
        One sentence for each difference; empty when all agree.
    """
    is_manifest = "child_map" in artefact or "macros" in artefact
    models = dict(_curated_models(artefact, is_manifest))
    curated = {
        name: contract
        for name, contract in contracts.items()
        if name.startswith(CURATED_PREFIXES) and (domains is None or contract.domain in domains)
    }
    if domains is not None:
        models = {name: node for name, node in models.items() if _domain_of(name) in domains}
    problems = [
        f"{name}: has a contract but no dbt model" for name in sorted(set(curated) - set(models))
    ]
    for name in sorted(models):
        if name not in curated:
            problems.append(f"{name}: is a dbt model without a contract")
            continue
        problems += _compare_columns(curated[name], models[name])
        if is_manifest:
            problems += _compare_meta(curated[name], models[name])
    return problems


def _curated_models(
    artefact: Mapping[str, Any], is_manifest: bool
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for unique_id, node in artefact["nodes"].items():
        name = unique_id.split(".")[-1]
        if unique_id.startswith("model.") and name.startswith(CURATED_PREFIXES):
            columns = node["columns"].items()
            kind = "data_type" if is_manifest else "type"
            yield name, {**node, "types": {key: column.get(kind) for key, column in columns}}


def _domain_of(name: str) -> str:
    return name.split("__", maxsplit=1)[0].split("_", maxsplit=1)[1]


def _compare_columns(contract: Contract, node: Mapping[str, Any]) -> Iterator[str]:
    types: Mapping[str, str | None] = node["types"]
    expected, found = list(contract.column_names), list(types)
    if missing := [name for name in expected if name not in types]:
        yield f"{contract.name}: dbt lacks {', '.join(missing)}, which the contract has"
    if unknown := [name for name in found if name not in expected]:
        yield f"{contract.name}: dbt has {', '.join(unknown)}, which the contract lacks"
    if not missing and not unknown and expected != found:
        yield f"{contract.name}: columns are in another order: expected {expected}, found {found}"
    for column in contract.columns:
        kind = types.get(column.name)
        if column.name in types and (kind or "").upper() != column.physical_type:
            yield (
                f"{contract.name}.{column.name}: the contract says {column.physical_type}, "
                f"dbt says {kind or 'nothing'}"
            )


def _compare_meta(contract: Contract, node: Mapping[str, Any]) -> Iterator[str]:
    named = node.get("config", {}).get("meta", {}).get("contract")
    if named != contract.name:
        yield f"{contract.name}: meta.contract must name the contract; found {named!r}"
    for name, column in node["columns"].items():
        if not column.get("description"):
            yield f"{contract.name}.{name}: has no description in dbt"
