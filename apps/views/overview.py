"""What does the ledger show? Both domains on one page, and how to check them."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape

import streamlit as st

from apps.components import card, cells, filters, pictures, shell
from apps.components.pictures import Cell, Panel, Reference, Row
from apps.data import DashboardProblem, NoRelease, Release, Table
from apps.text.findings import compare, fraction_phrase, mid_sentence, sentence_case
from apps.text.numbers import grouped, period_text

SHARE = "below_notified_rate_share"
COUNT = "worker_count"
COMPLIANT = "compliant_share"


@dataclass(frozen=True)
class Domain:
    """One domain's current release with the table that the overview draws."""

    release: Release
    table: Table
    period: str


Part = Domain | DashboardProblem


@dataclass(frozen=True)
class Overview:
    """Each domain, or the problem that stands in its place."""

    wages: Part
    medicines: Part
    places: cells.Places


def load(page: shell.Page) -> Overview:
    """Read what there is; one refused domain does not hide the other."""
    _ = page.home.index  # raises where nothing was released at all
    wages = _domain(page, "wages", "wages_district_quarter", SHARE)
    medicines = _domain(page, "pharma", "compliance_quarter", COMPLIANT)
    if isinstance(wages, NoRelease) and isinstance(medicines, NoRelease):
        raise wages
    names = wages.release.places() if isinstance(wages, Domain) else None
    empty = cells.pd.DataFrame()
    return Overview(wages, medicines, cells.Places(empty if names is None else names, page.say))


def _domain(page: shell.Page, domain: str, name: str, measure: str) -> Part:
    try:
        release = page.home.release(domain)
        table = release.table(name)
    except DashboardProblem as problem:
        return problem
    return Domain(release, table, cells.newest(table.frame, measure))


def draw(page: shell.Page, overview: Overview) -> None:
    """The answer, three key figures, a card a domain, and the ways on."""
    parts = [p for p in (overview.wages, overview.medicines) if isinstance(p, Domain)]
    shell.sample_banner(page.say, *(part.release for part in parts))
    for part in parts:
        shell.notices(page, part.release)
    _answer(page, overview)
    if isinstance(overview.wages, Domain):
        _wages_card(page, overview.wages, overview.places)
    else:
        shell.problem_state(overview.wages, page.say)
    if isinstance(overview.medicines, Domain):
        _medicines_card(page, overview.medicines)
    else:
        shell.problem_state(overview.medicines, page.say)
    _questions(page)
    for part in parts:
        shell.budget_note(page, part.release)
    shell.cannot_say(page, page.say("overview.cannot_say"))


def _nation(part: Domain, measure: str) -> Cell:
    return cells.one(part.table.frame, level="nation", measure=measure, period=part.period)


def _total(part: Domain) -> Cell:
    return cells.one(
        part.table.frame,
        measure=COMPLIANT,
        period=part.period,
        product_class=cells.ALL,
        jurisdiction=cells.ALL,
    )


def _answer(page: shell.Page, overview: Overview) -> None:
    say = page.say
    sentences, keys = [], []
    if isinstance(overview.wages, Domain):
        share, count = _nation(overview.wages, SHARE), _nation(overview.wages, COUNT)
        time = period_text(overview.wages.period, say.language)
        if share.interval:
            phrase = fraction_phrase(*share.interval, say)
            sentences.append(say("overview.lead_wages", fraction=phrase, period=time))
        for cell in (share, count):
            caption = f"{time}: {card.caption(cell, say)}"
            keys.append((say(f"measures.{cell.measure}"), cell.text or say("card.none"), caption))
    if isinstance(overview.medicines, Domain):
        total = _total(overview.medicines)
        time = period_text(overview.medicines.period, say.language)
        if total.value is not None:
            sentences.append(say("overview.lead_medicines", share=total.text, period=time))
        sure = card.caption(total, say) if total.value is None else say("card.exact_short")
        caption = f"{time}: {sure}"
        keys.append((say(f"measures.{COMPLIANT}"), total.text or say("card.none"), caption))
    shell.lead(" ".join(sentence_case(text) for text in sentences))
    shell.key_figures(keys)


