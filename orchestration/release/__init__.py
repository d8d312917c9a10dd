"""Everything public goes through here: noise for people, disclosure control for firms."""

from orchestration.release.errors import (
    BudgetLedgerError,
    BudgetRefusedError,
    DisclosureError,
    InputError,
    PublishedFileError,
    ReleaseError,
    SpecificationError,
)
from orchestration.release.places import load_places
from orchestration.release.publish import ReleaseResult, publish_dp, publish_sdc
from orchestration.release.spec import Specification, load_release_spec

__all__ = [
    "BudgetLedgerError",
    "BudgetRefusedError",
    "DisclosureError",
    "InputError",
    "PublishedFileError",
    "ReleaseError",
    "ReleaseResult",
    "Specification",
    "SpecificationError",
    "load_places",
    "load_release_spec",
    "publish_dp",
    "publish_sdc",
]
