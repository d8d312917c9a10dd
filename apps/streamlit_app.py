"""The dashboards' entry: navigation by question. Run it with `python -m apps.launch --home DIR`.

What belongs here: the list of views and the page's frame settings. The folder is called views/
because Streamlit serves a folder called pages/ past any gate.
"""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from apps.components.shell import THEME, VIEWS, language
from apps.text.catalogue import Translator

say = Translator(language())
folder = Path(__file__).with_name("views")

st.set_page_config(
    page_icon=str(THEME / "favicon.png"), layout="centered", initial_sidebar_state="auto"
)
st.logo(str(THEME / "wordmark.png"), size="large", icon_image=str(THEME / "wordmark.png"))
st.navigation(
    [
        st.Page(
            folder / f"{view}.py",
            title=say(f"{view}.question"),
            url_path=view,
            default=view == VIEWS[0],
        )
        for view in VIEWS
    ],
    position="sidebar",
    expanded=True,
).run()
