"""Pictures drawn as plain HTML: tile map, dot plot, months, matrix.

What belongs here: turning cells of a release into markup. Text stays text at every width, prints
crisply, is shaped by the browser (Devanagari) and needs no script, so nothing is fetched. Colours
and patterns are classes of theme.css; a cell that is not published always gets the class `withheld`
and its reason, never a zero and never a blank.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from apps.components.tiles import TILES, Tile
from apps.text.catalogue import Translator
from apps.text.numbers import range_text, value_text

CLASSES = 5


@dataclass(frozen=True)
class Cell:
    """One released figure with everything a picture or a table may say about it."""

    measure: str
    value: float | None
    lower: float | None = None
    upper: float | None = None
    reason: str = ""
    contributors: int | None = None

    @property
    def is_published(self) -> bool:
        """Whether there is a value to show."""
        return self.value is not None

    @property
    def interval(self) -> tuple[float, float] | None:
        """Both ends of the interval; a published value without one stands for itself."""
        if self.value is None:
            return None
        if self.lower is None or self.upper is None:
            return self.value, self.value
        return self.lower, self.upper

    @property
    def text(self) -> str:
        """The value with its unit ('' when it is not published)."""
        if self.value is None:
            return ""
        return value_text(self.measure, self.value, self.lower, self.upper)

    @property
    def range(self) -> str:
        """The interval with its unit ('' where there is none)."""
        if self.value is None or self.lower is None or self.upper is None:
            return ""
        return range_text(self.measure, self.lower, self.upper)

    def sentence(self, say: Translator) -> str:
        """'43% (41–45%)' or 'not published: fewer than the threshold'."""
        if not self.is_published:
            return say("card.not_published_because", reason=say.code("reasons", self.reason))
        return f"{self.text} ({self.range})" if self.range else self.text


@dataclass(frozen=True)
class Row:
    """One line of a dot plot."""

    label: str
    cell: Cell
    mark: str = "dot"


@dataclass(frozen=True)
class Panel:
    """A titled group of lines that share the dot plot's scale."""

    title: str
    rows: Sequence[Row] = field(default_factory=list)


@dataclass(frozen=True)
class Reference:
    """A line that is named on the picture."""

    label: str
    value: float


@dataclass(frozen=True)
class Scale:
    """A linear scale with round ends: positions are percentages of the track."""

    low: float
    high: float
    step: float

    @classmethod
    def over(cls, values: Sequence[float], *, ticks: int = 4, floor: float | None = None) -> Scale:
        """The tightest scale with round steps that holds all values."""
        low, high = (min(values), max(values)) if values else (0.0, 1.0)
        low = low if floor is None else min(low, floor)
        raw = max(high - low, abs(high) * 0.02, 1e-9) / ticks
        power = 10 ** math.floor(math.log10(raw))
        step = next(unit * power for unit in (1, 2, 2.5, 5, 10) if unit * power >= raw * 0.999)
        return cls(math.floor(low / step) * step, math.ceil(high / step - 1e-9) * step, step)

    def at(self, value: float) -> float:
        """Position of a value in per cent, held inside the track."""
        width = (self.high - self.low) or 1.0
        return min(100.0, max(0.0, (value - self.low) / width * 100))

    def ticks(self) -> list[float]:
        """Round values from end to end."""
        count = round((self.high - self.low) / self.step)
        return [self.low + index * self.step for index in range(count + 1)]


def scale_for(
    cells: Sequence[Cell], references: Sequence[Reference] = (), *, ticks: int = 4
) -> Scale:
    """A scale that holds every interval and every reference line."""
    ends = [end for cell in cells if (pair := cell.interval) for end in pair]
    return Scale.over([*ends, *(reference.value for reference in references)], ticks=ticks)


def breaks(values: Sequence[float], count: int = CLASSES) -> list[float]:
    """Upper ends of equally wide classes over the values (fewer than two values: one class)."""
    if len(set(values)) < 2:
        return [max(values, default=0.0)]
    low, high = min(values), max(values)
    return [low + (high - low) * (index + 1) / count for index in range(count)]


