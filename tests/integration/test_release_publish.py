from __future__ import annotations

import hashlib
import json
import multiprocessing
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestration.release import load_places, load_release_spec, publish, publish_dp, publish_sdc
from orchestration.release.budget import BudgetLedger, replay
from orchestration.release.draws import NoisyVector, draw_measurement
from orchestration.release.errors import (
    BudgetRefusedError,
    InputError,
    PublishedFileError,
    SpecificationError,
)
from orchestration.release.figures import Z95, Figures
from orchestration.release.measure import layout_of, worker_month_vectors, worker_months
from orchestration.release.privacy import rho_of
from orchestration.release.spec import Specification
from orchestration.release.wages import estimate_months, period_figures

NOW = datetime(2025, 1, 5, 6, 30, tzinfo=UTC)
PLACES = load_places().groupby("state_code").head(3).query("state_code in [9, 10]")
MEAN = "mean_daily_wage_paise"
WORKER_MONTH, EVALUATION = "rel_wages__worker_month_bounded", "ml_wages__evaluation"


def worker_month_frame(per_district: int = 800, seed: int = 1) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    workers = len(PLACES) * per_district
    home = np.repeat(np.arange(len(PLACES)), per_district)
    sex = rng.choice(["female", "male"], workers)
    months = []
    for month in range(1, 13):
        active = np.flatnonzero(rng.random(workers) < 0.8)
        is_assessed = rng.random(len(active)) < 0.9
        months.append(
            pd.DataFrame(
                {
                    "worker_id_hash": [f"{seed}-{i}" for i in active],
                    "month": date(2024, month, 1),
                    "state_code": PLACES["state_code"].to_numpy()[home[active]],
                    "district_code": PLACES["district_code"].to_numpy()[home[active]],
                    "sex": sex[active],
                    "daily_wage_paise": rng.normal(35_000, 6_000, len(active)).astype(int),
                    "is_assessed": is_assessed,
                    "is_below_notified_rate": pd.array(
                        np.where(is_assessed, rng.random(len(active)) < 0.3, None), dtype="boolean"
                    ),
                }
            )
        )
    return pd.concat(months, ignore_index=True)


def evaluation_frame(workers: int = 1_500) -> pd.DataFrame:
    rng = np.random.default_rng(2)
    return pd.DataFrame(
        {
            "worker_id_hash": [f"1-{i}" for i in range(workers)],
            "split": "test",
            "sex": rng.choice(["female", "male"], workers),
            "social_category": rng.choice(["General", "OBC", "SC", "ST"], workers),
            "y_true": rng.random(workers) < 0.4,
            "y_score": rng.random(workers),
            "y_pred": rng.random(workers) < 0.4,
            "design_weight": 1.0,
        }
    )


@pytest.fixture(scope="module")
def frames() -> dict[str, pa.Table | pd.DataFrame]:
    return {
        WORKER_MONTH: pa.Table.from_pandas(worker_month_frame(), preserve_index=False),
        EVALUATION: evaluation_frame(),
    }


