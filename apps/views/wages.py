"""Who is paid below the notified wage? By state, district, month and sex."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import streamlit as st

from apps.components import card, cells, filters, pictures, shell
from apps.components.pictures import Cell, Panel, Reference, Row
from apps.data import Release, Table
from apps.text.catalogue import Translator
from apps.text.findings import (
    Split,
    compare,
    fraction_phrase,
    sentence_case,
    split_by_reference,
)
from apps.text.numbers import first_and_last_month, month_name, period_text, rupees

SHARE = "below_notified_rate_share"
MEAN = "mean_daily_wage_paise"
COUNT = "worker_count"
MEASURES = (SHARE, MEAN, COUNT)

# Of the whole pilot the ends are shown first: all its districts are eight screens of a phone.
HIGHEST, LOWEST = 8, 7

# What the reader may ask the picture of districts for; without it the measure decides.
SPANS = ("year", "quarter")


@dataclass(frozen=True)
class Wages:
    """What the view reads: one release and its tables about wages.

    `years` is None in a release made before there was such a table.
    """

    release: Release
    places: cells.Places
    quarters: Table
    years: Table | None
    months: Table
    sexes: Table


@dataclass(frozen=True)
class Choice:
    """The filters: measure, quarter and state ('all' or an LGD code)."""

    measure: str
    period: str
    state: str

    @property
    def state_code(self) -> int | None:
        """The chosen state's code, or None for the whole pilot."""
        return None if self.state == cells.ALL else int(self.state)

    @property
    def area(self) -> dict[str, object]:
        """Codes that select the chosen area's own row."""
        if self.state_code is None:
            return {"level": "nation"}
        return {"level": "state", "state_code": self.state_code}


@dataclass(frozen=True)
class Span:
    """What the picture of districts is about: a table, its period, and the switch it offers."""

    table: Table
    choice: Choice
    other: str = ""

    def districts(self) -> dict[int, dict[int, Cell]]:
        """Cells of the chosen area's districts, by codes of state and district."""
        codes = {} if self.choice.state_code is None else {"state_code": self.choice.state_code}
        frame = cells.select(
            self.table.frame,
            level="district",
            measure=self.choice.measure,
            period=self.choice.period,
            **codes,
        )
        return {
            int(code): {int(key): cell for key, cell in cells.by(group, "district_code").items()}
            for code, group in frame.groupby("state_code")
        }

    def cells(self) -> dict[int, Cell]:
        """Cells of all these districts by code."""
        return {key: cell for group in self.districts().values() for key, cell in group.items()}

    @property
    def published(self) -> int:
        """How many of the districts can be shown."""
        return sum(cell.is_published for cell in self.cells().values())


def load(page: shell.Page) -> Wages:
    """Read and check the release that the reader chose."""
    release = page.release("wages")
    has_years = any(table["name"] == "wages_district_year" for table in release.tables)
    return Wages(
        release,
        cells.Places(release.places(), page.say),
        release.table("wages_district_quarter"),
        release.table("wages_district_year") if has_years else None,
        release.table("wages_state_month"),
        release.table("wages_sex_quarter"),
    )


def draw(page: shell.Page, wages: Wages) -> None:
    """The answer, three key figures, then map, districts, months and sexes."""
    shell.sample_banner(page.say, wages.release)
    shell.notices(page, wages.release)
    top = st.container()
    choice = _filters(page, wages)
    with top:
        _answer(page, wages, choice)
    _map_card(page, wages, choice)
    _district_card(page, wages, choice)
    _month_card(page, wages, choice)
    _sex_card(page, wages, choice)
    shell.budget_note(page, wages.release)
    shell.cannot_say(page, page.say.pick(wages.release.manifest.get("what_it_cannot_say")))


