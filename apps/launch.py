"""Start the dashboards: `python -m apps.launch --home DIR --port N`.

What belongs here: the command line of the server and nothing of its pages. The server listens on
the loopback address, sends nothing to anybody and shows no stack trace to a reader.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from apps.data import HOME_VARIABLE

APP = Path(__file__).with_name("streamlit_app.py")
DEFAULT_PORT = 8501

# Flags, not a config.toml: a config file is looked up in the working directory, which is whatever
# the user happens to stand in.
_FLAGS = {
    "server.headless": "true",
    "server.fileWatcherType": "none",
    "server.runOnSave": "false",
    "browser.gatherUsageStats": "false",
    "client.toolbarMode": "minimal",
    "client.showErrorDetails": "none",
    "client.showErrorLinks": "false",
    "theme.base": "light",
    "theme.primaryColor": "#0b5c73",
    "theme.backgroundColor": "#fbfaf7",
    "theme.secondaryBackgroundColor": "#f1efe9",
    "theme.textColor": "#1a2228",
    "theme.linkColor": "#0b5c73",
    "theme.borderColor": "#8a929a",
    "theme.baseRadius": "6px",
    "theme.font": '"Noto Sans", "Noto Sans Devanagari", "Nirmala UI", "Kohinoor Devanagari", '
    "Mangal, system-ui, sans-serif",
}


def command(port: int, address: str = "127.0.0.1") -> list[str]:
    """The command that serves the dashboards on one port of one address."""
    flags = {"server.port": str(port), "server.address": address, **_FLAGS}
    options = [f"--{name}={value}" for name, value in flags.items()]
    return [sys.executable, "-m", "streamlit", "run", str(APP), *options]


def environment(home: Path) -> dict[str, str]:
    """This process's environment with the home that the pages read from."""
    return {**os.environ, HOME_VARIABLE: str(home.absolute())}


def main(argv: Sequence[str] | None = None) -> int:
    """Become the server; returns 2, with a clear message, for a home that does not exist."""
    parser = argparse.ArgumentParser(prog="python -m apps.launch", description=main.__doc__)
    default = Path(os.environ.get(HOME_VARIABLE) or "var")
    parser.add_argument("--home", type=Path, default=default, help="the home to show")
    parser.add_argument("--port", type=int, default=DEFAULT_PORT, help="port to listen on")
    parser.add_argument("--address", default="127.0.0.1", help="address to listen on")
    options = parser.parse_args(argv)
    if not options.home.is_dir():
        print(
            f"no such home: {options.home}\n"
            "expected: a folder that `tracient run` has filled\n"
            "what to do: run `make run`, or name an existing home with --home DIR",
            file=sys.stderr,
        )
        return 2
    print(f"Dashboards on http://{options.address}:{options.port} (Ctrl+C stops them)", flush=True)
    server = command(options.port, options.address)
    # Becomes the server, so that a signal reaches it and nothing stays behind.
    os.execve(server[0], server, environment(options.home))  # noqa: S606 - a list, no shell
    return 0


if __name__ == "__main__":
    sys.exit(main())
