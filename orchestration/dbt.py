"""dbt beside Dagster: its project, its manifest, and builds in this process.

A build in this process costs under a second over the SQL itself; as a process of its own it pays
seconds for imports and parsing, three times a run (shared/design/stack.md has the measurement).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestration.files import read_json, write_json
from orchestration.home import Home
from orchestration.memo import REPOSITORY, code_fingerprint

PROJECT = REPOSITORY / "dbt_project"
_QUIET = {
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "DBT_USE_COLORS": "false",
    "DO_NOT_TRACK": "1",
}
#: Manifests that this process parsed, by home: a build that is handed one need not parse again.
_parsed: dict[Path, Any] = {}


class DbtError(RuntimeError):
    """dbt could not parse or build; the message holds dbt's own words."""


@dataclass(frozen=True)
class NodeResult:
    """What dbt did with one node.

    Attributes:
        name: The model's, seed's or test's name.
        resource_type: ``model``, ``seed`` or ``test``.
        status: dbt's word: success, pass, warn, fail, error or skipped.
        seconds: Time it took.
        failures: Rows that a test found, or None.
        message: dbt's own words.
    """

    name: str
    resource_type: str
    status: str
    seconds: float
    failures: int | None
    message: str

    @property
    def is_broken(self) -> bool:
        """Whether the node failed, or could not be run."""
        return self.status in {"fail", "error", "runtime error"}


def target_path(home: Home) -> Path:
    """Return the folder of dbt's artefacts for a home."""
    return home.warehouse / "dbt"


def environment(home: Home) -> Mapping[str, str]:
    """Return the variables under which dbt reads this home and writes nothing elsewhere."""
    return {
        "TRACIENT_HOME": str(home.root),
        "DBT_TARGET_PATH": str(target_path(home)),
        "DBT_LOG_PATH": str(target_path(home) / "logs"),
        **_QUIET,
    }


@contextmanager
def dbt_environment(home: Home) -> Iterator[None]:
    """Set dbt's variables for a time."""
    before = dict(os.environ)
    os.environ.update(environment(home))
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def prepare_manifest(home: Home) -> Path:
    """Return dbt's manifest for a home, parsing the project where it has changed.

    Raises:
        DbtError: dbt cannot parse the project.
    """
    manifest = target_path(home) / "manifest.json"
    stamp = target_path(home) / "parsed.json"
    current = {"project": code_fingerprint("dbt_project"), "home": str(home.root)}
    if manifest.exists() and read_json(stamp) == current:
        return manifest
    target_path(home).mkdir(parents=True, exist_ok=True)
    _parsed[home.root] = _invoke(home, ["parse"])
    write_json(stamp, current)
    return manifest


def build(home: Home, select: str, tests: str, *, erased: Path | None = None) -> list[NodeResult]:
    """Build what a selection names, with its data tests.

    Args:
        home: The home whose warehouse is written.
        select: dbt's selection.
        tests: dbt's indirect selection of tests.
        erased: Parquet file of the people whose ledger records are left out, if there are any.

    Returns:
        One result a node, also where some failed.

    Raises:
        DbtError: dbt could not start the build.
    """
    # Unit tests judge the SQL, not the data: the test suite runs them.
    arguments = ["build", "--select", *select.split(), "--indirect-selection", tests]
    arguments += ["--exclude-resource-type", "unit_test"]
    if home.root not in _parsed:
        _parsed[home.root] = _invoke(home, ["parse"])
    result = _invoke(home, arguments, _parsed[home.root], erased)
    return [
        NodeResult(
            name=row.node.name,
            resource_type=str(row.node.resource_type),
            status=str(row.status),
            seconds=row.execution_time,
            failures=row.failures,
            message=str(row.message or ""),
        )
        for row in result.results
    ]


def _invoke(
    home: Home, arguments: Sequence[str], manifest: Any = None, erased: Path | None = None
) -> Any:
    # Imported here: dbt takes a second to import, which a recalled run need not pay.
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager  # noqa: PLC0415
    from dbt.cli.main import dbtRunner  # noqa: PLC0415

    folders = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)]
    with dbt_environment(home):
        os.environ["TRACIENT_ERASED_PEOPLE"] = str(erased or "")
        try:
            done = dbtRunner(manifest=manifest).invoke(["--quiet", *arguments, *folders])
        finally:
            # dbt keeps the warehouse open otherwise, and nobody else could read it.
            DuckDBConnectionManager.close_all_connections()
    if done.exception is not None or done.result is None:
        raise DbtError(
            f"dbt {arguments[0]}: expected a project that dbt can {arguments[0]}; found: "
            f"{done.exception or 'no result'}. The log is in {target_path(home) / 'logs'}."
        )
    return done.result


def describe_broken(results: Sequence[NodeResult]) -> str:
    """Return what failed in words, first failures first."""
    broken = [result for result in results if result.is_broken]
    lines = [f"{row.resource_type} {row.name}: {row.message.strip()}" for row in broken[:5]]
    more = f" … and {len(broken) - 5} more" if len(broken) > 5 else ""
    return "; ".join(lines) + more
