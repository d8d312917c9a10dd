"""Pictures: scales, classes, withheld cells, the tile grid, and contrast of their colours."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from apps.components import pictures
from apps.components.pictures import Cell, Panel, Reference, Row, Scale
from apps.components.tiles import COLUMNS, ROWS, TILES
from apps.text.catalogue import Translator

SAY = Translator("en")
SHOWN = Cell("x_share", 0.43, 0.41, 0.45, contributors=12300)
HELD = Cell("x_share", None, reason="interval_too_wide")
CSS = (Path(pictures.__file__).parents[1] / "theme" / "theme.css").read_text(encoding="utf-8")


def test_a_cell_that_is_not_published_is_hatched_with_its_reason_and_never_zero() -> None:
    scale = pictures.scale_for([SHOWN])
    plot = pictures.dot_plot([Panel("", [Row("A", SHOWN), Row("B", HELD)])], scale, SAY)
    grid = pictures.matrix(
        [("row", [SHOWN, HELD])], [("one", "1"), ("two", "2")], SAY, "class", "label"
    )
    line = pictures.months([("Jan", "Jan 2024", SHOWN), ("Feb", "Feb 2024", HELD)], scale, SAY)
    tiles = pictures.tile_map({10: SHOWN, 9: HELD}, SAY, {10: "?a", 9: "?b"}, None)
    for picture in (plot, grid, line, tiles):
        assert picture.count("withheld") >= 1
        assert "wider than the quality limit" in picture
        assert ">0%" not in picture.replace('">0%<', "") or picture is plot


def test_a_line_does_not_bridge_a_month_that_is_not_published() -> None:
    assert pictures._runs([SHOWN, SHOWN, HELD, SHOWN]) == [[0, 1], [3]]


def test_the_reference_line_is_named_on_the_picture() -> None:
    line = Reference("Notified wage, Apr 2024", 0.4)
    plot = pictures.dot_plot([Panel("", [Row("A", SHOWN)])], Scale(0, 1, 0.25), SAY, [line])
    assert "Notified wage, Apr 2024" in plot


def test_names_from_data_cannot_become_markup() -> None:
    evil = '<img src=x onerror="alert(1)">'
    plot = pictures.dot_plot([Panel(evil, [Row(evil, SHOWN)])], Scale(0, 1, 0.25), SAY)
    grid = pictures.matrix([(evil, [SHOWN])], [(evil, evil)], SAY, evil, evil)
    assert "<img" not in plot + grid


@given(st.lists(st.floats(min_value=-1e9, max_value=1e9), min_size=1, max_size=30))
@example([0.0625, -200200201.0])
def test_a_scale_holds_every_value_with_few_ticks(values: list[float]) -> None:
    scale = Scale.over(values)
    # A millionth of a step is far below a pixel.
    assert scale.low <= min(values) + scale.step * 1e-6
    assert scale.high >= max(values) - scale.step * 1e-6
    assert len(scale.ticks()) <= 9
    assert all(0 <= scale.at(value) <= 100 for value in values)


# Released values are rounded, so two of them that differ do so by more than a hair.
@given(st.lists(st.integers(0, 10**8).map(lambda n: n / 100), min_size=1, max_size=40))
def test_every_value_has_one_of_five_classes_and_the_largest_the_darkest(
    values: list[float],
) -> None:
    ends = pictures.breaks(values)
    shades = [pictures.shade(value, ends) for value in values]
    assert set(shades) <= {1, 2, 3, 4, 5}
    if len(ends) == 5:
        assert pictures.shade(max(values), ends) == 5
        assert pictures.shade(min(values), ends) == 1


def test_the_grid_has_the_36_states_and_territories_each_on_its_own_square() -> None:
    assert len(TILES) == 36
    assert len({(tile.column, tile.row) for tile in TILES.values()}) == 36
    assert len({tile.code for tile in TILES.values()}) == 36
    assert all(1 <= t.column <= COLUMNS and 1 <= t.row <= ROWS for t in TILES.values())


def test_every_state_of_the_pilot_has_a_tile() -> None:
    seed = Path(__file__).parents[2] / "dbt_project" / "seeds" / "policy" / "pilot_districts.csv"
    codes = {int(line.split(",")[0]) for line in seed.read_text().splitlines()[1:]}
    assert codes <= set(TILES)


def luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, two: str) -> float:
    light, dark = sorted((luminance(one), luminance(two)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def colour(name: str) -> str:
    found = re.search(rf"--{name}: (#[0-9a-f]{{6}})", CSS)
    assert found
    return found.group(1)


@pytest.mark.parametrize(
    ("text", "ground"),
    [
        *(("ink", f"shade{n}") for n in (1, 2, 3)),
        *(("card", f"shade{n}") for n in (4, 5)),
        *((t, g) for t in ("ink", "soft", "accent", "mark", "bad") for g in ("card", "paper")),
        ("soft", "tint"),
        ("good", "card"),
        ("accent", "accent-soft"),
    ],
)
def test_text_and_chart_labels_have_a_contrast_of_four_and_a_half(text: str, ground: str) -> None:
    assert contrast(colour(text), colour(ground)) >= 4.5


def test_the_classes_get_darker_one_by_one() -> None:
    lights = [luminance(colour(f"shade{n}")) for n in range(1, 6)]
    assert lights == sorted(lights, reverse=True)


def test_the_stylesheet_fetches_nothing() -> None:
    assert "url(" not in CSS
    assert "@import" not in CSS