def shade(value: float, ends: Sequence[float]) -> int:
    """Number of the class that a value falls into, from 1; a lone class is the middle one."""
    if len(ends) == 1:
        return 3
    return 1 + sum(value > end + 1e-12 for end in ends[:-1])


def tile_map(
    cells: Mapping[int, Cell], say: Translator, links: Mapping[int, str], selected: int | None
) -> str:
    """The states as squares, coloured by class, with a legend; each square links to its state.

    Args:
        cells: figures by LGD state code; a state without one is not in the release.
        say: the page's language.
        links: address by state code that selects it.
        selected: state code of the page's filter, outlined.
    """
    ends = breaks([cell.value for cell in cells.values() if cell.value is not None])
    items = [
        _tile(tile, say, cells.get(code), ends, links.get(code, ""), code == selected)
        for code, tile in TILES.items()
    ]
    label = escape(say("map.label"), quote=True)
    listing = f'<ul class="tiles" aria-label="{label}">{"".join(items)}</ul>'
    return f'<div class="tilemap">{listing}{_legend(list(cells.values()), ends, say)}</div>'


def _tile(
    tile: Tile,
    say: Translator,
    cell: Cell | None,
    ends: Sequence[float],
    link: str,
    is_selected: bool,
) -> str:
    name = tile.name(say.language)
    place = f"grid-column:{tile.column};grid-row:{tile.row}"
    side = "tip-left" if tile.column <= 3 else "tip-right" if tile.column >= 6 else ""
    if cell is None:
        tip = escape(f"{name}: {say('map.not_covered')}", quote=True)
        return f'<li style="{place}" class="tile outside {side}" data-tip="{tip}">{tile.code}</li>'
    tip = escape(f"{name}: {cell.sentence(say)}", quote=True)
    look = "withheld" if cell.value is None else f"shade{shade(cell.value, ends)}"
    chosen = ' aria-current="true"' if is_selected else ""
    return (
        f'<li style="{place}" class="tile {look} {side}" data-tip="{tip}">'
        f'<a href="{escape(link, quote=True)}" target="_self" aria-label="{tip}"{chosen}>'
        f"<b>{tile.code}</b><span>{escape(cell.text) or '…'}</span></a></li>"
    )


def _legend(cells: Sequence[Cell], ends: Sequence[float], say: Translator) -> str:
    published = [cell for cell in cells if cell.value is not None]
    parts = []
    if published:
        measure = published[0].measure
        low = min(cell.value or 0.0 for cell in published)
        for index, end in enumerate(ends):
            number = index + 1 if len(ends) > 1 else 3
            text = f"{value_text(measure, low)}–{value_text(measure, end)}"
            parts.append(f'<li><i class="swatch shade{number}"></i>{escape(text)}</li>')
            low = end
    if any(not cell.is_published for cell in cells):
        parts.append(f'<li><i class="swatch withheld"></i>{escape(say("card.not_published"))}</li>')
    parts.append(f'<li><i class="swatch outside"></i>{escape(say("map.not_covered"))}</li>')
    return f'<ul class="legend">{"".join(parts)}</ul>'


def dot_plot(
    panels: Sequence[Panel], scale: Scale, say: Translator, references: Sequence[Reference] = ()
) -> str:
    """Sorted dots with their intervals, one line a place, on one shared scale.

    Args:
        panels: groups of lines; one without a title is a plain list.
        scale: the shared scale.
        say: the page's language.
        references: vertical lines, each named at the top of every panel.
    """
    body = "".join(_panel(panel, scale, say, references) for panel in panels)
    many = " many" if len(panels) > 1 else ""
    return f'<div class="dots{many}">{body}</div>'


