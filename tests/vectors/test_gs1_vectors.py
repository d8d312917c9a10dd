"""GS1 check digits and keys against published examples."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from orchestration.feeds.gs1 import Key, are_valid_keys, check_digits, parse

# specs/epcis_export.md, section 3.
EXAMPLES = {
    "urn:epc:id:sgln:4012345.00011.987": Key("gln", "4012345000115", extension="987"),
    "https://id.gs1.org/414/4012345000115/254/987": Key("gln", "4012345000115", extension="987"),
    "urn:epc:id:sscc:4012345.0000000333": Key("sscc", "040123450000003338"),
    "https://id.gs1.org/00/040123450000003338": Key("sscc", "040123450000003338"),
    "urn:epc:id:sgtin:030001.0012345.11": Key("gtin", "00300010123455", serial="11"),
    "urn:epc:class:lgtin:4012345.012345.Lot987": Key("gtin", "04012345123456", lot="Lot987"),
    "https://id.gs1.org/01/04012345123456/10/Lot987": Key("gtin", "04012345123456", lot="Lot987"),
}


@pytest.mark.parametrize(("text", "key"), EXAMPLES.items(), ids=str)
def test_the_examples_of_the_specification_name_their_keys(text: str, key: Key) -> None:
    assert parse(text) == key


@pytest.mark.shared_data
def test_the_check_digit_vectors_hold(shared_data: Path) -> None:
    vectors = json.loads((shared_data.parent / "facts" / "vectors.json").read_text())["gs1"]
    # Labels such as "00012345678905 first 13" and "sscc 00614141123456789" carry the digits.
    payloads = {
        "629104150021": "629104150021",
        "943646579210": "943646579210",
        "00012345678905 first 13": "0001234567890",
        "sscc 00614141123456789": "00614141123456789",
    }
    assert set(vectors) == set(payloads)
    digits = check_digits([payloads[label] for label in vectors])
    assert [str(digit) for digit in digits] == list(vectors.values())


@pytest.mark.shared_data
def test_every_key_in_the_shared_documents_is_read_or_left_alone(shared_data: Path) -> None:
    kinds = set()
    for path in sorted((shared_data / "epcis" / "valid").glob("*.json")):
        for text in _texts(json.loads(path.read_text())):
            key = parse(text)
            if key is not None and text.startswith("urn:"):
                kinds.add(key.kind)
                assert are_valid_keys([key.key])[0], text
    assert kinds == {"gtin", "sscc", "gln", "pgln"}


def _texts(node: object) -> list[str]:
    match node:
        case str():
            return [node]
        case list():
            return [text for child in node for text in _texts(child)]
        case dict():
            return [text for child in node.values() for text in _texts(child)]
    return []
