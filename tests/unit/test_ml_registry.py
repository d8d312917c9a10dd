"""A version's life: who may move it where, and what stays written down."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ml.errors import ModelError
from ml.registry import ModelRecord, index, move, register

AT = "2025-01-05T10:00:00Z"


def record(version: str = "v1", highest: str = "champion") -> ModelRecord:
    return ModelRecord(
        model_id="wages_bpl",
        domain="wages",
        version=version,
        path=f"wages_bpl/{version}",
        model_sha256=version * 2,
        card_sha256=version * 3,
        highest_status=highest,
    )


def champion(version: str, records: list[ModelRecord]) -> list[ModelRecord]:
    records = register(records, record(version), "pipeline", AT)
    records = move(records, "wages_bpl", version, "shadow", ["asha"], "to compare", AT)
    return move(records, "wages_bpl", version, "champion", ["asha", "ravi"], "better", AT)


def test_a_version_starts_as_a_candidate_with_a_history() -> None:
    (found,) = register([], record(), "pipeline", AT)
    assert found.status == "candidate"
    assert found.history[0].why == "trained"


def test_registering_the_same_version_again_changes_nothing() -> None:
    once = register([], record(), "pipeline", AT)
    assert register(once, record(), "pipeline", "2026-01-01T00:00:00Z") == once


def test_a_version_with_other_content_is_refused() -> None:
    once = register([], record(), "pipeline", AT)
    with pytest.raises(ModelError, match="a version never changes"):
        register(once, replace(record(), model_sha256="other"), "pipeline", AT)


def test_a_new_champion_retires_the_one_before() -> None:
    records = champion("v2", champion("v1", []))
    assert [found.status for found in records] == ["retired", "champion"]
    assert records[0].history[-1].why == "replaced by v2"


@pytest.mark.parametrize(
    ("highest", "after", "who", "why", "said"),
    [
        ("candidate", "shadow", ["asha"], "try", "a gate failed"),
        ("champion", "champion", ["asha", "ravi"], "hurry", "cannot go from candidate"),
        ("champion", "shadow", ["asha"], "  ", "who decided and why"),
        ("champion", "shadow", [], "why", "who decided and why"),
    ],
)
def test_moves_that_are_not_allowed(
    highest: str, after: str, who: list[str], why: str, said: str
) -> None:
    records = register([], record(highest=highest), "pipeline", AT)
    with pytest.raises(ModelError, match=said):
        move(records, "wages_bpl", "v1", after, who, why, AT)


def test_a_champion_needs_every_gate_and_two_different_people() -> None:
    shadow = move(register([], record(), "p", AT), "wages_bpl", "v1", "shadow", ["asha"], "w", AT)
    with pytest.raises(ModelError, match="2 different approvers, found 1"):
        move(shadow, "wages_bpl", "v1", "champion", ["asha", "asha"], "w", AT)
    weak = [replace(shadow[0], highest_status="shadow")]
    with pytest.raises(ModelError, match="in the shadow only"):
        move(weak, "wages_bpl", "v1", "champion", ["asha", "ravi"], "w", AT)


def test_nothing_comes_back_from_retirement() -> None:
    records = move(champion("v1", []), "wages_bpl", "v1", "retired", ["asha"], "old", AT)
    with pytest.raises(ModelError, match="only to nowhere"):
        move(records, "wages_bpl", "v1", "shadow", ["asha"], "again", AT)
    with pytest.raises(ModelError, match="not registered"):
        move(records, "wages_bpl", "v9", "shadow", ["asha"], "again", AT)


def test_the_index_holds_what_apps_read_and_no_history() -> None:
    (entry,) = index(champion("v1", []))
    assert entry["status"] == "champion"
    assert set(entry) == {
        "model_id", "domain", "version", "status", "path", "card_sha256", "model_sha256"
    }  # fmt: skip
