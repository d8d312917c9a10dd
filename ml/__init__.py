"""Models over any table that has a ``ModelSpec``: train, explain, assess and document.

No Dagster and no storage paths belong here: callers hand in frames and folders. The names below
load their modules on first use, so that ``import ml`` costs nothing to a process that trains
nothing (pandas, xgboost and fairlearn take seconds).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ml.errors import DataError, LeakageError, ModelError, SpecError
    from ml.model import Model
    from ml.pipeline import TrainingResult, score, train
    from ml.spec import ModelSpec, load_spec

__all__ = [
    "DataError",
    "LeakageError",
    "Model",
    "ModelError",
    "ModelSpec",
    "SpecError",
    "TrainingResult",
    "load_spec",
    "score",
    "train",
]

_HOMES = {
    "DataError": "ml.errors",
    "LeakageError": "ml.errors",
    "Model": "ml.model",
    "ModelError": "ml.errors",
    "ModelSpec": "ml.spec",
    "SpecError": "ml.errors",
    "TrainingResult": "ml.pipeline",
    "load_spec": "ml.spec",
    "score": "ml.pipeline",
    "train": "ml.pipeline",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'ml' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
