"""The figure card: the one way a figure is shown.

What belongs here: specs/dashboard.md "Anatomy of a figure": the finding as title, subtitle, the
picture, one sentence of how sure we are, what is not published and why, and the footer with the
release, the receipt, the data, the link and the accessible table.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

import streamlit as st

from apps.components import filters
from apps.components.pictures import Cell
from apps.components.shell import Page
from apps.data import Release, Table, to_csv
from apps.text.catalogue import Translator
from apps.text.findings import sentence_case
from apps.text.numbers import bounds_text, day_text, grouped

PANELS = ("verify", "data", "link", "table")


@dataclass(frozen=True)
class Figure:
    """Everything a card says. `rows` pairs the names of each cell with the cell itself.

    `control` draws a control of the picture, right below it.
    """

    figure_id: str
    title: str
    subtitle: str
    picture: str
    certainty: str
    names: Sequence[str]
    rows: Sequence[tuple[Sequence[str], Cell]]
    release: Release
    table: Table
    control: Callable[[], None] | None = None


def card(page: Page, figure: Figure) -> None:
    """Draw one figure with its footer and its four panels."""
    say = page.say
    with st.container(key=f"card-{figure.figure_id}"):
        st.html(
            f'<div class="figure" id="{figure.figure_id}"><h2>{escape(figure.title)}</h2>'
            f'<p class="subtitle">{escape(figure.subtitle)}</p>{figure.picture}</div>'
        )
        sure = f'<p class="sure">{escape(figure.certainty)}</p>' if figure.certainty else ""
        if figure.control:
            figure.control()
        st.html(f'<div class="figure">{sure}{_withheld(figure, say)}{_footer(figure, say)}</div>')
        _panels(page, figure)


def certainty(cell: Cell, say: Translator) -> str:
    """'Between 41% and 45%; based on about 12,300 workers.' for one released figure."""
    if cell.value is None:
        return say("card.not_published_because", reason=say.code("reasons", cell.reason)) + "."
    if cell.lower is None or cell.upper is None:
        return say("card.exact")
    low, high = bounds_text(cell.measure, cell.lower, cell.upper)
    if cell.contributors is None:
        return say("card.between", low=low, high=high)
    return say("card.between_based", low=low, high=high, count=grouped(cell.contributors))


def caption(cell: Cell, say: Translator) -> str:
    """What stands below a key figure: how sure we are, or only the reason why there is none."""
    if cell.value is None:
        return sentence_case(say.code("reasons", cell.reason)) + say("words.stop")
    return certainty(cell, say)


def _withheld(figure: Figure, say: Translator) -> str:
    reasons = Counter(cell.reason for _, cell in figure.rows if not cell.is_published)
    if not reasons:
        return ""
    listed = "; ".join(
        f"{grouped(count)}: {say.code('reasons', reason)}"
        for reason, count in reasons.most_common()
    )
    if len(reasons) == 1:
        listed = sentence_case(say.code("reasons", next(iter(reasons))))
    text = say(
        "card.withheld",
        count=grouped(sum(reasons.values())),
        total=grouped(len(figure.rows)),
        listed=listed,
    )
    return f'<p class="held"><i class="swatch withheld"></i>{escape(text)}</p>'


def _footer(figure: Figure, say: Translator) -> str:
    release = figure.release
    snapshots = ", ".join(release.snapshot_ids[:1]) or "–"
    items = [
        (say("card.released"), [day_text(release.created_at, say.language)]),
        (say("card.release"), [release.release_id]),
        (say("card.snapshot"), [snapshots]),
        (say("card.rules"), release.rule_versions or ["–"]),
    ]
    body = "".join(
        f"<span>{escape(name)} {', '.join(f'<b>{escape(value)}</b>' for value in values)}</span>"
        for name, values in items
    )
    tag = f'<strong class="tag">{escape(say("sample.tag"))}</strong>' if release.is_sample else ""
    return f'<div class="source">{tag}{body}</div>'


@st.fragment
def _panels(page: Page, figure: Figure) -> None:
    say = page.say
    chosen = st.pills(
        say("card.more"),
        PANELS,
        format_func=lambda name: say(f"card.{name}"),
        key=f"panel:{figure.figure_id}",
        label_visibility="collapsed",
    )
    if chosen == "verify":
        _receipt(page, figure)
    elif chosen == "data":
        _data(page, figure)
    elif chosen == "link":
        st.html(f'<p class="panel-note">{escape(say("card.link_note"))}</p>')
        st.code((st.context.url or "") + filters.address(), language=None, wrap_lines=True)
    elif chosen == "table":
        st.html(_twin(figure, say))


def _receipt(page: Page, figure: Figure) -> None:
    say, receipt = page.say, figure.release.receipt
    checks = [
        say("receipt.file", file=str(figure.table.meta["file"]), digest=figure.table.sha256[:16]),
        say("receipt.manifest"),
        say("receipt.entry", index=receipt.log_index, size=receipt.log_size),
        say("receipt.signed", origin=receipt.origin, root=receipt.root[:16]),
    ]
    items = "".join(f"<li>{escape(text)}</li>" for text in checks)
    limits = " ".join([*_sample_note(page, figure.release), say("receipt.limits")])
    st.html(
        f'<div class="receipt"><h3>{escape(say("receipt.checked"))}</h3>'
        f'<ul class="checks">{items}</ul>'
        f"<h3>{escape(say('receipt.not_proven'))}</h3><p>{escape(limits)}</p></div>"
    )
    proof_button(page, figure.release, figure.figure_id)


def proof_button(page: Page, release: Release, key: str) -> None:
    """The evidence pack of a release: one C2SP .tlog-proof file that verifies offline."""
    st.download_button(
        page.say("receipt.download"),
        release.receipt.proof,
        file_name=f"{_stem(release)}.tlog-proof",
        mime="text/plain",
        key=f"proof:{key}",
        on_click="ignore",
    )


def _sample_note(page: Page, release: Release) -> list[str]:
    return [page.say("sample.banner")] if release.is_sample else []


def _stem(release: Release) -> str:
    # A file travels without its page: its name has to say what the banner said.
    return f"simulated-sample.{release.release_id}" if release.is_sample else release.release_id


def _data(page: Page, figure: Figure) -> None:
    say, table = page.say, figure.table
    licence = say("card.data_note", licence=str(figure.release.manifest.get("licence", "")))
    note = " ".join([*_sample_note(page, figure.release), licence])
    st.html(f'<p class="panel-note">{escape(note)}</p>')
    stem = f"{_stem(figure.release)}.{table.name}"
    with st.container(horizontal=True):
        st.download_button(
            say("card.csv"),
            to_csv(table.frame),
            file_name=f"{stem}.csv",
            mime="text/csv",
            key=f"csv:{figure.figure_id}",
            on_click="ignore",
        )
        st.download_button(
            say("card.parquet"),
            table.content,
            file_name=f"{stem}.parquet",
            mime="application/vnd.apache.parquet",
            key=f"parquet:{figure.figure_id}",
            on_click="ignore",
        )


def _twin(figure: Figure, say: Translator) -> str:
    """The same figures as a table: every cell, its interval, or why it is not published."""
    has_interval = any(cell.range for _, cell in figure.rows)
    headings = [*figure.names, say("card.value"), *([say("card.interval")] if has_interval else [])]
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in headings)
    body = "".join(_twin_row(names, cell, say, has_interval) for names, cell in figure.rows)
    title = escape(figure.title, quote=True)
    return (
        f'<div class="twin" tabindex="0" role="region" aria-label="{title}"><table>'
        f"<caption>{escape(figure.subtitle)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _twin_row(names: Sequence[str], cell: Cell, say: Translator, has_interval: bool) -> str:
    first, *others = names
    labels = f'<th scope="row">{escape(first)}</th>' + "".join(
        f"<td>{escape(name)}</td>" for name in others
    )
    if cell.value is None:
        span = 2 if has_interval else 1
        return (
            f'<tr>{labels}<td class="none" colspan="{span}">{escape(cell.sentence(say))}</td></tr>'
        )
    interval = f'<td class="n">{escape(cell.range)}</td>' if has_interval else ""
    return f'<tr>{labels}<td class="n">{escape(cell.text)}</td>{interval}</tr>'
