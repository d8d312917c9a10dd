"""What a contract means to the platform: columns, keys, and rules with a severity.

Rules stated by a column's own fields (``required``, ``unique``, limits, the primary key) are
blocking; rules under ``quality`` state their severity.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Severity = Literal["blocking", "warning"]
RuleKind = Literal[
    "required",
    "unique",
    "pattern",
    "length",
    "range",
    "valid_values",
    "row_count",
    "column_order",
    "no_identity_number",
]


@dataclass(frozen=True)
class Rule:
    """One rule of a contract.

    Attributes:
        rule_id: Stable id, ``<table>.<column>.<kind>`` or ``<table>.<id given in the contract>``.
        kind: Which check it is.
        columns: The columns it reads; none for a rule about the table as a whole.
        severity: ``blocking`` rules stop a materialisation, ``warning`` rules only show.
        arguments: The parameters of its kind.
        description: The rule in words.
    """

    rule_id: str
    kind: RuleKind
    columns: tuple[str, ...]
    severity: Severity
    arguments: Mapping[str, Any] = field(default_factory=dict)
    description: str = ""

    @property
    def column(self) -> str | None:
        """The column the rule is about, or None when it is about several or the table."""
        return self.columns[0] if len(self.columns) == 1 else None


@dataclass(frozen=True)
class Column:
    """One column of a contract; types are DuckDB's names."""

    name: str
    logical_type: str
    physical_type: str
    description: str
    classification: str
    is_required: bool
    is_unique: bool
    key_position: int | None
    rules: tuple[Rule, ...] = ()


@dataclass(frozen=True)
class Contract:
    """One table's contract.

    Attributes:
        id: The contract's own id, a URN.
        name: The dataset's name, for example ``raw_wages__death_register``.
        version: Semantic version.
        domain: ``fabric``, ``wages`` or ``pharma``.
        owner: The team that answers for the table.
        description: What the table is for.
        limitations: What it cannot say.
        columns: The columns, in order.
        table_rules: Rules about several columns or the whole table, the key's among them.
        subject_column: The column that names the person a row is about, if there is one.
        path: The file the contract was read from.
    """

    id: str
    name: str
    version: str
    domain: str
    status: str
    owner: str
    description: str
    limitations: str
    columns: tuple[Column, ...]
    table_rules: tuple[Rule, ...]
    subject_column: str | None
    path: Path

    @property
    def unique_key(self) -> tuple[str, ...]:
        """The columns that name a row, in the order the contract gives."""
        keyed = [column for column in self.columns if column.key_position is not None]
        return tuple(column.name for column in sorted(keyed, key=lambda c: c.key_position or 0))

    @property
    def column_names(self) -> tuple[str, ...]:
        """The names of all columns, in order."""
        return tuple(column.name for column in self.columns)

    @property
    def rules(self) -> Iterator[Rule]:
        """All rules: the columns' own, in column order, then the table's."""
        for column in self.columns:
            yield from column.rules
        yield from self.table_rules

    def column(self, name: str) -> Column:
        """Return one column.

        Raises:
            KeyError: The contract has no such column.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.name} has no column {name!r}; it has {', '.join(self.column_names)}")
