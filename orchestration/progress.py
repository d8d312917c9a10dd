"""Progress of a run for a person at a terminal, fed by Dagster's own step events."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

StepListener = Callable[[str, str], None]
_listeners: list[StepListener] = []


@dataclass
class StepClock:
    """Wall-clock seconds of each step, in order of start.

    Attributes:
        on_change: Called with (step, state) at every start and end, if given.
        seconds: Seconds by step.
    """

    on_change: StepListener | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    _started: dict[str, float] = field(default_factory=dict)

    def __call__(self, step: str, state: str) -> None:
        """Record one step event."""
        if state == "start":
            self._started[step] = time.monotonic()
        elif step in self._started:
            self.seconds[step] = time.monotonic() - self._started.pop(step)
        if self.on_change:
            self.on_change(step, state)

    def __enter__(self) -> StepClock:
        _listeners.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        _listeners.remove(self)


_STATES = {"STEP_START": "start", "STEP_SUCCESS": "done", "STEP_FAILURE": "failed"}


class _StepHandler(logging.Handler):
    """Passes Dagster's step events on to whoever listens in this process."""

    def emit(self, record: logging.LogRecord) -> None:
        meta: Any = getattr(record, "dagster_meta", None)
        event = getattr(meta, "dagster_event", None) or (
            meta.get("dagster_event") if isinstance(meta, dict) else None
        )
        if event is None:
            return
        state = _STATES.get(event.event_type_value)
        if state and event.step_key:
            for listener in _listeners:
                listener(event.step_key, state)


@dg.logger(description="Step starts and ends, for the progress line of the command.")
def progress_logger(_: dg.InitLoggerContext) -> logging.Logger:
    """Return a logger that feeds the listeners of this process."""
    logger = logging.Logger("tracient.progress", level=logging.DEBUG)
    logger.addHandler(_StepHandler())
    return logger
