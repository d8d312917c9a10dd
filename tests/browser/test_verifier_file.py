"""The file of the browser's verifier: its words in both languages, and that it can reach nothing.

What belongs here: what can be read from the file, or asked of the page without a proof. What does
not: proofs (``test_verifier``, ``test_verifier_agreement``).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator
from typing import Any

import pytest

from ledger_anchor.browser import verifier_html
from tests.browser.verifier_page import FILE, Verifier

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

SOURCE = FILE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def words(chromium: Any) -> Iterator[dict[str, dict[str, str]]]:
    """Every sentence of the page by language."""
    opened = Verifier(chromium)
    yield opened.page.evaluate("tracientVerify.words")
    opened.page.close()


def test_both_languages_have_the_same_sentences_with_the_same_blanks(
    words: dict[str, dict[str, str]],
) -> None:
    assert list(words["en"]) == list(words["hi"])
    for key, english in words["en"].items():
        hindi = words["hi"][key]
        assert sorted(re.findall(r"\{\w+\}", english)) == sorted(re.findall(r"\{\w+\}", hindi)), key
        assert english.count("|") == hindi.count("|"), key
        if key != "page.language" and not english.startswith("{"):
            assert re.search("[\u0900-\u097f]", hindi), f"{key} is not in Hindi"
        if key.startswith("fail.") and english.count("|"):
            # what was expected, what was found, what to do
            assert re.search(r"\|Expected .+, found .+; .+\.$", english), key


def test_no_sentence_is_missing_and_none_is_left_over(words: dict[str, dict[str, str]]) -> None:
    keys = set(words["en"])
    before, _, rest = SOURCE.partition("  const WORDS = {")
    code = before + rest[rest.index('let language = "en"') :]
    asked = {f"fail.{name}" for name in re.findall(r'(?:refuse|Refusal)\("(\w+)"', code)}
    asked |= set(re.findall(r'data-words="([\w.]+)"', code))
    asked |= set(re.findall(r'words\("([\w.]+\w)"[,)]', code))
    assert {key for key in asked if not key.endswith("_")} - keys == set()
    parts = set(re.findall(r'"([\w.]+)"', code)) | asked
    pairs = ((start, end) for start in parts for end in parts)
    parts = parts | {a + b for a, b in pairs if a.endswith("_") or b.startswith("_")}
    built = ("type.", "kind.", "can.", "months")  # from a column's type, a snapshot's kind, a list
    unused = {key for key in keys if not {key, key.partition(".")[2]} & parts}
    assert {key for key in unused if not key.startswith(built)} == set()


def test_the_policy_of_the_page_names_exactly_its_own_script_and_style() -> None:
    for tag in ("script", "style"):
        inline = re.findall(rf"<{tag}>(.*?)</{tag}>", SOURCE, re.DOTALL)
        assert len(inline) == 1
        digest = base64.b64encode(hashlib.sha256(inline[0].encode()).digest()).decode()
        wanted = f"{tag}-src 'sha256-{digest}'"
        assert wanted in SOURCE, f"the page was edited: write {wanted} into its policy"
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', SOURCE)
    assert policy is not None
    assert policy[1].startswith("default-src 'none'; ")
    assert "connect-src 'none'" in policy[1]
    assert "unsafe" not in policy[1]


def test_the_page_is_one_file_that_names_no_other() -> None:
    assert verifier_html() == FILE.read_bytes()
    assert re.findall(r"(?:https?:)?//[a-z][\w.-]+\.[a-z]{2,}", SOURCE) == []
    assert re.findall(r"(?:src|href)=\"(?!#|data:)", SOURCE) == []
    writers = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
    callers = r"fetch\(|XMLHttp|WebSocket|sendBeacon|EventSource|\bimport\("
    stores = r"localStorage|sessionStorage|indexedDB|document\.cookie"
    assert re.findall(f"{writers}|{callers}|{stores}", SOURCE) == []
