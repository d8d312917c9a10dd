"""The errors of this package. Every message says what was expected, found, where, what to do."""

from __future__ import annotations

from pathlib import Path


class ContractError(Exception):
    """A contract that cannot be used.

    Attributes:
        file: The contract's file.
        path: Where in it, for example ``schema[0].properties[3].logicalType``.
        expected: What was expected there.
        found: What was found.
    """

    def __init__(self, *, file: Path | str, path: str, expected: str, found: str) -> None:
        self.file = str(file)
        self.path = path
        self.expected = expected
        self.found = found
        super().__init__(
            f"{self.file}: {path}: expected {expected}; found {found}. Correct the contract file."
        )


class UnknownContractError(KeyError):
    """A dataset without a contract was asked for."""

    def __init__(self, name: str, known: list[str]) -> None:
        self.name = name
        super().__init__(
            f"no contract is named {name!r}; there are {len(known)}: {', '.join(known)}"
        )