def _filters(page: shell.Page, wages: Wages) -> Choice:
    say, frame = page.say, wages.quarters.frame
    codes = sorted(
        cells.select(frame, level="state")["state_code"].dropna().astype(int).unique(),
        key=wages.places.state,
    )
    times = cells.periods(frame)
    with st.container(key="filters", horizontal=True, vertical_alignment="bottom"):
        measure = filters.choice(
            st, "measure", say("filters.measure"), MEASURES, SHARE, lambda c: say(f"measures.{c}")
        )
        period = filters.choice(
            st,
            "period",
            say("filters.period"),
            times,
            cells.newest(frame, SHARE),
            lambda c: period_text(c, say.language),
        )
        state = filters.choice(
            st,
            "state",
            say("filters.state"),
            [cells.ALL, *(str(code) for code in codes)],
            cells.ALL,
            lambda c: say("filters.all_states") if c == cells.ALL else wages.places.state(int(c)),
        )
        filters.reset(st, say("filters.reset"), ("measure", "period", "state", "districts", "span"))
    return Choice(measure, period, state)


def _place(page: shell.Page, wages: Wages, choice: Choice) -> str:
    code = choice.state_code
    return page.say("wages.pilot") if code is None else wages.places.state(code)


def _whole(page: shell.Page, wages: Wages, choice: Choice) -> str:
    """The chosen area as what its parts are compared with: 'the whole pilot'."""
    code = choice.state_code
    if code is None:
        return page.say("wages.whole_pilot")
    return page.say("wages.whole_state", state=wages.places.state(code))


def _own(table: Table, choice: Choice, measure: str) -> Cell:
    return cells.one(table.frame, measure=measure, period=choice.period, **choice.area)


def _answer(page: shell.Page, wages: Wages, choice: Choice) -> None:
    say = page.say
    place, time = _place(page, wages, choice), period_text(choice.period, say.language)
    share = _own(wages.quarters, choice, SHARE)
    if share.interval is None:
        text = say("wages.lead_withheld", place=place, period=time)
    else:
        phrase = fraction_phrase(*share.interval, say)
        text = say("wages.lead", place=place, period=time, fraction=phrase)
    shell.lead(sentence_case(text))
    items = []
    for measure in (SHARE, MEAN, COUNT):
        cell = _own(wages.quarters, choice, measure)
        value = cell.text or say("card.none")
        items.append((say(f"measures.{measure}"), value, card.caption(cell, say)))
    shell.key_figures(items)


def _subtitle(page: shell.Page, wages: Wages, choice: Choice, what: str) -> str:
    say = page.say
    return say(
        "wages.subtitle",
        measure=say(f"measures_long.{choice.measure}"),
        what=say(f"wages.by.{what}"),
        place=_place(page, wages, choice),
        period=period_text(choice.period, say.language),
    )


def _map_card(page: shell.Page, wages: Wages, choice: Choice) -> None:
    say = page.say
    states = {
        int(code): cell
        for code, cell in cells.by(
            wages.quarters.frame,
            "state_code",
            level="state",
            measure=choice.measure,
            period=choice.period,
        ).items()
    }
    everywhere = Choice(choice.measure, choice.period, cells.ALL)
    nation = _own(wages.quarters, everywhere, choice.measure)
    links = {code: filters.address(state=str(code)) for code in states}
    card.card(
        page,
        card.Figure(
            figure_id="map",
            title=_map_title(page, wages, states, nation),
            subtitle=_subtitle(page, wages, everywhere, "state"),
            picture=pictures.tile_map(states, say, links, choice.state_code),
            certainty=f"{say('wages.pilot_prefix')} {card.certainty(nation, say)}",
            names=[say("filters.state")],
            rows=[([wages.places.state(code)], cell) for code, cell in _sorted(states)],
            release=wages.release,
            table=wages.quarters,
        ),
    )


def _sorted(items: dict[int, Cell]) -> list[tuple[int, Cell]]:
    """Largest first; what is not published comes last."""
    return sorted(items.items(), key=lambda item: (item[1].value is None, -(item[1].value or 0.0)))


def _map_title(page: shell.Page, wages: Wages, states: dict[int, Cell], nation: Cell) -> str:
    say = page.say
    if nation.interval is None:
        return say("wages.map_title.withheld")
    measure = nation.measure
    if measure == COUNT:
        return say("wages.map_title.worker_count", count=nation.text, states=len(states))
    if not any(cell.is_published for cell in states.values()):
        return say("wages.map_title.no_state")
    # For wages the worrying side is below the mean, for the share it is above.
    side = -1 if measure == MEAN else 1
    apart = [
        code
        for code, cell in _sorted(states)
        if cell.interval and compare(cell.interval, nation.interval) == side
    ]
    if side < 0:
        apart.reverse()
    if not apart:
        return say(f"wages.map_title.{measure}_none")
    return say(f"wages.map_title.{measure}", places=wages.places.listed(apart))


