"""The manifest of a release and the files beside it: written once, whole or not at all.

A release is a folder of Parquet files and ``manifest.json``, written under a temporary name, synced
and renamed; ``index.json`` lists the releases. Nothing here knows noise, budgets or rules.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from orchestration.release.budget import sync_folder
from orchestration.release.errors import InputError, PublishedFileError
from orchestration.release.spec import (
    Disclosure,
    MeasureSpec,
    ReleaseTable,
    SdcSpecification,
    Specification,
    sha256_of,
)

FORMAT = "tracient-release/1"
SAMPLE_TITLE = {"en": "Simulated sample: {text}", "hi": "काल्पनिक नमूना: {text}"}
SAMPLE_SENTENCE = {
    "en": (
        "These figures are of a simulated sample: no real worker, employer or company is in them."
    ),
    "hi": ("ये आँकड़े कंप्यूटर से बनाए गए काल्पनिक नमूने के हैं: इनमें कोई वास्तविक श्रमिक, नियोक्ता या कंपनी नहीं है।"),
}
INDEX_FORMAT = "tracient-release-index/1"
PLACES_FILE = "places.parquet"


@dataclass(frozen=True)
class SourceSnapshot:
    """An anchored snapshot a release is made from.

    Attributes:
        dataset: Its name.
        snapshot_id: Of the log.
        rows: Number of rows.
        root: Row root (hex), where the caller has it at hand; the snapshot id binds it already.
    """

    dataset: str
    snapshot_id: str
    rows: int
    root: str = ""

    @classmethod
    def of(cls, source: Any) -> SourceSnapshot:
        """From a snapshot object of the log or a mapping with the same names.

        Raises:
            InputError: If a field is missing.
        """
        names = ("dataset", "snapshot_id", "rows", "root")
        is_mapping = isinstance(source, Mapping)
        fields = {n: source.get(n) if is_mapping else getattr(source, n, None) for n in names}
        missing = [name for name in names[:3] if fields[name] is None]
        if missing:
            raise InputError(
                where="snapshots",
                expected=f"anchored snapshots with {', '.join(names[:3])}",
                found=f"one without {', '.join(missing)}",
                what_to_do="Commit the dataset first: nothing is released that is not anchored.",
            )
        return cls(
            dataset=str(fields["dataset"]),
            snapshot_id=str(fields["snapshot_id"]),
            rows=int(fields["rows"]),
            root=str(fields["root"] or ""),
        )


def release_key(
    spec: Specification, sources: Sequence[SourceSnapshot], public_sha256: str = ""
) -> str:
    """Hash of what a release is made from and how: the same key is the same release.

    Args:
        spec: The specification.
        sources: Snapshots it is made from.
        public_sha256: Hash of the public tables it states: names of places, reference lines.
    """
    snapshots = sorted([s.dataset, s.snapshot_id, s.root] for s in sources)
    return sha256_of(
        {"snapshots": snapshots, "specification": spec.sha256, "public": public_sha256}
    )


def release_id_of(spec: Specification, key: str) -> str:
    """A name for people and file systems: domain, period and the start of the key."""
    period = spec.release.period
    years = "-".join(dict.fromkeys([str(period.from_.year), str(period.to.year)]))
    return f"{spec.release.domain}-{years}-{key[:12]}"


def build_manifest(
    spec: Specification,
    *,
    release_id: str,
    created_at: str,
    sources: Sequence[SourceSnapshot],
    files: Mapping[str, Mapping[str, Any]],
    mechanism: Mapping[str, str],
    rule_version: str,
    is_sample: bool,
    reference_lines: Sequence[Mapping[str, Any]],
    budget: Mapping[str, Any] | None,
    disclosure_control: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The manifest of a release.

    Args:
        spec: The specification.
        release_id: Of the release.
        created_at: RFC 3339 UTC.
        sources: Snapshots it was made from.
        files: ``file``, ``sha256`` and ``rows`` by table name, and of ``places``.
        mechanism: Name, library, version.
        rule_version: Of the policy rules behind the figures; several are separated by "; ".
        is_sample: Whether the figures are of a simulated sample; then the words say so.
        reference_lines: Dated policy figures beside the measures.
        budget: What it cost the population, or None.
        disclosure_control: Rules and the auditor's verdict, or None.
    """
    release = spec.release
    citation = release.citation.format(
        release_id=release_id, snapshot_id=sources[0].snapshot_id if sources else ""
    )
    title, limits = release.title.model_dump(), release.what_it_cannot_say.model_dump()
    if is_sample:
        title = {lang: SAMPLE_TITLE[lang].format(text=text) for lang, text in title.items()}
        limits = {lang: f"{SAMPLE_SENTENCE[lang]} {text}" for lang, text in limits.items()}
        citation = SAMPLE_TITLE["en"].format(text=citation)
    return {
        "format": FORMAT,
        "release_id": release_id,
        "is_sample": is_sample,
        "domain": release.domain,
        "kind": release.kind,
        "title": title,
        "description": release.description.model_dump(),
        "what_it_cannot_say": limits,
        "created_at": created_at,
        "period": release.period.model_dump(mode="json", by_alias=True),
        "specification_sha256": spec.sha256,
        "snapshots": [
            {"dataset": s.dataset, "snapshot_id": s.snapshot_id, "rows": s.rows} for s in sources
        ],
        "contract": release.contract,
        "rule_version": rule_version,
        "mechanism": dict(mechanism),
        "budget": dict(budget) if budget else None,
        "disclosure_control": dict(disclosure_control) if disclosure_control else None,
        "tables": [_table_entry(table, spec, files[table.name]) for table in release.tables],
        "reference_lines": [dict(line) for line in reference_lines],
        "places": dict(files["places"]) if "places" in files else None,
        "licence": release.licence,
        "citation": citation,
    }


