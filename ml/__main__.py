"""``python -m ml train``: train and document a model from files.

Exit codes: 0 trained, 1 the data cannot be trained on (or, with --check, a gate failed), 2 wrong
use (unknown option, missing file, invalid specification).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml.errors import ModelError, SpecError
from ml.spec import load_spec

if TYPE_CHECKING:
    from ml.pipeline import TrainingResult


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    options = _parser().parse_args(arguments)
    try:
        result = _train(options)
    except SpecError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (ModelError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(_summary(result), indent=1) if options.json else _words(result))
    return 1 if options.check and result.highest_status == "candidate" else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m ml", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train and document one model")
    train.add_argument("--spec", type=Path, required=True, help="model specification (YAML)")
    train.add_argument("--data", type=Path, required=True, help="labelled table (Parquet or CSV)")
    train.add_argument("--out", type=Path, required=True, help="folder of models")
    train.add_argument("--protected", type=Path, help="attributes for assessment (Parquet or CSV)")
    train.add_argument("--lineage", type=Path, help="where the data came from (JSON)")
    train.add_argument("--check", action="store_true", help="exit 1 when a gate fails")
    train.add_argument("--json", action="store_true", help="print the result as JSON")
    return parser


def _train(options: argparse.Namespace) -> TrainingResult:
    spec = load_spec(options.spec)
    lineage = _lineage(options.lineage)
    # Seconds of imports that a wrong path or specification should not wait for.
    from ml.frame import read_table  # noqa: PLC0415 - see above
    from ml.pipeline import train  # noqa: PLC0415 - see above

    table = read_table(options.data)
    protected = read_table(options.protected) if options.protected else None
    return train(spec, table, protected, options.out, lineage)


def _lineage(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        lineage = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SpecError(f"lineage: expected a JSON file at {path}; {error}") from error
    if not isinstance(lineage, dict):
        raise SpecError(f"lineage: expected a JSON object in {path}")
    return lineage


def _summary(result: TrainingResult) -> dict[str, Any]:
    return {
        "model_id": result.model_id,
        "version": result.version,
        "folder": str(result.folder),
        "model_sha256": result.model_sha256,
        "card_sha256": result.card_sha256,
        "highest_status": result.highest_status,
        "is_new": result.is_new,
        "auc": round(result.metrics["model"]["auc"]["value"], 4),
        "gates": dict(result.gates),
    }


def _words(result: TrainingResult) -> str:
    value, lower, upper = result.metrics["model"]["auc"].values()
    lines = [
        f"{result.model_id} {result.version}",
        f"  model   {result.model_sha256}",
        f"  ranking AUC {value:.3f} ({lower:.3f} to {upper:.3f}) on rows it never saw",
        f"  may be  {result.highest_status}",
    ]
    marks = {"pass": "pass", "fail": "FAIL", "insufficient_evidence": "no evidence yet"}
    lines += [f"  {marks[gate.status]:<16}{gate.title}" for gate in result.findings]
    lines.append(f"  card    {result.folder / 'card.public.html'}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
