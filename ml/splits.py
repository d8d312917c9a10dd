"""Which rows train, calibrate and judge a model, so that no unit stands on both sides.

The rule is a function of the keys alone (a hash decides, not a random state): the same table
splits the same way for ever, and a new row moves no old one's unseen district. Rows that would
tie a training row to an evaluated one are taken out of training ("purged"), counted and reported.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ml.errors import DataError, LeakageError
from ml.frame import TrainingFrame
from ml.spec import ModelSpec, Splits

TRAIN, CALIBRATION, TEST, UNSEEN, PURGED = "train", "calibration", "test", "unseen", "purged"
# Linked units (households that share employers) are kept whole up to this share of the rows.
LARGEST_UNIT = 0.2


@dataclass(frozen=True)
class Assignment:
    """Where each row went.

    Attributes:
        labels: "train", "calibration", "test", "unseen" or "purged", shape (n,).
        is_kept_whole: whether linked units were assigned whole (no purge needed between them).
        latest_from: first moment of evaluation for a split in time, ISO text, or None.
    """

    labels: np.ndarray
    is_kept_whole: bool
    latest_from: str | None

    def rows(self, *names: str) -> np.ndarray:
        """Positions of the rows with one of these labels."""
        return np.flatnonzero(np.isin(self.labels, names))

    def sizes(self) -> dict[str, int]:
        """Number of rows by label, every label present."""
        return {
            name: int((self.labels == name).sum())
            for name in (TRAIN, CALIBRATION, TEST, UNSEEN, PURGED)
        }


def assign(spec: ModelSpec, frame: TrainingFrame) -> Assignment:
    """Split a frame as its specification says and prove that nothing crosses.

    Args:
        spec: the specification.
        frame: the rows.

    Returns:
        The assignment, already asserted disjoint.

    Raises:
        DataError: a part is left with too few rows or a single class.
        LeakageError: a key crosses (a defect of this module, never of the data).
    """
    rules = spec.splits
    units, is_whole = _units(frame)
    labels = _by_unit(units, rules, _held_out(frame, rules))
    latest_from = _apply_time(labels, frame.moment, rules)
    _purge(labels, frame.keys)
    assignment = Assignment(labels=labels, is_kept_whole=is_whole, latest_from=latest_from)
    assert_disjoint(assignment, frame)
    _require_parts(spec, frame, assignment)
    return assignment


def assert_disjoint(assignment: Assignment, frame: TrainingFrame) -> None:
    """Prove that training, calibration and evaluation share no key and no unseen value.

    Args:
        assignment: the labels.
        frame: the rows they belong to.

    Raises:
        LeakageError: naming the column and how many values cross, never the values.
    """
    sides = {
        TRAIN: assignment.labels == TRAIN,
        CALIBRATION: assignment.labels == CALIBRATION,
        "evaluation": np.isin(assignment.labels, (TEST, UNSEEN)),
    }
    for column in frame.keys.columns:
        values = {name: {*frame.keys[column][side].dropna()} for name, side in sides.items()}
        for left, right in (
            (TRAIN, CALIBRATION),
            (TRAIN, "evaluation"),
            (CALIBRATION, "evaluation"),
        ):
            shared = values[left] & values[right]
            if shared:
                raise LeakageError(
                    f"{column}: expected no value in both {left} and {right}, found {len(shared)}"
                )
    if frame.unseen is not None:
        held = {*frame.unseen[assignment.labels == UNSEEN].dropna()}
        used = {*frame.unseen[~np.isin(assignment.labels, (UNSEEN, PURGED))].dropna()}
        if held & used:
            raise LeakageError(
                f"{frame.unseen.name}: {len(held & used)} held-out values are also used elsewhere"
            )


def unseen_rows(values: pd.Series, share: float, seed: str) -> np.ndarray:
    """Rows of the values a hash picks until they hold the share wanted.

    Args:
        values: one key per row, None where unknown (never held out).
        share: share of rows wanted.
        seed: changes the pick.

    Returns:
        boolean, shape (n,).
    """
    counts = values.value_counts(dropna=True)
    ordered = sorted(counts.index, key=lambda value: _hash(seed, "unseen", value))
    picked, held = [], 0
    for value in ordered[:-1]:
        if held >= share * len(values):
            break
        picked.append(value)
        held += int(counts[value])
    return values.isin(picked).to_numpy()


def hashed_order(keys: np.ndarray, seed: str) -> np.ndarray:
    """A rank for each key that depends on the key and the seed alone: the rule for ties.

    Args:
        keys: row keys as text, shape (n,).
        seed: changes the order.

    Returns:
        float64 in [0, 1), shape (n,).
    """
    return np.array([_hash(seed, "order", key) for key in keys]) / 2.0**64


def _hash(seed: str, purpose: str, value: object) -> int:
    digest = hashlib.sha256(f"{seed}\n{purpose}\n{value}".encode()).digest()
    return int.from_bytes(digest[:8], "big")


def _held_out(frame: TrainingFrame, rules: Splits) -> np.ndarray:
    if frame.unseen is None or rules.unseen is None:
        return np.zeros(len(frame), dtype=bool)
    return unseen_rows(frame.unseen, rules.unseen.share, rules.seed)


def _units(frame: TrainingFrame) -> tuple[np.ndarray, bool]:
    """A name for the unit of each row: linked keys together, unless that links everybody.

    Where it does (households that share employers that share households), the key with the
    largest groups decides, and the purge takes out what the other keys still tie together.
    """
    if frame.keys.shape[1] == 0:
        return frame.ids, True
    labels = _components(frame.keys)
    if np.bincount(labels).max() <= LARGEST_UNIT * len(frame):
        names = pd.Series(frame.ids).groupby(labels).transform("min")
        return names.to_numpy(dtype=object), True
    coarsest = min(frame.keys.columns, key=lambda name: frame.keys[name].nunique())
    key = frame.keys[coarsest]
    return key.where(key.notna(), pd.Series(frame.ids, index=key.index)).to_numpy(), False


def _components(keys: pd.DataFrame) -> np.ndarray:
    """Connected components of rows that share any key (union over all key columns)."""
    from scipy.sparse import coo_array  # noqa: PLC0415 - half a second nobody else pays
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415 - as above

    rows, nodes, next_node = [], [], len(keys)
    for column in keys.columns:
        codes, values = pd.factorize(keys[column])
        known = np.flatnonzero(codes >= 0)
        rows.append(known)
        nodes.append(codes[known] + next_node)
        next_node += len(values)
    left, right = np.concatenate(rows), np.concatenate(nodes)
    graph = coo_array((np.ones(len(left), dtype=np.int8), (left, right)), shape=(next_node,) * 2)
    return connected_components(graph, directed=False)[1][: len(keys)]


def _by_unit(units: np.ndarray, rules: Splits, held_out: np.ndarray) -> np.ndarray:
    """A label for each row: its unit's part, corrected for the places that are kept unseen.

    A unit that lies wholly in held-out places is unseen. One that lies in both (an employer with
    workers in many districts) keeps its part where it was seen; its held-out rows judge the model
    if the unit does, and are purged if it trains.
    """
    outside = pd.Series(~held_out).groupby(units).transform("any").to_numpy()
    labels = np.full(len(units), UNSEEN, dtype=object)
    labels[outside] = _placed(units[outside], rules)
    crossing = outside & held_out
    labels[crossing & (labels == TEST)] = UNSEEN
    labels[crossing & np.isin(labels, (TRAIN, CALIBRATION))] = PURGED
    return labels


def _placed(units: np.ndarray, rules: Splits) -> np.ndarray:
    """Fill the test part, then calibration, then training, unit by unit in hash order."""
    counts = pd.Series(units).value_counts()
    ordered = sorted(counts.index, key=lambda unit: _hash(rules.seed, "unit", unit))
    room = {
        TEST: rules.test_share * len(units),
        CALIBRATION: rules.calibration_share * len(units),
    }
    placed = {}
    for unit in ordered:
        size = int(counts[unit])
        # A unit may overshoot a part by half of what is left, no more: it would empty training.
        name = next((part for part in room if size <= room[part] * 1.5), TRAIN)
        placed[unit] = name
        if name in room:
            room[name] -= size
    return np.array([placed[unit] for unit in units], dtype=object)


def _apply_time(labels: np.ndarray, moment: pd.Series | None, rules: Splits) -> str | None:
    """Evaluate on the latest rows only, fit on the earlier ones only; the rest is purged."""
    if moment is None or rules.latest is None:
        return None
    cut = moment.quantile(1 - rules.latest.share, interpolation="higher")
    late = (moment >= cut).to_numpy()
    fitted = np.isin(labels, (TRAIN, CALIBRATION))
    labels[(fitted & late) | (~fitted & ~late)] = PURGED
    return pd.Timestamp(cut).date().isoformat()


def _purge(labels: np.ndarray, keys: pd.DataFrame) -> None:
    """Take rows out of training and calibration whose key is needed further down."""
    for part, later in ((CALIBRATION, (TEST, UNSEEN)), (TRAIN, (CALIBRATION, TEST, UNSEEN))):
        for column in keys.columns:
            needed = keys[column][np.isin(labels, later)].dropna().unique()
            labels[(labels == part) & keys[column].isin(needed).to_numpy()] = PURGED


def _require_parts(spec: ModelSpec, frame: TrainingFrame, assignment: Assignment) -> None:
    wanted = [TRAIN, CALIBRATION, TEST] + ([UNSEEN] if spec.splits.unseen else [])
    for name in wanted:
        target = frame.target[assignment.labels == name]
        rarer = min(int(target.sum()), int(len(target) - target.sum()))
        if rarer < 5:
            raise DataError(
                f"split {name!r}: expected at least 5 rows of each class, found {rarer} of the "
                f"rarer one in {len(target)} rows (all parts: {assignment.sizes()}). The keys "
                f"{list(spec.splits.groups)} may link too many rows: give more data, or fewer keys."
            )
