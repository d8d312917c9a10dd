"""Build ``ledger-anchor.pyz``: this package as one file that any Python from 3.11 runs.

What belongs here: what goes into the archive. What does not: anything the archive runs. Two builds
of the same sources give the same bytes, so that an auditor can compare checksums. Checking needs
nothing but the standard library; signing needs ``cryptography``, tables need ``pyarrow``, and the
archive says so when they are missing.
"""

from __future__ import annotations

import argparse
import io
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

from ledger_anchor.files import write_atomic

_SUFFIXES = {".py", ".html", ".json", ".sol"}
_MOMENT = (1980, 1, 1, 0, 0, 0)  # the first a zip file can hold; the same in every build
_MAIN = "import sys\n\nfrom ledger_anchor.cli import main\n\nsys.exit(main())\n"
_SHEBANG = b"#!/usr/bin/env python3\n"


def archive() -> bytes:
    """The zipapp's bytes: every source file of the package, and a start."""
    package = Path(__file__).parent
    stream = io.BytesIO()
    stream.write(_SHEBANG)
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        _put(made, "__main__.py", _MAIN.encode())
        for path in sorted(package.rglob("*")):
            if path.suffix in _SUFFIXES and path.is_file() and "build" not in path.parts:
                name = (Path(package.name) / path.relative_to(package)).as_posix()
                _put(made, name, path.read_bytes())
    return stream.getvalue()


def _put(made: zipfile.ZipFile, name: str, data: bytes) -> None:
    item = zipfile.ZipInfo(name, _MOMENT)
    item.compress_type = zipfile.ZIP_DEFLATED
    item.external_attr = 0o644 << 16
    made.writestr(item, data)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the archive to the file that is named; executable."""
    parser = argparse.ArgumentParser(description="Build the standalone ledger-anchor.")
    parser.add_argument("out", type=Path, metavar="FILE")
    target: Path = parser.parse_args(arguments).out
    write_atomic(target, archive(), 0o755)
    sys.stdout.write(f"wrote {target}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
