"""Why a row ranks where it ranks: contributions, checks that they are true, reasons in words.

Contributions are the booster's own (`pred_contribs`): the values `shap` returns for trees, in
bulk, without importing it. They are in log odds before calibration and say what moved the score,
not what would change a life.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import xgboost as xgb

from ml.model import Model
from ml.spec import Text

# Reasons given for a row.
TOP_REASONS = 3
_DIRECTIONS = {
    "HIGH": Text(en="higher than usual", hi="सामान्य से अधिक"),
    "LOW": Text(en="lower than usual", hi="सामान्य से कम"),
    "USUAL": Text(en="at its usual level", hi="सामान्य स्तर पर"),
    "MISSING": Text(en="not recorded", hi="दर्ज नहीं"),
}


@dataclass(frozen=True)
class Explanation:
    """Contributions of a set of rows.

    Attributes:
        values: log odds by encoded feature, shape (n, k).
        base: the part that is the same for every row.
        additivity_error: largest |sum of parts - margin|; a figure near 1e-6 is rounding.
    """

    values: pd.DataFrame
    base: float
    additivity_error: float


def explain(model: Model, features: pd.DataFrame) -> Explanation:
    """Split every row's log odds into one part per feature.

    Args:
        model: the model.
        features: encoded features, shape (n, k).

    Returns:
        The contributions with the error of their sum.
    """
    matrix = xgb.DMatrix(features)
    parts = model.booster.predict(matrix, pred_contribs=True).astype(np.float64)
    margin = model.booster.predict(matrix, output_margin=True).astype(np.float64)
    return Explanation(
        values=pd.DataFrame(parts[:, :-1], columns=features.columns, index=features.index),
        base=float(parts[0, -1]) if len(parts) else 0.0,
        additivity_error=float(np.abs(parts.sum(axis=1) - margin).max()) if len(parts) else 0.0,
    )


def reasons(
    model: Model, features: pd.DataFrame, explanation: Explanation, top: int = TOP_REASONS
) -> pd.DataFrame:
    """The features that raised each row's score most, as codes and in words.

    Args:
        model: the model (its specification holds the words, its facts the usual values).
        features: encoded features, shape (n, k).
        explanation: of the same rows.
        top: reasons per row.

    Returns:
        columns reason_codes, reasons_en, reasons_hi: lists of at most `top`, strongest first; a
        row that nothing raised has empty lists.
    """
    parts = explanation.values.to_numpy()
    order = np.argsort(-parts, axis=1, kind="stable")[:, :top]
    names = list(features.columns)
    directions = _directions(model, features)
    words = {
        (name, side): (reason_code(model, name, side), *_words(model, name, side))
        for name in names
        for side in _DIRECTIONS
    }
    rows = []
    for row, columns in enumerate(order):
        found = [words[names[c], directions[row, c]] for c in columns if parts[row, c] > 0]
        rows.append([[item[part] for item in found] for part in range(3)])
    return pd.DataFrame(
        rows, columns=["reason_codes", "reasons_en", "reasons_hi"], index=features.index
    )


def reason_code(model: Model, column: str, side: str) -> str:
    """A stable code: the feature without its prefix, then HIGH, LOW, USUAL or MISSING."""
    bare = column.removeprefix(model.spec.features.prefix or "")
    return f"{bare.upper().replace('=', '_')}_{side}"


def label(model: Model, column: str) -> Text:
    """The words for a feature; its column name in both languages where nobody wrote any."""
    words = model.spec.features.labels
    head, _, value = column.rpartition("=")
    if column in words:
        return words[column]
    if head in words:
        return Text(en=f"{words[head].en}: {value}", hi=f"{words[head].hi}: {value}")
    return Text(en=column, hi=column)


def wordless(model: Model) -> list[str]:
    """Features nobody has put into words yet, by column name."""
    return [name for name in model.columns if label(model, name).en == name]


def influence(explanation: Explanation, weight: np.ndarray) -> pd.Series:
    """Mean absolute contribution by feature as a share of their sum, largest first."""
    size = np.average(np.abs(explanation.values.to_numpy()), axis=0, weights=weight)
    shares = pd.Series(size / max(size.sum(), 1e-300), index=explanation.values.columns)
    return shares.sort_values(ascending=False, kind="stable")


def monotone_violations(model: Model, features: pd.DataFrame, rows: int = 200) -> int:
    """Sweep each constrained feature over its observed values and count steps the wrong way.

    Args:
        model: the model.
        features: encoded features to take rows and values from.
        rows: how many rows to sweep.

    Returns:
        number of violations; anything but 0 is a defect.
    """
    sample = features.iloc[:: max(1, len(features) // rows)].head(rows)
    violations = 0
    for name, sign in model.spec.features.monotone.items():
        grid = np.unique(np.nanquantile(features[name], np.linspace(0, 1, 15)).astype(np.float32))
        swept = []
        for value in grid:
            changed = sample.copy()
            changed[name] = value
            swept.append(model.margins(changed))
        steps = np.diff(np.stack(swept), axis=0) * sign
        violations += int((steps < -1e-6).sum())
    return violations


def stability(first: Explanation, second: Explanation, top: int = TOP_REASONS) -> float:
    """Mean share of the `top` largest contributions (in size) that two models agree on."""
    left = np.argsort(-np.abs(first.values.to_numpy()), axis=1, kind="stable")[:, :top]
    right = np.argsort(-np.abs(second.values.to_numpy()), axis=1, kind="stable")[:, :top]
    shared = (left[:, :, None] == right[:, None, :]).any(axis=2).mean()
    return float(shared)


def _directions(model: Model, features: pd.DataFrame) -> np.ndarray:
    usual = pd.Series(model.facts["medians"], dtype=np.float64).reindex(features.columns)
    values = features.to_numpy(dtype=np.float64)
    middle = usual.to_numpy()[None, :]
    sides = np.where(values > middle, "HIGH", np.where(values < middle, "LOW", "USUAL"))
    return np.where(np.isnan(values), "MISSING", sides)


def _words(model: Model, column: str, side: str) -> tuple[str, str]:
    text, direction = label(model, column), _DIRECTIONS[side]
    return f"{text.en}: {direction.en}", f"{text.hi}: {direction.hi}"
