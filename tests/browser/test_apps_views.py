"""Each view without a browser: runs in both languages, in every state, and says what it should."""

from __future__ import annotations

import shutil
from html import unescape
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from apps.text.catalogue import Translator
from apps.text.numbers import period_text

VIEWS = Path(__file__).parents[2] / "apps" / "views"
NAMES = ["overview", "wages", "medicines", "fairness", "verify"]


def run(view: str, home: Path, monkeypatch: pytest.MonkeyPatch, **query: str) -> AppTest:
    monkeypatch.setenv("TRACIENT_HOME", str(home))
    app = AppTest.from_file(str(VIEWS / f"{view}.py"), default_timeout=60)
    for name, value in query.items():
        app.query_params[name] = value
    return app.run()


def words(app: AppTest) -> str:
    return "\n".join(str(block.proto.body) for block in app.get("html"))


@pytest.mark.parametrize("language", ["en", "hi"])
@pytest.mark.parametrize("view", NAMES)
def test_a_view_runs_without_a_problem(
    view: str, language: str, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = run(view, published, monkeypatch, lang=language)
    assert not app.exception
    text = words(app)
    assert 'data-state="error"' not in text
    assert 'data-state="refused"' not in text
    assert 'class="lead"' in text
    assert 'class="cannot"' in text


@pytest.mark.parametrize("measure", ["mean_daily_wage_paise", "worker_count"])
@pytest.mark.parametrize("state", ["all", "10", "32"])
def test_every_measure_and_state_can_be_shown(
    measure: str, state: str, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = run("wages", published, monkeypatch, measure=measure, state=state, period="2024-Q2")
    assert 'data-state="error"' not in words(app)


def test_the_notified_wage_is_drawn_where_the_release_states_it(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = run("wages", published, monkeypatch, measure="mean_daily_wage_paise", state="10")
    text = words(app)
    assert "Notified MGNREGA day rate: ₹228 from Apr 2023, ₹245 from Apr 2024" in text
    assert text.count("Notified MGNREGA day rate: ₹245<") == 2  # districts and sexes, Oct-Dec
    app = run("wages", published, monkeypatch, measure="mean_daily_wage_paise")
    assert "Notified MGNREGA" not in words(app)


def test_every_view_and_every_figure_of_a_simulated_sample_says_so(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for view in NAMES:
        text = words(run(view, published, monkeypatch))
        assert text.count('class="sample"') == 1
        assert "no real worker, employer or company is in them" in text
        assert text.count('<strong class="tag">Simulated sample') == text.count('class="sure"')
        assert "कोई वास्तविक श्रमिक" in words(run(view, published, monkeypatch, lang="hi"))


def test_receipt_data_note_and_file_names_of_a_sample_say_so(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for panel in ("verify", "data"):
        app = run("medicines", published, monkeypatch)
        before = words(app).count("no real worker")
        app.button_group(key="panel:trail").set_value(panel).run()
        assert words(app).count("no real worker") == before + 1


def test_a_release_of_real_data_wears_no_banner(
    maker: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = maker.HomeMaker(tmp_path / "real")
    home.release("wages", "wages-2024", maker.wages_tables(), is_sample=False)
    text = words(run("wages", home.finish(), monkeypatch))
    assert 'class="sample"' not in text
    assert "imulated" not in text


@pytest.mark.parametrize("language", ["en", "hi"])
def test_each_of_several_rule_versions_stands_in_the_footer(
    language: str, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = words(run("wages", published, monkeypatch, lang=language))
    rules = "<b>notified-wage/mgnrega-2023-24</b>, <b>notified-wage/mgnrega-2024-25</b>"
    assert rules in text


def test_of_the_whole_pilot_the_ends_are_shown_first_and_all_districts_on_request(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = run("wages", published, monkeypatch)
    assert district_rows(app) == 15
    app.button(key="switch:districts").click().run()
    assert app.query_params["districts"] in ("all", ["all"])
    assert district_rows(app) == 120
    app.button(key="switch:districts").click().run()
    assert "districts" not in app.query_params
    assert district_rows(run("wages", published, monkeypatch, districts="all")) == 120
    assert district_rows(run("wages", published, monkeypatch, state="10")) == 10


def test_the_table_of_districts_is_complete_whatever_the_picture_shows(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = run("wages", published, monkeypatch)
    app.button_group(key="panel:districts").set_value("table").run()
    [twin] = [b for b in app.get("html") if 'class="twin"' in b.proto.body]
    assert twin.proto.body.count("<tr>") == 1 + 120


def district_rows(app: AppTest) -> int:
    [card] = [str(b.proto.body) for b in app.get("html") if 'id="districts"' in b.proto.body]
    return card.count('class="name"')


@pytest.mark.parametrize("measure", ["shipment_count", "batch_count"])
@pytest.mark.parametrize("product", ["vaccine", "all"])
def test_every_measure_of_medicines_can_be_shown(
    measure: str, product: str, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = run("medicines", published, monkeypatch, measure=measure, **{"class": product})
    assert 'data-state="error"' not in words(app)


def test_a_choice_is_written_into_the_address_and_reset_clears_it(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = run("wages", published, monkeypatch)
    app.selectbox(key="filter:state").select("10").run()
    assert app.query_params["state"] == ["10"] or app.query_params["state"] == "10"
    assert "Bihar" in words(app)
    app.button(key="filter:reset").click().run()
    assert "state" not in app.query_params


@pytest.mark.parametrize("panel", ["verify", "data", "link", "table"])
def test_every_panel_of_a_card_opens(
    panel: str, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = run("medicines", published, monkeypatch)
    app.button_group(key="panel:trail").set_value(panel).run()
    assert not app.exception
    if panel == "table":
        assert "not published: too few firms" in words(app)


def test_the_ml_team_sees_exact_results_and_others_see_why_not(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TRACIENT_ROLE", raising=False)
    text = words(run("fairness", published, monkeypatch))
    assert 'data-state="not_allowed"' in text
    assert "0.337" not in text
    monkeypatch.setenv("TRACIENT_ROLE", "ml_team")
    text = words(run("fairness", published, monkeypatch))
    assert 'data-state="not_allowed"' not in text
    assert "0.337" in text


def test_one_refused_domain_does_not_hide_the_other(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = copied / "released" / "pharma" / "pharma-2024-2025" / "compliance_quarter.parquet"
    path.write_bytes(path.read_bytes() + b"x")
    text = words(run("overview", copied, monkeypatch))
    assert 'data-state="refused"' in text
    assert 'id="states"' in text
    assert 'id="classes"' not in text


def test_a_home_without_models_says_so(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.rmtree(copied / "models")
    assert "No model yet" in words(run("fairness", copied, monkeypatch))


def test_a_fault_of_ours_shows_no_trace_and_no_value(
    published: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("worker 4711 of Patna")

    monkeypatch.setattr("apps.components.pictures.tile_map", fails)
    text = words(run("wages", published, monkeypatch))
    assert 'data-state="error"' in text
    assert "4711" not in text + caplog.text
    assert "RuntimeError" in caplog.text


@pytest.mark.parametrize("view", NAMES)
def test_a_damaged_log_withholds_every_figure(
    view: str, copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = copied / "anchors" / "log" / "checkpoint"
    lines = checkpoint.read_text().splitlines()
    lines[1] = str(int(lines[1]) + 1)
    checkpoint.write_text("\n".join(lines) + "\n")
    text = words(run(view, copied, monkeypatch))
    assert 'data-state="refused"' in text
    assert 'class="figure"' not in text


def withheld(rows: list[dict[str, Any]], *levels: str) -> list[dict[str, Any]]:
    """The rows with every figure of the named levels not published."""
    none = {"value": None, "lower": None, "upper": None, "contributors": None}
    none |= {"is_published": False, "reason": "interval_too_wide"}
    return [row | none if row["level"] in levels else row for row in rows]


@pytest.mark.parametrize("language", ["en", "hi"])
def test_no_title_claims_a_finding_where_nothing_is_published(
    language: str, maker: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = maker.wages_tables()
    tables["wages_district_quarter"] = withheld(
        tables["wages_district_quarter"], "state", "district"
    )
    tables["wages_district_year"] = withheld(tables["wages_district_year"], "state", "district")
    tables["model_fairness"] = withheld(tables["model_fairness"], "nation")
    home = maker.HomeMaker(tmp_path / "few")
    home.release("wages", "wages-2024", tables)
    folder = home.finish()
    say = Translator(language)
    text = words(run("wages", folder, monkeypatch, lang=language))
    assert say("wages.map_title.no_state") in unescape(text)
    assert say("wages.district_title.none", total=120) in text
    assert "“" not in text  # no other measure is published either
    assert district_rows(run("wages", folder, monkeypatch, lang=language)) == 0
    text = unescape(words(run("overview", folder, monkeypatch, lang=language)))
    assert say("wages.map_title.no_state") in text
    assert say("wages.map_title.below_notified_rate_share_none") not in text
    text = words(run("fairness", folder, monkeypatch, lang=language))
    assert say("fairness.lead_withheld") in text
    for grouping in ("sex", "social_category"):
        name = say(f"fairness.grouping.{grouping}")
        assert say("fairness.withheld", grouping=name) in text
    assert 'class="dot-row axis"' not in text


def test_with_few_published_districts_they_stand_in_one_list(
    maker: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = maker.wages_tables()
    for name in ("wages_district_quarter", "wages_district_year"):
        tables[name] = [
            row if row["state_code"] == 10 else withheld([row], "district")[0]
            for row in tables[name]
        ]
    home = maker.HomeMaker(tmp_path / "few")
    home.release("wages", "wages-2024", tables)
    app = run("wages", home.finish(), monkeypatch)
    assert 5 <= district_rows(app) <= 10
    assert "Bihar</span>" in words(app)


def test_a_spent_budget_is_told_below_the_figures(
    spent: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = words(run("wages", spent, monkeypatch))
    assert text.index('data-state="budget"') > text.index('id="sex"')
    assert "At epsilon 1 a year" in text
    assert text.index('data-state="stale"') < text.index('class="lead"')


@pytest.mark.parametrize("language", ["en", "hi"])
def test_a_page_opens_on_the_newest_quarter_that_says_something_and_calls_an_empty_one_empty(
    language: str, maker: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    none = {"value": None, "contributors": None, "is_published": False, "reason": "not_assessed"}
    rows = [
        row | none if row["period"] == "2025-Q2" and row["measure"] == "compliant_share" else row
        for row in maker.pharma_rows()
    ]
    home = maker.HomeMaker(tmp_path / "early")
    home.release("pharma", "pharma-2025", {"compliance_quarter": rows})
    folder, say = home.finish(), Translator(language)
    for view in ("overview", "medicines"):
        text = words(run(view, folder, monkeypatch, lang=language))
        assert period_text("2025-Q1", language) in text
        assert say("medicines.title_withheld") not in unescape(text)
    text = words(run("medicines", folder, monkeypatch, lang=language, period="2025-Q2"))
    assert say("medicines.title_empty") in text
    assert say("medicines.title_withheld") not in unescape(text)


def districts_card(app: AppTest) -> str:
    """Title, picture and note of the card of districts."""
    text = unescape(words(app))
    start = text.index('id="districts"')
    return text[start : text.index('id="months"', start)]


@pytest.mark.parametrize("language", ["en", "hi"])
def test_the_share_of_districts_is_the_years_and_the_quarters_on_request(
    language: str, published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    say, quarter = Translator(language), period_text("2024-Q4", language)
    app = run("wages", published, monkeypatch, lang=language)
    shown = districts_card(app)
    assert "; 2024</p>" in shown
    assert say("wages.whole_pilot") in shown
    app.button(key="switch:span").click().run()
    assert app.query_params["span"] in ("quarter", ["quarter"])
    assert f"; {quarter}</p>" in districts_card(app)
    app.button(key="filter:reset").click().run()
    assert "span" not in app.query_params
    assert "; 2024</p>" in districts_card(app)


def test_other_measures_of_districts_are_the_quarters_and_the_years_on_request(
    published: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mean = "mean_daily_wage_paise"
    app = run("wages", published, monkeypatch, measure=mean, state="10")
    assert "; Oct–Dec 2024</p>" in districts_card(app)
    assert "Show all of 2024" in app.button(key="switch:span").label
    app.button(key="switch:span").click().run()
    shown = districts_card(app)
    assert "; 2024</p>" in shown
    # A year has the rates of two financial years, each with its first day.
    assert "Notified MGNREGA day rate: ₹228 from Apr 2023<" in shown
    assert "Notified MGNREGA day rate: ₹245 from Apr 2024<" in shown
    app.button_group(key="panel:districts").set_value("table").run()
    [twin] = [b.proto.body for b in app.get("html") if 'class="twin"' in b.proto.body]
    assert "; 2024</caption>" in twin


@pytest.mark.parametrize("asked", ["", "quarter"])
def test_a_quarter_without_districts_falls_back_to_the_year_and_says_why(
    asked: str, maker: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = maker.wages_tables()
    tables["wages_district_quarter"] = withheld(tables["wages_district_quarter"], "district")
    home = maker.HomeMaker(tmp_path / "few")
    home.release("wages", "wages-2024", tables)
    folder = home.finish()
    for measure in ("below_notified_rate_share", "worker_count"):
        app = run("wages", folder, monkeypatch, measure=measure, span=asked)
        shown = districts_card(app)
        assert "; 2024</p>" in shown
        assert "because a year is more certain than a quarter" in shown
        assert "0 for Oct–Dec 2024 alone" in shown
        assert district_rows(app) == 15
        assert "switch:span" not in [button.key for button in app.button]


def test_a_release_from_before_there_was_a_year_shows_its_quarters(
    maker: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = maker.wages_tables()
    del tables["wages_district_year"]
    home = maker.HomeMaker(tmp_path / "before")
    home.release("wages", "wages-2024", tables)
    app = run("wages", home.finish(), monkeypatch, span="year")
    assert "; Oct–Dec 2024</p>" in districts_card(app)
    assert "switch:span" not in [button.key for button in app.button]


def test_a_title_names_the_districts_that_stand_clearly_apart_and_no_other(
    maker: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = maker.wages_tables()
    share, apart = "below_notified_rate_share", {188: 0.7, 191: 0.8}
    tables["wages_district_year"] = [
        row
        | {"value": apart.get(row["district_code"], 0.4), "is_published": True}
        | {"lower": apart.get(row["district_code"], 0.4) - 0.05, "contributors": 480}
        | {"upper": apart.get(row["district_code"], 0.4) + 0.05, "reason": None}
        if row["measure"] == share and row["level"] != "state"
        else row
        for row in tables["wages_district_year"]
    ]
    home = maker.HomeMaker(tmp_path / "apart")
    home.release("wages", "wages-2024", tables)
    folder = home.finish()
    shown = districts_card(run("wages", folder, monkeypatch))
    title = "In 2 of 120 published districts pay below the notified wage is clearly more common"
    assert f"{title} than in the whole pilot: Begusarai and Araria<" in shown
    assert "Clearly above the whole pilot: 2; clearly below: 0; unclear: 118" in shown
    none = Translator("en")(
        f"wages.district_title.{share}_none",
        whole=Translator("en")("wages.whole_state", state="Kerala"),
    )
    assert none in districts_card(run("wages", folder, monkeypatch, state="32"))


def test_where_no_district_has_a_figure_the_page_names_a_measure_that_has(
    maker: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = maker.wages_tables()
    for name in ("wages_district_quarter", "wages_district_year"):
        tables[name] = [
            withheld([row], "district")[0] if row["measure"] == "below_notified_rate_share" else row
            for row in tables[name]
        ]
    home = maker.HomeMaker(tmp_path / "few")
    home.release("wages", "wages-2024", tables)
    text = unescape(words(run("wages", home.finish(), monkeypatch)))
    assert Translator("en")("wages.district_title.none", total=120) in text
    assert "Choose the measure “" in text


def test_fairness_opens_on_a_measure_that_compares_groups_and_says_what_it_cannot(
    maker: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables, missed = maker.wages_tables(), "exclusion_error_share"
    tables["model_fairness"] = [
        withheld([row], "nation")[0] if row["measure"] == missed else row
        for row in tables["model_fairness"]
    ]
    home = maker.HomeMaker(tmp_path / "few")
    home.release("wages", "wages-2024", tables)
    folder, say = home.finish(), Translator("en")
    text = unescape(words(run("fairness", folder, monkeypatch)))
    assert say("fairness.lead_withheld") in text
    assert say("fairness.lead_instead", measure=say("measures.selection_share")) in text
    assert "The model selects" in text
    text = unescape(words(run("fairness", folder, monkeypatch, measure=missed)))
    assert say("fairness.withheld", grouping="sex") in text
    assert "Below is what" not in text


def test_the_card_of_the_eligibility_model_comes_first_and_tells_its_purpose_first(
    maker: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = maker.HomeMaker(tmp_path / "models")
    home.release("wages", "wages-2024", maker.wages_tables())
    home.model("a_batch_risk", "pharma")
    home.model("bpl_classifier", "wages")
    text = words(run("fairness", home.finish(), monkeypatch, lang="hi"))
    assert text.index("गढ़ा हुआ मॉडल bpl_classifier") < text.index("गढ़ा हुआ मॉडल a_batch_risk")
    assert text.index("Intended use") < text.index("Approvals")
    assert "<b>Given:</b> –" in text