@dataclass
class Desk:
    """Where a test publishes from."""

    home: Path
    frames: dict
    spec: Specification
    version: str = "1"

    @property
    def released(self) -> Path:
        return self.home / "released"

    @property
    def ledger(self) -> Path:
        return self.home / "vault" / "budget.jsonl"

    def publish(self, **changes: object) -> publish.ReleaseResult:
        arguments = {
            "places": PLACES,
            "snapshots": [
                {"dataset": name, "snapshot_id": f"{name}-{self.version}", "rows": 1}
                for name in self.frames
            ],
            "home_released": self.released,
            "budget_ledger_path": self.ledger,
            "is_sample": False,
            "clock": lambda: NOW,
        }
        return publish_dp(self.spec, self.frames, **(arguments | changes))

    def files(self) -> dict[str, str]:
        return {
            str(path.relative_to(self.released)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(self.released.rglob("*"))
            if path.is_file()
        }

    def spent(self) -> float:
        budget = self.spec.release.budget
        return float(replay(self.ledger).spent(budget.population, budget.year))


@pytest.fixture
def desk(home: Path, frames: dict) -> Desk:
    return Desk(home, dict(frames), load_release_spec("wages"))


def table(result: publish.ReleaseResult, name: str) -> pd.DataFrame:
    return pq.read_table(result.folder / f"{name}.parquet").to_pandas()


def refuse_to_draw(*_: object, **__: object) -> None:
    raise AssertionError("noise was drawn")


class Died(BaseException):
    """The process ends here, in a test."""


def dies(*_: object, **__: object) -> None:
    raise Died


def test_a_release_is_complete_listed_and_every_file_is_in_its_manifest(desk):
    result = desk.publish()
    manifest = json.loads((result.folder / "manifest.json").read_bytes())
    assert result.is_new
    assert manifest == result.manifest
    assert [t["name"] for t in manifest["tables"]] == [
        "wages_state_month",
        "wages_district_quarter",
        "wages_district_year",
        "wages_sex_quarter",
        "model_fairness",
    ]
    for entry in [*manifest["tables"], manifest["places"]]:
        content = (result.folder / entry["file"]).read_bytes()
        assert hashlib.sha256(content).hexdigest() == entry["sha256"]
    index = json.loads((desk.released / "index.json").read_bytes())
    assert index["format"] == "tracient-release-index/1"
    [listed] = index["releases"]
    assert listed["is_current"]
    assert listed["path"] == f"wages/{result.release_id}"
    digest = hashlib.sha256((result.folder / "manifest.json").read_bytes()).hexdigest()
    assert listed["manifest_sha256"] == digest
    assert sorted(p.name for p in desk.released.iterdir()) == [".lock", "index.json", "wages"]


def test_keys_are_public_and_complete_whatever_the_data(desk):
    result = desk.publish()
    assert len(table(result, "wages_state_month")) == (1 + 2) * 12 * 3
    assert len(table(result, "wages_district_quarter")) == (1 + 2 + 6) * 4 * 3
    assert len(table(result, "wages_district_year")) == (1 + 2 + 6) * 3
    assert len(table(result, "wages_sex_quarter")) == (1 + 2) * 4 * 4 * 3
    assert len(table(result, "model_fairness")) == (4 + 5) * 3
    assert len(table(result, "places")) == 2 + 6


def test_the_whole_cap_is_spent_once_and_the_manifest_says_so(desk):
    budget = desk.publish().manifest["budget"]
    assert budget["rho_spent"] == budget["rho_cap"] == pytest.approx(0.02019, abs=5e-6)
    assert budget["epsilon"] == 1
    assert desk.spent() == budget["rho_cap"]
    replay(desk.ledger, [budget["ledger_head"]])


def test_what_is_not_published_is_null_with_a_reason_and_never_zero(desk):
    result = desk.publish()
    for entry in result.manifest["tables"]:
        frame = table(result, entry["name"])
        withheld = frame[~frame["is_published"]]
        assert withheld[["value", "lower", "upper", "contributors"]].isna().all(axis=None)
        assert set(withheld["reason"]) <= {"below_threshold", "interval_too_wide", "not_assessed"}
        shown = frame[frame["is_published"]]
        assert shown[["value", "lower", "upper", "contributors"]].notna().all(axis=None)
        assert (shown["lower"] <= shown["value"]).all()
        assert (shown["value"] <= shown["upper"]).all()
        assert shown["reason"].isna().all()


def test_figures_are_near_the_truth_and_most_can_be_shown(desk, frames):
    result = desk.publish()
    rows = frames[WORKER_MONTH].to_pandas()
    months = table(result, "wages_state_month").query("level == 'state' and is_published")
    assert len(months) > 0.9 * 2 * 12 * 3
    march = rows[(rows["state_code"] == 9) & (rows["month"] == date(2024, 3, 1))]
    cell = months.query("state_code == 9 and period == '2024-03'").set_index("measure")
    assert cell.loc["worker_count", "value"] == pytest.approx(len(march), abs=500)
    wage = march["daily_wage_paise"].mean()
    assert cell.loc["mean_daily_wage_paise", "value"] == pytest.approx(wage, rel=0.3)


@pytest.mark.parametrize("name", ["wages_district_quarter", "wages_district_year"])
def test_shown_districts_add_up_to_states_and_states_to_the_nation(desk, name):
    frame = table(desk.publish(), name).query("measure == 'worker_count'")
    for _, period in frame.groupby("period"):
        nation = period.query("level == 'nation'")["value"].item()
        states = period.query("level == 'state'").set_index("state_code")["value"]
        assert states.sum() == nation
        for code, districts in period.query("level == 'district'").groupby("state_code"):
            if districts["is_published"].all():
                assert districts["value"].sum() == states[code]


def test_the_same_quantity_agrees_in_every_table(desk):
    result = desk.publish()
    months = table(result, "wages_state_month").query("measure == 'worker_count'")
    quarters = table(result, "wages_district_quarter").query("measure == 'worker_count'")
    for state in (9, 10):
        of_months = months[months["state_code"] == state]["value"][:3].mean()
        of_quarters = quarters[(quarters["level"] == "state") & (quarters["state_code"] == state)]
        of_quarter = of_quarters["value"].iloc[0]
        assert of_months == pytest.approx(of_quarter, abs=20)  # rounding to tens, twice


def test_the_year_is_the_mean_of_its_quarters_with_half_their_interval_and_no_other_cost(desk):
    result = desk.publish()
    quarters, years = (
        table(result, f"wages_district_{name}").query("level == 'district'").groupby("measure")
        for name in ("quarter", "year")
    )
    by_quarter = quarters.get_group("worker_count").groupby("district_code")["value"]
    by_year = years.get_group("worker_count").set_index("district_code")["value"]
    assert by_year.size == by_quarter.count().eq(4).sum() == 6
    assert (by_quarter.mean() - by_year).abs().max() <= 20  # rounding to tens, twice
    half = {
        name: (shown["upper"] - shown["lower"]).median()
        for name, shown in (("quarter", quarters.get_group(MEAN)), ("year", years.get_group(MEAN)))
    }
    assert half["year"] == pytest.approx(half["quarter"] / 2, rel=0.15)
    assert result.manifest["budget"]["rho_spent"] == desk.spent()


def test_a_second_call_draws_nothing_reads_no_row_and_changes_no_file(desk, monkeypatch):
    first = desk.publish()
    files, ledger = desk.files(), desk.ledger.read_bytes()
    monkeypatch.setattr(publish, "draw_measurement", refuse_to_draw)
    desk.frames = dict.fromkeys(desk.frames)
    second = desk.publish(clock=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    assert (second.release_id, second.is_new) == (first.release_id, False)
    assert second.manifest == first.manifest
    assert desk.files() == files
    assert desk.ledger.read_bytes() == ledger


def test_averaging_over_republishing_gains_nothing(desk):
    values = [table(desk.publish(), "wages_state_month")["value"] for _ in range(5)]
    for other in values[1:]:
        pd.testing.assert_series_equal(values[0], other)


def test_a_release_of_changed_data_is_refused_when_the_cap_is_spent_and_the_old_one_stays(desk):
    # Differencing: without a worker, drawn again, would cost her a second time.
    first = desk.publish()
    files = desk.files()
    rows = desk.frames[WORKER_MONTH].to_pandas()
    desk.frames[WORKER_MONTH] = rows[rows["worker_id_hash"] != "1-0"]
    desk.version = "2"
    with pytest.raises(BudgetRefusedError, match="more asked for"):
        desk.publish()
    assert desk.files() == files
    assert desk.spent() == first.manifest["budget"]["rho_cap"]


def test_a_retrained_model_alone_is_refused_too_and_spends_nothing(desk):
    desk.publish()
    spent = desk.spent()
    snapshots = [
        {"dataset": WORKER_MONTH, "snapshot_id": f"{WORKER_MONTH}-1", "rows": 1},
        {"dataset": EVALUATION, "snapshot_id": "retrained", "rows": 1},
    ]
    with pytest.raises(BudgetRefusedError):
        desk.publish(snapshots=snapshots)
    assert desk.spent() == spent


def test_a_corrected_threshold_makes_a_new_release_from_the_same_draw(desk, monkeypatch):
    first = desk.publish()
    spent = desk.spent()
    people = desk.spec.disclosure.people.model_copy(update={"threshold": 1_000})
    disclosure = desk.spec.disclosure.model_copy(update={"people": people})
    desk.spec = Specification(desk.spec.release, disclosure)
    monkeypatch.setattr(publish, "draw_measurement", refuse_to_draw)
    second = desk.publish()
    assert second.release_id != first.release_id
    assert desk.spent() == spent
    both = [table(r, "wages_state_month").query("level == 'nation'") for r in (first, second)]
    pd.testing.assert_frame_equal(*both, check_dtype=False)
    index = json.loads((desk.released / "index.json").read_bytes())["releases"]
    assert {e["release_id"]: e["is_current"] for e in index} == {
        first.release_id: False,
        second.release_id: True,
    }


def test_a_run_that_dies_in_the_draw_leaves_the_budget_spent_and_says_so(desk, monkeypatch):
    monkeypatch.setattr(publish, "draw_measurement", dies)
    with pytest.raises(Died):
        desk.publish()
    monkeypatch.undo()
    assert desk.spent() > 0
    with pytest.raises(BudgetRefusedError, match="died in between, and that stays spent"):
        desk.publish()
    assert not (desk.released / "index.json").exists()


@pytest.mark.parametrize("step", ["write_files", "write_manifest", "update_index", "publish"])
def test_a_run_that_dies_after_the_draw_is_finished_by_the_next_without_new_noise(
    desk, monkeypatch, step
):
    target = BudgetLedger if step == "publish" else publish
    monkeypatch.setattr(target, step, dies)
    with pytest.raises(Died):
        desk.publish()
    monkeypatch.undo()
    spent = desk.spent()
    monkeypatch.setattr(publish, "draw_measurement", refuse_to_draw)
    result = desk.publish()
    assert desk.spent() == spent
    assert len(list((desk.released / "wages").iterdir())) == 1
    assert json.loads((desk.released / "index.json").read_bytes())["releases"][0]["is_current"]
    assert replay(desk.ledger).publications
    assert result.manifest["budget"]["rho_spent"] == spent


def test_a_lost_folder_is_rebuilt_byte_for_byte_from_its_draw(desk, monkeypatch):
    result = desk.publish()
    files = desk.files()
    shutil.rmtree(desk.released)
    monkeypatch.setattr(publish, "draw_measurement", refuse_to_draw)
    again = desk.publish(clock=lambda: datetime(2026, 1, 1, tzinfo=UTC))
    assert again.manifest == result.manifest
    assert desk.files() == files


@pytest.mark.parametrize("name", ["wages_state_month.parquet", "manifest.json", "places.parquet"])
def test_a_changed_released_file_is_refused_by_name(desk, name):
    result = desk.publish()
    path = result.folder / name
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(PublishedFileError, match=name):
        desk.publish()


def test_a_changed_draw_is_refused(desk):
    result = desk.publish()
    shutil.rmtree(result.folder)
    draw = next((desk.ledger.parent / "draws").iterdir())
    draw.write_bytes(draw.read_bytes().replace(b"1", b"2", 1))
    with pytest.raises(PublishedFileError, match="cannot be drawn again for free"):
        desk.publish()


def _publish_in_another_process(home: str) -> tuple[str, bool]:
    frames = {WORKER_MONTH: worker_month_frame(20), EVALUATION: evaluation_frame(50)}
    result = Desk(Path(home), frames, load_release_spec("wages")).publish()
    return result.release_id, result.is_new


def test_four_processes_that_publish_the_same_at_once_draw_once(home):
    with multiprocessing.get_context("fork").Pool(4) as pool:
        results = pool.map(_publish_in_another_process, [str(home)] * 4)
    assert len({release_id for release_id, _ in results}) == 1
    assert sum(is_new for _, is_new in results) == 1
    assert len(list((home / "vault" / "draws").iterdir())) == 3


def test_empty_frames_still_give_a_complete_release_of_noise(desk):
    desk.frames = {name: frame[:0] for name, frame in desk.frames.items()}
    result = desk.publish()
    frame = table(result, "wages_district_quarter")
    assert len(frame) == 9 * 4 * 3
    assert frame["is_published"].mean() < 0.1
    assert set(frame["reason"].dropna()) <= {
        "below_threshold",
        "interval_too_wide",
        "not_assessed",
    }


def broken(column: str, value: object) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def change(frame: pd.DataFrame) -> pd.DataFrame:
        frame = frame.astype({column: object}).copy()
        frame.loc[0, column] = value
        return frame

    return change


def with_repeated_row(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame, frame.iloc[[0]]], ignore_index=True)


def moved(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(district_code=999_999)


@pytest.mark.parametrize(
    ("dataset", "change", "message"),
    [
        (WORKER_MONTH, lambda f: f.drop(columns=["sex", "month"]), "no month, sex"),
        (WORKER_MONTH, broken("daily_wage_paise", float("nan")), "daily_wage_paise; found 1"),
        (WORKER_MONTH, broken("daily_wage_paise", float("inf")), "infinite"),
        (WORKER_MONTH, broken("is_assessed", None), "is_assessed; found 1 missing"),
        (WORKER_MONTH, with_repeated_row, "one row per worker and month"),
        (WORKER_MONTH, moved, "outside the public key table of districts"),
        (EVALUATION, lambda f: f.drop(columns="y_pred"), "no y_pred"),
        (EVALUATION, broken("y_true", 2), "0 or 1"),
        (EVALUATION, with_repeated_row, "one row per worker in a split"),
    ],
    ids=["columns", "nan", "inf", "null", "repeated", "moved", "no pred", "label", "twice"],
)
def test_bad_input_is_refused_before_anything_is_spent(desk, dataset, change, message):
    frame = desk.frames[dataset]
    desk.frames[dataset] = change(frame if isinstance(frame, pd.DataFrame) else frame.to_pandas())
    with pytest.raises(InputError, match=message) as refusal:
        desk.publish()
    assert "no budget was spent" in str(refusal.value)
    assert "1-0" not in str(refusal.value)
    assert replay(desk.ledger).reservations == {}
    assert not (desk.released / "wages").exists() or not list((desk.released / "wages").iterdir())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"snapshots": []}, "an anchored snapshot of"),
        ({"snapshots": [{"dataset": WORKER_MONTH}]}, "one without snapshot_id, rows"),
        ({"places": PLACES.iloc[:0]}, "one row per district"),
        ({"places": PLACES.drop(columns="state_iso")}, "no state_iso"),
        ({"places": pd.concat([PLACES, PLACES])}, "a repeated one"),
    ],
    ids=["no snapshot", "half a snapshot", "no places", "no names", "places twice"],
)
def test_what_is_not_anchored_or_not_keyed_is_not_released(desk, changes, message):
    with pytest.raises(InputError, match=message):
        desk.publish(**changes)


