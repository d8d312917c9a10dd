"""The artefact: one booster in UBJ, with its calibration and medians inside, and how to use it.

Never pickle: a model file is data and cannot run code. The SHA-256 of the UBJ bytes is the
model's identity.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import xgboost as xgb

from ml.errors import DataError
from ml.frame import encode
from ml.spec import Features, ModelSpec, load_spec

_ATTRIBUTE = "tracient"


@dataclass(frozen=True)
class Model:
    """A trained model.

    Attributes:
        ubj: the artefact's bytes.
        spec: what it was trained from.
    """

    ubj: bytes
    spec: ModelSpec

    @classmethod
    def seal(
        cls, booster: xgb.Booster, spec: ModelSpec, sigmoid: tuple[float, float], medians: pd.Series
    ) -> Model:
        """Put calibration and medians into the booster and take its bytes.

        Args:
            booster: the fitted booster.
            spec: its specification.
            sigmoid: (slope, intercept) on the margin.
            medians: typical value by encoded feature, for reasons in words.
        """
        facts = {
            "sigmoid": list(sigmoid),
            "medians": {
                str(name): None if pd.isna(value) else round(float(value), 6)
                for name, value in medians.items()
            },
        }
        booster.set_attr(**{_ATTRIBUTE: json.dumps(facts, sort_keys=True)})
        return cls(ubj=bytes(booster.save_raw(raw_format="ubj")), spec=spec)

    @classmethod
    def load(cls, folder: Path) -> Model:
        """Read `model.ubj` and `spec.yaml` of one version's folder.

        Raises:
            DataError: the artefact is missing or was not written by this package.
        """
        path = folder / "model.ubj"
        if not path.is_file():
            raise DataError(f"model not found: expected {path}")
        model = cls(ubj=path.read_bytes(), spec=load_spec(folder / "spec.yaml"))
        model.facts  # noqa: B018 - reads the bytes now, so that a damaged file fails here
        return model

    @cached_property
    def sha256(self) -> str:
        """The model's identity: SHA-256 of the UBJ bytes, lower-case hex."""
        return hashlib.sha256(self.ubj).hexdigest()

    @cached_property
    def booster(self) -> xgb.Booster:
        """The booster, read from the bytes."""
        booster = xgb.Booster()
        try:
            booster.load_model(bytearray(self.ubj))
        except xgb.core.XGBoostError as error:
            raise DataError("model.ubj: not an XGBoost model in UBJ; restore it") from error
        # One thread scores 100,000 rows in a second and waits for nobody on a busy machine.
        booster.set_param({"nthread": 1})
        return booster

    @cached_property
    def facts(self) -> dict:
        """Calibration and medians, as sealed.

        Raises:
            DataError: the artefact was not sealed by this package.
        """
        text = self.booster.attr(_ATTRIBUTE)
        if text is None:
            raise DataError("model.ubj: no calibration inside: not written by this package")
        return json.loads(text)

    @property
    def columns(self) -> list[str]:
        """Encoded feature columns, in order."""
        return list(self.booster.feature_names or [])

    def encoded(self, table: pd.DataFrame) -> pd.DataFrame:
        """The features of a table as the booster wants them.

        Args:
            table: any table that has the feature columns.

        Returns:
            float32, shape (rows, columns of the model).

        Raises:
            DataError: a feature column is missing or of the wrong type.
        """
        names = list(dict.fromkeys(self._source(name) for name in self.columns))
        missing = [name for name in names if name not in table.columns]
        if missing:
            raise DataError(f"{self.spec.model_id}: the table lacks the features {missing}")
        rules: Features = self.spec.features
        return encode(rules, table, names)[self.columns]

    def _source(self, column: str) -> str:
        head, _, _ = column.rpartition("=")
        return head if head in self.spec.features.categories else column

    def margins(self, features: pd.DataFrame) -> np.ndarray:
        """Log odds before calibration, float64, shape (n,)."""
        return self.booster.predict(xgb.DMatrix(features), output_margin=True).astype(np.float64)

    def probabilities(self, features: pd.DataFrame) -> np.ndarray:
        """Calibrated probability of the positive class, float64 in (0, 1), shape (n,)."""
        slope, intercept = self.facts["sigmoid"]
        return 1.0 / (1.0 + np.exp(-(slope * self.margins(features) + intercept)))
