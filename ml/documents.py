"""Canonical JSON: one spelling for one value, so that a signature and a hash mean something.

Numbers are rounded before they get here, so that their text is the same in every language
(RFC 8785 writes 0.00001 and Python 1e-05; a figure rounded to six decimals or fewer that is not
smaller than 0.0001 has one spelling, and anything else is refused).
"""

from __future__ import annotations

import json
import math
from typing import Any

from ml.errors import ModelError


def plain(value: Any, digits: int = 4) -> Any:
    """A value as JSON holds it: floats rounded, whole floats as integers, NaN as null.

    Args:
        value: mappings, sequences, numbers (numpy's too), text, booleans, None.
        digits: decimals kept, at most four.
    """
    if isinstance(value, dict):
        return {str(name): plain(item, digits) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, digits) for item in value]
    if hasattr(value, "item"):
        return plain(value.item(), digits)
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    rounded = round(value, digits)
    return int(rounded) if rounded == int(rounded) else rounded


def canonical_json(value: Any) -> bytes:
    """UTF-8 JSON with sorted ASCII keys and no spaces (RFC 8785 for the values `plain` makes).

    Raises:
        ModelError: a float would be spelled differently by another language.
    """
    _require_plain(value)
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode()


def _require_plain(value: Any) -> None:
    if isinstance(value, dict):
        for name, item in value.items():
            if not name.isascii():
                raise ModelError(f"canonical JSON: expected ASCII keys, found {name!r}")
            _require_plain(item)
    elif isinstance(value, list):
        for item in value:
            _require_plain(item)
    elif isinstance(value, float) and ("e" in repr(value) or not math.isfinite(value)):
        raise ModelError(f"canonical JSON: {value!r} has no single spelling; round it first")