def test_a_missing_frame_is_named(desk):
    snapshots = [
        {"dataset": name, "snapshot_id": "x", "rows": 1} for name in (WORKER_MONTH, EVALUATION)
    ]
    del desk.frames[EVALUATION]
    with pytest.raises(InputError, match=EVALUATION):
        desk.publish(snapshots=snapshots)


def test_stray_rows_go_to_the_review_list_and_not_into_the_manifest(desk):
    frame = desk.frames[WORKER_MONTH].to_pandas()
    frame.loc[0, "district_code"] = 999_999
    frame.loc[1, "month"] = date(2023, 12, 1)
    desk.frames[WORKER_MONTH] = frame
    result = desk.publish()
    assert {(item.rule, item.rows) for item in result.review} == {
        ("unknown district", 1),
        ("month outside the period", 1),
    }
    assert "review" not in json.dumps(result.manifest)


def test_firms_do_not_go_through_the_door_for_people(desk):
    desk.spec = load_release_spec("pharma")
    with pytest.raises(InputError, match="publish_sdc for firms"):
        desk.publish()


def firm_frame() -> pd.DataFrame:
    rng = np.random.default_rng(3)
    rows = [
        (f"gln{f}", c, j, "2024-Q1", n, int(n * 0.9), n // 4 + 1, n * 100)
        for f in range(9)
        for c in ("insulin", "vaccine")
        for j in ("IN", "US", "EU", "SG")
        for n in [int(rng.lognormal(3, 1)) + 1]
    ]
    names = ["firm_gln", "product_class", "jurisdiction", "quarter", "shipment_count"]
    names += ["compliant_shipment_count", "batch_count", "unit_count"]
    return pd.DataFrame(rows, columns=names)


def publish_firms(
    home: Path, version: str = "1", *, is_sample: bool = False
) -> publish.ReleaseResult:
    return publish_sdc(
        load_release_spec("pharma"),
        {"rel_pharma__firm_quarter": firm_frame()},
        snapshots=[{"dataset": "rel_pharma__firm_quarter", "snapshot_id": version, "rows": 1}],
        home_released=home / "released",
        is_sample=is_sample,
        clock=lambda: NOW,
    )


def test_a_release_about_firms_carries_the_auditors_verdict_and_no_budget(home):
    result = publish_firms(home)
    assert result.manifest["budget"] is None
    assert result.manifest["disclosure_control"]["audit"]["verdict"] == "passed"
    second = publish_firms(home)
    assert (second.is_new, second.manifest) == (False, result.manifest)


def test_both_domains_have_a_current_release_in_one_index(desk):
    desk.publish()
    publish_firms(desk.home)
    publish_firms(desk.home, version="2")
    releases = json.loads((desk.released / "index.json").read_bytes())["releases"]
    assert [(r["domain"], r["is_current"]) for r in releases if r["is_current"]] == [
        ("pharma", True),
        ("wages", True),
    ]
    assert len(releases) == 3


def test_a_changed_file_about_firms_is_refused(home):
    result = publish_firms(home)
    path = result.folder / "compliance_quarter.parquet"
    path.write_bytes(path.read_bytes() + b"?")
    with pytest.raises(PublishedFileError, match="compliance_quarter"):
        publish_firms(home)


def test_a_population_the_owner_gave_no_cap_is_refused(desk):
    budget = desk.spec.release.budget.model_copy(update={"population": "everybody"})
    release = desk.spec.release.model_copy(update={"budget": budget})
    desk.spec = Specification(release, desk.spec.disclosure)
    with pytest.raises(SpecificationError, match="Ask the owner"):
        desk.publish()


def test_intervals_cover_the_truth_95_times_in_100_over_repeated_draws():
    spec = load_release_spec("wages")
    release = spec.release
    layout = layout_of(PLACES.sort_values("district_code"), release.keys["sex"].values)
    rows, _ = worker_months(worker_month_frame(), release, layout, 0.0)
    rho = rho_of(spec.cap().epsilon, spec.cap().delta)
    measurements = [m for m in release.measurements if m.dataset == WORKER_MONTH]
    exact = {m.id: worker_month_vectors(rows, m, release, layout) for m in measurements}
    everywhere = [i for i, n in enumerate(layout.nodes) if n.group in (None, "female", "male")]
    spans = {"quarter": [0, 1, 2], "year": list(range(12))}

    def figures(draws: dict) -> dict[tuple[str, str], Figures]:
        estimates = estimate_months(draws, release, layout)
        return {
            (span, name): found
            for span, months in spans.items()
            for name, found in period_figures(estimates, everywhere, months, release).items()
        }

    truth = figures(_without_noise(exact))
    hits: dict[tuple[str, str], list[float]] = {name: [] for name in truth}
    for _ in range(60):
        draws = {
            m.id: [_noisy(v) for v in draw_measurement(m, exact[m.id], rho * m.share)]
            for m in measurements
        } | {"model_fairness": []}
        for name, found in figures(draws).items():
            value = truth[name].value
            is_in = np.isnan(found.lower) | ((found.lower <= value) & (value <= found.upper))
            hits[name].append(float(is_in.mean()))
    for name, shares in hits.items():
        # Cells of one draw are correlated: the error is taken over draws.
        error = np.std(shares) / np.sqrt(len(shares))
        assert np.mean(shares) == pytest.approx(0.95, abs=5 * error), name
    assert pytest.approx(1.96, abs=1e-3) == Z95


def _without_noise(exact: dict) -> dict:
    return {
        name: [NoisyVector(v.query, v.level, v.values, 1.0) for v in vectors]
        for name, vectors in exact.items()
    } | {"model_fairness": []}


def _noisy(vector: dict) -> NoisyVector:
    values = np.array(vector["values"], dtype=np.int64).reshape(vector["shape"])
    return NoisyVector(vector["query"], vector["level"], values, float(vector["scale"]) ** 2)


def test_the_manifest_states_the_notified_rates_of_its_states_by_validity(desk):
    lines = desk.publish().manifest["reference_lines"]
    found = [(x["state_code"], x["from"], x["to"], x["value"]) for x in lines]
    assert found == [
        (9, "2023-04-01", "2024-03-31", 23_000),
        (9, "2024-04-01", "2025-03-31", 23_700),
        (10, "2023-04-01", "2024-03-31", 22_800),
        (10, "2024-04-01", "2025-03-31", 24_500),
    ]
    assert {(x["measure"], x["level"]) for x in lines} == {("mean_daily_wage_paise", "state")}
    assert all(x["source"] and x["label"]["en"] and x["label"]["hi"] for x in lines)


def test_a_corrected_reference_line_makes_a_new_release_without_new_noise(desk, monkeypatch):
    first = desk.publish()
    release = desk.spec.release.model_copy(update={"reference_lines": ()})
    desk.spec = Specification(release, desk.spec.disclosure)
    monkeypatch.setattr(publish, "draw_measurement", refuse_to_draw)
    second = desk.publish()
    assert second.manifest["reference_lines"] == []
    assert second.release_id != first.release_id


def test_a_changed_policy_seed_alone_makes_a_new_release(desk, monkeypatch):
    first = desk.publish()
    lines = first.manifest["reference_lines"][:1]
    monkeypatch.setattr(publish, "reference_lines", lambda *_: lines)
    monkeypatch.setattr(publish, "draw_measurement", refuse_to_draw)
    second = desk.publish()
    assert second.release_id != first.release_id
    assert second.manifest["specification_sha256"] == first.manifest["specification_sha256"]


def test_the_rules_are_the_specifications_unless_the_caller_names_them(desk, home):
    assert desk.publish().manifest["rule_version"] == (
        "notified-wage/mgnrega-2023-24; notified-wage/mgnrega-2024-25"
    )
    other = Desk(home / "other", desk.frames, desk.spec)
    assert other.publish(rule_version="a; b").manifest["rule_version"] == "a; b"


def test_a_release_of_the_sample_says_so_in_both_languages_and_a_real_one_does_not(desk, home):
    real = desk.publish().manifest
    sample = Desk(home / "sample", desk.frames, desk.spec).publish(is_sample=True).manifest
    firms = publish_firms(home / "sample", is_sample=True).manifest
    assert (real["is_sample"], sample["is_sample"], firms["is_sample"]) == (False, True, True)
    for manifest in (sample, firms):
        assert manifest["title"]["en"].startswith("Simulated sample: ")
        assert manifest["title"]["hi"].startswith("काल्पनिक नमूना: ")
        assert "no real worker, employer or company" in manifest["what_it_cannot_say"]["en"]
        assert "कोई वास्तविक श्रमिक, नियोक्ता या कंपनी नहीं" in manifest["what_it_cannot_say"]["hi"]
        assert manifest["citation"].startswith("Simulated sample: ")
    assert "imulated" not in json.dumps(real)
    assert real["release_id"] == sample["release_id"]  # no part of the key


def test_a_home_never_changes_from_the_sample_to_real_data(desk):
    desk.publish(is_sample=True)
    spent, files = desk.spent(), desk.files()
    desk.version = "2"
    with pytest.raises(InputError, match="use a home of its own"):
        desk.publish(is_sample=False)
    with pytest.raises(InputError, match="a release of simulated data"):
        publish_firms(desk.home, is_sample=False)
    assert (desk.spent(), desk.files()) == (spent, files)


def test_whoever_publishes_must_say_whether_the_data_is_simulated(desk):
    with pytest.raises(TypeError, match="is_sample"):
        publish_dp(
            desk.spec,
            {},
            places=PLACES,
            snapshots=[],
            home_released=desk.released,
            budget_ledger_path=desk.ledger,
        )
