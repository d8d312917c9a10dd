"""Finds Chromium for the browser tests, or installs it; prints what it did.

Order: /usr/bin/chromium, chromium on PATH, Playwright's own; else, as root on Debian, the packages
`chromium fonts-noto-core`; else `playwright install chromium`. Quick when one is present.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

DEBIAN = Path("/usr/bin/chromium")
PACKAGES = ["chromium", "fonts-noto-core"]


def find() -> str | None:
    """Path of a Chromium that can be driven, or None."""
    if DEBIAN.is_file():
        return str(DEBIAN)
    if found := shutil.which("chromium"):
        return found
    return _playwrights()


def _playwrights() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = Path(playwright.chromium.executable_path)
    return str(path) if path.is_file() else None


def install() -> str | None:
    """Install Chromium by the first way that works here; its path, or None."""
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    if is_root and shutil.which("apt-get"):
        print(f"No Chromium found: installing the Debian packages {' '.join(PACKAGES)} ...")
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for step in (["update", "-q"], ["install", "-qy", "--no-install-recommends", *PACKAGES]):
            subprocess.run(["apt-get", *step], env=quiet, check=False)
        if found := find():
            return found
    print("No Chromium found: installing Playwright's own ...")
    subprocess.run([sys.executable, "-m", "playwright", "install", "chromium"], check=False)
    return find()


def main() -> int:
    """Print where Chromium is; 0 if there is one, 1 with what to do if not."""
    if found := find():
        print(f"Chromium for the browser tests: {found}")
        return 0
    if found := install():
        print(f"Chromium installed: {found}")
        return 0
    print(
        "no Chromium: expected /usr/bin/chromium, chromium on PATH or Playwright's own\n"
        "what to do: install the package `chromium`, or run `playwright install chromium`",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
