"""A synthetic published home for tests: `python tests/browser/make_home.py DIR` writes one.

Everything in it is INVENTED: figures come from a seeded generator and say so in every title. The
layout, the log, its signatures and proofs are real, so that what refuses a real home refuses this.
"""

from __future__ import annotations

import csv
import hashlib
import json
import random
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from ledger_anchor.manifest import FILE_SET, FORMAT, encode_manifest
from ledger_anchor.notes.keys import SignerKey
from ledger_anchor.tlog.log import LogWriter

REPOSITORY = Path(__file__).resolve().parents[2]
DISTRICTS = REPOSITORY / "dbt_project" / "seeds" / "policy" / "pilot_districts.csv"

# Notified MGNREGA rates of 2023-24 and 2024-25 in rupees, for the stepped line of a few states.
RATES = {10: (228, 245), 27: (273, 297), 32: (333, 346), 9: (230, 237)}
SHARES = {10: 0.52, 22: 0.47, 9: 0.46, 21: 0.44, 18: 0.41, 28: 0.38, 19: 0.37, 24: 0.35, 29: 0.33}
DAILY = {32: 61000, 33: 47000, 27: 41000, 29: 42000, 24: 39000, 28: 40500}
CLASSES = ["antibiotic", "vaccine", "insulin", "cardiovascular", "analgesic", "antimalarial"]
PLACES = ["IN", "US", "EU", "SG"]
MEASURES = [
    ("worker_count", "workers"),
    ("mean_daily_wage_paise", "paise"),
    ("below_notified_rate_share", "share"),
]
Row = dict[str, Any]


def districts() -> list[dict[str, str]]:
    """The pilot's districts, from the project's own seed."""
    with DISTRICTS.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def wages_tables(seed: int = 7) -> dict[str, list[Row]]:
    """Rows of the five wages tables: 10-40% of the district cells are not published."""
    rng = random.Random(seed)
    places = districts()
    states = sorted({int(place["state_code"]) for place in places})
    areas: list[tuple[str, int | None, int | None]] = [("nation", None, None)]
    areas += [("state", state, None) for state in states]
    months = [f"2024-{month:02d}" for month in range(1, 13)]
    quarters = [f"2024-Q{quarter}" for quarter in range(1, 5)]
    all_areas = areas + [
        ("district", int(p["state_code"]), int(p["district_code"])) for p in places
    ]
    return {
        "wages_state_month": [
            row for month in months for area in areas for row in _wages(rng, area, month)
        ],
        "wages_district_quarter": [
            row for quarter in quarters for area in all_areas for row in _wages(rng, area, quarter)
        ],
        "wages_district_year": [
            row for area in all_areas for row in _wages(rng, area, "2024", width=0.5)
        ],
        "wages_sex_quarter": [
            row
            for quarter in quarters
            for area in areas
            for sex in ("female", "male", "other", "unknown")
            for row in _wages(rng, area, quarter, sex)
        ],
        "model_fairness": list(_fairness()),
    }


def _wages(
    rng: random.Random,
    area: tuple[str, int | None, int | None],
    period: str,
    sex: str = "",
    width: float = 1.0,
) -> Iterator[Row]:
    level, state, district = area
    people = {"nation": 58000.0, "state": 4800.0, "district": 480.0}[level]
    people *= {"female": 0.44, "male": 0.55, "other": 0.004, "unknown": 0.002, "": 1.0}[sex]
    people *= 1 + 0.18 * rng.random()
    share = SHARES.get(state or 0, 0.36) + {"female": 0.05, "male": -0.04}.get(sex, 0.0)
    daily = DAILY.get(state or 0, 36500) * {"female": 0.86, "male": 1.1}.get(sex, 1.0)
    if district is not None:
        share += rng.gauss(0, 0.08)
        daily *= 1 + rng.gauss(0, 0.07)
    if period in ("2024-04", "2024-05", "2024-Q2"):
        share += 0.05
    width *= {"nation": 0.004, "state": 0.014, "district": 0.06}[level]
    width *= 1.6 if sex else 1.0
    base = {
        "level": level,
        "state_code": state,
        "district_code": district,
        "period": period,
        **({"sex": sex} if sex else {}),
    }
    spread = width * (0.8 + 0.6 * rng.random())
    half = {"worker_count": people * spread, "mean_daily_wage_paise": daily * spread}
    values = {"worker_count": people, "mean_daily_wage_paise": daily}
    for name, _ in MEASURES:
        value, reach = values.get(name, min(max(share, 0.03), 0.97)), half.get(name, spread)
        reason = None
        if people < 300:
            reason = "below_threshold"
        elif district is not None and (spread > 0.075 or rng.random() < 0.06):
            reason = "interval_too_wide"
        yield {**base, "measure": name, **_published(value, reach, reason, people)}