def _span(wages: Wages, choice: Choice) -> Span:
    """Quarter or year: what the reader asked for, where a district of it is published.

    A quarter's share is too uncertain for nearly every district, so the share starts at the year.
    """
    quarter = Span(wages.quarters, choice)
    if wages.years is None:
        return quarter
    year = Span(wages.years, replace(choice, period=choice.period[:4]))
    if not (quarter.published and year.published):
        return year if year.published else quarter
    asked = next((code for code in SPANS if filters.is_on("span", code)), None)
    usual, other = SPANS if choice.measure == SHARE else reversed(SPANS)
    return replace(year if (asked or usual) == "year" else quarter, other=other)


def _district_card(page: shell.Page, wages: Wages, choice: Choice) -> None:
    say, span = page.say, _span(wages, choice)
    by_state = span.districts()
    flat = [cell for group in by_state.values() for cell in group.values()]
    lines = _lines(page, wages, span.table, span.choice)
    is_long = len(flat) > HIGHEST + LOWEST
    if is_long and not filters.is_on("districts", "all"):
        panels = _ends(page, wages, by_state)
    else:
        panels = _by_state(wages, by_state, choice)
    rows = [
        ([wages.places.district(key), wages.places.state(code)], cell)
        for code in sorted(by_state, key=wages.places.state)
        for key, cell in _sorted(by_state[code])
    ]
    card.card(
        page,
        card.Figure(
            figure_id="districts",
            title=_district_title(page, wages, span),
            subtitle=_subtitle(page, wages, span.choice, "district"),
            picture=pictures.dot_plot(panels, pictures.scale_for(flat, lines), say, lines),
            certainty=_district_note(page, wages, choice, span),
            names=[say("filters.district"), say("filters.state")],
            rows=rows,
            release=wages.release,
            table=span.table,
            control=partial(_district_switches, say, span, choice, len(flat) if is_long else 0),
        ),
    )


def _by_state(
    wages: Wages, by_state: Mapping[int, Mapping[int, Cell]], choice: Choice
) -> list[Panel]:
    return [
        Panel(
            wages.places.state(code) if choice.state_code is None else "",
            [Row(wages.places.district(key), cell) for key, cell in _sorted(by_state[code])],
        )
        for code in sorted(by_state, key=wages.places.state)
    ]


def _district_note(page: shell.Page, wages: Wages, choice: Choice, span: Span) -> str:
    """How to read the bars, and why it is the year; without any bar, what else there is."""
    say = page.say
    if not span.published:
        return _instead(page, span)
    split, _ = _split(span)
    parts = [say("wages.bars")]
    if split and choice.measure != COUNT:
        whole = _whole(page, wages, choice)
        counts = {"above": split.above, "below": split.below, "unclear": split.unclear}
        parts.append(say("wages.district_note", whole=whole, **counts))
    if span.choice != choice:
        parts.append(
            say(
                "wages.whole_year",
                year=period_text(span.choice.period, say.language),
                quarter=period_text(choice.period, say.language),
                shown=span.published,
                alone=Span(wages.quarters, choice).published,
                total=len(span.cells()),
            )
        )
    return " ".join(parts)


def _instead(page: shell.Page, span: Span) -> str:
    """Where no district has this figure: which measure most districts do have, if any."""
    frame = cells.select(span.table.frame, level="district", period=span.choice.period)
    shown = frame[frame["is_published"].astype(bool)]["measure"].value_counts()
    if shown.empty:
        return ""
    return page.say(
        "wages.district_instead",
        measure=page.say(f"measures.{shown.index[0]}"),
        shown=int(shown.iloc[0]),
        period=period_text(span.choice.period, page.say.language),
    )


