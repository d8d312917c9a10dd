"""Filters whose state is the page's address: codes in the URL, translated names on the screen.

What belongs here: reading a choice from the query, drawing it, writing it back. The URL is the one
place that holds a choice; widgets are set from it on every run, so that a link, the back button
and a change of language all show the same thing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode

import streamlit as st


def choice(
    where: Any,
    name: str,
    label: str,
    options: Sequence[str],
    default: str,
    names: Callable[[str], str],
    *,
    keep: bool = False,
) -> str:
    """One selection, kept in the URL under `name` as its code.

    Args:
        where: the container to draw in.
        name: name in the query.
        label: what the reader sees above it.
        options: codes.
        default: the code that is left out of the URL.
        names: translated name of a code.
        keep: write the default into the URL too (the language outlives a change of page).

    Returns:
        The chosen code; an unknown code in the URL counts as the default.
    """
    current = st.query_params.get(name, default)
    current = current if current in options else default
    key = f"filter:{name}"
    st.session_state[key] = current
    where.selectbox(
        label,
        list(options),
        format_func=names,
        key=key,
        on_change=_write,
        args=(name, key, None if keep else default),
        filter_mode=None,
    )
    return current


def _write(name: str, key: str, default: str | None) -> None:
    value = st.session_state[key]
    if value == default:
        st.query_params.pop(name, None)
    else:
        st.query_params[name] = value


def is_on(name: str, code: str) -> bool:
    """Whether the address holds a code under a name."""
    return st.query_params.get(name) == code


def switch(where: Any, name: str, code: str, label: str) -> None:
    """A button that puts a code into the address, or takes it out where it stands."""
    where.button(label, on_click=_flip, args=(name, code), key=f"switch:{name}")


def _flip(name: str, code: str) -> None:
    if is_on(name, code):
        st.query_params.pop(name)
    else:
        st.query_params[name] = code


def reset(where: Any, label: str, names: Sequence[str]) -> None:
    """A button that clears the named filters from the URL."""
    where.button(label, on_click=_clear, args=(tuple(names),), key="filter:reset")


def _clear(names: Sequence[str]) -> None:
    for name in names:
        st.query_params.pop(name, None)


def address(**changes: str) -> str:
    """The page's query with some codes changed: '?lang=hi&state=27'."""
    query = {**st.query_params.to_dict(), **changes}
    return "?" + urlencode(sorted(query.items())) if query else ""
