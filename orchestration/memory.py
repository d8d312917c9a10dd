"""Peak resident memory of this process and its children, sampled while phases of a run pass."""

from __future__ import annotations

import os
import threading
from pathlib import Path

_INTERVAL_SECONDS = 0.1
_PAGE = os.sysconf("SC_PAGE_SIZE")
_MIB = 1 << 20


class PeakMemory:
    """Samples ``/proc`` in a thread; set ``phase`` to name what is going on.

    Attributes:
        phase: The current phase.
        phase_peaks_mib: Peak of each phase, MiB, over the whole process tree.
    """

    def __init__(self) -> None:
        self.phase = "start"
        self.phase_peaks_mib: dict[str, float] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> PeakMemory:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def peak_mib(self) -> float:
        """Peak over all phases, MiB."""
        return max(self.phase_peaks_mib.values(), default=0.0)

    def _sample(self) -> None:
        while not self._stop.is_set():
            resident = tree_resident_mib(os.getpid())
            known = self.phase_peaks_mib.get(self.phase, 0.0)
            self.phase_peaks_mib[self.phase] = max(known, resident)
            self._stop.wait(_INTERVAL_SECONDS)


def tree_resident_mib(root: int) -> float:
    """Return the resident memory of a process and its descendants, MiB (0 without ``/proc``)."""
    total, waiting = 0.0, [root]
    while waiting:
        process = waiting.pop()
        folder = Path(f"/proc/{process}")
        try:
            resident = int((folder / "statm").read_text().split()[1])
            children = [
                int(child)
                for task in (folder / "task").iterdir()
                for child in (task / "children").read_text().split()
            ]
        except OSError:
            continue  # It has ended meanwhile, or this system has no /proc.
        total += resident * _PAGE / _MIB
        waiting += children
    return total
