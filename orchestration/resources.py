"""Dagster resources: the home, and dbt as a process."""

from __future__ import annotations

import dagster as dg

from orchestration.home import Home
from orchestration.lake import Lake


class HomeResource(dg.ConfigurableResource):
    """The home that a run reads and writes.

    Attributes:
        root: Its folder; empty means ``TRACIENT_HOME``, else ``./var``.
    """

    root: str = ""

    @property
    def home(self) -> Home:
        """The home, with its folders created."""
        return Home.resolve(self.root or None).create()

    @property
    def lake(self) -> Lake:
        """The home's tables."""
        return Lake(self.home)
