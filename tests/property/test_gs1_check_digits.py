"""GS1 check digits: the vectorised sum against the definition, and what the digit must catch."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from orchestration.feeds.gs1 import Gs1Error, are_valid_keys, check_digits, parse, with_check_digit

payloads = st.text("0123456789", min_size=1, max_size=17)
keys = st.sampled_from((7, 11, 12, 13, 17)).flatmap(
    lambda size: st.text("0123456789", min_size=size, max_size=size)
)


def _by_definition(payload: str) -> int:
    total = 0
    for position, digit in enumerate(reversed(payload)):
        total += int(digit) * (3 if position % 2 == 0 else 1)
    return (10 - total % 10) % 10


@given(st.lists(payloads, max_size=20))
def test_columns_and_single_keys_follow_the_definition(column: list[str]) -> None:
    assert check_digits(column).tolist() == [_by_definition(payload) for payload in column]
    assert [with_check_digit(p) for p in column] == [f"{p}{_by_definition(p)}" for p in column]


@given(keys, st.data())
def test_a_valid_key_is_no_longer_valid_with_one_digit_changed(payload: str, data) -> None:
    key = with_check_digit(payload)
    position = data.draw(st.integers(0, len(key) - 1))
    change = data.draw(st.integers(1, 9))
    digit = (int(key[position]) + change) % 10
    mistyped = f"{key[:position]}{digit}{key[position + 1 :]}"
    assert are_valid_keys([key, mistyped]).tolist() == [True, False]


@given(st.text(max_size=40))
def test_any_text_is_judged_and_none_raises(text: str) -> None:
    assert are_valid_keys([text]).shape == (1,)


@given(
    st.sampled_from(("urn:epc:id:sgtin:", "urn:epc:id:sscc:", "https://x/01/", "http://[", "")),
    st.text(max_size=40),
)
def test_parsing_any_text_gives_a_key_nothing_or_a_gs1_error(start: str, rest: str) -> None:
    try:
        key = parse(start + rest)
    except Gs1Error:
        return
    assert key is None or key.key.isdigit()


@given(st.integers(6, 12), st.data())
def test_an_urn_and_its_digital_link_name_the_same_key(prefix_size: int, data) -> None:
    digits = data.draw(st.text("0123456789", min_size=12, max_size=12))
    urn = f"urn:epc:id:sgln:{digits[:prefix_size]}.{digits[prefix_size:]}.0"
    link = f"https://id.gs1.org/414/{with_check_digit(digits)}"
    if prefix_size == 12:
        # GS1 then leaves the location reference empty, which the URN form spells as nothing.
        return
    assert parse(urn) == parse(link)