def _panel(panel: Panel, scale: Scale, say: Translator, references: Sequence[Reference]) -> str:
    measure = panel.rows[0].cell.measure if panel.rows else ""
    title = f'<h3 class="panel-title">{escape(panel.title)}</h3>' if panel.title else ""
    # A row for each name: two lines may stand so close that their names would collide.
    head = "".join(
        _frame_row(
            "head",
            f'<span class="ref-name" style="{_from(scale.at(line.value))}">'
            f"{escape(line.label)}</span>",
        )
        for line in references
    )
    axis = "".join(
        f'<span style="left:{scale.at(tick):.2f}%">{escape(value_text(measure, tick))}</span>'
        for tick in _thinned(scale.ticks())
    )
    is_empty = not any(row.cell.is_published for row in panel.rows)
    head, foot = ("", "") if is_empty else (head, _frame_row("axis", axis))
    rows = "".join(_dot_row(row, scale, say, references) for row in panel.rows)
    return f'<div class="panel">{title}{head}{rows}{foot}</div>'


def _frame_row(kind: str, inner: str) -> str:
    return f'<div class="dot-row {kind}"><span></span><div class="track">{inner}</div></div>'


def _from(position: float) -> str:
    return f"right:{100 - position:.2f}%" if position > 50 else f"left:{position:.2f}%"


def _thinned(ticks: list[float]) -> list[float]:
    # More than five numbers collide below a phone-wide track.
    return ticks if len(ticks) <= 5 else ticks[:: math.ceil(len(ticks) / 5)]


def _dot_row(row: Row, scale: Scale, say: Translator, references: Sequence[Reference]) -> str:
    cell, label = row.cell, escape(row.label)
    lines = "".join(
        f'<i class="ref" style="left:{scale.at(line.value):.2f}%"></i>' for line in references
    )
    tip = escape(f"{row.label}: {cell.sentence(say)}", quote=True)
    if cell.value is None:
        reason = escape(say.code("reasons_short", cell.reason))
        words = f"<em><span>{escape(say('card.not_published'))}: </span>{reason}</em>"
        return (
            f'<div class="dot-row tip-right" data-tip="{tip}"><span class="name">{label}</span>'
            f'<div class="withheld strip">{words}</div></div>'
        )
    low, high = cell.interval or (cell.value, cell.value)
    left, right = scale.at(low), scale.at(high)
    inner = (
        f'<i class="bar" style="left:{left:.2f}%;width:{right - left:.2f}%"></i>'
        f'<i class="{row.mark}" style="left:{scale.at(cell.value):.2f}%"></i>'
    )
    number = f'<span class="num">{escape(cell.text)}</span>'
    return (
        f'<div class="dot-row tip-right" data-tip="{tip}"><span class="name">{label}</span>'
        f'<div class="track">{lines}{inner}</div>{number}</div>'
    )


def months(
    points: Sequence[tuple[str, str, Cell]],
    scale: Scale,
    say: Translator,
    steps: Sequence[tuple[str, Sequence[float | None]]] = (),
) -> str:
    """Figures over time: a band for the interval, a line, a dot a period, hatched where withheld.

    Args:
        points: (axis label, full label, cell) in order of time.
        scale: vertical scale.
        say: the page's language.
        steps: named stepped reference lines, one value a point (None: no value then).
    """
    count = max(len(points), 1)
    measure = points[0][2].measure if points else ""
    grid = "".join(
        f'<span class="y" style="bottom:{scale.at(tick):.2f}%">'
        f"{escape(value_text(measure, tick))}</span>"
        for tick in _thinned(scale.ticks())
    )
    names = "".join(
        f'<span class="step-name" style="bottom:{scale.at(last):.2f}%">{escape(name)}</span>'
        for name, values in steps
        if (last := next((v for v in reversed(values) if v is not None), None)) is not None
    )
    columns = "".join(
        _month(index, count, label, full, cell, scale, say)
        for index, (label, full, cell) in enumerate(points)
    )
    drawing = _line_drawing([cell for _, _, cell in points], scale, [values for _, values in steps])
    return (
        f'<div class="months"><div class="plot">{grid}<img class="line" alt="" '
        f'src="data:image/svg+xml;base64,{drawing}">{names}{columns}</div></div>'
    )


