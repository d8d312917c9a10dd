"""Coordinates for the card's two pictures: what a budget reaches, and whether probabilities hold.

Only geometry belongs here; the template draws it as SVG and gives every picture a table twin.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

WIDTH, HEIGHT = 640, 330
LEFT, RIGHT, TOP, BOTTOM = 52, 150, 34, 44
# Room for a label beside a line is narrow; the table twin has the full names.
SHORT = {"model": "This model", "logistic": "Logistic regression", "incumbent": "The rule in use"}


@dataclass(frozen=True)
class Axes:
    """A plot area with shares from 0 to `x_end` across and 0 to `y_end` up."""

    x_end: float
    y_end: float

    def x(self, value: float) -> float:
        """Pixels from the left."""
        return round(LEFT + (WIDTH - LEFT - RIGHT) * value / self.x_end, 1)

    def y(self, value: float) -> float:
        """Pixels from the top."""
        return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / self.y_end, 1)

    def path(self, xs: Sequence[float], ys: Sequence[float]) -> str:
        """Points of an SVG polyline."""
        return " ".join(f"{self.x(x)},{self.y(y)}" for x, y in zip(xs, ys, strict=True))


def targeting(card: Mapping[str, Any]) -> dict[str, Any]:
    """Exclusion error against the budget, one line per scorer, labelled where it ends.

    Args:
        card: the document.

    Returns:
        axes ticks, lines with labels kept apart, and the budget's place.
    """
    budgets = card["targeting"]["budgets"]
    axes = Axes(x_end=budgets[-1], y_end=1.0)
    share = card["targeting"]["budget"]["share"]
    lines = []
    for scorer in card["performance"]["scorers"]:
        curve = card["targeting"]["curve"].get(scorer)
        if curve is None:
            continue
        errors = curve["exclusion_error"]
        lines.append(
            {
                "scorer": scorer,
                "name": SHORT.get(scorer, scorer),
                "points": axes.path(budgets, errors),
                "label_y": axes.y(errors[-1]),
            }
        )
    _spread(lines)
    # Drawn last, the model's own line stays on top of the two it is compared with.
    lines.sort(key=lambda line: line["scorer"] == "model")
    return {
        **_frame(axes, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6], [0, 0.25, 0.5, 0.75, 1.0]),
        "lines": lines,
        "budget_x": axes.x(share),
        "has_budget": share <= budgets[-1],
    }


def reliability(card: Mapping[str, Any]) -> dict[str, Any]:
    """Observed share against mean probability, with the diagonal that would be perfect."""
    bins = card["performance"]["reliability"]
    top = max([0.2, *(bin_["predicted"] for bin_ in bins), *(bin_["observed"] for bin_ in bins)])
    end = min(1.0, round(top + 0.06, 1))
    axes = Axes(x_end=end, y_end=end)
    step = 0.2 if end > 0.5 else 0.1
    ticks = [round(step * number, 1) for number in range(int(end / step) + 1)]
    return {
        **_frame(axes, ticks, ticks),
        "dots": [{"x": axes.x(bin_["predicted"]), "y": axes.y(bin_["observed"])} for bin_ in bins],
        "diagonal": axes.path([0, end], [0, end]),
    }


def _frame(axes: Axes, across: Sequence[float], up: Sequence[float]) -> dict[str, Any]:
    return {
        "width": WIDTH,
        "height": HEIGHT,
        "left": LEFT,
        "right": WIDTH - RIGHT,
        "top": TOP,
        "bottom": HEIGHT - BOTTOM,
        "x_ticks": [{"at": axes.x(tick), "text": f"{tick:.0%}"} for tick in across],
        "y_ticks": [{"at": axes.y(tick), "text": f"{tick:.0%}"} for tick in up],
    }


def _spread(lines: list[dict[str, Any]], least: float = 18) -> None:
    """Push the labels at the right end apart so that none covers another."""
    lines.sort(key=lambda line: line["label_y"])
    for before, after in pairwise(lines):
        after["label_y"] = max(after["label_y"], before["label_y"] + least)
    overflow = lines[-1]["label_y"] - (HEIGHT - BOTTOM) if lines else 0
    if overflow > 0:
        for line in lines:
            line["label_y"] -= overflow
