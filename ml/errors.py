"""What can go wrong in ``ml``, told apart by who has to act.

Messages say what was expected, what was found, where, and what to do. They name columns and
counts, never a value of a row: rows are people.
"""

from __future__ import annotations


class ModelError(Exception):
    """Anything this package refuses to do."""


class SpecError(ModelError):
    """The model specification (or the thresholds file) is wrong: its author has to act."""


class DataError(ModelError):
    """The table does not hold what the specification asks for: the table's owner has to act."""


class LeakageError(DataError):
    """The same worker, household, employer or district stands on both sides of a split."""