def _wages_card(page: shell.Page, part: Domain, places: cells.Places) -> None:
    say, nation = page.say, _nation(part, SHARE)
    states = cells.by(
        part.table.frame, "state_code", level="state", measure=SHARE, period=part.period
    )
    ordered = sorted(states, key=lambda c: (states[c].value is None, -(states[c].value or 0.0)))
    lines = (
        [Reference(f"{sentence_case(say('wages.pilot'))}: {nation.text}", nation.value)]
        if nation.value
        else []
    )
    rows = [Row(places.state(code), states[code]) for code in ordered]
    above = [
        int(code)
        for code in ordered
        if nation.interval
        and (pair := states[code].interval)
        and compare(pair, nation.interval) > 0
    ]
    if not any(row.cell.is_published for row in rows):
        title = say("wages.map_title.no_state")
    elif above:
        title = say(f"wages.map_title.{SHARE}", places=places.listed(above))
    else:
        title = say(f"wages.map_title.{SHARE}_none")
    scale = pictures.scale_for(list(states.values()), lines)
    card.card(
        page,
        card.Figure(
            figure_id="states",
            title=title,
            subtitle=say(
                "wages.subtitle",
                measure=say(f"measures_long.{SHARE}"),
                what=say("wages.by.state"),
                place=say("wages.pilot"),
                period=period_text(part.period, say.language),
            ),
            picture=pictures.dot_plot([Panel("", rows)], scale, say, lines),
            certainty=f"{say('wages.pilot_prefix')} {card.certainty(nation, say)}",
            names=[say("filters.state")],
            rows=[([row.label], row.cell) for row in rows],
            release=part.release,
            table=part.table,
        ),
    )


def _medicines_card(page: shell.Page, part: Domain) -> None:
    say = page.say
    classes = cells.by(
        part.table.frame,
        "product_class",
        measure=COMPLIANT,
        period=part.period,
        jurisdiction=cells.ALL,
    )
    total = classes.pop(cells.ALL, _total(part))
    ordered = sorted(classes, key=lambda c: (classes[c].value is None, classes[c].value or 0.0))
    rows = [Row(say.code("product_class", code), classes[code]) for code in ordered]
    lines = [Reference(f"{say('medicines.all')}: {total.text}", total.value)] if total.value else []
    worst = next((code for code in ordered if classes[code].value is not None), None)
    title = (
        say("medicines.title_withheld")
        if worst is None
        else say(
            "overview.title_medicines",
            name=mid_sentence(say.code("product_class", worst)),
            share=classes[worst].text,
        )
    )
    scale = pictures.scale_for([row.cell for row in rows], lines)
    card.card(
        page,
        card.Figure(
            figure_id="classes",
            title=title,
            subtitle=say("medicines.subtitle_class", period=period_text(part.period, say.language)),
            picture=pictures.dot_plot([Panel("", rows)], scale, say, lines),
            certainty=say("card.exact"),
            names=[say("filters.product_class")],
            rows=[([row.label], row.cell) for row in rows],
            release=part.release,
            table=part.table,
        ),
    )


def _questions(page: shell.Page) -> None:
    say = page.say
    shell.heading(say("overview.ask_next"))
    items = "".join(
        f'<li><a target="_self" href="{view}{escape(filters.address(), quote=True)}">'
        f"<b>{escape(say(f'{view}.question'))}</b><span>{escape(say(f'{view}.about'))}</span></a></li>"
        for view in ("wages", "medicines", "fairness", "verify")
    )
    try:
        size = grouped(page.home.log().checkpoint.size)
        note = say("overview.log_note", size=size)
    except DashboardProblem:
        note = ""
    st.html(f'<ul class="questions">{items}</ul><p class="panel-note">{escape(note)}</p>')


shell.show("overview", load, draw)
