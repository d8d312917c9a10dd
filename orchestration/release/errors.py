"""What can go wrong in the release layer: one family of errors, each with the four things to say.

Messages name files, columns and caps, never a person, a firm or a value of a row.
"""

from __future__ import annotations


class ReleaseError(Exception):
    """A release that was refused or could not be made.

    Args:
        where: File, table, column or ledger line.
        expected: What the rule asks for.
        found: What was there instead.
        what_to_do: The next step for the reader of the message.
    """

    def __init__(self, *, where: str, expected: str, found: str, what_to_do: str) -> None:
        self.where = where
        self.expected = expected
        self.found = found
        self.what_to_do = what_to_do
        super().__init__(f"{where}: expected {expected}; found {found}. {what_to_do}")


class SpecificationError(ReleaseError):
    """A release specification or the safety numbers do not hold together."""


class InputError(ReleaseError):
    """A frame that was handed in cannot be released from."""


class BudgetRefusedError(ReleaseError):
    """A cap of the privacy budget would be passed. Nothing was drawn and nothing changed."""


class BudgetLedgerError(ReleaseError):
    """The budget ledger does not replay: it was altered, cut or badly copied."""


class DisclosureError(ReleaseError):
    """A table for which no safe suppression was found. Nothing was published."""


class PublishedFileError(ReleaseError):
    """A released file is not what its manifest or the budget ledger says."""
