"""Words of the dashboards: catalogues, numbers, dates, findings."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.text import findings, numbers
from apps.text.catalogue import LANGUAGES, Translator, catalogue
from orchestration.release.manifest import SAMPLE_SENTENCE, SAMPLE_TITLE

APPS = Path(numbers.__file__).parents[1]
BLANK = re.compile(r"{(\w+)}")


def test_both_languages_have_the_same_keys_and_blanks() -> None:
    english, hindi = catalogue("en"), catalogue("hi")
    assert set(english) == set(hindi)
    for key, sentence in english.items():
        assert set(BLANK.findall(sentence)) == set(BLANK.findall(hindi[key])), key


def test_hindi_is_written_in_devanagari() -> None:
    latin_only = [
        key
        for key, sentence in catalogue("hi").items()
        if not re.search("[\u0900-\u097f]", sentence)
    ]
    # Blanks and punctuation alone are the same in both languages.
    assert latin_only == ["wages.subtitle"]


def test_every_key_that_the_code_says_is_in_the_catalogue() -> None:
    known = catalogue("en")
    for path in APPS.rglob("*.py"):
        for key in re.findall(r"""say\(\s*["']([a-z_]+\.[a-z_.]+)["']""", path.read_text()):
            assert key in known, f"{path.name}: {key}"


def test_an_unknown_language_falls_back_to_english() -> None:
    assert Translator("fr").language == "en"
    assert LANGUAGES == ("en", "hi")


def test_an_unknown_code_is_made_readable_instead_of_failing() -> None:
    assert Translator("en").code("product_class", "eye_drops") == "eye drops"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1000, "1,000"),
        (123456, "1,23,456"),
        (1234567, "12,34,567"),
        (123456789, "12,34,56,789"),
        (-45000, "−45,000"),
    ],
)
def test_numbers_are_grouped_in_lakh_and_crore(number: int, text: str) -> None:
    assert numbers.grouped(number) == text


@given(st.integers(min_value=-(10**12), max_value=10**12))
def test_grouping_loses_no_digit(number: int) -> None:
    assert int(numbers.grouped(number).replace(",", "").replace("−", "-")) == number


def test_units_come_from_the_name_of_the_measure() -> None:
    assert numbers.value_text("mean_daily_wage_paise", 41200.0) == "₹412"
    assert numbers.value_text("below_notified_rate_share", 0.427) == "43%"
    assert numbers.value_text("worker_count", 123456.0) == "1,23,456"


def test_a_decimal_is_shown_only_where_the_interval_earns_it() -> None:
    assert numbers.value_text("x_share", 0.3601, 0.352, 0.368) == "36%"
    assert numbers.value_text("x_share", 0.3601, 0.358, 0.362) == "36.0%"
    assert numbers.range_text("x_share", 0.358, 0.362) == "35.8–36.2%"


@given(
    st.sampled_from(["x_share", "x_paise", "x_count"]),
    st.floats(min_value=0, max_value=1),
    st.floats(min_value=0, max_value=1),
)
def test_ends_of_an_interval_are_rounded_outward(measure: str, one: float, two: float) -> None:
    scale = 1 if measure == "x_share" else 1_000_000
    lower, upper = sorted((one * scale, two * scale))
    low, high = (
        float(text.strip("%₹").replace(",", ""))
        for text in numbers.bounds_text(measure, lower, upper)
    )
    unit = {"x_share": 100, "x_paise": 0.01, "x_count": 1}[measure]
    slack = 1e-4
    assert low <= lower * unit + slack
    assert high >= upper * unit - slack


@pytest.mark.parametrize(
    ("period", "english", "hindi"),
    [
        ("2026-03", "Mar 2026", "मार्च 2026"),
        ("2024-Q1", "Jan–Mar 2024", "जनवरी–मार्च 2024"),
        ("2024-Q4", "Oct–Dec 2024", "अक्टूबर–दिसंबर 2024"),
        ("2024", "2024", "2024"),
    ],
)
def test_periods_read_as_people_write_them(period: str, english: str, hindi: str) -> None:
    assert numbers.period_text(period, "en") == english
    assert numbers.period_text(period, "hi") == hindi


def test_a_period_of_another_form_is_refused() -> None:
    with pytest.raises(ValueError, match="week"):
        numbers.period_text("week 12", "en")


def test_days_and_months() -> None:
    assert numbers.day_text(date(2026, 3, 14), "hi") == "14 मार्च 2026"
    assert numbers.month_name("2024-02", "en") == "Feb"


@pytest.mark.parametrize(
    ("lower", "upper", "phrase"),
    [
        (0.39, 0.42, "about two in five"),
        (0.335, 0.39, "at least one in three"),
        (0.50, 0.54, "at least half of all"),
        (0.02, 0.09, "at most one in ten"),
        (0.001, 0.98, "some"),
    ],
)
def test_a_phrase_never_claims_more_than_its_interval(
    lower: float, upper: float, phrase: str
) -> None:
    assert findings.fraction_phrase(lower, upper, Translator("en")) == phrase


@given(st.floats(min_value=0, max_value=1), st.floats(min_value=0, max_value=1))
def test_at_least_and_at_most_hold_over_the_whole_interval(one: float, two: float) -> None:
    lower, upper = sorted((one, two))
    say = Translator("en")
    phrase = findings.fraction_phrase(lower, upper, say)
    named = {say(f"fractions.{name}"): value for name, value in findings._FRACTIONS.items()}
    if phrase.startswith("at least "):
        assert named[phrase.removeprefix("at least ")] <= lower
    elif phrase.startswith("at most "):
        assert named[phrase.removeprefix("at most ")] >= upper
    elif phrase.startswith("about "):
        value = named[phrase.removeprefix("about ")]
        assert max(value - lower, upper - value) <= findings.ABOUT + 1e-9


def test_places_whose_interval_touches_the_line_are_on_neither_side() -> None:
    split = findings.split_by_reference([(0.5, 0.6), (0.1, 0.2), (0.38, 0.5), None], 0.35, 0.4)
    assert (split.above, split.below, split.unclear, split.withheld) == (1, 1, 1, 1)
    assert split.published == 3


def test_intervals_that_overlap_are_not_called_different() -> None:
    assert findings.compare((0.4, 0.5), (0.45, 0.6)) == 0
    assert findings.compare((0.5, 0.6), (0.3, 0.4)) == 1
    assert findings.compare((0.3, 0.4), (0.5, 0.6)) == -1


@pytest.mark.parametrize("language", ["en", "hi"])
def test_banner_and_manifest_call_a_simulated_sample_the_same(language: str) -> None:
    say = Translator(language)
    assert say("sample.banner") == SAMPLE_SENTENCE[language]
    assert SAMPLE_TITLE[language].startswith(say("sample.tag"))
