"""One server and one Chromium for all browser tests; homes of every state, made once."""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from apps.launch import command, environment

HERE = Path(__file__).parent


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"tracient_tests_{name}", HERE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def maker() -> ModuleType:
    """The generator of synthetic homes."""
    return _module("make_home")


@pytest.fixture(scope="session")
def published(maker: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole synthetic home. Read it; copy it before changing anything."""
    return Path(maker.make_home(tmp_path_factory.mktemp("published") / "home"))


@pytest.fixture
def copied(published: Path, tmp_path: Path) -> Path:
    """A copy of the synthetic home that a test may damage."""
    return Path(shutil.copytree(published, tmp_path / "copied"))


@pytest.fixture(scope="session")
def spent(maker: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose release is years old and whose privacy budget is spent."""
    home = tmp_path_factory.mktemp("spent") / "home"
    old = datetime(2020, 1, 10, tzinfo=UTC)
    return Path(maker.make_home(home, created_at=old, is_budget_spent=True))


@pytest.fixture(scope="session")
def served(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A running server: `.url`, and `.show(home)` points it at another home."""
    link = tmp_path_factory.mktemp("served") / "home"
    link.symlink_to(published)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        command(port), env=environment(link), stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        _wait(f"http://127.0.0.1:{port}/_stcore/health")
        yield Server(f"http://127.0.0.1:{port}", link, published)
    finally:
        process.terminate()
        process.wait(timeout=20)


class Server:
    """Where the pages are, and which home they read."""

    def __init__(self, url: str, link: Path, published: Path) -> None:
        self.url, self._link, self._published = url, link, published

    def show(self, home: Path | None = None) -> None:
        """Point the server at a home; without one, at the whole synthetic one."""
        self._link.unlink()
        self._link.symlink_to(home or self._published)


def _wait(url: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own loopback address
                return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(f"the dashboard server did not answer on {url}")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A headless Chromium with one context, so that its cache serves every page."""
    from playwright.sync_api import sync_playwright

    path = _module("ensure_chromium").find()
    if path is None:
        pytest.fail("no Chromium: run python tests/browser/ensure_chromium.py")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser.new_context(accept_downloads=True)
        browser.close()


@pytest.fixture
def visit(chromium: Any, served: Server) -> Iterator[Callable[..., Any]]:
    """Opens a view and waits for it: `visit("wages", lang="hi", width=390)` -> page."""
    pages = []
    hosts: set[str] = set()

    def open_view(
        view: str = "", query: str = "", *, width: int = 1280, settled: bool = True
    ) -> Any:
        page = chromium.new_page()
        pages.append(page)
        page.set_viewport_size({"width": width, "height": 900 if width > 600 else 844})
        page.on("request", lambda request: hosts.add(request.url))
        page.goto(f"{served.url}/{view}{query}")
        if settled:
            settle(page)
        return page

    served.show()
    yield open_view
    for page in pages:
        page.close()
    inside = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:")
    strangers = {url for url in hosts if not url.startswith(inside)}
    assert not strangers, f"requests left the machine: {strangers}"


def settle(page: Any) -> None:
    """Wait until the script has run and its frame stands."""
    page.wait_for_selector(".masthead h1")
    page.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")


@pytest.fixture(name="settle")
def settle_fixture() -> Callable[[Any], None]:
    """The waiting function, for tests that act on a page."""
    return settle


@pytest.fixture
def shot(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Any], Path]:
    """Saves a screenshot under TRACIENT_SHOTS (else the test's own folder)."""
    folder = Path(os.environ.get("TRACIENT_SHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)

    def take(page: Any, name: str = "") -> Path:
        test = request.node.name.replace("[", "-").replace("]", "").replace("/", "-")
        path = folder / f"{name or test}.png"
        page.screenshot(path=str(path))
        return path

    return take
