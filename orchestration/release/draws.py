"""Draws: noisy vectors, safe on disk before anybody computes with them.

A draw file holds only what may be public (noisy integers, scales, shapes). It is written once,
named after its reservation, and read back for every later step, so that a run that dies after the
draw finishes without drawing again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from orchestration.release.budget import sync_folder
from orchestration.release.errors import PublishedFileError
from orchestration.release.measure import Vector
from orchestration.release.privacy import draw
from orchestration.release.spec import MeasurementSpec, canonical_json

FORMAT = "tracient-draw/1"


@dataclass(frozen=True)
class NoisyVector:
    """One noisy vector of a draw.

    Attributes:
        query: Name of the query.
        level: Level it was counted at.
        values: Noisy integers in the shape of the exact vector.
        variance: Noise variance of each cell.
    """

    query: str
    level: str
    values: NDArray[np.int64]
    variance: float


def draw_measurement(
    measurement: MeasurementSpec, vectors: Sequence[Vector], rho: Fraction
) -> list[dict[str, object]]:
    """Draw the noise of one measurement; the shares of its vectors sum to its whole budget.

    Args:
        measurement: Shares of queries and levels.
        vectors: Exact vectors.
        rho: zCDP budget of the measurement.

    Returns:
        The noisy vectors as plain data, ready for the draw file.

    Raises:
        ValueError: If the vectors are not one for each query and level.
    """
    expected = {(query, level) for query in measurement.queries for level in measurement.levels}
    found = [(vector.query, vector.level) for vector in vectors]
    if set(found) != expected or len(found) != len(expected):
        raise ValueError(f"one vector for each of {sorted(expected)} needed, got {sorted(found)}")
    noisy = []
    for vector in vectors:
        share = measurement.queries[vector.query] * measurement.levels[vector.level]
        result = draw(vector.values, squared_l2=vector.squared_l2, rho=rho * share)
        noisy.append(
            {
                "query": vector.query,
                "level": vector.level,
                "shape": list(result.values.shape),
                "scale": result.scale,
                "rho": str(result.rho),
                "values": result.values.ravel().tolist(),
            }
        )
    return noisy


def write_draw(
    folder: Path, reservation: str, measurement_id: str, vectors: Sequence[dict[str, object]]
) -> str:
    """Write a draw durably.

    Args:
        folder: Folder of the draw files.
        reservation: Reservation id: the file's name.
        measurement_id: Which measurement it is.
        vectors: Of ``draw_measurement``.

    Returns:
        SHA-256 (hex) of the file.

    Raises:
        FileExistsError: If the reservation was drawn on before.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    content = canonical_json(
        {
            "format": FORMAT,
            "reservation": reservation,
            "measurement": measurement_id,
            "vectors": list(vectors),
        }
    )
    path = folder / f"{reservation}.json"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(folder)
    return hashlib.sha256(content).hexdigest()


def read_draw(folder: Path, reservation: str, sha256: str) -> list[NoisyVector]:
    """Read a draw back.

    Args:
        folder: Folder of the draw files.
        reservation: Reservation id.
        sha256: What the budget ledger recorded.

    Raises:
        PublishedFileError: If the file is missing or is not the one that was recorded.
    """
    path = folder / f"{reservation}.json"
    content = path.read_bytes() if path.exists() else b""
    found = hashlib.sha256(content).hexdigest() if content else "no file"
    if found != sha256:
        raise PublishedFileError(
            where=f"draw {path.name}",
            expected=f"SHA-256 {sha256} (budget ledger)",
            found=found,
            what_to_do="Restore the draws folder from a backup: it cannot be drawn again for free.",
        )
    return [
        NoisyVector(
            query=vector["query"],
            level=vector["level"],
            values=np.array(vector["values"], dtype=np.int64).reshape(vector["shape"]),
            variance=float(vector["scale"]) ** 2,
        )
        for vector in json.loads(content)["vectors"]
    ]
