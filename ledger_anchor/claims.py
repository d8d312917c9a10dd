"""What a check of a log cannot prove, in words: every report says it beside what it proves.

What belongs here: these sentences, once, for the command line, reports and pages. What does not:
any check.
"""

from __future__ import annotations

_TRUTH = (
    "that the data was true when it was recorded: the log shows only that it was not changed since"
)
_TIME = "when an entry was made: times in manifests are claims until witnesses sign them"
_WITNESSED_TIME = (
    "when an entry was made, but for one thing: it was there when the witnesses signed; times in "
    "manifests are claims"
)
_SPLIT = "that nobody else is shown another log: compare the checkpoint with one kept elsewhere"
_WITNESSED_SPLIT = (
    "that the witnesses did not work together with the log: they would have to, to show somebody "
    "else another log"
)
NOT_PROVEN = (_TRUTH, _TIME, _SPLIT)


def not_proven(*, is_witnessed: bool) -> tuple[str, ...]:
    """What remains unproven, with or without cosignatures of witnesses that are trusted."""
    return (_TRUTH, _WITNESSED_TIME, _WITNESSED_SPLIT) if is_witnessed else NOT_PROVEN