def _published(value: float, reach: float, reason: str | None, people: float) -> Row:
    if reason:
        return {
            "value": None,
            "lower": None,
            "upper": None,
            "is_published": False,
            "reason": reason,
            "contributors": None,
        }
    return {
        "value": value,
        "lower": value - reach,
        "upper": value + reach,
        "is_published": True,
        "reason": None,
        "contributors": round(people / 10) * 10,
    }


def _fairness() -> Iterator[Row]:
    groups = {
        "sex": {"female": (900, 0.34), "male": (1150, 0.22), "other": (12, 0.0), "unknown": (5, 0)},
        "social_category": {
            "General": (520, 0.24),
            "OBC": (810, 0.26),
            "SC": (430, 0.29),
            "ST": (290, 0.36),
            "unknown": (6, 0.0),
        },
    }
    for grouping, members in groups.items():
        for group, (people, missed) in members.items():
            base = {
                "level": "nation",
                "state_code": None,
                "district_code": None,
                "period": "2024",
                "grouping": grouping,
                "group": group,
            }
            reason = "below_threshold" if people < 50 else None
            for name, value, reach in (
                ("evaluated_count", float(people), 28.0),
                ("exclusion_error_share", missed, 40 / max(people, 1)),
                ("selection_share", 0.5 - missed / 2, 30 / max(people, 1)),
            ):
                yield {**base, "measure": name, **_published(value, reach, reason, people)}


def pharma_rows(seed: int = 11) -> list[Row]:
    """Rows of compliance_quarter with primary and secondary suppression, totals as 'all'."""
    rng = random.Random(seed)
    rows = []
    for period in ("2024-Q1", "2024-Q2", "2024-Q3", "2024-Q4", "2025-Q1", "2025-Q2"):
        for product in [*CLASSES, "all"]:
            for place in [*PLACES, "all"]:
                rows += _compliance(rng, period, product, place)
    return rows


def _compliance(rng: random.Random, period: str, product: str, place: str) -> list[Row]:
    is_total = "all" in (product, place)
    draw = rng.random()
    reason = (
        None if is_total else "primary" if draw < 0.14 else "secondary" if draw < 0.24 else None
    )
    count = rng.randint(60, 240) * (5 if is_total else 1) * (4 if product == place else 1)
    share = 0.93 - 0.05 * (product in ("vaccine", "insulin")) - 0.07 * rng.random()
    share -= 0.09 * (product == "vaccine" and place == "IN")
    values = {
        "shipment_count": count,
        "compliant_share": round(share, 3),
        "batch_count": count // 4,
    }
    return [
        {
            "level": "jurisdiction",
            "state_code": None,
            "district_code": None,
            "period": period,
            "product_class": product,
            "jurisdiction": place,
            "measure": name,
            "value": None if reason else float(value),
            "lower": None,
            "upper": None,
            "is_published": reason is None,
            "reason": reason,
            "contributors": None if reason else 5 * rng.randint(1, 9),
        }
        for name, value in values.items()
    ]


def _frame(rows: list[Row]) -> pd.DataFrame:
    frame = pd.DataFrame(rows)
    for column in ("state_code", "district_code", "contributors"):
        frame[column] = frame[column].astype("Int64")
    for column in ("value", "lower", "upper"):
        frame[column] = frame[column].astype("float64")
    return frame


def places_frame() -> pd.DataFrame:
    """Names of the pilot's states and districts; Hindi for districts is left out on purpose."""
    rows: list[Row] = []
    for place in districts():
        state = {
            "state_code": int(place["state_code"]),
            "state_iso": place["state_iso"],
            "state_name": place["state_name"],
            "state_name_hi": place["state_name"],
        }
        if not any(row["state_code"] == state["state_code"] for row in rows):
            rows.append({"level": "state", **state})
        code, name = int(place["district_code"]), place["district_name"]
        rows.append({"level": "district", **state, "district_code": code, "district_name": name})
    frame = pd.DataFrame(rows)
    frame["district_code"] = frame["district_code"].astype("Int64")
    return frame


