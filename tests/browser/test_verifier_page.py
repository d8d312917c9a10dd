"""The verifier's page in a real browser: ways in, languages, reach, looks.

What belongs here: what holds for every proof. What does not: what a proof proves
(``test_verifier``).
"""

from __future__ import annotations

import base64
import http.server
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from ledger_anchor.browser import PAGE
from tests.browser import verifier_bundles as made
from tests.browser.verifier_bundles import Samples
from tests.browser.verifier_page import FILE, Verifier

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

LANGUAGES = ("en", "hi")
UNSUPPORTED = "new DOMException('', 'NotSupportedError')"


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Samples:
    return made.shared_samples(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="module")
def verifier(chromium: Any) -> Iterator[Verifier]:
    opened = Verifier(chromium)
    yield opened
    opened.page.close()
    assert opened.asked == [opened.address], "the page asked the network for something"
    assert opened.said == [], "the page wrote to the console"


@pytest.fixture(autouse=True)
def _in_english(verifier: Verifier) -> None:
    verifier.speak("en")


# -- ways in ---------------------------------------------------------------------------------------


def test_everything_dropped_at_once_finds_its_place(verifier: Verifier, samples: Samples) -> None:
    verifier.reset()
    files = [("pack", samples.release), ("key", samples.vkey.encode() + b"\n")]
    files.append((samples.released[0].name, samples.released[0].read_bytes()))
    dropped = verifier.page.evaluate_handle(
        """files => { const transfer = new DataTransfer();
        for (const [name, text] of files) {
            const bytes = Uint8Array.from(atob(text), char => char.charCodeAt(0));
            transfer.items.add(new File([bytes], name));
        }
        return transfer }""",
        [[name, base64.b64encode(content).decode()] for name, content in files],
    )
    verifier.page.dispatch_event("body", "drop", {"dataTransfer": dropped})
    verifier.page.wait_for_selector("#result.proven")
    assert verifier.text("#result h2") == "manifest.json is the file that was committed"
    assert verifier.page.input_value("#trust").strip() == samples.vkey


def test_a_pasted_proof_is_read_and_the_keyboard_reaches_everything(
    verifier: Verifier, samples: Samples
) -> None:
    verifier.reset()
    page = verifier.page
    page.focus("#language")
    reached = []
    for _ in range(5):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.id || document.activeElement.localName")
        )
        if reached[-1] == "summary":
            page.keyboard.press("Enter")
        elif reached[-1] in {"pasted", "trust"}:
            text = samples.row.decode().rstrip("\n") if reached[-1] == "pasted" else samples.vkey
            page.keyboard.insert_text(text)
    assert reached == ["files", "summary", "pasted", "trust", "trust-file"]
    page.wait_for_selector("#result.proven")
    assert verifier.text("#spoken").startswith("Proven: These values of")
    page.evaluate("document.querySelector('details').open = false")


def test_the_language_stands_in_the_address_and_outlives_a_reload(
    chromium: Any, samples: Samples
) -> None:
    opened = Verifier(chromium)
    opened.give(samples.row, samples.vkey)
    opened.page.click("#language")
    opened.page.wait_for_selector("html[lang=hi]")
    assert opened.page.url.endswith("#lang=hi")
    assert opened.text("#result h2") == f"{made.DATASET} के ये मान वही हैं जो दर्ज किए गए थे"
    opened.page.reload()
    assert opened.text("h1") == "क्या यह वही है जो दर्ज किया गया था?"
    assert opened.page.title() == "क्या यह वही है जो दर्ज किया गया था?"
    assert opened.page.evaluate(
        "[localStorage.length, sessionStorage.length, document.cookie]"
    ) == [0, 0, ""]
    opened.page.close()


def test_served_over_http_it_asks_for_nothing_but_itself(chromium: Any, samples: Samples) -> None:
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=FILE.parent)
    handler.log_message = lambda *_: None  # type: ignore[attr-defined]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        opened = Verifier(chromium, f"http://127.0.0.1:{server.server_port}/{PAGE}")
        opened.give(samples.release, samples.vkey, *samples.released)
        assert opened.state == "proven"
        assert opened.asked == [opened.address]
        assert opened.said == []
        blocked = "fetch('/other').then(() => 'answered', () => 'refused')"
        assert opened.page.evaluate(blocked) == "refused"
        assert (
            opened.page.evaluate(
                "() => { try { document.body.innerHTML = '<p>' } catch (e) { return e.name } }"
            )
            == "TypeError"
        )
        opened.page.close()
        server.shutdown()


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("Object.defineProperty(window, 'isSecureContext', { value: false })", "no_crypto"),
        (f"crypto.subtle.importKey = () => Promise.reject({UNSUPPORTED})", "no_ed25519"),
    ],
)
def test_a_browser_that_cannot_check_says_so_at_once(chromium: Any, script: str, code: str) -> None:
    page = chromium.new_page()
    page.add_init_script(script)
    page.goto(FILE.as_uri())
    page.wait_for_selector(f"#result.refused[data-code={code}]")
    page.close()


# -- how it looks and reads ------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
def test_good_and_failed_are_accessible_and_fit_at_every_width(
    verifier: Verifier, samples: Samples, language: str, shot: Callable[..., Path]
) -> None:
    page = verifier.page
    failed = made.change_path(samples.row, 0)
    cosigned = samples.cosigned(samples.release, 0, 2)
    for name, proof, trust, files in (
        ("row", samples.row, samples.vkey, ()),
        ("release", cosigned, samples.policy, samples.released[:2]),
        ("failed", failed, samples.vkey, ()),
    ):
        verifier.speak(language)
        verifier.give(proof, trust, *files)
        for width in (1280, 390, 320):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            if width != 320:
                shot(page, f"verifier-{name}-{language}-{width}")
        assert violations(page) == []
    page.emulate_media(color_scheme="dark")
    assert violations(page) == []
    shot(page, f"verifier-dark-{language}")
    page.emulate_media(color_scheme="light")
    page.set_viewport_size({"width": 1280, "height": 900})


def violations(page: Any) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{item['id']}: {item['nodes'][0]['html'][:160]}" for item in found]


def test_a_print_shows_the_result_and_not_the_form(verifier: Verifier, samples: Samples) -> None:
    verifier.give(samples.row, samples.vkey)
    verifier.page.emulate_media(media="print")
    assert not verifier.page.is_visible(".inputs")
    assert verifier.page.is_visible("#result table.cells")
    verifier.page.emulate_media(media="screen")


def test_foreign_text_is_shown_as_text_and_its_tricks_are_made_visible(verifier: Verifier) -> None:
    name = "x\u202egnp.\u200b<img/src=x>"
    verifier.give(b"a<b>\x07", f"{name}+00000000+AAAA")
    assert "x⟨U+202E⟩gnp.⟨U+200B⟩<img/src=x>" in verifier.text()