def _table_entry(
    table: ReleaseTable, spec: Specification, file: Mapping[str, Any]
) -> dict[str, Any]:
    is_firms = isinstance(spec.release, SdcSpecification)
    return {
        "name": table.name,
        **file,
        "title": table.title.model_dump(),
        "description": table.description.model_dump(),
        "levels": list(table.levels),
        "period_type": table.period_type,
        "dimensions": list(table.dimensions),
        "measures": [_measure_entry(m, spec.disclosure, is_firms) for m in table.measures],
    }


def _measure_entry(measure: MeasureSpec, rules: Disclosure, is_firms: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "id": measure.id,
        "kind": measure.kind,
        "unit": measure.unit,
        "label": measure.label.model_dump(),
    }
    if is_firms:
        limit: dict[str, Any] = {"quality_limit": None, "quality_limit_is_relative": None}
        threshold, rounding = rules.firms.threshold, rules.firms.rounding[measure.kind]
    else:
        found = rules.people.quality_limits[measure.kind]
        limit = {
            "quality_limit": found.number,
            "quality_limit_is_relative": found.relative is not None,
        }
        threshold, rounding = rules.people.threshold, rules.people.rounding[measure.kind]
    return {**entry, **limit, "threshold": threshold, "rounding": float(rounding)}


