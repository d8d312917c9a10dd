"""The asset graph as the Dagster UI shows it."""

from __future__ import annotations

import json
import subprocess
import sys

import dagster as dg
import pytest

from orchestration.build import build_defs
from orchestration.checks import ADVISORY, BLOCKING
from orchestration.home import Home
from orchestration.instance import PROCESS_TAG, close_dead_runs, open_instance


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> tuple[dg.Definitions, Home]:
    home = Home(tmp_path_factory.mktemp("definitions") / "home")
    return build_defs(home), home


def _specs(definitions: dg.Definitions) -> list[dg.AssetSpec]:
    return [spec for spec in definitions.resolve_all_asset_specs() if spec.group_name != "default"]


def test_every_asset_has_a_group_an_owner_a_description_and_a_kind(definitions) -> None:
    specs = _specs(definitions[0])
    assert len(specs) > 60
    for spec in specs:
        name = spec.key.to_user_string()
        assert spec.group_name in {"wages", "pharma", "policy"}, name
        assert spec.owners, name
        assert spec.description, name
        assert spec.kinds, name


def test_every_contracted_table_has_a_blocking_and_an_advisory_check(definitions) -> None:
    from orchestration.catalog import contracts

    graph = definitions[0].resolve_asset_graph()
    found = {(key.asset_key.to_user_string(), key.name) for key in graph.asset_check_keys}
    # The evaluation table is written by the model's own asset and anchored with it.
    tables = [name for name in contracts() if not name.startswith("ml_")]
    for table in tables:
        assert (table, BLOCKING) in found
        assert (table, ADVISORY) in found


def test_every_data_test_of_dbt_is_an_asset_check_under_its_own_name(definitions) -> None:
    defs, home = definitions
    manifest = json.loads((home.warehouse / "dbt" / "manifest.json").read_text())
    tests = [node for node in manifest["nodes"].values() if node["resource_type"] == "test"]
    names = [node["name"] for node in tests]
    assert len(names) == len(set(names)), "colliding names silently drop checks"
    graph = defs.resolve_asset_graph()
    checks = {key.name for key in graph.asset_check_keys}
    # A singular test over several tables belongs to no one of them and stays dbt's own.
    attached = {node["name"] for node in tests if node.get("attached_node")}
    assert attached - checks == set()


def test_what_writes_the_warehouse_shares_one_pool(definitions) -> None:
    pools = {
        assets.op.name: assets.op.pool
        for assets in definitions[0].resolve_asset_graph().assets_defs
        if assets.is_executable and assets.op.name.startswith("dbt_")
    }
    assert set(pools.values()) == {"warehouse"}
    assert set(pools) == {"dbt_policy", "dbt_wages", "dbt_pharma"}


def test_the_main_job_and_the_ingest_job_are_there(definitions) -> None:
    assert {job.name for job in definitions[0].resolve_all_job_defs()} >= {"tracient", "ingest"}


def test_nothing_is_released_before_it_is_anchored(definitions) -> None:
    graph = definitions[0].resolve_asset_graph()
    for domain in ("wages", "pharma"):
        parents = {
            key.to_user_string() for key in graph.get(dg.AssetKey(f"release_{domain}")).parent_keys
        }
        assert {f"anchor_{domain}_curated", f"anchor_{domain}_model"} <= parents


def test_a_run_whose_process_died_is_closed_and_others_are_left_alone(home) -> None:
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"],
                          capture_output=True, text=True, check=True).stdout.strip()  # fmt: skip

    @dg.op
    def nothing() -> None: ...

    @dg.job
    def job() -> None:
        nothing()

    with open_instance(Home(home).create()) as instance:
        runs = [
            instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags=tags)
            for tags in ({PROCESS_TAG: dead}, {PROCESS_TAG: "1"}, {})
        ]
        assert close_dead_runs(instance) == [runs[0].run_id]
        states = [instance.get_run_by_id(run.run_id).status for run in runs]
    assert states == [
        dg.DagsterRunStatus.FAILURE,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.STARTED,
    ]
