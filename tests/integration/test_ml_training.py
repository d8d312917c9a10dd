"""Training from a table to a documented folder: wages made for the test, and a foreign table."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.datasets import load_breast_cancer

import ml
from ml.__main__ import main
from ml.card import canonical_json, validate
from ml.errors import ModelError
from ml.model import Model
from ml.pipeline import FILES, TrainingResult, score
from ml.spec import Features, ModelSpec, load_spec, parse_spec

SPECS = Path(ml.__file__).parent
LINEAGE = {
    "snapshots": [
        {"dataset": "fct_wages__bpl_training", "snapshot_id": "s-1", "root": "ab", "log_index": 7}
    ],
    "is_verified": True,
    "is_sample_data": True,
    "code_version": "test",
}


def wages(rows: int = 4000, seed: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Audited workers with every feature of the domain's specification, and their attributes."""
    rng = np.random.default_rng(seed)
    district = rng.integers(0, 60, rows)
    sex = rng.choice(["female", "male", "other"], rows, p=[0.45, 0.545, 0.005])
    means = rng.normal(size=rows) - 0.3 * (sex == "female")
    wage = np.exp(13.2 + 0.45 * means + 0.2 * rng.normal(size=rows))
    spend = np.exp(0.5 * means + 0.5 * rng.normal(size=rows))
    labels = yaml.safe_load((SPECS / "wages" / "bpl.yaml").read_text(encoding="utf-8"))["features"]
    table = pd.DataFrame({name: rng.random(rows) for name in labels["labels"]})
    for name in (*labels["monotone"], "f_paid_month_wage_sd_paise"):
        table[name] = wage * rng.uniform(0.9, 1.1, rows)
    table["worker_id_hash"] = [f"{number:064x}" for number in rng.permutation(rows)]
    table["household_id_hash"] = [f"h{d}-{n}" for d, n in _pairs(district, rng, 90)]
    table["main_employer_id_hash"] = [f"e{d}-{n}" for d, n in _pairs(district, rng, 12)]
    table["district_code"] = district + 100
    table["is_below_line"] = spend < np.quantile(spend, 0.3)
    table["line_id"] = "hces_2023_24_60pct"
    table["incumbent_score"] = table["f_monthly_wage_paise"]
    table["design_weight"] = rng.uniform(0.5, 2, rows)
    attributes = pd.DataFrame({"worker_id_hash": table["worker_id_hash"], "sex": sex})
    attributes["social_category"] = rng.choice(["General", "OBC", "SC", "ST"], rows)
    attributes["age_band"] = rng.choice(["under 25", "25-39", "40-59", "60 and over"], rows)
    attributes["is_disabled"] = rng.random(rows) < 0.02
    attributes["is_migrant"] = rng.random(rows) < 0.2
    attributes["residence"] = rng.choice(["rural", "urban"], rows)
    return table, attributes.sample(frac=0.99, random_state=1)


