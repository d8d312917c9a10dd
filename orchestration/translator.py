"""How dbt's models and sources appear in the asset graph."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster_dbt import DagsterDbtTranslator

from orchestration.domains import DOMAINS

LAYERS = {"stg": "staging", "int": "intermediate", "fct": "mart", "dim": "mart", "rel": "release"}


class TracientTranslator(DagsterDbtTranslator):
    """One asset key a table name, the domain as group, its team as owner."""

    def get_asset_key(self, dbt_resource_props: Mapping[str, Any]) -> dg.AssetKey:
        """Return the table's own name: table names carry layer and domain already."""
        return dg.AssetKey(dbt_resource_props["name"])

    def get_description(self, dbt_resource_props: Mapping[str, Any]) -> str:
        """Return the model's own words, without the raw SQL that dagster-dbt adds."""
        return str(dbt_resource_props.get("description", ""))

    def get_group_name(self, dbt_resource_props: Mapping[str, Any]) -> str | None:
        """Return the domain; tables that every domain reads are in ``policy``."""
        domain = _domain_of(dbt_resource_props)
        return domain.name if domain else "policy"

    def get_owners(self, dbt_resource_props: Mapping[str, Any]) -> list[str]:
        """Return the domain's team."""
        domain = _domain_of(dbt_resource_props)
        return [domain.owner if domain else "team:policy"]

    def get_tags(self, dbt_resource_props: Mapping[str, Any]) -> Mapping[str, str]:
        """Return the layer that the table's name carries."""
        prefix = dbt_resource_props["name"].split("_", 1)[0]
        kind = dbt_resource_props["resource_type"]
        return {"layer": LAYERS.get(prefix, "policy" if kind == "seed" else "raw")}


def _domain_of(properties: Mapping[str, Any]) -> Any:
    return next((d for d in DOMAINS if d.dbt_tag in properties.get("tags", [])), None)
