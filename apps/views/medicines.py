"""Where do medicines lose their trail? Compliance by product class and jurisdiction."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from apps.components import card, cells, filters, pictures, shell
from apps.components.pictures import Cell
from apps.data import Release, Table
from apps.text.findings import mid_sentence, sentence_case
from apps.text.numbers import period_text

SHARE = "compliant_share"
MEASURES = (SHARE, "shipment_count", "batch_count")
MOST_PERIODS = 8
# The home jurisdiction first, totals last; what is not named here stands between, by name.
ORDER = {"IN": 0, "US": 1, "EU": 2, "SG": 3, cells.ALL: 99}


@dataclass(frozen=True)
class Medicines:
    """What the view reads: one release and its table."""

    release: Release
    table: Table


@dataclass(frozen=True)
class Choice:
    """The filters: measure, quarter and product class ('all' is the total)."""

    measure: str
    period: str
    product_class: str


def load(page: shell.Page) -> Medicines:
    """Read and check the release that the reader chose."""
    release = page.release("pharma")
    return Medicines(release, release.table("compliance_quarter"))


def draw(page: shell.Page, medicines: Medicines) -> None:
    """The answer, three key figures, class by jurisdiction, then quarters by jurisdiction."""
    shell.sample_banner(page.say, medicines.release)
    shell.notices(page, medicines.release)
    top = st.container()
    choice = _filters(page, medicines)
    with top:
        _answer(page, medicines, choice)
    _class_card(page, medicines, choice)
    _quarter_card(page, medicines, choice)
    shell.cannot_say(page, page.say.pick(medicines.release.manifest.get("what_it_cannot_say")))


def _codes(medicines: Medicines, column: str) -> list[str]:
    """Codes of a dimension, the total last."""
    codes = medicines.table.frame[column].dropna().unique()
    return sorted(codes, key=lambda code: (ORDER.get(code, len(ORDER)), code))


def _filters(page: shell.Page, medicines: Medicines) -> Choice:
    say = page.say
    times = cells.periods(medicines.table.frame)
    classes = _codes(medicines, "product_class")
    with st.container(key="filters", horizontal=True, vertical_alignment="bottom"):
        measure = filters.choice(
            st, "measure", say("filters.measure"), MEASURES, SHARE, lambda c: say(f"measures.{c}")
        )
        period = filters.choice(
            st,
            "period",
            say("filters.period"),
            times,
            cells.newest(medicines.table.frame, SHARE),
            lambda c: period_text(c, say.language),
        )
        product = filters.choice(
            st,
            "class",
            say("filters.product_class"),
            [classes[-1], *classes[:-1]],
            classes[-1],
            lambda c: say.code("product_class", c),
        )
        filters.reset(st, say("filters.reset"), ("measure", "period", "class"))
    return Choice(measure, period, product)


def _cell(medicines: Medicines, **codes: object) -> Cell:
    return cells.one(medicines.table.frame, **codes)


def _answer(page: shell.Page, medicines: Medicines, choice: Choice) -> None:
    say = page.say
    own = {
        measure: _cell(
            medicines,
            measure=measure,
            period=choice.period,
            product_class=choice.product_class,
            jurisdiction=cells.ALL,
        )
        for measure in MEASURES
    }
    time = period_text(choice.period, say.language)
    name = mid_sentence(say.code("product_class", choice.product_class))
    if own[SHARE].value is None:
        way = "empty" if own[SHARE].reason == "not_assessed" else "withheld"
        text = say(f"medicines.lead_{way}", period=time, name=name)
    else:
        text = say("medicines.lead", period=time, name=name, share=own[SHARE].text)
    shell.lead(sentence_case(text))
    shell.key_figures(
        [
            (say(f"measures.{m}"), cell.text or say("card.none"), _caption(cell, page))
            for m, cell in own.items()
        ]
    )


def _caption(cell: Cell, page: shell.Page) -> str:
    if cell.value is None:
        return card.caption(cell, page.say)
    return page.say("card.exact_short")


def _class_card(page: shell.Page, medicines: Medicines, choice: Choice) -> None:
    say = page.say
    classes = _codes(medicines, "product_class")
    places = _codes(medicines, "jurisdiction")
    grid = {
        (row, column): _cell(
            medicines,
            measure=choice.measure,
            period=choice.period,
            product_class=row,
            jurisdiction=column,
        )
        for row in classes
        for column in places
    }
    rows = [
        (say.code("product_class", row), [grid[row, column] for column in places])
        for row in classes
    ]
    card.card(
        page,
        card.Figure(
            figure_id="trail",
            title=_class_title(page, grid, choice.measure),
            subtitle=say(
                "medicines.subtitle",
                measure=say(f"measures_long.{choice.measure}"),
                period=period_text(choice.period, say.language),
            ),
            picture=pictures.matrix(
                rows,
                _columns(page, places),
                say,
                say("filters.product_class"),
                say("medicines.grid_classes"),
            ),
            certainty=say("card.exact"),
            names=[say("filters.product_class"), say("filters.jurisdiction")],
            rows=[
                ([say.code("product_class", r), say.code("jurisdiction", c)], cell)
                for (r, c), cell in grid.items()
            ],
            release=medicines.release,
            table=medicines.table,
        ),
    )


def _columns(page: shell.Page, places: list[str]) -> list[tuple[str, str]]:
    """Names of jurisdictions with their codes, which fit a phone; the total keeps its name."""
    names = {code: page.say.code("jurisdiction", code) for code in places}
    return [(name, name if code == cells.ALL else code) for code, name in names.items()]


def _class_title(page: shell.Page, grid: dict[tuple[str, str], Cell], measure: str) -> str:
    say = page.say
    shown = {
        key: cell.value
        for key, cell in grid.items()
        if cell.value is not None and cells.ALL not in key
    }
    if not shown:
        is_empty = all(cell.reason == "not_assessed" for cell in grid.values())
        return say("medicines.title_empty" if is_empty else "medicines.title_withheld")
    # The worst share, the largest count.
    product, place = (min if measure == SHARE else max)(shown, key=shown.__getitem__)
    return say(
        f"medicines.title.{measure}",
        name=mid_sentence(say.code("product_class", product)),
        place=say.code("jurisdiction_in", place),
        value=grid[product, place].text,
    )


def _quarter_card(page: shell.Page, medicines: Medicines, choice: Choice) -> None:
    say = page.say
    times = sorted(cells.periods(medicines.table.frame)[:MOST_PERIODS])
    places = _codes(medicines, "jurisdiction")
    grid = {
        (time, place): _cell(
            medicines,
            measure=choice.measure,
            period=time,
            product_class=choice.product_class,
            jurisdiction=place,
        )
        for time in times
        for place in places
    }
    rows = [
        (period_text(time, say.language), [grid[time, place] for place in places]) for time in times
    ]
    shown = sum(cell.is_published for cell in grid.values())
    card.card(
        page,
        card.Figure(
            figure_id="quarters",
            title=say(
                "medicines.quarter_title",
                name=say.code("product_class", choice.product_class),
                shown=shown,
                total=len(grid),
            ),
            subtitle=say(
                "medicines.subtitle_quarter", measure=say(f"measures_long.{choice.measure}")
            ),
            picture=pictures.matrix(
                rows,
                _columns(page, places),
                say,
                say("filters.period"),
                say("medicines.grid_quarters"),
            ),
            certainty=say("card.exact"),
            names=[say("filters.period"), say("filters.jurisdiction")],
            rows=[
                ([period_text(t, say.language), say.code("jurisdiction", place)], cell)
                for (t, place), cell in grid.items()
            ],
            release=medicines.release,
            table=medicines.table,
        ),
    )


shell.show("medicines", load, draw)
