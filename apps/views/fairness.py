"""Whom does the model miss? The published fairness table, the public card, and the internal one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import streamlit as st

from apps.components import card, cells, filters, pictures, shell
from apps.components.pictures import Cell, Panel, Row
from apps.data import Card, DashboardProblem, Model, Release, Table
from apps.text.findings import compare, fraction_phrase, sentence_case
from apps.text.numbers import period_text

EXCLUSION = "exclusion_error_share"
MEASURES = (EXCLUSION, "selection_share", "evaluated_count")
GROUPINGS = ("sex", "social_category")
DEEPEST = 3

# What a reader of a model card wants first; the rest follows in the card's own order.
READING_ORDER = (
    "headline",
    "promise",
    "purpose",
    "decision",
    "gates",
    "fairness",
    "people",
    "limits",
    "performance",
)


@dataclass(frozen=True)
class Fairness:
    """What the view reads: the released fairness table and the models that were trained."""

    release: Release
    table: Table
    models: list[Model]


def load(page: shell.Page) -> Fairness:
    """Read and check the release that the reader chose, and the list of models."""
    release = page.release("wages")
    return Fairness(release, release.table("model_fairness"), page.home.models())


def draw(page: shell.Page, fairness: Fairness) -> None:
    """The answer, a card by grouping, the public model card, and the internal figures."""
    shell.sample_banner(page.say, fairness.release)
    shell.notices(page, fairness.release)
    say = page.say
    top = st.container()
    with st.container(key="filters", horizontal=True, vertical_alignment="bottom"):
        measure = filters.choice(
            st,
            "measure",
            say("filters.measure"),
            MEASURES,
            _opening(fairness),
            lambda c: say(f"measures.{c}"),
        )
        filters.reset(st, say("filters.reset"), ("measure",))
    with top:
        _answer(page, fairness, measure)
    for grouping in GROUPINGS:
        _group_card(page, fairness, grouping, measure)
    # The page asks about the eligibility model: its card comes before those of other domains.
    _model_cards(page, sorted(fairness.models, key=lambda model: model.domain != "wages"))
    shell.budget_note(page, fairness.release)
    shell.cannot_say(page, say("fairness.cannot_say"))


def _groups(fairness: Fairness, grouping: str, measure: str) -> dict[str, Cell]:
    return cells.by(fairness.table.frame, "group", grouping=grouping, measure=measure)


def _shown(fairness: Fairness, measure: str) -> int:
    """Published groups of the grouping that has most of them."""
    found = [_groups(fairness, grouping, measure).values() for grouping in GROUPINGS]
    return max(sum(cell.is_published for cell in groups) for groups in found)


def _opening(fairness: Fairness) -> str:
    """The first measure that compares two groups: a page of withheld figures says nothing."""
    return next((measure for measure in MEASURES if _shown(fairness, measure) > 1), EXCLUSION)


def _apart(groups: Mapping[str, Cell]) -> tuple[str, str] | None:
    """The groups with the highest and the lowest figure, if their intervals do not touch."""
    shown = sorted(
        (code for code, cell in groups.items() if cell.value is not None),
        key=lambda code: groups[code].value or 0.0,
    )
    if len(shown) < 2:
        return None
    low, high = groups[shown[0]].interval, groups[shown[-1]].interval
    return (shown[-1], shown[0]) if low and high and compare(high, low) > 0 else None


def _answer(page: shell.Page, fairness: Fairness, measure: str) -> None:
    say = page.say
    sentences = []
    for grouping in GROUPINGS:
        groups = _groups(fairness, grouping, EXCLUSION)
        if pair := _apart(groups):
            highest = groups[pair[0]].interval or (0.0, 1.0)
            sentences.append(
                say(
                    "fairness.lead_gap",
                    high=say.code(f"groups_oblique.{grouping}", pair[0]),
                    low=say.code(f"groups_oblique.{grouping}", pair[1]),
                    fraction=fraction_phrase(*highest, say),
                )
            )
    if _shown(fairness, EXCLUSION) < 2:
        sentences.append(say("fairness.lead_withheld"))
        if measure != EXCLUSION:
            sentences.append(say("fairness.lead_instead", measure=say(f"measures.{measure}")))
    shell.lead(" ".join(map(sentence_case, sentences)) or say("fairness.lead_none"))


def _group_card(page: shell.Page, fairness: Fairness, grouping: str, measure: str) -> None:
    say = page.say
    groups = _groups(fairness, grouping, measure)
    ordered = sorted(groups, key=lambda c: (groups[c].value is None, -(groups[c].value or 0.0)))
    rows = [Row(say.code(f"groups.{grouping}", code), groups[code]) for code in ordered]
    pair = _apart(groups)
    shown = [row for row in rows if row.cell.is_published]
    way = "gap" if pair else "none" if len(shown) > 1 else "withheld"
    names = [say.code(f"groups_oblique.{grouping}", code) for code in pair] if pair else ["", ""]
    period = cells.periods(fairness.table.frame)[0]
    card.card(
        page,
        card.Figure(
            figure_id=f"by-{grouping.replace('_', '-')}",
            title=say(
                f"fairness.title.{measure}.{way}" if way != "withheld" else "fairness.withheld",
                high=names[0],
                low=names[1],
                grouping=say(f"fairness.grouping.{grouping}"),
            ),
            subtitle=say(
                "fairness.subtitle",
                measure=say(f"measures_long.{measure}"),
                grouping=say(f"fairness.grouping.{grouping}"),
                period=period_text(period, say.language),
            ),
            picture=pictures.dot_plot(
                [Panel("", rows)], pictures.scale_for([row.cell for row in rows]), say
            ),
            certainty=" ".join(f"{r.label}: {card.certainty(r.cell, say)}" for r in shown[:2]),
            names=[say("filters.group")],
            rows=[([row.label], row.cell) for row in rows],
            release=fairness.release,
            table=fairness.table,
        ),
    )


def _model_cards(page: shell.Page, models: list[Model]) -> None:
    say = page.say
    shell.heading(say("fairness.cards"))
    if not models:
        shell.state("empty", say("fairness.no_model.title"), say("fairness.no_model.body"), say)
    for model in models:
        try:
            checked = page.home.card(model)
        except DashboardProblem as problem:
            shell.problem_state(problem, say)
            continue
        _public_card(page, model, checked)
    _internal(page, models)


def _public_card(page: shell.Page, model: Model, checked: Card) -> None:
    say, receipt = page.say, checked.receipt
    name = f"{model.model_id}-{model.version}"
    described = checked.document.get("model")
    title = say.pick(described.get("title")) if isinstance(described, Mapping) else ""
    hashes = [("model_hash", model.model_sha256), ("card_hash", model.card_sha256)]
    facts = f"<span>{escape(say('fairness.model'))} <b>{escape(name)}</b></span>" + "".join(
        f"<span>{escape(say(f'fairness.{word}'))} <b>{escape(digest[:16])}</b></span>"
        for word, digest in hashes
    )
    anchored = say("fairness.anchored", index=receipt.log_index, size=receipt.log_size)
    with st.container(key=f"card-model-{name.replace('.', '-')}"):
        status = say.code("model_status", model.status)
        st.html(
            f'<div class="figure"><h2>{escape(title or name)}</h2>'
            f'<p class="subtitle">{escape(say("fairness.card_line", status=status))}</p>'
            f'<ul class="checks"><li>{escape(anchored)}</li></ul>'
            f'<div class="source">{facts}</div></div>'
        )
        with st.expander(say("fairness.read_card")):
            body = _document(_for_reading(checked.document))
            label = escape(title or name, quote=True)
            st.html(
                f'<div class="modelcard" lang="en" tabindex="0" role="region" '
                f'aria-label="{label}">{body}</div>'
            )
        st.download_button(
            say("fairness.card_download"),
            checked.content,
            file_name=f"{name}.card.json",
            mime="application/json",
            key=f"modelcard:{name}",
            on_click="ignore",
        )


def _internal(page: shell.Page, models: list[Model]) -> None:
    say = page.say
    shell.heading(say("fairness.internal"))
    for model in models:
        try:
            document = page.home.internal_card(model)
        except DashboardProblem as problem:
            shell.problem_state(problem, say)
            return
        with st.container(key=f"card-internal-{model.model_id}-{model.version.replace('.', '-')}"):
            st.html(
                f'<div class="figure"><h2>{escape(model.model_id)} {escape(model.version)}</h2>'
                f'<p class="subtitle">{escape(say("fairness.internal_note"))}</p>'
                f'<div class="modelcard" lang="en">{_document(document)}</div></div>'
            )


def _for_reading(card_document: Mapping[str, Any]) -> dict[str, Any]:
    order = dict.fromkeys([*READING_ORDER, *card_document])
    return {key: card_document[key] for key in order if key in card_document}


def _document(value: Any, depth: int = 0) -> str:
    """A card's JSON as nested definition lists and tables, whatever its schema version."""
    if isinstance(value, Mapping):
        level = min(3 + depth, 6)
        return "".join(
            f"<h{level}>{escape(_title(key))}</h{level}>{_document(inner, depth + 1)}"
            if depth < DEEPEST and isinstance(inner, Mapping | list) and inner
            else f"<p><b>{escape(_title(key))}:</b> {_document(inner, depth + 1)}</p>"
            for key, inner in value.items()
        )
    if isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        return _records(value)
    if isinstance(value, list) and value:
        return (
            "<ul>" + "".join(f"<li>{_document(item, depth + 1)}</li>" for item in value) + "</ul>"
        )
    return (
        f"{value:.4g}"
        if isinstance(value, float)
        else escape("–" if value in (None, []) else str(value))
    )


def _title(key: str) -> str:
    return sentence_case(key.replace("_", " "))


def _records(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    head = "".join(f'<th scope="col">{escape(_title(column))}</th>' for column in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{_document(row.get(c), DEEPEST)}</td>" for c in columns) + "</tr>"
        for row in rows
    )
    return (
        '<div class="twin" tabindex="0" role="region" aria-label="table"><table><thead><tr>'
        f"{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


shell.show("fairness", load, draw)