def _district_switches(say: Translator, span: Span, choice: Choice, count: int) -> None:
    with st.container(horizontal=True, gap="xsmall"):
        if count:
            word = "fewer" if filters.is_on("districts", "all") else "all"
            filters.switch(st, "districts", "all", say(f"wages.districts.{word}", count=count))
        if span.other:
            is_year = span.choice != choice
            period = choice.period if is_year else choice.period[:4]
            label = say(
                f"wages.districts.{'quarter' if is_year else 'year'}",
                period=period_text(period, say.language),
            )
            filters.switch(st, "span", span.other, label)


def _ends(
    page: shell.Page, wages: Wages, by_state: Mapping[int, Mapping[int, Cell]]
) -> list[Panel]:
    """The districts with the highest and the lowest published figures, each with its state."""
    shown = [
        (f"{wages.places.district(key)}, {wages.places.state(code)}", cell)
        for code, group in by_state.items()
        for key, cell in group.items()
        if cell.is_published
    ]
    shown.sort(key=lambda item: -(item[1].value or 0.0))
    if len(shown) <= HIGHEST + LOWEST:
        return [Panel("", [Row(name, cell) for name, cell in shown])] if shown else []
    ends = {"highest": shown[:HIGHEST], "lowest": shown[HIGHEST:][-LOWEST:]}
    return [
        Panel(page.say(f"wages.districts.{end}"), [Row(name, cell) for name, cell in found])
        for end, found in ends.items()
    ]


def _lines(page: shell.Page, wages: Wages, table: Table, choice: Choice) -> list[Reference]:
    """The chosen area's own figure and, for the wage of a state, the rates notified for it."""
    own = _own(table, choice, choice.measure)
    lines = []
    if own.value is not None and choice.measure != COUNT:
        lines = [Reference(f"{sentence_case(_place(page, wages, choice))}: {own.text}", own.value)]
    first, last = first_and_last_month(choice.period)
    rates = [
        rate
        for rate in _notified(wages.release, choice)
        if rate["from"][:7] <= last and rate["to"][:7] >= first
    ]
    for rate in rates:
        name, value = page.say.pick(rate["label"]), rupees(rate["value"])
        # A year has the rates of two financial years: each is told apart by its first day.
        text = _rate_from(rate, page.say) if len(rates) > 1 else value
        lines.append(Reference(f"{name}: {text}", float(rate["value"])))
    return lines


def _rate_from(rate: Mapping[str, Any], say: Translator) -> str:
    since = period_text(rate["from"][:7], say.language)
    return say("wages.rate_from", value=rupees(rate["value"]), date=since)


def _split(span: Span) -> tuple[Split | None, list[int]]:
    """How the districts lie to the area's own figure, and the worrying ones, the furthest first."""
    own, found = _own(span.table, span.choice, span.choice.measure), span.cells()
    if own.interval is None:
        return None, []
    side = -1 if own.measure == MEAN else 1
    apart = [
        (cell.value or 0.0, key)
        for key, cell in found.items()
        if cell.interval and compare(cell.interval, own.interval) == side
    ]
    split = split_by_reference([cell.interval for cell in found.values()], *own.interval)
    return split, [key for _, key in sorted(apart, reverse=side > 0)]


def _district_title(page: shell.Page, wages: Wages, span: Span) -> str:
    say, measure = page.say, span.choice.measure
    total = len(span.cells())
    if not span.published:
        return say("wages.district_title.none", total=total)
    split, apart = _split(span)
    if split is None or measure == COUNT:
        return say("wages.district_title.worker_count", shown=span.published, total=total)
    whole = _whole(page, wages, span.choice)
    if not apart:
        return say(f"wages.district_title.{measure}_none", whole=whole)
    return say(
        f"wages.district_title.{measure}",
        places=wages.places.listed_districts(apart),
        count=len(apart),
        published=split.published,
        whole=whole,
    )


