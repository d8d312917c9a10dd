"""What every page has: style, language, release selector, question, states.

What belongs here: the frame around a view. A view gives two functions: `load` reads (its problems
become states: empty, refused, not allowed, error) and `draw` shows. Nobody reads a stack trace.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any, TypeVar

import streamlit as st

from apps.components import filters
from apps.data import DashboardProblem, Home, Release, home_path, parse_time
from apps.text.catalogue import DEFAULT_LANGUAGE, LANGUAGES, Translator
from apps.text.numbers import day_text

Loaded = TypeVar("Loaded")

VIEWS = ("overview", "wages", "medicines", "fairness", "verify")
THEME = Path(__file__).parents[1] / "theme"
_LOG = logging.getLogger("tracient.apps")


@dataclass(frozen=True)
class Page:
    """One view being shown: its name, its words and the home it reads."""

    view: str
    say: Translator
    home: Home

    def release(self, domain: str) -> Release:
        """The release that the reader chose in the sidebar, or the current one.

        Raises:
            DashboardProblem: there is none, or it was refused.
        """
        entries = self.home.entries(domain)
        current = next((e for e in entries if e.get("is_current")), entries[0])
        names = {str(e["release_id"]): self._release_label(e, e is current) for e in entries}
        chosen = filters.choice(
            st.sidebar,
            "release",
            self.say("shell.release"),
            list(names),
            str(current["release_id"]),
            names.__getitem__,
        )
        return self.home.release(domain, chosen)

    def _release_label(self, entry: Mapping[str, Any], is_current: bool) -> str:
        created = parse_time(str(entry["created_at"]))
        label = day_text(created, self.say.language)
        return f"{label} · {self.say('shell.current')}" if is_current else label


def language() -> str:
    """The page's language: from the URL, else as chosen before in this session, else English."""
    chosen = st.query_params.get("lang") or st.session_state.get("lang") or DEFAULT_LANGUAGE
    chosen = chosen if chosen in LANGUAGES else DEFAULT_LANGUAGE
    st.session_state["lang"] = chosen
    # Navigation drops the query: put the language back, so that every address can be passed on.
    if st.query_params.get("lang", DEFAULT_LANGUAGE) != chosen:
        st.query_params["lang"] = chosen
    return chosen


def show(view: str, load: Callable[[Page], Loaded], draw: Callable[[Page, Loaded], None]) -> None:
    """Show one view: frame, then what `load` read, or the state that says why it could not."""
    say = Translator(language())
    _frame(view, say)
    waiting = st.empty()
    if not st.session_state.get(f"seen:{view}"):
        waiting.html(_skeleton(say))
    try:
        page = Page(view, say, Home(home_path()))
        loaded = load(page)
        waiting.empty()
        draw(page, loaded)
        st.session_state[f"seen:{view}"] = True
    except DashboardProblem as problem:
        waiting.empty()
        problem_state(problem, say)
    except Exception as error:  # noqa: BLE001 - the last net: a reader never sees a stack trace
        waiting.empty()
        _LOG.error("view %s failed: %s at %s", view, type(error).__name__, _place(error))
        state("error", say("states.error.title"), say("states.error.unexpected"), say)


