"""The life of a model version: candidate, shadow, champion, retired; who moved it, when and why.

Pure functions over records. Where the records are kept and who may call is for the caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from ml.errors import ModelError

Status = Literal["candidate", "shadow", "champion", "retired"]
# Where a version may go from where it is. Nothing comes back from retirement: retrain instead.
MOVES: dict[str, tuple[str, ...]] = {
    "candidate": ("shadow", "retired"),
    "shadow": ("champion", "candidate", "retired"),
    "champion": ("shadow", "retired"),
    "retired": (),
}
APPROVERS = 2


@dataclass(frozen=True)
class Move:
    """One step in a version's life; `at` is an RFC 3339 time given by the caller."""

    before: str | None
    after: str
    who: tuple[str, ...]
    why: str
    at: str


@dataclass(frozen=True)
class ModelRecord:
    """One version of one model.

    Attributes:
        model_id, domain, version: its name.
        path: folder of the version, relative to the folder of models.
        model_sha256: SHA-256 of the UBJ bytes.
        card_sha256: SHA-256 of card.public.json.
        highest_status: how far its gates let it go.
        status: where it is.
        history: every move, oldest first.
    """

    model_id: str
    domain: str
    version: str
    path: str
    model_sha256: str
    card_sha256: str
    highest_status: Literal["candidate", "shadow", "champion"]
    status: Status = "candidate"
    history: tuple[Move, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """The record as plain values."""
        return asdict(self)


def register(
    records: Sequence[ModelRecord], record: ModelRecord, who: str, at: str
) -> list[ModelRecord]:
    """Add a version as a candidate; a version that is already there changes nothing.

    Raises:
        ModelError: the same version is there with another model or card.
    """
    for known in records:
        if (known.model_id, known.version) == (record.model_id, record.version):
            if (known.model_sha256, known.card_sha256) != (record.model_sha256, record.card_sha256):
                raise ModelError(
                    f"{record.model_id} {record.version}: already registered with another model or "
                    "card; a version never changes. Train again to get a new one."
                )
            return list(records)
    first = Move(before=None, after="candidate", who=(who,), why="trained", at=at)
    return [*records, replace(record, status="candidate", history=(first,))]


def move(
    records: Sequence[ModelRecord],
    model_id: str,
    version: str,
    after: Status,
    who: Sequence[str],
    why: str,
    at: str,
) -> list[ModelRecord]:
    """Move a version; a new champion retires the one before it.

    Args:
        records: all records.
        model_id: the model.
        version: the version to move.
        after: where to.
        who: people who decided; a champion needs two different ones.
        why: the reason, never empty.
        at: RFC 3339 time of the decision.

    Returns:
        All records, in the same order.

    Raises:
        ModelError: the version is unknown or the move is not allowed.
    """
    chosen = _find(records, model_id, version)
    _require_allowed(chosen, after, who, why)
    moved = []
    for record in records:
        if record is chosen:
            moved.append(_moved(record, after, who, why, at))
        elif after == "champion" and record.model_id == model_id and record.status == "champion":
            moved.append(_moved(record, "retired", who, f"replaced by {version}", at))
        else:
            moved.append(record)
    return moved


def index(records: Sequence[ModelRecord]) -> list[dict[str, str]]:
    """What apps read: one entry per version, without the history."""
    names = ("model_id", "domain", "version", "status", "path", "card_sha256", "model_sha256")
    return [{name: getattr(record, name) for name in names} for record in records]


def _find(records: Sequence[ModelRecord], model_id: str, version: str) -> ModelRecord:
    for record in records:
        if (record.model_id, record.version) == (model_id, version):
            return record
    raise ModelError(f"{model_id} {version}: not registered; found {len(records)} versions")


def _require_allowed(record: ModelRecord, after: str, who: Sequence[str], why: str) -> None:
    name = f"{record.model_id} {record.version}"
    if after not in MOVES[record.status]:
        allowed = ", ".join(MOVES[record.status]) or "nowhere"
        raise ModelError(f"{name}: cannot go from {record.status} to {after}; only to {allowed}")
    if not why.strip() or not [person for person in who if person.strip()]:
        raise ModelError(f"{name}: expected who decided and why")
    if after == "shadow" and record.highest_status == "candidate":
        raise ModelError(f"{name}: a gate failed, so it stays a candidate; see its card")
    if after == "champion":
        if record.highest_status != "champion":
            raise ModelError(f"{name}: not every gate passed; it may run in the shadow only")
        if len({*who}) < APPROVERS:
            raise ModelError(
                f"{name}: expected {APPROVERS} different approvers, found {len({*who})}"
            )


def _moved(
    record: ModelRecord, after: Status, who: Sequence[str], why: str, at: str
) -> ModelRecord:
    step = Move(before=record.status, after=after, who=tuple(who), why=why, at=at)
    return replace(record, status=after, history=(*record.history, step))
