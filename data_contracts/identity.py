"""Finding identity numbers in text: 12 digits, in context, that pass the Verhoeff check.

Aadhaar numbers appear nowhere in Tracient; this scan is how that is checked. A token counts when it
stands on its own: 12 digits, the first from 2 to 9, plain or in groups of four parted by one blank
or hyphen, not inside a longer word, decimal number or UUID. One in ten random tokens passes the
check, so a hit is a reason to stop and look, and no hit on a long number is no proof.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

# Multiplication in the dihedral group D5 and the permutation by position: J. Verhoeff, Error
# Detecting Decimal Codes, Mathematical Centre Tracts 29, Amsterdam 1969.
_TIMES = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 2, 3, 4, 0, 6, 7, 8, 9, 5),
    (2, 3, 4, 0, 1, 7, 8, 9, 5, 6),
    (3, 4, 0, 1, 2, 8, 9, 5, 6, 7),
    (4, 0, 1, 2, 3, 9, 5, 6, 7, 8),
    (5, 9, 8, 7, 6, 0, 4, 3, 2, 1),
    (6, 5, 9, 8, 7, 1, 0, 4, 3, 2),
    (7, 6, 5, 9, 8, 2, 1, 0, 4, 3),
    (8, 7, 6, 5, 9, 3, 2, 1, 0, 4),
    (9, 8, 7, 6, 5, 4, 3, 2, 1, 0),
)
_PERMUTE = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9),
    (1, 5, 7, 6, 2, 8, 3, 0, 9, 4),
    (5, 8, 0, 3, 7, 9, 6, 1, 4, 2),
    (8, 9, 1, 6, 0, 4, 3, 5, 2, 7),
    (9, 4, 5, 3, 1, 2, 6, 8, 7, 0),
    (4, 2, 8, 6, 5, 7, 3, 9, 0, 1),
    (2, 7, 9, 3, 8, 0, 6, 4, 1, 5),
    (7, 0, 4, 6, 9, 1, 3, 2, 5, 8),
)
_INVERSE = (0, 4, 3, 2, 1, 5, 6, 7, 8, 9)

# A fast first pass for RE2, which cannot look around; the second pass decides.
_CANDIDATE = r"(?:^|[^0-9A-Za-z])[2-9][0-9]{3}[ -]?[0-9]{4}[ -]?[0-9]{4}(?:[^0-9A-Za-z]|$)"
_TOKEN = re.compile(
    r"(?<![0-9A-Za-z_.])(?<![0-9A-Fa-f]-)"
    r"([2-9][0-9]{3})([ -]?)([0-9]{4})\2([0-9]{4})"
    r"(?![0-9A-Za-z_])(?!\.[0-9])(?!-[0-9A-Fa-f])"
)


def verhoeff_check_digit(digits: str) -> str:
    """Return the digit that makes ``digits`` pass the check when it is appended."""
    state = 0
    for position, digit in enumerate(reversed(digits), start=1):
        state = _TIMES[state][_PERMUTE[position % 8][int(digit)]]
    return str(_INVERSE[state])


def verhoeff_is_valid(digits: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Check many numbers at once.

    Args:
        digits: One number a row, most significant digit first, shape (n, length).

    Returns:
        Whether each number passes, shape (n,).
    """
    times, permute = np.array(_TIMES), np.array(_PERMUTE)
    state = np.zeros(len(digits), dtype=np.int64)
    for position in range(digits.shape[1]):
        state = times[state, permute[position % 8, digits[:, -1 - position]]]
    return np.asarray(state == 0)


def holds_identity_number(texts: Any) -> npt.NDArray[np.bool_]:
    """Say which texts hold a token that looks like an identity number.

    Args:
        texts: A pandas series or a sequence of str or bytes (UTF-8), missing values allowed.

    Returns:
        One flag for each text, False where it is missing, shape (n,).
    """
    column = pa.array(texts, from_pandas=True)
    found = np.zeros(len(column), dtype=bool)
    if not (
        pa.types.is_binary(column.type)
        or pa.types.is_string(column.type)
        or pa.types.is_large_string(column.type)
        or pa.types.is_large_binary(column.type)
    ):
        return found
    hits = pc.fill_null(pc.match_substring_regex(column, _CANDIDATE), False)
    rows = np.flatnonzero(np.asarray(hits))
    owners, tokens = _tokens(rows, column.take(pa.array(rows)).to_pylist())
    if tokens:
        valid = verhoeff_is_valid(np.array([[int(d) for d in token] for token in tokens]))
        found[np.array(owners)[valid]] = True
    return found


def _tokens(rows: Iterable[int], texts: Iterable[str | bytes]) -> tuple[list[int], list[str]]:
    """Return every token with the row that holds it."""
    owners: list[int] = []
    tokens: list[str] = []
    for row, raw in zip(rows, texts, strict=True):
        text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else raw
        for match in _TOKEN.finditer(text):
            owners.append(row)
            tokens.append(match[1] + match[3] + match[4])
    return owners, tokens
