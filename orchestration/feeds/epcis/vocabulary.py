"""The Core Business Vocabulary's spellings: which terms are the same term.

Whether a term is allowed at all is the schema's business (``schema/event.json``); this module
only brings the allowed spellings of one term together.
"""

from __future__ import annotations

# specs/epcis_export.md, section 1: the bare name, the URN of EPCIS 1.x and the web vocabulary
# of EPCIS 2.0; ``cbv:`` is the prefix that the standard JSON-LD context gives the latter.
BIZ_STEP_PREFIXES = (
    "urn:epcglobal:cbv:bizstep:",
    "https://ref.gs1.org/cbv/BizStep-",
    "cbv:BizStep-",
)
DISPOSITION_PREFIXES = (
    "urn:epcglobal:cbv:disp:",
    "https://ref.gs1.org/cbv/Disp-",
    "cbv:Disp-",
)


def biz_step(term: str | None) -> str | None:
    """Return the short CBV name of a business step, or the term itself if it is a user's own."""
    return _short(term, BIZ_STEP_PREFIXES)


def disposition(term: str | None) -> str | None:
    """Return the short CBV name of a disposition, or the term itself if it is a user's own."""
    return _short(term, DISPOSITION_PREFIXES)


def _short(term: str | None, prefixes: tuple[str, ...]) -> str | None:
    if term is None:
        return None
    for prefix in prefixes:
        if term.startswith(prefix):
            return term[len(prefix) :]
    return term
