"""How numbers, money, shares and periods are written in both languages.

What belongs here: pure formatting. Lakh and crore grouping in both languages, European digits in
both (as Indian government tables print them), the rupee sign before the number.
"""

from __future__ import annotations

import math
from datetime import date, datetime

_MONTHS = {
    "en": ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"],
    "hi": [
        "जनवरी",
        "फ़रवरी",
        "मार्च",
        "अप्रैल",
        "मई",
        "जून",
        "जुलाई",
        "अगस्त",
        "सितंबर",
        "अक्टूबर",
        "नवंबर",
        "दिसंबर",
    ],
}


def grouped(value: float) -> str:
    """A whole number with lakh and crore grouping: 1234567 -> '12,34,567'."""
    number = round(value)
    digits = str(abs(number))
    head, tail = digits[:-3], digits[-3:]
    groups = [tail]
    while head:
        groups.insert(0, head[-2:])
        head = head[:-2]
    return ("−" if number < 0 else "") + ",".join(groups)


def rupees(paise: float) -> str:
    """Paise as whole rupees with the sign before: 41250 -> '₹412' (half to even)."""
    return f"₹{grouped(paise / 100)}"


def percent(share: float, decimals: int = 0) -> str:
    """A share of one as a percentage: 0.427 -> '43%'."""
    return f"{share * 100:.{decimals}f}%"


def decimals_for(measure: str, lower: float | None, upper: float | None) -> int:
    """One decimal for a share whose interval is narrower than one point, else none."""
    if not measure.endswith("_share") or lower is None or upper is None:
        return 0
    return int(0 < upper - lower < 0.01)


def value_text(
    measure: str, value: float, lower: float | None = None, upper: float | None = None
) -> str:
    """One value of a measure, its unit taken from the measure's name.

    A share gets one decimal only where its interval earns it (narrower than one point).
    """
    if measure.endswith("_paise"):
        return rupees(value)
    if measure.endswith("_share"):
        return percent(value, decimals_for(measure, lower, upper))
    return grouped(value)


def range_text(measure: str, lower: float, upper: float) -> str:
    """An interval in the measure's unit: '41–45%', '₹402–₹418', '1,02,300–1,04,100'."""
    low, high = bounds_text(measure, lower, upper)
    return f"{low.removesuffix('%')}–{high}"


def bounds_text(measure: str, lower: float, upper: float) -> tuple[str, str]:
    """Both ends of an interval as separate texts, rounded outward so that no end is overstated."""
    decimals = decimals_for(measure, lower, upper)
    scale = 0.01 if measure.endswith("_paise") else 1.0
    unit = 10.0 ** -(decimals + 2) if measure.endswith("_share") else 1.0
    # A millionth of slack: 0.29 / 0.01 is 28.999999999999996, which is no reason to print 28.
    low = math.floor(lower * scale / unit + 1e-6) * unit
    high = math.ceil(upper * scale / unit - 1e-6) * unit
    if measure.endswith("_share"):
        return percent(low, decimals), percent(high, decimals)
    sign = "₹" if measure.endswith("_paise") else ""
    return f"{sign}{grouped(low)}", f"{sign}{grouped(high)}"


def month_text(moment: date | datetime, language: str) -> str:
    """'Mar 2026' or 'मार्च 2026'."""
    return f"{_MONTHS[language][moment.month - 1]} {moment.year}"


def day_text(moment: date | datetime, language: str) -> str:
    """'14 Mar 2026' or '14 मार्च 2026'."""
    return f"{moment.day} {month_text(moment, language)}"


def period_text(period: str, language: str) -> str:
    """'2024-03' -> 'Mar 2024'; '2024-Q1' -> 'Jan–Mar 2024'; '2024' stays.

    Raises:
        ValueError: the period is none of the three.
    """
    year, _, part = period.partition("-")
    months = _MONTHS[language]
    if not part:
        return str(int(year))
    if part.startswith("Q"):
        first = (int(part[1:]) - 1) * 3
        return f"{months[first]}–{months[first + 2]} {year}"
    return f"{months[int(part) - 1]} {year}"


def first_and_last_month(period: str) -> tuple[str, str]:
    """The months that a quarter or a year spans: '2024-Q2' -> ('2024-04', '2024-06')."""
    year, _, quarter = period.partition("-Q")
    last = 3 * int(quarter) if quarter else 12
    first = last - 2 if quarter else 1
    return f"{year}-{first:02d}", f"{year}-{last:02d}"


def month_name(period: str, language: str) -> str:
    """The month alone of '2024-03', short enough for an axis; quarters keep 'Jan–Mar'."""
    year_length = 5
    return period_text(period, language)[:-year_length]
