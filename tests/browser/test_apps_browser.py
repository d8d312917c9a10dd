"""The dashboards in a real browser: every view, width, language and state."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe

from ledger_anchor.notes.keys import VerifierKey
from ledger_anchor.tlog.proof import verify_proof

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

VIEWS = ["overview", "wages", "medicines", "fairness", "verify"]
Visit = Callable[..., Any]
Shot = Callable[..., Path]


def address(view: str) -> str:
    return "" if view == "overview" else view


def overflow(page: Any) -> int:
    """Pixels by which the page is wider than the window."""
    return int(
        page.evaluate(
            """() => { const main = document.querySelector('[data-testid=stMain]');
            return Math.max(document.documentElement.scrollWidth - window.innerWidth,
                            main.scrollWidth - main.clientWidth) }"""
        )
    )


def whole(page: Any, shot: Shot, name: str) -> None:
    """Screenshot of the whole page: Streamlit scrolls inside, so the window is made as tall."""
    size = page.viewport_size
    height = page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
    page.set_viewport_size({"width": size["width"], "height": min(height + 40, 9000)})
    shot(page, name)
    page.set_viewport_size(size)


def violations(page: Any) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [f"{item['id']}: {item['nodes'][0]['html'][:160]}" for item in found]


@pytest.mark.parametrize("language", ["en", "hi"])
@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_accessible_and_fits_at_every_width(
    visit: Visit, shot: Shot, view: str, language: str
) -> None:
    for width in (1280, 390):
        page = visit(address(view), f"?lang={language}", width=width)
        assert page.locator("[data-state=error], [data-state=refused]").count() == 0
        assert violations(page) == []
        assert overflow(page) <= 0
        whole(page, shot, f"{view}-{language}-{width}")
    page.set_viewport_size({"width": 320, "height": 640})
    page.wait_for_timeout(150)
    assert overflow(page) <= 0
    assert page.evaluate("document.documentElement.lang") == language


def test_the_open_panels_of_a_card_are_accessible(visit: Visit, settle: Any, shot: Shot) -> None:
    page = visit("wages", width=390)
    card = page.locator(".st-key-card-map")
    for name, sign in (
        ("Verify", ".receipt"),
        ("Data", "[data-testid=stDownloadButton]"),
        ("Link", "[data-testid=stCode]"),
        ("Table", ".twin table"),
    ):
        card.get_by_text(name, exact=True).click()
        card.locator(sign).first.wait_for()
        settle(page)
        assert violations(page) == []
        assert overflow(page) <= 0
        shot(page, f"panel-{name.lower()}-390")


def test_on_a_phone_the_answer_and_the_map_are_within_a_screen_and_a_half(visit: Visit) -> None:
    page = visit("wages", "?lang=hi", width=390)
    bottom = page.locator("ul.tiles").evaluate("e => e.getBoundingClientRect().bottom")
    assert bottom <= 844 * 1.5


def test_the_language_switch_changes_words_address_and_page_language(
    visit: Visit, settle: Any
) -> None:
    page = visit("wages", "?state=10")
    choose(page, "Language / भाषा", "हिन्दी")
    page.wait_for_function("document.documentElement.lang === 'hi'")
    settle(page)
    assert page.locator("h1").inner_text() == "किसे अधिसूचित मज़दूरी से कम मिलता है?"
    assert "lang=hi" in page.url
    assert "state=10" in page.url


def test_the_language_outlives_a_change_of_view(visit: Visit) -> None:
    page = visit("", "?lang=hi")
    page.get_by_role("link", name="दवाओं का सुराग कहाँ छूटता है?").first.click()
    page.wait_for_url("**/medicines*lang=hi*")
    page.wait_for_function("document.querySelector('h1')?.innerText.startsWith('दवाओं')")


def choose(page: Any, label: str, option: str) -> None:
    page.get_by_label(label).first.click()
    page.get_by_role("option", name=option).click()


def test_an_address_restores_every_filter(visit: Visit) -> None:
    page = visit("wages", "?measure=mean_daily_wage_paise&period=2024-Q2&state=10")
    assert "Bihar" in page.locator(".lead").inner_text()
    assert "Apr–Jun 2024" in page.locator(".lead").inner_text()
    assert "mean daily wage" in page.locator(".st-key-card-map .subtitle").inner_text().lower()
    assert page.locator('.tiles a[aria-current="true"]').inner_text().startswith("BR")


def test_an_unknown_code_in_the_address_counts_as_the_default(visit: Visit) -> None:
    page = visit("wages", "?measure=secret&period=1999-Q9&state=drop&lang=xx")
    assert page.locator("[data-state=error]").count() == 0
    assert "all pilot states" in page.locator(".lead").inner_text()


def test_filters_can_be_reached_changed_and_reset_by_keyboard(visit: Visit, settle: Any) -> None:
    page = visit("wages")
    page.locator("h1").click()
    for _ in range(40):
        page.keyboard.press("Tab")
        label = page.evaluate("document.activeElement?.getAttribute('aria-label') || ''")
        if "State" in label:
            break
    else:
        pytest.fail("forty Tabs do not reach the filter for the state")
    for key in ("ArrowDown", "ArrowDown", "ArrowDown", "Enter"):
        page.keyboard.press(key)
    page.wait_for_function("location.search.includes('state=')")
    settle(page)
    page.get_by_role("button", name="Reset").focus()
    page.keyboard.press("Enter")
    page.wait_for_function("!location.search.includes('state')")


def test_on_a_phone_the_district_chart_is_short_and_opens_by_keyboard(
    visit: Visit, settle: Any, shot: Shot
) -> None:
    page = visit("wages", width=390)
    card = page.locator(".st-key-card-districts")
    assert card.evaluate("e => e.getBoundingClientRect().height") <= 844 * 1.7
    shot(page, "districts-ends-390")
    for name, count in (("Show all 120 districts", 120), ("Show only the highest", 15)):
        page.get_by_role("button", name=name).focus()
        page.keyboard.press("Enter")
        page.wait_for_function(
            "n => document.querySelectorAll('.st-key-card-districts .name').length === n", arg=count
        )
        settle(page)
        assert ("districts=all" in page.url) == (count == 120)
        assert overflow(page) <= 0
    assert violations(page) == []


def test_a_tile_selects_its_state(visit: Visit, settle: Any) -> None:
    page = visit("wages", "?lang=hi")
    page.locator('.tiles a:has-text("BR")').click()
    page.wait_for_function("location.search.includes('state=10')")
    settle(page)
    assert "बिहार" in page.locator(".lead").inner_text()
    assert "lang=hi" in page.url


def test_downloads_are_the_released_bytes_and_the_proof_verifies(
    visit: Visit, published: Path, tmp_path: Path
) -> None:
    page = visit("wages")
    card = page.locator(".st-key-card-map")
    card.get_by_text("Data", exact=True).click()
    parquet = saved(page, card.get_by_role("button", name="Download Parquet"), tmp_path)
    assert [path.name.split(".")[0] for path in tmp_path.iterdir()] == ["simulated-sample"]
    folder = published / "released" / "wages" / "wages-2024-current"
    manifest = json.loads((folder / "manifest.json").read_text())
    named = {table["name"]: table["sha256"] for table in manifest["tables"]}
    assert hashlib.sha256(parquet).hexdigest() == named["wages_district_quarter"]
    csv = saved(page, card.get_by_role("button", name="Download CSV"), tmp_path)
    assert csv.splitlines()[0].startswith(b"level,state_code,district_code,period")
    card.get_by_text("Verify", exact=True).click()
    proof = saved(page, card.get_by_role("button", name="Evidence pack"), tmp_path)
    key = VerifierKey.parse((published / "anchors" / "log.vkey").read_text().strip())
    assert verify_proof(proof, key).manifest["dataset"] == "release_wages"


def saved(page: Any, button: Any, folder: Path) -> bytes:
    with page.expect_download() as waiting:
        button.click()
    path = folder / waiting.value.suggested_filename
    waiting.value.save_as(path)
    return path.read_bytes()


def test_without_a_release_the_page_says_what_to_run(
    visit: Visit, served: Any, shot: Shot, tmp_path: Path
) -> None:
    served.show(tmp_path)
    for view in VIEWS:
        page = visit(address(view))
        assert "make run" in page.locator("[data-state=empty]").first.inner_text()
    shot(page, "state-empty")


def test_visit_serves_the_empty_home_only_on_request(visit: Visit) -> None:
    assert visit("wages").locator("[data-state=empty]").count() == 0


@pytest.fixture
def tampered(copied: Path) -> Path:
    """One byte of one released table differs."""
    path = copied / "released" / "wages" / "wages-2024-current" / "wages_district_quarter.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(bytes(content))
    return copied


def test_a_changed_file_is_refused_in_red_and_its_figures_are_withheld(
    visit: Visit, served: Any, shot: Shot, tampered: Path
) -> None:
    page = visit("wages")
    assert page.locator("ul.tiles").count() == 1
    served.show(tampered)
    page = visit("wages")
    text = page.locator("[data-state=refused]").inner_text()
    assert "wages_district_quarter.parquet" in text
    assert page.locator("ul.tiles").count() == 0
    assert violations(page) == []
    shot(page, "state-refused")
    page = visit("verify")
    assert "1" in page.locator(".lead").inner_text()
    assert page.locator("td.bad").count() == 1
    shot(page, "state-refused-verify")


def test_a_damaged_index_gives_an_error_that_says_what_to_do(
    visit: Visit, served: Any, shot: Shot, copied: Path
) -> None:
    (copied / "released" / "index.json").write_text("{")
    served.show(copied)
    page = visit("wages")
    assert "released/index.json" in page.locator("[data-state=error]").inner_text()
    assert "Traceback" not in page.content()
    shot(page, "state-error")


def test_a_home_that_does_not_exist_is_named(
    visit: Visit, served: Any, shot: Shot, tmp_path: Path
) -> None:
    served.show(tmp_path / "nowhere")
    page = visit("wages")
    assert "does not exist" in page.locator("[data-state=error]").inner_text()
    shot(page, "state-home-missing")


def test_an_old_release_is_called_stale_and_a_spent_budget_spent(
    visit: Visit, served: Any, shot: Shot, spent: Path
) -> None:
    served.show(spent)
    page = visit("wages")
    assert "10 Jan 2020" in page.locator("[data-state=stale]").inner_text()
    assert "2024" in page.locator("[data-state=budget]").inner_text()
    assert violations(page) == []
    shot(page, "state-stale-budget")


def test_an_older_release_can_be_chosen_and_says_so(visit: Visit, shot: Shot) -> None:
    page = visit("wages", "?release=wages-2024-older")
    assert "10 Mar 2025" in page.locator("[data-state=stale]").inner_text()
    assert "wages-2024-older" in page.locator(".st-key-card-map .source").inner_text()
    shot(page, "state-older")


def test_exact_group_results_are_not_shown_to_everybody(visit: Visit, shot: Shot) -> None:
    page = visit("fairness")
    box = page.locator("[data-state=not_allowed]")
    box.scroll_into_view_if_needed()
    assert "ML team" in box.inner_text()
    assert "0.337" not in page.content()
    shot(page, "state-not-allowed")


def test_while_the_release_is_read_a_skeleton_is_shown(
    visit: Visit, served: Any, shot: Shot, copied: Path
) -> None:
    index = copied / "released" / "index.json"
    content = index.read_bytes()
    index.unlink()
    # A pipe: whoever opens it waits until somebody writes.
    os.mkfifo(index)
    served.show(copied)
    page = visit("wages", settled=False)
    page.wait_for_selector(".skeleton")
    shot(page, "state-loading")
    writer = threading.Thread(target=index.write_bytes, args=(content,), daemon=True)
    writer.start()
    page.wait_for_selector("ul.tiles")
    page.wait_for_selector(".skeleton", state="detached")


def test_printed_pages_keep_the_footer_and_drop_the_frame(visit: Visit, tmp_path: Path) -> None:
    page = visit("medicines")
    page.emulate_media(media="print")
    assert not page.locator("[data-testid=stSidebar]").is_visible()
    assert not page.locator(".st-key-filters").is_visible()
    assert page.locator(".st-key-card-trail .source").is_visible()
    paper = tmp_path / "medicines.pdf"
    page.pdf(path=str(paper), format="A4", prefer_css_page_size=True)
    pages = paper.read_bytes().count(b"/Type /Page\n") or paper.read_bytes().count(b"/Type /Page ")
    assert 1 <= pages <= 3


def test_a_view_opens_from_the_front_page_with_its_data(visit: Visit) -> None:
    page = visit("")
    page.get_by_role("link", name="Who is paid below").first.click()
    page.wait_for_selector("ul.tiles")
