"""Is this figure what was committed? The log, its proofs and the hashes, checked while you look."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import streamlit as st

from apps.components import card, shell
from apps.data import DashboardProblem, Log, Release
from apps.text.numbers import day_text, grouped


@dataclass(frozen=True)
class Checked:
    """The log and every release: opened and proven, or the problem found."""

    log: Log
    releases: list[tuple[str, Release | DashboardProblem]]


def load(page: shell.Page) -> Checked:
    """Open the log and check each release against it; released tables are hashed, not shown."""
    index = page.home.index
    log = page.home.log()
    releases: list[tuple[str, Release | DashboardProblem]] = []
    for entry in index:
        name = str(entry["release_id"])
        try:
            releases.append((name, page.home.release(str(entry["domain"]), name)))
        except DashboardProblem as problem:
            releases.append((name, problem))
    return Checked(log, releases)


def draw(page: shell.Page, checked: Checked) -> None:
    """The verdict, the log, each release with its files, and what all this proves."""
    say = page.say
    wrong = sum(not _is_sound(release) for _, release in checked.releases)
    total = len(checked.releases)
    text = say("verify.lead_ok") if not wrong else say("verify.lead_bad", wrong=wrong, total=total)
    opened = [release for _, release in checked.releases if isinstance(release, Release)]
    shell.sample_banner(say, *opened)
    shell.lead(text)
    checkpoint = checked.log.checkpoint
    shell.key_figures(
        [
            (say("verify.entries"), grouped(checkpoint.size), say("verify.entries_note")),
            (say("verify.releases"), grouped(total), say("verify.releases_note")),
            (say("verify.refused"), grouped(wrong), say("verify.refused_note")),
        ]
    )
    for name, release in checked.releases:
        if isinstance(release, DashboardProblem):
            shell.problem_state(release, say)
        else:
            _release_card(page, name, release)
    _log_card(page, checked.log)
    _words(page)
    shell.cannot_say(page, say("verify.cannot_say"))


def _is_sound(release: Release | DashboardProblem) -> bool:
    return isinstance(release, Release) and all(a == b for _, a, b in release.files())


def _release_card(page: shell.Page, name: str, release: Release) -> None:
    say, receipt = page.say, release.receipt
    title = say.pick(release.manifest.get("title")) or name
    with st.container(key=f"card-release-{name}"):
        checks = "".join(
            f"<li>{escape(text)}</li>"
            for text in (
                say("receipt.manifest"),
                say("receipt.entry", index=receipt.log_index, size=receipt.log_size),
                say("receipt.signed", origin=receipt.origin, root=receipt.root[:16]),
            )
        )
        drawn = say("verify.drawn", date=day_text(release.created_at, say.language), name=name)
        st.html(
            f'<div class="figure"><h2>{escape(title)}</h2><p class="subtitle">{escape(drawn)}</p>'
            f'<ul class="checks">{checks}</ul>{_files(page, release)}</div>'
        )
        card.proof_button(page, release, f"verify-{name}")


def _files(page: shell.Page, release: Release) -> str:
    say = page.say
    head = "".join(
        f'<th scope="col">{escape(say(f"verify.{word}"))}</th>'
        for word in ("file", "result", "expected", "found")
    )
    body = ""
    for name, expected, found in release.files():
        is_same = expected == found
        word, look = ("verify.same", "good") if is_same else ("verify.differs", "bad")
        body += (
            f'<tr><th scope="row">{escape(name)}</th><td class="{look}">{escape(say(word))}</td>'
            f'<td><code title="{expected}">{expected[:16]}…</code></td>'
            f'<td><code title="{found}">{found[:16] or "–"}…</code></td></tr>'
        )
    caption = escape(say("verify.files"))
    label = f"{caption} {escape(release.release_id, quote=True)}"
    return (
        f'<div class="twin" tabindex="0" role="region" aria-label="{label}">'
        f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _log_card(page: shell.Page, log: Log) -> None:
    say, checkpoint = page.say, log.checkpoint
    rows = [
        (say("verify.origin"), checkpoint.origin),
        (say("verify.size"), grouped(checkpoint.size)),
        (say("verify.root"), checkpoint.root.hex()),
        (say("verify.key"), log.key),
    ]
    body = "".join(f"<dt>{escape(a)}</dt><dd><code>{escape(b)}</code></dd>" for a, b in rows)
    with st.container(key="card-log"):
        st.html(
            f'<div class="figure"><h2>{escape(say("verify.log_title"))}</h2>'
            f'<p class="subtitle">{escape(say("verify.log_subtitle"))}</p>'
            f'<dl class="facts">{body}</dl></div>'
        )
        st.download_button(
            say("verify.key_download"),
            log.key + "\n",
            file_name="log.vkey",
            mime="text/plain",
            key="vkey",
            on_click="ignore",
        )


def _words(page: shell.Page) -> None:
    say = page.say
    columns = "".join(
        f"<section><h2>{escape(say(f'verify.{side}.title'))}</h2><ul>"
        + "".join(f"<li>{escape(say(f'verify.{side}.{n}'))}</li>" for n in (1, 2, 3))
        + "</ul></section>"
        for side in ("proven", "unproven")
    )
    st.html(
        f'<div class="proven">{columns}</div><section class="offline"><h2>'
        f"{escape(say('verify.offline_title'))}</h2><p>{escape(say('verify.offline'))}</p></section>"
    )
    st.code("ledger-anchor verify --home DIR\nledger-anchor audit --home DIR", language=None)


shell.show("verify", load, draw)
