"""EPC URNs, Digital Links and check digits: forms that are read, and forms that are refused."""

from __future__ import annotations

import pytest

from orchestration.feeds.gs1 import (
    Gs1Error,
    Key,
    are_valid_keys,
    check_digits,
    parse,
    with_check_digit,
)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("urn:epc:id:pgln:4012345.00225", Key("pgln", "4012345002256")),
        ("https://id.gs1.org/417/4012345002256", Key("pgln", "4012345002256")),
        ("urn:epc:id:sgln:4012345.00011.0", Key("gln", "4012345000115")),
        ("urn:epc:idpat:sgtin:4054739.099914.*", Key("gtin", "04054739999148")),
        ("urn:epc:id:sgtin:4054739.099914.*", Key("gtin", "04054739999148", serial="*")),
        ("urn:epc:id:sgtin:4012345.012345.a%2Fb", Key("gtin", "04012345123456", serial="a/b")),
        (
            "https://id.gs1.de/01/04012345999990/21/XYZ-1234",
            Key("gtin", "04012345999990", "XYZ-1234"),
        ),
        ("https://shop.example/p/gtin/4012345999990", Key("gtin", "04012345999990")),
        (
            "https://x.example/01/04012345999990?10=L1&21=S",
            Key("gtin", "04012345999990", "S", "L1"),
        ),
        ("https://x.example/01/04012345999990/10/A%20B", Key("gtin", "04012345999990", lot="A B")),
    ],
)
def test_every_spelling_of_a_key_is_read(text: str, key: Key) -> None:
    assert parse(text) == key


@pytest.mark.parametrize(
    "text",
    [
        "urn:epc:id:grai:4012345.66666.87",
        "urn:epc:idpat:sgtin:4054739.*.*",
        "urn:uuid:374d95fc-9457-4a51-bd6a-0bba133845a8",
        "https://example.com/bizStep/inspecting",
        "geo:50.9,6.9",
        "http://www.w3.org/2000/01/rdf-schema#",
        "https://example.com/2024/01/31/news",
        "",
    ],
)
def test_text_that_names_no_gtin_sscc_or_gln_is_left_alone(text: str) -> None:
    assert parse(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "urn:epc:id:sgtin:4012345.012345",  # no serial
        "urn:epc:id:sgtin:4012345.01234.1",  # a digit short
        "urn:epc:id:sgtin:40123.01234567.1",  # company prefix of 5 digits
        "urn:epc:id:sgln:4012345.0001x.0",
        "urn:epc:id:sscc:4012345.333",
        "https://id.gs1.org/00/0401234500000033",
        "https://id.gs1.org/414/abc",
        "https://[bad/01/04012345123456",
    ],
)
def test_a_key_of_the_wrong_form_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(Gs1Error, match="expected") as refused:
        parse(text)
    assert text not in str(refused.value)


def test_a_digital_link_keeps_a_wrong_check_digit_so_that_it_can_be_found() -> None:
    key = parse("https://id.gs1.org/414/4012345000116")
    assert key == Key("gln", "4012345000116")
    assert not are_valid_keys(["4012345000116"])[0]


def test_keys_of_other_lengths_and_other_characters_are_not_valid() -> None:
    keys = ["4012345000115", "", "1", "401234500011٥", "40123450001 5", "0" * 19, "0000"]
    assert are_valid_keys(keys).tolist() == [True] + [False] * 6


@pytest.mark.parametrize("payload", ["", "12a", "1" * 18, "٥"])
def test_a_payload_that_is_not_up_to_17_digits_is_refused(payload: str) -> None:
    with pytest.raises(Gs1Error, match="1 to 17 ASCII digits"):
        check_digits(["629104150021", payload])
    with pytest.raises(Gs1Error, match="1 to 17 ASCII digits"):
        with_check_digit(payload)


def test_no_keys_give_no_digits() -> None:
    assert check_digits([]).tolist() == []
    assert are_valid_keys([]).tolist() == []