def _month_card(page: shell.Page, wages: Wages, choice: Choice) -> None:
    say, frame = page.say, wages.months.frame
    series = cells.by(frame, "period", measure=choice.measure, **choice.area)
    points = [
        (month_name(period, say.language), period_text(period, say.language), cell)
        for period, cell in sorted(series.items())
    ]
    steps = _steps(_notified(wages.release, choice), sorted(series), say)
    lines = [Reference(name, v) for name, values in steps for v in values if v is not None]
    scale = pictures.scale_for([cell for _, _, cell in points], lines, ticks=4)
    last = points[-1][2]
    subtitle = say(
        "wages.subtitle",
        measure=say(f"measures_long.{choice.measure}"),
        what=say("wages.by.month"),
        place=_place(page, wages, choice),
        period=f"{points[0][1]} – {points[-1][1]}",
    )
    card.card(
        page,
        card.Figure(
            figure_id="months",
            title=_month_title(page, points, choice.measure),
            subtitle=subtitle,
            picture=pictures.months(points, scale, say, steps),
            certainty=f"{points[-1][1]}: {card.certainty(last, say)}",
            names=[say("filters.month")],
            rows=[([full], cell) for _, full, cell in points],
            release=wages.release,
            table=wages.months,
        ),
    )


def _month_title(page: shell.Page, points: list[tuple[str, str, Cell]], measure: str) -> str:
    say = page.say
    shown = [(full, cell.interval) for _, full, cell in points if cell.interval]
    if len(shown) < 2:
        return say("wages.month_title.withheld")
    (start, first), (end, last) = shown[0], shown[-1]
    peak, highest = max(shown, key=lambda item: item[1][0])
    if compare(highest, first) > 0 and compare(highest, last) > 0:
        return say(f"wages.month_title.{measure}.peak", peak=peak)
    way = {1: "rose", -1: "fell", 0: "same"}[compare(last, first)]
    return say(f"wages.month_title.{measure}.{way}", start=start, end=end)


def _notified(release: Release, choice: Choice) -> list[Mapping[str, Any]]:
    """The rates notified for the chosen area by time, where the release states them."""
    return [
        line
        for line in release.manifest.get("reference_lines", [])
        if line["measure"] == choice.measure and line["state_code"] == choice.state_code
    ]


def _steps(
    rates: Sequence[Mapping[str, Any]], months: Sequence[str], say: Translator
) -> list[tuple[str, list[float | None]]]:
    """The notified rate by month as one stepped line, named with each rate and its first day."""
    if not rates:
        return []
    values = [
        next((float(x["value"]) for x in rates if x["from"][:7] <= m <= x["to"][:7]), None)
        for m in months
    ]
    each = [_rate_from(rate, say) for rate in rates]
    return [(f"{say.pick(rates[-1]['label'])}: {', '.join(each)}", values)]


def _sex_card(page: shell.Page, wages: Wages, choice: Choice) -> None:
    say = page.say
    sexes = cells.by(
        wages.sexes.frame, "sex", measure=choice.measure, period=choice.period, **choice.area
    )
    # "unknown" and "other" are small; they stay in the table, withheld or not.
    order = [code for code in ("female", "male", "other", "unknown") if code in sexes]
    lines = _lines(page, wages, wages.quarters, choice)
    rows = [Row(say.code("groups.sex", code), sexes[code]) for code in order]
    scale = pictures.scale_for([row.cell for row in rows], lines)
    card.card(
        page,
        card.Figure(
            figure_id="sex",
            title=_sex_title(page, sexes, choice.measure),
            subtitle=_subtitle(page, wages, choice, "sex"),
            picture=pictures.dot_plot([Panel("", rows)], scale, say, lines),
            certainty=_sex_certainty(page, sexes),
            names=[say("filters.sex")],
            rows=[([row.label], row.cell) for row in rows],
            release=wages.release,
            table=wages.sexes,
        ),
    )


def _sex_title(page: shell.Page, sexes: dict[str, Cell], measure: str) -> str:
    women, men = sexes.get("female"), sexes.get("male")
    if not (women and men and women.interval and men.interval):
        return page.say("wages.sex_title.withheld")
    way = {1: "more", -1: "less", 0: "same"}[compare(women.interval, men.interval)]
    return page.say(
        f"wages.sex_title.{measure}.{way}",
        women=women.range or women.text,
        men=men.range or men.text,
    )


def _sex_certainty(page: shell.Page, sexes: dict[str, Cell]) -> str:
    parts = [
        f"{page.say(f'groups.sex.{code}')}: {card.certainty(sexes[code], page.say)}"
        for code in ("female", "male")
        if code in sexes
    ]
    return " ".join(parts)


shell.show("wages", load, draw)