class HomeMaker:
    """Writes a home piece by piece; `finish` writes index.json and appends the log."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.index: list[Row] = []
        self.entries: list[bytes] = []
        (home / "anchors").mkdir(parents=True)
        (home / "vault").mkdir()

    def release(
        self,
        domain: str,
        release_id: str,
        tables: dict[str, list[Row]],
        *,
        created_at: datetime | None = None,
        is_current: bool = True,
        is_budget_spent: bool = False,
        is_sample: bool = True,
    ) -> Path:
        """Write one release with its manifest and remember its log entry."""
        folder = self.home / "released" / domain / release_id
        folder.mkdir(parents=True)
        described = []
        for name, rows in tables.items():
            path = folder / f"{name}.parquet"
            _frame(rows).to_parquet(path, index=False)
            described.append({"name": name, **_file(path, len(rows))})
        places = None
        if domain == "wages":
            path = folder / "places.parquet"
            places_frame().to_parquet(path, index=False)
            places = _file(path, 132)
        created = created_at or datetime.now(UTC)
        manifest = _manifest(domain, release_id, created, described, places, is_budget_spent)
        manifest["is_sample"] = is_sample
        self.entries.append(_entry("raw", domain, SNAPSHOT[domain], []))
        (folder / "manifest.json").write_text(json.dumps(manifest, ensure_ascii=False, indent=1))
        listed = [_listed(file) for file in sorted(folder.iterdir())]
        self.entries.append(_entry("release", domain, f"snapshot-of-{release_id}", listed))
        self.index.append(
            {
                "release_id": release_id,
                "domain": domain,
                "kind": manifest["kind"],
                "created_at": manifest["created_at"],
                "path": f"{domain}/{release_id}",
                "manifest_sha256": _sha(folder / "manifest.json"),
                "is_current": is_current,
            }
        )
        return folder

    def model(self, model_id: str, domain: str, status: str = "champion") -> None:
        """Write one model with a public and an internal card."""
        folder = self.home / "models" / model_id / "2024.1"
        folder.mkdir(parents=True)
        (folder / "model.ubj").write_bytes(b"synthetic, not a model")
        card = {
            "approvals": {"needed": 2, "given": []},
            "model": {
                "model_id": model_id,
                "title": {
                    "en": f"SYNTHETIC model {model_id} for tests",
                    "hi": f"परीक्षण के लिए गढ़ा हुआ मॉडल {model_id}",
                },
            },
            "purpose": {
                "intended_use": "Ranking households for a review by people; never a decision.",
                "out_of_scope": ["Automatic denial", "Credit scoring"],
            },
            "data": {"labels": "verified audit sample", "rows": 4120},
            "gates": [
                {"gate": "leakage", "result": "pass", "evidence": "no shared household"},
                {"gate": "fairness", "result": "insufficient evidence", "evidence": "ST: 290"},
            ],
        }
        (folder / "card.public.json").write_text(json.dumps(card))
        internal = {"groups": [{"group": "female", "positives": 412, "missed": 139, "rate": 0.337}]}
        (folder / "card.internal.json").write_text(json.dumps(internal))
        files = [_listed(file) for file in sorted(folder.iterdir())]
        self.entries.append(_entry("model", model_id, f"snapshot-of-{model_id}", files))
        index = self.home / "models" / "index.json"
        rows = json.loads(index.read_text()) if index.exists() else []
        rows.append(
            {
                "model_id": model_id,
                "domain": domain,
                "version": "2024.1",
                "status": status,
                "path": f"{model_id}/2024.1",
                "card_sha256": _sha(folder / "card.public.json"),
                "model_sha256": _sha(folder / "model.ubj"),
            }
        )
        index.write_text(json.dumps(rows))

    def finish(self) -> Path:
        """Write the index and the signed log; returns the home."""
        (self.home / "released").mkdir(exist_ok=True)
        document = {"format": "tracient-release-index/1", "releases": self.index}
        (self.home / "released" / "index.json").write_text(json.dumps(document))
        signer = SignerKey.generate("tracient.example/tests")
        vault, anchors = self.home / "vault", self.home / "anchors"
        LogWriter(anchors / "log", signer, vault / "state", vault / "lock").append(self.entries)
        (anchors / "log.vkey").write_text(signer.verifier().format() + "\n")
        return self.home


SNAPSHOT = {"wages": "0197a4c2-wages-synthetic", "pharma": "0197a4c2-pharma-synthetic"}


def _sha(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _file(path: Path, rows: int) -> Row:
    return {"file": path.name, "sha256": _sha(path), "rows": rows}


def _listed(path: Path) -> Row:
    return {"path": path.name, "sha256": _sha(path), "size": path.stat().st_size}


def _entry(kind: str, domain: str, snapshot_id: str, files: list[Row]) -> bytes:
    return encode_manifest(
        {
            "format": FORMAT,
            "commitment": FILE_SET,
            "kind": kind,
            "dataset": f"{kind}_{domain}",
            "domain": domain,
            "snapshot_id": snapshot_id,
            "files": files,
        }
    )


def _manifest(
    domain: str,
    release_id: str,
    created: datetime,
    tables: list[Row],
    places: Row | None,
    spent: bool,
) -> Row:
    is_wages = domain == "wages"
    both = {
        "en": f"SYNTHETIC figures for tests ({domain})",
        "hi": f"परीक्षण के लिए काल्पनिक आँकड़े ({domain})",
    }
    limits = {
        "en": "These figures are invented for tests. They say nothing about any place or person.",
        "hi": "ये आँकड़े परीक्षण के लिए गढ़े गए हैं। ये किसी स्थान या व्यक्ति के बारे में कुछ नहीं बताते।",
    }
    budget = {"population": "test workers", "year": 2024, "epsilon": 1.0, "delta": 1e-7}
    budget |= {"rho_cap": 0.020187, "rho_spent": 0.020187 if spent else 0.0101}
    return {
        "format": "tracient-release/1",
        "release_id": release_id,
        "domain": domain,
        "kind": "dp" if is_wages else "sdc",
        "title": both,
        "description": both,
        "what_it_cannot_say": limits,
        "created_at": created.isoformat().replace("+00:00", "Z"),
        "period": {"from": "2024-01-01", "to": "2024-12-31" if is_wages else "2025-06-30"},
        "specification_sha256": "0" * 64,
        "snapshots": [{"dataset": "synthetic", "snapshot_id": SNAPSHOT[domain], "rows": 1}],
        "rule_version": "notified-wage/mgnrega-2023-24; notified-wage/mgnrega-2024-25"
        if is_wages
        else "pharma-rules-2025-09",
        "mechanism": {"name": "synthetic", "library": "none", "version": "0"},
        "budget": budget if is_wages else None,
        "disclosure_control": None if is_wages else {"threshold": 3},
        "tables": tables,
        "places": places,
        "reference_lines": list(_reference_lines()) if is_wages else [],
        "licence": "CC-BY-4.0",
        "citation": "Synthetic, for tests",
    }


def _reference_lines() -> Iterator[Row]:
    spans = (("2023-04-01", "2024-03-31"), ("2024-04-01", "2025-03-31"))
    for state, rates in RATES.items():
        for (start, end), rate in zip(spans, rates, strict=True):
            yield {
                "measure": "mean_daily_wage_paise",
                "level": "state",
                "state_code": state,
                "from": start,
                "to": end,
                "value": rate * 100,
                "label": {"en": "Notified MGNREGA day rate", "hi": "मनरेगा की अधिसूचित दैनिक दर"},
                "source": "MGNREGA notifications 2023-24 and 2024-25",
            }


def make_home(
    home: Path, *, created_at: datetime | None = None, is_budget_spent: bool = False
) -> Path:
    """A whole home: two wages releases, one pharma release, two models, a log."""
    maker = HomeMaker(home)
    maker.release(
        "wages",
        "wages-2024-older",
        wages_tables(seed=3),
        created_at=datetime(2025, 3, 10, tzinfo=UTC),
        is_current=False,
    )
    maker.release(
        "wages",
        "wages-2024-current",
        wages_tables(),
        created_at=created_at,
        is_budget_spent=is_budget_spent,
    )
    maker.release(
        "pharma", "pharma-2024-2025", {"compliance_quarter": pharma_rows()}, created_at=created_at
    )
    maker.model("bpl_classifier", "wages")
    maker.model("batch_risk", "pharma", "candidate")
    return maker.finish()


if __name__ == "__main__":
    print(make_home(Path(sys.argv[1])))
