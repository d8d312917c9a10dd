"""Draws the favicon and the wordmark: `python -m apps.theme.draw` writes both PNG files again.

What belongs here: the project's own marks, from shapes alone, so that no font file and no foreign
artwork is needed. The mark is a tree of two leaves under one root: what is shown hangs on what was
committed.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw

ACCENT = (11, 92, 115, 255)
MARK = (163, 64, 28, 255)
CLEAR = (0, 0, 0, 0)
# Drawn this many times larger and scaled down, for smooth edges.
FINE = 8

# Letters as strokes on a grid of 6 by 8 (x to the right, y down), one list of lines a letter.
_LETTERS: dict[str, list[list[tuple[float, float]]]] = {
    "t": [[(1.5, 0), (1.5, 6.2), (2.4, 7), (3.4, 7)], [(0, 2.2), (3.4, 2.2)]],
    "r": [[(0, 2.2), (0, 7)], [(0, 3.8), (1.2, 2.4), (2.8, 2.4)]],
    "a": [
        [(4, 2.2), (4, 7)],
        [(4, 3.4), (2.9, 2.2), (1.1, 2.2), (0, 3.5), (0, 5.7), (1.1, 7), (2.9, 7), (4, 5.8)],
    ],
    "c": [[(3.8, 3), (2.9, 2.2), (1.1, 2.2), (0, 3.5), (0, 5.7), (1.1, 7), (2.9, 7), (3.8, 6.2)]],
    "i": [[(0, 2.2), (0, 7)], [(0, 0), (0, 0.15)]],
    "e": [
        [(0, 4.6), (4, 4.6), (4, 3.5), (2.9, 2.2), (1.1, 2.2), (0, 3.5), (0, 5.7), (1.1, 7)],
        [(1.1, 7), (3, 7), (3.8, 6.3)],
    ],
    "n": [[(0, 2.2), (0, 7)], [(0, 3.6), (1.3, 2.2), (2.9, 2.2), (4, 3.4), (4, 7)]],
}
_WIDTHS = {"t": 3.4, "r": 2.8, "a": 4, "c": 3.8, "i": 0, "e": 4, "n": 4}


def mark(size: int) -> Image.Image:
    """The mark as a square image of `size` pixels."""
    big = size * FINE
    image = Image.new("RGBA", (big, big), CLEAR)
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((0, 0, big - 1, big - 1), radius=big * 0.22, fill=ACCENT)
    root, left, right = (0.5, 0.27), (0.27, 0.72), (0.73, 0.72)
    white = (255, 255, 255, 255)
    for leaf in (left, right):
        ends = [(x * big, y * big) for x, y in (root, leaf)]
        draw.line(ends, fill=white, width=round(big * 0.075))
    for (x, y), colour in ((root, white), (left, white), (right, (242, 178, 140, 255))):
        reach = big * 0.125
        draw.ellipse((x * big - reach, y * big - reach, x * big + reach, y * big + reach), colour)
    return image.resize((size, size), Image.Resampling.LANCZOS)


def wordmark(height: int) -> Image.Image:
    """The mark with the name beside it, `height` pixels tall."""
    unit = height * FINE / 10
    gap, left = 1.7, 12.6
    width = left + sum(_WIDTHS[letter] + gap for letter in "tracient")
    image = Image.new("RGBA", (round(width * unit), height * FINE), CLEAR)
    draw = ImageDraw.Draw(image)
    for letter in "tracient":
        for line in _LETTERS[letter]:
            points = [((left + x) * unit, (1.2 + y) * unit) for x, y in line]
            _stroke(draw, points, unit * 1.05)
        left += _WIDTHS[letter] + gap
    small = image.resize((round(image.width / FINE), height), Image.Resampling.LANCZOS)
    small.alpha_composite(mark(height), (0, 0))
    return small


def _stroke(draw: ImageDraw.ImageDraw, points: list[tuple[float, float]], width: float) -> None:
    draw.line(points, fill=ACCENT, width=round(width), joint="curve")
    for x, y in points:
        reach = width / 2
        draw.ellipse((x - reach, y - reach, x + reach, y + reach), ACCENT)


def main(folder: Path = Path(__file__).parent) -> None:
    """Write favicon.png and wordmark.png beside this file (or into a folder)."""
    mark(64).save(folder / "favicon.png", optimize=True)
    wordmark(64).save(folder / "wordmark.png", optimize=True)


if __name__ == "__main__":
    main()
