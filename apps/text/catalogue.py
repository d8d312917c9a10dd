"""Looks up a sentence by its key in one of the two languages.

What belongs here: reading the YAML catalogues beside this file and filling their blanks. A missing
key is an error in both languages; a test holds the two files to the same keys and blanks.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

LANGUAGES = ("en", "hi")
DEFAULT_LANGUAGE = "en"


@cache
def catalogue(language: str) -> dict[str, str]:
    """All sentences of one language by dotted key.

    Raises:
        FileNotFoundError: no catalogue for the language.
    """
    path = Path(__file__).with_name(f"{language}.yaml")
    return dict(_flatten(yaml.safe_load(path.read_text(encoding="utf-8"))))


class Translator:
    """Says things in one language: `say("wages.question")`, `say("card.between", low=…)`."""

    def __init__(self, language: str) -> None:
        self.language = language if language in LANGUAGES else DEFAULT_LANGUAGE
        self._sentences = catalogue(self.language)

    def __call__(self, key: str, /, **blanks: object) -> str:
        """The sentence of a key with its blanks filled.

        Raises:
            KeyError: no such key, or a blank that was not given.
        """
        return self._sentences[key].format(**blanks)

    def has(self, key: str) -> bool:
        """Whether the catalogue knows the key (codes of a release may be newer than the words)."""
        return key in self._sentences

    def code(self, group: str, code: str) -> str:
        """The name of a code of released data, or the code made readable."""
        key = f"{group}.{code}"
        return self(key) if self.has(key) else code.replace("_", " ")

    def pick(self, both: Any) -> str:
        """One language of a {"en", "hi"} pair of a manifest; English where Hindi is missing."""
        return str(both.get(self.language) or both.get("en") or "") if both else ""


def _flatten(tree: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in tree.items():
        name = f"{prefix}{key}"
        rows += (
            _flatten(value, f"{name}.") if isinstance(value, dict) else [(name, str(value).strip())]
        )
    return rows
