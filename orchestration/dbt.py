"""dbt beside Dagster: where its project and artefacts are, and its manifest."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from orchestration.files import read_json, write_json
from orchestration.home import Home
from orchestration.memo import REPOSITORY, code_fingerprint

PROJECT = REPOSITORY / "dbt_project"
#: dbt of this environment: commands may run without the environment's folder on PATH.
EXECUTABLE = str(Path(sys.executable).with_name("dbt"))
_QUIET = {
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "DBT_USE_COLORS": "false",
    "DO_NOT_TRACK": "1",
}


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
    """Set dbt's variables for a time: dagster-dbt starts dbt with this process's environment."""
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
        RuntimeError: dbt cannot parse the project; the message ends with dbt's own.
    """
    manifest = target_path(home) / "manifest.json"
    stamp = target_path(home) / "parsed.json"
    current = {"project": code_fingerprint("dbt_project"), "home": str(home.root)}
    if manifest.exists() and read_json(stamp) == current:
        return manifest
    target_path(home).mkdir(parents=True, exist_ok=True)
    command = [EXECUTABLE, "--quiet", "parse"]
    folders = ["--project-dir", str(PROJECT), "--profiles-dir", str(PROJECT)]
    done = subprocess.run(
        [*command, *folders],
        env={**os.environ, **environment(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(
            "dbt_project: expected a project that dbt can parse; found:\n"
            + (done.stdout + done.stderr)[-2000:]
        )
    write_json(stamp, current)
    return manifest
