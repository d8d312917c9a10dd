"""The verifier that runs in a browser: one static page without any network access.

What belongs here: the page, ``verifier.html``, and its bytes for whoever hands it out (a server of
static files, a command that writes it beside a proof). What does not: the checks in Python; the
page repeats those of ``proof``, ``policy``, ``note``, ``tree`` and ``cbor``, and a test holds the
two together.
"""

from __future__ import annotations

from importlib import resources

PAGE = "verifier.html"


def verifier_html() -> bytes:
    """The whole page: HTML, style and script in one file, UTF-8."""
    return resources.files(__name__).joinpath(PAGE).read_bytes()