@contextmanager
def publish_lock(home_released: Path) -> Iterator[None]:
    """One publisher at a time; the lock goes with its process, however that ends."""
    home_released.mkdir(parents=True, exist_ok=True)
    with (home_released / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def write_files(folder: Path, tables: Mapping[str, pa.Table]) -> dict[str, dict[str, Any]]:
    """Write tables as Parquet files, synced.

    Args:
        folder: An empty folder.
        tables: Arrow tables by name.

    Returns:
        ``file``, ``sha256`` and ``rows`` by table name.
    """
    files = {}
    for name, table in tables.items():
        path = folder / f"{name}.parquet"
        pq.write_table(table, path, compression="zstd")
        _sync_file(path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        files[name] = {"file": path.name, "sha256": digest, "rows": table.num_rows}
    return files


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> str:
    """Write ``manifest.json``, synced.

    Returns:
        Its SHA-256 (hex).
    """
    content = _pretty(manifest)
    _write_synced(folder / "manifest.json", content)
    return hashlib.sha256(content).hexdigest()


@contextmanager
def staging(home_released: Path, domain: str, release_id: str) -> Iterator[Path]:
    """A temporary folder that becomes the release's folder when the block ends well.

    A folder that stands there already was never listed (a run died after the rename): it goes.

    Args:
        home_released: The released folder.
        domain: Of the release.
        release_id: Of the release.
    """
    parent = home_released / domain
    parent.mkdir(parents=True, exist_ok=True)
    for left in parent.glob(f".tmp-{release_id}*"):
        shutil.rmtree(left)
    temporary, final = parent / f".tmp-{release_id}", parent / release_id
    temporary.mkdir()
    try:
        yield temporary
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_folder(temporary)
    if final.exists():
        final.rename(parent / f".tmp-{release_id}-left")
    temporary.rename(final)
    sync_folder(parent)
    shutil.rmtree(parent / f".tmp-{release_id}-left", ignore_errors=True)


def read_release(
    folder: Path, manifest_sha256: str | None = None
) -> tuple[dict[str, Any], str] | None:
    """The manifest of a release that stands, with every file checked against it.

    Args:
        folder: The release's folder.
        manifest_sha256: What it must be, where that is known.

    Returns:
        The manifest and its SHA-256, or None if there is no such folder.

    Raises:
        PublishedFileError: If a file is missing or differs.
    """
    path = folder / "manifest.json"
    if not folder.exists():
        return None
    content = path.read_bytes() if path.exists() else b""
    found = hashlib.sha256(content).hexdigest()
    if not content or (manifest_sha256 and found != manifest_sha256):
        raise _altered(path, manifest_sha256 or "a manifest", found if content else "no file")
    manifest = json.loads(content)
    for entry in [*manifest["tables"], manifest["places"]]:
        if entry is None:
            continue
        file = folder / entry["file"]
        digest = hashlib.sha256(file.read_bytes()).hexdigest() if file.exists() else "no file"
        if digest != entry["sha256"]:
            raise _altered(file, entry["sha256"], digest)
    return manifest, found


def read_index(home_released: Path) -> list[dict[str, Any]]:
    """Entries of ``index.json``; none when there is no release yet."""
    path = home_released / "index.json"
    return json.loads(path.read_bytes())["releases"] if path.exists() else []


def check_kind_of_home(home_released: Path, is_sample: bool) -> None:
    """A home is of simulated or of real data for good: its releases must not be mixed.

    Args:
        home_released: The released folder.
        is_sample: What the next release is of.

    Raises:
        InputError: If a release that stands is of the other kind.
    """
    words = {True: "simulated", False: "real"}
    for entry in read_index(home_released):
        if entry.get("is_sample") is not is_sample:
            raise InputError(
                where=f"home of release {entry['release_id']}",
                expected=f"releases of {words[is_sample]} data only",
                found=f"a release of {words.get(entry.get('is_sample'), 'unknown')} data",
                what_to_do="Keep the sample apart from real data: use a home of its own (--home).",
            )


def update_index(home_released: Path, manifest: Mapping[str, Any], manifest_sha256: str) -> None:
    """List a release and make it the current one of its domain; no change, no write.

    Args:
        home_released: The released folder.
        manifest: Of the release.
        manifest_sha256: Of its file.
    """
    name, domain = manifest["release_id"], manifest["domain"]
    entry = {
        "release_id": name,
        "domain": domain,
        "kind": manifest["kind"],
        "created_at": manifest["created_at"],
        "path": f"{domain}/{name}",
        "manifest_sha256": manifest_sha256,
        "is_sample": manifest["is_sample"],
        "is_current": True,
    }
    before = read_index(home_released)
    others = [other for other in before if other["release_id"] != name]
    others = [o | {"is_current": o["is_current"] and o["domain"] != domain} for o in others]
    after = sorted([*others, entry], key=lambda e: (e["domain"], e["created_at"], e["release_id"]))
    if after == before:
        return
    temporary = home_released / ".index.json.tmp"
    _write_synced(temporary, _pretty({"format": INDEX_FORMAT, "releases": after}))
    temporary.replace(home_released / "index.json")
    sync_folder(home_released)


def _pretty(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_file(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _altered(path: Path, expected: str, found: str) -> PublishedFileError:
    return PublishedFileError(
        where=f"{path.parent.name}/{path.name}",
        expected=f"SHA-256 {expected}",
        found=found,
        what_to_do=(
            "A released file never changes: restore it from a backup, or move the folder away and "
            "run again (the release is rebuilt from its stored draw, without new noise)."
        ),
    )
