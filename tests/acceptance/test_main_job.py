"""The main job, as each of its users meets it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

DATASETS = {
    "raw_fabric__writes", "raw_wages__income_audit", "raw_epcis__events",
    "fct_wages__worker_month", "fct_wages__minimum_wage_compliance",
    "fct_pharma__shipment_events", "fct_pharma__batch_genealogy",
    "rel_wages__worker_month_bounded", "ml_wages__evaluation",
    "model_wages_bpl", "model_pharma_batch_risk", "release_wages", "release_pharma",
}  # fmt: skip


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize(
    "heading",
    ["Ingested and verified", "Trained and documented", "Published", "Anchored", "Time", "Next"],
)
def test_the_summary_says_what_was_done_how_long_it_took_and_what_comes_next(
    sample_run, heading
) -> None:
    assert heading in sample_run[1].stdout


def test_the_summary_holds_no_escape_codes_where_there_is_no_terminal(sample_run) -> None:
    assert "\x1b" not in sample_run[1].stdout


def test_status_lists_every_layer_with_snapshot_rows_root_log_index_and_checks(
    sample, tracient
) -> None:
    done = tracient("status", "--json", "--home", sample)
    assert done.returncode == 0, done.stderr
    rows = {row["dataset"]: row for row in json.loads(done.stdout)["datasets"]}
    assert set(rows) >= DATASETS
    for row in rows.values():
        assert len(row["snapshot_id"]) == 36
        assert len(row["root"]) == 64
        assert row["rows"] > 0
        assert row["log_index"] >= 0
    checked = rows["fct_wages__worker_month"]["checks"]
    assert checked["rules"] > 10
    assert checked["passed"] == checked["rules"]


def test_a_second_run_with_nothing_new_changes_no_released_file_and_no_log_entry(
    sample_home, tracient
) -> None:
    before = _digests(sample_home / "released") | _digests(sample_home / "anchors")
    budget = (sample_home / "vault" / "budget.jsonl").read_bytes()
    done = tracient("run", "--home", sample_home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert _digests(sample_home / "released") | _digests(sample_home / "anchors") == before
    assert (sample_home / "vault" / "budget.jsonl").read_bytes() == budget


def test_a_run_that_forgot_its_steps_draws_no_noise_and_appends_no_entry(
    sample_home, tracient
) -> None:
    # A retry on another machine, or after a crash before the steps were recorded.
    for record in (sample_home / "state" / "steps").glob("*.json"):
        record.unlink()
    before = _digests(sample_home / "released") | _digests(sample_home / "anchors")
    budget = (sample_home / "vault" / "budget.jsonl").read_bytes()
    done = tracient("run", "--home", sample_home)
    assert done.returncode == 0, done.stdout + done.stderr
    assert _digests(sample_home / "released") | _digests(sample_home / "anchors") == before
    assert (sample_home / "vault" / "budget.jsonl").read_bytes() == budget


def test_runs_show_in_the_persistent_instance(sample) -> None:
    from orchestration.home import Home
    from orchestration.instance import open_instance

    with open_instance(Home(sample)) as instance:
        runs = instance.get_runs()
    assert [run.job_name for run in runs] == ["tracient"]
    assert runs[0].is_success


def test_the_rejected_records_carry_file_position_rule_and_reason(sample) -> None:
    lines = [
        json.loads(line)
        for path in (sample / "quarantine" / "records").glob("*.jsonl")
        for line in path.read_text().splitlines()
    ]
    assert lines
    assert all(line["source_file"] and line["position"] and line["rule"] for line in lines)
    assert all("expected" in line["reason"] for line in lines)


def test_the_simulations_truth_is_not_landed(sample) -> None:
    landed = json.loads((sample / "landing" / "deliveries.json").read_text())
    names = [file["name"] for delivery in landed for file in delivery["files"]]
    assert not [name for name in names if "truth" in name or "faults" in name]


def test_models_are_documented_in_three_forms_and_start_as_candidates(sample) -> None:
    models = json.loads((sample / "models" / "index.json").read_text())
    assert {model["model_id"] for model in models} == {"wages_bpl", "pharma_batch_risk"}
    for model in models:
        folder = sample / "models" / model["path"]
        assert model["status"] == "candidate"
        for name in ("model.ubj", "card.public.json", "card.public.md", "card.public.html"):
            assert (folder / name).stat().st_size > 0
        digest = hashlib.sha256((folder / "model.ubj").read_bytes()).hexdigest()
        assert digest == model["model_sha256"]


def test_a_card_carries_a_signature_that_verifies(sample) -> None:
    import base64

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from ml.documents import canonical_json

    _, key = (sample / "models" / "card.pub").read_text().split()
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key))
    for model in json.loads((sample / "models" / "index.json").read_text()):
        card = json.loads((sample / "models" / model["path"] / "card.public.json").read_text())
        signature = base64.b64decode(card["signature"])
        public.verify(signature, canonical_json({**card, "signature": None}))


def test_every_release_names_its_snapshots_and_they_are_in_the_log(sample, tracient) -> None:
    state = json.loads(tracient("status", "--json", "--home", sample).stdout)
    anchored = {row["snapshot_id"] for row in state["datasets"]}
    assert {release["domain"] for release in state["releases"]} == {"wages", "pharma"}
    for release in state["releases"]:
        manifest = json.loads((sample / "released" / release["path"] / "manifest.json").read_text())
        assert {row["snapshot_id"] for row in manifest["snapshots"]} <= anchored
        assert manifest["is_sample"] is True


def test_no_identity_reaches_a_release(sample) -> None:
    import pyarrow.parquet as pq

    for path in (sample / "released").rglob("*.parquet"):
        names = pq.read_schema(path).names
        assert not [name for name in names if "hash" in name or "gln" in name or name == "name"]


def test_nothing_of_the_vault_is_readable_by_others(sample) -> None:
    vault = sample / "vault"
    assert vault.stat().st_mode & 0o077 == 0
    private = [path for path in vault.rglob("*") if path.is_file()]
    assert private
    assert not [path for path in private if path.stat().st_mode & 0o077]