def _month(
    index: int, count: int, label: str, full: str, cell: Cell, scale: Scale, say: Translator
) -> str:
    left, width = index / count * 100, 100 / count
    side = "tip-left" if index < count / 3 else "tip-right" if index > count * 2 / 3 else ""
    tip = escape(f"{full}: {cell.sentence(say)}", quote=True)
    mark = (
        f'<i class="dot" style="bottom:{scale.at(cell.value):.2f}%"></i>'
        if cell.value is not None
        else '<i class="withheld column"></i>'
    )
    return (
        f'<div class="month {side}" style="left:{left:.3f}%;width:{width:.3f}%" data-tip="{tip}">'
        f'{mark}<span class="x">{escape(label)}</span></div>'
    )


def _line_drawing(
    cells: Sequence[Cell], scale: Scale, steps: Sequence[Sequence[float | None]]
) -> str:
    """Band, line and reference steps as a stretched SVG image, base64 (text stays outside it)."""
    count = max(len(cells), 1)
    parts = []
    for run in _runs(cells):
        upper = [(_x(i, count), _y(scale, (cells[i].interval or (0, 0))[1])) for i in run]
        lower = [(_x(i, count), _y(scale, (cells[i].interval or (0, 0))[0])) for i in reversed(run)]
        middle = [(_x(i, count), _y(scale, cells[i].value or 0.0)) for i in run]
        parts.append(
            f'<polygon points="{_points(upper + lower)}" fill="#0b5c73" fill-opacity=".18"/>'
        )
        parts.append(
            f'<polyline points="{_points(middle)}" fill="none" stroke="#0b5c73" stroke-width="2" '
            'vector-effect="non-scaling-stroke"/>'
        )
    for values in steps:
        for index, value in enumerate(values):
            if value is None:
                continue
            y = _y(scale, value)
            ends = [(index / count * 1000, y), ((index + 1) / count * 1000, y)]
            parts.append(
                f'<polyline points="{_points(ends)}" fill="none" stroke="#a3401c" stroke-width="2" '
                'stroke-dasharray="6 3" vector-effect="non-scaling-stroke"/>'
            )
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1000 1000" '
        f'preserveAspectRatio="none">{"".join(parts)}</svg>'
    )
    return base64.b64encode(svg.encode()).decode()


def _runs(cells: Sequence[Cell]) -> list[list[int]]:
    """Stretches of published neighbours: a line never bridges a figure that is not published."""
    runs: list[list[int]] = [[]]
    for index, cell in enumerate(cells):
        if cell.is_published:
            runs[-1].append(index)
        else:
            runs.append([])
    return [run for run in runs if run]


def _x(index: int, count: int) -> float:
    return (index + 0.5) / count * 1000


def _y(scale: Scale, value: float) -> float:
    return 1000 - scale.at(value) * 10


def _points(pairs: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)


def matrix(
    rows: Sequence[tuple[str, Sequence[Cell]]],
    columns: Sequence[tuple[str, str]],
    say: Translator,
    corner: str,
    label: str,
) -> str:
    """A grid of coloured cells that is itself a table: rows by columns, withheld cells hatched.

    Args:
        rows: name of each row with its cells.
        columns: name of each column, and the short one that fits a phone.
        say: the page's language.
        corner: heading of the row names.
        label: what the grid shows, for a screen reader.
    """
    values = [cell.value for _, cells in rows for cell in cells if cell.value is not None]
    ends = breaks(values)
    head = "".join(
        f'<th scope="col"><span class="long">{escape(name)}</span>'
        f'<span class="short" aria-hidden="true">{escape(short)}</span></th>'
        for name, short in columns
    )
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>'
        f"{''.join(_square(cell, ends, say) for cell in cells)}</tr>"
        for name, cells in rows
    )
    return (
        f'<div class="matrix" tabindex="0" role="region" aria-label="{escape(label, quote=True)}">'
        f'<table><thead><tr><th scope="col">{escape(corner)}</th>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _square(cell: Cell, ends: Sequence[float], say: Translator) -> str:
    if cell.value is None:
        reason = escape(say.code("reasons", cell.reason), quote=True)
        short = escape(say.code("reasons_short", cell.reason))
        return f'<td class="withheld" title="{reason}"><em>{short}</em></td>'
    return f'<td class="shade{shade(cell.value, ends)}">{escape(cell.text)}</td>'
