"""Tables as frozen dataclasses of equally long numpy arrays: choose rows, put tables together."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Self

import numpy as np


@dataclass(frozen=True)
class Columns:
    """Base of such tables; every field of a subclass is one array of the same length."""

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def take(self, rows: np.ndarray) -> Self:
        """Return the chosen rows in their order; ``rows`` are positions or a mask."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))

    @classmethod
    def concat(cls, tables: list[Self]) -> Self:
        """Return the tables' rows, one table after the other."""
        names = [field.name for field in fields(cls)]
        return cls(*(np.concatenate([getattr(t, name) for t in tables]) for name in names))
