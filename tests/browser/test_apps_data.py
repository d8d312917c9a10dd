"""The one module that reads files: what it lets through and what it refuses."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from apps import data
from apps.data import Card, Home, NoRelease, NotAllowed, Refused, Unreadable


def folder(home: Path) -> Path:
    return home / "released" / "wages" / "wages-2024-current"


def test_the_current_release_is_opened_with_a_verified_receipt(published: Path) -> None:
    release = Home(published).release("wages")
    assert release.release_id == "wages-2024-current"
    assert release.receipt.log_index < release.receipt.log_size
    assert len(release.table("wages_district_quarter").frame) > 1000
    assert len(release.places()) == 132


def test_an_older_release_can_be_named_and_an_unknown_name_gives_the_current(
    published: Path,
) -> None:
    assert Home(published).release("wages", "wages-2024-older").is_current is False
    assert Home(published).release("wages", "no-such-release").is_current is True


def test_a_share_of_the_district_figures_is_not_published(published: Path) -> None:
    frame = Home(published).release("wages").table("wages_district_quarter").frame
    held = 1 - frame[frame["level"] == "district"]["is_published"].mean()
    assert 0.1 <= held <= 0.4


@pytest.mark.parametrize("name", ["wages_state_month.parquet", "places.parquet"])
def test_a_file_that_changed_is_refused_with_both_hashes(copied: Path, name: str) -> None:
    path = folder(copied) / name
    path.write_bytes(path.read_bytes() + b"x")
    release = Home(copied).release("wages")
    with pytest.raises(Refused) as caught:
        release.places() if name == "places.parquet" else release.table("wages_state_month")
    assert name in caught.value.detail["where"]
    assert caught.value.detail["expected"] != caught.value.detail["found"]


def test_a_file_that_changes_while_the_server_runs_is_refused_on_the_next_read(
    copied: Path,
) -> None:
    release = Home(copied).release("wages")
    release.table("wages_sex_quarter")
    path = folder(copied) / "wages_sex_quarter.parquet"
    path.write_bytes(b"PAR1 other bytes PAR1")
    with pytest.raises(Refused):
        release.table("wages_sex_quarter")


def test_a_manifest_that_is_not_the_indexed_one_is_refused(copied: Path) -> None:
    path = folder(copied) / "manifest.json"
    path.write_text(path.read_text().replace("SYNTHETIC", "OFFICIAL"))
    with pytest.raises(Refused):
        Home(copied).release("wages")


def test_a_manifest_that_matches_the_index_but_is_not_in_the_log_is_refused(copied: Path) -> None:
    path = folder(copied) / "manifest.json"
    path.write_text(path.read_text().replace("SYNTHETIC", "OFFICIAL"))
    index = copied / "released" / "index.json"
    document = json.loads(index.read_text())
    for entry in document["releases"]:
        if entry["release_id"] == "wages-2024-current":
            entry["manifest_sha256"] = hashlib.sha256(path.read_bytes()).hexdigest()
    index.write_text(json.dumps(document))
    with pytest.raises(Refused):
        Home(copied).release("wages")


def test_a_log_with_another_key_is_refused(copied: Path, maker: ModuleType) -> None:
    key = copied / "anchors" / "log.vkey"
    other = maker.SignerKey.generate("tracient.example/tests").verifier().format()
    key.write_text(other)
    with pytest.raises(Refused):
        Home(copied).release("wages")


def test_without_a_log_nothing_is_shown(copied: Path) -> None:
    shutil.rmtree(copied / "anchors")
    with pytest.raises(Refused):
        Home(copied).release("pharma")


def test_an_empty_home_has_no_release(home: Path) -> None:
    with pytest.raises(NoRelease):
        Home(home).release("wages")
    assert Home(home).models() == []


def test_a_missing_home_is_named(tmp_path: Path) -> None:
    with pytest.raises(data.HomeMissing) as caught:
        Home(tmp_path / "nowhere")
    assert "nowhere" in caught.value.detail["where"]


@pytest.mark.parametrize("text", ["{", "[]", '{"releases": 3}', ""])
def test_an_index_that_is_not_an_index_is_named(home: Path, text: str) -> None:
    (home / "released").mkdir()
    (home / "released" / "index.json").write_text(text)
    with pytest.raises(Unreadable) as caught:
        Home(home).release("wages")
    assert caught.value.detail["where"] == "released/index.json"


def test_a_missing_table_is_unreadable_and_named(copied: Path) -> None:
    (folder(copied) / "model_fairness.parquet").unlink()
    with pytest.raises(Unreadable) as caught:
        Home(copied).release("wages").table("model_fairness")
    assert "model_fairness.parquet" in caught.value.detail["where"]


def test_a_card_that_changed_is_refused(copied: Path) -> None:
    home = Home(copied)
    model = home.models()[0]
    (model.folder / "card.public.json").write_text("{}")
    with pytest.raises(Refused):
        home.card(model)


def anchored_card(home: Home) -> Card:
    return home.card(home.models()[0])


def test_a_card_is_shown_with_the_proof_that_its_model_is_in_the_log(published: Path) -> None:
    card = anchored_card(Home(published))
    assert card.receipt.entry["dataset"] == "model_bpl_classifier"
    assert card.receipt.log_index < card.receipt.log_size
    assert card.document["model"]["model_id"] == "bpl_classifier"


@pytest.mark.parametrize("name", ["model.ubj", "card.internal.json", "card.public.json"])
def test_a_card_is_refused_when_any_file_of_its_model_changed(copied: Path, name: str) -> None:
    path = copied / "models" / "bpl_classifier" / "2024.1" / name
    path.write_bytes(path.read_bytes() + b" ")
    with pytest.raises(Refused) as caught:
        anchored_card(Home(copied))
    assert name in caught.value.detail["where"]


def reindex(home: Path, **changes: str) -> None:
    index = home / "models" / "index.json"
    rows = json.loads(index.read_text())
    rows[0] |= changes
    index.write_text(json.dumps(rows))


def test_a_card_that_matches_the_index_but_is_not_in_the_log_is_refused(copied: Path) -> None:
    path = copied / "models" / "bpl_classifier" / "2024.1" / "card.public.json"
    path.write_text(path.read_text().replace("SYNTHETIC", "OFFICIAL"))
    reindex(copied, card_sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(Refused) as caught:
        anchored_card(Home(copied))
    assert caught.value.detail["expected"] == "anchors/log"


def test_a_card_of_another_models_entry_is_refused(copied: Path) -> None:
    shutil.copytree(copied / "models" / "bpl_classifier", copied / "models" / "impostor")
    reindex(copied, model_id="impostor", path="impostor/2024.1")
    with pytest.raises(Refused):
        anchored_card(Home(copied))


def test_an_index_that_names_another_model_file_is_refused(copied: Path) -> None:
    reindex(copied, model_sha256="0" * 64)
    with pytest.raises(Refused) as caught:
        anchored_card(Home(copied))
    assert caught.value.detail["where"] == "models/index.json"


def test_a_public_server_need_not_hold_the_model_or_the_internal_card(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied / "models" / "bpl_classifier" / "2024.1"
    (folder / "model.ubj").unlink()
    (folder / "card.internal.json").unlink()
    assert anchored_card(Home(copied)).content
    monkeypatch.setenv("TRACIENT_ROLE", "ml_team")
    with pytest.raises(Unreadable):
        Home(copied).internal_card(Home(copied).models()[0])


def test_a_release_is_not_proven_by_an_entry_of_another_dataset(published: Path) -> None:
    home = Home(published)
    release = home.release("wages")
    digest = next(e["manifest_sha256"] for e in home.index if e["release_id"] == release.release_id)
    with pytest.raises(Refused):
        home.receipt(digest, "manifest.json", "release_pharma")


def test_several_rule_versions_are_told_apart(published: Path) -> None:
    versions = Home(published).release("wages").rule_versions
    assert versions == ["notified-wage/mgnrega-2023-24", "notified-wage/mgnrega-2024-25"]
    assert Home(published).release("pharma").rule_versions == ["pharma-rules-2025-09"]


def test_the_internal_card_needs_the_role(published: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(published)
    model = home.models()[0]
    monkeypatch.delenv("TRACIENT_ROLE", raising=False)
    with pytest.raises(NotAllowed):
        home.internal_card(model)
    monkeypatch.setenv("TRACIENT_ROLE", "visitor")
    with pytest.raises(NotAllowed):
        home.internal_card(model)
    monkeypatch.setenv("TRACIENT_ROLE", "ml_team")
    assert home.internal_card(model)["groups"]


def test_only_published_folders_are_opened(copied: Path) -> None:
    """Whoever removes the lake, the warehouse and the vault changes no page."""
    shutil.rmtree(copied / "vault")
    assert Home(copied).release("wages").table("wages_state_month").frame is not None


def test_csv_holds_the_rows_and_columns_of_the_table(published: Path) -> None:
    table = Home(published).release("pharma").table("compliance_quarter")
    lines = data.to_csv(table.frame).decode().splitlines()
    assert lines[0].split(",") == list(table.frame.columns)
    assert len(lines) == len(table.frame) + 1
