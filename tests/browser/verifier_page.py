"""The browser's verifier as a person or a program uses it, for the tests of it.

What belongs here: giving it proofs and reading what it says. What does not: assertions.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ledger_anchor import browser

FILE = Path(browser.__file__).with_name(browser.PAGE)


class Verifier:
    """The page as a person uses it, and all that it asked the network or wrote to the console."""

    def __init__(self, context: Any, address: str = FILE.as_uri()) -> None:
        self.page = context.new_page()
        self.asked: list[str] = []
        self.said: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.address = address
        self.page.goto(address)

    def give(
        self, proof: bytes | None, trust: str, *files: Path, name: str = "a.tlog-proof"
    ) -> None:
        """Start over, then give a key and choose a proof and files; waits for the verdict."""
        self.reset()
        self.page.fill("#trust", trust)
        chosen = [] if proof is None else [payload(name, proof)]
        self.page.set_input_files(
            "#files", [*chosen, *(payload(file.name, file.read_bytes()) for file in files)]
        )
        self.page.wait_for_selector("#result:not(.wait)")

    def reset(self) -> None:
        """Press "Start over"."""
        self.page.evaluate("document.getElementById('reset').click()")

    def speak(self, language: str) -> None:
        """Change the language as the link does."""
        change = """language => document.documentElement.lang === language || new Promise(done => {
            addEventListener('hashchange', () => done(true), { once: true });
            location.hash = 'lang=' + language })"""
        self.page.evaluate(change, language)

    def text(self, selector: str = "#result") -> str:
        """Visible text."""
        return str(self.page.inner_text(selector))

    @property
    def state(self) -> str:
        """'proven', 'refused' or 'wait'."""
        return str(self.page.get_attribute("#result", "class"))

    @property
    def code(self) -> str:
        """Why it was refused."""
        return str(self.page.get_attribute("#result", "data-code"))

    def verify(self, proof: bytes, trust: str, **options: object) -> dict[str, Any]:
        """Call the page's function for programs."""
        return self.verify_all([(proof, trust)], **options)[0]

    def verify_all(
        self, cases: Sequence[tuple[bytes, str]], **options: object
    ) -> list[dict[str, Any]]:
        """Call it for many proofs under many keys, in one go."""
        call = """async ([cases, options]) => { const results = [];
            for (const [proof, trust] of cases) results.push(await tracientVerify(
                Uint8Array.from(atob(proof), char => char.charCodeAt(0)), trust, options));
            return results }"""
        encoded = [(base64.b64encode(proof).decode(), trust) for proof, trust in cases]
        return list(self.page.evaluate(call, [encoded, options]))


def payload(name: str, content: bytes) -> dict[str, Any]:
    return {"name": name, "mimeType": "application/octet-stream", "buffer": content}
