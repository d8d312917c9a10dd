"""What must hold of the repository as a whole."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = ("orchestration", "ml", "apps", "ledger_anchor", "data_contracts")


def _tracked(*patterns: str) -> list[Path]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    paths = [REPOSITORY / line for line in listed.stdout.splitlines()]
    return [path for path in paths if path.is_file()]


def _python_of_the_product() -> list[Path]:
    return [path for name in PACKAGES for path in (REPOSITORY / name).rglob("*.py")]


def test_no_file_names_a_package_registry_or_a_path_of_one_machine() -> None:
    registry = re.compile(
        "|".join(["files.python" + "hosted", "pypi" + r"\.org", "registry\\.npm" + "js"])
        + "|(index|extra-index|find-links)-?url"
        + "="
        + "|(?<![\\w./-])/("
        + "work|root|farm"
        + ")/"
    )
    found = [
        f"{path.relative_to(REPOSITORY)}:{number}"
        for path in _tracked()
        if path.suffix not in {".png", ".ico", ".parquet"}
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), start=1)
        if registry.search(line)
    ]
    assert found == []


def test_every_dependency_has_a_lower_bound() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"].values()
    requirements = [*project["dependencies"], *(row for rows in extras for row in rows)]
    assert [requirement for requirement in requirements if ">=" not in requirement] == []


def test_the_locks_pin_and_hash_everything() -> None:
    for name in ("requirements.lock", "requirements-dev.lock"):
        entries = (REPOSITORY / name).read_text().replace("\\\n", " ").splitlines()
        assert entries
        assert [entry for entry in entries if "==" not in entry or "--hash=" not in entry] == []


@pytest.mark.parametrize("path", _python_of_the_product(), ids=lambda p: str(p.name))
def test_every_module_opens_with_what_belongs_in_it(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), path


def _code_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without its docstring: words are welcome."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node) is None:
        return lines
    return lines - ((first.end_lineno or first.lineno) - first.lineno + 1)


def test_no_function_of_the_product_has_more_than_sixty_lines_of_code() -> None:
    long = [
        f"{path.relative_to(REPOSITORY)}:{node.lineno} {node.name} {_code_lines(node)}"
        for path in _python_of_the_product()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _code_lines(node) > 60
    ]
    assert long == []


def test_no_app_folder_is_called_pages_because_streamlit_serves_it_past_any_gate() -> None:
    assert list((REPOSITORY / "apps").rglob("pages")) == []


def test_nothing_pickles() -> None:
    for path in _python_of_the_product():
        assert not re.search(
            r"^\s*(import|from) (pickle|joblib|cloudpickle)", path.read_text(), re.MULTILINE
        )


def test_the_product_reads_no_third_party_file_of_the_shared_folder() -> None:
    for path in _python_of_the_product():
        assert "shared/data" not in path.read_text(), path


def test_noise_is_never_drawn_with_numpy_in_the_release_layer() -> None:
    for path in (REPOSITORY / "orchestration" / "release").rglob("*.py"):
        assert not re.search(
            r"default_rng|np\.random|numpy\.random|import random", path.read_text()
        )


def test_import_directions_hold() -> None:
    program = REPOSITORY / ".venv" / "bin" / "lint-imports"
    done = subprocess.run(
        [str(program) if program.exists() else "lint-imports"],
        cwd=REPOSITORY, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]


def test_the_readme_names_only_targets_and_pages_that_exist() -> None:
    readme = (REPOSITORY / "README.md").read_text()
    makefile = (REPOSITORY / "Makefile").read_text()
    for target in re.findall(r"`make (\w+)`", readme):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target
    for link in re.findall(r"\]\(([^)#]+)\)", readme):
        assert (REPOSITORY / link).exists(), link