def _pairs(district: np.ndarray, rng: np.random.Generator, count: int) -> zip:
    return zip(district, rng.integers(0, count, len(district)), strict=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    table, protected = wages()
    spec = load_spec(SPECS / "wages" / "bpl.yaml")
    out = tmp_path_factory.mktemp("models")
    return ml.train(spec, table, protected, out, LINEAGE, sign=lambda data: f"signed {len(data)}")


def test_the_result_can_be_stored_as_json(trained: TrainingResult) -> None:
    assert json.loads(json.dumps([trained.metrics, trained.gates]))


def card(result: TrainingResult, name: str) -> dict:
    return json.loads((result.folder / f"card.{name}.json").read_text(encoding="utf-8"))


def test_a_version_is_a_folder_with_its_model_specification_and_cards(
    trained: TrainingResult,
) -> None:
    assert trained.folder.name == trained.version
    assert trained.folder.parent.name == "wages_bpl"
    assert sorted(path.name for path in trained.folder.iterdir()) == sorted(FILES)
    assert trained.is_new
    assert not [path for path in trained.folder.parent.iterdir() if path.name.startswith(".")]


def test_the_model_beats_chance_and_its_gates_are_honest(trained: TrainingResult) -> None:
    gates = trained.gates
    assert trained.metrics["model"]["auc"]["lower"] > 0.65
    assert gates["lineage"] == "pass"
    assert gates["leakage"] == "pass"
    assert gates["human"] == "insufficient_evidence"
    assert trained.highest_status != "champion"


def test_both_cards_follow_the_schema_and_name_the_model(trained: TrainingResult) -> None:
    for name in ("public", "internal"):
        document = card(trained, name)
        validate(document)
        assert document["model"]["model_sha256"] == trained.model_sha256
        assert document["approvals"]["statement"] == "not approved: sample data"
        unsigned = {**document, "signature": None}
        assert document["signature"] == f"signed {len(canonical_json(unsigned))}"


def test_the_public_card_holds_no_figure_of_a_group(trained: TrainingResult) -> None:
    public, internal = card(trained, "public"), card(trained, "internal")
    assert "assessments" not in public["fairness"]
    assert public["fairness"]["release_table"] == "model_fairness"
    exact = {
        gate["evidence"]
        for gate in internal["gates"]
        if gate["id"].startswith(("fairness_", "calibration_groups", "targeting_groups"))
    }
    shown = json.dumps(public, ensure_ascii=False)
    pages = shown + "".join(
        (trained.folder / f"card.public.{kind}").read_text(encoding="utf-8")
        for kind in ("md", "html")
    )
    assert exact
    assert not [line for line in exact if line in pages]
    assert public["data"]["rows"] % 100 == 0
    for metric in public["performance"]["metrics"]:
        for figure in metric["scorers"].values():
            assert all(round(part, 2) == part for part in figure.values())


def test_the_internal_card_lists_every_group_and_what_is_suppressed(
    trained: TrainingResult,
) -> None:
    found = {
        item["attribute"]: item for item in card(trained, "internal")["fairness"]["assessments"]
    }
    assert {"sex", "social_category", "sex x social_category", "f_cash_share"} <= set(found)
    assert found["sex"]["suppressed"] == ["other", "unknown"]
    for group in found["sex"]["groups"]:
        if group["is_suppressed"]:
            assert group["rows"] is None
            assert group["rates"] == {}


def test_a_public_card_with_group_figures_is_not_a_card(trained: TrainingResult) -> None:
    public, internal = card(trained, "public"), card(trained, "internal")
    public["fairness"]["assessments"] = internal["fairness"]["assessments"]
    with pytest.raises(ModelError, match="model card: at"):
        validate(public)


def test_a_suppressed_group_with_a_figure_is_not_a_card(trained: TrainingResult) -> None:
    internal = card(trained, "internal")
    sex = next(i for i in internal["fairness"]["assessments"] if i["attribute"] == "sex")
    next(group for group in sex["groups"] if group["is_suppressed"])["rows"] = 31
    with pytest.raises(ModelError, match="fairness/assessments"):
        validate(internal)


class _Page(HTMLParser):
    """Collects what a browser would fetch, and the page's outline."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.headings: list[int] = []
        self.tables = self.captions = self.images = self.named = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.fetched += [
            values[name] or "" for name in ("src", "srcset", "data", "poster") if name in values
        ]
        if tag in {"script", "link", "iframe", "object", "embed", "img"}:
            self.fetched.append(tag)
        if tag == "a" and not (values.get("href") or "").startswith("#"):
            self.fetched.append(values.get("href") or "")
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        self.tables += tag == "table"
        self.captions += tag == "caption"
        self.images += tag == "svg"
        self.named += tag == "svg" and bool(values.get("aria-label"))


def test_the_page_asks_nothing_of_any_network_and_has_an_outline(trained: TrainingResult) -> None:
    text = (trained.folder / "card.public.html").read_text(encoding="utf-8")
    page = _Page()
    page.feed(text)
    assert page.fetched == []
    assert not re.search(r"url\(|@import|https?:", text)
    assert page.headings[0] == 1
    assert page.headings.count(1) == 1
    assert all(
        after - before <= 1 for before, after in zip(page.headings, page.headings[1:], strict=False)
    )
    assert page.tables == page.captions > 5
    assert page.images == page.named == 2


def test_text_of_a_specification_cannot_become_markup(tmp_path: Path) -> None:
    data = load_breast_cancer(as_frame=True)
    asked = foreign(card={"summary": "<script>alert(1)</script>", "is_about_people": False})
    result = ml.train(asked, data.frame, None, tmp_path)
    text = (result.folder / "card.public.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;" in text


def test_the_evaluation_frame_is_what_the_release_layer_reads(trained: TrainingResult) -> None:
    frame = trained.evaluation
    assert list(frame.columns) == [
        "worker_id_hash", "split", "sex", "social_category", "y_true", "y_score", "y_pred",
        "design_weight",
    ]  # fmt: skip
    assert set(frame["split"]) == {"test", "unseen"}
    assert set(frame["sex"]) <= {"female", "male", "other", "unknown"}
    flagged = frame.loc[frame["y_pred"], "design_weight"].sum() / frame["design_weight"].sum()
    assert 0.19 < flagged <= 0.2
    assert (
        frame.loc[frame["y_pred"], "y_score"].min() >= frame.loc[~frame["y_pred"], "y_score"].max()
    )
    assert frame["worker_id_hash"].is_unique


def test_training_the_same_data_again_changes_nothing(trained: TrainingResult) -> None:
    table, protected = wages()
    before = {path.name: path.read_bytes() for path in trained.folder.iterdir()}
    again = ml.train(
        load_spec(SPECS / "wages" / "bpl.yaml"),
        table.sample(frac=1, random_state=3),
        protected,
        trained.folder.parents[1],
        LINEAGE,
        sign=lambda data: f"signed {len(data)}",
    )
    assert not again.is_new
    assert (again.version, again.model_sha256) == (trained.version, trained.model_sha256)
    assert {path.name: path.read_bytes() for path in again.folder.iterdir()} == before
    assert [path.name for path in again.folder.parent.iterdir()] == [trained.version]


def test_a_stored_model_scores_and_explains_any_rows(trained: TrainingResult) -> None:
    table, _ = wages()
    model = Model.load(trained.folder)
    assert model.sha256 == trained.model_sha256
    ranked = score(model, table)
    both = trained.evaluation.merge(ranked, on="worker_id_hash")
    assert np.allclose(both["y_score"], both["score"])
    assert ranked["rank"].is_unique
    assert ranked["is_flagged"].mean() == pytest.approx(0.2, abs=0.001)
    first = ranked.loc[ranked["rank"] == 1].iloc[0]
    assert 1 <= len(first["reasons_en"]) == len(first["reasons_hi"]) <= 3
    assert re.search("[\u0900-\u097f]", first["reasons_hi"][0])


def test_a_damaged_artefact_and_a_missing_feature_are_said_so(
    trained: TrainingResult, tmp_path: Path
) -> None:
    table, _ = wages(300)
    with pytest.raises(ml.DataError, match="lacks the features"):
        score(Model.load(trained.folder), table.drop(columns="f_cash_share"))
    (tmp_path / "spec.yaml").write_bytes((trained.folder / "spec.yaml").read_bytes())
    with pytest.raises(ml.DataError, match="model not found"):
        Model.load(tmp_path)
    (tmp_path / "model.ubj").write_bytes(b"not a model")
    with pytest.raises(ml.DataError, match="not an XGBoost model"):
        Model.load(tmp_path)


def test_a_folder_with_other_content_is_never_overwritten(tmp_path: Path) -> None:
    data = load_breast_cancer(as_frame=True).frame
    result = ml.train(foreign(), data, None, tmp_path)
    (result.folder / "card.public.md").write_text("edited", encoding="utf-8")
    with pytest.raises(ModelError, match=r"never changes, but card\.public\.md differ"):
        ml.train(foreign(), data, None, tmp_path)
    assert (result.folder / "card.public.md").read_text(encoding="utf-8") == "edited"


def foreign(**changes: object) -> ModelSpec:
    """A specification for a table nobody here made: Wisconsin breast cancer, from scikit-learn."""
    names = [name for name in load_breast_cancer(as_frame=True).frame if name != "target"]
    return parse_spec(
        {
            "model_id": "breast_cancer",
            "title": {"en": "Malignant tumours", "hi": "घातक ट्यूमर"},
            "target": {"column": "target", "positive": 0},
            "features": {"columns": names, "monotone": {"worst radius": 1}},
            "training": {"trees": 30},
            **changes,
        }
    )


def test_the_same_code_trains_a_table_nobody_here_made(tmp_path: Path) -> None:
    result = ml.train(foreign(), load_breast_cancer(as_frame=True).frame, None, tmp_path)
    assert result.metrics["model"]["auc"]["value"] > 0.95
    gates = result.gates
    assert gates["leakage"] == "fail"
    assert gates["quality_incumbent"] == "insufficient_evidence"
    assert list(result.evaluation) == [
        "row_id", "split", "y_true", "y_score", "y_pred", "design_weight"
    ]  # fmt: skip
    validate(card(result, "public"))


def test_the_medicines_specification_trains_batches_by_manufacturer(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    rows, makers = 1500, rng.normal(scale=0.5, size=60)
    maker = rng.integers(0, 60, rows)
    hits, hours = rng.poisson(0.4, rows), rng.exponential(2, rows)
    logit = -2.6 + 1.5 * hits + 0.3 * hours + makers[maker]
    table = pd.DataFrame(
        {
            "batch_id": [f"0890000000000{number % 10}/L{number:05d}" for number in range(rows)],
            "manufacturer_gln": [f"89000000{number:05d}" for number in maker],
            "jurisdiction": np.array(["IN", "US", "EU", "SG"])[maker % 4],
            "f_rule_hits": hits,
            "f_degree_hours": np.where(rng.random(rows) < 0.2, np.nan, hours),
            "f_transit_days": rng.exponential(5, rows),
            "is_failed": rng.random(rows) < 1 / (1 + np.exp(-logit)),
            "incumbent_score": hits.astype(float),
        }
    )
    spec = load_spec(SPECS / "pharma" / "batch_risk.yaml")
    bare = spec.model_copy(update={"features": parse_features()})
    result = ml.train(bare, table, None, tmp_path)
    assert result.metrics["model"]["auc"]["value"] > 0.65
    assert list(result.evaluation)[:3] == ["batch_id", "split", "jurisdiction"]
    document = card(result, "public")
    assert not document["people"]["is_about_people"]
    assert document["splits"]["disjoint_keys"] == ["manufacturer_gln"]


def parse_features() -> Features:
    """Columns by prefix alone: the words and constraints belong to the tables dbt builds."""
    return Features(prefix="f_")


def write(folder: Path, spec: ModelSpec, table: pd.DataFrame) -> list[str]:
    (folder / "spec.yaml").write_text(
        yaml.safe_dump(spec.model_dump(mode="json")), encoding="utf-8"
    )
    table.to_csv(folder / "table.csv", index=False)
    names = {"--spec": "spec.yaml", "--data": "table.csv", "--out": "models"}
    return ["train", *[part for flag, name in names.items() for part in (flag, str(folder / name))]]


def test_the_command_trains_from_files_and_says_where_the_card_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = write(tmp_path, foreign(), load_breast_cancer(as_frame=True).frame)
    assert main(arguments) == 0
    assert "card.public.html" in capsys.readouterr().out
    assert main([*arguments, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["is_new"] is False
    assert (Path(said["folder"]) / "model.ubj").is_file()
    assert main([*arguments, "--check"]) == 1


@pytest.mark.parametrize(
    ("break_it", "code", "said"),
    [
        (lambda t: t.drop(columns="mean radius"), 1, "missing columns ['mean radius']"),
        (lambda t: t.head(40), 1, "too few rows"),
        (lambda t: t.assign(target=0), 1, "single class"),
    ],
)
def test_data_that_cannot_be_trained_on_exits_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], break_it: object, code: int, said: str
) -> None:
    table = break_it(load_breast_cancer(as_frame=True).frame)
    assert main(write(tmp_path, foreign(), table)) == code
    assert said in capsys.readouterr().err
    assert not (tmp_path / "models").exists()


def test_wrong_use_exits_two(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = write(tmp_path, foreign(), load_breast_cancer(as_frame=True).frame)
    (tmp_path / "table.csv").unlink()
    assert main(arguments) == 2
    (tmp_path / "spec.yaml").write_text("model_id: X", encoding="utf-8")
    assert main(arguments) == 2
    assert "title" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stopped:
        main(["train"])
    assert stopped.value.code == 2
    lineage = ["--lineage", str(tmp_path / "none.json")]
    write(tmp_path, foreign(), load_breast_cancer(as_frame=True).frame)
    assert main([*arguments, *lineage]) == 2
