"""Findings in words that respect the interval: nothing is claimed that an end of it denies.

What belongs here: turning released numbers into phrases. A phrase is chosen from the interval and
never from the middle value: "at least" comes from the lower end, "at most" from the upper one, and
"about" only where the whole interval is close to the fraction it names.
"""

from __future__ import annotations

from dataclasses import dataclass

from apps.text.catalogue import Translator

# How close both ends must be to a simple fraction to be called "about" that fraction.
ABOUT = 0.03

_FRACTIONS = {
    "one_in_twenty": 1 / 20,
    "one_in_ten": 1 / 10,
    "one_in_eight": 1 / 8,
    "one_in_six": 1 / 6,
    "one_in_five": 1 / 5,
    "one_in_four": 1 / 4,
    "one_in_three": 1 / 3,
    "two_in_five": 2 / 5,
    "half": 1 / 2,
    "three_in_five": 3 / 5,
    "two_in_three": 2 / 3,
    "three_in_four": 3 / 4,
    "four_in_five": 4 / 5,
    "nine_in_ten": 9 / 10,
}


@dataclass(frozen=True)
class Split:
    """How many places lie clearly above a reference, clearly below it, or neither."""

    above: int
    below: int
    unclear: int
    withheld: int

    @property
    def published(self) -> int:
        """Places with a published figure."""
        return self.above + self.below + self.unclear


def fraction_phrase(lower: float, upper: float, say: Translator) -> str:
    """'about two in five', 'at least one in three', 'at most one in ten' for a share's interval."""
    near = {
        name: max(abs(lower - value), abs(upper - value))
        for name, value in _FRACTIONS.items()
        if lower - 1e-9 <= value <= upper + 1e-9
    }
    if near and min(near.values()) <= ABOUT:
        return say("findings.about", fraction=say(f"fractions.{min(near, key=near.__getitem__)}"))
    reached = [name for name, value in _FRACTIONS.items() if value <= lower]
    if reached:
        return say("findings.at_least", fraction=say(f"fractions.{reached[-1]}"))
    covering = [name for name, value in _FRACTIONS.items() if value >= upper]
    if covering:
        return say("findings.at_most", fraction=say(f"fractions.{covering[0]}"))
    return say("findings.some")


def split_by_reference(
    intervals: list[tuple[float, float] | None], low: float, high: float
) -> Split:
    """Count intervals that lie wholly above or below a reference, itself an interval.

    Args:
        intervals: one (lower, upper) a place; None where the figure is not published.
        low: lower end of the reference.
        high: upper end of the reference.
    """
    shown = [item for item in intervals if item is not None]
    above = sum(lower > high for lower, _ in shown)
    below = sum(upper < low for _, upper in shown)
    return Split(above, below, len(shown) - above - below, len(intervals) - len(shown))


def compare(first: tuple[float, float], second: tuple[float, float]) -> int:
    """1 if the first interval lies wholly above the second, -1 if wholly below, 0 if they touch."""
    if first[0] > second[1]:
        return 1
    return -1 if first[1] < second[0] else 0


def mid_sentence(text: str) -> str:
    """The text with its first letter lowered, for a common noun inside a sentence."""
    return text[:1].lower() + text[1:]


def sentence_case(text: str) -> str:
    """The text with its first letter raised; Devanagari has no capitals and is left as it is."""
    return text[:1].upper() + text[1:]
