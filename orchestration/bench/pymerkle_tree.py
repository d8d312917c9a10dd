"""The same tree built with pymerkle (GPL): ``make bench`` runs it in an environment of its own."""

from __future__ import annotations

import hashlib
import json
import sys
import time

from pymerkle import InmemoryTree

entries = [hashlib.sha256(str(number).encode()).digest() for number in range(int(sys.argv[1]))]
started = time.perf_counter()
tree = InmemoryTree(algorithm="sha256")
tree.append_entries(entries)
root = tree.get_state()
seconds = time.perf_counter() - started
sys.stdout.write(json.dumps({"seconds": seconds, "root": root.hex()}) + "\n")
