"""``python -m ledger_anchor.witness FOLDER``: a witness that ends with whoever started it.

What belongs here: starting a witness on a loopback port from another program (the demo, tests). It
prints its address as one line and runs until its standard input is closed, so that none outlives a
parent that was killed. What does not: the operator's command, ``ledger-anchor witness run``.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path

from ledger_anchor.errors import AnchorError
from ledger_anchor.witness.server import serve_witness


def _stop_with_parent() -> None:
    # Not sys.stdin: a thread that waits in a buffered reader breaks the end of the interpreter.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _announce(url: str) -> None:
    sys.stdout.write(url + "\n")
    sys.stdout.flush()


def main() -> int:
    """Serve the witness of the folder that is named first on the command line."""
    threading.Thread(target=_stop_with_parent, daemon=True).start()
    try:
        serve_witness(Path(sys.argv[1]), announce=_announce)
    except AnchorError as error:
        sys.stderr.write(f"witness: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