def _place(error: Exception) -> str:
    """File and line of a failure: enough to find it, without any value of the data."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}"


def _frame(view: str, say: Translator) -> None:
    st.html(f"<style>{(THEME / 'theme.css').read_text(encoding='utf-8')}</style>")
    st.html(_PAGE_SCRIPT.replace("LANGUAGE", say.language), unsafe_allow_javascript=True)
    filters.choice(
        st.sidebar,
        "lang",
        "Language / भाषा",
        list(LANGUAGES),
        DEFAULT_LANGUAGE,
        {"en": "English", "hi": "हिन्दी"}.__getitem__,
        keep=True,
    )
    other = "hi" if say.language == "en" else "en"
    word = {"en": "Read in English", "hi": "हिन्दी में पढ़ें"}[other]
    st.html(
        f'<div class="masthead"><h1>{escape(say(f"{view}.question"))}</h1>'
        f'<a class="language" lang="{other}" target="_self" '
        f'href="{escape(filters.address(lang=other), quote=True)}">{word}</a></div>'
    )


# Streamlit writes lang="en" into the page and leaves its parts without landmarks; readers' software
# needs both. The script is ours, inline, and fetches nothing.
_PAGE_SCRIPT = """<script>
document.documentElement.lang = "LANGUAGE";
for (const part of document.querySelectorAll('[data-testid="stMain"]')) {
  part.setAttribute("role", "main");
}
</script>"""


def _skeleton(say: Translator) -> str:
    bars = "".join(f'<div class="bone b{index}"></div>' for index in range(1, 6))
    return f'<div class="skeleton" role="status"><p>{escape(say("states.loading"))}</p>{bars}</div>'


def state(kind: str, title: str, body: str, say: Translator, extra: str = "") -> None:
    """A state in place of a figure or above it: title, what it means, what to do.

    Args:
        kind: class of theme.css: empty, stale, not_allowed, refused, budget, error.
        title: one line.
        body: what it means and what to do, plain text.
        say: the page's language.
        extra: more markup (already escaped).
    """
    role = "alert" if kind in ("refused", "error") else "status"
    st.html(
        f'<section class="state {kind}" role="{role}" aria-label="{escape(title, quote=True)}" '
        f'data-state="{kind}" lang="{say.language}"><h2>{escape(title)}</h2>'
        f"<p>{escape(body)}</p>{extra}</section>"
    )


def problem_state(problem: DashboardProblem, say: Translator) -> None:
    """The state for a problem of the data module, with what was expected and what was found."""
    name = problem.state
    kind = "error" if name == "home_missing" else name
    rows = [
        (say(f"states.{word}"), problem.detail[word])
        for word in ("where", "expected", "found")
        if problem.detail[word] and name in ("refused", "error", "home_missing")
    ]
    facts = "".join(f"<dt>{escape(a)}</dt><dd><code>{escape(b)}</code></dd>" for a, b in rows)
    extra = f"<dl>{facts}</dl>" if facts else ""
    state(kind, say(f"states.{name}.title"), say(f"states.{name}.body"), say, extra)


def notices(page: Page, release: Release) -> None:
    """Banners above the figures: an older release or a stale one."""
    say = page.say
    created = day_text(release.created_at, say.language)
    if not release.is_current:
        state("stale", say("states.older.title"), say("states.older.body", date=created), say)
    elif release.is_stale(datetime.now(UTC)):
        state("stale", say("states.stale.title", date=created), say("states.stale.body"), say)


def budget_note(page: Page, release: Release) -> None:
    """Below the figures: that the privacy budget of these people is spent, where it is.

    Not above them: it hinders no reader of what is published, only whoever plans the next figure.
    """
    if release.is_budget_spent():
        say, budget = page.say, release.manifest["budget"]
        title = say("states.budget.title", year=budget["year"])
        epsilon = f"{budget['epsilon']:g}"
        state("budget", title, say("states.budget.body", epsilon=epsilon), say)


def sample_banner(say: Translator, *releases: Release) -> None:
    """One calm line above everything where a page shows figures of a simulated sample."""
    if any(release.is_sample for release in releases):
        st.html(
            f'<p class="sample" role="note"><b>{escape(say("sample.tag"))}</b> '
            f"{escape(say('sample.banner'))}</p>"
        )


def lead(text: str) -> None:
    """The one sentence that answers the view's question."""
    st.html(f'<p class="lead">{escape(text)}</p>')


def key_figures(items: list[tuple[str, str, str]]) -> None:
    """At most three key figures: (label, value, interval in words)."""
    cells = "".join(
        f"<div><dt>{escape(label)}</dt><dd><b>{escape(value)}</b><span>{escape(caption)}</span></dd></div>"
        for label, value, caption in items[:3]
    )
    st.html(f'<dl class="keys">{cells}</dl>')


def cannot_say(page: Page, text: str) -> None:
    """What the view cannot say, always in the same place and form."""
    st.html(
        f'<section class="cannot"><h2>{escape(page.say("shell.cannot_say"))}</h2>'
        f"<p>{escape(text)}</p></section>"
    )


def heading(text: str) -> None:
    """A heading between figures."""
    st.html(f'<h2 class="between">{escape(text)}</h2>')
