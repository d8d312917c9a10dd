"""The model card as a page: accessible, at home on a phone, silent on the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from sklearn.datasets import load_breast_cancer

import ml
from ml.spec import parse_spec

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


@pytest.fixture(scope="module")
def page_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    table = load_breast_cancer(as_frame=True).frame
    title = {"en": "Malignant tumours", "hi": "घातक ट्यूमर"}
    spec = parse_spec(
        {
            "model_id": "breast_cancer",
            "title": title,
            "target": {"column": "target", "positive": 0},
            "features": {"columns": [name for name in table if name != "target"]},
            "groupings": [
                {
                    "column": "half",
                    "title": title,
                    "vocabulary": ["0", "1"],
                    "source": "table",
                    "is_gated": True,
                }
            ],
            "training": {"trees": 20},
        }
    )
    table["half"] = range(len(table))
    table["half"] %= 2
    result = ml.train(spec, table, None, tmp_path_factory.mktemp("models"))
    return result.folder / "card.public.html"


@pytest.mark.parametrize("width", [1280, 390, 320])
def test_axe_finds_nothing_and_nothing_scrolls_sideways_or_leaves_the_machine(
    chromium: Any, page_file: Path, width: int
) -> None:
    page, asked = chromium.new_page(), []
    page.on("request", lambda request: asked.append(request.url))
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(page_file.as_uri())
    page.evaluate("document.querySelectorAll('details').forEach(part => part.open = true)")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert asked == [page_file.as_uri()]
    page.close()
